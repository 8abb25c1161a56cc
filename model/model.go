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
	"slices"
	"strings"

	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A Model is knowledge: a base, and the banks that were added to it.
//
// Its matrices are float32 in a model made by [New] and have the form of their file in one made by [Load]: then they are
// views of the file, which any number of processes can share. Vectors are always float32.
type Model struct {
	Config  Config
	Weights []float32 // every parameter of the base, in one piece that the fields below are views of; nil after Load

	Embed  kernel.Matrix // (256, D)
	Layers []Layer
	Norm   []float32     // (D)
	Head   kernel.Matrix // (256, D)

	// Demand tells which events need more sections. It may be nil; then all need as many, whatever the Config says.
	Demand *Demand

	// Background tells banks what the base's own contexts look like. It may be nil.
	Background *Background

	// Banks are what was added, in a fixed order. Every one has the base's width and layers.
	Banks []*Bank

	tensors []Tensor
	gamma   []float32 // (C) slope decays
	alpha   []float32 // (C) long-memory decays
	decays  []float32 // (D) the same, of each feature
}

// A Layer is one block's weights.
type Layer struct {
	Norm1 []float32 // (D) gain before the mixer
	Shift []float32 // (4, D) how much of the previous input U, V, F and E read

	U, V kernel.Matrix // (C, Dc, Dc) slope projections, input-major
	F, E kernel.Matrix // (C, Dc, Dc) decay projections
	Out  kernel.Matrix // (D, D), empty without MixOut

	Norm2    []float32     // (D) gain before the sections
	Query    kernel.Matrix // (D, r)
	Keys     kernel.Matrix // (S, r)
	Bias     []float32     // (S) set by the activity controller, not by gradients
	Sections kernel.Matrix // (S, 3m, D): a section's W1, W3 and W2, neuron-major, in one piece
}

// A Tensor names a part of the weights.
type Tensor struct {
	Name  string
	Shape []int
	Off   int           // offset in the weights of a model made by New, in floats; a multiple of 16
	Data  kernel.Matrix // its numbers, in the order of Shape

	vector *[]float32     // the field of the model that shows Data, if it is a vector
	matrix *kernel.Matrix // or a matrix
}

// Len is how many numbers a tensor has.
func (t *Tensor) Len() int {
	n := 1
	for _, s := range t.Shape {
		n *= s
	}
	return n
}

// bind makes w the tensor's numbers; those of a vector must be float32.
func (t *Tensor) bind(w kernel.Matrix) {
	t.Data = w
	if t.matrix != nil {
		*t.matrix = w
		return
	}
	*t.vector = w.F32
}

// New returns a model of c's shape whose weights are all zero.
func New(c Config) (*Model, error) {
	m, total, err := layout(c)
	if err != nil {
		return nil, err
	}
	m.Weights = kernel.Aligned(total)
	for i := range m.tensors {
		t := &m.tensors[i]
		t.bind(kernel.F32(m.Weights[t.Off : t.Off+t.Len() : t.Off+t.Len()]))
	}
	return m, nil
}

// layout returns a model of c's shape without weights, and how many floats they take.
func layout(c Config) (m *Model, total int, err error) {
	if err := c.Check(); err != nil {
		return nil, 0, err
	}
	m = &Model{Config: c, Layers: make([]Layer, c.Layers)}
	add := func(t Tensor, name string, shape ...int) {
		t.Name, t.Shape, t.Off = name, shape, total
		m.tensors = append(m.tensors, t)
		total += (t.Len() + 15) &^ 15
	}
	vector := func(dst *[]float32, name string, shape ...int) { add(Tensor{vector: dst}, name, shape...) }
	matrix := func(dst *kernel.Matrix, name string, shape ...int) { add(Tensor{matrix: dst}, name, shape...) }
	d, ch, dc, s := c.Width, c.Channels, c.Width/c.Channels, c.Sections
	matrix(&m.Embed, "embed", sense.Symbols, d)
	for i := range m.Layers {
		l := &m.Layers[i]
		p := fmt.Sprintf("layers.%d.", i)
		vector(&l.Norm1, p+"norm1", d)
		if !c.Plain {
			vector(&l.Shift, p+"shift", 4, d)
		}
		matrix(&l.U, p+"mix.u", ch, dc, dc)
		matrix(&l.V, p+"mix.v", ch, dc, dc)
		matrix(&l.F, p+"mix.f", ch, dc, dc)
		matrix(&l.E, p+"mix.e", ch, dc, dc)
		if c.MixOut {
			matrix(&l.Out, p+"mix.out", d, d)
		}
		vector(&l.Norm2, p+"norm2", d)
		matrix(&l.Query, p+"query", d, c.KeyRank)
		matrix(&l.Keys, p+"keys", s, c.KeyRank)
		vector(&l.Bias, p+"bias", s)
		matrix(&l.Sections, p+"sections", s, 3*c.Neurons, d)
	}
	vector(&m.Norm, "norm", d)
	matrix(&m.Head, "head", sense.Symbols, d)
	for i := range ch {
		m.gamma = append(m.gamma, c.slope(i))
		m.alpha = append(m.alpha, c.decay(i))
		m.decays = append(m.decays, slices.Repeat(m.alpha[i:], dc)...)
	}
	return m, total, nil
}

