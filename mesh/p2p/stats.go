package p2p

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/yanmesh/yan/protocol"
)

// Stats is what went on since the mesh began, counted, and what there is now. Whatever names something is one of a
// few names that we chose, and all of them are there from the beginning: no peer makes a list longer.
type Stats struct {
	Traffic []Traffic // sorted by kind
	Faults  []Count   // of peers, by what they did; sorted
	Ignored int       // peers that are ignored now for their faults
	Refused uint64    // connections to peers that we did not let in
	ShutOut uint64    // connections to peers that did not let us in
	Bodies  BodyStats
	Paths   []Count // connections by the way they go: see Path; sorted
	Cell    int     // members of our cell, ourselves included
	Near    int     // neighbours, of other cells
	Lost    uint64  // messages that were heard and dropped, since whoever reads the events fell behind
}

// A Count is how often something happened, or how many there are.
type Count struct {
	What string
	N    uint64
}

// BodyStats is what became of the bodies that were asked for: by us, and of us.
type BodyStats struct {
	Fetched, Failed uint64 // by us, from anyone; bodies that we had already are not counted
	Resumed         uint64 // by us, with bytes that came before a transfer broke
	Served          uint64 // to others
}

// bodyCounts are BodyStats while they grow.
type bodyCounts struct{ fetched, failed, resumed, served atomic.Uint64 }

func (c *bodyCounts) read() BodyStats {
	return BodyStats{Fetched: c.fetched.Load(), Failed: c.failed.Load(), Resumed: c.resumed.Load(), Served: c.served.Load()}
}

// Stats returns what was counted.
func (m *Mesh) Stats() Stats {
	s := Stats{Traffic: m.meter.traffic(), Bodies: m.bodies.counts.read()}
	s.Faults, s.Ignored = m.strikes.stats(time.Now())
	s.Cell = m.members.size()
	s.Near = 1 + len(m.members.all()) - s.Cell
	m.events.mu.Lock()
	s.Lost = m.events.lost
	m.events.mu.Unlock()
	if m.gate != nil {
		s.Refused, s.ShutOut = m.gate.refused.Load(), m.gate.shutOut.Load()
	}
	paths := map[string]uint64{"direct": 0, "lan": 0, "local": 0, "relay": 0}
	for _, c := range m.host.Network().Conns() {
		paths[pathOf(c)]++
	}
	s.Paths = counts(paths)
	return s
}

func counts(m map[string]uint64) []Count {
	list := make([]Count, 0, len(m))
	for what, n := range m {
		list = append(list, Count{what, n})
	}
	slices.SortFunc(list, func(a, b Count) int { return cmp.Compare(a.What, b.What) })
	return list
}

// blames are the names of what peers do wrong, whatever matches first.
var blames = []struct {
	err  error
	name string
}{
	{errFrame, "frame"}, {errPacket, "packet"}, {errWrong, "body"}, {errMisplaced, "topic"},
	{protocol.ErrBadSignature, "signature"}, {protocol.ErrTooLong, "length"}, {protocol.ErrMalformed, "message"},
}

const otherBlame = "other"

// blame names what a peer did wrong.
func blame(why error) string {
	for _, known := range blames {
		if errors.Is(why, known.err) {
			return known.name
		}
	}
	return otherBlame
}

// A Link is how a peer is reached: one that is a member, that is connected and could become one, or that is ignored.
type Link struct {
	Peer    protocol.PeerID
	Member  bool          // of our cell or a neighbour
	Near    bool          // a neighbour: of another cell
	Ignored bool          // for its faults
	Rounds  time.Duration // how long a probe and its answer took last; zero if none was answered yet
	Paths   []Path        // one for each connection; none if there is none now
	Knows   []string      // addresses that we were asked to join it at, and a few that it said it has
}

// A Path is one connection.
type Path struct {
	Way       string // direct, lan (an address that is good on its own network only), local (this machine) or relay
	Transport string // quic or tcp
	Dialled   bool   // by us
	Addr      string // the other end
}

