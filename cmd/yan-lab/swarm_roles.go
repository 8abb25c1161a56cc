package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/sim"
	"github.com/yanmesh/yan/sim/scenario"
)

type swarmRoles struct {
	devices int
	length  time.Duration
	seeds   int
	seed    uint64
	only    string
	csv     string
	json    bool
}

func swarmRolesCommand() *cobra.Command {
	var o swarmRoles
	c := &cobra.Command{
		Use:   "roles",
		Short: "What each role of Shakespeare knows alone, in the mesh and in one place",
		Long: `roles runs yan-sim's scenario of that name, on the nodes that ship, and tells of every device what it knows at the end: of its own
user's text that nobody learnt from, and of everyone's. In the same world, users teach skills of their own names, or all one skill,
with a central that merges it and without.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.devices, "devices", 64, "devices")
	f.DurationVar(&o.length, "for", time.Hour, "virtual time")
	f.IntVar(&o.seeds, "seeds", 3, "worlds")
	f.Uint64Var(&o.seed, "seed", 1, "the first of them")
	f.StringVar(&o.only, "only", "", "only the worlds that have this in their name")
	f.StringVar(&o.csv, "csv", "", "`FILE` for a line of every role in every world")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// A roleRow is what one device knew at the end, in bits a byte.
type roleRow struct {
	World    string  `json:"world"`
	Way      string  `json:"way"`
	Seed     uint64  `json:"seed"`
	Role     string  `json:"role"`
	Own      float64 `json:"own_bits_per_byte"`
	Everyone float64 `json:"bits_per_byte"`
	Right    float64 `json:"right"` // share of everyone's bytes
}

// A roleCell is one way over all devices and seeds.
type roleCell struct {
	World    string  `json:"world"`
	Way      string  `json:"way"`
	Own      spread  `json:"own_bits_per_byte"` // of the means of seeds
	Everyone spread  `json:"bits_per_byte"`
	Right    spread  `json:"right"`
	Better   spread  `json:"better_than_alone"` // share of the devices that know more of everyone's text than alone
	OwnToo   spread  `json:"own_better_than_alone"`
	Sent     *spread `json:"sent_bytes,omitempty"`
	Seconds  *spread `json:"cpu_seconds,omitempty"` // of the world, without its exams
}

type rolesReport struct {
	Data    string     `json:"data"`
	Devices int        `json:"devices"`
	Seeds   int        `json:"seeds"`
	Cells   []roleCell `json:"cells"`
	Rows    []roleRow  `json:"rows"`
}

// A staging is one way to have roles talk to one another.
type staging struct {
	name, skill, central string
}

var stagings = []staging{
	{"each a skill of their own", "", scenario.NoCentral},
	{"one skill, no central", "shakespeare", scenario.NoCentral},
	{"one skill, merged by centrals", "shakespeare", scenario.GoodCentral},
}

func (o swarmRoles) run(cmd *cobra.Command) error {
	if o.seeds < 1 || o.devices < 2 || o.length < scenario.MinLength {
		return ui.Usage("swarm roles: a seed, two devices and %v at least", scenario.MinLength)
	}
	r := rolesReport{Devices: o.devices, Seeds: o.seeds}
	type cost struct{ sent, seconds []float64 }
	costs := map[string]*cost{}
	for i := range o.seeds {
		for k, s := range stagings {
			if !strings.Contains(s.name, o.only) {
				continue
			}
			began := speed.CPU()
			w, names, note, err := o.stage(cmd, s, o.seed+uint64(i))
			if err != nil {
				return err
			}
			r.Data = note
			c := costs[s.name]
			if c == nil {
				c = &cost{}
				costs[s.name] = c
			}
			c.sent, c.seconds = append(c.sent, float64(w.Sent())/float64(o.devices)), append(c.seconds, (speed.CPU()-began).Seconds())
			rows, err := o.examine(cmd, w, names, s, k == 0 || o.only != "")
			if err != nil {
				return err
			}
			r.Rows = append(r.Rows, rows...)
		}
	}
	if len(r.Rows) == 0 {
		return ui.Usage("swarm roles: no world has %q in its name", o.only)
	}
	r.sum()
	for i := range r.Cells {
		if c := costs[r.Cells[i].World]; c != nil && r.Cells[i].Way == inMesh {
			a, b := over(c.sent), over(c.seconds)
			r.Cells[i].Sent, r.Cells[i].Seconds = &a, &b
		}
	}
	if o.csv != "" {
		if err := r.write(o.csv); err != nil {
			return err
		}
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// stage runs a world to its end.
func (o swarmRoles) stage(cmd *cobra.Command, s staging, seed uint64) (w *sim.World, names []string, note string, err error) {
	sc, err := scenario.Parse("roles", scenario.Builtin("roles"))
	if err != nil {
		return nil, nil, "", err
	}
	sc.Data.Skill, sc.Central.Kind = s.skill, s.central
	m, err := sc.World(o.devices, seed, o.length, bench{})
	if err != nil {
		return nil, nil, "", err
	}
	p := ui.NewProgress(cmd.ErrOrStderr(), fmt.Sprintf("seed %d, %s", seed, s.name), int64(o.length/time.Second), "virtual seconds")
	defer p.Done()
	m.Options.Progress = func(virtual time.Duration) error {
		p.Set(int64(virtual / time.Second))
		return cmd.Context().Err()
	}
	w, err = sim.New(seed, m.Options)
	if err != nil {
		return nil, nil, "", err
	}
	if err := w.Run(o.length); err != nil {
		return nil, nil, "", err
	}
	for _, d := range m.Options.Devices {
		names = append(names, d.Name)
	}
	return w, names, m.Note, w.Calm()
}

const (
	untaughtRole = "untaught"
	aloneRole    = "alone"
	inMesh       = "mesh"
	inOnePlace   = "centralised"
)

// examine asks every device; those that do not talk are asked in one world alone, since they are the same in all.
func (o swarmRoles) examine(cmd *cobra.Command, w *sim.World, names []string, s staging, silent bool) (rows []roleRow, err error) {
	for _, sit := range []struct {
		way string
		ask func(sim.Exam) (sim.Result, error)
	}{{untaughtRole, w.Untaught}, {aloneRole, w.Alone}, {inOnePlace, w.Central}, {inMesh, w.Examine}} {
		if sit.way != inMesh && !silent {
			continue
		}
		e := sim.Exam{Texts: 8, Progress: func(int, int) error { return cmd.Context().Err() }}
		e.Each = func(device int, r sim.Result) {
			rows = append(rows, roleRow{s.name, sit.way, w.Seed(), names[device], r.Own.Bits, r.Everyone.Bits, r.Everyone.Accuracy})
		}
		if _, err := sit.ask(e); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// bench is what scenarios are made of here.
type bench struct{}

func (bench) Base(name string) (*model.Model, error) {
	if name == "embedded" {
		return base.Embedded(), nil
	}
	return base.Pocket(), nil
}

func (bench) Users(n int, seed uint64, d scenario.Data) (u scenario.Users, err error) {
	list, ok := dataset.Roles()
	u.Note = "roles of tiny Shakespeare from the data folder"
	if !ok || len(list) < n {
		list, u.Note = dataset.Personas(n, seed), "generated personas; the roles of tiny Shakespeare are not here (set $YAN_DATA to the data folder)"
	}
	for _, p := range list[:n] {
		u.Each = append(u.Each, scenario.User{
			Name:   strings.ReplaceAll(strings.ToLower(p.Name), " ", "-"),
			Stream: p.Train[:min(len(p.Train), d.Amount)],
			Held:   p.Test,
		})
	}
	return u, nil
}

// sum makes cells of the rows.
func (r *rolesReport) sum() {
	type key struct{ world, way string }
	var keys []key
	alone := map[string]roleRow{}
	for _, row := range r.Rows {
		if k := (key{row.World, row.Way}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
		if row.Way == aloneRole {
			alone[fmt.Sprint(row.Seed, row.Role)] = row
		}
	}
	for _, k := range keys {
		seeds := map[uint64][]roleRow{}
		for _, row := range r.Rows {
			if row.World == k.world && row.Way == k.way {
				seeds[row.Seed] = append(seeds[row.Seed], row)
			}
		}
		of := func(value func(roleRow) float64) spread {
			var v []float64
			for _, rows := range seeds {
				var sum float64
				for _, row := range rows {
					sum += value(row) / float64(len(rows))
				}
				v = append(v, sum)
			}
			slices.Sort(v)
			return over(v)
		}
		better := func(value func(roleRow) float64) func(roleRow) float64 {
			return func(row roleRow) float64 {
				if value(row) < value(alone[fmt.Sprint(row.Seed, row.Role)]) {
					return 1
				}
				return 0
			}
		}
		own, everyone := func(row roleRow) float64 { return row.Own }, func(row roleRow) float64 { return row.Everyone }
		r.Cells = append(r.Cells, roleCell{World: k.world, Way: k.way, Own: of(own), Everyone: of(everyone),
			Right: of(func(row roleRow) float64 { return row.Right }), Better: of(better(everyone)), OwnToo: of(better(own))})
	}
}

// write writes a line of every row.
func (r *rolesReport) write(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	lines := [][]string{{"world", "way", "seed", "role", "own_bits_per_byte", "bits_per_byte", "right"}}
	for _, x := range r.Rows {
		lines = append(lines, []string{x.World, x.Way, fmt.Sprint(x.Seed), x.Role, fmt.Sprintf("%.4f", x.Own), fmt.Sprintf("%.4f", x.Everyone), fmt.Sprintf("%.4f", x.Right)})
	}
	if err := w.WriteAll(lines); err != nil {
		return err
	}
	return f.Close()
}

func (r *rolesReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%d devices, %s\n%d seeds: mean (least to most)\n\n", r.Devices, r.Data, r.Seeds)
	t := ui.NewTable("world", "devices", "everyone's, bits a byte", "own user's", "next byte right", "better than alone", "of their own", "MB sent", "CPU-s")
	for _, c := range r.Cells {
		sent, seconds := "–", "–"
		if c.Sent != nil {
			sent, seconds = c.Sent.mega(), c.Seconds.short(1)
		}
		t.Row(c.World, c.Way, c.Everyone.plain(), c.Own.plain(), percent(c.Right), c.Better.share(), c.OwnToo.share(), sent, seconds)
	}
	return t.Fprint(w)
}
