package patch

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// random are n bytes of few values, as codes are.
func random(seed uint64, n, values int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(values))
	}
	return b
}

// changed is b with one byte in so many changed.
func changed(b []byte, seed uint64, one int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	c := bytes.Clone(b)
	for i := range c {
		if r.IntN(one) == 0 {
			c[i]++
		}
	}
	return c
}

func write(body []byte, at int, earlier []byte) (b []byte) {
	for ; at < len(body); at += Piece {
		b = Append(b, body, at, earlier)
	}
	return b
}

// read returns what came, and what ended it; nil at the end of the body.
func read(from io.Reader, size, at int, earlier []byte) (body []byte, err error) {
	r := NewReader(from, size, at, earlier)
	for {
		p, err := r.Next()
		if body = append(body, p...); err != nil {
			if err == io.EOF {
				err = nil
			}
			return body, err
		}
	}
}

// From any byte on, with and without an earlier body of any length, what is written is read.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		body := random(seed, 1+r.IntN(3*Piece), 1+r.IntN(256))
		var earlier []byte
		switch seed % 4 {
		case 1:
			earlier = changed(body, seed, 9)
		case 2:
			earlier = append(random(seed+1, 5, 256), changed(body, seed, 9)...)
		case 3:
			earlier = changed(body, seed, 9)[len(body)/2:]
		}
		at := r.IntN(len(body))
		b := write(body, at, earlier)
		got, err := read(bytes.NewReader(b), len(body), at, earlier)
		if err != nil || !bytes.Equal(got, body[at:]) {
			t.Fatalf("seed %d: %d bytes from %d became %d, %v", seed, len(body), at, len(got), err)
		}
		if at == 0 && len(b) != Size(body, earlier) {
			t.Errorf("seed %d: %d bytes, said to be %d", seed, len(b), Size(body, earlier))
		}
	}
}

// What is alike costs little: a tenth of the bytes changed by one is half a bit a byte, whatever stands before it. What has no order is not
// made longer by more than its head.
func TestSizes(t *testing.T) {
	old := random(1, 4*Piece, 32)
	body := append(random(2, 3, 256), changed(old, 1, 10)...) // the beginning grew by three
	whole, since := Size(body, nil), Size(body, old)
	if ideal := len(body) * 5 / 8; whole < ideal || whole > ideal*105/100 {
		t.Errorf("five bits a byte: %d bytes for %d", whole, ideal)
	}
	if ideal := len(body) * 47 / 800; since > ideal*115/100 { // the entropy of one in ten
		t.Errorf("a tenth of it changed: %d bytes, where %d would do", since, ideal)
	}
	if noise := random(3, 3*Piece, 256); Size(noise, old) > len(noise)+3*4 {
		t.Errorf("noise of %d bytes takes %d", len(noise), Size(noise, old))
	}
}

// A transfer that breaks leaves what can be used, to the byte where pieces go as they are, and goes on there.
func TestBroken(t *testing.T) {
	noise := random(1, 2*Piece, 256)
	b := write(noise, 0, nil)
	got, err := read(bytes.NewReader(b[:Piece+4+4+777]), len(noise), 0, nil)
	if err != io.ErrUnexpectedEOF || len(got) != Piece+777 || !bytes.Equal(got, noise[:len(got)]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	rest, err := read(bytes.NewReader(write(noise, len(got), nil)), len(noise), len(got), nil)
	if err != nil || !bytes.Equal(append(got, rest...), noise) {
		t.Errorf("%d and %d bytes, %v", len(got), len(rest), err)
	}
	few := random(1, 2*Piece, 4)
	b = write(few, 0, nil)
	if got, err := read(bytes.NewReader(b[:len(b)-1]), len(few), 0, nil); err != io.ErrUnexpectedEOF || len(got) != Piece {
		t.Errorf("%d bytes of compressed pieces, %v", len(got), err)
	}
}

// False pieces are the other side's fault.
func TestFalsePieces(t *testing.T) {
	old := random(1, 100, 4)
	good := Append(nil, changed(old, 1, 5), 0, old)
	if good[0] != difference {
		t.Fatalf("a piece of kind %d", good[0])
	}
	bomb := encoder().EncodeAll(make([]byte, 1<<20), nil)
	extra := encoder().EncodeAll(make([]byte, 20), encoder().EncodeAll(make([]byte, 13), nil))
	for name, c := range map[string]struct {
		b       []byte
		earlier []byte
	}{
		"a kind that is not":            {[]byte{9, 1, 0}, old},
		"longer than what it is for":    {append([]byte{asItIs, 101}, make([]byte, 101)...), old},
		"shorter":                       {append([]byte{asItIs, 99}, make([]byte, 99)...), old},
		"no length":                     {[]byte{compressed, 0xff, 0xff, 0xff, 0xff}, old},
		"not compressed":                {[]byte{compressed, 3, 1, 2, 3}, old},
		"a bomb":                        {append([]byte{compressed, byte(len(bomb))}, bomb...), old},
		"too little inside":             {append([]byte{compressed, byte(len(extra))}, extra...), old},
		"more changes than the mask":    {append([]byte{difference, byte(len(extra))}, extra...), old},
		"a difference nobody asked for": {good, nil},
	} {
		if len(c.b) < 2 || c.b[1] > 127 && name != "no length" {
			t.Fatalf("%s: the test is wrong", name)
		}
		if got, err := read(bytes.NewReader(c.b), 100, 0, c.earlier); !errors.Is(err, ErrPiece) || len(got) > 0 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// Nothing that comes makes the reader return more than the body, or fall over.
func FuzzReader(f *testing.F) {
	old := random(1, 3000, 16)
	for _, body := range [][]byte{changed(old, 1, 7), random(2, 3000, 256), random(2, 3000, 3)} {
		f.Add(write(body, 0, old), uint16(0), uint16(len(body)))
		f.Add(write(body, 1000, nil), uint16(1000), uint16(len(body)))
	}
	f.Fuzz(func(t *testing.T, b []byte, at, size uint16) {
		for _, earlier := range [][]byte{nil, old} {
			got, err := read(bytes.NewReader(b), int(size), int(at), earlier)
			if most := max(0, int(size)-int(at)); len(got) > most || err == nil && len(got) != most {
				t.Fatalf("%d bytes of %d, %v", len(got), most, err)
			}
		}
	})
}
