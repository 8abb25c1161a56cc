package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/sim/event"
)

// Devices run side by side, in windows that last no longer than the fastest message. Within a window a device reads and writes what is
// its own, and of others only what stands still: who is up and in which life, who is where, which partition holds. All that changes
// between windows, by what concerns all. What a device says, for the transcript and for who watches, is put in order at the window's end.

// leastDelay is what a message takes at least, whatever the links say: in less time nothing gets anywhere.
const leastDelay = time.Millisecond

// spoken is what a device says: a line of the transcript, or a moment for who watches.
type spoken struct {
	line   string
	moment *Moment
}

// newLoop makes the loop of a world that begins, or goes on, at some time.
func (w *World) newLoop(start time.Duration) (err error) {
	o := event.Options[func() error, spoken]{
		Actors: len(w.opt.Devices), Lookahead: detection / 2, Seed: w.wire.Uint64(), Workers: w.opt.Workers, Start: start,
		Handle: w.handle, Tell: w.tell, Between: w.between,
	}
	if w.opt.Until > 0 {
		o.Limit = max(w.opt.Until, w.events+1) - w.events
	}
	for _, d := range w.opt.Devices {
		l := w.opt.Links
		if d.Links != nil {
			l = d.Links.withDefaults()
		}
		o.Lookahead = min(o.Lookahead, max(l.MinDelay, leastDelay))
	}
	if w.opt.Transcript == nil && w.opt.Watch == nil {
		o.Tell = nil
	}
	w.lookahead = o.Lookahead
	if w.loop, err = event.New(o); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	w.desks = make([]learning.Desk, w.loop.Workers())
	return nil
}

// handle has something happen to a device.
func (w *World) handle(t *event.Turn[func() error, spoken], do func() error) error {
	d := w.devices[t.Actor()]
	d.turn = t
	if d.node != nil {
		d.node.Learner().Sit(&w.desks[t.Worker()])
	}
	err := do()
	d.turn = nil
	return err
}

// now is the time of what happens to a device, or to all.
func (d *device) now() time.Time {
	if d.turn != nil {
		return Genesis.Add(d.turn.Now())
	}
	return d.w.now()
}

func (w *World) now() time.Time { return Genesis.Add(w.loop.Now()) }

// after plans something for the device itself, in a turn of its own or between windows.
func (d *device) after(late time.Duration, do func() error) {
	if d.turn != nil {
		d.turn.After(late, do)
		return
	}
	d.w.loop.Plan(d.index, d.w.loop.Now()+max(late, 0), do)
}

// post plans something for another device, no earlier than a message can be there.
func (d *device) post(to *device, late time.Duration, do func() error) {
	if d.turn != nil {
		d.turn.Send(to.index, max(late, d.w.lookahead), do)
		return
	}
	d.w.loop.Plan(to.index, d.w.loop.Now()+late, do)
}

// planAt plans something that concerns all and is known beforehand, unless it was before the world was saved.
func (w *World) planAt(at time.Duration, do func() error) {
	if now := w.loop.Now(); at > now || now == 0 {
		w.loop.At(at, do)
	}
}

// after plans something that concerns all.
func (w *World) after(late time.Duration, do func() error) {
	w.loop.At(w.loop.Now()+max(late, 0), do)
}

// say writes a line of the transcript, of a device or, if it is nil, of all.
func (w *World) say(d *device, format string, args ...any) {
	if w.opt.Transcript == nil {
		return
	}
	who, at := "*", w.loop.Now()
	if d != nil {
		who, at = d.opt.Name, d.now().Sub(Genesis)
	}
	line := fmt.Sprintf("%13.6f %s "+format+"\n", append([]any{at.Seconds(), who}, args...)...)
	w.sayAs(d, spoken{line: line})
}

// sayAs says something in the turn of a device, or at once between windows.
func (w *World) sayAs(d *device, t spoken) {
	if d != nil && d.turn != nil {
		d.turn.Say(t)
		return
	}
	_ = w.tell(0, 0, t) // which does not fail
}

// tell hands on what was said, in the order in which it happened.
func (w *World) tell(_ time.Duration, _ int, t spoken) error {
	if t.moment != nil {
		w.opt.Watch(*t.moment)
		return nil
	}
	_, _ = fmt.Fprint(w.opt.Transcript, t.line)
	return nil
}

// between has the laws look at everyone, and tells of progress, now and then.
func (w *World) between() error {
	n := w.Events()
	if every := uint64(w.opt.CheckEvery); n/every != w.checked/every {
		if err := w.check(); err != nil {
			return err
		}
	}
	w.checked = n
	if n/256 != w.shown/256 && w.opt.Progress != nil {
		if err := w.opt.Progress(w.Now()); err != nil {
			return err
		}
	}
	w.shown = n
	return nil
}

// run lets time pass.
func (w *World) run(d time.Duration) error {
	err := w.loop.Run(w.loop.Now() + d)
	var e *event.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, event.ErrLimit):
		return ErrUntil
	case errors.As(err, &e):
		return w.failed(e.Err)
	}
	return err
}

// failed says where the world was when something failed; of a broken law the law says it, but for what was known to the loop alone.
func (w *World) failed(err error) error {
	var b *Broken
	if errors.As(err, &b) {
		b.Event, b.At = w.Events(), w.Now()
		if !b.Calm {
			b.Storm = b.At
		}
		return b
	}
	return fmt.Errorf("sim: seed %d, at %v, event %d: %w", w.seed, w.Now(), w.Events(), err)
}
