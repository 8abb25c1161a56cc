package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
)

// light is small with the tiny base.
func light(devices int) Options {
	o := small(devices)
	o.Base = base.Tiny()
	return o
}

// spoke is how often, and when first, a line of a transcript begins with a device's name and holds a word.
func spoke(transcript, name, word string) (times int, first string) {
	for line := range strings.Lines(transcript) {
		f := strings.Fields(line)
		if len(f) > 2 && f[1] == name && strings.Contains(line, word) {
			if times++; times == 1 {
				first = line
			}
		}
	}
	return times, first
}

// seconds is when a line of a transcript was written.
func seconds(t *testing.T, line string) (s float64) {
	t.Helper()
	if _, err := fmt.Sscan(line, &s); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return s
}

// A device that thinks slowly learns all that its user says, later, and what it says leaves when it has thought; the rest of the
// world does not wait for it.
func TestSlowDevice(t *testing.T) {
	o := light(4)
	o.Devices[2].Speed = 0.5 // two minutes for an utterance, eight for all of them
	w, transcript, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	_, before, err := play(t, 1, light(4), sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if n := w.devices[2].node.Learner().Events(); int(n) != len(o.Devices[2].Stream) {
		t.Errorf("it learnt %d of %d bytes", n, len(o.Devices[2].Stream))
	}
	_, slow := spoke(transcript, "user-2", "announces")
	_, quick := spoke(before, "user-2", "announces")
	_, said := spoke(transcript, "user-2", "hears its user")
	if late := seconds(t, slow) - seconds(t, quick); late < 60 || seconds(t, slow)-seconds(t, said) < 100 {
		t.Errorf("it announces %.0f s later than one that thinks at once:\n%s%s", late, slow, said)
	}
	_, other := spoke(transcript, "user-1", "announces")
	_, same := spoke(before, "user-1", "announces")
	if other != same {
		t.Errorf("another waits for it:\n%s%s", other, same)
	}
	// While it thinks its user waits, and what it learnt leaves when it has thought.
	last, thinking := -1e9, 0.0
	for line := range strings.Lines(transcript) {
		at := seconds(t, line)
		if at < last+thinking && (strings.Contains(line, " user-2 hears its user") || strings.Contains(line, " user-2 announces")) {
			t.Errorf("it thinks for %.0f s from %.0f on, and: %s", thinking, last, line)
		}
		if at > 0 && strings.Contains(line, " user-2 hears its user say") {
			var bytes int
			if _, err := fmt.Sscanf(line[strings.Index(line, "say"):], "say %d bytes", &bytes); err != nil {
				t.Fatal(err)
			}
			last, thinking = at, 0.5*float64(bytes)-0.001
		}
	}
	// What came while it thought came in the order in which it came.
	for _, d := range w.devices {
		if got := len(d.node.Conversation().Held()); got != 4 {
			t.Errorf("%s holds %d updates", d.opt.Name, got)
		}
	}
}

// What a device sends goes over its own links, and what others send over theirs.
func TestOwnLinks(t *testing.T) {
	o := light(4)
	o.Links = Links{MinDelay: 10 * time.Millisecond, MaxDelay: 20 * time.Millisecond}
	o.Devices[1].Links = &Links{MinDelay: 20 * time.Second, MaxDelay: 25 * time.Second, Bandwidth: 1000}
	_, transcript, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	_, announced := spoke(transcript, "user-1", "announces")
	first := 1e9
	for line := range strings.Lines(transcript) {
		if strings.Contains(line, "hears user-1: update") || strings.Contains(line, "took in skill user-1") {
			first = min(first, seconds(t, line))
		}
	}
	if late := first - seconds(t, announced); late < 40 || late > 300 {
		t.Errorf("what it says arrives after %.1f s: its head and its body take 20 each", late)
	}
	_, announced = spoke(transcript, "user-0", "announces")
	for line := range strings.Lines(transcript) {
		if strings.Contains(line, "hears user-0: update") {
			if late := seconds(t, line) - seconds(t, announced); late > 10 {
				t.Errorf("what another says arrives after %.1f s", late)
			}
			break
		}
	}
}

// Who is switched off is gone for the others, hears its user later, and goes on as it was, from its disk.
func TestAway(t *testing.T) {
	o := light(4)
	for i := range o.Devices {
		o.Devices[i].Share = node.ShareNone // no mesh, so that only the time can differ
	}
	whole, _, err := play(t, 3, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	o.Devices[1].Away = []Span{{0, 2 * time.Minute}, {3 * time.Minute, 2 * time.Minute}, {6 * time.Minute, time.Minute}}
	w, transcript, err := play(t, 3, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	off, _ := spoke(transcript, "user-1", "is switched off")
	on, first := spoke(transcript, "user-1", "is switched on")
	back, _ := spoke(transcript, "user-1", "is back")
	if off != 2 || on != 1 || back != 2 || seconds(t, first) != 120 {
		t.Errorf("switched off %d times, on %d times, back %d times; first %s", off, on, back, first)
	}
	for line := range strings.Lines(transcript) {
		s := seconds(t, line)
		if strings.Contains(line, " user-1 hears its user") && (s < 120 || s >= 180 && s < 300 || s >= 360 && s < 420) {
			t.Errorf("it listens while it is off: %s", line)
		}
	}
	if w.devices[1].disk.snapshot == nil {
		t.Error("it did not stop in order")
	}
	if gone := strings.Count(transcript, "sees that user-1 left"); gone < 4 {
		t.Errorf("%d times somebody noticed that it went", gone)
	}
	for i, d := range w.devices {
		a, b := whole.devices[i].node.Learner().Settled(), d.node.Learner().Settled()
		for k := range a.Banks {
			if !slices.Equal(a.Banks[k].Weights, b.Banks[k].Weights) {
				t.Errorf("%s is another", d.opt.Name)
			}
		}
	}
}

// Only devices of one place hear each other: what is learnt in one comes to the other with who goes there. Without him it does not.
func TestPlaces(t *testing.T) {
	o := light(8)
	o.Degree = 2
	for i := range o.Devices {
		o.Devices[i].Visits = []Visit{{0, 1 + i/4}}
	}
	apart, _, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	o.Devices[0].Visits = []Visit{{0, 1}, {6 * time.Minute, 2}, {8 * time.Minute, 1}, {11 * time.Minute, 2}}
	w, transcript, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	from := func(w *World, d *device, first, last int) (n int) {
		for _, id := range d.node.Conversation().Held() {
			if i := w.byID[id.Author].index; i >= first && i < last {
				n++
			}
		}
		return n
	}
	for i, d := range apart.devices {
		here, there := from(apart, d, i/4*4, i/4*4+4), from(apart, d, 4-i/4*4, 8-i/4*4)
		if here != 4 || there != 0 {
			t.Errorf("where nobody travels %s holds %d updates of its place, and %d of the other", d.opt.Name, here, there)
		}
	}
	for _, d := range w.devices[4:] {
		if n := from(w, d, 0, 4); n < 3 {
			t.Errorf("%s holds %d updates of the first place", d.opt.Name, n)
		}
	}
	if n := from(w, w.devices[1], 4, 8); n == 0 {
		t.Error("nothing came back from the second place")
	}
	if n, _ := spoke(transcript, "user-0", "goes from place"); n != 3 {
		t.Errorf("it went %d times", n)
	}
	for _, word := range []string{"user-0 sees that user-5 joined", "user-0 sees that user-1 left"} {
		if !strings.Contains(transcript, word) && !strings.Contains(transcript, strings.Replace(word, "user-5", "user-4", 1)) {
			t.Errorf("nothing in the transcript %q", word)
		}
	}
}

// Whoever comes and goes, in every place there is one ring through all who are there and nobody else, and nobody has many
// neighbours.
func TestRingsClose(t *testing.T) {
	o := light(30)
	for i := range o.Devices {
		o.Devices[i].Stream = nil
		for k := range 12 {
			o.Devices[i].Visits = append(o.Devices[i].Visits, Visit{time.Duration(k*31+i%7*3) * time.Second, (i*k + k) % 3})
		}
	}
	w, err := New(1, o)
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	for range 60 {
		if err := w.Run(7 * time.Second); err != nil {
			t.Fatal(err)
		}
		for number, p := range w.places {
			changes += len(p.here)
			for k := range 2 {
				if len(p.here) == 0 {
					continue
				}
				n := 0
				for d := p.here[0]; n == 0 || d != p.here[0]; d = d.seats[k].after {
					if n++; n > len(p.here) || d.place != number || d.seats[k].after.seats[k].before != d {
						t.Fatalf("at %v the ring in place %d is broken at %s", w.Now(), number, d.opt.Name)
					}
				}
				if n != len(p.here) {
					t.Fatalf("at %v a ring of %d in place %d, where %d are", w.Now(), n, number, len(p.here))
				}
			}
			for _, d := range p.here {
				near := 0
				for k, o := range d.neighbours {
					if d.linked[k] != d.adjacent(o) {
						t.Fatalf("at %v %s and %s: linked %v", w.Now(), d.opt.Name, o.opt.Name, d.linked[k])
					}
					if d.linked[k] {
						near++
					}
				}
				if near > 4 {
					t.Errorf("%s has %d neighbours", d.opt.Name, near)
				}
			}
		}
	}
	if changes == 0 {
		t.Fatal("nobody was anywhere")
	}
}

// As many crash as the churn says.
func TestChurn(t *testing.T) {
	o := light(12)
	o.Faults.Churn, o.Faults.Down = 10, 20*time.Second // 20 in ten minutes
	for i := range o.Devices {
		o.Devices[i].Stream = o.Devices[i].Stream[:120]
	}
	w, transcript, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(transcript, " crashes\n"); n < 14 || n > 21 {
		t.Errorf("%d crashes, want about 20, but for who is down when it comes", n)
	}
	for _, d := range w.devices {
		if int(d.node.Learner().Events()) != 120 {
			t.Errorf("%s learnt %d of 120 bytes", d.opt.Name, d.node.Learner().Events())
		}
	}
}

// Who has a weight as central of his own has it in the place of everyone's.
func TestCentralOfOnesOwn(t *testing.T) {
	o := light(4)
	o.Exchange = exchange.Config{Central: 0}
	o.Devices[3].Central = 7
	w, err := New(1, o)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range w.devices {
		if got, want := d.config().Exchange.Central, uint8(i/3*7); got != want {
			t.Errorf("%s has %d, want %d", d.opt.Name, got, want)
		}
	}
}

// In random worlds whose devices live all kinds of lives at once, all laws hold.
func TestAllKindsOfLives(t *testing.T) {
	shown, liars, slow := 0, 0, 0
	for seed := range uint64(4) {
		o := Storm(seed)
		o.Features = 16
		r := rand.New(rand.NewPCG(seed, 4242))
		if r.IntN(3) == 0 {
			o.Exchange.MaxLive, o.Exchange.Versions = 2+r.IntN(4), 1+r.IntN(3)
		}
		for i := range o.Devices {
			d := &o.Devices[i]
			if r.IntN(3) == 0 {
				shown++
				d.Shown, d.Stream, d.Held = shapes(r.Uint64(), []int{r.IntN(6), r.IntN(6)}, 4+r.IntN(20), nil), nil, nil
				if r.IntN(5) == 0 {
					d.Shown = shapes(r.Uint64(), []int{1, 2}, 10, []string{"x", "y"})
				}
				if r.IntN(2) == 0 {
					d.Skill = "shapes"
				}
			}
			if r.IntN(6) == 0 {
				liars++
				d.Attack, d.Central = Liar, 9
			}
			if r.IntN(5) == 0 {
				slow++
				d.Speed = r.Float64()
			}
		}
		w, err := New(seed, o)
		if err == nil {
			err = w.Play(o.StormFor())
		}
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
	if min(shown, liars, slow) < 1 {
		t.Errorf("%d show, %d lie, %d are slow", shown, liars, slow)
	}
}
