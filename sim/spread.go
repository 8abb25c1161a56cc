package sim

import (
	"math"

	"github.com/yanmesh/yan/learning"
)

// A Spread is how far apart devices are that have heard of each other.
type Spread struct {
	Result Result // of the exam in which everyone is asked about the same texts

	Bits     float64 // mean difference between two devices in bits a byte on one text
	Accuracy float64 // the same of the share of bytes that were the most probable one
	Sections float64 // root mean square difference between what two devices hold of others under one name, weight by weight
	Own      float64 // the same between what two users' own devices learnt under one name, to compare with

	Banks   float64 // skills a device has, on average
	Weights float64 // bytes that they take, on average
}

// Spread asks all devices that are up about the same texts, and compares them pair by pair. Of Exam, Texts and Bytes count.
func (w *World) Spread(e Exam) (s Spread, err error) {
	e.Devices = 0
	texts := w.questions(e)[0].texts
	var minds []*device
	var bits, right [][]float64 // (device, text)
	for _, d := range w.devices {
		if d.node == nil {
			continue
		}
		l := d.node.Learner()
		m := l.Settled()
		var b, r []float64
		for _, t := range texts {
			v := learning.Evaluate(m, t, nil)
			s.Result.Everyone.add(scoreOf(v))
			b, r = append(b, v.Bits), append(r, v.Accuracy)
		}
		s.Result.Own.add(scoreOf(learning.Evaluate(m, d.opt.Held[:min(len(d.opt.Held), max(e.Bytes, 768))], nil)))
		minds, bits, right = append(minds, d), append(bits, b), append(right, r)
		s.Banks += float64(len(l.Skills()))
		s.Weights += float64(l.SkillBytes())
		if e.Progress != nil {
			if err := e.Progress(len(minds), len(w.devices)); err != nil {
				return s, err
			}
		}
	}
	s.Banks /= float64(len(minds))
	s.Weights /= float64(len(minds))
	var pairs, alike, owners float64
	for i, a := range minds {
		for j := range i {
			b := minds[j]
			for t := range texts {
				s.Bits += math.Abs(bits[i][t] - bits[j][t])
				s.Accuracy += math.Abs(right[i][t] - right[j][t])
				pairs++
			}
			for name := range w.names() {
				if d, ok := apart(a.holds(name, false), b.holds(name, false)); ok {
					s.Sections += d
					alike++
				}
			}
			if d, ok := apart(a.holds(a.opt.skill(), true), b.holds(a.opt.skill(), true)); ok {
				s.Own += d
				owners++
			}
		}
	}
	s.Bits /= max(pairs, 1)
	s.Accuracy /= max(pairs, 1)
	s.Sections /= max(alike, 1)
	s.Own /= max(owners, 1)
	return s, nil
}

// names are the skills that users teach.
func (w *World) names() map[string]bool {
	names := map[string]bool{}
	for _, d := range w.devices {
		names[d.opt.skill()] = true
	}
	return names
}

// holds is the mean of the weights of what a device has under a name, of its own or of others. What has another shape than the first
// is left out.
func (d *device) holds(name string, own bool) (mean []float64) {
	l := d.node.Learner()
	n := 0.0
	for i, s := range l.Skills() {
		if s.Name != name || s.Own() != own {
			continue
		}
		w := l.Model().Banks[i].Weights
		if mean == nil {
			mean = make([]float64, len(w))
		}
		if len(w) != len(mean) {
			continue
		}
		n++
		for k, v := range w {
			mean[k] += float64(v)
		}
	}
	for k := range mean {
		mean[k] /= n
	}
	return mean
}

// apart is the root mean square difference of two vectors of one length.
func apart(x, y []float64) (d float64, ok bool) {
	if len(x) == 0 || len(x) != len(y) {
		return 0, false
	}
	for i := range x {
		d += (x[i] - y[i]) * (x[i] - y[i])
	}
	return math.Sqrt(d / float64(len(x))), true
}
