package p2p

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// A node is a mesh and what happened on it.
type node struct {
	*Mesh
	t    *testing.T
	seen []mesh.Event
}

// node starts the i-th peer, which joins through the first unless c says otherwise.
func (w *world) node(i int, c Config) *node {
	w.t.Helper()
	if c.Join == nil && i > 0 {
		c.Join = []string{addrOfPeer(0)}
	}
	if c.Log == nil {
		c.Log = quiet
	}
	s := newStrikes(c.Log)
	r, err := newReach(&c)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := over(w.host(i, s, r), s, r, c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ends = append(w.ends, func() { m.Close() })
	return &node{Mesh: m, t: w.t}
}

func (w *world) nodes(n int) []*node {
	w.t.Helper()
	var all []*node
	for i := range n {
		all = append(all, w.node(i, Config{}))
	}
	for i, a := range all {
		for k := range n {
			if k != i {
				a.expect(mesh.Joined, meshtest.ID(k), time.Minute)
			}
		}
	}
	return all
}

// expect waits for an event, which may have happened already, and returns it. An event is expected
// once.
func (n *node) expect(kind mesh.EventKind, who protocol.PeerID, within time.Duration) mesh.Event {
	n.t.Helper()
	match := func(ev mesh.Event) bool { return ev.Kind == kind && ev.Peer == who }
	for i, ev := range n.seen {
		if match(ev) {
			n.seen = append(n.seen[:i:i], n.seen[i+1:]...)
			return ev
		}
	}
	late := time.After(within)
	for {
		select {
		case ev, ok := <-n.Events():
			if !ok {
				n.t.Fatalf("%s: closed", n.Self().Short())
			}
			if match(ev) {
				return ev
			}
			n.seen = append(n.seen, ev)
		case <-late:
			n.t.Fatalf("%s: not within %v: %s %v; but: %v",
				n.Self().Short(), within, who.Short(), kind, n.seen[max(0, len(n.seen)-20):])
		}
	}
}

func TestMesh(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		meshtest.Test(t, func(t *testing.T, i int) mesh.Mesh { return w.node(i, Config{}) })
	})
}

// What is published is heard by everyone, its body crosses the network about once for each, and the
// relays that passed it on can serve it.
func TestUpdateSpreads(t *testing.T) {
	const n, size = 8, 256 << 10
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(n)
		time.Sleep(settle)
		u := update(0, 1, size)
		before := w.bytes.Load()
		if err := all[0].Send(t.Context(), protocol.Envelope{Msg: u}); err != nil {
			t.Fatal(err)
		}
		for _, a := range all[1:] {
			got, ok := a.expect(mesh.Heard, meshtest.ID(0), time.Minute).Msg.(*protocol.Update)
			if !ok || got.ID != u.ID || !bytes.Equal(got.Body, u.Body) {
				t.Fatalf("%s heard %v, want %v", a.Self().Short(), got, u)
			}
		}
		if sent, ideal := w.bytes.Load()-before, int64(size*(n-1)); sent > ideal*3/2 {
			t.Errorf("%d bytes on the wire, where %d are needed", sent, ideal)
		}
		// Whoever says it again says nothing new.
		if err := all[3].Send(t.Context(), protocol.Envelope{Msg: u}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(settle)
		for _, a := range all {
			a.refuse("what is known", func(ev mesh.Event) bool { return ev.Kind == mesh.Heard })
		}
	})
}

