package p2p

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"
)

// A Reach is what is known of how others can reach us.
type Reach struct {
	Reachable, Unreachable, Unknown []string // our public addresses, by what others found who tried them (AutoNAT v2)

	Relayed []string          // our addresses through relays
	Serves  bool              // we are a relay ourselves
	Mapping map[string]string // of the address translation before us, for udp and tcp: see MappingDependent
	Called  bool              // a peer that is not on this machine is connected that dialled us
}

// How a device that translates addresses maps ours, as far as peers tell us which they see.
const (
	MappingIndependent = "endpoint-independent" // the same to everyone: holes can be punched
	MappingDependent   = "endpoint-dependent"   // another to each: they cannot
)

// A reached follows what the host finds out about that.
type reached struct {
	mu    sync.Mutex
	state Reach
}

// follow takes in what the host says, until ctx ends.
func (r *reached) follow(ctx context.Context, h host.Host) error {
	sub, err := h.EventBus().Subscribe([]any{
		new(event.EvtHostReachableAddrsChanged), new(event.EvtNATDeviceTypeChanged),
	}, eventbus.BufSize(64))
	if err != nil {
		return fmt.Errorf("p2p: host events: %w", err)
	}
	defer sub.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev, ok := <-sub.Out():
			if !ok {
				return nil
			}
			r.take(ev)
		}
	}
}

func (r *reached) take(ev any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch ev := ev.(type) {
	case event.EvtHostReachableAddrsChanged:
		r.state.Reachable, r.state.Unreachable, r.state.Unknown = texts(ev.Reachable), texts(ev.Unreachable), texts(ev.Unknown)
	case event.EvtNATDeviceTypeChanged:
		if r.state.Mapping == nil {
			r.state.Mapping = make(map[string]string)
		}
		kind := strings.ToLower(ev.TransportProtocol.String())
		switch ev.NatDeviceType {
		case network.NATDeviceTypeEndpointIndependent:
			r.state.Mapping[kind] = MappingIndependent
		case network.NATDeviceTypeEndpointDependent:
			r.state.Mapping[kind] = MappingDependent
		default:
			delete(r.state.Mapping, kind)
		}
	}
}

func texts(addrs []ma.Multiaddr) []string {
	var list []string
	for _, a := range addrs {
		list = append(list, a.String())
	}
	slices.Sort(list)
	return list
}

// Reach returns what is known of how others can reach us.
func (m *Mesh) Reach() Reach {
	m.reached.mu.Lock()
	r := m.reached.state
	r.Mapping = make(map[string]string, len(r.Mapping))
	for kind, mapping := range m.reached.state.Mapping {
		r.Mapping[kind] = mapping
	}
	m.reached.mu.Unlock()
	r.Serves = m.relay != nil
	for _, a := range m.host.Addrs() {
		if relayed(a) {
			r.Relayed = append(r.Relayed, a.String())
		}
	}
	slices.Sort(r.Relayed)
	for _, c := range m.host.Network().Conns() {
		if way := pathOf(c); c.Stat().Direction == network.DirInbound && way != "local" && way != "relay" {
			r.Called = true
		}
	}
	return r
}
