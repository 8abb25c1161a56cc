package p2p

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/mesh/patch"
	"github.com/yanmesh/yan/protocol"
)

// A giver answers requests for one body as its story goes.
type giver struct {
	t     *testing.T
	mu    sync.Mutex
	asked []protocol.BodyRequest
	give  func(s network.Stream, q *protocol.BodyRequest)
}

// requests are those that came so far.
func (g *giver) requests() []protocol.BodyRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

func (g *giver) serve(s network.Stream) {
	defer s.Close()
	r := bufio.NewReader(s)
	n, err := readLength(r, protocol.MaxBodyFrame)
	if err != nil {
		return
	}
	frame, err := readBytes(r, n)
	if err != nil {
		return
	}
	q, err := protocol.DecodeBodyRequest(frame)
	if err != nil {
		g.t.Errorf("asked for what is no body: %v", err)
		return
	}
	g.mu.Lock()
	g.asked = append(g.asked, *q)
	g.mu.Unlock()
	g.give(s, q)
}

// giver starts the i-th peer as one that answers so, connected to the first one.
func (w *world) giver(i int, give func(s network.Stream, q *protocol.BodyRequest)) (*evil, *giver) {
	e, g := w.evil(i, 1), &giver{t: w.t, give: give}
	e.SetStreamHandler(must(newProtocols("yan")).body, g.serve)
	return e, g
}

func sized(n int) []byte {
	return frameOf(must(protocol.EncodeBodyAnswer(&protocol.BodyAnswer{Size: uint32(n)})))
}

// pieces are those of body from byte at on, for one who has nothing.
func pieces(body []byte, at int) (b []byte) {
	for ; at < len(body); at += patch.Piece {
		b = patch.Append(b, body, at, nil)
	}
	return b
}

func (s *strikes) of(id peer.ID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.peer[id]; r != nil {
		return r.faults
	}
	return 0
}

// A provider dies half way, and so does the next; each goes on at the byte where the one before stopped.
func TestResume(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		u := update(1, 1, 200_000) // of no order, so pieces go as they are
		dying := func(after int) func(network.Stream, *protocol.BodyRequest) {
			return func(s network.Stream, q *protocol.BodyRequest) {
				b := append(sized(len(u.Body)), pieces(u.Body, int(q.Offset))...)
				s.Write(b[:min(after, len(b))])
				time.Sleep(time.Second) // what was sent arrives
				s.Reset()
			}
		}
		first, asked1 := w.giver(8, dying(50_000))
		second, asked2 := w.giver(9, dying(70_000))
		all[1].bodies.keep(u.Digest, u.Body)
		b := all[0].bodies
		if _, err := b.fetch(t.Context(), wanted(&u.Announce), first.ID()); err != nil {
			t.Fatal(err)
		}
		if asked1.requests()[0].Offset != 0 || b.counts.resumed.Load() != 1 {
			t.Errorf("first asked from byte %d, %d resumed", asked1.requests()[0].Offset, b.counts.resumed.Load())
		}
		sent := all[1].meter.flow(must(newProtocols("yan")).body).out.Load()
		if whole := uint64(len(u.Body)); sent > whole-49_900+100 {
			t.Errorf("the one who had it sent %d of %d bytes, though 49,9xx were there", sent, whole)
		}

		// What is left when all have died is where the next try begins.
		u = update(1, 2, 200_000)
		lone, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if _, err := b.fetch(lone, wanted(&u.Announce), second.ID()); err == nil {
			t.Fatal("fetched from one who dies")
		}
		const head = 8 + 1 // the answer, and the byte that says how long it is
		pieceHeads := 3 * (1 + 3)
		if _, err := b.fetch(t.Context(), wanted(&u.Announce), second.ID()); err != nil {
			t.Fatal(err)
		}
		if got, want := asked2.requests()[1].Offset, uint32(70_000-head-pieceHeads); got != want {
			t.Errorf("asked again from byte %d, want %d", got, want)
		}
		for _, id := range []peer.ID{first.ID(), second.ID()} {
			if n := all[0].strikes.of(id); n > 0 {
				t.Errorf("%d faults for dying", n)
			}
		}
	})
}

