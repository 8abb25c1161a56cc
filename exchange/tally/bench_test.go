package tally

import (
	"fmt"
	"testing"
)

// A skill of the embedded base, added up over a cell of which an eighth drops out after it shared its secrets.
func BenchmarkSum(b *testing.B) {
	for _, n := range []int{8, 16, 64} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			for b.Loop() {
				c := newCell(&testing.T{}, 1, n, 0, 282_240)
				var late []int
				for v := range n / 8 {
					late = append(late, v)
				}
				if err := c.run(map[Kind][]int{Masked: late}); err != nil {
					b.Fatal(err)
				}
				said, told := 0, 0
				for _, m := range c.said {
					said += len(m.Encode())
				}
				for _, m := range c.told {
					told += len(m.Encode())
				}
				b.ReportMetric(float64(said)/float64(n), "bytes-said/member")
				b.ReportMetric(float64(told)/float64(n), "bytes-told/member")
			}
		})
	}
}
