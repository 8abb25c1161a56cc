package track

import (
	"math"
	"math/rand/v2"
)

// An Expert drives by pure pursuit (Coulter 1992): it steers for a point on the route some way ahead, moved aside where something stands,
// and goes as fast as the tyres allow in the sharpest bend that it could not brake for any more. It knows the map.
type Expert struct {
	// Disturb is how strongly the wheel is pulled out of the Expert's hands, as a standard deviation of Control.Steer. What is seen of it is
	// what it did about that: whoever learns from one that never strays does not learn to come back (Laskey et al. 2017, DART). If
	// zero, it is not.
	Disturb float64

	road  *Road
	car   *Car
	along float64
	rng   *rand.Rand
	pull  float64
}

const pullFades = 0.9 // of a pull from one tick to the next

// pulled is what becomes of a decision.
func (e *Expert) pulled(u Control) Control {
	e.pull = pullFades*e.pull + math.Sqrt(1-pullFades*pullFades)*e.Disturb*e.rng.NormFloat64()
	u.Steer += e.pull
	return u
}

const (
	lookBase     = 3.0  // metres ahead that the expert steers for, at least
	lookTime     = 0.45 // and seconds more
	comfort      = 4.5  // sideways metres a second² that it allows itself
	cruise       = 12.0 // the most it drives
	braking      = 4.0  // metres a second² that it plans with
	passingRoom  = 1.3  // between the car and what it passes
	passingAhead = 25.0 // metres before an obstacle where it begins to move aside
)

// Drive decides. It must be driven by Drive or Watch, which tell it where it is.
func (e *Expert) Drive(*Sense) Control {
	look := lookBase + lookTime*e.car.Speed
	at := e.along + look
	target := e.road.point(at).add(direction(e.road.heading(at)).left().times(e.aside(at)))
	to := target.sub(e.car.At)
	forward := direction(e.car.Heading)
	// The arc through the rear axle that is tangent to the car and meets the target: its curvature is 2y/d².
	curvature := 2 * to.dot(forward.left()) / max(to.dot(to), 1)
	steer := math.Atan(curvature*wheelbase) / maxSteer
	want := e.speed()
	return Control{Steer: clamp(steer), Throttle: clamp((want - e.car.Speed) * 0.8)}
}

// aside is how far to the left of the middle the line runs there.
func (e *Expert) aside(at float64) float64 {
	var line float64
	for i := range e.road.Obstacles {
		o := &e.road.Obstacles[i]
		if d := o.at - at; d < passingAhead && d > -8 {
			room := o.Radius + carRadius + passingRoom
			pass := o.side - room
			if o.side < 0 {
				pass = o.side + room
			}
			if (o.side > 0) == (line > pass) { // it would touch
				f := min(1, (passingAhead-max(d, 0))/10) * min(1, (8+min(d, 0))/4)
				line += (pass - line) * f
			}
		}
	}
	return max(-HalfWidth+1.2, min(HalfWidth-1.2, line))
}

// speed is the most that lets it slow down in time for every bend ahead.
func (e *Expert) speed() float64 {
	want := cruise
	for ahead := 0.0; ahead < 40; ahead += 2 {
		at := e.along + ahead
		bend := math.Abs(e.road.bend(at-2, at+2)) / 4
		bendSpeed := math.Sqrt(comfort / max(bend, 1e-3))
		want = min(want, math.Sqrt(bendSpeed*bendSpeed+2*braking*max(0, ahead-3)))
	}
	for i := range e.road.Obstacles {
		if d := e.road.Obstacles[i].at - e.along; d > -3 && d < 25 {
			want = min(want, 8)
		}
	}
	return want
}
