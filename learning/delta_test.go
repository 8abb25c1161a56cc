package learning

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
)

var (
	printOnce  = sync.OnceValue(func() [32]byte { return base.Pocket().Fingerprint() })
	small      = Config{Sections: 3, Neurons: 2, Reservoir: 6, Recent: 64, Seed: 1, Rate: 0.002}
	smallDelta = func(t testing.TB) []byte { return export(t, teach(t, small, "pump", readings(1, 1500)), "pump") }
)

// What is decoded is what was encoded, up to the 16 bits of a weight and the 8 of a sample; encoding it
// again changes nothing any more.
func TestDeltaRoundTrip(t *testing.T) {
	l := teach(t, Config{Seed: 1}, "pump", readings(1, 4000))
	without, with, err := l.Measure("pump", readings(2, 1000))
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Export("pump")
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Encode(l.Base().Config)
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, b)
	if got.Name != "pump" || got.Events != d.Events || got.Gain != d.Gain || got.Base != l.Fingerprint() || got.Sections() != d.Sections() {
		t.Errorf("decoded %+v, encoded %+v", got, d)
	}
	if gain := (without.Bits - with.Bits) * math.Ln2; gain <= 0 || d.Gain != gain {
		t.Errorf("it claims a gain of %v, measured were %v", d.Gain, gain)
	}
	for i, v := range d.bank.Weights {
		if w := got.bank.Weights[i]; math.Abs(float64(v-w)) > math.Abs(float64(v))/256 {
			t.Fatalf("weight %d: %v became %v", i, v, w)
		}
	}
	for i, v := range d.samples {
		if w := got.samples[i]; math.Abs(float64(min(max(v, -4), 3.96875)-w)) > model.Int8Step/2 {
			t.Fatalf("sample number %d: %v became %v", i, v, w)
		}
	}
	again, err := got.Encode(l.Base().Config)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("encoded again it is something else, %v", err)
	}
	if full := 4 * l.Base().Parameters(); len(b) > full/2 {
		t.Errorf("a skill takes %d bytes, the model %d", len(b), full)
	}
}

// Export hands out a copy: what is learnt afterwards does not reach it.
func TestExportIsACopy(t *testing.T) {
	l := teach(t, small, "pump", readings(1, 1500))
	d, err := l.Export("pump")
	if err != nil {
		t.Fatal(err)
	}
	was, samples := sum(d.bank.Weights), sum(d.samples)
	focus(t, l, "pump")
	l.Read(textOf(readings(2, 1500)))
	if sum(d.bank.Weights) != was || sum(d.samples) != samples {
		t.Error("a skill on its way was written")
	}
	for _, name := range []string{"none", "new"} {
		if name == "new" {
			focus(t, l, name)
		}
		if _, err := l.Export(name); err == nil {
			t.Errorf("exported %q, which has learnt nothing", name)
		}
	}
	if _, _, err := l.Measure("none", readings(2, 100)); err == nil {
		t.Error("measured a skill that is not there")
	}
}

func TestDeltaCutOff(t *testing.T) {
	b := smallDelta(t)
	m := base.Pocket()
	for n := range b {
		if n > 3000 && n%97 != 0 && n != len(b)-1 {
			continue // the numbers: every byte of them is like the next
		}
		if _, err := DecodeDelta(b[:n], m.Config, printOnce()); !errors.Is(err, ErrDelta) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(b), err)
		}
	}
	if _, err := DecodeDelta(append(slices.Clone(b), 0), m.Config, printOnce()); !errors.Is(err, ErrDelta) {
		t.Errorf("with a tail: %v", err)
	}
}

// reheader rewrites what an encoded skill says of itself.
func reheader(t testing.TB, b []byte, change func(meta, skill map[string]any, tensors map[string]json.RawMessage)) []byte {
	t.Helper()
	n := binary.LittleEndian.Uint64(b)
	var head map[string]json.RawMessage
	if err := json.Unmarshal(b[8:8+n], &head); err != nil {
		t.Fatal(err)
	}
	meta, skill := map[string]any{}, map[string]any{}
	if err := json.Unmarshal(head["__metadata__"], &meta); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(meta["skill"].(string)), &skill); err != nil {
		t.Fatal(err)
	}
	change(meta, skill, head)
	js := func(v any) []byte {
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	if _, keep := meta["skill"]; keep {
		meta["skill"] = string(js(skill))
	}
	head["__metadata__"] = js(meta)
	j := js(head)
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(j))), j, b[8+n:])
}