// Whoever gave false bytes is found, also when an honest peer gave the rest, and the honest one is not blamed.
func TestFalseBeginning(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		u := update(1, 1, 100_000)
		lie := bytes.Clone(u.Body)
		lie[70_000]++
		liar, asked := w.giver(9, func(s network.Stream, q *protocol.BodyRequest) {
			s.Write(append(sized(len(lie)), pieces(lie, int(q.Offset))[:90_000]...))
			time.Sleep(time.Second)
			s.Reset()
		})
		all[1].bodies.keep(u.Digest, u.Body)
		body, err := all[0].bodies.fetch(t.Context(), wanted(&u.Announce), liar.ID())
		if err != nil || !bytes.Equal(body, u.Body) {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		if n := all[0].strikes.of(liar.ID()); n != 1 {
			t.Errorf("the liar has %d faults", n)
		}
		if n := all[0].strikes.of(all[1].host.ID()); n != 0 {
			t.Errorf("the honest one has %d faults", n)
		}
		if len(asked.requests()) != 2 || asked.requests()[1].Offset != 0 {
			t.Errorf("the liar was asked %+v, want twice from the beginning", asked.requests())
		}
	})
}

// Whatever the one who brings the news answers, the body comes from another in time. What cannot come from an honest peer is a fault.
func TestFalseProviders(t *testing.T) {
	u := update(1, 1, 100_000)
	n := len(u.Body)
	other := update(2, 1, n).Body
	drip := func(s network.Stream, _ *protocol.BodyRequest) {
		s.Write(sized(n))
		for _, c := range pieces(u.Body, 0) {
			if _, err := s.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	say := func(b ...[]byte) func(network.Stream, *protocol.BodyRequest) {
		return func(s network.Stream, _ *protocol.BodyRequest) { s.Write(bytes.Join(b, nil)) }
	}
	for name, c := range map[string]struct {
		give  func(network.Stream, *protocol.BodyRequest)
		fault bool
	}{
		"another body":         {say(sized(n), pieces(other, 0)), true},
		"another size":         {say(sized(n+1), pieces(append(bytes.Clone(u.Body), 0), 0)), true},
		"a size beyond all":    {say(frameOf([]byte{0x81, 0xa1, 'z', 0xce, 0xff, 0xff, 0xff, 0xff})), true},
		"no answer":            {say(frameOf([]byte("hello"))), true},
		"an answer too long":   {say(binary.AppendUvarint(nil, 1<<20)), true},
		"no pieces":            {say(sized(n), []byte{7, 1, 7}), true},
		"what was not asked":   {say(sized(n), patch.Append(nil, u.Body, 0, u.Body)), true},
		"it does not have it":  {say(sized(0)), false},
		"it stops":             {say(sized(n), pieces(u.Body, 0)[:n/2]), false},
		"a byte a second":      {drip, false},
		"nothing, for a while": {func(network.Stream, *protocol.BodyRequest) { time.Sleep(time.Minute) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				all := w.nodes(2)
				e, asked := w.giver(9, c.give)
				all[1].bodies.keep(u.Digest, u.Body)
				began := time.Now()
				body, err := all[0].bodies.fetch(t.Context(), wanted(&u.Announce), e.ID())
				if err != nil || !bytes.Equal(body, u.Body) {
					t.Fatalf("%d bytes, %v", len(body), err)
				}
				if took, most := time.Since(began), 2*stall+2*time.Second; took > most {
					t.Errorf("it took %v", took)
				}
				if got := all[0].strikes.of(e.ID()) > 0; got != c.fault || len(asked.requests()) == 0 {
					t.Errorf("%d faults; asked %d times", all[0].strikes.of(e.ID()), len(asked.requests()))
				}
				if n := all[0].strikes.of(all[1].host.ID()); n > 0 {
					t.Errorf("%d faults of the honest", n)
				}
			})
		})
	}
}

// However much news there is, four bodies are on their way to us at once, and two of them by news of one peer.
func TestFourAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(1)
		var wg sync.WaitGroup
		var now, most atomic.Int64
		slow := func(s network.Stream, q *protocol.BodyRequest) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(2 * time.Second)
			now.Add(-1)
			s.Write(sized(0))
		}
		for i := range 4 {
			e, _ := w.giver(6+i, slow)
			for seq := range uint64(3) {
				u := update(6+i, seq+1, 1000)
				wg.Go(func() { all[0].bodies.fetch(t.Context(), wanted(&u.Announce), e.ID()) })
			}
			if i == 0 {
				time.Sleep(time.Second)
				if n := most.Load(); n != fetchPerPeer {
					t.Errorf("%d at once by news of one peer", n)
				}
			}
		}
		wg.Wait()
		if n := most.Load(); n != fetchAtOnce {
			t.Errorf("%d at once", n)
		}
	})
}

