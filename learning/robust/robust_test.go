package robust

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A rule by name, with everything but the set decided. Those that need the caller's own vector stand at zero.
type rule struct {
	name string
	of   func(vectors [][]float32, weights []float64) []float32
}

func rules() []rule {
	return []rule{
		{"mean", Mean},
		{"median", Median},
		{"trimmed mean", func(v [][]float32, w []float64) []float32 { return TrimmedMean(v, w, 0.3) }},
		{"krum", func(v [][]float32, w []float64) []float32 { return Krum(v, w, 3) }},
		{"multi-krum", func(v [][]float32, w []float64) []float32 { return MultiKrum(v, w, 3, 4) }},
		{"geometric median", func(v [][]float32, w []float64) []float32 { return GeometricMedian(v, w, 8) }},
		{"centred clipping", func(v [][]float32, w []float64) []float32 {
			return CentredClip(make([]float32, len(v[0])), v, w, 2, 3)
		}},
		{"centre", Centre},
		{"clipped gossip", func(v [][]float32, w []float64) []float32 {
			return ClippedGossip(make([]float32, len(v[0])), v, w, 2)
		}},
	}
}

// crowd is n vectors about a place, about as far from it as spread in every coordinate, and a weight for each. They are the same on
// every machine.
func crowd(rng *rand.Rand, n, size int, place, spread float64) (vectors [][]float32, weights []float64) {
	for range n {
		v := make([]float32, size)
		for i := range v {
			v[i] = float32(place + float64(spread*(3.4*(rng.Float64()-0.5))))
		}
		vectors, weights = append(vectors, v), append(weights, 0.5+rng.Float64())
	}
	return vectors, weights
}

// from is how far v is from the place, by coordinate, on average.
func from(v []float32, place float64) float64 {
	var sum float64
	for _, x := range v {
		sum += (float64(x) - place) * (float64(x) - place)
	}
	return math.Sqrt(sum / float64(len(v)))
}

func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func TestOrderCannotMatter(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		vectors, weights := crowd(rng, 3+rng.IntN(40), 17, 0.3, 1)
		vectors[1] = slices.Clone(vectors[0]) // two say the same
		for k := range vectors {
			vectors[k][4] = 0.1 // and at one place all do
		}
		for _, r := range rules() {
			want := r.of(vectors, weights)
			for range 5 {
				rng.Shuffle(len(vectors), func(i, j int) {
					vectors[i], vectors[j] = vectors[j], vectors[i]
					weights[i], weights[j] = weights[j], weights[i]
				})
				if got := r.of(vectors, weights); !same(got, want) {
					t.Fatalf("%s, seed %d: the order changed the result", r.name, seed)
				}
			}
		}
	}
}

func TestNonsenseIsNotHeard(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	vectors, weights := crowd(rng, 9, 8, 0, 1)
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, r := range rules() {
		want := r.of(vectors, weights)
		v, w := slices.Clone(vectors), slices.Clone(weights)
		for _, bad := range []float32{inf, -inf, nan} {
			mad := make([]float32, 8)
			mad[7] = bad
			v, w = append(v, mad), append(w, 1)
		}
		for _, bad := range []float64{0, -1, math.NaN(), math.Inf(1)} {
			v, w = append(v, slices.Repeat([]float32{7}, 8)), append(w, bad)
		}
		if got := r.of(v, w); !same(got, want) {
			t.Errorf("%s: %v with nonsense in the set, %v without", r.name, got, want)
		}
		if got := r.of(v[9:12], nil); r.name != "clipped gossip" && got != nil || r.name == "clipped gossip" && from(got, 0) != 0 {
			t.Errorf("%s: %v of nothing but nonsense", r.name, got)
		}
	}
}

// Weights are ratios, and a rule keeps its set as it was.
func TestWeightsAreRatios(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	vectors, weights := crowd(rng, 11, 6, 0, 1)
	twice, before := slices.Clone(weights), make([][]float32, len(vectors))
	for i := range twice {
		twice[i] *= 0x1p1023 // the sum of which overflows
		before[i] = slices.Clone(vectors[i])
	}
	for _, r := range rules() {
		if a, b := r.of(vectors, weights), r.of(vectors, twice); !same(a, b) {
			t.Errorf("%s: %v and %v by the same ratios", r.name, a, b)
		}
	}
	for i := range vectors {
		if !same(vectors[i], before[i]) {
			t.Fatal("what was passed in is not what it was")
		}
	}
}

