//go:build !purego

package kernel

import (
	"math"
	"slices"
	"testing"
)

// eachLevel runs f in NEON and in plain Go.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	was := level
	defer func() { level = was }()
	for level = range levelNames {
		t.Run(Level(), f)
	}
}

func TestLevelCanBeLoweredByName(t *testing.T) {
	for env, want := range map[string]int{"": levelNeon, "go": levelGo, "neon": levelNeon, "avx2": levelNeon} {
		t.Setenv("YAN_KERNEL", env)
		if got := detect(); got != want {
			t.Errorf("YAN_KERNEL=%q: level %s, want %s", env, levelNames[got], levelNames[want])
		}
	}
}

// No call of assembly works on more than most numbers, so what is longer is done in pieces. The pieces must meet: plain
// Go, which knows none, says what should come out.
func TestPiecesMeet(t *testing.T) {
	const n, width, rows = 2*most + 5, 1037, 3*most/1037 + 16
	r, f, ws := seeded(), newFence(t, rows*width), NewWorkspace()
	random := func(n int) []float32 { return f.random(r, n) }
	half := func(n int) []uint16 { return f.randomMatrix(r, n, true).BF16 }
	result := func(s float32, more ...float32) []float32 { return append(more, s) }
	for name, run := range map[string]func() []float32{
		"dot":     func() []float32 { return result(dot(random(n), random(n))) },
		"axpy":    func() []float32 { y := random(n); axpy(y, 0.7, random(n)); return y },
		"add":     func() []float32 { y := random(n); add(y, random(n)); return y },
		"mul":     func() []float32 { y := random(n); mul(y, random(n), random(n)); return y },
		"mulAdd":  func() []float32 { y := random(n); mulAdd(y, random(n), random(n)); return y },
		"scale":   func() []float32 { y := random(n); scale(y, 0.7); return y },
		"rescale": func() []float32 { y := random(n); mulScale(y, random(n), nil, 0.7); return y },
		"gain":    func() []float32 { y := random(n); mulScale(y, random(n), random(n), 0.7); return y },
		"blend":   func() []float32 { y := random(n); blend(y, random(n), random(n), random(n)); return y },
		"exp":     func() []float32 { y := random(n); exp(y, random(n)); return y },
		"sigmoid": func() []float32 { y := random(n); sigmoid(y, random(n)); return y },
		"silu":    func() []float32 { y := random(n); silu(y, random(n)); return y },
		"maximum": func() []float32 {
			x := random(n)
			x[n-1] = 8
			late := maximum(x)
			x[0] = 9
			return result(maximum(x), late)
		},
		"above":  func() []float32 { s, c := above(random(n), 0.5); return result(s, float32(c)) },
		"expSum": func() []float32 { x := random(n); return result(expSum(x, 1), x...) },
		"widen":  func() []float32 { y := random(n); widen(y, half(n)); return y },
		"swiglu": func() []float32 { y := random(rows * 19); swiglu(y, random(2*rows*19), 19); return y },
		"gemv":   func() []float32 { y := random(rows); gemv(y, random(rows*width), width, random(width), 0); return y },
		"gemvT":  func() []float32 { y := random(width); gemvT(y, random(rows*width), width, random(rows), 0); return y },
		"gemvHalf": func() []float32 {
			y := random(rows)
			gemvHalf(y, half(rows*width), width, random(width), 0)
			return y
		},
		"gemvTHalf": func() []float32 {
			y := random(width)
			gemvTHalf(y, half(rows*width), width, random(rows), 0)
			return y
		},
		"gemm": func() []float32 {
			c := random(3 * rows)
			gemm(ws, c, rows, random(3*width), width, 1, random(rows*width), 1, width, 3, rows, width, true)
			return c
		},
		"blocksHalf": func() []float32 {
			y := random(100 * 16)
			if x, w := random(100*16), half(100*16*16); !blocksHalf(y, w, x, 16) {
				for o := 0; o < len(y); o += 16 {
					clear(y[o : o+16])
					gemvTHalf(y[o:o+16], w[o*16:], 16, x[o:o+16], 0)
				}
			}
			return y
		},
		"normBlocks": func() []float32 {
			x, inv := random(500*24), random(500)
			RMSNormBlocks(x, x, inv, 24, 1e-6)
			RMSNormBlocksBack(x, random(500*24), random(500*24), inv, 24)
			return append(inv, x...)
		},
		"swigluBack": func() []float32 {
			dact, dgate, dhid := random(2*rows*400), random(rows), random(rows*400)
			swigluBack(dact, dgate, dhid, random(2*rows*400), random(rows*400), random(rows), 400)
			return slices.Concat(dact, dgate, dhid)
		},
		"blendBack": func() []float32 {
			da, db, dw := random(n), random(n), random(n)
			blendBack(da, db, dw, random(n), random(n), random(n), random(n))
			return slices.Concat(da, db, dw)
		},
		"decayScan": func() []float32 {
			x, state := random(rows*width), random(width)
			decayScan(x, x, width, rows, state, 0.75)
			return append(state, x...)
		},
		"decayScanBack": func() []float32 {
			dx, mu := random(rows*width), random(width)
			decayScanBack(dx, random(rows*width), width, rows, mu, 0.75)
			return append(mu, dx...)
		},
		"slopeScan": func() []float32 {
			x, state, inv := random(rows*width), random(width), random(2*rows)
			scale(inv, 0.1)
			slopeScan(x, x, width, rows, state, inv, 2)
			return append(state, x...)
		},
		"slopeScanBack": func() []float32 {
			dx, lambda, inv := random(rows*width), random(width), random(2*rows)
			scale(inv, 0.1)
			slopeScanBack(dx, random(rows*width), width, rows, lambda, inv, 2)
			return append(lambda, dx...)
		},
	} {
		var out [2][]float32
		eachLevel(t, func(*testing.T) {
			r, f.next = seeded(), 0
			out[level] = append([]float32(nil), run()...)
		})
		for i, want := range out[levelGo] {
			// Sums of thousands of numbers about 1 are compared.
			if got := out[levelNeon][i]; !(math.Abs(float64(got-want)) <= 1e-4*(1+math.Abs(float64(want)))) {
				t.Fatalf("%s at %d of %d: got %g, want %g", name, i, len(out[levelGo]), got, want)
			}
		}
	}
}
