package p2p

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// A PeerBook keeps addresses of peers from one run to the next. Each is a
// multiaddr that ends in /p2p/ID; a peer may have several. Save replaces what
// was kept.
type PeerBook interface {
	Load() []string
	Save([]string) error
}

const (
	bookPeers  = 256 // peers remembered
	savedPeers = 64  // peers of them that are saved
	peerAddrs  = 8   // addresses of one peer
)

// book is who we know and where they were last: the peers we were asked to
// join through, and those that were members while we were connected to them.
// Hearsay does not get in, so no stranger fills it with names.
type book struct {
	mu    sync.Mutex
	known map[peer.ID]*entry
}

type entry struct {
	given []ma.Multiaddr // where the owner asked to join through it; such a peer is never forgotten
	addrs []ma.Multiaddr // where it was last
	seen  time.Time      // when it was last a member; zero: never
	fails int            // attempts to reach it that failed since
}

func newBook() *book { return &book{known: make(map[peer.ID]*entry)} }

// saw notes that the peer is a member and where it is.
func (b *book) saw(id peer.ID, addrs []ma.Multiaddr, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.enter(id)
	e.seen, e.fails = now, 0
	if addrs = dialable(addrs); len(addrs) > 0 {
		e.addrs = addrs
	}
}

// ask notes that the owner wants to join through the peer.
func (b *book) ask(info peer.AddrInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.enter(info.ID)
	e.given = append(e.given, info.Addrs...)
}

// enter returns the peer's entry, a new one if need be, in the place of whoever
// was not seen for longest.
func (b *book) enter(id peer.ID) *entry {
	if e := b.known[id]; e != nil {
		return e
	}
	if len(b.known) >= bookPeers {
		var oldest peer.ID
		for id, e := range b.known {
			if e.given == nil && (oldest == "" || older(id, e, oldest, b.known[oldest])) {
				oldest = id
			}
		}
		delete(b.known, oldest)
	}
	e := new(entry)
	b.known[id] = e
	return e
}

func older(a peer.ID, x *entry, b peer.ID, y *entry) bool {
	return cmp.Or(x.seen.Compare(y.seen), cmp.Compare(a, b)) < 0
}

// met reports whether the peer was a member once.
func (b *book) met(id peer.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.known[id]
	return e != nil && !e.seen.IsZero()
}

// failed notes an attempt that did not reach the peer. It returns how many did
// not since it was last seen, and whether the owner asked for it.
func (b *book) failed(id peer.ID) (fails int, asked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.known[id]
	if e == nil {
		return 0, false
	}
	e.fails++
	return e.fails, e.given != nil
}

// absent picks a peer that we know and miss, of those tried least one by chance.
func (b *book) absent(here func(peer.ID) bool) (peer.AddrInfo, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var least []peer.ID
	for id, e := range b.known {
		if here(id) || len(e.given)+len(e.addrs) == 0 {
			continue
		}
		if len(least) > 0 && e.fails > b.known[least[0]].fails {
			continue
		}
		if len(least) > 0 && e.fails < b.known[least[0]].fails {
			least = least[:0]
		}
		least = append(least, id)
	}
	if len(least) == 0 {
		return peer.AddrInfo{}, false
	}
	id := least[rand.IntN(len(least))]
	return peer.AddrInfo{ID: id, Addrs: slices.Concat(b.known[id].given, b.known[id].addrs)}, true
}

// load takes in what an earlier run saved, as seen before anyone we meet in
// this one. It returns the lines that are no addresses.
func (b *book) load(lines []string, start time.Time) (bad []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, line := range lines {
		info, err := peer.AddrInfoFromString(line)
		if err != nil {
			bad = append(bad, line)
			continue
		}
		e := b.enter(info.ID)
		if e.seen.IsZero() {
			e.seen = start.Add(-time.Duration(i+1) * time.Second)
		}
		e.addrs = dialable(append(e.addrs, info.Addrs...))
	}
	return bad
}

// lines is what to save: the peers seen last come first.
func (b *book) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []peer.ID
	for id, e := range b.known {
		if !e.seen.IsZero() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(x, y peer.ID) int {
		return cmp.Or(b.known[y].seen.Compare(b.known[x].seen), cmp.Compare(x, y))
	})
	var lines []string
	for _, id := range ids[:min(len(ids), savedPeers)] {
		for _, a := range b.known[id].addrs {
			lines = append(lines, withID(a, id))
		}
	}
	return lines
}

// withID is the full address of a peer, one that others can join through.
func withID(a ma.Multiaddr, id peer.ID) string { return a.String() + "/p2p/" + id.String() }

// dialable returns those addresses that we could reach ourselves, at most
// peerAddrs of them: an IP address or a name, and QUIC or TCP on it, by itself or with a relay there.
func dialable(addrs []ma.Multiaddr) []ma.Multiaddr {
	var good []ma.Multiaddr
	for _, a := range addrs {
		if len(good) < peerAddrs && carries(a) {
			good = append(good, a)
		}
	}
	return good
}

func carries(a ma.Multiaddr) bool {
	if n := len(a); n > 2 && a[n-1].Code() == ma.P_CIRCUIT && a[n-2].Code() == ma.P_P2P {
		a = a[:n-2]
	}
	if len(a) < 2 {
		return false
	}
	switch a[0].Code() {
	case ma.P_IP4, ma.P_IP6, ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
	default:
		return false
	}
	switch {
	case len(a) == 2:
		return a[1].Code() == ma.P_TCP
	case len(a) == 3:
		return a[1].Code() == ma.P_UDP && a[2].Code() == ma.P_QUIC_V1
	}
	return false
}
