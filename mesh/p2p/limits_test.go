package p2p

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	lib "github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"
	quict "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"google.golang.org/protobuf/proto"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// Every protocol of ours has limits of its own, for one peer and for all together, and a frame of any length that is
// allowed fits into them.
func TestLimitsOfEachProtocol(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	limits, anything := newLimiter(p), libp2p.ID("/nobody/speaks/this")
	of := append(p.streams(), p.gossip)
	if len(of) < 6 {
		t.Fatalf("%d protocols", len(of))
	}
	for _, id := range of {
		all, one := limits.GetProtocolLimits(id), limits.GetProtocolPeerLimits(id)
		if n := one.GetStreamLimit(network.DirInbound); n < 2 || n > 8 {
			t.Errorf("%s: one peer may open %d streams", id, n)
		}
		if n := all.GetStreamLimit(network.DirInbound); n < 64 || n > 512 {
			t.Errorf("%s: all peers may open %d streams", id, n)
		}
		if one.GetMemoryLimit() > 6<<20 || all.GetMemoryLimit() > 12<<20 || all.GetMemoryLimit() >= limits.GetProtocolLimits(anything).GetMemoryLimit() {
			t.Errorf("%s: %d bytes for one peer and %d for all", id, one.GetMemoryLimit(), all.GetMemoryLimit())
		}
	}
	if say := limits.GetProtocolPeerLimits(p.say).GetMemoryLimit(); say < protocol.MaxFrame {
		t.Errorf("what is said to one may have %d bytes, and only %d may be claimed", protocol.MaxFrame, say)
	}
}

// Streams that say nothing are refused beyond what one peer may open, over real sockets.
func TestSilentStreamsAreRefused(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	const tried = 20
	a := onLoopback(t, 0, Config{})
	for k, id := range []libp2p.ID{p.say, p.packet, p.body} {
		evil, err := libp2pHost(t, meshtest.Key(9+k))
		if err != nil {
			t.Fatal(err)
		}
		info, err := peer.AddrInfoFromString(a.addr("/quic-v1"))
		if err != nil {
			t.Fatal(err)
		}
		if err := evil.Connect(t.Context(), *info); err != nil {
			t.Fatal(err)
		}
		refused := make(chan error, tried)
		for range tried {
			s, err := evil.NewStream(t.Context(), info.ID, id)
			if err == nil {
				_, err = s.Write([]byte{0x80}) // sends what NewStream only prepared
			}
			go func() {
				if err == nil {
					_, err = s.Read(make([]byte, 1))
				}
				refused <- err
			}()
		}
		allowed := p.shares()[id].peer
		for n := range tried - allowed {
			select {
			case err := <-refused:
				if err == nil {
					t.Errorf("%s: answered", id)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%s: %d of %d streams are refused, %d may be open", id, n, tried, allowed)
			}
		}
		open := 0
		for _, c := range a.host.Network().ConnsToPeer(evil.ID()) {
			for _, s := range c.GetStreams() {
				if s.Protocol() == id {
					open++
				}
			}
		}
		if open > allowed || open == 0 {
			t.Errorf("%s: %d streams of one peer are open, %d may be", id, open, allowed)
		}
	}
}

// libp2pHost is a host with no limits and no scruples.
func libp2pHost(t *testing.T, key ed25519.PrivateKey) (host.Host, error) {
	private, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return nil, err
	}
	h, err := lib.New(lib.Identity(private), lib.NoListenAddrs, lib.Transport(quict.NewTransport),
		lib.ResourceManager(&network.NullResourceManager{}), lib.DisableRelay(), lib.DisableMetrics(), lib.Ping(false))
	if err == nil {
		t.Cleanup(func() { h.Close() })
	}
	return h, err
}

// A frame that comes a byte at a time is given up, however steadily it comes.
func TestTrickle(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, func(t *testing.T, w *world) {
		w.nodes(1)
		e := w.evil(9, 1)
		const size = 64 << 10
		s, err := e.write(p.say, binary.AppendUvarint(nil, size))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for err == nil && time.Since(began) < time.Hour {
			time.Sleep(stall / 2)
			s.SetDeadline(time.Now().Add(time.Second))
			_, err = s.Write([]byte{1})
		}
		if took, most := time.Since(began), 2*stall+time.Second*size/slowest; took > most {
			t.Errorf("it was read for %v, longer than %v", took, most)
		}
	})
}

// A scope is a resource scope with a little memory.
type scope struct {
	network.ResourceScope

	mu   sync.Mutex
	left int
}

func (s *scope) ReserveMemory(n int, _ uint8) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.left {
		return network.ErrResourceLimitExceeded
	}
	s.left -= n
	return nil
}

func (s *scope) ReleaseMemory(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left += n
}

