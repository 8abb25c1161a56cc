package learning

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/yanmesh/yan/model/base"
)

// lived is a learner that has seen all kinds of things: named skills, grown ones, a peer's, and an event
// that is pending still.
func lived(t testing.TB, c Config) *Learner {
	t.Helper()
	l := newLearner(t, c)
	l.Read(textOf(recipes(1, 900)))
	if _, err := l.Fold("donor", decode(t, smallDelta(t))); err != nil {
		t.Fatal(err)
	}
	focus(t, l, "named")
	l.Read(textOf(readings(1, 400)))
	l.Skill("", "named").Shared = true
	focus(t, l, "")
	l.Read(textOf(recipes(2, 333)))
	for _, e := range textOf([]byte("TAKE")) {
		l.Observe(e)
	}
	return l
}

// A learner that was written down and read back goes on as if it had never stopped, to the bit.
func TestSnapshotGoesOn(t *testing.T) {
	cfg := Config{Infancy: 600, Rate: 0.002, MaxSkills: 2, Patience: 9, Reservoir: 10, Seed: 9}
	for name, begin := range map[string]func() *Learner{
		"a learner that has lived": func() *Learner { return lived(t, cfg) },
		"one that has not begun":   func() *Learner { return newLearner(t, cfg) },
		"one amid a named skill": func() *Learner {
			l := lived(t, cfg)
			focus(t, l, "named")
			l.Read(textOf(readings(6, 50)))
			return l
		},
		"one that waits for a skill to open": func() *Learner {
			l := lived(t, cfg)
			l.Read(textOf(dreams()[:1000]))
			for at := 1000; l.closed == 0; at++ {
				l.Read(textOf(dreams()[at : at+1]))
			}
			return l
		},
		"one whose weights are averaged": func() *Learner {
			l := teach(t, cfg, "named", readings(1, 32*averageYoung+700))
			if l.Skill("", "named").mean.bank == nil {
				t.Fatal("nothing is averaged")
			}
			return l
		},
		"one that has forgotten": func() *Learner {
			l := lived(t, cfg)
			if err := l.Forget("donor", "pump"); err != nil {
				t.Fatal(err)
			}
			return l
		},
	} {
		l := begin()
		was := snapshot(t, l)
		n := newLearner(t, cfg)
		if err := n.ReadSnapshot(was); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(snapshot(t, n), was) {
			t.Errorf("%s: read and written again, it is something else", name)
		}
		if n.closed != l.closed {
			t.Errorf("%s: it has waited for %d chunks, and remembers %d", name, l.closed, n.closed)
		}
		for _, l := range []*Learner{l, n} {
			l.Read(textOf(recipes(3, 500)))
			for _, e := range textOf(readings(7, 300)) {
				l.Observe(e)
			}
			focus(t, l, "later")
			l.Read(textOf(readings(8, 200)))
			focus(t, l, "named")
			l.Read(textOf(readings(9, 200)))
			l.Flush()
			l.Settle()
		}
		if !bytes.Equal(snapshot(t, n), snapshot(t, l)) {
			t.Errorf("%s: it went on to another mind", name)
		}
		if !sameThought(l.Model(), n.Model(), readings(9, 500)) {
			t.Errorf("%s: it thinks otherwise", name)
		}
	}
}

