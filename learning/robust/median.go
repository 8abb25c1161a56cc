package robust

import (
	"cmp"
	"slices"
)

// A grain is one voice's number at one coordinate.
type grain struct{ x, w float64 }

// Median is the weighted median of each coordinate (Yin et al. 2018, option I): the number with half of the weight on either side
// of it, or the middle of the two that share that place.
func Median(vectors [][]float32, weights []float64) []float32 {
	return median(hear(vectors, weights))
}

func median(set []voice) []float32 {
	return each(set, func(column []grain, all float64) float64 {
		var below float64
		for i, g := range column {
			below += g.w
			if twice := 2 * below; twice == all && i+1 < len(column) {
				return (g.x + column[i+1].x) / 2
			} else if twice >= all {
				return g.x
			}
		}
		return column[len(column)-1].x // rounding left all a little more than its parts
	})
}

// TrimmedMean is the weighted average of each coordinate without its outermost numbers (Yin et al. 2018, option II): a share trim
// of the weight is cut from either end, below a half. Of n vectors with equal weights, trim = k/n leaves out the k least and the k
// largest.
func TrimmedMean(vectors [][]float32, weights []float64, trim float64) []float32 {
	if !(trim >= 0 && trim < 0.5) {
		panic("robust: a share to trim that is not in [0, 0.5)")
	}
	return each(hear(vectors, weights), func(column []grain, all float64) float64 {
		cut := float64(trim * all)
		var passed, sum, kept float64
		for _, g := range column {
			w := min(passed+g.w, all-cut) - max(passed, cut) // the part of it between the cuts
			passed += g.w
			if w > 1e-9*g.w { // less is rounding
				sum += float64(w * g.x)
				kept += w
			}
		}
		return sum / kept
	})
}

// rise sorts a column, which is mostly short: then inserting is several times as fast as asking a function.
func rise(column []grain) {
	if len(column) > 32 {
		slices.SortFunc(column, func(a, b grain) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.w, b.w)) })
		return
	}
	for i, g := range column {
		for ; i > 0 && (g.x < column[i-1].x || g.x == column[i-1].x && g.w < column[i-1].w); i-- {
			column[i] = column[i-1]
		}
		column[i] = g
	}
}

// each makes every coordinate of the sorted column of numbers there.
func each(set []voice, one func(column []grain, all float64) float64) []float32 {
	if len(set) == 0 {
		return nil
	}
	out := make([]float32, len(set[0].v))
	column := make([]grain, len(set))
	all := total(set)
	for i := range out {
		for k, a := range set {
			column[k] = grain{float64(a.v[i]) + 0, a.w} // + 0 for there is no lesser zero
		}
		rise(column)
		out[i] = float32(one(column, all))
	}
	return out
}
