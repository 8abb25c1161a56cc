package p2p

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
)

// What one relayed connection may carry, each way, and for how long. An hour of membership and of what is said to
// everyone in a full cell is under two megabytes; a body of a skill is not far from that, and is not let through.
const (
	relayedBytes = 8 << 20
	relayedTime  = time.Hour

	relayReserved = 256              // peers that one relay holds a place for
	relayRetry    = 15 * time.Second // how soon a relay that was away or refused is asked again
	relayTag      = "yan-relay"
	punchTime     = 5 * time.Second // how long a body waits for a direct connection
)

// punchAgain is how long after a hole could not be punched it is tried again: soon, since libp2p is not able to in its
// first seconds, until it has learnt how it is seen from outside; then seldom, since most never can.
var punchAgain = []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}

// reach is what a node asks of relays and does for others as one: how peers behind firewalls and address
// translation come together. A relay carries what small and few messages need (membership, what is said, heads of
// updates, admissions) until the two sides have punched a hole and are connected directly. Bodies never go through
// one: see bodies.
type reach struct {
	relays []peer.AddrInfo
	serve  bool
	ready  chan struct{} // closed when the host listens and its gate is shut: before, nothing may be dialled
	gate   *gate         // set before ready is closed; nil: open to all
}

func newReach(c *Config) (*reach, error) {
	relays, err := relayPeers(c.Relays)
	if err != nil {
		return nil, err
	}
	return &reach{relays: relays, serve: c.ServeRelay, ready: make(chan struct{})}, nil
}

// relayPeers parses the addresses of relays.
func relayPeers(lines []string) ([]peer.AddrInfo, error) {
	infos, err := joinPeers(lines)
	if err != nil {
		return nil, err
	}
	for _, info := range infos {
		for _, a := range info.Addrs {
			if relayed(a) {
				return nil, fmt.Errorf("p2p: %s is reached through a relay, and so can be none", withID(a, info.ID))
			}
		}
	}
	return infos, nil
}

// options are libp2p's for all of this. Whoever names no relay and is none only learns to dial through the relays of
// others: nothing runs for that.
func (r *reach) options() []libp2p.Option {
	options := []libp2p.Option{libp2p.EnableRelay()}
	if r.serve || len(r.relays) > 0 {
		options = append(options, libp2p.EnableAutoNATv2(), libp2p.EnableHolePunching(holepunch.WithAddrFilter(r)))
	}
	if len(r.relays) > 0 {
		options = append(options,
			// A place at each relay is held whatever the first version of AutoNAT thinks, whose guess takes minutes.
			// Its address is told to others only while the second finds none of our own to be reachable.
			libp2p.ForceReachabilityPrivate(),
			libp2p.EnableAutoRelayWithPeerSource(r.source,
				autorelay.WithNumRelays(len(r.relays)), autorelay.WithMaxCandidates(len(r.relays)),
				autorelay.WithMinCandidates(1), autorelay.WithBootDelay(0),
				autorelay.WithMinInterval(relayRetry), autorelay.WithBackoff(relayRetry)))
	}
	return options
}

// source hands libp2p the relays once we listen: what is dialled before that goes out from another port than the one
// we listen on, and tells nothing about how that is seen from outside.
func (r *reach) source(ctx context.Context, _ int) <-chan peer.AddrInfo {
	found := make(chan peer.AddrInfo, len(r.relays))
	select {
	case <-r.ready:
		for _, info := range r.relays {
			found <- info
		}
	case <-ctx.Done():
	}
	close(found)
	return found
}

// start begins to relay for others, if we do, and lets relays be dialled. h has the gate before it, if there is one:
// who asks for a place, who asks to be connected and whom to, all three wait there for their admission.
func (r *reach) start(h host.Host, g *gate) (*relay.Relay, error) {
	r.gate = g
	for _, info := range r.relays {
		h.ConnManager().Protect(info.ID, relayTag)
	}
	close(r.ready)
	if !r.serve {
		return nil, nil
	}
	resources := relay.DefaultResources()
	resources.Limit = &relay.RelayLimit{Duration: relayedTime, Data: relayedBytes}
	resources.MaxReservations = relayReserved
	resources.MaxReservationsPerIP = household
	resources.MaxReservationsPerASN = relayReserved
	resources.MaxCircuits = household
	s, err := relay.New(h, relay.WithResources(resources))
	if err != nil {
		return nil, fmt.Errorf("p2p: relay: %w", err)
	}
	return s, nil
}

