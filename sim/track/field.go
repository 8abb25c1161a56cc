package track

import "math"

// A field is how far every place is from the middle of the nearest road, at the knots of a grid. A driver looks at a thousand places
// in each tick; between the knots a field is wrong by less than the width of a tyre.
type field struct {
	from          Point // the lowest corner
	width, height int
	far           []float32 // (height, width), fieldFar at most
}

const (
	fieldStep = 0.5 // between two knots
	fieldFar  = HalfWidth + 2
)

func newField(roads [][]Point) (f field) {
	low, high := Point{math.Inf(1), math.Inf(1)}, Point{math.Inf(-1), math.Inf(-1)}
	for _, road := range roads {
		for _, p := range road {
			low = Point{min(low.X, p.X), min(low.Y, p.Y)}
			high = Point{max(high.X, p.X), max(high.Y, p.Y)}
		}
	}
	f.from = low.sub(Point{fieldFar + 1, fieldFar + 1})
	f.width = int((high.X-low.X+2*fieldFar+2)/fieldStep) + 2
	f.height = int((high.Y-low.Y+2*fieldFar+2)/fieldStep) + 2
	f.far = make([]float32, f.width*f.height)
	for i := range f.far {
		f.far[i] = fieldFar
	}
	for _, road := range roads {
		for i := range len(road) - 1 {
			f.stamp(road[i], road[i+1])
		}
	}
	return f
}

// stamp enters the part of a road from p to q.
func (f *field) stamp(p, q Point) {
	d := q.sub(p)
	low := Point{min(p.X, q.X), min(p.Y, q.Y)}.sub(f.from)
	high := Point{max(p.X, q.X), max(p.Y, q.Y)}.sub(f.from)
	for y := int((low.Y - fieldFar) / fieldStep); y <= int((high.Y+fieldFar)/fieldStep)+1; y++ {
		for x := int((low.X - fieldFar) / fieldStep); x <= int((high.X+fieldFar)/fieldStep)+1; x++ {
			at := f.from.add(Point{float64(x) * fieldStep, float64(y) * fieldStep})
			along := max(0, min(1, at.sub(p).dot(d)/d.dot(d)))
			i := y*f.width + x
			f.far[i] = min(f.far[i], float32(between(p, q, along).distance(at)))
		}
	}
}

// at is how far a place is from the middle of the nearest road, or fieldFar.
func (f *field) at(p Point) float64 {
	p = p.sub(f.from).times(1 / fieldStep)
	if !(p.X >= 0 && p.Y >= 0 && p.X < float64(f.width-1) && p.Y < float64(f.height-1)) {
		return fieldFar
	}
	x, y := int(p.X), int(p.Y)
	fx, fy := p.X-float64(x), p.Y-float64(y)
	row, next := f.far[y*f.width+x:], f.far[(y+1)*f.width+x:]
	below := float64(row[0])*(1-fx) + float64(row[1])*fx
	above := float64(next[0])*(1-fx) + float64(next[1])*fx
	return below*(1-fy) + above*fy
}
