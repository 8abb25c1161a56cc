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

// gemv computes y = W·x for 4·rows4 rows of W, ldw apart, a row of each quarter of them at a time: memory answers
// faster where it is read in four places. It fetches as many bytes as it reads from ahead on. Of bfloat16 at 256 bits n is
// a multiple of 8.
func (s *isa) gemv(half bool) {
	m := s.weights(half)
	name := s.text("gemv"+m.suffix, "func(rows4, n int, w "+m.of+", ldw int, x, y *float32, ahead uintptr)")
	rows, w, y := load("rows4"), load("w"), load("y")
	ahead := load("ahead")
	quarter, quarter3 := s.quarters(rows, load("ldw"))
	part, part3 := s.quarters(rows, four())
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
		for j, row := range fourRows(p, quarter, quarter3, 0) {
			q := m.pair(row)
			VFMADD231PS(q[0], v0, sums[j])
			VFMADD231PS(q[1], v1, more[j])
		}
	}, func(masked bool) {
		v := s.load(at(x, 0), masked)
		for j, row := range fourRows(p, quarter, quarter3, 0) {
			VFMADD231PS(m.one(row, masked), v, sums[j])
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
	ADDQ(operand.I8(4), y)
	ADDQ(load("ldw"), w)
	DECQ(rows)
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}

// quarters returns how far apart the quarters of 4·rows things are that are ld apart, and three times that.
func (s *isa) quarters(rows, ld ptr) (one, three ptr) {
	one, three = GP64().(ptr), GP64().(ptr)
	MOVQ(ld, one)
	IMULQ(rows, one)
	LEAQ(operand.Mem{Base: one, Index: one, Scale: 2}, three)
	return one, three
}

// gemvT adds Σ x[r]·W[r] to y over 4·rows4 rows, ldw apart, a row of each quarter of them at a time, and fetches as
// many bytes as it reads from ahead on. Of bfloat16 at 256 bits n is a multiple of 8.
func (s *isa) gemvT(half bool) {
	m := s.weights(half)
	name := s.text("gemvT"+m.suffix, "func(rows4, n int, w "+m.of+", ldw int, x, y *float32, ahead uintptr)")
	rows, w, x := load("rows4"), load("w"), load("x")
	ahead := load("ahead")
	quarter, quarter3 := s.quarters(rows, load("ldw"))
	part, part3 := s.quarters(rows, four())
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
		for i, row := range fourRows(p, quarter, quarter3, 0) {
			q := m.pair(row)
			VFMADD231PS(q[0], xs[i], v0)
			VFMADD231PS(q[1], xs[i], v1)
		}
		s.store(v0, at(y, 0), false)
		s.store(v1, at(y, s.bytes()), false)
	}, func(masked bool) {
		v := s.load(at(y, 0), masked)
		for i, row := range fourRows(p, quarter, quarter3, 0) {
			VFMADD231PS(m.one(row, masked), xs[i], v)
		}
		s.store(v, at(y, 0), masked)
	})
	ADDQ(operand.I8(4), x)
	ADDQ(load("ldw"), w)
	DECQ(rows)
	JNZ(operand.LabelRef(name + "_rows"))
	finish()
}
