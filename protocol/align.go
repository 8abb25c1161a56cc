package protocol

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

// The limits of what an alignment may hold.
const (
	MaxParents   = 4        // in an Align
	MaxRank      = 3        // in an Align, from 0
	MaxRecords   = 16       // records named in a Have or a Want
	MaxAligned   = 8        // skills in an Alignment
	MaxInputs    = 64       // updates of one skill in an Alignment
	MaxAlignment = 64 << 10 // bytes of an Alignment
)

// An Align is the signed head of a record: its author was central in a term, and merged some skills of which several
// peers had made versions. Which, from what and to what result stands in the body, an Alignment. Nobody has to believe
// it: whoever holds the inputs can merge them too, and comes to the same result or has proof that the author lied.
type Align struct {
	Author  PeerID
	Model   Digest   // fingerprint of the base model
	Term    uint64   // in which the author was central
	Rank    uint8    // that it had in it; at most MaxRank
	Rule    uint32   // which way of merging the results are of; peers of another cannot check them
	Members uint32   // how many it counted, itself among them: to show, not to rely on
	Parents []Digest // names of the newest records that it knew: sorted, unique, at most MaxParents
	Digest  Digest   // of the body
	Size    uint32   // of the body, in bytes; at most MaxAlignment
	Sig     []byte   // the author's, over everything above
}

// A Record is an Align with its body.
type Record struct {
	Align
	Body []byte // see DecodeAlignment
}

// A Convict tells that a record is false: its author signed a result that is not what the inputs give. It is a hint to look,
// and nothing more: whoever hears it looks for himself.
type Convict struct {
	Author PeerID // of the record
	Record Digest // its name
	Skill  string // the one whose result is false
}

// An Alignment is what a central did.
type Alignment struct {
	Skills []Aligned // sorted by name, unique, at least one and at most MaxAligned
}

// An Aligned is one skill that was merged.
type Aligned struct {
	Skill  string
	Inputs []Input // sorted by author, one of each, at least two and at most MaxInputs
	Result Digest  // of what they merge to
}

// An Input is an update that was merged.
type Input struct {
	ID     UpdateID
	Digest Digest // its name: what of a signed head a merge may depend on is not to be changed unnoticed
}

func (*Align) Kind() Kind   { return KindAlign }
func (*Record) Kind() Kind  { return KindRecord }
func (*Convict) Kind() Kind { return KindConvict }

func (m *Align) String() string {
	return fmt.Sprintf("align %v by %s, term %d, rank %d, size=%d", m.Name(), m.Author.Short(), m.Term, m.Rank, m.Size)
}
func (m *Record) String() string { return "record of " + m.Align.String() }
func (m *Convict) String() string {
	return fmt.Sprintf("convict %s of record %v, skill %q", m.Author.Short(), m.Record, m.Skill)
}

// alignContext keeps the signatures of records apart from every other use of a peer's key.
const alignContext = "yan align v1\x00"

func (m *Align) signed() []byte {
	b := append(make([]byte, 0, 384), alignContext...)
	b = binary.AppendUvarint(b, uint64(len(m.Author)))
	b = append(b, m.Author...)
	b = append(b, m.Model[:]...)
	b = binary.AppendUvarint(b, m.Term)
	b = binary.AppendUvarint(b, uint64(m.Rank))
	b = binary.AppendUvarint(b, uint64(m.Rule))
	b = binary.AppendUvarint(b, uint64(m.Members))
	b = binary.AppendUvarint(b, uint64(len(m.Parents)))
	for _, p := range m.Parents {
		b = append(b, p[:]...)
	}
	b = append(b, m.Digest[:]...)
	return binary.AppendUvarint(b, uint64(m.Size))
}

// Name returns what the record is called by others: the digest of what its author signed.
func (m *Align) Name() Digest { return Sum(m.signed()) }

// Sign sets Sig. The key must be the one that Author names.
func (m *Align) Sign(key ed25519.PrivateKey) { m.Sig = ed25519.Sign(key, m.signed()) }

// Verify returns an error unless the peer that Author names signed m. It says nothing of the body.
func (m *Align) Verify() error {
	pub, err := m.Author.Key()
	if err != nil {
		return fmt.Errorf("%w: %v", ErrBadSignature, err)
	}
	if !ed25519.Verify(pub, m.signed(), m.Sig) {
		return ErrBadSignature
	}
	return nil
}

