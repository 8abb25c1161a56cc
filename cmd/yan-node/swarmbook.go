package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
	"github.com/yanmesh/yan/protocol"
)

// A swarmBook is the folder in a home that holds what the device has of its swarm:
//
//	key                the swarm's private key, where its owner made it
//	admission          this device's own
//	issued/SERIAL      each admission that the key signed
//	revoked/PEER       the last revocation of each peer
//
// Every file but the key is one line, a pass. Each is written whole or not at all and says all there is to say
// of one thing, so commands and a node that runs may write at once, and need no lock. It is a p2p.SwarmBook.
type swarmBook struct{ dir string }

const (
	identityFile  = "identity.key"
	swarmFolder   = "swarm"
	swarmKeyFile  = "key"
	admissionFile = "admission"
	issuedFolder  = "issued"
	revokedFolder = "revoked"
)

func bookIn(home string) swarmBook { return swarmBook{filepath.Join(home, swarmFolder)} }

func (b swarmBook) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}

// joined reports whether the device is in a swarm.
func (b swarmBook) joined() bool {
	_, err := os.Lstat(b.path(admissionFile))
	return err == nil
}

// owned reports whether the swarm's key is here.
func (b swarmBook) owned() bool {
	_, err := os.Lstat(b.path(swarmKeyFile))
	return err == nil
}

// name is that of the swarm which the device is in; empty if it is in none.
func (b swarmBook) name() (string, error) {
	if !b.joined() {
		return "", nil
	}
	p, err := b.Load()
	if err != nil {
		return "", err
	}
	return p.Swarm.String(), nil
}

// Load returns this device's admission and what is known to be revoked.
func (b swarmBook) Load() (*protocol.Pass, error) {
	p, err := readPass(b.path(admissionFile))
	if err != nil {
		return nil, err
	}
	if p.Admission == nil {
		return nil, fmt.Errorf("%s holds no admission: ask the swarm's owner for one and run yan-node swarm join", b.path(admissionFile))
	}
	p.Revoked, err = b.revoked(p.Swarm)
	return p, err
}

// revoked lists what was revoked in a swarm, sorted by peer.
func (b swarmBook) revoked(s protocol.SwarmID) ([]protocol.Revocation, error) {
	passes, err := readPasses(b.path(revokedFolder))
	if err != nil {
		return nil, err
	}
	roll := protocol.NewRoll(s)
	for _, p := range passes {
		for _, r := range p.Revoked {
			if _, err := roll.Add(r); err != nil {
				return nil, fmt.Errorf("%s: the revocation of %s: %w", b.path(revokedFolder), r.Peer, err)
			}
		}
	}
	return roll.Revoked(), nil
}

// issued lists what the key signed, sorted by serial.
func (b swarmBook) issued() ([]*protocol.Admission, error) {
	passes, err := readPasses(b.path(issuedFolder))
	if err != nil {
		return nil, err
	}
	var list []*protocol.Admission
	for _, p := range passes {
		if p.Admission != nil {
			list = append(list, p.Admission)
		}
	}
	slices.SortFunc(list, func(x, y *protocol.Admission) int {
		if x.Serial < y.Serial {
			return -1
		}
		return 1
	})
	return list, nil
}

// Save keeps revocations, of each peer the one that goes furthest.
func (b swarmBook) Save(revoked []protocol.Revocation) error {
	for _, r := range revoked {
		path := b.path(revokedFolder, string(r.Peer))
		if p, err := readPass(path); err == nil && len(p.Revoked) == 1 && p.Revoked[0].Serial >= r.Serial {
			continue
		}
		if err := writePass(path, &protocol.Pass{Swarm: r.Swarm, Revoked: []protocol.Revocation{r}}); err != nil {
			return err
		}
	}
	return nil
}

// keep makes a this device's own admission.
func (b swarmBook) keep(a *protocol.Admission) error {
	return writePass(b.path(admissionFile), &protocol.Pass{Swarm: a.Swarm, Admission: a})
}

