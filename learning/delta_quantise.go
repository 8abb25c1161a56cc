package learning

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/yanmesh/yan/model/kernel"
)

// levels are what quantise wrote of an earlier version, with fewer than 16 bits.
type levels struct{ scales, codes []byte }

// How much larger or smaller than a block's scale a better one has to be to take its place: by more above than below, for what is cut off is lost,
// and steps that are too long only cost a bit.
const (
	scaleGrew   = 1.25
	scaleShrank = 0.6
)

// quantise writes each weight with so many bits: 32 and 16 as floats, fewer as a multiple of a scale that a block of scaleBlock
// weights shares.
//
// With a former version, a block keeps its scale until a better one is far from it, and a weight its code until it is further than slack steps from
// it. So the versions of a skill that learns on are mostly equal, and what is not told of a weight is never more than slack steps: what was left out
// stays owed, as in error feedback, and has a bound.
func quantise(w []float32, bits int, former *levels, slack float64) (scales, codes []byte) {
	n := len(w)
	codes = make([]byte, (n*codeBits(bits)+7)/8)
	if bits >= 16 {
		for i, v := range w {
			u := math.Float32bits(v)
			if bits == 16 {
				u = uint32(kernel.ToBF16(v)) << 16
			}
			for k := range bits / 8 { // the bytes that are alike stand together
				codes[k*n+i] = byte(u >> (24 - 8*k))
			}
		}
		return nil, codes
	}
	i, most := 0, float64(int(1)<<(bits-1)-1)
	for block := range slices.Chunk(w, scaleBlock) {
		h := kernel.ToBF16(scaleOf(block, most, bits))
		kept := false
		if former != nil {
			old := binary.LittleEndian.Uint16(former.scales[len(scales):])
			if better := float64(kernel.FromBF16(h)) / float64(kernel.FromBF16(old)); better <= scaleGrew && better >= scaleShrank {
				h, kept = old, true
			}
		}
		scales = binary.LittleEndian.AppendUint16(scales, h)
		scale := float64(kernel.FromBF16(h))
		for _, v := range block {
			code := level(float64(v), scale, most)
			if kept {
				if old := float64(codeAt(former.codes, i, bits)); math.Abs(float64(v)-float64(old*scale)) <= slack*scale {
					code = old
				}
			}
			putCode(codes, i, bits, int8(code))
			i++
		}
	}
	return scales, codes
}

// level is the multiple of scale that is nearest to v.
func level(v, scale, most float64) float64 {
	if scale == 0 {
		return 0
	}
	return min(max(math.RoundToEven(v/scale), -most), most)
}

// scaleOf is the scale at which a block loses least, in squares. With few levels it is worth while to cut off what is largest.
func scaleOf(block []float32, most float64, bits int) float32 {
	var top float64
	for _, v := range block {
		top = max(top, math.Abs(float64(v)))
	}
	widest := top / most
	if bits >= 8 || widest == 0 {
		return float32(widest)
	}
	best, least := widest, math.Inf(1)
	for f := 1.0; f > 0.3; f -= 0.05 {
		var lost float64
		for _, v := range block {
			e := float64(v) - float64(f*widest*level(float64(v), f*widest, most))
			lost += float64(e * e) // rounded before it is added, so that all machines choose alike
		}
		if lost < least {
			best, least = f*widest, lost
		}
	}
	return float32(best)
}

// dequantised is what quantise wrote, n weights of it.
func dequantised(scales, codes []byte, bits, n int) []float32 {
	w := make([]float32, n)
	for i := range w {
		if bits < 16 {
			w[i] = kernel.FromBF16(binary.LittleEndian.Uint16(scales[i/scaleBlock*2:])) * float32(codeAt(codes, i, bits))
			continue
		}
		var u uint32
		for k := range bits / 8 {
			u |= uint32(codes[k*n+i]) << (24 - 8*k)
		}
		w[i] = math.Float32frombits(u)
	}
	return w
}

func putCode(codes []byte, i, bits int, v int8) {
	if bits > 4 {
		codes[i] = byte(v)
		return
	}
	codes[i/2] |= byte(v) & 15 << (i % 2 * 4)
}

func codeAt(codes []byte, i, bits int) int8 {
	if bits > 4 {
		return int8(codes[i])
	}
	return int8(codes[i/2]>>(i%2*4)<<4) >> 4
}
