package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/yanmesh/yan/model/sense"
)

// Several streams read at once come to what each comes to by itself: logits, routes, evidence and states, at the
// beginning of a stream and later on, with a skill that is open in some of them.
func TestForwardAllIsForwardOfEach(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 3))
		c := Config{Width: 32, Layers: 3, Channels: 4, Sections: 20, Neurons: 4, KeyRank: 8, Active: 4, Alpha: 0.5, ContextLayer: 1, MixOut: seed == 1, Plain: seed == 2}
		m, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		m.Init(r)
		if seed == 3 {
			m.Config.Demand = 0.5
			m.Demand = NewDemand([]byte("the byte before tells how open it is what comes after"))
		}
		b, err := NewBank(c, "skill", 5, 4)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Weights {
			b.Weights[i] = float32(r.NormFloat64() * 0.3)
		}
		b.Gate = Gate{Weight: make([]float32, c.ContextSize()), Span: 1}
		for i := range b.Gate.Weight {
			b.Gate.Weight[i] = float32(r.NormFloat64() * 0.3)
		}
		m = m.WithBanks(b)

		const streams = 3
		var all Tape
		var one [streams]Tape
		var together, alone [streams]*State
		for k := range streams {
			together[k], alone[k] = m.NewState(), m.NewState()
		}
		opened := 0
		for round := range 5 {
			in := make([][]sense.Event, streams)
			for k := range in {
				in[k] = make([]sense.Event, 1+r.IntN(60))
				for i := range in[k] {
					in[k][i].Byte = byte(r.IntN(40))
				}
			}
			if round == 3 { // one begins anew, and one is silent
				together[1].Reset()
				alone[1].Reset()
				in[2] = in[2][:1]
			}
			m.ForwardAll(together[:], in, &all)
			if len(all.Streams()) != streams {
				t.Fatalf("%d streams of %d", len(all.Streams()), streams)
			}
			row := 0
			for k, part := range all.Streams() {
				m.Forward(alone[k], in[k], &one[k])
				if part.N != len(in[k]) || part.First != one[k].First || len(part.In) != part.N {
					t.Fatalf("stream %d: a tape of %d events, first %v", k, part.N, part.First)
				}
				near(t, "logits", all.Logits[row*sense.Symbols:(row+part.N)*sense.Symbols], one[k].Logits)
				near(t, "evidence", part.Context, one[k].Context)
				near(t, "openings", part.Open[0], one[k].Open[0])
				near(t, "state", together[k].data, alone[k].data)
				for i := range one[k].Layers {
					near(t, "mixer", part.Layers[i].Mixed, one[k].Layers[i].Mixed)
					near(t, "residual stream", part.Layers[i].H, one[k].Layers[i].H)
					a, b := &all.Layers[i].Base, &one[k].Layers[i].Base
					for p := range part.N {
						if n, want := a.Off[row+p+1]-a.Off[row+p], b.Off[p+1]-b.Off[p]; n != want {
							t.Errorf("stream %d event %d: %d routes, by itself %d", k, p, n, want)
						}
					}
				}
				for _, v := range part.Open[0] {
					if v > 0 {
						opened++
					}
				}
				if together[k].Events != alone[k].Events {
					t.Errorf("stream %d: %d events, by itself %d", k, together[k].Events, alone[k].Events)
				}
				row += part.N
			}
			if row != all.N {
				t.Errorf("%d rows of %d events", all.N, row)
			}
		}
		if opened == 0 {
			t.Error("the skill was never open: the test sees less than it should")
		}
		m.Forward(alone[0], []sense.Event{{}}, &all)
		if s := all.Streams(); len(s) != 1 || s[0] != &all {
			t.Error("a tape that was used for several streams still has them")
		}
		if m.ForwardAll(nil, nil, &all); all.N != 0 {
			t.Error("no stream at all left rows")
		}
	}
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, v := range got {
		if math.Abs(float64(v-want[i])) > 2e-4*(1+math.Abs(float64(want[i]))) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, v, want[i])
		}
	}
}
