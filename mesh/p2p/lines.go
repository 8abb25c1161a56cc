package p2p

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// lines are the streams we speak on: for each peer one long-lived stream, a
// bounded queue before it, and a goroutine that owns both and ends when it has
// had nothing to say for lineIdle. What one peer is sent arrives in order or
// not at all; a peer that does not listen costs its own queue and nothing else.
type lines struct {
	ctx   context.Context // ends with the mesh
	tasks *tasks
	host  host.Host
	proto protocol.ID

	dial  time.Duration // how long opening a stream may take
	write time.Duration // how long writing a chunk may take
	depth int           // how many frames may wait for one peer
	bytes int           // how many bytes may wait for one peer; one frame always may
	total int           // how many bytes may wait for all of them

	mu      sync.Mutex // guards what follows; never held over a channel or a stream
	open    map[peer.ID]*line
	waiting int // bytes in all queues
}

// A line is the queue to one peer.
type line struct {
	frames  chan queuedFrame
	waiting int // bytes in frames; guarded by lines.mu
}

// A queuedFrame waits to be sent.
type queuedFrame struct {
	bytes  []byte
	direct bool // and not through a relay
}

const (
	lineIdle = time.Minute
	maxLines = 512 // peers spoken to at once
)

var errFull = errors.New("p2p: too much is waiting to be sent")

// send queues b for the peer and returns at once. It copies b. If it is to go there directly and when its turn
// comes there is only a relay, it is dropped.
func (l *lines) send(to peer.ID, b []byte, direct bool) error {
	frame := frameOf(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.open[to]
	if ln == nil {
		if len(l.open) >= maxLines {
			return errFull
		}
		ln = &line{frames: make(chan queuedFrame, l.depth)}
		if !l.tasks.start(func() { l.run(to, ln) }) {
			return context.Canceled
		}
		if l.open == nil {
			l.open = make(map[peer.ID]*line)
		}
		l.open[to] = ln
	}
	if ln.waiting > 0 && ln.waiting+len(frame) > l.bytes || l.waiting+len(frame) > l.total {
		return errFull
	}
	select {
	case ln.frames <- queuedFrame{frame, direct}:
		ln.waiting += len(frame)
		l.waiting += len(frame)
		return nil
	default:
		return errFull
	}
}

// run owns the stream to one peer.
func (l *lines) run(to peer.ID, ln *line) {
	var s network.Stream
	defer func() {
		if s != nil {
			s.Close()
		}
	}()
	idle := time.NewTimer(lineIdle)
	defer idle.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case frame := <-ln.frames:
			l.took(ln, len(frame.bytes))
			s = l.put(s, to, frame)
			idle.Reset(lineIdle)
		case <-idle.C:
			if l.retire(to, ln) {
				return
			}
			idle.Reset(lineIdle)
		}
	}
}

// put writes the frame to s, or to a new stream when s is nil or broken, and
// returns the stream to use next. A frame that two streams would not take is
// dropped. A stream through a relay is left as soon as there is a direct way.
func (l *lines) put(s network.Stream, to peer.ID, frame queuedFrame) network.Stream {
	if s != nil && relayedConn(s.Conn()) && direct(l.host, to) {
		s.Close()
		s = nil
	}
	for range 2 {
		if s == nil {
			var err error
			if s, err = l.dialStream(to); err != nil {
				return nil
			}
		}
		if frame.direct && relayedConn(s.Conn()) || writeSteadily(s, frame.bytes, l.write) == nil {
			return s
		}
		s.Reset()
		s = nil
	}
	return nil
}

func (l *lines) dialStream(to peer.ID) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.dial)
	defer cancel()
	return l.host.NewStream(ctx, to, l.proto)
}

func (l *lines) took(ln *line, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln.waiting -= n
	l.waiting -= n
}

// retire forgets the line if nothing waits in it. A frame comes in under the
// same lock, so none is lost.
func (l *lines) retire(to peer.ID, ln *line) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln.waiting > 0 {
		return false
	}
	delete(l.open, to)
	return true
}
