// Command yan-lab is the researcher's bench: every figure that the project claims about minds is printed by one of
// its subcommands.
package main

import (
	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

func main() { ui.Main(command()) }

func command() *cobra.Command {
	c := &cobra.Command{
		Use:   "yan-lab",
		Short: "Measure how minds learn, keep and forget",
		Long: `yan-lab repeats the experiments behind the figures in docs/benchmarks.md, each with the baselines beside it. Whatever
is random comes from --seed.`,
		Example: `  # what is gained and what is forgotten, by every way to learn
  yan-lab forgetting --course far

  # who works harder on hard input
  yan-lab hardness --json

  # what learning saves on a stream, and what is recalled of what was said once
  yan-lab stream --keep text:tinyshakespeare/input.txt
  yan-lab facts

  # digits in five tasks of two, spoken digits, movements of people nobody met before
  yan-lab digits`,
		Version: ui.Version(),
	}
	c.AddCommand(arenaCommand(), digitsCommand(), soundsCommand(), motionsCommand(), forgettingCommand(), ablateCommand(), hardnessCommand(), streamCommand(), factsCommand(), growthCommand(), optimizersCommand(), localCommand(), squeezeCommand(), alignCommand(), canaryCommand(), mergeCommand(), poisonCommand(), gossipRateCommand(), swarmCommand(), scaleCommand())
	return c
}
