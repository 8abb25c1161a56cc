package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/sense"
)

// maxPrompt bounds what is read of a prompt.
const maxPrompt = 16 << 20

// completeCommand prints how the mind goes on from a prompt.
func completeCommand(c *common) *cobra.Command {
	var prompt string
	var most int
	var warmth float64
	var seed uint64
	var line bool
	cmd := &cobra.Command{
		Use:   "complete --prompt TEXT | -",
		Short: "Print how the device would go on from a prompt",
		Long: `complete prints how the device's mind goes on from a prompt, as it comes. The prompt is read at the
beginning of a stream of its own: nothing is learnt from it, and the owner's stream does not notice.`,
		Example: `  yan-node complete --prompt "my coffee is" --line
  yan-node complete - --max 500 --temperature 0.8 --seed 7 < letter.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			given := cmd.Flags().Changed("prompt")
			switch {
			case len(args) > 1 || len(args) == 1 && args[0] != "-":
				return ui.Usage("complete: write the prompt behind --prompt, or - for stdin")
			case len(args) == 1 && given:
				return ui.Usage("complete: --prompt and - are two prompts")
			case len(args) == 0 && !given:
				return ui.Usage("complete: no prompt: write --prompt TEXT, or - for stdin")
			case most < 1:
				return ui.Usage("complete: --max %d: write 1 or more", most)
			case !(warmth >= 0) || math.IsInf(warmth, 0):
				return ui.Usage("complete: --temperature %v: write 0 or more", warmth)
			}
			if len(args) == 1 {
				prompt = "-"
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := []byte(prompt)
			if prompt == "-" {
				var err error
				if text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxPrompt+1)); err != nil {
					return fmt.Errorf("complete: stdin: %w", err)
				}
				if len(text) > maxPrompt {
					return fmt.Errorf("complete: the prompt has more than %d bytes: write a shorter one", maxPrompt)
				}
			}
			d, err := c.open(cmd, device.Options{})
			if err != nil {
				return err
			}
			defer d.Close()
			return complete(cmd.Context(), cmd.OutOrStdout(), c.json, d.Node.Learner(), text, most, line, newSampler(warmth, seed))
		},
	}
	cmd.Flags().StringVar(&prompt, "prompt", "", "what to go on from; - reads it from stdin")
	cmd.Flags().IntVar(&most, "max", 200, "how many bytes to print at most")
	cmd.Flags().Float64Var(&warmth, "temperature", 0.5, "how daring the choice of each byte is; 0 takes the likeliest")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "seed of all chance")
	cmd.Flags().BoolVar(&line, "line", false, "end with the line")
	return cmd
}

// prompted is the thought that a text leads to at the beginning of a stream. A newline comes first: a stream does not begin
// in the middle of a line. Skills open by their gates, as in any stream that is not the owner's own.
func prompted(l *learning.Learner, text []byte) *learning.Aside {
	a := l.AsideOf(l.Settled())
	a.Surprise(sense.Text(append([]byte{'\n'}, text...)))
	return a
}

func complete(ctx context.Context, out io.Writer, asJSON bool, l *learning.Learner, prompt []byte, most int, line bool, by *sampler) error {
	a := prompted(l, prompt)
	var v *voice
	if ui.IsTerminal(out) {
		v = &voice{w: out} // nothing that moves a cursor
	}
	var said []byte
	var failed error
	began := time.Now()
	speak(a, by, func(b byte) bool {
		if len(said) == most || line && b == '\n' || ctx.Err() != nil {
			return false
		}
		said = append(said, b)
		switch {
		case asJSON:
		case v != nil:
			v.say(b)
			failed = v.err
		default:
			_, failed = out.Write(said[len(said)-1:])
		}
		return failed == nil
	})
	switch {
	case failed != nil:
		return fmt.Errorf("complete: %w", failed)
	case ctx.Err() != nil:
		return ctx.Err()
	case asJSON:
		took := time.Since(began).Seconds()
		return ui.JSON(out, map[string]any{
			"prompt": string(prompt), "completion": string(said), "events": len(said), "events_per_second": float64(len(said)) / took,
		})
	case v != nil:
		v.rest()
	}
	_, err := io.WriteString(out, "\n")
	return err
}
