package kernel

// The derivatives of what the other files compute. Each has its plain Go here, beside its promise.

// SwiGLUBack is the derivative of gate·[SwiGLU], row by row: n columns of hid = SwiGLU(act) and of dhid, the gradient with
// respect to gate·hid, belong to one gate. It computes dgate = ⟨hid, dhid⟩ and, through the gate, the gradient dact with
// respect to act. dhid becomes gate·hid, which is what the matrix behind it was multiplied with.
func SwiGLUBack(dact, dgate, dhid, act, hid, gate []float32, n int) {
	if len(gate) == 0 {
		return
	}
	rows := len(gate)
	swigluBack(dact[:2*n*rows], dgate[:rows], dhid[:n*rows], act[:2*n*rows], hid[:n*rows], gate, n)
}

func swigluBackGo(dact, dgate, dhid, act, hid, gate []float32, n int) {
	for q, g := range gate {
		a, b := act[2*n*q:][:n], act[2*n*q+n:][:n]
		da, db := dact[2*n*q:][:n], dact[2*n*q+n:][:n]
		h, dh := hid[n*q:][:n], dhid[n*q:][:n]
		dgate[q] = dotGo(h, dh)
		for i, x := range a {
			d, s := g*dh[i], 1/(1+exp32(-x))
			da[i] = d * b[i] * s * (1 + float32(x*(1-s)))
			db[i] = d * x * s
			dh[i] = g * h[i]
		}
	}
}

// MixBack is the derivative of out = u⊙SiLU(v) + sf⊙e with sf = Sigmoid(f), where sv = SiLU(v) is known too.
func MixBack(du, dv, df, de, dout, u, v, sv, sf, e []float32) {
	if n := len(dout); n > 0 {
		mixBack(du[:n], dv[:n], df[:n], de[:n], dout, u[:n], v[:n], sv[:n], sf[:n], e[:n])
	}
}

func mixBackGo(du, dv, df, de, dout, u, v, sv, sf, e []float32) {
	for i, d := range dout {
		s := 1 / (1 + exp32(-v[i]))
		du[i] = d * sv[i]
		dv[i] = d * u[i] * s * (1 + float32(v[i]*(1-s)))
		df[i] = d * sf[i] * (1 - sf[i]) * e[i]
		de[i] = d * sf[i]
	}
}

// BlendBack is the derivative of y = [Blend] of a, b and w: it adds dy⊙(1−w) to da, dy⊙w to db and dy⊙(b−a) to dw.
func BlendBack(da, db, dw, dy, a, b, w []float32) {
	if n := len(dy); n > 0 {
		blendBack(da[:n], db[:n], dw[:n], dy, a[:n], b[:n], w[:n])
	}
}

func blendBackGo(da, db, dw, dy, a, b, w []float32) {
	for i, d := range dy {
		part := float32(d * w[i])
		da[i] += d - part
		db[i] += part
		dw[i] += float32(d * (b[i] - a[i]))
	}
}

// RMSNormBack is the derivative of y = x·r·gain, r = 1/√(mean(x²)+ε) being what [RMSNorm] returned: it adds to dx and
// to dgain, and multiplies dy with gain.
func RMSNormBack(dx, dgain, dy, x, gain []float32, r float32) {
	if n := len(dy); n > 0 {
		normBack(dx[:n], dgain[:n], dy, x[:n], gain[:n], r)
	}
}

func normBackGo(dx, dgain, dy, x, gain []float32, r float32) {
	for i, d := range dy {
		dgain[i] += float32(d * x[i] * r)
		dy[i] = d * gain[i]
	}
	c := dotGo(x, dy) / float32(len(dy)) * r * r * r
	for i, t := range dy {
		dx[i] += float32(r*t) - float32(c*x[i])
	}
}

// RMSNormBlocksBack is the derivative of [RMSNormBlocks], which gave inv. It overwrites dx, which may be dy.
func RMSNormBlocksBack(dx, dy, x, inv []float32, dc int) {
	n := len(dx)
	if dc <= 0 || n%dc != 0 {
		panic("kernel: RMSNormBlocksBack: not a whole number of blocks")
	}
	dy, x, inv = dy[:n], x[:n], inv[:n/dc]
	if n > 0 && normBlocksBack(dx, dy, x, inv, dc) {
		return
	}
	for b, r := range inv {
		out, d, in := dx[b*dc:(b+1)*dc], dy[b*dc:(b+1)*dc], x[b*dc:(b+1)*dc]
		c := dot(in, d) / float32(dc) * r * r * r
		for i, v := range in {
			out[i] = float32(r*d[i]) - float32(c*v)
		}
	}
}
