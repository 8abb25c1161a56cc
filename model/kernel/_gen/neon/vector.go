package main

import (
	"fmt"
	"math"
)

// halves are bfloat16 that were loaded together: eight of them for two vectors, four for one, or a single one.
type halves struct {
	v       vec
	vectors int
}

func (p *program) readHalves(from ptr, vectors int, single bool) halves {
	h := halves{p.vec(), vectors}
	switch {
	case single:
		p.scope(func() {
			r := p.ptr()
			p.emit("MOVHU (%v), %v", from, r)
			p.emit("FMOVS %v, %s", r, h.v.f())
		})
	case vectors == 1:
		p.emit("FMOVD (%v), %s", from, h.v.f())
	default:
		p.read(h.v, from, 0, false)
	}
	return h
}

// wide returns float32s of h, which it spends.
func (p *program) wide(h halves) []vec {
	if h.vectors == 1 {
		p.widenHalf(h.v, h.v, false)
		return []vec{h.v}
	}
	low := p.vec()
	p.widenHalf(low, h.v, false)
	p.widenHalf(h.v, h.v, true)
	return []vec{low, h.v}
}

// widen computes dst = src.
func (p *program) widen() {
	p.text("widen128", "n int, src *uint16, dst *float32", "")
	n, src, dst := p.load("n"), p.load("src"), p.load("dst")
	p.loop("k", walk{n, []ptr{dst}, []ptr{src}}, 2, func(vectors int, single bool) {
		for i, v := range p.wide(p.readHalves(src, vectors, single)) {
			p.write(v, dst, 16*i, single)
		}
	})
	p.ret()
}

// gemvHalf computes y = W·x for rows·groups rows of W, one or four at a time, and of four fetches as many bytes as it
// reads from ahead on.
func (p *program) gemvHalf(rows int) {
	p.text(fmt.Sprintf("gemvHalf128x%d", rows), "groups, n int, w *uint16, ldw int, x, y *float32, ahead uintptr", "")
	groups, top, ldw, y, ahead := p.load("groups"), p.load("w"), p.load("ldw"), p.load("y"), p.load("ahead")
	n, x, row := p.ptr(), p.ptr(), p.rows(rows)
	sums := p.vectors(2 * rows)
	p.label("rows")
	p.mov(row[0], top)
	p.below(row, ldw)
	p.reload("n", n)
	p.reload("x", x)
	p.clear(sums)
	p.loop("k", walk{n, []ptr{x}, row}, 2, func(vectors int, single bool) {
		hs := make([]halves, rows)
		for i, r := range row {
			hs[i] = p.readHalves(r, vectors, single)
		}
		xs := p.vectors(vectors)
		for u, v := range xs {
			p.read(v, x, 16*u, single)
		}
		ws := make([][]vec, rows)
		for i, h := range hs {
			ws[i] = p.wide(h)
		}
		for i := range ws {
			for u, w := range ws[i] {
				p.fma(sums[rows*u+i], w, xs[u])
			}
		}
		if vectors == 2 && rows == 4 {
			p.fetch(ahead, 64)
		}
	})
	for i := range rows {
		p.three("fadd", sums[i], sums[i], sums[rows+i])
	}
	if rows == 4 {
		p.fourSums(sums)
	} else {
		p.sumLanes(sums[0])
	}
	p.write(sums[0], y, 0, rows == 1)
	p.advance(y, 4*rows)
	p.skip(top, ldw, rows)
	p.next(groups, "rows")
	p.ret()
}

// skip moves r on by rows of ld bytes, one, four or eight of them.
func (p *program) skip(r, ld ptr, rows int) {
	p.emit("ADD %v<<%d, %v", ld, map[int]int{1: 0, 4: 2, 8: 3}[rows], r)
}

