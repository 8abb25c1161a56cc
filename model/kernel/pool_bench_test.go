package kernel

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkForkJoin is what it costs until both threads have met in a Run and the caller knows it.
func BenchmarkForkJoin(b *testing.B) {
	if runtime.GOMAXPROCS(0) < 2 {
		b.Skip("there is one processor")
	}
	p := NewPool(2)
	defer p.Close()
	p.spins.Store(1 << 30)
	var arrived atomic.Int64
	both := func(worker, task int) {
		arrived.Add(1)
		for arrived.Load()%2 == 1 {
			pause()
		}
	}
	meet := func() {
		trust(p) // they wait for each other, which tasks are not to
		p.Run(2, both)
	}
	meet()
	b.ReportAllocs()
	for b.Loop() {
		meet()
	}
	p.SetSpin(false)
	meet() // the worker's wait lasted for ever
}

// shared is the product of a 64×256 and a 256×256 matrix, some 75 microseconds on one core, in tasks of some
// columns each.
type shared struct {
	ws      []*Workspace
	a, b, c []float32
}

const sharedTasks = 8

func newShared(threads int) *shared {
	s := &shared{a: Aligned(64 * 256), b: Aligned(256 * 256), c: Aligned(64 * 256)}
	for range threads {
		s.ws = append(s.ws, NewWorkspace())
	}
	for i := range s.a {
		s.a[i] = float32(i%7) - 3
	}
	for i := range s.b {
		s.b[i] = float32(i%5) - 2
	}
	return s
}

func (s *shared) task(worker, task int) {
	const columns = 256 / sharedTasks
	o := task * columns
	Gemm(s.ws[worker], s.c[o:], 256, s.a, 256, 1, s.b[o:], 256, 1, 64, columns, 256, false)
}

// compare has pools take turns at products, so that what disturbs one disturbs the other too, and returns
// how many a second each made while it was its turn.
func compare(pools []*Pool, turns int, turn time.Duration) []float64 {
	count, spent := make([]int, len(pools)), make([]time.Duration, len(pools))
	task := newShared(2).task
	for range turns {
		for i, p := range pools {
			start := time.Now()
			for d := time.Duration(0); d < turn; d = time.Since(start) {
				p.Run(sharedTasks, task)
				count[i]++
			}
			spent[i] += time.Since(start)
		}
	}
	rate := make([]float64, len(pools))
	for i := range rate {
		rate[i] = float64(count[i]) / spent[i].Seconds()
	}
	return rate
}

// BenchmarkTwoThreads compares two threads with one, by themselves and beside two processes that keep the
// processors busy.
func BenchmarkTwoThreads(b *testing.B) {
	if runtime.GOMAXPROCS(0) < 2 {
		b.Skip("there is one processor")
	}
	for _, hogs := range []int{0, 2} {
		b.Run(fmt.Sprintf("hogs=%d", hogs), func(b *testing.B) {
			for range hogs {
				defer hog(b)()
			}
			pools := []*Pool{NewPool(1), NewPool(2)}
			defer pools[1].Close()
			turns := 10
			if hogs > 0 {
				turns = 40 // for the scheduler's own turns to even out
			}
			for b.Loop() {
				rate := compare(pools, turns, 50*time.Millisecond)
				b.ReportMetric(1e6/rate[0], "µs-one")
				b.ReportMetric(1e6/rate[1], "µs-two")
				b.ReportMetric(rate[1]/rate[0], "two/one")
			}
		})
	}
}

const hogVariable = "YAN_TEST_HOG"

var sink uint32

// A hog burns a processor until its standard input ends.
func init() {
	if os.Getenv(hogVariable) == "" {
		return
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for x := uint32(1); ; x = x*1664525 + 1013904223 {
		sink = x
	}
}

// hog starts a hog as a child, and returns what ends it.
func hog(b *testing.B) (end func()) {
	b.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), hogVariable+"=1")
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	return func() {
		in.Close()
		c.Wait()
	}
}
