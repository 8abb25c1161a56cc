package local

import (
	"math/rand/v2"
	"testing"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// BenchmarkBanks is the gradient of an open skill in the embedded base by a chunk of 32 events, by each rule.
func BenchmarkBanks(b *testing.B) {
	m := base.Embedded()
	bank, err := model.NewBank(m.Config, "bench", 12, m.Config.Neurons)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for i := range bank.Weights {
		bank.Weights[i] = float32(r.NormFloat64() * 0.05)
	}
	bank.Gate.Force = true
	m = m.WithBanks(bank)
	text := sense.Text([]byte("What light through yonder window breaks? "))
	in, next := text[:32], text[1:33]
	var tape model.Tape
	m.Forward(m.NewState(), in, &tape)
	d := make([]float32, len(tape.Logits))
	gradient.CrossEntropy(d, tape.Logits, next, 1)
	g := &gradient.Grad{Banks: []*model.Bank{bank.Clone(m.Config)}}
	var pass gradient.Pass
	var lens Lens
	b.Run("forward", func(b *testing.B) {
		s := m.NewState()
		for b.Loop() {
			m.Forward(s, in, &tape)
		}
	})
	for _, rule := range []Rule{Backward, Broadcast, Top, Own} {
		b.Run(string(rule), func(b *testing.B) {
			for b.Loop() {
				if rule == Backward {
					pass.Backward(m, &tape, d, g)
				} else {
					lens.Banks(rule, &pass, m, &tape, next, d, 1, g)
				}
			}
		})
	}
}
