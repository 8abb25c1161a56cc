package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowAddrs addresses base + i·stride for i < rows with few registers: the scales are 1, 2, 4 and 8, so only
// the odd multiples of the stride need one.
type rowAddrs struct {
	base ptr
	odd  map[int]ptr
}

func newRowAddrs(base, stride ptr, rows int) rowAddrs {
	r := rowAddrs{base: base, odd: map[int]ptr{1: stride}}
	prev := stride
	for i := 3; i < rows; i += 2 {
		q := GP64()
		LEAQ(operand.Mem{Base: prev, Index: stride, Scale: 2}, q)
		r.odd[i] = q
		prev = q
	}
	return r
}

func (r rowAddrs) at(i int) operand.Mem {
	if i == 0 {
		return operand.Mem{Base: r.base}
	}
	scale := uint8(1)
	for i%2 == 0 {
		i /= 2
		scale *= 2
	}
	return operand.Mem{Base: r.base, Index: r.odd[i], Scale: scale}
}

// gemm256 computes, for `tiles` tiles of `rows` rows one below the other, C[rows×16] (+)= A[rows×k]·B[k×16].
// All strides are in bytes. The accumulators are two registers a row; a row of B is loaded once a tile.
func gemm256(rows int) {
	name := fmt.Sprintf("gemm256x%d", rows)
	TEXT(name, NOSPLIT, "func(tiles, k int, a *float32, ars, acs int, b *float32, brs int, c *float32, ldc int, acc int)")
	Pragma("noescape")
	tiles := load("tiles")
	top := load("a")
	ars, acs, brs := load("ars"), load("acs"), load("brs")
	c, ldc := load("c"), load("ldc")
	a := GP64().(ptr)
	row := newRowAddrs(a, ars, rows)
	sums := make([][2]vec, rows)
	for i := range sums {
		sums[i] = [2]vec{YMM(), YMM()}
	}
	b0, b1 := YMM(), YMM()
	spread := []vec{YMM(), YMM()}

	Label(name + "_tile")
	MOVQ(top, a)
	b, k := load("b"), load("k")
	for i := range sums {
		VXORPS(sums[i][0], sums[i][0], sums[i][0])
		VXORPS(sums[i][1], sums[i][1], sums[i][1])
	}
	step := func() {
		VMOVUPS(at(b, 0), b0)
		VMOVUPS(at(b, 32), b1)
		ADDQ(brs, b)
		for i := range sums {
			t := spread[i%2]
			VBROADCASTSS(row.at(i), t)
			VFMADD231PS(b0, t, sums[i][0])
			VFMADD231PS(b1, t, sums[i][1])
		}
		ADDQ(acs, a)
	}
	SUBQ(operand.I8(4), k)
	JL(operand.LabelRef(name + "_rest"))
	Label(name + "_four")
	for range 4 {
		step()
	}
	SUBQ(operand.I8(4), k)
	JGE(operand.LabelRef(name + "_four"))
	Label(name + "_rest")
	ADDQ(operand.I8(4), k)
	JZ(operand.LabelRef(name + "_end"))
	Label(name + "_one")
	step()
	DECQ(k)
	JNZ(operand.LabelRef(name + "_one"))
	Label(name + "_end")
	acc := load("acc")
	TESTQ(acc, acc)
	JZ(operand.LabelRef(name + "_store"))
	p := GP64()
	MOVQ(c, p)
	for i := range sums {
		VADDPS(at(p, 0), sums[i][0], sums[i][0])
		VADDPS(at(p, 32), sums[i][1], sums[i][1])
		if i+1 < rows {
			ADDQ(ldc, p)
		}
	}
	Label(name + "_store")
	for i := range sums {
		VMOVUPS(sums[i][0], at(c, 0))
		VMOVUPS(sums[i][1], at(c, 32))
		ADDQ(ldc, c)
	}
	for range rows {
		ADDQ(ars, top)
	}
	DECQ(tiles)
	JNZ(operand.LabelRef(name + "_tile"))
	finish()
}

