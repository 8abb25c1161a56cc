package portable

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"
)

// Arguments of all sizes, from one seed.
func arguments(each func(x float64)) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		each((2*r.Float64() - 1) * math.Ldexp(1, r.IntN(60)-50))
	}
}

// Everywhere the functions are within a few units in the last place of package math's.
func TestCloseToMath(t *testing.T) {
	within := func(name string, x, got, want, off float64) {
		if got == want || got != got && want != want || math.Abs(got-want) <= off*math.Abs(want) {
			return
		}
		t.Errorf("%s(%v) = %v, not %v", name, x, got, want)
	}
	check := func(name string, x, got, want float64) { within(name, x, got, want, 1e-15) }
	arguments(func(x float64) {
		check("Exp", x, Exp(x), math.Exp(x))
		check("Expm1", x, Expm1(x), math.Expm1(x))
		check("Log", x, Log(x), math.Log(x))
		check("Log", math.Abs(x), Log(math.Abs(x)), math.Log(math.Abs(x)))
		check("Log1p", x, Log1p(x), math.Log1p(x))
		if y := math.Mod(x, 3); x != 0 {
			log := math.Log(math.Abs(x))
			within("Pow", x, Pow(math.Abs(x), y), math.Pow(math.Abs(x), y), 1e-15*(1+math.Abs(y*log)))
		}
	})
	inf, nan := math.Inf(1), math.NaN()
	for _, x := range []float64{0, 1, -1, inf, -inf, nan, math.Copysign(0, -1), 710, 709.7, -708, -746, math.MaxFloat64} {
		check("Exp", x, Exp(x), math.Exp(x))
		check("Log", x, Log(x), math.Log(x))
		check("Log1p", x, Log1p(x), math.Log1p(x))
		check("Expm1", x, Expm1(x), math.Expm1(x))
	}
}

// The bits are these, on every architecture: what the emulated tests of .ci/run hold to.
func TestSameBitsEverywhere(t *testing.T) {
	h := fnv.New64a()
	add := func(y float64) {
		if y == y {
			h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(y)))
		}
	}
	arguments(func(x float64) {
		for _, y := range []float64{Exp(x), Expm1(x), Log(math.Abs(x)), Log1p(x), Pow(math.Abs(x), 0.3)} {
			add(y)
		}
	})
	if got := h.Sum64(); got != 0x675bb00d7e535a8d {
		t.Errorf("the bits of all results hash to %#x", got)
	}
}
