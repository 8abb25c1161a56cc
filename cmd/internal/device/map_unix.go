//go:build unix

package device

import (
	"os"
	"syscall"
)

// contents maps a file of size bytes into memory: it is there at once, and every process that reads it has the same
// pages. They stay mapped for as long as the process lives. Whoever replaces the file does so by renaming: what
// is cut short under a reader is gone for it.
func contents(f *os.File, size int) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return b, nil
}
