package p2p

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/yanmesh/yan/protocol"
)

const (
	keptBytes    = 64 << 20        // of bodies that others may fetch
	knownHeads   = 8192            // announcements remembered
	fetchAtOnce  = 4               // transfers to us
	fetchPerPeer = 2               // of them from news of one peer
	fetchWaiting = 16              // news of one peer that wait to be fetched
	serveAtOnce  = 16              // transfers from us, if we may send as fast as that takes
	askRate      = 50              // questions a second that we answer one peer
	askBurst     = 200             // questions that may come at once
	lineages     = 2048            // skills of authors of which we know the version that is here
	fetchFrom    = 3               // peers that are asked for one body
	slowest      = 32 << 10        // bytes a second; a slower peer is given up
	fetchRounds  = 8               // how often they are asked
	fetchNone    = 2               // how often, if they all say that they do not have it
	fetchPause   = time.Second     // before they are asked again, and then twice as long each time
	fetchLongest = 8 * time.Second // but no longer than that
	fetchTime    = 2 * time.Minute // for one body, from all of them
)

// bodies keeps the bodies of updates that went through here lately, so that
// whoever hears of an update from us can fetch it from us, and fetches those
// that we hear of. A body is asked for by its digest and is believed when it
// has that digest: it does not matter who had it. body_fetch.go asks for bodies, body_serve.go answers.
type bodies struct {
	host     host.Host
	protos   []libp2p.ID // that we ask in, the best first
	members  *members
	fault    func(peer.ID, error)
	up, down *budget // bytes beyond the local network

	counts   bodyCounts
	fetching chan struct{} // one for each transfer to us
	serving  chan struct{} // one for each transfer from us

	mu    sync.Mutex // guards what follows; never held over a channel or a stream
	kept  *simplelru.LRU[protocol.Digest, []byte]
	bytes int                                      // in kept
	known *simplelru.LRU[headKey, bool]            // true once the body is here, false while it is fetched
	turns map[peer.ID]*turn                        // those whose news is being fetched
	last  *simplelru.LRU[lineage, protocol.Digest] // the version of each that came last
	begun *halves
	asks  *simplelru.LRU[peer.ID, *pace]
	busy  map[peer.ID]int // transfers from us to each
}

// A want is a body that is looked for.
type want struct {
	lineage
	digest protocol.Digest
	size   int
}

// A lineage is what a body is a version of.
type lineage struct {
	author protocol.PeerID
	skill  string
}

func wanted(a *protocol.Announce) want {
	return want{lineage{a.ID.Author, a.Skill}, a.Digest, int(a.Size)}
}

// A headKey names an announcement: an author that claims one ID for two bodies
// makes two.
type headKey struct {
	id     protocol.UpdateID
	digest protocol.Digest
}

func keyOf(a *protocol.Announce) headKey { return headKey{a.ID, a.Digest} }

// A turn keeps one peer's news from taking every transfer.
type turn struct {
	at    chan struct{}
	users int
}

func newBodies(h host.Host, p protocols, m *members, c Config, fault func(peer.ID, error)) *bodies {
	b := &bodies{
		host: h, protos: []libp2p.ID{p.body, p.wholeBody}, members: m, fault: fault,
		up: newBudget(c.Upload), down: newBudget(c.Download),
		fetching: make(chan struct{}, fetchAtOnce),
		serving:  make(chan struct{}, max(1, min(serveAtOnce, c.Upload/slowest))),
		turns:    make(map[peer.ID]*turn),
		begun:    newHalves(),
		busy:     make(map[peer.ID]int),
	}
	// The only error is a size of zero.
	b.kept, _ = simplelru.NewLRU(knownHeads, func(_ protocol.Digest, body []byte) { b.bytes -= len(body) })
	b.known, _ = simplelru.NewLRU[headKey, bool](knownHeads, nil)
	b.last, _ = simplelru.NewLRU[lineage, protocol.Digest](lineages, nil)
	b.asks, _ = simplelru.NewLRU[peer.ID, *pace](speakers, nil)
	return b
}

// keep makes a verified body one that others can fetch.
func (b *bodies) keep(d protocol.Digest, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept.Contains(d) {
		return
	}
	b.kept.Add(d, body)
	b.bytes += len(body)
	for b.bytes > keptBytes {
		b.kept.RemoveOldest()
	}
}

func (b *bodies) get(d protocol.Digest) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept.Get(d)
}

// newest notes that a body is the version that came last.
func (b *bodies) newest(w want) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last.Add(w.lineage, w.digest)
}

// earlier returns the version of what is wanted that is here, and its digest, or nothing.
func (b *bodies) earlier(w want) (d protocol.Digest, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d, ok := b.last.Get(w.lineage); ok {
		if body, ok := b.kept.Get(d); ok && len(body) > 0 {
			return d, body
		}
	}
	return protocol.Digest{}, nil
}

// own keeps the body of an update that we send, and marks it as known.
func (b *bodies) own(u *protocol.Update) {
	b.keep(u.Digest, u.Body)
	b.newest(wanted(&u.Announce))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known.Add(keyOf(&u.Announce), true)
}

