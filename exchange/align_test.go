package exchange

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// swarm returns a world of n machines that all see one another and may be central, long enough for it.
func swarm(n int, change ...func(*Config)) *world {
	w := newWorld()
	for i := range n {
		w.add(string(rune('a'+i)), func(c *Config) {
			c.Central = 1
			for _, f := range change {
				f(c)
			}
		})
	}
	for i, x := range w.nodes {
		for _, y := range w.nodes[i+1:] {
			w.meet(x.name, y.name)
		}
	}
	w.run(3 * time.Minute)
	w.log.Reset()
	return w
}

// skills is what a machine's skills are merged of, and to what.
func (n *node) skills() string {
	var b strings.Builder
	for _, al := range n.m.Aligned() {
		fmt.Fprintf(&b, "%s of", al.Skill)
		var ins []string
		for _, in := range al.Inputs {
			ins = append(ins, readable(in.ID.String()))
		}
		slices.Sort(ins)
		fmt.Fprintf(&b, " %s to %v; ", strings.Join(ins, " "), al.Result)
	}
	return readable(b.String())
}

// agree fails unless all machines have their skills aligned alike, and returns how.
func (w *world) agree(t *testing.T) string {
	t.Helper()
	want := w.nodes[0].skills()
	for _, n := range w.nodes[1:] {
		if got := n.skills(); got != want {
			t.Fatalf("%s has %q\n%s has %q", w.nodes[0].name, want, n.name, got)
		}
	}
	return want
}

// untilTerm lets time pass until a second before the next term, and returns it.
func (w *world) untilTerm() mesh.Term {
	e := mesh.TermAt(w.now) + 1
	w.run(e.Start().Add(-time.Second).Sub(w.now))
	return e
}

// first returns the machines whose turn it is in the present term.
func (w *world) first() (ns []*node) {
	for _, id := range w.nodes[0].m.Central().Ranks {
		ns = append(ns, w.node(names[id]))
	}
	return ns
}

func TestACentralAligns(t *testing.T) {
	w := swarm(5)
	w.offer("a", "music", 100, 0)
	w.offer("b", "music", 100, 0)
	w.offer("c", "news", 100, 0) // of one author alone: nothing to align
	w.run(2 * time.Minute)
	if got := w.agree(t); !strings.HasPrefix(got, "music of a/1 b/1 to ") || strings.Contains(got, "news") {
		t.Errorf("aligned: %q", got)
	}
	if n := strings.Count(w.log.String(), "to all: record"); n != 1 {
		t.Errorf("%d records", n)
	}
	for _, n := range w.nodes {
		if !slices.Equal(n.tried, []string{"music2"}) {
			t.Errorf("%s folded %v", n.name, n.tried)
		}
	}
	w.log.Reset()
	w.run(30 * time.Minute)
	if strings.Contains(w.log.String(), "record of") {
		t.Errorf("with nothing new: %s", w.log.String())
	}

	w.offer("b", "music", 100, 0) // a new version
	w.offer("d", "music", 100, 0) // and a new author
	w.run(2 * time.Minute)
	if got := w.agree(t); !strings.Contains(got, " of a/1 b/2 d/1 to ") {
		t.Errorf("aligned anew: %q", got)
	}
}

// A central that would wait for three authors leaves two alone.
func TestMergeFrom(t *testing.T) {
	w := swarm(5, func(c *Config) { c.MergeFrom = 3 })
	w.offer("a", "music", 100, 0)
	w.offer("b", "music", 100, 0)
	w.run(5 * time.Minute)
	if strings.Contains(w.log.String(), "record") {
		t.Errorf("of two authors: %s", w.log.String())
	}
	w.offer("c", "music", 100, 0)
	w.run(2 * time.Minute)
	if got := w.agree(t); !strings.HasPrefix(got, "music of a/1 b/1 c/1 to ") {
		t.Errorf("of three: %q", got)
	}
}

