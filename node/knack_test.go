package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// Things of four kinds, of which each user shows some: points about centres that all devices have in common.
const thingInputs = 12

func things(seed uint64, n int, kinds ...string) (x []float32, labels []string) {
	r := rand.New(rand.NewPCG(seed, 11))
	for range n {
		kind := kinds[r.IntN(len(kinds))]
		centre := rand.New(rand.NewPCG(uint64(kind[0]), 12))
		for range thingInputs {
			x = append(x, float32(centre.Float64()*1.4-0.7)+float32(r.NormFloat64()*0.2))
		}
		labels = append(labels, kind)
	}
	return x, labels
}

var small = Config{Share: ShareSkills, Learning: learning.Config{Features: 48}}

// show has a user show things a few at a time, and keeps what comes of it.
func show(t *testing.T, n *Node, d *disk, seed uint64, count int, kinds ...string) (all Actions) {
	t.Helper()
	x, labels := things(seed, count, kinds...)
	for len(labels) > 0 {
		k := min(5, len(labels))
		a := do(t)(n.Show(noon, "things", thingInputs, x[:k*thingInputs], labels[:k]))
		if d != nil {
			d.keep(t, a)
			if again := start(t, 0, small, d); !bytes.Equal(knacks(t, again), knacks(t, n)) || !bytes.Equal(talk(t, again), talk(t, n)) {
				t.Fatalf("killed after %d things, it is another node", n.Knack("things").Own())
			}
		}
		all.Add(a)
		x, labels = x[k*thingInputs:], labels[k:]
	}
	return all
}

// shownTo is a peer's update of what his user showed, under the names that as gives.
func shownTo(t *testing.T, author int, seed uint64, count int, as func(string) string, kinds ...string) *protocol.Update {
	t.Helper()
	n := start(t, author, small, nil)
	x, labels := things(seed, count, kinds...)
	for i := range labels {
		labels[i] = as(labels[i])
	}
	n.cfg.PublishExamples = 1 << 20
	do(t)(n.Show(noon, "things", thingInputs, x, labels))
	us := updates(n.Publish(noon).Send)
	if len(us) != 1 || us[0].Skill != "things" || us[0].Events != uint64(count) {
		t.Fatalf("announced: %v", us)
	}
	return us[0]
}

func same(s string) string { return s }

// others gives every kind the name of another.
func others(s string) string { return string("bcda"[s[0]-'a']) }

func right(k *learning.Knack, seed uint64, kinds ...string) float64 {
	x, labels := things(seed, 200, kinds...)
	share := 0.0
	for i, a := range k.Answer(x) {
		if a == labels[i] {
			share += 1. / 200
		}
	}
	return share
}