// gemm512 computes, for `tiles` tiles of `rows` rows one below the other, C[rows×n] (+)= A[rows×k]·B[k×n] for n ≤ 32
// columns, those whose bit is set in mask. All strides are in bytes.
func gemm512(rows int) {
	name := fmt.Sprintf("gemm512x%d", rows)
	TEXT(name, NOSPLIT, "func(tiles, k int, a *float32, ars, acs int, b *float32, brs int, c *float32, ldc int, mask uint64, acc int)")
	Pragma("noescape")
	tiles := load("tiles")
	a, ars, acs := load("a"), load("ars"), load("acs")
	brs, c := load("brs"), load("c")
	row := newRowAddrs(a, ars, rows)
	k1, k2 := reg.K1, reg.K2
	{
		mask := load("mask")
		KMOVW(mask.As32(), k1)
		SHRQ(operand.U8(16), mask)
		KMOVW(mask.As32(), k2)
	}
	sums := make([][2]vec, rows)
	for i := range sums {
		sums[i] = [2]vec{ZMM(), ZMM()}
	}
	b0, b1 := ZMM(), ZMM()
	spread := []vec{ZMM(), ZMM()}

	Label(name + "_tile")
	for i := range sums {
		VPXORD(sums[i][0], sums[i][0], sums[i][0])
		VPXORD(sums[i][1], sums[i][1], sums[i][1])
	}
	b, k := load("b"), load("k")
	Label(name + "_k")
	VMOVUPS_Z(at(b, 0), k1, b0)
	VMOVUPS_Z(at(b, 64), k2, b1)
	ADDQ(brs, b)
	for i := range sums {
		t := spread[i%2]
		VBROADCASTSS(row.at(i), t)
		VFMADD231PS(b0, t, sums[i][0])
		VFMADD231PS(b1, t, sums[i][1])
	}
	ADDQ(acs, a)
	DECQ(k)
	JNZ(operand.LabelRef(name + "_k"))
	ldc, acc := load("ldc"), load("acc")
	TESTQ(acc, acc)
	JZ(operand.LabelRef(name + "_store"))
	p := GP64()
	MOVQ(c, p)
	for i := range sums {
		// A masked load never faults on the lanes it leaves out.
		VMOVUPS_Z(at(p, 0), k1, b0)
		VMOVUPS_Z(at(p, 64), k2, b1)
		VADDPS(b0, sums[i][0], sums[i][0])
		VADDPS(b1, sums[i][1], sums[i][1])
		if i+1 < rows {
			ADDQ(ldc, p)
		}
	}
	Label(name + "_store")
	for i := range sums {
		VMOVUPS(sums[i][0], k1, at(c, 0))
		VMOVUPS(sums[i][1], k2, at(c, 64))
		ADDQ(ldc, c)
	}
	// A has moved on by k columns: back to the first, and down to the next rows.
	walked, down := load("k"), GP64()
	IMULQ(acs, walked)
	SUBQ(walked, a)
	IMUL3Q(operand.I8(int8(rows)), ars, down)
	ADDQ(down, a)
	DECQ(tiles)
	JNZ(operand.LabelRef(name + "_tile"))
	finish()
}

