package main

import (
	"context"
	"math"
	"slices"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// A schooling is a way in which a device of ours is taught.
type schooling struct {
	name   string
	memory bool // nobody says what belongs to which lesson
	said   bool // every utterance is ended as one that is meant: it may be rehearsed
	views  []view
}

// A view is how a device that was taught is asked: as it is, or with one bound switched off. Its skills are folded into
// a device that differs in that.
type view struct {
	name     string
	gate     learning.GateConfig
	averaged bool // with the mean of what a skill's weights were, in place of the last
	inTurn   bool // asked in interleaved streams alone
	reads    func(q *question) (predictor, error)
	opens    func(q *question, text []byte) ([][]float64, error) // how far each bank is open before each byte; may be nil
}

// A question is what a view may look at: the base, what was learnt on it, and from what.
type question struct {
	base   *model.Model
	banks  []*model.Bank
	learnt *stream
	old    []byte // of the base's own text
}

var schoolings = []schooling{
	{name: "named", views: []view{
		{name: "ours", reads: gated, opens: gatesOpen},
		{name: "ours, averaged", averaged: true, reads: gated},
		{name: "ours, averaged, restarted", averaged: true, inTurn: true, reads: restarted(evidenceKind{}), opens: restartOpens(evidenceKind{})},
		{name: "ours, averaged, restarted, all layers", averaged: true, inTurn: true, reads: restarted(evidenceKind{wide: true}), opens: restartOpens(evidenceKind{wide: true})},
		{name: "ours, averaged, fresh lines", averaged: true, inTurn: true, reads: restarted(evidenceKind{fresh: true}), opens: restartOpens(evidenceKind{fresh: true})},
		{name: "ours, averaged, fresh lines, all layers", averaged: true, inTurn: true, reads: restarted(evidenceKind{wide: true, fresh: true}), opens: restartOpens(evidenceKind{wide: true, fresh: true})},
		{name: "ours, averaged, by likelihood", averaged: true, reads: byLikelihood, opens: likelihoodOpens},
		{name: "– no gate", reads: forced},
		{name: "– no firing budget", gate: learning.GateConfig{Firing: 1}, reads: gated},
		{name: "– budget of 0.1 %", gate: learning.GateConfig{Firing: 0.001}, reads: gated},
		{name: "– no home", gate: learning.GateConfig{Home: 1}, reads: gated},
	}},
	{name: "memory", memory: true, views: []view{{name: "ours, as memory", reads: gated}}},
	{name: "said", said: true, views: []view{{name: "ours, rehearsed", reads: gated}}},
}

// lessonSections is how large a skill is here, in sections a layer.
const lessonSections = 24

// oursRates are what our rate is chosen from, as that of the baselines is.
var oursRates = []float64{0.0005, 0.001, 0.002, 0.004}

func gated(q *question) (predictor, error) { return predicts(q.base.WithBanks(q.banks...)), nil }

// gatesOpen reads a text and notes how far each gate is open.
func gatesOpen(q *question, text []byte) ([][]float64, error) {
	m := q.base.WithBanks(q.banks...)
	open := make([][]float64, len(q.banks))
	for k := range open {
		open[k] = make([]float64, 1, len(text)+1) // before the first byte none is
	}
	t := model.Tape{Lean: true}
	s := m.NewState()
	for part := range slices.Chunk(sense.Text(text), 256) {
		m.Forward(s, part, &t)
		for k := range open {
			for _, v := range t.Open[k] {
				open[k] = append(open[k], float64(v))
			}
		}
	}
	for k := range open {
		open[k] = open[k][:len(text)]
	}
	return open, nil
}

// forced has every skill open whatever the context is.
func forced(q *question) (predictor, error) {
	for _, b := range q.banks {
		b.Gate.Force = true
	}
	return gated(q)
}

// A pupil is a device that is being taught.
type pupil struct {
	how   *schooling
	base  *model.Model
	names []string
	l     *learning.Learner
	means map[string]*average
}

func newPupil(how *schooling, base *model.Model, names []string, rate float64, seed uint64) (*pupil, error) {
	c := learning.Config{Sections: lessonSections, Rate: rate, Rehearse: 1, MaxSkills: -1, Recent: 1, Fast: -1, Seed: seed}
	if how.said {
		c.Rehearse = 0 // as many passes as a device makes
	}
	if how.memory {
		c.MaxSkills = 1
	}
	l, err := learning.New(c, base)
	return &pupil{how: how, base: base, names: names, l: l, means: map[string]*average{}}, err
}

// learn has the pupil read a stream in order. The owner says when a lesson begins and when it ends.
func (p *pupil) learn(ctx context.Context, s *stream) error {
	const most = 512 // bytes between two looks at the weights
	at := 0
	for at < len(s.text) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		end := at + 1
		for end < len(s.text) && s.lesson[end] == s.lesson[at] && end-at < most && !(p.how.said && s.place[end] == 0) {
			end++
		}
		name := ""
		if s.lesson[at] != known {
			name = p.names[s.lesson[at]]
		}
		if !p.how.memory && (at == 0 || s.lesson[at] != s.lesson[at-1]) {
			if err := p.l.Focus(name); err != nil {
				return err
			}
		}
		p.l.Read(sense.Text(s.text[at:end]))
		if p.how.said {
			p.l.Flush()
		}
		if k := p.l.Skill("", name); k != nil && !p.how.memory {
			p.note(name)
		}
		at = end
	}
	if p.how.memory {
		p.l.Flush()
		return nil
	}
	return p.l.Focus("")
}

