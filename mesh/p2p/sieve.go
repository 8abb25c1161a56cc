package p2p

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// A sieve reads msgpack as memberlist writes it: tables of a few named values, each a number, a truth or some bytes.
// Anything else is refused before it reaches memberlist, whose decoder takes a length for true: ten bytes, of which one
// begins an extension, make it allocate gigabytes, and a smaller device dies of that.
type sieve struct {
	in   io.Reader
	left int          // bytes that may still come
	seen bytes.Buffer // all that has come
}

var errSieve = fmt.Errorf("%w: not as memberlist writes it", errSync)

// take reads n bytes, which belong to the sieve. Nothing is allocated for what does not come.
func (s *sieve) take(n int) ([]byte, error) {
	if n > s.left {
		return nil, errSieve
	}
	s.left -= n
	got, err := io.CopyN(&s.seen, s.in, int64(n))
	if err == io.EOF && got > 0 {
		err = io.ErrUnexpectedEOF
	}
	return s.seen.Bytes()[s.seen.Len()-int(got):], err
}

// table reads one table, and calls each with its names, and with those values that are numbers of at least zero.
func (s *sieve) table(each func(key string, v uint64)) error {
	head, err := s.take(1)
	if err != nil {
		return err
	}
	if head[0]&0xf0 != 0x80 {
		return errSieve
	}
	for range head[0] & 0x0f {
		t, err := s.take(1)
		if err != nil {
			return err
		}
		if t[0]&0xe0 != 0xa0 {
			return errSieve
		}
		b, err := s.take(int(t[0] & 0x1f))
		if err != nil {
			return err
		}
		key := string(b)
		v, err := s.value()
		if err != nil {
			return err
		}
		each(key, v)
	}
	return nil
}

// value reads one value. It is 0 for what is no number, and too large for one below zero.
func (s *sieve) value() (uint64, error) {
	head, err := s.take(1)
	if err != nil {
		return 0, err
	}
	switch t := head[0]; {
	case t < 0x80:
		return uint64(t), nil
	case t >= 0xe0:
		return 1 << 63, nil
	case t&0xe0 == 0xa0:
		_, err = s.take(int(t & 0x1f))
		return 0, err
	case t == 0xc0, t == 0xc2, t == 0xc3: // nothing, no, yes
		return 0, nil
	case t >= 0xc4 && t <= 0xc6:
		return 0, s.skip(1 << (t - 0xc4))
	case t >= 0xd9 && t <= 0xdb:
		return 0, s.skip(1 << (t - 0xd9))
	case t >= 0xcc && t <= 0xcf:
		return s.number(1 << (t - 0xcc))
	case t >= 0xd0 && t <= 0xd3:
		v, err := s.number(1 << (t - 0xd0))
		if sign := uint64(1) << (8<<(t-0xd0) - 1); v&sign != 0 {
			v = 1 << 63
		}
		return v, err
	}
	return 0, errSieve
}

// number reads a number of that many bytes.
func (s *sieve) number(width int) (uint64, error) {
	b, err := s.take(width)
	if err != nil {
		return 0, err
	}
	var whole [8]byte
	copy(whole[8-width:], b)
	return binary.BigEndian.Uint64(whole[:]), nil
}

// skip reads bytes, after their length, which has that many bytes.
func (s *sieve) skip(width int) error {
	n, err := s.number(width)
	if err != nil {
		return err
	}
	if n > uint64(s.left) {
		return errSieve
	}
	_, err = s.take(int(n))
	return err
}
