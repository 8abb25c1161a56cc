package learning

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/yanmesh/yan/model"
)

// A merged skill whose camps stay apart travels as four bytes that name the format, how many camps there are as a uvarint, and of each
// camp its length as a uvarint and a packed delta.
const campsMagic = "yan\x03"

// Camps is how many camps a merged skill has, and 1 for one that a single author taught.
func (d *Delta) Camps() int { return 1 + len(d.more) }

func (d *Delta) packCamps(c model.Config, how Packing) ([]byte, error) {
	b := binary.AppendUvarint([]byte(campsMagic), uint64(d.Camps()))
	for _, x := range append([]*Delta{d}, d.more...) {
		alone := *x
		alone.more = nil
		p, err := alone.Pack(c, how, nil)
		if err != nil {
			return nil, err
		}
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	if len(b) > maxDelta {
		return nil, fmt.Errorf("learning: skill %s: %d bytes of %d camps, more than others take", d.Name, len(b), d.Camps())
	}
	return b, nil
}

var errCamps = errors.New("its camps are not told as they should be")

// unpackCamps parses what packCamps wrote. It trusts nothing.
func unpackCamps(b []byte, c model.Config, base [32]byte) (d *Delta, err error) {
	bad := func(err error) (*Delta, error) { return nil, fmt.Errorf("%w: %w", ErrDelta, err) }
	if len(b) > maxDelta {
		return bad(errCamps)
	}
	rest := b[len(campsMagic):]
	number := func() uint64 {
		n, k := binary.Uvarint(rest)
		if k <= 0 {
			rest = nil
			return 0
		}
		rest = rest[k:]
		return n
	}
	n := number()
	if n < 2 || n > maxCamps {
		return bad(errCamps)
	}
	room := 0
	for range n {
		size := number()
		if size < uint64(len(packedMagic)) || size > uint64(len(rest)) || string(rest[:len(packedMagic)]) != packedMagic {
			return bad(errCamps)
		}
		x, err := Unpack(rest[:size], c, base, nil)
		if err != nil {
			return nil, err
		}
		rest = rest[size:]
		if room += len(x.bank.Weights); room > maxPackedWeight || d != nil && x.Name != d.Name {
			return bad(errCamps)
		}
		if d == nil {
			d = x
		} else {
			d.more = append(d.more, x)
		}
	}
	if len(rest) > 0 {
		return bad(errCamps)
	}
	d.digest = sha256.Sum256(b)
	return d, nil
}
