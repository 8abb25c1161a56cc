package sim

import (
	"testing"

	"github.com/yanmesh/yan/mesh/patch"
	"github.com/yanmesh/yan/protocol"
)

// Bodies count as the mesh sends them: compressed, and to who has the version before as what differs from it.
func TestUpdatesWeighWhatTheMeshSends(t *testing.T) {
	var whole, first, later int
	last := map[lineage]*protocol.Update{}
	o := small(3)
	o.Updates = 3
	w, _, err := play(t, 4, o, sabotage{deliver: func(to int, m protocol.Message) bool {
		u, ok := m.(*protocol.Update)
		if !ok || to != 0 {
			return false
		}
		whole += len(u.Body)
		if old := last[lineageOf(u)]; old == nil {
			first += patch.Size(u.Body, nil)
		} else if old.Digest != u.Digest {
			later += patch.Size(u.Body, old.Body)
		}
		last[lineageOf(u)] = u
		return false
	}})
	if err != nil {
		t.Fatal(err)
	}
	if first == 0 || later == 0 {
		t.Fatalf("%d bytes of first versions, %d of later ones", first, later)
	}
	d := w.devices[0]
	for k, u := range last {
		if d.last[k] != u {
			t.Errorf("of %v it has %v, and was sent %v", k, d.last[k], u)
		}
		f, err := encode(u)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := w.weight(f, nil), len(f.bytes)-len(u.Body)+patch.Size(u.Body, nil); got != want {
			t.Errorf("%d bytes to who has nothing, want %d", got, want)
		}
	}
	if sent := int(w.Traffic(protocol.KindUpdate).Bytes); sent > 3*whole*3/4 {
		t.Errorf("%d bytes of updates sent, %d in bodies of which all three heard as many", sent, 3*whole)
	}
	t.Logf("bodies of %d bytes came in %d and %d bytes", whole, first, later)
}
