package p2p

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/yanmesh/yan/protocol"
)

// A SwarmBook keeps what a device has of its swarm. It is read again every few seconds, so that an
// admission that was renewed and a revocation that the owner wrote take effect while the mesh runs.
type SwarmBook interface {
	// Load returns the device's own admission and the revocations it knows.
	Load() (*protocol.Pass, error)

	// Save keeps revocations that were heard, beside those that are kept already.
	Save([]protocol.Revocation) error
}

const (
	admitTime   = 10 * time.Second // how long a new connection may take to show an admission
	patrolEvery = 15 * time.Second // how often the book is read and admissions are looked at again
	shownBytes  = 1 << 10          // what a stranger may show at most
	saidEvery   = strikeTime       // how often it is said of one peer that it was refused
	maxSaid     = 1024             // peers of whom we remember that
)

// gate lets only those peers through that the swarm has admitted. Every stream of ours, in either
// direction, waits there until both sides of the connection have shown their admissions; a connection
// on which that does not happen in time is closed. What libp2p says by itself (the handshake of keys,
// and what a host supports) passes before.
//
// An admission is believed for the peer it names, whoever showed it: it is signed, and a connection
// proves the name. So what a peer is known to have been admitted by may also come from membership.
type gate struct {
	ctx    context.Context
	host   host.Host // without the gate
	proto  libp2p.ID
	self   protocol.PeerID
	keeper SwarmBook
	log    *slog.Logger
	tasks  *tasks

	refused, shutOut atomic.Uint64 // connections that ended here, by which side would not have it

	mu      sync.Mutex // guards what follows; never held over a channel, a stream or the keeper
	own     *protocol.Admission
	roll    *protocol.Roll
	known   map[peer.ID]*protocol.Admission // verified; as many as the owner signed
	changed chan struct{}                   // closed when somebody was admitted or refused
	said    *simplelru.LRU[peer.ID, time.Time]
}

// newGate reads the book. It is an error if that holds no admission of this peer by one swarm.
func newGate(ctx context.Context, h host.Host, proto libp2p.ID, k SwarmBook, t *tasks, log *slog.Logger) (*gate, error) {
	g := &gate{
		ctx: ctx, host: h, proto: proto, self: protocol.PeerID(h.ID().String()), keeper: k, log: log, tasks: t,
		known: make(map[peer.ID]*protocol.Admission), changed: make(chan struct{}),
	}
	g.said, _ = simplelru.NewLRU[peer.ID, time.Time](maxSaid, nil) // the only error is a size of zero
	p, err := k.Load()
	if err != nil {
		return nil, fmt.Errorf("p2p: swarm: %w", err)
	}
	g.roll = protocol.NewRoll(p.Swarm)
	if p.Admission == nil || p.Admission.Peer != g.self || p.Admission.Verify() != nil {
		return nil, fmt.Errorf("p2p: swarm: %w: the admission that is kept is not one of %s by %s", protocol.ErrNotAdmitted, g.self, p.Swarm)
	}
	g.own = p.Admission
	g.learn(p.Revoked)
	return g, nil
}

// open begins to watch connections, and returns the host with the gate before it.
func (g *gate) open() host.Host {
	g.host.SetStreamHandler(g.proto, g.hear)
	meet := func(c network.Conn) { g.tasks.start(func() { g.meet(c) }) }
	g.host.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) { meet(c) }})
	for _, c := range g.host.Network().Conns() { // those that were quicker
		meet(c)
	}
	return gated{g.host, g}
}

// A gated host is one whose streams wait at the gate.
type gated struct {
	host.Host
	gate *gate
}

func (h gated) SetStreamHandler(p libp2p.ID, f network.StreamHandler) {
	h.Host.SetStreamHandler(p, h.gate.guard(f))
}

func (h gated) SetStreamHandlerMatch(p libp2p.ID, match func(libp2p.ID) bool, f network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(p, match, h.gate.guard(f))
}

