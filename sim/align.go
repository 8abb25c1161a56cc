package sim

import (
	"slices"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// A rumour is what is passed on to everyone besides updates.
type rumour struct {
	name        protocol.Digest
	head, whole frame // a record's head goes first, and the whole to whoever asks; a message without head goes at once
}

func newRumour(m protocol.Message) (r *rumour, err error) {
	r = new(rumour)
	if rec, ok := m.(*protocol.Record); ok {
		if r.head, err = encode(&rec.Align); err != nil {
			return nil, err
		}
	}
	r.whole, err = encode(m)
	r.name = protocol.Sum(r.whole.bytes)
	return r, err
}

// spread tells a rumour to a device's neighbours, but the one it came from; whoever has not heard it passes it on in turn.
func (w *World) spread(from, not *device, r *rumour) error {
	from.rumours[r.name] = true
	for k, to := range from.neighbours {
		if to == not || !from.sees[k] {
			continue
		}
		first := func(then func() error) func() error {
			return func() error {
				if to.rumours[r.name] || !from.up {
					return nil
				}
				to.rumours[r.name] = true
				return then()
			}
		}
		arrive := func() error { return w.rumoured(from, to, r) }
		if r.head.msg == nil {
			w.carry(from, to, r.whole, nil, first(arrive))
			continue
		}
		w.carry(from, to, r.head, nil, first(func() error {
			if !to.node.Wants(r.head.msg) {
				return nil
			}
			w.ask(to, from, func() { w.carry(from, to, r.whole, nil, arrive) })
			return nil
		}))
	}
	return nil
}

// rumoured has a device hear a rumour, and pass it on.
func (w *World) rumoured(from, to *device, r *rumour) error {
	if v, ok := r.whole.msg.(interface{ Verify() error }); ok && v.Verify() != nil {
		return nil
	}
	to.moved++
	w.say(to, "hears %s: %v", from.opt.Name, r.whole.msg)
	if err := to.hear(mesh.Event{Kind: mesh.Heard, Peer: from.id, Msg: r.whole.msg}); err != nil {
		return err
	}
	return w.spread(to, from, r)
}

// alignedAlike compares, after calm, which versions of each skill the members of a cell merged: who sees only some of the others has
// centrals of his own. They need not agree where one will not have a version that the other has, because its author did harm
// there, or has a later one, of which nothing came that could be merged; nor where one thinks of somebody that it is never his turn; nor need
// who lies, for he holds another version of his own than he signed, and who has no room for all versions.
func alignedAlike(w *World) error {
	if !w.settled || !w.cell() {
		return nil
	}
	for _, d := range w.devices {
		for _, o := range d.neighbours {
			if !d.follows() || !o.follows() || !w.meet(d, o) || !slices.Equal(d.shunning(), o.shunning()) {
				continue
			}
			if err := alignedWith(d, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// follows reports whether a device follows the centrals as all do.
func (d *device) follows() bool {
	return d.opt.Attack == "" && d.node != nil && !d.node.Conversation().Chose()
}

// shunning are those whom a device shuns, sorted.
func (d *device) shunning() (ids []protocol.PeerID) {
	for _, s := range d.node.Conversation().Ledger() {
		if s.Shunned {
			ids = append(ids, s.Author)
		}
	}
	return ids
}

// harmed reports whether an author ever did harm to a device.
func (d *device) harmed(by protocol.PeerID) bool {
	v := d.saw.verdicts[by]
	return v != nil && v.of[protocol.Harmful]+v.late > 0
}

// alignedWith looks whether all that one device has merged another has too, or what came of the same otherwise.
func alignedWith(d, o *device) error {
	theirs, held := o.node.Conversation().Aligned(), o.node.Conversation().Held()
	excused := func(in protocol.Input) bool {
		_, found := slices.BinarySearchFunc(held, in.ID, protocol.UpdateID.Compare)
		return !found || o.harmed(in.ID.Author) || d.harmed(in.ID.Author)
	}
	for _, al := range d.node.Conversation().Aligned() {
		if o.shuns(al.Author) || slices.ContainsFunc(al.Inputs, excused) {
			continue
		}
		i := slices.IndexFunc(theirs, func(t exchange.Aligned) bool { return t.Skill == al.Skill })
		switch {
		case i < 0:
			return d.breach("has skill %s aligned by %v, and its neighbour %s not at all", al.Skill, al.Record, o.opt.Name)
		case theirs[i].Result != al.Result && !slices.ContainsFunc(theirs[i].Inputs, excused):
			return d.breach("and its neighbour %s have skill %s aligned to %v and %v", o.opt.Name, al.Skill, al.Result, theirs[i].Result)
		}
	}
	return nil
}
