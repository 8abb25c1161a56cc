package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

type evalBits struct {
	Bits float64 `json:"bits_per_byte"`
}

// copyHome is what a power cut leaves of a home: the files as they are.
func copyHome(t *testing.T, to, from string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readIn has a device read text and returns its surprise.
func readIn(t *testing.T, d *device.Device, text []byte) (nats float64) {
	t.Helper()
	for part := range slices.Chunk(text, 256) {
		if err := d.Do(t.Context(), func(now time.Time, n *node.Node) (node.Actions, error) {
			v, a := n.Observe(now, part)
			nats += v
			return a, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return nats
}

// Of two devices with one identity, one may use hardly any memory for skills. Both are taught alike. The one that may not puts skills to rest
// on its disk, says so, is killed, finds them again, uses each when its text comes, and is the other's equal to the bit.
func TestSkillsRestOnTheDisk(t *testing.T) {
	free, bound := newHome(t), newHome(t)
	text := map[string][]byte{"ferry": prose(6000), "log": []byte(strings.Repeat("<07|K9> flow=3.1;state=OPEN;;ok\r\n<11|M2> flow=8.4;state=SHUT;;ok\r\n", 90))}
	open := func(home string, memory int64) *device.Device {
		t.Helper()
		d, err := device.Open(device.Options{Home: home, Model: base.Pocket(), Learning: learning.Config{Memory: memory}})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	do := func(d *device.Device, job node.Job) {
		t.Helper()
		if err := d.Do(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	teach := func(d *device.Device, name string) {
		do(d, func(now time.Time, n *node.Node) (node.Actions, error) { return n.Focus(now, name) })
		readIn(t, d, text[name])
		do(d, func(now time.Time, n *node.Node) (node.Actions, error) { return n.Focus(now, "") })
	}
	resting := func(d *device.Device) (names []string) {
		do(d, func(_ time.Time, n *node.Node) (node.Actions, error) {
			names = statusOf(n, "").Resting
			for _, d := range n.Learner().Resting() {
				if !slices.Contains(n.Bodies(), protocol.Digest(d)) { // which snapshots would have swept away
					t.Errorf("what rests under %x is not needed", d[:4])
				}
			}
			return node.Actions{}, nil
		})
		return names
	}

	a, b := open(free, 0), open(bound, 1)
	a.Start(nil, nil)
	b.Start(nil, nil)
	for _, d := range []*device.Device{a, b} {
		teach(d, "ferry")
		teach(d, "log")
		readIn(t, d, []byte(strings.Repeat("To be, or not to be, that is the question. ", 30)))
	}
	if got := resting(b); !slices.Contains(got, "ferry") || !slices.Contains(got, "log") || len(resting(a)) > 0 {
		t.Fatalf("resting: %v, and without a limit %v", got, resting(a))
	}

	// The power goes: what is on the disk now is all there is. Then it goes again, behind snapshots.
	for range 2 {
		killed := filepath.Join(t.TempDir(), "home")
		copyHome(t, killed, bound)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		bound = killed
		b = open(bound, 1)
		b.Start(nil, nil)
		if got := resting(b); !slices.Contains(got, "ferry") {
			t.Errorf("begun again, %v rest", got)
		}
		if got, want := readIn(t, b, text["ferry"][:2000]), readIn(t, a, text["ferry"][:2000]); got != want {
			t.Errorf("its text cost %v, and %v without a limit", got, want)
		}
		if slices.Contains(resting(b), "ferry") {
			t.Error("its text came, and the skill still rests")
		}
		other := []byte(strings.Repeat("Now is the winter of our discontent made glorious. ", 60))
		if got, want := readIn(t, b, other), readIn(t, a, other); got != want {
			t.Errorf("other text cost %v, and %v without a limit", got, want)
		}
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = open(bound, 1)
		b.Start(nil, nil)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}

	m := pocket(t)
	out := must(t, "", "status", "--home", bound, "--model", m, "--memory", "1kB")
	if !strings.Contains(out, "of 1.00 kB of memory") || !strings.Contains(out, "rest on the disk: ferry") {
		t.Errorf("status says %q", out)
	}
	r := decode[statusReport](t, must(t, "", "status", "--home", bound, "--model", m, "--json"))
	if len(r.Resting) < 2 || r.Memory != 0 {
		t.Errorf("status: %+v", r)
	}
	log := file(t, "log.txt", text["log"])
	if x, y := must(t, "", "eval", "--home", bound, "--model", m, "--data", "text:"+log, "--json"), must(t, "", "eval", "--home", free, "--model", m, "--data", "text:"+log, "--json"); decode[evalBits](t, x) != decode[evalBits](t, y) {
		t.Errorf("eval: %s and %s", x, y)
	}

	// A skill that cannot be had back is silent, and the rest goes on.
	blobs, err := filepath.Glob(filepath.Join(bound, "blobs", "*"))
	if err != nil || len(blobs) == 0 {
		t.Fatalf("no blobs: %v", err)
	}
	for _, b := range blobs {
		if !strings.HasSuffix(b, ".snapshot") {
			if err := os.Remove(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	status, _, errs := yan(t, "", "eval", "--home", bound, "--model", m, "--data", "text:"+log)
	if status != 0 {
		t.Errorf("with a lost skill: status %d: %s", status, errs)
	}
}

func TestByteSize(t *testing.T) {
	for s, want := range map[string]int64{"200MB": 2e8, "1.5 GB": 15e8, "64KiB": 1 << 16, "7": 7, "3b": 3, "1TB": 1e12} {
		var b byteSize
		if err := b.Set(s); err != nil || int64(b) != want {
			t.Errorf("%s is %d, %v", s, b, err)
		}
	}
	for _, s := range []string{"", "MB", "-1MB", "0", "2 XB", "1e30GB", "NaN", "0.5"} {
		if err := new(byteSize).Set(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	status, _, errs := yan(t, "", "status", "--memory", "much")
	if status != 2 || !strings.Contains(errs, "200MB") {
		t.Errorf("status %d: %s", status, errs)
	}
}
