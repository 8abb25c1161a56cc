package ui

import (
	"io"
	"os"
	"path/filepath"
)

// WriteFile writes a result: whoever reads path finds the old content or the new, never a part.
func WriteFile(path string, b []byte) error {
	return WriteFileFrom(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// WriteFileFrom is WriteFile for what is too much to have at once: write writes all of it.
func WriteFileFrom(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
