package learning

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// A snapshot holds everything of a learner that its base does not: skills, second moments, samples, the
// state of the stream and what is pending. A learner restored from it goes on to the same numbers.

// snapshotVersion counts up whenever a snapshot comes to hold what a program before would lose. In version 1 there was no
// average of weights, which then begins with what comes next. Before version 3 there was another fast layer, or none: it
// begins empty. Before version 4 foreign skills were not tried again: their trials begin with what comes next.
const snapshotVersion = "4"

type snapshotHeader struct {
	Base             string
	Skills           []skillHeader
	State            []byte
	Live             []byte
	Pending          []byte
	Start            []byte // state at the beginning of the utterance
	Said             []byte // the utterance so far
	Wrote            int
	Surprised, Trust float64
	Recent           []byte
	Rand             []byte
	Focus            string
	Closed           int
	Events           uint64
	Counted          float64
	Spare            int `json:",omitempty"`
	Begun            bool
	Fast             *fastHeader `json:",omitempty"`
}

// fastHeader is the fast layer but for its tables.
type fastHeader struct {
	Rows  int
	Trust []byte
	Cue   []byte
	Begun []byte // cue before the utterance
	Said  []byte // opinions of the pending events
	Heed  float64
}

type skillHeader struct {
	Name, Author      string
	Shared            bool
	Events            uint64
	Gain              float64
	Report            GateReport
	Sections, Neurons int
	Samples           int
	Offered           uint64
	Until, Solved     uint64
	Ages              []uint32
	Gate              gateHeader
	Open              []float32 // how far it was open in the last chunk
	Test              probation
	Stood             bool        // whether the weights that stood are there
	Use               float64     `json:",omitempty"`
	Trust             *float64    `json:",omitempty"`
	Rest              *restHeader `json:",omitempty"` // where weights, moments, what stood and the average are, if not here
	Mean              average     // of the weights, which are there if it knows of any
}

type gateHeader struct {
	Force                bool
	Theta, Span, OwnBias float32
	Weight, Own          bool // whether the tensors are there
}

// WriteSnapshot writes a snapshot.
func (l *Learner) WriteSnapshot(w io.Writer) error {
	l.retire() // what a thought aside has called for is not to fill every snapshot
	h := snapshotHeader{
		Base: fmt.Sprintf("%x", l.Fingerprint()), Focus: l.focus, Closed: l.closed, Events: l.events, Counted: l.counted,
		Pending: sense.Bytes(l.pending), Recent: sense.Bytes(l.recent), Begun: l.logits != nil,
		Said: sense.Bytes(l.utterance), Wrote: l.wrote, Surprised: l.surprised, Trust: l.trust, Spare: l.spare,
	}
	var err error
	if h.State, err = l.state.MarshalBinary(); err != nil {
		return err
	}
	if h.Live, err = l.live.MarshalBinary(); err != nil {
		return err
	}
	if h.Start, err = l.start.MarshalBinary(); err != nil {
		return err
	}
	if h.Rand, err = l.rng.MarshalBinary(); err != nil {
		return err
	}
	dim := l.base.Config.ContextSize()
	var ts []model.NamedTensor
	add := func(name string, data []float32) {
		ts = append(ts, model.NamedTensor{Name: name, Shape: []int{len(data)}, Data: data})
	}
	if l.logits != nil {
		add("logits", l.logits)
	}
	if f := l.fast; f != nil {
		h.Fast = &fastHeader{Rows: len(f.rows), Trust: encode(&f.fastTrust), Cue: encode(&l.cue), Begun: encode(&l.before), Said: encode(l.said), Heed: float64(l.heed)}
		ts = append(ts, octets("fast.rows", encode(f.rows)), octets("fast.words", f.words))
	}
	for i, s := range l.skills {
		g := &s.bank.Gate
		sh := skillHeader{
			Name: s.Name, Author: s.Author, Shared: s.Shared, Events: s.Events, Gain: s.Gain, Report: s.Report,
			Sections: s.bank.Sections, Neurons: s.bank.Neurons, Samples: len(s.samples) / dim, Offered: s.offered,
			Until: s.until, Solved: s.solved, Trust: &s.trust, Test: s.test, Stood: s.test.stood != nil, Mean: s.mean,
			Gate: gateHeader{g.Force, g.Theta, g.Span, g.OwnBias, g.Weight != nil, g.Own != nil},
		}
		if i < len(l.open) {
			sh.Open = l.open[i]
		}
		p := fmt.Sprintf("skill.%d.", i)
		sh.Use = s.use
		if s.rest != nil {
			sh.Rest = s.rest.header()
		} else {
			add(p+"weights", s.bank.Weights)
		}
		add(p+"samples", s.samples)
		if s.test.stood != nil {
			add(p+"stood", s.test.stood)
		}
		if s.mean.bank != nil {
			add(p+"mean", s.mean.bank.Weights)
		}
		if s.opt != nil {
			sh.Ages = s.opt.Age
			if s.rest == nil {
				add(p+"moments", s.opt.V)
			}
		}
		if g.Weight != nil {
			add(p+"gate", g.Weight)
		}
		if g.Own != nil {
			add(p+"own", g.Own)
		}
		h.Skills = append(h.Skills, sh)
	}
	j, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("learning: snapshot: %w", err)
	}
	return model.WriteTensors(w, map[string]string{"format": "yan learner", "version": snapshotVersion, "learner": string(j)}, ts)
}

