package learning

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"weak"

	"github.com/yanmesh/yan/model/kernel"
)

// HeadConfig is the shape of a head. Heads of the same shape can be added to one another.
type HeadConfig struct {
	Inputs   int     // features that come in
	Features int     // features that the head makes of them. If zero, 2048
	Seed     uint64  // where the fixed random weights come from
	Ridge    float64 // how much is added to the diagonal, as a share of its mean. If zero, 0.003
	Least    float64 // what is added besides, whatever the mean is: features count in steps of 1/127
	Controls bool    // it is shown what to do, numbers from −1 to 1, and not what something is
	Constant float64 // an input that is always the same, as a share of the length that inputs can have. If zero, 0.05; 0.5 for controls
}

func (c HeadConfig) withDefaults() HeadConfig {
	if c.Features == 0 {
		c.Features = 2048
	}
	if c.Ridge == 0 {
		c.Ridge = 0.003
	}
	if c.Constant == 0 { // only the direction of all inputs counts: with it, a little also of how strong they are, or much
		c.Constant = 0.05
		if c.Controls {
			c.Constant = 0.5
		}
	}
	return c
}

const (
	// headFull is the whole number that stands for 1, of inputs and of features.
	headFull = 127
	// headSpread is the standard deviation of a feature before it is rectified, in the same unit: what lies
	// above three of them is cut off.
	headSpread = headFull / 3.0
	// headRows is how many examples go into one product. Products of two whole numbers of seven bits, this
	// many of them, add up to less than 2²⁴: a float32 holds each partial sum exactly, so that the order in
	// which a kernel adds them cannot show.
	headRows = 1024
	// headPanel is how many rows of the second moments one product computes.
	headPanel = 128
)

// maxHeadInputs keeps the sums of inputs and random weights, which are +1 and −1, below 2²⁴.
const maxHeadInputs = 1 << 16

// A Head tells classes apart, or what to do, by sums over what it was shown: how many examples of each class there were, the
// sum of their features, and the second moments of all features. What it answers is ridge regression
// on a fixed random expansion, solved from these sums (McDonnell et al. 2023, RanPAC; Zhuang et al. 2022,
// ACIL). It has no past beyond them:
//
//   - sums commute, so neither the order of examples or classes nor where they were seen can show;
//   - Add is what another head has learnt, Subtract takes it back, and both are exact: every number is a
//     whole number, equal to the bit on every machine.
//
// Examples themselves are not kept. A Head is not safe for concurrent use.
type Head struct {
	cfg     HeadConfig
	weights *headWeights // nil until it is shown something; those of one shape share them
	moments []int64      // (width, width) of features, upper triangle, row by row, in steps of 1/unit
	unit    int64        // 1, but for a knack's sums: see knackUnit
	classes map[string]*classSum
}

// headWeights are a head's fixed random weights, (Features, Inputs+1), each +1 or −1.
type headWeights struct{ w []float32 }

// headShape is what they depend on.
type headShape struct {
	inputs, features int
	seed             uint64
}

// sharedWeights has the weights of every shape that somebody in this process uses: thousands of simulated devices have one skill.
var sharedWeights struct {
	sync.Mutex
	of map[headShape]weak.Pointer[headWeights]
}

// weightsOf returns the weights of a shape, those that somebody has if anybody does.
func weightsOf(cfg HeadConfig) *headWeights {
	at := headShape{cfg.Inputs, cfg.Features, cfg.Seed}
	sharedWeights.Lock()
	defer sharedWeights.Unlock()
	if p := sharedWeights.of[at].Value(); p != nil {
		return p
	}
	p := &headWeights{make([]float32, cfg.Features*(cfg.Inputs+1))}
	r := rand.New(rand.NewPCG(cfg.Seed, 0))
	for i := range p.w {
		p.w[i] = float32(int(r.Uint64()>>63)*2 - 1)
	}
	if sharedWeights.of == nil {
		sharedWeights.of = map[headShape]weak.Pointer[headWeights]{}
	}
	maps.DeleteFunc(sharedWeights.of, func(_ headShape, p weak.Pointer[headWeights]) bool { return p.Value() == nil })
	sharedWeights.of[at] = weak.Make(p)
	return p
}

// headScratch is room to think in. It outlives no call, so heads take it in turns.
type headScratch struct {
	ws       *kernel.Workspace
	in, rows []float32 // (headRows, Inputs+1) and (headRows, width)
	panel    []float32 // (headPanel, width)
}

var headScratches = sync.Pool{New: func() any { return &headScratch{ws: kernel.NewWorkspace()} }}

// classSum is what a head knows of one class, or of one control.
type classSum struct {
	count int64
	sum   []int64 // (width) of features; for a control, of features times what it should be, in steps of 1/headFull
}

