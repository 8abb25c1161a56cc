package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// seen is a look at so many members.
func seen(n int) *Look {
	l := &Look{Time: 1_800_000_000_123, Sees: n > 0}
	for i := range n {
		l.Members = append(l.Members, seededPeer(fmt.Sprint("member ", i)))
	}
	slices.Sort(l.Members)
	return l
}

func TestGoldenLook(t *testing.T) {
	const file = "testdata/look/look-1.hex"
	b, err := EncodeLook(seen(2))
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		text := fmt.Sprintf("# %+v\n# a msgpack map of %d bytes\n%x\n", *seen(2), len(b), b)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden := readGolden(t, file)
	if !bytes.Equal(b, golden) {
		t.Errorf("it is written otherwise now: %s", hex.EncodeToString(b))
	}
	if l, err := DecodeLook(golden); err != nil || !reflect.DeepEqual(l, seen(2)) {
		t.Errorf("%+v, %v", l, err)
	}
}

// The longest look there may be fits, and what is false is refused.
func TestLookBounds(t *testing.T) {
	b, err := EncodeLook(seen(MaxSeen))
	if err != nil || len(b) > MaxLook {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if l, err := DecodeLook(b); err != nil || len(l.Members) != MaxSeen {
		t.Errorf("%v", err)
	}
	if l, err := DecodeLook([]byte{0x82, 0xa1, 't', 5, 0xa1, 'Z', 0x92, 1, 2}); err != nil || l.Time != 5 {
		t.Errorf("a field that is new: %+v, %v", l, err)
	}
	for name, spoil := range map[string]func(*Look){
		"too many": func(l *Look) { *l = *seen(MaxSeen + 1) },
		"twice":    func(l *Look) { l.Members[1] = l.Members[0] },
		"unsorted": func(l *Look) { slices.Reverse(l.Members) },
		"no peer":  func(l *Look) { l.Members[0] = "\x1b[2J" },
	} {
		l := seen(2)
		spoil(l)
		if _, err := EncodeLook(l); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeLook(append(b, make([]byte, MaxLook)...)); !errors.Is(err, ErrTooLong) {
		t.Errorf("a long one: %v", err)
	}
	list := []byte{0x81, 0xa1, 'p', 0x92}
	for _, id := range []PeerID{seen(2).Members[1], seen(2).Members[0]} {
		list = append(append(list, 0xd9, byte(len(id))), id...)
	}
	if _, err := DecodeLook(list); !errors.Is(err, ErrMalformed) {
		t.Errorf("an unsorted one on the wire: %v", err)
	}
}

// Whatever is accepted is written again as the same.
func FuzzDecodeLook(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		b, err := EncodeLook(seen(n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte{0x81, 0xa1, 'p', 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte(strings.Repeat("\x91", 40)))
	f.Add([]byte{0x81, 0xa1, 't', 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := DecodeLook(b)
		if err != nil {
			if l != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) {
				t.Fatalf("%v and %v", l, err)
			}
			return
		}
		c, err := EncodeLook(l)
		if err != nil {
			t.Fatalf("decoded %+v but cannot encode it: %v", l, err)
		}
		if again, err := DecodeLook(c); err != nil || !reflect.DeepEqual(again, l) {
			t.Fatalf("%+v became %+v, %v", l, again, err)
		}
	})
}
