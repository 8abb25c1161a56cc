package kernel

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"
)

// A Pool is a team that shares out the tasks of one Run after another: the goroutine that calls Run, and
// workers that wait for it in between. It is for work of some microseconds to seconds, where starting
// goroutines and waiting for them would cost more than a second processor gives.
//
// Who does which task is chance. So that results do not depend on it, tasks of one Run write to different
// places, and what is summed over them is summed afterwards, in an order of its own.
//
// A worker that has nothing to do looks for tasks in a busy loop for some tens of microseconds before it
// goes to sleep, since being woken takes about as long. See [Pool.SetSpin]. A machine that is busy with other
// things may take a worker's processor away at any time. Then the caller goes on alone: what it waits for
// in the end are tasks that were begun, never workers. So no task may wait for another one of its Run. And when
// workers turn out to be no help on such a machine, it does without them for a while.
type Pool struct {
	threads int

	mu     sync.Mutex // held during a Run, and by Close
	closed bool
	ended  sync.WaitGroup
	wake   chan struct{} // a token for every worker that was taken off parked
	joined chan struct{} // a token for the caller when it was taken off waiting

	// Written between Runs. Whoever took a task off left may read them until the task is done.
	tasks int
	f     func(worker, task int)

	alone time.Time     // until then the caller works alone: see shrink
	shy   time.Duration // for how long it was told to the last time

	spins  atomic.Int32 // turns of a busy loop before whoever turns goes to sleep
	failed atomic.Pointer[any]

	// Each of these is written by others at other times: a line of the cache for each.
	_       cpu.CacheLinePad
	left    atomic.Int64 // tasks that nobody has taken; negative when more came than there were tasks
	_       cpu.CacheLinePad
	pending atomic.Int64 // tasks that are not done
	_       cpu.CacheLinePad
	parked  atomic.Int32 // workers that sleep or are about to, and to whom no token was sent
	waiting atomic.Bool  // the same of the caller
	_       cpu.CacheLinePad
}

const (
	// busyTurns is how long a busy loop lasts: some tens of microseconds.
	busyTurns = 2000

	// slowWake is how long it takes to wake a worker where no processor is idle. Elsewhere it is a tenth.
	slowWake = 50 * time.Microsecond
	// briefWork is too short a time to say how much of it someone was on a processor.
	briefWork = 20 * time.Microsecond
	// leastShy and mostShy bound for how long a caller works alone when the others were no help; it doubles
	// each time in a row.
	leastShy = 2 * time.Millisecond
	mostShy  = 512 * time.Millisecond
)

// NewPool returns a pool of so many threads, the caller of Run among them; less than one stands for as many
// as there are processors. Its workers live until Close.
func NewPool(threads int) *Pool {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, wake: make(chan struct{}, threads), joined: make(chan struct{}, 1)}
	p.SetSpin(threads <= runtime.GOMAXPROCS(0) && os.Getenv("YAN_SPIN") != "0")
	for worker := 1; worker < threads; worker++ {
		p.ended.Go(func() { p.live(worker) })
	}
	return p
}

// Threads is how many tasks can be done at once. The workers that tasks hear of are 0 to Threads()-1.
func (p *Pool) Threads() int { return p.threads }

// SetSpin says whether those who wait do so in a busy loop at first, which is faster, or sleep at once, which
// saves a battery. It holds from the next wait on. A new pool spins, unless there are fewer processors than
// threads or the environment variable YAN_SPIN is 0.
func (p *Pool) SetSpin(on bool) {
	if on {
		p.spins.Store(busyTurns)
	} else {
		p.spins.Store(0)
	}
}

