package model

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// quickest runs every f in turn, in short windows, and returns the least time of one call of each: whoever else the
// machine works for can make a window longer, but none shorter.
func quickest(b *testing.B, calls int, f ...func()) []time.Duration {
	least := make([]time.Duration, len(f))
	for i := range least {
		least[i] = math.MaxInt64
	}
	for b.Loop() {
		for i, run := range f {
			began := time.Now()
			for range calls {
				run()
			}
			least[i] = min(least[i], time.Since(began)/time.Duration(calls))
		}
	}
	return least
}

// one layer of a pool that is far wider than the tenth of it which is computed: 8,192 neurons in sections of 64.
func pool() Config {
	return Config{Width: 512, Layers: 1, Channels: 16, Sections: 128, Neurons: 64, KeyRank: 32, Active: 12, MaxActive: 128, Alpha: 0.5}
}

// layer returns a function that takes the next n events, whose residual stream is kept, through the sections of layer
// i, and one for its mixer. Routing is included.
func layer(m *Model, i, n int) (sections, mixer func(), active func() float64) {
	var all Tape
	m.Forward(m.NewState(), prose[:4096], &all)
	d := m.Config.Width
	s, t := m.NewState(), &Tape{}
	m.Forward(s, prose[:n], t)
	at, calls, fired := 0, 0, 0
	next := func() {
		if at += n; at+n > 4096 {
			at = 0
		}
	}
	sections = func() {
		next()
		copy(t.Layers[i].Mid, all.Layers[i].Mid[at*d:(at+n)*d])
		m.sections(i, t, t.H)
		calls++
		fired += t.Layers[i].Base.Len()
	}
	mixer = func() {
		next()
		copy(t.Layers[i].H, all.Layers[i].H[at*d:(at+n)*d])
		m.mix(i, s, t)
	}
	return sections, mixer, func() float64 {
		return float64(fired) / float64(max(calls*n*m.Config.Sections, 1))
	}
}

// BenchmarkDemandSparse: computing a tenth of the sections is to be ≥ 8 times as fast as computing all, an event at a
// time, and ≥ 7.5 times in chunks of 512 and more.
func BenchmarkDemandSparse(b *testing.B) {
	for _, half := range []bool{false, true} {
		sparse := shaped(b, pool(), half)
		dense := *sparse
		dense.Layers = []Layer{sparse.Layers[0]}
		dense.Layers[0].Bias = make([]float32, dense.Config.Sections)
		for s := range dense.Layers[0].Bias {
			dense.Layers[0].Bias[s] = 100
		}
		for _, n := range []int{1, 512, 2048} {
			b.Run(fmt.Sprintf("16-bit=%v/%d", half, n), func(b *testing.B) {
				few, _, share := layer(sparse, 0, n)
				all, _, whole := layer(&dense, 0, n)
				least := quickest(b, 1+200/n, few, all)
				if whole() != 1 {
					b.Fatalf("of the dense pool %v were computed", whole())
				}
				b.ReportMetric(100*share(), "%active")
				b.ReportMetric(float64(least[1])/float64(least[0]), "times-as-fast")
				b.ReportMetric(float64(least[0].Nanoseconds())/float64(n), "ns/event")
			})
		}
	}
}

// BenchmarkDemandMixer: the mixer is to take ≤ 15 % of a layer's time when events come one by one.
func BenchmarkDemandMixer(b *testing.B) {
	for _, s := range shapes() {
		b.Run(s.name, func(b *testing.B) {
			m := shaped(b, s.config, true)
			sections, mixer, _ := layer(m, m.Config.Layers/2, 1)
			least := quickest(b, 200, sections, mixer)
			b.ReportMetric(100*float64(least[1])/float64(least[0]+least[1]), "%ofLayer")
			b.ReportMetric(float64(least[1].Nanoseconds()), "mixer-ns")
			b.ReportMetric(float64(least[0].Nanoseconds()), "sections-ns")
		})
	}
}
