package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/sense"
)

// What always goes on alike leaves nothing open, what may go on in many ways much, and what never came all.
func TestDemandCountsWhatFollows(t *testing.T) {
	d := NewDemand([]byte("abababababaxcaxdaxeaxf"), []byte("axgaxhaxiaxj"))
	open := func(s string) float32 { return d.Open[pair(s[0], s[1])] }
	if !(open("ba") < open("ax")) {
		t.Errorf("after ba %v, after ax %v", open("ba"), open("ax"))
	}
	if open("zz") != mostDemand {
		t.Errorf("a pair that never came: %v", open("zz"))
	}
	for p, v := range d.Open {
		if !(v >= -mostDemand && v <= mostDemand) || v != float32(math.RoundToEven(float64(v)/Int8Step))*Int8Step {
			t.Fatalf("pair %x: %v", p, v)
		}
	}
	if h, n := entropyOf([]float64{1, 0, 3}); n != 4 || math.Abs(h-(0.25*math.Log(4)+0.75*math.Log(4./3))) > 1e-12 {
		t.Errorf("entropy of a quarter and the rest: %v of %v", h, n)
	}
}

// demanding is a model with a demand, and its text.
func demanding(t *testing.T, demand float32) (*Model, []sense.Event) {
	t.Helper()
	c := tinyConfig()
	c.Demand = demand
	m := testModel(t, c, 5)
	in := noise(120, 9)
	m.Demand = &Demand{Open: make([]float32, sense.Symbols*sense.Symbols)}
	for p := range m.Demand.Open {
		m.Demand.Open[p] = float32(p*7%97)/32 - mostDemand
	}
	return m, in
}

// routes is how many sections each event of a text takes, and what is predicted.
func routesOf(m *Model, in []sense.Event, cuts ...int) (n []int, logits []float32) {
	s := m.NewState()
	var t Tape
	from := 0
	for _, to := range append(cuts, len(in)) {
		m.Forward(s, in[from:to], &t)
		for p := range t.N {
			sum := 0
			for i := range t.Layers {
				sum += int(t.Layers[i].Base.Off[p+1] - t.Layers[i].Base.Off[p])
			}
			n = append(n, sum)
		}
		logits = append(logits, t.Logits...)
		from = to
		if to%2 == 1 { // a thought that was written down goes on as it would have
			b, err := s.MarshalBinary()
			if err != nil {
				panic(err)
			}
			s = m.NewState().Clone()
			if err := s.UnmarshalBinary(b); err != nil {
				panic(err)
			}
		}
	}
	return n, logits
}

// An event takes more sections where what comes is open, fewer where it is not; without a demand, or without a table, it takes
// what it took before, to the bit. How a stream is cut does not matter.
func TestDemandMovesWhatIsComputed(t *testing.T) {
	still, in := demanding(t, 0)
	n, logits := routesOf(still, in)
	m, _ := demanding(t, 0.4)
	bare := *m
	bare.Demand = nil
	if k, l := routesOf(&bare, in); !slices.Equal(n, k) || !slices.Equal(l, logits) {
		t.Error("with no table the demand changes something")
	}
	moved, predicted := routesOf(m, in)
	var more, fewer [2]int // events, and of them those that took as many or the contrary
	for p := 1; p < len(in); p++ {
		switch open := m.Demand.Open[pair(in[p-1].Byte, in[p].Byte)]; {
		case open > 0:
			more[0]++
			if moved[p] < n[p]-2 { // what came before was thought of otherwise
				more[1]++
			}
		case open < 0:
			fewer[0]++
			if moved[p] > n[p]+2 {
				fewer[1]++
			}
		}
	}
	if more[0] < 10 || fewer[0] < 10 || more[1] > more[0]/10 || fewer[1] > fewer[0]/10 || slices.Equal(n, moved) {
		t.Errorf("of %d open events %d took less, of %d that are not %d took more", more[0], more[1], fewer[0], fewer[1])
	}
	k, l := routesOf(m, in, 1, 2, 33, 60, 61)
	if !slices.Equal(k, moved) {
		t.Error("cut in parts, a stream takes other sections")
	}
	near(t, "logits of a stream in parts", l, predicted)
}

// A demand is kept in a checkpoint and in the fingerprint; models without keep the fingerprint that they had before there
// were demands.
func TestDemandIsKept(t *testing.T) {
	m, _ := demanding(t, 0.4)
	var b bytes.Buffer
	if err := m.Write(&b, false, nil); err != nil {
		t.Fatal(err)
	}
	got, err := Load(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got.Config != m.Config || !slices.Equal(got.Demand.Open, m.Demand.Open) || got.Fingerprint() != m.Fingerprint() {
		t.Error("the model that was read is not the one that was written")
	}
	if !slices.Equal(got.Thaw().Demand.Open, m.Demand.Open) {
		t.Error("thawed, a model has lost its demand")
	}
	other := *m
	other.Demand = NewDemand([]byte("another text"))
	if other.Fingerprint() == m.Fingerprint() {
		t.Error("two demands have one fingerprint")
	}

	still, _ := demanding(t, 0)
	h := sha256.New()
	fmt.Fprintf(h, "yan model v1\n{Width:%d Layers:%d Channels:%d Sections:%d Neurons:%d KeyRank:%d Active:%d MaxActive:%d Alpha:%v Plain:%v MixOut:%v ContextLayer:%d}\n",
		still.Config.Width, still.Config.Layers, still.Config.Channels, still.Config.Sections, still.Config.Neurons, still.Config.KeyRank,
		still.Config.Active, still.Config.MaxActive, still.Config.Alpha, still.Config.Plain, still.Config.MixOut, still.Config.ContextLayer)
	if err := binary.Write(h, binary.LittleEndian, still.Weights); err != nil {
		t.Fatal(err)
	}
	if still.Fingerprint() != [32]byte(h.Sum(nil)) {
		t.Error("a model without a demand has another fingerprint than before there were any")
	}
}
