package learning

import (
	"bytes"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// What leaves a device of a skill that was taught by name is the same to the bit, whatever else the owner says: in
// his stream, under another name, before, between and behind, in how many words so ever. What is learnt from all of
// his stream is not, so the comparison can fail.
func TestNamedSkillsHoldNothingElse(t *testing.T) {
	slow(t)
	live := func(private, diary []byte) (named, memory []byte) {
		m := base.Pocket()
		l, err := New(Config{Seed: 3, Infancy: 512, Reservoir: 8, Fast: 1 << 10}, m)
		if err != nil {
			t.Fatal(err)
		}
		aside := func(part int) {
			focus(t, l, "diary")
			say(l, diary[part*len(diary)/4:(part+1)*len(diary)/4])
			focus(t, l, "")
			say(l, private[part*len(private)/4:(part+1)*len(private)/4])
		}
		shared := readings(1, 800)
		for part := range 4 {
			aside(part)
			focus(t, l, "pump")
			say(l, shared[part*200:(part+1)*200])
		}
		focus(t, l, "")
		pack := func(name string) []byte {
			d, err := l.Export(name)
			if err != nil {
				t.Fatal(err)
			}
			b, err := d.Pack(m.Config, Packing{Bits: 32}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		return pack("pump"), pack("memory")
	}
	named, memory := live(readings(2, 600), readings(3, 450))
	known := slices.Repeat(bytes.ReplaceAll(dreams()[:1000], []byte("\n\n"), []byte("\n")), 2) // which no rehearsal is worth anything for
	for i, other := range [][2][]byte{{readings(4, 600), readings(3, 450)}, {readings(2, 600), readings(5, 450)}, {readings(4, 1000), readings(5, 250)}, {known, known}} {
		n, m := live(other[0], other[1])
		if !bytes.Equal(n, named) {
			t.Errorf("owner %d: the shared skill is another one", i)
		}
		if i != 1 && bytes.Equal(m, memory) {
			t.Errorf("owner %d: what was learnt from all is not", i)
		}
	}
}

// say lets lines be heard one by one.
func say(l *Learner, text []byte) {
	for line := range bytes.Lines(text) {
		l.Read(sense.Text(line))
		l.Flush()
	}
}
