// Command gen writes the amd64 assembly of package kernel and the Go declarations that go with it.
//
// Every kernel is written once, against the type isa, and emitted for AVX2 and for AVX-512; only the
// matrix microkernels, whose shape depends on the number of registers, exist apart. It stands in a module of
// its own, so that nobody who imports the kernels depends on the generator.
package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	for rows := 1; rows <= 6; rows++ {
		gemm256(rows)
	}
	for rows := 1; rows <= 14; rows++ {
		gemm512(rows)
	}
	packT256()
	packT512()
	packN512()
	packHalf512()
	packTHalf512()
	for _, bits := range []int{256, 512} {
		s := &isa{bits: bits}
		for rows := 1; rows <= 3; rows++ {
			s.gemmNT(rows)
		}
		for _, half := range []bool{false, true} {
			s.gemv(half)
			s.gemvT(half)
		}
		s.widen()
		s.dot()
		s.axpy()
		s.add()
		s.mul()
		s.mulAdd()
		s.scale()
		s.mulScale()
		s.mulScale2()
		s.max()
		s.exp()
		s.sigmoid()
		s.silu()
		s.expSum()
		s.adam()
		s.decayScan()
		s.decayScanBack()
		s.blend()
		s.slopeScan()
		s.slopeScanBack()
		s.above()
		s.swiglu()
		s.blocksHalf()
		s.normBlocks()
		s.swigluBack()
		s.mixBack()
		s.blendBack()
		s.normBack()
		s.normBlocksBack()
		s.burn()
		s.sweep()
	}
	Generate()
}

type (
	vec = reg.VecVirtual
	ptr = reg.GPVirtual
)

// isa is one of the two vector widths, and the mask of the tail that is being emitted.
type isa struct {
	bits int
	mask vec // 256 bits only: all ones in the lanes that exist. 512 bits use K1.

	halves []ptr // pointers to bfloat16 that loop moves on, half as fast as those to float32
}

func (s *isa) wide() bool { return s.bits == 512 }

func (s *isa) bytes() int { return s.bits / 8 }

func (s *isa) lanes() int { return s.bits / 32 }

func (s *isa) vec() vec {
	if s.wide() {
		return ZMM()
	}
	return YMM()
}

// text opens the function name256 or name512.
func (s *isa) text(name, signature string) string {
	name = fmt.Sprintf("%s%d", name, s.bits)
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	return name
}

func (s *isa) zeros() vec {
	v := s.vec()
	s.clear(v)
	return v
}

