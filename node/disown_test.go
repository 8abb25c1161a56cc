package node

import (
	"bytes"
	"testing"

	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// What somebody taught, whatever it is about, is forgotten when nobody listens to him any more, and a restart comes to the
// same mind.
func TestShunnedIsForgotten(t *testing.T) {
	good := taught(t, 1, "kitchen", text("kitchen", 3000, 1))
	bad := poison(t, tensors(t, good.Body))
	var d disk
	n := start(t, 0, Config{}, nil)
	d.keep(t, meet(n, 1))
	music := taught(t, 1, "music", text("music", 1000, 1))
	d.keep(t, hear(n, 1, resigned(1, music, 5, music.Body)))
	a := hear(n, 1, resigned(1, good, 1, bad))
	d.keep(t, a)
	if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Folded {
		t.Fatalf("with nothing to try it on: %v", a.Folds)
	}
	_, a = n.Observe(noon, text("kitchen", 3000, 2))
	d.keep(t, a)
	if len(a.Folds) != 1 || !a.Folds[0].Late {
		t.Errorf("when there was something to try it on: %v", a.Folds)
	}
	if n.Learner().Skill(string(meshtest.ID(1)), "music") == nil {
		t.Error("his other skill did not come")
	}
	for seq := uint64(2); seq <= 3; seq++ {
		a := hear(n, 1, resigned(1, good, seq, bad))
		d.keep(t, a)
		if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Harmful {
			t.Fatalf("poison %d: %v", seq, a.Folds)
		}
	}
	for _, name := range []string{"kitchen", "music"} {
		if s := n.Learner().Skill(string(meshtest.ID(1)), name); s != nil {
			t.Errorf("%+v is still there", s)
		}
	}
	if !n.Conversation().Shuns(meshtest.ID(1)) || n.Conversation().Shuns(meshtest.ID(2)) {
		t.Error("who is listened to")
	}
	again := start(t, 0, Config{}, &d)
	if !bytes.Equal(mind(t, again), mind(t, n)) {
		t.Error("a restart comes to another mind")
	}
	if !again.Conversation().Shuns(meshtest.ID(1)) {
		t.Error("after a restart he is listened to again")
	}
}
