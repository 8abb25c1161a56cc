package learning

import (
	"bytes"
	"encoding/binary"
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
	d, rep := merge(t, Merging{}, set)
	if d.Camps() != 2 || rep.Forks == 0 {
		t.Errorf("%d camps and %d forks", d.Camps(), rep.Forks)
	}
	if got := fmt.Sprintf("%x", d.Sum()); got != mergedSum {
		t.Errorf("merged to %s, it was %s", got, mergedSum)
	}
}

const mergedSum = "62dd93130eb739b687a839ff959e797ffab362956ade0e96ca6d5cc97ce3ff7d"

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
		camp, part := rand.New(rand.NewPCG(uint64(i%2), 7)), rand.New(rand.NewPCG(uint64(i%4), 5)) // what half of them agree on
		for k := range d.bank.Weights {
			common := camp.IntN(1 << 12)
			if k > len(d.bank.Weights)*3/4 { // in the last section others agree
				common = part.IntN(1 << 12)
			}
			d.bank.Weights[k] += float32(2*common+r.IntN(1<<12)-3<<11) / (1 << 14)
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

// heard is how well a mind that has only these skills predicts texts, in bits a byte.
func heard(t testing.TB, d *Delta, texts ...[]byte) (sum float64) {
	t.Helper()
	l := newLearner(t, Config{})
	if d != nil {
		if _, err := l.FoldMerged(d, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range texts {
		sum += bits(l.Settled(), text) / float64(len(texts))
	}
	return sum
}

// tales are of a language of a few hundred words, of which a short text has a part.
func tales(seed uint64, size int) []byte {
	words := rand.New(rand.NewPCG(1, 4))
	var known []string
	for range 400 {
		var w []byte
		for range 1 + words.IntN(3) {
			w = append(w, "ptkslmnrvg"[words.IntN(10)], "aeiou"[words.IntN(5)])
		}
		known = append(known, string(w))
	}
	r := rand.New(rand.NewPCG(seed, 3))
	var b bytes.Buffer
	for b.Len() < size {
		for range 4 + r.IntN(6) {
			fmt.Fprintf(&b, "%s ", known[int(float64(len(known))*r.Float64()*r.Float64())])
		}
		b.WriteString(".\n")
	}
	return b.Bytes()[:size]
}

// Who learnt of one language is better merged than the best of them is alone, and in a bank that is no more than twice as large.
func TestMergedIsBetterThanTheBest(t *testing.T) {
	set := versions(t, Config{Rate: 0.001}, 6, 4000, tales)
	held := tales(99, 8000)
	best := math.Inf(1)
	for _, x := range set {
		best = min(best, heard(t, x.Delta, held))
	}
	d, rep := merge(t, Merging{}, set)
	got := heard(t, d, held)
	t.Logf("untaught %.3f, the best author %.3f, merged %.3f bits a byte; %d sections of %d", heard(t, nil, held), best, got, d.Sections(), set[0].Delta.Sections())
	if !(got < best) {
		t.Errorf("merged %.3f bits a byte, the best author %.3f", got, best)
	}
	if d.Camps() != 1 || rep.Camp[5] != 0 || d.Sections() > 2*set[0].Delta.Sections() || d.Sections() != set[0].Delta.Sections()+rep.Forks {
		t.Errorf("%d camps, %d sections, forks %d", d.Camps(), d.Sections(), rep.Forks)
	}
}

// Authors who have nothing in common stay apart: each knows what he knew. The control averages them, and both lose nearly all.
func TestCampsStayApart(t *testing.T) {
	cfg := Config{Rate: 0.002}
	set := append(versions(t, cfg, 2, 4000, readings), versions(t, cfg, 2, 4000, recipes)...)
	for i := range set {
		set[i].Author = fmt.Sprint(i)
	}
	held := [][]byte{readings(50, 3000), recipes(50, 3000)}
	var single [2]float64
	for i, k := range []int{0, 2} {
		single[i] = heard(t, set[k].Delta, held[i])
	}
	d, rep := merge(t, Merging{}, set)
	whole, _ := merge(t, Merging{Whole: true}, set)
	if d.Camps() != 2 || rep.Camp[0] != rep.Camp[1] || rep.Camp[2] != rep.Camp[3] {
		t.Fatalf("the camps are %v", rep.Camp)
	}
	for i, text := range held {
		none, apart, averaged := heard(t, nil, text), heard(t, d, text), heard(t, whole, text)
		t.Logf("text %d: untaught %.3f, an author %.3f, camps apart %.3f, averaged %.3f bits a byte", i, none, single[i], apart, averaged)
		if none-apart < 0.95*(none-single[i]) || none-averaged > 0.8*(none-single[i]) {
			t.Errorf("text %d: untaught %.3f, an author %.3f, camps apart %.3f, averaged %.3f bits a byte", i, none, single[i], apart, averaged)
		}
	}

	again := unpack(t, pack(t, d, Packing{Bits: 32}, nil), nil)
	if again.Sum() != d.Sum() || again.Camps() != 2 || again.Digest() == [32]byte{} {
		t.Error("packed and unpacked again it is something else")
	}
	l := newLearner(t, cfg)
	for _, x := range set {
		if _, err := l.Fold(x.Author, x.Delta); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.FoldMerged(d, []string{"0", "1", "2", "3"}); err != nil || len(l.Skills()) != 2 {
		t.Errorf("four authors of one name cost %d banks, %v", len(l.Skills()), err)
	}
}

// What does harm in one camp is undone alone, and what the other camp brought stays.
func TestCampThatHarms(t *testing.T) {
	cfg := Config{Rate: 0.002, Seed: 9}
	d := twoCamps(t)
	bad := d.more[0]
	l := teach(t, cfg, "cook", recipes(9, 3000))
	bad.samples = slices.Clone(sampleEvidence(l.Base(), recipes(9, 3000), 8))
	for i := range bad.bank.Weights {
		bad.bank.Weights[i] = -30 * bad.bank.Weights[i]
	}
	if _, err := l.FoldMerged(bad, nil); !errors.Is(err, ErrHarm) {
		t.Fatalf("the camp alone does no harm: %v", err)
	}
	if _, err := l.Fold("1", unpack(t, pack(t, twoCamps(t).more[0], Packing{}, nil), nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.FoldMerged(d, []string{"0", "1"}); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, s := range l.Skills() {
		left = append(left, s.Author+"/"+s.Name)
	}
	if want := []string{"/cook", "1/pump", "many/pump"}; !slices.Equal(left, want) {
		t.Errorf("there are %q, want %q", left, want)
	}
}

// twoCamps are merged of two authors who have nothing in common.
func twoCamps(t testing.TB) *Delta {
	cfg := Config{Rate: 0.002, Sections: 6, Reservoir: 6, Recent: 64}
	a := travelled(t, teach(t, cfg, "pump", readings(1, 3000)), "pump")
	b := travelled(t, teach(t, cfg, "pump", recipes(1, 3000)), "pump")
	d, rep := merge(t, Merging{}, []Contribution{{"0", 1, 0, a}, {"1", 1, 0, b}})
	if d.Camps() != 2 {
		t.Fatalf("camps %v", rep.Camp)
	}
	return d
}

func TestCampsRefused(t *testing.T) {
	d := twoCamps(t)
	good := pack(t, d, Packing{}, nil)
	first, second := pack(t, d.more[0], Packing{}, nil), pack(t, d.more[0], Packing{}, nil)
	join := func(parts ...[]byte) []byte {
		b := []byte{campsMagic[0], campsMagic[1], campsMagic[2], campsMagic[3], byte(len(parts))}
		for _, p := range parts {
			b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
		}
		return b
	}
	other := *d.more[0]
	other.Name = "other"
	since := unpack(t, first, nil)
	m := base.Pocket()
	if _, err := DecodeDelta(join(first, second), m.Config, printOnce()); err != nil {
		t.Fatalf("what the test writes is not read: %v", err)
	}
	for i, b := range [][]byte{
		good[:len(good)-1], append(slices.Clone(good), 0), join(), join(first), join(first, first, first, first, first), join(good, first), join(first, good),
		join(first, pack(t, &other, Packing{}, nil)), join(first, pack(t, d.more[0], Packing{}, since)), join(first, nil), []byte(campsMagic), good[:9],
	} {
		if _, err := DecodeDelta(b, m.Config, printOnce()); !errors.Is(err, ErrDelta) {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, of := range [][]int{{-1}, {maxMerged}, {1, 1}, {2, 1}} {
		x := *d.more[0]
		x.members = of
		if _, err := x.Pack(m.Config, Packing{}, nil); err == nil {
			t.Errorf("packed a delta that was merged of %v", of)
		}
	}
}

// A third of liars moves a merge little; the control shows what they do to a plain mean.
func TestLiarsMoveLittle(t *testing.T) {
	set := versions(t, Config{Rate: 0.001}, 9, 3000, tales)
	held := tales(99, 4000)
	none := heard(t, nil, held)
	honest, _ := merge(t, Merging{}, set[3:])
	clean := none - heard(t, honest, held)
	c := base.Pocket().Config
	for name, lie := range map[string]func(r *rand.Rand, first, w float32) float32{
		"flipped": func(_ *rand.Rand, first, w float32) float32 { return first - 4*(w-first) },
		"scaled":  func(_ *rand.Rand, first, w float32) float32 { return first + 50*(w-first) },
		"noise":   func(r *rand.Rand, _, w float32) float32 { return w + float32(r.NormFloat64()) },
	} {
		lies := slices.Clone(set)
		r := rand.New(rand.NewPCG(3, 3))
		for i := range 3 {
			x := *set[i].Delta
			x.bank = x.bank.Clone(c)
			first := x.bank.Clone(c)
			seed(first, c, x.Base)
			for k, w := range x.bank.Weights {
				x.bank.Weights[k] = min(max(lie(r, first.Weights[k], w), -maxDeltaWeight), maxDeltaWeight)
			}
			lies[i].Delta = &x
		}
		d, rep := merge(t, Merging{}, lies)
		plain, _ := merge(t, Merging{Plain: true}, lies)
		kept, without := (none-heard(t, camp(d, 0), held))/clean, (none-heard(t, plain, held))/clean
		t.Logf("%s: of what the honest gain %.3f is kept, by a plain mean %.3f; camps %v", name, kept, without, rep.Camp)
		if name == "flipped" && (len(rep.Counted) != 6 || len(rep.Left) != 3 || rep.Left[0].Author != "author-00") {
			t.Errorf("who unsays what all say is not left out: %d count", len(rep.Counted))
		}
		if kept < 0.9 || without > 0.8 {
			t.Errorf("%s: of what the honest gain %.3f is kept, by a plain mean %.3f", name, kept, without)
		}
	}
}

// camp is one camp alone.
func camp(d *Delta, k int) *Delta {
	x := *append([]*Delta{d}, d.more...)[k]
	x.more = nil
	return &x
}
