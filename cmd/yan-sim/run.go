package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
	"github.com/yanmesh/yan/sim/scenario"
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
	Devices  int     `json:"devices"`
	Scenario string  `json:"scenario"`
	Data     string  `json:"data"`
	Virtual  float64 `json:"virtual_seconds"`
	Wall     float64 `json:"wall_seconds"`
	Events   uint64  `json:"events"`
	Sent     uint64  `json:"bytes_sent_per_device"`
	Kinds    kinds   `json:"bytes_by_kind"` // of all devices together
	Accuracy trio    `json:"accuracy"`
	Bits     trio    `json:"bits_per_byte"`
	OwnBits  trio    `json:"own_bits_per_byte"` // on the device's own user

	OwnAccuracy trio       `json:"own_accuracy"`
	Groups      []grouped  `json:"groups,omitempty"`          // of the scenario, and the others behind them
	Standoff    *standoff  `json:"standoff,omitempty"`        // of honest and hostile devices, if there are any
	Spreading   *spreading `json:"first_teacher,omitempty"`   // of the skill of the only device that was taught something
	Shows       string     `json:"shows"`                     // the scenario's sentence
	Interrupted bool       `json:"interrupted,omitempty"`     // it ended early, and mesh is the last sample
	Resumed     float64    `json:"resumed_seconds,omitempty"` // virtual time at which it went on; what is counted over time begins there

	Laws       []lawHeld `json:"laws"`
	Seed       uint64    `json:"seed"`
	Transcript string    `json:"transcript_sha256"`

	// What a report says besides.
	text     bool   // users speak, and do not show examples
	sentence string // what the scenario shows
	command  string // that runs it again
	settings string // of the scenario
	failed   string // why it ended early, if it did
	seen     *chronicle
}

const (
	leastSteps      = 120 // in which the storm runs, after each of which it is noted what was sent
	mostCentralised = 300 // devices that speak, for which it is measured what one mind would know
)

func run(c *cobra.Command, o options) error {
	if asked, err := o.print(c); asked {
		return err
	}
	if o.storm > 0 {
		return storm(c, o)
	}
	sc, yaml, saved, err := o.load()
	if err != nil {
		return err
	}
	if saved != nil {
		defer saved.Close()
	}
	world, err := sc.World(o.devices, o.seed, o.length, source{})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "using %s\n", world.Note)

	if o.out != "" {
		if err := os.MkdirAll(o.out, 0o755); err != nil {
			return fmt.Errorf("--out %s: %w: name another folder", o.out, err)
		}
	}
	script, err := o.openTranscript()
	if err != nil {
		return err
	}
	defer script.close()

	s := summary{Devices: o.devices, Scenario: sc.Name, Data: world.Note, Seed: o.seed, text: !sc.Data.Examples()}
	s.command, s.settings = o.command(), string(yaml)
	began := time.Now()
	r := running{ctx: c.Context(), stderr: c.ErrOrStderr(), o: o, sc: sc, groups: world.Groups, opt: world.Options, s: &s}
	if saved != nil {
		r.saved = saved
	}
	r.opt.Transcript, r.opt.Until = script, o.until
	failed := r.simulate()
	s.Wall = time.Since(began).Seconds()
	if err := script.close(); err != nil {
		return fmt.Errorf("the transcript was not written: %w", err)
	}
	s.Transcript = script.sum()

	var broken *sim.Broken
	switch {
	case failed == nil:
	case errors.Is(failed, sim.ErrUntil):
		s.Interrupted, failed = true, nil
	case c.Context().Err() != nil:
		s.Interrupted = true
		failed = context.Cause(c.Context())
	case errors.As(failed, &broken):
		failed = again(o, failed)
		if o.minimise != "" {
			failed = errors.Join(failed, r.minimise(broken))
		}
		s.failed = failed.Error()
	default:
		return failed
	}
	for _, l := range world.Options.Laws {
		s.Laws = append(s.Laws, lawHeld{l.Name, broken == nil || broken.Law != l.Name})
	}
	s.Spreading = r.lead.spreading()
	s.sentence = sc.Sentence(s.figures(world.Options, r.lead))
	s.Shows = s.sentence
	if o.out != "" {
		if err := writeReport(o.out, s); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "report: %s\n", filepath.Join(o.out, "report.html"))
	}
	if o.json {
		return errors.Join(ui.JSON(c.OutOrStdout(), s), failed)
	}
	if failed != nil && !s.Interrupted {
		return failed
	}
	return errors.Join(s.print(c.OutOrStdout(), ui.Width(c.OutOrStdout()), ui.HasColour(c.OutOrStdout())), failed)
}

