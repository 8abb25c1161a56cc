package store

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// snapshot names a snapshot file and says what it stands for.
type snapshot struct {
	digest [32]byte
	size   uint64
	seq    uint64 // the last record of the log that it covers
}

// snapshotBytes is a snapshot in the index: digest, size and seq, little-endian.
const snapshotBytes = 32 + 8 + 8

// metaSnapshots is where the index keeps the snapshots that count, newest first.
var metaSnapshots = []byte("snapshots")

const snapshotSuffix = ".snapshot"

func (s *Store) snapshotPath(sn snapshot) string {
	return filepath.Join(s.dir, blobDir, hex.EncodeToString(sn.digest[:])+snapshotSuffix)
}

func encodeSnapshots(list []snapshot) []byte {
	var b []byte
	for _, sn := range list {
		b = append(b, sn.digest[:]...)
		b = binary.LittleEndian.AppendUint64(b, sn.size)
		b = binary.LittleEndian.AppendUint64(b, sn.seq)
	}
	return b
}

// loadSnapshots reads which snapshots count, and removes the files of those that no longer do or
// that a crash kept from ever counting.
func (s *Store) loadSnapshots() error {
	var b []byte
	if err := s.view(func(tx *bolt.Tx) error {
		b = bytes.Clone(tx.Bucket(bucketMeta).Get(metaSnapshots))
		return nil
	}); err != nil {
		return err
	}
	if len(b)%snapshotBytes != 0 {
		return fmt.Errorf("%s is %w: its list of snapshots has %d bytes: %s", indexFile, ErrDamaged, len(b), mend)
	}
	for ; len(b) > 0; b = b[snapshotBytes:] {
		s.snapshots = append(s.snapshots, snapshot{
			digest: [32]byte(b[:32]),
			size:   binary.LittleEndian.Uint64(b[32:]),
			seq:    binary.LittleEndian.Uint64(b[40:]),
		})
	}
	if len(s.snapshots) > 0 {
		s.base = s.snapshots[0]
	}

	entries, err := os.ReadDir(filepath.Join(s.dir, blobDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), snapshotSuffix)
		if !ok {
			continue
		}
		if d, ok := parseDigest(name); ok && !s.counts(d) {
			if err := os.Remove(filepath.Join(s.dir, blobDir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// adoptSnapshots makes the newest snapshots count that are found beside a new index: the one that
// pointed to them was lost or moved away. They stand before everything in the new log.
func (s *Store) adoptSnapshots() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, blobDir))
	if err != nil {
		return err
	}
	type found struct {
		snapshot
		written time.Time
	}
	var all []found
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), snapshotSuffix)
		d, isDigest := parseDigest(name)
		if !ok || !isDigest || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		sn := snapshot{digest: d, size: uint64(info.Size())}
		if f, err := s.openSnapshot(sn); err == nil {
			f.Close()
			all = append(all, found{sn, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(b.written.Compare(a.written), bytes.Compare(a.digest[:], b.digest[:]))
	})
	for _, f := range all[:min(len(all), 2)] {
		s.snapshots = append(s.snapshots, f.snapshot)
	}
	if len(s.snapshots) == 0 {
		return nil
	}
	s.base = s.snapshots[0]
	return s.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(metaSnapshots, encodeSnapshots(s.snapshots))
	})
}

// counts reports whether one of the snapshots has that digest.
func (s *Store) counts(d [32]byte) bool {
	return slices.ContainsFunc(s.snapshots, func(sn snapshot) bool { return sn.digest == d })
}

