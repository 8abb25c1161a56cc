package learning

import (
	"hash/fnv"
	"math/rand/v2"

	"github.com/yanmesh/yan/model"
)

// A skill that the owner named may be given to others, and what he said besides may not. So of a named skill nothing
// depends on anything but the base and what was said under its name: neither the weights, which would follow what
// other skills say, nor the samples, which would hold what was said just before, nor what is drawn by chance or how
// often a line is rehearsed. Two devices that heard the same under a name give away the same bytes, whatever else
// each of them heard.

// apart begins the stream of what is said under a name.
func (l *Learner) apart() {
	if l.focus != "" {
		l.state.Reset()
		l.live.Reset()
		l.pending, l.said, l.logits, l.counted = l.pending[:0], l.said[:0], nil, 0
		l.beginUtterance()
	}
	l.view()
}

// heardBy is a skill's bank as it takes part in the owner's stream: while something is said under a name, no other
// skill speaks.
func (l *Learner) heardBy(s *Skill) *model.Bank {
	if l.focus == "" || s.Own() && s.Name == l.focus {
		return s.bank
	}
	b := *s.bank
	b.Gate = model.Gate{}
	return &b
}

// trusted is how much rehearsal has proved to be worth in the stream that goes on now.
func (l *Learner) trusted() *float64 {
	if l.focus != "" {
		if s := l.Skill("", l.focus); s != nil {
			return &s.trust
		}
	}
	return &l.trust
}

// chance is where a skill's luck comes from: a named one's n-th draw depends on its name alone.
func (l *Learner) chance(name string, n uint64) *rand.Rand {
	if reserved(name) {
		return rand.New(l.rng)
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(l.cfg.Seed^h.Sum64(), n))
}
