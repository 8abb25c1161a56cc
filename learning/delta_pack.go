package learning

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/yanmesh/yan/model"
)

// A packed delta is four bytes that name the format, the length of a JSON header as a uvarint, the header, and frames of zstd
// whose contents follow one another without gaps:
//
//	samples   one byte each, in steps of model.Int8Step; counted from those of the earlier version, if there is one
//	mask      one bit a weight, if not all are sent
//	scales    bfloat16, one for 64 weights that are sent; not with 16 bits or more
//	weights   the most significant bytes of all, then the next; two weights a byte with 4 bits or fewer
//
// The header says how long all that is, so nothing is inflated that was not measured before. Each part is a frame, since each has
// an entropy code of its own.

// A Packing says in how few bytes a delta travels. The zero value is what devices use.
type Packing struct {
	// Bits are those of a weight: 32 and 16 are floats, 8, 6, 5, 4, 3 and 2 whole multiples of a scale that 64 weights share. If zero,
	// 5 for the whole and 4 for a difference.
	Bits int
	// Share is how many of the weights are told to those who have an earlier version, those that changed most first. If zero, 1/4.
	// What is left out goes into the next version, since that is counted from what the others have.
	Share float64
	// Plain leaves out the entropy code, for those who send bodies as the difference from earlier ones.
	Plain bool
	// Former is an earlier version of a whole delta, as it was packed. What is packed now differs from it in few places: a weight that is no
	// further than Slack from what the former one says of it keeps its code. One of another shape or format is not looked at.
	Former []byte
	// Slack is in steps of a weight's scale. If zero, 1/2, which is what rounding takes: then it is scales that stay, and with them most codes.
	Slack float64
}

func (p Packing) withDefaults(whole bool) Packing {
	switch {
	case p.Bits != 0:
	case whole:
		p.Bits = 5
	default:
		p.Bits = 4
	}
	if p.Share == 0 {
		p.Share = 0.25
	}
	if p.Slack == 0 {
		p.Slack = 0.5
	}
	return p
}

func (p Packing) check() error {
	if !slices.Contains(packedBits, p.Bits) {
		return fmt.Errorf("learning: %d bits a weight: there are %v", p.Bits, packedBits)
	}
	if !(p.Share > 0 && p.Share <= 1) {
		return fmt.Errorf("learning: a share of %v of the weights", p.Share)
	}
	if !(p.Slack >= 0.5 && p.Slack <= 8) {
		return fmt.Errorf("learning: a slack of %v steps: from half a step, which rounding takes, to 8", p.Slack)
	}
	return nil
}

var packedBits = []int{2, 3, 4, 5, 6, 8, 16, 32}

const (
	packedMagic = "yan\x02" // as the length of a tensor file's header this would be too long
	scaleBlock  = 64        // weights that share a scale

	maxPackedHeader = 4 << 10
	maxPacked       = maxDelta     // bytes inside the frames
	maxPackedWeight = maxDelta / 2 // how many: no more than a tensor file can bring
)

// ErrSince is returned for a delta that is counted from a version that is not here: ask for the whole.
var ErrSince = errors.New("learning: it is counted from a version that is not here")

type packedHeader struct {
	deltaHeader
	Bits    int    `json:"bits"`
	Samples int    `json:"samples"`
	Sent    int    `json:"sent"`            // weights
	Since   string `json:"since,omitempty"` // digest of the version that it is counted from
	Plain   bool   `json:"plain,omitempty"` // the parts follow as they are, without frames
	Of      []int  `json:"of,omitempty"`    // of what was merged: whose versions went in, by their places among those that count
}

// all is how many weights the bank has.
func (h *packedHeader) all(c model.Config) int { return c.BankSize(h.Sections, h.Neurons) }

// sizes are the lengths of the four parts, in bytes.
func (h *packedHeader) sizes(c model.Config) (s [4]int) {
	s[0] = h.Samples * c.ContextSize()
	if h.Sent < h.all(c) {
		s[1] = (h.all(c) + 7) / 8
	}
	if h.Bits < 16 {
		s[2] = 2 * ((h.Sent + scaleBlock - 1) / scaleBlock)
	}
	s[3] = (h.Sent*codeBits(h.Bits) + 7) / 8
	return s
}

