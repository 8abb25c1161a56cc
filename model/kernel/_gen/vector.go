package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func (s *isa) dot() {
	name := s.text("dot", "func(n int, x, y *float32) float32")
	n, x, y := load("n"), load("x"), load("y")
	var sums [4]vec
	for i := range sums {
		sums[i] = s.zeros()
	}
	s.loop(name, n, []ptr{x, y}, len(sums), func(u, off int, masked bool) {
		v := s.load(at(x, off), masked)
		if masked {
			VFMADD231PS(s.load(at(y, off), true), v, sums[u])
			return
		}
		VFMADD231PS(at(y, off), v, sums[u])
	})
	VADDPS(sums[1], sums[0], sums[0])
	VADDPS(sums[3], sums[2], sums[2])
	VADDPS(sums[2], sums[0], sums[0])
	r := s.sum(sums[0])
	VZEROUPPER()
	Store(r, ReturnIndex(0))
	RET()
}

func (s *isa) axpy() {
	name := s.text("axpy", "func(n int, a float32, x, y *float32)")
	n, x, y := load("n"), load("x"), load("y")
	a := s.spread("a")
	s.loop(name, n, []ptr{x, y}, 4, func(_, off int, masked bool) {
		v := s.load(at(y, off), masked)
		VFMADD231PS(s.load(at(x, off), masked), a, v)
		s.store(v, at(y, off), masked)
	})
	finish()
}

func (s *isa) add() {
	name := s.text("add", "func(n int, x, y *float32)")
	n, x, y := load("n"), load("x"), load("y")
	s.loop(name, n, []ptr{x, y}, 4, func(_, off int, masked bool) {
		v := s.load(at(y, off), masked)
		VADDPS(s.load(at(x, off), masked), v, v)
		s.store(v, at(y, off), masked)
	})
	finish()
}

func (s *isa) mul() {
	name := s.text("mul", "func(n int, a, b, y *float32)")
	n, a, b, y := load("n"), load("a"), load("b"), load("y")
	s.loop(name, n, []ptr{a, b, y}, 4, func(_, off int, masked bool) {
		v := s.load(at(a, off), masked)
		VMULPS(s.load(at(b, off), masked), v, v)
		s.store(v, at(y, off), masked)
	})
	finish()
}

func (s *isa) mulAdd() {
	name := s.text("mulAdd", "func(n int, a, b, y *float32)")
	n, a, b, y := load("n"), load("a"), load("b"), load("y")
	s.loop(name, n, []ptr{a, b, y}, 4, func(_, off int, masked bool) {
		v := s.load(at(y, off), masked)
		VFMADD231PS(s.load(at(a, off), masked), s.load(at(b, off), masked), v)
		s.store(v, at(y, off), masked)
	})
	finish()
}

func (s *isa) scale() {
	name := s.text("scale", "func(n int, a float32, y *float32)")
	n, y := load("n"), load("y")
	a := s.spread("a")
	s.loop(name, n, []ptr{y}, 4, func(_, off int, masked bool) {
		v := s.load(at(y, off), masked)
		VMULPS(a, v, v)
		s.store(v, at(y, off), masked)
	})
	finish()
}

// mulScale computes y = x·a.
func (s *isa) mulScale() {
	name := s.text("mulScale", "func(n int, a float32, x, y *float32)")
	n, x, y := load("n"), load("x"), load("y")
	a := s.spread("a")
	s.loop(name, n, []ptr{x, y}, 4, func(_, off int, masked bool) {
		v := s.load(at(x, off), masked)
		VMULPS(a, v, v)
		s.store(v, at(y, off), masked)
	})
	finish()
}

// mulScale2 computes y = x·a·b with a scalar a and a vector b.
func (s *isa) mulScale2() {
	name := s.text("mulScaleBy", "func(n int, a float32, x, b, y *float32)")
	n, x, b, y := load("n"), load("x"), load("b"), load("y")
	a := s.spread("a")
	s.loop(name, n, []ptr{x, b, y}, 4, func(_, off int, masked bool) {
		v := s.load(at(x, off), masked)
		VMULPS(a, v, v)
		VMULPS(s.load(at(b, off), masked), v, v)
		s.store(v, at(y, off), masked)
	})
	finish()
}

