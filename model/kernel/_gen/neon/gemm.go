package main

import "fmt"

// gemm computes, for `tiles` tiles of `rows` rows one below the other, C[rows×8] (+)= A[rows×k]·B[k×8]. The rows of A
// and of B are contiguous and ars and brs bytes apart. A is read four floats of a row at a time, and each of them
// meets its row of B as a lane.
//
// While one block of four is multiplied the next is loaded, each register as soon as it has been used for the last
// time: small processors do not look ahead by themselves.
func (p *program) gemm(rows int) {
	p.text(fmt.Sprintf("gemm128x%d", rows), "tiles, k int, a *float32, ars int, b *float32, brs int, c *float32, ldc, acc int", "")
	tiles, top, ars, brs := p.load("tiles"), p.load("a"), p.load("ars"), p.load("brs")
	c, ldc, acc := p.load("c"), p.load("ldc"), p.load("acc")
	k, pb, row := p.ptr(), p.ptr(), p.rows(rows)
	// With few rows the sums of different k are kept apart, or each would wait for the one before.
	apart := max(1, min(4, 8/rows))
	sums := p.vectors(2 * rows * apart)
	sum := func(k, row, half int) vec { return sums[(k%apart*rows+row)*2+half] }
	a := p.vectors(rows)
	var b [4][2]vec
	for j := range b {
		b[j] = [2]vec{p.vec(), p.vec()}
	}
	readB := func(j int) {
		p.readPair(b[j], pb)
		p.add1(pb, pb, brs)
	}
	multiply := func(j, lanes, row int) {
		for half := range 2 {
			p.by("fmla", sum(j, row, half), b[j][half], lane{a[row], lanes})
		}
	}
	block := func(another bool) {
		for j := range 4 {
			var main, side []string
			if j == 0 {
				side = p.captured(func() { readB(3) })
			} else if another {
				side = p.captured(func() { readB(j - 1) })
			}
			main = p.captured(func() {
				for i := range rows {
					multiply(j, j, i)
					if j == 3 && another {
						p.readOn(a[i], row[i], false)
					}
				}
			})
			p.among(main, side)
		}
	}

	p.label("tile")
	p.mov(row[0], top)
	p.below(row, ars)
	p.reload("b", pb)
	p.reload("k", k)
	p.clear(sums)
	p.emit("SUBS $4, %v, %v", k, k)
	p.emit("BLT rest")
	for i := range rows {
		p.readOn(a[i], row[i], false)
	}
	for j := range 3 {
		readB(j)
	}
	p.emit("SUBS $4, %v, %v", k, k)
	p.emit("BLT last")
	p.label("four")
	block(true)
	p.countdown(k, 4, "four")
	p.label("last")
	block(false)
	p.label("rest")
	p.emit("ADDS $4, %v, %v", k, k)
	p.emit("BEQ end")
	p.label("one")
	readB(0)
	for i := range rows {
		p.readOn(a[i], row[i], true)
	}
	for i := range rows {
		multiply(0, 0, i)
	}
	p.next(k, "one")
	p.label("end")
	for w := 2 * rows; w < len(sums); w *= 2 {
		for i := 0; i+w < len(sums); i += 2 * w {
			for j := range 2 * rows {
				p.three("fadd", sums[i+j], sums[i+j], sums[i+w+j])
			}
		}
	}
	p.tileOut(sums[:2*rows], c, ldc, acc, b[0])
	for range rows {
		p.add1(top, top, ars)
	}
	p.next(tiles, "tile")
	p.ret()
}

// rows takes a pointer for each row of a tile, and below sets all but the first.
func (p *program) rows(n int) []ptr {
	rows := make([]ptr, n)
	for i := range rows {
		rows[i] = p.ptr()
	}
	return rows
}

func (p *program) below(rows []ptr, stride ptr) {
	for i := 1; i < len(rows); i++ {
		p.add1(rows[i], rows[i-1], stride)
	}
}

// tileOut stores a tile of rows of two vectors, or adds it to what is there if acc, and leaves c below it.
func (p *program) tileOut(sums []vec, c, ldc, acc ptr, old [2]vec) {
	p.emit("CBZ %v, store", acc)
	p.scope(func() {
		at := p.ptr()
		p.mov(at, c)
		for i := 0; i < len(sums); i += 2 {
			p.readPair(old, at)
			p.add1(at, at, ldc)
			p.three("fadd", sums[i], sums[i], old[0])
			p.three("fadd", sums[i+1], sums[i+1], old[1])
		}
	})
	p.label("store")
	for i := 0; i < len(sums); i += 2 {
		p.writePair([2]vec{sums[i], sums[i+1]}, c)
		p.add1(c, c, ldc)
	}
}

