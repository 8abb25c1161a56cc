package main

// siluSlope computes d = d·SiLU'(x) = d·σ(1 + x(1−σ)) for σ = sigmoid(x), and leaves x alone.
func (e exponential) siluSlope(d, x, sigma vec) {
	p := e.p
	p.three("fmul", d, d, sigma)
	p.scope(func() {
		t := p.vec()
		p.three("fsub", t, e.one, sigma)
		p.three("fmul", t, t, x)
		p.three("fadd", t, t, e.one)
		p.three("fmul", d, d, t)
	})
}

// swigluBack goes over rows of act = [a | b], dact likewise, and hid and dhid, n long:
// dgate = ⟨hid, dhid⟩, d = gate·dhid, dact = [d·b·SiLU'(a) | d·a·σ(a)], dhid = gate·hid.
func (p *program) swigluBack() {
	p.text("swigluBack128", "rows, n int, dact, dgate, dhid, act, hid, gate *float32", "")
	rows, gate, dgate := p.load("rows"), p.load("gate"), p.load("dgate")
	b, db, h, dh := p.load("act"), p.load("dact"), p.load("hid"), p.load("dhid")
	n, a, da := p.ptr(), p.ptr(), p.ptr()
	e := p.exponential()
	g, sums := lane{p.vec(), 0}, p.vectors(2)
	p.label("rows")
	p.reload("n", n)
	p.mov(a, b)
	p.mov(da, db)
	p.emit("ADD %v<<2, %v", n, b)
	p.emit("ADD %v<<2, %v", n, db)
	p.read(g.v, gate, 0, true)
	p.clear(sums)
	p.loop("k", walk{n: n, floats: []ptr{a, da, b, db, h, dh}}, 2, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			hid, d, x, t := p.vec(), p.vec(), p.vec(), p.vec()
			p.read(hid, h, 16*u, single)
			p.read(d, dh, 16*u, single)
			p.read(x, a, 16*u, single)
			p.fma(sums[u], hid, d)
			p.by("fmul", hid, hid, g)
			p.write(hid, dh, 16*u, single)
			p.by("fmul", d, d, g)
			sigma := e.sigmoid(x)
			p.three("fmul", t, x, sigma)
			p.three("fmul", t, t, d)
			p.read(hid, b, 16*u, single)
			p.write(t, db, 16*u, single)
			p.three("fmul", d, d, hid)
			e.siluSlope(d, x, sigma)
			p.write(d, da, 16*u, single)
		})
	})
	p.foldInto("fadd", sums)
	p.sumLanes(sums[0])
	p.write(sums[0], dgate, 0, true)
	p.advance(gate, 4)
	p.advance(dgate, 4)
	p.next(rows, "rows")
	p.ret()
}

// mixBack is the derivative of out = u·SiLU(v) + sf·e with sv = SiLU(v) and sf = σ(f) at hand.
func (p *program) mixBack() {
	p.text("mixBack128", "n int, du, dv, df, de, dout, u, v, sv, sf, e *float32", "")
	n, du, dv, df, de, dout := p.load("n"), p.load("du"), p.load("dv"), p.load("df"), p.load("de"), p.load("dout")
	pu, pv, sv, sf, pe := p.load("u"), p.load("v"), p.load("sv"), p.load("sf"), p.load("e")
	e := p.exponential()
	w := walk{n: n, floats: []ptr{du, dv, df, de, dout, pu, pv, sv, sf, pe}}
	p.loop("k", w, 2, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			read := func(from ptr) vec {
				v := p.vec()
				p.read(v, from, 16*u, single)
				return v
			}
			d, x := read(dout), read(pv)
			p.scope(func() {
				t, f, in, keep := read(sv), read(sf), read(pe), p.vec()
				p.three("fmul", t, t, d)
				p.write(t, du, 16*u, single)
				p.three("fsub", keep, e.one, f)
				p.three("fmul", f, f, d)
				p.write(f, de, 16*u, single)
				p.three("fmul", f, f, keep)
				p.three("fmul", f, f, in)
				p.write(f, df, 16*u, single)
			})
			p.three("fmul", d, d, read(pu))
			e.siluSlope(d, x, e.sigmoid(x))
			p.write(d, dv, 16*u, single)
		})
	})
	p.ret()
}

// blendBack is the derivative of y = a + w·(b−a).
func (p *program) blendBack() {
	p.text("blendBack128", "n int, da, db, dw, dy, a, b, w *float32", "")
	n, da, db, dw, dy := p.load("n"), p.load("da"), p.load("db"), p.load("dw"), p.load("dy")
	a, b, w := p.load("a"), p.load("b"), p.load("w")
	p.loop("k", walk{n: n, floats: []ptr{da, db, dw, dy, a, b, w}}, 2, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			v := p.vectors(7)
			for i, from := range []ptr{dy, w, a, b, da, db, dw} {
				p.read(v[i], from, 16*u, single)
			}
			d, part, from, to := v[0], v[1], v[2], v[3]
			p.three("fmul", part, part, d)
			p.three("fsub", to, to, from)
			p.three("fadd", v[4], v[4], d)
			p.three("fsub", v[4], v[4], part)
			p.three("fadd", v[5], v[5], part)
			p.fma(v[6], to, d)
			for i, at := range []ptr{da, db, dw} {
				p.write(v[4+i], at, 16*u, single)
			}
		})
	})
	p.ret()
}

