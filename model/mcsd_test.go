package model

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/yanmesh/yan/model/sense"
)

// The mixer three times in float64: as the paper's recurrence, as a full matrix over the past, and in
// chunks of averaged inputs. They are the same function, and the float32 one is that function.

type mixer64 struct {
	d, ch        int
	u, v, f, e   []float64
	gamma, alpha []float64
}

func newMixer64(m *Model, layer int) mixer64 {
	wide := func(w []float32) []float64 {
		o := make([]float64, len(w))
		for i, x := range w {
			o[i] = float64(x)
		}
		return o
	}
	l := &m.Layers[layer]
	return mixer64{m.Config.Width, m.Config.Channels, wide(l.U.F32), wide(l.V.F32), wide(l.F.F32), wide(l.E.F32), wide(m.gamma), wide(m.alpha)}
}

// project multiplies each channel of x with its block of w.
func (m mixer64) project(x, w []float64) []float64 {
	y := make([]float64, m.d)
	dc := m.d / m.ch
	for c := range m.ch {
		for a := range dc {
			for b := range dc {
				y[c*dc+b] += x[c*dc+a] * w[(c*dc+a)*dc+b]
			}
		}
	}
	return y
}

// out is the paper's last line: u ⊙ SiLU(v') + sigmoid(f) ⊙ RMSNorm(e').
func (m mixer64) out(x, v, e []float64) []float64 {
	u, f := m.project(x, m.u), m.project(x, m.f)
	y := make([]float64, m.d)
	dc := m.d / m.ch
	for i := range y {
		c := i / dc
		var ss float64
		for _, w := range e[c*dc : (c+1)*dc] {
			ss += w * w
		}
		y[i] = u[i]*v[i]/(1+math.Exp(-v[i])) + e[i]/math.Sqrt(ss/float64(dc)+1e-20)/(1+math.Exp(-f[i]))
	}
	return y
}

func (m mixer64) recurrent(xs [][]float64) (ys [][]float64) {
	slope, decay, age := make([]float64, m.d), make([]float64, m.d), make([]float64, m.ch)
	dc := m.d / m.ch
	for t, x := range xs {
		v, e := m.project(x, m.v), m.project(x, m.e)
		pv, pe := append([]float64(nil), slope...), append([]float64(nil), decay...)
		if t == 0 {
			pv, pe = v, e
		}
		ys = append(ys, m.out(x, pv, pe))
		for i := range slope {
			c := i / dc
			if i%dc == 0 {
				age[c] = 1 + m.gamma[c]*age[c]
			}
			slope[i] += (v[i] - slope[i]) / age[c]
			decay[i] = m.alpha[c] * (decay[i] + e[i])
		}
	}
	return ys
}

func (m mixer64) matrix(xs [][]float64) (ys [][]float64) {
	dc := m.d / m.ch
	for t, x := range xs {
		v, e := make([]float64, m.d), make([]float64, m.d)
		if t == 0 {
			v, e = m.project(x, m.v), m.project(x, m.e)
		}
		for j := range t {
			vj, ej := m.project(xs[j], m.v), m.project(xs[j], m.e)
			for i := range v {
				c := i / dc
				var age float64
				for k := range t {
					age += math.Pow(m.gamma[c], float64(k))
				}
				v[i] += vj[i] * math.Pow(m.gamma[c], float64(t-1-j)) / age
				e[i] += ej[i] * math.Pow(m.alpha[c], float64(t-j))
			}
		}
		ys = append(ys, m.out(x, v, e))
	}
	return ys
}

// chunkwise averages the inputs and projects afterwards, a chunk at a time.
func (m mixer64) chunkwise(xs [][]float64, chunk int) (ys [][]float64) {
	dc := m.d / m.ch
	slope, decay, age := make([]float64, m.d), make([]float64, m.d), make([]float64, m.ch)
	for from := 0; from < len(xs); from += chunk {
		part := xs[from:min(from+chunk, len(xs))]
		var ps, pd [][]float64
		for t, x := range part {
			s, d := append([]float64(nil), slope...), append([]float64(nil), decay...)
			if from+t == 0 {
				s, d = x, x
			}
			ps, pd = append(ps, s), append(pd, d)
			for i := range slope {
				c := i / dc
				if i%dc == 0 {
					age[c] = 1 + m.gamma[c]*age[c]
				}
				slope[i] += (x[i] - slope[i]) / age[c]
				decay[i] = m.alpha[c] * (decay[i] + x[i])
			}
		}
		for t, x := range part {
			ys = append(ys, m.out(x, m.project(ps[t], m.v), m.project(pd[t], m.e)))
		}
	}
	return ys
}

