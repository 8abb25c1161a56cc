package gradient

import (
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/kernel"
)

// Two steps are what Sutskever's equations say, with decay of matrices alone; what no text touched does not move, and the gradient is
// left for the next.
func TestSGDStep(t *testing.T) {
	m, _, grads := shards(t)
	o := NewSGD(0.9, 0.1, m)
	const rate, clip = 0.05, 0.5
	pool := kernel.NewPool(1)
	v := make([]float64, len(m.Weights))
	for step := range 2 {
		sum := make([]float64, len(m.Weights))
		touched := map[int]bool{} // first weights of sections
		for _, g := range grads {
			for i, w := range g.Base.Weights {
				sum[i] += float64(w)
			}
			for i, of := range g.Touched {
				for s, on := range of {
					if on {
						touched[o.sections[i][s].from] = true
					}
				}
			}
		}
		var squares float64
		for _, s := range sum {
			squares += s * s
		}
		want := slices.Clone(m.Weights)
		learns := 0
		move := func(s stretch) {
			for i := s.from; i < s.to; i++ {
				learns++
				v[i] = 0.9*v[i] + sum[i]*min(1, clip/math.Sqrt(squares))
				w := float64(want[i])
				if s.decays {
					w -= rate * 0.1 * w
				}
				want[i] = float32(w - rate*v[i])
			}
		}
		for _, s := range o.dense {
			move(s)
		}
		for _, of := range o.sections {
			for _, s := range of {
				if touched[s.from] {
					move(s)
				}
			}
		}
		if learns == 0 || learns*4 > 3*len(m.Weights) {
			t.Fatalf("%d of %d weights are to move: the test sees less than it should", learns, len(m.Weights))
		}
		if got := o.Step(pool, m, grads, rate, clip); math.Abs(got-math.Sqrt(squares)) > 1e-4*got {
			t.Errorf("a norm of %v, want %v", got, math.Sqrt(squares))
		}
		for i, w := range want {
			if math.Abs(float64(m.Weights[i]-w)) > 1e-5*(1+math.Abs(float64(w))) {
				t.Fatalf("step %d: weight %d is %v, want %v", step, i, m.Weights[i], w)
			}
		}
		for _, g := range grads { // what a section's gradient holds means nothing once it is not touched
			clear(g.Base.Weights)
		}
		fill(t, m, grads)
	}
}
