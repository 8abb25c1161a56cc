package sim

import (
	"fmt"
	"math/rand/v2"

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

	// Likely has skills open by likelihood, as they do where a device reads what its user did not say. Otherwise they open by
	// their gates alone.
	Likely bool

	// Each is told how every device did that was asked: its index in Options.Devices, and its result. It may be nil.
	Each func(device int, r Result)

	// Progress is told how much is done. An error ends it. It may be nil.
	Progress func(done, total int) error
}

// A Score is how well held-out text was predicted.
type Score struct {
	Bits     float64 // a byte
	Accuracy float64 // share of bytes that were the most probable one
	Bytes    int     // predicted
}

func (s *Score) add(e learning.Evaluation) {
	n, k := float64(s.Bytes), float64(e.Events)
	if e.Events > 0 {
		s.Bits = (float64(s.Bits*n) + float64(e.Bits*k)) / (n + k)
		s.Accuracy = (float64(s.Accuracy*n) + float64(e.Accuracy*k)) / (n + k)
		s.Bytes += e.Events
	}
}

// A Result is how well an exam went.
type Result struct {
	Everyone Score // on the texts of users drawn from all
	Own      Score // on the text of the device's own user
}

// A question is a device, and the users about whose texts it is asked.
type question struct {
	d     *device
	texts [][]byte
	own   []byte
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
	cut := func(d *device) []byte { return d.opt.Held[:min(len(d.opt.Held), e.Bytes)] }
	var users, honest []*device
	for _, d := range w.devices {
		if d.opt.Attack != "" {
			continue
		}
		honest = append(honest, d)
		if len(d.opt.Held) > 1 {
			users = append(users, d)
		}
	}
	n := min(e.Devices, len(honest))
	for k := range n {
		d := honest[k*len(honest)/n]
		q := question{d: d, own: cut(d)}
		r := rand.New(rand.NewPCG(w.seed^uint64(d.index)<<32, chanceExam))
		for _, u := range r.Perm(len(users))[:min(e.Texts, len(users))] {
			q.texts = append(q.texts, cut(users[u]))
		}
		qs = append(qs, q)
	}
	return qs
}

// sit has each device's mind answer, as mind hands it out; nil leaves the device out. Where several have
// one mind, it is asked about each text once.
func (w *World) sit(e Exam, mind func(*device) (*model.Model, error)) (r Result, err error) {
	qs := w.questions(e)
	var last *model.Model
	var known map[*byte]learning.Evaluation
	ask := func(m *model.Model, text []byte) learning.Evaluation {
		if len(text) < 2 {
			return learning.Evaluation{}
		}
		if m != last {
			last, known = m, map[*byte]learning.Evaluation{}
		}
		v, ok := known[&text[0]]
		if !ok {
			if e.Likely {
				v, _ = learning.NewReader(m).Evaluate(text, nil)
			} else {
				v = learning.Evaluate(m, text, nil)
			}
			known[&text[0]] = v
		}
		return v
	}
	for i, q := range qs {
		m, err := mind(q.d)
		if err != nil {
			return r, fmt.Errorf("sim: examine %s: %w", q.d.opt.Name, err)
		}
		if m != nil {
			var its Result
			for _, t := range q.texts {
				v := ask(m, t)
				r.Everyone.add(v)
				its.Everyone.add(v)
			}
			own := ask(m, q.own)
			r.Own.add(own)
			its.Own.add(own)
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

// Examine asks the devices that are up what they know now. Each is asked as it would think in a stream of
// its own: every skill opens by its gate alone.
func (w *World) Examine(e Exam) (Result, error) {
	return w.sit(e, func(d *device) (*model.Model, error) {
		switch {
		case d.node != nil:
			m, a := d.node.Settled() // which is a step of the mind's: what is kept on the disk has to tell of it
			return m, d.perform(a)
		case !d.begun:
			return w.opt.Base, nil
		}
		return nil, nil
	})
}

// Untaught is what the devices know on their first day.
func (w *World) Untaught(e Exam) (Result, error) {
	return w.sit(e, func(*device) (*model.Model, error) { return w.opt.Base, nil })
}

// Alone is what the same devices would know had there been no mesh: the same nodes learn the same
// utterances, and hear of no one.
func (w *World) Alone(e Exam) (Result, error) {
	return w.sit(e, func(d *device) (*model.Model, error) {
		c := d.config()
		c.Share = node.ShareNone
		n, err := node.New(c, w.opt.Base)
		if err != nil {
			return nil, err
		}
		if len(d.utterances) > 0 {
			if _, err := n.Focus(Genesis, d.opt.skill()); err != nil {
				return nil, err
			}
		}
		for _, u := range d.utterances {
			n.Observe(Genesis, u)
			n.Flush(Genesis)
		}
		return n.Learner().Settled(), nil
	})
}

// Central is what one device would know to which all users spoke, as a server that collects everyone's
// text would. It hears the same utterances in the order in which they are said in this world, and learns
// them into one skill that is as large as all users' skills together, with the same settings.
func (w *World) Central(e Exam) (Result, error) {
	c := w.opt.Learning
	c.Seed = w.seed
	c.Sections = c.Sections * len(w.devices)
	l, err := learning.New(c, w.opt.Base)
	if err != nil {
		return Result{}, err
	}
	if err := l.Focus("everyone"); err != nil {
		return Result{}, err
	}
	next := make([]int, len(w.devices))
	for i, d := range w.order {
		l.Read(sense.Text(d.utterances[next[d.index]]))
		l.Flush()
		next[d.index]++
		if e.Progress != nil {
			if err := e.Progress(i+1, len(w.order)); err != nil {
				return Result{}, err
			}
		}
	}
	m := l.Settled()
	e.Progress = nil
	return w.sit(e, func(*device) (*model.Model, error) { return m, nil })
}
