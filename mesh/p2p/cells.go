package p2p

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/hashicorp/memberlist"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// A cell is those who are members of one list. Each of them probes all others, so it may only be so large; a mesh of
// more devices has several, and what is published goes through all of them.
//
// Whoever would join asks first whether there is a place. If there is none, the two stay connected as neighbours: peers
// of another cell, whom one talks with as with members, and whose leaving one notices when the connection ends. Of every
// cell a few members are bridges. They say to everyone, by gossip, that there is the cell and where they are, and each
// keeps a connection or two to bridges of other cells; whoever has no cell learns from them where there is room.
const (
	cellPeers  = 64               // members of a cell at most, ourselves included
	bridges    = 3                // of one cell: those whose names come first
	cellsEvery = 15 * time.Second // how often a bridge says so
	cellsStale = 3 * cellsEvery   // how long one believes it
	neighbours = cellPeers        // that one node has at most
	knownWords = 1024             // bridges of other cells that are remembered
	fullTime   = 5 * time.Minute  // how soon a peer that had no place is asked again, by one who has a cell
	idleTime   = time.Minute      // how long a connection to another cell is kept that nobody needs
	wordChecks = 16               // words of bridges checked at once
	wordPasses = 1500             // bytes of admissions in one word
)

var errNoPlace = errors.New("p2p: there is no place in the peer's cell")

// places is who gets in. members embeds it; its mutex guards it.
type places struct {
	cell     int                   // members at most, ourselves included
	promised map[peer.ID]promise   // who was told to come
	near     map[peer.ID]time.Time // neighbours, since when
	full     map[peer.ID]time.Time // who had no place, and when
	apart    map[peer.ID]bool      // who is to be a neighbour and no more, if asked
	again    map[peer.ID]bool      // who is to be asked all the same
}

type promise struct {
	size  int
	until time.Time
}

func newPlaces(cell int) places {
	if cell == 0 {
		cell = cellPeers
	}
	return places{
		cell: cell, promised: make(map[peer.ID]promise), near: make(map[peer.ID]time.Time),
		full: make(map[peer.ID]time.Time), again: make(map[peer.ID]bool), apart: make(map[peer.ID]bool),
	}
}

// place reports whether a peer whose cell has so many members may become one of ours, with all of them, and how many we
// are. A place that was promised is kept for a moment. A quarter of the cell is for those who were in it before, and for
// promises that several members give at once without knowing of one another; for the same reason two cells only become
// one if both are small.
func (m *members) place(id peer.ID, size int, now time.Time) (ok bool, ours int) {
	met := m.book.met(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	ours = len(m.here) + 1
	if m.here[id] || met {
		return m.here[id] || ours+size <= m.cell, ours
	}
	most := m.cell - m.cell/4
	if size > 1 && ours > 1 {
		most = m.cell / 2
	}
	n := ours + size
	for other, p := range m.promised {
		switch {
		case m.here[other] || now.After(p.until):
			delete(m.promised, other)
		case other != id:
			n += p.size
		}
	}
	if n > most {
		return false, ours
	}
	m.promised[id] = promise{size, now.Add(syncTime)}
	return true, ours
}

// ask asks a peer for a place in its cell, for ours. One that does not know the question is of an older version, and has
// no cells. What is asked is a version and our members, as 16 bits; the answer is 1 for yes and 0 for no, and its members.
func (m *members) ask(ctx context.Context, id peer.ID) error {
	if speaks, err := m.host.Peerstore().SupportsProtocols(id, m.cellProto); err != nil || len(speaks) == 0 {
		return nil
	}
	s, err := m.host.NewStream(ctx, id, m.cellProto)
	if err != nil {
		return err
	}
	defer s.Reset()
	_ = s.SetDeadline(time.Now().Add(stall))
	if _, err := s.Write(binary.BigEndian.AppendUint16([]byte{1}, m.asking(id))); err != nil {
		return err
	}
	var b [3]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		return err
	}
	_ = s.Close()
	theirs := int(binary.BigEndian.Uint16(b[1:]))
	if b[0] != 1 {
		return errNoPlace
	}
	if ok, _ := m.place(id, max(1, theirs), time.Now()); !ok {
		return errNoPlace // we may have told others to come meanwhile
	}
	return nil
}

