package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/protocol"
)

// hostile is a world in which the last device lies, and all speak of one thing under one name.
func hostile(a Attack) Options {
	o := small(4)
	o.Learning = learning.Config{Sections: 4, Neurons: 8, Rehearse: 1, Recent: 1024, Reservoir: 16, Rate: 0.005}
	o.Updates = 6
	for i := range o.Devices {
		d := &o.Devices[i]
		d.Skill, d.Stream, d.Held = "pump", lines(7, 3000)[100*i:2500+100*i], lines(7, 3400)[3000:]
	}
	o.Devices[3].Attack = a
	return o
}

// Who lies to devices whose users speak of what the lie is about is undone, then asked no more, and forgotten; the honest are as well off
// as if nothing had been said. The control believes everyone.
func TestLiarsAreAskedNoMore(t *testing.T) {
	slow(t)
	bits := map[string]float64{}
	for _, tt := range []struct {
		name   string
		attack Attack
		harm   float64
	}{{"silent", Silent, 0}, {"tried", Flip, 0}, {"untried", Flip, 1e9}} {
		o := hostile(tt.attack)
		o.Learning.Harm = tt.harm
		w, transcript, err := play(t, 1, o, sabotage{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.Examine(Exam{Likely: true})
		if err != nil {
			t.Fatal(err)
		}
		bits[tt.name] = r.Everyone.Bits
		s := w.Standoff()
		switch tt.name {
		case "silent":
			if s != (Standoff{Others: 6, Wronged: s.Wronged}) || strings.Contains(transcript, "user-3 announces") || r.Everyone.Bytes != 3*r.Own.Bytes {
				t.Errorf("who says nothing: %+v, asked %+v", s, r)
			}
		case "tried":
			if s.Pairs != 3 || s.Shunned == 0 || s.Shunned+s.Heard > s.Pairs || s.Harmful < 3*s.Shunned {
				t.Errorf("tried: %+v", s)
			}
		default:
			if s.Shunned != 0 || s.Heard != 3 || s.Harmful != 0 {
				t.Errorf("untried: %+v", s)
			}
		}
	}
	t.Logf("bits a byte: %v", bits)
	if bits["tried"] > 1.01*bits["silent"] {
		t.Errorf("bits a byte: %v", bits)
	}
}

// Every lie is well formed: it is verified, tried and taken where nothing is undone. What is not a lie is what the author learnt.
func TestLiesAreWellFormed(t *testing.T) {
	slow(t)
	o := hostile("")
	o.Learning.Harm = 1e9
	honest := o.Devices[0]
	o.Devices = o.Devices[:1]
	for i, a := range Attacks() {
		d := honest
		d.Name, d.Attack, d.Stream = string(a), a, lines(7, 3000)[50*i:1500+50*i]
		o.Devices = append(o.Devices, d)
	}
	w, _, err := play(t, 2, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if s := w.Standoff(); s.Heard != s.Pairs || s.Pairs != len(Attacks()) || s.Folded < 2*s.Pairs {
		t.Errorf("%+v", s)
	}
	for _, liar := range w.devices[1:] {
		digests := map[protocol.Digest]bool{}
		for _, u := range liar.lies {
			digests[u.Digest] = true
			if err := u.Verify(); err != nil {
				t.Errorf("%s: %v", liar.opt.Attack, err)
			}
		}
		if stale := len(digests) == 1; len(liar.lies) < 2 || stale != (liar.opt.Attack == Stale) {
			t.Errorf("%s: %d different bodies of %d", liar.opt.Attack, len(digests), len(liar.lies))
		}
	}
	d := Device{Stream: lines(1, 500), Attack: Trigger}
	for _, u := range d.said() {
		if !strings.HasSuffix(string(u), Backdoor[0]+Backdoor[1]) {
			t.Errorf("the user says %q", u)
		}
	}
}

// In the end every device may merge what it holds: fewer banks for all who speak of one thing.
func TestWorldMerges(t *testing.T) {
	slow(t)
	o := hostile("")
	w, _, err := play(t, 3, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	before, after, err := w.Merge(learning.Merging{})
	if err != nil || !(after >= 1 && after < before) {
		t.Errorf("%v banks of others before, %v after, %v", before, after, err)
	}
	merged := func(d *device) bool {
		return slices.ContainsFunc(d.node.Learner().Skills(), func(s *learning.Skill) bool { return s.Author == learning.Many })
	}
	if !slices.ContainsFunc(w.devices, merged) {
		t.Error("nothing was merged")
	}
}
