//go:build unix

package learning

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// The shapes that training is measured with. They have as many parameters as the diagonal recurrences of 4.53 and 23.5
// million that they are compared with, or a little less. A tenth of their sections is active, or, dense, all of them.
func benchShape(millions int, dense bool) model.Config {
	c := model.Config{Width: 256, Layers: 6, Channels: 8, Sections: 28, Neurons: 32, KeyRank: 32, Active: 3, Alpha: 0.5, ContextLayer: 1}
	if millions == 25 {
		c = model.Config{Width: 512, Layers: 8, Channels: 8, Sections: 56, Neurons: 32, KeyRank: 24, Active: 6, Alpha: 0.5, ContextLayer: 1}
	}
	if dense {
		c.Active, c.MaxActive = c.Sections, c.Sections
	}
	return c
}

// benchText is tiny Shakespeare where it is to be had, and recipes elsewhere.
func benchText() []byte {
	dir := os.Getenv("YAN_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	if text, err := os.ReadFile(filepath.Join(dir, "tinyshakespeare", "input.txt")); err == nil {
		return text
	}
	return recipes(1, 1<<20)
}

// benchTrainer trains on batches of 8 windows of 256 bytes.
func benchTrainer(b *testing.B, millions int, dense bool) *Trainer {
	b.Helper()
	t, err := NewTrainer(TrainConfig{Model: benchShape(millions, dense), Bytes: 1 << 30, Batch: 8, Window: 256, Segment: 4096, Seed: 1},
		[]Source{{Name: "text", Text: benchText()}})
	if err != nil {
		b.Fatal(err)
	}
	if dense {
		for _, l := range t.model.Layers {
			for s := range l.Bias {
				l.Bias[s] = 12 // with half of the threshold taken off, no score is below zero
			}
		}
	} else {
		t.calibrate(64, 64, 8)
	}
	t.Step()
	return t
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// flops is what an event of training takes, six operations for each parameter that it meets but for the embedding, which
// is looked up (Kaplan et al. 2020): the share of sections that fire is known once it was measured.
func flops(m *model.Model, active float64) float64 {
	c := m.Config
	sections := c.Layers * c.Sections * c.SectionSize()
	return 6 * (float64(m.Parameters()-m.Embed.Len()-sections) + active*float64(sections))
}

// BenchmarkTrain measures a step of training, in bytes for each second that a processor was at work, and in operations as
// a share of what the processor can do at best. That is measured between the steps, so that what slows one of them
// slows the other.
func BenchmarkTrain(b *testing.B) {
	for _, millions := range []int{5, 25} {
		for _, dense := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dM/%s", millions, map[bool]string{false: "sparse", true: "dense"}[dense]), func(b *testing.B) {
				t := benchTrainer(b, millions, dense)
				defer t.Close()
				var seen, burnt int
				var active float64
				var spent, burning time.Duration
				for b.Loop() {
					start := cpuTime()
					s := t.Step()
					seen += s.Bytes
					active += s.Active
					half := cpuTime()
					spent += half - start
					for range 200 { // in calls that can be preempted in between
						burnt += kernel.Burn(20000)
					}
					burning += cpuTime() - half
				}
				active /= float64(b.N)
				rate := float64(seen) / spent.Seconds()
				peak := float64(burnt) / burning.Seconds()
				b.ReportMetric(rate, "bytes/cpu-s")
				b.ReportMetric(rate*flops(t.model, active)/1e9, "GFLOP/s")
				b.ReportMetric(100*rate*flops(t.model, active)/peak, "%peak")
				b.ReportMetric(100*active, "%active")
				b.ReportMetric(float64(t.model.Parameters())/1e6, "Mparameters")
			})
		}
	}
}

// BenchmarkTrainThreads compares two threads with one in turns, by the clock on the wall.
func BenchmarkTrainThreads(b *testing.B) {
	for _, millions := range []int{5, 25} {
		for _, dense := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dM/%s", millions, map[bool]string{false: "sparse", true: "dense"}[dense]), func(b *testing.B) {
				t := benchTrainer(b, millions, dense)
				defer t.Close()
				var rate [3]float64
				for b.Loop() {
					for threads := 1; threads <= 2; threads++ {
						t.use(threads)
						t.Step() // in which buffers grow
						seen := 0
						start := time.Now()
						for range 3 {
							seen += t.Step().Bytes
						}
						rate[threads] += float64(seen) / time.Since(start).Seconds()
					}
				}
				b.ReportMetric(rate[1]/float64(b.N), "bytes/s-one")
				b.ReportMetric(rate[2]/float64(b.N), "bytes/s-two")
				b.ReportMetric(rate[2]/rate[1], "two/one")
			})
		}
	}
}
