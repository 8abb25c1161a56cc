package local

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A TrainConfig says how a net is trained. Zero fields take the values in brackets.
type TrainConfig struct {
	Rule     Rule    `json:"rule"`
	Examples int64   `json:"examples"`          // how many examples to see in all; repeats count
	Batch    int     `json:"batch,omitempty"`   // examples of a step [16]
	Rate     float64 `json:"rate,omitempty"`    // peak learning rate [0.003]
	Warmup   float64 `json:"warmup,omitempty"`  // share of all examples in which the rate rises [0.05]
	Floor    float64 `json:"floor,omitempty"`   // the last rate as a share of the peak [0.02]
	Decay    float64 `json:"decay,omitempty"`   // weight decay [0.05]
	Balance  float64 `json:"balance,omitempty"` // step of the activity controller [0.005]

	// Known is how probable a read-out may hold the right class before its layer has nothing to learn from the
	// example any more. If zero, every example is learnt from.
	Known float64 `json:"known,omitempty"`

	Seed uint64 `json:"seed,omitempty"` // all chance comes from here
}

func (c TrainConfig) withDefaults() TrainConfig {
	def := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	def(&c.Rate, 0.003)
	def(&c.Warmup, 0.05)
	def(&c.Floor, 0.02)
	def(&c.Decay, 0.05)
	def(&c.Balance, 0.005)
	if c.Batch == 0 {
		c.Batch = 16
	}
	return c
}

// Work counts multiply-adds of matrix products: what is done for single numbers is left out.
type Work struct {
	Forward  int64 `json:"forward"`
	Backward int64 `json:"backward"`
}

// Sum is all of it.
func (w Work) Sum() int64 { return w.Forward + w.Backward }

// A Trainer trains a net from scratch. It is not safe for concurrent use.
type Trainer struct {
	Seen int64 // examples
	Work Work
	Kept int // most bytes of activations that a step kept

	cfg     TrainConfig
	net     *Net
	reading Reading
	adam    *gradient.Adam
	heads   moments
	grad    *gradient.Grad
	dheads  *Net // the gradient by what is not in the model
	pass    pass
	global  gradient.Pass
	pool    *kernel.Pool

	order  []int // examples to come in this epoch
	chance *rand.Rand
	drawn  []int

	labels []int
	errs   []float32 // (N, K)
	delta  []float32 // (N, D)
	dh     []float32 // (rows, D)
	learn  []bool
	fired  [][]int
	firing [][]float64
	steps  int
}

// moments are Adam's, of weights in one piece.
type moments struct{ m, v []float32 }

// NewTrainer prepares the training of a net of this shape, with fresh weights.
func NewTrainer(shape Config, c TrainConfig) (*Trainer, error) {
	c = c.withDefaults()
	if !slices.Contains(Rules, c.Rule) {
		return nil, fmt.Errorf("local: rule %q: one of %q", c.Rule, Rules)
	}
	if c.Examples < 1 || c.Batch < 1 || !(c.Rate > 0) || !(c.Known >= 0 && c.Known <= 1) {
		return nil, fmt.Errorf("local: %d examples in batches of %d at rate %v, known at %v: out of range", c.Examples, c.Batch, c.Rate, c.Known)
	}
	shape.Sum = c.Rule == Sum
	net, err := New(shape)
	if err != nil {
		return nil, err
	}
	net.Init(rand.New(rand.NewPCG(c.Seed, 21)))
	t := &Trainer{cfg: c, net: net, pool: kernel.NewPool(1), chance: rand.New(rand.NewPCG(c.Seed, 22))}
	t.dheads, _ = New(Config{Model: shape.Model, Places: shape.Places, Features: shape.Features, Classes: shape.Classes})
	if t.grad, err = gradient.NewGrad(shape.Model); err != nil {
		return nil, err
	}
	t.adam = gradient.NewAdam(gradient.AdamConfig{Beta1: beta1, Beta2: beta2, Eps: 1e-8, Decay: c.Decay}, net.Model)
	t.heads = moments{kernel.Aligned(len(net.Heads)), kernel.Aligned(len(net.Heads))}
	for range shape.Model.Layers {
		t.fired, t.firing = append(t.fired, make([]int, shape.Model.Sections)), append(t.firing, make([]float64, shape.Model.Sections))
	}
	t.reading.Tape.Lean = !c.Rule.global()
	return t, nil
}

