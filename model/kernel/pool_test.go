package kernel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ways are a pool that never sleeps, one that does as a new one does, and one that sleeps at once.
var ways = map[string]int32{"spin": 1 << 30, "spin and park": busyTurns, "park": 0}

// withPools runs a test with pools of every size and way of waiting. In a bubble no time passes, so to wake
// a worker never seems slow, and whoever sleeps is woken.
func withPools(t *testing.T, f func(t *testing.T, p *Pool)) {
	for way, spins := range ways {
		for threads := 1; threads <= 4; threads++ {
			if way == "spin" && threads > runtime.GOMAXPROCS(0) {
				continue // who never sleeps would keep the others from running
			}
			t.Run(fmt.Sprintf("%s/%d", way, threads), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := NewPool(threads)
					p.spins.Store(spins)
					defer func() {
						p.SetSpin(false)
						meet(p) // whoever waits for a task in a busy loop begins a new wait
						p.Close()
					}()
					f(t, p)
				})
			})
		}
	}
}

// meet returns when all threads have been in one Run together.
func meet(p *Pool) {
	trust(p)
	var all sync.WaitGroup
	all.Add(p.Threads())
	p.Run(p.Threads(), func(int, int) {
		all.Done()
		all.Wait()
	})
}

// trust makes the next Run share its tasks out, whatever the ones before were like.
func trust(p *Pool) {
	p.mu.Lock()
	p.alone = time.Time{}
	p.mu.Unlock()
}

// Every task is done once, and no two at once by the same worker.
func TestPoolDoesEveryTaskOnce(t *testing.T) {
	withPools(t, func(t *testing.T, p *Pool) {
		var busy [8]atomic.Int32
		var done []int
		task := func(worker, task int) {
			if busy[worker].Add(1) != 1 {
				t.Errorf("worker %d does two tasks at once", worker)
			}
			if worker > 0 { // the caller has nothing left to do before we have
				for range 50 {
					runtime.Gosched()
				}
			}
			done[task]++ // the race detector sees who else does
			busy[worker].Add(-1)
		}
		for _, n := range []int{0, 1, 2, 3, 4, 5, 100, 1000, 3, 2, 0, 1} {
			for range 50 {
				done = make([]int, n)
				p.Run(n, task)
				for i, k := range done {
					if k != 1 {
						t.Fatalf("task %d of %d was done %d times", i, n, k)
					}
				}
			}
		}
		for w := range busy {
			if w >= p.Threads() && busy[w].Load() != 0 {
				t.Errorf("there is a worker %d of %d", w, p.Threads())
			}
		}
	})
}

// While one task is stuck, whoever of the two does it, the other does all the rest.
func TestPoolGoesOnBesideAStuckTask(t *testing.T) {
	withPools(t, func(t *testing.T, p *Pool) {
		if p.Threads() < 2 {
			t.Skip("a pool of one thread has no other")
		}
		const n = 40
		for stuck := range n {
			var left atomic.Int32
			left.Store(n - 1)
			rest := make(chan struct{})
			p.Run(n, func(worker, task int) {
				if task == stuck {
					<-rest
				} else if left.Add(-1) == 0 {
					close(rest)
				}
			})
		}
	})
}

// A worker that sleeps is woken by a Run: its tasks end only when all threads have come.
func TestPoolWakesItsWorkers(t *testing.T) {
	withPools(t, func(t *testing.T, p *Pool) {
		for range 100 {
			if p.spins.Load() == 0 { // asleep, and not on the way to it
				for int(p.parked.Load()) < p.Threads()-1 {
					runtime.Gosched()
				}
			}
			meet(p)
		}
	})
}

// Who is not to spin sleeps when there is nothing to do, and who spins does not.
func TestPoolSpin(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("there is one processor")
	}
	p := NewPool(2)
	defer p.Close()
	p.spins.Store(1 << 30)
	meet(p) // wherever the worker was before
	for range 100 {
		meet(p)
		if p.parked.Load() != 0 {
			t.Fatal("a worker that is to spin sleeps")
		}
	}
	p.SetSpin(false)
	meet(p) // its last wait began before
	for p.parked.Load() == 0 {
		runtime.Gosched()
	}

	t.Setenv("YAN_SPIN", "0")
	q := NewPool(2)
	defer q.Close()
	if n := q.spins.Load(); n != 0 {
		t.Errorf("with YAN_SPIN=0, %d turns of a busy loop", n)
	}
	t.Setenv("YAN_SPIN", "")
	r := NewPool(2)
	defer r.Close()
	if r.spins.Load() == 0 {
		t.Error("without it, none")
	}
	if s := NewPool(runtime.GOMAXPROCS(0) + 1); s.spins.Load() != 0 {
		t.Error("more threads than processors spin")
		s.Close()
	} else {
		s.Close()
	}
}

// A panic comes out of Run whoever does the task, once the others are done, and the pool goes on.
func TestPoolPanics(t *testing.T) {
	withPools(t, func(t *testing.T, p *Pool) {
		for bad := range 8 {
			var done atomic.Int32
			got := func() (v any) {
				defer func() { v = recover() }()
				p.Run(8, func(worker, task int) {
					if task == bad {
						panic(fmt.Sprint("task ", bad))
					}
					done.Add(1)
				})
				return nil
			}()
			if want := fmt.Sprint("task ", bad); got != want {
				t.Errorf("Run panicked with %v, want %q", got, want)
			}
			if n := int(done.Load()); p.Threads() > 1 && n != 7 {
				t.Errorf("%d of the other 7 tasks were done", n)
			}
		}
		n := 0
		p.Run(1, func(int, int) { n++ })
		if n != 1 {
			t.Error("it does nothing any more")
		}
	})
}

