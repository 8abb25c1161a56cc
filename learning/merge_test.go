package learning

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/base"
)

// versions are what so many authors learnt under one name, each from a text of his own, as it comes over the wire.
func versions(t testing.TB, cfg Config, n, size int, text func(seed uint64, size int) []byte) (set []Contribution) {
	t.Helper()
	for i := range n {
		cfg.Seed = uint64(i)
		l := teach(t, cfg, "pump", text(uint64(i+1), size))
		set = append(set, Contribution{Author: fmt.Sprintf("author-%02d", i), Seq: 1, Made: int64(1000 * i), Delta: travelled(t, l, "pump")})
	}
	return set
}

// travelled is a skill as another device has it.
func travelled(t testing.TB, l *Learner, name string) *Delta {
	t.Helper()
	d, err := l.Export(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Pack(l.Base().Config, Packing{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, b)
}

func merge(t testing.TB, m Merging, set []Contribution) (*Delta, MergeReport) {
	t.Helper()
	d, rep, err := m.Merge(base.Pocket().Config, printOnce(), set)
	if err != nil {
		t.Fatal(err)
	}
	return d, rep
}

// A merge is a function of the set: whoever gathered it, in whatever order, with whatever repeats, and in whatever parts that
// were united later, it is the same to the bit.
func TestMergeIsOfTheSet(t *testing.T) {
	set := versions(t, small, 7, 600, readings)
	older := set[2]
	older.Seq, older.Delta = 0, set[3].Delta
	all := append(slices.Clone(set), older)
	want, rep := merge(t, Merging{}, all)
	if len(rep.Counted) != len(set) || len(rep.Left) != 1 || rep.Left[0].Seq != 0 {
		t.Fatalf("%d counted, left %v", len(rep.Counted), rep.Left)
	}
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 8))
		parts := make([][]Contribution, 1+r.IntN(4)) // devices that have gathered different things
		for _, x := range all {
			for range 1 + r.IntN(2) {
				k := r.IntN(len(parts))
				parts[k] = append(parts[k], x)
			}
		}
		for range 6 { // and tell one another
			a, b := r.IntN(len(parts)), r.IntN(len(parts))
			parts[a] = append(parts[a], parts[b][:min(len(parts[b]), 20)]...)
		}
		together := slices.Concat(parts...)
		r.Shuffle(len(together), func(i, j int) { together[i], together[j] = together[j], together[i] })
		got, again := merge(t, Merging{}, together)
		if got.Sum() != want.Sum() || !slices.Equal(again.Weights, rep.Weights) {
			t.Fatalf("seed %d: another merge of the same set", seed)
		}
	}
	less, _ := merge(t, Merging{}, all[1:])
	if less.Sum() == want.Sum() {
		t.Error("an author more or less makes no difference: this test shows nothing")
	}
}

// What is merged of machines that differ is the same to the bit: the sums were written down on another one.
func TestMergeIsTheSameEverywhere(t *testing.T) {
	set := invented(9)
	d, _ := merge(t, Merging{}, set)
	if got := fmt.Sprintf("%x", d.Sum()); got != mergedSum {
		t.Errorf("merged to %s, it was %s", got, mergedSum)
	}
}

const mergedSum = "d33581b56cbd99e449e2a8c0ee96d2b3806097a477e97f1f6a4d3ba76ea8f628"

// invented are versions that nobody learnt, made without any arithmetic that machines differ in.
func invented(n int) (set []Contribution) {
	m := base.Pocket()
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 6))
		l, err := New(Config{Sections: 3, Neurons: 4}, m)
		if err != nil {
			panic(err)
		}
		if err := l.Focus("pump"); err != nil {
			panic(err)
		}
		d := &Delta{Name: "pump", Base: printOnce(), Events: uint64(r.IntN(10000)), Gain: float64(r.IntN(100)) / 64, bank: l.skills[0].bank}
		for k := range d.bank.Weights {
			d.bank.Weights[k] += float32(r.IntN(1<<12)-1<<11+i*k%97) / (1 << 14)
		}
		for range 5 * m.Config.ContextSize() {
			d.samples = append(d.samples, float32(r.IntN(255)-127)/32)
		}
		set = append(set, Contribution{Author: fmt.Sprint(i), Seq: uint64(i), Made: int64(r.IntN(1 << 20)), Delta: d})
	}
	return set
}

