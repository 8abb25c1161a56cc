// Command yan-transfer moves a skill from one peer to another and measures what arrived. The two peers
// are whole nodes with homes of their own, on a real network on loopback; between them go the skill's
// sections and nothing else, and after that nothing is trained.
package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model/base"
)

type options struct {
	skill, own, old string
	model           string
	seeds           int
	seed            uint64
	holdout         float64
	epochs          int
	json            bool
	out             string
}

func main() { ui.Main(command()) }

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "yan-transfer",
		Short: "Move a skill between two peers and measure what arrived",
		Long: `yan-transfer starts two nodes on loopback. The donor learns --skill, the recipient learns --own. Then the
donor's sections go over the wire, nothing is trained any more, and three things are measured on what
neither has seen: how much of the donor's gain arrived, what the recipient lost of its own
skill, and what both lost of what the base knew before.

Without --skill the donor learns to drive by watching, on the roads of a small world, and the recipient,
which never saw a road, drives others: they share no road, and the recipient knows spoken commands.`,
		Example: `  # a skill moves: one learns to drive, another drives; with the roads drawn in a report
  yan-transfer --out out/drive

  # text into text: generated commands, three seeds, as a table
  yan-transfer --skill generated:music --own generated:weather

  # one intent of the SNIPS set into a node that knows another, as JSON and with a report
  yan-transfer --skill tsv:snips/train_full.tsv#PlayMusic \
               --own tsv:snips/train_full.tsv#GetWeather --json --out out/transfer`,
		Version: ui.Version(),
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return run(c, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.skill, "skill", "", "what the donor learns, as kind:path (text, lines, tsv, generated, or track:roads) (default track:roads)")
	f.StringVar(&o.own, "own", "", "what the recipient learns, as kind:path (default, with a track: generated:weather)")
	f.StringVar(&o.old, "base", "", "text that the base knew before, as kind:path; its last tenth is measured (default: tiny Shakespeare, else the shipped corpus)")
	f.StringVar(&o.model, "model", "", "checkpoint that both stand on (default: the embedded base)")
	f.IntVar(&o.seeds, "seeds", 3, "how many pairs of nodes to measure")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.Float64Var(&o.holdout, "holdout", 0.2, "share of each set that is measured on and not learnt")
	f.IntVar(&o.epochs, "epochs", 1, "how often each set is read")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	f.StringVar(&o.out, "out", "", "write report.html and result.json into this folder")
	return c
}

func run(c *cobra.Command, o options) error {
	if o.seeds < 1 || o.epochs < 1 {
		return ui.Usage("--seeds %d, --epochs %d: both must be at least 1", o.seeds, o.epochs)
	}
	if !(o.holdout > 0 && o.holdout < 1) {
		return ui.Usage("--holdout %v: must lie between 0 and 1", o.holdout)
	}
	w, onTrack, err := onRoad(o.skill)
	if err != nil {
		return err
	}
	if !onTrack && o.own == "" {
		return ui.Usage("--skill and --own go together")
	}
	m := base.Embedded()
	if o.model != "" {
		var err error
		if m, err = device.OpenModel(o.model); err != nil {
			return err
		}
	}
	t, err := texts(o, onTrack)
	if err != nil {
		return err
	}
	for _, s := range t.notes {
		fmt.Fprintln(c.ErrOrStderr(), s)
	}
	if onTrack {
		return runDrives(c, o, m, w, t)
	}

	p := ui.NewProgress(c.ErrOrStderr(), "transfer", int64(o.seeds*steps), "step")
	defer p.Done()
	var results []outcome
	for i := range o.seeds {
		r, err := transfer(c.Context(), m, t, o.seed+uint64(i), func() { p.Add(1) })
		if err != nil {
			if c.Context().Err() != nil {
				return context.Cause(c.Context())
			}
			return fmt.Errorf("seed %d: %w", o.seed+uint64(i), err)
		}
		results = append(results, r)
	}
	p.Done()
	s := summarise(t, m, results)
	if o.out != "" {
		if err := report(o.out, s); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "report: %s/report.html\n", strings.TrimSuffix(o.out, "/"))
	}
	if o.json {
		return ui.JSON(c.OutOrStdout(), s)
	}
	return s.print(c.OutOrStdout())
}

// material is what the nodes learn and are measured on.
type material struct {
	skill, own         string // what they are called
	skillText, ownText []byte // what is learnt
	skillHeld, ownHeld []byte // what is measured
	oldHeld            []byte
	epochs             int
	notes              []string
}

// onRoad tells which world a skill is learnt in, if it is one of driving.
func onRoad(skill string) (w world, ok bool, err error) {
	if skill == "" {
		return worlds[0], true, nil
	}
	name, ok := strings.CutPrefix(skill, "track:")
	if !ok {
		return w, false, nil
	}
	for _, w := range worlds {
		if w.name == name {
			return w, true, nil
		}
	}
	return w, true, ui.Usage("--skill %s: there are track:%s and track:%s", skill, worlds[0].name, worlds[1].name)
}

func texts(o options, onTrack bool) (t material, err error) {
	t.epochs = o.epochs
	if onTrack {
		t.skill = "track:roads"
		if o.skill != "" {
			t.skill = o.skill
		}
		if o.own == "" {
			o.own = "generated:weather"
		}
	} else if t.skill, t.skillText, t.skillHeld, err = open(o.skill, o.holdout, 1); err != nil {
		return t, err
	}
	if t.own, t.ownText, t.ownHeld, err = open(o.own, o.holdout, 2); err != nil {
		return t, err
	}
	old := o.old
	if old == "" {
		if _, ok := dataset.Root(); ok {
			old = "text:tinyshakespeare/input.txt"
		}
	}
	if old == "" {
		_, t.oldHeld = cut(string(dataset.Shipped("corpus").Bytes()), 0.1)
		t.notes = append(t.notes, "what the base knew before is measured on the shipped corpus")
		return t, nil
	}
	_, _, t.oldHeld, err = open(old, 0.1, 3)
	t.notes = append(t.notes, "what the base knew before is measured on the last tenth of "+old)
	return t, err
}

func cut(text string, holdout float64) (train, held []byte) {
	lines := strings.SplitAfter(text, "\n")
	at := len(lines) - int(float64(len(lines))*holdout)
	return []byte(strings.Join(lines[:at], "")), []byte(strings.Join(lines[at:], ""))
}

// open reads text as kind:path, or generates commands of one intent.
func open(arg string, holdout float64, seed uint64) (name string, train, held []byte, err error) {
	if intent, ok := strings.CutPrefix(arg, "generated:"); ok {
		lines := dataset.Commands(intent, 400, seed)
		if lines == nil {
			return "", nil, nil, ui.Usage("%s: there are no such commands: take generated:music or generated:weather", arg)
		}
		train, held = cut(strings.Join(lines, "\n")+"\n", holdout)
		return arg, train, held, nil
	}
	d, err := dataset.Open(arg)
	if err != nil {
		return "", nil, nil, err
	}
	a, b := d.Split(holdout)
	train, held = a.Bytes(), b.Bytes()
	if len(train) < 256 || len(held) < 64 {
		return "", nil, nil, fmt.Errorf("%s: %d bytes to learn and %d to measure on are too few; give at least 256 and 64", arg, len(train), len(held))
	}
	return arg, train, held, nil
}
