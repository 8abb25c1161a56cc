package store

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// writePID leaves the holder's number in the lock file, for the message of whoever finds it taken.
// The lock does not depend on it, so a full disk does not matter here.
func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil && !isFull(err) {
		return err
	}
	return nil
}

// inUse says who holds the lock.
func inUse(path string) error {
	b, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(b))
	if _, bad := strconv.Atoi(pid); err != nil || bad != nil {
		pid = "unknown"
	}
	return fmt.Errorf("the folder is %w by another yan-node (pid %s): stop it, or give this one another --home", ErrInUse, pid)
}
