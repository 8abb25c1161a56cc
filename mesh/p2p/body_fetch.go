package p2p

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/yanmesh/yan/mesh/patch"
	"github.com/yanmesh/yan/protocol"
)

// A half is a body as far as it came, and who gave it.
type half struct {
	body  []byte
	parts []part
	left  time.Time // when it was left off
}

// A part is what one peer gave, up to a byte.
type part struct {
	from  peer.ID
	until int
}

// add appends what a peer gave.
func (h *half) add(from peer.ID, b []byte) {
	if len(b) == 0 {
		return
	}
	h.body = append(h.body, b...)
	if n := len(h.parts); n > 0 && h.parts[n-1].from == from {
		h.parts[n-1].until = len(h.body)
	} else {
		h.parts = append(h.parts, part{from, len(h.body)})
	}
}

// cut drops all from byte n on.
func (h *half) cut(n int) {
	h.body = h.body[:n]
	kept := 0
	for _, p := range h.parts {
		if n == 0 {
			break
		}
		kept++
		if p.until >= n {
			h.parts[kept-1].until = n
			break
		}
	}
	h.parts = h.parts[:kept]
}

// differing returns who gave bytes that the true body does not have.
func (h *half) differing(body []byte) (ids []peer.ID) {
	at := 0
	for _, p := range h.parts {
		if !bytes.Equal(h.body[at:p.until], body[at:p.until]) {
			ids = append(ids, p.from)
		}
		at = p.until
	}
	return ids
}

// halves keeps what came of bodies before their transfers broke, for a while and not without bound. It is guarded by bodies.mu.
type halves struct {
	lru   *simplelru.LRU[protocol.Digest, *half]
	bytes int
}

const (
	keptHalves    = 16
	keptHalfBytes = 2 * protocol.MaxBody
	keptHalfTime  = 10 * time.Minute
)

func newHalves() *halves {
	h := new(halves)
	h.lru, _ = simplelru.NewLRU(keptHalves, func(_ protocol.Digest, x *half) { h.bytes -= len(x.body) }) // the only error is a size of zero
	return h
}

// take returns what is there of a body, which may be nothing. Nobody else gets it meanwhile.
func (h *halves) take(d protocol.Digest, now time.Time) *half {
	x, ok := h.lru.Get(d)
	if !ok {
		return new(half)
	}
	h.lru.Remove(d)
	if now.Sub(x.left) > keptHalfTime {
		return new(half)
	}
	return x
}

func (h *halves) leave(d protocol.Digest, x *half, now time.Time) {
	if len(x.body) == 0 || h.lru.Contains(d) {
		return
	}
	x.left = now
	h.lru.Add(d, x)
	h.bytes += len(x.body)
	for h.bytes > keptHalfBytes {
		h.lru.RemoveOldest()
	}
}

// gather gets a body from the peers, one of whom brought the news, one after the other. Where one stops the next goes on. If what they gave together is not the body, each is
// asked for all of it, and when one has the body it shows who of the others had not.
func (b *bodies) gather(ctx context.Context, w want, news peer.ID) (_ []byte, err error) {
	b.mu.Lock()
	h := b.begun.take(w.digest, time.Now())
	b.mu.Unlock()
	if len(h.body) >= w.size { // another head promised another size
		h = new(half)
	}
	var mixed *half // what was not the body, of several peers
	liars := make(map[peer.ID]bool)
	from := b.providers(w.author, news)
	defer func() {
		if err != nil && mixed == nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.begun.leave(w.digest, h, time.Now())
		}
	}()
	err = errNone
	none := 0
	for round := 0; round < fetchRounds && none < fetchNone; round++ {
		if round > 0 && !pause(ctx, min(fetchPause<<(round-1), fetchLongest)) {
			break
		}
		none++
		for _, id := range from {
			if liars[id] {
				continue
			}
			if mixed != nil {
				h = new(half)
			}
			began := len(h.body)
			ferr := b.fetchFrom(ctx, w, id, h)
			if ferr == nil && protocol.Sum(h.body) == w.digest {
				if began > 0 {
					b.counts.resumed.Add(1)
				}
				if mixed != nil {
					for _, id := range mixed.differing(h.body) {
						b.fault(id, errWrong)
					}
				}
				return h.body, nil
			}
			if !errors.Is(ferr, errNone) && !errors.Is(ferr, errRelay) { // neither will soon be otherwise
				none = 0
			}
			lied := errors.Is(ferr, errWrong)
			if ferr == nil {
				ferr = errWrong
				if lied = len(h.parts) == 1; !lied {
					mixed = h
				}
				h = new(half)
			}
			if errors.Is(ferr, errSize) && id == news {
				lied = true // it passed the head on, so it had the body
			}
			if lied {
				liars[id] = true
				b.fault(id, errWrong)
			}
			if err = fmt.Errorf("from %s: %w", id, ferr); ctx.Err() != nil {
				return nil, err
			}
		}
	}
	return nil, err
}

