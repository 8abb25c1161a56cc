package learning

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// An Archive keeps bytes by the SHA-256 of their content. A store on disk is one.
type Archive interface {
	PutBlob(b []byte) ([32]byte, error)
	Blob(digest [32]byte) ([]byte, error)
}

// A rest is what stands for a skill's weights while they are in the archive. Its gate and samples stay with the skill, so that it is
// known when it is needed: it is back before anything is computed with it, and nobody can tell from what a mind says that
// it was away.
type rest struct {
	archive    Archive
	digest     [32]byte
	config     model.Config
	own        bool  // whether it has second moments
	stood      bool  // whether weights that stood are there
	mean       bool  // whether an average is there
	sections   int   // in all
	parameters int   // the same
	lost       error // why it could not be had back
}

// Resting reports whether the skill's weights are in the archive and not in memory.
func (s *Skill) Resting() bool { return s.rest != nil }

// Lost is why the weights of a skill could not be had back from the archive; nil as long as nothing is wrong. The skill is silent
// until a learner that is begun anew finds them.
func (s *Skill) Lost() error {
	if s.rest == nil {
		return nil
	}
	return s.rest.lost
}

// Bytes is what of the skill would leave memory if it rested.
func (s *Skill) Bytes() int64 {
	n := len(s.bank.Weights) + len(s.test.stood)
	if s.opt != nil {
		n += len(s.opt.V)
	}
	if s.mean.bank != nil {
		n += len(s.mean.bank.Weights)
	}
	return 4 * int64(n)
}

// SkillBytes is what the weights of all skills take of memory now.
func (l *Learner) SkillBytes() (n int64) {
	for _, s := range l.skills {
		n += s.Bytes()
	}
	return n
}

// Memory is what skills may take of memory, in bytes; 0 for as much as they need.
func (l *Learner) Memory() int64 { return l.cfg.Memory }

// Resting lists the digests of what is needed from the archive.
func (l *Learner) Resting() (digests [][32]byte) {
	for _, s := range l.skills {
		if s.rest != nil {
			digests = append(digests, s.rest.digest)
		}
	}
	return digests
}

// names of the parts of a skill that rests.
const (
	partWeights = "weights"
	partMoments = "moments"
	partStood   = "stood"
	partMean    = "mean"
)

// putAway moves a skill's weights to the archive. On an error all stays as it is.
func (l *Learner) putAway(s *Skill) error {
	r := &rest{
		archive: l.cfg.Archive, config: l.base.Config, own: s.opt != nil, stood: s.test.stood != nil, mean: s.mean.bank != nil,
		sections: s.Sections(), parameters: s.Parameters(),
	}
	var ts []model.NamedTensor
	add := func(name string, data []float32) {
		ts = append(ts, model.NamedTensor{Name: name, Shape: []int{len(data)}, Data: data})
	}
	add(partWeights, s.bank.Weights)
	if r.own {
		add(partMoments, s.opt.V)
	}
	if r.stood {
		add(partStood, s.test.stood)
	}
	if r.mean {
		add(partMean, s.mean.bank.Weights)
	}
	var b bytes.Buffer
	if err := model.WriteTensors(&b, map[string]string{"format": "yan resting skill"}, ts); err != nil {
		return err
	}
	var err error
	if r.digest, err = r.archive.PutBlob(b.Bytes()); err != nil {
		return fmt.Errorf("learning: skill %s cannot be put away: %w", s.Name, err)
	}
	s.lie(r)
	l.view()
	return nil
}

// lie leaves the skill without weights: whoever needs them calls its bank's Wake. What was handed out before keeps its own.
func (s *Skill) lie(r *rest) {
	s.rest = r
	b := *s.bank
	b.Weights, b.Layers = nil, make([]model.BankLayer, r.config.Layers)
	b.Wake = func(*model.Bank) { _ = s.wake() } // what went wrong is told by Lost
	s.bank = &b
	s.test.stood, s.mean.bank = nil, nil
	if s.opt != nil {
		s.opt.V = nil
	}
}

