package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
)

const (
	trainSuffix = ".train"     // where the training stands
	curveSuffix = ".train.csv" // its loss so far
	plotSuffix  = ".png"

	lineInterval = 5 * time.Second // between two lines of progress in a log
)

// A result is what a training came to.
type result struct {
	Out            string    `json:"out"`
	Parameters     int       `json:"parameters"`
	BytesSeen      int64     `json:"bytes_seen"`
	Seconds        float64   `json:"seconds"` // of this run, which may have begun with --resume
	BytesPerSecond float64   `json:"bytes_per_second"`
	HeldOut        []heldOut `json:"held_out"`
	ActiveShare    float64   `json:"active_share"` // over all held-out data
}

type heldOut struct {
	Data        string  `json:"data"`
	BitsPerByte float64 `json:"bits_per_byte"`
	ActiveShare float64 `json:"active_share"`
	Bytes       int     `json:"bytes"`
}

// restore goes on with a stopped training where --resume asks for it, and keeps one from being lost where
// it does not.
func (t *training) restore() error {
	path := t.out + trainSuffix
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && t.resume:
		return fmt.Errorf("%s: no such file, so there is no training to resume: leave out --resume to begin one", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s: cannot be read: %w: check the file", path, bare(err))
	case !t.resume:
		return fmt.Errorf("%s: a training was stopped here: go on with --resume, or remove that file to begin anew", path)
	}
	err = t.trainer.Restore(b)
	switch {
	case errors.Is(err, learning.ErrOtherTraining):
		return fmt.Errorf("%s: %w: give the config, data and flags that it was begun with, or remove it to begin anew", path, err)
	case err != nil:
		return fmt.Errorf("%s: %w: it is damaged: remove it to begin anew", path, err)
	}
	fmt.Fprintf(t.stderr, "going on at %s of %s\n", ui.Bytes(t.trainer.Seen), ui.Bytes(t.config.Bytes))
	return nil
}

// run trains to the end, or until ctx is done; what was learnt until then is kept.
func (t *training) run(ctx context.Context) error {
	curve := readCurve(t.out+curveSuffix, t.trainer.Seen, t.config.Bytes)
	fmt.Fprintf(t.stderr, "%s parameters, %s to see\n", ui.Count(int64(t.trainer.Model().Parameters())), ui.Bytes(max(t.config.Bytes-t.trainer.Seen, 0)))
	start, from := time.Now(), t.trainer.Seen
	defer t.trainer.Close()
	if err := t.train(ctx, curve); err != nil {
		return err
	}
	r := result{Out: t.out, BytesSeen: t.trainer.Seen, Seconds: time.Since(start).Seconds()}
	if r.Seconds > 0 {
		r.BytesPerSecond = float64(t.trainer.Seen-from) / r.Seconds
	}

	// The state is saved, and goes last: a stop anywhere below costs no more than doing this again.
	m, err := t.trainer.Finish(t.half)
	if err != nil {
		return err
	}
	r.Parameters = m.Parameters()
	var file bytes.Buffer
	if err := m.Write(&file, t.half, t.notes); err != nil {
		return err
	}
	if err := replace(t.out, file.Bytes()); err != nil {
		return err
	}
	if err := t.measure(ctx, m, &r); err != nil {
		fmt.Fprintf(t.stderr, "%s is whole, and was not measured to the end: --resume does that again\n", t.out)
		return err
	}
	if err := curve.draw(t.out + plotSuffix); err != nil {
		return err
	}
	for _, suffix := range []string{trainSuffix, curveSuffix} {
		if err := os.Remove(t.out + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: cannot be removed: %w: remove it, it is not needed any more", t.out+suffix, bare(err))
		}
	}
	return t.print(r)
}

