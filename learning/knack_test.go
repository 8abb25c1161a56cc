package learning

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func newKnack(t *testing.T, c KnackConfig) *Knack {
	t.Helper()
	if c.Name == "" {
		c.Name = "shapes"
	}
	k, err := NewKnack(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// users are devices whose owners each show some of the classes of one world, and examples that nobody showed.
func users(t *testing.T, seed uint64, cfg KnackConfig, each int, classes ...[]string) (ks []*Knack, x []float32, labels []string) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 3))
	x, labels = blobs(r, 4000, cfg.Inputs, 6)
	next := 1000 // the first ones are held out
	for _, mine := range classes {
		k := newKnack(t, cfg)
		for shown := 0; shown < each; next++ {
			if slices.Contains(mine, labels[next]) {
				if err := k.Show(x[next*cfg.Inputs:(next+1)*cfg.Inputs], labels[next:next+1]); err != nil {
					t.Fatal(err)
				}
				shown++
			}
		}
		ks = append(ks, k)
	}
	return ks, x[:1000*cfg.Inputs], labels[:1000]
}

func (k *Knack) right(x []float32, labels []string) float64 {
	n := 0
	for i, a := range k.Answer(x) {
		if a == labels[i] {
			n++
		}
	}
	return float64(n) / float64(len(labels))
}

func lessonOf(t *testing.T, k *Knack) *Lesson {
	t.Helper()
	b, err := k.Lesson()
	if err != nil {
		t.Fatal(err)
	}
	l, err := DecodeLesson(b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Two classes a device: alone it can name no others; taught by peers it names all of them nearly as well as one that was shown everything.
func TestKnackLearnsFromPeers(t *testing.T) {
	for seed := range uint64(3) {
		cfg := KnackConfig{Inputs: 24, Features: 128}
		ks, x, labels := users(t, seed, cfg, 40, []string{"0", "1"}, []string{"2", "3"}, []string{"4", "5"}, []string{"1", "2"}, []string{"5", "0"})
		alone := ks[0].right(x, labels)
		for i, k := range ks[1:] {
			if gain, err := ks[0].Fold(fmt.Sprint(i), lessonOf(t, k)); err != nil {
				t.Fatalf("seed %d: an honest lesson: %v, %v", seed, gain, err)
			}
		}
		all := newKnack(t, cfg)
		for _, k := range ks {
			if err := all.sumInto(k); err != nil {
				t.Fatal(err)
			}
		}
		with, central := ks[0].right(x, labels), all.right(x, labels)
		if alone > 0.4 || with < 0.97*central || central < 0.9 {
			t.Errorf("seed %d: %.3f right alone, %.3f taught, %.3f of all that was shown", seed, alone, with, central)
		}
	}
}

// sumInto adds what another has shown, exactly: what one device knows that saw everything.
func (k *Knack) sumInto(o *Knack) error {
	h, err := k.sum()
	if err != nil {
		return err
	}
	return h.Add(o.own.sums(o.names))
}

// In whatever order lessons come, however often, and whatever was there before, a knack knows the same to the bit; and what is forgotten is gone.
func TestKnackOrderCannotMatter(t *testing.T) {
	for seed := range uint64(4) {
		cfg := KnackConfig{Inputs: 10, Features: 40}
		ks, x, labels := users(t, seed, cfg, 30, []string{"0", "1"}, []string{"2", "3"}, []string{"4"}, []string{"1", "2", "3"})
		early := make([]*Lesson, len(ks))
		for i, k := range ks {
			early[i] = lessonOf(t, k)
			if err := k.Show(x[i*10*7:(i+1)*10*7], labels[i*7:(i+1)*7]); err != nil {
				t.Fatal(err)
			}
		}
		var first *Head
		for try := range 4 {
			r := rand.New(rand.NewPCG(seed, uint64(try)))
			k := newKnack(t, cfg)
			for _, i := range r.Perm(len(ks)) {
				for range r.IntN(3) {
					if _, err := k.Fold(fmt.Sprint(i), early[i]); err != nil {
						t.Fatal(err)
					}
				}
				if r.IntN(2) == 0 {
					k.Answer(x[:10]) // from here on sums are kept up to date
				}
			}
			for _, i := range r.Perm(len(ks)) {
				if _, err := k.Fold(fmt.Sprint(i), lessonOf(t, ks[i])); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := k.Fold("guest", early[0]); err != nil {
				t.Fatal(err)
			}
			if err := k.Forget("guest"); err != nil {
				t.Fatal(err)
			}
			h, err := k.sum()
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = h
			}
			if !h.Equal(first) || k.Examples() != 4*37 {
				t.Fatalf("seed %d, order %d: another sum, of %d examples", seed, try, k.Examples())
			}
		}
	}
}

// Answers without an example are those of a head that was never shown it.
func TestSolveLeavesOneOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	k := newKnack(t, KnackConfig{Inputs: 8, Features: 30})
	x, labels := blobs(r, 60, 8, 3)
	if err := k.Show(x, labels); err != nil {
		t.Fatal(err)
	}
	told, _, err := k.ask(k.own.sums(nil))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		less := k.own.sums(nil)
		ridge := less.trace()
		less.Forget(x[i*8:(i+1)*8], labels[i:i+1])
		less.cfg.Ridge *= ridge / less.trace() // it is a share of the trace: the same number as before
		out, err := less.Solve()
		if err != nil {
			t.Fatal(err)
		}
		scores := make([]float32, 3)
		out.Scores(scores, x[i*8:(i+1)*8])
		for c, v := range scores {
			if got := told.scores[i*3+c]; math.Abs(got-float64(v)) > 2e-4 {
				t.Fatalf("example %d, class %d: %v, and %v from one that was never shown it", i, c, got, v)
			}
		}
	}
}

