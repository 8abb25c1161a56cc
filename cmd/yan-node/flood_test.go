package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"google.golang.org/protobuf/proto"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/protocol"
)

var (
	floodTime = flag.Duration("flood", 3*time.Second, "how long TestFlood floods; docs/benchmarks.md has the figures of 60s")
	floodFrom = flag.Int("floodfrom", 4, "how many identities speak at once, of each sort of garbage that needs one")
)

// floodGrowth is by how much a node's memory may grow while it is flooded.
const floodGrowth = 50 << 20

// A flood is ten thousand messages a second of everything that nobody should send, from this machine.
type flood struct {
	t      *testing.T
	ctx    context.Context
	victim peer.AddrInfo
	friend peer.ID                   // an honest member
	raw    struct{ udp, tcp string } // its sockets

	running sync.WaitGroup
	sorts   []*sort
}

// A sort is one sort of garbage.
type sort struct {
	name    string
	rate    int // a second, all its senders together
	senders int
	one     func() (io.Closer, func(deadline time.Time) error) // begins a sender
	sent    atomic.Int64                                       // messages written
	held    atomic.Int64                                       // those that the node did not take in time, or refused
}

// run floods with one sort until ctx ends. A sender that is thrown out begins again as somebody else; what is due while the node does not take
// anything counts as held.
func (f *flood) run(s *sort) {
	const each = 20 * time.Millisecond
	for range s.senders {
		f.running.Go(func() {
			tick := time.NewTicker(each)
			defer tick.Stop()
			began, done := time.Now(), 0
			due := func() int { return int(time.Since(began).Seconds()*float64(s.rate)/float64(s.senders)) - done }
			hold := func() {
				n := due()
				s.held.Add(int64(n))
				done += n
			}
			for f.ctx.Err() == nil {
				closer, send := s.one()
				for n := due(); send != nil && f.ctx.Err() == nil; n = due() {
					if n < 1 {
						select {
						case <-tick.C:
						case <-f.ctx.Done():
						}
						continue
					}
					err := send(time.Now().Add(each))
					if err == nil {
						s.sent.Add(1)
						done++
						continue
					}
					hold()
					if !slow(err) {
						send = nil
					}
				}
				hold()
				if closer != nil {
					closer.Close()
				} else {
					select { // it does not let anyone in now
					case <-tick.C:
					case <-f.ctx.Done():
					}
				}
			}
		})
	}
}

// slow reports whether the node is slow to take what is sent, and has not thrown the sender out.
func slow(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// somebody is a host of a new identity that is connected to the node, or nil if it does not get in.
func (f *flood) somebody() host.Host {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.t.Error(err)
		return nil
	}
	private, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		f.t.Error(err)
		return nil
	}
	h, err := libp2p.New(libp2p.Identity(private), libp2p.NoListenAddrs, libp2p.Transport(quic.NewTransport), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.Ping(false))
	if err != nil {
		f.t.Error(err)
		return nil
	}
	to := f.victim
	to.Addrs = []ma.Multiaddr{to.Addrs[rand.IntN(len(to.Addrs))]}
	ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
	defer cancel()
	if err := h.Connect(ctx, to); err != nil {
		h.Close()
		return nil
	}
	return h
}

// onStream is a sender that writes what next returns to a stream of the protocol. With fresh set every message gets a stream of its own, which stays open.
func (f *flood) onStream(on string, fresh bool, next func() []byte) func() (io.Closer, func(time.Time) error) {
	return func() (io.Closer, func(time.Time) error) {
		h := f.somebody()
		if h == nil {
			return nil, nil
		}
		open := func() (network.Stream, error) {
			ctx, cancel := context.WithTimeout(f.ctx, time.Second)
			defer cancel()
			return h.NewStream(ctx, f.victim.ID, libp2pprotocol.ID(on))
		}
		s, err := open()
		if err != nil {
			h.Close()
			return nil, nil
		}
		return h, func(deadline time.Time) error {
			if fresh {
				if s, err = open(); err != nil {
					return err
				}
			}
			s.SetWriteDeadline(deadline)
			_, err := s.Write(next())
			return err
		}
	}
}