// Verify returns an error unless the author signed the head and Body is what it names.
func (m *Record) Verify() error {
	if uint64(len(m.Body)) != uint64(m.Size) {
		return fmt.Errorf("%w: %d bytes of body where %d are named", ErrMalformed, len(m.Body), m.Size)
	}
	if err := m.Align.Verify(); err != nil {
		return err
	}
	if Sum(m.Body) != m.Digest {
		return fmt.Errorf("%w: not the body that is named", ErrMalformed)
	}
	return nil
}

func (w *writer) digests(k byte, ds []Digest) {
	w.key(k)
	w.keep(w.enc.EncodeArrayLen(len(ds)))
	for _, d := range ds {
		w.keep(w.enc.EncodeBytes(d[:]))
	}
}

// alignFields is how many fields writer.align writes.
const alignFields = 10

func (w *writer) align(m *Align) {
	w.text('a', string(m.Author))
	w.blob('m', m.Model[:])
	w.uint('t', m.Term)
	w.uint('r', uint64(m.Rank))
	w.uint('v', uint64(m.Rule))
	w.uint('n', uint64(m.Members))
	w.digests('p', m.Parents)
	w.blob('d', m.Digest[:])
	w.uint('z', uint64(m.Size))
	w.blob('q', m.Sig)
}

func (w *writer) convict(m *Convict) {
	w.begin(3)
	w.text('a', string(m.Author))
	w.blob('d', m.Record[:])
	w.text('k', m.Skill)
}

// digests reads a list of at most so many, none twice.
func (r *reader) digests(most int) []Digest {
	n, err := r.dec.DecodeArrayLen()
	r.keep(err)
	if n > most {
		r.fail(ErrTooLong)
	}
	var ds []Digest
	for i := 0; i < n && r.err == nil; i++ {
		var d Digest
		r.digest(&d)
		ds = append(ds, d)
	}
	return slices.Clip(ds)
}

func (r *reader) align(m *Align, key byte) bool {
	switch key {
	case 'a':
		m.Author = PeerID(r.text(maxPeerID))
	case 'm':
		r.digest(&m.Model)
	case 't':
		m.Term = r.uint(math.MaxUint64)
	case 'r':
		m.Rank = uint8(r.uint(MaxRank))
	case 'v':
		m.Rule = uint32(r.uint(math.MaxUint32))
	case 'n':
		m.Members = uint32(r.uint(math.MaxUint32))
	case 'p':
		m.Parents = r.digests(MaxParents)
	case 'd':
		r.digest(&m.Digest)
	case 'z':
		m.Size = uint32(r.uint(math.MaxUint32))
	case 'q':
		m.Sig = r.blob(maxSig)
	default:
		return false
	}
	return true
}

func (r *reader) convict(m *Convict, key byte) bool {
	switch key {
	case 'a':
		m.Author = PeerID(r.text(maxPeerID))
	case 'd':
		r.digest(&m.Record)
	case 'k':
		m.Skill = r.text(MaxSkill)
	default:
		return false
	}
	return true
}

func checkAlign(m *Align) error {
	if m.Size > MaxAlignment || len(m.Sig) > maxSig || len(m.Parents) > MaxParents {
		return ErrTooLong
	}
	if m.Author == "" || m.Rank > MaxRank || !ascending(m.Parents) {
		return ErrMalformed
	}
	return checkText(string(m.Author), maxPeerID)
}

func checkConvict(m *Convict) error {
	if m.Author == "" {
		return ErrMalformed
	}
	if err := checkText(m.Skill, MaxSkill); err != nil {
		return err
	}
	return checkText(string(m.Author), maxPeerID)
}

// checkRecords holds a list of records, as a Have or a Want has it, to its bounds.
func checkRecords(ds []Digest) error {
	if len(ds) > MaxRecords {
		return ErrTooLong
	}
	if !ascending(ds) {
		return ErrMalformed
	}
	return nil
}

// ascending reports whether digests are sorted, none twice.
func ascending(ds []Digest) bool {
	for i := range ds {
		if i > 0 && ds[i-1].Compare(ds[i]) >= 0 {
			return false
		}
	}
	return true
}

// Compare orders digests by their bytes.
func (d Digest) Compare(o Digest) int { return bytes.Compare(d[:], o[:]) }

