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
			for i := range b.N {
				learnt(b, i)
			}
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
			var l *learning.Learner
			for i := 0; b.Loop(); i++ {
				if i%len(ds) == 0 {
					b.StopTimer()
					l = learnt(b, i)
					b.StartTimer()
				}
				_, _ = l.Fold(fmt.Sprint("peer ", i), ds[i%len(ds)]) // what is of no use is tried as well
			}
		})
	}
}
