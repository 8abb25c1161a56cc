package learning

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// knackSnapshot is a knack written down: everything but what follows from it, and the bodies of lessons, which are named by their digests. A
// knack that is read again goes on to the same numbers.
type knackSnapshot struct {
	Name     string
	Inputs   int
	Features int
	Controls bool     `json:",omitempty"`
	Harm     float64  `json:",omitempty"`
	Names    []string `json:",omitempty"`
	Gain     float64  `json:",omitempty"`
	Own      int64
	Rows     *writtenExamples `json:",omitempty"` // what the owner showed
	Sums     *writtenSums     `json:",omitempty"` // or its sums
	Kept     *writtenExamples `json:",omitempty"`
	Lessons  []*taken         `json:",omitempty"`
	Due      int              `json:",omitempty"`
}

type writtenExamples struct {
	Rows   []byte
	Labels []string `json:",omitempty"`
	To     []int8   `json:",omitempty"`
}

// writtenSums are a head's sums: one after the other as varints, in one frame of zstd.
type writtenSums struct {
	Classes []string
	Counts  []int64
	Sums    []byte
}

func writeExamples(e examples) *writtenExamples {
	if len(e.rows) == 0 {
		return nil
	}
	return &writtenExamples{encoder().EncodeAll(e.rows, nil), e.labels, e.to}
}

func (w *writtenExamples) read(features, controls int) (e examples, err error) {
	if w == nil {
		return e, nil
	}
	e.labels, e.to = w.Labels, w.To
	n := e.count(controls)
	if n > maxLessonCount/8 || n*features > maxPacked || controls == 0 && len(w.To) > 0 || controls > 0 && (len(w.Labels) > 0 || len(w.To)%controls != 0) {
		return e, fmt.Errorf("%d examples", n)
	}
	if e.rows, err = decoder().DecodeAll(w.Rows, make([]byte, 0, n*features)); err != nil {
		return e, err
	}
	if len(e.rows) != n*features || slices.ContainsFunc(e.rows, func(v uint8) bool { return v > headFull }) {
		return e, fmt.Errorf("%d examples of %d bytes", n, len(e.rows))
	}
	return e, nil
}

func writeSums(h *Head) *writtenSums {
	if h == nil {
		return nil
	}
	w := &writtenSums{Classes: h.Classes()}
	var b []byte
	for _, v := range h.moments {
		b = binary.AppendVarint(b, v/knackUnit) // what was shown here is whole
	}
	for _, c := range w.Classes {
		w.Counts = append(w.Counts, h.classes[c].count)
		for _, v := range h.classes[c].sum {
			b = binary.AppendVarint(b, v)
		}
	}
	w.Sums = encoder().EncodeAll(b, nil)
	return w
}

func (w *writtenSums) read(cfg HeadConfig) (*Head, error) {
	if w == nil {
		return nil, nil
	}
	if len(w.Classes) != len(w.Counts) || len(w.Classes) > maxKnackClasses {
		return nil, fmt.Errorf("%d classes, %d counts", len(w.Classes), len(w.Counts))
	}
	h := newSums(cfg)
	numbers := len(h.moments) + len(w.Classes)*h.width()
	b, err := decoder().DecodeAll(w.Sums, make([]byte, 0, numbers*binary.MaxVarintLen64))
	if err != nil {
		return nil, err
	}
	read := func(to []int64) {
		for i := range to {
			v, n := binary.Varint(b)
			if n <= 0 {
				err = fmt.Errorf("sums of fewer than %d numbers", numbers)
				return
			}
			to[i], b = v, b[n:]
		}
	}
	read(h.moments)
	for i := range h.moments {
		h.moments[i] *= knackUnit
	}
	for i, c := range w.Classes {
		s := h.class(c)
		s.count = w.Counts[i]
		read(s.sum)
	}
	if err == nil && len(b) > 0 {
		err = fmt.Errorf("sums of more than %d numbers", numbers)
	}
	return h, err
}

// MarshalJSON writes the knack as a snapshot has it.
func (k *Knack) MarshalJSON() ([]byte, error) {
	return json.Marshal(&knackSnapshot{
		Name: k.name, Inputs: k.cfg.Inputs, Features: k.cfg.Features, Controls: k.cfg.Controls, Harm: k.harm, Names: k.names, Gain: k.Gain,
		Own: k.own.n, Rows: writeExamples(k.own.rows), Sums: writeSums(k.own.head), Kept: writeExamples(k.kept), Lessons: k.lessons, Due: k.due,
	})
}

// UnmarshalJSON makes k what it was when it was written, but for the bodies of lessons: see Wake.
func (k *Knack) UnmarshalJSON(b []byte) error {
	var s knackSnapshot
	bad := func(err error) error { return fmt.Errorf("learning: snapshot: skill %q: %w", s.Name, err) }
	if err := json.Unmarshal(b, &s); err != nil {
		return bad(err)
	}
	n, err := NewKnack(KnackConfig{Name: s.Name, Inputs: s.Inputs, Features: s.Features, Controls: s.Controls, Harm: s.Harm})
	if err != nil {
		return bad(err)
	}
	n.Gain, n.names, n.own.n, n.lessons, n.due = s.Gain, s.Names, s.Own, s.Lessons, s.Due
	if s.Controls != (len(s.Names) > 0) && s.Own > 0 || len(s.Names) > maxLessonClasses || !slices.IsSorted(s.Names) {
		return bad(fmt.Errorf("controls %q", s.Names))
	}
	if n.own.rows, err = s.Rows.read(s.Features, len(s.Names)); err != nil {
		return bad(err)
	}
	if n.own.head, err = s.Sums.read(n.cfg); err != nil {
		return bad(err)
	}
	if n.kept, err = s.Kept.read(s.Features, len(s.Names)); err != nil {
		return bad(err)
	}
	for i, t := range s.Lessons {
		if t == nil || t.Author == "" || i > 0 && t.Author <= s.Lessons[i-1].Author || math.IsNaN(t.Worth) {
			return bad(fmt.Errorf("lesson %d", i))
		}
	}
	*k = *n
	return nil
}
