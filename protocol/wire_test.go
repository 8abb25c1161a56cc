package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

var rewrite = flag.Bool("update", false, "write the golden frames anew")

// kinds are all that Decode knows.
var kinds = []Kind{KindHello, KindHave, KindWant, KindAnnounce, KindUpdate, KindAnswer, KindAlign, KindRecord, KindConvict, KindOffer, KindCall, KindPart}

// The frames in testdata are what this version writes and must read for ever. A change there is a
// change of the format: add a frame with the next number instead.
func TestGolden(t *testing.T) {
	if *rewrite {
		for name, m := range samples() {
			writeGolden(t, name, m)
		}
	}
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) < len(kinds) {
		t.Fatalf("%d golden frames, %v", len(files), err)
	}
	seen := map[Kind]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		frame := readGolden(t, file)
		got, err := Decode(frame)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		seen[got.Kind()] = true
		want := samples()[name]
		if want == nil {
			continue // of an earlier version: to be read, no longer to be written
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if b, err := Encode(want); err != nil || !bytes.Equal(b, frame) {
			t.Errorf("%s is written otherwise now: %x, %v", name, b, err)
		}
		if u, ok := got.(interface{ Verify() error }); ok {
			if err := u.Verify(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, k := range kinds {
		if !seen[k] {
			t.Errorf("no golden frame of kind %v", k)
		}
	}
}

func writeGolden(t *testing.T, name string, m Message) {
	t.Helper()
	b, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# %v\n# kind %d, then a msgpack map; %d bytes\n", m, b[0], len(b))
	for line := range slices.Chunk(b, 32) {
		fmt.Fprintf(&out, "%x\n", line)
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".hex"), []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			digits.WriteString(strings.TrimSpace(line))
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	msgs := samples()
	msgs["an empty have"] = &Have{}
	msgs["an empty want"] = &Want{}
	msgs["an empty hello"] = &Hello{}
	msgs["large numbers"] = &Announce{
		ID: UpdateID{"p", math.MaxUint64}, Replaces: math.MaxUint64 - 1, Sections: math.MaxUint32, Events: math.MaxUint64,
		Gain: math.MaxInt64, Made: math.MinInt64, Size: MaxBody, Sig: []byte{},
	}
	msgs["the longest body"] = &Update{
		Announce: Announce{
			ID: UpdateID{PeerID(strings.Repeat("p", maxPeerID)), 1}, Skill: strings.Repeat("s", MaxSkill),
			Sig: make([]byte, maxSig),
		},
		Body: bytes.Repeat([]byte{0xdd}, MaxBody),
	}
	full := new(Have)
	for n := range uint64(MaxHave) {
		full.IDs = append(full.IDs, UpdateID{PeerID(strings.Repeat("p", maxPeerID)), math.MaxUint64 - MaxHave + n})
	}
	for range MaxHave {
		full.Tags = append(full.Tags, TagOf("skill"))
	}
	msgs["the longest have"] = full
	msgs["the longest want"] = &Want{IDs: full.IDs[:MaxWant]}
	for name, m := range msgs {
		b, err := Encode(m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %v, want %v", name, got, m)
		}
		clear(b) // the message must not notice
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s shares memory with its frame", name)
		}
	}
}

// Every prefix of a frame is refused, and so is a frame with a byte more.
func TestNothingMissingNothingMore(t *testing.T) {
	for name, m := range samples() {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			if got, err := Decode(b[:i:i]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: the first %d bytes are %v, %v", name, i, got, err)
			}
		}
		for _, c := range []byte{0, 0x80, 0xc1, 0xff} {
			if _, err := Decode(append(slices.Clip(b), c)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s and %#x: %v", name, c, err)
			}
		}
	}
}

// A pair is a field of a frame made by hand: its key, and its value as bytes.
type pair struct {
	key   byte
	value []byte
}

// frame returns a frame made by hand.
func frame(k Kind, pairs ...pair) []byte {
	b := []byte{byte(k), 0xde, 0, byte(len(pairs))}
	for _, p := range pairs {
		b = append(append(b, 0xa1, p.key), p.value...)
	}
	return b
}

// text returns s as msgpack.
func text(s string) []byte { return append([]byte{0xd9, byte(len(s))}, s...) }

// author and seq are the fields that most kinds cannot do without.
var (
	author = pair{'a', text("p")}
	seq    = pair{'s', []byte{1}}
)

