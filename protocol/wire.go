package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"
)

// A frame is one byte, the kind, and one msgpack map with keys of one byte. The values are
// integers, strings, byte strings, arrays and maps of the same sort, and nothing else: no nil, no
// bool, no float, no extension. A key that is not known is skipped with its value, so that a later
// version may add some; a key that stands twice is refused.
const (
	MaxFrame    = MaxBody + 4<<10 // bytes in any frame
	MaxAnnounce = 2 << 10         // bytes in the frame of an Announce

	maxSmall = 1 << 10   // bytes in the frame of a Hello, an Answer, a Convict or an Offer
	maxIDs   = 128 << 10 // bytes in the frame of a Have or a Want
)

var (
	// ErrTooLong means that something exceeds its limit: a frame, a string, a set or a body.
	ErrTooLong = errors.New("protocol: message too long")

	// ErrMalformed means that a message is none of ours, whoever wrote it.
	ErrMalformed = errors.New("protocol: malformed message")

	// ErrUnknown means that a frame is of a kind this version does not know. It is to be skipped:
	// a later version may have sent it in good faith.
	ErrUnknown = errors.New("protocol: unknown kind")
)

// limit returns how long a frame of kind k may be, or 0 if k is not known.
func limit(k Kind) int {
	switch k {
	case KindHello, KindAnswer, KindConvict, KindOffer:
		return maxSmall
	case KindHave, KindWant:
		return maxIDs
	case KindAnnounce, KindAlign:
		return MaxAnnounce
	case KindUpdate, KindPart:
		return MaxFrame
	case KindCall:
		return maxCall
	case KindRecord:
		return MaxAlignment + MaxAnnounce
	}
	return 0
}

// Encode returns m as one frame. What it returns, Decode accepts; a message that Decode would
// refuse is refused here too, with the same error.
func Encode(m Message) ([]byte, error) {
	if err := check(m); err != nil {
		return nil, fmt.Errorf("%w: encode %T", err, m)
	}
	var buf bytes.Buffer
	if u, ok := m.(*Update); ok {
		buf.Grow(len(u.Body) + MaxAnnounce)
	}
	buf.WriteByte(byte(m.Kind()))
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	w := writer{enc: enc}
	switch m := m.(type) {
	case *Hello:
		w.hello(m)
	case *Have:
		w.have(m)
	case *Want:
		w.want(m)
	case *Announce:
		w.begin(announceFields)
		w.announce(m)
	case *Update:
		w.begin(announceFields + 1)
		w.announce(&m.Announce)
		w.blob('b', m.Body)
	case *Answer:
		w.begin(4)
		w.id(m.ID)
		w.uint('v', uint64(m.Verdict))
		w.int('g', m.Gain)
	case *Align:
		w.begin(alignFields)
		w.align(m)
	case *Record:
		w.begin(alignFields + 1)
		w.align(&m.Align)
		w.blob('b', m.Body)
	case *Convict:
		w.convict(m)
	case *Offer:
		w.offer(m)
	case *Call:
		w.call(m)
	case *Part:
		w.begin(1)
		w.blob('b', m.Body)
	}
	if w.err != nil {
		return nil, fmt.Errorf("protocol: encode %v: %w", m.Kind(), w.err)
	}
	if buf.Len() > limit(m.Kind()) {
		return nil, fmt.Errorf("%w: encode %v: %d bytes", ErrTooLong, m.Kind(), buf.Len())
	}
	return buf.Bytes(), nil
}

// Decode parses one frame. It allocates no more than a small multiple of len(b), and the message
// does not alias b.
func Decode(b []byte) (Message, error) {
	if len(b) > MaxFrame {
		return nil, ErrTooLong
	}
	if len(b) == 0 {
		return nil, ErrMalformed
	}
	kind, body := Kind(b[0]), b[1:]
	most := limit(kind)
	if most == 0 {
		return nil, fmt.Errorf("%w: %d", ErrUnknown, b[0])
	}
	if len(b) > most {
		return nil, fmt.Errorf("%w: %v of %d bytes", ErrTooLong, kind, len(b))
	}
	items := maxItems
	if n, ok := scan(body, maxDepth, &items); !ok || n != len(body) {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, kind)
	}
	m, err := parse(kind, body)
	if err == nil {
		err = check(m)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", err, kind)
	}
	return m, nil
}

