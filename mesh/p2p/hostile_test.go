package p2p

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// An evil peer has a host and no scruples.
type evil struct {
	host.Host
	t   *testing.T
	ctx context.Context
}

// evil starts the i-th peer as an evil one, connected to the first n.
func (w *world) evil(i, n int) *evil {
	w.t.Helper()
	h := w.host(i, newStrikes(quiet), new(reach))
	ctx, cancel := context.WithCancel(context.Background())
	w.ends = append(w.ends, func() { cancel(); h.Close() })
	e := &evil{h, w.t, ctx}
	for k := range n {
		info, err := peer.AddrInfoFromString(addrOfPeer(k))
		if err != nil {
			w.t.Fatal(err)
		}
		if err := h.Connect(ctx, *info); err != nil {
			w.t.Fatal(err)
		}
	}
	return e
}

// write opens a stream to the first peer and writes b. It fails once the peer ignores us.
func (e *evil) write(p libp2p.ID, b []byte) (network.Stream, error) {
	id, err := peer.Decode(string(meshtest.ID(0)))
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	s, err := e.NewStream(ctx, id, p)
	if err != nil {
		return nil, err
	}
	s.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = s.Write(b)
	return s, err
}

func (m *Mesh) ignores(i int) bool {
	id, err := peer.Decode(string(meshtest.ID(i)))
	return err == nil && m.strikes.Contains(id)
}

// goOn checks that peers still hear one another.
func goOn(t *testing.T, all []*node) {
	t.Helper()
	for i, a := range all {
		b := all[(i+1)%len(all)]
		if err := a.Send(t.Context(), protocol.Envelope{To: b.Self(), Msg: &protocol.Hello{Agent: "well"}}); err != nil {
			t.Fatal(err)
		}
		b.expect(mesh.Heard, a.Self(), 10*time.Second)
		b.refuse("a leave", func(ev mesh.Event) bool { return ev.Kind == mesh.Left })
	}
}

// Frames that are too long, do not decode or are forged change nothing, and who keeps sending them is
// ignored, for a while.
func TestGarbage(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	forged := update(0, 1, 100)
	forged.Sign(meshtest.Key(9))
	forgedFrame, err := protocol.Encode(forged)
	if err != nil {
		t.Fatal(err)
	}
	for name, garbage := range map[string]struct {
		on   libp2p.ID
		what []byte
	}{
		"length of nothing":     {p.say, []byte{0}},
		"length without end":    {p.say, bytes.Repeat([]byte{0xff}, 20)},
		"length over the limit": {p.say, binary.AppendUvarint(nil, protocol.MaxFrame+1)},
		"no message":            {p.say, frameOf([]byte("\x01garbage"))},
		"a huge array":          {p.say, frameOf([]byte{byte(protocol.KindHave), 0x81, 0xa1, 'i', 0xdd, 0xff, 0xff, 0xff, 0xff})},
		"forged update":         {p.say, frameOf(forgedFrame)},
		"packet over the limit": {p.packet, binary.AppendUvarint(nil, 1<<20)},
		"compressed packet":     {p.packet, frameOf([]byte{9, 0x80})},
		"packet of gigabytes":   {p.packet, frameOf([]byte("\x00\x81\xa4Node\xc9\x96\x96\xd0\x64\x00"))},
		"packet in a packet":    {p.packet, frameOf([]byte{kindCompound, 1, 0, 3, kindCompound, 0, 0})},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				all := w.nodes(3)
				e := w.evil(9, 3)
				for range maxStrikes {
					if all[0].ignores(9) {
						t.Error("ignored too early")
					}
					if _, err := e.write(garbage.on, garbage.what); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				if !all[0].ignores(9) {
					t.Error("not ignored")
				}
				if len(all[0].host.Network().ConnsToPeer(e.ID())) > 0 {
					t.Error("ignored, and still connected")
				}
				if s, err := e.write(p.say, frameOf([]byte("again"))); err == nil {
					if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF {
						t.Errorf("a stream of a peer that is ignored: %v", err)
					}
				}
				goOn(t, all)
				for _, a := range all {
					a.refuse("garbage", func(ev mesh.Event) bool { return ev.Peer == meshtest.ID(9) })
				}
			})
		})
	}
}

// A frame of a kind that is not known yet is skipped, and nobody's fault.
func TestUnknownKindIsSkipped(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		hello, err := protocol.Encode(&protocol.Hello{Agent: "after"})
		if err != nil {
			t.Fatal(err)
		}
		id, _ := peer.Decode(string(all[0].Self()))
		for range 2 * maxStrikes {
			if err := all[1].say.send(id, []byte{200, 0x80}, false); err != nil {
				t.Fatal(err)
			}
		}
		if err := all[1].say.send(id, hello, false); err != nil {
			t.Fatal(err)
		}
		all[0].expect(mesh.Heard, all[1].Self(), 10*time.Second)
	})
}

