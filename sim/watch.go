package sim

import (
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// A What is a kind of thing that happens in a world.
type What string

// What happens to a device, but for the last three, which happen to all.
const (
	Started   What = "started"   // it is switched on for the first time
	Returned  What = "returned"  // it is up again
	Crashed   What = "crashed"   // it lost all but its disk
	Stopped   What = "stopped"   // its user switched it off
	Announced What = "announced" // it lets others have what it learnt: Skill, Bytes
	Tried     What = "tried"     // it tried what Peer taught: Skill, Verdict, Gain
	Merged    What = "merged"    // it tried what Peer, as central, said is to be merged: Skill, Verdict, Gain, Versions, Term, Rank
	Regretted What = "regretted" // what it had taken in from Peer did harm since: Skill, Gain
	Shunned   What = "shunned"   // it listens to Peer no more
	Ruled     What = "ruled"     // it is central, and said what is to be merged: Skill, Versions, Term, Rank
	Divided   What = "divided"   // no message passes from one half to the other
	Healed    What = "healed"
	Calmed    What = "calmed" // the storm is over
)

// A Moment is something that happened in a world, for who watches it. Fields that its What does not name are zero.
type Moment struct {
	At       time.Duration // since Genesis
	What     What
	Device   int // to whom: an index of Options.Devices, or −1
	Peer     int // who else has to do with it: the same, and −1 if nobody is known
	Skill    string
	Verdict  protocol.Verdict
	Gain     float64 // nats an event, on the device's own events
	Bytes    int     // of an update's body
	Versions int     // of a skill that were merged
	Term     mesh.Term
	Rank     uint8
}

// note tells who watches of a moment of a device, which is nil where it is all of them.
func (w *World) note(d *device, peer protocol.PeerID, m Moment) {
	if w.opt.Watch == nil {
		return
	}
	m.At, m.Device, m.Peer = w.Now(), -1, -1
	if d != nil {
		m.At, m.Device = d.now().Sub(Genesis), d.index
	}
	if p := w.byID[peer]; p != nil {
		m.Peer = p.index
	}
	w.sayAs(d, spoken{moment: &m})
}

// noteFold tells of a skill that was tried, and of an author whom that was the end of.
func (w *World) noteFold(d *device, f node.Fold) {
	if w.opt.Watch == nil {
		return
	}
	m := Moment{What: Tried, Skill: f.Skill, Verdict: f.Verdict, Gain: f.Gain}
	author := f.ID.Author
	switch {
	case f.Late:
		m.What = Regretted
	case f.Merged > 0:
		m.What, m.Versions = Merged, f.Merged
		for _, al := range d.node.Conversation().Aligned() {
			if al.Skill == f.Skill {
				author, m.Term, m.Rank = al.Author, al.Term, al.Rank
			}
		}
	}
	w.note(d, author, m)
}

// noteShunned tells whom a device has ceased to listen to.
func (w *World) noteShunned(d *device) {
	if w.opt.Watch == nil {
		return
	}
	for _, s := range d.node.Conversation().Ledger() {
		if !s.Shunned || d.shunned[s.Author] {
			continue
		}
		if d.shunned == nil {
			d.shunned = map[protocol.PeerID]bool{}
		}
		d.shunned[s.Author] = true
		w.note(d, s.Author, Moment{What: Shunned})
	}
}

// noteRuling tells what a central said.
func (w *World) noteRuling(d *device, r *protocol.Record) {
	if w.opt.Watch == nil {
		return
	}
	a, err := protocol.DecodeAlignment(r.Body)
	if err != nil { // as who is hostile may write it
		return
	}
	for _, s := range a.Skills {
		w.note(d, "", Moment{What: Ruled, Skill: s.Skill, Versions: len(s.Inputs), Term: mesh.Term(r.Term), Rank: r.Rank})
	}
}