func TestDeltaRefused(t *testing.T) {
	good := smallDelta(t)
	m := base.Pocket()
	if _, err := DecodeDelta(reheader(t, good, func(_, _ map[string]any, _ map[string]json.RawMessage) {}), m.Config, printOnce()); err != nil {
		t.Fatalf("what the test writes is not read: %v", err)
	}
	// mend encodes a skill that no honest device would.
	mend := func(change func(d *Delta)) []byte {
		d := decode(t, good)
		change(d)
		b, err := d.Encode(m.Config)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	skill := func(key string, v any) []byte {
		return reheader(t, good, func(_, skill map[string]any, _ map[string]json.RawMessage) { skill[key] = v })
	}
	meta := func(key string, v any) []byte {
		return reheader(t, good, func(meta, _ map[string]any, _ map[string]json.RawMessage) { meta[key] = v })
	}
	// Samples as 32-bit numbers can be what 8 bits cannot.
	samples := func(v float32) []byte {
		d := decode(t, good)
		d.samples[7] = v
		var buf bytes.Buffer
		f, err := model.ReadTensors(good)
		if err != nil {
			t.Fatal(err)
		}
		dim := m.Config.ContextSize()
		ts := []model.NamedTensor{{Name: "samples", Shape: []int{len(d.samples) / dim, dim}, Data: d.samples}}
		ts = append(ts, model.NamedTensor{Name: "layers.1.keys", Shape: []int{d.bank.Sections, m.Config.Width}, Data: d.bank.Layers[1].Keys},
			model.NamedTensor{Name: "layers.1.sections", Shape: []int{d.bank.Sections, 3 * d.bank.Neurons, m.Config.Width}, Data: d.bank.Layers[1].Sections})
		if err := model.WriteTensors(&buf, f.Meta, ts); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	if _, err := DecodeDelta(samples(1), m.Config, printOnce()); err != nil {
		t.Fatalf("samples of 32 bits: %v", err)
	}
	var checkpoint bytes.Buffer
	if err := m.Write(&checkpoint, true, nil); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing":              nil,
		"a model":              checkpoint.Bytes(),
		"another version":      meta("version", "2"),
		"no header":            reheader(t, good, func(meta, _ map[string]any, _ map[string]json.RawMessage) { delete(meta, "skill") }),
		"another base":         skill("base", strings.Repeat("ab", 32)),
		"no name":              skill("name", ""),
		"an endless name":      skill("name", strings.Repeat("n", 65)),
		"a name that talks":    skill("name", "ok\x1b[2J"),
		"no sections":          skill("sections", 0),
		"less than none":       skill("sections", -3),
		"sections beyond it":   skill("sections", int64(1<<40)),
		"a few too many":       skill("sections", 4),
		"neurons beyond it":    skill("neurons", int64(1<<31)),
		"an overflow":          skill("neurons", int64(1<<61)),
		"a gain of wonders":    skill("gain", 1e9),
		"a gain of text":       skill("gain", "much"),
		"events below none":    skill("events", -1),
		"a weight too large":   mend(func(d *Delta) { d.bank.Weights[5] = 65 }),
		"one too small":        mend(func(d *Delta) { d.bank.Weights[5] = -1e30 }),
		"one that is none":     mend(func(d *Delta) { d.bank.Weights[5] = float32(math.NaN()) }),
		"an infinite one":      mend(func(d *Delta) { d.bank.Weights[5] = float32(math.Inf(1)) }),
		"no samples":           mend(func(d *Delta) { d.samples = nil }),
		"too many samples":     mend(func(d *Delta) { d.samples = make([]float32, 1025*m.Config.ContextSize()) }),
		"a sample too large":   samples(5),
		"a sample beyond all":  samples(-1e30),
		"a sample that is nan": samples(float32(math.NaN())),
		"too many bytes":       make([]byte, 5<<20),
		"no tensor of keys": reheader(t, good, func(_, _ map[string]any, ts map[string]json.RawMessage) {
			ts["layers.9.keys"] = ts["layers.1.keys"]
			delete(ts, "layers.1.keys")
		}),
	} {
		if _, err := DecodeDelta(b, m.Config, printOnce()); !errors.Is(err, ErrDelta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeDelta(good, m.Config, [32]byte{1}); !errors.Is(err, ErrDelta) {
		t.Errorf("on a device with another base: %v", err)
	}
	other := m.Config
	other.Width = 128
	if _, err := DecodeDelta(good, other, printOnce()); !errors.Is(err, ErrDelta) {
		t.Errorf("on a device with a wider base: %v", err)
	}
	big := &Delta{Name: "big"}
	var err error
	if big.bank, err = model.NewBank(m.Config, "big", 400, 64); err != nil {
		t.Fatal(err)
	}
	if _, err := big.Encode(m.Config); err == nil {
		t.Error("encoded what nobody takes")
	}
}

// Whatever comes over the wire either is refused or can be folded, and then every number stays a number.
func FuzzDecodeDelta(f *testing.F) {
	good := smallDelta(f)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[:64])
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	m := base.Pocket()
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDelta(b, m.Config, printOnce())
		if err != nil {
			if !errors.Is(err, ErrDelta) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if n := 4 * (len(d.bank.Weights) + len(d.samples)); n > 4*len(b) {
			t.Errorf("%d bytes became %d", len(b), n)
		}
		again, err := d.Encode(m.Config)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if _, err := DecodeDelta(again, m.Config, printOnce()); err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
		l := &Learner{cfg: small.withDefaults(m.Config), base: m, print: printOnce(), state: m.NewState(), live: m.NewState(), desk: new(desk)}
		l.rebuild()
		if _, err := l.Fold("fuzz", d); err != nil {
			return
		}
		var tape model.Tape
		text := textOf(readings(1, 80))
		l.Model().Forward(m.NewState(), text, &tape)
		if !finiteAll(tape.Logits) || !finiteAll(tape.Open[0]) {
			t.Error("a skill that was taken in makes numbers that are none")
		}
	})
}
