package model

import (
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/sense"
)

// Who is called when a layer is done finds there what a tape of its own buffers holds, and more layers take no more memory.
func TestEachLayerIsSeenInSharedBuffers(t *testing.T) {
	var kept []int
	for _, layers := range []int{3, 6} {
		c := tinyConfig()
		c.Layers, c.ContextLayer = layers, 1
		m := testModel(t, c, 7)
		in := [][]sense.Event{noise(40, 7), noise(9, 8)}
		states := func() []*State { return []*State{m.NewState(), m.NewState()} }
		var full, lean Tape
		m.ForwardAll(states(), in, &full)
		seen := 0
		lean.Lean = true
		lean.Each = func(i int) {
			a, b := &full.Layers[i], &lean.Layers[i]
			for k, v := range [][2][]float32{{a.H, b.H}, {a.Y, b.Y}, {a.XS, b.XS}, {a.XD, b.XD}, {a.Mixed, b.Mixed}, {a.Base.Hid, b.Base.Hid},
				{full.Residual(i), lean.Residual(i)}, {full.Streams()[1].Layers[i].U, lean.Streams()[1].Layers[i].U}} {
				if len(v[0]) == 0 || !slices.Equal(v[0], v[1]) {
					t.Errorf("layer %d of %d: value %d differs", i, layers, k)
				}
			}
			if i != seen {
				t.Errorf("layer %d is seen after %d others", i, seen)
			}
			seen++
		}
		m.ForwardAll(states(), in, &lean)
		seen = 0
		m.ForwardAll(states(), in, &lean) // buffers that grow are shared from the next chunk on
		if seen != layers || !slices.Equal(full.Logits, lean.Logits) || !slices.Equal(full.Context, lean.Context) {
			t.Errorf("%d of %d layers seen, or other outputs", seen, layers)
		}
		kept = append(kept, full.Kept(), lean.Kept())
	}
	if kept[2] < kept[0]*3/2 {
		t.Errorf("3 and 6 layers keep %d and %d bytes: all of them were to be counted", kept[0], kept[2])
	}
	// But for how many sections the busiest layer chose.
	if kept[3] > kept[1]*102/100 || kept[1] > kept[0]/2 {
		t.Errorf("3 and 6 layers that share keep %d and %d bytes, %d apart", kept[1], kept[3], kept[0])
	}
}

// What is embedded already is read as the bytes would be.
func TestEmbeddedStandsForBytes(t *testing.T) {
	m := testModel(t, tinyConfig(), 5)
	d := m.Config.Width
	in := [][]sense.Event{noise(20, 5), noise(11, 6)}
	var bytes, given Tape
	for _, part := range in {
		for _, e := range part {
			given.Embedded = append(given.Embedded, m.Embed.F32[int(e.Byte)*d:(int(e.Byte)+1)*d]...)
		}
	}
	m.ForwardAll([]*State{m.NewState(), m.NewState()}, in, &bytes)
	blank := [][]sense.Event{make([]sense.Event, 20), make([]sense.Event, 11)}
	m.ForwardAll([]*State{m.NewState(), m.NewState()}, blank, &given)
	if !slices.Equal(bytes.Logits, given.Logits) {
		t.Error("the same input gives other outputs")
	}
	given.Embedded = given.Embedded[:20*d]
	m.Forward(m.NewState(), blank[0], &given)
	m.Forward(m.NewState(), in[0], &bytes)
	if !slices.Equal(bytes.Logits, given.Logits) {
		t.Error("the same input gives other outputs in one stream")
	}
}
