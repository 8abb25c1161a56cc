package p2p

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/yanmesh/yan/protocol"
)

const (
	lookTime    = 5 * time.Second // how long one peer may take to say what it sees
	lookedAt    = 64              // peers that are asked in one look around
	looksAtOnce = 8               // of them at a time
	showRate    = 4               // looks a second that we give one peer
	showBurst   = 20              // looks that may come at once
)

// looks is how we answer whoever asks what we see: the asker sends a byte, and gets a Look in a frame.
type looks struct {
	proto libp2p.ID
	now   func() time.Time

	mu    sync.Mutex // guards rates
	rates *simplelru.LRU[peer.ID, *pace]
}

func newLooks(proto libp2p.ID) *looks {
	l := &looks{proto: proto, now: time.Now}
	l.rates, _ = simplelru.NewLRU[peer.ID, *pace](speakers, nil) // the only error is a size of zero
	return l
}

// may reports whether the peer may look once more.
func (l *looks) may(id peer.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.rates.Get(id)
	if !ok {
		p = &pace{rate: showRate, burst: showBurst}
		l.rates.Add(id, p)
	}
	return p.allow(time.Now())
}

// show tells a peer what we see.
func (m *Mesh) show(s network.Stream) {
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(lookTime))
	id := s.Conn().RemotePeer()
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil || !m.looks.may(id) {
		s.Reset()
		return
	}
	l := &protocol.Look{Sees: m.members.has(id)}
	for _, id := range m.members.cellmates() {
		if id != m.members.self && len(l.Members) < protocol.MaxSeen {
			l.Members = append(l.Members, protocol.PeerID(id.String()))
		}
	}
	slices.Sort(l.Members)
	l.Time = m.looks.now().UnixMilli()
	b, err := protocol.EncodeLook(l)
	if err != nil {
		s.Reset()
		return
	}
	if err := writeSteadily(s, frameOf(b), lookTime); err != nil {
		s.Reset()
	}
}

// A Sight is what a peer said that it sees.
type Sight struct {
	Peer    protocol.PeerID
	Member  bool              // by our account
	Near    bool              // of another cell
	Why     string            // it did not say, and why; then the rest means nothing
	SeesUs  bool              // we are a member by its account
	Members []protocol.PeerID // of its cell
	Ahead   time.Duration     // how far its clock is ahead of ours
	Within  time.Duration     // how far off that may be
}

// Look asks the members, and peers that are connected without being members, whom they see: at most lookedAt of
// them, those that are connected first. Sorted by name.
func (m *Mesh) Look(ctx context.Context) []Sight {
	links := slices.DeleteFunc(m.Links(), func(l Link) bool { return l.Ignored })
	slices.SortStableFunc(links, func(a, b Link) int { return min(1, len(b.Paths)) - min(1, len(a.Paths)) })
	links = links[:min(len(links), lookedAt)]
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Peer, b.Peer) })
	sights := make([]Sight, len(links))
	slots := make(chan struct{}, looksAtOnce)
	var asking sync.WaitGroup
	for i, l := range links {
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			sights[i] = m.lookThrough(ctx, l)
		})
	}
	asking.Wait()
	return sights
}

// lookThrough asks one peer.
func (m *Mesh) lookThrough(ctx context.Context, l Link) Sight {
	sight := Sight{Peer: l.Peer, Member: l.Member, Near: l.Near}
	look, took, at, err := m.ask(ctx, l.Peer)
	if err != nil {
		sight.Why = plainly(err)
		return sight
	}
	sight.SeesUs, sight.Members = look.Sees, look.Members
	sight.Within = took/2 + time.Millisecond // of which the clock is told
	sight.Ahead = time.UnixMilli(look.Time).Sub(at.Add(-took / 2))
	return sight
}

// ask returns what the peer sees, how long the answer took and when it came.
func (m *Mesh) ask(ctx context.Context, name protocol.PeerID) (_ *protocol.Look, took time.Duration, at time.Time, err error) {
	if !m.tasks.begin() {
		return nil, 0, at, context.Canceled
	}
	defer m.tasks.end()
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "look"), lookTime)
	defer cancel()
	id, err := peer.Decode(string(name))
	if err != nil {
		return nil, 0, at, err
	}
	s, err := m.host.NewStream(ctx, id, m.looks.proto)
	if err != nil {
		return nil, 0, at, err
	}
	defer s.Reset() // does nothing once both sides are closed
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	_ = s.SetDeadline(time.Now().Add(lookTime))
	begun := m.looks.now()
	if _, err := s.Write([]byte{1}); err != nil {
		return nil, 0, at, err
	}
	r := bufio.NewReader(s)
	n, err := readLength(r, protocol.MaxLook)
	if err != nil {
		return nil, 0, at, fmt.Errorf("it does not say whom it sees: %w", err)
	}
	at = m.looks.now()
	b, err := readBytes(r, n)
	if err != nil {
		return nil, 0, at, err
	}
	look, err := protocol.DecodeLook(b)
	return look, at.Sub(begun), at, err
}
