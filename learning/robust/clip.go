package robust

import (
	"math"
	"slices"
)

// ClippedGossip is own, moved by Σ w_j clip(x_j − own, radius) / Σ w_j, where clip shortens what is longer than radius (He,
// Karimireddy, Jaggi 2022, eq. 2). Whatever the others say, and however many they are, the result is not further from own than
// radius: the caller's own weight, if it wants one, is a vector equal to own among the others.
func ClippedGossip(own []float32, vectors [][]float32, weights []float64, radius float64) []float32 {
	return clip(own, hear(vectors, weights), radius)
}

// CentredClip moves centre by ClippedGossip so many rounds (Karimireddy et al. 2021, algorithm 2): what is far away pulls no harder
// than what is at radius. A good centre is what was agreed on last time.
func CentredClip(centre []float32, vectors [][]float32, weights []float64, radius float64, rounds int) []float32 {
	set := hear(vectors, weights)
	if len(set) == 0 {
		return nil
	}
	for range rounds {
		centre = clip(centre, set, radius)
	}
	return slices.Clone(centre)
}

// Centre is centred clipping when nobody has agreed on anything before: it begins at the median of each coordinate, and its radius
// is the weighted median distance from there, found anew in each of three rounds. So the half that stands closest together is
// averaged as it is, and all others pull no harder than the outermost of that half. While less than half of the weight lies, the
// result stays within a small multiple of the spread of the honest.
func Centre(vectors [][]float32, weights []float64) []float32 {
	const rounds = 3
	set := hear(vectors, weights)
	if len(set) == 0 {
		return nil
	}
	centre := median(set)
	for range rounds {
		centre = clip(centre, set, Radius(centre, vectors, weights))
	}
	return centre
}

// Radius is the weighted median distance of vectors from a centre: at least half of the weight is that near.
func Radius(centre []float32, vectors [][]float32, weights []float64) float64 {
	set := hear(vectors, weights)
	column := make([]grain, len(set))
	for i, a := range set {
		column[i] = grain{distance(a.v, centre), a.w}
	}
	rise(column)
	all := total(set)
	var below float64
	for _, g := range column {
		if below += g.w; 2*below >= all {
			return math.Sqrt(g.x)
		}
	}
	return 0 // nobody is there
}

func clip(own []float32, set []voice, radius float64) []float32 {
	out := slices.Clone(own)
	if len(set) == 0 {
		return out
	}
	all := total(set)
	pull := make([]float64, len(set)) // what is left of each one's difference
	for k, a := range set {
		pull[k] = a.w / all
		if d := math.Sqrt(distance(a.v, own)); d > radius {
			pull[k] = float64(pull[k] * (radius / d))
		}
	}
	for i := range out {
		var sum float64
		for k, a := range set {
			sum += float64(pull[k] * (float64(a.v[i]) - float64(own[i])))
		}
		out[i] = float32(float64(own[i]) + sum)
	}
	return out
}

// GeometricMedian is the point whose weighted sum of distances to the vectors is least (Pillutla et al. 2019, algorithm 2: smoothed
// Weiszfeld steps, here from the median of each coordinate, which a few who lie without measure do not carry away), after so many
// rounds.
func GeometricMedian(vectors [][]float32, weights []float64, rounds int) []float32 {
	const smooth = 1e-6
	set := hear(vectors, weights)
	point := median(set)
	for range rounds {
		near := slices.Clone(set)
		for i := range near {
			near[i].w /= max(smooth, math.Sqrt(distance(near[i].v, point)))
		}
		point = mean(near)
	}
	return point
}
