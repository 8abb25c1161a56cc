package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/node"
)

// Examples are what a user shows in the place of saying it: inputs, and for each the class it is of, or the controls that answer it.
// They are only read, so devices may share what lies beneath.
type Examples struct {
	Inputs int
	X      []float32 // (n, Inputs), each from −1 to 1
	Labels []string  // (n), the class of each; or
	Names  []string  // the controls, with
	Values []float32 // (n, len(Names)), what each was
}

// Len is how many there are; of none there may be a nil.
func (e *Examples) Len() int {
	if e == nil || e.Inputs < 1 {
		return 0
	}
	return len(e.X) / e.Inputs
}

// Row returns the inputs of one.
func (e *Examples) Row(i int) []float32 { return e.X[i*e.Inputs : (i+1)*e.Inputs] }

func (e *Examples) check() error {
	if e == nil {
		return nil
	}
	switch {
	case e.Inputs < 1:
		return errors.New("examples without inputs")
	case len(e.X) == 0 || len(e.X)%e.Inputs != 0:
		return fmt.Errorf("%d numbers are no examples of %d inputs each", len(e.X), e.Inputs)
	case (len(e.Labels) > 0) == (len(e.Names) > 0):
		return errors.New("examples need labels, or names of controls with their values, and not both")
	case len(e.Labels) > 0 && len(e.Labels) != e.Len():
		return fmt.Errorf("%d labels for %d examples", len(e.Labels), e.Len())
	case len(e.Values) != len(e.Names)*e.Len():
		return fmt.Errorf("%d values for %d controls of %d examples", len(e.Values), len(e.Names), e.Len())
	}
	for i, v := range e.X {
		if !(v >= -1 && v <= 1) {
			return fmt.Errorf("example %d: input %d is %v: must be from -1 to 1", i/e.Inputs, i%e.Inputs, v)
		}
	}
	for i, v := range e.Values {
		if v-v != 0 {
			return fmt.Errorf("example %d: the value of %s is %v", i/len(e.Names), e.Names[i%len(e.Names)], v)
		}
	}
	return nil
}

// shownAtOnce is how many examples a user shows at once.
const shownAtOnce = 8

// turns is how often the user of a device says or shows something.
func (d *device) turns() int {
	if d.opt.Shown != nil {
		return (d.opt.Shown.Len() + shownAtOnce - 1) / shownAtOnce
	}
	return len(d.utterances)
}

// part is the examples from one to before another.
func (e *Examples) part(from, to int) *Examples {
	p := &Examples{Inputs: e.Inputs, X: e.X[from*e.Inputs : to*e.Inputs], Names: e.Names}
	if len(e.Labels) > 0 {
		p.Labels = e.Labels[from:to]
	} else {
		p.Values = e.Values[from*len(e.Names) : to*len(e.Names)]
	}
	return p
}

// to has a node learn the examples.
func (e *Examples) to(n *node.Node, now time.Time, skill string) (node.Actions, error) {
	if len(e.Names) > 0 {
		return n.Follow(now, skill, e.Inputs, e.X, e.Names, e.Values)
	}
	return n.Show(now, skill, e.Inputs, e.X, e.Labels)
}

// showing is what the user of a device shows at its i-th turn.
func (d *device) showing(i int) *Examples {
	e := d.opt.Shown
	return d.mistaught(e.part(i*shownAtOnce, min((i+1)*shownAtOnce, e.Len())))
}

// mistaught is what the user of a hostile device shows in the place of that: the names of classes are those of other classes, the next ones
// in order, or any; controls are turned round. What leaves such a device is then as its node made it.
func (d *device) mistaught(e *Examples) *Examples {
	f := *e
	switch d.opt.Attack {
	default:
		return e
	case Flip, Scale, Noise:
	}
	if len(e.Names) > 0 {
		f.Values = slices.Clone(e.Values)
		for i := range f.Values {
			f.Values[i] *= -1
		}
		return &f
	}
	classes := slices.Compact(slices.Sorted(slices.Values(d.opt.Shown.Labels)))
	r := rand.New(rand.NewPCG(d.seed, uint64(d.next)))
	f.Labels = slices.Clone(e.Labels)
	for i, l := range f.Labels {
		k, _ := slices.BinarySearch(classes, l)
		if d.opt.Attack == Noise {
			k += r.IntN(len(classes))
		}
		f.Labels[i] = classes[(k+1)%len(classes)]
	}
	return &f
}

// watch has the device see what its user shows next.
func (d *device) watch() error {
	e := d.showing(d.next)
	d.next++
	n := e.Len()
	d.think(n)
	d.w.account(d, func(h *half) { h.said += n })
	if f := d.w.sabotage.speak; f != nil && f(d.index) {
		return nil
	}
	a, err := e.to(d.node, d.now(), d.opt.skill())
	if err != nil {
		return fmt.Errorf("device %s: %w", d.opt.Name, err)
	}
	d.w.account(d, func(h *half) { h.learnt += n })
	d.w.say(d, "is shown %d examples", n)
	if err := d.perform(a); err != nil || d.next < d.turns() {
		return err
	}
	return d.perform(d.node.Publish(d.now()))
}

// ask asks a knack about examples; one that knows nothing gets none of them right.
func (e *Examples) ask(k *learning.Knack) (s Score) {
	s.Bytes = e.Len()
	if k == nil || k.Inputs() != e.Inputs || k.Controls() != (len(e.Names) > 0) {
		s.Error = e.size()
		return s
	}
	right := 0
	if len(e.Names) == 0 {
		for i, l := range k.Answer(e.X) {
			if l == e.Labels[i] {
				right++
			}
		}
		s.Accuracy = float64(right) / float64(s.Bytes)
		return s
	}
	names := k.Classes()
	scores := make([]float32, s.Bytes*len(names))
	k.Scores(scores, e.X)
	off := 0.0
	for i, v := range e.Values {
		said := 0.0
		if c := slices.Index(names, e.Names[i%len(e.Names)]); c >= 0 {
			said = float64(scores[i/len(e.Names)*len(names)+c])
		}
		off += abs(said - float64(v))
	}
	s.Error = off / float64(len(e.Values))
	return s
}

// size is how large the controls are, on average: how far off one is who does nothing.
func (e *Examples) size() float64 {
	sum := 0.0
	for _, v := range e.Values {
		sum += abs(float64(v))
	}
	return sum / max(float64(len(e.Values)), 1)
}

func abs(x float64) float64 { return max(x, -x) }

// sample is so many of the examples, spread evenly: sets are often in the order of their classes.
func (e *Examples) sample(n int) *Examples {
	if e.Len() <= n {
		return e
	}
	s := &Examples{Inputs: e.Inputs, Names: e.Names}
	for i := range n {
		p := e.part(i*e.Len()/n, i*e.Len()/n+1)
		s.X, s.Labels, s.Values = append(s.X, p.X...), append(s.Labels, p.Labels...), append(s.Values, p.Values...)
	}
	return s
}
