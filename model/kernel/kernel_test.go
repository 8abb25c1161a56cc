package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// The reference is computed here, in float64 and as directly as the definition reads.

func seeded() *rand.Rand { return rand.New(rand.NewPCG(7, 11)) }

func (f *fence) random(r *rand.Rand, n int) []float32 {
	x := f.floats(n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// within fails unless got is want to a relative rounding error of size, the sum of magnitudes that met in it.
func within(t *testing.T, what string, got float32, want, size float64) {
	t.Helper()
	if math.IsNaN(float64(got)) || math.Abs(float64(got)-want) > 2e-6*size+1e-12 {
		t.Fatalf("%s: got %g, want %g (magnitude %g)", what, got, want, size)
	}
}

// lengths are all that a tail can be at any width and unrolling, and a few long ones.
func lengths() []int {
	var all []int
	for n := range 140 {
		all = append(all, n)
	}
	return append(all, 192, 255, 1000, 1027)
}

type product struct {
	m, n, k            int
	padA, padB, padC   int
	transposeA, transB bool
	acc                bool
}

func (p product) String() string {
	return fmt.Sprintf("%dx%dx%d pad %d,%d,%d trans %v,%v acc %v",
		p.m, p.k, p.n, p.padA, p.padB, p.padC, p.transposeA, p.transB, p.acc)
}

func (p product) check(t *testing.T, r *rand.Rand, f *fence, ws *Workspace) {
	t.Helper()
	f.reset()
	matrix := func(rows, cols, pad int, transposed bool) (x []float32, rs, cs int) {
		if transposed {
			rows, cols = cols, rows
		}
		rs, cs = cols+pad, 1
		x = f.random(r, max(0, (rows-1)*rs+cols)*min(rows, 1))
		if transposed {
			rs, cs = cs, rs
		}
		return x, rs, cs
	}
	a, ars, acs := matrix(p.m, p.k, p.padA, p.transposeA)
	b, brs, bcs := matrix(p.k, p.n, p.padB, p.transB)
	c, ldc, _ := matrix(p.m, p.n, p.padC, false)
	before := append([]float32(nil), c...)
	Gemm(ws, c, ldc, a, ars, acs, b, brs, bcs, p.m, p.n, p.k, p.acc)
	for at := range c {
		i, j := at/ldc, at%ldc
		if j >= p.n {
			if c[at] != before[at] {
				t.Fatalf("%v: wrote between the rows of C at %d,%d", p, i, j)
			}
			continue
		}
		want, size := 0.0, 0.0
		if p.acc {
			want = float64(before[at])
			size = math.Abs(want)
		}
		for q := range p.k {
			v := float64(a[i*ars+q*acs]) * float64(b[q*brs+j*bcs])
			want += v
			size += math.Abs(v)
		}
		within(t, p.String(), c[at], want, size)
	}
}

func TestGemm(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f, ws := seeded(), newFence(t, 700*700), NewWorkspace()
		for range 600 {
			p := product{
				m: r.IntN(40), n: r.IntN(70), k: r.IntN(70),
				padA: r.IntN(4), padB: r.IntN(4), padC: r.IntN(4),
				transposeA: r.IntN(2) == 0, transB: r.IntN(2) == 0, acc: r.IntN(2) == 0,
			}
			p.check(t, r, f, ws)
		}
		for _, p := range []product{
			{m: 1, n: 32, k: 192},                                      // gates of a section, one row
			{m: 23, n: 32, k: 192, transB: true},                       // gates of a section
			{m: 60, n: 32, k: 192, transB: true},                       //
			{m: 47, n: 192, k: 16, acc: true},                          // what a section gives back
			{m: 32, n: 192, k: 53, transposeA: true, acc: true},        // gradient of its weights
			{m: 40, n: 16, k: 192, transB: true},                       // gradient of its neurons
			{m: 200, n: 32, k: 32, padA: 160, padC: 160},               // one block of a projection
			{m: 200, n: 32, k: 32, padA: 160, padC: 160, transB: true}, //
			{m: 70, n: 96, k: 32},                                      // keys
			{m: 66, n: 70, k: 192},                                     // B worth a panel
			{m: 65, n: 37, k: 530, padB: 3, acc: true},                 // more than one panel deep
			{m: 65, n: 37, k: 530, padB: 3, transB: true},              //
			{m: 230, n: 19, k: 10},                                     // more tiles than one call takes
			{m: 200, n: 40, k: 256},                                    // rows 1 KiB apart
			{m: 131, n: 33, k: 600, padA: 168, acc: true},              //
			{m: 20, n: 18, k: 300, padA: 212, transB: true, padC: 1},   //
			{m: 70, n: 12, k: 24, padA: 1000},                          // rows 4 KiB apart
			{m: 3, n: 3, k: 0}, {m: 3, n: 3, k: 0, acc: true, padC: 2}, // an empty sum is zero
			{m: 0, n: 5, k: 5}, {m: 5, n: 0, k: 5, padC: 1, transB: true}, //
		} {
			p.check(t, r, f, ws)
		}
	})
}