// again adds to an error how to see it again.
func again(o options, err error) error {
	var b *sim.Broken
	if errors.As(err, &b) {
		return fmt.Errorf("%w; to see it again: %s --until %d --transcript FILE", err, o.command(), b.Event)
	}
	return fmt.Errorf("%w; to see it again: %s --transcript FILE", err, o.command())
}

// command is what runs the same world.
func (o options) command() string {
	return fmt.Sprintf("yan-sim --devices %d --scenario %s --seed %d --for %v", o.devices, o.scenario, o.seed, o.length)
}

// A running is a world on its way, and what is told of it.
type running struct {
	ctx    context.Context
	stderr io.Writer
	o      options
	sc     *scenario.Scenario
	groups []int // of each device: an index of the scenario's, or −1
	opt    sim.Options
	s      *summary
	lead   *lead
	saved  io.Reader // the world that it goes on from; nil if it begins
}

// simulate runs the world through storm and calm, and has everyone examined.
func (r *running) simulate() error {
	s := r.s
	s.seen, r.lead = newChronicle(r.opt.Devices, r.o.length), newLead(r.opt.Devices)
	r.opt.Watch = func(m sim.Moment) {
		s.seen.watch(m)
		r.lead.watch(m)
	}
	bar := ui.NewProgress(r.stderr, "simulating", int64(r.o.length/time.Second), "virtual seconds")
	defer func() { bar.Done() }()
	var w *sim.World
	began := time.Now()
	r.opt.Progress = func(virtual time.Duration) error {
		bar.Note(ui.Count(int64(float64(w.Events())/max(time.Since(began).Seconds(), 1))) + " events/s")
		bar.Set(int64(virtual / time.Second))
		return r.ctx.Err()
	}
	w, err := r.begin()
	if err != nil {
		return err
	}
	defer r.tell(w)
	if err := r.storm(w); err != nil {
		if r.o.save != "" && r.ctx.Err() != nil {
			err = errors.Join(err, r.save(w))
		}
		return err
	}
	if err := w.Calm(); err != nil {
		return err
	}
	s.seen.sample(w)
	bar.Done()
	return r.examine(w)
}

// tell writes down what can be said of a world at any time.
func (r *running) tell(w *sim.World) {
	s := r.s
	s.Virtual, s.Events, s.Sent = w.Now().Seconds(), w.Events(), w.Sent()/uint64(r.o.devices)
	s.Kinds = kinds{}
	for k := protocol.KindHello; k < 16; k++ {
		if t := w.Traffic(k); k <= protocol.KindAnswer || t.Bytes > 0 { // what every mesh says, and what else this one did
			s.Kinds[k.String()] = t.Bytes
		}
	}
	s.Standoff = standoffOf(w, r.opt.Devices)
	if n := len(s.seen.points); n > 0 && s.Accuracy.Mesh == 0 { // it ended early: the last sample has to do
		p := s.seen.points[n-1]
		s.Accuracy.Mesh, s.Bits.Mesh, s.OwnBits.Mesh = p.accuracy.Mean, p.bits.Mean, p.own.Mean
	}
}

