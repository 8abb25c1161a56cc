package learning

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/yanmesh/yan/model"
)

// A Contribution is one author's version of a skill, as it goes into a merge.
type Contribution struct {
	Author string
	Seq    uint64 // of an author's versions that with the highest counts
	Made   int64  // when it was made by its author's clock, in Unix seconds
	Delta  *Delta
}

// A Merging says how versions of a skill are merged. The zero value is what devices do.
type Merging struct {
	Plain bool // believe everybody: the weighted mean of all, for experiments that show why not
	Whole bool // one bank whatever the authors disagree about, for such experiments too
}

// A MergeReport says what a merge came to.
type MergeReport struct {
	Counted []Contribution // what went in, by author
	Left    []Contribution // what did not: earlier versions, and what does not fit the others, by author
	Weights []float64      // of Counted, sum to 1
	Camp    []int          // which camp each of Counted is of; camp 0 weighs most
	Forks   int            // sections that are there twice, since a camp disagrees about them
}

// Merge combines what several authors made of one skill into one skill, by the zero [Merging].
func Merge(c model.Config, base [32]byte, set []Contribution) (*Delta, MergeReport, error) {
	return Merging{}.Merge(c, base, set)
}

// ErrMerge is returned where there is nothing that could be merged.
var ErrMerge = errors.New("learning: nothing to merge")

// Limits of a merge.
const (
	maxMerged     = 128          // authors; of more, those whose digests are least
	mergedSamples = 256          // of the context, from all authors together
	boldest       = 4            // times the median of the events, beyond which more events count no more: anyone can claim them
	staleAfter    = 24 * 60 * 60 // seconds behind the median after which a version counts 1/√2
	stalest       = 1. / 4       // what is left of a version's weight however late it is
)

// Merge combines what several authors made of one skill into one skill. It is a pure function of the set: neither the order in which
// contributions come, nor that some come twice, nor the machine changes a bit of the result.
//
// All skills of one name begin at the same weights (see seed), so what an author learnt is the change from there. Authors whose changes
// have something in common make a camp, and a camp's changes are averaged, section by section, by a rule that liars up to a third
// of the weight move little ([robust.Centre]). Camps with nothing in common stay apart, each with a bank and a gate of its own:
// an average of them knows neither. An author weighs the square root of the events he learnt from, up to a bound that
// the set gives, and less the longer ago that was (learning.md 6.7).
//
// What does not stand on this base, or has another name or shape than most, is left out, and so are all camps but the maxCamps that weigh most.
func (m Merging) Merge(c model.Config, base [32]byte, set []Contribution) (*Delta, MergeReport, error) {
	in, rep := gather(c, base, set)
	if len(in) == 0 {
		return nil, rep, ErrMerge
	}
	weights := evidence(in)
	camps := [][]int{everyone(len(in))}
	if !m.Plain && !m.Whole {
		camps = parties(in, weights)
	}
	in, weights, camps = m.drop(in, weights, camps, &rep)
	rep.Camp = make([]int, len(in))
	var whole *Delta
	for k, members := range camps {
		d, forks, err := m.combine(c, in, weights, members)
		if err != nil {
			return nil, rep, err
		}
		rep.Forks += forks
		if whole == nil {
			whole = d
		} else {
			whole.more = append(whole.more, d)
		}
		for _, i := range members {
			rep.Camp[i] = k
		}
	}
	return whole, rep, nil
}

// drop leaves out who is in no camp, and tells of those who count.
func (m Merging) drop(in []input, weights []float64, camps [][]int, rep *MergeReport) ([]input, []float64, [][]int) {
	at := make([]int, len(in)) // the new place of each, one more than it is
	for _, members := range camps {
		for _, i := range members {
			at[i] = 1
		}
	}
	var kept []input
	var sum float64
	for i, x := range in {
		if at[i] == 0 {
			rep.Left = append(rep.Left, x.Contribution)
			continue
		}
		kept = append(kept, x)
		at[i] = len(kept)
		sum += weights[i]
		rep.Counted, rep.Weights = append(rep.Counted, x.Contribution), append(rep.Weights, weights[i])
	}
	slices.SortStableFunc(rep.Left, func(a, b Contribution) int { return cmp.Compare(a.Author, b.Author) })
	for i := range rep.Weights {
		rep.Weights[i] /= sum
	}
	for _, members := range camps {
		for k, i := range members {
			members[k] = at[i] - 1
		}
	}
	return kept, rep.Weights, camps
}

// An input is a contribution that was looked at.
type input struct {
	Contribution
	digest [32]byte // of what its delta says
}

// shape is what deltas must have in common to be merged.
type shape struct {
	name    string
	neurons int
}

func (x *input) shape() shape { return shape{x.Delta.Name, x.Delta.bank.Neurons} }

