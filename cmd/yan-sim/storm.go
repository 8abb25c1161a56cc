package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/sim"
)

// mostWorlds bounds how many random worlds one command tries.
const mostWorlds = 10_000_000

// A tempest is the JSON document of --storm.
type tempest struct {
	Worlds  int     `json:"worlds"` // that were played to their end
	First   uint64  `json:"first_seed"`
	Devices int     `json:"devices"` // in all of them together
	Virtual float64 `json:"virtual_seconds"`
	Wall    float64 `json:"wall_seconds"`
	Events  uint64  `json:"events"`

	Interrupted bool   `json:"interrupted,omitempty"`
	Broken      string `json:"broken,omitempty"` // what ended it, with the seed
}

// storm plays random worlds until a law is broken or all have been played.
func storm(c *cobra.Command, o options) error {
	t := tempest{First: o.seed}
	began := time.Now()
	bar := ui.NewProgress(c.ErrOrStderr(), "storm", int64(o.storm), "worlds")
	defer func() { bar.Done() }()
	var failed error
	for failed == nil && t.Worlds < o.storm {
		if failed = t.play(c.Context(), o.seed+uint64(t.Worlds)); failed == nil {
			t.Worlds++
			bar.Set(int64(t.Worlds))
		}
	}
	bar.Done()
	t.Wall = time.Since(began).Seconds()
	if c.Context().Err() != nil {
		t.Interrupted = true
		failed = context.Cause(c.Context())
	} else if failed != nil {
		failed = fmt.Errorf("%w; to see it again: yan-sim --storm 1 --seed %d", failed, o.seed+uint64(t.Worlds))
		t.Broken = failed.Error()
	}
	if o.json {
		return errors.Join(ui.JSON(c.OutOrStdout(), t), failed)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s random worlds with %s devices and %s events, seeds %d and on: %s of virtual time in %s\n",
		ui.Count(int64(t.Worlds)), ui.Count(int64(t.Devices)), ui.Count(int64(t.Events)), t.First,
		ui.Duration(time.Duration(t.Virtual*float64(time.Second))), ui.Duration(time.Duration(t.Wall*float64(time.Second))))
	if failed == nil && err == nil {
		_, err = fmt.Fprintln(c.OutOrStdout(), "every law held in all of them")
	}
	return errors.Join(err, failed)
}

// play plays one.
func (t *tempest) play(ctx context.Context, seed uint64) error {
	opt := sim.Storm(seed)
	opt.Progress = func(time.Duration) error { return ctx.Err() }
	w, err := sim.New(seed, opt)
	if err != nil {
		return err
	}
	if err := errors.Join(ctx.Err(), w.Play(opt.StormFor())); err != nil {
		return err
	}
	t.Devices += len(opt.Devices)
	t.Virtual += w.Now().Seconds()
	t.Events += w.Events()
	return nil
}
