package dataset

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// packIDX writes an array of ubyte, int16 or float32 in the IDX format.
func packIDX[T byte | int16 | float32](shape []int, data []T) []byte {
	kind := byte(idxUbyte)
	if _, ok := any(data).([]int16); ok {
		kind = idxInt16
	}
	if _, ok := any(data).([]float32); ok {
		kind = idxFloat
	}
	b := []byte{0, 0, kind, byte(len(shape))}
	for _, n := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	for _, v := range data {
		switch kind {
		case idxInt16:
			b = binary.BigEndian.AppendUint16(b, uint16(v))
		case idxFloat:
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(v)))
		default:
			b = append(b, byte(v))
		}
	}
	return b
}

func packGzip(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// packWAV writes PCM in the WAV format, with a chunk of odd length before the data that a reader must skip.
func packWAV(rate, channels, bits int, data []byte) []byte {
	le := binary.LittleEndian
	b := []byte("RIFF\x00\x00\x00\x00WAVE")
	b = append(b, "LIST\x03\x00\x00\x00abc\x00"...)
	b = le.AppendUint32(append(b, "fmt "...), 16)
	b = le.AppendUint16(le.AppendUint16(b, 1), uint16(channels))
	b = le.AppendUint32(le.AppendUint32(b, uint32(rate)), uint32(rate*channels*bits/8))
	b = le.AppendUint16(le.AppendUint16(b, uint16(channels*bits/8)), uint16(bits))
	b = le.AppendUint32(append(b, "data"...), uint32(len(data)))
	return append(b, data...)
}

// fill writes files into a fresh folder and returns it.
func fill(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenSetReadsEachKind(t *testing.T) {
	dir := fill(t, map[string][]byte{
		"img":          packIDX([]int{2, 2, 3}, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}),
		"img.gz":       packGzip(t, packIDX([]int{2, 2, 3}, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})),
		"y":            packIDX([]int{2}, []byte{1, 0}),
		"x":            packIDX([]int{2, 1, 2}, []int16{-1, 2, 300, -400}),
		"who":          packIDX([]int{2}, []byte{7, 9}),
		"does":         packIDX([]int{2, 1}, []float32{0.5, -0.25}),
		"b_ann_0.wav":  packWAV(8000, 1, 16, []byte{1, 0, 255, 255}),
		"a_bob_12.wav": packWAV(8000, 2, 8, []byte{128, 130, 0, 0}),
		"notes.txt":    []byte("no sound"),
	})
	at := func(names ...string) string {
		for i, n := range names {
			names[i] = filepath.Join(dir, n)
		}
		return strings.Join(names, ",")
	}
	for _, arg := range []string{"images:" + at("img", "y"), "images:" + at("img.gz", "y")} {
		s, err := OpenSet(arg)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.Shape, []int{2, 3}) || !slices.Equal(s.Classes, []string{"0", "1"}) || len(s.Items) != 2 || s.Note == "" ||
			s.Items[0].Label != 1 || s.Items[1].Label != 0 || !bytes.Equal(s.Items[1].Pixels, []byte{7, 8, 9, 10, 11, 12}) {
			t.Errorf("%s: %+v", arg, s)
		}
	}
	s, err := OpenSet("sensors:" + at("x", "y", "who"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Shape, []int{1, 2}) || s.Items[0].Who != "7" || s.Items[1].Who != "9" || !slices.Equal(s.Items[1].Samples, []int16{300, -400}) {
		t.Errorf("sensors: %+v", s)
	}
	if s, err = OpenSet("frames:" + at("img", "does")); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Shape, []int{2, 3}) || !slices.Equal(s.Classes, []string{"control-0"}) || !slices.Equal(s.Items[1].Values, []float32{-0.25}) ||
		!bytes.Equal(s.Items[1].Pixels, []byte{7, 8, 9, 10, 11, 12}) {
		t.Errorf("frames: %+v", s)
	}
	if s, err = OpenSet("sound:" + dir); err != nil {
		t.Fatal(err)
	}
	// By name, so a before b; the two channels of 8 bits are averaged.
	if s.Rate != 8000 || !slices.Equal(s.Classes, []string{"a", "b"}) || len(s.Items) != 2 ||
		s.Items[0].Who != "bob" || s.Items[0].Take != 12 || !slices.Equal(s.Items[0].Samples, []int16{256, -32768}) ||
		s.Items[1].Label != 1 || !slices.Equal(s.Items[1].Samples, []int16{1, -1}) {
		t.Errorf("sound: %+v", s)
	}

	if err := os.WriteFile(filepath.Join(dir, "classes.txt"), []byte("still\nmoving\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenSet("sensors:" + at("x", "y")); err != nil || !slices.Equal(s.Classes, []string{"still", "moving"}) || s.Items[0].Who != "" {
		t.Errorf("with names of classes: %+v, %v", s, err)
	}
}

