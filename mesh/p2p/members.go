package p2p

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

const (
	maxMembers  = cellPeers + neighbours // peers talked with at once
	rejoinEvery = 15 * time.Second       // how often a peer that we miss is looked for
	joinsAtOnce = 4
	leaveTime   = time.Second // how long saying good-bye may take
	maxRelayed  = 3           // addresses at relays that we tell
)

// members is who is here, by memberlist's account: it finds out within seconds
// that a peer is gone, and by itself never that a partition has healed. The
// rejoin loop does that, by trying the peers in the book that are missing.
//
// Membership is gossip about third parties, which no one signs. It says whom to
// try, never whom to trust.
type members struct {
	self    peer.ID
	host    host.Host
	gate    *gate // nil: open to all
	book    *book
	strikes *strikes
	events  *events
	log     *slog.Logger
	pull    libp2p.ID // which a peer of this network speaks

	cellProto       libp2p.ID
	bridgeOfAnother func(peer.ID) bool // set before anybody is watched

	list  *memberlist.Memberlist
	found chan peer.AddrInfo // peers to join through

	rounds   rounds
	attempts attempts

	mu     sync.Mutex
	here   map[peer.ID]bool // members of our cell
	trying map[peer.ID]bool
	places
}

func newMembers(h host.Host, t *transport, g *gate, b *book, s *strikes, e *events, cellProto libp2p.ID, cell int, log *slog.Logger) (*members, error) {
	m := &members{
		self: h.ID(), host: h, gate: g, book: b, strikes: s, events: e, log: log, pull: t.pull,
		found: make(chan peer.AddrInfo, 2*savedPeers),
		here:  make(map[peer.ID]bool), trying: make(map[peer.ID]bool), places: newPlaces(cell), cellProto: cellProto,
	}
	c := memberlist.DefaultLANConfig()
	c.Name = m.self.String()
	c.Transport = t
	c.RequireNodeNames = true
	c.TCPTimeout = syncTime
	c.UDPBufferSize = packetBytes
	c.EnableCompression = false
	// Each tells a piece of news to RetransmitMult times log10 of their number. With memberlist's 4 one in three
	// thousand never hears it, and on bad links what one misses is now and then that another is not dead.
	c.RetransmitMult = 8
	// Thirty devices know of a crash after some 7 s, and one time in seventy later than 10; with memberlist's 4 it is
	// one in fifteen. Who is suspected wrongly has 4.4 s to say so.
	c.SuspicionMult = 3
	// A device that has missed such a refutation suspects somebody alone, and nobody else heeds it. It must not make up its
	// mind before it has next compared all that it knows with another (every 30 s).
	c.SuspicionMaxTimeoutMult = 12
	c.DisableTcpPings = true // they would go the way that the ping went
	c.Delegate, c.Events, c.Alive, c.Ping = m, m, m, m
	c.Logger = newLogger(log)
	var err error
	if m.list, err = memberlist.Create(c); err != nil {
		return nil, fmt.Errorf("p2p: membership: %w", err)
	}
	return m, nil
}

// has reports whether a peer is here: in our cell, or a neighbour.
func (m *members) has(id peer.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, near := m.near[id]
	return near || m.here[id]
}