// Requests that are none, or for what is beyond the end, are refused; any number of them holds nobody up for long.
func TestFalseRequests(t *testing.T) {
	p := must(newProtocols("yan"))
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		u := update(0, 1, 100_000)
		all[0].bodies.keep(u.Digest, u.Body)
		e := w.evil(9, 1)
		ask := func(q protocol.BodyRequest) []byte { return frameOf(must(protocol.EncodeBodyRequest(&q))) }
		s := must(e.write(p.body, ask(protocol.BodyRequest{Digest: u.Digest, Offset: uint32(len(u.Body) + 1)})))
		if b, err := io.ReadAll(s); err != nil || !bytes.Equal(b, sized(0)) {
			t.Errorf("from beyond the end: %x, %v", b, err)
		}
		s = must(e.write(p.body, ask(protocol.BodyRequest{Digest: u.Digest, Offset: uint32(len(u.Body))})))
		if b, err := io.ReadAll(s); err != nil || !bytes.Equal(b, sized(len(u.Body))) {
			t.Errorf("from the end: %x, %v", b, err)
		}
		var wg sync.WaitGroup
		var served atomic.Int64
		for range 600 {
			wg.Go(func() {
				s, err := e.write(p.body, ask(protocol.BodyRequest{Digest: u.Digest}))
				if err != nil {
					return
				}
				if b, err := io.ReadAll(s); err == nil && len(b) > len(u.Body) {
					served.Add(1)
				}
			})
		}
		time.Sleep(time.Second)
		began := time.Now()
		body, err := all[1].bodies.fetch(t.Context(), wanted(&u.Announce), all[0].host.ID())
		if err != nil || !bytes.Equal(body, u.Body) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("beside one who asks for ever it took %v", took)
		}
		goOn(t, all)
		wg.Wait()
		if n := served.Load(); n == 0 || n > 100 {
			t.Errorf("one who asks for ever was served %d times", n)
		}
		for range maxStrikes {
			e.write(p.body, frameOf([]byte("give me all")))
			time.Sleep(time.Second)
		}
		if !all[0].ignores(9) {
			t.Error("who asks nonsense is not ignored")
		}
	})
}

// A peer of the version before is asked and answered as before.
func TestOlderPeer(t *testing.T) {
	p := must(newProtocols("yan"))
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(1)
		u := update(0, 1, 100_000)
		all[0].bodies.keep(u.Digest, u.Body)
		e := w.evil(9, 1)
		b := must(io.ReadAll(must(e.write(p.wholeBody, u.Digest[:]))))
		if !bytes.Equal(b, append([]byte{0, 1, 0x86, 0xa0}, u.Body...)) {
			t.Errorf("%d bytes", len(b))
		}
		v := update(2, 1, 100_000)
		e.SetStreamHandler(p.wholeBody, func(s network.Stream) {
			var d protocol.Digest
			if _, err := io.ReadFull(s, d[:]); err != nil || d != v.Digest {
				t.Errorf("asked for %v, %v", d, err)
			}
			s.Write(append([]byte{0, 1, 0x86, 0xa0}, v.Body...))
			s.Close()
		})
		if body, err := all[0].bodies.fetch(t.Context(), wanted(&v.Announce), e.ID()); err != nil || !bytes.Equal(body, v.Body) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		// It is told an update whole.
		if m := all[0].bodies.briefly(e.ID(), u); m != protocol.Message(u) {
			t.Errorf("told %v", m)
		}
	})
}

// later is a version of an update by the first peer in which one byte in twenty differs.
func later(old *protocol.Update, seq uint64) *protocol.Update {
	body := bytes.Clone(old.Body)
	for i := int(seq); i < len(body); i += 20 {
		body[i] += byte(seq)
	}
	u := &protocol.Update{Announce: old.Announce, Body: body}
	u.ID.Seq, u.Digest = seq, protocol.Sum(body)
	u.Sign(meshtest.Key(0))
	return u
}