// codeBits is the room of a weight before the entropy code, to which values that are never used cost nothing.
func codeBits(bits int) int {
	switch {
	case bits <= 4:
		return 4
	case bits <= 8:
		return 8
	}
	return bits
}

// Digest names a delta by the bytes that it was decoded from. It is zero for one that was not packed.
func (d *Delta) Digest() [32]byte { return d.digest }

// Pack returns the delta in few bytes, whole or counted from an earlier version since, which has to be what the others have: what
// Unpack makes of the bytes that Pack returned for it. So what quantisation and choice left out of one version is in the next one's
// difference: error feedback in the form of EF21 (Richtárik, Sokolov and Fatkhullin 2021, algorithm 2).
func (d *Delta) Pack(c model.Config, how Packing, since *Delta) ([]byte, error) {
	if len(d.more) > 0 && since == nil {
		return d.packCamps(c, how)
	}
	how = how.withDefaults(since == nil)
	if err := how.check(); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(d.bank.Weights, func(v float32) bool { return !(v >= -maxDeltaWeight && v <= maxDeltaWeight) }); i >= 0 {
		return nil, fmt.Errorf("learning: skill %s: weight %d is %v", d.Name, i, d.bank.Weights[i])
	}
	h := packedHeader{deltaHeader: d.header(), Bits: how.Bits, Samples: len(d.samples) / c.ContextSize(), Plain: how.Plain, Of: d.members}
	w, samples := d.bank.Weights, int8s(d.samples)
	var mask []byte
	if since != nil {
		if since.digest == [32]byte{} || !since.precedes(d.Name, d.Base, d.bank) {
			return nil, fmt.Errorf("learning: skill %s: not an earlier version of it that others have", d.Name)
		}
		h.Since = hex.EncodeToString(since.digest[:])
		shift(samples, int8s(since.samples), -1)
		w, mask = changes(w, since.bank.Weights, how.Share)
	}
	h.Sent = len(w)
	if h.Sent == len(d.bank.Weights) {
		mask = nil
	}
	var former *levels
	if since == nil {
		former = h.former(how.Former, c)
	}
	scales, codes := quantise(w, how.Bits, former, how.Slack)
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("learning: skill %s: %w", d.Name, err)
	}
	b := binary.AppendUvarint([]byte(packedMagic), uint64(len(head)))
	b = append(b, head...)
	for _, part := range [][]byte{samples, mask, scales, codes} {
		if how.Plain {
			b = append(b, part...)
		} else {
			b = encoder().EncodeAll(part, b)
		}
	}
	if len(b) > maxDelta || h.check(c) != nil {
		return nil, fmt.Errorf("learning: skill %s: %d bytes of %d weights, more than others take", d.Name, len(b), h.Sent)
	}
	return b, nil
}

func (d *Delta) header() deltaHeader {
	return deltaHeader{d.Name, hex.EncodeToString(d.Base[:]), d.bank.Sections, d.bank.Neurons, d.Events, d.Gain}
}

// former is what the bytes of an earlier version say of the weights, or nil if they are of no use to this one.
func (h *packedHeader) former(b []byte, c model.Config) *levels {
	if len(b) == 0 || h.Bits >= 16 {
		return nil
	}
	o, rest, err := readPackedHeader(b)
	if err != nil || o.check(c) != nil || o.Since != "" || o.Name != h.Name || o.Base != h.Base || o.Sections != h.Sections || o.Neurons != h.Neurons || o.Bits != h.Bits {
		return nil
	}
	parts, err := o.inflate(rest, c)
	if err != nil {
		return nil
	}
	return &levels{parts[2], parts[3]}
}

// precedes reports whether d may be what a skill of this name, base and shape is counted from.
func (d *Delta) precedes(name string, base [32]byte, b *model.Bank) bool {
	return d.Name == name && d.Base == base && d.bank.Sections == b.Sections && d.bank.Neurons == b.Neurons && len(d.bank.Weights) == len(b.Weights)
}