// all returns who is here, sorted, without ourselves.
func (m *members) all() []peer.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]peer.ID, 0, len(m.here)+len(m.near))
	for id := range m.here {
		ids = append(ids, id)
	}
	for id := range m.near {
		if !m.here[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// meet offers a peer to join through. It never blocks; when too many are on
// offer, the rejoin loop or the next encounter will come back to this one.
func (m *members) meet(info peer.AddrInfo) {
	select {
	case m.found <- info:
	default:
	}
}

// joinFound joins through the peers that were met, until ctx ends.
func (m *members) joinFound(ctx context.Context) {
	for {
		select {
		case info := <-m.found:
			m.join(ctx, info)
		case <-ctx.Done():
			return
		}
	}
}

// rejoin looks for one peer that we know and miss, again and again.
func (m *members) rejoin(ctx context.Context) {
	for {
		jitter := time.Duration(rand.Int64N(int64(rejoinEvery / 3)))
		select {
		case <-time.After(rejoinEvery*5/6 + jitter):
		case <-ctx.Done():
			return
		}
		if info, ok := m.book.absent(func(id peer.ID) bool { return !m.missed(id) }); ok {
			m.meet(info)
		}
	}
}

// join makes us and the peer members of one list, if we are not already.
func (m *members) join(ctx context.Context, info peer.AddrInfo) {
	if !m.try(info.ID) {
		return
	}
	defer m.tried(info.ID)
	err := m.joinThrough(ctx, info)
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, errNoPlace) {
		m.log.Debug("p2p: there is no place in a peer's cell", "peer", info.ID)
		m.neighbour(info.ID)
		err = nil
	}
	m.attempts.done(info.ID, err, time.Now())
	if err == nil {
		return
	}
	switch fails, asked := m.book.failed(info.ID); {
	case asked && fails == 1:
		m.log.Warn("p2p: cannot join through this peer yet, will keep trying", "peer", info.ID, "why", plainly(err))
	default:
		m.log.Debug("p2p: cannot join", "peer", info.ID, "why", plainly(err))
	}
}

var errOtherNetwork = errors.New("p2p: the peer is of another network")

func (m *members) joinThrough(ctx context.Context, info peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	m.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.RecentlyConnectedAddrTTL)
	m.dialAfresh(info.ID)
	if err := m.host.Connect(ctx, peer.AddrInfo{ID: info.ID}); err != nil {
		return err
	}
	if ours, err := m.host.Peerstore().SupportsProtocols(info.ID, m.pull); err == nil && len(ours) == 0 {
		if !m.host.ConnManager().IsProtected(info.ID, relayTag) {
			m.host.Network().ClosePeer(info.ID)
		}
		return errOtherNetwork
	}
	if m.gate != nil {
		if err := m.gate.wait(ctx, info.ID); err != nil {
			return err
		}
	}
	if err := m.ask(ctx, info.ID); err != nil {
		return err
	}
	_, err := m.list.Join([]string{joinAddr(info.ID)})
	return err
}

// try reports whether to join through the peer now, and if so reserves it.
func (m *members) try(id peer.ID) bool {
	if id == m.self || m.strikes.Contains(id) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.here[id] || m.trying[id] || m.skip(id) {
		return false
	}
	m.trying[id] = true
	return true
}

func (m *members) tried(id peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.trying, id)
}

// dialAfresh forgets that the peer could not be dialled before: the swarm's own
// back-off grows to minutes, and we know when to try again.
func (m *members) dialAfresh(id peer.ID) {
	if s, ok := m.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(id)
	}
}

// plainly is what is worth telling of a failure to dial, on one line.
func plainly(err error) string {
	var d *swarm.DialError
	if errors.As(err, &d) && len(d.DialErrors) > 0 {
		return d.DialErrors[0].Error()
	}
	line, rest, _ := strings.Cut(err.Error(), "\n")
	if strings.HasSuffix(line, "occurred:") { // memberlist counts them first
		line, _, _ = strings.Cut(strings.TrimLeft(rest, "\t* "), "\n")
	}
	return line
}

// watch follows the host: a peer that was identified either is a member, and
// then goes into the book, or speaks our protocol and can become one. When our
// own addresses change, the others are told.
func (m *members) watch(ctx context.Context) error {
	sub, err := m.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtLocalAddressesUpdated),
	}, eventbus.BufSize(64))
	if err != nil {
		return fmt.Errorf("p2p: host events: %w", err)
	}
	defer sub.Close()
	told := m.NodeMeta(memberlist.MetaMaxSize)
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev, ok := <-sub.Out():
			if !ok {
				return nil
			}
			switch ev := ev.(type) {
			case event.EvtPeerIdentificationCompleted:
				m.identified(ev)
			case event.EvtLocalAddressesUpdated:
				if now := m.NodeMeta(memberlist.MetaMaxSize); !bytes.Equal(now, told) {
					told = now
					m.retell()
				}
			}
		}
	}
}

// retell tells the others our meta as it is now.
func (m *members) retell() {
	_ = m.list.UpdateNode(time.Millisecond) // queued at once; the error is that we did not wait
}