// needs returns the fields without which a message of kind k is malformed.
func needs(k Kind) []pair {
	switch k {
	case KindAnnounce, KindUpdate:
		return []pair{author, seq}
	case KindAnswer:
		return []pair{author, seq, {'v', []byte{1}}}
	case KindAlign, KindRecord, KindConvict:
		return []pair{author}
	}
	return nil
}

// keys returns the keys that kind k knows.
func keys(k Kind) string {
	switch k {
	case KindHello:
		return "vmac"
	case KindHave:
		return "idr"
	case KindWant:
		return "ir"
	case KindAlign:
		return "amtrvnpdzq"
	case KindRecord:
		return "amtrvnpdzqb"
	case KindConvict:
		return "adk"
	case KindOffer:
		return "kv"
	case KindCall:
		return "kvtp"
	case KindPart:
		return "b"
	case KindAnnounce:
		return "asmkrnegtdzq"
	case KindUpdate:
		return "asmkrnegtdzqb"
	}
	return "asvg"
}

// Five bytes that say they are four thousand million values, or four gigabytes, are refused wherever
// they stand, before anything is allocated for them.
func TestBombs(t *testing.T) {
	bombs := [][]byte{
		{0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdd, 0x7f, 0xff, 0xff, 0xff}, {0xdd, 0, 0, 0x20, 0}, {0xdc, 0xff, 0xff},
		{0xdf, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0x80, 0, 0, 1}, {0xde, 0xff, 0xff}, {0x9f}, {0x8f},
		{0xc6, 0xff, 0xff, 0xff, 0xff}, {0xdb, 0xff, 0xff, 0xff, 0xff}, {0xc5, 0xff, 0xff}, {0xda, 0xff, 0xff},
		{0xc4, 0xff},
	}
	for _, k := range kinds {
		for _, bomb := range bombs {
			frames := [][]byte{append([]byte{byte(k)}, bomb...), frame(k, pair{'Z', bomb})}
			for _, key := range []byte(keys(k)) {
				frames = append(frames, frame(k, pair{key, bomb}))
			}
			for _, f := range frames {
				used := allocated(func() {
					if _, err := Decode(f); !errors.Is(err, ErrMalformed) {
						t.Errorf("%v %x: %v", k, f, err)
					}
				})
				if used > 64<<10 {
					t.Errorf("%v %x: %d bytes allocated", k, f, used)
				}
			}
		}
	}
}

// Nesting that would overflow the stack of whoever follows it is refused, also in a field that would
// only have been skipped.
func TestNesting(t *testing.T) {
	for _, k := range kinds {
		for name, open := range map[string][]byte{
			"arrays": {0x91}, "maps": {0x81, 0xa1, 'x'}, "long arrays": {0xdd, 0, 0, 0, 1},
		} {
			for _, size := range []int{maxDepth + 1, 100, 1 << 20} {
				deep := append(bytes.Repeat(open, max(size/len(open), maxDepth+1)), 1)
				want := ErrMalformed
				if len(deep)+100 > limit(k) {
					want = ErrTooLong
				}
				fs := [][]byte{append([]byte{byte(k)}, deep...), frame(k, pair{'Z', deep})}
				for _, key := range []byte(keys(k)) {
					fs = append(fs, frame(k, pair{key, deep}))
				}
				for _, f := range fs {
					if _, err := Decode(f); !errors.Is(err, want) {
						t.Errorf("%v of %d %s: %v, want %v", k, size, name, err, want)
					}
				}
			}
		}
	}
}

// A field that a later version may have added is skipped, whatever it holds within our limits.
func TestUnknownFields(t *testing.T) {
	for _, k := range kinds {
		for _, v := range [][]byte{
			{1}, {0xff}, {0xcf, 255, 255, 255, 255, 255, 255, 255, 255}, text("new"), {0xc4, 2, 1, 2}, {0x90}, {0x80},
			{0x92, 1, 0x81, 0xa1, 'x', 0x91, 0xa0}, {0x94, 1, 2, 3, 0x81, 0xa1, 'a', 1},
		} {
			f := frame(k, append(needs(k), pair{'Z', v})...)
			g := frame(k, append([]pair{{'Z', v}}, needs(k)...)...)
			plain, err := Decode(frame(k, needs(k)...))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range [][]byte{f, g} {
				if m, err := Decode(b); err != nil || !reflect.DeepEqual(m, plain) {
					t.Errorf("%v with a field %x: %v, %v", k, v, m, err)
				}
			}
		}
	}
	id := []byte{0x83, 0xa1, 's', 1, 0xa1, 'Z', 0x91, 7, 0xa1, 'a', 0xa1, 'p'}
	m, err := Decode(frame(KindHave, pair{'i', append([]byte{0x91}, id...)}))
	if err != nil || !slices.Equal(m.(*Have).IDs, []UpdateID{{"p", 1}}) {
		t.Errorf("an id with a new field: %v, %v", m, err)
	}
}