// gemvT adds Σ x[r]·W[r] to y over rows·groups rows, one or eight at a time, n columns, and of eight fetches as many
// bytes as it reads from ahead on. W is of float32 or of bfloat16.
func (p *program) gemvT(rows int, half bool) {
	name, kind, size := "gemvT", "float32", 4
	if half {
		name, kind, size = "gemvTHalf", "uint16", 2
	}
	p.text(fmt.Sprintf("%s128x%d", name, rows), "groups, n int, w *"+kind+", ldw int, x, y *float32, ahead uintptr", "")
	groups, top, ldw, x, ahead := p.load("groups"), p.load("w"), p.load("ldw"), p.load("x"), p.load("ahead")
	n, y, row := p.ptr(), p.ptr(), p.rows(rows)
	xs := p.vectors((rows + 3) / 4)
	p.label("rows")
	for i, v := range xs {
		p.read(v, x, 16*i, rows == 1)
	}
	p.mov(row[0], top)
	p.below(row, ldw)
	p.reload("n", n)
	p.reload("y", y)
	w := walk{n: n, floats: append([]ptr{y}, row...)}
	if half {
		w = walk{n: n, floats: []ptr{y}, halves: row}
	}
	p.loop("k", w, 2, func(vectors int, single bool) {
		ws := make([][]vec, rows)
		if half {
			hs := make([]halves, rows)
			for i, r := range row {
				hs[i] = p.readHalves(r, vectors, single)
			}
			for i, h := range hs {
				ws[i] = p.wide(h)
			}
		} else {
			for i, r := range row {
				ws[i] = p.vectors(vectors)
				for u, v := range ws[i] {
					p.read(v, r, 16*u, single)
				}
			}
		}
		// Even and odd rows are added up apart, so that half as many sums wait for one another.
		sums := [2][]vec{p.vectors(vectors), p.vectors(vectors)}
		for u, v := range sums[0] {
			p.read(v, y, 16*u, single)
		}
		for i := range ws {
			op := "fmla"
			if i == 1 {
				op = "fmul"
			}
			for u, v := range ws[i] {
				p.by(op, sums[i%2][u], v, lane{xs[i/4], i % 4})
			}
		}
		for u, v := range sums[0] {
			if rows > 1 {
				p.three("fadd", v, v, sums[1][u])
			}
			p.write(v, y, 16*u, single)
		}
		if vectors == 2 && rows > 1 {
			p.fetch(ahead, 8*size*rows)
		}
	})
	p.advance(x, 4*rows)
	p.skip(top, ldw, rows)
	p.next(groups, "rows")
	p.ret()
}

// blocksHalf computes y = x·W for a block-diagonal W of dc×dc blocks, input-major, one behind the other; dc is a multiple
// of eight. Four rows of a block add up apart, or each would wait for the one before.
func (p *program) blocksHalf() {
	p.text("blocksHalf128", "blocks, dc int, w *uint16, x, y *float32", "")
	blocks, dc, w, x, y := p.load("blocks"), p.load("dc"), p.load("w"), p.load("x"), p.load("y")
	ld, columns, rows, first, row, px := p.ptr(), p.ptr(), p.ptr(), p.ptr(), p.ptr(), p.ptr()
	p.emit("LSL $1, %v, %v", dc, ld)
	sums, xs := p.vectors(8), p.vec()
	p.label("block")
	p.mov(columns, dc)
	p.mov(first, w)
	p.label("columns")
	p.clear(sums)
	p.mov(rows, dc)
	p.mov(row, first)
	p.mov(px, x)
	p.label("rows")
	p.readOn(xs, px, false)
	var hs [4]halves
	for i := range hs {
		hs[i] = p.readHalves(row, 2, false)
		p.add1(row, row, ld)
	}
	p.interleave(4, func(i int) {
		for k, v := range p.wide(hs[i]) {
			p.by("fmla", sums[2*i+k], v, lane{xs, i})
		}
	})
	p.emit("SUBS $4, %v, %v", rows, rows)
	p.emit("BNE rows")
	for k := range 2 {
		p.foldInto("fadd", []vec{sums[k], sums[2+k], sums[4+k], sums[6+k]})
	}
	p.writePair([2]vec{sums[0], sums[1]}, y)
	p.advance(y, 32)
	p.advance(first, 16)
	p.emit("SUBS $8, %v, %v", columns, columns)
	p.emit("BNE columns")
	p.mov(x, px)
	p.emit("MADD %v, %v, %v, %v", ld, w, dc, w)
	p.next(blocks, "block")
	p.ret()
}

