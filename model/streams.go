package model

import "github.com/yanmesh/yan/model/sense"

// ForwardAll reads a chunk of each of several streams as Forward would, one after the other, and costs less: a section
// is computed for the events of all of them at once. In t, rows are the events of the first stream, then those of the
// second, and so on; [Tape.Streams] shows each stream's rows as a tape of its own. No chunk is empty.
func (m *Model) ForwardAll(states []*State, in [][]sense.Event, t *Tape) {
	n := 0
	for _, part := range in {
		n += len(part)
	}
	if n == 0 {
		t.N = 0
		return
	}
	t.prepare(m, n)
	for len(t.parts) < len(in) {
		t.parts = append(t.parts, &Tape{})
	}
	t.streams = t.parts[:len(in)]
	from := 0
	for k, part := range in {
		t.streams[k].view(m, t, from, from+len(part))
		t.streams[k].begin(m, states[k], part)
		from += len(part)
	}
	for i := range m.Layers {
		for k, part := range t.streams {
			m.mix(i, states[k], part)
			if i == m.Config.ContextLayer {
				m.context(states[k], part)
				m.open(states[k], part)
			}
		}
		m.sections(i, t, t.after(i))
		t.done(i)
	}
	for k, part := range t.streams {
		states[k].Events += uint64(part.N)
	}
	m.read(t)
}

// Streams lists the tapes of the streams that were read at once, t itself if there was one.
func (t *Tape) Streams() []*Tape { return t.streams }

// view makes t the rows from up to to of whole.
func (t *Tape) view(m *Model, whole *Tape, from, to int) {
	c := m.Config
	t.Dropout, t.Mask, t.ws, t.N = whole.Dropout, whole.Mask, whole.ws, to-from
	rows := func(s []float32, width int) []float32 {
		if len(s) == 0 {
			return nil
		}
		return s[from*width : to*width]
	}
	if len(t.Layers) != len(whole.Layers) {
		t.Layers = make([]LayerTape, len(whole.Layers))
	}
	for i := range t.Layers {
		l, w, d := &t.Layers[i], &whole.Layers[i], c.Width
		l.H, l.X, l.Mid, l.Y = rows(w.H, d), rows(w.X, d), rows(w.Mid, d), rows(w.Y, d)
		l.XU, l.XV, l.XF, l.XE = rows(w.XU, d), rows(w.XV, d), rows(w.XF, d), rows(w.XE, d)
		l.XS, l.XD = rows(w.XS, d), rows(w.XD, d)
		l.U, l.V, l.F, l.E = rows(w.U, d), rows(w.V, d), rows(w.F, d), rows(w.E, d)
		l.SV, l.SF, l.NE, l.Mixed = rows(w.SV, d), rows(w.SF, d), rows(w.NE, d), rows(w.Mixed, d)
		l.Mask1, l.Mask2 = rows(w.Mask1, d), rows(w.Mask2, d)
		l.InvAge, l.InvE = rows(w.InvAge, c.Channels), rows(w.InvE, c.Channels)
		l.Inv1, l.Inv2 = rows(w.Inv1, 1), rows(w.Inv2, 1)
		l.Prev = fit(l.Prev, d)
	}
	t.Embedded = rows(whole.Embedded, c.Width)
	t.branch = rows(whole.branch, c.Width)
	t.Context = rows(whole.Context, c.ContextSize())
	t.Need = rows(whole.Need, c.lastSize())
	t.Open = t.Open[:0]
	for _, open := range whole.Open {
		t.Open = append(t.Open, open[from:to])
	}
}
