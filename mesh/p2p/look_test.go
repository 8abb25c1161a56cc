package p2p

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/yanmesh/yan/mesh/meshtest"
)

// sightOf is what a node hears of the i-th peer when it looks around.
func (n *node) sightOf(i int) (Sight, bool) {
	all := n.Look(n.t.Context())
	at := slices.IndexFunc(all, func(s Sight) bool { return s.Peer == meshtest.ID(i) })
	if at < 0 {
		return Sight{}, false
	}
	return all[at], true
}

// Three that see one another say so, and how late it is there.
func TestLook(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		time.Sleep(settle)
		all[2].looks.now = func() time.Time { return time.Now().Add(-time.Hour) }
		for _, i := range []int{1, 2} {
			s, ok := all[0].sightOf(i)
			if !ok || s.Why != "" || !s.Member || !s.SeesUs || len(s.Members) != 2 {
				t.Fatalf("%+v", s)
			}
			want := map[int]time.Duration{1: 0, 2: -time.Hour}[i]
			if off := (s.Ahead - want).Abs(); off > s.Within || s.Within > 100*time.Millisecond {
				t.Errorf("the clock of %d is %v ahead, within %v", i, s.Ahead, s.Within)
			}
		}
	})
}

// Where one sees the other and is not seen by it, both can say which of them it is; and whom the other sees that
// oneself does not.
func TestHalfJoined(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		time.Sleep(settle)
		blind := func(n *node, i int) { // as if it had never heard of it
			n.members.mu.Lock()
			delete(n.members.here, mustDecode(t, meshtest.ID(i)))
			n.members.mu.Unlock()
		}
		blind(all[1], 0)
		blind(all[0], 2)
		if s, ok := all[0].sightOf(1); !ok || !s.Member || s.SeesUs {
			t.Errorf("0 sees 1, and 1 does not see 0: %+v", s)
		}
		if s, ok := all[1].sightOf(0); !ok || s.Member || !s.SeesUs {
			t.Errorf("1 does not see 0, and 0 sees 1: %+v", s)
		}
		if s, ok := all[0].sightOf(1); !ok || !slices.Contains(s.Members, meshtest.ID(2)) || all[0].members.has(mustDecode(t, meshtest.ID(2))) {
			t.Errorf("1 sees 2, and 0 does not: %+v", s)
		}
	})
}

// One that does not answer costs a look its time and no more, and who asks without end is not answered.
func TestLookAtTheDeadAndByTheGreedy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		time.Sleep(settle)
		ctx, cancel := context.WithCancel(context.Background())
		w.ends = append(w.ends, cancel)
		deaf := func(s network.Stream) {
			<-ctx.Done()
			s.Reset()
		}
		all[1].host.SetStreamHandler(all[1].looks.proto, deaf)
		began := time.Now()
		list := all[0].Look(t.Context())
		if took := time.Since(began); took > lookTime+time.Second {
			t.Errorf("a look around took %v", took)
		}
		for _, s := range list {
			if bad := s.Why != ""; bad != (s.Peer == meshtest.ID(1)) {
				t.Errorf("%+v", s)
			}
		}
		refused := 0
		for range 3 * showBurst {
			if _, _, _, err := all[0].ask(t.Context(), meshtest.ID(2)); err != nil {
				refused++
			}
		}
		if refused == 0 {
			t.Error("it answers for ever")
		}
		time.Sleep(time.Minute)
		if s, ok := all[0].sightOf(2); !ok || s.Why != "" {
			t.Errorf("it does not answer any more: %+v", s)
		}
	})
}

// A peer of an earlier version has nothing to say, and is told from one that does not see us.
func TestLookAtAnEarlierVersion(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(2)
		all[1].host.RemoveStreamHandler(all[1].looks.proto)
		time.Sleep(settle)
		if s, ok := all[0].sightOf(1); !ok || !strings.Contains(s.Why, "protocols not supported") {
			t.Errorf("%+v", s)
		}
	})
}

// Two that cannot reach one another, and a third that both can: each is a member to the other by hearsay, and a look says
// that there is no way there.
func TestLookThroughAWall(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		all := w.nodes(3)
		one, two := ipOf(1).String(), ipOf(2).String()
		w.partition(func(from, to string) bool { return from == one && to == two || from == two && to == one })
		time.Sleep(3 * time.Minute)
		if s, ok := all[1].sightOf(2); !ok || !s.Member || s.Why == "" {
			t.Errorf("through the wall: %+v", s)
		}
		if s, ok := all[1].sightOf(0); !ok || s.Why != "" || len(s.Members) != 2 {
			t.Errorf("beside it: %+v", s)
		}
		if l := all[1].Links(); len(l) != 2 || len(l[0].Paths)+len(l[1].Paths) != 1 {
			t.Errorf("%+v", l)
		}
	})
}

// A neighbour, of another cell, sees us and is seen, and names the members of its own.
func TestLookAcrossCells(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var all []*node
		for i := range 6 {
			all = append(all, w.node(i, Config{Cell: 4}))
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(2 * time.Minute)
		near := 0
		for _, n := range all {
			stats := n.Stats()
			if stats.Cell != n.members.size() || stats.Cell > 4 {
				t.Errorf("a cell of %d", stats.Cell)
			}
			for _, s := range n.Look(t.Context()) {
				if s.Why != "" || !s.Member || !s.SeesUs || slices.Contains(s.Members, s.Peer) {
					t.Errorf("%+v", s)
				}
				if ours := slices.Contains(s.Members, n.Self()); ours == s.Near {
					t.Errorf("a neighbour: %v; in one cell with us: %v", s.Near, ours)
				}
				if s.Near {
					near++
				}
			}
			near -= stats.Near
		}
		if near != 0 {
			t.Errorf("%d neighbours more were seen than there are", near)
		}
		if all[0].Stats().Near+all[1].Stats().Near+all[2].Stats().Near+all[3].Stats().Near == 0 {
			t.Error("no cell is in touch with another")
		}
	})
}
