package p2p

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/model/base"
	whole "github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// A device is a whole node on the mesh, driven by node.Run, that can be made ill.
type device struct {
	*node
	i      int
	runner *whole.Runner
	disk   *disk
	slow   atomic.Int64  // the longest that its owner had to wait for an answer
	well   atomic.Bool   // whether it is one of those that must not have to wait
	ended  chan struct{} // closed when Run has returned
}

// mind is the i-th device's.
func mind(t *testing.T, i int) *whole.Node {
	t.Helper()
	n, err := whole.New(whole.Config{
		Key: meshtest.Key(i), Seed: uint64(i), Agent: "test", Share: whole.ShareSkills, PublishEvery: 1 << 30,
		Learning: learning.Config{Infancy: 512},
	}, base.Pocket())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// lesson teaches a mind a skill of that name, about a few lines of text, and has it announced.
func lesson(now time.Time, n *whole.Node, skill string) (a whole.Actions, u *protocol.Update, err error) {
	if a, err = n.Focus(now, skill); err != nil {
		return a, nil, err
	}
	_, b := n.Observe(now, []byte(strings.Repeat(fmt.Sprintf("%s says %s. ", n.Self(), skill), 8)))
	a.Add(b)
	b, err = n.Focus(now, "")
	a.Add(b)
	for _, e := range a.Send {
		if told, ok := e.Msg.(*protocol.Update); ok {
			return a, told, err
		}
	}
	return a, nil, errors.Join(err, errors.New("nothing was announced"))
}

// warmUp has what all minds share begin its life outside of the bubbles that come: coders with channels in them.
func warmUp(t *testing.T) {
	now := time.Now()
	_, u, err := lesson(now, mind(t, 0), "walking")
	if err != nil {
		t.Fatal(err)
	}
	n := mind(t, 1)
	n.Handle(now, mesh.Event{Kind: mesh.Joined, Peer: meshtest.ID(0)})
	if a := n.Handle(now, mesh.Event{Kind: mesh.Heard, Peer: meshtest.ID(0), Msg: u}); len(a.Folds) != 1 {
		t.Fatal("nothing was tried")
	}
}

// device starts the i-th peer with a mind.
func (w *world) device(i int, c Config) *device {
	w.t.Helper()
	d := &device{node: w.node(i, c), i: i, runner: whole.NewRunner(), disk: new(disk), ended: make(chan struct{})}
	d.well.Store(true)
	n := mind(w.t, i)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(d.ended)
		if err := whole.Run(ctx, n, d.Mesh, d.disk, d.runner, quiet, nil); err != nil {
			w.t.Errorf("%d: %v", i, err)
		}
	}()
	w.ends = append(w.ends, cancel, func() { <-d.ended })
	return d
}

// do has the device do a job, and gives up after a minute.
func (d *device) do(job whole.Job) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return d.runner.Do(ctx, job)
}

// ask asks for the device's status every second until the story is over, and remembers the longest wait.
func (d *device) ask(w *world) {
	for !w.over.Load() {
		began := time.Now()
		err := d.do(func(time.Time, *whole.Node) (whole.Actions, error) { return whole.Actions{}, nil })
		if waited := int64(time.Since(began)); err != nil || waited > d.slow.Load() {
			d.slow.Store(waited)
		}
		time.Sleep(time.Second)
	}
}

// teach has the device learn a skill of that name and announce it.
func (d *device) teach(skill string) (id protocol.UpdateID, err error) {
	err = d.do(func(now time.Time, n *whole.Node) (whole.Actions, error) {
		a, u, err := lesson(now, n, skill)
		if err == nil {
			id = u.ID
		}
		return a, err
	})
	return id, err
}

// holds reports whether the device has the update.
func (d *device) holds(id protocol.UpdateID) (has bool) {
	err := d.do(func(_ time.Time, n *whole.Node) (whole.Actions, error) {
		has = slices.Contains(n.Conversation().Held(), id)
		return whole.Actions{}, nil
	})
	return has && err == nil
}

// stop keeps the device's loop from going on until the release.
func (d *device) stop(release <-chan struct{}) {
	go d.do(func(time.Time, *whole.Node) (whole.Actions, error) {
		<-release
		return whole.Actions{}, nil
	})
}

// A disk is a journal in memory that takes its time.
type disk struct {
	takes atomic.Int64

	mu    sync.Mutex
	blobs map[[32]byte][]byte
}

func (d *disk) Append([][]byte) error {
	time.Sleep(time.Duration(d.takes.Load()))
	return nil
}

func (d *disk) Snapshot(write func(io.Writer) error) error { return write(io.Discard) }

