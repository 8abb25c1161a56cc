package robust

import (
	"cmp"
	"slices"
)

// Krum is the vector with the least sum of squared distances to its n − liars − 2 nearest (Blanchard et al. 2017, eq. 3). It is
// proved for n > 2 liars + 2; with fewer, one nearest is looked at. Weights only say who is heard.
func Krum(vectors [][]float32, weights []float64, liars int) []float32 {
	return MultiKrum(vectors, weights, liars, 1)
}

// MultiKrum is the weighted average of the keep vectors that Krum likes best (Blanchard et al. 2017, §4).
func MultiKrum(vectors [][]float32, weights []float64, liars, keep int) []float32 {
	set := hear(vectors, weights)
	order := make([]int, len(set))
	for i := range order {
		order[i] = i
	}
	scores := loneliness(set, liars)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	best := order[:min(max(keep, 1), len(order))]
	slices.Sort(best) // canonical again
	kept := make([]voice, len(best))
	for i, k := range best {
		kept[i] = set[k]
	}
	return mean(kept)
}

// loneliness is Krum's score of each voice.
func loneliness(set []voice, liars int) []float64 {
	n := len(set)
	apart := make([]float64, n*n) // (voice, voice)
	for i := range set {
		for j := range i {
			d := distance(set[j].v, set[i].v)
			apart[i*n+j], apart[j*n+i] = d, d
		}
	}
	scores := make([]float64, n)
	for i := range set {
		row := slices.Delete(slices.Clone(apart[i*n:(i+1)*n]), i, i+1)
		slices.Sort(row)
		for _, d := range row[:min(max(n-liars-2, 1), len(row))] {
			scores[i] += d
		}
	}
	return scores
}
