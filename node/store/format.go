package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// metaFormat is where the index keeps the format of the folder, four bytes little-endian. A folder
// from before there was one is of format 1.
var metaFormat = []byte("format")

func putFormat(tx *bolt.Tx, format uint32) error {
	return tx.Bucket(bucketMeta).Put(metaFormat, binary.LittleEndian.AppendUint32(nil, format))
}

// takeOver makes the folder one of the caller's format. It refuses a newer one, and keeps a copy of
// an older one.
func (s *Store) takeOver(format uint32) error {
	have := uint32(1)
	if err := s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketMeta).Get(metaFormat)
		switch len(b) {
		case 0:
		case 4:
			have = binary.LittleEndian.Uint32(b)
		default:
			return fmt.Errorf("%s is %w: its format has %d bytes: %s", indexFile, ErrDamaged, len(b), mend)
		}
		return nil
	}); err != nil {
		return err
	}
	switch {
	case have > format:
		way := "take another --home"
		if old := s.backupName(format); old != "" {
			way = "go on from before the change with --home " + filepath.Join(s.dir, old)
		}
		return fmt.Errorf("the folder is %w (format %d, this program writes %d) and was left as it is: update yan-node, or %s",
			ErrNewer, have, format, way)
	case have == format:
		return nil
	}
	if err := s.backup(have); err != nil {
		return fmt.Errorf("keep a copy of format %d: %w", have, err)
	}
	return s.update(func(tx *bolt.Tx) error { return putFormat(tx, format) })
}

const backupPrefix = "backup-"

// backupName is the newest backup of that format, without its folder; empty if there is none.
func (s *Store) backupName(format uint32) (last string) {
	for n := 1; ; n++ {
		name := backupNth(format, n)
		if _, err := os.Stat(filepath.Join(s.dir, name)); err != nil {
			return last
		}
		last = name
	}
}

// backupNth names the nth backup of a format: whoever goes back and forth between two programs has several.
func backupNth(format uint32, n int) string {
	if n == 1 {
		return fmt.Sprintf("%s%d", backupPrefix, format)
	}
	return fmt.Sprintf("%s%d-%d", backupPrefix, format, n)
}

// backup keeps what the folder is now as a folder of its own, which a program of that format opens as it
// is. It has its name when it is whole. Bodies and snapshots are never changed under their names, so
// where the system can they are shared and not copied.
func (s *Store) backup(format uint32) error {
	part := filepath.Join(s.dir, tempPrefix+"backup")
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := s.fault("create", part); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(part, blobDir), 0o700); err != nil {
		return err
	}
	err := s.fillBackup(part)
	if err == nil {
		n := 1
		for _, err := os.Stat(filepath.Join(s.dir, backupNth(format, n))); err == nil; n++ {
			_, err = os.Stat(filepath.Join(s.dir, backupNth(format, n+1)))
		}
		if err = s.fault("rename", part); err == nil {
			err = os.Rename(part, filepath.Join(s.dir, backupNth(format, n)))
		}
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return syncDir(s.dir)
}

func (s *Store) fillBackup(part string) error {
	if err := s.copyFile(filepath.Join(part, keyFile), filepath.Join(s.dir, keyFile)); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, blobDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		from, to := filepath.Join(s.dir, blobDir, e.Name()), filepath.Join(part, blobDir, e.Name())
		if os.Link(from, to) == nil {
			continue
		}
		if err := s.copyFile(to, from); err != nil {
			return err
		}
	}
	if err := s.copyIndex(filepath.Join(part, indexFile)); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Join(part, blobDir)), syncDir(part))
}

// copyFile copies a file whole; one that is not there is not an error.
func (s *Store) copyFile(to, from string) error {
	f, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	return s.writeFile(to, func(w io.Writer) error { _, err := io.Copy(w, f); return err })
}

// copyIndex writes the index, as the last transaction left it, to a file of its own.
func (s *Store) copyIndex(to string) error {
	return s.writeFile(to, func(w io.Writer) error {
		return s.view(func(tx *bolt.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}