// train takes steps until all bytes are seen, and saves where it stands on the way and at the end.
func (t *training) train(ctx context.Context, curve *curve) error {
	var bar *ui.Progress
	if ui.IsTerminal(t.stderr) {
		bar = ui.NewProgress(t.stderr, "train", t.config.Bytes, "B")
		defer bar.Done()
		bar.Set(t.trainer.Seen)
	}
	start, from := time.Now(), t.trainer.Seen
	saved, said := start, start
	for !t.trainer.Done() {
		if ctx.Err() != nil {
			if err := t.save(curve); err != nil {
				return err
			}
			if bar != nil {
				bar.Done()
			}
			fmt.Fprintf(t.stderr, "stopped at %s of %s, which %s holds: go on with --resume\n",
				ui.Bytes(t.trainer.Seen), ui.Bytes(t.config.Bytes), t.out+trainSuffix)
			return ctx.Err()
		}
		s := t.trainer.Step()
		curve.add(t.trainer.Seen, s)
		now := time.Now()
		if bar != nil {
			bar.Set(t.trainer.Seen)
		} else if now.Sub(said) >= lineInterval {
			said = now
			fmt.Fprintln(t.stderr, t.line(curve, float64(t.trainer.Seen-from)/now.Sub(start).Seconds()))
		}
		if now.Sub(saved) >= t.saveEvery {
			saved = now
			if err := t.save(curve); err != nil {
				return err
			}
		}
		if t.step != nil {
			t.step(t.trainer.Seen)
		}
	}
	return t.save(curve)
}

// line says how far the training is.
func (t *training) line(c *curve, rate float64) string {
	seen, total := t.trainer.Seen, t.config.Bytes
	left := time.Duration(float64(max(total-seen, 0)) / rate * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("train: %s of %s (%d %%), %.3f bits a byte, %s/s, %s left",
		ui.Bytes(seen), ui.Bytes(total), 100*seen/total, c.recent(), ui.Bytes(int64(rate)), ui.Duration(left))
}

// replace puts b into a file, all of it or nothing.
func replace(path string, b []byte) error {
	if err := ui.WriteFile(path, b); err != nil {
		return fmt.Errorf("%s: cannot be written: %w: make room, or check the folder", path, bare(err))
	}
	return nil
}

// save keeps where the training stands. The curve goes first: what it has beyond the state is dropped.
func (t *training) save(c *curve) error {
	if err := replace(t.out+curveSuffix, c.csv()); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.trainer.Save(&b); err != nil {
		return err
	}
	return replace(t.out+trainSuffix, b.Bytes())
}

// measure evaluates m on what was held out of each data set. Where nothing was, the active share is that
// of the beginning of the data.
func (t *training) measure(ctx context.Context, m *model.Model, r *result) error {
	r.HeldOut = []heldOut{}
	var total int64
	for _, s := range t.sets {
		total += int64(len(s.held))
	}
	bar := ui.NewProgress(t.stderr, "measure", max(total, 1), "B")
	defer bar.Done()
	var done int64
	stop := func(n int) bool {
		bar.Set(done + int64(n))
		return ctx.Err() != nil
	}
	events := 0
	for _, s := range t.sets {
		if len(s.held) < 2 {
			continue // nothing to predict
		}
		e := learning.Evaluate(m, s.held, stop)
		r.HeldOut = append(r.HeldOut, heldOut{s.arg, e.Bits, e.Active, len(s.held)})
		r.ActiveShare += e.Active * float64(e.Events)
		events += e.Events
		done += int64(len(s.held))
	}
	if events > 0 {
		r.ActiveShare /= float64(events)
	} else {
		text := t.sets[0].train
		r.ActiveShare = learning.Evaluate(m, text[:min(len(text), 64<<10)], stop).Active
	}
	return ctx.Err()
}

// print tells the result: as JSON on stdout, or as a table there.
func (t *training) print(r result) error {
	text := t.stdout
	if t.json {
		text = t.stderr
	}
	fmt.Fprintf(text, "%s: %s parameters, %s seen, %s/s, %.1f %% of sections active\n",
		r.Out, ui.Count(int64(r.Parameters)), ui.Bytes(r.BytesSeen), ui.Bytes(int64(r.BytesPerSecond)), 100*r.ActiveShare)
	if len(r.HeldOut) > 0 {
		table := ui.NewTable("held out", "bits a byte", "active", "bytes")
		for _, h := range r.HeldOut {
			table.Row(h.Data, fmt.Sprintf("%.4f", h.BitsPerByte), fmt.Sprintf("%.4f", h.ActiveShare), h.Bytes)
		}
		if err := table.Fprint(text); err != nil {
			return err
		}
	}
	if t.json {
		return ui.JSON(t.stdout, r)
	}
	return nil
}