const beta1, beta2 = 0.9, 0.98

// Net is the net in training. It changes with the next Step.
func (t *Trainer) Net() *Net { return t.net }

// Done reports whether all examples have been seen.
func (t *Trainer) Done() bool { return t.Seen >= t.cfg.Examples }

// Draw returns which of so many examples the next step is to learn from: all as often as the others, in an order that
// depends on the seed. It belongs to the trainer until the next Draw.
func (t *Trainer) Draw(of int) []int {
	t.drawn = t.drawn[:0]
	for range t.cfg.Batch {
		if len(t.order) == 0 {
			t.order = t.chance.Perm(of)
		}
		t.drawn, t.order = append(t.drawn, t.order[0]), t.order[1:]
	}
	return t.drawn
}

// Step learns from examples x (N, P, F) once, and returns how surprised the last layer's read-out was before, in nats an
// example.
func (t *Trainer) Step(x []float32, labels []int) (nats float64) {
	return t.step(labels, func(each func(int)) { t.net.forward(x, &t.reading, each) }, func(dx []float32) { t.encoder(x, dx) })
}

// encoder adds what the encoder learns from the gradient by what enters the first layer.
func (t *Trainer) encoder(x, dx []float32) {
	c, d, rows := t.net.Config, t.net.Config.Model.Width, t.reading.N*t.net.Config.Places
	kernel.Gemm(t.reading.ws, t.dheads.Encoder, d, x, 1, c.Features, dx, d, 1, c.Features, d, rows, true)
	for q := range rows {
		kernel.Add(t.dheads.Encoder[(c.Features+q%c.Places)*d:][:d], dx[q*d:(q+1)*d])
	}
}

// StepText does the same for the next events of streams of text, which goes on in them; next is what came behind each
// event, those of the first stream first.
func (t *Trainer) StepText(streams []*model.State, in [][]sense.Event, next []sense.Event) (nats float64) {
	labels := make([]int, len(next))
	for i, e := range next {
		labels[i] = int(e.Byte)
	}
	return t.step(labels, func(each func(int)) { t.net.forwardText(streams, in, &t.reading, each) }, func(dx []float32) { t.embedding(in, dx) })
}

// embedding adds what the embeddings of bytes learn from the gradient by what enters the first layer.
func (t *Trainer) embedding(in [][]sense.Event, dx []float32) {
	embed, d := t.grad.Base.Embed.F32, t.net.Config.Model.Width
	for _, part := range in {
		for _, e := range part {
			kernel.Add(embed[int(e.Byte)*d:][:d], dx[:d])
			dx = dx[d:]
		}
	}
}

// step learns once from what forward reads. entered is told the gradient by what enters the first layer.
func (t *Trainer) step(labels []int, forward func(each func(int)), entered func(dx []float32)) (nats float64) {
	nats = t.think(labels, forward, entered)
	t.Work.Forward += t.net.Config.forward(t.reading.N, t.routes(nil))
	t.Work.Backward += t.pass.work
	t.pass.work = 0
	t.Kept = max(t.Kept, t.reading.Tape.Kept())
	t.move()
	t.balance(t.reading.N * t.net.Config.Places)
	t.Seen += int64(len(labels))
	return nats / float64(len(labels))
}

