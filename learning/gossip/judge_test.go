package gossip

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/learning/robust"
)

// A hill is what a node learns: its parameters go down to a place, of which its own examples know only roughly where it is.
type hill struct{ at []float32 }

func (h hill) loss(x []float32) float64 {
	var sum float64
	for i, v := range x {
		sum += float64(v-h.at[i]) * float64(v-h.at[i]) / 2
	}
	return sum
}

func (h hill) step(x []float32, rate float32) []float32 {
	y := slices.Clone(x)
	for i, v := range x {
		y[i] -= rate * (v - h.at[i])
	}
	return y
}

const (
	hillSize = 20
	spread   = 0.3 // of one node's examples, in a round
)

// A swarm learns one place among liars who know everything.
type swarm struct {
	rng             *rand.Rand
	honest, hostile int
	lie             func(before, now []float32, rng *rand.Rand) []float32
}

// run returns how far the honest are from the place at the end, on average, and which share of the honest and of the hostile is asked
// in the last third of the rounds.
func (s swarm) run(rounds int, judged bool) (far float64, asked [2]float64) {
	var judges []*Judge
	var could [2]float64
	place := slices.Repeat([]float32{3}, hillSize)
	at := make([][]float32, s.honest)
	hills, held := make([]hill, s.honest), make([]hill, s.honest)
	for i := range at {
		at[i] = make([]float32, hillSize)
		judges = append(judges, &Judge{
			Loss: func(x []float32) float64 { return hills[i].loss(x) },
			Held: func(x []float32) float64 { return held[i].loss(x) },
		})
	}
	for round := range rounds {
		now := make([][]float32, s.honest)
		for i := range now {
			hills[i], held[i] = hill{slices.Clone(place)}, hill{slices.Clone(place)}
			for k := range hillSize {
				hills[i].at[k] += float32(spread * (2*s.rng.Float64() - 1))
				held[i].at[k] += float32(spread * (2*s.rng.Float64() - 1))
			}
			now[i] = hills[i].step(at[i], 0.1)
		}
		next := make([][]float32, s.honest)
		for i := range now {
			var said []Saying
			set := [][]float32{now[i]}
			for j := range s.honest + s.hostile {
				x, kind := []float32(nil), 0
				if j == i {
					continue
				} else if j < s.honest {
					x = now[j]
				} else {
					x, kind = s.lie(at[i], now[i], s.rng), 1
				}
				set = append(set, x)
				name := fmt.Sprint(j)
				if judges[i].Asks(name) {
					said = append(said, Saying{name, x})
				}
				if round >= rounds*2/3 {
					could[kind]++
					if judges[i].Asks(name) {
						asked[kind]++
					}
				}
			}
			if judged {
				next[i] = judges[i].Merge(at[i], now[i], said)
			} else {
				next[i] = robust.Mean(set, nil)
			}
		}
		at = next
	}
	for _, x := range at {
		far += math.Sqrt(hill{place}.loss(x)*2/hillSize) / float64(s.honest)
	}
	return far, [2]float64{asked[0] / could[0], asked[1] / could[1]}
}