func TestGemmRefusesScatteredB(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a B with neither stride 1 was accepted")
		}
	}()
	x := make([]float32, 100)
	Gemm(NewWorkspace(), make([]float32, 4), 2, x, 2, 1, x, 4, 2, 2, 2, 2, false)
}

func TestReductions(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, n := range lengths() {
			f.reset()
			x, y := f.random(r, n), f.random(r, n)
			var product, productSize, squares float64
			top := math.Inf(-1)
			for i, v := range x {
				w := float64(v) * float64(y[i])
				product += w
				productSize += math.Abs(w)
				squares += float64(v) * float64(v)
				top = max(top, float64(v))
			}
			within(t, fmt.Sprint("Dot ", n), Dot(x, y), product, productSize)
			within(t, fmt.Sprint("SumSquares ", n), SumSquares(x), squares, squares)
			if got := Max(x); float64(got) != top {
				t.Fatalf("Max %d: got %g, want %g", n, got, top)
			}
			// The maximum is found wherever it stands, and also when all are negative.
			for i := range x {
				x[i] = -1 - x[i]*x[i]
			}
			for i := range x {
				was := x[i]
				x[i] = -0.5
				if got := Max(x); got != -0.5 {
					t.Fatalf("Max %d with the largest at %d: got %g", n, i, got)
				}
				x[i] = was
			}
		}
	})
}

func TestMatrixTimesVector(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 70*210)
		for range 400 {
			f.reset()
			rows, cols, pad := r.IntN(40), r.IntN(200), r.IntN(5)
			ld := cols + pad
			w := f.random(r, max(0, (rows-1)*ld+cols)*min(rows, 1))
			what := fmt.Sprintf("%dx%d pad %d", rows, cols, pad)

			x, y := f.random(r, cols), f.random(r, rows)
			Gemv(y, w, ld, x)
			for i, got := range y {
				var want, size float64
				for j, v := range x {
					p := float64(w[i*ld+j]) * float64(v)
					want += p
					size += math.Abs(p)
				}
				within(t, "Gemv "+what, got, want, size)
			}

			xt, yt := f.random(r, rows), f.random(r, cols)
			before := append([]float32(nil), yt...)
			GemvT(yt, w, ld, xt)
			for j, got := range yt {
				want := float64(before[j])
				size := math.Abs(want)
				for i, v := range xt {
					p := float64(w[i*ld+j]) * float64(v)
					want += p
					size += math.Abs(p)
				}
				within(t, "GemvT "+what, got, want, size)
			}
		}
	})
}

