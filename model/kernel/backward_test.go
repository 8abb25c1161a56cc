package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func sigmoid64(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// siluSlope64 is the derivative of x·σ(x).
func siluSlope64(x float64) float64 { s := sigmoid64(x); return s * (1 + x*(1-s)) }

func TestSwiGLUBack(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2*70*20)
		for n := range 70 {
			for _, rows := range []int{0, 1, 2, 5, 20} {
				f.reset()
				act, hid, gate, dhid := f.random(r, 2*n*rows), f.random(r, n*rows), f.random(r, rows), f.random(r, n*rows)
				dact, dgate := f.floats(2*n*rows), f.floats(rows)
				if n > 3 && rows > 0 { // far out nothing is left, and nothing is NaN
					act[0], act[1], act[2] = -1e30, 1e30, -200
				}
				before := slices.Clone(dhid)
				SwiGLUBack(dact, dgate, dhid, act, hid, gate, n)
				for q, g := range gate {
					var sum, size float64
					for i := range n {
						what := fmt.Sprintf("%d columns, row %d at %d", n, q, i)
						a, b, h := float64(act[2*n*q+i]), float64(act[2*n*q+n+i]), float64(hid[n*q+i])
						d := float64(before[n*q+i])
						sum, size = sum+h*d, size+math.Abs(h*d)
						d *= float64(g)
						da, db := d*b*siluSlope64(a), d*a*sigmoid64(a)
						within(t, what, dact[2*n*q+i], da, math.Abs(d*b)*(1+math.Abs(a)))
						within(t, what, dact[2*n*q+n+i], db, 3*math.Abs(db)+1e-9)
						within(t, what, dhid[n*q+i], float64(g)*h, math.Abs(float64(g)*h))
					}
					within(t, fmt.Sprintf("%d columns, gate %d", n, q), dgate[q], sum, size)
				}
			}
		}
	})
}

func TestMixBack(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 40000)
		for _, n := range append(lengths(), 40000) { // more than one call takes
			f.reset()
			dout, u, v, sv, sf, e := f.random(r, n), f.random(r, n), f.random(r, n), f.random(r, n), f.random(r, n), f.random(r, n)
			du, dv, df, de := f.floats(n), f.floats(n), f.floats(n), f.floats(n)
			MixBack(du, dv, df, de, dout, u, v, sv, sf, e)
			for i, d32 := range dout {
				what := fmt.Sprintf("length %d at %d", n, i)
				d, s := float64(d32), float64(sf[i])
				within(t, what, du[i], d*float64(sv[i]), math.Abs(d*float64(sv[i])))
				within(t, what, dv[i], d*float64(u[i])*siluSlope64(float64(v[i])), math.Abs(d*float64(u[i]))*(1+math.Abs(float64(v[i]))))
				within(t, what, df[i], d*s*(1-s)*float64(e[i]), math.Abs(d*s*float64(e[i]))*(1+math.Abs(s)))
				within(t, what, de[i], d*s, math.Abs(d*s))
			}
		}
	})
}

func TestBlendBack(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, n := range lengths() {
			f.reset()
			dy, a, b, w := f.random(r, n), f.random(r, n), f.random(r, n), f.random(r, n)
			da, db, dw := f.random(r, n), f.random(r, n), f.random(r, n)
			a0, b0, w0 := slices.Clone(da), slices.Clone(db), slices.Clone(dw)
			BlendBack(da, db, dw, dy, a, b, w)
			for i, d32 := range dy {
				what := fmt.Sprintf("length %d at %d", n, i)
				d, p := float64(d32), float64(d32)*float64(w[i])
				within(t, what, da[i], float64(a0[i])+d-p, math.Abs(float64(a0[i]))+math.Abs(d)+math.Abs(p))
				within(t, what, db[i], float64(b0[i])+p, math.Abs(float64(b0[i]))+math.Abs(p))
				diff := float64(b[i]) - float64(a[i])
				within(t, what, dw[i], float64(w0[i])+d*diff, math.Abs(float64(w0[i]))+math.Abs(d)*(math.Abs(float64(a[i]))+math.Abs(float64(b[i]))))
			}
		}
	})
}

func TestRMSNormBack(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 2000)
		for _, n := range lengths() {
			f.reset()
			dx, dgain, dy, x, gain := f.random(r, n), f.random(r, n), f.random(r, n), f.random(r, n), f.random(r, n)
			x0, g0, y0 := slices.Clone(dx), slices.Clone(dgain), slices.Clone(dy)
			k := RMSNorm(f.floats(n), x, gain, 1e-3)
			RMSNormBack(dx, dgain, dy, x, gain, k)
			var c, size float64
			for i := range x {
				p := float64(x[i]) * float64(y0[i]) * float64(gain[i])
				c, size = c+p, size+math.Abs(p)
			}
			kk := float64(k)
			cube := kk * kk * kk / float64(n)
			for i := range x {
				what := fmt.Sprintf("length %d at %d", n, i)
				d, v := float64(y0[i])*float64(gain[i]), float64(x[i])
				within(t, what, dy[i], d, math.Abs(d))
				within(t, what, dgain[i], float64(g0[i])+float64(y0[i])*v*kk, math.Abs(float64(g0[i]))+math.Abs(float64(y0[i])*v*kk))
				within(t, what, dx[i], float64(x0[i])+kk*d-v*cube*c, math.Abs(float64(x0[i]))+math.Abs(kk*d)+math.Abs(v*cube)*size)
			}
		}
	})
}

func TestRMSNormBlocksBack(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r, f := seeded(), newFence(t, 70*7)
		for dc := 1; dc < 70; dc++ {
			for _, blocks := range []int{0, 1, 2, 7} {
				f.reset()
				n := dc * blocks
				dx, dy, x, inv := f.floats(n), f.random(r, n), f.random(r, n), f.floats(blocks)
				RMSNormBlocks(f.floats(n), x, inv, dc, 1e-3)
				RMSNormBlocksBack(dx, dy, x, inv, dc)
				for b, k := range inv {
					kk := float64(k)
					var c, size float64
					for i := b * dc; i < (b+1)*dc; i++ {
						p := float64(x[i]) * float64(dy[i])
						c, size = c+p, size+math.Abs(p)
					}
					cube := kk * kk * kk / float64(dc)
					for i := b * dc; i < (b+1)*dc; i++ {
						d, v := float64(dy[i]), float64(x[i])
						within(t, fmt.Sprintf("blocks of %d, block %d at %d", dc, b, i), dx[i], kk*d-v*cube*c, math.Abs(kk*d)+math.Abs(v*cube)*size)
					}
				}
				RMSNormBlocksBack(dy, dy, x, inv, dc)
				if !slices.Equal(dx, dy) {
					t.Fatalf("blocks of %d: in place it is another", dc)
				}
			}
		}
	})
}
