package learning

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/kernel/portable"
)

// This file says when a mind grows, what is split and what retires. How it is done stands in grow_base.go for a base in
// training, in learner.go for the skills of a device, and in grow_rest.go for skills that rest.

// Growth says how a base grows while it is trained: when what it reads goes on to surprise it although it has stopped
// getting better, every layer gets sections more, split off from those that are surprised most. How many sections an
// event activates stays the same, so that the active share falls. Zero fields take the values in brackets.
type Growth struct {
	From  int     `json:"from,omitempty"`  // sections that a layer begins with; it grows up to Model.Sections [no growth]
	Share float64 `json:"share,omitempty"` // what one growth adds, of what is there [0.5]
	Span  int64   `json:"span,omitempty"`  // bytes of a stretch; surprise is compared between two of them [32768]
	Fall  float64 `json:"fall,omitempty"`  // surprise persists where it fell by less than this share in a stretch [0.04]
	Known float64 `json:"known,omitempty"` // bits a byte below which nothing is surprising [0.1]
	Empty bool    `json:"empty,omitempty"` // what is split off begins with W2 = 0 instead of its parent's
}

// surprise notes what total bytes have cost, and grows the model if it is time to.
func (t *Trainer) surprise(nats float64, total int) {
	g := &t.growing
	t.carry(total)
	if t.asleep() {
		return // what was added last has not learnt yet
	}
	g.Nats += nats
	g.Bytes += int64(total)
	if g.Bytes < t.cfg.Growth.Span {
		return
	}
	now := g.Nats / float64(g.Bytes)
	g.Nats, g.Bytes = 0, 0
	persists := g.Before > 0 && now > (1-t.cfg.Growth.Fall)*g.Before && now > t.cfg.Growth.Known*math.Ln2
	g.Before = now
	if add := t.room(); persists && add > 0 {
		t.grow(add)
		g.Before = 0
	}
}

// room is how many sections the next growth adds to each layer.
func (t *Trainer) room() int {
	have := t.model.Config.Sections
	add := int(math.Ceil(t.cfg.Growth.Share*float64(have)/unitGrowth)) * unitGrowth
	return min(add, have, t.cfg.Model.Sections-have)
}

// heaviest returns the n sections that carry the most surprise, the heaviest first.
func heaviest(load []float64, n int) []int {
	of := make([]int, len(load))
	for s := range of {
		of[s] = s
	}
	slices.SortStableFunc(of, func(a, b int) int {
		switch {
		case load[a] > load[b]:
			return -1
		case load[a] < load[b]:
			return 1
		}
		return 0
	})
	return of[:n]
}

// claim decides which skill is to hold what opens none: where that lasts, a new one is grown, or the most likely one is widened if there
// are as many as there may be. It returns −1 as long as it does not last.
func (l *Learner) claim() int {
	grown := 0
	for _, s := range l.skills {
		if s.Grown() {
			grown++
		}
	}
	if l.closed++; grown > 0 && l.closed < l.cfg.Patience {
		return -1
	}
	l.closed = 0
	if grown < l.cfg.MaxSkills {
		for k := grown + 1; ; k++ {
			name := memory
			if k > 1 {
				name = fmt.Sprintf("%s-%d", memory, k)
			}
			if l.Skill("", name) == nil {
				if l.grow(name) != nil {
					return -1
				}
				return len(l.skills) - 1
			}
		}
	}
	best, likely := -1, math.Inf(-1)
	for i, s := range l.skills {
		if s.Grown() && s.bank.Gate.Own != nil {
			if v := float64(kernel.Dot(s.bank.Gate.Own, l.state.Evidence()) + s.bank.Gate.OwnBias); v > likely {
				best, likely = i, v
			}
		}
	}
	if best >= 0 { // widened: its gate will be solved anew, from samples that include this context
		s := l.skills[best]
		s.until, s.solved = s.Events+uint64(l.cfg.Infancy), 0
	}
	return best
}

// useKeep is what an event leaves of how much a skill was used: half of it is of the last 45,000 events.
const useKeep = 1 - 1./65536

// used notes how far each skill was open in a chunk of n events.
func (l *Learner) used(n int) {
	keep := portable.Pow(useKeep, float64(n))
	for i, s := range l.skills {
		var open float64
		if i < len(l.open) {
			for _, v := range l.open[i] {
				open += float64(v) / float64(n)
			}
		}
		s.use = float64(keep*s.use) + float64((1-keep)*open)
	}
}

// retire puts the skills that were used least to rest until what is left fits Config.Memory. What is open now, what is being learnt and
// what would win nothing stays. An archive that fails is tried again only when another chunk was learnt.
func (l *Learner) retire() {
	if l.cfg.Memory <= 0 || l.cfg.Archive == nil {
		return
	}
	over := l.SkillBytes() - l.cfg.Memory
	if over <= 0 {
		return
	}
	var idle []*Skill
	for i, s := range l.skills {
		busy := s.bank.Gate.Force || s.infant() && s.Own() || i == l.wrote || s.Own() && s.Name == l.focus
		open := i < len(l.open) && slices.ContainsFunc(l.open[i], func(v float32) bool { return v > 0 })
		if !busy && !open && s.Bytes() > 0 {
			idle = append(idle, s)
		}
	}
	slices.SortStableFunc(idle, func(a, b *Skill) int { return cmp.Or(cmp.Compare(a.use, b.use), cmp.Compare(a.Gain, b.Gain)) })
	for _, s := range idle {
		if over <= 0 {
			return
		}
		bytes := s.Bytes()
		if l.putAway(s) != nil {
			return
		}
		over -= bytes
	}
}
