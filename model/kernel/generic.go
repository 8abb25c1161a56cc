package kernel

import (
	"math"
	"runtime"
)

// This file is every kernel in plain Go: the reference the faster levels are tested against, and what
// runs where there are none. Callers have checked the lengths.

func gemmGo(c []float32, ldc int, a []float32, ars, acs int, b []float32, brs, bcs int, m, n, k int, acc bool) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if !acc {
			clear(row)
		}
		if bcs == 1 {
			gemmRowGo(row, a[i*ars:], acs, b, brs, k)
			continue
		}
		// B is stored transposed: each element of the row is a dot product.
		for j := range row {
			col := b[j*bcs : j*bcs+k]
			if acs == 1 {
				row[j] += dotGo(a[i*ars:i*ars+k], col)
				continue
			}
			s := float32(0)
			for p, v := range col {
				s += float32(a[i*ars+p*acs] * v)
			}
			row[j] += s
		}
	}
}

// gemmRowGo adds a·B to one row of C, four rows of B at a time so that the row is loaded and stored less.
func gemmRowGo(row, a []float32, acs int, b []float32, brs, k int) {
	n := len(row)
	p := 0
	for ; p+4 <= k; p += 4 {
		a0, a1, a2, a3 := a[p*acs], a[(p+1)*acs], a[(p+2)*acs], a[(p+3)*acs]
		b0, b1 := b[p*brs:][:n], b[(p+1)*brs:][:n]
		b2, b3 := b[(p+2)*brs:][:n], b[(p+3)*brs:][:n]
		for j := range row {
			row[j] += (float32(a0*b0[j]) + float32(a1*b1[j])) + (float32(a2*b2[j]) + float32(a3*b3[j]))
		}
	}
	for ; p < k; p++ {
		axpyGo(row, a[p*acs], b[p*brs:][:n])
	}
}

// dotGo keeps four partial sums: the additions no longer wait for one another, and the error is smaller.
func dotGo(x, y []float32) float32 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float32
	for len(x) >= 4 && len(y) >= 4 {
		s0 += float32(x[0] * y[0])
		s1 += float32(x[1] * y[1])
		s2 += float32(x[2] * y[2])
		s3 += float32(x[3] * y[3])
		x, y = x[4:], y[4:]
	}
	for i, v := range x {
		s0 += float32(v * y[i])
	}
	return (s0 + s1) + (s2 + s3)
}

func gemvGo(y, w []float32, ldw int, x []float32) {
	for r := range y {
		y[r] = dotGo(x, w[r*ldw:][:len(x)])
	}
}

func axpyGo(y []float32, a float32, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += float32(a * x[i])
	}
}

func addGo(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += x[i]
	}
}

func mulGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] * b[i]
	}
}

func mulAddGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] += float32(a[i] * b[i])
	}
}

func scaleGo(y []float32, a float32) {
	for i := range y {
		y[i] *= a
	}
}

// mulScaleGo computes y = x·g·r, or y = x·r when g is nil.
func mulScaleGo(y, x, g []float32, r float32) {
	x = x[:len(y)]
	if g == nil {
		for i := range y {
			y[i] = x[i] * r
		}
		return
	}
	g = g[:len(y)]
	for i := range y {
		y[i] = x[i] * r * g[i]
	}
}

func maxGo(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

// The exponential of every level: x = n·ln 2 + r with |r| ≤ ln 2 / 2, then exp r by a polynomial (Cephes'
// expf) and 2ⁿ by adding n to the exponent. Above expHigh the result is +Inf, below expLow it is 0.
// expHigh is the largest float32 below 128·ln 2: there n = 128 and exp r < 1, so the sum of exponents stays
// in range. expLow is the smallest float32 above -126·ln 2: what lies below would be subnormal.
const (
	expHigh = 88.72283
	expLow  = -87.33654
	expLog2 = 1.44269504088896341
	// ln 2 in two pieces, the first short enough for n·expLn2a to be exact.
	expLn2a = 0.693359375
	expLn2b = -2.12194440e-4
	expP0   = 1.9875691500e-4
	expP1   = 1.3981999507e-3
	expP2   = 8.3334519073e-3
	expP3   = 4.1665795894e-2
	expP4   = 1.6666665459e-1
	expP5   = 5.0000001201e-1
)

func exp32(x float32) float32 {
	switch {
	case x > expHigh:
		return float32(math.Inf(1))
	case x < expLow:
		return 0
	case x != x:
		return x
	}
	n := int32(float32(expLog2*x) + 128.5) // truncation of a positive number rounds to nearest
	n -= 128
	f := float32(n)
	r := x - float32(f*expLn2a) - float32(f*expLn2b)
	p := float32(expP0)
	p = float32(p*r) + expP1
	p = float32(p*r) + expP2
	p = float32(p*r) + expP3
	p = float32(p*r) + expP4
	p = float32(p*r) + expP5
	p = float32(p*(r*r)) + (r + 1)
	return math.Float32frombits(uint32(int32(math.Float32bits(p)) + n<<23))
}

func expGo(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = exp32(x[i])
	}
}

func sigmoidGo(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = 1 / (1 + exp32(-x[i]))
	}
}

func siluGo(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		// The bound makes -Inf give 0, the limit, where -Inf/+Inf would be NaN.
		v := max(x[i], -math.MaxFloat32)
		y[i] = v / (1 + exp32(-v))
	}
}

