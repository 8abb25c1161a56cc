package exchange

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// A peer is someone who is on the mesh now.
type peer struct {
	id      protocol.PeerID
	since   time.Time // when it joined
	greeted time.Time // when we last said Hello to it
	hello   *protocol.Hello
	reason  string // why nothing is exchanged with it; empty if something is

	heard    time.Time // when it last spoke
	messages uint64    // how often
	ignored  uint64    // how often of those it was not listened to
	invalid  uint64    // how many updates it passed on that do not verify

	window time.Time // when the present interval of counting began
	count  int       // messages handled in it
	served int       // bytes of bodies sent in it

	asked int       // updates that we wait for from it
	gave  time.Time // when one of them came last
	more  bool      // its last Have named more than we could ask for at once

	agreed struct { // what it held when nothing of that was of interest any more, and Machine.in.changes then
		sum     protocol.Digest
		changes uint64
	}
}

// spend begins a new interval of counting if the last is over.
func (p *peer) spend(now time.Time, interval time.Duration) {
	if now.Sub(p.window) >= interval {
		p.window, p.count, p.served = now, 0, 0
	}
}

func (m *Machine) findPeer(id protocol.PeerID) (int, bool) {
	return slices.BinarySearchFunc(m.peers, id, func(p *peer, id protocol.PeerID) int {
		return cmp.Compare(p.id, id)
	})
}

// peer returns the peer of that name, or nil if it is not here.
func (m *Machine) peer(id protocol.PeerID) *peer {
	if i, found := m.findPeer(id); found {
		return m.peers[i]
	}
	return nil
}

// join greets a peer that has come, or come back.
func (m *Machine) join(now time.Time, a *Actions, id protocol.PeerID) {
	if id == m.cfg.Self {
		return
	}
	i, found := m.findPeer(id)
	if !found {
		if len(m.peers) == maxPeers {
			m.log.Warn("too many peers to talk to one more", "peer", id)
			return
		}
		m.peers = slices.Insert(m.peers, i, &peer{id: id, since: now, window: now})
		m.log.Info("peer joined", "peer", id)
	}
	p := m.peers[i]
	m.greet(now, a, p)
	m.tell(a, p)
}

func (m *Machine) leave(now time.Time, a *Actions, id protocol.PeerID) {
	if i, found := m.findPeer(id); found {
		m.log.Info("peer left", "peer", id, "messages", m.peers[i].messages)
		m.peers = slices.Delete(m.peers, i, i+1)
		m.disclaim(now, a, id)
	}
}

func (m *Machine) greet(now time.Time, a *Actions, p *peer) {
	p.greeted = now
	m.say(a, p.id, &protocol.Hello{Version: protocol.Version, Model: m.cfg.Model, Agent: m.cfg.Agent, Central: m.cfg.Central})
}

// tell says what we have, if it is anything.
func (m *Machine) tell(a *Actions, p *peer) {
	h, rs := m.haveIDs(), m.told()
	if len(h)+len(rs) > 0 {
		m.say(a, p.id, &protocol.Have{IDs: h, Tags: m.tags(), Records: rs})
	}
}

// compare has p compare what it has with what we have: mostly both have the same, and its digest says so.
func (m *Machine) compare(a *Actions, p *peer) {
	if p.hello == nil || p.hello.Version < 2 {
		m.tell(a, p)
		return
	}
	m.say(a, p.id, &protocol.Have{Sum: m.haveSum(), Records: m.told()})
}

// round tells a few peers what we have, and greets again, of those, the ones whose Hello never came:
// it or ours may have been lost.
func (m *Machine) round(now time.Time, a *Actions) {
	told := 0
	for _, i := range m.cfg.Rand.Perm(len(m.peers)) {
		p := m.peers[i]
		if p.reason != "" {
			continue
		}
		if told++; told > m.cfg.Fanout {
			return
		}
		if p.hello == nil {
			m.greet(now, a, p)
		}
		m.compare(a, p)
	}
}

