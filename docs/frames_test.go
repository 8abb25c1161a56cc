package docs

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("update", false, "write the golden frames into protocol.md anew")

const (
	framesBegin = "<!-- the golden frames -->\n"
	framesEnd   = "<!-- end of the golden frames -->\n"
)

// The frames that protocol.md spells out are those that the tests of package protocol hold the code to, each of them
// and byte for byte. What stands beside the bytes is written by a reader that knows nothing of our code.
func TestGoldenFramesInProtocol(t *testing.T) {
	files, err := filepath.Glob("../protocol/testdata/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden frames: %v", err)
	}
	var want strings.Builder
	for _, file := range files {
		frame, title, err := readFrame(file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		lines, err := annotate(frame)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		fmt.Fprintf(&want, "\n`%s`: %s\n\n%s", strings.TrimSuffix(filepath.Base(file), ".hex"), title, lines)
	}
	want.WriteString("\n")

	document, err := os.ReadFile("protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(document), framesBegin)
	got, after, closed := strings.Cut(rest, framesEnd)
	if !found || !closed {
		t.Fatalf("protocol.md has no place for the golden frames, between %q and %q", framesBegin, framesEnd)
	}
	if got == want.String() {
		return
	}
	if !*rewrite {
		t.Fatal("the golden frames in protocol.md are not those in protocol/testdata: run go test ./docs -run GoldenFrames -update and read the difference")
	}
	if err := os.WriteFile("protocol.md", []byte(before+framesBegin+want.String()+framesEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readFrame reads a golden frame: comments, of which the first is its title, and lines of hex.
func readFrame(file string) (frame []byte, title string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "# "); ok {
			if title == "" {
				title = comment
			}
			continue
		}
		b, err := hex.DecodeString(line)
		if err != nil {
			return nil, "", err
		}
		frame = append(frame, b...)
	}
	return frame, title, nil
}

// annotate writes a frame as indented lines, a value each: its bytes, and what they are.
func annotate(frame []byte) (string, error) {
	if len(frame) == 0 {
		return "", fmt.Errorf("an empty frame")
	}
	var out strings.Builder
	fmt.Fprintf(&out, "    %-26s kind %d\n", hex.EncodeToString(frame[:1]), frame[0])
	rest, err := annotateValue(&out, frame[1:], "", "")
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes behind the end", len(rest))
	}
	return out.String(), err
}

// annotateValue writes the msgpack value at the start of b, its key before it, and returns what follows.
func annotateValue(out *strings.Builder, b []byte, key, indent string) (rest []byte, err error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("the frame ends where a value should be")
	}
	line := func(n int, format string, a ...any) { // the bytes of key and value, up to n
		words := hex.EncodeToString([]byte(key))
		if key != "" {
			words = fmt.Sprintf("a1%s ", words)
		}
		words += hex.EncodeToString(b[:n])
		note := fmt.Sprintf(format, a...)
		if key != "" {
			note = key + ": " + note
		}
		const wide = 96
		for ; len(words) > wide; words = words[wide:] {
			fmt.Fprintf(out, "    %s%s\n", indent, words[:wide])
		}
		fmt.Fprintf(out, "    %-26s %s\n", indent+words, note)
	}
	number := func(from, size int) (n uint64) {
		for _, c := range b[from : from+size] {
			n = n<<8 | uint64(c)
		}
		return n
	}
	size := 1
	switch t := b[0]; {
	case t <= 0x7f:
		line(1, "%d", t)
		return b[1:], nil
	case t >= 0xe0:
		line(1, "%d", int8(t))
		return b[1:], nil
	case t&0xf0 == 0x80, t&0xf0 == 0x90, t == 0xdc, t == 0xdd, t == 0xde, t == 0xdf:
		n := uint64(t & 0x0f)
		isMap := t&0xf0 == 0x80 || t >= 0xde
		if t >= 0xdc {
			size = 2 << (t & 1)
			if len(b) < 1+size {
				return nil, fmt.Errorf("a count ends early")
			}
			n, size = number(1, size), 1+size
		}
		if isMap {
			line(size, "a map of %d", n)
		} else {
			line(size, "an array of %d", n)
		}
		b = b[size:]
		for range n {
			key = ""
			if isMap {
				if len(b) < 2 || b[0] != 0xa1 {
					return nil, fmt.Errorf("a key that is not one letter")
				}
				key, b = string(b[1:2]), b[2:]
			}
			if b, err = annotateValue(out, b, key, indent+"  "); err != nil {
				return nil, err
			}
		}
		return b, nil
	case t&0xe0 == 0xa0:
		return annotateBytes(line, b, 1, int(t&0x1f), true)
	case t >= 0xc4 && t <= 0xc6, t >= 0xd9 && t <= 0xdb:
		size = 1 << ((t - 0xc4) % 21)
		if len(b) < 1+size {
			return nil, fmt.Errorf("a length ends early")
		}
		return annotateBytes(line, b, 1+size, int(number(1, size)), t >= 0xd9)
	case t >= 0xcc && t <= 0xd3:
		size = 1 << ((t - 0xcc) % 4)
		if len(b) < 1+size {
			return nil, fmt.Errorf("a number ends early")
		}
		n := number(1, size)
		if t <= 0xcf {
			line(1+size, "%d", n)
		} else {
			line(1+size, "%d", int64(n<<(64-8*size))>>(64-8*size))
		}
		return b[1+size:], nil
	}
	return nil, fmt.Errorf("%02x is no value of ours", b[0])
}

func annotateBytes(line func(int, string, ...any), b []byte, from, n int, text bool) ([]byte, error) {
	if n < 0 || len(b)-from < n {
		return nil, fmt.Errorf("%d bytes are announced, %d follow", n, len(b)-from)
	}
	if text {
		line(from+n, "%q", b[from:from+n])
	} else {
		line(from+n, "%d bytes", n)
	}
	return b[from+n:], nil
}

// The reader that annotates frames accounts for every byte and notices one that is missing.
func TestAnnotateNotices(t *testing.T) {
	frame, _, err := readFrame("../protocol/testdata/answer-1.hex")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := annotate(frame)
	if err != nil || !strings.Contains(lines, "-9223372036854775808") {
		t.Errorf("%v\n%s", err, lines)
	}
	for n := range frame {
		if _, err := annotate(frame[:n]); err == nil {
			t.Errorf("%d bytes of %d pass for a frame", n, len(frame))
		}
	}
	if _, err := annotate(append(bytes.Clone(frame), 0)); err == nil {
		t.Error("a byte behind the end passes")
	}
}
