package gradient

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

func tiny() model.Config {
	return model.Config{Width: 32, Layers: 2, Channels: 2, Sections: 10, Neurons: 3, KeyRank: 5, Active: 4, MaxActive: 10, Alpha: 0.5}
}

// random returns a model in which nothing is small, zero or special, and a text for it.
func random(t *testing.T, c model.Config, seed uint64, n int) (*model.Model, []sense.Event) {
	t.Helper()
	m, err := model.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 7))
	m.Init(r)
	for i := range m.Layers {
		l := &m.Layers[i]
		for _, w := range [][]float32{l.Norm1, l.Norm2, l.Bias} {
			for j := range w {
				w[j] += float32(r.NormFloat64() * 0.2)
			}
		}
	}
	in := make([]sense.Event, n)
	for i := range in {
		in[i].Byte = byte(r.IntN(sense.Symbols))
	}
	if c.Demand != 0 {
		m.Demand = &model.Demand{Open: make([]float32, sense.Symbols*sense.Symbols)}
		for i := range m.Demand.Open {
			m.Demand.Open[i] = float32(r.NormFloat64())
		}
	}
	return m, in
}

func bank(t *testing.T, m *model.Model, seed uint64) *model.Bank {
	t.Helper()
	b, err := model.NewBank(m.Config, "test", 6, 4)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 9))
	for i := range b.Weights {
		b.Weights[i] = float32(r.NormFloat64() * 0.5)
	}
	b.Gate.Force = true
	return b
}

// run computes the loss over the stream in chunks, with the gradient of the last chunk alone.
func run(m *model.Model, in []sense.Event, cut int, g *Grad) (nats float64) {
	var tape model.Tape
	s := m.NewState()
	if cut > 0 {
		m.Forward(s, in[:cut], &tape)
	}
	m.Forward(s, in[cut:len(in)-1], &tape)
	d := make([]float32, len(tape.Logits))
	nats = CrossEntropy(d, tape.Logits, in[cut+1:], 1)
	new(Pass).Backward(m, &tape, d, g)
	return nats
}

// Every tensor's gradient agrees with central differences of the float64 model, in every variant.
func TestBackwardAgainstFiniteDifferences(t *testing.T) {
	variants := map[string]func(*model.Config){
		"token shift": func(*model.Config) {},
		"plain paper": func(c *model.Config) { c.Plain = true },
		"mix out":     func(c *model.Config) { c.MixOut = true },
		"thresholds":  func(c *model.Config) { c.Alpha = 0 },
		"sparsemax":   func(c *model.Config) { c.Alpha = 1 },
		"demand":      func(c *model.Config) { c.Demand = 0.6 },
	}
	for name, vary := range variants {
		t.Run(name, func(t *testing.T) {
			c := tiny()
			vary(&c)
			m, in := random(t, c, 3, 14)
			m = m.WithBanks(bank(t, m, 4))
			g, err := NewGrad(c)
			if err != nil {
				t.Fatal(err)
			}
			gb, _ := model.NewBank(c, "grad", 6, 4)
			g.Banks = []*model.Bank{gb}
			nats := run(m, in, 0, g)
			if want := loss64(m, nil, in, 0); math.Abs(nats-want) > 2e-5*want {
				t.Fatalf("loss %v, in float64 %v", nats, want)
			}
			for i, tensor := range m.Tensors() {
				if strings.HasSuffix(tensor.Name, ".bias") {
					continue // moved by the controller, not by gradients
				}
				compare(t, m, in, 0, tensor.Name, tensor.Data.F32, g.Base.Tensors()[i].Data.F32)
			}
			compare(t, m, in, 0, "bank", m.Banks[0].Weights, gb.Weights)
		})
	}
}

// compare checks directions at random within one tensor, and its largest single entries.
func compare(t *testing.T, m *model.Model, in []sense.Event, from int, name string, w, g []float32) {
	t.Helper()
	const h = 1e-5
	r := rand.New(rand.NewPCG(uint64(len(w)), 5))
	best := 0
	for i := range g {
		if math.Abs(float64(g[i])) > math.Abs(float64(g[best])) {
			best = i
		}
	}
	for _, i := range []int{best, r.IntN(len(w)), r.IntN(len(w))} {
		up := loss64(m, map[*float32]float64{&w[i]: float64(w[i]) + h}, in, from)
		down := loss64(m, map[*float32]float64{&w[i]: float64(w[i]) - h}, in, from)
		want := (up - down) / (2 * h)
		if diff := math.Abs(float64(g[i]) - want); diff > 2e-4*math.Abs(want)+2e-4*math.Abs(float64(g[best]))+1e-6 {
			t.Errorf("%s[%d]: gradient %.8g, finite difference %.8g", name, i, g[i], want)
		}
	}
}

// With a base that does not learn, the banks' gradient is the same, and nothing else is computed.
func TestBanksAlone(t *testing.T) {
	c := tiny()
	c.ContextLayer = 1
	m, in := random(t, c, 5, 20)
	m = m.WithBanks(bank(t, m, 6))
	full, err := NewGrad(c)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := model.NewBank(c, "a", 6, 4)
	b, _ := model.NewBank(c, "b", 6, 4)
	full.Banks = []*model.Bank{a}
	run(m, in, 6, full)
	run(m, in, 6, &Grad{Banks: []*model.Bank{b}})
	for i := range a.Weights {
		if a.Weights[i] != b.Weights[i] {
			t.Fatalf("weight %d: gradient %v with the base's, %v alone", i, a.Weights[i], b.Weights[i])
		}
	}
}

