package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/sim"
	"github.com/yanmesh/yan/sim/scenario"
)

// saveMagic begins a file that --resume reads. Behind it are the length of what was asked for, as JSON, that itself, and the world.
const saveMagic = "yan-sim world 1\n"

// mostAsked bounds what was asked for, with its YAML.
const mostAsked = 2 * scenario.MaxBytes

// An asked is what was asked for when a world was saved, so that it goes on with that.
type asked struct {
	Scenario string        `json:"scenario"` // as the command line had it
	YAML     []byte        `json:"yaml"`
	Devices  int           `json:"devices"`
	Seed     uint64        `json:"seed"`
	Length   time.Duration `json:"nanoseconds"`
}

// head is what a file begins with.
func (a asked) head() ([]byte, error) {
	b, err := json.Marshal(a)
	head := binary.LittleEndian.AppendUint32([]byte(saveMagic), uint32(len(b)))
	return append(head, b...), err
}

// save writes the world such that --resume goes on from there.
func (r *running) save(w *sim.World) error {
	o := r.o
	head, err := asked{o.scenario, []byte(r.s.settings), o.devices, o.seed, o.length}.head()
	if err != nil {
		return err
	}
	err = ui.WriteFileFrom(o.save, func(to io.Writer) error {
		b := bufio.NewWriterSize(to, 1<<20)
		if _, err := b.Write(head); err != nil {
			return err
		}
		if err := w.Save(b); err != nil {
			return err
		}
		return b.Flush()
	})
	if err != nil {
		return fmt.Errorf("--save %s: %w: name another place", o.save, err)
	}
	return nil
}

var errNotSaved = errors.New("this is no world that was saved with --save, or it is damaged: name another file")

// readAsked reads what was asked for, and leaves r where the world begins.
func readAsked(r io.Reader) (a asked, err error) {
	head := make([]byte, len(saveMagic)+4)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(saveMagic)]) != saveMagic {
		return a, errNotSaved
	}
	size := binary.LittleEndian.Uint32(head[len(saveMagic):])
	if size > mostAsked {
		return a, errNotSaved
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return a, errNotSaved
	}
	if err := json.Unmarshal(b, &a); err != nil || len(a.YAML) > scenario.MaxBytes {
		return a, errNotSaved
	}
	return a, nil
}

// openSaved opens the file that --resume names, and takes over what was asked for then.
func (o *options) openSaved() (f *os.File, yaml []byte, err error) {
	if f, err = os.Open(o.resume); err != nil {
		return nil, nil, ui.Usage("--resume %s: %w: name a file that was saved with --save", o.resume, err)
	}
	a, err := readAsked(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("--resume %s: %w", o.resume, err)
	}
	o.scenario, o.devices, o.seed, o.length = a.Scenario, a.Devices, a.Seed, a.Length
	return f, a.YAML, nil
}

// begin makes the world, or one that goes on from where it was saved.
func (r *running) begin() (*sim.World, error) {
	if r.saved == nil {
		return sim.New(r.o.seed, r.opt)
	}
	w, err := sim.Resume(bufio.NewReaderSize(r.saved, 1<<20), r.opt)
	if err != nil {
		return nil, fmt.Errorf("--resume %s: %w", r.o.resume, err)
	}
	r.s.Resumed = w.Now().Seconds()
	return w, nil
}
