package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// PutBlob keeps b under its SHA-256, which it returns. Bytes that are there already are not
// written again.
func (s *Store) PutBlob(b []byte) (digest [32]byte, err error) {
	digest = sha256.Sum256(b)
	if s.closed.Load() {
		return digest, wrap("put blob", ErrClosed)
	}
	s.blobs.Lock()
	defer s.blobs.Unlock()
	path := s.blobPath(digest)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		if err := s.fault("syncdir", path); err != nil {
			return digest, wrap("put blob", err)
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return digest, wrap("put blob", err)
		}
	} else if err := s.writeFile(path, whole(b)); err != nil {
		return digest, wrap("put blob", err)
	}
	return digest, wrap("put blob", s.undrop(digest))
}

// undrop takes back a DropBlob whose file is still there.
func (s *Store) undrop(digest [32]byte) error {
	dropped := false
	if err := s.view(func(tx *bolt.Tx) error {
		dropped = tx.Bucket(bucketDropped).Get(digest[:]) != nil
		return nil
	}); err != nil || !dropped {
		return err
	}
	return s.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketDropped).Delete(digest[:]) })
}

// Blob returns the bytes whose SHA-256 is digest: ErrNone if there are none, ErrDamaged if the
// file no longer holds them.
func (s *Store) Blob(digest [32]byte) ([]byte, error) {
	if s.closed.Load() {
		return nil, wrap("blob", ErrClosed)
	}
	path := s.blobPath(digest)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("store: blob %s: %w", shortHex(digest), ErrNone)
	case err != nil:
		return nil, wrap("blob", err)
	case sha256.Sum256(b) != digest:
		return nil, fmt.Errorf("store: blob %s: the file %s is %w: drop it and fetch it again", shortHex(digest), path, ErrDamaged)
	}
	return b, nil
}

// DropBlob says that the bytes under digest are not needed by anything that comes after. A record
// that is still in the log may need them when it is replayed, so Blob has them until the log has
// moved on, which it does with the second Snapshot from here. Dropping what is not there is no error.
func (s *Store) DropBlob(digest [32]byte) error {
	if s.closed.Load() {
		return wrap("drop blob", ErrClosed)
	}
	s.blobs.Lock()
	defer s.blobs.Unlock()
	if _, err := os.Stat(s.blobPath(digest)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := s.update(func(tx *bolt.Tx) error {
		seq := tx.Bucket(bucketLog).Sequence()
		return tx.Bucket(bucketDropped).Put(digest[:], binary.BigEndian.AppendUint64(nil, seq))
	}); err != nil {
		return wrap("drop blob", err)
	}
	return wrap("drop blob", s.reap())
}

// reap removes the files of dropped bodies that no record in the log can refer to. The index
// forgets of them last, so that a crash leaves no file behind. s.blobs is held, or nobody else is
// there yet.
func (s *Store) reap() error {
	var free [][]byte
	if err := s.view(func(tx *bolt.Tx) error {
		oldest, _ := tx.Bucket(bucketLog).Cursor().First()
		return tx.Bucket(bucketDropped).ForEach(func(digest, seq []byte) error {
			if oldest == nil || bytes.Compare(seq, oldest) < 0 {
				free = append(free, bytes.Clone(digest))
			}
			return nil
		})
	}); err != nil || len(free) == 0 {
		return err
	}
	for _, d := range free {
		path := filepath.Join(s.dir, blobDir, hex.EncodeToString(d))
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.update(func(tx *bolt.Tx) error {
		for _, d := range free {
			if err := tx.Bucket(bucketDropped).Delete(d); err != nil {
				return err
			}
		}
		return nil
	})
}

// Blobs lists what PutBlob put and DropBlob did not drop, sorted.
func (s *Store) Blobs() ([][32]byte, error) {
	if s.closed.Load() {
		return nil, wrap("blobs", ErrClosed)
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, blobDir))
	if err != nil {
		return nil, wrap("blobs", err)
	}
	var out [][32]byte
	if err := s.view(func(tx *bolt.Tx) error {
		dropped := tx.Bucket(bucketDropped)
		for _, e := range entries {
			if d, ok := parseDigest(e.Name()); ok && e.Type().IsRegular() && dropped.Get(d[:]) == nil {
				out = append(out, d)
			}
		}
		return nil
	}); err != nil {
		return nil, wrap("blobs", err)
	}
	slices.SortFunc(out, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	return out, nil
}

func (s *Store) blobPath(digest [32]byte) string {
	return filepath.Join(s.dir, blobDir, hex.EncodeToString(digest[:]))
}

// parseDigest reads a file's name back; ok is false for names we do not give.
func parseDigest(name string) (d [32]byte, ok bool) {
	b, err := hex.DecodeString(name)
	if err != nil || len(b) != len(d) || name != strings.ToLower(name) {
		return d, false
	}
	return [32]byte(b), true
}

func shortHex(d [32]byte) string { return hex.EncodeToString(d[:4]) }

// writeFile puts a whole file in place.
func (s *Store) writeFile(path string, write func(io.Writer) error) error {
	f, err := s.newFile(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.abandon()
		return err
	}
	return f.publish(path)
}

// whole writes b in one piece.
func whole(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

// pendingFile is a file on its way into a directory: under a temporary name until publish gives it
// its own, so that nobody ever sees half of it. It sums up what is written to it.
type pendingFile struct {
	s    *Store
	f    *os.File
	sum  hash.Hash
	size int64
	err  error // the first write that failed
}

func (s *Store) newFile(dir string) (*pendingFile, error) {
	if err := s.fault("create", dir); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, tempPrefix) // mode 0600
	if err != nil {
		return nil, err
	}
	return &pendingFile{s: s, f: f, sum: sha256.New()}, nil
}

func (p *pendingFile) Write(b []byte) (int, error) {
	if p.err == nil {
		p.err = p.s.fault("write", p.f.Name())
	}
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.f.Write(b)
	p.sum.Write(b[:n])
	p.size += int64(n)
	p.err = err
	return n, err
}

// digest is the SHA-256 of what was written so far.
func (p *pendingFile) digest() [32]byte { return [32]byte(p.sum.Sum(nil)) }

// publish makes the file durable under its name, in the order that matters: content, name,
// directory.
func (p *pendingFile) publish(path string) error {
	err := p.s.fault("sync", path)
	if err == nil {
		err = p.f.Sync()
	}
	if err != nil {
		p.abandon()
		return err
	}
	if err = p.f.Close(); err == nil {
		err = p.s.fault("rename", path)
	}
	if err == nil {
		err = os.Rename(p.f.Name(), path)
	}
	if err != nil {
		p.abandon()
		return err
	}
	if err := p.s.fault("syncdir", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// abandon removes the file. What goes wrong is left to the next Open, which removes it too.
func (p *pendingFile) abandon() {
	_ = p.f.Close()
	_ = os.Remove(p.f.Name())
}

var _ io.Writer = (*pendingFile)(nil)
