package main

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// The optimizers, and the peak rates that are tried of each.
var (
	optimizerNames = []string{"sgd", "adam", "muon", "l-bfgs"}
	optimizerRates = map[string][]float64{
		"sgd":  {0.1, 0.3, 1},
		"adam": {0.001, 0.003, 0.01, 0.03},
		"muon": {0.001, 0.003, 0.01, 0.03},
	}
)

// scholarShape is the model that learns digits. Its gates are budgeted sparsemax, so that no controller of their biases is needed, which
// would change the function between two evaluations.
func scholarShape() model.Config {
	return model.Config{Width: 32, Layers: 2, Channels: 4, Sections: 32, Neurons: 8, KeyRank: 8, Active: 4, Alpha: 1}
}

const (
	patch     = 4  // pixels a side
	batchSize = 32 // digits a step
	lbfgsMore = 3  // times the epochs of the others
)

// A digit is a picture as events, a patch each.
type digit struct {
	seen  []sense.Event
	label byte
}

// A codebook names patches by the nearest of so many as there are bytes.
type codebook struct {
	rows, cols int // of a picture, in pixels
	centres    []float32
}

// newCodebook finds the codes by k-means (Lloyd) over a sample of the patches, from starts that are spread over it.
func newCodebook(set *dataset.Set) *codebook {
	const dim, sample, rounds = patch * patch, 8192, 8
	b := &codebook{rows: set.Shape[0], cols: set.Shape[1], centres: make([]float32, sense.Symbols*dim)}
	var x []float32
	r := rand.New(rand.NewPCG(1, 8))
	for range sample {
		e := set.Items[r.IntN(len(set.Items))]
		at := len(x)
		x = append(x, make([]float32, dim)...)
		b.cut(x[at:], e.Pixels, r.IntN(b.rows/patch), r.IntN(b.cols/patch))
	}
	for c := range sense.Symbols {
		copy(b.centres[c*dim:(c+1)*dim], x[c*(sample/sense.Symbols)*dim:])
	}
	for range rounds {
		sum, count := make([]float32, len(b.centres)), make([]float32, sense.Symbols)
		for i := range sample {
			c := int(b.nearest(x[i*dim : (i+1)*dim]))
			kernel.Add(sum[c*dim:(c+1)*dim], x[i*dim:(i+1)*dim])
			count[c]++
		}
		for c, n := range count {
			if n > 0 {
				kernel.ScaleTo(b.centres[c*dim:(c+1)*dim], 1/n, sum[c*dim:(c+1)*dim])
			}
		}
	}
	return b
}

// cut copies the patch in that row and column, with pixels from 0 to 1.
func (b *codebook) cut(dst []float32, pixels []byte, row, col int) {
	for i := range patch {
		for j := range patch {
			dst[i*patch+j] = float32(pixels[(row*patch+i)*b.cols+col*patch+j]) / 255
		}
	}
}

func (b *codebook) nearest(x []float32) (code byte) {
	best := float32(math.Inf(1))
	for c := range sense.Symbols {
		w := b.centres[c*len(x) : (c+1)*len(x)]
		if d := kernel.Dot(w, w) - 2*kernel.Dot(w, x); d < best {
			best, code = d, byte(c)
		}
	}
	return code
}

// readAll makes events of at most most pictures, row by row.
func (b *codebook) readAll(set *dataset.Set, most int) (all []digit) {
	var x [patch * patch]float32
	for _, e := range set.Items[:min(most, len(set.Items))] {
		var codes []byte
		for row := range b.rows / patch {
			for col := range b.cols / patch {
				b.cut(x[:], e.Pixels, row, col)
				codes = append(codes, b.nearest(x[:]))
			}
		}
		all = append(all, digit{sense.Text(codes), byte(e.Label)})
	}
	return all
}

// A stepper is an optimizer that takes a step for every batch.
type stepper interface {
	Step(pool *kernel.Pool, m *model.Model, grads []*gradient.Grad, rate, clip float64) (norm float64)
	Moments() []gradient.Moment
}

// A scholar learns digits by one optimizer.
type scholar struct {
	model *model.Model
	opt   stepper         // nil for lbfgs
	lbfgs *gradient.LBFGS // nil for the others
	rate  float64
	rng   *rand.Rand
	pool  *kernel.Pool
	grad  *gradient.Grad
	pass  gradient.Pass
	tape  model.Tape
	d     []float32
	macs  float64
	spent float64 // seconds of CPU
}

