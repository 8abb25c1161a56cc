package learning

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/yanmesh/yan/model/kernel/portable"
)

// What a peer teaches is tried on the examples of the owner's that are kept: each is answered as if it had never been shown itself, which a ridge
// regression tells exactly (see Head.solve), once with the lesson and once without. Else every lesson would seem to do harm, for nothing answers a
// device's own examples as well as what was fitted to them alone.
//
// What an answer is worth is the cross-entropy, in nats, of its scores as log-odds of a fixed sharpness; of controls, of a normal
// distribution about what the score is. It is not fitted: what a peer sends should have no say in how he is measured. And it is that among the
// classes which were known without him. A new class takes from those that the owner knows whatever looks alike, and to be taught new classes is
// what the mesh is for. But who teaches the owner's own things under new names takes from what tells
// them apart, and that is harm.

const (
	// sharpness makes log-odds of scores, which are about 1 for the class and 0 for others.
	sharpness = 8
	// controlDeviation is that of the normal distribution about a control.
	controlDeviation = 0.5
	// doubt is how many standard errors a harm has to be larger than what is allowed: few examples say little.
	doubt = 3
	// fewest is how many examples something can be tried on.
	fewest = 8
	// suspectEvery is after how many examples what all know together is compared with what the owner showed.
	suspectEvery = 16
	// suspects is how many lessons are tried again each time that it is worse.
	suspects = 4
	// maxTaught is how many peers' lessons a knack takes in.
	maxTaught = 1024
)

// opinions are the scores of the kept examples, (n, classes), each as if it had not been shown.
type opinions struct {
	classes []string
	scores  []float64
}

// ask solves a head and has it answer the kept examples.
func (k *Knack) ask(h *Head) (*opinions, *Readout, error) {
	f, n, names := k.cfg.Features, k.kept.count(len(k.names)), k.names
	a := &answered{rows: make([]float64, n*(f+1)), to: func(i int, class string) float64 {
		if c, ok := slices.BinarySearch(names, class); ok {
			return float64(k.kept.to[i*len(names)+c]) / headFull
		}
		if len(k.kept.labels) > 0 && k.kept.labels[i] == class {
			return 1
		}
		return 0
	}}
	for i := range n {
		for j, v := range k.kept.rows[i*f : (i+1)*f] {
			a.rows[i*(f+1)+j] = float64(v)
		}
		a.rows[i*(f+1)+f] = headFull
	}
	r, scores, err := h.solve(a)
	if err != nil {
		return nil, nil, err
	}
	return &opinions{r.classes, scores}, r, nil
}

// losses are what each kept example costs in nats, among the classes that are in both.
func (k *Knack) losses(o *opinions, among []string) []float64 {
	n, c := k.kept.count(len(k.names)), len(o.classes)
	list := make([]float64, n)
	for i := range n {
		row := o.scores[i*c : (i+1)*c]
		if k.cfg.Controls {
			for j, v := range row {
				d := (v - float64(k.kept.to[i*len(k.names)+j])/headFull) / controlDeviation
				list[i] += float64(d*d) / 2
			}
			continue
		}
		most, sum, own := math.Inf(-1), 0.0, 0.0
		for j, v := range row {
			if o.classes[j] == k.kept.labels[i] {
				own = float64(sharpness * v)
			}
			if _, ok := slices.BinarySearch(among, o.classes[j]); ok {
				most = max(most, float64(sharpness*v))
			}
		}
		for j, v := range row {
			if _, ok := slices.BinarySearch(among, o.classes[j]); ok {
				sum += portable.Exp(float64(sharpness*v) - most)
			}
		}
		list[i] = portable.Log(sum) + most - own
	}
	return list
}

// compare returns by how many nats an example what is said after is better than before, and whether it is worse beyond doubt.
func (k *Knack) compare(before, after *opinions) (gain float64, harm bool) {
	among := slices.DeleteFunc(slices.Clone(before.classes), func(c string) bool { return !slices.Contains(after.classes, c) })
	was, is := k.losses(before, among), k.losses(after, among)
	n := float64(len(was))
	for i := range was {
		gain += float64((was[i] - is[i]) / n)
	}
	var squares float64
	for i := range was {
		d := was[i] - is[i] - gain
		squares += float64(d * d)
	}
	if !(math.Abs(gain) < math.MaxFloat32) {
		return -gross, true
	}
	if gain+float64(doubt*math.Sqrt(squares/float64(n*max(n-1, 1)))) < -k.harm {
		return gain, true
	}
	return gain, false
}

