package learning

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// What a device has learnt of a knack travels as a lesson: the sums of features of each class, which are exact, and what of the second
// moments does not follow from them. With n examples of group g, a class, and S the sum of their features φ,
//
//	G = Σ φφᵀ = Σ_g S·Sᵀ/n + what they scatter about the means of their groups
//
// and the scatter goes as rows R of whole numbers in steps of s, found one after the other, the largest variance left over first (an incomplete
// Cholesky factorisation with pivoting: Fine and Scheinberg 2001). It ends where no variance is larger than s². What rounding does is as if the
// examples were a little blurred. s² is a share of the ridge, below which nothing counts in an answer.
//
// What the bytes say is then G' = ⌊Σ_g S·Sᵀ/n⌉ + s²·RᵀR + ⌈width/128⌉·I, where the first term is rounded to 64ths. That is what others add up, in
// whole 64ths, the same on every machine. What is rounded has no larger norm than the last term, so G' has no negative eigenvalue, whatever the
// bytes are. All of it follows from the sums, so it tells nothing that they do not.
//
// The sums of controls are not those that were shown, but those that lead to the same answers with G' (see agree).
//
// The bytes are four that name the format and one frame of zstd. In it, as uvarints unless more is said:
//
//	version (1), kind (0 classes, 1 controls), the skill's name, Inputs, Features, s
//	groups; of each its label, how many examples it has, and the sums of its features
//	of controls, which are one group without a label: their number; of each its name and its sums (Features+1, zigzag)
//	rows; R, row by row (Features+1 each, zigzag)
//
// Texts are after their length. Labels and names are sorted. The constant feature of a sum of features is not there: it is 127 for each example.

const (
	knackMagic   = "yan\x04"
	knackVersion = 1

	maxKnackFeatures = 1024
	maxKnackInputs   = 1 << 14
	maxKnackClasses  = 256
	maxLessonClasses = 64
	maxLessonRow     = 1<<12 - 1 // a number of a row: its square is a whole number that a float32 holds
	maxLessonCount   = 1 << 20   // examples of a class
	maxLabel         = 64        // bytes
)

// knackStep is s² as a share of the ridge.
const knackStep = 0.05

// A Lesson is what somebody has learnt of a knack, on its way to another device.
type Lesson struct {
	name   string
	cfg    HeadConfig
	step   int64
	groups []lessonSum
	sums   []lessonSum // of controls
	rows   []int16     // (n, width)
	body   []byte      // that it was read from
}

// lessonSum is a class or a control.
type lessonSum struct {
	label string
	count int64
	sum   []int64 // (width)
}

// Shape is that of the knack which it teaches.
func (l *Lesson) Shape() KnackConfig {
	return KnackConfig{Name: l.name, Inputs: l.cfg.Inputs, Features: l.cfg.Features, Controls: l.cfg.Controls}
}

// Examples is how many the lesson was learnt from.
func (l *Lesson) Examples() (n int64) {
	for _, g := range l.groups {
		n += g.count
	}
	return n
}

// labels lists the classes or the controls.
func (l *Lesson) labels() (list []string) {
	of := l.groups
	if l.cfg.Controls {
		of = l.sums
	}
	for _, g := range of {
		list = append(list, g.label)
	}
	return list
}

