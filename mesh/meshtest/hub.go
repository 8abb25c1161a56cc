// Package meshtest is a mesh in memory, and the one test that every mesh must pass.
//
// A [Hub] joins meshes within one process, at once and without loss, and can be cut in two; [Test]
// holds any [mesh.Mesh] to what the interface promises. [Key] gives both the same identities. The
// hub is safe for concurrent use; it has no latency, no loss and no bandwidth of its own, which are
// the simulator's business.
package meshtest

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// Key returns the private key of test peer i, the same one every time. It is no secret.
func Key(i int) ed25519.PrivateKey {
	seed := protocol.Sum(fmt.Appendf(nil, "meshtest key %d", i))
	return ed25519.NewKeyFromSeed(seed[:])
}

// ID returns the name of test peer i.
func ID(i int) protocol.PeerID {
	return protocol.NewPeerID(Key(i).Public().(ed25519.PublicKey))
}

// A Hub joins meshes within one process. The zero Hub is empty and ready.
type Hub struct {
	mu    sync.Mutex
	ports []*port                     // sorted by name
	cuts  map[[2]protocol.PeerID]bool // the pairs that are cut, each in order
}

// Join adds a peer to the hub and returns its mesh. A name can be here only once.
func (h *Hub) Join(id protocol.PeerID) mesh.Mesh {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, found := h.find(id)
	if found {
		panic(fmt.Sprintf("meshtest: %s has joined already", id))
	}
	p := &port{
		hub:    h,
		self:   id,
		events: make(chan mesh.Event),
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		ended:  make(chan struct{}),
	}
	for _, q := range h.ports {
		if !h.cuts[pair(id, q.self)] {
			q.push(mesh.Event{Kind: mesh.Joined, Peer: id})
			p.push(mesh.Event{Kind: mesh.Joined, Peer: q.self})
		}
	}
	h.ports = slices.Insert(h.ports, i, p)
	go p.pump()
	return p
}

// Cut parts a from b, whether they have joined yet or not: each sees the other leave.
func (h *Hub) Cut(a, b protocol.PeerID) { h.cut(a, b, true) }

// Heal undoes Cut: each sees the other join.
func (h *Hub) Heal(a, b protocol.PeerID) { h.cut(a, b, false) }

func (h *Hub) cut(a, b protocol.PeerID, cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cuts[pair(a, b)] == cut {
		return
	}
	kind := mesh.Joined
	if cut {
		kind = mesh.Left
		if h.cuts == nil {
			h.cuts = make(map[[2]protocol.PeerID]bool)
		}
		h.cuts[pair(a, b)] = true
	} else {
		delete(h.cuts, pair(a, b))
	}
	i, here := h.find(a)
	j, there := h.find(b)
	if here && there {
		h.ports[i].push(mesh.Event{Kind: kind, Peer: b})
		h.ports[j].push(mesh.Event{Kind: kind, Peer: a})
	}
}

// find returns where id stands among the ports, or would stand. The caller holds mu.
func (h *Hub) find(id protocol.PeerID) (int, bool) {
	return slices.BinarySearchFunc(h.ports, id, func(p *port, id protocol.PeerID) int {
		return cmp.Compare(p.self, id)
	})
}

func pair(a, b protocol.PeerID) [2]protocol.PeerID {
	return [2]protocol.PeerID{min(a, b), max(a, b)}
}

// queueLength is how many heard events wait for a reader before the oldest goes.
const queueLength = 1024

// A port is one peer's place on a hub. Its pump is the only goroutine that sends on events.
type port struct {
	hub    *Hub
	self   protocol.PeerID
	events chan mesh.Event
	wake   chan struct{} // holds one token when the queue may not be empty
	done   chan struct{} // closed by Close
	ended  chan struct{} // closed by pump when it returns

	mu    sync.Mutex // protects queue and heard
	queue []mesh.Event
	heard int // how many of queue are Heard
}

func (p *port) Self() protocol.PeerID     { return p.self }
func (p *port) Events() <-chan mesh.Event { return p.events }

// Send encodes and decodes once for each receiver, so that nothing is shared and no message can be
// tested that could not travel.
func (p *port) Send(ctx context.Context, e protocol.Envelope) error {
	h := p.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if !p.here() {
		return mesh.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := protocol.Encode(e.Msg)
	if err != nil {
		return err
	}
	signed, whole := e.Msg.(interface{ Verify() error }) // an update or a record, however long, or a small head
	if k := e.Msg.Kind(); e.To == "" && k != protocol.KindUpdate && k != protocol.KindRecord && len(b) > protocol.MaxAnnounce {
		return fmt.Errorf("%w: %d bytes to everyone", protocol.ErrTooLong, len(b))
	}
	if whole {
		if err := signed.Verify(); err != nil {
			return err
		}
	}
	reached := e.To == ""
	for _, q := range h.ports {
		if q == p || e.To != "" && q.self != e.To || h.cuts[pair(p.self, q.self)] {
			continue
		}
		msg, err := protocol.Decode(b)
		if err != nil {
			return err
		}
		q.push(mesh.Event{Kind: mesh.Heard, Peer: p.self, Msg: msg})
		reached = true
	}
	if !reached {
		return mesh.ErrUnreachable
	}
	return nil
}

func (p *port) Close() error {
	if !p.leave() {
		return mesh.ErrClosed
	}
	close(p.done)
	<-p.ended
	close(p.events)
	return nil
}

// leave takes p off the hub and tells the others, or reports that it was off already.
func (p *port) leave() bool {
	h := p.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if !p.here() {
		return false
	}
	h.ports = slices.DeleteFunc(h.ports, func(q *port) bool { return q == p })
	for _, q := range h.ports {
		if !h.cuts[pair(p.self, q.self)] {
			q.push(mesh.Event{Kind: mesh.Left, Peer: p.self})
		}
	}
	return true
}

// here reports whether p has not been closed. The caller holds the hub's mu.
func (p *port) here() bool { return slices.Contains(p.hub.ports, p) }

// push puts ev at the end of the queue, and lets the oldest heard event go if there are too many.
func (p *port) push(ev mesh.Event) {
	p.mu.Lock()
	if ev.Kind == mesh.Heard {
		if p.heard == queueLength {
			i := slices.IndexFunc(p.queue, func(e mesh.Event) bool { return e.Kind == mesh.Heard })
			p.queue = slices.Delete(p.queue, i, i+1)
			p.heard--
		}
		p.heard++
	}
	p.queue = append(p.queue, ev)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// pop takes the first event off the queue.
func (p *port) pop() (ev mesh.Event, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return ev, false
	}
	ev = p.queue[0]
	p.queue = slices.Delete(p.queue, 0, 1)
	if ev.Kind == mesh.Heard {
		p.heard--
	}
	return ev, true
}

// pump hands the queue to the reader, until the port is closed.
func (p *port) pump() {
	defer close(p.ended)
	for {
		ev, ok := p.pop()
		if !ok {
			select {
			case <-p.wake:
			case <-p.done:
				return
			}
			continue
		}
		select {
		case p.events <- ev:
		case <-p.done:
			return
		}
	}
}
