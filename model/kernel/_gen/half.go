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
