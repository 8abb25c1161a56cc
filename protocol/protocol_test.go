package protocol

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// key returns the private key of test peer n.
func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func peerID(n byte) PeerID { return NewPeerID(key(n).Public().(ed25519.PublicKey)) }

// makeUpdate returns a signed update of test peer 1.
func makeUpdate() *Update {
	body := []byte("what a section learned")
	u := &Update{
		Announce: Announce{
			ID:       UpdateID{peerID(1), 7},
			Model:    Sum([]byte("model")),
			Skill:    "music",
			Replaces: 3,
			Sections: 2,
			Events:   100_000,
			Gain:     -1_250_000,
			Made:     1_800_000_000,
			Digest:   Sum(body),
			Size:     uint32(len(body)),
		},
		Body: body,
	}
	u.Sign(key(1))
	return u
}

// samples returns one message of each kind, by the name of its golden frame.
func samples() map[string]Message {
	u := makeUpdate()
	return map[string]Message{
		"hello-1": &Hello{Version: 1, Model: Sum([]byte("model")), Agent: "yan/1.0 (a car's radio, ü)"},
		"have-1": &Have{IDs: []UpdateID{
			{peerID(0), 1}, {peerID(0), math.MaxUint64}, {peerID(255), 300}, {peerID(1), 70_000},
		}},
		"have-2":     &Have{Sum: SumIDs([]UpdateID{{peerID(1), 7}})},
		"want-1":     &Want{IDs: []UpdateID{{peerID(1), 70_000}, {peerID(0), 1}}},
		"announce-1": &u.Announce,
		"update-1":   u,
		"hello-2":    &Hello{Version: 2, Model: Sum([]byte("model")), Agent: "yan/1.1", Central: 200},
		"have-3":     &Have{Sum: SumIDs([]UpdateID{{peerID(1), 7}}), Records: []Digest{makeRecord().Name()}},
		"have-4": &Have{
			IDs: []UpdateID{{peerID(1), 7}, {peerID(1), 9}}, Tags: []Tag{TagOf("cooking"), TagOf("chess")},
		},
		"want-2":    &Want{IDs: nil, Records: []Digest{makeRecord().Name()}},
		"align-1":   &makeRecord().Align,
		"record-1":  makeRecord(),
		"convict-1": &Convict{Author: peerID(1), Record: makeRecord().Name(), Skill: "music"},
		"offer-1":   &Offer{Skill: "music", Values: 282_240},
		"call-1":    &Call{Skill: "music", Values: 282_240, Term: 30_000_000, Members: []PeerID{peerID(0), peerID(255), peerID(1)}},
		"part-1":    &Part{Body: []byte("what a member says")},
		"answer-1":  &Answer{ID: UpdateID{peerID(1), 7}, Verdict: Harmful, Gain: math.MinInt64},
	}
}

// The names are those that libp2p gives the same keys.
func TestPeerID(t *testing.T) {
	for n, want := range map[byte]PeerID{
		0:   "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
		1:   "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
		7:   "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7",
		255: "12D3KooWHoSyTgntm77sXShoeX9uNkqKNMhHxKtskaHqnA54SrSG",
	} {
		id := peerID(n)
		if id != want {
			t.Errorf("key %d: %s, want %s", n, id, want)
		}
		pub, err := id.Key()
		if err != nil || !pub.Equal(key(n).Public()) {
			t.Errorf("%s: %v, %v", id, pub, err)
		}
	}
	good := string(peerID(1))
	for _, bad := range []string{
		"", "1", good[1:], "1" + good, good + "1", good[:len(good)-1], good + "A", strings.Repeat("z", 52),
		strings.Repeat("1", 38),
		strings.Repeat("z", 1000), good[:20] + "0" + good[21:], good[:20] + "ü" + good[22:], good[:4] + "z" + good[5:],
	} {
		if pub, err := PeerID(bad).Key(); err == nil {
			t.Errorf("%q names %x", bad, pub)
		}
	}
	if s := peerID(1).Short(); s != "SUKPH5" {
		t.Errorf("short: %s", s)
	}
	if s := (UpdateID{peerID(1), 7}).String(); s != "SUKPH5/7" {
		t.Errorf("an id in short: %s", s)
	}
}

// Leading zeros are a digit each, and everything comes back.
func TestBase58(t *testing.T) {
	for _, b := range [][]byte{
		{}, {0}, {0, 0, 0}, {57}, {58}, {0, 58}, {255, 255}, {0, 0, 1, 2, 3}, bytes.Repeat([]byte{255}, 38),
	} {
		s := base58(b)
		got, ok := unbase58(s, len(b))
		if !ok || !bytes.Equal(got, b) {
			t.Errorf("%x is %q is %x", b, s, got)
		}
	}
}

