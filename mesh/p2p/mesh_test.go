package p2p

import (
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
	m, err := over(w.host(i, s), s, c)
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
			n.t.Fatalf("%s: not within %v: %s %v; but: %v", n.Self().Short(), within, who.Short(), kind, n.seen)
		}
	}
}

func TestMesh(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		meshtest.Test(t, func(t *testing.T, i int) mesh.Mesh { return w.node(i, Config{}) })
	})
}
