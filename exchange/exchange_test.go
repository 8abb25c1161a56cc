package exchange

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// storm runs four machines through loss, repetition, delay, partitions and restarts, then lets them
// be, and returns the world.
func storm(t *testing.T, seed uint64) *world {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld()
	for _, name := range []string{"a", "b", "c", "d"} {
		w.add(name, func(c *Config) { c.Fanout = 2 })
	}
	w.fate = func() []time.Duration {
		switch p := rng.IntN(100); {
		case p < 25:
			return nil
		case p < 40:
			return []time.Duration{time.Duration(rng.Int64N(20e9)), time.Duration(rng.Int64N(60e9))}
		}
		return []time.Duration{time.Duration(rng.Int64N(8e9))}
	}
	var pairs [][2]string
	for i, n := range w.nodes {
		for _, o := range w.nodes[i+1:] {
			pairs = append(pairs, [2]string{n.name, o.name})
			w.meet(n.name, o.name)
		}
	}
	skills := []string{"music", "news", "maps", "birds", "chess"}
	for range 60 {
		n := w.nodes[rng.IntN(len(w.nodes))]
		switch p := rng.IntN(10); {
		case p < 6:
			w.offer(n.name, skills[rng.IntN(len(skills))], 50+rng.IntN(100), rng.Int64N(1000))
		case p < 7:
			w.restart(t, n)
			for _, o := range w.nodes { // the others saw it go and come
				if w.here[[2]string{o.name, n.name}] {
					w.left(o.name, n.name)
					w.meet(o.name, n.name)
				}
			}
		case p < 9:
			pair := pairs[rng.IntN(len(pairs))]
			if w.here[pair] {
				w.left(pair[0], pair[1])
				w.left(pair[1], pair[0])
			} else {
				w.meet(pair[0], pair[1])
			}
		default:
			for _, id := range slices.Clone(n.m.trials) {
				v := protocol.Verdict(1 + rng.IntN(2))
				w.do(n, n.m.Judge(w.now, id, v, rng.Int64N(500)))
			}
		}
		w.run(time.Duration(rng.Int64N(12e9)))
	}
	w.fate = nil
	for _, pair := range pairs {
		if !w.here[pair] {
			w.meet(pair[0], pair[1])
		}
	}
	w.run(10 * time.Minute)
	return w
}

// Whatever is lost, repeated or delayed, whoever parts or restarts: once it is calm everyone holds
// the same updates, the latest of each author and skill, and has folded each of the others' once.
func TestConvergence(t *testing.T) {
	for seed := range uint64(40) {
		w := storm(t, seed)
		latest := map[skillKey]protocol.UpdateID{}
		for _, n := range w.nodes {
			for _, id := range n.m.Held() {
				u := n.m.live[id].u
				if k := (skillKey{id.Author, u.Skill}); id.Seq > latest[k].Seq {
					latest[k] = id
				}
			}
		}
		var want []protocol.UpdateID
		for _, id := range latest {
			want = append(want, id)
		}
		slices.SortFunc(want, protocol.UpdateID.Compare)
		if len(want) < 8 {
			t.Fatalf("seed %d: only %d updates are live: the storm was none", seed, len(want))
		}
		for _, n := range w.nodes {
			if got := n.m.Held(); !slices.Equal(got, want) {
				t.Errorf("seed %d: %s holds %s, want %s", seed, n.name, readable(fmt.Sprint(got)), readable(fmt.Sprint(want)))
			}
			for _, id := range want {
				if id.Author != n.cfg.Self && n.folds[id] != 1 {
					t.Errorf("seed %d: %s folded %s %d times", seed, n.name, readable(id.String()), n.folds[id])
				}
			}
			for id, times := range n.folds {
				if times > 1 || id.Author == n.cfg.Self {
					t.Errorf("seed %d: %s folded %s %d times", seed, n.name, readable(id.String()), times)
				}
			}
			if len(n.m.wants) != 0 {
				t.Errorf("seed %d: %s still wants %d updates", seed, n.name, len(n.m.wants))
			}
			if len(n.bodies) != len(want) {
				t.Errorf("seed %d: the owner of %s keeps %d bodies, want %d", seed, n.name, len(n.bodies), len(want))
			}
		}
		if t.Failed() {
			return
		}
	}
}

