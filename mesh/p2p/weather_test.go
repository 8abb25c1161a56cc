package p2p

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
)

// The weather on a mesh: crashes, partitions, lossy links. What is asserted is in virtual time, and holds for any
// number of devices up to a cell; the figures of docs/benchmarks.md are for -crowd 30.
var crowd = flag.Int("crowd", 8, "how many devices there are in bad weather")

// watch reads the events of n as they come, and hands them to each until the story is over.
func (w *world) watch(n *node, each func(at time.Time, ev mesh.Event)) {
	go func() {
		for ev := range n.Events() {
			if !w.over.Load() {
				each(time.Now(), ev)
			}
		}
	}()
}

// A device that dies says nothing, and everyone knows within ten seconds.
func TestCrashIsNoticed(t *testing.T) {
	const within = 10 * time.Second
	n := *crowd
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(n)
		time.Sleep(settle)
		dead := n / 2
		noticed := make(chan time.Duration, n*n)
		died := time.Now()
		w.lose(dead)
		for i, a := range all {
			if i == dead {
				continue
			}
			w.watch(a, func(at time.Time, ev mesh.Event) {
				if ev.Kind != mesh.Left {
					return
				}
				if ev.Peer != meshtest.ID(dead) {
					t.Errorf("%d is taken for dead, and %d is", meshIndex(ev, n), dead)
				}
				noticed <- at.Sub(died)
			})
		}
		var first, last time.Duration
		for k := range n - 1 {
			select {
			case d := <-noticed:
				if k == 0 {
					first = d
				}
				last = d
			case <-time.After(time.Minute):
				t.Fatalf("%d of %d know after a minute", k, n-1)
			}
		}
		t.Logf("%d devices: the first knew after %.2f s, the last after %.2f s", n, first.Seconds(), last.Seconds())
		if last > within {
			t.Errorf("the last knew after %v, later than %v", last, within)
		}
	})
}

// meshIndex is which of n peers an event is about.
func meshIndex(ev mesh.Event, n int) int {
	for i := range n {
		if ev.Peer == meshtest.ID(i) {
			return i
		}
	}
	return -1
}

// The halves of a partition of five minutes are one mesh again within twenty seconds of its end.
func TestPartitionHeals(t *testing.T) {
	const within = 20 * time.Second
	n := *crowd
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(n)
		time.Sleep(settle)
		type change struct {
			joined bool
			at     time.Time
		}
		changes := make(chan change, 100*n*n)
		for i, a := range all {
			w.watch(a, func(at time.Time, ev mesh.Event) {
				if ev.Kind == mesh.Heard {
					return
				}
				if k := meshIndex(ev, n); k%2 == i%2 {
					t.Errorf("%d: %v, and there was no wall between them", i, ev)
				}
				changes <- change{ev.Kind == mesh.Joined, at}
			})
		}
		w.partition(func(from, to string) bool { return side(from, n) != side(to, n) })
		time.Sleep(5 * time.Minute)
		pairs := 2 * (n / 2) * ((n + 1) / 2)
		for k := range pairs {
			select {
			case c := <-changes:
				if c.joined {
					t.Fatal("one has joined through the wall")
				}
			default:
				t.Fatalf("%d of %d noticed the wall", k, pairs)
			}
		}
		healed := time.Now()
		w.partition(nil)
		var last time.Duration
		for k := range pairs {
			select {
			case c := <-changes:
				if !c.joined {
					t.Fatal("one has left after the wall fell")
				}
				last = c.at.Sub(healed)
			case <-time.After(time.Minute):
				t.Fatalf("%d of %d are together after a minute", k, pairs)
			}
		}
		t.Logf("%d devices: one mesh %.2f s after the wall fell", n, last.Seconds())
		if last > within {
			t.Errorf("it took %v, longer than %v", last, within)
		}
	})
}

// side is on which side of the wall an address is.
func side(ip string, n int) int {
	for i := range n {
		if ipOf(i).String() == ip {
			return i % 2
		}
	}
	return -1
}

// Where one packet in twenty is lost and the others take up to 200 ms longer, nobody is taken for dead.
func TestBadLinks(t *testing.T) {
	n, long := *crowd, 10*time.Minute
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(n)
		time.Sleep(settle)
		for i, a := range all {
			w.watch(a, func(at time.Time, ev mesh.Event) {
				if ev.Kind == mesh.Left {
					t.Errorf("%d: %v", i, ev)
				}
			})
		}
		w.shake.Store(int64(200 * time.Millisecond))
		w.partition(func(string, string) bool { return rand.IntN(100) < 5 })
		before := w.bytes.Load()
		time.Sleep(long)
		t.Logf("%d devices in %v: nobody left; %.0f bytes a second of each", n, long,
			float64(w.bytes.Load()-before)/long.Seconds()/float64(n))
		w.partition(nil)
	})
}
