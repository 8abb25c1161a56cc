// Package gradient is the backward pass: one function beside each step of model.Forward, in the
// opposite order, each checked against finite differences.
//
// A [Grad] has the shape of what it is the gradient of, a [Pass] holds the buffers of a backward pass,
// and [Adam] and [RMSprop] turn gradients into steps. Sections that a chunk did not activate cost
// nothing: they get no gradient, no moment and no step. The package is pure and takes no decision
// about what should be learned.
package gradient

import (
	"math"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A Grad is the gradient of a loss with respect to a base, to banks, or to both.
type Grad struct {
	Base    *model.Model // tensors shaped as the base's; nil if the base does not learn
	Touched [][]bool     // (L, S) which base sections have a gradient; what stands in the others means nothing

	Banks []*model.Bank // one for each of the model's banks; nil entries do not learn
}

// NewGrad returns a zero gradient with respect to m's base.
func NewGrad(c model.Config) (*Grad, error) {
	b, err := model.New(c)
	if err != nil {
		return nil, err
	}
	g := &Grad{Base: b, Touched: make([][]bool, c.Layers)}
	for i := range g.Touched {
		g.Touched[i] = make([]bool, c.Sections)
	}
	return g, nil
}

// CrossEntropy writes the gradient of weight·Σ −ln p(next) into dlogits and returns the unweighted sum
// of the losses in nats. logits is (N, 256) and next holds the N bytes that came.
func CrossEntropy(dlogits, logits []float32, next []sense.Event, weight float32) (nats float64) {
	const v = sense.Symbols
	for p, e := range next {
		row := dlogits[p*v : (p+1)*v]
		copy(row, logits[p*v:(p+1)*v])
		target := row[e.Byte]
		nats += float64(kernel.SoftmaxInPlace(row) - target)
		row[e.Byte]--
	}
	kernel.Scale(dlogits[:len(next)*v], weight)
	return nats
}

// A Pass holds the buffers of a backward pass. The zero value is ready; it belongs to one goroutine.
type Pass struct {
	ws                     *kernel.Workspace
	dh, dy, dbr            []float32 // (N, D)
	du, dv, df, de         []float32 // (N, D)
	dxu, dxs, dxf, dxd     []float32 // (N, D)
	dxv, dxe               []float32 // (N, D)
	dz, dq                 []float32
	gather, delta, scatter []float32
	dhid, dact, dgate      []float32
	gate, dg               []float32
	mu, row, before        []float32
	given                  bool // what enters the sections: nothing is carried back to it
}

func fit(s []float32, n int) []float32 {
	if cap(s) < n {
		return kernel.Aligned(n)
	}
	return s[:n]
}

// Backward adds to g the gradient of the loss whose gradient by t's logits is dlogits. t is the tape of
// m's last Forward over the chunk, or ForwardAll over several. The past before a chunk counts as given.
func (p *Pass) Backward(m *model.Model, t *model.Tape, dlogits []float32, g *Grad) {
	dh := p.Below(m, t, p.Top(m, t.H, t.Final, t.FinalInv, dlogits, g), g)
	if g.Base == nil {
		return
	}
	d := m.Config.Width
	for _, part := range t.Streams() {
		for _, e := range part.In {
			kernel.Add(g.Base.Embed.F32[int(e.Byte)*d:(int(e.Byte)+1)*d], dh[:d])
			dh = dh[d:]
		}
	}
}

// prepare fits the buffers to n events.
func (p *Pass) prepare(n, d int) {
	if p.ws == nil {
		p.ws = kernel.NewWorkspace()
	}
	for _, b := range []*[]float32{&p.dh, &p.dy, &p.dbr, &p.du, &p.dv, &p.df, &p.de, &p.dxu, &p.dxs, &p.dxf, &p.dxd, &p.dxv, &p.dxe} {
		*b = fit(*b, n*d)
	}
}

// Top returns the gradient by h, (N, D), of a loss whose gradient is dlogits by logits = Final·Headᵀ with
// Final = RMSNorm(h) and inv = 1/rms of h, and adds to g what the head learns. It belongs to the pass until its next use.
func (p *Pass) Top(m *model.Model, h, final, inv, dlogits []float32, g *Grad) (dh []float32) {
	n, d := len(inv), m.Config.Width
	const v = sense.Symbols
	p.prepare(n, d)
	kernel.Project(p.ws, p.dy, d, dlogits, v, m.Head, d, 1, n, d, v, false)
	var dnorm []float32
	if g.Base != nil {
		kernel.Gemm(p.ws, g.Base.Head.F32, d, dlogits, 1, v, final, d, 1, v, d, n, true)
		dnorm = g.Base.Norm
	}
	clear(p.dh)
	p.normBack(p.dh, dnorm, p.dy, h, m.Norm, inv, n, d)
	return p.dh
}

// Below adds to g the gradient of a loss whose gradient by what leaves the last layer is dh, (N, D), and returns its
// gradient by what enters the first, which belongs to the pass until its next use. If the base does not learn there is none.
func (p *Pass) Below(m *model.Model, t *model.Tape, dh []float32, g *Grad) (dinput []float32) {
	p.prepare(t.N, m.Config.Width)
	d := m.Config.Width
	copy(p.dh, dh)

	// Below the lowest layer in which something learns there is nothing to find out.
	floor := 0
	if g.Base == nil {
		floor = m.Config.ContextLayer
	}
	for i := len(m.Layers) - 1; i >= floor; i-- {
		p.sectionsBack(m, i, t, g)
		if g.Base == nil && i == floor {
			return nil
		}
		dh := p.dh
		for _, part := range t.Streams() {
			p.mixBack(m, i, part, dh[:part.N*d], g)
			dh = dh[part.N*d:]
		}
	}
	return p.dh
}

// Bank adds to g the gradient of the sections that the banks have in one layer, of a loss whose gradient by what leaves
// that layer is dh, (N, D). What enters the sections counts as given: nothing is carried back any further.
func (p *Pass) Bank(m *model.Model, t *model.Tape, layer int, dh []float32, g *Grad) {
	n, d := t.N, m.Config.Width
	p.prepare(n, d)
	p.given = true
	for b, bank := range m.Banks {
		bl := &bank.Layers[layer]
		if bl.Sections != nil && b < len(g.Banks) && g.Banks[b] != nil && t.Layers[layer].Banks[b].Len() > 0 {
			p.bankBack(bank, bl, &g.Banks[b].Layers[layer], &t.Layers[layer].Banks[b], t.Layers[layer].Y, dh, n, d)
		}
	}
	p.given = false
}

// normBack is the derivative of y = x·r·gain with r = 1/sqrt(mean x² + ε), row by row:
// dx += r·(gain⊙dy) − x·r³/D·⟨x, gain⊙dy⟩ and dgain += dy⊙x·r. It spends dy.
func (p *Pass) normBack(dx, dgain, dy, x, gain, inv []float32, n, d int) {
	if dgain == nil { // the base does not learn
		p.row = fit(p.row, d)
		dgain = p.row
	}
	for q := range n {
		kernel.RMSNormBack(dx[q*d:(q+1)*d], dgain, dy[q*d:(q+1)*d], x[q*d:(q+1)*d], gain, inv[q])
	}
}

// branchBack returns the gradient of a branch that joined the residual stream.
func (p *Pass) branchBack(dh, mask []float32) []float32 {
	if len(mask) == 0 {
		return dh
	}
	kernel.Mul(p.dbr[:len(dh)], dh, mask)
	return p.dbr[:len(dh)]
}

// sectionsBack takes dh from behind layer i's sections to before them.
func (p *Pass) sectionsBack(m *model.Model, i int, t *model.Tape, g *Grad) {
	c, l, lt := m.Config, &m.Layers[i], &t.Layers[i]
	n, d, s, r := t.N, c.Width, c.Sections, c.KeyRank
	dbr := p.branchBack(p.dh, lt.Mask2)
	clear(p.dy)

	var dsec, dkeys, dquery []float32
	var touched []bool
	if g.Base != nil {
		gl := &g.Base.Layers[i]
		dsec, dkeys, dquery, touched = gl.Sections.F32, gl.Keys.F32, gl.Query.F32, g.Touched[i]
	}
	p.poolBack(&lt.Base, l.Sections, dsec, touched, lt.Y, dbr, c.Neurons, s, d)

	// Gates: g_s = [z_s − α·τ]₊, and τ's derivative is shared by its support (learning.md 6.3).
	p.dz = fit(p.dz, n*s)
	clear(p.dz)
	for q := range n {
		row, z := p.dz[q*s:(q+1)*s], lt.Z[q*s:(q+1)*s]
		var sum float32
		for k := lt.Base.Off[q]; k < lt.Base.Off[q+1]; k++ {
			row[lt.Base.Sec[k]] = p.dgate[k]
			sum += p.dgate[k]
		}
		if c.Alpha > 0 {
			support := 0
			for _, v := range z {
				if v > lt.Tau[q] {
					support++
				}
			}
			shared := c.Alpha * sum / float32(support)
			for k, v := range z {
				if v > lt.Tau[q] {
					row[k] -= shared
				}
			}
		}
	}
	kernel.Scale(p.dz, float32(1/math.Sqrt(float64(r))))
	p.dq = fit(p.dq, n*r)
	kernel.Project(p.ws, p.dq, r, p.dz, s, l.Keys, r, 1, n, r, s, false)
	if g.Base != nil {
		kernel.Gemm(p.ws, dkeys, r, p.dz, 1, s, lt.Q, r, 1, s, r, n, true)
		kernel.Gemm(p.ws, dquery, r, lt.Y, 1, d, p.dq, r, 1, d, r, n, true)
	}
	kernel.Project(p.ws, p.dy, d, p.dq, r, l.Query, 1, r, n, d, r, true)

	for b, bank := range m.Banks {
		bl := &bank.Layers[i]
		if bl.Sections == nil || lt.Banks[b].Len() == 0 {
			continue
		}
		var gb *model.BankLayer
		if b < len(g.Banks) && g.Banks[b] != nil {
			gb = &g.Banks[b].Layers[i]
		}
		p.bankBack(bank, bl, gb, &lt.Banks[b], lt.Y, dbr, n, d)
	}

	var dnorm []float32
	if g.Base != nil {
		dnorm = g.Base.Layers[i].Norm2
	}
	p.normBack(p.dh, dnorm, p.dy, lt.Mid, l.Norm2, lt.Inv2, n, d)
}

// poolBack is the derivative of the computed sections of one pool: it adds to dy and dsec, and leaves
// in p.dgate, for each route by event, how the loss moves with its gate.
func (p *Pass) poolBack(rt *model.Routes, weights kernel.Matrix, dsec []float32, touched []bool, y, dbr []float32, neurons, sections, d int) {
	p.dgate = fit(p.dgate, rt.Len())
	size, apart := 3*neurons*d, kernel.Spaced(d)
	all := len(dbr) / d
	whole := false // whether gather and delta hold every event
	for s := range sections {
		from, to := int(rt.Start[s]), int(rt.Start[s+1])
		if from == to {
			continue
		}
		rows := to - from
		w13 := weights.Slice(s*size, s*size+2*neurons*d)
		w2 := weights.Slice(s*size+2*neurons*d, (s+1)*size)
		if rows < all || !whole {
			p.gather, p.delta = fit(p.gather, rows*apart), fit(p.delta, rows*apart)
			for q, e := range rt.Tok[from:to] {
				copy(p.gather[q*apart:][:d], y[int(e)*d:])
				copy(p.delta[q*apart:][:d], dbr[int(e)*d:])
			}
			whole = rows == all
		}
		p.dhid = fit(p.dhid, rows*neurons)
		p.dact = fit(p.dact, rows*2*neurons)
		kernel.Project(p.ws, p.dhid, neurons, p.delta, apart, w2, 1, d, rows, neurons, d, false)
		p.gate, p.dg = fit(p.gate, rows), fit(p.dg, rows)
		for q, k := range rt.Ref[from:to] {
			p.gate[q] = rt.Gate[k]
		}
		kernel.SwiGLUBack(p.dact, p.dg, p.dhid, rt.Act[from*2*neurons:to*2*neurons], rt.Hid[from*neurons:to*neurons], p.gate, neurons)
		for q, k := range rt.Ref[from:to] {
			p.dgate[k] = p.dg[q]
		}
		if dsec != nil {
			add := true
			if touched != nil {
				add, touched[s] = touched[s], true
			}
			dw := dsec[s*size : (s+1)*size]
			// dhid holds the gated hidden values now.
			kernel.Gemm(p.ws, dw[2*neurons*d:], d, p.dhid, 1, neurons, p.delta, apart, 1, neurons, d, rows, add)
			kernel.Gemm(p.ws, dw[:2*neurons*d], d, p.dact, 1, 2*neurons, p.gather, apart, 1, 2*neurons, d, rows, add)
		}
		if p.given {
			continue
		}
		if rows == all { // in their order: a section computed for every event
			kernel.Project(p.ws, p.dy, d, p.dact, 2*neurons, w13, d, 1, rows, d, 2*neurons, true)
			continue
		}
		p.scatter = fit(p.scatter, rows*d)
		kernel.Project(p.ws, p.scatter, d, p.dact, 2*neurons, w13, d, 1, rows, d, 2*neurons, false)
		for q, e := range rt.Tok[from:to] {
			kernel.Add(p.dy[int(e)*d:int(e+1)*d], p.scatter[q*d:(q+1)*d])
		}
	}
}

// bankBack is the derivative of an open bank. How far it is open counts as given.
func (p *Pass) bankBack(bank *model.Bank, bl, gb *model.BankLayer, rt *model.Routes, y, dbr []float32, n, d int) {
	var dsec []float32
	if gb != nil {
		dsec = gb.Sections
	}
	p.poolBack(rt, kernel.F32(bl.Sections), dsec, nil, y, dbr, bank.Neurons, bank.Sections, d)

	// gate = mag·p with p = sparsemax(u): du = dp − mean of dp over the support.
	sb := bank.Sections
	p.dz = fit(p.dz, n*sb)
	clear(p.dz)
	for q := range n {
		from, to := rt.Off[q], rt.Off[q+1]
		if from == to {
			continue
		}
		var mean float32
		for k := from; k < to; k++ {
			mean += p.dgate[k]
		}
		mean /= float32(to - from)
		for k := from; k < to; k++ {
			p.dz[q*sb+int(rt.Sec[k])] = rt.Mag[q] * (p.dgate[k] - mean)
		}
	}
	kernel.Scale(p.dz, float32(1/math.Sqrt(float64(d))))
	if gb != nil {
		kernel.Gemm(p.ws, gb.Keys, d, p.dz, 1, sb, y, d, 1, sb, d, n, true)
	}
	if !p.given {
		kernel.Project(p.ws, p.dy, d, p.dz, sb, kernel.F32(bl.Keys), d, 1, n, d, sb, true)
	}
}

// mixBack takes dh, the rows of one stream, from behind layer i's mixer to before it (yan-model.md §2, backward).
func (p *Pass) mixBack(m *model.Model, i int, t *model.Tape, dh []float32, g *Grad) {
	c, l, lt := m.Config, &m.Layers[i], &t.Layers[i]
	n, d, ch := t.N, c.Width, c.Channels
	dc := d / ch
	nd := n * d
	var gl *model.Layer
	if g.Base != nil {
		gl = &g.Base.Layers[i]
	}

	dm := p.branchBack(dh, lt.Mask1)
	if c.MixOut {
		if gl != nil {
			kernel.Gemm(p.ws, gl.Out.F32, d, lt.Mixed, 1, d, dm, d, 1, d, d, n, true)
		}
		kernel.Project(p.ws, p.dy, d, dm, d, l.Out, 1, d, n, d, d, false)
		dm = p.dy
	}

	// out = U ⊙ SiLU(V') + sigmoid(F) ⊙ RMSNorm(E')
	kernel.MixBack(p.du, p.dv, p.df, p.de, dm[:nd], lt.U, lt.V, lt.SV, lt.SF, lt.NE)
	kernel.RMSNormBlocksBack(p.de[:nd], p.de, lt.E, lt.InvE, dc)

	for k := range ch {
		o, w := k*dc, k*dc*dc
		back := func(dx, dy []float32, weights kernel.Matrix, dweights, x []float32) {
			kernel.Project(p.ws, dx[o:], d, dy[o:], d, weights.Slice(w, w+dc*dc), 1, dc, n, dc, dc, false)
			if dweights != nil {
				kernel.Gemm(p.ws, dweights[w:w+dc*dc], dc, x[o:], 1, d, dy[o:], d, 1, dc, dc, n, true)
			}
		}
		var gu, gv, gf, ge []float32
		if gl != nil {
			gu, gv, gf, ge = gl.U.F32, gl.V.F32, gl.F.F32, gl.E.F32
		}
		back(p.dxu, p.du, l.U, gu, lt.XU)
		back(p.dxs, p.dv, l.V, gv, lt.XS)
		back(p.dxf, p.df, l.F, gf, lt.XF)
		back(p.dxd, p.de, l.E, ge, lt.XD)
	}

	// Averages over the strict past, in reverse.
	clear(p.dxv[:nd])
	clear(p.dxe[:nd])
	if t.First { // the first event read itself
		copy(p.dxv[:d], p.dxs[:d])
		copy(p.dxe[:d], p.dxd[:d])
		clear(p.dxs[:d])
		clear(p.dxd[:d])
	}
	p.mu = fit(p.mu, d)
	clear(p.mu)
	for k := range ch {
		kernel.SlopeScanBack(p.dxv[k*dc:], p.dxs[k*dc:], d, n, p.mu[k*dc:(k+1)*dc], lt.InvAge[k:], ch)
	}
	clear(p.mu)
	for k := range ch {
		kernel.DecayScanBack(p.dxe[k*dc:], p.dxd[k*dc:], d, n, p.mu[k*dc:(k+1)*dc], m.Decay(k))
	}

	// The four branches read X, or its mix with the input before. dx goes to p.dy.
	if c.Plain {
		copy(p.dy[:nd], p.dxu)
		kernel.Add(p.dy[:nd], p.dxf)
		kernel.Add(p.dy[:nd], p.dxv)
		kernel.Add(p.dy[:nd], p.dxe)
	} else {
		var dmu []float32
		if gl != nil {
			dmu = gl.Shift
		}
		p.shiftBack(lt, l.Shift, dmu, n, d)
	}
	var dnorm []float32
	if gl != nil {
		dnorm = gl.Norm1
	}
	p.normBack(dh, dnorm, p.dy, lt.H, l.Norm1, lt.Inv1, n, d)
}

// shiftBack is the derivative of x_P = x + μ_P ⊙ (x_before − x) for the four branches. The input before the chunk is
// given: what it gets goes nowhere.
func (p *Pass) shiftBack(lt *model.LayerTape, mu, dmu []float32, n, d int) {
	clear(p.dy[:n*d])
	p.before, p.row = fit(p.before, d), fit(p.row, d)
	for k, dx := range [4][]float32{p.dxu, p.dxv, p.dxf, p.dxe} {
		w, dw := mu[k*d:(k+1)*d], p.row
		if dmu != nil {
			dw = dmu[k*d : (k+1)*d]
		}
		before, into := lt.Prev, p.before
		for q := range n {
			x, out := lt.X[q*d:(q+1)*d], p.dy[q*d:(q+1)*d]
			kernel.BlendBack(out, into, dw, dx[q*d:(q+1)*d], x, before, w)
			before, into = x, out
		}
	}
}
