package learning

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/yanmesh/yan/model"
)

// A Delta is a skill on its way to another device: the change it makes to a base that both have, section
// by section, the samples that its gate is solved from, and its evidence. It travels packed (see Pack). Tensor files with 16 bits a
// weight and 8 bits a sample, which were before, are still read.
type Delta struct {
	Name   string
	Base   [32]byte // fingerprint of the base it stands on
	Events uint64   // how many events it was learnt from
	Gain   float64  // nats an event that it saved its author on events of its own

	bank    *model.Bank
	samples []float32
	digest  [32]byte // of the bytes that it was unpacked from

	// Of what was merged:
	members []int    // who is in this camp, by their places among those who count
	more    []*Delta // the other camps
}

// Sections is how many sections the delta consists of.
func (d *Delta) Sections() int {
	n := (&Skill{bank: d.bank}).Sections()
	for _, x := range d.more {
		n += x.Sections()
	}
	return n
}

type deltaHeader struct {
	Name     string  `json:"name"`
	Base     string  `json:"base"`
	Sections int     `json:"sections"`
	Neurons  int     `json:"neurons"`
	Events   uint64  `json:"events"`
	Gain     float64 `json:"gain"`
}

// Limits of what is taken in from another device.
const (
	maxDelta       = 4 << 20 // bytes
	maxDeltaWeight = 64      // no honest weight is larger
	maxSamples     = 1024
	maxSample      = 128 * model.Int8Step // Encode clamps them so
)

// ErrDelta is returned for bytes that are no skill, or none for this base.
var ErrDelta = errors.New("learning: not a usable skill")

// Encode returns the delta as a tensor file, which devices read that know of nothing else.
func (d *Delta) Encode(c model.Config) ([]byte, error) {
	if len(d.more) > 0 {
		return nil, fmt.Errorf("learning: skill %s: a tensor file holds one bank, and it has %d", d.Name, 1+len(d.more))
	}
	dim := c.ContextSize()
	head, err := json.Marshal(d.header())
	if err != nil {
		return nil, fmt.Errorf("learning: skill %s: %w", d.Name, err)
	}
	ts := []model.NamedTensor{{Name: "samples", Shape: []int{len(d.samples) / dim, dim}, Data: d.samples, Int8: true}}
	for i, l := range d.bank.Layers {
		if l.Sections == nil {
			continue
		}
		s := d.bank.Sections
		ts = append(ts,
			model.NamedTensor{Name: fmt.Sprintf("layers.%d.keys", i), Shape: []int{s, c.Width}, Data: l.Keys, BF16: true},
			model.NamedTensor{Name: fmt.Sprintf("layers.%d.sections", i), Shape: []int{s, 3 * d.bank.Neurons, c.Width}, Data: l.Sections, BF16: true})
	}
	var b bytes.Buffer
	if err := model.WriteTensors(&b, map[string]string{"format": "yan skill", "version": "1", "skill": string(head)}, ts); err != nil {
		return nil, err
	}
	if b.Len() > maxDelta {
		return nil, fmt.Errorf("learning: skill %s: %d bytes, more than the %d that others take", d.Name, b.Len(), maxDelta)
	}
	return b.Bytes(), nil
}

// DecodeDelta parses what Encode wrote, or what Pack wrote of a whole delta, for a base of shape c and this fingerprint. It trusts
// nothing.
func DecodeDelta(b []byte, c model.Config, base [32]byte) (*Delta, error) {
	bad := func(format string, a ...any) (*Delta, error) {
		return nil, fmt.Errorf("%w: %s", ErrDelta, fmt.Sprintf(format, a...))
	}
	if len(b) > maxDelta {
		return bad("%d bytes, more than %d", len(b), maxDelta)
	}
	if bytes.HasPrefix(b, []byte(packedMagic)) || bytes.HasPrefix(b, []byte(campsMagic)) {
		return Unpack(b, c, base, nil)
	}
	f, err := model.ReadTensors(b)
	if err != nil {
		return bad("%v", err)
	}
	var h deltaHeader
	if f.Meta["format"] != "yan skill" || f.Meta["version"] != "1" {
		return bad("format %q, version %q", f.Meta["format"], f.Meta["version"])
	}
	if err := json.Unmarshal([]byte(f.Meta["skill"]), &h); err != nil {
		return bad("its header: %v", err)
	}
	if err := h.check(base); err != nil {
		return bad("%v", err)
	}
	if !bankFits(c, h.Sections, h.Neurons, len(b)/2) {
		return bad("%d sections of %d neurons do not fit %d bytes", h.Sections, h.Neurons, len(b))
	}
	d := &Delta{Name: h.Name, Base: base, Events: h.Events, Gain: h.Gain}
	if d.bank, err = model.NewBank(c, h.Name, h.Sections, h.Neurons); err != nil {
		return bad("%v", err)
	}
	shape := f.Shape("samples")
	if len(shape) != 2 || shape[0] < 1 || shape[0] > maxSamples || shape[1] != c.ContextSize() {
		return bad("samples of shape %v", shape)
	}
	d.samples = make([]float32, shape[0]*shape[1])
	if err := f.Read("samples", d.samples, shape...); err != nil {
		return bad("%v", err)
	}
	for i, v := range d.samples {
		if v > maxSample || v < -maxSample {
			return bad("sample number %d is %v", i, v)
		}
	}
	for i, l := range d.bank.Layers {
		if l.Sections == nil {
			continue
		}
		if err := f.Read(fmt.Sprintf("layers.%d.keys", i), l.Keys, h.Sections, c.Width); err != nil {
			return bad("%v", err)
		}
		if err := f.Read(fmt.Sprintf("layers.%d.sections", i), l.Sections, h.Sections, 3*h.Neurons, c.Width); err != nil {
			return bad("%v", err)
		}
	}
	if err := checkWeights(d.bank.Weights); err != nil {
		return nil, err
	}
	return d, nil
}

