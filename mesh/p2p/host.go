package p2p

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/gologshim"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
)

// newHost is a libp2p host that speaks QUIC and TCP under the key's identity,
// and does nothing that we did not ask for.
func newHost(c *Config, p protocols, s *strikes, r *reach) (host.Host, error) {
	quieten(c.Log)
	options, err := hostOptions(c.Key, s, r)
	if err != nil {
		return nil, err
	}
	listen, err := listenAddrs(c.Listen)
	if err != nil {
		return nil, err
	}
	limits, err := newLimits(p)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(append(options,
		libp2p.NoListenAddrs, // see listenOn
		libp2p.Transport(quic.NewTransport),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.ResourceManager(limits),
	)...)
	if err != nil {
		limits.Close()
		return nil, fmt.Errorf("p2p: host: %w", err)
	}
	if err := listenOn(h, listen); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// hostOptions are those that do not depend on the network under the host.
func hostOptions(private ed25519.PrivateKey, s *strikes, r *reach) ([]libp2p.Option, error) {
	if len(private) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("p2p: the key has %d bytes, an ed25519 private key has %d", len(private), ed25519.PrivateKeySize)
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("p2p: key: %w", err)
	}
	return append(r.options(),
		libp2p.Identity(key),
		libp2p.ConnectionGater(s),
		libp2p.UserAgent("yan"),
		libp2p.DisableMetrics(),
		libp2p.Ping(false),
		// After a hundred dials that failed, libp2p takes UDP or IPv6 for dead and stops dialling. We
		// look for peers that are away, for days if need be, so failure says nothing of the network.
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
	), nil
}

func listenAddrs(lines []string) ([]ma.Multiaddr, error) {
	var addrs []ma.Multiaddr
	for _, line := range lines {
		a, err := ma.NewMultiaddr(line)
		if err != nil || !carries(a) || relayed(a) {
			return nil, fmt.Errorf("p2p: cannot listen on %q: it is no address like /ip4/0.0.0.0/udp/4001/quic-v1 or /ip4/0.0.0.0/tcp/4001", line)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// joinPeers parses the addresses that the owner wants to join through.
func joinPeers(lines []string) ([]peer.AddrInfo, error) {
	var addrs []ma.Multiaddr
	for _, line := range lines {
		a, err := ma.NewMultiaddr(line)
		if err != nil {
			return nil, fmt.Errorf("p2p: cannot join %q: it is no multiaddr", line)
		}
		at, id := peer.SplitAddr(a)
		if id == "" || !carries(at) {
			return nil, fmt.Errorf("p2p: cannot join %q: it is no address like /ip4/192.0.2.1/udp/4001/quic-v1/p2p/ID", line)
		}
		addrs = append(addrs, a)
	}
	return peer.AddrInfosFromP2pAddrs(addrs...)
}

// listener is the swarm's way to listen on one address and say what went wrong;
// its other way is content when any of several works.
type listener interface {
	AddListenAddr(ma.Multiaddr) error
	ListenClose(...ma.Multiaddr)
}

var _ listener = (*swarm.Swarm)(nil)

func listenOn(h host.Host, addrs []ma.Multiaddr) error {
	s, ok := h.Network().(listener)
	if !ok {
		return errors.New("p2p: this host cannot listen")
	}
	if len(addrs) == 0 {
		return listenAnywhere(h, s)
	}
	for _, a := range addrs {
		if err := s.AddListenAddr(a); err != nil {
			return listenError(a, err)
		}
	}
	return nil
}

func listenError(a ma.Multiaddr, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), "in use") {
		return fmt.Errorf("p2p: %s is in use: stop what listens there or choose another port (0 for any)", a)
	}
	return fmt.Errorf("p2p: cannot listen on %s: %w", a, err)
}

// listenAnywhere listens on a port that is free for both QUIC and TCP: one
// number is easier to tell a friend, and a firewall, than two.
func listenAnywhere(h host.Host, s listener) error {
	var err error
	for range 16 {
		zero := ma.StringCast("/ip4/0.0.0.0/udp/0/quic-v1")
		if err := s.AddListenAddr(zero); err != nil {
			return listenError(zero, err)
		}
		udp, port, perr := listeningUDP(h)
		if perr != nil {
			return perr
		}
		same := ma.StringCast("/ip4/0.0.0.0/tcp/" + port)
		if err = s.AddListenAddr(same); err == nil {
			return nil
		}
		err = listenError(same, err)
		s.ListenClose(udp)
	}
	return err
}

func listeningUDP(h host.Host) (ma.Multiaddr, string, error) {
	for _, a := range h.Network().ListenAddresses() { // relays are listened to as well
		if port, err := a.ValueForProtocol(ma.P_UDP); err == nil {
			return a, port, nil
		}
	}
	return nil, "", errors.New("p2p: this host listens on no UDP port")
}

// newLimits are libp2p's default limits, scaled to this machine, with three
// differences: each protocol of ours has its own, a household of devices may
// come from one address, and nothing is measured.
func newLimits(p protocols) (network.ResourceManager, error) {
	m, err := rcmgr.NewResourceManager(newLimiter(p),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: 2 * household}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: 2 * household}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{
				{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
				{Prefix: netip.MustParsePrefix("::1/128")},
			},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: rate.Limit{RPS: 4, Burst: 4 * household}}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: rate.Limit{RPS: 4, Burst: 4 * household}}},
				GracePeriod:      time.Minute,
			},
		}))
	if err != nil {
		return nil, fmt.Errorf("p2p: limits: %w", err)
	}
	return m, nil
}

