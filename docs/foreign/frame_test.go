package foreign

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"
)

// A pair is a field of a map, in the order in which it came. Values are uint64, int64 (if
// negative), string, []byte, []any and message.
type pair struct {
	key   string
	value any
}

var errMalformed = errors.New("malformed")

// readValue reads one msgpack value of the subset and returns what is behind it.
func readValue(b []byte, depth int) (any, []byte, error) {
	if len(b) == 0 || depth > 7 {
		return nil, nil, errMalformed
	}
	c, rest := b[0], b[1:]
	number := func(n int) (uint64, error) {
		if len(rest) < n {
			return 0, errMalformed
		}
		var v uint64
		for _, x := range rest[:n] {
			v = v<<8 | uint64(x)
		}
		rest = rest[n:]
		return v, nil
	}
	switch {
	case c < 0x80:
		return uint64(c), rest, nil
	case c >= 0xe0:
		return int64(int8(c)), rest, nil
	case c < 0x90:
		return readMap(rest, uint64(c&15), depth)
	case c < 0xa0:
		return readArray(rest, uint64(c&15), depth)
	case c < 0xc0:
		return readBytes(rest, uint64(c&31), true)
	case c >= 0xcc && c <= 0xcf:
		v, err := number(1 << (c - 0xcc))
		return v, rest, err
	case c >= 0xd0 && c <= 0xd3:
		n := 1 << (c - 0xd0)
		v, err := number(n)
		signed := int64(v<<(64-8*n)) >> (64 - 8*n)
		if signed >= 0 {
			return uint64(signed), rest, err
		}
		return signed, rest, err
	case c >= 0xc4 && c <= 0xc6:
		n, err := number(1 << (c - 0xc4))
		if err != nil {
			return nil, nil, err
		}
		return readBytes(rest, n, false)
	case c >= 0xd9 && c <= 0xdb:
		n, err := number(1 << (c - 0xd9))
		if err != nil {
			return nil, nil, err
		}
		return readBytes(rest, n, true)
	case c == 0xdc || c == 0xdd:
		n, err := number(2 << (c - 0xdc))
		if err != nil {
			return nil, nil, err
		}
		return readArray(rest, n, depth)
	case c == 0xde || c == 0xdf:
		n, err := number(2 << (c - 0xde))
		if err != nil {
			return nil, nil, err
		}
		return readMap(rest, n, depth)
	}
	return nil, nil, fmt.Errorf("%w: a value of type %x", errMalformed, c)
}

func readBytes(b []byte, n uint64, text bool) (any, []byte, error) {
	if n > uint64(len(b)) {
		return nil, nil, errMalformed
	}
	if text {
		return string(b[:n]), b[n:], nil
	}
	return b[:n:n], b[n:], nil
}

func readArray(b []byte, n uint64, depth int) (any, []byte, error) {
	if n > uint64(len(b)) {
		return nil, nil, errMalformed
	}
	list := make([]any, n)
	var err error
	for i := range list {
		if list[i], b, err = readValue(b, depth+1); err != nil {
			return nil, nil, err
		}
	}
	return list, b, nil
}

func readMap(b []byte, n uint64, depth int) (any, []byte, error) {
	if n > uint64(len(b)) {
		return nil, nil, errMalformed
	}
	m := make(message, n)
	for i := range m {
		if len(b) < 2 || b[0] != 0xa1 || b[1] >= 0x80 {
			return nil, nil, errMalformed
		}
		name, rest := string(b[1:2]), b[2:]
		if slices.ContainsFunc(m[:i], func(p pair) bool { return p.key == name }) {
			return nil, nil, errMalformed
		}
		m[i].key = name
		var err error
		if m[i].value, b, err = readValue(rest, depth+1); err != nil {
			return nil, nil, err
		}
	}
	return m, b, nil
}

