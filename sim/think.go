package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/node"
)

// Thinking takes time on a device that has a Speed. What it hears meanwhile waits, and what it says leaves when it has thought; what
// left before goes on its way.

// What a trial reads: of text what a learner keeps if its config does not say, of examples what it keeps at most.
const (
	recentText     = 4096
	recentExamples = 256
)

// maxWaiting is how much may wait for a device that thinks. What is more is lost, as it is where a node does not keep up with its
// mesh.
const maxWaiting = 1024

// attend does something with the node once it has time, if it lives still then.
func (d *device) attend(do func() error) error {
	if d.node == nil {
		return nil
	}
	if len(d.waiting) == 0 && !d.thinks.After(d.now()) {
		return do()
	}
	if len(d.waiting) == maxWaiting {
		return nil
	}
	d.waiting = append(d.waiting, do)
	if len(d.waiting) == 1 {
		d.after(d.thinks.Sub(d.now()), d.living(d.goOn))
	}
	return nil
}

// goOn does what waits, until the device thinks again.
func (d *device) goOn() error {
	for len(d.waiting) > 0 && !d.thinks.After(d.now()) {
		do := d.waiting[0]
		d.waiting[0] = nil
		d.waiting = d.waiting[1:]
		if err := do(); err != nil || d.node == nil {
			return err
		}
	}
	if len(d.waiting) > 0 {
		d.after(d.thinks.Sub(d.now()), d.living(d.goOn))
	}
	return nil
}

// living does something unless the device was started anew meanwhile.
func (d *device) living(do func() error) func() error {
	life := d.life
	return func() error {
		if !d.up || d.life != life {
			return nil
		}
		return do()
	}
}

// think has a device think about so many events more.
func (d *device) think(events int) {
	if d.opt.Speed == 0 || events == 0 {
		return
	}
	if d.thinks.Before(d.now()) {
		d.thinks = d.now()
	}
	d.thinks = d.thinks.Add(time.Duration(d.opt.Speed * float64(events) * float64(time.Second)))
}

// weigh thinks about what a node did: trying what another knows is reading one's own recent events without it and with it.
func (d *device) weigh(folds []node.Fold) {
	if d.opt.Speed == 0 {
		return
	}
	for _, f := range folds {
		if !f.Late {
			d.think(2 * d.tried())
		}
	}
}

// thinking reports whether anyone thinks still.
func (w *World) thinking() bool {
	return slices.ContainsFunc(w.devices, func(d *device) bool { return d.node != nil && d.thinks.After(w.now()) })
}

// tried is how many events a trial reads.
func (d *device) tried() int {
	if d.opt.Shown != nil {
		return min(d.opt.Shown.Len(), recentExamples)
	}
	most := d.w.opt.Learning.Recent
	if most == 0 {
		most = recentText
	}
	return int(min(uint64(most), d.node.Learner().Events()))
}

// tell sends what a node says, when it has thought.
func (d *device) tell(a node.Actions) error {
	send := func() error {
		for _, e := range a.Send {
			if err := d.w.send(d, e); err != nil {
				return fmt.Errorf("device %s: %w", d.opt.Name, err)
			}
		}
		return nil
	}
	if len(a.Send) == 0 {
		return nil
	}
	if !d.thinks.After(d.now()) {
		return send()
	}
	d.after(d.thinks.Sub(d.now()), d.living(send))
	return nil
}

// exchange is the device's side of the exchange, as it is set up.
func (d *device) exchange() exchange.Config {
	c := d.w.opt.Exchange
	if d.opt.Central > 0 {
		c.Central = d.opt.Central
	}
	return c
}

// mayStop gives a device a disk: one that never stops needs none.
func (d *device) mayStop() {
	if d.disk == nil {
		d.disk = newJournal()
	}
}

// rest plans when the user has the device switched off.
func (d *device) rest() {
	for _, s := range d.opt.Away {
		d.mayStop()
		d.w.planAt(s.From, func() error { return d.leaveOff(s.For) })
		d.w.planAt(s.From+s.For, d.restart)
	}
}

// leaveOff switches a device off for a while: a clean stop, after which its disk is as [node.Run] leaves it.
func (d *device) leaveOff(span time.Duration) error {
	if d.w.calm {
		return nil
	}
	d.off = d.now().Add(span)
	d.back = d.off
	if !d.up {
		return nil
	}
	if d.node != nil { // and not only about to start
		if err := d.disk.settle(d.node); err != nil {
			return fmt.Errorf("device %s: %w", d.opt.Name, err)
		}
	}
	d.w.say(d, "is switched off")
	d.w.note(d, "", Moment{What: Stopped})
	d.stop()
	return nil
}
