// Package p2p is a [mesh.Mesh] over real networks: libp2p carries it, memberlist says who is here,
// and gossipsub says it to everyone.
//
// A [Mesh] has one identity, the ed25519 key that its [protocol.PeerID] names, and one port number,
// for QUIC and TCP; everything goes through there, encrypted and authenticated. Peers find one
// another through addresses they are given ([Config.Join]), addresses they remember ([PeerBook]) and
// on the local network. A peer that dies is noticed in about ten seconds, and a network that fell in
// two finds together again within half a minute of being able to.
//
// An update goes to everyone as its signed head alone. Each peer fetches the body from whoever
// brought it the head, verifies it, and only then passes the head on: bodies cross each link once,
// and a false one goes no further than its liar. Where a transfer breaks the next peer goes on, and who has
// an earlier version is sent what differs from it.
//
// A mesh may be closed to all but one owner's devices ([Config.Swarm]): then every stream waits until
// both sides have shown an admission by the swarm's key, and a peer without one is disconnected unheard.
//
// The package trusts no peer. What comes in is bounded before it is read and checked before it is
// heard; what waits is bounded, and what waits on a peer has a deadline; a peer that keeps breaking
// the rules is ignored for a while. It is the only package that knows libp2p, and the only one with
// goroutines of its own below the node: [Mesh.Close] waits for all of them.
//
// A firewall or an address translation that lets nothing in is crossed by way of relays ([Config.Relays]): they carry
// what is small until the two sides have made a direct connection, and never a body.
package p2p

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// Config is what a mesh is made of. Only Key is needed.
type Config struct {
	// Key is this peer's identity, and makes its name.
	Key ed25519.PrivateKey

	// Listen are the multiaddrs to listen on, for QUIC and TCP. If empty, all IPv4 interfaces, on
	// one port that is free for both.
	Listen []string

	// Join are the multiaddrs, each ending in /p2p/ID, of peers to join through. One that does not
	// answer is tried again until it does.
	Join []string

	// Relays are the multiaddrs, each ending in /p2p/ID, of nodes through which this one can be reached when
	// it is behind a firewall or an address translation that lets nobody in. They are joined through as well.
	// Each must be reachable itself, at a public address, and serve as a relay.
	Relays []string

	// ServeRelay lets others be reached through this node, which must be reachable itself. In a swarm, only
	// its devices.
	ServeRelay bool

	// Book keeps the addresses of peers from one run to the next. If nil, nobody does.
	Book PeerBook

	// LAN looks for peers on the local network too.
	LAN bool

	// Network is the name of the swarm. Peers of different networks do not meet, even when they
	// know each other's addresses. Lower-case letters, digits and hyphens, at most 32; if empty, "yan".
	Network string

	// Swarm, if not nil, closes the mesh to all but the devices of one swarm: those that show an
	// admission by the swarm's key.
	Swarm SwarmBook

	// Cell is how many devices are members of one list, each of which probes all others; a mesh of more has
	// several such cells. If zero, 64.
	Cell int

	// Upload and Download are how many bytes of bodies a second go to peers beyond the local network, and come from them, all
	// transfers together; at least 32 KiB. If zero, DefaultUpload and DefaultDownload; if negative, as many as there is room for.
	Upload, Download int

	// Held are the updates that the node has from an earlier run. Others may fetch their bodies, and are sent what
	// differs from those they have.
	Held []*protocol.Update

	// Log is where it logs. If nil, slog.Default().
	Log *slog.Logger
}

// What a device at home may take of a line that is not its alone. The slowest lines that are sold as broadband today send 1 to 2.4 Mbit/s, and
// receive 16: a skill's new version, of some 50 kB, is passed on to six peers in three seconds, and between versions the line is free.
const (
	DefaultUpload   = 128 << 10
	DefaultDownload = 1 << 20
)

// protocols are the names under which a network's peers speak with one another.
type protocols struct {
	packet, pull, say, cell, body, gossip, admit, look libp2p.ID

	wholeBody libp2p.ID // the version of body before: nothing but whole ones, as they are

	topicSay, topicNews, topicCells string
	service                         string // for multicast DNS
}

// streams are those that we answer ourselves.
func (p protocols) streams() []libp2p.ID {
	return []libp2p.ID{p.packet, p.pull, p.say, p.cell, p.body, p.wholeBody, p.admit, p.look}
}

