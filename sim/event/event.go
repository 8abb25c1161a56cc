// Package event makes things happen to many actors, in an order that a seed alone decides, on as many processors as there are.
//
// A [Loop] holds what is going to happen: an event of a type that its user chooses, to one actor, at a virtual time. An actor
// reads and writes nothing but what is its own, and reaches others by messages that take at least the lookahead. So in a window of
// that length nobody can hear what anyone else does in it, and workers run the actors of a window side by side. What they say is put in one order at
// the window's end: by time, then by actor, then as the actor said it. What concerns all actors happens between windows, while no
// actor runs ([Loop.At]).
//
// The order in which one actor's events happen is total: by time, then by who planned them, then as he planned them. So results
// depend neither on the number of workers nor on which of them is faster. Windows in which nothing happens cost nothing. The
// package has no clock, and its goroutines end with [Loop.Run].
//
// The method is that of conservative parallel simulation with a synchronous window (Chandy and Misra, Distributed Simulation, 1979;
// Lubachevsky, Efficient distributed event-driven simulations of multiple-loop networks, 1989).
package event

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options shape a Loop of events E whose actors say N. Actors, Lookahead and Handle are required.
type Options[E, N any] struct {
	Actors    int           // numbered from 0
	Lookahead time.Duration // the least time that a message takes
	Seed      uint64        // what the actors' chance comes from
	Start     time.Duration // when virtual time begins
	Workers   int           // how many run side by side. If zero, as many as there are processors
	Limit     uint64        // after how much a run ends with ErrLimit. If zero, never

	// Handle has something happen to an actor. It is called by several goroutines, for an actor by one at a time. The Turn
	// is valid until it returns. An error ends the run.
	Handle func(t *Turn[E, N], e E) error

	// Tell is told what actors say, in their one order, by the goroutine that runs the loop. An error ends the run. If nil, it is lost.
	Tell func(at time.Duration, actor int, n N) error

	// Between is called after every window, and after everything that concerns all, by the goroutine that runs the loop while no
	// actor runs. An error ends the run. It may be nil.
	Between func() error
}

// ErrLimit ends a run in which as much happened as Options.Limit says. What was said after that is not told, but actors may have come further.
var ErrLimit = errors.New("event: as much happened as was to happen")

// An Error is what ended a run: the first in the order of everything that happened, whichever worker came to it.
type Error struct {
	At    time.Duration
	Actor int // -1 for what concerns all
	Err   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("event: actor %d, at %v: %v", e.Actor, e.At, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// A Loop has things happen. It is not safe for concurrent use, but for what Handle may do with its Turn.
type Loop[E, N any] struct {
	opt     Options[E, N]
	now     time.Duration
	wheel   wheel[E]
	global  heap[global, *global]
	planned uint64   // by nobody among the actors
	count   []uint64 // what each actor has planned, sent and said: no two have one number
	chance  []rand.Rand

	workers  []*worker[E, N]
	happened uint64

	// One window: its events, chained for each actor that has any.
	end    time.Duration
	events []item[E]
	next   []int32 // the event of the same actor after events[i], or -1
	head   []int32 // the first event of each actor, or -1
	active []int32 // actors that have any
	taken  atomic.Int64
	chunk  int64
	said   []said[N] // gathered from all workers
	asked  []said[func() error]
}

// An item is an event on its way to an actor.
type item[E any] struct {
	at     time.Duration
	number uint64 // of who planned it
	from   int32  // -1 if it was no actor
	to     int32
	event  E
}

// before is the order in which the events of one actor happen.
func (a *item[E]) before(b *item[E]) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.from != b.from {
		return a.from < b.from
	}
	return a.number < b.number
}

// A global thing happens between windows.
type global struct {
	at     time.Duration
	number uint64
	do     func() error
}

func (g *global) before(h *global) bool {
	return g.at < h.at || g.at == h.at && g.number < h.number
}

type said[N any] struct {
	at     time.Duration
	number uint64
	actor  int32
	what   N
}

func (a said[N]) compare(b said[N]) int {
	return mark{a.at, a.number, a.actor}.compare(mark{b.at, b.number, b.actor})
}

// A mark is a place in the order of everything that happens.
type mark struct {
	at     time.Duration
	number uint64 // the actor's, of what it had planned, sent and said then
	actor  int32
}

func (a mark) compare(b mark) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.actor, b.actor), cmp.Compare(a.number, b.number))
}

