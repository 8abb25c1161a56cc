package p2p

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// A memory is a swarm book, and a pencil to write in it.
type memory struct {
	mu   sync.Mutex
	pass protocol.Pass
}

func (m *memory) Load() (*protocol.Pass, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pass
	p.Revoked = slices.Clone(p.Revoked)
	return &p, nil
}

func (m *memory) Save(revoked []protocol.Revocation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pass.Revoked = append(m.pass.Revoked, revoked...)
	slices.SortFunc(m.pass.Revoked, func(a, b protocol.Revocation) int { return cmp.Compare(a.Peer, b.Peer) })
	return nil
}

func (m *memory) renew(a *protocol.Admission) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pass.Admission = a
}

func (m *memory) revoked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pass.Revoked)
}

func swarmKey(name string) ed25519.PrivateKey {
	seed := protocol.Sum([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// admitted is an admission of peer i from now on.
func admitted(swarm string, i int, serial uint64, length time.Duration) *protocol.Admission {
	now := time.Now()
	a := &protocol.Admission{Peer: meshtest.ID(i), NotBefore: now.Unix(), Expires: now.Add(length).Unix(), Serial: serial}
	a.Sign(swarmKey(swarm))
	return a
}

func bookOf(a *protocol.Admission) *memory {
	return &memory{pass: protocol.Pass{Swarm: a.Swarm, Admission: a}}
}

func revokedIn(swarm string, i int, serial uint64) protocol.Revocation {
	r := protocol.Revocation{Peer: meshtest.ID(i), Serial: serial}
	r.Sign(swarmKey(swarm))
	return r
}

// A logged keeps what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) has(all ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if !slices.ContainsFunc(all, func(s string) bool { return !strings.Contains(line, s) }) {
			return true
		}
	}
	return false
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// swarm starts the first n peers, all admitted for so long, and waits until they have met.
func (w *world) swarm(n int, length time.Duration, log *slog.Logger) (all []*node, books []*memory) {
	w.t.Helper()
	for i := range n {
		books = append(books, bookOf(admitted("swarm", i, 1, length)))
		all = append(all, w.node(i, Config{Swarm: books[i], Log: log}))
	}
	for i, a := range all {
		for k := range n {
			if k != i {
				a.expect(mesh.Joined, meshtest.ID(k), time.Minute)
			}
		}
	}
	return all, books
}

// A mesh of admitted devices is a mesh like any other.
func TestSwarmIsAMesh(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		meshtest.Test(t, func(t *testing.T, i int) mesh.Mesh {
			return w.node(i, Config{Swarm: bookOf(admitted("swarm", i, 1, time.Hour))})
		})
	})
}