func (p *program) dot() {
	p.text("dot128", "n int, x, y *float32", "float32")
	n, x, y := p.load("n"), p.load("x"), p.load("y")
	sums := p.zeros(4)
	p.loop("k", walk{n: n, floats: []ptr{x, y}}, len(sums), func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			v, w := p.vec(), p.vec()
			p.read(v, x, 16*u, single)
			p.read(w, y, 16*u, single)
			p.fma(sums[u], v, w)
		})
	})
	p.foldInto("fadd", sums)
	p.sumLanes(sums[0])
	p.retScalar(sums[0])
}

// each emits a function that computes y from the vectors at x, one after the other, and from y itself if that is
// among them. setup takes what stays in registers.
func (p *program) each(name, parameters string, setup func(), x []string, f func(x []vec) vec) {
	p.text(name, "n int, "+parameters, "")
	n, y := p.load("n"), p.load("y")
	setup()
	w := walk{n: n, floats: []ptr{y}}
	from := make([]ptr, len(x))
	for i, param := range x {
		from[i] = y
		if param != "y" {
			from[i] = p.load(param)
			w.floats = append(w.floats, from[i])
		}
	}
	p.loop("k", w, 4, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			vs := p.vectors(len(from))
			for i, r := range from {
				p.read(vs[i], r, 16*u, single)
			}
			p.write(f(vs), y, 16*u, single)
		})
	})
	p.ret()
}

func (p *program) axpy() {
	var a lane
	p.each("axpy128", "a float32, x, y *float32", func() { a = p.scalar("a") }, []string{"y", "x"}, func(x []vec) vec {
		p.by("fmla", x[0], x[1], a)
		return x[0]
	})
}

func (p *program) add() {
	p.each("add128", "x, y *float32", func() {}, []string{"y", "x"}, func(x []vec) vec {
		p.three("fadd", x[0], x[0], x[1])
		return x[0]
	})
}

func (p *program) mul() {
	p.each("mul128", "a, b, y *float32", func() {}, []string{"a", "b"}, func(x []vec) vec {
		p.three("fmul", x[0], x[0], x[1])
		return x[0]
	})
}

func (p *program) mulAdd() {
	p.each("mulAdd128", "a, b, y *float32", func() {}, []string{"y", "a", "b"}, func(x []vec) vec {
		p.fma(x[0], x[1], x[2])
		return x[0]
	})
}

func (p *program) scale() {
	var a lane
	p.each("scale128", "a float32, y *float32", func() { a = p.scalar("a") }, []string{"y"}, func(x []vec) vec {
		p.by("fmul", x[0], x[0], a)
		return x[0]
	})
}

// mulScale computes y = x·a.
func (p *program) mulScale() {
	var a lane
	p.each("mulScale128", "a float32, x, y *float32", func() { a = p.scalar("a") }, []string{"x"}, func(x []vec) vec {
		p.by("fmul", x[0], x[0], a)
		return x[0]
	})
}

// mulScaleBy computes y = x·a·b with a scalar a and a vector b.
func (p *program) mulScaleBy() {
	var a lane
	p.each("mulScaleBy128", "a float32, x, b, y *float32", func() { a = p.scalar("a") }, []string{"x", "b"}, func(x []vec) vec {
		p.by("fmul", x[0], x[0], a)
		p.three("fmul", x[0], x[0], x[1])
		return x[0]
	})
}

// blend computes y = a + w·(b−a).
func (p *program) blend() {
	p.each("blend128", "a, b, w, y *float32", func() {}, []string{"a", "b", "w"}, func(x []vec) vec {
		p.three("fsub", x[1], x[1], x[0])
		p.fma(x[0], x[1], x[2])
		return x[0]
	})
}

