package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unsafe"

	"github.com/yanmesh/yan/model/kernel"
)

// A checkpoint is one file in the safetensors layout: eight bytes of header length, a JSON header that
// names every tensor with its type, shape and place, then the numbers, little-endian and without gaps.
// The shape of the model and whatever else describes it stands in the header's __metadata__.

// ErrCheckpoint is returned for a file that is not a whole checkpoint of a model.
var ErrCheckpoint = errors.New("model: not a checkpoint")

// A NamedTensor is one entry of a tensor file.
type NamedTensor struct {
	Name  string
	Shape []int
	Data  []float32
	BF16  bool // written with 16 bits a number, rounded to nearest even
	Int8  bool // written with 8 bits a number, in steps of Int8Step
}

// Int8Step is the resolution of numbers written with 8 bits: they reach from −4 to 3.97.
const Int8Step = 1.0 / 32

const maxHeader = 16 << 20

type tensorHeader struct {
	DType   string    `json:"dtype"`
	Shape   []int     `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"`
}

// WriteTensors writes a tensor file.
func WriteTensors(w io.Writer, meta map[string]string, tensors []NamedTensor) error {
	var head bytes.Buffer
	head.WriteString(`{"__metadata__":`)
	j, err := json.Marshal(meta)
	if err != nil {
		return fmt.Errorf("model: write checkpoint: %w", err)
	}
	head.Write(j)
	var off uint64
	for _, t := range tensors {
		dtype, size := "F32", uint64(4)
		switch {
		case t.BF16:
			dtype, size = "BF16", 2
		case t.Int8:
			dtype, size = "I8", 1
		}
		end := off + size*uint64(len(t.Data))
		name, _ := json.Marshal(t.Name)
		entry, err := json.Marshal(tensorHeader{DType: dtype, Shape: t.Shape, Offsets: [2]uint64{off, end}})
		if err != nil {
			return fmt.Errorf("model: write checkpoint: %w", err)
		}
		fmt.Fprintf(&head, ",%s:%s", name, entry)
		off = end
	}
	head.WriteByte('}')
	for head.Len()%64 != 56 { // the numbers begin on a cache line
		head.WriteByte(' ')
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(head.Len()))); err != nil {
		return fmt.Errorf("model: write checkpoint: %w", err)
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return fmt.Errorf("model: write checkpoint: %w", err)
	}
	buf := make([]byte, 0, 64<<10)
	for _, t := range tensors {
		for i, v := range t.Data {
			switch {
			case t.BF16:
				buf = binary.LittleEndian.AppendUint16(buf, kernel.ToBF16(v))
			case t.Int8:
				buf = append(buf, byte(int8(min(max(math.RoundToEven(float64(v)/Int8Step), -128), 127))))
			default:
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			if len(buf) > 64<<10-8 || i == len(t.Data)-1 {
				if _, err := w.Write(buf); err != nil {
					return fmt.Errorf("model: write checkpoint: %w", err)
				}
				buf = buf[:0]
			}
		}
	}
	return nil
}

// A TensorFile is a parsed tensor file. Its tensors are decoded when asked for.
type TensorFile struct {
	Meta    map[string]string
	tensors map[string]tensorHeader
	data    []byte
}

