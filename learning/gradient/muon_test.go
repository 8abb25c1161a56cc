package gradient

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/model/kernel"
)

// singular returns the singular values of a matrix, by Jacobi rotations of its rows (one-sided, Hestenes 1958).
func singular(w []float32, rows, cols int) []float64 {
	if rows > cols {
		t := make([]float32, len(w))
		for i := range rows {
			for j := range cols {
				t[j*rows+i] = w[i*cols+j]
			}
		}
		w, rows, cols = t, cols, rows
	}
	a := make([][]float64, rows)
	for i := range a {
		a[i] = make([]float64, cols)
		for j := range a[i] {
			a[i][j] = float64(w[i*cols+j])
		}
	}
	for range 60 {
		for i := range a {
			for j := range i {
				p, q, r := dot(a[i], a[i]), dot(a[j], a[j]), dot(a[i], a[j])
				if math.Abs(r) < 1e-14*math.Sqrt(p*q) {
					continue
				}
				z := (q - p) / (2 * r)
				tan := math.Copysign(1, z) / (math.Abs(z) + math.Sqrt(1+z*z))
				c := 1 / math.Sqrt(1+tan*tan)
				s := c * tan
				for k := range a[i] {
					a[i][k], a[j][k] = c*a[i][k]-s*a[j][k], s*a[i][k]+c*a[j][k]
				}
			}
		}
	}
	values := make([]float64, rows)
	for i := range a {
		values[i] = math.Sqrt(dot(a[i], a[i]))
	}
	return values
}

// Whatever the shape and the singular values of a matrix, those of what is made of it are near 1, and its directions are the same: the
// product with the matrix has their sum for a trace.
func TestOrthogonal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	o := orthogonal{ws: kernel.NewWorkspace()}
	for _, shape := range [][2]int{{1, 7}, {7, 1}, {8, 8}, {4, 64}, {40, 6}, {32, 32}, {16, 80}} {
		rows, cols := shape[0], shape[1]
		g := make([]float32, rows*cols)
		for i := range g {
			g[i] = float32(r.NormFloat64() * math.Exp(float64(i%cols%3)))
		}
		var trace float64
		u := o.of(g, rows, cols)
		for i, v := range u {
			trace += float64(v) * float64(g[i])
		}
		var sum float64
		for _, s := range singular(g, rows, cols) {
			sum += s
		}
		if trace < 0.65*sum || trace > 1.25*sum {
			t.Errorf("%dx%d: a trace of %v, want about %v", rows, cols, trace, sum)
		}
		if rows == cols { // whose smallest singular values may be as small as they like
			continue
		}
		for _, s := range singular(u, rows, cols) {
			if s < 0.65 || s > 1.25 {
				t.Errorf("%dx%d: a singular value of %v", rows, cols, s)
			}
		}
	}
	if u := o.of(make([]float32, 12), 3, 4); slices.ContainsFunc(u, func(v float32) bool { return v != 0 }) {
		t.Error("of nothing something was made")
	}
}

// Every matrix moves by a multiple of something nearly orthogonal, as long as Adam's steps are; embedding, head and vectors move by Adam,
// and what no text touched not at all. With any number of threads it is the same.
func TestMuonStep(t *testing.T) {
	const rate = 0.01
	var first []float32
	for _, threads := range []int{1, 2} {
		m, a, grads := shards(t)
		o := NewMuon(0.95, AdamConfig{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8}, m)
		was := slices.Clone(m.Weights)
		other, _, same := shards(t)
		a.Config.Decay = 0
		a.Step(kernel.NewPool(1), other, same, rate, math.Inf(1))
		touched := [][]bool{}
		for i, of := range grads[0].Touched {
			touched = append(touched, slices.Clone(of))
			for s, on := range grads[1].Touched[i] {
				touched[i][s] = touched[i][s] || on
			}
		}
		pool := kernel.NewPool(threads)
		o.Step(pool, m, grads, rate, math.Inf(1))
		pool.Close()
		if first == nil {
			first = m.Weights
		} else if !slices.Equal(first, m.Weights) {
			t.Error("with two threads it is another step")
		}
		matrices, rested, layer := 0, 0, -1
		for _, tensor := range m.Tensors() {
			moved := make([]float32, tensor.Len())
			for i := range moved {
				moved[i] = (m.Weights[tensor.Off+i] - was[tensor.Off+i]) / rate
			}
			n := len(tensor.Shape)
			byAdam := n == 1 || tensor.Name == "embed" || tensor.Name == "head" || strings.HasSuffix(tensor.Name, "shift")
			if byAdam {
				if !slices.Equal(m.Weights[tensor.Off:tensor.Off+tensor.Len()], other.Weights[tensor.Off:tensor.Off+tensor.Len()]) {
					t.Errorf("%s is not where Adam moves it", tensor.Name)
				}
				continue
			}
			rows, cols := tensor.Shape[n-2], tensor.Shape[n-1]
			sections := strings.HasSuffix(tensor.Name, "sections")
			if sections {
				rows, layer = m.Config.Neurons, layer+1
			}
			for at := 0; at < len(moved); at += rows * cols {
				part := moved[at : at+rows*cols]
				if sections && !touched[layer][at/m.Config.SectionSize()] {
					rested++
					if slices.ContainsFunc(part, func(v float32) bool { return v != 0 }) {
						t.Fatalf("%s: section %d was not touched and moved", tensor.Name, at/m.Config.SectionSize())
					}
					continue
				}
				matrices++
				values := singular(part, rows, cols)
				unit := 0.2 * math.Sqrt(float64(max(rows, cols)))
				if top := slices.Max(values) / unit; top < 0.65 || top > 1.25 {
					t.Errorf("%s: a singular value of %v", tensor.Name, top)
				}
			}
		}
		if matrices < 20 || rested == 0 {
			t.Fatalf("%d matrices and %d at rest: the test sees less than it should", matrices, rested)
		}
	}
}
