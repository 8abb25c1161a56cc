package learning

import (
	"cmp"
	"math"
	"slices"

	"github.com/yanmesh/yan/model"
)

// Who agrees with whom is read off W2, which begin at zero: what two skills have there is all learnt, and quantisation, which makes
// the first weights of all look a little alike, does not touch it. Measured (docs/benchmarks.md, "Merging"): of two texts of one kind the
// cosine is 0.16 to 0.87 once they have learnt from three thousand events, of two that have nothing in common 0.09 at most. To keep apart what could
// be averaged costs a bank; to average what has nothing in common costs what both knew.
const (
	campApart    = 0.1  // cosine below which two camps have nothing in common
	sectionApart = 0.7  // below which a section that two parts of a camp have learnt is two sections
	partApart    = 0.25 // and below which a part that weighs little has no say in a section

	// opposed is the cosine below which a camp unsays what the one that weighs most says. Honest ones differ, and none that was measured was
	// below −0.02. Such a camp is left out if it weighs no more than half as much, as liars do that are a third of all.
	opposed = -0.1

	maxCamps = 4
	weighty  = 1. / 3 // share of the weight that a part of a camp needs for sections of its own: as many may lie
)

// agreement is how much each has in common with each: products of W2, of one section or over all.
type agreement struct {
	n   int
	dot []float64 // (n, n)
}

func newAgreement(n int) agreement { return agreement{n, make([]float64, n*n)} }

func everyone(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// add takes in what W2 of one section have in common.
func (a agreement) add(w2 [][]float32) {
	for i, x := range w2 {
		for j, y := range w2[:i+1] {
			v := inner(x, y)
			a.dot[i*a.n+j] += v
			if i != j {
				a.dot[j*a.n+i] += v
			}
		}
	}
}

// inner is the product of two vectors as far as both go.
func inner(x, y []float32) (sum float64) {
	n := min(len(x), len(y))
	for i, v := range x[:n] {
		sum += float64(float64(v) * float64(y[i]))
	}
	return sum
}

// normalise divides all by how long each is, so that nobody is heard better for being louder. Who has nothing agrees with nobody.
func (a agreement) normalise() {
	length := make([]float64, a.n)
	for i := range length {
		length[i] = math.Sqrt(a.dot[i*a.n+i])
	}
	for i := range a.n {
		for j := range a.n {
			if l := float64(length[i] * length[j]); l > 0 {
				a.dot[i*a.n+j] /= l
			} else {
				a.dot[i*a.n+j] = 0
			}
		}
	}
}

// split makes groups of all, by uniting the two whose sums have the largest cosine for as long as that is at least apart, and there are more
// than least. It destroys a.
// The groups are in the order of their first members.
func (a agreement) split(apart float64, least int) (groups [][]int) {
	n := a.n
	groups = make([][]int, n)
	for i := range groups {
		groups[i] = []int{i}
	}
	for left := n; ; left-- {
		bi, bj, best := -1, -1, math.Inf(-1)
		for i := range groups {
			for j := range i {
				if groups[i] == nil || groups[j] == nil {
					continue
				}
				if v := a.cosine(i, j); v > best {
					bi, bj, best = i, j, v
				}
			}
		}
		if left == least || bi < 0 || best < apart {
			return slices.DeleteFunc(groups, func(g []int) bool { return g == nil })
		}
		groups[bj] = append(groups[bj], groups[bi]...)
		slices.Sort(groups[bj])
		groups[bi] = nil
		for k := range n { // the sum of both stands at bj
			a.dot[bj*n+k] += a.dot[bi*n+k]
		}
		for k := range n {
			a.dot[k*n+bj] += a.dot[k*n+bi]
		}
	}
}

func (a agreement) cosine(i, j int) float64 {
	l := math.Sqrt(a.dot[i*a.n+i]) * math.Sqrt(a.dot[j*a.n+j])
	if !(l > 0) {
		return 0
	}
	return a.dot[i*a.n+j] / l
}

// parties are the camps that inputs make, those that weigh most first, at most maxCamps, and without those that only oppose.
func parties(in []input, weights []float64) [][]int {
	a := newAgreement(len(in))
	for layer, l := range in[0].Delta.bank.Layers {
		if l.Sections == nil {
			continue
		}
		for s := range mostSections(in) {
			w2 := make([][]float32, len(in))
			for i, x := range in {
				w2[i] = x.w2(layer, s)
			}
			a.add(w2)
		}
	}
	a.normalise()
	groups := a.split(campApart, 1)
	slices.SortStableFunc(groups, func(a, b []int) int { return cmp.Compare(weigh(b, weights), weigh(a, weights)) })
	most := groups[0]
	groups = slices.DeleteFunc(groups, func(g []int) bool { // the sum of a group stands at its first member
		return a.cosine(g[0], most[0]) < opposed && weigh(g, weights) <= weigh(most, weights)/2
	})
	return groups[:min(len(groups), maxCamps)]
}

func weigh(members []int, weights []float64) (sum float64) {
	for _, i := range members {
		sum += weights[i]
	}
	return sum
}

func mostSections(in []input) (n int) {
	for _, x := range in {
		n = max(n, x.Delta.bank.Sections)
	}
	return n
}

// w2 is what an input has learnt to say in one section, empty where it has none.
func (x *input) w2(layer, s int) []float32 {
	b := x.Delta.bank
	if s >= b.Sections {
		return nil
	}
	w := b.Layers[layer].Sections
	size := len(w) / b.Sections
	return w[s*size+size/3*2 : (s+1)*size]
}

// A part is what a bank has of one section.
type part struct {
	keys    []float32 // (D)
	weights []float32 // (3m, D)
}

func section(b *model.Bank, c model.Config, layer, s int) part {
	l, size := b.Layers[layer], 3*b.Neurons*c.Width
	return part{l.Keys[s*c.Width : (s+1)*c.Width], l.Sections[s*size : (s+1)*size]}
}

// fired reports whether a section has ever learnt: its W2 begin at zero.
func (p part) fired() bool {
	return slices.ContainsFunc(p.weights[len(p.weights)/3*2:], func(v float32) bool { return v != 0 })
}

// change is how a section differs from what it began with.
func (p part) change(from part) []float32 {
	v := make([]float32, 0, len(p.keys)+len(p.weights))
	for i, x := range p.keys {
		v = append(v, x-from.keys[i])
	}
	for i, x := range p.weights {
		v = append(v, x-from.weights[i])
	}
	return v
}

// become makes p what it began as, changed.
func (p part) become(from part, change []float32) {
	for i, v := range from.keys {
		p.keys[i] = v + change[i]
	}
	for i, v := range from.weights {
		p.weights[i] = v + change[len(from.keys)+i]
	}
}
