package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Kernels that read bfloat16: the upper half of a float32, so that 16 zero bits below make it one.

// loadHalf reads as many bfloat16 as a vector has lanes, and widens them. Masked loads need AVX-512.
func (s *isa) loadHalf(at operand.Mem, masked bool) vec {
	v := s.vec()
	if masked {
		VPMOVZXWD_Z(at, reg.K1, v)
	} else {
		VPMOVZXWD(at, v)
	}
	VPSLLD(operand.U8(16), v, v)
	return v
}

// widen computes dst = src. At 256 bits n is a multiple of 8.
func (s *isa) widen() {
	name := s.text("widen", "func(n int, src *uint16, dst *float32)")
	n, src, dst := load("n"), load("src"), load("dst")
	s.halves = []ptr{src}
	s.loop(name, n, []ptr{dst}, 4, func(_, off int, masked bool) {
		s.store(s.loadHalf(at(src, off/2), masked), at(dst, off), masked)
	})
	s.halves = nil
	finish()
}

// A pair is two vectors' worth of columns of a row of bfloat16.
type pair [2]vec

// halves widens pairs. At 512 bits one instruction takes the words of a pair apart to the upper halves of lanes; at
// 256 bits each vector is widened by itself.
type halves struct {
	s        *isa
	low, top vec // which word of a pair goes where
}

func (s *isa) newHalves() *halves {
	h := &halves{s: s}
	if s.wide() {
		h.low, h.top = ZMM(), ZMM()
		VMOVDQU64(pairTable(0), h.low)
		VMOVDQU64(pairTable(16), h.top)
		odd := GP32()
		MOVL(operand.U32(0xaaaaaaaa), odd)
		KMOVD(odd, reg.K2)
	}
	return h
}

func (h *halves) load(at operand.Mem) pair {
	if !h.s.wide() {
		second := at
		second.Disp += 16
		return pair{h.s.loadHalf(at, false), h.s.loadHalf(second, false)}
	}
	both := ZMM()
	VMOVDQU64(at, both)
	p := pair{ZMM(), ZMM()}
	VPERMW_Z(both, h.low, reg.K2, p[0])
	VPERMW_Z(both, h.top, reg.K2, p[1])
	return p
}

// pairTable says, for the upper word of each lane, which of 32 words it takes: those from first on, in order.
func pairTable(first int) operand.Mem {
	name := fmt.Sprintf("words%d", first)
	if g, ok := globals[name]; ok {
		return g
	}
	g := GLOBL(name, RODATA|NOPTR)
	for lane := range 16 {
		DATA(4*lane, operand.U32((first+lane)<<16))
	}
	globals[name] = g
	return g
}

// pairs runs over n columns, two vectors of them at a time, then one, then a masked rest. whole and part are handed the
// byte offset of their columns from the pointers to float32, which pairs moves on with those to bfloat16.
func (s *isa) pairs(name string, n ptr, floats, words []ptr, whole func(), part func(masked bool)) {
	two, one, tail, done := name+"_two", name+"_one", name+"_tail", name+"_done"
	advance := func(vectors int) {
		for _, p := range floats {
			ADDQ(operand.I32(int32(vectors*s.bytes())), p)
		}
		for _, p := range words {
			ADDQ(operand.I32(int32(vectors*s.bytes()/2)), p)
		}
	}
	lanes := int32(s.lanes())
	SUBQ(operand.I32(2*lanes), n)
	JL(operand.LabelRef(one))
	Label(two)
	whole()
	advance(2)
	SUBQ(operand.I32(2*lanes), n)
	JGE(operand.LabelRef(two))
	Label(one)
	ADDQ(operand.I32(lanes), n)
	JL(operand.LabelRef(tail))
	part(false)
	advance(1)
	SUBQ(operand.I32(lanes), n)
	Label(tail)
	ADDQ(operand.I32(lanes), n)
	JZ(operand.LabelRef(done))
	if s.wide() { // AVX2 cannot mask 16 bits: its callers bring no tail
		s.setMask(n)
		part(true)
	}
	Label(done)
}