// wake gives a skill its weights back, if they are away.
func (s *Skill) wake() error {
	r := s.rest
	if r == nil {
		return nil
	}
	f, err := r.open()
	if err != nil {
		s.bank.Wake, r.lost = nil, fmt.Errorf("learning: skill %s cannot be had back: %w", s.Name, err)
		return r.lost
	}
	bank, err := f.bank(s, partWeights)
	if err == nil && r.own {
		s.opt.V = kernel.Aligned(len(bank.Weights))
		err = f.Read(partMoments, s.opt.V, len(s.opt.V))
	}
	if err == nil && r.stood {
		s.test.stood = make([]float32, len(bank.Weights))
		err = f.Read(partStood, s.test.stood, len(bank.Weights))
	}
	if err == nil && r.mean {
		s.mean.bank, err = f.bank(s, partMean)
	}
	if err != nil {
		s.lie(r)
		s.bank.Wake, r.lost = nil, fmt.Errorf("learning: skill %s cannot be had back: %w", s.Name, err)
		return r.lost
	}
	s.rest = nil
	s.bank.Weights, s.bank.Layers, s.bank.Wake = bank.Weights, bank.Layers, nil
	return nil
}

// resting is the file of a skill that rests.
type resting struct {
	*model.TensorFile
	config model.Config
}

var errNotResting = errors.New("it holds no resting skill")

func (r *rest) open() (resting, error) {
	b, err := r.archive.Blob(r.digest)
	if err != nil {
		return resting{}, err
	}
	f, err := model.ReadTensors(b)
	if err != nil {
		return resting{}, err
	}
	if f.Meta["format"] != "yan resting skill" {
		return resting{}, errNotResting
	}
	return resting{f, r.config}, nil
}

// bank reads one part as a bank of the skill's shape, with its gate.
func (f resting) bank(s *Skill, part string) (*model.Bank, error) {
	b, err := model.NewBank(f.config, s.bank.Name, s.bank.Sections, s.bank.Neurons)
	if err != nil {
		return nil, err
	}
	b.Gate = s.bank.Gate
	return b, f.Read(part, b.Weights, len(b.Weights))
}

// shownResting is shown for a skill that rests: its weights come when the gate opens.
func (s *Skill) shownResting(last bool) *model.Bank {
	b, r := *s.bank, s.rest
	b.Gate.Force = false
	part := partWeights
	switch t := &s.test; {
	case t.Undone == 0 || t.Stands:
		if !last && r.mean {
			part = partMean
		}
	case !r.stood:
		b.Gate = model.Gate{}
	default:
		part = partStood
	}
	b.Wake = func(to *model.Bank) {
		to.Wake = nil
		f, err := r.open()
		if err == nil {
			var from *model.Bank
			if from, err = f.bank(s, part); err == nil {
				to.Weights, to.Layers = from.Weights, from.Layers
			}
		}
		if err != nil {
			r.lost = fmt.Errorf("learning: skill %s cannot be had back: %w", s.Name, err)
		}
	}
	return &b
}

// A restHeader is what a snapshot holds of a skill that rests.
type restHeader struct {
	Digest                    string
	Stood, Mean               bool
	SectionsInAll, Parameters int
}

func (r *rest) header() *restHeader {
	return &restHeader{hex.EncodeToString(r.digest[:]), r.stood, r.mean, r.sections, r.parameters}
}

// resume makes a skill that was read from a snapshot rest as it did.
func (h *restHeader) resume(s *Skill, a Archive, c model.Config) error {
	digest, err := hex.DecodeString(h.Digest)
	switch {
	case a == nil:
		return fmt.Errorf("learning: snapshot: skill %q rests in an archive, and there is none", s.Name)
	case err != nil || len(digest) != 32:
		return fmt.Errorf("learning: snapshot: skill %q rests under %q, which is no digest", s.Name, h.Digest)
	}
	r := &rest{archive: a, digest: [32]byte(digest), config: c, own: s.opt != nil, stood: h.Stood, mean: h.Mean}
	r.sections, r.parameters = s.Sections(), s.Parameters()
	s.lie(r)
	return nil
}
