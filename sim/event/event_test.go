package event

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// A town is a world to test loops in: actors that wake now and then, tell others, and are changed by what they hear.
type town struct {
	loop  *Loop[word, string]
	heard []uint64 // of each actor, a digest of all that it heard, in order
	lines []string
	open  bool // changed between windows
	bound time.Duration
}

// A word is what happens to an actor: it wakes, if from is negative, or hears what another says.
type word struct {
	from  int
	value uint64
}

func newTown(t *testing.T, seed uint64, actors, workers int) *town {
	t.Helper()
	c := &town{heard: make([]uint64, actors)}
	var err error
	c.loop, err = New(Options[word, string]{
		Actors: actors, Lookahead: 20 * ms, Seed: seed, Workers: workers,
		Handle: c.handle,
		Tell: func(at time.Duration, actor int, line string) error {
			c.lines = append(c.lines, fmt.Sprintf("%v %d %s", at, actor, line))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range actors {
		c.loop.Plan(i, time.Duration(i%7)*ms, word{from: -1})
	}
	return c
}

func (c *town) handle(t *Turn[word, string], w word) error {
	if c.bound > 0 && t.Now() >= c.bound && t.Actor()%3 == 1 {
		return fmt.Errorf("actor %d is too late", t.Actor())
	}
	me, r := t.Actor(), t.Chance()
	h := &c.heard[me]
	*h = (*h ^ w.value ^ uint64(t.Now())) * 0x9E3779B97F4A7C15
	if w.from >= 0 {
		t.Say(fmt.Sprintf("hears %d: %x", w.from, *h))
		return nil
	}
	if !c.open {
		t.Say("wakes")
	}
	for range 1 + r.IntN(3) {
		t.Send(r.IntN(len(c.heard)), 20*ms+time.Duration(r.IntN(int(200*ms))), word{me, *h + r.Uint64()})
	}
	if r.IntN(4) == 0 {
		t.After(time.Duration(r.IntN(int(3*ms))), word{from: me, value: r.Uint64()}) // in the same window, mostly
	}
	t.After(time.Duration(r.IntN(int(300*ms))), word{from: -1})
	return nil
}

// What happens depends on the seed alone, and not on who runs it or in how many pieces.
func TestWorkersDoNotShow(t *testing.T) {
	play := func(seed uint64, workers int, pieces ...time.Duration) *town {
		c := newTown(t, seed, 50, workers)
		c.loop.At(333*ms, func() error {
			c.open = true
			c.loop.Plan(3, 0, word{from: 3, value: c.loop.Chance(3).Uint64()})
			return nil
		})
		c.loop.At(700*ms, func() error { c.open = false; return nil })
		for _, until := range append(pieces, 2*time.Second) {
			if err := c.loop.Run(until); err != nil {
				t.Fatal(err)
			}
			if c.loop.Now() != until {
				t.Errorf("it is %v after a run until %v", c.loop.Now(), until)
			}
		}
		return c
	}
	for seed := range uint64(3) {
		want := play(seed, 1)
		if len(want.lines) < 1000 {
			t.Fatalf("seed %d: %d lines", seed, len(want.lines))
		}
		for _, workers := range []int{2, 5} {
			got := play(seed, workers)
			if !slices.Equal(got.lines, want.lines) || !slices.Equal(got.heard, want.heard) || got.loop.Happened() != want.loop.Happened() {
				t.Errorf("seed %d: %d workers are another world than one", seed, workers)
			}
		}
		// Where a run ends in the middle of a window, what its actors do does not change.
		if got := play(seed, 2, 5*ms, 333*ms, 1001*ms+1, 1500*ms); !slices.Equal(got.lines, want.lines) {
			t.Errorf("seed %d: in pieces it is another world", seed)
		}
	}
	if a, b := play(1, 2), play(2, 2); slices.Equal(a.heard, b.heard) {
		t.Error("another seed is the same world")
	}
}

// Everything is told in order: by time, then by actor.
func TestWhatIsSaidIsInOrder(t *testing.T) {
	type key struct {
		at    time.Duration
		actor int
	}
	var got []key
	c := newTown(t, 1, 40, 3)
	c.loop.opt.Tell = func(at time.Duration, actor int, _ string) error {
		got = append(got, key{at, actor})
		return nil
	}
	if err := c.loop.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || !slices.IsSortedFunc(got, func(a, b key) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.actor, b.actor)) }) {
		t.Errorf("%d things are said, out of order", len(got))
	}
}

