package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
)

type headOptions struct {
	data, test []string
	features   int
	seeds      int
	seed       uint64
	json       bool
}

// flags of the commands that teach heads.
func (o *headOptions) flags(c *cobra.Command, kind string) {
	f := c.Flags()
	f.SortFlags = false
	f.StringArrayVar(&o.data, "data", nil, "what to learn, as `"+kind+"`; may be repeated")
	f.IntVar(&o.features, "features", 2048, "features that a head makes of its inputs")
	f.IntVar(&o.seeds, "seeds", 3, "how many heads and orders to measure")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
}

const headsLong = `
What is learnt comes class by class, in tasks that are never named again and in another order for each seed, once, and
nothing of it is kept but sums. Beside the head stand what the same features give with the nearest
class mean, with a softmax by gradient descent that sees everything mixed, and with the same softmax task
by task, which is to show what forgetting looks like.

The command fails if the head, taught task by task, or in parts by several nodes that were then added in
any order, or with one node taken back, differs by one bit from the one that was taught all of it at once.`

func digitsCommand() *cobra.Command {
	var o headOptions
	c := &cobra.Command{
		Use:   "digits",
		Short: "Learn digits two by two, and forget none",
		Long:  "digits teaches a head pictures of ten classes in five tasks.\n" + headsLong,
		Example: `  # MNIST's 10,000 training digits, the official test images, three heads
  yan-lab digits

  # what the project draws, as JSON
  yan-lab digits --data shipped:strokes --test shipped:strokes --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			train, test, err := pictures(o.data, o.test)
			if err != nil {
				return err
			}
			a, err := encode(train)
			if err != nil {
				return err
			}
			b, err := encode(test)
			if err != nil {
				return err
			}
			return heads(cmd, o, train.Note+"; asked about "+test.Note, []trial{{"test images", a, b, true}})
		},
	}
	o.flags(c, "images:IMG,LABELS")
	c.Flags().StringArrayVar(&o.test, "test", nil, "what to be asked about, as `images:IMG,LABELS`; may be repeated")
	return c
}

func soundsCommand() *cobra.Command {
	var o headOptions
	c := &cobra.Command{
		Use:   "sounds",
		Short: "Learn spoken words, of speakers known and unknown",
		Long: `sounds teaches a head spoken words. First from the takes 5 and up of all speakers, to be asked about the takes 0 to
4 (the official split of FSDD); then from all speakers but one, to be asked about that one.
` + headsLong + `

The encoder was tuned on takes of the training part, and on george, jackson and lucas as unknown speakers.`,
		Example: `  # the Free Spoken Digit Dataset, three heads
  yan-lab sounds

  # your own recordings, named label_speaker_take.wav
  yan-lab sounds --data sound:recordings --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := one(o.data, soundsData, dataset.Sound, func() *dataset.Set { return dataset.Tones(10, 6, 1) })
			if err != nil {
				return err
			}
			all, err := encode(set)
			if err != nil {
				return err
			}
			known := trial{"takes 0 to 4 of known speakers",
				all.where(func(e dataset.Example) bool { return e.Take >= 5 }), all.where(func(e dataset.Example) bool { return e.Take < 5 }), true}
			trials := []trial{known}
			for _, who := range people(set) {
				trials = append(trials, unknown("unknown speaker "+who, all, []string{who}))
			}
			return heads(cmd, o, set.Note, trials)
		},
	}
	o.flags(c, "sound:DIR")
	return c
}

