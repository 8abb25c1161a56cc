// Command yan-train trains a base model from data: what a device knows on its first day.
//
// It saves where it stands as it goes, so that a training which was stopped, by Ctrl-C or by a power
// cut, goes on to the same file to the byte.
package main

import (
	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

func main() { ui.Main(command(nil)) }

const example = `  # The pocket model on the texts that the project generates, then on two texts of your own:
  yan-train --config pocket --out pocket.safetensors
  yan-train --config base --data text:novel.txt --data tsv:orders.tsv --out base.safetensors --half \
      --note licence="novel: public domain; orders: CC0"

  # Stopped with Ctrl-C or by a power cut? The same command goes on with --resume:
  yan-train --config pocket --out pocket.safetensors --resume`

// command is the command line. step, if not nil, is called after every step of a training.
func command(step func(seen int64)) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "yan-train --out FILE [--config small|base|pocket|tiny|FILE] [--data kind:path]...",
		Short: "Train a base model from data",
		Long: `Train a base model from scratch, from texts of your own or from those that the project generates.

The model goes to FILE, its loss curve to FILE.png. While it is trained, what is needed to go on lies in
FILE.train and FILE.train.csv, which are removed at the end.

Data is named as kind:path, and may be repeated:
  text:FILE    the bytes of a file
  lines:FILE   one utterance a line
  tsv:FILE     label<TAB>text, further columns ignored
A file named twice is read twice in each pass over the data. The end of each file is held out to
measure on; utterances (lines:, tsv:) are shuffled first, always into the same order.

A config is a preset or a JSON file with the fields of learning.TrainConfig, the model's shape among
them. Flags win over it.`,
		Example: example,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := prepare(cmd, o)
			if err != nil {
				return err
			}
			t.step = step
			return t.run(cmd.Context())
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.config, "config", "small", "small, base, pocket, tiny, or a JSON `FILE`")
	f.StringArrayVar(&o.data, "data", nil, "what to train on, as `kind:path`; without it, what the project generates")
	f.StringVar(&o.out, "out", "", "the `FILE` that the model goes to")
	f.Int64Var(&o.bytes, "bytes", 0, "bytes to see in all, repeats counted")
	f.Float64Var(&o.holdout, "holdout", 0.1, "share of each data set, at its end, to measure on")
	f.BoolVar(&o.resume, "resume", false, "go on with the training that was stopped")
	f.BoolVar(&o.half, "half", false, "store 16 bits a number instead of 32")
	f.Uint64Var(&o.seed, "seed", 0, "where all chance comes from")
	f.Float64Var(&o.rate, "rate", 0, "peak learning rate")
	f.StringVar(&o.optimizer, "optimizer", "adam", "adam, sgd or muon; a rate of its own belongs to each")
	f.Float64Var(&o.dropout, "dropout", 0, "share of each branch's features silenced")
	f.IntVar(&o.batch, "batch", 0, "streams read side by side")
	f.IntVar(&o.window, "window", 0, "bytes of each stream in a step")
	f.StringArrayVar(&o.notes, "note", nil, "`key=value` to keep in the file, as its licence; may be repeated")
	f.DurationVar(&o.saveEvery, "save-every", defaultSaveEvery, "time between two saves of where the training stands")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	if err := c.MarkFlagRequired("out"); err != nil {
		panic(err)
	}
	return c
}
