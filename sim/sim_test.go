package sim

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
)

// lines returns about n bytes of what a user might say, whose favourite words are drawn from a seed.
func lines(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 5))
	var words []string
	for range 8 {
		w := make([]byte, 3+r.IntN(5))
		for i := range w {
			w[i] = byte('a' + r.IntN(26))
		}
		words = append(words, string(w))
	}
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "the %s saw the %s of my %s.\n", words[r.IntN(8)], words[r.IntN(8)], words[r.IntN(8)])
	}
	return b.Bytes()
}

// small returns a world of a few devices that talk for ten minutes.
func small(devices int) Options {
	o := Options{
		Base:     base.Pocket(),
		Learning: learning.Config{Sections: 2, Neurons: 4, Rehearse: 1, Recent: 256, Reservoir: 16},
		Talk:     10 * time.Minute, Updates: 2, Degree: 4, CheckEvery: 200,
	}
	for i := range devices {
		o.Devices = append(o.Devices, Device{Name: fmt.Sprintf("user-%d", i), Stream: lines(uint64(i), 1000), Held: lines(uint64(i), 400)})
	}
	return o
}

// storm makes a world as bad as it gets.
func storm(o Options) Options {
	o.Links = Links{MinDelay: 10 * time.Millisecond, MaxDelay: 3 * time.Second, Loss: 0.2, Bandwidth: 1 << 16}
	o.Faults = Faults{Crashes: 4, Down: time.Minute, Partitions: []Partition{{From: 4 * time.Minute, For: 4 * time.Minute}}}
	return o
}

// play runs a world through storm and calm.
func play(t *testing.T, seed uint64, o Options, s sabotage) (*World, string, error) {
	t.Helper()
	var b bytes.Buffer
	o = o.withDefaults()
	o.Transcript = &b
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(seed, o, s)
	if err != nil {
		t.Fatal(err)
	}
	if err = w.Run(15 * time.Minute); err == nil {
		err = w.Calm()
	}
	return w, b.String(), err
}