// fits says why a lesson is of no use here.
func (k *Knack) fits(l *Lesson) error {
	switch {
	case l.name != k.name:
		return fmt.Errorf("it is of skill %q", l.name)
	case l.cfg.Controls != k.cfg.Controls:
		return errors.New("one answers with classes, the other with what to do")
	case l.cfg != k.cfg:
		return fmt.Errorf("it has %d inputs and %d features, this device has %d and %d", l.cfg.Inputs, l.cfg.Features, k.cfg.Inputs, k.cfg.Features)
	}
	return nil
}

// Fold takes in the lesson of an author in the place of his earlier one, if there was one. It is tried on examples of the owner's: if it makes
// them worse the earlier one is put back, the error is ErrHarm and the gain negative. The gain is in nats an example.
//
// Where the owner has shown too little to try it on it is taken in untried; it is tried when he shows more.
func (k *Knack) Fold(author string, l *Lesson) (gain float64, err error) {
	if author == "" || l.body == nil {
		return 0, errors.New("learning: fold: a foreign skill needs an author, and to have been read")
	}
	if err := k.fits(l); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDelta, err)
	}
	at, had := k.find(author)
	if err := k.admits(l, at, had); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDelta, err)
	}
	t := &taken{Author: author, Digest: sha256.Sum256(l.body), Examples: l.Examples(), Classes: l.labels(), body: l.body}
	var old *taken
	if had {
		old = k.lessons[at]
		t.Worth, t.Trials = min(old.Worth, 0), old.Trials // else who teaches often enough is never tried
	}
	if k.kept.count(len(k.names)) >= fewest {
		if gain, err = k.try(l, old, t); err != nil {
			return gain, err
		}
	} else if err := k.exchange(l.head(), old); err != nil {
		return 0, err
	}
	if k.cfg.Controls && k.names == nil {
		k.names = l.labels()
	}
	if had {
		k.lessons[at] = t
	} else {
		k.lessons = slices.Insert(k.lessons, at, t)
	}
	return gain, nil
}

// admits says why there is no place for a lesson.
func (k *Knack) admits(l *Lesson, at int, had bool) error {
	if k.cfg.Controls && k.names != nil && !slices.Equal(l.labels(), k.names) {
		return fmt.Errorf("its controls are %q, and those here %q", l.labels(), k.names)
	}
	if !had && len(k.lessons) >= maxTaught {
		return fmt.Errorf("%d peers have taught it already", maxTaught)
	}
	all := append(k.Classes(), l.labels()...)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n > maxKnackClasses {
		return fmt.Errorf("with it there were %d classes, more than %d", n, maxKnackClasses)
	}
	return nil
}

// exchange puts a lesson's sums in the place of an earlier one's. Either may be nil.
func (k *Knack) exchange(sums *Head, old *taken) error {
	if k.all == nil {
		return nil
	}
	if old != nil {
		s, err := k.sumsOf(old)
		if err != nil {
			return err
		}
		if err := k.all.Subtract(s); err != nil {
			return err
		}
	}
	if sums != nil {
		if err := k.all.Add(sums); err != nil {
			return err
		}
	}
	k.changed()
	return nil
}

// try puts a lesson in the place of an earlier one, and back if that does harm.
func (k *Knack) try(l *Lesson, old, t *taken) (gain float64, err error) {
	all, err := k.sum()
	if err != nil {
		return 0, err
	}
	before, readout := k.judged, k.readout
	if before == nil {
		if before, readout, err = k.ask(all); err != nil {
			return 0, err
		}
	}
	sums := l.head()
	if err := k.exchange(sums, old); err != nil {
		return 0, err
	}
	after, solved, err := k.ask(all)
	harm := false
	if err == nil {
		gain, harm = k.compare(before, after)
	}
	if err == nil && !harm {
		k.judged, k.readout = after, solved
		t.tried(gain)
		return gain, nil
	}
	if back := all.Subtract(sums); back != nil {
		panic(back) // it was added just now
	}
	if old != nil {
		s, back := k.sumsOf(old)
		if back == nil {
			back = all.Add(s)
		}
		if back != nil {
			panic(back) // it was taken off just now
		}
	}
	k.judged, k.readout = before, readout
	if err == nil {
		err = ErrHarm
	}
	return gain, err
}