// A share is what one protocol may have: streams that others open, of one peer and of all together, and memory for
// what was read in part.
type share struct {
	peer, all             int
	peerMemory, allMemory int64
}

// shares are the limits of each protocol. Who speaks keeps one stream open, and for a moment two when it begins again;
// a peer fetches four bodies at once, and asks others meanwhile. What is said travels in frames, of which the longest
// must fit; they are copied once more when they are decoded. The other protocols claim nothing: what they read is
// bounded by the number of streams.
func (p protocols) shares() map[libp2pprotocol.ID]share {
	const talkers = 4 * 2 * household
	talk := share{peer: 4, all: talkers, peerMemory: 1 << 20, allMemory: 8 << 20}
	say := share{peer: 4, all: talkers, peerMemory: 6 << 20, allMemory: 12 << 20}
	fetch := share{peer: 8, all: 128, peerMemory: 1 << 20, allMemory: 8 << 20}
	shares := map[libp2pprotocol.ID]share{
		p.say: say, p.packet: talk, p.gossip: talk, p.admit: {peer: 4, all: 256, peerMemory: 1 << 20, allMemory: 8 << 20},
		p.pull: {peer: 4, all: 64, peerMemory: 1 << 20, allMemory: 8 << 20},
	}
	for _, id := range p.streams() {
		if _, has := shares[id]; !has {
			shares[id] = fetch
		}
	}
	return shares
}

func newLimiter(p protocols) rcmgr.Limiter {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	for id, s := range p.shares() {
		scaling.AddProtocolPeerLimit(id, rcmgr.BaseLimit{
			StreamsInbound: s.peer, StreamsOutbound: 16, Streams: s.peer + 16, Memory: s.peerMemory,
		}, rcmgr.BaseLimitIncrease{})
		scaling.AddProtocolLimit(id, rcmgr.BaseLimit{
			StreamsInbound: s.all, StreamsOutbound: 4 * maxMembers, Streams: s.all + 4*maxMembers, Memory: s.allMemory,
		}, rcmgr.BaseLimitIncrease{})
	}
	return rcmgr.NewFixedLimiter(scaling.AutoScale())
}

// household is how many devices may share one address.
const household = 64

var quietOnce sync.Once

// quieten sends what libp2p has to say to l, from warnings upwards. There is
// one such setting in a process; the first mesh decides.
func quieten(l *slog.Logger) {
	quietOnce.Do(func() { gologshim.SetDefaultHandler(atLeast{slog.LevelWarn, l.Handler()}) })
}
