package foreign

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// A speaker is the foreign peer.
type speaker struct {
	host host.Host
	key  ed25519.PrivateKey
	news *pubsub.Topic

	heard     chan frame                 // that others said to it
	announced chan message               // updates whose heads came on the topic, verified
	asked     chan message               // requests for bodies that it has answered
	cells     chan struct{}              // questions for a place that it has answered
	grafted   chan peer.ID               // peers to whom it passes news on; what is published before reaches nobody
	says      map[peer.ID]network.Stream // streams on which it talks

	mu     sync.Mutex
	bodies map[string][]byte // by digest
}

type frame struct {
	from peer.ID
	kind byte
	message
}

func newSpeaker(t *testing.T, key ed25519.PrivateKey) *speaker {
	t.Helper()
	identity, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.Identity(identity), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	s := &speaker{host: h, key: key, heard: make(chan frame, 64), announced: make(chan message, 64), asked: make(chan message, 64),
		cells: make(chan struct{}, 64), grafted: make(chan peer.ID, 64),
		says: map[peer.ID]network.Stream{}, bodies: map[string][]byte{}}
	h.SetStreamHandler("/yan/say/1", s.hear)
	h.SetStreamHandler("/yan/cell/1", s.refusePlace)
	h.SetStreamHandler("/yan/body/2", s.serve)
	h.SetStreamHandler("/yan/pull/1", func(st network.Stream) { st.Reset() }) // what peers of the network are known by

	ctx, stop := context.WithCancel(t.Context())
	gossip, err := pubsub.NewGossipSub(ctx, h, pubsub.WithRawTracer(grafts{s.grafted}), pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithGossipSubProtocols([]protocol.ID{"/yan/gossip/1"}, func(f pubsub.GossipSubFeature, _ protocol.ID) bool {
			return f == pubsub.GossipSubFeatureMesh || f == pubsub.GossipSubFeatureIdontwant
		}))
	if err != nil {
		t.Fatal(err)
	}
	if err := gossip.RegisterTopicValidator("yan/news/1", s.judge); err != nil {
		t.Fatal(err)
	}
	if s.news, err = gossip.Join("yan/news/1"); err != nil {
		t.Fatal(err)
	}
	sub, err := s.news.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return
			}
			if m.ReceivedFrom != h.ID() {
				s.announced <- m.ValidatorData.(message)
			}
		}
	})
	t.Cleanup(func() {
		stop()
		h.Close()
		reader.Wait()
	})
	return s
}

func (s *speaker) name() string { return s.host.ID().String() }

func (s *speaker) addr() string {
	return fmt.Sprintf("%s/p2p/%s", s.host.Addrs()[0], s.host.ID())
}

// grafts listens to gossipsub for one thing.
type grafts struct{ c chan peer.ID }

func (g grafts) Graft(id peer.ID, topic string) {
	if topic == "yan/news/1" {
		g.c <- id
	}
}

func (grafts) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (grafts) OnClosedOutboundStream(peer.ID)           {}
func (grafts) Join(string)                              {}
func (grafts) Leave(string)                             {}
func (grafts) Prune(peer.ID, string)                    {}
func (grafts) ValidateMessage(*pubsub.Message)          {}
func (grafts) DeliverMessage(*pubsub.Message)           {}
func (grafts) RejectMessage(*pubsub.Message, string)    {}
func (grafts) DuplicateMessage(*pubsub.Message)         {}
func (grafts) ThrottlePeer(peer.ID)                     {}
func (grafts) RecvRPC(*pubsub.RPC)                      {}
func (grafts) SendRPC(*pubsub.RPC, peer.ID)             {}
func (grafts) DropRPC(*pubsub.RPC, peer.ID)             {}
func (grafts) UndeliverableMessage(*pubsub.Message)     {}

// judge accepts Announces that verify. It fetches no body: it tells who asks, and the test asks.
func (s *speaker) judge(_ context.Context, _ peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	kind, head4, err := readFrame(m.Data)
	if err != nil {
		return pubsub.ValidationReject
	}
	if kind != 4 {
		return pubsub.ValidationIgnore
	}
	if verify("yan announce v1", head, head4) != nil {
		return pubsub.ValidationReject
	}
	m.ValidatorData = head4
	return pubsub.ValidationAccept
}

// refusePlace answers that there is no place in its cell, which is itself.
func (s *speaker) refusePlace(st network.Stream) {
	defer st.Close()
	var question [3]byte
	if _, err := io.ReadFull(st, question[:]); err != nil || question[0] != 1 {
		st.Reset()
		return
	}
	st.Write([]byte{0, 0, 1})
	s.cells <- struct{}{}
}

// hear reads the frames of a stream until it ends.
func (s *speaker) hear(st network.Stream) {
	defer st.Close()
	r := bufio.NewReader(st)
	for {
		b, err := readSized(r, 4<<20+4<<10)
		if err != nil {
			return
		}
		kind, m, err := readFrame(b)
		if err != nil {
			st.Reset()
			return
		}
		if m != nil {
			s.heard <- frame{st.Conn().RemotePeer(), kind, m}
		}
	}
}