// appendHead writes a type and a number in the shortest of the forms that there are for them.
func appendHead(b []byte, short, limit byte, wide [4]byte, n uint64) []byte {
	switch {
	case n < uint64(limit):
		return append(b, short|byte(n))
	case n <= math.MaxUint8 && wide[0] != 0:
		return append(b, wide[0], byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, wide[1]), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, wide[2]), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, wide[3]), n)
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case uint64:
		return appendHead(b, 0, 0x80, [4]byte{0xcc, 0xcd, 0xce, 0xcf}, v)
	case int64:
		switch {
		case v >= 0:
			return appendValue(b, uint64(v))
		case v >= -32:
			return append(b, byte(v))
		case v >= math.MinInt8:
			return append(b, 0xd0, byte(v))
		case v >= math.MinInt16:
			return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(v))
		case v >= math.MinInt32:
			return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(v))
		}
		return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
	case string:
		return append(appendHead(b, 0xa0, 32, [4]byte{0xd9, 0xda, 0xdb}, uint64(len(v))), v...)
	case []byte:
		return append(appendHead(b, 0, 0, [4]byte{0xc4, 0xc5, 0xc6}, uint64(len(v))), v...)
	case []any:
		b = appendHead(b, 0x90, 16, [4]byte{0, 0xdc, 0xdd}, uint64(len(v)))
		for _, x := range v {
			b = appendValue(b, x)
		}
		return b
	case message:
		b = appendHead(b, 0x80, 16, [4]byte{0, 0xde, 0xdf}, uint64(len(v)))
		for _, p := range v {
			b = appendValue(append(b, 0xa1, p.key[0]), p.value)
		}
		return b
	}
	panic(fmt.Sprintf("a value of type %T", v))
}

// A shape is what a field may be: a natural number ('n'), an integer ('i'), a text ('s'), binary ('b'), a digest ('d'), a list ('l')
// or a map ('m').
type shape struct {
	is     byte
	max    uint64 // the number, or how long it may be
	of     *shape
	fields []field
}

type field struct {
	key string
	shape
	optional bool
}

var (
	natural   = shape{is: 'n', max: math.MaxUint64}
	word16    = shape{is: 'n', max: math.MaxUint16}
	word32    = shape{is: 'n', max: math.MaxUint32}
	integer   = shape{is: 'i'}
	digest    = shape{is: 'd', max: 32}
	name      = shape{is: 's', max: 64}
	label     = shape{is: 's', max: 64}
	values    = shape{is: 'n', max: 1 << 20}
	signature = shape{is: 'b', max: 64}
	update    = shape{is: 'm', fields: []field{{key: "a", shape: name}, {key: "s", shape: natural}}}

	head = []field{
		{key: "a", shape: name}, {key: "s", shape: natural}, {key: "m", shape: digest}, {key: "k", shape: label},
		{key: "r", shape: natural}, {key: "n", shape: word32}, {key: "e", shape: natural}, {key: "g", shape: integer},
		{key: "t", shape: integer}, {key: "d", shape: digest}, {key: "z", shape: shape{is: 'n', max: 4 << 20}}, {key: "q", shape: signature},
	}
	align = []field{
		{key: "a", shape: name}, {key: "m", shape: digest}, {key: "t", shape: natural}, {key: "r", shape: shape{is: 'n', max: 3}},
		{key: "v", shape: word32}, {key: "n", shape: word32}, {key: "p", shape: shape{is: 'l', max: 4, of: &digest}},
		{key: "d", shape: digest}, {key: "z", shape: shape{is: 'n', max: 64 << 10}}, {key: "q", shape: signature},
	}

	// kinds are the fields of each kind of frame, in the order in which they are written.
	kinds = map[byte][]field{
		1: {{key: "v", shape: word16}, {key: "m", shape: digest}, {key: "a", shape: label}, {key: "c", shape: shape{is: 'n', max: 255}, optional: true}},
		2: {{key: "i", shape: shape{is: 'l', max: 1024, of: &update}, optional: true}, {key: "d", shape: digest, optional: true},
			{key: "k", shape: shape{is: 'b', max: 4 << 10}, optional: true},
			{key: "r", shape: shape{is: 'l', max: 16, of: &digest}, optional: true}},
		3: {{key: "i", shape: shape{is: 'l', max: 64, of: &update}}, {key: "r", shape: shape{is: 'l', max: 16, of: &digest}, optional: true}},
		4: head,
		5: append(slices.Clone(head), field{key: "b", shape: shape{is: 'b', max: 4 << 20}}),
		6: {{key: "a", shape: name}, {key: "s", shape: natural}, {key: "v", shape: shape{is: 'n', max: 3}}, {key: "g", shape: integer}},
		7: align,
		8: append(slices.Clone(align), field{key: "b", shape: shape{is: 'b', max: 64 << 10}}),
		9: {{key: "a", shape: name}, {key: "d", shape: digest}, {key: "k", shape: label}},

		10: {{key: "k", shape: label}, {key: "v", shape: values}},
		11: {{key: "k", shape: label}, {key: "v", shape: values}, {key: "t", shape: natural}, {key: "p", shape: shape{is: 'l', max: 64, of: &name}}},
		12: {{key: "b", shape: shape{is: 'b', max: 4 << 20}}},
	}
	// most is how many bytes a frame may have.
	most = map[byte]int{1: 1 << 10, 2: 128 << 10, 3: 128 << 10, 4: 2 << 10, 5: 4<<20 + 4<<10, 6: 1 << 10, 7: 2 << 10, 8: 66 << 10, 9: 1 << 10,
		10: 1 << 10, 11: 8 << 10, 12: 4<<20 + 4<<10}

	bodyRequest = []field{{key: "d", shape: digest}, {key: "o", shape: word32}, {key: "e", shape: digest, optional: true}}
	bodyAnswer  = []field{{key: "z", shape: shape{is: 'n', max: 4 << 20}}}
	look        = []field{{key: "t", shape: integer}, {key: "s", shape: shape{is: 'n', max: 1}}, {key: "p", shape: shape{is: 'l', max: 256, of: &name}}}
)