// What is wrong is said in one line that names the file; only what the command line could mend is bad usage.
func TestOpenSetRefuses(t *testing.T) {
	y := packIDX([]int{2}, []byte{0, 1})
	img := packIDX([]int{2, 1, 1}, []byte{1, 2})
	dir := fill(t, map[string][]byte{
		"y": y, "img": img, "three": packIDX([]int{3}, []byte{0, 1, 2}), "ints": packIDX([]int{2, 1, 1}, []int16{1, 2}),
		"cut": img[:len(img)-1], "long": append(bytes.Clone(img), 0), "none": {}, "text": []byte("hello, world"),
		"long ints": {0, 0, 0x0c, 1, 0, 0, 0, 1, 0, 0, 0, 0},
		"float":     packIDX([]int{2, 1}, []float32{1, 2}), "nan": packIDX([]int{2, 1}, []float32{1, float32(math.NaN())}), "one": packIDX([]int{1, 1}, []float32{1}), "deep": {0, 0, 8, 200, 0, 0},
		"huge": {0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1},
		"gzip": {0x1f, 0x8b, 8, 0, 1, 2}, "empty": packIDX([]int{0}, []byte{}),
	})
	folder := func(name string, b []byte) string { return fill(t, map[string][]byte{name: b}) }
	sound := packWAV(8000, 1, 16, []byte{1, 0})
	both := fill(t, map[string][]byte{"a_x_0.wav": sound, "b_x_0.wav": packWAV(16000, 1, 16, []byte{1, 0})})
	for _, tt := range []struct {
		arg   string
		usage bool
		says  string
	}{
		{"images", true, "not kind:path"},
		{"images:", true, "not kind:path"},
		{"video:x", true, `unknown kind "video"`},
		{"images:a\nb,c", true, "not kind:path"},
		{"images:y", true, "images:IMG,LABELS"},
		{"sensors:a,b,c,d", true, "sensors:X,Y,WHO"},
		{"shipped:nothing", true, "strokes, tones, motions"},
		{"images:img,nowhere", false, "no such file"},
		{"images:img,.", false, "directory"},
		{"images:y,y", false, "3 dimensions"},
		{"images:ints,y", false, "0x08"},
		{"sensors:img,y", false, "0x0b"},
		{"images:img,three", false, "3 labels"},
		{"sensors:ints,y,three", false, "owners of 3"},
		{"images:cut,y", false, "cut off"},
		{"images:long,y", false, "3 bytes of numbers"},
		{"images:none,y", false, "no IDX file"},
		{"images:text,y", false, "no IDX file"},
		{"images:long ints,y", false, "0x0c"},
		{"images:float,y", false, "0x08"},
		{"frames:img", true, "frames:IMG,CONTROL"},
		{"frames:img,y", false, "0x0d"},
		{"frames:img,nan", false, "NaN"},
		{"frames:img,one", false, "2 frames"},
		{"images:deep,y", false, "200 dimensions"},
		{"images:huge,y", false, "cut off"},
		{"images:gzip,y", false, "decompressed"},
		{"images:img,empty", false, "nothing in it"},
		{"sound:y", false, "cannot be read"},
		{"sound:" + t.TempDir(), false, "no file that ends in .wav"},
		{"sound:" + folder("seven.wav", sound), false, "label_speaker_take"},
		{"sound:" + folder("7_x_-1.wav", sound), false, "take is no number"},
		{"sound:" + folder("7_x_0.wav", sound[:len(sound)-1]), false, "cut off"},
		{"sound:" + folder("7_x_0.wav", []byte("RIFF")), false, "no WAV file"},
		{"sound:" + folder("7_x_0.wav", sound[:36]), false, "cut off"},
		{"sound:" + folder("7_x_0.wav", sound[:12]), false, "no data"},
		{"sound:" + folder("7_x_0.wav", packWAV(8000, 1, 24, []byte{1, 2, 3})), false, "24 bits"},
		{"sound:" + folder("7_x_0.wav", packWAV(8000, 0, 16, nil)), false, "0 channels"},
		{"sound:" + folder("7_x_0.wav", packWAV(10, 1, 16, []byte{1, 0})), false, "10 samples a second"},
		{"sound:" + folder("7_x_0.wav", packWAV(8000, 1, 16, []byte{1, 0, 3})), false, "do not fill"},
		{"sound:" + both, false, "one rate"},
	} {
		t.Chdir(dir)
		s, err := OpenSet(tt.arg)
		if err == nil {
			t.Errorf("%q was read: %+v", tt.arg, s)
			continue
		}
		var u interface{ Usage() bool }
		if got := errors.As(err, &u) && u.Usage(); got != tt.usage {
			t.Errorf("%q: bad usage %v, want %v: %v", tt.arg, got, tt.usage, err)
		}
		if text := err.Error(); !strings.Contains(text, tt.says) || strings.Contains(text, "\n") || !strings.HasPrefix(text, "dataset: ") {
			t.Errorf("%q: says %q, want one line with %q", tt.arg, text, tt.says)
		}
	}
}