func motionsCommand() *cobra.Command {
	var o headOptions
	c := &cobra.Command{
		Use:   "motions",
		Short: "Learn what people do, and tell it of people not met",
		Long: `motions teaches a head what people do, from an accelerometer and a gyroscope in their pocket: one class after the
other. Then it is asked about five people whom it has not met, three times other ones.
` + headsLong + `

The encoder was tuned on the people 1 to 8 alone, and the last fifteen of 23 are asked about: one of them, 8, is among both.`,
		Example: `  # phone accelerometer and gyroscope, 23 people, three heads
  yan-lab motions

  # your own windows of one second, in 2 mm/s² and mrad/s
  yan-lab motions --data sensors:x.gz,labels.gz,who.gz --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := one(o.data, motionsData, dataset.Sensors, func() *dataset.Set { return dataset.Motions(18, 12, 1) })
			if err != nil {
				return err
			}
			all, err := encode(set)
			if err != nil {
				return err
			}
			who := people(set)
			if len(who) < 16 {
				return fmt.Errorf("%s: %d people are too few: three groups of five are asked about and somebody must be left to learn from", set.Arg, len(who))
			}
			var trials []trial
			for from := len(who) - 15; from < len(who); from += 5 {
				group := who[from : from+5]
				trials = append(trials, unknown("unknown people "+strings.Join(group, " "), all, group))
			}
			trials[0].steps = true
			return heads(cmd, o, set.Note, trials)
		},
	}
	o.flags(c, "sensors:X,Y,WHO")
	return c
}

// people lists whose the examples are, in the order of their first one.
func people(set *dataset.Set) (who []string) {
	for _, e := range set.Items {
		if !slices.Contains(who, e.Who) {
			who = append(who, e.Who)
		}
	}
	return who
}

// unknown is the trial of learning from all but some people, and being asked about those.
func unknown(name string, all *samples, who []string) trial {
	is := func(e dataset.Example) bool { return slices.Contains(who, e.Who) }
	return trial{name, all.where(func(e dataset.Example) bool { return !is(e) }), all.where(is), false}
}

// A trial is what to learn and what to be asked about.
type trial struct {
	name        string
	train, test *samples
	steps       bool // ask after each task, and not only at the end
}

// A headRow is what came of one trial: shares of answers that are right.
type headRow struct {
	Trial       string   `json:"trial"`
	Learnt      int      `json:"learnt"`
	Asked       int      `json:"asked"`
	Head        spread   `json:"head"`
	After       []spread `json:"after_each_task"` // of the classes learnt so far
	NearestMean spread   `json:"nearest_mean"`
	Softmax     spread   `json:"softmax"`
	InTasks     spread   `json:"softmax_in_tasks"`
}

type headReport struct {
	Data         string    `json:"data"`
	Inputs       int       `json:"inputs"`
	Features     int       `json:"features"`
	Numbers      int       `json:"numbers"` // that a head keeps
	Seeds        int       `json:"seeds"`
	EqualToJoint bool      `json:"equal_to_joint"` // to the bit
	Rows         []headRow `json:"trials"`
	Mean         spread    `json:"mean_of_trials"`
}

func heads(cmd *cobra.Command, o headOptions, note string, trials []trial) error {
	if o.seeds < 1 || o.features < 1 {
		return ui.Usage("--seeds %d, --features %d: both must be at least 1", o.seeds, o.features)
	}
	for _, t := range trials {
		if len(t.train.labels) == 0 || len(t.test.labels) == 0 {
			return fmt.Errorf("%s: nothing to learn or nothing to be asked about", t.name)
		}
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "data:", note)
	p := ui.NewProgress(cmd.ErrOrStderr(), "teaching heads", int64(len(trials)*o.seeds), "heads")
	defer p.Done()
	r := headReport{Data: note, Inputs: trials[0].train.width, Features: o.features, Seeds: o.seeds, EqualToJoint: true}
	for _, t := range trials {
		var runs []headRun
		for i := range o.seeds {
			run, err := teach(cmd.Context(), t, o.features, o.seed+uint64(i))
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", t.name, o.seed+uint64(i), err)
			}
			runs = append(runs, run)
			p.Add(1)
		}
		r.Rows = append(r.Rows, summary(t, runs))
		r.Numbers = max(r.Numbers, runs[0].numbers)
	}
	r.Mean = meanTrial(r.Rows)
	p.Done()
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// A headRun is one seed of a trial.
type headRun struct {
	after                  []float64
	mean, softmax, inTasks float64
	numbers                int
}

func summary(t trial, runs []headRun) headRow {
	of := func(f func(headRun) float64) spread {
		var v []float64
		for _, r := range runs {
			v = append(v, f(r))
		}
		return over(v)
	}
	row := headRow{Trial: t.name, Learnt: len(t.train.labels), Asked: len(t.test.labels)}
	for k := range runs[0].after {
		row.After = append(row.After, of(func(r headRun) float64 { return r.after[k] }))
	}
	row.Head = row.After[len(row.After)-1]
	row.NearestMean = of(func(r headRun) float64 { return r.mean })
	row.Softmax = of(func(r headRun) float64 { return r.softmax })
	row.InTasks = of(func(r headRun) float64 { return r.inTasks })
	return row
}

// meanTrial is the mean of the trials' means, and the extremes of all.
func meanTrial(rows []headRow) spread {
	s := spread{Min: math.Inf(1), Max: math.Inf(-1)}
	for _, r := range rows {
		s.Mean += r.Head.Mean / float64(len(rows))
		s.Min, s.Max = min(s.Min, r.Head.Min), max(s.Max, r.Head.Max)
	}
	return s
}

// tasksOf are the classes in some order, in five tasks where that goes.
func tasksOf(classes []string, r *rand.Rand) [][]string {
	order := slices.Clone(classes)
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return slices.Collect(slices.Chunk(order, max(len(order)/5, 1)))
}

// teach runs one seed of a trial.
func teach(ctx context.Context, t trial, features int, seed uint64) (run headRun, err error) {
	r := rand.New(rand.NewPCG(seed, 1))
	cfg := learning.HeadConfig{Inputs: t.train.width, Features: features, Seed: seed}
	joint := learning.NewHead(cfg)
	joint.Learn(t.train.x, t.train.labels)
	tasks := tasksOf(joint.Classes(), r)

	h := learning.NewHead(cfg)
	var known []string
	for _, task := range tasks {
		part := t.train.pick(indices(t.train, task))
		h.Learn(part.x, part.labels)
		known = append(known, task...)
		if !t.steps && len(known) < len(joint.Classes()) {
			continue
		}
		out, err := h.Solve()
		if err != nil {
			return run, err
		}
		run.after = append(run.after, share(out, t.test.pick(indices(t.test, known))))
		if ctx.Err() != nil {
			return run, context.Cause(ctx)
		}
	}
	if !h.Equal(joint) {
		return run, fmt.Errorf("taught in the tasks %v, the head differs from the one that was taught all at once", tasks)
	}
	if err := equalInParts(cfg, joint, t.train, r); err != nil {
		return run, err
	}
	run.numbers = h.Numbers()

	classes := joint.Classes()
	run.mean = nearestMean(t.train, t.test, classes)
	rate := softmaxRate(t.train, classes, r)
	mixed, inTasks := newSoftmax(t.train.width, classes), newSoftmax(t.train.width, classes)
	mixed.learn(t.train, r.Perm(len(t.train.labels)), rate)
	for _, task := range tasks {
		at := indices(t.train, task)
		r.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
		inTasks.learn(t.train, at, rate)
	}
	run.softmax, run.inTasks = mixed.right(t.test), inTasks.right(t.test)
	return run, nil
}

// indices of the samples of some classes.
func indices(s *samples, classes []string) (at []int) {
	for i, label := range s.labels {
		if slices.Contains(classes, label) {
			at = append(at, i)
		}
	}
	return at
}

// equalInParts has nodes learn a part each, those of one person where the data says whose they are, and adds what they learnt in
// random order; then it takes the first one's part back.
func equalInParts(cfg learning.HeadConfig, joint *learning.Head, s *samples, r *rand.Rand) error {
	parts := map[string][]int{}
	for _, i := range r.Perm(len(s.labels)) {
		node := s.of[i].Who
		if node == "" {
			node = fmt.Sprint(r.IntN(4))
		}
		parts[node] = append(parts[node], i)
	}
	var names []string
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	sum, rest, node := learning.NewHead(cfg), learning.NewHead(cfg), learning.NewHead(cfg)
	for k, name := range names {
		part := s.pick(parts[name])
		node.Learn(part.x, part.labels)
		if err := sum.Add(node); err != nil {
			return err
		}
		if k > 0 {
			if err := rest.Add(node); err != nil {
				return err
			}
		}
		node.Forget(part.x, part.labels) // and is as new
	}
	if !sum.Equal(joint) {
		return fmt.Errorf("added up from the %d nodes %v, the head differs from the one that was taught all at once", len(names), names)
	}
	first := s.pick(parts[names[0]])
	sum.Forget(first.x, first.labels)
	if !sum.Equal(rest) {
		return fmt.Errorf("with node %s taken back, the head differs from one that never heard of it", names[0])
	}
	return nil
}

// share of the samples that a read-out is right about.
func share(r *learning.Readout, s *samples) float64 {
	right := 0
	for i, a := range r.Answer(s.x) {
		if a == s.labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(s.labels))
}

// nearestMean is the share that is right where every example is taken for the class whose mean is nearest.
func nearestMean(train, test *samples, classes []string) float64 {
	mean := make([][]float64, len(classes))
	for c, label := range classes {
		mean[c] = make([]float64, train.width)
		at := indices(train, []string{label})
		for _, i := range at {
			for j, v := range train.row(i) {
				mean[c][j] += float64(v) / float64(len(at))
			}
		}
	}
	right := 0
	for i, label := range test.labels {
		best, near := 0, math.Inf(1)
		for c, m := range mean {
			var d float64
			for j, v := range test.row(i) {
				d += (float64(v) - m[j]) * (float64(v) - m[j])
			}
			if d < near {
				best, near = c, d
			}
		}
		if classes[best] == label {
			right++
		}
	}
	return float64(right) / float64(len(test.labels))
}

// percent prints a share.
func percent(s spread) string {
	return fmt.Sprintf("%.2f %% (%.2f to %.2f)", 100*s.Mean, 100*s.Min, 100*s.Max)
}

func (r headReport) print(w io.Writer) error {
	t := ui.NewTable("asked about", "learnt", "asked", "head, task by task", "nearest mean", "softmax, mixed", "softmax, task by task")
	for _, row := range r.Rows {
		t.Row(row.Trial, row.Learnt, row.Asked, percent(row.Head), percent(row.NearestMean), percent(row.Softmax), percent(row.InTasks))
	}
	if err := t.Fprint(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "mean of all: %s, %d seeds\n", percent(r.Mean), r.Seeds)
	first := r.Rows[0]
	var after []string
	for _, s := range first.After {
		after = append(after, fmt.Sprintf("%.2f", 100*s.Mean))
	}
	fmt.Fprintf(w, "%s, after each task, of the classes learnt so far: %s %%\n", first.Trial, strings.Join(after, ", "))
	_, err := fmt.Fprintf(w, "taught at once, in any order of tasks and by any nodes: equal to the bit; %d inputs, %d features, %s numbers kept\n",
		r.Inputs, r.Features, ui.Count(int64(r.Numbers)))
	return err
}