// above returns the sum and the number of the elements that exceed floor.
func (p *program) above() {
	p.text("above128", "n int, x *float32, floor float32", "sum float32, count int")
	n, x := p.load("n"), p.load("x")
	floor := p.spreadScalar("floor")
	first := p.firstLane()
	sums, counts := p.zeros(4), p.zeros(4)
	p.loop("k", walk{n: n, floats: []ptr{x}}, len(sums), func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			v, more := p.vec(), p.vec()
			p.read(v, x, 16*u, single)
			p.three("fcmgt", more, v, floor)
			if single {
				p.emit("VAND %v.B16, %v.B16, %v.B16", first, more, more)
			}
			p.emit("VAND %v.B16, %v.B16, %v.B16", more, v, v)
			p.three("fadd", sums[u], sums[u], v)
			p.emit("VSUB %v.S4, %v.S4, %v.S4", more, counts[u], counts[u]) // all ones are -1
		})
	})
	p.foldInto("fadd", sums)
	p.sumLanes(sums[0])
	for _, c := range counts[1:] {
		p.emit("VADD %v.S4, %v.S4, %v.S4", c, counts[0], counts[0])
	}
	p.emit("VADDV %v.S4, %v", counts[0], counts[0])
	p.emit("VMOV %v.S[0], %v", counts[0], n)
	p.emit("FMOVS %s, %s", sums[0].f(), p.offset("sum"))
	p.emit("MOVD %v, %s", n, p.offset("count"))
	p.ret()
}

// firstLane has ones in its first lane, and zeros.
func (p *program) firstLane() vec { return p.table([4]float32{math.Float32frombits(math.MaxUint32)}) }

func (p *program) max() {
	p.text("max128", "n int, x *float32", "float32")
	n, x := p.load("n"), p.load("x")
	tops := make([]vec, 4)
	for i := range tops {
		tops[i] = p.constant(float32(math.Inf(-1)))
	}
	p.loop("k", walk{n: n, floats: []ptr{x}}, len(tops), func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			v := p.vec()
			if single { // a zero beside it could be larger
				p.emit("VLD1R (%v), [%v.S4]", x, v)
			} else {
				p.read(v, x, 16*u, false)
			}
			p.three("fmax", tops[u], tops[u], v)
		})
	})
	p.foldInto("fmax", tops)
	p.three("fmaxp", tops[0], tops[0], tops[0])
	p.three("fmaxp", tops[0], tops[0], tops[0])
	p.retScalar(tops[0])
}

// exponential holds the constants of exp: those that instructions take as a lane in tables, the others spread.
type exponential struct {
	p                   *program
	high, low, inf, one vec
	poly                [6]lane
	log2, ln2a, ln2b    lane
}

// The exponential is the one that generic.go describes.
const (
	expHigh, expLow  = 88.72283, -87.33654
	expLog2          = 1.44269504088896341
	expLn2a, expLn2b = 0.693359375, -2.12194440e-4
)

var expPoly = [6]float32{
	1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
}

func (p *program) exponential() exponential {
	c := expPoly
	t := [3]vec{
		p.table([4]float32{c[0], c[1], c[2], c[3]}),
		p.table([4]float32{c[4], c[5], expLog2, expLn2a}),
		p.table([4]float32{expLn2b}),
	}
	e := exponential{
		p: p, high: p.constant(expHigh), low: p.constant(expLow), inf: p.constant(float32(math.Inf(1))), one: p.constant(1),
		log2: lane{t[1], 2}, ln2a: lane{t[1], 3}, ln2b: lane{t[2], 0},
	}
	for i := range e.poly {
		e.poly[i] = lane{t[i/4], i % 4}
	}
	return e
}

// of computes x = exp x. What comes out for an x beyond the bounds is replaced; a NaN, which is not beyond
// either, stays one.
func (e exponential) of(x vec) {
	p := e.p
	over, under, n, y, t := p.vec(), p.vec(), p.vec(), p.vec(), p.vec()
	p.three("fcmgt", over, x, e.high)
	p.three("fcmgt", under, e.low, x)
	p.by("fmul", n, x, e.log2)
	p.two("frintn", n, n)
	p.by("fmls", x, n, e.ln2a)
	p.by("fmls", x, n, e.ln2b)
	p.dup(y, e.poly[1])
	p.by("fmla", y, x, e.poly[0])
	for _, c := range e.poly[2:] {
		p.dup(t, c)
		p.fma(t, y, x)
		y, t = t, y
	}
	p.three("fmul", t, x, x)
	p.three("fadd", x, x, e.one)
	p.fma(x, y, t) // y·x² + (x + 1)
	p.two("fcvtns", n, n)
	p.emit("VSHL $23, %v.S4, %v.S4", n, n)
	p.emit("VADD %v.S4, %v.S4, %v.S4", n, x, x)
	p.emit("VBIT %v.B16, %v.B16, %v.B16", over, e.inf, x)
	p.andNot(x, x, under)
}