func TestKnownResults(t *testing.T) {
	set := [][]float32{{1}, {2}, {4}, {8}, {100}}
	heavy := []float64{1, 1, 1, 1, 4}
	for _, tt := range []struct {
		name string
		got  []float32
		want float32
	}{
		{"mean", Mean(set, nil), 23},
		{"weighted mean", Mean(set, heavy), 415.0 / 8},
		{"median", Median(set, nil), 4},
		{"median of an even number", Median(set[:4], nil), 3},
		{"weighted median", Median(set, heavy), 54},
		{"trimmed mean, one off either end", TrimmedMean(set, nil, 0.2), 14.0 / 3},
		{"trimmed mean, half of one", TrimmedMean(set, nil, 0.1), (0.5 + 2 + 4 + 8 + 50) / 4},
		{"krum", Krum(set, nil, 1), 2},
		{"multi-krum", MultiKrum(set, nil, 1, 3), 7.0 / 3},
		{"clipping at 3", ClippedGossip([]float32{2}, set, nil, 3), 2 + float32(-1+0+2+3+3)/5},
		{"clipping at 3, twice", CentredClip([]float32{2}, set, nil, 3, 2), 3.4 + float32(-2.4-1.4+0.6+3+3)/5},
		{"centre, the radius at the median distance", Centre(set[:3], nil), 2 + float32(-1+0+1)/3},
	} {
		if len(tt.got) != 1 || math.Abs(float64(tt.got[0]-tt.want)) > 1e-5 {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if r := Radius([]float32{2}, set, nil); r != 2 {
		t.Errorf("radius %v, want 2", r)
	}
	if got := GeometricMedian([][]float32{{0, 0}, {2, 0}, {1, 30}}, nil, 200); math.Abs(float64(got[0])-1) > 1e-3 || math.Abs(float64(got[1])-1/math.Sqrt(3)) > 1e-2 {
		t.Errorf("geometric median %v, want the point that sees all sides at 120 degrees", got)
	}
}

// Three liars in ten carry the mean away, and none of the others.
func TestAThirdOfLiarsMovesNothingFar(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 4))
		honest, _ := crowd(rng, 7, 50, 1, 0.1)
		for name, lies := range map[string][][]float32{
			"far":       {slices.Repeat([]float32{1e6}, 50), slices.Repeat([]float32{-2e7}, 50), slices.Repeat([]float32{3e8}, 50)},
			"colluding": {slices.Repeat([]float32{-9}, 50), slices.Repeat([]float32{-9}, 50), slices.Repeat([]float32{-9}, 50)},
		} {
			set := append(slices.Clone(honest), lies...)
			for _, r := range rules() {
				d := from(r.of(set, nil), 1)
				switch r.name {
				case "mean":
					if d < 1 {
						t.Errorf("seed %d, %s: the mean came only %.2f away: a weak lie", seed, name, d)
					}
				case "centred clipping", "clipped gossip": // these stand at zero, with the radius of a stranger
				default:
					if d > 0.3 {
						t.Errorf("seed %d, %s: %s is %.2f away", seed, name, r.name, d)
					}
				}
			}
			if d := from(CentredClip(honest[0], set, nil, 1, 5), 1); d > 0.3 {
				t.Errorf("seed %d, %s: centred clipping about an honest one is %.2f away", seed, name, d)
			}
		}
	}
}

// Eleven of sixteen lie: whatever stands above the crowd is theirs, and clipped gossip stays where it trusts.
func TestAMajorityOfLiarsDoesNotMoveWhoTrustsItself(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	set, _ := crowd(rng, 5, 50, 1, 0.1)
	lies, _ := crowd(rng, 11, 50, -4, 0.05)
	own := set[0]
	set = append(set, lies...)
	for _, r := range rules() {
		switch r.name {
		case "mean", "median", "krum", "geometric median", "centre":
			if d := from(r.of(set, nil), 1); d < 2 {
				t.Errorf("%s: %.2f away, so this is no test of the others", r.name, d)
			}
		}
	}
	radius := math.Sqrt(distance(own, set[1]))
	got := ClippedGossip(own, set, nil, radius)
	if moved := math.Sqrt(distance(own, got)); moved > radius*(1+1e-6) {
		t.Errorf("moved by %v, further than %v", moved, radius)
	}
	if d := from(got, 1); d > 0.3 {
		t.Errorf("clipped gossip: %.2f away", d)
	}
}

// Nothing here may depend on the machine, so one digest stands for all of them.
func TestEveryMachineAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	hash := sha256.New()
	for n := 3; n < 40; n += 9 {
		vectors, weights := crowd(rng, n, 33, 0.1, 1)
		for _, r := range rules() {
			for _, x := range r.of(vectors, weights) {
				hash.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
			}
		}
	}
	if got, want := fmt.Sprintf("%x", hash.Sum(nil)[:8]), "ef9258bbf467868e"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestMistakesPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"lengths": func() { Mean([][]float32{{1}, {1, 2}}, nil) },
		"weights": func() { Mean([][]float32{{1}}, []float64{1, 2}) },
		"trim":    func() { TrimmedMean([][]float32{{1}}, nil, 0.5) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