// Where nobody has room for all versions, each central merges those that it holds, once, and then there is an end of it.
func TestCentralsWithoutRoomComeToAnEnd(t *testing.T) {
	w := swarm(5, func(c *Config) { c.MaxLive = 2 })
	for _, n := range w.nodes {
		w.offer(n.name, "music", 100, 0)
	}
	w.run(30 * time.Minute)
	if n := strings.Count(w.log.String(), "to all: record"); n == 0 || n > len(w.nodes) {
		t.Errorf("%d records of %d centrals", n, len(w.nodes))
	}
	w.log.Reset()
	w.run(30 * time.Minute)
	if strings.Contains(w.log.String(), "record of") {
		t.Errorf("with nothing new: %s", w.log.String())
	}
}

// Centrals to which different versions did harm each merge the others, once, and then there is an end of it; a new version begins it anew.
func TestCentralsOfDifferentOpinionsComeToAnEnd(t *testing.T) {
	w := swarm(4)
	for i, n := range w.nodes {
		n.judge = func(u *protocol.Update) (protocol.Verdict, int64) {
			if u.ID.Author == w.nodes[(i+1)%4].cfg.Self {
				return protocol.Harmful, -1
			}
			return protocol.Folded, 5
		}
	}
	for range 2 {
		for _, n := range w.nodes {
			w.offer(n.name, "music", 100, 0)
		}
		w.log.Reset()
		w.run(30 * time.Minute)
		if n := strings.Count(w.log.String(), "to all: record"); n == 0 || n > len(w.nodes) {
			t.Errorf("%d records of %d centrals", n, len(w.nodes))
		}
		w.agree(t)
		w.log.Reset()
		w.run(30 * time.Minute)
		if strings.Contains(w.log.String(), "record of") {
			t.Errorf("with nothing new: %s", w.log.String())
		}
	}
}

// A central that merged a version of its own which it signed for nobody else holds up nobody: the next one merges what all have.
func TestASolitaryRecordIsPassedOver(t *testing.T) {
	w, e, first := scene(t)
	for i, n := range w.nodes {
		n.act = nil
		if i > 1 {
			w.offer(n.name, "music", 64, 0)
		}
	}
	w.run(0)
	liar := first[0].name
	w.spread(liar, w.forge(liar, e, 0, func(_ *protocol.Record, al *protocol.Alignment) {
		for i, in := range al.Skills[0].Inputs {
			if in.ID.Author == id(liar) {
				al.Skills[0].Inputs[i].Digest[0] ^= 1
			}
		}
	}))
	w.node(liar).act = func(*protocol.Record, *protocol.Alignment) bool { return false }
	w.run(3 * time.Minute)
	for _, n := range w.nodes {
		if al := n.m.Aligned(); n.name != liar && (len(al) != 1 || len(al[0].Inputs) != 8 || al[0].Author == id(liar)) {
			t.Errorf("%s has %q", n.name, n.skills())
		}
	}
}

// One that was cut off, and has been back for less than it takes to count the others, does not say by itself whose turn it is: all others know
// better. Here it would do without them, since what they merge did harm to it.
func TestWhoComesBackFollows(t *testing.T) {
	w := swarm(6)
	f := w.node("f")
	f.judge = func(u *protocol.Update) (protocol.Verdict, int64) {
		if u.ID.Author == id("a") {
			return protocol.Harmful, -1
		}
		return protocol.Folded, 1
	}
	e := w.untilTerm()
	for _, n := range w.nodes {
		n.act = func(*protocol.Record, *protocol.Alignment) bool { return mesh.TermAt(w.now) > e }
	}
	for _, name := range []string{"a", "b", "f"} {
		w.offer(name, "music", 64, 0)
	}
	w.run(30 * time.Second)
	for _, n := range w.nodes {
		if n != f {
			w.left("f", n.name)
			w.left(n.name, "f")
		}
	}
	w.run(5 * time.Second)
	for _, n := range w.nodes {
		if n != f {
			w.meet("f", n.name)
		}
	}
	w.run(10 * time.Minute)
	if got := w.agree(t); !strings.HasPrefix(got, "music of a/1 b/1 f/1 to ") {
		t.Errorf("aligned: %q", got)
	}
}