// Devices of no swarm, of another, and those whose time has not come or is over, meet nobody of ours, and
// the log says why.
func TestSwarmKeepsOut(t *testing.T) {
	soon := func() *protocol.Admission {
		a := admitted("swarm", 9, 1, time.Hour)
		a.NotBefore, a.Expires = a.NotBefore+1200, a.Expires+1200
		a.Sign(swarmKey("swarm"))
		return a
	}
	for name, c := range map[string]struct {
		of  func() *protocol.Admission // nil: no swarm
		why string
	}{
		"no swarm":      {nil, "it shows no admission"},
		"another swarm": {func() *protocol.Admission { return admitted("other", 9, 1, time.Hour) }, "the admission is of swarm-"},
		"expired": {func() *protocol.Admission {
			a := admitted("swarm", 9, 1, time.Second)
			time.Sleep(time.Second)
			return a
		}, "expired"},
		"too early": {soon, "begins"},
		"revoked":   {func() *protocol.Admission { return admitted("swarm", 9, 4, time.Hour) }, "revoked"},
	} {
		for _, theyDial := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, they dial %v", name, theyDial), func(t *testing.T) {
				inWorld(t, func(t *testing.T, w *world) {
					var log, theirs logged
					book := bookOf(admitted("swarm", 0, 1, time.Hour))
					if name == "revoked" {
						book.Save([]protocol.Revocation{revokedIn("swarm", 9, 4)})
					}
					stranger := Config{Join: []string{addrOfPeer(0)}, Log: theirs.logger()}
					first := Config{Swarm: book, Log: log.logger()}
					if !theyDial {
						stranger.Join, first.Join = []string{}, []string{addrOfPeer(9)}
					}
					if c.of != nil {
						stranger.Swarm = bookOf(c.of())
					}
					s := w.node(9, stranger)
					a := w.node(0, first)
					b := w.node(1, Config{Swarm: bookOf(admitted("swarm", 1, 1, time.Hour))})
					a.expect(mesh.Joined, b.Self(), time.Minute)
					b.expect(mesh.Joined, a.Self(), time.Minute)
					for range 4 {
						s.Send(t.Context(), protocol.Envelope{Msg: update(9, 1, 1000)}) // to nobody
						time.Sleep(10 * time.Second)
					}
					goOn(t, []*node{a, b})
					for _, n := range []*node{a, b} {
						n.refuse("a stranger", func(ev mesh.Event) bool { return ev.Peer == s.Self() })
					}
					s.refuse("one of the swarm", func(ev mesh.Event) bool { return true })
					if !log.has("level=WARN", string(s.Self()), c.why) && !theirs.has("level=WARN", string(a.Self()), c.why) &&
						!(c.of == nil && log.has("level=WARN", string(s.Self()), "no admission was shown")) {
						t.Errorf("no line of the log says %q:\n%s\nand theirs:\n%s", c.why, &log, &theirs)
					}
				})
			})
		}
	}
}

// Whoever shows what is not its own, or is forged, or only garbage, is told why, and disconnected; what it
// says on any other stream is not heard.
func TestFalsePass(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	pass := func(a *protocol.Admission) []byte {
		return must(protocol.EncodePass(&protocol.Pass{Swarm: a.Swarm, Admission: a}))
	}
	for name, c := range map[string]struct {
		show func() []byte
		why  string
	}{
		"stolen":  {func() []byte { return pass(admitted("swarm", 0, 1, time.Hour)) }, "another peer's"},
		"forged":  {func() []byte { a := admitted("swarm", 9, 1, time.Hour); a.Expires++; return pass(a) }, "forged"},
		"garbage": {func() []byte { return []byte("garbage") }, "malformed"},
		"empty":   {func() []byte { return must(protocol.EncodePass(&protocol.Pass{})) }, "no admission"},
		"endless": {func() []byte { return make([]byte, shownBytes+1) }, "not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				var log logged
				all, _ := w.swarm(2, time.Hour, log.logger())
				e := w.evil(9, 1)
				hello := frameOf(must(protocol.Encode(&protocol.Hello{Agent: "evil"})))
				if _, err := e.write(p.say, hello); err != nil {
					t.Fatal(err)
				}
				d := protocol.Sum(nil)
				body, err := e.write(p.body, d[:])
				if err != nil {
					t.Fatal(err)
				}
				s, err := e.write(p.admit, frameOf(c.show()))
				if err != nil {
					t.Fatal(err)
				}
				said, err := readPass(bufio.NewReader(s), protocol.MaxPass)
				if err != nil || !strings.Contains(said.Refused, c.why) || said.Admission != nil || said.Revoked != nil {
					t.Errorf("told %+v, %v", said, err)
				}
				time.Sleep(2 * time.Second)
				if n := len(all[0].host.Network().ConnsToPeer(e.ID())); n > 0 {
					t.Errorf("%d connections are still open", n)
				}
				if n, _ := body.Read(make([]byte, 4)); n > 0 {
					t.Error("its question was answered")
				}
				if !log.has("level=WARN", e.ID().String(), c.why) {
					t.Errorf("no line of the log says %q:\n%s", c.why, &log)
				}
				goOn(t, all)
				for _, a := range all {
					a.refuse("evil", func(ev mesh.Event) bool { return ev.Peer == meshtest.ID(9) })
				}
			})
		})
	}
}

