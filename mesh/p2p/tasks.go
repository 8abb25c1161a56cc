package p2p

import "sync"

// tasks are the goroutines that a mesh owns, those that libp2p starts for it
// (stream handlers, validators) included. After wait no other begins.
type tasks struct {
	running sync.WaitGroup

	mu   sync.Mutex // guards over, and running against an Add after wait
	over bool
}

// begin counts the calling goroutine in, or reports that it came too late.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	t.running.Add(1)
	return true
}

func (t *tasks) end() { t.running.Done() }

// start runs f in a goroutine of its own, unless it is too late.
func (t *tasks) start(f func()) bool {
	if !t.begin() {
		return false
	}
	go func() {
		defer t.end()
		f()
	}()
	return true
}

// wait lets nothing more begin and returns when everything has ended.
func (t *tasks) wait() {
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
	t.running.Wait()
}