// onePlusExpNeg returns 1 + exp(-x) and leaves x alone.
func (e exponential) onePlusExpNeg(x vec) vec {
	y := e.p.vec()
	e.p.two("fneg", y, x)
	e.p.scope(func() { e.of(y) })
	e.p.three("fadd", y, y, e.one)
	return y
}

// sigmoid returns 1/(1 + exp(-x)) and leaves x alone.
func (e exponential) sigmoid(x vec) vec {
	d := e.onePlusExpNeg(x)
	e.p.three("fdiv", d, e.one, d)
	return d
}

// unary emits a function of x alone. It takes many registers, so only two vectors are under way at once.
func (p *program) unary(name string, setup func(), f func(x vec) vec) {
	p.text(name, "n int, x, y *float32", "")
	n, x, y := p.load("n"), p.load("x"), p.load("y")
	setup()
	p.loop("k", walk{n: n, floats: []ptr{x, y}}, 2, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			v := p.vec()
			p.read(v, x, 16*u, single)
			p.write(f(v), y, 16*u, single)
		})
	})
	p.ret()
}

func (p *program) exp() {
	var e exponential
	p.unary("exp128", func() { e = p.exponential() }, func(x vec) vec { e.of(x); return x })
}

func (p *program) sigmoid() {
	var e exponential
	p.unary("sigmoid128", func() { e = p.exponential() }, func(x vec) vec { return e.sigmoid(x) })
}

func (p *program) silu() {
	var e exponential
	var least vec
	setup := func() {
		e = p.exponential()
		least = p.constant(-math.MaxFloat32)
	}
	p.unary("silu128", setup, func(x vec) vec { return e.silu(x, least) })
}

// silu returns x/(1 + exp(-x)) and spends x. least bounds it from below: of -Inf it is the limit, 0, and not NaN.
func (e exponential) silu(x, least vec) vec {
	e.p.three("fmax", x, x, least)
	d := e.onePlusExpNeg(x)
	e.p.three("fdiv", x, x, d)
	return x
}

// expSum computes x = exp(x-shift) in place and returns the sum.
func (p *program) expSum() {
	p.text("expSum128", "n int, x *float32, shift float32", "float32")
	n, x := p.load("n"), p.load("x")
	shift := p.spreadScalar("shift")
	e := p.exponential()
	first := p.firstLane()
	sums := p.zeros(2)
	p.loop("k", walk{n: n, floats: []ptr{x}}, len(sums), func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			v := p.vec()
			p.read(v, x, 16*u, single)
			p.three("fsub", v, v, shift)
			e.of(v)
			p.write(v, x, 16*u, single)
			if single {
				p.emit("VAND %v.B16, %v.B16, %v.B16", first, v, v)
			}
			p.three("fadd", sums[u], sums[u], v)
		})
	})
	p.foldInto("fadd", sums)
	p.sumLanes(sums[0])
	p.retScalar(sums[0])
}

// swiglu computes hid = silu(a)·b for rows of act = [a | b], each of the two n long.
func (p *program) swiglu() {
	p.text("swiglu128", "rows, n int, act, hid *float32", "")
	rows, b, hid := p.load("rows"), p.load("act"), p.load("hid")
	n, a := p.ptr(), p.ptr()
	e := p.exponential()
	least := p.constant(-math.MaxFloat32)
	p.label("rows")
	p.reload("n", n)
	p.mov(a, b)
	p.emit("ADD %v<<2, %v", n, b)
	p.loop("k", walk{n: n, floats: []ptr{a, b, hid}}, 2, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			v, w := p.vec(), p.vec()
			p.read(v, a, 16*u, single)
			p.read(w, b, 16*u, single)
			v = e.silu(v, least)
			p.three("fmul", v, v, w)
			p.write(v, hid, 16*u, single)
		})
	})
	p.next(rows, "rows")
	p.ret()
}

