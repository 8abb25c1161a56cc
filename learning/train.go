package learning

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// TrainConfig says how a base is trained from scratch. Zero fields take the values in brackets.
type TrainConfig struct {
	Model model.Config `json:"model"`

	Bytes    int64   `json:"bytes"`              // how many bytes to see in all; repeats count
	Batch    int     `json:"batch,omitempty"`    // streams read side by side [8]
	Window   int     `json:"window,omitempty"`   // bytes of each stream in a step; gradients reach back so far [128]
	Segment  int     `json:"segment,omitempty"`  // bytes read in order before a stream jumps elsewhere [4096]
	Rate     float64 `json:"rate,omitempty"`     // peak learning rate [0.003]
	Warmup   float64 `json:"warmup,omitempty"`   // share of all bytes in which the rate rises [0.02]
	Floor    float64 `json:"floor,omitempty"`    // the last rate as a share of the peak [0.02]
	Decay    float64 `json:"decay,omitempty"`    // weight decay [0.05]
	Beta1    float64 `json:"beta1,omitempty"`    // [0.9]
	Beta2    float64 `json:"beta2,omitempty"`    // [0.98]
	Clip     float64 `json:"clip,omitempty"`     // largest norm of a gradient [1]
	Dropout  float64 `json:"dropout,omitempty"`  // share of each branch's features silenced [0]
	Balance  float64 `json:"balance,omitempty"`  // step of the activity controller [0.005]
	Hold     float64 `json:"hold,omitempty"`     // step by which all of a layer's biases follow its mean activity [0]
	Seed     uint64  `json:"seed,omitempty"`     // all chance comes from here
	Parallel int     `json:"parallel,omitempty"` // streams are shared out among so many gradients [2]
	Survey   int     `json:"survey,omitempty"`   // samples that the model keeps of its own contexts [2000]
	Growth   Growth  `json:"growth,omitzero"`

	// Optimizer is adam, sgd (momentum Beta1) or muon [adam]. What muon does not make orthogonal is moved by Adam.
	Optimizer string `json:"optimizer,omitempty"`
}

func (c TrainConfig) withDefaults() TrainConfig {
	def := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	num := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	num(&c.Batch, 8)
	num(&c.Window, 128)
	num(&c.Segment, 4096)
	num(&c.Parallel, 2)
	def(&c.Rate, 0.003)
	def(&c.Warmup, 0.02)
	def(&c.Floor, 0.02)
	def(&c.Decay, 0.05)
	def(&c.Beta1, 0.9)
	def(&c.Beta2, 0.98)
	def(&c.Clip, 1)
	def(&c.Balance, 0.005)
	c.Growth = c.Growth.withDefaults()
	return c
}

// A Source is one text to train on. Each pass over the data reads it Repeat times.
type Source struct {
	Name   string
	Text   []byte
	Repeat int
}

// A Trainer trains a base from scratch by backpropagation through windows of text. One step reads the
// next window of each of Batch streams; what the streams carry from window to window is kept, so that
// the model learns to use a past far longer than a window.
//
// The result depends on the config and the data, not on the number of processors, and a Trainer that was
// saved and restored goes on to the same result. It is not safe for concurrent use.
type Trainer struct {
	cfg       TrainConfig
	sources   []Source
	model     *model.Model
	optimizer optimizer
	lanes     []lane
	shards    []shard
	pool      *kernel.Pool
	grads     []*gradient.Grad // of the shards
	crew      []crew           // one for each thread of pool
	total     int              // bytes that the step reads
	work      func(worker, shard int)

	Seen    int64 // bytes seen
	epoch   int
	order   []segment // of this epoch
	next    int       // index into order
	firing  [][]float64
	stepped int
	growing growing
}

// A lane is one of the streams that a step reads.
type lane struct {
	seg   segment
	state *model.State
	rng   *rand.PCG
	in    []sense.Event
}

// A segment is a stretch of a source; at is the next byte to read.
type segment struct{ Source, At, End int }

// A shard is the part of a step that makes one gradient. What it comes to does not depend on who does it.
type shard struct {
	grad  *gradient.Grad
	lanes []*lane
	nats  float64
	fired [][]int
	load  [][]float64 // (L, S) surprise of the bytes that activated each section; only of a model that grows
}

