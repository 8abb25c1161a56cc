package p2p

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// cellsOf returns the cells that the nodes make: each as the sorted names of its members, by the account of its first.
// It reports false unless all members of each cell agree.
func cellsOf(all []*node) (cells [][]peer.ID, agree bool) {
	byName := make(map[peer.ID][]peer.ID)
	agree = true
	for _, n := range all {
		mates := n.members.cellmates()
		if had, ok := byName[mates[0]]; ok && !slices.Equal(had, mates) {
			agree = false
		}
		byName[mates[0]] = mates
	}
	for _, mates := range byName {
		cells = append(cells, mates)
	}
	return cells, agree
}

// A mesh of more devices than a cell has places becomes several cells. What anyone publishes is heard by all, nobody has
// more connections than for a cell and a few bridges, and when a bridge dies the cells stay in touch.
func TestCells(t *testing.T) {
	n, size := 24, 8
	if text := os.Getenv(manyAsked); text != "" {
		if _, err := fmt.Sscanf(text, "%d/%d", &n, &size); err != nil {
			t.Fatalf("%s=%q: %v", manyAsked, text, err)
		}
	}
	testCells(t, n, size, nil)
}

const manyAsked = "YAN_CELLS_TEST" // set to devices/places: how large a mesh TestCells is to make, such as 80/32

// In a swarm it is the same: cells tell one another who is admitted.
func TestCellsOfASwarm(t *testing.T) {
	testCells(t, 14, 8, func(i int) SwarmBook { return bookOf(admitted("swarm", i, 1, time.Hour)) })
}

func testCells(t *testing.T, n, size int, swarm func(i int) SwarmBook) {
	inWorld(t, func(t *testing.T, w *world) {
		var all []*node
		for i := range n {
			c := Config{Cell: size}
			if swarm != nil {
				c.Swarm = swarm(i)
			}
			all = append(all, w.node(i, c))
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(2 * time.Minute)
		cells, agree := cellsOf(all)
		sum := 0
		for _, mates := range cells {
			sum += len(mates)
			if len(mates) > size {
				t.Errorf("a cell of %d", len(mates))
			}
		}
		if !agree || sum != n || len(cells) > 2*n/size+2 {
			t.Errorf("%d cells with %d members in all, agreed %v: %v", len(cells), sum, agree, cells)
		}
		most := 0
		for _, a := range all {
			most = max(most, len(a.host.Network().Peers()))
		}
		t.Logf("%d devices in %d cells, at most %d connections each", n, len(cells), most)
		if most > size+12 {
			t.Errorf("a device has %d connections", most)
		}
		for i, a := range all {
			for k := range all {
				if a.gate != nil && i != k && a.gate.check(idOf(t, k)) != nil {
					t.Errorf("device %d does not know that device %d is admitted", i, k)
				}
			}
		}
		for k, author := range []int{0, n / 2, n - 1} {
			u := update(author, 1, 20<<10)
			if err := all[author].Send(t.Context(), protocol.Envelope{Msg: u}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
			for i, a := range all {
				if i != author && !a.hasHeard(u) {
					t.Errorf("device %d has not heard what device %d published (%d)", i, author, k)
				}
			}
		}
	})
}

// hasHeard reports whether the update was heard, from whomever.
func (n *node) hasHeard(u *protocol.Update) bool {
	n.read()
	return slices.ContainsFunc(n.seen, func(ev mesh.Event) bool {
		got, ok := ev.Msg.(*protocol.Update)
		return ok && got.ID == u.ID && bytes.Equal(got.Body, u.Body)
	})
}

// A word is read as it was written, of a later version it is left, and half of one is none.
func TestWord(t *testing.T) {
	w := &word{members: 60, cell: idOf(t, 1), meta: []byte{metaVersion, 1}, passes: [][]byte{{1, 2}, {3}}}
	b := w.append(nil)
	got, err := parseWord(b)
	if err != nil || got.members != 60 || got.cell != w.cell || !bytes.Equal(got.meta, w.meta) || !slices.EqualFunc(got.passes, w.passes, bytes.Equal) {
		t.Errorf("%v became %v, %v", w, got, err)
	}
	if later, err := parseWord(append([]byte{wordVersion + 1}, b...)); later != nil || err != nil {
		t.Errorf("of a later version: %v, %v", later, err)
	}
	for i := range b {
		if short, err := parseWord(b[:i]); err == nil && len(short.passes) == 2 {
			t.Errorf("the first %d bytes of %d are a whole word", i, len(b))
		}
	}
}

// Whatever comes as a word, what was understood of it is the same once more.
func FuzzWord(f *testing.F) {
	id, err := peer.Decode("12D3KooWB3jZSAp28rPbh2y48wU5D3yoC6NfYodMLeZk91o5uDBB")
	if err != nil {
		f.Fatal(err)
	}
	f.Add((&word{members: 60, cell: id, meta: []byte{metaVersion, 1}, passes: [][]byte{{1, 2}, {3}}}).append(nil))
	f.Add((&word{members: 1, cell: id}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWord(b)
		if err != nil || w == nil {
			return
		}
		if again := w.append(nil); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

// The ring of cells is one ring: whatever cells there are, following the next of each comes through all.
func TestNextCells(t *testing.T) {
	for n := 2; n < 20; n++ {
		var names []peer.ID
		for i := range n {
			names = append(names, idOf(t, i))
		}
		slices.Sort(names)
		next := func(name peer.ID, rank int) []cellSeen {
			var others []cellSeen
			for _, other := range names {
				if other != name {
					others = append(others, cellSeen{name: other})
				}
			}
			return nextCells(others, name, rank)
		}
		at, seen := names[0], make(map[peer.ID]bool)
		for range n {
			seen[at] = true
			at = next(at, 0)[0].name
		}
		if len(seen) != n || at != names[0] {
			t.Errorf("of %d cells the ring has %d", n, len(seen))
		}
		for rank := range bridges {
			two := next(names[0], rank)
			if len(two) == 2 && (two[0].name == two[1].name || two[1].name == names[0]) {
				t.Errorf("%d cells, rank %d: %v", n, rank, two)
			}
		}
	}
}

// A cell keeps a quarter of its places for those who were in it before, and promises a place to nobody else meanwhile.
func TestPlaces(t *testing.T) {
	m := &members{self: idOf(t, 0), here: make(map[peer.ID]bool), places: newPlaces(16), book: newBook()}
	now := time.Now()
	for i := 1; i < 10; i++ {
		m.here[idOf(t, i)] = true
	}
	asks := func(i, size int, now time.Time) bool {
		ok, _ := m.place(idOf(t, i), size, now)
		return ok
	}
	if asks(20, 3, now) || asks(20, 5, now) {
		t.Error("10 and 3 became one of 13, where two cells may only become one of 8")
	}
	if !asks(20, 1, now) || !asks(21, 1, now) {
		t.Error("no place among 12 for the 11th and the 12th")
	}
	if asks(22, 1, now) {
		t.Error("a place that was promised was promised again")
	}
	if !asks(21, 1, now) {
		t.Error("a promise does not hold")
	}
	if !asks(22, 1, now.Add(time.Minute)) {
		t.Error("a promise holds for ever")
	}
	m.book.saw(idOf(t, 23), nil, now)
	if !asks(23, 6, now) || asks(23, 7, now) {
		t.Error("who was a member before gets in as long as there is a place at all")
	}
}
