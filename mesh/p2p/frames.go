package p2p

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// A frame on a stream is its length as a uvarint, then its bytes.

// stall is how long one read or write may wait for a peer that has begun to
// speak or to listen.
const stall = 10 * time.Second

// chunk is how many bytes are claimed, read or written at once.
const chunk = 64 << 10

var errFrame = errors.New("p2p: a frame of a length that is not allowed")

// frameOf returns b with its length before it. It copies b.
func frameOf(b []byte) []byte {
	f := binary.AppendUvarint(make([]byte, 0, len(b)+binary.MaxVarintLen32), uint64(len(b)))
	return append(f, b...)
}

// readLength reads the length of a frame, from 1 to most. Its error is errFrame
// when the fault is the peer's, and otherwise that of the stream.
func readLength(r *bufio.Reader, most int) (int, error) {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			if n == 0 || n > most {
				return 0, errFrame
			}
			return n, nil
		}
	}
	return 0, errFrame
}

// firstBytes is how much memory a frame gets before any of it has come.
const firstBytes = 4 << 10

// readBytes reads n bytes and takes memory for them only as they come: a peer
// that promises four megabytes has to send them first.
func readBytes(r io.Reader, n int) ([]byte, error) {
	return readClaimed(r, n, func(int) error { return nil })
}

// readClaimed is readBytes, and claims memory before it takes it.
func readClaimed(r io.Reader, n int, claim func(int) error) ([]byte, error) {
	size := min(n, firstBytes)
	if err := claim(size); err != nil {
		return nil, err
	}
	b := make([]byte, 0, size)
	for len(b) < n {
		if len(b) == cap(b) {
			size := min(n, 2*cap(b))
			if err := claim(size - cap(b)); err != nil {
				return nil, err
			}
			b = append(make([]byte, 0, size), b...)
		}
		got, err := io.ReadFull(r, b[len(b):cap(b)])
		b = b[:len(b)+got]
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return b, nil
}

// steady reads a stream and gives each read a deadline of its own, so that a
// slow peer may take its time and a silent one may not.
type steady struct {
	network.Stream
	wait  time.Duration // how long the next read may take
	until time.Time     // when all reads have to be over; zero for never
}

func (s *steady) Read(b []byte) (int, error) {
	late := time.Now().Add(s.wait)
	if !s.until.IsZero() && s.until.Before(late) {
		late = s.until
	}
	if err := s.SetReadDeadline(late); err != nil {
		return 0, err
	}
	return s.Stream.Read(b)
}

// writeSteadily writes b in chunks, each of which may take as long as wait.
func writeSteadily(s network.Stream, b []byte, wait time.Duration) error {
	for len(b) > 0 {
		n := min(len(b), chunk)
		if err := s.SetWriteDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		if _, err := s.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
