package learning

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// What learns are the skill's sections that fired, and nothing else: not the base, not what others taught.
func TestOnlyWhatFiredIsWritten(t *testing.T) {
	donor := teach(t, Config{Seed: 1}, "pump", readings(1, 3000))
	l := newLearner(t, Config{Chunk: 3, Sections: 16, Seed: 2})
	if _, err := l.Fold("someone", decode(t, export(t, donor, "pump"))); err != nil {
		t.Fatal(err)
	}
	focus(t, l, "cook")
	m := l.Base()
	print := m.Fingerprint()
	foreign, own := l.Skill("someone", "pump").bank, l.Skill("", "cook").bank
	foreignSum := sum(foreign.Weights)

	rested, moved := 0, 0
	text := sense.Text(recipes(1, 301))
	l.Observe(text[0])
	for chunk := range slices.Chunk(text[1:], 3) {
		before := own.Clone(m.Config)
		for _, e := range chunk {
			l.Observe(e)
		}
		for i, bl := range own.Layers {
			if bl.Sections == nil {
				continue
			}
			rt := &l.tape.Layers[i].Banks[1]
			size := len(bl.Sections) / own.Sections
			for s := range own.Sections {
				fired := rt.Start[s] != rt.Start[s+1]
				same := slices.Equal(bl.Sections[s*size:(s+1)*size], before.Layers[i].Sections[s*size:(s+1)*size]) &&
					slices.Equal(bl.Keys[s*m.Config.Width:(s+1)*m.Config.Width], before.Layers[i].Keys[s*m.Config.Width:(s+1)*m.Config.Width])
				switch {
				case !fired && !same:
					t.Fatalf("section %d of layer %d did not fire and was written", s, i)
				case fired && !same:
					moved++
				case !fired:
					rested++
				}
			}
		}
	}
	if moved == 0 || rested == 0 {
		t.Fatalf("%d sections were written, %d rested: the test sees only one kind", moved, rested)
	}
	if m.Fingerprint() != print {
		t.Error("the base was written")
	}
	if sum(foreign.Weights) != foreignSum {
		t.Error("a skill that another taught was written")
	}
}

// However the stream is cut into calls, it leads to the same mind: all that a snapshot holds is equal.
func TestSlicingDoesNotMatter(t *testing.T) {
	text := sense.Text(slices.Concat(recipes(3, 700), readings(3, 700), recipes(4, 633)))
	cfg := Config{Infancy: 200, Patience: 2, MaxSkills: 2, Rate: 0.002, Seed: 5}
	live := func(feed func(l *Learner, in []sense.Event)) []byte {
		l := newLearner(t, cfg)
		feed(l, text[:500])
		focus(t, l, "named")
		feed(l, text[500:1000])
		focus(t, l, "")
		feed(l, text[1000:1500])
		l.Flush()
		feed(l, text[1500:])
		return snapshot(t, l)
	}
	want := live(func(l *Learner, in []sense.Event) { l.Read(in) })
	r := rand.New(rand.NewPCG(1, 1))
	for name, feed := range map[string]func(l *Learner, in []sense.Event){
		"event by event": func(l *Learner, in []sense.Event) {
			for _, e := range in {
				l.Observe(e)
			}
		},
		"in any slices": func(l *Learner, in []sense.Event) {
			for len(in) > 0 {
				n := min(r.IntN(90), len(in))
				if n == 1 {
					l.Observe(in[0])
				} else {
					l.Read(in[:n])
				}
				in = in[n:]
			}
		},
	} {
		if got := live(feed); !bytes.Equal(got, want) {
			t.Errorf("%s, the stream led to another mind", name)
		}
	}
}