// check is what has to hold of a header before anything is made room for.
func (h *packedHeader) check(c model.Config) error {
	if !bankFits(c, h.Sections, h.Neurons, maxPackedWeight) {
		return fmt.Errorf("%d sections of %d neurons", h.Sections, h.Neurons)
	}
	if h.Samples < 1 || h.Samples > maxSamples {
		return fmt.Errorf("%d samples", h.Samples)
	}
	if h.Sent < 0 || h.Sent > h.all(c) || h.Since == "" && h.Sent < h.all(c) {
		return fmt.Errorf("%d of %d weights", h.Sent, h.all(c))
	}
	if !slices.Contains(packedBits, h.Bits) {
		return fmt.Errorf("%d bits a weight", h.Bits)
	}
	for i, m := range h.Of {
		if m < 0 || m >= maxMerged || i > 0 && m <= h.Of[i-1] {
			return fmt.Errorf("it was merged of %d", h.Of)
		}
	}
	if s := h.sizes(c); s[0]+s[1]+s[2]+s[3] > maxPacked {
		return fmt.Errorf("%d bytes inside", s[0]+s[1]+s[2]+s[3])
	}
	return nil
}

// Unpack parses what Pack wrote, for a base of shape c and this fingerprint. It trusts nothing. A delta that is counted from an
// earlier version needs that version, which since returns by its digest, or nil; without it the error is ErrSince too.
func Unpack(b []byte, c model.Config, base [32]byte, since func(digest [32]byte) *Delta) (*Delta, error) {
	bad := func(format string, a ...any) (*Delta, error) {
		return nil, fmt.Errorf("%w: %s", ErrDelta, fmt.Sprintf(format, a...))
	}
	if bytes.HasPrefix(b, []byte(campsMagic)) {
		return unpackCamps(b, c, base)
	}
	h, rest, err := readPackedHeader(b)
	if err != nil {
		return bad("%v", err)
	}
	if err := h.deltaHeader.check(base); err != nil {
		return bad("%v", err)
	}
	if err := h.check(c); err != nil {
		return bad("%v", err)
	}
	var old *Delta
	if h.Since != "" {
		if old, err = h.earlier(since); err != nil {
			return nil, err
		}
	}
	parts, err := h.inflate(rest, c)
	if err != nil {
		return bad("%v", err)
	}
	d := &Delta{Name: h.Name, Base: base, Events: h.Events, Gain: h.Gain, digest: sha256.Sum256(b), members: h.Of}
	if d.bank, err = model.NewBank(c, h.Name, h.Sections, h.Neurons); err != nil {
		return bad("%v", err)
	}
	w := d.bank.Weights
	if old != nil {
		if !old.precedes(d.Name, base, d.bank) {
			return bad("it is counted from another skill")
		}
		copy(w, old.bank.Weights)
		shift(parts[0], int8s(old.samples), 1)
	}
	d.samples = make([]float32, len(parts[0]))
	for i, v := range parts[0] {
		d.samples[i] = float32(int8(v)) * model.Int8Step
	}
	if err := addTo(w, parts[1], h.Sent, dequantised(parts[2], parts[3], h.Bits, h.Sent)); err != nil {
		return bad("%v", err)
	}
	if err := checkWeights(w); err != nil {
		return nil, err
	}
	return d, nil
}

// readPackedHeader returns the header and what follows it.
func readPackedHeader(b []byte) (h packedHeader, rest []byte, err error) {
	if len(b) > maxDelta {
		return h, nil, fmt.Errorf("%d bytes, more than %d", len(b), maxDelta)
	}
	b, ok := bytes.CutPrefix(b, []byte(packedMagic))
	n, k := binary.Uvarint(b)
	if !ok || k <= 0 || n > maxPackedHeader || n > uint64(len(b)-k) {
		return h, nil, errors.New("it does not begin as one")
	}
	if err := json.Unmarshal(b[k:k+int(n)], &h); err != nil {
		return h, nil, fmt.Errorf("its header: %w", err)
	}
	return h, b[k+int(n):], nil
}

