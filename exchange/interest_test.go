package exchange

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// crowd is a world of many who have a few skills each, under few names, and room for fewer: everyone meets the next two.
func crowd(seed uint64, n int, c Config) (*world, *rand.Rand) {
	w := newWorld()
	w.mute = true
	r := rand.New(rand.NewPCG(seed, 77))
	w.fate = func() []time.Duration { return []time.Duration{time.Duration(r.IntN(800)) * time.Millisecond} }
	name := func(i int) string { return fmt.Sprintf("n%03d", i%n) }
	for i := range n {
		o := w.add(name(i), func(o *Config) { o.MaxLive, o.Versions, o.Interval = c.MaxLive, c.Versions, c.Interval })
		o.m.cfg.Rand = rand.New(rand.NewPCG(seed, uint64(i)))
		o.judge = func(u *protocol.Update) (protocol.Verdict, int64) {
			switch r := protocol.Sum([]byte(o.name + string(u.Body)))[0] % 3; r {
			case 0:
				return protocol.Refused, 0
			default:
				return protocol.Folded, 10 * int64(r)
			}
		}
	}
	for i := range n {
		w.meet(name(i), name(i+1))
		w.meet(name(i), name(i+2))
	}
	return w, r
}

// withinBounds holds a machine to its config, and its counts to what it holds.
func withinBounds(t *testing.T, n *node) {
	t.Helper()
	versions := map[string]int{}
	for _, u := range n.m.Live() {
		versions[u.Skill]++
		if versions[u.Skill] > n.cfg.Versions {
			t.Fatalf("%s holds %d versions of %s", n.name, versions[u.Skill], u.Skill)
		}
	}
	if len(n.m.live) > n.cfg.MaxLive {
		t.Fatalf("%s holds %d updates", n.name, len(n.m.live))
	}
	if len(n.m.in.versions) != len(versions) || n.m.in.waiting < 0 || n.m.in.crowded != 0 {
		t.Fatalf("%s counts %v, %d waiting, %d crowded", n.name, n.m.in.versions, n.m.in.waiting, n.m.in.crowded)
	}
}

// Whatever is said and lost, nobody holds more than there is room for, and in the end nobody lacks what a neighbour has and he
// has room for: nothing that is wanted starves.
func TestInterest(t *testing.T) {
	most, least := 0, 1<<30
	for seed := range uint64(5) {
		c := Config{MaxLive: 4 + int(seed%5), Versions: 2 + int(seed%3), Interval: 5 * time.Second}
		w, r := crowd(seed, 12, c)
		calm := w.fate
		w.fate = func() []time.Duration { // in the storm one of four is lost, and one of ten comes twice
			late := calm()
			switch r.IntN(20) {
			case 0, 1, 2, 3, 4:
				return nil
			case 5, 6:
				return append(late, calm()...)
			}
			return late
		}
		for range 60 {
			n := w.nodes[r.IntN(len(w.nodes))]
			w.offer(n.name, fmt.Sprint("skill ", r.IntN(3)), 20+r.IntN(20), 0)
			w.run(time.Duration(r.IntN(4000)) * time.Millisecond)
			for _, n := range w.nodes {
				withinBounds(t, n)
			}
			if r.IntN(10) == 0 {
				w.restart(t, n)
				for _, o := range w.nodes {
					if w.here[[2]string{n.name, o.name}] {
						w.meet(n.name, o.name)
					}
				}
			}
		}
		w.fate = calm
		w.run(10 * time.Minute)
		for _, n := range w.nodes {
			withinBounds(t, n)
			most, least = max(most, len(n.m.live)), min(least, len(n.m.live))
			for _, o := range w.nodes {
				if !w.here[[2]string{n.name, o.name}] {
					continue
				}
				for _, u := range o.m.Live() {
					if n.m.Wants(&u.Announce) {
						t.Errorf("seed %d: %s wants %v, which %s has", seed, n.name, u.ID, o.name)
					}
					if u.ID.Author == n.cfg.Self && n.m.live[u.ID] == nil {
						t.Errorf("seed %d: %s let go of its own %v", seed, n.name, u.ID)
					}
				}
			}
			for id, times := range n.folds {
				if times > 1 {
					t.Errorf("seed %d: %s folded %v %d times", seed, n.name, id, times)
				}
			}
			if len(n.m.wants)+n.m.in.waiting != 0 {
				t.Errorf("seed %d: %s waits for %d updates, %d of newcomers", seed, n.name, len(n.m.wants), n.m.in.waiting)
			}
		}
	}
	if most < 8 || least > 6 {
		t.Errorf("between %d and %d held: the bounds were not met", least, most)
	}
}

