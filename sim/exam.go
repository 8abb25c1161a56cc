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

	Progress func(done, total int) // told after each device; nil for none
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
		s.Bits = (s.Bits*n + e.Bits*k) / (n + k)
		s.Accuracy = (s.Accuracy*n + e.Accuracy*k) / (n + k)
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
	var users []*device
	for _, d := range w.devices {
		if len(d.opt.Held) > 1 {
			users = append(users, d)
		}
	}
	n := min(e.Devices, len(w.devices))
	for k := range n {
		d := w.devices[k*len(w.devices)/n]
		q := question{d: d, own: cut(d)}
		r := rand.New(rand.NewPCG(w.seed^uint64(d.index)<<32, chanceExam))
		for _, u := range r.Perm(len(users))[:min(e.Texts, len(users))] {
			q.texts = append(q.texts, cut(users[u]))
		}
		qs = append(qs, q)
	}
	return qs
}

// sit has each device's mind answer, as mind hands it out.
func (w *World) sit(e Exam, mind func(*device) (*model.Model, error)) (r Result, err error) {
	qs := w.questions(e)
	for i, q := range qs {
		m, err := mind(q.d)
		if err != nil {
			return r, err
		}
		if m != nil {
			for _, t := range q.texts {
				r.Everyone.add(learning.Evaluate(m, t, nil))
			}
			r.Own.add(learning.Evaluate(m, q.own, nil))
		}
		if e.Progress != nil {
			e.Progress(i+1, len(qs))
		}
	}
	return r, nil
}

// Examine asks the devices that are up what they know now. Each is asked as it would think in a stream of
// its own: every skill opens by its gate alone.
func (w *World) Examine(e Exam) Result {
	r, _ := w.sit(e, func(d *device) (*model.Model, error) {
		switch {
		case d.node != nil:
			return d.node.Learner().Settled(), nil
		case !d.begun:
			return w.opt.Base, nil
		}
		return nil, nil
	})
	return r
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
			if _, err := n.Focus(Genesis, d.opt.Name); err != nil {
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

// Untaught is what they know on their first day.
func (w *World) Untaught(e Exam) Result {
	r, _ := w.sit(e, func(*device) (*model.Model, error) { return w.opt.Base, nil })
	return r
}

type CentralKind int

const (
	OneMemory CentralKind = iota
	ManySkills
)

// Central is what one device would know that heard all users itself.
func (w *World) Central(e Exam, kind CentralKind) (Result, error) {
	cfg := w.opt.Learning
	cfg.Seed = w.seed
	cfg.Gate.Cache = &w.gates
	if kind == OneMemory {
		cfg.Sections *= len(w.devices)
	}
	l, err := learning.New(cfg, w.opt.Base)
	if err != nil {
		return Result{}, fmt.Errorf("sim: central: %w", err)
	}
	var order []*device
	for _, d := range w.devices {
		for range d.utterances {
			order = append(order, d)
		}
	}
	r := w.chance(99)
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	next := make([]int, len(w.devices))
	for _, d := range order {
		name := "everyone"
		if kind == ManySkills {
			name = d.opt.Name
		}
		if err := l.Focus(name); err != nil {
			return Result{}, err
		}
		l.Read(sense.Text(d.utterances[next[d.index]]))
		l.Flush()
		next[d.index]++
	}
	if err := l.Focus(""); err != nil {
		return Result{}, err
	}
	m := l.Settled()
	return w.sit(e, func(*device) (*model.Model, error) { return m, nil })
}
