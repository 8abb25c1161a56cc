package store

import (
	"bytes"
	"crypto/sha256"
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
)

// PutBlob keeps b under its SHA-256, which it returns. Bytes that are there already are not
// written again.
func (s *Store) PutBlob(b []byte) (digest [32]byte, err error) {
	digest = sha256.Sum256(b)
	if s.closed.Load() {
		return digest, wrap("put blob", ErrClosed)
	}
	path := s.blobPath(digest)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return digest, wrap("put blob", syncDir(filepath.Dir(path)))
	}
	return digest, wrap("put blob", s.writeFile(path, b))
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

// DropBlob forgets the bytes under digest. Dropping what is not there is no error.
func (s *Store) DropBlob(digest [32]byte) error {
	if s.closed.Load() {
		return wrap("drop blob", ErrClosed)
	}
	if err := os.Remove(s.blobPath(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap("drop blob", err)
	}
	return nil
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
	for _, e := range entries {
		if d, ok := parseDigest(e.Name()); ok && e.Type().IsRegular() {
			out = append(out, d)
		}
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
func (s *Store) writeFile(path string, b []byte) error {
	f, err := s.newFile(filepath.Dir(path))
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		f.abandon()
		return err
	}
	return f.publish(path)
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
