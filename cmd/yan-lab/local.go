package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model/sense"
)

type localOptions struct {
	data, test []string
	text       string
	bytes      int
	rules      []string
	validate   bool
	epochs     float64
	batch      int
	rate       float64
	known      float64
	layers     int
	seeds      int
	seed       uint64
	json       bool
}

func localCommand() *cobra.Command {
	var o localOptions
	c := &cobra.Command{
		Use:   "local",
		Short: "Learn digits with no gradient between layers, and with",
		Long: `local trains a deep model of pictures, patch after patch, by rules in which no gradient crosses from one layer into
another, and beside them by backpropagation through all layers: the same model, examples, optimizer and number of steps. It
prints the share of test pictures that each is right about, what learning cost in multiply-adds of matrix products, and the
activations that had to be kept for it.

own        each layer learns from a read-out of its own
sum        read-outs add up from below: each layer learns what those below left over
broadcast  every layer learns from the error of the read-out on top, as if it stood there itself
top        the last layer alone learns, from the read-out that stands on it
backward   backpropagation
frozen     the layers stay as they were drawn, and read-outs alone learn: the control

With --text a language model learns in place of pictures, every layer with a read-out of the next byte, and the figures are bits
a byte of the last tenth of the text.

With --known, a layer does not learn from examples that its read-out gives more than that probability.
With --validate the last tenth of what is to be learnt is asked about in place of the test pictures: to choose by.`,
		Example: `  # MNIST's 10,000 training digits, the official test images
  yan-lab local

  # a text, byte by byte
  yan-lab local --text text:tinyshakespeare/input.txt

  # what the project draws, one seed
  yan-lab local --data shipped:strokes --test shipped:strokes --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return localRules(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringArrayVar(&o.data, "data", nil, "what to learn, as `images:IMG,LABELS`; may be repeated")
	f.StringArrayVar(&o.test, "test", nil, "what to be asked about, as `images:IMG,LABELS`; may be repeated")
	f.StringVar(&o.text, "text", "", "a text to learn in place of pictures, as `kind:path`")
	f.IntVar(&o.bytes, "bytes", 600_000, "how many bytes of it to see; repeats count")
	f.StringSliceVar(&o.rules, "rule", []string{"own", "sum", "broadcast", "top", "backward", "frozen"}, "by what to learn")
	f.BoolVar(&o.validate, "validate", false, "ask about the last tenth of what is to be learnt")
	f.Float64Var(&o.epochs, "epochs", 8, "how often to see every picture")
	f.IntVar(&o.batch, "batch", 16, "pictures of a step")
	f.Float64Var(&o.rate, "rate", 0.003, "peak learning rate")
	f.Float64Var(&o.known, "known", 0, "probability beyond which a picture counts as known; 0 learns from all")
	f.IntVar(&o.layers, "layers", 4, "layers of the model")
	f.IntVar(&o.seeds, "seeds", 3, "how many models to train by each rule")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// A localRow is what came of one rule.
type localRow struct {
	Rule   local.Rule `json:"rule"`
	Score  spread     `json:"score"`  // of the last layer: the share that it is right about, or bits a byte
	Layers []spread   `json:"layers"` // of each layer's read-out
	// What learning cost, in multiply-adds for each example that was seen.
	Forward  int64 `json:"forward_macs"`
	Backward int64 `json:"backward_macs"`
	Kept     int   `json:"kept_bytes"` // of activations, at a time
}

type localReport struct {
	Data       string     `json:"data"`
	Metric     string     `json:"metric"` // accuracy or bits_per_byte
	Learnt     int        `json:"learnt"`
	Asked      int        `json:"asked"`
	Parameters int        `json:"parameters"`
	Layers     int        `json:"layers"`
	Epochs     float64    `json:"epochs"`
	Known      float64    `json:"known"`
	Seeds      int        `json:"seeds"`
	Rows       []localRow `json:"rules"`
}

// A localTask is what to learn by every rule.
type localTask struct {
	report localReport
	shape  local.Config
	see    int64 // examples, all epochs together
	train  func(ctx context.Context, t *local.Trainer, seen func(int)) error
	score  func(net *local.Net) []float64 // by layer
}

func localRules(cmd *cobra.Command, o localOptions) error {
	if o.seeds < 1 || !(o.epochs > 0) || o.layers < 1 || o.bytes < 1 {
		return ui.Usage("--seeds %d, --epochs %v, --layers %d, --bytes %d: each must be above 0", o.seeds, o.epochs, o.layers, o.bytes)
	}
	if !(o.known >= 0 && o.known <= 1) || !(o.rate > 0) || o.batch < 1 {
		return ui.Usage("--known %v, --rate %v, --batch %d: a probability, a rate above 0, a picture at least", o.known, o.rate, o.batch)
	}
	for _, rule := range o.rules {
		if !slices.Contains(local.Rules, local.Rule(rule)) {
			return ui.Usage("--rule %q: one of %q", rule, local.Rules)
		}
	}
	open := localPictures
	if o.text != "" {
		open = localText
	}
	task, err := open(o)
	if err != nil {
		return err
	}
	r := &task.report
	r.Layers, r.Epochs, r.Known, r.Seeds = task.shape.Model.Layers, float64(task.see)/float64(r.Learnt), o.known, o.seeds
	fmt.Fprintln(cmd.ErrOrStderr(), "data:", r.Data)
	p := ui.NewProgress(cmd.ErrOrStderr(), "training", int64(len(o.rules)*o.seeds)*task.see, "examples")
	defer p.Done()
	for _, rule := range o.rules {
		var runs []*localRun
		for i := range o.seeds {
			run, err := task.run(cmd.Context(), local.TrainConfig{
				Rule: local.Rule(rule), Examples: task.see, Batch: o.batch, Rate: o.rate, Known: o.known, Seed: o.seed + uint64(i),
			}, func(n int) { p.Add(int64(n)) })
			if err != nil {
				return err
			}
			runs = append(runs, run)
		}
		r.Parameters = runs[0].parameters
		r.Rows = append(r.Rows, localSummary(local.Rule(rule), runs))
	}
	p.Done()
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// localPictures is the task of learning pictures.
func localPictures(o localOptions) (*localTask, error) {
	a, b, err := pictures(o.data, o.test)
	if err != nil {
		return nil, err
	}
	train, err := encode(a)
	if err != nil {
		return nil, err
	}
	asked, note := train, a.Note+"; asked about its last tenth"
	if cut := len(a.Items) * 9 / 10; o.validate {
		train, asked = train.span(0, cut), train.span(cut, len(a.Items))
	} else if asked, err = encode(b); err != nil {
		return nil, err
	} else {
		note = a.Note + "; asked about " + b.Note
	}
	eye := sense.NewPicture(a.Shape[0], a.Shape[1])
	t := &localTask{
		report: localReport{Data: note, Metric: "accuracy", Learnt: len(train.labels), Asked: len(asked.labels)},
		shape:  local.Pictures(eye.Patches(), eye.Width(), len(a.Classes)),
		see:    int64(o.epochs * float64(len(train.labels))),
		score:  func(net *local.Net) []float64 { return rightByLayer(net, asked) },
	}
	t.shape.Model.Layers = o.layers
	t.train = func(ctx context.Context, t *local.Trainer, seen func(int)) error {
		var x []float32
		var labels []int
		for !t.Done() && ctx.Err() == nil {
			x, labels = x[:0], labels[:0]
			for _, at := range t.Draw(len(train.labels)) {
				x, labels = append(x, train.row(at)...), append(labels, train.of[at].Label)
			}
			t.Step(x, labels)
			seen(len(labels))
		}
		return context.Cause(ctx)
	}
	return t, nil
}

// run trains a net by one rule and measures it.
func (t *localTask) run(ctx context.Context, cfg local.TrainConfig, seen func(int)) (*localRun, error) {
	trainer, err := local.NewTrainer(t.shape, cfg)
	if err != nil {
		return nil, ui.Usage("%w", err)
	}
	if err := t.train(ctx, trainer, seen); err != nil {
		return nil, err
	}
	net := trainer.Net()
	return &localRun{t.score(net), trainer.Work, trainer.Seen, trainer.Kept, net.Model.Parameters() + len(net.Heads)}, nil
}

// A localRun is one seed of a rule.
type localRun struct {
	score      []float64 // by layer
	work       local.Work
	seen       int64
	kept       int
	parameters int
}

// rightByLayer is the share of samples that each layer's read-out is right about.
func rightByLayer(net *local.Net, s *samples) []float64 {
	const batch = 64
	var r local.Reading
	r.Tape.Lean = true
	right := make([]float64, net.Config.Model.Layers)
	for from := 0; from < len(s.labels); from += batch {
		to := min(from+batch, len(s.labels))
		net.Read(s.x[from*s.width:to*s.width], &r)
		for i, beliefs := range r.Beliefs {
			k := net.Config.Classes
			for e := from; e < to; e++ {
				if largest(beliefs[(e-from)*k:(e-from+1)*k]) == s.of[e].Label {
					right[i] += 1 / float64(len(s.labels))
				}
			}
		}
	}
	return right
}

func localSummary(rule local.Rule, runs []*localRun) localRow {
	row := localRow{Rule: rule, Kept: runs[0].kept}
	for i := range runs[0].score {
		var v []float64
		for _, r := range runs {
			v = append(v, r.score[i])
		}
		row.Layers = append(row.Layers, over(v))
	}
	row.Score = row.Layers[len(row.Layers)-1]
	for _, r := range runs {
		row.Forward += r.work.Forward / r.seen / int64(len(runs))
		row.Backward += r.work.Backward / r.seen / int64(len(runs))
	}
	return row
}

func (r localReport) print(w io.Writer) error {
	what, good := "pictures", "right"
	score, short := percent, func(s spread) string { return fmt.Sprintf("%.1f", 100*s.Mean) }
	if r.Metric != "accuracy" {
		what, good = "bytes", "bits a byte"
		score, short = spread.plain, func(s spread) string { return fmt.Sprintf("%.3f", s.Mean) }
	}
	fmt.Fprintf(w, "%s %s learnt %.3g times, %s asked about; %s parameters in %d layers; %d seeds: mean (least to greatest)\n\n",
		ui.Count(int64(r.Learnt)), what, r.Epochs, ui.Count(int64(r.Asked)), ui.Count(int64(r.Parameters)), r.Layers, r.Seeds)
	t := ui.NewTable("rule", good, "by layer, from below", "forward", "backward", "of backpropagation", "activations kept")
	full := 0.0
	for _, row := range r.Rows {
		if row.Rule == local.Backward {
			full = float64(row.Forward + row.Backward)
		}
	}
	for _, row := range r.Rows {
		share := "–"
		var layers []string
		if full > 0 {
			share = fmt.Sprintf("%.1f %%", 100*float64(row.Forward+row.Backward)/full)
		}
		for _, s := range row.Layers {
			layers = append(layers, short(s))
		}
		t.Row(row.Rule, score(row.Score), strings.Join(layers, " "), ui.Count(row.Forward), ui.Count(row.Backward), share, ui.Bytes(int64(row.Kept)))
	}
	return t.Fprint(w)
}