// The bubble ends only when all goroutines have, so a worker that stays is a deadlock.
func TestPoolClose(t *testing.T) {
	for way, spins := range ways {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := NewPool(3)
				if p.spins.Store(spins); spins > busyTurns {
					p.spins.Store(busyTurns)
				}
				var n atomic.Int32
				count := func(int, int) { n.Add(1) }
				p.Run(10, count)
				go p.Close()
				p.Close()
				p.Close()
				synctest.Wait()
				p.Run(10, count)
				if n.Load() != 20 {
					t.Errorf("%d of 20 tasks were done", n.Load())
				}
			})
		})
	}
	p := NewPool(2)
	p.Close() // before its worker has begun to wait, perhaps
}

// Several goroutines may share a pool: each Run does its own tasks.
func TestPoolIsShared(t *testing.T) {
	withPools(t, func(t *testing.T, p *Pool) {
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				for n := range 60 {
					done := make([]int, n)
					p.Run(n, func(_, task int) { done[task] += g + 1 })
					if slices.ContainsFunc(done, func(k int) bool { return k != g+1 }) {
						t.Errorf("goroutine %d: %v", g, done)
					}
				}
			})
		}
		all.Wait()
	})
}

// Whom a Run had to wait for is left out of the next ones: for twice as long each time in a row, and for as long
// as at first when it has gone well for a while.
func TestPoolDoesWithoutTheLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(2)
		defer p.Close()
		p.SetSpin(false)
		late := func(by time.Duration) {
			begun := make(chan struct{})
			begin := sync.OnceFunc(func() { // the worker may be there for both tasks
				close(begun)
				time.Sleep(by)
			})
			p.Run(2, func(worker, task int) {
				if worker == 0 {
					<-begun
					return
				}
				begin()
			})
		}
		together := func() bool {
			both := true
			begun := make(chan struct{})
			begin := sync.OnceFunc(func() { close(begun) })
			p.Run(2, func(worker, task int) {
				if worker == 1 {
					begin()
					return
				}
				select {
				case <-begun:
				case <-time.After(time.Microsecond):
					both = false
				}
			})
			synctest.Wait() // the worker sleeps again
			return both
		}
		synctest.Wait()
		late(slowWake)
		synctest.Wait()
		if !together() {
			t.Fatal("a worker that was hardly late is left out")
		}
		for _, shy := range []time.Duration{leastShy, 2 * leastShy, 4 * leastShy} {
			late(time.Millisecond)
			synctest.Wait()
			time.Sleep(shy - time.Microsecond)
			if together() {
				t.Errorf("a late worker is back before %v", shy)
			}
			time.Sleep(time.Microsecond)
			if !together() {
				t.Errorf("a late worker is not back after %v", shy)
			}
		}
		time.Sleep(100 * leastShy)
		late(time.Millisecond)
		synctest.Wait()
		time.Sleep(leastShy)
		if !together() {
			t.Error("what was long ago still counts")
		}
		for range 20 {
			late(time.Millisecond)
			synctest.Wait()
			time.Sleep(p.shy)
		}
		if p.shy != mostShy {
			t.Errorf("a worker is left out for %v", p.shy)
		}
	})
}

// Whoever is woken and then keeps the caller from running, as on a busy machine, is left out too. In a bubble
// time passes while nobody runs.
func TestPoolDoesWithoutRivals(t *testing.T) {
	if threadTime() == 0 {
		t.Skip("this system does not count how long a thread has run")
	}
	for _, c := range []struct {
		took  time.Duration
		alone bool
	}{{briefWork, false}, {time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPool(2)
			defer p.Close()
			p.SetSpin(false)
			synctest.Wait()
			begun := make(chan struct{})
			p.Run(2, func(worker, task int) {
				if worker == 1 {
					<-begun // so that the caller has one of the tasks
					return
				}
				close(begun)
				time.Sleep(c.took)
			})
			if alone := p.alone.After(time.Now()); alone != c.alone {
				t.Errorf("after %v off the processor: the worker is left out: %v", c.took, alone)
			}
		})
	}
}

// A thread's time passes while it runs.
func TestThreadTime(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	if start == 0 {
		t.Skip("this system does not count it")
	}
	for i := 0; threadTime() == start; i++ {
		if Burn(1000); i > 1e6 {
			t.Fatal("a thread runs and its time does not")
		}
	}
}

func TestPoolAllocatesNothing(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	s := newShared(2)
	task := s.task
	p.Run(sharedTasks, task)
	if n := testing.AllocsPerRun(200, func() { p.Run(sharedTasks, task) }); n != 0 {
		t.Errorf("a Run allocates %v times", n)
	}
}

// The number of threads changes nothing in the result.
func TestPoolChangesNoResult(t *testing.T) {
	s := newShared(4)
	r := rand.New(rand.NewPCG(1, 2))
	for _, v := range [][]float32{s.a, s.b} {
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
	}
	for task := range sharedTasks {
		s.task(0, task)
	}
	want := slices.Clone(s.c)
	withPools(t, func(t *testing.T, p *Pool) {
		clear(s.c)
		p.Run(sharedTasks, s.task)
		if !slices.Equal(s.c, want) {
			t.Error("another product")
		}
	})
}