// A thousand terms among sixteen equals, in each of which there is something to do.
func TestCentralsRotate(t *testing.T) {
	w := swarm(16, func(c *Config) { c.Interval = time.Minute })
	w.mute = true
	count := map[string]int{}
	last, again := "", 0
	for _, n := range w.nodes {
		n.act = func(*protocol.Record, *protocol.Alignment) bool {
			count[n.name]++
			if n.name == last {
				again++
			}
			last = n.name
			return true
		}
	}
	const terms = 1000
	for k := range terms {
		w.untilTerm()
		w.offer(w.nodes[k%2].name, "music", 64, 0)
		w.run(2 * time.Second)
	}
	sum := 0
	for _, n := range w.nodes {
		c := count[n.name]
		sum += c
		if off := float64(c)*float64(len(w.nodes))/terms - 1; math.Abs(off) > 0.2 {
			t.Errorf("%s was central in %d terms of %d: %+.0f %% of its share", n.name, c, terms, 100*off)
		}
	}
	if again > 3 { // of draws that forget who had a turn, one in sixteen
		t.Errorf("the same was central in two terms running %d times", again)
	}
	if sum < terms-20 {
		t.Errorf("%d terms of %d had a central", sum, terms)
	}
	w.agree(t)
}

// One that is never heard as central does not keep the others from it, and does not have more turns than its share.
func TestOneThatNeverActs(t *testing.T) {
	w := swarm(6)
	silent := w.node("c")
	had := 0
	silent.act = func(*protocol.Record, *protocol.Alignment) bool { had++; return false }
	published := func() (n uint64) {
		for _, x := range w.nodes {
			n += x.m.Central().Published
		}
		return n
	}
	w.offer("a", "music", 64, 0)
	w.offer("b", "music", 64, 0)
	for k := range 60 {
		e := w.untilTerm()
		w.offer(w.nodes[k%2].name, "music", 64, 0)
		before := published()
		w.run(2 * time.Second)
		if first := w.first(); first[0] == silent {
			if published() != before {
				t.Fatalf("term %d: somebody acted before the time", e)
			}
			w.run(9 * time.Second)
			if published() != before+1 || first[1].m.Central().Last.Rank != 1 || w.nodes[0].m.Aligned()[0].Author != first[1].cfg.Self {
				t.Fatalf("term %d: the second did not take over: %+v", e, first[1].m.Central())
			}
		} else if published() != before+1 {
			t.Fatalf("term %d: %d records", e, published()-before)
		}
		w.log.Reset()
	}
	if had < 5 || had > 15 {
		t.Errorf("of 60 terms among 6 it had %d", had)
	}
}

// Without any central for fifty terms updates spread and are tried as ever.
func TestNobodyNeedsACentral(t *testing.T) {
	w := swarm(5)
	for _, n := range w.nodes {
		n.act = func(*protocol.Record, *protocol.Alignment) bool { return false }
	}
	for k := range 50 {
		w.offer(w.nodes[k%5].name, "music", 64, 0)
		w.run(time.Minute)
		w.log.Reset()
	}
	for _, n := range w.nodes {
		if len(n.folds) != 40 || len(n.m.Held()) != 5 {
			t.Errorf("%s tried %d updates of others and holds %d", n.name, len(n.folds), len(n.m.Held()))
		}
		if c := n.m.Central(); c.Skills != 0 || c.Records != 0 {
			t.Errorf("%s: %+v", n.name, c)
		}
	}
}

// part lets no half see the other, and back.
func (w *world) part(n int, healed bool) {
	for _, x := range w.nodes[:n] {
		for _, y := range w.nodes[n:] {
			if healed {
				w.meet(x.name, y.name)
			} else {
				w.left(x.name, y.name)
				w.left(y.name, x.name)
			}
		}
	}
}

