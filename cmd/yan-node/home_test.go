package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
)

// contents is all that lies in a home, but for the lock.
func contents(t *testing.T, home string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(home, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("the home is empty")
	}
	return all
}

// lived is a home that has read something.
func lived(t *testing.T, model string) string {
	t.Helper()
	home := newHome(t)
	must(t, "", "--home", home, "--model", model, "--offline", "--api", "", "--read", file(t, "book.txt", prose(2000)), "--exit-after-read")
	return home
}

// A home that a newer program has written is refused in one line that says what to do, by every command, and
// nothing in it is changed: neither where the folder says so, nor where only the snapshot does.
func TestNewerHomeIsLeftAlone(t *testing.T) {
	model := pocket(t)
	for name, age := range map[string]func(home string) string{
		"folder": func(home string) string {
			st, err := store.Open(home, store.Options{Format: node.Format + 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(home, fmt.Sprintf("backup-%d", node.Format))
		},
		"snapshot": func(home string) string {
			st, err := store.Open(home, store.Options{Format: node.Format})
			if err != nil {
				t.Fatal(err)
			}
			r, err := st.LoadSnapshot()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			newer := bytes.Replace(b, []byte(`"version":"4"`), []byte(`"version":"9"`), 1)
			if bytes.Equal(newer, b) {
				t.Fatal("the snapshot has no version")
			}
			if err := st.Snapshot(func(w io.Writer) error { _, err := w.Write(newer); return err }); err != nil {
				t.Fatal(err)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			return "another --home"
		},
	} {
		home := lived(t, model)
		way := age(home)
		was := contents(t, home)
		for _, args := range [][]string{{"status"}, {"run", "--offline", "--api", "", "--for", "1ms"}, {"complete", "--prompt", "the"},
			{"learn", "--data", "text:" + file(t, "more.txt", prose(3000))}} {
			status, out, errs := yan(t, "", append(args, "--home", home, "--model", model)...)
			if status != ui.Failed || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "update") || !strings.Contains(errs, way) {
				t.Errorf("%s, %s: status %d, %q, %q", name, args[0], status, out, errs)
			}
		}
		if !maps.Equal(contents(t, home), was) {
			t.Errorf("%s: a home that was refused was changed", name)
		}
	}
}

// Whoever went to a newer program and back has the home from before the change.
func TestBackFromANewerProgram(t *testing.T) {
	model := pocket(t)
	home := lived(t, model)
	before := decode[statusReport](t, must(t, "", "status", "--json", "--home", home, "--model", model))
	st, err := store.Open(home, store.Options{Format: node.Format + 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(home, fmt.Sprintf("backup-%d", node.Format))
	after := decode[statusReport](t, must(t, "", "status", "--json", "--home", backup, "--model", model))
	if before.Events == 0 || after.Events != before.Events || after.ID != before.ID {
		t.Errorf("%+v before, %+v in the backup", before, after)
	}
}

// What is wrong with a home is said in its status, when it is found and ever after.
func TestStatusTellsOfDamage(t *testing.T) {
	model := pocket(t)
	home := lived(t, model)
	if out := must(t, "", "status", "--home", home, "--model", model); strings.Contains(out, "note:") {
		t.Errorf("a sound home: %q", out)
	}
	// Its journal since the snapshot: one record, and that damaged.
	st, err := store.Open(home, store.Options{Format: node.Format})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Append([][]byte{{'F'}, {'F'}}); err != nil {
		t.Fatal(err)
	}
	st.Close()
	db, err := bolt.Open(filepath.Join(home, "index.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		k, v := tx.Bucket([]byte("log")).Cursor().Last()
		v = bytes.Clone(v)
		v[len(v)-1] ^= 1
		return tx.Bucket([]byte("log")).Put(k, v)
	}); err != nil {
		t.Fatal(err)
	}
	db.Close()

	notes := func() []string {
		status, out, errs := yan(t, "", "status", "--json", "--home", home, "--model", model)
		if status != ui.Done {
			t.Fatal(errs)
		}
		return decode[statusReport](t, out).Notes
	}
	found := notes()
	if len(found) != 1 || !strings.Contains(found[0], "is damaged") || !strings.Contains(found[0], "put a sound copy") {
		t.Errorf("the notes say %q", found)
	}
	if status, _, errs := yan(t, "", "--home", home, "--model", model, "--offline", "--api", "", "--read", file(t, "more.txt", prose(500)), "--exit-after-read"); status != ui.Done ||
		!strings.Contains(errs, "lost=1") {
		t.Errorf("status %d, the log says %q", status, errs)
	}
	mended := notes()
	if len(mended) != 1 || !strings.Contains(mended[0], "goes on from the record before it") || !strings.Contains(mended[0], "index-damaged-at-") {
		t.Errorf("afterwards the notes say %q", mended)
	}
	if out := must(t, "", "status", "--home", home, "--model", model); strings.Count(out, "note: record") != 1 {
		t.Errorf("%q", out)
	}
	if copies, err := filepath.Glob(filepath.Join(home, "index-damaged-at-*.db")); err != nil || len(copies) != 1 {
		t.Errorf("%v, %v", copies, err)
	}
}

// Two processes do not open one home.
func TestTwoProcessesOneHome(t *testing.T) {
	home, model := newHome(t), pocket(t)
	args := []string{"run", "--json", "--home", home, "--model", model, "--offline", "--api", ""}
	first, b := spawn(t, args...)
	b.wait("ready")
	_, second := spawn(t, args...)
	for e := range second.lines {
		t.Errorf("the second says %q", e.Event)
	}
	status, errs := second.stop()
	if status != ui.Failed || !strings.Contains(errs, fmt.Sprintf("in use by another yan-node (pid %d)", first.Process.Pid)) || strings.Count(errs, "\n") != 1 {
		t.Errorf("status %d, %q", status, errs)
	}
}