// What a peer does not want it neither fetches nor passes on; what it wants comes as ever.
func TestChoose(t *testing.T) {
	const size = 256 << 10
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		time.Sleep(settle)
		// The first and the last do not hear each other but through the one between.
		ip0, ip2 := ipOf(0).String(), ipOf(2).String()
		w.partition(func(from, to string) bool { return from == ip0 && to == ip2 || from == ip2 && to == ip0 })
		time.Sleep(5 * time.Minute)
		var asked atomic.Int64
		all[1].Choose(func(ctx context.Context, head protocol.Message) bool {
			asked.Add(1)
			a, ok := head.(*protocol.Announce)
			return ok && a.Skill == "wanted"
		})
		unwanted, wanted := update(0, 1, size), update(0, 2, size)
		wanted.Skill = "wanted"
		wanted.Sign(meshtest.Key(0))
		before := w.bytes.Load()
		if err := all[0].Send(t.Context(), protocol.Envelope{Msg: unwanted}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(settle)
		for _, a := range all[1:] {
			a.refuse("what is not wanted", func(ev mesh.Event) bool { return ev.Kind == mesh.Heard })
		}
		if sent := w.bytes.Load() - before; sent > size/2 || asked.Load() != 1 {
			t.Errorf("asked %d times, and %d bytes on the wire", asked.Load(), sent)
		}
		if err := all[0].Send(t.Context(), protocol.Envelope{Msg: wanted}); err != nil {
			t.Fatal(err)
		}
		all[1].expect(mesh.Heard, meshtest.ID(0), time.Minute)
		all[2].expect(mesh.Heard, meshtest.ID(0), time.Minute) // through the one between
	})
}

// What is sent to one peer arrives in order, long and short mixed.
func TestSendKeepsOrder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		const n = 60
		for i := range uint64(n) {
			var m protocol.Message = &protocol.Answer{ID: protocol.UpdateID{Author: all[0].Self(), Seq: i + 1}, Verdict: protocol.Folded}
			if i%20 == 7 {
				m = update(1, i+1, 100<<10)
			}
			if err := all[0].Send(t.Context(), protocol.Envelope{To: all[1].Self(), Msg: m}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range uint64(n) {
			var seq uint64
			switch m := all[1].expect(mesh.Heard, all[0].Self(), time.Minute).Msg.(type) {
			case *protocol.Answer:
				seq = m.ID.Seq
			case *protocol.Update:
				seq = m.ID.Seq
			}
			if seq != i+1 {
				t.Fatalf("message %d came as the %d.", seq, i+1)
			}
		}
	})
}

// A peer that does not read costs the sender a bounded queue and an error, not its time.
func TestSendDoesNotBlock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		w.lose(1)
		u := update(0, 1, 3<<20)
		began := time.Now()
		var err error
		for range 1000 {
			if err = all[0].Send(t.Context(), protocol.Envelope{To: all[1].Self(), Msg: u}); err != nil {
				break
			}
		}
		if !errors.Is(err, mesh.ErrUnreachable) {
			t.Errorf("Send to a peer that does not listen: %v, want ErrUnreachable", err)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("Send took %v", waited)
		}
	})
}

// Someone who never stops talking does not drown the others, in either way of talking.
func TestFlood(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		time.Sleep(settle)
		quiet := &protocol.Hello{Agent: "quiet"}
		if err := all[1].Send(t.Context(), protocol.Envelope{Msg: quiet}); err != nil {
			t.Fatal(err)
		}
		const n = 5000
		for i := range n {
			m := &protocol.Answer{ID: protocol.UpdateID{Author: all[2].Self(), Seq: uint64(i + 1)}, Verdict: protocol.Folded}
			if err := all[2].Send(t.Context(), protocol.Envelope{Msg: m}); err != nil {
				t.Fatal(err)
			}
			all[2].Send(t.Context(), protocol.Envelope{To: all[0].Self(), Msg: m}) // as much as its queue takes
			time.Sleep(time.Millisecond)
			if i%500 == 0 {
				all[0].read()
			}
		}
		all[0].expect(mesh.Heard, all[1].Self(), time.Second)
		all[0].refuse("a leave", func(ev mesh.Event) bool { return ev.Kind == mesh.Left })
		fromLoud := 0
		for _, ev := range all[0].seen {
			if ev.Peer == all[2].Self() {
				fromLoud++
			}
		}
		seconds := n / 1000
		if most := speakBurst + sayBurst + (speakRate+sayRate)*(seconds+1); fromLoud > most || fromLoud < speakBurst {
			t.Errorf("%d messages came through, at most %d should", fromLoud, most)
		}
		if all[0].ignores(2) {
			t.Error("ignored for talking")
		}
	})
}

