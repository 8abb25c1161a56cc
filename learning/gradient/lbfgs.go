package gradient

import "math"

// LBFGS minimizes a smooth function, of which it is told the value and the gradient, by the limited-memory BFGS method (Nocedal
// and Wright, Numerical Optimization, 2nd ed., algorithms 7.4 and 7.5) with a line search for the strong Wolfe conditions
// (algorithms 3.5 and 3.6). The function must be the same at every step: the whole of the data, or a batch that stays. It
// remembers 16·Memory + 24 bytes a parameter. The zero value is ready.
type LBFGS struct {
	Memory    int     // steps that curvature is known from. If zero, 10
	Armijo    float64 // c₁, what a step has to bring of what its beginning promised. If zero, 1e-4
	Curvature float64 // c₂, what may be left of the slope behind a step. If zero, 0.9
	Most      int     // evaluations of one line search at most. If zero, 20

	Evaluations int // of the function, in all

	value      float64
	gradient   []float64   // where it stands
	s, y       [][]float64 // steps, and how the gradient changed with them; the oldest first
	direction  []float64
	next, grad []float64 // of the line search
}

// Step moves x to a lower value of f, which returns its value at x and writes its gradient to g, and returns that value. It is false
// where there is none in the direction that was searched, and x stays.
func (o *LBFGS) Step(x []float64, f func(x, g []float64) float64) (value float64, ok bool) {
	if o.gradient == nil {
		o.begin(len(x))
		o.value = o.evaluate(f, x, o.gradient)
	}
	o.descend()
	slope := dot(o.direction, o.gradient)
	if !(slope < 0) { // rounding has spoilt what was known of the curvature
		o.s, o.y = nil, nil
		o.descend()
		slope = dot(o.direction, o.gradient)
	}
	if !(slope < 0) {
		return o.value, false
	}
	first := 1.0
	if len(o.s) == 0 { // nothing is known of how long steps should be
		first = min(1, 1/math.Sqrt(-slope))
	}
	if !o.search(x, f, slope, first) {
		known := len(o.s) > 0
		o.s, o.y = nil, nil
		if known {
			return o.Step(x, f)
		}
		return o.value, false
	}
	o.remember(x)
	return o.value, true
}

func (o *LBFGS) begin(n int) {
	num := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	num(&o.Armijo, 1e-4)
	num(&o.Curvature, 0.9)
	if o.Memory == 0 {
		o.Memory = 10
	}
	if o.Most == 0 {
		o.Most = 20
	}
	o.gradient, o.direction = make([]float64, n), make([]float64, n)
	o.next, o.grad = make([]float64, n), make([]float64, n)
}

func (o *LBFGS) evaluate(f func(x, g []float64) float64, x, g []float64) float64 {
	o.Evaluations++
	return f(x, g)
}

// descend sets the direction to −H·∇f by the two-loop recursion (algorithm 7.4), with H₀ = γ·I of eq. 7.20.
func (o *LBFGS) descend() {
	q := o.direction
	for i, v := range o.gradient {
		q[i] = -v
	}
	alpha := make([]float64, len(o.s))
	for i := len(o.s) - 1; i >= 0; i-- {
		alpha[i] = dot(o.s[i], q) / dot(o.s[i], o.y[i])
		axpy(q, -alpha[i], o.y[i])
	}
	if k := len(o.s) - 1; k >= 0 {
		gamma := dot(o.s[k], o.y[k]) / dot(o.y[k], o.y[k])
		for i := range q {
			q[i] *= gamma
		}
	}
	for i := range o.s {
		beta := dot(o.y[i], q) / dot(o.s[i], o.y[i])
		axpy(q, alpha[i]-beta, o.s[i])
	}
}

// remember takes the step from x to next into what is known, and makes next the new x.
func (o *LBFGS) remember(x []float64) {
	var s, y []float64
	if len(o.s) == o.Memory {
		s, y = o.s[0], o.y[0]
		o.s, o.y = o.s[1:], o.y[1:]
	} else {
		s, y = make([]float64, len(x)), make([]float64, len(x))
	}
	for i := range x {
		s[i], y[i] = o.next[i]-x[i], o.grad[i]-o.gradient[i]
	}
	if dot(s, y) > 1e-12*dot(y, y) { // or H would not stay positive definite
		o.s, o.y = append(o.s, s), append(o.y, y)
	}
	copy(x, o.next)
	o.gradient, o.grad = o.grad, o.gradient
}

// A trial is a point of a line search: how far along, what the function and its slope are there.
type trial struct{ at, value, slope float64 }

// search finds a step along the direction that meets the strong Wolfe conditions (algorithm 3.5), or at least lowers the value
// enough when evaluations run out. next, grad and value are then those of its end.
func (o *LBFGS) search(x []float64, f func(x, g []float64) float64, slope, first float64) bool {
	start := trial{0, o.value, slope}
	try := func(at float64) trial {
		for i, v := range x {
			o.next[i] = v + at*o.direction[i]
		}
		v := o.evaluate(f, o.next, o.grad)
		return trial{at, v, dot(o.direction, o.grad)}
	}
	lowers := func(t trial) bool { return t.value <= start.value+o.Armijo*t.at*slope }
	before, t := start, try(first)
	low, high := start, start
	bracketed := false
	for used := 1; used < o.Most; used++ {
		switch {
		case bracketed: // algorithm 3.6, zoom
			if !lowers(t) || t.value >= low.value {
				high = t
			} else {
				if math.Abs(t.slope) <= -o.Curvature*slope {
					o.value = t.value
					return true
				}
				if t.slope*(high.at-low.at) >= 0 {
					high = low
				}
				low = t
			}
		case !(t.value < math.Inf(1)) || !lowers(t) || used > 1 && t.value >= before.value:
			bracketed, low, high = true, before, t
		case math.Abs(t.slope) <= -o.Curvature*slope:
			o.value = t.value
			return true
		case t.slope >= 0:
			bracketed, low, high = true, t, before
		default:
			before, t = t, try(2*t.at)
			continue
		}
		t = try(between(low, high))
	}
	if low.at > 0 && lowers(low) && low.value < start.value {
		o.value = try(low.at).value
		return true
	}
	return false
}

// between is where the parabola through low, with its slope, and high is lowest, kept away from the ends.
func between(low, high trial) float64 {
	d := high.at - low.at
	at := low.at - low.slope*d*d/(2*(high.value-low.value-low.slope*d))
	least, most := min(low.at, high.at)+0.1*math.Abs(d), max(low.at, high.at)-0.1*math.Abs(d)
	if !(at >= least) {
		return least
	}
	return min(at, most)
}

func dot(a, b []float64) (s float64) {
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func axpy(y []float64, a float64, x []float64) {
	for i, v := range x {
		y[i] += a * v
	}
}
