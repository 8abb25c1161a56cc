package p2p

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/yanmesh/yan/mesh/meshtest"
)

func infoOf(t *testing.T, i int) peer.AddrInfo {
	t.Helper()
	info, err := peer.AddrInfoFromString(fmt.Sprintf("/ip4/192.0.2.1/udp/%d/quic-v1/p2p/%s", 1+i, meshtest.ID(i)))
	if err != nil {
		t.Fatal(err)
	}
	return *info
}

// The book keeps those seen last, and whom the owner named for ever.
func TestBookForgets(t *testing.T) {
	b := newBook()
	b.ask(infoOf(t, 0))
	now := time.Unix(1e9, 0)
	for i := 1; i < 2*bookPeers; i++ {
		info := infoOf(t, i)
		b.saw(info.ID, info.Addrs, now.Add(time.Duration(i)*time.Second))
	}
	if len(b.known) != bookPeers {
		t.Errorf("%d peers in the book", len(b.known))
	}
	if b.known[infoOf(t, 0).ID] == nil {
		t.Error("forgot whom the owner named")
	}
	lines := b.lines()
	if len(lines) != savedPeers || !strings.HasSuffix(lines[0], string(meshtest.ID(2*bookPeers-1))) {
		t.Errorf("%d lines, the first is %s", len(lines), lines[0])
	}
	again := newBook()
	if bad := again.load(append([]string{"junk", "/ip4/1.2.3.4/tcp/5"}, lines...), now); len(bad) != 2 {
		t.Errorf("bad lines: %q", bad)
	}
	if got := again.lines(); !slices.Equal(got, lines) {
		t.Errorf("%d lines became %d", len(lines), len(got))
	}
}

// The peers that are missing are tried by turns, the others not at all.
func TestBookTriesByTurns(t *testing.T) {
	b := newBook()
	const n = 10
	for i := range n {
		info := infoOf(t, i)
		b.saw(info.ID, info.Addrs, time.Unix(1e9, 0))
	}
	here := infoOf(t, 3).ID
	tries := make(map[peer.ID]int)
	for range 5 * (n - 1) {
		info, ok := b.absent(func(id peer.ID) bool { return id == here })
		if !ok || len(info.Addrs) != 1 {
			t.Fatalf("nobody to try: %v", info)
		}
		tries[info.ID]++
		b.failed(info.ID)
	}
	if len(tries) != n-1 || tries[here] > 0 {
		t.Fatalf("tries: %v", tries)
	}
	for id, k := range tries {
		if k != 5 {
			t.Errorf("%s was tried %d times", id, k)
		}
	}
	if _, ok := b.absent(func(peer.ID) bool { return true }); ok {
		t.Error("someone to try when all are here")
	}
}

// What the owner said of a peer outlives what the peer says of itself.
func TestBookKeepsGivenAddress(t *testing.T) {
	b := newBook()
	info := infoOf(t, 1)
	b.ask(info)
	b.saw(info.ID, []ma.Multiaddr{ma.StringCast("/ip4/10.0.0.1/tcp/1"), ma.StringCast("/ip4/10.0.0.1/tcp/1/ws")}, time.Now())
	got, ok := b.absent(func(peer.ID) bool { return false })
	if !ok || fmt.Sprint(got.Addrs) != "[/ip4/192.0.2.1/udp/2/quic-v1 /ip4/10.0.0.1/tcp/1]" {
		t.Errorf("got %v", got.Addrs)
	}
}

func TestStrikes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dropped []peer.ID
		s := newStrikes(quiet)
		s.drop = func(id peer.ID) { dropped = append(dropped, id) }
		bad, clumsy := infoOf(t, 1).ID, infoOf(t, 2).ID
		for i := range 3 * maxStrikes { // now and then is not enough
			s.fault(clumsy, errFrame)
			if s.Contains(clumsy) {
				t.Fatalf("ignored after %d faults far apart", i+1)
			}
			time.Sleep(strikeTime)
		}
		for range maxStrikes + 2 {
			s.fault(bad, errFrame)
		}
		if !s.Contains(bad) || s.InterceptPeerDial(bad) || len(dropped) != 1 {
			t.Errorf("not ignored, or dropped %d times", len(dropped))
		}
		time.Sleep(strikeTime)
		if s.Contains(bad) {
			t.Error("ignored for ever")
		}
		for i := range 2 * maxStruck {
			s.fault(infoOf(t, i).ID, errFrame)
		}
		if len(s.peer) > maxStruck {
			t.Errorf("%d peers are remembered", len(s.peer))
		}
	})
}
