//go:build unix

package learning

import (
	"testing"
	"time"

	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// BenchmarkLearning compares learning while inferring with inferring alone, both event by event and in chunks, in turns
// over one text, by the time that a processor was at work, for each rule that skills are learnt by. A gate is solved anew
// each time its skill has learnt twice as much, a seventh of a second each: the more was learnt before, the less it counts.
func BenchmarkLearning(b *testing.B) {
	for _, rule := range []local.Rule{local.Backward, local.Broadcast, local.Own} {
		b.Run(string(rule), func(b *testing.B) { benchLearning(b, rule) })
	}
}

func benchLearning(b *testing.B, rule local.Rule) {
	text := benchText()
	if len(text) > 400<<10 {
		text = text[200<<10 : 400<<10]
	}
	in := sense.Text(text)
	const part = 4096
	learnt := min(66000, len(in)/2)
	m := base.Embedded()
	learner := func() *Learner {
		l, err := New(Config{Seed: 1, Rule: rule}, m)
		if err != nil {
			b.Fatal(err)
		}
		l.Read(in[:learnt]) // by now it has a skill, which is open
		return l
	}
	chunk := Config{}.withDefaults(m.Config).Chunk
	var tape model.Tape
	step, forward := m.NewState(), m.NewState()
	observer, reader := learner(), learner()
	var spent [4]time.Duration
	at, events := learnt, 0
	for b.Loop() {
		if at+part > len(in) {
			at = learnt
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
	b.ReportMetric(float64(spent[3])/float64(spent[0]), "read/step")
	b.ReportMetric(float64(spent[3])/float64(spent[1]), "read/forward")
	open := 0
	for _, v := range reader.tape.Open[0] {
		if v > 0 {
			open++
		}
	}
	b.ReportMetric(float64(open)/float64(reader.tape.N), "open")
}