func frame(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

// noise is n bytes that mean nothing.
func noise(n int) []byte {
	at := rand.IntN(len(hiss) - n)
	return bytes.Clone(hiss[at : at+n])
}

var hiss = func() []byte {
	b := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// forged is an update that its author never signed.
func forged(f *flood, size int) []byte {
	body := noise(size)
	u := &protocol.Update{Announce: protocol.Announce{
		ID: protocol.UpdateID{Author: protocol.PeerID(f.victim.ID.String()), Seq: rand.Uint64()>>1 + 1}, Skill: "forged",
		Digest: protocol.Sum(body), Size: uint32(size), Sig: noise(64),
	}, Body: body}
	b, err := protocol.Encode(u)
	if err != nil {
		f.t.Error(err)
	}
	return b
}

// begin starts every sort of garbage.
func (f *flood) begin() {
	turn := func(of ...func() []byte) func() []byte {
		var n atomic.Int64
		return func() []byte { return of[int(n.Add(1))%len(of)]() }
	}
	hello := func(version uint16) func() []byte {
		return func() []byte {
			b, err := protocol.Encode(&protocol.Hello{Version: version, Agent: "flood"})
			if err != nil {
				f.t.Error(err)
			}
			return frame(b)
		}
	}
	f.sorts = []*sort{
		{name: "unknown kinds and versions", rate: 4000, senders: *floodFrom, one: f.onStream("/yan/say/1", false, turn(
			func() []byte { return frame([]byte{15, 0x81, 0xa1, 'x', 0xc4, 2, 1, 2}) },
			func() []byte { return frame(append([]byte{200, 0x81, 0xa1, 'x', 0xc4, 200}, noise(200)...)) },
			func() []byte { return frame(append([]byte{255}, noise(60)...)) },
		))},
		{name: "hellos of strangers", rate: 500, senders: *floodFrom, one: f.onStream("/yan/say/1", false, turn(hello(0), hello(99)))},
		{name: "undecodable, oversized, forged, bombs", rate: 1000, senders: *floodFrom, one: f.onStream("/yan/say/1", false, turn(
			func() []byte { return frame(noise(1 + rand.IntN(500))) },
			func() []byte {
				return frame([]byte{byte(protocol.KindHave), 0x81, 0xa1, 'i', 0xdd, 0xff, 0xff, 0xff, 0xff})
			},
			func() []byte {
				return frame(append([]byte{byte(protocol.KindWant)}, bytes.Repeat([]byte{0x91}, 100<<10)...))
			},
			func() []byte { return binary.AppendUvarint(nil, 1<<40) },
			func() []byte { return frame(forged(f, 64<<10)) },
		))},
		{name: "streams with half a message", rate: 300, senders: *floodFrom, one: f.onStream("/yan/say/1", true, func() []byte {
			return append(binary.AppendUvarint(nil, protocol.MaxFrame), append([]byte{byte(protocol.KindUpdate)}, noise(32<<10)...)...)
		})},
		{name: "streams with nothing", rate: 500, senders: *floodFrom, one: f.onStream("/yan/body/2", true, func() []byte { return nil })},
		{name: "membership", rate: 1000, senders: *floodFrom, one: f.onStream("/yan/packet/1", false, turn(
			func() []byte { return frame(append([]byte{0}, "\x82\xa5SeqNo\x01\xa4Node\xa1x"...)) },
			func() []byte { return frame(append([]byte{3}, noise(100)...)) },
			func() []byte { return frame([]byte{9, 0x80}) },
		))},
		{name: "gossip", rate: 1000, senders: *floodFrom, one: f.onStream("/yan/gossip/1", false, turn(
			func() []byte { return f.rumour(f.victim.ID) }, func() []byte { return f.rumour(f.friend) }, func() []byte { return frame(noise(300)) }, func() []byte { return binary.AppendUvarint(nil, 1<<30) },
		))},
		{name: "datagrams", rate: 2000, senders: 2, one: f.datagrams},
		{name: "connections", rate: 200, senders: 4, one: f.connections},
	}
	for _, s := range f.sorts {
		f.run(s)
	}
}

// rumour is gossip whose signature is false.
func (f *flood) rumour(from peer.ID) []byte {
	topic := "yan/news/1"
	m := &pb.Message{From: []byte(from), Seqno: noise(8), Topic: &topic, Data: noise(400), Signature: noise(64)}
	b, err := proto.Marshal(&pb.RPC{Publish: []*pb.Message{m}})
	if err != nil {
		f.t.Error(err)
	}
	return frame(b)
}

// datagrams sends what is no QUIC, or nearly.
func (f *flood) datagrams() (io.Closer, func(time.Time) error) {
	c, err := net.Dial("udp", f.raw.udp)
	if err != nil {
		return nil, nil
	}
	return c, func(time.Time) error {
		b := noise(20 + rand.IntN(1200))
		if rand.IntN(2) == 0 { // the head of a first packet
			copy(b, []byte{0xc3, 0, 0, 0, 1, 8})
		}
		_, err := c.Write(b)
		return err
	}
}

// connections opens sockets, says what is no handshake, and keeps the last hundred open.
func (f *flood) connections() (io.Closer, func(time.Time) error) {
	open := &sockets{}
	return open, func(deadline time.Time) error {
		c, err := net.DialTimeout("tcp", f.raw.tcp, time.Until(deadline)+time.Second)
		if err != nil {
			return err
		}
		open.add(c)
		c.SetWriteDeadline(deadline)
		_, err = c.Write(noise(rand.IntN(200)))
		return err
	}
}

type sockets struct{ list []net.Conn }

func (s *sockets) add(c net.Conn) {
	if s.list = append(s.list, c); len(s.list) > 100 {
		s.list[0].Close()
		s.list = s.list[1:]
	}
}

func (s *sockets) Close() error {
	for _, c := range s.list {
		c.Close()
	}
	return nil
}

// An owner asks a node for its status, again and again.
type owner struct {
	api    string
	waited []time.Duration
	failed int
}

func (o *owner) ask(t *testing.T) {
	c := &http.Client{Timeout: 30 * time.Second}
	began := time.Now()
	resp, err := c.Get("http://" + o.api + "/v1/status")
	if err == nil {
		var r statusReport
		err = json.NewDecoder(resp.Body).Decode(&r)
		resp.Body.Close()
		if err == nil && !r.Running {
			err = fmt.Errorf("status %v", resp.Status)
		}
	}
	if err != nil {
		t.Logf("the owner was not answered: %v", err)
		o.failed++
		return
	}
	o.waited = append(o.waited, time.Since(began))
}

// residentBytes is what a process takes of memory now, 0 where that cannot be told.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// cpuSeconds is what a process has used of the processors, 0 where that cannot be told.
func cpuSeconds(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// underRace reports whether this binary, and so the node that it is, was built to find races, which takes memory.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// A node that is flooded with garbage answers its owner all the while, takes no more memory than it may, keeps the peer that it has and
// meets another.
func TestFlood(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be asked to end there")
	}
	cmd, b := spawn(t, "run", "--json", "--home", filepath.Join(t.TempDir(), "home"), "--api", "127.0.0.1:0",
		"--listen", "/ip4/127.0.0.1/udp/0/quic-v1,/ip4/127.0.0.1/tcp/0")
	ready := b.wait("ready")
	f := &flood{t: t}
	var err error
	for _, line := range ready.Addrs {
		info, err := peer.AddrInfoFromString(line)
		if err != nil {
			t.Fatal(err)
		}
		f.victim.ID, f.victim.Addrs = info.ID, append(f.victim.Addrs, info.Addrs...)
		at, err := manet.ToNetAddr(info.Addrs[0].Decapsulate(ma.StringCast("/quic-v1")))
		if err != nil {
			t.Fatal(err)
		}
		if at.Network() == "udp" {
			f.raw.udp = at.String()
		} else {
			f.raw.tcp = at.String()
		}
	}
	friend := befriend(t, ready.Addrs)
	friend.expect(t, mesh.Joined, f.victim.ID.String())
	if f.friend, err = peer.Decode(string(friend.Self())); err != nil {
		t.Fatal(err)
	}

	o := &owner{api: ready.API}
	o.ask(t)
	before, used := residentBytes(cmd.Process.Pid), cpuSeconds(cmd.Process.Pid)
	most := before
	ctx, cancel := context.WithTimeout(t.Context(), *floodTime)
	defer cancel()
	f.ctx = ctx
	began := time.Now()
	f.begin()
	for tick := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; {
		select {
		case <-tick.C:
			o.ask(t)
			most = max(most, residentBytes(cmd.Process.Pid))
		case <-ctx.Done():
			tick.Stop()
		}
	}
	f.running.Wait()
	long := time.Since(began).Seconds()
	var sent, held int64
	for _, s := range f.sorts {
		sent, held = sent+s.sent.Load(), held+s.held.Load()
		t.Logf("%8d sent, %8d not taken: %s", s.sent.Load(), s.held.Load(), s.name)
		if s.sent.Load() == 0 && *floodTime > 10*time.Second {
			t.Errorf("not one message was sent of: %s", s.name)
		}
	}
	if sent < 1000 {
		t.Errorf("%d messages are no flood", sent)
	}
	slices.Sort(o.waited)
	if o.failed > 0 || len(o.waited) < 2 {
		t.Fatalf("the owner was answered %d times, and %d times not", len(o.waited), o.failed)
	}
	t.Logf("%.0f messages a second offered, %.0f taken; the owner waited for %v (median), %v (99 of 100), %v (longest) in %d questions",
		float64(sent+held)/long, float64(sent)/long, o.waited[len(o.waited)/2], o.waited[len(o.waited)*99/100], o.waited[len(o.waited)-1], len(o.waited))
	t.Logf("memory before %.1f MB, at most %.1f MB: grew by %.1f MB; %.1f s of processor time in %.0f s",
		mega(before), mega(most), mega(most-before), cpuSeconds(cmd.Process.Pid)-used, long)
	limit := int64(floodGrowth)
	if underRace() {
		limit *= 4
	}
	if most-before > limit {
		t.Errorf("memory grew by more than %d MB", limit>>20)
	}

	stranger := befriend(t, ready.Addrs)
	stranger.expect(t, mesh.Joined, f.victim.ID.String())
	friend.refuse(t, mesh.Left)
	if status, errs := b.stop(); status != 0 {
		t.Errorf("it ended with %d: %s", status, errs)
	}
}

func mega(n int64) float64 { return float64(n) / (1 << 20) }

// A friend is an honest peer of the node.
type friend struct {
	*p2p.Mesh
	seen []mesh.Event
}

func befriend(t *testing.T, addrs []string) *friend {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := p2p.New(t.Context(), p2p.Config{
		Key: key, Join: addrs, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return &friend{Mesh: m}
}

func (f *friend) expect(t *testing.T, kind mesh.EventKind, who string) {
	t.Helper()
	for late := time.After(time.Minute); ; {
		select {
		case ev := <-f.Events():
			f.seen = append(f.seen, ev)
			if ev.Kind == kind && string(ev.Peer) == who {
				return
			}
		case <-late:
			t.Fatalf("no %v of %s", kind, who)
		}
	}
}

func (f *friend) refuse(t *testing.T, kind mesh.EventKind) {
	t.Helper()
	for {
		select {
		case ev := <-f.Events():
			f.seen = append(f.seen, ev)
			continue
		default:
		}
		break
	}
	for _, ev := range f.seen {
		if ev.Kind == kind {
			t.Errorf("its friend saw: %v", ev)
		}
	}
}
