package model

import (
	"fmt"
	"math"
	"slices"

	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/kernel/portable"
)

// A Bank is what was added to a base for one context: sections of its own in the layers from the
// context layer up, and the gate that says when they speak. To its owner it is a skill.
//
// A bank whose gate is closed changes nothing, to the bit, and neither does one whose W2 are all zero.
type Bank struct {
	Name     string
	Sections int       // in each of its layers
	Neurons  int       // in each section
	Weights  []float32 // every parameter, in one piece; Layers are views of it
	Layers   []BankLayer
	Gate     Gate

	// Wake, where it is not nil, gives the bank its Weights and Layers, which are somewhere else, and makes itself nil. Forward calls it
	// before it computes anything for which the gate is open. A model with such a bank belongs to one goroutine.
	Wake func(*Bank)
}

// A BankLayer is a bank's part of one layer; it is empty below the context layer.
type BankLayer struct {
	Keys     []float32 // (Sb, D)
	Sections []float32 // (Sb, 3m, D) laid out as the base's
}

// A Gate opens a bank by context. Evidence e is a short average of features that depend on the base
// alone (see Config.ContextLayer), so a gate means the same on every device with that base:
//
//	open  = clip((Weight·e − Theta) / Span, 0, 1)
//	share = open · exp(Sharp · (Own·e + OwnBias)), as a part of what all open banks have
type Gate struct {
	Force   bool      // open whatever the context is, and as likely as any: while a context is being learnt by name
	Weight  []float32 // (ContextSize) direction from the background to this context; nil keeps the gate shut
	Theta   float32   // where it begins to open
	Span    float32   // how far from there it is fully open
	Own     []float32 // (ContextSize) log-likelihood of this context, up to what all contexts share
	OwnBias float32
}

const (
	// bankGain lets a bank, whose in-bank probabilities sum to one, speak as loud as the base's gates.
	bankGain = 4
	// bankSharp is how strongly likelihoods decide between banks that are open at once.
	bankSharp = 8
	// gateAge is how many events a stream must have brought before its evidence opens anything.
	gateAge = 32
	// EvidenceHalfLife is, in events, how long evidence for a context lasts.
	EvidenceHalfLife = 32
)

// BankSize is the number of floats of a bank with so many sections a layer.
func (c Config) BankSize(sections, neurons int) int {
	return (c.Layers - c.ContextLayer) * sections * (c.Width + 3*neurons*c.Width)
}

// NewBank returns a bank for models of c's shape whose weights are all zero and whose gate is shut.
func NewBank(c Config, name string, sections, neurons int) (*Bank, error) {
	if sections < 1 || sections > maxSections || neurons < 1 || neurons > maxNeurons {
		return nil, fmt.Errorf("model: bank %q: %d sections of %d neurons", name, sections, neurons)
	}
	if c.BankSize(sections, neurons) > maxWeights {
		return nil, fmt.Errorf("model: bank %q: %d parameters: more than %d", name, c.BankSize(sections, neurons), maxWeights)
	}
	b := &Bank{Name: name, Sections: sections, Neurons: neurons}
	b.adopt(c, kernel.Aligned(c.BankSize(sections, neurons)))
	return b, nil
}

// adopt makes w, of BankSize, the bank's weights.
func (b *Bank) adopt(c Config, w []float32) {
	b.Weights = w
	b.Layers = make([]BankLayer, c.Layers)
	for i := c.ContextLayer; i < c.Layers; i++ {
		k, s := b.Sections*c.Width, b.Sections*3*b.Neurons*c.Width
		b.Layers[i] = BankLayer{Keys: w[:k:k], Sections: w[k : k+s : k+s]}
		w = w[k+s:]
	}
}

// Clone returns a copy with weights of its own.
func (b *Bank) Clone(c Config) *Bank {
	n := *b
	n.adopt(c, append(kernel.Aligned(len(b.Weights))[:0], b.Weights...))
	return &n
}