// A crew is what a thread brings to the shards that it works on.
type crew struct {
	pass    gradient.Pass
	tape    model.Tape
	states  []*model.State  // of the streams that are read at once
	in      [][]sense.Event // what is read of each
	next    []sense.Event   // the byte behind each of those
	dlogits []float32
}

// NewTrainer prepares the training of a new base.
func NewTrainer(c TrainConfig, sources []Source) (*Trainer, error) {
	c = c.withDefaults()
	total := 0
	for _, s := range sources {
		if len(s.Text) < 2 {
			return nil, fmt.Errorf("learning: train: source %s has no two bytes", s.Name)
		}
		total += len(s.Text)
	}
	switch {
	case total == 0:
		return nil, errors.New("learning: train: no data")
	case c.Survey < 0 || c.Survey > 1<<16:
		return nil, fmt.Errorf("learning: a survey of %d samples", c.Survey)
	case c.Bytes < 1 || c.Batch < 1 || c.Window < 1 || c.Segment < 2 || c.Parallel < 1:
		return nil, fmt.Errorf("learning: train: bytes %d, batch %d, window %d, segment %d, parallel %d: all must be positive",
			c.Bytes, c.Batch, c.Window, c.Segment, c.Parallel)
	}
	shape := c.Model
	if err := c.Growth.check(shape); err != nil {
		return nil, err
	}
	if c.Growth.From > 0 {
		shape.Sections = c.Growth.From
	}
	m, err := model.New(shape)
	if err != nil {
		return nil, err
	}
	m.Init(rand.New(rand.NewPCG(c.Seed, 1)))
	if shape.Demand != 0 {
		var texts [][]byte
		for _, s := range sources {
			texts = append(texts, s.Text)
		}
		m.Demand = model.NewDemand(texts...)
	}
	t := &Trainer{cfg: c, sources: sources, model: m}
	if t.optimizer, err = newOptimizer(c, m); err != nil {
		return nil, err
	}
	for i := range c.Batch {
		t.lanes = append(t.lanes, lane{state: m.NewState(), rng: rand.NewPCG(c.Seed, 1000+uint64(i))})
	}
	t.shards = make([]shard, min(c.Parallel, c.Batch))
	for i := range t.shards {
		s := &t.shards[i]
		if s.grad, err = gradient.NewGrad(shape); err != nil {
			return nil, err
		}
		s.fired, s.load = counts[int](shape), counts[float64](shape)
		for k := i; k < len(t.lanes); k += len(t.shards) {
			s.lanes = append(s.lanes, &t.lanes[k])
		}
		t.grads = append(t.grads, s.grad)
	}
	t.work = t.learn
	t.firing = counts[float64](shape)
	t.growing = growing{Sections: shape.Sections, Load: counts[float64](shape), Wake: counts[float32](shape)}
	t.shuffle()
	return t, nil
}

// An optimizer turns gradients into steps of the weights.
type optimizer interface {
	Step(pool *kernel.Pool, m *model.Model, grads []*gradient.Grad, rate, clip float64) (norm float64)
	Age() *int
	Moments() []gradient.Moment
}

// ErrOptimizer is returned for an optimizer that there is not.
var ErrOptimizer = errors.New("learning: no such optimizer")

func newOptimizer(c TrainConfig, m *model.Model) (optimizer, error) {
	adam := gradient.AdamConfig{Beta1: c.Beta1, Beta2: c.Beta2, Eps: 1e-8, Decay: c.Decay}
	switch c.Optimizer {
	case "", "adam":
		return gradient.NewAdam(adam, m), nil
	case "sgd":
		return gradient.NewSGD(c.Beta1, c.Decay, m), nil
	case "muon":
		return gradient.NewMuon(0.95, adam, m), nil
	}
	return nil, fmt.Errorf("%w as %q: there are adam, sgd and muon", ErrOptimizer, c.Optimizer)
}

// remembered is what a training consists of but for where it reads.
func (t *Trainer) remembered() []gradient.Moment {
	return append([]gradient.Moment{{Name: "weights", Data: t.model.Weights}}, t.optimizer.Moments()...)
}

func counts[T any](c model.Config) [][]T {
	f := make([][]T, c.Layers)
	for i := range f {
		f[i] = make([]T, c.Sections)
	}
	return f
}

