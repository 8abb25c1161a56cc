package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// A Journal keeps what must survive a restart. Package store has one on disk.
type Journal interface {
	// Append makes records durable, as one, before it returns.
	Append(records [][]byte) error
	// Snapshot keeps what write writes in the place of all records before.
	Snapshot(write func(io.Writer) error) error
	// PutBlob and Blob keep bodies by the hash of their content; Blobs lists and DropBlob removes them.
	PutBlob(b []byte) ([32]byte, error)
	Blob(digest [32]byte) ([]byte, error)
	Blobs() ([][32]byte, error)
	DropBlob(digest [32]byte) error
}

// A Job is something that the owner wants of the node. It runs on the goroutine that owns the node.
type Job func(now time.Time, n *Node) (Actions, error)

// A Runner carries the owner's jobs to a running node.
type Runner struct {
	jobs chan job
	done chan struct{}
}

type job struct {
	do    Job
	reply chan error
}

// NewRunner returns a runner for Run.
func NewRunner() *Runner { return &Runner{jobs: make(chan job), done: make(chan struct{})} }

// ErrStopped is returned by Do when the node does not run any more.
var ErrStopped = errors.New("node: stopped")

// Do has the node do a job and returns once what it changed is on disk.
func (r *Runner) Do(ctx context.Context, do Job) error {
	j := job{do, make(chan error, 1)}
	select {
	case r.jobs <- j:
	case <-r.done:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-j.reply:
		return err
	case <-r.done:
		return ErrStopped
	}
}

// A question is whether an update or a record is wanted, of a goroutine of the mesh's.
type question struct {
	head  protocol.Message // an Announce or an Align
	reply chan bool
}

// wants puts a question to the goroutine that owns the node. Of one that does not run nothing is wanted.
func (r *Runner) wants(ctx context.Context, to chan<- question, head protocol.Message) bool {
	q := question{head, make(chan bool, 1)}
	select {
	case to <- q:
		return <-q.reply // what was taken is answered at once
	case <-r.done:
	case <-ctx.Done():
	}
	return false
}

// SnapshotEvery is how many bytes of records the journal may gather before a snapshot takes their place.
const SnapshotEvery = 1 << 20

// Run drives n from a mesh, the clock and the owner's jobs until ctx is done, and leaves a snapshot. It is
// the only goroutine to touch n. m may be nil: a node alone. told, which may be nil, hears what became
// of peers' skills.
//
// Where the disk fails, the job that needed it gets the error and nothing is acknowledged or sent; the node
// goes on thinking, and what it thought meanwhile is kept with the first thing that can be kept again.
func Run(ctx context.Context, n *Node, m mesh.Mesh, j Journal, r *Runner, log *slog.Logger, told func(Fold)) error {
	defer close(r.done)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var events <-chan mesh.Event
	if m != nil {
		events = m.Events()
	}
	questions := make(chan question)
	if c, ok := m.(mesh.Chooser); ok {
		c.Choose(func(ctx context.Context, head protocol.Message) bool { return r.wants(ctx, questions, head) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	gathered := 0
	behind := false // whether the mind has taken in what the journal has not

	// keep makes a's changes durable. Where the journal is behind, its records would be replayed on another
	// mind than the one they were made in, so a snapshot takes their place; and nothing is said to peers that
	// a restart would not know of.
	keep := func(a Actions) (err error) {
		if len(a.Records) == 0 && (!behind || len(a.Send) == 0) {
			return nil
		}
		defer func() {
			if err != nil {
				behind = true
				err = fmt.Errorf("node: nothing was kept: %w", err)
			}
		}()
		for _, b := range a.Bodies {
			if _, err := j.PutBlob(b); err != nil {
				return err
			}
		}
		if behind {
			if err := snapshot(n, j); err != nil {
				return err
			}
			behind, gathered = false, 0
			return nil
		}
		if err := j.Append(a.Records); err != nil {
			return err
		}
		for _, rec := range a.Records {
			gathered += len(rec)
		}
		if gathered > SnapshotEvery {
			gathered = 0
			if err := snapshot(n, j); err != nil {
				log.Warn("no snapshot; the journal keeps growing", "err", err)
			}
		}
		return nil
	}
	perform := func(a Actions) error {
		if !a.Wake.IsZero() {
			timer.Reset(time.Until(a.Wake))
		}
		if err := keep(a); err != nil {
			return err
		}
		for _, f := range a.Folds {
			if told != nil {
				told(f)
			}
		}
		for _, e := range a.Send {
			if m == nil {
				break
			}
			if err := m.Send(ctx, e); err != nil && ctx.Err() == nil {
				log.Debug("not sent", "peer", e.To, "message", e.Msg.String(), "err", err)
			}
		}
		return nil
	}

	for {
		var err error
		select {
		case ev, ok := <-events:
			if !ok {
				events = nil
				log.Warn("the mesh is closed; going on alone")
				continue
			}
			err = perform(n.Handle(time.Now(), ev))
		case <-timer.C:
			err = perform(n.Tick(time.Now()))
		case q := <-questions:
			q.reply <- n.Wants(q.head)
			continue
		case w := <-r.jobs:
			a, failed := w.do(time.Now(), n)
			if failed == nil {
				failed = perform(a)
			}
			w.reply <- failed
		case <-ctx.Done():
			if err := snapshot(n, j); err != nil {
				return fmt.Errorf("node: last snapshot: %w", err)
			}
			return nil
		}
		if err != nil {
			log.Error("peers have to wait", "err", err)
		}
	}
}

// snapshot replaces the journal's records by a snapshot, and removes bodies that nobody needs any more.
func snapshot(n *Node, j Journal) error {
	if err := j.Snapshot(n.WriteSnapshot); err != nil {
		return err
	}
	needed := map[[32]byte]bool{}
	for _, d := range n.Bodies() {
		needed[d] = true
	}
	have, err := j.Blobs()
	if err != nil {
		return err
	}
	for _, d := range have {
		if !needed[d] {
			if err := j.DropBlob(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// Start brings a new node to where the journal says it stood. snap is the last snapshot, nil if there is
// none; replay hands out the records after it.
func Start(n *Node, j Journal, snap []byte, replay func(func(rec []byte) error) error) error {
	if snap != nil {
		if err := n.ReadSnapshot(snap); err != nil {
			return err
		}
	}
	body := func(d protocol.Digest) ([]byte, error) { return j.Blob(d) }
	if err := replay(func(rec []byte) error { return n.Replay(rec, body) }); err != nil {
		return err
	}
	return n.Resume(func(d protocol.Digest) ([]byte, bool) {
		b, err := j.Blob(d)
		return b, err == nil
	})
}