// Eleven of sixteen lie. A mean is theirs, and judges come to where they come without the liars, whom they ask no more.
func TestJudgesAreNotDeceived(t *testing.T) {
	lies := map[string]func(before, now []float32, rng *rand.Rand) []float32{
		"sign flip": func(before, now []float32, _ *rand.Rand) []float32 {
			x := slices.Clone(before)
			for i := range x {
				x[i] -= 2 * (now[i] - before[i])
			}
			return x
		},
		"noise": func(_, now []float32, rng *rand.Rand) []float32 {
			x := slices.Clone(now)
			for i := range x {
				x[i] += float32(20 * (2*rng.Float64() - 1))
			}
			return x
		},
		"far away": func(_, now []float32, _ *rand.Rand) []float32 { return slices.Repeat([]float32{-50}, len(now)) },
		"apart": func(before, now []float32, _ *rand.Rand) []float32 { // further along each one's own way
			x := slices.Clone(now)
			for i := range x {
				x[i] += 4 * (now[i] - before[i])
			}
			return x
		},
	}
	for name, lie := range lies {
		for seed := range uint64(3) {
			s := swarm{rng: rand.New(rand.NewPCG(seed, 1)), honest: 5, hostile: 11, lie: lie}
			far, asked := s.run(60, true)
			s.rng = rand.New(rand.NewPCG(seed, 1))
			if mean, _ := s.run(60, false); name != "apart" && mean < 0.5 {
				t.Errorf("%s: a mean comes within %.2f: a weak lie", name, mean)
			}
			if far > 0.1 {
				t.Errorf("%s, seed %d: %.2f away", name, seed, far)
			}
			if name == "noise" { // no longer than a few own steps it does no harm, so it is as good as a stranger
				continue
			}
			if asked[0] < 0.7 || asked[1] > asked[0]/2 {
				t.Errorf("%s, seed %d: asks %.2f of the honest and %.2f of the hostile", name, seed, asked[0], asked[1])
			}
		}
	}
}

// Nobody pulls further than so many of a node's own steps, and what is no vector of its size pulls nothing.
func TestNobodyPullsFurtherThanOwnSteps(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		before, own := bell(rng, 10), bell(rng, 10)
		same := func([]float32) float64 { return 1 } // so that everything is believed
		j := Judge{Loss: same, Held: same}
		said := []Saying{{"a", slices.Repeat([]float32{1e6}, 10)}, {"b", bell(rng, 10)}, {"c", []float32{1}}, {"d", nil},
			{"e", slices.Repeat([]float32{float32(math.NaN())}, 10)}, {"f", slices.Repeat([]float32{float32(math.Inf(-1))}, 10)}}
		got := j.Merge(before, own, said)
		moved, way := robust.Radius(own, [][]float32{got}, nil), robust.Radius(before, [][]float32{own}, nil)
		if !(moved > 0 && moved <= 6*way*(1+1e-5)) {
			t.Errorf("seed %d: moved by %v, where the own way was %v", seed, moved, way)
		}
		rng.Shuffle(len(said), func(a, b int) { said[a], said[b] = said[b], said[a] })
		k := Judge{Loss: same, Held: same}
		if again := k.Merge(before, own, said); !slices.Equal(again, got) {
			t.Errorf("seed %d: in another order it comes to something else", seed)
		}
	}
}

// Who knows few of the classes forgives others that they are different, and who knows all does not.
func TestIgnoranceForgives(t *testing.T) {
	before, own := make([]float32, 4), []float32{1, 0, 0, 0}
	other := []float32{-1.5, 1, 0, 0} // unlearns somewhat more than all of what was learnt
	loss := hill{[]float32{1, 0, 0, 0}}.loss
	for coverage, want := range map[float64]bool{0.2: true, 1: false} {
		mine := func(x []float32) float64 { return 0.2 * loss(x) }
		j := Judge{Loss: mine, Held: mine, Coverage: coverage}
		if got := j.Merge(before, own, []Saying{{"other", other}}); slices.Equal(got, own) == want {
			t.Errorf("coverage %v: %v", coverage, got)
		}
		if j.round = 2; j.Asks("other") != want {
			t.Errorf("coverage %v: asks again: %v", coverage, !want)
		}
	}
}

// By what was just learnt, a stranger is believed who knows nothing of it, and whoever takes it back is not, though nothing held out
// tells them apart.
func TestWhoTakesBackIsNotBelieved(t *testing.T) {
	before, own := make([]float32, 4), []float32{1, 0, 0, 0}
	for name, c := range map[string]struct {
		x    []float32
		want bool
	}{"a stranger": {[]float32{0, 0.5, 0, 0}, true}, "one who takes back": {[]float32{-1, 0, 0, 0}, false}} {
		j := Judge{Loss: hill{own}.loss, Held: func([]float32) float64 { return 1 }}
		if got := j.Merge(before, own, []Saying{{name, c.x}}); slices.Equal(got, own) == c.want {
			t.Errorf("%s: own parameters %v become %v", name, own, got)
		}
	}
}
