package main

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/node"
)

// What is read is kept together: this much, or what came within this time, whatever comes first.
const (
	groupBytes = 4 << 10
	groupTime  = time.Second
)

// groups cuts what a reader gives into groups, and closes the channel at its end. The error, if there was
// one, is there to be read once it is closed. A reader that blocks for ever keeps the goroutine until the
// process ends.
type groups struct {
	c   chan []byte
	err error
}

func readGroups(ctx context.Context, r io.Reader) *groups {
	pieces := make(chan []byte)
	g := &groups{c: make(chan []byte)}
	var failed error
	go func() {
		defer close(pieces)
		buf := make([]byte, groupBytes)
		for {
			n, err := r.Read(buf)
			if n > 0 {
				select {
				case pieces <- append([]byte(nil), buf[:n]...):
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					failed = err
				}
				return
			}
		}
	}()
	go func() {
		defer close(g.c)
		var group []byte
		var due <-chan time.Time
		send := func() bool {
			select {
			case g.c <- group:
				group, due = nil, nil
				return true
			case <-ctx.Done():
				return false
			}
		}
		for {
			select {
			case p, ok := <-pieces:
				if !ok {
					g.err = failed
					if len(group) > 0 {
						send()
					}
					return
				}
				if len(group)+len(p) > groupBytes && !send() {
					return
				}
				if group = append(group, p...); due == nil {
					due = time.After(groupTime)
				}
				if len(group) == groupBytes && !send() {
					return
				}
			case <-due:
				if !send() {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return g
}

// readAll reads and learns a source to its end, and tells what learning was worth. Each group is on the
// disk before it is counted.
func (s *session) readAll(ctx context.Context, source io.Reader) error {
	total := int64(-1)
	if f, ok := source.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			total = info.Size()
		}
	}
	progress := ui.NewProgress(s.errs, "reading", total, "B")
	defer progress.Done()

	// What the base alone makes of it, on a processor that is free.
	still := newWitness(s.dev.Node.Learner().Base())
	var wg sync.WaitGroup
	defer wg.Wait()

	began := time.Now()
	read, nats := 0, 0.0
	g := readGroups(ctx, source)
	for {
		var b []byte
		var more bool
		select {
		case b, more = <-g.c:
		case <-ctx.Done():
		}
		if ctx.Err() != nil || !more {
			break
		}
		wg.Wait()
		wg.Go(func() { still.read(b) })
		var n float64
		if err := s.dev.Do(ctx, func(now time.Time, d *node.Node) (a node.Actions, err error) {
			n, a = d.Observe(now, b)
			return a, nil
		}); err != nil {
			return err
		}
		read += len(b)
		nats += n
		progress.Set(int64(read))
		s.out.event(map[string]any{"event": "kept", "bytes": read})
	}
	if ctx.Err() == nil && g.err != nil {
		return g.err
	}
	if err := s.dev.Do(context.WithoutCancel(ctx), func(now time.Time, n *node.Node) (node.Actions, error) {
		return n.Flush(now), nil
	}); err != nil {
		return err
	}
	wg.Wait()
	progress.Done()
	took := time.Since(began)
	rate := float64(read) / took.Seconds()
	static, learning := bits(still.nats, still.events), bits(nats, read)
	s.out.event(map[string]any{
		"event": "read", "source": s.read, "skill": s.skill, "bytes": read, "seconds": took.Seconds(), "events_per_second": rate,
		"bits_per_byte": map[string]float64{"static": static, "learning": learning},
	})
	s.out.note("read %s in %s (%s events a second): %.3f bits a byte while learning, %.3f with the base alone",
		ui.Bytes(int64(read)), ui.Duration(took), ui.Count(int64(rate)), learning, static)
	return ctx.Err()
}
