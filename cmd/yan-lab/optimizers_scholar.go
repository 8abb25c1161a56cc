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
		"sgd":  {0.03, 0.1, 0.3, 1},
		"adam": {0.003, 0.01, 0.03, 0.1},
		"muon": {0.003, 0.01, 0.03, 0.1},
	}
)

// scholarShape is the model that learns digits. Its gates are budgeted sparsemax, so that no controller of their biases is needed, which
// would change the function between two evaluations.
func scholarShape() model.Config {
	return model.Config{Width: 32, Layers: 2, Channels: 4, Sections: 32, Neurons: 8, KeyRank: 8, Active: 4, Alpha: 1}
}

const (
	batchSize = 32 // digits a step
	lbfgsMore = 3  // times the epochs of the others
)

// A digit is a picture as the features of its patches, (P, F).
type digit struct {
	seen  []float32
	label byte
}

// readDigits makes features of at most most pictures.
func readDigits(p *sense.Picture, set *dataset.Set, most int) (all []digit) {
	for _, e := range set.Items[:min(most, len(set.Items))] {
		d := digit{make([]float32, p.Patches()*p.Width()), byte(e.Label)}
		p.Encode(d.seen, e.Pixels)
		all = append(all, d)
	}
	return all
}

// A stepper is an optimizer that takes a step for every batch.
type stepper interface {
	Step(pool *kernel.Pool, m *model.Model, grads []*gradient.Grad, rate, clip float64) (norm float64)
	Moments() []gradient.Moment
}

// A scholar learns digits by one optimizer. The first rows of its model's embedding say what each feature of a patch adds to what enters
// the first layer, and the next ones what each place does; the head reads the mean over the places.
type scholar struct {
	places, features int

	model *model.Model
	opt   stepper         // nil for lbfgs
	lbfgs *gradient.LBFGS // nil for the others
	rate  float64
	rng   *rand.Rand
	pool  *kernel.Pool
	grad  *gradient.Grad
	pass  gradient.Pass
	tape  model.Tape
	ws    *kernel.Workspace

	x, embedded, dh  []float32 // (N·P, F), (N·P, D), (N·P, D)
	mean, final, inv []float32 // (N, D), (N, D), (N)
	logits, dlogits  []float32 // (N, 256)
	macs             float64
	spent            float64 // seconds of CPU
}

func newScholar(p *sense.Picture, method string, rate float64, seed uint64) *scholar {
	c := scholarShape()
	m, err := model.New(c)
	if err != nil {
		panic("yan-lab: " + err.Error()) // of a shape that stands above
	}
	r := rand.New(rand.NewPCG(seed, 1))
	m.Init(r)
	clear(m.Head.F32) // every class is as likely as any other
	s := &scholar{places: p.Patches(), features: p.Width(), model: m, rate: rate, rng: rand.New(rand.NewPCG(seed, 2)), pool: kernel.NewPool(1), ws: kernel.NewWorkspace()}
	for i := range m.Embed.F32[:s.features*c.Width] {
		m.Embed.F32[i] = float32(r.NormFloat64() * 3 / math.Sqrt(float64(s.features))) // features are shares, most of them small
	}
	if s.grad, err = gradient.NewGrad(c); err != nil {
		panic("yan-lab: " + err.Error())
	}
	adam := gradient.AdamConfig{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8}
	switch method {
	case "sgd":
		s.opt = gradient.NewSGD(0.9, 0, m)
	case "adam":
		s.opt = gradient.NewAdam(adam, m)
	case "muon":
		s.opt = gradient.NewMuon(0.95, adam, m)
	default:
		s.lbfgs = &gradient.LBFGS{}
	}
	return s
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

// gradient adds to the gradient that of the digits' surprise, each by that weight, and returns its sum in nats.
func (p *scholar) gradient(batch []digit, weight float32) (nats float64) {
	p.read(batch)
	d, n := p.model.Config.Width, len(batch)
	labels := make([]sense.Event, n)
	for i := range labels {
		labels[i].Byte = batch[i].label
	}
	p.dlogits = fitTo(p.dlogits, n*sense.Symbols)
	nats = gradient.CrossEntropy(p.dlogits, p.logits, labels, weight)
	top := p.pass.Top(p.model, p.mean, p.final, p.inv, p.dlogits, p.grad)
	p.dh = fitTo(p.dh, n*p.places*d)
	for q := range n * p.places {
		kernel.ScaleTo(p.dh[q*d:(q+1)*d], 1/float32(p.places), top[q/p.places*d:][:d])
	}
	dx := p.pass.Below(p.model, &p.tape, p.dh, p.grad)
	embed := p.grad.Base.Embed.F32
	kernel.Gemm(p.ws, embed, d, p.x, 1, p.features, dx, d, 1, p.features, d, n*p.places, true)
	for q := range n {
		kernel.Add(embed[p.features*d:(p.features+p.places)*d], dx[q*p.places*d:][:p.places*d])
	}
	p.macs += 3 * p.thought() // forward, and back to the inputs and to the weights
	return nats
}

// read has the model read all pictures of a batch side by side.
func (p *scholar) read(batch []digit) {
	d, n := p.model.Config.Width, len(batch)
	rows := n * p.places
	p.x, p.embedded = fitTo(p.x, rows*p.features), fitTo(p.embedded, rows*d)
	states, in := make([]*model.State, n), make([][]sense.Event, n)
	for i, of := range batch {
		copy(p.x[i*p.places*p.features:], of.seen)
		states[i], in[i] = p.model.NewState(), make([]sense.Event, p.places)
	}
	embed := p.model.Embed.F32
	kernel.Gemm(p.ws, p.embedded, d, p.x, p.features, 1, embed, d, 1, rows, d, p.features, false)
	for i := range n {
		kernel.Add(p.embedded[i*p.places*d:][:p.places*d], embed[p.features*d:(p.features+p.places)*d])
	}
	p.tape.Embedded, p.tape.LastOnly = p.embedded, true
	p.model.ForwardAll(states, in, &p.tape)

	p.mean, p.final, p.inv, p.logits = fitTo(p.mean, n*d), fitTo(p.final, n*d), fitTo(p.inv, n), fitTo(p.logits, n*sense.Symbols)
	clear(p.mean)
	for i := range n {
		mean := p.mean[i*d : (i+1)*d]
		for q := range p.places {
			kernel.Add(mean, p.tape.H[(i*p.places+q)*d:][:d])
		}
		kernel.Scale(mean, 1/float32(p.places))
		p.inv[i] = kernel.RMSNorm(p.final[i*d:(i+1)*d], mean, p.model.Norm, 1e-6)
	}
	kernel.Project(p.ws, p.logits, sense.Symbols, p.final, d, p.model.Head, 1, d, n, sense.Symbols, d, false)
}

func fitTo(s []float32, n int) []float32 {
	if cap(s) < n {
		return kernel.Aligned(n)
	}
	return s[:n]
}

// thought is how many multiply-adds the last forward pass took.
func (p *scholar) thought() float64 {
	c := p.model.Config
	d, n := float64(c.Width), float64(p.tape.N)
	dense := float64(c.Layers)*(4*d*d/float64(c.Channels)+d*float64(c.KeyRank)+float64(c.Sections*c.KeyRank)) + d*float64(p.features)
	sum := n*dense + n/float64(p.places)*sense.Symbols*d
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
		for i := range batch {
			logits, best := p.logits[i*sense.Symbols:(i+1)*sense.Symbols], 0
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
