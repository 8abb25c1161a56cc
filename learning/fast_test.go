package learning

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// What is repeated is expected, at once, and a model that writes nothing expects it no more than before.
func TestFastLayerRemembers(t *testing.T) {
	text := textOf(recipes(1, 4000))
	cost := func(fast int) (first, later float64) {
		l := newLearner(t, Config{Fast: fast, Rate: 1e-9, Seed: 1})
		first = l.Read(text)
		return first, l.Read(text)
	}
	alone, again := cost(-1)
	if math.Abs(again-alone) > 0.1*alone {
		t.Errorf("without a fast layer the second reading costs %.0f nats, the first %.0f", again, alone)
	}
	first, later := cost(0)
	if first > 0.8*alone || later > 0.8*first {
		t.Errorf("read with %.0f nats, then with %.0f; with no fast layer %.0f", first, later, alone)
	}
}

// Where the rows that a cue addresses are empty, and where they are not heeded, the mix is the model alone.
func TestMixOfNothing(t *testing.T) {
	f := newFast(1 << 10)
	logits := make([]float32, sense.Symbols)
	for i := range logits {
		logits[i] = float32(math.Sin(float64(i)))
	}
	var x mixer
	var c cue
	var o opinion
	f.think(&c, &o)
	x.mix(f, logits, &o, 1)
	if !slices.Equal(x.mixed[:], logits) {
		t.Error("rows that heard nothing say something")
	}
	f.hear(&c, &o, 'x', false)
	f.think(&c, &o)
	x.mix(f, logits, &o, 0)
	if !slices.Equal(x.mixed[:], logits) {
		t.Error("it is not heeded and says something")
	}
	x.mix(f, logits, &o, 1)
	if gain := surprise(logits, sense.Event{Byte: 'x'}) - surprise(x.mixed[:], sense.Event{Byte: 'x'}); gain < 1 {
		t.Errorf("what it heard before is expected by %.2f nats more", gain)
	}
}

// What the owner said is heeded where nothing else is: a question begins in words that the answer did not.
func TestToldIsHeeded(t *testing.T) {
	f := newFast(1 << 10)
	logits := make([]float32, sense.Symbols)
	var c cue
	for _, b := range []byte("Vodak is ") {
		c.pass(f, b, true)
	}
	said := []sense.Event{{Byte: 'x'}}
	var x mixer
	var o opinion
	f.repeat(c, said)
	f.think(&c, &o)
	x.mix(f, logits, &o, 0)
	if gain := surprise(logits, said[0]) - surprise(x.mixed[:], said[0]); gain < 1 {
		t.Errorf("what the owner said is expected by %.2f nats more", gain)
	}
	o.Rows[toldCue] = noOpinion.Rows[toldCue]
	x.mix(f, logits, &o, 0)
	if !slices.Equal(x.mixed[:], logits) {
		t.Error("the other rows are heeded too")
	}
}

// The weights' gradient is that of the surprise, by finite differences.
func TestMixerGradient(t *testing.T) {
	f := newFast(1 << 12)
	var c cue
	var o opinion
	for _, b := range []byte(strings.Repeat("the cat sat on the mat, the rat sat on the hat. ", 3)) {
		f.think(&c, &o)
		f.hear(&c, &o, b, false)
		c.pass(f, b, true)
	}
	f.think(&c, &o)
	logits := make([]float32, sense.Symbols)
	for i := range logits {
		logits[i] = float32(2 * math.Sin(float64(i)))
	}
	var x mixer
	var g [fastTrusts]fastWeights
	e := sense.Event{Byte: 't'}
	x.mix(f, logits, &o, 1)
	x.learn(&g, logits, &o, e.Byte)
	trust, seen := x.trust, 0
	check := func(name string, w *float32, got float32) {
		t.Helper()
		const step = 1e-2
		was := *w
		at := func(v float32) float64 {
			*w = v
			x.mix(f, logits, &o, 1)
			return surprise(x.mixed[:], e)
		}
		slope := (at(was+step) - at(was-step)) / (2 * step)
		*w = was
		if math.Abs(slope+float64(got)) > 0.02*max(math.Abs(slope), 0.1) {
			t.Errorf("%s: gradient %.4f, by finite differences %.4f", name, -got, slope)
		}
	}
	w := &f.Weights[trust]
	for i := range o.Rows {
		if k := o.Rows[i].Kind; k >= 0 {
			seen++
			check("row", &w.Rows[i][k], g[trust].Rows[i][k])
		}
	}
	check("model", &w.Model, 10*g[trust].Model)
	if seen < 6 {
		t.Errorf("only %d rows had something to say", seen)
	}
}

