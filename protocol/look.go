package protocol

import (
	"fmt"
	"math"
)

// The limits of a look.
const (
	MaxSeen = 256      // members in Look.Members
	MaxLook = 20 << 10 // bytes of a look on the wire
)

// A Look is what a peer sees of the mesh, as it tells another that asks: so that of two peers one can say which of
// them sees which, and how far their clocks are apart. It is a claim, for people to read.
type Look struct {
	Time    int64    // when it was written, in Unix milliseconds by the clock of its writer
	Sees    bool     // the one who asked is a member or a neighbour, by the account of the one who answers
	Members []PeerID // of the cell of that one, without itself: sorted, unique, at most MaxSeen
}

// EncodeLook returns l as one msgpack map. What it returns, DecodeLook accepts.
func EncodeLook(l *Look) ([]byte, error) {
	if err := checkLook(l); err != nil {
		return nil, fmt.Errorf("%w: encode a look", err)
	}
	return encodeSmall(3, func(w *writer) {
		w.int('t', l.Time)
		sees := uint64(0)
		if l.Sees {
			sees = 1
		}
		w.uint('s', sees)
		w.key('p')
		w.keep(w.enc.EncodeArrayLen(len(l.Members)))
		for _, id := range l.Members {
			w.keep(w.enc.EncodeString(string(id)))
		}
	})
}

// DecodeLook parses what EncodeLook wrote, under the rules of Decode.
func DecodeLook(b []byte) (*Look, error) {
	l := new(Look)
	err := decodeMap(b, MaxLook, func(r *reader, key byte) bool {
		switch key {
		case 't':
			l.Time = r.int()
		case 's':
			l.Sees = r.uint(math.MaxUint64) != 0
		case 'p':
			l.Members = r.peers(MaxSeen)
		default:
			return false
		}
		return true
	})
	if err == nil {
		err = checkLook(l)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: a look", err)
	}
	return l, nil
}

func (r *reader) peers(most int) []PeerID {
	n, err := r.dec.DecodeArrayLen()
	r.keep(err)
	if n > most {
		r.fail(ErrTooLong)
	}
	var list []PeerID
	for i := 0; i < n && r.err == nil; i++ {
		list = append(list, PeerID(r.text(maxPeerID)))
	}
	return list
}

func checkLook(l *Look) error {
	if len(l.Members) > MaxSeen {
		return ErrTooLong
	}
	for i, id := range l.Members {
		if _, err := id.Key(); err != nil || i > 0 && l.Members[i-1] >= id {
			return ErrMalformed
		}
	}
	return nil
}
