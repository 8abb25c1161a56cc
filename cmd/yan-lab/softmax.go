package main

import (
	"math/rand/v2"

	"github.com/yanmesh/yan/model/kernel"
)

// A softmax is what heads are compared with: logistic regression on the same features by stochastic gradient
// descent. It has weights and no memory of what moved them.
type softmax struct {
	classes []string
	width   int
	weights []float32 // (width+1, classes), the last row a bias
	ws      *kernel.Workspace
}

const softmaxBatch = 32

func newSoftmax(width int, classes []string) *softmax {
	return &softmax{classes: classes, width: width, weights: make([]float32, (width+1)*len(classes)), ws: kernel.NewWorkspace()}
}

// learn goes over the samples once, in the order of at.
func (m *softmax) learn(s *samples, at []int, rate float64) {
	k, d := len(m.classes), m.width+1
	index := map[string]int{}
	for c, label := range m.classes {
		index[label] = c
	}
	x, g := make([]float32, softmaxBatch*d), make([]float32, softmaxBatch*k)
	for len(at) > 0 {
		n := min(softmaxBatch, len(at))
		for i, from := range at[:n] {
			copy(x[i*d:], s.row(from))
			x[i*d+d-1] = 1
		}
		kernel.Gemm(m.ws, g, k, x, d, 1, m.weights, k, 1, n, k, d, false)
		for i, from := range at[:n] {
			row := g[i*k : (i+1)*k]
			kernel.SoftmaxInPlace(row) // ∂L/∂z = p − y
			row[index[s.labels[from]]]--
			kernel.Scale(row, float32(-rate/float64(n)))
		}
		kernel.Gemm(m.ws, m.weights, k, x, 1, d, g, k, 1, d, k, n, true)
		at = at[n:]
	}
}

// right is the share of the samples that it is right about.
func (m *softmax) right(s *samples) float64 {
	k, n := len(m.classes), len(s.labels)
	out := make([]float32, n*k)
	kernel.Gemm(m.ws, out, k, s.x, m.width, 1, m.weights, k, 1, n, k, m.width, false)
	right := 0
	for i, label := range s.labels {
		row := out[i*k : (i+1)*k]
		kernel.Add(row, m.weights[m.width*k:])
		if m.classes[largest(row)] == label {
			right++
		}
	}
	return float64(right) / float64(n)
}

func largest(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// softmaxRate is the learning rate with which one pass over four fifths of the samples does best on the rest.
func softmaxRate(s *samples, classes []string, r *rand.Rand) float64 {
	order := r.Perm(len(s.labels))
	cut := len(order) * 4 / 5
	held := s.pick(order[cut:])
	best, most := 0.0, -1.0
	for _, rate := range []float64{0.01, 0.03, 0.1, 0.3, 1} {
		m := newSoftmax(s.width, classes)
		m.learn(s, order[:cut], rate)
		if share := m.right(held); share > most {
			best, most = rate, share
		}
	}
	return best
}
