// Package speed is how fast this machine thinks, and learns, with Yan models.
//
// [Run] follows a [Plan] and fills in a [Report]: what the processor could do at best, how many events a second a model
// predicts at several places of a stream and reads ahead, what learning from them costs beside, and how fast a base is
// trained. [Build] makes a model of any shape, with random weights, of which as much is active as of a trained one: how
// fast it is depends on nothing else.
//
// Work is done in short segments, turn by turn with whatever it is compared with, so that a machine which is busy with
// other things disturbs both alike, and shows in the distance between the best segment and the least. The package prints
// nothing and judges nothing: what is fast enough is for the reader to say.
package speed

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A Plan says what to measure, and how long to go on.
type Plan struct {
	Segment  time.Duration // how long a segment of work takes, about
	Rounds   int           // segments of each kind
	Patience time.Duration // after this much work a part is content with what it has
	Limit    time.Duration // after this long, on the wall, no other part begins

	Contexts []int   // places of the stream at which decoding is measured, in rising order
	Prefill  []int   // how many events are read ahead
	Shapes   []Shape // models to measure beside the given one
	Training []Shape // models to train

	Memory int // bytes that are read to know the rate of reading from memory: more than caches hold
}

// A Shape is a model to build.
type Shape struct {
	Name   string
	Config model.Config
	Dense  bool // all sections are computed for every event, not only those that it would choose
	Far    int  // the last place at which decoding is measured, for a model that takes long to get there. If zero, all of them
}

// Quick is a plan for some seconds.
func Quick() Plan {
	p := Full()
	p.Rounds, p.Segment, p.Patience, p.Limit = 5, 60*time.Millisecond, 2*time.Second, 20*time.Second
	p.Contexts, p.Shapes, p.Training = p.Contexts[:3], p.Shapes[:1], p.Training[:1]
	return p
}

// Full is a plan for a minute or two.
func Full() Plan {
	return Plan{
		Segment: 100 * time.Millisecond, Rounds: 7, Patience: 9 * time.Second, Limit: 2 * time.Minute,
		Contexts: []int{0, 1000, 4000, 16000, 100000}, Prefill: []int{512, 4096}, Memory: 128 << 20,
		// As many parameters as the models that others are measured on.
		Shapes: []Shape{
			{Name: "15M", Config: model.Config{Width: 256, Layers: 6, Channels: 8, Sections: 99, Neurons: 32, KeyRank: 32, Active: 10, Alpha: 0.5}},
			{Name: "110M", Config: model.Config{Width: 512, Layers: 8, Channels: 16, Sections: 138, Neurons: 64, KeyRank: 32, Active: 14, Alpha: 0.5}, Far: 16000},
		},
		Training: append(trained("5M", model.Config{Width: 256, Layers: 6, Channels: 8, Sections: 28, Neurons: 32, KeyRank: 32, Active: 3, Alpha: 0.5, ContextLayer: 1}),
			trained("25M", model.Config{Width: 512, Layers: 8, Channels: 8, Sections: 56, Neurons: 32, KeyRank: 24, Active: 6, Alpha: 0.5, ContextLayer: 1})...),
	}
}

// trained is a shape twice: with a tenth of its sections active, and with all.
func trained(name string, c model.Config) []Shape {
	all := c
	all.Active, all.MaxActive = c.Sections, c.Sections
	return []Shape{{Name: name, Config: c}, {Name: name, Config: all, Dense: true}}
}

// A Report is what was measured. The figures of the given model stand in it as its own.
type Report struct {
	Figures
	Peak     Peak        `json:"peak"`
	Shapes   []*Figures  `json:"shapes"`
	Training []*Training `json:"training"`
	Pool     *Pool       `json:"pool,omitempty"`
	Machine  Machine     `json:"machine"`
	Notes    []string    `json:"notes"`   // what was left out, and why
	Whole    bool        `json:"whole"`   // whether everything else in the plan was measured
	Seconds  float64     `json:"seconds"` // how long it took, on the wall
}

// Peak is what the processor could do at best.
type Peak struct {
	FMA    float64 `json:"fma_gflops"`   // multiplying and adding in registers, one thread
	Memory float64 `json:"read_gbps"`    // reading from memory
	Cache  float64 `json:"read_l2_gbps"` // reading 256 KiB again and again: from the second cache
}

// Machine is where it was measured.
type Machine struct {
	CPU        string `json:"cpu"`
	Level      string `json:"level"`      // the instructions that the arithmetic uses
	Processors int    `json:"processors"` // how many threads may run at once
	System     string `json:"system"`
	Clock      string `json:"clock"` // cpu: seconds that a processor was at work, all threads taken together; wall where the system does not tell
}

func machine() Machine {
	return Machine{CPU: cmp.Or(cpuName(), runtime.GOARCH), Level: kernel.Level(), Processors: runtime.GOMAXPROCS(0),
		System: runtime.GOOS + "/" + runtime.GOARCH, Clock: clockName}
}

