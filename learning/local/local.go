// Package local is learning without a global backward pass: no gradient crosses from one layer into another.
//
// A [Net] is a deep model of examples, such as pictures, with a read-out of classes at every layer. In a [Trainer] each
// layer learns from the error of its own read-out, or of what the read-outs below it left over, while the layers above do
// not exist for it. So the layers can share one set of buffers, and memory does not grow with depth; what is left of the
// backward pass is cheap, because the error of a mean is the same at all the places it was taken over. Global
// backpropagation of the same net is there to compare with. [Banks] is the same for skills of a language model.
//
// The read-outs are also what a layer is asked with when it is to say what it thinks: see [Net.Read] and [Lens].
//
// The package is pure: the same examples and seeds give the same numbers.
package local

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A Rule is from what error a layer learns.
type Rule string

const (
	// Own is the error of the layer's own read-out (Mostafa et al. 2018; Nøkland and Eidnes 2019).
	Own Rule = "own"
	// Sum adds each layer's read-out to what those below it said, which counts as given: a layer learns what they left
	// over, as in boosting (Huang et al. 2018).
	Sum Rule = "sum"
	// Broadcast tells every layer the error of the read-out on top as if it stood there itself.
	Broadcast Rule = "broadcast"
	// Top has the last layer alone learn, from the error of the read-out that stands on it.
	Top Rule = "top"
	// Backward is backpropagation through all layers: what the others are compared with.
	Backward Rule = "backward"
	// Frozen leaves the layers as they were drawn. Read-outs alone learn: what others are worth is beyond that.
	Frozen Rule = "frozen"
)

// Rules lists all of them.
var Rules = []Rule{Own, Sum, Broadcast, Top, Backward, Frozen}

// global reports whether a layer has to wait for those above it.
func (r Rule) global() bool { return r == Broadcast || r == Backward }

// A Config is the shape of a net.
type Config struct {
	Model    model.Config `json:"model"`
	Places   int          `json:"places"`   // P, events that an example consists of
	Features int          `json:"features"` // F, numbers that an event has; 0 for text, whose events are bytes
	Classes  int          `json:"classes"`  // K
	Sum      bool         `json:"sum"`      // a layer's word is added to what those below it said: see the rule of that name
}

const (
	maxPlaces  = 1 << 12
	maxClasses = 1 << 10
)

// Check reports what is wrong with c.
func (c Config) Check() error {
	if c.Places < 1 || c.Places > maxPlaces || c.Features < 0 || c.Features > maxPlaces || c.Classes < 2 || c.Classes > maxClasses {
		return fmt.Errorf("local: %d places of %d features, %d classes: out of range", c.Places, c.Features, c.Classes)
	}
	if c.Features == 0 && (c.Places != 1 || c.Classes != sense.Symbols) {
		return fmt.Errorf("local: text has %d classes at one place, not %d at %d", sense.Symbols, c.Classes, c.Places)
	}
	return c.Model.Check()
}

// Texts is the shape for text: every event is an example, and its class is the byte behind it.
func Texts(m model.Config) Config { return Config{Model: m, Places: 1, Classes: sense.Symbols} }

// Pictures is the shape for pictures of so many patches, features and classes: a small model of four layers.
func Pictures(patches, features, classes int) Config {
	return Config{
		Model:  model.Config{Width: 64, Layers: 4, Channels: 4, Sections: 32, Neurons: 16, KeyRank: 16, Active: 5, Alpha: 0.5},
		Places: patches, Features: features, Classes: classes,
	}
}

// A Net is a model of examples with a read-out at every layer.
type Net struct {
	Config Config
	Model  *model.Model

	Heads    []float32 // what the two below are views of
	Encoder  []float32 // (F+P, D) what a feature adds to an event, and what its place does
	Readouts []float32 // (L, K, D)
}

// New returns a net whose weights are all zero.
func New(c Config) (*Net, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	m, err := model.New(c.Model)
	if err != nil {
		return nil, err
	}
	encoder := (c.Features + c.Places) * c.Model.Width
	n := &Net{Config: c, Model: m, Heads: kernel.Aligned(encoder + c.Model.Layers*c.Classes*c.Model.Width)}
	n.Encoder, n.Readouts = n.Heads[:encoder:encoder], n.Heads[encoder:]
	return n, nil
}

// Init draws fresh weights from r. Read-outs begin at zero: every class is as likely as any other.
func (n *Net) Init(r *rand.Rand) {
	n.Model.Init(r)
	d := n.Config.Model.Width
	for i := range n.Encoder {
		std := 0.5
		if i < n.Config.Features*d {
			std = 3 / math.Sqrt(float64(n.Config.Features)) // features are shares, most of them small
		}
		n.Encoder[i] = float32(r.NormFloat64() * std)
	}
	clear(n.Readouts)
}

// readout is layer i's, (K, D).
func (n *Net) readout(w []float32, i int) []float32 {
	size := n.Config.Classes * n.Config.Model.Width
	return w[i*size : (i+1)*size]
}