// The surprise that Observe tells is of the prediction that Predict made before it, and Read tells the sum.
func TestSurpriseIsOfThePrediction(t *testing.T) {
	l, r := newLearner(t, Config{Seed: 1}), newLearner(t, Config{Seed: 1})
	if l.Predict() != nil {
		t.Error("something is predicted before anything was seen")
	}
	text := sense.Text(readings(1, 400))
	var total float64
	for i, e := range text {
		logits := slices.Clone(l.Predict())
		nats := l.Observe(e)
		if i == 0 {
			if nats != 0 {
				t.Errorf("the first event of all has a surprise of %v", nats)
			}
			continue
		}
		var norm float64
		for _, v := range logits {
			norm += math.Exp(float64(v))
		}
		if want := math.Log(norm) - float64(logits[e.Byte]); math.Abs(nats-want) > 1e-4 {
			t.Fatalf("event %d: surprise %v, its prediction says %v", i, nats, want)
		}
		total += nats
	}
	var read float64
	for part := range slices.Chunk(text, 53) {
		read += r.Read(part)
	}
	if math.Abs(read-total) > 1e-3*total {
		t.Errorf("Read told %v nats, Observe %v", read, total)
	}
	if l.Events() != 400 || r.Events() != 400 {
		t.Errorf("%d and %d events", l.Events(), r.Events())
	}
	if n := l.Read(nil); n != 0 {
		t.Errorf("nothing surprised it by %v", n)
	}
}

// Flush learns what is pending, once.
func TestFlush(t *testing.T) {
	l := newLearner(t, Config{Seed: 1})
	l.Flush() // of nothing
	focus(t, l, "pump")
	l.Read(sense.Text(readings(1, 20)))
	s := l.Skill("", "pump")
	if s.Events != 0 {
		t.Fatalf("%d events were learnt before a chunk was full", s.Events)
	}
	l.Flush()
	if s.Events != 19 {
		t.Errorf("%d events were learnt, want all but the first", s.Events)
	}
	was := snapshot(t, l)
	l.Flush()
	if !bytes.Equal(snapshot(t, l), was) {
		t.Error("a second Flush changed something")
	}
}

// A text of a kind that the base does not know is read with less surprise by one who learns, and what the
// base knew stays as it was.
func TestLearningAndNotForgetting(t *testing.T) {
	m := base.Pocket()
	text, held, old := readings(1, 9000), readings(2, 3000), dreams()[:8000]
	l := newLearner(t, Config{Rate: 0.002, Seed: 1})
	learnt := l.Read(sense.Text(text)) / float64(len(text)-1) / math.Ln2
	static := bits(m, text)
	if learnt > 0.75*static {
		t.Errorf("learning it read with %.3f bits a byte, without with %.3f", learnt, static)
	}
	settled := l.Settled()
	before, after := bits(m, held), bits(settled, held)
	was, is := bits(m, old), bits(settled, old)
	running := func(m *model.Model) float64 { return evaluate(m, sense.Text(old), 256, nil).Bits }
	t.Logf("read %.3f (static %.3f); held out %.3f to %.3f; what it knew %.4f to %.4f", learnt, static, before, after, was, is)
	if after > 0.6*before {
		t.Errorf("held-out text of the new kind: %.3f bits a byte before and %.3f after", before, after)
	}
	if math.Abs(is-was) > 0.02*was { // the first hundred bytes of a stream open what no later ones do
		t.Errorf("what it knew: %.4f bits a byte before and %.4f after", was, is)
	}
	if was, is := running(m), running(settled); math.Abs(is-was) > 0.002*was {
		t.Errorf("what it knew, in a stream that runs: %.4f bits a byte before and %.4f after", was, is)
	}

	if err := l.Forget("", "memory"); err != nil {
		t.Fatal(err)
	}
	if !sameThought(l.Settled(), m, slices.Concat(held, old[:2000])) || !sameThought(l.Model(), m, held) {
		t.Error("without the skill the mind is not, to the bit, the base")
	}
	if err := l.Forget("", "memory"); err == nil {
		t.Error("forgot a skill that was not there")
	}
}

