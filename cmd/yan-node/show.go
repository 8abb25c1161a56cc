package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/senses"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// ofExamples reports whether the data is of examples, which are shown, and not of text, which is read.
func (f *dataFlags) ofExamples() bool { return len(f.data) > 0 && dataset.IsSet(f.data[0]) }

// showing are examples as a node is shown them.
type showing struct {
	note   string
	inputs int
	x      []float32 // (n, inputs)
	labels []string  // of classes
	names  []string  // of controls
	u      []float32 // (n, len(names))
}

func (s *showing) len() int { return len(s.x) / max(s.inputs, 1) }

func (s *showing) span(from, to int) *showing {
	p := &showing{inputs: s.inputs, x: s.x[from*s.inputs : to*s.inputs], names: s.names}
	if k := len(s.names); k > 0 {
		p.u = s.u[from*k : to*k]
	} else {
		p.labels = s.labels[from:to]
	}
	return p
}

// openExamples reads the data, all of one kind, and holds the end out.
func (f *dataFlags) openExamples(holdout float64) (train, held *showing, err error) {
	var all *dataset.Set
	for _, arg := range f.data {
		s, err := dataset.OpenSet(arg)
		if err != nil {
			return nil, nil, err
		}
		if all == nil {
			all = s
		} else if all, err = all.Join(s); err != nil {
			return nil, nil, ui.Usage("%w", err)
		}
	}
	if len(f.labels) > 0 {
		return nil, nil, ui.Usage("--label goes with tsv data, not with %s", f.data[0])
	}
	a, b := all.Split(holdout)
	if train, err = encoded(a); err != nil {
		return nil, nil, err
	}
	held, err = encoded(b)
	return train, held, err
}

func encoded(set *dataset.Set) (*showing, error) {
	width, x, err := senses.Encode(set)
	if err != nil {
		return nil, err
	}
	s := &showing{note: set.Note, inputs: width, x: x}
	if set.Kind == dataset.Frames {
		s.names = set.Classes
	}
	for _, e := range set.Items {
		if set.Kind == dataset.Frames {
			s.u = append(s.u, e.Values...)
		} else {
			s.labels = append(s.labels, set.Classes[e.Label])
		}
	}
	return s, nil
}

// A mastery is how well a knack answers examples that it was not shown.
type mastery struct {
	Examples int      `json:"examples"`
	Accuracy *float64 `json:"accuracy,omitempty"`            // share of answers that are right; of classes
	Off      *float64 `json:"mean_absolute_error,omitempty"` // of a control, which goes from −1 to 1
	Nats     float64  `json:"nats"`                          // that an answer costs
}

func (m mastery) String() string {
	if m.Off != nil {
		return fmt.Sprintf("off by %.4f", *m.Off)
	}
	return percent(*m.Accuracy) + " right"
}

// measure asks a knack about examples. One that is nil, or knows nothing, gets nothing right and leaves every control at 0.
func (s *showing) measure(k *learning.Knack) (m mastery) {
	m = mastery{Examples: s.len()}
	sum, n := 0.0, max(s.len(), 1)
	if len(s.names) == 0 {
		m.Accuracy = &sum
		m.Nats = k.Loss(s.x, s.labels)
		if k == nil {
			return m
		}
		for i, answer := range k.Answer(s.x) {
			if answer == s.labels[i] {
				sum += 1 / float64(n)
			}
		}
		return m
	}
	m.Off = &sum
	order := slices.Sorted(slices.Values(s.names))
	scores := make([]float32, len(s.u))
	if k != nil && slices.Equal(k.Classes(), order) {
		k.Scores(scores, s.x)
	}
	m.Nats = k.LossOf(s.x, s.names, s.u)
	for i, v := range s.u {
		at, _ := slices.BinarySearch(order, s.names[i%len(s.names)])
		does := scores[i/len(s.names)*len(s.names)+at]
		sum += math.Abs(float64(min(max(v, -1), 1)-does)) / float64(len(s.u))
	}
	return m
}

// showCount is how many examples are shown at once: what is on the disk together.
const showCount = 64

// A showReport is what a learn of examples did.
type showReport struct {
	Data   string  `json:"data"`
	Skill  string  `json:"skill"`
	Events int     `json:"events"` // examples shown
	Before mastery `json:"before"` // on what was held out
	After  mastery `json:"after"`
	Took   float64 `json:"seconds"`
	Rate   float64 `json:"events_per_second"`
	Shared bool    `json:"shared"`
}

// learnExamples shows data to the device.
func (f *learnFlags) learnExamples(c *common, cmd *cobra.Command) error {
	switch {
	case f.skill == "":
		return ui.Usage("learn: %s is shown, and not read: name the skill that it belongs to with --skill", f.data[0])
	case f.epochs != 1:
		return ui.Usage("--epochs %d: examples are shown once: what they add up to does not get better by being added twice", f.epochs)
	}
	train, held, err := f.openExamples(f.holdout)
	if err != nil {
		return err
	}
	if train.len() == 0 || held.len() == 0 {
		return fmt.Errorf("learn: %s: too few examples to learn some and hold some out", f.data[0])
	}
	d, err := c.open(cmd, device.Options{PublishEvery: math.MaxInt64})
	if err != nil {
		return err
	}
	r, err := f.show(cmd.Context(), cmd, d, train, held)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	if c.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "learnt %s into skill %s: %s examples in %s, %s a second\n", r.Data, r.Skill, ui.Count(int64(r.Events)),
		ui.Duration(time.Duration(r.Took*float64(time.Second))), ui.Count(int64(r.Rate)))
	fmt.Fprintf(cmd.OutOrStdout(), "on %s held out: %v -> %v\n", ui.Count(int64(held.len())), r.Before, r.After)
	return nil
}

