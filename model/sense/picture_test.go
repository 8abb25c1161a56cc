package sense

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// ring draws a bright ring that is thicker on one side, so that no two directions are alike in it.
func ring(rows, cols int) []byte {
	px := make([]byte, rows*cols)
	for i := range px {
		y, x := float64(i/cols)-float64(rows)/2+0.5, float64(i%cols)-float64(cols)/2+0.5
		d := math.Hypot(y, x*1.2)
		px[i] = byte(max(0, 250-60*math.Abs(d-float64(rows)/3)+8*y+3*x)) % 251
	}
	return px
}

func picture(rows, cols int, px []byte) []float32 {
	p := NewPicture(rows, cols)
	f := make([]float32, p.Patches()*p.Width())
	p.Encode(f, px)
	return f
}

func TestPictureSizes(t *testing.T) {
	for _, tt := range []struct{ rows, cols, patches int }{{28, 28, 49}, {8, 8, 4}, {30, 40, 70}, {28, 20, 35}, {9, 11, 6}} {
		if p := NewPicture(tt.rows, tt.cols); p.Patches() != tt.patches || p.Width() != 12 {
			t.Errorf("%d×%d: %d patches of %d", tt.rows, tt.cols, p.Patches(), p.Width())
		}
		f := picture(tt.rows, tt.cols, ring(tt.rows, tt.cols))
		if slices.Max(f) > 1 || slices.Min(f) < 0 || slices.Max(f) < 0.3 {
			t.Errorf("%d×%d: features from %v to %v", tt.rows, tt.cols, slices.Min(f), slices.Max(f))
		}
	}
}

// A flat picture says nothing, however bright it is.
func TestPictureFlat(t *testing.T) {
	for _, grey := range []byte{0, 1, 128, 255} {
		if f := picture(28, 28, slices.Repeat([]byte{grey}, 28*28)); slices.Max(f) != 0 {
			t.Errorf("grey %d has features up to %v", grey, slices.Max(f))
		}
	}
}

// An edge shows in its own direction, brighter one way or the other; a stroke in its own.
func TestPictureDirections(t *testing.T) {
	const n = 28
	draw := func(grey func(y, x int) bool) []byte {
		px := make([]byte, n*n)
		for i := range px {
			if grey(i/n, i%n) {
				px[i] = 200
			}
		}
		return px
	}
	strongest := func(f []float32, from, to int) int {
		middle := f[24*directions:][:directions] // of the patch in the middle
		best := from
		for k := from; k < to; k++ {
			if middle[k] > middle[best] {
				best = k
			}
		}
		return best
	}
	for k, grey := range []func(y, x int) bool{
		func(y, x int) bool { return x >= 14 }, func(y, x int) bool { return x+y >= 27 },
		func(y, x int) bool { return y >= 14 }, func(y, x int) bool { return y-x >= 0 },
		func(y, x int) bool { return x < 14 }, func(y, x int) bool { return x+y < 27 },
		func(y, x int) bool { return y < 14 }, func(y, x int) bool { return y-x < 0 },
	} {
		if got := strongest(picture(n, n, draw(grey)), 0, edges); got != k {
			t.Errorf("the edge in direction %d shows in %d", k, got)
		}
	}
	for k, grey := range []func(y, x int) bool{
		func(y, x int) bool { return x == 13 || x == 14 }, func(y, x int) bool { return x+y == 27 || x+y == 26 },
		func(y, x int) bool { return y == 13 || y == 14 }, func(y, x int) bool { return x == y || x == y+1 },
	} {
		if got := strongest(picture(n, n, draw(grey)), edges, directions); got != edges+k {
			t.Errorf("the stroke across direction %d shows in %d", k, got-edges)
		}
	}
}

// A picture turned by a quarter has its patches turned, and their directions, to the bit.
func TestPictureTurned(t *testing.T) {
	const n = 28
	px := ring(n, n)
	turned := make([]byte, n*n)
	for i, v := range px {
		turned[i%n*n+n-1-i/n] = v // (y, x) to (x, n−1−y)
	}
	a, b := picture(n, n, px), picture(n, n, turned)
	for i := range 49 {
		j := i%7*7 + 6 - i/7
		for k := range directions {
			to := (k + 2) % edges // what rose to the right rises downwards
			if k >= edges {
				to = edges + (k-edges+2)%strokes
			}
			if a[i*directions+k] != b[j*directions+to] {
				t.Fatalf("patch %d, direction %d: %v, turned %v", i, k, a[i*directions+k], b[j*directions+to])
			}
		}
	}
}

// Contrast and brightness do not count.
func TestPictureContrast(t *testing.T) {
	px := ring(28, 28)
	pale := make([]byte, len(px))
	for i, v := range px {
		pale[i] = 60 + v/2
	}
	a, b := picture(28, 28, px), picture(28, 28, pale)
	var far, long float64
	for i := range a {
		far += float64(a[i]-b[i]) * float64(a[i]-b[i])
		long += float64(a[i]) * float64(a[i])
	}
	if math.Sqrt(far/long) > 0.2 {
		t.Errorf("at half the contrast it is %.2f away", math.Sqrt(far/long))
	}
}

// What a picture's features are is the same on every machine and at all times: what devices have summed up
// depends on it.
func TestPictureStays(t *testing.T) {
	h := fnv.New64a()
	r := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		px := make([]byte, 30*40)
		for i := range px { // whole numbers alone
			y, x := i/40, i%40
			px[i] = byte((7*y*y+3*x*y+5*x)/16%200 + r.IntN(30))
		}
		for _, v := range picture(30, 40, px) {
			bits := math.Float32bits(v)
			h.Write([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
		}
	}
	const want = 0xb7a3d65503e57ca8
	if got := h.Sum64(); got != want {
		t.Errorf("the features sum up to %#x, want %#x", got, uint64(want))
	}
}
