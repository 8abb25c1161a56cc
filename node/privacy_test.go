package node

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/protocol"
)

// What a peer's skill is worth here is measured on the owner's own events, so nobody is told: whoever sends one skill
// for each pin that there may be would read the owner's off the answers. One who shares all he has does answer, and
// then two owners can be told apart who differ in their pins alone.
func TestAnswersTellNothingOfTheOwner(t *testing.T) {
	pins := []string{"4711", "9302", "1586"}
	var guesses []*protocol.Update
	for _, pin := range pins {
		guesses = append(guesses, taught(t, 1, "guess", bytes.ReplaceAll(text("diary", 2000, 9), []byte("4711"), []byte(pin))))
	}
	ask := func(share Share, pin string) (gains []int64) {
		n := start(t, 0, Config{Share: share}, nil)
		meet(n, 1)
		n.Observe(noon, bytes.ReplaceAll(text("diary", 3000, 1), []byte("4711"), []byte(pin)))
		for i, u := range guesses {
			for _, e := range hear(n, 1, resigned(1, u, uint64(i+1), u.Body)).Send {
				if an, ok := e.Msg.(*protocol.Answer); ok {
					gains = append(gains, an.Gain)
				}
			}
		}
		return gains
	}
	for _, share := range []Share{ShareNone, ShareSkills} {
		if gains := ask(share, pins[0]); len(gains) > 0 {
			t.Errorf("an owner who shares %s answers %v", share, gains)
		}
	}
	if one, other := ask(ShareAll, pins[0]), ask(ShareAll, pins[1]); len(one) != len(pins) || slices.Equal(one, other) {
		t.Errorf("of two owners one answers %v and the other one %v: this is no oracle, and the test shows nothing", one, other)
	}
}

// What the owner marked for nobody, for his swarm or for all leaves the device or does not, on an open mesh and on a closed one.
func TestPolicies(t *testing.T) {
	for _, c := range []struct {
		share  Share
		swarm  string
		terms  Policy // empty for none
		leaves bool
	}{
		{share: ShareNone}, {share: ShareNone, swarm: "home"},
		{share: ShareNone, terms: Private}, {share: ShareAll, terms: Private}, {share: ShareSkills, swarm: "home", terms: Private},
		{share: ShareNone, terms: Swarm}, {share: ShareAll, terms: Swarm},
		{share: ShareNone, swarm: "home", terms: Swarm, leaves: true},
		{share: ShareNone, terms: Public, leaves: true}, {share: ShareNone, swarm: "home", terms: Public, leaves: true},
		{share: ShareSkills, leaves: true}, {share: ShareAll, leaves: true},
	} {
		var d disk
		n := start(t, 0, Config{Share: c.share, Swarm: c.swarm}, &d)
		d.keep(t, meet(n, 1))
		d.keep(t, do(t)(n.Focus(noon, "kitchen")))
		var sent []protocol.Envelope
		if c.terms != "" {
			a := do(t)(n.SetTerms(noon, "kitchen", Terms{Policy: c.terms}))
			d.keep(t, a)
			sent = append(sent, a.Send...)
		}
		_, a := n.Observe(noon, text("kitchen", 600, 1))
		a.Add(do(t)(n.Focus(noon, "")))
		a.Add(n.Publish(noon))
		d.keep(t, a)
		sent = append(sent, a.Send...)
		if got := len(updates(sent)) > 0; got != c.leaves {
			t.Errorf("%+v: it leaves: %v", c, got)
		}
		// After a restart the owner's word holds, and on an open mesh what is for the swarm is offered to nobody any more.
		for _, swarm := range []string{c.swarm, ""} {
			again := start(t, 0, Config{Share: c.share, Swarm: swarm}, &d)
			s := again.Learner().Skill("", "kitchen")
			if c.terms != "" && again.Terms(s).Policy != c.terms {
				t.Errorf("%+v: on terms %+v after a restart", c, again.Terms(s))
			}
			if got, want := len(again.Conversation().Held()) > 0, c.leaves && !(c.terms == Swarm && swarm == ""); got != want {
				t.Errorf("%+v: in swarm %q it is offered: %v", c, swarm, got)
			}
		}
	}
}