func furthest(a, b [][]float64) (diff float64) {
	for t := range a {
		for i, v := range a[t] {
			diff = max(diff, math.Abs(v-b[t][i])/(1+math.Abs(v)))
		}
	}
	return diff
}

func testModel(t *testing.T, c Config, seed uint64) *Model {
	t.Helper()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	m.Init(rand.New(rand.NewPCG(seed, 1)))
	return m
}

func noise(n int, seed uint64) []sense.Event {
	r := rand.New(rand.NewPCG(seed, 2))
	in := make([]sense.Event, n)
	for i := range in {
		in[i].Byte = byte(r.IntN(sense.Symbols))
	}
	return in
}

func tinyConfig() Config {
	return Config{Width: 32, Layers: 3, Channels: 4, Sections: 12, Neurons: 4, KeyRank: 6, Active: 4, Alpha: 0.5, ContextLayer: 1}
}

func TestMixerIsTheSameInEveryForm(t *testing.T) {
	for _, n := range []int{1, 2, 3, 17, 64, 65} {
		c := tinyConfig()
		c.Plain, c.Layers, c.ContextLayer = true, 1, 0
		m := testModel(t, c, uint64(n))
		in := noise(n, uint64(n))
		var tape Tape
		m.Forward(m.NewState(), in, &tape)
		rows := func(w []float32) (r [][]float64) {
			for p := range n {
				row := make([]float64, c.Width)
				for i := range row {
					row[i] = float64(w[p*c.Width+i])
				}
				r = append(r, row)
			}
			return r
		}
		x := rows(tape.Layers[0].X)
		ref := newMixer64(m, 0)
		want := ref.recurrent(x)
		if d := furthest(want, ref.matrix(x)); d > 1e-12 {
			t.Errorf("n %d: matrix form differs by %g", n, d)
		}
		for _, chunk := range []int{1, 2, 5, 16, 64} {
			if d := furthest(want, ref.chunkwise(x, chunk)); d > 1e-12 {
				t.Errorf("n %d: chunks of %d differ by %g", n, chunk, d)
			}
			s, got := m.NewState(), [][]float64(nil)
			for at := 0; at < n; at += chunk {
				end := min(at+chunk, n)
				m.Forward(s, in[at:end], &tape)
				for p := range end - at {
					row := make([]float64, c.Width)
					for i := range row {
						row[i] = float64(tape.Layers[0].Mixed[p*c.Width+i])
					}
					got = append(got, row)
				}
			}
			if d := furthest(want, got); d > 1e-5 {
				t.Errorf("n %d: float32 in chunks of %d differs by %g", n, chunk, d)
			}
		}
	}
}

// What comes later cannot change what was said before.
func TestCausality(t *testing.T) {
	m := testModel(t, tinyConfig(), 1)
	in := noise(50, 1)
	var a, b Tape
	m.Forward(m.NewState(), in, &a)
	for _, cut := range []int{0, 1, 20, 49} {
		changed := append([]sense.Event(nil), in...)
		for i := cut; i < len(changed); i++ {
			changed[i].Byte ^= 0x5a
		}
		m.Forward(m.NewState(), changed, &b)
		for i := range cut * sense.Symbols {
			// How a section's sums are rounded may depend on how many events share it.
			if v, w := float64(a.Logits[i]), float64(b.Logits[i]); math.Abs(v-w) > 1e-5*(1+math.Abs(v)) {
				t.Fatalf("logit %d of event %d changed with event %d: %g, %g", i%sense.Symbols, i/sense.Symbols, cut, v, w)
			}
		}
		if bytes.Equal(floats(a.Logits[cut*sense.Symbols:]), floats(b.Logits[cut*sense.Symbols:])) {
			t.Fatalf("nothing changed from event %d on: the test sees nothing", cut)
		}
	}
}

