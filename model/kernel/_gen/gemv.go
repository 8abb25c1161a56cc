package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// A vector times a matrix, for weights of either form.

// weights reads the rows of a matrix: float32, or bfloat16 that it widens.
type weights struct {
	s      *isa
	half   bool
	suffix string // of a kernel's name
	of     string // type of the parameter
	halves *halves
}

func (s *isa) weights(half bool) *weights {
	if half {
		return &weights{s: s, half: true, suffix: "Half", of: "*uint16"}
	}
	return &weights{s: s, of: "*float32"}
}

// prepare loads what is needed to widen.
func (m *weights) prepare() {
	if m.half {
		m.halves = m.s.newHalves()
	}
}

// bytes is how many a pair of vectors has.
func (m *weights) bytes() int {
	if m.half {
		return m.s.bytes()
	}
	return 2 * m.s.bytes()
}

func (m *weights) pair(at operand.Mem) pair {
	if m.half {
		return m.halves.load(at)
	}
	second := at
	second.Disp += m.s.bytes()
	return pair{m.s.load(at, false), m.s.load(second, false)}
}

func (m *weights) one(at operand.Mem, masked bool) vec {
	if m.half {
		return m.s.loadHalf(at, masked)
	}
	return m.s.load(at, masked)
}

// advance moves on by step rows: v, of which a row has one, and w.
func advance(v, w ptr) {
	step, ld := load("step"), load("ldw")
	LEAQ(operand.Mem{Base: v, Index: step, Scale: 4}, v)
	IMULQ(step, ld)
	ADDQ(ld, w)
}

func four() ptr {
	n := GP64().(ptr)
	MOVQ(operand.I32(4), n)
	return n
}

// pairs runs over n columns, two vectors of them at a time, then one, then a masked rest. It moves x, which points to
// float32, and w, to weights, on with them.
func (m *weights) pairs(name string, n, x, w ptr, whole func(), part func(masked bool)) {
	s := m.s
	two, one, tail, done := name+"_two", name+"_one", name+"_tail", name+"_done"
	advance := func(vectors int) {
		ADDQ(operand.I32(int32(vectors*s.bytes())), x)
		ADDQ(operand.I32(int32(vectors*m.bytes()/2)), w)
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
	if s.wide() || !m.half { // AVX2 cannot mask 16 bits: its callers bring no tail
		s.setMask(n)
		part(true)
	}
	Label(done)
}

// gemv computes y = W·x for 4·rows4 rows of W, ldw apart, four at a time: rows that are apart from each other, and then
// those step further on. It fetches as many bytes as it reads from ahead on. Of bfloat16 at 256 bits n is a multiple of 8.
func (s *isa) gemv(half bool) {
	m := s.weights(half)
	name := s.text("gemv"+m.suffix, "func(rows4, apart, step, n int, w "+m.of+", ldw int, x, y *float32, ahead uintptr)")
	rows, w, y := load("rows4"), load("w"), load("y")
	ahead := load("ahead")
	row, row3 := times(load("apart"), load("ldw"))
	part, part3 := times(load("apart"), four())
	m.prepare()
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
	m.pairs(name, n, x, p, func() {
		v0, v1 := s.load(at(x, 0), false), s.load(at(x, s.bytes()), false)
		s.fetch(name+"_fetched", ahead, 4*m.bytes())
		for j, from := range fourRows(p, row, row3, 0) {
			q := m.pair(from)
			VFMADD231PS(q[0], v0, sums[j])
			VFMADD231PS(q[1], v1, more[j])
		}
	}, func(masked bool) {
		v := s.load(at(x, 0), masked)
		for j, from := range fourRows(p, row, row3, 0) {
			VFMADD231PS(m.one(from, masked), v, sums[j])
		}
	})
	if s.wide() {
		for j := range sums {
			VADDPS(more[j], sums[j], sums[j])
		}
	}
	total := s.fourSums(sums)
	for j, to := range fourRows(y, part, part3, 0) {
		VEXTRACTPS(operand.U8(j), total, to)
	}
	advance(y, w)
	DECQ(rows)
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}

// times returns n·size and three times that.
func times(n, size ptr) (one, three ptr) {
	IMULQ(n, size)
	three = GP64().(ptr)
	LEAQ(operand.Mem{Base: size, Index: size, Scale: 2}, three)
	return size, three
}

// gemvT adds Σ x[r]·W[r] to y over 4·rows4 rows, in gemv's order, and fetches as many bytes as it reads from ahead on. Of
// bfloat16 at 256 bits n is a multiple of 8.
func (s *isa) gemvT(half bool) {
	m := s.weights(half)
	name := s.text("gemvT"+m.suffix, "func(rows4, apart, step, n int, w "+m.of+", ldw int, x, y *float32, ahead uintptr)")
	rows, w, x := load("rows4"), load("w"), load("x")
	ahead := load("ahead")
	row, row3 := times(load("apart"), load("ldw"))
	part, part3 := times(load("apart"), four())
	m.prepare()
	Label(name + "_rows")
	var xs [4]vec
	for i, from := range fourRows(x, part, part3, 0) {
		xs[i] = s.vec()
		VBROADCASTSS(from, xs[i])
	}
	n, y, p := load("n"), load("y"), GP64().(ptr)
	MOVQ(w, p)
	m.pairs(name, n, y, p, func() {
		v0, v1 := s.load(at(y, 0), false), s.load(at(y, s.bytes()), false)
		s.fetch(name+"_fetched", ahead, 4*m.bytes())
		for i, from := range fourRows(p, row, row3, 0) {
			q := m.pair(from)
			VFMADD231PS(q[0], xs[i], v0)
			VFMADD231PS(q[1], xs[i], v1)
		}
		s.store(v0, at(y, 0), false)
		s.store(v1, at(y, s.bytes()), false)
	}, func(masked bool) {
		v := s.load(at(y, 0), masked)
		for i, from := range fourRows(p, row, row3, 0) {
			VFMADD231PS(m.one(from, masked), xs[i], v)
		}
		s.store(v, at(y, 0), masked)
	})
	advance(x, w)
	DECQ(rows)
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}
