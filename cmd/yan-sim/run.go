package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
)

// A trio is one figure of the three ways to learn, and of not learning at all.
type trio struct {
	Untaught    float64 `json:"untaught"`
	Alone       float64 `json:"alone"`
	Mesh        float64 `json:"mesh"`
	Centralised float64 `json:"centralised"`
}

// kinds are bytes by the kind of message.
type kinds map[string]uint64

type lawHeld struct {
	Name string `json:"name"`
	Held bool   `json:"held"`
}

// A summary is the JSON document. Of a run that a broken law ended, accuracy and bits are zero.
type summary struct {
	Devices    int       `json:"devices"`
	Scenario   string    `json:"scenario"`
	Data       string    `json:"data"`
	Virtual    float64   `json:"virtual_seconds"`
	Wall       float64   `json:"wall_seconds"`
	Events     uint64    `json:"events"`
	Sent       uint64    `json:"bytes_sent_per_device"`
	Kinds      kinds     `json:"bytes_by_kind"` // of all devices together
	Accuracy   trio      `json:"accuracy"`
	Bits       trio      `json:"bits_per_byte"`
	OwnBits    trio      `json:"own_bits_per_byte"` // on the device's own user
	Laws       []lawHeld `json:"laws"`
	Seed       uint64    `json:"seed"`
	Transcript string    `json:"transcript_sha256"`

	// What a report says besides.
	sentence string // what the scenario shows
	command  string // that runs it again
	settings string // of the scenario
	seen     *chronicle
}

const (
	points = 20 // of the curve
	steps  = 6  // between two of them, after each of which it is noted what was sent
)

func run(c *cobra.Command, o options) error {
	if o.list {
		t := ui.NewTable("scenario", "users")
		for _, s := range scenarios {
			t.Row(s.name, s.about)
		}
		return t.Fprint(c.OutOrStdout())
	}
	if err := o.check(); err != nil {
		return err
	}
	opt, note := world(o)
	fmt.Fprintf(c.ErrOrStderr(), "using %s\n", note)

	if o.out != "" {
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return fmt.Errorf("--out %s: %w: name another folder", o.out, err)
		}
	}
	hash := sha256.New()
	to := []io.Writer{hash}
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	open := func(flag, path string) error {
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("%s %s: %w: name another place", flag, path, err)
		}
		files, to = append(files, f), append(to, f)
		return nil
	}
	if o.transcript != "" {
		if err := open("--transcript", o.transcript); err != nil {
			return err
		}
	}
	if o.out != "" {
		if err := open("--out", filepath.Join(o.out, "transcript.txt")); err != nil {
			return err
		}
	}
	lines := bufio.NewWriterSize(io.MultiWriter(to...), 1<<16)
	opt.Transcript = lines

	s := summary{Devices: o.devices, Scenario: o.scenario, Data: note, Seed: o.seed}
	s.command = o.command()
	var devices []string
	for _, d := range opt.Devices {
		devices = append(devices, d.Name)
	}
	s.seen = newChronicle(devices, o.length)
	opt.Watch = s.seen.watch
	began := time.Now()
	failed := simulate(c.Context(), c.ErrOrStderr(), o, opt, &s)
	s.Wall = time.Since(began).Seconds()
	if err := lines.Flush(); err != nil {
		return fmt.Errorf("the transcript was not written: %w", err)
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			return fmt.Errorf("the transcript was not written: %w", err)
		}
	}
	files = nil
	s.Transcript = hex.EncodeToString(hash.Sum(nil))

	var broken *sim.Broken
	if failed != nil {
		if c.Context().Err() != nil {
			return context.Cause(c.Context())
		}
		if !errors.As(failed, &broken) {
			return failed
		}
		failed = again(o, failed)
	}
	for _, l := range sim.Laws() {
		s.Laws = append(s.Laws, lawHeld{l.Name, broken == nil || broken.Law != l.Name})
	}
	if o.out != "" && failed == nil {
		if err := writeReport(o.out, s); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "report: %s\n", filepath.Join(o.out, "report.html"))
	}
	if o.json {
		return errors.Join(ui.JSON(c.OutOrStdout(), s), failed)
	}
	if failed != nil {
		return failed
	}
	return s.print(c.OutOrStdout())
}