func TestUnknownKinds(t *testing.T) {
	for k := range 256 {
		_, err := Decode([]byte{byte(k), 0x80})
		if known := slices.Contains(kinds, Kind(k)); errors.Is(err, ErrUnknown) == known {
			t.Errorf("kind %d: %v", k, err)
		}
	}
}

func ids(n int) []UpdateID {
	var s []UpdateID
	for i := range n {
		s = append(s, UpdateID{"p", uint64(i + 1)})
	}
	return s
}

// What one may not receive one may not send either: neither Encode nor Decode lets it pass.
func TestLimits(t *testing.T) {
	announce := func(change func(*Announce)) *Announce {
		a := makeUpdate().Announce
		change(&a)
		return &a
	}
	align := func(change func(*Align)) *Align {
		a := makeRecord().Align
		change(&a)
		return &a
	}
	long := strings.Repeat("x", 65)
	for name, c := range map[string]struct {
		m    Message
		want error
	}{
		"a long agent":                {&Hello{Agent: long}, ErrTooLong},
		"an agent not in UTF-8":       {&Hello{Agent: "\xff\xfe"}, ErrMalformed},
		"an agent with a bell":        {&Hello{Agent: "\a"}, ErrMalformed},
		"a have of too much":          {&Have{IDs: ids(MaxHave + 1)}, ErrTooLong},
		"an unsorted have":            {&Have{IDs: []UpdateID{{"p", 2}, {"p", 1}}}, ErrMalformed},
		"authors unsorted":            {&Have{IDs: []UpdateID{{"q", 1}, {"p", 1}}}, ErrMalformed},
		"the same twice":              {&Have{IDs: []UpdateID{{"p", 1}, {"p", 1}}}, ErrMalformed},
		"tags of too few":             {&Have{IDs: ids(2), Tags: make([]Tag, 1)}, ErrMalformed},
		"tags of nothing":             {&Have{Tags: make([]Tag, 1)}, ErrMalformed},
		"nobody's":                    {&Have{IDs: []UpdateID{{"", 1}}}, ErrMalformed},
		"before the first":            {&Have{IDs: []UpdateID{{"p", 0}}}, ErrMalformed},
		"a long author":               {&Have{IDs: []UpdateID{{PeerID(long), 1}}}, ErrTooLong},
		"an author not in UTF-8":      {&Have{IDs: []UpdateID{{"\xc3", 1}}}, ErrMalformed},
		"a want of too much":          {&Want{IDs: ids(MaxWant + 1)}, ErrTooLong},
		"the same wanted twice":       {&Want{IDs: []UpdateID{{"p", 1}, {"q", 1}, {"p", 1}}}, ErrMalformed},
		"wanted of nobody":            {&Want{IDs: []UpdateID{{"", 1}}}, ErrMalformed},
		"a long skill":                {announce(func(a *Announce) { a.Skill = long }), ErrTooLong},
		"a skill not in UTF-8":        {announce(func(a *Announce) { a.Skill = "mu\x80ic" }), ErrMalformed},
		"a skill with a newline":      {announce(func(a *Announce) { a.Skill = "a\nb" }), ErrMalformed},
		"a skill turned around":       {announce(func(a *Announce) { a.Skill = "a\u202eb" }), ErrMalformed},
		"a long signature":            {announce(func(a *Announce) { a.Sig = make([]byte, 65) }), ErrTooLong},
		"a large size":                {announce(func(a *Announce) { a.Size = MaxBody + 1 }), ErrTooLong},
		"an author who is empty":      {announce(func(a *Announce) { a.ID.Author = "" }), ErrMalformed},
		"a sequence of zero":          {announce(func(a *Announce) { a.ID.Seq, a.Replaces = 0, 0 }), ErrMalformed},
		"replacing itself":            {announce(func(a *Announce) { a.Replaces = a.ID.Seq }), ErrMalformed},
		"replacing a later one":       {announce(func(a *Announce) { a.Replaces = math.MaxUint64 }), ErrMalformed},
		"a long body":                 {&Update{Announce: makeUpdate().Announce, Body: make([]byte, MaxBody+1)}, ErrTooLong},
		"a head that is bad":          {&Update{Announce: *announce(func(a *Announce) { a.Skill = long })}, ErrTooLong},
		"no verdict":                  {&Answer{ID: UpdateID{"p", 1}}, ErrMalformed},
		"a verdict too many":          {&Answer{ID: UpdateID{"p", 1}, Verdict: Harmful + 1}, ErrMalformed},
		"a have of too many records":  {&Have{Records: names(MaxRecords + 1)}, ErrTooLong},
		"records unsorted":            {&Have{Records: []Digest{{2}, {1}}}, ErrMalformed},
		"a want of too many records":  {&Want{Records: names(MaxRecords + 1)}, ErrTooLong},
		"a record wanted twice":       {&Want{Records: []Digest{{1}, {1}}}, ErrMalformed},
		"too many parents":            {align(func(a *Align) { a.Parents = names(MaxParents + 1) }), ErrTooLong},
		"parents unsorted":            {align(func(a *Align) { a.Parents = []Digest{{2}, {1}} }), ErrMalformed},
		"a rank too many":             {align(func(a *Align) { a.Rank = MaxRank + 1 }), ErrMalformed},
		"nobody's record":             {align(func(a *Align) { a.Author = "" }), ErrMalformed},
		"a large alignment":           {align(func(a *Align) { a.Size = MaxAlignment + 1 }), ErrTooLong},
		"a long alignment":            {&Record{Align: makeRecord().Align, Body: make([]byte, MaxAlignment+1)}, ErrTooLong},
		"a record whose head is bad":  {&Record{Align: *align(func(a *Align) { a.Sig = make([]byte, 65) })}, ErrTooLong},
		"nobody convicted":            {&Convict{Skill: "music"}, ErrMalformed},
		"convicted of something long": {&Convict{Author: "p", Skill: long}, ErrTooLong},
		"a long offer":                {&Offer{Values: MaxValues + 1}, ErrMalformed},
		"an offer of something long":  {&Offer{Skill: long}, ErrTooLong},
		"a long call":                 {&Call{Members: []PeerID{peerID(1)}, Values: MaxValues + 1}, ErrMalformed},
		"a call of somebody twice":    {&Call{Members: []PeerID{peerID(1), peerID(1)}}, ErrMalformed},
		"a call of nobody":            {&Call{Members: []PeerID{"p"}}, ErrMalformed},
		"a call of many":              {&Call{Members: make([]PeerID, MaxMembers+1)}, ErrTooLong},
		"a call for something long":   {&Call{Skill: long}, ErrTooLong},
		"a long part":                 {&Part{Body: make([]byte, MaxBody+1)}, ErrTooLong},
		"an answer to nobody":         {&Answer{ID: UpdateID{"", 1}, Verdict: Folded}, ErrMalformed},
	} {
		if b, err := Encode(c.m); !errors.Is(err, c.want) {
			t.Errorf("encode %s: %x, %v", name, b, err)
		}
		b := write(t, c.m)
		if m, err := Decode(b); !errors.Is(err, c.want) {
			t.Errorf("decode %s: %v, %v", name, m, err)
		}
	}
	if _, err := Encode(nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("encode nothing: %v", err)
	}
}

