// Package track is a small driving world: a road, a car on it, what the car senses, and one who can drive.
//
// A [Road] is drawn from a seed: straights, curves, junctions with side roads, and things that stand in the way. A [Car] is a
// bicycle that slips where it is driven too hard. [Sense] is what a driver gets: how far it is to the edge in a fan of directions, a
// small picture of what lies ahead, the speed, and which way the next junction is to be taken. [Expert] is a classical
// controller that knows the map, to learn from; [Drive] lets anyone drive and tells how far he came.
//
// Everything is a function of the seed and of what the driver does: no clock, no chance. Lengths are metres, times seconds, angles
// radians, counter-clockwise. The package knows nothing of minds.
package track

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// A Point is a place on the ground.
type Point struct{ X, Y float64 }

func (p Point) add(q Point) Point         { return Point{p.X + q.X, p.Y + q.Y} }
func (p Point) sub(q Point) Point         { return Point{p.X - q.X, p.Y - q.Y} }
func (p Point) times(f float64) Point     { return Point{p.X * f, p.Y * f} }
func (p Point) dot(q Point) float64       { return p.X*q.X + p.Y*q.Y }
func (p Point) length() float64           { return math.Hypot(p.X, p.Y) }
func (p Point) distance(q Point) float64  { return p.sub(q).length() }
func direction(angle float64) Point       { s, c := math.Sincos(angle); return Point{c, s} }
func (p Point) left() Point               { return Point{-p.Y, p.X} }
func between(p, q Point, f float64) Point { return p.add(q.sub(p).times(f)) }

const (
	// HalfWidth is how far the edge of every road is from its middle.
	HalfWidth = 4.0

	spacing    = 1.0  // between two points of a road's middle
	sideLength = 45.0 // of the roads that leave a junction
	announced  = 30.0 // before a junction, the car is told which way to take
	clearance  = 5 * HalfWidth
)

// A Turn is which way a junction is to be taken.
type Turn int

const (
	Right    Turn = -1
	Straight Turn = 0
	Left     Turn = 1
)

func (t Turn) String() string { return [...]string{"right", "straight on", "left"}[t+1] }

// A Junction is a place where other roads leave the route.
type Junction struct {
	At   float64 // along the route
	Turn Turn    // which way the route goes
}

// An Obstacle is something round that stands on the road.
type Obstacle struct {
	Centre Point
	Radius float64
	at     float64 // along the route
	side   float64 // from its middle, to the left
}

// A Road is the route to be driven, the roads that leave it, and what stands on it. It is not written once it is made.
type Road struct {
	Seed      uint64
	Route     []Point   // the middle, a point every metre
	Sides     [][]Point // the middles of other roads
	Junctions []Junction
	Obstacles []Obstacle

	headings []float64 // of the route at each of its points
	grid     map[[2]int][]piece
	field    field
}

// A piece is the part of a road's middle from one point to the next.
type piece struct {
	from, to Point
	at       float64 // along the route; negative on other roads
}

// Length is how long the route is.
func (r *Road) Length() float64 { return float64(len(r.Route)-1) * spacing }

// NewRoad draws a road of about that length. Equal seeds give equal roads.
func NewRoad(seed uint64, length float64) (*Road, error) {
	if !(length >= 100 && length <= 10_000) {
		return nil, fmt.Errorf("track: a road of %v m: must be from 100 to 10000", length)
	}
	const tries = 400 // most roads need a few: one that runs into itself is drawn anew
	rng := rand.New(rand.NewPCG(seed, 0x7261636b))
	for range tries {
		b := builder{rng: rng}
		if b.build(length) {
			r := &Road{Seed: seed, Route: b.route, Sides: b.sides, Junctions: b.junctions, headings: b.headings}
			r.index()
			r.place(rng)
			return r, nil
		}
	}
	return nil, fmt.Errorf("track: no road of %v m from seed %d in %d tries", length, seed, tries)
}

// A builder lays a route piece by piece.
type builder struct {
	rng       *rand.Rand
	route     []Point
	headings  []float64
	sides     [][]Point
	junctions []Junction
	heading   float64
}

func (b *builder) build(length float64) bool {
	b.route, b.headings = []Point{{}}, []float64{0}
	b.straight(30)
	for last := 0; float64(len(b.route)) < length; {
		kind := b.rng.IntN(4)
		if kind == last && kind == 0 {
			kind = 1 // no two junctions in a row
		}
		last = kind
		switch kind {
		case 0:
			b.junction()
		case 1:
			b.straight(15 + 35*b.rng.Float64())
		default:
			radius := 14 + 40*b.rng.Float64()*b.rng.Float64()
			b.curve(radius, (0.4+1.2*b.rng.Float64())*b.sign())
		}
	}
	b.straight(20)
	return b.clear()
}

func (b *builder) sign() float64 { return float64(2*b.rng.IntN(2) - 1) }

// step goes on by a metre, turning on the way.
func (b *builder) step(turn float64) {
	b.heading += turn / 2
	b.route = append(b.route, b.route[len(b.route)-1].add(direction(b.heading).times(spacing)))
	b.heading += turn / 2
	b.headings = append(b.headings, b.heading)
}

func (b *builder) straight(length float64) {
	for range int(length / spacing) {
		b.step(0)
	}
}

// curve turns by an angle. It begins and ends gently, as roads do: a wheel cannot be turned at once.
func (b *builder) curve(radius, angle float64) {
	const ease = 6 // metres in which the curvature comes and goes
	n := int(math.Abs(angle)*radius/spacing) + ease
	var total float64
	shape := make([]float64, n)
	for i := range shape {
		shape[i] = min(1, float64(i+1)/ease, float64(n-i)/ease)
		total += shape[i]
	}
	for _, s := range shape {
		b.step(angle * s / total)
	}
}

