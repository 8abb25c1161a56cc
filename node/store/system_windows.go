package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// fullErrnos are what the system says when there is no room: ERROR_HANDLE_DISK_FULL and
// ERROR_DISK_FULL.
var fullErrnos = []syscall.Errno{39, 112}

const sharingViolation = syscall.Errno(32)

// lock takes the lock file for this process by opening it for writing without letting others do
// the same. The system lets go of it when the process ends, however it ends.
func lock(path string) (io.Closer, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.FILE_SHARE_READ, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		if errors.Is(err, sharingViolation) {
			return nil, inUse(path)
		}
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(h), path)
	if err := writePID(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// release closes a file that bbolt has locked and mapped.
func release(f *os.File) error { return f.Close() }

// syncDir does nothing: a directory cannot be synced here, and its names are journalled.
func syncDir(string) error { return nil }

// readableByOthers cannot be told from a file's mode here.
func readableByOthers(fs.FileMode) bool { return false }
