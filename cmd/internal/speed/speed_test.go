package speed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/kernel"
)

// tiny is a plan for a moment: everything is measured, and nothing for long.
func tiny() Plan {
	return Plan{
		Segment: time.Millisecond, Rounds: 3, Patience: time.Minute, Limit: time.Hour,
		Contexts: []int{0, 100, 700}, Prefill: []int{64, 600}, Memory: 1 << 20,
		Shapes:   []Shape{{Name: "pocket", Config: model.Pocket(), Far: 100}},
		Training: trained("pocket", model.Pocket()),
	}
}

// hands is a clock that moves when somebody moves it.
type hands time.Duration

func (h *hands) clock() time.Duration { return time.Duration(*h) }

// timed is a bench whose time is kept by hand.
func timed(p Plan) (*bench, *hands) {
	h := new(hands)
	b := &bench{ctx: context.Background(), plan: p, cpu: h.clock, wall: h.clock, text: Prose(textEvents), out: &Report{}}
	return b, h
}

// numbers calls f with every number in v and where it stands.
func numbers(at string, v reflect.Value, f func(at string, v float64)) {
	switch v.Kind() {
	case reflect.Pointer:
		numbers(at, v.Elem(), f)
	case reflect.Struct:
		for i := range v.NumField() {
			numbers(at+"."+v.Type().Field(i).Name, v.Field(i), f)
		}
	case reflect.Slice:
		if v.Len() == 0 && !strings.HasSuffix(at, "Notes") {
			f(at+": empty", 0)
		}
		for i := range v.Len() {
			numbers(fmt.Sprintf("%s[%d]", at, i), v.Index(i), f)
		}
	case reflect.Int:
		f(at, float64(v.Int()))
	case reflect.Float64:
		f(at, v.Float())
	}
}