func (s *isa) max() {
	name := s.text("max", "func(n int, x *float32) float32")
	n, x := load("n"), load("x")
	var tops [4]vec
	for i := range tops {
		tops[i] = s.vec()
		VBROADCASTSS(constant(float32(math.Inf(-1))), tops[i])
	}
	s.loop(name, n, []ptr{x}, len(tops), func(u, off int, masked bool) {
		v := s.vec()
		switch {
		case !masked:
			VMAXPS(at(x, off), tops[u], tops[u])
			return
		case s.wide(): // lanes outside the mask keep the maximum so far
			VMOVAPS(tops[u], v)
			VMOVUPS(at(x, off), reg.K1, v)
		default:
			v = s.load(at(x, off), true)
			VBLENDVPS(s.mask, v, tops[u], v)
		}
		VMAXPS(v, tops[u], tops[u])
	})
	VMAXPS(tops[1], tops[0], tops[0])
	VMAXPS(tops[3], tops[2], tops[2])
	VMAXPS(tops[2], tops[0], tops[0])
	q, t := s.half(tops[0], VMAXPS), XMM()
	VPERMILPS(operand.U8(0x4e), q, t)
	VMAXPS(t, q, q)
	VPERMILPS(operand.U8(0xb1), q, t)
	VMAXPS(t, q, q)
	VZEROUPPER()
	Store(q, ReturnIndex(0))
	RET()
}

// consts hands out constants: with 32 registers they are loaded once, with 16 they stay memory operands.
type consts struct {
	s      *isa
	loaded map[float32]vec
}

func (s *isa) consts(values ...float32) *consts {
	c := &consts{s: s, loaded: map[float32]vec{}}
	if s.wide() {
		for _, v := range values {
			r := s.vec()
			VBROADCASTSS(constant(v), r)
			c.loaded[v] = r
		}
	}
	return c
}

func (c *consts) op(v float32) operand.Op {
	if r, ok := c.loaded[v]; ok {
		return r
	}
	if c.s.wide() {
		panic("constant not loaded")
	}
	return constant(v)
}

// reg is the constant in a register that may be overwritten.
func (c *consts) reg(v float32) vec {
	r := c.s.vec()
	VMOVUPS(c.op(v), r)
	return r
}

// The exponential is the one that generic.go describes. AVX-512 scales by 2ⁿ with an instruction that rounds,
// underflows and overflows correctly, so its bounds only keep n finite; AVX2 adds n to the exponent and puts
// 0 and +Inf in afterwards.
const (
	expHigh, expLow   = 88.72283, -87.33654
	expHigh5, expLow5 = 89.5, -104.5
	expLog2           = 1.44269504088896341
	expLn2a, expLn2b  = 0.693359375, -2.12194440e-4
)

var expPoly = [6]float32{
	1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
}

func (s *isa) expConsts(more ...float32) *consts {
	all := append([]float32{expHigh5, expLow5, expLog2, expLn2a, expLn2b, 1}, expPoly[:]...)
	return s.consts(append(all, more...)...)
}

// emitExp returns exp x and spends x. Of min and max, a NaN comes through when it is the second source.
func (s *isa) emitExp(c *consts, x vec) vec {
	var over, under vec
	if s.wide() {
		VMINPS(x, c.op(expHigh5), x)
		VMAXPS(x, c.op(expLow5), x)
	} else {
		over, under = s.vec(), s.vec()
		VCMPPS(operand.U8(0x1e), c.op(expHigh), x, over) // x > expHigh
		VCMPPS(operand.U8(0x11), c.op(expLow), x, under) // x < expLow
		high := c.reg(expHigh)
		VMINPS(x, high, x)
		low := c.reg(expLow)
		VMAXPS(x, low, x)
	}
	n := s.vec()
	VMULPS(c.op(expLog2), x, n)
	if s.wide() {
		VRNDSCALEPS(operand.U8(8), n, n)
	} else {
		VROUNDPS(operand.U8(8), n, n)
	}
	VFNMADD231PS(c.op(expLn2a), n, x)
	VFNMADD231PS(c.op(expLn2b), n, x)
	y := c.reg(expPoly[0])
	for _, p := range expPoly[1:] {
		VFMADD213PS(c.op(p), x, y)
	}
	square := s.vec()
	VMULPS(x, x, square)
	VADDPS(c.op(1), x, x)
	VFMADD213PS(x, square, y) // y·x² + (x + 1)
	if s.wide() {
		VSCALEFPS(n, y, y)
		return y
	}
	VCVTPS2DQ(n, n)
	VPSLLD(operand.U8(23), n, n)
	VPADDD(n, y, y)
	VANDNPS(y, under, y)
	VBLENDVPS(over, c.op(float32(math.Inf(1))), y, y)
	return y
}