func newScholar(method string, rate float64, seed uint64) *scholar {
	c := scholarShape()
	m, err := model.New(c)
	if err != nil {
		panic("yan-lab: " + err.Error()) // of a shape that stands above
	}
	m.Init(rand.New(rand.NewPCG(seed, 1)))
	p := &scholar{model: m, rate: rate, rng: rand.New(rand.NewPCG(seed, 2)), pool: kernel.NewPool(1)}
	if p.grad, err = gradient.NewGrad(c); err != nil {
		panic("yan-lab: " + err.Error())
	}
	adam := gradient.AdamConfig{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8}
	switch method {
	case "sgd":
		p.opt = gradient.NewSGD(0.9, 0, m)
	case "adam":
		p.opt = gradient.NewAdam(adam, m)
	case "muon":
		p.opt = gradient.NewMuon(0.95, adam, m)
	default:
		p.lbfgs = &gradient.LBFGS{}
	}
	return p
}

func (p *scholar) close() { p.pool.Close() }

// state is what the optimizer remembers, in bytes a parameter.
func (p *scholar) state() float64 {
	if p.lbfgs != nil {
		return 16*10 + 24
	}
	n := 0
	for _, m := range p.opt.Moments() {
		n += 4 * len(m.Data)
	}
	return float64(n) / float64(p.model.Parameters())
}

// learn reads the digits so many times, in an order of its own each time, and is asked the others after each.
func (p *scholar) learn(ctx context.Context, known, asked []digit, epochs int) (curve []mark, err error) {
	if p.lbfgs != nil {
		return p.learnAtOnce(ctx, known, asked, epochs*lbfgsMore)
	}
	steps := (len(known) + batchSize - 1) / batchSize
	for epoch := range epochs {
		began := speed.CPU()
		order := p.rng.Perm(len(known))
		var loss float64
		for s := range steps {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			var batch []digit
			for _, i := range order[s*batchSize : min((s+1)*batchSize, len(order))] {
				batch = append(batch, known[i])
			}
			loss += p.gradient(batch, 1/float32(len(batch)))
			x := float64(epoch*steps+s) / float64(epochs*steps)
			rate := p.rate * min(1, float64(epoch*steps+s+1)/float64(max(steps/4, 1))) * (0.02 + 0.98*0.5*(1+math.Cos(math.Pi*x)))
			p.macs += p.cost()
			p.opt.Step(p.pool, p.model, []*gradient.Grad{p.grad}, rate, 1)
		}
		p.spent += (speed.CPU() - began).Seconds()
		curve = append(curve, p.mark(float64(epoch+1), loss/float64(len(known)), asked))
	}
	return curve, nil
}

// learnAtOnce minimizes the mean loss of all digits, at so many evaluations about.
func (p *scholar) learnAtOnce(ctx context.Context, known, asked []digit, evaluations int) (curve []mark, err error) {
	w := p.model.Weights
	x := make([]float64, len(w))
	for i, v := range w {
		x[i] = float64(v)
	}
	f := func(x, g []float64) (nats float64) {
		for i, v := range x {
			w[i] = float32(v)
		}
		clear(p.grad.Base.Weights)
		for _, of := range p.grad.Touched {
			clear(of)
		}
		for at := 0; at < len(known); at += batchSize {
			nats += p.gradient(known[at:min(at+batchSize, len(known))], 1/float32(len(known)))
		}
		p.settle(g)
		return nats / float64(len(known))
	}
	for p.lbfgs.Evaluations < evaluations {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		began := speed.CPU()
		loss, ok := p.lbfgs.Step(x, f)
		p.spent += (speed.CPU() - began).Seconds()
		p.macs += 4 * 10 * float64(len(x))
		for i, v := range x {
			w[i] = float32(v)
		}
		curve = append(curve, p.mark(float64(p.lbfgs.Evaluations), loss, asked))
		if !ok {
			break
		}
	}
	return curve, nil
}