func talk(t *testing.T, n *Node) []byte {
	t.Helper()
	b, err := n.exchange.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func knacks(t *testing.T, n *Node) []byte {
	t.Helper()
	b, err := json.Marshal(n.knacks)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A user shows two kinds of things, a peer two others: the device tells all four apart. What teaches him to mix them up is undone, and its author
// answers for it. A node that is killed at any time comes back with the same knack to the bit, by way of the journal and of snapshots.
func TestShownSkillsAreShared(t *testing.T) {
	var d disk
	n := start(t, 0, small, nil)
	d.keep(t, meet(n, 1))
	d.keep(t, meet(n, 2))
	if n.Knack("things") != nil {
		t.Fatal("it knows something of nothing")
	}
	sent := show(t, n, &d, 1, 60, "a", "b")
	var sizes []uint64
	for _, u := range updates(sent.Send) {
		if sizes = append(sizes, u.Events); u.Sections == 0 || !learning.IsLesson(u.Body) {
			t.Errorf("announced: %+v", u.Announce)
		}
	}
	if !slices.Equal(sizes, []uint64{20, 40, 60}) {
		t.Errorf("announced after %d examples", sizes)
	}
	alone := right(n.Knack("things"), 9, "a", "b", "c", "d")

	good := shownTo(t, 1, 2, 60, same, "c", "d")
	bad := shownTo(t, 2, 3, 200, others, "a", "b", "c", "d")
	a := hear(n, 1, good)
	d.keep(t, a)
	if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Folded || a.Folds[0].Skill != "things" {
		t.Fatalf("an honest lesson: %v", a.Folds)
	}
	again := start(t, 0, small, &d)
	if !bytes.Equal(knacks(t, again), knacks(t, n)) || !bytes.Equal(mind(t, again), mind(t, n)) {
		t.Error("replayed it is another mind")
	}
	if err := snapshot(n, &d); err != nil {
		t.Fatal(err)
	}
	if k := start(t, 0, small, &d).Knack("things"); right(k, 9, "c", "d") < 0.9 {
		t.Error("restarted with nothing but a snapshot it has forgotten what it was taught")
	}
	a = hear(n, 2, bad)
	d.keep(t, a)
	if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Harmful || a.Folds[0].Gain >= 0 {
		t.Errorf("a lesson that mixes things up: %v", a.Folds)
	}
	if taught := right(n.Knack("things"), 9, "a", "b", "c", "d"); alone > 0.6 || taught < 0.9 {
		t.Errorf("%.2f right alone, %.2f taught", alone, taught)
	}
	d.keep(t, do(t)(n.Measured("things", 0.25)))
	show(t, n, &d, 4, 7, "a")
	again = start(t, 0, small, &d)
	if !bytes.Equal(knacks(t, again), knacks(t, n)) || again.Knack("things").Gain != 0.25 {
		t.Error("restarted from a snapshot it is another mind")
	}
	if one, two := right(n.Knack("things"), 9, "a", "c"), right(again.Knack("things"), 9, "a", "c"); one != two {
		t.Errorf("it answers %.3f and %.3f", one, two)
	}
	if w := n.Conversation().Ledger(); len(w) != 2 {
		t.Errorf("ledger %v", w)
	}
	d.keep(t, do(t)(n.Forget(noon, string(meshtest.ID(1)), "things")))
	if got := n.Knack("things").Classes(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("with the peer's forgotten it knows %q", got)
	}
	d.keep(t, do(t)(n.Forget(noon, "", "things")))
	if n.Knack("things") != nil || len(n.Conversation().Own("things")) != 0 {
		t.Error("forgotten it is known, or offered")
	}
	if again = start(t, 0, small, &d); len(again.Knacks()) != 0 {
		t.Error("after a restart it is known")
	}
}

// What lies in wait while the user has shown nothing is found out when he does, on the disk as in the mind, and its author is shunned for the
// third.
func TestShownSkillsAreRegretted(t *testing.T) {
	var d disk
	n := start(t, 0, small, nil)
	d.keep(t, meet(n, 1))
	d.keep(t, meet(n, 2))
	d.keep(t, hear(n, 2, shownTo(t, 2, 3, 60, same, "a", "b", "c")))
	lie := shownTo(t, 1, 3, 60, others, "a", "b", "c")
	a := hear(n, 1, lie)
	d.keep(t, a)
	if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Folded {
		t.Fatalf("with nothing to try it on: %v", a.Folds)
	}
	a = show(t, n, &d, 5, 60, "a", "b", "c")
	if len(a.Folds) != 1 || !a.Folds[0].Late || a.Folds[0].ID.Author != meshtest.ID(1) || a.Folds[0].Gain >= 0 {
		t.Fatalf("found out: %v", a.Folds)
	}
	for seq := range uint64(2) {
		d.keep(t, hear(n, 1, resigned(1, lie, seq+2, lie.Body)))
	}
	if !n.Conversation().Shuns(meshtest.ID(1)) || n.Conversation().Shuns(meshtest.ID(2)) {
		t.Errorf("%+v", n.Conversation().Ledger())
	}
	again := start(t, 0, small, &d)
	if !bytes.Equal(knacks(t, again), knacks(t, n)) || !slices.Equal(again.Knack("things").Authors(), []string{string(meshtest.ID(2))}) {
		t.Error("a restart comes to another mind")
	}
}

// What to do is shown, kept and announced as what things are.
func TestFollowedSkillsAreKept(t *testing.T) {
	var d disk
	n := start(t, 0, small, nil)
	r := rand.New(rand.NewPCG(1, 1))
	var x, u []float32
	for range 40 {
		v := r.Float64()*2 - 1
		x, u = append(x, float32(v), float32(v*v)), append(u, float32(v/2))
	}
	a := do(t)(n.Follow(noon, "steer", 2, x, []string{"wheel"}, u))
	d.keep(t, a)
	if len(updates(a.Send)) != 1 {
		t.Errorf("announced: %v", a.Send)
	}
	again := start(t, 0, small, &d)
	if !bytes.Equal(knacks(t, again), knacks(t, n)) || !n.Knack("steer").Controls() {
		t.Error("replayed it is another mind")
	}
	out := make([]float32, 1)
	if n.Knack("steer").Scores(out, []float32{0.6, 0.36}); out[0] < 0.2 || out[0] > 0.4 {
		t.Errorf("it steers %v where the owner steers 0.3", out[0])
	}
	peer := start(t, 1, small, nil)
	meet(peer, 0)
	if f := peer.fold(n.Self(), updates(a.Send)[0].Body); f.Verdict != protocol.Folded || len(peer.Knack("steer").Authors()) != 1 {
		t.Errorf("a peer: %v", f)
	}
}

// The owner's word holds for what he shows: nothing leaves that is private; and what no noise can be in has no budget.
func TestTermsOfShownSkills(t *testing.T) {
	private := small
	private.Share = ShareNone
	n := start(t, 0, private, nil)
	if a := show(t, n, nil, 1, 60, "a", "b"); len(updates(a.Send)) > 0 || !a.Wake.IsZero() && n.due.Equal(a.Wake) {
		t.Fatal("what is private leaves")
	}
	for _, terms := range []Terms{{Policy: Private, Sum: true}, {Policy: Public, Epsilon: 1, Delta: 1e-5}} {
		if _, err := n.SetTerms(noon, "things", terms); err == nil || !strings.Contains(err.Error(), "no budget") {
			t.Errorf("%+v: %v", terms, err)
		}
	}
	if a := do(t)(n.SetTerms(noon, "things", Terms{Policy: Swarm})); len(updates(a.Send)) > 0 {
		t.Error("what is for a swarm leaves where there is none")
	}
	if a := do(t)(n.SetTerms(noon, "things", Terms{Policy: Public})); len(updates(a.Send)) != 1 {
		t.Errorf("made public: %v", a.Send)
	}
	if told := n.ToldKnack(n.Knack("things")); told.Epsilon < 1e9 {
		t.Errorf("told without noise: %+v", told)
	}
	do(t)(n.SetShared(noon, "things", false))
	if n.SharesKnack(n.Knack("things")) || len(n.Conversation().Own("things")) > 0 {
		t.Error("private again it is offered")
	}
}

// What was shown last is announced when nothing more comes, after a restart too.
func TestShownSkillsAreAnnouncedAtRest(t *testing.T) {
	var d disk
	n := start(t, 0, small, nil)
	a := show(t, n, &d, 1, 23, "a", "b")
	if a.Wake.After(noon.Add(knackRest)) {
		t.Fatalf("it wakes at %v", a.Wake)
	}
	again := start(t, 0, small, &d)
	again.Tick(noon)
	for _, m := range []*Node{n, again} {
		if us := updates(m.Tick(noon.Add(knackRest - 1)).Send); len(us) > 0 {
			t.Errorf("too soon: %v", us)
		}
		if us := updates(m.Tick(noon.Add(knackRest)).Send); len(us) != 1 || us[0].Events != 23 {
			t.Errorf("at rest: %v", us)
		}
		if us := updates(m.Tick(noon.Add(3 * knackRest)).Send); len(us) > 0 {
			t.Errorf("nothing new: %v", us)
		}
	}
}

// A name is of one kind. What a peer teaches in the other kind than before takes the place of that, and an owner's shape that of what peers sent.
func TestKindsDoNotMix(t *testing.T) {
	n := start(t, 0, small, nil)
	meet(n, 1)
	show(t, n, nil, 1, 10, "a")
	if _, err := n.Focus(noon, "things"); !errors.Is(err, ErrKind) {
		t.Errorf("said under the name of what was shown: %v", err)
	}
	do(t)(n.Focus(noon, "music"))
	if _, err := n.Show(noon, "music", 1, []float32{1}, []string{"a"}); !errors.Is(err, ErrKind) {
		t.Errorf("shown under the name of what was said: %v", err)
	}
	if _, err := n.Show(noon, "things", 1, []float32{1}, []string{"a"}); err == nil {
		t.Error("shown in another shape")
	}
	do(t)(n.Focus(noon, ""))
	music := taught(t, 1, "music", text("music", 1500, 1))
	if f := n.fold(meshtest.ID(1), music.Body); f.Verdict != protocol.Folded {
		t.Fatal(f)
	}
	peer := start(t, 1, small, nil)
	do(t)(peer.Show(noon, "music", 3, []float32{1, 0, 0, 0, 1, 0}, []string{"jazz", "folk"}))
	body, err := peer.Knack("music").Lesson()
	if err != nil {
		t.Fatal(err)
	}
	if f := n.fold(meshtest.ID(1), body); f.Verdict != protocol.Folded || n.Learner().Skill(string(meshtest.ID(1)), "music") != nil || n.Knack("music") == nil {
		t.Errorf("taught as another kind: %v", f)
	}
	if f := n.fold(meshtest.ID(1), music.Body); f.Verdict != protocol.Folded || len(n.Knack("music").Authors()) != 0 {
		t.Errorf("and back: %v", f)
	}
	m := start(t, 2, small, nil)
	if f := m.fold(meshtest.ID(1), body); f.Verdict != protocol.Folded {
		t.Fatal(f)
	}
	if !slices.Contains(m.Bodies(), protocol.Sum(body)) {
		t.Error("a snapshot would sweep away what a knack is made of")
	}
	do(t)(m.Show(noon, "music", 5, make([]float32, 5), []string{"silence"}))
	if k := m.Knack("music"); k.Inputs() != 5 || len(k.Authors()) != 0 {
		t.Error("what a peer sent decides what the owner may show")
	}
	if f := m.fold(meshtest.ID(1), body); f.Verdict != protocol.Refused || !strings.Contains(f.Reason, "inputs") {
		t.Errorf("of another shape: %v", f)
	}
	other := small
	other.Learning.Features = 50
	if f := start(t, 3, other, nil).fold(meshtest.ID(1), body); f.Verdict != protocol.Refused || !strings.Contains(f.Reason, "features") {
		t.Errorf("of another number of features: %v", f)
	}
	if f := m.fold(meshtest.ID(1), append(body, 0)); f.Verdict != protocol.Refused {
		t.Errorf("what cannot be read: %v", f)
	}
}

// There is an end to how many names strangers can fill a device with.
func TestKnacksAreBounded(t *testing.T) {
	n := start(t, 0, small, nil)
	peer := start(t, 1, small, nil)
	for i := range maxKnacks + 2 {
		name := fmt.Sprint("skill", i)
		k, err := peer.newKnack(learning.KnackConfig{Name: name, Inputs: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Show([]float32{1}, []string{"a"}); err != nil {
			t.Fatal(err)
		}
		body, err := k.Lesson()
		if err != nil {
			t.Fatal(err)
		}
		if f := n.fold(meshtest.ID(1), body); (f.Verdict == protocol.Folded) != (i < maxKnacks) {
			t.Fatalf("name %d: %v", i, f)
		}
	}
	do(t)(n.Show(noon, "own", 1, []float32{1}, []string{"a"}))
	if len(n.Knacks()) != maxKnacks+1 {
		t.Errorf("%d names", len(n.Knacks()))
	}
}

func TestShowRefuses(t *testing.T) {
	n := start(t, 0, small, nil)
	for name, err := range map[string]error{
		"no name": second(n.Show(noon, "", 1, []float32{1}, []string{"a"})), "no inputs": second(n.Show(noon, "x", 0, nil, []string{"a"})),
		"too few": second(n.Show(noon, "x", 2, []float32{1}, []string{"a"})), "no controls": second(n.Follow(noon, "x", 1, []float32{1}, nil, nil)),
	} {
		if err == nil {
			t.Errorf("%s: it was shown", name)
		}
	}
	if len(n.Knacks()) > 0 {
		t.Error("what was refused leaves a trace")
	}
	bad := [][]byte{
		record(recShow, []byte("x"), nil, nil, nil), record(recShow, []byte("x"), []byte{1}, []byte{9}, []byte{1}),
		record(recShow, []byte("x"), []byte{1, 1}, texts([]string{"a"}), []byte{1}), record(recFollow, []byte("x"), []byte{1}, texts([]string{"a"}), []byte{1}, nil),
	}
	for _, rec := range bad {
		if err := n.Replay(rec, nil); err == nil {
			t.Errorf("%q was replayed", rec)
		}
	}
}

func second(_ Actions, err error) error { return err }

// A central leaves lessons out: nothing comes of merging them, and nobody is blamed for it.
func TestLessonsAreNotMerged(t *testing.T) {
	n := start(t, 0, small, nil)
	us := []*protocol.Update{shownTo(t, 1, 2, 30, same, "a", "b"), shownTo(t, 2, 3, 30, same, "a", "b")}
	var inputs []mergeInput
	for _, u := range us {
		inputs = append(inputs, mergeInput{u.ID.Author, u.ID.Seq, u.Made, u.Digest})
	}
	if m, err := n.merge("things", inputs, func(i int) ([]byte, error) { return us[i].Body, nil }); err == nil {
		t.Errorf("two lessons were merged to %v", m)
	}
	if x := n.takeTurn(noon, &exchange.Turn{Merges: []exchange.Merge{{Skill: "things", Inputs: us}}}); len(x.Send) > 0 {
		t.Errorf("a central says %v of lessons", x.Send)
	}
}
