package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/sim"
)

type poisonOptions struct {
	devices int
	hostile []int
	attacks []string
	learn   int
	updates int
	seeds   int
	seed    uint64
	gates   bool
	wander  bool
	control bool
	json    bool
}

func poisonCommand() *cobra.Command {
	var o poisonOptions
	var all []string
	for _, a := range sim.Attacks() {
		all = append(all, string(a))
	}
	c := &cobra.Command{
		Use:   "poison",
		Short: "What hostile devices do to honest ones, in a mesh of nodes as they ship",
		Long: `poison runs simulated meshes of nodes that ship, each with a user of its own who keeps a diary under one name, and lets some of them lie
about what they learnt. The honest are asked afterwards about texts of all honest users that nobody learnt from, and so they are in the
same mesh in which the hostile ones say nothing. Worse is what the lies cost, as a share of the bits a byte: with banks side by side as
peers' skills come in, and after every device has merged what it holds. With --control both once more, where no skill is tried,
nobody is shunned and what is held is merged by its plain mean.

Shunned is how many of the hostile are asked no more, over all honest devices; undone is how many of their updates did harm on trial,
when they came or later. Wronged is how many of the honest are asked no more.
Of the attack trigger the last columns tell how much of what the trigger is to bring about honest devices predict.`,
		Example: `  yan-lab poison
  yan-lab poison --hostile 3 --attacks flip,turns --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return poison(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.devices, "devices", 9, "how many devices")
	f.IntSliceVar(&o.hostile, "hostile", []int{2, 3}, "how many of them are hostile")
	f.StringSliceVar(&o.attacks, "attacks", all, "how they lie")
	f.IntVar(&o.learn, "learn", 2400, "bytes that each user says")
	f.IntVar(&o.updates, "updates", 6, "how often a device tells of its skill")
	f.IntVar(&o.seeds, "seeds", 3, "how many meshes, with other users")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.gates, "gates", false, "skills open by their gates alone, and not by how likely they make what is read")
	f.BoolVar(&o.wander, "wander", false, "the last half of what each honest user says is of the kind that a hostile device tells of")
	f.BoolVar(&o.control, "control", false, "also with nothing tried and nobody shunned")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// A poisonRow is one attack by so many, over all seeds.
type poisonRow struct {
	Attack    string `json:"attack"`
	Hostile   int    `json:"hostile"`
	Without   spread `json:"bits_without_them"`
	Beside    spread `json:"worse_side_by_side"` // as a share
	Merged    spread `json:"worse_merged"`
	Control   spread `json:"worse_untried"` // zero without --control
	Plain     spread `json:"worse_untried_mean"`
	Shunned   spread `json:"shunned"` // share of pairs
	Undone    spread `json:"undone"`  // share of their updates that were tried
	Wronged   spread `json:"wronged"` // share of pairs of honest devices
	Backdoor  spread `json:"backdoor"`
	Backdoor0 spread `json:"backdoor_untried"`
}

type poisonReport struct {
	Devices int         `json:"devices"`
	Learn   int         `json:"learn_bytes"`
	Alone   spread      `json:"bits_alone"`
	Rows    []poisonRow `json:"rows"`
}

func poison(cmd *cobra.Command, o poisonOptions) error {
	for _, h := range o.hostile {
		if h < 1 || h > o.devices-2 {
			return ui.Usage("poison: --hostile %d of --devices %d: one at least, and two honest ones", h, o.devices)
		}
	}
	if o.seeds < 1 || o.learn < 500 || o.updates < 1 {
		return ui.Usage("poison: --seeds %d, --learn %d, --updates %d: a seed, 500 bytes and an update at least", o.seeds, o.learn, o.updates)
	}
	known := map[sim.Attack]bool{}
	for _, a := range sim.Attacks() {
		known[a] = true
	}
	for _, a := range o.attacks {
		if !known[sim.Attack(a)] {
			return ui.Usage("poison: --attacks %s: there are %v", a, sim.Attacks())
		}
	}
	r := poisonReport{Devices: o.devices, Learn: o.learn}
	p := ui.NewProgress(cmd.ErrOrStderr(), "poison", int64(o.seeds*len(o.hostile)*(1+o.arms()*len(o.attacks))), "meshes")
	defer p.Done()
	done := func() { p.Add(1) }
	rows := make([][]stand, len(o.hostile)*len(o.attacks)) // of each, one a seed
	var alone []float64
	for s := range o.seeds {
		for i, h := range o.hostile {
			without, err := o.run(cmd.Context(), sim.Silent, h, o.seed+uint64(s), false, done)
			if err != nil {
				return err
			}
			if i == 0 {
				alone = append(alone, without.alone)
			}
			for k, a := range o.attacks {
				v := stand{without: without}
				if v.with, err = o.run(cmd.Context(), sim.Attack(a), h, o.seed+uint64(s), false, done); err != nil {
					return err
				}
				if o.control {
					if v.untried, err = o.run(cmd.Context(), sim.Attack(a), h, o.seed+uint64(s), true, done); err != nil {
						return err
					}
				}
				rows[i*len(o.attacks)+k] = append(rows[i*len(o.attacks)+k], v)
			}
		}
	}
	r.Alone = over(alone)
	for i, h := range o.hostile {
		for k, a := range o.attacks {
			r.Rows = append(r.Rows, poisoned(a, h, rows[i*len(o.attacks)+k]))
		}
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// arms is in how many meshes each attack is tried.
func (o poisonOptions) arms() int {
	if o.control {
		return 2
	}
	return 1
}

// A stand is what came of one attack in one mesh.
type stand struct{ without, with, untried outcome }

// An outcome is what honest devices know in the end.
type outcome struct {
	alone, beside, merged float64 // bits a byte
	backdoor              float64
	standoff              sim.Standoff
}

func poisoned(attack string, hostile int, all []stand) poisonRow {
	of := func(f func(stand) float64) spread {
		var v []float64
		for _, s := range all {
			v = append(v, f(s))
		}
		return over(v)
	}
	return poisonRow{
		Attack: attack, Hostile: hostile,
		Without:  of(func(s stand) float64 { return s.without.beside }),
		Beside:   of(func(s stand) float64 { return s.with.beside/s.without.beside - 1 }),
		Merged:   of(func(s stand) float64 { return s.with.merged/s.without.merged - 1 }),
		Control:  of(func(s stand) float64 { return worse(s.untried.beside, s.without.beside) }),
		Plain:    of(func(s stand) float64 { return worse(s.untried.merged, s.without.merged) }),
		Shunned:  of(func(s stand) float64 { return float64(s.with.standoff.Shunned) / float64(s.with.standoff.Pairs) }),
		Undone:   of(func(s stand) float64 { return undone(s.with.standoff) }),
		Wronged:  of(func(s stand) float64 { return float64(s.with.standoff.Wronged) / float64(s.with.standoff.Others) }),
		Backdoor: of(func(s stand) float64 { return s.with.backdoor }), Backdoor0: of(func(s stand) float64 { return s.without.backdoor }),
	}
}

// worse is by which share bits are more than they were; nothing where nothing was measured.
func worse(bits, before float64) float64 {
	if bits == 0 {
		return 0
	}
	return bits/before - 1
}

func undone(s sim.Standoff) float64 {
	return float64(s.Harmful) / float64(max(s.Harmful+s.Folded, 1))
}

func (r *poisonReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%d devices whose users say %s each; without a mesh the honest have %s bits a byte. Mean (least to greatest).\n\n", r.Devices, ui.Bytes(int64(r.Learn)), r.Alone.plain())
	t := ui.NewTable("attack", "hostile", "bits without", "worse", "worse, merged", "untried", "untried, mean", "shunned", "undone", "wronged", "backdoor", "without")
	for _, x := range r.Rows {
		t.Row(x.Attack, x.Hostile, x.Without.plain(), x.Beside.percent(), x.Merged.percent(), x.Control.percent(), x.Plain.percent(), x.Shunned.share(), x.Undone.share(), x.Wronged.share(), x.Backdoor.share(), x.Backdoor0.share())
	}
	return t.Fprint(w)
}

// run runs one mesh to its end. Untried, nothing is ever undone.
func (o poisonOptions) run(ctx context.Context, attack sim.Attack, hostile int, seed uint64, untried bool, done func()) (v outcome, err error) {
	defer done()
	opt := sim.Options{
		Base: base.Pocket(), Talk: 45 * time.Minute, Updates: o.updates, Degree: 6,
		Learning: learning.Config{Sections: 4, Neurons: 8, Rate: 0.003, Rehearse: 1, Recent: 1024, Reservoir: 32},
		Links:    sim.Links{MinDelay: 20 * time.Millisecond, MaxDelay: 400 * time.Millisecond, Loss: 0.02, Bandwidth: 1 << 20},
		Progress: func(time.Duration) error { return context.Cause(ctx) },
	}
	if untried {
		opt.Learning.Harm = 1e9
	}
	users := dataset.Personas(o.devices, seed)
	for i, u := range users {
		d := sim.Device{Name: strings.ReplaceAll(strings.ToLower(u.Name), " ", "-") + fmt.Sprint(i), Skill: "diary", Stream: u.Train[:min(len(u.Train), o.learn)], Held: u.Test}
		if i*hostile/o.devices != (i+1)*hostile/o.devices {
			d.Attack = attack
		} else if o.wander {
			d.Stream = wander(d.Stream, users[((i*hostile/o.devices+1)*o.devices-1)/hostile].Train)
		}
		opt.Devices = append(opt.Devices, d)
	}
	w, err := sim.New(seed, opt)
	if err != nil {
		return v, err
	}
	if err := w.Run(opt.Talk + 5*time.Minute); err != nil {
		return v, err
	}
	if err := w.Calm(); err != nil {
		return v, err
	}
	e := sim.Exam{Texts: 4, Bytes: 300, Likely: !o.gates}
	examine := func(sit func(sim.Exam) (sim.Result, error)) float64 {
		r, failed := sit(e)
		if err == nil {
			err = failed
		}
		return r.Everyone.Bits
	}
	v.standoff = w.Standoff()
	if attack == sim.Silent {
		v.alone = examine(w.Alone)
	}
	v.beside = examine(w.Examine)
	v.backdoor = w.Backdoored()
	if err != nil {
		return v, err
	}
	if _, _, err := w.Merge(learning.Merging{Plain: untried}); err != nil {
		return v, err
	}
	v.merged = examine(w.Examine)
	return v, err
}

// wander is the first half of what a user says, and then as much of the end of what another has to say.
func wander(own, other []byte) []byte {
	half := len(own) / 2
	return append(slices.Clone(own[:half]), other[max(len(other)-half, 0):]...)
}
