package sim

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/kernel"
)

// What another processor makes of a world. Two files of .ci/run's: one run writes the transcript, the others, emulated, compare theirs.
var (
	transcriptTo   = flag.String("transcript-to", "", "where TestTranscriptOfAnotherProcessor writes its transcript, and ends")
	transcriptFrom = flag.String("transcript-from", "", "the transcript that it compares its own with; if empty, it has plain Go write one")
)

// portable returns a world that takes seconds where every instruction is emulated, and has in it what there is: learning of text and of examples, gossip, trial,
// crashes and a partition.
func portable(t *testing.T) string {
	o := Options{
		Base:     base.Pocket(),
		Learning: learning.Config{Sections: 2, Neurons: 4, Rehearse: 1, Recent: 96, Reservoir: 4},
		Talk:     3 * time.Minute, Updates: 1, Degree: 4, CheckEvery: 200,
		Links:  Links{MinDelay: 10 * time.Millisecond, MaxDelay: 300 * time.Millisecond, Loss: 0.05, Bandwidth: 1 << 16},
		Faults: Faults{Crashes: 1, Down: 20 * time.Second, Partitions: []Partition{{From: time.Minute, For: time.Minute}}},
	}
	for i := range 3 {
		o.Devices = append(o.Devices, Device{Name: fmt.Sprintf("user-%d", i), Stream: lines(uint64(i), 320)})
	}
	r := rand.New(rand.NewPCG(3, 7))
	for i := range 2 {
		e := &Examples{Inputs: 8}
		for k := range 24 {
			for j := range e.Inputs {
				e.X = append(e.X, float32(float64(0.4*r.Float64())+0.3*float64(k%2*(1-2*(j%2)))))
			}
			e.Labels = append(e.Labels, []string{"odd", "even"}[k%2])
		}
		o.Devices = append(o.Devices, Device{Name: fmt.Sprintf("shower-%d", i), Skill: "parity", Shown: e})
	}
	o.Features = 32
	var b strings.Builder
	o.Transcript = &b
	w, err := New(3, o)
	if err == nil {
		err = w.Run(4 * time.Minute)
	}
	if err == nil {
		err = w.Calm()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range w.devices {
		all := sha256.New()
		if err := d.node.WriteSnapshot(all); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s is %x\n", d.opt.Name, all.Sum(nil)) // every bit of it
	}
	return b.String()
}

// With plain Go's kernels a world is the same on every processor, byte for byte. With others the same things happen, but for numbers that differ in
// their last digits, and at most one line in fifty that hangs on them.
func TestTranscriptOfAnotherProcessor(t *testing.T) {
	got := portable(t)
	for _, word := range []string{"a surprise of", "took in", "announces", "crashes", "is divided"} {
		if !strings.Contains(got, word) {
			t.Errorf("nothing in the transcript %q: it would show little", word)
		}
	}
	if *transcriptTo != "" {
		if err := os.WriteFile(*transcriptTo, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := otherTranscript(t)
	if kernel.Level() != "go" {
		got, want = told(got), told(want)
	}
	differ, apart, first := transcriptsDiffer(got, want)
	lines := strings.Count(want, "\n")
	t.Logf("%s: %d of %d lines differ in a number, %d in more", kernel.Level(), differ, lines, apart)
	switch {
	case kernel.Level() == "go" && got != want:
		t.Errorf("plain Go computes something else here: %s", first)
	case apart > lines/50:
		t.Errorf("%d of %d lines differ in more than a number: %s", apart, lines, first)
	}
}

// otherTranscript is that of a file, or of a process of this program's that computes in plain Go.
func otherTranscript(t *testing.T) string {
	t.Helper()
	path := *transcriptFrom
	if path == "" {
		path = filepath.Join(t.TempDir(), "transcript.txt")
		cmd := exec.Command(os.Args[0], "-test.run=^TestTranscriptOfAnotherProcessor$", "-transcript-to="+path)
		cmd.Env = append(os.Environ(), "YAN_KERNEL=go")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// told is a transcript without the digests at its end.
func told(transcript string) string {
	before, _, _ := strings.Cut(transcript, "\nuser-0 is ")
	return before
}

var figures = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)

// transcriptsDiffer counts the lines of one that the other has not, and those of them that it has not with other numbers either.
func transcriptsDiffer(got, want string) (differ, apart int, first string) {
	exact, rough := map[string]int{}, map[string]int{}
	for l := range strings.Lines(want) {
		exact[l]++
		rough[figures.ReplaceAllString(l, "#")]++
	}
	for l := range strings.Lines(got) {
		r := figures.ReplaceAllString(l, "#")
		rough[r]--
		if exact[l]--; exact[l] < 0 {
			differ++
			if first == "" {
				first = l
			}
		}
		if rough[r] < 0 {
			apart++
		}
	}
	return differ - apart, apart, first
}
