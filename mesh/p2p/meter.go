package p2p

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"
)

// Traffic is what went over streams of one kind since the mesh began, in bytes as we wrote and read them:
// before encryption, and without what the transports add.
type Traffic struct {
	Kind    string // the middle of the protocol's name: packet, pull, say, body, gossip, admit, look; or relay
	In, Out uint64
}

// meter counts the bytes on all streams of ours, by protocol.
type meter struct {
	mu    sync.Mutex // guards kinds, not what they point to
	kinds map[string]*flow
}

type flow struct{ in, out atomic.Uint64 }

// flow returns where to count the streams of a protocol. There are as many as there are protocols that we
// answer or speak, whatever peers ask for.
func (m *meter) flow(p libp2p.ID) *flow {
	kind := kindOf(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kinds == nil {
		m.kinds = make(map[string]*flow)
	}
	f := m.kinds[kind]
	if f == nil {
		f = new(flow)
		m.kinds[kind] = f
	}
	return f
}

// kindOf cuts a protocol's name, as /yan/body/1, to what it carries: versions of one are counted as one.
func kindOf(p libp2p.ID) string {
	if strings.HasPrefix(string(p), "/libp2p/circuit/relay/") {
		return "relay" // what we relay for others included
	}
	parts := strings.Split(string(p), "/")
	if len(parts) != 4 || parts[0] != "" {
		return "other"
	}
	return parts[2]
}

// traffic returns what was counted, sorted by kind.
func (m *meter) traffic() []Traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Traffic, 0, len(m.kinds))
	for kind, f := range m.kinds {
		list = append(list, Traffic{kind, f.in.Load(), f.out.Load()})
	}
	slices.SortFunc(list, func(a, b Traffic) int { return strings.Compare(a.Kind, b.Kind) })
	return list
}

// A meteredHost counts what goes over its streams.
type meteredHost struct {
	host.Host
	meter *meter
}

func (h meteredHost) SetStreamHandler(p libp2p.ID, f network.StreamHandler) {
	h.Host.SetStreamHandler(p, h.meter.counted(p, f))
}

func (h meteredHost) SetStreamHandlerMatch(p libp2p.ID, match func(libp2p.ID) bool, f network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(p, match, h.meter.counted(p, f))
}

func (h meteredHost) NewStream(ctx context.Context, id peer.ID, p ...libp2p.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, id, p...)
	if err != nil {
		return nil, err
	}
	return &meteredStream{s, h.meter.flow(s.Protocol())}, nil
}

func (m *meter) counted(p libp2p.ID, f network.StreamHandler) network.StreamHandler {
	here := m.flow(p)
	return func(s network.Stream) { f(&meteredStream{s, here}) }
}

type meteredStream struct {
	network.Stream
	flow *flow
}

func (s *meteredStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	s.flow.in.Add(uint64(n))
	return n, err
}

func (s *meteredStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	s.flow.out.Add(uint64(n))
	return n, err
}
