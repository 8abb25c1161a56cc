package model

import (
	"unsafe"

	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A Tape holds what one Forward computed: its outputs, and all that a backward pass or an explanation
// needs. Its slices belong to it and are overwritten by the next Forward. The zero value is ready.
type Tape struct {
	// Dropout is the share of a branch's features that Forward silences, drawn from Mask. It is zero
	// outside of training from scratch.
	Dropout float32
	Mask    interface{ Uint64() uint64 } // the source of chance; needed only when Dropout > 0

	// LastOnly has the logits of the last event alone computed, for reading a past that is known.
	LastOnly bool
	// ContextOnly stops Forward above the context layer's mixer: evidence is renewed, nothing is
	// predicted, and the state is good for nothing else from then on.
	ContextOnly bool

	// Lean has the layers share their buffers, which a long chunk then finds in the cache: nothing outlives Forward but
	// the logits, the evidence, the routes and what the last layer left. For reading without learning.
	Lean bool

	// Each, if not nil, is called when a layer is done, while all that it computed is there. With Lean, nothing but the
	// residual stream outlives that call: who learns in it needs no more memory for more layers.
	Each func(layer int)

	// Embedded is what enters the first layer in place of the embeddings of the events' bytes, (N, D), where another
	// sense than text is read. It belongs to the caller.
	Embedded []float32

	N        int           // events in the chunk
	In       []sense.Event // (N) the chunk; belongs to the caller
	First    bool          // whether the chunk begins its stream
	Layers   []LayerTape
	H        []float32 // (N, D) the residual stream that leaves the last layer
	FinalInv []float32 // (N) 1/rms of H
	Final    []float32 // (N, D) RMSNorm(H)
	Logits   []float32 // (N, 256), or (1, 256) with LastOnly

	// Open is how far each bank's gate was open at each event. (banks, N)
	Open [][]float32
	// Need is what each event's demand lowers the floor of its gates by. (N), empty without demand
	Need []float32
	// Context is the evidence after each event. (N, ContextSize)
	Context []float32

	streams []*Tape // self, or some of parts
	parts   []*Tape
	self    [1]*Tape

	ws      *kernel.Workspace
	branch  []float32 // (N, D)
	gather  []float32 // rows collected for one section
	scatter []float32
	gated   []float32
	scores  []float32
	counts  []int32
	share   []float64
}

// A LayerTape holds one layer's intermediate values. Rows are events.
type LayerTape struct {
	H    []float32 // (N, D) the residual stream that enters the layer
	Inv1 []float32 // (N) 1/rms of H
	X    []float32 // (N, D) n = RMSNorm(H), the mixer's input
	Prev []float32 // (D) the mixer's input before the chunk

	XU, XF []float32 // (N, D) what U and F read: X, or its mix with the previous input
	XV, XE []float32 // (N, D) what enters the slope and the decay average
	XS, XD []float32 // (N, D) the averages over the strict past: what V' and E' project
	InvAge []float32 // (N, C) 1/A_n after event n

	U, V, F, E []float32 // (N, D) projections; V and E are V' and E' of the paper
	SV, SF     []float32 // (N, D) SiLU(V'), sigmoid(F)
	NE         []float32 // (N, D) RMSNorm of E' in each channel
	InvE       []float32 // (N, C) 1/rms of E' in each channel
	Mixed      []float32 // (N, D) the mixer's output before Out
	Mask1      []float32 // (N, D) dropout of the mixer's branch, empty without

	Mid  []float32 // (N, D) the residual stream after the mixer
	Inv2 []float32 // (N)
	Y    []float32 // (N, D) RMSNorm(Mid), the sections' input
	Q    []float32 // (N, r) queries
	Z    []float32 // (N, S) scores with bias
	Tau  []float32 // (N) sparsemax threshold

	Base  Routes   // which base sections were computed, and how strongly they count
	Banks []Routes // the same for each bank

	Mask2 []float32 // (N, D)
}

// Routes says which sections of one pool were computed for which events, in two orders: by event, and
// by section, since a section is computed for all its events at once.
type Routes struct {
	Off  []int32   // (N+1) routes of event t are Off[t]..Off[t+1]
	Sec  []int32   // section of each route, by event
	Gate []float32 // gate of each route, by event

	Start []int32 // (S+1) routes of section s in section order are Start[s]..Start[s+1]
	Tok   []int32 // event of each route, by section
	Ref   []int32 // index by event of each route, by section

	Act []float32 // (routes by section, 2m) W1·y and W3·y
	Hid []float32 // (routes by section, m) silu(W1·y)·(W3·y)

	P   []float32 // banks: (N, Sb) in-bank sparsemax probabilities
	Mag []float32 // banks: (N) what multiplies P to give the gate
}

// Len is the number of routes.
func (r *Routes) Len() int { return len(r.Sec) }

// Kept is how many bytes the layers of the last Forward left behind or passed through, buffers that they share once: what
// a backward pass needs is all of it.
func (t *Tape) Kept() (bytes int) {
	seen := map[any]int{} // the most that was used of each buffer
	count := func(first any, size int) {
		if more := size - seen[first]; more > 0 {
			seen[first] = size
			bytes += 4 * more
		}
	}
	numbers := func(list ...[]float32) {
		for _, s := range list {
			count(unsafe.SliceData(s), len(s))
		}
	}
	routes := func(r *Routes) {
		for _, s := range [][]int32{r.Off, r.Sec, r.Start, r.Tok, r.Ref} {
			count(unsafe.SliceData(s), len(s))
		}
		numbers(r.Gate, r.Act, r.Hid, r.P, r.Mag)
	}
	for i := range t.Layers {
		l := &t.Layers[i]
		numbers(l.H, l.Inv1, l.X, l.XU, l.XF, l.XV, l.XE, l.XS, l.XD, l.InvAge, l.U, l.V, l.F, l.E, l.SV, l.SF, l.NE,
			l.InvE, l.Mixed, l.Mask1, l.Mid, l.Inv2, l.Y, l.Q, l.Z, l.Tau, l.Mask2)
		routes(&l.Base)
		for b := range l.Banks {
			routes(&l.Banks[b])
		}
	}
	numbers(t.H)
	return bytes
}

// fit gives s length n, growing its capacity when needed and leaving what it held undefined.
func fit[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, max(n, 2*cap(s))) // doubling: what varies from chunk to chunk settles soon
	}
	return s[:n]
}