func floats(w []float32) []byte { return appendFloats(nil, w) }

// The slope state is an average: a constant input is its own average, from the first event on.
func TestConstantInputGivesConstantSlopeState(t *testing.T) {
	c := tinyConfig()
	c.Plain, c.Layers, c.ContextLayer = true, 1, 0
	m := testModel(t, c, 2)
	s := m.NewState()
	m.Step(s, sense.Event{Byte: 'a'})
	first := append([]float32(nil), s.layers[0].slope...)
	for range 500 {
		m.Step(s, sense.Event{Byte: 'a'})
		for i, v := range s.layers[0].slope {
			if math.Abs(float64(v-first[i])) > 1e-5 {
				t.Fatalf("event %d: slope state %d moved from %v to %v", s.Events, i, first[i], v)
			}
		}
	}
}

// The decay branch is normalised: how large E is does not matter.
func TestScalingEChangesNothing(t *testing.T) {
	m := testModel(t, tinyConfig(), 3)
	in := noise(60, 3)
	var a, b Tape
	m.Forward(m.NewState(), in, &a)
	for i := range m.Layers {
		for j := range m.Layers[i].E.F32 {
			m.Layers[i].E.F32[j] *= 8
		}
	}
	m.Forward(m.NewState(), in, &b)
	for i, v := range a.Logits {
		if math.Abs(float64(v-b.Logits[i])) > 1e-5*(1+math.Abs(float64(v))) {
			t.Fatalf("logit %d: %v, with E eight times as large %v", i, v, b.Logits[i])
		}
	}
}

// What a stream carries is as large after a million events as after a hundred, and still finite.
func TestStateDoesNotGrow(t *testing.T) {
	c := Config{Width: 16, Layers: 1, Channels: 2, Sections: 2, Neurons: 1, KeyRank: 1, Active: 1}
	m := testModel(t, c, 4)
	s := m.NewState()
	in := noise(1000, 4)
	t0 := Tape{LastOnly: true}
	m.Forward(s, in[:100], &t0)
	before, _ := s.MarshalBinary()
	for s.Events < 1_000_000 {
		m.Forward(s, in, &t0)
	}
	after, _ := s.MarshalBinary()
	if len(before) != len(after) || s.Bytes() != len(after) {
		t.Fatalf("state has %d bytes after 100 events and %d after %d", len(before), len(after), s.Events)
	}
	if err := s.UnmarshalBinary(after); err != nil {
		t.Fatalf("after %d events: %v", s.Events, err)
	}
}

// One event at a time and a chunk at once are the same thought.
func TestStepIsForward(t *testing.T) {
	m := testModel(t, tinyConfig(), 5)
	b, err := NewBank(m.Config, "test", 5, 4)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	for i := range b.Weights {
		b.Weights[i] = float32(r.NormFloat64() * 0.3)
	}
	b.Gate.Force = true
	m = m.WithBanks(b)
	in := noise(70, 5)
	var tape Tape
	s1, s2 := m.NewState(), m.NewState()
	m.Forward(s1, in, &tape)
	for p, e := range in {
		got := m.Step(s2, e)
		for i, v := range got {
			if want := tape.Logits[p*sense.Symbols+i]; math.Abs(float64(v-want)) > 1e-4*(1+math.Abs(float64(want))) {
				t.Fatalf("event %d, logit %d: %v step by step, %v at once", p, i, v, want)
			}
		}
	}
	if a := testing.AllocsPerRun(50, func() { m.Step(s2, in[3]) }); a != 0 {
		t.Errorf("a step allocates %v times", a)
	}
	for range 10 {
		m.Forward(s1, in, &tape)
	}
	if a := testing.AllocsPerRun(20, func() { m.Forward(s1, in, &tape) }); a != 0 {
		t.Errorf("a chunk allocates %v times", a)
	}
}