// Run calls f once for every task from 0 to tasks-1 and returns when all are done. worker says which of the
// threads it is that calls, so that each can bring scratch of its own. It allocates nothing. A panic in a
// task comes out of Run, when the other tasks that were begun are done.
//
// Runs of several goroutines come one after another. A task must not call Run of the same pool.
func (p *Pool) Run(tasks int, f func(worker, task int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	alone := tasks < 2 || p.threads == 1 || p.closed
	var start time.Time
	if !alone {
		start = time.Now()
		alone = start.Before(p.alone)
	}
	if alone {
		for task := range tasks {
			f(0, task)
		}
		return
	}
	p.f, p.tasks = f, tasks
	p.pending.Store(int64(tasks))
	p.left.Store(int64(tasks))
	if p.rouse(min(tasks, p.threads)-1, start) {
		p.workWatched()
	} else {
		p.work(0)
	}
	if p.pending.Load() > 0 {
		worked := time.Now()
		p.join()
		if now := time.Now(); now.Sub(worked) > max(worked.Sub(start), slowWake) {
			p.shrink(now)
		}
	}
	p.f = nil
	if v := p.failed.Swap(nil); v != nil {
		panic(*v)
	}
}

// rouse wakes that many of the workers that sleep, and reports whether any did.
func (p *Pool) rouse(workers int, start time.Time) bool {
	if p.parked.Load() == 0 {
		return false
	}
	woken := 0
	for woken < workers && p.unpark() {
		p.wake <- struct{}{}
		woken++
	}
	if now := time.Now(); now.Sub(start) > time.Duration(woken)*slowWake {
		p.shrink(now)
	}
	return woken > 0
}

// workWatched is the caller's work after it woke someone. If it was on a processor for little of that time, the
// one it woke may have been on its own.
func (p *Pool) workWatched() {
	start, ran := time.Now(), threadTime()
	p.work(0)
	now := time.Now()
	took := now.Sub(start)
	if took > briefWork && ran > 0 && 10*(threadTime()-ran) < 6*took {
		p.shrink(now)
	}
}

// shrink has the caller work alone for a while, because the others were no help. It is called when
//
//   - it took long to wake a worker,
//   - the caller did not get to run beside a worker that it woke, or
//   - it waited longer for a task that a worker had begun than it had worked itself.
//
// All of these are signs of a machine that is busy with other things. It has no idle processor for a worker, who
// is given the caller's, and the two take turns instead of working side by side; or a worker's processor is taken
// away while it has a task in hand, for some milliseconds. Either is slower than being alone. How long that lasts
// is found by trying again: each time in a row that it was no good, the next try is put off for twice as long.
//
// All this changes who does a task, and nothing else: the clock has no say in results.
func (p *Pool) shrink(now time.Time) {
	if now.Sub(p.alone) > 8*p.shy {
		p.shy = 0 // it has gone well for long
	}
	p.shy = min(max(2*p.shy, leastShy), mostShy)
	p.alone = now.Add(p.shy)
}

// Close ends the workers and waits for them. What is run afterwards, the caller does alone.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.wake)
	}
	p.ended.Wait()
}

// live is a worker's life.
func (p *Pool) live(worker int) {
	for p.await() {
		p.work(worker)
	}
}

// await returns when there may be a task, or false when there will be none any more.
func (p *Pool) await() bool {
	for range p.spins.Load() {
		if p.left.Load() > 0 {
			return true
		}
		pause()
	}
	p.parked.Add(1)
	// A Run that began before this was not going to wake us, and one that begins from here on is.
	if p.left.Load() > 0 && p.unpark() {
		return true
	}
	_, more := <-p.wake
	return more
}

// unpark takes one worker off parked. Whoever does so for another owes a token.
func (p *Pool) unpark() bool {
	for {
		n := p.parked.Load()
		if n == 0 {
			return false
		}
		if p.parked.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// work takes tasks until there are none left.
func (p *Pool) work(worker int) {
	for {
		left := p.left.Add(-1)
		if left < 0 {
			return
		}
		p.do(worker, p.tasks-1-int(left))
	}
}

func (p *Pool) do(worker, task int) {
	defer p.done()
	p.f(worker, task)
}

// done is deferred by do: the task counts as done even if it panicked, and the panic is kept for the caller.
func (p *Pool) done() {
	if v := recover(); v != nil {
		first := v // so that only a panic allocates
		p.failed.CompareAndSwap(nil, &first)
	}
	if p.pending.Add(-1) == 0 && p.waiting.CompareAndSwap(true, false) {
		p.joined <- struct{}{}
	}
}

// join returns when no task is pending.
func (p *Pool) join() {
	for range p.spins.Load() {
		if p.pending.Load() == 0 {
			return
		}
		pause()
	}
	for p.pending.Load() > 0 {
		p.waiting.Store(true)
		if p.pending.Load() == 0 && p.waiting.CompareAndSwap(true, false) {
			return
		}
		<-p.joined // perhaps of someone who was late to tell that the Run before was done
	}
}