// Events are a claim that anyone can make, and a clock can be set: neither makes a version count much more than others.
func TestEvidenceIsBounded(t *testing.T) {
	set := invented(5)
	for i := range set {
		set[i].Delta.Events, set[i].Made = 1000, 1<<30
	}
	_, rep := merge(t, Merging{}, set)
	for i, w := range rep.Weights {
		if math.Abs(w-0.2) > 1e-12 {
			t.Errorf("author %d of five alike weighs %v", i, w)
		}
	}
	set[0].Delta.Events, set[0].Made = math.MaxUint64, math.MaxInt64
	set[1].Delta.Events = 250
	set[2].Made -= 3 * staleAfter
	set[3].Made = math.MinInt64
	_, rep = merge(t, Merging{}, set)
	for i, want := range []float64{2, 0.5, 0.5, stalest, 1} {
		if got := rep.Weights[i] / rep.Weights[4]; math.Abs(got-want) > 1e-12 {
			t.Errorf("author %d weighs %v times what the last one does, want %v", i, got, want)
		}
	}
}

// What does not fit is left out and does not keep the others from being merged.
func TestMergeLeavesOut(t *testing.T) {
	set := invented(4)
	want, _ := merge(t, Merging{}, set)
	spoil := func(f func(d *Delta)) *Delta {
		d := *invented(1)[0].Delta
		d.bank = d.bank.Clone(base.Pocket().Config)
		f(&d)
		return &d
	}
	bad := []*Delta{
		nil, {},
		spoil(func(d *Delta) { d.Base[0]++ }), spoil(func(d *Delta) { d.Name = "other" }),
		spoil(func(d *Delta) { d.samples = d.samples[1:] }), spoil(func(d *Delta) { d.samples = nil }),
		spoil(func(d *Delta) { d.bank.Weights[9] = float32(math.NaN()) }), spoil(func(d *Delta) { d.bank.Weights[9] = 1000 }),
		spoil(func(d *Delta) { d.bank.Weights = d.bank.Weights[1:] }), decode(t, smallDelta(t)),
	}
	for i, d := range bad {
		got, rep := merge(t, Merging{}, append(slices.Clone(set), Contribution{Author: "mallory", Seq: 1, Delta: d}))
		if got.Sum() != want.Sum() || len(rep.Counted) != len(set) {
			t.Errorf("bad one %d had a say", i)
		}
	}
	if _, _, err := Merge(base.Pocket().Config, printOnce(), nil); !errors.Is(err, ErrMerge) {
		t.Errorf("nothing merged: %v", err)
	}
}

// A merged skill takes the place of what its authors taught singly, and of an earlier merged one; our own stays, and
// where it does harm all is as it was.
func TestFoldMerged(t *testing.T) {
	cfg := Config{Rate: 0.002, Seed: 9, Harm: 0.5}
	set := versions(t, cfg, 3, 2000, readings)
	l := teach(t, cfg, "pump", readings(9, 2000))
	l.Settle()
	for _, x := range set {
		if _, err := l.Fold(x.Author, x.Delta); err != nil {
			t.Fatal(err)
		}
	}
	other := decode(t, export(t, teach(t, cfg, "cook", recipes(1, 2000)), "cook"))
	if _, err := l.Fold(set[0].Author, other); err != nil {
		t.Fatal(err)
	}
	own := sum(l.Skill("", "pump").bank.Weights)
	merged, _ := merge(t, Merging{}, set)

	harm := *merged
	harm.bank = merged.bank.Clone(l.Base().Config)
	for i := range harm.bank.Weights {
		harm.bank.Weights[i] *= 30
	}
	was := snapshot(t, l)
	if gain, err := l.FoldMerged(&harm, []string{set[0].Author, set[1].Author, set[2].Author}); !errors.Is(err, ErrHarm) || gain >= 0 {
		t.Fatalf("a gain of %v, %v", gain, err)
	}
	if !bytes.Equal(snapshot(t, l), was) {
		t.Error("the harm was not undone to the bit")
	}

	for range 2 {
		if _, err := l.FoldMerged(merged, []string{set[0].Author, "", set[2].Author}); err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, s := range l.Skills() {
			left = append(left, s.Author+"/"+s.Name)
		}
		want := []string{"/pump", "many/pump", "author-01/pump", "author-00/cook"}
		if !slices.Equal(left, want) {
			t.Errorf("there are %q, want %q", left, want)
		}
	}
	if sum(l.Skill("", "pump").bank.Weights) != own {
		t.Error("our own skill was written")
	}
	twin := newLearner(t, cfg)
	if err := twin.ReadSnapshot(snapshot(t, l)); err != nil {
		t.Fatal(err)
	}
	l.Read(textOf(readings(5, 300)))
	twin.Read(textOf(readings(5, 300)))
	if !bytes.Equal(snapshot(t, l), snapshot(t, twin)) {
		t.Error("after a restart it goes on otherwise")
	}
}
