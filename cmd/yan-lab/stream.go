package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

type streamOptions struct {
	data    string
	keep    []string
	methods []string
	model   string
	holdout float64
	rate    float64
	rules   []string
	bytes   int
	seeds   int
	seed    uint64
	json    bool
}

// What a stream is read by.
const (
	byBase   = "base alone"
	byAll    = "all weights"
	bySkill  = "skill alone"
	byFast   = "fast layer alone"
	byBoth   = "learner"
	againMax = 200_000 // bytes of the stream's beginning that are read again
)

func streamCommand() *cobra.Command {
	var o streamOptions
	c := &cobra.Command{
		Use:   "stream",
		Short: "What learning saves on a stream while it is read, and what it costs elsewhere",
		Long: `stream reads a text once, each byte predicted before it is seen and learnt from after (dynamic evaluation), and prints bits
a byte: of the stream, of its beginning read again afterwards without learning, and of texts that have nothing to do with it,
before and after. Beside the learner stand the base alone, its skill alone, its fast layer alone, and all of the base's weights,
by RMSprop: the usual way, which shows what there is to gain and what it costs. With --rule the skill learns by local rules too,
in which no error is taken back through a layer.

What is kept to be measured on is the tail of each --keep. Without --data it is wikitext-2's test set, or a generated text.`,
		Example: `  # wikitext-2, three seeds
  yan-lab stream --keep text:tinyshakespeare/input.txt

  # another base, another stream
  yan-lab stream --model head.safetensors --data text:tinyshakespeare/compact/tail50k.txt --keep text:wikitext2/valid.txt --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return streams(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.data, "data", "", "the stream, as `kind:path`")
	f.StringArrayVar(&o.keep, "keep", nil, "what must not suffer, as `kind:path`; may be repeated")
	f.Float64Var(&o.holdout, "holdout", 0.1, "share of each --keep, at its end, to measure on")
	f.StringSliceVar(&o.methods, "method", []string{byBase, byAll, bySkill, byFast, byBoth}, "what reads it")
	f.StringVar(&o.model, "model", "", "checkpoint `FILE` of the base; the embedded one if empty")
	f.Float64Var(&o.rate, "rate", 0.0003, "learning rate of all weights")
	f.StringSliceVar(&o.rules, "rule", []string{"backward"}, "by what error skills learn: backward, top, broadcast, own; see yan-lab local")
	f.IntVar(&o.bytes, "bytes", 0, "read that much of the stream alone; 0 for all of it")
	f.IntVar(&o.seeds, "seeds", 3, "seeds")
	f.Uint64Var(&o.seed, "seed", 1, "the first of them")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return c
}

// A streamRow is one way to read, over all seeds.
type streamRow struct {
	Method string  `json:"method"`
	Rule   string  `json:"rule,omitempty"` // of learners with a skill
	Stream spread  `json:"bits_per_byte"`
	Change spread  `json:"change"`      // of the base alone, a share
	Again  spread  `json:"again"`       // bits a byte of the beginning, read again without learning
	Kept   spread  `json:"kept"`        // change of what had nothing to do with it, a share: the worst of all texts
	Skills *spread `json:"kept_skills"` // the same with every skill behind its gate and no fast layer
}

type streamReport struct {
	Data  string      `json:"data"`
	Bytes int         `json:"bytes"`
	Keep  []string    `json:"keep"`
	Seeds int         `json:"seeds"`
	Rows  []streamRow `json:"rows"`
}

// loadBase is a base from a file, or the embedded one.
func loadBase(path string) (*model.Model, error) {
	if path == "" {
		return base.Embedded(), nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// orGenerated opens data, or what stands in for it where the data folder is not there.
func orGenerated(arg, usual, generated string) (*dataset.Data, error) {
	if arg == "" {
		if _, ok := dataset.Root(); !ok {
			return dataset.Shipped(generated), nil
		}
		arg = usual
	}
	return dataset.Open(arg)
}

func streams(cmd *cobra.Command, o streamOptions) error {
	if o.seeds < 1 || !(o.rate > 0) || !(o.holdout > 0 && o.holdout <= 1) {
		return ui.Usage("stream: --seeds %d, --rate %v, --holdout %v: a seed at least, a rate above 0, a share up to 1", o.seeds, o.rate, o.holdout)
	}
	d, err := orGenerated(o.data, "text:wikitext2/test.txt", "prose")
	if err != nil {
		return err
	}
	m, err := loadBase(o.model)
	if err != nil {
		return err
	}
	r := streamReport{Data: d.Arg, Bytes: len(d.Bytes()), Seeds: o.seeds}
	var keep [][]byte
	if len(o.keep) == 0 {
		o.keep = []string{""}
	}
	for _, arg := range o.keep {
		k, err := orGenerated(arg, "text:tinyshakespeare/input.txt", "verse")
		if err != nil {
			return err
		}
		k.Shuffle() // utterances as a training holds them out; a text stays as it is
		_, held := k.Split(o.holdout)
		r.Keep, keep = append(r.Keep, k.Arg), append(keep, held.Bytes())
	}
	text := d.Bytes()
	if o.bytes > 0 {
		text = text[:min(o.bytes, len(text))]
	}
	if len(text) < 2 {
		return errors.New("stream: the stream is empty")
	}
	r.Bytes = len(text)
	static := learning.Evaluate(m, text, nil).Bits
	for _, reads := range withRules(o.methods, o.rules) {
		method := reads.method
		row := streamRow{Method: method, Rule: reads.rule}
		var bits, change, again, kept, skills []float64
		seeds := o.seeds
		if method == byBase || method == byAll { // which know no chance
			seeds = 1
		}
		for i := range seeds {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s, seed %d\n", reads, o.seed+uint64(i))
			s, err := readStream(cmd.Context(), m, reads, text, o.rate, o.seed+uint64(i))
			if err != nil {
				return err
			}
			worst, worstSkills := math.Inf(-1), math.Inf(-1)
			for _, k := range keep {
				before := learning.Evaluate(m, k, nil).Bits
				worst = max(worst, s.reads(k)/before-1)
				worstSkills = max(worstSkills, learning.Evaluate(s.settled, k, nil).Bits/before-1)
			}
			bits, change = append(bits, s.bits), append(change, s.bits/static-1)
			again = append(again, s.reads(text[:min(len(text), againMax)]))
			kept, skills = append(kept, worst), append(skills, worstSkills)
		}
		row.Stream, row.Change, row.Again, row.Kept = over(bits), over(change), over(again), over(kept)
		if method == bySkill || method == byBoth {
			v := over(skills)
			row.Skills = &v
		}
		r.Rows = append(r.Rows, row)
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s, %s; %d seeds: mean (least to greatest)\n\n", r.Data, ui.Bytes(int64(r.Bytes)), r.Seeds)
	t := ui.NewTable("read by", "bits a byte", "change", "beginning again", "elsewhere", "elsewhere, skills alone")
	for _, row := range r.Rows {
		alone := "–"
		if row.Skills != nil {
			alone = row.Skills.percent()
		}
		t.Row(ruled{row.Method, row.Rule}, row.Stream.plain(), row.Change.percent(), row.Again.plain(), row.Kept.percent(), alone)
	}
	return t.Fprint(cmd.OutOrStdout())
}

func (s spread) plain() string { return fmt.Sprintf("%.4f (%.4f to %.4f)", s.Mean, s.Min, s.Max) }

func (s spread) percent() string {
	return fmt.Sprintf("%+.2f %% (%+.2f to %+.2f)", 100*s.Mean, 100*s.Min, 100*s.Max)
}

// A reader is a mind after it read a stream.
type reader struct {
	bits    float64
	settled *model.Model
	reads   func(text []byte) float64 // bits a byte of another stream, nothing learnt
}

// A ruled method is one with the rule by which its skill learns, if it has one.
type ruled struct{ method, rule string }

func (r ruled) String() string {
	if r.rule == "" || r.rule == string(local.Backward) {
		return r.method
	}
	return r.method + ", " + r.rule
}

// withRules are the methods, those that write a skill once by each rule.
func withRules(methods, rules []string) (list []ruled) {
	for _, m := range methods {
		if m != bySkill && m != byBoth {
			list = append(list, ruled{m, ""})
			continue
		}
		for _, r := range rules {
			list = append(list, ruled{m, r})
		}
	}
	return list
}

func readStream(ctx context.Context, m *model.Model, by ruled, text []byte, rate float64, seed uint64) (*reader, error) {
	cfg := learning.Config{Seed: seed, Rule: local.Rule(by.rule)}
	switch by.method {
	case byBase:
		return modelReader(m, learning.Evaluate(m, text, nil).Bits), nil
	case byAll:
		return readByAll(ctx, m, text, rate)
	case bySkill:
		cfg.Fast = -1
	case byFast:
		cfg.MaxSkills = -1
	case byBoth:
	default:
		return nil, ui.Usage("stream: --method %q: one of %q", by.method, []string{byBase, byAll, bySkill, byFast, byBoth})
	}
	l, err := learning.New(cfg, m)
	if err != nil {
		return nil, err
	}
	var nats float64
	for part := range slices.Chunk(sense.Text(text), 1<<14) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		nats += l.Read(part)
	}
	settled := l.Settled()
	return &reader{nats / float64(len(text)-1) / math.Ln2, settled, func(text []byte) float64 {
		return l.AsideOf(settled).Surprise(sense.Text(text)) / float64(len(text)-1) / math.Ln2
	}}, nil
}

func modelReader(m *model.Model, bits float64) *reader {
	return &reader{bits, m, func(text []byte) float64 { return learning.Evaluate(m, text, nil).Bits }}
}

// readByAll is dynamic evaluation of all weights (Krause et al. 2018): after each chunk one step of RMSprop.
func readByAll(ctx context.Context, m *model.Model, text []byte, rate float64) (*reader, error) {
	t, err := newTuner(m, rate)
	if err != nil {
		return nil, err
	}
	var nats float64
	s := t.model.NewState()
	for at := 0; at < len(text)-1; at += tunerChunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(tunerChunk, len(text)-1-at)
		nats += t.step(s, sense.Text(text[at:at+n+1]))
	}
	return modelReader(t.model, nats/float64(len(text)-1)/math.Ln2), nil
}

// tunerChunk is how many events the usual way learns from at once, as many as the learner does.
const tunerChunk = 32

// A tuner moves all weights of a model, or adapters of low rank.
type tuner struct {
	model *model.Model
	grad  *gradient.Grad
	low   *lowRank
	v     []float32 // second moments
	steps int
	rate  float64
	times float64 // the rate is so many times that
	tape  model.Tape
	pass  gradient.Pass
	d     []float32
}

func newTuner(m *model.Model, rate float64) (*tuner, error) {
	t := &tuner{model: m.Thaw(), rate: rate, times: 1}
	var err error
	t.grad, err = gradient.NewGrad(m.Config)
	t.v = make([]float32, len(t.model.Weights))
	return t, err
}

// step learns from events once, of which the first is context only, and returns their surprise before.
func (t *tuner) step(s *model.State, in []sense.Event) (nats float64) {
	n := len(in) - 1
	t.model.Forward(s, in[:n], &t.tape)
	if len(t.d) < n*sense.Symbols {
		t.d = make([]float32, n*sense.Symbols)
	}
	d := t.d[:n*sense.Symbols]
	nats = gradient.CrossEntropy(d, t.tape.Logits, in[1:], 1/float32(n))
	t.pass.Backward(t.model, &t.tape, d, t.grad)
	t.steps++
	if t.low != nil {
		t.low.step(t.model, t.grad, t.rate*t.times)
		return nats
	}
	const beta = 0.99
	corr := 1 / (1 - math.Pow(beta, float64(t.steps)))
	w, g := t.model.Weights, t.grad.Base.Weights
	for i, x := range g {
		if x == 0 {
			continue
		}
		t.v[i] = beta*t.v[i] + (1-beta)*x*x
		w[i] -= float32(t.rate * t.times * float64(x) / (math.Sqrt(float64(t.v[i])*corr) + 1e-8))
	}
	clear(g)
	for _, touched := range t.grad.Touched {
		clear(touched)
	}
	return nats
}