// In a crowd of any size a device hears as much: what it took in at first, and then no more than one in an interval while something
// it holds is of no use.
func TestInterestDoesNotGrow(t *testing.T) {
	heard := func(n int) (updates, folds float64) {
		w, _ := crowd(1, n, Config{MaxLive: 8, Versions: 8, Interval: 5 * time.Second})
		for _, o := range w.nodes {
			w.offer(o.name, "digits", 30, 0)
		}
		w.run(2 * time.Minute)
		for _, o := range w.nodes {
			updates += float64(o.heard[protocol.KindUpdate])
			folds += float64(len(o.folds))
			if len(o.m.live) != 8 {
				t.Errorf("of %d, %s holds %d", n, o.name, len(o.m.live))
			}
		}
		// When everyone has what he wants, nobody asks, and lists are not told again and again.
		for _, o := range w.nodes {
			clear(o.heard)
		}
		w.run(5 * time.Minute)
		w.run(0)
		for _, o := range w.nodes {
			clear(o.heard)
		}
		w.run(time.Minute)
		for _, o := range w.nodes {
			if o.heard[protocol.KindWant]+o.heard[protocol.KindUpdate] > 0 {
				t.Errorf("of %d, %s goes on: %v", n, o.name, o.heard)
			}
		}
		return updates / float64(n), folds / float64(n)
	}
	few, many := 20, 80
	u, f := heard(few)
	u2, f2 := heard(many)
	t.Logf("of %d: %.1f updates heard, %.1f folded; of %d: %.1f, %.1f", few, u, f, many, u2, f2)
	if u2 > 1.3*u || f2 > 1.3*f {
		t.Errorf("of %d a device hears %.1f updates and folds %.1f, of %d %.1f and %.1f", few, u, f, many, u2, f2)
	}
}

// What is full takes the next version of what it holds, and else only what takes the place of something of no use, once in an interval.
func TestWhoIsAdmitted(t *testing.T) {
	m, say := quiet(func(c *Config) { c.MaxLive, c.Versions = 4, 2 })
	now := genesis
	m.Handle(now, mesh.Event{Kind: mesh.Joined, Peer: id("p")})
	b1, c1 := makeUpdate("b", 1, "chess", 30, 0), makeUpdate("c", 1, "chess", 30, 0)
	d1, d2 := makeUpdate("d", 1, "chess", 30, 0), makeUpdate("d", 2, "music", 30, 0)
	takes := func(u *protocol.Update, want bool) {
		t.Helper()
		if got := m.Wants(&u.Announce); got != want {
			t.Errorf("wants %v %s: %v", readable(u.ID.String()), u.Skill, got)
		}
		a := say(now, id("p"), u)
		if got := len(a.Fold) == 1; got != want {
			t.Errorf("takes %v %s: %v", readable(u.ID.String()), u.Skill, got)
		}
	}
	asks := func(h *protocol.Have, want int) {
		t.Helper()
		got := 0
		for _, e := range say(now, id("p"), h).Send {
			if w, ok := e.Msg.(*protocol.Want); ok {
				got += len(w.IDs)
			}
		}
		if got != want {
			t.Errorf("asks for %d, want %d", got, want)
		}
		now = now.Add(time.Minute)
		m.Tick(now) // and nobody answers
	}
	have := func(us ...*protocol.Update) *protocol.Have {
		slices.SortFunc(us, func(x, y *protocol.Update) int { return x.ID.Compare(y.ID) })
		h := new(protocol.Have)
		for _, u := range us {
			h.IDs, h.Tags = append(h.IDs, u.ID), append(h.Tags, protocol.TagOf(u.Skill))
		}
		return h
	}
	takes(b1, true)
	if m.Chose() {
		t.Error("it chose while there was room")
	}
	asks(have(c1, d1), 1) // there is room for one of them
	takes(c1, true)
	takes(d1, false)
	if !m.Chose() {
		t.Error("it did not choose")
	}
	asks(have(d1), 0)
	asks(have(makeUpdate("b", 3, "chess", 30, 0)), 1) // the next version of what is held
	takes(makeUpdate("b", 3, "chess", 30, 0), true)
	m.Judge(now, b1.ID, protocol.Refused, 0)
	m.Judge(now, c1.ID, protocol.Harmful, -5)
	asks(have(d1), 1)
	takes(d1, true) // in the place of what did harm
	takes(makeUpdate("e", 1, "chess", 30, 0), false)
	if m.live[c1.ID] != nil {
		t.Error("what did harm is held still")
	}
	takes(d2, true)
	takes(makeUpdate("e", 2, "cooking", 30, 0), true)
	takes(makeUpdate("f", 1, "birds", 30, 0), false) // all is full

	m.Judge(now, d1.ID, protocol.Refused, 0)
	m.Judge(now, d2.ID, protocol.Refused, 0)
	takes(makeUpdate("f", 1, "birds", 30, 0), false) // within the interval of the last
	now = now.Add(m.cfg.Interval)
	m.Tick(now)
	takes(makeUpdate("f", 1, "birds", 30, 0), true)
	takes(makeUpdate("g", 1, "birds", 30, 0), false)
	now = now.Add(m.cfg.Interval)
	m.Tick(now)
	takes(makeUpdate("g", 1, "birds", 30, 0), true)

	// Our own always has room, and goes for nobody.
	for seq := range uint64(5) {
		m.Offer(now, makeUpdate("a", seq+1, fmt.Sprint("own ", seq), 30, 0))
	}
	if len(m.live) != 5 {
		t.Errorf("%d held, of which 5 are ours", len(m.live))
	}
	takes(makeUpdate("b", 9, "chess", 30, 0), false) // there was no room for the last one of it

	// Who does not tell skills is asked only if there is room at all.
	asks(&protocol.Have{IDs: []protocol.UpdateID{{Author: id("q"), Seq: 1}}}, 0)
	m.Withdraw(now, "own 0")
	m.Withdraw(now, "own 1")
	asks(&protocol.Have{IDs: []protocol.UpdateID{{Author: id("q"), Seq: 1}}}, 1)

	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again, _ := quiet(nil)
	if err := again.Restore(b, func(protocol.Digest) ([]byte, bool) { return nil, false }); err != nil || !again.Chose() {
		t.Errorf("after a restart it did not choose: %v", err)
	}
}

