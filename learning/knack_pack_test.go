package learning

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/model"
)

// shownKnack is a knack that was shown something, of classes or of controls.
func shownKnack(t testing.TB, seed uint64, inputs, features, n int, controls bool) *Knack {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 5))
	k, err := NewKnack(KnackConfig{Name: "shapes", Inputs: inputs, Features: features, Controls: controls})
	if err != nil {
		t.Fatal(err)
	}
	x, labels := blobs(r, n, inputs, 1+r.IntN(4))
	if controls {
		u := make([]float32, 2*n)
		for i := range u {
			u[i] = float32(r.Float64()*2 - 1)
		}
		err = k.Follow(x, []string{"a", "b"}, u)
	} else {
		err = k.Show(x, labels)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// disagreement is by how much two read-outs differ at most, about what neither was shown.
func disagreement(a, b *Readout, r *rand.Rand) (most float64) {
	const n = 20
	x := make([]float32, n*a.head.cfg.Inputs)
	for i := range x {
		x[i] = 2*r.Float32() - 1
	}
	one, two := make([]float32, n*len(a.classes)), make([]float32, n*len(b.classes))
	a.Scores(one, x)
	b.Scores(two, x)
	for i := range one {
		most = max(most, math.Abs(float64(one[i]-two[i])))
	}
	return most
}

// The sums of classes travel exactly, and those of controls so that who has them does the same; of the second moments what is lost is little beside the ridge, and what arrives is second moments of something:
// every lesson can be solved, by itself and without the one that it came from.
func TestLessonCarriesTheSums(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 6))
		n := 1 + r.IntN(80)
		if seed%4 == 0 {
			n = 1 + int(seed/4)
		}
		k := shownKnack(t, seed, 1+r.IntN(30), 1+r.IntN(150), n, seed%3 == 0)
		body, err := k.Lesson()
		if err != nil {
			t.Fatal(err)
		}
		l, err := DecodeLesson(body)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		from, to := k.own.sums(k.names), l.head()
		for _, class := range from.Classes() {
			a, b := from.classes[class], to.classes[class]
			if b == nil || a.count != b.count || !from.cfg.Controls && !slices.Equal(a.sum, b.sum) {
				t.Fatalf("seed %d: class %s arrives with other sums", seed, class)
			}
		}
		if l.Examples() != int64(n) || len(to.classes) != len(from.classes) {
			t.Fatalf("seed %d: %d examples of %d, %q of %q", seed, l.Examples(), n, to.Classes(), from.Classes())
		}
		read, err := to.Solve()
		if err != nil {
			t.Errorf("seed %d, %d examples: %v", seed, n, err)
		}
		if from.cfg.Controls {
			if d := disagreement(k.solved(), read, r); d > 0.02 {
				t.Errorf("seed %d, %d examples: who learns from the lesson alone does something else, by %.4f", seed, n, d)
			}
		}
		var off float64
		for i, v := range from.moments {
			d := float64(v-to.moments[i]) / knackUnit
			off += d * d / float64(len(from.moments))
		}
		if ridge := from.ridge(); !from.cfg.Controls && math.Sqrt(off) > 2.5*ridge+float64(2*roundingSlack(from.width())) {
			t.Errorf("seed %d, %d examples: the second moments are off by %.0f, the ridge is %.0f", seed, n, math.Sqrt(off), ridge)
		}
		// What is rounded is no more than what the diagonal gets against it (Gershgorin).
		width := to.width()
		between, rounded := make([]float64, width), make([]float64, width)
		for i := range width {
			l.between(between[i:], i)
			for j := i; j < width; j++ {
				said := between[j]
				for row := range slices.Chunk(l.rows, width) {
					said += float64(l.step*l.step) * float64(row[i]) * float64(row[j])
				}
				d := float64(to.moments[triangle(i, width)+j-i])/knackUnit - said
				if j == i {
					rounded[i] -= d
					continue
				}
				rounded[i] += math.Abs(d)
				rounded[j] += math.Abs(d)
			}
		}
		if worst := slices.Max(rounded); worst > 1e-6 {
			t.Fatalf("seed %d: rounded by %v more than the diagonal has", seed, worst)
		}
		again, err := l.encode()
		if err != nil || !bytes.Equal(again, body) {
			t.Errorf("seed %d: written again it is something else, %v", seed, err)
		}
	}
}

// A lesson is far smaller than the sums that it stands for, and answers as well.
func TestLessonIsSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	const inputs, features = 60, 256
	x, labels := blobs(r, 3000, inputs, 6)
	k, far := newKnack(t, KnackConfig{Inputs: inputs, Features: features}), newKnack(t, KnackConfig{Inputs: inputs, Features: features})
	if err := k.Show(x[:100*inputs], labels[:100]); err != nil {
		t.Fatal(err)
	}
	lesson := lessonOf(t, k)
	body := lesson.body
	if _, err := far.Fold("k", lesson); err != nil {
		t.Fatal(err)
	}
	var exact []byte
	for _, v := range k.own.sums(nil).moments {
		exact = binary.AppendVarint(exact, v/knackUnit)
	}
	exact = encoder().EncodeAll(exact, nil)
	if len(body) > len(exact)/4 {
		t.Errorf("%d bytes; the second moments alone take %d", len(body), len(exact))
	}
	here, there := k.right(x[100*inputs:], labels[100:]), far.right(x[100*inputs:], labels[100:])
	if there < here-0.01 {
		t.Errorf("%.3f are right here, and %.3f where the lesson was heard", here, there)
	}
	t.Logf("%d bytes, %d of exact moments; %.3f and %.3f right", len(body), len(exact), here, there)
}

