// Package portable is the elementary functions, the same on every processor, to the bit.
//
// Those of package math are assembly on some architectures, and what the compiler makes of the others fuses a product and a sum into one rounding where
// the processor can. So the last bit of an exponential depends on the machine, and a simulated world that hangs on it goes another way. What is
// here adds and multiplies in one order, and rounds every product. It is exact to about two units in the last place, which is what the nearest double
// is off already where an argument was rounded.
//
// Whoever calls it keeps the promise only if he writes float64(a*b) + c, too.
package portable

import "math"

const (
	// ln 2 in two pieces, the first short enough for n·ln2Hi to be exact.
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10

	highest = 709.78271289338397 // the largest x with a finite eˣ
	lowest  = -745.2             // below it eˣ is 0
)

// The coefficients of the two series, the smallest first: 1/k!, of which the next is below 2⁻⁵⁷ with rᵏ, and 1/(2k+1), of which the next is below 2⁻⁶³
// of the sum.
var (
	factors = [...]float64{1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040, 1. / 720, 1. / 120, 1. / 24, 1. / 6, 1. / 2}
	odds    = [...]float64{1. / 23, 1. / 21, 1. / 19, 1. / 17, 1. / 15, 1. / 13, 1. / 11, 1. / 9, 1. / 7, 1. / 5, 1. / 3}
)

// Exp returns eˣ: x = n·ln 2 + r with |r| ≤ ln 2 / 2, the series of eʳ, and n added to the exponent.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > highest:
		return math.Inf(1)
	case x < lowest:
		return 0
	}
	n := math.Floor(float64(x*(1/math.Ln2)) + 0.5)
	r := x - float64(n*ln2Hi) - float64(n*ln2Lo)
	s := 0.0
	for _, c := range factors {
		s = float64(s*r) + c
	}
	return math.Ldexp(1+(r+float64(s*float64(r*r))), int(n))
}

// Log returns the natural logarithm: x = m·2ⁿ with m from √½ to √2, and log m = 2·artanh((m−1)/(m+1)), as a series.
func Log(x float64) float64 {
	switch {
	case x != x || x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	m, n := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, n = 2*m, n-1
	}
	f := m - 1
	s := f / (2 + f)
	z := float64(s * s)
	t := 0.0
	for _, c := range odds {
		t = float64((t + c) * z)
	}
	// 2·artanh(s) = f − s·(f − 2t): f is exact, and the rest is small beside it.
	log := f - float64(s*(f-2*t))
	return float64(float64(n)*ln2Hi) + (log + float64(float64(n)*ln2Lo))
}

// Log1p returns log(1+x), exact for small x too (Kahan): the logarithm of 1+x as rounded, times what the rounding took of x.
func Log1p(x float64) float64 {
	u := 1 + x
	switch {
	case u == 1:
		return x
	case math.IsInf(u, 1) || !(u > 0):
		return Log(u)
	}
	return Log(u) * (x / (u - 1))
}

// Expm1 returns eˣ − 1, exact for small x too (Kahan).
func Expm1(x float64) float64 {
	u := Exp(x)
	switch {
	case u == 1:
		return x
	case u-1 == -1 || math.IsInf(u, 1) || u != u:
		return u - 1
	}
	return (u - 1) * (x / Log(u))
}

// Pow returns xʸ for x > 0, as e to the y·log x: its error grows with |y·log x|.
func Pow(x, y float64) float64 { return Exp(float64(y * Log(x))) }
