package main

import (
	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/senses"
	"github.com/yanmesh/yan/cmd/internal/ui"
)

// samples are examples as features: what a head is shown.
type samples struct {
	width  int
	x      []float32 // (len(labels), width)
	labels []string
	of     []dataset.Example
}

func (s *samples) row(i int) []float32 { return s.x[i*s.width : (i+1)*s.width] }

// pick returns the samples with these indices, in their order.
func (s *samples) pick(at []int) *samples {
	t := &samples{width: s.width}
	for _, i := range at {
		t.x, t.labels, t.of = append(t.x, s.row(i)...), append(t.labels, s.labels[i]), append(t.of, s.of[i])
	}
	return t
}

// span returns the samples from up to to.
func (s *samples) span(from, to int) *samples {
	return &samples{width: s.width, x: s.x[from*s.width : to*s.width], labels: s.labels[from:to], of: s.of[from:to]}
}

// where returns the samples that keep allows.
func (s *samples) where(keep func(dataset.Example) bool) *samples {
	var at []int
	for i, e := range s.of {
		if keep(e) {
			at = append(at, i)
		}
	}
	return s.pick(at)
}

// encode makes features of every example of a set.
func encode(set *dataset.Set) (*samples, error) {
	width, x, err := senses.Encode(set)
	if err != nil {
		return nil, err
	}
	s := &samples{width: width, x: x, of: set.Items}
	for _, e := range set.Items {
		s.labels = append(s.labels, set.Classes[e.Label])
	}
	return s, nil
}

// openAll opens data arguments as one set of the kind that is needed.
func openAll(args []string, kind string) (*dataset.Set, error) {
	var all *dataset.Set
	for _, arg := range args {
		s, err := dataset.OpenSet(arg)
		if err != nil {
			return nil, err
		}
		if s.Kind != kind {
			return nil, ui.Usage("%s: %s: data belongs here, and this is %s:", arg, kind, s.Kind)
		}
		if all == nil {
			all = s
		} else if all, err = all.Join(s); err != nil {
			return nil, ui.Usage("%w", err)
		}
	}
	return all, nil
}

// The real sets that are taken where there is a data folder and nothing else is asked for.
var (
	digitsTrain = []string{"images:mnist/train-images-idx3-ubyte.gz,mnist/train-labels-idx1-ubyte.gz",
		"images:mnist/test-images-idx3-ubyte.gz,mnist/test-labels-idx1-ubyte.gz"}
	digitsTest  = []string{"images:mnist/t10k-images-idx3-ubyte.gz,mnist/t10k-labels-idx1-ubyte.gz"}
	soundsData  = []string{"sound:fsdd/recordings"}
	motionsData = []string{"sensors:har_phone_watch/windows-int16-idx.gz,har_phone_watch/labels-ubyte-idx.gz,har_phone_watch/subjects-ubyte-idx.gz"}
)

// pictures opens the digits to learn from and those to be asked about: what was named, else the real ones, else
// what the project draws.
func pictures(train, test []string) (a, b *dataset.Set, err error) {
	if (len(train) == 0) != (len(test) == 0) {
		return nil, nil, ui.Usage("--data and --test go together")
	}
	if len(train) == 0 {
		if _, ok := dataset.Root(); !ok {
			return dataset.Strokes(1000, 1), dataset.Strokes(1000, 2), nil
		}
		train, test = digitsTrain, digitsTest
	}
	if a, err = openAll(train, dataset.Images); err != nil {
		return nil, nil, err
	}
	if b, err = openAll(test, dataset.Images); err != nil {
		return nil, nil, err
	}
	_, err = a.Join(b) // they must go together
	return a, b, err
}

// one opens what was named, else the real set, else what the project generates.
func one(args, real []string, kind string, shipped func() *dataset.Set) (*dataset.Set, error) {
	if len(args) > 0 {
		return openAll(args, kind)
	}
	if _, ok := dataset.Root(); ok {
		return openAll(real, kind)
	}
	return shipped(), nil
}