// tried notes what a trial came to. At first all trials count alike, and one of no worth besides.
func (t *taken) tried(gain float64) {
	t.Trials++
	t.Worth += float64(max(trialShare, 1/float64(t.Trials+1)) * (gain - t.Worth))
}

// suspect compares what all know together with what the owner showed. As long as that serves his examples no worse, nobody is suspected. If it does, the
// lessons that were tried least often are tried again, and those that do harm go.
func (k *Knack) suspect() {
	if len(k.lessons) == 0 || k.kept.count(len(k.names)) < fewest {
		return
	}
	together, err := k.judgement()
	if err != nil {
		return
	}
	if k.alone == nil {
		if k.alone, _, err = k.ask(k.own.sums(k.names)); err != nil {
			return
		}
	}
	if _, harm := k.compare(k.alone, together); !harm {
		return
	}
	list := slices.Clone(k.lessons)
	slices.SortStableFunc(list, func(a, b *taken) int { return a.Trials - b.Trials })
	for _, t := range list[:min(suspects, len(list))] {
		k.retry(t)
	}
}

// judgement is what all know together, of the kept examples.
func (k *Knack) judgement() (*opinions, error) {
	if k.judged != nil {
		return k.judged, nil
	}
	all, err := k.sum()
	if err == nil {
		k.judged, k.readout, err = k.ask(all)
	}
	return k.judged, err
}

// retry tries a lesson again that was taken in.
func (k *Knack) retry(t *taken) {
	with, err := k.judgement()
	if err != nil {
		return
	}
	readout := k.readout
	sums, err := k.sumsOf(t)
	if err != nil || k.all.Subtract(sums) != nil {
		return
	}
	without, solved, err := k.ask(k.all)
	if err == nil {
		gain, harm := k.compare(without, with)
		if t.tried(gain); harm {
			k.failures = append(k.failures, Failure{t.Author, k.name, gain})
			at, _ := k.find(t.Author)
			k.lessons = slices.Delete(k.lessons, at, at+1)
			k.judged, k.readout = without, solved
			return
		}
	}
	if err := k.all.Add(sums); err != nil {
		panic(err) // it was taken off just now
	}
	k.judged, k.readout = with, readout
}

// Loss is how many nats an answer about examples costs on average, as lessons are tried: x is (len(labels), Inputs). A class that is not known costs
// as much as one that could be any of those of the labels. k may be nil: then none is known.
func (k *Knack) Loss(x []float32, labels []string) float64 {
	asked := slices.Sorted(slices.Values(labels))
	guess := portable.Log(float64(len(slices.Compact(asked))))
	var known []string
	if k != nil && !k.cfg.Controls {
		known = k.Classes()
	}
	scores := make([]float32, len(labels)*len(known))
	if len(known) > 0 {
		k.Scores(scores, x)
	}
	var sum float64
	for i, label := range labels {
		at, ok := slices.BinarySearch(known, label)
		if !ok {
			sum += guess
			continue
		}
		row := scores[i*len(known) : (i+1)*len(known)]
		most, all := float64(slices.Max(row)), 0.0
		for _, v := range row {
			all += portable.Exp(float64(sharpness * (float64(v) - most)))
		}
		sum += portable.Log(all) + float64(sharpness*(most-float64(row[at])))
	}
	return sum / float64(max(len(labels), 1))
}

// LossOf is Loss of what to do: u is (n, len(names)). Controls that are not known are left at 0.
func (k *Knack) LossOf(x []float32, names []string, u []float32) float64 {
	order := slices.Sorted(slices.Values(names))
	scores := make([]float32, len(u))
	if k != nil && k.cfg.Controls && slices.Equal(k.names, order) {
		k.Scores(scores, x)
	}
	var sum float64
	for i, v := range u {
		at, _ := slices.BinarySearch(order, names[i%len(names)])
		d := (float64(min(max(v, -1), 1)) - float64(scores[i/len(names)*len(names)+at])) / controlDeviation
		sum += float64(d*d) / 2
	}
	return sum * float64(len(names)) / float64(max(len(u), 1))
}

// TakeFailures returns which lessons failed since it was called last, as [Learner.TakeFailures] does.
func (k *Knack) TakeFailures() []Failure {
	f := k.failures
	k.failures = nil
	return f
}