// Links returns how peers are reached, sorted by name.
func (m *Mesh) Links() []Link {
	ids := m.members.all()
	for _, id := range m.host.Network().Peers() {
		if !slices.Contains(ids, id) && m.speaks(id) {
			ids = append(ids, id)
		}
	}
	for _, id := range m.strikes.ignoring(time.Now()) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	list := make([]Link, 0, len(ids))
	for _, id := range ids {
		l := Link{
			Peer: protocol.PeerID(id.String()), Member: m.members.has(id), Near: m.members.nearOnly(id), Ignored: m.strikes.Contains(id), Rounds: m.members.rounds.last(id),
		}
		for _, c := range m.host.Network().ConnsToPeer(id) {
			l.Paths = append(l.Paths, Path{
				Way: pathOf(c), Transport: transportOf(c), Dialled: c.Stat().Direction == network.DirOutbound, Addr: c.RemoteMultiaddr().String(),
			})
		}
		l.Knows = texts(slices.Concat(m.book.asked(id), dialable(m.host.Peerstore().Addrs(id))))
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b Link) int { return cmp.Compare(a.Peer, b.Peer) })
	return list
}

// nearOnly reports whether a peer is here as a neighbour, of another cell.
func (m *members) nearOnly(id peer.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, near := m.near[id]
	return near && !m.here[id]
}

// asked returns where the owner asked to join through the peer.
func (b *book) asked(id peer.ID) []ma.Multiaddr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.known[id]; e != nil {
		return slices.Clone(e.given)
	}
	return nil
}

// speaks reports whether a peer that is connected is one of this network.
func (m *Mesh) speaks(id peer.ID) bool {
	ours, err := m.host.Peerstore().SupportsProtocols(id, m.members.pull)
	return err == nil && len(ours) > 0
}

// pathOf names the way a connection goes.
func pathOf(c network.Conn) string {
	a := c.RemoteMultiaddr()
	switch {
	case c.Stat().Limited || relayed(a):
		return "relay"
	case manet.IsIPLoopback(a):
		return "local"
	case manet.IsPrivateAddr(a) || manet.IsIP6LinkLocal(a):
		return "lan"
	}
	return "direct"
}

func relayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

func transportOf(c network.Conn) string {
	if _, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_TCP); err == nil {
		return "tcp"
	}
	return "quic"
}

// rounds is how long members took to answer memberlist's last probe of them.
type rounds struct {
	mu   sync.Mutex
	took map[peer.ID]time.Duration
}

func (r *rounds) last(id peer.ID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.took[id]
}

func (r *rounds) note(id peer.ID, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.took == nil {
		r.took = make(map[peer.ID]time.Duration)
	}
	r.took[id] = took
}

func (r *rounds) forget(id peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.took, id)
}

// NotifyPingComplete is memberlist's way to say that a member answered a probe.
func (m *members) NotifyPingComplete(n *memberlist.Node, took time.Duration, _ []byte) {
	if id, ok := m.other(n); ok && m.has(id) {
		m.rounds.note(id, took)
	}
}

// AckPayload is what an answer to a probe carries beside: nothing.
func (m *members) AckPayload() []byte { return nil }

// An Attempt is what came of trying to join through a peer, the last time.
type Attempt struct {
	Peer    protocol.PeerID
	Fails   int       // in a row
	When    time.Time // of the last
	Why     string    // what went wrong
	Answers []Answer  // of each address that was dialled, if it was that that went wrong
}

// An Answer is what dialling an address came to.
type Answer struct{ Addr, Why string }

// attempts remembers the failures to join, for those who look for what is wrong.
type attempts struct {
	mu     sync.Mutex
	failed map[peer.ID]Attempt
}

// done notes how a try ended. Of the failures those of bookPeers peers are kept.
func (a *attempts) done(id peer.ID, err error, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was, known := a.failed[id]
	if err == nil {
		delete(a.failed, id)
		return
	}
	if a.failed == nil {
		a.failed = make(map[peer.ID]Attempt)
	}
	if !known && len(a.failed) >= bookPeers {
		return
	}
	t := Attempt{Peer: protocol.PeerID(id.String()), Fails: was.Fails + 1, When: now, Why: plainly(err)}
	var d *swarm.DialError
	if errors.As(err, &d) {
		for _, e := range d.DialErrors {
			t.Answers = append(t.Answers, Answer{e.Address.String(), plainly(e.Cause)})
		}
	}
	a.failed[id] = t
}

// Attempts returns the peers that joining through failed last and that are not here by another way, sorted by name.
func (m *Mesh) Attempts() []Attempt {
	a := &m.members.attempts
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]Attempt, 0, len(a.failed))
	for id, t := range a.failed {
		if !m.members.has(id) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(x, y Attempt) int { return cmp.Compare(x.Peer, y.Peer) })
	return list
}
