package learning

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/kernel/portable"
	"github.com/yanmesh/yan/model/sense"
)

// Config says how a device learns. Zero fields take the values in brackets.
type Config struct {
	Chunk     int        // events between two writes; gradients reach back so far [32]
	Sections  int        // sections that a new skill has in each of its layers [12]
	Neurons   int        // neurons in each of them; 0 takes the base's
	Rate      float64    // learning rate of skill sections [0.001]
	Rule      local.Rule // by what error they learn: local.Backward, local.Top, local.Broadcast or local.Own [local.Backward]
	Rehearse  int        // passes over a short utterance when it ends [16]
	Infancy   int        // events during which a new skill is open whatever the context is [4096]
	Patience  int        // chunks without an open skill before one is grown or widened [2]
	MaxSkills int        // skills that the device grows by itself; beyond them the most likely one is widened [1]
	Reservoir int        // samples of a skill's context that are kept [128]
	Recent    int        // own recent events kept to judge what others offer [4096]
	Harm      float64    // nats an event by which a fold, or what is learnt, may worsen own events [0.01]
	Untested  bool       // what is learnt is never undone: for experiments that show why it should be
	Last      bool       // others are shown a skill's last weights and not their average: for such experiments too
	Gate      GateConfig
	Features  int // that skills which answer with a class or with what to do make of what they are shown: see Knack [512]

	Memory  int64   // bytes that skills may take of memory; beyond them the least used ones rest in Archive [no limit]
	Archive Archive `json:"-"` // where they rest; without one none does

	Fast int    // rows that the fast layer has at most, 16 bytes each, a power of two; negative for no fast layer [1<<19]
	Seed uint64 // all chance comes from here
}

func (c Config) withDefaults(base model.Config) Config {
	num := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	num(&c.Chunk, 32)
	num(&c.Sections, 12)
	num(&c.Neurons, base.Neurons)
	num(&c.Rehearse, 16)
	num(&c.Infancy, 4096)
	num(&c.Patience, 2)
	num(&c.MaxSkills, 1)
	num(&c.Reservoir, 128)
	num(&c.Recent, 4096)
	num(&c.Fast, 1<<19)
	if c.Rate == 0 {
		c.Rate = 0.001
	}
	if c.Harm == 0 {
		c.Harm = 0.01
	}
	if c.Rule == "" {
		c.Rule = local.Backward
	}
	c.Gate = c.Gate.withDefaults()
	return c
}

// A Skill is a bank and what its owner knows of it.
type Skill struct {
	Name   string
	Author string // who taught it; empty for what was grown here
	Shared bool   // the owner lets others have it
	Events uint64 // how many events it learnt from
	Gain   float64
	Report GateReport

	bank    *model.Bank
	from    *Delta    // that it was taken in from, whose weights it shares; nil for one of our own, or from a snapshot
	samples []float32 // (n, ContextSize) reservoir of its context's evidence
	offered uint64    // samples offered to the reservoir
	until   uint64    // while Events is below, it is open whatever the context is
	solved  uint64    // Events when the gate was solved last
	opt     *gradient.RMSprop
	mean    average
	trust   float64 // as Learner.trust, of what was said under its name
	test    probation
	rest    *rest   // nil unless its weights are in the archive
	use     float64 // share of events at which it was open, of late
}

// Own reports whether the skill was grown on this device and may be written.
func (s *Skill) Own() bool { return s.Author == "" }

// memory begins the names of skills that a device grows by itself.
const memory = "memory"

// Grown reports whether the device grew the skill by itself, from what the owner gave no name. A skill
// that the owner named holds what was said under that name, and nothing else.
func (s *Skill) Grown() bool { return s.Own() && reserved(s.Name) }

// reserved reports whether a name is one that the device gives: memory, memory-2 and so on.
func reserved(name string) bool {
	rest, ok := strings.CutPrefix(name, memory)
	return ok && (rest == "" || rest[0] == '-' && len(rest) > 1 && strings.Trim(rest[1:], "0123456789") == "")
}