func TestJoinAndWhere(t *testing.T) {
	a, b := Strokes(5, 1), Strokes(7, 2)
	s, err := a.Join(b)
	if err != nil || len(s.Items) != 12 || len(a.Items) != 5 || &s.Items[5].Pixels[0] != &b.Items[0].Pixels[0] {
		t.Fatalf("joined to %d items, %v", len(s.Items), err)
	}
	if _, err := a.Join(Tones(1, 1, 1)); err == nil {
		t.Error("pictures and sounds were joined")
	}
	odd := s.Where(func(e Example) bool { return e.Label%2 == 1 })
	if len(odd.Items) == 0 || len(odd.Items) == 12 || slices.ContainsFunc(odd.Items, func(e Example) bool { return e.Label%2 == 0 }) {
		t.Errorf("of 12, %d are odd", len(odd.Items))
	}
}

// sum digests everything that a set says.
func sum(s *Set) string {
	h := sha256.New()
	fmt.Fprint(h, s.Kind, s.Classes, s.Shape, s.Rate)
	for _, e := range s.Items {
		fmt.Fprint(h, e.Label, e.Who, e.Take, e.Pixels, e.Samples)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// What is generated is a contract: the same on every machine and for good.
func TestGeneratedExamplesStay(t *testing.T) {
	for _, tt := range []struct{ name, sum string }{
		{"strokes", "15af2d5661cea488"}, {"tones", "715cedb28334023f"}, {"motions", "a273a4c6f5ffb388"},
	} {
		s, err := OpenSet("shipped:" + tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := sum(s); got != tt.sum {
			t.Errorf("%s: the sum is %s, want %s", tt.name, got, tt.sum)
		}
		seen := map[int]int{}
		for _, e := range s.Items {
			seen[e.Label]++
		}
		for c := range s.Classes {
			if seen[c] == 0 {
				t.Errorf("%s: nothing is called %s", tt.name, s.Classes[c])
			}
		}
	}
	if sum(Strokes(5, 1)) == sum(Strokes(5, 2)) || sum(Tones(1, 1, 1)) == sum(Tones(1, 1, 2)) || sum(Motions(1, 1, 1)) == sum(Motions(1, 1, 2)) {
		t.Error("two seeds give the same examples")
	}
}

func TestWave(t *testing.T) {
	for p := -turnUnit; p < 2*turnUnit; p += 97 {
		want := math.Sin(2*math.Pi*float64(p)/turnUnit) * waveUnit
		if got := float64(wave(p)); math.Abs(got-want) > waveUnit/500 {
			t.Fatalf("wave(%d) = %v, want %v", p, got, want)
		}
	}
	for n := range 5000 {
		if r := root(n); r*r > n || (r+1)*(r+1) <= n {
			t.Fatalf("root(%d) = %d", n, r)
		}
	}
}

// FuzzIDX: whatever the bytes, an array whose shape says how many numbers it has, or an error of one line.
func FuzzIDX(f *testing.F) {
	f.Add(packIDX([]int{2, 2}, []byte{1, 2, 3, 4}))
	f.Add(packIDX([]int{1, 2}, []int16{-1, 2}))
	f.Add([]byte{0, 0, 8, 3, 255, 255, 255, 255, 0, 0, 0, 2, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeIDX(b)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of two lines: %q", err)
			}
			return
		}
		if n := a.shape[0] * a.item(); n != len(a.bytes)+len(a.ints) || n == 0 {
			t.Fatalf("the shape %v has %d and %d numbers", a.shape, len(a.bytes), len(a.ints))
		}
		again := packIDX(a.shape, a.bytes)
		if a.ints != nil {
			again = packIDX(a.shape, a.ints)
		}
		if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) && !bytes.Equal(again, b) {
			t.Fatal("decoded and encoded, it is another file")
		}
	})
}

// FuzzWAV: whatever the bytes, samples at some rate or an error of one line.
func FuzzWAV(f *testing.F) {
	f.Add(packWAV(8000, 1, 16, []byte{1, 0, 2, 0}))
	f.Add(packWAV(44100, 2, 8, []byte{1, 0, 2, 0}))
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEdata\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		samples, rate, err := decodeWAV(b)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || samples != nil {
				t.Fatalf("%d samples with the error %q", len(samples), err)
			}
			return
		}
		if len(samples) == 0 || len(samples) > len(b) || rate <= 0 {
			t.Fatalf("%d samples at %d a second from %d bytes", len(samples), rate, len(b))
		}
	})
}