// The same events at the same times give the same words, whatever order Go's maps are in.
func TestDeterminism(t *testing.T) {
	for seed := range uint64(4) {
		first := storm(t, seed).log.String()
		if again := storm(t, seed).log.String(); again != first {
			t.Fatalf("seed %d: two runs differ", seed)
		}
		if other := storm(t, seed+100).log.String(); other == first {
			t.Fatalf("seeds %d and %d give the same run", seed, seed+100)
		}
	}
}

// What an author's marks let through does not depend on the order in which updates come.
func TestMarksAreASet(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		skills := 1 + rng.IntN(100)
		var skill []string // by sequence, from one
		for range 1 + rng.IntN(180) {
			skill = append(skill, strconv.Itoa(rng.IntN(skills)))
		}
		latest := map[string]uint64{}
		for i, s := range skill {
			latest[s] = uint64(i + 1)
		}
		var want []mark
		for s, seq := range latest {
			want = append(want, mark{s, seq})
		}
		slices.SortFunc(want, func(a, b mark) int { return int(b.Seq) - int(a.Seq) })
		want = want[:min(maxSkills, len(want))]
		slices.SortFunc(want, func(a, b mark) int { return strings.Compare(a.Skill, b.Skill) })

		var au author
		order := append(rng.Perm(len(skill)), rng.Perm(len(skill))...) // and everything twice
		times := make([]int, len(skill))
		for _, i := range order {
			if au.accept(skill[i], uint64(i+1), 0) {
				times[i]++
			}
			if len(au.marks) > maxSkills || len(au.dead) > maxDead {
				t.Fatalf("seed %d: %d marks, %d dead", seed, len(au.marks), len(au.dead))
			}
		}
		if len(skill) <= maxDead && !slices.Equal(au.marks, want) {
			t.Fatalf("seed %d: marks %v, want %v", seed, au.marks, want)
		}
		if i := slices.IndexFunc(times, func(n int) bool { return n > 1 }); i >= 0 {
			t.Fatalf("seed %d: update %d accepted %d times", seed, i+1, times[i])
		}
	}
}

