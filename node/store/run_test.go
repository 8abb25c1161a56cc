package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
)

// A home is a node that runs on a store whose steps can be made to fail, as those of a full disk do.
type home struct {
	t       *testing.T
	dir     string
	failing atomic.Pointer[string] // the step that fails, or nil
	met     atomic.Int32           // how often it did
	s       *Store
	runner  *node.Runner
	cancel  context.CancelFunc
	ended   chan struct{}
}

// start opens the folder and runs the node that stood there.
func (h *home) start() *node.Node {
	h.t.Helper()
	s, err := Open(h.dir, Options{fault: func(step, path string) error {
		if f := h.failing.Load(); f != nil && *f == step {
			h.met.Add(1)
			return &os.PathError{Op: step, Path: path, Err: fullErrnos[0]}
		}
		return nil
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	n, err := node.New(node.Config{Key: s.Key(), Seed: 1}, base.Pocket())
	if err != nil {
		h.t.Fatal(err)
	}
	var snap []byte
	rc, err := s.LoadSnapshot()
	switch {
	case err == nil:
		snap, err = io.ReadAll(rc)
		err = errors.Join(err, rc.Close())
	case errors.Is(err, ErrNone):
		err = nil
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if err := node.Start(n, s, snap, func(apply func([]byte) error) error {
		_, err := s.Replay(func(_ uint64, rec []byte) error { return apply(rec) })
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	h.s, h.runner, h.cancel, h.ended = s, node.NewRunner(), cancel, make(chan struct{})
	go func() {
		defer close(h.ended)
		_ = node.Run(ctx, n, nil, s, h.runner, nil, nil) // the store is closed under it: it has no last snapshot
	}()
	return n
}

// kill ends it as a kill does: what is not on the disk is gone.
func (h *home) kill() {
	h.t.Helper()
	if err := h.s.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.cancel()
	<-h.ended
}

func (h *home) do(job node.Job) error { return h.runner.Do(h.t.Context(), job) }

func (h *home) read(text string) error {
	return h.do(func(now time.Time, n *node.Node) (node.Actions, error) {
		_, a := n.Observe(now, []byte(text))
		return a, nil
	})
}

// mind asks the running node for all that it is.
func (h *home) mind() (b []byte) {
	h.t.Helper()
	if err := h.do(func(_ time.Time, n *node.Node) (node.Actions, error) {
		b = mindOf(h.t, n)
		return node.Actions{}, nil
	}); err != nil {
		h.t.Errorf("a question: %v", err)
	}
	return b
}

func mindOf(t *testing.T, n *node.Node) []byte {
	var b bytes.Buffer
	if err := n.Learner().WriteSnapshot(&b); err != nil {
		t.Error(err)
	}
	return b.Bytes()
}

// What an owner does, and which steps on the disk it needs.
func (h *home) deeds() map[string]struct {
	steps []string
	do    func() error
} {
	type deed = struct {
		steps []string
		do    func() error
	}
	return map[string]deed{
		"learning": {[]string{"commit"}, func() error { return h.read("the ferry leaves at nine and again at noon\n") }},
		"sharing a skill": {[]string{"create", "write", "sync", "rename", "syncdir", "commit"}, func() error {
			return h.do(func(now time.Time, n *node.Node) (a node.Actions, err error) {
				if a, err = n.Focus(now, "ferry"); err != nil {
					return a, err
				}
				_, o := n.Observe(now, []byte(strings.Repeat("the ferry to the island leaves at nine\n", 9)))
				a.Add(o)
				f, err := n.Focus(now, "")
				a.Add(f)
				if err != nil {
					return a, err
				}
				s, err := n.SetShared(now, "ferry", true)
				a.Add(s)
				return a, err
			})
		}},
	}
}

// Wherever the disk runs full, the log, a body or a snapshot, at any step of writing it: what needed the room is
// refused and says why, the node goes on thinking, a kill meanwhile loses nothing that was acknowledged, and with
// room again it learns on, with all that it thought in between.
func TestFullAtEveryStep(t *testing.T) {
	for name, deed := range (&home{}).deeds() {
		for _, step := range deed.steps {
			for _, killed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/killed %v", name, step, killed), func(t *testing.T) {
					h := &home{t: t, dir: t.TempDir()}
					h.start()
					act := h.deeds()[name].do
					if err := h.read("there is room for this line\n"); err != nil {
						t.Fatal(err)
					}
					acknowledged := h.mind()

					h.failing.Store(&step)
					for range 3 { // the next ones find the journal behind, and need a snapshot
						err := act()
						if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "nothing was kept") || !strings.Contains(err.Error(), "make room") {
							t.Fatalf("a full disk: %v", err)
						}
					}
					if err := h.do(func(_ time.Time, n *node.Node) (node.Actions, error) {
						if len(n.Learner().Predict()) == 0 {
							t.Error("it has stopped to think")
						}
						return node.Actions{}, nil
					}); err != nil {
						t.Errorf("a question: %v", err)
					}
					if h.met.Load() < 3 {
						t.Fatalf("the step was met %d times", h.met.Load())
					}
					if killed {
						h.kill()
						if n := h.start(); !bytes.Equal(h.mind(), acknowledged) {
							t.Errorf("after a kill there are %d events, and not what was acknowledged", n.Learner().Events())
						}
						if err := act(); !errors.Is(err, ErrFull) {
							t.Fatalf("the disk is full still: %v", err)
						}
					}

					h.failing.Store(nil)
					if err := act(); err != nil {
						t.Fatalf("with room again: %v", err)
					}
					if err := h.read("and there is room for that line too\n"); err != nil {
						t.Fatal(err)
					}
					want := h.mind()
					h.kill()
					h.start()
					if !bytes.Equal(h.mind(), want) {
						t.Error("something of what was learnt in between, or after, is lost")
					}
					h.kill()
				})
			}
		}
	}
}

// A snapshot that takes the place of a long journal and finds no room costs nothing: learning goes on into the
// journal.
func TestFullAtTheSnapshotOfALongJournal(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "rename", "syncdir"} {
		t.Run(step, func(t *testing.T) {
			h := &home{t: t, dir: t.TempDir()}
			h.start()
			if err := h.read("there is room for this line\n"); err != nil {
				t.Fatal(err)
			}
			h.failing.Store(&step)
			for range 2 {
				if err := h.do(func(time.Time, *node.Node) (node.Actions, error) {
					// A long record that changes nothing: the owner's word on a skill that there is not.
					name := bytes.Repeat([]byte("x"), node.SnapshotEvery)
					rec := append([]byte{'S', 1, '0', 0x80, 0x80, 0x40}, name...)
					return node.Actions{Records: [][]byte{rec}}, nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			if h.met.Load() < 2 {
				t.Fatalf("a snapshot was tried %d times", h.met.Load())
			}
			if err := h.read("and the journal has room for that line\n"); err != nil {
				t.Fatal(err)
			}
			want := h.mind()
			h.kill()
			h.failing.Store(nil)
			h.start()
			if !bytes.Equal(h.mind(), want) {
				t.Error("something is lost")
			}
			h.kill()
		})
	}
}