// gemvHalf computes y = W·x for 4·rows4 rows of W, four at a time, and fetches as many bytes as it reads from ahead
// on. At 256 bits n is a multiple of 8.
func (s *isa) gemvHalf() {
	name := s.text("gemvHalf", "func(rows4, n int, w *uint16, ldw int, x, y *float32, ahead uintptr)")
	rows, w, ldw, y := load("rows4"), load("w"), load("ldw"), load("y")
	ldw3, ahead := GP64(), load("ahead")
	LEAQ(operand.Mem{Base: ldw, Index: ldw, Scale: 2}, ldw3)
	h := s.newHalves()
	sums := [4]vec{s.vec(), s.vec(), s.vec(), s.vec()}
	more := sums // where registers are scarce both vectors of a pair add up in one
	if s.wide() {
		more = [4]vec{s.vec(), s.vec(), s.vec(), s.vec()}
	}
	Label(name + "_rows")
	for j := range sums {
		s.clear(sums[j])
		if s.wide() {
			s.clear(more[j])
		}
	}
	n, x, p := load("n"), load("x"), GP64().(ptr)
	MOVQ(w, p)
	s.pairs(name, n, []ptr{x}, []ptr{p}, func() {
		v0, v1 := s.load(at(x, 0), false), s.load(at(x, s.bytes()), false)
		s.fetch(name+"_fetched", ahead, 4*s.bytes())
		for j, row := range fourRows(p, ldw, ldw3, 0) {
			q := h.load(row)
			VFMADD231PS(q[0], v0, sums[j])
			VFMADD231PS(q[1], v1, more[j])
		}
	}, func(masked bool) {
		v := s.load(at(x, 0), masked)
		for j, row := range fourRows(p, ldw, ldw3, 0) {
			VFMADD231PS(s.loadHalf(row, masked), v, sums[j])
		}
	})
	if s.wide() {
		for j := range sums {
			VADDPS(more[j], sums[j], sums[j])
		}
	}
	VMOVUPS(s.fourSums(sums), at(y, 0))
	ADDQ(operand.I8(16), y)
	LEAQ(operand.Mem{Base: w, Index: ldw, Scale: 4}, w)
	DECQ(rows)
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}

// gemvTHalf adds Σ x[r]·W[r] to y over 4·rows4 rows, four at a time, and fetches as many bytes as it reads from
// ahead on. At 256 bits n is a multiple of 8.
func (s *isa) gemvTHalf() {
	name := s.text("gemvTHalf", "func(rows4, n int, w *uint16, ldw int, x, y *float32, ahead uintptr)")
	rows, w, ldw, x := load("rows4"), load("w"), load("ldw"), load("x")
	ldw3, ahead := GP64(), load("ahead")
	LEAQ(operand.Mem{Base: ldw, Index: ldw, Scale: 2}, ldw3)
	h := s.newHalves()
	Label(name + "_rows")
	var xs [4]vec
	for i := range xs {
		xs[i] = s.vec()
		VBROADCASTSS(at(x, 4*i), xs[i])
	}
	n, y, p := load("n"), load("y"), GP64().(ptr)
	MOVQ(w, p)
	s.pairs(name, n, []ptr{y}, []ptr{p}, func() {
		v0, v1 := s.load(at(y, 0), false), s.load(at(y, s.bytes()), false)
		s.fetch(name+"_fetched", ahead, 4*s.bytes())
		for i, row := range fourRows(p, ldw, ldw3, 0) {
			q := h.load(row)
			VFMADD231PS(q[0], xs[i], v0)
			VFMADD231PS(q[1], xs[i], v1)
		}
		s.store(v0, at(y, 0), false)
		s.store(v1, at(y, s.bytes()), false)
	}, func(masked bool) {
		v := s.load(at(y, 0), masked)
		for i, row := range fourRows(p, ldw, ldw3, 0) {
			VFMADD231PS(s.loadHalf(row, masked), xs[i], v)
		}
		s.store(v, at(y, 0), masked)
	})
	ADDQ(operand.I8(16), x)
	LEAQ(operand.Mem{Base: w, Index: ldw, Scale: 4}, w)
	DECQ(rows)
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}