// gemmTN is gemm for an A whose columns are contiguous, acs bytes apart: what one k needs of it is a vector or two.
// There are two sets of operands, one in use while the other is loaded.
func (p *program) gemmTN(rows int) {
	p.text(fmt.Sprintf("gemmTN128x%d", rows), "tiles, k int, a *float32, acs int, b *float32, brs int, c *float32, ldc, acc int", "")
	tiles, top, acs, brs := p.load("tiles"), p.load("a"), p.load("acs"), p.load("brs")
	c, ldc, acc := p.load("c"), p.load("ldc"), p.load("acc")
	k, pa, pb := p.ptr(), p.ptr(), p.ptr()
	sums := p.vectors(2 * rows)
	var a, b [2][2]vec
	for s := range 2 {
		a[s] = [2]vec{p.vec(), p.vec()}
		b[s] = [2]vec{p.vec(), p.vec()}
	}
	read := func(s int) {
		if rows == 4 {
			p.read(a[s][0], pa, 0, false)
		} else {
			p.readPair(a[s], pa)
		}
		p.add1(pa, pa, acs)
		p.readPair(b[s], pb)
		p.add1(pb, pb, brs)
	}
	multiply := func(s int) {
		for i := range rows {
			for half := range 2 {
				p.by("fmla", sums[2*i+half], b[s][half], lane{a[s][i/4], i % 4})
			}
		}
	}

	p.label("tile")
	p.mov(pa, top)
	p.reload("b", pb)
	p.reload("k", k)
	p.clear(sums)
	p.pipeline("k", k, read, multiply, func() {})
	p.tileOut(sums, c, ldc, acc, b[0])
	p.advance(top, 4*rows)
	p.next(tiles, "tile")
	p.ret()
}

// pipeline runs k > 0 steps of read and use, reading the next set of operands while one of two is used. It reads
// exactly k times, and does what comes after once for all reads but the first.
func (p *program) pipeline(name string, k ptr, read, use func(set int), after func()) {
	two, few, even, done := name+"_two", name+"_few", name+"_even", name+"_done"
	step := func(set int) {
		p.among(p.captured(func() { use(set) }), p.captured(func() { read(1 - set) }))
		after()
	}
	read(0)
	p.emit("SUBS $3, %v, %v", k, k) // what has been read, and two steps of the loop
	p.emit("BLT %s", few)
	p.label(two)
	step(0)
	step(1)
	p.countdown(k, 2, two)
	p.label(few)
	p.emit("ADDS $2, %v, %v", k, k)
	p.emit("BEQ %s", even)
	step(0)
	use(1)
	p.emit("B %s", done)
	p.label(even)
	use(0)
	p.label(done)
}

// gemmNT computes C[rows×4·n4] (+)= A[rows×k]·B[4·n4×k]ᵀ, dot product by dot product: both operands are read along
// their rows, so nothing is packed. As many bytes as it reads of B are fetched from ahead on.
func (p *program) gemmNT(rows int) {
	p.text(fmt.Sprintf("gemmNT128x%d", rows), "n4, k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc, acc int, ahead uintptr", "")
	n4, lda, top, ldb := p.load("n4"), p.load("lda"), p.load("b"), p.load("ldb")
	c, ldc, acc, ahead := p.load("c"), p.load("ldc"), p.load("acc"), p.load("ahead")
	n, rowA, rowB := p.ptr(), p.rows(rows), p.rows(4)
	apart := 1 // as in gemm
	if rows <= 2 {
		apart = 2
	}
	sums := p.vectors(4 * rows * apart)
	a, b := [2][]vec{p.vectors(rows), p.vectors(rows)}, [2][]vec{p.vectors(4), p.vectors(4)}
	read := func(set int, single bool) {
		for i, r := range rowA {
			p.readOn(a[set][i], r, single)
		}
		for j, r := range rowB {
			p.readOn(b[set][j], r, single)
		}
	}
	use := func(set int) {
		for i := range rows {
			for j := range 4 {
				p.fma(sums[(set%apart*rows+i)*4+j], a[set][i], b[set][j])
			}
		}
	}

	p.label("group")
	p.reload("a", rowA[0])
	p.below(rowA, lda)
	p.mov(rowB[0], top)
	p.below(rowB, ldb)
	p.clear(sums)
	p.reload("k", n)
	p.emit("LSR $2, %v", n)
	p.emit("CBZ %v, rest", n)
	p.pipeline("four", n, func(set int) { read(set, false) }, use, func() { p.fetch(ahead, 64) })
	p.label("rest")
	p.reload("k", n)
	p.emit("ANDS $3, %v", n)
	p.emit("BEQ end")
	p.label("one")
	read(0, true)
	use(0)
	p.next(n, "one")
	p.label("end")
	if apart == 2 {
		for i := range 4 * rows {
			p.three("fadd", sums[i], sums[i], sums[4*rows+i])
		}
	}
	for i := range rows {
		p.fourSums(sums[4*i : 4*i+4])
	}
	p.emit("CBZ %v, store", acc)
	p.mov(n, c)
	for i := range rows {
		p.read(a[0][i], n, 0, false)
		p.three("fadd", sums[4*i], sums[4*i], a[0][i])
		p.add1(n, n, ldc)
	}
	p.label("store")
	p.mov(n, c)
	for i := range rows {
		p.write(sums[4*i], n, 0, false)
		p.add1(n, n, ldc)
	}
	p.advance(c, 16)
	p.emit("ADD %v<<2, %v", ldb, top)
	p.next(n4, "group")
	p.ret()
}

