package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
)

type scaleOptions struct {
	from, to int
	seeds    int
	seed     uint64
	length   time.Duration
	text     int
	names    int
	live     int
	versions int
	plot     string
	json     bool
}

func scaleCommand() *cobra.Command {
	var o scaleOptions
	c := &cobra.Command{
		Use:   "scale",
		Short: "Which cost of a device grows how with the size of the swarm",
		Long: `scale runs worlds of more and more devices, about three times as many each time. In all of them every user says as much, every
device has as many neighbours and room for as many updates, and everyone takes turns at being central. It prints what a device
sends, holds and computes, and fits a power of the size to each cost by least squares of the logarithms, with the interval in
which the exponent lies with 95 %.`,
		Example: `  yan-lab scale --from 10 --to 1000 --plot scale.png`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.from, "from", 10, "devices of the smallest world")
	f.IntVar(&o.to, "to", 300, "and of the largest")
	f.IntVar(&o.seeds, "seeds", 3, "worlds of each size")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.DurationVar(&o.length, "for", 30*time.Minute, "virtual time; the users talk in the first two thirds")
	f.IntVar(&o.text, "text", 400, "bytes that each user says")
	f.IntVar(&o.names, "names", 4, "under how many names the users teach; 0 for one each")
	f.IntVar(&o.live, "live", 16, "updates that a device has room for")
	f.IntVar(&o.versions, "versions", 8, "and of one name")
	f.StringVar(&o.plot, "plot", "", "draw the curves into this PNG `FILE`")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// costs are what one device of a world cost, on average where nothing else is said.
var costs = []struct{ name, unit string }{
	{"sent", "kB"}, {"sent by the busiest", "kB"}, {"conversation", "kB"}, {"heads", "kB"}, {"bodies", "kB"}, {"records of centrals", "kB"},
	{"updates held", ""}, {"authors remembered", ""}, {"skills tried", ""}, {"weights", "kB"}, {"turns as central", ""}, {"memory", "kB"}, {"computing", "CPU-ms"}, {"events", ""},
}

// A scaleRow is the worlds of one size: for each cost of costs, the figure of each seed.
type scaleRow struct {
	Devices int         `json:"devices"`
	Costs   [][]float64 `json:"costs"`
}

// A scaleLaw is a power of the size that was fitted to a cost.
type scaleLaw struct {
	Cost   string  `json:"cost"`
	Unit   string  `json:"unit"`
	Power  float64 `json:"power"`
	Within float64 `json:"within"` // the exponent lies so close to Power with 95 %
	At     float64 `json:"at"`     // the cost in a world of one, as fitted
}

type scaleReport struct {
	Rows    []scaleRow `json:"rows"`
	Growths []scaleLaw `json:"growths"`
}

func (o scaleOptions) sizes() (list []int) {
	for _, n := range []int{1, 3} {
		for ; n <= o.to; n *= 10 {
			if n >= o.from {
				list = append(list, n)
			}
		}
	}
	slices.Sort(list)
	return list
}

func (o scaleOptions) run(cmd *cobra.Command) error {
	sizes := o.sizes()
	if len(sizes) < 2 || sizes[0] < 3 || o.seeds < 1 || o.text < 100 || o.live < 2 || o.versions < 2 || o.length < time.Minute {
		return ui.Usage("scale: two sizes of 3 devices, a seed, a minute, 100 bytes of text and room for 2 updates at least")
	}
	var r scaleReport
	for _, n := range sizes {
		row := scaleRow{Devices: n, Costs: make([][]float64, len(costs))}
		for i := range o.seeds {
			c, err := o.world(cmd, n, o.seed+uint64(i))
			if err != nil {
				return err
			}
			for k, v := range c {
				row.Costs[k] = append(row.Costs[k], v)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d devices, seed %d: %.1f kB sent by each, %.0f CPU-ms\n", n, o.seed+uint64(i), c[0], c[len(c)-2])
		}
		r.Rows = append(r.Rows, row)
	}
	r.fit()
	if o.plot != "" {
		if err := r.draw(o.plot); err != nil {
			return err
		}
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// options are those of one world.
func (o scaleOptions) options(n int, seed uint64) sim.Options {
	opt := sim.Options{
		Base:     base.Tiny(),
		Learning: learning.Config{Sections: 2, Neurons: 4, Rehearse: 1, Recent: 256, Reservoir: 16},
		Links:    sim.Links{MinDelay: 20 * time.Millisecond, MaxDelay: 200 * time.Millisecond},
		Talk:     o.length * 2 / 3, Updates: 1, Degree: 8,
	}
	opt.Exchange.Interval, opt.Exchange.Central = time.Minute, 1
	opt.Exchange.MaxLive, opt.Exchange.Versions = o.live, o.versions
	users := dataset.Personas(min(n, 100), seed) // more of them say what others say, each from elsewhere on
	for i := range n {
		u := users[i%len(users)]
		from := i / len(users) * 37 % max(len(u.Train)-o.text, 1)
		d := sim.Device{Name: fmt.Sprintf("device-%06d", i), Stream: u.Train[from:][:min(o.text, len(u.Train)-from)]}
		if o.names > 0 {
			d.Skill = fmt.Sprintf("topic-%d", i%o.names)
		}
		opt.Devices = append(opt.Devices, d)
	}
	return opt
}

// world runs one, and returns its costs.
func (o scaleOptions) world(cmd *cobra.Command, n int, seed uint64) ([]float64, error) {
	opt := o.options(n, seed)
	turns := 0
	opt.Watch = func(m sim.Moment) {
		if m.What == sim.Ruled {
			turns++
		}
	}
	opt.Progress = func(time.Duration) error { return cmd.Context().Err() }
	before, began := heap(), speed.CPU()
	w, err := sim.New(seed, opt)
	if err != nil {
		return nil, err
	}
	if err := w.Run(o.length); err != nil {
		return nil, err
	}
	spent, memory := speed.CPU()-began, heap()-before
	var sum, most sim.Load
	for _, l := range w.Loads() {
		sum.Sent, most.Sent = sum.Sent+l.Sent, max(most.Sent, l.Sent)
		sum.Updates, sum.Authors, sum.Tried, sum.Weights = sum.Updates+l.Updates, sum.Authors+l.Authors, sum.Tried+l.Tried, sum.Weights+l.Weights
	}
	kB := func(kinds ...protocol.Kind) (b float64) {
		for _, k := range kinds {
			b += float64(w.Traffic(k).Bytes)
		}
		return b / 1e3
	}
	each := []float64{
		float64(sum.Sent) / 1e3, float64(most.Sent) / 1e3 * float64(n),
		kB(protocol.KindHello, protocol.KindHave, protocol.KindWant, protocol.KindAnswer), kB(protocol.KindAnnounce), kB(protocol.KindUpdate), kB(protocol.KindAlign, protocol.KindRecord),
		float64(sum.Updates), float64(sum.Authors), float64(sum.Tried), float64(sum.Weights) / 1e3, float64(turns), memory / 1e3, spent.Seconds() * 1e3, float64(w.Events()),
	}
	for k := range each {
		each[k] /= float64(n)
	}
	return each, nil
}

// heap is how many bytes are in use.
func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// fit fits a power to each cost.
func (r *scaleReport) fit() {
	for k, c := range costs {
		var n, y []float64
		for _, row := range r.Rows {
			for _, v := range row.Costs[k] {
				n, y = append(n, float64(row.Devices)), append(y, v)
			}
		}
		g := scaleLaw{Cost: c.name, Unit: c.unit}
		g.Power, g.Within, g.At = exponent(n, y)
		r.Growths = append(r.Growths, g)
	}
}

// students are the quantiles of Student's distribution beyond which 2.5 % lie, by degrees of freedom from 1 on.
var students = []float64{12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2}

// exponent fits at·nᵖ to y by least squares of the logarithms: with 95 % p lies as close as within.
func exponent(n, y []float64) (p, within, at float64) {
	var lx, ly []float64
	for i, v := range y {
		if v > 0 {
			lx, ly = append(lx, math.Log(n[i])), append(ly, math.Log(v))
		}
	}
	if len(lx) < 3 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	slope, offset := straight(lx, ly)
	var mean, xx, rest float64
	for _, x := range lx {
		mean += x / float64(len(lx))
	}
	for i, x := range lx {
		xx += (x - mean) * (x - mean)
		rest += (ly[i] - offset - slope*x) * (ly[i] - offset - slope*x)
	}
	return slope, students[min(len(lx)-3, len(students)-1)] * math.Sqrt(rest/float64(len(lx)-2)/xx), math.Exp(offset)
}

func (r *scaleReport) print(w io.Writer) error {
	head := []string{"a device's"}
	for _, row := range r.Rows {
		head = append(head, fmt.Sprintf("N=%d", row.Devices))
	}
	t := ui.NewTable(append(head, "grows as N to the")...)
	for k, c := range costs {
		name := c.name
		if c.unit != "" {
			name += ", " + c.unit
		}
		cells := []any{name}
		for _, row := range r.Rows {
			s := over(row.Costs[k])
			cells = append(cells, fmt.Sprintf("%.4g (%.4g–%.4g)", s.Mean, s.Min, s.Max))
		}
		g := r.Growths[k]
		t.Row(append(cells, fmt.Sprintf("%.2f ± %.2f", g.Power, g.Within))...)
	}
	return t.Fprint(w)
}

// draw writes a PNG: some costs by the size, each beside what it is in the smallest world.
func (r *scaleReport) draw(file string) error {
	p := plot.New()
	p.Title.Text = "what a device costs, beside the smallest world"
	p.X.Label.Text, p.Y.Label.Text = "devices", "times as much"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Top, p.Legend.Left = true, true
	inks := []color.RGBA{{0x1f, 0x77, 0xb4, 0xff}, {0xd6, 0x27, 0x28, 0xff}, {0x2c, 0xa0, 0x2c, 0xff}, {0x94, 0x67, 0xbd, 0xff}, {0xff, 0x7f, 0x0e, 0xff}, {0x55, 0x55, 0x55, 0xff}}
	for i, name := range []string{"sent", "records of centrals", "updates held", "authors remembered", "memory", "computing"} {
		k := slices.IndexFunc(costs, func(c struct{ name, unit string }) bool { return c.name == name })
		first := over(r.Rows[0].Costs[k]).Mean
		if !(first > 0) {
			continue
		}
		var line plotter.XYs
		for _, row := range r.Rows {
			line = append(line, plotter.XY{X: float64(row.Devices), Y: max(over(row.Costs[k]).Mean/first, 1e-3)})
		}
		curve, dots, err := plotter.NewLinePoints(line)
		if err != nil {
			return err
		}
		curve.Color, dots.Color = inks[i], inks[i]
		p.Add(curve, dots)
		p.Legend.Add(fmt.Sprintf("%s: N to the %.2f", name, r.Growths[k].Power), curve, dots)
	}
	return p.Save(16*vg.Centimeter, 10*vg.Centimeter, file)
}