// infant reports whether the skill is still open whatever the context is, so that it can begin.
func (s *Skill) infant() bool { return s.Events < s.until }

// Parameters is how many numbers the skill consists of.
func (s *Skill) Parameters() int {
	if s.rest != nil {
		return s.rest.parameters
	}
	return len(s.bank.Weights)
}

// Sections is how many sections the skill consists of.
func (s *Skill) Sections() int {
	if s.rest != nil {
		return s.rest.sections
	}
	n := 0
	for _, l := range s.bank.Layers {
		if l.Sections != nil {
			n += s.bank.Sections
		}
	}
	return n
}

// A Learner is one device's mind while it lives: a base that never changes, skills that do, and the
// stream of the owner's events.
type Learner struct {
	cfg    Config
	base   *model.Model
	model  *model.Model // base with all skills
	skills []*Skill
	rng    *rand.PCG

	state     *model.State  // the stream up to pending
	live      *model.State  // the stream up to now
	start     *model.State  // the stream up to the utterance
	wrote     int           // the skill that the utterance was written to, −1 for none
	surprised float64       // surprise of the utterance so far, as far as it was learnt from
	trust     float64       // nats an event that what was learnt lately saved in what came next
	utterance []sense.Event // what came since the last Flush; the first is context only
	pending   []sense.Event // not yet learnt from; the first is context only
	counted   float64       // surprise of the pending events, as far as it was told
	recent    []sense.Event // the owner's last events

	judged    bool      // whether judgement holds
	judgement float64   // see onRecent
	evidence  []float32 // (len(recent), ContextSize) what recent events tell of their context; nil until asked for

	logits []float32 // prediction of the next event; nil at the very beginning

	fast   *fast // nil without one
	cue    cue
	before cue // the utterance
	heed   heed
	said   []opinion // the fast layer's, of the pending events
	mixer  mixer
	steps  [fastTrusts]fastWeights

	print  [32]byte // fingerprint of the base, once computed
	focus  string   // the skill that the owner named, if any
	closed int      // chunks in a row without an open skill of our own
	events uint64

	*desk
	open  [][]float32 // (skill, event) how far each gate was open in the chunk that was thought of last
	grad  *model.Bank
	aside *model.State // for thoughts beside the stream
	past  *model.State // the stream up to the chunk that is being learnt from; nil until something foreign is there

	spare    int       // events observed that no trial of a foreign skill was paid with yet
	retried  uint64    // events thought of once more in such trials
	failures []Failure // see TakeFailures
}

// ErrNoBackground is returned for a base that cannot tell contexts apart.
var ErrNoBackground = errors.New("learning: the checkpoint has no background to tell contexts from; train it with yan-train, which adds one")

// New returns a learner on a base, with no skill and at the beginning of its stream.
func New(cfg Config, base *model.Model) (*Learner, error) {
	if base.Background.Len() == 0 {
		return nil, ErrNoBackground
	}
	cfg = cfg.withDefaults(base.Config)
	if cfg.Chunk < 1 || cfg.Chunk > 4096 || cfg.Rate < 0 || cfg.Rate > 1 || cfg.Fast > maxFast || cfg.Fast&(cfg.Fast-1) != 0 && cfg.Fast > 0 {
		return nil, fmt.Errorf("learning: chunk %d, rate %v, fast layer of %d rows: out of range", cfg.Chunk, cfg.Rate, cfg.Fast)
	}
	if rules := []local.Rule{local.Backward, local.Top, local.Broadcast, local.Own}; !slices.Contains(rules, cfg.Rule) {
		return nil, fmt.Errorf("learning: rule %q: skills learn by one of %q", cfg.Rule, rules)
	}
	l := &Learner{cfg: cfg, base: base, rng: rand.NewPCG(cfg.Seed, 77), state: base.NewState(), live: base.NewState(), start: base.NewState(), aside: base.NewState(), desk: new(desk), wrote: -1, trust: firstTrust}
	if cfg.Fast > 0 {
		l.fast, l.heed = newFast(cfg.Fast), firstHeed
	}
	l.rebuild()
	return l, nil
}

