package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// index is the content of a closed store's index.
func index(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reread opens dir with another index and replays it: how many records come, what is wrong, and what the
// notes say. What comes has to be the first records, unchanged; anything missing has to be told of.
func reread(t *testing.T, dir string, content []byte) (records int, notes []string, err error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, indexFile), content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, Options{})
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	_, err = s.Replay(func(seq uint64, b []byte) error {
		if records++; seq != uint64(records) || !bytes.Equal(b, rec(seq)) {
			t.Fatalf("record %d came as number %d and says %q", seq, records, b)
		}
		return nil
	})
	notes, _ = s.Notes()
	return records, notes, err
}

// twoStates is a log of so many records, and the same with more appended in one call.
func twoStates(t *testing.T, dir string, first, then uint64) (before, after []byte) {
	t.Helper()
	s := open(t, dir)
	if err := s.Put("t", "k", make([]byte, 24<<10)); err != nil { // so that the file has room already
		t.Fatal(err)
	}
	fill(t, s, 1, first)
	s.Close()
	before = index(t, dir)
	s = open(t, dir)
	fill(t, s, first+1, then)
	s.Close()
	after = index(t, dir)
	if len(before) != len(after) {
		t.Fatalf("the index grew from %d to %d bytes, which this test does not expect", len(before), len(after))
	}
	return before, after
}

// An append that a power cut ends at any byte has happened or has not: all the records before it are
// there, and of it all or nothing. That it was cut is noted where that can be seen.
func TestTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	before, after := twoStates(t, dir, 30, 33)
	// What bbolt has written when, pages first and then the one that makes them count.
	page := os.Getpagesize()
	var data, meta []int
	for i := range after {
		if before[i] != after[i] {
			if i < 2*page {
				meta = append(meta, i)
			} else {
				data = append(data, i)
			}
		}
	}
	if len(data) < 100 || len(meta) < 8 {
		t.Fatalf("%d bytes of data and %d of meta were written: this test does not see the append", len(data), len(meta))
	}
	torn := bytes.Clone(before)
	noted, whole := 0, 0
	for n, at := range append(data, meta...) {
		records, notes, err := reread(t, dir, torn)
		if err != nil || records != 30 {
			t.Fatalf("cut after %d bytes written: %d records, %v", n, records, err)
		}
		if len(notes) > 0 {
			noted++
		}
		if (len(notes) > 0) != (n > len(data)) {
			t.Errorf("cut after %d bytes written, %d of them data: the notes are %q", n, len(data), notes)
		}
		torn[at] = after[at]
	}
	if records, notes, err := reread(t, dir, torn); err != nil || records != 33 || len(notes) > 0 {
		t.Errorf("all written: %d records, %q, %v", records, notes, err)
	} else {
		whole++
	}
	if noted == 0 || whole == 0 {
		t.Errorf("%d cuts were noted, %d whole", noted, whole)
	}
}

// A cut that was noted is so for good, also once the index is whole again.
func TestTornIsNoted(t *testing.T) {
	dir := t.TempDir()
	before, after := twoStates(t, dir, 3, 4)
	page := os.Getpagesize()
	newer := 0 // the page of the two that differs
	if bytes.Equal(before[:page], after[:page]) {
		newer = page
	}
	after[newer+metaHeader+20] ^= 1
	for range 2 {
		records, notes, err := reread(t, dir, after)
		if err != nil || records != 3 || len(notes) != 1 || !strings.Contains(notes[0], "half written") {
			t.Fatalf("%d records, %q, %v", records, notes, err)
		}
		after = index(t, dir)
	}
}

// Each record of the log is cut at each of its bytes, and each of its bytes is changed. It is found, named,
// and found where it lies in the file; what came before it is there, and what came after is not replayed
// on top of the hole.
func TestEveryByteOfARecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const last = 60
	fill(t, s, 1, last)
	s.Close()
	sound := index(t, dir)
	tries := 0
	for _, seq := range []uint64{25, last} { // amid the log, and its last
		at := bytes.Index(sound[2*os.Getpagesize():], rec(seq)) + 2*os.Getpagesize()
		length := len(rec(seq)) + 4 // with its sum before it
		check := func(what string, records int, err error) {
			t.Helper()
			tries++
			if records != int(seq)-1 || !errors.Is(err, ErrDamaged) {
				t.Fatalf("record %d, %s: %d records came, %v", seq, what, records, err)
			}
			for _, say := range []string{fmt.Sprintf("record %d is damaged", seq), fmt.Sprintf("%d are lost", last+1-seq), "put a sound copy of index.db",
				fmt.Sprintf("at byte %d of index.db", at-4)} {
				if !strings.Contains(err.Error(), say) {
					t.Fatalf("record %d, %s: %q does not say %q", seq, what, err, say)
				}
			}
		}
		for i := range length {
			for _, bit := range []byte{0x01, 0x80, 0xff} {
				bad := bytes.Clone(sound)
				bad[at-4+i] ^= bit
				records, _, err := reread(t, dir, bad)
				check(fmt.Sprintf("byte %d changed by %#x", i, bit), records, err)
			}
		}
		for cut := range length {
			bad := bytes.Clone(sound)
			clear(bad[at-4+cut : at-4+length]) // zeros, where the write had not come
			if bytes.Equal(bad, sound) {
				continue
			}
			records, _, err := reread(t, dir, bad)
			check(fmt.Sprintf("nothing from byte %d on", cut), records, err)
		}
	}
	if tries < 200 {
		t.Errorf("only %d changes were tried", tries)
	}
}