// check is what a delta of any format has to say of itself on a device with this base.
func (h *deltaHeader) check(base [32]byte) error {
	if err := CheckName(h.Name); err != nil {
		return err
	}
	if h.Base != hex.EncodeToString(base[:]) {
		return fmt.Errorf("it stands on another base model (%.8s, this device has %x)", h.Base, base[:4])
	}
	if h.Gain-h.Gain != 0 || math.Abs(h.Gain) > 10 {
		return fmt.Errorf("it claims a gain of %v", h.Gain)
	}
	return nil
}

// checkWeights refuses what no honest device sends, and what is no number.
func checkWeights(w []float32) error {
	for i, v := range w {
		if !(v <= maxDeltaWeight && v >= -maxDeltaWeight) {
			return fmt.Errorf("%w: weight %d is %v", ErrDelta, i, v)
		}
	}
	return nil
}

// bankFits reports whether a bank of so many sections and neurons can be, and has at most most numbers.
func bankFits(c model.Config, sections, neurons, most int) bool {
	const maxNeurons = 256 // as package model has it; with it, no factor below overflows
	return sections > 0 && neurons > 0 && neurons <= maxNeurons && sections <= most/c.BankSize(1, neurons)
}

// Export returns one of our own skills as a delta. The learner goes on without touching it. It settles the mind; on an error nothing
// has changed.
func (l *Learner) Export(name string) (*Delta, error) {
	s := l.Skill("", name)
	if s == nil {
		return nil, fmt.Errorf("learning: no skill %q to export", name)
	}
	if len(s.samples) == 0 {
		return nil, fmt.Errorf("learning: skill %q has learnt nothing yet", name)
	}
	if err := s.wake(); err != nil {
		return nil, err
	}
	if s.test.Undone > 0 && !s.test.Stands && s.test.stood == nil {
		return nil, fmt.Errorf("learning: skill %q did harm and has not shown yet that it does not", name)
	}
	l.Settle() // last: whoever is given nothing has no reason to write down that gates were solved
	return &Delta{
		Name: name, Base: l.Fingerprint(), Events: s.Events, Gain: s.Gain,
		bank: s.shown(l.base.Config, l.cfg.Last).Clone(l.base.Config), samples: slices.Clone(s.samples),
	}, nil
}

// Fingerprint names the base.
func (l *Learner) Fingerprint() [32]byte {
	if l.print == [32]byte{} {
		l.print = l.base.Fingerprint()
	}
	return l.print
}

// ErrHarm is returned by Fold for a skill that made own recent events more surprising; it was undone.
var ErrHarm = errors.New("learning: the skill does harm here")

// Fold takes in a skill that author taught, in the place of an earlier one of the same author and name.
// Its gate is solved anew from its samples. It is tried on this owner's own recent events: where it makes
// them more surprising than the earlier one did, or than they are with neither, it is undone, the error is ErrHarm and the gain negative. The gain is in nats an
// event of those events, and mostly zero, since they seldom are of the skill's context.
func (l *Learner) Fold(author string, d *Delta) (gain float64, err error) {
	if author == "" {
		return 0, errors.New("learning: fold: a foreign skill needs an author")
	}
	s, err := l.foreign(author, d)
	if err != nil {
		return 0, err
	}
	s.succeed(l.Skill(author, d.Name))
	return l.amend(s)
}

// foreign makes a skill of what somebody else taught.
func (l *Learner) foreign(author string, d *Delta) (*Skill, error) {
	if d.Base != l.Fingerprint() {
		return nil, fmt.Errorf("%w: it stands on another base model", ErrDelta)
	}
	gate, rep, err := SolveGate(l.cfg.Gate, l.base.Background, d.samples, l.base.Config.ContextSize())
	if err != nil {
		return nil, err
	}
	b := *d.bank // its weights are shared with others who take in the same, and never written
	b.Gate = gate
	return &Skill{
		Name: d.Name, Author: author, Events: d.Events, Gain: d.Gain, Report: rep,
		bank: &b, samples: d.samples, solved: d.Events, from: d,
	}, nil
}