// A machine that is started with less room than it had lets go of what it valued least.
func TestLessRoomThanBefore(t *testing.T) {
	m, say := quiet(nil)
	m.Handle(genesis, mesh.Event{Kind: mesh.Joined, Peer: id("p")})
	bodies := map[protocol.Digest][]byte{}
	for i := range 9 {
		u := strangeUpdate(i, 1, fmt.Sprint("skill ", i%3), 30+i)
		bodies[u.Digest] = u.Body
		say(genesis, id("p"), u)
		m.Judge(genesis, u.ID, protocol.Folded, int64(i))
	}
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ live, versions, want int }{{9, 2, 6}, {4, 3, 4}, {4, 1, 3}} {
		less, _ := quiet(func(c *Config) { c.MaxLive, c.Versions = tt.live, tt.versions })
		if err := less.Restore(b, func(d protocol.Digest) ([]byte, bool) { return bodies[d], true }); err != nil {
			t.Fatal(err)
		}
		a := less.Tick(genesis)
		if len(less.live) != tt.want || len(a.Drop) != 9-tt.want {
			t.Errorf("%+v: %d held, %d dropped", tt, len(less.live), len(a.Drop))
		}
		last, _ := stranger(8)
		if less.live[protocol.UpdateID{Author: last, Seq: 1}] == nil {
			t.Errorf("%+v: the most valuable is gone", tt)
		}
	}
}

// A list in which nothing was of interest is not asked for again, until what we hold is worth less.
func TestAgreedLists(t *testing.T) {
	m, say := quiet(func(c *Config) { c.MaxLive = 1 })
	now := genesis
	m.Handle(now, mesh.Event{Kind: mesh.Joined, Peer: id("p")})
	say(now, id("p"), &protocol.Hello{Version: 2, Model: model})
	ours, theirs := makeUpdate("b", 1, "chess", 30, 0), makeUpdate("c", 1, "music", 30, 0)
	say(now, id("p"), ours)
	ids := []protocol.UpdateID{theirs.ID}
	digest := func() int { return len(say(now, id("p"), &protocol.Have{Sum: protocol.SumIDs(ids)}).Send) }
	if n := digest(); n != 2 {
		t.Errorf("to a digest that is not ours %d messages, want our list and the question for theirs", n)
	}
	say(now, id("p"), &protocol.Have{IDs: ids, Tags: []protocol.Tag{protocol.TagOf("music")}})
	if n := digest(); n != 0 {
		t.Errorf("to a list that is of no interest %d messages", n)
	}
	m.Judge(now, ours.ID, protocol.Refused, 0)
	if n := digest(); n != 2 {
		t.Errorf("once there may be room, %d messages", n)
	}
}
