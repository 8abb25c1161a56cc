package meshtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

func TestHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		Test(t, func(t *testing.T, i int) mesh.Mesh { return hub.Join(ID(i)) })
	})
}

// A cut is a leave on both sides, and nothing passes until it is healed, which is a join.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		hub.Cut(ID(1), ID(0)) // before anyone has joined
		a, b, c := hub.Join(ID(0)), hub.Join(ID(1)), hub.Join(ID(2))
		all := []*ear{listen(a), listen(b), listen(c)}
		say := func(n uint64) error {
			return a.Send(context.Background(), protocol.Envelope{To: ID(1), Msg: answer(0, n)})
		}
		if err := say(1); !errors.Is(err, mesh.ErrUnreachable) {
			t.Errorf("Send across a cut: %v", err)
		}
		hub.Heal(ID(0), ID(1))
		if err := say(2); err != nil {
			t.Errorf("Send after Heal: %v", err)
		}
		hub.Cut(ID(0), ID(1))
		if err := a.Send(context.Background(), protocol.Envelope{Msg: answer(0, 3)}); err != nil {
			t.Errorf("Send to all across a cut: %v", err)
		}
		synctest.Wait()
		for _, m := range []mesh.Mesh{a, b, c} {
			m.Close()
			synctest.Wait() // a closed mesh has nothing more to say, so let the others hear it first
		}
		for i, want := range [][]string{
			{"c joined", "b joined", "b left"},
			{"c joined", "a joined", "a: answer 2", "a left"},
			{"b joined", "a joined", "a: answer 3", "a left", "b left"}, // those who were here, by name
		} {
			var got []string
			for _, ev := range all[i].heard() {
				s := string(rune('a' + index(ev.Peer)))
				switch m := ev.Msg.(type) {
				case nil:
					s += " " + ev.Kind.String()
				case *protocol.Answer:
					s += ": answer " + string(rune('0'+m.ID.Seq))
				}
				got = append(got, s)
			}
			if !slices.Equal(got, want) {
				t.Errorf("peer %d saw %q, want %q", i, got, want)
			}
		}
	})
}

func index(id protocol.PeerID) int {
	for i := range 3 {
		if ID(i) == id {
			return i
		}
	}
	return -1
}

// A reader that sleeps loses the oldest messages, and never a join or a leave.
func TestOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub Hub
		deaf, a := hub.Join(ID(0)), hub.Join(ID(1))
		const sent = 3 * queueLength
		for n := range uint64(sent) {
			if n%queueLength == 0 {
				hub.Join(ID(2)).Close()
			}
			if err := a.Send(context.Background(), protocol.Envelope{To: ID(0), Msg: answer(1, n+1)}); err != nil {
				t.Fatal(err)
			}
		}
		e := listen(deaf)
		synctest.Wait()
		var joined, left int
		var heard []uint64
		for _, ev := range e.heard() {
			switch ev.Kind {
			case mesh.Joined:
				joined++
			case mesh.Left:
				left++
			case mesh.Heard:
				heard = append(heard, ev.Msg.(*protocol.Answer).ID.Seq)
			}
		}
		if joined != 4 || left != 3 {
			t.Errorf("%d joins and %d leaves, want 4 and 3", joined, left)
		}
		if len(heard) != queueLength || heard[0] != sent-queueLength+1 || heard[queueLength-1] != sent {
			t.Errorf("heard %d messages, want the last %d of %d", len(heard), queueLength, sent)
		}
		a.Close()
		deaf.Close()
	})
}
