package p2p

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

func joined(id string) mesh.Event { return mesh.Event{Kind: mesh.Joined, Peer: protocol.PeerID(id)} }
func left(id string) mesh.Event   { return mesh.Event{Kind: mesh.Left, Peer: protocol.PeerID(id)} }
func heard(id string, n int) mesh.Event {
	return mesh.Event{Kind: mesh.Heard, Peer: protocol.PeerID(id), Msg: &protocol.Hello{Agent: fmt.Sprint(n)}}
}

// drain runs e until all that is in it has been read.
func drain(t *testing.T, e *events) (got []mesh.Event) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go e.run(ctx)
	for {
		synctest.Wait()
		select {
		case ev := <-e.out:
			got = append(got, ev)
			continue
		default:
		}
		break
	}
	cancel()
	if _, ok := <-e.out; ok {
		t.Error("the channel is not closed at the end")
	}
	return got
}

// A reader that falls behind misses the oldest messages, and nobody's coming or going.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		e.add(joined("a"))
		const n = maxHeard + 100
		for i := range n {
			e.add(heard("a", i))
			if i == 50 {
				e.add(joined("b"))
			}
		}
		e.add(left("b"))
		e.add(left("a"))
		got := drain(t, e)
		if len(got) != maxHeard+4 {
			t.Fatalf("%d events, want %d", len(got), maxHeard+4)
		}
		want := []mesh.Event{joined("a"), joined("b")}
		for i := 100; i < n; i++ {
			want = append(want, heard("a", i))
		}
		want = append(want, left("b"), left("a"))
		for i := range want {
			if got[i].String() != want[i].String() {
				t.Fatalf("event %d is %v, want %v", i, got[i], want[i])
			}
		}
		if e.lost != 100 {
			t.Errorf("%d messages were lost, where 100 were", e.lost)
		}
		if e.heard != 0 || e.bytes != 0 || len(e.queue) != 0 {
			t.Errorf("%d messages of %d bytes remain in an empty queue", e.heard, e.bytes)
		}
	})
}

// Long messages count by what they weigh.
func TestSlowReaderOfLongMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		e.add(joined("a"))
		u := &protocol.Update{Body: make([]byte, protocol.MaxBody)}
		for range 100 {
			e.add(mesh.Event{Kind: mesh.Heard, Peer: "a", Msg: u})
		}
		if e.bytes > maxHeardBytes {
			t.Errorf("%d bytes wait", e.bytes)
		}
		if got := drain(t, e); len(got) != 1+maxHeardBytes/weight(u) {
			t.Errorf("%d events", len(got))
		}
	})
	// And so does everything else that can be long.
	for _, m := range []protocol.Message{
		&protocol.Record{Body: make([]byte, protocol.MaxAlignment)},
		&protocol.Have{IDs: make([]protocol.UpdateID, protocol.MaxHave)},
		&protocol.Want{IDs: make([]protocol.UpdateID, protocol.MaxWant)},
	} {
		if got := weight(m); got < 8<<10 {
			t.Errorf("%v weighs %d bytes", m.Kind(), got)
		}
	}
}

// A peer is heard between its Joined and its Left only. What it said a moment before it joined comes
// right after.
func TestHeardWhileHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		e.add(heard("a", 1))
		time.Sleep(earlyTime + time.Second)
		e.add(heard("a", 2)) // 1 is too old by now
		e.add(heard("b", 3))
		e.add(joined("a"))
		e.add(heard("a", 4))
		e.add(left("a"))
		if e.add(heard("a", 5)) {
			t.Error("heard a peer that had left")
		}
		e.add(joined("b"))
		got := fmt.Sprint(drain(t, e))
		want := fmt.Sprint([]mesh.Event{joined("a"), heard("a", 2), heard("a", 4), left("a"), joined("b"), heard("b", 3)})
		if got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	})
}

// Strangers cannot fill our memory with what we may never hear.
func TestEarlyIsBounded(t *testing.T) {
	e := newEvents()
	u := &protocol.Update{Body: make([]byte, 1<<20)}
	for i := range 3 * maxEarly {
		e.add(heard(fmt.Sprint(i), i))
		e.add(mesh.Event{Kind: mesh.Heard, Peer: protocol.PeerID(fmt.Sprint(i)), Msg: u})
	}
	if len(e.early) > maxEarly || e.earlyBytes > maxEarlyBytes || len(e.early) == 0 {
		t.Errorf("%d messages of %d bytes are kept", len(e.early), e.earlyBytes)
	}
	sum := 0
	for _, q := range e.early {
		sum += q.bytes
	}
	if sum != e.earlyBytes {
		t.Errorf("%d bytes are counted, there are %d", e.earlyBytes, sum)
	}
}
