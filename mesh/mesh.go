// Package mesh is who is here and how to reach them.
//
// A [Mesh] carries messages between this peer and the others, and an [Event] tells of a peer that
// joined, left or spoke. Delivery is best effort: a message may be lost, delayed, repeated or
// reordered, and code above must expect all four. Who speaks, on the other hand, is certain.
//
// It also says whose turn it is to be central: [Order] ranks those who are here for one [Term], and any two devices
// that see the same peers rank them alike without a word.
//
// The package is the interface, its few types and that rule: mesh/p2p implements the interface over libp2p,
// mesh/meshtest in memory.
package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/yanmesh/yan/protocol"
)

// A Mesh is one peer's place among the others. Its methods may be called by any goroutine.
type Mesh interface {
	// Self returns the name of this peer. It works on a closed Mesh too.
	Self() protocol.PeerID

	// Send hands e to the network and returns; it does not wait for delivery. A mesh speaks only
	// for itself: e.From is Self, whatever stands there. The message belongs to the mesh from then
	// on and is not written any more.
	//
	// An empty e.To publishes to everyone else. A published *protocol.Update or *protocol.Record reaches
	// them whole, however long; the network may pass only its head along and have each peer fetch the body.
	// Any other message to everyone may have a frame of at most protocol.MaxAnnounce bytes.
	//
	// Send returns protocol.ErrTooLong for what is too long to be sent, ErrUnreachable if e.To is
	// not here (this peer itself never is), and ErrClosed after Close. An update or record that
	// does not verify may be refused at once or vanish on its way.
	Send(ctx context.Context, e protocol.Envelope) error

	// Events returns what happens, in the order it was noticed. It is one channel, closed by Close,
	// after which nothing more is to be read from it. A reader that falls behind loses Heard
	// events, oldest first, and never Joined or Left. An update or record that was heard verifies. What was
	// published is heard from whoever passed it on, who may not be its author, and a peer may be
	// heard a little before it joined or after it left.
	Events() <-chan Event

	// Close leaves the mesh. It returns when nothing of it runs any more; a second call returns
	// ErrClosed.
	Close() error
}

// A Chooser is a mesh that fetches bodies of updates and records, and asks first whether one is wanted: what is not is neither fetched nor
// passed on.
type Chooser interface {
	// Choose has wanted be asked of every head from now on, a *protocol.Announce or a *protocol.Align, by any goroutine; it may take
	// until ctx ends. A nil takes whatever is said, as at first.
	Choose(wanted func(ctx context.Context, head protocol.Message) bool)
}

// An Event is something that happened on the mesh.
type Event struct {
	Kind EventKind
	Peer protocol.PeerID  // who joined, left or spoke
	Msg  protocol.Message // what was heard; nil unless Kind is Heard
}

// An EventKind says what happened.
type EventKind uint8

const (
	Joined EventKind = iota + 1
	Left
	Heard
)

func (k EventKind) String() string {
	switch k {
	case Joined:
		return "joined"
	case Left:
		return "left"
	case Heard:
		return "heard"
	}
	return fmt.Sprintf("event %d", uint8(k))
}

func (e Event) String() string {
	if e.Kind == Heard {
		return fmt.Sprintf("%s: %v", e.Peer.Short(), e.Msg)
	}
	return fmt.Sprintf("%s %v", e.Peer.Short(), e.Kind)
}

var (
	// ErrClosed is returned by Send and Close of a closed Mesh.
	ErrClosed = errors.New("mesh: closed")

	// ErrUnreachable is returned by Send when there is no way to the peer.
	ErrUnreachable = errors.New("mesh: peer unreachable")
)
