package kernel

import (
	"fmt"
	"testing"
	"time"
)

// The demands on the kernels are shares of what the processor could do, measured in the same process between the
// windows of what is demanded, so that they mean the same on any machine and at any clock.

// fastest runs f in short windows, turn by turn with a peak, and returns the least time of one call and the highest rate
// of the peak. Whoever else the machine works for can make a window longer, but none shorter.
func fastest(b *testing.B, f func(), peak func() float64) (least time.Duration, top float64) {
	f() // from memory to cache, and once through the branch predictors
	calls := 1
	for {
		began := time.Now()
		for range calls {
			f()
		}
		if took := time.Since(began); took > time.Millisecond {
			break
		}
		calls *= 2
	}
	least = time.Hour
	for b.Loop() {
		top = max(top, peak())
		began := time.Now()
		for range calls {
			f()
		}
		least = min(least, time.Since(began))
	}
	return least / time.Duration(calls), top
}

func fmaPeak() float64 {
	began := time.Now()
	operations := Burn(20000)
	return float64(operations) / time.Since(began).Seconds()
}

// readPeak is the rate of reading so many floats again and again, in bytes a second.
func readPeak(n int) func() float64 {
	x := Aligned(n)
	for i := range x {
		x[i] = 1
	}
	return func() float64 {
		Sweep(x[:min(n, 1<<16)]) // what came between has left the caches to others
		began := time.Now()
		bytes := Sweep(x)
		return float64(bytes) / time.Since(began).Seconds()
	}
}

func numbers(n int) []float32 {
	x := Aligned(n)
	for i := range x {
		x[i] = float32(i%13) - 6
	}
	return x
}

// BenchmarkDemandGemm: ≥ 85 % of the peak for 64 rows and more and 256 to 512 deep and wide, packing included; ≥ 80 % at 1024;
// ≥ 90 % with panels that were packed before.
func BenchmarkDemandGemm(b *testing.B) {
	ws := NewWorkspace()
	for _, s := range []struct{ m, k, n int }{{64, 256, 256}, {256, 512, 512}, {512, 1024, 1024}} {
		x, w, c := numbers(s.m*max(s.k, s.n)), numbers(s.k*s.n), Aligned(s.m*s.n)
		big := numbers(max(s.m, s.k) * max(s.k, s.n))
		for _, v := range []struct {
			name string
			run  func()
		}{
			{"NN", func() { Gemm(ws, c, s.n, x, s.k, 1, w, s.n, 1, s.m, s.n, s.k, false) }},
			{"NT", func() { Gemm(ws, c, s.n, x, s.k, 1, w, 1, s.k, s.m, s.n, s.k, false) }},
			{"TN", func() { Gemm(ws, c, s.n, big, 1, s.m, w, s.n, 1, s.m, s.n, s.k, false) }},
		} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", s.m, s.k, s.n, v.name), func(b *testing.B) {
				least, peak := fastest(b, v.run, fmaPeak)
				rate := 2 * float64(s.m*s.n*s.k) / least.Seconds()
				b.ReportMetric(rate/1e9, "GFLOP/s")
				b.ReportMetric(peak/1e9, "peak")
				b.ReportMetric(100*rate/peak, "%ofpeak")
			})
		}
	}
}

// BenchmarkDemandTimes: ≥ 90 % of the rate at which bytes can be read from where the weights are.
func BenchmarkDemandTimes(b *testing.B) {
	for _, s := range []struct {
		where         string
		rows, n, many int
	}{{"L2", 256, 256, 1}, {"memory", 1024, 1024, 32}} {
		size := s.rows * s.n
		peak := readPeak(size * s.many)
		f, h := numbers(size*s.many), AlignedHalf(size*s.many)
		for i, v := range f {
			h[i] = ToBF16(v)
		}
		x, y := numbers(s.n), numbers(s.rows)
		for _, v := range []struct {
			name  string
			bytes int
			w     Matrix
		}{{"float32", 4, F32(f)}, {"bfloat16", 2, BF16(h)}} {
			for _, transposed := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/transposed=%v", s.where, v.name, transposed), func(b *testing.B) {
					least, top := fastest(b, func() {
						for k := range s.many {
							w := v.w.Slice(k*size, (k+1)*size)
							if transposed {
								w.AddTransposed(x, s.n, y, Matrix{})
							} else {
								w.Times(y, s.n, x, Matrix{})
							}
						}
					}, peak)
					rate := float64(v.bytes*size*s.many) / least.Seconds()
					b.ReportMetric(rate/1e9, "GB/s")
					b.ReportMetric(top/1e9, "peak")
					b.ReportMetric(100*rate/top, "%ofpeak")
				})
			}
		}
	}
}

// BenchmarkDemandExp: exp ≤ 0.25 and silu ≤ 0.35 ns an element with AVX-512.
func BenchmarkDemandExp(b *testing.B) {
	const n = 4096
	x, y := numbers(n), Aligned(n)
	for _, v := range []struct {
		name string
		run  func(y, x []float32)
	}{{"exp", Exp}, {"silu", SiLU}} {
		b.Run(v.name, func(b *testing.B) {
			least, _ := fastest(b, func() { v.run(y, x) }, fmaPeak)
			b.ReportMetric(float64(least.Nanoseconds())/n, "ns/element")
		})
	}
}