// Whoever shows nothing at all hears nothing, and is disconnected in time.
func TestSilentStranger(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, func(t *testing.T, w *world) {
		all, _ := w.swarm(1, time.Hour, quiet)
		e := w.evil(9, 0)
		for _, id := range append(p.streams(), p.gossip) {
			e.SetStreamHandler(id, func(s network.Stream) {
				t.Errorf("a stream of %s to a stranger", id)
				s.Reset()
			})
		}
		info, err := peer.AddrInfoFromString(addrOfPeer(0))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Connect(t.Context(), *info); err != nil {
			t.Fatal(err)
		}
		if len(all[0].host.Network().ConnsToPeer(e.ID())) == 0 {
			t.Fatal("not connected")
		}
		time.Sleep(admitTime + time.Second)
		if n := len(all[0].host.Network().ConnsToPeer(e.ID())); n > 0 {
			t.Errorf("%d connections are still open", n)
		}
	})
}

// What the owner takes back on one device, all devices know soon; who was sent away is cut off, and comes
// back with a later admission.
func TestRevokedIsCutOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var log logged
		all, books := w.swarm(3, time.Hour, log.logger())
		time.Sleep(settle)
		books[0].Save([]protocol.Revocation{revokedIn("swarm", 2, 1)})
		for _, a := range all[:2] {
			a.expect(mesh.Left, meshtest.ID(2), time.Minute)
		}
		if books[1].revoked() != 1 {
			t.Error("a revocation that was heard is not kept")
		}
		if !log.has("level=WARN", string(meshtest.ID(2)), "revoked") {
			t.Errorf("the log does not say so:\n%s", &log)
		}
		if !log.has("level=WARN", "does not let us in", "revoked") {
			t.Errorf("who was revoked is not told:\n%s", &log)
		}
		all[2].Send(t.Context(), protocol.Envelope{Msg: update(2, 1, 1000)})
		time.Sleep(time.Minute)
		goOn(t, all[:2])
		for _, a := range all[:2] {
			a.refuse("who was revoked", func(ev mesh.Event) bool { return ev.Kind != mesh.Left && ev.Peer == meshtest.ID(2) })
		}

		gone, err := peer.Decode(string(meshtest.ID(2)))
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if _, err := all[0].host.NewStream(t.Context(), gone, "/any"); err == nil || time.Since(before) > 0 {
			t.Errorf("who was revoked was dialled: %v", err)
		}

		books[2].renew(admitted("swarm", 2, 2, time.Hour))
		for _, a := range all[:2] {
			a.expect(mesh.Joined, meshtest.ID(2), 2*time.Minute)
			all[2].expect(mesh.Left, a.Self(), time.Minute)
			all[2].expect(mesh.Joined, a.Self(), 2*time.Minute)
		}
		goOn(t, all)
	})
}

// A device whose time is over is cut off then, and one that was given more in time is not.
func TestAdmissionEnds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all, books := w.swarm(3, 10*time.Minute, quiet)
		books[1].renew(admitted("swarm", 1, 2, time.Hour))
		time.Sleep(8 * time.Minute)
		books[0].renew(admitted("swarm", 0, 2, time.Hour))
		all[0].refuse("a leave", func(ev mesh.Event) bool { return ev.Kind == mesh.Left })
		for _, m := range all[0].members.list.Members() {
			if a := metaAdmission(m.Meta); m.Name == string(meshtest.ID(1)) && a.Serial != 2 {
				t.Errorf("members still show the admission %d", a.Serial)
			}
		}
		all[0].expect(mesh.Left, meshtest.ID(2), 3*time.Minute)
		all[1].expect(mesh.Left, meshtest.ID(2), 3*time.Minute)
		goOn(t, all[:2])

		books[0].renew(admitted("swarm", 0, 1, 2*time.Hour)) // a copy from before
		time.Sleep(patrolEvery)
		if p := all[0].gate.pass(false); p.Admission.Serial != 2 {
			t.Errorf("an admission was replaced by an earlier one, %d", p.Admission.Serial)
		}
	})
}

