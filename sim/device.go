package sim

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim/event"
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

	turn *event.Turn[func() error, spoken] // nil between windows

	// What others may read at any time, for it changes between windows alone.
	up    bool
	life  int       // how often it was started: what was meant for an earlier life is lost
	began time.Time // when it was started last

	node  *node.Node // nil while it is down
	disk  *journal   // nil for a device that never crashes: nobody would read it
	kept  *journal   // its disk when the world was saved, until it has started from it
	begun bool       // it has been switched on once
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
	traffic [16]Traffic                  // that it sent; what is lost counts for who misses it, where it was on its way
	moved   uint64                       // how often anything happened that was new to it
	theirs  map[rival]*protocol.Update   // what those who asked for updates have of them
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
	c.Learning.Gate.Cache, c.Deltas = &d.w.gates, &d.w.deltas
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
	d.powerOn("is switched on")
	return nil
}

// powerOn is the moment from which others can reach a device. It is about to start.
func (d *device) powerOn(how string) {
	d.up = true
	d.life++
	d.began = d.w.now()
	clear(d.sees)
	d.after(0, d.living(func() error { return d.start(how) }))
	d.w.noticeAround(d)
}

// start makes a node, of what its disk has.
func (d *device) start(how string) error {
	n, err := node.New(d.config(), d.w.opt.Base)
	if err != nil {
		return fmt.Errorf("device %s: %w", d.opt.Name, err)
	}
	if j := cmp.Or(d.disk, d.kept); j != nil {
		if err := j.start(n); err != nil {
			return fmt.Errorf("device %s: %w", d.opt.Name, err)
		}
	}
	d.node, d.wake, d.busy = n, time.Time{}, time.Time{}
	d.thinks, d.waiting = time.Time{}, nil
	if d.kept != nil {
		d.kept = nil
		d.recollect()
	}
	if err := d.recall(); err != nil {
		return err
	}
	clear(d.seen)
	clear(d.rumours)
	clear(d.theirs)
	d.w.say(d, "%s: %s, %d neighbours", how, d.id.Short(), len(d.neighbours))
	what := Returned
	if d.life == 1 {
		what = Started
	}
	d.w.note(d, "", Moment{What: what})
	if err := d.perform(n.Tick(d.now())); err != nil {
		return err
	}
	if d.next == 0 && len(d.utterances) > 0 && n.Learner().Skill("", d.opt.skill()) == nil {
		a, err := n.Focus(d.now(), d.opt.skill())
		if err != nil {
			return fmt.Errorf("device %s: %w", d.opt.Name, err)
		}
		if err := d.perform(a); err != nil {
			return err
		}
	}
	return nil
}

// crash takes from a device all but its disk.
func (d *device) crash() error {
	if !d.up || d.w.calm {
		return nil
	}
	d.back = d.now().Add(d.w.opt.Faults.Down)
	d.w.say(d, "crashes")
	d.w.note(d, "", Moment{What: Crashed})
	d.stop()
	d.w.after(d.w.opt.Faults.Down, d.restart)
	return nil
}

// stop ends a node, of which the disk alone remains.
func (d *device) stop() {
	d.remember()
	d.node, d.up = nil, false
	clear(d.sees)
	d.w.noticeAround(d)
}

// isOff reports whether the user has the device switched off; in the calm nobody has.
func (d *device) isOff() bool { return d.now().Before(d.off) && !d.w.calm }

// restart brings a device back, from its disk, if it is down and may be up.
func (d *device) restart() error {
	if d.up || d.isOff() {
		return nil
	}
	if !d.begun {
		return d.boot()
	}
	d.powerOn("is back")
	return nil
}

// speak has the user say the next utterance. What is said to a device that is down is said again when it
// is back.
func (d *device) speak() error {
	if d.w.calm || d.next == d.turns() {
		return nil
	}
	if d.node == nil {
		d.after(d.back.Sub(d.now())+time.Second, d.speak)
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
	nats, a := d.node.Observe(d.now(), u)
	d.w.account(d, func(h *half) { h.learnt += len(u) })
	d.w.say(d, "hears its user say %d bytes, a surprise of %.4f nats a byte", len(u), nats/float64(len(u)))
	if err := d.perform(a); err != nil {
		return err
	}
	if err := d.perform(d.node.Flush(d.now())); err != nil {
		return err
	}
	if d.next < len(d.utterances) {
		return nil
	}
	a, err := d.node.Focus(d.now(), "")
	if err != nil {
		return fmt.Errorf("device %s: %w", d.opt.Name, err)
	}
	return d.perform(a)
}

// hear hands an event to the node.
func (d *device) hear(ev mesh.Event) error {
	return d.attend(func() error { return d.perform(d.node.Handle(d.now(), ev)) })
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
		d.moved++
		d.w.noteFold(d, f)
		if f.Late { // it was counted when it came
			d.w.say(d, "%v", f)
			continue
		}
		if f.Merged > 0 {
			d.merges++
			d.w.say(d, "%v", f)
			continue
		}
		d.saw.fold(f.ID)
		d.w.folded(d, f)
		d.w.say(d, "%v", f)
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
	d.after(at.Sub(d.now()), func() error {
		if d.node == nil || d.life != life || !d.wake.Equal(at) {
			return nil // another Tick was planned since
		}
		d.wake = time.Time{}
		return d.attend(func() error { return d.perform(d.node.Tick(d.now())) })
	})
}
