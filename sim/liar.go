package sim

import (
	"github.com/yanmesh/yan/protocol"
)

// Liar is honest in what it teaches, and lies when it is central. [Attacks] does not list it, for it does no harm to what is learnt.
const Liar Attack = "liar"

// record returns what a liar says in the place of a record of its own, the same whenever it is asked for: in one term of three nothing
// at all, in the next that it had the first rank, and in the next, or where that is so, that what was merged came to something else.
func (d *device) record(r *protocol.Record) (protocol.Message, error) {
	if f, known := d.records[r.Term]; known {
		if f == nil {
			return nil, nil
		}
		return f, nil
	}
	if d.records == nil {
		d.records = map[uint64]*protocol.Record{}
	}
	if r.Term%3 == 0 {
		d.records[r.Term] = nil
		d.w.say(d, "lets its turn pass")
		return nil, nil
	}
	f := *r
	if r.Term%3 == 1 && r.Rank > 0 {
		f.Rank = 0
	} else {
		a, err := protocol.DecodeAlignment(r.Body)
		if err != nil {
			return nil, err
		}
		for i := range a.Skills {
			a.Skills[i].Result[0] ^= 1
		}
		if f.Body, err = protocol.EncodeAlignment(a); err != nil {
			return nil, err
		}
		f.Digest, f.Size = protocol.Sum(f.Body), uint32(len(f.Body))
	}
	f.Sign(d.key)
	d.records[r.Term] = &f
	d.w.say(d, "lies about its turn: %v", &f)
	return &f, nil
}
