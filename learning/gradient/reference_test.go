package gradient

import (
	"math"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// loss64 is the whole model once more, event by event in float64 and with nothing clever in it: what the
// float32 forward has to agree with, and what finite differences are taken of. Weights are read
// through w, so that a test may move any of them by very little.
func loss64(m *model.Model, w map[*float32]float64, stream []sense.Event, from int) float64 {
	at := func(s []float32, i int) float64 {
		if v, ok := w[&s[i]]; ok {
			return v
		}
		return float64(s[i])
	}
	c := m.Config
	d, ch := c.Width, c.Channels
	dc := d / ch
	norm := func(x []float64, gain []float32, eps float64) []float64 {
		var ss float64
		for _, v := range x {
			ss += v * v
		}
		r := 1 / math.Sqrt(ss/float64(len(x))+eps)
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = v * r
			if gain != nil {
				y[i] *= at(gain, i)
			}
		}
		return y
	}
	silu := func(x float64) float64 { return x / (1 + math.Exp(-x)) }
	type past struct {
		prev, slope, decay []float64
		age                []float64
	}
	states := make([]past, c.Layers)
	for i := range states {
		states[i] = past{make([]float64, d), make([]float64, d), make([]float64, d), make([]float64, ch)}
	}
	block := func(x []float64, wt []float32) []float64 {
		y := make([]float64, d)
		for k := range ch {
			for a := range dc {
				for b := range dc {
					y[k*dc+b] += x[k*dc+a] * at(wt, (k*dc+a)*dc+b)
				}
			}
		}
		return y
	}
	pool := func(h, y []float64, sections []float32, s, neurons int, gate float64) {
		size := 3 * neurons * d
		for j := range neurons {
			var a1, a3 float64
			for k := range d {
				a1 += at(sections, s*size+j*d+k) * y[k]
				a3 += at(sections, s*size+(neurons+j)*d+k) * y[k]
			}
			v := gate * silu(a1) * a3
			for k := range d {
				h[k] += v * at(sections, s*size+(2*neurons+j)*d+k)
			}
		}
	}
	sparsemax := func(z []float64) float64 {
		tau := math.Inf(-1)
		for {
			var sum, n float64
			for _, v := range z {
				if v > tau {
					sum, n = sum+v, n+1
				}
			}
			next := (sum - 1) / n
			if next <= tau {
				return tau
			}
			tau = next
		}
	}

	var loss float64
	for t := 0; t+1 < len(stream); t++ {
		h := make([]float64, d)
		for j := range d {
			h[j] = at(m.Embed.F32, int(stream[t].Byte)*d+j)
		}
		for i := range m.Layers {
			l, st := &m.Layers[i], &states[i]
			x := norm(h, l.Norm1, 1e-6)
			var in [4][]float64
			for k := range in {
				in[k] = make([]float64, d)
				for j := range d {
					in[k][j] = x[j]
					if !c.Plain {
						in[k][j] += at(l.Shift, k*d+j) * (st.prev[j] - x[j])
					}
				}
			}
			copy(st.prev, x)
			xs, xd := append([]float64(nil), st.slope...), append([]float64(nil), st.decay...)
			if t == 0 {
				xs, xd = in[1], in[3]
			}
			u, v, f, e := block(in[0], l.U.F32), block(xs, l.V.F32), block(in[2], l.F.F32), block(xd, l.E.F32)
			mixed := make([]float64, d)
			for k := range ch {
				ne := norm(e[k*dc:(k+1)*dc], nil, 1e-20)
				gamma := math.Exp(-math.Pow(2, -8*float64(k+1)/float64(ch)))
				alpha := 1 - math.Exp2(float64(-5-k))
				st.age[k] = 1 + float64(float32(gamma))*st.age[k]
				for j := k * dc; j < (k+1)*dc; j++ {
					mixed[j] = u[j]*silu(v[j]) + ne[j-k*dc]/(1+math.Exp(-f[j]))
					st.slope[j] += (in[1][j] - st.slope[j]) / st.age[k]
					st.decay[j] = float64(float32(alpha)) * (st.decay[j] + in[3][j])
				}
			}
			for j := range d {
				if !c.MixOut {
					h[j] += mixed[j]
					continue
				}
				for k := range d {
					h[j] += mixed[k] * at(l.Out.F32, k*d+j)
				}
			}

			y := norm(h, l.Norm2, 1e-6)
			q := make([]float64, c.KeyRank)
			for a := range d {
				for b := range q {
					q[b] += y[a] * at(l.Query.F32, a*c.KeyRank+b)
				}
			}
			z := make([]float64, c.Sections)
			for s := range z {
				for b := range q {
					z[s] += q[b] * at(l.Keys.F32, s*c.KeyRank+b)
				}
				z[s] = z[s]/math.Sqrt(float64(c.KeyRank)) + at(l.Bias, s)
			}
			floor := float64(c.Alpha) * sparsemax(z)
			if c.Demand != 0 {
				before := 0
				if t > 0 {
					before = int(stream[t-1].Byte)
				}
				floor -= float64(c.Demand) * float64(m.Demand.Open[before<<8|int(stream[t].Byte)])
			}
			for s, v := range z {
				if v > floor {
					pool(h, y, l.Sections.F32, s, c.Neurons, v-floor)
				}
			}
			for _, b := range m.Banks {
				bl := &b.Layers[i]
				if bl.Sections == nil || !b.Gate.Force {
					continue
				}
				u := make([]float64, b.Sections)
				for s := range u {
					for j := range d {
						u[s] += at(bl.Keys, s*d+j) * y[j]
					}
					u[s] /= math.Sqrt(float64(d))
				}
				tau := sparsemax(u)
				for s, v := range u {
					if v > tau {
						pool(h, y, bl.Sections, s, b.Neurons, 4*(v-tau))
					}
				}
			}
		}
		if t < from {
			continue
		}
		final := norm(h, m.Norm, 1e-6)
		logits := make([]float64, sense.Symbols)
		top := math.Inf(-1)
		for s := range logits {
			for j := range d {
				logits[s] += final[j] * at(m.Head.F32, s*d+j)
			}
			top = max(top, logits[s])
		}
		var sum float64
		for _, v := range logits {
			sum += math.Exp(v - top)
		}
		loss += math.Log(sum) + top - logits[stream[t+1].Byte]
	}
	return loss
}
