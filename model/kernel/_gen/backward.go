package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// sigmoidOf returns σ(x) and leaves x alone.
func (s *isa) sigmoidOf(c *consts, x vec) vec {
	e := s.onePlusExpNeg(c, x)
	one := c.reg(1)
	VDIVPS(e, one, one)
	return one
}

// siluSlope returns d·SiLU'(x) = d·σ(1 + x(1−σ)) for σ = sigmoid(x). It spends d and σ and leaves x alone.
func (s *isa) siluSlope(c *consts, d, x, sigma vec) vec {
	VMULPS(sigma, d, d)
	t := c.reg(1)
	VSUBPS(sigma, t, t)
	VMULPS(x, t, t)
	VADDPS(c.op(1), t, t)
	VMULPS(t, d, d)
	return d
}

// swigluBack goes over rows of act = [a | b], dact likewise, and hid and dhid, n long:
// dgate = ⟨hid, dhid⟩, d = gate·dhid, dact = [d·b·SiLU'(a) | d·a·σ(a)], dhid = gate·hid.
func (s *isa) swigluBack() {
	name := s.text("swigluBack", "func(rows, n int, dact, dgate, dhid, act, hid, gate *float32)")
	gate, dgate := load("gate"), load("dgate")
	a, da, h, dh := load("act"), load("dact"), load("hid"), load("dhid")
	c := s.expConsts()
	Label(name + "_rows")
	n, b, db := load("n"), GP64().(ptr), GP64().(ptr)
	LEAQ(operand.Mem{Base: a, Index: n, Scale: 4}, b)
	LEAQ(operand.Mem{Base: da, Index: n, Scale: 4}, db)
	g, sum := s.vec(), s.zeros()
	VBROADCASTSS(at(gate, 0), g)
	s.loop(name, n, []ptr{a, da, b, db, h, dh}, 1, func(_, off int, masked bool) {
		hid, d := s.load(at(h, off), masked), s.load(at(dh, off), masked)
		VFMADD231PS(hid, d, sum)
		VMULPS(g, hid, hid)
		s.store(hid, at(dh, off), masked)
		VMULPS(g, d, d)
		x := s.load(at(a, off), masked)
		sigma := s.sigmoidOf(c, x)
		d3 := s.vec()
		VMULPS(x, sigma, d3)
		VMULPS(d, d3, d3)
		s.store(d3, at(db, off), masked)
		VMULPS(s.load(at(b, off), masked), d, d)
		s.store(s.siluSlope(c, d, x, sigma), at(da, off), masked)
	})
	// The loop leaves its pointers before the tail that it masked.
	rest := load("n")
	s.tail(rest, []ptr{b, db, h, dh})
	MOVQ(b, a)
	MOVQ(db, da)
	r := s.sum(sum)
	VMOVSS(r, at(dgate, 0))
	ADDQ(operand.I8(4), gate)
	ADDQ(operand.I8(4), dgate)
	rows := load("rows")
	DECQ(rows)
	Store(rows, Param("rows"))
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}

// tail moves pointers by the floats of n that are no whole vector. n is spent.
func (s *isa) tail(n ptr, ptrs []ptr) {
	ANDQ(operand.I8(int8(s.lanes()-1)), n)
	for _, p := range ptrs {
		LEAQ(operand.Mem{Base: p, Index: n, Scale: 4}, p)
	}
}

// mixBack is the derivative of out = u·SiLU(v) + sf·e with sv = SiLU(v) and sf = σ(f) at hand.
func (s *isa) mixBack() {
	name := s.text("mixBack", "func(n int, du, dv, df, de, dout, u, v, sv, sf, e *float32)")
	n := load("n")
	du, dv, df, de, dout := load("du"), load("dv"), load("df"), load("de"), load("dout")
	u, v, sv, sf, e := load("u"), load("v"), load("sv"), load("sf"), load("e")
	c := s.expConsts()
	s.loop(name, n, []ptr{du, dv, df, de, dout, u, v, sv, sf, e}, 1, func(_, off int, masked bool) {
		d := s.load(at(dout, off), masked)
		t := s.load(at(sv, off), masked)
		VMULPS(d, t, t)
		s.store(t, at(du, off), masked)
		f := s.load(at(sf, off), masked)
		t = s.vec()
		VMULPS(d, f, t)
		s.store(t, at(de, off), masked)
		keep := c.reg(1)
		VSUBPS(f, keep, keep)
		VMULPS(keep, t, t)
		VMULPS(s.load(at(e, off), masked), t, t)
		s.store(t, at(df, off), masked)
		x := s.load(at(v, off), masked)
		VMULPS(s.load(at(u, off), masked), d, d)
		s.store(s.siluSlope(c, d, x, s.sigmoidOf(c, x)), at(dv, off), masked)
	})
	finish()
}