// Everything in the plan is measured, for the given model and for shapes, and every figure is one.
func TestReportIsWhole(t *testing.T) {
	const processors = 3 // so that on any machine there are two threads to compare, and they are not all
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
	var told []int
	whole := 0
	r, err := Run(t.Context(), tiny(), "shipped", base.Pocket(), func(done, total int) {
		told, whole = append(told, done), total
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(told); n < 50 || told[n-1] != whole || !slices.IsSorted(told) {
		t.Errorf("of %d segments %v were done", whole, told)
	}
	if !r.Whole || len(r.Notes) > 0 {
		t.Errorf("whole: %v, notes %q", r.Whole, r.Notes)
	}
	// Figures that may be zero: differences and spreads, and what a system does not tell.
	may := []string{".Flatness", "Spread", ".PeakResident", ".ForkJoin"}
	count := 0
	numbers("", reflect.ValueOf(r), func(at string, v float64) {
		count++
		zero := slices.ContainsFunc(may, func(s string) bool { return strings.HasSuffix(at, s) })
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || v == 0 && !zero && !strings.HasSuffix(at, "Decode[0].Context") {
			t.Errorf("%s is %v", at, v)
		}
	})
	if count < 100 {
		t.Errorf("only %d figures", count)
	}

	given, built := &r.Figures, r.Shapes[0]
	for _, f := range []*Figures{given, built} {
		var at []int
		for _, d := range f.Decode {
			at = append(at, d.Context)
			if d.Segments != 3 || d.Best < d.Median || d.Median < d.Least {
				t.Errorf("%s: %+v", f.Name, d)
			}
		}
		want := []int{0, 100, 700}
		if f == built {
			want = want[:2]
		}
		if !slices.Equal(at, want) {
			t.Errorf("%s: decoded at %v, want %v", f.Name, at, want)
		}
		if f.Early != f.State || f.Early != base.Pocket().NewState().Bytes() {
			t.Errorf("%s: a stream carries %d bytes, %d in the end", f.Name, f.Early, f.State)
		}
		if f.Weights != "bf16" || f.Parameters != base.Pocket().Parameters() || f.Prefill != f.Prefills[0].Median {
			t.Errorf("%+v", f)
		}
	}
	if given.Name != "shipped" || built.Name != "pocket" {
		t.Errorf("%s, %s", given.Name, built.Name)
	}
	for i, v := range r.Training {
		if v.Threads != 2 || i == 1 && v.Active < 0.95 || i == 0 && v.Active > 0.3 {
			t.Errorf("training: %+v", v)
		}
	}
	if got := runtime.GOMAXPROCS(0); got != processors {
		t.Errorf("training left %d processors", got)
	}
}

// What programs rely on has its name.
func TestReportInJSON(t *testing.T) {
	j, err := json.Marshal(&Report{Figures: Figures{Decode: []Decode{{Context: 4000, Rate: Rate{Median: 5}}}, Prefill: 6, LearnStep: 7, State: 8, Share: 0.5},
		Peak: Peak{FMA: 9, Memory: 10}})
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Decode []struct {
			Context int
			Rate    float64 `json:"events_per_second"`
		}
		Prefill float64
		Learn   float64 `json:"learn_step_ns"`
		State   int     `json:"state_bytes"`
		Peak    struct {
			FMA  float64 `json:"fma_gflops"`
			Read float64 `json:"read_gbps"`
		}
		Share float64 `json:"share_of_peak"`
	}
	if err := json.Unmarshal(j, &r); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(r), "{[{4000 5}] 6 7 8 {9 10} 0.5}"; got != want {
		t.Errorf("%s, want %s in %s", got, want, j)
	}
}

func TestRate(t *testing.T) {
	for _, tt := range []struct {
		segments []float64
		want     Rate
		spread   float64
	}{
		{nil, Rate{}, 0},
		{[]float64{3}, Rate{3, 3, 3, 1}, 0},
		{[]float64{4, 1, 2}, Rate{2, 4, 1, 3}, 1.5},
		{[]float64{1, 5, 2, 3}, Rate{2.5, 5, 1, 4}, 1.6},
	} {
		if got := rate(tt.segments); got != tt.want || got.Spread() != tt.spread {
			t.Errorf("%v: %+v, spread %v", tt.segments, got, got.Spread())
		}
	}
	if got := (Rate{Median: 1e6}).Time(); got != 1000 {
		t.Errorf("a million a second take %v ns each", got)
	}
}

// In every round another work begins, and each is timed by itself.
func TestWorksTakeTurns(t *testing.T) {
	b, h := timed(Plan{Rounds: 4, Patience: time.Hour})
	var order []int
	takes := func(i int, d time.Duration) work {
		return func(round int) float64 {
			order = append(order, i)
			*h += hands(d * time.Duration(round+1))
			return 10
		}
	}
	got := b.turns(h.clock, takes(0, time.Second), takes(1, 2*time.Second), takes(2, 0))
	if want := []int{0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	// What took no time that the clock can tell has no rate.
	want := [][]float64{{10, 5, 10. / 3, 2.5}, {5, 2.5, 10. / 6, 1.25}, nil}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("work %d: %v, want %v", i, got[i], want[i])
		}
	}
}