var _ holepunch.AddrFilter = (*reach)(nil)

// FilterLocal and FilterRemote are what punching a hole dials, and tells the other side to dial. Strangers may not
// have us dial addresses that they name, so both wait for the peer's admission, and there are only so many.
func (r *reach) FilterLocal(id peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr {
	return r.punchable(id, addrs)
}
func (r *reach) FilterRemote(id peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr {
	return r.punchable(id, addrs)
}

func (r *reach) punchable(id peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr {
	select {
	case <-r.ready:
	default:
		return nil
	}
	if r.gate != nil && r.gate.wait(r.gate.ctx, id) != nil {
		return nil
	}
	return slices.DeleteFunc(dialable(addrs), relayed)
}

// relayedConn reports whether what is sent on a connection goes through a relay: also through one that sets no limit
// and so is not marked.
func relayedConn(c network.Conn) bool { return c.Stat().Limited || relayed(c.RemoteMultiaddr()) }

// direct reports whether there is a connection to the peer that is not relayed.
func direct(h host.Host, id peer.ID) bool {
	for _, c := range h.Network().ConnsToPeer(id) {
		if !relayedConn(c) {
			return true
		}
	}
	return false
}

// connected reports whether there is any connection to the peer, a relayed one included.
func connected(h host.Host, id peer.ID) bool {
	return h.Network().Connectedness(id) == network.Connected || h.Network().Connectedness(id) == network.Limited
}

// relayedTo looks after a peer that is only relayed, until it is not any more. libp2p tries to punch a hole when a
// relayed connection begins, and not again; so one of the two, who both do this, begins it anew.
func (m *members) relayedTo(ctx context.Context, id peer.ID) {
	for i := 0; ; i++ {
		select {
		case <-time.After(punchAgain[min(i, len(punchAgain)-1)]):
		case <-ctx.Done():
			return
		}
		if !connected(m.host, id) || direct(m.host, id) {
			return
		}
		if m.self > id && len(m.host.Peerstore().Addrs(id)) > 0 {
			m.dialAnew(ctx, id)
		}
	}
}

func (m *members) dialAnew(ctx context.Context, id peer.ID) {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	for _, c := range m.host.Network().ConnsToPeer(id) {
		_ = c.Close() // an error means that it was closed
	}
	m.dialAfresh(id)
	if err := m.host.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
		m.log.Debug("p2p: cannot reach a peer anew through a relay", "peer", id, "why", plainly(err))
	}
}

// watchConnections starts relayedTo for every peer that is connected through a relay, and notices that a neighbour is
// not connected any more.
func (m *members) watchConnections(ctx context.Context, t *tasks) error {
	sub, err := m.host.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged), eventbus.BufSize(64))
	if err != nil {
		return fmt.Errorf("p2p: host events: %w", err)
	}
	defer sub.Close()
	var mu sync.Mutex // guards which
	which := make(map[peer.ID]bool)
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev, ok := <-sub.Out():
			if !ok {
				return nil
			}
			now := ev.(event.EvtPeerConnectednessChanged)
			if now.Connectedness == network.NotConnected {
				m.gone(now.Peer)
			}
			mu.Lock()
			begin := now.Connectedness == network.Limited && !which[now.Peer]
			if begin {
				which[now.Peer] = true
			}
			mu.Unlock()
			if begin {
				t.start(func() {
					m.relayedTo(ctx, now.Peer)
					mu.Lock()
					defer mu.Unlock()
					delete(which, now.Peer)
				})
			}
		}
	}
}

// A relayable host is one whose streams may go through relays. libp2p's own default is that none does.
type relayable struct{ host.Host }

func (h relayable) NewStream(ctx context.Context, id peer.ID, p ...libp2pprotocol.ID) (network.Stream, error) {
	return h.Host.NewStream(network.WithAllowLimitedConn(ctx, "small messages"), id, p...)
}

func (h relayable) Connect(ctx context.Context, info peer.AddrInfo) error {
	return h.Host.Connect(network.WithAllowLimitedConn(ctx, "small messages"), info)
}

// A gossipHost is relayable, and says so: gossipsub would have nothing to do with a peer that is only relayed.
type gossipHost struct{ relayable }

func (h gossipHost) Network() network.Network { return gossipNetwork{h.relayable.Network()} }

type gossipNetwork struct{ network.Network }

func (n gossipNetwork) Connectedness(id peer.ID) network.Connectedness {
	c := n.Network.Connectedness(id)
	if c == network.Limited {
		return network.Connected
	}
	return c
}
