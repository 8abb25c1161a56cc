package p2p

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// lan finds peers of the same network on the same link, by multicast DNS.
type lan struct{ service mdns.Service }

// found is told of each peer that answers, ourselves perhaps included.
type found func(peer.AddrInfo)

func (f found) HandlePeerFound(info peer.AddrInfo) { f(info) }

func newLAN(h host.Host, service string, f found) (*lan, error) {
	s := mdns.NewMdnsService(h, service, f)
	if err := s.Start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("p2p: looking for peers on the local network: %w", err)
	}
	return &lan{s}, nil
}

// close stops looking, and waits until it has.
func (l *lan) close() {
	if l != nil {
		l.service.Close()
	}
}
