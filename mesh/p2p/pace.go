package p2p

import (
	"context"
	"io"
	"math"
	"sync"
	"time"
)

// pace is a leaky bucket: it lets burst events pass at once, and then rate a second.
type pace struct {
	rate, burst int
	empty       time.Time // when the bucket will be
}

// over counts an event, and returns how long it should have waited.
func (p *pace) over(now time.Time) time.Duration {
	each := time.Second / time.Duration(p.rate)
	if p.empty.Before(now) {
		p.empty = now
	}
	p.empty = p.empty.Add(each)
	return p.empty.Sub(now) - time.Duration(p.burst)*each
}

// allow counts an event if it need not wait, and otherwise says that it would have to.
func (p *pace) allow(now time.Time) bool {
	was := p.empty
	if p.over(now) > 0 {
		p.empty = was
		return false
	}
	return true
}

// wait counts an event, and waits as long as it has to. It reports whether ctx is still going on.
func (p *pace) wait(ctx context.Context) bool {
	return sleep(ctx, p.over(time.Now()))
}

// sleep waits, if there is anything to wait for, and reports whether ctx is still going on.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// budget is a leaky bucket of bytes, which many streams fill: those of one second may pass at once. A nil budget has no bounds.
type budget struct {
	rate int // bytes a second

	mu    sync.Mutex
	empty time.Time // when the bucket will be
}

func newBudget(rate int) *budget {
	if rate == math.MaxInt {
		return nil
	}
	return &budget{rate: rate}
}

// take counts so many bytes, and waits as long as they have to. It reports whether ctx is still going on.
func (b *budget) take(ctx context.Context, n int) bool {
	if b == nil {
		return ctx.Err() == nil
	}
	b.mu.Lock()
	now := time.Now()
	if b.empty.Before(now) {
		b.empty = now
	}
	b.empty = b.empty.Add(time.Duration(n) * time.Second / time.Duration(b.rate))
	over := b.empty.Sub(now) - time.Second
	b.mu.Unlock()
	return sleep(ctx, over)
}

// paced reads no faster than its budget allows.
type paced struct {
	io.Reader
	ctx    context.Context
	budget *budget
}

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 && !p.budget.take(p.ctx, n) {
		return n, p.ctx.Err()
	}
	return n, err
}