// What a node has from an earlier run others can fetch, and it is what the next version differs from.
func TestHeldFromBefore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		old := update(0, 1, 300_000)
		held := Config{Held: []*protocol.Update{old}}
		a, b, c := w.node(0, held), w.node(1, held), w.node(2, Config{})
		for _, n := range []*node{b, c} {
			n.expect(mesh.Joined, a.Self(), time.Minute)
		}
		time.Sleep(settle)
		if body, err := c.bodies.fetch(t.Context(), wanted(&old.Announce), b.host.ID()); err != nil || !bytes.Equal(body, old.Body) {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		before := w.bytes.Load()
		if err := a.Send(t.Context(), protocol.Envelope{Msg: later(old, 2)}); err != nil {
			t.Fatal(err)
		}
		for _, n := range []*node{b, c} {
			n.expect(mesh.Heard, a.Self(), time.Minute)
		}
		if n := w.bytes.Load() - before; n > 2*int64(len(old.Body))/5 {
			t.Errorf("%d bytes for what differs, twice", n)
		}
	})
}

// A new version costs those who have the one before what differs, by whichever way it comes; and what one peer tells another goes over the
// stream of messages as a head.
func TestPatchesOnTheWire(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(5)
		time.Sleep(settle)
		old := update(0, 1, 300_000)
		version := func(seq uint64) *protocol.Update { return later(old, seq) }
		spread := func(u *protocol.Update) int64 {
			before := w.bytes.Load()
			if err := all[0].Send(t.Context(), protocol.Envelope{Msg: u}); err != nil {
				t.Fatal(err)
			}
			for _, a := range all[1:] {
				got, ok := a.expect(mesh.Heard, meshtest.ID(0), time.Minute).Msg.(*protocol.Update)
				if !ok || got.Verify() != nil || got.ID != u.ID {
					t.Fatalf("heard %v", got)
				}
			}
			return w.bytes.Load() - before
		}
		whole := spread(old)
		if later := spread(version(2)); later > whole/5 {
			t.Errorf("%d bytes for what differs, %d for the whole", later, whole)
		}
		u := version(3)
		before, said := w.bytes.Load(), all[0].meter.flow(must(newProtocols("yan")).say).out.Load()
		if err := all[0].Send(t.Context(), protocol.Envelope{To: all[1].Self(), Msg: u}); err != nil {
			t.Fatal(err)
		}
		got, ok := all[1].expect(mesh.Heard, meshtest.ID(0), time.Minute).Msg.(*protocol.Update)
		if !ok || got.ID != u.ID || !bytes.Equal(got.Body, u.Body) {
			t.Fatalf("heard %v", got)
		}
		if n := w.bytes.Load() - before; n > whole/4/5 {
			t.Errorf("%d bytes to one peer for what differs, %d for the whole", n, whole/4)
		}
		if n := all[0].meter.flow(must(newProtocols("yan")).say).out.Load() - said; n > protocol.MaxAnnounce {
			t.Errorf("%d bytes on the stream of messages", n)
		}
		// Told again it is heard again, for the other may have lost it; the body does not travel again.
		before = w.bytes.Load()
		if err := all[0].Send(t.Context(), protocol.Envelope{To: all[1].Self(), Msg: u}); err != nil {
			t.Fatal(err)
		}
		all[1].expect(mesh.Heard, meshtest.ID(0), time.Minute)
		if n := w.bytes.Load() - before; n > 20_000 {
			t.Errorf("%d bytes for what was there", n)
		}
	})
}