// adam takes c = rate, β1, 1-β1, β2, 1-β2, decay, 1/(1-β2ᵗ), ε, with 1/(1-β1ᵗ) already in the rate.
func (p *program) adam() {
	p.text("adam128", "n int, p, grad, m, v *float32, c *[8]float32", "")
	n, param, grad, m, v, c := p.load("n"), p.load("p"), p.load("grad"), p.load("m"), p.load("v"), p.load("c")
	k := [2]vec{p.vec(), p.vec()}
	p.readPair(k, c)
	rate, beta1, keep1, beta2 := lane{k[0], 0}, lane{k[0], 1}, lane{k[0], 2}, lane{k[0], 3}
	keep2, decay, corr2 := lane{k[1], 0}, lane{k[1], 1}, lane{k[1], 2}
	eps := p.vec()
	p.dup(eps, lane{k[1], 3})
	p.loop("k", walk{n: n, floats: []ptr{param, grad, m, v}}, 2, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			g, m1, m2, old := p.vec(), p.vec(), p.vec(), p.vec()
			first, second := p.vec(), p.vec()
			p.read(g, grad, 16*u, single)
			p.read(m1, m, 16*u, single)
			p.read(m2, v, 16*u, single)
			p.read(old, param, 16*u, single)
			p.by("fmul", first, m1, beta1)
			p.by("fmul", second, m2, beta2)
			p.by("fmla", first, g, keep1)
			p.three("fmul", g, g, g)
			p.by("fmla", second, g, keep2)
			p.write(first, m, 16*u, single)
			p.write(second, v, 16*u, single)
			p.by("fmul", second, second, corr2)
			p.two("fsqrt", second, second)
			p.three("fadd", second, second, eps)
			p.by("fmul", first, first, rate)
			p.three("fdiv", first, first, second)
			p.by("fmls", old, old, decay)
			p.three("fsub", old, old, first)
			p.write(old, param, 16*u, single)
		})
	})
	p.ret()
}

// columns runs body for blocks of four vectors, then one, then float by float of the d columns at the pointers. body
// walks all rows of its block, with pointers of its own.
func (p *program) columns(w walk, body func(label string, vectors int, single bool)) {
	block := func(label string, vectors int, single bool, by, elements int, next string) {
		p.label(label)
		p.scope(func() { body(label+"_rows", vectors, single) })
		p.move(w, elements)
		p.countdown(w.n, by, next)
	}
	p.emit("SUBS $16, %v, %v", w.n, w.n)
	p.emit("BLT some")
	block("four", 4, false, 16, 16, "four")
	p.label("some")
	p.emit("ADDS $12, %v, %v", w.n, w.n)
	p.emit("BLT few")
	block("one", 1, false, 4, 4, "one")
	p.label("few")
	p.emit("ADDS $3, %v, %v", w.n, w.n)
	p.emit("BLT done")
	block("last", 1, true, 1, 1, "last")
	p.label("done")
}

// decayScan keeps the state of up to four vectors of columns in registers and walks all rows: out = s, s = α·(s+x).
func (p *program) decayScan() {
	p.text("decayScan128", "rows, d int, out, x *float32, ld int, state *float32, alpha float32", "")
	d, out, x, ld, state := p.load("d"), p.load("out"), p.load("x"), p.load("ld"), p.load("state")
	alpha := p.scalar("alpha")
	p.columns(walk{n: d, floats: []ptr{out, x, state}}, func(label string, vectors int, single bool) {
		po, px, rows := p.ptr(), p.ptr(), p.load("rows")
		p.mov(po, out)
		p.mov(px, x)
		s, in := p.vectors(vectors), p.vectors(vectors)
		for j := range s {
			p.read(s[j], state, 16*j, single)
		}
		p.label(label)
		p.interleave(vectors, func(j int) {
			p.read(in[j], px, 16*j, single)
			p.three("fadd", in[j], in[j], s[j])
			p.write(s[j], po, 16*j, single)
			p.by("fmul", s[j], in[j], alpha)
		})
		p.add1(po, po, ld)
		p.add1(px, px, ld)
		p.next(rows, label)
		for j := range s {
			p.write(s[j], state, 16*j, single)
		}
	})
	p.ret()
}