// answer tells a peer that asks whether there is a place for it.
func (m *members) answer(s network.Stream) {
	defer s.Close()
	id := s.Conn().RemotePeer()
	_ = s.SetDeadline(time.Now().Add(stall))
	var b [3]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		s.Reset()
		return
	}
	verdict := byte(0)
	ok, ours := m.place(id, max(1, int(binary.BigEndian.Uint16(b[1:]))), time.Now())
	if ok {
		verdict = 1
	}
	if _, err := s.Write(binary.BigEndian.AppendUint16([]byte{verdict}, uint16(ours))); err != nil {
		s.Reset()
		return
	}
	if !ok {
		m.neighbour(id)
	}
}

// size is how many our cell has.
func (m *members) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.here) + 1
}

// apartSize is more than any cell has a place for: who asks with it wants to be a neighbour.
const apartSize = 1<<16 - 1

// asking is for how many members we ask the peer for a place.
func (m *members) asking(id peer.ID) uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.apart[id] {
		delete(m.apart, id)
		return apartSize
	}
	return uint16(len(m.here) + 1)
}

// cellmates returns the members of our cell, sorted, ourselves included.
func (m *members) cellmates() []peer.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := []peer.ID{m.self}
	for id := range m.here {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// neighbour takes note that a connected peer is of another cell. When there are too many it is disconnected: it asks
// elsewhere, or again later.
func (m *members) neighbour(id peer.ID) {
	now := time.Now()
	m.mu.Lock()
	for other, at := range m.full {
		if now.Sub(at) >= fullTime {
			delete(m.full, other)
		}
	}
	if len(m.full) < knownWords {
		m.full[id] = now
	}
	_, near := m.near[id]
	over := !near && !m.here[id] && len(m.near) >= neighbours
	if !near && !m.here[id] && !over {
		m.near[id] = now
		m.events.add(mesh.Event{Kind: mesh.Joined, Peer: protocol.PeerID(id.String())})
	}
	m.mu.Unlock()
	if over {
		_ = m.host.Network().ClosePeer(id)
	} else if !connected(m.host, id) { // it was quicker than we
		m.gone(id)
	}
}

// gone takes note that a peer is not connected any more.
func (m *members) gone(id peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, near := m.near[id]; !near {
		return
	}
	delete(m.near, id)
	if !m.here[id] {
		m.events.add(mesh.Event{Kind: mesh.Left, Peer: protocol.PeerID(id.String())})
	}
}

// skip reports whether there is no use in asking a peer for a place now. The caller holds mu.
func (m *members) skip(id peer.ID) bool {
	if m.again[id] {
		delete(m.again, id)
		return false
	}
	if _, near := m.near[id]; near {
		return true
	}
	at, full := m.full[id]
	return full && len(m.here) > 0 && time.Since(at) < fullTime
}

// missed reports whether a peer is one to look for: neither here nor known to have no place.
func (m *members) missed(id peer.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, near := m.near[id]
	at, full := m.full[id]
	return !m.here[id] && !near && !(full && len(m.here) > 0 && time.Since(at) < fullTime)
}

// A word is what a bridge says of its cell.
type word struct {
	members int
	cell    peer.ID // its first member, whose name it has
	meta    []byte  // of the bridge
	passes  [][]byte
	at      time.Time // when it was heard
}

// A word's bytes: a version, the members as 16 bits, the cell's name after its length in one byte, the meta after its
// length as 16 bits, and then the admissions of members, each after its length in one byte.
const wordVersion = 1

func (w *word) append(b []byte) []byte {
	b = append(b, wordVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(w.members))
	b = append(append(b, byte(len(w.cell))), w.cell...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(w.meta)))
	b = append(b, w.meta...)
	for _, p := range w.passes {
		b = append(append(b, byte(len(p))), p...)
	}
	return b
}

var errWord = errors.New("p2p: no word of a bridge")

// parseWord reads what a bridge says. Of a later version it returns nil and no error.
func parseWord(b []byte) (*word, error) {
	if len(b) > 0 && b[0] > wordVersion {
		return nil, nil
	}
	if len(b) < 4 || b[0] != wordVersion {
		return nil, errWord
	}
	w := &word{members: int(binary.BigEndian.Uint16(b[1:]))}
	name, rest, ok := cutBytes(b[4:], int(b[3]))
	if !ok || len(rest) < 2 || w.members == 0 {
		return nil, errWord
	}
	id, err := peer.IDFromBytes(name)
	if err != nil {
		return nil, errWord
	}
	w.cell = id
	if w.meta, rest, ok = cutBytes(rest[2:], int(binary.BigEndian.Uint16(rest))); !ok || len(w.meta) > memberlist.MetaMaxSize {
		return nil, errWord
	}
	for len(rest) > 0 {
		var pass []byte
		if pass, rest, ok = cutBytes(rest[1:], int(rest[0])); !ok || len(pass) == 0 {
			return nil, errWord
		}
		w.passes = append(w.passes, pass)
	}
	return w, nil
}

