package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// An idx is an array of the IDX format, which MNIST brought (LeCun, Cortes and Burges 1998): two zero
// bytes, a type, the number of dimensions, each dimension as a big-endian uint32, and the numbers.
type idx struct {
	shape  []int
	bytes  []byte    // of an array of ubyte
	ints   []int16   // of an array of int16
	floats []float32 // of an array of float32: finite
}

// The types of numbers that are read.
const (
	idxUbyte = 0x08
	idxInt16 = 0x0b
	idxFloat = 0x0d
)

// maxIDXDims is more dimensions than any data here has.
const maxIDXDims = 4

// decodeIDX reads an array, compressed by gzip or not. It copies what it keeps.
func decodeIDX(b []byte) (*idx, error) {
	b, err := inflate(b)
	if err != nil {
		return nil, err
	}
	if len(b) < 4 || b[0] != 0 || b[1] != 0 {
		return nil, errors.New("is no IDX file: it does not begin with two zero bytes and a type")
	}
	dims := int(b[3])
	size := 0
	switch b[2] {
	case idxUbyte:
		size = 1
	case idxInt16:
		size = 2
	case idxFloat:
		size = 4
	default:
		return nil, fmt.Errorf("has numbers of IDX type 0x%02x: only ubyte (0x08), int16 (0x0b) and float32 (0x0d) are read", b[2])
	}
	if dims == 0 || dims > maxIDXDims || len(b) < 4+4*dims {
		return nil, fmt.Errorf("has an IDX header of %d dimensions in %d bytes: 1 to %d dimensions can be read", dims, len(b), maxIDXDims)
	}
	a := &idx{}
	count := uint64(1)
	rest := b[4+4*dims:]
	for i := range dims {
		n := binary.BigEndian.Uint32(b[4+4*i:])
		a.shape = append(a.shape, int(n))
		if n == 0 {
			return nil, fmt.Errorf("has the shape %v: there is nothing in it", a.shape)
		}
		if count *= uint64(n); count > uint64(len(rest)) { // so the next product cannot overflow
			return nil, fmt.Errorf("is cut off: its first %d dimensions %v alone need more than its %d bytes", i+1, a.shape, len(b))
		}
	}
	if count*uint64(size) != uint64(len(rest)) {
		return nil, fmt.Errorf("has %d bytes of numbers: the shape %v needs %d", len(rest), a.shape, count*uint64(size))
	}
	switch size {
	case 1:
		a.bytes = bytes.Clone(rest)
		return a, nil
	case 4:
		a.floats = make([]float32, count)
		for i := range a.floats {
			v := math.Float32frombits(binary.BigEndian.Uint32(rest[4*i:]))
			if v-v != 0 {
				return nil, fmt.Errorf("has %v as its number %d: finite numbers belong here", v, i)
			}
			a.floats[i] = v
		}
		return a, nil
	}
	a.ints = make([]int16, count)
	for i := range a.ints {
		a.ints[i] = int16(binary.BigEndian.Uint16(rest[2*i:]))
	}
	return a, nil
}

// item is how many numbers one entry of the first dimension has.
func (a *idx) item() int {
	n := 1
	for _, d := range a.shape[1:] {
		n *= d
	}
	return n
}

// inflate undoes gzip where there is any. What grows beyond maxFile is refused.
func inflate(b []byte) ([]byte, error) {
	if len(b) < 2 || b[0] != 0x1f || b[1] != 0x8b {
		return b, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("cannot be decompressed: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be decompressed: %w", err)
	}
	if len(out) > maxFile {
		return nil, fmt.Errorf("is larger than %d MiB when decompressed", maxFile>>20)
	}
	return out, nil
}

// readIDX reads a file of the IDX format.
func readIDX(path string) (*idx, error) {
	b, err := slurp(path)
	if err != nil {
		return nil, err
	}
	a, err := decodeIDX(b)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return a, nil
}

// slurp reads a whole file of at most maxFile bytes.
func slurp(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w: check the file", path, bare(err))
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: name a file in it", path)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than the %d MiB that one file may have", path, maxFile>>20)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w: check the file", path, bare(err))
	}
	return b, nil
}