func (h gated) NewStream(ctx context.Context, id peer.ID, p ...libp2p.ID) (network.Stream, error) {
	if h.gate.check(id) != nil {
		if err := h.gate.lapsed(id); err != nil {
			return nil, err // it is for the peer to come back with a later one, and to be told why it has to
		}
		if err := h.Host.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
			return nil, err
		}
		if err := h.gate.wait(ctx, id); err != nil {
			return nil, err
		}
	}
	return h.Host.NewStream(ctx, id, p...)
}

// guard holds a stream until its peer is admitted. Nothing is read from it before.
func (g *gate) guard(f network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		if !g.tasks.begin() {
			s.Reset()
			return
		}
		err := g.wait(g.ctx, s.Conn().RemotePeer())
		g.tasks.end()
		if err != nil {
			s.Reset()
			return
		}
		f(s)
	}
}

// check returns an error unless the peer is known to be admitted now.
func (g *gate) check(id peer.ID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.known[id]
	if a == nil {
		return fmt.Errorf("%w: no admission was shown", protocol.ErrNotAdmitted)
	}
	return g.roll.Recheck(a, time.Now())
}

// lapsed returns why a peer that was admitted is not any more, or nil if it never was or still is.
func (g *gate) lapsed(id peer.ID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.known[id]; a != nil {
		return g.roll.Recheck(a, time.Now())
	}
	return nil
}

// wait returns nil once the peer is admitted, and an error when it is refused, is gone or takes too long.
func (g *gate) wait(ctx context.Context, id peer.ID) error {
	late := time.NewTimer(admitTime)
	defer late.Stop()
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		err := g.check(id)
		if err == nil || !connected(g.host, id) {
			return err
		}
		select {
		case <-changed:
		case <-late.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-g.ctx.Done():
			return g.ctx.Err()
		}
	}
}

// admit takes in an admission that somebody showed, or says why it is worth nothing.
func (g *gate) admit(id peer.ID, a *protocol.Admission) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	old := g.known[id]
	if old != nil && a != nil && same(old, a) {
		return g.roll.Recheck(old, now)
	}
	if err := g.roll.Check(a, protocol.PeerID(id.String()), now); err != nil {
		return err
	}
	if old == nil || old.Serial < a.Serial {
		g.known[id] = a
		g.signal()
	}
	return nil
}

// same reports whether two admissions agree to the last bit, so that a signature need not be checked again.
func same(a, b *protocol.Admission) bool {
	return a.Swarm == b.Swarm && a.Peer == b.Peer && a.NotBefore == b.NotBefore && a.Expires == b.Expires &&
		a.Serial == b.Serial && bytes.Equal(a.Sig, b.Sig)
}

// signal wakes those who wait. The caller holds mu.
func (g *gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// vouch takes in the admission that a member's meta carries, and returns an error unless the member is
// admitted. It does not block.
func (g *gate) vouch(id peer.ID, meta []byte) error {
	err := g.admit(id, metaAdmission(meta))
	if err != nil && g.check(id) == nil {
		return nil // by one that we know and that is better
	}
	return err
}

// passOf is the pass of a peer that is admitted, nil if we do not know it.
func (g *gate) passOf(id peer.ID) []byte {
	g.mu.Lock()
	a := g.known[id]
	if protocol.PeerID(id.String()) == g.self {
		a = g.own
	}
	g.mu.Unlock()
	if a == nil {
		return nil
	}
	b, err := protocol.EncodePass(&protocol.Pass{Swarm: a.Swarm, Admission: a})
	if err != nil {
		return nil // it was decoded, so it can be encoded
	}
	return b
}

// learnOf takes in admissions of members of other cells: what they publish is heard only if they are admitted.
func (g *gate) learnOf(passes [][]byte) {
	for _, b := range passes {
		p, err := protocol.DecodePass(b)
		if err != nil || p.Admission == nil {
			continue
		}
		if id, err := peer.Decode(string(p.Admission.Peer)); err == nil {
			_ = g.admit(id, p.Admission) // whoever is not admitted is not
		}
	}
}

// shown is what membership says of ourselves.
func (g *gate) shown() []byte {
	b, err := protocol.EncodePass(g.pass(false))
	if err != nil {
		return nil // it was decoded, so it can be encoded
	}
	return b
}

// pass is what we show: our admission, and to those who are admitted all that was revoked.
func (g *gate) pass(all bool) *protocol.Pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &protocol.Pass{Swarm: g.roll.Swarm(), Admission: g.own}
	if all {
		p.Revoked = g.roll.Revoked()
	}
	return p
}

