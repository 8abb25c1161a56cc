package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	serveAtOnce  = 16              // transfers from us
	fetchFrom    = 3               // peers that are asked for one body
	slowest      = 32 << 10        // bytes a second; a slower peer is given up
	fetchTime    = 2 * time.Minute // for one body, from all of them
)

// bodies keeps the bodies of updates that went through here lately, so that
// whoever hears of an update from us can fetch it from us, and fetches those
// that we hear of. A body is asked for by its digest and is believed when it
// has that digest: it does not matter who had it.
type bodies struct {
	host    host.Host
	proto   libp2p.ID
	members *members
	fault   func(peer.ID, error)

	counts   bodyCounts
	fetching chan struct{} // one for each transfer to us
	serving  chan struct{} // one for each transfer from us

	mu    sync.Mutex // guards what follows; never held over a channel or a stream
	kept  *simplelru.LRU[protocol.Digest, []byte]
	bytes int                           // in kept
	known *simplelru.LRU[headKey, bool] // true once the body is here, false while it is fetched
	turns map[peer.ID]*turn             // those whose news is being fetched
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

func newBodies(h host.Host, proto libp2p.ID, m *members, fault func(peer.ID, error)) *bodies {
	b := &bodies{
		host: h, proto: proto, members: m, fault: fault,
		fetching: make(chan struct{}, fetchAtOnce),
		serving:  make(chan struct{}, serveAtOnce),
		turns:    make(map[peer.ID]*turn),
	}
	b.kept, _ = simplelru.NewLRU(knownHeads, func(_ protocol.Digest, body []byte) { b.bytes -= len(body) })
	b.known, _ = simplelru.NewLRU[headKey, bool](knownHeads, nil) // the only error is a size of zero
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

// own keeps the body of an update that we publish, and marks it as known.
func (b *bodies) own(u *protocol.Update) {
	b.keep(u.Digest, u.Body)
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
)

// fetch gets the body that a verified announcement promises: from us, from the
// peer that brought the news, who must have had it to pass it on, from the
// author, or from one other member.
func (b *bodies) fetch(ctx context.Context, a *protocol.Announce, from peer.ID) ([]byte, error) {
	if body, ok := b.get(a.Digest); ok && len(body) == int(a.Size) {
		return body, nil
	}
	if a.Size == 0 {
		if protocol.Sum(nil) != a.Digest {
			return nil, errWrong
		}
		return nil, nil
	}
	done, err := b.wait(ctx, from)
	if err != nil {
		return nil, err
	}
	defer done()
	err = errNone
	for _, id := range b.providers(a, from) {
		body, ferr := b.fetchFrom(ctx, a, id)
		if ferr == nil {
			b.counts.fetched.Add(1)
			b.keep(a.Digest, body)
			return body, nil
		}
		if err = fmt.Errorf("from %s: %w", id, ferr); ctx.Err() != nil {
			break
		}
	}
	b.counts.failed.Add(1)
	return nil, err
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
func (b *bodies) providers(a *protocol.Announce, from peer.ID) []peer.ID {
	ids := []peer.ID{from}
	add := func(id peer.ID) {
		for _, has := range ids {
			if id == has {
				return
			}
		}
		ids = append(ids, id)
	}
	others := b.members.all()
	if author, err := peer.Decode(string(a.ID.Author)); err == nil && b.members.has(author) {
		add(author)
	}
	for range others { // one or two by chance, to make up the number
		if len(ids) == fetchFrom {
			break
		}
		add(others[rand.IntN(len(others))])
	}
	return ids
}

// fetchFrom asks one peer: the digest goes there, the size in four bytes and
// the body come back. A size of zero means that it is not there.
func (b *bodies) fetchFrom(ctx context.Context, a *protocol.Announce, id peer.ID) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stall+time.Duration(a.Size)*time.Second/slowest)
	defer cancel()
	s, err := b.host.NewStream(ctx, id, b.proto)
	if err != nil {
		return nil, err
	}
	defer s.Reset() // does nothing once all is read and both sides are closed
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := writeSteadily(s, a.Digest[:], stall); err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	in := &steady{Stream: s, wait: stall}
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	switch n := binary.BigEndian.Uint32(head[:]); n {
	case 0:
		return nil, errNone
	case a.Size:
	default:
		b.fault(id, errWrong)
		return nil, errWrong
	}
	body, err := readBytes(in, int(a.Size))
	if err != nil {
		return nil, err
	}
	if protocol.Sum(body) != a.Digest {
		b.fault(id, errWrong)
		return nil, errWrong
	}
	return body, s.Close()
}

// serve answers one peer's request for a body.
func (b *bodies) serve(ctx context.Context, s network.Stream) {
	if err := b.answer(ctx, s); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func (b *bodies) answer(ctx context.Context, s network.Stream) error {
	var d protocol.Digest
	if _, err := io.ReadFull(&steady{Stream: s, wait: stall}, d[:]); err != nil {
		return err
	}
	body, _ := b.get(d)
	if len(body) == 0 {
		return writeSteadily(s, make([]byte, 4), stall)
	}
	select {
	case b.serving <- struct{}{}:
		defer func() { <-b.serving }()
	case <-time.After(stall / 2):
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := writeSteadily(s, binary.BigEndian.AppendUint32(nil, uint32(len(body))), stall); err != nil {
		return err
	}
	if err := writeSteadily(s, body, stall); err != nil {
		return err
	}
	b.counts.served.Add(1)
	return nil
}