// A device that dies says nothing; the others find out, and about nobody else.
func TestCrash(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(4)
		time.Sleep(settle)
		w.lose(2)
		for i, a := range all {
			if i != 2 {
				a.expect(mesh.Left, all[2].Self(), 30*time.Second)
				a.refuse("a leave of one who is here", func(ev mesh.Event) bool { return ev.Kind == mesh.Left })
			}
		}
	})
}

// Two halves of a partition go on by themselves, and are one again soon after it ends.
func TestPartition(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(4)
		time.Sleep(settle)
		left := map[string]bool{ipOf(0).String(): true, ipOf(1).String(): true}
		w.partition(func(from, to string) bool { return left[from] != left[to] })
		time.Sleep(2 * time.Minute)
		for i, a := range all {
			for k, b := range all {
				if i/2 != k/2 {
					a.expect(mesh.Left, b.Self(), time.Second)
				}
			}
		}
		hello := &protocol.Hello{Agent: "still here"}
		all[2].Send(t.Context(), protocol.Envelope{Msg: hello})
		all[3].expect(mesh.Heard, all[2].Self(), 10*time.Second)

		w.partition(nil)
		healed := time.Now()
		for i, a := range all {
			for k, b := range all {
				if i/2 != k/2 {
					a.expect(mesh.Joined, b.Self(), 30*time.Second-time.Since(healed))
				}
			}
		}
		t.Logf("healed in %v", time.Since(healed))
		time.Sleep(settle)
		all[0].Send(t.Context(), protocol.Envelope{Msg: hello})
		all[3].expect(mesh.Heard, all[0].Self(), 10*time.Second)
	})
}

// A device that was switched off and on, with good-bye or without, is the same one.
func TestRestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		time.Sleep(settle)
		if err := all[2].Close(); err != nil {
			t.Fatal(err)
		}
		all[0].expect(mesh.Left, all[2].Self(), 5*time.Second)
		all[1].expect(mesh.Left, all[2].Self(), 5*time.Second)
		all[2] = w.node(2, Config{})
		all[0].expect(mesh.Joined, all[2].Self(), 10*time.Second)
		all[1].expect(mesh.Joined, all[2].Self(), 10*time.Second)
		all[2].expect(mesh.Joined, all[1].Self(), 10*time.Second)

		w.lose(2)
		all[2].Close()
		all[0].expect(mesh.Left, all[2].Self(), 30*time.Second)
		w.partition(nil)
		all[2] = w.node(2, Config{})
		all[0].expect(mesh.Joined, all[2].Self(), 30*time.Second)
		time.Sleep(settle)
		all[2].Send(t.Context(), protocol.Envelope{Msg: &protocol.Hello{Agent: "back"}})
		all[0].expect(mesh.Heard, all[2].Self(), 10*time.Second)
		all[1].expect(mesh.Heard, all[2].Self(), 10*time.Second)
	})
}

// A peer is joined through an address that does not answer yet, and, the next time, through the book.
func TestBook(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		kept := new(keptBook)
		a := w.node(1, Config{Book: kept}) // joins through peer 0, who is not there
		time.Sleep(time.Hour)
		b := w.node(0, Config{})
		a.expect(mesh.Joined, b.Self(), 30*time.Second)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if len(kept.lines) == 0 || kept.lines[0] != addrOfPeer(0) {
			t.Fatalf("the book holds %q, want %q", kept.lines, addrOfPeer(0))
		}
		kept.lines = append(kept.lines, "/not an address")
		a = w.node(1, Config{Book: kept, Join: []string{}})
		a.expect(mesh.Joined, b.Self(), 10*time.Second)

		// Alone, it does not forget.
		w.lose(1)
		time.Sleep(5 * time.Minute)
		a.Close()
		if len(kept.lines) != 1 || kept.lines[0] != addrOfPeer(0) {
			t.Errorf("the book holds %q, want %q", kept.lines, addrOfPeer(0))
		}
	})
}

