package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
)

type forgettingOptions struct {
	courses []string
	modes   []string
	methods []string
	shape   string
	cache   string
	learn   int
	train   int64
	seeds   int
	seed    uint64
	json    bool
}

func forgettingCommand() *cobra.Command {
	var o forgettingOptions
	c := &cobra.Command{
		Use:   "forgetting",
		Short: "What is gained on the new and lost on the old, by every way to learn",
		Long: `forgetting trains a small base, has it learn something else in many ways, and prints what each gained on text
of the new that nobody learnt from, and what it lost on text of the old: bits a byte, the mean of all seeds
and the extremes.

Three courses: far (another language than the base's), near (other speakers of the same), ten (ten lessons, one
after the other). Two ways in which contexts come: contiguous, one text after another, in learning and in
measuring; interleaved, another context with every utterance, in both. In interleaved streams every method learns
from the bytes of the lessons alone.

Learning rates, of the baselines and of ours, are chosen for each course on a validation part of the new text, in the first
mode that is asked for, with the first seed.
Trained bases are kept in a folder. Without the data folder all is smaller, and of what the project generates.`,
		Example: `  # the whole table, three seeds
  yan-lab forgetting

  # the interleaved half of one course, as JSON
  yan-lab forgetting --course near --mode interleaved --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return forgetting(cmd, o) },
	}
	o.flags(c, "far", "near", "ten")
	return c
}

func (o *forgettingOptions) flags(c *cobra.Command, courses ...string) {
	f := c.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.courses, "course", courses, "which courses: far, near, ten")
	f.StringSliceVar(&o.modes, "mode", []string{"contiguous", "interleaved"}, "how contexts come: contiguous, interleaved")
	f.StringSliceVar(&o.methods, "method", nil, "only the methods whose name contains one of these")
	f.StringVar(&o.shape, "config", "small", "shape of the base: small, slim or pocket")
	f.StringVar(&o.cache, "cache", "", "the `FOLDER` in which trained bases are kept (default: yan-lab in the user's cache)")
	f.IntVar(&o.learn, "learn", 60_000, "bytes to learn")
	f.Int64Var(&o.train, "train", 800_000, "bytes that a base is trained with, repeats counted")
	f.IntVar(&o.seeds, "seeds", 3, "how many bases and learners to measure")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
}

// shapes are the bases that can be asked for. slim is between the two: narrow as pocket, and with banks in two layers as
// small.
var shapes = map[string]func() model.Config{"small": model.Small, "pocket": model.Pocket, "slim": slim}

func slim() model.Config {
	c := model.Pocket()
	c.Layers = 3
	return c
}

func (o *forgettingOptions) check() error {
	for _, name := range o.courses {
		if !slices.Contains([]string{"far", "near", "ten"}, name) {
			return ui.Usage("--course %s: there is far, near and ten", name)
		}
	}
	for _, name := range o.modes {
		if name != "contiguous" && name != "interleaved" {
			return ui.Usage("--mode %s: there is contiguous and interleaved", name)
		}
	}
	switch {
	case shapes[o.shape] == nil:
		return ui.Usage("--config %s: there is small, slim and pocket", o.shape)
	case o.seeds < 1:
		return ui.Usage("--seeds %d: at least 1", o.seeds)
	case o.learn < 2000 || o.train < 1000:
		return ui.Usage("--learn %d, --train %d: at least 2000 and 1000", o.learn, o.train)
	}
	return nil
}

// A spread is a mean over seeds with its extremes.
type spread struct {
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
}

func (s spread) String() string {
	return fmt.Sprintf("%+.3f (%+.3f to %+.3f)", s.Mean, s.Min, s.Max)
}

func over(v []float64) spread {
	s := spread{Min: math.Inf(1), Max: math.Inf(-1)}
	for _, x := range v {
		s.Mean += x / float64(len(v))
		s.Min, s.Max = min(s.Min, x), max(s.Max, x)
	}
	return s
}

// A forgettingRow is one method on one course.
type forgettingRow struct {
	Method     string   `json:"method"`
	Rate       float64  `json:"rate"`
	Gain       spread   `json:"gain"`              // bits a byte saved on the lessons' tests, at the end
	Forgetting spread   `json:"forgetting"`        // bits a byte lost on the old text
	Earlier    *spread  `json:"earlier,omitempty"` // bits a byte lost on each lesson since it was learnt; contiguous courses of several lessons
	Kept       float64  `json:"kept"`              // of the gain that full fine-tuning had right after each lesson
	Forgot     *float64 `json:"forgot,omitempty"`  // of what full fine-tuning forgot; absent where it forgot nothing to speak of
}

// nothing is so little forgetting, in bits a byte, that shares of it tell nothing.
const nothing = 0.01

// A forgettingTable is one course in one mode.
type forgettingTable struct {
	Course string          `json:"course"`
	Note   string          `json:"note"`
	Mode   string          `json:"mode"`
	Lesson spread          `json:"base_on_lessons"`
	Old    spread          `json:"base_on_old"`
	Rows   []forgettingRow `json:"rows"`

	Openings []opening `json:"openings,omitempty"` // interleaved
}

type forgettingReport struct {
	LearnBytes int64             `json:"learn_bytes"`
	TrainBytes int64             `json:"train_bytes"`
	Parameters int               `json:"parameters"`
	Skill      int               `json:"skill_parameters"`
	Seeds      int               `json:"seeds"`
	Tables     []forgettingTable `json:"tables"`
}

func forgetting(cmd *cobra.Command, o forgettingOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.run(cmd, baselines, schoolings)
}

// run has every base learn every course in every mode, and prints a table of each.
func (o *forgettingOptions) run(cmd *cobra.Command, baselines []baseline, schoolings []schooling) error {
	list, err := courses(sizes{o.learn, o.learn / 6, o.learn / 3})
	if err != nil {
		return err
	}
	shape := shapes[o.shape]()
	n, err := newNursery(o.cache, shape, o.train, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	r := forgettingReport{LearnBytes: int64(o.learn), TrainBytes: o.train, Skill: shape.BankSize(lessonSections, shape.Neurons), Seeds: o.seeds}
	for _, c := range list {
		if !slices.Contains(o.courses, c.name) {
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", c.name, c.note)
		var bases []*model.Model
		for i := range o.seeds {
			b, err := n.base(cmd.Context(), c.old.name, c.base, o.seed+uint64(i))
			if err != nil {
				return err
			}
			bases = append(bases, b)
			r.Parameters = b.Parameters()
		}
		rates := map[string]float64{}
		for _, mode := range o.modes {
			e := newExperiment(&c, mode, bases, *o, cmd.ErrOrStderr())
			e.rates, e.baselines, e.schoolings = rates, baselines, schoolings
			t, err := e.run(cmd.Context())
			if err != nil {
				return err
			}
			r.Tables = append(r.Tables, t)
			if !o.json {
				if err := r.print(cmd.OutOrStdout(), t); err != nil {
					return err
				}
			}
		}
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return nil
}

func (r *forgettingReport) print(w io.Writer, t forgettingTable) error {
	fmt.Fprintf(w, "\n%s, %s: %s. Base of %s parameters; skills of %s; %s learnt; %d seeds.\nBefore: %.3f bits a byte on the new, %.3f on the old.\n\n",
		t.Course, t.Mode, t.Note, ui.Count(int64(r.Parameters)), ui.Count(int64(r.Skill)), ui.Bytes(r.LearnBytes), r.Seeds, t.Lesson.Mean, t.Old.Mean)
	table := ui.NewTable("method", "rate", "gain on the new", "of full's", "forgetting of the old", "of full's", "lost of earlier lessons")
	for _, row := range t.Rows {
		lost, share := "–", "–"
		if row.Forgot != nil {
			share = fmt.Sprintf("%.2f %%", 100**row.Forgot)
		}
		if row.Earlier != nil {
			lost = row.Earlier.String()
		}
		table.Row(row.Method, row.Rate, row.Gain, fmt.Sprintf("%.1f %%", 100*row.Kept), row.Forgetting, share, lost)
	}
	if err := table.Fprint(w); err != nil || len(t.Openings) == 0 {
		return err
	}
	fmt.Fprint(w, "\nHow far the right bank is open, by bytes since the utterance began; another one there; and any in what the base knows:\n\n")
	table = ui.NewTable("method", "0 to 8", "8 to 16", "16 to 32", "32 to 64", "later", "another", "any in the old")
	for _, o := range t.Openings {
		cells := []any{o.Method}
		for _, v := range append(o.Right[:], o.Wrong, o.Known) {
			cells = append(cells, fmt.Sprintf("%.3f", v))
		}
		table.Row(cells...)
	}
	return table.Fprint(w)
}

// An experiment is one course in one mode, with every method.
type experiment struct {
	c      *course
	mode   string
	bases  []*model.Model
	o      forgettingOptions
	stderr io.Writer
	rates  map[string]float64 // that were chosen

	baselines  []baseline // full fine-tuning first
	schoolings []schooling

	names        []string
	learn        []*stream // one after the other
	valid, tests *stream
	each         []*stream // contiguous: each lesson's test
	old          *stream   // contiguous: the old test
}

func newExperiment(c *course, mode string, bases []*model.Model, o forgettingOptions, stderr io.Writer) *experiment {
	e := &experiment{c: c, mode: mode, bases: bases, o: o, stderr: stderr}
	var train, valid, test [][][]byte
	for _, l := range c.lessons {
		e.names = append(e.names, strings.ReplaceAll(l.name, " ", "-"))
		train, valid, test = append(train, l.train), append(valid, l.valid), append(test, l.test)
	}
	if mode == "interleaved" {
		e.learn = []*stream{interleaved(c.old.train, train...)}
		e.valid = interleaved(c.old.train[len(c.old.train)/2:], valid...)
		e.tests = interleaved(c.old.test, test...)
		return e
	}
	e.valid, e.old = &stream{}, contiguous(c.old.test, known)
	for k := range c.lessons {
		e.learn = append(e.learn, contiguous(train[k], k))
		e.each = append(e.each, contiguous(test[k], k))
		for _, u := range valid[k] {
			e.valid.add(u, k)
		}
	}
	return e
}

// A score is bits a byte on the lessons, on the mean of them where there are several, and on what was known.
type score struct{ lessons, known float64 }

// mean of the surprise in a stream.
func mean(nats []float64, s *stream) score {
	var sum, n [2]float64
	for i, v := range nats {
		if i == 0 {
			continue
		}
		k := 0
		if s.lesson[i] == known {
			k = 1
		}
		sum[k] += v / math.Ln2
		n[k]++
	}
	return score{sum[0] / max(n[0], 1), sum[1] / max(n[1], 1)}
}

// lesson measures one lesson alone; contiguous mode.
func (e *experiment) lesson(p predictor, k int) float64 {
	return mean(p(e.each[k].text), e.each[k]).lessons
}

// measure is how a mind stands on the tests.
func (e *experiment) measure(p predictor) (s score, each []float64) {
	if e.mode == "interleaved" {
		s = mean(p(e.tests.text), e.tests)
		return s, []float64{s.lessons}
	}
	s.known = mean(p(e.old.text), e.old).known
	for k := range e.each {
		each = append(each, e.lesson(p, k))
		s.lessons += each[k] / float64(len(e.each))
	}
	return s, each
}

// An outcome is what one method came to with one seed.
type forgettingOutcome struct {
	gain, forgetting, earlier float64
	rightAfter                float64 // the gain on each lesson right after it
}

func (e *experiment) outcome(base, end score, each, after []float64, eachBase []float64) (r forgettingOutcome) {
	r.gain, r.forgetting = base.lessons-end.lessons, end.known-base.known
	r.rightAfter = r.gain
	if len(after) > 1 {
		r.rightAfter = 0
		for k := range after {
			r.rightAfter += (eachBase[k] - after[k]) / float64(len(after))
			if k < len(after)-1 { // the last one had nobody after it
				r.earlier += (each[k] - after[k]) / float64(len(after)-1)
			}
		}
	}
	return r
}

func (e *experiment) wanted(name string) bool {
	return len(e.o.methods) == 0 || slices.ContainsFunc(e.o.methods, func(m string) bool { return strings.Contains(name, m) })
}

// rate is the learning rate of a method: chosen in the first mode of the course, and then kept.
func (e *experiment) rate(name string, choose func() (float64, error)) (float64, error) {
	if r, ok := e.rates[name]; ok {
		return r, nil
	}
	r, err := choose()
	e.rates[name] = r
	return r, err
}

func (e *experiment) run(ctx context.Context) (forgettingTable, error) {
	t := forgettingTable{Course: e.c.name, Note: e.c.note, Mode: e.mode}
	var base []score
	var eachBase [][]float64
	var lessons, old []float64
	for _, b := range e.bases {
		s, each := e.measure(predicts(b))
		base, eachBase = append(base, s), append(eachBase, each)
		lessons, old = append(lessons, s.lessons), append(old, s.known)
	}
	t.Lesson, t.Old = over(lessons), over(old)

	p := ui.NewProgress(e.stderr, e.c.name+", "+e.mode, int64((len(e.baselines)+len(e.schoolings))*len(e.bases)), "runs")
	defer p.Done()
	joined := &stream{}
	for _, s := range e.learn {
		joined.text, joined.lesson, joined.place = append(joined.text, s.text...), append(joined.lesson, s.lesson...), append(joined.place, s.place...)
	}
	var full forgettingOutcome
	note := func(name string, rate float64, rs []forgettingOutcome) {
		var gain, forgetting, earlier []float64
		var after float64
		for _, r := range rs {
			gain, forgetting, earlier = append(gain, r.gain), append(forgetting, r.forgetting), append(earlier, r.earlier)
			after += r.rightAfter / float64(len(rs))
		}
		row := forgettingRow{Method: name, Rate: rate, Gain: over(gain), Forgetting: over(forgetting)}
		if len(e.learn) > 1 {
			lost := over(earlier)
			row.Earlier = &lost
		}
		if name == baselines[0].name {
			full = forgettingOutcome{rightAfter: after, forgetting: row.Forgetting.Mean}
		}
		row.Kept = row.Gain.Mean / full.rightAfter
		if full.forgetting > nothing {
			share := row.Forgetting.Mean / full.forgetting
			row.Forgot = &share
		}
		t.Rows = append(t.Rows, row)
	}
	for _, b := range e.baselines {
		if b.name != baselines[0].name && !e.wanted(b.name) {
			continue
		}
		rate, err := e.rate(b.name, func() (float64, error) { return b.tune(ctx, e.bases[0], joined, e.valid, e.c.base) })
		if err != nil {
			return t, err
		}
		var rs []forgettingOutcome
		for i, m := range e.bases {
			seed := e.o.seed + uint64(i)
			var after []float64
			now := m
			for k, s := range e.learn {
				if now, err = b.learn(ctx, now, s, e.c.base, rate, seed); err != nil {
					return t, err
				}
				if len(e.learn) > 1 {
					after = append(after, e.lesson(predicts(now), k))
				}
			}
			end, each := e.measure(predicts(now))
			rs = append(rs, e.outcome(base[i], end, each, after, eachBase[i]))
			p.Add(1)
		}
		note(b.name, rate, rs)
	}
	for i := range e.schoolings {
		if err := e.teach(ctx, &t, &e.schoolings[i], joined, note, func() { p.Add(1) }, base, eachBase); err != nil {
			return t, err
		}
	}
	return t, nil
}

// teach measures one schooling of ours, in all its views.
func (e *experiment) teach(ctx context.Context, t *forgettingTable, how *schooling, joined *stream, note func(string, float64, []forgettingOutcome), done func(), base []score, eachBase [][]float64) error {
	var views []*view
	for k := range how.views {
		if e.wanted(how.views[k].name) {
			views = append(views, &how.views[k])
		}
	}
	if len(views) == 0 || len(e.c.lessons) > 1 && how.said { // sixteen passes over each utterance of ten lessons tell nothing new
		return nil
	}
	rate, err := e.rate("ours", func() (float64, error) { return tuneOurs(ctx, e.bases[0], joined, e.valid, e.names) })
	if err != nil {
		return err
	}
	rs, openings := make([][]forgettingOutcome, len(views)), make([][]opening, len(views))
	for i, m := range e.bases {
		p, err := newPupil(how, m, e.names, rate, e.o.seed+uint64(i))
		if err != nil {
			return err
		}
		after := make([][]float64, len(views))
		for k, s := range e.learn {
			if err := p.learn(ctx, s); err != nil {
				return err
			}
			for j, v := range views {
				if len(e.learn) > 1 {
					q, err := p.question(v)
					if err != nil {
						return err
					}
					after[j] = append(after[j], e.lesson(v.reads(q), k))
				}
			}
		}
		for j, v := range views {
			q, err := p.question(v)
			if err != nil {
				return err
			}
			end, each := e.measure(v.reads(q))
			rs[j] = append(rs[j], e.outcome(base[i], end, each, after[j], eachBase[i]))
			if v.opens != nil && e.mode == "interleaved" {
				openings[j] = append(openings[j], e.opening(v.opens(q, e.tests.text)))
			}
		}
		done()
	}
	for j, v := range views {
		note(v.name, rate, rs[j])
		if len(openings[j]) > 0 {
			t.Openings = append(t.Openings, meanOpening(v.name, openings[j]))
		}
	}
	return nil
}

// places are how far from an utterance's beginning a byte may be: reports tell these apart.
var places = [...]int{0, 8, 16, 32, 64}

func placeOf(n int) int {
	k := 0
	for k+1 < len(places) && n >= places[k+1] {
		k++
	}
	return k
}

// An opening is how far the right bank is open in an interleaved stream, by place in the utterance, and how far any is
// where none is right.
type opening struct {
	Method string               `json:"method"`
	Right  [len(places)]float64 `json:"right"`
	Wrong  float64              `json:"wrong"` // another bank in a lesson's utterance
	Known  float64              `json:"known"` // any bank in what the base knows
}

// opening is what open comes to on the tests.
func (e *experiment) opening(open [][]float64) (o opening) {
	var right [len(places)]float64
	var lessons, known float64
	for i, l := range e.tests.lesson {
		at := placeOf(e.tests.place[i])
		for k := range open {
			switch {
			case l < 0:
				o.Known += open[k][i]
			case k == l:
				o.Right[at] += open[k][i]
			default:
				o.Wrong += open[k][i]
			}
		}
		if l < 0 {
			known++
		} else {
			lessons++
			right[at]++
		}
	}
	for k := range o.Right {
		o.Right[k] /= max(right[k], 1)
	}
	o.Wrong, o.Known = o.Wrong/max(lessons, 1), o.Known/max(known, 1)
	return o
}

func meanOpening(method string, list []opening) opening {
	m := opening{Method: method}
	n := float64(len(list))
	for _, o := range list {
		for k := range m.Right {
			m.Right[k] += o.Right[k] / n
		}
		m.Wrong, m.Known = m.Wrong+o.Wrong/n, m.Known+o.Known/n
	}
	return m
}
