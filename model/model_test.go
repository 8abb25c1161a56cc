package model

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/sense"
)

// A new bank, and one whose gate is shut, change nothing to the bit; neither does taking one out again.
func TestBankThatIsSilentChangesNothing(t *testing.T) {
	m := testModel(t, tinyConfig(), 6)
	in := noise(40, 6)
	var plain, with Tape
	m.Forward(m.NewState(), in, &plain)
	want := slices.Clone(plain.Logits)
	fresh, _ := NewBank(m.Config, "fresh", 4, 4)
	fresh.Gate.Force = true // open, but all W2 are zero
	r := rand.New(rand.NewPCG(6, 6))
	for i, l := range fresh.Layers {
		if (l.Sections == nil) != (i < m.Config.ContextLayer) {
			t.Fatalf("layer %d: bank sections %v", i, l.Sections != nil)
		}
		for s := range len(l.Sections) / (12 * 32) {
			for j := range 8 * 32 { // W1 and W3
				l.Sections[s*12*32+j] = float32(r.NormFloat64())
			}
		}
	}
	loud, _ := NewBank(m.Config, "loud", 4, 4)
	for i := range loud.Weights {
		loud.Weights[i] = float32(r.NormFloat64())
	}
	m.WithBanks(fresh, loud).Forward(m.NewState(), in, &with)
	if !slices.Equal(want, with.Logits) {
		t.Error("silent banks changed the model")
	}
	loud.Gate.Force = true
	m.WithBanks(fresh, loud).Forward(m.NewState(), in, &with)
	if slices.Equal(want, with.Logits) {
		t.Error("a loud bank changed nothing: the test sees nothing")
	}
	m.WithBanks().Forward(m.NewState(), in, &with)
	if !slices.Equal(want, with.Logits) {
		t.Error("the model without banks is not what it was")
	}
}

// What opens a bank depends on the base alone, whatever other banks say.
func TestEvidenceDependsOnTheBaseAlone(t *testing.T) {
	m := testModel(t, tinyConfig(), 7)
	in := noise(40, 7)
	var a, b Tape
	m.Forward(m.NewState(), in, &a)
	loud, _ := NewBank(m.Config, "loud", 4, 4)
	for i := range loud.Weights {
		loud.Weights[i] = 0.3
	}
	loud.Gate.Force = true
	m.WithBanks(loud).Forward(m.NewState(), in, &b)
	if !slices.Equal(a.Context, b.Context) {
		t.Error("a bank moved the evidence")
	}
}

// Banks that are open at once share what the widest would have.
func TestOpenBanksShare(t *testing.T) {
	m := testModel(t, tinyConfig(), 8)
	dim := m.Config.ContextSize()
	one := func(name string, bias float32) *Bank {
		b, _ := NewBank(m.Config, name, 4, 4)
		b.Gate = Gate{Weight: make([]float32, dim), Theta: -1, Span: 1, Own: make([]float32, dim), OwnBias: bias}
		return b
	}
	var tape Tape
	m.WithBanks(one("a", 0), one("b", 0), one("c", -100)).Forward(m.NewState(), noise(40, 8), &tape)
	for p := range gateAge {
		if tape.Open[0][p] != 0 {
			t.Errorf("event %d: open %v on so little evidence", p, tape.Open[0][p])
		}
	}
	for p := gateAge; p < 40; p++ {
		if math.Abs(float64(tape.Open[0][p]-0.5)) > 1e-6 || math.Abs(float64(tape.Open[1][p]-0.5)) > 1e-6 || tape.Open[2][p] > 1e-6 {
			t.Errorf("event %d: open %v %v %v, want ½ ½ 0", p, tape.Open[0][p], tape.Open[1][p], tape.Open[2][p])
		}
	}

	named := one("d", -100)
	named.Gate.Force = true
	m.WithBanks(one("a", 0), named).Forward(m.NewState(), noise(40, 8), &tape)
	for p := gateAge; p < 40; p++ {
		if math.Abs(float64(tape.Open[1][p]-0.5)) > 1e-6 {
			t.Errorf("event %d: a bank whose context was named is open %v, want ½", p, tape.Open[1][p])
		}
	}
}

