package learning

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// readings is an invented context that the base has never met: what a pumping station writes down.
func readings(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < size {
		valve := []string{"K7", "K9", "M2"}[r.IntN(3)]
		state := []string{"OPEN", "SHUT", "HALF"}[r.IntN(3)]
		fmt.Fprintf(&b, "<%02d|%s> flow=%d.%d;state=%s;;ok\r\n", r.IntN(24), valve, r.IntN(90), r.IntN(10), state)
	}
	return b.Bytes()[:size]
}

// recipes is another one: shouted, and unlike the first.
func recipes(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	pick := func(words string) string { w := strings.Fields(words); return w[r.IntN(len(w))] }
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "TAKE %s %s OF %s! %s THEM FOR %s MINUTES!\n", pick("TWO FIVE NINE"), pick("CUPS SPOONS POUNDS"),
			pick("QUINCES OXTAILS PRAWNS ZUCCHINI"), pick("FRY BOIL GRILL"), pick("SIX TEN FORTY"))
	}
	return b.Bytes()[:size]
}

// dream is text of the base's own kind: what it says when nobody stops it.
func dream(m *model.Model, seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	s := m.NewState()
	var logits []float32
	for _, e := range sense.Text([]byte("\n\n = The river = \n\n The river rises in the hills and was first crossed by a bridge in the 18th century . ")) {
		logits = m.Step(s, e)
	}
	text := make([]byte, 0, size)
	for len(text) < size {
		for i := range logits {
			logits[i] /= 0.8 // a little more sure of itself, so that it does not lose the thread
		}
		b := draw(r, logits)
		text = append(text, b)
		logits = m.Step(s, sense.Text([]byte{b})[0])
	}
	return text
}

// draw picks a byte by its probability.
func draw(r *rand.Rand, logits []float32) byte {
	top := float32(math.Inf(-1))
	for _, v := range logits {
		top = max(top, v)
	}
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v - top))
	}
	at := r.Float64() * sum
	for i, v := range logits {
		if at -= math.Exp(float64(v - top)); at < 0 {
			return byte(i)
		}
	}
	return byte(len(logits) - 1)
}

// dreams are made once: they are the slowest texts to come by.
var dreams = sync.OnceValue(func() []byte { return dream(base.Pocket(), 5, 24000) })

// gates are solved once for all tests that solve the same.
var gates GateCache

func newLearner(t testing.TB, cfg Config) *Learner {
	t.Helper()
	if cfg.Gate.Cache == nil {
		cfg.Gate.Cache = &gates
	}
	l, err := New(cfg, base.Pocket())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// teach has a new learner read text into a skill of that name.
func teach(t testing.TB, cfg Config, name string, text []byte) *Learner {
	t.Helper()
	l := newLearner(t, cfg)
	focus(t, l, name)
	l.Read(sense.Text(text))
	focus(t, l, "")
	return l
}

func focus(t testing.TB, l *Learner, name string) {
	t.Helper()
	if err := l.Focus(name); err != nil {
		t.Fatal(err)
	}
}

// snapshot is all that a learner is, as bytes.
func snapshot(t testing.TB, l *Learner) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// export encodes a skill, and decode what was encoded.
func export(t testing.TB, l *Learner, name string) []byte {
	t.Helper()
	d, err := l.Export(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Encode(l.Base().Config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, b []byte) *Delta {
	t.Helper()
	m := base.Pocket()
	d, err := DecodeDelta(b, m.Config, m.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sum tells weights apart to the bit.
func sum(w []float32) uint64 {
	h := fnv.New64a()
	for _, v := range w {
		b := math.Float32bits(v)
		h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
	}
	return h.Sum64()
}

// bits is how surprising text is to m, in bits a byte.
func bits(m *model.Model, text []byte) float64 { return Evaluate(m, text, nil).Bits }

// sameThought reports whether two models say the same about text, to the bit.
func sameThought(a, b *model.Model, text []byte) bool {
	sa, sb := a.NewState(), b.NewState()
	var ta, tb model.Tape
	for len(text) > 0 {
		n := min(len(text), 100)
		a.Forward(sa, sense.Text(text[:n]), &ta)
		b.Forward(sb, sense.Text(text[:n]), &tb)
		if sum(ta.Logits) != sum(tb.Logits) {
			return false
		}
		text = text[n:]
	}
	return true
}

// rewrite replaces text in the header of a tensor file, whose length is told anew.
func rewrite(t testing.TB, b []byte, old, new string) []byte {
	t.Helper()
	n := binary.LittleEndian.Uint64(b)
	head := bytes.ReplaceAll(b[8:8+n], []byte(old), []byte(new))
	if bytes.Equal(head, b[8:8+n]) {
		t.Fatalf("nothing in the header is %q", old)
	}
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head, b[8+n:])
}

func finiteAll(w []float32) bool {
	for _, v := range w {
		if v-v != 0 {
			return false
		}
	}
	return true
}
