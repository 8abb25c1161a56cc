package learning

import (
	"slices"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// A Desk is where learners work: megabytes of buffers in which nothing is kept from one call to the next. Each learner has its own
// until it is told to sit at another; thousands in one process, of which few are at work at a time, can share a few.
type Desk struct{ desk }

type desk struct {
	tape    model.Tape // of the chunk
	alone   model.Tape // of thoughts beside the stream
	one     model.Tape // of one event
	in      [1]sense.Event
	pass    gradient.Pass
	lens    local.Lens
	dlogits []float32
}

// Sit has the learner work at a desk from now on, which changes nothing that it comes to. Of several learners at one desk one may work
// at a time.
func (l *Learner) Sit(d *Desk) { l.desk = &d.desk }

// think has the stream go on by a chunk, whose tape lies on the desk then, and keeps what is asked about it later.
func (l *Learner) think(chunk []sense.Event) {
	l.model.Forward(l.state, chunk, &l.tape)
	l.open = slices.Grow(l.open[:0], len(l.tape.Open))[:len(l.tape.Open)]
	for i, open := range l.tape.Open {
		l.open[i] = append(l.open[i][:0], open...)
	}
}

// step is Model.Step at the desk.
func (l *Learner) step(s *model.State, e sense.Event) []float32 {
	l.in[0] = e
	l.model.Forward(s, l.in[:], &l.one)
	return l.one.Logits
}