// meet has each side of a new connection show its admission, or closes it. Whoever dialled begins.
func (g *gate) meet(c network.Conn) {
	id := c.RemotePeer()
	var err error
	if c.Stat().Direction == network.DirOutbound {
		err = g.greet(id)
	} else if err = g.wait(g.ctx, id); !connected(g.host, id) {
		return // it was refused already, or went by itself
	}
	shut := errors.Is(err, errShut) // then it does not matter that we would let it in
	if err != nil && g.ctx.Err() == nil && (shut || g.check(id) != nil) {
		g.refuse(id, err)
	}
}

// refuse closes all connections to the peer.
func (g *gate) refuse(id peer.ID, why error) {
	what, count := "p2p: a peer is not let in", &g.refused
	if errors.Is(why, errShut) {
		what, count = "p2p: a peer does not let us in", &g.shutOut
	}
	count.Add(1)
	g.say(id, what, why)
	_ = g.host.Network().ClosePeer(id) // an error means that it was closed
	g.mu.Lock()
	defer g.mu.Unlock()
	g.signal()
}

// say logs what is wrong with a peer, the first time as a warning: strangers may try for ever.
func (g *gate) say(id peer.ID, what string, why error) {
	now := time.Now()
	g.mu.Lock()
	last, ok := g.said.Get(id)
	loud := !ok || now.Sub(last) >= saidEvery
	if loud {
		g.said.Add(id, now)
	}
	g.mu.Unlock()
	level := slog.LevelDebug
	if loud {
		level = slog.LevelWarn
	}
	g.log.Log(g.ctx, level, what, "peer", id, "why", plainly(why))
}

// errShut is what a peer says that does not let us in.
var errShut = errors.New("it says")

// greet shows a peer our admission, sees its own, and then both tell what was revoked.
func (g *gate) greet(id peer.ID) error {
	ctx, cancel := context.WithTimeout(network.WithNoDial(network.WithAllowLimitedConn(g.ctx, "admission"), "admission"), admitTime)
	defer cancel()
	s, err := g.host.NewStream(ctx, id, g.proto)
	if err != nil {
		return fmt.Errorf("%w: it shows no admission (%s)", protocol.ErrNotAdmitted, plainly(err))
	}
	defer s.Reset()
	_ = s.SetDeadline(time.Now().Add(admitTime))
	if err := writePass(s, g.pass(false)); err != nil {
		return err
	}
	r := bufio.NewReader(s)
	p, err := readPass(r, protocol.MaxPass)
	switch {
	case err != nil:
		return fmt.Errorf("%w: it shows no admission (%s)", protocol.ErrNotAdmitted, plainly(err))
	case p.Refused != "":
		return fmt.Errorf("%w: %s", errShut, p.Refused)
	}
	if err := g.admit(id, p.Admission); err != nil {
		return err
	}
	if err := writePass(s, g.pass(true)); err != nil {
		return err
	}
	g.take(id, p.Revoked)
	if err := s.CloseWrite(); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, r) // until it has read all: a reset takes back what is under way
	return nil
}

// hear answers a peer that greets us. One that is not let in is told why.
func (g *gate) hear(s network.Stream) {
	defer s.Reset()
	if !g.tasks.begin() {
		return
	}
	defer g.tasks.end()
	id := s.Conn().RemotePeer()
	_ = s.SetDeadline(time.Now().Add(admitTime))
	r := bufio.NewReader(s)
	p, err := readPass(r, shownBytes)
	if err == nil {
		err = g.admit(id, p.Admission)
	}
	if err != nil && g.check(id) != nil {
		g.turnAway(s, r, err)
		g.refuse(id, err)
		return
	}
	if err := writePass(s, g.pass(true)); err != nil {
		return
	}
	if p, err = readPass(r, protocol.MaxPass); err == nil {
		g.take(id, p.Revoked)
		s.Close()
	}
}

