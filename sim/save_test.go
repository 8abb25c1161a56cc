package sim

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// lively is a world with everything that a saved world has to keep.
func lively() Options {
	o := tiny()
	o.Exchange.Interval = 10 * time.Second
	o.Links = Links{MinDelay: 10 * time.Millisecond, MaxDelay: 2 * time.Second, Loss: 0.1, Bandwidth: 1 << 16}
	o.Faults = Faults{Crashes: 4, Down: 40 * time.Second, Partitions: []Partition{{From: 50 * time.Second, For: time.Minute}}}
	o.Devices[1].Attack = Flip
	o.Devices[2].Away = []Span{{From: 80 * time.Second, For: 20 * time.Second}}
	o.Devices[5].Away = []Span{{From: 68 * time.Second, For: 30 * time.Second}}
	o.Devices[3].Visits = []Visit{{0, 0}, {70 * time.Second, 1}, {110 * time.Second, 0}}
	o.Devices[4].Speed = 0.01
	return o
}

// saves plays a world that is saved at some times, and returns what was saved and the transcript since.
func saves(t *testing.T, w *World, transcript *bytes.Buffer, at ...time.Duration) (files [][]byte, since []string) {
	t.Helper()
	var marks []int
	for _, until := range append(at, 3*time.Minute) {
		if err := w.Run(until - w.Now()); err != nil {
			t.Fatal(err)
		}
		if until == 3*time.Minute {
			break
		}
		var b bytes.Buffer
		marks = append(marks, transcript.Len())
		if err := w.Save(&b); err != nil {
			t.Fatal(err)
		}
		files = append(files, b.Bytes())
	}
	if err := w.Calm(); err != nil {
		t.Fatal(err)
	}
	for _, m := range marks {
		since = append(since, transcript.String()[m:])
	}
	return files, since
}

// A world that was saved, and one that goes on from what was saved, are the same from there, byte for byte: with learning, liars, crashes, a
// partition, devices that are off, slow or elsewhere, and on any number of processors.
func TestASavedWorldGoesOnAlike(t *testing.T) {
	var transcript bytes.Buffer
	o := lively()
	o.Transcript, o.Workers = &transcript, 2
	w, err := New(9, o)
	if err != nil {
		t.Fatal(err)
	}
	at := []time.Duration{65 * time.Second, 95 * time.Second}
	files, since := saves(t, w, &transcript, at...)
	down := false
	for i, file := range files {
		var again bytes.Buffer
		o.Transcript, o.Workers = &again, 1+2*i
		r, err := Resume(bytes.NewReader(file), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Now() != at[i] || r.Seed() != 9 || r.Events() == 0 {
			t.Errorf("it goes on at %v with seed %d, after %d events", r.Now(), r.Seed(), r.Events())
		}
		for _, d := range r.devices {
			down = down || d.begun && !d.up
		}
		refiled, _ := saves(t, r, &again, at[i+1:]...)
		if again.String() != since[i] {
			a, b := strings.Split(again.String(), "\n"), strings.Split(since[i], "\n")
			for k := range min(len(a), len(b)) {
				if a[k] != b[k] {
					t.Fatalf("saved at %v, line %d:\n%s\n%s", at[i], k, a[k], b[k])
				}
			}
			t.Fatalf("saved at %v: %d lines, want %d", at[i], len(a), len(b))
		}
		for k, b := range refiled {
			if !bytes.Equal(b, files[i+1+k]) {
				t.Error("saved again, it is another")
			}
		}
		if r.Sent() != w.Sent() || r.Traffic(protocol.KindHave) != w.Traffic(protocol.KindHave) || r.Events() != w.Events() {
			t.Errorf("%d bytes were sent in %d events, want %d in %d", r.Sent(), r.Events(), w.Sent(), w.Events())
		}
	}
	if !down {
		t.Error("nobody was down: it shows less")
	}
	for _, word := range []string{"took in", "announces", "crashes", "is switched off", "goes from place", "power was cut", "is one again"} {
		if !strings.Contains(since[0], word) {
			t.Errorf("nothing after the first save %q", word)
		}
	}
	if err := w.Save(io.Discard); err == nil {
		t.Error("a calm world is saved")
	}
}

// What a device learnt before its world was saved it knows after.
func TestASavedWorldForgetsNothing(t *testing.T) {
	o := tiny()
	w, err := New(2, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	var minds [][32]byte
	var held [][]protocol.UpdateID
	for _, d := range w.devices {
		minds = append(minds, d.mind())
		held = append(held, d.node.Conversation().Held())
	}
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		t.Fatal(err)
	}
	if err := w.Run(0); err != nil {
		t.Fatal(err)
	}
	for i, d := range w.devices {
		if d.mind() != minds[i] || !slices.Equal(d.node.Conversation().Held(), held[i]) || len(held[i]) == 0 {
			t.Errorf("%s is another, or holds other than %v", d.opt.Name, held[i])
		}
	}
	if err := w.Save(failing{}); err == nil || w.devices[0].node == nil {
		t.Errorf("a world that cannot be written: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// What was damaged is refused, and so is what was saved of another world.
func TestWhatWasSavedIsChecked(t *testing.T) {
	o := tiny()
	w, err := New(2, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(time.Minute); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	for _, tt := range []struct {
		name string
		file []byte
	}{
		{"empty", nil}, {"short", good[:len(good)-1]}, {"half", good[:len(good)/2]}, {"long", append(slices.Clone(good), 0)},
		{"changed", func() []byte { c := slices.Clone(good); c[len(c)/2]++; return c }()},
		{"other", []byte("yan world\nand more")},
	} {
		if _, err := Resume(bytes.NewReader(tt.file), o); !errors.Is(err, ErrSaved) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for name, change := range map[string]func(*Options){
		"fewer":  func(o *Options) { o.Devices = o.Devices[1:] },
		"talk":   func(o *Options) { o.Talk += time.Second },
		"stream": func(o *Options) { o.Devices[0].Stream = append(slices.Clone(o.Devices[0].Stream), '!') },
		"rate":   func(o *Options) { o.Learning.Rate *= 2 },
	} {
		other := tiny()
		change(&other)
		if _, err := Resume(bytes.NewReader(good), other); !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
	}
	watched := tiny()
	watched.Workers, watched.Watch = 1, func(Moment) {}
	if _, err := Resume(bytes.NewReader(good), watched); err != nil {
		t.Errorf("watched: %v", err)
	}
}

// FuzzReadSaved: bytes make a world or an error, and no more memory than there are bytes.
func FuzzReadSaved(f *testing.F) {
	o := tiny()
	o.Devices = o.Devices[:2]
	o = o.withDefaults()
	w, err := New(2, o)
	if err != nil {
		f.Fatal(err)
	}
	if err := w.Run(30 * time.Second); err != nil {
		f.Fatal(err)
	}
	digest, err := w.opt.digest()
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := w.Save(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-7])
	f.Add([]byte(savedMagic + "\xff\xff\xff\x03{}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := readSaved(bytes.NewReader(file), 2, digest)
		if err != nil {
			if !errors.Is(err, ErrSaved) && !errors.Is(err, ErrOther) {
				t.Errorf("%v", err)
			}
			return
		}
		var again bytes.Buffer
		if err := s.write(&again); err != nil {
			t.Fatal(err)
		}
		if _, err := readSaved(bytes.NewReader(again.Bytes()), 2, digest); err != nil {
			t.Errorf("written again: %v", err)
		}
	})
}