// gemmNT computes C[rows×4·n4] (+)= A[rows×k]·B[4·n4×k]ᵀ, dot product by dot product: both operands are read
// along their rows, so nothing is packed. With three rows, twelve sums hide the latency of the multiply-add. As many
// bytes as it reads of B are fetched from ahead on.
func (s *isa) gemmNT(rows int) {
	name := fmt.Sprintf("gemmNT%dx%d", s.bits, rows)
	TEXT(name, NOSPLIT, "func(n4, k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, acc int, ahead uintptr)")
	Pragma("noescape")
	n4 := load("n4")
	lda := load("lda")
	b, ldb := load("b"), load("ldb")
	c, ldc := load("c"), load("ldc")
	ldb3, ahead := GP64(), load("ahead")
	LEAQ(operand.Mem{Base: ldb, Index: ldb, Scale: 2}, ldb3)
	unroll := 1
	if rows == 1 {
		unroll = 2
	}
	sums := make([][4]vec, rows*unroll) // row r of the u-th vector at u·rows + r
	for i := range sums {
		for j := range sums[i] {
			sums[i][j] = s.vec()
		}
	}

	Label(name + "_group")
	for i := range sums {
		for j := range sums[i] {
			s.clear(sums[i][j])
		}
	}
	k, pa, pb := load("k"), load("a"), GP64()
	MOVQ(b, pb)
	places := 0
	s.loop(name, k, []ptr{pa, pb.(ptr)}, unroll, func(u, off int, masked bool) {
		rowA := func(r int) vec {
			if r == 0 {
				return s.load(at(pa, off), masked)
			}
			return s.load(operand.Mem{Base: pa, Index: lda, Scale: uint8(r), Disp: off}, masked)
		}
		cols := fourRows(pb, ldb, ldb3, off)
		places++
		s.fetch(fmt.Sprintf("%s_fetched%d", name, places), ahead, 4*s.bytes())
		if masked { // the mask takes a register: read B once a row rather than hold all of A
			for r := range rows {
				a := rowA(r)
				for j, col := range cols {
					VFMADD231PS(s.load(col, true), a, sums[u*rows+r][j])
				}
			}
			return
		}
		as := make([]vec, rows)
		for r := range as {
			as[r] = rowA(r)
		}
		for j, col := range cols {
			if rows == 1 {
				VFMADD231PS(col, as[0], sums[u][j])
				continue
			}
			v := s.load(col, false)
			for r := range as {
				VFMADD231PS(v, as[r], sums[u*rows+r][j])
			}
		}
	})
	if unroll == 2 {
		for j := range sums[0] {
			VADDPS(sums[1][j], sums[0][j], sums[0][j])
		}
	}
	out := make([]vec, rows)
	for r := range out {
		out[r] = s.fourSums(sums[r])
	}
	rowAt := func(r int) operand.Mem {
		if r == 0 {
			return at(c, 0)
		}
		return operand.Mem{Base: c, Index: ldc, Scale: uint8(r)}
	}
	acc := load("acc")
	TESTQ(acc, acc)
	JZ(operand.LabelRef(name + "_store"))
	for r := range out {
		VADDPS(rowAt(r), out[r], out[r])
	}
	Label(name + "_store")
	for r := range out {
		VMOVUPS(out[r], rowAt(r))
	}
	ADDQ(operand.I8(16), c)
	LEAQ(operand.Mem{Base: b, Index: ldb, Scale: 4}, b)
	DECQ(n4)
	JNZ(operand.LabelRef(name + "_group"))
	finish()
}

// fourRows addresses four rows, stride apart; stride3 holds three times the stride.
func fourRows(base, stride, stride3 reg.Register, off int) [4]operand.Mem {
	return [4]operand.Mem{
		{Base: base, Disp: off},
		{Base: base, Index: stride, Scale: 1, Disp: off},
		{Base: base, Index: stride, Scale: 2, Disp: off},
		{Base: base, Index: stride3, Scale: 1, Disp: off},
	}
}

// fourSums adds up the lanes of each of four vectors, which it spoils: they become the lanes of one of 128 bits.
func (s *isa) fourSums(q [4]vec) vec {
	if s.wide() {
		for j := range q {
			high := YMM()
			VEXTRACTF64X4(operand.U8(1), q[j], high)
			VADDPS(high, q[j].AsY(), q[j].AsY())
		}
	}
	y0, y1, y2, y3 := q[0].AsY(), q[1].AsY(), q[2].AsY(), q[3].AsY()
	VHADDPS(y1, y0, y0)
	VHADDPS(y3, y2, y2)
	VHADDPS(y2, y0, y0)
	out := XMM()
	VEXTRACTF128(operand.U8(1), y0, out)
	VADDPS(out, q[0].AsX(), out)
	return out
}

// packT256 writes dst[k·16+n] = b[n·ldb+k] for 8 rows n of B and 4·k4 of its columns k.
func packT256() {
	TEXT("packT256", NOSPLIT, "func(k4 int, b *float32, ldb int, dst *float32)")
	Pragma("noescape")
	k, b, ldb, dst := load("k4"), load("b"), load("ldb"), load("dst")
	row := newRowAddrs(b, ldb, 8)
	Label("packT256_k")
	var v [4]vec
	for j := range v {
		v[j] = YMM()
		VMOVUPS(row.at(j), v[j].AsX())
		VINSERTF128(operand.U8(1), row.at(j+4), v[j], v[j])
	}
	transpose4(v, YMM, func(i int, v vec) { VMOVUPS(v, at(dst, i*64)) })
	ADDQ(operand.I8(16), b)
	ADDQ(operand.I32(256), dst)
	DECQ(k)
	JNZ(operand.LabelRef("packT256_k"))
	finish()
}

