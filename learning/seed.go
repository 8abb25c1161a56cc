package learning

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/yanmesh/yan/model"
)

// seed gives a bank the weights that a skill of its name begins with. Its W2 are zero.
//
// They are drawn from the base and the name alone, so all who learn a skill of one name begin at the same neurons, and what each of them
// changed can be compared and averaged: banks that began at different ones have no more in common than two sections have.
// Each section has a source of its own, so that the first sections of a larger bank are those of a smaller one.
func seed(b *model.Bank, c model.Config, base [32]byte) {
	in := 1 / math.Sqrt(float64(c.Width))
	for i, l := range b.Layers {
		if l.Sections == nil {
			continue
		}
		size := len(l.Sections) / b.Sections
		for s := range b.Sections {
			r := seedSource(base, b.Name, i, s)
			gauss(r, l.Keys[s*c.Width:(s+1)*c.Width], 1)
			gauss(r, l.Sections[s*size:s*size+size/3*2], in)
			clear(l.Sections[s*size+size/3*2 : (s+1)*size])
		}
	}
}

// seedSource is the chance that a section's first weights are drawn from.
func seedSource(base [32]byte, name string, layer, section int) *rand.ChaCha8 {
	b := append([]byte("first weights of a skill"), base[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(layer))
	b = binary.LittleEndian.AppendUint32(b, uint32(section))
	return rand.NewChaCha8(sha256.Sum256(append(b, name...)))
}

// gauss fills w with numbers of that standard deviation: sums of four uniform ones, which are as good as normal ones here and, unlike
// those of the standard library, the same to the bit on every machine.
func gauss(r *rand.ChaCha8, w []float32, deviation float64) {
	const top = 1<<16 - 1
	scale := deviation / math.Sqrt((1<<32-1)/3.0)
	for i := range w {
		u := r.Uint64()
		sum := u&top + u>>16&top + u>>32&top + u>>48
		w[i] = float32(float64(int64(sum)-2*top) * scale)
	}
}
