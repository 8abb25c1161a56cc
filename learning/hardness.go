package learning

import (
	"slices"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// A Hardness says whether a mind works harder where prediction is harder: how many sections it computes for the tenth of
// the bytes that surprise it most, and for the tenth that surprise it least.
type Hardness struct {
	Hard  float64 `json:"hard"`  // sections a byte, over all layers, before the hardest tenth
	Easy  float64 `json:"easy"`  // before the easiest tenth
	Mean  float64 `json:"mean"`  // before all bytes
	Ratio float64 `json:"ratio"` // Hard / Easy; 0 where too little was read to tell
}

// MeasureHardness has m read text as one stream from a fresh state. What counts for a byte are the sections, of base
// and banks, that were computed to predict it. stop, which may be nil, is told how far it is and may end it.
func MeasureHardness(m *model.Model, text []byte, stop func(done int) bool) Hardness {
	const chunk = 256
	in := sense.Text(text)
	t := model.Tape{Lean: true}
	s := m.NewState()
	var e Effort
	for at := 0; at < len(in)-1; {
		n := min(chunk, len(in)-1-at)
		m.Forward(s, in[at:at+n], &t)
		at += n
		e.Read(&t, in[at-n+1:at+1])
		if stop != nil && stop(at) {
			break
		}
	}
	return e.Hardness()
}

// An Effort collects, for each byte, how surprising it was and how many sections predicting it took. The zero value is
// empty.
type Effort struct {
	nats    []float64
	spent   []int
	scratch [sense.Symbols]float32
}

// Read adds what the last Forward on t predicted, when next came. It returns the sum of the surprise in nats.
func (e *Effort) Read(t *model.Tape, next []sense.Event) (nats float64) {
	for p := range next {
		v := gradient.CrossEntropy(e.scratch[:], t.Logits[p*sense.Symbols:(p+1)*sense.Symbols], next[p:p+1], 1)
		e.nats, e.spent = append(e.nats, v), append(e.spent, computed(t, p))
		nats += v
	}
	return nats
}

// computed is how many sections the event at that place of a tape was computed with, in all layers.
func computed(t *model.Tape, place int) (n int) {
	for i := range t.Layers {
		l := &t.Layers[i]
		n += int(l.Base.Off[place+1] - l.Base.Off[place])
		for b := range l.Banks {
			if l.Banks[b].Len() > 0 {
				n += int(l.Banks[b].Off[place+1] - l.Banks[b].Off[place])
			}
		}
	}
	return n
}

// Hardness compares the hardest tenth of the bytes with the easiest.
func (e *Effort) Hardness() (h Hardness) {
	n := len(e.nats)
	if n == 0 {
		return h
	}
	order := make([]int, n)
	for i, s := range e.spent {
		order[i] = i
		h.Mean += float64(s) / float64(n)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case e.nats[a] < e.nats[b]:
			return -1
		case e.nats[a] > e.nats[b]:
			return 1
		}
		return 0
	})
	tenth := n / 10
	for i := range tenth {
		h.Easy += float64(e.spent[order[i]]) / float64(tenth)
		h.Hard += float64(e.spent[order[n-1-i]]) / float64(tenth)
	}
	if h.Easy > 0 {
		h.Ratio = h.Hard / h.Easy
	}
	return h
}
