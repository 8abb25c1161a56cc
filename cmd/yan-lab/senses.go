package main

import (
	"fmt"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model/sense"
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
	var width int
	var features func(dst []float32, e dataset.Example)
	switch set.Kind {
	case dataset.Images:
		if set.Shape[0] < 8 || set.Shape[1] < 8 {
			return nil, fmt.Errorf("%s: pictures of %v pixels are too small: 8 by 8 are needed", set.Arg, set.Shape)
		}
		p := sense.NewPicture(set.Shape[0], set.Shape[1])
		width = p.Patches() * p.Width()
		features = func(dst []float32, e dataset.Example) { p.Encode(dst, e.Pixels) }
	case dataset.Sound:
		s, u := sense.NewSound(set.Rate), sense.NewUtterance()
		width = u.Width()
		features = func(dst []float32, e dataset.Example) {
			s.Reset()
			u.Reset()
			s.Hear(e.Samples, u.Add)
			u.Encode(dst)
		}
	case dataset.Sensors:
		if set.Shape[1] != sense.MotionChannels || set.Shape[0] < 25 {
			return nil, fmt.Errorf("%s: windows of %v numbers: a second of accelerometer and gyroscope belongs here, 6 numbers a sample", set.Arg, set.Shape)
		}
		m := sense.NewMotion(set.Shape[0])
		width = m.Width()
		window := make([]float64, set.Shape[0]*set.Shape[1])
		features = func(dst []float32, e dataset.Example) {
			for i, v := range e.Samples {
				window[i] = float64(v) / 1000 // rad/s
				if i%sense.MotionChannels < 3 {
					window[i] *= 2 // m/s²
				}
			}
			m.Encode(dst, window)
		}
	}
	s := &samples{width: width, x: make([]float32, len(set.Items)*width), of: set.Items}
	for i, e := range set.Items {
		features(s.row(i), e)
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