// parse reads a body that scan found sound. Whatever the library makes of it, a peer's bytes must
// not end the process, so a panic in there is a malformed message.
func parse(kind Kind, body []byte) (m Message, err error) {
	dec := msgpack.GetDecoder()
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, ErrMalformed // and let go of dec, whose state is anyone's guess
			return
		}
		msgpack.PutDecoder(dec)
	}()
	dec.Reset(bytes.NewReader(body))
	r := reader{dec: dec}
	switch kind {
	case KindHello:
		h := new(Hello)
		r.fields(func(key byte) bool {
			switch key {
			case 'v':
				h.Version = uint16(r.uint(math.MaxUint16))
			case 'm':
				r.digest(&h.Model)
			case 'a':
				h.Agent = r.text(MaxAgent)
			case 'c':
				h.Central = uint8(r.uint(math.MaxUint8))
			default:
				return false
			}
			return true
		})
		m = h
	case KindHave:
		h := new(Have)
		r.fields(func(key byte) bool {
			switch key {
			case 'i':
				h.IDs = r.ids(MaxHave)
			case 'k':
				h.Tags = r.tags(MaxHave)
			case 'd':
				r.digest(&h.Sum)
			case 'r':
				h.Records = r.digests(MaxRecords)
			default:
				return false
			}
			return true
		})
		m = h
	case KindWant:
		w := new(Want)
		r.fields(func(key byte) bool {
			switch key {
			case 'i':
				w.IDs = r.ids(MaxWant)
			case 'r':
				w.Records = r.digests(MaxRecords)
			default:
				return false
			}
			return true
		})
		m = w
	case KindAnnounce:
		a := new(Announce)
		r.fields(func(key byte) bool { return r.announce(a, key) })
		m = a
	case KindUpdate:
		u := new(Update)
		r.fields(func(key byte) bool {
			if key == 'b' {
				u.Body = r.blob(MaxBody)
				return true
			}
			return r.announce(&u.Announce, key)
		})
		m = u
	case KindAnswer:
		a := new(Answer)
		r.fields(func(key byte) bool {
			switch key {
			case 'v':
				a.Verdict = Verdict(r.uint(math.MaxUint8))
			case 'g':
				a.Gain = r.int()
			default:
				return r.id(&a.ID, key)
			}
			return true
		})
		m = a
	case KindAlign:
		a := new(Align)
		r.fields(func(key byte) bool { return r.align(a, key) })
		m = a
	case KindRecord:
		a := new(Record)
		r.fields(func(key byte) bool {
			if key == 'b' {
				a.Body = r.blob(MaxAlignment)
				return true
			}
			return r.align(&a.Align, key)
		})
		m = a
	case KindConvict:
		c := new(Convict)
		r.fields(func(key byte) bool { return r.convict(c, key) })
		m = c
	case KindOffer:
		o := new(Offer)
		r.fields(func(key byte) bool { return r.offer(o, key) })
		m = o
	case KindCall:
		c := new(Call)
		r.fields(func(key byte) bool { return r.call(c, key) })
		m = c
	case KindPart:
		p := new(Part)
		r.fields(func(key byte) bool {
			if key == 'b' {
				p.Body = r.blob(MaxBody)
			}
			return key == 'b'
		})
		m = p
	}
	return m, r.err
}

// check holds a message to what this package promises of every message, on its way out and in.
func check(m Message) error {
	switch m := m.(type) {
	case *Hello:
		return checkText(m.Agent, MaxAgent)
	case *Have:
		if len(m.IDs) > MaxHave {
			return ErrTooLong
		}
		if len(m.IDs) > 0 && m.Sum != (Digest{}) || len(m.Tags) > 0 && len(m.Tags) != len(m.IDs) {
			return ErrMalformed
		}
		for i, id := range m.IDs {
			if err := checkID(id); err != nil {
				return err
			}
			if i > 0 && m.IDs[i-1].Compare(id) >= 0 {
				return ErrMalformed
			}
		}
		return checkRecords(m.Records)
	case *Want:
		if len(m.IDs) > MaxWant {
			return ErrTooLong
		}
		for i, id := range m.IDs {
			if err := checkID(id); err != nil {
				return err
			}
			if slices.Contains(m.IDs[:i], id) {
				return ErrMalformed
			}
		}
		return checkRecords(m.Records)
	case *Announce:
		return checkAnnounce(m)
	case *Update:
		if len(m.Body) > MaxBody {
			return ErrTooLong
		}
		return checkAnnounce(&m.Announce)
	case *Answer:
		if m.Verdict < Folded || m.Verdict > Harmful {
			return ErrMalformed
		}
		return checkID(m.ID)
	case *Align:
		return checkAlign(m)
	case *Record:
		if len(m.Body) > MaxAlignment {
			return ErrTooLong
		}
		return checkAlign(&m.Align)
	case *Convict:
		return checkConvict(m)
	case *Offer:
		return checkOffer(m)
	case *Call:
		return checkCall(m)
	case *Part:
		if len(m.Body) > MaxBody {
			return ErrTooLong
		}
		return nil
	}
	return ErrUnknown
}

func checkAnnounce(m *Announce) error {
	if m.Size > MaxBody || len(m.Sig) > maxSig {
		return ErrTooLong
	}
	if m.Replaces >= m.ID.Seq {
		return ErrMalformed // an update replaces an earlier one, and Seq counts from one
	}
	if err := checkText(m.Skill, MaxSkill); err != nil {
		return err
	}
	return checkID(m.ID)
}

func checkID(id UpdateID) error {
	if id.Author == "" || id.Seq == 0 {
		return ErrMalformed
	}
	return checkText(string(id.Author), maxPeerID)
}

// checkText wants text that people can read in a log without harm: valid UTF-8, all of it printable.
func checkText(s string, most int) error {
	if len(s) > most {
		return ErrTooLong
	}
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ErrMalformed
		}
	}
	return nil
}
