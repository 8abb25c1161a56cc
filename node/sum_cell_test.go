package node

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/exchange/tally"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/protocol"
)

// A house is a few devices of one swarm that hear one another at once, in a time of their own.
type house struct {
	t     *testing.T
	now   time.Time
	cfg   []Config
	nodes []*Node // nil once it is dead
	disks []*disk
	wakes []time.Time
	sent  []protocol.Envelope
	queue []protocol.Envelope
	stops func(protocol.Envelope) bool // whether the device dies that was about to say that
}

// newHouse has so many devices, the last of which learnt a skill that is to leave them in sums alone.
func newHouse(t *testing.T, devices, taught int, swarm string) *house {
	h := &house{t: t, now: noon, nodes: make([]*Node, devices), wakes: make([]time.Time, devices)}
	for i := range devices {
		h.cfg = append(h.cfg, Config{Swarm: swarm, Chance: rand.New(rand.NewPCG(uint64(i), 5)), Exchange: exchange.Config{Central: 1}})
		h.disks = append(h.disks, &disk{})
		n := start(t, i, h.cfg[i], h.disks[i])
		h.nodes[i] = n
		if i < devices-taught {
			continue
		}
		h.take(i, do(t)(n.Focus(h.now, "kitchen")))
		_, a := n.Observe(h.now, text("kitchen", 1500, uint64(i)))
		h.take(i, a)
		h.take(i, do(t)(n.Focus(h.now, "")))
		h.take(i, do(t)(n.SetTerms(h.now, "kitchen", Terms{Policy: Private, Sum: true})))
	}
	for i, n := range h.nodes {
		for k := range h.nodes {
			if k != i {
				h.take(i, n.Handle(h.now, mesh.Event{Kind: mesh.Joined, Peer: meshtest.ID(k)}))
			}
		}
	}
	h.deliver()
	return h
}

// take does what a device wants done.
func (h *house) take(i int, a Actions) {
	h.disks[i].keep(h.t, a)
	if !a.Wake.IsZero() {
		h.wakes[i] = a.Wake
	}
	for _, e := range a.Send {
		if h.stops != nil && h.nodes[i] != nil && h.stops(e) {
			h.nodes[i] = nil
		}
		if h.nodes[i] != nil {
			h.queue = append(h.queue, e)
		}
	}
}

// deliver carries what is said, as frames, until nobody has anything to say.
func (h *house) deliver() {
	for len(h.queue) > 0 {
		e := h.queue[0]
		h.queue = h.queue[1:]
		h.sent = append(h.sent, e)
		frame, err := protocol.Encode(e.Msg)
		if err != nil {
			h.t.Fatal(err)
		}
		for k, n := range h.nodes {
			if n == nil || n.Self() == e.From || e.To != "" && e.To != n.Self() {
				continue
			}
			m, err := protocol.Decode(frame)
			if err != nil {
				h.t.Fatal(err)
			}
			h.take(k, n.Handle(h.now, mesh.Event{Kind: mesh.Heard, Peer: e.From, Msg: m}))
		}
	}
}

