package event

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"time"
)

// A Turn is what an actor can do while something happens to it.
type Turn[E, N any] struct {
	l     *Loop[E, N]
	w     *worker[E, N]
	now   time.Duration
	actor int32
}

// Now is the virtual time.
func (t *Turn[E, N]) Now() time.Duration { return t.now }

// Actor is to whom it happens.
func (t *Turn[E, N]) Actor() int { return int(t.actor) }

// Chance is the actor's own source of chance.
func (t *Turn[E, N]) Chance() *rand.Rand { return &t.l.chance[t.actor] }

// After has something happen to the same actor a while later, at once if d is not above zero.
func (t *Turn[E, N]) After(d time.Duration, e E) {
	it := item[E]{at: t.now + max(d, 0), number: t.number(), from: t.actor, to: t.actor, event: e}
	if it.at >= t.l.end {
		t.w.out = append(t.w.out, it)
		return
	}
	rest := t.w.mine[t.w.at:]
	i := sort.Search(len(rest), func(i int) bool { return it.before(&rest[i]) })
	t.w.mine = slices.Insert(t.w.mine, t.w.at+i, it)
}

// Send has something happen to any actor, after at least the lookahead: less is a mistake of the caller's, and panics.
func (t *Turn[E, N]) Send(to int, d time.Duration, e E) {
	t.atLeast(d)
	t.w.out = append(t.w.out, item[E]{at: t.now + d, number: t.number(), from: t.actor, to: int32(to), event: e})
}

// Ask has something happen between windows, as [Loop.At] does, after at least the lookahead.
func (t *Turn[E, N]) Ask(d time.Duration, do func() error) {
	t.atLeast(d)
	t.w.asked = append(t.w.asked, said[func() error]{t.now + d, t.number(), t.actor, do})
}

// Worker is a number below [Loop.Workers] that no other actor has at the same time: for buffers that the actor may work in, and nothing that
// shows.
func (t *Turn[E, N]) Worker() int { return t.w.index }

// Say says something to who listens to the loop, at the end of the window.
func (t *Turn[E, N]) Say(n N) {
	if t.l.opt.Tell != nil {
		t.w.said = append(t.w.said, said[N]{t.now, t.number(), t.actor, n})
	}
}

func (t *Turn[E, N]) atLeast(d time.Duration) {
	if d < t.l.opt.Lookahead {
		panic(fmt.Sprintf("event: a message that takes %v, less than the lookahead of %v", d, t.l.opt.Lookahead))
	}
}

func (t *Turn[E, N]) number() uint64 {
	t.l.count[t.actor]++
	return t.l.count[t.actor]
}

// A worker runs some actors of a window, and keeps what they want done until its end.
type worker[E, N any] struct {
	index  int
	turn   Turn[E, N]
	mine   []item[E] // of the actor that it runs, sorted
	at     int       // the next of them
	out    []item[E] // for later windows
	said   []said[N]
	asked  []said[func() error]
	had    []mark // of all that happened
	failed *failure

	wake chan struct{}
	done sync.WaitGroup
}

// A failure is what an actor could not do.
type failure struct {
	mark
	err error
}

func (f *failure) before(g *failure) bool { return f.compare(g.mark) < 0 }

// work runs actors until none is left.
func (w *worker[E, N]) work() {
	l := w.turn.l
	for {
		i := l.taken.Add(l.chunk) - l.chunk
		if i >= int64(len(l.active)) {
			return
		}
		for _, actor := range l.active[i:min(i+l.chunk, int64(len(l.active)))] {
			w.run(actor)
		}
	}
}

// run has happen to an actor all that the window has for it.
func (w *worker[E, N]) run(actor int32) {
	l := w.turn.l
	w.mine, w.at = w.mine[:0], 0
	for i := l.head[actor]; i >= 0; i = l.next[i] {
		w.mine = append(w.mine, l.events[i])
	}
	l.head[actor] = -1
	if len(w.mine) > 1 {
		slices.SortFunc(w.mine, func(a, b item[E]) int {
			if a.before(&b) {
				return -1
			}
			return 1
		})
	}
	t := &w.turn
	t.w, t.actor = w, actor
	for w.at < len(w.mine) {
		it := w.mine[w.at]
		w.at++
		t.now = it.at
		err := l.opt.Handle(t, it.event)
		m := mark{it.at, l.count[actor], actor}
		w.had = append(w.had, m)
		if err != nil {
			if f := (&failure{m, err}); w.failed == nil || f.before(w.failed) {
				w.failed = f
			}
			break
		}
	}
	clear(w.mine)
}
