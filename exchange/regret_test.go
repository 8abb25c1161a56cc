package exchange

import (
	"testing"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// regretted is a world in which b has judged versions of a's skill as told, one after the other.
func regretted(gains ...int64) (*world, *node) {
	w := newWorld()
	w.add("a", nil)
	w.add("b", nil)
	w.meet("a", "b")
	for i, gain := range gains {
		w.offer("a", "music", 100+i, 5)
		w.run(time.Minute)
		b := w.node("b")
		w.do(b, b.m.Judge(w.now, protocol.UpdateID{Author: id("a"), Seq: uint64(i) + 1}, protocol.Folded, gain))
	}
	return w, w.node("b")
}

// What did harm after it was taken in counts as if it had on trial, once, and takes back what it was given for; its held version is
// merged no more.
func TestRegret(t *testing.T) {
	w, b := regretted(50)
	if len(b.m.versions()["music"]) != 1 {
		t.Fatal("nothing to merge")
	}
	for range 3 { // again and again of the same
		w.do(b, b.m.Regret(w.now, id("a"), "music", -70))
	}
	want := Standing{Author: id("a"), Harmful: 1, Gain: -70}
	if l := b.m.Ledger(); len(l) != 1 || l[0] != want {
		t.Errorf("%+v, want %+v", l, want)
	}
	if len(b.m.versions()["music"]) != 0 {
		t.Error("what did harm is merged")
	}
	w.run(time.Minute)
	if ws := w.node("a").m.Worth(); len(ws) != 1 || ws[0].Harmful != 1 || ws[0].Folded != 0 || ws[0].Gain != -70 {
		t.Errorf("its author was told %+v", ws)
	}
	before := b.m.Ledger()
	w.do(b, b.m.Regret(w.now, id("x"), "music", -70))
	w.do(b, b.m.Regret(w.now, id("b"), "music", -70))
	if l := b.m.Ledger(); len(l) != len(before) {
		t.Errorf("somebody who taught nothing is blamed: %+v", l)
	}
}

// Each version of one skill that does harm counts, also where the next one was no skill at all; and who helps elsewhere is still asked.
func TestRegretShuns(t *testing.T) {
	for _, c := range []struct {
		help    int64
		verdict protocol.Verdict
		shunned bool
	}{{0, protocol.Folded, true}, {1000, protocol.Folded, false}, {0, protocol.Refused, true}} {
		w, b := regretted()
		if c.help > 0 {
			w.offer("a", "birds", 90, 5)
			w.run(time.Minute)
			w.do(b, b.m.Judge(w.now, protocol.UpdateID{Author: id("a"), Seq: b.m.Held()[0].Seq}, protocol.Folded, c.help))
		}
		for i := range harmsToShun {
			if b.m.Shuns(id("a")) {
				t.Fatalf("%+v: shunned after %d versions", c, i)
			}
			w.offer("a", "music", 100+i, 5)
			w.run(time.Minute)
			e := b.m.skills[skillKey{id("a"), "music"}]
			w.do(b, b.m.Judge(w.now, e.u.ID, protocol.Folded, 0))
			if c.verdict == protocol.Refused {
				w.offer("a", "music", 200+i, 5)
				w.run(time.Minute)
				w.do(b, b.m.Judge(w.now, b.m.skills[skillKey{id("a"), "music"}].u.ID, protocol.Refused, 0))
			}
			w.do(b, b.m.Regret(w.now, id("a"), "music", -70))
		}
		if b.m.Shuns(id("a")) != c.shunned {
			t.Errorf("%+v: %+v", c, b.m.Ledger())
		}
		if held := len(b.m.Held()); (held == 0) != c.shunned {
			t.Errorf("%+v: %d of the author's are held", c, held)
		}
	}
}