// Two halves each have a central for ten minutes; when they meet again, all come to one state, and so does whoever hears
// the same in any order.
func TestTwoCentralsInAPartition(t *testing.T) {
	w := swarm(9)
	w.part(4, false)
	w.run(3 * time.Minute)
	w.log.Reset()
	for range 5 {
		for _, name := range []string{"a", "b", "g", "h"} {
			w.offer(name, "music", 64, 0)
		}
		w.run(2 * time.Minute)
	}
	one, other := w.nodes[0].skills(), w.nodes[8].skills()
	if !strings.Contains(one, "a/5 b/5") || !strings.Contains(other, "g/5 h/5") || one == other {
		t.Fatalf("the halves have %q and %q", one, other)
	}
	var kept []*protocol.Record
	for _, n := range []*node{w.nodes[0], w.nodes[8]} {
		for _, r := range n.m.al.records {
			kept = append(kept, r.m)
		}
	}
	w.part(4, true)
	w.run(4 * time.Minute)
	if got := w.agree(t); !strings.Contains(got, "a/5 b/5 g/5 h/5") {
		t.Errorf("together they have %q", got)
	}
	// With the next thing to do they are one again: whose turn it is, and what came before.
	for range 8 {
		w.offer("a", "music", 64, 0)
		w.run(time.Minute)
	}
	for _, n := range w.nodes {
		e, first := n.m.al.term, w.nodes[0]
		if len(n.m.heads()) != 1 || n.m.seed(e) != first.m.seed(e) || n.m.al.aligned["music"].Record != first.m.al.aligned["music"].Record {
			t.Errorf("%s sees %d ends of the halves' records, and draws turns from %v", n.name, len(n.m.heads()), n.m.seed(e))
		}
	}

	// The same records and updates, in other orders, some twice, some lost.
	for _, r := range w.nodes[0].m.al.records {
		kept = append(kept, r.m)
	}
	slices.SortFunc(kept, func(x, y *protocol.Record) int { return x.Name().Compare(y.Name()) })
	var msgs []protocol.Message
	for _, r := range kept {
		msgs = append(msgs, r)
	}
	for _, id := range w.nodes[0].m.Held() {
		msgs = append(msgs, w.nodes[0].m.live[id].u)
	}
	newest := w.nodes[0].m.al.newest
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		late := newWorld()
		late.now = w.now
		n := late.add("z", nil)
		late.joined("z", "y")
		list := slices.Concat(msgs, msgs)
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for _, m := range list {
			if rec, ok := m.(*protocol.Record); ok { // as if asked for
				n.m.al.wants[rec.Name()] = recordWant{id("y"), late.now.Add(time.Hour)}
			}
			late.do(n, n.m.Handle(late.now, mesh.Event{Kind: mesh.Heard, Peer: id("y"), Msg: m}))
		}
		if got, want := n.skills(), w.nodes[0].skills(); got != want || n.m.al.newest != newest {
			t.Fatalf("seed %d: %q, want %q", seed, got, want)
		}
	}
}

// forge makes a record of updates that everyone holds, by one of the swarm.
func (w *world) forge(author string, e mesh.Term, rank uint8, change func(*protocol.Record, *protocol.Alignment)) *protocol.Record {
	var s protocol.Aligned
	var us []*protocol.Update
	for _, id := range w.nodes[0].m.Held() {
		u := w.nodes[0].m.live[id].u
		us = append(us, u)
		s.Inputs = append(s.Inputs, protocol.Input{ID: u.ID, Digest: u.Name()})
	}
	s.Skill, s.Result = us[0].Skill, mergeOf(us)
	al := &protocol.Alignment{Skills: []protocol.Aligned{s}}
	r := &protocol.Record{Align: protocol.Align{Author: id(author), Model: model, Term: uint64(e), Rank: rank}}
	if change != nil {
		change(r, al)
	}
	seal(author, r, al)
	return r
}

// spread has a peer say something to everyone else.
func (w *world) spread(from string, m protocol.Message) {
	for _, n := range w.nodes {
		if n.name != from {
			w.do(n, n.m.Handle(w.now, mesh.Event{Kind: mesh.Heard, Peer: id(from), Msg: m}))
		}
	}
	w.run(0)
}

// scene is a swarm in which two versions of one skill wait for the term's central, who says nothing yet, at its beginning.
func scene(t *testing.T) (w *world, e mesh.Term, first []*node) {
	t.Helper()
	w = swarm(8)
	for _, n := range w.nodes {
		n.act = func(*protocol.Record, *protocol.Alignment) bool { return false }
	}
	e = w.untilTerm()
	w.offer("a", "music", 64, 0)
	w.offer("b", "music", 64, 0)
	w.run(2 * time.Second)
	first = w.first()
	if len(first) != mesh.Ranks {
		t.Fatalf("%d ranks", len(first))
	}
	w.log.Reset()
	return w, e, first
}