// show shows examples and measures on others what that was worth. When it is interrupted what was shown stays.
func (f *learnFlags) show(ctx context.Context, cmd *cobra.Command, d *device.Device, train, held *showing) (r showReport, err error) {
	r = showReport{Data: train.note, Skill: f.skill}
	d.Start(nil, nil)
	do := func(job node.Job) {
		if err == nil {
			err = d.Do(ctx, job)
		}
	}
	measure := func(m *mastery) {
		do(func(_ time.Time, n *node.Node) (a node.Actions, _ error) {
			*m = held.measure(n.Knack(f.skill))
			return a, nil
		})
	}
	measure(&r.Before)
	p := ui.NewProgress(cmd.ErrOrStderr(), "learning", int64(train.len()), "examples")
	defer p.Done()
	began := time.Now()
	for at := 0; at < train.len() && err == nil; at += showCount {
		part := train.span(at, min(at+showCount, train.len()))
		do(func(now time.Time, n *node.Node) (node.Actions, error) {
			if len(part.names) > 0 {
				return n.Follow(now, f.skill, part.inputs, part.x, part.names, part.u)
			}
			return n.Show(now, f.skill, part.inputs, part.x, part.labels)
		})
		r.Events += part.len()
		p.Add(int64(part.len()))
	}
	r.Took = time.Since(began).Seconds()
	r.Rate = float64(r.Events) / r.Took
	p.Done()
	measure(&r.After)
	do(func(_ time.Time, n *node.Node) (node.Actions, error) {
		return n.Measured(f.skill, r.Before.Nats-r.After.Nats)
	})
	if f.share {
		do(func(now time.Time, n *node.Node) (node.Actions, error) { return n.SetShared(now, f.skill, true) })
		r.Shared = err == nil
	}
	return r, err
}

// evalExamples asks the device about data.
func (f *dataFlags) evalExamples(c *common, cmd *cobra.Command, skill string, holdout float64) error {
	_, held, err := f.openExamples(holdout)
	if err != nil {
		return err
	}
	d, err := c.open(cmd, device.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	k, err := knackFor(d.Node, skill, held)
	if err != nil {
		return err
	}
	began := time.Now()
	m := held.measure(k)
	rate := float64(m.Examples) / time.Since(began).Seconds()
	if c.json {
		return ui.JSON(cmd.OutOrStdout(), struct {
			Data   string  `json:"data"`
			Skill  string  `json:"skill"`
			Events int     `json:"events"`
			Rate   float64 `json:"events_per_second"`
			mastery
		}{held.note, k.Name(), m.Examples, rate, m})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s, by skill %s: %v of %s examples, %s a second\n", held.note, k.Name(), m, ui.Count(int64(m.Examples)), ui.Count(int64(rate)))
	return nil
}

// knackFor finds what is to be asked: the skill of that name, or the only one that answers such examples.
func knackFor(n *node.Node, skill string, about *showing) (*learning.Knack, error) {
	fits := func(k *learning.Knack) bool {
		return k.Inputs() == about.inputs && k.Controls() == (len(about.names) > 0)
	}
	if skill != "" {
		k := n.Knack(skill)
		switch {
		case k == nil:
			return nil, fmt.Errorf("no skill %q that examples were shown of: skill list shows what there is", skill)
		case !fits(k):
			return nil, fmt.Errorf("skill %s: its examples have %d inputs, and these have %d: it learnt from another kind of data", skill, k.Inputs(), about.inputs)
		}
		return k, nil
	}
	var found []*learning.Knack
	var names []string
	for _, k := range n.Knacks() {
		if fits(k) {
			found, names = append(found, k), append(names, k.Name())
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, errors.New("eval: no skill answers such examples: learn some with --skill NAME first")
	}
	return nil, ui.Usage("eval: several skills answer such examples: name one of them with --skill: %s", strings.Join(names, ", "))
}

// knacksOf are the device's skills that examples were shown of, ours and each peer's.
func knacksOf(n *node.Node) (list []skillReport) {
	for _, k := range n.Knacks() {
		kind := "classes"
		if k.Controls() {
			kind = "controls"
		}
		if k.Own() > 0 {
			t, told := n.KnackTerms(k), n.ToldKnack(k)
			list = append(list, skillReport{
				Name: k.Name(), Shared: n.SharesKnack(k), sharing: sharingBy(t, told), Events: uint64(k.Own()), Gain: k.Gain,
				Parameters: k.Numbers(), Kind: kind, Answers: k.OwnClasses(),
			})
		}
		for _, author := range k.Authors() {
			examples, answers := k.Taught(author)
			list = append(list, skillReport{Name: k.Name(), Author: protocol.PeerID(author), Events: uint64(examples), Parameters: k.Numbers(), Kind: kind, Answers: answers})
		}
	}
	return list
}