// A Reading is what a net made of some examples. The zero value is ready; it belongs to one goroutine, and its slices to
// it until the next Read.
type Reading struct {
	N       int         // examples
	Beliefs [][]float32 // (L) of (N, K): how probable each layer holds each class to be
	States  [][]float32 // (L) of (N, D): what a layer's read-out reads, the normalised mean over the places

	Tape model.Tape // after Read: of all layers, unless its Lean is set

	pooled, inv [][]float32 // (L) of (N, D) and (N)
	scores      [][]float32 // (L) of (N, K) log-odds
	ones        []float32
	embedded    []float32
	streams     []*model.State
	events      [][]sense.Event
	ws          *kernel.Workspace
}

func fit(s []float32, n int) []float32 {
	if cap(s) < n {
		return kernel.Aligned(n)
	}
	return s[:n]
}

// ReadText has the net of a text go on reading streams: each event is an example, those of the first stream first.
func (n *Net) ReadText(streams []*model.State, in [][]sense.Event, r *Reading) {
	n.forwardText(streams, in, r, func(layer int) { n.listen(r, layer) })
}

func (n *Net) forwardText(streams []*model.State, in [][]sense.Event, r *Reading, each func(layer int)) {
	count := 0
	for _, part := range in {
		count += len(part)
	}
	if n.Config.Features != 0 || count == 0 {
		panic("local: no text, or a net of something else")
	}
	r.prepare(n, count)
	r.Tape.LastOnly, r.Tape.Each = true, each
	n.Model.ForwardAll(streams, in, &r.Tape)
}

// Read has the net think of examples, x (N, P, F).
func (n *Net) Read(x []float32, r *Reading) {
	n.forward(x, r, func(layer int) { n.listen(r, layer) })
}

// forward takes examples through the layers and calls each when one is done.
func (n *Net) forward(x []float32, r *Reading, each func(layer int)) {
	c, d := n.Config, n.Config.Model.Width
	count := len(x) / max(c.Places*c.Features, 1)
	if count == 0 || len(x) != count*c.Places*c.Features {
		panic("local: examples of another size")
	}
	r.prepare(n, count)
	for len(r.streams) < count {
		r.streams = append(r.streams, n.Model.NewState())
		r.events = append(r.events, make([]sense.Event, c.Places))
	}
	for _, s := range r.streams[:count] {
		s.Reset()
	}
	rows := count * c.Places
	r.embedded = fit(r.embedded, rows*d)
	kernel.Gemm(r.ws, r.embedded, d, x, c.Features, 1, n.Encoder, d, 1, rows, d, c.Features, false)
	places := n.Encoder[c.Features*d:]
	for k := range count {
		kernel.Add(r.embedded[k*c.Places*d:(k+1)*c.Places*d], places)
	}
	r.Tape.Embedded, r.Tape.LastOnly, r.Tape.Each = r.embedded[:rows*d], true, each
	n.Model.ForwardAll(r.streams[:count], r.events[:count], &r.Tape)
}

// prepare fits r to so many examples.
func (r *Reading) prepare(n *Net, count int) {
	c := n.Config
	d := c.Model.Width
	if r.ws == nil {
		r.ws = kernel.NewWorkspace()
	}
	if len(r.ones) != d {
		r.ones = make([]float32, d)
		for i := range r.ones {
			r.ones[i] = 1
		}
	}
	r.N = count
	for _, all := range []*[][]float32{&r.Beliefs, &r.States, &r.pooled, &r.inv, &r.scores} {
		if len(*all) != c.Model.Layers {
			*all = make([][]float32, c.Model.Layers)
		}
	}
	for i := range c.Model.Layers {
		r.pooled[i], r.States[i], r.inv[i] = fit(r.pooled[i], count*d), fit(r.States[i], count*d), fit(r.inv[i], count)
		r.scores[i], r.Beliefs[i] = fit(r.scores[i], count*c.Classes), fit(r.Beliefs[i], count*c.Classes)
	}
}

// listen reads what layer i believes: the softmax of R·RMSNorm(mean over the places of what leaves the layer).
func (n *Net) listen(r *Reading, i int) {
	c, d, k := n.Config, n.Config.Model.Width, n.Config.Classes
	h := r.Tape.Residual(i)
	for e := range r.N {
		mean := r.pooled[i][e*d : (e+1)*d]
		clear(mean)
		for p := range c.Places {
			kernel.Add(mean, h[(e*c.Places+p)*d:][:d])
		}
		kernel.Scale(mean, 1/float32(c.Places))
		r.inv[i][e] = kernel.RMSNorm(r.States[i][e*d:(e+1)*d], mean, r.ones, normEps)
	}
	kernel.Gemm(r.ws, r.scores[i], k, r.States[i], d, 1, n.readout(n.Readouts, i), 1, d, r.N, k, d, false)
	if c.Sum && i > 0 {
		kernel.Add(r.scores[i][:r.N*k], r.scores[i-1])
	}
	copy(r.Beliefs[i], r.scores[i][:r.N*k])
	for e := range r.N {
		kernel.SoftmaxInPlace(r.Beliefs[i][e*k : (e+1)*k])
	}
}

const normEps = 1e-6