// settle copies the gradient of what learns by it; of the rest it is zero.
func (p *scholar) settle(g []float64) {
	clear(g)
	layer, size := 0, p.model.Config.SectionSize()
	for _, t := range p.model.Tensors() {
		from := p.grad.Base.Weights[t.Off : t.Off+t.Len()]
		switch {
		case t.Len() == p.model.Config.Sections: // biases
			continue
		case t.Len() == p.model.Config.Sections*size:
			for s, on := range p.grad.Touched[layer] {
				if on {
					for i, v := range from[s*size : (s+1)*size] {
						g[t.Off+s*size+i] = float64(v)
					}
				}
			}
			layer++
		default:
			for i, v := range from {
				g[t.Off+i] = float64(v)
			}
		}
	}
}

// gradient adds to the gradient that of the digits' surprise, each by that weight, and returns its sum in nats. A digit is what the model
// expects behind the last patch.
func (p *scholar) gradient(batch []digit, weight float32) (nats float64) {
	p.read(batch)
	n := p.tape.N * sense.Symbols
	if cap(p.d) < n {
		p.d = make([]float32, n)
	}
	d := p.d[:n]
	clear(d)
	for i, row := range p.last() {
		nats += gradient.CrossEntropy(d[row:row+sense.Symbols], p.tape.Logits[row:row+sense.Symbols], []sense.Event{{Byte: batch[i].label}}, weight)
	}
	p.pass.Backward(p.model, &p.tape, d, p.grad)
	p.macs += 3 * p.thought() // forward, and back to the inputs and to the weights
	return nats
}

// read has the model read all pictures of a batch side by side.
func (p *scholar) read(batch []digit) {
	states, in := make([]*model.State, len(batch)), make([][]sense.Event, len(batch))
	for i, d := range batch {
		states[i], in[i] = p.model.NewState(), d.seen
	}
	p.model.ForwardAll(states, in, &p.tape)
}

// last is where the log-odds behind the last patch of each picture begin.
func (p *scholar) last() (rows []int) {
	at := 0
	for _, s := range p.tape.Streams() {
		at += s.N
		rows = append(rows, (at-1)*sense.Symbols)
	}
	return rows
}

// thought is how many multiply-adds the last forward pass took.
func (p *scholar) thought() float64 {
	c := p.model.Config
	d, n := float64(c.Width), float64(p.tape.N)
	dense := float64(c.Layers)*(4*d*d/float64(c.Channels)+d*float64(c.KeyRank)+float64(c.Sections*c.KeyRank)) + sense.Symbols*d
	sum := n * dense
	for i := range p.tape.Layers {
		sum += float64(p.tape.Layers[i].Base.Len() * c.SectionSize())
	}
	return sum
}

// cost is about how many multiply-adds the coming step of the optimizer takes.
func (p *scholar) cost() (sum float64) {
	switch p.opt.(type) {
	case *gradient.SGD:
		return 2 * float64(p.model.Parameters())
	case *gradient.Adam:
		return 5 * float64(p.model.Parameters())
	}
	matrices := func(rows, cols, n int) { // five Newton-Schulz iterations of each
		short, long := float64(min(rows, cols)), float64(max(rows, cols))
		sum += 5 * float64(n) * (2*short*short*long + short*short*short)
	}
	c := p.model.Config
	dc := c.Width / c.Channels
	for i := range c.Layers {
		matrices(dc, dc, 4*c.Channels)
		matrices(c.Width, c.KeyRank, 1)
		matrices(c.Sections, c.KeyRank, 1)
		for _, on := range p.grad.Touched[i] {
			if on {
				matrices(c.Neurons, c.Width, 3)
			}
		}
	}
	return sum + 5*float64(p.model.Parameters())
}

// mark asks the scholar.
func (p *scholar) mark(epochs, loss float64, asked []digit) mark {
	right := 0
	for at := 0; at < len(asked); at += batchSize {
		batch := asked[at:min(at+batchSize, len(asked))]
		p.read(batch)
		for i, row := range p.last() {
			logits, best := p.tape.Logits[row:row+sense.Symbols], 0
			for c, v := range logits {
				if v > logits[best] {
					best = c
				}
			}
			if byte(best) == batch[i].label {
				right++
			}
		}
	}
	return mark{Epochs: epochs, MACs: p.macs, Seconds: p.spent, Loss: loss, Accuracy: float64(right) / float64(len(asked))}
}
