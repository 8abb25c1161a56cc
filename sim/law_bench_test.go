package sim

import "testing"

// What it costs to have laws look at everything that happens: compare the processor's time of the two.
func BenchmarkLaws(b *testing.B) {
	for name, laws := range map[string][]Law{"with": Laws(), "without": {{Name: "none"}}} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				o := storm(small(24))
				o.Laws, o.CheckEvery, o.Workers = laws, 0, 1
				w, err := New(1, o)
				if err == nil {
					err = w.Play(o.StormFor())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
