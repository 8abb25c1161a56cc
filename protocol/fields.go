package protocol

import (
	"math"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
)

// announceFields is how many fields writer.announce writes.
const announceFields = 12

// maxSig is the length of an ed25519 signature.
const maxSig = 64

// A writer writes the fields of a message. Its first error stays.
type writer struct {
	enc *msgpack.Encoder
	err error
}

func (w *writer) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) begin(fields int) { w.keep(w.enc.EncodeMapLen(fields)) }
func (w *writer) key(k byte)       { w.keep(w.enc.EncodeString(string(rune(k)))) }

func (w *writer) uint(k byte, n uint64) {
	w.key(k)
	w.keep(w.enc.EncodeUint(n))
}

func (w *writer) int(k byte, n int64) {
	w.key(k)
	w.keep(w.enc.EncodeInt(n))
}

func (w *writer) text(k byte, s string) {
	w.key(k)
	w.keep(w.enc.EncodeString(s))
}

func (w *writer) blob(k byte, b []byte) {
	if b == nil {
		b = []byte{} // the library writes a nil slice as nil, which is none of our values
	}
	w.key(k)
	w.keep(w.enc.EncodeBytes(b))
}

// id writes the two fields of id among those of the message.
func (w *writer) id(id UpdateID) {
	w.text('a', string(id.Author))
	w.uint('s', id.Seq)
}

func (w *writer) ids(k byte, ids []UpdateID) {
	w.key(k)
	w.keep(w.enc.EncodeArrayLen(len(ids)))
	for _, id := range ids {
		w.begin(2)
		w.id(id)
	}
}

// What is optional is written only where it says something: an older version wrote the same bytes.

func (w *writer) hello(m *Hello) {
	fields := 3
	if m.Central > 0 {
		fields++
	}
	w.begin(fields)
	w.uint('v', uint64(m.Version))
	w.blob('m', m.Model[:])
	w.text('a', m.Agent)
	if m.Central > 0 {
		w.uint('c', uint64(m.Central))
	}
}

func (w *writer) have(m *Have) {
	fields := 1
	if len(m.Records) > 0 {
		fields++
	}
	if len(m.Tags) > 0 {
		fields++
	}
	w.begin(fields)
	if m.Sum != (Digest{}) {
		w.blob('d', m.Sum[:])
	} else {
		w.ids('i', m.IDs)
	}
	if len(m.Tags) > 0 {
		w.tags('k', m.Tags)
	}
	if len(m.Records) > 0 {
		w.digests('r', m.Records)
	}
}

func (w *writer) tags(k byte, ts []Tag) {
	b := make([]byte, 0, len(ts)*len(Tag{}))
	for _, t := range ts {
		b = append(b, t[:]...)
	}
	w.blob(k, b)
}

func (w *writer) want(m *Want) {
	fields := 1
	if len(m.Records) > 0 {
		fields++
	}
	w.begin(fields)
	w.ids('i', m.IDs)
	if len(m.Records) > 0 {
		w.digests('r', m.Records)
	}
}

func (w *writer) announce(m *Announce) {
	w.id(m.ID)
	w.blob('m', m.Model[:])
	w.text('k', m.Skill)
	w.uint('r', m.Replaces)
	w.uint('n', uint64(m.Sections))
	w.uint('e', m.Events)
	w.int('g', m.Gain)
	w.int('t', m.Made)
	w.blob('d', m.Digest[:])
	w.uint('z', uint64(m.Size))
	w.blob('q', m.Sig)
}