func (h *Head) trace() (s float64) {
	for i := range h.width() {
		s += float64(h.moments[triangle(i, h.width())] / h.unit)
	}
	return s
}

// Lessons that do harm are undone, to the bit: names that are mixed up, and things that the owner showed under names that he never used. Without
// the trial they would ruin what he knows.
func TestKnackUndoesHarm(t *testing.T) {
	for seed := range uint64(3) {
		cfg := KnackConfig{Inputs: 16, Features: 64}
		ks, x, labels := users(t, seed, cfg, 60, []string{"0", "1", "2"}, []string{"0", "1", "2"}, []string{"3", "4"})
		mine, honest := ks[0], ks[1:]
		liar, thief := newKnack(t, cfg), newKnack(t, cfg)
		for i, label := range labels[:600] {
			row := x[i*16 : (i+1)*16]
			if label > "2" {
				continue
			}
			if err := errors.Join(liar.Show(row, []string{string("120"[label[0]-'0'])}), thief.Show(row, []string{"mine " + label})); err != nil {
				t.Fatal(err)
			}
		}
		for i, k := range honest {
			if _, err := mine.Fold(fmt.Sprint("honest", i), lessonOf(t, k)); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		h, err := mine.sum()
		if err != nil {
			t.Fatal(err)
		}
		before, err := newHeadOf(h)
		if err != nil {
			t.Fatal(err)
		}
		good := mine.right(x, labels)
		for name, k := range map[string]*Knack{"liar": liar, "thief": thief} {
			gain, err := mine.Fold(name, lessonOf(t, k))
			if !errors.Is(err, ErrHarm) || gain >= 0 {
				t.Errorf("seed %d: the lesson of a %s: %v, %v", seed, name, gain, err)
			}
			if h, err := mine.sum(); err != nil || !h.Equal(before) || len(mine.Authors()) != 2 {
				t.Errorf("seed %d: the lesson of a %s leaves a trace", seed, name)
			}
			fool := newKnack(t, cfg)
			if err := fool.sumInto(ks[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := fool.Fold(name, lessonOf(t, k)); err != nil {
				t.Fatal(err)
			}
			if share := fool.right(x, labels); share > good-0.2 {
				t.Errorf("seed %d: without a trial the lesson of a %s leaves %.3f of %.3f: the test shows nothing", seed, name, share, good)
			}
		}
	}
}

func newHeadOf(h *Head) (*Head, error) {
	n := newSums(h.cfg)
	return n, n.Add(h)
}

// What came when there was nothing to try it on is tried when the owner shows more; a liar's lesson goes and is told of, the honest one stays.
func TestKnackRegrets(t *testing.T) {
	for seed := range uint64(3) {
		cfg := KnackConfig{Inputs: 16, Features: 64}
		ks, x, labels := users(t, seed, cfg, 60, []string{"0", "1", "2"})
		mine, liar := newKnack(t, cfg), newKnack(t, cfg)
		var rows []float32
		var names []string
		for i, label := range labels[:700] {
			if label > "2" {
				continue
			}
			if i > 400 {
				rows, names = append(rows, x[i*16:(i+1)*16]...), append(names, label)
				continue
			}
			if err := liar.Show(x[i*16:(i+1)*16], []string{string("120"[label[0]-'0'])}); err != nil {
				t.Fatal(err)
			}
		}
		for author, k := range map[string]*Knack{"liar": liar, "honest": ks[0]} {
			if _, err := mine.Fold(author, lessonOf(t, k)); err != nil {
				t.Fatalf("there was nothing to try it on: %v", err)
			}
		}
		for i := range names {
			if err := mine.Show(rows[i*16:(i+1)*16], names[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		failed := mine.TakeFailures()
		if len(failed) != 1 || failed[0].Author != "liar" || failed[0].Gain >= 0 || !slices.Equal(mine.Authors(), []string{"honest"}) {
			t.Errorf("seed %d: failed %v, left %q", seed, failed, mine.Authors())
		}
		if mine.TakeFailures() != nil {
			t.Error("failures are told twice")
		}
	}
}

// What to do is learnt from peers as well, the names of controls in any order; and who does the opposite is undone.
func TestKnackControls(t *testing.T) {
	cfg := KnackConfig{Inputs: 12, Features: 128, Controls: true}
	r := rand.New(rand.NewPCG(3, 3))
	drive := func(n int, sign float64, left bool) (x, u []float32) {
		for range n {
			a, b := r.Float64(), r.Float64()*2-1
			if left {
				a = -a
			}
			for i := range 12 {
				x = append(x, float32(a*math.Cos(float64(i))+b*math.Sin(float64(i)))/1.5)
			}
			u = append(u, float32(sign*0.8*math.Sin(2*a)), float32(sign*(a*b)))
		}
		return x, u
	}
	names := []string{"throttle", "steer"}
	mine, peer, fool := newKnack(t, cfg), newKnack(t, cfg), newKnack(t, cfg)
	for i, k := range []*Knack{mine, peer, fool} {
		x, u := drive(200, []float64{1, 1, -1}[i], i > 0)
		if err := k.Follow(x, names, u); err != nil {
			t.Fatal(err)
		}
	}
	x, u := drive(200, 1, true)
	off := func() (sum float64) {
		does := make([]float32, len(u))
		mine.Scores(does, x)
		for i := range u {
			sum += math.Abs(float64(u[i]-does[i^1])) / float64(len(u)) // sorted, steer comes first
		}
		return sum
	}
	before := off()
	if gain, err := mine.Fold("peer", lessonOf(t, peer)); err != nil {
		t.Fatal(gain, err)
	}
	if after := off(); after > before/3 || after > 0.1 {
		t.Errorf("off by %.3f before and %.3f after a peer taught it", before, after)
	}
	own, ownTo := drive(100, 1, false)
	if err := fool.Follow(own, names, negative(ownTo)); err != nil {
		t.Fatal(err)
	}
	if gain, err := mine.Fold("fool", lessonOf(t, fool)); !errors.Is(err, ErrHarm) {
		t.Errorf("the opposite: %v, %v", gain, err)
	}
	if err := mine.Follow(x[:12], []string{"brake"}, u[:1]); err == nil {
		t.Error("other controls")
	}
	if mine.Show(x[:12], []string{"left"}) == nil || mine.Answer(x[:12]) != nil {
		t.Error("it tells classes")
	}
	if got := mine.Classes(); !slices.Equal(got, []string{"steer", "throttle"}) {
		t.Errorf("controls %q", got)
	}
}

// A shuffled read-out has the same weights, and says something else; what is solved is what is answered.
func TestShuffledReadout(t *testing.T) {
	k := newKnack(t, KnackConfig{Inputs: 8, Features: 64})
	x, labels := blobs(rand.New(rand.NewPCG(1, 2)), 90, 8, 3)
	if err := k.Show(x, labels); err != nil {
		t.Fatal(err)
	}
	r, err := k.Solve()
	if err != nil {
		t.Fatal(err)
	}
	mixed := r.Shuffled(rand.New(rand.NewPCG(3, 4)))
	if !slices.Equal(r.Answer(x), k.Answer(x)) || slices.Equal(mixed.Answer(x), r.Answer(x)) {
		t.Error("it answers as if nothing had been shuffled, or something had")
	}
	for c := range 3 {
		column := func(w []float32) (list []float32) {
			for i := c; i < len(w); i += 3 {
				list = append(list, w[i])
			}
			slices.Sort(list)
			return list
		}
		if !slices.Equal(column(r.weights), column(mixed.weights)) {
			t.Errorf("class %d has other weights", c)
		}
	}
}

func negative(u []float32) []float32 {
	n := make([]float32, len(u))
	for i, v := range u {
		n[i] = -v
	}
	return n
}

// A knack that is written down and read goes on to the same numbers, as features and as sums.
func TestKnackSnapshot(t *testing.T) {
	for _, each := range []int{20, 60} {
		cfg := KnackConfig{Inputs: 16, Features: 40}
		ks, x, labels := users(t, 7, cfg, each, []string{"0", "1"}, []string{"2", "3"}, []string{"3", "4"})
		a, bodies := ks[0], map[[32]byte][]byte{}
		for i, k := range ks[1:] {
			b := lessonOf(t, k)
			if _, err := a.Fold(fmt.Sprint(i), b); err != nil {
				t.Fatal(err)
			}
			bodies[a.Digests()[i]] = b.body
		}
		if (a.own.head != nil) != (each > 40) {
			t.Fatalf("%d examples as sums: %v", each, a.own.head != nil)
		}
		written, err := a.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		b := new(Knack)
		if err := b.UnmarshalJSON(written); err != nil {
			t.Fatal(err)
		}
		if err := b.Show(x[:16], labels[:1]); !errors.Is(err, errAsleep) {
			t.Errorf("before it wakes: %v", err)
		}
		b.Wake(func(d [32]byte) ([]byte, bool) { body, ok := bodies[d]; return body, ok })
		if again, err := b.MarshalJSON(); err != nil || string(again) != string(written) || b.due != a.due || a.due == 0 {
			t.Errorf("written again it is something else, %v", err)
		}
		for _, k := range []*Knack{a, b} {
			if err := k.Show(x[:32*16], labels[:32]); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Fold("new", lessonOf(t, ks[2])); err != nil {
				t.Fatal(err)
			}
		}
		one, _ := a.MarshalJSON()
		two, _ := b.MarshalJSON()
		if string(one) != string(two) || !slices.Equal(a.Answer(x[:160]), b.Answer(x[:160])) {
			t.Error("it goes on to something else")
		}
		for _, bad := range []string{`{`, `{}`, strings.Replace(string(written), `"Own"`, `"Inputs":0,"Own"`, 1), strings.Replace(string(written), `"Rows"`, `"Kept":{"Rows":"AAAA","Labels":["x"]},"Rows"`, 1) + "x"} {
			if new(Knack).UnmarshalJSON([]byte(bad)) == nil {
				t.Errorf("%.60s was read", bad)
			}
		}
		b.Wake(nil) // nothing is asleep
		c := new(Knack)
		if err := c.UnmarshalJSON(written); err != nil {
			t.Fatal(err)
		}
		if c.Wake(func([32]byte) ([]byte, bool) { return nil, false }); len(c.Authors()) != 0 || c.Show(x[:16], labels[:1]) != nil {
			t.Error("what is lost is not forgotten")
		}
	}
}

func TestKnackRefuses(t *testing.T) {
	for _, c := range []KnackConfig{{Name: "a b", Inputs: 1}, {Name: "a"}, {Name: "a", Inputs: 1 << 20}, {Name: "a", Inputs: 1, Features: 4096}, {Name: "a", Inputs: 1, Features: -1}} {
		if _, err := NewKnack(c); err == nil {
			t.Errorf("%+v is a knack", c)
		}
	}
	k := newKnack(t, KnackConfig{Inputs: 2, Features: 8})
	if k.Answer([]float32{0, 1}) != nil || k.Forget("") == nil || k.Forget("who") == nil {
		t.Error("it knows something of nothing")
	}
	if _, err := k.Lesson(); !errors.Is(err, ErrNoClasses) {
		t.Errorf("a lesson of nothing: %v", err)
	}
	for name, err := range map[string]error{
		"too few numbers": k.Show([]float32{1}, []string{"a"}), "no label": k.Show([]float32{1, 1}, []string{""}), "a control": k.Follow([]float32{1, 1}, []string{"a"}, []float32{1}),
		"a label of two lines": k.Show([]float32{1, 1}, []string{"a\nb"}),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if k.Own() != 0 || k.own.rows.labels != nil {
		t.Error("what was refused leaves a trace")
	}
	if err := k.Show([]float32{1, 0, 0, 1}, []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	body := lessonOf(t, k)
	for _, c := range []KnackConfig{{Name: "other", Inputs: 2, Features: 8}, {Inputs: 3, Features: 8}, {Inputs: 2, Features: 9}, {Inputs: 2, Features: 8, Controls: true}} {
		if _, err := newKnack(t, c).Fold("who", body); !errors.Is(err, ErrDelta) {
			t.Errorf("%+v took in a lesson of another: %v", c, err)
		}
	}
	if _, err := k.Fold("", body); err == nil {
		t.Error("a lesson of nobody")
	}
	if c := body.Shape(); c != (KnackConfig{Name: "shapes", Inputs: 2, Features: 8}) {
		t.Errorf("its shape is %+v", c)
	}
}

// A knack of 128 features that was shown a hundred examples, and taught by four peers who have bodies of their own, takes little memory; the random
// features are there once for all.
func TestKnackIsSmall(t *testing.T) {
	cfg := KnackConfig{Inputs: 400, Features: 128}
	r := rand.New(rand.NewPCG(5, 5))
	x, labels := blobs(r, 100, cfg.Inputs, 10)
	teacher := shownKnack(t, 1, cfg.Inputs, cfg.Features, 60, false)
	lesson := lessonOf(t, teacher)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools hold goes with the second
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const devices = 8
	ks := make([]*Knack, devices)
	before := heap()
	for i := range ks {
		ks[i] = newKnack(t, cfg)
		if err := ks[i].Show(x, labels); err != nil {
			t.Fatal(err)
		}
		for author := range 4 {
			if _, err := ks[i].Fold(fmt.Sprint(author), lesson); err != nil && !errors.Is(err, ErrHarm) {
				t.Fatal(err)
			}
		}
		ks[i].Answer(x[:cfg.Inputs])
	}
	each := (heap() - before) / devices
	if len(ks[0].Authors()) == 0 || ks[0].all == nil || each > 150_000 {
		t.Errorf("%d bytes each, %d lessons taken in", each, len(ks[0].Authors()))
	}
	t.Logf("%d bytes each", each)
	runtime.KeepAlive(teacher)
	runtime.KeepAlive(ks)
}
