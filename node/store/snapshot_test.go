package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSnapshots(t *testing.T) {
	s := open(t, t.TempDir())
	_, err := s.LoadSnapshot()
	wantError(t, err, ErrNone)
	fill(t, s, 1, 3)
	snap(t, s, "three")
	wantReplay(t, s, 4, 3)
	fill(t, s, 4, 6)
	snap(t, s, "six")
	fill(t, s, 7, 8)

	for range 2 {
		rc, err := s.LoadSnapshot()
		wantSnapshot(t, rc, err, "six")
		wantReplay(t, s, 7, 8)
		s = reopen(t, s)
	}
	wantReplay(t, s, 7, 8) // the newest is what counts before any is loaded, too
	rc, err := s.LoadPrevious()
	wantSnapshot(t, rc, err, "three")
	wantReplay(t, s, 4, 8)
}

// damage changes the file of the snapshot that has this content.
func damage(t *testing.T, s *Store, content string, how func(path string) error) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, blobDir, "*"+snapshotSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && string(b) == content {
			if err := how(f); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no snapshot says %q", content)
}

// A snapshot that is not what was written is told of; the one before it and the log since then
// lead to the same state, so that nothing is lost.
func TestDamagedSnapshot(t *testing.T) {
	tests := []struct {
		name string
		how  func(path string) error
		says string
	}{
		{"truncated", func(p string) error { return os.Truncate(p, 2) }, "cut to 2 bytes of 3"},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, "cut to 0 bytes of 3"},
		{"altered", func(p string) error { return os.WriteFile(p, []byte("sex"), 0o600) }, "content was changed"},
		{"longer", func(p string) error { return os.WriteFile(p, []byte("six!"), 0o600) }, "content was changed"},
		{"missing", os.Remove, "file is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			fill(t, s, 1, 3)
			snap(t, s, "three")
			fill(t, s, 4, 6)
			snap(t, s, "six")
			fill(t, s, 7, 8)
			damage(t, s, "six", tt.how)

			s = reopen(t, s)
			_, err := s.LoadSnapshot()
			wantError(t, err, ErrDamaged, blobDir, tt.says)
			rc, err := s.LoadPrevious()
			wantSnapshot(t, rc, err, "three")
			wantReplay(t, s, 4, 8)

			// The next snapshot is kept beside the sound one, not beside the damaged one.
			snap(t, s, "eight")
			fill(t, s, 9, 9)
			s = reopen(t, s)
			damage(t, s, "eight", os.Remove)
			_, err = s.LoadSnapshot()
			wantError(t, err, ErrDamaged)
			rc, err = s.LoadPrevious()
			wantSnapshot(t, rc, err, "three")
			wantReplay(t, s, 4, 9)
		})
	}
}

// If the only snapshot is damaged, the whole log is still there.
func TestDamagedOnlySnapshot(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 3)
	snap(t, s, "three")
	fill(t, s, 4, 5)
	damage(t, s, "three", os.Remove)
	s = reopen(t, s)
	_, err := s.LoadSnapshot()
	wantError(t, err, ErrDamaged)
	_, err = s.LoadPrevious()
	wantError(t, err, ErrNone)
	wantReplay(t, s, 1, 5)
	snap(t, s, "five")
	s = reopen(t, s)
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "five")
}

// The same state twice is one file, and does not push out the one before it.
func TestSameSnapshotTwice(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 1)
	snap(t, s, "one")
	fill(t, s, 2, 2)
	for range 3 {
		snap(t, s, "two")
	}
	s = reopen(t, s)
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "two")
	rc, err = s.LoadPrevious()
	wantSnapshot(t, rc, err, "one")
	wantReplay(t, s, 2, 2)
}

// An index that is lost does not take what was learnt with it: the newest sound snapshot counts
// again.
func TestSnapshotsOutliveTheIndex(t *testing.T) {
	s := open(t, t.TempDir())
	for i, content := range []string{"one", "two", "six"} {
		fill(t, s, uint64(i+1), uint64(i+1))
		snap(t, s, content)
		damage(t, s, content, func(p string) error { // so that they are a minute apart
			at := time.Unix(int64(60*i), 0)
			return os.Chtimes(p, at, at)
		})
	}
	s.Close()
	for _, sound := range []string{"six", "two"} {
		if err := os.Remove(filepath.Join(s.dir, indexFile)); err != nil {
			t.Fatal(err)
		}
		s = open(t, s.dir)
		rc, err := s.LoadSnapshot()
		wantSnapshot(t, rc, err, sound)
		fill(t, s, 1, 2)
		s = reopen(t, s)
		rc, err = s.LoadSnapshot()
		wantSnapshot(t, rc, err, sound)
		wantReplay(t, s, 1, 2)
		damage(t, s, sound, func(p string) error { return os.WriteFile(p, []byte("sex"), 0o600) })
		s.Close()
	}
}

// A snapshot of nothing is one.
func TestEmptySnapshot(t *testing.T) {
	s := open(t, t.TempDir())
	snap(t, s, "")
	s = reopen(t, s)
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "")
}

// A snapshot whose writer gives up leaves everything as it was.
func TestSnapshotGivenUp(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 2)
	no := errors.New("cannot encode")
	err := s.Snapshot(func(w io.Writer) error {
		if _, err := io.WriteString(w, strings.Repeat("half", 1<<20)); err != nil {
			return err
		}
		return no
	})
	wantError(t, err, no, "snapshot")
	wantReplay(t, s, 1, 2)
	if files, err := os.ReadDir(filepath.Join(s.dir, blobDir)); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// What is appended while a snapshot is written comes after it.
func TestAppendDuringSnapshot(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 2)
	if err := s.Snapshot(func(w io.Writer) error {
		fill(t, s, 3, 4)
		_, err := io.WriteString(w, "two")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "two")
	wantReplay(t, s, 3, 4)
}
