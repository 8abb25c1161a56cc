package event

import (
	"math/bits"
	"time"
)

// spokes is how many windows ahead the wheel has a place for.
const spokes = 1 << 12

// A wheel keeps what is going to happen, window by window, and in a heap what is further away than it is round. To put something into it
// and to take it out costs the same however much is in it (Brown, Calendar queues, 1988).
type wheel[E any] struct {
	width time.Duration // of a window
	base  int64         // the window that was taken last: what comes is in it at the earliest
	spoke [spokes][]item[E]
	full  [spokes / 64]uint64 // a bit for each spoke with anything on it
	far   heap[item[E], *item[E]]
	spare [][]item[E] // emptied
}

func (w *wheel[E]) start(k int64) time.Duration { return time.Duration(k) * w.width }

func (w *wheel[E]) put(it item[E]) {
	k := int64(it.at / w.width)
	if k >= w.base+spokes {
		w.far.push(it)
		return
	}
	i := k & (spokes - 1)
	if w.spoke[i] == nil && len(w.spare) > 0 {
		last := len(w.spare) - 1
		w.spoke[i], w.spare = w.spare[last], w.spare[:last]
	}
	w.spoke[i] = append(w.spoke[i], it)
	w.full[i/64] |= 1 << (i % 64)
}

// first returns the first window that has anything.
func (w *wheel[E]) first() (k int64, ok bool) {
	from := w.base & (spokes - 1)
	for n := int64(0); n <= spokes/64; n++ {
		i := (from/64 + n) % (spokes / 64)
		word := w.full[i]
		switch n {
		case 0:
			word &= ^uint64(0) << (from % 64)
		case spokes / 64: // the same word again, for what it has of the next round
			word &= 1<<(from%64) - 1
		}
		if word != 0 {
			s := i*64 + int64(bits.TrailingZeros64(word))
			return w.base + (s-from)&(spokes-1), true
		}
	}
	if len(w.far) > 0 {
		return int64(w.far[0].at / w.width), true
	}
	return 0, false
}

// take takes all of window k, which is the first that has anything, and brings near what is far no more.
func (w *wheel[E]) take(k int64) []item[E] {
	w.base = k
	for len(w.far) > 0 && int64(w.far[0].at/w.width) < k+spokes {
		w.put(w.far.pop())
	}
	i := k & (spokes - 1)
	items := w.spoke[i]
	w.spoke[i] = nil
	w.full[i/64] &^= 1 << (i % 64)
	return items
}

// reuse gives back what take returned.
func (w *wheel[E]) reuse(items []item[E]) {
	clear(items)
	w.spare = append(w.spare, items[:0])
}

// A heap has the least first. It is 4-ary: half as deep as a binary one, and siblings lie side by side.
type heap[T any, P interface {
	*T
	before(*T) bool
}] []T

func (h *heap[T, P]) push(x T) {
	q := append(*h, x)
	*h = q
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 4
		if !P(&q[i]).before(&q[up]) {
			return
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
}

func (h *heap[T, P]) pop() T {
	q := *h
	last := len(q) - 1
	top := q[0]
	q[0] = q[last]
	var none T
	q[last] = none
	q = q[:last]
	*h = q
	for i := 0; ; {
		least := i
		for c := 4*i + 1; c < min(4*i+5, last); c++ {
			if P(&q[c]).before(&q[least]) {
				least = c
			}
		}
		if least == i {
			return top
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
}
