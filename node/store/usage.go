package store

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Usage is what a folder takes of the disk, in bytes, and what there is left.
type Usage struct {
	Index         int64 // the log and the tables, with room in it that was freed
	Bodies        int
	BodyBytes     int64
	Snapshots     int
	SnapshotBytes int64
	LogRecords    uint64 // since the newest snapshot: what a start would have to replay
	Free          int64  // on the disk, for whoever asks; −1 where the system does not say
}

// Usage says what the folder takes. It waits for nobody who writes.
func (s *Store) Usage() (u Usage, err error) {
	if s.closed.Load() {
		return u, wrap("usage", ErrClosed)
	}
	err = s.view(func(tx *bolt.Tx) error {
		u.LogRecords = tx.Bucket(bucketLog).Sequence()
		if b := tx.Bucket(bucketMeta).Get(metaSnapshots); len(b) >= snapshotBytes {
			u.LogRecords -= min(u.LogRecords, binary.LittleEndian.Uint64(b[40:]))
		}
		return nil
	})
	if err != nil {
		return u, wrap("usage", err)
	}
	info, err := s.index.Stat()
	if err != nil {
		return u, wrap("usage", err)
	}
	u.Index = info.Size()
	dir := filepath.Join(s.dir, blobDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return u, wrap("usage", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // removed since
		}
		if strings.HasSuffix(e.Name(), snapshotSuffix) {
			u.Snapshots, u.SnapshotBytes = u.Snapshots+1, u.SnapshotBytes+info.Size()
		} else {
			u.Bodies, u.BodyBytes = u.Bodies+1, u.BodyBytes+info.Size()
		}
	}
	u.Free = free(dir)
	return u, nil
}