// A row that the event did not address is not touched.
func TestFastLayerIsSparse(t *testing.T) {
	f := newFast(1 << 16)
	var c cue
	var o opinion
	for _, b := range recipes(1, 2000) {
		f.think(&c, &o)
		f.hear(&c, &o, b, false)
		c.pass(f, b, true)
	}
	was := slices.Clone(f.rows)
	var keys [fastCues]uint32
	c.keys(&keys)
	f.think(&c, &o)
	f.hear(&c, &o, 'T', false)
	touched := 0
	for i, r := range f.rows {
		if r != was[i] {
			touched++
			if !slices.ContainsFunc(keys[:], func(key uint32) bool { return int(key)*rowWays&(len(f.rows)-1) == i/rowWays*rowWays }) {
				t.Fatalf("row %d was written and not addressed", i)
			}
		}
	}
	if touched == 0 {
		t.Error("nothing was written")
	}
}

// The memory is bounded, and keeps what it knew when it is widened.
func TestFastLayerIsBounded(t *testing.T) {
	l := newLearner(t, Config{Fast: 1 << 12, Seed: 1})
	l.Read(textOf(dreams()[:12000]))
	if n := len(l.fast.rows); n != 1<<12 {
		t.Errorf("%d rows, 4096 were allowed and needed", n)
	}
	f := newFast(1 << 20)
	for key := uint32(1); f.used <= len(f.rows)/2; key++ {
		f.room(key*0x9e3779b1, false).hear(byte(key), false)
	}
	was := f.used
	f.widen()
	if f.used != was {
		t.Errorf("%d rows are used, %d were before there was more room", f.used, was)
	}
	for key := uint32(1); key <= uint32(was); key++ {
		if r := f.find(key * 0x9e3779b1); r == nil || r.Sym[0] != byte(key) {
			t.Fatalf("what cue %d led to is lost", key)
		}
	}
}

// What the owner says under a name leaves no trace in the fast layer, and forgetting what grew clears it.
func TestFastLayerAndNames(t *testing.T) {
	l := newLearner(t, Config{Seed: 1})
	focus(t, l, "pump")
	l.Read(textOf(readings(1, 500)))
	if l.fast.used != 0 {
		t.Errorf("%d rows were written while a skill had the word", l.fast.used)
	}
	focus(t, l, "")
	l.Read(textOf(recipes(1, 500)))
	if l.fast.used == 0 {
		t.Fatal("nothing was learnt")
	}
	if err := l.Forget("", "memory"); err != nil {
		t.Fatal(err)
	}
	if l.fast.used != 0 {
		t.Error("what was to be forgotten is in the fast layer still")
	}
	l.Read(textOf(recipes(1, 500)))
}

// An aside that goes on expects what the stream does; one that begins anew recalls what was said; neither is noticed.
func TestAside(t *testing.T) {
	l := newLearner(t, Config{Seed: 1})
	if a := l.Aside(); a.Expect() != nil {
		t.Error("something is expected before anything was seen")
	}
	l.Read(textOf([]byte("my coffee is without sugar\n")))
	l.Flush()
	l.Read(textOf(dreams()[:3000]))
	was := string(snapshot(t, l))
	a := l.GoOn()
	if !slices.Equal(a.Expect(), l.Predict()) {
		t.Error("it goes on from elsewhere")
	}
	b := l.Aside()
	b.Surprise(textOf([]byte("\nmy coffee is")))
	c := b.Fork()
	right := b.Surprise(textOf([]byte(" without sugar")))
	if wrong := c.Surprise(textOf([]byte(" under the moon"))); wrong < right+4 {
		t.Errorf("what was said surprises by %.1f nats, what was not by %.1f", right, wrong)
	}
	if string(snapshot(t, l)) != was {
		t.Error("a thought aside has changed the mind")
	}

	// A text of another kind is soon read as the model alone would read it.
	old := textOf(dreams()[6000:12000])
	nats := l.AsideOf(base.Pocket()).Surprise(old) / float64(len(old)-1) / math.Ln2
	if alone := bits(base.Pocket(), dreams()[6000:12000]); nats > 1.01*alone {
		t.Errorf("%.4f bits a byte with the fast layer, %.4f without", nats, alone)
	}
}

