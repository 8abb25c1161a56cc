package kernel

import (
	"fmt"
	"testing"
)

// The shapes that the model asks for, by the names of their parts.
func BenchmarkGemm(b *testing.B) {
	for _, s := range []struct {
		name     string
		m, n, k  int
		lda, ldc int // 0: as wide as the matrix
		ta, tb   bool
		acc      bool
	}{
		{name: "section-in", m: 5, n: 32, k: 192, tb: true},
		{name: "section-in", m: 12, n: 32, k: 192, tb: true},
		{name: "section-in", m: 24, n: 32, k: 192, tb: true},
		{name: "section-in", m: 60, n: 32, k: 192, tb: true},
		{name: "section-out", m: 5, n: 192, k: 16},
		{name: "section-out", m: 24, n: 192, k: 16},
		{name: "section-out", m: 60, n: 192, k: 16},
		{name: "section-dW", m: 32, n: 192, k: 24, ta: true, acc: true},
		{name: "section-dW", m: 32, n: 192, k: 60, ta: true, acc: true},
		{name: "section-dX", m: 24, n: 192, k: 32},
		{name: "section-dH", m: 24, n: 16, k: 192, tb: true},
		{name: "section-dH", m: 60, n: 16, k: 192, tb: true},
		{name: "block", m: 256, n: 32, k: 32, lda: 192, ldc: 192},
		{name: "block", m: 2048, n: 32, k: 32, lda: 192, ldc: 192},
		{name: "block-dX", m: 256, n: 32, k: 32, lda: 192, ldc: 192, tb: true, acc: true},
		{name: "block-dW", m: 32, n: 32, k: 256, lda: 192, ta: true, acc: true},
		{name: "keys", m: 256, n: 96, k: 32},
		{name: "head", m: 256, n: 256, k: 192},
		{name: "head-T", m: 256, n: 256, k: 192, tb: true},
		{name: "head-dX", m: 256, n: 192, k: 256},
	} {
		b.Run(fmt.Sprintf("%s-%dx%dx%d", s.name, s.m, s.k, s.n), func(b *testing.B) {
			ws := NewWorkspace()
			ars, acs := max(s.k, s.lda), 1
			if s.ta {
				ars, acs = 1, max(s.m, s.lda)
			}
			brs, bcs := s.n, 1
			if s.tb {
				brs, bcs = 1, s.k
			}
			ldc := max(s.n, s.ldc)
			a, w, c := Aligned(s.m*ars+s.k*acs), Aligned(s.k*s.n), Aligned(s.m*ldc)
			for i := range a {
				a[i] = float32(i%7) - 3
			}
			for i := range w {
				w[i] = float32(i%5) - 2
			}
			for b.Loop() {
				Gemm(ws, c, ldc, a, ars, acs, w, brs, bcs, s.m, s.n, s.k, s.acc)
			}
			b.ReportMetric(2*float64(s.m*s.n*s.k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}

func BenchmarkElementwise(b *testing.B) {
	const n = 4096
	x, y, z, w := Aligned(n), Aligned(n), Aligned(n), Aligned(n)
	for i := range x {
		x[i] = float32(i%19) - 9
	}
	for _, k := range []struct {
		name string
		run  func()
	}{
		{"Dot", func() { y[0] = Dot(x, z) }},
		{"MulAdd", func() { MulAdd(y, x, z) }},
		{"Exp", func() { Exp(y, x) }},
		{"Sigmoid", func() { Sigmoid(y, x) }},
		{"SiLU", func() { SiLU(y, x) }},
		{"Softmax", func() { SoftmaxInPlace(z) }},
		{"RMSNorm", func() { RMSNorm(y, x, z, 1e-6) }},
		{"Adam", func() { Adam(y, x, z, w, AdamConst{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Corr1: 1, Corr2: 1}) }},
		{"Gemv", func() { Gemv(z[:32], x, 128, y[:128]) }},
		{"GemvT", func() { GemvT(y[:128], x, 128, z[:32]) }},
		{"DecayScan", func() { DecayScan(y, x, 128, 32, z[:128], 0.9) }},
		{"DecayScanBack", func() { DecayScanBack(y, x, 128, 32, z[:128], 0.9) }},
	} {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				k.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/element")
		})
	}
}

// A vector times a matrix in either form, from the second cache and from memory.
func BenchmarkTimes(b *testing.B) {
	for _, s := range []struct{ rows, n, copies int }{{256, 256, 1}, {1024, 1024, 1}, {96, 256, 960}, {192, 768, 160}} {
		size := s.rows * s.n
		for _, half := range []bool{false, true} {
			var w Matrix
			if half {
				h := AlignedHalf(size * s.copies)
				for i := range h {
					h[i] = ToBF16(float32(i%7) - 3)
				}
				w = BF16(h)
			} else {
				f := Aligned(size * s.copies)
				for i := range f {
					f[i] = float32(i%7) - 3
				}
				w = F32(f)
			}
			x, y := Aligned(s.n), Aligned(s.rows)
			for _, transposed := range []bool{false, true} {
				b.Run(fmt.Sprintf("%dx%dx%d/half=%v/T=%v", s.copies, s.rows, s.n, half, transposed), func(b *testing.B) {
					k := 0
					for b.Loop() {
						m := w.Slice(k*size, (k+1)*size)
						if transposed {
							m.AddTransposed(x, s.n, y, Matrix{})
						} else {
							m.Times(y, s.n, x, Matrix{})
						}
						k = (k + 1) % s.copies
					}
					b.ReportMetric(float64(b.N)*float64(size)/float64(b.Elapsed().Nanoseconds()), "weights/ns")
				})
			}
		}
	}
}
