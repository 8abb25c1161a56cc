package learning

import (
	"slices"
	"testing"

	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
)

// A skill is learnt without a backward pass too, by each local rule in its own way, and nothing else is written. The base
// is the one whose banks have sections in several layers: in one alone all rules are the same.
func TestSkillsLearnByLocalRules(t *testing.T) {
	m := base.Embedded()
	print := m.Fingerprint()
	text, unseen := sense.Text(readings(5, 2500)), readings(6, 1000)
	learn := func(rule local.Rule) *model.Model {
		l, err := New(Config{Rule: rule, Rate: 0.002, Fast: -1, Seed: 1}, m)
		if err != nil {
			t.Fatal(err)
		}
		focus(t, l, "pump")
		l.Read(text)
		return l.Model()
	}
	before := bits(m, unseen)
	gain := map[local.Rule]float64{}
	var weights [][]float32
	for _, rule := range []local.Rule{local.Backward, local.Broadcast, local.Own, local.Top} {
		m := learn(rule)
		gain[rule] = before - bits(m, unseen)
		weights = append(weights, m.Banks[0].Weights)
	}
	t.Log(before, gain)
	for rule, g := range gain {
		if g < 0.7*gain[local.Backward] || g < 0.3*before {
			t.Errorf("%s: of %.3f bits a byte %.3f are gained, by a backward pass %.3f", rule, before, g, gain[local.Backward])
		}
	}
	if slices.Equal(weights[0], weights[1]) || slices.Equal(weights[1], weights[2]) || slices.Equal(weights[0], weights[2]) || slices.Equal(weights[0], weights[3]) {
		t.Error("two rules wrote the same")
	}
	if !slices.Equal(learn(local.Own).Banks[0].Weights, weights[2]) {
		t.Error("the same rule wrote something else the second time")
	}
	if m.Fingerprint() != print {
		t.Error("the base was written")
	}
}
