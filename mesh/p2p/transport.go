package p2p

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	packetBytes = 8 << 10   // what memberlist may put into one packet
	syncBytes   = 256 << 10 // what one push and pull of the membership may read
	syncNodes   = 1024      // how many members it may list
	syncsAtOnce = 8         // how many peers may push to us at a time
	syncTime    = 10 * time.Second
	packetIdle  = 2 * time.Minute // after this a silent inbound stream is closed
)

// transport carries memberlist's packets and streams over libp2p, so that
// membership needs no port, no key and no identity of its own. A member's name
// is its peer ID.
//
// memberlist trusts what it reads further than we do: see plain and syncConn
// for what is kept from it.
type transport struct {
	ctx     context.Context
	cancel  context.CancelFunc
	host    host.Host
	pull    protocol.ID // of push and pull
	packet  lines
	packets chan *memberlist.Packet
	streams chan net.Conn
	slots   chan struct{} // one for each inbound push and pull
	fault   func(peer.ID, error)
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(h host.Host, t *tasks, packet, pull protocol.ID, fault func(peer.ID, error)) *transport {
	ctx, cancel := context.WithCancel(context.Background())
	return &transport{
		ctx: ctx, cancel: cancel, host: h, pull: pull,
		packet: lines{
			ctx: ctx, tasks: t, host: h, proto: packet,
			dial: 2 * time.Second, write: time.Second,
			depth: 64, bytes: 64 * packetBytes, total: 4 << 20,
		},
		packets: make(chan *memberlist.Packet, 256),
		streams: make(chan net.Conn),
		slots:   make(chan struct{}, syncsAtOnce),
		fault:   fault,
	}
}

// memberAddr is the address that memberlist insists on. It is made from the
// peer ID and from nothing else, so that a device that moves from network to
// network never claims a second one.
func memberAddr(id peer.ID) (net.IP, int) {
	h := sha256.Sum256([]byte(id))
	ip := make(net.IP, net.IPv6len)
	copy(ip[1:], h[:])
	ip[0] = 0xfd // a unique local address
	return ip, 7946
}

// joinAddr is what memberlist's Join takes for the peer.
func joinAddr(id peer.ID) string {
	ip, port := memberAddr(id)
	return fmt.Sprintf("%s/[%s]:%d", id, ip, port)
}

var errNameless = errors.New("p2p: a member's address without its name")

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	ip, port := memberAddr(t.host.ID())
	return ip, port, nil
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *transport) WriteTo([]byte, string) (time.Time, error) { return time.Time{}, errNameless }

func (t *transport) DialTimeout(string, time.Duration) (net.Conn, error) { return nil, errNameless }

// WriteToAddress never blocks and never says that a peer is out of reach:
// memberlist gives up a probe on an error it does not know, without suspecting
// the peer. Silence is what makes it suspect.
func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	id, err := peer.Decode(to.Name)
	if err != nil {
		return time.Time{}, fmt.Errorf("p2p: member %q: %w", to.Name, err)
	}
	now := time.Now()
	// Anyone can make us write to anyone, by asking for an indirect probe. It
	// should not cost a goroutine when there is no way there.
	if t.ctx.Err() == nil && (connected(t.host, id) || len(t.host.Peerstore().Addrs(id)) > 0) {
		_ = t.packet.send(id, b, false) // a full queue loses packets, as a network may
	}
	return now, nil
}

func (t *transport) DialAddressTimeout(to memberlist.Address, d time.Duration) (net.Conn, error) {
	id, err := peer.Decode(to.Name)
	if err != nil {
		return nil, fmt.Errorf("p2p: member %q: %w", to.Name, err)
	}
	ctx, cancel := context.WithTimeout(t.ctx, d)
	defer cancel()
	s, err := t.host.NewStream(ctx, id, t.pull)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "libp2p", Addr: addrOf(id), Err: err}
	}
	return newSyncConn(s, func() {}), nil
}

// Shutdown ends the writers; readPackets and takeSync end with their streams.
func (t *transport) Shutdown() error {
	t.cancel()
	return nil
}

// readPackets handles an inbound stream of packets.
func (t *transport) readPackets(s network.Stream) {
	defer s.Reset()
	from := s.Conn().RemotePeer()
	addr := addrOf(from)
	r := bufio.NewReader(&steady{Stream: s, wait: packetIdle})
	for {
		n, err := readLength(r, 2*packetBytes)
		if errors.Is(err, errFrame) {
			t.fault(from, err)
		}
		if err != nil {
			return
		}
		b, err := readBytes(r, n)
		if err != nil {
			return
		}
		if !plain(b) {
			t.fault(from, errPacket)
			return
		}
		select {
		case t.packets <- &memberlist.Packet{Buf: b, From: addr, Timestamp: time.Now()}:
		case <-t.ctx.Done():
			return
		}
	}
}