// New returns a loop in which nothing is planned.
func New[E, N any](opt Options[E, N]) (*Loop[E, N], error) {
	switch {
	case opt.Actors < 1 || opt.Actors > 1<<30:
		return nil, fmt.Errorf("event: %d actors", opt.Actors)
	case opt.Lookahead < 1:
		return nil, fmt.Errorf("event: a lookahead of %v: messages have to take some time", opt.Lookahead)
	case opt.Workers < 0 || opt.Start < 0:
		return nil, fmt.Errorf("event: %d workers, from %v on", opt.Workers, opt.Start)
	case opt.Handle == nil:
		return nil, errors.New("event: nobody handles events")
	}
	if opt.Workers == 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	l := &Loop[E, N]{opt: opt, count: make([]uint64, opt.Actors), head: make([]int32, opt.Actors), chance: make([]rand.Rand, opt.Actors)}
	l.now, l.wheel.width, l.wheel.base = opt.Start, opt.Lookahead, int64(opt.Start/opt.Lookahead)
	for i := range l.head {
		l.head[i] = -1
		l.chance[i] = *rand.New(rand.NewPCG(opt.Seed, uint64(i)))
	}
	for i := range opt.Workers {
		l.workers = append(l.workers, &worker[E, N]{index: i, turn: Turn[E, N]{l: l}})
	}
	return l, nil
}

// Now is the virtual time.
func (l *Loop[E, N]) Now() time.Duration { return l.now }

// Workers is how many actors run side by side at most.
func (l *Loop[E, N]) Workers() int { return len(l.workers) }

// Happened is how many events have happened, those that concern all among them. After a run that an error ended it counts those up to it in
// their one order.
func (l *Loop[E, N]) Happened() uint64 { return l.happened }

// Chance is an actor's own source of chance. It may be drawn from in the actor's turns, and between windows.
func (l *Loop[E, N]) Chance(actor int) *rand.Rand { return &l.chance[actor] }

// Plan has something happen to an actor, now at the earliest. It is not for actors, which have [Turn.After].
func (l *Loop[E, N]) Plan(actor int, at time.Duration, e E) {
	l.planned++
	l.wheel.put(item[E]{at: max(at, l.now), number: l.planned, from: -1, to: int32(actor), event: e})
}

// At has something happen between windows, now at the earliest, while no actor runs. It comes before what happens to actors at
// the same time, and after what was planned for that time before. It is not for actors.
func (l *Loop[E, N]) At(at time.Duration, do func() error) {
	l.planned++
	l.global.push(global{max(at, l.now), l.planned, do})
}

// Run has everything happen until a virtual time, and at it. It returns what ended it before, an [*Error] if it was Handle or what
// concerns all. Other actors may have come further than the one that failed, but never past the end of the window.
func (l *Loop[E, N]) Run(until time.Duration) error {
	stop := l.start()
	defer stop()
	for {
		more, err := l.step(until)
		if err != nil {
			return err
		}
		if !more {
			l.now = max(l.now, until)
			return nil
		}
	}
}

// step runs the next window, or what comes before it and concerns all. It reports whether there may be more to do.
func (l *Loop[E, N]) step(until time.Duration) (more bool, err error) {
	k, any := l.wheel.first()
	start, end := max(l.wheel.start(k), l.now), l.wheel.start(k+1)
	if len(l.global) > 0 && l.global[0].at <= until && (!any || l.global[0].at < end) {
		g := l.global.pop()
		if any && start < g.at {
			if err := l.window(k, g.at); err != nil {
				return false, err
			}
		}
		l.now = g.at
		l.happened++
		if err := g.do(); err != nil {
			return false, &Error{g.at, -1, err}
		}
		return true, l.between()
	}
	if !any || start > until {
		return false, nil
	}
	more = end <= until
	if !more {
		end = until + 1
	}
	if err := l.window(k, end); err != nil {
		return false, err
	}
	l.now = min(end, until)
	return more, l.between()
}

func (l *Loop[E, N]) between() error {
	if l.opt.Between != nil {
		if err := l.opt.Between(); err != nil {
			return err
		}
	}
	if l.opt.Limit > 0 && l.happened >= l.opt.Limit {
		return ErrLimit
	}
	return nil
}

