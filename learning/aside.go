package learning

import (
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// An Aside is a thought beside the owner's stream: it knows what the learner knows, the fast layer too, and learns
// nothing. What the learner thinks it is until the learner's next event; afterwards it may still go on, with the skills that
// there were when it began and whatever was written to their weights since.
type Aside struct {
	model  *model.Model
	state  *model.State
	reader *Reader // in their place, where skills are opened by likelihood
	fast   *fast
	cue    cue
	heed   heed

	begun  bool
	said   opinion
	own    [sense.Symbols]float32 // log-odds of the next event by the model alone
	mixer  mixer
	logits []float32
}

// Aside begins a stream of its own: nothing was said yet.
func (l *Learner) Aside() *Aside { return l.aloneOf(l.model) }

// AsideOf is Aside with another mind on the same base, as Settled returns. The stream need not be the owner's, so its skills
// are opened by likelihood, as a [Reader] does.
func (l *Learner) AsideOf(m *model.Model) *Aside {
	a := l.aloneOf(m)
	if len(m.Banks) > 0 && !l.cfg.Gate.Alone {
		a.reader = NewReader(m)
	}
	return a
}

func (l *Learner) aloneOf(m *model.Model) *Aside {
	return &Aside{model: m, state: m.NewState(), fast: l.fast, heed: firstHeed}
}

// GoOn begins where the owner's stream is.
func (l *Learner) GoOn() *Aside {
	a := &Aside{model: l.model, state: l.live.Clone(), fast: l.fast, cue: l.cue, heed: l.heed}
	if l.logits != nil {
		a.logits = append(a.logits, l.logits...)
	}
	return a
}

// Expect returns the log-odds of the next event, nil before the first. They belong to the aside until its next Step.
func (a *Aside) Expect() []float32 { return a.logits }

// Step takes in an event and returns what is expected next, as Expect does.
func (a *Aside) Step(e sense.Event) []float32 {
	if a.begun && a.fast != nil { // was it worth listening to?
		alone := surprise(a.own[:], e)
		a.mixer.mix(a.fast, a.own[:], &a.said, 1)
		a.heed.saw(alone-surprise(a.mixer.mixed[:], e), 1)
	}
	logits := a.think(e)
	if a.fast != nil {
		a.begun = true
		copy(a.own[:], logits)
		a.cue.pass(a.fast, e.Byte, false)
		a.fast.think(&a.cue, &a.said)
		a.mixer.mix(a.fast, a.own[:], &a.said, a.heed.share())
		logits = a.mixer.mixed[:]
	}
	a.logits = append(a.logits[:0], logits...)
	return a.logits
}

func (a *Aside) think(e sense.Event) []float32 {
	if a.reader != nil {
		return a.reader.Step(e)
	}
	return a.model.Step(a.state, e)
}

// Fork returns a copy that goes another way.
func (a *Aside) Fork() *Aside {
	c := *a
	c.state, c.logits = a.state.Clone(), append([]float32(nil), a.logits...)
	if a.reader != nil {
		c.reader = a.reader.Fork()
	}
	return &c
}

// Surprise takes in a text and returns how surprising it was, in nats. The first event of a stream surprises nobody.
func (a *Aside) Surprise(in []sense.Event) (nats float64) {
	for _, e := range in {
		if a.logits != nil {
			nats += surprise(a.logits, e)
		}
		a.Step(e)
	}
	return nats
}
