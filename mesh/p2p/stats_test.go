package p2p

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

func trafficOf(m *Mesh, kind string) Traffic {
	for _, t := range m.Stats().Traffic {
		if t.Kind == kind {
			return t
		}
	}
	return Traffic{}
}

// A body that one peer publishes and the other fetches is counted once on each side, in bytes as well, and
// everything else that the two say to one another has its own line.
func TestStatsCountWhatWasSaid(t *testing.T) {
	const size = 100 << 10
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		time.Sleep(settle)
		if err := all[0].Send(t.Context(), protocol.Envelope{Msg: update(0, 1, size)}); err != nil {
			t.Fatal(err)
		}
		all[1].expect(mesh.Heard, meshtest.ID(0), time.Minute)
		if err := all[1].Send(t.Context(), protocol.Envelope{To: all[0].Self(), Msg: &protocol.Have{}}); err != nil {
			t.Fatal(err)
		}
		all[0].expect(mesh.Heard, meshtest.ID(1), time.Minute)
		time.Sleep(time.Second)

		from, to := trafficOf(all[0].Mesh, "body"), trafficOf(all[1].Mesh, "body")
		if from.Out < size || from.Out > size+1<<10 || to.In != from.Out || to.Out != from.In || to.Out > 1<<10 {
			t.Errorf("a body of %d bytes: %+v went, %+v came", size, from, to)
		}
		if a, b := all[0].Stats().Bodies, all[1].Stats().Bodies; a.Served != 1 || a.Fetched != 0 || b.Fetched != 1 || b.Served != 0 || b.Failed != 0 {
			t.Errorf("bodies: %+v where it is from, %+v where it went", a, b)
		}
		for _, kind := range []string{"gossip", "packet", "pull", "say"} {
			a, b := trafficOf(all[0].Mesh, kind), trafficOf(all[1].Mesh, kind)
			if a.In+a.Out == 0 || a.In > b.Out || b.In > a.Out {
				t.Errorf("%s: %+v and %+v", kind, a, b)
			}
		}
		s := all[0].Stats()
		if len(s.Paths) != 4 || s.Paths[0].What != "direct" || s.Paths[0].N == 0 {
			t.Errorf("%+v", s.Paths)
		}
		for _, c := range append(s.Paths[1:], s.Faults...) {
			if c.N != 0 {
				t.Errorf("%+v", c)
			}
		}
	})
}

// A link says how the peer is reached, and how long a probe of it takes: both ways over a delay of 20 ms.
func TestLinks(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		time.Sleep(settle)
		links := all[1].Links()
		if len(links) != 1 || links[0].Peer != all[0].Self() || !links[0].Member || links[0].Ignored {
			t.Fatalf("%+v", links)
		}
		if l := links[0]; l.Rounds < 40*time.Millisecond || l.Rounds > 80*time.Millisecond {
			t.Errorf("a probe took %v over 40 ms", l.Rounds)
		}
		p := links[0].Paths
		if len(p) == 0 || p[0].Way != "direct" || p[0].Transport != "quic" || !strings.Contains(p[0].Addr, ipOf(0).String()) {
			t.Errorf("%+v", p)
		}
		for range maxStrikes {
			all[1].strikes.fault(mustDecode(t, meshtest.ID(9)), errFrame)
		}
		if links := all[1].Links(); len(links) != 2 || !slices.ContainsFunc(links, func(l Link) bool { return l.Peer == meshtest.ID(9) && l.Ignored && !l.Member }) {
			t.Errorf("one is ignored: %+v", links)
		}
		if sights := all[1].Look(t.Context()); len(sights) != 1 {
			t.Errorf("who is ignored is asked: %+v", sights)
		}
		time.Sleep(strikeTime)
		all[0].Close()
		all[1].expect(mesh.Left, meshtest.ID(0), time.Minute)
		time.Sleep(time.Second) // the connection goes a little later
		if left := all[1].Links(); len(left) != 0 || all[1].members.rounds.last(all[0].host.ID()) != 0 {
			t.Errorf("after it left: %+v", left)
		}
	})
}

