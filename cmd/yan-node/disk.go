package main

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/yanmesh/yan/node"
)

// lastWrites is how many writes the judgement of a disk rests on.
const lastWrites = 32

// A timedJournal is a journal that remembers how long its writes took and what went wrong.
type timedJournal struct {
	node.Journal
	now func() time.Time

	mu     sync.Mutex
	writes diskWrites
	last   []time.Duration // of the last writes, the latest last
	begun  time.Time       // of the write that is under way; zero if none is
}

// diskWrites is what became of the writes since the node began.
type diskWrites struct {
	Done, Failed uint64
	Took         time.Duration // all of them together
	Median       time.Duration // of the last ones, the one under way among them
	Worst        time.Duration // the same
	Err          error         // of the last write, if it failed
}

func newTimedJournal(j node.Journal) *timedJournal { return &timedJournal{Journal: j, now: time.Now} }

func (j *timedJournal) Append(records [][]byte) error {
	return j.timed(func() error { return j.Journal.Append(records) })
}

func (j *timedJournal) Snapshot(write func(io.Writer) error) error {
	return j.timed(func() error { return j.Journal.Snapshot(write) })
}

func (j *timedJournal) PutBlob(b []byte) (digest [32]byte, err error) {
	err = j.timed(func() (err error) {
		digest, err = j.Journal.PutBlob(b)
		return err
	})
	return digest, err
}

// timed does a write. There is one at a time: they are the node's, which one goroutine owns.
func (j *timedJournal) timed(write func() error) error {
	start := j.now()
	j.mu.Lock()
	j.begun = start
	j.mu.Unlock()
	err := write()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun = time.Time{}
	took := j.now().Sub(start)
	j.writes.Took += took
	if j.last = append(j.last, took); len(j.last) > lastWrites {
		j.last = slices.Delete(j.last, 0, 1)
	}
	if j.writes.Err = err; err == nil {
		j.writes.Done++
	} else {
		j.writes.Failed++
	}
	return err
}

// stats says how the writes went. It does not wait for one that is under way.
func (j *timedJournal) stats() diskWrites {
	j.mu.Lock()
	defer j.mu.Unlock()
	w, last := j.writes, slices.Clone(j.last)
	if !j.begun.IsZero() {
		last = append(last, j.now().Sub(j.begun))
	}
	slices.Sort(last)
	if n := len(last); n > 0 {
		w.Median, w.Worst = last[n/2], last[n-1]
	}
	return w
}