// pause waits about as long as that, and reports whether ctx is still going on.
func pause(ctx context.Context, about time.Duration) bool {
	select {
	case <-time.After(about/2 + rand.N(about)):
		return true
	case <-ctx.Done():
		return false
	}
}

// fetchFrom asks one peer for what is missing, and adds to h what comes, whatever ends it. It returns nil when nothing is missing any more. What is
// no answer to the question is the peer's fault, and none of it stays.
func (b *bodies) fetchFrom(ctx context.Context, w want, id peer.ID, h *half) error {
	ctx, cancel := context.WithTimeout(ctx, stall+b.patience(w.size-len(h.body)))
	defer cancel()
	s, err := b.open(ctx, id)
	if err != nil {
		return err
	}
	defer s.Reset() // does nothing once all is read and both sides are closed
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	began := len(h.body)
	if s.Protocol() == b.protos[0] {
		err = b.fetchRest(ctx, s, w, h)
	} else {
		err = b.fetchWhole(ctx, s, w, h)
	}
	if errors.Is(err, errWrong) {
		h.cut(began)
	}
	return err
}

// patience is how long we wait for so many bytes: less than others need who are as slow as we bear, or than we allow ourselves.
func (b *bodies) patience(n int) time.Duration {
	rate := slowest
	if b.down != nil {
		rate = min(rate, b.down.rate/(2*fetchAtOnce))
	}
	return time.Duration(n) * time.Second / time.Duration(rate)
}

// in is the stream as we read it: no read takes too long, and none comes faster than we want.
func (b *bodies) in(ctx context.Context, s network.Stream) io.Reader {
	in := &steady{Stream: s, wait: stall}
	if !distant(s) {
		return in
	}
	return &paced{in, ctx, b.down}
}

// fetchRest asks for what is missing, in pieces.
func (b *bodies) fetchRest(ctx context.Context, s network.Stream, w want, h *half) error {
	d, earlier := b.earlier(w)
	q, err := protocol.EncodeBodyRequest(&protocol.BodyRequest{Digest: w.digest, Offset: uint32(len(h.body)), Earlier: d})
	if err != nil {
		return err
	}
	if err := errors.Join(writeSteadily(s, frameOf(q), stall), s.CloseWrite()); err != nil {
		return err
	}
	in := bufio.NewReader(b.in(ctx, s))
	n, err := readLength(in, protocol.MaxBodyFrame)
	if err != nil {
		return wrong(err)
	}
	frame, err := readBytes(in, n)
	if err != nil {
		return err
	}
	a, err := protocol.DecodeBodyAnswer(frame)
	switch {
	case err != nil:
		return wrong(err)
	case a.Size == 0:
		return errNone
	case int(a.Size) != w.size:
		return errSize
	}
	r := patch.NewReader(in, w.size, len(h.body), earlier)
	for {
		p, err := r.Next()
		h.add(s.Conn().RemotePeer(), p)
		if err == io.EOF {
			return s.Close()
		}
		if err != nil {
			return wrong(err)
		}
	}
}

// wrong tells what the peer did wrong from what went wrong with the stream.
func wrong(err error) error {
	for _, fault := range []error{errFrame, patch.ErrPiece, protocol.ErrMalformed, protocol.ErrTooLong} {
		if errors.Is(err, fault) {
			return fmt.Errorf("%w: %w", errWrong, err)
		}
	}
	return err
}

// fetchWhole asks a peer that knows no pieces: the digest goes there, the size in four bytes and the body come back.
func (b *bodies) fetchWhole(ctx context.Context, s network.Stream, w want, h *half) error {
	if err := errors.Join(writeSteadily(s, w.digest[:], stall), s.CloseWrite()); err != nil {
		return err
	}
	in := b.in(ctx, s)
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return err
	}
	switch n := binary.BigEndian.Uint32(head[:]); n {
	case 0:
		return errNone
	case uint32(w.size):
	default:
		return errSize
	}
	body, err := readBytes(in, w.size)
	if err != nil {
		return err
	}
	h.cut(0)
	h.add(s.Conn().RemotePeer(), body)
	return s.Close()
}
