package learning

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// hour is how many events an hour of typing has, ten a second.
const hour = 36_000

var (
	noiseEvents = flag.Int("noise", hour, "events of noise that TestNoiseDoesNoHarm has a device read")
	onEmbedded  = flag.Bool("embedded", false, "have the tests of bad data use the embedded base and, where they are, the real texts")
)

// noise is as many random bytes.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 9))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// worse is by how much a mind predicts text worse than another, as a share.
func worse(now, before *model.Model, text []byte) float64 {
	return bits(now, text)/bits(before, text) - 1
}

// knownText is text of the kind that a base knows, and held out from nothing but this test: first what is read here,
// then what is asked for afterwards.
func knownText(t *testing.T, m *model.Model) (name string, read, held []byte) {
	if *onEmbedded {
		dir := os.Getenv("YAN_DATA")
		if dir == "" {
			dir = filepath.Join("..", "..", "shared", "data")
		}
		if b, err := os.ReadFile(filepath.Join(dir, "tinyshakespeare", "input.txt")); err == nil {
			tail := b[len(b)*9/10:] // which the base has not read
			return "tiny Shakespeare's last tenth", tail[:40_000], tail[40_000:]
		}
		text := dream(m, 5, 40_000)
		return "its own dreams", text[:20_000], text[20_000:]
	}
	text := dreams()
	return "its own dreams", text[:16_000], text[16_000:]
}

func badBase() *model.Model {
	if *onEmbedded {
		return base.Embedded()
	}
	return base.Pocket()
}

// An hour of noise, or more, costs what the base knows nothing to speak of, also where it is typed in lines
// that are gone over again. The control is a gate that opens as early as the budget lets it.
func TestNoiseDoesNoHarm(t *testing.T) {
	slow(t)
	const most = 0.005
	m := badBase()
	name, _, held := knownText(t, m)
	strange := recipes(9, 8000) // what the base does not know is not to become worse either
	for seed := uint64(1); seed <= 3; seed++ {
		for _, lines := range []bool{false, true} {
			events := *noiseEvents
			if lines && events <= hour && !*onEmbedded {
				events /= 12 // each is read sixteen times over at first
			}
			l := newLearnerOn(t, Config{Seed: seed}, m)
			text := noise(seed, events)
			for len(text) > 0 {
				n := len(text)
				if at := bytes.IndexByte(text, '\n'); lines && at >= 0 {
					n = at + 1
				}
				l.Read(sense.Text(text[:n]))
				if lines {
					l.Flush()
				}
				text = text[n:]
			}
			cost, other := worse(l.Settled(), m, held), worse(l.Settled(), m, strange)
			t.Logf("seed %d, %d events of noise, in lines %v: %s %+.3f %%, a strange text %+.3f %%", seed, events, lines, name, 100*cost, 100*other)
			if !(cost <= most) {
				t.Errorf("seed %d, in lines %v: what the base knows costs %+.3f %% more", seed, lines, 100*cost)
			}
			if len(l.Skills()) == 0 || l.Skills()[0].Events < uint64(events)*9/10 {
				t.Error("the noise was not learnt at all")
			}
		}
	}
}

// The control: a gate that opens as early as the budget lets it takes any prose for noise here and there, and ours
// does not.
func TestGateComesSomeWay(t *testing.T) {
	prose, err := os.ReadFile(filepath.Join("..", "docs", "decisions.md")) // which no base has read
	if err != nil {
		t.Fatal(err)
	}
	prose = prose[:min(len(prose), 12_000)]
	m := base.Pocket()
	dim := m.Config.ContextSize()
	tape := model.Tape{ContextOnly: true}
	m.Forward(m.NewState(), sense.Text(prose), &tape)
	var opens [2]int
	for i, way := range []float64{-1, 0} {
		for seed := range uint64(3) {
			l := newLearner(t, Config{Seed: seed, Gate: GateConfig{Way: way}})
			l.Read(sense.Text(noise(seed, 9000)))
			l.Settle()
			for at := 64; at < tape.N; at++ { // a stream's first evidence is whatever came first
				if l.Skills()[0].bank.Gate.Opens(tape.Context[at*dim : (at+1)*dim]) {
					opens[i]++
				}
			}
		}
	}
	t.Logf("gates of noise open at %d of %d events of prose, and at %d if they come no way", opens[1], 3*(tape.N-64), opens[0])
	if opens[0] < 20 || opens[1] > opens[0]/10 {
		t.Errorf("gates of noise open at %d events of prose, and at %d if they come no way", opens[1], opens[0])
	}
}