// shuffle lays out the segments of an epoch: every byte once (times Repeat), cut at a phase that
// differs from epoch to epoch, in an order that depends on the seed and the epoch alone.
func (t *Trainer) shuffle() {
	r := rand.New(rand.NewPCG(t.cfg.Seed, 1<<32+uint64(t.epoch)))
	t.order, t.next = t.order[:0], 0
	for i, s := range t.sources {
		for range max(s.Repeat, 1) {
			end := len(s.Text) - 1
			for at := -r.IntN(t.cfg.Segment); at < end; at += t.cfg.Segment {
				if from, to := max(at, 0), min(at+t.cfg.Segment, end); to > from {
					t.order = append(t.order, segment{i, from, to})
				}
			}
		}
	}
	r.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
}

func (t *Trainer) draw() segment {
	if t.next == len(t.order) {
		t.epoch++
		t.shuffle()
	}
	t.next++
	return t.order[t.next-1]
}

// Done reports whether all bytes have been seen.
func (t *Trainer) Done() bool { return t.Seen >= t.cfg.Bytes }

// Model is the model in training. It changes with the next Step.
func (t *Trainer) Model() *model.Model { return t.model }

// Config is the configuration with its defaults filled in.
func (t *Trainer) Config() TrainConfig { return t.cfg }

// rate is the learning rate now: a linear rise, then half a cosine.
func (t *Trainer) rate() float64 {
	x := float64(t.Seen) / float64(t.cfg.Bytes)
	if x < t.cfg.Warmup {
		return t.cfg.Rate * (x + 1e-3) / (t.cfg.Warmup + 1e-3)
	}
	x = (x - t.cfg.Warmup) / (1 - t.cfg.Warmup)
	return t.cfg.Rate * (t.cfg.Floor + (1-t.cfg.Floor)*0.5*(1+math.Cos(math.Pi*min(x, 1))))
}

// A TrainStep tells how a step went.
type TrainStep struct {
	Bits   float64 // mean loss of the step, in bits a byte, before it was learned from
	Active float64 // share of sections computed
	Bytes  int     // bytes seen in the step
}

// Step reads one window of every stream and learns from it.
func (t *Trainer) Step() TrainStep {
	total := 0
	for i := range t.lanes {
		l := &t.lanes[i]
		if l.seg.At >= l.seg.End {
			l.seg = t.draw()
			l.state.Reset()
		}
		total += min(t.cfg.Window, l.seg.End-l.seg.At)
	}

	t.total = total
	if t.pool == nil {
		t.use(min(runtime.GOMAXPROCS(0), len(t.shards)))
	}
	t.pool.Run(len(t.shards), t.work)
	t.optimizer.Step(t.pool, t.model, t.grads, t.rate(), t.cfg.Clip)
	var nats float64
	for i := range t.shards {
		nats += t.shards[i].nats
	}
	active := t.balance(total)
	t.Seen += int64(total)
	if t.cfg.Growth.From > 0 {
		t.surprise(nats, total)
	}
	return TrainStep{Bits: nats / float64(total) / math.Ln2, Active: active, Bytes: total}
}

// use makes the coming steps use that many threads.
func (t *Trainer) use(threads int) {
	t.Close()
	t.pool = kernel.NewPool(threads)
	t.crew = make([]crew, threads)
	for i := range t.crew {
		t.crew[i].tape.Dropout = float32(t.cfg.Dropout)
	}
}

// Close ends the threads that Step began. Another Step begins them again.
func (t *Trainer) Close() {
	if t.pool != nil {
		t.pool.Close()
	}
	t.pool, t.crew = nil, nil
}

// atOnce is how many events a section is best computed for at once. With fewer, its weights are packed for little;
// with many more, what is read and written for every section does not stay in the second cache.
const atOnce = 256

