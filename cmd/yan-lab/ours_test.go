package main

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// taught is a pupil that learnt generated prose in turn with verse, and what it is asked with.
func taught(t *testing.T) (*pupil, *stream) {
	t.Helper()
	verse := utterances(dataset.Shipped("verse").Bytes()[:15000], least)
	prose := utterances(dataset.Shipped("prose").Bytes()[:15000], least)
	s := interleaved(verse[:len(verse)*2/3], prose[:len(prose)*2/3])
	test := interleaved(verse[len(verse)*2/3:], prose[len(prose)*2/3:])
	p, err := newPupil(&schoolings[0], base.Pocket(), []string{"prose"}, 0.002, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.learn(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	return p, test
}

// Every view of a pupil has the skill that it was taught; they differ in when it is open alone, or in its weights alone.
func TestViews(t *testing.T) {
	p, test := taught(t)
	var first []float32
	for _, v := range slices.Concat(schoolings[0].views, ablations[0].views) {
		q, err := p.question(&v)
		if err != nil {
			t.Fatal(err)
		}
		if len(q.settled.Banks) != 1 {
			t.Fatalf("%s: %d banks", v.name, len(q.settled.Banks))
		}
		w := q.settled.Banks[0].Weights
		if first == nil {
			first = slices.Clone(w)
		}
		if same := slices.Equal(w, first); same == v.last {
			t.Errorf("%s: the weights are those that it was left with: %v", v.name, !same)
		}
		nats := v.reads(q)(test.text)
		if len(nats) != len(test.text) || slices.ContainsFunc(nats, func(v float64) bool { return !(v >= 0) || v > 100 }) {
			t.Errorf("%s: surprises of %d bytes for %d", v.name, len(nats), len(test.text))
		}
		if v.opens == nil {
			continue
		}
		open := v.opens(q, test.text)
		if len(open) != 1 || len(open[0]) != len(test.text) || slices.Min(open[0]) < 0 || slices.Max(open[0]) > 1+1e-9 || slices.Max(open[0]) == 0 {
			t.Errorf("%s: opens from %v to %v", v.name, slices.Min(open[0]), slices.Max(open[0]))
		}
	}
}

// Read event by event a text surprises as it does in chunks.
func TestEventwise(t *testing.T) {
	m := base.Pocket()
	text := dataset.Shipped("prose").Bytes()[:3000]
	want := predicts(m)(text)
	got := eventwise(func() func(sense.Event) []float32 {
		s := m.NewState()
		return func(e sense.Event) []float32 { return m.Step(s, e) }
	})(text)
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-3 {
			t.Fatalf("byte %d: %v, want %v", i, got[i], want[i])
		}
	}
}
