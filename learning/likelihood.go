package learning

import (
	"math"
	"slices"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/kernel/portable"
	"github.com/yanmesh/yan/model/sense"
)

// Where contexts alternate with every line, a gate that looks at the context is too late: decay states remember the line
// before. Surprise itself is the better evidence. A Reader thinks of the base alone and of the base with each skill open
// beside one another, and believes each as far as what it predicted came true: Bayes' rule over experts that may be
// exchanged, at the end of a line most of all (fixed share; Herbster and Warmuth 1998, "Tracking the Best Expert"). How often
// they are exchanged is found out in the same way (Monteleoni and Jaakkola 2003, "Online Learning of Non-stationary
// Sequences"): one habit expects whoever spoke to go on, the last one anybody to begin. A mind that is believed no more is not
// asked again before the line ends, so that two are thought of at once only while it is uncertain which of them is right.
var habits = [...]float64{0.002, 0.05, 0.8} // of the belief, what each gives up at the end of a line

const (
	// firstBase is how likely the base alone is where nothing is known of who speaks.
	firstBase = 0.8
	// innerShare of the belief moves between two events among those that are asked, and habitShare between habits at an end.
	innerShare = 0.0001
	habitShare = 0.005
	// silenced is the belief below which a mind is not asked again in this line.
	silenced = 1e-4
	// longLine is how many events a line counts that has no end.
	longLine = 256
	// inDoubt is how many skills are asked at once: those that were right lately, and the likeliest by their gates.
	inDoubt = 12
)

// A belief says how likely each of several minds is the one to listen to. The first is the base alone.
type belief struct {
	now   []float64 // of each mind, sums to 1; zero where it is not asked
	prior []float64 // the same where nothing is known
	habit [len(habits)]struct {
		odds float64   // that it is the right one, sum to 1
		now  []float64 // what it believes
	}
	line int // events since the last end
}

func newBelief(minds int) *belief {
	b := &belief{prior: make([]float64, minds)}
	for k := range b.prior {
		b.prior[k] = (1 - firstBase) / float64(max(minds-1, 1))
	}
	b.prior[0] = firstBase
	normalise(b.prior) // of the base alone it is 1
	b.now = slices.Clone(b.prior)
	for h := range b.habit {
		b.habit[h].odds, b.habit[h].now = 1/float64(len(habits)), slices.Clone(b.prior)
	}
	return b
}

// saw takes in how surprising an event was to each mind that was asked, in nats, and whether it ended a line. It
// reports whether all are open again.
func (b *belief) saw(nats []float64, end bool) (open bool) {
	b.update(nats)
	if b.line++; end || b.line >= longLine {
		b.open()
		return true
	}
	b.sum()
	best := slices.Max(b.now)
	for k, w := range b.now {
		if w < silenced && w < best {
			b.now[k] = 0
		}
	}
	b.keep()
	for h := range b.habit {
		b.give(b.habit[h].now, innerShare)
	}
	b.sum()
	return false
}

// update is Bayes' rule: for each habit over minds, and over habits.
func (b *belief) update(nats []float64) {
	least := math.Inf(1)
	for k, w := range b.now {
		if w > 0 {
			least = min(least, nats[k])
		}
	}
	var all float64
	for h := range b.habit {
		t := &b.habit[h]
		for k, w := range b.now {
			if w > 0 {
				t.now[k] *= portable.Exp(least - nats[k])
			}
		}
		t.odds = float64(t.odds * normalise(t.now))
		all += t.odds
	}
	for h := range b.habit {
		b.habit[h].odds /= all
	}
}

// open ends a line: each habit gives up what it is used to.
func (b *belief) open() {
	b.line = 0
	copy(b.now, b.prior)
	for h := range b.habit {
		t := &b.habit[h]
		b.give(t.now, habits[h])
		t.odds = float64((1-habitShare)*t.odds) + habitShare/float64(len(habits))
	}
	b.sum()
}