// expSumGo computes x = exp(x-shift) in place and returns the sum.
func expSumGo(x []float32, shift float32) float32 {
	s := float32(0)
	for i := range x {
		e := exp32(x[i] - shift)
		x[i] = e
		s += e
	}
	return s
}

func adamGo(p, g, m, v []float32, c *AdamConst) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	rate, b1, b2 := c.LR*c.Corr1, 1-c.Beta1, 1-c.Beta2
	for i, gi := range g {
		mi := float32(c.Beta1*m[i]) + float32(b1*gi)
		vi := float32(c.Beta2*v[i]) + float32(b2*(gi*gi))
		m[i], v[i] = mi, vi
		root := float32(math.Sqrt(float64(vi * c.Corr2)))
		p[i] = p[i] - float32(c.Decay*p[i]) - rate*mi/(root+c.Eps)
	}
}

func decayScanGo(out, x []float32, ld, n int, state []float32, alpha float32) {
	d := len(state)
	for t := range n {
		o, in := out[t*ld:][:d], x[t*ld:][:d]
		for i, s := range state {
			v := in[i]
			o[i] = s
			state[i] = alpha * (s + v)
		}
	}
}

func decayScanBackGo(dx, dout []float32, ld, n int, mu []float32, alpha float32) {
	d := len(mu)
	for t := n - 1; t >= 0; t-- {
		x, o := dx[t*ld:][:d], dout[t*ld:][:d]
		for i, u := range mu {
			u = float32(u * alpha)
			x[i] += u
			mu[i] = o[i] + u
		}
	}
}

func widenGo(dst []float32, src []uint16) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(src[i]) << 16)
	}
}

func gemvHalfGo(y []float32, w []uint16, ldw int, x []float32) {
	for r := range y {
		y[r] = dotHalfGo(x, w[r*ldw:][:len(x)])
	}
}

// dotHalfGo keeps its sums as dotGo does.
func dotHalfGo(x []float32, y []uint16) float32 {
	y = y[:len(x)]
	var s0, s1, s2, s3 float32
	for len(x) >= 4 && len(y) >= 4 {
		s0 += float32(x[0] * math.Float32frombits(uint32(y[0])<<16))
		s1 += float32(x[1] * math.Float32frombits(uint32(y[1])<<16))
		s2 += float32(x[2] * math.Float32frombits(uint32(y[2])<<16))
		s3 += float32(x[3] * math.Float32frombits(uint32(y[3])<<16))
		x, y = x[4:], y[4:]
	}
	for i, v := range x {
		s0 += float32(v * math.Float32frombits(uint32(y[i])<<16))
	}
	return (s0 + s1) + (s2 + s3)
}

func gemvTHalfGo(y []float32, w []uint16, ldw int, x []float32) {
	for r, a := range x {
		row := w[r*ldw:][:len(y)]
		for i := range y {
			y[i] += float32(a * math.Float32frombits(uint32(row[i])<<16))
		}
	}
}

func blendGo(y, a, b, w []float32) {
	a, b, w = a[:len(y)], b[:len(y)], w[:len(y)]
	for i, v := range a {
		y[i] = v + float32(w[i]*(b[i]-v))
	}
}

func slopeScanGo(out, x []float32, ld, n int, state, inv []float32, ldi int) {
	d := len(state)
	for t := range n {
		o, in, k := out[t*ld:][:d], x[t*ld:][:d], inv[t*ldi]
		for i, s := range state {
			v := in[i]
			o[i] = s
			state[i] = s + float32((v-s)*k)
		}
	}
}

func slopeScanBackGo(dx, dout []float32, ld, n int, lambda, inv []float32, ldi int) {
	d := len(lambda)
	for t := n - 1; t >= 0; t-- {
		x, o, k := dx[t*ld:][:d], dout[t*ld:][:d], inv[t*ldi]
		for i, l := range lambda {
			given := float32(l * k)
			x[i] += given
			lambda[i] = o[i] + (l - given)
		}
	}
}

func aboveGo(x []float32, floor float32) (sum float32, count int) {
	for _, v := range x {
		if v > floor {
			sum += v
			count++
		}
	}
	return sum, count
}

func swigluGo(hid, act []float32, n int) {
	for len(hid) >= n && n > 0 {
		a, b := act[:n], act[n:2*n]
		for i, v := range a {
			v = max(v, -math.MaxFloat32)
			hid[i] = v / (1 + exp32(-v)) * b[i]
		}
		hid, act = hid[n:], act[2*n:]
	}
}

// burnGo returns the operations of one turn.
func burnGo(n int) int {
	x, y := float32(0.5), float32(0.25)
	var a, b, c, d, e, f, g, h float32
	for range n {
		a, b, c, d = a*x+y, b*x+y, c*x+y, d*x+y
		e, f, g, h = e*x+y, f*x+y, g*x+y, h*x+y
	}
	runtime.KeepAlive(a + b + c + d + e + f + g + h)
	return 2 * 8
}

func sweepGo(x []float32) {
	var a, b, c, d float32
	for ; len(x) >= 4; x = x[4:] {
		a, b, c, d = a+x[0], b+x[1], c+x[2], d+x[3]
	}
	runtime.KeepAlive(a + b + c + d)
}
