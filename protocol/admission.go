package protocol

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// A SwarmID names a swarm: it is the ed25519 public key of whoever says which devices are in it.
type SwarmID [ed25519.PublicKeySize]byte

// NewSwarmID returns the name of the swarm whose public key is pub.
func NewSwarmID(pub ed25519.PublicKey) (s SwarmID) {
	copy(s[:], pub)
	return s
}

// String returns the public name, such as swarm-4Rf….
func (s SwarmID) String() string { return "swarm-" + base58(s[:]) }

// The limits of what is said of a swarm.
const (
	MaxRevoked = 1000      // revocations of one swarm
	MaxPass    = 160 << 10 // bytes of a pass on the wire
	maxReason  = 160       // bytes in Pass.Refused
)

// An Admission says that a peer is in a swarm, for a time. It is no secret: it is worth nothing to
// anyone but the peer it names, whose key every connection proves.
type Admission struct {
	Swarm     SwarmID
	Peer      PeerID
	NotBefore int64  // Unix seconds
	Expires   int64  // Unix seconds; from this second on it is worth nothing
	Serial    uint64 // from 1; of a peer's admissions the later has the higher
	Sig       []byte // the swarm key's, over everything above
}

// A Revocation takes back all admissions of a peer up to a serial. It names no time: it holds whenever
// it is heard, and a later admission is not touched by it.
type Revocation struct {
	Swarm  SwarmID
	Peer   PeerID
	Serial uint64 // the last one that is void
	Sig    []byte // the swarm key's, over everything above
}

// The contexts keep the signatures of a swarm's key apart from one another and from every other use.
const (
	admissionContext  = "yan admission v1\x00"
	revocationContext = "yan revocation v1\x00"
)

func (a *Admission) signed() []byte {
	b := append(make([]byte, 0, 160), admissionContext...)
	b = append(b, a.Swarm[:]...)
	b = binary.AppendUvarint(b, uint64(len(a.Peer)))
	b = append(b, a.Peer...)
	b = binary.AppendVarint(b, a.NotBefore)
	b = binary.AppendVarint(b, a.Expires)
	return binary.AppendUvarint(b, a.Serial)
}

func (r *Revocation) signed() []byte {
	b := append(make([]byte, 0, 160), revocationContext...)
	b = append(b, r.Swarm[:]...)
	b = binary.AppendUvarint(b, uint64(len(r.Peer)))
	b = append(b, r.Peer...)
	return binary.AppendUvarint(b, r.Serial)
}

// Sign sets Swarm and Sig by the swarm's key.
func (a *Admission) Sign(key ed25519.PrivateKey) {
	a.Swarm = NewSwarmID(key.Public().(ed25519.PublicKey))
	a.Sig = ed25519.Sign(key, a.signed())
}

// Sign sets Swarm and Sig by the swarm's key.
func (r *Revocation) Sign(key ed25519.PrivateKey) {
	r.Swarm = NewSwarmID(key.Public().(ed25519.PublicKey))
	r.Sig = ed25519.Sign(key, r.signed())
}

// Verify returns an error unless the swarm's key signed a. It says nothing of times and revocations:
// that is Roll.Check.
func (a *Admission) Verify() error { return verify(a.Swarm, a.signed(), a.Sig) }

// Verify returns an error unless the swarm's key signed r.
func (r *Revocation) Verify() error { return verify(r.Swarm, r.signed(), r.Sig) }

func verify(s SwarmID, signed, sig []byte) error {
	if !ed25519.Verify(s[:], signed, sig) {
		return ErrBadSignature
	}
	return nil
}

// Skew is how far the clock of a device may be behind that of the swarm's owner.
const Skew = 10 * time.Minute

// ErrNotAdmitted means that a peer is not in the swarm. The error around it says why.
var ErrNotAdmitted = errors.New("not admitted")

