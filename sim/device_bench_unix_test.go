//go:build unix

package sim

import (
	"fmt"
	"testing"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// What a device of a world of thousands does costs so much: learning 400 bytes of its user's, and trying what another learnt of as
// many on its last 256.
func BenchmarkDevice(b *testing.B) {
	for name, m := range map[string]*model.Model{"tiny": base.Tiny(), "pocket": base.Pocket()} {
		learnt := func(b *testing.B, i int) *learning.Learner {
			l, err := learning.New(learning.Config{Seed: uint64(i), Sections: 2, Neurons: 4, Rehearse: 1, Recent: 256, Reservoir: 32}, m)
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Focus("own"); err != nil {
				b.Fatal(err)
			}
			for _, u := range Utterances(lines(uint64(i%8), 400)) {
				l.Read(sense.Text(u))
				l.Flush()
			}
			return l
		}
		b.Run("learn/"+name, func(b *testing.B) {
			before := cpu(b)
			for i := range b.N {
				learnt(b, i)
			}
			b.ReportMetric(1e3*(cpu(b)-before)/float64(b.N), "CPU-ms/op")
		})
		b.Run("try/"+name, func(b *testing.B) {
			var ds []*learning.Delta
			for i := range 8 {
				d, err := learnt(b, i).Export("own")
				if err != nil {
					b.Fatal(err)
				}
				ds = append(ds, d)
			}
			used, n := 0.0, 0
			for b.Loop() {
				l := learnt(b, n)
				before := cpu(b)
				for i, d := range ds {
					_, _ = l.Fold(fmt.Sprint("peer ", i), d) // what is of no use is tried as well
				}
				used += cpu(b) - before
				n += len(ds)
			}
			b.ReportMetric(1e3*used/float64(n), "CPU-ms/trial")
		})
	}
}
