package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model/sense"
)

type localOptions struct {
	data, test []string
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
backward   backpropagation
frozen     the layers stay as they were drawn, and read-outs alone learn: the control

With --known, a layer does not learn from examples that its read-out gives more than that probability.
With --validate the last tenth of what is to be learnt is asked about in place of the test pictures: to choose by.`,
		Example: `  # MNIST's 10,000 training digits, the official test images
  yan-lab local

  # what the project draws, one seed
  yan-lab local --data shipped:strokes --test shipped:strokes --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return localRules(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringArrayVar(&o.data, "data", nil, "what to learn, as `images:IMG,LABELS`; may be repeated")
	f.StringArrayVar(&o.test, "test", nil, "what to be asked about, as `images:IMG,LABELS`; may be repeated")
	f.StringSliceVar(&o.rules, "rule", []string{"own", "sum", "broadcast", "backward", "frozen"}, "by what to learn")
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
	Right  spread     `json:"right"`  // share of the pictures asked about, by the last layer
	Layers []spread   `json:"layers"` // by each layer's read-out
	// Work is multiply-adds for each picture that was seen.
	Forward  int64 `json:"forward_macs"`
	Backward int64 `json:"backward_macs"`
	Kept     int   `json:"kept_bytes"` // of activations, at a time
}

type localReport struct {
	Data       string     `json:"data"`
	Learnt     int        `json:"learnt"`
	Asked      int        `json:"asked"`
	Parameters int        `json:"parameters"`
	Layers     int        `json:"layers"`
	Epochs     float64    `json:"epochs"`
	Known      float64    `json:"known"`
	Seeds      int        `json:"seeds"`
	Rows       []localRow `json:"rules"`
}

func localRules(cmd *cobra.Command, o localOptions) error {
	if o.seeds < 1 || !(o.epochs > 0) || o.layers < 1 {
		return ui.Usage("--seeds %d, --epochs %v, --layers %d: each must be above 0", o.seeds, o.epochs, o.layers)
	}
	a, b, err := pictures(o.data, o.test)
	if err != nil {
		return err
	}
	note := a.Note + "; asked about " + b.Note
	train, err := encode(a)
	if err != nil {
		return err
	}
	asked := train
	if cut := len(a.Items) * 9 / 10; o.validate {
		note = a.Note + "; asked about its last tenth"
		train, asked = train.span(0, cut), train.span(cut, len(a.Items))
	} else if asked, err = encode(b); err != nil {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "data:", note)
	eye := sense.NewPicture(a.Shape[0], a.Shape[1])
	shape := local.Pictures(eye.Patches(), eye.Width(), len(a.Classes))
	shape.Model.Layers = o.layers
	r := localReport{Data: note, Learnt: len(train.labels), Asked: len(asked.labels), Layers: o.layers, Epochs: o.epochs, Known: o.known, Seeds: o.seeds}
	p := ui.NewProgress(cmd.ErrOrStderr(), "training", int64(len(o.rules)*o.seeds)*int64(o.epochs*float64(len(train.labels))), "pictures")
	defer p.Done()
	for _, rule := range o.rules {
		var runs []*localRun
		for i := range o.seeds {
			cfg := local.TrainConfig{Rule: local.Rule(rule), Batch: o.batch, Rate: o.rate, Known: o.known, Seed: o.seed + uint64(i)}
			cfg.Examples = int64(o.epochs * float64(len(train.labels)))
			run, err := trainLocal(cmd.Context(), shape, cfg, train, asked, p)
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

// A localRun is one seed of a rule.
type localRun struct {
	right      []float64 // by layer
	work       local.Work
	seen       int64
	kept       int
	parameters int
}

// trainLocal trains a net and asks it.
func trainLocal(ctx context.Context, shape local.Config, cfg local.TrainConfig, train, asked *samples, p *ui.Progress) (*localRun, error) {
	t, err := local.NewTrainer(shape, cfg)
	if err != nil {
		return nil, ui.Usage("%w", err)
	}
	var x []float32
	var labels []int
	for !t.Done() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		x, labels = x[:0], labels[:0]
		for _, at := range t.Draw(len(train.labels)) {
			x, labels = append(x, train.row(at)...), append(labels, train.of[at].Label)
		}
		t.Step(x, labels)
		p.Add(int64(len(labels)))
	}
	net := t.Net()
	run := &localRun{work: t.Work, seen: t.Seen, kept: t.Kept, parameters: net.Model.Parameters() + len(net.Heads)}
	run.right = rightByLayer(net, asked)
	return run, nil
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
	for i := range runs[0].right {
		var v []float64
		for _, r := range runs {
			v = append(v, r.right[i])
		}
		row.Layers = append(row.Layers, over(v))
	}
	row.Right = row.Layers[len(row.Layers)-1]
	for _, r := range runs {
		row.Forward += r.work.Forward / r.seen / int64(len(runs))
		row.Backward += r.work.Backward / r.seen / int64(len(runs))
	}
	return row
}

func (r localReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s pictures learnt %v times, %s asked about; %s parameters in %d layers; %d seeds: mean (least to greatest)\n\n",
		ui.Count(int64(r.Learnt)), r.Epochs, ui.Count(int64(r.Asked)), ui.Count(int64(r.Parameters)), r.Layers, r.Seeds)
	t := ui.NewTable("rule", "right", "by layer, from below", "forward", "backward", "of backpropagation", "activations kept")
	full := 0.0
	for _, row := range r.Rows {
		if row.Rule == local.Backward {
			full = float64(row.Forward + row.Backward)
		}
	}
	for _, row := range r.Rows {
		share, layers := "–", ""
		if full > 0 {
			share = fmt.Sprintf("%.1f %%", 100*float64(row.Forward+row.Backward)/full)
		}
		for _, s := range row.Layers {
			layers += fmt.Sprintf("%.1f ", 100*s.Mean)
		}
		t.Row(row.Rule, percent(row.Right), layers, ui.Count(row.Forward), ui.Count(row.Backward), share, ui.Bytes(int64(row.Kept)))
	}
	return t.Fprint(w)
}
