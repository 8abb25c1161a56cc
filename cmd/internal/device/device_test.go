package device

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
)

func open(t *testing.T, opt Options) *Device {
	t.Helper()
	if opt.Model == nil {
		opt.Model = base.Pocket()
	}
	d, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func shut(t *testing.T, d *Device) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func mind(t *testing.T, d *Device) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := d.Node.Learner().WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func observe(t *testing.T, d *Device, text string) {
	t.Helper()
	if err := d.Do(t.Context(), func(now time.Time, n *node.Node) (node.Actions, error) {
		_, a := n.Observe(now, []byte(text))
		return a, nil
	}); err != nil {
		t.Fatal(err)
	}
}

const line = "there was a time when the mill by the river turned all night\n"

// A home that is opened again has the same identity and the same mind, from the snapshot that Stop leaves
// or from the journal alone.
func TestOpensWhereItStood(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	d := open(t, Options{Home: home})
	self := d.Node.Self()
	d.Start(nil, nil)
	observe(t, d, line)
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	first := mind(t, d)
	shut(t, d)

	d = open(t, Options{Home: home})
	if d.Node.Self() != self || !bytes.Equal(mind(t, d), first) {
		t.Error("another device came back")
	}
	d.Start(nil, nil)
	observe(t, d, line)
	if err := d.Store.Close(); err != nil { // as a kill would leave it: no snapshot
		t.Fatal(err)
	}
	if err := d.Stop(); err == nil {
		t.Error("a snapshot in a closed store")
	}
	second := mind(t, d)
	if bytes.Equal(first, second) {
		t.Fatal("nothing was learnt")
	}
	d = open(t, Options{Home: home})
	defer shut(t, d)
	if !bytes.Equal(mind(t, d), second) {
		t.Error("the journal leads to another mind")
	}
}

func TestHomeStandsOnItsBase(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	var file bytes.Buffer
	if err := base.Pocket().Write(&file, false, nil); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "pocket.safetensors")
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{Home: home, ModelFile: name})
	if err != nil {
		t.Fatal(err)
	}
	shut(t, d)
	m := base.Pocket().Thaw()
	m.Head.F32[3] += 0.5
	if _, err = Open(Options{Home: home, Model: m}); err == nil || !strings.Contains(err.Error(), "start with --model "+name) {
		t.Errorf("another base: %v", err)
	}
	d, err = Open(Options{Home: home, Model: base.Pocket()}) // it counts what a base is, not where it lies
	if err != nil {
		t.Fatal(err)
	}
	shut(t, d)
}

// One damage after the other is a warning, and as much comes back as can.
func TestDamageIsAWarning(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	for range 2 {
		d := open(t, Options{Home: home})
		d.Start(nil, nil)
		observe(t, d, line)
		shut(t, d)
	}
	d := open(t, Options{Home: home})
	whole := mind(t, d)
	shut(t, d)

	newest := newestSnapshot(t, home)
	if err := os.WriteFile(newest, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d = open(t, Options{Home: home, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if !bytes.Equal(mind(t, d), whole) {
		t.Error("the snapshot before and the journal lead to another mind")
	}
	if !strings.Contains(log.String(), "going back to the one before") {
		t.Errorf("the owner hears %q", log.String())
	}
	shut(t, d)

	damageLog(t, filepath.Join(home, "index.db"))
	log.Reset()
	d = open(t, Options{Home: home, Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer shut(t, d)
	if !strings.Contains(log.String(), "lost=") {
		t.Errorf("the owner hears %q", log.String())
	}
	if n := d.Node.Learner().Events(); n < uint64(len(line)) || n >= 2*uint64(len(line)) {
		t.Errorf("%d events came back", n)
	}
	d.Start(nil, nil)
	observe(t, d, line)
}

func newestSnapshot(t *testing.T, home string) (path string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(home, "blobs", "*.snapshot"))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	var at time.Time
	for _, p := range list {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().After(at) {
			path, at = p, info.ModTime()
		}
	}
	return path
}

// damageLog changes the last record of the journal.
func damageLog(t *testing.T, index string) {
	t.Helper()
	db, err := bolt.Open(index, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("log"))
		k, v := b.Cursor().Last()
		if k == nil {
			return errors.New("the journal is empty")
		}
		v = bytes.Clone(v)
		v[len(v)-1]++
		return b.Put(k, v)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, opt := range map[string]Options{
		"no home":       {Model: base.Pocket()},
		"file":          {Home: file, Model: base.Pocket()},
		"below a file":  {Home: filepath.Join(file, "home"), Model: base.Pocket()},
		"foreign model": {Home: filepath.Join(t.TempDir(), "home"), ModelFile: file},
		"share":         {Home: filepath.Join(t.TempDir(), "home"), Model: base.Pocket(), Share: "some"},
	} {
		if d, err := Open(opt); err == nil || d != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	home := filepath.Join(t.TempDir(), "home")
	d := open(t, Options{Home: home})
	defer shut(t, d)
	if _, err := Open(Options{Home: home, Model: base.Pocket()}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Do(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("before Start: %v", err)
	}
}

// A model's weights stay in their file: opening one takes little memory of its own.
func TestOpenModelMapsTheFile(t *testing.T) {
	m, err := model.New(model.Base())
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := m.Write(&file, true, nil); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "base.safetensors")
	if err := os.WriteFile(name, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := OpenModel(name)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got.Parameters() != m.Parameters() {
		t.Errorf("%d parameters, want %d", got.Parameters(), m.Parameters())
	}
	if took := after.TotalAlloc - before.TotalAlloc; runtime.GOOS != "windows" && took > uint64(file.Len()/4) {
		t.Errorf("opening a file of %d bytes took %d bytes", file.Len(), took)
	}
}
