package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/protocol"
)

// hostile is a world in which the last two devices lie, and all speak of one thing under one name.
func hostile(a Attack) Options {
	o := small(6)
	o.Learning.Recent, o.Learning.Rate = 1024, 0.005
	o.Learning.Sections, o.Learning.Neurons = 4, 8
	o.Updates = 8
	for i := range o.Devices {
		d := &o.Devices[i]
		d.Skill, d.Stream, d.Held = "pump", lines(7, 2400+100*i)[100*i:], lines(7, 4000)[3600:]
		if i >= 4 {
			d.Attack = a
		}
	}
	return o
}

func bitsOf(t *testing.T, w *World) float64 {
	t.Helper()
	r, err := w.Examine(Exam{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Everyone.Bits
}

// Who lies to devices whose users speak of what the lie is about is undone, and in the end asked by nobody; the honest are as well off
// as if nothing had been said. The control believes everyone, and is not.
func TestLiarsAreAskedNoMore(t *testing.T) {
	silent, transcript, err := play(t, 1, hostile(Silent), sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(transcript, "\n") {
		if strings.Contains(line, "user-5 announces") {
			t.Errorf("who says nothing says %q", line)
		}
	}
	if s := silent.Standoff(); s != (Standoff{}) {
		t.Errorf("nobody lies, and %+v", s)
	}
	without := bitsOf(t, silent)
	w, _, err := play(t, 1, hostile(Flip), sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if s := w.Standoff(); s.Pairs != 8 || s.Shunned != 8 || s.Heard != 0 || s.Harmful == 0 {
		t.Errorf("honest against hostile: %+v", s)
	}
	with := bitsOf(t, w)
	o := hostile(Flip)
	o.Learning.Harm = 1e9
	naive, _, err := play(t, 1, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if s := naive.Standoff(); s.Shunned != 0 || s.Heard != 8 {
		t.Errorf("nothing is undone, and %+v", s)
	}
	t.Logf("without liars %.4f, with them %.4f, untried %.4f bits a byte", without, with, bitsOf(t, naive))
	if with > 1.01*without || bitsOf(t, naive) < 1.05*without {
		t.Errorf("without liars %.4f, with them %.4f, untried %.4f bits a byte", without, with, bitsOf(t, naive))
	}
}

// Every lie is well formed: it is verified and tried. What is not a lie is what the author learnt.
func TestLiesAreWellFormed(t *testing.T) {
	for _, a := range Attacks() {
		o := hostile(a)
		o.Learning.Harm = 1e9
		w, _, err := play(t, 2, o, sabotage{})
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if s := w.Standoff(); s.Heard != s.Pairs || s.Folded < 2*s.Pairs {
			t.Errorf("%s: %+v", a, s)
		}
		liar := w.devices[5]
		digests := map[protocol.Digest]bool{}
		for _, u := range liar.lies {
			digests[u.Digest] = true
			if err := u.Verify(); err != nil {
				t.Errorf("%s: %v", a, err)
			}
		}
		if stale := len(digests) == 1; stale != (a == Stale) {
			t.Errorf("%s: %d different bodies of %d", a, len(digests), len(liar.lies))
		}
	}
	d := Device{Stream: lines(1, 500), Attack: Trigger}
	for _, u := range d.said() {
		if !strings.HasSuffix(string(u), Backdoor[0]+Backdoor[1]) {
			t.Errorf("the user says %q", u)
		}
	}
}

// In the end every device may merge what it holds: a bank for all who speak of one thing.
func TestWorldMerges(t *testing.T) {
	o := hostile("")
	w, _, err := play(t, 3, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	before, after, err := w.Merge(learning.Merging{})
	if err != nil || before != 5 || after != 1 {
		t.Errorf("%v banks of others before, %v after, %v", before, after, err)
	}
	if !slices.ContainsFunc(w.devices[0].node.Learner().Skills(), func(s *learning.Skill) bool { return s.Author == learning.Many }) {
		t.Error("nothing was merged")
	}
}