// until lives on, each device woken when it wants to be.
func (h *house) until(end time.Time) {
	for {
		next := end
		for i, n := range h.nodes {
			if n != nil && h.wakes[i].Before(next) {
				next = h.wakes[i]
			}
		}
		if !next.Before(end) {
			h.now = later(h.now, end)
			return
		}
		h.now = later(h.now.Add(time.Millisecond), next)
		for i, n := range h.nodes {
			if n != nil && !h.wakes[i].After(h.now) {
				h.take(i, n.Tick(h.now))
			}
		}
		h.deliver()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func of[M protocol.Message](h *house) (list []protocol.Envelope) {
	for _, e := range h.sent {
		if _, ok := e.Msg.(M); ok {
			list = append(list, e)
		}
	}
	return list
}

// vectors are the terms of the devices, as they would stand in a sum.
func (h *house) vectors() (vs [][]uint32) {
	for i, d := range h.disks {
		d, err := start(h.t, i, h.cfg[i], d).Learner().Export("kitchen")
		if err != nil {
			vs = append(vs, nil)
			continue
		}
		v, err := d.Summand(base.Pocket())
		if err != nil {
			h.t.Fatal(err)
		}
		vs = append(vs, v)
	}
	return vs
}

// masked is the part that an envelope has of a member's hidden vector, or nil.
func masked(e protocol.Envelope) *tally.Message {
	p, ok := e.Msg.(*protocol.Part)
	if !ok {
		return nil
	}
	m, err := tally.Decode(p.Body)
	if err != nil || m.Kind != tally.Masked {
		return nil
	}
	return m
}

// Skills that are for sums alone leave their devices as a sum and in no other way: whoever is central adds them up, and
// the mean, to the bit, is everybody's. One that dies in the middle is not in it. None is a term twice.
func TestSumInACell(t *testing.T) {
	for _, c := range []struct {
		name    string
		taught  int
		swarm   string
		dies    bool
		members int
	}{
		{"all", 4, "home", false, 4}, {"everybody", 5, "home", false, 5}, {"one dies", 4, "home", true, 3},
		{"too few", 2, "home", false, 0}, {"open to all", 4, "", false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			const devices = 5
			h := newHouse(t, devices, c.taught, c.swarm)
			vectors := h.vectors()
			dead := -1
			if c.dies {
				h.stops = func(e protocol.Envelope) bool {
					if dead >= 0 || masked(e) == nil {
						return false
					}
					dead = slices.IndexFunc(h.nodes, func(n *Node) bool { return n != nil && n.Self() == e.From })
					return true
				}
			}
			h.until(noon.Add(8 * mesh.TermLength))
			all := of[*protocol.Update](h)
			var ids []protocol.UpdateID
			for _, e := range all {
				if id := e.Msg.(*protocol.Update).ID; !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
			if c.members == 0 {
				if len(all)+len(of[*protocol.Call](h))+len(of[*protocol.Part](h)) > 0 {
					t.Fatalf("%d updates, %d calls", len(all), len(of[*protocol.Call](h)))
				}
				if offers := len(of[*protocol.Offer](h)); offers > 0 != (c.swarm != "") {
					t.Errorf("%d offers in swarm %q", offers, c.swarm)
				}
				return
			}
			if len(ids) != 1 {
				t.Fatalf("%d updates: %v", len(ids), ids)
			}
			u := all[0].Msg.(*protocol.Update)
			want, terms := make([]uint32, len(vectors[devices-1])), 0
			for i, v := range vectors {
				if i == dead || i < devices-c.taught {
					continue
				}
				terms++
				for k := range v {
					want[k] += v[k]
				}
			}
			m := base.Pocket()
			d, err := learning.FromSum(m, "kitchen", (len(want)-m.Config.ContextSize()-1)/m.Config.BankSize(1, m.Config.Neurons), m.Config.Neurons, want, terms)
			if err != nil {
				t.Fatal(err)
			}
			d.Events = 1 << math.Ilogb(float64(d.Events))
			body, err := d.Pack(m.Config, learning.Packing{Plain: true}, nil)
			if err != nil {
				t.Fatal(err)
			}
			late := int64(sumCall / time.Second) // in its term
			if c.dies {
				late += int64(sumRound / time.Second)
			}
			if u.Made%60 != late {
				t.Errorf("the mean is there %d s into a term, want %d", u.Made%60, late)
			}
			if terms != c.members || !bytes.Equal(u.Body, body) || u.Skill != "kitchen" || u.Events != d.Events || u.Gain != 0 {
				t.Errorf("%v is another than the mean of %d", u, terms)
			}
			hidden := 0
			for _, e := range h.sent {
				x := masked(e)
				if x == nil {
					continue
				}
				hidden++
				i := 0
				for meshtest.ID(i) != e.From {
					i++
				}
				same := 0
				for k, v := range x.Values {
					if v == vectors[i][k] {
						same++
					}
				}
				if same > 1 {
					t.Errorf("%d numbers of device %d are as they were", same, i)
				}
			}
			if hidden < c.members-1 {
				t.Errorf("%d hidden terms were sent", hidden)
			}
			for i, n := range h.nodes {
				if n == nil {
					continue
				}
				if s := n.Conversation().Ledger(); slices.ContainsFunc(s, func(s exchange.Standing) bool { return s.Harmful > 0 }) {
					t.Errorf("device %d blames one who added up: %+v", i, s)
				}
				if !slices.Contains(n.Conversation().Held(), u.ID) {
					t.Errorf("device %d has not got it", i)
				}
				if i < devices-c.taught && n.Learner().Skill(string(u.ID.Author), "kitchen") == nil {
					t.Errorf("device %d, which never was in a kitchen, has not taken it in", i)
				}
				again := start(t, i, h.cfg[i], h.disks[i])
				if !bytes.Equal(mind(t, n), mind(t, again)) {
					t.Errorf("a replay of device %d is another mind", i)
				}
				if !slices.Contains(again.Conversation().Held(), u.ID) {
					t.Errorf("device %d has lost it", i)
				}
				gone := h.cfg[i]
				gone.Swarm = "office"
				if held := start(t, i, gone, h.disks[i]).Conversation().Held(); len(held) > 0 {
					t.Errorf("device %d takes %v to another swarm", i, held)
				}
				if s := again.Learner().Skill("", "kitchen"); i >= devices-c.taught {
					if tt := again.Terms(s); !tt.Sum || tt.Summed != s.Events || !math.IsInf(again.Told(s).Epsilon, 1) {
						t.Errorf("device %d knows after a restart %+v, %+v", i, tt, again.Told(s))
					}
				}
			}
		})
	}
}

// Who calls for a sum without it being his turn, of strangers, or of too few, is not answered; the true one is.
func TestWhoMayCallForASum(t *testing.T) {
	h := newHouse(t, 5, 5, "home")
	var call *protocol.Call
	var central protocol.PeerID
	for call == nil {
		h.stops = func(e protocol.Envelope) bool {
			if m, ok := e.Msg.(*protocol.Call); ok {
				call, central = m, e.From
				return true
			}
			return false
		}
		if h.until(h.now.Add(time.Second)); h.now.Sub(noon) > 8*mesh.TermLength {
			t.Fatal("nobody calls")
		}
	}
	i := slices.IndexFunc(h.nodes, func(n *Node) bool {
		return n != nil && n.Self() == call.Members[0] || n != nil && n.Self() == call.Members[1]
	})
	n := h.nodes[i]
	other := call.Members[slices.IndexFunc(call.Members, func(id protocol.PeerID) bool { return id != central && id != n.Self() })]
	say := func(from protocol.PeerID, change func(*protocol.Call)) []protocol.Envelope {
		m := *call
		m.Members = slices.Clone(call.Members)
		change(&m)
		return n.Handle(h.now, mesh.Event{Kind: mesh.Heard, Peer: from, Msg: &m}).Send
	}
	with := func(id protocol.PeerID) func(*protocol.Call) {
		return func(m *protocol.Call) { m.Members = append(m.Members, id); slices.Sort(m.Members) }
	}
	for name, got := range map[string][]protocol.Envelope{
		"another": say(other, func(*protocol.Call) {}), "a stranger": say(meshtest.ID(9), func(*protocol.Call) {}),
		"of a stranger": say(central, with(meshtest.ID(9))),
		"of too few":    say(central, func(m *protocol.Call) { m.Members = []protocol.PeerID{min(central, n.Self()), max(central, n.Self())} }),
		"of others": say(central, func(m *protocol.Call) {
			m.Members = slices.DeleteFunc(m.Members, func(id protocol.PeerID) bool { return id == n.Self() })
		}),
		"of last term":   say(central, func(m *protocol.Call) { m.Term-- }),
		"of other shape": say(central, func(m *protocol.Call) { m.Values++ }),
		"of no skill":    say(central, func(m *protocol.Call) { m.Skill = "diary" }),
	} {
		if len(got) > 0 {
			t.Errorf("a call by or %s is answered: %v", name, got)
		}
	}
	if got := say(central, func(*protocol.Call) {}); len(got) != 1 || got[0].To != central {
		t.Errorf("the true call is answered by %v", got)
	}
	if got := say(central, func(*protocol.Call) {}); len(got) != 0 {
		t.Errorf("a second call is answered by %v", got)
	}
	// Whose owner takes his word back says nothing more.
	do(t)(n.SetTerms(h.now, "kitchen", Terms{Policy: Private}))
	in := &tally.Message{Session: call.Session(central), Kind: tally.Roster, Member: uint8(slices.Index(call.Members, n.Self()))}
	if a := n.Handle(h.now, mesh.Event{Kind: mesh.Heard, Peer: central, Msg: &protocol.Part{Body: in.Encode()}}); len(a.Send) > 0 || n.sum.member != nil {
		t.Errorf("it goes on: %v", a.Send)
	}
}

// What is offered is as long as what is then said, also where a skill lies in many layers.
func TestOfferedLength(t *testing.T) {
	m := base.Embedded()
	n := startOn(t, 0, Config{Swarm: "home", Chance: rand.New(rand.NewPCG(1, 5))}, nil, m)
	do(t)(n.Focus(noon, "kitchen"))
	n.Observe(noon, text("kitchen", 200, 1))
	do(t)(n.Focus(noon, ""))
	do(t)(n.SetTerms(noon, "kitchen", Terms{Policy: Private, Sum: true}))
	got, ok := n.summable(n.Learner().Skill("", "kitchen"))
	d, err := n.Learner().Export("kitchen")
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Summand(m)
	if err != nil || !ok || got != len(v) || !n.shaped(got) {
		t.Errorf("%d are offered, %d said: %v", got, len(v), err)
	}
}
