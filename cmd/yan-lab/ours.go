package main

import (
	"bytes"
	"context"
	"math"
	"slices"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// A schooling is a way in which a device of ours is taught.
type schooling struct {
	name   string
	memory bool                   // nobody says what belongs to which lesson
	twice  bool                   // every lesson is read a second time
	said   bool                   // every utterance is ended as one that is meant: it may be rehearsed
	speed  float64                // times the rate that was chosen; 0 is 1
	config func(*learning.Config) // what differs from a device that ships; may be nil
	views  []view
}

// A view is how a device that was taught is asked: as it ships, or with something switched off.
type view struct {
	name  string
	gate  *learning.GateConfig // its skills are folded into a device whose gates are solved so
	last  bool                 // with a skill's last weights, in place of their average
	reads func(q *question) predictor
	opens func(q *question, text []byte) [][]float64 // how far each bank is open before each byte; may be nil
}

// A question is what a view may look at.
type question struct {
	base    *model.Model
	settled *model.Model // with what was learnt
	learner *learning.Learner
}

// schoolings are what the table of forgetting is about.
var schoolings = []schooling{
	{name: "named", views: []view{
		{name: "ours", reads: byLikelihood, opens: likelihoodOpens},
		{name: "ours, by gates alone", reads: gated, opens: gatesOpen},
	}},
	{name: "memory", memory: true, config: withFast, views: []view{
		{name: "ours, nothing named, with the fast layer", reads: aside},
	}},
	{name: "large", config: func(c *learning.Config) { c.Sections = 2 * lessonSections }, views: []view{{name: "ours, of twice the sections", reads: byLikelihood}}},
	{name: "twice", twice: true, views: []view{{name: "ours, read twice", reads: byLikelihood}}},
}

// lessonSections is how large a skill is here, in sections a layer.
const lessonSections = 24

// oursRates are what our rate is chosen from, as that of the baselines is.
var oursRates = []float64{0.0005, 0.001, 0.002, 0.004}

// gated has skills open by their gates.
func gated(q *question) predictor { return predicts(q.settled) }

// byLikelihood has them open by likelihood.
func byLikelihood(q *question) predictor {
	return eventwise(func() func(sense.Event) []float32 { return learning.NewReader(q.settled).Step })
}

// aside is what the device expects of another stream, with its fast layer.
func aside(q *question) predictor {
	return eventwise(func() func(sense.Event) []float32 { return q.learner.AsideOf(q.settled).Step })
}

// forced has every skill open whatever the context is.
func forced(q *question) predictor {
	for _, b := range q.settled.Banks {
		b.Gate.Force = true
	}
	return predicts(q.settled)
}

// eventwise reads a text with what takes in an event and returns the log-odds of the next.
func eventwise(begin func() func(sense.Event) []float32) predictor {
	return func(text []byte) []float64 {
		nats := make([]float64, len(text))
		step := begin()
		var d [sense.Symbols]float32
		in := sense.Text(text)
		for i := range len(in) - 1 {
			nats[i+1] = gradient.CrossEntropy(d[:], step(in[i]), in[i+1:i+2], 1)
		}
		return nats
	}
}

// gatesOpen reads a text and notes how far each gate is open.
func gatesOpen(q *question, text []byte) [][]float64 {
	open := make([][]float64, len(q.settled.Banks))
	for k := range open {
		open[k] = make([]float64, 1, len(text)+1) // before the first byte none is
	}
	t := model.Tape{Lean: true}
	s := q.settled.NewState()
	for part := range slices.Chunk(sense.Text(text), 256) {
		q.settled.Forward(s, part, &t)
		for k := range open {
			for _, v := range t.Open[k] {
				open[k] = append(open[k], float64(v))
			}
		}
	}
	for k := range open {
		open[k] = open[k][:len(text)]
	}
	return open
}

// likelihoodOpens reads a text and notes how far each skill is believed.
func likelihoodOpens(q *question, text []byte) [][]float64 {
	r := learning.NewReader(q.settled)
	open := make([][]float64, len(q.settled.Banks))
	for k := range open {
		open[k] = make([]float64, len(text))
	}
	for i, e := range sense.Text(text[:len(text)-1]) {
		r.Step(e)
		for k, w := range r.Believed()[1:] {
			open[k][i+1] = w
		}
	}
	return open
}

// A pupil is a device that is being taught.
type pupil struct {
	how    *schooling
	base   *model.Model
	names  []string
	config learning.Config
	l      *learning.Learner
}

func newPupil(how *schooling, base *model.Model, names []string, rate float64, seed uint64) (*pupil, error) {
	c := learning.Config{Sections: lessonSections, Rate: rate, Rehearse: 1, MaxSkills: -1, Recent: 1, Fast: -1, Seed: seed}
	if how.said {
		c.Rehearse = 0 // as many passes as a device makes
	}
	if how.memory {
		c.MaxSkills = 1
	}
	if how.speed > 0 {
		c.Rate *= how.speed
	}
	if how.config != nil {
		how.config(&c)
	}
	l, err := learning.New(c, base)
	return &pupil{how, base, names, c, l}, err
}

// learn has the pupil read a stream in order.
func (p *pupil) learn(ctx context.Context, s *stream) error {
	if err := p.read(ctx, s); err != nil || !p.how.twice {
		return err
	}
	return p.read(ctx, s)
}

// read is one reading. The owner says when a lesson begins and when it ends.
func (p *pupil) read(ctx context.Context, s *stream) error {
	const most = 512 // bytes between two looks at whether to go on
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
		at = end
	}
	if p.how.memory {
		p.l.Flush()
		return nil
	}
	return p.l.Focus("")
}

// question is what a view is asked with.
func (p *pupil) question(v *view) (*question, error) {
	l, err := p.l, error(nil)
	switch {
	case v.gate != nil:
		l, err = p.folded(*v.gate)
	case v.last:
		l, err = p.unaveraged()
	}
	if err != nil {
		return nil, err
	}
	return &question{p.base, l.Settled(), l}, nil
}

// folded is a device that was given the pupil's skills, and solves gates in another way.
func (p *pupil) folded(gate learning.GateConfig) (*learning.Learner, error) {
	l, err := learning.New(learning.Config{Gate: gate, Recent: 1, Fast: -1}, p.base)
	if err != nil {
		return nil, err
	}
	for _, s := range p.l.Skills() {
		d, err := p.l.Export(s.Name)
		if err != nil {
			return nil, err
		}
		if _, err := l.Fold("pupil", d); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// unaveraged is the pupil itself, showing the last weights.
func (p *pupil) unaveraged() (*learning.Learner, error) {
	var b bytes.Buffer
	if err := p.l.WriteSnapshot(&b); err != nil {
		return nil, err
	}
	c := p.config
	c.Last = true
	l, err := learning.New(c, p.base)
	if err != nil {
		return nil, err
	}
	return l, l.ReadSnapshot(b.Bytes())
}

// tuneOurs returns the rate at which a device of ours predicts the validation part of the lessons best.
func tuneOurs(ctx context.Context, base *model.Model, learn, valid *stream, names []string) (best float64, err error) {
	least := math.Inf(1)
	v := &view{reads: byLikelihood}
	for _, rate := range oursRates {
		p, err := newPupil(&schoolings[0], base, names, rate, 0)
		if err != nil {
			return 0, err
		}
		if err := p.learn(ctx, learn); err != nil {
			return 0, err
		}
		q, err := p.question(v)
		if err != nil {
			return 0, err
		}
		if bits := mean(v.reads(q)(valid.text), valid).lessons; bits < least {
			best, least = rate, bits
		}
	}
	return best, nil
}
