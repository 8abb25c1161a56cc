package sim

import (
	"bytes"
	"math/rand/v2"
	"slices"

	"github.com/yanmesh/yan/protocol"
)

// Forge and Garble try what no honest program says. They are no lies about what was learnt, so [Attacks] does not list them.
const (
	Forge  Attack = "forge"  // what it passes on of others is not what they signed, and its lists are out of order
	Garble Attack = "garble" // signs updates that hold anything but a skill
)

// tamper returns what a forger sends in the place of a message, and whether that is forged: its receiver must not be changed by it.
// It returns nil for what no receiver's door lets in.
func (d *device) tamper(m protocol.Message) (lie protocol.Message, forged bool) {
	r := d.fakes
	if r == nil {
		d.fakes = rand.New(rand.NewPCG(d.seed, chanceForge))
		r = d.fakes
	}
	if d.w.calm || r.IntN(2) == 0 || d.author(m) {
		return m, false
	}
	switch m := m.(type) {
	case *protocol.Update:
		u := *m
		switch r.IntN(4) {
		case 0: // another body under the same head
			u.Body = flipped(r, u.Body)
		case 1: // and with a head that fits it, but for the signature
			u.Body = flipped(r, u.Body)
			u.Digest = protocol.Sum(u.Body)
		case 2: // as if there were a later version
			u.ID.Seq++
		case 3: // ours, as if it were his
			u.Gain++
			u.Sign(d.key)
		}
		return &u, true
	case *protocol.Announce:
		an := *m
		an.ID.Seq += 1 + r.Uint64N(3)
		return &an, true
	case *protocol.Record:
		rec := *m
		if r.IntN(2) == 0 {
			rec.Body = flipped(r, rec.Body)
		} else {
			rec.Sig = flipped(r, rec.Sig)
		}
		return &rec, true
	case *protocol.Have:
		if len(m.IDs) > 1 {
			h := *m
			h.IDs = slices.Clone(m.IDs)
			slices.Reverse(h.IDs)
			return &h, true
		}
	}
	return m, false
}

// author reports whether a message is one that only this device can sign.
func (d *device) author(m protocol.Message) bool {
	switch m := m.(type) {
	case *protocol.Update:
		return m.ID.Author == d.id
	case *protocol.Announce:
		return m.ID.Author == d.id
	case *protocol.Record:
		return m.Author == d.id
	}
	return false
}

// flipped is b with one bit of it turned over.
func flipped(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) > 0 {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return b
}

// garbled is what looks like a skill from afar: a part of one, one with some bits turned over, or nothing of the kind.
func garbled(r *rand.Rand, body []byte) []byte {
	switch r.IntN(3) {
	case 0:
		return bytes.Clone(body[:1+r.IntN(len(body))])
	case 1:
		for range 1 + r.IntN(8) {
			body = flipped(r, body)
		}
		return body
	}
	b := make([]byte, 1+r.IntN(256))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