// window has happen what window k has before end.
func (l *Loop[E, N]) window(k int64, end time.Duration) error {
	l.gather(k, end)
	if len(l.active) == 0 {
		l.wheel.reuse(l.events)
		return nil
	}
	l.end = end
	l.taken.Store(0)
	helpers := min(len(l.workers), len(l.active)) - 1
	l.chunk = int64(max(1, len(l.active)/(8*(helpers+1))))
	for _, w := range l.workers[1 : 1+helpers] {
		w.done.Add(1)
		w.wake <- struct{}{}
	}
	l.workers[0].work()
	for _, w := range l.workers[1 : 1+helpers] {
		w.done.Wait()
	}
	l.wheel.reuse(l.events)
	l.events = nil
	return l.conclude()
}

// gather chains the events that happen before end, actor by actor.
func (l *Loop[E, N]) gather(k int64, end time.Duration) {
	all := l.wheel.take(k)
	n := 0
	for i := range all {
		if all[i].at >= end {
			l.wheel.put(all[i])
			continue
		}
		if n < i {
			all[n] = all[i]
		}
		n++
	}
	clear(all[n:])
	l.events, l.active = all[:n], l.active[:0]
	l.next = slices.Grow(l.next[:0], n)[:n]
	for i := range l.events {
		to := l.events[i].to
		if l.head[to] < 0 {
			l.active = append(l.active, to)
		}
		l.next[i], l.head[to] = l.head[to], int32(i)
	}
}

// conclude plans what the actors of a window sent, and tells what they said.
func (l *Loop[E, N]) conclude() error {
	var failed *failure
	var happened uint64
	l.said, l.asked = l.said[:0], l.asked[:0]
	for _, w := range l.workers {
		for i := range w.out {
			l.wheel.put(w.out[i])
		}
		clear(w.out)
		l.said = append(l.said, w.said...)
		clear(w.said)
		l.asked = append(l.asked, w.asked...)
		clear(w.asked)
		w.out, w.said, w.asked = w.out[:0], w.said[:0], w.asked[:0]
		happened += uint64(len(w.had))
		if f := w.failed; f != nil && (failed == nil || f.before(failed)) {
			failed = f
		}
		w.failed = nil
	}
	slices.SortFunc(l.asked, said[func() error].compare)
	for _, a := range l.asked {
		l.At(a.at, a.what)
	}
	slices.SortFunc(l.said, said[N].compare)
	if failed != nil || l.opt.Limit > 0 && l.happened+happened > l.opt.Limit {
		return l.cut(failed)
	}
	l.happened += happened
	for _, w := range l.workers {
		w.had = w.had[:0]
	}
	return l.tell(l.said)
}

// cut ends a run in the middle of a window: at a failure, or at the limit if that comes first.
func (l *Loop[E, N]) cut(failed *failure) error {
	var all []mark
	for _, w := range l.workers {
		all = append(all, w.had...)
		w.had = w.had[:0]
	}
	slices.SortFunc(all, mark.compare)
	err := ErrLimit
	n := len(all)
	if failed != nil {
		n, _ = slices.BinarySearchFunc(all, failed.mark, func(m, f mark) int { return cmp.Or(m.compare(f), -1) }) // and what failed
		err = &Error{failed.at, int(failed.actor), failed.err}
	}
	if left := l.opt.Limit - l.happened; l.opt.Limit > 0 && uint64(n) > left {
		n, err = int(left), ErrLimit
	}
	l.happened += uint64(n)
	if n == 0 {
		return err
	}
	last := all[n-1]
	l.now = last.at
	end, _ := slices.BinarySearchFunc(l.said, last, func(s said[N], m mark) int {
		return cmp.Or(mark{s.at, s.number, s.actor}.compare(m), -1) // those of the last, too
	})
	if told := l.tell(l.said[:end]); told != nil {
		return told
	}
	return err
}

// tell hands on what was said.
func (l *Loop[E, N]) tell(all []said[N]) error {
	for _, s := range all {
		if err := l.opt.Tell(s.at, int(s.actor), s.what); err != nil {
			return err
		}
	}
	clear(l.said)
	return nil
}

// start wakes the workers, all but the first, which is the caller. The caller has to stop them.
func (l *Loop[E, N]) start() (stop func()) {
	var all sync.WaitGroup
	for _, w := range l.workers[1:] {
		w.wake = make(chan struct{})
		all.Go(func() {
			for range w.wake {
				w.work()
				w.done.Done()
			}
		})
	}
	return func() {
		for _, w := range l.workers[1:] {
			close(w.wake)
		}
		all.Wait()
	}
}