// together has layer i use the buffers of the first one.
func (t *Tape) together(i int, c Config) {
	l := &t.Layers[i]
	own := *l
	*l = t.Layers[0]
	if i <= c.ContextLayer {
		l.XD = own.XD // evidence is gathered from several layers at once
	}
	switch {
	case t.Each == nil:
		own.Base.Act, own.Base.Hid = l.Base.Act, l.Base.Hid
		l.Base, l.Banks = own.Base, own.Banks
	case i%2 == 1: // what enters a layer is not yet overwritten when it is done
		l.H = own.H
		if i > 1 {
			l.H = t.Layers[1].H
		}
	}
}

// done tells who wants to know that layer i is done.
func (t *Tape) done(i int) {
	if t.Each == nil {
		return
	}
	t.Each(i)
	if t.Lean {
		t.Layers[(i+1)%len(t.Layers)].Base = t.Layers[i].Base // whose buffers may have grown
	}
}

// Residual is the residual stream that leaves a layer, (N, D). It belongs to the tape; with Lean it is there until the next
// layer is done.
func (t *Tape) Residual(layer int) []float32 { return t.after(layer) }

// prepare fits the tape to a chunk of n events of m.
func (t *Tape) prepare(m *Model, n int) {
	c := m.Config
	d := c.Width
	if t.ws == nil {
		t.ws = kernel.NewWorkspace()
	}
	t.N = n
	if len(t.Layers) != c.Layers {
		t.Layers = make([]LayerTape, c.Layers)
	}
	nd := n * d
	for i := range t.Layers {
		l := &t.Layers[i]
		if t.Lean && i > 0 {
			t.together(i, c)
		}
		for _, p := range []*[]float32{&l.H, &l.X, &l.XS, &l.XD, &l.U, &l.V, &l.F, &l.E, &l.SV, &l.SF, &l.NE, &l.Mixed, &l.Mid, &l.Y} {
			*p = fit(*p, nd)
		}
		if c.Plain {
			l.XU, l.XV, l.XF, l.XE = l.X, l.X, l.X, l.X
		} else {
			l.XU, l.XV, l.XF, l.XE = fit(l.XU, nd), fit(l.XV, nd), fit(l.XF, nd), fit(l.XE, nd)
		}
		if t.Dropout > 0 {
			l.Mask1, l.Mask2 = fit(l.Mask1, nd), fit(l.Mask2, nd)
		} else {
			l.Mask1, l.Mask2 = l.Mask1[:0], l.Mask2[:0]
		}
		l.Prev = fit(l.Prev, d)
		l.Inv1, l.Inv2, l.Tau = fit(l.Inv1, n), fit(l.Inv2, n), fit(l.Tau, n)
		l.InvAge, l.InvE = fit(l.InvAge, n*c.Channels), fit(l.InvE, n*c.Channels)
		l.Q, l.Z = fit(l.Q, n*c.KeyRank), fit(l.Z, n*c.Sections)
		if len(l.Banks) != len(m.Banks) {
			l.Banks = append(l.Banks[:0], make([]Routes, len(m.Banks))...)
		}
	}
	t.H, t.Final, t.branch = fit(t.H, nd), fit(t.Final, nd), fit(t.branch, nd)
	t.FinalInv = fit(t.FinalInv, n)
	t.Context = fit(t.Context, n*c.ContextSize())
	t.Need = fit(t.Need, n*c.lastSize())
	if len(t.Open) != len(m.Banks) {
		t.Open = append(t.Open[:0], make([][]float32, len(m.Banks))...)
	}
	for b := range t.Open {
		t.Open[b] = fit(t.Open[b], n)
	}
}
