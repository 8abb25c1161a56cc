package p2p

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	quict "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/mesh/patch"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	quieten(quiet)
	nodeInNamespace()
	zeros := make([]byte, 1000) // what patch makes once is to belong to no bubble
	if _, err := patch.NewReader(bytes.NewReader(patch.Append(nil, zeros, 0, nil)), len(zeros), 0, nil).Next(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var quiet = slog.New(slog.DiscardHandler)

// A world is a network of simulated links under real QUIC hosts, in the virtual
// time of a synctest bubble.
type world struct {
	t     *testing.T
	sim   *simnet.Simnet
	link  simnet.NodeBiDiLinkSettings
	cut   atomic.Pointer[func(from, to string) bool]
	bytes atomic.Int64 // sent by anyone
	count atomic.Int64 // of datagrams sent
	shake atomic.Int64 // by how much, at most, latency varies
	deaf  sync.Map     // addresses that nothing reaches, see deafen
	over  atomic.Bool  // the story
	ends  []func()     // run after the story
	moved map[int]int  // peers that are where another would be
}

// inWorld runs a story in a bubble, and then lets the libraries end what they
// do not wait for themselves.
func inWorld(t *testing.T, story func(*testing.T, *world)) {
	synctest.Test(t, func(t *testing.T) {
		link := simnet.LinkSettings{BitsPerSecond: 20_000_000}
		w := &world{
			t:    t,
			link: simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link},
		}
		w.sim = &simnet.Simnet{LatencyFunc: func(*simnet.Packet) time.Duration {
			return 20*time.Millisecond + time.Duration(rand.Int64N(w.shake.Load()+1))
		}}
		w.sim.Start()
		defer func() {
			w.over.Store(true)
			w.partition(nil)
			for _, f := range w.ends {
				f()
			}
			time.Sleep(time.Minute)
			w.sim.Close()
		}()
		story(t, w)
	})
}

// partition loses every datagram between two addresses of which it is true. Nil heals.
func (w *world) partition(cut func(from, to string) bool) {
	if cut == nil {
		w.cut.Store(nil)
		return
	}
	w.cut.Store(&cut)
}

// lose makes the i-th host deaf and mute.
func (w *world) lose(i int) {
	ip := ipOf(i).String()
	w.partition(func(from, to string) bool { return from == ip || to == ip })
}

func ipOf(i int) net.IP { return simnet.IntToPublicIPv4(i) }

func addrOfPeer(i int) string {
	return fmt.Sprintf("/ip4/%s/udp/8000/quic-v1/p2p/%s", ipOf(i), meshtest.ID(i))
}

// host is a host of the i-th peer.
func (w *world) host(i int, s *strikes, r *reach) host.Host {
	w.t.Helper()
	ip := ipOf(i)
	if at, moved := w.moved[i]; moved {
		ip = ipOf(at)
	}
	o := []quicreuse.Option{
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return source{ip}, nil }),
		quicreuse.OverrideListenUDP(func(_ string, a *net.UDPAddr) (net.PacketConn, error) {
			return &wire{w.sim.NewEndpoint(a, w.link), w, a.IP.String()}, nil
		}),
	}
	options, err := hostOptions(meshtest.Key(i), s, r)
	if err != nil {
		w.t.Fatal(err)
	}
	h, err := libp2p.New(append(options,
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/udp/8000/quic-v1", ip)),
		libp2p.Transport(quict.NewTransport),
		libp2p.QUICReuse(func(l fx.Lifecycle, k quic.StatelessResetKey, t quic.TokenGeneratorKey, _ ...quicreuse.Option) (*quicreuse.ConnManager, error) {
			m, err := quicreuse.NewConnManager(k, t, o...)
			if err == nil {
				l.Append(fx.StopHook(m.Close))
			}
			return m, err
		}),
		libp2p.DisableIdentifyAddressDiscovery(),                               // else virtual time stalls
		func(c *libp2p.Config) error { c.EnableAutoNATv2 = false; return nil }, // it dials from sockets that are real
		libp2p.ResourceManager(&network.NullResourceManager{}),
	)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// A wire is a socket that partitions are cut into.
type wire struct {
	*simnet.SimConn
	w  *world
	ip string
}

func (c *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	c.w.bytes.Add(int64(len(b)) + 28)
	c.w.count.Add(1)
	if cut := c.w.cut.Load(); cut != nil && (*cut)(c.ip, to.(*net.UDPAddr).IP.String()) {
		return len(b), nil
	}
	return c.SimConn.WriteTo(b, to)
}

type source struct{ ip net.IP }

func (s source) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) { return s.ip, nil }
