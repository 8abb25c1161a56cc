package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// Gossip learns: nodes with one example each end nearly as good as the best line, whoever runs them. The control hears nobody.
func TestGossipRateLearns(t *testing.T) {
	worlds := map[int]*gossiping{}
	for _, workers := range []int{1, 3} {
		g, err := newGossip(3, 300, workers)
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			if err := g.run(); err != nil {
				t.Fatal(err)
			}
		}
		worlds[workers] = g
	}
	one, three := worlds[1], worlds[3]
	for i := range one.nodes {
		if one.nodes[i].now != three.nodes[i].now {
			t.Fatalf("node %d is another with three workers", i)
		}
	}
	if n := one.loop.Happened(); n < 2*300*59 {
		t.Errorf("%d things happened", n)
	}
	alone := *one
	alone.nodes = make([]gossiper, len(one.nodes))
	for i := range alone.nodes {
		n := &alone.nodes[i]
		n.x, n.y = one.nodes[i].x, one.nodes[i].y
		for range 60 {
			n.hear(&linear{})
		}
	}
	if got, control := one.wrong(), alone.wrong(); got > 0.09 || control < 0.2 {
		t.Errorf("%.1f %% wrong, alone %.1f %%", 100*got, 100*control)
	}
}

func TestGossipRateReports(t *testing.T) {
	run := func(args ...string) string {
		t.Helper()
		c := command()
		var b bytes.Buffer
		c.SetOut(&b)
		c.SetErr(&bytes.Buffer{})
		c.SetArgs(append([]string{"gossip-rate", "--nodes", "50", "--rounds", "20", "--seeds", "2"}, args...))
		if err := c.Execute(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var r rateReport
	if err := json.Unmarshal([]byte(run("--json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Errors) != 6 || r.Errors[0].Share.Mean != 1 || r.Errors[5].Round != 20 || !(r.Rate.Mean > 0) || r.Rate.Min > r.Rate.Max {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"100.0 %", "node-rounds a second", "1670"} {
		if got := run(); !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// BenchmarkGossip is what a node's round costs.
func BenchmarkGossip(b *testing.B) {
	g, err := newGossip(1, 4141, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += 4141 {
		if err := g.run(); err != nil {
			b.Fatal(err)
		}
	}
}
