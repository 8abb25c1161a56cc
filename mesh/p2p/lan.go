package p2p

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// lan finds peers of the same network on the same link, by multicast DNS. It asks at longer and longer intervals, and what it
// first asks may be lost, or go out before the link is up. So while nobody is here, and when our addresses change, it is begun anew.
type lan struct {
	host  host.Host
	name  string
	found found
	log   *slog.Logger

	service mdns.Service // nil while it does not run
	addrs   []string     // ours when it was begun
	failed  bool         // and could not be
}

// askAgain is how long nobody has to be found until it is begun anew.
const askAgain = 10 * time.Second

// found is told of each peer that answers, ourselves perhaps included.
type found func(peer.AddrInfo)

func (f found) HandlePeerFound(info peer.AddrInfo) { f(info) }

// run looks for peers until ctx ends. alone reports whether nobody is here.
func (l *lan) run(ctx context.Context, alone func() bool) {
	defer l.stop()
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		if addrs := hostAddrs(l.host); l.service == nil || alone() || !slices.Equal(addrs, l.addrs) {
			l.begin(addrs)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (l *lan) begin(addrs []string) {
	l.stop()
	s := mdns.NewMdnsService(l.host, l.name, l.found)
	if err := s.Start(); err != nil {
		s.Close()
		if !l.failed || !slices.Equal(addrs, l.addrs) { // said once, and whenever something has changed
			l.log.Warn("p2p: cannot look for peers on the local network; it is tried again", "why", err)
		}
		l.failed, l.addrs = true, addrs
		return
	}
	l.failed, l.service, l.addrs = false, s, addrs
}

// stop stops looking, and waits until it has.
func (l *lan) stop() {
	if l.service != nil {
		l.service.Close()
		l.service = nil
	}
}

func hostAddrs(h host.Host) (list []string) {
	for _, a := range h.Addrs() {
		list = append(list, a.String())
	}
	slices.Sort(list)
	return list
}