// Nobody takes a lesson for a delta or the other way round.
func TestLessonIsNoDelta(t *testing.T) {
	body := lessonOf(t, shownKnack(t, 1, 3, 8, 5, false)).body
	if !IsLesson(body) || IsLesson([]byte(packedMagic)) || IsLesson([]byte(campsMagic)) || IsLesson(nil) {
		t.Error("a lesson is not told from a delta")
	}
	if _, err := DecodeDelta(body, model.Config{}, [32]byte{}); err == nil {
		t.Error("a lesson was read as a delta")
	}
	if _, err := DecodeLesson([]byte(packedMagic + strings.Repeat("x", 100))); err == nil {
		t.Error("a delta was read as a lesson")
	}
}

// hostile changes a lesson before it is written.
func hostile(t *testing.T, change func(*Lesson)) []byte {
	t.Helper()
	k := newKnack(t, KnackConfig{Inputs: 3, Features: 8})
	if err := k.Show([]float32{1, 0, 0, 0, 1, 0, 0.5, 0, 0.5, 1, 1, 1}, []string{"a", "b", "b", "a"}); err != nil {
		t.Fatal(err)
	}
	l, err := newLesson("shapes", k.own.sums(nil))
	if err != nil {
		t.Fatal(err)
	}
	change(l)
	return l.bytes()
}

func TestLessonRefuses(t *testing.T) {
	good := hostile(t, func(*Lesson) {})
	if _, err := DecodeLesson(good); err != nil {
		t.Fatal(err)
	}
	zero := make([]byte, 1<<22)
	for name, body := range map[string][]byte{
		"nothing": nil, "its beginning": []byte(knackMagic), "half of it": good[:len(good)/2], "something behind it": append(slices.Clone(good), 0),
		"a bomb":                     encoder().EncodeAll(append(zero, zero...), []byte(knackMagic)),
		"many zeros":                 encoder().EncodeAll(zero, []byte(knackMagic)),
		"another version":            encoder().EncodeAll([]byte{2, 0}, []byte(knackMagic)),
		"too many features":          encoder().EncodeAll(binary.AppendUvarint([]byte{1, 0, 1, 'a', 1}, maxKnackFeatures+1), []byte(knackMagic)),
		"no examples":                hostile(t, func(l *Lesson) { l.groups[0].count = 0; clear(l.groups[0].sum) }),
		"no classes":                 hostile(t, func(l *Lesson) { l.groups = nil }),
		"classes out of order":       hostile(t, func(l *Lesson) { slices.Reverse(l.groups) }),
		"a class twice":              hostile(t, func(l *Lesson) { l.groups = append(l.groups, l.groups...) }),
		"a label of two lines":       hostile(t, func(l *Lesson) { l.groups[0].label = "\n" }),
		"sums of more examples":      hostile(t, func(l *Lesson) { l.groups[0].sum[2] = headFull*l.groups[0].count + 1 }),
		"more examples than there":   hostile(t, func(l *Lesson) { l.groups[0].count = maxLessonCount + 1 }),
		"second moments of more":     hostile(t, func(l *Lesson) { l.rows[3] = maxLessonRow }),
		"no step":                    hostile(t, func(l *Lesson) { l.step = 0 }),
		"a step too large":           hostile(t, func(l *Lesson) { l.step = 1 << 19; l.rows[0] = 1 }),
		"half a row":                 hostile(t, func(l *Lesson) { l.rows = l.rows[:len(l.rows)-1] }),
		"no name":                    hostile(t, func(l *Lesson) { l.name = "" }),
		"a number written at length": encoder().EncodeAll([]byte{0x81, 0}, []byte(knackMagic)),
	} {
		if _, err := DecodeLesson(body); err == nil {
			t.Errorf("%s: it was read", name)
		} else if !strings.Contains(err.Error(), ErrDelta.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever the bytes are, what is read can be written again to the same, added up and solved.
func FuzzLesson(f *testing.F) {
	for seed := range uint64(4) {
		k := shownKnack(f, seed, 3, 6, 4, seed%2 == 1)
		b, err := k.Lesson()
		if err != nil {
			f.Fatal(err)
		}
		content, err := decoder().DecodeAll(b[len(knackMagic):], nil)
		if err == nil {
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		l, err := DecodeLesson(encoder().EncodeAll(content, []byte(knackMagic)))
		if err != nil || l.cfg.Features > 64 {
			return
		}
		b, err := l.encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := decoder().DecodeAll(b[len(knackMagic):], nil)
		if err != nil || !bytes.Equal(again, content) {
			t.Fatalf("written again it is something else: %v", err)
		}
		if _, err := l.head().Solve(); err != nil {
			t.Fatalf("%d examples, step %d: %v", l.Examples(), l.step, err)
		}
	})
}
