package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
)

type hardnessOptions struct {
	shape  string
	alphas []float64
	demand []float64
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
their gates, and in demand: how far gates open for a standard deviation of the openness of the last two bytes.`,
		Example: `  # the embedded base, and three seeds of small ones
  yan-lab hardness

  # a quick look, as JSON
  yan-lab hardness --config pocket --train 200000 --alpha 0.5 --demand 0,0.3 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return hardness(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.shape, "config", "small", "shape of the bases: small, slim or pocket")
	f.Float64SliceVar(&o.alphas, "alpha", []float64{0.5}, "alphas that bases are trained with")
	f.Float64SliceVar(&o.demand, "demand", []float64{0, 0.15, 0.3, 0.5}, "demands that they are trained with")
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
	for _, d := range o.demand {
		if !(d >= 0 && d <= 4) {
			return ui.Usage("--demand %v: must be 0 to 4", d)
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
	for _, alpha := range o.alphas {
		for _, demand := range o.demand {
			list, err := o.trained(cmd, alpha, demand, text, unread[0])
			if err != nil {
				return err
			}
			rows = append(rows, hardnessLine(fmt.Sprintf("alpha %v, demand %v", alpha, demand), unread[0].name, list))
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

// trained measures bases of every seed that were trained on text with an alpha and a demand.
func (o *hardnessOptions) trained(cmd *cobra.Command, alpha, demand float64, text []byte, u namedText) (list []effort, err error) {
	shape := shapes[o.shape]()
	shape.Alpha, shape.Demand = float32(alpha), float32(demand)
	n, err := newNursery(o.cache, shape, o.train, cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	for i := range o.seeds {
		m, err := n.base(cmd.Context(), fmt.Sprintf("what comes before the %s, alpha %v, demand %v", u.name, alpha, demand), text, o.seed+uint64(i))
		if err != nil {
			return nil, err
		}
		list = append(list, effort{learning.MeasureHardness(m, u.text, nil), learning.Evaluate(m, u.text, nil).Bits})
	}
	return list, nil
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
