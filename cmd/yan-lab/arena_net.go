package main

import (
	"math"
	"math/rand/v2"

	"github.com/yanmesh/yan/model/kernel"
)

// A perceptron is a net of full layers with ReLU between them and a softmax on top: the 2NN of McMahan et al. (2017) when its
// widths are 784, 200, 200 and 10. Its parameters are one vector, so that all that is said of vectors holds for it.
type perceptron struct {
	widths []int

	ws     *kernel.Workspace
	acts   [][]float32 // of each layer, (example, unit)
	errors [][]float32
}

func newPerceptron(widths ...int) *perceptron {
	return &perceptron{widths: widths, ws: kernel.NewWorkspace(), acts: make([][]float32, len(widths)), errors: make([][]float32, len(widths))}
}

// size is the number of parameters: of each layer the weights, (input, unit), and then the biases.
func (p *perceptron) size() (n int) {
	for i, w := range p.widths[1:] {
		n += (p.widths[i] + 1) * w
	}
	return n
}

// start draws parameters as PyTorch does: uniformly, as far as the inverse root of the number of inputs.
func (p *perceptron) start(rng *rand.Rand) []float32 {
	x := kernel.Aligned(p.size())
	at := 0
	for i, w := range p.widths[1:] {
		bound := 1 / math.Sqrt(float64(p.widths[i]))
		for range (p.widths[i] + 1) * w {
			x[at] = float32(bound * (2*rng.Float64() - 1))
			at++
		}
	}
	return x
}

// forward computes the activations of n inputs, and of the last layer the logits.
func (p *perceptron) forward(x, inputs []float32, n int) []float32 {
	p.acts[0] = inputs
	at := 0
	for l, out := range p.widths[1:] {
		in := p.widths[l]
		w, b := x[at:at+in*out], x[at+in*out:at+(in+1)*out]
		at += (in + 1) * out
		h := room(&p.acts[l+1], n*out)
		for i := range n {
			copy(h[i*out:], b)
		}
		kernel.Gemm(p.ws, h, out, p.acts[l], in, 1, w, out, 1, n, out, in, true)
		if l+2 < len(p.widths) {
			for i, v := range h {
				h[i] = max(v, 0)
			}
		}
	}
	return p.acts[len(p.widths)-1]
}

// step is one step of gradient descent on the mean cross-entropy of examples.
func (p *perceptron) step(x, inputs []float32, labels []int, rate float32) {
	n, last := len(labels), len(p.widths)-1
	classes := p.widths[last]
	d := room(&p.errors[last], n*classes)
	copy(d, p.forward(x, inputs, n))
	for i, label := range labels {
		row := d[i*classes : (i+1)*classes]
		kernel.SoftmaxInPlace(row)
		row[label]--
	}
	at := len(x)
	for l := last; l > 0; l-- {
		in, out := p.widths[l-1], p.widths[l]
		at -= (in + 1) * out
		w, b := x[at:at+in*out], x[at+in*out:at+(in+1)*out]
		d := p.errors[l][:n*out]
		if l > 1 {
			below := room(&p.errors[l-1], n*in)
			kernel.Gemm(p.ws, below, in, d, out, 1, w, 1, out, n, in, out, false)
			for i, a := range p.acts[l-1][:n*in] {
				if a <= 0 {
					below[i] = 0
				}
			}
		}
		kernel.Scale(d, -rate/float32(n))
		kernel.Gemm(p.ws, w, out, p.acts[l-1], 1, in, d, out, 1, in, out, n, true)
		for i := range n {
			kernel.Add(b, d[i*out:(i+1)*out])
		}
	}
}

// test is the share of examples that are told right, and their mean cross-entropy when something is added to the logit of each
// class.
func (p *perceptron) test(x, inputs []float32, labels []int, bias []float32) (right, nats float64) {
	const chunk = 250
	in, classes := p.widths[0], p.widths[len(p.widths)-1]
	for from := 0; from < len(labels); from += chunk {
		n := min(chunk, len(labels)-from)
		logits := p.forward(x, inputs[from*in:(from+n)*in], n)
		for i, label := range labels[from : from+n] {
			row := logits[i*classes : (i+1)*classes]
			best := 0
			for c, v := range row {
				if v > row[best] {
					best = c
				}
			}
			if best == label {
				right++
			}
			for c, b := range bias {
				row[c] += b
			}
			mine := row[label]
			nats += float64(kernel.SoftmaxInPlace(row) - mine)
		}
	}
	return right / float64(len(labels)), nats / float64(len(labels))
}

// room makes sure that there is room for n numbers.
func room(buf *[]float32, n int) []float32 {
	if cap(*buf) < n {
		*buf = kernel.Aligned(n)
	}
	*buf = (*buf)[:n]
	return *buf
}
