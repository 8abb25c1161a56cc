package learning

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/kernel/portable"
	"github.com/yanmesh/yan/model/sense"
)

func (g Growth) withDefaults() Growth {
	if g.From == 0 {
		return Growth{}
	}
	if g.Share == 0 {
		g.Share = 0.5
	}
	if g.Span == 0 {
		g.Span = 32768
	}
	if g.Fall == 0 {
		g.Fall = 0.04
	}
	if g.Known == 0 {
		g.Known = 0.1
	}
	return g
}

func (g Growth) check(c model.Config) error {
	switch {
	case g == Growth{}:
		return nil
	case g.From < c.Active || g.From > c.Sections:
		return fmt.Errorf("learning: growth from %d sections: must be %d, which are active, to %d, which it grows to", g.From, c.Active, c.Sections)
	case !(g.Share > 0) || g.Span < 1 || !(g.Fall < 1) || !(g.Known >= 0):
		return fmt.Errorf("learning: growth by %v, in stretches of %d bytes, fall %v, known %v: out of range", g.Share, g.Span, g.Fall, g.Known)
	}
	return nil
}

const (
	wakeSteps  = 48   // steps in which the bias of a section that was shut at its birth rises to its parent's
	loadKeep   = 0.9  // what a step keeps of the surprise that a section is known to carry
	keyNoise   = 0.5  // how far a split moves a key, of its own size
	unitGrowth = 16   // layers grow by so many sections at a time, which the kernels take in one piece
	awake      = 0.5  // share of the firing target at which a section counts as awake
	slack      = 1e-3 // for the rounding of scores
)

// growing is where a training stands with its growth. The zero value has not begun.
type growing struct {
	Sections int         // in each layer now
	Nats     float64     // of the stretch that has begun
	Bytes    int64       // of the same
	Before   float64     // nats a byte of the stretch before; 0 if there was none
	Load     [][]float64 // (L, S) surprise that each section carries, in nats a byte read, of late
	Wake     [][]float32 // (L, S) by how much a step raises the bias of what sleeps; 0 where it is awake
}

// carry renews what each section carries: the surprise of the bytes that activated it.
func (t *Trainer) carry(total int) {
	for i, load := range t.growing.Load {
		for s := range load {
			var nats float64
			for k := range t.shards {
				nats += t.shards[k].load[i][s]
			}
			load[s] = loadKeep*load[s] + (1-loadKeep)*nats/float64(total)
		}
	}
}

func (t *Trainer) asleep() bool {
	for _, wake := range t.growing.Wake {
		for _, w := range wake {
			if w > 0 {
				return true
			}
		}
	}
	return false
}

// rouse raises the bias of a section that sleeps and reports whether it did: the controller takes over once it fires
// half as often as it shall.
func (t *Trainer) rouse(layer, section int, rate, target float64) bool {
	w := &t.growing.Wake[layer][section]
	if rate >= awake*target {
		*w = 0
	}
	t.model.Layers[layer].Bias[section] += *w
	return *w > 0
}

// grow adds sections to every layer: each is split off from one of those that carry the most surprise. It is a copy with
// its key moved a little, and a bias so low that it stays shut whatever comes, so that the model computes what
// it did, to the bit; from then on its bias rises until it takes its part.
func (t *Trainer) grow(add int) {
	have := t.model.Config.Sections
	parents := make([][]int, len(t.model.Layers))
	for i, load := range t.growing.Load {
		parents[i] = heaviest(load, add)
	}
	t.resize(have + add)
	r := rand.New(rand.NewPCG(t.cfg.Seed, 1<<33+uint64(have)))
	for i := range t.model.Layers {
		highest := t.highest(i, have)
		for k, parent := range parents[i] {
			t.split(i, parent, have+k, highest, r)
		}
	}
}

// split makes section child of a layer one like its parent, whose key lies beside the parent's. Its bias is so low that it
// is shut whatever comes, and rises from then on to the parent's.
//
// A gate is [z_s − α·τ]₊ with τ ≥ max z − 1, and only scores above max z − 1 count for τ. With z_child ≤ z_parent − b for a b
// of 1 at least the child is none of these; and with b ≥ α + (1−α)·U it is shut as well, U being no less than any score:
// z_child ≤ max z − α − (1−α)·max z = α·(max z − 1) ≤ α·τ. Where events may lower the floor, b is higher by as much.
func (t *Trainer) split(layer, parent, child int, highest float64, r *rand.Rand) {
	c, l := t.model.Config, &t.model.Layers[layer]
	rank, size := c.KeyRank, c.SectionSize()
	from, key := l.Keys.F32[parent*rank:][:rank], l.Keys.F32[child*rank:][:rank]
	apart := make([]float32, rank)
	noise := keyNoise * math.Sqrt(float64(kernel.SumSquares(from))/float64(rank))
	for j, v := range from {
		key[j] = v + float32(noise*r.NormFloat64())
		apart[j] = key[j] - v
	}
	w := l.Sections.F32[child*size:][:size]
	copy(w, l.Sections.F32[parent*size:][:size])
	if t.cfg.Growth.Empty {
		clear(w[size/3*2:])
	}
	t.inherit(layer, parent, child)

	alpha := float64(c.Alpha)
	low := max(1, alpha+(1-alpha)*highest+t.demand()) + t.reach(layer, apart) + slack
	l.Bias[child] = l.Bias[parent] - float32(low)
	t.growing.Wake[layer][child] = float32(low / wakeSteps)
}

