// Package privacy is what published numbers tell of those they were made from, and how to have them tell less.
//
// [Clip] and [Noise] make a vector one that hides what went into it; [Cost], [Epsilon] and [Afford] count what
// is told all the same, in the sense of differential privacy: whatever the vector was made from, anyone who sees what
// is published finds it at most e^ε times as likely as if it had been made from anything else, but for a chance of δ.
//
// The package is pure: chance comes in as a source, and is worth what the source is worth. Whoever knows the source's
// seed takes the noise away again, so devices have to draw it from their system's. It does not know what the
// numbers mean.
package privacy

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/yanmesh/yan/model/kernel"
)

// A Cost is what releases tell, in units of Rényi differential privacy: one of cost c keeps the Rényi divergence
// of order α within c·α, for every α (Mironov 2017, "Rényi Differential Privacy", proposition 7). Costs of several
// releases add up (proposition 1), also where each was decided on after seeing those before.
type Cost float64

// GaussianCost is the cost of a release of a vector with noise of a standard deviation in each of its numbers, where two
// vectors that nobody may tell apart are at most sensitivity from one another: Δ²/2σ².
func GaussianCost(sensitivity, deviation float64) Cost {
	return Cost(sensitivity * sensitivity / (2 * deviation * deviation))
}

// Epsilon is the ε that holds, with a δ, for releases of that cost together: the least over all orders α of
//
//	c·α + ln((α−1)/α) − (ln δ + ln α)/(α−1)
//
// (Canonne, Kamath and Steinke 2020, "The Discrete Gaussian for Differential Privacy", proposition 12).
func Epsilon(c Cost, delta float64) float64 {
	switch {
	case c == 0:
		return 0
	case !(c > 0) || math.IsInf(float64(c), 1) || !(delta > 0 && delta < 1):
		return math.Inf(1)
	}
	at := func(t float64) float64 { // α−1 = eᵗ
		a := 1 + math.Exp(t)
		return float64(c)*a + math.Log1p(-1/a) - (math.Log(delta)+math.Log(a))/(a-1)
	}
	// Each order's figure holds, so a search that misses the least one promises too little, and not too much.
	best, step := 0.0, 1.0
	for t := -20.0; t <= 20; t += step {
		if at(t) < at(best) {
			best = t
		}
	}
	for step > 1e-9 {
		step /= 2
		for _, t := range []float64{best - step, best + step} {
			if at(t) < at(best) {
				best = t
			}
		}
	}
	return max(at(best), 0)
}

// Afford is the cost that may be spent under a promise of ε and δ.
func Afford(epsilon, delta float64) Cost {
	if !(epsilon > 0) || !(delta > 0 && delta < 1) {
		return 0
	}
	low, high := 0.0, 1.0
	for Epsilon(Cost(high), delta) < epsilon && high < 1e12 {
		low, high = high, 2*high
	}
	for range 60 {
		if mid := (low + high) / 2; Epsilon(Cost(mid), delta) <= epsilon {
			low = mid
		} else {
			high = mid
		}
	}
	return Cost(low)
}

// Deviation is that of the noise which a release of that cost needs.
func Deviation(sensitivity float64, c Cost) float64 {
	return sensitivity / math.Sqrt(2*float64(c))
}

// ErrNumber is returned for a vector that cannot be bounded.
var ErrNumber = errors.New("privacy: not a number")

// Clip shortens v, where it is longer, to that length, and returns how long it was.
func Clip(v []float32, length float64) (was float64, err error) {
	was = math.Sqrt(float64(kernel.SumSquares(v)))
	if was-was != 0 {
		return 0, fmt.Errorf("%w: a vector of length %v", ErrNumber, was)
	}
	if was > length {
		// A little shorter yet, for sums of float32 are not exact and a promise is.
		kernel.Scale(v, float32(length/was*(1-1e-4)))
	}
	return was, nil
}

// Noise adds independent Gaussian noise of that standard deviation to each of v.
func Noise(v []float32, deviation float64, r *rand.Rand) {
	for i := range v {
		v[i] += float32(deviation * r.NormFloat64())
	}
}