// What is forged is not taken, or kept and not used; beside it what is right, which is.
func TestForgedRecords(t *testing.T) {
	outsider := func(w *world, first []*node) string {
		for _, n := range w.nodes {
			if !slices.Contains(first, n) {
				return n.name
			}
		}
		panic("everyone has a rank")
	}
	for name, c := range map[string]struct {
		forge func(w *world, e mesh.Term, first []*node) *protocol.Record
		used  bool
	}{
		"right": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[0].name, e, 0, nil)
		}, true},
		"the second, as such": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[1].name, e, 1, nil)
		}, true},
		"a rank too good": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[2].name, e, 0, nil)
		}, false},
		"no rank at all": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(outsider(w, first), e, 0, nil)
		}, false},
		"no rank, and says the last": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(outsider(w, first), e, protocol.MaxRank, nil)
		}, false},
		"a term to come": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[0].name, e+2, 0, nil)
		}, false},
		"a term that is over": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[0].name, e-2, 0, nil)
		}, false},
		"another's name": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			r := w.forge(first[1].name, e, 0, nil)
			r.Author = first[0].cfg.Self
			return r
		}, false},
		"changed on its way": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			r := w.forge(first[0].name, e, 0, nil)
			r.Body = bytes.Clone(r.Body)
			r.Body[len(r.Body)-1]++
			return r
		}, false},
		"another model": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[0].name, e, 0, func(r *protocol.Record, _ *protocol.Alignment) { r.Model = another })
		}, false},
		"another rule": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[0].name, e, 0, func(r *protocol.Record, al *protocol.Alignment) {
				r.Rule = 2
				al.Skills[0].Result = protocol.Digest{} // which is no lie: it may be right by that rule
			})
		}, false},
		"an update that nobody has": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[0].name, e, 0, func(_ *protocol.Record, al *protocol.Alignment) { al.Skills[0].Inputs[0].ID.Seq = 99 })
		}, false},
		"an update of another content": {func(w *world, e mesh.Term, first []*node) *protocol.Record {
			return w.forge(first[0].name, e, 0, func(_ *protocol.Record, al *protocol.Alignment) { al.Skills[0].Inputs[0].Digest[0]++ })
		}, false},
	} {
		w, e, first := scene(t)
		r := c.forge(w, e, first)
		w.spread(first[3].name, r)
		w.run(30 * time.Second)
		for _, n := range w.nodes {
			if n == first[3] { // it says what it does not believe
				continue
			}
			if used := n.skills() != ""; used != c.used {
				t.Errorf("%s: %s has %q", name, n.name, n.skills())
			}
			for _, s := range n.m.Ledger() {
				if s.Convicted {
					t.Errorf("%s: %s convicted %s", name, n.name, readable(string(s.Author)))
				}
			}
		}
	}
}

// What nobody asked for has to be of the present, and counts when its term has come.
func TestTermsOfRecords(t *testing.T) {
	w, e, first := scene(t)
	n := first[3]
	n.m.al.ranks[e-2] = n.m.al.ranks[e] // its author was central then
	for _, c := range []struct {
		term       mesh.Term
		kept, used bool
	}{{e - 2, false, false}, {e + 2, false, false}, {e - 1, true, true}, {e, true, true}, {e + 1, true, false}} {
		clear(n.m.al.records)
		clear(n.m.al.aligned)
		n.m.al.newest = 0
		n.m.al.ranks[e-1] = n.m.al.ranks[e]
		r := w.forge(first[0].name, c.term, 0, nil)
		w.do(n, n.m.Handle(w.now, mesh.Event{Kind: mesh.Heard, Peer: first[1].cfg.Self, Msg: r}))
		if kept, used := len(n.m.al.records) == 1, n.skills() != ""; kept != c.kept || used != c.used {
			t.Errorf("term %+d: kept %v, used %v", int(c.term)-int(e), kept, used)
		}
	}
}

