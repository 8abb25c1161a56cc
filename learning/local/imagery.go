package local

import (
	"errors"
	"math"

	"github.com/yanmesh/yan/model/kernel"
)

// An Imagery turns what a net thinks back into pictures. It is solved from pictures whose answers are known, in closed form
// and without a gradient.
type Imagery struct {
	Pixels int
	Means  []float32 // (K, pixels) the mean picture of each class
	Maps   []float32 // (L, D+1, pixels) ridge regression from each layer's state, the last row a constant
}

// imageryRidge is how much is added to the second moments of a layer's state, whose numbers are about 1, for each example.
const imageryRidge = 0.02

// NewImagery solves an imagery from examples x (N, P, F) with their pictures (N, pixels) and labels. Every class needs one.
func NewImagery(n *Net, x, pictures []float32, labels []int) (*Imagery, error) {
	c := n.Config
	if len(labels) == 0 || len(pictures)%len(labels) != 0 {
		return nil, errors.New("local: imagery: as many pictures as labels are needed")
	}
	im := &Imagery{Pixels: len(pictures) / len(labels)}
	im.Means = make([]float32, c.Classes*im.Pixels)
	counts := make([]float32, c.Classes)
	for e, label := range labels {
		counts[label]++
		kernel.Add(im.mean(label), pictures[e*im.Pixels:(e+1)*im.Pixels])
	}
	for k, count := range counts {
		if count == 0 {
			return nil, errors.New("local: imagery: a class of which there is no picture")
		}
		kernel.Scale(im.mean(k), 1/count)
	}
	return im, im.solve(n, x, pictures, len(labels))
}

func (im *Imagery) mean(class int) []float32 {
	return im.Means[class*im.Pixels : (class+1)*im.Pixels]
}

// imageryBatch is how many examples are read at once to solve an imagery.
const imageryBatch = 64

// solve finds each layer's map M = (ZᵀZ + λI)⁻¹·ZᵀX for states Z and pictures X.
func (im *Imagery) solve(n *Net, x, pictures []float32, count int) error {
	c := n.Config
	d, size := c.Model.Width+1, c.Places*c.Features
	moments, sums := make([][]float32, c.Model.Layers), make([][]float32, c.Model.Layers)
	for i := range moments {
		moments[i], sums[i] = make([]float32, d*d), make([]float32, d*im.Pixels)
	}
	ws := kernel.NewWorkspace()
	var r Reading
	r.Tape.Lean = true
	z := make([]float32, imageryBatch*d)
	for from := 0; from < count; from += imageryBatch {
		b := min(imageryBatch, count-from)
		n.Read(x[from*size:(from+b)*size], &r)
		for i := range moments {
			states(z, r.States[i], b, d)
			kernel.Gemm(ws, moments[i], d, z, 1, d, z, d, 1, d, d, b, true)
			kernel.Gemm(ws, sums[i], im.Pixels, z, 1, d, pictures[from*im.Pixels:], im.Pixels, 1, d, im.Pixels, b, true)
		}
	}
	for i := range moments {
		m, err := ridge(moments[i], sums[i], d, imageryRidge*float64(count))
		if err != nil {
			return err
		}
		im.Maps = append(im.Maps, m...)
	}
	return nil
}

// states copies n states of d−1 numbers, each with a 1 behind it.
func states(dst, src []float32, n, d int) {
	for e := range n {
		copy(dst[e*d:], src[e*(d-1):(e+1)*(d-1)])
		dst[e*d+d-1] = 1
	}
}

// Expected is the picture that beliefs (K) make one expect: the mean pictures of the classes, each as far as it is believed.
func (im *Imagery) Expected(beliefs []float32) []float32 {
	out := make([]float32, im.Pixels)
	for k, p := range beliefs {
		kernel.Axpy(out, p, im.mean(k))
	}
	return out
}

// Seen is the picture that a layer's state (D) tells of, as well as a linear map can tell.
func (im *Imagery) Seen(layer int, state []float32) []float32 {
	d := len(state) + 1
	z := make([]float32, d)
	states(z, state, 1, d)
	out := make([]float32, im.Pixels)
	kernel.GemvT(out, im.Maps[layer*d*im.Pixels:(layer+1)*d*im.Pixels], im.Pixels, z)
	return out
}

// ridge solves (G + λI)·M = S by Cholesky, for G (d, d) and S (d, k).
func ridge(g, s []float32, d int, lambda float64) ([]float32, error) {
	l := make([]float64, d*d)
	for i := range d {
		for j := range i + 1 {
			v := float64(g[i*d+j])
			if i == j {
				v += lambda
			}
			for k := range j {
				v -= l[i*d+k] * l[j*d+k]
			}
			switch {
			case i != j:
				l[i*d+j] = v / l[j*d+j]
			case !(v > 0):
				return nil, errors.New("local: imagery: states that are no numbers")
			default:
				l[i*d+i] = math.Sqrt(v)
			}
		}
	}
	k := len(s) / d
	m, row := make([]float32, len(s)), make([]float64, d)
	for c := range k {
		for i := range d { // L·y = s
			v := float64(s[i*k+c])
			for j := range i {
				v -= l[i*d+j] * row[j]
			}
			row[i] = v / l[i*d+i]
		}
		for i := d - 1; i >= 0; i-- { // Lᵀ·m = y
			v := row[i]
			for j := i + 1; j < d; j++ {
				v -= l[j*d+i] * row[j]
			}
			row[i] = v / l[i*d+i]
			m[i*k+c] = float32(row[i])
		}
	}
	return m, nil
}