// NewHead returns a head that was shown nothing.
func NewHead(cfg HeadConfig) *Head {
	cfg = cfg.withDefaults()
	if cfg.Inputs < 1 || cfg.Inputs > maxHeadInputs || cfg.Features < 1 || !(cfg.Ridge > 0) || !(cfg.Least >= 0) || !(cfg.Constant > 0 && cfg.Constant <= 100) {
		panic(fmt.Sprintf("learning: no head has the shape %+v", cfg))
	}
	h := &Head{cfg: cfg, classes: map[string]*classSum{}, unit: 1}
	w := h.width()
	h.moments = make([]int64, w*(w+1)/2)
	return h
}

// Config returns the head's shape, with no zeros left.
func (h *Head) Config() HeadConfig { return h.cfg }

// width is the number of features and one that is always the same.
func (h *Head) width() int { return h.cfg.Features + 1 }

// Learn adds examples: x is (len(labels), Inputs), each number between −1 and 1; beyond that it is cut off, and
// what is no number counts as 0.
func (h *Head) Learn(x []float32, labels []string) { h.count(x, labels, 1) }

// Follow adds examples of what to do: x is (n, Inputs) as in Learn, and u is (n, len(names)), what each control of these
// names, no two equal, was then, from −1 to 1.
func (h *Head) Follow(x []float32, names []string, u []float32) { h.follow(x, names, u, 1) }

// Unfollow takes such examples back, as Forget does.
func (h *Head) Unfollow(x []float32, names []string, u []float32) { h.follow(x, names, u, -1) }

func (h *Head) follow(x []float32, names []string, u []float32, sign int64) {
	k := len(names)
	if !h.cfg.Controls || k == 0 || len(u)%k != 0 || len(x) != len(u)/k*h.cfg.Inputs {
		panic("learning: head: as many rows of controls as of inputs are needed, and a head that is for controls")
	}
	sc := headScratches.Get().(*headScratch)
	defer headScratches.Put(sc)
	for len(u) > 0 {
		n := min(len(u)/k, headRows)
		rows := h.expand(sc, x[:n*h.cfg.Inputs], n)
		h.addMoments(sc, rows, n, sign)
		for c, name := range names {
			h.addControl(name, rows, n, sign, func(i int) int64 { return int64(wholeInput(u[i*k+c])) })
		}
		x, u = x[n*h.cfg.Inputs:], u[n*k:]
	}
}

// addControl adds n rows to what is known of a control, which should be to(i) in row i.
func (h *Head) addControl(name string, rows []float32, n int, sign int64, to func(i int) int64) {
	s, width := h.class(name), h.width()
	s.count += sign * int64(n)
	for i := range n {
		target := sign * to(i)
		for j, v := range rows[i*width : (i+1)*width] {
			s.sum[j] += target * int64(v)
		}
	}
	h.drop(name)
}

// Forget takes examples back that were learnt here or in a head that was added: what is left is equal to the bit
// to a head that was never shown them. To take back what was not learnt is a bug of the caller, and
// Solve may then find no answer.
func (h *Head) Forget(x []float32, labels []string) { h.count(x, labels, -1) }

func (h *Head) count(x []float32, labels []string, sign int64) {
	if h.cfg.Controls || len(x) != len(labels)*h.cfg.Inputs {
		panic("learning: head: as many rows as labels are needed, and a head that is for classes")
	}
	width := h.width()
	sc := headScratches.Get().(*headScratch)
	defer headScratches.Put(sc)
	for len(labels) > 0 {
		n := min(len(labels), headRows)
		rows := h.expand(sc, x[:n*h.cfg.Inputs], n)
		h.addMoments(sc, rows, n, sign)
		for i, label := range labels[:n] {
			h.addClass(label, rows[i*width:(i+1)*width], sign)
		}
		x, labels = x[n*h.cfg.Inputs:], labels[n:]
	}
}

// expand computes the features of n ≤ headRows examples, (n, width): φ = ⌊rect(W·x)·spread/‖x‖⌉, whole numbers up to
// headFull, and headFull itself as the last one. They belong to the scratch.
func (h *Head) expand(sc *headScratch, x []float32, n int) []float32 {
	if h.weights == nil {
		h.weights = weightsOf(h.cfg)
	}
	d, f, width := h.cfg.Inputs+1, h.cfg.Features, h.width()
	sc.in, sc.rows = grow(sc.in, n*d), grow(sc.rows, n*width)
	constant := float32(math.RoundToEven(headFull * h.cfg.Constant * math.Sqrt(float64(d-1))))
	for i := range n {
		in := sc.in[i*d : (i+1)*d]
		for j, v := range x[i*(d-1) : (i+1)*(d-1)] {
			in[j] = wholeInput(v)
		}
		in[d-1] = max(constant, 1)
	}
	kernel.Gemm(sc.ws, sc.rows, width, sc.in, d, 1, h.weights.w, 1, d, n, f, d, false)
	for i := range n {
		var squares float64 // exact too: whole numbers below 2⁵³
		for _, v := range sc.in[i*d : (i+1)*d] {
			squares += float64(float64(v) * float64(v))
		}
		scale := headSpread / math.Sqrt(squares)
		row := sc.rows[i*width : (i+1)*width]
		for j, v := range row[:f] {
			row[j] = float32(math.RoundToEven(min(max(float64(v), 0)*scale, headFull)))
		}
		row[f] = headFull
	}
	return sc.rows
}