// context renews the evidence: φ is the decay state of the context layers, normalised in each channel,
// and the evidence its average with a half-life of EvidenceHalfLife (a plain mean at the start).
func (m *Model) context(s *State, t *Tape) {
	c := m.Config
	d, dc := c.Width, c.Width/c.Channels
	size := c.ContextSize()
	floor := float32(1 - portable.Exp(-math.Ln2/EvidenceHalfLife))
	phi := fit(t.scores, d+c.Channels)
	t.scores = phi
	for p := range t.N {
		w := max(floor, 1/float32(s.Events+uint64(p)+1))
		for i := range c.ContextLayer + 1 {
			xd := t.Layers[i].XD[p*d : (p+1)*d]
			kernel.RMSNormBlocks(phi[:d], xd, phi[d:], dc, decayEps)
			e := s.context[i*d : (i+1)*d]
			for j, v := range phi[:d] {
				e[j] += float32(w * (v - e[j]))
			}
		}
		copy(t.Context[p*size:(p+1)*size], s.context)
	}
}

// open decides how far each bank speaks at each event: opened against the background, shared among
// the banks that are open by how likely each one's context is (learning.md 6.9).
func (m *Model) open(s *State, t *Tape) {
	if len(m.Banks) == 0 {
		return
	}
	size := m.Config.ContextSize()
	t.share = fit(t.share, len(m.Banks))
	for p := range t.N {
		e := t.Context[p*size : (p+1)*size]
		var widest float32
		open, best := 0, math.Inf(-1)
		for b, bank := range m.Banks {
			v := bank.Gate.open(e)
			if young := s.Events+uint64(p) < gateAge; young && !bank.Gate.Force {
				v = 0
			}
			if v > 0 && bank.Wake != nil {
				bank.Wake(bank)
			}
			t.Open[b][p] = v
			widest = max(widest, v)
			t.share[b] = 0
			if v > 0 {
				open++
				t.share[b] = bankSharp * float64(bank.Gate.own(e))
				best = max(best, t.share[b])
			}
		}
		if open < 2 {
			continue
		}
		var sum float64
		for b, bank := range m.Banks {
			if v := t.Open[b][p]; v > 0 {
				if bank.Gate.Force { // its context was named: none is likelier, or others would keep it from learning
					t.share[b] = best
				}
				t.share[b] = float64(v) * portable.Exp(t.share[b]-best)
				sum += t.share[b]
			}
		}
		for b := range m.Banks {
			t.Open[b][p] = widest * float32(t.share[b]/sum)
		}
	}
}

func (g *Gate) open(e []float32) float32 {
	if g.Force {
		return 1
	}
	if g.Weight == nil {
		return 0
	}
	return min(max((kernel.Dot(g.Weight, e)-g.Theta)/g.Span, 0), 1)
}

// Opens reports whether evidence e opens the gate at all.
func (g *Gate) Opens(e []float32) bool { return g.open(e) > 0 }

func (g *Gate) own(e []float32) float32 {
	if g.Own == nil {
		return 0
	}
	return kernel.Dot(g.Own, e) + g.OwnBias
}

// routeBank routes the events at which bank b is open: in-bank probabilities are the sparsemax of
// ⟨key, y⟩/√D, and a section's gate is bankGain · open · probability.
func (m *Model) routeBank(t *Tape, lt *LayerTape, b int, bank *Bank, bl *BankLayer) {
	n, d, sb := t.N, m.Config.Width, bank.Sections
	rt := &lt.Banks[b]
	rt.begin(n)
	open := t.Open[b]
	rt.P, rt.Mag = fit(rt.P, n*sb), fit(rt.Mag, n)
	if slices.Max(open) > 0 {
		kernel.Project(t.ws, rt.P, sb, lt.Y, d, kernel.F32(bl.Keys), 1, d, n, sb, d, false)
	}
	scale := float32(1 / math.Sqrt(float64(d)))
	for p := range n {
		rt.Mag[p] = bankGain * open[p]
		if open[p] > 0 {
			u := rt.P[p*sb : (p+1)*sb]
			kernel.Scale(u, scale)
			tau := sparsemax(u)
			for k, v := range u {
				u[k] = max(v-tau, 0)
				if u[k] > 0 {
					rt.Sec = append(rt.Sec, int32(k))
					rt.Gate = append(rt.Gate, rt.Mag[p]*u[k])
				}
			}
		}
		rt.Off[p+1] = int32(len(rt.Sec))
	}
	rt.group(t, n, sb)
}

// A Background is a sample of the evidence that the base's own contexts leave: what a bank must tell its
// context from. It ships with the base.
type Background struct {
	Samples []float32 // (n, ContextSize)
	Group   []int32   // (n) which kind of context each sample is of
}

// Len is the number of samples.
func (b *Background) Len() int {
	if b == nil {
		return 0
	}
	return len(b.Group)
}
