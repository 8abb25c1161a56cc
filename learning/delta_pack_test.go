package learning

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/kernel"
)

// taught is a skill as its owner has it.
func taught(t testing.TB) *Delta {
	t.Helper()
	d, err := teach(t, small, "pump", readings(1, 1500)).Export("pump")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func pack(t testing.TB, d *Delta, how Packing, since *Delta) []byte {
	t.Helper()
	b, err := d.Pack(base.Pocket().Config, how, since)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t testing.TB, b []byte, since *Delta) *Delta {
	t.Helper()
	d, err := Unpack(b, base.Pocket().Config, printOnce(), func(digest [32]byte) *Delta {
		if since != nil && since.Digest() == digest {
			return since
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// away is how far a is from b, as a share of how long b is.
func away(a, b []float32) float64 {
	var d, n float64
	for i, v := range b {
		d += float64(a[i]-v) * float64(a[i]-v)
		n += float64(v) * float64(v)
	}
	return math.Sqrt(d / n)
}

// moved is the skill after more of the same was learnt, as far as weights go.
func moved(d *Delta, by float64, seed uint64) *Delta {
	n := *d
	n.bank, n.samples = d.bank.Clone(base.Pocket().Config), slices.Clone(d.samples)
	r := rand.New(rand.NewPCG(seed, 9))
	for i := range n.bank.Weights {
		n.bank.Weights[i] += float32(by * r.NormFloat64())
	}
	n.samples[seed%uint64(len(n.samples))] += 0.5 // another sample in the place of one
	return &n
}

// Every format brings back what was packed, as exactly as it says: relative to the weights' length for what shares a scale, and for
// each weight where it has one of its own.
func TestPackRoundTrip(t *testing.T) {
	d := taught(t)
	for bits, most := range map[int]float64{32: 0, 16: 1.0 / 256, 8: 0.008, 6: 0.031, 5: 0.062, 4: 0.13, 3: 0.25, 2: 0.48} {
		for _, plain := range []bool{true, false} {
			got := unpack(t, pack(t, d, Packing{Bits: bits, Plain: plain}, nil), nil)
			if got.Name != d.Name || got.Events != d.Events || got.Gain != d.Gain || got.Base != d.Base || got.Sections() != d.Sections() {
				t.Errorf("%d bits: %+v became %+v", bits, d, got)
			}
			if off := away(got.bank.Weights, d.bank.Weights); off > most {
				t.Errorf("%d bits: weights are off by %.4f of their length, more than %v", bits, off, most)
			}
			for i, v := range d.samples {
				if w := got.samples[i]; math.Abs(float64(min(max(v, -4), 3.96875)-w)) > 1.0/64 {
					t.Fatalf("%d bits: sample number %d: %v became %v", bits, i, v, w)
				}
			}
		}
	}
}

// Fewer bits are fewer bytes, and the entropy code costs none.
func TestPackSizes(t *testing.T) {
	l := teach(t, Config{Seed: 1}, "pump", readings(1, 1500))
	d, err := l.Export("pump")
	if err != nil {
		t.Fatal(err)
	}
	last := 2 * len(export(t, l, "pump"))
	for _, bits := range []int{32, 16, 8, 6, 5, 4, 3, 2} {
		plain, packed := len(pack(t, d, Packing{Bits: bits, Plain: true}, nil)), len(pack(t, d, Packing{Bits: bits}, nil))
		if packed >= plain || packed >= last {
			t.Errorf("%d bits: %d bytes, %d without an entropy code, %d with more bits", bits, packed, plain, last)
		}
		last = packed
	}
	sent := unpack(t, pack(t, d, Packing{}, nil), nil)
	whole, tenth := len(pack(t, d, Packing{}, nil)), len(pack(t, moved(d, 0.01, 1), Packing{Share: 0.1}, sent))
	if tenth > whole/2 {
		t.Errorf("a tenth of the weights takes %d bytes, all of them %d", tenth, whole)
	}
}

// What is left out of one version is in the next: while the owner learns on, the others stay near, and when he rests they come to
// what he has. Without that memory, each version's change alone being sent, they stay away.
func TestErrorFeedback(t *testing.T) {
	for _, how := range []Packing{{Bits: 8, Share: 0.5}, {Bits: 4, Share: 0.25}, {Bits: 3, Share: 0.1}, {Bits: 2, Share: 0.1}} {
		t.Run(fmt.Sprintf("%d bits, %v", how.Bits, how.Share), func(t *testing.T) {
			own := taught(t)
			others := unpack(t, pack(t, own, how, nil), nil)
			forgetful := slices.Clone(others.bank.Weights)
			for i := range 4 {
				next := moved(own, 0.02, uint64(i))
				mirror := unpack(t, pack(t, own, Packing{Bits: 32}, nil), nil) // as if nothing had been left out
				step := unpack(t, pack(t, next, how, mirror), mirror)
				for k := range forgetful {
					forgetful[k] += step.bank.Weights[k] - mirror.bank.Weights[k]
				}
				own = next
				others = unpack(t, pack(t, own, how, others), others)
				if !slices.Equal(int8s(others.samples), int8s(own.samples)) {
					t.Fatal("samples that were counted from earlier ones are not those that are meant")
				}
			}
			for range 40 {
				others = unpack(t, pack(t, own, how, others), others)
			}
			off, without := away(others.bank.Weights, own.bank.Weights), away(forgetful, own.bank.Weights)
			if off > 0.01 || without < 5*off {
				t.Errorf("the others are off by %.4f, and without memory by %.4f", off, without)
			}
		})
	}
}

// apart is how many of the last n bytes of two bodies differ.
func apart(a, b []byte, n int) (k int) {
	for i := 1; i <= n; i++ {
		if a[len(a)-i] != b[len(b)-i] {
			k++
		}
	}
	return k
}

// A version that keeps to the one before differs from it in few bytes, and is never further from what its owner has than the slack, whatever
// number of versions ago a weight was told last. Without the former one, it differs in most.
func TestPackFormer(t *testing.T) {
	for _, slack := range []float64{0.5, 0.75, 2} {
		own := taught(t)
		how := Packing{Bits: 5, Plain: true, Slack: slack}
		first := pack(t, own, how, nil)
		last, n := first, len(own.bank.Weights)
		var few, many int
		for i := range uint64(6) {
			own = moved(own, 0.003, i)
			fresh := pack(t, own, how, nil)
			how.Former = last
			b := pack(t, own, how, nil)
			how.Former = nil
			few, many = few+apart(b, last, n), many+apart(fresh, last, n)
			last = b
			h, rest, err := readPackedHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			parts, err := h.inflate(rest, base.Pocket().Config)
			if err != nil {
				t.Fatal(err)
			}
			told := unpack(t, b, nil).bank.Weights
			free := unpack(t, fresh, nil).bank.Weights
			for k, v := range own.bank.Weights {
				scale := float64(kernel.FromBF16(binary.LittleEndian.Uint16(parts[2][k/scaleBlock*2:])))
				cut := max(0, math.Abs(float64(v))-15*scale) + math.Abs(float64(free[k]-v)) // the largest are cut off by any packing
				if off := math.Abs(float64(told[k] - v)); off > slack*scale*1.0001+cut {
					t.Fatalf("version %d: weight %d is %v and told to be %v, %.2f steps away", i+2, k, v, told[k], off/scale)
				}
			}
		}
		t.Logf("slack %v: %d of %d bytes differ, %d without the version before", slack, few, 6*n, many)
		if few > many*3/4 || slack >= 0.75 && few > many/2 {
			t.Errorf("slack %v: %d of %d bytes differ, %d without the version before", slack, few, 6*n, many)
		}
	}
}

// A former version that is of no use is not looked at.
func TestPackFormerOfNoUse(t *testing.T) {
	d := taught(t)
	want := pack(t, d, Packing{Plain: true}, nil)
	first := pack(t, moved(d, 0.01, 1), Packing{Plain: true}, nil)
	if bytes.Equal(pack(t, d, Packing{Plain: true, Former: first}, nil), want) {
		t.Fatal("the one that is of use is not looked at either")
	}
	same := func(b []byte) []byte { return b }
	set := func(key string, v any) []byte { return repack(t, first, func(h map[string]any) { h[key] = v }, same) }
	for name, former := range map[string][]byte{
		"nothing":       {},
		"noise":         []byte("noise"),
		"half of it":    first[:len(first)/2],
		"other bits":    pack(t, moved(d, 0.01, 1), Packing{Plain: true, Bits: 6}, nil),
		"floats":        pack(t, moved(d, 0.01, 1), Packing{Plain: true, Bits: 16}, nil),
		"another skill": set("name", "other"),
		"another base":  set("base", strings.Repeat("ab", 32)),
		"another shape": set("neurons", 1),
		"a difference":  set("since", strings.Repeat("ab", 32)),
	} {
		if !bytes.Equal(pack(t, d, Packing{Plain: true, Former: former}, nil), want) {
			t.Errorf("%s: it was looked at", name)
		}
	}
	for _, slack := range []float64{0.4, 9, math.NaN(), -1} {
		if _, err := d.Pack(base.Pocket().Config, Packing{Slack: slack}, nil); err == nil {
			t.Errorf("packed with a slack of %v", slack)
		}
	}
}

// A difference means nothing without what it is counted from, and everyone is told so.
func TestPackSince(t *testing.T) {
	c := base.Pocket().Config
	d := taught(t)
	first := unpack(t, pack(t, d, Packing{}, nil), nil)
	second := pack(t, moved(d, 0.01, 1), Packing{}, first)
	once, twice := unpack(t, second, first), unpack(t, second, first)
	if sum(once.bank.Weights) != sum(twice.bank.Weights) || once.Digest() != twice.Digest() {
		t.Error("the same bytes are something else the second time")
	}
	for name, since := range map[string]func([32]byte) *Delta{
		"nobody to ask":   nil,
		"it is not there": func([32]byte) *Delta { return nil },
	} {
		if _, err := Unpack(second, c, printOnce(), since); !errors.Is(err, ErrSince) || !errors.Is(err, ErrDelta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeDelta(second, c, printOnce()); !errors.Is(err, ErrSince) {
		t.Errorf("decoded as a whole: %v", err)
	}
	other := *first
	other.Name = "other"
	if _, err := Unpack(second, c, printOnce(), func([32]byte) *Delta { return &other }); !errors.Is(err, ErrDelta) || errors.Is(err, ErrSince) {
		t.Errorf("counted from another skill: %v", err)
	}
	for name, since := range map[string]*Delta{"what was never packed": d, "another skill": &other} {
		if _, err := d.Pack(c, Packing{}, since); err == nil {
			t.Errorf("packed as a change of %s", name)
		}
	}
}

// repack rewrites the header of a packed delta and what follows it.
func repack(t testing.TB, b []byte, change func(h map[string]any), rest func([]byte) []byte) []byte {
	t.Helper()
	n, k := binary.Uvarint(b[len(packedMagic):])
	at := len(packedMagic) + k
	h := map[string]any{}
	if err := json.Unmarshal(b[at:at+int(n)], &h); err != nil {
		t.Fatal(err)
	}
	change(h)
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]byte(packedMagic), binary.AppendUvarint(nil, uint64(len(j))), j, rest(b[at+int(n):]))
}

func TestUnpackRefused(t *testing.T) {
	m := base.Pocket()
	d := taught(t)
	good, plain := pack(t, d, Packing{}, nil), pack(t, d, Packing{Bits: 32, Plain: true}, nil)
	first := unpack(t, good, nil)
	change := pack(t, moved(d, 0.01, 1), Packing{Plain: true}, first)
	nothing, same := func(map[string]any) {}, func(b []byte) []byte { return b }
	set := func(key string, v any) []byte { return repack(t, good, func(h map[string]any) { h[key] = v }, same) }
	number := func(v float32) []byte { // the last weight, whose four bytes stand apart
		return repack(t, plain, nothing, func(b []byte) []byte {
			b = slices.Clone(b)
			n := len(d.bank.Weights)
			for k := range 4 {
				b[len(b)-1-(3-k)*n] = byte(math.Float32bits(v) >> (24 - 8*k))
			}
			return b
		})
	}
	if got := unpack(t, number(1.5), nil); got.bank.Weights[len(got.bank.Weights)-1] != 1.5 {
		t.Fatal("the test does not write where it means to")
	}
	mask := func(b []byte) []byte { // one weight more than the header tells of
		b = slices.Clone(b)
		at := len(d.samples) + bytes.IndexByte(b[len(d.samples):], 0)
		b[at] = 1
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":            nil,
		"a beginning":        []byte(packedMagic),
		"an endless header":  append([]byte(packedMagic), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
		"half of it":         good[:len(good)/2],
		"one byte less":      good[:len(good)-1],
		"a tail":             append(slices.Clone(good), 0),
		"a plain tail":       append(slices.Clone(plain), 0),
		"less than plain":    plain[:len(plain)-1],
		"a frame too many":   append(slices.Clone(good), encoder().EncodeAll([]byte{1}, nil)...),
		"no such bits":       set("bits", 7),
		"bits of another":    set("bits", 4),
		"no bits":            set("bits", 0),
		"no sections":        set("sections", 0),
		"sections beyond it": set("sections", int64(1<<40)),
		"an overflow":        set("neurons", int64(1<<61)),
		"no samples":         set("samples", 0),
		"samples below none": set("samples", -1),
		"too many samples": repack(t, plain, func(h map[string]any) { h["samples"] = maxSamples + 1 }, func(b []byte) []byte {
			return append(make([]byte, (maxSamples+1)*m.Config.ContextSize()-len(d.samples)), b...)
		}),
		"a part as whole":    set("sent", 10),
		"a part of nothing":  repack(t, change, func(h map[string]any) { delete(h, "since") }, same),
		"more than all":      set("sent", int64(1<<40)),
		"less than none":     set("sent", -1),
		"a digest of text":   set("since", strings.Repeat("x", 64)),
		"a short digest":     set("since", "abcd"),
		"another base":       set("base", strings.Repeat("ab", 32)),
		"no name":            set("name", ""),
		"a gain of wonders":  set("gain", 1e9),
		"a weight too large": number(65),
		"one that is none":   number(float32(math.NaN())),
		"an infinite one":    number(float32(math.Inf(-1))),
		"a mask of its own":  repack(t, change, nothing, mask),
		"too many bytes":     append([]byte(packedMagic), make([]byte, 5<<20)...),
	} {
		_, err := Unpack(b, m.Config, printOnce(), func([32]byte) *Delta { return first })
		if !errors.Is(err, ErrDelta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A finite scale times a code, and a change of what is there, can be more than either.
	loud := moved(d, 0, 1)
	for i := range loud.bank.Weights {
		loud.bank.Weights[i] = 63
	}
	full := unpack(t, pack(t, loud, Packing{Bits: 32}, nil), nil)
	louder := repack(t, pack(t, d, Packing{Bits: 32, Share: 1, Plain: true}, full), func(h map[string]any) {}, func(b []byte) []byte {
		b = slices.Clone(b)
		n := len(d.bank.Weights)
		for k := range 4 {
			b[len(b)-1-(3-k)*n] = byte(math.Float32bits(2) >> (24 - 8*k))
		}
		return b
	})
	if _, err := Unpack(louder, m.Config, printOnce(), func([32]byte) *Delta { return full }); !errors.Is(err, ErrDelta) {
		t.Errorf("a sum beyond the limit: %v", err)
	}
	for _, how := range []Packing{{Bits: 7}, {Bits: -1}, {Share: 2}, {Share: math.NaN()}} {
		if _, err := d.Pack(m.Config, how, nil); err == nil {
			t.Errorf("packed as %+v", how)
		}
	}
	loud.bank.Weights[3] = float32(math.NaN())
	if _, err := loud.Pack(m.Config, Packing{}, nil); err == nil {
		t.Error("packed what is no number")
	}
}

// A few bytes that inflate to many are refused before there is room for them, whatever the frame says of itself.
func TestBombRefused(t *testing.T) {
	m := base.Pocket()
	good := pack(t, taught(t), Packing{}, nil)
	for _, size := range []int{2 << 20, 64 << 20} {
		bomb := encoder().EncodeAll(make([]byte, size), nil)
		b := repack(t, good, func(map[string]any) {}, func([]byte) []byte { return bomb })
		if len(b) > 1<<16 {
			t.Fatalf("a bomb of %d bytes is none", len(b))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Unpack(b, m.Config, printOnce(), nil)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrDelta) {
			t.Errorf("a bomb of %d bytes: %v", size, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("refusing %d bytes took %d", len(b), used)
		}
	}
}

// What is packed is refused or becomes numbers, whether or not there is an earlier version.
func FuzzUnpack(f *testing.F) {
	m := base.Pocket()
	d := taught(f)
	first := unpack(f, pack(f, d, Packing{}, nil), nil)
	for _, bits := range packedBits {
		f.Add(pack(f, d, Packing{Bits: bits, Plain: bits%3 == 0}, nil))
		f.Add(pack(f, moved(d, 0.01, 1), Packing{Bits: bits, Plain: bits == 4}, first))
	}
	f.Add([]byte(packedMagic + "\x02{}"))
	f.Add(pack(f, twoCamps(f), Packing{}, nil))
	f.Add([]byte(campsMagic + "\x02\x05" + packedMagic + "\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Unpack(b, m.Config, printOnce(), func([32]byte) *Delta { return first })
		if err != nil {
			if !errors.Is(err, ErrDelta) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if len(d.bank.Weights) > maxPackedWeight || !finiteAll(d.bank.Weights) || !finiteAll(d.samples) {
			t.Errorf("%d bytes became %d weights, or what is no number", len(b), len(d.bank.Weights))
		}
		again := unpack(t, pack(t, d, Packing{Bits: 32}, nil), nil)
		if !slices.Equal(again.bank.Weights, d.bank.Weights) || !slices.Equal(again.samples, d.samples) || again.Sum() != d.Sum() {
			t.Error("packed and unpacked again it is something else")
		}
	})
}
