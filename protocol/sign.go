package protocol

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrBadSignature is returned by Verify when the author did not sign what stands there.
var ErrBadSignature = errors.New("protocol: bad signature")

// announceContext keeps the signatures of announcements apart from every other use of a peer's key.
const announceContext = "yan announce v1\x00"

// signed returns the bytes that the author signs. They are written by hand and not by the codec:
// two encoders may legally disagree, two signers may not. What has no fixed length comes after its
// length, so no two announcements give the same bytes.
func (m *Announce) signed() []byte {
	b := make([]byte, 0, 384)
	b = append(b, announceContext...)
	b = binary.AppendUvarint(b, uint64(len(m.ID.Author)))
	b = append(b, m.ID.Author...)
	b = binary.AppendUvarint(b, m.ID.Seq)
	b = append(b, m.Model[:]...)
	b = binary.AppendUvarint(b, uint64(len(m.Skill)))
	b = append(b, m.Skill...)
	b = binary.AppendUvarint(b, m.Replaces)
	b = binary.AppendUvarint(b, uint64(m.Sections))
	b = binary.AppendUvarint(b, m.Events)
	b = binary.AppendVarint(b, m.Gain)
	b = binary.AppendVarint(b, m.Made)
	b = append(b, m.Digest[:]...)
	return binary.AppendUvarint(b, uint64(m.Size))
}

// Name returns the digest of what the author signed, the body's digest in it: two updates of one ID that differ in anything
// have two names.
func (m *Announce) Name() Digest { return Sum(m.signed()) }

// Sign sets Sig. The key must be the one that ID.Author names, or nobody will believe it.
func (m *Announce) Sign(key ed25519.PrivateKey) { m.Sig = ed25519.Sign(key, m.signed()) }

// Verify returns an error unless the peer that ID.Author names signed m. It says nothing of a body.
func (m *Announce) Verify() error {
	pub, err := m.ID.Author.Key()
	if err != nil {
		return fmt.Errorf("%w: %v", ErrBadSignature, err)
	}
	if !ed25519.Verify(pub, m.signed(), m.Sig) {
		return ErrBadSignature
	}
	return nil
}

// Verify returns an error unless the author signed the announcement and Body is what it announces.
// It looks at what is cheap first: the length, the signature, then the digest.
func (m *Update) Verify() error {
	if uint64(len(m.Body)) != uint64(m.Size) {
		return fmt.Errorf("%w: %d bytes of body where %d are announced", ErrMalformed, len(m.Body), m.Size)
	}
	if err := m.Announce.Verify(); err != nil {
		return err
	}
	if Sum(m.Body) != m.Digest {
		return fmt.Errorf("%w: not the body that is announced", ErrMalformed)
	}
	return nil
}
