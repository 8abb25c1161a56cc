package meshtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// settle is how long a mesh may take after everyone has joined until what is published reaches all.
const settle = 10 * time.Second

// patience is how long anything that must happen may take.
const patience = 2 * time.Minute

// Test holds three meshes to what [mesh.Mesh] promises. join is called for i = 0, 1 and 2 in turn
// and returns the mesh of the peer whose key is Key(i), joined to those before it. Call Test from a
// synctest bubble: it waits, for minutes, in virtual time. It closes all three.
func Test(t *testing.T, join func(t *testing.T, i int) mesh.Mesh) {
	t.Helper()
	ms := make([]mesh.Mesh, 3)
	ears := make([]*ear, 3)
	for i := range ms {
		ms[i] = join(t, i)
		if ms[i].Self() != ID(i) {
			t.Fatalf("mesh %d is %s, want %s, which is the name of its key", i, ms[i].Self(), ID(i))
		}
		ears[i] = listen(ms[i])
	}
	defer func() { // leave no goroutine behind, whatever failed
		for i, m := range ms {
			m.Close()
			<-ears[i].closed
		}
	}()
	c := &conformance{t: t, ms: ms, ears: ears}
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"everyone sees everyone join", c.joined},
		{"a message to one reaches that one", c.direct},
		{"many senders at once", c.concurrent},
		{"a message to all reaches all others", c.publish},
		{"a long update to all reaches all others whole", c.publishLong},
		{"a long update to one reaches that one whole", c.directLong},
		{"a record reaches all others whole, or one", c.records},
		{"what is too long is refused", c.tooLong},
		{"nobody is there", c.unreachable},
		{"a forged update does not arrive", c.forged},
		{"a closed mesh is seen to leave, and is closed", c.closing},
	} {
		step.run()
		if t.Failed() {
			t.Fatalf("failed at: %s", step.name)
		}
	}
}

type conformance struct {
	t    *testing.T
	ms   []mesh.Mesh
	ears []*ear
}

func (c *conformance) joined() {
	for i, e := range c.ears {
		for j := range c.ms {
			if i != j {
				e.expect(c.t, "a peer joins", func(ev mesh.Event) bool {
					return ev.Kind == mesh.Joined && ev.Peer == ID(j)
				})
			}
		}
	}
	time.Sleep(settle)
	for _, e := range c.ears {
		e.refuse(c.t, "its own name, a message or a leave", func(ev mesh.Event) bool {
			return ev.Kind != mesh.Joined || ev.Peer == e.self || ev.Msg != nil
		})
	}
}

func (c *conformance) direct() {
	for i := range c.ms {
		for j := range c.ms {
			if i == j {
				continue
			}
			m := answer(i, uint64(100+10*i+j))
			c.send(i, ID(j), m)
			c.ears[j].expect(c.t, m.String(), said(ID(i), m))
			c.ears[3-i-j].refuse(c.t, "a message to another", func(ev mesh.Event) bool { return same(ev.Msg, m) })
		}
	}
}

func (c *conformance) concurrent() {
	const each = 8
	var wg sync.WaitGroup
	for i := range 2 {
		for n := range each {
			wg.Go(func() { c.send(i, ID(2), answer(i, uint64(200+n))) })
		}
	}
	wg.Wait()
	for i := range 2 {
		for n := range each {
			m := answer(i, uint64(200+n))
			c.ears[2].expect(c.t, m.String(), said(ID(i), m))
		}
	}
}

func (c *conformance) publish() {
	for i := range c.ms {
		m := answer(i, uint64(300+i))
		c.send(i, "", m)
		c.reaches(i, m)
	}
}

// reaches waits until all but peer i have heard m, and sees that peer i has not.
func (c *conformance) reaches(i int, m protocol.Message) {
	c.t.Helper()
	for j, e := range c.ears {
		if j != i {
			e.expect(c.t, m.String(), func(ev mesh.Event) bool { return ev.Peer != e.self && same(ev.Msg, m) })
		}
	}
	c.ears[i].refuse(c.t, "what it said itself", func(ev mesh.Event) bool { return same(ev.Msg, m) })
}

func (c *conformance) publishLong() {
	for i := range 2 {
		u := update(i, uint64(400+i), 300<<10)
		c.send(i, "", u)
		c.reaches(i, u)
	}
}

func (c *conformance) directLong() {
	u := update(0, 500, 300<<10)
	c.send(0, ID(2), u)
	c.ears[2].expect(c.t, u.String(), said(ID(0), u))
	c.ears[1].refuse(c.t, "an update to another", func(ev mesh.Event) bool { return same(ev.Msg, u) })

	// An update may also come from another than its author.
	u = update(0, 501, 100<<10)
	c.send(1, ID(2), u)
	c.ears[2].expect(c.t, u.String(), said(ID(1), u))
}

