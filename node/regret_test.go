package node

import (
	"bytes"
	"testing"

	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// Who teaches what lies in wait is shunned after three versions of it, though none did harm when it came: each is found out and removed as the
// owner goes on. What a friend teaches stays. A mind that is killed at any time, and comes back from its journal, is the same to the bit.
func TestLateHarmIsRegretted(t *testing.T) {
	good := taught(t, 1, "kitchen", text("kitchen", 3000, 1))
	bad := poison(t, tensors(t, good.Body))
	friend := taught(t, 2, "kitchen", text("kitchen", 3000, 4))
	var d disk
	n := start(t, 0, Config{}, nil)
	d.keep(t, meet(n, 1))
	d.keep(t, meet(n, 2))
	d.keep(t, hear(n, 2, friend))
	late := 0
	for seq := uint64(1); seq <= harms; seq++ {
		if n.Conversation().Shuns(meshtest.ID(1)) {
			t.Fatalf("shunned before version %d", seq)
		}
		_, a := n.Observe(noon, text("music", 5200, seq)) // of which nothing it lies about is left to try it on
		d.keep(t, a)
		a = hear(n, 1, resigned(1, good, seq, bad))
		d.keep(t, a)
		if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Folded {
			t.Fatalf("with nothing to try it on: %v", a.Folds)
		}
		said := text("kitchen", 1500, seq+10)
		for len(said) > 0 {
			k := min(100, len(said))
			_, a := n.Observe(noon, said[:k])
			said = said[k:]
			d.keep(t, a)
			for _, f := range a.Folds {
				late++
				if !f.Late || f.ID.Author != meshtest.ID(1) || f.Skill != "kitchen" || f.Verdict != protocol.Harmful || f.Gain >= 0 {
					t.Errorf("what became of it: %+v", f)
				}
				again := start(t, 0, Config{}, &d)
				if !bytes.Equal(mind(t, again), mind(t, n)) || again.Conversation().Ledger()[0] != n.Conversation().Ledger()[0] {
					t.Error("a restart comes to another mind, or thinks otherwise of somebody")
				}
				if f := again.Learner().TakeFailures(); len(f) > 0 {
					t.Errorf("after a restart what was told is told again: %v", f)
				}
			}
		}
	}
	if late != harms || !n.Conversation().Shuns(meshtest.ID(1)) || n.Conversation().Shuns(meshtest.ID(2)) {
		t.Errorf("%d versions were found out; %+v", late, n.Conversation().Ledger())
	}
	if n.Learner().Skill(string(meshtest.ID(1)), "kitchen") != nil || n.Learner().Skill(string(meshtest.ID(2)), "kitchen") == nil {
		t.Error("what lies is there, or what helps is not")
	}
	if again := start(t, 0, Config{}, &d); !bytes.Equal(mind(t, again), mind(t, n)) || !again.Conversation().Shuns(meshtest.ID(1)) {
		t.Error("a restart comes to another mind, or listens to him again")
	}
}

// harms is how many versions that do harm the exchange needs to shun their author.
const harms = 3
