// Command yan-sim runs many devices in virtual time under one seed, with the code that ships, and tells
// what they know of everyone's data: each alone, all in the mesh, and in one place.
package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/sim/scenario"
)

type options struct {
	devices    int
	scenario   string
	seed       uint64
	length     time.Duration
	list       bool
	show       string
	schema     bool
	json       bool
	out        string
	transcript string
	until      uint64
	storm      int
	minimise   string
	save       string
	saveEvery  time.Duration
	resume     string
}

func main() { ui.Main(command()) }

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "yan-sim",
		Short: "Run many devices in virtual time under one seed",
		Long: `yan-sim runs many devices with the code that ships; only the clock, chance and the wire are simulated. Each
device learns from one user, shares that skill with the mesh and takes in the others', while links lose
messages, devices crash and the mesh divides. Then the storm ends, and everyone has to agree.

Worlds are described by scenarios: built-in ones (--list) or files of your own (--show NAME prints one to begin
from, --schema what may stand in it, and docs/scenarios.md explains it).

What is measured is text or examples that nobody has seen: devices are asked about those of users drawn from
all. "alone" are the same devices without a mesh, "centralised" is one mind that hears every user itself and
has as much room as all of them together.

One seed is one transcript, byte for byte. The first law that is broken ends the run and tells its seed. An
interrupt ends it with what was measured so far.`,
		Example: `  # 100 devices for an hour of virtual time, as a table
  yan-sim --devices 100 --scenario roles --seed 1

  # a smaller world as JSON, with a report, figures and every event written down
  yan-sim --devices 12 --seed 7 --for 10m --json --out out/sim --transcript out/sim7.txt

  # a world of your own
  yan-sim --show commuters > mine.yaml
  yan-sim --scenario mine.yaml

  # a thousand random worlds in which every law has to hold
  yan-sim --storm 1000`,
		Version: ui.Version(),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c, o) },
	}
	f := c.Flags()
	f.IntVar(&o.devices, "devices", 0, fmt.Sprintf("how many devices, %d to %d (default as the scenario says)", scenario.MinDevices, scenario.MaxDevices))
	f.StringVar(&o.scenario, "scenario", "roles", "a built-in scenario (see --list), or the YAML `FILE` of one")
	f.Uint64Var(&o.seed, "seed", 1, "all chance comes from here")
	f.DurationVar(&o.length, "for", 0, "virtual time that the storm takes (default as the scenario says)")
	f.BoolVar(&o.list, "list", false, "list the built-in scenarios, one a line")
	f.StringVar(&o.show, "show", "", "print the YAML of the built-in scenario `NAME`")
	f.BoolVar(&o.schema, "schema", false, "print the JSON schema of scenarios")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	f.StringVar(&o.out, "out", "", "write report.html, its figures as CSV and JSON, and transcript.txt into this folder")
	f.StringVar(&o.transcript, "transcript", "", "write a line for each event into this file")
	f.Uint64Var(&o.until, "until", 0, "end after so many events, as a broken law says to see it again")
	f.StringVar(&o.minimise, "minimise", "", "if a law is broken, make the world smaller as long as it is, and write it as `FILE`.yaml")
	f.StringVar(&o.save, "save", "", "write the world into this `FILE` now and then, and when it is interrupted")
	f.DurationVar(&o.saveEvery, "save-every", 10*time.Minute, "virtual time between two saves; each is a power cut for every device")
	f.StringVar(&o.resume, "resume", "", "go on from a `FILE` that was saved, with what was asked for then")
	c.MarkFlagsMutuallyExclusive("resume", "scenario")
	c.MarkFlagsMutuallyExclusive("resume", "devices")
	c.MarkFlagsMutuallyExclusive("resume", "seed")
	c.MarkFlagsMutuallyExclusive("resume", "for")
	f.IntVar(&o.storm, "storm", 0, "play so many small random worlds, with all that can go wrong, until a law is broken")
	return c
}

// load reads the scenario that is asked for, and fills in what the command line leaves to it. saved is the world that it goes on
// from, if it does.
func (o *options) load() (s *scenario.Scenario, yaml []byte, saved *os.File, err error) {
	if o.resume != "" {
		saved, yaml, err = o.openSaved()
	} else {
		yaml, err = o.read()
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if s, err = scenario.Parse(o.scenario, yaml); err != nil {
		err = ui.Usage("%w", err)
	} else {
		o.devices, o.length = cmp.Or(o.devices, s.Devices), cmp.Or(o.length, s.Length)
		err = o.check()
	}
	if err != nil && saved != nil {
		saved.Close()
	}
	return s, yaml, saved, err
}

// read returns the YAML of the scenario that is asked for.
func (o *options) read() ([]byte, error) {
	if yaml := scenario.Builtin(o.scenario); yaml != nil {
		return yaml, nil
	}
	if !strings.ContainsAny(o.scenario, "./\\") {
		return nil, ui.Usage("--scenario %q: there is %s; a file of your own is named with its ending, as mine.yaml", o.scenario, strings.Join(scenario.Names(), ", "))
	}
	return readScenario(o.scenario)
}

func readScenario(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, ui.Usage("--scenario %s: %w: check the name, or take one of --list", path, err)
	}
	if info.Size() > scenario.MaxBytes || info.IsDir() {
		return nil, ui.Usage("--scenario %s: this is no file of at most %s: name the YAML of a scenario", path, ui.Bytes(scenario.MaxBytes))
	}
	return os.ReadFile(path)
}

func (o options) check() error {
	switch {
	case o.devices < scenario.MinDevices || o.devices > scenario.MaxDevices:
		return ui.Usage("--devices %d: must lie between %d and %d", o.devices, scenario.MinDevices, scenario.MaxDevices)
	case o.saveEvery < time.Second:
		return ui.Usage("--save-every %v: must be a second of virtual time at least", o.saveEvery)
	case o.length < scenario.MinLength || o.length > scenario.MaxLength:
		return ui.Usage("--for %v: must lie between %v and %v", o.length, scenario.MinLength, scenario.MaxLength)
	}
	return nil
}

// print prints what does not run a world, and reports whether that was asked for.
func (o options) print(c *cobra.Command) (asked bool, err error) {
	switch {
	case o.storm < 0 || o.storm > mostWorlds:
		return true, ui.Usage("--storm %d: must lie between 1 and %d", o.storm, mostWorlds)
	case o.list:
		t := ui.NewTable("scenario", "what happens")
		for _, name := range scenario.Names() {
			s, err := scenario.Parse(name, scenario.Builtin(name))
			if err != nil {
				return true, err
			}
			t.Row(name, s.About)
		}
		return true, t.Fprint(c.OutOrStdout())
	case o.schema:
		_, err := c.OutOrStdout().Write(scenario.Schema())
		return true, err
	case o.show != "":
		b := scenario.Builtin(o.show)
		if b == nil {
			return true, ui.Usage("--show %q: there is %s", o.show, strings.Join(scenario.Names(), ", "))
		}
		_, err := c.OutOrStdout().Write(b)
		return true, err
	}
	return false, nil
}