// Snapshot keeps what write writes as the state that all records appended before the call lead to.
// From then on LoadSnapshot gives this state, and Replay only what is appended later. The snapshot
// before it, and the log since then, are kept in case this one is damaged; what is older is
// dropped. If anything fails, write included, all is as it was.
//
// Records appended while write runs are taken to be later than the snapshot.
func (s *Store) Snapshot(write func(io.Writer) error) error {
	s.snapshotting.Lock()
	defer s.snapshotting.Unlock()
	if s.closed.Load() {
		return wrap("snapshot", ErrClosed)
	}

	var made snapshot
	err := s.view(func(tx *bolt.Tx) error {
		made.seq = tx.Bucket(bucketLog).Sequence()
		return nil
	})
	if err != nil {
		return wrap("snapshot", err)
	}
	s.mu.Lock()
	if s.cut != 0 {
		made.seq = s.cut - 1
	}
	s.mu.Unlock()

	f, err := s.newFile(filepath.Join(s.dir, blobDir))
	if err != nil {
		return wrap("snapshot", err)
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	err = write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if f.err != nil { // the reason, where write has put it into words of its own
		err = f.err
	}
	if err != nil {
		f.abandon()
		return wrap("snapshot", err)
	}
	made.digest, made.size = f.digest(), uint64(f.size)
	if err := f.publish(s.snapshotPath(made)); err != nil {
		s.removeUncounted(made)
		return wrap("snapshot", err)
	}
	if err := s.count(made); err != nil {
		s.leave(made, err)
		return wrap("snapshot", err)
	}
	// The snapshot stands whatever becomes of this, and the next one tries again.
	s.blobs.Lock()
	defer s.blobs.Unlock()
	_ = s.reap()
	return nil
}

// count makes a snapshot the newest, in one transaction with what follows for the log.
func (s *Store) count(made snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread != nil { // it would cover records that it does not know of
		return s.unread
	}
	// What is kept beside it is what the state in memory came from, or the one before if that has
	// the same content. A newer one that could not be loaded is worth nothing.
	list, old := []snapshot{made}, s.snapshots
	for _, sn := range old {
		if sn.seq <= s.base.seq && sn.digest != made.digest && s.base != (snapshot{}) {
			list = append(list, sn)
			break
		}
	}
	var covered uint64
	if len(list) == 2 {
		covered = list[1].seq
	}
	if err := s.keepDamaged(); err != nil {
		return err
	}
	err := s.update(func(tx *bolt.Tx) error {
		if err := s.cutTail(tx); err != nil {
			return err
		}
		if err := trim(tx, covered); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Put(metaSnapshots, encodeSnapshots(list))
	})
	if err != nil {
		return err
	}
	s.snapshots, s.base, s.cut = list, made, 0
	for _, sn := range old {
		s.removeUncounted(sn)
	}
	return nil
}

// leave does away with a snapshot that could not be made to count, unless that is the fault of a damaged
// index: whoever moves the index away, as the error says, finds what was learnt in this file. There is one
// at a time.
func (s *Store) leave(made snapshot, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(why, ErrDamaged) {
		s.removeUncounted(made)
		return
	}
	if s.stray != nil && s.stray.digest != made.digest {
		s.removeUncounted(*s.stray)
	}
	s.stray = &made
}

// removeUncounted removes a snapshot's file unless the snapshot counts. If it cannot be removed
// now, the next Open tries again.
func (s *Store) removeUncounted(sn snapshot) {
	if !s.counts(sn.digest) {
		_ = os.Remove(s.snapshotPath(sn))
	}
}

// trim drops the log's records up to a sequence number.
func trim(tx *bolt.Tx, covered uint64) error {
	b := tx.Bucket(bucketLog)
	last := b.Sequence()
	if covered >= last { // all of it: a bucket goes faster than its records
		if err := tx.DeleteBucket(bucketLog); err != nil {
			return err
		}
		b, err := tx.CreateBucket(bucketLog)
		if err != nil {
			return err
		}
		return b.SetSequence(last)
	}
	var doomed [][]byte
	c := b.Cursor()
	for k, _ := c.First(); len(k) == 8 && binary.BigEndian.Uint64(k) <= covered; k, _ = c.Next() {
		doomed = append(doomed, bytes.Clone(k))
	}
	for _, k := range doomed {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// LoadSnapshot opens the newest snapshot: ErrNone if there is none, ErrDamaged if its file is no
// longer what was written. In that case LoadPrevious has the one before. The bytes are checked as a
// whole before the first of them is handed out.
func (s *Store) LoadSnapshot() (io.ReadCloser, error) { return s.load(0) }

// LoadPrevious opens the snapshot before the newest. Replay then starts from there, so that nothing
// is lost but the time it takes. With ErrNone the log alone leads to the state: Replay then starts
// from its beginning.
func (s *Store) LoadPrevious() (io.ReadCloser, error) { return s.load(1) }

func (s *Store) load(age int) (io.ReadCloser, error) {
	what := [...]string{"load snapshot", "load previous snapshot"}[age]
	if s.closed.Load() {
		return nil, wrap(what, ErrClosed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.snapshots) <= age {
		s.base = snapshot{}
		return nil, wrap(what, ErrNone)
	}
	sn := s.snapshots[age]
	f, err := s.openSnapshot(sn)
	if err != nil {
		return nil, wrap(what, err)
	}
	s.base = sn
	return f, nil
}

// openSnapshot opens a snapshot's file if it is sound.
func (s *Store) openSnapshot(sn snapshot) (*os.File, error) {
	path := s.snapshotPath(sn)
	damaged := func(how string) error {
		return fmt.Errorf("the snapshot %s is %w: %s", path, ErrDamaged, how)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged("its file is missing")
	} else if err != nil {
		return nil, err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	switch {
	case err != nil:
	case uint64(n) < sn.size:
		err = damaged(fmt.Sprintf("it was cut to %d bytes of %d", n, sn.size))
	case [32]byte(sum.Sum(nil)) != sn.digest:
		err = damaged("its content was changed")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
