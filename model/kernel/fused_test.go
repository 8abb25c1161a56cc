package kernel

import (
	"fmt"
	"math"
	"testing"
)

func TestBlend(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, n := range lengths() {
			f.reset()
			y, a, b, w := f.floats(n), f.random(r, n), f.random(r, n), f.random(r, n)
			Blend(y, a, b, w)
			for i, got := range y {
				p, q, s := float64(a[i]), float64(b[i]), float64(w[i])
				within(t, fmt.Sprintf("length %d at %d", n, i), got, p+s*(q-p), math.Abs(p)+math.Abs(s)*(math.Abs(p)+math.Abs(q)))
			}
			Blend(a, a, b, w)
			for i := range a {
				if a[i] != y[i] {
					t.Fatalf("length %d at %d: in place %g, apart %g", n, i, a[i], y[i])
				}
			}
		}
	})
}

func TestSlopeScan(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 150*30)
		for d := range 140 {
			f.reset()
			n, ld, ldi := r.IntN(12), d+r.IntN(5), 1+r.IntN(3)
			floats := max(0, (n-1)*ld+d) * min(n, 1)
			x, out, state, inv := f.random(r, floats), f.random(r, floats), f.random(r, d), f.random(r, max(0, (n-1)*ldi+1)*min(n, 1))
			untouched := append([]float32(nil), out...)
			want := make([]float64, d)
			for i, v := range state {
				want[i] = float64(v)
			}
			SlopeScan(out, x, ld, n, state, inv, ldi)
			for p := range n {
				for i := range want {
					within(t, fmt.Sprintf("width %d row %d column %d", d, p, i), out[p*ld+i], want[i], 3e2+math.Abs(want[i]))
					want[i] += (float64(x[p*ld+i]) - want[i]) * float64(inv[p*ldi])
				}
				for i := d; i < ld && p*ld+i < len(out); i++ {
					if out[p*ld+i] != untouched[p*ld+i] {
						t.Fatalf("width %d: wrote between rows %d and %d", d, p, p+1)
					}
				}
			}
			for i, v := range state {
				within(t, fmt.Sprintf("width %d: state %d after %d rows", d, i, n), v, want[i], 3e2+math.Abs(want[i]))
			}
		}
	})
}

// The derivative is that of the definition: <dout, d out> summed over what the inputs do to the outputs.
func TestSlopeScanBack(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 150*30)
		for d := range 140 {
			f.reset()
			n, ld, ldi := r.IntN(12), d+r.IntN(5), 1+r.IntN(3)
			floats := max(0, (n-1)*ld+d) * min(n, 1)
			dx, dout, lambda := f.random(r, floats), f.random(r, floats), f.random(r, d)
			inv := f.random(r, max(0, (n-1)*ldi+1)*min(n, 1))
			before := append([]float32(nil), dx...)
			want := make([]float64, d)
			for i, v := range lambda {
				want[i] = float64(v)
			}
			SlopeScanBack(dx, dout, ld, n, lambda, inv, ldi)
			for p := n - 1; p >= 0; p-- {
				k := float64(inv[p*ldi])
				for i := range want {
					w := float64(before[p*ld+i]) + k*want[i]
					within(t, fmt.Sprintf("width %d row %d column %d", d, p, i), dx[p*ld+i], w, 3e2+10*math.Abs(w))
					want[i] = float64(dout[p*ld+i]) + (1-k)*want[i]
				}
				for i := d; i < ld && p*ld+i < len(dx); i++ {
					if dx[p*ld+i] != before[p*ld+i] {
						t.Fatalf("width %d: wrote between rows %d and %d", d, p, p+1)
					}
				}
			}
			for i, v := range lambda {
				within(t, fmt.Sprintf("width %d: lambda %d before %d rows", d, i, n), v, want[i], 3e2+10*math.Abs(want[i]))
			}
		}
	})
}

