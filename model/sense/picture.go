package sense

import "math"

// A Picture encodes grey pictures of one size, patch by patch: how strongly the edges and strokes of
// each direction show in it. It is a layer of fixed filters with a rectifier and a pool, as in the first
// stage of a scattering network (Bruna and Mallat 2013): nothing in it is learnt, so what it says of a
// picture is the same on every device and at all times. It computes with whole numbers and roots
// alone, and is therefore the same to the bit.
//
// A Picture has scratch of its own and is not safe for concurrent use.
type Picture struct {
	rows, cols int
	high, wide int     // patches below and beside one another
	padded     []int32 // (rows+2·margin, cols+2·margin), the border repeated
	maps       []int32 // (directions, rows, cols)
}

const (
	patchSide   = 8 // pixels across a patch
	patchStride = 4 // pixels from one patch to the next
	margin      = 3 // pixels that a filter reaches beyond its centre
	filterSide  = 2*margin + 1
	edges       = 8 // directions of edges, one for each way from dark to bright
	strokes     = 4 // directions of strokes
	directions  = edges + strokes

	// patchQuiet is added to a patch's energy, in grey levels, before it is divided by it, so that what is nearly
	// flat is not blown up to noise.
	patchQuiet = 12
)

// patchWindow weighs the pixels of a patch along each side: less towards the border, where the next
// patch takes over.
var patchWindow = [patchSide]int64{1, 2, 3, 4, 4, 3, 2, 1}

// patchWeight is the sum of the window over a patch.
const patchWeight = 20 * 20

// filterUnit is the sum of the magnitudes of a filter's numbers.
const filterUnit = 1 << 12

// filters are derivatives of a Gaussian of one pixel: the first for the edges of half the directions (the
// others are their negatives), the second for strokes that are brighter than their sides.
var filters = func() (f [edges/2 + strokes][filterSide * filterSide]int32) {
	for k := range f {
		angle := 2 * math.Pi * float64(k%(edges/2)) / edges
		var w [filterSide * filterSide]float64
		var sum, mass float64
		for i := range w {
			y, x := float64(i/filterSide-margin), float64(i%filterSide-margin)
			u, v := x*math.Cos(angle)+y*math.Sin(angle), y*math.Cos(angle)-x*math.Sin(angle)
			w[i] = math.Exp(-(u*u + v*v) / 2)
			if k < edges/2 {
				w[i] *= u
			} else {
				w[i] *= 1 - u*u
			}
			sum += w[i] / float64(len(w))
		}
		for i := range w {
			w[i] -= sum // a flat picture has no edges
			mass += math.Abs(w[i])
		}
		for i := range w {
			f[k][i] = int32(math.RoundToEven(filterUnit * w[i] / mass))
		}
	}
	return f
}()

// NewPicture returns an encoder for pictures of so many rows and columns. Both must be at least 8: a smaller
// size is a bug of the caller.
func NewPicture(rows, cols int) *Picture {
	if rows < patchSide || cols < patchSide {
		panic("sense: a picture needs 8 rows and columns")
	}
	patches := func(n int) int { return (n-patchSide/2-1+(patchSide-patchStride)/2)/patchStride + 1 }
	return &Picture{
		rows: rows, cols: cols,
		high: patches(rows), wide: patches(cols),
		padded: make([]int32, (rows+2*margin)*(cols+2*margin)),
		maps:   make([]int32, directions*rows*cols),
	}
}

// Patches is how many patches a picture has: each is one event, row by row.
func (p *Picture) Patches() int { return p.high * p.wide }

// Width is how many features a patch has.
func (p *Picture) Width() int { return directions }

// Encode writes the features of a picture, (Patches, Width), each between 0 and 1, to dst. pixels are the
// rows of the picture, one after the other.
func (p *Picture) Encode(dst []float32, pixels []byte) {
	if len(pixels) != p.rows*p.cols || len(dst) != p.Patches()*directions {
		panic("sense: a picture of another size")
	}
	p.pad(pixels)
	for y := range p.rows {
		for x := range p.cols {
			p.filter(y, x)
		}
	}
	for i := range p.Patches() {
		top, left := p.corner(i)
		p.pool(dst[i*directions:(i+1)*directions], top, left)
	}
}

// corner is the first row and column of a patch. Those at the border reach beyond it by half a stride.
func (p *Picture) corner(patch int) (top, left int) {
	const out = (patchSide - patchStride) / 2
	return patch/p.wide*patchStride - out, patch%p.wide*patchStride - out
}

// pad copies the pixels, with the border repeated outwards.
func (p *Picture) pad(pixels []byte) {
	w := p.cols + 2*margin
	for y := range p.rows + 2*margin {
		from := pixels[min(max(y-margin, 0), p.rows-1)*p.cols:][:p.cols]
		for x := range w {
			p.padded[y*w+x] = int32(from[min(max(x-margin, 0), p.cols-1)])
		}
	}
}

// filter computes the maps of one pixel: an edge's response rises one way and falls the other, and each way
// is a direction of its own.
func (p *Picture) filter(y, x int) {
	var near [filterSide * filterSide]int32
	w := p.cols + 2*margin
	flat := true
	for j := range filterSide {
		copy(near[j*filterSide:], p.padded[(y+j)*w+x:][:filterSide])
	}
	for _, v := range near {
		flat = flat && v == near[0]
	}
	at, size := y*p.cols+x, p.rows*p.cols
	if flat {
		for k := range directions {
			p.maps[k*size+at] = 0
		}
		return
	}
	for k := range filters {
		var s int32 // at most 255·filterUnit
		for i, v := range near {
			s += v * filters[k][i]
		}
		if k < edges/2 {
			p.maps[k*size+at], p.maps[(edges/2+k)*size+at] = max(s, 0), max(-s, 0)
		} else {
			p.maps[(edges/2+k)*size+at] = max(s, 0)
		}
	}
}

// pool sums the maps over the patch whose corner is at (top, left), divides by the patch's own energy, so
// that contrast does not count, and takes the root, which brings weak and strong nearer (Arandjelović
// and Zisserman 2012).
func (p *Picture) pool(dst []float32, top, left int) {
	var sums [directions]int64
	size := p.rows * p.cols
	for j, wy := range patchWindow {
		y := top + j
		if y < 0 || y >= p.rows {
			continue
		}
		for i, wx := range patchWindow {
			x := left + i
			if x < 0 || x >= p.cols {
				continue
			}
			for k := range sums {
				sums[k] += wy * wx * int64(p.maps[k*size+y*p.cols+x])
			}
		}
	}
	var energy float64
	for _, s := range sums {
		v := float64(s) / (filterUnit * patchWeight) // in grey levels
		energy += float64(v * v)                     // the conversion keeps a compiler from fusing, for equal bits
	}
	whole := (math.Sqrt(energy) + patchQuiet) * (filterUnit * patchWeight)
	for k, s := range sums {
		dst[k] = float32(math.Sqrt(float64(s) / whole))
	}
}
