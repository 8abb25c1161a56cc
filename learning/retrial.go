package learning

import (
	"slices"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// What a peer taught is tried when it comes (see Fold), on what the owner said lately. Where its gate is shut there, nothing was tried. So the
// trial goes on with the owner's stream: of the chunks in which such a skill opens, one now and then is thought of once more without it. What
// that would have cost, less what it did cost, is the skill's worth, as with skills of our own; one that proves to do harm is removed,
// and [Learner.TakeFailures] tells whose it was.
//
// While something is said under a name no other skill speaks. There the chunk is thought of once more with the foreign one, behind its gate.

const (
	// retryEvery bounds the cost: at most one event in so many is thought of once more.
	retryEvery = 8
	// retriesDue is how many trials a gross harm needs to count: one chunk may be of what no skill knows.
	retriesDue = 2
	// wholeTrial is how many events make a trial that counts in full: a few say little.
	wholeTrial = 32
	// settledIn is how far a stream has to have come: at first no evidence tells where it is, and gates open by mistake.
	settledIn = 256
)

// A Failure is a peer's skill that was taken in, did harm since, and was removed.
type Failure struct {
	Author, Name string
	Gain         float64 // nats an event, an average over its trials: negative
}

// Merged reports whether the skill was made of what many taught, so that nobody in particular is to blame.
func (f Failure) Merged() bool { return ofMany(f.Author) }

// TakeFailures returns what failed since it was called last, in the order in which it failed. They are in no snapshot: whoever
// observes takes them before he writes one.
func (l *Learner) TakeFailures() []Failure {
	f := l.failures
	l.failures = nil
	return f
}

// remember keeps the thought that the coming chunk begins with, if there is anything to try in it.
func (l *Learner) remember() {
	if slices.ContainsFunc(l.skills, func(s *Skill) bool { return !s.Own() }) {
		if l.past == nil {
			l.past = l.base.NewState()
		}
		l.past.CopyFrom(l.state)
	}
}

// retry tries one of the foreign skills that open in the chunk of n events that was just predicted, before anything of it is learnt. It
// returns the skill if it is to go.
func (l *Learner) retry(n int) *Skill {
	l.spare = min(l.spare+n, l.mostSpare())
	if l.spare < retryEvery*n {
		return nil
	}
	i := l.suspect(n)
	if i < 0 || l.past.Events < settledIn {
		return nil
	}
	l.spare -= retryEvery * n
	s := l.skills[i]
	banks := slices.Clone(l.model.Banks)
	var without, with float64
	if l.focus == "" {
		without, with = l.again(l.base.WithBanks(slices.Delete(banks, i, i+1)...), n), l.cost(&l.tape, n)
	} else {
		banks[i] = s.bank
		without, with = l.cost(&l.tape, n), l.again(l.base.WithBanks(banks...), n)
	}
	if l.standsTrial(s, (without-with)/float64(n), float64(n)/wholeTrial) {
		return nil
	}
	return s
}

// mostSpare is how many events may be saved up to pay trials with: as many as that of one chunk takes.
func (l *Learner) mostSpare() int { return retryEvery * l.cfg.Chunk }

// suspect is the place of the foreign skill to be tried: of those that opened in the chunk and whose weights are there, that which was tried least often; −1 for none.
func (l *Learner) suspect(n int) int {
	least := -1
	for i, s := range l.skills {
		if !s.Own() && s.Lost() == nil && (least < 0 || s.test.Trials < l.skills[least].test.Trials) && l.opened(i, n) {
			least = i
		}
	}
	return least
}

// opened reports whether the gate of skill i opened in the chunk, or would have if other skills had been heard.
func (l *Learner) opened(i, n int) bool {
	if l.focus == "" {
		return slices.ContainsFunc(l.open[i], func(v float32) bool { return v > 0 })
	}
	dim := l.base.Config.ContextSize()
	for e := range slices.Chunk(l.tape.Context[:n*dim], dim) {
		if l.skills[i].bank.Gate.Opens(e) {
			return true
		}
	}
	return false
}

// again is what the chunk costs another mind that begins it with the same thought.
func (l *Learner) again(m *model.Model, n int) float64 {
	l.aside.CopyFrom(l.past)
	m.Forward(l.aside, l.pending[:n], &l.alone)
	l.retried += uint64(n)
	return l.cost(&l.alone, n)
}

// cost is the surprise, in nats, of the n pending events that a tape predicted.
func (l *Learner) cost(t *model.Tape, n int) (nats float64) {
	for i := range n {
		nats += surprise(t.Logits[i*sense.Symbols:(i+1)*sense.Symbols], l.pending[i+1])
	}
	return nats
}

// standsTrial notes what a trial came to, gain nats an event over so much of a whole trial, and reports whether the skill may stay. A
// foreign skill learns nothing here, so that at first all trials count alike, and one of no worth besides.
func (l *Learner) standsTrial(s *Skill, gain, weight float64) bool {
	t := &s.test
	t.Trials++
	share := max(trialShare, 1/float64(t.Trials+1)) * min(weight, 1)
	t.Worth += float64(share * (min(gain, gross*l.cfg.Harm) - t.Worth))
	return !(t.Worth < -gross*l.cfg.Harm && t.Trials >= retriesDue || t.Worth < -slight*l.cfg.Harm && t.Trials >= trialsDue)
}

// expel removes a skill that failed, for good: what an earlier version was worth nobody knows.
func (l *Learner) expel(s *Skill) {
	if s == nil {
		return
	}
	l.failures = append(l.failures, Failure{s.Author, s.Name, s.test.Worth})
	l.replace(nil, func(o *Skill) bool { return o == s })
}

// succeed has a new version inherit what speaks against the one before: else whoever publishes often enough is never tried.
func (s *Skill) succeed(old *Skill) {
	if old != nil {
		s.test.Worth, s.test.Trials = min(old.test.Worth, 0), old.test.Trials
	}
}