// claim reports whether the announcement is news, and if so reserves it: until
// it is settled, others who bring it are not listened to.
func (b *bodies) claim(a *protocol.Announce) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known.Contains(keyOf(a)) {
		return false
	}
	b.known.Add(keyOf(a), false)
	return true
}

// settle says how a claim ended. After a failure it is news again.
func (b *bodies) settle(a *protocol.Announce, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.known.Add(keyOf(a), true)
	} else {
		b.known.Remove(keyOf(a))
	}
}

var (
	errBusy  = errors.New("p2p: too much news from one peer")
	errNone  = errors.New("p2p: the peer does not have the body")
	errWrong = errors.New("p2p: not the body that was announced")
	errSize  = errors.New("p2p: not of the size that was announced") // by its author, or by who has it
	errRelay = errors.New("p2p: bodies do not go through relays")
)

// fetch gets a body that a verified head promises: from us, from the peer that brought the news, who must have had it to pass it on, from the
// author, or from one other member.
func (b *bodies) fetch(ctx context.Context, w want, from peer.ID) ([]byte, error) {
	if body, ok := b.get(w.digest); ok && len(body) == w.size {
		b.newest(w)
		return body, nil
	}
	if w.size == 0 {
		if protocol.Sum(nil) != w.digest {
			return nil, errWrong
		}
		return nil, nil
	}
	done, err := b.wait(ctx, from)
	if err != nil {
		return nil, err
	}
	defer done()
	body, err := b.gather(ctx, w, from)
	if err != nil {
		b.counts.failed.Add(1)
		return nil, err
	}
	b.counts.fetched.Add(1)
	b.keep(w.digest, body)
	b.newest(w)
	return body, nil
}

// told gets the body of an update of which one peer told us, as an answer to a question. Other than news it may be what we had before.
func (b *bodies) told(ctx context.Context, a *protocol.Announce, from peer.ID) (*protocol.Update, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	b.mu.Lock()
	here, known := b.known.Get(keyOf(a))
	if !known {
		b.known.Add(keyOf(a), false)
	}
	b.mu.Unlock()
	if known && !here {
		return nil, errBusy // it is being fetched, and will be heard then
	}
	body, err := b.fetch(ctx, wanted(a), from)
	if !known {
		b.settle(a, err == nil)
	}
	return &protocol.Update{Announce: *a, Body: body}, err
}

// wait returns when there is a transfer to spare for news from the peer.
func (b *bodies) wait(ctx context.Context, from peer.ID) (done func(), err error) {
	t := b.enter(from)
	if t == nil {
		return nil, errBusy
	}
	select {
	case t.at <- struct{}{}:
	case <-ctx.Done():
		b.leave(from, t)
		return nil, ctx.Err()
	}
	select {
	case b.fetching <- struct{}{}:
	case <-ctx.Done():
		<-t.at
		b.leave(from, t)
		return nil, ctx.Err()
	}
	return func() {
		<-b.fetching
		<-t.at
		b.leave(from, t)
	}, nil
}

func (b *bodies) enter(from peer.ID) *turn {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.turns[from]
	if t == nil {
		t = &turn{at: make(chan struct{}, fetchPerPeer)}
		b.turns[from] = t
	}
	if t.users >= fetchWaiting {
		return nil
	}
	t.users++
	return t
}

func (b *bodies) leave(from peer.ID, t *turn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(b.turns, from)
	}
}

// providers are the peers to ask, in order, none twice.
func (b *bodies) providers(by protocol.PeerID, from peer.ID) []peer.ID {
	ids := []peer.ID{from}
	add := func(id peer.ID) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	others := b.members.all()
	if author, err := peer.Decode(string(by)); err == nil && b.members.has(author) {
		add(author)
	}
	for range others { // one or two by chance, to make up the number
		if len(ids) == fetchFrom {
			break
		}
		add(others[rand.IntN(len(others))])
	}
	return b.directFirst(ids)
}

// open opens a stream for a body. A peer that is only relayed gets a moment to become connected directly.
func (b *bodies) open(ctx context.Context, id peer.ID) (network.Stream, error) {
	s, err := b.host.NewStream(network.WithDialPeerTimeout(ctx, punchTime), id, b.protos...)
	switch {
	case err != nil && connected(b.host, id) && !direct(b.host, id):
		return nil, errRelay
	case err != nil:
		return nil, err
	case relayedConn(s.Conn()):
		s.Reset()
		return nil, errRelay
	}
	return s, nil
}

// directFirst puts those peers last whom only a relay leads to, and keeps the order otherwise.
func (b *bodies) directFirst(ids []peer.ID) []peer.ID {
	relayed := make(map[peer.ID]int)
	for _, id := range ids {
		if connected(b.host, id) && !direct(b.host, id) {
			relayed[id] = 1
		}
	}
	slices.SortStableFunc(ids, func(x, y peer.ID) int { return cmp.Compare(relayed[x], relayed[y]) })
	return ids
}
