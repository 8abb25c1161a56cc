package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
)

// benchFlags say how much to measure.
type benchFlags struct {
	quick bool
	full  bool
}

// plan is what to measure.
func (f *benchFlags) plan() speed.Plan {
	if f.quick {
		return speed.Quick()
	}
	p := speed.Full()
	if f.full {
		for i := range p.Shapes {
			p.Shapes[i].Far = 0
		}
	}
	return p
}

// benchCommand measures what the machine can do. planned makes a plan of the flags.
func benchCommand(c *common, planned func(*benchFlags) speed.Plan) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [--model FILE]",
		Short: "Measure how fast this machine thinks and learns",
		Long: `bench measures what this machine can do with the base model, and with random weights in the shapes of 15 and
110 million parameters: how many bytes a second it reads and predicts at several places of a stream, reads ahead
and learns, how fast it trains a base, and what share of the processor's peak that is. Beside each figure stands what
other programs reach with as many parameters on the machine that is named there. It takes up to two minutes and
2 GB of memory; no home is opened, and nothing is kept.`,
		Example: `  yan-node bench
  yan-node bench --quick --model novel.safetensors --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.quick && f.full {
				return ui.Usage("--quick and --full: write one of them")
			}
			name, m := "embedded base", (*model.Model)(nil)
			if c.model == "" {
				m = base.Embedded()
			} else {
				var err error
				if m, err = device.OpenModel(c.model); err != nil {
					return fmt.Errorf("bench: %w: name a checkpoint, or leave --model out for the embedded one", err)
				}
				name = filepath.Base(c.model)
			}
			var p *ui.Progress
			r, err := speed.Run(cmd.Context(), planned(&f), name, m, func(done, total int) {
				if p == nil {
					p = ui.NewProgress(cmd.ErrOrStderr(), "measuring", int64(total), "segments")
				}
				p.Set(int64(done))
			})
			if p != nil {
				p.Done()
			}
			show := printBench
			if c.json {
				show = func(w io.Writer, r *speed.Report) error { return ui.JSON(w, r) }
			}
			if failed := show(cmd.OutOrStdout(), r); failed != nil {
				return failed
			}
			return err // of whoever stopped it: what was measured until then is printed
		},
	}
	cmd.Flags().BoolVar(&f.quick, "quick", false, "some seconds: neither the largest model nor far places of the stream")
	cmd.Flags().BoolVar(&f.full, "full", false, "half a minute more: the largest model at the furthest place of the stream, too")
	return cmd
}
