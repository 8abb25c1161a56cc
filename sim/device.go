package sim

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// A device is a node with what surrounds it: a user, a disk, a place among its neighbours.
type device struct {
	w          *World
	index      int
	opt        Device
	key        ed25519.PrivateKey
	id         protocol.PeerID
	seed       uint64
	utterances [][]byte
	next       int       // the utterance to be said next
	links      Links     // of what it sends
	neighbours []*device // whom it ever met, or will
	linked     []bool    // which of them sit beside it now
	sees       []bool    // and which the mesh has told it of
	place      int
	seats      []seat // in the rings of its place

	node  *node.Node // nil while it is down
	disk  *journal   // nil for a device that never crashes: nobody would read it
	life  int        // how often it was started: what was meant for an earlier life is lost
	begun bool       // it has been switched on once
	began time.Time  // when it was started last
	back  time.Time  // when it will be up again
	wake  time.Time  // the Tick that is planned
	busy  time.Time  // until when its uplink is
	off   time.Time  // until when its user has it switched off

	thinks  time.Time      // until when it thinks
	waiting []func() error // what it does then

	seen    map[protocol.UpdateID]bool   // passed on by gossip, or being fetched
	last    map[lineage]*protocol.Update // that came, of each skill of each author
	rumours map[protocol.Digest]bool     // passed on by gossip
	merges  int                          // how often versions were merged, as a central said, and tried
	sent    uint64                       // bytes
	lies    map[uint64]*protocol.Update  // of a hostile device: what was said in the place of each of its updates
	first   []byte                       // and the first body that it said
	records map[uint64]*protocol.Record  // what a liar said in each term that was its turn; nil for nothing
	shunned map[protocol.PeerID]bool     // who watches was told that it is
	fakes   *rand.Rand                   // of a forger: what it forges
	saw     witness
}

// longest is how many bytes a user says at once, at most.
const longest = 240

// Utterances divides a text into what is said at once: lines, as many as fit 240 bytes, and never over
// an empty line.
func Utterances(text []byte) (us [][]byte) {
	var u []byte
	end := func() {
		if len(u) > 0 {
			us = append(us, u)
			u = nil
		}
	}
	for line := range bytes.Lines(text) {
		if len(u)+len(line) > longest {
			end()
		}
		for len(line) > longest {
			us = append(us, line[:longest:longest])
			line = line[longest:]
		}
		u = append(u, line...)
		if len(bytes.TrimSpace(line)) == 0 {
			end()
		}
	}
	end()
	return us
}

// config is what the node is built from; a device's every life has the same.
func (d *device) config() node.Config {
	o := &d.w.opt
	c := node.Config{
		Key: d.key, Seed: d.seed, Agent: "yan-sim", Share: d.opt.Share,
		Learning: o.Learning, Exchange: d.exchange(),
		// A node looks at the end of each utterance whether a quarter of PublishEvery was learnt.
		PublishEvery:    max(4*uint64(len(d.opt.Stream)/o.Updates), 4),
		PublishExamples: max(uint64(d.opt.Shown.Len()/o.Updates), 1),
	}
	c.Learning.Features = o.Features
	c.Learning.Gate.Cache = &d.w.gates
	if d.w.sabotage.config != nil {
		d.w.sabotage.config(d.index, &c)
	}
	return c
}

// boot switches a device on for the first time.
func (d *device) boot() error {
	if d.begun || d.isOff() {
		return nil
	}
	d.begun = true
	return d.start("is switched on")
}

func (d *device) start(how string) error {
	n, err := node.New(d.config(), d.w.opt.Base)
	if err != nil {
		return fmt.Errorf("device %s: %w", d.opt.Name, err)
	}
	if d.disk != nil {
		if err := d.disk.start(n); err != nil {
			return fmt.Errorf("device %s: %w", d.opt.Name, err)
		}
	}
	d.node, d.wake, d.busy = n, time.Time{}, time.Time{}
	d.thinks, d.waiting = time.Time{}, nil
	if err := d.recall(); err != nil {
		return err
	}
	d.life++
	d.began = d.w.now
	clear(d.seen)
	clear(d.rumours)
	clear(d.sees)
	d.w.say(d.opt.Name, "%s: %s, %d neighbours", how, d.id.Short(), len(d.neighbours))
	what := Returned
	if d.life == 1 {
		what = Started
	}
	d.w.note(d, "", Moment{What: what})
	if err := d.perform(n.Tick(d.w.now)); err != nil {
		return err
	}
	if d.next == 0 && len(d.utterances) > 0 && n.Learner().Skill("", d.opt.skill()) == nil {
		a, err := n.Focus(d.w.now, d.opt.skill())
		if err != nil {
			return fmt.Errorf("device %s: %w", d.opt.Name, err)
		}
		if err := d.perform(a); err != nil {
			return err
		}
	}
	d.w.noticeAround(d)
	return nil
}

