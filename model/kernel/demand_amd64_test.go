//go:build !purego

package kernel

import (
	"fmt"
	"testing"
)

// BenchmarkDemandPacked: ≥ 90 % of the peak with weights that were packed before, ≥ 85 % at 1024.
func BenchmarkDemandPacked(b *testing.B) {
	if level != levelAVX512 {
		b.Skip("the panels are those of AVX-512, which this processor or YAN_KERNEL does without")
	}
	for _, s := range []struct{ m, k, n int }{{8, 256, 256}, {64, 256, 256}, {256, 512, 512}, {512, 1024, 1024}} {
		x, w, c := numbers(s.m*(s.k+16)), numbers(s.k*s.n), Aligned(s.m*s.n)
		panels := make([][]float32, 0)
		for k0 := 0; k0 < s.k; k0 += depth512 {
			kc := min(depth512, s.k-k0)
			for n0 := 0; n0 < s.n; n0 += cols512 {
				p := Aligned(kc * cols512)
				packWide(&p[0], &w[k0*s.n+n0], s.n, 1, kc, cols512)
				panels = append(panels, p)
			}
		}
		b.Run(fmt.Sprintf("%dx%dx%d", s.m, s.k, s.n), func(b *testing.B) {
			tiles, base, extra := split(s.m, rows512)
			least, peak := fastest(b, func() {
				for i, p := range panels {
					k0, n0 := i/(s.n/cols512)*depth512, i%(s.n/cols512)*cols512
					row := 0
					for range extra {
						wide(base+1, 1, len(p)/cols512, &x[row*(s.k+16)+k0], (s.k+16)*4, 4, &p[0], cols512*4, &c[row*s.n+n0], s.n*4, 1<<cols512-1, min(k0, 1))
						row += base + 1
					}
					wide(base, tiles-extra, len(p)/cols512, &x[row*(s.k+16)+k0], (s.k+16)*4, 4, &p[0], cols512*4, &c[row*s.n+n0], s.n*4, 1<<cols512-1, min(k0, 1))
				}
			}, fmaPeak)
			rate := 2 * float64(s.m*s.n*s.k) / least.Seconds()
			b.ReportMetric(rate/1e9, "GFLOP/s")
			b.ReportMetric(peak/1e9, "peak")
			b.ReportMetric(100*rate/peak, "%ofpeak")
		})
	}
}