func (d *disk) PutBlob(b []byte) ([32]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.blobs == nil {
		d.blobs = make(map[[32]byte][]byte)
	}
	k := protocol.Sum(b)
	d.blobs[k] = bytes.Clone(b)
	return k, nil
}

func (d *disk) Blob(k [32]byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.blobs[k], nil
}

func (d *disk) Blobs() ([][32]byte, error) { return nil, nil }
func (d *disk) DropBlob([32]byte) error    { return nil }

// interval is how long anyone may have to wait because of another's illness: one round of the conversation.
const interval = 15 * time.Second

// An illness of the i-th device, and what cures it, if anything does.
var illnesses = []struct {
	name string
	fall func(w *world, d *device, release chan struct{})
}{
	{"killed", func(w *world, d *device, release chan struct{}) { w.deafen(d.i); d.stop(release) }},
	{"its learner dead", func(w *world, d *device, release chan struct{}) { d.stop(release) }},
	{"its network dead", func(w *world, d *device, release chan struct{}) { w.deafen(d.i) }},
	{"paused for a minute", func(w *world, d *device, release chan struct{}) {
		w.deafen(d.i)
		up := make(chan struct{})
		d.stop(up)
		go func() {
			time.Sleep(time.Minute)
			w.hear(d.i)
			close(up)
		}()
	}},
	{"its disk slow", func(w *world, d *device, release chan struct{}) { d.disk.takes.Store(int64(30 * time.Second)) }},
}

// deafen makes the i-th host deaf and mute beside those that are already, and hear cures it.
func (w *world) deafen(i int) { w.deaf.Store(ipOf(i).String(), true); w.partition(w.isDeaf) }
func (w *world) hear(i int)   { w.deaf.Delete(ipOf(i).String()) }

func (w *world) isDeaf(from, to string) bool {
	_, a := w.deaf.Load(from)
	_, b := w.deaf.Load(to)
	return a || b
}

// Devices that die in part keep nobody waiting: what the well ones announce reaches all of them, they answer their
// owners, and who comes new is told everything, all within one interval.
func TestHalfDead(t *testing.T) {
	warmUp(t)
	t.Run("all at once", func(t *testing.T) { halfDead(t, max(*crowd, 10), 0, 1, 2, 3, 4) })
	for k := range illnesses {
		if *crowd >= 16 { // what holds of all at once holds of each
			t.Run(illnesses[k].name, func(t *testing.T) { halfDead(t, *crowd, k) })
		}
	}
}

func halfDead(t *testing.T, n int, ill ...int) {
	inWorld(t, func(t *testing.T, w *world) {
		var all []*device
		for i := range n {
			all = append(all, w.device(i, Config{}))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(interval)
		first, err := all[n-1].teach("walking")
		if err != nil {
			t.Fatal(err)
		}
		if late := w.spread(all, first); late > interval {
			t.Fatalf("with everyone well it took %v", late)
		}

		release := make(chan struct{})
		w.ends = append([]func(){func() { close(release) }}, w.ends...)
		for k, i := range ill { // from the second device on: others joined through the first
			all[1+k].well.Store(false)
			illnesses[i].fall(w, all[1+k], release)
		}
		for _, d := range all {
			go d.ask(w)
		}
		var slowest time.Duration
		for round := range 4 {
			d := all[n-1-round%(n-1-len(ill))]
			id, err := d.teach(fmt.Sprint("skill-", round))
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			slowest = max(slowest, w.spread(all, id))
			if round == 1 {
				newcomer := w.device(n, Config{})
				slowest = max(slowest, w.spread([]*device{newcomer}, first))
				all = append(all, newcomer)
				go newcomer.ask(w)
			}
			time.Sleep(interval)
		}
		var owners time.Duration
		for _, d := range all {
			if d.well.Load() {
				owners = max(owners, time.Duration(d.slow.Load()))
			}
		}
		for k, i := range ill {
			t.Logf("%s: its own owner waited for %v", illnesses[i].name, time.Duration(all[1+k].slow.Load()))
		}
		t.Logf("%d devices, %d ill: updates were everywhere after %v, owners were answered after %v", n, len(ill), slowest, owners)
		if slowest > interval || owners > interval {
			t.Errorf("the well had to wait longer than %v", interval)
		}
	})
}

// spread waits until all who are well hold the update, and returns how long that took.
func (w *world) spread(all []*device, id protocol.UpdateID) time.Duration {
	began := time.Now()
	for time.Since(began) < 2*time.Minute {
		if !slices.ContainsFunc(all, func(d *device) bool { return d.well.Load() && !d.holds(id) }) {
			return time.Since(began)
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Errorf("not everywhere after two minutes: %v", id)
	return time.Since(began)
}