// gather puts a set into the order by author, each with his last version alone, and leaves out what does not fit.
func gather(c model.Config, base [32]byte, set []Contribution) (in []input, rep MergeReport) {
	var all []input
	for _, x := range set {
		if x.Delta == nil {
			continue
		}
		all = append(all, input{x, x.Delta.Sum()})
	}
	slices.SortFunc(all, func(a, b input) int {
		return cmp.Or(cmp.Compare(a.Author, b.Author), cmp.Compare(b.Seq, a.Seq), bytes.Compare(a.digest[:], b.digest[:]), cmp.Compare(b.Made, a.Made))
	})
	all = slices.CompactFunc(all, func(a, b input) bool {
		return a.Author == b.Author && a.Seq == b.Seq && a.digest == b.digest
	})
	for _, x := range all {
		last := len(in) == 0 || in[len(in)-1].Author != x.Author
		if last && x.Delta.fits(c, base) {
			in = append(in, x)
		} else {
			rep.Left = append(rep.Left, x.Contribution)
		}
	}
	in, left := alike(in)
	in, more := few(in)
	rep.Left = append(append(rep.Left, left...), more...)
	return in, rep
}

// fits reports whether a delta is one of this base, and sound.
func (d *Delta) fits(c model.Config, base [32]byte) bool {
	return d.Base == base && d.bank != nil && len(d.bank.Weights) == c.BankSize(d.bank.Sections, d.bank.Neurons) &&
		len(d.samples) >= c.ContextSize() && len(d.samples)%c.ContextSize() == 0 && checkWeights(d.bank.Weights) == nil && d.learnt(c)
}

// learnt reports whether any section has ever fired.
func (d *Delta) learnt(c model.Config) bool {
	for layer, l := range d.bank.Layers {
		for s := range d.bank.Sections {
			if l.Sections != nil && section(d.bank, c, layer, s).fired() {
				return true
			}
		}
	}
	return false
}

// alike keeps those of the shape that most authors have; of two shapes that as many have, the first by name and size.
func alike(in []input) (kept []input, left []Contribution) {
	var best shape
	most := 0
	for _, x := range in {
		n := 0
		for _, y := range in {
			if y.shape() == x.shape() {
				n++
			}
		}
		s := x.shape()
		if n > most || n == most && cmp.Or(cmp.Compare(s.name, best.name), cmp.Compare(s.neurons, best.neurons)) < 0 {
			best, most = s, n
		}
	}
	for _, x := range in {
		if x.shape() == best {
			kept = append(kept, x)
		} else {
			left = append(left, x.Contribution)
		}
	}
	return kept, left
}

// few keeps maxMerged inputs at most. Who they are depends on no claim of theirs.
func few(in []input) (kept []input, left []Contribution) {
	if len(in) <= maxMerged {
		return in, nil
	}
	order := slices.Clone(in)
	slices.SortFunc(order, func(a, b input) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	last := order[maxMerged-1].digest
	for _, x := range in {
		if bytes.Compare(x.digest[:], last[:]) <= 0 && len(kept) < maxMerged {
			kept = append(kept, x)
		} else {
			left = append(left, x.Contribution)
		}
	}
	return kept, left
}

// evidence weighs inputs by how much they were learnt from and how late they are, both as compared with the others. The weights sum to 1.
func evidence(in []input) []float64 {
	events, made := make([]float64, len(in)), make([]float64, len(in))
	for i, x := range in {
		events[i], made[i] = max(float64(x.Delta.Events), 1), float64(x.Made)
	}
	most, now := float64(boldest*middle(events)), middle(made)
	weights := make([]float64, len(in))
	var sum float64
	for i := range in {
		late := max(now-made[i], 0) / staleAfter
		weights[i] = float64(math.Sqrt(min(events[i], most)) * max(1/math.Sqrt(1+late), stalest))
		sum += weights[i]
	}
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}

// together is how many events all have learnt from, if nobody claims more than boldest times what is usual.
func together(events []float64) (sum float64) {
	most := float64(boldest * middle(events))
	for _, v := range events {
		sum += min(v, most)
	}
	return min(sum, 1<<53)
}

// middle is the lower median.
func middle(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[(len(v)-1)/2]
}

// mergeSamples takes of each author's samples as many as of any other's, spread over what he has.
func mergeSamples(c model.Config, in []input) (samples []float32) {
	dim := c.ContextSize()
	most := max(mergedSamples/len(in), 1)
	for _, x := range in {
		have := len(x.Delta.samples) / dim
		n := min(have, most)
		for k := range n {
			at := k * have / n
			samples = append(samples, x.Delta.samples[at*dim:(at+1)*dim]...)
		}
	}
	return samples
}

// Sum names what a delta says, however it was packed: two with one sum are the same skill to the bit.
func (d *Delta) Sum() [32]byte {
	h := sha256.New()
	h.Write(d.Base[:])
	b := binary.AppendUvarint(nil, uint64(len(d.Name)))
	b = append(b, d.Name...)
	b = binary.LittleEndian.AppendUint64(b, d.Events)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(d.Gain))
	if d.bank != nil {
		b = binary.LittleEndian.AppendUint64(b, uint64(d.bank.Sections))
		b = binary.LittleEndian.AppendUint64(b, uint64(d.bank.Neurons))
		b = appendFloats(b, d.bank.Weights)
	}
	h.Write(appendFloats(b, d.samples))
	for _, m := range d.members {
		h.Write(binary.AppendUvarint(nil, uint64(m)))
	}
	for _, x := range d.more {
		sum := x.Sum()
		h.Write(sum[:])
	}
	return [32]byte(h.Sum(nil))
}

func appendFloats(b []byte, v []float32) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(v)))
	b = slices.Grow(b, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}
