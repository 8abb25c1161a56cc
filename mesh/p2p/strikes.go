package p2p

import (
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	maxStrikes = 3                // faults within strikeTime that end our patience
	strikeTime = 10 * time.Minute // how long a fault counts, and how long we then ignore the peer
	maxStruck  = 1024             // peers whose faults we remember
)

// strikes counts the faults of peers: frames that do not decode, signatures and
// bodies that are false. A peer with three of them is ignored for a while: it
// is disconnected, not dialled, not let in, and what it wrote is not heard when
// others pass it on. An honest peer commits none; one that runs another version
// may, and comes back.
//
// It is the host's connection gater and gossipsub's blacklist.
type strikes struct {
	log  *slog.Logger
	drop func(peer.ID) // disconnects; set before the first fault

	mu      sync.Mutex
	peer    map[peer.ID]*record
	reasons map[string]uint64 // how many faults there were, by what they were
}

type record struct {
	faults int
	last   time.Time
}

func (r *record) ignored(now time.Time) bool {
	return r.faults >= maxStrikes && now.Sub(r.last) < strikeTime
}

func newStrikes(log *slog.Logger) *strikes {
	s := &strikes{log: log, peer: make(map[peer.ID]*record), reasons: map[string]uint64{otherBlame: 0}}
	for _, b := range blames {
		s.reasons[b.name] = 0
	}
	return s
}

// fault counts one fault of the peer.
func (s *strikes) fault(id peer.ID, why error) {
	if !s.count(id, blame(why), time.Now()) {
		s.log.Debug("p2p: a peer's fault", "peer", id, "why", why)
		return
	}
	s.log.Warn("p2p: ignoring a peer", "peer", id, "for", strikeTime, "why", why)
	if s.drop != nil {
		s.drop(id)
	}
}

// count reports whether this fault is the one that exhausts our patience.
func (s *strikes) count(id peer.ID, what string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reasons[what]++
	r := s.peer[id]
	if r == nil {
		s.forget(now)
		r = new(record)
		s.peer[id] = r
	} else if now.Sub(r.last) >= strikeTime {
		r.faults = 0
	}
	r.faults++
	r.last = now
	return r.faults == maxStrikes
}

// forget makes room for another record: of those that no longer count, or of
// any when all do.
func (s *strikes) forget(now time.Time) {
	if len(s.peer) < maxStruck {
		return
	}
	var oldest peer.ID
	for id, r := range s.peer {
		if now.Sub(r.last) >= strikeTime {
			delete(s.peer, id)
		} else if oldest == "" || r.last.Before(s.peer[oldest].last) {
			oldest = id
		}
	}
	if len(s.peer) >= maxStruck {
		delete(s.peer, oldest)
	}
}

// Contains reports whether the peer is being ignored.
func (s *strikes) Contains(id peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.peer[id]
	return r != nil && r.ignored(time.Now())
}

// stats returns how many faults there were, and how many peers are ignored now.
func (s *strikes) stats(now time.Time) (faults []Count, ignored int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.peer {
		if r.ignored(now) {
			ignored++
		}
	}
	return counts(s.reasons), ignored
}

// ignoring returns the peers that are ignored now.
func (s *strikes) ignoring(now time.Time) (ids []peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.peer {
		if r.ignored(now) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Add is gossipsub's way to ignore a peer for ever, which nobody asks for.
func (s *strikes) Add(peer.ID) bool { return false }

var _ connmgr.ConnectionGater = (*strikes)(nil)

func (s *strikes) InterceptPeerDial(id peer.ID) bool { return !s.Contains(id) }

func (s *strikes) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }

func (s *strikes) InterceptAccept(network.ConnMultiaddrs) bool { return true }

func (s *strikes) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return !s.Contains(id)
}

func (s *strikes) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
