package sim

import (
	"fmt"
	"slices"

	"github.com/yanmesh/yan/protocol"
)

// A Law is what has to hold in a world. Holds is called now and then, in the storm and after the calm, and
// names the device in its error.
type Law struct {
	Name  string
	Holds func(*World) error
}

// Laws are the laws that hold in every world.
func Laws() []Law {
	return []Law{
		{"an update is folded at most once", foldedOnce},
		{"what is private never leaves", privateStays},
		{"no number is not finite", finite},
		{"memory is bounded", bounded},
		{"both halves of a partition go on", halvesGoOn},
		{"after calm everyone holds the same set", sameSets},
		{"after calm everyone has merged the same", alignedAlike},
	}
}

// A Broken says which law does not hold, and how to see it again.
type Broken struct {
	Law  string
	Seed uint64
	At   fmt.Stringer // virtual time since Genesis
	Err  error        // names the device
}

func (b *Broken) Error() string {
	return fmt.Sprintf("sim: seed %d, at %v: a law is broken: %s: %v", b.Seed, b.At, b.Law, b.Err)
}

func (b *Broken) Unwrap() error { return b.Err }

func (w *World) check() error {
	for _, l := range w.opt.Laws {
		if err := l.Holds(w); err != nil {
			return &Broken{l.Name, w.seed, w.Now(), err}
		}
	}
	return nil
}

func foldedOnce(w *World) error {
	for _, d := range w.devices {
		for id, n := range d.folds {
			if n > 1 {
				return fmt.Errorf("device %s folded %v %d times", d.opt.Name, id, n)
			}
		}
	}
	return nil
}

func privateStays(w *World) error {
	for _, d := range w.devices {
		if d.leaked != (protocol.UpdateID{}) {
			return fmt.Errorf("device %s, which shares nothing, is the author of %v, which was sent", d.opt.Name, d.leaked)
		}
	}
	return nil
}

func finite(w *World) error {
	for _, d := range w.devices {
		if d.node == nil {
			continue
		}
		l := d.node.Learner()
		for i, s := range l.Skills() {
			for k, v := range l.Model().Banks[i].Weights {
				if v-v != 0 {
					return fmt.Errorf("device %s, skill %s: number %d is %v", d.opt.Name, s.Name, k, v)
				}
			}
		}
	}
	return nil
}

// Bounds that nothing may exceed, whatever peers send.
const (
	maxHeld   = 1024 // updates, as exchange promises
	maxSkills = 1024 // skills, our own among them
)

func bounded(w *World) error {
	for _, d := range w.devices {
		if d.node == nil {
			continue
		}
		c := d.node.Conversation()
		if n := len(c.Held()); n > maxHeld {
			return fmt.Errorf("device %s holds %d updates", d.opt.Name, n)
		}
		if n := len(d.node.Learner().Skills()); n > maxSkills {
			return fmt.Errorf("device %s has %d skills", d.opt.Name, n)
		}
		if n := len(c.Peers()); n > len(d.neighbours) {
			return fmt.Errorf("device %s talks to %d peers, and has %d neighbours", d.opt.Name, n, len(d.neighbours))
		}
	}
	return nil
}

// halvesGoOn looks at partitions that are over.
func halvesGoOn(w *World) error {
	for i, c := range w.cuts {
		if !c.over {
			continue
		}
		for s, h := range c.half {
			switch {
			case h.said > 0 && h.learnt == 0:
				return fmt.Errorf("partition %d, half %d: users said %d bytes and nothing was learnt", i+1, s+1, h.said)
			case h.offered > 0 && h.folds == 0:
				return fmt.Errorf("partition %d, half %d: %d updates were announced early and nobody took one in", i+1, s+1, h.offered)
			}
		}
	}
	return nil
}

// sameSets compares neighbours, which is as good as comparing everyone who can reach everyone. What one
// of them holds and the other will not take, because its author only did harm there, does not count.
func sameSets(w *World) error {
	if !w.settled {
		return nil
	}
	for _, d := range w.devices {
		held := d.node.Conversation().Held()
		for _, o := range d.neighbours {
			theirs := o.node.Conversation().Held()
			for _, id := range held {
				if _, found := slices.BinarySearchFunc(theirs, id, protocol.UpdateID.Compare); !found && !o.shuns(id.Author) {
					return fmt.Errorf("device %s holds %v, and its neighbour %s does not", d.opt.Name, id, o.opt.Name)
				}
			}
		}
	}
	return nil
}

func (d *device) shuns(author protocol.PeerID) bool {
	for _, s := range d.node.Conversation().Ledger() {
		if s.Author == author {
			return s.Shunned
		}
	}
	return false
}