// newLesson makes a lesson of a head's sums.
func newLesson(name string, h *Head) (*Lesson, error) {
	width := h.width()
	l := &Lesson{name: name, cfg: h.cfg}
	for _, label := range h.Classes() {
		c := h.classes[label]
		s := lessonSum{label, c.count, slices.Clone(c.sum)}
		if h.cfg.Controls {
			l.sums = append(l.sums, s)
		} else {
			l.groups = append(l.groups, s)
		}
	}
	if h.cfg.Controls { // what the constant feature has in common with all others are their sums
		all := make([]int64, width)
		for i := range width {
			all[i] = h.moments[triangle(i, width)+width-1-i] / headFull / h.unit
		}
		l.groups = []lessonSum{{"", all[width-1] / headFull, all}}
	}
	if l.Examples() == 0 {
		return nil, ErrNoClasses
	}
	for _, g := range l.groups {
		if g.count > maxLessonCount {
			return nil, fmt.Errorf("learning: skill %s: %d examples of %s, more than the %d that others take", name, g.count, g.label, maxLessonCount)
		}
	}
	n := float64(l.Examples())
	l.step = max(1, int64(math.Round(math.Sqrt(knackStep*h.ridge()))), int64(math.Ceil(headFull*math.Sqrt(n)/maxLessonRow)))
	l.factor(h)
	if h.cfg.Controls {
		if err := l.agree(h); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// agree makes the sums of controls those that go with the second moments as others read them: (G' + λ'I)·W, where W is what is solved here from what was
// shown. Who learns from the lesson alone then does what its author does, whatever was rounded. With the exact sums he would not: the smallest directions
// of G are a millionth of the largest, what is rounded in those is more than all that is in the smallest, and a control is a sum over all of them.
func (l *Lesson) agree(h *Head) error {
	r, err := h.Solve()
	if err != nil {
		return err
	}
	g, width, k := l.head(), h.width(), len(l.sums)
	ridge := g.ridge()
	sums := make([]float64, width*k) // (width, k)
	for i := range width {
		row := g.moments[triangle(i, width):][:width-i]
		for c := range k {
			sums[i*k+c] += float64(ridge * float64(r.weights[i*k+c]))
		}
		for j, v := range row {
			v := float64(v) / float64(g.unit)
			for c := range k {
				sums[i*k+c] += float64(v * float64(r.weights[(i+j)*k+c]))
				if j > 0 {
					sums[(i+j)*k+c] += float64(v * float64(r.weights[i*k+c]))
				}
			}
		}
	}
	most := float64(headFull * headFull * l.Examples())
	for c := range k {
		for i := range width {
			l.sums[c].sum[i] = int64(math.RoundToEven(max(-most, min(most, sums[i*k+c]))))
		}
	}
	return nil
}

// factor finds the rows.
func (l *Lesson) factor(h *Head) {
	width, step := h.width(), float64(l.step)
	room := solveRooms.Get().(*solveRoom)
	defer solveRooms.Put(room)
	left := room.of(width * width) // (width, width), in units of s²
	for i := range width {
		for j, v := range h.moments[triangle(i, width):][:width-i] {
			x := float64(v/h.unit) / (step * step)
			left[i*width+i+j], left[(i+j)*width+i] = x, x
		}
	}
	row := make([]float64, width)
	for i := range width {
		l.between(row[i:], i)
		for j := i; j < width; j++ {
			x := left[i*width+j] - float64(row[j]/(step*step))
			left[i*width+j], left[j*width+i] = x, x
		}
	}
	for len(l.rows) < 2*width*width {
		at := 0
		for i := range width {
			if left[i*width+i] > left[at*width+at] {
				at = i
			}
		}
		if left[at*width+at] < 1 {
			return
		}
		d := math.Sqrt(left[at*width+at])
		for j, v := range left[at*width : (at+1)*width] {
			row[j] = v / d
			l.rows = append(l.rows, int16(math.RoundToEven(min(max(row[j], -maxLessonRow), maxLessonRow))))
		}
		for i, a := range row {
			if a == 0 {
				continue
			}
			for j, b := range row {
				left[i*width+j] -= float64(a * b)
			}
		}
		for j := range width { // nothing is left, but for what was rounded
			left[at*width+j], left[j*width+at] = 0, 0
		}
	}
}

// between writes Σ_g S·Sᵀ/n, what the sums say of the second moments, from the diagonal to the end of row i to dst. It is computed so that every
// machine comes to the same.
func (l *Lesson) between(dst []float64, i int) {
	clear(dst)
	for _, g := range l.groups {
		mean := float64(g.sum[i]) / float64(g.count)
		for j, s := range g.sum[i : i+len(dst)] {
			dst[j] += float64(mean * float64(s))
		}
	}
}

// head returns the sums that the lesson tells of.
func (l *Lesson) head() *Head {
	h := newSums(l.cfg)
	width := h.width()
	for _, s := range append(slices.Clone(l.groups), l.sums...) {
		if s.label != "" {
			h.classes[s.label] = &classSum{s.count, slices.Clone(s.sum)}
		}
	}
	between := make([]float64, width)
	for i := range width {
		l.between(between[i:], i)
		row := h.moments[triangle(i, width):][:width-i]
		for j := range row {
			row[j] = int64(math.RoundToEven(between[i+j] * knackUnit))
		}
		row[0] += roundingSlack(width) * knackUnit
	}
	sc := headScratches.Get().(*headScratch)
	defer headScratches.Put(sc)
	squares := make([]int64, width)
	for rows := l.rows; len(rows) > 0; {
		// Products of these rows add up to less than 2²⁴ whatever the order is (Cauchy and Schwarz), so a float32 holds each partial sum.
		n := 0
		for clear(squares); n < len(rows)/width && addSquares(squares, rows[n*width:(n+1)*width]); n++ {
		}
		sc.rows = grow(sc.rows, n*width)
		for i, v := range rows[:n*width] {
			sc.rows[i] = float32(v)
		}
		h.addMoments(sc, sc.rows, n, l.step*l.step)
		rows = rows[n*width:]
	}
	return h
}

// knackUnit is what one is in a knack's second moments: what a lesson says of them is no whole number, and rounded to whole ones it could come out as
// second moments of nothing.
const knackUnit = 64

// newSums returns the sums of a knack that was shown nothing.
func newSums(cfg HeadConfig) *Head {
	h := NewHead(cfg)
	h.unit = knackUnit
	return h
}

// roundingSlack is what a diagonal gets, in whole ones, against what was rounded: width numbers of half a 64th in a row at most (Gershgorin).
func roundingSlack(width int) int64 { return int64((width + 2*knackUnit - 1) / (2 * knackUnit)) }

// addSquares adds the squares of a row, and reports whether all sums stay below 2²⁴; if not it adds nothing.
func addSquares(squares []int64, row []int16) bool {
	for i, v := range row {
		if squares[i]+int64(v)*int64(v) >= 1<<24 {
			return false
		}
	}
	for i, v := range row {
		squares[i] += int64(v) * int64(v)
	}
	return true
}

// encode returns the lesson as the body of an update.
func (l *Lesson) encode() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("learning: skill %s: %w", l.name, err)
	}
	b := l.bytes()
	if len(b) > maxDelta {
		return nil, fmt.Errorf("learning: skill %s: %d bytes, more than others take: teach it with fewer features", l.name, len(b))
	}
	return b, nil
}

