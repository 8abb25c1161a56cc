package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// The learning log is a bucket of the index. Its keys are sequence numbers, eight bytes big-endian
// so that they sort, from 1 and without a gap; its values are
//
//	CRC-32C of key and record, four bytes little-endian | record
//
// The bucket's own sequence is the number of the last record ever written, so that records missing
// at the end are noticed as well.

// maxRecord bounds one record.
const maxRecord = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func recordKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func checksum(key, rec []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rec)
}

// Append adds records to the learning log, all of them or none: they are on the disk when it
// returns nil. Many records in one call cost about as much as one. After an error some or all may
// still be found by a later Replay, which a process killed in mid-call can see too.
//
// A log with records from before Open is to be replayed first. If it was not, the first Append
// reads it through, and refuses to go on behind a damaged record that nobody was told of.
func (s *Store) Append(records [][]byte) error {
	for _, rec := range records {
		if len(rec) > maxRecord {
			return fmt.Errorf("store: append: a record of %d bytes is over the limit of %d", len(rec), maxRecord)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.checked {
		if _, err := s.scan(s.base.seq, nil); errors.Is(err, ErrDamaged) {
			return wrap("append", fmt.Errorf("replay the log first: %w", err))
		} else if err != nil {
			return wrap("append", err)
		}
		s.checked = true
	}
	if len(records) == 0 {
		return nil
	}
	if err := s.keepDamaged(); err != nil {
		return wrap("append", err)
	}
	err := s.update(func(tx *bolt.Tx) error {
		if err := s.cutTail(tx); err != nil {
			return err
		}
		b := tx.Bucket(bucketLog)
		b.FillPercent = 0.95 // keys only grow: there is nothing to leave room for
		for _, rec := range records {
			seq, err := b.NextSequence()
			if err != nil {
				return err
			}
			key := recordKey(seq)
			val := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(rec)), checksum(key, rec))
			if err := b.Put(key, append(val, rec...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.cut = 0
	}
	return wrap("append", err)
}

// damagedCopy names what keepDamaged keeps.
func damagedCopy(seq uint64) string { return fmt.Sprintf("index-damaged-at-%d.db", seq) }

// keepDamaged copies the index as it was found, before the damaged end of the log is dropped: what a
// machine must not replay, a person may still want to read. s.mu is held.
func (s *Store) keepDamaged() error {
	if s.cut == 0 {
		return nil
	}
	path := filepath.Join(s.dir, damagedCopy(s.cut))
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return s.copyIndex(path)
}

// cutTail drops the damaged end of the log that a Replay has reported, so that what is appended
// follows the last sound record. s.mu is held.
func (s *Store) cutTail(tx *bolt.Tx) error {
	if s.cut == 0 {
		return nil
	}
	b := tx.Bucket(bucketLog)
	var doomed [][]byte
	c := b.Cursor()
	lastSound := recordKey(s.cut - 1)
	for k, _ := c.Seek(append(lastSound, 0)); k != nil; k, _ = c.Next() {
		doomed = append(doomed, append([]byte{}, k...))
	}
	for _, k := range doomed {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	if err := b.SetSequence(s.cut - 1); err != nil {
		return err
	}
	return putNote(tx, fmt.Sprintf("%s: the log goes on from the record before it; %s is as it was found in %s", s.why, indexFile, damagedCopy(s.cut)))
}

// Report is what a Replay found.
type Report struct {
	After   uint64 // the sequence number that the snapshot covers; 0 without one
	Records int    // how many records were replayed
	Lost    int    // how many were appended but could not be
}

// Replay hands the records that came after the snapshot to fn, in order; the record's bytes belong
// to fn. Which snapshot that is, LoadSnapshot or LoadPrevious has decided; without either it is the
// newest. An error of fn ends the replay and is returned.
//
// A record that fails its checksum, or that is missing, ends the replay too: the error wraps
// ErrDamaged and names its sequence number and its place in the file, and the Report counts what is
// lost. The next Append or Snapshot keeps a copy of the index, drops the lost records, goes on from
// the last sound one and leaves a note of it. So does a page of the log that cannot be read, but what
// is behind it cannot be dropped: Append and Snapshot then fail until the index is moved away.
func (s *Store) Replay(fn func(seq uint64, rec []byte) error) (Report, error) {
	s.mu.Lock()
	after := s.base.seq
	s.mu.Unlock()

	rep, err := s.scan(after, fn)

	s.mu.Lock()
	defer s.mu.Unlock()
	var bad *damagedRecord
	if errors.As(err, &bad) {
		s.cut, s.why = bad.seq, bad.what()
	}
	if err == nil || bad != nil {
		s.checked = true
	} else if errors.Is(err, ErrDamaged) {
		s.unread = err
	}
	return rep, wrap("replay", err)
}

// damagedRecord ends a replay.
type damagedRecord struct {
	seq    uint64
	reason string
	rep    Report
}

// what is wrong, with the record's number and place, and what it costs.
func (e *damagedRecord) what() string {
	return fmt.Sprintf("record %d is %v (%s): the %d before it were replayed, %d are lost", e.seq, ErrDamaged, e.reason, e.rep.Records, e.rep.Lost)
}

func (e *damagedRecord) Error() string {
	return fmt.Sprintf("%s: to have them back, put a sound copy of %s in its place before anything else is learnt; if there is none, "+
		"just go on, and %s will keep it as it was found", e.what(), indexFile, damagedCopy(e.seq))
}

func (e *damagedRecord) Unwrap() error { return ErrDamaged }

type record struct {
	seq uint64
	rec []byte
}

// scan goes through the records after a sequence number. Records are copied out of the index in
// batches, so that fn runs outside of any transaction and may use the store. Those that came before a
// page that cannot be read are handed out before it is told of.
func (s *Store) scan(after uint64, fn func(uint64, []byte) error) (Report, error) {
	const batchRecords, batchBytes = 512, 1 << 20
	rep := Report{After: after}
	for next := after + 1; ; {
		var batch []record
		var last uint64
		reason, size := "", 0
		unread := s.view(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketLog)
			last = b.Sequence()
			c := b.Cursor()
			for k, v := c.Seek(recordKey(next)); k != nil && len(batch) < batchRecords && size < batchBytes; k, v = c.Next() {
				due := next + uint64(len(batch))
				switch {
				case len(k) != 8 || binary.BigEndian.Uint64(k) != due:
					reason = "it is missing"
				case len(v) < 4 || binary.LittleEndian.Uint32(v) != checksum(k, v[4:]):
					reason = fmt.Sprintf("its checksum does not match, at byte %d of %s", s.offset(v), indexFile)
				}
				if reason != "" {
					return nil
				}
				batch = append(batch, record{due, append([]byte{}, v[4:]...)})
				size += len(v)
			}
			if len(batch) == 0 && next <= last {
				reason = "it is missing"
			}
			return nil
		})
		for _, r := range batch {
			if fn != nil {
				if err := fn(r.seq, r.rec); err != nil {
					return rep, err
				}
			}
			rep.Records++
		}
		next += uint64(len(batch))
		switch {
		case unread != nil:
			rep.Lost = lost(last, next)
			return rep, unread
		case reason != "":
			rep.Lost = lost(last, next)
			return rep, &damagedRecord{next, reason, rep}
		case len(batch) == 0 && last < next-1:
			return rep, &damagedRecord{next, fmt.Sprintf("the log counts %d", last), rep}
		case len(batch) == 0:
			return rep, nil
		}
	}
}

// lost counts the records from next to last; next itself is one whatever last says.
func lost(last, next uint64) int {
	return int(min(max(last, next)-next, math.MaxInt32-1)) + 1
}

// offset is where in the index's file a value lies that a transaction has handed out.
func (s *Store) offset(v []byte) int64 {
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(v))) - s.db.Info().Data)
}