func newProtocols(name string) (p protocols, err error) {
	if len(name) > 32 {
		return p, fmt.Errorf("p2p: the network's name %q has more than 32 characters", name)
	}
	for _, c := range name {
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return p, fmt.Errorf("p2p: the network's name %q has %q in it: only a-z, 0-9 and - are allowed", name, c)
		}
	}
	stream := func(kind string) libp2p.ID { return libp2p.ID("/" + name + "/" + kind + "/1") }
	return protocols{
		packet: stream("packet"), pull: stream("pull"), say: stream("say"), cell: stream("cell"),
		body: libp2p.ID("/" + name + "/body/2"), wholeBody: stream("body"),
		gossip: stream("gossip"), admit: stream("admit"), look: stream("look"),
		topicSay: name + "/say/1", topicNews: name + "/news/1", topicCells: name + "/cells/1",
		service: "_" + name + "-mesh._udp",
	}, nil
}

const saveEvery = time.Minute // how often the peer book is saved

// A Mesh is a mesh.Mesh over libp2p.
type Mesh struct {
	self    protocol.PeerID
	host    host.Host
	log     *slog.Logger
	keeper  PeerBook
	book    *book
	saved   []string // what the keeper has; owned by saving
	strikes *strikes
	meter   *meter
	gate    *gate        // nil: open to all
	relay   *relay.Relay // nil: we are none
	members *members
	cells   *cells
	bodies  *bodies
	gossip  *gossip
	say     *lines
	looks   *looks
	reached reached
	events  *events

	ctx     context.Context // ends with the mesh
	closed  atomic.Bool
	tasks   *tasks
	seeking context.CancelFunc // stops what looks for peers
	cancel  context.CancelFunc // stops everything
}

var (
	_ mesh.Mesh    = (*Mesh)(nil)
	_ mesh.Chooser = (*Mesh)(nil)
)

// New joins the network as c says and returns at once; who is there comes as events. The mesh lives
// until it is closed, whatever becomes of ctx.
func New(ctx context.Context, c Config) (*Mesh, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("p2p: %w", err)
	}
	c = c.withDefaults()
	p, err := newProtocols(c.Network)
	if err != nil {
		return nil, err
	}
	if _, err := joinPeers(c.Join); err != nil { // before anything is started
		return nil, err
	}
	r, err := newReach(&c)
	if err != nil {
		return nil, err
	}
	s := newStrikes(c.Log)
	h, err := newHost(&c, p, s, r)
	if err != nil {
		return nil, err
	}
	return over(h, s, r, c)
}

