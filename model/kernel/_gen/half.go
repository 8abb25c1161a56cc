package main

import (
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

// gemvHalf computes y = W·x for 4·rows4 rows of W, four at a time, and fetches as many bytes as it reads from ahead
// on. At 256 bits n is a multiple of 8.
func (s *isa) gemvHalf() {
	name := s.text("gemvHalf", "func(rows4, n int, w *uint16, ldw int, x, y *float32, ahead uintptr)")
	rows, w, ldw, y := load("rows4"), load("w"), load("ldw"), load("y")
	ldw3 := GP64()
	LEAQ(operand.Mem{Base: ldw, Index: ldw, Scale: 2}, ldw3)
	const unroll = 2
	var sums [unroll][4]vec
	for u := range sums {
		for j := range sums[u] {
			sums[u][j] = s.vec()
		}
	}
	ahead := load("ahead")
	Label(name + "_rows")
	for _, q := range sums {
		for _, v := range q {
			s.clear(v)
		}
	}
	n, x, p := load("n"), load("x"), GP64().(ptr)
	MOVQ(w, p)

	s.halves = []ptr{p}
	s.loop(name, n, []ptr{x}, unroll, func(u, off int, masked bool) {
		v := s.load(at(x, off), masked)
		s.fetch(ahead, 2*s.bytes())
		for j, row := range fourRows(p, ldw, ldw3, off/2) {
			VFMADD231PS(s.loadHalf(row, masked), v, sums[u][j])
		}
	})
	s.halves = nil
	for j := range sums[0] {
		VADDPS(sums[1][j], sums[0][j], sums[0][j])
	}
	VMOVUPS(s.fourSums(sums[0]), at(y, 0))
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
	ldw3 := GP64()
	LEAQ(operand.Mem{Base: ldw, Index: ldw, Scale: 2}, ldw3)
	ahead := load("ahead")
	Label(name + "_rows")
	var xs [4]vec
	for i := range xs {
		xs[i] = s.vec()
		VBROADCASTSS(at(x, 4*i), xs[i])
	}
	n, y, p := load("n"), load("y"), GP64().(ptr)
	MOVQ(w, p)
	s.halves = []ptr{p}
	s.loop(name, n, []ptr{y}, 2, func(_, off int, masked bool) {
		v := s.load(at(y, off), masked)
		s.fetch(ahead, 2*s.bytes())
		for i, row := range fourRows(p, ldw, ldw3, off/2) {
			VFMADD231PS(s.loadHalf(row, masked), xs[i], v)
		}
		s.store(v, at(y, off), masked)
	})
	s.halves = nil
	ADDQ(operand.I8(16), x)
	LEAQ(operand.Mem{Base: w, Index: ldw, Scale: 4}, w)
	DECQ(rows)
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}
