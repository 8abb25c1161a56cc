package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
	"github.com/yanmesh/yan/node"
)

// An Exam is a sample of everyone's held-out text, drawn from the seed: each device is asked about some
// users, so that a world of many devices can be asked about all. One Exam asks the same, whoever sits it.
type Exam struct {
	Devices int // how many devices are asked, spread evenly. If zero, all of them
	Texts   int // how many users each is asked about. If zero, 12
	Bytes   int // how much of each user's text. If zero, 768

	// Examples is how many examples each is asked about where users show some: of Options.Asked, or of the users' own together. If
	// zero, 1000.
	Examples int

	// Likely has skills open by likelihood, as they do where a device reads what its user did not say. Otherwise they open by
	// their gates alone.
	Likely bool

	// Each is told how every device did that was asked: its index in Options.Devices, and its result. It may be nil.
	Each func(device int, r Result)

	// Progress is told how much is done. An error ends it. It may be nil.
	Progress func(done, total int) error
}

// A Score is how well held-out text was predicted, or how well held-out examples were answered.
type Score struct {
	Bits     float64 // a byte; 0 for examples
	Accuracy float64 // share of bytes that were the most probable one, or of examples of which the class was right
	Error    float64 // of examples of what to do: how far off each control was, on average
	Bytes    int     // predicted, or examples answered
}

func (s *Score) add(o Score) {
	if o.Bytes == 0 {
		return
	}
	n, k := float64(s.Bytes), float64(o.Bytes)
	s.Bits = (float64(s.Bits*n) + float64(o.Bits*k)) / (n + k)
	s.Accuracy = (float64(s.Accuracy*n) + float64(o.Accuracy*k)) / (n + k)
	s.Error = (float64(s.Error*n) + float64(o.Error*k)) / (n + k)
	s.Bytes += o.Bytes
}

func scoreOf(e learning.Evaluation) Score {
	return Score{Bits: e.Bits, Accuracy: e.Accuracy, Bytes: e.Events}
}

// A Result is how well an exam went.
type Result struct {
	Everyone Score // on the texts of users drawn from all
	Own      Score // on the text of the device's own user
}

// A question is a device, and the users about whose texts it is asked, or what it is asked of others' examples.
type question struct {
	d     *device
	texts [][]byte
	own   []byte

	examples []*Examples
	ownAsked *Examples
}

// A mind is what a device answers with: a model, and where its user shows examples what it made of them, which may be nothing.
type mind struct {
	text  *model.Model
	knack *learning.Knack
}

func (w *World) questions(e Exam) (qs []question) {
	if e.Devices == 0 {
		e.Devices = len(w.devices)
	}
	if e.Texts == 0 {
		e.Texts = 12
	}
	if e.Bytes == 0 {
		e.Bytes = 768
	}
	if e.Examples == 0 {
		e.Examples = 1000
	}
	test := w.opt.Asked.sample(e.Examples)
	cut := func(d *device) []byte { return d.opt.Held[:min(len(d.opt.Held), e.Bytes)] }
	var users, honest []*device
	for _, d := range w.devices {
		if d.opt.Attack != "" {
			continue
		}
		honest = append(honest, d)
		if len(d.opt.Held) > 1 || d.opt.Asked != nil {
			users = append(users, d)
		}
	}
	n := min(e.Devices, len(honest))
	for k := range n {
		d := honest[k*len(honest)/n]
		q := question{d: d, own: cut(d)}
		r := rand.New(rand.NewPCG(w.seed^uint64(d.index)<<32, chanceExam))
		some := r.Perm(len(users))[:min(e.Texts, len(users))]
		switch {
		case d.opt.Shown == nil:
			for _, u := range some {
				q.texts = append(q.texts, cut(users[u]))
			}
		case test != nil:
			q.examples = append(q.examples, test)
		default:
			for _, u := range some {
				q.examples = append(q.examples, users[u].opt.Asked.sample(e.Examples/len(some)+1))
			}
		}
		q.ownAsked = d.opt.Asked.sample(e.Examples)
		qs = append(qs, q)
	}
	return qs
}