// rebuild renews the view of base and skills.
func (l *Learner) rebuild() {
	l.view()
	l.judged = false
}

// view renews the model where skills have other banks that say the same.
func (l *Learner) view() {
	banks := make([]*model.Bank, len(l.skills))
	for i, s := range l.skills {
		banks[i] = l.heardBy(s)
	}
	l.model = l.base.WithBanks(banks...)
}

// Base is the base that the learner stands on.
func (l *Learner) Base() *model.Model { return l.base }

// Model is the mind as it thinks in the owner's stream now: the skill being written is open whatever the
// context is. It must not be written, and changes with what is observed next.
func (l *Learner) Model() *model.Model { return l.model }

// Settled is the mind as it would think in any other stream: every skill stands behind its gate, with the average of its
// weights. A [Reader] of it opens them by likelihood.
func (l *Learner) Settled() *model.Model {
	l.Settle()
	return l.Shown()
}

// Shown is Settled with the gates as they are: whoever asks for it changes nothing.
func (l *Learner) Shown() *model.Model {
	banks := make([]*model.Bank, len(l.skills))
	for i, s := range l.skills {
		banks[i] = s.shown(l.base.Config, l.cfg.Last)
	}
	return l.base.WithBanks(banks...)
}

// Focused is the name of the context that Focus set, empty if there is none.
func (l *Learner) Focused() string { return l.focus }

// Events is how many events were observed.
func (l *Learner) Events() uint64 { return l.events }

// Skills lists the skills in the order in which they came. The caller does not change them.
func (l *Learner) Skills() []*Skill { return l.skills }

// Skill finds a skill by its name, and by its author for one that others taught; nil if there is none.
func (l *Learner) Skill(author, name string) *Skill {
	for _, s := range l.skills {
		if s.Author == author && s.Name == name {
			return s
		}
	}
	return nil
}

// CheckName reports what is wrong with a skill's name.
func CheckName(name string) error {
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return fmt.Errorf("learning: skill name %q: 1 to 64 printable characters without spaces and slashes", name)
	}
	return nil
}

// Focus names the context of what comes next: it is learnt into the skill of this name, which is grown
// if need be and open whatever the context is. An empty name leaves it to the learner again: from then on
// the named skill opens by its gate. What is pending is learnt first. What is said under a name is a stream of its
// own (see apart).
func (l *Learner) Focus(name string) error {
	if name != "" {
		if err := CheckName(name); err != nil {
			return err
		}
		if reserved(name) {
			return fmt.Errorf("learning: skill name %q: the device gives it to what it grows by itself; choose another", name)
		}
	}
	l.Flush()
	if s := l.Skill("", l.focus); s != nil && name != l.focus {
		s.until = min(s.until, s.Events) // what follows is of another context, and not to be learnt into it
	}
	if name != l.focus {
		l.focus = name
		l.apart()
	}
	if name != "" && l.Skill("", name) == nil {
		return l.grow(name)
	}
	return nil
}

// Observe takes in one event of the owner's stream and returns how surprising it was in nats (0 for the
// first event of all). What Predict returned before was the prediction of this event.
func (l *Learner) Observe(e sense.Event) (nats float64) {
	if l.logits != nil {
		nats = surprise(l.logits, e)
	}
	l.counted += nats
	l.take(e)
	l.expect(len(l.pending) - 1)
	return nats
}

