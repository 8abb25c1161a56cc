package track

import (
	"math"
	"math/rand/v2"
)

// A Driver decides at each tick what to do, from what it senses.
type Driver interface {
	Drive(s *Sense) Control
}

// DriverFunc is a function that drives.
type DriverFunc func(s *Sense) Control

// Drive calls f.
func (f DriverFunc) Drive(s *Sense) Control { return f(s) }

// An End says how a drive ended.
type End int

const (
	Arrived  End = iota // at the end of the route
	LeftRoad            // it is on the grass
	Collided            // it touched what stood there
	WrongWay            // it is on a road, and far from the route
	Stood               // it stood still, or took for ever
)

func (e End) String() string {
	return [...]string{"arrived", "left the road", "hit an obstacle", "took a wrong turn", "stood still"}[e]
}

// A Trip is what became of a drive.
type Trip struct {
	Distance float64 // along the route, of its length
	End      End
	Seconds  float64
	Path     []Point // where the car was at each tick
}

// Drive puts a car on the start of the road and lets the driver drive until it ends. An Expert knows the map; others get what they
// sense.
func Drive(r *Road, d Driver) Trip {
	return Watch(r, d, nil)
}

// Watch is Drive, and shows what was sensed and what was done at each tick.
func Watch(r *Road, d Driver, seen func(s *Sense, u Control)) (t Trip) {
	car := Car{At: r.Route[0], Heading: r.headings[0], Speed: 5}
	if e, ok := d.(*Expert); ok {
		e.road, e.car, e.along, e.pull = r, &car, 0, 0
		e.rng = rand.New(rand.NewPCG(r.Seed, 0x70756c6c))
	}
	var along, stood float64
	for n := 0; ; n++ {
		t.Path = append(t.Path, car.At)
		t.Distance, t.Seconds = max(t.Distance, along), float64(n)*tick
		if along >= r.Length()-5 {
			t.Distance, t.End = r.Length(), Arrived
			return t
		}
		if stood > stallTime || n > maxTick {
			t.End = Stood
			return t
		}
		var s Sense
		e, expert := d.(*Expert)
		if expert {
			e.along = along
		}
		if !expert || seen != nil { // who knows the map need not look
			s = r.sense(&car, along)
		}
		u := d.Drive(&s)
		if seen != nil {
			seen(&s, u)
		}
		if expert {
			u = e.pulled(u)
		}
		car.move(u)
		if stood += tick; car.Speed > stallSpeed {
			stood = 0
		}
		end, ok := r.progress(&car, &along)
		if !ok {
			t.Path, t.End = append(t.Path, car.At), end
			return t
		}
	}
}

// progress moves along to where the car is now, and reports whether it may go on.
func (r *Road) progress(c *Car, along *float64) (End, bool) {
	for i := range r.Obstacles {
		if o := &r.Obstacles[i]; o.Centre.distance(c.At) < o.Radius+carRadius {
			return Collided, false
		}
	}
	off, at := r.nearest(c.At)
	const most = 5 * maxSpeed * tick // what comes back to the route elsewhere has not driven there
	switch {
	case off > HalfWidth:
		return LeftRoad, false
	case at >= 0 && math.Abs(at-*along) < most:
		*along = at
	case r.point(*along).distance(c.At) > 4*HalfWidth:
		return WrongWay, false
	}
	return 0, true
}