// What was asked for may be older, but beyond ten terms before the newest it is history, and beyond what is kept nothing.
func TestFence(t *testing.T) {
	w, e, first := scene(t)
	w.run(40 * time.Minute)
	now := mesh.TermAt(w.now)
	for back, want := range map[mesh.Term][2]bool{9: {true, true}, 10: {true, true}, 11: {true, false}, 32: {true, false}, 33: {false, false}} {
		late := newWorld()
		late.now = w.now
		n := late.add("z", nil)
		late.joined("z", "y")
		hear := func(m protocol.Message) {
			late.do(n, n.m.Handle(late.now, mesh.Event{Kind: mesh.Heard, Peer: id("y"), Msg: m}))
		}
		for _, id := range w.nodes[0].m.Held() {
			hear(w.nodes[0].m.live[id].u)
		}
		hear(w.forge("q", now, 0, func(_ *protocol.Record, al *protocol.Alignment) { al.Skills[0].Skill = "other" }))
		old := w.forge(first[0].name, now-back, 0, nil)
		n.m.al.wants[old.Name()] = recordWant{id("y"), late.now.Add(time.Hour)}
		hear(old)
		if got := [2]bool{n.m.al.records[old.Name()] != nil, n.skills() != ""}; got != want {
			t.Errorf("%d terms before the newest (%d): kept and used %v, want %v", back, e, got, want)
		}
	}
}

// What was said in a term that is over is of no use to whoever repeats it.
func TestReplayedRecord(t *testing.T) {
	w, e, first := scene(t)
	old := w.forge(first[0].name, e, 0, nil)
	w.spread(first[0].name, old)
	w.do(first[0], first[0].m.Act(w.now, old))
	w.run(time.Minute)
	for _, n := range w.nodes {
		n.act = nil
	}
	w.offer("a", "music", 64, 0)
	w.run(2 * time.Minute)
	want := w.agree(t)
	if !strings.Contains(want, "a/2") {
		t.Fatalf("aligned: %q", want)
	}
	for _, wait := range []time.Duration{0, 5 * time.Minute, 20 * time.Minute, time.Hour} {
		w.run(wait)
		for _, n := range w.nodes {
			delete(n.m.al.records, old.Name()) // as if it were forgotten
		}
		w.spread("h", old)
		if got := w.agree(t); got != want {
			t.Errorf("after %v: %q, want %q", wait, got, want)
		}
	}
}

// A central that lies about a result is refused by everyone who can look, and asked for nothing any more; those who would not
// have used the record are told, and look for themselves. Who only says that another lied convicts nobody.
func TestFalseResultConvicts(t *testing.T) {
	convicted := func(n *node) (list []string) {
		for _, s := range n.m.Ledger() {
			if s.Convicted && s.Shunned {
				list = append(list, readable(string(s.Author)))
			}
		}
		return list
	}
	w, e, first := scene(t)
	liar := first[1]
	lie := w.forge(liar.name, e, 1, func(_ *protocol.Record, al *protocol.Alignment) { al.Skills[0].Result[7]++ })
	young := w.add("y", func(c *Config) { c.Rule = 5 }) // cannot look: it merges otherwise
	for _, n := range w.nodes {
		if n != young {
			w.meet("y", n.name)
		}
	}
	w.run(time.Second)
	blind := first[0]
	blind.m.al.ranks[e] = []protocol.PeerID{id("q")} // sees others in charge, so it would not look by itself
	w.spread(liar.name, lie)
	if got := convicted(blind); got != nil {
		t.Fatalf("%s looked without a reason: %v", blind.name, got)
	}
	w.run(time.Minute)
	for _, n := range w.nodes {
		want := []string{liar.name}
		if n == young || n == liar {
			want = nil
		}
		if got := convicted(n); !slices.Equal(got, want) {
			t.Errorf("%s convicted %v, want %v", n.name, got, want)
		}
		if n.skills() != "" || len(n.tried) > 0 {
			t.Errorf("%s used it: %q", n.name, n.skills())
		}
	}
	if n := strings.Count(w.log.String(), "to all: convict"); n < 1 || n > 4 {
		t.Errorf("%d said so", n)
	}
	if id := w.offer(liar.name, "news", 64, 0).ID; w.nodes[0].m.known(id) != true {
		t.Error("the liar's updates are still asked for")
	}
	w.run(time.Minute)
	for _, n := range w.nodes {
		if n != liar && n != young && slices.Contains(n.m.Held(), protocol.UpdateID{Author: liar.cfg.Self, Seq: n.m.seq + 1}) {
			t.Errorf("%s holds what the liar made since", n.name)
		}
	}

	// Of inputs that were merged before, it takes no second look.
	w, e, first = scene(t)
	w.spread(first[0].name, w.forge(first[0].name, e, 0, nil))
	w.spread(first[1].name, w.forge(first[0].name, e, 0, nil))
	if w.untilTerm(); w.nodes[0].skills() == "" {
		t.Fatal("the truth was not used")
	}
	w.run(2 * time.Second)
	liar = w.first()[0]
	w.spread(liar.name, w.forge(liar.name, e+1, 0, func(_ *protocol.Record, al *protocol.Alignment) { al.Skills[0].Result[7]++ }))
	for _, n := range w.nodes {
		if got := convicted(n); n != liar && !slices.Equal(got, []string{liar.name}) {
			t.Errorf("%s convicted %v", n.name, got)
		}
	}

	w, e, first = scene(t)
	truth := w.forge(first[0].name, e, 0, nil)
	w.spread(first[0].name, truth)
	w.spread("h", &protocol.Convict{Author: first[0].cfg.Self, Record: truth.Name(), Skill: "music"})
	w.spread("h", &protocol.Convict{Author: first[0].cfg.Self, Record: protocol.Digest{1}, Skill: "music"})
	w.run(time.Minute)
	for _, n := range w.nodes {
		if got := convicted(n); got != nil {
			t.Errorf("%s believed that %v lied", n.name, got)
		}
	}
}