func TestElementwise(t *testing.T) {
	const a = 1.7
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for _, c := range []struct {
		name string
		run  func(y, p, q []float32)
		want func(y, p, q float64) float64
	}{
		{"Axpy", func(y, p, _ []float32) { Axpy(y, a, p) }, func(y, p, _ float64) float64 { return y + float64(float32(a))*p }},
		{"Add", func(y, p, _ []float32) { Add(y, p) }, func(y, p, _ float64) float64 { return y + p }},
		{"Mul", Mul, func(_, p, q float64) float64 { return p * q }},
		{"MulAdd", MulAdd, func(y, p, q float64) float64 { return y + p*q }},
		{"Scale", func(y, _, _ []float32) { Scale(y, a) }, func(y, _, _ float64) float64 { return y * float64(float32(a)) }},
		{"Exp", func(y, p, _ []float32) { Exp(y, p) }, func(_, p, _ float64) float64 { return math.Exp(p) }},
		{"Sigmoid", func(y, p, _ []float32) { Sigmoid(y, p) }, func(_, p, _ float64) float64 { return sigmoid(p) }},
		{"SiLU", func(y, p, _ []float32) { SiLU(y, p) }, func(_, p, _ float64) float64 { return p * sigmoid(p) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachLevel(t, func(t *testing.T) {
				r, f := seeded(), newFence(t, 2000)
				for _, n := range lengths() {
					f.reset()
					y, p, q := f.random(r, n), f.random(r, n), f.random(r, n)
					before := append([]float32(nil), y...)
					c.run(y, p, q)
					for i, got := range y {
						size := math.Abs(float64(before[i])) + math.Abs(float64(p[i])) + math.Abs(float64(p[i]*q[i])) + math.Exp(float64(p[i]))
						within(t, fmt.Sprintf("length %d at %d", n, i), got, c.want(float64(before[i]), float64(p[i]), float64(q[i])), size)
					}
					// The destination may be an operand.
					y, p = f.floats(n), f.floats(n)
					copy(y, before)
					copy(p, before)
					other := append([]float32(nil), y...)
					c.run(y, y, q)
					c.run(other, p, q)
					for i := range y {
						if y[i] != other[i] {
							t.Fatalf("length %d at %d: in place %g, apart %g", n, i, y[i], other[i])
						}
					}
				}
			})
		})
	}
}

func TestExponentialFamilyIsAccurate(t *testing.T) {
	ulps := func(got float32, want float64) float64 {
		w := float32(want)
		spacing := float64(math.Nextafter32(float32(math.Abs(float64(w))), math.MaxFloat32)) - math.Abs(float64(w))
		return math.Abs(float64(got)-want) / spacing
	}
	eachLevel(t, func(t *testing.T) {
		const n = 40000
		x, e, s, l := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		for i := range x {
			x[i] = -87 + 175*float32(i)/n
		}
		Exp(e, x)
		Sigmoid(s, x)
		SiLU(l, x)
		for i, v := range x {
			z := math.Exp(float64(v))
			if u := ulps(e[i], z); !(u <= 3) {
				t.Fatalf("Exp(%g) = %g: %.1f units in the last place away", v, e[i], u)
			}
			if u := ulps(s[i], z/(1+z)); !(u <= 4) {
				t.Fatalf("Sigmoid(%g) = %g: %.1f units in the last place away", v, s[i], u)
			}
			if u := ulps(l[i], float64(v)*z/(1+z)); v != 0 && !(u <= 4) {
				t.Fatalf("SiLU(%g) = %g: %.1f units in the last place away", v, l[i], u)
			}
		}
	})
}

func TestExponentialFamilyAtTheEnds(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	const big = math.MaxFloat32
	eachLevel(t, func(t *testing.T) {
		for _, c := range []struct{ x, exp, sigmoid, silu float32 }{
			{0, 1, 0.5, 0},
			{88.8, inf, 1, 88.8},
			{1000, inf, 1, 1000},
			{big, inf, 1, big},
			{inf, inf, 1, inf},
			{-104.6, 0, 0, 0},
			{-1000, 0, 0, 0},
			{-big, 0, 0, 0},
			{-inf, 0, 0, 0},
		} {
			for _, n := range []int{1, 7, 8, 16, 33} { // in a whole vector and in a masked one
				x, y := make([]float32, n), make([]float32, n)
				for i := range x {
					x[i] = c.x
				}
				for _, k := range []struct {
					name string
					run  func(y, x []float32)
					want float32
				}{{"Exp", Exp, c.exp}, {"Sigmoid", Sigmoid, c.sigmoid}, {"SiLU", SiLU, c.silu}} {
					k.run(y, x)
					for i, got := range y {
						if got != k.want && !(math.Abs(float64(got-k.want)) < 1e-36) {
							t.Fatalf("%s(%g) = %g at %d of %d, want %g", k.name, c.x, got, i, n, k.want)
						}
					}
				}
			}
		}
		// The last number before overflow, and what belongs to no one: a NaN stays one.
		y := []float32{0, 0, 0}
		Exp(y, []float32{expHigh, expLow, nan})
		if y[0] < 3.3e38 || y[0] > big || y[1] < 1e-38 || y[1] > 1.2e-38 || y[2] == y[2] {
			t.Errorf("Exp at its bounds and of NaN: %g", y)
		}
		Sigmoid(y, []float32{nan, nan, nan})
		if y[0] == y[0] {
			t.Errorf("Sigmoid(NaN) = %g", y)
		}
		SiLU(y, []float32{nan, nan, nan})
		if y[0] == y[0] {
			t.Errorf("SiLU(NaN) = %g", y)
		}
	})
}