// give moves a share of what is believed to what is known beforehand of those that are asked.
func (b *belief) give(now []float64, share float64) {
	var asked float64
	for k, w := range b.now {
		if w > 0 {
			asked += b.prior[k]
		}
	}
	for k, w := range b.now {
		if w > 0 {
			now[k] = float64((1-share)*now[k]) + share*b.prior[k]/asked
		}
	}
}

// keep has every habit believe none that is not asked.
func (b *belief) keep() {
	for h := range b.habit {
		t := &b.habit[h]
		for k, w := range b.now {
			if w == 0 {
				t.now[k] = 0
			}
		}
		normalise(t.now)
	}
}

// sum is what all habits believe together.
func (b *belief) sum() {
	for k := range b.now {
		b.now[k] = 0
		for h := range b.habit {
			b.now[k] += float64(b.habit[h].odds * b.habit[h].now[k])
		}
	}
}

func (b *belief) clone() *belief {
	c := *b
	c.now = slices.Clone(b.now)
	for h := range c.habit {
		c.habit[h].now = slices.Clone(b.habit[h].now)
	}
	return &c
}

// normalise makes w sum to 1 and returns what it summed to.
func normalise(w []float64) (sum float64) {
	for _, v := range w {
		sum += v
	}
	if sum > 0 {
		for k := range w {
			w[k] /= sum
		}
	}
	return sum
}

// A Reader predicts a stream with a mind whose skills are opened by likelihood. It learns nothing.
type Reader struct {
	minds  []expert
	belief *belief
	nats   []float64
	asked  int // minds that the next event was predicted by
	fired  int // sections of the base that it took
	begun  bool
	logits [sense.Symbols]float32
}

// An expert is one mind and its thought.
type expert struct {
	model *model.Model
	gate  *model.Gate // of its skill; nil for the base alone
	state *model.State
	tape  *model.Tape
	logp  [sense.Symbols]float32 // of the next event
}

// NewReader returns a reader of a stream that has not begun, with the skills of a mind as Settled returns it.
func NewReader(m *model.Model) *Reader {
	r := &Reader{belief: newBelief(len(m.Banks) + 1), nats: make([]float64, len(m.Banks)+1)}
	alone := m.WithBanks()
	r.minds = append(r.minds, expert{model: alone, state: alone.NewState(), tape: &model.Tape{}})
	for _, b := range m.Banks {
		open := *b
		open.Gate.Force = true
		r.minds = append(r.minds, expert{model: m.WithBanks(&open), gate: &b.Gate, state: alone.NewState(), tape: &model.Tape{}})
	}
	return r
}

// Step takes in an event and returns the log-odds of the next. They belong to the reader until its next Step.
func (r *Reader) Step(e sense.Event) []float32 {
	if !r.begun {
		r.choose(0)
	} else {
		for k := range r.minds {
			if r.belief.now[k] > 0 {
				r.nats[k] = surprise(r.minds[k].logp[:], e)
			}
		}
		was := slices.Clone(r.belief.now)
		if r.belief.saw(r.nats, e.Byte == '\n') {
			r.reopen(was)
		}
	}
	r.begun = true
	r.asked, r.fired = 0, 0
	for k := range r.minds {
		if r.belief.now[k] > 0 {
			r.asked++
			r.fired += r.minds[k].think(e)
		}
	}
	r.mix()
	return r.logits[:]
}

// think takes in an event and expects the next. It returns how many sections of the base that took. Where log-odds are no
// numbers, any byte is as likely as any other.
func (m *expert) think(e sense.Event) (fired int) {
	m.model.Forward(m.state, append(m.tape.In[:0], e), m.tape)
	heal(m.state)
	for i := range m.tape.Layers {
		fired += m.tape.Layers[i].Base.Len()
	}
	copy(m.logp[:], m.tape.Logits)
	p := m.logp
	z := kernel.SoftmaxInPlace(p[:])
	if z-z != 0 {
		clear(m.logp[:])
		z = float32(portable.Log(sense.Symbols))
	}
	for i := range m.logp {
		m.logp[i] -= z
	}
	return fired
}

