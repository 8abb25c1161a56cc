//go:build unix

package learning

import (
	"testing"
	"time"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// BenchmarkLearning compares learning while inferring with inferring alone, both event by event and in chunks, in turns
// over one text, by the time that a processor was at work.
func BenchmarkLearning(b *testing.B) {
	text := benchText()
	if len(text) > 400<<10 {
		text = text[200<<10 : 400<<10]
	}
	in := sense.Text(text)
	const part = 4096
	m := base.Embedded()
	learner := func() *Learner {
		l, err := New(Config{Seed: 1}, m)
		if err != nil {
			b.Fatal(err)
		}
		l.Read(in[:8192]) // by now it has a skill, which is open
		return l
	}
	chunk := Config{}.withDefaults(m.Config).Chunk
	var tape model.Tape
	step, forward := m.NewState(), m.NewState()
	observer, reader := learner(), learner()
	var spent [4]time.Duration
	at, events := 8192, 0
	for b.Loop() {
		if at+part > len(in) {
			at = 0
		}
		now := in[at : at+part]
		for i, run := range []func(){
			func() {
				for _, e := range now {
					m.Step(step, e)
				}
			},
			func() {
				for o := 0; o < part; o += chunk {
					m.Forward(forward, now[o:o+chunk], &tape)
				}
			},
			func() {
				for _, e := range now {
					observer.Observe(e)
				}
			},
			func() { reader.Read(now) },
		} {
			start := cpuTime()
			run()
			spent[i] += cpuTime() - start
		}
		at += part
		events += part
	}
	for i, name := range []string{"µs/step", "µs/forward", "µs/observe", "µs/read"} {
		b.ReportMetric(float64(spent[i].Microseconds())/float64(events), name)
	}
	b.ReportMetric(float64(spent[2])/float64(spent[0]), "observe/step")
	b.ReportMetric(float64(spent[3])/float64(spent[1]), "read/forward")
	open := 0
	for _, v := range reader.tape.Open[0] {
		if v > 0 {
			open++
		}
	}
	b.ReportMetric(float64(open)/float64(reader.tape.N), "open")
}
