//go:build !windows

package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// fullErrnos are what the system says when there is no room.
var fullErrnos = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}

// lock takes the lock file for this process. The system lets go of it when the process ends,
// however it ends.
func lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, inUse(path)
		}
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	if err := writePID(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// release closes a file that bbolt has locked and mapped. Closing alone would leave it locked for
// as long as it is mapped.
func release(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readableByOthers reports whether the system lets anyone but the owner at a file of that mode.
func readableByOthers(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }
