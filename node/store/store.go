// Package store is what of a node survives a restart: one folder that holds its identity, what it
// learnt and what it knows of its peers.
//
// A Store is the folder, open and locked. In it are the learning log (Append, Replay), snapshots
// of the state that the log leads to (Snapshot, LoadSnapshot), update bodies under their digests
// (PutBlob, Blob) and small tables (Put, Get, List). A Report says what a replay found.
//
//	identity.key     the private key, for its owner's eyes only
//	index.db         the log, the tables and which snapshots count (bbolt)
//	blobs/           update bodies and snapshots, each named by its SHA-256
//	lock             held while a process has the folder open; its content is that process's number
//	backup-1/        what the folder was before a program that writes format 2 took it over
//
// What a method has returned success for is on the disk, and is there after a kill or a power cut
// at any instant. What is on the disk is never believed: each record, body and snapshot is checked
// against a sum before it is handed out, and damage is an error that says what was lost. A full
// disk fails the call that needed the room, with ErrFull, and nothing else. A Store is safe for
// concurrent use. It does not know what the bytes mean, and it keeps no time.
package store

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// What a caller may want to tell apart.
var (
	ErrNone    = errors.New("there is none")
	ErrFull    = errors.New("the disk is full")
	ErrDamaged = errors.New("damaged")
	ErrNewer   = errors.New("written by a newer version")
	ErrInUse   = errors.New("in use")
	ErrClosed  = errors.New("the store is closed")
)

const (
	keyFile   = "identity.key"
	indexFile = "index.db"
	blobDir   = "blobs"
	lockFile  = "lock"

	// tempPrefix begins the name of a file that is still being written. Those that a crash left
	// behind are removed by the next Open.
	tempPrefix = ".part-"
)

// Options configures Open. The zero value is what a node uses.
type Options struct {
	// Rand is where a new identity's key comes from. If nil, crypto/rand.Reader. A folder that
	// has a key keeps it.
	Rand io.Reader

	// Format is the version of what the caller keeps in the folder. If zero, 1. A folder of a newer
	// format is refused with ErrNewer before anything in it is changed; of one of an older format a
	// copy is kept under backup-N, N being that format, before it is taken over.
	Format uint32

	// fault is asked before each step that changes the disk, and may fail it.
	fault func(step, path string) error
}

// Store is a node's folder, open and locked against other processes.
type Store struct {
	dir   string
	lock  io.Closer
	index *os.File // what db has open
	db    *bolt.DB
	key   ed25519.PrivateKey
	fault func(step, path string) error

	// broken is set when the index failed in a way that leaves its writer unusable.
	broken atomic.Pointer[error]
	closed atomic.Bool

	// blobs is held while bodies come and go, so that one that is put again is not removed.
	blobs sync.Mutex

	// snapshotting is held for the length of a Snapshot: there is one at a time.
	snapshotting sync.Mutex

	// mu guards what is known of the log and its snapshots. It is held over an index transaction
	// that changes them, and never while a caller's function runs.
	mu        sync.Mutex
	snapshots []snapshot // newest first, two at most
	base      snapshot   // the snapshot the state in memory came from; the zero one if from none
	checked   bool       // whether the log was read through since Open
	cut       uint64     // first record of a damaged end that the next change drops; 0 if sound
	why       string     // what is wrong with that record, for the note that is left of it
	unread    error      // why the log cannot be read to its end, where the index itself is damaged
	stray     *snapshot  // one that could not be made to count in a damaged index
}

// Open opens the folder dir and creates what it lacks. A folder that another process has open is
// refused with ErrInUse.
func Open(dir string, opt Options) (*Store, error) {
	if opt.Rand == nil {
		opt.Rand = rand.Reader
	}
	if opt.Format == 0 {
		opt.Format = 1
	}
	if opt.fault == nil {
		opt.fault = func(string, string) error { return nil }
	}
	s := &Store{dir: dir, fault: opt.fault}
	if err := s.open(opt); err != nil {
		s.Close()
		return nil, wrap("open "+dir, err)
	}
	return s, nil
}

func (s *Store) open(opt Options) error {
	if err := s.makeFolder(); err != nil {
		return err
	}
	var err error
	if s.lock, err = lock(filepath.Join(s.dir, lockFile)); err != nil {
		return err
	}
	fresh, err := s.openIndex(opt.Format)
	if err != nil {
		return err
	}
	if !fresh {
		if err := s.takeOver(opt.Format); err != nil {
			return err
		}
	}
	for _, dir := range []string{s.dir, filepath.Join(s.dir, blobDir)} {
		if err := removeTemps(dir); err != nil {
			return err
		}
	}
	if fresh {
		err = s.adoptSnapshots()
	} else {
		err = s.loadSnapshots()
	}
	if err != nil {
		return err
	}
	if err := s.reap(); err != nil {
		return err
	}
	if err := s.noteTorn(); err != nil {
		return err
	}
	return s.loadKey(opt.Rand)
}

// makeFolder creates the folder, where it is not there yet, for its owner alone.
func (s *Store) makeFolder() error {
	_, err := os.Stat(filepath.Join(s.dir, blobDir))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.dir, blobDir), 0o700); err != nil {
		return err
	}
	// The parent is often not ours, and some systems then let nobody open it.
	_ = syncDir(filepath.Dir(filepath.Clean(s.dir)))
	return syncDir(s.dir)
}

