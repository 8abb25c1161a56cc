package foreign

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/yanmesh/yan/protocol"
)

// TestAgrees shows frames that are wrong in one place to both, who are to agree on which they take.
func TestAgrees(t *testing.T) {
	frames := map[string][]byte{}
	files, err := filepath.Glob(golden + "/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b := readGolden(t, file)
		for i := 1; i < min(len(b), 300); i++ {
			for _, flip := range []byte{0x01, 0x02, 0x10, 0x40, 0x80} {
				c := bytes.Clone(b)
				c[i] ^= flip
				frames[fmt.Sprintf("%s, byte %d ^ %x", filepath.Base(file), i, flip)] = c
			}
		}
	}
	for depth := range 10 {
		inner := append([]byte{0x02, 0x82, 0xa1, 'i', 0x90, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, depth)...)
		frames[fmt.Sprint("deep and empty ", depth)] = append(bytes.Clone(inner), 0x90)
		frames[fmt.Sprint("deep ", depth)] = append(inner, 7)
	}
	for _, n := range []uint64{8187, 8188} { // with five others
		many := appendHead([]byte{0x03, 0x82, 0xa1, 'i', 0x90, 0xa1, 'x'}, 0x90, 16, [4]byte{0, 0xdc, 0xdd}, n)
		frames[fmt.Sprint("many ", n)] = append(many, make([]byte, n)...)
	}
	for _, size := range []int{900, 1100, 2000, 2100} { // of an unknown field
		for kind, name := range map[byte]string{1: "hello-1", 4: "announce-1", 6: "answer-1", 9: "convict-1"} {
			long := bytes.Clone(readGolden(t, golden+"/"+name+".hex"))
			long[1]++
			frames[fmt.Sprint("long ", kind, size)] = appendValue(append(long, 0xa1, 'x'), make([]byte, size))
		}
	}
	taken := 0
	for what, b := range frames {
		kind, _, err := readFrame(b)
		if _, errOurs := protocol.Decode(b); (err == nil) != (errOurs == nil) {
			t.Errorf("%s, kind %d, %x: it says %v, we say %v", what, kind, b[:min(len(b), 100)], err, errOurs)
		}
		if err == nil {
			taken++
		}
	}
	if taken == 0 || taken == len(frames) {
		t.Errorf("of %d frames %d were taken", len(frames), taken)
	}
	t.Logf("of %d frames %d were taken", len(frames), taken)
}

// FuzzAgrees looks for frames that one of the two takes and the other does not.
func FuzzAgrees(f *testing.F) {
	files, err := filepath.Glob(golden + "/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		f.Add(readGolden(f, file))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, err := readFrame(b)
		if _, errOurs := protocol.Decode(b); (err == nil) != (errOurs == nil) && (len(b) == 0 || kinds[b[0]] != nil) {
			t.Errorf("it says %v, we say %v", err, errOurs)
		}
	})
}
