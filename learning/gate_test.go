package learning

import (
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
)

// opens is the share of samples at which a gate opens at all.
func opens(g model.Gate, samples []float32, dim int) float64 {
	n := 0
	for e := range slices.Chunk(samples, dim) {
		if g.Opens(e) {
			n++
		}
	}
	return float64(n*dim) / float64(len(samples))
}

func TestGateTellsItsContext(t *testing.T) {
	m := base.Pocket()
	dim := m.Config.ContextSize()
	known := sampleEvidence(m, dreams(), 120)
	for name, text := range map[string]func(uint64, int) []byte{"readings": readings, "recipes": recipes} {
		samples, held := sampleEvidence(m, text(1, 10000), 32), sampleEvidence(m, text(2, 6000), 16)
		for _, firing := range []float64{0.01, 0.05} {
			g, rep, err := SolveGate(GateConfig{Firing: firing}, m.Background, samples, dim)
			if err != nil {
				t.Fatal(err)
			}
			own, old := opens(g, held, dim), opens(g, known, dim)
			t.Logf("%s, firing %v: open on %.3f of its own, on %.3f of what the base knows, %+v", name, firing, own, old, rep)
			if own < 0.95 || rep.Open < 0.95 {
				t.Errorf("%s: it opens on %.3f of held-out samples of its own context, and says %.3f", name, own, rep.Open)
			}
			if old > 4*firing || rep.Fires > firing {
				t.Errorf("%s: it opens on %.3f of what the base knows, and says %.4f; asked for %v", name, old, rep.Fires, firing)
			}
			if len(rep.Homes) != 0 {
				t.Errorf("%s: a context that the base never met is at home in %v", name, rep.Homes)
			}
			if !finiteAll(g.Weight) || !finiteAll(g.Own) || !finiteAll([]float32{g.Theta, g.Span, g.OwnBias}) || g.Span <= 0 {
				t.Errorf("%s: the gate has numbers that are none", name)
			}
		}
	}
}

// A context that the base knows is at home in its group, and the gate opens there none the less.
func TestGateOfAKnownContextIsNotShut(t *testing.T) {
	m := base.Pocket()
	dim := m.Config.ContextSize()
	bg := m.Background
	byGroup := map[int32][]float32{}
	for i, g := range bg.Group {
		byGroup[g] = append(byGroup[g], bg.Samples[i*dim:(i+1)*dim]...)
	}
	tried := 0
	for _, group := range groups(byGroup) {
		samples := byGroup[group]
		if len(samples)/dim < 40 {
			continue
		}
		tried++
		g, rep, err := SolveGate(GateConfig{}, bg, samples, dim)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(rep.Homes, group) {
			t.Errorf("samples of group %d are at home in %v", group, rep.Homes)
		}
		if own := opens(g, samples, dim); own < 0.5 {
			t.Errorf("group %d: the gate opens on %.2f of what it was solved from", group, own)
		}
		if rep.Fires > 0.01 {
			t.Errorf("group %d: it fires on %.3f of what it has to leave alone", group, rep.Fires)
		}
	}
	if tried < 4 {
		t.Errorf("only %d groups had samples enough to be tried", tried)
	}
}

// Who refines all that the base knows has nothing to leave alone.
func TestGateAtHomeEverywhere(t *testing.T) {
	m := base.Pocket()
	dim := m.Config.ContextSize()
	g, rep, err := SolveGate(GateConfig{Home: 1e-9}, m.Background, m.Background.Samples, dim)
	if err != nil {
		t.Fatal(err)
	}
	if own := opens(g, m.Background.Samples, dim); own != 1 || rep.Open != 1 {
		t.Errorf("it opens on %.3f and says %.3f", own, rep.Open)
	}
}

func TestGateErrors(t *testing.T) {
	m := base.Pocket()
	dim := m.Config.ContextSize()
	one := m.Background.Samples[:dim]
	for name, c := range map[string]struct {
		bg      *model.Background
		samples []float32
		dim     int
	}{
		"no samples":     {m.Background, nil, dim},
		"a part of one":  {m.Background, m.Background.Samples[:dim+1], dim},
		"no dimension":   {m.Background, one, 0},
		"no background":  {nil, one, dim},
		"an empty one":   {&model.Background{}, one, dim},
		"not a number":   {m.Background, slices.Concat(one, slices.Repeat([]float32{float32(math.NaN())}, dim)), dim},
		"beyond numbers": {m.Background, slices.Concat(one, slices.Repeat([]float32{3e38}, dim)), dim},
	} {
		if _, _, err := SolveGate(GateConfig{}, c.bg, c.samples, c.dim); err == nil {
			t.Errorf("%s: solved", name)
		}
	}
	if _, _, err := SolveGate(GateConfig{}, m.Background, one, dim); err != nil {
		t.Errorf("a single sample: %v", err)
	}
}

// A cache changes no result, and does not mix up what differs.
func TestGateCache(t *testing.T) {
	m := base.Pocket()
	dim := m.Config.ContextSize()
	var c GateCache
	for range 2 {
		for _, cfg := range []GateConfig{{}, {Firing: 0.1}, {Ridge: 0.7}, {Home: 0.01}} {
			for _, samples := range [][]float32{m.Background.Samples[:20*dim], m.Background.Samples[dim : 21*dim]} {
				want, wantRep, err := SolveGate(cfg, m.Background, samples, dim)
				if err != nil {
					t.Fatal(err)
				}
				cached := cfg
				cached.Cache = &c
				g, rep, err := SolveGate(cached, m.Background, samples, dim)
				if err != nil || sum(g.Weight) != sum(want.Weight) || g.Theta != want.Theta || g.Span != want.Span ||
					rep.Open != wantRep.Open || !slices.Equal(rep.Homes, wantRep.Homes) {
					t.Errorf("%+v: with a cache it came to another gate: %v", cfg, err)
				}
			}
		}
	}
	if len(c.known) != 8 {
		t.Errorf("%d gates are kept, 8 were solved", len(c.known))
	}
}

func TestSurvey(t *testing.T) {
	m := base.Pocket()
	bg, err := Survey(m, [][]byte{readings(1, 9000), recipes(1, 300), []byte("xy")}, 60, 3)
	if err != nil {
		t.Fatal(err)
	}
	seen := groups(func() map[int32]bool {
		of := map[int32]bool{}
		for _, g := range bg.Group {
			of[g] = true
		}
		return of
	}())
	if len(bg.Samples) != bg.Len()*m.Config.ContextSize() || len(seen) < 5 || seen[len(seen)-1] >= 9 {
		t.Errorf("%d numbers of %d samples in groups %v", len(bg.Samples), bg.Len(), seen)
	}
	if _, err := Survey(m, [][]byte{readings(1, 9000), nil}, 60, 3); err == nil {
		t.Error("nothing was surveyed")
	}
}
