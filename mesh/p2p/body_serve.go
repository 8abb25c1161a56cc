package p2p

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/yanmesh/yan/mesh/patch"
	"github.com/yanmesh/yan/protocol"
)

// briefly is a message as a peer is told it: of an update its head, if the peer can ask for the body.
func (b *bodies) briefly(to peer.ID, m protocol.Message) protocol.Message {
	u, ok := m.(*protocol.Update)
	if !ok {
		return m
	}
	if speaks, err := b.host.Peerstore().SupportsProtocols(to, b.protos[0]); err != nil || len(speaks) == 0 {
		return m
	}
	b.own(u)
	return &u.Announce
}

// serve answers one peer's request for a body.
func (b *bodies) serve(ctx context.Context, s network.Stream, answer func(context.Context, network.Stream) error) {
	if relayedConn(s.Conn()) || !b.mayAsk(ctx, s.Conn().RemotePeer()) {
		s.Reset()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := answer(ctx, s); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

// mayAsk waits until it is a peer's turn to ask, and reports false if it asked far too often.
func (b *bodies) mayAsk(ctx context.Context, id peer.ID) bool {
	b.mu.Lock()
	p, ok := b.asks.Get(id)
	if !ok {
		p = &pace{rate: askRate, burst: askBurst}
		b.asks.Add(id, p)
	}
	was := p.empty
	over := p.over(time.Now())
	if over > stall/2 {
		p.empty = was
	}
	b.mu.Unlock()
	return over <= stall/2 && sleep(ctx, over)
}

// answer reads a request and sends, in pieces, what the peer lacks.
func (b *bodies) answer(ctx context.Context, s network.Stream) error {
	r := bufio.NewReader(&steady{Stream: s, wait: stall})
	n, err := readLength(r, protocol.MaxBodyFrame)
	if err != nil {
		return b.blameIf(s, err)
	}
	frame, err := readBytes(r, n)
	if err != nil {
		return err
	}
	q, err := protocol.DecodeBodyRequest(frame)
	if err != nil {
		return b.blameIf(s, err)
	}
	body, _ := b.get(q.Digest)
	if int(q.Offset) > len(body) {
		body = nil
	}
	a, err := protocol.EncodeBodyAnswer(&protocol.BodyAnswer{Size: uint32(len(body))})
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return writeSteadily(s, frameOf(a), stall)
	}
	done, err := b.turnTo(ctx, s.Conn().RemotePeer())
	if err != nil {
		return err
	}
	defer done()
	if err := writeSteadily(s, frameOf(a), stall); err != nil {
		return err
	}
	earlier, _ := b.get(q.Earlier)
	var piece []byte
	for at := int(q.Offset); at < len(body); at += patch.Piece {
		piece = patch.Append(piece[:0], body, at, earlier)
		if err := b.out(ctx, s, piece); err != nil {
			return err
		}
	}
	b.counts.served.Add(1)
	return nil
}

// blameIf notes the peer's fault, if it is one.
func (b *bodies) blameIf(s network.Stream, err error) error {
	if errors.Is(wrong(err), errWrong) {
		b.fault(s.Conn().RemotePeer(), err)
	}
	return err
}

// answerWhole is for peers that know no pieces. See fetchWhole.
func (b *bodies) answerWhole(ctx context.Context, s network.Stream) error {
	var d protocol.Digest
	if _, err := io.ReadFull(&steady{Stream: s, wait: stall}, d[:]); err != nil {
		return err
	}
	body, _ := b.get(d)
	if len(body) == 0 {
		return writeSteadily(s, make([]byte, 4), stall)
	}
	done, err := b.turnTo(ctx, s.Conn().RemotePeer())
	if err != nil {
		return err
	}
	defer done()
	if err := writeSteadily(s, binary.BigEndian.AppendUint32(nil, uint32(len(body))), stall); err != nil {
		return err
	}
	for at := 0; at < len(body); at += patch.Piece {
		if err := b.out(ctx, s, body[at:min(at+patch.Piece, len(body))]); err != nil {
			return err
		}
	}
	b.counts.served.Add(1)
	return nil
}

// out writes to a stream when there is room for it in the budget.
func (b *bodies) out(ctx context.Context, s network.Stream, p []byte) error {
	if distant(s) && !b.up.take(ctx, len(p)) {
		return ctx.Err()
	}
	return writeSteadily(s, p, stall)
}

// turnTo waits for a transfer to spare. No peer has more than half of them.
func (b *bodies) turnTo(ctx context.Context, id peer.ID) (done func(), err error) {
	b.mu.Lock()
	full := b.busy[id] >= (cap(b.serving)+1)/2
	if !full {
		b.busy[id]++
	}
	b.mu.Unlock()
	if full {
		return nil, errBusy
	}
	leave := func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.busy[id]--; b.busy[id] == 0 {
			delete(b.busy, id)
		}
	}
	select {
	case b.serving <- struct{}{}:
		return func() { <-b.serving; leave() }, nil
	case <-time.After(stall / 2):
		err = errBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	leave()
	return nil, err
}

// distant reports whether the peer at the other end is beyond the local network.
func distant(s network.Stream) bool { return beyond(s.Conn().RemoteMultiaddr()) }

func beyond(a ma.Multiaddr) bool {
	return !manet.IsIPLoopback(a) && !manet.IsPrivateAddr(a) && !manet.IsIP6LinkLocal(a)
}
