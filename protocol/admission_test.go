package protocol

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func seededKey(name string) ed25519.PrivateKey {
	seed := Sum([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func seededPeer(name string) PeerID { return NewPeerID(seededKey(name).Public().(ed25519.PublicKey)) }

const dawn = 1_700_000_000 // when the admissions of these tests begin

func admission(swarm, peer string, serial uint64) *Admission {
	a := &Admission{Peer: seededPeer(peer), NotBefore: dawn, Expires: dawn + 3600, Serial: serial}
	a.Sign(seededKey(swarm))
	return a
}

func revocation(swarm, peer string, serial uint64) Revocation {
	r := Revocation{Peer: seededPeer(peer), Serial: serial}
	r.Sign(seededKey(swarm))
	return r
}

func newRoll(t *testing.T, swarm string, revoked ...Revocation) *Roll {
	t.Helper()
	l := NewRoll(NewSwarmID(seededKey(swarm).Public().(ed25519.PublicKey)))
	for _, r := range revoked {
		if _, err := l.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func fullPass(t testing.TB, revoked int) *Pass {
	t.Helper()
	p := &Pass{Admission: admission("swarm", "me", 7), Refused: "none of us"}
	p.Swarm = p.Admission.Swarm
	for i := range revoked {
		p.Revoked = append(p.Revoked, revocation("swarm", fmt.Sprint("gone", i), 1<<62+uint64(i)))
	}
	slices.SortFunc(p.Revoked, func(a, b Revocation) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	return p
}

// Only what the swarm said of this very peer lets it in, and everything else says why not.
func TestWhoIsAdmitted(t *testing.T) {
	now := time.Unix(dawn+60, 0)
	forged := admission("swarm", "me", 1)
	forged.Expires++
	stolen := admission("other", "me", 1)
	stolen.Swarm = admission("swarm", "me", 1).Swarm
	for _, c := range []struct {
		name    string
		a       *Admission
		revoked []Revocation
		why     string
	}{
		{"admitted", admission("swarm", "me", 1), nil, ""},
		{"nothing", nil, nil, "no admission was shown"},
		{"other swarm", admission("other", "me", 1), nil, "is of swarm-"},
		{"other peer", admission("swarm", "you", 1), nil, "another peer's"},
		{"changed", forged, nil, "forged"},
		{"signed by another swarm", stolen, nil, "forged"},
		{"revoked", admission("swarm", "me", 1), []Revocation{revocation("swarm", "me", 1)}, "revoked"},
		{"earlier than what was revoked", admission("swarm", "me", 1), []Revocation{revocation("swarm", "me", 5)}, "revoked"},
		{"admitted again", admission("swarm", "me", 6), []Revocation{revocation("swarm", "me", 5)}, ""},
		{"another revoked", admission("swarm", "me", 1), []Revocation{revocation("swarm", "you", 5)}, ""},
	} {
		err := newRoll(t, "swarm", c.revoked...).Check(c.a, seededPeer("me"), now)
		switch {
		case c.why == "" && err != nil, c.why != "" && !errors.Is(err, ErrNotAdmitted):
			t.Errorf("%s: %v", c.name, err)
		case c.why != "" && !strings.Contains(err.Error(), c.why):
			t.Errorf("%s: %v, which does not say %q", c.name, err, c.why)
		}
	}
}

// An admission ends at its second and begins at its own, but for the skew of clocks.
func TestAdmissionToTheSecond(t *testing.T) {
	a, l := admission("swarm", "me", 1), newRoll(t, "swarm")
	begin, end := time.Unix(dawn, 0).Add(-Skew), time.Unix(dawn+3600, 0)
	for _, c := range []struct {
		at time.Time
		ok bool
	}{
		{begin.Add(-time.Nanosecond), false}, {begin, true}, {end.Add(-time.Nanosecond), true}, {end, false}, {end.Add(time.Hour), false},
	} {
		if err := l.Check(a, a.Peer, c.at); (err == nil) != c.ok {
			t.Errorf("at %v: %v", c.at, err)
		}
	}
}

// No byte of a pass can be changed so that it says something else and is believed.
func TestNoChangedPassIsBelieved(t *testing.T) {
	whole := fullPass(t, 1)
	b, err := EncodePass(whole)
	if err != nil {
		t.Fatal(err)
	}
	now, believed := time.Unix(dawn+60, 0), 0
	for i := range b {
		for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			c := bytes.Clone(b)
			c[i] ^= flip
			p, err := DecodePass(c)
			if err != nil {
				continue
			}
			l := newRoll(t, "swarm")
			if l.Check(p.Admission, seededPeer("me"), now) == nil && !reflect.DeepEqual(p.Admission, whole.Admission) {
				t.Fatalf("byte %d xor %#x: %+v is believed", i, flip, p.Admission)
			}
			for _, r := range p.Revoked {
				if _, err := l.Add(r); err == nil {
					believed++
					if !reflect.DeepEqual(r, whole.Revoked[0]) {
						t.Fatalf("byte %d xor %#x: %+v is believed", i, flip, r)
					}
				}
			}
		}
	}
	if believed == 0 {
		t.Error("nothing was ever believed: the test says nothing")
	}
}

// Whatever the order, the repeats and the company in which revocations are heard, the roll is the same.
func TestRollIsAJoin(t *testing.T) {
	var all []Revocation
	for i := range 12 {
		all = append(all, revocation("swarm", fmt.Sprint("peer", i%4), uint64(1+i)))
	}
	want := newRoll(t, "swarm", all...).Revoked()
	if len(want) != 4 || want[0].Swarm != newRoll(t, "swarm").Swarm() {
		t.Fatalf("%d peers", len(want))
	}
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := newRoll(t, "swarm")
		for _, i := range append(r.Perm(len(all)), r.Perm(len(all))[:5]...) {
			if _, err := l.Add(all[i]); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(l.Revoked(), want) {
			t.Fatalf("seed %d: %v", seed, l.Revoked())
		}
	}
}

func TestRollRefuses(t *testing.T) {
	l := newRoll(t, "swarm")
	forged := revocation("swarm", "me", 1)
	forged.Serial = 2
	for _, r := range []Revocation{revocation("other", "me", 1), forged} {
		if news, err := l.Add(r); err == nil || news {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if len(l.Revoked()) != 0 {
		t.Error("a revocation nobody signed is on the roll")
	}
	given := newRoll(t, "swarm", revocation("swarm", "me", 1))
	before := given.Revoked()
	if _, err := given.Add(revocation("swarm", "me", 9)); err != nil || before[0].Serial != 1 {
		t.Errorf("what was given away changed: %v, %v", before, err)
	}
}

func TestPassRoundTrip(t *testing.T) {
	only := fullPass(t, 0)
	only.Refused = ""
	for _, p := range []*Pass{fullPass(t, 0), fullPass(t, MaxRevoked), only, {Swarm: only.Swarm, Refused: "no"}} {
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var q Pass
		if err := q.UnmarshalText(append(text, "\r\n"...)); err != nil || !reflect.DeepEqual(*p, q) {
			t.Fatalf("%v: %+v, want %+v", err, q, *p)
		}
	}
}

func TestPassRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Pass){
		"too many":      func(p *Pass) { p.Revoked = fullPass(t, MaxRevoked+1).Revoked },
		"twice":         func(p *Pass) { p.Revoked = []Revocation{revocation("swarm", "x", 1), revocation("swarm", "x", 2)} },
		"two swarms":    func(p *Pass) { p.Admission = admission("other", "me", 1) },
		"no serial":     func(p *Pass) { p.Admission.Serial = 0 },
		"no time":       func(p *Pass) { p.Admission.Expires = p.Admission.NotBefore },
		"no peer":       func(p *Pass) { p.Admission.Peer = "nobody" },
		"no signature":  func(p *Pass) { p.Admission.Sig = nil },
		"a long reason": func(p *Pass) { p.Refused = strings.Repeat("x", maxReason+1) },
		"a wild reason": func(p *Pass) { p.Refused = "\x1b[2J" },
	} {
		p := fullPass(t, 1)
		spoil(p)
		if _, err := EncodePass(p); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "yan-pass-1:", "yan-pass-1:****", "yan-pass-2:AAAA", "yan-pass-1:" + strings.Repeat("A", 2*MaxPass)} {
		if err := new(Pass).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%.20q is a pass", text)
		}
	}
}

// Whatever DecodePass accepts, EncodePass writes, and DecodePass reads as the same.
func FuzzDecodePass(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		b, err := EncodePass(fullPass(f, n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte{0x81, 0xa1, 'r', 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x81, 0xa1, 'a', 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p *Pass
		var err error
		used := allocated(func() { p, err = DecodePass(b) })
		if most := uint64(1<<20 + 16*len(b)); used > most {
			t.Fatalf("%d bytes allocated for %d", used, len(b))
		}
		if err != nil {
			if p != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLong) {
				t.Fatalf("%v and %v", p, err)
			}
			return
		}
		c, err := EncodePass(p)
		if err != nil {
			t.Fatalf("decoded %+v but cannot encode it: %v", p, err)
		}
		q, err := DecodePass(c)
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v, %v", p, q, err)
		}
	})
}
