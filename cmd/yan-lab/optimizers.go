package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	canvas "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model/sense"
)

type optimizersOptions struct {
	data, test []string
	methods    []string
	epochs     int
	most       int
	asked      int
	tune       int
	goal       float64
	plot       string
	seeds      int
	seed       uint64
	json       bool
}

func optimizersCommand() *cobra.Command {
	var o optimizersOptions
	c := &cobra.Command{
		Use:   "optimizers",
		Short: "How fast a small mind learns digits by each optimizer, in epochs, multiply-adds and seconds",
		Long: `optimizers trains a small Yan model on pictures of digits, read patch by patch, and prints how far gradient
descent with momentum, Adam, Muon and L-BFGS come, and what each spends until it is right on a share of the test pictures.

The peak learning rate of each is chosen on the last fifth of the training digits, after two epochs over a part of the rest. L-BFGS
knows none: it reads all digits for every evaluation of the loss, and gets three times the epochs of the others.

Multiply-adds are counted: of the sections that were activated, of what every event is computed with, and of the optimizer. Seconds
are those of the processor, without measuring.`,
		Example: `  # 10,000 digits of MNIST and its test pictures, three seeds, with a plot
  yan-lab optimizers --plot optimizers.png

  # a quick look
  yan-lab optimizers --most 1000 --epochs 2 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return optimizers(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringArrayVar(&o.data, "data", nil, "digits to learn, as `images:IMG,LABELS`; may be repeated")
	f.StringArrayVar(&o.test, "test", nil, "digits to be asked about")
	f.StringSliceVar(&o.methods, "method", optimizerNames, "optimizers")
	f.IntVar(&o.epochs, "epochs", 6, "how often the training digits are read")
	f.IntVar(&o.most, "most", 10_000, "training digits at most")
	f.IntVar(&o.asked, "asked", 10_000, "test digits at most")
	f.IntVar(&o.tune, "tune", 2_500, "digits that rates are tried on, at most")
	f.Float64Var(&o.goal, "goal", 0.95, "share of the test digits that shall be right")
	f.StringVar(&o.plot, "plot", "", "PNG `FILE` for the curves")
	f.IntVar(&o.seeds, "seeds", 3, "seeds")
	f.Uint64Var(&o.seed, "seed", 1, "the first of them")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

func (o *optimizersOptions) check() error {
	for _, m := range o.methods {
		if !slices.Contains(optimizerNames, m) {
			return ui.Usage("--method %s: there are %v", m, optimizerNames)
		}
	}
	if o.epochs < 1 || o.most < 50 || o.tune < 20 || o.asked < 1 || o.seeds < 1 || !(o.goal > 0 && o.goal < 1) {
		return ui.Usage("--epochs %d, --most %d, --asked %d, --tune %d, --seeds %d, --goal %v: at least 1, 50, 1, 20, 1, and a share", o.epochs, o.most, o.asked, o.tune, o.seeds, o.goal)
	}
	return nil
}

// An optimizerRow is one optimizer over all seeds. What it took to the goal is that of the seeds that came there.
type optimizerRow struct {
	Method   string  `json:"method"`
	Rate     float64 `json:"rate,omitempty"`
	State    float64 `json:"state_bytes_per_parameter"`
	Accuracy spread  `json:"accuracy"` // at the end
	Arrived  int     `json:"seeds_at_goal"`
	Epochs   spread  `json:"epochs_to_goal"`
	MACs     spread  `json:"multiply_adds_to_goal"`
	Seconds  spread  `json:"cpu_seconds_to_goal"`

	Curves [][]mark           `json:"curves"` // of each seed
	Tried  map[string]float64 `json:"tried,omitempty"`
}

// A mark is where a training stands.
type mark struct {
	Epochs   float64 `json:"epochs"`
	MACs     float64 `json:"multiply_adds"`
	Seconds  float64 `json:"cpu_seconds"`
	Loss     float64 `json:"loss"` // nats a digit, of the epoch before
	Accuracy float64 `json:"accuracy"`
}

type optimizersReport struct {
	Data       string         `json:"data"`
	Train      int            `json:"train"`
	Test       int            `json:"test"`
	Parameters int            `json:"parameters"`
	Goal       float64        `json:"goal"`
	Seeds      int            `json:"seeds"`
	Rows       []optimizerRow `json:"rows"`
}

func optimizers(cmd *cobra.Command, o optimizersOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	train, test, err := pictures(o.data, o.test)
	if err != nil {
		return err
	}
	if train.Shape[0] < 8 || train.Shape[1] < 8 || !slices.Equal(train.Shape, test.Shape) {
		return ui.Usage("pictures of %v pixels to learn and of %v to be asked about: both must be alike, and of 8 by 8 at least", train.Shape, test.Shape)
	}
	eye := sense.NewPicture(train.Shape[0], train.Shape[1])
	if eye.Patches()+eye.Width() > sense.Symbols {
		return ui.Usage("pictures of %v pixels have %d patches: too many for this model", train.Shape, eye.Patches())
	}
	known, asked := readDigits(eye, train, o.most), readDigits(eye, test, o.asked)
	r := optimizersReport{Data: train.Arg, Train: len(known), Test: len(asked), Goal: o.goal, Seeds: o.seeds}
	for _, method := range o.methods {
		row := optimizerRow{Method: method}
		if row.Rate, row.Tried, err = tuneRate(cmd, o, eye, method, known); err != nil {
			return err
		}
		var accuracy, epochs, macs, seconds []float64
		for i := range o.seeds {
			seed := o.seed + uint64(i)
			p := newScholar(eye, method, row.Rate, seed)
			r.Parameters, row.State = p.model.Parameters(), p.state()
			curve, err := p.learn(cmd.Context(), known, asked, o.epochs)
			p.close()
			if err != nil {
				return err
			}
			row.Curves = append(row.Curves, curve)
			last := curve[len(curve)-1]
			fmt.Fprintf(cmd.ErrOrStderr(), "%s at %v, seed %d: %.4f after %.0f epochs\n", method, row.Rate, seed, last.Accuracy, last.Epochs)
			accuracy = append(accuracy, last.Accuracy)
			if at := slices.IndexFunc(curve, func(m mark) bool { return m.Accuracy >= o.goal }); at >= 0 {
				m := curve[at]
				row.Arrived++
				epochs, macs, seconds = append(epochs, m.Epochs), append(macs, m.MACs), append(seconds, m.Seconds)
			}
		}
		row.Accuracy = over(accuracy)
		if row.Arrived > 0 {
			row.Epochs, row.MACs, row.Seconds = over(epochs), over(macs), over(seconds)
		}
		r.Rows = append(r.Rows, row)
	}
	if o.plot != "" {
		if err := r.draw(o.plot); err != nil {
			return err
		}
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd)
}

// tuneRate chooses the rate with which most of the last fifth of the training digits are right.
func tuneRate(cmd *cobra.Command, o optimizersOptions, eye *sense.Picture, method string, known []digit) (best float64, tried map[string]float64, err error) {
	rates := optimizerRates[method]
	if len(rates) == 0 {
		return 0, nil, nil
	}
	cut := len(known) * 4 / 5
	right := -1.
	tried = map[string]float64{}
	for _, rate := range rates {
		p := newScholar(eye, method, rate, o.seed)
		curve, err := p.learn(cmd.Context(), known[:min(cut, o.tune)], known[cut:], 2)
		p.close()
		if err != nil {
			return 0, nil, err
		}
		a := curve[len(curve)-1].Accuracy
		fmt.Fprintf(cmd.ErrOrStderr(), "%s at %v: %.4f on held-out training digits\n", method, rate, a)
		tried[fmt.Sprint(rate)] = a
		if a > right {
			best, right = rate, a
		}
	}
	return best, tried, nil
}

func (r *optimizersReport) print(cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s: %d digits learnt, %d asked, %d parameters, %d seeds: mean (least to greatest)\n\n", r.Data, r.Train, r.Test, r.Parameters, r.Seeds)
	goal := fmt.Sprintf("to %.0f %%: ", 100*r.Goal)
	t := ui.NewTable("optimizer", "rate", "state, bytes a parameter", "right at the end", "epochs", goal+"epochs", goal+"multiply-adds, 10⁹", goal+"seconds of CPU", "seeds there")
	for _, row := range r.Rows {
		rate, epochs, macs, seconds := fmt.Sprint(row.Rate), "–", "–", "–"
		if row.Rate == 0 {
			rate = "–"
		}
		last := row.Curves[0][len(row.Curves[0])-1]
		if row.Arrived > 0 {
			epochs, seconds = row.Epochs.short(1), row.Seconds.short(1)
			macs = row.MACs.short(1e9)
		}
		a := row.Accuracy
		t.Row(row.Method, rate, fmt.Sprintf("%.1f", row.State), fmt.Sprintf("%.2f %% (%.2f to %.2f)", 100*a.Mean, 100*a.Min, 100*a.Max),
			fmt.Sprintf("%.0f", last.Epochs), epochs, macs, seconds, fmt.Sprintf("%d of %d", row.Arrived, r.Seeds))
	}
	return t.Fprint(out)
}

// short shows a spread in units.
func (s spread) short(unit float64) string {
	return fmt.Sprintf("%.1f (%.1f to %.1f)", s.Mean/unit, s.Min/unit, s.Max/unit)
}

// draw writes a PNG: the share of test digits that are wrong, the mean over the seeds, against epochs.
func (r *optimizersReport) draw(path string) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("test digits that are wrong, %d learnt", r.Train)
	p.X.Label.Text, p.Y.Label.Text = "epochs", "%"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 0}
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	for i, row := range r.Rows {
		points := math.MaxInt
		for _, c := range row.Curves {
			points = min(points, len(c))
		}
		var xy plotter.XYs
		for k := range points {
			var at, wrong float64
			for _, c := range row.Curves {
				at += c[k].Epochs / float64(len(row.Curves))
				wrong += 100 * (1 - c[k].Accuracy) / float64(len(row.Curves))
			}
			xy = append(xy, plotter.XY{X: at, Y: max(wrong, 0.01)})
		}
		line, err := plotter.NewLine(xy)
		if err != nil {
			return fmt.Errorf("%s: cannot be drawn: %w", path, err)
		}
		line.Color, line.Width = plotutil.Color(i), vg.Points(1.5)
		p.Add(line)
		p.Legend.Add(row.Method, line)
	}
	img := vgimg.New(14*vg.Centimeter, 9*vg.Centimeter)
	p.Draw(canvas.New(img))
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(&b); err != nil {
		return fmt.Errorf("%s: cannot be drawn: %w", path, err)
	}
	return ui.WriteFile(path, b.Bytes())
}