// An average of iterates in which later ones count more, without knowing how many will come: polynomial-decay averaging
// with η = 3 (Shamir and Zhang 2013).
type average struct {
	n float64
	w []float32
}

func (a *average) add(w []float32) {
	const eta = 3
	if a.w == nil {
		a.w = append(a.w, w...)
	}
	a.n++
	part := float32((eta + 1) / (a.n + eta))
	for i, v := range w {
		a.w[i] += part * (v - a.w[i])
	}
}

// note adds a skill's weights to their mean.
func (p *pupil) note(name string) {
	for i, s := range p.l.Skills() {
		if s.Name == name {
			if p.means[name] == nil {
				p.means[name] = &average{}
			}
			p.means[name].add(p.l.Model().Banks[i].Weights)
		}
	}
}

// banks is what the pupil learnt, as a view has it: with gates of its own, and the weights it asks for.
func (p *pupil) banks(v *view) ([]*model.Bank, error) {
	l := p.l
	if v.gate != (learning.GateConfig{}) {
		other, err := learning.New(learning.Config{Gate: v.gate, Recent: 1, Fast: -1}, p.base)
		if err != nil {
			return nil, err
		}
		for _, s := range l.Skills() {
			d, err := l.Export(s.Name)
			if err != nil {
				return nil, err
			}
			if _, err := other.Fold("pupil", d); err != nil {
				return nil, err
			}
		}
		l = other
	}
	var banks []*model.Bank
	for i, b := range l.Settled().Banks {
		if a := p.means[l.Skills()[i].Name]; v.averaged && a != nil {
			b = b.Clone(p.base.Config)
			copy(b.Weights, a.w)
		}
		banks = append(banks, b)
	}
	return banks, nil
}

// question is what a view is asked with.
func (p *pupil) question(v *view, learnt *stream, old []byte) (*question, error) {
	banks, err := p.banks(v)
	return &question{p.base, banks, learnt, old}, err
}

// tuneOurs returns the rate at which a device of ours, averaged, predicts the validation part of the lessons best.
func tuneOurs(ctx context.Context, base *model.Model, learn, valid *stream, names []string) (best float64, err error) {
	least := math.Inf(1)
	v := &view{averaged: true, reads: gated}
	for _, rate := range oursRates {
		p, err := newPupil(&schoolings[0], base, names, rate, 0)
		if err != nil {
			return 0, err
		}
		if err := p.learn(ctx, learn); err != nil {
			return 0, err
		}
		q, err := p.question(v, learn, nil)
		if err != nil {
			return 0, err
		}
		reads, err := v.reads(q)
		if err != nil {
			return 0, err
		}
		if bits := mean(reads(valid.text), valid).lessons; bits < least {
			best, least = rate, bits
		}
	}
	return best, nil
}