// hear takes in what a peer said. A stranger is not listened to: when it joins, each tells the other
// what it has, so nothing is lost for long.
func (m *Machine) hear(now time.Time, a *Actions, from protocol.PeerID, msg protocol.Message) {
	p := m.peer(from)
	if p == nil {
		m.log.Debug("heard a stranger", "peer", from)
		return
	}
	p.heard = now
	p.messages++
	m.counts.Heard[min(msg.Kind(), kinds-1)]++
	p.spend(now, m.cfg.Interval)
	if !m.askedFor(p, msg) {
		if p.count == messagesPerInterval {
			p.ignored++
			m.counts.Ignored++
			return
		}
		p.count++
	}
	if h, ok := msg.(*protocol.Hello); ok {
		m.hearHello(now, a, p, h)
		return
	}
	if p.reason != "" {
		p.ignored++
		m.counts.Ignored++
		return
	}
	switch msg := msg.(type) {
	case *protocol.Have:
		m.hearHave(now, a, p, msg)
	case *protocol.Want:
		m.hearWant(a, p, msg)
	case *protocol.Announce:
		m.hearAnnounce(now, a, p, msg)
	case *protocol.Update:
		m.hearUpdate(now, a, p, msg)
	case *protocol.Answer:
		m.hearAnswer(p, msg)
	case *protocol.Record:
		m.hearRecord(now, a, p, msg)
	case *protocol.Convict:
		m.hearConvict(now, a, p, msg)
	case *protocol.Offer, *protocol.Call, *protocol.Part:
		a.Sums = append(a.Sums, protocol.Envelope{From: p.id, To: m.cfg.Self, Msg: msg})
	}
}

// hearHello learns whether there is anything to exchange with p. A version that is newer than ours
// is no obstacle: it is for the newer side to be understood.
func (m *Machine) hearHello(now time.Time, a *Actions, p *peer, h *protocol.Hello) {
	was := p.reason
	p.hello, p.reason = h, ""
	if h.Model != m.cfg.Model {
		p.reason = fmt.Sprintf("its model is %v, ours %v", h.Model, m.cfg.Model)
		if was != p.reason {
			m.log.Warn("nothing to exchange with a peer", "peer", p.id, "agent", h.Agent, "reason", p.reason)
			m.disclaim(now, a, p.id)
		}
	}
	// It may be that our own Hello was lost, and this one is to ask for it. Whoever said one within
	// the interval says no other, or two peers could go on greeting each other for ever.
	if now.Sub(p.greeted) >= m.cfg.Interval {
		m.greet(now, a, p)
	}
	if was != "" && p.reason == "" {
		m.tell(a, p)
	}
}

// A PeerStatus tells about a peer that is on the mesh now.
type PeerStatus struct {
	ID        protocol.PeerID
	Since     time.Time // when it joined
	Greeted   bool      // its Hello has come; until then the next three are zero
	Version   uint16
	Agent     string
	SameModel bool
	Reason    string    // why nothing is exchanged with it; empty if something is
	Messages  uint64    // how many it sent
	Ignored   uint64    // how many of those were not listened to: too many, or none of our business
	Invalid   uint64    // how many updates it passed on that do not verify
	LastHeard time.Time // when the last of them came; zero if none has
}

// Peers returns the peers that are on the mesh now, sorted by name.
func (m *Machine) Peers() []PeerStatus {
	s := make([]PeerStatus, 0, len(m.peers))
	for _, p := range m.peers {
		ps := PeerStatus{
			ID: p.id, Since: p.since, Reason: p.reason,
			Messages: p.messages, Ignored: p.ignored, Invalid: p.invalid, LastHeard: p.heard,
		}
		if h := p.hello; h != nil {
			ps.Greeted, ps.Version, ps.Agent, ps.SameModel = true, h.Version, h.Agent, h.Model == m.cfg.Model
		}
		s = append(s, ps)
	}
	return s
}