// One that missed what was gossiped, or comes later, hears of it from those who have it.
func TestMissedRecords(t *testing.T) {
	w, e, first := scene(t)
	missed := w.nodes[7]
	if missed == first[0] {
		missed = w.nodes[6]
	}
	r := w.forge(first[0].name, e, 0, nil)
	for _, n := range w.nodes {
		if n != missed {
			w.do(n, n.m.Handle(w.now, mesh.Event{Kind: mesh.Heard, Peer: first[1].cfg.Self, Msg: r}))
		}
	}
	w.queue = nil
	if missed.skills() != "" {
		t.Fatal("it did not miss it")
	}
	w.run(5 * time.Minute)
	late := w.add("z", nil)
	for _, n := range w.nodes {
		if n != late {
			w.meet("z", n.name)
		}
	}
	w.run(time.Minute)
	if got := w.agree(t); !strings.Contains(got, "a/1 b/1") {
		t.Errorf("aligned: %q", got)
	}
}

// A restart forgets nothing that counts, and a state from before there were centrals is read.
func TestAlignedSurvivesRestart(t *testing.T) {
	w := swarm(5)
	w.offer("a", "music", 64, 0)
	w.offer("b", "music", 64, 0)
	w.run(2 * time.Minute)
	n := w.nodes[2]
	was, turns, tried := n.m.Aligned(), n.m.al.turns, len(n.tried)
	w.restart(t, n)
	if got := n.m.Aligned(); !reflect.DeepEqual(got, was) || len(got) != 1 {
		t.Errorf("%v, want %v", got, was)
	}
	if !reflect.DeepEqual(n.m.al.turns, turns) || len(turns) == 0 {
		t.Errorf("turns %v, want %v", n.m.al.turns, turns)
	}
	w.run(4 * time.Minute)
	if len(n.tried) != tried {
		t.Errorf("folded again: %v", n.tried)
	}
	b, err := n.m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte(`"Version":2`), []byte(`"Version":1`), 1)
	at := bytes.Index(b, []byte(`,"Turns"`))
	n.start()
	if err := n.m.Restore(append(b[:at:at], '}'), func(d protocol.Digest) ([]byte, bool) { body, ok := n.bodies[d]; return body, ok }); err != nil || len(n.m.Held()) != 2 {
		t.Errorf("the state of an earlier version: %v, holds %v", err, n.m.Held())
	}
}