// packT512 writes dst[k·32+n] = b[n·ldb+k] for 16 rows n of B and 4·k4 of its columns k.
func packT512() {
	TEXT("packT512", NOSPLIT, "func(k4 int, b *float32, ldb int, dst *float32)")
	Pragma("noescape")
	transpose512("packT512", "k4", 4*128, func(i int, v vec, dst ptr) { VMOVUPS(v, at(dst, i*128)) })
}

// transpose512 takes 16 rows of b, 16 bytes of each at a time, and hands store the transposed words of 32 bits, 16 in
// a vector: the i-th of each row. It moves dst on by step bytes every time.
func transpose512(name, times string, step int, store func(i int, v vec, dst ptr)) {
	k, b, ldb, dst := load(times), load("b"), load("ldb"), load("dst")
	row := newRowAddrs(b, ldb, 16)
	Label(name + "_k")
	var v [4]vec
	for j := range v {
		v[j] = ZMM()
		VMOVUPS(row.at(j), v[j].AsX())
		VINSERTF32X4(operand.U8(1), row.at(j+4), v[j], v[j])
		VINSERTF32X4(operand.U8(2), row.at(j+8), v[j], v[j])
		VINSERTF32X4(operand.U8(3), row.at(j+12), v[j], v[j])
	}
	transpose4(v, ZMM, func(i int, v vec) { store(i, v, dst) })
	ADDQ(operand.I8(16), b)
	ADDQ(operand.I32(int32(step)), dst)
	DECQ(k)
	JNZ(operand.LabelRef(name + "_k"))
	finish()
}

// transpose4 transposes the 4×4 blocks that the four vectors hold in each of their 128-bit lanes.
func transpose4(v [4]vec, fresh func() vec, store func(i int, v vec)) {
	t0, t1, t2, t3 := fresh(), fresh(), fresh(), fresh()
	VUNPCKLPS(v[1], v[0], t0)
	VUNPCKHPS(v[1], v[0], t1)
	VUNPCKLPS(v[3], v[2], t2)
	VUNPCKHPS(v[3], v[2], t3)
	for i, pair := range [4][2]vec{{t2, t0}, {t2, t0}, {t3, t1}, {t3, t1}} {
		o := fresh()
		if i%2 == 0 {
			VUNPCKLPD(pair[0], pair[1], o)
		} else {
			VUNPCKHPD(pair[0], pair[1], o)
		}
		store(i, o)
	}
}

// eightRows is how far a row is fetched before it is read: rows of a panel are too short and too far apart for the
// processor to see where they lead.
func eightRows(ld ptr) ptr {
	far := GP64()
	MOVQ(ld, far)
	SHLQ(operand.U8(3), far)
	return far
}

// packN512 copies k rows of up to 32 floats, those in mask, to a panel of 32 columns; the others become zero.
func packN512() {
	TEXT("packN512", NOSPLIT, "func(k int, b *float32, ldb int, dst *float32, mask uint64)")
	Pragma("noescape")
	k, b, ldb, dst, mask := load("k"), load("b"), load("ldb"), load("dst"), load("mask")
	KMOVW(mask.As32(), reg.K1)
	SHRQ(operand.U8(16), mask)
	KMOVW(mask.As32(), reg.K2)
	v0, v1 := ZMM(), ZMM()
	far := eightRows(ldb)
	Label("packN512_k")
	PREFETCHT0(operand.Mem{Base: b, Index: far, Scale: 1})
	PREFETCHT0(operand.Mem{Base: b, Index: far, Scale: 1, Disp: 64})
	VMOVUPS_Z(at(b, 0), reg.K1, v0)
	VMOVUPS_Z(at(b, 64), reg.K2, v1)
	VMOVUPS(v0, at(dst, 0))
	VMOVUPS(v1, at(dst, 64))
	ADDQ(ldb, b)
	ADDQ(operand.I32(128), dst)
	DECQ(k)
	JNZ(operand.LabelRef("packN512_k"))
	finish()
}