// Whatever byte of the whole index is changed, page headers and all: what is replayed is what was
// appended, from the first record on, and if any is missing it is said.
func TestEveryByteOfTheIndex(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const last = 150
	fill(t, s, 1, last-1)
	if err := s.Put("t", "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	fill(t, s, last, last)
	s.Close()
	sound := index(t, dir)
	const stride = 37 // coprime to all that bbolt aligns
	found, silent := 0, 0
	for at := 0; at < len(sound); at += stride {
		bad := bytes.Clone(sound)
		bad[at] ^= 0x15
		records, notes, err := reread(t, dir, bad)
		switch {
		case err != nil && !strings.Contains(err.Error(), "\n") && strings.HasPrefix(err.Error(), "store: "):
			found++
		case err != nil:
			t.Errorf("byte %d: %v", at, err)
		case records < last && len(notes) == 0:
			t.Errorf("byte %d: only %d records came, and nothing was said", at, records)
		case records < last:
			found++
		default:
			silent++ // a byte that holds nothing, or a name
		}
	}
	if found < 100 || silent == 0 {
		t.Errorf("%d changes were found, %d did not matter", found, silent)
	}
}

// What a machine does not replay, a person may want to read: the index is kept as it was found, the node
// goes on behind the last sound record, and a note stays.
func TestDamageIsKeptAndNoted(t *testing.T) {
	for name, goOn := range map[string]func(*Store) error{
		"append": func(s *Store) error { return s.Append([][]byte{rec(5)}) },
		"snapshot": func(s *Store) error {
			return s.Snapshot(func(w io.Writer) error { _, err := w.Write([]byte("four")); return err })
		},
	} {
		t.Run(name, func(t *testing.T) {
			full := false
			s := openWith(t, t.TempDir(), Options{fault: func(step, path string) error {
				if full && step == "write" {
					return fullErrnos[0]
				}
				return nil
			}})
			fill(t, s, 1, 9)
			dir, fault := s.dir, s.fault
			s = spoil(t, s, flip(5, 9))
			s.fault = fault
			if list, err := s.Notes(); err != nil || len(list) > 0 {
				t.Errorf("before: %q, %v", list, err)
			}
			if _, _, err := replayed(t, s); !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			full = true
			if err := goOn(s); !errors.Is(err, ErrFull) {
				t.Fatalf("without room for the copy: %v", err)
			}
			full = false
			if err := goOn(s); err != nil {
				t.Fatal(err)
			}
			list, err := s.Notes()
			if err != nil || len(list) != 1 || !strings.Contains(list[0], "record 5 is damaged") || !strings.Contains(list[0], "index-damaged-at-5.db") {
				t.Errorf("the notes say %q, %v", list, err)
			}
			s.Close()

			// The copy is the index with all that could be read and all that could not.
			db, err := bolt.Open(filepath.Join(dir, damagedCopy(5)), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.View(func(tx *bolt.Tx) error {
				for seq := uint64(6); seq <= 9; seq++ {
					if v := tx.Bucket(bucketLog).Get(recordKey(seq)); len(v) < 4 || !bytes.Equal(v[4:], rec(seq)) {
						t.Errorf("record %d in the copy says %q", seq, v)
					}
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			s = open(t, dir)
			if again, err := s.Notes(); err != nil || fmt.Sprint(again) != fmt.Sprint(list) {
				t.Errorf("after a restart: %q, %v", again, err)
			}
		})
	}
}

func TestNotesAreFew(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range 3 * maxNotes {
		if err := s.update(func(tx *bolt.Tx) error { return putNote(tx, fmt.Sprint(i)) }); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Notes()
	if err != nil || len(list) != maxNotes || list[0] != fmt.Sprint(2*maxNotes) || list[maxNotes-1] != fmt.Sprint(3*maxNotes-1) {
		t.Errorf("%q, %v", list, err)
	}
}

// Where a page of the log cannot be read, all before it is replayed, nothing new is taken on top, and a
// snapshot that cannot be made to count is there for whoever moves the index away, as the error says.
func TestUnreadablePage(t *testing.T) {
	s := open(t, t.TempDir())
	dir := s.dir
	const last = 2000
	fill(t, s, 1, last)
	s.Close()
	b := index(t, dir)
	page := os.Getpagesize()
	at := bytes.Index(b[2*page:], rec(last*3/4)) + 2*page // a page with records of the last quarter
	for i := range 64 {
		b[at/page*page+i] = 0xff
	}
	if err := os.WriteFile(filepath.Join(dir, indexFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	var records int
	rep, err := s.Replay(func(seq uint64, b []byte) error {
		if records++; seq != uint64(records) || !bytes.Equal(b, rec(seq)) {
			t.Fatalf("record %d came as number %d and says %q", seq, records, b)
		}
		return nil
	})
	wantError(t, err, ErrDamaged, "move it away")
	if records < last/2 || records >= last*3/4 || rep.Records != records {
		t.Errorf("%d records came before the page, report %+v", records, rep)
	}
	wantError(t, s.Append([][]byte{rec(1)}), ErrDamaged, "move it away")
	for _, content := range []string{"so far", "a little more"} {
		err := s.Snapshot(func(w io.Writer) error { _, err := io.WriteString(w, content); return err })
		wantError(t, err, ErrDamaged)
	}
	s.Close()
	if err := os.Rename(filepath.Join(dir, indexFile), filepath.Join(dir, "away.db")); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "a little more")
	if files, err := filepath.Glob(filepath.Join(dir, blobDir, "*"+snapshotSuffix)); err != nil || len(files) != 1 {
		t.Errorf("the snapshots are %v, %v", files, err)
	}
	fill(t, s, 1, 2)
	wantReplay(t, s, 1, 2)
}

// folder is all that is in a folder, but for the lock.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == lockFile {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// Who goes to a newer program keeps what was before, and who comes back is told where it is; a program
// touches nothing in a folder that is newer than itself.
func TestFormats(t *testing.T) {
	s := open(t, t.TempDir())
	dir := s.dir
	key := s.Key()
	fill(t, s, 1, 3)
	snap(t, s, "three")
	fill(t, s, 4, 5)
	body, err := s.PutBlob([]byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	was := folder(t, dir)

	// Without room for the copy nothing is changed.
	for n := 1; n < 100; n++ {
		steps := 0
		s, err := Open(dir, Options{Format: 2, fault: func(string, string) error {
			if steps++; steps == n {
				return fullErrnos[0]
			}
			return nil
		}})
		if err == nil {
			s.Close()
			if n < 6 {
				t.Errorf("taking over took only %d steps", n-1)
			}
			break
		}
		wantError(t, err, ErrFull)
		now := folder(t, dir)
		maps.DeleteFunc(now, func(path, _ string) bool { return strings.Contains(path, backupPrefix) })
		if !maps.Equal(now, was) {
			t.Errorf("step %d failed and the folder changed", n)
		}
	}

	s = openWith(t, dir, Options{Format: 2})
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "three")
	wantReplay(t, s, 4, 5)
	snap(t, s, "in another format")
	snap(t, s, "and again")
	fill(t, s, 6, 7)
	s.Close()

	newer := folder(t, dir)
	if err := os.WriteFile(filepath.Join(dir, tempPrefix+"x"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	newer[filepath.Join(dir, tempPrefix+"x")] = "half"
	_, err = Open(dir, Options{})
	wantError(t, err, ErrNewer, "format 2, this program writes 1", "update yan-node", "--home "+filepath.Join(dir, "backup-1"))
	if now := folder(t, dir); !maps.Equal(now, newer) {
		t.Error("a folder that was refused was changed")
	}

	old := filepath.Join(dir, s.backupName(1))
	back := open(t, old)
	if !back.Key().Equal(key) {
		t.Error("the backup has another identity")
	}
	rc, err = back.LoadSnapshot()
	wantSnapshot(t, rc, err, "three")
	wantReplay(t, back, 4, 5)
	if b, err := back.Blob(body); err != nil || string(b) != "body" {
		t.Errorf("the body in the backup says %q, %v", b, err)
	}
	fill(t, back, 6, 6) // it is a home of its own
	back.Close()
	s = openWith(t, dir, Options{Format: 2})
	rc, err = s.LoadSnapshot()
	wantSnapshot(t, rc, err, "and again")
	wantReplay(t, s, 6, 7)
	s.Close()

	// A second change keeps a second copy.
	s = openWith(t, dir, Options{Format: 3})
	s.Close()
	if _, err := os.Stat(filepath.Join(dir, "backup-2", indexFile)); err != nil {
		t.Error(err)
	}
	_, err = Open(filepath.Join(t.TempDir(), "x"), Options{Format: 3})
	if err != nil {
		t.Errorf("a new folder: %v", err)
	}
}

// A count of records that is too low would have the next one written over another.
func TestLogThatCountsTooFew(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 50)
	s = spoil(t, s, func(b *bolt.Bucket) error { return b.SetSequence(40) })
	got, rep, err := replayed(t, s)
	wantError(t, err, ErrDamaged, "the log counts 40", "0 are lost")
	if len(got) != 50 || rep.Lost != 0 {
		t.Errorf("%d records, report %+v", len(got), rep)
	}
	fill(t, s, 51, 52)
	wantReplay(t, s, 1, 52)

	s = spoil(t, s, func(b *bolt.Bucket) error { return b.SetSequence(1 << 63) })
	if _, rep, err = replayed(t, s); !errors.Is(err, ErrDamaged) || rep.Records != 52 || rep.Lost <= 0 {
		t.Errorf("report %+v, %v", rep, err)
	}
	fill(t, s, 53, 53)
	wantReplay(t, s, 1, 53)
}
