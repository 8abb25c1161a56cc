package base

import (
	"strings"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

var prose = sense.Text([]byte(strings.Repeat("The quick brown fox jumps over the lazy dog, and nobody minds. ", 64)))

// BenchmarkStep is decoding: one event at a time, as a stream or a completion brings them.
func BenchmarkStep(b *testing.B) {
	m := Embedded()
	s := m.NewState()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Step(s, prose[i%len(prose)])
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(s.Bytes()), "state-bytes")
}

// BenchmarkForward is reading: chunks of events whose text is there already.
func BenchmarkForward(b *testing.B) {
	m := Embedded()
	for _, n := range []int{32, 256} {
		b.Run(map[int]string{32: "32", 256: "256"}[n], func(b *testing.B) {
			var t model.Tape
			s := m.NewState()
			m.Forward(s, prose[:n], &t)
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				if at+n > len(prose) {
					at = 0
				}
				m.Forward(s, prose[at:at+n], &t)
				at += n
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// One event of the embedded base costs no memory, and a stream carries little.
func TestStepOfTheEmbeddedBase(t *testing.T) {
	m := Embedded()
	s := m.NewState()
	for _, e := range prose[:200] {
		m.Step(s, e)
	}
	i := 0
	if a := testing.AllocsPerRun(200, func() { m.Step(s, prose[i%len(prose)]); i++ }); a != 0 {
		t.Errorf("a step allocates %v times", a)
	}
	if s.Bytes() > 64<<10 {
		t.Errorf("a stream carries %d bytes", s.Bytes())
	}
}