func (c Config) withDefaults() Config {
	if c.Network == "" {
		c.Network = "yan"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Upload == 0 {
		c.Upload = DefaultUpload
	}
	if c.Download == 0 {
		c.Download = DefaultDownload
	}
	for _, r := range []*int{&c.Upload, &c.Download} {
		if *r < 0 {
			*r = math.MaxInt
		}
	}
	return c
}

// Check reports what is wrong with c whatever the machine and the network are.
func (c Config) Check() error {
	if _, err := newProtocols(c.withDefaults().Network); err != nil {
		return err
	}
	if _, err := listenAddrs(c.Listen); err != nil {
		return err
	}
	if d := c.withDefaults(); min(d.Upload, d.Download) < slowest {
		return fmt.Errorf("p2p: %d bytes up and %d down a second: with fewer than %d peers give up waiting", d.Upload, d.Download, slowest)
	}
	if _, err := relayPeers(c.Relays); err != nil {
		return err
	}
	_, err := joinPeers(c.Join)
	return err
}

// over makes a mesh over a host that listens already, and closes the host when the mesh is closed or
// cannot be made.
func over(h host.Host, s *strikes, r *reach, c Config) (_ *Mesh, err error) {
	c = c.withDefaults()
	p, err := newProtocols(c.Network)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	asked, err := joinPeers(slices.Concat(c.Join, c.Relays))
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	seek, seeking := context.WithCancel(ctx)
	m := &Mesh{
		self: protocol.PeerID(h.ID().String()), log: c.Log, meter: new(meter),
		keeper: c.Book, book: newBook(), strikes: s, events: newEvents(),
		tasks: new(tasks), ctx: ctx, seeking: seeking, cancel: cancel,
	}
	h = meteredHost{h, m.meter}
	m.host = h
	s.drop = func(id peer.ID) { m.tasks.start(func() { h.Network().ClosePeer(id) }) }
	if c.Swarm != nil {
		if m.gate, err = newGate(ctx, h, p.admit, c.Swarm, m.tasks, c.Log); err != nil {
			cancel()
			return nil, errors.Join(err, h.Close())
		}
		h = m.gate.open()
		m.host = h
	}
	if m.relay, err = r.start(h, m.gate); err != nil {
		cancel()
		return nil, errors.Join(err, h.Close())
	}
	small := relayable{h}
	t := newTransport(small, m.tasks, p.packet, p.pull, s.fault)
	defer func() {
		if err != nil {
			m.stop()
		}
	}()
	if m.members, err = newMembers(small, t, m.gate, m.book, s, m.events, p.cell, c.Cell, c.Log); err != nil {
		t.cancel()
		return nil, err
	}
	if m.gate != nil {
		m.tasks.start(func() { m.gate.patrol(m.members.retell) })
	}
	m.bodies = newBodies(h, p, m.members, c, s.fault)
	m.cells = newCells(m.members, m.gate, s.fault)
	for _, u := range c.Held {
		m.bodies.own(u)
	}
	m.say = newSay(ctx, small, m.tasks, p.say)
	if m.gossip, err = newGossip(ctx, gossipHost{small}, p, s, m.gate, m.tasks, m.bodies, m.cells); err != nil {
		return nil, err
	}
	m.tasks.start(func() {
		if err := m.reached.follow(ctx, h); err != nil {
			m.log.Error("p2p: cannot watch the host", "why", err)
		}
	})
	m.looks = newLooks(p.look)
	m.handle(p.look, m.show)
	m.handle(p.packet, t.readPackets)
	m.handle(p.pull, t.takeSync)
	m.handle(p.cell, m.members.answer)
	m.handle(p.say, func(s network.Stream) { hear(ctx, s, m.strikes.fault, m.told) })
	m.handle(p.body, func(s network.Stream) { m.bodies.serve(ctx, s, m.bodies.answer) })
	m.handle(p.wholeBody, func(s network.Stream) { m.bodies.serve(ctx, s, m.bodies.answerWhole) })

	m.tasks.start(func() { m.events.run(ctx) })
	m.tasks.start(func() { m.gossip.listen(ctx, m.gossip.say, m.published) })
	m.tasks.start(func() { m.gossip.listen(ctx, m.gossip.news, m.published) })
	m.tasks.start(func() { m.gossip.listen(ctx, m.gossip.words, nil) }) // the check has heard them
	m.tasks.start(func() {
		if err := m.members.watch(seek); err != nil {
			m.log.Error("p2p: cannot watch the host", "why", err)
		}
	})
	m.tasks.start(func() {
		if err := m.members.watchConnections(seek, m.tasks); err != nil {
			m.log.Error("p2p: cannot watch the host", "why", err)
		}
	})
	for range joinsAtOnce {
		m.tasks.start(func() { m.members.joinFound(seek) })
	}
	m.tasks.start(func() { m.members.rejoin(seek) })
	m.tasks.start(func() { m.cells.tend(seek, func(b []byte) { _ = m.gossip.words.Publish(seek, b) }) }) // there is a next time
	m.remember(asked)
	m.tasks.start(func() { m.saving(seek) })
	if c.LAN {
		l := &lan{host: h, name: p.service, found: m.members.meet, log: c.Log}
		m.tasks.start(func() { l.run(seek, func() bool { return len(m.members.all()) == 0 }) })
	}
	return m, nil
}

// handle answers streams of a protocol until the mesh closes. Who is ignored is not answered.
func (m *Mesh) handle(p libp2p.ID, answer func(network.Stream)) {
	m.host.SetStreamHandler(p, func(s network.Stream) {
		if m.strikes.Contains(s.Conn().RemotePeer()) || !m.tasks.begin() {
			s.Reset()
			return
		}
		defer m.tasks.end()
		answer(s)
	})
}

// told takes in what one peer told us alone. Of an update that is its head: the body is fetched before the next message is read, so that what a
// peer says is heard in order.
func (m *Mesh) told(from peer.ID, msg protocol.Message) {
	if a, ok := msg.(*protocol.Announce); ok {
		if err := a.Verify(); err != nil {
			m.strikes.fault(from, err)
			return
		}
		u, err := m.bodies.told(m.ctx, a, from)
		if err != nil {
			m.log.Debug("p2p: no body", "update", a.ID, "peer", from, "why", err)
			return
		}
		msg = u
	}
	m.heard(from, msg)
}

// heard takes in a message that was checked. If its sender has not joined as far as we know, we join
// through it: it seems to know us.
func (m *Mesh) heard(from peer.ID, msg protocol.Message) {
	ev := mesh.Event{Kind: mesh.Heard, Peer: protocol.PeerID(from.String()), Msg: msg}
	if !m.events.add(ev) {
		m.members.meet(peer.AddrInfo{ID: from})
	}
}

// published takes in what was said to everyone. An update is as good from whoever passed it on, and who is of another
// cell is not joined through because of what it said.
func (m *Mesh) published(author, via peer.ID, msg protocol.Message) {
	if m.members.has(author) || len(m.cells.others(time.Now())) == 0 {
		m.heard(author, msg)
		return
	}
	if _, update := msg.(*protocol.Update); update && m.members.has(via) {
		author = via
	}
	m.events.add(mesh.Event{Kind: mesh.Heard, Peer: protocol.PeerID(author.String()), Msg: msg})
}

// remember starts with the peers that the owner named, and those of an earlier run.
func (m *Mesh) remember(asked []peer.AddrInfo) {
	for _, info := range asked {
		m.book.ask(info)
		m.members.meet(info)
	}
	if m.keeper == nil {
		return
	}
	lines := m.keeper.Load()
	for _, bad := range m.book.load(lines, time.Now()) {
		m.log.Warn("p2p: the peer book has a line that is no address", "line", bad)
	}
	m.saved = lines
	for range 2 * joinsAtOnce { // the rejoin loop comes to the others
		if info, ok := m.book.absent(func(id peer.ID) bool { return !m.members.missed(id) }); ok {
			m.members.meet(info)
		}
	}
}

// saving keeps the peer book up to date, until ctx ends.
func (m *Mesh) saving(ctx context.Context) {
	if m.keeper == nil {
		return
	}
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.save()
		case <-ctx.Done():
			m.save()
			return
		}
	}
}