// arrange checks a value and brings the fields of maps into the order in which they are written, without unknown ones.
func (s shape) arrange(v any) (any, error) {
	ok := false
	switch v := v.(type) {
	case uint64:
		ok = s.is == 'n' && v <= s.max || s.is == 'i' && v <= math.MaxInt64
	case int64:
		ok = s.is == 'i'
	case string:
		if s.is == 'b' || s.is == 'd' { // either is taken for the other
			return s.arrange([]byte(v))
		}
		ok = s.is == 's' && uint64(len(v)) <= s.max && printable(v)
	case []byte:
		if s.is == 's' {
			return s.arrange(string(v))
		}
		ok = s.is == 'b' && uint64(len(v)) <= s.max || s.is == 'd' && len(v) == 32
	case []any:
		if s.is != 'l' || uint64(len(v)) > s.max {
			break
		}
		list := make([]any, len(v))
		for i := range v {
			var err error
			if list[i], err = s.of.arrange(v[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	case message:
		if s.is == 'm' {
			return arrange(s.fields, v)
		}
	}
	if !ok {
		return nil, fmt.Errorf("%w: %v is not %c", errMalformed, v, s.is)
	}
	return v, nil
}

// zero is what a field is that is not there.
func (s shape) zero() any {
	switch s.is {
	case 's':
		return ""
	case 'b':
		return []byte(nil)
	case 'd':
		return make([]byte, 32)
	case 'l':
		return []any(nil)
	}
	return uint64(0)
}

func arrange(fields []field, m message) (message, error) {
	var out message
	for _, f := range fields {
		v := m.get(f.key)
		if v == nil && f.optional {
			continue
		}
		if v == nil {
			v = f.zero()
		}
		v, err := f.arrange(v)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.key, err)
		}
		out = append(out, pair{f.key, v})
	}
	return out, nil
}

// A message is the map of a frame.
type message []pair

func (m message) get(key string) any {
	for _, p := range m {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// readFields reads one map and nothing behind it.
func readFields(fields []field, b []byte) (message, error) {
	v, rest, err := readValue(b, 1)
	if err != nil {
		return nil, err
	}
	m, ok := v.(message)
	if !ok || len(rest) > 0 || count(m) > 8192 {
		return nil, errMalformed
	}
	return arrange(fields, m)
}

// count returns how many values and keys there are.
func count(v any) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			n += count(x)
		}
	case message:
		for _, p := range v {
			n += 1 + count(p.value)
		}
	}
	return n
}

func writeFields(m message) []byte { return appendValue(nil, m) }

// readFrame reads a frame. The message of a kind that is not known is nil.
func readFrame(b []byte) (kind byte, m message, err error) {
	if len(b) == 0 {
		return 0, nil, errMalformed
	}
	fields, known := kinds[b[0]]
	if !known {
		return b[0], nil, nil
	}
	if len(b) > most[b[0]] {
		return b[0], nil, errMalformed
	}
	if m, err = readFields(fields, b[1:]); err == nil {
		err = obey(b[0], m)
	}
	if err != nil {
		return b[0], nil, err
	}
	return b[0], m, nil
}

