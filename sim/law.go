package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// A Law is what has to hold in a world. It has two forms, and at least one of them: one looks at the device to which something
// has just happened, after everything that happens, and at nothing but that device; the other looks at everyone, now and then
// and after the calm.
type Law struct {
	Name  string
	Holds func(*World) error // of everyone; nil for a law that each device breaks by itself
	local func(*device, *node.Actions) error
}

// Laws are the laws that hold in every world.
func Laws() []Law {
	return []Law{
		{"an update is folded at most once", nil, foldsOnce},
		{"what is private never leaves", nil, keepsPrivate},
		{"no number is not finite", finite, staysFinite},
		{"memory is bounded", nil, staysBounded},
		{"what is forged changes nothing", nil, nil}, // looked at where something forged arrives, see [device.distrust]
		{"nothing acknowledged is lost", nil, nil},   // looked at where a device is back, see [device.recall]
		{"the ledger adds up", nil, addsUp},
		{"what is held is one version of each", nil, holdsOne},
		{"an own update is never let go", nil, holdsOwn},
		{"no sequence stands for two updates", nil, numbersOnce},
		{"time goes on", nil, goesOn},
		{"who only harms ends with nobody asking", harmlessOnly, asksNoHarm},
		{"both halves of a partition go on", halvesGoOn, nil},
		{"after calm everyone holds the same set", sameSets, nil},
		{"after calm everyone has merged the same", alignedAlike, nil},
		{"after calm the conversation becomes quiet", nil, nil}, // looked at in [World.Calm]
	}
}

// Names of laws that are looked at elsewhere than after everything that happens.
const (
	lawForged = "what is forged changes nothing"
	lawKept   = "nothing acknowledged is lost"
	lawQuiet  = "after calm the conversation becomes quiet"
)

// A Broken says which law does not hold, and all that is needed to see it again: a world of the same seed and options, with
// Options.Until set to Event, which is run for Storm and, if Calm is true, calmed then, ends where this one did.
type Broken struct {
	Law    string
	Seed   uint64
	At     time.Duration // since Genesis
	Event  uint64        // the number of what happened last, as [World.Events] counts
	Device string        // which broke it; empty if it was not one alone
	Storm  time.Duration // how long the storm was
	Calm   bool          // whether it was over
	Err    error
}

func (b *Broken) Error() string {
	return fmt.Sprintf("sim: seed %d, at %v, event %d: a law is broken: %s: %v", b.Seed, b.At, b.Event, b.Law, b.Err)
}

func (b *Broken) Unwrap() error { return b.Err }

// A breach is what one device did.
type breach struct{ device, what string }

func (b *breach) Error() string { return "device " + b.device + " " + b.what }

func (d *device) breach(format string, args ...any) error {
	return &breach{d.opt.Name, fmt.Sprintf(format, args...)}
}

// broken is the error of a world in which a law does not hold.
func (w *World) broken(law string, err error) *Broken {
	b := &Broken{Law: law, Seed: w.seed, At: w.Now(), Event: w.Events(), Storm: w.Now(), Calm: w.calm, Err: err}
	if w.calm {
		b.Storm = w.storm
	}
	var by *breach
	if errors.As(err, &by) {
		b.Device = by.device
	}
	return b
}

// check has all laws look at everyone.
func (w *World) check() error {
	for _, l := range w.opt.Laws {
		if l.Holds == nil {
			continue
		}
		if err := l.Holds(w); err != nil {
			return w.broken(l.Name, err)
		}
	}
	return nil
}

// has reports whether a law of that name is one of this world's.
func (w *World) has(law string) bool {
	return slices.ContainsFunc(w.opt.Laws, func(l Law) bool { return l.Name == law })
}

func finite(w *World) error {
	for _, d := range w.devices {
		if d.node == nil {
			continue
		}
		if err := d.finite(func(author string) bool { return true }); err != nil {
			return err
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
			case h.due > 0 && h.folds == 0:
				return fmt.Errorf("partition %d, half %d: %d updates were announced early and nobody tried one", i+1, s+1, h.due)
			}
		}
	}
	return nil
}

// sameSets compares neighbours, which is as good as comparing everyone who can reach everyone. What one
// of them holds and the other will not take, because its author only did harm there, does not count, nor what the
// other has no room for; nor does what one says of itself whose word is not to be trusted.
func sameSets(w *World) error {
	if !w.settled {
		return nil
	}
	for _, d := range w.devices {
		held := d.node.Conversation().Live()
		for _, o := range d.neighbours {
			if d.opt.Attack == Forge || o.opt.Attack == Forge || !w.meet(d, o) {
				continue
			}
			theirs := o.node.Conversation().Held()
			for _, u := range held {
				if _, found := slices.BinarySearchFunc(theirs, u.ID, protocol.UpdateID.Compare); found || o.shuns(u.ID.Author) {
					continue
				}
				if c := o.node.Conversation(); !c.Chose() || c.Wants(&u.Announce) {
					return d.breach("holds %v, and its neighbour %s does not", u.ID, o.opt.Name)
				}
			}
		}
	}
	return nil
}

// meet reports whether two neighbours are neighbours still, and where they can hear each other.
func (w *World) meet(d, o *device) bool {
	return d.linked[slices.Index(d.neighbours, o)] && w.reachable(d, o)
}

// harmlessOnly looks, after calm, for what is left of those who only harmed.
func harmlessOnly(w *World) error {
	if !w.settled {
		return nil
	}
	for _, d := range w.devices {
		for author, v := range d.saw.verdicts {
			if !v.harms() && !d.shuns(author) {
				continue
			}
			if slices.ContainsFunc(d.node.Conversation().Held(), func(id protocol.UpdateID) bool { return id.Author == author }) {
				return d.breach("holds what %v made, who did harm %d times and no good", author, v.of[protocol.Harmful])
			}
			for _, s := range d.node.Learner().Skills() {
				if s.Author == string(author) {
					return d.breach("has skill %s of %v, who did harm %d times and no good", s.Name, author, v.of[protocol.Harmful])
				}
			}
		}
	}
	return nil
}

func (d *device) shuns(author protocol.PeerID) bool { return d.node.Conversation().Shuns(author) }
