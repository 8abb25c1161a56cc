package learning

import (
	"bytes"
	"errors"
	"testing"

	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

func textOf(b []byte) []sense.Event { return sense.Text(b) }

// What a donor has learnt a recipient has without learning, and its own skill stays.
func TestFoldTransplants(t *testing.T) {
	donor := teach(t, Config{Rate: 0.002, Seed: 1}, "pump", readings(1, 6000))
	recipient := teach(t, Config{Rate: 0.002, Seed: 2}, "cook", recipes(1, 6000))
	skill, own, old := readings(2, 2500), recipes(2, 2500), dreams()[:3000]
	none := base.Pocket()
	measure := func() [3]float64 {
		m := recipient.Settled()
		return [3]float64{bits(m, skill), bits(m, own), bits(m, old)}
	}
	before, best := measure(), bits(donor.Settled(), skill)
	ownWeights := sum(recipient.Skill("", "cook").bank.Weights)

	if _, err := recipient.Fold("donor", decode(t, export(t, donor, "pump"))); err != nil {
		t.Fatal(err)
	}
	after := measure()
	arrived := (before[0] - after[0]) / (before[0] - best)
	t.Logf("skill %.3f to %.3f, the donor has %.3f, so %.2f of it arrived; own %.3f to %.3f (base %.3f); old %.4f to %.4f",
		before[0], after[0], best, arrived, before[1], after[1], bits(none, own), before[2], after[2])
	if arrived < 0.9 {
		t.Errorf("%.2f of the skill arrived", arrived)
	}
	if after[1] > 1.05*before[1] {
		t.Errorf("own skill: %.3f bits a byte before and %.3f after", before[1], after[1])
	}
	if after[2] > 1.02*before[2] {
		t.Errorf("what the base knew: %.4f bits a byte before and %.4f after", before[2], after[2])
	}
	if sum(recipient.Skill("", "cook").bank.Weights) != ownWeights {
		t.Error("folding wrote into a skill of our own")
	}
	if s := recipient.Skill("donor", "pump"); s == nil || s.Own() || s.Report.Open < 0.9 || s.Events == 0 {
		t.Errorf("the skill came out as %+v", s)
	}
}

// A skill that speaks up in the owner's own context and talks nonsense is undone to the bit.
func TestFoldUndoesHarm(t *testing.T) {
	l := teach(t, Config{Rate: 0.002, Seed: 1}, "pump", readings(1, 3000))
	l.Settle()
	d := decode(t, export(t, teach(t, Config{Rate: 0.002, Seed: 2}, "cook", recipes(1, 3000)), "cook"))
	kind := decode(t, export(t, teach(t, Config{Rate: 0.002, Seed: 3}, "cook", recipes(2, 3000)), "cook"))
	d.samples = sampleEvidence(l.Base(), readings(1, 3000), 8) // it claims the owner's context
	for i := range d.bank.Weights {
		d.bank.Weights[i] *= 30
	}
	was := snapshot(t, l)
	model := l.Settled()
	gain, err := l.Fold("mallory", d)
	if !errors.Is(err, ErrHarm) || gain >= 0 {
		t.Fatalf("a gain of %v, %v", gain, err)
	}
	if !bytes.Equal(snapshot(t, l), was) {
		t.Error("the harm was not undone to the bit")
	}
	if !sameThought(l.Settled(), model, readings(4, 1000)) {
		t.Error("the mind thinks otherwise than before")
	}

	// The same in the place of a version that did no harm: that one stays.
	if _, err := l.Fold("mallory", kind); err != nil {
		t.Fatal(err)
	}
	was = snapshot(t, l)
	if _, err := l.Fold("mallory", d); !errors.Is(err, ErrHarm) {
		t.Fatal(err)
	}
	if !bytes.Equal(snapshot(t, l), was) {
		t.Error("the version before was not brought back to the bit")
	}

	// And it learns on as if nothing had been offered.
	twin := newLearner(t, l.cfg)
	if err := twin.ReadSnapshot(was); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := l.Fold("mallory", d); !errors.Is(err, ErrHarm) {
			t.Fatal(err)
		}
		twin.Settle() // as a trial does
		l.Read(textOf(readings(5, 100)))
		twin.Read(textOf(readings(5, 100)))
	}
	if !bytes.Equal(snapshot(t, l), snapshot(t, twin)) {
		t.Error("an offer that was undone changed what is learnt after it")
	}
}

// A newer version takes the place of an older one; the same name from another author does not.
func TestFoldReplaces(t *testing.T) {
	donor := teach(t, Config{Rate: 0.002, Seed: 1}, "pump", readings(1, 2000))
	old := export(t, donor, "pump")
	focus(t, donor, "pump")
	donor.Read(textOf(readings(2, 3000)))
	recent := export(t, donor, "pump")

	l, only := newLearner(t, Config{}), newLearner(t, Config{})
	for _, b := range [][]byte{old, recent} {
		if _, err := l.Fold("donor", decode(t, b)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := only.Fold("donor", decode(t, recent)); err != nil {
		t.Fatal(err)
	}
	if len(l.Skills()) != 1 || l.Skill("donor", "pump").Events != decode(t, recent).Events {
		t.Errorf("%d skills, the version of %d events", len(l.Skills()), l.Skill("donor", "pump").Events)
	}
	if !sameThought(l.Model(), only.Model(), readings(3, 1000)) {
		t.Error("something of the older version is left")
	}
	if _, err := l.Fold("somebody", decode(t, old)); err != nil || len(l.Skills()) != 2 {
		t.Errorf("another author's skill of that name: %d skills, %v", len(l.Skills()), err)
	}
}

func TestFoldRefuses(t *testing.T) {
	l := newLearner(t, Config{})
	b := smallDelta(t)
	if _, err := l.Fold("", decode(t, b)); err == nil {
		t.Error("folded a skill that nobody taught")
	}
	d := decode(t, b)
	d.Base[0]++
	if _, err := l.Fold("donor", d); !errors.Is(err, ErrDelta) {
		t.Errorf("folded a skill of another base: %v", err)
	}
	d = decode(t, b)
	d.samples = d.samples[1:]
	if _, err := l.Fold("donor", d); err == nil {
		t.Error("folded a skill with a part of a sample")
	}
	if len(l.Skills()) != 0 {
		t.Errorf("%d skills are left of what was refused", len(l.Skills()))
	}
}

// What came when there was nothing to try it on is judged when its author's next version comes: beside it that would do no harm.
func TestFoldUndoesWhatCameUntried(t *testing.T) {
	cfg := Config{Rate: 0.002, Seed: 1}
	poison := func() *Delta {
		d := decode(t, export(t, teach(t, cfg, "cook", recipes(1, 3000)), "cook"))
		d.samples = sampleEvidence(base.Pocket(), readings(1, 3000), 8)
		for i := range d.bank.Weights {
			d.bank.Weights[i] *= 30
		}
		return d
	}
	l := newLearner(t, cfg)
	if _, err := l.Fold("mallory", poison()); err != nil {
		t.Fatal(err)
	}
	focus(t, l, "pump")
	l.Read(textOf(readings(1, 3000)))
	focus(t, l, "")
	if gain, err := l.Fold("mallory", poison()); !errors.Is(err, ErrHarm) || gain >= 0 {
		t.Errorf("a gain of %v, %v", gain, err)
	}
	if l.Skill("mallory", "cook") != nil || l.Skill("", "pump") == nil {
		t.Error("what does harm is still there")
	}
}