// junction lays a place where roads meet at right angles, of which the route takes one.
func (b *builder) junction() {
	b.straight(announced)
	turn := Turn(b.rng.IntN(3) - 1)
	b.junctions = append(b.junctions, Junction{At: float64(len(b.route)-1) * spacing, Turn: turn})
	const radius = 9.0
	middle := b.route[len(b.route)-1].add(direction(b.heading).times(radius))
	missing := Turn(b.rng.IntN(3) - 1) // a junction of three roads where it is not the one to take
	for _, t := range []Turn{Right, Straight, Left} {
		if t != turn && t != missing {
			b.sides = append(b.sides, side(middle, b.heading+float64(t)*math.Pi/2))
		}
	}
	if turn == Straight {
		b.straight(2 * radius)
	} else {
		b.curve(radius-2, float64(turn)*math.Pi/2)
	}
	b.straight(15)
}

func side(from Point, heading float64) []Point {
	var points []Point
	for s := 0.0; s <= sideLength; s += spacing {
		points = append(points, from.add(direction(heading).times(s)))
	}
	return points
}

// clear reports whether no road comes close to another, but where they meet.
func (b *builder) clear() bool {
	cells := map[[2]int][]int{}
	cell := func(p Point) [2]int {
		return [2]int{int(math.Floor(p.X / clearance)), int(math.Floor(p.Y / clearance))}
	}
	near := func(p Point, far func(i int) bool) bool {
		c := cell(p)
		for dx := -1; dx <= 1; dx++ {
			for dy := -1; dy <= 1; dy++ {
				for _, i := range cells[[2]int{c[0] + dx, c[1] + dy}] {
					if far(i) && b.route[i].distance(p) < clearance {
						return true
					}
				}
			}
		}
		return false
	}
	for i, p := range b.route {
		if near(p, func(j int) bool { return i-j > int(2.5*clearance/spacing) }) {
			return false
		}
		cells[cell(p)] = append(cells[cell(p)], i)
	}
	for _, s := range b.sides {
		for k, p := range s {
			if float64(k)*spacing > clearance+HalfWidth && near(p, func(int) bool { return true }) {
				return false
			}
		}
	}
	return true
}

const cellSize = 8.0

func cellOf(p Point) [2]int {
	return [2]int{int(math.Floor(p.X / cellSize)), int(math.Floor(p.Y / cellSize))}
}

// index enters every piece of road in the cells of a grid from which it may be seen as near.
func (r *Road) index() {
	r.grid = map[[2]int][]piece{}
	enter := func(points []Point, along bool) {
		for i := range len(points) - 1 {
			p := piece{from: points[i], to: points[i+1], at: -1}
			if along {
				p.at = float64(i) * spacing
			}
			c := cellOf(p.from)
			for dx := -1; dx <= 1; dx++ {
				for dy := -1; dy <= 1; dy++ {
					at := [2]int{c[0] + dx, c[1] + dy}
					r.grid[at] = append(r.grid[at], p)
				}
			}
		}
	}
	enter(r.Route, true)
	for _, s := range r.Sides {
		enter(s, false)
	}
	r.field = newField(append([][]Point{r.Route}, r.Sides...))
}

// place puts obstacles on the road, far from junctions and from one another, each to one side, so that there is a way past it.
func (r *Road) place(rng *rand.Rand) {
	for at := 60 + 60*rng.Float64(); at < r.Length()-40; at += 70 + 90*rng.Float64() {
		if r.nearJunction(at) || math.Abs(r.bend(at-15, at+15)) > 0.6 {
			continue
		}
		o := Obstacle{Radius: 0.6 + 0.5*rng.Float64(), at: at, side: float64(2*rng.IntN(2)-1) * (1.2 + 1.5*rng.Float64())}
		o.Centre = r.point(at).add(direction(r.heading(at)).left().times(o.side))
		r.Obstacles = append(r.Obstacles, o)
	}
}

func (r *Road) nearJunction(at float64) bool {
	for _, j := range r.Junctions {
		if at > j.At-announced && at < j.At+announced {
			return true
		}
	}
	return false
}

// point is where the middle of the route is, so far along it.
func (r *Road) point(at float64) Point {
	i, f := r.index1(at)
	return between(r.Route[i], r.Route[i+1], f)
}

func (r *Road) heading(at float64) float64 {
	i, f := r.index1(at)
	return r.headings[i] + (r.headings[i+1]-r.headings[i])*f
}

// bend is by how much the route turns from one place to another.
func (r *Road) bend(from, to float64) float64 { return r.heading(to) - r.heading(from) }

func (r *Road) index1(at float64) (i int, f float64) {
	at = max(0, min(at, r.Length()))
	i = min(int(at/spacing), len(r.Route)-2)
	return i, at/spacing - float64(i)
}

// nearest returns how far p is from the middle of the nearest road, and how far along the route it is; along is negative if p is on
// none of the route's pieces near enough.
func (r *Road) nearest(p Point) (off, along float64) {
	off, along = math.Inf(1), -1
	route := math.Inf(1)
	for _, s := range r.grid[cellOf(p)] {
		d := s.to.sub(s.from)
		f := max(0, min(1, p.sub(s.from).dot(d)/d.dot(d)))
		away := between(s.from, s.to, f).distance(p)
		off = min(off, away)
		if s.at >= 0 && away < route {
			route, along = away, s.at+f*spacing
		}
	}
	if route > HalfWidth {
		along = -1
	}
	return off, along
}
