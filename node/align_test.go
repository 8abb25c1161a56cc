package node

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// versionsOf are two peers' versions of one skill.
func versionsOf(t *testing.T) []*protocol.Update {
	return []*protocol.Update{taught(t, 1, "recipes", text("kitchen", 2500, 1)), taught(t, 2, "recipes", text("kitchen", 2500, 2))}
}

// centralOf has a node hear versions and take its turn, and returns its record.
func centralOf(t *testing.T, us []*protocol.Update) (n *Node, r *protocol.Record, when time.Time) {
	t.Helper()
	n = start(t, 3, Config{Exchange: exchange.Config{Central: 1}}, nil)
	meet(n, 1)
	for _, u := range us {
		hear(n, 1, u)
	}
	when = (mesh.TermAt(noon) + 3).Start()
	for _, e := range n.Tick(when).Send {
		if rec, ok := e.Msg.(*protocol.Record); ok && e.To == "" {
			r = rec
		}
	}
	if r == nil {
		t.Fatal("a central with two versions of one skill says nothing")
	}
	if err := r.Verify(); err != nil {
		t.Fatal(err)
	}
	return n, r, when
}

// names are the skills that a node has, with their authors.
func namesOf(n *Node) (list []string) {
	for _, s := range n.Learner().Skills() {
		switch {
		case s.Author == "" || s.Author == learning.Many:
			list = append(list, s.Author+"/"+s.Name)
		default:
			list = append(list, protocol.PeerID(s.Author).Short()+"/"+s.Name)
		}
	}
	slices.Sort(list)
	return list
}

// What a central says is done by whoever holds the same versions: they become one, and a restart comes to the same mind.
func TestVersionsAreMergedAsACentralSays(t *testing.T) {
	us := versionsOf(t)
	c, r, when := centralOf(t, us)
	if got := namesOf(c); !slices.Equal(got, []string{"many/recipes"}) {
		t.Errorf("the central has %v", got)
	}

	d := &disk{}
	n := start(t, 4, Config{}, d)
	for _, a := range []Actions{reads(n), meet(n, 1), hear(n, 1, us[0]), hear(n, 1, us[1])} {
		d.keep(t, a)
	}
	want := []string{"/memory", meshtest.ID(1).Short() + "/recipes", meshtest.ID(2).Short() + "/recipes"}
	slices.Sort(want)
	if got := namesOf(n); !slices.Equal(got, want) {
		t.Fatalf("before it has %v", got)
	}
	a := n.Handle(when, mesh.Event{Kind: mesh.Heard, Peer: meshtest.ID(1), Msg: r})
	d.keep(t, a)
	if len(a.Folds) != 1 || a.Folds[0].Merged != 2 || a.Folds[0].Verdict != protocol.Folded {
		t.Fatalf("what became of it: %v", a.Folds)
	}
	if got := namesOf(n); !slices.Equal(got, []string{"/memory", "many/recipes"}) {
		t.Errorf("after it has %v", got)
	}
	again := n.Handle(when, mesh.Event{Kind: mesh.Heard, Peer: meshtest.ID(1), Msg: r})
	if len(again.Folds)+len(again.Records) > 0 {
		t.Errorf("heard again it does %+v", again)
	}
	if !bytes.Equal(mind(t, start(t, 4, Config{}, d)), mind(t, n)) {
		t.Error("a replay is another mind")
	}
	d.blobs = nil
	if err := Start(startEmpty(t, 4), d, d.snapshot, func(apply func([]byte) error) error {
		for _, rec := range d.records {
			if err := apply(rec); err != nil {
				return err
			}
		}
		return nil
	}); err == nil {
		t.Error("a replay without the versions passes")
	}
}

// reads has a node read a little of its owner's.
func reads(n *Node) Actions {
	_, a := n.Observe(noon, text("diary", 600, 7))
	return a
}

func startEmpty(t *testing.T, i int) *Node { return start(t, i, Config{}, nil) }

// A central that says another result than comes of the versions changes nothing in any mind, and is convicted.
func TestFalseMergeIsRefused(t *testing.T) {
	us := versionsOf(t)
	_, r, when := centralOf(t, us)
	al, err := protocol.DecodeAlignment(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	al.Skills[0].Result[0]++
	lie := *r
	if lie.Body, err = protocol.EncodeAlignment(al); err != nil {
		t.Fatal(err)
	}
	lie.Digest = protocol.Sum(lie.Body)
	lie.Sign(meshtest.Key(3))

	n := startEmpty(t, 4)
	meet(n, 1)
	for _, u := range us {
		hear(n, 1, u)
	}
	was := mind(t, n)
	a := n.Handle(when, mesh.Event{Kind: mesh.Heard, Peer: meshtest.ID(1), Msg: &lie})
	if len(a.Folds) > 0 || !bytes.Equal(mind(t, n), was) {
		t.Error("it changed the mind")
	}
	l := n.Conversation().Ledger()
	i := slices.IndexFunc(l, func(s exchange.Standing) bool { return s.Author == meshtest.ID(3) })
	if i < 0 || !l[i].Convicted || !l[i].Shunned {
		t.Errorf("the ledger: %+v", l)
	}
	a = n.Handle(when, mesh.Event{Kind: mesh.Heard, Peer: meshtest.ID(1), Msg: r}) // the truth, of a known liar
	if len(a.Folds) > 0 {
		t.Error("a liar is believed later")
	}
}

// A merge says no more of the set than the set: what is no version of the skill has no say, and fewer than two are none.
func TestMergeLeavesOutWhatDoesNotFit(t *testing.T) {
	us := versionsOf(t)
	other := taught(t, 5, "recipes", text("diary", 1500, 3))
	n := startEmpty(t, 4)
	merge := func(list ...*protocol.Update) (*merging, error) {
		return n.mergeUpdates(exchange.Merge{Skill: "recipes", Inputs: list})
	}
	m, err := merge(us...)
	if err != nil {
		t.Fatal(err)
	}
	garbage := resigned(6, other, 1, []byte("no skill at all"))
	if g, err := merge(us[0], us[1], garbage); err != nil || g.delta.Sum() != m.delta.Sum() {
		t.Errorf("with garbage beside it another: %v", err)
	}
	if g, err := merge(us[0], us[1], other); err != nil || g.delta.Sum() == m.delta.Sum() {
		t.Errorf("with a third version the same: %v", err)
	}
	if _, err := merge(us[0], garbage); !errors.Is(err, errFew) {
		t.Errorf("of one: %v", err)
	}
	named := []*protocol.Update{taught(t, 5, "letters", text("diary", 1500, 3)), taught(t, 6, "letters", text("diary", 1500, 4))}
	if _, err := merge(us[0], named[0], named[1]); !errors.Is(err, errFew) {
		t.Errorf("of one and two that are called otherwise: %v", err)
	}
}
