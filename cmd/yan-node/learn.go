package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/node"
)

// dataFlags say what to read.
type dataFlags struct {
	data   []string
	labels []string
}

func (f *dataFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.data, "data", nil, "what to read: text:FILE, lines:FILE, tsv:FILE or shipped:NAME; or to be shown: images:IMG,LABELS, sound:DIR, sensors:X,Y[,WHO] or frames:IMG,CONTROL; may be repeated")
	cmd.Flags().StringSliceVar(&f.labels, "label", nil, "of tsv data, only the lines of these labels")
}

func (f *dataFlags) check() error {
	if len(f.data) == 0 {
		return ui.Usage("no data: write --data text:FILE, lines:FILE, tsv:FILE or shipped:NAME (%s)", strings.Join(dataset.ShippedNames(), ", "))
	}
	return nil
}

// open reads all the data, in order.
func (f *dataFlags) open() (list []*dataset.Data, err error) {
	for _, arg := range f.data {
		if len(f.labels) > 0 {
			if !strings.HasPrefix(arg, dataset.TSV+":") {
				return nil, ui.Usage("--label goes with tsv data, not with %s", arg)
			}
			arg += "#" + strings.Join(f.labels, ",")
		}
		d, err := dataset.Open(arg)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

func notes(list []*dataset.Data) string {
	var ns []string
	for _, d := range list {
		ns = append(ns, d.Note)
	}
	return strings.Join(ns, "; ")
}

func join(list []*dataset.Data) (b []byte) {
	for _, d := range list {
		b = append(b, d.Bytes()...)
	}
	return b
}

// evaluate measures how well m predicts a text, with skills that open by likelihood, or by their gates alone, and how many
// minds were asked for a byte.
func evaluate(ctx context.Context, cmd *cobra.Command, m *model.Model, text []byte, gated bool) (e learning.Evaluation, minds float64, err error) {
	p := ui.NewProgress(cmd.ErrOrStderr(), "evaluating", int64(len(text)), "B")
	defer p.Done()
	stop := func(done int) bool {
		p.Set(int64(done))
		return ctx.Err() != nil
	}
	if gated || len(m.Banks) == 0 {
		e, minds = learning.Evaluate(m, text, stop), 1
	} else {
		e, minds = learning.NewReader(m).Evaluate(text, stop)
	}
	return e, minds, ctx.Err()
}

// hardnessBytes is how much of the data tells whether the mind works harder on hard input: it takes another reading.
const hardnessBytes = 1 << 18

// evalCommand measures how well the device predicts.
func evalCommand(c *common) *cobra.Command {
	var f dataFlags
	var static, gated bool
	var holdout float64
	var skill string
	cmd := &cobra.Command{
		Use:   "eval --data kind:path",
		Short: "Measure how well the device predicts data",
		Long: `eval has the device's mind read data as a stream of its own and measures, in bits, how surprising each
byte is. Nothing is learnt. The base alone and the base with each skill read side by side, and each is believed as
far as what it predicted came true; with --gated skills open by the context alone, which takes less time and is late
where contexts change with every line. With --json it also tells how many sections the hardest tenth of the bytes took for
each that the easiest tenth did.

Of pictures, sounds, sensors and frames it tells how many are named rightly, or how far what to do is off on average, by the
skill that was shown such examples.`,
		Example: `  yan-node eval --data text:notes.txt
  yan-node eval --data images:t10k-images-idx3-ubyte.gz,t10k-labels-idx1-ubyte.gz --skill digits
  yan-node eval --data tsv:snips/test.tsv --label PlayMusic --static --json
  yan-node eval --data text:tinyshakespeare/input.txt --holdout 0.1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if !(holdout > 0 && holdout <= 1) {
				return ui.Usage("--holdout %v: must be above 0 and at most 1", holdout)
			}
			if f.ofExamples() {
				return f.evalExamples(c, cmd, skill, holdout)
			}
			if skill != "" {
				return ui.Usage("--skill goes with examples: all skills read a text together")
			}
			list, err := f.open()
			if err != nil {
				return err
			}
			if holdout < 1 {
				for i, d := range list {
					_, list[i] = d.Split(holdout)
				}
			}
			text := join(list)
			if len(text) < 2 {
				return fmt.Errorf("eval: %s: two bytes at least are needed to predict one", f.data[0])
			}
			d, err := c.open(cmd, device.Options{})
			if err != nil {
				return err
			}
			defer d.Close()
			m := d.Node.Learner().Base()
			if !static {
				m = d.Node.Learner().Settled()
			}
			began := time.Now()
			e, minds, err := evaluate(cmd.Context(), cmd, m, text, gated)
			if err != nil {
				return err
			}
			rate := float64(e.Events) / time.Since(began).Seconds()
			if c.json {
				h := learning.MeasureHardness(m, text[:min(len(text), hardnessBytes)], func(int) bool { return cmd.Context().Err() != nil })
				if err := cmd.Context().Err(); err != nil {
					return err
				}
				return ui.JSON(cmd.OutOrStdout(), map[string]any{
					"data": notes(list), "events": e.Events, "bits_per_byte": e.Bits, "active_share": e.Active, "events_per_second": rate,
					"hard_easy_sections": h.Ratio, "minds_per_byte": minds,
				})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %.3f bits a byte over %s events, %s of the sections active, %s events a second\n",
				notes(list), e.Bits, ui.Count(int64(e.Events)), percent(e.Active), ui.Count(int64(rate)))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().Float64Var(&holdout, "holdout", 1, "measure only this share of each data set, at its end")
	cmd.Flags().StringVar(&skill, "skill", "", "of examples, the skill to ask, if several could answer")
	cmd.Flags().BoolVar(&gated, "gated", false, "skills open by the context alone")
	cmd.Flags().BoolVar(&static, "static", false, "the base alone, without what was learnt here")
	return cmd
}

// learnFlags are the flags of learn.
type learnFlags struct {
	dataFlags
	skill   string
	epochs  int
	holdout float64
	share   bool
}

func (f *learnFlags) check() error {
	if err := f.dataFlags.check(); err != nil {
		return err
	}
	switch {
	case f.epochs < 1:
		return ui.Usage("--epochs %d: write 1 or more", f.epochs)
	case !(f.holdout > 0 && f.holdout < 1):
		return ui.Usage("--holdout %v: write a share between 0 and 1", f.holdout)
	case f.share && f.skill == "":
		return ui.Usage("--share without --skill: name what others may have")
	}
	if f.skill != "" {
		if err := learning.CheckName(f.skill); err != nil {
			return ui.Usage("--skill: %w", err)
		}
	}
	return nil
}

// A learnReport is what a learn did.
type learnReport struct {
	Data   string              `json:"data"`
	Skill  string              `json:"skill,omitempty"`
	Events int                 `json:"events"` // learnt from, over all epochs
	Epochs int                 `json:"epochs"`
	Before learning.Evaluation `json:"before"` // on what was held out
	After  learning.Evaluation `json:"after"`
	Took   float64             `json:"seconds"`
	Rate   float64             `json:"events_per_second"`
	Shared bool                `json:"shared"`
}

// learnCommand learns data.
func learnCommand(c *common) *cobra.Command {
	var f learnFlags
	cmd := &cobra.Command{
		Use:   "learn --data kind:path [--skill NAME]",
		Short: "Learn data and measure what that was worth on data held out",
		Long: `learn reads data as the owner's stream, in the order in which it stands, and learns from it; the end of
each piece of data is held out to measure before and after. With --skill it goes into the skill of that
name; with --share others may have that skill.

Pictures, sounds, sensors and frames are shown, once: --skill says what it is that they are examples of. What peers have shown
under that name is known as well. Of each class the last examples are held out, of frames the last ones in time.`,
		Example: `  yan-node learn --data text:notes.txt
  yan-node learn --data images:train-images-idx3-ubyte.gz,train-labels-idx1-ubyte.gz --skill digits --share
  yan-node learn --data tsv:snips/train_full.tsv --label PlayMusic --skill music --share --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.ofExamples() {
				return f.learnExamples(c, cmd)
			}
			list, err := f.open()
			if err != nil {
				return err
			}
			var train, held []*dataset.Data
			for _, d := range list {
				t, h := d.Split(f.holdout)
				train, held = append(train, t), append(held, h)
			}
			text, test := join(train), join(held)
			if len(text) == 0 || len(test) < 2 {
				return fmt.Errorf("learn: %s: too little data to learn some and hold some out", f.data[0])
			}
			// Announcing a skill on its way would only write bodies that nobody will see.
			d, err := c.open(cmd, device.Options{PublishEvery: math.MaxInt64})
			if err != nil {
				return err
			}
			r, err := f.learn(cmd.Context(), cmd, d, text, test)
			if err = errors.Join(err, d.Close()); err != nil {
				return err
			}
			r.Data = notes(list)
			if c.json {
				return ui.JSON(cmd.OutOrStdout(), r)
			}
			to := ""
			if r.Skill != "" {
				to = " into skill " + r.Skill
			}
			fmt.Fprintf(cmd.OutOrStdout(), "learnt %s%s: %s events in %s, %s a second\n", r.Data, to, ui.Count(int64(r.Events)),
				ui.Duration(time.Duration(r.Took*float64(time.Second))), ui.Count(int64(r.Rate)))
			fmt.Fprintf(cmd.OutOrStdout(), "on %s held out: %.3f -> %.3f bits a byte (%+.1f %%)\n", ui.Bytes(int64(len(test))),
				r.Before.Bits, r.After.Bits, 100*(r.After.Bits/r.Before.Bits-1))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.skill, "skill", "", "the skill to learn into")
	cmd.Flags().IntVar(&f.epochs, "epochs", 1, "how often to read the data")
	cmd.Flags().Float64Var(&f.holdout, "holdout", 0.1, "share of the data, its end, that is held out")
	cmd.Flags().BoolVar(&f.share, "share", false, "let others have the skill")
	return cmd
}

// learn reads text into the device's mind and measures it on test. When it is interrupted what was learnt
// stays.
func (f *learnFlags) learn(ctx context.Context, cmd *cobra.Command, d *device.Device, text, test []byte) (r learnReport, err error) {
	r = learnReport{Skill: f.skill, Epochs: f.epochs}
	d.Start(nil, nil)
	do := func(job node.Job) {
		if err == nil {
			err = d.Do(ctx, job)
		}
	}
	var m *model.Model
	settle := func(_ time.Time, n *node.Node) (a node.Actions, _ error) {
		m, a = n.Settled()
		return a, nil
	}
	do(settle)
	if err != nil {
		return r, err
	}
	if r.Before, _, err = evaluate(ctx, cmd, m, test, false); err != nil {
		return r, err
	}

	do(func(now time.Time, n *node.Node) (node.Actions, error) { return n.Focus(now, f.skill) })
	p := ui.NewProgress(cmd.ErrOrStderr(), "learning", int64(f.epochs*len(text)), "B")
	defer p.Done()
	began := time.Now()
	for range f.epochs {
		for at := 0; at < len(text) && err == nil; {
			b := text[at:min(at+groupBytes, len(text))]
			at += len(b)
			do(func(now time.Time, n *node.Node) (a node.Actions, _ error) {
				_, a = n.Observe(now, b)
				if at == len(text) {
					a.Add(n.Flush(now))
				}
				return a, nil
			})
			r.Events += len(b)
			p.Add(int64(len(b)))
		}
	}
	r.Took = time.Since(began).Seconds()
	r.Rate = float64(r.Events) / r.Took
	p.Done()

	do(settle)
	if err != nil {
		return r, err
	}
	if r.After, _, err = evaluate(ctx, cmd, m, test, false); err != nil {
		return r, err
	}
	if f.skill != "" {
		gain := (r.Before.Bits - r.After.Bits) * math.Ln2
		do(func(_ time.Time, n *node.Node) (node.Actions, error) { return n.Measured(f.skill, gain) })
		do(func(now time.Time, n *node.Node) (node.Actions, error) { return n.Focus(now, "") })
	}
	if f.share {
		do(func(now time.Time, n *node.Node) (node.Actions, error) { return n.SetShared(now, f.skill, true) })
		r.Shared = err == nil
	}
	return r, err
}