func cutBytes(b []byte, n int) (first, rest []byte, ok bool) {
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// cells is what is known of the other cells, and how ours stays in touch with them.
type cells struct {
	members *members
	gate    *gate // nil: open to all
	fault   func(peer.ID, error)

	mu    sync.Mutex // guards what follows
	words *simplelru.LRU[peer.ID, *word]
	next  int // whose admission is told next
}

func newCells(m *members, g *gate, fault func(peer.ID, error)) *cells {
	c := &cells{members: m, gate: g, fault: fault}
	c.words, _ = simplelru.NewLRU[peer.ID, *word](knownWords, nil) // the only error is a size of zero
	m.bridgeOfAnother = c.bridgeOfAnother
	return c
}

// check is gossip's of a bridge's word.
func (c *cells) check(from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	author := m.GetFrom()
	if from == c.members.self {
		return pubsub.ValidationAccept
	}
	w, err := parseWord(m.Data)
	switch {
	case err != nil || len(m.Data) > gossipFrame:
		c.fault(from, cmp.Or(err, error(protocol.ErrTooLong)))
		return pubsub.ValidationReject
	case w == nil || !c.due(author, time.Now()):
		return pubsub.ValidationIgnore
	case c.gate != nil && c.gate.vouch(author, w.meta) != nil:
		return pubsub.ValidationIgnore // whoever passed it on may not know yet that it was revoked
	}
	if c.gate != nil {
		c.gate.learnOf(w.passes)
	}
	w.meta, w.passes, w.at = bytes.Clone(w.meta), nil, time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.words.Add(author, w)
	return pubsub.ValidationAccept
}

// due reports whether a bridge may say another word. One that never stops is passed on by nobody.
func (c *cells) due(author peer.ID, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.words.Peek(author)
	return !ok || now.Sub(w.at) >= cellsEvery/3
}

// A cellSeen is another cell, as its bridges tell.
type cellSeen struct {
	name    peer.ID
	members int
	bridges []peer.ID // sorted
}

// others returns the cells that were heard of lately, sorted by name, without our own.
func (c *cells) others(now time.Time) []cellSeen {
	c.mu.Lock()
	none := c.words.Len() == 0
	c.mu.Unlock()
	if none {
		return nil
	}
	mates := c.members.cellmates()
	c.mu.Lock()
	defer c.mu.Unlock()
	byName := make(map[peer.ID]*cellSeen)
	for _, id := range c.words.Keys() {
		w, _ := c.words.Peek(id)
		if now.Sub(w.at) > cellsStale || slices.Contains(mates, id) || slices.Contains(mates, w.cell) {
			continue
		}
		s := byName[w.cell]
		if s == nil {
			s = &cellSeen{name: w.cell}
			byName[w.cell] = s
		}
		s.members = max(s.members, w.members)
		s.bridges = append(s.bridges, id)
	}
	list := make([]cellSeen, 0, len(byName))
	for _, s := range byName {
		slices.Sort(s.bridges)
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b cellSeen) int { return cmp.Compare(a.name, b.name) })
	return list
}

// addrs is where a bridge says that it is.
func (c *cells) addrs(id peer.ID) peer.AddrInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := peer.AddrInfo{ID: id}
	if w, ok := c.words.Peek(id); ok {
		info.Addrs = parseMeta(w.meta)
	}
	return info
}

// tend keeps in touch with the other cells, until ctx ends. say says a word to everyone.
func (c *cells) tend(ctx context.Context, say func([]byte)) {
	for {
		jitter := time.Duration(rand.Int64N(int64(cellsEvery / 3)))
		select {
		case <-time.After(cellsEvery*5/6 + jitter):
		case <-ctx.Done():
			return
		}
		c.round(time.Now(), say)
	}
}