// removeTemps removes what a crash left half written in dir. Files of any other name are not ours
// to touch.
func removeTemps(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	bucketLog  = []byte("log")
	bucketMeta = []byte("meta")

	// bucketDropped has the digests of bodies that DropBlob was called for, each with the number of
	// the last record then.
	bucketDropped = []byte("dropped")
)

// mend is what to do about an index that is beyond use.
const mend = "move it away, and the node goes on from the newest snapshot"

// openIndex opens index.db, and says whether it had to make one. A new one is made whole under
// another name first: bbolt does not recover a file whose very first pages were cut short, by a
// full disk say.
//
// The list of free pages is kept on the disk. That makes a commit larger, but without it bbolt
// reads the whole file to open it, and one bad page in the log would cost the tables as well.
func (s *Store) openIndex(format uint32) (fresh bool, err error) {
	path := filepath.Join(s.dir, indexFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		fresh = true
		if err := removeTemps(s.dir); err != nil {
			return false, err
		}
		if err := s.makeIndex(path, format); err != nil {
			return false, err
		}
	}
	options := indexOptions
	options.OpenFile = func(name string, flag int, mode fs.FileMode) (f *os.File, err error) {
		s.index, err = os.OpenFile(name, flag, mode)
		return s.index, err
	}
	err = protect(func() (err error) {
		s.db, err = bolt.Open(path, 0o600, &options)
		return err
	})
	switch {
	case errors.Is(err, ErrDamaged):
		_ = release(s.index) // what panicked did not
		return false, err
	case errors.Is(err, berrors.ErrTimeout):
		return false, fmt.Errorf("%s is %w by another program: end it and try again", indexFile, ErrInUse)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return false, fmt.Errorf("%s is %w or not an index (%w): %s", indexFile, ErrDamaged, err, mend)
	case err != nil:
		return false, err
	}
	return fresh, s.view(func(tx *bolt.Tx) error {
		// Reading behind the end of a mapped file kills the process, so its length is seen to here.
		if info, err := os.Stat(path); err != nil {
			return err
		} else if info.Size() < tx.Size() {
			return fmt.Errorf("%s is %w: it has %d bytes of %d: %s", indexFile, ErrDamaged, info.Size(), tx.Size(), mend)
		}
		if tx.Bucket(bucketLog) == nil || tx.Bucket(bucketMeta) == nil || tx.Bucket(bucketDropped) == nil {
			return fmt.Errorf("%s is %w or another program's: %s", indexFile, ErrDamaged, mend)
		}
		return nil
	})
}

var indexOptions = bolt.Options{Timeout: 100 * time.Millisecond, FreelistType: bolt.FreelistMapType}

// makeIndex puts an empty index in place.
func (s *Store) makeIndex(path string, format uint32) error {
	if err := s.fault("create", path); err != nil {
		return err
	}
	options := indexOptions
	part := filepath.Join(s.dir, tempPrefix+indexFile)
	db, err := bolt.Open(part, 0o600, &options)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketLog, bucketMeta, bucketDropped} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return putFormat(tx, format)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// Close lets go of the folder. A Store that is closed twice stays closed.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var err error
	switch {
	case s.db == nil:
	case s.broken.Load() == nil:
		err = s.db.Close()
	default: // its writer may hold a lock for ever, for which closing would wait
		err = release(s.index)
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if err != nil {
		return wrap("close", err)
	}
	return nil
}

// Key returns the node's identity, which Open made or found.
func (s *Store) Key() ed25519.PrivateKey { return s.key }

// view runs fn in a reading transaction. What fn reads is the index's memory until it returns.
func (s *Store) view(fn func(*bolt.Tx) error) error {
	return protect(func() error { return s.db.View(fn) })
}

// update runs fn in a writing transaction, which is on the disk when update returns nil and has
// not happened at all when it returns an error.
func (s *Store) update(fn func(*bolt.Tx) error) error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	panicked := true
	err := protect(func() error {
		err := s.db.Update(func(tx *bolt.Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			return s.fault("commit", indexFile)
		})
		panicked = false
		return err
	})
	if panicked {
		s.broken.Store(&err)
	}
	return err
}

// protect turns a panic of fn into an error. bbolt trusts its pages and panics on bad ones, and a
// page that the disk cannot give faults when it is touched; both are damage to report, not reasons
// to fall over.
func protect(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s is %w (%v): %s", indexFile, ErrDamaged, p, mend)
		}
	}()
	return fn()
}

// wrap gives an error the package's name and what was being done, and marks those of a full disk.
func wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFull):
		return fmt.Errorf("store: %s: %w", what, err)
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return fmt.Errorf("store: %s: %w", what, ErrClosed)
	case isFull(err):
		return fmt.Errorf("store: %s: %w", what, &fullError{err})
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

// fullError is ErrFull and ENOSPC to errors.Is, whatever the system called it.
type fullError struct{ err error }

func (e *fullError) Error() string {
	return fmt.Sprintf("%v: make room and try again (%v)", ErrFull, e.err)
}

func (e *fullError) Unwrap() []error { return []error{ErrFull, syscall.ENOSPC, e.err} }

// isFull reports whether an error says that there is no room. bbolt passes some of them on as text.
func isFull(err error) bool {
	for _, full := range fullErrnos {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}