// Read takes in many events and returns the sum of their surprise in nats. It learns exactly what as
// many calls of Observe would, and costs less.
func (l *Learner) Read(in []sense.Event) (nats float64) {
	if len(l.pending)+len(in) <= l.cfg.Chunk { // no chunk gets full: what is pending was thought of before
		for _, e := range in {
			nats += l.Observe(e)
		}
		return nats
	}
	nats = -l.counted // what is pending was told before
	for _, e := range in {
		nats += l.take(e)
	}
	l.live.CopyFrom(l.state)
	l.counted = 0
	for i, e := range l.pending {
		if i > 0 {
			l.counted += surprise(l.logits, e)
		}
		l.expect(i)
	}
	return nats + l.counted
}

// expect lets the live stream go on by pending event i, and renews what is expected next.
func (l *Learner) expect(i int) {
	logits := l.step(l.live, l.pending[i])
	if l.fast != nil {
		var next opinion
		o := &next
		if i < len(l.said) {
			o = &l.said[i]
		} else {
			l.fast.think(&l.cue, o)
		}
		l.mixer.mix(l.fast, logits, o, l.heed.share())
		logits = l.mixer.mixed[:]
	}
	l.logits = append(l.logits[:0], logits...)
	heal(l.live)
	if sum := kernel.SumSquares(l.logits); sum-sum != 0 {
		clear(l.logits) // any byte, as far as this mind can tell
	}
}

// Predict returns the log-odds of the next event, nil before the first event of all. They belong to the
// learner until its next event.
func (l *Learner) Predict() []float32 { return l.logits }

// Live returns a copy of the thought that the stream has led to, for completing it aside.
func (l *Learner) Live() *model.State { return l.live.Clone() }

// surprise is −ln of the probability that logits give to e.
func surprise(logits []float32, e sense.Event) float64 {
	var p [sense.Symbols]float32
	copy(p[:], logits)
	nats := kernel.SoftmaxInPlace(p[:]) - logits[e.Byte]
	if !(nats < math.MaxFloat32) { // what is no number predicts nothing
		return portable.Log(sense.Symbols)
	}
	return float64(nats)
}

// take adds an event to what is pending and learns when a chunk is full. It returns the surprise of the
// events of that chunk.
func (l *Learner) take(e sense.Event) (nats float64) {
	l.events++
	l.hear(e)
	l.pending = append(l.pending, e)
	if len(l.utterance) <= maxUtterance+1 {
		l.utterance = append(l.utterance, e)
	}
	if len(l.pending) > l.cfg.Chunk {
		return l.learn()
	}
	return 0
}

// hear has the fast layer say what it expected of an event, and take it in. What the owner says under a name stays in the
// skill of that name.
func (l *Learner) hear(e sense.Event) {
	if l.fast == nil {
		return
	}
	if len(l.pending) > 0 {
		var o opinion
		l.fast.think(&l.cue, &o)
		if l.focus == "" {
			l.fast.hear(&l.cue, &o, e.Byte, false)
		}
		l.said = append(l.said, o)
	}
	l.cue.pass(l.fast, e.Byte, l.focus == "")
	if len(l.utterance) == 0 { // the first of all
		l.before = l.cue
	}
}

// weigh renews the fast layer's weights by n events that the model predicted, and returns how surprising they were to both
// together.
func (l *Learner) weigh(n int) (nats float64) {
	share := l.heed.share()
	var alone, full float64
	for i := range n {
		row, e := l.tape.Logits[i*sense.Symbols:(i+1)*sense.Symbols], l.pending[i+1]
		l.mixer.mix(l.fast, row, &l.said[i], share)
		nats += surprise(l.mixer.mixed[:], e)
		l.mixer.mix(l.fast, row, &l.said[i], 1)
		full += surprise(l.mixer.mixed[:], e)
		alone += surprise(row, e)
		l.mixer.learn(&l.steps, row, &l.said[i], e.Byte)
	}
	l.fast.step(&l.steps)
	if saved := alone - full; saved-saved == 0 {
		l.heed.saw(saved, n)
	}
	l.said = l.said[:0]
	return nats
}