// ReadTensors parses a whole tensor file. It trusts nothing in it: sizes, offsets and shapes have to
// agree with each other and with the bytes that are there, without gaps or overlaps.
func ReadTensors(b []byte) (*TensorFile, error) {
	bad := func(format string, a ...any) (*TensorFile, error) {
		return nil, fmt.Errorf("%w: %s", ErrCheckpoint, fmt.Sprintf(format, a...))
	}
	if len(b) < 8 {
		return bad("%d bytes are too few", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxHeader || n > uint64(len(b)-8) {
		return bad("the header claims %d bytes, the file has %d", n, len(b)-8)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b[8:8+n], &raw); err != nil {
		return bad("the header is no JSON object: %v", err)
	}
	f := &TensorFile{tensors: make(map[string]tensorHeader), data: b[8+n:]}
	var spans [][2]uint64
	for name, msg := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(msg, &f.Meta); err != nil {
				return bad("its metadata: %v", err)
			}
			continue
		}
		var h tensorHeader
		if err := json.Unmarshal(msg, &h); err != nil {
			return bad("tensor %q: %v", name, err)
		}
		size, ok := map[string]uint64{"F32": 4, "BF16": 2, "I8": 1}[h.DType]
		if !ok {
			return bad("tensor %q has type %q", name, h.DType)
		}
		for _, s := range h.Shape {
			if s < 0 || uint64(s) > uint64(len(b)) || size > uint64(len(b)) {
				return bad("tensor %q is larger than the file", name)
			}
			size *= uint64(s)
		}
		if h.Offsets[1] > uint64(len(f.data)) || h.Offsets[0] > h.Offsets[1] || h.Offsets[1]-h.Offsets[0] != size {
			return bad("tensor %q does not fit its place", name)
		}
		f.tensors[name] = h
		spans = append(spans, h.Offsets)
	}
	slices.SortFunc(spans, func(a, b [2]uint64) int { return slices.Compare(a[:], b[:]) })
	var end uint64
	for _, s := range spans {
		if s[0] != end {
			return bad("its tensors overlap or leave gaps")
		}
		end = s[1]
	}
	if end != uint64(len(f.data)) {
		return bad("%d bytes of numbers, the header tells of %d: it is cut off or has a tail", len(f.data), end)
	}
	return f, nil
}

// Has reports whether the file has a tensor of this name.
func (f *TensorFile) Has(name string) bool { _, ok := f.tensors[name]; return ok }

// Shape returns the shape of a tensor, nil if there is none of this name.
func (f *TensorFile) Shape(name string) []int { return f.tensors[name].Shape }

// Read decodes a tensor into dst, which must have its size. Numbers that are not finite are refused.
func (f *TensorFile) Read(name string, dst []float32, shape ...int) error {
	h, ok := f.tensors[name]
	if !ok {
		return fmt.Errorf("%w: no tensor %q", ErrCheckpoint, name)
	}
	n := 1
	for _, s := range h.Shape {
		n *= s
	}
	if !slices.Equal(h.Shape, shape) || n != len(dst) {
		return fmt.Errorf("%w: tensor %q has shape %v, want %v", ErrCheckpoint, name, h.Shape, shape)
	}
	b := f.data[h.Offsets[0]:h.Offsets[1]]
	for i := range dst {
		switch h.DType {
		case "F32":
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		case "BF16":
			dst[i] = kernel.FromBF16(binary.LittleEndian.Uint16(b[2*i:]))
		case "I8":
			dst[i] = float32(int8(b[i])) * Int8Step
		}
		if !finite(dst[i]) {
			return fmt.Errorf("%w: number %d of tensor %q is not finite", ErrCheckpoint, i, name)
		}
	}
	return nil
}

// View returns a tensor in the form that it has in the file, whose memory it shares where the machine can read it
// there. Numbers that are not finite are refused.
func (f *TensorFile) View(name string, shape ...int) (kernel.Matrix, error) {
	h := f.tensors[name]
	n := 1
	for _, s := range h.Shape {
		n *= s
	}
	b := f.data[h.Offsets[0]:h.Offsets[1]]
	if !slices.Equal(h.Shape, shape) || n == 0 || !nativeOrder || h.DType == "I8" || uintptr(unsafe.Pointer(&b[0]))%uintptr(len(b)/n) != 0 {
		w := make([]float32, n)
		err := f.Read(name, w, shape...)
		return kernel.F32(w), err
	}
	if h.DType == "F32" {
		w := unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), n)
		for i, v := range w {
			if !finite(v) {
				return kernel.Matrix{}, fmt.Errorf("%w: number %d of tensor %q is not finite", ErrCheckpoint, i, name)
			}
		}
		return kernel.F32(w), nil
	}
	w := unsafe.Slice((*uint16)(unsafe.Pointer(&b[0])), n)
	if i := notFinite(b); i >= 0 {
		return kernel.Matrix{}, fmt.Errorf("%w: number %d of tensor %q is not finite", ErrCheckpoint, i, name)
	}
	return kernel.BF16(w), nil
}

// nativeOrder says whether this machine keeps numbers as files have them.
var nativeOrder = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// notFinite returns the index of the first bfloat16 in b whose exponent is all ones, or −1. It looks at four at a
// time: adding one to an exponent of all ones carries into the sign's place, which was cleared.
func notFinite(b []byte) int {
	const exponents, one, carry = 0x7f807f807f807f80, 0x0080008000800080, 0x8000800080008000
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if (binary.LittleEndian.Uint64(b[i:])&exponents+one)&carry != 0 {
			break
		}
	}
	for ; i+2 <= len(b); i += 2 {
		if binary.LittleEndian.Uint16(b[i:])&0x7f80 == 0x7f80 {
			return i / 2
		}
	}
	return -1
}

