package foreign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/protocol"
)

// patience is how long a test waits for what has to come: what ends it is the event.
const patience = time.Minute

func next[T any](ctx context.Context, t *testing.T, what string, c <-chan T, ok func(T) bool) T {
	t.Helper()
	for {
		select {
		case v := <-c:
			if ok(v) {
				return v
			}
		case <-ctx.Done():
			t.Fatalf("%s did not come", what)
		}
	}
}

func random(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestTalk has the foreign peer meet a mesh of ours, which knows nothing of it but its address.
func TestTalk(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	foreign := newSpeaker(t, keyFrom(7))
	ourKey := keyFrom(8)
	ours, err := p2p.New(ctx, p2p.Config{Key: ourKey, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Join: []string{foreign.addr()},
		Upload: -1, Download: -1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	ourID, err := peer.Decode(string(ours.Self()))
	if err != nil {
		t.Fatal(err)
	}
	self := protocol.PeerID(foreign.name())

	// It is asked for a place, has none, and is a neighbour.
	next(ctx, t, "the question for a place", foreign.cells, func(struct{}) bool { return true })
	next(ctx, t, "our joining", ours.Events(), func(e mesh.Event) bool { return e.Kind == mesh.Joined && e.Peer == self })

	base := protocol.Sum([]byte("a base"))
	heard := func(what string, ok func(protocol.Message) bool) protocol.Message {
		t.Helper()
		return next(ctx, t, what, ours.Events(), func(e mesh.Event) bool {
			return e.Kind == mesh.Heard && e.Peer == self && ok(e.Msg)
		}).Msg
	}

	// What it says.
	if err := foreign.say(ctx, ourID, 1, message{{"v", uint64(2)}, {"m", base[:]}, {"a", "another/0.1"}, {"c", uint64(3)}}); err != nil {
		t.Fatal(err)
	}
	hello := heard("the foreign Hello", func(m protocol.Message) bool { return m.Kind() == protocol.KindHello }).(*protocol.Hello)
	if hello.Version != 2 || hello.Model != base || hello.Agent != "another/0.1" {
		t.Errorf("its Hello was heard as %v", hello)
	}
	held := []any{message{{"a", foreign.name()}, {"s", uint64(70000)}}}
	if err := foreign.say(ctx, ourID, 2, message{{"d", sumOf(held)}}); err != nil {
		t.Fatal(err)
	}
	have := heard("the foreign Have", func(m protocol.Message) bool { return m.Kind() == protocol.KindHave }).(*protocol.Have)
	if want := protocol.SumIDs([]protocol.UpdateID{{Author: self, Seq: 70000}}); have.Sum != want {
		t.Errorf("its Have sums to %v, not %v", have.Sum, want)
	}

	// What it hears.
	send := func(to protocol.PeerID, m protocol.Message) {
		t.Helper()
		if err := ours.Send(ctx, protocol.Envelope{To: to, Msg: m}); err != nil {
			t.Fatal(err)
		}
	}
	said := func(kind byte) message {
		t.Helper()
		f := next(ctx, t, "what we said", foreign.heard, func(f frame) bool { return f.kind == kind })
		if f.from != ourID {
			t.Errorf("kind %d came from %s", kind, f.from)
		}
		return f.message
	}
	send(self, &protocol.Hello{Version: protocol.Version, Model: base, Agent: "yan/test"})
	if m := said(1); m.get("v") != uint64(2) || m.get("a") != "yan/test" || !bytes.Equal(m.get("m").([]byte), base[:]) || m.get("c") != nil {
		t.Errorf("it heard the Hello as %v", m)
	}
	send(self, &protocol.Have{IDs: []protocol.UpdateID{{Author: ours.Self(), Seq: 9}}})
	if m := said(2).get("i").([]any); len(m) != 1 || m[0].(message).get("a") != string(ours.Self()) || m[0].(message).get("s") != uint64(9) {
		t.Errorf("it heard the Have as %v", m)
	}

	// What it publishes: its head by gossip, the body when it is asked. Once we have heard it, we have its graft too, which went
	// before it, and what we publish reaches it.
	next(ctx, t, "our place in the topic's mesh", foreign.grafted, func(id peer.ID) bool { return id == ourID })
	body := random(1, 3*pieceSize+17)
	if err := foreign.news.Publish(ctx, writeFrame(4, foreign.offer(1, base[:], "a foreign skill", body))); err != nil {
		t.Fatal(err)
	}
	u := heard("the foreign update", func(m protocol.Message) bool { return m.Kind() == protocol.KindUpdate }).(*protocol.Update)
	if !bytes.Equal(u.Body, body) || u.Skill != "a foreign skill" || u.ID.Author != self || u.Verify() != nil {
		t.Errorf("its update was heard as %v: %v", u, u.Verify())
	}
	sum := sha256.Sum256(body)
	if q := next(ctx, t, "our request", foreign.asked, func(message) bool { return true }); !bytes.Equal(q.get("d").([]byte), sum[:]) {
		t.Errorf("it was asked for %v", q)
	}
	if again, _, err := foreign.fetch(ctx, ourID, sum[:], nil, nil); err != nil || !bytes.Equal(again, body) {
		t.Errorf("its own body came back as %d bytes: %v", len(again), err)
	}

	// What it fetches: all of a body, its end, and what differs from an earlier one.
	first := random(2, 2*pieceSize+1000)
	publish := func(seq, replaces uint64, body []byte) message {
		t.Helper()
		u := &protocol.Update{Announce: protocol.Announce{ID: protocol.UpdateID{Author: ours.Self(), Seq: seq}, Model: base, Skill: "ours", Replaces: replaces,
			Sections: 1, Events: 1000, Gain: -3, Made: 1800000000, Digest: protocol.Sum(body), Size: uint32(len(body))}, Body: body}
		u.Sign(ourKey)
		send("", u)
		m := next(ctx, t, "our news", foreign.announced, func(m message) bool { return m.get("a") == string(ours.Self()) && m.get("s") == seq })
		if m.get("k") != "ours" || m.get("g") != int64(-3) || m.get("r") != replaces {
			t.Errorf("our update is announced as %v", m)
		}
		return m
	}
	m := publish(1, 0, first)
	for _, offset := range []int{0, 1, pieceSize, 50000, len(first) - 1} {
		got, sorts, err := foreign.fetch(ctx, ourID, m.get("d").([]byte), first[:offset], nil)
		if err != nil || !bytes.Equal(got, first) {
			t.Errorf("from %d on: %d bytes in pieces of %v: %v", offset, len(got), sorts, err)
		}
	}
	second := append(random(3, 10), first...) // longer, and places are counted from the end
	for i := 100; i < len(second); i += 100 {
		second[i]++
	}
	m = publish(2, 1, second)
	got, sorts, err := foreign.fetch(ctx, ourID, m.get("d").([]byte), nil, first)
	if err != nil || !bytes.Equal(got, second) || sorts[2] == 0 {
		t.Errorf("what differs: %d bytes in pieces of %v: %v", len(got), sorts, err)
	}
	third := bytes.Repeat([]byte("all alike "), 5000)
	m = publish(3, 2, third)
	got, sorts, err = foreign.fetch(ctx, ourID, m.get("d").([]byte), nil, nil)
	if err != nil || !bytes.Equal(got, third) || sorts[1] == 0 {
		t.Errorf("what packs well: %d bytes in pieces of %v: %v", len(got), sorts, err)
	}
	if _, _, err := foreign.fetch(ctx, ourID, base[:], nil, nil); err == nil {
		t.Error("a body that nobody has came")
	}
}

// TestBegins has the foreign peer dial, and ask for a place with more members than any cell has room for.
func TestBegins(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	foreign := newSpeaker(t, keyFrom(7))
	foreign.host.SetStreamHandler("/yan/cell/1", func(st network.Stream) { // it leaves our own question open
		<-ctx.Done()
		st.Reset()
	})
	ours, err := p2p.New(ctx, p2p.Config{Key: keyFrom(8), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	info, err := peer.AddrInfoFromString(ours.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := foreign.host.Connect(ctx, *info); err != nil {
		t.Fatal(err)
	}
	st, err := foreign.host.NewStream(ctx, info.ID, "/yan/cell/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write([]byte{1, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(st); err != nil || !bytes.Equal(answer, []byte{0, 0, 1}) {
		t.Errorf("the answer is %x: %v", answer, err)
	}
	next(ctx, t, "our joining", ours.Events(), func(e mesh.Event) bool { return e.Kind == mesh.Joined && string(e.Peer) == foreign.name() })
}

// TestConverses has the foreign peer say what it has and want what we have, with one of ours that decides by itself what to say.
func TestConverses(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	foreign := newSpeaker(t, keyFrom(7))
	ourKey := keyFrom(8)
	ours, err := p2p.New(ctx, p2p.Config{Key: ourKey, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Join: []string{foreign.addr()},
		Upload: -1, Download: -1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	base := protocol.Sum([]byte("a base"))
	theirs := random(4, 1000)
	body := random(5, pieceSize+1)
	u := &protocol.Update{Announce: protocol.Announce{ID: protocol.UpdateID{Author: ours.Self(), Seq: 1}, Model: base, Skill: "ours",
		Sections: 1, Events: 1000, Gain: 3, Made: 1800000000, Digest: protocol.Sum(body), Size: uint32(len(body))}, Body: body}
	u.Sign(ourKey)
	machine := exchange.New(exchange.Config{Self: ours.Self(), Model: base, Agent: "yan/test", Rand: rand.New(rand.NewPCG(1, 2))})
	now := time.Unix(1800000000, 0)
	do := func(a exchange.Actions) {
		for _, e := range a.Send {
			if err := ours.Send(ctx, e); err != nil && ctx.Err() == nil {
				t.Errorf("%v: %v", e, err)
			}
		}
	}
	do(machine.Offer(now, u)) // before anyone is there to hear it
	folded := make(chan *protocol.Update, 1)
	var mind sync.WaitGroup
	defer mind.Wait()
	defer ours.Close()
	mind.Go(func() {
		for e := range ours.Events() {
			a := machine.Handle(now, e)
			do(a)
			for _, u := range a.Fold {
				do(machine.Judge(now, u.ID, protocol.Folded, 12))
				folded <- u
			}
		}
	})

	said := func(kind byte) message {
		t.Helper()
		return next(ctx, t, "what we said", foreign.heard, func(f frame) bool { return f.kind == kind }).message
	}
	ourID, err := peer.Decode(string(ours.Self()))
	if err != nil {
		t.Fatal(err)
	}
	say := func(kind byte, m message) {
		t.Helper()
		if err := foreign.say(ctx, ourID, kind, m); err != nil {
			t.Fatal(err)
		}
	}
	if m := said(1); !bytes.Equal(m.get("m").([]byte), base[:]) {
		t.Errorf("our Hello is %v", m)
	}
	held := said(2).get("i").([]any)
	if len(held) != 1 || held[0].(message).get("a") != string(ours.Self()) {
		t.Fatalf("our Have is %v", held)
	}

	// It wants what we have: the head comes, since it can ask for bodies, and the body when it asks.
	say(1, message{{"v", uint64(2)}, {"m", base[:]}, {"a", "another/0.1"}})
	say(3, message{{"i", held}})
	m := said(4)
	if err := verify("yan announce v1", head, m); err != nil {
		t.Error(err)
	}
	if got, _, err := foreign.fetch(ctx, ourID, m.get("d").([]byte), nil, nil); err != nil || !bytes.Equal(got, body) {
		t.Errorf("our body came as %d bytes: %v", len(got), err)
	}

	// A digest that is not ours has us say all that we have, and want to hear all of theirs.
	offer := foreign.offer(5, base[:], "a foreign skill", theirs)
	say(2, message{{"d", sumOf([]any{held[0], offer[:2]})}})
	if again := said(2).get("i").([]any); len(again) != 1 {
		t.Errorf("our second Have is %v", again)
	}
	if m := said(3); len(m.get("i").([]any)) != 0 {
		t.Errorf("our Want is %v", m)
	}
	say(2, message{{"i", []any{offer[:2]}}})
	if wanted := said(3).get("i").([]any); len(wanted) != 1 || byName(wanted[0], offer[:2]) != 0 {
		t.Fatalf("our Want is %v", wanted)
	}
	say(4, offer)
	if u := next(ctx, t, "the foreign update", folded, func(*protocol.Update) bool { return true }); !bytes.Equal(u.Body, theirs) {
		t.Errorf("we fold %v", u)
	}
	if m := said(6); byName(m, offer[:2]) != 0 || m.get("v") != uint64(1) || m.get("g") != uint64(12) {
		t.Errorf("our Answer is %v", m)
	}
}