// crash takes from a device all but its disk.
func (d *device) crash() error {
	if d.node == nil || d.w.calm {
		return nil
	}
	d.back = d.w.now.Add(d.w.opt.Faults.Down)
	d.w.say(d.opt.Name, "crashes")
	d.w.note(d, "", Moment{What: Crashed})
	d.stop()
	d.w.after(d.w.opt.Faults.Down, d.restart)
	return nil
}

// stop ends a node, of which the disk alone remains.
func (d *device) stop() {
	d.remember()
	d.node = nil
	clear(d.sees)
	d.w.noticeAround(d)
}

// isOff reports whether the user has the device switched off; in the calm nobody has.
func (d *device) isOff() bool { return d.w.now.Before(d.off) && !d.w.calm }

// restart brings a device back, from its disk, if it is down and may be up.
func (d *device) restart() error {
	if d.node != nil || d.isOff() {
		return nil
	}
	if !d.begun {
		return d.boot()
	}
	return d.start("is back")
}

// speak has the user say the next utterance. What is said to a device that is down is said again when it
// is back.
func (d *device) speak() error {
	if d.w.calm || d.next == d.turns() {
		return nil
	}
	if d.node == nil {
		d.w.after(d.back.Sub(d.w.now)+time.Second, d.speak)
		return nil
	}
	return d.attend(d.listen)
}

// listen has the device hear what its user says next.
func (d *device) listen() error {
	if d.opt.Shown != nil {
		return d.watch()
	}
	u := d.utterances[d.next]
	d.next++
	d.think(len(u))
	d.w.account(d, func(h *half) { h.said += len(u) })
	if f := d.w.sabotage.speak; f != nil && f(d.index) {
		return nil
	}
	nats, a := d.node.Observe(d.w.now, u)
	d.w.account(d, func(h *half) { h.learnt += len(u) })
	d.w.say(d.opt.Name, "hears its user say %d bytes, a surprise of %.4f nats a byte", len(u), nats/float64(len(u)))
	if err := d.perform(a); err != nil {
		return err
	}
	if err := d.perform(d.node.Flush(d.w.now)); err != nil {
		return err
	}
	if d.next < len(d.utterances) {
		return nil
	}
	a, err := d.node.Focus(d.w.now, "")
	if err != nil {
		return fmt.Errorf("device %s: %w", d.opt.Name, err)
	}
	return d.perform(a)
}

// hear hands an event to the node.
func (d *device) hear(ev mesh.Event) error {
	return d.attend(func() error { return d.perform(d.node.Handle(d.w.now, ev)) })
}

// perform does what the node wants done, in the order that [node.Actions] promises.
func (d *device) perform(a node.Actions) error {
	if f := d.w.sabotage.perform; f != nil {
		f(d, &a)
	}
	if d.disk != nil {
		if err := d.disk.keep(d.node, a); err != nil {
			return fmt.Errorf("device %s: %w", d.opt.Name, err)
		}
	}
	for _, f := range a.Folds {
		d.w.moved++
		d.w.noteFold(d, f)
		if f.Late { // it was counted when it came
			d.w.say(d.opt.Name, "%v", f)
			continue
		}
		if f.Merged > 0 {
			d.merges++
			d.w.say(d.opt.Name, "%v", f)
			continue
		}
		d.saw.fold(f.ID)
		d.w.folded(d, f)
		d.w.say(d.opt.Name, "%v", f)
	}
	if len(a.Records) > 0 {
		d.w.noteShunned(d)
	}
	d.weigh(a.Folds)
	if err := d.tell(a); err != nil {
		return err
	}
	d.sleep(a.Wake)
	return d.obey(&a)
}

// sleep plans the Tick that a node wants.
func (d *device) sleep(until time.Time) {
	if until.IsZero() || until.Equal(d.wake) {
		return
	}
	d.wake = until
	life, at := d.life, until
	d.w.after(at.Sub(d.w.now), func() error {
		if d.node == nil || d.life != life || !d.wake.Equal(at) {
			return nil // another Tick was planned since
		}
		d.wake = time.Time{}
		return d.attend(func() error { return d.perform(d.node.Tick(d.w.now)) })
	})
}