func readSized(r *bufio.Reader, most uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, errMalformed
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return b, err
}

func sized(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

// say sends one frame, on the stream that stays open.
func (s *speaker) say(ctx context.Context, to peer.ID, kind byte, m message) error {
	if s.says[to] == nil {
		st, err := s.host.NewStream(ctx, to, "/yan/say/1")
		if err != nil {
			return err
		}
		s.says[to] = st
	}
	_, err := s.says[to].Write(sized(writeFrame(kind, m)))
	return err
}

// offer keeps a body for those who ask, and returns its signed head.
func (s *speaker) offer(seq uint64, base []byte, skill string, body []byte) message {
	sum := sha256.Sum256(body)
	s.mu.Lock()
	s.bodies[string(sum[:])] = body
	s.mu.Unlock()
	return sign(s.key, "yan announce v1", head, message{
		{"a", s.name()}, {"s", seq}, {"m", base}, {"k", skill}, {"r", uint64(0)}, {"n", uint64(1)}, {"e", uint64(1000)},
		{"g", uint64(20000)}, {"t", uint64(1800000000)}, {"d", sum[:]}, {"z", uint64(len(body))},
	})
}

const pieceSize = 32768

// serve answers a request for a body, in pieces as they are.
func (s *speaker) serve(st network.Stream) {
	defer st.Close()
	b, err := readSized(bufio.NewReader(st), 256)
	if err != nil {
		st.Reset()
		return
	}
	q, err := readFields(bodyRequest, b)
	if err != nil {
		st.Reset()
		return
	}
	s.mu.Lock()
	body, ok := s.bodies[string(q.get("d").([]byte))]
	s.mu.Unlock()
	o := q.get("o").(uint64)
	if !ok || o > uint64(len(body)) {
		st.Write(sized(writeFields(message{{"z", uint64(0)}})))
		return
	}
	answer := sized(writeFields(message{{"z", uint64(len(body))}}))
	for rest := body[o:]; len(rest) > 0; {
		n := min(len(rest), pieceSize)
		answer = append(append(answer, 0), sized(rest[:n])...)
		rest = rest[n:]
	}
	st.Write(answer)
	s.asked <- q
}

// fetch asks a peer for a body: what follows the bytes that are there, with an earlier version or without. It says how many
// pieces of each sort came.
func (s *speaker) fetch(ctx context.Context, from peer.ID, sum, have, earlier []byte) (body []byte, sorts [3]int, err error) {
	st, err := s.host.NewStream(ctx, from, "/yan/body/2")
	if err != nil {
		return nil, sorts, err
	}
	defer st.Close()
	q := message{{"d", sum}, {"o", uint64(len(have))}}
	if earlier != nil {
		e := sha256.Sum256(earlier)
		q = append(q, pair{"e", e[:]})
	}
	if _, err := st.Write(sized(writeFields(q))); err != nil {
		return nil, sorts, err
	}
	if err := st.CloseWrite(); err != nil {
		return nil, sorts, err
	}
	r := bufio.NewReader(st)
	b, err := readSized(r, 256)
	if err != nil {
		return nil, sorts, err
	}
	answer, err := readFields(bodyAnswer, b)
	if err != nil {
		return nil, sorts, err
	}
	size := int(answer.get("z").(uint64))
	if size == 0 {
		return nil, sorts, errors.New("not there")
	}
	body = bytes.Clone(have)
	for len(body) < size {
		sort, err := r.ReadByte()
		if err != nil {
			return nil, sorts, err
		}
		n := min(pieceSize, size-len(body))
		piece, err := readSized(r, uint64(n))
		if err != nil {
			return nil, sorts, err
		}
		if piece, err = expand(sort, piece, n, len(body), size, earlier); err != nil {
			return nil, sorts, err
		}
		sorts[sort]++
		body = append(body, piece...)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return nil, sorts, errors.New("more behind the end")
	}
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, sorts, errors.New("not the body of its digest")
	}
	return body, sorts, nil
}

// expand returns the n bytes, from at on, that a piece stands for.
func expand(sort byte, piece []byte, n, at, size int, earlier []byte) ([]byte, error) {
	if sort > 2 {
		return nil, errMalformed
	}
	if sort > 0 {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		if piece, err = z.DecodeAll(piece, nil); err != nil {
			return nil, err
		}
	}
	if sort < 2 {
		if len(piece) != n {
			return nil, errMalformed
		}
		return piece, nil
	}
	bits := (n + 7) / 8
	if len(piece) < bits {
		return nil, errMalformed
	}
	mask, add := piece[:bits], piece[bits:]
	out := make([]byte, n)
	for i := range out {
		if j := at + i - size + len(earlier); j >= 0 && j < len(earlier) {
			out[i] = earlier[j]
		}
		if mask[i/8]>>(i%8)&1 == 1 {
			if len(add) == 0 {
				return nil, errMalformed
			}
			out[i] += add[0]
			add = add[1:]
		}
	}
	if len(add) > 0 {
		return nil, errMalformed
	}
	return out, nil
}