func (s *isa) clear(v vec) {
	if s.wide() {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

// spread loads the scalar parameter into every lane.
func (s *isa) spread(param string) vec {
	v := s.vec()
	VBROADCASTSS(Load(Param(param), XMM()), v)
	return v
}

// load reads a vector, or its first lanes when masked; the others are zero then and their memory is untouched.
func (s *isa) load(at operand.Mem, masked bool) vec {
	v := s.vec()
	switch {
	case !masked:
		VMOVUPS(at, v)
	case s.wide():
		VMOVUPS_Z(at, reg.K1, v)
	default:
		VMASKMOVPS(at, s.mask, v)
	}
	return v
}

func (s *isa) store(v vec, at operand.Mem, masked bool) {
	switch {
	case !masked:
		VMOVUPS(v, at)
	case s.wide():
		VMOVUPS(v, reg.K1, at)
	default:
		VMASKMOVPS(v, s.mask, at)
	}
}

// setMask makes the mask of the first n lanes, 0 < n < lanes. n is spent.
func (s *isa) setMask(n ptr) {
	if s.wide() {
		ones := GP32()
		MOVL(operand.I32(-1), ones)
		BZHIL(n.As32(), ones, ones)
		KMOVW(ones, reg.K1)
		return
	}
	table := GP64()
	LEAQ(lanesTable(), table)
	NEGQ(n)
	s.mask = YMM()
	VMOVUPS(operand.Mem{Base: table, Index: n, Scale: 4, Disp: 32}, s.mask)
}

// loop runs over n floats: unroll vectors at a time, then one, then a masked rest. body is handed the byte
// offset of its vector from the pointers, which loop moves on.
func (s *isa) loop(name string, n ptr, ptrs []ptr, unroll int, body func(u, off int, masked bool)) {
	many, one, next, tail, done := name+"_many", name+"_one", name+"_next", name+"_tail", name+"_done"
	advance := func(vectors int) {
		for _, p := range ptrs {
			ADDQ(operand.I32(int32(vectors*s.bytes())), p)
		}
		for _, p := range s.halves {
			ADDQ(operand.I32(int32(vectors*s.bytes()/2)), p)
		}
	}
	block := int32(unroll * s.lanes())
	if unroll > 1 {
		SUBQ(operand.I32(block), n)
		JL(operand.LabelRef(one))
		Label(many)
		for u := range unroll {
			body(u, u*s.bytes(), false)
		}
		advance(unroll)
		SUBQ(operand.I32(block), n)
		JGE(operand.LabelRef(many))
		Label(one)
		ADDQ(operand.I32(block-int32(s.lanes())), n)
	} else {
		SUBQ(operand.I32(int32(s.lanes())), n)
	}
	JL(operand.LabelRef(tail))
	Label(next)
	body(0, 0, false)
	advance(1)
	SUBQ(operand.I32(int32(s.lanes())), n)
	JGE(operand.LabelRef(next))
	Label(tail)
	ADDQ(operand.I32(int32(s.lanes())), n)
	JZ(operand.LabelRef(done))
	if len(s.halves) == 0 || s.wide() { // AVX2 cannot mask 16 bits: its callers bring no tail
		s.setMask(n)
		body(0, 0, true)
	}
	Label(done)
}

// fetch asks for the next bytes at p, which it moves on, unless p is 0. Rows that are read four at a time are too short
// for the processor to see where they lead, and without this it waits for memory most of the time.
func (s *isa) fetch(name string, p ptr, bytes int) {
	TESTQ(p, p)
	JZ(operand.LabelRef(name))
	for i := 0; i < bytes; i += 64 {
		PREFETCHT1(at(p, i))
	}
	ADDQ(operand.I32(int32(bytes)), p)
	Label(name)
}

// half folds a vector of any width to 128 bits with op, which is VADDPS or VMAXPS.
func (s *isa) half(v vec, op func(...operand.Op)) vec {
	y := v
	if s.wide() {
		y = YMM()
		VEXTRACTF64X4(operand.U8(1), v, y)
		op(y, v.AsY(), y)
	}
	x := XMM()
	VEXTRACTF128(operand.U8(1), y.AsY(), x)
	op(x, y.AsX(), x)
	return x
}

// sum returns the sum of all lanes in the lowest one.
func (s *isa) sum(v vec) vec {
	x := s.half(v, VADDPS)
	VHADDPS(x, x, x)
	VHADDPS(x, x, x)
	return x
}

func finish() {
	VZEROUPPER()
	RET()
}

func load(param string) ptr { return Load(Param(param), GP64()).(ptr) }

func at(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

var globals = map[string]operand.Mem{}

// constant is v in all eight lanes of 256 bits; AVX2 cannot spread a memory operand by itself.
func constant(v float32) operand.Mem {
	bits := math.Float32bits(v)
	name := fmt.Sprintf("float%08x", bits)
	if g, ok := globals[name]; ok {
		return g
	}
	g := GLOBL(name, RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, operand.U32(bits))
	}
	globals[name] = g
	return g
}

// lanesTable is eight words of ones, then eight of zeros: read 4·n bytes before the middle, it is the mask of n lanes.
func lanesTable() operand.Mem {
	if g, ok := globals["lanes"]; ok {
		return g
	}
	g := GLOBL("lanes", RODATA|NOPTR)
	for i := range 16 {
		word := uint32(0)
		if i < 8 {
			word = math.MaxUint32
		}
		DATA(4*i, operand.U32(word))
	}
	globals["lanes"] = g
	return g
}
