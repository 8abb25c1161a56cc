package gradient

import (
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// shards returns a model, an optimizer for it and the gradients of two texts, which touch few of its sections.
func shards(t *testing.T) (*model.Model, *Adam, []*Grad) {
	t.Helper()
	c := tiny()
	c.Width, c.Sections, c.MaxActive = 64, 40, 2
	m, _ := random(t, c, 8, 12)
	grads := make([]*Grad, 2)
	for i := range grads {
		grads[i], _ = NewGrad(c)
	}
	fill(t, m, grads)
	return m, NewAdam(AdamConfig{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, Decay: 0.1}, m), grads
}

// fill adds to each of two gradients that of a text.
func fill(t *testing.T, m *model.Model, grads []*Grad) {
	t.Helper()
	_, in := random(t, m.Config, 8, 12)
	for i, g := range grads {
		run(m, in[6*i:6*i+6], 0, g)
	}
}

// A step is what Kingma and Ba's equations say of the sum of the gradients, clipped, and touches nothing else: what no
// event chose keeps its weights and moments, to the bit, and is not even looked at.
func TestAdamStep(t *testing.T) {
	m, a, grads := shards(t)
	const rate, clip = 0.01, 0.5
	sum := slices.Clone(grads[0].Base.Weights)
	for i, v := range grads[1].Base.Weights {
		sum[i] += v
	}
	var squares float64
	for _, v := range sum {
		squares += float64(v) * float64(v)
	}
	norm := math.Sqrt(squares)
	if norm < clip {
		t.Fatalf("a gradient of %v is not clipped: the test sees less than it should", norm)
	}
	before := slices.Clone(m.Weights)
	for i := range a.M {
		a.M[i], a.V[i] = 0.001, 0.002
	}
	a.Steps = 4
	touched := [][]bool{}
	want := 0 // weights to look at
	for i, of := range grads[0].Touched {
		touched = append(touched, slices.Clone(of))
		for s := range of {
			if touched[i][s] = of[s] || grads[1].Touched[i][s]; touched[i][s] {
				want += m.Config.SectionSize()
			}
		}
	}
	only := 0
	for i := range grads[0].Touched {
		for s, on := range grads[1].Touched[i] {
			if on && !grads[0].Touched[i][s] {
				only++
			}
		}
	}
	if only == 0 {
		t.Fatal("the second text touches nothing that the first did not: the test sees less than it should")
	}

	if got := a.Step(kernel.NewPool(1), m, grads, rate, clip); math.Abs(got-norm) > 1e-5*norm {
		t.Errorf("a norm of %v, want %v", got, norm)
	}
	looked := 0
	for _, s := range a.live {
		looked += s.to - s.from
	}
	layer := -1
	for _, tensor := range m.Tensors() {
		sections := len(tensor.Shape) == 3 && tensor.Shape[1] == 3*m.Config.Neurons && tensor.Shape[0] == m.Config.Sections
		bias := tensor.Name == "layers.0.bias" || tensor.Name == "layers.1.bias"
		if sections {
			layer++
		} else if !bias {
			want += tensor.Len()
		}
		decay := rate * 0.1
		if len(tensor.Shape) == 1 || tensor.Name == "layers.0.shift" || tensor.Name == "layers.1.shift" {
			decay = 0
		}
		for k := range tensor.Len() {
			i := tensor.Off + k
			if bias || sections && !touched[layer][k/m.Config.SectionSize()] {
				if m.Weights[i] != before[i] || a.M[i] != 0.001 || a.V[i] != 0.002 {
					t.Fatalf("%s[%d] has moved", tensor.Name, k)
				}
				continue
			}
			g := float64(sum[i]) * clip / norm
			m1, v1 := 0.9*0.001+0.1*g, 0.98*0.002+0.02*g*g
			step := rate * m1 / (1 - math.Pow(0.9, 5)) / (math.Sqrt(v1/(1-math.Pow(0.98, 5))) + 1e-8)
			w := float64(before[i])
			if got, w := float64(m.Weights[i]), w-decay*w-step; math.Abs(got-w) > 1e-5*(1+math.Abs(w)) {
				t.Fatalf("%s[%d] is %v, want %v", tensor.Name, k, got, w)
			}
		}
	}
	if looked != want {
		t.Errorf("it looked at %d weights, want %d of %d", looked, want, len(m.Weights))
	}
	if want*4 > len(m.Weights)*3 {
		t.Errorf("%d of %d weights were touched: the test sees less than it should", want, len(m.Weights))
	}
	for i, g := range grads {
		for _, of := range g.Touched {
			if slices.Contains(of, true) {
				t.Errorf("gradient %d is still marked", i)
			}
		}
	}
}

// What a gradient held before is not in the next one.
func TestAdamStepWithUsedGradients(t *testing.T) {
	m, a, grads := shards(t)
	pool := kernel.NewPool(1)
	a.Step(pool, m, grads, 0.01, 0.5)
	want := m.Weights
	for range 3 {
		again, a, _ := shards(t)
		fill(t, again, grads)
		a.Step(pool, again, grads, 0.01, 0.5)
		if !slices.Equal(again.Weights, want) {
			t.Fatal("another step with gradients that were used before")
		}
	}
}

// Whoever does the pieces, the step is the same to the bit.
func TestAdamStepOnManyThreads(t *testing.T) {
	var want []float32
	for _, threads := range []int{1, 2, 3} {
		m, a, grads := shards(t)
		pool := kernel.NewPool(threads)
		a.Step(pool, m, grads, 0.01, 0.5)
		pool.Close()
		if threads == 1 {
			want = m.Weights
		} else if !slices.Equal(m.Weights, want) {
			t.Errorf("with %d threads it is another", threads)
		}
	}
}

// RMSprop moves what fired by its equations, leaves the gradient zero, and does nothing at all where the gradient is not finite.
func TestRMSprop(t *testing.T) {
	c := tiny()
	m, in := random(t, c, 5, 2)
	b := bank(t, m, 6)
	m = m.WithBanks(b)
	var tape model.Tape
	m.Forward(m.NewState(), in, &tape)
	g := b.Clone(c)
	o := NewRMSprop(b)
	gradient := func() {
		clear(g.Weights)
		d := make([]float32, len(tape.Logits))
		for i := range d {
			d[i] = float32(i%7) - 3
		}
		new(Pass).Backward(m, &tape, d, &Grad{Banks: []*model.Bank{g}})
	}
	fired := 0
	for i := range tape.Layers {
		rt := &tape.Layers[i].Banks[0]
		for s := range b.Sections {
			if rt.Start[s] < rt.Start[s+1] {
				fired++
			}
		}
	}
	if fired == 0 || fired == b.Sections*c.Layers {
		t.Fatalf("%d sections fired: the test sees less than it should", fired)
	}

	const rate = 0.01
	want, v := slices.Clone(b.Weights), make([]float64, len(b.Weights))
	for step := 1; step <= 3; step++ {
		gradient()
		for i, x := range g.Weights {
			x := float64(x)
			v[i] = 0.99*v[i] + 0.01*x*x
			want[i] -= float32(rate * x / (math.Sqrt(v[i]/(1-math.Pow(0.99, float64(step)))) + 1e-8))
		}
		if n := o.Step(b, g, 0, &tape, rate); n != fired {
			t.Errorf("%d sections were written, want %d", n, fired)
		}
		for i, x := range g.Weights {
			if x != 0 {
				t.Fatalf("number %d of the gradient is %v afterwards", i, x)
			}
			if math.Abs(float64(b.Weights[i]-want[i])) > 1e-5*(1+math.Abs(float64(want[i]))) {
				t.Fatalf("step %d: weight %d is %v, want %v", step, i, b.Weights[i], want[i])
			}
		}
	}

	gradient()
	for i, x := range g.Weights {
		if x != 0 {
			g.Weights[i] = float32(math.NaN())
			break
		}
	}
	before := slices.Clone(b.Weights)
	if n := o.Step(b, g, 0, &tape, rate); n != 0 || !slices.Equal(b.Weights, before) {
		t.Errorf("a gradient that is not finite wrote %d sections", n)
	}
	if slices.ContainsFunc(g.Weights, func(x float32) bool { return x != 0 }) {
		t.Error("and was left as it is")
	}
}