// The first of several errors ends a run, whichever worker met which, and nothing that was said after it is told.
func TestFirstErrorEndsTheRun(t *testing.T) {
	var first *Error
	var told []string
	for _, workers := range []int{1, 2, 5} {
		c := newTown(t, 4, 60, workers)
		c.bound = 500 * ms
		var e *Error
		if err := c.loop.Run(time.Second); !errors.As(err, &e) || e.At < c.bound || e.Actor%3 != 1 || !strings.Contains(err.Error(), fmt.Sprintf("actor %d is too late", e.Actor)) {
			t.Fatalf("%d workers: %v", workers, err)
		}
		if first == nil {
			first, told = e, c.lines
			continue
		}
		if e.At != first.At || e.Actor != first.Actor || !slices.Equal(c.lines, told) {
			t.Errorf("%d workers: %v, and with one %v", workers, e, first)
		}
	}
	last := told[len(told)-1]
	if at, _ := time.ParseDuration(strings.Fields(last)[0]); at > first.At {
		t.Errorf("the last that is told is %q, and the error is of %v", last, first.At)
	}
}

// A run ends after so much as it may, in the order of everything, as if nothing had come after; a failure that comes before counts.
func TestALimitEndsTheRun(t *testing.T) {
	whole := newTown(t, 4, 60, 1)
	whole.bound = 300 * ms
	var want *Error
	if err := whole.loop.Run(time.Second); !errors.As(err, &want) {
		t.Fatal(err)
	}
	last := whole.loop.Happened()
	for _, workers := range []int{1, 3} {
		for _, limit := range []uint64{1, 2, last / 2, last/2 + 1, last - 1, last, last + 1} {
			c := newTown(t, 4, 60, workers)
			c.bound = 300 * ms
			c.loop.opt.Limit = limit
			err := c.loop.Run(time.Second)
			if limit >= last {
				var e *Error
				if !errors.As(err, &e) || e.At != want.At || e.Actor != want.Actor {
					t.Errorf("limit %d: %v", limit, err)
				}
			} else if err != ErrLimit {
				t.Errorf("limit %d: %v", limit, err)
			}
			if got := c.loop.Happened(); got != min(limit, last) {
				t.Errorf("limit %d: %d things happened", limit, got)
			}
			if n := len(c.lines); n > len(whole.lines) || !slices.Equal(c.lines, whole.lines[:n]) || limit >= last && n != len(whole.lines) || limit == last-1 && n < len(whole.lines)-5 {
				t.Errorf("limit %d: %d lines of %d", limit, len(c.lines), len(whole.lines))
			}
		}
	}
}

