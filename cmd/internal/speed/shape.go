package speed

import (
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"unsafe"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// calibrationEvents is how much text it takes to know how often sections are active.
const calibrationEvents = 512

// Build returns a model of random weights, of which as many sections are active as its shape says, read as from a file
// of 16-bit weights that lies on huge pages.
func Build(c model.Config) (*model.Model, error) {
	m, err := model.New(c)
	if err != nil {
		return nil, err
	}
	m.Init(random())
	Calibrate(m, Prose(calibrationEvents))
	const header, entry = 1 << 16, 1 << 8
	file := kernel.Aligned((header + entry*len(m.Tensors()) + 2*m.Parameters()) / 4)
	w := &filling{b: unsafe.Slice((*byte)(unsafe.Pointer(&file[0])), 4*len(file))}
	if err := m.Write(w, true, nil); err != nil {
		return nil, err
	}
	return model.Load(w.b[:w.n])
}

// random is always the same.
func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// filling writes into memory that is there.
type filling struct {
	b []byte
	n int
}

func (f *filling) Write(p []byte) (int, error) {
	n := copy(f.b[f.n:], p)
	f.n += n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Calibrate moves the biases of each layer together, so that on this text as many sections are active as the shape of
// m says. Weights that nobody trained activate far more or far fewer.
func Calibrate(m *model.Model, text []sense.Event) {
	c := m.Config
	if c.Alpha >= 1 {
		return // a budgeted sparsemax does not move with its scores
	}
	var t model.Tape
	for i := range m.Layers {
		m.Forward(m.NewState(), text, &t)
		var margin []float32 // by how much each section cleared the floor, or missed it
		for p := range t.N {
			for _, z := range t.Layers[i].Z[p*c.Sections : (p+1)*c.Sections] {
				margin = append(margin, z-c.Alpha*t.Layers[i].Tau[p])
			}
		}
		slices.Sort(margin)
		at := max(len(margin)-len(margin)*c.Active/c.Sections-1, 0)
		// With the biases τ moves too: a section clears the floor if its margin + (1−α)δ > 0.
		delta := -margin[at] / (1 - c.Alpha)
		for s := range m.Layers[i].Bias {
			m.Layers[i].Bias[s] += delta
		}
	}
}

// saturate has every section computed for every event.
func saturate(m *model.Model) {
	for _, l := range m.Layers {
		for s := range l.Bias {
			l.Bias[s] = 12 // with the threshold taken off as often as α says, no score is below zero
		}
	}
}

// active is the share of sections that the last Forward of a tape computed.
func active(m *model.Model, t *model.Tape) float64 {
	routes := 0
	for i := range t.Layers {
		routes += t.Layers[i].Base.Len()
	}
	return float64(routes) / float64(t.N*m.Config.Layers*m.Config.Sections)
}

// cost is what one event takes.
type cost struct {
	bytes float64 // of weights that are read
	flops float64 // for reading: one multiplication and one addition with each weight of a matrix
	head  float64 // flops of predicting the next event
}

// costOf counts what an event takes when this share of the sections is active. Averages over time, norms and routing
// are not counted: they are some thousands of operations.
func costOf(m *model.Model, active float64) (c cost) {
	for _, t := range m.Tensors() {
		n := float64(t.Len())
		size := 4.0
		if t.Data.F32 == nil {
			size = 2
		}
		switch {
		case t.Name == "embed":
			c.bytes += size * n / sense.Symbols
			continue
		case t.Name == "head":
			c.head = 2 * n
		case strings.HasSuffix(t.Name, ".sections"):
			n *= active
			c.flops += 2 * n
		case matrix(t):
			c.flops += 2 * n
		}
		c.bytes += size * n
	}
	return c
}

// matrix reports whether a tensor is multiplied with, and not element by element.
func matrix(t model.Tensor) bool { return len(t.Shape) > 1 && !strings.HasSuffix(t.Name, ".shift") }

// weights is the form of a model's weights, and how many bytes they take.
func weights(m *model.Model) (form string, bytes int) {
	form = "bf16"
	for _, t := range m.Tensors() {
		if t.Data.F32 == nil {
			bytes += 2 * t.Len()
			continue
		}
		bytes += 4 * t.Len()
		if t.Name == "head" {
			form = "float32"
		}
	}
	return form, bytes
}
