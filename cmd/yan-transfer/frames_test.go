package main

import (
	"math"
	"testing"
	"time"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/senses"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
)

// Real frames: a node sees what a human did at the first 800, another steers at the last 200 by its lesson. The skill's name is the seed of its
// features: five more of them go without a network.
func TestRealFrames(t *testing.T) {
	const folder = "donkey_driving/compact/"
	if _, ok := dataset.Root(); !ok {
		t.Skip("the frames are not there: see $YAN_DATA")
	}
	set, err := dataset.OpenSet("frames:" + folder + "gray30x40-idx3-ubyte.gz," + folder + "steer_throttle-float32-idx.gz")
	if err != nil {
		t.Skip(err)
	}
	width, x, err := senses.Encode(set)
	if err != nil {
		t.Fatal(err)
	}
	donor, recipient, err := pair(t.TempDir(), node.ShareNone, 1, base.Pocket())
	if err != nil {
		t.Fatal(err)
	}
	defer donor.store.Close()
	defer recipient.store.Close()
	const learnt, piece = 800, 8
	u := make([]float32, len(set.Items))
	for i, e := range set.Items {
		u[i] = e.Values[0]
	}
	for i := 0; i < learnt; i += piece {
		a, err := donor.node.Follow(time.Now(), drivingName, width, x[i*width:(i+piece)*width], controls[:1], u[i:i+piece])
		if err := donor.keep(a, err); err != nil {
			t.Fatal(err)
		}
	}
	off := func(m mind) (sum float64) { // mean absolute error
		says := make([]float32, len(u)-learnt)
		if m != nil {
			m.Scores(says, x[learnt*width:])
		}
		for i, v := range says {
			sum += math.Abs(float64(u[learnt+i]-max(-1, min(1, v)))) / float64(len(says))
		}
		return sum
	}
	before := off(knowledge(recipient.node))
	if err := donor.keep(donor.node.SetTerms(time.Now(), drivingName, node.Terms{Policy: node.Public})); err != nil {
		t.Fatal(err)
	}
	size, _, err := trade(t.Context(), donor, recipient)
	if err != nil {
		t.Fatal(err)
	}
	a, b := off(knowledge(donor.node)), off(knowledge(recipient.node))
	t.Logf("off by %.4f before, the donor by %.4f, the recipient after by %.4f; %d bytes", before, a, b, size)
	if a > 0.2 || b > 1.05*a || before < 1.5*a {
		t.Errorf("off by %.3f before, the donor by %.3f, the recipient after by %.3f", before, a, b)
	}
	mean := a / 6
	for _, name := range []string{"driving-2", "driving-3", "driving-4", "driving-5", "driving-6"} {
		a, b := taught(t, learning.KnackConfig{Name: name, Inputs: width, Controls: true}, x[:learnt*width], u[:learnt])
		t.Logf("%s: off by %.4f, and by %.4f", name, off(a), off(b))
		if off(b) > 1.05*off(a) {
			t.Errorf("%s: off by %.3f, and by %.3f", name, off(a), off(b))
		}
		mean += off(a) / 6
	}
	if t.Logf("a mean of %.4f", mean); mean > 0.205 {
		t.Errorf("off by %.3f, a mean over six names", mean)
	}
}

// taught returns a knack that was shown what to do, and one that has its lesson.
func taught(t *testing.T, cfg learning.KnackConfig, x, u []float32) (a, b *learning.Knack) {
	t.Helper()
	a, err := learning.NewKnack(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = learning.NewKnack(cfg); err != nil {
		t.Fatal(err)
	}
	if err := a.Follow(x, controls[:1], u); err != nil {
		t.Fatal(err)
	}
	body, err := a.Lesson()
	if err != nil {
		t.Fatal(err)
	}
	l, err := learning.DecodeLesson(body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Fold("a", l); err != nil {
		t.Fatal(err)
	}
	return a, b
}