func (l *Lesson) bytes() []byte {
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	kind := uint64(0)
	if l.cfg.Controls {
		kind = 1
	}
	b := binary.AppendUvarint(binary.AppendUvarint(nil, knackVersion), kind)
	b = text(b, l.name)
	for _, v := range []uint64{uint64(l.cfg.Inputs), uint64(l.cfg.Features), uint64(l.step)} {
		b = binary.AppendUvarint(b, v)
	}
	b = binary.AppendUvarint(b, uint64(len(l.groups)))
	for _, g := range l.groups {
		b = binary.AppendUvarint(text(b, g.label), uint64(g.count))
		for _, s := range g.sum[:l.cfg.Features] {
			b = binary.AppendUvarint(b, uint64(s))
		}
	}
	if l.cfg.Controls {
		b = binary.AppendUvarint(b, uint64(len(l.sums)))
		for _, c := range l.sums {
			b = text(b, c.label)
			for _, s := range c.sum {
				b = binary.AppendVarint(b, s)
			}
		}
	}
	b = binary.AppendUvarint(b, uint64(len(l.rows)/(l.cfg.Features+1)))
	for _, v := range l.rows {
		b = binary.AppendVarint(b, int64(v))
	}
	return encoder().EncodeAll(b, []byte(knackMagic))
}

// IsLesson reports whether the body of an update is a lesson in a knack, and no delta, by its first bytes.
func IsLesson(body []byte) bool { return bytes.HasPrefix(body, []byte(knackMagic)) }

// lessonReader reads what encode wrote. After an error everything is 0.
type lessonReader struct {
	b   []byte
	err error
}

func (r *lessonReader) fail(format string, a ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, a...)
	}
	r.b = nil
}

func (r *lessonReader) uint(most uint64, what string) uint64 {
	v, k := binary.Uvarint(r.b)
	if r.err != nil || k <= 0 || v > most || k > 1 && r.b[k-1] == 0 { // a last byte of 0 is one that need not be there
		r.fail("%s: it ends there, or is more than %d", what, most)
		return 0
	}
	r.b = r.b[k:]
	return v
}

func (r *lessonReader) int(most int64, what string) int64 {
	v := r.uint(uint64(most)*2, what)
	return int64(v>>1) ^ -int64(v&1)
}

// text reads a label, which comes after the one before.
func (r *lessonReader) text(before string, first bool, what string) string {
	n := r.uint(maxLabel, what)
	if n > uint64(len(r.b)) {
		r.fail("%s: it ends there", what)
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	if r.err == nil && (CheckLabel(s) != nil || !first && s <= before) {
		r.fail("%s %q after %q", what, s, before)
	}
	return s
}

// CheckLabel reports what is wrong with the name of a class or of a control.
func CheckLabel(s string) error {
	if s == "" || len(s) > maxLabel || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("learning: label %q: 1 to %d bytes of printable text", s, maxLabel)
	}
	return nil
}