// Flush learns from what is pending: an utterance has ended.
//
// What the owner says in so many words shall be known at once: an utterance of at most maxUtterance events is
// gone over more than once. The fast layer hears it again and again, where it listens; where it does not, because the
// owner named the skill that it belongs to, the skill rehearses it until it surprises little or Rehearse passes are done.
// A skill that did so for what the fast layer knows by heart would learn the lines and the talk not at all, and
// speak against the fast layer of all that was said alike. Nor does it for every line of a long talk, but only while
// what was learnt this way proves to be worth something: see trust.
func (l *Learner) Flush() {
	if len(l.pending) > 1 {
		l.learn()
	}
	if n := len(l.utterance) - 1; n > 0 && n <= maxUtterance {
		listens := l.fast != nil && l.focus == ""
		if l.wrote >= 0 {
			if l.judge(n); *l.trusted() > enough && !listens {
				l.rehearse(n)
				heal(l.state)
			}
		}
		if listens && l.cfg.Rehearse > 1 {
			for range fastPasses {
				l.fast.repeat(l.before, l.utterance[1:])
			}
		}
	}
	l.beginUtterance()
	if len(l.pending) > 0 {
		l.live.CopyFrom(l.state)
		l.expect(0)
	}
}

const (
	// maxUtterance is how long an utterance may be to be rehearsed; a longer one is a stream.
	maxUtterance = 512
	// known is the surprise, in nats an event, below which an utterance needs no more rehearsal.
	known = 0.1
	// firstTrust and trustShare make trust: a little at the beginning, then an average over utterances.
	firstTrust = 0.1
	trustShare = 0.3
	// enough trust, in nats an event, is what a rehearsal needs: more than reading once gives in a talk.
	enough = 0.05
	// relief is what is left of a skill's word when an utterance showed that it misleads.
	relief = 0.5
)

// judge compares how surprising the utterance was with how surprising it would have been to the base
// alone, before anything of it was learnt. Trust is the average of that; and a skill that misled has its
// W2 shrunk, for a memory that makes the next sentence harder is worse than none.
func (l *Learner) judge(n int) {
	l.aside.CopyFrom(l.start)
	l.base.Forward(l.aside, l.utterance[:n], &l.alone)
	without := gradient.CrossEntropy(l.gradients(n), l.alone.Logits, l.utterance[1:], 1)
	gain := (without - l.surprised) / float64(n)
	if gain-gain != 0 {
		return
	}
	trust := l.trusted()
	*trust += float64(trustShare * (gain - *trust))
	if gain < 0 && *trust < 0 {
		s := l.skills[l.wrote]
		soften(s.bank)
		if s.mean.bank != nil {
			soften(s.mean.bank)
		}
	}
}

// soften has a bank speak less loudly: its W2 shrink.
func soften(b *model.Bank) {
	for _, bl := range b.Layers {
		size := len(bl.Sections) / b.Sections
		for k := range b.Sections {
			if size > 0 {
				kernel.Scale(bl.Sections[k*size+size/3*2:(k+1)*size], relief)
			}
		}
	}
}

// rehearse goes over the utterance again, each time from the thought that it began with.
func (l *Learner) rehearse(n int) {
	d := l.gradients(n)
	for range l.cfg.Rehearse - 1 {
		l.state.CopyFrom(l.start)
		l.think(l.utterance[:n])
		nats := gradient.CrossEntropy(d, l.tape.Logits, l.utterance[1:], 1/float32(n))
		if nats < known*float64(n) || !l.write(l.wrote, d, l.utterance[1:], 1) {
			return // the thought just had is that of the mind as it is
		}
	}
	// The thought that the utterance leaves is that of the mind which knows it.
	l.state.CopyFrom(l.start)
	l.think(l.utterance[:n])
}

