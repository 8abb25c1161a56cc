// Package device opens a home: the folder that holds one device's identity and mind.
//
// A [Device] is the store of that folder and the node that stood in it when it was closed, or killed:
// the last snapshot with the journal replayed on top. [Device.Start] has the node run, alone or on a
// mesh, and [Device.Do] carries the owner's jobs to it; what a job changed is on the disk when Do returns.
// Between Open and Start the node may be read by whoever opened it, and by nobody else.
//
// The package knows no command line and prints nothing; what the owner should hear goes to the log as a
// warning, and every error is one line that says what to do.
package device

import (
	"context"
	crypto "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
)

// Options says which home to open and how the node in it behaves. Only Home is needed.
type Options struct {
	Home      string          // the folder; what it lacks is made
	ModelFile string          // a checkpoint to stand on. If empty, the embedded base
	Model     *model.Model    // the base itself, in the place of ModelFile
	Swarm     string          // the swarm to which the mesh is closed; empty for none
	Share     node.Share      // what may leave the device. If empty, nothing but skills shared one by one
	Agent     string          // what it calls itself to peers
	Learning  learning.Config // how it learns; Seed is derived from the identity

	// PublishEvery is how many events a shared skill learns between two announcements. If zero, the
	// node's own.
	PublishEvery uint64

	// Central is what share of the turns at being central the node takes, beside the shares of others. If zero, none.
	Central uint8

	Log *slog.Logger // If nil, nothing is logged
}

// mergeFrom is how many authors have to teach a skill before a device that is central has their versions merged: with fewer,
// merging costs more than the room that it saves is worth.
const mergeFrom = 8

// A Device is an open home.
type Device struct {
	Home  string
	Store *store.Store
	Node  *node.Node

	// Journal is where the node keeps what it learns: the Store, unless it was replaced before Start.
	Journal node.Journal

	found  []string // what was wrong when it was opened
	log    *slog.Logger
	runner *node.Runner
	cancel context.CancelFunc
	ended  chan struct{} // closed when Run has returned
	err    error         // what it returned; to be read once ended is closed
}

// Open opens a home and brings its node to where it stood. Nobody else can open it until Close.
func Open(opt Options) (*Device, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	m, err := opt.model()
	if err != nil {
		return nil, err
	}
	if err := checkHome(opt.Home); err != nil {
		return nil, err
	}
	st, err := store.Open(opt.Home, store.Options{Format: node.Format})
	if err != nil {
		return nil, err
	}
	d := &Device{Home: opt.Home, Store: st, Journal: st, log: opt.Log, runner: node.NewRunner()}
	if err := d.open(opt, m); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return d, nil
}

func (d *Device) open(opt Options, m *model.Model) error {
	if err := d.anchor(m, opt.ModelFile); err != nil {
		return err
	}
	key := d.Store.Key()
	seed := sha256.Sum256(append([]byte("yan: what a device's chance comes from\n"), key.Seed()...))
	opt.Learning.Archive = d.Store
	c := node.Config{
		Key: key, Seed: binary.LittleEndian.Uint64(seed[:]), Agent: opt.Agent, Share: opt.Share, Swarm: opt.Swarm, Chance: chance(),
		Learning: opt.Learning, PublishEvery: opt.PublishEvery, Log: opt.Log,
	}
	c.Exchange.Central = opt.Central
	c.Exchange.MergeFrom = mergeFrom
	var err error
	if d.Node, err = node.New(c, m); err != nil {
		return err
	}
	snap, err := d.snapshot()
	if err != nil {
		return err
	}
	return node.Start(d.Node, d.Store, snap, d.replay)
}

// chance is a source that nobody can foresee: noise from any other hides nothing.
func chance() *rand.Rand {
	var seed [32]byte
	crypto.Read(seed[:]) // it never fails
	return rand.New(rand.NewChaCha8(seed))
}

// checkHome refuses what cannot be a home in words that name it.
func checkHome(home string) error {
	info, err := os.Stat(home)
	switch {
	case home == "":
		return errors.New("device: no home: name a folder with --home")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("device: home %s: %w", home, err)
	case !info.IsDir():
		return fmt.Errorf("device: home %s is a file: name a folder with --home", home)
	}
	return nil
}

// maxModel bounds what is read of a checkpoint: four bytes for each of the most parameters there may be.
const maxModel = 1<<30 + 64<<20

// model is the base that the home is to stand on.
func (opt Options) model() (*model.Model, error) {
	switch {
	case opt.Model != nil:
		return opt.Model, nil
	case opt.ModelFile == "":
		return base.Embedded(), nil
	}
	m, err := OpenModel(opt.ModelFile)
	if err != nil {
		return nil, fmt.Errorf("device: %w: name a checkpoint, or leave --model out for the embedded one", err)
	}
	return m, nil
}

