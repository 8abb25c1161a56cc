package sim

import (
	"math"
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