// think reads, and computes the gradients. It returns the surprise in nats.
func (t *Trainer) think(labels []int, forward func(each func(int)), entered func(dx []float32)) (nats float64) {
	r, c := &t.reading, t.net.Config
	t.labels = labels
	t.errs, t.delta = fit(t.errs, len(labels)*c.Classes), fit(t.delta, len(labels)*c.Model.Width)
	if cap(t.learn) < len(labels) {
		t.learn = make([]bool, len(labels))
	}
	t.learn = t.learn[:len(labels)]
	local := func(i int) {
		t.pass.layer(t.net.Model, &r.Tape, i, c.Places, t.delta, t.learn, t.grad)
		if i == 0 && c.Features == 0 {
			entered(t.delta) // which is the error of a byte's embedding, for it is on the residual stream too
		}
	}
	forward(func(i int) {
		t.net.listen(r, i)
		t.count(i)
		nats = t.err(i)
		if t.cfg.Rule == Own || t.cfg.Rule == Sum || t.cfg.Rule == Top && i == c.Model.Layers-1 {
			local(i)
		}
	})
	// What the last read-out was wrong about stands in t.delta.
	switch t.cfg.Rule {
	case Broadcast:
		for i := range c.Model.Layers {
			local(i)
		}
	case Backward:
		entered(t.backward())
	}
	return nats
}

// err finds what layer i's read-out is wrong about, has the read-out learn it, and leaves the gradient of its loss by the
// mean state of each example in t.delta. It returns the losses in nats.
func (t *Trainer) err(i int) (nats float64) {
	r, c := &t.reading, t.net.Config
	n, k, d := r.N, c.Classes, c.Model.Width
	copy(t.errs, r.Beliefs[i][:n*k])
	for e, label := range t.labels {
		row := t.errs[e*k : (e+1)*k]
		nats -= math.Log(max(float64(row[label]), math.SmallestNonzeroFloat32))
		t.learn[e] = t.cfg.Known == 0 || float64(row[label]) < t.cfg.Known
		row[label]--
		if !t.learn[e] {
			clear(row)
		}
	}
	kernel.Scale(t.errs[:n*k], 1/float32(n))
	p := &t.pass
	if p.ws == nil {
		p.ws = kernel.NewWorkspace()
	}
	p.gemm(t.net.readout(t.dheads.Readouts, i), d, t.errs, 1, k, r.States[i], d, 1, k, d, n, true)
	if t.cfg.Rule == Frozen || t.cfg.Rule != Own && t.cfg.Rule != Sum && i < c.Model.Layers-1 {
		return nats // nobody asks for the error of this layer
	}
	p.dq = fit(p.dq, n*d)
	p.gemm(p.dq, d, t.errs, k, 1, t.net.readout(t.net.Readouts, i), d, 1, n, d, k, false)
	clear(t.delta)
	p.gate = fit(p.gate, d) // the gradient by a gain that is not learnt
	for e := range n {
		kernel.RMSNormBack(t.delta[e*d:(e+1)*d], p.gate, p.dq[e*d:(e+1)*d], r.pooled[i][e*d:(e+1)*d], r.ones, r.inv[i][e])
	}
	return nats
}

// backward takes the error of the last read-out through all layers and returns the gradient by what enters the first.
func (t *Trainer) backward() (dx []float32) {
	r, c := &t.reading, t.net.Config
	d, rows := c.Model.Width, r.N*c.Places
	t.dh = fit(t.dh, rows*d)
	for q := range rows {
		kernel.ScaleTo(t.dh[q*d:(q+1)*d], 1/float32(c.Places), t.delta[q/c.Places*d:][:d])
	}
	learnt := 0
	for _, yes := range t.learn {
		if yes {
			learnt++
		}
	}
	t.Work.Backward += c.backward(learnt, t.routes(t.learn))
	return t.global.Below(t.net.Model, &r.Tape, t.dh[:rows*d], t.grad)
}

