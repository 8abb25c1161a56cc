package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// randomMatrix has n numbers that either form holds exactly.
func (f *fence) randomMatrix(r *rand.Rand, n int, half bool) Matrix {
	if !half {
		w := f.random(r, n)
		for i, v := range w {
			w[i] = FromBF16(ToBF16(v))
		}
		return F32(w)
	}
	h := f.halves(n)
	for i := range h {
		h[i] = ToBF16(float32(r.NormFloat64()))
	}
	return BF16(h)
}

func (w Matrix) at(i int) float64 {
	var v [1]float32
	w.Read(v[:], i)
	return float64(v[0])
}

func TestProject(t *testing.T) {
	type shape struct {
		rows, n, k, pad int
		transposed, acc bool
	}
	shapes := []shape{
		{rows: 3, n: 70000, k: 2},                                           // a row of W that exceeds a block
		{rows: 2, n: 3, k: 70000, transposed: true, pad: 1},                 //
		{rows: 5, n: 300, k: 700, acc: true},                                // several blocks of whole rows
		{rows: 40, n: 700, k: 300, transposed: true},                        //
		{rows: 1, n: 5, k: 0}, {rows: 2, n: 0, k: 4}, {rows: 0, n: 3, k: 3}, // nothing to add up
		{rows: 3, n: 4, k: 0, acc: true},
	}
	r := seeded()
	for range 300 {
		shapes = append(shapes, shape{rows: 1 + r.IntN(2)*r.IntN(40), n: r.IntN(70), k: r.IntN(70), pad: r.IntN(4), transposed: r.IntN(2) == 0, acc: r.IntN(2) == 0})
	}
	eachLevel(t, func(t *testing.T) {
		f, ws := newFence(t, 220000), NewWorkspace()
		for i, s := range shapes {
			half := i%3 > 0 || s.rows > 24
			f.reset()
			wrs, wcs := s.n+s.pad, 1
			size := max(0, (s.k-1)*wrs+s.n) * min(s.k, 1)
			if s.transposed {
				wrs, wcs = 1, s.k+s.pad
				size = max(0, (s.n-1)*wcs+s.k) * min(s.n, 1)
			}
			a, w, c := f.random(r, s.rows*s.k), f.randomMatrix(r, size, half), f.random(r, s.rows*s.n)
			before := append([]float32(nil), c...)
			wide := make([]float32, size)
			w.Read(wide, 0)
			Project(ws, c, s.n, a, s.k, w, wrs, wcs, s.rows, s.n, s.k, s.acc)
			for p := range s.rows {
				for j := range s.n {
					var want, sum float64
					if s.acc {
						want = float64(before[p*s.n+j])
						sum = math.Abs(want)
					}
					for q := range s.k {
						v := float64(a[p*s.k+q]) * float64(wide[q*wrs+j*wcs])
						want += v
						sum += math.Abs(v)
					}
					within(t, fmt.Sprintf("%+v half %v at %d,%d", s, half, p, j), c[p*s.n+j], want, sum)
				}
			}
		}
	})
}

func TestWiden(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		f := newFence(t, 2000)
		for _, n := range lengths() {
			f.reset()
			src, dst := f.halves(n), f.floats(n)
			for i := range src {
				src[i] = uint16(i * 257)
			}
			Widen(dst, src)
			for i, v := range dst {
				if math.Float32bits(v) != uint32(src[i])<<16 {
					t.Fatalf("length %d at %d: %x became %x", n, i, src[i], math.Float32bits(v))
				}
			}
		}
	})
}

func TestRoundingToHalf(t *testing.T) {
	for _, c := range []struct {
		in   uint32
		want uint16
	}{
		{0x3f800000, 0x3f80}, {0x3f807fff, 0x3f80}, {0x3f808001, 0x3f81},
		{0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, // ties go to even
		{0xbf808001, 0xbf81}, {0x7f7fffff, 0x7f80}, {0, 0}, {0x80000000, 0x8000},
	} {
		if got := ToBF16(math.Float32frombits(c.in)); got != c.want {
			t.Errorf("%08x was rounded to %04x, want %04x", c.in, got, c.want)
		}
	}
}
