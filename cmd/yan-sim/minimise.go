package main

import (
	"fmt"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/sim"
)

// mostTries is how many smaller worlds are played.
const mostTries = 400

// minimise makes the world that broke a law smaller, and writes what is left as a scenario.
func (r *running) minimise(broken *sim.Broken) error {
	bar := ui.NewProgress(r.stderr, "making it smaller", -1, "looks")
	defer bar.Done()
	opt := r.opt
	opt.Progress = func(time.Duration) error {
		bar.Add(1)
		return r.ctx.Err()
	}
	small, left, steps, err := sim.Minimise(r.o.seed, opt, broken, mostTries)
	if err != nil {
		return fmt.Errorf("--minimise: %w", err)
	}
	sc, err := r.sc.Explicit(small, left.Storm)
	if err != nil {
		return fmt.Errorf("--minimise: %w", err)
	}
	if err := ui.WriteFile(r.o.minimise, sc.YAML()); err != nil {
		return fmt.Errorf("--minimise %s: %w: name another place", r.o.minimise, err)
	}
	bar.Done()
	_, err = fmt.Fprintf(r.stderr, "a smaller world breaks this law too, of weight %d and not %d, after %d tries: yan-sim --scenario %s --seed %d\n",
		small.Weight(), r.opt.Weight(), len(steps), r.o.minimise, r.o.seed)
	return err
}
