package privacy

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func density(x, mean, deviation float64) float64 {
	z := (x - mean) / deviation
	return math.Exp(-z*z/2) / (deviation * math.Sqrt(2*math.Pi))
}

// integrate is the integral of f by the trapezoidal rule over where Gaussians are.
func integrate(from, to float64, f func(float64) float64) (sum float64) {
	const steps = 20_000
	h := (to - from) / steps
	for i := range steps + 1 {
		w := 1.0
		if i == 0 || i == steps {
			w = 0.5
		}
		sum += w * f(from+float64(i)*h)
	}
	return sum * h
}

// The cost is what the definition of Rényi divergence gives when it is integrated number by number.
func TestCostIsTheRenyiDivergence(t *testing.T) {
	for _, c := range []struct{ sensitivity, deviation, order float64 }{
		{1, 1, 2}, {1, 4, 8}, {2, 1.5, 3}, {0.5, 2, 32}, {1, 1, 1.01}, {3, 10, 64},
	} {
		reach := c.sensitivity*c.order + 12*c.deviation
		d := math.Log(integrate(-reach, reach, func(x float64) float64 {
			p, q := density(x, c.sensitivity, c.deviation), density(x, 0, c.deviation)
			if q == 0 || p == 0 {
				return 0
			}
			return math.Exp(c.order*math.Log(p) + (1-c.order)*math.Log(q))
		})) / (c.order - 1)
		want := float64(GaussianCost(c.sensitivity, c.deviation)) * c.order
		if math.Abs(d-want) > 1e-4*want {
			t.Errorf("%+v: the integral gives %v, the cost %v", c, d, want)
		}
	}
}

// exactDelta is the δ that really holds for a Gaussian mechanism, integrated: ∫ max(0, p − e^ε q).
func exactDelta(c Cost, epsilon float64) float64 {
	mean := math.Sqrt(2 * float64(c)) // of unit noise: a thousand releases are one of a larger shift
	return integrate(-40, 40+mean, func(x float64) float64 {
		return max(0, density(x, mean, 1)-math.Exp(epsilon)*density(x, 0, 1))
	})
}

// What is promised holds: integrated, it takes less ε than promised, and not much less, or the promise would
// be of little use.
func TestEpsilonHoldsAndIsTight(t *testing.T) {
	for _, delta := range []float64{1e-3, 1e-5, 1e-7} {
		for _, c := range []Cost{0.001, 0.01, 0.1, 0.5, 2, 8} {
			e := Epsilon(c, delta)
			if got := exactDelta(c, e); got > delta*1.001 {
				t.Errorf("cost %v: at ε %.4f a δ of %g was promised, and it is %g", c, e, delta, got)
			}
			low, high := 0.0, e
			for range 24 {
				if mid := (low + high) / 2; exactDelta(c, mid) > delta {
					low = mid
				} else {
					high = mid
				}
			}
			if e > 1.25*high+0.01 {
				t.Errorf("cost %v, δ %g: ε %.4f is promised and %.4f holds", c, delta, e, high)
			}
		}
	}
	// The control: half of it does not hold.
	if got := exactDelta(0.5, Epsilon(0.5, 1e-5)/2); got < 1e-4 {
		t.Errorf("half the ε would hold too, with a δ of %g", got)
	}
}

// Two releases cost what both cost: integrated over the plane, the promise for the sum holds and that for one does not.
func TestCostsAddUp(t *testing.T) {
	const delta, step = 1e-4, 0.02
	one := GaussianCost(1, 2)
	joint := func(epsilon float64) (sum float64) {
		for x := -16.0; x < 18; x += step {
			for y := -16.0; y < 18; y += step {
				sum += step * step * max(0, density(x, 1, 2)*density(y, 1, 2)-math.Exp(epsilon)*density(x, 0, 2)*density(y, 0, 2))
			}
		}
		return sum
	}
	if got := joint(Epsilon(2*one, delta)); got > delta {
		t.Errorf("two releases: δ is %g, promised %g", got, delta)
	}
	if got := joint(Epsilon(one, delta)); got < 2*delta {
		t.Errorf("two releases keep the promise for one: δ %g", got)
	}
}

func TestAffordAndDeviationAreInverses(t *testing.T) {
	for _, e := range []float64{0.1, 1, 8, 64, 1e4} {
		c := Afford(e, 1e-5)
		if back := Epsilon(c, 1e-5); math.Abs(back-e) > 1e-6*e {
			t.Errorf("ε %v affords %v, which is an ε of %v", e, c, back)
		}
		if got := GaussianCost(2, Deviation(2, c)); math.Abs(float64(got-c)) > 1e-9*float64(c) {
			t.Errorf("noise for %v costs %v", c, got)
		}
	}
	if Epsilon(0, 1e-5) != 0 || !math.IsInf(Epsilon(Cost(math.Inf(1)), 1e-5), 1) || !math.IsInf(Epsilon(1, 0), 1) || !math.IsInf(Epsilon(Cost(math.NaN()), 0.1), 1) {
		t.Error("nothing told costs nothing, and what is told plainly has no bound")
	}
	if Afford(0, 1e-5) != 0 || Afford(math.NaN(), 1e-5) != 0 || Afford(1, 0) != 0 {
		t.Error("without a budget nothing is affordable")
	}
}

// An attacker who knows both vectors that the release may be of guesses as often right as theory lets him, and no
// more: so the noise that is drawn is the noise that is paid for.
func TestNoiseIsWhatIsPaidFor(t *testing.T) {
	const n, releases = 64, 20_000
	r := rand.New(rand.NewPCG(1, 2))
	clip, shift := 3.0, 1.5 // in units of the noise: 1.5 standard deviations apart
	c := Cost(shift * shift / 2)
	deviation := Deviation(2*clip, c)
	a, b := make([]float32, n), make([]float32, n)
	right := 0
	for range releases {
		for i := range a { // as far apart as two clipped vectors can be
			a[i], b[i] = 100, -100
		}
		v := a
		if r.IntN(2) == 1 {
			v = b
		}
		if _, err := Clip(v, clip); err != nil {
			t.Fatal(err)
		}
		Noise(v, deviation, r)
		var along float64
		for _, x := range v {
			along += float64(x)
		}
		if (along > 0) == (&v[0] == &a[0]) {
			right++
		}
	}
	want := 0.5 * (1 + math.Erf(shift/2/math.Sqrt2)) // Φ(Δ/2σ)
	if got := float64(right) / releases; math.Abs(got-want) > 0.012 {
		t.Errorf("the attacker is right in %.4f of releases, by theory in %.4f", got, want)
	}
}

func TestClip(t *testing.T) {
	for _, length := range []float64{0.5, 5, 50} {
		v := []float32{3, 4, 0}
		was, err := Clip(v, length)
		now := math.Hypot(float64(v[0]), float64(v[1]))
		if err != nil || was != 5 || now > length || length >= 5 && now != 5 || length < 5 && now < 0.999*length {
			t.Errorf("to %v: was %v, is %v, %v", length, was, now, err)
		}
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32} {
		if _, err := Clip([]float32{1, bad}, 1); !errors.Is(err, ErrNumber) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