// No part of what is signed can be changed, by whoever passes it on.
func TestVerify(t *testing.T) {
	if err := makeUpdate().Verify(); err != nil {
		t.Fatal(err)
	}
	if err := makeUpdate().Announce.Verify(); err != nil {
		t.Fatal(err)
	}
	fields := 0
	for i := range reflect.TypeFor[Announce]().NumField() {
		u := makeUpdate()
		switch f := reflect.ValueOf(&u.Announce).Elem().Field(i); f.Kind() {
		case reflect.Uint32, reflect.Uint64:
			f.SetUint(f.Uint() ^ 1)
		case reflect.Int64:
			f.SetInt(f.Int() ^ 1)
		case reflect.String:
			f.SetString(f.String() + "s")
		case reflect.Array:
			f.Index(9).SetUint(f.Index(9).Uint() ^ 1)
		case reflect.Slice:
			f.Index(9).SetUint(f.Index(9).Uint() ^ 1)
		case reflect.Struct:
			u.ID.Seq++
		default:
			t.Fatalf("how is a %v to be changed?", f.Kind())
		}
		fields++
		if err := u.Announce.Verify(); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s changed: %v", reflect.TypeFor[Announce]().Field(i).Name, err)
		}
	}
	if fields != announceFields-1 { // an id is two fields on the wire
		t.Errorf("%d fields changed, %d are written", fields, announceFields)
	}

	for name, change := range map[string]func(*Update){
		"another author":     func(u *Update) { u.ID.Author = peerID(2) },
		"no author":          func(u *Update) { u.ID.Author = "" },
		"an author unnamed":  func(u *Update) { u.ID.Author = "nobody" },
		"no signature":       func(u *Update) { u.Sig = nil },
		"half a signature":   func(u *Update) { u.Sig = u.Sig[:32] },
		"another's":          func(u *Update) { u.Sign(key(2)) },
		"signed as a string": func(u *Update) { u.Sig = ed25519.Sign(key(1), u.signed()[len(announceContext):]) },
	} {
		u := makeUpdate()
		change(u)
		if err := u.Verify(); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Update){
		"another body":     func(u *Update) { u.Body = bytes.ToUpper(u.Body) },
		"a shorter body":   func(u *Update) { u.Body = u.Body[1:] },
		"a longer body":    func(u *Update) { u.Body = append(u.Body, 0) },
		"no body":          func(u *Update) { u.Body = nil },
		"a size too large": func(u *Update) { u.Size++; u.Sign(key(1)) },
		"another digest":   func(u *Update) { u.Digest[0]++; u.Sign(key(1)) },
	} {
		u := makeUpdate()
		change(u)
		if err := u.Verify(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What has no fixed length comes after its length, so what is moved from one field to the next is seen.
func TestSignedIsUnambiguous(t *testing.T) {
	a, b := makeUpdate(), makeUpdate()
	a.Skill, a.Replaces = "aé", 1                 // bytes 61, c3 a9, 01
	b.Skill, b.Replaces = "a", 0x43|0x29<<7|1<<14 // bytes 61, c3 a9 01
	if bytes.Equal(a.signed(), b.signed()) {
		t.Error("two announcements, one signature")
	}
}

func TestStrings(t *testing.T) {
	many := new(Have)
	for n := range uint64(40) {
		many.IDs = append(many.IDs, UpdateID{"p", n + 1})
	}
	for _, c := range []struct {
		got  interface{ String() string }
		want string
	}{
		{&Hello{Version: 1, Agent: "x"}, `hello v1 model=00000000 agent="x"`},
		{&Want{IDs: []UpdateID{{"p", 2}, {"q", 1}}}, "want [p/2 q/1]"},
		{&Want{}, "want []"},
		{many, "have [p/1 p/2 p/3 p/4 p/5 p/6 p/7 p/8 p/9 p/10 p/11 p/12 p/13 p/14 p/15 p/16 and 24 more]"},
		{&Answer{ID: UpdateID{"p", 2}, Verdict: Folded, Gain: 5}, "answer p/2 folded gain=5"},
		{Envelope{To: "p", Msg: &Want{}}, "to p: want []"},
		{Envelope{Msg: &Want{}}, "to all: want []"},
		{makeUpdate(), `update SUKPH5/7 "music" size=22 gain=-1250000`},
		{&makeUpdate().Announce, `announce SUKPH5/7 "music" size=22 gain=-1250000`},
		{Kind(15), "kind 15"},
		{Verdict(9), "verdict 9"},
	} {
		if got := c.got.String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
