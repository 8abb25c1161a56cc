package store

import (
	"encoding/binary"
	"hash/fnv"

	bolt "go.etcd.io/bbolt"
)

// bucketNotes has, by number, what was found wrong with the folder and what was done about it.
var bucketNotes = []byte("notes")

// maxNotes is how many of them are kept: the last ones.
const maxNotes = 20

// putNote adds a note in a transaction that changes what it tells of.
func putNote(tx *bolt.Tx, text string) error {
	b, err := tx.CreateBucketIfNotExists(bucketNotes)
	if err != nil {
		return err
	}
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	if n > maxNotes {
		if err := b.Delete(recordKey(n - maxNotes)); err != nil {
			return err
		}
	}
	return b.Put(recordKey(n), []byte(text))
}

// Notes says, oldest first, what was found wrong with the folder in its life and what was done about it,
// each in one line. A sound folder has none.
func (s *Store) Notes() (list []string, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketNotes)
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, v []byte) error {
			list = append(list, string(v))
			return nil
		})
	})
	return list, wrap("notes", err)
}

// tornNote tells of the one thing that bbolt mends without a word.
const tornNote = "the last change to " + indexFile + " was found half written and left out, as a power cut leaves it: " +
	"nothing that was acknowledged is lost, unless the disk has damaged that page since"

// noteTorn leaves a note if the last transaction was cut short. bbolt writes the two pages at the
// beginning of its file in turn, as the end of each transaction, and takes the one before where the last is
// not whole. A page that was whole once and is no longer looks the same, so it has to be said. Writing the
// note writes that page anew; a full disk leaves it for the next time.
func (s *Store) noteTorn() error {
	size := s.db.Info().PageSize
	for at := range 2 {
		page := make([]byte, size)
		if _, err := s.index.ReadAt(page, int64(at*size)); err != nil {
			return err
		}
		if wholeMeta(page) {
			continue
		}
		if err := s.update(func(tx *bolt.Tx) error { return putNote(tx, tornNote) }); err != nil && !isFull(err) {
			return err
		}
		return nil
	}
	return nil
}

// A page of bbolt that ends a transaction is a header of 16 bytes, the magic number, 52 bytes more and the
// FNV-1a sum of all after the header.
const metaHeader, metaSummed, metaMagic = 16, 56, 0xED0CDAED

func wholeMeta(page []byte) bool {
	m := page[metaHeader:]
	h := fnv.New64a()
	h.Write(m[:metaSummed])
	return binary.NativeEndian.Uint32(m) == metaMagic && binary.NativeEndian.Uint64(m[metaSummed:]) == h.Sum64()
}