// What actors ask to happen between windows happens in their order, and workers have numbers.
func TestActorsAskForWhatConcernsAll(t *testing.T) {
	for _, workers := range []int{1, 4} {
		var order []int
		var l *Loop[int, int]
		l, err := New(Options[int, int]{Actors: 9, Lookahead: 10 * ms, Workers: workers, Handle: func(t *Turn[int, int], _ int) error {
			if t.Worker() < 0 || t.Worker() >= l.Workers() {
				return errors.New("no such worker")
			}
			actor := t.Actor()
			t.Ask(10*ms, func() error { order = append(order, actor); return nil })
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 9 {
			l.Plan(8-i, 5*ms, 0)
		}
		if err := l.Run(15 * ms); err != nil || len(order) != 9 || !slices.IsSorted(order) || l.Happened() != 18 {
			t.Errorf("%d workers: %v, %v", workers, order, err)
		}
	}
}

// Two actors of one window run at one time, each waiting for the other; and of both their errors it is the earlier that counts.
func TestActorsRunSideBySide(t *testing.T) {
	for round := range 20 {
		late := round % 2
		meet := make(chan int)
		l, err := New(Options[int, int]{Actors: 2, Lookahead: 20 * ms, Workers: 2, Handle: func(t *Turn[int, int], _ int) error {
			select {
			case meet <- t.Actor():
			case <-meet:
			}
			return errors.New("it ends here")
		}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			at := 12 * ms
			if i == late {
				at = 15 * ms
			}
			l.Plan(i, at, 0)
		}
		var e *Error
		if err := l.Run(time.Second); !errors.As(err, &e) || e.Actor != 1-late || e.At != 12*ms {
			t.Fatalf("the run ends with %v", err)
		}
	}
}

// What concerns all comes before what happens to anyone at that time, in the order in which it was planned, and sees nobody at work.
func TestWhatConcernsAllComesBetween(t *testing.T) {
	var log bytes.Buffer
	between := 0
	l, err := New(Options[string, string]{Actors: 2, Lookahead: 10 * ms, Workers: 2,
		Handle: func(t *Turn[string, string], e string) error {
			fmt.Fprintf(&log, "%s at %v; ", e, t.Now())
			return nil
		},
		Between: func() error { between++; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	say := func(what string) func() error {
		return func() error {
			fmt.Fprintf(&log, "%s at %v; ", what, l.Now())
			return nil
		}
	}
	l.Plan(0, 14*ms, "b")
	l.Plan(0, 13*ms, "a")
	l.Plan(0, 17*ms, "c")
	l.At(14*ms, say("one"))
	l.At(14*ms, func() error {
		l.Plan(0, 0, "d")
		return say("two")()
	})
	var many []int
	for i := range 20 {
		l.At(30*ms, func() error { many = append(many, i); return nil })
	}
	l.At(24*time.Hour, say("late"))
	l.Plan(0, 25*time.Hour, "later")
	if err := l.Run(24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	const want = "a at 13ms; one at 14ms; two at 14ms; b at 14ms; d at 14ms; c at 17ms; late at 24h0m0s; "
	if got := log.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(many) != 20 || !slices.IsSorted(many) {
		t.Errorf("what was planned for one time comes as %v", many)
	}
	if l.Happened() != 27 || between < 21 || between > 26 {
		t.Errorf("%d things happened, and %d times something was between", l.Happened(), between)
	}
	stop := errors.New("stop")
	l.At(0, func() error { return stop })
	var e *Error
	if err := l.Run(26 * time.Hour); !errors.Is(err, stop) || !errors.As(err, &e) || e.Actor != -1 {
		t.Errorf("an error between windows: %v", err)
	}
	l.opt.Between = func() error { return stop }
	if err := l.Run(26 * time.Hour); err != stop {
		t.Errorf("an error after a window: %v", err)
	}
}

// The wheel hands out windows in order, with all that is in each, however far apart they are.
func TestWheelIsAQueue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for round := range 20 {
		w := wheel[int]{width: 7}
		want := map[int64]int{}
		now := int64(0)
		for n := range 3000 {
			if n < 2000 {
				k := now + r.Int64N(1<<r.IntN(16))
				w.put(item[int]{at: time.Duration(k*7 + r.Int64N(7)), number: uint64(n)})
				want[k]++
			}
			if r.IntN(3) > 0 && n < 2000 && round%2 == 0 { // of odd ones the wheel is nearly empty
				continue
			}
			k, ok := w.first()
			if !ok {
				break
			}
			if k < now {
				t.Fatalf("window %d comes after %d", k, now)
			}
			items := w.take(k)
			for _, it := range items {
				if int64(it.at/7) != k {
					t.Fatalf("in window %d is what belongs to %v", k, it.at)
				}
			}
			if len(items) != want[k] {
				t.Fatalf("window %d has %d things, want %d", k, len(items), want[k])
			}
			now = k
			delete(want, k)
			w.reuse(items)
		}
		if len(want) != 0 {
			t.Fatalf("%d windows never came", len(want))
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	handle := func(*Turn[int, int], int) error { return nil }
	for _, o := range []Options[int, int]{
		{Lookahead: 1, Handle: handle}, {Actors: 1, Handle: handle}, {Actors: 1, Lookahead: 1}, {Actors: 1, Lookahead: 1, Workers: -1, Handle: handle},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	l, err := New(Options[int, int]{Actors: 1, Lookahead: 2, Handle: func(t *Turn[int, int], _ int) error {
		t.Send(0, 1, 0)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	l.Plan(0, 0, 0)
	defer func() {
		if recover() == nil {
			t.Error("a message faster than the lookahead is sent")
		}
	}()
	_ = l.Run(1)
}

// BenchmarkRing is what an event costs: a token goes round, and everyone has an alarm far away.
func BenchmarkRing(b *testing.B) {
	const actors = 4096
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			l, err := New(Options[int, int]{Actors: actors, Lookahead: 20 * ms, Workers: workers, Handle: func(t *Turn[int, int], e int) error {
				if e == 0 {
					t.Send((t.Actor()*5+1)%actors, 20*ms+time.Duration(t.Chance().Int64N(int64(100*ms))), 0)
				}
				return nil
			}})
			if err != nil {
				b.Fatal(err)
			}
			for i := range actors {
				l.Plan(i, time.Duration(i)*10*time.Microsecond, 0)
				l.Plan(i, time.Duration(1+i)*time.Hour, 1)
			}
			b.ReportAllocs()
			for l.Happened() < uint64(b.N) {
				if err := l.Run(l.Now() + time.Second); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHeap is the same queue as one 4-ary heap, to compare the wheel with.
func BenchmarkHeap(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var h heap[item[int], *item[int]]
	for i := range 8192 {
		h.push(item[int]{at: time.Duration(i) * 10 * time.Microsecond})
	}
	for b.Loop() {
		it := h.pop()
		it.at += 20*ms + time.Duration(r.Int64N(int64(100*ms)))
		h.push(it)
	}
}
