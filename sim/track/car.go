package track

import "math"

// The car.
const (
	wheelbase  = 2.6             // between its axles
	rear       = wheelbase / 2   // from its middle to the rear axle
	carRadius  = 0.9             // of the circle that must not touch anything
	maxSteer   = 0.55            // of the front wheels, to either side
	steerRate  = 2.5             // how fast they turn, a second
	maxSpeed   = 16.0            // a second
	power      = 4.0             // what full throttle adds to the speed, a second
	brakes     = 8.0             // what full brakes take of it
	drag       = 0.02            // share of the speed that the air takes, a second
	grip       = 7.0             // how much the tyres hold sideways, metres a second²
	tick       = 0.1             // between two decisions of the driver
	substeps   = 5               // of the physics in one of them
	substep    = tick / substeps // seconds
	stallSpeed = 0.3             // below it a car counts as standing
	stallTime  = 5.0             // after which one that stands has given up
	maxTick    = 60 * 60 / tick  // no drive lasts longer than an hour
)

// Tick is the time between two decisions of a driver, in seconds.
const Tick = tick

// A Control is what a driver does, each from −1 to 1: to the right or to the left; to brake or to speed up.
type Control struct{ Steer, Throttle float64 }

// A Car is a kinematic bicycle (Rajamani, Vehicle Dynamics and Control, §2.2) whose turning gives way where the tyres would have to hold more
// than they can.
type Car struct {
	At      Point
	Heading float64
	Speed   float64
	steer   float64 // of the front wheels now
}

// move goes on by one tick.
func (c *Car) move(u Control) {
	want := clamp(u.Steer) * maxSteer
	throttle := clamp(u.Throttle)
	for range substeps {
		c.steer += max(-steerRate*substep, min(steerRate*substep, want-c.steer))
		push := throttle * power
		if throttle < 0 {
			push = throttle * brakes
		}
		c.Speed = max(0, min(maxSpeed, c.Speed+(push-drag*c.Speed)*substep))
		slip := math.Atan(math.Tan(c.steer) * rear / wheelbase)
		yaw := c.Speed * math.Cos(slip) * math.Tan(c.steer) / wheelbase
		if side := c.Speed * yaw; side != 0 {
			yaw *= grip * math.Tanh(side/grip) / side
		}
		c.At = c.At.add(direction(c.Heading + slip).times(c.Speed * substep))
		c.Heading += yaw * substep
	}
}

// clamp keeps a control in its range; what is no number is none.
func clamp(v float64) float64 {
	if v != v {
		return 0
	}
	return max(-1, min(1, v))
}
