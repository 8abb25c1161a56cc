package exchange

import (
	"slices"

	"github.com/yanmesh/yan/protocol"
)

// kinds is how many kinds of message there can be, those of later versions included.
const kinds = 16

// Counts is what was said, heard and decided since the Machine began, which is not kept over a restart.
type Counts struct {
	Heard, Said [kinds]uint64 // messages of peers that are here, and ours, by protocol.Kind
	Ignored     uint64        // of those heard: too many in an interval, or none of our business
	Invalid     uint64        // updates that their author did not sign
	Judged      [4]uint64     // updates, by protocol.Verdict
	Gain        [4]int64      // what they gained us, in micro-nats per event, by the same
}

// A Load is what a Machine holds, and what it waits for, at this moment.
type Load struct {
	Updates, Bytes int // held
	Wanted         int // asked for, and not here yet
	Authors        int // remembered
}

// A Newest is the newest update held of one author.
type Newest struct {
	Author protocol.PeerID
	Skills int   // of which an update is held
	Made   int64 // Unix seconds, by the author's clock
}

// Counts returns what was counted.
func (m *Machine) Counts() Counts { return m.counts }

// Load returns what is held and waited for.
func (m *Machine) Load() Load {
	return Load{Updates: len(m.live), Bytes: m.bytes, Wanted: len(m.wants), Authors: len(m.authors)}
}

// Newest returns, for every author of whom an update is held, when the newest was made; sorted by author, our own
// included.
func (m *Machine) Newest() []Newest {
	var list []Newest
	for _, id := range m.haveIDs() { // sorted by author
		made := m.live[id].u.Made
		if n := len(list); n == 0 || list[n-1].Author != id.Author {
			list = append(list, Newest{Author: id.Author, Made: made})
		}
		last := &list[len(list)-1]
		last.Skills++
		last.Made = max(last.Made, made)
	}
	return slices.Clip(list)
}

// said counts what a asks to be sent.
func (c *Counts) said(a *Actions) {
	for _, e := range a.Send {
		c.Said[min(e.Msg.Kind(), kinds-1)]++
	}
}
