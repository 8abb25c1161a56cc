package gradient

import (
	"math"
	"math/rand/v2"
	"testing"
)

// With a line search that goes to the lowest point, n steps find the minimum of a quadratic function of n numbers (Nocedal and Wright,
// theorem 6.4), and gradient descent is nowhere near.
func TestLBFGSOnAQuadratic(t *testing.T) {
	const n = 12
	r := rand.New(rand.NewPCG(3, 4))
	var a [n][n]float64 // B·Bᵀ + I/10, B triangular
	var b [n][n]float64
	for i := range n {
		for j := range i + 1 {
			b[i][j] = r.NormFloat64()
		}
	}
	want := make([]float64, n)
	for i := range n {
		want[i] = r.NormFloat64()
		for j := range n {
			for k := range n {
				a[i][j] += b[i][k] * b[j][k]
			}
		}
		a[i][i] += 0.1
	}
	f := func(x, g []float64) (v float64) {
		for i := range n {
			g[i] = 0
			for j := range n {
				g[i] += a[i][j] * (x[j] - want[j])
			}
			v += 0.5 * g[i] * (x[i] - want[i])
		}
		return v
	}
	far := func(forgets bool) float64 {
		x := make([]float64, n)
		before := math.Inf(1)
		o := LBFGS{Memory: n, Curvature: 1e-9, Most: 60}
		for range n {
			if forgets { // every step is the first: gradient descent
				o = LBFGS{Curvature: 1e-9, Most: 60}
			}
			v, ok := o.Step(x, f)
			if !ok {
				break
			}
			if v > before {
				t.Fatalf("the value rose from %v to %v", before, v)
			}
			before = v
		}
		var worst float64
		for i := range x {
			worst = max(worst, math.Abs(x[i]-want[i]))
		}
		return worst
	}
	if d := far(false); d > 1e-5 {
		t.Errorf("after %d steps it is %v away", n, d)
	}
	if d := far(true); d < 0.1 {
		t.Errorf("gradient descent is as good, %v away: the test sees nothing", d)
	}
}

// Rosenbrock's valley is crooked and not convex. Every step meets the strong Wolfe conditions.
func TestLBFGSOnRosenbrock(t *testing.T) {
	f := func(x, g []float64) float64 {
		u, v := 1-x[0], x[1]-x[0]*x[0]
		g[0], g[1] = -2*u-400*x[0]*v, 200*v
		return u*u + 100*v*v
	}
	x, g := []float64{-1.2, 1}, make([]float64, 2)
	o := LBFGS{}
	for step := 0; step < 60 && f(x, g) > 1e-12; step++ {
		was := [2]float64{x[0], x[1]}
		before := f(x, g)
		slopes := [2]float64{g[0], g[1]}
		after, ok := o.Step(x, f)
		if !ok {
			t.Fatalf("step %d found nothing", step)
		}
		d := [2]float64{x[0] - was[0], x[1] - was[1]}
		slope := slopes[0]*d[0] + slopes[1]*d[1]
		f(x, g)
		if after > before+1e-4*slope || math.Abs(g[0]*d[0]+g[1]*d[1]) > 0.9*math.Abs(slope)+1e-12 {
			t.Errorf("step %d does not meet the conditions: %v after %v, slope %v after %v", step, after, before, g[0]*d[0]+g[1]*d[1], slope)
		}
	}
	if math.Abs(x[0]-1) > 1e-4 || math.Abs(x[1]-1) > 1e-4 {
		t.Errorf("it ends at %v after %d evaluations", x, o.Evaluations)
	}
}

// Where a function has no lower value, a step says so and stays.
func TestLBFGSAtTheBottom(t *testing.T) {
	flat := func(x, g []float64) float64 { g[0] = 0; return 3 }
	x := []float64{5}
	if v, ok := new(LBFGS).Step(x, flat); ok || v != 3 || x[0] != 5 {
		t.Errorf("of a flat function: %v, %v, %v", v, ok, x)
	}
	liar := func(x, g []float64) float64 { g[0] = 1; return -x[0] } // whose gradient points the wrong way
	if _, ok := new(LBFGS).Step(x, liar); ok || x[0] != 5 {
		t.Errorf("against its gradient it went to %v", x)
	}
	nan := func(x, g []float64) float64 {
		g[0] = 1
		if x[0] < 5 {
			return math.NaN()
		}
		return x[0]
	}
	if _, ok := new(LBFGS).Step(x, nan); ok || x[0] != 5 {
		t.Errorf("into what is no number it went to %v", x)
	}
}
