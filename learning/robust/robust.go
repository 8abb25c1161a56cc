// Package robust is the ways to make one vector of many, of which some may lie.
//
// [Mean] believes everybody. [Median] and [TrimmedMean] look at each coordinate alone, [Krum] and [MultiKrum] at who stands close
// to whom, [GeometricMedian] and [CentredClip] at how far away each one is, and [Centre] is centred clipping that finds its place
// and its radius by itself. Those stand above the crowd and need most of it to be honest. [ClippedGossip] trusts nobody but its
// caller, whom no majority outvotes.
//
// Each is a pure function of the set: the order in which the vectors come cannot change a bit of the result, and neither can the
// machine, for products are rounded before they are added. A vector that holds a NaN or an infinity, or whose weight is not a
// positive number, is left out; weights may be nil, and then all are equal. Only the ratios of weights matter. When nobody is left
// the result is nil, but that of ClippedGossip, which is its caller's own. Vectors of different lengths are the caller's mistake,
// and panic. What is passed in is never written, and what is returned belongs to the caller.
package robust

import (
	"cmp"
	"math"
	"slices"
)

// A voice is one vector and what it weighs.
type voice struct {
	v []float32 // (n), finite
	w float64   // positive, at most 1
}

// hear puts what may be believed at all into an order that depends on nothing but its content.
func hear(vectors [][]float32, weights []float64) []voice {
	if weights != nil && len(weights) != len(vectors) {
		panic("robust: not as many weights as vectors")
	}
	set := make([]voice, 0, len(vectors))
	most := 0.0
	for i, v := range vectors {
		if len(v) != len(vectors[0]) {
			panic("robust: vectors of different lengths")
		}
		w := 1.0
		if weights != nil {
			w = weights[i]
		}
		if w > 0 && !math.IsInf(w, 0) && finite(v) {
			set = append(set, voice{v, w})
			most = max(most, w)
		}
	}
	for i := range set {
		set[i].w /= most // so that no sum of weights overflows
	}
	set = slices.DeleteFunc(set, func(a voice) bool { return a.w == 0 })
	slices.SortFunc(set, func(a, b voice) int {
		return cmp.Or(slices.Compare(a.v, b.v), cmp.Compare(a.w, b.w))
	})
	return set
}

func finite(v []float32) bool {
	for _, x := range v {
		if x-x != 0 {
			return false
		}
	}
	return true
}

// total is what a set weighs together.
func total(set []voice) float64 {
	var sum float64
	for _, a := range set {
		sum += a.w
	}
	return sum
}

// Mean is the weighted average, which one liar can move anywhere.
func Mean(vectors [][]float32, weights []float64) []float32 { return mean(hear(vectors, weights)) }

func mean(set []voice) []float32 {
	if len(set) == 0 {
		return nil
	}
	out := make([]float32, len(set[0].v))
	all := total(set)
	for i := range out {
		var sum float64
		for _, a := range set {
			sum += float64(a.w * float64(a.v[i]))
		}
		out[i] = float32(sum / all)
	}
	return out
}

// distance is how far apart two vectors are, squared.
func distance(a, b []float32) float64 {
	var sum float64
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += float64(d * d)
	}
	return sum
}
