// Package gossip is learning together with no server: everybody begins at the same vector, learns alone for a few steps, and tells
// a few others, new ones every time, how far it has come from the beginning.
//
// A [Voice] says that in few bytes: whole steps of a size that a group of numbers shares, behind an entropy code. What the steps
// are too coarse for is not lost but said the next time (error feedback), so that over the rounds the swarm hears all of it.
// [Hear] takes the bytes apart again and trusts none of them.
//
// The package is pure: no clock, no chance but what is handed in, no I/O. The same numbers make the same bytes on every machine.
// Whom to believe is the business of package robust and of a [Judge].
package gossip

import (
	"encoding/binary"
	"errors"

	"math"

	"github.com/yanmesh/yan/model/kernel"
)

// A message is a byte that names the format, the length of a group and the number of numbers as uvarints, and two frames of zstd:
// the steps, one bfloat16 for each group, and the codes, two to a byte, each how many steps a number is, from −7 to 7 in two's
// complement.
const (
	format  = 1
	most    = 7       // steps in a code
	maxSize = 1 << 24 // numbers in a message
)

// ErrMalformed means that a message is none of ours, or does not fit.
var ErrMalformed = errors.New("gossip: malformed message")

// A Voice is how one node speaks. It is not safe for concurrent use.
type Voice struct {
	// Step is how coarse it speaks: the step of a group over the root of the mean square of its numbers. If zero, 1, which costs
	// about two bits a number and blurs it by a twelfth of its square.
	Step float64
	// Group is how many numbers share a step. If zero, 100.
	Group int
	// Forgetful leaves out the error feedback.
	Forgetful bool

	left []float32 // what the steps were too coarse for, up to now
}

// Say returns the message that tells change, which has as many numbers every time, all of them finite. The same change, said again,
// is told differently: what was left out comes first.
func (v *Voice) Say(change []float32) []byte {
	step, group := v.Step, v.Group
	if step == 0 {
		step = 1
	}
	if group == 0 {
		group = 100
	}
	if v.left == nil {
		v.left = make([]float32, len(change))
	}
	steps := make([]byte, 0, 2*((len(change)+group-1)/group))
	codes := make([]byte, (len(change)+1)/2)
	for from := 0; from < len(change); from += group {
		to := min(from+group, len(change))
		left := v.left[from:to]
		var square float64
		for i, x := range change[from:to] {
			left[i] += x // all that is to be said
			square += float64(float64(left[i]) * float64(left[i]))
		}
		h := kernel.ToBF16(float32(step * math.Sqrt(square/float64(len(left)))))
		steps = binary.LittleEndian.AppendUint16(steps, h)
		size := kernel.FromBF16(h)
		if size > 0 {
			inverse := 1 / size
			for i, x := range left {
				k := nearest(x * inverse)
				codes[(from+i)/2] |= byte(k) & 15 << ((from + i) & 1 * 4)
				left[i] = x - float32(size*float32(k))
			}
		}
		if v.Forgetful {
			clear(left)
		}
	}
	out := binary.AppendUvarint([]byte{format}, uint64(group))
	out = binary.AppendUvarint(out, uint64(len(change)))
	out = frame(out, steps)
	return frame(out, codes)
}

// nearest is the whole number that is nearest to x, as far as a code goes.
func nearest(x float32) int32 {
	if x >= 0 {
		return min(int32(min(x, most)+0.5), most)
	}
	return max(int32(max(x, -most)-0.5), -most)
}