// Who leaves a swarm takes along what he learnt there, and tells the next mesh nothing of what was said there.
func TestLeavingASwarm(t *testing.T) {
	u := taught(t, 1, "music", text("music", 800, 1))
	for _, c := range []struct {
		then string
		held int
	}{{"home", 1}, {"", 0}, {"office", 0}} {
		for _, how := range []string{"journal", "snapshot"} {
			var d disk
			n := start(t, 0, Config{Swarm: "home"}, &d)
			d.keep(t, meet(n, 1))
			d.keep(t, hear(n, 1, u))
			if how == "snapshot" {
				if err := snapshot(n, &d); err != nil {
					t.Fatal(err)
				}
			}
			again := start(t, 0, Config{Swarm: c.then}, &d)
			if got := len(again.Conversation().Held()); got != c.held {
				t.Errorf("%s: in swarm %q it offers %d updates of another's, want %d", how, c.then, got, c.held)
			}
			if again.Learner().Skill(string(u.ID.Author), "music") == nil {
				t.Error("what was learnt is gone")
			}
		}
	}
}

// What was written before there were terms is read as it was meant.
func TestOldWordOnSharing(t *testing.T) {
	for share, want := range map[Share][2]Policy{ShareNone: {Private, Public}, ShareSkills: {Public, Public}} {
		for i, flag := range []string{"0", "1"} {
			n := start(t, 0, Config{Share: share}, nil)
			do(t)(n.Focus(noon, "kitchen"))
			if err := n.Replay(record(recShare, []byte(flag), []byte("kitchen")), nil); err != nil {
				t.Fatal(err)
			}
			if got := n.Terms(n.Learner().Skill("", "kitchen")).Policy; got != want[i] {
				t.Errorf("shares %s, %s: %s, want %s", share, flag, got, want[i])
			}
		}
	}
}