// Long messages that have come in part take no more memory than there is for them, wait for it a while, and give it
// back. Short ones ask nobody.
func TestLoan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const there = 1 << 20
		s := &scope{left: there}
		read := func(n, come int) (*loan, error) {
			l := &loan{ctx: t.Context(), scope: s}
			_, err := readClaimed(io.LimitReader(endless{}, int64(come)), n, l.take)
			return l, err
		}
		for _, c := range []struct{ size, come, claimed int }{
			{unclaimed, unclaimed, 0}, {unclaimed + 1, unclaimed + 1, unclaimed + 1}, {there, there, there}, {8 * there, unclaimed, 2 * unclaimed}, {8 * there, 10, 0},
		} {
			l, _ := read(c.size, c.come)
			if got := there - s.left; got != c.claimed {
				t.Errorf("%d of %d bytes: %d are claimed, want %d", c.come, c.size, got, c.claimed)
			}
			if l.end(); s.left != there {
				t.Errorf("%d of %d bytes: %d are given back", c.come, c.size, s.left)
			}
		}
		began := time.Now()
		l, err := read(there+1, there+1)
		if !errors.Is(err, errFull) || time.Since(began) > stall {
			t.Errorf("more than there is: %v after %v", err, time.Since(began))
		}
		if l.end(); s.left != there {
			t.Errorf("after a refusal %d are given back", s.left)
		}
		first, _ := read(there, there)
		time.AfterFunc(3*time.Second, first.end)
		if l, err = read(there, there); err != nil {
			t.Errorf("it did not wait until there was room: %v", err)
		}
		l.end()
	})
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// Gossip that its author did not sign is the fault of who brings it, and not that of who it says it is from.
func TestRumours(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	author, err := peer.Decode(string(meshtest.ID(1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, signature := range map[string][]byte{"of another": make([]byte, 64), "of nobody": nil} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				all := w.nodes(3)
				e := w.evil(9, 1)
				s, err := e.write(p.gossip, nil)
				if err != nil {
					t.Fatal(err)
				}
				for i := range byte(maxStrikes) {
					if all[0].ignores(9) {
						t.Error("ignored too early")
					}
					m := &pb.Message{From: []byte(author), Seqno: []byte{0, 0, 0, 0, 0, 0, 0, i}, Topic: &p.topicSay, Signature: signature,
						Data: must(protocol.Encode(&protocol.Hello{Agent: "forged"}))}
					s.Write(frameOf(must(proto.Marshal(&pb.RPC{Publish: []*pb.Message{m}}))))
					time.Sleep(time.Second)
				}
				if !all[0].ignores(9) {
					t.Error("not ignored")
				}
				for _, a := range all {
					a.refuse("a rumour", func(ev mesh.Event) bool { return ev.Kind == mesh.Heard })
					if a.ignores(1) {
						t.Error("who it was said to be from is ignored")
					}
				}
				goOn(t, all)
			})
		})
	}
}

// What a later version says is skipped where it is not understood, what it says in known words is heard, and so is an earlier version, to
// one and to all.
func TestOtherVersions(t *testing.T) {
	later := must(protocol.Encode(&protocol.Hello{Version: 99, Agent: "later"}))
	later = append([]byte{later[0], later[1] + 1}, append(later[2:], 0xa1, 'z', 0x91, 0x81, 0xa1, 'y', 7)...) // one more field
	earlier := must(protocol.Encode(&protocol.Hello{Agent: "earlier"}))
	unknown := [][]byte{{15, 0x80}, {15, 0x81, 0xa1, 'x', 0xc4, 1, 0}, {255}, append([]byte{40}, make([]byte, 1000)...)}
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		time.Sleep(settle)
		id, _ := peer.Decode(string(all[0].Self()))
		for _, frame := range append(unknown, later, earlier) {
			if err := all[1].say.send(id, frame, true); err != nil {
				t.Fatal(err)
			}
			if err := all[1].gossip.say.Publish(t.Context(), frame); err != nil {
				t.Fatal(err)
			}
		}
		heard := make(map[uint16]int)
		for range 4 {
			if h, ok := all[0].expect(mesh.Heard, all[1].Self(), 10*time.Second).Msg.(*protocol.Hello); ok {
				heard[h.Version]++
			}
		}
		if heard[99] != 2 || heard[0] != 2 {
			t.Errorf("what was said to one and to all in versions 99 and 0 is heard as %v", heard)
		}
		if all[0].ignores(1) || all[2].ignores(1) {
			t.Error("who speaks another version is ignored")
		}
		goOn(t, all)
	})
}

// A bridge that never stops is passed on now and then, and others meanwhile.
func TestWordsOfABridgeAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := func(i int) peer.ID { return must(peer.Decode(string(meshtest.ID(i)))) }
		c := newCells(&members{self: id(0)}, nil, func(id peer.ID, err error) { t.Errorf("%s is at fault: %v", id, err) })
		say := func(i int) pubsub.ValidationResult {
			b := (&word{members: 2, cell: id(i), meta: []byte{metaVersion}}).append(nil)
			return c.check(id(i), &pubsub.Message{Message: &pb.Message{From: []byte(id(i)), Data: b}})
		}
		passed := 0
		for range 60 {
			for range 10 {
				if say(1) == pubsub.ValidationAccept {
					passed++
				}
			}
			time.Sleep(time.Second)
		}
		if most := int(3 * time.Minute / cellsEvery); passed > most || passed < most/2 {
			t.Errorf("%d of 600 words in a minute are passed on, at most %d should be", passed, most)
		}
		if say(2) != pubsub.ValidationAccept {
			t.Error("another bridge is not heard")
		}
	})
}