func TestSparsemax(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 200 {
		z := make([]float32, 1+r.IntN(40))
		for i := range z {
			z[i] = float32(r.NormFloat64() * 3)
		}
		tau := sparsemax(z)
		var sum float64
		for _, v := range z {
			sum += float64(max(v-tau, 0))
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Fatalf("sparsemax of %v sums to %v", z, sum)
		}
	}
}

// The budget keeps the strongest gates, and equals in order.
func TestBudget(t *testing.T) {
	var r Routes
	r.begin(1)
	r.threshold([]float32{1, 5, 2, 5, 3, 0}, 0.5, 3)
	if !slices.Equal(r.Sec, []int32{1, 3, 4}) {
		t.Errorf("routes %v, want the three strongest", r.Sec)
	}
	r.begin(1)
	r.threshold([]float32{1, 1, 1}, 0, 2)
	if !slices.Equal(r.Sec, []int32{0, 1}) {
		t.Errorf("routes %v, want the first two of equals", r.Sec)
	}
}

func checkpointBytes(t *testing.T, bf16 bool) (*Model, []byte) {
	t.Helper()
	m := testModel(t, tinyConfig(), 10)
	dim := m.Config.ContextSize()
	m.Background = &Background{Samples: make([]float32, 3*dim), Group: []int32{0, 1, 1}}
	for i := range m.Background.Samples {
		m.Background.Samples[i] = float32(i%7-3) * Int8Step
	}
	var b bytes.Buffer
	if err := m.Write(&b, bf16, map[string]string{"data": "noise"}); err != nil {
		t.Fatal(err)
	}
	return m, b.Bytes()
}