// quiet returns a machine, and a function that lets a peer say something to it.
func quiet(change func(*Config)) (*Machine, func(now time.Time, from protocol.PeerID, msg protocol.Message) Actions) {
	cfg := Config{Self: id("a"), Model: model, Rand: rand.New(rand.NewPCG(1, 2)), Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	m := New(cfg)
	return m, func(now time.Time, from protocol.PeerID, msg protocol.Message) Actions {
		return m.Handle(now, mesh.Event{Kind: mesh.Heard, Peer: from, Msg: msg})
	}
}

// stranger returns the i-th of many identities, without giving it a name in transcripts.
func stranger(i int) (protocol.PeerID, ed25519.PrivateKey) {
	seed := make([]byte, ed25519.SeedSize)
	binary.LittleEndian.PutUint64(seed, uint64(i))
	k := ed25519.NewKeyFromSeed(seed)
	return protocol.NewPeerID(k.Public().(ed25519.PublicKey)), k
}

func strangeUpdate(i int, seq uint64, skill string, size int) *protocol.Update {
	author, k := stranger(i)
	u := makeUpdate("x", seq, skill, size, 0)
	u.ID.Author = author
	u.Sign(k)
	return u
}

// A peer that talks without end is heard thirty-two times in an interval, and then again in the next.
func TestFlood(t *testing.T) {
	m, say := quiet(nil)
	now := genesis
	m.Handle(now, mesh.Event{Kind: mesh.Joined, Peer: id("b")})
	for interval := range 3 {
		folds := 0
		for i := range 500 {
			a := say(now, id("b"), makeUpdate("b", uint64(1+1000*interval+i), "music", 30, 0))
			folds += len(a.Fold)
		}
		if folds != messagesPerInterval {
			t.Errorf("interval %d: %d updates folded, want %d", interval, folds, messagesPerInterval)
		}
		now = now.Add(15 * time.Second)
	}
	p := m.Peers()[0]
	if p.Messages != 1500 || p.Ignored != 1500-3*messagesPerInterval {
		t.Errorf("%d messages and %d ignored", p.Messages, p.Ignored)
	}
}

// What we asked for is not counted, or a peer could not give all that we want at once. When there is
// more than fits into one Want, the rest is asked for when that has come.
func TestNewcomerCatchesUp(t *testing.T) {
	w := newWorld()
	w.add("a", nil)
	w.add("b", nil)
	const skills = maxSkills
	b := w.node("b")
	w.meet("b", "x")
	for i := range 3 {
		for s := range skills {
			if w.now = w.now.Add(time.Second); s%16 == 0 {
				w.now = w.now.Add(15 * time.Second) // within what b hears of x
			}
			u := strangeUpdate(i, uint64(s+1), fmt.Sprint("skill ", s), 40)
			w.do(b, b.m.Handle(w.now, mesh.Event{Kind: mesh.Heard, Peer: id("x"), Msg: u}))
		}
	}
	if n := len(b.m.Held()); n != 3*skills {
		t.Fatalf("b holds %d updates, want %d", n, 3*skills)
	}
	w.meet("a", "b")
	for len(w.queue) > 0 {
		w.step(w.now)
	}
	if n := len(w.node("a").m.Held()); n != 3*skills {
		t.Errorf("a holds %d updates without any time having passed, want %d", n, 3*skills)
	}
}

// Nobody is given more than so many bytes in an interval, and everybody is given something.
func TestServing(t *testing.T) {
	m, say := quiet(nil)
	var ids []protocol.UpdateID
	for i := range 12 {
		u := makeUpdate("a", m.NextSeq(), fmt.Sprint("skill ", i), protocol.MaxBody, 0)
		ids = append(ids, u.ID)
		m.Offer(genesis, u)
	}
	m.Handle(genesis, mesh.Event{Kind: mesh.Joined, Peer: id("b")})
	for interval := range 2 {
		now := genesis.Add(time.Duration(interval) * 15 * time.Second)
		served := 0
		for range 2 {
			served += len(say(now, id("b"), &protocol.Want{IDs: ids}).Send)
		}
		if want := servedPerInterval / protocol.MaxBody; served != want {
			t.Errorf("interval %d: %d updates served, want %d", interval, served, want)
		}
	}
}

// Beyond MaxHeld the least valuable go first: the harmful, the useless, the untried, then those that
// gained least. Our own stay, and what was let go is neither asked for nor folded again.
func TestLettingGo(t *testing.T) {
	m, say := quiet(func(c *Config) { c.MaxHeld = 600 })
	for _, name := range []string{"b", "c", "d", "e", "f", "g"} {
		m.Handle(genesis, mesh.Event{Kind: mesh.Joined, Peer: id(name)})
	}
	m.Offer(genesis, makeUpdate("a", 1, "own", 100, 0))
	us := map[string]*protocol.Update{}
	for _, name := range []string{"b", "c", "d", "e", "f"} {
		us[name] = makeUpdate(name, 1, "skill", 100, 0)
		if a := say(genesis, id(name), us[name]); len(a.Fold) != 1 || len(a.Drop) != 0 {
			t.Fatalf("%s: %d folded, %d dropped", name, len(a.Fold), len(a.Drop))
		}
	}
	m.Judge(genesis, us["b"].ID, protocol.Folded, 10)
	m.Judge(genesis, us["c"].ID, protocol.Harmful, -10)
	m.Judge(genesis, us["d"].ID, protocol.Folded, 900)
	m.Judge(genesis, us["e"].ID, protocol.Refused, -50)
	var dropped []string
	for seq := uint64(1); seq <= 6; seq++ { // each of another skill of g's, and never tried
		a := say(genesis, id("g"), makeUpdate("g", seq, fmt.Sprint("skill ", seq), 100, 0))
		if len(a.Fold) != 1 {
			t.Errorf("g/%d is not folded", seq)
		}
		for _, id := range a.Drop {
			dropped = append(dropped, readable(id.String()))
		}
	}
	if want := []string{"c/1", "e/1", "f/1", "g/1", "g/2", "g/3"}; !slices.Equal(dropped, want) {
		t.Errorf("dropped %v, want %v", dropped, want)
	}
	a := m.Offer(genesis, makeUpdate("a", 2, "own too", 400, 0))
	if len(a.Drop) != 4 || readable(a.Drop[3].String()) != "b/1" || m.bytes != 600 {
		t.Errorf("for an update of our own: dropped %v, %d bytes held", readable(fmt.Sprint(a.Drop)), m.bytes)
	}
	if a := m.Offer(genesis, makeUpdate("a", 3, "own as well", 400, 0)); len(a.Drop) != 1 || m.bytes != 900 {
		t.Errorf("our own alone are too much: dropped %v, %d bytes held", readable(fmt.Sprint(a.Drop)), m.bytes)
	}
	if a := say(genesis, id("b"), &protocol.Have{IDs: []protocol.UpdateID{us["c"].ID}}); len(a.Send) != 0 {
		t.Errorf("asks for what it let go: %v", a.Send)
	}
	if a := say(genesis, id("b"), us["c"]); len(a.Fold) != 0 {
		t.Error("folds what it let go")
	}
}

// However many peers, authors, skills and names there are, what is kept has an end.
func TestBounds(t *testing.T) {
	m, say := quiet(func(c *Config) { c.Versions = maxLive })
	now := genesis
	for i := range maxPeers + 100 {
		p, _ := stranger(1_000_000 + i)
		m.Handle(now, mesh.Event{Kind: mesh.Joined, Peer: p})
	}
	if n := len(m.Peers()); n != maxPeers {
		t.Fatalf("%d peers", n)
	}
	gossip, liar := m.Peers()[0].ID, m.Peers()[1].ID

	// Names of updates that do not exist cost no more than what one peer may be asked for.
	for round := range 40 {
		now = now.Add(time.Second)
		var ids []protocol.UpdateID
		author, _ := stranger(2_000_000 + round)
		for seq := range uint64(protocol.MaxHave) {
			ids = append(ids, protocol.UpdateID{Author: author, Seq: seq + 1})
		}
		say(now, liar, &protocol.Have{IDs: ids})
		if len(m.wants) > protocol.MaxWant {
			t.Fatalf("%d wants", len(m.wants))
		}
	}
	now = now.Add(time.Minute)
	m.Tick(now)
	if len(m.wants)+m.in.waiting+len(m.in.awaited) != 0 {
		t.Errorf("%d wants after their time", len(m.wants))
	}

	drops := 0
	for i := range maxAuthors + 300 {
		now = now.Add(m.cfg.Interval)
		a := say(now, gossip, strangeUpdate(i, 1, "skill", 30))
		if len(a.Fold) != 1 {
			t.Fatalf("update of author %d is not folded", i)
		}
		drops += len(a.Drop)
		switch {
		case i%7 == 0:
			m.Judge(now, a.Fold[0].ID, protocol.Folded, 5)
		case i%16 != 1: // and makes room
			m.Judge(now, a.Fold[0].ID, protocol.Refused, 0)
		}
	}
	if len(m.live) != maxLive || drops != maxAuthors+300-maxLive {
		t.Errorf("%d live updates, %d dropped", len(m.live), drops)
	}
	if len(m.authors) != maxAuthors {
		t.Errorf("%d authors", len(m.authors))
	}
	useful := 0
	for _, s := range m.Ledger() {
		useful += s.Folded
	}
	if useful != (maxAuthors+300+6)/7 {
		t.Errorf("%d of those who were of use are remembered, want all %d", useful, (maxAuthors+300+6)/7)
	}
	untried := 0
	for i := range maxAuthors + 300 {
		if i%7 != 0 && i%16 == 1 {
			untried++
		}
	}
	if len(m.trials) != untried {
		t.Errorf("%d trials, want %d", len(m.trials), untried)
	}
	if h := m.haveIDs(); len(h) > protocol.MaxHave {
		t.Errorf("a Have of %d", len(h))
	}

	// One author has so many skills and no more, and so do we.
	for seq := uint64(2); seq < 200; seq++ {
		now = now.Add(m.cfg.Interval)
		say(now, gossip, strangeUpdate(maxAuthors+299, seq, fmt.Sprint("skill ", seq), 30))
		m.Offer(now, makeUpdate("a", m.NextSeq(), fmt.Sprint("skill ", seq), 30, 0))
	}
	prolific, _ := stranger(maxAuthors + 299)
	for _, author := range []protocol.PeerID{prolific, id("a")} {
		held := slices.DeleteFunc(m.Held(), func(id protocol.UpdateID) bool { return id.Author != author })
		if len(held) != maxSkills || held[0].Seq+maxSkills-1 != held[maxSkills-1].Seq {
			t.Errorf("%d skills of one author held", len(held))
		}
	}
	if len(m.Worth()) != 198 {
		t.Errorf("%d of our own remembered", len(m.Worth()))
	}

	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a full machine is %d bytes", len(b))
}

// Both of two updates that their author gave one name would be folded if the name did not count.
func TestEquivocation(t *testing.T) {
	m, say := quiet(nil)
	m.Handle(genesis, mesh.Event{Kind: mesh.Joined, Peer: id("b")})
	one, two := makeUpdate("b", 4, "music", 50, 0), makeUpdate("b", 4, "news", 60, 0)
	if n := len(say(genesis, id("b"), one).Fold) + len(say(genesis, id("b"), two).Fold); n != 1 {
		t.Errorf("%d folded under one name", n)
	}
	say(genesis, id("b"), makeUpdate("b", 5, "music", 50, 0))
	if n := len(say(genesis, id("b"), two).Fold); n != 0 {
		t.Error("folded under the name of one that was superseded")
	}
}

func TestRestoreRefuses(t *testing.T) {
	m, _ := quiet(nil)
	m.Offer(genesis, makeUpdate("a", 1, "music", 50, 0))
	good, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	none := func(protocol.Digest) ([]byte, bool) { return nil, false }
	for name, b := range map[string]string{
		"nothing":        "",
		"half of it":     string(good[:len(good)/2]),
		"a later one":    strings.Replace(string(good), `"Version":2`, `"Version":3`, 1),
		"another's":      strings.Replace(string(good), `"Self":"`+string(id("a")), `"Self":"`+string(id("b")), 1),
		"a broken frame": strings.Replace(string(good), `"Announce":"`, `"Announce":"AAAA`, 1),
		"out of order":   strings.Replace(string(good), `"Dead":null`, `"Dead":[3,2]`, 1),
	} {
		fresh, _ := quiet(nil)
		if b == string(good) {
			t.Fatalf("%s is the same", name)
		}
		if err := fresh.Restore([]byte(b), none); err == nil || fresh.NextSeq() != 1 {
			t.Errorf("%s: %v, next is %d", name, err, fresh.NextSeq())
		}
	}
	// Without the body an update is not held, nor with another; but its sequence is not used again.
	for _, bodies := range []func(protocol.Digest) ([]byte, bool){
		none, func(protocol.Digest) ([]byte, bool) { return []byte("another"), true },
	} {
		fresh, _ := quiet(nil)
		if err := fresh.Restore(good, bodies); err != nil || fresh.NextSeq() != 2 || len(fresh.Held()) != 0 {
			t.Errorf("%v, next is %d, holds %v", err, fresh.NextSeq(), fresh.Held())
		}
	}
}

// Offering what is not ours, of another model or of a used sequence is our own bug.
func TestOfferPanics(t *testing.T) {
	m, _ := quiet(nil)
	m.Offer(genesis, makeUpdate("a", 3, "music", 50, 0))
	foreign := makeUpdate("a", 4, "music", 50, 0)
	foreign.Model = another
	for name, u := range map[string]*protocol.Update{
		"another's": makeUpdate("b", 4, "music", 50, 0),
		"a model's": foreign,
		"a used":    makeUpdate("a", 3, "news", 50, 0),
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			m.Offer(genesis, u)
		}()
	}
}