func TestSoftmax(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, n := range lengths() {
			for _, shift := range []float32{0, 1e4, -1e4} {
				f.reset()
				x := f.random(r, n)
				sum, top := 0.0, math.Inf(-1)
				for i := range x {
					x[i] = 5*x[i] + shift
					top = max(top, float64(x[i]))
				}
				for _, v := range x {
					sum += math.Exp(float64(v) - top)
				}
				before := append([]float32(nil), x...)
				got := SoftmaxInPlace(x)
				if n == 0 {
					if !math.IsInf(float64(got), -1) {
						t.Fatalf("log of an empty sum: %g", got)
					}
					continue
				}
				within(t, "log Σ exp", got, top+math.Log(sum), 1+math.Abs(top))
				for i, v := range x {
					within(t, fmt.Sprintf("length %d at %d", n, i), v, math.Exp(float64(before[i])-top)/sum, 1)
				}
			}
		}
		none := float32(math.Inf(-1))
		x := []float32{none, 2, none}
		if got := SoftmaxInPlace(x); got != 2 || x[0] != 0 || x[1] != 1 || x[2] != 0 {
			t.Errorf("one possible of three: %g, log Σ exp %g", x, got)
		}
		x = []float32{none, none}
		if got := SoftmaxInPlace(x); got != none || x[0] != 0 || x[1] != 0 {
			t.Errorf("nothing possible: %g, log Σ exp %g", x, got)
		}
	})
}

func TestRMSNorm(t *testing.T) {
	const eps = 1e-5
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, n := range lengths() {
			for _, gain := range []bool{false, true} {
				f.reset()
				y, x := f.floats(n), f.random(r, n)
				var g []float32
				if gain {
					g = f.random(r, n)
				}
				sum := 0.0
				for _, v := range x {
					sum += float64(v) * float64(v)
				}
				want := 1 / math.Sqrt(sum/float64(n)+eps)
				got := RMSNorm(y, x, g, eps)
				if n == 0 {
					continue
				}
				within(t, "scale", got, want, want)
				for i, v := range x {
					w := float64(v) * want
					if gain {
						w *= float64(g[i])
					}
					within(t, fmt.Sprintf("length %d at %d", n, i), y[i], w, math.Abs(w))
				}
				apart := append([]float32(nil), y...)
				RMSNorm(x, x, g, eps)
				for i := range x {
					if x[i] != apart[i] {
						t.Fatalf("length %d at %d: in place %g, apart %g", n, i, x[i], apart[i])
					}
				}
			}
		}
	})
}

func TestAdam(t *testing.T) {
	const beta1, beta2 = 0.9, 0.99
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 70000)
		for _, n := range append(lengths(), 1<<15+3, 1<<16) {
			f.reset()
			p, g, m, v := f.random(r, n), f.floats(n), f.floats(n), f.floats(n)
			clear(m)
			clear(v)
			wp, wm, wv := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range p {
				wp[i] = float64(p[i])
			}
			for step := 1; step <= 3; step++ {
				c := AdamConst{
					LR: 1e-2, Beta1: beta1, Beta2: beta2, Eps: 1e-8, Decay: 1e-3,
					Corr1: float32(1 / (1 - math.Pow(beta1, float64(step)))),
					Corr2: float32(1 / (1 - math.Pow(beta2, float64(step)))),
				}
				for i := range g {
					g[i] = float32(r.NormFloat64())
					gi := float64(g[i])
					wm[i] = beta1*wm[i] + (1-beta1)*gi
					wv[i] = beta2*wv[i] + (1-beta2)*gi*gi
					wp[i] -= 1e-3*wp[i] + 1e-2*float64(c.Corr1)*wm[i]/(math.Sqrt(float64(c.Corr2)*wv[i])+1e-8)
				}
				Adam(p, g, m, v, c)
			}
			for i := range p {
				what := fmt.Sprintf("length %d at %d", n, i)
				within(t, what+": parameter", p[i], wp[i], 1+math.Abs(wp[i]))
				within(t, what+": first moment", m[i], wm[i], 1)
				within(t, what+": second moment", v[i], wv[i], 1+wv[i])
			}
		}
	})
}

