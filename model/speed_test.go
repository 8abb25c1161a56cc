package model

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// prose is words that nobody wrote: what is routed where varies as with a text.
var prose = func() []sense.Event {
	r := rand.New(rand.NewPCG(3, 4))
	var words []string
	for range 500 {
		w := make([]byte, 1+r.IntN(9))
		for i := range w {
			w[i] = "etaoinshrdlucmfwypvbgkqjxz"[min(r.IntN(26), r.IntN(26))]
		}
		words = append(words, string(w))
	}
	var text strings.Builder
	for text.Len() < 1<<16 {
		text.WriteString(words[min(r.IntN(len(words)), r.IntN(len(words)))])
		text.WriteByte(" \n.,"[max(0, r.IntN(20)-16)])
	}
	return sense.Text([]byte(text.String()))
}()

// shaped is a model of random weights, of which the tenth is active that a trained one has, read as from a file.
func shaped(tb testing.TB, c Config, half bool) *Model {
	tb.Helper()
	m, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	m.Init(rand.New(rand.NewPCG(1, 2)))
	var t Tape
	for i := range m.Layers {
		m.Forward(m.NewState(), prose[:2048], &t)
		var margin []float32
		for p := range t.N {
			for _, z := range t.Layers[i].Z[p*c.Sections : (p+1)*c.Sections] {
				margin = append(margin, z-c.Alpha*t.Layers[i].Tau[p])
			}
		}
		slices.Sort(margin)
		delta := -margin[len(margin)-len(margin)*c.Active/c.Sections] / (1 - c.Alpha)
		for s := range m.Layers[i].Bias {
			m.Layers[i].Bias[s] += delta
		}
	}
	var b bytes.Buffer
	if err := m.Write(&b, half, nil); err != nil {
		tb.Fatal(err)
	}
	file := kernel.AlignedHalf((b.Len() + 1) / 2)
	in := bytesOf(file)[:b.Len()]
	copy(in, b.Bytes())
	if m, err = Load(in); err != nil {
		tb.Fatal(err)
	}
	return m
}

type shape struct {
	name   string
	config Config
}

// shapes are the embedded base's, and two with as many parameters as the models that others are measured on.
func shapes() []shape {
	return []shape{
		{"base", Base()},
		{"15M", Config{Width: 256, Layers: 6, Channels: 8, Sections: 99, Neurons: 32, KeyRank: 32, Active: 10, Alpha: 0.5}},
		{"110M", Config{Width: 512, Layers: 8, Channels: 16, Sections: 138, Neurons: 64, KeyRank: 32, Active: 14, Alpha: 0.5}},
	}
}

// BenchmarkShapes is decoding, an event at a time, and reading in chunks of 512, with weights of 16 bits.
func BenchmarkShapes(b *testing.B) {
	for _, s := range shapes() {
		m := shaped(b, s.config, true)
		b.Run(s.name+"/step", func(b *testing.B) {
			st := m.NewState()
			active := 0
			for i := 0; b.Loop(); i++ {
				m.Step(st, prose[i%len(prose)])
				for l := range st.one.Layers {
					active += st.one.Layers[l].Base.Len()
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(100*float64(active)/float64(b.N*s.config.Layers*s.config.Sections), "%active")
			b.ReportMetric(float64(m.Parameters())/1e6, "Mparams")
			b.ReportMetric(float64(st.Bytes()), "state-bytes")
		})
		for _, n := range []int{512, 4096} {
			b.Run(fmt.Sprintf("%s/%d", s.name, n), func(b *testing.B) {
				t := Tape{Lean: true}
				st := m.NewState()
				best := time.Hour
				for b.Loop() {
					began := time.Now()
					for at := 0; at < n; at += 512 {
						m.Forward(st, prose[at:at+512], &t)
					}
					best = min(best, time.Since(began))
				}
				b.ReportMetric(float64(n)/best.Seconds(), "best-events/s")
				b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

func bytesOf(w []uint16) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), 2*len(w))
}
