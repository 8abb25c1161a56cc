package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// partSuffix marks a file that is being written. It takes the place of the real one when it is whole.
const partSuffix = ".part"

// replace puts b into a file, all of it or nothing, whatever stops the machine.
func replace(path string, b []byte) error {
	if err := writeSynced(path+partSuffix, b); err != nil {
		_ = os.Remove(path + partSuffix) // the first error is the one to tell
		return fmt.Errorf("%s: cannot be written: %w: make room, or check the folder", path, bare(err))
	}
	if err := os.Rename(path+partSuffix, path); err != nil {
		return fmt.Errorf("%s: cannot be replaced: %w: check the folder", path, err)
	}
	// Where folders can be synced, the new name outlives a power cut too.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