// earlier finds the version that a delta is counted from.
func (h *packedHeader) earlier(since func([32]byte) *Delta) (*Delta, error) {
	var digest [32]byte
	if n, err := hex.Decode(digest[:], []byte(h.Since[:min(len(h.Since), 64)])); err != nil || n != 32 || len(h.Since) != 64 {
		return nil, fmt.Errorf("%w: it is counted from %.64q", ErrDelta, h.Since)
	}
	if since != nil {
		if d := since(digest); d != nil {
			return d, nil
		}
	}
	return nil, fmt.Errorf("%w: %w (%.8s)", ErrDelta, ErrSince, h.Since)
}

// inflate returns the four parts. It makes room for what the checked header says, and a frame that holds more is refused.
func (h *packedHeader) inflate(b []byte, c model.Config) (parts [4][]byte, err error) {
	sizes := h.sizes(c)
	total := sizes[0] + sizes[1] + sizes[2] + sizes[3]
	if !h.Plain {
		if b, err = decoder().DecodeAll(b, make([]byte, 0, total)); err != nil {
			return parts, err
		}
	}
	if len(b) != total {
		return parts, fmt.Errorf("%d bytes inside, its header tells of %d", len(b), total)
	}
	b = slices.Clone(b) // parts are written to, and plain ones are the caller's
	for i, n := range sizes {
		parts[i], b = b[:n:n], b[n:]
	}
	return parts, nil
}

// One encoder and one decoder serve all; with a concurrency of one they start no goroutine.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false))
		if err != nil {
			panic(err) // the options are ours
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxPacked), zstd.WithDecoderMaxWindow(2*maxPacked), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			panic(err)
		}
		return d
	})
)

// changes returns the difference of the share of the weights that changed most, in the order of the weights, and the mask of which
// they are. Of two that changed alike the first one goes.
func changes(w, old []float32, share float64) (sent []float32, mask []byte) {
	change := make([]float32, len(w))
	var order []uint64 // how large, as the bits of a float, which sort as floats do; then its place, from the end
	for i, v := range w {
		if change[i] = v - old[i]; change[i] != 0 {
			order = append(order, uint64(math.Float32bits(change[i])&^(1<<31))<<32|uint64(^uint32(i)))
		}
	}
	slices.Sort(order)
	order = order[max(0, len(order)-int(math.Ceil(share*float64(len(w))))):]
	mask = make([]byte, (len(w)+7)/8)
	for _, o := range order {
		i := math.MaxUint32 - o&math.MaxUint32
		mask[i/8] |= 1 << (i % 8)
	}
	for i, v := range change {
		if mask[i/8]>>(i%8)&1 == 1 {
			sent = append(sent, v)
		}
	}
	return sent, mask
}

// addTo adds v to the weights that the mask names, or to all if it is empty.
func addTo(w []float32, mask []byte, sent int, v []float32) error {
	if len(mask) == 0 {
		for i, x := range v {
			w[i] += x
		}
		return nil
	}
	n := 0
	for i := range 8 * len(mask) {
		n += int(mask[i/8] >> (i % 8) & 1)
	}
	if tail := len(w) % 8; n != sent || tail > 0 && mask[len(mask)-1]>>tail != 0 {
		return fmt.Errorf("its mask names %d weights, its header %d", n, sent)
	}
	for i := range w {
		if mask[i/8]>>(i%8)&1 == 1 {
			w[i] += v[0]
			v = v[1:]
		}
	}
	return nil
}

// shift adds old to b, or takes it away, byte by byte as far as both go: samples that stayed become zeros, and back.
func shift(b, old []byte, sign int8) {
	for i := range min(len(b), len(old)) {
		b[i] += byte(sign * int8(old[i]))
	}
}

// int8s are numbers in steps of model.Int8Step.
func int8s(v []float32) []byte {
	b := make([]byte, len(v))
	for i, x := range v {
		b[i] = byte(int8(min(max(math.RoundToEven(float64(x)/model.Int8Step), -128), 127)))
	}
	return b
}