func (m *Mesh) save() {
	for _, id := range m.members.all() {
		m.members.note(id)
	}
	lines := m.book.lines()
	if len(lines) == 0 || slices.Equal(lines, m.saved) {
		return // an empty book would only make us forget how to come back
	}
	if err := m.keeper.Save(lines); err != nil {
		m.log.Warn("p2p: cannot save the peer book", "why", err)
		return
	}
	m.saved = lines
}

// Self returns the name that the key makes.
func (m *Mesh) Self() protocol.PeerID { return m.self }

// Addrs returns the addresses that others can join through, each ending in /p2p/ID.
func (m *Mesh) Addrs() []string {
	var lines []string
	for _, a := range m.host.Addrs() {
		lines = append(lines, withID(a, m.host.ID()))
	}
	slices.Sort(lines)
	return lines
}

// Events returns what happens. The body of an update that was heard is shared with those who fetch it
// from us, and is not to be written.
func (m *Mesh) Events() <-chan mesh.Event { return m.events.out }

// Send hands a message to the network. See mesh.Mesh.
func (m *Mesh) Send(ctx context.Context, e protocol.Envelope) error {
	if m.closed.Load() {
		return mesh.ErrClosed
	}
	err := checkOwn(e.Msg)
	if err != nil {
		return err
	}
	if e.To == "" {
		err = m.gossip.tell(ctx, e.Msg)
	} else {
		var id peer.ID
		if id, err = peer.Decode(string(e.To)); err != nil || !m.members.has(id) {
			return fmt.Errorf("%w: %s", mesh.ErrUnreachable, e.To)
		}
		err = tell(m.say, id, m.bodies.briefly(id, e.Msg))
	}
	if err != nil && m.closed.Load() {
		return mesh.ErrClosed
	}
	return err
}

// checkOwn keeps us from saying what others would blame us for.
func checkOwn(m protocol.Message) error {
	switch m := m.(type) {
	case *protocol.Update:
		if len(m.Body) > protocol.MaxBody {
			return fmt.Errorf("%w: a body of %d bytes", protocol.ErrTooLong, len(m.Body))
		}
		return m.Verify()
	case *protocol.Record:
		return m.Verify()
	}
	return nil
}

// Choose has wanted be asked before the body of an update or a record is fetched for everyone's gossip. What peers send because they were
// asked for it comes in any case.
func (m *Mesh) Choose(wanted func(ctx context.Context, head protocol.Message) bool) {
	m.gossip.wanted.Store(&wanted)
}

// Close saves the peer book, says good-bye, and ends everything.
func (m *Mesh) Close() error {
	if m.closed.Swap(true) {
		return mesh.ErrClosed
	}
	return m.stop()
}

// stop ends what has been started, in the order in which one thing needs another.
func (m *Mesh) stop() error {
	m.seeking() // saves the book, too
	if m.members != nil {
		m.members.leave()
	}
	m.cancel()
	if m.relay != nil {
		_ = m.relay.Close() // it only ends with what it began
	}
	err := m.host.Close()
	m.tasks.wait()
	if err != nil {
		return fmt.Errorf("p2p: close: %w", err)
	}
	return nil
}