// issue signs an admission from now on, and keeps a copy.
func (b swarmBook) issue(key ed25519.PrivateKey, peer protocol.PeerID, now time.Time, length time.Duration) (*protocol.Admission, error) {
	serial, err := b.next(now)
	if err != nil {
		return nil, err
	}
	a := &protocol.Admission{Peer: peer, NotBefore: now.Unix(), Expires: now.Add(length).Unix(), Serial: serial}
	a.Sign(key)
	return a, writePass(b.path(issuedFolder, strconv.FormatUint(serial, 10)), &protocol.Pass{Swarm: a.Swarm, Admission: a})
}

// next is a serial that nothing has: the time, or one more than the last that was issued or revoked. So serials
// rise even where the list of what was issued is lost.
func (b swarmBook) next(now time.Time) (uint64, error) {
	list, err := b.issued()
	if err != nil {
		return 0, err
	}
	sent, err := readPasses(b.path(revokedFolder))
	if err != nil {
		return 0, err
	}
	serial := uint64(max(now.Unix(), 1))
	for _, a := range list {
		serial = max(serial, a.Serial+1)
	}
	for _, p := range sent {
		for _, r := range p.Revoked {
			serial = max(serial, r.Serial+1)
		}
	}
	return serial, nil
}

// forget lets go of another swarm.
func (b swarmBook) forget() error {
	return errors.Join(os.RemoveAll(b.path(revokedFolder)), os.RemoveAll(b.path(admissionFile)))
}

// key is the swarm's.
func (b swarmBook) key() (ed25519.PrivateKey, error) {
	key, err := readKey(b.path(swarmKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no swarm's key in %s: yan-node swarm init makes a swarm, or name its owner's --home", b.dir)
	}
	return key, err
}

// newKey makes a swarm's key and writes it. It refuses to replace one, but for taking up what was cut short.
func (b swarmBook) newKey() (ed25519.PrivateKey, error) {
	switch {
	case b.owned() && !b.joined():
		return b.key()
	case b.owned():
		return nil, fmt.Errorf("%s is there already: admit devices with yan-node swarm admit", b.path(swarmKeyFile))
	case b.joined():
		return nil, fmt.Errorf("this device is in a swarm already: name another --home, or remove %s", b.dir)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(b.path(swarmKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// identity is this device's name; a home that nobody began is begun.
func identity(home string) (protocol.PeerID, error) {
	path := filepath.Join(home, identityFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		st, err := store.Open(home, store.Options{Format: node.Format})
		if err != nil {
			return "", err
		}
		if err := st.Close(); err != nil {
			return "", err
		}
	}
	key, err := readKey(path)
	if err != nil {
		return "", err
	}
	return protocol.NewPeerID(key.Public().(ed25519.PublicKey)), nil
}

// readKey reads a private key that none but its owner may read.
func readKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", path, mode)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(b); block != nil {
		if any, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, ok := any.(ed25519.PrivateKey); ok {
				return key, nil
			}
		}
	}
	return nil, fmt.Errorf("%s is no ed25519 private key: put the right one back", path)
}

// maxPassText bounds what is read of a file that holds a pass.
const maxPassText = 2 * protocol.MaxPass

func readPass(path string) (*protocol.Pass, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPassText {
		return nil, fmt.Errorf("%s has %d bytes: it is no pass", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := new(protocol.Pass)
	if err := p.UnmarshalText(b); err != nil {
		return nil, fmt.Errorf("%s: %w: remove it, or put a sound copy back", path, err)
	}
	return p, nil
}

// readPasses reads a folder of them; one that is not there is empty.
func readPasses(dir string) (list []*protocol.Pass, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // half a file that a crash left
		}
		p, err := readPass(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, err
}

func writePass(path string, p *protocol.Pass) error {
	text, err := p.MarshalText()
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'))
}

// writeFile writes a file for its owner's eyes only: whoever reads it finds the old content or the new.
func writeFile(path string, b []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(b); err != nil {
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
