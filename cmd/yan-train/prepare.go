package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
)

// options are the flags as they were given.
type options struct {
	config, out   string
	optimizer     string
	data, notes   []string
	bytes         int64
	holdout       float64
	resume, half  bool
	json          bool
	seed          uint64
	rate, dropout float64
	batch, window int
	saveEvery     time.Duration
}

const defaultSaveEvery = time.Minute

// presets are the configs that have a name.
var presets = map[string]learning.TrainConfig{
	"small":  {Model: model.Small(), Bytes: 1_500_000, Batch: 8, Rate: 0.003, Window: 128},
	"base":   {Model: model.Base(), Bytes: 16_000_000, Batch: 16, Rate: 0.0025, Dropout: 0.05},
	"pocket": {Model: model.Pocket(), Bytes: 3_000_000, Batch: 8, Rate: 0.004},
	"tiny":   {Model: model.Tiny(), Bytes: 3_000_000, Batch: 8, Rate: 0.006, Survey: 640},
}

// A set is one data argument, cut in two.
type set struct {
	arg         string
	train, held []byte
}

// A training is a command line understood: what to train on what, and where it goes.
type training struct {
	options
	config         learning.TrainConfig
	sets           []set // each argument once
	trainer        *learning.Trainer
	notes          map[string]string
	step           func(seen int64)
	stdout, stderr io.Writer
}