// reopen lets those who are asked again go on from the thought of the one that was believed most: thoughts of one stream
// on one base, they differ little.
func (r *Reader) reopen(was []float64) {
	best := 0
	for k, w := range was {
		if w > was[best] {
			best = k
		}
	}
	r.choose(best)
	for k, w := range was {
		if w == 0 && r.belief.now[k] > 0 {
			r.minds[k].state.CopyFrom(r.minds[best].state)
		}
	}
}

// choose asks no more than inDoubt of the skills: half of them for having been right lately, the others for being likely
// by the context, as the thought of mind best has it.
func (r *Reader) choose(best int) {
	now := r.belief.now
	n := len(now) - 1
	if n <= inDoubt {
		return
	}
	order := make([]int, n)
	for k := range order {
		order[k] = k + 1
	}
	slices.SortStableFunc(order, func(a, b int) int { return descending(now[a], now[b]) })
	e := r.minds[best].state.Evidence()
	likely := make([]float64, len(now))
	for _, k := range order[inDoubt/2:] {
		if g := r.minds[k].gate; g.Own != nil {
			likely[k] = float64(kernel.Dot(g.Own, e) + g.OwnBias)
		}
	}
	rest := order[inDoubt/2:]
	slices.SortStableFunc(rest, func(a, b int) int { return descending(likely[a], likely[b]) })
	for _, k := range rest[inDoubt-inDoubt/2:] {
		now[k] = 0
	}
	r.belief.keep()
	r.belief.sum()
}

func descending(a, b float64) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}

// mix is the log of the probabilities that those who are asked give together.
func (r *Reader) mix() {
	first := true
	for k, w := range r.belief.now {
		if w == 0 {
			continue
		}
		lw := float32(portable.Log(w))
		for i, v := range r.minds[k].logp {
			switch {
			case r.asked == 1:
				r.logits[i] = v
			case first:
				r.logits[i] = v + lw
			default:
				r.logits[i] = logAdd(r.logits[i], v+lw)
			}
		}
		first = false
	}
}

// logAdd is log(eᵃ + eᵇ).
func logAdd(a, b float32) float32 {
	if a < b {
		a, b = b, a
	}
	return a + float32(portable.Log1p(portable.Exp(float64(b-a))))
}

// Believed is how likely the base alone is the one to listen to, and then each skill, in the order of the mind's banks. It belongs
// to the reader until its next Step.
func (r *Reader) Believed() []float64 { return r.belief.now }

// Asked is how many minds the next event was predicted by.
func (r *Reader) Asked() int { return r.asked }

// Fork returns a copy that goes another way.
func (r *Reader) Fork() *Reader {
	c := *r
	c.minds = slices.Clone(r.minds)
	for k := range c.minds {
		c.minds[k].state, c.minds[k].tape = r.minds[k].state.Clone(), &model.Tape{}
	}
	c.belief = r.belief.clone()
	c.nats = slices.Clone(r.nats)
	return &c
}

// Evaluate has the reader go on through a text, of which the first byte is context only, and measures as [Evaluate] does; stop, which
// may be nil, is told how far it is and may end it. Minds is how many were asked for an event, on average; the active share
// counts the base's sections for each of them.
func (r *Reader) Evaluate(text []byte, stop func(done int) bool) (e Evaluation, minds float64) {
	in := sense.Text(text)
	d := make([]float32, sense.Symbols)
	var nats float64
	var right, asked, fired int
	for i := range max(len(in)-1, 0) {
		row := r.Step(in[i])
		asked, fired = asked+r.asked, fired+r.fired
		if row[in[i+1].Byte] == slices.Max(row) {
			right++
		}
		nats += gradient.CrossEntropy(d, row, in[i+1:i+2], 1)
		e.Events++
		if i%256 == 255 && stop != nil && stop(i+1) {
			break
		}
	}
	if e.Events > 0 {
		n := float64(e.Events)
		e.Bits, e.Accuracy, minds = nats/n/math.Ln2, float64(right)/n, float64(asked)/n
		c := r.minds[0].model.Config
		e.Active = float64(fired) / (n * float64(c.Layers*c.Sections))
	}
	return e, minds
}
