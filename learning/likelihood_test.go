package learning

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// follow has a belief see n events in lines of 16, of which who says how much each surprises which mind, and returns the
// surprise of all minds together, and of the best of each line.
func follow(t *testing.T, b *belief, n int, nats func(line, mind int) float64) (mixed, best float64) {
	t.Helper()
	list := make([]float64, len(b.now))
	for i := range n {
		least := math.Inf(1)
		var p, all float64
		for k, w := range b.now {
			list[k] = nats(i/16, k)
			least = min(least, list[k])
			p += w * math.Exp(-list[k])
			all += w
		}
		if math.Abs(all-1) > 1e-9 || slices.Min(b.now) < 0 {
			t.Fatalf("at %d it believes %v", i, b.now)
		}
		mixed, best = mixed-math.Log(p), best+least
		b.saw(list, i%16 == 15)
	}
	return mixed, best
}

// Who agree are one; among several, what is paid beyond the best of each line is bounded by what it costs to find it
// again: −ln of what the end of a line hands to it (Herbster and Warmuth 1998), once where nobody takes turns.
func TestBeliefFindsWhoIsRight(t *testing.T) {
	const lines = 60
	if mixed, best := follow(t, newBelief(3), 16*lines, func(int, int) float64 { return 1 }); math.Abs(mixed-best) > 1e-6 {
		t.Errorf("three who agree cost %v, each of them %v", mixed, best)
	}
	inTurn := func(line, mind int) float64 {
		if mind == line%2 {
			return 0.2
		}
		return 3
	}
	mixed, best := follow(t, newBelief(2), 16*lines, inTurn)
	if bound := best + lines*-math.Log(0.5*habits[len(habits)-1]*(1-firstBase)) + 16*lines*-math.Log(1-innerShare); mixed < best || mixed > bound {
		t.Errorf("in turn they cost %v: the best of each line cost %v, the bound is %v", mixed, best, bound)
	}
	for always := range 2 {
		b := newBelief(2)
		mixed, best := follow(t, b, 16*lines, func(_, mind int) float64 { return inTurn(always, mind) })
		if bound := best - math.Log(1-firstBase) + 2; mixed > bound {
			t.Errorf("of who always speaks: cost %v, the best %v", mixed, best)
		}
		if b.now[always] < 0.9 {
			t.Errorf("who always spoke is believed by %v", b.now[always])
		}
	}
}

// Who is believed no more is not asked again in the line, and is in the next.
func TestBeliefAsksWhomItBelieves(t *testing.T) {
	b := newBelief(3)
	for i := range 8 {
		b.saw([]float64{4, 0.1, 4}, false)
		if i > 4 && (b.now[0] != 0 || b.now[2] != 0) {
			t.Fatalf("after %d events %v", i+1, b.now)
		}
	}
	if !b.saw([]float64{9, 0.1, 9}, true) || slices.Min(b.now) == 0 {
		t.Errorf("in the next line %v", b.now)
	}
	for range longLine - 1 {
		if b.saw([]float64{4, 0.1, 4}, false) {
			t.Fatal("a line ended that had no end")
		}
	}
	if !b.saw([]float64{4, 0.1, 4}, false) {
		t.Error("a line without an end never ends")
	}
}

// inLines is text of two kinds in turn, a line each, and where the lines of the second are.
func inLines(a, b []byte) (text []byte, second []bool) {
	as, bs := bytes.SplitAfter(a, []byte{'\n'}), bytes.SplitAfter(b, []byte{'\n'})
	for i := range min(len(as), len(bs)) - 1 {
		for k, line := range [][]byte{as[i], bs[i]} {
			line = append(bytes.Trim(line, "\r\n"), '\n')
			text = append(text, line...)
			second = append(second, slices.Repeat([]bool{k == 1}, len(line))...)
		}
	}
	return text, second
}

// lineBits reads a text event by event and returns the bits a byte of both kinds of line.
func lineBits(step func(sense.Event) []float32, text []byte, second []bool) (first, other float64) {
	var nats, n [2]float64
	for i, e := range sense.Text(text[:len(text)-1]) {
		k := 0
		if second[i+1] {
			k = 1
		}
		nats[k] += surprise(step(e), sense.Text(text[i+1 : i+2])[0])
		n[k]++
	}
	return nats[0] / n[0] / math.Ln2, nats[1] / n[1] / math.Ln2
}

// A reader with no skills is the base. With one, it reads a stream of its context as well as the gate does, a stream of the
// base's own nearly as the base does, and where both come in turn each line by who knows it, which the gate does not.
func TestReaderOpensByLikelihood(t *testing.T) {
	m := base.Pocket()
	old := dreams()[6000:9000]
	if e, minds := NewReader(m).Evaluate(old, nil); math.Abs(e.Bits-bits(m, old)) > 1e-4 || minds != 1 {
		t.Errorf("without skills it reads %v bits a byte with %v minds, the base %v", e.Bits, minds, bits(m, old))
	}
	l := teach(t, Config{Seed: 1, Rate: 0.002}, "pump", readings(1, 9000))
	settled := l.Settled()
	own := readings(9, 3000)
	with, minds := NewReader(settled).Evaluate(own, nil)
	gated := bits(settled, own)
	if with.Bits > 1.005*gated || minds > 1.5 {
		t.Errorf("of its context %v bits a byte with %v minds, by the gate %v", with.Bits, minds, gated)
	}
	if e, _ := NewReader(settled).Evaluate(old, nil); e.Bits > 1.005*bits(m, old) {
		t.Errorf("of the base's own %v bits a byte, the base %v", e.Bits, bits(m, old))
	}

	text, second := inLines(bytes.ReplaceAll(old, []byte(". "), []byte(". \n")), own)
	s := m.NewState()
	baseOld, baseOwn := lineBits(func(e sense.Event) []float32 { return m.Step(s, e) }, text, second)
	s = settled.NewState()
	gateOld, gateOwn := lineBits(func(e sense.Event) []float32 { return settled.Step(s, e) }, text, second)
	r := NewReader(settled)
	readOld, readOwn := lineBits(r.Step, text, second)
	if readOld > 1.02*baseOld || baseOwn-readOwn < 0.7*(baseOwn-with.Bits) {
		t.Errorf("in turn: the base %v and %v bits a byte, by likelihood %v and %v", baseOld, baseOwn, readOld, readOwn)
	}
	if gateOwn-readOwn < 0.05 && gateOld-readOld < 0.05 {
		t.Errorf("the gate reads lines in turn as well (%v and %v bits a byte): the test shows nothing", gateOld, gateOwn)
	}
	if sum := normalise(slices.Clone(r.Believed())); math.Abs(sum-1) > 1e-9 {
		t.Errorf("beliefs sum to %v", sum)
	}
}