// Patience ends rounds that take long, after three of them, or after one if they take very long.
func TestPatience(t *testing.T) {
	for takes, want := range map[time.Duration]int{time.Second: 7, 3 * time.Second: 3, 4 * time.Second: 3, 20 * time.Second: 1} {
		b, h := timed(Plan{Rounds: 7, Patience: 10 * time.Second})
		got := b.turns(h.clock, func(int) float64 { *h += hands(takes); return 1 })
		if len(got[0]) != want {
			t.Errorf("rounds of %v: %d, want %d", takes, len(got[0]), want)
		}
	}
	b, h := timed(Plan{Rounds: 7, Patience: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	b.ctx = ctx
	got := b.turns(h.clock, func(int) float64 { *h++; return 1 }, func(round int) float64 {
		if *h++; round == 1 {
			cancel()
		}
		return 1
	})
	if len(got[0]) != 1 || len(got[1]) != 2 {
		t.Errorf("stopped in the second round: %v", got)
	}
}

// A segment is as long as the plan has it.
func TestSegment(t *testing.T) {
	b, h := timed(Plan{Segment: time.Second})
	calls := 0
	run := b.segment(func() float64 {
		calls++
		*h += hands(7 * time.Millisecond)
		return 3
	})
	calls = 0
	from := h.clock()
	if units := run(0); calls != 142 || units != 3*142 || h.clock()-from != 994*time.Millisecond {
		t.Errorf("%d calls, %v units, %v", calls, units, h.clock()-from)
	}
}

// Places are compared within rounds, so that a machine that becomes slower is not taken for a place that is slow.
func TestFlatness(t *testing.T) {
	for _, tt := range []struct {
		places [][]float64
		want   float64
	}{
		{[][]float64{{100, 50, 25}, {100, 50, 25}}, 0},
		{[][]float64{{110, 55, 11}, {90, 45, 9}}, 0.2},
		{[][]float64{{110, 55}, {90, 45, 100}}, 0.2}, // the last round was not finished
		{[][]float64{{5}}, 0},
		{[][]float64{nil, {5}}, 0},
	} {
		if got := flatness(tt.places); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%v: %v, want %v", tt.places, got, tt.want)
		}
	}
}

// A built model has the weights of its shape on 16 bits, is always the same, and as active as its shape says, on text that
// it was not calibrated with, too.
func TestBuild(t *testing.T) {
	for _, c := range []model.Config{model.Pocket(), model.Small()} {
		m, err := Build(c)
		if err != nil {
			t.Fatal(err)
		}
		var tape model.Tape
		m.Forward(m.NewState(), Prose(4096)[2048:], &tape)
		want := float64(c.Active) / float64(c.Sections)
		if got := active(m, &tape); math.Abs(got/want-1) > 0.2 {
			t.Errorf("%.3f are active, want %.3f", got, want)
		}
		if form, bytes := weights(m); form != "bf16" || bytes < 2*m.Parameters() || bytes > 2*m.Parameters()*11/10 {
			t.Errorf("%d weights as %s in %d bytes", m.Parameters(), form, bytes)
		}
		again, err := Build(c)
		if err != nil {
			t.Fatal(err)
		}
		if m.Fingerprint() != again.Fingerprint() {
			t.Error("built again it is another model")
		}
	}
	if _, err := Build(model.Config{Width: 5}); err == nil {
		t.Error("a shape that is none was built")
	}
}

func TestSaturate(t *testing.T) {
	m, err := model.New(trained("", model.Pocket())[1].Config)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(random())
	saturate(m)
	var tape model.Tape
	m.Forward(m.NewState(), Prose(256), &tape)
	if got := active(m, &tape); got != 1 {
		t.Errorf("%v of the sections are active", got)
	}
}

// Shapes have as many parameters as their names and the models that they are compared with.
func TestShapes(t *testing.T) {
	p := Full()
	for _, s := range append(p.Shapes, p.Training...) {
		m, err := model.New(s.Config)
		if err != nil {
			t.Fatal(err)
		}
		most := map[string]int{"15M": 15.1e6, "110M": 110e6, "5M": 4.53e6, "25M": 23.5e6}[s.Name]
		if n := m.Parameters(); n > most || n < most*95/100 {
			t.Errorf("%s has %d parameters", s.Name, n)
		}
		if share := float64(s.Config.Active) / float64(s.Config.Sections); s.Dense != (share == 1) || !s.Dense && math.Abs(share-0.1) > 0.01 {
			t.Errorf("%s: %v active", s.Name, share)
		}
	}
	if q := Quick(); len(q.Shapes) != 1 || len(q.Contexts) != 3 || len(q.Training) != 1 || q.Shapes[0].Name != "15M" {
		t.Errorf("quick: %+v", q)
	}
}

// What an event takes is counted as one would by hand.
func TestCost(t *testing.T) {
	c := model.Config{Width: 32, Layers: 2, Channels: 2, Sections: 10, Neurons: 4, KeyRank: 8, Active: 2, Alpha: 0.5}
	m, err := model.New(c)
	if err != nil {
		t.Fatal(err)
	}
	const layer = 4*32*16 + 32*8 + 10*8 + 0.3*10*3*4*32 // projections, query, keys, sections
	const vectors = 2*32 + 4*32 + 10                    // norms, shift, bias
	got := costOf(m, 0.3)
	if want := (cost{bytes: 4 * (32 + 2*(layer+vectors) + 32 + 256*32), flops: 2 * 2 * layer, head: 2 * 256 * 32}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if form, n := weights(m); form != "float32" || n != 4*m.Parameters() {
		t.Errorf("%s, %d bytes", form, n)
	}
}

// Who is stopped tells what was measured until then.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := Run(ctx, tiny(), "", base.Pocket(), func(done, total int) {
		if done > total/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || r.Whole {
		t.Fatalf("whole: %v, %v", r.Whole, err)
	}
	if len(r.Decode) != 3 || r.Peak.FMA == 0 || len(r.Training) > 0 {
		t.Errorf("%+v", r)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	cancel()
	if r, err := Run(ctx, tiny(), "", base.Pocket(), nil); !errors.Is(err, context.Canceled) || r.Peak.FMA != 0 {
		t.Errorf("%v, %+v", err, r.Peak)
	}
}

// When the time is up no other part begins, and what is left out is said.
func TestLimit(t *testing.T) {
	b, h := timed(tiny())
	b.plan.Limit = time.Minute
	var ran []string
	p := func(name string, d time.Duration) part {
		return part{name, 2, func() error { ran = append(ran, name); *h += hands(d); return nil }}
	}
	b.out.Whole = true
	if err := b.follow([]part{p("a", 59*time.Second), p("b", 2*time.Second), p("c", 0), p("d", 0)}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(ran, b.out.Notes, b.out.Whole); got != "[a b] [left out, for the time was up: c, d] false" {
		t.Error(got)
	}
	failure := errors.New("broken")
	*h = 0
	if err := b.follow([]part{{"e", 1, func() error { return failure }}, p("f", 0)}); err != failure || slices.Contains(ran, "f") {
		t.Errorf("%v after %v", err, ran)
	}
}

// A stream that takes long to read is left where patience ends, which is said.
func TestFarPlaces(t *testing.T) {
	b, h := timed(tiny())
	b.plan.Contexts = []int{0, 600, 2000, 4000}
	b.plan.Patience = 30 * time.Second
	b.cpu = func() time.Duration { *h += hands(10 * time.Second); return h.clock() } // a chunk takes ten seconds
	s := &subject{out: figures("slow"), m: base.Pocket()}
	if err := b.reach(s); err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, p := range s.places {
		at = append(at, int(p.Events))
	}
	if want := []int{0, 600, 1112}; !slices.Equal(at, want) || len(b.out.Notes) != 1 || !strings.Contains(b.out.Notes[0], "up to 1112 and not to 2000") {
		t.Errorf("places %v, notes %q", at, b.out.Notes)
	}
}

// Every segment begins at its place, with the text of its round.
func TestDecodingBeginsAtItsPlace(t *testing.T) {
	b, _ := timed(tiny())
	m := base.Pocket()
	place, live, other := m.NewState(), m.NewState(), m.NewState()
	for _, e := range Prose(300) {
		m.Step(place, e)
	}
	run := b.from(place, m, live, 50)
	for round := range 3 {
		if n := run(round); n != 50 || live.Events != 350 || place.Events != 300 {
			t.Fatalf("round %d: %v events from %d to %d", round, n, place.Events, live.Events)
		}
		other.CopyFrom(place)
		for _, e := range b.text[50*round : 50*(round+1)] {
			m.Step(other, e)
		}
		if !slices.Equal(live.Evidence(), other.Evidence()) {
			t.Errorf("round %d had another text", round)
		}
	}
}

// A model that cannot learn is measured without.
func TestWithoutBackground(t *testing.T) {
	b, _ := timed(tiny())
	m := *base.Pocket()
	m.Background = nil
	f := figures("bare")
	if err := b.learn(&subject{out: f, m: &m}); err != nil {
		t.Fatal(err)
	}
	if f.LearnStep != 0 || len(b.out.Notes) != 1 || !strings.Contains(b.out.Notes[0], "background") {
		t.Errorf("%+v, notes %q", f, b.out.Notes)
	}
}

// Prose is the same wherever it begins to be used, and is no single sentence.
func TestProse(t *testing.T) {
	text := Prose(textEvents)
	if len(text) != textEvents || textEvents%learningChunk != 0 || textEvents < slices.Max(Full().Contexts) {
		t.Errorf("%d events", len(text))
	}
	if !slices.Equal(text[:100], Prose(100)) {
		t.Error("a shorter text begins otherwise")
	}
	seen := map[string]bool{}
	for at := 0; at < len(text); at += 64 {
		seen[fmt.Sprint(text[at:at+64])] = true
	}
	if len(seen) != textEvents/64 {
		t.Errorf("only %d stretches of %d differ", len(seen), textEvents/64)
	}
}

// Processor time passes with work.
func TestProcessorTime(t *testing.T) {
	from := cpuTime()
	for range 1000 {
		for range 1000 {
			kernel.Burn(1000)
		}
		if cpuTime() > from {
			return
		}
	}
	t.Error("a lot of work took no time")
}
