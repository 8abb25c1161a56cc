package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// Entry is one row of a table.
type Entry struct {
	Key string
	Val []byte
}

func tableName(table string) []byte { return []byte("table/" + table) }

// Put sets a key of a table, and is durable when it returns. Table and key must not be empty.
func (s *Store) Put(table, key string, val []byte) error {
	what := "put " + table + "/" + key
	if table == "" || key == "" || len(key) > bolt.MaxKeySize {
		return fmt.Errorf("store: %s: a table and a key have 1 to %d bytes", what, bolt.MaxKeySize)
	}
	return wrap(what, s.update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(tableName(table))
		if err != nil {
			return err
		}
		return b.Put([]byte(key), val)
	}))
}

// Get returns the value of a key, which belongs to the caller, or ErrNone.
func (s *Store) Get(table, key string) (val []byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(tableName(table))
		if b == nil {
			return ErrNone
		}
		v := b.Get([]byte(key))
		if v == nil {
			return ErrNone
		}
		val = append([]byte{}, v...)
		return nil
	})
	return val, wrap("get "+table+"/"+key, err)
}

// Delete removes a key of a table. Removing what is not there is no error.
func (s *Store) Delete(table, key string) error {
	return wrap("delete "+table+"/"+key, s.update(func(tx *bolt.Tx) error {
		if b := tx.Bucket(tableName(table)); b != nil {
			return b.Delete([]byte(key))
		}
		return nil
	}))
}

// List returns a table in the order of its keys; one that was never written is empty.
func (s *Store) List(table string) (entries []Entry, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(tableName(table))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			entries = append(entries, Entry{string(k), bytes.Clone(v)})
			return nil
		})
	})
	return entries, wrap("list "+table, err)
}

// PeerBook keeps the addresses at which peers were last met.
type PeerBook struct{ s *Store }

// PeerBook returns the address book in this store.
func (s *Store) PeerBook() PeerBook { return PeerBook{s} }

const peerTable, peerKey = "peers", "book"

// Load returns the addresses last saved, in that order; none if there are none to be had.
func (p PeerBook) Load() []string {
	b, err := p.s.Get(peerTable, peerKey)
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(string(b), "\n")
}

// Save replaces the addresses. An address is one line.
func (p PeerBook) Save(addrs []string) error {
	for _, a := range addrs {
		if a == "" || strings.Contains(a, "\n") {
			return errors.New("store: save peers: an address is empty or has more than one line")
		}
	}
	return p.s.Put(peerTable, peerKey, []byte(strings.Join(addrs, "\n")))
}
