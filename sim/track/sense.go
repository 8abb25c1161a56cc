package track

import "math"

// What the sensors see.
const (
	Ranges       = 13          // directions of the range sensors, from right to left
	rangeFan     = math.Pi     // from the first to the last
	MaxRange     = 40.0        // beyond it nothing is seen
	CameraWidth  = 24          // pixels, from left to right
	CameraHeight = 12          // from far to near
	cameraNear   = 2.0         // metres ahead of the lowest row
	cameraFar    = 35.0        // and of the highest
	cameraFan    = math.Pi / 2 // from its left to its right edge
	march        = 0.5         // step of a ray before it is halved
	lineWidth    = 0.7         // of the line in the middle, to be seen from afar
)

// A Sense is what a driver gets at each tick.
type Sense struct {
	Ranges [Ranges]float64                    // to the edge of the road or to what stands on it, MaxRange at most
	Camera [CameraHeight][CameraWidth]float64 // brightness from 0 to 1: grass, tar, what stands there, the line in the middle
	Speed  float64                            // a second
	Turn   Turn                               // which way the junction ahead is to be taken; straight on if none is near
	Ahead  float64                            // to that junction, as a share of where it is first told; 0 if none is near
}

// What is seen at a place.
type ground int

const (
	grass ground = iota
	tar
	thing
	line // in the middle of a road
)

var brightness = [...]float64{grass: 0.1, tar: 0.4, thing: 0.75, line: 1}

// near are the obstacles that can be seen from a place.
func (r *Road) near(p Point) (list []Obstacle) {
	for _, o := range r.Obstacles {
		if o.Centre.distance(p) < MaxRange+o.Radius {
			list = append(list, o)
		}
	}
	return list
}

// look tells what is at a place, where those things stand.
func (r *Road) look(p Point, things []Obstacle) ground {
	for i := range things {
		if things[i].Centre.distance(p) <= things[i].Radius {
			return thing
		}
	}
	switch off := r.field.at(p); {
	case off > HalfWidth:
		return grass
	case off < lineWidth/2:
		return line
	}
	return tar
}

// sense looks around from the car.
func (r *Road) sense(c *Car, along float64) (s Sense) {
	things := r.near(c.At)
	for i := range s.Ranges {
		angle := c.Heading + rangeFan*(float64(i)/(Ranges-1)-0.5)
		s.Ranges[i] = r.ray(c.At, direction(angle), things)
	}
	for row := range s.Camera {
		// Rows are evenly spread in the angle below the horizon, as through a lens: 1/distance is linear.
		f := float64(row) / (CameraHeight - 1)
		away := 1 / (1/cameraFar + f*(1/cameraNear-1/cameraFar))
		for column := range s.Camera[row] {
			angle := c.Heading + cameraFan*(0.5-(float64(column)+0.5)/CameraWidth)
			s.Camera[row][column] = brightness[r.look(c.At.add(direction(angle).times(away)), things)]
		}
	}
	s.Speed = c.Speed
	for _, j := range r.Junctions {
		if ahead := j.At - along; ahead < announced && ahead > -2*HalfWidth {
			s.Turn, s.Ahead = j.Turn, 1-max(0, ahead)/announced
		}
	}
	return s
}

// ray is how far it is from a place on the road to where one cannot drive, in a direction. Of what stands on the road it
// feels all that is in the cone between it and the rays beside it, as sonars do: nothing is lost between two rays.
func (r *Road) ray(from, to Point, things []Obstacle) float64 {
	most := MaxRange
	for _, o := range things {
		c := o.Centre.sub(from)
		away := c.length()
		if seen := math.Asin(min(1, o.Radius/away)) + rangeFan/(Ranges-1)/2; away <= o.Radius || math.Acos(max(-1, min(1, c.dot(to)/away))) < seen {
			most = min(most, max(0, away-o.Radius))
		}
	}
	blocked := func(d float64) bool { return r.field.at(from.add(to.times(d))) > HalfWidth }
	for d := march; d <= most; d += march {
		if blocked(d) {
			low, high := d-march, d
			for range 6 {
				if mid := (low + high) / 2; blocked(mid) {
					high = mid
				} else {
					low = mid
				}
			}
			return high
		}
	}
	return most
}

// Width is how many numbers Vector gives without the camera, and with it.
const (
	Width       = Ranges + 4
	WidthCamera = Width + CameraHeight*CameraWidth
)

// Vector appends what is sensed to dst as numbers from −1 to 1: the ranges, near ones large; the speed; the turn to the left, to the right,
// and how near the junction is; and with camera the picture, row by row.
func (s *Sense) Vector(dst []float32, camera bool) []float32 {
	for _, d := range s.Ranges {
		dst = append(dst, float32(1-2*math.Sqrt(d/MaxRange)))
	}
	var left, right float32
	switch s.Turn {
	case Left:
		left = 1
	case Right:
		right = 1
	}
	dst = append(dst, float32(2*s.Speed/maxSpeed-1), left, right, float32(s.Ahead))
	if camera {
		for _, row := range s.Camera {
			for _, v := range row {
				dst = append(dst, float32(2*v-1))
			}
		}
	}
	return dst
}