func (m *members) identified(ev event.EvtPeerIdentificationCompleted) {
	if m.has(ev.Peer) {
		m.note(ev.Peer)
		return
	}
	if m.bridgeOfAnother(ev.Peer) {
		return
	}
	for _, p := range ev.Protocols {
		if p == m.pull {
			m.meet(peer.AddrInfo{ID: ev.Peer, Addrs: dialable(ev.ListenAddrs)})
			return
		}
	}
}

// note enters a member of our cell in the book if we are connected to it.
func (m *members) note(id peer.ID) {
	m.mu.Lock()
	here := m.here[id]
	m.mu.Unlock()
	if here && connected(m.host, id) {
		m.book.saw(id, m.host.Peerstore().Addrs(id), time.Now())
	}
}

// leave tells the others that we go, if there are others and they listen.
func (m *members) leave() {
	_ = m.list.Leave(leaveTime) // a time-out only means that they have to find out
	_ = m.list.Shutdown()
}

// What memberlist asks of us. It does so under its lock, so nothing here blocks.

// NotifyAlive refuses members that we would not have, before anything is known
// of them: a name that is no peer ID in its one true form, an address that does
// not follow from it, too many.
func (m *members) NotifyAlive(n *memberlist.Node) error {
	id, err := peer.Decode(n.Name)
	if err != nil {
		return err
	}
	if _, err := protocol.PeerID(n.Name).Key(); err != nil {
		return err
	}
	ip, port := memberAddr(id)
	if id.String() != n.Name || !ip.Equal(n.Addr) || int(n.Port) != port {
		return errors.New("a name or an address that is not its own")
	}
	if len(n.Meta) > memberlist.MetaMaxSize {
		return errors.New("too much said of itself")
	}
	if id == m.self {
		return nil
	}
	if m.strikes.Contains(id) {
		return errors.New("being ignored")
	}
	if m.gate != nil {
		if err := m.gate.vouch(id, n.Meta); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.here[id] && len(m.here)+1 >= m.cell {
		return errors.New("too many members")
	}
	return nil
}

func (m *members) NotifyJoin(n *memberlist.Node) {
	id, ok := m.other(n)
	if !ok {
		return
	}
	m.mu.Lock()
	m.here[id] = true
	_, near := m.near[id]
	delete(m.near, id)
	delete(m.full, id)
	if !near {
		m.events.add(mesh.Event{Kind: mesh.Joined, Peer: protocol.PeerID(n.Name)})
	}
	m.mu.Unlock()
	m.host.Peerstore().AddAddrs(id, parseMeta(n.Meta), peerstore.PermanentAddrTTL)
	m.host.ConnManager().Protect(id, protectTag)
	m.dialAfresh(id)
	m.note(id)
}

func (m *members) NotifyUpdate(n *memberlist.Node) {
	if id, ok := m.other(n); ok {
		m.host.Peerstore().UpdateAddrs(id, peerstore.PermanentAddrTTL, peerstore.RecentlyConnectedAddrTTL)
		m.host.Peerstore().AddAddrs(id, parseMeta(n.Meta), peerstore.PermanentAddrTTL)
	}
}

func (m *members) NotifyLeave(n *memberlist.Node) {
	id, ok := m.other(n)
	if !ok {
		return
	}
	m.mu.Lock()
	was := m.here[id]
	delete(m.here, id)
	m.mu.Unlock()
	if !was {
		return
	}
	m.rounds.forget(id)
	m.host.Peerstore().UpdateAddrs(id, peerstore.PermanentAddrTTL, peerstore.RecentlyConnectedAddrTTL)
	m.host.ConnManager().Unprotect(id, protectTag)
	m.events.add(mesh.Event{Kind: mesh.Left, Peer: protocol.PeerID(n.Name)})
}

const protectTag = "yan-member"

// other is the member's ID, unless that is us.
func (m *members) other(n *memberlist.Node) (peer.ID, bool) {
	id, err := peer.Decode(n.Name)
	return id, err == nil && id != m.self
}

// NodeMeta is what we tell of ourselves: where we can be reached, those
// addresses first that are good for most.
func (m *members) NodeMeta(most int) []byte {
	addrs := slices.Clone(m.host.Addrs())
	slices.SortFunc(addrs, func(a, b ma.Multiaddr) int {
		return cmp.Or(cmp.Compare(loopback(a), loopback(b)), cmp.Compare(unrelayed(a), unrelayed(b)), bytes.Compare(a.Bytes(), b.Bytes()))
	})
	addrs = fewRelayed(addrs)
	if i := slices.IndexFunc(addrs, func(a ma.Multiaddr) bool { return loopback(a) == 1 }); i > 0 {
		addrs = addrs[:i]
	}
	var b []byte
	if m.gate != nil {
		b = admissionMeta(m.gate.shown())
	}
	return appendMeta(b, dialable(addrs), most)
}

func (m *members) NotifyMsg([]byte)                {}
func (m *members) GetBroadcasts(int, int) [][]byte { return nil }
func (m *members) LocalState(bool) []byte          { return nil }
func (m *members) MergeRemoteState([]byte, bool)   {}

// fewRelayed leaves out all but maxRelayed addresses at relays, which are long; they come first in addrs.
func fewRelayed(addrs []ma.Multiaddr) []ma.Multiaddr {
	n := 0
	for n < len(addrs) && relayed(addrs[n]) {
		n++
	}
	return slices.Delete(addrs, min(n, maxRelayed), n)
}

// loopback is 1 for an address that is good only on this machine, else 0.
func loopback(a ma.Multiaddr) int {
	if manet.IsIPLoopback(a) {
		return 1
	}
	return 0
}

// unrelayed is 0 for an address at a relay, else 1.
func unrelayed(a ma.Multiaddr) int {
	if relayed(a) {
		return 0
	}
	return 1
}

// Meta is a version, then addresses, each one byte of length and its bytes. Where there is a swarm it has
// another version, and before the addresses comes the member's pass, after its length in one byte.
const (
	metaVersion = 1
	metaSwarm   = 2
)

// admissionMeta is the beginning of a meta with a pass.
func admissionMeta(pass []byte) []byte {
	if len(pass) > 255 {
		return nil // no admission is that long
	}
	return append([]byte{metaSwarm, byte(len(pass))}, pass...)
}

// cutMeta returns the pass in a meta, if there is one, and its addresses.
func cutMeta(b []byte) (pass, addrs []byte) {
	switch {
	case len(b) > 0 && b[0] == metaVersion:
		return nil, b[1:]
	case len(b) > 1 && b[0] == metaSwarm && len(b) >= 2+int(b[1]):
		return b[2 : 2+int(b[1])], b[2+int(b[1]):]
	}
	return nil, nil
}

// metaAdmission is the admission in a meta, nil if there is none.
func metaAdmission(b []byte) *protocol.Admission {
	pass, _ := cutMeta(b)
	if p, err := protocol.DecodePass(pass); err == nil {
		return p.Admission
	}
	return nil
}

// appendMeta appends addresses to b, which is empty or begins a meta.
func appendMeta(b []byte, addrs []ma.Multiaddr, most int) []byte {
	if len(b) == 0 {
		b = append(b, metaVersion)
	}
	for _, a := range addrs {
		if raw := a.Bytes(); len(raw) < 256 && len(b)+1+len(raw) <= most {
			b = append(b, byte(len(raw)))
			b = append(b, raw...)
		}
	}
	return b
}

// parseMeta returns the addresses in b that we could dial: none if b is of
// another version, those before the damage if it is damaged. Names are left
// out: a stranger should not make every member ask for one.
func parseMeta(b []byte) []ma.Multiaddr {
	_, b = cutMeta(b)
	var addrs []ma.Multiaddr
	for ; len(b) > 0 && len(b) > int(b[0]); b = b[1+int(b[0]):] {
		a, err := ma.NewMultiaddrBytes(b[1 : 1+int(b[0])])
		if err != nil {
			break
		}
		if manet.IsThinWaist(a) {
			addrs = append(addrs, a)
		}
	}
	return dialable(addrs)
}

// newLogger is a logger for memberlist that writes to ours, for those who look.
func newLogger(l *slog.Logger) *log.Logger { return log.New(debugWriter{l}, "", 0) }

type debugWriter struct{ log *slog.Logger }

func (w debugWriter) Write(b []byte) (int, error) {
	w.log.Debug(string(bytes.TrimSpace(b)))
	return len(b), nil
}