// The first moment may be the gradient itself: nothing is read after it was written over.
func TestAdamWithoutMomentum(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, n := range lengths() {
			f.reset()
			p, g, v := f.random(r, n), f.random(r, n), f.floats(n)
			clear(v)
			q, m, w := append([]float32(nil), p...), make([]float32, n), make([]float32, n)
			c := AdamConst{LR: 1e-2, Beta2: 0.9, Eps: 1e-8, Corr1: 1, Corr2: 10}
			Adam(q, append([]float32(nil), g...), m, w, c)
			Adam(p, g, g, v, c)
			for i := range p {
				if p[i] != q[i] || v[i] != w[i] || g[i] != m[i] {
					t.Fatalf("length %d at %d: %g and %g with the moment in place, %g and %g apart", n, i, p[i], v[i], q[i], w[i])
				}
			}
		}
	})
}

func TestDecayScan(t *testing.T) {
	const alpha = 0.96875 // exact in float32, as every 1 - 2^-k is
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 150*30)
		for d := range 140 {
			f.reset()
			n, ld := r.IntN(12), d+r.IntN(5)
			floats := max(0, (n-1)*ld+d) * min(n, 1)
			x, out, state := f.random(r, floats), f.random(r, floats), f.random(r, d)
			before := append([]float32(nil), out...)
			start := append([]float32(nil), state...)
			want := make([]float64, d)
			for j := range want {
				want[j] = float64(state[j])
			}
			what := fmt.Sprintf("%d rows of %d, %d apart", n, d, ld)
			DecayScan(out, x, ld, n, state, alpha)
			for i := range n {
				for j := range d {
					within(t, what, out[i*ld+j], want[j], 10)
					want[j] = alpha * (want[j] + float64(x[i*ld+j]))
				}
			}
			for j := range want {
				within(t, what+": state", state[j], want[j], 10)
			}
			for i := range out {
				if ld > 0 && i%ld >= d && out[i] != before[i] {
					t.Fatalf("%s: wrote between the rows at %d", what, i)
				}
			}

			// Two pieces give the same bits as one, and so does working in place.
			half := n / 2
			DecayScan(x, x, ld, half, start, alpha)
			DecayScan(x[half*ld*min(n, 1):], x[half*ld*min(n, 1):], ld, n-half, start, alpha)
			for i := range n {
				for j := range d {
					if x[i*ld+j] != out[i*ld+j] {
						t.Fatalf("%s: row %d in two pieces in place %g, at once %g", what, i, x[i*ld+j], out[i*ld+j])
					}
				}
			}
			for j := range state {
				if start[j] != state[j] {
					t.Fatalf("%s: state in two pieces %g, at once %g", what, start[j], state[j])
				}
			}
		}
	})
}

// The scan is linear in what comes in, so its derivative is its transpose: 〈scan(x, s), (dout, ds)〉 must be
// 〈(x, s), back(dout, ds)〉 for any numbers whatever.
func TestDecayScanBackIsTheTranspose(t *testing.T) {
	const alpha = 0.875
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 150*30)
		for d := range 140 {
			f.reset()
			n, ld := r.IntN(12), d+r.IntN(5)
			floats := max(0, (n-1)*ld+d) * min(n, 1)
			x, dout := f.random(r, floats), f.random(r, floats)
			out, dx := f.floats(floats), f.random(r, floats)
			state, mu := f.random(r, d), f.random(r, d)
			first, final := append([]float32(nil), state...), append([]float32(nil), mu...)
			old := append([]float32(nil), dx...)
			DecayScan(out, x, ld, n, state, alpha)
			DecayScanBack(dx, dout, ld, n, mu, alpha)
			for j := range d {
				left := float64(state[j]) * float64(final[j])
				right := float64(first[j]) * float64(mu[j])
				size := math.Abs(left) + math.Abs(right) + 30
				for i := range n {
					at := i*ld + j
					left += float64(out[at]) * float64(dout[at])
					right += float64(x[at]) * (float64(dx[at]) - float64(old[at]))
				}
				within(t, fmt.Sprintf("%d rows, column %d of %d", n, j, d), float32(left), right, size)
			}
			for i := range dx {
				if ld > 0 && i%ld >= d && dx[i] != old[i] {
					t.Fatalf("%d rows of %d, %d apart: wrote between the rows at %d", n, d, ld, i)
				}
			}
		}
	})
}