// learn takes the streams of one shard through forward and backward, side by side as far as that pays.
func (t *Trainer) learn(worker, i int) {
	s, c := &t.shards[i], &t.crew[worker]
	s.nats = 0
	for k := range s.fired {
		clear(s.fired[k])
		clear(s.load[k])
	}
	m := t.model.Config
	abreast := max(atOnce*m.Sections/(m.Active*t.cfg.Window), 1)
	for lanes := range slices.Chunk(s.lanes, abreast) {
		c.states, c.in, c.next = c.states[:0], c.in[:0], c.next[:0]
		for _, l := range lanes {
			text := t.sources[l.seg.Source].Text
			n := min(t.cfg.Window, l.seg.End-l.seg.At)
			part := text[l.seg.At : l.seg.At+n+1]
			l.in = sense.AppendText(l.in[:0], part[:n])
			l.seg.At += n
			c.states, c.in, c.next = append(c.states, l.state), append(c.in, l.in), sense.AppendText(c.next, part[1:])
		}
		c.tape.Mask = lanes[0].rng
		t.model.ForwardAll(c.states, c.in, &c.tape)
		n := len(c.next) * sense.Symbols
		if cap(c.dlogits) < n {
			c.dlogits = make([]float32, n)
		}
		s.nats += gradient.CrossEntropy(c.dlogits[:n], c.tape.Logits, c.next, 1/float32(t.total))
		if t.cfg.Growth.From > 0 {
			s.weigh(&c.tape, c.dlogits[:n], c.next, t.total)
		}
		c.pass.Backward(t.model, &c.tape, c.dlogits[:n], s.grad)
		for k, fired := range s.fired {
			start := c.tape.Layers[k].Base.Start
			for sec := range fired {
				fired[sec] += int(start[sec+1] - start[sec])
			}
		}
	}
}

// balance drives every section's firing rate to the target by its bias, without a gradient
// (learning.md 6.4), and returns the share of sections that were active.
func (t *Trainer) balance(total int) (active float64) {
	c := t.model.Config
	target := float64(c.Active) / float64(c.Sections)
	t.stepped++
	keep := min(0.95, 1-1/float64(t.stepped))
	var fired int
	for i := range t.firing {
		bias := t.model.Layers[i].Bias
		of := 0
		for s := range bias {
			n := 0
			for k := range t.shards {
				n += t.shards[k].fired[i][s]
			}
			of += n
			f := &t.firing[i][s]
			*f = keep**f + (1-keep)*float64(n)/float64(total)
			if t.rouse(i, s, float64(n)/float64(total), target) {
				continue
			}
			step := t.cfg.Balance * min(max((target-*f)/target, -1), 1)
			if *f > 4*target {
				step -= 2 * t.cfg.Balance
			}
			bias[s] += float32(step)
		}
		fired += of
		t.hold(i, float64(of)/float64(total*c.Sections), target)
	}
	return float64(fired) / float64(total*c.Sections*c.Layers)
}

// hold moves a layer's biases together towards the activity that it shall have on average. Sections that fire in bursts, as
// the few bytes of each of many must, have it above the target for good where each is only driven by itself.
func (t *Trainer) hold(layer int, rate, target float64) {
	if t.cfg.Hold == 0 {
		return
	}
	step := float32(t.cfg.Hold * min(max((target-rate)/target, -1), 1))
	for s, bias := range t.model.Layers[layer].Bias {
		if t.growing.Wake[layer][s] == 0 {
			t.model.Layers[layer].Bias[s] = bias + step
		}
	}
}

// Calibrate moves each layer's biases together, so that the share of sections active on a sample of the
// training data is the target exactly. The controller only holds it in the long run; call this once,
// when training is done.
func (t *Trainer) Calibrate() { t.calibrate(512, 256, 48) }

// calibrate samples so many stretches of the text, each behind a lead that is only read.
func (t *Trainer) calibrate(lead, take, stretches int) {
	c := t.model.Config
	if c.Alpha >= 1 {
		return // a budgeted sparsemax does not move with its scores
	}
	var tape model.Tape
	for i := range t.model.Layers {
		var margin []float32 // by how much each section cleared the floor, or missed it
		for k := range stretches {
			text := t.sources[k%len(t.sources)].Text
			from := max(len(text)-lead-take, 0) * (k / len(t.sources)) / max(stretches/len(t.sources)-1, 1)
			part := sense.Text(text[from:min(from+lead+take, len(text))])
			at := max(len(part)-take, 0)
			s := t.model.NewState()
			t.model.Forward(s, part[:at], &tape)
			t.model.Forward(s, part[at:], &tape)
			lt := &tape.Layers[i]
			for p := range tape.N {
				for _, z := range lt.Z[p*c.Sections : (p+1)*c.Sections] {
					margin = append(margin, z-c.Alpha*lt.Tau[p])
				}
			}
		}
		slices.Sort(margin)
		at := len(margin) - int(float64(len(margin))*float64(c.Active)/float64(c.Sections))
		// All biases and with them τ move by δ: a section clears the floor if its margin + (1−α)δ > 0.
		delta := -margin[min(at, len(margin)-1)] / (1 - c.Alpha)
		for s := range t.model.Layers[i].Bias {
			t.model.Layers[i].Bias[s] += delta
		}
	}
}