// DecodeLesson parses the body of an update that holds a lesson. It trusts nothing, and holds on to body.
func DecodeLesson(body []byte) (*Lesson, error) {
	bad := func(err error) (*Lesson, error) { return nil, fmt.Errorf("%w: %w", ErrDelta, err) }
	frame, ok := bytes.CutPrefix(body, []byte(knackMagic))
	if !ok || len(body) > maxDelta {
		return bad(errors.New("it does not begin as a lesson"))
	}
	room := maxPacked
	var h zstd.Header
	if h.Decode(frame) == nil && h.HasFCS {
		room = int(min(h.FrameContentSize, maxPacked))
	}
	b, err := decoder().DecodeAll(frame, make([]byte, 0, room))
	if err != nil {
		return bad(err)
	}
	r := &lessonReader{b: b}
	if r.uint(math.MaxUint32, "version") != knackVersion && r.err == nil {
		return bad(errors.New("a lesson of another version"))
	}
	controls := r.uint(1, "kind") == 1
	name := r.text("", true, "name")
	inputs, features := int(r.uint(maxKnackInputs, "inputs")), int(r.uint(maxKnackFeatures, "features"))
	if r.err == nil {
		r.err = checkKnack(name, inputs, features)
	}
	if r.err != nil {
		return bad(r.err)
	}
	l := &Lesson{name: name, cfg: knackHead(name, inputs, features, controls), body: body}
	r.sums(l)
	r.rows(l)
	if len(r.b) > 0 {
		r.fail("%d bytes behind the end", len(r.b))
	}
	if r.err == nil {
		r.err = l.check()
	}
	if r.err != nil {
		return bad(r.err)
	}
	return l, nil
}

// sums reads how large a step is, and the sums.
func (r *lessonReader) sums(l *Lesson) {
	f := l.cfg.Features
	l.step = int64(r.uint(1<<20, "step"))
	groups := r.uint(maxLessonClasses, "classes")
	if l.cfg.Controls {
		groups = min(groups, 1)
	}
	label := ""
	for i := range groups {
		if l.cfg.Controls {
			if r.uint(0, "no label"); r.err != nil {
				return
			}
		} else {
			label = r.text(label, i == 0, "class")
		}
		n := int64(r.uint(maxLessonCount, "examples"))
		s := make([]int64, f+1)
		for j := range f {
			s[j] = int64(r.uint(uint64(headFull*n), "sum"))
		}
		s[f] = headFull * n
		if l.groups = append(l.groups, lessonSum{label, n, s}); r.err != nil {
			return
		}
	}
	if !l.cfg.Controls || len(l.groups) == 0 {
		return
	}
	n := l.groups[0].count
	for i := range r.uint(maxLessonClasses, "controls") {
		label = r.text(label, i == 0, "control")
		s := make([]int64, f+1)
		for j := range s {
			s[j] = r.int(headFull*headFull*n, "sum")
		}
		if l.sums = append(l.sums, lessonSum{label, n, s}); r.err != nil {
			return
		}
	}
}

func (r *lessonReader) rows(l *Lesson) {
	width := l.cfg.Features + 1
	n := int(r.uint(uint64(min(2*width, len(r.b)/width)), "rows"))
	l.rows = make([]int16, n*width)
	for i := range l.rows {
		l.rows[i] = int16(r.int(maxLessonRow, "row"))
	}
}

// check is what has to hold of the numbers: that there are examples, and that features which are at most 127 can have such second moments. What
// is rounded may be off by a step.
func (l *Lesson) check() error {
	if l.step < 1 || len(l.groups) == 0 || len(l.labels()) == 0 || len(l.labels()) > maxLessonClasses {
		return fmt.Errorf("%d classes in steps of %d", len(l.labels()), l.step)
	}
	for _, g := range l.groups {
		if g.count < 1 || g.count > maxLessonCount {
			return fmt.Errorf("%d examples of %q", g.count, g.label)
		}
	}
	width := l.cfg.Features + 1
	squares := make([]int64, width)
	for i, v := range l.rows {
		squares[i%width] += int64(v) * int64(v)
	}
	most := headFull * headFull * float64(l.Examples()) * 1.25
	between := make([]float64, 1)
	for i, v := range squares {
		step := float64(l.step * l.step)
		l.between(between, i)
		if all := between[0] + float64(float64(v)*step); all > most+float64(64*step) {
			return fmt.Errorf("feature %d has a second moment of %g, more than %d examples can have", i, all, l.Examples())
		}
	}
	return nil
}

// floats are rows of features as a kernel takes them: those of a byte each, and the constant one.
func floats(dst []float32, rows []uint8, features int) {
	for i := range len(rows) / features {
		row := dst[i*(features+1):][:features+1]
		for j, v := range rows[i*features : (i+1)*features] {
			row[j] = float32(v)
		}
		row[features] = headFull
	}
}
