package learning

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// A shelf is an archive in memory that counts what is asked of it.
type shelf struct {
	blobs     map[[32]byte][]byte
	put, read int
	full      bool
}

var errFull = errors.New("the disk is full")

func (s *shelf) PutBlob(b []byte) ([32]byte, error) {
	if s.full {
		return [32]byte{}, errFull
	}
	d := sha256.Sum256(b)
	if s.blobs == nil {
		s.blobs = map[[32]byte][]byte{}
	}
	s.blobs[d] = bytes.Clone(b)
	s.put++
	return d, nil
}

func (s *shelf) Blob(d [32]byte) ([]byte, error) {
	s.read++
	b, ok := s.blobs[d]
	if !ok {
		return nil, errors.New("no such blob")
	}
	return bytes.Clone(b), nil
}

// resters are two learners that differ in how much memory their skills may take, taught three skills.
func resters(t *testing.T, memory int64) (free, bound *Learner, s *shelf) {
	t.Helper()
	s = &shelf{}
	cfg := Config{Seed: 3, Infancy: 512, Rehearse: 1}
	free = newLearner(t, cfg)
	cfg.Memory, cfg.Archive = memory, s
	bound = newLearner(t, cfg)
	for _, l := range []*Learner{free, bound} {
		focus(t, l, "pump")
		l.Read(sense.Text(readings(1, 3000)))
		focus(t, l, "kitchen")
		l.Read(sense.Text(recipes(1, 3000)))
		focus(t, l, "")
		l.Read(sense.Text(dreams()[:1500]))
	}
	return free, bound, s
}

// full is a snapshot with every skill in it.
func full(t *testing.T, l *Learner) []byte {
	t.Helper()
	memory := l.cfg.Memory
	l.cfg.Memory = 0
	for _, s := range l.skills {
		if err := s.wake(); err != nil {
			t.Fatal(err)
		}
	}
	b := snapshot(t, l)
	l.cfg.Memory = memory
	return b
}

// With so little memory that hardly a skill has room a mind says and learns, to the bit, what it does with all the memory of the world: skills
// rest that are not needed, and come back when their context does, restarts or not.
func TestRestingChangesNothing(t *testing.T) {
	one := newLearner(t, Config{})
	focus(t, one, "x")
	free, bound, s := resters(t, 3*one.SkillBytes()/2)
	if free.SkillBytes() <= bound.cfg.Memory {
		t.Fatalf("the skills take %d bytes, less than the %d there are: the test sees nothing", free.SkillBytes(), bound.cfg.Memory)
	}
	rests := func(name string) bool { return bound.Skill("", name).Resting() }
	if !rests("pump") || bound.SkillBytes() > bound.cfg.Memory || len(bound.Resting()) == 0 || s.put == 0 {
		t.Fatalf("%d bytes of %d, %d resting: nothing has retired", bound.SkillBytes(), bound.cfg.Memory, len(bound.Resting()))
	}
	if n, m := bound.Skill("", "pump"), free.Skill("", "pump"); n.Parameters() != m.Parameters() || n.Sections() != m.Sections() {
		t.Errorf("resting it has %d parameters in %d sections, want %d in %d", n.Parameters(), n.Sections(), m.Parameters(), m.Sections())
	}
	restart := func() {
		t.Helper()
		b, before := snapshot(t, bound), bound.SkillBytes()
		again := newLearner(t, bound.cfg)
		if err := again.ReadSnapshot(b); err != nil {
			t.Fatal(err)
		}
		bound = again
		if bound.SkillBytes() > before {
			t.Errorf("begun again its skills take %d bytes, and %d before", bound.SkillBytes(), before)
		}
	}
	restart()
	if !rests("pump") {
		t.Error("after a restart nothing rests")
	}
	back := false
	for i, text := range [][]byte{dreams()[1500:2500], readings(5, 1500), recipes(5, 1500), readings(6, 1200), dreams()[3000:4000]} {
		read := s.read
		for chunk := range slices.Chunk(text, 100) {
			if a, b := free.Read(sense.Text(chunk)), bound.Read(sense.Text(chunk)); a != b {
				t.Fatalf("text %d cost %v without a limit and %v with one", i, a, b)
			}
			back = back || i == 1 && !rests("pump")
		}
		free.Flush()
		bound.Flush()
		if i == 1 && s.read == read {
			t.Error("the skill's text came, and it was not read back")
		}
		restart()
	}
	if !back {
		t.Error("the skill never came back")
	}
	if !sameThought(free.Settled(), bound.Settled(), slices.Concat(readings(9, 800), recipes(9, 800))) {
		t.Error("settled, they do not say the same")
	}
	if !bytes.Equal(export(t, free, "pump"), export(t, bound, "pump")) {
		t.Error("a skill that rested is exported as another")
	}
	a, b := full(t, free), full(t, bound)
	for _, name := range []string{"pump", "kitchen"} {
		p, q := free.Skill("", name), bound.Skill("", name)
		if sum(p.bank.Weights) != sum(q.bank.Weights) || sum(p.opt.V) != sum(q.opt.V) {
			t.Errorf("%s has other weights or moments", name)
		}
	}
	if !bytes.Equal(a, b) {
		t.Error("the minds are not the same, to the bit")
	}
}

