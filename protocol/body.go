package protocol

import (
	"bytes"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// MaxBodyFrame is how many bytes a BodyRequest or a BodyAnswer may have on the wire.
const MaxBodyFrame = 256

// A BodyRequest asks a peer for the body of an update.
type BodyRequest struct {
	Digest  Digest // of the body
	Offset  uint32 // how many of its bytes the asker has
	Earlier Digest // of another body that the asker has, of an earlier version as a rule; zero if none
}

// A BodyAnswer comes before what was asked for. The bytes follow in pieces; see package patch.
type BodyAnswer struct {
	Size uint32 // of the whole body; 0 if it is not there
}

// EncodeBodyRequest returns q as one msgpack map. What it returns, DecodeBodyRequest accepts.
func EncodeBodyRequest(q *BodyRequest) ([]byte, error) {
	if q.Offset > MaxBody {
		return nil, fmt.Errorf("%w: a request from byte %d", ErrTooLong, q.Offset)
	}
	fields := 2
	if q.Earlier != (Digest{}) {
		fields++
	}
	return encodeSmall(fields, func(w *writer) {
		w.blob('d', q.Digest[:])
		w.uint('o', uint64(q.Offset))
		if q.Earlier != (Digest{}) {
			w.blob('e', q.Earlier[:])
		}
	})
}

// DecodeBodyRequest parses what EncodeBodyRequest wrote, under the rules of Decode.
func DecodeBodyRequest(b []byte) (*BodyRequest, error) {
	q := new(BodyRequest)
	asked := false
	err := decodeSmall(b, func(r *reader, key byte) bool {
		switch key {
		case 'd':
			r.digest(&q.Digest)
			asked = true
		case 'o':
			q.Offset = uint32(r.uint(MaxBody))
		case 'e':
			r.digest(&q.Earlier)
		default:
			return false
		}
		return true
	})
	if err == nil && !asked {
		err = ErrMalformed
	}
	if err != nil {
		return nil, fmt.Errorf("%w: a request for a body", err)
	}
	return q, nil
}

// EncodeBodyAnswer returns a as one msgpack map. What it returns, DecodeBodyAnswer accepts.
func EncodeBodyAnswer(a *BodyAnswer) ([]byte, error) {
	if a.Size > MaxBody {
		return nil, fmt.Errorf("%w: a body of %d bytes", ErrTooLong, a.Size)
	}
	return encodeSmall(1, func(w *writer) { w.uint('z', uint64(a.Size)) })
}

// DecodeBodyAnswer parses what EncodeBodyAnswer wrote, under the rules of Decode.
func DecodeBodyAnswer(b []byte) (*BodyAnswer, error) {
	a := new(BodyAnswer)
	err := decodeSmall(b, func(r *reader, key byte) bool {
		if key == 'z' {
			a.Size = uint32(r.uint(MaxBody))
		}
		return key == 'z'
	})
	if err != nil {
		return nil, fmt.Errorf("%w: an answer to a request for a body", err)
	}
	return a, nil
}

// encodeSmall writes one map of so many fields.
func encodeSmall(fields int, write func(*writer)) ([]byte, error) {
	var buf bytes.Buffer
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(&buf)
	w := writer{enc: enc}
	w.begin(fields)
	write(&w)
	if w.err != nil {
		return nil, fmt.Errorf("protocol: encode: %w", w.err)
	}
	return buf.Bytes(), nil
}

// decodeSmall reads one map of MaxBodyFrame bytes at most.
func decodeSmall(b []byte, field func(r *reader, key byte) bool) error {
	return decodeMap(b, MaxBodyFrame, field)
}

// decodeMap reads one map of so many bytes at most. As in parse, a panic of the library is a malformed message.
func decodeMap(b []byte, most int, field func(r *reader, key byte) bool) (err error) {
	if len(b) > most {
		return ErrTooLong
	}
	items := maxItems
	if n, ok := scan(b, maxDepth, &items); !ok || n != len(b) {
		return ErrMalformed
	}
	dec := msgpack.GetDecoder()
	defer func() {
		if recover() != nil {
			err = ErrMalformed
			return
		}
		msgpack.PutDecoder(dec)
	}()
	dec.Reset(bytes.NewReader(b))
	r := reader{dec: dec}
	r.fields(func(key byte) bool { return field(&r, key) })
	return r.err
}
