package learning

import (
	"math"
	"slices"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
)

// What a skill learns counts once it has stood the test (learning.md 6.6 d). Of every few chunks one is first
// predicted by the base alone as well, before anything of it was learnt: what that would have cost, less
// what it did cost, is the skill's worth. Weights that were worth something over several trials are kept as those
// that stood. A skill that turns out to do harm is undone, back to the weights that stood last or to none, and from
// then on it learns at half its rate: one that is too high ends at one that is not.
//
// A test on what was learnt already would not do: a rate a hundred times too high passes it by heart and
// makes everything else twice as surprising.
const (
	trialChunks = 8   // chunks of which one is a trial
	trialShare  = 0.1 // what one trial counts in the worth
	trialsDue   = 8   // trials before weights stand, and before a harm that is not gross counts: a few chunks say little
	slight      = 5   // times Config.Harm is a harm that counts then, ...
	gross       = 30  // ... and so many times it counts at once
	slowest     = 1. / 1024
	quicken     = 1.01 // what a trial that was passed brings back of the rate
)

// A probation is how a skill of our own stands its tests.
type probation struct {
	Worth  float64 // nats an event, an average over trials
	Trials int     // since the weights were last put back
	Chunks int     // since the last of them
	Pace   float64 // what is left of the rate
	Undone int     // how often it was undone
	Stands bool    // whether the last trial was passed

	stood []float32 // the bank's weights when it last stood; nil if it never did
}

// trial predicts n pending events with the base alone and returns their surprise, if they are to be a
// trial of that skill.
func (l *Learner) trial(pen, n int) (without float64, ok bool) {
	if pen < 0 || l.cfg.Untested {
		return 0, false
	}
	t := &l.skills[pen].test
	if t.Chunks++; t.Chunks < trialChunks {
		return 0, false
	}
	t.Chunks = 0
	l.aside.CopyFrom(l.state)
	l.base.Forward(l.aside, l.pending[:n], &l.alone)
	return gradient.CrossEntropy(l.gradients(n), l.alone.Logits, l.pending[1:], 1), true
}

// verdict is what a trial came to: what n events would have cost without the skill, and what they cost with it. It
// reports whether the skill stands as it is.
func (l *Learner) verdict(pen int, without, with float64, n int) bool {
	s := l.skills[pen]
	t := &s.test
	t.Trials++
	t.Stands = false
	gain := min((without-with)/float64(n), slight*l.cfg.Harm) // what was good for long does not outweigh what is bad now
	open := l.open[pen]
	mute := len(open) > 0 && slices.Min(open) > 0 && !l.spoke(pen) // some section always fires where keys are sound
	if !(gain > -math.MaxFloat32) || mute {
		gain = -gross
	}
	t.Worth += float64(trialShare * (gain - t.Worth))
	switch {
	case t.Worth < -gross*l.cfg.Harm, t.Worth < -slight*l.cfg.Harm && t.Trials >= trialsDue:
		l.undo(s)
		return false
	case t.Worth >= l.cfg.Harm*float64(min(t.Undone, 1)) && t.Trials >= trialsDue*(1+t.Undone): // who did harm has to show some worth, and for longer
		t.stood = append(t.stood[:0], s.bank.Weights...)
		t.Pace = min(1, t.Pace*quicken)
		t.Stands = true
	}
	return true
}

// undo puts back the weights that stood last, or begins anew where none ever did.
func (l *Learner) undo(s *Skill) {
	t := &s.test
	if t.stood != nil {
		copy(s.bank.Weights, t.stood)
	} else {
		clear(s.bank.Weights)
		seed(s.bank, l.base.Config, l.Fingerprint())
	}
	clear(s.opt.V)
	clear(s.opt.Age)
	s.mean = average{} // what did harm is not averaged over
	t.Worth, t.Trials = 0, 0
	t.Pace = max(t.Pace/2, slowest)
	t.Undone++
	l.judged = false
}

// shown is a skill as it is shown to others than the stream that it learns from, behind its gate: the average of its
// weights, or the last of them if asked for; one that was undone and has not stood since is what it was when it last
// stood, and shut if it never did.
func (s *Skill) shown(c model.Config, last bool) *model.Bank {
	if s.rest != nil {
		return s.shownResting(last)
	}
	b := *s.bank
	switch t := &s.test; {
	case t.Undone == 0 || t.Stands:
		if !last {
			b = *s.mean.of(s.bank)
		}
	case t.stood == nil:
		b.Gate = model.Gate{}
	default:
		b = *s.bank.Clone(c)
		copy(b.Weights, t.stood)
	}
	b.Gate.Force = false
	return &b
}

// heal begins a thought anew that has come to numbers which are not finite: they would stay in it for ever, and no
// snapshot with them is read.
func heal(s *model.State) {
	if !s.Finite() {
		s.Reset()
	}
}
