package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
)

type alignOptions struct {
	devices int
	skills  int
	learn   int
	seeds   int
	seed    uint64
	json    bool
}

func alignCommand() *cobra.Command {
	var o alignOptions
	c := &cobra.Command{
		Use:   "align",
		Short: "What a rotating central is worth: how far apart devices are with one and without",
		Long: `align runs a cell of devices in virtual time, once with a rotating central and once without, and once with nobody hearing of
anybody. The users are generated diarists in groups; those of a group teach one skill under one name, each from what he writes
himself. After all has been said everyone is asked about the same texts, which nobody learnt from.

Spread is the mean difference between two devices on one text; sections the root mean square difference, weight by weight,
between what two devices hold of others under one name, beside that between what two users of a group learnt themselves.
Skills and their bytes are what a device holds in memory.`,
		Example: `  yan-lab align
  yan-lab align --devices 8 --skills 2 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return align(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.devices, "devices", 12, "how many")
	f.IntVar(&o.skills, "skills", 3, "how many groups of users, each with a skill of its name")
	f.IntVar(&o.learn, "learn", 3000, "bytes that each user writes")
	f.IntVar(&o.seeds, "seeds", 3, "how many worlds")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// An alignRow is what one way of being together came to.
type alignRow struct {
	Way      string `json:"way"`
	Bits     spread `json:"bits_per_byte"` // on everyone's texts
	Own      spread `json:"own_bits_per_byte"`
	Accuracy spread `json:"accuracy"`
	ApartB   spread `json:"spread_bits"`
	ApartA   spread `json:"spread_accuracy"`
	Sections spread `json:"spread_sections"`
	Users    spread `json:"spread_own_sections"`
	Banks    spread `json:"skills_per_device"`
	Memory   spread `json:"skill_bytes_per_device"`
	Sent     spread `json:"bytes_sent_per_device"`
	Records  spread `json:"record_bytes_per_device"`
}

var alignWays = []string{"nobody else", "mesh without central", "mesh with central"}

func align(cmd *cobra.Command, o alignOptions) error {
	if o.skills < 1 || o.devices < 2*o.skills || o.learn < 500 || o.seeds < 1 {
		return ui.Usage("--devices %d --skills %d --learn %d --seeds %d: at least two devices for each skill, 500 bytes and one seed",
			o.devices, o.skills, o.learn, o.seeds)
	}
	rows := make([]alignRow, len(alignWays))
	all := make([][]map[string]float64, len(alignWays))
	bar := ui.NewProgress(cmd.ErrOrStderr(), "aligning", int64(o.seeds*len(alignWays)), "worlds")
	defer bar.Done()
	for k := range o.seeds {
		for i := range alignWays {
			v, err := alignWorld(cmd.Context(), o, o.seed+uint64(k), i)
			if err != nil {
				return err
			}
			all[i] = append(all[i], v)
			bar.Set(int64(k*len(alignWays) + i + 1))
		}
	}
	bar.Done()
	for i, way := range alignWays {
		get := func(key string) spread {
			var list []float64
			for _, v := range all[i] {
				list = append(list, v[key])
			}
			return over(list)
		}
		rows[i] = alignRow{way, get("bits"), get("own"), get("accuracy"), get("apart bits"), get("apart accuracy"), get("sections"),
			get("users"), get("banks"), get("memory"), get("sent"), get("records")}
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), rows)
	}
	return printAlign(cmd.OutOrStdout(), rows)
}

// alignUsers are groups of diarists of one town each.
func alignUsers(o alignOptions, seed uint64) (ds []sim.Device) {
	size := o.devices / o.skills
	people := dataset.Personas(o.devices, seed)
	for i := range o.devices {
		group := min(i/size, o.skills-1)
		p := people[i]
		ds = append(ds, sim.Device{
			Name: fmt.Sprintf("user-%d", i), Skill: fmt.Sprintf("diary-%d", group),
			Stream: p.Train[:min(len(p.Train), o.learn)], Held: p.Test,
		})
	}
	return ds
}

func alignWorld(ctx context.Context, o alignOptions, seed uint64, way int) (map[string]float64, error) {
	opt := sim.Options{
		Base: base.Pocket(), Devices: alignUsers(o, seed), Degree: 2 * o.devices, Talk: 20 * time.Minute, Updates: 2,
		Learning: learning.Config{Sections: 4, Neurons: 8, Rate: 0.003, Rehearse: 1, Recent: 256, Reservoir: 32},
		Progress: func(time.Duration) error { return ctx.Err() },
	}
	switch way {
	case 0:
		for i := range opt.Devices {
			opt.Devices[i].Share = "none"
		}
	case 2:
		opt.Exchange.Central = 1
	}
	w, err := sim.New(seed, opt)
	if err != nil {
		return nil, err
	}
	if err := w.Run(22 * time.Minute); err != nil {
		return nil, err
	}
	if err := w.Calm(); err != nil {
		return nil, err
	}
	s, err := w.Spread(sim.Exam{Texts: o.devices, Bytes: 512, Progress: func(int, int) error { return ctx.Err() }})
	if err != nil {
		return nil, err
	}
	n := float64(o.devices)
	records := w.Traffic(protocol.KindAlign).Bytes + w.Traffic(protocol.KindRecord).Bytes
	return map[string]float64{
		"bits": s.Result.Everyone.Bits, "own": s.Result.Own.Bits, "accuracy": s.Result.Everyone.Accuracy,
		"apart bits": s.Bits, "apart accuracy": s.Accuracy, "sections": s.Sections, "users": s.Own,
		"banks": s.Banks, "memory": s.Weights, "sent": float64(w.Sent()) / n, "records": float64(records) / n,
	}, nil
}

func printAlign(w io.Writer, rows []alignRow) error {
	t := ui.NewTable(slices.Concat([]string{""}, alignWays)...)
	line := func(name, format string, scale float64, get func(alignRow) spread) {
		cells := []any{name}
		for _, r := range rows {
			s := get(r)
			one := func(v float64) string { return fmt.Sprintf(format, scale*v) }
			cells = append(cells, fmt.Sprintf("%s (%s to %s)", one(s.Mean), one(s.Min), one(s.Max)))
		}
		t.Row(cells...)
	}
	line("bits a byte, everyone's texts", "%.3f", 1, func(r alignRow) spread { return r.Bits })
	line("bits a byte, own user's", "%.3f", 1, func(r alignRow) spread { return r.Own })
	line("next byte right, %", "%.2f", 100, func(r alignRow) spread { return r.Accuracy })
	line("spread, bits a byte", "%.4f", 1, func(r alignRow) spread { return r.ApartB })
	line("spread, next byte right, %", "%.3f", 100, func(r alignRow) spread { return r.ApartA })
	line("spread, sections of others", "%.5f", 1, func(r alignRow) spread { return r.Sections })
	line("  beside users' own", "%.5f", 1, func(r alignRow) spread { return r.Users })
	line("skills a device", "%.1f", 1, func(r alignRow) spread { return r.Banks })
	line("their bytes", "%.0f", 1, func(r alignRow) spread { return r.Memory })
	line("bytes sent by a device", "%.0f", 1, func(r alignRow) spread { return r.Sent })
	line("  of them records", "%.0f", 1, func(r alignRow) spread { return r.Records })
	return t.Fprint(w)
}
