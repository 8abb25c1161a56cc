package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

type hardnessOptions struct {
	shape  string
	alphas []float64
	kappas []float64
	train  int64
	bytes  int
	seeds  int
	seed   uint64
	cache  string
	json   bool
}

func hardnessCommand() *cobra.Command {
	var o hardnessOptions
	c := &cobra.Command{
		Use:   "hardness",
		Short: "Whether a mind works harder on hard input, and what that costs",
		Long: `hardness compares how many sections are computed for the tenth of the bytes that surprise a mind most and for the
tenth that surprise it least, on text that it never read: for the embedded base, and for small ones that are
trained here on the same text at the same budget and differ in alpha, the share of the sparsemax threshold in
their gates.

Every small base is also read with an alpha that moves with the entropy of the two bytes before (a table of byte pairs
from the training text): lower, and so more sections, where these leave much open; by --kappa for each standard
deviation, about a middle at which the mean number of sections stays what it was. Nothing is trained for that.`,
		Example: `  # the embedded base, and three seeds of small ones
  yan-lab hardness

  # a quick look, as JSON
  yan-lab hardness --config pocket --train 200000 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return hardness(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.shape, "config", "small", "shape of the bases: small, slim or pocket")
	f.Float64SliceVar(&o.alphas, "alpha", []float64{0, 0.5, 0.8, 1}, "what is trained")
	f.Float64SliceVar(&o.kappas, "kappa", []float64{0.1, 0.2, 0.4}, "how far alpha moves with entropy")
	f.Int64Var(&o.train, "train", 800_000, "bytes that a base is trained with, repeats counted")
	f.IntVar(&o.bytes, "bytes", 60_000, "bytes to measure on")
	f.StringVar(&o.cache, "cache", "", "the `FOLDER` in which trained bases are kept (default: yan-lab in the user's cache)")
	f.IntVar(&o.seeds, "seeds", 3, "how many bases of each kind")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

func (o *hardnessOptions) check() error {
	for _, a := range o.alphas {
		if !(a >= 0 && a <= 1) {
			return ui.Usage("--alpha %v: must be 0 to 1", a)
		}
	}
	for _, k := range o.kappas {
		if !(k > 0 && k <= 1) {
			return ui.Usage("--kappa %v: must be above 0 and at most 1", k)
		}
	}
	switch {
	case shapes[o.shape] == nil:
		return ui.Usage("--config %s: there is small, slim and pocket", o.shape)
	case o.seeds < 1 || o.train < 1000 || o.bytes < 1000:
		return ui.Usage("--seeds %d, --train %d, --bytes %d: at least 1, 1000 and 1000", o.seeds, o.train, o.bytes)
	}
	return nil
}

// A hardnessRow is one kind of mind on one text.
type hardnessRow struct {
	Mind  string  `json:"mind"`
	Text  string  `json:"text"`
	Seeds int     `json:"seeds"`
	Ratio spread  `json:"hard_easy_sections"`
	Hard  float64 `json:"hard"`
	Easy  float64 `json:"easy"`
	Mean  float64 `json:"mean"` // sections a byte
	Bits  spread  `json:"bits_per_byte"`
}

// An effort is a hardness with what was lost on the way.
type effort struct {
	learning.Hardness
	bits float64
}

func hardness(cmd *cobra.Command, o hardnessOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	text, unread, err := hardnessTexts(o.bytes)
	if err != nil {
		return err
	}
	var rows []hardnessRow
	for _, u := range unread {
		m := base.Embedded()
		h := effort{learning.MeasureHardness(m, u.text, nil), learning.Evaluate(m, u.text, nil).Bits}
		rows = append(rows, hardnessLine("embedded base", u.name, []effort{h}))
	}
	table := entropies(text)
	for _, alpha := range o.alphas {
		shape := shapes[o.shape]()
		shape.Alpha = float32(alpha)
		n, err := newNursery(o.cache, shape, o.train, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		plain := []effort{}
		moved := make([][]effort, len(o.kappas))
		for i := range o.seeds {
			m, err := n.base(cmd.Context(), fmt.Sprintf("what comes before the %s, alpha %v", unread[0].name, alpha), text, o.seed+uint64(i))
			if err != nil {
				return err
			}
			u := unread[0].text
			plain = append(plain, effort{learning.MeasureHardness(m, u, nil), learning.Evaluate(m, u, nil).Bits})
			for k, kappa := range o.kappas {
				if alpha <= 0 || alpha >= 1 {
					continue // no room on one side
				}
				h, err := moving(cmd.Context(), m, kappa, table, text, u)
				if err != nil {
					return err
				}
				moved[k] = append(moved[k], h)
			}
		}
		rows = append(rows, hardnessLine(fmt.Sprintf("alpha %v", alpha), unread[0].name, plain))
		for k, kappa := range o.kappas {
			if len(moved[k]) > 0 {
				rows = append(rows, hardnessLine(fmt.Sprintf("alpha %v, moving by %v", alpha, kappa), unread[0].name, moved[k]))
			}
		}
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), map[string]any{"train_bytes": o.train, "config": o.shape, "rows": rows})
	}
	t := ui.NewTable("mind", "text", "hardest : easiest tenth", "hardest", "easiest", "mean", "bits a byte")
	for _, r := range rows {
		t.Row(r.Mind, r.Text, fmt.Sprintf("%.2f (%.2f to %.2f)", r.Ratio.Mean, r.Ratio.Min, r.Ratio.Max), r.Hard, r.Easy, r.Mean,
			fmt.Sprintf("%.3f (%.3f to %.3f)", r.Bits.Mean, r.Bits.Min, r.Bits.Max))
	}
	return t.Fprint(cmd.OutOrStdout())
}

func hardnessLine(mind, text string, list []effort) hardnessRow {
	r := hardnessRow{Mind: mind, Text: text, Seeds: len(list)}
	var ratio, bits []float64
	for _, h := range list {
		k := float64(len(list))
		ratio, bits = append(ratio, h.Ratio), append(bits, h.bits)
		r.Hard, r.Easy, r.Mean = r.Hard+h.Hard/k, r.Easy+h.Easy/k, r.Mean+h.Mean/k
	}
	r.Ratio, r.Bits = over(ratio), over(bits)
	return r
}

type namedText struct {
	name string
	text []byte
}

// hardnessTexts is what small bases are trained on, and what is measured on, its own tail first.
func hardnessTexts(n int) (read []byte, unread []namedText, err error) {
	name := "shipped:corpus"
	if _, ok := dataset.Root(); ok {
		name = "text:tinyshakespeare/input.txt"
	}
	d, err := dataset.Open(name)
	if err != nil {
		return nil, nil, err
	}
	a, b := d.Split(0.1)
	tail := b.Bytes()
	unread = append(unread, namedText{"tail of " + name, tail[:min(len(tail), n)]})
	if _, ok := dataset.Root(); ok {
		w, err := dataset.Open("text:wikitext2/test.txt")
		if err != nil {
			return nil, nil, err
		}
		unread = append(unread, namedText{"text:wikitext2/test.txt", w.Bytes()[:n]})
	}
	return a.Bytes(), unread, nil
}

// entropies is, for each pair of bytes, how open the byte after it is: the entropy of what followed the pair in a
// text, in standard deviations from its mean over that text, cut at 1.5 (learning.md 6.2).
func entropies(text []byte) []float64 {
	counts := map[int]map[byte]float64{}
	for i := 2; i < len(text); i++ {
		pair := int(text[i-2])<<8 | int(text[i-1])
		if counts[pair] == nil {
			counts[pair] = map[byte]float64{}
		}
		counts[pair][text[i]]++
	}
	table := make([]float64, 1<<16)
	open := math.NaN()
	var n, sum, squares float64
	for pair := range table {
		table[pair] = open
		next := counts[pair]
		var seen, h float64
		keys := make([]byte, 0, len(next))
		for b, c := range next {
			seen += c
			keys = append(keys, b)
		}
		if seen == 0 {
			continue
		}
		slices.Sort(keys) // in one order, for sums to be the same
		for _, b := range keys {
			p := next[b] / seen
			h -= p * math.Log(p)
		}
		table[pair] = h
		n, sum, squares = n+seen, sum+seen*h, squares+seen*h*h
	}
	mean := sum / n
	deviation := math.Sqrt(max(squares/n-mean*mean, 1e-12))
	for pair, h := range table {
		if math.IsNaN(h) { // never seen: as open as can be
			table[pair] = 1.5
			continue
		}
		table[pair] = min(max((h-mean)/deviation, -1.5), 1.5)
	}
	return table
}

// moving reads a text with an alpha that moves by kappa with the entropy of what came before, about a middle at which the
// mean number of sections on a stretch of the training text is what it is with alpha at rest.
func moving(ctx context.Context, m *model.Model, kappa float64, table []float64, train, text []byte) (effort, error) {
	sample := train[len(train)/2:][:min(len(train)/2, 3000)]
	rest := float64(m.Config.Alpha)
	want := learning.MeasureHardness(m, sample, nil).Mean
	low, high := rest-0.3, rest+0.3
	for range 7 {
		middle := (low + high) / 2
		h, err := stepping(ctx, m, middle, kappa, table, sample)
		if err != nil {
			return h, err
		}
		if h.Mean > want { // a higher alpha leaves fewer
			low = middle
		} else {
			high = middle
		}
	}
	return stepping(ctx, m, (low+high)/2, kappa, table, text)
}

// stepping reads a text byte by byte, each with an alpha of its own.
func stepping(ctx context.Context, m *model.Model, middle, kappa float64, table []float64, text []byte) (effort, error) {
	in := sense.Text(text)
	s := m.NewState()
	var t model.Tape
	var e learning.Effort
	var nats float64
	now := *m
	for i := 0; i+1 < len(in); i++ {
		if i%4096 == 0 && ctx.Err() != nil {
			return effort{}, context.Cause(ctx)
		}
		d := 0.0
		if i > 0 {
			d = table[int(text[i-1])<<8|int(text[i])]
		}
		now.Config.Alpha = float32(min(max(middle-kappa*d, 0), 1))
		now.Forward(s, in[i:i+1], &t)
		nats += e.Read(&t, in[i+1:i+2])
	}
	return effort{e.Hardness(), nats / float64(len(in)-1) / math.Ln2}, nil
}