// inherit gives a section what the optimizer remembers of its parent, so that its first steps are no longer.
func (t *Trainer) inherit(layer, parent, child int) {
	for _, r := range t.optimizer.Moments() {
		if len(r.Data) != len(t.model.Weights) {
			continue
		}
		for _, of := range t.model.Tensors() {
			if of.Name == fmt.Sprintf("layers.%d.sections", layer) || of.Name == fmt.Sprintf("layers.%d.keys", layer) {
				n := of.Len() / of.Shape[0]
				copy(r.Data[of.Off+child*n:][:n], r.Data[of.Off+parent*n:][:n])
			}
		}
	}
}

// demand is by how much an event lowers the floor of its gates at most.
func (t *Trainer) demand() float64 {
	if t.model.Demand == nil {
		return 0
	}
	return float64(t.model.Config.Demand) * float64(max(slices.Max(t.model.Demand.Open), 0))
}

// highest bounds the scores of a layer's first sections, whatever the input is.
func (t *Trainer) highest(layer, sections int) float64 {
	l, rank := &t.model.Layers[layer], t.model.Config.KeyRank
	high := math.Inf(-1)
	for s := range sections {
		high = max(high, float64(l.Bias[s])+t.reach(layer, l.Keys.F32[s*rank:][:rank]))
	}
	return high
}

// reach bounds ⟨key, query⟩/√r for any input: ‖gain ⊙ Query·key‖·√(D/r), for what RMSNorm leaves has norm √D at most.
func (t *Trainer) reach(layer int, key []float32) float64 {
	c, l := t.model.Config, &t.model.Layers[layer]
	var squares float64
	for j, gain := range l.Norm2 {
		v := gain * kernel.Dot(l.Query.F32[j*c.KeyRank:][:c.KeyRank], key)
		squares += float64(v) * float64(v)
	}
	return math.Sqrt(squares * float64(c.Width) / float64(c.KeyRank))
}

// resize gives every layer so many sections; the new ones are zero.
func (t *Trainer) resize(sections int) {
	c := t.model.Config
	c.Sections = sections
	was := t.model
	m, err := model.New(c)
	if err != nil {
		panic("learning: a shape that was checked: " + err.Error())
	}
	before := t.remembered()
	age := *t.optimizer.Age()
	m.Demand = was.Demand
	t.model = m
	if t.optimizer, err = newOptimizer(t.cfg, m); err != nil {
		panic("learning: an optimizer that was checked: " + err.Error())
	}
	*t.optimizer.Age() = age
	for k, r := range t.remembered() {
		if len(r.Data) != len(m.Weights) { // it does not depend on how many sections there are
			copy(r.Data, before[k].Data)
			continue
		}
		for i, to := range m.Tensors() {
			from := was.Tensors()[i] // the same, or the first rows of it
			copy(r.Data[to.Off:], before[k].Data[from.Off:][:from.Len()])
		}
	}
	t.grads = t.grads[:0]
	for i := range t.shards {
		s := &t.shards[i]
		if s.grad, err = gradient.NewGrad(c); err != nil {
			panic("learning: a shape that was checked: " + err.Error())
		}
		s.fired, s.load = counts[int](c), counts[float64](c)
		t.grads = append(t.grads, s.grad)
	}
	t.growing.Sections = sections
	for i := range m.Layers {
		t.firing[i] = append(t.firing[i], make([]float64, sections-len(t.firing[i]))...)
		t.growing.Load[i] = append(t.growing.Load[i], make([]float64, sections-len(t.growing.Load[i]))...)
		t.growing.Wake[i] = append(t.growing.Wake[i], make([]float32, sections-len(t.growing.Wake[i]))...)
	}
}

// weigh adds the surprise of each byte to the sections that it activated. The gradient of a byte's logit holds it:
// (p − 1)/total.
func (s *shard) weigh(t *model.Tape, dlogits []float32, next []sense.Event, total int) {
	const least = 1e-6
	for p, e := range next {
		likely := 1 + float64(dlogits[p*sense.Symbols+int(e.Byte)])*float64(total)
		nats := -portable.Log(max(likely, least))
		for i := range t.Layers {
			rt := &t.Layers[i].Base
			for _, sec := range rt.Sec[rt.Off[p]:rt.Off[p+1]] {
				s.load[i][sec] += nats
			}
		}
	}
}

// restoreGrowth gives the model the size that a training had when it was saved.
func (t *Trainer) restoreGrowth(g *growing) error {
	if (g != nil) != (t.cfg.Growth.From > 0) {
		return fmt.Errorf("%w: its growth", model.ErrCheckpoint)
	}
	if g == nil {
		return nil
	}
	if g.Sections < t.cfg.Growth.From || g.Sections > t.cfg.Model.Sections || len(g.Load) != len(t.model.Layers) || len(g.Wake) != len(g.Load) {
		return fmt.Errorf("%w: %d sections, grown from %d", model.ErrCheckpoint, g.Sections, t.cfg.Growth.From)
	}
	for i := range g.Load {
		if len(g.Load[i]) != g.Sections || len(g.Wake[i]) != g.Sections {
			return fmt.Errorf("%w: growth of %d sections of %d", model.ErrCheckpoint, len(g.Load[i]), g.Sections)
		}
	}
	if g.Sections != t.model.Config.Sections {
		t.resize(g.Sections)
	}
	t.growing = *g
	return nil
}
