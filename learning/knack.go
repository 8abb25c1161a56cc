package learning

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// A Knack is a skill that answers with a class, or with what to do: our own sums, as a [Head] has them, those of each peer that were taken
// in, and what is solved from all of them together. Sums add and subtract exactly, so a peer's later version takes the place of the earlier one
// as if that had never been, in whatever order they came, and what is forgotten is gone to the bit.
//
// What a peer sends is tried, as every skill is, before it counts (see Fold), and again when the owner shows more (see Show). The random features come
// from the skill's name and shape, so all devices have the same ones and their sums mean the same.
//
// A Knack keeps of the owner's examples some features of some of them, to try others' lessons on; of what peers sent, the bytes. It is not safe
// for concurrent use.
type Knack struct {
	Gain float64 // nats an example that it saved the owner on examples that it was not shown, if he has measured it

	name string
	cfg  HeadConfig
	harm float64

	own     ownSums
	kept    examples // some of the owner's, most of them of late
	names   []string // of controls, sorted; nil until they are known
	lessons []*taken // by author

	all     *Head    // own sums and every lesson's; nil until it is needed, and then kept up to date
	readout *Readout // solved from all; nil if something has changed since
	judged  *opinions
	alone   *opinions // as judged, of our own sums alone

	due      int // examples since what all know together was compared with what we know alone
	failures []Failure
}

// KnackConfig is the shape of a knack, and how patient it is. Devices whose shapes differ cannot learn from one another.
type KnackConfig struct {
	Name     string  // the skill's
	Inputs   int     // numbers that an example has, at most 16,384
	Features int     // that are made of them, at most 1,024. If zero, 512
	Controls bool    // it is shown what to do, and not what something is
	Harm     float64 // nats an example by which a lesson may make own examples worse. If zero, 0.01
}

// taken is a lesson that was taken in.
type taken struct {
	Author   string
	Digest   [32]byte
	Examples int64
	Classes  []string
	Worth    float64 // nats an example, an average over trials
	Trials   int

	body []byte // nil after a restart, until Wake
}

// Heads of knacks: a network of devices has one ridge, as it has one seed.
const (
	knackRidge = 0.003

	// What to do depends on little things: with a hundred times the ridge a car is steered too late.
	knackControlRidge    = 1e-5
	knackControlLeast    = 2000 // the share of few examples is less than what sums are rounded to, and fits by heart
	knackControlConstant = 0.1
)

func checkKnack(name string, inputs, features int) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if inputs < 1 || inputs > maxKnackInputs || features < 1 || features > maxKnackFeatures {
		return fmt.Errorf("learning: skill %s: %d inputs and %d features: there are 1 to %d and 1 to %d", name, inputs, features, maxKnackInputs, maxKnackFeatures)
	}
	return nil
}

// knackHead is the shape of the head of a knack, seed included.
func knackHead(name string, inputs, features int, controls bool) HeadConfig {
	c := HeadConfig{Inputs: inputs, Features: features, Controls: controls, Ridge: knackRidge}
	if controls {
		c.Ridge, c.Least, c.Constant = knackControlRidge, knackControlLeast, knackControlConstant
	}
	b := append([]byte("random features of a skill"), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(inputs))
	b = binary.LittleEndian.AppendUint32(b, uint32(features))
	sum := sha256.Sum256(append(b, name...))
	c.Seed = binary.LittleEndian.Uint64(sum[:])
	return c.withDefaults()
}

// NewKnack returns a knack of which nothing is known.
func NewKnack(c KnackConfig) (*Knack, error) {
	if c.Features == 0 {
		c.Features = 512
	}
	if c.Harm == 0 {
		c.Harm = 0.01
	}
	if err := checkKnack(c.Name, c.Inputs, c.Features); err != nil {
		return nil, err
	}
	k := &Knack{name: c.Name, cfg: knackHead(c.Name, c.Inputs, c.Features, c.Controls), harm: c.Harm}
	k.own.cfg = k.cfg
	return k, nil
}

// Name is the skill's.
func (k *Knack) Name() string { return k.name }

// Whole are numbers from −1 to 1 as the steps of 1/127 in which a knack takes them, one a byte. What is no number is 0.
func Whole(x []float32) []byte {
	b := make([]byte, len(x))
	for i, v := range x {
		b[i] = byte(int8(wholeInput(v)))
	}
	return b
}

// FromWhole is the reverse of Whole: a knack takes what it returns as it took the numbers themselves.
func FromWhole(b []byte) []float32 {
	x := make([]float32, len(b))
	for i, v := range b {
		x[i] = float32(int8(v)) / headFull
	}
	return x
}

