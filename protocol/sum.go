package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The limits of a sum.
const (
	MaxMembers = 64      // in Call.Members
	MaxValues  = 1 << 20 // in Offer.Values and Call.Values

	maxCall = 8 << 10 // bytes in the frame of a Call
)

// An Offer tells who is central that we have a term for the sum of a skill.
type Offer struct {
	Skill  string // at most MaxSkill bytes
	Values uint32 // how long its vector is; at most MaxValues
}

// A Call begins a sum of a skill: whoever is a member of it and wants to be answers with the first [Part].
type Call struct {
	Skill   string   // at most MaxSkill bytes
	Values  uint32   // how long the vectors are; at most MaxValues
	Term    uint64   // in which the caller is central
	Members []PeerID // whose vectors are to be added up: sorted, unique, at most MaxMembers
}

// A Part is what is said in a sum: a message of package exchange/tally, opaque here.
type Part struct {
	Body []byte // at most MaxBody
}

// Session names the sum that a caller calls for.
func (m *Call) Session(caller PeerID) Digest {
	b := []byte("yan sum v1\x00")
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(string(caller))
	text(m.Skill)
	b = binary.AppendUvarint(b, uint64(m.Values))
	b = binary.AppendUvarint(b, m.Term)
	b = binary.AppendUvarint(b, uint64(len(m.Members)))
	for _, id := range m.Members {
		text(string(id))
	}
	return Sum(b)
}

func (*Offer) Kind() Kind { return KindOffer }
func (*Call) Kind() Kind  { return KindCall }
func (*Part) Kind() Kind  { return KindPart }

func (m *Offer) String() string { return fmt.Sprintf("offer %q, %d values", m.Skill, m.Values) }
func (m *Call) String() string {
	return fmt.Sprintf("call for %q of %d members, term %d, %d values", m.Skill, len(m.Members), m.Term, m.Values)
}
func (m *Part) String() string { return fmt.Sprintf("part of %d bytes", len(m.Body)) }

func (w *writer) offer(m *Offer) {
	w.begin(2)
	w.text('k', m.Skill)
	w.uint('v', uint64(m.Values))
}

func (w *writer) call(m *Call) {
	w.begin(4)
	w.text('k', m.Skill)
	w.uint('v', uint64(m.Values))
	w.uint('t', m.Term)
	w.key('p')
	w.keep(w.enc.EncodeArrayLen(len(m.Members)))
	for _, id := range m.Members {
		w.keep(w.enc.EncodeString(string(id)))
	}
}

func (r *reader) offer(m *Offer, key byte) bool {
	switch key {
	case 'k':
		m.Skill = r.text(MaxSkill)
	case 'v':
		m.Values = uint32(r.uint(MaxValues))
	default:
		return false
	}
	return true
}

func (r *reader) call(m *Call, key byte) bool {
	switch key {
	case 'k':
		m.Skill = r.text(MaxSkill)
	case 'v':
		m.Values = uint32(r.uint(MaxValues))
	case 't':
		m.Term = r.uint(math.MaxUint64)
	case 'p':
		m.Members = r.peers(MaxMembers)
	default:
		return false
	}
	return true
}

func checkOffer(m *Offer) error {
	if m.Values > MaxValues {
		return ErrMalformed
	}
	return checkText(m.Skill, MaxSkill)
}

func checkCall(m *Call) error {
	if len(m.Members) > MaxMembers {
		return ErrTooLong
	}
	if m.Values > MaxValues {
		return ErrMalformed
	}
	for i, id := range m.Members {
		if _, err := id.Key(); err != nil || i > 0 && m.Members[i-1] >= id {
			return ErrMalformed
		}
	}
	return checkText(m.Skill, MaxSkill)
}
