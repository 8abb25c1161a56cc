package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

type (
	vec int // V0 to V31
	ptr int // R0 to R15 and R19 to R26: the others belong to the platform, to Go or to its linker
)

// lane is one float of a vector, which many instructions spread by themselves.
type lane struct {
	v vec
	i int
}

func (v vec) String() string { return fmt.Sprintf("V%d", int(v)) }

// f is the register as the instructions that move it whole, or its lowest float, call it.
func (v vec) f() string { return fmt.Sprintf("F%d", int(v)) }

func (r ptr) String() string { return fmt.Sprintf("R%d", int(r)) }

// program is the assembly so far and its declarations. Registers are handed out in order and taken back when the
// function ends, or the scope does.
type program struct {
	lines, stubs []string
	tables       []string
	offsets      map[string]string // of the current function's parameters
	vecs, ptrs   int               // in use
	top          int               // most vectors that were in use since interleave began a part
	places       int               // that fetch
}

func (p *program) emit(format string, args ...any) {
	p.lines = append(p.lines, "\t"+fmt.Sprintf(format, args...))
}

func (p *program) label(name string) { p.lines = append(p.lines, name+":") }

// text opens a function. Its parameters and its results are ints, pointers and float32s; a single result needs no
// name and is called ret.
func (p *program) text(name, parameters, results string) {
	p.vecs, p.ptrs = 0, 0
	p.offsets = map[string]string{}
	signature := fmt.Sprintf("func %s(%s)", name, parameters)
	size := p.place(parameters, 0)
	switch {
	case strings.Contains(results, " "):
		signature += " (" + results + ")"
		size = p.place(results, (size+7)/8*8)
	case results != "":
		signature += " " + results
		size = p.place("ret "+results, (size+7)/8*8)
	}
	p.stubs = append(p.stubs, "//go:noescape\n"+signature+"\n")
	p.lines = append(p.lines, "", "// "+signature, fmt.Sprintf("TEXT ·%s(SB), NOSPLIT, $0-%d", name, size))
}

// place notes where each of a list of parameters stands, the first at size or after it, and returns where they end.
func (p *program) place(list string, size int) int {
	var waiting []string // names whose type comes with a later one
	for _, field := range strings.Split(list, ", ") {
		name, kind, typed := strings.Cut(field, " ")
		waiting = append(waiting, name)
		if !typed {
			continue
		}
		width := 8
		if kind == "float32" {
			width = 4
		}
		for _, n := range waiting {
			size = (size + width - 1) / width * width
			p.offsets[n] = fmt.Sprintf("%s+%d(FP)", n, size)
			size += width
		}
		waiting = nil
	}
	return size
}

func (p *program) vec() vec {
	p.vecs++
	if p.vecs > 32 {
		panic("out of vectors")
	}
	p.top = max(p.top, p.vecs)
	return vec(p.vecs - 1)
}

func (p *program) vectors(n int) []vec {
	vs := make([]vec, n)
	for i := range vs {
		vs[i] = p.vec()
	}
	return vs
}

func (p *program) zeros(n int) []vec {
	vs := p.vectors(n)
	p.clear(vs)
	return vs
}

func (p *program) clear(vs []vec) {
	for _, v := range vs {
		p.emit("VEOR %v.B16, %v.B16, %v.B16", v, v, v)
	}
}

func (p *program) ptr() ptr {
	r := p.ptrs
	if r > 15 {
		r += 3
	}
	if r > 26 {
		panic("out of pointers")
	}
	p.ptrs++
	return ptr(r)
}

// scope gives back the registers that f took.
func (p *program) scope(f func()) {
	vecs, ptrs := p.vecs, p.ptrs
	f()
	p.vecs, p.ptrs = vecs, ptrs
}

// captured returns the lines that f would emit.
func (p *program) captured(f func()) []string {
	before := p.lines
	p.lines = nil
	f()
	lines := p.lines
	p.lines = before
	return lines
}

// interleave emits f(0), f(1), … line by line in turn: they are independent, and a processor that keeps to the order
// it is given has something to do while one of them waits for a result.
func (p *program) interleave(n int, f func(u int)) {
	parts := make([][]string, n)
	for u := range parts {
		p.top = p.vecs
		parts[u] = p.captured(func() { f(u) })
		p.vecs = p.top // what one part gave back it still uses while the next runs
	}
	for more := true; more; {
		more = false
		for u := range parts {
			if len(parts[u]) > 0 {
				p.lines = append(p.lines, parts[u][0])
				parts[u] = parts[u][1:]
				more = true
			}
		}
	}
}

// among emits main with the lines of side spread among it.
func (p *program) among(main, side []string) {
	done := 0
	for i, line := range main {
		p.lines = append(p.lines, line)
		for ; done*len(main) < (i+1)*len(side); done++ {
			p.lines = append(p.lines, side[done])
		}
	}
}

func (p *program) load(param string) ptr {
	r := p.ptr()
	p.reload(param, r)
	return r
}