// A device that slept for a while and woke somewhere else comes back by its own book, and the others' books follow it: one
// that starts when all else is gone finds it where it is now.
func TestMoved(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var books [3]keptBook
		var all []*node
		for i := range books {
			all = append(all, w.node(i, Config{Book: &books[i]}))
		}
		for _, a := range all[:2] {
			a.expect(mesh.Joined, meshtest.ID(2), time.Minute)
		}
		time.Sleep(2 * saveEvery) // it is in the books where it was
		w.lose(2)
		for _, a := range all[:2] {
			a.expect(mesh.Left, meshtest.ID(2), time.Minute)
		}
		time.Sleep(20 * time.Minute)
		all[2].Close()
		w.partition(nil)
		w.moved = map[int]int{2: 7}
		again := w.node(2, Config{Book: &books[2], Join: []string{}})
		for _, a := range all[:2] {
			a.expect(mesh.Joined, meshtest.ID(2), 20*time.Second)
			again.expect(mesh.Joined, a.Self(), 20*time.Second)
		}
		time.Sleep(2 * saveEvery)
		all[0].Close()
		all[1].Close()
		alone := w.node(1, Config{Book: &books[1], Join: []string{}})
		alone.expect(mesh.Joined, meshtest.ID(2), 20*time.Second)
		if want := strings.Replace(addrOfPeer(2), ipOf(2).String(), ipOf(7).String(), 1); !slices.Contains(books[1].lines, want) {
			t.Errorf("the book holds %q, and not %s", books[1].lines, want)
		}
	})
}

// keptBook is a PeerBook in memory.
type keptBook struct{ lines []string }

func (b *keptBook) Load() []string { return b.lines }
func (b *keptBook) Save(lines []string) error {
	b.lines = lines
	return nil
}

// Peers of two networks do not meet, even when told to.
func TestOtherNetwork(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.node(0, Config{})
		b := w.node(1, Config{Network: "elsewhere"})
		time.Sleep(3 * time.Minute)
		a.Send(t.Context(), protocol.Envelope{Msg: &protocol.Hello{}})
		time.Sleep(settle)
		anything := func(mesh.Event) bool { return true }
		a.refuse("anything of another network", anything)
		b.refuse("anything of another network", anything)
		for n := 0; len(a.host.Network().Peers())+len(b.host.Network().Peers()) > 0; n++ {
			if n == 10 {
				t.Fatal("they stay connected")
			}
			time.Sleep(time.Second)
		}
	})
}

// settle is how long it takes, after all have joined, until what is published reaches all.
const settle = 5 * time.Second

// refuse fails if bad holds of an event that was not expected.
func (n *node) refuse(what string, bad func(mesh.Event) bool) {
	n.t.Helper()
	n.read()
	for _, ev := range n.seen {
		if bad(ev) {
			n.t.Errorf("%s: %s: %v", n.Self().Short(), what, ev)
		}
	}
}

// read takes in what has happened.
func (n *node) read() {
	for {
		select {
		case ev, ok := <-n.Events():
			if !ok {
				return
			}
			n.seen = append(n.seen, ev)
		case <-time.After(time.Millisecond):
			return
		}
	}
}

// update is one by peer i, which nobody else can have made.
func update(i int, seq uint64, size int) *protocol.Update {
	body := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(i), byte(seq)}).Read(body)
	u := &protocol.Update{
		Announce: protocol.Announce{
			ID: protocol.UpdateID{Author: meshtest.ID(i), Seq: seq}, Skill: "walking",
			Digest: protocol.Sum(body), Size: uint32(size),
		},
		Body: body,
	}
	u.Sign(meshtest.Key(i))
	return u
}