func (s *isa) unary(name string, c func() *consts, f func(c *consts, x vec) vec) {
	name = s.text(name, "func(n int, x, y *float32)")
	n, x, y := load("n"), load("x"), load("y")
	k := c()
	s.loop(name, n, []ptr{x, y}, 1, func(_, off int, masked bool) {
		s.store(f(k, s.load(at(x, off), masked)), at(y, off), masked)
	})
	finish()
}

func (s *isa) exp() {
	s.unary("exp", func() *consts { return s.expConsts() }, s.emitExp)
}

// onePlusExpNeg returns 1 + exp(-x) and leaves x alone.
func (s *isa) onePlusExpNeg(c *consts, x vec) vec {
	neg := s.zeros()
	VSUBPS(x, neg, neg)
	e := s.emitExp(c, neg)
	VADDPS(c.op(1), e, e)
	return e
}

func (s *isa) sigmoid() {
	s.unary("sigmoid", func() *consts { return s.expConsts() }, func(c *consts, x vec) vec {
		e := s.onePlusExpNeg(c, x)
		one := c.reg(1)
		VDIVPS(e, one, one)
		return one
	})
}

func (s *isa) silu() {
	s.unary("silu", func() *consts { return s.expConsts(-math.MaxFloat32) }, func(c *consts, x vec) vec {
		v := c.reg(-math.MaxFloat32)
		VMAXPS(x, v, v)
		e := s.onePlusExpNeg(c, v)
		VDIVPS(e, v, v)
		return v
	})
}

// expSum computes x = exp(x-shift) in place and returns the sum.
func (s *isa) expSum() {
	name := s.text("expSum", "func(n int, x *float32, shift float32) float32")
	n, x := load("n"), load("x")
	c := s.expConsts()
	shift := s.spread("shift")
	sum := s.zeros()
	s.loop(name, n, []ptr{x}, 1, func(_, off int, masked bool) {
		v := s.load(at(x, off), masked)
		VSUBPS(shift, v, v)
		e := s.emitExp(c, v)
		s.store(e, at(x, off), masked)
		switch {
		case masked && s.wide():
			VADDPS(e, sum, reg.K1, sum)
			return
		case masked:
			VANDPS(s.mask, e, e)
		}
		VADDPS(e, sum, sum)
	})
	r := s.sum(sum)
	VZEROUPPER()
	Store(r, ReturnIndex(0))
	RET()
}

// adam takes c = rate, β1, 1-β1, β2, 1-β2, ε, decay, 1/(1-β2ᵗ), with 1/(1-β1ᵗ) already in the rate.
func (s *isa) adam() {
	name := s.text("adam", "func(n int, p, grad, m, v *float32, c *[8]float32)")
	n, p, grad, m, v, c := load("n"), load("p"), load("grad"), load("m"), load("v"), load("c")
	var k [8]vec
	for i := range k {
		k[i] = s.vec()
		VBROADCASTSS(at(c, 4*i), k[i])
	}
	rate, beta1, keep1, beta2, keep2, eps, decay, corr2 := k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7]
	s.loop(name, n, []ptr{p, grad, m, v}, 1, func(_, off int, masked bool) {
		g := s.load(at(grad, off), masked)
		first := s.load(at(m, off), masked)
		VMULPS(beta1, first, first)
		VFMADD231PS(keep1, g, first)
		s.store(first, at(m, off), masked)
		VMULPS(g, g, g)
		second := s.load(at(v, off), masked)
		VMULPS(beta2, second, second)
		VFMADD231PS(keep2, g, second)
		s.store(second, at(v, off), masked)
		VMULPS(corr2, second, second)
		VSQRTPS(second, second)
		VADDPS(eps, second, second)
		VMULPS(rate, first, first)
		VDIVPS(second, first, first)
		param := s.load(at(p, off), masked)
		VFNMADD231PS(param, decay, param)
		VSUBPS(first, param, param)
		s.store(param, at(p, off), masked)
	})
	finish()
}