func (p *program) reload(param string, r ptr) {
	p.emit("MOVD %s, %v", p.offset(param), r)
}

func (p *program) offset(param string) string {
	o, ok := p.offsets[param]
	if !ok {
		panic("no parameter " + param)
	}
	return o
}

// scalar loads a float32 parameter as a lane.
func (p *program) scalar(param string) lane {
	v := p.vec()
	p.emit("FMOVS %s, %s", p.offset(param), v.f())
	return lane{v, 0}
}

// spreadScalar loads a float32 parameter into all lanes.
func (p *program) spreadScalar(param string) vec {
	s := p.scalar(param)
	p.dup(s.v, s)
	return s.v
}

func (p *program) ret() { p.emit("RET") }

func (p *program) retScalar(v vec) {
	p.emit("FMOVS %s, %s", v.f(), p.offset("ret"))
	p.ret()
}

func (p *program) mov(d, s ptr) { p.emit("MOVD %v, %v", s, d) }

func (p *program) add1(d, n, m ptr) { p.emit("ADD %v, %v, %v", m, n, d) }

func (p *program) advance(r ptr, bytes int) { p.emit("ADD $%d, %v", bytes, r) }

// countdown takes by from n and jumps to label as long as n is not negative.
func (p *program) countdown(n ptr, by int, label string) {
	p.emit("SUBS $%d, %v, %v", by, n, n)
	p.emit("BGE %s", label)
}

// next moves on to label until n has gone down to zero.
func (p *program) next(n ptr, label string) {
	p.emit("SUBS $1, %v, %v", n, n)
	p.emit("BNE %s", label)
}

// read loads a vector, or its first float when single; the others are zero then.
func (p *program) read(v vec, from ptr, off int, single bool) {
	p.emit("%s %d(%v), %s", move(single), off, from, v.f())
}

func (p *program) write(v vec, to ptr, off int, single bool) {
	p.emit("%s %s, %d(%v)", move(single), v.f(), off, to)
}

func move(single bool) string {
	if single {
		return "FMOVS"
	}
	return "FMOVQ"
}

// readOn loads as read does and moves the pointer on.
func (p *program) readOn(v vec, from ptr, single bool) {
	if single {
		p.emit("FMOVS.P 4(%v), %s", from, v.f())
		return
	}
	p.emit("FMOVQ.P 16(%v), %s", from, v.f())
}

// readPair loads eight floats.
func (p *program) readPair(v [2]vec, from ptr) {
	p.read(v[0], from, 0, false)
	p.read(v[1], from, 16, false)
}

func (p *program) writePair(v [2]vec, to ptr) {
	p.emit("FSTPQ (%s, %s), (%v)", v[0].f(), v[1].f(), to)
}

// fetch asks for the next bytes at r, which it moves on, unless r is 0. Rows that are read some at a time are too short
// for the processor to see where they lead.
func (p *program) fetch(r ptr, bytes int) {
	p.places++
	past := fmt.Sprintf("fetched%d", p.places)
	p.emit("CBZ %v, %s", r, past)
	for i := 0; i < bytes; i += 64 {
		p.emit("PRFM %d(%v), PLDL1KEEP", i, r)
	}
	p.advance(r, bytes)
	p.label(past)
}

// Go's assembler lacks most of what there is for vectors of floats. These are the words, for registers numbered 0, by
// the names that Arm gives them.
var (
	ofThree = map[string]uint32{
		"fadd": 0x4e20d400, "fsub": 0x4ea0d400, "fmul": 0x6e20dc00, "fdiv": 0x6e20fc00, "fmax": 0x4e20f400,
		"faddp": 0x6e20d400, "fmaxp": 0x6e20f400, "fcmgt": 0x6ea0e400,
	}
	ofTwo = map[string]uint32{
		"frintn": 0x4e218800, "fcvtns": 0x4e21a800, "fsqrt": 0x6ea1f800, "fneg": 0x6ea0f800,
	}
	ofLane = map[string]uint32{"fmla": 0x4f801000, "fmls": 0x4f805000, "fmul": 0x4f809000}
)

func (p *program) word(w uint32, format string, args ...any) {
	p.emit("WORD $0x%08x // "+format, append([]any{w}, args...)...)
}

