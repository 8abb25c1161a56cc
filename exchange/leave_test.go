package exchange

import (
	"slices"
	"testing"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// Who leaves a mesh holds nothing any more of what others said there, not their updates and not what a central said of them; its own
// stays.
func TestLeave(t *testing.T) {
	w := swarm(3)
	w.offer("a", "music", 100, 0)
	w.offer("b", "music", 100, 0)
	w.offer("c", "news", 100, 0)
	w.run(3 * time.Minute)
	m := w.node("c").m
	if len(m.Held()) != 3 || len(m.Aligned()) != 1 || len(m.told()) != 1 {
		t.Fatalf("before: %v, %v, %v", m.Held(), m.Aligned(), m.told())
	}
	a := m.Leave()
	foreign := func(id protocol.UpdateID) bool { return id.Author != m.cfg.Self }
	if len(m.Held()) != 1 || slices.ContainsFunc(m.Held(), foreign) || len(a.Drop) != 2 || len(m.Aligned()) != 0 || len(m.told()) != 0 {
		t.Errorf("after: %v, dropped %v, %v, %v", m.Held(), a.Drop, m.Aligned(), m.told())
	}
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again := New(m.cfg)
	if err := again.Restore(b, func(protocol.Digest) ([]byte, bool) { return nil, false }); err != nil {
		t.Error(err)
	}
}
