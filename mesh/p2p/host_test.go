package p2p

import (
	"crypto/ed25519"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// The protocol writes peer IDs by hand. They must be libp2p's.
func TestIdentity(t *testing.T) {
	for i := range 50 {
		key, err := crypto.UnmarshalEd25519PrivateKey(meshtest.Key(i))
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if got := meshtest.ID(i); string(got) != id.String() {
			t.Fatalf("protocol says %s, libp2p says %s", got, id)
		}
		pub, err := protocol.PeerID(id.String()).Key()
		if err != nil || !pub.Equal(meshtest.Key(i).Public()) {
			t.Fatalf("the key of %s: %x, %v", id, pub, err)
		}
	}
}

// onLoopback starts the i-th peer on real sockets of this machine.
func onLoopback(t *testing.T, i int, c Config) *node {
	t.Helper()
	c.Key, c.Log = meshtest.Key(i), quiet
	if c.Listen == nil {
		c.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"}
	}
	m, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return &node{Mesh: m, t: t}
}

// addr is the address of n that has part in it.
func (n *node) addr(part string) string {
	n.t.Helper()
	for _, a := range n.Addrs() {
		if strings.Contains(a, part) {
			return a
		}
	}
	n.t.Fatalf("no %s among %q", part, n.Addrs())
	return ""
}

// Over real sockets, a TCP peer and a QUIC peer that only know a third find each other and talk.
func TestLoopback(t *testing.T) {
	const patience = 30 * time.Second
	a := onLoopback(t, 0, Config{})
	b := onLoopback(t, 1, Config{Join: []string{a.addr("/tcp/")}, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	c := onLoopback(t, 2, Config{Join: []string{a.addr("/quic-v1")}})
	all := []*node{a, b, c}
	for _, x := range all {
		for _, y := range all {
			if x != y {
				x.expect(mesh.Joined, y.Self(), patience)
			}
		}
	}
	u := update(1, 1, 1<<20)
	if err := b.Send(t.Context(), protocol.Envelope{To: c.Self(), Msg: u}); err != nil {
		t.Fatal(err)
	}
	c.expect(mesh.Heard, b.Self(), patience)

	// What is published is heard once gossip has settled.
	heard := make(chan mesh.Event)
	go func() {
		defer close(heard)
		for ev := range b.Events() {
			if ev.Kind == mesh.Heard {
				heard <- ev
			}
		}
	}()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	late := time.After(patience)
	for waiting := true; waiting; {
		if err := c.Send(t.Context(), protocol.Envelope{Msg: update(2, 1, 100<<10)}); err != nil {
			t.Fatal(err)
		}
		select {
		case ev := <-heard:
			if u, ok := ev.Msg.(*protocol.Update); !ok || u.Verify() != nil || ev.Peer != c.Self() {
				t.Fatalf("heard %v", ev)
			}
			waiting = false
		case <-again.C:
		case <-late:
			t.Fatal("what is published does not arrive")
		}
	}
	for _, x := range []*node{c, a, b} {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	for range heard {
	}
}

// With nothing said, a peer listens for QUIC and TCP on one port. Looking round the local network can
// be begun and ended.
func TestListenAnywhere(t *testing.T) {
	n, err := New(t.Context(), Config{Key: meshtest.Key(0), Log: quiet, LAN: true})
	if err != nil {
		t.Fatal(err)
	}
	ports := make(map[string][]string)
	for _, a := range n.Addrs() {
		parts := strings.Split(a, "/") // "", ip4, address, transport, port, …
		ports[parts[4]] = append(ports[parts[4]], parts[3])
		if !strings.HasSuffix(a, "/p2p/"+string(n.Self())) {
			t.Errorf("%s does not say whose it is", a)
		}
	}
	for port, of := range ports {
		if all := strings.Join(of, " "); len(ports) != 1 || !strings.Contains(all, "udp") || !strings.Contains(all, "tcp") {
			t.Errorf("port %s is for %s", port, all)
		}
	}
	if len(ports) == 0 {
		t.Error("no address")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestPortInUse(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	_, tport, _ := net.SplitHostPort(tcp.Addr().String())
	_, uport, _ := net.SplitHostPort(udp.LocalAddr().String())
	for _, taken := range []string{"/ip4/127.0.0.1/tcp/" + tport, "/ip4/127.0.0.1/udp/" + uport + "/quic-v1"} {
		free := "/ip4/127.0.0.1/tcp/0"
		_, err := New(t.Context(), Config{Key: meshtest.Key(0), Log: quiet, Listen: []string{free, taken}})
		if err == nil || !strings.Contains(err.Error(), taken+" is in use") {
			t.Errorf("listening on %s, which is taken: %v", taken, err)
		}
	}
}

// What is wrong with a Config is said on one line that names it.
func TestBadConfig(t *testing.T) {
	id := string(meshtest.ID(1))
	for _, c := range []struct {
		Config
		says string
	}{
		{Config{Key: ed25519.PrivateKey("short")}, "5 bytes"},
		{Config{Listen: []string{"0.0.0.0:4001"}}, `"0.0.0.0:4001"`},
		{Config{Listen: []string{"/ip4/0.0.0.0/udp/4001"}}, `"/ip4/0.0.0.0/udp/4001"`},
		{Config{Listen: []string{"/ip4/0.0.0.0/tcp/4001/ws"}}, `"/ip4/0.0.0.0/tcp/4001/ws"`},
		{Config{Listen: []string{"/ip4/192.0.2.1/tcp/0"}}, "/ip4/192.0.2.1/tcp/0"},
		{Config{Join: []string{"here"}}, `"here"`},
		{Config{Join: []string{"/ip4/192.0.2.1/tcp/4001"}}, `"/ip4/192.0.2.1/tcp/4001"`},
		{Config{Join: []string{"/p2p/" + id}}, `"/p2p/` + id + `"`},
		{Config{Network: "My Network"}, `"My Network"`},
		{Config{Network: strings.Repeat("x", 33)}, "32"},
	} {
		if c.Key == nil {
			c.Key = meshtest.Key(0)
		}
		c.Log = quiet
		m, err := New(t.Context(), c.Config)
		if err == nil {
			m.Close()
			t.Errorf("no error that says %s", c.says)
			continue
		}
		if s := err.Error(); !strings.Contains(s, c.says) || strings.Contains(s, "\n") || !strings.HasPrefix(s, "p2p: ") {
			t.Errorf("%q does not say %s on one line", s, c.says)
		}
	}
}