// packT writes dst[k·8+n] = b[n·ldb+k] for 8 rows n of B and 4·k4 of its columns k.
func (p *program) packT() {
	p.text("packT128", "k4 int, b *float32, ldb int, dst *float32", "")
	k := p.load("k4")
	row := p.rows(8)
	p.reload("b", row[0])
	ldb, dst := p.load("ldb"), p.load("dst")
	p.below(row, ldb)
	p.label("four")
	v, t := p.vectors(8), p.vectors(8)
	for i := range v {
		p.readOn(v[i], row[i], false)
	}
	for i := 0; i < 8; i += 4 {
		// a0 b0 a1 b1, c0 d0 c1 d1, a2 b2 a3 b3, c2 d2 c3 d3
		p.emit("VZIP1 %v.S4, %v.S4, %v.S4", v[i+1], v[i], t[i])
		p.emit("VZIP1 %v.S4, %v.S4, %v.S4", v[i+3], v[i+2], t[i+1])
		p.emit("VZIP2 %v.S4, %v.S4, %v.S4", v[i+1], v[i], t[i+2])
		p.emit("VZIP2 %v.S4, %v.S4, %v.S4", v[i+3], v[i+2], t[i+3])
		for j := 0; j < 4; j += 2 {
			p.emit("VZIP1 %v.D2, %v.D2, %v.D2", t[i+j+1], t[i+j], v[i+j])
			p.emit("VZIP2 %v.D2, %v.D2, %v.D2", t[i+j+1], t[i+j], v[i+j+1])
		}
	}
	for i := range 4 {
		p.writePair([2]vec{v[i], v[i+4]}, dst)
		p.advance(dst, 32)
	}
	p.next(k, "four")
	p.ret()
}

// packHalf widens k rows of eight bfloat16 into a panel.
func (p *program) packHalf() {
	p.text("packHalf128", "k int, b *uint16, ldb int, dst *float32", "")
	k, b, ldb, dst := p.load("k"), p.load("b"), p.load("ldb"), p.load("dst")
	p.label("row")
	v := p.wide(p.readHalves(b, 2, false))
	p.add1(b, b, ldb)
	p.writePair([2]vec{v[0], v[1]}, dst)
	p.advance(dst, 32)
	p.next(k, "row")
	p.ret()
}

// packTHalf writes dst[k·8+n] = b[n·ldb+k] for 8 rows n of B and 8·k8 of its columns k, and widens it.
func (p *program) packTHalf() {
	p.text("packTHalf128", "k8 int, b *uint16, ldb int, dst *float32", "")
	k := p.load("k8")
	row := p.rows(8)
	p.reload("b", row[0])
	ldb, dst := p.load("ldb"), p.load("dst")
	p.below(row, ldb)
	p.label("eight")
	v, t := p.vectors(8), p.vectors(8)
	for i := range v {
		p.readOn(v[i], row[i], false)
	}
	// Zipping the first half with the second three times over transposes.
	for range 3 {
		for i := range 4 {
			p.emit("VZIP1 %v.H8, %v.H8, %v.H8", v[i+4], v[i], t[2*i])
			p.emit("VZIP2 %v.H8, %v.H8, %v.H8", v[i+4], v[i], t[2*i+1])
		}
		v, t = t, v
	}
	for i, h := range v {
		p.widenHalf(t[i], h, false)
		p.widenHalf(h, h, true)
		p.writePair([2]vec{t[i], h}, dst)
		p.advance(dst, 32)
	}
	p.next(k, "eight")
	p.ret()
}
