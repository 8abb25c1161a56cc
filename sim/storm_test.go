package sim

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	worlds = flag.Int("worlds", 0, "how many random worlds TestStorm plays: if 0, 100, and 8 with the race detector; many thousands for a night")
	from   = flag.Uint64("from", 1, "the seed of the first of them")
)

// Nothing that can happen to a small world breaks a law in it. The worlds are different enough for that to say something: together they have
// all attacks, all faults and all that can become of what a peer taught.
func TestStorm(t *testing.T) {
	n := *worlds
	switch {
	case n == 0 && raced:
		n = 8
	case n == 0:
		n = 100
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for k := int(next.Add(1)) - 1; k < n && !t.Failed(); k = int(next.Add(1)) - 1 {
				seed := *from + uint64(k)
				o := Storm(seed)
				o.Workers = 1
				w, err := New(seed, o)
				if err == nil {
					err = w.Play(o.StormFor())
				}
				if err != nil {
					t.Errorf("%v; to see it again: go test ./sim -run '^TestStorm$' -worlds 1 -from %d", err, seed)
				}
				if k%1000 == 999 {
					t.Logf("%d worlds", k+1)
				}
			}
		})
	}
	all.Wait()
}

// Worlds differ in everything that can go wrong, and one seed is one world.
func TestStormsDiffer(t *testing.T) {
	attacks, shares, kinds := map[Attack]int{}, map[string]int{}, map[string]int{}
	for seed := range uint64(300) {
		o := Storm(seed)
		if a := Storm(seed); a.Weight() != o.Weight() || a.Talk != o.Talk || len(a.Devices) != len(o.Devices) {
			t.Fatalf("seed %d is two worlds", seed)
		}
		w, err := New(seed, o)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if n := len(o.Devices); n < 2 || n > 12 {
			t.Errorf("seed %d: %d devices", seed, n)
		}
		for _, d := range o.Devices {
			attacks[d.Attack]++
			shares[string(d.Share)]++
			for kind, is := range map[string]bool{"links": d.Links != nil, "speed": d.Speed > 0, "away": d.Away != nil, "visits": d.Visits != nil, "central": d.Central > 0} {
				if is {
					kinds[kind]++
				}
			}
		}
		for kind, is := range map[string]bool{"cell": w.cell(), "ring": !w.cell(), "room": o.Exchange.MaxLive > 0, "bytes": o.Exchange.MaxHeld > 0, "no central": o.Exchange.Central == 0, "loss": o.Links.Loss > 0, "churn": o.Faults.Churn > 0, "crashes": o.Faults.Crashes > 0, "partitions": len(o.Faults.Partitions) > 1} {
			if is {
				kinds[kind]++
			}
		}
	}
	for _, a := range append(Attacks(), "", Silent, Forge, Garble) {
		if attacks[a] < 5 {
			t.Errorf("attack %q: %d times", a, attacks[a])
		}
	}
	if len(shares) != 3 || len(kinds) != 14 {
		t.Errorf("shares %v, kinds %v", shares, kinds)
	}
	for kind, n := range kinds {
		if n < 20 {
			t.Errorf("%s: %d times", kind, n)
		}
	}
}