// EncodeAlignment returns the body of a record, one msgpack map. What it returns, DecodeAlignment accepts.
func EncodeAlignment(a *Alignment) ([]byte, error) {
	if err := checkAlignment(a); err != nil {
		return nil, fmt.Errorf("%w: encode an alignment", err)
	}
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	w := writer{enc: enc}
	w.begin(1)
	w.key('k')
	w.keep(enc.EncodeArrayLen(len(a.Skills)))
	for _, s := range a.Skills {
		w.begin(3)
		w.text('k', s.Skill)
		w.key('i')
		w.keep(enc.EncodeArrayLen(len(s.Inputs)))
		for _, in := range s.Inputs {
			w.begin(3)
			w.id(in.ID)
			w.blob('d', in.Digest[:])
		}
		w.blob('d', s.Result[:])
	}
	if w.err != nil {
		return nil, fmt.Errorf("protocol: encode an alignment: %w", w.err)
	}
	if buf.Len() > MaxAlignment {
		return nil, fmt.Errorf("%w: an alignment of %d bytes", ErrTooLong, buf.Len())
	}
	return buf.Bytes(), nil
}

// DecodeAlignment parses what EncodeAlignment wrote, under the rules of Decode.
func DecodeAlignment(b []byte) (*Alignment, error) {
	if len(b) > MaxAlignment {
		return nil, fmt.Errorf("%w: an alignment of %d bytes", ErrTooLong, len(b))
	}
	items := maxItems
	if n, ok := scan(b, maxDepth, &items); !ok || n != len(b) {
		return nil, fmt.Errorf("%w: an alignment", ErrMalformed)
	}
	a, err := parseAlignment(b)
	if err == nil {
		err = checkAlignment(a)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: an alignment", err)
	}
	return a, nil
}

// parseAlignment reads what scan found sound. As in parse, a panic of the library is a malformed body.
func parseAlignment(b []byte) (a *Alignment, err error) {
	dec := msgpack.GetDecoder()
	defer func() {
		if recover() != nil {
			a, err = nil, ErrMalformed
			return
		}
		msgpack.PutDecoder(dec)
	}()
	dec.Reset(bytes.NewReader(b))
	r := reader{dec: dec}
	a = new(Alignment)
	r.fields(func(key byte) bool {
		if key == 'k' {
			a.Skills = several(&r, MaxAligned, func() (s Aligned) {
				r.fields(func(key byte) bool { return r.aligned(&s, key) })
				return s
			})
		}
		return key == 'k'
	})
	return a, r.err
}

func (r *reader) aligned(s *Aligned, key byte) bool {
	switch key {
	case 'k':
		s.Skill = r.text(MaxSkill)
	case 'i':
		s.Inputs = several(r, MaxInputs, func() (in Input) {
			r.fields(func(key byte) bool {
				if key == 'd' {
					r.digest(&in.Digest)
					return true
				}
				return r.id(&in.ID, key)
			})
			return in
		})
	case 'd':
		r.digest(&s.Result)
	default:
		return false
	}
	return true
}

// several reads an array of at most so many values.
func several[T any](r *reader, most int, read func() T) (l []T) {
	n, err := r.dec.DecodeArrayLen()
	r.keep(err)
	if n > most {
		r.fail(ErrTooLong)
	}
	for i := 0; i < n && r.err == nil; i++ {
		l = append(l, read())
	}
	return slices.Clip(l)
}

func checkAlignment(a *Alignment) error {
	if len(a.Skills) > MaxAligned {
		return ErrTooLong
	}
	if len(a.Skills) == 0 {
		return ErrMalformed
	}
	for i, s := range a.Skills {
		if err := checkAligned(&s); err != nil {
			return err
		}
		if i > 0 && cmp.Compare(a.Skills[i-1].Skill, s.Skill) >= 0 {
			return ErrMalformed
		}
	}
	return nil
}

func checkAligned(s *Aligned) error {
	if len(s.Inputs) > MaxInputs {
		return ErrTooLong
	}
	if len(s.Inputs) < 2 {
		return ErrMalformed
	}
	for i, in := range s.Inputs {
		if err := checkID(in.ID); err != nil {
			return err
		}
		if i > 0 && cmp.Compare(s.Inputs[i-1].ID.Author, in.ID.Author) >= 0 {
			return ErrMalformed
		}
	}
	return checkText(s.Skill, MaxSkill)
}