// Thaw returns a copy of the base of m, without its banks, whose weights are float32 and may be trained.
func (m *Model) Thaw() *Model {
	c, err := New(m.Config)
	if err != nil {
		panic("model: a model of a shape that is none: " + err.Error())
	}
	for i, t := range m.tensors {
		t.Data.Read(c.tensors[i].Data.F32, 0)
	}
	c.Background, c.Demand = m.Background, m.Demand
	return c
}

// Tensors lists the parts of the weights in the order of their offsets. The caller does not write it.
func (m *Model) Tensors() []Tensor { return m.tensors }

// Parameters is how many numbers the base has learned.
func (m *Model) Parameters() int {
	n := 0
	for _, t := range m.tensors {
		n += t.Len()
	}
	return n
}

// Init draws fresh weights for a model made by New from r. Residual branches start small, so that a deep model starts as a
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
	normal(m.Embed.F32, 0.7)
	for i := range m.Layers {
		l := &m.Layers[i]
		fill(l.Norm1, 1)
		fill(l.Norm2, 1)
		for j := range l.Shift {
			// A ramp inside each channel: some features look back, some do not.
			l.Shift[j] = (float32(j%dc) + 0.5) / float32(dc)
		}
		for _, w := range []kernel.Matrix{l.U, l.V, l.F, l.E} {
			normal(w.F32, 1/math.Sqrt(float64(dc)))
		}
		normal(l.Out.F32, 1/math.Sqrt(d))
		normal(l.Query.F32, 1/math.Sqrt(d))
		normal(l.Keys.F32, 1)
		fill(l.Bias, 0)
		n := c.Neurons * c.Width
		for s := range c.Sections {
			w := l.Sections.F32[s*3*n : (s+1)*3*n]
			normal(w[:2*n], 1/math.Sqrt(d))
			normal(w[2*n:], 0.5/math.Sqrt(float64(c.Neurons*c.Active*c.Layers)))
		}
	}
	fill(m.Norm, 1)
	normal(m.Head.F32, 0.3/math.Sqrt(d))
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
	shape, _ := strings.CutSuffix(fmt.Sprintf("%+v", m.Config), fmt.Sprintf(" Demand:%v}", m.Config.Demand))
	fmt.Fprintf(h, "yan model v1\n%s}\n", shape)
	m.demandPrint(h)
	var numbers [1024]float32
	var buf [4 * len(numbers)]byte
	for _, t := range m.tensors {
		end := (t.Len() + 15) &^ 15 // with the zeros that fill the last cache line
		for at := 0; at < end; at += len(numbers) {
			part := numbers[:min(len(numbers), end-at)]
			known := max(min(len(part), t.Len()-at), 0)
			t.Data.Read(part[:known], at)
			clear(part[known:])
			for i, w := range part {
				binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(w))
			}
			h.Write(buf[:4*len(part)])
		}
	}
	return [32]byte(h.Sum(nil))
}

// Decay is α of channel i's long memory, as Forward uses it.
func (m *Model) Decay(i int) float32 { return m.alpha[i] }