// takeSync hands an inbound push and pull to memberlist.
func (t *transport) takeSync(s network.Stream) {
	select {
	case t.slots <- struct{}{}:
	default:
		s.Reset()
		return
	}
	c := newSyncConn(s, func() { <-t.slots })
	select {
	case t.streams <- c:
	case <-t.ctx.Done():
		c.Close()
	}
}

// The kinds of message that memberlist may be shown, by their first byte.
const (
	kindPing         = 0
	kindIndirectPing = 1
	kindAck          = 2
	kindSuspect      = 3
	kindAlive        = 4
	kindDead         = 5
	kindPushPull     = 6
	kindCompound     = 7
	kindNack         = 11
	kindCRC          = 12
	kindError        = 13
)

var (
	errPacket = errors.New("p2p: a membership packet of a kind that is not used")
	errSync   = errors.New("p2p: a membership exchange that is not allowed")
)

// plain reports whether a packet holds only what our own memberlist sends: one
// message, or a compound of messages, with a checksum before it or not. What it
// keeps away is compression, which turns a packet into forty megabytes, and what
// makes memberlist's decoder take gigabytes: see sieve.
func plain(b []byte) bool {
	if len(b) > 5 && b[0] == kindCRC {
		b = b[5:]
	}
	if b[0] != kindCompound {
		return leaf(b)
	}
	if len(b) < 2 || len(b) < 2+2*int(b[1]) {
		return false
	}
	sizes, rest := b[2:2+2*int(b[1])], b[2+2*int(b[1]):]
	for ; len(sizes) > 0; sizes = sizes[2:] {
		n := int(sizes[0])<<8 | int(sizes[1])
		if n > len(rest) || !leaf(rest[:n]) {
			return false
		}
		rest = rest[n:]
	}
	return len(rest) == 0
}

func leaf(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch b[0] {
	case kindPing, kindIndirectPing, kindAck, kindSuspect, kindAlive, kindDead, kindNack:
		in := sieve{in: bytes.NewReader(b[1:]), left: len(b) - 1}
		return in.table(func(string, uint64) {}) == nil && in.left == 0
	}
	return false
}

// A syncConn makes a stream memberlist's net.Conn for one push and pull. It
// lives at most syncTime, and hands memberlist nothing that was not read whole and found sound.
type syncConn struct {
	network.Stream
	in      io.Reader
	checked bool
	release func() // called once
}

func newSyncConn(s network.Stream, release func()) *syncConn {
	_ = s.SetDeadline(time.Now().Add(syncTime)) // a stream without deadlines still ends with its connection
	return &syncConn{Stream: s, in: s, release: sync.OnceFunc(release)}
}

func (c *syncConn) Read(b []byte) (int, error) {
	if !c.checked {
		all, err := readSync(c.in)
		if err != nil {
			return 0, err
		}
		c.in, c.checked = bytes.NewReader(all), true
	}
	return c.in.Read(b)
}

// Close says that we are done, and so does not lose what was written last.
func (c *syncConn) Close() error {
	defer c.release()
	return c.Stream.Close()
}

func (c *syncConn) LocalAddr() net.Addr  { return addrOf(c.Conn().LocalPeer()) }
func (c *syncConn) RemoteAddr() net.Addr { return addrOf(c.Conn().RemotePeer()) }

// readSync reads a push and pull as far as memberlist will, and returns its bytes. It refuses what claims more than we
// allow, or is not made as memberlist makes it.
func readSync(in io.Reader) ([]byte, error) {
	s := sieve{in: bufio.NewReader(in), left: syncBytes}
	kind, err := s.take(1)
	if err != nil {
		return nil, err
	}
	if kind[0] != kindPushPull && kind[0] != kindError {
		return nil, errSync
	}
	var nodes, state uint64
	err = s.table(func(key string, v uint64) {
		switch key {
		case "Nodes":
			nodes = v
		case "UserStateLen":
			state = v
		}
	})
	if err == nil && kind[0] == kindPushPull && (nodes > syncNodes || state != 0) {
		err = fmt.Errorf("%w: %d members and %d bytes of state", errSync, nodes, state)
	}
	for ; err == nil && kind[0] == kindPushPull && nodes > 0; nodes-- {
		err = s.table(func(string, uint64) {})
	}
	return s.seen.Bytes(), err
}

func addrOf(id peer.ID) net.Addr {
	ip, port := memberAddr(id)
	return &net.TCPAddr{IP: ip, Port: port}
}