func TestSnapshotRefused(t *testing.T) {
	cfg := small
	good := snapshot(t, lived(t, cfg))
	averaged := snapshot(t, teach(t, cfg, "old", recipes(7, 32*averageYoung+500)))
	l := teach(t, cfg, "own", recipes(7, 300))
	was := snapshot(t, l)
	for n := 0; n < len(good); n += 1 + n/40 {
		if err := l.ReadSnapshot(good[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were taken", n, len(good))
		}
	}
	m := base.Pocket().Thaw()
	m.Head.F32[0]++
	stranger, err := New(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	replaced := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) || len(old) != len(new) {
			t.Fatalf("%q cannot be replaced", old)
		}
		return bytes.ReplaceAll(good, []byte(old), []byte(new))
	}
	for name, b := range map[string][]byte{
		"of another base":      snapshot(t, stranger),
		"a skill":              smallDelta(t),
		"of another version":   replaced(`"version":"4"`, `"version":"5"`),
		"no sections":          replaced(`\"Sections\":3`, `\"Sections\":0`),
		"a section more":       replaced(`\"Sections\":3`, `\"Sections\":4`),
		"neurons of its own":   replaced(`\"Neurons\":2`, `\"Neurons\":9`),
		"samples of its own":   replaced(`\"Samples\":6`, `\"Samples\":9`),
		"without its moments":  replaced(`skill.0.moments`, `skill.0.nothing`),
		"without its weights":  replaced(`skill.1.weights`, `skill.1.nothing`),
		"a header that breaks": replaced(`{\"Base\"`, `{{\"Bas\"`),
		"ages of others":       rewrite(t, good, `\"Ages\":[`, `\"Ages\":[7,`),
		"with a tail":          append(bytes.Clone(good), 1),
		"without its average":  rewrite(t, averaged, `skill.0.mean`, `skill.0.nope`),
		"more noted than were": rewrite(t, averaged, `\"Mean\":{\"Writes\":`, `\"Mean\":{\"Writes\":7,\"was\":`),
		"of too few writes":    rewrite(t, averaged, `\"Noted\":`, `\"Noted\":9,\"was\":`),
		"of endless writes":    rewrite(t, averaged, `\"Mean\":{\"Writes\":`, `\"Mean\":{\"Writes\":9999`),
	} {
		if err := l.ReadSnapshot(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}

	// A few bytes do not make it reserve memory for what they claim.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, b := range [][]byte{
		rewrite(t, good, `\"Sections\":3,\"Neurons\":2`, `\"Sections\":4000,\"Neurons\":250`),
		rewrite(t, good, `\"Sections\":3,\"Neurons\":2`, `\"Sections\":3,\"Neurons\":2000000000`),
		rewrite(t, good, `\"Samples\":6`, `\"Samples\":90000`),
	} {
		if err := l.ReadSnapshot(b); err == nil {
			t.Error("a snapshot that claims more than it has was taken")
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 20<<20 {
		t.Errorf("%d bytes were reserved for snapshots of %d", n, len(good))
	}
	if !bytes.Equal(snapshot(t, l), was) {
		t.Error("a snapshot that was refused changed the learner")
	}
	if err := l.ReadSnapshot(good); err != nil || !bytes.Equal(snapshot(t, l), good) {
		t.Errorf("the good one: %v", err)
	}
}

// What a program before there were averages wrote is read: the average begins with what comes next.
func TestSnapshotOfBefore(t *testing.T) {
	cfg := small
	cfg.Last = true // writes what such a program wrote
	was := snapshot(t, teach(t, cfg, "own", recipes(7, 300)))
	var l *Learner
	for _, version := range []string{"3", "2", "1"} {
		before := bytes.Replace(was, []byte(`"version":"4"`), fmt.Appendf(nil, `"version":"%s"`, version), 1)
		if bytes.Equal(before, was) {
			t.Fatal("the snapshot has no version")
		}
		l = newLearner(t, small)
		if err := l.ReadSnapshot(before); err != nil {
			t.Fatal(err)
		}
		if l.fast.used != 0 {
			t.Errorf("version %s: another fast layer's rows are read", version)
		}
	}
	s := l.Skill("", "own")
	if s.mean.bank != nil || s.Events == 0 {
		t.Fatalf("an average %+v of %d events", s.mean, s.Events)
	}
	focus(t, l, "own")
	l.Read(textOf(recipes(8, 32*averageYoung+200)))
	if s.mean.bank == nil || s.mean.Noted == 0 {
		t.Errorf("nothing is averaged: %+v", s.mean)
	}
}

// A damaged snapshot is refused, or makes a learner that can go on.
func FuzzReadSnapshot(f *testing.F) {
	good := snapshot(f, lived(f, small))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(snapshot(f, newLearner(f, small)))
	f.Add(snapshot(f, teach(f, small, "old", recipes(7, 32*averageYoung+500))))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	m := base.Pocket()
	f.Fuzz(func(t *testing.T, b []byte) {
		l := &Learner{cfg: small.withDefaults(m.Config), base: m, print: printOnce(), state: m.NewState(), live: m.NewState(), desk: new(desk)}
		l.rebuild()
		if err := l.ReadSnapshot(b); err != nil {
			if l.events != 0 || len(l.skills) != 0 || len(l.pending) != 0 {
				t.Error("a snapshot that was refused changed the learner")
			}
			return
		}
		floats := 0
		for _, s := range l.skills {
			floats += len(s.bank.Weights) + len(s.samples)
		}
		if floats > len(b) {
			t.Errorf("%d bytes became %d numbers", len(b), floats)
		}
		for _, e := range textOf(readings(1, 70)) {
			l.Observe(e)
		}
		l.Flush()
	})
}
