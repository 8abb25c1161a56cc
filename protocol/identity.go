package protocol

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// A PeerID is the name of a peer, and its public key: an ed25519 key in the textual form that
// libp2p gives it, such as 12D3KooW…. Nobody hands names out, and nobody can take another's.
// The zero PeerID names no peer.
type PeerID string

// idPrefix is what comes before the 32 bytes of the key: the identity multihash of 36 bytes, which
// are a protocol buffer with field 1 (type) = 1 (ed25519) and field 2 (data) of 32 bytes.
var idPrefix = []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}

// NewPeerID returns the name of the peer whose public key is pub.
func NewPeerID(pub ed25519.PublicKey) PeerID {
	return PeerID(base58(append(bytes.Clone(idPrefix), pub...)))
}

var errPeerID = errors.New("protocol: not the name of an ed25519 key")

// Key returns the public key that id names.
func (id PeerID) Key() (ed25519.PublicKey, error) {
	b, ok := unbase58(string(id), len(idPrefix)+ed25519.PublicKeySize)
	if !ok || !bytes.HasPrefix(b, idPrefix) {
		return nil, fmt.Errorf("%w: %q", errPeerID, string(id))
	}
	return ed25519.PublicKey(b[len(idPrefix):]), nil
}

// Short returns the last six characters of id, enough to tell one peer from another in a log.
// The first eight are the same for everyone.
func (id PeerID) Short() string {
	if len(id) <= 6 {
		return string(id)
	}
	return string(id[len(id)-6:])
}

// A Digest is a SHA-256 hash.
type Digest [sha256.Size]byte

// Sum returns the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

// String returns the first eight hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:4]) }

const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58 writes b as a number to the base 58, most significant digit first, and a 1 for each
// leading zero byte. It is quadratic, which at 38 bytes is nothing.
func base58(b []byte) string {
	var digits []byte // least significant first
	for _, c := range b {
		carry := int(c)
		for i := range digits {
			carry += int(digits[i]) << 8
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	for i := 0; i < len(b) && b[i] == 0; i++ {
		digits = append(digits, 0)
	}
	s := make([]byte, len(digits))
	for i, d := range digits {
		s[len(s)-1-i] = base58Digits[d]
	}
	return string(s)
}

// unbase58 is the inverse of base58 for results of exactly n bytes. One number has one form, so
// no two strings give the same bytes.
func unbase58(s string, n int) ([]byte, bool) {
	if len(s) > 2*n {
		return nil, false
	}
	b := make([]byte, 0, n) // least significant first
	zeros := 0
	for i := range len(s) {
		carry := bytes.IndexByte([]byte(base58Digits), s[i])
		if carry < 0 {
			return nil, false
		}
		if carry == 0 && zeros == i {
			zeros++
			continue
		}
		for j := range b {
			carry += int(b[j]) * 58
			b[j] = byte(carry)
			carry >>= 8
		}
		for ; carry > 0; carry >>= 8 {
			if len(b) == n {
				return nil, false
			}
			b = append(b, byte(carry))
		}
	}
	if zeros+len(b) != n {
		return nil, false
	}
	b = append(b, make([]byte, zeros)...)
	for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return b, true
}