// However many devices run side by side, a world is the same.
func TestOneSeedIsOneTranscript(t *testing.T) {
	one, three := storm(small(6)), storm(small(6))
	one.Workers, three.Workers = 1, 3
	_, first, err := play(t, 1, one, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	_, again, err := play(t, 1, three, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if first != again {
		a, b := strings.Split(first, "\n"), strings.Split(again, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("line %d differs:\n%s\n%s", i+1, a[i], b[i])
			}
		}
		t.Fatalf("one has %d lines, the other %d", len(a), len(b))
	}
	_, other, err := play(t, 2, storm(small(6)), sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if first == other {
		t.Error("another seed is the same world")
	}
}

// After a storm with everything in it, everyone holds what everyone taught.
func TestAfterTheStormAllHoldTheSame(t *testing.T) {
	for seed := range uint64(2) {
		w, transcript, err := play(t, seed, storm(small(8)), sabotage{})
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"crashes", "is back", "is divided", "is one again", "took in", "left"} {
			if !strings.Contains(transcript, word) {
				t.Errorf("seed %d: nothing in the transcript %q", seed, word)
			}
		}
		want := w.devices[0].node.Conversation().Held()
		if len(want) != len(w.devices) {
			t.Errorf("seed %d: %d updates are held, of %d devices", seed, len(want), len(w.devices))
		}
		for _, d := range w.devices {
			if got := d.node.Conversation().Held(); !slices.Equal(got, want) {
				t.Errorf("seed %d: %s holds %v, want %v", seed, d.opt.Name, got, want)
			}
			if int(d.node.Learner().Events()) != len(d.opt.Stream) {
				t.Errorf("seed %d: %s learnt %d of %d bytes", seed, d.opt.Name, d.node.Learner().Events(), len(d.opt.Stream))
			}
		}
	}
}

// A crash takes nothing that was on disk: the mind of a device that crashed is, to the number, that of one
// which did not.
func TestACrashForgetsNothing(t *testing.T) {
	o := small(4)
	o.Devices[0].Share = node.ShareNone
	for i := range o.Devices {
		o.Devices[i].Share = node.ShareNone // no mesh, so that only the crash can differ
	}
	whole, _, err := play(t, 3, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	o.Faults.Crashes = 4
	crashed, transcript, err := play(t, 3, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(transcript, " crashes\n"); n < 3 {
		t.Fatalf("%d crashes", n)
	}
	for i, d := range crashed.devices {
		a, b := whole.devices[i].node.Learner().Settled(), d.node.Learner().Settled()
		for k := range a.Banks {
			if !slices.Equal(a.Banks[k].Weights, b.Banks[k].Weights) {
				t.Errorf("%s is another after its crash", d.opt.Name)
			}
		}
	}
}

// A device that shares nothing takes in what others teach, and gives nothing.
func TestPrivateDeviceKeepsItsSkill(t *testing.T) {
	o := small(6)
	o.Devices[2].Share = node.ShareNone
	w, transcript, err := play(t, 4, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	private := w.devices[2]
	for _, d := range w.devices {
		for _, id := range d.node.Conversation().Held() {
			if id.Author == private.id {
				t.Errorf("%s holds %v", d.opt.Name, id)
			}
		}
	}
	if strings.Contains(transcript, private.opt.Name+" announces") {
		t.Error("it announces its skill")
	}
	if n := len(private.node.Conversation().Held()); n != 5 {
		t.Errorf("it holds %d updates, want the 5 of the others", n)
	}
	if private.node.Learner().Skill("", private.opt.Name) == nil {
		t.Error("it learnt nothing")
	}
}

// Devices that share know more of everyone's words than the same devices alone, and one that hears
// everyone knows more than the untaught.
func TestMeshKnowsMoreThanAlone(t *testing.T) {
	slow(t)
	o := small(6)
	for i := range o.Devices {
		o.Devices[i].Stream = lines(uint64(i), 4000)
	}
	o.Learning.Rate = 0.005
	w, _, err := play(t, 6, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	e := Exam{Texts: 6}
	results := map[string]Result{}
	for name, sit := range map[string]func(Exam) (Result, error){"untaught": w.Untaught, "alone": w.Alone, "mesh": w.Examine, "central": w.Central} {
		r, err := sit(e)
		if err != nil {
			t.Fatal(err)
		}
		if r.Everyone.Bytes != 6*(r.Own.Bytes) {
			t.Errorf("%s: asked %d bytes of everyone's and %d of their own", name, r.Everyone.Bytes, r.Own.Bytes)
		}
		results[name] = r
	}
	if m, a := results["mesh"].Everyone, results["alone"].Everyone; !(m.Bits < a.Bits && m.Accuracy > a.Accuracy) {
		t.Errorf("in the mesh %+v, alone %+v", m, a)
	}
	for _, name := range []string{"alone", "central"} {
		if r, u := results[name].Everyone, results["untaught"].Everyone; !(r.Bits < u.Bits) {
			t.Errorf("%s %+v, untaught %+v", name, r, u)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	tests := []struct {
		change func(*Options)
		says   string
	}{
		{func(o *Options) { o.Base = nil }, "no base"},
		{func(o *Options) { o.Devices = nil }, "no devices"},
		{func(o *Options) { o.Devices[1].Name = "two words" }, "two words"},
		{func(o *Options) { o.Devices[1].Name = o.Devices[0].Name }, "two devices"},
		{func(o *Options) { o.Links.Loss = 1 }, "loss 1"},
		{func(o *Options) { o.Links.Loss = math.NaN() }, "loss NaN"},
		{func(o *Options) { o.Links = Links{MinDelay: 2, MaxDelay: 1} }, "delays"},
		{func(o *Options) { o.Faults.Crashes = -1 }, "faults"},
		{func(o *Options) { o.Faults.Partitions = []Partition{{}} }, "partition"},
		{func(o *Options) { o.Updates = -1 }, "updates"},
	}
	for _, tt := range tests {
		o := small(2)
		tt.change(&o)
		if _, err := New(1, o); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("want %q, got %v", tt.says, err)
		}
	}
}

func TestUtterances(t *testing.T) {
	text := []byte("one\ntwo\n\nthree\n" + strings.Repeat("x", 600) + "\nlast")
	us := Utterances(text)
	if got := bytes.Join(us, nil); !bytes.Equal(got, text) {
		t.Errorf("together they are %q", got)
	}
	if len(us) != 5 || string(us[0]) != "one\ntwo\n\n" {
		t.Errorf("%d utterances, the first %q", len(us), us[0])
	}
	for _, u := range us {
		if len(u) > longest {
			t.Errorf("an utterance of %d bytes", len(u))
		}
	}
	if Utterances(nil) != nil {
		t.Error("nothing is an utterance")
	}
}