func (c *conformance) records() {
	for i, inputs := range []int{2, protocol.MaxInputs} {
		r := record(i, uint64(i), inputs)
		c.send(i, "", r)
		c.reaches(i, r)
	}
	r := record(0, 7, protocol.MaxInputs)
	c.send(1, ID(2), r)
	c.ears[2].expect(c.t, r.String(), said(ID(1), r))
	c.ears[0].refuse(c.t, "a record to another", func(ev mesh.Event) bool { return same(ev.Msg, r) })
	forged := record(0, 8, 2)
	forged.Rank++
	garbage := record(0, 9, 2)
	garbage.Body = bytes.Clone(garbage.Body)
	garbage.Body[9]++
	for _, r := range []*protocol.Record{forged, garbage} {
		for _, to := range []protocol.PeerID{"", ID(2)} {
			c.ms[0].Send(context.Background(), protocol.Envelope{To: to, Msg: r})
		}
	}
	time.Sleep(settle)
	for _, e := range c.ears {
		e.refuse(c.t, "a forged record", func(ev mesh.Event) bool {
			r, ok := ev.Msg.(*protocol.Record)
			return ok && r.Term >= 8
		})
	}
}

func (c *conformance) tooLong() {
	long := update(0, 600, 16)
	long.Body = make([]byte, protocol.MaxBody+1)
	have := new(protocol.Have)
	for n := range 64 {
		have.IDs = append(have.IDs, protocol.UpdateID{Author: ID(0), Seq: uint64(1 + n)})
	}
	for _, e := range []protocol.Envelope{{Msg: long}, {To: ID(1), Msg: long}, {Msg: have}} {
		if err := c.ms[0].Send(context.Background(), e); !errors.Is(err, protocol.ErrTooLong) {
			c.t.Errorf("Send %v: %v, want ErrTooLong", e.Msg.Kind(), err)
		}
	}
	c.send(0, ID(1), have) // to one peer it is not too long
	c.ears[1].expect(c.t, "have", func(ev mesh.Event) bool { return same(ev.Msg, have) })
	c.ears[2].refuse(c.t, "what was refused", func(ev mesh.Event) bool { return same(ev.Msg, have) })
}

func (c *conformance) unreachable() {
	for _, to := range []protocol.PeerID{ID(99), ID(0), "nobody"} {
		err := c.ms[0].Send(context.Background(), protocol.Envelope{To: to, Msg: answer(0, 700)})
		if !errors.Is(err, mesh.ErrUnreachable) {
			c.t.Errorf("Send to %s: %v, want ErrUnreachable", to, err)
		}
	}
}

func (c *conformance) forged() {
	words := update(1, 800, 64) // says that peer 1 said it, which it did not
	words.Sign(Key(0))
	body := update(0, 801, 64) // not the body that was signed
	body.Body = bytes.Repeat([]byte{8}, 64)
	short := update(0, 802, 64)
	short.Body = short.Body[:63]
	for _, u := range []*protocol.Update{words, body, short} {
		for _, to := range []protocol.PeerID{"", ID(2)} {
			// Refused at once or lost on the way: both are right.
			c.ms[0].Send(context.Background(), protocol.Envelope{To: to, Msg: u})
		}
	}
	after := update(0, 803, 64)
	c.send(0, "", after)
	c.reaches(0, after)
	time.Sleep(settle)
	for _, e := range c.ears {
		e.refuse(c.t, "a forged update", func(ev mesh.Event) bool {
			switch m := ev.Msg.(type) {
			case *protocol.Update:
				return m.Verify() != nil
			case *protocol.Announce:
				return m.ID.Seq >= 800 && m.ID.Seq < 803
			}
			return false
		})
	}
}

func (c *conformance) closing() {
	leave := func(who int, left ...int) {
		if err := c.ms[who].Close(); err != nil {
			c.t.Errorf("Close: %v", err)
		}
		select {
		case <-c.ears[who].closed:
		case <-time.After(patience):
			c.t.Fatal("Events is not closed after Close")
		}
		count := c.ears[who].count()
		for _, i := range left {
			c.ears[i].expect(c.t, "a peer leaves", func(ev mesh.Event) bool {
				return ev.Kind == mesh.Left && ev.Peer == ID(who)
			})
			err := c.ms[i].Send(context.Background(), protocol.Envelope{To: ID(who), Msg: answer(i, 900)})
			if !errors.Is(err, mesh.ErrUnreachable) {
				c.t.Errorf("Send to who has left: %v, want ErrUnreachable", err)
			}
		}
		for _, to := range []protocol.PeerID{"", ID((who + 1) % 3)} {
			err := c.ms[who].Send(context.Background(), protocol.Envelope{To: to, Msg: answer(who, 901)})
			if !errors.Is(err, mesh.ErrClosed) {
				c.t.Errorf("Send after Close: %v, want ErrClosed", err)
			}
		}
		if err := c.ms[who].Close(); !errors.Is(err, mesh.ErrClosed) {
			c.t.Errorf("Close after Close: %v, want ErrClosed", err)
		}
		if c.ms[who].Self() != ID(who) {
			c.t.Errorf("Self after Close: %s", c.ms[who].Self())
		}
		if n := c.ears[who].count(); n != count {
			c.t.Errorf("%d events after Close", n-count)
		}
	}
	leave(2, 0, 1)
	m := answer(0, 950) // and those who stay go on
	c.send(0, "", m)
	c.ears[1].expect(c.t, m.String(), func(ev mesh.Event) bool { return same(ev.Msg, m) })
	leave(1, 0)
	c.send(0, "", answer(0, 951)) // to everyone, who is nobody
	leave(0)
}

