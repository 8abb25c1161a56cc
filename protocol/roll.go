package protocol

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Roll is who is no longer in a swarm, as far as a device knows: for each peer the highest serial that
// was taken back. Adding is a join (commutative, associative, idempotent), so a revocation beats the
// admissions it names in whatever order they are heard, and anyone may pass it on.
//
// It is not safe for concurrent use.
type Roll struct {
	swarm   SwarmID
	revoked []Revocation // sorted by peer
}

// NewRoll returns the roll of a swarm from which nobody was sent away.
func NewRoll(s SwarmID) *Roll { return &Roll{swarm: s} }

// Swarm returns whose roll it is.
func (l *Roll) Swarm() SwarmID { return l.swarm }

// Revoked returns what was taken back, sorted by peer. The caller must not write to it.
func (l *Roll) Revoked() []Revocation { return slices.Clip(l.revoked) }

func (l *Roll) find(id PeerID) (int, bool) {
	return slices.BinarySearchFunc(l.revoked, id, func(r Revocation, id PeerID) int { return cmp.Compare(r.Peer, id) })
}

// Add takes in a revocation and reports whether it says something new. It returns an error unless the
// swarm signed it and there is room.
func (l *Roll) Add(r Revocation) (news bool, err error) {
	if r.Swarm != l.swarm {
		return false, fmt.Errorf("%w: a revocation of %s, where %s is meant", ErrMalformed, r.Swarm, l.swarm)
	}
	i, known := l.find(r.Peer)
	if known && l.revoked[i].Serial >= r.Serial {
		return false, nil
	}
	if !known && len(l.revoked) >= MaxRevoked {
		return false, fmt.Errorf("%w: more than %d revocations", ErrTooLong, MaxRevoked)
	}
	if err := r.Verify(); err != nil {
		return false, err
	}
	old := slices.Clone(l.revoked) // Revoked gave the old one away
	if known {
		old[i] = r
	} else {
		old = slices.Insert(old, i, r)
	}
	l.revoked = old
	return true, nil
}

// Check returns an error, which is ErrNotAdmitted, unless a lets the peer into the swarm at that time.
// What is cheap to see comes before the signature.
func (l *Roll) Check(a *Admission, peer PeerID, now time.Time) error {
	switch {
	case a == nil:
		return fmt.Errorf("%w: no admission was shown", ErrNotAdmitted)
	case a.Swarm != l.swarm:
		return fmt.Errorf("%w: the admission is of %s", ErrNotAdmitted, a.Swarm)
	case a.Peer != peer:
		return fmt.Errorf("%w: the admission is another peer's, %s", ErrNotAdmitted, a.Peer.Short())
	}
	if err := l.Recheck(a, now); err != nil {
		return err
	}
	if err := a.Verify(); err != nil {
		return fmt.Errorf("%w: the admission is forged", ErrNotAdmitted)
	}
	return nil
}

// Recheck is Check for an admission that passed it once: only time and revocations can have changed.
func (l *Roll) Recheck(a *Admission, now time.Time) error {
	if i, ok := l.find(a.Peer); ok && a.Serial <= l.revoked[i].Serial {
		return fmt.Errorf("%w: the admission was revoked", ErrNotAdmitted)
	}
	return a.Current(now)
}
