package gossip

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/yanmesh/yan/model/kernel"
)

// Hear returns the change of size numbers that a message tells. It allocates no more than such a change needs, whatever stands in
// the message.
func Hear(message []byte, size int) ([]float32, error) {
	if len(message) == 0 || message[0] != format {
		return nil, fmt.Errorf("%w: of another format", ErrMalformed)
	}
	rest := message[1:]
	group, rest, err := uvarint(rest)
	if err != nil {
		return nil, err
	}
	count, rest, err := uvarint(rest)
	if err != nil {
		return nil, err
	}
	if count != uint64(size) || group == 0 || group > maxSize {
		return nil, fmt.Errorf("%w: %d numbers in groups of %d where %d are wanted", ErrMalformed, count, group, size)
	}
	g := int(group)
	steps, rest, err := unframe(rest, 2*((size+g-1)/g))
	if err != nil {
		return nil, err
	}
	codes, rest, err := unframe(rest, (size+1)/2)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrMalformed, len(rest))
	}
	out := make([]float32, size)
	for from := 0; from < size; from += g {
		step := kernel.FromBF16(binary.LittleEndian.Uint16(steps[from/g*2:]))
		if step-step != 0 || step < 0 {
			return nil, fmt.Errorf("%w: a step of %v", ErrMalformed, step)
		}
		var told [16]float32 // by code
		for code := range told {
			told[code] = step * float32(int8(code<<4)>>4)
		}
		if told[8]-told[8] != 0 { // the largest of them
			return nil, fmt.Errorf("%w: steps of %v", ErrMalformed, step)
		}
		for i := from; i < min(from+g, size); i++ {
			out[i] = told[codes[i/2]>>(i&1*4)&15]
		}
	}
	return out, nil
}

func uvarint(b []byte) (uint64, []byte, error) {
	x, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, fmt.Errorf("%w: no number", ErrMalformed)
	}
	return x, b[n:], nil
}

// zip and unzip are shared: both are safe for concurrent use, and each call's frame is its own.
var zip = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	if err != nil {
		panic("gossip: " + err.Error()) // of options that are known
	}
	return e
})

var unzip = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSize), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("gossip: " + err.Error())
	}
	return d
})

// frame appends the length of what b takes when compressed, and that.
func frame(out, b []byte) []byte {
	z := zip().EncodeAll(b, nil)
	out = binary.AppendUvarint(out, uint64(len(z)))
	return append(out, z...)
}

// unframe reads what frame wrote of exactly size bytes, and allocates no more.
func unframe(b []byte, size int) (content, rest []byte, err error) {
	n, rest, err := uvarint(b)
	if err != nil || n > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: cut off", ErrMalformed)
	}
	content, err = unzip().DecodeAll(rest[:n], make([]byte, 0, size))
	if err != nil || len(content) != size {
		return nil, nil, fmt.Errorf("%w: %d bytes where %d belong: %v", ErrMalformed, len(content), size, err)
	}
	return content, rest[n:], nil
}