// columns runs body for blocks of four vectors, then one, then a masked rest of the d columns. base pointers
// move from block to block; body walks the rows of its block with pointers of its own.
func (s *isa) columns(name string, d ptr, bases []ptr, body func(label string, vectors int, masked bool)) {
	four, one, next, tail, done := name+"_four", name+"_one", name+"_next", name+"_tail", name+"_done"
	advance := func(vectors int) {
		for _, p := range bases {
			ADDQ(operand.I32(int32(vectors*s.bytes())), p)
		}
	}
	lanes := int32(s.lanes())
	SUBQ(operand.I32(4*lanes), d)
	JL(operand.LabelRef(one))
	Label(four)
	body(name+"_rows4", 4, false)
	advance(4)
	SUBQ(operand.I32(4*lanes), d)
	JGE(operand.LabelRef(four))
	Label(one)
	ADDQ(operand.I32(3*lanes), d)
	JL(operand.LabelRef(tail))
	Label(next)
	body(name+"_rows1", 1, false)
	advance(1)
	SUBQ(operand.I32(lanes), d)
	JGE(operand.LabelRef(next))
	Label(tail)
	ADDQ(operand.I32(lanes), d)
	JZ(operand.LabelRef(done))
	s.setMask(d)
	body(name+"_rows0", 1, true)
	Label(done)
}

// decayScan keeps the state of up to four vectors of columns in registers and walks all rows: out = s, s = α·(s+x).
func (s *isa) decayScan() {
	name := s.text("decayScan", "func(rows, d int, out, x *float32, ld int, state *float32, alpha float32)")
	d, out, x, ld, state := load("d"), load("out"), load("x"), load("ld"), load("state")
	alpha := s.spread("alpha")
	s.columns(name, d, []ptr{out, x, state}, func(label string, vectors int, masked bool) {
		po, px := GP64(), GP64()
		MOVQ(out, po)
		MOVQ(x, px)
		rows := load("rows")
		st := make([]vec, vectors)
		for j := range st {
			st[j] = s.load(at(state, j*s.bytes()), masked)
		}
		Label(label)
		for j := range st {
			v := s.load(at(px, j*s.bytes()), masked)
			VADDPS(st[j], v, v)
			s.store(st[j], at(po, j*s.bytes()), masked)
			VMULPS(alpha, v, st[j])
		}
		ADDQ(ld, po)
		ADDQ(ld, px)
		DECQ(rows)
		JNZ(operand.LabelRef(label))
		for j := range st {
			s.store(st[j], at(state, j*s.bytes()), masked)
		}
	})
	finish()
}

// decayScanBack starts at the last row and walks with a negative ld: μ *= α, dx += μ, μ += dout.
func (s *isa) decayScanBack() {
	name := s.text("decayScanBack", "func(rows, d int, dx, dout *float32, ld int, mu *float32, alpha float32)")
	d, dx, dout, ld, mu := load("d"), load("dx"), load("dout"), load("ld"), load("mu")
	alpha := s.spread("alpha")
	s.columns(name, d, []ptr{dx, dout, mu}, func(label string, vectors int, masked bool) {
		px, po := GP64(), GP64()
		MOVQ(dx, px)
		MOVQ(dout, po)
		rows := load("rows")
		us := make([]vec, vectors)
		for j := range us {
			us[j] = s.load(at(mu, j*s.bytes()), masked)
		}
		Label(label)
		for j := range us {
			VMULPS(alpha, us[j], us[j])
			v := s.load(at(px, j*s.bytes()), masked)
			VADDPS(us[j], v, v)
			in := s.load(at(po, j*s.bytes()), masked)
			s.store(v, at(px, j*s.bytes()), masked)
			VADDPS(in, us[j], us[j])
		}
		ADDQ(ld, px)
		ADDQ(ld, po)
		DECQ(rows)
		JNZ(operand.LabelRef(label))
		for j := range us {
			s.store(us[j], at(mu, j*s.bytes()), masked)
		}
	})
	finish()
}

// blend computes y = a + w·(b−a).
func (s *isa) blend() {
	name := s.text("blend", "func(n int, a, b, w, y *float32)")
	n, a, b, w, y := load("n"), load("a"), load("b"), load("w"), load("y")
	s.loop(name, n, []ptr{a, b, w, y}, 2, func(_, off int, masked bool) {
		from, to := s.load(at(a, off), masked), s.load(at(b, off), masked)
		VSUBPS(from, to, to)
		VFMADD231PS(s.load(at(w, off), masked), to, from)
		s.store(from, at(y, off), masked)
	})
	finish()
}

