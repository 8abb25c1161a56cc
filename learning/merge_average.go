package learning

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/yanmesh/yan/learning/robust"
	"github.com/yanmesh/yan/model"
)

// combine merges the inputs of one camp into one bank, and tells how many sections it has twice.
//
// Where two weighty parts of a camp have learnt to say different things with one section, their average would say neither: both stay, as two
// sections with keys of their own that share what the one had. A bank becomes no more than twice as large by that.
func (m Merging) combine(c model.Config, in []input, weights []float64, members []int) (d *Delta, forks int, err error) {
	of, w := make([]input, len(members)), make([]float64, len(members))
	for k, i := range members {
		of[k], w[k] = in[i], weights[i]
	}
	first := of[0].Delta
	d = &Delta{Name: first.Name, Base: first.Base, members: members, samples: mergeSamples(c, of)}
	var events, gains []float64
	for _, x := range of {
		events, gains = append(events, float64(x.Delta.Events)), append(gains, x.Delta.Gain)
	}
	d.Events, d.Gain = uint64(together(events)), middle(gains)

	n := mostSections(of)
	from, err := model.NewBank(c, d.Name, n, first.bank.Neurons)
	if err != nil {
		return nil, 0, fmt.Errorf("learning: merge: %w", err)
	}
	seed(from, c, d.Base)
	merged := make([][]verse, c.Layers)
	forks = n
	for layer, l := range from.Layers {
		if l.Sections == nil {
			continue
		}
		twice := 0
		for s := range n {
			v := m.section(section(from, c, layer, s), c, of, w, layer, s)
			if v.twin != nil {
				twice++
			}
			merged[layer] = append(merged[layer], v)
		}
		forks = min(forks, twice) // a bank has as many sections in each of its layers
	}
	if d.bank, err = model.NewBank(c, d.Name, n+forks, first.bank.Neurons); err != nil {
		return nil, 0, fmt.Errorf("learning: merge: %w", err)
	}
	layers := 0
	for layer, l := range from.Layers {
		if l.Sections != nil {
			layers++
			write(d.bank, from, c, layer, merged[layer], forks)
		}
	}
	return d, forks * layers, nil
}

// A verse is what was merged of one section: the change that all make, or those of two parts that disagree.
type verse struct {
	all, one, twin []float32 // one and twin are nil where all agree
	cosine         float64   // of the two
}

// write puts a layer together: its sections, and behind them the twins of those forks of them about which there is least agreement.
func write(b, from *model.Bank, c model.Config, layer int, verses []verse, forks int) {
	order := everyone(len(verses))
	order = slices.DeleteFunc(order, func(s int) bool { return verses[s].twin == nil })
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(verses[x].cosine, verses[y].cosine) })
	order = order[:forks]
	for s, v := range verses {
		change := v.all
		if slices.Contains(order, s) {
			change = v.one
		}
		section(b, c, layer, s).become(section(from, c, layer, s), change)
	}
	for k, s := range order {
		section(b, c, layer, len(verses)+k).become(section(from, c, layer, s), verses[s].twin)
	}
}

// section merges what inputs have made of one section. Those in whom it never fired have no say in it.
func (m Merging) section(from part, c model.Config, in []input, weights []float64, layer, s int) verse {
	var changes [][]float32
	var w []float64
	for i, x := range in {
		if s < x.Delta.bank.Sections {
			if p := section(x.Delta.bank, c, layer, s); p.fired() {
				changes, w = append(changes, p.change(from)), append(w, weights[i])
			}
		}
	}
	switch {
	case len(changes) == 0:
		return verse{all: make([]float32, len(from.keys)+len(from.weights))}
	case m.Plain:
		return verse{all: robust.Mean(changes, w)}
	case m.Whole || len(changes) == 1:
		return verse{all: middling(changes, w)}
	}
	return versed(changes, w, len(from.keys)+len(from.weights)/3*2)
}

// versed merges changes, in which W2 begin at w2, and finds out whether two parts of them disagree.
func versed(changes [][]float32, weights []float64, w2 int) verse {
	a := newAgreement(len(changes))
	said := make([][]float32, len(changes))
	for i, x := range changes {
		said[i] = x[w2:]
	}
	a.add(said)
	a.normalise()
	parts := a.split(math.Inf(-1), 2)
	if len(parts) < 2 { // nothing could be further apart
		return verse{all: middling(changes, weights)}
	}
	if weigh(parts[0], weights) < weigh(parts[1], weights) {
		parts[0], parts[1] = parts[1], parts[0]
	}
	one, twin := middlingOf(changes, weights, parts[0]), middlingOf(changes, weights, parts[1])
	cosine := inner(one[w2:], twin[w2:]) / math.Sqrt(float64(inner(one[w2:], one[w2:])*inner(twin[w2:], twin[w2:])))
	heavy := weigh(parts[1], weights) > weighty*weigh(everyone(len(weights)), weights)
	switch {
	case heavy && cosine < sectionApart:
		return verse{middling(changes, weights), one, twin, cosine}
	case !heavy && cosine < partApart:
		return verse{all: one}
	}
	return verse{all: middling(changes, weights)}
}

func middlingOf(changes [][]float32, weights []float64, members []int) []float32 {
	var of [][]float32
	var w []float64
	for _, i := range members {
		of, w = append(of, changes[i]), append(w, weights[i])
	}
	return middling(of, w)
}

// middling is the robust mean of changes, made longer: of vectors that agree only in part the mean is shorter than any, and a skill that
// changed less than each of its authors' says too little. It becomes as long as the geometric mean of its length and theirs, by the
// median of theirs, and never more than twice as long as it is.
func middling(changes [][]float32, weights []float64) []float32 {
	v := robust.Centre(changes, weights)
	lengths := make([]float64, len(changes))
	for i, x := range changes {
		lengths[i] = math.Sqrt(inner(x, x))
	}
	length := math.Sqrt(inner(v, v))
	if !(length > 0) {
		return v
	}
	f := float32(min(max(math.Sqrt(middle(lengths)/length), 1), 2))
	for i := range v {
		v[i] *= f
	}
	return v
}
