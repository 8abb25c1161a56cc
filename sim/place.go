package sim

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Places. Only devices that are in one place can hear each other, and in each place there is an overlay of its own: rings through
// everyone who is there, in random order, so that nobody is cut off and everyone has about Degree neighbours. Who comes is put
// into each ring somewhere, and where one leaves the ring closes.

// A place is where devices are, in no order.
type place struct{ here []*device }

// A seat is where a device sits in a ring.
type seat struct{ before, after *device }

// overlay draws who is whose neighbour at first; or everyone is everyone's, if Degree is as large as that.
func (w *World) overlay() {
	w.moves = w.chance(chanceOverlay)
	if w.cell() {
		for i, a := range w.devices {
			for _, b := range w.devices[:i] {
				a.link(b, true)
			}
		}
		return
	}
	w.places = map[int]*place{}
	var numbers []int
	for _, d := range w.devices {
		p := w.places[d.place]
		if p == nil {
			p = new(place)
			w.places[d.place] = p
			numbers = append(numbers, d.place)
		}
		p.here = append(p.here, d)
		d.seats = make([]seat, (w.opt.Degree+1)/2)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		p := w.places[number]
		for k := range (w.opt.Degree + 1) / 2 {
			ring := w.moves.Perm(len(p.here))
			for i, a := range ring {
				a, b := p.here[a], p.here[ring[(i+1)%len(ring)]]
				a.seats[k].after, b.seats[k].before = b, a
				a.link(b, true)
			}
		}
	}
}

// cell reports whether everyone sees everyone, wherever they meet.
func (w *World) cell() bool { return w.opt.Degree >= len(w.devices)-1 }

// link makes two devices neighbours, or ends that: they stay in each other's lists, for they may meet again.
func (d *device) link(o *device, are bool) {
	if d == o {
		return
	}
	k := slices.Index(d.neighbours, o)
	if k < 0 {
		if !are {
			return
		}
		k = len(d.neighbours)
		d.neighbours, d.sees, d.linked = append(d.neighbours, o), append(d.sees, false), append(d.linked, false)
		o.neighbours, o.sees, o.linked = append(o.neighbours, d), append(o.sees, false), append(o.linked, false)
	}
	d.linked[k] = are
	o.linked[slices.Index(o.neighbours, d)] = are
}

// adjacent reports whether two devices sit beside each other in any ring.
func (d *device) adjacent(o *device) bool {
	return slices.ContainsFunc(d.seats, func(s seat) bool { return s.before == o || s.after == o })
}

// move takes a device to another place.
func (d *device) move(to int) error {
	w := d.w
	if w.calm || d.place == to {
		return nil
	}
	w.say(d, "goes from place %d to %d", d.place, to)
	if !w.cell() {
		w.leave(d)
	}
	d.place = to
	if !w.cell() {
		w.arrive(d)
	}
	w.noticeAround(d)
	return nil
}

// leave takes a device out of the rings of the place where it is.
func (w *World) leave(d *device) {
	p := w.places[d.place]
	i := slices.Index(p.here, d)
	last := len(p.here) - 1
	p.here[i] = p.here[last]
	p.here = p.here[:last]
	for k := range d.seats {
		s := d.seats[k]
		d.seats[k] = seat{}
		if s.after == d {
			continue // it was alone
		}
		s.before.seats[k].after, s.after.seats[k].before = s.after, s.before
		w.relink(s.before, s.after)
	}
	for k, linked := range d.linked {
		if linked {
			d.link(d.neighbours[k], false)
		}
	}
}

// arrive puts a device into the rings of the place where it is.
func (w *World) arrive(d *device) {
	p := w.places[d.place]
	if p == nil {
		p = new(place)
		w.places[d.place] = p
	}
	for k := range d.seats {
		if len(p.here) == 0 {
			d.seats[k] = seat{d, d}
			continue
		}
		x := p.here[w.moves.IntN(len(p.here))]
		y := x.seats[k].after
		d.seats[k] = seat{x, y}
		x.seats[k].after, y.seats[k].before = d, d
		d.link(x, true)
		d.link(y, true)
		w.relink(x, y)
	}
	p.here = append(p.here, d)
}

// relink has two others notice whether they sit beside each other still, or now.
func (w *World) relink(a, b *device) {
	if a == b {
		return
	}
	a.link(b, a.adjacent(b))
	w.noticeEach(a, b)
}

// travel plans where a device goes.
func (d *device) travel() {
	for _, v := range d.opt.Visits {
		if v.From == 0 {
			d.place = v.Place
			continue
		}
		d.w.planAt(v.From, func() error { return d.move(v.Place) })
	}
}

// churn plans who crashes, besides the Crashes.
func (w *World) churn(r *rand.Rand) {
	n := float64(w.opt.Faults.Churn * float64(len(w.devices)) * w.opt.Talk.Hours()) // rounded, the same on every machine
	for range int(n + r.Float64()) {
		d := w.devices[r.IntN(len(w.devices))]
		d.mayStop()
		w.planAt(time.Duration(r.Int64N(int64(w.opt.Talk)+1)), d.crash)
	}
}
