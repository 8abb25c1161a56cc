package p2p

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// firewalls puts each of the peers behind a firewall of its own, which lets in only what answers: from where
// something was sent to within the last minute. Between two addresses of which never is true nothing passes at all.
func (w *world) firewalls(never func(from, to string) bool, peers ...int) {
	type way struct{ from, to string }
	var mu sync.Mutex
	sent := make(map[way]time.Time)
	behind := make(map[string]bool)
	for _, i := range peers {
		behind[ipOf(i).String()] = true
	}
	w.partition(func(from, to string) bool {
		if never != nil && never(from, to) {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if behind[from] {
			sent[way{from, to}] = now
		}
		return behind[to] && now.Sub(sent[way{to, from}]) > time.Minute
	})
}

// idOf is the i-th peer's name as libp2p has it.
func idOf(t *testing.T, i int) peer.ID {
	t.Helper()
	id, err := peer.Decode(string(meshtest.ID(i)))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Two peers behind firewalls know a relay and nothing of one another. They become members of one mesh, connect
// directly, and bodies go that way. The relay is of another network, so that it has nothing of its own to pass on.
func TestRelayAndPunch(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.firewalls(nil, 1, 2)
		w.node(0, Config{ServeRelay: true, Network: "relay", Join: []string{}})
		a := w.node(1, Config{Relays: []string{addrOfPeer(0)}, Join: []string{}})
		time.Sleep(time.Minute) // it has its place at the relay
		b := w.node(2, Config{Relays: []string{addrOfPeer(0)}, Join: []string{circuitOf(0, 1)}})
		a.expect(mesh.Joined, meshtest.ID(2), time.Minute)
		b.expect(mesh.Joined, meshtest.ID(1), time.Minute)
		time.Sleep(settle)
		if !direct(a.host, idOf(t, 2)) || !direct(b.host, idOf(t, 1)) {
			t.Error("no hole was punched")
		}
		u := update(2, 1, 256<<10)
		if err := b.Send(t.Context(), protocol.Envelope{Msg: u}); err != nil {
			t.Fatal(err)
		}
		got, ok := a.expect(mesh.Heard, meshtest.ID(2), time.Minute).Msg.(*protocol.Update)
		if !ok || !bytes.Equal(got.Body, u.Body) {
			t.Errorf("heard %v", got)
		}
	})
}

// circuitOf is the address of the i-th peer at the relay.
func circuitOf(relay, i int) string {
	return addrOfPeer(relay) + "/p2p-circuit/p2p/" + string(meshtest.ID(i))
}

