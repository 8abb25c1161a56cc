package sim

import (
	"crypto/sha256"
	"errors"
	"io"
	"slices"

	"github.com/yanmesh/yan/node"
)

// A journal is a device's disk: it keeps what the node has written when the node itself is gone. It
// implements [node.Journal].
type journal struct {
	snapshot []byte
	records  [][]byte
	gathered int // bytes of records
	blobs    map[[32]byte][]byte
}

var _ node.Journal = (*journal)(nil)

func newJournal() *journal { return &journal{blobs: map[[32]byte][]byte{}} }

func (j *journal) Append(records [][]byte) error {
	for _, r := range records {
		j.records = append(j.records, slices.Clone(r))
		j.gathered += len(r)
	}
	return nil
}

func (j *journal) Snapshot(write func(io.Writer) error) error {
	var b growing
	if err := write(&b); err != nil {
		return err
	}
	j.snapshot, j.records, j.gathered = b, nil, 0
	return nil
}

type growing []byte

func (g *growing) Write(b []byte) (int, error) {
	*g = append(*g, b...)
	return len(b), nil
}

func (j *journal) PutBlob(b []byte) ([32]byte, error) {
	d := sha256.Sum256(b)
	j.blobs[d] = b // bodies are never written again, so they need no copy
	return d, nil
}

var errNoBlob = errors.New("sim: no such blob")

func (j *journal) Blob(d [32]byte) ([]byte, error) {
	b, ok := j.blobs[d]
	if !ok {
		return nil, errNoBlob
	}
	return b, nil
}

func (j *journal) Blobs() ([][32]byte, error) {
	var ds [][32]byte
	for d := range j.blobs {
		ds = append(ds, d)
	}
	slices.SortFunc(ds, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	return ds, nil
}

func (j *journal) DropBlob(d [32]byte) error {
	delete(j.blobs, d)
	return nil
}

// keep makes durable what a node wants kept, as [node.Run] does.
func (j *journal) keep(n *node.Node, a node.Actions) error {
	for _, b := range a.Bodies {
		if _, err := j.PutBlob(b); err != nil {
			return err
		}
	}
	if err := j.Append(a.Records); err != nil {
		return err
	}
	if j.gathered <= node.SnapshotEvery {
		return nil
	}
	return j.settle(n)
}

// settle leaves a snapshot and what it needs, as [node.Run] does when it ends.
func (j *journal) settle(n *node.Node) error {
	if err := j.Snapshot(n.WriteSnapshot); err != nil {
		return err
	}
	needed := map[[32]byte]bool{}
	for _, d := range n.Bodies() {
		needed[d] = true
	}
	for d := range j.blobs { // in any order: nothing is said
		if !needed[d] {
			delete(j.blobs, d)
		}
	}
	return nil
}

// start brings a new node to where the journal says that the one before stood.
func (j *journal) start(n *node.Node) error {
	return node.Start(n, j, j.snapshot, func(apply func([]byte) error) error {
		for _, r := range j.records {
			if err := apply(r); err != nil {
				return err
			}
		}
		return nil
	})
}