// round does what is due: as a bridge says so, keeps a connection to the next cell and one more, and looks for a larger
// cell to be part of if ours is small. A mesh that is small and has but one cell says nothing.
func (c *cells) round(now time.Time, say func([]byte)) {
	m := c.members
	mates := m.cellmates()
	rank := slices.Index(mates, m.self)
	others := c.others(now)
	m.mu.Lock()
	near := len(m.near)
	m.mu.Unlock()
	needed := make(map[peer.ID]bool)
	if rank < bridges {
		if near+len(others) > 0 || 2*len(mates) > m.cell {
			say(c.word(mates).append(nil))
		}
		if rank == 0 {
			c.seekRoom(others, len(mates))
		}
		for _, s := range nextCells(others, mates[0], rank) {
			c.bridge(s, rank, needed)
		}
	}
	m.dropIdle(needed, len(mates) == 1, now)
}

// word is what we say of our cell: its size, its name, where we are and, in turn, who else is admitted.
func (c *cells) word(mates []peer.ID) *word {
	w := &word{members: len(mates), cell: mates[0], meta: c.members.NodeMeta(memberlist.MetaMaxSize)}
	if c.gate == nil {
		return w
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	room := wordPasses - len(w.meta)
	for range mates {
		pass := c.gate.passOf(mates[c.next%len(mates)])
		if room -= 1 + len(pass); room < 0 {
			break
		}
		if len(pass) > 0 && len(pass) < 256 {
			w.passes = append(w.passes, pass)
		}
		c.next++
	}
	return w
}

// seekRoom asks the largest cell that should have room for ours.
func (c *cells) seekRoom(others []cellSeen, size int) {
	m := c.members
	var best *cellSeen
	for i, s := range others {
		most := m.cell / 2
		if size == 1 || s.members == 1 {
			most = m.cell - m.cell/4
		}
		if larger := s.members > size || s.members == size && s.name < m.self; !larger || s.members+size > most {
			continue
		}
		if best == nil || s.members > best.members {
			best = &others[i]
		}
	}
	if best != nil {
		c.meet(best.bridges[0], false) // always the same, who so knows how many it has promised a place
	}
}

// meet asks a bridge for a place, also if it had none before or is a neighbour; or has it be a neighbour and no more.
func (c *cells) meet(id peer.ID, apart bool) {
	m := c.members
	m.mu.Lock()
	m.again[id] = true
	delete(m.apart, id)
	if apart {
		m.apart[id] = true
	}
	m.mu.Unlock()
	m.meet(c.addrs(id))
}

// bridgeOfAnother reports whether a peer said lately that it is a bridge of another cell. It is for it to ask, if it
// connects to us.
func (c *cells) bridgeOfAnother(id peer.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.words.Peek(id)
	return ok && time.Since(w.at) <= cellsStale
}

// nextCells are those that a bridge of some rank is to be connected with: the one that comes after ours in the order of
// names, so that all are connected in a ring, and another one further on.
func nextCells(others []cellSeen, ours peer.ID, rank int) []cellSeen {
	if len(others) == 0 {
		return nil
	}
	i, _ := slices.BinarySearchFunc(others, ours, func(s cellSeen, id peer.ID) int { return cmp.Compare(s.name, id) })
	next := []cellSeen{others[i%len(others)]}
	if far := (1 + rank) % len(others); far != 0 {
		next = append(next, others[(i+far)%len(others)])
	}
	return next
}

// bridge sees to it that we are connected to a bridge of the cell.
func (c *cells) bridge(s cellSeen, rank int, needed map[peer.ID]bool) {
	m := c.members
	m.mu.Lock()
	linked := false
	for _, id := range s.bridges {
		if _, near := m.near[id]; near {
			needed[id], linked = true, true
		}
	}
	m.mu.Unlock()
	if !linked {
		c.meet(s.bridges[rank%len(s.bridges)], true)
	}
}

// dropIdle ends connections to other cells that we began and do not need. Who is alone needs all that it has.
func (m *members) dropIdle(needed map[peer.ID]bool, alone bool, now time.Time) {
	if alone {
		return
	}
	var idle []peer.ID
	m.mu.Lock()
	for id, since := range m.near {
		if !needed[id] && now.Sub(since) > idleTime {
			idle = append(idle, id)
		}
	}
	m.mu.Unlock()
	for _, id := range idle {
		if m.dialled(id) && !m.host.ConnManager().IsProtected(id, relayTag) {
			_ = m.host.Network().ClosePeer(id)
		}
	}
}

// dialled reports whether we began a connection to the peer.
func (m *members) dialled(id peer.ID) bool {
	return slices.ContainsFunc(m.host.Network().ConnsToPeer(id), func(c network.Conn) bool {
		return c.Stat().Direction == network.DirOutbound
	})
}
