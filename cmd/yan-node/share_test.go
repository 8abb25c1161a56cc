package main

import (
	"strings"
	"testing"

	"github.com/yanmesh/yan/node"
)

// The owner says who may have a skill and what it may tell, reads it in plain words, and what was spent stays spent.
func TestSharing(t *testing.T) {
	home, model := newHome(t), pocket(t)
	at := []string{"--home", home, "--model", model}
	run := func(args ...string) string { return must(t, "", append(args, at...)...) }
	data := "text:" + file(t, "said.txt", prose(3000))
	run("learn", "--data", data, "--skill", "ferry")
	run("learn", "--data", data, "--skill", "tide")
	show := func(name string) skillReport { return decode[skillReport](t, run("skill", "show", name, "--json")) }
	held := func() int { return decode[statusReport](t, run("status", "--json")).Held }

	if s := show("ferry"); s.Policy != node.Private || s.Shared || held() != 0 || !strings.Contains(run("skill", "show", "ferry"), "nothing of it leaves this device") {
		t.Errorf("before anything was said: %+v", s)
	}
	if out := run("skill", "share", "ferry", "swarm"); !strings.Contains(out, "this device is in none") {
		t.Errorf("%q", out)
	}
	if s := show("ferry"); s.Policy != node.Swarm || s.Shared || held() != 0 || !strings.Contains(run("skill", "list"), "swarm (none here)") {
		t.Errorf("for a swarm, in none: %+v", s)
	}
	must(t, "", "swarm", "init", "--home", home)
	if s := show("ferry"); !s.Shared || !strings.Contains(run("skill", "show", "ferry"), "whoever is admitted") {
		t.Errorf("for a swarm, in one: %+v", s)
	}
	run("skill", "share", "ferry", "private")
	if s := show("ferry"); s.Policy != node.Private || s.Shared || held() != 0 {
		t.Errorf("private: %+v", s)
	}

	if out := run("skill", "share", "ferry", "sum"); !strings.Contains(out, "hidden term") {
		t.Errorf("%q", out)
	}
	if s := show("ferry"); s.Policy != node.Private || !s.Sum || s.Shared || held() != 0 || !strings.Contains(run("skill", "list"), "sum") {
		t.Errorf("for a sum: %+v", s)
	}

	out := run("skill", "share", "tide", "public", "--epsilon", "8", "--versions", "1")
	if !strings.Contains(out, "tells ε 8 of 8 at δ 1e-05") || !strings.Contains(out, "the budget is spent") || held() != 1 {
		t.Errorf("%q, %d held", out, held())
	}
	run("skill", "unshare", "tide")
	if s := show("tide"); s.Policy != node.Private || s.Boundless || s.Spent < 7.9 || s.Spent > 8 || held() != 0 {
		t.Errorf("unshared: %+v", s)
	}
	if out := run("skill", "share", "tide", "public", "--epsilon", "8", "--versions", "1"); !strings.Contains(out, "the budget is spent") || held() != 0 {
		t.Errorf("a spent budget came back: %q", out)
	}
	for _, args := range [][]string{
		{"ferry", "friends"}, {"ferry", "sum", "--epsilon", "1"}, {"ferry", "public", "--epsilon", "-1"}, {"ferry", "--versions", "2"}, {"ferry", "--epsilon", "1", "--delta", "2"}, {},
	} {
		if status, _, errs := yan(t, "", append(append([]string{"skill", "share"}, args...), at...)...); status != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d, %q", args, status, errs)
		}
	}
}
