package mesh

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// A Term is the time of one central: the minutes since the beginning of Unix time, by one's own clock. Terms come
// without anyone's doing; there is no election, no lease and no quorum.
type Term uint64

const (
	// TermLength is how long a term is.
	TermLength = time.Minute

	// TakeOver is how long each rank waits for the one before it.
	TakeOver = 10 * time.Second

	// Ranks is how many peers may act in a term, one after the other. If none does, the term passes without.
	Ranks = 4

	// Waiting is how many terms of waiting count, at most. It bounds what one who never acts can gather.
	Waiting = 256
)

// TermAt returns the term that t is in.
func TermAt(t time.Time) Term { return Term(max(t.Unix(), 0)) / Term(TermLength/time.Second) }

// Start returns when the term begins.
func (t Term) Start() time.Time { return time.Unix(int64(t)*int64(TermLength/time.Second), 0).UTC() }

// Due returns when it is the turn of a rank, if nobody of a lower one has acted.
func (t Term) Due(rank int) time.Time { return t.Start().Add(time.Duration(rank) * TakeOver) }

// A Candidate is a peer that may become central.
type Candidate struct {
	ID     protocol.PeerID
	Weight uint8  // what share of the turns it takes, beside the others'; 0 takes none
	Waited uint64 // terms since its last turn
}

// weight is log₂ of what a candidate draws with, with logBits bits behind the point. It grows with the fourth power of the terms
// waited. So who had a turn lately hardly gets the next, and turns are nearer to equal than independent draws would have
// them: 1,000 terms among 16 that differ by 30 % if drawn alone differ by a few. A candidate of twice the weight waits twice as
// fast, which makes its turns twice as many.
func (c Candidate) weight() int64 {
	const power = 4
	w := uint64(c.Weight)
	return int64(log2(w) + power*log2(w*min(max(c.Waited, 1), Waiting)))
}

// TurnSeed returns where the chance of a term comes from: before is the digest of the newest alignment that was known two
// terms earlier. Whoever joined before that could not know it, so no name can be made that wins a given term.
func TurnSeed(model protocol.Digest, t Term, before protocol.Digest) protocol.Digest {
	h := sha256.New()
	h.Write([]byte("yan turn v1\x00"))
	h.Write(model[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(t)))
	h.Write(before[:])
	return protocol.Digest(h.Sum(nil))
}

// Order returns the candidates whose turn it is, by rank, at most Ranks of them. It is weighted rendezvous hashing
// (Thaler and Ravishankar 1998; the logarithm as in Schindelhain and Schomaker 2005): the least of -ln(H(seed, ID))/weight
// is first, so each is first with a chance in proportion to its weight, and one that comes or goes moves nobody past
// another. It is done in whole numbers, so that all devices agree.
func Order(seed protocol.Digest, cs []Candidate) []protocol.PeerID {
	type scored struct {
		id    protocol.PeerID
		score int64 // log₂ of the quotient
	}
	var list []scored
	for _, c := range cs {
		if c.Weight > 0 {
			list = append(list, scored{c.ID, int64(log2(drawn(seed, c.ID))) - c.weight()})
		}
	}
	slices.SortFunc(list, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.id, b.id))
	})
	var first []protocol.PeerID
	for _, s := range list[:min(len(list), Ranks)] {
		first = append(first, s.id)
	}
	return first
}

// drawn returns -log₂ of what the seed draws for a peer, a number in (0, 1), with logBits bits behind the point.
func drawn(seed protocol.Digest, id protocol.PeerID) uint64 {
	h := sha256.New()
	h.Write(seed[:])
	h.Write([]byte(id))
	n := binary.BigEndian.Uint64(h.Sum(nil))
	return 64<<logBits - log2(max(n, 1))
}

const logBits = 40

// log2 returns the logarithm of n, which is not zero, with logBits bits behind the point, rounded down: each squaring
// of the mantissa gives one more bit.
func log2(n uint64) uint64 {
	whole := bits.Len64(n) - 1
	m := n << (63 - whole) // in [1, 2), with 63 bits behind the point
	log := uint64(whole)
	for range logBits {
		hi, lo := bits.Mul64(m, m)
		log <<= 1
		if hi>>63 == 1 {
			log |= 1
			m = hi
		} else {
			m = hi<<1 | lo>>63
		}
	}
	return log
}
