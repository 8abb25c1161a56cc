package main

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
)

// The mean of what does not move is that; of what settles it comes closer to the end than a plain mean would.
func TestAverage(t *testing.T) {
	var still, settling average
	var plain float64
	for i := range 100 {
		still.add([]float32{2})
		x := math.Exp(-float64(i) / 20)
		settling.add([]float32{float32(x)})
		plain += x / 100
	}
	if math.Abs(float64(still.w[0])-2) > 1e-5 {
		t.Errorf("of twos: %v", still.w[0])
	}
	if got := float64(settling.w[0]); got > plain/2 || got < math.Exp(-99.0/20) {
		t.Errorf("%v, a plain mean is %v", got, plain)
	}
}

// taught is a pupil that learnt generated prose in turn with verse, and what it is asked with.
func taught(t *testing.T) (*pupil, *stream, *stream) {
	t.Helper()
	verse := utterances(dataset.Shipped("verse").Bytes()[:12000], least)
	prose := utterances(dataset.Shipped("prose").Bytes()[:12000], least)
	s := interleaved(verse[:len(verse)*2/3], prose[:len(prose)*2/3])
	test := interleaved(verse[len(verse)*2/3:], prose[len(prose)*2/3:])
	p, err := newPupil(&schoolings[0], base.Pocket(), []string{"prose"}, 0.002, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.learn(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	return p, s, test
}

// Every view of a pupil has the skill that it was taught; they differ in when it is open alone, or in its weights alone.
func TestViews(t *testing.T) {
	p, s, test := taught(t)
	var first []*model.Bank
	for _, v := range schoolings[0].views {
		q, err := p.question(&v, s, dataset.Shipped("verse").Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(q.banks) != 1 {
			t.Fatalf("%s: %d banks", v.name, len(q.banks))
		}
		if first == nil {
			first = q.banks
		}
		if same := slices.Equal(q.banks[0].Weights, first[0].Weights); same == v.averaged {
			t.Errorf("%s: the weights are those that it was left with: %v", v.name, same)
		}
		reads, err := v.reads(q)
		if err != nil {
			t.Fatal(err)
		}
		nats := reads(test.text)
		if len(nats) != len(test.text) || slices.ContainsFunc(nats, func(v float64) bool { return !(v >= 0) || v > 100 }) {
			t.Errorf("%s: surprises of %d bytes for %d", v.name, len(nats), len(test.text))
		}
		if v.opens == nil {
			continue
		}
		open, err := v.opens(q, test.text)
		if err != nil {
			t.Fatal(err)
		}
		if len(open) != 1 || len(open[0]) != len(test.text) || slices.Min(open[0]) < 0 || slices.Max(open[0]) > 1 || slices.Max(open[0]) == 0 {
			t.Errorf("%s: opens from %v to %v", v.name, slices.Min(open[0]), slices.Max(open[0]))
		}
	}
}

// What opens a bank in a line, by a base that begins each line anew, is that line alone; with the state carried over it
// is not.
func TestFreshLinesForgetWhatCameBefore(t *testing.T) {
	m := base.Pocket()
	last := "the engine was rebuilt in the spring"
	for _, kind := range []evidenceKind{{fresh: true}, {fresh: true, wide: true}, {}, {wide: true}} {
		var tails [2][]float32
		for k, before := range []string{"Good morrow, my lord, and farewell.\n", "turn the lights off in the kitchen, please\n"} {
			rows, dim := features(m, []byte(strings.Repeat(before, 4)+last), kind)
			tails[k] = rows[len(rows)-len(last)*dim:]
		}
		if same := slices.Equal(tails[0], tails[1]); same != kind.fresh {
			t.Errorf("%+v: the same whatever came before: %v", kind, same)
		}
	}
}

// solved solves.
func TestSolved(t *testing.T) {
	a := []float64{4, 1, 0, 1, 3, 1, 0, 1, 2}
	x, err := solved(a, []float64{1, 2, 3}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		sum := restartRidge * 3 * x[i] // the mean variance is 3
		for j := range 3 {
			sum += a[i*3+j] * x[j]
		}
		if math.Abs(sum-float64(i+1)) > 1e-6 {
			t.Errorf("row %d gives %v", i, sum)
		}
	}
	if _, err := solved([]float64{-1}, []float64{1}, 1); err == nil {
		t.Error("a negative covariance was solved")
	}
}