// blocksHalf computes y = x·W for a block-diagonal W of dc×dc blocks, input-major, one behind the other; dc is a multiple
// of two vectors. Four rows of a block add up apart, or each would wait for the one before.
func (s *isa) blocksHalf() {
	name := s.text("blocksHalf", "func(blocks, dc int, w *uint16, x, y *float32)")
	blocks, dc, w, x, y := load("blocks"), load("dc"), load("w"), load("x"), load("y")
	h := s.newHalves()
	var sums [4]pair
	for i := range sums {
		sums[i] = pair{s.vec(), s.vec()}
	}
	ld, ld3 := GP64(), GP64()
	LEAQ(operand.Mem{Base: dc, Index: dc, Scale: 1}, ld)
	LEAQ(operand.Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	Label(name + "_block")
	columns, first := GP64(), GP64()
	MOVQ(dc, columns)
	MOVQ(w, first)
	Label(name + "_columns")
	for _, q := range sums {
		s.clear(q[0])
		s.clear(q[1])
	}
	rows, p, px := GP64(), GP64(), GP64()
	MOVQ(dc, rows)
	MOVQ(first, p)
	MOVQ(x, px)
	Label(name + "_rows")
	for i, row := range fourRows(p, ld, ld3, 0) {
		v := s.vec()
		VBROADCASTSS(at(px, 4*i), v)
		q := h.load(row)
		VFMADD231PS(q[0], v, sums[i][0])
		VFMADD231PS(q[1], v, sums[i][1])
	}
	ADDQ(operand.I8(16), px)
	LEAQ(operand.Mem{Base: p, Index: ld, Scale: 4}, p)
	SUBQ(operand.I8(4), rows)
	JNZ(operand.LabelRef(name + "_rows"))
	for k := range 2 {
		VADDPS(sums[1][k], sums[0][k], sums[0][k])
		VADDPS(sums[3][k], sums[2][k], sums[2][k])
		VADDPS(sums[2][k], sums[0][k], sums[0][k])
		VMOVUPS(sums[0][k], at(y, k*s.bytes()))
	}
	ADDQ(operand.I32(2*s.bytes()), y)
	ADDQ(operand.I32(s.bytes()), first)
	SUBQ(operand.I32(2*s.lanes()), columns)
	JNZ(operand.LabelRef(name + "_columns"))
	MOVQ(px, x)
	columns = GP64()
	MOVQ(ld, columns)
	IMULQ(dc, columns)
	ADDQ(columns, w)
	DECQ(blocks)
	JNZ(operand.LabelRef(name + "_block"))
	finish()
}

// packHalf512 is packN512 of bfloat16, which it widens.
func packHalf512() {
	TEXT("packHalf512", NOSPLIT, "func(k int, b *uint16, ldb int, dst *float32, mask uint64)")
	Pragma("noescape")
	k, b, ldb, dst, mask := load("k"), load("b"), load("ldb"), load("dst"), load("mask")
	KMOVD(mask.As32(), reg.K1)
	h := (&isa{bits: 512}).newHalves()
	both := ZMM()
	p := pair{ZMM(), ZMM()}
	far := eightRows(ldb)
	Label("packHalf512_k")
	PREFETCHT0(operand.Mem{Base: b, Index: far, Scale: 1})
	VMOVDQU16_Z(at(b, 0), reg.K1, both)
	VPERMW_Z(both, h.low, reg.K2, p[0])
	VPERMW_Z(both, h.top, reg.K2, p[1])
	VMOVUPS(p[0], at(dst, 0))
	VMOVUPS(p[1], at(dst, 64))
	ADDQ(ldb, b)
	ADDQ(operand.I32(128), dst)
	DECQ(k)
	JNZ(operand.LabelRef("packHalf512_k"))
	finish()
}

// packTHalf512 is packT512 of bfloat16, which it widens, for 8·k8 columns. Two columns travel as one word: the lower half
// of it is the first.
func packTHalf512() {
	TEXT("packTHalf512", NOSPLIT, "func(k8 int, b *uint16, ldb int, dst *float32)")
	Pragma("noescape")
	upper, ones := ZMM(), GP32()
	MOVL(operand.U32(0xffff0000), ones)
	VPBROADCASTD(ones, upper)
	transpose512("packTHalf512", "k8", 8*128, func(i int, v vec, dst ptr) {
		first := ZMM()
		VPSLLD(operand.U8(16), v, first)
		VMOVUPS(first, at(dst, 2*i*128))
		VPANDD(upper, v, v)
		VMOVUPS(v, at(dst, (2*i+1)*128))
	})
}