// What others taught rests as well, what is forgotten needs nothing any more, and what does harm is undone as ever.
func TestForeignSkillsRest(t *testing.T) {
	s := &shelf{}
	l := newLearner(t, Config{Memory: 1, Archive: s})
	d := decode(t, export(t, teach(t, Config{}, "pump", readings(1, 4000)), "pump"))
	if _, err := l.Fold("them", d); err != nil {
		t.Fatal(err)
	}
	skill := l.Skill("them", "pump")
	if !skill.Resting() || l.SkillBytes() != 0 || len(d.bank.Weights) == 0 {
		t.Fatalf("%d bytes are in memory, %d in the delta", l.SkillBytes(), len(d.bank.Weights))
	}
	l.Read(sense.Text(readings(2, 1500)))
	if skill.Resting() || l.SkillBytes() == 0 {
		t.Error("in its context it does not come back")
	}
	l.Read(sense.Text(dreams()[:3000]))
	if !skill.Resting() {
		t.Error("out of its context it stays in memory")
	}
	digest := skill.rest.digest
	if !slices.Contains(l.Resting(), digest) {
		t.Error("nobody is told that the archive is needed")
	}
	if err := l.Forget("them", "pump"); err != nil || slices.Contains(l.Resting(), digest) {
		t.Errorf("forgotten, it is still needed: %v", err)
	}
}

// Where the archive takes nothing skills stay in memory, and where it has lost one that skill is silent, says why, and is not made another.
func TestArchiveFails(t *testing.T) {
	s := &shelf{full: true}
	l := newLearner(t, Config{Memory: 1, Archive: s})
	d := decode(t, export(t, teach(t, Config{}, "pump", readings(1, 4000)), "pump"))
	if _, err := l.Fold("them", d); err != nil {
		t.Fatal(err)
	}
	skill := l.Skill("them", "pump")
	if skill.Resting() || l.SkillBytes() == 0 {
		t.Fatal("a skill was thrown away")
	}
	s.full = false
	l.Read(sense.Text(dreams()[:200]))
	if !skill.Resting() {
		t.Fatal("the archive was not tried again")
	}
	before := snapshot(t, l)
	kept := s.blobs
	for name, blobs := range map[string]map[[32]byte][]byte{
		"gone": {}, "no file": {skill.rest.digest: []byte("x")}, "cut": {skill.rest.digest: kept[skill.rest.digest][:5000]},
	} {
		s.blobs = blobs
		l := newLearner(t, l.cfg)
		if err := l.ReadSnapshot(before); err != nil {
			t.Fatal(err)
		}
		alone := newLearner(t, Config{})
		l.Read(sense.Text(readings(2, 1000)))
		alone.Read(sense.Text(readings(2, 1000)))
		lost := l.Skill("them", "pump")
		if lost.Lost() == nil || !lost.Resting() || l.Resting()[0] != skill.rest.digest {
			t.Errorf("%s: it is not told: %v", name, lost.Lost())
		}
		if _, err := l.Export("pump"); err == nil {
			t.Errorf("%s: it was exported", name)
		}
		b := snapshot(t, l)
		s.blobs = kept
		again := newLearner(t, l.cfg)
		if err := again.ReadSnapshot(b); err != nil {
			t.Fatal(err)
		}
		if again.Read(sense.Text(readings(3, 1500))); again.Skill("them", "pump").Resting() || again.Skill("them", "pump").Lost() != nil {
			t.Errorf("%s: found again, it stays silent", name)
		}
	}
	without := l.cfg
	without.Archive = nil
	if err := newLearner(t, without).ReadSnapshot(before); err == nil {
		t.Error("a skill that rests was taken without an archive")
	}
	for _, swap := range [][2]string{{`\"Digest\":\"`, `\"Digest\":\"zz`}, {`\"Digest\":\"`, `\"Digest\":\"00`}} {
		if err := newLearner(t, l.cfg).ReadSnapshot(rewrite(t, before, swap[0], swap[1])); err == nil {
			t.Errorf("with %s for a digest it was taken", swap[1])
		}
	}
}

// A bank that rests is called for when its gate opens, and not before.
func TestWake(t *testing.T) {
	m := base.Pocket()
	b, err := model.NewBank(m.Config, "x", 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	called := 0
	away := &model.Bank{Name: "x", Sections: 2, Neurons: 4, Layers: make([]model.BankLayer, m.Config.Layers)}
	away.Wake = func(to *model.Bank) {
		called++
		to.Wake, to.Weights, to.Layers = nil, b.Weights, b.Layers
	}
	two := m.WithBanks(away)
	var tape model.Tape
	two.Forward(two.NewState(), sense.Text(readings(1, 100)), &tape)
	if called != 0 {
		t.Error("a bank that is shut was called for")
	}
	away.Gate.Force = true
	two.Forward(two.NewState(), sense.Text(readings(1, 100)), &tape)
	if called != 1 || tape.Layers[1].Banks[0].Len() == 0 {
		t.Errorf("open, it was called for %d times", called)
	}
}
