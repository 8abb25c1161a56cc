package p2p

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

const (
	maxHeard      = 1024             // messages that wait for a slow reader
	maxHeardBytes = 64 << 20         // and what they may weigh
	maxEarly      = 128              // messages of peers whose joining we have not noticed yet
	maxEarlyBytes = 16 << 20         // and what they may weigh
	earlyTime     = 10 * time.Second // how long such a message is worth keeping
)

// events is the queue between what happens and who reads of it. Adding to it
// never blocks, not even under memberlist's lock. A reader that falls behind
// loses what was heard, oldest first, and never who joined or left.
//
// A peer may speak to us before the news that it has joined is here. What it
// says is kept for a moment, so that it is heard after the peer has joined; what
// comes after the peer has left is not heard.
type events struct {
	out  chan mesh.Event
	more chan struct{} // holds a token when the head of the queue may have changed

	mu    sync.Mutex // guards what follows; never held over a channel
	queue []queued
	next  uint64 // the number of the next event
	heard int    // messages in queue
	lost  uint64 // messages that were dropped for a slow reader
	bytes int    // their weight

	here       map[protocol.PeerID]bool // who has joined and not left
	early      []earlier
	earlyBytes int
}

type queued struct {
	mesh.Event
	number uint64
	bytes  int
}

// An earlier event is a message whose sender has not joined.
type earlier struct {
	queued
	at time.Time
}

func newEvents() *events {
	return &events{
		out: make(chan mesh.Event), more: make(chan struct{}, 1),
		here: make(map[protocol.PeerID]bool),
	}
}

// add takes in an event, and reports whether it is one to read now: a message
// may have come too early.
func (e *events) add(ev mesh.Event) bool {
	now := e.sort(queued{Event: ev, bytes: weight(ev.Msg)}, time.Now())
	select {
	case e.more <- struct{}{}:
	default:
	}
	return now
}

func (e *events) sort(q queued, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch q.Kind {
	case mesh.Joined:
		e.here[q.Peer] = true
		e.push(q)
		e.release(q.Peer, now)
	case mesh.Left:
		delete(e.here, q.Peer)
		e.push(q)
	default:
		if !e.here[q.Peer] {
			e.hold(earlier{q, now})
			return false
		}
		e.push(q)
	}
	return true
}

// hold keeps a message of a peer that has not joined, in the place of older
// ones if need be.
func (e *events) hold(q earlier) {
	e.early = append(e.early, q)
	e.earlyBytes += q.bytes
	for e.early[0].at.Before(q.at.Add(-earlyTime)) || len(e.early) > maxEarly || e.earlyBytes > maxEarlyBytes {
		e.earlyBytes -= e.early[0].bytes
		e.early = slices.Delete(e.early, 0, 1)
	}
}

// release queues what was kept of the peer, and is not too old.
func (e *events) release(id protocol.PeerID, now time.Time) {
	var others []earlier
	e.earlyBytes = 0
	for _, q := range e.early {
		switch {
		case q.at.Before(now.Add(-earlyTime)):
		case q.Peer == id:
			e.push(q.queued)
		default:
			others = append(others, q)
			e.earlyBytes += q.bytes
		}
	}
	e.early = others
}

func (e *events) push(q queued) {
	q.number = e.next
	e.next++
	e.queue = append(e.queue, q)
	if q.Kind != mesh.Heard {
		return
	}
	e.heard++
	e.bytes += q.bytes
	for e.heard > maxHeard || e.heard > 1 && e.bytes > maxHeardBytes {
		e.loseOldest()
	}
}

// loseOldest drops the oldest message. There is one.
func (e *events) loseOldest() {
	e.lost++
	for i := range e.queue {
		if e.queue[i].Kind == mesh.Heard {
			e.drop(i)
			return
		}
	}
}

func (e *events) drop(i int) {
	if e.queue[i].Kind == mesh.Heard {
		e.heard--
		e.bytes -= e.queue[i].bytes
	}
	e.queue = slices.Delete(e.queue, i, i+1)
}

// head returns the oldest event, without removing it.
func (e *events) head() (queued, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return queued{}, false
	}
	return e.queue[0], true
}

// taken removes the event that was read, unless it was lost meanwhile.
func (e *events) taken(number uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) > 0 && e.queue[0].number == number {
		e.drop(0)
	}
}

// run hands out events until ctx ends, and then closes the channel. While it
// offers one, that one is still in the queue and can still be lost.
func (e *events) run(ctx context.Context) {
	defer close(e.out)
	for {
		var out chan mesh.Event
		q, ok := e.head()
		if ok {
			out = e.out
		}
		select {
		case out <- q.Event:
			e.taken(q.number)
		case <-e.more:
		case <-ctx.Done():
			return
		}
	}
}

// weight is what a message holds on to, roughly.
func weight(m protocol.Message) int {
	const head, name = 1 << 10, 128 // a name has an author's and two words before it
	switch m := m.(type) {
	case *protocol.Update:
		return head + len(m.Body)
	case *protocol.Record:
		return head + len(m.Body)
	case *protocol.Have:
		return head + name*len(m.IDs)
	case *protocol.Want:
		return head + name*len(m.IDs)
	}
	return head
}
