package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// What is taken is what lies there, and a snapshot takes the place of the records before it.
func TestUsage(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "home"))
	first, err := s.Usage()
	if err != nil || first.LogRecords != 0 || first.Bodies != 0 || first.Snapshots != 0 || first.Index == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	if runtime.GOOS == "linux" && first.Free <= 0 {
		t.Errorf("%d bytes are free", first.Free)
	}
	fill(t, s, 1, 7)
	if _, err := s.PutBlob(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if u, err := s.Usage(); err != nil || u.LogRecords != 7 || u.Bodies != 1 || u.BodyBytes != 1000 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := s.Snapshot(func(w io.Writer) error { _, err := fmt.Fprint(w, "the state"); return err }); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 8, 9)
	u, err := s.Usage()
	if err != nil || u.LogRecords != 2 || u.Snapshots != 1 {
		t.Errorf("%+v, %v", u, err)
	}
	if info, err := os.Stat(s.snapshotPath(s.snapshots[0])); err != nil || info.Size() != u.SnapshotBytes {
		t.Errorf("a snapshot of %d bytes: %v", u.SnapshotBytes, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Usage(); !errors.Is(err, ErrClosed) {
		t.Errorf("once closed: %v", err)
	}
}