// OpenModel reads the checkpoint of that name. Its weights stay in the file, which is mapped into memory.
func OpenModel(name string) (*model.Model, error) {
	bad := func(err error) (*model.Model, error) {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("cannot use the model %s: %w", name, err)
	}
	f, err := os.Open(name)
	if err != nil {
		return bad(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return bad(err)
	case info.IsDir():
		return bad(errors.New("it is a directory"))
	case !info.Mode().IsRegular():
		return bad(errors.New("it is not a regular file"))
	case info.Size() > maxModel:
		return bad(fmt.Errorf("it has more than %d bytes", maxModel))
	}
	b, err := contents(f, int(info.Size()))
	if err != nil {
		return bad(err)
	}
	m, err := model.Load(b)
	if err != nil {
		return bad(err)
	}
	return m, nil
}

// Where the store keeps which base the home stands on.
const (
	homeTable = "home"
	basePrint = "base"  // its fingerprint, in hexadecimal
	baseFile  = "model" // the checkpoint it came from; empty for the embedded one
)

// anchor holds the home to the base that it was begun with: what is learnt on one means nothing on another.
func (d *Device) anchor(m *model.Model, file string) error {
	print := m.Fingerprint()
	have := hex.EncodeToString(print[:])
	was, err := d.Store.Get(homeTable, basePrint)
	switch {
	case errors.Is(err, store.ErrNone):
		if file != "" {
			if file, err = filepath.Abs(file); err != nil {
				return fmt.Errorf("device: %w", err)
			}
		}
		if err := d.Store.Put(homeTable, baseFile, []byte(file)); err != nil {
			return err
		}
		return d.Store.Put(homeTable, basePrint, []byte(have))
	case err != nil:
		return err
	case string(was) == have:
		return nil
	}
	mend := "leave --model out"
	if from, err := d.Store.Get(homeTable, baseFile); err == nil && len(from) > 0 {
		mend = "start with --model " + string(from)
	} else if file == "" {
		mend = "start with the --model it was begun with"
	}
	return fmt.Errorf("device: the home %s was begun with the base model %.8s, and this is %.8s: %s, or take another --home",
		d.Home, was, have, mend)
}

// snapshot is the newest snapshot that can be read, nil if there is none.
func (d *Device) snapshot() ([]byte, error) {
	r, err := d.Store.LoadSnapshot()
	if errors.Is(err, store.ErrDamaged) {
		d.log.Warn("the last snapshot cannot be read; going back to the one before and replaying what came after", "err", err)
		d.found = append(d.found, fmt.Sprintf("the last snapshot could not be read (%v): the one before and the journal since then were taken, and nothing is lost", err))
		r, err = d.Store.LoadPrevious()
	}
	switch {
	case errors.Is(err, store.ErrDamaged):
		return nil, fmt.Errorf("device: home %s: neither of its last two snapshots can be read: put sound copies of them back, or take another --home: %w", d.Home, err)
	case errors.Is(err, store.ErrNone):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("device: read the snapshot of %s: %w", d.Home, err)
	}
	return b, nil
}

// replay hands the journal's records to fn. What cannot be had back is a warning, not a reason to stay
// down: a damaged end of the journal, and a peer's skill whose body is gone.
func (d *Device) replay(fn func(rec []byte) error) error {
	rep, err := d.Store.Replay(func(seq uint64, rec []byte) error {
		err := fn(rec)
		if errors.Is(err, store.ErrNone) || errors.Is(err, store.ErrDamaged) {
			d.log.Warn("going on without a peer's skill", "record", seq, "err", err)
			return nil
		}
		return err
	})
	if errors.Is(err, store.ErrDamaged) {
		d.log.Warn("the end of the journal cannot be read; what was learnt there is lost", "replayed", rep.Records, "lost", rep.Lost, "err", err)
		d.found = append(d.found, err.Error())
		return nil
	}
	if err != nil {
		return fmt.Errorf("device: home %s: %w", d.Home, err)
	}
	return nil
}

// Notes says what was found wrong with the home: first in its life, as the store remembers it, and then when
// it was opened now. A sound home has none.
func (d *Device) Notes() ([]string, error) {
	list, err := d.Store.Notes()
	return append(list, d.found...), err
}

// Start has the node run until Stop, on a mesh or alone if m is nil. told, which may be nil, hears what
// became of peers' skills, on the node's goroutine. From here on the node belongs to that goroutine.
func (d *Device) Start(m mesh.Mesh, told func(node.Fold)) {
	if d.cancel != nil {
		panic("device: started twice")
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel, d.ended = cancel, make(chan struct{})
	go func() {
		defer close(d.ended)
		d.err = node.Run(ctx, d.Node, m, d.Journal, d.runner, d.log, told)
	}()
}

// Do has the running node do a job and returns once what it changed is on the disk. Before Start it waits
// for it.
func (d *Device) Do(ctx context.Context, job node.Job) error { return d.runner.Do(ctx, job) }

// Stop ends the node's run and leaves a snapshot. Nothing that Do acknowledged depends on that: an error
// only means that the next Open replays the journal.
func (d *Device) Stop() error {
	if d.cancel == nil {
		return nil
	}
	d.cancel()
	<-d.ended
	return d.err
}

// Close stops the node, if it runs, and lets go of the home.
func (d *Device) Close() error { return errors.Join(d.Stop(), d.Store.Close()) }