// A learning rate a hundred times too high, or a thousand, is found out and what it did is undone. The control
// is the same without the test.
func TestRateTooHighIsUndone(t *testing.T) {
	slow(t)
	m := badBase()
	name, read, held := knownText(t, m)
	var control float64
	for seed := uint64(1); seed <= 3; seed++ {
		for _, times := range []float64{1, 100, 1000} {
			cost := map[bool]float64{}
			undone := 0
			for _, untested := range []bool{false, true} {
				if untested && times != 100 || times > 100 && seed > 1 {
					continue
				}
				l := newLearnerOn(t, Config{Seed: seed, Rate: times * 0.001, Untested: untested}, m)
				from := len(read) / 4 * int(seed-1) // all devices begin at the same neurons, but hear another hour
				l.Read(sense.Text(slices.Concat(read[from:], read[:from])))
				cost[untested] = worse(l.Settled(), m, held)
				if !untested {
					undone = l.Skills()[0].test.Undone
				}
			}
			if times > 100 && seed > 1 {
				continue
			}
			t.Logf("seed %d, rate x %g: %s %+.3f %%, undone %d times; untested %+.3f %%", seed, times, name, 100*cost[false], undone, 100*cost[true])
			if !(cost[false] <= 0.005) {
				t.Errorf("seed %d, rate x %g: what the base knows costs %+.3f %% more", seed, times, 100*cost[false])
			}
			if (undone > 0) != (times > 1) {
				t.Errorf("seed %d, rate x %g: undone %d times", seed, times, undone)
			}
			control += cost[true] / 3
		}
	}
	if !(control > 0.05) {
		t.Errorf("without the test it costs %+.3f %% on average: this control shows nothing", 100*control)
	}
}

// What stood the test outlives what did not, and a snapshot amid it goes on to the same.
func TestUndoneToWhatStood(t *testing.T) {
	l := newLearner(t, Config{Seed: 1})
	focus(t, l, "pump")
	l.Read(sense.Text(readings(1, 8000)))
	s := l.Skill("", "pump")
	if s.test.stood == nil || s.test.Undone > 0 {
		t.Fatalf("after reading what it is for: %+v", s.test)
	}
	good := Evaluate(l.Model(), readings(2, 3000), nil).Bits
	for i := range s.bank.Weights { // as if a bit of the machine's memory had failed, many times over
		s.bank.Weights[i] *= -30
	}
	if bad := Evaluate(l.Model(), readings(2, 3000), nil).Bits; bad < good+1 {
		t.Fatalf("%.2f bits, %.2f before: it was not broken", bad, good)
	}
	n := newLearner(t, Config{Seed: 1})
	if err := n.ReadSnapshot(snapshot(t, l)); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Learner{l, n} {
		l.Read(sense.Text(readings(3, 1000)))
	}
	if s.test.Undone == 0 {
		t.Error("it was not undone")
	}
	if now := Evaluate(l.Model(), readings(2, 3000), nil).Bits; now > 1.1*good {
		t.Errorf("%.2f bits now, %.2f when it stood", now, good)
	}
	if !bytes.Equal(snapshot(t, n), snapshot(t, l)) {
		t.Error("the one that was read from a snapshot went on to another mind")
	}
}

// A skill that did harm and has not stood since is shown to nobody, in whatever state it is; one that stood once is shown
// as it was then.
func TestHarmIsNotShown(t *testing.T) {
	l := newLearner(t, Config{Seed: 1})
	focus(t, l, "pump")
	l.Read(sense.Text(readings(1, 8000)))
	focus(t, l, "")
	good := bits(l.Settled(), readings(2, 3000))
	if base := bits(l.Base(), readings(2, 3000)); good > base/2 {
		t.Fatalf("%.2f bits, the base alone %.2f", good, base)
	}
	s := l.Skill("", "pump")
	s.test.Undone, s.test.Stands = 1, false
	for i := range s.bank.Weights {
		s.bank.Weights[i] *= -30
	}
	if now := bits(l.Settled(), readings(2, 3000)); now > 1.1*good {
		t.Errorf("%.2f bits are shown, %.2f when it stood", now, good)
	}
	if d := decode(t, export(t, l, "pump")); sum(d.bank.Weights) == sum(s.bank.Weights) || d.Sections() == 0 {
		t.Error("what is exported is not what stood")
	}
	s.test.stood = nil
	if !sameThought(l.Settled(), l.Base(), readings(2, 500)) {
		t.Error("one that never stood is shown")
	}
	s.solved = 0 // its gate is due
	before := snapshot(t, l)
	if _, err := l.Export("pump"); err == nil {
		t.Error("one that never stood is exported")
	}
	if !bytes.Equal(before, snapshot(t, l)) {
		t.Error("what is not exported is another mind: a journal would not know of it")
	}
	s.test.Stands = true
	if sameThought(l.Settled(), l.Base(), readings(2, 500)) {
		t.Error("one that stands is not shown")
	}
}