// write encodes m with none of the checks of Encode.
func write(t *testing.T, m Message) []byte {
	t.Helper()
	var buf bytes.Buffer
	buf.WriteByte(byte(m.Kind()))
	w := writer{enc: msgpack.NewEncoder(&buf)}
	switch m := m.(type) {
	case *Hello:
		w.hello(m)
	case *Have:
		w.have(m)
	case *Want:
		w.want(m)
	case *Announce:
		w.begin(announceFields)
		w.announce(m)
	case *Update:
		w.begin(announceFields + 1)
		w.announce(&m.Announce)
		w.blob('b', m.Body)
	case *Answer:
		w.begin(4)
		w.id(m.ID)
		w.uint('v', uint64(m.Verdict))
		w.int('g', m.Gain)
	case *Align:
		w.begin(alignFields)
		w.align(m)
	case *Record:
		w.begin(alignFields + 1)
		w.align(&m.Align)
		w.blob('b', m.Body)
	case *Convict:
		w.convict(m)
	case *Offer:
		w.offer(m)
	case *Call:
		w.call(m)
	case *Part:
		w.begin(1)
		w.blob('b', m.Body)
	}
	if w.err != nil {
		t.Fatal(w.err)
	}
	return buf.Bytes()
}

func TestMalformed(t *testing.T) {
	digest := append([]byte{0xc4, 32}, make([]byte, 32)...)
	twice := []byte{0x91, 0x83, 0xa1, 'a', 0xa1, 'p', 0xa1, 's', 1, 0xa1, 's', 2}
	beyond := []byte{0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0}
	for name, f := range map[string][]byte{
		"no map":                  {byte(KindHave), 0x90},
		"a number":                {byte(KindHave), 1},
		"a key twice":             frame(KindHello, pair{'v', []byte{1}}, pair{'v', []byte{1}}),
		"an unknown key twice":    frame(KindHello, pair{'Z', []byte{1}}, pair{'Z', []byte{1}}),
		"a key twice in an id":    frame(KindHave, pair{'i', twice}),
		"a key twice, skipped":    frame(KindHello, pair{'Z', []byte{0x82, 0xa1, 'a', 1, 0xa1, 'a', 1}}),
		"a key of two bytes":      {byte(KindHello), 0x81, 0xa2, 'v', 'v', 1},
		"a key of no bytes":       {byte(KindHello), 0x81, 0xa0, 1},
		"a key written long":      {byte(KindHello), 0x81, 0xd9, 1, 'v', 1},
		"a key that is a number":  {byte(KindHello), 0x81, 1, 1},
		"a key beyond ASCII":      frame(KindHello, pair{0xe9, []byte{1}}),
		"nil":                     frame(KindHello, pair{'v', []byte{0xc0}}),
		"true":                    frame(KindHello, pair{'v', []byte{0xc3}}),
		"a float":                 frame(KindHello, pair{'v', []byte{0xca, 0x3f, 0x80, 0, 0}}),
		"a double, skipped":       frame(KindHello, pair{'Z', []byte{0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0}}),
		"an extension":            frame(KindHello, pair{'Z', []byte{0xd4, 1, 1}}),
		"a long extension":        frame(KindHello, pair{'Z', []byte{0xc9, 0xff, 0xff, 0xff, 0xff, 1}}),
		"the tag of nothing":      frame(KindHello, pair{'Z', []byte{0xc1}}),
		"an agent that is number": frame(KindHello, pair{'a', []byte{1}}),
		"a version that is text":  frame(KindHello, pair{'v', text("1")}),
		"a version too large":     frame(KindHello, pair{'v', []byte{0xce, 0, 1, 0, 0}}),
		"a version below zero":    frame(KindHello, pair{'v', []byte{0xff}}),
		"a short digest":          frame(KindHello, pair{'m', []byte{0xc4, 2, 1, 2}}),
		"a digest of numbers":     frame(KindHello, pair{'m', append([]byte{0xdc, 0, 32}, make([]byte, 32)...)}),
		"a sequence below zero":   frame(KindAnswer, author, pair{'v', []byte{1}}, pair{'s', []byte{0xd0, 0x80}}),
		"a verdict of 257":        frame(KindAnswer, author, seq, pair{'v', []byte{0xcd, 1, 1}}),
		"a gain beyond 63 bits":   frame(KindAnswer, author, seq, pair{'v', []byte{1}}, pair{'g', beyond}),
		"a size beyond 32 bits":   frame(KindAnnounce, author, seq, pair{'z', []byte{0xcf, 0, 0, 0, 1, 0, 0, 0, 0}}),
		"ids that are no array":   frame(KindHave, pair{'i', digest}),
		"an id that is no map":    frame(KindHave, pair{'i', []byte{0x91, 1}}),
		"an id without author":    frame(KindHave, pair{'i', []byte{0x91, 0x81, 0xa1, 's', 1}}),
	} {
		if m, err := Decode(f); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := Decode(nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("no bytes: %v", err)
	}
	// Many small values are too much in any field.
	many := append([]byte{0xdd, 0, 0, 0x40, 0}, make([]byte, 0x4000)...)
	if _, err := Decode(frame(KindHave, pair{'Z', many})); !errors.Is(err, ErrMalformed) {
		t.Errorf("sixteen thousand values: %v", err)
	}
}

// Each kind has its own length, which no unknown field gets around.
func TestFrameLengths(t *testing.T) {
	most := map[Kind]int{
		KindHello: 1 << 10, KindHave: 128 << 10, KindWant: 128 << 10, KindAnnounce: 2 << 10, KindUpdate: 4<<20 + 4<<10,
		KindAnswer: 1 << 10, KindAlign: 2 << 10, KindRecord: 66 << 10, KindConvict: 1 << 10,
		KindOffer: 1 << 10, KindCall: 8 << 10, KindPart: 4<<20 + 4<<10,
	}
	for _, k := range kinds {
		pad := func(n int) []byte { // a frame of n bytes
			empty := len(frame(k, append(needs(k), pair{'Z', []byte{0xc6, 0, 0, 0, 0}})...))
			n -= empty
			v := append([]byte{0xc6, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, make([]byte, n)...)
			return frame(k, append(needs(k), pair{'Z', v})...)
		}
		if _, err := Decode(pad(most[k])); err != nil {
			t.Errorf("%v of %d bytes: %v", k, most[k], err)
		}
		if _, err := Decode(pad(most[k] + 1)); !errors.Is(err, ErrTooLong) {
			t.Errorf("%v of %d bytes: %v", k, most[k]+1, err)
		}
	}
}

// A number may come in a form longer than it needs; written again it takes the shortest, and stays so.
func TestLongNumbers(t *testing.T) {
	for _, five := range [][]byte{
		{5}, {0xcc, 5}, {0xcd, 0, 5}, {0xce, 0, 0, 0, 5}, {0xcf, 0, 0, 0, 0, 0, 0, 0, 5},
		{0xd0, 5}, {0xd1, 0, 5}, {0xd2, 0, 0, 0, 5}, {0xd3, 0, 0, 0, 0, 0, 0, 0, 5},
	} {
		m, err := Decode(frame(KindAnswer, author, pair{'s', five}, pair{'v', []byte{1}}, pair{'g', five}))
		if err != nil {
			t.Errorf("%x: %v", five, err)
			continue
		}
		a := m.(*Answer)
		if a.ID.Seq != 5 || a.Gain != 5 {
			t.Errorf("%x: %v", five, a)
		}
		b, err := Encode(a)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := Encode(&Answer{ID: UpdateID{"p", 5}, Verdict: Folded, Gain: 5})
		if !bytes.Equal(b, want) {
			t.Errorf("%x is written as %x, want %x", five, b, want)
		}
	}
}

// What another writer of msgpack writes is read as well: this one writes structs, in its own order.
func TestAnotherWriter(t *testing.T) {
	body, err := msgpack.Marshal(struct {
		Gain    int64  `msgpack:"g"`
		Verdict uint8  `msgpack:"v"`
		Seq     uint64 `msgpack:"s"`
		Author  string `msgpack:"a"`
		New     []int  `msgpack:"x"`
	}{-70_000, 2, 300, "p", []int{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(append([]byte{byte(KindAnswer)}, body...))
	want := &Answer{ID: UpdateID{"p", 300}, Verdict: Refused, Gain: -70_000}
	if err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("%v, %v", m, err)
	}
}

// allocated returns how many bytes f allocates, or a few more.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Whatever Decode accepts, Encode writes, and Decode reads as the same. Whatever it does not, costs
// no more than a few times its length.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden frames: %v", err)
	}
	for _, file := range files {
		f.Add(readGolden(f, file))
	}
	for _, k := range kinds {
		f.Add(frame(k, needs(k)...))
		f.Add(append([]byte{byte(k)}, 0xdd, 0xff, 0xff, 0xff, 0xff))
		f.Add(frame(k, pair{'Z', bytes.Repeat([]byte{0x91}, 600)}))
		f.Add(frame(k, append(needs(k), pair{'Z', []byte{0x92, 1, 0x81, 0xa1, 'x', 0x91, 0xa0}})...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		given := bytes.Clone(b)
		var m Message
		var err error
		used := allocated(func() { m, err = Decode(b) })
		if most := uint64(1<<20 + 16*len(b)); used > most {
			t.Fatalf("%d bytes allocated for %d", used, len(b))
		}
		if !bytes.Equal(b, given) {
			t.Fatal("Decode writes to its argument")
		}
		if err != nil {
			if m != nil {
				t.Fatalf("%v and %v", m, err)
			}
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) && !errors.Is(err, ErrUnknown) {
				t.Fatalf("an error nobody can branch on: %v", err)
			}
			return
		}
		c, err := Encode(m)
		if err != nil {
			t.Fatalf("decoded %v but cannot encode it: %v", m, err)
		}
		n, err := Decode(c)
		if err != nil || n.String() != m.String() {
			t.Fatalf("%v became %v, %v", m, n, err)
		}
		d, err := Encode(n)
		if err != nil || !bytes.Equal(c, d) {
			t.Fatalf("%v is written in two ways: %x, %x, %v", m, c, d, err)
		}
		if u, ok := m.(interface{ Verify() error }); ok {
			_ = u.Verify() // does not panic
		}
	})
}