// obey checks what the fields of a frame have to be beyond their shapes.
func obey(kind byte, m message) error {
	ids, _ := m.get("i").([]any)
	records, _ := m.get("r").([]any)
	if parents, ok := m.get("p").([]any); ok && kind != 11 {
		records = parents
	}
	ok := sorted(records, func(a, b any) int { return bytes.Compare(a.([]byte), b.([]byte)) })
	for i, id := range ids {
		ok = ok && named(id.(message)) && (kind != 3 || !slices.ContainsFunc(ids[:i], func(o any) bool { return byName(id, o) == 0 }))
	}
	switch kind {
	case 2:
		sum, _ := m.get("d").([]byte)
		tags, _ := m.get("k").([]byte)
		ok = ok && sorted(ids, byName) && (len(ids) == 0 || len(bytes.Trim(sum, "\x00")) == 0) && (len(tags) == 0 || len(tags) == 4*len(ids))
	case 4, 5:
		ok = ok && named(m) && m.get("r").(uint64) < m.get("s").(uint64)
	case 6:
		ok = ok && named(m) && m.get("v").(uint64) > 0
	case 11:
		members, _ := m.get("p").([]any)
		ok = ok && sorted(members, func(a, b any) int { return cmp.Compare(a.(string), b.(string)) })
		for _, id := range members {
			_, err := keyOf(id.(string))
			ok = ok && err == nil && strings.HasPrefix(id.(string), "1")
		}
	case 7, 8, 9:
		ok = ok && m.get("a") != ""
	}
	if !ok {
		return fmt.Errorf("%w: %v", errMalformed, m)
	}
	return nil
}

// named says whether a message names an update.
func named(m message) bool { return m.get("a") != "" && m.get("s") != uint64(0) }

func byName(a, b any) int {
	m, n := a.(message), b.(message)
	return cmp.Or(cmp.Compare(m.get("a").(string), n.get("a").(string)), cmp.Compare(m.get("s").(uint64), n.get("s").(uint64)))
}

func sorted(list []any, compare func(a, b any) int) bool {
	for i := 1; i < len(list); i++ {
		if compare(list[i-1], list[i]) >= 0 {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) })
}

func writeFrame(kind byte, m message) []byte { return append([]byte{kind}, writeFields(m)...) }

// signed returns what the author of an update ("yan announce v1") or a record ("yan align v1") signs.
func signed(context string, fields []field, m message) []byte {
	b := append([]byte(context), 0)
	for _, f := range fields[:len(fields)-1] {
		switch v := m.get(f.key).(type) {
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		case []byte:
			b = append(b, v...)
		case []any:
			b = binary.AppendUvarint(b, uint64(len(v)))
			for _, x := range v {
				b = append(b, x.([]byte)...)
			}
		case int64:
			b = binary.AppendVarint(b, v)
		case uint64:
			if f.is == 'i' {
				b = binary.AppendVarint(b, int64(v))
			} else {
				b = binary.AppendUvarint(b, v)
			}
		}
	}
	return b
}

func sign(key ed25519.PrivateKey, context string, fields []field, m message) message {
	return append(m, pair{"q", ed25519.Sign(key, signed(context, fields, m))})
}

// verify says whether the peer that the message names as its author signed it.
func verify(context string, fields []field, m message) error {
	key, err := keyOf(m.get("a").(string))
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, signed(context, fields, m), m.get("q").([]byte)) {
		return errors.New("forged")
	}
	return nil
}

// keyOf returns the public key that a peer's name is made of.
func keyOf(text string) (ed25519.PublicKey, error) {
	id, err := peer.Decode(text)
	if err != nil {
		return nil, err
	}
	key, ok := bytes.CutPrefix([]byte(id), []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20})
	if !ok || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%s is not made of an ed25519 key", text)
	}
	return key, nil
}

// sumOf is the digest of a set of names of updates.
func sumOf(updates []any) []byte {
	b := append([]byte("yan have v1"), 0)
	for _, u := range updates {
		author := u.(message).get("a").(string)
		b = append(binary.AppendUvarint(b, uint64(len(author))), author...)
		b = binary.AppendUvarint(b, u.(message).get("s").(uint64))
	}
	sum := sha256.Sum256(b)
	return sum[:]
}