// The conversation never sees a float, nor what learns.
func TestNoFloats(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		seen++
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if strings.HasPrefix(n.Name, "float") || strings.HasPrefix(n.Name, "Float") {
					t.Errorf("%s: %s", f.Name(), n.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.FLOAT {
					t.Errorf("%s: %s", f.Name(), n.Value)
				}
			case *ast.ImportSpec:
				if strings.Contains(n.Path.Value, "/learning") || strings.Contains(n.Path.Value, "/model") {
					t.Errorf("%s imports %s", f.Name(), n.Path.Value)
				}
			}
			return true
		})
	}
	if seen == 0 {
		t.Fatal("no files")
	}
}

// Whatever frames come, one after another from two peers, nothing is held or folded that its author
// did not sign, and whatever is said in return can be said.
func FuzzHear(f *testing.F) {
	var good []byte
	for _, msg := range []protocol.Message{
		&protocol.Hello{Version: 1, Model: model}, makeUpdate("b", 1, "music", 20, 0), makeUpdate("b", 3, "music", 20, 0),
		&protocol.Have{IDs: []protocol.UpdateID{{Author: id("b"), Seq: 2}}}, &makeUpdate("b", 2, "news", 20, 0).Announce,
		&protocol.Want{IDs: []protocol.UpdateID{{Author: id("a"), Seq: 1}}}, &protocol.Want{},
		&protocol.Answer{ID: protocol.UpdateID{Author: id("a"), Seq: 1}, Verdict: protocol.Folded, Gain: 1},
	} {
		b, err := protocol.Encode(msg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte{byte(len(b)), byte(len(b) >> 8)}, b...))
		good = append(append(good, byte(len(b)), byte(len(b)>>8)), b...)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, say := quiet(nil)
		m.Offer(genesis, makeUpdate("a", 1, "own", 20, 0))
		now := genesis
		for _, name := range []string{"b", "c"} {
			m.Handle(now, mesh.Event{Kind: mesh.Joined, Peer: id(name)})
		}
		for i := 0; len(b) >= 2; i++ {
			n := min(int(b[0])|int(b[1])<<8, len(b)-2)
			msg, err := protocol.Decode(b[2 : 2+n])
			b = b[2+n:]
			if err != nil {
				continue
			}
			now = now.Add(time.Second)
			for _, a := range []Actions{say(now, id([]string{"b", "c"}[i%2]), msg), m.Tick(now)} {
				for _, u := range a.Fold {
					if err := u.Verify(); err != nil || u.Model != model {
						t.Fatalf("folds %v: %v", u, err)
					}
				}
				for _, e := range a.Send {
					if _, err := protocol.Encode(e.Msg); err != nil {
						t.Fatalf("says %v: %v", e, err)
					}
				}
			}
		}
		state, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again, _ := quiet(nil)
		if err := again.Restore(state, func(d protocol.Digest) ([]byte, bool) {
			for _, e := range m.live {
				if e.u.Digest == d {
					return e.u.Body, true
				}
			}
			return nil, false
		}); err != nil || !slices.Equal(again.Held(), m.Held()) {
			t.Fatalf("restored: %v, holds %v, want %v", err, again.Held(), m.Held())
		}
	})
}
