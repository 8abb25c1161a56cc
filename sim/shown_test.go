package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/exchange"
)

// What makes no sense is refused, and the error says whose it is and why.
func TestLivesAreChecked(t *testing.T) {
	good := func() *Examples { return &Examples{Inputs: 2, X: []float32{0, 1, -1, 0}, Labels: []string{"a", "b"}} }
	shown := func(change func(*Examples)) func(*Options) {
		return func(o *Options) {
			e := good()
			change(e)
			o.Devices[1].Stream, o.Devices[1].Shown = nil, e
		}
	}
	device := func(change func(*Device)) func(*Options) {
		return func(o *Options) { change(&o.Devices[1]) }
	}
	for want, change := range map[string]func(*Options){
		"user-1: its user both says and shows":     device(func(d *Device) { d.Shown = good() }),
		"user-1: its user is asked about examples": device(func(d *Device) { d.Asked = good() }),
		"user-1: examples without inputs":          shown(func(e *Examples) { e.Inputs = 0 }),
		"user-1: 3 numbers are no examples":        shown(func(e *Examples) { e.X = e.X[:3] }),
		"user-1: examples need labels":             shown(func(e *Examples) { e.Labels = nil }),
		"user-1: 1 labels for 2":                   shown(func(e *Examples) { e.Labels = e.Labels[:1] }),
		"user-1: 0 values for 1 controls":          shown(func(e *Examples) { e.Labels, e.Names = nil, []string{"steer"} }),
		"user-1: example 1: input 0 is 2":          shown(func(e *Examples) { e.X[2] = 2 }),
		"user-1: example 0: input 1 is NaN":        shown(func(e *Examples) { e.X[1] = float32(math.NaN()) }),
		"user-1: example 1: the value of steer is": shown(func(e *Examples) {
			e.Labels, e.Names, e.Values = nil, []string{"steer"}, []float32{0, float32(math.Inf(1))}
		}),
		"user-1: a speed of -1":                     device(func(d *Device) { d.Speed = -1 }),
		"user-1: delays from 1s to 1ms":             device(func(d *Device) { d.Links = &Links{MinDelay: time.Second, MaxDelay: time.Millisecond} }),
		"user-1: loss 1":                            device(func(d *Device) { d.Links = &Links{Loss: 1} }),
		"user-1: away from 1s for 2s: out of order": device(func(d *Device) { d.Away = []Span{{0, 2 * time.Second}, {time.Second, 2 * time.Second}} }),
		"user-1: away from 1s for 0s":               device(func(d *Device) { d.Away = []Span{{time.Second, 0}} }),
		"user-1: in place 2 from 1s on: out of":     device(func(d *Device) { d.Visits = []Visit{{time.Second, 1}, {time.Second, 2}} }),
		"user-1: in place -1 from 0s on":            device(func(d *Device) { d.Visits = []Visit{{0, -1}} }),
		"user-1 is shown 2 inputs, and asked about 1": func(o *Options) {
			shown(func(*Examples) {})(o)
			o.Asked = &Examples{Inputs: 1, X: []float32{0}, Labels: []string{"a"}}
		},
		"asked: examples without inputs": func(o *Options) { o.Asked = &Examples{} },
		"a churn of -1":                  func(o *Options) { o.Faults.Churn = -1 },
		"a churn of NaN":                 func(o *Options) { o.Faults.Churn = math.NaN() },
		"2000 updates":                   func(o *Options) { o.Exchange = exchange.Config{MaxLive: 2000} },
	} {
		o := small(2)
		change(&o)
		if _, err := New(1, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	o := small(2)
	shown(func(*Examples) {})(&o)
	o.Devices[1].Away = []Span{{time.Second, time.Second}, {2 * time.Second, time.Second}}
	o.Devices[1].Visits = []Visit{{0, 3}, {time.Minute, 0}}
	if _, err := New(1, o); err != nil {
		t.Error(err)
	}
}

// shapes are examples of so many classes, drawn around a centre each; or of what to do, if names is not nil.
func shapes(seed uint64, classes []int, each int, names []string) *Examples {
	centre := rand.New(rand.NewPCG(9, 9))
	const inputs = 12
	var at [8][inputs]float32
	for i := range at {
		for k := range at[i] {
			at[i][k] = centre.Float32()*1.6 - 0.8
		}
	}
	r := rand.New(rand.NewPCG(seed, 1))
	e := &Examples{Inputs: inputs, Names: names}
	for i := range each * len(classes) {
		c := classes[i%len(classes)]
		for _, v := range at[c] {
			e.X = append(e.X, min(max(v+0.25*float32(r.NormFloat64()), -1), 1))
		}
		if names == nil {
			e.Labels = append(e.Labels, string(rune('a'+c)))
		} else {
			x := e.X[len(e.X)-inputs:]
			e.Values = append(e.Values, x[0], 0.5*x[1]-0.5*x[2])
		}
	}
	return e
}

// showing is a world whose users show two classes each, of six.
func showing(devices int) Options {
	o := small(devices)
	o.Features = 64
	o.Asked = shapes(1000, []int{0, 1, 2, 3, 4, 5}, 20, nil)
	for i := range o.Devices {
		d := &o.Devices[i]
		two := []int{i % 6, (i + 1) % 6}
		d.Stream, d.Held, d.Skill = nil, nil, "shapes"
		d.Shown, d.Asked = shapes(uint64(i), two, 16, nil), shapes(uint64(100+i), two, 16, nil)
	}
	return o
}

// sittings are the results of all four exams.
func sittings(t *testing.T, w *World) map[string]Result {
	t.Helper()
	rs := map[string]Result{}
	for name, sit := range map[string]func(Exam) (Result, error){"mesh": w.Examine, "alone": w.Alone, "central": w.Central, "untaught": w.Untaught} {
		r, err := sit(Exam{})
		if err != nil {
			t.Fatal(err)
		}
		rs[name] = r
	}
	return rs
}

// Users who show two classes each: alone a device knows those, with the others all of them, as well as if one had been shown
// everything; and that in a storm, too. What each is asked of its own it knows in any case.
func TestUsersWhoShow(t *testing.T) {
	w, transcript, err := play(t, 1, storm(showing(8)), sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	rs := sittings(t, w)
	t.Logf("%+v", rs)
	if a := rs["alone"]; a.Everyone.Accuracy < 0.25 || a.Everyone.Accuracy > 0.35 || a.Own.Accuracy < 0.9 {
		t.Errorf("alone %+v", a)
	}
	if m, c := rs["mesh"], rs["central"]; c.Everyone.Accuracy < 0.9 || m.Everyone.Accuracy < 0.97*c.Everyone.Accuracy || m.Own.Accuracy < 0.9 {
		t.Errorf("in the mesh %+v, central %+v", m, c)
	}
	if u := rs["untaught"]; u.Everyone.Accuracy != 0 || u.Everyone.Bytes != 8*120 || u.Own.Bytes != 8*32 {
		t.Errorf("untaught %+v", u)
	}
	for _, d := range w.devices {
		if n := d.node.Knack("shapes").Own(); n != 32 {
			t.Errorf("%s was shown %d examples", d.opt.Name, n)
		}
	}
	if !strings.Contains(transcript, "is shown 8 examples") || !strings.Contains(transcript, "crashes") {
		t.Error("the transcript does not tell of it")
	}
	// Nobody has a test set: everyone is asked what the others would ask.
	w.opt.Asked = nil
	if r, err := w.Examine(Exam{Examples: 64}); err != nil || r.Everyone.Accuracy < 0.9 || r.Everyone.Bytes < 8*64 || r.Everyone.Bytes > 8*96 {
		t.Errorf("of others' own: %+v, %v", r, err)
	}
}

// What to do is learnt in the same way, and measured by how far off it is.
func TestUsersWhoDo(t *testing.T) {
	o := showing(4)
	o.Asked = shapes(1000, []int{0, 1, 2, 3, 4, 5}, 10, []string{"steer", "throttle"})
	for i := range o.Devices {
		o.Devices[i].Shown, o.Devices[i].Asked = shapes(uint64(i), []int{i, i + 1}, 24, []string{"steer", "throttle"}), nil
	}
	w, _, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	rs := sittings(t, w)
	m, a, c, u := rs["mesh"].Everyone, rs["alone"].Everyone, rs["central"].Everyone, rs["untaught"].Everyone
	t.Logf("mesh %+v, alone %+v, central %+v, untaught %+v", m, a, c, u)
	if !(m.Error < a.Error && a.Error < u.Error && c.Error < m.Error*1.01) || m.Accuracy != 0 {
		t.Errorf("mesh %+v, alone %+v, central %+v, untaught %+v", m, a, c, u)
	}
}

// Whose user calls things by wrong names does harm where others know better, and that is seen; most of what the others know stays right, and none of
// them is taken for a liar.
func TestUsersWhoShowWrongly(t *testing.T) {
	o := showing(7)
	for i := range o.Devices { // everyone knows four classes, so that everyone can tell
		o.Devices[i].Shown = shapes(uint64(i), []int{i % 6, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6}, 12, nil)
	}
	o.Devices[6].Attack = Flip
	w, _, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.devices[6].showing(0).Labels; slices.Equal(got, o.Devices[6].Shown.Labels[:8]) {
		t.Error("it shows what is right")
	}
	s := w.Standoff()
	if s.Harmful < 1 || s.Wronged > 0 {
		t.Errorf("%+v", s)
	}
	r, err := w.Examine(Exam{})
	if err != nil || r.Everyone.Accuracy < 0.9 {
		t.Errorf("%+v, %v", r, err)
	}
}