// try puts new skills in the place of old ones, and all back if own recent events become more surprising.
func (l *Learner) try(skills []*Skill, old func(*Skill) bool) (gain float64, err error) {
	before := l.onRecent()
	was := l.present()
	gone := l.replace(skills, old)
	silent := true
	for _, s := range append(gone, skills...) {
		silent = silent && !l.opensOnRecent(&s.bank.Gate)
	}
	if silent { // a bank that is shut changes nothing
		l.judged, l.judgement = true, before
		l.retire()
		return 0, nil
	}
	after := l.onRecent()
	gain = before - after
	if !(gain >= -l.cfg.Harm) {
		l.back(was)
		l.judged, l.judgement = true, before
		return gain, ErrHarm
	}
	l.retire()
	return gain, nil
}

// amend is try for an author's new version: it is also compared with having none of his. An earlier version may have come when there was
// nothing to try it on, and beside one that does harm another does none.
func (l *Learner) amend(s *Skill) (gain float64, err error) {
	of := func(o *Skill) bool { return o.Author == s.Author && o.Name == s.Name }
	if i := slices.IndexFunc(l.skills, of); i < 0 || !l.opensOnRecent(&l.skills[i].bank.Gate) {
		return l.try([]*Skill{s}, of) // there is none, or it says nothing
	}
	before := l.onRecent()
	was := l.present()
	l.replace(nil, of)
	without := l.onRecent()
	if !(without-before >= -l.cfg.Harm) { // what was there does harm, and does not come back
		return l.try([]*Skill{s}, of)
	}
	l.back(was)
	l.judged, l.judgement = true, before
	if gain, err = l.try([]*Skill{s}, of); err != nil {
		return gain, err
	}
	if after := l.onRecent(); !(without-after >= -l.cfg.Harm) {
		l.back(was)
		l.judged, l.judgement = true, before
		return without - after, ErrHarm
	}
	return gain, nil
}

// A present is which skills there are, and what goes by their order.
type present struct {
	skills []*Skill
	open   [][]float32
	wrote  int
}

func (l *Learner) present() present {
	return present{slices.Clone(l.skills), slices.Clone(l.open), l.wrote}
}

func (l *Learner) back(p present) {
	l.skills, l.open, l.wrote = p.skills, p.open, p.wrote
	l.rebuild()
}

// replace puts skills where the first of those is that they replace, or at the end, and returns those that are gone.
func (l *Learner) replace(skills []*Skill, old func(*Skill) bool) (gone []*Skill) {
	next := present{wrote: l.wrote}
	for i, o := range l.skills {
		if !old(o) {
			next.skills = append(next.skills, o)
			if i < len(l.open) {
				next.open = append(next.open, l.open[i])
			}
			continue
		}
		if gone = append(gone, o); len(gone) > 1 {
			next.move(i, l.wrote, -1)
			continue
		}
		next.skills = append(next.skills, skills...)
		next.move(i, l.wrote, len(skills)-1) // none may come
		if i < len(l.open) {
			next.open = append(next.open, make([][]float32, len(skills))...) // no event has met them
		}
	}
	if len(gone) == 0 {
		next.skills = append(next.skills, skills...)
	}
	l.back(next)
	return gone
}

// move tells that by more skills stand before the one that was written, if place i is.
func (p *present) move(i, wrote, by int) {
	if i < wrote {
		p.wrote += by
	}
}

// onRecent is the mean surprise of own recent events, with every skill behind its gate. Many skills may
// come between two events of the owner, so it is kept until something changes it.
func (l *Learner) onRecent() float64 {
	if len(l.recent) < 64 {
		return 0
	}
	m := l.Settled()
	if !l.judged {
		warm := min(256, len(l.recent)/2) // read, but not judged by: at first no evidence tells where we are
		l.judged, l.judgement = true, evaluate(m, l.recent, warm, nil).Bits*math.Ln2
	}
	return l.judgement
}

// opensOnRecent reports whether a gate opens anywhere in own recent events.
func (l *Learner) opensOnRecent(g *model.Gate) bool {
	dim := l.base.Config.ContextSize()
	if l.evidence == nil {
		t := model.Tape{ContextOnly: true}
		state := l.base.NewState()
		for part := range slices.Chunk(l.recent, 256) {
			l.base.Forward(state, part, &t)
			l.evidence = append(l.evidence, t.Context[:t.N*dim]...)
		}
	}
	for e := range slices.Chunk(l.evidence, dim) {
		if g.Opens(e) {
			return true
		}
	}
	return false
}

// Measure records what a skill of our own is worth: nats an event that it saves on held-out events of
// its context. It goes into what Export tells of it.
func (l *Learner) Measure(name string, held []byte) (without, with Evaluation, err error) {
	s := l.Skill("", name)
	if s == nil {
		return without, with, fmt.Errorf("learning: no skill %q", name)
	}
	m := l.Settled()
	with = Evaluate(m, held, nil)
	var others []*model.Bank
	for i, o := range l.skills {
		if o != s {
			others = append(others, m.Banks[i])
		}
	}
	without = Evaluate(l.base.WithBanks(others...), held, nil)
	s.Gain = (without.Bits - with.Bits) * math.Ln2
	return without, with, nil
}