// slopeScan walks as decayScan does: out = s, s += (x−s)·inv, with an inv for each row.
func (s *isa) slopeScan() {
	name := s.text("slopeScan", "func(rows, d int, out, x *float32, ld int, inv *float32, ldi int, state *float32)")
	d, out, x, ld, ldi, state := load("d"), load("out"), load("x"), load("ld"), load("ldi"), load("state")
	s.columns(name, d, []ptr{out, x, state}, func(label string, vectors int, masked bool) {
		po, px := GP64(), GP64()
		MOVQ(out, po)
		MOVQ(x, px)
		rows, inv := load("rows"), load("inv")
		st := make([]vec, vectors)
		for j := range st {
			st[j] = s.load(at(state, j*s.bytes()), masked)
		}
		k := s.vec()
		Label(label)
		VBROADCASTSS(at(inv, 0), k)
		for j := range st {
			v := s.load(at(px, j*s.bytes()), masked)
			s.store(st[j], at(po, j*s.bytes()), masked)
			VSUBPS(st[j], v, v)
			VFMADD231PS(k, v, st[j])
		}
		ADDQ(ld, po)
		ADDQ(ld, px)
		ADDQ(ldi, inv)
		DECQ(rows)
		JNZ(operand.LabelRef(label))
		for j := range st {
			s.store(st[j], at(state, j*s.bytes()), masked)
		}
	})
	finish()
}

// slopeScanBack starts at the last row and walks with a negative ld and ldi: dx += λ·inv, λ = dout + λ − λ·inv.
func (s *isa) slopeScanBack() {
	name := s.text("slopeScanBack", "func(rows, d int, dx, dout *float32, ld int, inv *float32, ldi int, lambda *float32)")
	d, dx, dout, ld, ldi, lambda := load("d"), load("dx"), load("dout"), load("ld"), load("ldi"), load("lambda")
	s.columns(name, d, []ptr{dx, dout, lambda}, func(label string, vectors int, masked bool) {
		px, po := GP64(), GP64()
		MOVQ(dx, px)
		MOVQ(dout, po)
		rows, inv := load("rows"), load("inv")
		ls := make([]vec, vectors)
		for j := range ls {
			ls[j] = s.load(at(lambda, j*s.bytes()), masked)
		}
		k := s.vec()
		Label(label)
		VBROADCASTSS(at(inv, 0), k)
		for j := range ls {
			given := s.vec()
			VMULPS(k, ls[j], given)
			v := s.load(at(px, j*s.bytes()), masked)
			in := s.load(at(po, j*s.bytes()), masked)
			VADDPS(given, v, v)
			s.store(v, at(px, j*s.bytes()), masked)
			VSUBPS(given, ls[j], ls[j])
			VADDPS(in, ls[j], ls[j])
		}
		ADDQ(ld, px)
		ADDQ(ld, po)
		ADDQ(ldi, inv)
		DECQ(rows)
		JNZ(operand.LabelRef(label))
		for j := range ls {
			s.store(ls[j], at(lambda, j*s.bytes()), masked)
		}
	})
	finish()
}

// above returns the sum and the number of the elements that exceed floor.
func (s *isa) above() {
	name := s.text("above", "func(n int, x *float32, floor float32) (sum float32, count int)")
	n, x := load("n"), load("x")
	floor := s.spread("floor")
	sum := s.zeros()
	count := GP64()
	XORQ(count, count)
	s.loop(name, n, []ptr{x}, 1, func(_, off int, masked bool) {
		v := s.load(at(x, off), masked)
		bits := GP32()
		const greater = 0x1e
		switch {
		case s.wide() && masked:
			VCMPPS(operand.U8(greater), floor, v, reg.K1, reg.K2)
		case s.wide():
			VCMPPS(operand.U8(greater), floor, v, reg.K2)
		default:
			more := s.vec()
			VCMPPS(operand.U8(greater), floor, v, more)
			if masked {
				VANDPS(s.mask, more, more)
			}
			VANDPS(more, v, v)
			VADDPS(v, sum, sum)
			VMOVMSKPS(more, bits)
		}
		if s.wide() {
			VADDPS(v, sum, reg.K2, sum)
			KMOVW(reg.K2, bits)
		}
		POPCNTL(bits, bits)
		ADDQ(bits.As64(), count)
	})
	r := s.sum(sum)
	VZEROUPPER()
	Store(r, Return("sum"))
	Store(count, Return("count"))
	RET()
}