// bench is a plan on its way.
type bench struct {
	ctx   context.Context
	plan  Plan
	cpu   clock
	wall  clock
	text  []sense.Event
	out   *Report
	last  *subject // the model that is in memory
	tell  func(done, total int)
	done  int // segments
	total int
}

// A part of a plan is measured as a whole, unless the time is up.
type part struct {
	name  string
	turns int // segments that it consists of, about
	run   func() error
}

// Run measures what the plan says, first with the given model, and returns what it found; if it was stopped by ctx or
// failed, what it had found until then. tell is told how many of about how many segments are done.
func Run(ctx context.Context, p Plan, name string, m *model.Model, tell func(done, total int)) (*Report, error) {
	began := time.Now()
	b := &bench{ctx: ctx, plan: p, cpu: cpuTime, wall: func() time.Duration { return time.Since(began) }, tell: tell}
	return b.run(name, m)
}

func (b *bench) run(name string, m *model.Model) (*Report, error) {
	b.text = Prose(textEvents)
	b.out = &Report{Machine: machine(), Shapes: []*Figures{}, Training: []*Training{}, Notes: []string{}, Whole: true}
	b.out.Figures = *figures(name)
	parts := []part{{"the peaks", 3 * b.plan.Rounds, b.peaks}}
	parts = append(parts, b.thinking(&subject{out: &b.out.Figures, m: m})...)
	for _, s := range b.plan.Shapes {
		parts = append(parts, b.thinking(&subject{out: figures(s.Name), shape: s})...)
	}
	if b.out.Machine.Processors > 1 {
		parts = append(parts, part{"the pool", 2 * b.plan.Rounds, b.pool})
	}
	for _, s := range b.plan.Training {
		parts = append(parts, b.training(s))
	}
	err := b.follow(parts)
	b.out.Seconds = b.wall().Seconds()
	return b.out, err
}

func (b *bench) follow(parts []part) error {
	for _, p := range parts {
		b.total += p.turns
	}
	var late []string
	next := 0
	for _, p := range parts {
		if err := b.ctx.Err(); err != nil {
			b.out.Whole = false
			return err
		}
		next += p.turns
		if b.wall() > b.plan.Limit {
			late = append(late, p.name)
			continue
		}
		if err := cmp.Or(p.run(), b.ctx.Err()); err != nil {
			b.out.Whole = false
			return err
		}
		b.done = next - 1
		b.step()
	}
	if len(late) > 0 {
		b.out.Whole = false
		b.note("left out, for the time was up: %s", strings.Join(late, ", "))
	}
	return nil
}

func (b *bench) note(format string, args ...any) {
	b.out.Notes = append(b.out.Notes, fmt.Sprintf(format, args...))
}

func (b *bench) step() {
	b.done++
	if b.tell != nil {
		b.tell(min(b.done, b.total), b.total)
	}
}

func (b *bench) peaks() error {
	cache, memory := ones(256<<10), ones(b.plan.Memory)
	got := b.turns(b.cpu, b.burning(), b.sweeping(cache), b.sweeping(memory))
	p := &b.out.Peak
	p.FMA, p.Cache, p.Memory = rate(got[0]).Best/1e9, rate(got[1]).Best/1e9, rate(got[2]).Best/1e9
	return nil
}

// ones are so many bytes that were written, for only then do they lie anywhere.
func ones(bytes int) []float32 {
	x := kernel.Aligned(max(bytes/4, 1<<12))
	for i := range x {
		x[i] = 1
	}
	return x
}

// burning is work at the peak of multiplying and adding. A unit is an operation.
func (b *bench) burning() work {
	return b.segment(func() float64 { return float64(kernel.Burn(20000)) })
}

// sweeping is work at the peak of reading from where x lies. A unit is a byte.
func (b *bench) sweeping(x []float32) work {
	return b.segment(func() float64 { return float64(kernel.Sweep(x)) })
}

// textEvents is how long the text is: further than any place of the stream.
const textEvents = 1 << 17

// Prose is text that nobody wrote, always the same: words of some language that is none, the frequent ones
// often. What is routed where varies as with a text, which it would not with one sentence again and again.
func Prose(n int) []sense.Event {
	r := rand.New(rand.NewPCG(3, 4))
	var words []string
	for range 500 {
		w := make([]byte, 1+r.IntN(9))
		for i := range w {
			w[i] = "etaoinshrdlucmfwypvbgkqjxz"[min(r.IntN(26), r.IntN(26))]
		}
		words = append(words, string(w))
	}
	var text []byte
	for len(text) < n {
		text = append(text, words[min(r.IntN(len(words)), r.IntN(len(words)))]...)
		text = append(text, " \n.,"[max(0, r.IntN(20)-16)])
	}
	return sense.Text(text[:n])
}
