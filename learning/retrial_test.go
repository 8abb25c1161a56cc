package learning

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/yanmesh/yan/model/base"
)

// liar speaks up where readings are read, and talks nonsense.
func liar(t *testing.T) *Delta {
	d := decode(t, export(t, teach(t, Config{Rate: 0.002, Seed: 2}, "cook", recipes(1, 3000)), "cook"))
	d.samples = sampleEvidence(base.Pocket(), readings(1, 3000), 8)
	for i := range d.bank.Weights {
		d.bank.Weights[i] *= 30
	}
	return d
}

// What nothing of the owner's spoke against when it came is removed when he comes to what it lies about, whether he names that or not; what
// helps him stays; and a mind that was put down in between does just the same. All that costs is bounded.
func TestRetrial(t *testing.T) {
	slow(t)
	const known, later = 1000, 3000
	for _, name := range []string{"", "pump"} {
		l := teach(t, Config{Seed: 1}, "soup", recipes(3, known))
		help := decode(t, export(t, teach(t, Config{Rate: 0.002, Seed: 3}, "levels", readings(2, 6000)), "levels"))
		for author, d := range map[string]*Delta{"mallory": liar(t), "donor": help} {
			if gain, err := l.Fold(author, d); err != nil || gain != 0 {
				t.Fatalf("with nothing to try it on, %s's skill is worth %v, %v", author, gain, err)
			}
		}
		focus(t, l, name)
		own := newLearner(t, l.cfg)
		if err := own.ReadSnapshot(snapshot(t, l)); err != nil {
			t.Fatal(err)
		}
		text := readings(5, later)
		var failures, again []Failure
		for i := 0; i < later; i += 100 {
			l.Read(textOf(text[i : i+100]))
			own.Read(textOf(text[i : i+100]))
			failures, again = append(failures, l.TakeFailures()...), append(again, own.TakeFailures()...)
			was := snapshot(t, own)
			own = newLearner(t, l.cfg)
			if err := own.ReadSnapshot(was); err != nil {
				t.Fatal(err)
			}
		}
		if len(failures) != 1 || failures[0].Author != "mallory" || failures[0].Name != "cook" || !(failures[0].Gain < 0) || failures[0].Merged() {
			t.Errorf("under %q: what failed is %v", name, failures)
		}
		if l.Skill("mallory", "cook") != nil || l.Skill("", "soup") == nil {
			t.Errorf("under %q: what does harm is still there, or something else is gone", name)
		}
		if s := l.Skill("donor", "levels"); s == nil || s.test.Trials < 4 || s.test.Worth <= 0 {
			t.Errorf("under %q: of what helps there is left %v", name, s != nil)
		}
		if !reflect.DeepEqual(failures, again) || !bytes.Equal(snapshot(t, l), snapshot(t, own)) {
			t.Errorf("under %q: a mind that was put down and taken up again is another: %v, %v", name, failures, again)
		}
		t.Logf("under %q: %d events thought of once more, of %d; %v", name, l.retried, l.Events()-known, failures)
		if l.retried == 0 || retryEvery*l.retried > l.Events() {
			t.Errorf("under %q: of %d events %d were thought of once more", name, l.Events(), l.retried)
		}
	}
}

// However short the lines are, trials take no more than their share of the work; and with nothing foreign they take none.
func TestRetrialIsBounded(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		l := newLearner(t, Config{Seed: 1, Harm: 1e9}) // nothing is ever removed
		if foreign {
			if _, err := l.Fold("mallory", liar(t)); err != nil {
				t.Fatal(err)
			}
		}
		text := readings(5, 1500)
		for i := 0; len(text) > 0; i++ {
			n := min(1+i*7%40, len(text))
			l.Read(textOf(text[:n]))
			l.Flush()
			text = text[n:]
			if retryEvery*l.retried > l.Events() {
				t.Fatalf("of %d events %d were thought of once more", l.Events(), l.retried)
			}
		}
		if foreign != (l.retried > 0) {
			t.Errorf("foreign %v: %d events were thought of once more", foreign, l.retried)
		}
	}
}

// A new version is not tried from the beginning, and what speaks for the old one does not speak for it.
func TestRetrialIsInherited(t *testing.T) {
	l := newLearner(t, Config{})
	for _, worth := range []float64{-0.04, 0.2} {
		if _, err := l.Fold("mallory", liar(t)); err != nil {
			t.Fatal(err)
		}
		s := l.Skill("mallory", "cook")
		s.test.Worth, s.test.Trials = worth, 7
		if _, err := l.Fold("mallory", liar(t)); err != nil {
			t.Fatal(err)
		}
		if s := l.Skill("mallory", "cook"); s.test.Trials != 7 || s.test.Worth != min(worth, 0) {
			t.Errorf("of a version with a worth of %v came %+v", worth, s.test)
		}
	}
}

// A merged skill that fails goes as any other, and tells that nobody in particular is to blame.
func TestRetrialOfMerged(t *testing.T) {
	for _, author := range []string{Many, Many + "-2"} {
		l := newLearner(t, Config{Seed: 1})
		if _, err := l.Fold(author, liar(t)); err != nil {
			t.Fatal(err)
		}
		l.Read(textOf(readings(5, 2000)))
		if f := l.TakeFailures(); len(f) != 1 || !f[0].Merged() || l.Skill(author, "cook") != nil {
			t.Errorf("what failed is %v", f)
		}
	}
}