// octets are bytes as a tensor, which holds them exactly.
func octets(name string, b []byte) model.NamedTensor {
	t := model.NamedTensor{Name: name, Shape: []int{len(b)}, Data: make([]float32, len(b)), Int8: true}
	for i, x := range b {
		t.Data[i] = float32(int8(x)) * model.Int8Step
	}
	return t
}

// readOctets reads what octets wrote.
func readOctets(f *model.TensorFile, name string, n int) ([]byte, error) {
	d, b := make([]float32, n), make([]byte, n)
	err := f.Read(name, d, n)
	for i, v := range d {
		b[i] = byte(int8(v / model.Int8Step))
	}
	return b, err
}

// readFast reads the fast layer, and where the stream is in it.
func (l *Learner) readFast(t *model.TensorFile, h *fastHeader, size int) error {
	if h.Rows < 0 || h.Rows > size/rowBytes || h.Heed-h.Heed != 0 {
		return errFast
	}
	f := newFast(l.cfg.Fast)
	f.rows = make([]row, h.Rows)
	b, err := readOctets(t, "fast.rows", h.Rows*rowBytes)
	if err != nil {
		return err
	}
	if f.words, err = readOctets(t, "fast.words", wordsHeard); err != nil {
		return err
	}
	l.said = make([]opinion, max(len(l.pending)-1, 0))
	for _, part := range []struct {
		from []byte
		to   any
	}{{b, f.rows}, {h.Trust, &f.fastTrust}, {h.Cue, &l.cue}, {h.Begun, &l.before}, {h.Said, l.said}} {
		if binary.Size(part.to) != len(part.from) {
			return errFast
		}
		if _, err := binary.Decode(part.from, binary.LittleEndian, part.to); err != nil {
			return errFast
		}
	}
	for i := range f.rows {
		if f.rows[i].Key != 0 {
			f.used++
		}
	}
	for i := range l.said {
		if err := l.said[i].check(); err != nil {
			return err
		}
	}
	l.fast, l.heed = f, heed(h.Heed)
	return f.check()
}

// readMean reads the average of a skill's weights.
func (s *Skill) readMean(f *model.TensorFile, prefix string, h average, c model.Config) error {
	if h.Noted > h.Writes || h.Writes > 2*averageHorizon || h.Noted > 0 && h.Noted <= averageYoung {
		return fmt.Errorf("learning: snapshot: skill %q: an average of %d of %d writes", s.Name, h.Noted, h.Writes)
	}
	s.mean = h
	if h.Noted == 0 {
		return nil
	}
	s.mean.bank = s.bank.Clone(c)
	return f.Read(prefix+"mean", s.mean.bank.Weights, len(s.mean.bank.Weights))
}