// three emits d = n op m in each lane.
func (p *program) three(op string, d, n, m vec) {
	p.word(code(ofThree, op)|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s, v%d.4s", op, d, n, m)
}

// two emits d = op n in each lane.
func (p *program) two(op string, d, n vec) {
	p.word(code(ofTwo, op)|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s", op, d, n)
}

// andNot emits d = n with the bits of m cleared.
func (p *program) andNot(d, n, m vec) {
	p.word(0x4e601c00|uint32(m)<<16|uint32(n)<<5|uint32(d), "bic v%d.16b, v%d.16b, v%d.16b", d, n, m)
}

// widenHalf makes float32 of the four bfloat16 in the lower or the upper half of n: each is the upper half of one.
func (p *program) widenHalf(d, n vec, upper bool) {
	if upper {
		p.word(0x6e613800|uint32(n)<<5|uint32(d), "shll2 v%d.4s, v%d.8h, #16", d, n)
		return
	}
	p.word(0x2e613800|uint32(n)<<5|uint32(d), "shll v%d.4s, v%d.4h, #16", d, n)
}

// by emits d = n·m, d += n·m or d -= n·m with the same m for every lane.
func (p *program) by(op string, d, n vec, m lane) {
	i := uint32(m.i)
	p.word(code(ofLane, op)|i&1<<21|i>>1<<11|uint32(m.v)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s, v%d.s[%d]", op, d, n, m.v, i)
}

func code(words map[string]uint32, op string) uint32 {
	w, ok := words[op]
	if !ok {
		panic("no word for " + op)
	}
	return w
}

// fma emits d += n·m.
func (p *program) fma(d, n, m vec) { p.emit("VFMLA %v.S4, %v.S4, %v.S4", m, n, d) }

// dup spreads a lane.
func (p *program) dup(d vec, m lane) { p.emit("VDUP %v.S[%d], %v.S4", m.v, m.i, d) }

// sumLanes leaves the sum of all lanes in each of them.
func (p *program) sumLanes(v vec) {
	p.three("faddp", v, v, v)
	p.three("faddp", v, v, v)
}

// foldInto leaves op of all of vs in the first.
func (p *program) foldInto(op string, vs []vec) {
	for n := len(vs); n > 1; n /= 2 {
		for i := range n / 2 {
			p.three(op, vs[i], vs[i], vs[i+n/2])
		}
	}
}

// fourSums leaves the sums over the lanes of four vectors in the lanes of the first.
func (p *program) fourSums(q []vec) {
	p.three("faddp", q[0], q[0], q[1])
	p.three("faddp", q[2], q[2], q[3])
	p.three("faddp", q[0], q[0], q[2])
}

// table returns a register that holds four constants.
func (p *program) table(c [4]float32) vec {
	name := "floats"
	for _, f := range c {
		name += fmt.Sprintf("_%08x", math.Float32bits(f))
	}
	if !slices.ContainsFunc(p.tables, func(t string) bool { return strings.Contains(t, name) }) {
		var t strings.Builder
		for i, f := range c {
			fmt.Fprintf(&t, "DATA %s<>+%d(SB)/4, $0x%08x\n", name, 4*i, math.Float32bits(f))
		}
		fmt.Fprintf(&t, "GLOBL %s<>(SB), RODATA|NOPTR, $16\n", name)
		p.tables = append(p.tables, t.String())
	}
	v := p.vec()
	p.scope(func() {
		r := p.ptr()
		p.emit("MOVD $%s<>(SB), %v", name, r)
		p.read(v, r, 0, false)
	})
	return v
}

// constant is f in all lanes.
func (p *program) constant(f float32) vec { return p.table([4]float32{f, f, f, f}) }

// walk is what a loop moves over: n floats at each of floats, n bfloat16 at each of halves.
type walk struct {
	n              ptr
	floats, halves []ptr
}

func (p *program) move(w walk, elements int) {
	for _, r := range w.floats {
		p.advance(r, 4*elements)
	}
	for _, r := range w.halves {
		p.advance(r, 2*elements)
	}
}

// loop runs over n floats: some vectors at a time, then one, then float by float, which is a single one. body takes
// registers of its own each time.
func (p *program) loop(name string, w walk, vectors int, body func(vectors int, single bool)) {
	many, one, next, tail, last, done := name+"_many", name+"_one", name+"_next", name+"_tail", name+"_last", name+"_done"
	p.emit("SUBS $%d, %v, %v", 4*vectors, w.n, w.n)
	p.emit("BLT %s", one)
	p.label(many)
	p.scope(func() { body(vectors, false) })
	p.move(w, 4*vectors)
	p.countdown(w.n, 4*vectors, many)
	p.label(one)
	p.emit("ADDS $%d, %v, %v", 4*vectors-4, w.n, w.n)
	p.emit("BLT %s", tail)
	p.label(next)
	p.scope(func() { body(1, false) })
	p.move(w, 4)
	p.countdown(w.n, 4, next)
	p.label(tail)
	p.emit("ADDS $4, %v, %v", w.n, w.n)
	p.emit("BEQ %s", done)
	p.label(last)
	p.scope(func() { body(1, true) })
	p.move(w, 1)
	p.next(w.n, last)
	p.label(done)
}

const header = "// Code generated by model/kernel/_gen/neon. DO NOT EDIT.\n\n//go:build !purego\n\n"

func (p *program) assembly() string {
	return header + "#include \"textflag.h\"\n\n" + strings.Join(p.tables, "\n") + strings.Join(p.lines, "\n") + "\n"
}

func (p *program) declarations(pkg string) string {
	return header + "package " + pkg + "\n\n" + strings.Join(p.stubs, "\n")
}
