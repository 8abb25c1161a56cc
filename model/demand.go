package model

import (
	"fmt"
	"io"
	"math"

	"github.com/yanmesh/yan/model/kernel/portable"
	"github.com/yanmesh/yan/model/sense"
)

// A Demand says, for each pair of bytes, how open it is what comes after them: what has an event take more sections where
// prediction is hard, and fewer where it is easy (Config.Demand; learning.md 6.2, d_t). It is known before the event is thought
// of, costs one look, and is counted, not learnt: nothing of it has a gradient.
type Demand struct {
	Open []float32 // (256·256) in standard deviations from the mean over what was counted, −mostDemand to mostDemand
}

// mostDemand is where openness is cut, and what a pair is taken to be that was never seen.
const mostDemand = 1.5

// NewDemand counts texts: the openness of a pair is the entropy of what followed it.
func NewDemand(texts ...[]byte) *Demand {
	counts := make([]float64, sense.Symbols*sense.Symbols*sense.Symbols)
	for _, text := range texts {
		for i := 2; i < len(text); i++ {
			counts[pair(text[i-2], text[i-1])*sense.Symbols+int(text[i])]++
		}
	}
	d := &Demand{Open: make([]float32, sense.Symbols*sense.Symbols)}
	entropy, seen := make([]float64, len(d.Open)), make([]float64, len(d.Open))
	var n, sum, squares float64
	for p := range entropy {
		entropy[p], seen[p] = entropyOf(counts[p*sense.Symbols : (p+1)*sense.Symbols])
		n, sum, squares = n+seen[p], sum+seen[p]*entropy[p], squares+seen[p]*entropy[p]*entropy[p]
	}
	mean := sum / max(n, 1)
	deviation := math.Sqrt(max(squares/max(n, 1)-mean*mean, 1e-12))
	for p := range d.Open {
		v := mostDemand
		if seen[p] > 0 {
			v = min(max((entropy[p]-mean)/deviation, -mostDemand), mostDemand)
		}
		d.Open[p] = float32(math.RoundToEven(v/Int8Step)) * Int8Step // as a checkpoint keeps it
	}
	return d
}

func pair(before, now byte) int { return int(before)<<8 | int(now) }

// entropyOf counts, in nats, and their sum.
func entropyOf(counts []float64) (h, n float64) {
	for _, c := range counts {
		n += c
	}
	for _, c := range counts {
		if c > 0 {
			h -= c / n * portable.Log(c/n)
		}
	}
	return h, n
}

// need is what the events of a chunk lower the floor of their gates by.
func (t *Tape) need(m *Model, s *State, in []sense.Event) {
	if m.Config.Demand == 0 {
		return
	}
	before := byte(s.last[0])
	for i, e := range in {
		t.Need[i] = 0
		if m.Demand != nil {
			t.Need[i] = m.Config.Demand * m.Demand.Open[pair(before, e.Byte)]
		}
		before = e.Byte
	}
	s.last[0] = float32(before)
}

// tensor is the demand as a checkpoint keeps it.
func (d *Demand) tensor() NamedTensor {
	return NamedTensor{Name: demandTensor, Shape: []int{sense.Symbols, sense.Symbols}, Data: d.Open, Int8: true}
}

const demandTensor = "demand"

// readDemand reads it, if it is there.
func readDemand(f *TensorFile) (*Demand, error) {
	if !f.Has(demandTensor) {
		return nil, nil
	}
	d := &Demand{Open: make([]float32, sense.Symbols*sense.Symbols)}
	return d, f.Read(demandTensor, d.Open, sense.Symbols, sense.Symbols)
}

// demandPrint writes what a fingerprint has of the demand: nothing where there is none, so that models from before there was any
// keep theirs.
func (m *Model) demandPrint(w io.Writer) {
	if m.Config.Demand != 0 {
		fmt.Fprintf(w, "demand %v\n", m.Config.Demand)
		if m.Demand != nil {
			fmt.Fprintf(w, "%v\n", m.Demand.Open)
		}
	}
}