func TestCheckpointRoundTrip(t *testing.T) {
	m, b := checkpointBytes(t, false)
	got, err := Load(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint() != m.Fingerprint() || !slices.Equal(got.Thaw().Weights, m.Weights) {
		t.Error("the model that was read is not the one that was written")
	}
	if !slices.Equal(got.Background.Samples, m.Background.Samples) || !slices.Equal(got.Background.Group, m.Background.Group) {
		t.Error("the background that was read is not the one that was written")
	}
	_, half := checkpointBytes(t, true)
	got, err = Load(half)
	if err != nil {
		t.Fatal(err)
	}
	rounded := got.Thaw().Weights
	for i, v := range m.Weights {
		if w := rounded[i]; math.Abs(float64(v-w)) > math.Abs(float64(v))/256 {
			t.Fatalf("weight %d: %v, with 16 bits %v", i, v, w)
		}
	}
	if got.Fingerprint() == m.Fingerprint() {
		t.Error("rounded weights have the fingerprint of the exact ones")
	}
}

// A file that was cut, padded, altered or never was a checkpoint is refused with one error.
func TestCheckpointRefusesWhatIsNotOne(t *testing.T) {
	_, b := checkpointBytes(t, false)
	cases := map[string][]byte{
		"empty":        {},
		"text":         []byte("First Citizen: before we proceed any further, hear me speak"),
		"header alone": b[:100],
		"cut":          b[:len(b)-1],
		"tail":         append(slices.Clone(b), 0),
		"huge header":  append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, b[8:]...),
		"other format": bytes.Replace(b, []byte(`"format":"yan"`), []byte(`"format":"gpt"`), 1),
		"other shape":  bytes.Replace(b, []byte(`\"sections\":12`), []byte(`\"sections\":13`), 1),
		"huge shape":   bytes.Replace(b, []byte(`\"layers\":3`), []byte(`\"layers\":9`), 1),
		"NaN":          append(slices.Clone(b[:len(b)-4]), 0, 0, 0xc0, 0x7f),
	}
	for name, bad := range cases {
		if bytes.Equal(bad, b) {
			t.Errorf("%s: the case is the whole checkpoint", name)
		}
		if m, err := Load(bad); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: model %v, error %v", name, m != nil, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	m, _ := New(Config{Width: 16, Layers: 1, Channels: 1, Sections: 1, Neurons: 1, KeyRank: 1, Active: 1})
	var b bytes.Buffer
	if err := m.Write(&b, true, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	m.Config.Demand, m.Demand = 0.5, NewDemand([]byte("who asks more, and of whom"))
	var demanding bytes.Buffer
	if err := m.Write(&demanding, true, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(demanding.Bytes())
	f.Add([]byte("\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":{}}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Load(b)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := m.Write(&again, false, nil); err != nil {
			t.Fatal(err)
		}
		n, err := Load(again.Bytes())
		if err != nil || n.Fingerprint() != m.Fingerprint() {
			t.Fatalf("loaded once, but not again: %v", err)
		}
	})
}

// A state survives being written down, and one of another shape or with rubbish in it is refused.
func TestStateRoundTrip(t *testing.T) {
	m := testModel(t, tinyConfig(), 11)
	s := m.NewState()
	var tape Tape
	m.Forward(s, noise(33, 11), &tape)
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	r := m.NewState()
	if err := r.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	a, c := slices.Clone(m.Step(s, sense.Event{Byte: 'x'})), m.Step(r, sense.Event{Byte: 'x'})
	if !slices.Equal(a, c) {
		t.Error("the restored thought goes on differently")
	}
	if err := r.UnmarshalBinary(b[1:]); !errors.Is(err, ErrShape) {
		t.Errorf("a state that is too short: %v", err)
	}
	copy(b[20:], []byte{0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f})
	if err := r.UnmarshalBinary(b); err == nil {
		t.Error("a state with NaN in it was taken")
	}
	if d := s.Clone(); d.Events != s.Events || !slices.Equal(d.data, s.data) || &d.data[0] == &s.data[0] {
		t.Error("a clone differs or shares")
	}
}

// Layers that share their buffers compute the same.
func TestLeanTapeComputesTheSame(t *testing.T) {
	c := tinyConfig()
	c.ContextLayer = c.Layers - 1
	m := testModel(t, c, 7)
	in := noise(70, 7)
	a, b := Tape{}, Tape{Lean: true}
	sa, sb := m.NewState(), m.NewState()
	for _, n := range []int{1, 40, 70} {
		m.Forward(sa, in[:n], &a)
		m.Forward(sb, in[:n], &b)
		if !slices.Equal(a.Logits, b.Logits) || !slices.Equal(a.Context, b.Context) || !slices.Equal(sa.data, sb.data) {
			t.Fatalf("%d events: a lean tape has other outputs", n)
		}
		for i := range a.Layers {
			if !slices.Equal(a.Layers[i].Base.Sec, b.Layers[i].Base.Sec) || !slices.Equal(a.Layers[i].Base.Off, b.Layers[i].Base.Off) {
				t.Fatalf("%d events: layer %d of a lean tape has other routes", n, i)
			}
		}
	}
	if &b.Layers[0].U[0] != &b.Layers[1].U[0] {
		t.Error("the layers of a lean tape have buffers of their own")
	}
}

// Weights of 16 bits give the outputs of the same weights as float32, to the rounding of sums: their products are exact
// in float32.
func TestHalfComputesWhatFloat32Does(t *testing.T) {
	m := shaped(t, Config{Width: 64, Layers: 3, Channels: 2, Sections: 40, Neurons: 8, KeyRank: 16, Active: 4, Alpha: 0.5, ContextLayer: 1}, true)
	wide := m.Thaw()
	if m.Head.F32 != nil || wide.Head.F32 == nil {
		t.Fatal("the two models have the same form")
	}
	in := prose[:300]
	for _, chunk := range []int{1, 7, 100} {
		var a, b Tape
		sa, sb := m.NewState(), wide.NewState()
		var worst, size float64
		for at := 0; at+chunk <= len(in); at += chunk {
			m.Forward(sa, in[at:at+chunk], &a)
			wide.Forward(sb, in[at:at+chunk], &b)
			for i, v := range a.Logits {
				worst = max(worst, math.Abs(float64(v-b.Logits[i])))
				size = max(size, math.Abs(float64(v)))
			}
		}
		if worst > 1e-4*size {
			t.Errorf("chunks of %d: logits differ by %g, they reach %g", chunk, worst, size)
		}
	}
}