// swiglu computes hid = silu(a)·b for rows of act = [a | b], each of the two n long.
func (s *isa) swiglu() {
	name := s.text("swiglu", "func(rows, n int, act, hid *float32)")
	rows, a, h := load("rows"), load("act"), load("hid")
	c := s.expConsts(-math.MaxFloat32)
	Label(name + "_rows")
	n, pa, pb, ph := load("n"), GP64().(ptr), GP64().(ptr), GP64().(ptr)
	MOVQ(a, pa)
	LEAQ(operand.Mem{Base: a, Index: n, Scale: 4}, pb)
	MOVQ(h, ph)
	LEAQ(operand.Mem{Base: h, Index: n, Scale: 4}, h)
	LEAQ(operand.Mem{Base: a, Index: n, Scale: 8}, a)
	s.loop(name, n, []ptr{pa, pb, ph}, 1, func(_, off int, masked bool) {
		x := s.load(at(pa, off), masked)
		v := c.reg(-math.MaxFloat32)
		VMAXPS(x, v, v)
		e := s.onePlusExpNeg(c, v)
		VDIVPS(e, v, v)
		VMULPS(s.load(at(pb, off), masked), v, v)
		s.store(v, at(ph, off), masked)
	})
	DECQ(rows)
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}

// burn multiplies and adds as fast as the processor can, in twelve chains that do not wait for each other, n times.
func (s *isa) burn() {
	name := s.text("burn", "func(n int)")
	n := load("n")
	x, y := s.zeros(), s.zeros()
	var sums [12]vec
	for i := range sums {
		sums[i] = s.zeros()
	}
	Label(name + "_n")
	for i := range sums {
		VFMADD231PS(x, y, sums[i])
	}
	DECQ(n)
	JNZ(operand.LabelRef(name + "_n"))
	finish()
}

// sweep loads n blocks of eight vectors and does nothing with them. It fetches as many bytes from ahead on.
func (s *isa) sweep() {
	name := s.text("sweep", "func(n int, x *float32, ahead uintptr)")
	n, x, ahead := load("n"), load("x"), load("ahead")
	var seen [8]vec
	for i := range seen {
		seen[i] = s.vec()
	}
	Label(name + "_n")
	s.fetch(name+"_fetched", ahead, len(seen)*s.bytes())
	for i := range seen {
		VMOVUPS(at(x, i*s.bytes()), seen[i])
	}
	ADDQ(operand.I32(int32(len(seen)*s.bytes())), x)
	DECQ(n)
	JNZ(operand.LabelRef(name + "_n"))
	finish()
}

// normBlocks computes y = x·r with r = 1/√(mean(x²)+eps) in each block of dc floats, a multiple of a vector, and inv = r.
func (s *isa) normBlocks() {
	name := s.text("normBlocks", "func(blocks, dc int, x, y, inv *float32, eps float32)")
	blocks, dc, x, y, inv := load("blocks"), load("dc"), load("x"), load("y"), load("inv")
	eps := Load(Param("eps"), XMM()).(vec)
	size, one := XMM(), XMM()
	VXORPS(size, size, size)
	VCVTSI2SSQ(dc, size, size)
	VMOVSS(constant(1), one)
	Label(name + "_block")
	n, p := GP64().(ptr), GP64().(ptr)
	MOVQ(dc, n)
	MOVQ(x, p)
	sum := s.zeros()
	Label(name + "_sum")
	v := s.vec()
	VMOVUPS(at(p, 0), v)
	VFMADD231PS(v, v, sum)
	ADDQ(operand.I32(int32(s.bytes())), p)
	SUBQ(operand.I32(int32(s.lanes())), n)
	JNZ(operand.LabelRef(name + "_sum"))
	r := s.sum(sum)
	VDIVSS(size, r, r)
	VADDSS(eps, r, r)
	VSQRTSS(r, r, r)
	VDIVSS(r, one, r)
	VMOVSS(r, at(inv, 0))
	ADDQ(operand.I8(4), inv)
	scale := s.vec()
	VBROADCASTSS(r, scale)
	n = GP64().(ptr)
	MOVQ(dc, n)
	Label(name + "_scale")
	v = s.vec()
	VMOVUPS(at(x, 0), v)
	VMULPS(scale, v, v)
	VMOVUPS(v, at(y, 0))
	ADDQ(operand.I32(int32(s.bytes())), x)
	ADDQ(operand.I32(int32(s.bytes())), y)
	SUBQ(operand.I32(int32(s.lanes())), n)
	JNZ(operand.LabelRef(name + "_scale"))
	DECQ(blocks)
	JNZ(operand.LabelRef(name + "_block"))
	finish()
}
