package model

import (
	"math"
	"slices"

	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

const (
	normEps = 1e-6
	// The decay branch's norm must not depend on the scale of E', so its epsilon only guards zero.
	decayEps = 1e-20
)

// Forward reads a chunk of events in the stream of s, which it carries on, and leaves in t what it
// computed: t.Logits holds for every event the log-odds of the byte that follows it.
//
//	h  = embed(event)
//	h += MCSD(RMSNorm(h))          what came before, O(1) an event
//	h += Sections(RMSNorm(h))      the few sections that the event itself chose
//	logits = RMSNorm(h) · Headᵀ
func (m *Model) Forward(s *State, in []sense.Event, t *Tape) {
	n := len(in)
	if n == 0 {
		t.N = 0
		return
	}
	t.prepare(m, n)
	t.self[0] = t
	t.streams = t.self[:]
	t.begin(m, s, in)
	for i := range m.Layers {
		m.mix(i, s, t)
		if i == m.Config.ContextLayer {
			m.context(s, t)
			if t.ContextOnly {
				s.Events += uint64(n)
				return
			}
			m.open(s, t)
		}
		m.sections(i, t, t.after(i))
		t.done(i)
	}
	s.Events += uint64(n)
	m.read(t)
}

// begin lets a chunk of the stream of s into the first layer.
func (t *Tape) begin(m *Model, s *State, in []sense.Event) {
	t.In, t.First = in, s.Events == 0
	t.need(m, s, in)
	d := m.Config.Width
	if t.Embedded != nil {
		copy(t.Layers[0].H, t.Embedded[:len(in)*d])
		return
	}
	for i, e := range in {
		m.Embed.Read(t.Layers[0].H[i*d:(i+1)*d], int(e.Byte)*d)
	}
}

// after is the residual stream that leaves layer i.
func (t *Tape) after(i int) []float32 {
	if i+1 < len(t.Layers) {
		return t.Layers[i+1].H
	}
	return t.H
}

// read makes what leaves the last layer into log-odds.
func (m *Model) read(t *Tape) {
	n, d := t.N, m.Config.Width
	for i := range n {
		t.FinalInv[i] = kernel.RMSNorm(t.Final[i*d:(i+1)*d], t.H[i*d:(i+1)*d], m.Norm, normEps)
	}
	rows, from := n, 0
	if t.LastOnly {
		rows, from = 1, n-1
	}
	t.Logits = fit(t.Logits, rows*sense.Symbols)
	kernel.Project(t.ws, t.Logits, sense.Symbols, t.Final[from*d:], d, m.Head, 1, d, rows, sense.Symbols, d, false)
}

// Step reads one event and returns the log-odds of the byte that follows it. They belong to s until its
// next Step. It allocates nothing after the first call.
func (m *Model) Step(s *State, e sense.Event) []float32 {
	if s.one == nil {
		s.one = &Tape{}
	}
	in := append(s.one.In[:0], e)
	m.Forward(s, in, s.one)
	return s.one.Logits
}

// mix is the token mixer, MCSD (yan-model.md §2; paper eqs. 14-20), in its state-is-trace form: what is
// averaged over time is the input of V and E, and the average is projected afterwards, which is the same
// since projections are linear and decays constant. Both averages are over the strict past.
//
//	out = U ⊙ SiLU(V')  +  sigmoid(F) ⊙ RMSNorm_Dc(E')
func (m *Model) mix(i int, s *State, t *Tape) {
	l, lt, st := &m.Layers[i], &t.Layers[i], &s.layers[i]
	n, d, ch := t.N, m.Config.Width, m.Config.Channels
	dc := d / ch

	for p := range n {
		r := p * d
		lt.Inv1[p] = kernel.RMSNorm(lt.X[r:r+d], lt.H[r:r+d], l.Norm1, normEps)
	}
	copy(lt.Prev, st.prev)
	if t.First {
		clear(lt.Prev)
	}
	if !m.Config.Plain {
		shift(lt, l.Shift, n, d)
	}
	copy(st.prev, lt.X[(n-1)*d:n*d])

	// Averages over the strict past, continued from the state.
	for c := range ch {
		slopeScan(lt, st, m.gamma[c], c, n, d, ch)
	}
	if n == 1 { // the scan of a single row, of all channels at once
		copy(lt.XD, st.decay)
		kernel.Add(st.decay, lt.XE)
		kernel.Mul(st.decay, st.decay, m.decays)
	} else {
		for c := range ch {
			kernel.DecayScan(lt.XD[c*dc:], lt.XE[c*dc:], d, n, st.decay[c*dc:(c+1)*dc], m.alpha[c])
		}
	}
	if t.First { // nothing is past yet: the first event reads itself
		copy(lt.XS[:d], lt.XV[:d])
		copy(lt.XD[:d], lt.XE[:d])
	}

	l.U.Blocks(t.ws, lt.U, lt.XU, d, n, d, dc)
	l.V.Blocks(t.ws, lt.V, lt.XS, d, n, d, dc)
	l.F.Blocks(t.ws, lt.F, lt.XF, d, n, d, dc)
	l.E.Blocks(t.ws, lt.E, lt.XD, d, n, d, dc)

	nd := n * d
	kernel.SiLU(lt.SV[:nd], lt.V[:nd])
	kernel.Sigmoid(lt.SF[:nd], lt.F[:nd])
	kernel.RMSNormBlocks(lt.NE[:nd], lt.E[:nd], lt.InvE[:n*ch], dc, decayEps)
	kernel.Mul(lt.Mixed[:nd], lt.U[:nd], lt.SV[:nd])
	kernel.MulAdd(lt.Mixed[:nd], lt.SF[:nd], lt.NE[:nd])

	out := lt.Mixed
	if m.Config.MixOut {
		kernel.Project(t.ws, t.branch, d, lt.Mixed, d, l.Out, d, 1, n, d, d, false)
		out = t.branch
	}
	copy(lt.Mid[:nd], lt.H[:nd])
	t.join(lt.Mid[:nd], out[:nd], lt.Mask1)
}

// join adds a branch to the residual stream, silencing some of it in training.
func (t *Tape) join(h, branch, mask []float32) {
	if t.Dropout == 0 {
		kernel.Add(h, branch)
		return
	}
	keep := 1 / (1 - t.Dropout)
	limit := uint16(t.Dropout * 65536)
	for i := 0; i < len(mask); i += 4 {
		bits := t.Mask.Uint64()
		for j := i; j < min(i+4, len(mask)); j++ {
			mask[j] = keep
			if uint16(bits) < limit {
				mask[j] = 0
			}
			bits >>= 16
		}
	}
	kernel.MulAdd(h, branch, mask)
}

// shift lets each projection read a learned mix of this input and the one before:
// x_P = x + μ_P ⊙ (x_before − x).
func shift(lt *LayerTape, mu []float32, n, d int) {
	before := lt.Prev
	for p := range n {
		r := p * d
		x := lt.X[r : r+d]
		for k, out := range [4][]float32{lt.XU[r : r+d], lt.XV[r : r+d], lt.XF[r : r+d], lt.XE[r : r+d]} {
			kernel.Blend(out, x, before, mu[k*d:(k+1)*d])
		}
		before = x
	}
}

// slopeScan averages channel c of XV over the strict past (paper eqs. 17-19):
// A = 1 + γA, then S += (x − S)/A.
func slopeScan(lt *LayerTape, st *layerState, gamma float32, c, n, d, ch int) {
	dc := d / ch
	age := st.age[c]
	for p := range n {
		age = 1 + float32(gamma*age)
		lt.InvAge[p*ch+c] = 1 / age
	}
	st.age[c] = age
	kernel.SlopeScan(lt.XS[c*dc:], lt.XV[c*dc:], d, n, st.slope[c*dc:(c+1)*dc], lt.InvAge[c:], ch)
}

// sections is the channel mixer: it routes every event to a few sections, computes each section for all
// of its events at once, and adds what they say to the residual stream.
func (m *Model) sections(i int, t *Tape, next []float32) {
	l, lt := &m.Layers[i], &t.Layers[i]
	c := m.Config
	n, d, r := t.N, c.Width, c.KeyRank

	for p := range n {
		o := p * d
		lt.Inv2[p] = kernel.RMSNorm(lt.Y[o:o+d], lt.Mid[o:o+d], l.Norm2, normEps)
	}
	kernel.Project(t.ws, lt.Q, r, lt.Y, d, l.Query, r, 1, n, r, d, false)
	kernel.Project(t.ws, lt.Z, c.Sections, lt.Q, r, l.Keys, 1, r, n, c.Sections, r, false)
	scale := float32(1 / math.Sqrt(float64(r)))
	rt := &lt.Base
	rt.begin(n)
	for p := range n {
		z := lt.Z[p*c.Sections : (p+1)*c.Sections]
		for k, b := range l.Bias {
			z[k] = float32(z[k]*scale) + b
		}
		lt.Tau[p] = sparsemax(z)
		floor := float32(c.Alpha * lt.Tau[p])
		if c.Demand != 0 {
			floor -= t.Need[p]
		}
		rt.threshold(z, floor, c.budget())
		rt.Off[p+1] = int32(len(rt.Sec))
	}
	rt.group(t, n, c.Sections)

	nd := n * d
	clear(t.branch[:nd])
	m.compute(t, rt, l.Sections, c.Neurons, lt.Y)
	for b, bank := range m.Banks {
		if bl := &bank.Layers[i]; bl.Sections != nil {
			m.routeBank(t, lt, b, bank, bl)
			m.compute(t, &lt.Banks[b], kernel.F32(bl.Sections), bank.Neurons, lt.Y)
		}
	}
	copy(next[:nd], lt.Mid[:nd])
	t.join(next[:nd], t.branch[:nd], lt.Mask2)
}

// sparsemax returns τ with Σ max(z−τ, 0) = 1 (Martins and Astudillo 2016), by Michelot's iteration from
// the values that can be in the support at all: those above max−1.
func sparsemax(z []float32) (tau float32) {
	tau = kernel.Max(z) - 1
	for {
		sum, k := kernel.Above(z, tau)
		next := (sum - 1) / float32(k)
		if !(next > tau) {
			return tau
		}
		tau = next
	}
}

func (r *Routes) begin(n int) {
	r.Off = fit(r.Off, n+1)
	r.Off[0] = 0
	r.Sec, r.Gate = r.Sec[:0], r.Gate[:0]
}

// threshold routes one event to every section whose score is above floor, the budget's worth of
// strongest ones at most; among equals the lower number wins.
func (r *Routes) threshold(z []float32, floor float32, budget int) {
	from := len(r.Sec)
	for k, v := range z {
		if v > floor {
			r.Sec = append(r.Sec, int32(k))
			r.Gate = append(r.Gate, v-floor)
		}
	}
	for len(r.Sec)-from > budget {
		gates := r.Gate[from:]
		least := 0
		for k, g := range gates {
			if g <= gates[least] {
				least = k
			}
		}
		r.Sec = slices.Delete(r.Sec, from+least, from+least+1)
		r.Gate = slices.Delete(r.Gate, from+least, from+least+1)
	}
}

// group sorts the routes by section, keeping the order of events within one.
func (r *Routes) group(t *Tape, n, sections int) {
	r.Start = fit(r.Start, sections+1)
	clear(r.Start)
	for _, s := range r.Sec {
		r.Start[s+1]++
	}
	for s := range sections {
		r.Start[s+1] += r.Start[s]
	}
	t.counts = append(t.counts[:0], r.Start[:sections]...)
	r.Tok, r.Ref = fit(r.Tok, len(r.Sec)), fit(r.Ref, len(r.Sec))
	for p := range n {
		for k := r.Off[p]; k < r.Off[p+1]; k++ {
			at := &t.counts[r.Sec[k]]
			r.Tok[*at], r.Ref[*at] = int32(p), k
			*at++
		}
	}
}

// compute adds Σ_s g_s·y_s to the branch, with y_s = Σ_j silu(⟨w1_sj,y⟩)·⟨w3_sj,y⟩·w2_sj.
func (m *Model) compute(t *Tape, r *Routes, weights kernel.Matrix, neurons int, y []float32) {
	d := m.Config.Width
	k := r.Len()
	r.Act, r.Hid = fit(r.Act, k*2*neurons), fit(r.Hid, k*neurons)
	size, apart := 3*neurons*d, kernel.Spaced(d)
	whole := false // whether gather holds every event
	// piece is the section of the route that comes first in section order; there is none behind the last.
	piece := func(route int) (s int, w13, w2 kernel.Matrix) {
		if route == k {
			return
		}
		s = int(r.Sec[r.Ref[route]])
		return s, weights.Slice(s*size, s*size+2*neurons*d), weights.Slice(s*size+2*neurons*d, (s+1)*size)
	}
	for from, to := 0, 0; from < k; from = to {
		s, w13, w2 := piece(from)
		to = int(r.Start[s+1])
		_, next13, next2 := piece(to)
		rows := to - from
		act, hid := r.Act[from*2*neurons:to*2*neurons], r.Hid[from*neurons:to*neurons]
		if rows == 1 {
			p := int(r.Tok[from])
			w13.Times(act, d, y[p*d:(p+1)*d], next13)
			kernel.SwiGLU(hid, act, neurons)
			t.gated = fit(t.gated, neurons)
			kernel.ScaleTo(t.gated, r.Gate[r.Ref[from]], hid)
			w2.AddTransposed(t.branch[p*d:(p+1)*d], d, t.gated, next2)
			continue
		}
		if rows < t.N || !whole {
			t.gather = fit(t.gather, rows*apart)
			for q, p := range r.Tok[from:to] {
				copy(t.gather[q*apart:][:d], y[int(p)*d:])
			}
			whole = rows == t.N
		}
		kernel.Project(t.ws, act, 2*neurons, t.gather, apart, w13, 1, d, rows, 2*neurons, d, false)
		kernel.SwiGLU(hid, act, neurons)
		t.gated = fit(t.gated, rows*neurons)
		for q := range rows {
			kernel.ScaleTo(t.gated[q*neurons:(q+1)*neurons], r.Gate[r.Ref[from+q]], hid[q*neurons:(q+1)*neurons])
		}
		if rows == t.N { // in their order: a section computed for every event
			kernel.Project(t.ws, t.branch, d, t.gated, neurons, w2, d, 1, rows, d, neurons, true)
			continue
		}
		t.scatter = fit(t.scatter, rows*d)
		kernel.Project(t.ws, t.scatter, d, t.gated, neurons, w2, d, 1, rows, d, neurons, false)
		for q, p := range r.Tok[from:to] {
			kernel.Add(t.branch[int(p)*d:int(p+1)*d], t.scatter[q*d:(q+1)*d])
		}
	}
}