// routes is how many sections were computed for those examples, all of them if learn is nil.
func (t *Trainer) routes(learn []bool) (n int64) {
	if learn == nil {
		for i := range t.fired {
			for _, f := range t.fired[i] {
				n += int64(f)
			}
		}
		return n
	}
	for i := range t.reading.Tape.Layers {
		off := t.reading.Tape.Layers[i].Base.Off
		for e, yes := range learn {
			if p := t.net.Config.Places; yes {
				n += int64(off[(e+1)*p] - off[e*p])
			}
		}
	}
	return n
}

// forward is how many multiply-adds reading n examples takes in which that many sections were computed: every matrix once for
// each event, a section's three for each event that chose it, and the read-outs once for each example.
func (c Config) forward(n int, routes int64) int64 {
	m := c.Model
	events := int64(n * c.Places)
	return events*int64(c.Features*m.Width+m.Layers*dense(m)) + routes*int64(m.SectionSize()) + int64(n*m.Layers*c.Classes*m.Width)
}

// dense is how many numbers the matrices of a layer have that every event meets.
func dense(m model.Config) int {
	n := 4*m.Width*m.Width/m.Channels + m.Width*m.KeyRank + m.KeyRank*m.Sections
	if m.MixOut {
		n += m.Width * m.Width
	}
	return n
}

// backward is what backpropagation takes beyond the read-outs: of every matrix the gradient by its weights and by its
// input, but of the encoder by its weights alone.
func (c Config) backward(n int, routes int64) int64 {
	encoder, readouts := int64(n*c.Places*c.Features*c.Model.Width), int64(n*c.Model.Layers*c.Classes*c.Model.Width)
	return 2*(c.forward(n, routes)-encoder-readouts) + encoder
}

// rate is the learning rate now: a linear rise, then half a cosine.
func (t *Trainer) rate() float64 {
	x := float64(t.Seen) / float64(t.cfg.Examples)
	if x < t.cfg.Warmup {
		return t.cfg.Rate * (x + 1e-3) / (t.cfg.Warmup + 1e-3)
	}
	x = (x - t.cfg.Warmup) / (1 - t.cfg.Warmup)
	return t.cfg.Rate * (t.cfg.Floor + (1-t.cfg.Floor)*0.5*(1+math.Cos(math.Pi*min(x, 1))))
}

// move takes a step against the gradients.
func (t *Trainer) move() {
	t.steps++
	rate := t.rate()
	if t.cfg.Rule != Frozen {
		// Not clipped: the norm over all layers is nothing that one of them knows.
		t.adam.Step(t.pool, t.net.Model, []*gradient.Grad{t.grad}, rate, math.Inf(1))
	}
	kernel.Adam(t.net.Heads, t.dheads.Heads, t.heads.m, t.heads.v, kernel.AdamConst{
		LR: float32(rate), Beta1: beta1, Beta2: beta2, Eps: 1e-8,
		Corr1: float32(1 / (1 - math.Pow(beta1, float64(t.steps)))), Corr2: float32(1 / (1 - math.Pow(beta2, float64(t.steps)))),
	})
	clear(t.dheads.Heads)
}

// count notes which sections of layer i were computed.
func (t *Trainer) count(i int) {
	start := t.reading.Tape.Layers[i].Base.Start
	for s := range t.fired[i] {
		t.fired[i][s] = int(start[s+1] - start[s])
	}
}

// balance drives every section's firing rate to the target by its bias, without a gradient (learning.md 6.4).
func (t *Trainer) balance(events int) {
	c := t.net.Config.Model
	target := float64(c.Active) / float64(c.Sections)
	keep := min(0.95, 1-1/float64(t.steps))
	for i, fired := range t.fired {
		for s, n := range fired {
			f := &t.firing[i][s]
			*f = keep**f + (1-keep)*float64(n)/float64(events)
			step := t.cfg.Balance * min(max((target-*f)/target, -1), 1)
			if *f > 4*target {
				step -= 2 * t.cfg.Balance
			}
			t.net.Model.Layers[i].Bias[s] += float32(step)
		}
	}
}