// ReadSnapshot makes l what it was when the snapshot was written. On an error l is as it was before.
func (l *Learner) ReadSnapshot(b []byte) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("learning: snapshot: %s", fmt.Sprintf(format, a...))
	}
	f, err := model.ReadTensors(b)
	if err != nil {
		return fmt.Errorf("learning: snapshot: %w", err)
	}
	if f.Meta["format"] != "yan learner" {
		return bad("it holds %q, and not a learner", f.Meta["format"])
	}
	version := f.Meta["version"]
	if !slices.Contains([]string{"1", "2", "3", snapshotVersion}, version) {
		return bad("version %q, this program reads versions 1 to %s: update it, or take another --home", version, snapshotVersion)
	}
	var h snapshotHeader
	if err := json.Unmarshal([]byte(f.Meta["learner"]), &h); err != nil {
		return bad("header: %v", err)
	}
	if want := fmt.Sprintf("%x", l.Fingerprint()); h.Base != want {
		return bad("it was learnt on another base model (%.8s, this one is %.8s); start with that --model or another --home", h.Base, want)
	}
	n := &Learner{cfg: l.cfg, base: l.base, print: l.print, rng: new(rand.PCG), state: l.base.NewState(), live: l.base.NewState(), start: l.base.NewState(), aside: l.base.NewState(), desk: l.desk,
		focus: h.Focus, closed: h.Closed, events: h.Events, counted: h.Counted, pending: sense.Text(h.Pending), recent: sense.Text(h.Recent)}
	if err := n.state.UnmarshalBinary(h.State); err != nil {
		return err
	}
	if err := n.live.UnmarshalBinary(h.Live); err != nil {
		return err
	}
	if err := n.start.UnmarshalBinary(h.Start); err != nil {
		return err
	}
	if h.Wrote < -1 || h.Wrote >= len(h.Skills) || len(h.Said) > maxUtterance+2 {
		return bad("an utterance of %d events, written to skill %d", len(h.Said), h.Wrote)
	}
	if h.Spare < 0 || h.Spare > l.mostSpare() {
		return bad("%d events to try skills with", h.Spare)
	}
	n.spare = h.Spare
	n.wrote, n.utterance, n.surprised, n.trust = h.Wrote, sense.Text(h.Said), h.Surprised, h.Trust
	dim := l.base.Config.ContextSize()
	read := func(name string, n int) ([]float32, error) {
		d := make([]float32, n)
		return d, f.Read(name, d, n)
	}
	if l.cfg.Fast > 0 {
		n.fast, n.heed, n.said = newFast(l.cfg.Fast), firstHeed, make([]opinion, max(len(n.pending)-1, 0))
		for i := range n.said {
			n.said[i] = noOpinion
		}
		if h.Fast != nil && version != "1" && version != "2" {
			if err := n.readFast(f, h.Fast, len(b)); err != nil {
				return err
			}
		}
	}
	if h.Begun {
		if n.logits, err = read("logits", sense.Symbols); err != nil {
			return err
		}
	}
	for i, sh := range h.Skills {
		p := fmt.Sprintf("skill.%d.", i)
		if !bankFits(l.base.Config, sh.Sections, sh.Neurons, len(b)/4) || sh.Samples < 0 || sh.Samples > len(b)/4/dim {
			return bad("skill %q: %d sections of %d neurons, %d samples", sh.Name, sh.Sections, sh.Neurons, sh.Samples)
		}
		bank, err := model.NewBank(l.base.Config, sh.Name, sh.Sections, sh.Neurons)
		if err != nil {
			return err
		}
		s := &Skill{Name: sh.Name, Author: sh.Author, Shared: sh.Shared, Events: sh.Events, Gain: sh.Gain, Report: sh.Report,
			bank: bank, offered: sh.Offered, until: sh.Until, solved: sh.Solved, use: sh.Use, trust: firstTrust}
		if sh.Trust != nil { // before there was one for each skill, all had one together
			s.trust = *sh.Trust
		}
		if sh.Rest == nil {
			if err := f.Read(p+"weights", bank.Weights, len(bank.Weights)); err != nil {
				return err
			}
		}
		if s.samples, err = read(p+"samples", sh.Samples*dim); err != nil {
			return err
		}
		g := model.Gate{Force: sh.Gate.Force, Theta: sh.Gate.Theta, Span: sh.Gate.Span, OwnBias: sh.Gate.OwnBias}
		if sh.Gate.Weight {
			if g.Weight, err = read(p+"gate", dim); err != nil {
				return err
			}
		}
		if sh.Gate.Own {
			if g.Own, err = read(p+"own", dim); err != nil {
				return err
			}
		}
		bank.Gate = g
		if s.Own() {
			s.opt = gradient.NewRMSprop(bank)
			if len(sh.Ages) != len(s.opt.Age) {
				return bad("skill %q: ages of %d sections", sh.Name, len(sh.Ages))
			}
			copy(s.opt.Age, sh.Ages)
			if sh.Rest == nil {
				if err := f.Read(p+"moments", s.opt.V, len(s.opt.V)); err != nil {
					return err
				}
			}
			if s.test = sh.Test; s.test.Pace == 0 { // it was written before there were tests
				s.test.Pace = 1
			}
			if !(s.test.Pace > 0 && s.test.Pace <= 1) {
				return bad("skill %q: it learns at %v of its rate", sh.Name, s.test.Pace)
			}
			if sh.Stood {
				if s.test.stood, err = read(p+"stood", len(bank.Weights)); err != nil {
					return err
				}
			}
			if sh.Rest != nil {
				sh.Mean.bank = nil
				s.mean = sh.Mean
			} else if err := s.readMean(f, p, sh.Mean, l.base.Config); err != nil {
				return err
			}
		}
		if !s.Own() {
			s.test.Worth, s.test.Trials = sh.Test.Worth, max(sh.Test.Trials, 0)
		}
		if sh.Rest != nil {
			if err := sh.Rest.resume(s, l.cfg.Archive, l.base.Config); err != nil {
				return err
			}
		}
		n.skills = append(n.skills, s)
		n.open = append(n.open, sh.Open)
	}
	if err := n.rng.UnmarshalBinary(h.Rand); err != nil {
		return bad("its source of chance: %v", err)
	}
	n.rebuild()
	*l = *n
	l.retire()
	return nil
}