// What a stranger wrote is not taken from a member either.
func TestStrangersAreNotRelayed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all, _ := w.swarm(2, time.Hour, quiet)
		via, err := peer.Decode(string(all[1].Self()))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range map[int]pubsub.ValidationResult{1: pubsub.ValidationAccept, 9: pubsub.ValidationIgnore} {
			author, err := peer.Decode(string(meshtest.ID(i)))
			if err != nil {
				t.Fatal(err)
			}
			frame := must(protocol.Encode(&protocol.Hello{Agent: "well"}))
			m := &pubsub.Message{Message: &pb.Message{From: []byte(author), Data: frame}, ReceivedFrom: via}
			if got := all[0].gossip.checkSaid(t.Context(), via, m); got != want {
				t.Errorf("a message of %d: %v", i, got)
			}
		}
		stranger, err := peer.Decode(string(meshtest.ID(9)))
		if err != nil {
			t.Fatal(err)
		}
		ip, port := memberAddr(stranger)
		shown := func(a *protocol.Admission) []byte {
			return admissionMeta(must(protocol.EncodePass(&protocol.Pass{Swarm: a.Swarm, Admission: a})))
		}
		for name, c := range map[string]struct {
			meta []byte
			ok   bool
		}{
			"nothing":       {nil, false},
			"of no swarm":   {[]byte{metaVersion}, false},
			"cut":           {shown(admitted("swarm", 9, 1, time.Hour))[:80], false},
			"another's":     {shown(admitted("swarm", 1, 1, time.Hour)), false},
			"another swarm": {shown(admitted("other", 9, 1, time.Hour)), false},
			"its own":       {shown(admitted("swarm", 9, 1, time.Hour)), true},
		} {
			n := &memberlist.Node{Name: stranger.String(), Addr: ip, Port: uint16(port), Meta: c.meta}
			all[0].gate.mu.Lock()
			delete(all[0].gate.known, stranger)
			all[0].gate.mu.Unlock()
			if err := all[0].members.NotifyAlive(n); (err == nil) != c.ok {
				t.Errorf("a member that shows %s: %v", name, err)
			}
		}
		meta := all[0].members.NodeMeta(512)
		if a := metaAdmission(meta); a == nil || a.Peer != all[0].Self() || len(parseMeta(meta)) == 0 {
			t.Errorf("the meta %x shows %v and %v", meta, a, parseMeta(meta))
		}
	})
}

// A book that holds nothing for this device is an error at once.
func TestBookOfAnother(t *testing.T) {
	forged := admitted("swarm", 0, 1, time.Hour)
	forged.Serial++
	for _, book := range []*memory{bookOf(admitted("swarm", 1, 1, time.Hour)), bookOf(forged), {}} {
		c := Config{Key: meshtest.Key(0), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Swarm: book, Log: quiet}
		if m, err := New(t.Context(), c); err == nil {
			m.Close()
			t.Errorf("a mesh with %+v", book.pass.Admission)
		}
	}
}

// Over real sockets of both kinds, those admitted meet, and a stranger is refused with a reason.
func TestSwarmOnLoopback(t *testing.T) {
	const patience = 30 * time.Second
	a := onLoopback(t, 0, Config{Swarm: bookOf(admitted("swarm", 0, 1, time.Hour))})
	for i, part := range []string{"/tcp/", "/quic-v1"} {
		b := onLoopback(t, 1+i, Config{Swarm: bookOf(admitted("swarm", 1+i, 1, time.Hour)), Join: []string{a.addr(part)}})
		a.expect(mesh.Joined, b.Self(), patience)
		b.expect(mesh.Joined, a.Self(), patience)
		if err := b.Send(t.Context(), protocol.Envelope{To: a.Self(), Msg: &protocol.Hello{Agent: part}}); err != nil {
			t.Fatal(err)
		}
		a.expect(mesh.Heard, b.Self(), patience)

		s := onLoopback(t, 11+i, Config{Swarm: bookOf(admitted("other", 11+i, 1, time.Hour)), Join: []string{a.addr(part)}})
		s.members.joinThrough(t.Context(), peer.AddrInfo{ID: a.host.ID(), Addrs: a.host.Addrs()})
		id := s.host.ID()
		if err := s.gate.wait(t.Context(), a.host.ID()); err == nil || a.members.has(id) || s.members.has(a.host.ID()) {
			t.Errorf("a stranger over %s: %v", part, err)
		}
	}
}