// again adds to an error how to see it again.
func again(o options, err error) error {
	return fmt.Errorf("%w; to see it again: %s --transcript FILE", err, o.command())
}

// command is what runs the same world.
func (o options) command() string {
	return fmt.Sprintf("yan-sim --devices %d --scenario %s --seed %d --for %v", o.devices, o.scenario, o.seed, o.length)
}

// simulate runs the world through storm and calm, and has everyone examined.
func simulate(ctx context.Context, stderr io.Writer, o options, opt sim.Options, s *summary) error {
	bar := ui.NewProgress(stderr, "simulating", int64(o.length/time.Second), "virtual seconds")
	defer func() { bar.Done() }()
	opt.Progress = func(virtual time.Duration) error {
		bar.Set(int64(virtual / time.Second))
		return ctx.Err()
	}
	w, err := sim.New(o.seed, opt)
	if err != nil {
		return err
	}
	tell := func() {
		s.Virtual, s.Events, s.Sent = w.Now().Seconds(), w.Events(), w.Sent()/uint64(o.devices)
		s.Kinds = kinds{}
		for k := protocol.KindHello; k <= protocol.KindAnswer; k++ {
			s.Kinds[k.String()] = w.Traffic(k).Bytes
		}
	}
	defer tell()
	for k := range points * steps {
		if err := w.Run(o.length*time.Duration(k+1)/(points*steps) - w.Now()); err != nil {
			return err
		}
		s.seen.sample(w)
		if k%steps != steps-1 {
			continue
		}
		if err := s.seen.examine(w, sim.Exam{Devices: 16, Texts: 4, Bytes: 384}); err != nil {
			return err
		}
	}
	if err := w.Calm(); err != nil {
		return err
	}
	s.seen.sample(w)
	bar.Done()

	for _, step := range []struct {
		name string
		ask  func(sim.Exam) (sim.Result, error)
		to   func(*trio) *float64
	}{
		{"the mesh", w.Examine, func(t *trio) *float64 { return &t.Mesh }},
		{"alone", w.Alone, func(t *trio) *float64 { return &t.Alone }},
		{"centralised", w.Central, func(t *trio) *float64 { return &t.Centralised }},
		{"untaught", w.Untaught, func(t *trio) *float64 { return &t.Untaught }},
	} {
		var p *ui.Progress
		r, err := step.ask(sim.Exam{Texts: 8, Progress: func(done, total int) error {
			if p == nil {
				p = ui.NewProgress(stderr, "examining "+step.name, int64(total), "steps")
			}
			p.Set(int64(done))
			return ctx.Err()
		}})
		if p != nil {
			p.Done()
		}
		if err != nil {
			return err
		}
		*step.to(&s.Accuracy), *step.to(&s.Bits), *step.to(&s.OwnBits) = r.Everyone.Accuracy, r.Everyone.Bits, r.Own.Bits
	}
	return nil
}

func (s summary) print(w io.Writer) error {
	fmt.Fprintf(w, "%d devices, scenario %s, seed %d: %s of virtual time in %s, %s events, %s sent by each\n\n", s.Devices, s.Scenario, s.Seed,
		ui.Duration(time.Duration(s.Virtual*float64(time.Second))), ui.Duration(time.Duration(s.Wall*float64(time.Second))),
		ui.Count(int64(s.Events)), ui.Bytes(int64(s.Sent)))
	t := ui.NewTable("devices", "next byte right", "bits a byte", "own user")
	row := func(name string, get func(trio) float64) {
		t.Row(name, fmt.Sprintf("%.2f %%", 100*get(s.Accuracy)), fmt.Sprintf("%.4f", get(s.Bits)), fmt.Sprintf("%.4f", get(s.OwnBits)))
	}
	row("untaught", func(t trio) float64 { return t.Untaught })
	row("alone", func(t trio) float64 { return t.Alone })
	row("in the mesh", func(t trio) float64 { return t.Mesh })
	row("centralised", func(t trio) float64 { return t.Centralised })
	if err := t.Fprint(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, l := range s.Laws {
		word := "held"
		if !l.Held {
			word = "BROKEN"
		}
		fmt.Fprintf(w, "%-6s  %s\n", word, l.Name)
	}
	_, err := fmt.Fprintf(w, "\ntranscript sha256 %s\n", s.Transcript)
	return err
}