// sit has each device's mind answer, as ask hands it out; false leaves the device out. Where several have
// one mind, it is asked about each thing once.
func (w *World) sit(e Exam, ask func(*device) (mind, bool, error)) (r Result, err error) {
	qs := w.questions(e)
	s := sitting{likely: e.Likely}
	for i, q := range qs {
		m, there, err := ask(q.d)
		if err != nil {
			return r, fmt.Errorf("sim: examine %s: %w", q.d.opt.Name, err)
		}
		if there {
			its := s.answer(m, q)
			r.Everyone.add(its.Everyone)
			r.Own.add(its.Own)
			if e.Each != nil {
				e.Each(q.d.index, its)
			}
		}
		if e.Progress != nil {
			if err := e.Progress(i+1, len(qs)); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// A sitting is what the mind that was asked last has answered.
type sitting struct {
	likely   bool
	last     mind
	texts    map[*byte]Score
	examples map[*float32]Score
}

func (s *sitting) answer(m mind, q question) (r Result) {
	if m != s.last {
		s.last, s.texts, s.examples = m, map[*byte]Score{}, map[*float32]Score{}
	}
	for _, t := range q.texts {
		r.Everyone.add(s.read(t))
	}
	for _, e := range q.examples {
		r.Everyone.add(s.ask(e))
	}
	r.Own.add(s.read(q.own))
	r.Own.add(s.ask(q.ownAsked))
	return r
}

func (s *sitting) read(text []byte) Score {
	if len(text) < 2 {
		return Score{}
	}
	v, known := s.texts[&text[0]]
	if !known {
		if s.likely {
			e, _ := learning.NewReader(s.last.text).Evaluate(text, nil)
			v = scoreOf(e)
		} else {
			v = scoreOf(learning.Evaluate(s.last.text, text, nil))
		}
		s.texts[&text[0]] = v
	}
	return v
}

func (s *sitting) ask(e *Examples) Score {
	if e.Len() == 0 {
		return Score{}
	}
	v, known := s.examples[&e.X[0]]
	if !known {
		v = e.ask(s.last.knack)
		s.examples[&e.X[0]] = v
	}
	return v
}

// Examine asks the devices that are up what they know now. Each is asked as it would think in a stream of
// its own: every skill opens by its gate alone.
func (w *World) Examine(e Exam) (Result, error) {
	return w.sit(e, func(d *device) (mind, bool, error) {
		if d.node == nil {
			return mind{text: w.opt.Base}, !d.begun, nil
		}
		if d.opt.Shown != nil {
			return mind{w.opt.Base, d.node.Knack(d.opt.skill())}, true, nil
		}
		m, a := d.node.Settled() // which is a step of the mind's: what is kept on the disk has to tell of it
		return mind{text: m}, true, d.perform(a)
	})
}

// Untaught is what the devices know on their first day.
func (w *World) Untaught(e Exam) (Result, error) {
	return w.sit(e, func(*device) (mind, bool, error) { return mind{text: w.opt.Base}, true, nil })
}

// Alone is what the same devices would know had there been no mesh: the same nodes learn the same
// utterances, or examples, and hear of no one.
func (w *World) Alone(e Exam) (Result, error) {
	return w.sit(e, func(d *device) (m mind, _ bool, err error) {
		c := d.config()
		c.Share = node.ShareNone
		n, err := node.New(c, w.opt.Base)
		if err != nil {
			return m, false, err
		}
		if d.opt.Shown != nil {
			_, err := d.opt.Shown.to(n, Genesis, d.opt.skill())
			return mind{w.opt.Base, n.Knack(d.opt.skill())}, true, err
		}
		if len(d.utterances) > 0 {
			if _, err := n.Focus(Genesis, d.opt.skill()); err != nil {
				return m, false, err
			}
		}
		for _, u := range d.utterances {
			n.Observe(Genesis, u)
			n.Flush(Genesis)
		}
		return mind{text: n.Learner().Settled()}, true, nil
	})
}

// Central is what one device would know to which all users spoke, as a server that collects everyone's
// text would. It hears the same utterances in the order in which they are said in this world, and learns
// them into one skill that is as large as all users' skills together, with the same settings. What users show it
// learns into one skill for each name. Of hostile devices' users it hears what the users of devices hear.
func (w *World) Central(e Exam) (Result, error) {
	c := w.opt.Learning
	c.Seed = w.seed
	c.Sections = c.Sections * len(w.devices)
	c.Features = w.opt.Features
	n, err := node.New(node.Config{Key: w.devices[0].key, Seed: w.seed, Learning: c}, w.opt.Base)
	if err != nil {
		return Result{}, err
	}
	l := n.Learner()
	if slices.ContainsFunc(w.devices, func(d *device) bool { return len(d.utterances) > 0 }) {
		if err := l.Focus("everyone"); err != nil {
			return Result{}, err
		}
	}
	next := make([]int, len(w.devices))
	for i, d := range w.order {
		if d.opt.Shown != nil {
			if _, err := d.opt.Shown.part(next[d.index]*shownAtOnce, min((next[d.index]+1)*shownAtOnce, d.opt.Shown.Len())).to(n, Genesis, d.opt.skill()); err != nil {
				return Result{}, err
			}
		} else {
			l.Read(sense.Text(d.utterances[next[d.index]]))
			l.Flush()
		}
		next[d.index]++
		if e.Progress != nil {
			if err := e.Progress(i+1, len(w.order)); err != nil {
				return Result{}, err
			}
		}
	}
	m := l.Settled()
	e.Progress = nil
	return w.sit(e, func(d *device) (mind, bool, error) { return mind{m, n.Knack(d.opt.skill())}, true, nil })
}
