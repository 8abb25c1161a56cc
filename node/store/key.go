package store

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// pemType is the header of a PKCS #8 private key, the form that other tools read too.
const pemType = "PRIVATE KEY"

// metaIdentity is where the index keeps the public key that the folder was made with.
var metaIdentity = []byte("identity")

// loadKey reads identity.key, or makes it in a folder that never had one.
func (s *Store) loadKey(random io.Reader) error {
	var known []byte
	if err := s.view(func(tx *bolt.Tx) error {
		known = bytes.Clone(tx.Bucket(bucketMeta).Get(metaIdentity))
		return nil
	}); err != nil {
		return err
	}

	path := filepath.Join(s.dir, keyFile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && known != nil:
		return fmt.Errorf("%s is missing, but the folder belongs to an identity: put the key back, or start with an empty folder", keyFile)
	case errors.Is(err, fs.ErrNotExist):
		if b, err = newKey(random); err != nil {
			return err
		}
		if err := s.writeFile(path, whole(b)); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if readableByOthers(info.Mode()) {
		return fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", keyFile, info.Mode().Perm())
	}
	if s.key, err = parseKey(b); err != nil {
		return fmt.Errorf("%s: %w: put the right key back, or move it away with the rest of the folder", keyFile, err)
	}

	public := s.key.Public().(ed25519.PublicKey)
	switch {
	case known == nil:
		return s.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaIdentity, public) })
	case !bytes.Equal(known, public):
		return fmt.Errorf("%s is not the key this folder was made with: put that one back, or start with an empty folder", keyFile)
	}
	return nil
}

func newKey(random io.Reader) ([]byte, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("new identity: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, fmt.Errorf("new identity: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

func parseKey(b []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != pemType || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not one PEM private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a PKCS #8 private key")
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("an identity is an ed25519 key, this is a %T", key)
	}
	return private, nil
}
