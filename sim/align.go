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
// centrals of his own. Where one will not have a version that
// the other has, because its author did harm there, they need not agree; nor need who lies, who holds another version of its own than it signed, and
// who has no room for all versions.
func alignedAlike(w *World) error {
	if !w.settled || !w.cell() {
		return nil
	}
	for _, d := range w.devices {
		if d.opt.Attack != "" || d.node.Conversation().Chose() {
			continue
		}
		mine := d.node.Conversation().Aligned()
		for _, o := range d.neighbours {
			if o.opt.Attack != "" || o.node.Conversation().Chose() || !w.meet(d, o) {
				continue
			}
			theirs := o.node.Conversation().Aligned()
			for _, al := range mine {
				refuses := func(in protocol.Input) bool { return o.shuns(in.ID.Author) }
				if o.shuns(al.Author) || slices.ContainsFunc(al.Inputs, refuses) {
					continue
				}
				i := slices.IndexFunc(theirs, func(t exchange.Aligned) bool { return t.Skill == al.Skill })
				switch {
				case i < 0:
					return d.breach("has skill %s aligned by %v, and its neighbour %s not at all", al.Skill, al.Record, o.opt.Name)
				case theirs[i].Result != al.Result && !slices.ContainsFunc(theirs[i].Inputs, func(in protocol.Input) bool { return d.shuns(in.ID.Author) }):
					return d.breach("and its neighbour %s have skill %s aligned to %v and %v", o.opt.Name, al.Skill, al.Result, theirs[i].Result)
				}
			}
		}
	}
	return nil
}