// blendBack is the derivative of y = a + w·(b−a).
func (s *isa) blendBack() {
	name := s.text("blendBack", "func(n int, da, db, dw, dy, a, b, w *float32)")
	n, da, db, dw, dy := load("n"), load("da"), load("db"), load("dw"), load("dy")
	a, b, w := load("a"), load("b"), load("w")
	s.loop(name, n, []ptr{da, db, dw, dy, a, b, w}, 2, func(_, off int, masked bool) {
		d := s.load(at(dy, off), masked)
		part := s.vec()
		VMULPS(s.load(at(w, off), masked), d, part)
		t := s.load(at(db, off), masked)
		VADDPS(part, t, t)
		s.store(t, at(db, off), masked)
		t = s.load(at(da, off), masked)
		VADDPS(d, t, t)
		VSUBPS(part, t, t)
		s.store(t, at(da, off), masked)
		diff := s.load(at(b, off), masked)
		VSUBPS(s.load(at(a, off), masked), diff, diff)
		t = s.load(at(dw, off), masked)
		VFMADD231PS(diff, d, t)
		s.store(t, at(dw, off), masked)
	})
	finish()
}

// normBack is the derivative of y = x·r·gain with r = 1/√(mean(x²)+ε): dgain += dy·x·r, then with t = gain·dy,
// which replaces dy, dx += r·t − x·r³/n·⟨x, t⟩.
func (s *isa) normBack() {
	name := s.text("normBack", "func(n int, dx, dgain, dy, x, gain *float32, r float32)")
	n, dgain, dy, x, gain := load("n"), load("dgain"), load("dy"), load("x"), load("gain")
	r := s.spread("r")
	sum := s.zeros()
	s.loop(name+"_a", n, []ptr{dgain, dy, x, gain}, 2, func(_, off int, masked bool) {
		d, v := s.load(at(dy, off), masked), s.load(at(x, off), masked)
		t := s.vec()
		VMULPS(v, d, t)
		g := s.load(at(dgain, off), masked)
		VFMADD231PS(t, r, g)
		s.store(g, at(dgain, off), masked)
		VMULPS(s.load(at(gain, off), masked), d, d)
		s.store(d, at(dy, off), masked)
		VFMADD231PS(v, d, sum)
	})
	q := s.sum(sum)
	n = load("n")
	size := XMM()
	VXORPS(size, size, size)
	VCVTSI2SSQ(n, size, size)
	VDIVSS(size, q, q)
	for range 3 {
		VMULSS(r.AsX(), q, q)
	}
	c := s.vec()
	VBROADCASTSS(q, c)
	dx := load("dx")
	dy, x = load("dy"), load("x")
	s.loop(name+"_b", n, []ptr{dx, dy, x}, 2, func(_, off int, masked bool) {
		t := s.load(at(dx, off), masked)
		VFMADD231PS(s.load(at(dy, off), masked), r, t)
		VFNMADD231PS(s.load(at(x, off), masked), c, t)
		s.store(t, at(dx, off), masked)
	})
	finish()
}

// normBlocksBack is the derivative of y = x·inv in each block of dc floats, a multiple of a vector, with
// inv = 1/√(mean(x²)+ε) of the block: dx = inv·dy − x·inv³/dc·⟨x, dy⟩.
func (s *isa) normBlocksBack() {
	name := s.text("normBlocksBack", "func(blocks, dc int, dx, dy, x, inv *float32)")
	blocks, dc, dx, dy, x, inv := load("blocks"), load("dc"), load("dx"), load("dy"), load("x"), load("inv")
	size := XMM()
	VXORPS(size, size, size)
	VCVTSI2SSQ(dc, size, size)
	Label(name + "_block")
	n, px, py := GP64().(ptr), GP64().(ptr), GP64().(ptr)
	MOVQ(dc, n)
	MOVQ(x, px)
	MOVQ(dy, py)
	sum := s.zeros()
	Label(name + "_sum")
	v := s.vec()
	VMOVUPS(at(px, 0), v)
	VFMADD231PS(at(py, 0), v, sum)
	ADDQ(operand.I32(int32(s.bytes())), px)
	ADDQ(operand.I32(int32(s.bytes())), py)
	SUBQ(operand.I32(int32(s.lanes())), n)
	JNZ(operand.LabelRef(name + "_sum"))
	q := s.sum(sum)
	VDIVSS(size, q, q)
	for range 3 {
		VMULSS(at(inv, 0), q, q)
	}
	c, r := s.vec(), s.vec()
	VBROADCASTSS(q, c)
	VBROADCASTSS(at(inv, 0), r)
	ADDQ(operand.I8(4), inv)
	n = GP64().(ptr)
	MOVQ(dc, n)
	Label(name + "_back")
	v = s.vec()
	VMULPS(at(dy, 0), r, v)
	VFNMADD231PS(at(x, 0), c, v)
	VMOVUPS(v, at(dx, 0))
	for _, p := range []ptr{dx, dy, x} {
		ADDQ(operand.I32(int32(s.bytes())), p)
	}
	SUBQ(operand.I32(int32(s.lanes())), n)
	JNZ(operand.LabelRef(name + "_back"))
	DECQ(blocks)
	JNZ(operand.LabelRef(name + "_block"))
	finish()
}