// decayScanBack starts at the last row and walks with a negative ld: μ *= α, dx += μ, μ += dout.
func (p *program) decayScanBack() {
	p.text("decayScanBack128", "rows, d int, dx, dout *float32, ld int, mu *float32, alpha float32", "")
	d, dx, dout, ld, mu := p.load("d"), p.load("dx"), p.load("dout"), p.load("ld"), p.load("mu")
	alpha := p.scalar("alpha")
	p.columns(walk{n: d, floats: []ptr{dx, dout, mu}}, func(label string, vectors int, single bool) {
		px, po, rows := p.ptr(), p.ptr(), p.load("rows")
		p.mov(px, dx)
		p.mov(po, dout)
		u, sum, in := p.vectors(vectors), p.vectors(vectors), p.vectors(vectors)
		for j := range u {
			p.read(u[j], mu, 16*j, single)
		}
		p.label(label)
		p.interleave(vectors, func(j int) {
			p.by("fmul", u[j], u[j], alpha)
			p.read(sum[j], px, 16*j, single)
			p.read(in[j], po, 16*j, single)
			p.three("fadd", sum[j], sum[j], u[j])
			p.write(sum[j], px, 16*j, single)
			p.three("fadd", u[j], u[j], in[j])
		})
		p.add1(px, px, ld)
		p.add1(po, po, ld)
		p.next(rows, label)
		for j := range u {
			p.write(u[j], mu, 16*j, single)
		}
	})
	p.ret()
}

// slopeScan walks as decayScan does: out = s, s += (x−s)·inv, with an inv for each row.
func (p *program) slopeScan() {
	p.text("slopeScan128", "rows, d int, out, x *float32, ld int, inv *float32, ldi int, state *float32", "")
	d, out, x, ld, ldi, state := p.load("d"), p.load("out"), p.load("x"), p.load("ld"), p.load("ldi"), p.load("state")
	p.columns(walk{n: d, floats: []ptr{out, x, state}}, func(label string, vectors int, single bool) {
		po, px, rows, inv, k := p.ptr(), p.ptr(), p.load("rows"), p.load("inv"), p.vec()
		p.mov(po, out)
		p.mov(px, x)
		s, in := p.vectors(vectors), p.vectors(vectors)
		for j := range s {
			p.read(s[j], state, 16*j, single)
		}
		p.label(label)
		p.read(k, inv, 0, true)
		p.interleave(vectors, func(j int) {
			p.read(in[j], px, 16*j, single)
			p.write(s[j], po, 16*j, single)
			p.three("fsub", in[j], in[j], s[j])
			p.by("fmla", s[j], in[j], lane{k, 0})
		})
		p.add1(po, po, ld)
		p.add1(px, px, ld)
		p.add1(inv, inv, ldi)
		p.next(rows, label)
		for j := range s {
			p.write(s[j], state, 16*j, single)
		}
	})
	p.ret()
}