// storm runs it, and asks a sample of the devices now and then.
func (r *running) storm(w *sim.World) error {
	points := r.sc.Exam.Points
	every := (leastSteps + points - 1) / points
	next := w.Now() + r.o.saveEvery
	for k := range points * every {
		d := r.o.length*time.Duration(k+1)/time.Duration(points*every) - w.Now()
		if d <= 0 {
			continue // that was before it was saved
		}
		if r.o.save != "" && w.Now() >= next {
			if err := r.save(w); err != nil {
				return err
			}
			next = w.Now() + r.o.saveEvery
		}
		if err := w.Run(d); err != nil {
			return err
		}
		r.s.seen.sample(w)
		if k%every != every-1 {
			continue
		}
		if err := r.s.seen.examine(w, sim.Exam{Devices: 16, Texts: 4, Bytes: 384, Likely: !r.sc.Exam.Gates}); err != nil {
			return err
		}
	}
	return nil
}

// examine asks what everyone knows in the end, and would know otherwise.
func (r *running) examine(w *sim.World) error {
	s := r.s
	for _, step := range []struct {
		name string
		ask  func(sim.Exam) (sim.Result, error)
		to   func(*trio) *float64
	}{
		{"the mesh", w.Examine, func(t *trio) *float64 { return &t.Mesh }},
		{"untaught", w.Untaught, func(t *trio) *float64 { return &t.Untaught }},
		{"alone", w.Alone, func(t *trio) *float64 { return &t.Alone }},
		{"centralised", w.Central, func(t *trio) *float64 { return &t.Centralised }},
	} {
		if step.name == "centralised" && (!r.sc.Exam.Centralised || s.text && r.o.devices > mostCentralised) {
			continue
		}
		var p *ui.Progress
		e := sim.Exam{Devices: r.sc.Exam.Devices, Texts: r.sc.Exam.Texts, Bytes: r.sc.Exam.Bytes, Likely: !r.sc.Exam.Gates}
		e.Progress = func(done, total int) error {
			if p == nil {
				p = ui.NewProgress(r.stderr, "examining "+step.name, int64(total), "steps")
			}
			p.Set(int64(done))
			return r.ctx.Err()
		}
		if step.name == "the mesh" {
			s.Groups = groupsOf(r.sc)
			e.Each = func(device int, result sim.Result) { s.group(r.groups[device]).add(result) }
		}
		result, err := step.ask(e)
		if p != nil {
			p.Done()
		}
		if err != nil {
			return err
		}
		*step.to(&s.Accuracy), *step.to(&s.Bits), *step.to(&s.OwnBits) = result.Everyone.Accuracy, result.Everyone.Bits, result.Own.Bits
		*step.to(&s.OwnAccuracy) = result.Own.Accuracy
	}
	return nil
}

// A transcript is hashed as it is written, and goes into as many files as are asked for.
type transcript struct {
	*bufio.Writer
	hash  hash.Hash
	files []*os.File
}

func (o options) openTranscript() (*transcript, error) {
	t := &transcript{hash: sha256.New()}
	to := []io.Writer{t.hash}
	open := func(flag, path string) error {
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("%s %s: %w: name another place", flag, path, err)
		}
		t.files, to = append(t.files, f), append(to, f)
		return nil
	}
	if o.transcript != "" {
		if err := open("--transcript", o.transcript); err != nil {
			return nil, err
		}
	}
	if o.out != "" {
		if err := open("--out", filepath.Join(o.out, "transcript.txt")); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	t.Writer = bufio.NewWriterSize(io.MultiWriter(to...), 1<<16)
	return t, nil
}

// close makes sure of what was written. It may be called again.
func (t *transcript) close() (err error) {
	if t.Writer != nil {
		err = t.Flush()
	}
	for _, f := range t.files {
		err = errors.Join(err, f.Close())
	}
	t.files = nil
	return err
}

func (t *transcript) sum() string { return hex.EncodeToString(t.hash.Sum(nil)) }
