package tally

import (
	"encoding/binary"
	"fmt"
)

// A Kind says which of the nine messages one is.
type Kind uint8

const (
	Keys Kind = 1 + iota
	Roster
	Sealed
	Delivered
	Masked
	Survivors
	Agreed
	Confirmed
	Revealed
)

// itemBytes is how many bytes an item of each kind has.
var itemBytes = [...]int{Keys: 128, Roster: 128, Sealed: boxBytes, Delivered: boxBytes, Survivors: 0, Agreed: 64, Confirmed: 64, Revealed: 1 + shareBytes}

// An Item is something of, or for, one member.
type Item struct {
	Member uint8
	Bytes  []byte
}

// A Message goes from a member to the collector or back. Items are sorted by member, each of whom has one at most.
type Message struct {
	Session [32]byte
	Kind    Kind
	Member  uint8 // who said it, or for whom it is
	Items   []Item
	Values  []uint32 // of Masked alone
}

// Encode returns the bytes of a message: its kind, member and session, how many items or values there are, and these, all numbers
// with their least significant byte first.
func (m *Message) Encode() []byte {
	b := append([]byte{byte(m.Kind), m.Member}, m.Session[:]...)
	if m.Kind == Masked {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Values)))
		for _, v := range m.Values {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Items)))
	for _, it := range m.Items {
		b = append(append(b, it.Member), it.Bytes...)
	}
	return b
}

// Decode parses what Encode wrote, and nothing else.
func Decode(b []byte) (*Message, error) {
	const head = 2 + 32 + 4
	if len(b) < head || b[0] < byte(Keys) || b[0] > byte(Revealed) || b[1] >= MaxMembers {
		return nil, fmt.Errorf("%w: %d bytes that do not begin as one", ErrMessage, len(b))
	}
	m := &Message{Kind: Kind(b[0]), Member: b[1], Session: [32]byte(b[2:34])}
	n, rest := uint64(binary.LittleEndian.Uint32(b[34:head])), b[head:]
	size, most := uint64(4), uint64(MaxValues)
	if m.Kind != Masked {
		size, most = uint64(1+itemBytes[m.Kind]), MaxMembers
	}
	if n > most || n*size != uint64(len(rest)) {
		return nil, fmt.Errorf("%w: it tells of %d parts in %d bytes", ErrMessage, n, len(rest))
	}
	if m.Kind == Masked {
		m.Values = make([]uint32, n)
		for i := range m.Values {
			m.Values[i] = binary.LittleEndian.Uint32(rest[4*i:])
		}
		return m, nil
	}
	for i := range n {
		part := rest[i*size : (i+1)*size]
		if part[0] >= MaxMembers || i > 0 && part[0] <= m.Items[i-1].Member {
			return nil, fmt.Errorf("%w: its parts are not in order", ErrMessage)
		}
		m.Items = append(m.Items, Item{part[0], part[1:len(part):len(part)]})
	}
	return m, nil
}

func (m *Message) item(member int) []byte {
	for _, it := range m.Items {
		if int(it.Member) == member {
			return it.Bytes
		}
	}
	return nil
}
