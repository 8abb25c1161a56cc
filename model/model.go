// Package model is the mind: what a device knows and how it thinks.
//
// A [Config] is a shape, a [Model] is knowledge (weights, read and never written here), a [State] is
// the thought of one stream, and a [Bank] is knowledge that was added for one context. [Model.Forward]
// takes a chunk of events through the layers and [Model.Step] a single one; both are the same code, and
// neither allocates once its buffers have grown. What a Forward computed stays in its [Tape], from
// which package gradient learns and other code explains.
//
// Each layer mixes over time with MCSD (multi-channel slope and decay, arXiv:2406.12230), whose state is
// as large after a million events as after one, and over features with a pool of sections, of which
// the input itself chooses the few that are computed.
//
// The package is pure: the same weights, state and events give the same numbers. A Model may be read
// by any number of goroutines; a State and a Tape belong to one.
package model

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A Model is knowledge: a base, and the banks that were added to it.
type Model struct {
	Config  Config
	Weights []float32 // every parameter of the base, in one piece; the fields below are views of it

	Embed  []float32 // (256, D)
	Layers []Layer
	Norm   []float32 // (D)
	Head   []float32 // (256, D)

	// Background tells banks what the base's own contexts look like. It may be nil.
	Background *Background

	// Banks are what was added, in a fixed order. Every one has the base's width and layers.
	Banks []*Bank

	tensors []Tensor
	gamma   []float32 // (C) slope decays
	alpha   []float32 // (C) long-memory decays
}

// A Layer is one block's weights.
type Layer struct {
	Norm1 []float32 // (D) gain before the mixer
	Shift []float32 // (4, D) how much of the previous input U, V, F and E read
	U, V  []float32 // (C, Dc, Dc) slope projections, input-major
	F, E  []float32 // (C, Dc, Dc) decay projections
	Out   []float32 // (D, D), empty without MixOut

	Norm2    []float32 // (D) gain before the sections
	Query    []float32 // (D, r)
	Keys     []float32 // (S, r)
	Bias     []float32 // (S) set by the activity controller, not by gradients
	Sections []float32 // (S, 3m, D): a section's W1, W3 and W2, neuron-major, in one piece
}

// A Tensor names a part of the weights.
type Tensor struct {
	Name  string
	Shape []int
	Off   int // offset in Weights, in floats; a multiple of 16
	Data  []float32
}

// New returns a model of c's shape whose weights are all zero.
func New(c Config) (*Model, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	m := &Model{Config: c, Layers: make([]Layer, c.Layers)}
	var total int
	add := func(dst *[]float32, name string, shape ...int) {
		n := 1
		for _, s := range shape {
			n *= s
		}
		m.tensors = append(m.tensors, Tensor{Name: name, Shape: shape, Off: total})
		total += (n + 15) &^ 15
	}
	var views []*[]float32
	each := func(dst *[]float32, name string, shape ...int) {
		add(dst, name, shape...)
		views = append(views, dst)
	}
	d, ch, dc, s := c.Width, c.Channels, c.Width/c.Channels, c.Sections
	each(&m.Embed, "embed", sense.Symbols, d)
	for i := range m.Layers {
		l := &m.Layers[i]
		p := fmt.Sprintf("layers.%d.", i)
		each(&l.Norm1, p+"norm1", d)
		if !c.Plain {
			each(&l.Shift, p+"shift", 4, d)
		}
		each(&l.U, p+"mix.u", ch, dc, dc)
		each(&l.V, p+"mix.v", ch, dc, dc)
		each(&l.F, p+"mix.f", ch, dc, dc)
		each(&l.E, p+"mix.e", ch, dc, dc)
		if c.MixOut {
			each(&l.Out, p+"mix.out", d, d)
		}
		each(&l.Norm2, p+"norm2", d)
		each(&l.Query, p+"query", d, c.KeyRank)
		each(&l.Keys, p+"keys", s, c.KeyRank)
		each(&l.Bias, p+"bias", s)
		each(&l.Sections, p+"sections", s, 3*c.Neurons, d)
	}
	each(&m.Norm, "norm", d)
	each(&m.Head, "head", sense.Symbols, d)

	m.Weights = kernel.Aligned(total)
	for i := range m.tensors {
		t := &m.tensors[i]
		n := 1
		for _, s := range t.Shape {
			n *= s
		}
		t.Data = m.Weights[t.Off : t.Off+n : t.Off+n]
		*views[i] = t.Data
	}
	for i := range ch {
		m.gamma = append(m.gamma, c.slope(i))
		m.alpha = append(m.alpha, c.decay(i))
	}
	return m, nil
}

// Tensors lists the parts of the weights in the order of their offsets. The caller does not write it.
func (m *Model) Tensors() []Tensor { return m.tensors }

// Parameters is how many numbers the base has learned.
func (m *Model) Parameters() int {
	n := 0
	for _, t := range m.tensors {
		n += len(t.Data)
	}
	return n
}

// Init draws fresh weights from r. Residual branches start small, so that a deep model starts as a
// shallow one.
func (m *Model) Init(r *rand.Rand) {
	normal := func(w []float32, std float64) {
		for i := range w {
			w[i] = float32(r.NormFloat64() * std)
		}
	}
	fill := func(w []float32, v float32) {
		for i := range w {
			w[i] = v
		}
	}
	c := m.Config
	d, dc := float64(c.Width), c.Width/c.Channels
	normal(m.Embed, 0.7)
	for i := range m.Layers {
		l := &m.Layers[i]
		fill(l.Norm1, 1)
		fill(l.Norm2, 1)
		for j := range l.Shift {
			// A ramp inside each channel: some features look back, some do not.
			l.Shift[j] = (float32(j%dc) + 0.5) / float32(dc)
		}
		for _, w := range [][]float32{l.U, l.V, l.F, l.E} {
			normal(w, 1/math.Sqrt(float64(dc)))
		}
		normal(l.Out, 1/math.Sqrt(d))
		normal(l.Query, 1/math.Sqrt(d))
		normal(l.Keys, 1)
		fill(l.Bias, 0)
		n := c.Neurons * c.Width
		for s := range c.Sections {
			w := l.Sections[s*3*n : (s+1)*3*n]
			normal(w[:2*n], 1/math.Sqrt(d))
			normal(w[2*n:], 0.5/math.Sqrt(float64(c.Neurons*c.Active*c.Layers)))
		}
	}
	fill(m.Norm, 1)
	normal(m.Head, 0.3/math.Sqrt(d))
}

// WithBanks returns a model that shares m's base and has exactly these banks.
func (m *Model) WithBanks(banks ...*Bank) *Model {
	c := *m
	c.Banks = banks
	return &c
}

// Fingerprint names the base: what its banks and deltas are anchored to. Models with equal
// fingerprints compute the same function of the same input, up to the rounding of the kernels.
func (m *Model) Fingerprint() [32]byte {
	h := sha256.New()
	fmt.Fprintf(h, "yan model v1\n%+v\n", m.Config)
	var buf [4096]byte
	n := 0
	for _, w := range m.Weights {
		binary.LittleEndian.PutUint32(buf[n:], math.Float32bits(w))
		if n += 4; n == len(buf) {
			h.Write(buf[:])
			n = 0
		}
	}
	h.Write(buf[:n])
	return [32]byte(h.Sum(nil))
}

// Decay is α of channel i's long memory, as Forward uses it.
func (m *Model) Decay(i int) float32 { return m.alpha[i] }