// surveySamples and surveyGroups say how much of its own contexts a base remembers, if its config does not say.
const (
	surveySamples = 2000
	surveyGroups  = 8 // for each source
)

// Finish ends a training: it calibrates the gates, rounds the weights to 16 bits as the file will hold
// them if half is true, and has the model survey the data, so that skills can tell their contexts from
// the base's. The trainer is not to be used afterwards.
func (t *Trainer) Finish(half bool) (*model.Model, error) {
	t.Calibrate()
	var file bytes.Buffer
	if err := t.model.Write(&file, half, nil); err != nil {
		return nil, err
	}
	m, err := model.Load(file.Bytes())
	if err != nil {
		return nil, err
	}
	var texts [][]byte
	seen := map[string]bool{}
	for _, s := range t.sources {
		if !seen[s.Name] {
			seen[s.Name] = true
			texts = append(texts, s.Text)
		}
	}
	m.Background, err = Survey(m, texts, cmp.Or(t.cfg.Survey, surveySamples), surveyGroups)
	return m, err
}

// trainState is what a saved training remembers beside its tensors.
type trainState struct {
	Config  TrainConfig
	Seen    int64
	Epoch   int
	Next    int
	Steps   int
	Stepped int
	Lanes   []laneState
	Firing  [][]float64
	Data    []string // names and sizes of the sources
	Growing *growing `json:",omitempty"` // of a model that grows
}

type laneState struct {
	Segment segment
	State   []byte
	Rand    []byte
}

func (t *Trainer) data() (names []string) {
	for _, s := range t.sources {
		names = append(names, fmt.Sprintf("%s (%d bytes, %d times)", s.Name, len(s.Text), max(s.Repeat, 1)))
	}
	return names
}

// Save writes all that is needed to go on: weights, moments, and where every stream stands.
func (t *Trainer) Save(w io.Writer) error {
	st := trainState{Config: t.cfg, Seen: t.Seen, Epoch: t.epoch, Next: t.next, Steps: *t.optimizer.Age(), Stepped: t.stepped, Firing: t.firing, Data: t.data()}
	if t.cfg.Growth.From > 0 {
		st.Growing = &t.growing
	}
	for _, l := range t.lanes {
		s, err := l.state.MarshalBinary()
		if err != nil {
			return err
		}
		r, err := l.rng.MarshalBinary()
		if err != nil {
			return err
		}
		st.Lanes = append(st.Lanes, laneState{l.seg, s, r})
	}
	j, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("learning: save: %w", err)
	}
	var ts []model.NamedTensor
	for _, r := range t.remembered() {
		ts = append(ts, model.NamedTensor{Name: r.Name, Shape: []int{len(r.Data)}, Data: r.Data})
	}
	return model.WriteTensors(w, map[string]string{"format": "yan training", "state": string(j)}, ts)
}

// ErrOtherTraining is returned by Restore for a file of a training with another config or other data.
var ErrOtherTraining = errors.New("learning: the file belongs to another training")