// Current returns an error unless a is valid at that time, but for revocations.
func (a *Admission) Current(now time.Time) error {
	switch {
	case !now.Before(time.Unix(a.Expires, 0)):
		return fmt.Errorf("%w: the admission expired at %s", ErrNotAdmitted, stamp(a.Expires))
	case now.Add(Skew).Before(time.Unix(a.NotBefore, 0)):
		return fmt.Errorf("%w: the admission begins at %s", ErrNotAdmitted, stamp(a.NotBefore))
	}
	return nil
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// A Pass is what a device shows to be let in, and what an owner hands to a device: an admission, and
// what was taken back in the same swarm. Or it says why the other is not let in.
type Pass struct {
	Swarm     SwarmID
	Admission *Admission   // nil if it carries none
	Revoked   []Revocation // sorted by peer, no two of one peer, at most MaxRevoked
	Refused   string       // why the one who speaks does not talk with the other; printable
}

// EncodePass returns p as one msgpack map. What it returns, DecodePass accepts.
func EncodePass(p *Pass) ([]byte, error) {
	if err := checkPass(p); err != nil {
		return nil, fmt.Errorf("%w: encode a pass", err)
	}
	fields := 1
	for _, has := range []bool{p.Admission != nil, len(p.Revoked) > 0, p.Refused != ""} {
		if has {
			fields++
		}
	}
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	w := writer{enc: enc}
	w.begin(fields)
	w.blob('w', p.Swarm[:])
	if p.Admission != nil {
		w.key('a')
		w.admission(p.Admission)
	}
	if len(p.Revoked) > 0 {
		w.key('r')
		w.keep(enc.EncodeArrayLen(len(p.Revoked)))
		for i := range p.Revoked {
			w.revocation(&p.Revoked[i])
		}
	}
	if p.Refused != "" {
		w.text('x', p.Refused)
	}
	if w.err != nil {
		return nil, fmt.Errorf("protocol: encode a pass: %w", w.err)
	}
	return buf.Bytes(), nil
}

func (w *writer) admission(a *Admission) {
	w.begin(5)
	w.text('p', string(a.Peer))
	w.int('n', a.NotBefore)
	w.int('e', a.Expires)
	w.uint('s', a.Serial)
	w.blob('q', a.Sig)
}

func (w *writer) revocation(r *Revocation) {
	w.begin(3)
	w.text('p', string(r.Peer))
	w.uint('s', r.Serial)
	w.blob('q', r.Sig)
}

// DecodePass parses what EncodePass wrote, under the rules of Decode. It does not look at signatures.
func DecodePass(b []byte) (*Pass, error) {
	if len(b) > MaxPass {
		return nil, fmt.Errorf("%w: a pass of %d bytes", ErrTooLong, len(b))
	}
	items := maxItems
	if n, ok := scan(b, maxDepth, &items); !ok || n != len(b) {
		return nil, fmt.Errorf("%w: a pass", ErrMalformed)
	}
	p, err := parsePass(b)
	if err == nil {
		err = checkPass(p)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: a pass", err)
	}
	return p, nil
}

// parsePass reads what scan found sound. As in parse, a panic of the library is a malformed pass.
func parsePass(b []byte) (p *Pass, err error) {
	dec := msgpack.GetDecoder()
	defer func() {
		if recover() != nil {
			p, err = nil, ErrMalformed
			return
		}
		msgpack.PutDecoder(dec)
	}()
	dec.Reset(bytes.NewReader(b))
	r := reader{dec: dec}
	p = new(Pass)
	r.fields(func(key byte) bool {
		switch key {
		case 'w':
			r.digest((*Digest)(&p.Swarm))
		case 'a':
			p.Admission = r.admission()
		case 'r':
			p.Revoked = r.revocations()
		case 'x':
			p.Refused = r.text(maxReason)
		default:
			return false
		}
		return true
	})
	if p.Admission != nil { // the swarm stands once, before or behind
		p.Admission.Swarm = p.Swarm
	}
	for i := range p.Revoked {
		p.Revoked[i].Swarm = p.Swarm
	}
	return p, r.err
}

func (r *reader) admission() *Admission {
	a := new(Admission)
	r.fields(func(key byte) bool {
		switch key {
		case 'p':
			a.Peer = PeerID(r.text(maxPeerID))
		case 'n':
			a.NotBefore = r.int()
		case 'e':
			a.Expires = r.int()
		case 's':
			a.Serial = r.uint(math.MaxUint64)
		case 'q':
			a.Sig = r.blob(maxSig)
		default:
			return false
		}
		return true
	})
	return a
}

func (r *reader) revocations() []Revocation {
	n, err := r.dec.DecodeArrayLen()
	r.keep(err)
	if n > MaxRevoked {
		r.fail(ErrTooLong)
	}
	var list []Revocation
	for i := 0; i < n && r.err == nil; i++ {
		var v Revocation
		r.fields(func(key byte) bool {
			switch key {
			case 'p':
				v.Peer = PeerID(r.text(maxPeerID))
			case 's':
				v.Serial = r.uint(math.MaxUint64)
			case 'q':
				v.Sig = r.blob(maxSig)
			default:
				return false
			}
			return true
		})
		list = append(list, v)
	}
	return list
}

func checkPass(p *Pass) error {
	if a := p.Admission; a != nil {
		if err := checkNamed(p.Swarm, a.Swarm, a.Peer, a.Serial, a.Sig); err != nil {
			return err
		}
		if a.NotBefore < 0 || a.Expires <= a.NotBefore {
			return ErrMalformed
		}
	}
	if len(p.Revoked) > MaxRevoked {
		return ErrTooLong
	}
	for i, r := range p.Revoked {
		if err := checkNamed(p.Swarm, r.Swarm, r.Peer, r.Serial, r.Sig); err != nil {
			return err
		}
		if i > 0 && cmp.Compare(p.Revoked[i-1].Peer, r.Peer) >= 0 {
			return ErrMalformed
		}
	}
	return checkText(p.Refused, maxReason)
}

func checkNamed(swarm, own SwarmID, peer PeerID, serial uint64, sig []byte) error {
	if len(sig) != maxSig || own != swarm || serial == 0 || len(peer) > maxPeerID {
		return ErrMalformed
	}
	if _, err := peer.Key(); err != nil {
		return ErrMalformed
	}
	return nil
}

// passPrefix is what a pass begins with where people carry it: in a file, in a message.
const passPrefix = "yan-pass-1:"

// MarshalText returns p as one line of text, without the end of the line.
func (p *Pass) MarshalText() ([]byte, error) {
	b, err := EncodePass(p)
	if err != nil {
		return nil, err
	}
	return base64.RawURLEncoding.AppendEncode([]byte(passPrefix), b), nil
}

// UnmarshalText reads what MarshalText wrote, with space around it or none.
func (p *Pass) UnmarshalText(text []byte) error {
	line, ok := strings.CutPrefix(strings.TrimSpace(string(text)), passPrefix)
	if !ok {
		return fmt.Errorf("%w: no line that begins with %s", ErrMalformed, passPrefix)
	}
	if base64.RawURLEncoding.DecodedLen(len(line)) > MaxPass {
		return ErrTooLong
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(line)
	if err != nil {
		return fmt.Errorf("%w: a pass that was cut or changed", ErrMalformed)
	}
	q, err := DecodePass(b)
	if err == nil {
		*p = *q
	}
	return err
}