func (c *conformance) send(from int, to protocol.PeerID, m protocol.Message) {
	c.t.Helper()
	if err := c.ms[from].Send(context.Background(), protocol.Envelope{To: to, Msg: m}); err != nil {
		c.t.Errorf("Send %v from peer %d to %q: %v", m, from, to.Short(), err)
	}
}

// answer returns a short message that differs from every other by author and number.
func answer(author int, n uint64) protocol.Message {
	id := protocol.UpdateID{Author: ID(author), Seq: n}
	return &protocol.Answer{ID: id, Verdict: protocol.Folded, Gain: -int64(n)}
}

// update returns an update signed by test peer i.
func update(i int, seq uint64, size int) *protocol.Update {
	body := make([]byte, size)
	for n := range body {
		body[n] = byte(n*7+n>>8) ^ byte(seq)
	}
	u := &protocol.Update{
		Announce: protocol.Announce{
			ID:     protocol.UpdateID{Author: ID(i), Seq: seq},
			Skill:  "listening",
			Events: 1000,
			Gain:   2500,
			Digest: protocol.Sum(body),
			Size:   uint32(size),
		},
		Body: body,
	}
	u.Sign(Key(i))
	return u
}

// record returns a record signed by test peer i, of a skill that so many taught.
func record(i int, term uint64, inputs int) *protocol.Record {
	s := protocol.Aligned{Skill: "listening"}
	for k := range inputs {
		s.Inputs = append(s.Inputs, protocol.Input{ID: protocol.UpdateID{Author: ID(k), Seq: 1 + term}})
	}
	slices.SortFunc(s.Inputs, func(x, y protocol.Input) int { return x.ID.Compare(y.ID) })
	body, err := protocol.EncodeAlignment(&protocol.Alignment{Skills: []protocol.Aligned{s}})
	if err != nil {
		panic(err)
	}
	r := &protocol.Record{Align: protocol.Align{Author: ID(i), Term: term, Digest: protocol.Sum(body), Size: uint32(len(body))}, Body: body}
	r.Sign(Key(i))
	return r
}

// same reports whether two messages are equal, which is to say that they look the same on the wire.
func same(a, b protocol.Message) bool {
	if a == nil || b == nil || a.Kind() != b.Kind() {
		return false
	}
	if _, ok := a.(*protocol.Update); ok && a.String() != b.String() {
		return false // spare the work for long ones that differ at the head
	}
	x, errX := protocol.Encode(a)
	y, errY := protocol.Encode(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// said returns whether an event is that who said m.
func said(who protocol.PeerID, m protocol.Message) func(mesh.Event) bool {
	return func(ev mesh.Event) bool { return ev.Peer == who && same(ev.Msg, m) }
}

// An ear reads the events of a mesh and remembers them all. One goroutine of its own, which ends
// when the channel is closed, appends to events.
type ear struct {
	self   protocol.PeerID
	closed chan struct{}

	mu     sync.Mutex // protects events
	events []mesh.Event
}

func listen(m mesh.Mesh) *ear {
	e := &ear{self: m.Self(), closed: make(chan struct{})}
	go func() {
		defer close(e.closed)
		for ev := range m.Events() {
			e.mu.Lock()
			e.events = append(e.events, ev)
			e.mu.Unlock()
		}
	}()
	return e
}

func (e *ear) heard() []mesh.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clip(e.events)
}

func (e *ear) count() int { return len(e.heard()) }

// expect waits until want holds of some event.
func (e *ear) expect(t *testing.T, what string, want func(mesh.Event) bool) {
	t.Helper()
	for waited := time.Duration(0); ; waited += 50 * time.Millisecond {
		if slices.ContainsFunc(e.heard(), want) {
			return
		}
		if waited >= patience {
			t.Fatalf("%s: no event in %v: %s; its events are %v", e.self.Short(), patience, what, e.heard())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// refuse fails if bad holds of any event up to now.
func (e *ear) refuse(t *testing.T, what string, bad func(mesh.Event) bool) {
	t.Helper()
	for _, ev := range e.heard() {
		if bad(ev) {
			t.Errorf("%s: %s: %v", e.self.Short(), what, ev)
		}
	}
}