// Forgetting one skill leaves the mind that never had it.
func TestForgetOneOfTwo(t *testing.T) {
	pump, cook := export(t, teach(t, Config{Seed: 1}, "pump", readings(1, 4000)), "pump"), export(t, teach(t, Config{Seed: 2}, "cook", recipes(1, 4000)), "cook")
	both, one := newLearner(t, Config{}), newLearner(t, Config{})
	for _, b := range [][]byte{pump, cook} {
		if _, err := both.Fold("peer", decode(t, b)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.Fold("peer", decode(t, cook)); err != nil {
		t.Fatal(err)
	}
	text := slices.Concat(readings(3, 1500), recipes(3, 1500))
	if sameThought(both.Model(), one.Model(), text) {
		t.Fatal("the skill makes no difference, so this test sees nothing")
	}
	if err := both.Forget("peer", "pump"); err != nil {
		t.Fatal(err)
	}
	if !sameThought(both.Model(), one.Model(), text) {
		t.Error("something of the forgotten skill is left")
	}
}

// A skill that the owner names is written while it is named; after that another context does not reach it.
func TestFocus(t *testing.T) {
	l := newLearner(t, Config{Infancy: 2000, Patience: 4, MaxSkills: -1, Rate: 0.002, Seed: 1})
	focus(t, l, "pump")
	l.Read(sense.Text(readings(1, 1000)))
	if !l.Skill("", "pump").bank.Gate.Force {
		t.Error("a skill that is named is not open")
	}
	focus(t, l, "cook")
	pump := l.Skill("", "pump")
	was, events := sum(pump.bank.Weights), pump.Events
	if events != 999 {
		t.Errorf("%d events were learnt, all but the first were of it", events)
	}
	l.Read(sense.Text(recipes(1, 1000)))
	focus(t, l, "")
	cook := l.Skill("", "cook")
	if sum(pump.bank.Weights) != was || cook.Events != 999 { // each name begins a stream
		t.Errorf("what was said of another skill went into the first one, or not into its own: %d events", cook.Events)
	}
	l.Read(sense.Text(dreams()[:1000]))
	l.Read(sense.Text(readings(2, 1500))) // the pump's context, but nobody says so
	if n := pump.Events + cook.Events - events - 999; n != 0 {
		t.Errorf("%d events that were not named went into skills that were: whoever gets those would get them", n)
	}
	if pump.bank.Gate.Force || cook.bank.Gate.Force {
		t.Error("a skill that is named no more is open whatever the context is")
	}
	for _, bad := range []string{"memory", "memory-2", "two words", "a/b", "bell\a", "é", strings.Repeat("x", 65)} {
		if l.Focus(bad) == nil {
			t.Errorf("focus on %q", bad)
		}
	}
}

// What the owner named is not widened to what nobody named, even where nothing else may be grown.
func TestNamedSkillsAreNotWidened(t *testing.T) {
	l := newLearner(t, Config{MaxSkills: -1, Patience: 1, Seed: 1})
	focus(t, l, "pump")
	l.Read(textOf(readings(1, 1000)))
	focus(t, l, "")
	pump := l.Skill("", "pump")
	events := pump.Events
	l.Read(textOf(dreams()[:3000]))
	if n := pump.Events - events; n > 600 || len(l.Skills()) != 1 {
		t.Errorf("of 3000 events of no skill's context %d went into the one that was named; %d skills", n, len(l.Skills()))
	}
}

// Left to itself a learner begins a skill at once, keeps it open through its infancy, and begins another
// when none has been open for long; when it has as many as it may, it widens one.
func TestGrowth(t *testing.T) {
	l := newLearner(t, Config{Infancy: 640, Patience: 5, MaxSkills: 2, Rate: 0.002, Seed: 1})
	chunk := l.cfg.Chunk
	l.Read(sense.Text(readings(1, chunk+1)))
	if len(l.Skills()) != 1 || l.Skills()[0].Name != "memory" || !l.Skills()[0].bank.Gate.Force {
		t.Fatal("nothing was grown for what no skill explains")
	}
	l.Read(sense.Text(readings(2, 640-chunk)))
	first := l.Skill("", "memory")
	if first.Events != 640 || first.infant() {
		t.Fatalf("after %d events its infancy lasts on: %v", first.Events, first.infant())
	}
	l.Read(sense.Text(readings(3, 2000)))
	if len(l.Skills()) != 1 || first.Events < 2000 {
		t.Fatalf("%d skills and %d events in the first for one context", len(l.Skills()), first.Events)
	}

	// Another context: the gate closes, and a second skill comes, but not before Patience is over.
	in := sense.Text(dreams()[:6000])
	closed := 0
	for part := range slices.Chunk(in, chunk) {
		events := first.Events
		l.Read(part)
		if len(l.Skills()) > 1 {
			break
		}
		if first.Events == events {
			closed++
		}
	}
	second := l.Skill("", "memory-2")
	if second == nil || closed < l.cfg.Patience-1 {
		t.Fatalf("a second skill: %v, after %d chunks of silence, want %d", second != nil, closed, l.cfg.Patience-1)
	}
	l.Read(sense.Text(dreams()[6000:8000]))

	// However long none is open: there may be two skills and no more.
	before := first.Events + second.Events
	l.Read(sense.Text(dreams()[8000:14000]))
	if len(l.Skills()) != 2 {
		t.Errorf("%d skills, at most 2 were allowed", len(l.Skills()))
	}
	if got := first.Events + second.Events - before; got < 1500 {
		t.Errorf("of 6000 events that no skill explained %d were learnt", got)
	}
	if first.infant() || second.infant() { // widened for a time
		t.Error("a skill is open for ever")
	}
}

// The samples that a gate is solved from are bounded, and spread over all that was read.
func TestReservoir(t *testing.T) {
	l := newLearner(t, Config{Chunk: 8, Reservoir: 20, Recent: 100, Seed: 1})
	focus(t, l, "pump")
	l.Read(sense.Text(readings(1, 2001)))
	s := l.Skill("", "pump")
	if n := len(s.samples) / l.base.Config.ContextSize(); n != 20 || s.offered != 250 {
		t.Errorf("%d samples of %d offered", n, s.offered)
	}
	if n := len(l.recent); n < 100 || n > 125 {
		t.Errorf("%d recent events are kept", n)
	}
}

// Numbers that are not finite stay out of the skill, whatever the base makes of its input.
func TestNaNNeverSpreads(t *testing.T) {
	for _, scale := range []float32{1e8, 1e19, 1e30, 3e38} {
		m := base.Pocket().Thaw()
		for i := range m.Head.F32 {
			m.Head.F32[i] *= scale
		}
		l, err := New(Config{Seed: 1}, m)
		if err != nil {
			t.Fatal(err)
		}
		focus(t, l, "pump")
		l.Read(sense.Text(readings(1, 400)))
		s := l.Skill("", "pump")
		if !finiteAll(s.bank.Weights) || !finiteAll(s.opt.V) || !finiteAll(s.samples) {
			t.Errorf("with a head %g times as large, the skill has numbers that are not finite", scale)
		}
		if scale > 1e35 && s.Events != 0 {
			t.Errorf("with a head %g times as large %d events were learnt from", scale, s.Events)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	m := *base.Pocket()
	m.Background = nil
	if _, err := New(Config{}, &m); err != ErrNoBackground {
		t.Errorf("a base without background: %v", err)
	}
	for _, c := range []Config{{Chunk: -1}, {Chunk: 5000}, {Rate: -1}, {Rate: 2}, {Rule: "frozen"}} {
		if _, err := New(c, base.Pocket()); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// What is said once is known at once, by the fast layer or by the skill that it was said to; and a long talk, in which no sentence comes back, is not made
// harder by learning its sentences by heart.
func TestRehearsal(t *testing.T) {
	const fact = "my coffee is without sugar\n"
	l := newLearner(t, Config{Seed: 1})
	say := func(line string) (nats float64) {
		nats = l.Read(sense.Text([]byte(line)))
		l.Flush()
		return nats
	}
	before := Evaluate(l.Model(), []byte(fact), nil).Bits
	say(fact)
	a := l.AsideOf(l.Settled())
	a.Surprise(sense.Text([]byte("\nmy coffee is")))
	var said []byte
	for len(said) < len(fact) && !bytes.HasSuffix(said, []byte("\n")) {
		next := a.Expect()
		b := byte(slices.Index(next, slices.Max(next)))
		a.Step(sense.Event{Byte: b})
		said = append(said, b)
	}
	if string(said) != " without sugar\n" {
		t.Errorf("said once, my coffee is%q", said)
	}
	own := l
	l = newLearner(t, Config{Seed: 1})
	focus(t, l, "coffee")
	say(fact)
	if after := Evaluate(l.Model(), []byte(fact), nil).Bits; after > before/2 {
		t.Errorf("said once to a skill: %.2f bits a byte, before it was said %.2f", after, before)
	}
	l = own

	var with float64
	var all []byte
	for _, line := range strings.SplitAfter(string(dreams()[:6000]), "\n") {
		with += say(line)
		all = append(all, line...)
	}
	bits, without := with/float64(len(all))/math.Ln2, Evaluate(l.Base(), all, nil).Bits
	if bits > 1.03*without {
		t.Errorf("a talk costs %.3f bits a byte with all the learning, %.3f without any", bits, without)
	}
}