// normBack is the derivative of y = x·r·gain with r = 1/√(mean(x²)+ε): dgain += dy·x·r, then with t = gain·dy,
// which replaces dy, dx += r·t − x·r³/n·⟨x, t⟩.
func (p *program) normBack() {
	p.text("normBack128", "n int, dx, dgain, dy, x, gain *float32, r float32", "")
	n, dx, dgain, dy, x, gain := p.load("n"), p.load("dx"), p.load("dgain"), p.load("dy"), p.load("x"), p.load("gain")
	r, c, sums := p.scalar("r"), p.vec(), p.zeros(2)
	p.loop("first", walk{n: n, floats: []ptr{dgain, dy, x, gain}}, 2, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			d, v, g, old, t := p.vec(), p.vec(), p.vec(), p.vec(), p.vec()
			p.read(d, dy, 16*u, single)
			p.read(v, x, 16*u, single)
			p.read(g, gain, 16*u, single)
			p.read(old, dgain, 16*u, single)
			p.three("fmul", t, d, v)
			p.three("fmul", d, d, g)
			p.by("fmla", old, t, r)
			p.fma(sums[u], d, v)
			p.write(d, dy, 16*u, single)
			p.write(old, dgain, 16*u, single)
		})
	})
	p.reload("n", n)
	p.reload("dy", dy)
	p.reload("x", x)
	p.foldInto("fadd", sums)
	p.slopeOfNorm(c, sums[0], n, r.v)
	p.loop("then", walk{n: n, floats: []ptr{dx, dy, x}}, 2, func(vectors int, single bool) {
		p.interleave(vectors, func(u int) {
			t, d, v := p.vec(), p.vec(), p.vec()
			p.read(t, dx, 16*u, single)
			p.read(d, dy, 16*u, single)
			p.read(v, x, 16*u, single)
			p.by("fmla", t, d, r)
			p.by("fmls", t, v, lane{c, 0})
			p.write(t, dx, 16*u, single)
		})
	})
	p.ret()
}

// slopeOfNorm computes c = r³/n·Σ over the lanes of sum, which it spends.
func (p *program) slopeOfNorm(c, sum vec, n ptr, r vec) {
	p.sumLanes(sum)
	p.emit("SCVTFS %v, %s", n, c.f())
	p.emit("FDIVS %s, %s, %s", c.f(), sum.f(), c.f())
	for range 3 {
		p.emit("FMULS %s, %s, %s", r.f(), c.f(), c.f())
	}
}

// normBlocksBack is the derivative of y = x·inv in each block of dc floats, a multiple of eight, with
// inv = 1/√(mean(x²)+ε) of the block: dx = inv·dy − x·inv³/dc·⟨x, dy⟩.
func (p *program) normBlocksBack() {
	p.text("normBlocksBack128", "blocks, dc int, dx, dy, x, inv *float32", "")
	blocks, dc, dx, dy, x, inv := p.load("blocks"), p.load("dc"), p.load("dx"), p.load("dy"), p.load("x"), p.load("inv")
	n, px, py, c, r, sums := p.ptr(), p.ptr(), p.ptr(), p.vec(), p.vec(), p.vectors(2)
	v, d := [2]vec{p.vec(), p.vec()}, [2]vec{p.vec(), p.vec()}
	p.label("block")
	p.clear(sums)
	p.mov(n, dc)
	p.mov(px, x)
	p.mov(py, dy)
	p.label("sum")
	p.readPair(v, px)
	p.readPair(d, py)
	p.fma(sums[0], v[0], d[0])
	p.fma(sums[1], v[1], d[1])
	p.advance(px, 32)
	p.advance(py, 32)
	p.emit("SUBS $8, %v, %v", n, n)
	p.emit("BNE sum")
	p.foldInto("fadd", sums)
	p.read(r, inv, 0, true)
	p.advance(inv, 4)
	p.slopeOfNorm(c, sums[0], dc, r)
	p.mov(n, dc)
	p.label("back")
	p.readPair(v, x)
	p.readPair(d, dy)
	for i := range d {
		p.by("fmul", d[i], d[i], lane{r, 0})
		p.by("fmls", d[i], v[i], lane{c, 0})
	}
	p.writePair(d, dx)
	for _, at := range []ptr{dx, dy, x} {
		p.advance(at, 32)
	}
	p.emit("SUBS $8, %v, %v", n, n)
	p.emit("BNE back")
	p.next(blocks, "block")
	p.ret()
}