// However many records are signed, few are kept.
func TestRecordsAreBounded(t *testing.T) {
	w, e, first := scene(t)
	n := first[3]
	for k := range 300 {
		r := w.forge("x", e+mesh.Term(k%2), uint8(k%4), func(r *protocol.Record, _ *protocol.Alignment) { r.Members = uint32(k) })
		w.joined(n.name, "x")
		n.m.peer(id("x")).count = 0
		w.do(n, n.m.Handle(w.now, mesh.Event{Kind: mesh.Heard, Peer: id("x"), Msg: r}))
	}
	if got := len(n.m.al.records); got > 2*recordsPerTerm {
		t.Errorf("%d records are kept", got)
	}
	right, more := w.forge(first[0].name, e, 0, nil), w.forge("y", e, 0, nil)
	if n.m.WantsRecord(&more.Align) || !n.m.WantsRecord(&right.Align) {
		t.Error("there is room for one of those whose turn it is, and for no other")
	}
	w.do(n, n.m.Handle(w.now, mesh.Event{Kind: mesh.Heard, Peer: id("x"), Msg: right}))
	if n.skills() == "" {
		t.Error("the right one found no room")
	}
	if n.m.WantsRecord(&right.Align) {
		t.Error("what is here is wanted")
	}
	if got := len(n.m.al.refused); got > maxRefused {
		t.Errorf("%d refused ones are remembered", got)
	}
}

// Whatever strangers to the rules say, nothing grows without bound, nobody honest is convicted, and what is right is used in the end.
func TestHostileRecords(t *testing.T) {
	for seed := range uint64(3) {
		w, e, first := scene(t)
		r := rand.New(rand.NewPCG(seed, 9))
		n := first[3]
		w.joined(n.name, "x")
		said := []protocol.Digest{{1}}
		for range 1500 {
			var m protocol.Message
			pick := said[r.IntN(len(said))]
			switch r.IntN(5) {
			case 0, 1:
				rec := w.forge([]string{"x", "y", first[r.IntN(4)].name}[r.IntN(2)], e-mesh.Term(r.IntN(40))+3, uint8(r.IntN(4)),
					func(rec *protocol.Record, al *protocol.Alignment) {
						rec.Rule, rec.Members, rec.Parents = uint32(r.IntN(2)), r.Uint32(), []protocol.Digest{pick}
						al.Skills[0].Inputs[r.IntN(2)].ID.Seq += uint64(r.IntN(2))
						al.Skills[0].Result[0] += byte(r.IntN(2))
					})
				said = append(said, rec.Name())
				m = rec
			case 2:
				m = &protocol.Convict{Author: []protocol.PeerID{id("x"), first[0].cfg.Self}[r.IntN(2)], Record: pick, Skill: []string{"music", "other"}[r.IntN(2)]}
			case 3:
				m = &protocol.Have{Records: []protocol.Digest{pick}}
			case 4:
				m = &protocol.Want{Records: []protocol.Digest{pick}}
			}
			n.m.peer(id("x")).count = 0
			w.do(n, n.m.Handle(w.now, mesh.Event{Kind: mesh.Heard, Peer: id("x"), Msg: m}))
			w.queue = nil
		}
		a := &n.m.al
		if len(a.records) > recordsPerTerm*(memory+2) || len(a.refused) > maxRefused || len(a.wants) > maxRecordWants ||
			len(a.suspect) > maxSuspects || len(a.turns) > maxTurns || len(a.aligned) > 1 {
			t.Errorf("seed %d: kept %d, refused %d, wanted %d, suspects %d, turns %d, aligned %d", seed, len(a.records), len(a.refused),
				len(a.wants), len(a.suspect), len(a.turns), len(a.aligned))
		}
		for _, s := range n.m.Ledger() {
			if s.Convicted && s.Author != id("x") && s.Author != id("y") {
				t.Errorf("seed %d: %s was convicted", seed, readable(string(s.Author)))
			}
		}
		for _, x := range w.nodes {
			x.act = nil
		}
		w.offer("a", "music", 64, 0)
		w.run(3 * time.Minute)
		if got := n.skills(); !strings.Contains(got, "a/2 b/1") {
			t.Errorf("seed %d: afterwards it has %q", seed, got)
		}
	}
}