// slopeScanBack starts at the last row and walks with a negative ld and ldi: dx += λ·inv, λ = dout + λ − λ·inv.
func (p *program) slopeScanBack() {
	p.text("slopeScanBack128", "rows, d int, dx, dout *float32, ld int, inv *float32, ldi int, lambda *float32", "")
	d, dx, dout, ld, ldi, lambda := p.load("d"), p.load("dx"), p.load("dout"), p.load("ld"), p.load("ldi"), p.load("lambda")
	p.columns(walk{n: d, floats: []ptr{dx, dout, lambda}}, func(label string, vectors int, single bool) {
		px, po, rows, inv, k := p.ptr(), p.ptr(), p.load("rows"), p.load("inv"), p.vec()
		p.mov(px, dx)
		p.mov(po, dout)
		l, sum, in, given := p.vectors(vectors), p.vectors(vectors), p.vectors(vectors), p.vectors(vectors)
		for j := range l {
			p.read(l[j], lambda, 16*j, single)
		}
		p.label(label)
		p.read(k, inv, 0, true)
		p.interleave(vectors, func(j int) {
			p.by("fmul", given[j], l[j], lane{k, 0})
			p.read(sum[j], px, 16*j, single)
			p.read(in[j], po, 16*j, single)
			p.three("fadd", sum[j], sum[j], given[j])
			p.write(sum[j], px, 16*j, single)
			p.three("fsub", l[j], l[j], given[j])
			p.three("fadd", l[j], l[j], in[j])
		})
		p.add1(px, px, ld)
		p.add1(po, po, ld)
		p.add1(inv, inv, ldi)
		p.next(rows, label)
		for j := range l {
			p.write(l[j], lambda, 16*j, single)
		}
	})
	p.ret()
}

// burn multiplies and adds as fast as the processor can, in twelve chains that do not wait for each other, n times.
func (p *program) burn() {
	p.text("burn128", "n int", "")
	n, x, sums := p.load("n"), p.zeros(2), p.zeros(12)
	p.label("turn")
	for _, s := range sums {
		p.fma(s, x[0], x[1])
	}
	p.next(n, "turn")
	p.ret()
}

// sweep loads n blocks of eight vectors and does nothing with them. It fetches as many bytes from ahead on.
func (p *program) sweep() {
	p.text("sweep128", "n int, x *float32, ahead uintptr", "")
	n, x, ahead, seen := p.load("n"), p.load("x"), p.load("ahead"), p.vectors(8)
	p.label("block")
	for i, v := range seen {
		p.read(v, x, 16*i, false)
	}
	p.advance(x, 16*len(seen))
	p.fetch(ahead, 16*len(seen))
	p.next(n, "block")
	p.ret()
}

// normBlocks computes y = x·r with r = 1/√(mean(x²)+eps) in each block of dc floats, a multiple of eight, and inv = r.
func (p *program) normBlocks() {
	p.text("normBlocks128", "blocks, dc int, x, y, inv *float32, eps float32", "")
	blocks, dc, x, y, inv, eps := p.load("blocks"), p.load("dc"), p.load("x"), p.load("y"), p.load("inv"), p.scalar("eps").v
	n, ahead, size, one, r := p.ptr(), p.ptr(), p.vec(), p.vec(), p.vec()
	sums, v := p.vectors(2), [2]vec{p.vec(), p.vec()}
	p.emit("SCVTFS %v, %s", dc, size.f())
	p.emit("FMOVS $1.0, %s", one.f())
	p.label("block")
	p.clear(sums)
	p.mov(n, dc)
	p.mov(ahead, x)
	p.label("sum")
	p.readPair(v, ahead)
	p.fma(sums[0], v[0], v[0])
	p.fma(sums[1], v[1], v[1])
	p.advance(ahead, 32)
	p.emit("SUBS $8, %v, %v", n, n)
	p.emit("BNE sum")
	p.foldInto("fadd", sums)
	p.sumLanes(sums[0])
	p.emit("FDIVS %s, %s, %s", size.f(), sums[0].f(), r.f())
	p.emit("FADDS %s, %s, %s", eps.f(), r.f(), r.f())
	p.emit("FSQRTS %s, %s", r.f(), r.f())
	p.emit("FDIVS %s, %s, %s", r.f(), one.f(), r.f())
	p.write(r, inv, 0, true)
	p.advance(inv, 4)
	p.mov(n, dc)
	p.label("scale")
	p.readPair(v, x)
	p.by("fmul", v[0], v[0], lane{r, 0})
	p.by("fmul", v[1], v[1], lane{r, 0})
	p.writePair(v, y)
	p.advance(x, 32)
	p.advance(y, 32)
	p.emit("SUBS $8, %v, %v", n, n)
	p.emit("BNE scale")
	p.next(blocks, "block")
	p.ret()
}
