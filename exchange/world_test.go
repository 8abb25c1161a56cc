package exchange

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

var (
	model   = protocol.Sum([]byte("our model"))
	another = protocol.Sum([]byte("another model"))
	genesis = time.Unix(1_800_000_000, 0)
)

// key returns the private key of a test peer.
func key(name string) ed25519.PrivateKey {
	seed := protocol.Sum([]byte("exchange test " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// names remembers what test peers are called, for transcripts.
var names = map[protocol.PeerID]string{}

func id(name string) protocol.PeerID {
	for p, n := range names {
		if n == name {
			return p
		}
	}
	p := protocol.NewPeerID(key(name).Public().(ed25519.PublicKey))
	names[p] = name
	return p
}

// readable puts the names of test peers in place of their keys'.
func readable(s string) string {
	for p, n := range names {
		s = strings.ReplaceAll(strings.ReplaceAll(s, string(p), n), p.Short(), n)
	}
	return s
}

// makeUpdate returns a signed update. Its body is told by author, sequence and skill.
func makeUpdate(author string, seq uint64, skill string, size int, gain int64) *protocol.Update {
	body := []byte(fmt.Sprintf("%s %d %s ", author, seq, skill))
	for len(body) < size {
		body = append(body, byte(len(body)))
	}
	body = body[:size]
	u := &protocol.Update{Announce: protocol.Announce{
		ID:       protocol.UpdateID{Author: id(author), Seq: seq},
		Model:    model,
		Skill:    skill,
		Sections: 2,
		Events:   1000,
		Gain:     gain,
		Digest:   protocol.Sum(body),
		Size:     uint32(size),
	}, Body: body}
	u.Sign(key(author))
	return u
}

// A node is a Machine with what its owner would keep: the bodies, and a count of what was folded.
type node struct {
	name   string
	cfg    Config
	m      *Machine
	wake   time.Time
	folds  map[protocol.UpdateID]int
	bodies map[protocol.Digest][]byte
	digest map[protocol.UpdateID]protocol.Digest

	act   func(*protocol.Record, *protocol.Alignment) bool // changes what it publishes as central, or reports false to keep it back
	judge func(*protocol.Update) (protocol.Verdict, int64) // says what an update is worth; nil leaves it on trial
	heard map[protocol.Kind]int
	tried []string // skills that were folded merged, with how many inputs
}

// A delivery is an event on its way to a node.
type delivery struct {
	at  time.Time
	seq int
	to  *node
	ev  mesh.Event
}

// A world is a few machines and what is under way between them. It is a toy: the simulator proper is
// another package's business.
type world struct {
	now   time.Time
	nodes []*node // sorted by name
	queue []delivery
	seq   int
	log   strings.Builder
	mute  bool               // nothing is written down
	here  map[[2]string]bool // who sees whom

	// fate says when a message arrives, once for each copy; nil means once, now.
	fate func() []time.Duration
}

func newWorld() *world {
	return &world{now: genesis, here: map[[2]string]bool{}}
}

func (w *world) printf(format string, args ...any) {
	fmt.Fprintf(&w.log, "> "+format+"\n", args...)
}

// add makes a new machine.
func (w *world) add(name string, change func(*Config)) *node {
	n := &node{name: name, folds: map[protocol.UpdateID]int{}, heard: map[protocol.Kind]int{}, bodies: map[protocol.Digest][]byte{},
		digest: map[protocol.UpdateID]protocol.Digest{}}
	n.cfg = Config{Self: id(name), Model: model, Agent: "test/1", Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&n.cfg)
	}
	n.start()
	w.nodes = append(w.nodes, n)
	slices.SortFunc(w.nodes, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	return n
}

func (n *node) start() {
	n.cfg.Rand = rand.New(rand.NewPCG(7, uint64(n.name[0])))
	n.m = New(n.cfg)
	n.wake = time.Time{}
}

func (w *world) node(name string) *node {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// meet lets two nodes see one another join.
func (w *world) meet(a, b string) {
	w.joined(a, b)
	w.joined(b, a)
}

func (w *world) joined(a, b string) {
	if n := w.node(a); n != nil {
		w.here[[2]string{a, b}] = true
		w.do(n, n.m.Handle(w.now, mesh.Event{Kind: mesh.Joined, Peer: id(b)}))
	}
}

func (w *world) left(a, b string) {
	if n := w.node(a); n != nil {
		delete(w.here, [2]string{a, b})
		w.do(n, n.m.Handle(w.now, mesh.Event{Kind: mesh.Left, Peer: id(b)}))
	}
}

// do does what a machine wants done, and writes it down.
func (w *world) do(n *node, a Actions) {
	n.wake = a.Wake
	for _, e := range a.Send {
		if e.From != n.cfg.Self {
			panic("a machine speaks for another")
		}
		if !w.mute {
			w.printf("%s %s", n.name, readable(e.String()))
		}
		for _, to := range w.nodes {
			if to == n || e.To != "" && e.To != to.cfg.Self || !w.here[[2]string{n.name, to.name}] {
				continue
			}
			w.send(n, to, e.Msg)
		}
	}
	for _, u := range a.Fold {
		if !w.mute {
			w.printf("%s folds %s", n.name, readable(u.ID.String()))
		}
		n.folds[u.ID]++
		n.keep(u)
	}
	for _, u := range a.Fold {
		if n.judge != nil {
			v, gain := n.judge(u)
			w.do(n, n.m.Judge(w.now, u.ID, v, gain))
		}
	}
	for _, id := range a.Drop {
		if !w.mute {
			w.printf("%s drops %s", n.name, readable(id.String()))
		}
		delete(n.bodies, n.digest[id])
		delete(n.digest, id)
	}
	for _, mg := range a.Merge {
		fold, b := n.m.Merged(w.now, mg, mergeOf(mg.Inputs), true)
		w.do(n, b)
		if fold {
			w.printf("%s folds %q merged of %d", n.name, mg.Skill, len(mg.Inputs))
			n.tried = append(n.tried, fmt.Sprint(mg.Skill, len(mg.Inputs)))
			w.do(n, n.m.Tried(w.now, mg, protocol.Folded, 1))
		}
	}
	if a.Turn != nil {
		w.central(n, a.Turn)
	}
}

// mergeOf stands in for merging: it is a pure function of the inputs.
func mergeOf(us []*protocol.Update) protocol.Digest {
	var b []byte
	for _, u := range us {
		d := u.Name()
		b = append(b, d[:]...)
	}
	return protocol.Sum(b)
}

// central has a node take its turn.
func (w *world) central(n *node, t *Turn) {
	al := new(protocol.Alignment)
	for _, mg := range t.Merges {
		s := protocol.Aligned{Skill: mg.Skill, Result: mergeOf(mg.Inputs)}
		for _, u := range mg.Inputs {
			s.Inputs = append(s.Inputs, protocol.Input{ID: u.ID, Digest: u.Name()})
		}
		al.Skills = append(al.Skills, s)
	}
	r := &protocol.Record{Align: protocol.Align{
		Author: n.cfg.Self, Model: n.cfg.Model, Term: uint64(t.Term), Rank: t.Rank, Rule: n.cfg.Rule, Members: t.Members, Parents: t.Parents,
	}}
	if n.act != nil && !n.act(r, al) {
		return
	}
	seal(n.name, r, al)
	w.do(n, n.m.Act(w.now, r))
}

// seal fills in what depends on the alignment, and signs.
func seal(name string, r *protocol.Record, al *protocol.Alignment) {
	body, err := protocol.EncodeAlignment(al)
	if err != nil {
		panic(err)
	}
	r.Body, r.Digest, r.Size = body, protocol.Sum(body), uint32(len(body))
	r.Sign(key(name))
}

func (n *node) keep(u *protocol.Update) {
	n.bodies[u.Digest] = u.Body
	n.digest[u.ID] = u.Digest
}

// send puts a message on its way, as bytes would be.
func (w *world) send(from, to *node, msg protocol.Message) {
	b, err := protocol.Encode(msg)
	if err != nil {
		panic(fmt.Sprintf("%s says what cannot be said: %v", from.name, err))
	}
	msg, err = protocol.Decode(b)
	if err != nil {
		panic(err)
	}
	late := []time.Duration{0}
	if w.fate != nil {
		late = w.fate()
	}
	for _, d := range late {
		w.seq++
		ev := mesh.Event{Kind: mesh.Heard, Peer: from.cfg.Self, Msg: msg}
		w.queue = append(w.queue, delivery{w.now.Add(d), w.seq, to, ev})
	}
}

// offer has a node offer an update of its own.
func (w *world) offer(name, skill string, size int, gain int64) *protocol.Update {
	n := w.node(name)
	u := makeUpdate(name, n.m.NextSeq(), skill, size, gain)
	u.Model = n.cfg.Model
	u.Sign(key(name))
	n.keep(u)
	w.do(n, n.m.Offer(w.now, u))
	return u
}

// restart has a node forget all but what it would have stored.
func (w *world) restart(t *testing.T, n *node) {
	t.Helper()
	b, err := n.m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	n.start()
	if err := n.m.Restore(b, func(d protocol.Digest) ([]byte, bool) {
		body, ok := n.bodies[d]
		return body, ok
	}); err != nil {
		t.Fatal(err)
	}
	if again, err := n.m.MarshalBinary(); err != nil || string(again) != string(b) {
		t.Fatalf("the state after a restart is another: %v\n%s\n%s", err, b, again)
	}
}

// step lets the next thing happen, if it is due before end: a delivery, or else a Tick.
func (w *world) step(end time.Time) bool {
	first := -1
	for i, d := range w.queue {
		if first < 0 || cmp.Or(d.at.Compare(w.queue[first].at), cmp.Compare(d.seq, w.queue[first].seq)) < 0 {
			first = i
		}
	}
	var sleeper *node
	for _, n := range w.nodes {
		if !n.wake.IsZero() && (sleeper == nil || n.wake.Before(sleeper.wake)) {
			sleeper = n
		}
	}
	switch {
	case first >= 0 && !w.queue[first].at.After(end) && (sleeper == nil || !w.queue[first].at.After(sleeper.wake)):
		d := w.queue[first]
		w.queue = slices.Delete(w.queue, first, first+1)
		w.pass(d.at)
		d.to.heard[d.ev.Msg.Kind()]++
		w.do(d.to, d.to.m.Handle(w.now, d.ev))
	case sleeper != nil && !sleeper.wake.After(end):
		w.pass(sleeper.wake)
		w.do(sleeper, sleeper.m.Tick(w.now))
		if !sleeper.wake.After(w.now) {
			panic(fmt.Sprintf("%s wants to be woken in the past", sleeper.name))
		}
	default:
		w.pass(end)
		return false
	}
	return true
}

// pass moves the clock, and writes that down.
func (w *world) pass(to time.Time) {
	if to.After(w.now) {
		w.now = to
		w.printf("- %v", w.now.Sub(genesis).Round(time.Millisecond))
	}
}

func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.step(end); {
	}
}