// A budget is spent before anything is sent, is never exceeded, survives restarts, changes of mind and forgetting, and
// what stops is said. A skill that was announced without noise gets none.
func TestBudget(t *testing.T) {
	terms := Terms{Policy: Public, Epsilon: 8, Delta: 1e-5, Versions: 3}
	config := func() Config { return Config{PublishEvery: 64, Chance: rand.New(rand.NewPCG(1, 1))} }
	var d disk
	n := start(t, 0, config(), &d)
	d.keep(t, do(t)(n.Focus(noon, "kitchen")))
	d.keep(t, do(t)(n.Measured("kitchen", 0.5)))
	d.keep(t, do(t)(n.SetTerms(noon, "kitchen", terms)))
	bodies := map[protocol.Digest]bool{}
	var last Told
	for step := range 6 {
		_, a := n.Observe(noon, text("kitchen", 64<<step, uint64(step)))
		d.keep(t, a)
		s := n.Learner().Skill("", "kitchen")
		told := n.Told(s)
		for _, u := range updates(a.Send) {
			bodies[u.Digest] = true
			if u.Gain != 0 || u.Events&(u.Events-1) != 0 {
				t.Errorf("the head tells a gain of %d and %d events", u.Gain, u.Events)
			}
			if told.Epsilon <= last.Epsilon || told.Left != last.Left-1 && last.Epsilon > 0 {
				t.Errorf("after an announcement: %+v, before it %+v", told, last)
			}
		}
		last = told
		if told.Epsilon > terms.Epsilon {
			t.Errorf("ε %v of %v is spent", told.Epsilon, terms.Epsilon)
		}
		if step%2 == 0 { // after any of them the device may have been killed, and what was sent is not sent twice
			n = start(t, 0, config(), &d)
		}
		if got := n.Told(n.Learner().Skill("", "kitchen")); got != told {
			t.Errorf("after a restart %+v is told, before it %+v", got, told)
		}
	}
	if len(bodies) != terms.Versions || last.Left != 0 || last.Epsilon < 0.99*terms.Epsilon {
		t.Errorf("%d versions, %+v", len(bodies), last)
	}
	// Nothing but a larger budget helps.
	for _, try := range []func(){
		func() { d.keep(t, do(t)(n.SetTerms(noon, "kitchen", terms))) },
		func() {
			d.keep(t, do(t)(n.SetShared(noon, "kitchen", false)))
			d.keep(t, do(t)(n.SetTerms(noon, "kitchen", terms)))
		},
		func() {
			d.keep(t, do(t)(n.Focus(noon, "")))
			d.keep(t, do(t)(n.Forget(noon, "", "kitchen")))
			d.keep(t, do(t)(n.Focus(noon, "kitchen")))
			d.keep(t, do(t)(n.SetTerms(noon, "kitchen", terms)))
		},
	} {
		try()
		_, a := n.Observe(noon, text("kitchen", 900, 77))
		d.keep(t, a)
		if len(updates(a.Send)) > 0 || n.Told(n.Learner().Skill("", "kitchen")).Left != 0 {
			t.Error("a spent budget came back")
		}
	}
	d.keep(t, do(t)(n.SetShared(noon, "kitchen", true))) // as learn --share says
	if got := n.Terms(n.Learner().Skill("", "kitchen")); got.Epsilon != terms.Epsilon {
		t.Errorf("a general word took the budget away: %+v", got)
	}
	d.keep(t, do(t)(n.SetShared(noon, "kitchen", false)))
	if _, err := n.SetShared(noon, "kitchen", true); err == nil {
		t.Error("a general word let out without noise what had a budget")
	}
	d.keep(t, do(t)(n.SetTerms(noon, "kitchen", terms)))
	more := terms
	more.Epsilon = 16
	if a := do(t)(n.SetTerms(noon, "kitchen", more)); len(updates(a.Send)) != 1 {
		t.Error("the owner raised the budget, and nothing was announced")
	}

	plain := start(t, 0, config(), nil)
	do(t)(plain.Focus(noon, "kitchen"))
	plain.Observe(noon, text("kitchen", 600, 1))
	if a := do(t)(plain.SetShared(noon, "kitchen", true)); len(updates(a.Send)) != 1 {
		t.Fatal("it was not announced")
	}
	do(t)(plain.SetTerms(noon, "kitchen", terms))
	_, a := plain.Observe(noon, text("kitchen", 1400, 2))
	if told := plain.Told(plain.Learner().Skill("", "kitchen")); len(updates(a.Send)) > 0 || !math.IsInf(told.Epsilon, 1) {
		t.Errorf("what was told without noise has no bound, and %+v is said", told)
	}
	silent := start(t, 0, Config{PublishEvery: 64}, nil)
	do(t)(silent.Focus(noon, "kitchen"))
	do(t)(silent.SetTerms(noon, "kitchen", terms))
	if _, a := silent.Observe(noon, text("kitchen", 1400, 2)); len(updates(a.Send)) > 0 {
		t.Error("it was announced without chance to draw noise from")
	}
	for _, bad := range []Terms{{}, {Policy: "friends"}, {Policy: Public, Epsilon: -1, Delta: 1e-5}, {Policy: Public, Epsilon: math.NaN(), Delta: 1e-5},
		{Policy: Public, Epsilon: 1}, {Policy: Public, Epsilon: 1, Delta: 0.5}, {Policy: Public, Delta: 1e-5}, {Policy: Public, Epsilon: 1, Delta: 1e-5, Versions: -1}} {
		if _, err := silent.SetTerms(noon, "kitchen", bad); err == nil {
			t.Errorf("%+v was agreed to", bad)
		}
	}
}
