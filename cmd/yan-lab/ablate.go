package main

import (
	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/learning"
)

func ablateCommand() *cobra.Command {
	var o forgettingOptions
	c := &cobra.Command{
		Use:   "ablate",
		Short: "What each mechanism of learning adds to the gain and takes from the forgetting",
		Long: `ablate has devices learn a course as forgetting does, each with one mechanism switched off, and prints what is gained on the
new and lost on the old without it; of full fine-tuning's, which has none of them. Rows that begin with – are the row above
that does not, less something; rows that begin with + have something more.

Skills are named in the first part: the owner says what belongs to a lesson. In the second nothing is named, as on a device that
reads along, with the fast layer.`,
		Example: `  # three seeds, contexts one after the other and in turn
  yan-lab ablate --config slim --train 600000

  # what the gates are for, as JSON
  yan-lab ablate --config slim --train 600000 --mode interleaved --method likelihood,budget --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return o.run(cmd, baselines[:1], ablations)
		},
	}
	o.flags(c, "far")
	return c
}

// tooFast is how many times the rate that was chosen is one that does harm.
const tooFast = 30

// ablations are what a device is without one of its mechanisms.
var ablations = []schooling{
	{name: "named", views: []view{
		{name: "ours", reads: byLikelihood},
		{name: "– likelihood: by gates alone", reads: gated},
		{name: "– average: the last weights", last: true, reads: byLikelihood},
		{name: "– gates, likelihood: always open", reads: forced},
		{name: "– likelihood, firing budget", gate: &learning.GateConfig{Firing: 1, Way: 1e-9}, reads: gated},
		{name: "– likelihood, the third of the way", gate: &learning.GateConfig{Way: 1e-9}, reads: gated},
		{name: "– likelihood, home", gate: &learning.GateConfig{Home: 1}, reads: gated},
	}},
	{name: "said", said: true, views: []view{{name: "+ every utterance rehearsed", reads: byLikelihood}}},
	{name: "memory", memory: true, config: withFast, views: []view{
		{name: "nothing named", reads: aside},
		{name: "– average", last: true, reads: aside},
	}},
	{name: "no fast layer", memory: true, views: []view{{name: "– fast layer", reads: byLikelihood}}},
	{name: "no skill", memory: true, config: func(c *learning.Config) { c.Fast, c.MaxSkills = 0, -1 }, views: []view{{name: "– skill: the fast layer alone", reads: aside}}},
	{name: "untested", memory: true, config: func(c *learning.Config) { c.Fast, c.Untested = 0, true }, views: []view{{name: "– accept test", reads: aside}}},
	{name: "everywhere", memory: true, config: func(c *learning.Config) { c.Fast, c.Infancy = 0, 1<<30 }, views: []view{{name: "– where to write: all into one", reads: aside}}},
	{name: "too fast", memory: true, speed: tooFast, config: withFast, views: []view{{name: "+ a rate 30 times too high", reads: aside}}},
	{name: "too fast, untested", memory: true, speed: tooFast, config: func(c *learning.Config) { c.Fast, c.Untested = 0, true }, views: []view{{name: "+ the same, – accept test", reads: aside}}},
}

func withFast(c *learning.Config) { c.Fast = 0 }