// Restore makes t go on where the training that wrote b stood. Its config and data must be t's.
func (t *Trainer) Restore(b []byte) error {
	f, err := model.ReadTensors(b)
	if err != nil {
		return err
	}
	var st trainState
	if err := json.NewDecoder(bytes.NewReader([]byte(f.Meta["state"]))).Decode(&st); err != nil || f.Meta["format"] != "yan training" {
		return fmt.Errorf("%w: it holds no training", model.ErrCheckpoint)
	}
	if st.Config != t.cfg {
		return fmt.Errorf("%w: its config differs", ErrOtherTraining)
	}
	if fmt.Sprint(st.Data) != fmt.Sprint(t.data()) {
		return fmt.Errorf("%w: it reads %v", ErrOtherTraining, st.Data)
	}
	if len(st.Lanes) != len(t.lanes) {
		return fmt.Errorf("%w: %d streams", model.ErrCheckpoint, len(st.Lanes))
	}
	if err := t.restoreGrowth(st.Growing); err != nil {
		return err
	}
	for _, r := range t.remembered() {
		if err := f.Read(r.Name, r.Data, len(r.Data)); err != nil {
			return err
		}
	}
	if len(st.Firing) != len(t.firing) {
		return fmt.Errorf("%w: firing rates of %d layers", model.ErrCheckpoint, len(st.Firing))
	}
	for i, f := range st.Firing {
		if len(f) != len(t.firing[i]) {
			return fmt.Errorf("%w: firing rates of %d sections", model.ErrCheckpoint, len(f))
		}
		copy(t.firing[i], f)
	}
	t.Seen, t.epoch, *t.optimizer.Age(), t.stepped = st.Seen, st.Epoch, st.Steps, st.Stepped
	t.shuffle()
	if st.Next < 0 || st.Next > len(t.order) {
		return fmt.Errorf("%w: segment %d of %d", model.ErrCheckpoint, st.Next, len(t.order))
	}
	t.next = st.Next
	for i, l := range st.Lanes {
		if l.Segment.Source < 0 || l.Segment.Source >= len(t.sources) || l.Segment.At < 0 || l.Segment.At > l.Segment.End ||
			l.Segment.End >= len(t.sources[l.Segment.Source].Text) {
			return fmt.Errorf("%w: stream %d stands at %+v", model.ErrCheckpoint, i, l.Segment)
		}
		t.lanes[i].seg = l.Segment
		if err := t.lanes[i].state.UnmarshalBinary(l.State); err != nil {
			return err
		}
		if err := t.lanes[i].rng.UnmarshalBinary(l.Rand); err != nil {
			return fmt.Errorf("%w: stream %d: %v", model.ErrCheckpoint, i, err)
		}
	}
	return nil
}

// Evaluation is how well a model predicts a text.
type Evaluation struct {
	Events   int     `json:"events"`
	Bits     float64 `json:"bits_per_byte"`
	Accuracy float64 `json:"accuracy"`     // share of bytes that were the most probable one
	Active   float64 `json:"active_share"` // base sections computed, as a share of all
}

// Evaluate has m read text as one stream from a fresh state and measures each byte's surprise, the
// first one's excepted. stop, which may be nil, is told how far it is and may end it.
func Evaluate(m *model.Model, text []byte, stop func(done int) bool) Evaluation {
	return evaluate(m, sense.Text(text), 0, stop)
}

// evaluate does not count the surprise of the first warm events.
func evaluate(m *model.Model, in []sense.Event, warm int, stop func(done int) bool) Evaluation {
	var e Evaluation
	if len(in) < warm+2 {
		return e
	}
	const chunk = 256
	t := model.Tape{Lean: true}
	s := m.NewState()
	d := make([]float32, chunk*sense.Symbols)
	var nats float64
	var fired, right int
	for at := 0; at < len(in)-1; {
		n := min(chunk, len(in)-1-at)
		if at < warm {
			n = min(n, warm-at)
		}
		m.Forward(s, in[at:at+n], &t)
		if at >= warm {
			for p := range n {
				row := t.Logits[p*sense.Symbols : (p+1)*sense.Symbols]
				if row[in[at+p+1].Byte] == slices.Max(row) {
					right++
				}
			}
			nats += gradient.CrossEntropy(d[:n*sense.Symbols], t.Logits, in[at+1:at+n+1], 1)
			for i := range t.Layers {
				fired += t.Layers[i].Base.Len()
			}
			e.Events += n
		}
		at += n
		if stop != nil && stop(at) {
			break
		}
	}
	if e.Events > 0 {
		e.Bits = nats / float64(e.Events) / math.Ln2
		e.Accuracy = float64(right) / float64(e.Events)
		e.Active = float64(fired) / float64(e.Events*m.Config.Layers*m.Config.Sections)
	}
	return e
}