// Write writes the base as a checkpoint, with 16 bits a number if asked. notes go into its metadata.
func (m *Model) Write(w io.Writer, bf16 bool, notes map[string]string) error {
	cfg, err := json.Marshal(m.Config)
	if err != nil {
		return fmt.Errorf("model: write checkpoint: %w", err)
	}
	meta := map[string]string{"format": "yan", "version": "1", "config": string(cfg)}
	for k, v := range notes {
		meta["note."+k] = v
	}
	var ts []NamedTensor
	for _, t := range m.tensors {
		data := t.Data.F32
		if data == nil {
			data = make([]float32, t.Len())
			t.Data.Read(data, 0)
		}
		ts = append(ts, NamedTensor{Name: t.Name, Shape: t.Shape, Data: data, BF16: bf16})
	}
	if n := m.Background.Len(); n > 0 {
		group := make([]float32, n)
		for i, g := range m.Background.Group {
			group[i] = float32(g)
		}
		ts = append(ts,
			NamedTensor{Name: "background.samples", Shape: []int{n, m.Config.ContextSize()}, Data: m.Background.Samples, Int8: true},
			NamedTensor{Name: "background.group", Shape: []int{n}, Data: group})
	}
	if m.Demand != nil {
		ts = append(ts, m.Demand.tensor())
	}
	return WriteTensors(w, meta, ts)
}

// maxBackground bounds the samples of a background read from a file.
const maxBackground = 1 << 16

// Load reads a base from the bytes of a checkpoint. It keeps them, for the model's matrices are views of them: b is not
// to be written any more, and may be a file mapped into memory.
func Load(b []byte) (*Model, error) {
	f, err := ReadTensors(b)
	if err != nil {
		return nil, err
	}
	if f.Meta["format"] != "yan" {
		return nil, fmt.Errorf("%w: it holds tensors, but not those of a Yan model", ErrCheckpoint)
	}
	if v, err := strconv.Atoi(f.Meta["version"]); err != nil || v != 1 {
		return nil, fmt.Errorf("%w: version %q, this program reads version 1", ErrCheckpoint, f.Meta["version"])
	}
	var c Config
	if err := json.Unmarshal([]byte(f.Meta["config"]), &c); err != nil {
		return nil, fmt.Errorf("%w: its config: %v", ErrCheckpoint, err)
	}
	if c.Check() == nil && c.size() > int64(len(b)) {
		return nil, fmt.Errorf("%w: the config tells of %d parameters, the file is too short", ErrCheckpoint, c.size())
	}
	m, _, err := layout(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	for i := range m.tensors {
		t := &m.tensors[i]
		if !f.Has(t.Name) {
			return nil, fmt.Errorf("%w: no tensor %q", ErrCheckpoint, t.Name)
		}
		var w kernel.Matrix
		if t.matrix != nil {
			w, err = f.View(t.Name, t.Shape...)
		} else {
			w = kernel.F32(make([]float32, t.Len()))
			err = f.Read(t.Name, w.F32, t.Shape...)
		}
		if err != nil {
			return nil, err
		}
		t.bind(w)
	}
	if m.Demand, err = readDemand(f); err != nil {
		return nil, err
	}
	if f.Has("background.group") {
		shape := f.Shape("background.group")
		if len(shape) != 1 || shape[0] > maxBackground {
			return nil, fmt.Errorf("%w: its background has shape %v", ErrCheckpoint, shape)
		}
		n := shape[0]
		group := make([]float32, n)
		bg := &Background{Samples: make([]float32, n*c.ContextSize()), Group: make([]int32, n)}
		if err := f.Read("background.group", group, n); err != nil {
			return nil, err
		}
		if err := f.Read("background.samples", bg.Samples, n, c.ContextSize()); err != nil {
			return nil, err
		}
		for i, g := range group {
			if g < 0 || g >= maxBackground {
				return nil, fmt.Errorf("%w: group %v in its background", ErrCheckpoint, g)
			}
			bg.Group[i] = int32(g)
		}
		m.Background = bg
	}
	return m, nil
}
