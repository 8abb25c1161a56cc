package local

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

func tiny() model.Config {
	return model.Config{Width: 32, Layers: 3, Channels: 2, Sections: 10, Neurons: 3, KeyRank: 5, Active: 4, MaxActive: 10, Alpha: 0.5}
}

// skilled is a model with one bank that is open, a chunk, and what came behind each event of it.
func skilled(t *testing.T, seed uint64) (m *model.Model, in, next []sense.Event) {
	t.Helper()
	m, err := model.New(tiny())
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 7))
	m.Init(r)
	b, err := model.NewBank(m.Config, "test", 6, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Weights {
		b.Weights[i] = float32(r.NormFloat64() * 0.5)
	}
	b.Gate.Force = true
	for range 12 {
		in, next = append(in, sense.Event{Byte: byte(r.IntN(256))}), append(next, sense.Event{Byte: byte(r.IntN(256))})
	}
	return m.WithBanks(b), in, next
}

// bankGradient is what a bank learns from a chunk by a rule.
func bankGradient(t *testing.T, rule Rule, m *model.Model, in, next []sense.Event) *model.Bank {
	t.Helper()
	gb, err := model.NewBank(m.Config, "grad", 6, 4)
	if err != nil {
		t.Fatal(err)
	}
	g := &gradient.Grad{Banks: []*model.Bank{gb}}
	var tape model.Tape
	m.Forward(m.NewState(), in, &tape)
	d := make([]float32, len(tape.Logits))
	gradient.CrossEntropy(d, tape.Logits, next, 1)
	var pass gradient.Pass
	if rule == Backward {
		pass.Backward(m, &tape, d, g)
	} else {
		new(Lens).Banks(rule, &pass, m, &tape, next, d, 1, g)
	}
	return gb
}

// slope is how f moves with w along the direction of g, which is the squared norm of g if g is f's gradient. Each of what
// is passed is a weight and its gradient.
func slope(f func() float64, w, g []float32, by float64) float64 {
	at := slices.Clone(w)
	move := func(step float64) float64 {
		for i := range w {
			w[i] = at[i] + float32(step*float64(g[i]))
		}
		return f()
	}
	h := by / math.Sqrt(float64(kernel.SumSquares(g)))
	up, down := move(h), move(-h)
	copy(w, at)
	return (up - down) / (2 * h)
}

func agree(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(want > 1e-9) || math.Abs(got-want) > 0.02*want {
		t.Errorf("%s: along its gradient the loss moves by %g, by finite differences by %g", what, want, got)
	}
}

// Each layer's sections learn what finite differences of the error at their own layer say.
func TestBankRulesAgainstFiniteDifferences(t *testing.T) {
	m, in, next := skilled(t, 3)
	var tape model.Tape
	m.Forward(m.NewState(), in, &tape)
	top := slices.Clone(tape.H)
	for _, rule := range []Rule{Own, Broadcast} {
		g := bankGradient(t, rule, m, in, next)
		for i := range m.Layers {
			before := slices.Clone(tape.Residual(i))
			loss := func() float64 {
				var now model.Tape
				m.Forward(m.NewState(), in, &now)
				var lens Lens
				d := make([]float32, len(tape.Logits))
				if rule == Own {
					return gradient.CrossEntropy(d, lens.Read(m, &now, i), next, 1)
				}
				// As if what the layer says joined the stream at the top.
				last := len(m.Layers) - 1
				after := slices.Clone(now.Residual(i))
				for k := range top {
					now.H[k] = top[k] + after[k] - before[k]
				}
				return gradient.CrossEntropy(d, lens.Read(m, &now, last), next, 1)
			}
			w, dw := m.Banks[0].Layers[i], g.Layers[i]
			for _, part := range []struct {
				name  string
				w, dw []float32
			}{{"sections", w.Sections, dw.Sections}, {"keys", w.Keys, dw.Keys}} {
				got := slope(loss, part.w, part.dw, 0.02)
				agree(t, string(rule)+" "+part.name, got, float64(kernel.SumSquares(part.dw)))
			}
		}
	}
}

// In the last layer a local rule is the backward pass; below it is not.
func TestBankRulesAtTheTop(t *testing.T) {
	m, in, next := skilled(t, 4)
	full := bankGradient(t, Backward, m, in, next)
	for _, rule := range []Rule{Own, Broadcast, Top} {
		g := bankGradient(t, rule, m, in, next)
		if below := kernel.SumSquares(g.Layers[1].Sections) + kernel.SumSquares(g.Layers[0].Keys); (below == 0) != (rule == Top) {
			t.Errorf("%s: below the last layer the squares of the gradient are %g", rule, below)
		}
		if !slices.Equal(g.Layers[2].Sections, full.Layers[2].Sections) || !slices.Equal(g.Layers[2].Keys, full.Layers[2].Keys) {
			t.Errorf("%s: the last layer learns something else than by a backward pass", rule)
		}
		if slices.Equal(g.Layers[0].Sections, full.Layers[0].Sections) {
			t.Errorf("%s: the first layer learns the same as by a backward pass", rule)
		}
	}
}

// What a layer learns by its own error depends on nothing above it.
func TestBankIsDeafToLayersAbove(t *testing.T) {
	m, in, next := skilled(t, 5)
	a := bankGradient(t, Own, m, in, next)
	for _, w := range []kernel.Matrix{m.Layers[2].U, m.Layers[2].Sections, m.Layers[2].Query} {
		kernel.Scale(w.F32, 1.5)
	}
	b := bankGradient(t, Own, m, in, next)
	for i := range 2 {
		if !slices.Equal(a.Layers[i].Sections, b.Layers[i].Sections) {
			t.Errorf("layer %d learns otherwise because one above it changed", i)
		}
	}
	if slices.Equal(a.Layers[2].Sections, b.Layers[2].Sections) {
		t.Error("nothing above changed")
	}
}