// turnAway tells a peer why, and gives it a moment to read that before the connection is closed.
func (g *gate) turnAway(s network.Stream, r *bufio.Reader, why error) {
	reason := plainly(why)
	if err := writePass(s, &protocol.Pass{Refused: reason}); err != nil || s.CloseWrite() != nil {
		return
	}
	_ = s.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.Copy(io.Discard, r) // its end, or that of our patience
}

func writePass(s network.Stream, p *protocol.Pass) error {
	b, err := protocol.EncodePass(p)
	if err == nil {
		_, err = s.Write(frameOf(b))
	}
	return err
}

func readPass(r *bufio.Reader, most int) (*protocol.Pass, error) {
	n, err := readLength(r, most)
	if err != nil {
		return nil, err
	}
	b, err := readBytes(r, n)
	if err != nil {
		return nil, err
	}
	return protocol.DecodePass(b)
}

// take learns of revocations that a peer told us, keeps what is new and passes it on.
func (g *gate) take(from peer.ID, revoked []protocol.Revocation) {
	news, err := g.learn(revoked)
	if err != nil {
		g.say(from, "p2p: a peer tells of a revocation that is none", err)
	}
	if len(news) == 0 {
		return
	}
	if err := g.keeper.Save(news); err != nil {
		g.log.Warn("p2p: cannot save what was revoked", "why", err)
	}
	g.sweep()
	g.spread(from)
}

// learn adds revocations to the roll and returns those that were new.
func (g *gate) learn(revoked []protocol.Revocation) (news []protocol.Revocation, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range revoked {
		isNew, bad := g.roll.Add(r)
		if bad != nil {
			err = bad
		}
		if isNew {
			news = append(news, r)
		}
	}
	return news, err
}

// sweep disconnects who was let in and would not be now.
func (g *gate) sweep() {
	for _, id := range g.host.Network().Peers() {
		if err := g.lapsed(id); err != nil { // whoever has yet to show one has its own time
			g.refuse(id, err)
		}
	}
}

// spread greets all that are connected anew, but for whom the news came from.
func (g *gate) spread(from peer.ID) {
	for _, id := range g.host.Network().Peers() {
		if id != from && g.check(id) == nil {
			g.tasks.start(func() {
				if err := g.greet(id); err != nil {
					g.log.Debug("p2p: cannot greet a peer again", "peer", id, "why", plainly(err))
				}
			})
		}
	}
}

// patrol looks after admissions until the mesh closes: those that end, and what the book says. It calls
// renewed when our own is another.
func (g *gate) patrol(renewed func()) {
	tick := time.NewTicker(patrolEvery)
	defer tick.Stop()
	for {
		g.checkOwn()
		select {
		case <-tick.C:
			g.reload(renewed)
			g.sweep()
		case <-g.ctx.Done():
			return
		}
	}
}

// checkOwn says it when nobody will talk to us any more.
func (g *gate) checkOwn() {
	g.mu.Lock()
	err := g.roll.Recheck(g.own, time.Now())
	g.mu.Unlock()
	if err != nil {
		g.say(g.host.ID(), "p2p: this device is not admitted to its swarm, and nobody there will talk with it", err)
	}
}

// reload reads the book, and tells the others what is new in it.
func (g *gate) reload(renewed func()) {
	p, err := g.keeper.Load()
	if err == nil && p.Swarm != g.roll.Swarm() {
		err = fmt.Errorf("the book is of %s now: start again to change the swarm", p.Swarm)
	}
	if err != nil {
		g.say(g.host.ID(), "p2p: cannot read again what there is of the swarm", err)
		return
	}
	news, err := g.learn(p.Revoked)
	if err != nil {
		g.say(g.host.ID(), "p2p: the book has a revocation that is none", err)
	}
	another := g.replace(p.Admission)
	if another {
		renewed()
	}
	if another || len(news) > 0 {
		g.spread("")
	}
}

// replace takes a as our own admission if it is one and is later than what we have.
func (g *gate) replace(a *protocol.Admission) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a == nil || a.Serial <= g.own.Serial || g.roll.Check(a, g.self, time.Now()) != nil {
		return false
	}
	g.own = a
	return true
}