// Bodies go no faster than the owner allows, up and down, but for those of the first second.
func TestRates(t *testing.T) {
	for name, c := range map[string][2]Config{
		"up":   {{Upload: 64 << 10, Download: -1}, {Upload: -1, Download: -1}},
		"down": {{Upload: -1, Download: -1}, {Upload: -1, Download: 64 << 10}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a, b := w.node(0, c[0]), w.node(1, c[1])
				b.expect(mesh.Joined, a.Self(), time.Minute)
				u := update(0, 1, 640<<10)
				a.bodies.keep(u.Digest, u.Body)
				began := time.Now()
				if _, err := b.bodies.fetch(t.Context(), wanted(&u.Announce), a.host.ID()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < 8900*time.Millisecond || took > 11*time.Second {
					t.Errorf("ten seconds' worth took %v", took)
				}
			})
		})
	}
	for addr, far := range map[string]bool{
		"/ip4/192.168.1.7/tcp/4001": false, "/ip4/127.0.0.1/udp/4001/quic-v1": false, "/ip6/fe80::1/tcp/4001": false, "/ip6/fd12::1/tcp/4001": false,
		"/ip4/8.8.8.8/tcp/4001": true, "/ip6/2a00::1/tcp/4001": true,
	} {
		if got := beyond(ma.StringCast(addr)); got != far {
			t.Errorf("%s is beyond the local network: %v", addr, got)
		}
	}
	for _, c := range []Config{{Upload: 1000}, {Download: slowest - 1}} {
		if c.Check() == nil {
			t.Errorf("%+v is allowed", c)
		}
	}
}

// Of what broke, a bounded part is kept, for a bounded time.
func TestHalvesAreBounded(t *testing.T) {
	h, now := newHalves(), time.Now()
	digest := func(i int) protocol.Digest { return protocol.Sum([]byte{byte(i)}) }
	for i := range 100 {
		x := new(half)
		x.add("peer", make([]byte, 1<<20))
		h.leave(digest(i), x, now)
	}
	if h.bytes > keptHalfBytes || h.lru.Len()<<20 != h.bytes || h.lru.Len() == 0 {
		t.Errorf("%d bytes of %d bodies", h.bytes, h.lru.Len())
	}
	if x := h.take(digest(99), now.Add(time.Minute)); len(x.body) != 1<<20 {
		t.Errorf("%d bytes of the last", len(x.body))
	}
	if x := h.take(digest(99), now); len(x.body) != 0 {
		t.Error("it was taken twice")
	}
	if x := h.take(digest(98), now.Add(keptHalfTime+time.Second)); len(x.body) != 0 {
		t.Error("kept too long")
	}
	x := new(half)
	x.add("a", make([]byte, 10))
	x.add("b", make([]byte, 10))
	x.add("b", make([]byte, 10))
	if x.cut(15); len(x.body) != 15 || len(x.parts) != 2 || x.parts[1].until != 15 {
		t.Errorf("%+v", x)
	}
	if x.cut(10); len(x.parts) != 1 || x.parts[0].from != "a" {
		t.Errorf("%+v", x)
	}
	if x.cut(0); len(x.parts) != 0 {
		t.Errorf("%+v", x)
	}
}

// An update reaches twenty peers for little more than the bytes that they lack.
func TestIdealBytes(t *testing.T) {
	const n = 20
	inWorld(t, func(t *testing.T, w *world) {
		w.bytes.Store(0)
		all := w.nodes(n)
		time.Sleep(time.Minute)
		before := w.bytes.Load()
		time.Sleep(time.Minute)
		idle := float64(w.bytes.Load()-before) / 60 // a second, of membership and gossip
		seq := uint64(0)
		for _, c := range []struct{ size, times int }{{64 << 10, 3}, {512 << 10, 1}} {
			before, began := w.bytes.Load(), time.Now()
			var last time.Duration
			for range c.times {
				seq++
				said := time.Now()
				if err := all[0].Send(t.Context(), protocol.Envelope{Msg: update(0, seq, c.size)}); err != nil {
					t.Fatal(err)
				}
				for _, a := range all[1:] {
					a.expect(mesh.Heard, meshtest.ID(0), 2*time.Minute)
				}
				last = max(last, time.Since(said))
				time.Sleep(15*time.Second - time.Since(said)%(15*time.Second))
			}
			sent := float64(w.bytes.Load() - before)
			of := sent - idle*time.Since(began).Seconds()
			ideal := float64(c.size * c.times * (n - 1))
			t.Logf("%d updates of %d kB to %d peers: %.3f of the ideal bytes, beside the %.0f bytes a second of each idle peer; the last heard it after %v",
				c.times, c.size>>10, n-1, of/ideal, idle/n, last.Round(time.Millisecond))
			if of > 1.2*ideal || of < ideal {
				t.Errorf("%.0f bytes on the wire where %.0f are needed", of, ideal)
			}
		}
	})
}
