package sim

import (
	"math"
	"regexp"
	"testing"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// watched plays a world, and returns what who watched it was told.
func watched(t *testing.T, seed uint64, o Options) (w *World, transcript string, seen []Moment) {
	t.Helper()
	o.Watch = func(m Moment) { seen = append(seen, m) }
	w, transcript, err := play(t, seed, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	return w, transcript, seen
}

// terse has the users of a world say less.
func terse(o Options) Options {
	for i := range o.Devices {
		o.Devices[i].Stream = o.Devices[i].Stream[:400]
	}
	return o
}

// Who watches is told all that the transcript tells, once and in its order, and watching changes nothing.
func TestWatch(t *testing.T) {
	o := terse(cell(4))
	o.Devices[0].Away = []Span{{7 * time.Minute, time.Minute}}
	o.Faults = Faults{Crashes: 1, Down: time.Minute, Partitions: []Partition{{From: 4 * time.Minute, For: 2 * time.Minute}}}
	_, alone, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	_, transcript, seen := watched(t, 1, o)
	if transcript != alone {
		t.Error("a world that is watched goes another way")
	}
	told := map[What]int{}
	var rules [][2]int // who was central, and when
	var at time.Duration
	for _, m := range seen {
		if m.At < at {
			t.Errorf("%v is told after %v", m, at)
		}
		at = m.At
		if n := len(rules); m.What == Ruled && n > 0 && rules[n-1] == [2]int{m.Device, int(m.Term)} {
			continue // the same record, of another skill
		}
		if m.What == Ruled {
			rules = append(rules, [2]int{m.Device, int(m.Term)})
		}
		told[m.What]++
		ofAll := m.What == Divided || m.What == Healed || m.What == Calmed
		if ofAll != (m.Device < 0) || m.What == Tried && (m.Peer < 0 || m.Peer == m.Device) || m.What == Merged && m.Peer < 0 {
			t.Errorf("%+v", m)
		}
		if (m.What == Ruled || m.What == Merged) && (m.Versions != 2 || m.Term == 0) {
			t.Errorf("%+v", m)
		}
	}
	for _, tt := range []struct {
		what What
		line string
	}{
		{Started, ` is switched on: `}, {Returned, ` is back: `}, {Crashed, ` crashes\n`}, {Stopped, ` is switched off\n`}, {Announced, ` announces `},
		{Merged, `(took in|undid|refused) skill .* peers, merged`}, {Tried, `(took in|undid|refused) skill \w+ from \w+[ :]*[(c]`}, {Ruled, ` tells everyone record `},
		{Divided, ` the mesh is divided\n`}, {Healed, ` the mesh is one again\n`}, {Calmed, ` the storm is over\n`},
	} {
		want := len(regexp.MustCompile(tt.line).FindAllString(transcript, -1))
		if told[tt.what] != want || want == 0 {
			t.Errorf("%s: told %d times, and %d times in the transcript", tt.what, told[tt.what], want)
		}
	}
}

// Who watches is told once of everyone who is listened to no more.
func TestWatchTheShunned(t *testing.T) {
	slow(t)
	o := hostile(Flip)
	for i := range o.Devices {
		o.Devices[i].Stream = o.Devices[i].Stream[:1500]
	}
	w, _, seen := watched(t, 1, o)
	harmful, shunned, wronged := 0, 0, 0
	for _, m := range seen {
		switch {
		case m.What == Shunned && m.Device == 3: // who lies may do so
		case m.What == Shunned && m.Peer == 3:
			shunned++
		case m.What == Shunned:
			wronged++
		case m.What == Regretted && m.Peer == 3 && m.Device != 3:
			harmful++
		case m.What == Tried && m.Peer == 3 && m.Device != 3 && m.Verdict == protocol.Harmful:
			harmful++
			if m.Gain >= 0 {
				t.Errorf("%+v", m)
			}
		}
	}
	if s := w.Standoff(); shunned != s.Shunned || wronged != s.Wronged || shunned == 0 || harmful != s.Harmful {
		t.Errorf("told of %d and %d who are listened to no more, after %d harmful versions: %+v", shunned, wronged, harmful, s)
	}
}

// Every message that did not arrive is counted, and on links that lose nothing all do.
func TestLostMessages(t *testing.T) {
	lost := func(loss float64) (lost, all uint64) {
		o := terse(small(3))
		o.Links = Links{MinDelay: time.Second, MaxDelay: time.Second, Loss: loss, Bandwidth: 1 << 20}
		w, _, err := play(t, 1, o, sabotage{})
		if err != nil {
			t.Fatal(err)
		}
		for k := protocol.KindHello; k <= protocol.KindPart; k++ {
			lost, all = lost+w.Traffic(k).Lost, all+w.Traffic(k).Messages
		}
		return lost, all
	}
	if n, _ := lost(0); n > 0 {
		t.Errorf("%d are lost where nothing is", n)
	}
	if n, all := lost(0.3); float64(n) < 0.1*float64(all) || float64(n) > 0.4*float64(all) {
		t.Errorf("%d of %d are lost", n, all)
	}
}

// The result of an exam is that of its devices one by one.
func TestExamOfEach(t *testing.T) {
	w, _, err := play(t, 1, terse(small(3)), sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	var sum Result
	var order []int
	r, err := w.Examine(Exam{Texts: 2, Bytes: 200, Each: func(d int, r Result) {
		order = append(order, d)
		sum.Own.Bits += r.Own.Bits / 3
		sum.Everyone.Bits += r.Everyone.Bits / 3
		sum.Everyone.Bytes += r.Everyone.Bytes
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(order) != 3 || order[2] != 2 || sum.Everyone.Bytes != r.Everyone.Bytes || math.Abs(sum.Everyone.Bits-r.Everyone.Bits) > 1e-3 || math.Abs(sum.Own.Bits-r.Own.Bits) > 1e-3 {
		t.Errorf("%v: %+v, want %+v", order, sum, r)
	}
}
