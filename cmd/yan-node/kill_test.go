package main

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
)

var (
	kills    = flag.Int("kills", 10, "how often TestKilledAtAnyInstant kills its process; more than 10 are done on the embedded base")
	killSeed = flag.Uint64("killseed", 0, "seed of when it does; 0 draws one")
)

// story is what is read: real text where there is some.
func story(t *testing.T) []byte {
	t.Helper()
	dir := os.Getenv("YAN_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if b, err := os.ReadFile(filepath.Join(dir, "wikitext2", "test.txt")); err == nil {
		return b
	}
	return prose(1 << 20)
}

// A twin is the device that reads the same and is never killed.
type twin struct {
	t    *testing.T
	node *node.Node
	read int // bytes of the story
}

// mind is all that it is, as bytes.
func (w *twin) mind() []byte { return snapshotOf(w.t, w.node.Learner()) }

// catchUp reads on to a byte of the story.
func (w *twin) catchUp(text []byte, to int) {
	if to > w.read {
		w.node.Observe(time.Time{}, text[w.read:to])
		w.read = to
	}
}

// begin is what a run does before it reads.
func (w *twin) begin() {
	if _, err := w.node.Focus(time.Time{}, ""); err != nil {
		w.t.Fatal(err)
	}
}

// One home, whose process is killed again and again while it reads: at any instant of reading, amid its
// first steps, and amid the snapshot with which it ends when it is asked to. After each of them, everything
// that was acknowledged is in its weights, to the bit those of a device that was never killed.
func TestKilledAtAnyInstant(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be asked to end there")
	}
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-killseed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))

	home, args := newHome(t), []string{}
	var m *model.Model
	if m = base.Embedded(); *kills <= 10 {
		m = base.Pocket()
		args = append(args, "--model", pocket(t))
	}
	open := func() *device.Device {
		t.Helper()
		d, err := device.Open(device.Options{Home: home, Model: m})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	other, err := device.Open(device.Options{Home: newHome(t), Model: m}) // of the same identity, and so the same chance
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	w := &twin{t: t, node: other.Node}

	text := story(t)
	var amidReading, amidEnd, amidStart, silent, acknowledgedInAll int
	for n := range *kills {
		if len(text)-w.read < 64<<10 { // again from the start: to the device it is one stream
			text = append(text[:w.read:w.read], text...)
		}
		cmd, b := spawn(t, append([]string{"run", "--json", "--home", home, "--offline", "--api", "", "--read", file(t, "story.txt", text[w.read:])}, args...)...)
		patience, delay := r.IntN(4), time.Duration(r.IntN(100))*time.Millisecond
		ask := r.IntN(4) == 0
		if n == 0 { // so that there is something to lose from the first
			patience, ask = 3, false
		}
		acknowledged, started := 0, false
		take := func(e event) {
			started = started || e.Event == "ready"
			if e.Event == "kept" {
				acknowledged = e.Bytes
			}
		}
		for got := 0; got < patience; {
			e := <-b.lines
			take(e)
			if e.Event == "kept" {
				got++
			}
		}
		if ask {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			delay /= 4
		}
		// When a process is killed is what this test puts in; nothing is expected of how far it is by then.
		for due := time.After(delay); due != nil; {
			select {
			case e, ok := <-b.lines:
				if !ok {
					due = nil
				}
				take(e)
			case <-due:
				due = nil
			}
		}
		_ = cmd.Process.Kill() // asked to end, it may have done so
		for e := range b.lines {
			take(e)
		}
		b.stop()
		acknowledgedInAll += acknowledged
		switch {
		case ask:
			amidEnd++
		case started:
			amidReading++
		default:
			amidStart++
		}

		d := open()
		have := int(d.Node.Learner().Events())
		if have < w.read+acknowledged || have > len(text) {
			t.Fatalf("kill %d: %d bytes are there, %d before and %d acknowledged since", n, have, w.read, acknowledged)
		}
		if notes, err := d.Notes(); err != nil || len(notes) > 0 {
			t.Errorf("kill %d: the notes say %q, %v", n, notes, err)
		}
		if have == w.read {
			silent++
		}
		// The run may or may not have come to say that it begins, and that an utterance ended.
		got := snapshotOf(t, d.Node.Learner())
		var could [][]byte
		could = append(could, w.mind())
		w.begin()
		could = append(could, w.mind())
		w.catchUp(text, have)
		could = append(could, w.mind())
		w.node.Flush(time.Time{})
		could = append(could, w.mind())
		if !slices.ContainsFunc(could, func(c []byte) bool { return bytes.Equal(c, got) }) {
			t.Fatalf("kill %d: after %d bytes the mind that was killed is another than the one that was not", n, have)
		}
		// From here on both are the same again, and the next run begins with a snapshot behind it and
		// nothing else, or with a journal as well.
		if err := w.node.Learner().ReadSnapshot(got); err != nil {
			t.Fatal(err)
		}
		if n%3 == 0 {
			d.Start(nil, nil)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills (%d while reading, %d at the start, %d at the end; %d before anything new was kept): %d bytes were acknowledged and %d came back, each time to the bit",
		*kills, amidReading, amidStart, amidEnd, silent, acknowledgedInAll, w.read)
	if acknowledgedInAll == 0 || amidReading == 0 {
		t.Error("nothing was ever acknowledged before a kill")
	}
}