func TestAbove(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, n := range lengths() {
			for _, floor := range []float32{-9, -0.5, 0, 0.7, 9} {
				f.reset()
				x := f.random(r, n)
				if n > 3 {
					x[r.IntN(n)] = floor // what equals the floor is not above it
				}
				var want, size float64
				many := 0
				for _, v := range x {
					if v > floor {
						want += float64(v)
						size += math.Abs(float64(v))
						many++
					}
				}
				sum, count := Above(x, floor)
				if count != many {
					t.Fatalf("length %d: %d above %g, want %d", n, count, floor, many)
				}
				within(t, fmt.Sprintf("length %d above %g", n, floor), sum, want, size)
			}
		}
	})
}

func TestSwiGLU(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for n := 1; n < 70; n++ {
			f.reset()
			rows := r.IntN(5)
			act, hid := f.random(r, 2*rows*n), f.floats(rows*n)
			if len(act) > 0 {
				act[0] = float32(math.Inf(-1)) // silu goes to zero there
			}
			SwiGLU(hid, act, n)
			for i, got := range hid {
				a, b := float64(act[i/n*2*n+i%n]), float64(act[i/n*2*n+n+i%n])
				want := a / (1 + math.Exp(-a)) * b
				if i == 0 {
					want = 0
				}
				within(t, fmt.Sprintf("%d rows of %d at %d", rows, n, i), got, want, 2*math.Abs(want)+1e-6)
			}
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("half a row was accepted")
		}
	}()
	SwiGLU(make([]float32, 3), make([]float32, 6), 2)
}

func TestBlocks(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, ws := seeded(), NewWorkspace()
		f := newFence(t, 40000)
		for _, dc := range []int{1, 5, 8, 16, 24, 32, 48, 64, 96} {
			for _, half := range []bool{false, true} {
				f.reset()
				blocks, rows := 1+r.IntN(4), 1+2*r.IntN(2)
				width := blocks * dc
				ld := width + r.IntN(3)
				w, a, c := f.randomMatrix(r, width*dc, half), f.random(r, (rows-1)*ld+width), f.floats((rows-1)*ld+width)
				w.Blocks(ws, c, a, ld, rows, width, dc)
				for p := range rows {
					for j := range width {
						var want, size float64
						for i := range dc {
							v := float64(a[p*ld+j/dc*dc+i]) * w.at(j/dc*dc*dc+i*dc+j%dc)
							want += v
							size += math.Abs(v)
						}
						within(t, fmt.Sprintf("%d rows, %d blocks of %d, half %v, at %d,%d", rows, blocks, dc, half, p, j), c[p*ld+j], want, size)
					}
				}
			}
		}
	})
}

func TestRMSNormBlocks(t *testing.T) {
	const eps = 1e-5
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, dc := range []int{1, 3, 8, 16, 20, 24, 32, 64} {
			for blocks := range 6 {
				f.reset()
				x, y, inv := f.random(r, blocks*dc), f.floats(blocks*dc), f.floats(blocks)
				RMSNormBlocks(y, x, inv, dc, eps)
				for b, got := range inv {
					sum := 0.0
					for _, v := range x[b*dc : (b+1)*dc] {
						sum += float64(v) * float64(v)
					}
					want := 1 / math.Sqrt(sum/float64(dc)+eps)
					within(t, fmt.Sprintf("factor %d of %d blocks of %d", b, blocks, dc), got, want, want)
					for i := b * dc; i < (b+1)*dc; i++ {
						w := float64(x[i]) * want
						within(t, fmt.Sprintf("%d blocks of %d at %d", blocks, dc, i), y[i], w, math.Abs(w))
					}
				}
				RMSNormBlocks(x, x, inv, dc, eps)
				for i := range x {
					if x[i] != y[i] {
						t.Fatalf("%d blocks of %d at %d: in place %g, apart %g", blocks, dc, i, x[i], y[i])
					}
				}
			}
		}
	})
}