// Where no hole can be punched, what is small goes through the relay and bodies do not, however they are sent.
func TestBodiesStayOffRelays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		one, two := ipOf(1).String(), ipOf(2).String()
		w.firewalls(func(from, to string) bool { return from == one && to == two || from == two && to == one }, 1, 2)
		w.node(0, Config{ServeRelay: true, Network: "relay", Join: []string{}})
		a := w.node(1, Config{Relays: []string{addrOfPeer(0)}, Join: []string{}})
		time.Sleep(time.Minute)
		b := w.node(2, Config{Relays: []string{addrOfPeer(0)}, Join: []string{circuitOf(0, 1)}})
		a.expect(mesh.Joined, meshtest.ID(2), time.Minute)
		b.expect(mesh.Joined, meshtest.ID(1), time.Minute)
		time.Sleep(settle)
		if direct(a.host, idOf(t, 2)) {
			t.Fatal("they are connected directly, which nothing is to be")
		}
		hello := &protocol.Hello{Agent: "through the relay"}
		for _, to := range []protocol.PeerID{"", a.Self()} { // by gossip and by itself
			if err := b.Send(t.Context(), protocol.Envelope{To: to, Msg: hello}); err != nil {
				t.Fatal(err)
			}
			a.expect(mesh.Heard, b.Self(), time.Minute)
		}
		before := w.bytes.Load()
		u := update(2, 1, 256<<10)
		if err := b.Send(t.Context(), protocol.Envelope{Msg: u}); err != nil {
			t.Fatal(err)
		}
		if err := b.Send(t.Context(), protocol.Envelope{To: a.Self(), Msg: u}); err != nil {
			t.Fatal(err)
		}
		if err := tell(b.say, idOf(t, 1), u); !errors.Is(err, mesh.ErrUnreachable) {
			t.Errorf("a body, said to one who is only relayed: %v", err)
		}
		time.Sleep(time.Minute)
		a.refuse("a body", func(ev mesh.Event) bool { return ev.Kind == mesh.Heard })
		a.refuse("a leave", func(ev mesh.Event) bool { return ev.Kind == mesh.Left })
		if sent := w.bytes.Load() - before; sent > 200<<10 {
			t.Errorf("%d bytes were sent, where only small things may", sent)
		}
		if _, err := a.bodies.fetch(t.Context(), wanted(&u.Announce), idOf(t, 2)); !errors.Is(err, errRelay) {
			t.Errorf("fetching through the relay: %v", err)
		}
		// Whoever asks all the same, on a stream that may go through the relay, is not answered.
		s, err := relayable{b.host}.NewStream(t.Context(), idOf(t, 1), "/yan/body/1")
		if err == nil {
			defer s.Reset()
			s.Write(u.Digest[:])
			_, err = s.Read(make([]byte, 4))
		}
		if err == nil {
			t.Error("a body was served through the relay")
		}
	})
}

// To be reachable by all members it is enough to name one relay, which is a member itself: what there is to join is
// learnt there. The relay and the devices are a swarm, and the gate is before relayed connections as before others:
// a stranger gets no place at the relay, is connected to nobody through it, and is told why in the logs.
func TestOneRelayIsEnough(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.firewalls(nil, 1, 2, 3)
		log := new(logged)
		in := func(i int) SwarmBook { return bookOf(admitted("swarm", i, 1, time.Hour)) }
		all := []*node{
			w.node(0, Config{ServeRelay: true, Swarm: in(0), Log: log.logger()}),
			w.node(1, Config{Relays: []string{addrOfPeer(0)}, Join: []string{}, Swarm: in(1)}),
			w.node(2, Config{Relays: []string{addrOfPeer(0)}, Join: []string{}, Swarm: in(2)}),
		}
		stranger := w.node(3, Config{Relays: []string{addrOfPeer(0)}, Join: []string{circuitOf(0, 1)}, Swarm: bookOf(admitted("other", 3, 1, time.Hour))})
		for i, a := range all {
			for k := range all {
				if k != i {
					a.expect(mesh.Joined, meshtest.ID(k), time.Minute)
				}
			}
		}
		time.Sleep(2 * time.Minute)
		if !direct(all[1].host, idOf(t, 2)) {
			t.Error("no hole was punched between two that know only the relay")
		}
		if !atRelay(all[1].host) || !atRelay(all[2].host) {
			t.Error("a device has no place at the relay")
		}
		if parsed := parseMeta(all[1].members.NodeMeta(memberlist.MetaMaxSize)); !slices.ContainsFunc(parsed, relayed) {
			t.Errorf("the others are told of %v only", parsed)
		}
		if lines := all[0].book.lines(); !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "/p2p-circuit/p2p/"+string(meshtest.ID(1))) }) {
			t.Errorf("the peer book is %q", lines)
		}
		if atRelay(stranger.host) {
			t.Error("a stranger has a place at the relay of a swarm")
		}
		for i := range 3 {
			if connected(stranger.host, idOf(t, i)) {
				t.Errorf("a stranger is connected to peer %d", i)
			}
		}
		if !log.has("a peer is not let in", string(meshtest.ID(3)), "the admission is of swarm-") {
			t.Errorf("the log does not say why:\n%s", log)
		}
	})
}

// atRelay reports whether the host tells of an address at a relay.
func atRelay(h host.Host) bool { return slices.ContainsFunc(h.Addrs(), relayed) }