// Numbers that no stream can lead to are no fast layer's.
func TestFastCheck(t *testing.T) {
	nan := float32(math.NaN())
	for name, spoil := range map[string]func(f *fast, o *opinion){
		"weight":        func(f *fast, _ *opinion) { f.Weights[1].Rows[2][3] = nan },
		"model weight":  func(f *fast, _ *opinion) { f.Weights[2].Model = nan },
		"held too much": func(f *fast, _ *opinion) { f.Held[0][0] = f.Met[0][0] + 1 },
		"met never":     func(f *fast, _ *opinion) { f.Met[3][3] = 0 },
		"rows":          func(f *fast, _ *opinion) { f.rows = f.rows[:1000] },
		"words":         func(f *fast, _ *opinion) { f.words = f.words[1:] },
		"kind":          func(_ *fast, o *opinion) { o.Rows[4].Kind = rowKinds },
		"symbols":       func(_ *fast, o *opinion) { o.Rows[4].N = rowSymbols + 1 },
		"log":           func(_ *fast, o *opinion) { o.Rows[4].LogP[0] = nan },
		"other":         func(_ *fast, o *opinion) { o.Rows[4].Other = nan },
	} {
		f, o := newFast(1<<12), noOpinion
		if f.check() != nil || o.check() != nil {
			t.Fatal("a new one is refused")
		}
		spoil(f, &o)
		if f.check() == nil && o.check() == nil {
			t.Errorf("%s: taken for a fast layer's", name)
		}
	}
}

// A snapshot whose fast layer is none is refused.
func TestFastSnapshotRefuses(t *testing.T) {
	l := newLearner(t, Config{Seed: 1})
	l.Read(textOf(recipes(1, 300)))
	was := snapshot(t, l)
	for _, change := range [][2]string{{`\"Rows\":ROWS`, `\"Rows\":4095`}, {`\"Rows\":ROWS`, `\"Rows\":-4`}, {`\"Heed\":`, `\"Heed\":1e999,\"H\":`}} {
		n := newLearner(t, Config{Seed: 1})
		change[0] = strings.Replace(change[0], "ROWS", strconv.Itoa(len(l.fast.rows)), 1)
		if err := n.ReadSnapshot(rewrite(t, was, change[0], change[1])); err == nil {
			t.Errorf("%s was taken for %s", change[1], change[0])
		}
	}
	n := newLearner(t, Config{Fast: -1, Seed: 1})
	if err := n.ReadSnapshot(was); err != nil || n.fast != nil {
		t.Errorf("one who wants no fast layer: %v", err)
	}
	without := snapshot(t, n)
	if err := l.ReadSnapshot(without); err != nil || l.fast == nil || l.fast.used != 0 {
		t.Errorf("one from before there was a fast layer: %v", err)
	}
	l.Read(textOf(recipes(1, 300)))
}

// What the owner said of somebody answers a question in words in which it was not said. What merely stood in a text that
// went by does not: too much of what follows a rare word there means nothing.
func TestFastLayerIsTold(t *testing.T) {
	values := []string{"zopel", "mirug", "tavin", "dusob", "kelat", "ponim", "gerus", "labid"}
	names := []string{"Vodak", "Rimul", "Senat", "Tobig", "Nufas", "Pelor", "Kadiz", "Bumev"}
	asked := func(line func(l *Learner)) (right int) {
		l, err := New(Config{MaxSkills: -1, Seed: 1}, base.Pocket())
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			l.Read(sense.Text(fmt.Appendf(nil, "what %s drinks is %s\n", name, values[i])))
			line(l)
		}
		for i, name := range names {
			a := l.Aside()
			a.Surprise(sense.Text([]byte("\nfor " + name + "'s cup, take ")))
			var nats []float64
			for _, v := range values {
				nats = append(nats, a.Fork().Surprise(sense.Text([]byte(v))))
			}
			if slices.Index(nats, slices.Min(nats)) == i {
				right++
			}
		}
		return right
	}
	if right := asked((*Learner).Flush); right < len(names)-1 {
		t.Errorf("right about %d of %d that it was told of", right, len(names))
	}
	if right := asked(func(*Learner) {}); right > len(names)/2 {
		t.Errorf("right about %d of %d in a text that went by", right, len(names))
	}
}
