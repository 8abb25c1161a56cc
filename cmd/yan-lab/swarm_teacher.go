package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
	"github.com/yanmesh/yan/sim/scenario"
)

type swarmTeacher struct {
	devices []int
	length  time.Duration
	seeds   int
	seed    uint64
	plot    string
	json    bool
}

func swarmTeacherCommand() *cobra.Command {
	var o swarmTeacher
	c := &cobra.Command{
		Use:   "teacher",
		Short: "How long until a swarm knows what one device learnt, by its size",
		Long: `teacher runs yan-sim's scenario first-teacher in worlds of several sizes: one device is taught something, all others are silent.
It prints how long after the first announcement half and nine tenths of the others had taken it in, and fits two curves to that by
least squares: a logarithm of the size and a power of it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntSliceVar(&o.devices, "devices", []int{10, 30, 100, 300, 1000}, "sizes of worlds")
	f.DurationVar(&o.length, "for", 20*time.Minute, "virtual time at most")
	f.IntVar(&o.seeds, "seeds", 3, "worlds of each size")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.StringVar(&o.plot, "plot", "", "draw the curves into this PNG `FILE`")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// A teacherRow is worlds of one size. Times are seconds since the first announcement.
type teacherRow struct {
	Devices int    `json:"devices"`
	Half    spread `json:"half_seconds"`
	Most    spread `json:"nine_tenths_seconds"`
	Sent    spread `json:"sent_bytes"` // by a device
	Seconds spread `json:"cpu_seconds"`
	half    []float64
	most    []float64
}

// A curveFit is a curve that was fitted to times by sizes.
type curveFit struct {
	Slope    float64 `json:"slope"`  // seconds for each doubling, or the power
	Offset   float64 `json:"offset"` // seconds at one device
	Residual float64 `json:"rms_seconds"`
}

type teacherReport struct {
	Seeds    int          `json:"seeds"`
	Rows     []teacherRow `json:"rows"`
	LogHalf  curveFit     `json:"half_by_logarithm"`
	PowHalf  curveFit     `json:"half_by_power"`
	LogMost  curveFit     `json:"nine_tenths_by_logarithm"`
	PowMost  curveFit     `json:"nine_tenths_by_power"`
	Interval float64      `json:"interval_seconds"`
}

func (o swarmTeacher) run(cmd *cobra.Command) error {
	if o.seeds < 1 || len(o.devices) < 2 || slices.Min(o.devices) < scenario.MinDevices || o.length < scenario.MinLength {
		return ui.Usage("swarm teacher: a seed, two sizes of %d devices and %v at least", scenario.MinDevices, scenario.MinLength)
	}
	r := teacherReport{Seeds: o.seeds}
	for _, n := range o.devices {
		row := teacherRow{Devices: n}
		var sent, seconds []float64
		for i := range o.seeds {
			began := speed.CPU()
			s, err := o.spread(cmd, n, o.seed+uint64(i))
			if err != nil {
				return err
			}
			row.half, row.most = append(row.half, s.half.Seconds()), append(row.most, s.most.Seconds())
			sent, seconds = append(sent, s.sent), append(seconds, (speed.CPU()-began).Seconds())
			r.Interval = s.interval.Seconds()
			fmt.Fprintf(cmd.ErrOrStderr(), "%d devices, seed %d: half after %v, nine tenths after %v\n", n, o.seed+uint64(i), s.half, s.most)
		}
		row.Half, row.Most, row.Sent, row.Seconds = over(row.half), over(row.most), over(sent), over(seconds)
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

// A spreadOut is how the lesson of one device went round in one world.
type spreadOut struct {
	half, most, interval time.Duration
	sent                 float64
}

// spread runs a world until nine tenths know.
func (o swarmTeacher) spread(cmd *cobra.Command, n int, seed uint64) (s spreadOut, err error) {
	sc, err := scenario.Parse("first-teacher", scenario.Builtin("first-teacher"))
	if err != nil {
		return s, err
	}
	m, err := sc.World(n, seed, o.length, oneText{})
	if err != nil {
		return s, err
	}
	teacher, first := -1, time.Duration(-1)
	for i, d := range m.Options.Devices {
		if len(d.Stream) > 0 {
			teacher = i
		}
	}
	has := map[int]bool{}
	m.Options.Watch = func(v sim.Moment) {
		switch {
		case v.What == sim.Announced && v.Device == teacher && first < 0:
			first = v.At
		case v.What == sim.Tried && v.Verdict == protocol.Folded && v.Peer == teacher && !has[v.Device]:
			has[v.Device] = true
			if s.half == 0 && 2*len(has) >= n-1 {
				s.half = v.At - first
			}
			if s.most == 0 && 10*len(has) >= 9*(n-1) {
				s.most = v.At - first
			}
		}
	}
	m.Options.Progress = func(time.Duration) error { return cmd.Context().Err() }
	s.interval = m.Options.Exchange.Interval
	w, err := sim.New(seed, m.Options)
	if err != nil {
		return s, err
	}
	for w.Now() < o.length && s.most == 0 {
		if err := w.Run(s.interval); err != nil {
			return s, err
		}
	}
	if s.most == 0 {
		return s, fmt.Errorf("%d devices, seed %d: after %v %d know it", n, seed, o.length, len(has))
	}
	s.sent = float64(w.Sent()) / float64(n)
	return s, nil
}

// oneText gives everybody the same text, of which the scenario leaves all but one nothing to say.
type oneText struct{}

func (oneText) Base(string) (*model.Model, error) { return base.Pocket(), nil }

func (oneText) Users(n int, seed uint64, d scenario.Data) (u scenario.Users, err error) {
	p := dataset.Personas(1, seed)[0]
	for i := range n {
		u.Each = append(u.Each, scenario.User{Name: fmt.Sprintf("device-%06d", i), Stream: p.Train[:min(d.Amount, len(p.Train))], Held: p.Test})
	}
	u.Note = "a generated persona"
	return u, nil
}

// fit fits curves to all worlds.
func (r *teacherReport) fit() {
	var sizes, half, most []float64
	for _, row := range r.Rows {
		for k := range row.half {
			sizes, half, most = append(sizes, float64(row.Devices)), append(half, row.half[k]), append(most, row.most[k])
		}
	}
	r.LogHalf, r.PowHalf = logarithm(sizes, half), power(sizes, half)
	r.LogMost, r.PowMost = logarithm(sizes, most), power(sizes, most)
}

// straight is the least-squares line through points.
func straight(x, y []float64) (slope, offset float64) {
	var mx, my, xy, xx float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(x))
	}
	for i := range x {
		xy, xx = xy+(x[i]-mx)*(y[i]-my), xx+(x[i]-mx)*(x[i]-mx)
	}
	slope = xy / xx
	return slope, my - slope*mx
}

// logarithm fits Slope·log₂ n + Offset.
func logarithm(n, seconds []float64) (f curveFit) {
	x := make([]float64, len(n))
	for i, v := range n {
		x[i] = math.Log2(v)
	}
	f.Slope, f.Offset = straight(x, seconds)
	f.Residual = residual(n, seconds, f.log)
	return f
}

func (f curveFit) log(n float64) float64 { return f.Slope*math.Log2(n) + f.Offset }

// power fits Offset·n^Slope, in logarithms.
func power(n, seconds []float64) (f curveFit) {
	x, y := make([]float64, len(n)), make([]float64, len(n))
	for i, v := range n {
		x[i], y[i] = math.Log(v), math.Log(max(seconds[i], 1e-9))
	}
	f.Slope, f.Offset = straight(x, y)
	f.Offset = math.Exp(f.Offset)
	f.Residual = residual(n, seconds, f.pow)
	return f
}

func (f curveFit) pow(n float64) float64 { return f.Offset * math.Pow(n, f.Slope) }

// residual is the root of the mean square of what a curve is off by.
func residual(x, y []float64, f func(float64) float64) float64 {
	var sum float64
	for i := range x {
		sum += (y[i] - f(x[i])) * (y[i] - f(x[i])) / float64(len(x))
	}
	return math.Sqrt(sum)
}

func (r *teacherReport) print(w io.Writer) error {
	t := ui.NewTable("devices", "half know it after, s", "nine tenths, s", "kB sent a device", "CPU-s")
	for _, row := range r.Rows {
		t.Row(row.Devices, row.Half.plain(), row.Most.plain(), row.Sent.short(1e3), row.Seconds.short(1))
	}
	if err := t.Fprint(w); err != nil {
		return err
	}
	for _, f := range []struct {
		name     string
		log, pow curveFit
	}{{"half", r.LogHalf, r.PowHalf}, {"nine tenths", r.LogMost, r.PowMost}} {
		fmt.Fprintf(w, "%s: %.3f s for each doubling %+.3f s, off by %.3f s; or %.3f s times N to the %.3f, off by %.3f s\n",
			f.name, f.log.Slope, f.log.Offset, f.log.Residual, f.pow.Offset, f.pow.Slope, f.pow.Residual)
	}
	return nil
}

// draw writes a PNG: the times of all worlds, and the logarithms that were fitted to them.
func (r *teacherReport) draw(file string) error {
	p := plot.New()
	p.Title.Text = "until the swarm knows what one device learnt"
	p.X.Label.Text, p.Y.Label.Text = "devices", "seconds since it was announced"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	for k, c := range []struct {
		name string
		of   func(teacherRow) []float64
		fit  curveFit
	}{{"half", func(t teacherRow) []float64 { return t.half }, r.LogHalf}, {"nine tenths", func(t teacherRow) []float64 { return t.most }, r.LogMost}} {
		ink := []color.RGBA{{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}, {R: 0xd6, G: 0x27, B: 0x28, A: 0xff}}[k]
		var dots plotter.XYs
		for _, row := range r.Rows {
			for _, v := range c.of(row) {
				dots = append(dots, plotter.XY{X: float64(row.Devices), Y: v})
			}
		}
		points, err := plotter.NewScatter(dots)
		if err != nil {
			return err
		}
		points.Color = ink
		fitted := plotter.NewFunction(c.fit.log)
		fitted.XMin, fitted.XMax = float64(r.Rows[0].Devices), float64(r.Rows[len(r.Rows)-1].Devices)
		fitted.Samples, fitted.Color = 100, ink
		p.Add(points, fitted)
		p.Legend.Add(fmt.Sprintf("%s: %.2f s for each doubling %+.2f s", c.name, c.fit.Slope, c.fit.Offset), points, fitted)
	}
	return p.Save(16*vg.Centimeter, 10*vg.Centimeter, file)
}
