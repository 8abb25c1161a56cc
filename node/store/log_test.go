package store

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func TestLog(t *testing.T) {
	s := open(t, t.TempDir())
	wantReplay(t, s, 1, 0)
	if err := s.Append(nil); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 1, 1)
	fill(t, s, 2, 1500) // more than a batch of the replay
	wantReplay(t, s, 1, 1500)
	s = reopen(t, s)
	fill(t, s, 1501, 1501)
	wantReplay(t, s, 1, 1501)

	wantError(t, s.Append([][]byte{make([]byte, maxRecord+1)}), nil, "over the limit")
	wantReplay(t, s, 1, 1501)
}

// Records may be empty, and large ones come back whole.
func TestLogSizes(t *testing.T) {
	s := open(t, t.TempDir())
	want := [][]byte{{}, bytes.Repeat([]byte("x"), 3<<20), {}, []byte("y")}
	if err := s.Append(want); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	var got [][]byte
	if _, err := s.Replay(func(_ uint64, b []byte) error { got = append(got, b); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("record %d has %d bytes, want %d", i+1, len(got[i]), len(want[i]))
		}
	}
}

func TestReplayStopsAtTheCallersError(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 10)
	no := errors.New("no more")
	rep, err := s.Replay(func(seq uint64, _ []byte) error {
		if seq == 4 {
			return no
		}
		return nil
	})
	wantError(t, err, no)
	if rep.Records != 3 || rep.Lost != 0 {
		t.Errorf("report %+v", rep)
	}
	wantReplay(t, s, 1, 10) // nothing came of it
}

// A function that replays may use the store.
func TestReplayMayAppend(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 2)
	s = reopen(t, s)
	rep, err := s.Replay(func(seq uint64, _ []byte) error {
		if seq < 3 {
			fill(t, s, seq+2, seq+2)
		}
		return s.Put("t", "k", nil)
	})
	if err != nil || rep.Records != 4 {
		t.Errorf("report %+v, %v", rep, err)
	}
}

// spoil changes the log behind the store's back.
func spoil(t *testing.T, s *Store, change func(*bolt.Bucket) error) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(s.dir, indexFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(func(tx *bolt.Tx) error { return change(tx.Bucket(bucketLog)) }), db.Close()); err != nil {
		t.Fatal(err)
	}
	return open(t, s.dir)
}

func flip(seq uint64, at int) func(*bolt.Bucket) error {
	return func(b *bolt.Bucket) error {
		v := bytes.Clone(b.Get(recordKey(seq)))
		v[at] ^= 0x10
		return b.Put(recordKey(seq), v)
	}
}

// Whatever is wrong with a record, the replay gives all before it, names it, and counts what is
// lost; the store then goes on from there, and what it appends is there the next time.
func TestDamagedRecord(t *testing.T) {
	tests := []struct {
		name   string
		change func(*bolt.Bucket) error
		bad    uint64
		why    string
	}{
		{"a bit of its content flipped", flip(40, 9), 40, "checksum"},
		{"a bit of its sum flipped", flip(40, 0), 40, "checksum"},
		{"cut to nothing", func(b *bolt.Bucket) error { return b.Put(recordKey(40), nil) }, 40, "checksum"},
		{"the first of all", flip(1, 9), 1, "checksum"},
		{"the last of all", flip(50, 9), 50, "checksum"},
		{"missing in the middle", func(b *bolt.Bucket) error { return b.Delete(recordKey(40)) }, 40, "missing"},
		{"missing at the end", func(b *bolt.Bucket) error { return b.Delete(recordKey(50)) }, 50, "missing"},
		{"another record in its place", func(b *bolt.Bucket) error { return b.Put(recordKey(40), bytes.Clone(b.Get(recordKey(41)))) }, 40, "checksum"},
		{"a stranger among the keys", func(b *bolt.Bucket) error { return b.Put(append(recordKey(39), 0), []byte("x")) }, 40, "missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			fill(t, s, 1, 50)
			s = spoil(t, s, tt.change)

			got, rep, err := replayed(t, s)
			wantError(t, err, ErrDamaged, "record "+itoa(tt.bad)+" is damaged", tt.why, itoa(51-tt.bad)+" are lost")
			if len(got) != int(tt.bad)-1 || rep.Lost != int(51-tt.bad) {
				t.Errorf("replayed %d records, report %+v", len(got), rep)
			}

			fill(t, s, tt.bad, tt.bad+2)
			wantReplay(t, s, 1, tt.bad+2)
			s = reopen(t, s)
			wantReplay(t, s, 1, tt.bad+2)
		})
	}
}

// Damage that nobody was told of is not buried under new records.
func TestAppendChecksTheLogFirst(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 9)
	s = spoil(t, s, flip(5, 9))
	wantError(t, s.Append([][]byte{rec(10)}), ErrDamaged, "replay the log first", "record 5")
	if _, rep, err := replayed(t, s); rep.Lost != 5 || !errors.Is(err, ErrDamaged) {
		t.Errorf("report %+v, %v", rep, err)
	}
	fill(t, s, 5, 5)
	wantReplay(t, s, 1, 5)
}

// A snapshot after damage covers what was replayed and no more.
func TestSnapshotAfterDamage(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 9)
	s = spoil(t, s, flip(5, 9))
	if _, _, err := replayed(t, s); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	snap(t, s, "four")
	fill(t, s, 5, 6)
	s = reopen(t, s)
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "four")
	wantReplay(t, s, 5, 6)
}

// What a record costs is bounded: a long life of appends and snapshots does not let the index grow.
func TestIndexDoesNotGrow(t *testing.T) {
	s := open(t, t.TempDir())
	size := func() int64 {
		info, err := os.Stat(filepath.Join(s.dir, indexFile))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	var early int64
	batch := make([][]byte, 100)
	for i := range batch {
		batch[i] = bytes.Repeat([]byte{byte(i)}, 500)
	}
	for round := range 30 {
		if err := s.Append(batch); err != nil {
			t.Fatal(err)
		}
		snap(t, s, strings.Repeat("s", round+1))
		if round == 5 {
			early = size()
		}
	}
	if size() > 2*early {
		t.Errorf("the index grew from %d to %d bytes", early, size())
	}
	if files, err := os.ReadDir(filepath.Join(s.dir, blobDir)); err != nil || len(files) != 2 {
		t.Errorf("%d snapshot files are kept, %v", len(files), err)
	}
}

// A page that the index cannot make sense of is an error, not the end of the process.
func TestDamagedPage(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 2000)
	s.Close()
	path := filepath.Join(s.dir, indexFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	told := 0
	for at := 2 * page; at+page <= len(b); at += page {
		bad := bytes.Clone(b)
		for i := range 64 {
			bad[at+i] = 0xff
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(s.dir, Options{})
		if err == nil {
			_, err = s.Replay(func(uint64, []byte) error { return nil })
		}
		if err == nil {
			err = s.Append([][]byte{rec(1)})
		}
		if err != nil {
			told++
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("page %d: %v", at/page, err)
			}
		}
		if s != nil {
			if err := s.Close(); err != nil {
				t.Errorf("page %d: close: %v", at/page, err)
			}
		}
	}
	if told == 0 {
		t.Error("no damaged page was noticed")
	}
}

func itoa(n uint64) string { return string(itoaBytes(n)) }

func itoaBytes(n uint64) []byte {
	if n < 10 {
		return []byte{byte('0' + n)}
	}
	return append(itoaBytes(n/10), byte('0'+n%10))
}

var _ io.Closer = (*Store)(nil)