// Streams on which nothing comes, or on which membership makes claims, are closed in time and hold
// nobody up.
func TestSilence(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		e := w.evil(9, 1)
		million := []byte{kindPushPull, 0x83, 0xa5, 'N', 'o', 'd', 'e', 's', 0xce, 0, 0x0f, 0xff, 0xff, 0xac}
		million = append(million, "UserStateLen\x00\xa4Join\xc2"...)
		var open []network.Stream
		for range 2 * syncsAtOnce {
			s, err := e.write(p.pull, million)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, s)
		}
		for range 4 {
			for _, silent := range []struct {
				on   libp2p.ID
				what []byte
			}{
				{p.pull, []byte{kindPushPull}},
				{p.body, []byte("half a digest")},
				{p.say, []byte{0x80, 0x10, byte(protocol.KindUpdate)}},
				{p.packet, []byte{0x20, kindPing}},
			} {
				s, err := e.write(silent.on, silent.what)
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, s)
			}
		}
		late := w.node(4, Config{}) // and can join nevertheless
		late.expect(mesh.Joined, all[1].Self(), time.Minute)
		goOn(t, all)
		time.Sleep(packetIdle + time.Second)
		for i, s := range open {
			s.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := io.Copy(io.Discard, s); isTimeout(err) {
				t.Errorf("stream %d on %s is still open", i, s.Protocol())
			}
		}
	})
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// A head that nobody signed, or whose body is another's, is not heard and not passed on.
func TestFalseNews(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func() (frame, body []byte){
		"signature": func() ([]byte, []byte) {
			u := update(0, 1, 1000)
			u.Sign(meshtest.Key(9))
			return must(protocol.Encode(&u.Announce)), u.Body
		},
		"body": func() ([]byte, []byte) {
			u := update(9, 1, 1000)
			return must(protocol.Encode(&u.Announce)), update(9, 2, 1000).Body
		},
		"size": func() ([]byte, []byte) {
			u := update(9, 1, 1000)
			return must(protocol.Encode(&u.Announce)), update(9, 1, 999).Body
		},
		"signature of a record": func() ([]byte, []byte) {
			r := signedRecord(0, 1)
			r.Sign(meshtest.Key(9))
			return must(protocol.Encode(&r.Align)), r.Body
		},
		"body of a record": func() ([]byte, []byte) {
			return must(protocol.Encode(&signedRecord(9, 1).Align)), signedRecord(9, 2).Body
		},
		"not an announcement": func() ([]byte, []byte) {
			return must(protocol.Encode(&protocol.Hello{})), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				all := w.nodes(4)
				e := w.evil(9, 2)
				frame, body := lie()
				var asked atomic.Int32
				e.SetStreamHandler(p.wholeBody, func(s network.Stream) {
					asked.Add(1)
					s.Write(binary.BigEndian.AppendUint32(nil, uint32(len(body))))
					s.Write(body)
					s.Close()
				})
				ps, err := pubsub.NewGossipSub(e.ctx, e, pubsub.WithGossipSubProtocols([]libp2p.ID{p.gossip}, features))
				if err != nil {
					t.Fatal(err)
				}
				topic, err := ps.Join(p.topicNews)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := topic.Subscribe(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(settle)
				for range maxStrikes {
					if err := topic.Publish(e.ctx, frame); err != nil {
						t.Fatal(err)
					}
					time.Sleep(settle)
				}
				if !all[0].ignores(9) || !all[1].ignores(9) {
					t.Error("the liar is not ignored by those whom it told")
				}
				for i, a := range all {
					a.refuse("false news", func(ev mesh.Event) bool { return ev.Kind == mesh.Heard })
					for k := range all {
						if a.ignores(k) {
							t.Errorf("%d ignores %d, who is honest", i, k)
						}
					}
				}
				if strings.HasPrefix(name, "body") && asked.Load() == 0 {
					t.Error("nobody asked for the body")
				}
				goOn(t, all)
			})
		})
	}
}

// signedRecord returns a record signed by test peer i.
func signedRecord(i int, term uint64) *protocol.Record {
	s := protocol.Aligned{Skill: "listening"}
	for _, id := range []protocol.PeerID{min(meshtest.ID(1), meshtest.ID(2)), max(meshtest.ID(1), meshtest.ID(2))} {
		s.Inputs = append(s.Inputs, protocol.Input{ID: protocol.UpdateID{Author: id, Seq: term}})
	}
	body := must(protocol.EncodeAlignment(&protocol.Alignment{Skills: []protocol.Aligned{s}}))
	r := &protocol.Record{Align: protocol.Align{Author: meshtest.ID(i), Term: term, Digest: protocol.Sum(body), Size: uint32(len(body))}, Body: body}
	r.Sign(meshtest.Key(i))
	return r
}

// When the peer that brings the news serves a false body, or none, it comes from another. This one knows no pieces.
func TestBodyFromAnother(t *testing.T) {
	p, err := newProtocols("yan")
	if err != nil {
		t.Fatal(err)
	}
	for name, serve := range map[string]func(network.Stream){
		"false":  func(s network.Stream) { s.Write(append([]byte{0, 0, 4, 0}, make([]byte, 1024)...)); s.Close() },
		"none":   func(s network.Stream) { s.Write(make([]byte, 4)); s.Close() },
		"silent": func(s network.Stream) { io.Copy(io.Discard, s); time.Sleep(time.Minute); s.Reset() },
		"half":   func(s network.Stream) { s.Write(make([]byte, 600)); time.Sleep(time.Minute); s.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				all := w.nodes(3)
				e := w.evil(9, 1)
				e.SetStreamHandler(p.wholeBody, serve)
				u := update(1, 1, 1024)
				all[1].bodies.keep(u.Digest, u.Body)
				began := time.Now()
				body, err := all[0].bodies.fetch(t.Context(), wanted(&u.Announce), e.ID())
				if err != nil || !bytes.Equal(body, u.Body) {
					t.Fatalf("fetch: %v, %d bytes", err, len(body))
				}
				if took := time.Since(began); took > 2*stall {
					t.Errorf("fetch took %v", took)
				}
			})
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
