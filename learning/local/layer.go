package local

import (
	"math"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// A pass holds the buffers of the local gradients and counts what they cost.
type pass struct {
	ws             *kernel.Workspace
	dh             []float32 // (rows, D)
	du, dv, df, de []float32
	gather, mixed  []float32
	act, hid       []float32
	dhid, dact     []float32
	gate, dg       []float32
	some           []float32 // (examples, m) what a section's neurons came to in each example
	errs           []float32 // (examples, D) the errors of those examples
	dgate, dz, dq  []float32
	routes         []int32 // of a section: those that learn
	starts         []int   // where those of each example begin, and where the last ones end
	work           int64   // multiply-adds of products
}

// gemm is kernel.Gemm, counted.
func (p *pass) gemm(c []float32, ldc int, a []float32, ars, acs int, b []float32, brs, bcs int, m, n, k int, acc bool) {
	p.work += int64(m) * int64(n) * int64(k)
	kernel.Gemm(p.ws, c, ldc, a, ars, acs, b, brs, bcs, m, n, k, acc)
}

// layer adds to g what layer i of m learns, from the gradient of a loss by the mean of what leaves the layer over the
// places of each example: delta is (N, D), and the gradient by each single place is the same, delta/places. Examples
// that are not to be learnt from are left out.
//
// What enters the layer counts as given, and so does what either branch of it hears of the other: both join the residual
// stream, on which the error arrives. Therefore nothing is carried back through any weight but a section's W2, and
// since the error is one for all of an example's places, that is done once for each example and section, as is the
// gradient of W2. The gains and the shift, which would need what is not computed, stay as they are.
func (p *pass) layer(m *model.Model, t *model.Tape, i, places int, delta []float32, learn []bool, g *gradient.Grad) {
	if p.ws == nil {
		p.ws = kernel.NewWorkspace()
	}
	d := m.Config.Width
	p.dh = fit(p.dh, t.N*d)
	for e, yes := range learn {
		for k := range places {
			row := p.dh[(e*places+k)*d:][:d]
			if yes {
				kernel.ScaleTo(row, 1/float32(places), delta[e*d:(e+1)*d])
			}
		}
	}
	from := 0
	for e := range len(learn) + 1 { // runs of examples that are learnt from
		if e < len(learn) && learn[e] {
			continue
		}
		if from < e {
			p.mixer(m, t, i, from*places, e*places, g)
		}
		from = e + 1
	}
	p.sections(m, t, i, places, learn, g)
}

// mixer adds the gradient of the mixer by the events from up to to.
func (p *pass) mixer(m *model.Model, t *model.Tape, i, from, to int, g *gradient.Grad) {
	c, lt, gl := m.Config, &t.Layers[i], &g.Base.Layers[i]
	d, dc := c.Width, c.Width/c.Channels
	n := to - from
	rows := func(s []float32) []float32 { return s[from*d : to*d] }
	dm := rows(p.dh)
	if c.MixOut {
		p.gemm(gl.Out.F32, d, rows(lt.Mixed), 1, d, dm, d, 1, d, d, n, true)
		p.mixed = fit(p.mixed, n*d)
		p.gemm(p.mixed, d, dm, d, 1, m.Layers[i].Out.F32, 1, d, n, d, d, false)
		dm = p.mixed[:n*d]
	}
	for _, b := range []*[]float32{&p.du, &p.dv, &p.df, &p.de} {
		*b = fit(*b, n*d)
	}
	// out = U ⊙ SiLU(V') + sigmoid(F) ⊙ RMSNorm(E'); the averages that V' and E' project are the traces of the past.
	kernel.MixBack(p.du, p.dv, p.df, p.de, dm, rows(lt.U), rows(lt.V), rows(lt.SV), rows(lt.SF), rows(lt.NE))
	kernel.RMSNormBlocksBack(p.de[:n*d], p.de, rows(lt.E), lt.InvE[from*c.Channels:to*c.Channels], dc)
	for _, w := range []struct{ dw, x, dy []float32 }{
		{gl.U.F32, rows(lt.XU), p.du}, {gl.V.F32, rows(lt.XS), p.dv}, {gl.F.F32, rows(lt.XF), p.df}, {gl.E.F32, rows(lt.XD), p.de},
	} {
		for k := range c.Channels {
			p.gemm(w.dw[k*dc*dc:(k+1)*dc*dc], dc, w.x[k*dc:], 1, d, w.dy[k*dc:], d, 1, dc, dc, n, true)
		}
	}
}

// sections adds the gradient of the sections, and of the keys and queries that choose them.
func (p *pass) sections(m *model.Model, t *model.Tape, i, places int, learn []bool, g *gradient.Grad) {
	rt := &t.Layers[i].Base
	p.dgate = fit(p.dgate, rt.Len())
	clear(p.dgate)
	for s := range m.Config.Sections {
		p.section(m, t, i, s, places, learn, g)
	}
	p.keys(m, t, i, places, learn, g)
}

// section adds the gradient of one section and leaves in p.dgate how the loss moves with its gates.
func (p *pass) section(m *model.Model, t *model.Tape, i, s, places int, learn []bool, g *gradient.Grad) {
	c := m.Config
	d, neurons, size := c.Width, c.Neurons, c.SectionSize()
	rows, examples := p.collect(c, &t.Layers[i], s, places, learn)
	if rows == 0 {
		return
	}
	w2 := m.Layers[i].Sections.F32[s*size+2*neurons*d : (s+1)*size]
	dw := g.Base.Layers[i].Sections.F32[s*size : (s+1)*size]
	if !g.Touched[i][s] {
		clear(dw)
		g.Touched[i][s] = true
	}
	p.dhid, p.dact = fit(p.dhid, rows*neurons), fit(p.dact, rows*2*neurons)
	p.gemm(p.some, neurons, p.errs, d, 1, w2, 1, d, examples, neurons, d, false)
	for e := range examples {
		for q := p.starts[e]; q < p.starts[e+1]; q++ {
			copy(p.dhid[q*neurons:], p.some[e*neurons:(e+1)*neurons])
		}
	}
	kernel.SwiGLUBack(p.dact, p.dg, p.dhid, p.act[:rows*2*neurons], p.hid[:rows*neurons], p.gate[:rows], neurons)
	for q, k := range p.routes {
		p.dgate[k] = p.dg[q]
	}
	for e := range examples { // dhid holds the gated hidden values now
		sum := p.some[e*neurons : (e+1)*neurons]
		clear(sum)
		for q := p.starts[e]; q < p.starts[e+1]; q++ {
			kernel.Add(sum, p.dhid[q*neurons:(q+1)*neurons])
		}
	}
	p.gemm(dw[2*neurons*d:], d, p.some, 1, neurons, p.errs, d, 1, neurons, d, examples, true)
	p.gemm(dw[:2*neurons*d], d, p.dact, 1, 2*neurons, p.gather, d, 1, 2*neurons, d, rows, true)
}

// collect brings together what section s computed for the events that learn, example by example, as they come: their
// inputs in p.gather, what became of them in p.act, p.hid and p.gate, and the errors of the examples in p.errs. It returns
// how many events and examples those are.
func (p *pass) collect(c model.Config, lt *model.LayerTape, s, places int, learn []bool) (rows, examples int) {
	rt, d, neurons := &lt.Base, c.Width, c.Neurons
	from, to := int(rt.Start[s]), int(rt.Start[s+1])
	most := to - from
	p.gather, p.errs, p.some = fit(p.gather, most*d), fit(p.errs, most*d), fit(p.some, most*neurons)
	p.act, p.hid = fit(p.act, most*2*neurons), fit(p.hid, most*neurons)
	p.gate, p.dg = fit(p.gate, most), fit(p.dg, most)
	p.routes, p.starts = p.routes[:0], p.starts[:0]
	last := -1
	for at := from; at < to; at++ {
		event := int(rt.Tok[at])
		if !learn[event/places] {
			continue
		}
		if event/places != last {
			last = event / places
			copy(p.errs[examples*d:][:d], p.dh[event*d:][:d])
			p.starts = append(p.starts, rows)
			examples++
		}
		copy(p.gather[rows*d:][:d], lt.Y[event*d:][:d])
		copy(p.act[rows*2*neurons:][:2*neurons], rt.Act[at*2*neurons:])
		copy(p.hid[rows*neurons:][:neurons], rt.Hid[at*neurons:])
		p.gate[rows] = rt.Gate[rt.Ref[at]]
		p.routes = append(p.routes, rt.Ref[at])
		rows++
	}
	p.starts = append(p.starts, rows)
	return rows, examples
}

// keys adds the gradient of keys and queries: g_s = [z_s − α·τ]₊ with z_s = ⟨k_s, W_q·n⟩/√r, and τ's derivative is shared
// by its support (learning.md 6.3). Most scores have none, so products are taken score by score.
func (p *pass) keys(m *model.Model, t *model.Tape, i, places int, learn []bool, g *gradient.Grad) {
	c, l, lt, gl := m.Config, &m.Layers[i], &t.Layers[i], &g.Base.Layers[i]
	s, r, d := c.Sections, c.KeyRank, c.Width
	scale := float32(1 / math.Sqrt(float64(r)))
	p.dz, p.dq = fit(p.dz, s), fit(p.dq, places*r)
	for e, yes := range learn {
		if !yes {
			continue
		}
		clear(p.dq)
		for k := range places {
			q := e*places + k
			p.scores(lt, q, c)
			query, dq := lt.Q[q*r:(q+1)*r], p.dq[k*r:(k+1)*r]
			for sec, dz := range p.dz {
				if dz != 0 {
					kernel.Axpy(dq, dz*scale, l.Keys.F32[sec*r:(sec+1)*r])
					kernel.Axpy(gl.Keys.F32[sec*r:(sec+1)*r], dz*scale, query)
					p.work += int64(2 * r)
				}
			}
		}
		p.gemm(gl.Query.F32, r, lt.Y[e*places*d:], 1, d, p.dq, r, 1, d, r, places, true)
	}
}

// scores leaves in p.dz how the loss moves with the scores of event q.
func (p *pass) scores(lt *model.LayerTape, q int, c model.Config) {
	clear(p.dz)
	var sum float32
	for k := lt.Base.Off[q]; k < lt.Base.Off[q+1]; k++ {
		p.dz[lt.Base.Sec[k]] = p.dgate[k]
		sum += p.dgate[k]
	}
	if c.Alpha == 0 {
		return
	}
	z, support := lt.Z[q*c.Sections:(q+1)*c.Sections], 0
	for _, v := range z {
		if v > lt.Tau[q] {
			support++
		}
	}
	for k, v := range z {
		if v > lt.Tau[q] {
			p.dz[k] -= c.Alpha * sum / float32(support)
		}
	}
}