// Who cannot be joined through is remembered with the reason, address by address, until it can.
func TestAttempts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b := w.node(1, Config{})
		time.Sleep(3 * rejoinEvery)
		list := b.Attempts()
		if len(list) != 1 || list[0].Peer != meshtest.ID(0) || list[0].Fails < 2 || list[0].Why == "" || list[0].When.IsZero() {
			t.Fatalf("%+v", list)
		}
		at := slices.ContainsFunc(list[0].Answers, func(a Answer) bool { return strings.Contains(a.Addr, ipOf(0).String()) && a.Why != "" })
		if !at {
			t.Errorf("it does not say what the address answered: %+v", list[0].Answers)
		}
		w.node(0, Config{})
		b.expect(mesh.Joined, meshtest.ID(0), time.Minute)
		if list := b.Attempts(); len(list) != 0 {
			t.Errorf("once joined: %+v", list)
		}
	})
}

func TestBlame(t *testing.T) {
	for _, c := range []struct {
		err  error
		name string
	}{
		{errFrame, "frame"}, {errPacket, "packet"}, {fmt.Errorf("x: %w", errWrong), "body"}, {errMisplaced, "topic"},
		{protocol.ErrBadSignature, "signature"}, {fmt.Errorf("%w: y", protocol.ErrTooLong), "length"},
		{protocol.ErrMalformed, "message"}, {errors.New("x"), "other"},
	} {
		if got := blame(c.err); got != c.name {
			t.Errorf("%v is %q, want %q", c.err, got, c.name)
		}
	}
	s := newStrikes(quiet)
	id := mustDecode(t, meshtest.ID(3))
	for range maxStrikes {
		s.fault(id, errWrong)
	}
	s.fault(mustDecode(t, meshtest.ID(4)), errFrame)
	faults, ignored := s.stats(time.Now())
	for _, f := range faults {
		if want := map[string]uint64{"body": maxStrikes, "frame": 1}[f.What]; f.N != want {
			t.Errorf("%d faults of %s, want %d", f.N, f.What, want)
		}
	}
	if len(faults) != len(blames)+1 || ignored != 1 {
		t.Errorf("%v, %d ignored", faults, ignored)
	}
}

// Streams of every version of a protocol are one kind, and a name that is none of ours is none of a peer's choice.
func TestKindOf(t *testing.T) {
	for p, kind := range map[string]string{"/yan/body/1": "body", "/yan/body/2": "body", "/a-b/gossip/1": "gossip", "/libp2p/circuit/relay/0.2.0/hop": "relay", "x": "other", "/a/b/c/d": "other"} {
		if got := kindOf(libp2p.ID(p)); got != kind {
			t.Errorf("%s is %q, want %q", p, got, kind)
		}
	}
}

func mustDecode(t *testing.T, name protocol.PeerID) peer.ID {
	t.Helper()
	id, err := peer.Decode(string(name))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// What the host finds out about the way to us is told as it stands, whatever was before.
func TestReach(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		time.Sleep(settle)
		if r := all[0].Reach(); !r.Called || r.Serves || len(r.Reachable)+len(r.Relayed)+len(r.Mapping) > 0 {
			t.Errorf("%+v", r)
		}
		h := all[0].host
		addrs, err := h.EventBus().Emitter(new(event.EvtHostReachableAddrsChanged))
		if err != nil {
			t.Fatal(err)
		}
		defer addrs.Close()
		nat, err := h.EventBus().Emitter(new(event.EvtNATDeviceTypeChanged))
		if err != nil {
			t.Fatal(err)
		}
		defer nat.Close()
		at := ma.StringCast("/ip4/192.0.2.1/udp/4001/quic-v1")
		for _, ev := range []event.EvtHostReachableAddrsChanged{{Reachable: []ma.Multiaddr{at}}, {Unreachable: []ma.Multiaddr{at}}} {
			if err := addrs.Emit(ev); err != nil {
				t.Fatal(err)
			}
		}
		for _, kind := range []network.NATDeviceType{network.NATDeviceTypeEndpointIndependent, network.NATDeviceTypeEndpointDependent} {
			if err := nat.Emit(event.EvtNATDeviceTypeChanged{TransportProtocol: network.NATTransportUDP, NatDeviceType: kind}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		r := all[0].Reach()
		if len(r.Reachable) > 0 || !slices.Equal(r.Unreachable, []string{at.String()}) || r.Mapping["udp"] != MappingDependent {
			t.Errorf("%+v", r)
		}
	})
}
