// Command yan-sim runs many devices in virtual time under one seed, with the code that ships, and tells
// what they know of everyone's data: each alone, all in the mesh, and in one place.
package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

type options struct {
	devices    int
	scenario   string
	seed       uint64
	length     time.Duration
	list       bool
	json       bool
	out        string
	transcript string
}

const (
	minDevices = 4
	maxDevices = 300 // each holds what all others taught, so memory grows with the square: 100 take 2 GB
	minLength  = time.Minute
	maxLength  = 30 * 24 * time.Hour
)

func main() { ui.Main(command()) }

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "yan-sim",
		Short: "Run many devices in virtual time under one seed",
		Long: `yan-sim runs many devices with the code that ships; only the clock, chance and the wire are simulated. Each
device learns from one user, shares that skill with the mesh and takes in the others', while links lose
messages, devices crash and the mesh divides. Then the storm ends, and everyone has to agree.

What is measured is text that nobody has seen: every device is asked about the texts of users drawn from
all. "alone" are the same devices without a mesh, "centralised" is one mind that hears every user itself and
has as much room as all of them together.

One seed is one transcript, byte for byte. The first law that is broken ends the run and tells its seed.`,
		Example: `  # 100 devices for an hour of virtual time, as a table
  yan-sim --devices 100 --scenario roles --seed 1

  # a smaller world as JSON, with a report, figures and every event written down
  yan-sim --devices 12 --seed 7 --for 10m --json --out out/sim --transcript out/sim7.txt`,
		Version: ui.Version(),
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return run(c, o) },
	}
	f := c.Flags()
	f.IntVar(&o.devices, "devices", 100, fmt.Sprintf("how many devices, %d to %d", minDevices, maxDevices))
	f.StringVar(&o.scenario, "scenario", "roles", "who the users are (see --list)")
	f.Uint64Var(&o.seed, "seed", 1, "all chance comes from here")
	f.DurationVar(&o.length, "for", time.Hour, "virtual time that the storm takes")
	f.BoolVar(&o.list, "list", false, "list the built-in scenarios, one a line")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	f.StringVar(&o.out, "out", "", "write report.html, results.csv, result.json and transcript.txt into this folder")
	f.StringVar(&o.transcript, "transcript", "", "write a line for each event into this file")
	return c
}

func (o options) check() error {
	switch {
	case o.devices < minDevices || o.devices > maxDevices:
		return ui.Usage("--devices %d: must lie between %d and %d", o.devices, minDevices, maxDevices)
	case o.length < minLength || o.length > maxLength:
		return ui.Usage("--for %v: must lie between %v and %v", o.length, minLength, maxLength)
	}
	for _, s := range scenarios {
		if s.name == o.scenario {
			return nil
		}
	}
	return ui.Usage("--scenario %q: there is %s", o.scenario, strings.Join(names(), ", "))
}