// wholeInput is an input as a whole number. What is not a number says nothing.
func wholeInput(v float32) float32 {
	if v != v {
		return 0
	}
	return float32(math.RoundToEven(headFull * float64(min(max(v, -1), 1))))
}

// addMoments adds φφᵀ of n rows, a panel of rows of the triangle at a time.
func (h *Head) addMoments(sc *headScratch, rows []float32, n int, sign int64) {
	width := h.width()
	sign *= h.unit
	sc.panel = grow(sc.panel, headPanel*width)
	for from := 0; from < width; from += headPanel {
		to := min(from+headPanel, width)
		m := width - from
		kernel.Gemm(sc.ws, sc.panel, m, rows[from:], 1, width, rows[from:], width, 1, to-from, m, n, false)
		for i := from; i < to; i++ {
			line := sc.panel[(i-from)*m+i-from : (i-from+1)*m]
			sum := h.moments[triangle(i, width):][:len(line)]
			for j, v := range line {
				sum[j] += sign * int64(v)
			}
		}
	}
}

// triangle is where row i of the upper triangle begins.
func triangle(i, width int) int { return i*width - i*(i-1)/2 }

func (h *Head) addClass(label string, row []float32, sign int64) {
	c := h.class(label)
	c.count += sign
	for j, v := range row {
		c.sum[j] += sign * int64(v)
	}
	h.drop(label)
}

// class returns the sums of a class, new ones if need be.
func (h *Head) class(label string) *classSum {
	c := h.classes[label]
	if c == nil {
		c = &classSum{sum: make([]int64, h.width())}
		h.classes[label] = c
	}
	return c
}

// drop forgets a class of which nothing is left, as if it had never been named.
func (h *Head) drop(label string) {
	c := h.classes[label]
	if c.count == 0 && !slices.ContainsFunc(c.sum, func(v int64) bool { return v != 0 }) {
		delete(h.classes, label)
	}
}

// Add adds what another head of the same shape has learnt. o is only read.
func (h *Head) Add(o *Head) error { return h.combine(o, 1) }

// Subtract takes back what was added.
func (h *Head) Subtract(o *Head) error { return h.combine(o, -1) }

func (h *Head) combine(o *Head, sign int64) error {
	if h.cfg != o.cfg || h.unit != o.unit {
		return fmt.Errorf("learning: head: %+v and %+v do not add up: both need one shape and seed", h.cfg, o.cfg)
	}
	for i, v := range o.moments {
		h.moments[i] += sign * v
	}
	for _, label := range o.Classes() {
		from, to := o.classes[label], h.class(label)
		to.count += sign * from.count
		for j, v := range from.sum {
			to.sum[j] += sign * v
		}
		h.drop(label)
	}
	return nil
}

// Equal reports whether both heads have the same shape and the same sums, every one of them to the bit.
func (h *Head) Equal(o *Head) bool {
	return h.cfg == o.cfg && h.unit == o.unit && slices.Equal(h.moments, o.moments) &&
		maps.EqualFunc(h.classes, o.classes, func(a, b *classSum) bool {
			return a.count == b.count && slices.Equal(a.sum, b.sum)
		})
}

// Classes lists the classes, or the controls, that the head was shown, sorted.
func (h *Head) Classes() []string { return slices.Sorted(maps.Keys(h.classes)) }

// Examples is how many examples the head was shown.
func (h *Head) Examples() int64 {
	var n int64
	for _, c := range h.classes {
		if h.cfg.Controls { // each shows every control
			n = max(n, c.count)
		} else {
			n += c.count
		}
	}
	return n
}

// Numbers is how many numbers the head keeps of what it was shown.
func (h *Head) Numbers() int { return len(h.moments) + len(h.classes)*(h.width()+1) }

// grow returns a slice of n numbers, s itself where it is large enough.
func grow(s []float32, n int) []float32 {
	if cap(s) < n {
		s = make([]float32, n)
	}
	return s[:n]
}
