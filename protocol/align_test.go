package protocol

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// makeAlignment returns what a central may have done.
func makeAlignment() *Alignment {
	return &Alignment{Skills: []Aligned{
		{"cooking", []Input{{UpdateID{peerID(0), 1}, Sum([]byte("a"))}, {UpdateID{peerID(1), 7}, Sum([]byte("b"))}}, Sum([]byte("ab"))},
		{"music", []Input{{UpdateID{peerID(0), math.MaxUint64}, Sum([]byte("c"))}, {UpdateID{peerID(1), 70_000}, Sum([]byte("d"))}}, Sum([]byte("cd"))},
	}}
}

// makeRecord returns a signed record of test peer 1.
func makeRecord() *Record {
	body, err := EncodeAlignment(makeAlignment())
	if err != nil {
		panic(err)
	}
	r := &Record{
		Align: Align{
			Author: peerID(1), Model: Sum([]byte("model")), Term: 30_000_000, Rank: 2, Rule: 1, Members: 17,
			Parents: names(2), Digest: Sum(body), Size: uint32(len(body)),
		},
		Body: body,
	}
	r.Sign(key(1))
	return r
}

// names returns n digests in order.
func names(n int) (ds []Digest) {
	for i := range n {
		ds = append(ds, Digest{byte(i)})
	}
	return ds
}

// No byte of a record can be changed without its signature noticing.
func TestVerifyRecord(t *testing.T) {
	if err := makeRecord().Verify(); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Record){
		"author":          func(r *Record) { r.Author = peerID(2) },
		"nobody":          func(r *Record) { r.Author = "p" },
		"model":           func(r *Record) { r.Model[0]++ },
		"term":            func(r *Record) { r.Term++ },
		"rank":            func(r *Record) { r.Rank = 0 },
		"rule":            func(r *Record) { r.Rule++ },
		"members":         func(r *Record) { r.Members++ },
		"a parent":        func(r *Record) { r.Parents[0][31]++ },
		"a parent less":   func(r *Record) { r.Parents = r.Parents[:1] },
		"digest":          func(r *Record) { r.Digest[0]++ },
		"size":            func(r *Record) { r.Size++ },
		"body":            func(r *Record) { r.Body[5]++ },
		"a byte of body":  func(r *Record) { r.Body = append(r.Body, 0) },
		"a byte of sig":   func(r *Record) { r.Sig[9]++ },
		"no signature":    func(r *Record) { r.Sig = nil },
		"another's name":  func(r *Record) { r.Sign(key(2)) },
		"an update's key": func(r *Record) { r.Sig = makeUpdate().Sig },
	} {
		r := makeRecord()
		r.Parents = append([]Digest(nil), r.Parents...)
		change(r)
		if err := r.Verify(); !errors.Is(err, ErrBadSignature) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	a, b := makeRecord(), makeRecord()
	b.Term++
	if a.Name() == b.Name() || a.Name() != makeRecord().Name() {
		t.Error("names do not tell records apart")
	}
}

func TestAlignmentRoundTrip(t *testing.T) {
	full := &Alignment{}
	for i := range MaxAligned {
		s := Aligned{Skill: strings.Repeat("s", MaxSkill-1) + string(rune('a'+i)), Result: Digest{1}}
		for k := range MaxInputs {
			author := PeerID(strings.Repeat("p", maxPeerID-1) + string(rune(' '+k)))
			s.Inputs = append(s.Inputs, Input{UpdateID{author, math.MaxUint64}, Digest{byte(k)}})
		}
		full.Skills = append(full.Skills, s)
	}
	for name, a := range map[string]*Alignment{"usual": makeAlignment(), "full": full} {
		b, err := EncodeAlignment(a)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := DecodeAlignment(b)
		if err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		for n := range b {
			if _, err := DecodeAlignment(b[:n:n]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: the first %d bytes: %v", name, n, err)
			}
		}
		if _, err := DecodeAlignment(append(b, 0)); err == nil {
			t.Errorf("%s: a byte more", name)
		}
	}
}

func TestAlignmentRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*Alignment)
		want   error
	}{
		"nothing":               {func(a *Alignment) { a.Skills = nil }, ErrMalformed},
		"too many skills":       {func(a *Alignment) { a.Skills = make([]Aligned, MaxAligned+1) }, ErrTooLong},
		"skills unsorted":       {func(a *Alignment) { a.Skills[0].Skill = "z" }, ErrMalformed},
		"a skill twice":         {func(a *Alignment) { a.Skills[0].Skill = "music" }, ErrMalformed},
		"a long skill":          {func(a *Alignment) { a.Skills[1].Skill = strings.Repeat("x", MaxSkill+1) }, ErrTooLong},
		"one input":             {func(a *Alignment) { a.Skills[0].Inputs = a.Skills[0].Inputs[:1] }, ErrMalformed},
		"too many inputs":       {func(a *Alignment) { a.Skills[0].Inputs = make([]Input, MaxInputs+1) }, ErrTooLong},
		"an author twice":       {func(a *Alignment) { a.Skills[0].Inputs[1].ID.Author = peerID(0) }, ErrMalformed},
		"inputs unsorted":       {func(a *Alignment) { i := a.Skills[0].Inputs; i[0], i[1] = i[1], i[0] }, ErrMalformed},
		"an input of nobody":    {func(a *Alignment) { a.Skills[0].Inputs[0].ID.Author = "" }, ErrMalformed},
		"an input without a no": {func(a *Alignment) { a.Skills[0].Inputs[0].ID.Seq = 0 }, ErrMalformed},
	} {
		a := makeAlignment()
		c.change(a)
		if _, err := EncodeAlignment(a); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if _, err := DecodeAlignment(make([]byte, MaxAlignment+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
}

// Whatever DecodeAlignment accepts, EncodeAlignment writes, and it is read as the same.
func FuzzDecodeAlignment(f *testing.F) {
	b, err := EncodeAlignment(makeAlignment())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0x81, 0xa1, 'k', 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0xa1, 'k', 0x91, 0x81, 0xa1, 'i', 0xdc, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a *Alignment
		var err error
		if used := allocated(func() { a, err = DecodeAlignment(b) }); used > uint64(1<<20+16*len(b)) {
			t.Fatalf("%d bytes allocated for %d", used, len(b))
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) {
				t.Fatalf("an error nobody can branch on: %v", err)
			}
			return
		}
		c, err := EncodeAlignment(a)
		if errors.Is(err, ErrTooLong) {
			return // it came in a shorter form than we write; nothing relies on writing it again
		}
		if err != nil {
			t.Fatalf("decoded but not to be encoded: %v", err)
		}
		d, err := DecodeAlignment(c)
		if err != nil || !reflect.DeepEqual(a, d) {
			t.Fatalf("%v became %v, %v", a, d, err)
		}
		if e, err := EncodeAlignment(d); err != nil || !bytes.Equal(c, e) {
			t.Fatal("written in two ways")
		}
	})
}