// notFinite reports what of a learner is not a finite number.
func notFinite(l *Learner) (names []string) {
	check := func(name string, w []float32) {
		if !finiteAll(w) {
			names = append(names, name)
		}
	}
	for _, s := range l.skills {
		check(s.Name+" weights", s.bank.Weights)
		check(s.Name+" samples", s.samples)
		check(s.Name+" stood", s.test.stood)
		check(s.Name+" gate", s.bank.Gate.Weight)
		check(s.Name+" own", s.bank.Gate.Own)
		if s.opt != nil {
			check(s.Name+" moments", s.opt.V)
		}
		check(s.Name+" numbers", []float32{float32(s.Gain), float32(s.test.Worth), float32(s.test.Pace)})
	}
	check("trust", []float32{float32(l.trust)})
	return names
}

// A base whose numbers are finite and absurd, in each of its tensors: whatever it computes, nothing that is not
// finite comes to rest in what is learnt, and what is learnt can be written down and read back.
func TestAbsurdBase(t *testing.T) {
	slow(t)
	for _, tensor := range base.Pocket().Tensors() {
		for _, size := range []float32{1e12, 1e25, 3e38} {
			m := base.Pocket().Thaw()
			w := m.Weights[tensor.Off : tensor.Off+tensor.Len()]
			for i := range w {
				w[i] = size * float32(i%3-1)
			}
			l := newLearnerOn(t, Config{Seed: 1, Gate: GateConfig{Cache: new(GateCache)}}, m)
			for _, name := range []string{"", "pump"} {
				focus(t, l, name)
				l.Read(sense.Text(readings(1, 300)))
				l.Flush()
				for _, e := range sense.Text([]byte("a line\n")) {
					l.Observe(e)
				}
				l.Flush()
			}
			l.Settle()
			if bad := notFinite(l); len(bad) > 0 {
				t.Errorf("%s of %g: not finite: %q", tensor.Name, size, bad)
			}
			var b bytes.Buffer
			if err := l.WriteSnapshot(&b); err != nil {
				t.Errorf("%s of %g: %v", tensor.Name, size, err)
				continue
			}
			again := newLearnerOn(t, Config{Seed: 1, Gate: GateConfig{Cache: new(GateCache)}}, m)
			if err := again.ReadSnapshot(b.Bytes()); err != nil {
				t.Errorf("%s of %g: %v", tensor.Name, size, err)
			}
		}
	}
}

// A skill whose weights make everything overflow is undone, and the thought that it broke is begun anew.
func TestOverflowIsUndone(t *testing.T) {
	for _, size := range []float32{1e10, 1e20, 1e38} {
		l := newLearner(t, Config{Seed: 1})
		focus(t, l, "pump")
		l.Read(sense.Text(readings(1, 4000)))
		s := l.Skill("", "pump")
		for i := range s.bank.Weights {
			s.bank.Weights[i] = size * float32(i%3-1)
		}
		l.Read(sense.Text(readings(2, 2000)))
		l.Flush()
		if bad := notFinite(l); len(bad) > 0 {
			t.Errorf("weights of %g: not finite: %q", size, bad)
		}
		if s.test.Undone == 0 {
			t.Errorf("weights of %g were not undone", size)
		}
		nats := l.Read(sense.Text(readings(3, 2000)))
		if was := bits(l.Base(), readings(3, 2000)); !(nats/2000/math.Ln2 < was) {
			t.Errorf("weights of %g: afterwards %.2f bits a byte, the base alone %.2f", size, nats/2000/math.Ln2, was)
		}
	}
}

// A foreign skill with one number that is not finite, wherever it stands, changes nothing.
func TestForeignNumbersAreFinite(t *testing.T) {
	good := smallDelta(t)
	head := 8 + int(binary.LittleEndian.Uint64(good))
	f, err := model.ReadTensors(good)
	if err != nil {
		t.Fatal(err)
	}
	shape := f.Shape("samples")
	from := shape[0] * shape[1] // samples are of 8 bits and always finite; they come first
	l := teach(t, small, "own", recipes(7, 300))
	was := snapshot(t, l)
	m := base.Pocket()
	r := rand.New(rand.NewPCG(1, 1))
	tried := 0
	for range 200 {
		b := bytes.Clone(good)
		at := head + from + 2*r.IntN((len(b)-head-from)/2)
		bad := []uint16{0x7f80, 0xff80, 0x7fc0, 0xffff, 0x7f81}[r.IntN(5)]
		binary.LittleEndian.PutUint16(b[at:], bad)
		if d, err := DecodeDelta(b, m.Config, printOnce()); err == nil {
			_, err = l.Fold("foreign", d)
			t.Fatalf("%#x at byte %d was taken: %v", bad, at, err)
		}
		tried++
	}
	if !bytes.Equal(snapshot(t, l), was) || tried == 0 {
		t.Error("it changed the mind")
	}
}

func newLearnerOn(t testing.TB, cfg Config, m *model.Model) *Learner {
	t.Helper()
	if cfg.Gate.Cache == nil {
		cfg.Gate.Cache = &gates
	}
	l, err := New(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
