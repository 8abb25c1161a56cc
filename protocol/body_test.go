package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// small are the messages on the stream of a body, by the names of their golden frames.
func small() map[string]any {
	return map[string]any{
		"request-1": &BodyRequest{Digest: Sum([]byte("new")), Offset: 300_000, Earlier: Sum([]byte("old"))},
		"request-2": &BodyRequest{Digest: Sum([]byte("new"))},
		"answer-1":  &BodyAnswer{Size: 331_908},
		"answer-2":  &BodyAnswer{},
	}
}

func encodeAny(m any) ([]byte, error) {
	if q, ok := m.(*BodyRequest); ok {
		return EncodeBodyRequest(q)
	}
	return EncodeBodyAnswer(m.(*BodyAnswer))
}

func TestGoldenBody(t *testing.T) {
	for name, m := range small() {
		file := "testdata/body/" + name + ".hex"
		b, err := encodeAny(m)
		if err != nil {
			t.Fatal(err)
		}
		if *rewrite {
			text := fmt.Sprintf("# %+v\n# a msgpack map of %d bytes\n%x\n", m, len(b), b)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		golden, err := hex.DecodeString(lines[len(lines)-1])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, golden) {
			t.Errorf("%s is written otherwise now: %x", name, b)
		}
		var got any
		if strings.HasPrefix(name, "request") {
			got, err = DecodeBodyRequest(golden)
		} else {
			got, err = DecodeBodyAnswer(golden)
		}
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", m) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, m)
		}
	}
}

// What is false is refused with an error to branch on; fields of a later version are skipped.
func TestBodyRequestBounds(t *testing.T) {
	d := append([]byte{0xa1, 'd', 0xc4, 32}, bytes.Repeat([]byte{7}, 32)...)
	request := func(n byte, fields ...[]byte) []byte { return append([]byte{0x80 | n}, bytes.Join(fields, nil)...) }
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"good":                 {request(1, d), nil},
		"a field that is new":  {request(2, d, []byte{0xa1, 'Z', 0x92, 1, 2}), nil},
		"no digest":            {request(1, []byte{0xa1, 'o', 1}), ErrMalformed},
		"a short digest":       {request(1, []byte{0xa1, 'd', 0xc4, 1, 7}), ErrMalformed},
		"an offset of 2^32":    {request(2, d, []byte{0xa1, 'o', 0xcf, 0, 0, 0, 1, 0, 0, 0, 0}), ErrMalformed},
		"an offset below zero": {request(2, d, []byte{0xa1, 'o', 0xff}), ErrMalformed},
		"something behind it":  {append(request(1, d), 0), ErrMalformed},
		"nothing":              {nil, ErrMalformed},
		"a huge array":         {request(2, d, []byte{0xa1, 'Z', 0xdd, 0xff, 0xff, 0xff, 0xff}), ErrMalformed},
		"too long":             {request(2, d, append([]byte{0xa1, 'Z', 0xc5, 1, 0}, make([]byte, 256)...)), ErrTooLong},
	} {
		if _, err := DecodeBodyRequest(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := DecodeBodyAnswer([]byte{0x81, 0xa1, 'z', 0xce, 0, 0x40, 0, 1}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a body of more than 4 MiB: %v", err)
	}
	if _, err := EncodeBodyRequest(&BodyRequest{Offset: MaxBody + 1}); !errors.Is(err, ErrTooLong) {
		t.Errorf("a request beyond any end: %v", err)
	}
	if _, err := EncodeBodyAnswer(&BodyAnswer{Size: MaxBody + 1}); !errors.Is(err, ErrTooLong) {
		t.Errorf("an answer of more than 4 MiB: %v", err)
	}
}

// Whatever is accepted is written again as the same.
func FuzzBodyRequest(f *testing.F) {
	for _, m := range small() {
		b, err := encodeAny(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := DecodeBodyRequest(b); err == nil {
			c, err := EncodeBodyRequest(q)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := DecodeBodyRequest(c); err != nil || *again != *q {
				t.Fatalf("%+v became %+v, %v", q, again, err)
			}
		} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) {
			t.Fatalf("an error nobody can branch on: %v", err)
		}
		if a, err := DecodeBodyAnswer(b); err == nil {
			c, err := EncodeBodyAnswer(a)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := DecodeBodyAnswer(c); err != nil || *again != *a {
				t.Fatalf("%+v became %+v, %v", a, again, err)
			}
		}
	})
}
