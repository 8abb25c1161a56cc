package p2p

import (
	"errors"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"
)

// rumours sees what gossipsub throws away before it asks us, because nobody signed it or somebody else did. Each costs
// us a signature's check, and no peer of ours passes such a thing on: it is the fault of who brought it.
type rumours struct {
	fault func(peer.ID, error)
}

var errRumour = errors.New("p2p: gossip that its author did not sign")

func (r rumours) RejectMessage(m *pubsub.Message, reason string) {
	if reason == pubsub.RejectInvalidSignature || reason == pubsub.RejectMissingSignature {
		r.fault(m.ReceivedFrom, errRumour)
	}
}

// What else gossipsub tells of itself is of no interest here.

func (rumours) OnNewOutboundStream(peer.ID, libp2p.ID) {}
func (rumours) OnClosedOutboundStream(peer.ID)         {}
func (rumours) Join(string)                            {}
func (rumours) Leave(string)                           {}
func (rumours) Graft(peer.ID, string)                  {}
func (rumours) Prune(peer.ID, string)                  {}
func (rumours) ValidateMessage(*pubsub.Message)        {}
func (rumours) DeliverMessage(*pubsub.Message)         {}
func (rumours) DuplicateMessage(*pubsub.Message)       {}
func (rumours) ThrottlePeer(peer.ID)                   {}
func (rumours) RecvRPC(*pubsub.RPC)                    {}
func (rumours) SendRPC(*pubsub.RPC, peer.ID)           {}
func (rumours) DropRPC(*pubsub.RPC, peer.ID)           {}
func (rumours) UndeliverableMessage(*pubsub.Message)   {}