// prepare understands a command line, reads the data and makes sure that the result can be written, so
// that whatever is wrong is said before hours have gone into it.
func prepare(cmd *cobra.Command, o options) (*training, error) {
	t := &training{options: o, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
	var err error
	if t.config, err = readConfig(o, cmd.Flags()); err != nil {
		return nil, err
	}
	if !(o.holdout >= 0 && o.holdout < 1) {
		return nil, ui.Usage("--holdout %v: must be 0 or more and less than 1", o.holdout)
	}
	if o.saveEvery <= 0 {
		return nil, ui.Usage("--save-every %v: must be more than nothing", o.saveEvery)
	}
	if o.out == "" {
		return nil, ui.Usage("--out names no file")
	}
	if t.notes, err = readNotes(o.notes); err != nil {
		return nil, err
	}
	if err := checkOut(o.out); err != nil {
		return nil, err
	}
	sources, err := t.open()
	if err != nil {
		return nil, err
	}
	if t.trainer, err = learning.NewTrainer(t.config, sources); err != nil {
		return nil, err
	}
	t.config = t.trainer.Config()
	t.notes["data"] = strings.Join(portable(t.names(sources)), ", ")
	t.notes["command"] = t.commandLine(cmd)
	return t, t.restore()
}

// flags tells which flags were given.
type flags interface{ Changed(name string) bool }

// readConfig takes the preset or file that --config names, and the flags that were given over it.
func readConfig(o options, given flags) (learning.TrainConfig, error) {
	c, ok := presets[o.config]
	if !ok {
		b, err := os.ReadFile(o.config)
		if errors.Is(err, fs.ErrNotExist) {
			return c, ui.Usage("--config %s: no such file, and no preset: there are small, base, pocket and tiny", o.config)
		} else if err != nil {
			return c, fmt.Errorf("--config %s: cannot be read: %w: name a JSON file", o.config, bare(err))
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			return c, ui.Usage("--config %s: %w: it must be a JSON object with the fields of learning.TrainConfig", o.config, err)
		}
		if _, err := d.Token(); err != io.EOF {
			return c, ui.Usage("--config %s: more than one JSON object: remove what follows the first", o.config)
		}
	}
	for name, set := range map[string]func(){
		"bytes":   func() { c.Bytes = o.bytes },
		"seed":    func() { c.Seed = o.seed },
		"rate":    func() { c.Rate = o.rate },
		"dropout": func() { c.Dropout = o.dropout },
		"batch":   func() { c.Batch = o.batch },
		"window":  func() { c.Window = o.window },

		"optimizer": func() { c.Optimizer = o.optimizer },
	} {
		if given.Changed(name) {
			set()
		}
	}
	return c, checkConfig(c, given)
}

// checkConfig says what of a config cannot be, in the words of the flags. A zero in a file stands for the
// default; on the command line it is what was asked for.
func checkConfig(c learning.TrainConfig, given flags) error {
	number := func(name string, v, least, most int) error {
		if v == 0 && !given.Changed(name) {
			return nil
		}
		if v < least || v > most {
			return ui.Usage("%s %d: must be %d to %d", name, v, least, most)
		}
		return nil
	}
	switch {
	case c.Bytes < 1:
		return ui.Usage("bytes %d: must be at least 1", c.Bytes)
	case !(c.Rate > 0 && c.Rate <= 1) && (c.Rate != 0 || given.Changed("rate")):
		return ui.Usage("rate %v: must be more than 0 and at most 1", c.Rate)
	case !slices.Contains([]string{"", "adam", "sgd", "muon"}, c.Optimizer):
		return ui.Usage("optimizer %q: there are adam, sgd and muon", c.Optimizer)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return ui.Usage("dropout %v: must be 0 or more and less than 1", c.Dropout)
	}
	if err := c.Model.Check(); err != nil {
		return ui.Usage("%w", err)
	}
	return errors.Join(number("batch", c.Batch, 1, 4096), number("window", c.Window, 1, 1<<16))
}

// readNotes splits key=value. What the program itself notes cannot be given.
func readNotes(list []string) (map[string]string, error) {
	notes := map[string]string{}
	for _, n := range list {
		k, v, ok := strings.Cut(n, "=")
		switch {
		case !ok || k == "":
			return nil, ui.Usage("--note %q: must be key=value", n)
		case k == "data" || k == "command":
			return nil, ui.Usage("--note %q: %s is noted by the program: take another key", n, k)
		case notes[k] != "":
			return nil, ui.Usage("--note %q: there is one of that key: write all of it into one", n)
		}
		notes[k] = v
	}
	return notes, nil
}

// checkOut tries whether a file can be written where the result will go.
func checkOut(out string) error {
	if info, err := os.Stat(out); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("--out %s: it is there and no file: name another", out)
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".part-*")
	if err != nil {
		return fmt.Errorf("--out %s: cannot be written: %w: name a file in a folder of yours", out, bare(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// open reads every data argument, says what it is, and returns the sources in the order given.
func (t *training) open() (sources []learning.Source, err error) {
	args := t.data
	if len(args) == 0 {
		args = []string{"shipped:corpus"}
		fmt.Fprintln(t.stderr, "no --data: training on the corpus that the project generates")
	}
	for _, arg := range args {
		at := slices.IndexFunc(t.sets, func(s set) bool { return s.arg == arg })
		if at < 0 {
			d, err := dataset.Open(arg)
			if err != nil {
				return nil, err
			}
			if d.Kind != dataset.Text {
				d.Shuffle()
			}
			train, held := d.Split(t.holdout)
			at = len(t.sets)
			t.sets = append(t.sets, set{arg, train.Bytes(), held.Bytes()})
			s := t.sets[at]
			fmt.Fprintf(t.stderr, "%s: %s; %s to train on, %s held out\n", arg, d.Note, ui.Bytes(int64(len(s.train))), ui.Bytes(int64(len(s.held))))
			if len(s.train) < 2 {
				return nil, fmt.Errorf("--data %s: %d bytes to train on are too few: name a longer file, or lower --holdout", arg, len(s.train))
			}
		}
		sources = append(sources, learning.Source{Name: arg, Text: t.sets[at].train})
	}
	return sources, nil
}

func (t *training) names(sources []learning.Source) (names []string) {
	for _, s := range sources {
		names = append(names, s.Name)
	}
	return names
}

// portable takes from data arguments where their files lie on this machine.
func portable(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		if kind, path, ok := strings.Cut(a, ":"); ok {
			out[i] = kind + ":" + portablePath(path)
		}
	}
	return out
}

func portablePath(path string) string {
	if filepath.IsLocal(path) {
		return filepath.ToSlash(path)
	}
	return filepath.Base(path)
}

// commandLine is how the model was made, for its notes: the flags that have a part in the result.
func (t *training) commandLine(cmd *cobra.Command) string {
	line := []string{"yan-train"}
	add := func(name, value string) { line = append(line, "--"+name, quote(value)) }
	if _, preset := presets[t.options.config]; preset {
		add("config", t.options.config)
	} else {
		add("config", portablePath(t.options.config))
	}
	for _, d := range portable(t.data) {
		add("data", d)
	}
	for _, name := range []string{"bytes", "holdout", "seed", "rate", "dropout", "batch", "window"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			add(name, f.Value.String())
		}
	}
	if t.half {
		line = append(line, "--half")
	}
	return strings.Join(line, " ")
}

// quote makes a word of a command line safe to paste.
func quote(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool { return strings.ContainsRune(" \t\n'\"\\$`*?#;&|<>()[]{}!~", r) }) {
		return strconv.Quote(word)
	}
	return word
}

// bare drops the operation and path that package os puts before the reason.
func bare(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
