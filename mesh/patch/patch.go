// Package patch writes a body in few bytes for someone who may have an earlier version of it.
//
// A body goes in pieces of at most [Piece] bytes, each by itself: as it is, compressed, or as the difference from the earlier body, whichever is
// shortest. So a transfer that broke goes on at any byte, with another peer too, and whoever receives holds to what it has room for, piece by piece.
// [Append] writes a piece, and [Reader] reads them. What a reader returns is what the other side made it be: it is to be checked by its digest.
//
// The package trusts no bytes. It knows nothing of what a body means, but works best where versions have the same length and most of their bytes are
// equal, place by place from the end: so are the bodies of packed skills.
package patch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Piece is how many bytes of a body a piece holds, but for the last one.
const Piece = 32 << 10

// The ways to write a piece. One byte says which, then comes how long it is, as a uvarint, and then it.
const (
	asItIs     = 0 // bytes
	compressed = 1 // a frame of Zstandard
	difference = 2 // frames of Zstandard: a bit for each byte that differs, the lowest first; then what is to be added to those
)

// ErrPiece is returned for what is no piece of the body that is awaited.
var ErrPiece = errors.New("patch: not a piece of this body")

// Append appends to dst the piece of body that begins at byte at, for someone who has earlier, which may be nil, and all of body before at.
func Append(dst, body []byte, at int, earlier []byte) []byte {
	p := body[at:min(at+Piece, len(body))]
	how, best := byte(asItIs), p
	if earlier != nil {
		mask, changes := subtract(p, at-len(body), earlier)
		if b := encoder().EncodeAll(changes, encoder().EncodeAll(mask, nil)); len(b) < len(best) {
			how, best = difference, b
		}
	}
	if how == asItIs || len(best) > len(p)/4 { // else there is not much to be had
		if b := encoder().EncodeAll(p, nil); len(b) < len(best) {
			how, best = compressed, b
		}
	}
	dst = append(dst, how)
	dst = appendLength(dst, len(best))
	return append(dst, best...)
}

// Size is how many bytes all pieces of body have together.
func Size(body, earlier []byte) (n int) {
	var b []byte
	for at := 0; at < len(body); at += Piece {
		b = Append(b[:0], body, at, earlier)
		n += len(b)
	}
	return n
}

// former is the byte of earlier that is as far from the end as one of the body, whose place is counted from its end and negative.
func former(earlier []byte, place int) byte {
	if i := len(earlier) + place; i >= 0 {
		return earlier[i]
	}
	return 0
}

// subtract returns which bytes of p differ from those of earlier, and by what. The piece begins at place, counted from the end of the body.
func subtract(p []byte, place int, earlier []byte) (mask, changes []byte) {
	mask = make([]byte, (len(p)+7)/8)
	for i, c := range p {
		if d := c - former(earlier, place+i); d != 0 {
			mask[i/8] |= 1 << (i % 8)
			changes = append(changes, d)
		}
	}
	return mask, changes
}

// add is the piece of n bytes that subtract was given.
func add(mask, changes []byte, n, place int, earlier []byte) ([]byte, error) {
	p := make([]byte, n)
	for i := range p {
		p[i] = former(earlier, place+i)
		if mask[i/8]>>(i%8)&1 == 1 {
			if len(changes) == 0 {
				return nil, fmt.Errorf("%w: its mask names more bytes than follow", ErrPiece)
			}
			p[i], changes = p[i]+changes[0], changes[1:]
		}
	}
	if tail := n % 8; len(changes) > 0 || tail > 0 && mask[len(mask)-1]>>tail != 0 {
		return nil, fmt.Errorf("%w: its mask names other bytes than follow", ErrPiece)
	}
	return p, nil
}

// A Reader reads the pieces of one body.
type Reader struct {
	from    *bufio.Reader
	size    int // of the body
	at      int // where the next piece begins
	earlier []byte
}

// NewReader returns a reader of a body of size bytes, that begins at byte at, for someone who has said that he has earlier, which may be nil.
func NewReader(from io.Reader, size, at int, earlier []byte) *Reader {
	return &Reader{bufio.NewReader(from), size, at, earlier}
}

// Next returns the next piece, which belongs to the caller, and io.EOF after the last. With any other error it returns the bytes that came before
// it, as far as they can be used. The error is ErrPiece if the other side is at fault.
func (r *Reader) Next() ([]byte, error) {
	n := min(Piece, r.size-r.at)
	if n <= 0 {
		return nil, io.EOF
	}
	how, err := r.from.ReadByte()
	if err != nil {
		return nil, unexpected(err)
	}
	length, err := readLength(r.from)
	if err != nil {
		return nil, err
	}
	if length > n || how == asItIs && length != n {
		return nil, fmt.Errorf("%w: %d bytes for %d", ErrPiece, length, n)
	}
	b := make([]byte, length)
	if got, err := io.ReadFull(r.from, b); err != nil {
		if how != asItIs {
			got = 0
		}
		r.at += got
		return b[:got], unexpected(err)
	}
	p, err := r.piece(how, b, n)
	if err != nil {
		return nil, err
	}
	r.at += n
	return p, nil
}

// piece makes n bytes of b.
func (r *Reader) piece(how byte, b []byte, n int) ([]byte, error) {
	switch {
	case how == asItIs:
		return b, nil
	case how == compressed:
		return inflate(b, n, n)
	case how == difference && r.earlier != nil:
		masked := (n + 7) / 8
		parts, err := inflate(b, masked, masked+n)
		if err != nil {
			return nil, err
		}
		return add(parts[:masked], parts[masked:], n, r.at-r.size, r.earlier)
	}
	return nil, fmt.Errorf("%w: of kind %d", ErrPiece, how)
}

// inflate makes room for most bytes, and wants least.
func inflate(b []byte, least, most int) ([]byte, error) {
	p, err := decoder().DecodeAll(b, make([]byte, 0, most))
	if err != nil || len(p) < least {
		return nil, fmt.Errorf("%w: %d bytes inside: %v", ErrPiece, len(p), err)
	}
	return p, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A piece is shorter than 2^21 bytes: three bytes of a uvarint.
const lengthBytes = 3

func appendLength(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func readLength(r io.ByteReader) (n int, err error) {
	for shift := 0; shift < 7*lengthBytes; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			return 0, unexpected(err)
		}
		if n |= int(c&0x7f) << shift; c < 0x80 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: it does not say how long it is", ErrPiece)
}

// One encoder and one decoder serve all; with a concurrency of one they start no goroutine, and whoever comes second waits.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(2*Piece))
		if err != nil {
			panic(err) // the options are ours
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(4*Piece), zstd.WithDecoderMaxWindow(4*Piece), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err)
		}
		return d
	})
)
