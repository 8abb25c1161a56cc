package p2p

import (
	"context"
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
	over := p.over(time.Now())
	if over <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(over):
		return true
	case <-ctx.Done():
		return false
	}
}