func TestNothingAllocates(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		ws := NewWorkspace()
		x, y, z, w := Aligned(5000), Aligned(5000), Aligned(5000), Aligned(5000)
		for name, f := range map[string]func(){
			"Gemm": func() {
				Gemm(ws, y, 37, x, 19, 1, z, 37, 1, 30, 37, 19, true)
				Gemm(ws, y, 37, x, 1, 30, z, 1, 19, 30, 37, 19, false)
				Gemm(ws, y, 37, x, 60, 1, z, 1, 60, 20, 37, 60, false)
				Gemm(ws, y, 16, x, 256, 1, z, 16, 1, 18, 16, 200, false)
			},
			"Dot":            func() { y[0] = Dot(x, z) },
			"Gemv":           func() { Gemv(y[:19], z, 70, x[:67]) },
			"GemvT":          func() { GemvT(y[:67], z, 70, x[:19]) },
			"Axpy":           func() { Axpy(y, 2, x) },
			"Add":            func() { Add(y, x) },
			"Mul":            func() { Mul(y, x, z) },
			"MulAdd":         func() { MulAdd(y, x, z) },
			"Scale":          func() { Scale(y, 0.5) },
			"SumSquares":     func() { y[0] = SumSquares(x) },
			"Max":            func() { y[0] = Max(x) },
			"Exp":            func() { Exp(y, x) },
			"Sigmoid":        func() { Sigmoid(y, x) },
			"SiLU":           func() { SiLU(y, x) },
			"SoftmaxInPlace": func() { y[0] = SoftmaxInPlace(z) },
			"RMSNorm":        func() { RMSNorm(y, x, nil, 1e-6); RMSNorm(y, x, z, 1e-6) },
			"Adam":           func() { Adam(x, y, z, w, AdamConst{Eps: 1e-8}) },
			"DecayScan":      func() { DecayScan(y, x, 100, 50, z[:100], 0.5) },
			"DecayScanBack":  func() { DecayScanBack(y, x, 100, 50, z[:100], 0.5) },
		} {
			if n := testing.AllocsPerRun(3, f); n != 0 {
				t.Errorf("%s allocates %g times", name, n)
			}
		}
	})
}

func TestShortOperandsPanic(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		long, short := make([]float32, 64), make([]float32, 15)
		ws := NewWorkspace()
		for name, f := range map[string]func(){
			"Gemm C":        func() { Gemm(ws, short, 4, long, 4, 1, long, 4, 1, 4, 4, 4, false) },
			"Gemm A":        func() { Gemm(ws, long, 4, short, 4, 1, long, 4, 1, 4, 4, 4, false) },
			"Gemm B":        func() { Gemm(ws, long, 4, long, 4, 1, short, 4, 1, 4, 4, 4, false) },
			"Dot":           func() { Dot(long, short) },
			"Gemv":          func() { Gemv(long[:4], short, 4, long[:4]) },
			"GemvT":         func() { GemvT(long[:4], short, 4, long[:4]) },
			"Axpy":          func() { Axpy(long, 1, short) },
			"Add":           func() { Add(long, short) },
			"Mul":           func() { Mul(long, long, short) },
			"MulAdd":        func() { MulAdd(long, short, long) },
			"Exp":           func() { Exp(long, short) },
			"Sigmoid":       func() { Sigmoid(long, short) },
			"SiLU":          func() { SiLU(long, short) },
			"RMSNorm":       func() { RMSNorm(long, short, nil, 0) },
			"RMSNorm gain":  func() { RMSNorm(long, long, short, 0) },
			"Adam":          func() { Adam(long, long, short, long, AdamConst{}) },
			"DecayScan":     func() { DecayScan(long, short, 4, 4, long[:4], 1) },
			"DecayScanBack": func() { DecayScanBack(short, long, 4, 4, long[:4], 1) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s read beyond a short operand", name)
					}
				}()
				f()
			}()
		}
	})
}

func TestAligned(t *testing.T) {
	for n := range 100 {
		s := Aligned(n)
		if len(s) != n || cap(s) != n {
			t.Fatalf("Aligned(%d): length %d, capacity %d", n, len(s), cap(s))
		}
		if n > 0 && uintptr(unsafe.Pointer(&s[0]))%64 != 0 {
			t.Fatalf("Aligned(%d) starts at %p", n, &s[0])
		}
	}
}