// A fork goes its own way, and what both read alike they predict alike.
func TestReaderFork(t *testing.T) {
	l := teach(t, Config{Seed: 1}, "pump", readings(1, 1500))
	a := NewReader(l.Settled())
	a.Evaluate(readings(2, 200), nil)
	b := a.Fork()
	b.Evaluate(dreams()[:300], nil)
	c := a.Fork()
	for _, e := range textOf(readings(3, 200)) {
		if !slices.Equal(a.Step(e), c.Step(e)) {
			t.Fatal("two that read the same part")
		}
	}
}

// Of very many skills few are asked at once, and the right one is found all the same.
func TestReaderAsksFew(t *testing.T) {
	m := base.Pocket()
	l := teach(t, Config{Seed: 1, Rate: 0.002}, "pump", readings(1, 6000))
	pump := l.Settled().Banks[0]
	dim := m.Config.ContextSize()
	var banks []*model.Bank
	for range 30 {
		b := *pump.Clone(m.Config)
		clear(b.Weights)
		b.Gate = model.Gate{Own: make([]float32, dim), OwnBias: -1e6}
		banks = append(banks, &b)
	}
	r := NewReader(m.WithBanks(append(banks, pump)...))
	most := 0
	own := textOf(readings(9, 2000))
	for i, e := range own {
		r.Step(e)
		most = max(most, r.Asked())
		for k, w := range r.Believed() {
			if w > 0 && r.minds[k].state.Events != uint64(i+1) {
				t.Fatalf("mind %d is asked after %d events, and its thought is of %d", k, i+1, r.minds[k].state.Events)
			}
		}
	}
	if most > inDoubt+1 || most < 3 {
		t.Errorf("%d were asked at once", most)
	}
	if b := r.Believed(); b[len(b)-1] < 0.5 {
		t.Errorf("the right one is believed by %v", b[len(b)-1])
	}
}

// A skill whose predictions are no numbers harms nobody.
func TestReaderOfNoNumbers(t *testing.T) {
	m := base.Pocket()
	b, err := model.NewBank(m.Config, "bad", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range b.Layers {
		for i := range l.Sections {
			l.Sections[i] = float32(math.NaN())
		}
	}
	old := dreams()[6000:8000]
	r := NewReader(m.WithBanks(b))
	for _, x := range textOf([]byte("a line\nand another\n")) {
		if !finiteAll(r.Step(x)) {
			t.Fatal("what it expects is no numbers")
		}
	}
	e, _ := NewReader(m.WithBanks(b)).Evaluate(old, nil)
	if !(e.Bits < 1.02*bits(m, old)) {
		t.Errorf("%v bits a byte beside one who says nothing, the base alone %v", e.Bits, bits(m, old))
	}
}

// In other streams skills open by likelihood, unless gates alone were asked for.
func TestAsideOfAnotherStream(t *testing.T) {
	l := teach(t, Config{Seed: 1, Fast: -1}, "pump", readings(1, 3000))
	text := readings(9, 1000)
	m := l.Settled()
	e, _ := NewReader(m).Evaluate(text, nil)
	nats := func() float64 { return l.AsideOf(m).Surprise(textOf(text)) / float64(len(text)-1) / math.Ln2 }
	if got := nats(); math.Abs(got-e.Bits) > 1e-6 {
		t.Errorf("aside %v bits a byte, a reader %v", got, e.Bits)
	}
	l.cfg.Gate.Alone = true
	if got, want := nats(), bits(m, text); math.Abs(got-want) > 1e-4 {
		t.Errorf("by gates %v bits a byte, want %v", got, want)
	}
}

// Skills that rest are asked as those that do not, and stay at rest in the learner.
func TestReaderAsksThoseAtRest(t *testing.T) {
	free, bound, _ := resters(t, 1)
	resting := len(bound.Resting())
	if resting < 2 {
		t.Fatalf("%d skills rest", resting)
	}
	a, b := NewReader(free.Settled()), NewReader(bound.Settled())
	for _, e := range textOf(append(readings(9, 600), recipes(9, 600)...)) {
		if !slices.Equal(a.Step(e), b.Step(e)) || !slices.Equal(a.Believed(), b.Believed()) {
			t.Fatal("who asks skills at rest hears something else")
		}
	}
	if len(bound.Resting()) != resting {
		t.Errorf("%d rest after it, %d before", len(bound.Resting()), resting)
	}
}
