package p2p

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

const (
	sayIdle  = 5 * time.Minute // after this a silent inbound stream is closed
	sayRate  = 100             // frames a second that we read from one stream
	sayBurst = 400             // frames that may come at once
)

// newSay are the streams on which one peer is told something.
func newSay(ctx context.Context, h host.Host, t *tasks, proto libp2p.ID) *lines {
	return &lines{
		ctx: ctx, tasks: t, host: h, proto: proto,
		dial: stall, write: stall,
		depth: 256, bytes: 2 * protocol.MaxFrame, total: 16 * protocol.MaxFrame,
	}
}

// tell queues a message for one peer. One with a body does not go through a relay.
func tell(l *lines, to peer.ID, m protocol.Message) error {
	frame, err := protocol.Encode(m)
	if err != nil {
		return err
	}
	body := false
	switch m.(type) {
	case *protocol.Update, *protocol.Record, *protocol.Part:
		body = true
	}
	if body && connected(l.host, to) && !direct(l.host, to) {
		return fmt.Errorf("%w: %w", mesh.ErrUnreachable, errRelay)
	}
	if err := l.send(to, frame, body); err != nil {
		return fmt.Errorf("%w: %w", mesh.ErrUnreachable, err)
	}
	return nil
}

// hear reads what one peer tells us, frame by frame, and hands on what decodes.
// A frame of a kind that we do not know is skipped; one that is false ends the
// stream and counts against the peer. A peer that tells more than we can take
// is read more slowly.
func hear(ctx context.Context, s network.Stream, fault func(peer.ID, error), heard func(peer.ID, protocol.Message)) {
	defer s.Reset()
	from := s.Conn().RemotePeer()
	in := &steady{Stream: s}
	r := bufio.NewReader(in)
	pace := pace{rate: sayRate, burst: sayBurst}
	for {
		in.wait, in.until = sayIdle, time.Time{}
		n, err := readLength(r, protocol.MaxFrame)
		if errors.Is(err, errFrame) {
			fault(from, err)
		}
		if err != nil {
			return
		}
		in.wait, in.until = stall, time.Now().Add(stall+time.Duration(n)*time.Second/slowest)
		l := &loan{ctx: ctx, scope: s.Scope()}
		msg, err := readMessage(r, n, l.take)
		l.end()
		switch {
		case errors.Is(err, protocol.ErrUnknown):
		case errors.Is(err, errStream):
			return
		case err != nil:
			fault(from, err)
			return
		default:
			heard(from, msg)
		}
		if !pace.wait(ctx) {
			return
		}
	}
}

// errStream marks what went wrong with the stream and not with what it said.
var errStream = errors.New("p2p: stream")

func readMessage(r io.Reader, n int, claim func(int) error) (protocol.Message, error) {
	frame, err := readClaimed(r, n, claim)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStream, err)
	}
	msg, err := protocol.Decode(frame)
	if err != nil {
		return nil, err
	}
	switch m := msg.(type) {
	case *protocol.Update:
		err = m.Verify()
	case *protocol.Record:
		err = m.Verify()
	}
	return msg, err
}

// A loan is the memory that half-read messages of one stream take. Those of all peers together have a limit, and so
// have those of each (see newLimits): where there is no more, the stream is not read on for a while.
type loan struct {
	ctx   context.Context
	scope network.ResourceScope
	bytes int
}

// unclaimed is how much every stream may take.
const unclaimed = 16 << 10

func (l *loan) take(n int) error {
	if l.bytes += n; l.bytes <= unclaimed {
		return nil
	}
	if l.bytes-n <= unclaimed {
		n = l.bytes
	}
	for range stall / time.Second {
		if l.scope.ReserveMemory(n, network.ReservationPriorityAlways) == nil {
			return nil
		}
		if !sleep(l.ctx, time.Second) {
			break
		}
	}
	l.bytes -= n
	return errFull
}

// end gives back what was taken.
func (l *loan) end() {
	if l.bytes > unclaimed {
		l.scope.ReleaseMemory(l.bytes)
	}
	l.bytes = 0
}