// Sections that no event chose have no gradient and are not marked.
func TestUntouchedSections(t *testing.T) {
	c := tiny()
	c.Sections, c.MaxActive = 40, 2
	m, in := random(t, c, 8, 6)
	g, _ := NewGrad(c)
	run(m, in, 0, g)
	size := c.SectionSize()
	touched := 0
	for i := range m.Layers {
		for s, on := range g.Touched[i] {
			var sum float64
			for _, v := range g.Base.Layers[i].Sections.F32[s*size : (s+1)*size] {
				sum += math.Abs(float64(v))
			}
			if on != (sum > 0) {
				t.Errorf("layer %d section %d: touched %v, gradient %v", i, s, on, sum)
			}
			if on {
				touched++
			}
		}
	}
	if touched == 0 || touched == c.Layers*c.Sections {
		t.Fatalf("%d sections touched: the test sees nothing", touched)
	}
}

// The gradient of several streams at once is the sum of theirs, in every variant.
func TestBackwardOfStreams(t *testing.T) {
	for name, vary := range map[string]func(*model.Config){
		"few sections": func(*model.Config) {},
		"all sections": func(c *model.Config) { c.Active, c.Alpha = c.Sections, 0 },
		"mix out":      func(c *model.Config) { c.MixOut = true },
		"plain paper":  func(c *model.Config) { c.Plain = true },
	} {
		t.Run(name, func(t *testing.T) {
			c := tiny()
			vary(&c)
			m, in := random(t, c, 21, 60)
			if c.Active == c.Sections {
				for i := range m.Layers {
					for s := range m.Layers[i].Bias {
						m.Layers[i].Bias[s] += 10
					}
				}
			}
			m = m.WithBanks(bank(t, m, 22))
			grads := make([]*Grad, 2)
			for i := range grads {
				grads[i], _ = NewGrad(c)
				b, _ := model.NewBank(c, "grad", 6, 4)
				grads[i].Banks = []*model.Bank{b}
			}
			parts, next := [][]sense.Event{in[:30], in[30:31], in[31:49]}, append(append([]sense.Event{}, in[1:32]...), in[32:50]...)
			var states []*model.State
			var tape model.Tape
			var pass Pass
			row := 0
			for k, part := range parts {
				s := m.NewState()
				if k != 1 { // one is at its beginning
					m.Forward(s, in[50:], &tape)
				}
				states = append(states, s.Clone())
				m.Forward(s, part, &tape)
				d := make([]float32, len(tape.Logits))
				CrossEntropy(d, tape.Logits, next[row:row+len(part)], 1)
				pass.Backward(m, &tape, d, grads[0])
				row += len(part)
			}
			m.ForwardAll(states, parts, &tape)
			d := make([]float32, len(tape.Logits))
			CrossEntropy(d, tape.Logits, next, 1)
			pass.Backward(m, &tape, d, grads[1])
			same(t, "base", grads[1].Base.Weights, grads[0].Base.Weights)
			same(t, "bank", grads[1].Banks[0].Weights, grads[0].Banks[0].Weights)
		})
	}
}

// same wants got to be want but for rounding.
func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	var diff, norm float64
	for i, v := range got {
		diff += math.Pow(float64(v-want[i]), 2)
		norm += math.Pow(float64(want[i]), 2)
	}
	if !(norm > 0 && diff < 1e-9*norm) {
		t.Errorf("%s: off by %.2g of %.2g", what, math.Sqrt(diff), math.Sqrt(norm))
	}
}

// A chunk continues its stream: the loss does not depend on where the stream was cut.
func TestLossDoesNotDependOnChunks(t *testing.T) {
	m, in := random(t, tiny(), 11, 40)
	want := loss64(m, nil, in, 0)
	for _, n := range []int{1, 2, 7, 39} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var tape model.Tape
			s := m.NewState()
			var got float64
			for at := 0; at < len(in)-1; at += n {
				end := min(at+n, len(in)-1)
				m.Forward(s, in[at:end], &tape)
				got += CrossEntropy(make([]float32, len(tape.Logits)), tape.Logits, in[at+1:end+1], 1)
			}
			if math.Abs(got-want) > 2e-5*want {
				t.Fatalf("loss %v, want %v", got, want)
			}
		})
	}
}

// The state is the trace: for the top layer's mixer, gradients taken one event at a time, with nothing of
// the past kept but the state, add up to backpropagation through all of time. In the layer below they
// do not, which is why chunks reach back.
func TestTraceIsBackpropagationThroughTimeInTheTopLayer(t *testing.T) {
	m, in := random(t, tiny(), 12, 30)
	full, _ := NewGrad(m.Config)
	run(m, in, 0, full)

	steps, _ := NewGrad(m.Config)
	var tape model.Tape
	var pass Pass
	s := m.NewState()
	for i := range len(in) - 1 {
		m.Forward(s, in[i:i+1], &tape)
		d := make([]float32, len(tape.Logits))
		CrossEntropy(d, tape.Logits, in[i+1:i+2], 1)
		pass.Backward(m, &tape, d, steps)
	}
	apart := func(layer int) (worst float64) {
		a, b := &full.Base.Layers[layer], &steps.Base.Layers[layer]
		for _, p := range [][2][]float32{{a.U.F32, b.U.F32}, {a.V.F32, b.V.F32}, {a.F.F32, b.F.F32}, {a.E.F32, b.E.F32}} {
			var diff, norm float64
			for i := range p[0] {
				diff += math.Pow(float64(p[0][i]-p[1][i]), 2)
				norm += math.Pow(float64(p[0][i]), 2)
			}
			worst = max(worst, math.Sqrt(diff/norm))
		}
		return worst
	}
	if d := apart(1); d > 1e-5 {
		t.Errorf("top layer: the traces' gradient is %g off", d)
	}
	if d := apart(0); d < 1e-2 {
		t.Errorf("lower layer: only %g off: the test sees nothing", d)
	}
}