// beginUtterance begins a new one at the present state; what is pending is its context.
func (l *Learner) beginUtterance() {
	l.start.CopyFrom(l.state)
	l.utterance = append(l.utterance[:0], l.pending...)
	l.before = l.cue
	l.wrote, l.surprised = -1, 0
}

func (l *Learner) gradients(n int) []float32 {
	if cap(l.dlogits) < n*sense.Symbols {
		l.dlogits = make([]float32, max(n, l.cfg.Chunk)*sense.Symbols)
	}
	return l.dlogits[:n*sense.Symbols]
}

// learn goes once through what is pending: all of it is predicted first, and then learnt from, in the
// sections of one skill. The last event stays pending as the context of what follows.
func (l *Learner) learn() (nats float64) {
	n := len(l.pending) - 1
	l.judged, l.evidence = false, nil
	pen := l.pen()
	without, trial := l.trial(pen, n)
	l.remember()
	l.think(l.pending[:n])
	d := l.gradients(n)
	nats = gradient.CrossEntropy(d, l.tape.Logits, l.pending[1:], 1/float32(n))
	heal(l.state)
	failed := l.retry(n)
	stands := !trial || l.verdict(pen, without, nats, n)
	if !(nats < math.MaxFloat32) {
		nats = float64(n) * portable.Log(sense.Symbols)
	}
	l.surprised += nats
	if l.fast != nil {
		nats = l.weigh(n)
	}
	if pen >= 0 && stands && l.write(pen, d, l.pending[1:], min(1, float64(n)/float64(l.cfg.Chunk))) {
		l.wrote = pen
		l.sample(l.skills[pen], n)
	}
	l.watch()

	l.recent = append(l.recent, l.pending[1:]...)
	if extra := len(l.recent) - l.cfg.Recent; extra > l.cfg.Recent/4 {
		l.recent = append(l.recent[:0], l.recent[extra:]...)
	}
	l.pending[0] = l.pending[n]
	l.pending = l.pending[:1]
	l.counted = 0
	l.live.CopyFrom(l.state)
	l.used(n)
	l.expel(failed)
	l.retire()
	return nats
}

// pen chooses the skill that the coming chunk is written to, −1 for none, and opens it if it is to be
// open whatever the context is.
func (l *Learner) pen() int {
	pen := -1
	switch {
	case l.focus != "":
		pen = slices.IndexFunc(l.skills, func(s *Skill) bool { return s.Own() && s.Name == l.focus })
	default:
		pen = l.choose()
	}
	for i, s := range l.skills {
		s.bank.Gate.Force = i == pen && (s.infant() || l.focus != "")
	}
	return pen
}

// choose is pen where the owner named no context: a skill in its infancy first, then the skill of our
// own that was most open in the chunk before; and where none is open, that which claims what came.
func (l *Learner) choose() int {
	best, widest := -1, float32(0.5)
	for i, s := range l.skills {
		if !s.Grown() { // what was taught by name holds what was said under that name, and nothing else
			continue
		}
		if s.infant() {
			return i
		}
		if open := l.open; i < len(open) && len(open[i]) > 0 {
			var sum float32
			for _, v := range open[i] {
				sum += v
			}
			if mean := sum / float32(len(open[i])); mean > widest {
				best, widest = i, mean
			}
		}
	}
	if best >= 0 {
		l.closed = 0
		return best
	}
	return l.claim()
}

// grow appends an empty skill. It changes nothing until it has learnt: its W2 are zero.
func (l *Learner) grow(name string) error {
	b, err := model.NewBank(l.base.Config, name, l.cfg.Sections, l.cfg.Neurons)
	if err != nil {
		return err
	}
	seed(b, l.base.Config, l.Fingerprint())
	l.skills = append(l.skills, &Skill{Name: name, bank: b, until: uint64(l.cfg.Infancy), opt: gradient.NewRMSprop(b), trust: firstTrust, test: probation{Pace: 1}})
	l.rebuild()
	return nil
}

