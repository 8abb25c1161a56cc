package mesh

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// turns draws who is central in a thousand terms, each knowing who was in the terms before.
func turns(seed string, weights []uint8, wait bool) (count []int) {
	last := make([]uint64, len(weights))
	count = make([]int, len(weights))
	index := map[protocol.PeerID]int{}
	var before [2]protocol.Digest // of the last term, and of the one before
	for e := uint64(1000); e < 2000; e++ {
		var cs []Candidate
		for i, w := range weights {
			c := Candidate{ID: protocol.PeerID(fmt.Sprint(seed, "-", i)), Weight: w, Waited: e - last[i]}
			if !wait {
				c.Waited = 1
			}
			index[c.ID] = i
			cs = append(cs, c)
		}
		first := Order(TurnSeed(protocol.Digest{1}, Term(e), before[1]), cs)[0]
		last[index[first]] = e
		count[index[first]]++
		before[0], before[1] = protocol.Sum([]byte(first)), before[0]
	}
	return count
}

// unfair is how far the worst share is from what the weights promise.
func unfair(count []int, weights []uint8) (worst float64) {
	sum := 0
	for _, w := range weights {
		sum += int(w)
	}
	for i, n := range count {
		worst = max(worst, math.Abs(float64(n)*float64(sum)/float64(weights[i])/1000-1))
	}
	return worst
}

func TestTurnsAreFair(t *testing.T) {
	equals := func(n int) []uint8 { return slices.Repeat([]uint8{1}, n) }
	drawn := 0.0
	for _, c := range []struct {
		weights []uint8
		most    float64
	}{
		{equals(3), 0.2}, {equals(8), 0.2}, {equals(16), 0.2}, {equals(32), 0.2}, {equals(48), 0.2}, {equals(64), 0.2},
		{slices.Repeat([]uint8{255}, 16), 0.2}, {[]uint8{1, 1, 2, 4}, 0.2}, {[]uint8{10, 20, 30, 40, 50}, 0.2},
	} {
		worst := 0.0
		for seed := range 3 {
			worst = max(worst, unfair(turns(fmt.Sprint(seed), c.weights, true), c.weights))
		}
		t.Logf("%d devices of weights %v…: no share is off by more than %.0f %%", len(c.weights), c.weights[:3], 100*worst)
		if worst > c.most {
			t.Errorf("that is more than %.0f %%", 100*c.most)
		}
	}
	for seed := range 3 {
		drawn = max(drawn, unfair(turns(fmt.Sprint(seed), equals(16), false), equals(16)))
	}
	t.Logf("16 devices, if who had a turn is forgotten: %.0f %%", 100*drawn)
	if drawn <= 0.2 {
		t.Errorf("turns that forget who had one are as fair: %.0f %%", 100*drawn)
	}
}

func TestOrder(t *testing.T) {
	var cs []Candidate
	for i := range 40 {
		cs = append(cs, Candidate{ID: protocol.PeerID(fmt.Sprint("peer ", i)), Weight: uint8(i % 7), Waited: uint64(i)})
	}
	seed := TurnSeed(protocol.Digest{1}, 29_000_000, protocol.Digest{2})
	first := Order(seed, cs)
	// Every implementation has to come to these.
	if want := []protocol.PeerID{"peer 34", "peer 39", "peer 33", "peer 26"}; !slices.Equal(first, want) {
		t.Errorf("%q, want %q", first, want)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		r.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
		if got := Order(seed, cs); !slices.Equal(got, first) {
			t.Fatalf("in another order of candidates: %q", got)
		}
	}
	rest := slices.DeleteFunc(slices.Clone(cs), func(c Candidate) bool { return c.ID == first[1] })
	if got := Order(seed, rest); !slices.Equal(got[:3], []protocol.PeerID{first[0], first[2], first[3]}) {
		t.Errorf("without the second: %q of %q", got, first)
	}
	for _, other := range []protocol.Digest{
		TurnSeed(protocol.Digest{9}, 29_000_000, protocol.Digest{2}),
		TurnSeed(protocol.Digest{1}, 29_000_001, protocol.Digest{2}),
		TurnSeed(protocol.Digest{1}, 29_000_000, protocol.Digest{3}),
	} {
		if slices.Equal(Order(other, cs), first) {
			t.Error("another model, term or alignment gives the same ranks")
		}
	}
	if got := Order(seed, []Candidate{{ID: "a"}, {ID: "b", Weight: 1}}); !slices.Equal(got, []protocol.PeerID{"b"}) {
		t.Errorf("of one that cannot and one that can: %q", got)
	}
}

func TestLog2(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for i := range 1000 {
		n := r.Uint64() >> (i % 64)
		if n == 0 {
			n = 1
		}
		if got, want := float64(log2(n))/(1<<logBits), math.Log2(float64(n)); math.Abs(got-want) > 1e-10 {
			t.Fatalf("log2(%d) = %v, want %v", n, got, want)
		}
	}
}

func TestTerms(t *testing.T) {
	now := time.Date(2027, 1, 15, 8, 0, 59, 999, time.UTC)
	e := TermAt(now)
	if e != 30_000_000 || !e.Start().Equal(now.Truncate(time.Minute)) || TermAt(e.Start()) != e || TermAt(e.Start().Add(-1)) != e-1 {
		t.Errorf("term %d from %v", e, e.Start())
	}
	if d := e.Due(3).Sub(e.Start()); d != 30*time.Second {
		t.Errorf("rank 3 waits %v", d)
	}
	if TermAt(time.Unix(-1e9, 0)) != 0 {
		t.Error("a clock before the first term")
	}
}