// A reader reads the fields of a message that scan found sound. After its first error, which
// stays, whatever it returns is of no meaning.
type reader struct {
	dec *msgpack.Decoder
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// keep turns an error of the library into one of ours.
func (r *reader) keep(err error) {
	if err != nil {
		r.fail(ErrMalformed)
	}
}

// fields reads a map and hands each key to field, which reads the value and reports true, or
// reports false to have it skipped.
func (r *reader) fields(field func(key byte) bool) {
	n, err := r.dec.DecodeMapLen()
	r.keep(err)
	for range n {
		if r.err != nil {
			return
		}
		key, err := r.dec.DecodeString()
		r.keep(err)
		if r.err != nil || len(key) != 1 {
			r.fail(ErrMalformed)
			return
		}
		if !field(key[0]) {
			r.keep(r.dec.Skip())
		}
	}
}

// int reads an integer in any of the forms msgpack has for it. The library would let a large
// unsigned one wrap.
func (r *reader) int() int64 {
	c, err := r.dec.PeekCode()
	r.keep(err)
	if c != tagUint64 {
		n, err := r.dec.DecodeInt64()
		r.keep(err)
		return n
	}
	n, err := r.dec.DecodeUint64()
	r.keep(err)
	if n > math.MaxInt64 {
		r.fail(ErrMalformed)
	}
	return int64(n)
}

// uint reads an integer from 0 to most.
func (r *reader) uint(most uint64) uint64 {
	c, err := r.dec.PeekCode()
	r.keep(err)
	var n uint64
	if c == tagUint64 {
		n, err = r.dec.DecodeUint64()
		r.keep(err)
	} else {
		i := r.int()
		if i < 0 {
			r.fail(ErrMalformed)
		}
		n = uint64(i)
	}
	if n > most {
		r.fail(ErrMalformed)
	}
	return n
}

func (r *reader) text(most int) string {
	s, err := r.dec.DecodeString()
	r.keep(err)
	if len(s) > most {
		r.fail(ErrTooLong)
	}
	return s
}

func (r *reader) blob(most int) []byte {
	b, err := r.dec.DecodeBytes()
	r.keep(err)
	if len(b) > most {
		r.fail(ErrTooLong)
	}
	return b
}

func (r *reader) tags(most int) (ts []Tag) {
	b := r.blob(most * len(Tag{}))
	if len(b)%len(Tag{}) != 0 {
		r.fail(ErrMalformed)
	}
	if r.err != nil || len(b) == 0 {
		return nil
	}
	for t := range slices.Chunk(b, len(Tag{})) {
		ts = append(ts, Tag(t))
	}
	return slices.Clip(ts)
}

func (r *reader) digest(d *Digest) {
	b := r.blob(len(d))
	if len(b) != len(d) {
		r.fail(ErrMalformed)
	}
	copy(d[:], b)
}

func (r *reader) id(id *UpdateID, key byte) bool {
	switch key {
	case 'a':
		id.Author = PeerID(r.text(maxPeerID))
	case 's':
		id.Seq = r.uint(math.MaxUint64)
	default:
		return false
	}
	return true
}

func (r *reader) ids(most int) []UpdateID {
	n, err := r.dec.DecodeArrayLen()
	r.keep(err)
	if n > most {
		r.fail(ErrTooLong)
	}
	if r.err != nil || n <= 0 {
		return nil
	}
	ids := make([]UpdateID, 0, n)
	for range n {
		var id UpdateID
		r.fields(func(key byte) bool { return r.id(&id, key) })
		if r.err != nil {
			return nil
		}
		ids = append(ids, id)
	}
	return slices.Clip(ids)
}

func (r *reader) announce(m *Announce, key byte) bool {
	switch key {
	case 'm':
		r.digest(&m.Model)
	case 'k':
		m.Skill = r.text(MaxSkill)
	case 'r':
		m.Replaces = r.uint(math.MaxUint64)
	case 'n':
		m.Sections = uint32(r.uint(math.MaxUint32))
	case 'e':
		m.Events = r.uint(math.MaxUint64)
	case 'g':
		m.Gain = r.int()
	case 't':
		m.Made = r.int()
	case 'd':
		r.digest(&m.Digest)
	case 'z':
		m.Size = uint32(r.uint(math.MaxUint32))
	case 'q':
		m.Sig = r.blob(maxSig)
	default:
		return r.id(&m.ID, key)
	}
	return true
}