// spoke reports whether any section of a skill was activated in the chunk.
func (l *Learner) spoke(skill int) bool {
	for i := range l.tape.Layers {
		if l.tape.Layers[i].Banks[skill].Len() > 0 {
			return true
		}
	}
	return false
}

// write steps the sections of one skill that the chunk activated. A step that would leave a number that
// is not finite is not taken. next is what came behind each event.
// It reports whether a step was taken.
//
// A step is as long whatever the gradient is, so what a line's last few events tell counts as weight times as much.
func (l *Learner) write(pen int, dlogits []float32, next []sense.Event, weight float64) bool {
	s := l.skills[pen]
	if !l.spoke(pen) {
		return false
	}
	if l.grad == nil || len(l.grad.Weights) != len(s.bank.Weights) {
		l.grad = s.bank.Clone(l.base.Config)
		clear(l.grad.Weights)
	}
	g := &gradient.Grad{Banks: make([]*model.Bank, len(l.skills))}
	g.Banks[pen] = l.grad
	if l.cfg.Rule == local.Backward {
		l.pass.Backward(l.model, &l.tape, dlogits, g)
	} else {
		l.lens.Banks(l.cfg.Rule, &l.pass, l.model, &l.tape, next, dlogits, 1/float32(len(next)), g)
	}
	if s.opt.Step(s.bank, l.grad, pen, &l.tape, l.cfg.Rate*s.test.Pace*weight) == 0 {
		return false
	}
	if !l.cfg.Last {
		s.mean.wrote(s.bank, l.base.Config)
	}
	return true
}

// sample counts what a skill learnt from, and keeps what its context looks like: reservoir sampling
// keeps the samples spread over all of it.
func (l *Learner) sample(s *Skill, n int) {
	s.Events += uint64(n)
	dim := l.base.Config.ContextSize()
	s.offered++
	r := l.chance(s.Name, s.offered)
	sample := l.tape.Context[(n-1)*dim : n*dim]
	if have := len(s.samples) / dim; have < l.cfg.Reservoir {
		s.samples = append(s.samples, sample...)
	} else if at := r.Uint64N(s.offered); at < uint64(have) {
		copy(s.samples[int(at)*dim:(int(at)+1)*dim], sample)
	}
}

// watch ends infancies, and renews gates whenever what they were solved from has doubled.
func (l *Learner) watch() {
	for _, s := range l.skills {
		if s.Own() && !s.infant() && s.Events > 0 && s.Events >= 2*s.solved {
			l.solve(s)
		}
	}
}

// Settle solves the gates of the skills that have learnt since theirs was solved.
func (l *Learner) Settle() {
	for _, s := range l.skills {
		if s.Own() && s.Events > s.solved {
			l.solve(s)
		}
	}
}

func (l *Learner) solve(s *Skill) {
	g, rep, err := SolveGate(l.cfg.Gate, l.base.Background, s.samples, l.base.Config.ContextSize())
	if err != nil {
		return // the gate stays as it was; without samples there is nothing to solve
	}
	g.Force = s.bank.Gate.Force
	l.judged = false
	s.bank.Gate, s.Report, s.solved = g, rep, s.Events
}

// Forget removes a skill. The model is then, to the bit, what it would be without it.
func (l *Learner) Forget(author, name string) error {
	i := slices.IndexFunc(l.skills, func(s *Skill) bool { return s.Author == author && s.Name == name })
	if i < 0 {
		return fmt.Errorf("learning: no skill %q", name)
	}
	if l.skills[i].Grown() && l.fast != nil { // which was learnt from the same stream
		l.fast = newFast(l.cfg.Fast)
		for i := range l.said {
			l.said[i] = noOpinion
		}
	}
	l.remove(i)
	return nil
}

func (l *Learner) remove(i int) {
	l.skills = slices.Delete(l.skills, i, i+1)
	l.open = nil // its openings were of other skills
	l.wrote = -1
	l.rebuild()
}