// Inputs is how many numbers an example has.
func (k *Knack) Inputs() int { return k.cfg.Inputs }

// Features is how many are made of them.
func (k *Knack) Features() int { return k.cfg.Features }

// Controls reports whether the knack answers with what to do, and not with a class.
func (k *Knack) Controls() bool { return k.cfg.Controls }

// Own is how many examples the owner has shown.
func (k *Knack) Own() int64 { return k.own.n }

// Examples is how many were shown here and where the lessons come from.
func (k *Knack) Examples() int64 {
	n := k.own.n
	for _, t := range k.lessons {
		n += t.Examples
	}
	return n
}

// Classes lists the classes or the controls that are known, sorted: those of the scores.
func (k *Knack) Classes() []string {
	if k.cfg.Controls {
		return slices.Clone(k.names)
	}
	list := slices.Clone(k.own.classes())
	for _, t := range k.lessons {
		list = append(list, t.Classes...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// OwnClasses lists the classes or the controls that the owner showed, sorted.
func (k *Knack) OwnClasses() []string {
	if k.cfg.Controls {
		return k.Classes()
	}
	return k.own.classes()
}

// Numbers is how many numbers a head of this shape keeps of what it was shown.
func (k *Knack) Numbers() int {
	w := k.cfg.Features + 1
	return w*(w+1)/2 + len(k.Classes())*(w+1)
}

// Authors lists whose lessons were taken in, sorted.
func (k *Knack) Authors() (list []string) {
	for _, t := range k.lessons {
		list = append(list, t.Author)
	}
	return list
}

// Taught is how many examples an author's lesson was learnt from, and which classes or controls it knows; 0 if there is none.
func (k *Knack) Taught(author string) (examples int64, classes []string) {
	if i, ok := k.find(author); ok {
		return k.lessons[i].Examples, slices.Clone(k.lessons[i].Classes)
	}
	return 0, nil
}

// Digests are those of the bodies that have to be there after a restart.
func (k *Knack) Digests() (list [][32]byte) {
	for _, t := range k.lessons {
		list = append(list, t.Digest)
	}
	return list
}

func (k *Knack) find(author string) (int, bool) {
	return slices.BinarySearchFunc(k.lessons, author, func(t *taken, a string) int { return cmp.Compare(t.Author, a) })
}

// Show adds examples that the owner names: x is (len(labels), Inputs), as [Head.Learn] takes it. Now and then it is checked whether what peers
// taught serves the owner's examples no worse than what he has shown himself; if it does, the lessons that do harm go, and TakeFailures tells whose
// they were.
func (k *Knack) Show(x []float32, labels []string) error {
	if k.cfg.Controls {
		return fmt.Errorf("learning: skill %s: it is shown what to do, and not classes", k.name)
	}
	if err := k.checkRows(x, len(labels)); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, c := range append(k.own.classes(), labels...) {
		if known[c] {
			continue
		}
		if known[c] = true; len(known) > maxLessonClasses {
			return fmt.Errorf("learning: skill %s: more than %d classes", k.name, maxLessonClasses)
		}
		if err := CheckLabel(c); err != nil {
			return err
		}
	}
	k.take(x, examples{labels: labels})
	return nil
}

// Follow adds examples of what to do: x is (n, Inputs), and u is (n, len(names)), from −1 to 1. The names are the same each time.
func (k *Knack) Follow(x []float32, names []string, u []float32) error {
	if !k.cfg.Controls {
		return fmt.Errorf("learning: skill %s: it is shown classes, and not what to do", k.name)
	}
	c := len(names)
	if c == 0 || c > maxLessonClasses || len(u)%c != 0 {
		return fmt.Errorf("learning: skill %s: %d numbers for %d controls", k.name, len(u), c)
	}
	if err := k.checkRows(x, len(u)/c); err != nil {
		return err
	}
	sorted := slices.Sorted(slices.Values(names))
	for i, name := range sorted {
		if err := CheckLabel(name); err != nil {
			return err
		}
		if i > 0 && name == sorted[i-1] {
			return fmt.Errorf("learning: skill %s: control %q twice", k.name, name)
		}
	}
	if k.names != nil && !slices.Equal(k.names, sorted) {
		return fmt.Errorf("learning: skill %s: its controls are %q, and these are %q", k.name, k.names, sorted)
	}
	k.names = sorted
	to := make([]int8, len(u))
	for i := range u {
		at, _ := slices.BinarySearch(sorted, names[i%c])
		to[i/c*c+at] = int8(wholeInput(u[i]))
	}
	k.take(x, examples{to: to})
	return nil
}

func (k *Knack) checkRows(x []float32, n int) error {
	if len(x) != n*k.cfg.Inputs {
		return fmt.Errorf("learning: skill %s: %d numbers for %d examples: each has %d", k.name, len(x), n, k.cfg.Inputs)
	}
	for _, t := range k.lessons {
		if t.body == nil {
			return errAsleep
		}
	}
	if k.own.n+int64(n) > maxLessonCount {
		return fmt.Errorf("learning: skill %s: more than %d examples", k.name, maxLessonCount)
	}
	return nil
}

// take adds examples, which are e without its rows, whose inputs are x.
func (k *Knack) take(x []float32, e examples) {
	sc := headScratches.Get().(*headScratch)
	defer headScratches.Put(sc)
	f := k.cfg.Features
	h := &Head{cfg: k.cfg}
	n := len(x) / k.cfg.Inputs
	for from := 0; from < n; {
		to := min(from+headRows, n)
		part := e.span(from, to, len(k.names))
		part.rows = make([]uint8, (to-from)*f)
		for i, v := range h.expand(sc, x[from*k.cfg.Inputs:to*k.cfg.Inputs], to-from) {
			if j := i % (f + 1); j < f {
				part.rows[i/(f+1)*f+j] = uint8(v)
			}
		}
		from = to
		k.own.add(part, k.names)
		if k.all != nil {
			part.addTo(k.all, k.names)
		}
		k.keep(part)
	}
	k.changed()
	k.alone = nil
	if k.due += n; k.due >= suspectEvery {
		k.due = 0
		k.suspect()
	}
}

// changed forgets what was solved.
func (k *Knack) changed() { k.readout, k.judged = nil, nil }

const (
	// keptExamples is how many of the owner's examples others' lessons are tried on.
	keptExamples = 64
	// keptReach is over how many times as many, the last ones, they are spread.
	keptReach = 4
)

// keep replaces some of the kept examples by new ones.
func (k *Knack) keep(e examples) {
	n := e.count(len(k.names))
	for i := range n {
		one := e.span(i, i+1, len(k.names))
		one.rows = e.rows[i*k.cfg.Features : (i+1)*k.cfg.Features]
		have := k.kept.count(len(k.names))
		if have < keptExamples {
			k.kept.append(one)
			continue
		}
		nth := uint64(k.own.n) - uint64(n-i-1)
		r := rand.New(rand.NewPCG(k.cfg.Seed, nth))
		if at := r.Uint64N(min(nth, keptReach*keptExamples)); at < keptExamples {
			k.kept.replace(int(at), one, k.cfg.Features, len(k.names))
		}
	}
}

// examples are rows of features and what they are.
type examples struct {
	rows   []uint8  // (n, Features)
	labels []string // of classes
	to     []int8   // (n, controls), in steps of 1/headFull
}

func (e *examples) count(controls int) int {
	if controls > 0 {
		return len(e.to) / controls
	}
	return len(e.labels)
}

// span is what the examples are, without their rows.
func (e *examples) span(from, to, controls int) examples {
	if controls > 0 {
		return examples{to: e.to[from*controls : to*controls]}
	}
	return examples{labels: e.labels[from:to]}
}

func (e *examples) append(o examples) {
	e.rows, e.labels, e.to = append(e.rows, o.rows...), append(e.labels, o.labels...), append(e.to, o.to...)
}

func (e *examples) replace(at int, o examples, features, controls int) {
	copy(e.rows[at*features:(at+1)*features], o.rows)
	if controls > 0 {
		copy(e.to[at*controls:(at+1)*controls], o.to)
	} else {
		e.labels[at] = o.labels[0]
	}
}

// addTo adds the examples to a head.
func (e *examples) addTo(h *Head, names []string) {
	sc := headScratches.Get().(*headScratch)
	defer headScratches.Put(sc)
	f, width := h.cfg.Features, h.width()
	n := len(e.rows) / f
	for from := 0; from < n; {
		to := min(from+headRows, n)
		sc.rows = grow(sc.rows, (to-from)*width)
		floats(sc.rows, e.rows[from*f:to*f], f)
		h.addMoments(sc, sc.rows, to-from, 1)
		for c, name := range names {
			h.addControl(name, sc.rows, to-from, 1, func(i int) int64 { return int64(e.to[(from+i)*len(names)+c]) })
		}
		for i, label := range e.labels[min(from, len(e.labels)):min(to, len(e.labels))] {
			h.addClass(label, sc.rows[i*width:(i+1)*width], 1)
		}
		from = to
	}
}

// ownSums are what the owner showed: the features of each example as long as they take less room than the sums, which are four times as large as
// so many of them as there are features.
type ownSums struct {
	cfg  HeadConfig
	n    int64
	rows examples
	head *Head // nil before
}

func (o *ownSums) add(e examples, names []string) {
	o.n += int64(e.count(len(names)))
	if o.head != nil {
		e.addTo(o.head, names)
		return
	}
	o.rows.append(e)
	if len(o.rows.rows) > o.cfg.Features*o.cfg.Features {
		o.head = o.sums(names)
		o.rows = examples{}
	}
}

// sums returns a head of its own with the sums.
func (o *ownSums) sums(names []string) *Head {
	h := newSums(o.cfg)
	if o.head == nil {
		o.rows.addTo(h, names)
	} else if err := h.Add(o.head); err != nil {
		panic(err) // they have one shape
	}
	return h
}

func (o *ownSums) classes() []string {
	if o.head != nil {
		return o.head.Classes()
	}
	list := slices.Clone(o.rows.labels)
	slices.Sort(list)
	return slices.Compact(list)
}

// errAsleep is returned where the bodies of lessons are needed and not there.
var errAsleep = errors.New("learning: knack: the lessons that it was taught are not there since a restart: Wake it first")

// Wake brings back the bodies of lessons after ReadSnapshot. What is not there any more is forgotten.
func (k *Knack) Wake(body func(digest [32]byte) ([]byte, bool)) {
	k.lessons = slices.DeleteFunc(k.lessons, func(t *taken) bool {
		if t.body != nil {
			return false
		}
		b, ok := body(t.Digest)
		t.body = b
		return !ok
	})
}

// sum returns everything that is known, added up.
func (k *Knack) sum() (*Head, error) {
	if k.all != nil {
		return k.all, nil
	}
	h := k.own.sums(k.names)
	for _, t := range k.lessons {
		s, err := k.sumsOf(t)
		if err != nil {
			return nil, err
		}
		if err := h.Add(s); err != nil {
			return nil, err
		}
	}
	k.all = h
	return h, nil
}

// sumsOf are those of a lesson that was taken in.
func (k *Knack) sumsOf(t *taken) (*Head, error) {
	if t.body == nil {
		return nil, errAsleep
	}
	l, err := DecodeLesson(t.body)
	if err != nil {
		return nil, err
	}
	return l.head(), nil
}

// solved solves what all know together, if that is due.
func (k *Knack) solved() *Readout {
	if k.readout != nil {
		return k.readout
	}
	if h, err := k.sum(); err == nil {
		k.readout, _, _ = h.solve(nil)
	}
	return k.readout
}

// Solve returns what is solved from all that is known now, as [Head.Solve] does.
func (k *Knack) Solve() (*Readout, error) {
	h, err := k.sum()
	if err != nil {
		return nil, err
	}
	return h.Solve()
}

// Scores writes how much each example looks like each class to dst, (n, classes), or what each control should be. x is (n, Inputs). Nothing is
// known of anything before something was shown or taught: then there are no classes.
func (k *Knack) Scores(dst, x []float32) {
	if r := k.solved(); r != nil {
		r.Scores(dst, x)
	}
}

// Answer returns the class that each example looks like most, (n, Inputs) → n classes; nil if none is known, or if the knack is of controls.
func (k *Knack) Answer(x []float32) []string {
	r := k.solved()
	if r == nil || k.cfg.Controls {
		return nil
	}
	return r.Answer(x)
}

// Lesson returns what the owner showed, as the body of an update.
func (k *Knack) Lesson() ([]byte, error) {
	if k.own.n == 0 {
		return nil, fmt.Errorf("learning: skill %q: %w", k.name, ErrNoClasses)
	}
	l, err := newLesson(k.name, k.own.sums(k.names))
	if err != nil {
		return nil, err
	}
	return l.encode()
}

// Forget takes an author's lesson back, or what the owner showed if author is empty. What is left is equal to the bit to a knack that was never
// shown it.
func (k *Knack) Forget(author string) error {
	if author == "" {
		if k.own.n == 0 {
			return fmt.Errorf("learning: no skill %q", k.name)
		}
		k.own, k.kept, k.due = ownSums{cfg: k.cfg}, examples{}, 0
		if len(k.lessons) == 0 {
			k.names = nil
		}
		k.all, k.alone = nil, nil
		k.changed()
		return nil
	}
	i, ok := k.find(author)
	if !ok {
		return fmt.Errorf("learning: no skill %q", k.name)
	}
	k.remove(i)
	return nil
}

func (k *Knack) remove(i int) {
	if k.exchange(nil, k.lessons[i]) != nil {
		k.all = nil
	}
	k.lessons = slices.Delete(k.lessons, i, i+1)
	k.changed()
}
