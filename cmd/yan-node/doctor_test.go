package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
	"github.com/yanmesh/yan/protocol"
)

// pass is an admission of the peer, valid for so long from so long ago.
func pass(peer protocol.PeerID, now time.Time, ago, length time.Duration) *protocol.Pass {
	a := &protocol.Admission{Peer: peer, NotBefore: now.Add(-ago).Unix(), Expires: now.Add(length - ago).Unix(), Serial: 1}
	a.Sign(meshtest.Key(77))
	return &protocol.Pass{Swarm: a.Swarm, Admission: a}
}

// healthy is what the doctor sees where nothing is wrong: three peers, all of whom see all.
func healthy() *facts {
	now := time.Unix(1_800_000_000, 0)
	self := meshtest.ID(0)
	f := &facts{
		now: now, running: true, answers: true, sought: true, self: self,
		addrs:   []string{"/ip4/127.0.0.1/udp/4001/quic-v1/p2p/" + string(self), "/ip4/192.168.1.7/udp/4001/quic-v1/p2p/" + string(self)},
		reach:   p2p.Reach{Called: true},
		usage:   &store.Usage{Free: 10 << 30, Index: 5 << 20},
		writes:  diskWrites{Done: 100, Worst: 20 * time.Millisecond, Median: 4 * time.Millisecond},
		inSwarm: true, pass: pass(self, now, time.Hour, 300*24*time.Hour),
		buffer: goodBuffer,
	}
	for i := 1; i <= 3; i++ {
		id := meshtest.ID(i)
		f.links = append(f.links, p2p.Link{Peer: id, Member: true, Paths: []p2p.Path{{Way: "lan", Transport: "quic", Dialled: true}},
			Knows: []string{"/ip4/192.168.1.8/udp/4001/quic-v1"}})
		f.peers = append(f.peers, exchange.PeerStatus{ID: id, Greeted: true, Agent: "yan-node 1"})
		s := p2p.Sight{Peer: id, Member: true, SeesUs: true, Ahead: 20 * time.Millisecond, Within: 30 * time.Millisecond}
		for k := range 4 {
			if k != i {
				s.Members = append(s.Members, meshtest.ID(k))
			}
		}
		f.sights = append(f.sights, s)
	}
	f.again = f.sights
	return f
}

// alone is healthy, with nobody else.
func alone(f *facts) {
	f.links, f.peers, f.sights, f.again, f.reach = nil, nil, nil, nil, p2p.Reach{}
}

// Each thing that can be wrong is found where it is, and nothing else is; what is found says what to do.
func TestDoctorFinds(t *testing.T) {
	if r := healthy().report("", ""); r.Wrong != 0 {
		t.Errorf("where nothing is wrong: %+v", r.Findings)
	}
	one, two, four := string(meshtest.ID(1)), string(meshtest.ID(2)), string(meshtest.ID(4))
	refusedAt := p2p.Attempt{Peer: meshtest.ID(1), Fails: 3, When: time.Unix(1_800_000_000-9, 0), Why: "failed to dial",
		Answers: []p2p.Answer{{Addr: "/ip4/192.0.2.1/tcp/4001", Why: "connection refused"}, {Addr: "/ip4/192.0.2.1/udp/4001/quic-v1", Why: "timeout"}}}
	for name, c := range map[string]struct {
		spoil       func(*facts)
		check, how  string
		says, mends string
	}{
		"stopped":         {func(f *facts) { alone(f); f.running = false }, "node", wrong, "no node runs", "yan-node run"},
		"hung":            {func(f *facts) { f.answers = false }, "node", wrong, "did not answer", "disk"},
		"disk full":       {func(f *facts) { f.usage.Free = 1 << 20 }, "disk", wrong, "1.05 MB", "make room"},
		"disk fails":      {func(f *facts) { f.writes.Err = errors.New("no space left") }, "disk", wrong, "no space left", "make room"},
		"disk slow":       {func(f *facts) { f.writes.Worst = 30 * time.Second }, "disk", wrong, "30", "quicker disk"},
		"disk late":       {func(f *facts) { f.writes.Worst = 2 * time.Second }, "disk", hint, "2.00 s", "quicker disk"},
		"home damaged":    {func(f *facts) { f.notes = []string{"the last change was found half written"} }, "home", hint, "half written", "power cut"},
		"pass ended":      {func(f *facts) { f.pass = pass(f.self, f.now, 2*time.Hour, time.Hour) }, "swarm", wrong, "expired", "admit"},
		"pass ends":       {func(f *facts) { f.pass = pass(f.self, f.now, 300*24*time.Hour, 301*24*time.Hour) }, "swarm", hint, "ends in 1 d 0 h", "admit"},
		"pass unreadable": {func(f *facts) { f.passErr = errors.New("admission: cut") }, "swarm", wrong, "cut", "admit"},
		"pass revoked": {func(f *facts) {
			r := protocol.Revocation{Peer: f.self, Serial: 1}
			r.Sign(meshtest.Key(77))
			f.pass.Revoked = []protocol.Revocation{r}
		}, "swarm", wrong, "revoked", "admit"},
		"shut out":          {func(f *facts) { alone(f); f.sought = false; f.offline = false; f.stats.ShutOut = 4; f.attempts = nil }, "swarm", wrong, "4 times", "swarm show"},
		"nobody asked for":  {func(f *facts) { alone(f); f.sought = false }, "peers", hint, "nobody was looked for", "--join"},
		"nobody found":      {alone, "peers", wrong, "nobody is here", "another node running"},
		"join refused":      {func(f *facts) { alone(f); f.attempts = []p2p.Attempt{refusedAt} }, "peers", wrong, "/ip4/192.0.2.1/tcp/4001 answers: connection refused; /ip4/192.0.2.1/udp/4001/quic-v1 answers: timeout", "nothing listens on that port"},
		"join times out":    {func(f *facts) { f.attempts = []p2p.Attempt{{Peer: "x", Fails: 1, Why: "i/o timeout"}} }, "peers", hint, "i/o timeout", "firewall"},
		"join not admitted": {func(f *facts) { f.attempts = []p2p.Attempt{{Peer: "x", Fails: 1, Why: "it says: not admitted: none"}} }, "peers", hint, "none", "same swarm"},
		"join another":      {func(f *facts) { f.attempts = []p2p.Attempt{{Peer: "x", Fails: 1, Why: "peer id mismatch"}} }, "peers", hint, "mismatch", "another device"},
		"clock": {func(f *facts) {
			for i := range f.sights {
				f.sights[i].Ahead = time.Hour
			}
		}, "clock", wrong, "this device's clock is 1 h 0 min behind", "set-ntp"},
		"one clock of two": {func(f *facts) {
			f.sights = f.sights[:2]
			f.sights[0].Ahead = time.Hour
		}, "clock", wrong, "the clock of " + one + " is 1 h 0 min ahead of this", "which of the two"},
		"a peer's clock": {func(f *facts) { f.sights[0].Ahead = -30 * time.Second }, "clock", hint, "the clock of " + one + " is 30.0 s behind this", "which of the two"},
		"it is not seen": {func(f *facts) { f.sights[0].SeesUs = false }, "seen", wrong, "this device sees " + one + ", and " + one + " does not see this device", "doctor there"},
		"it does not see": {func(f *facts) {
			f.sights[0].Member, f.links[0].Member = false, false
			f.sights[1].Members, f.sights[2].Members = nil, nil
		}, "seen", wrong, one + " sees this device, and this device does not see " + one, "start this node again"},
		"a third is not seen": {func(f *facts) { f.sights[1].Members = append(f.sights[1].Members, meshtest.ID(4)) }, "seen", hint, four + " is seen by " + two, "--join"},
		"by hearsay":          {func(f *facts) { f.sights[0].Why, f.links[0].Paths = "no good addresses", nil }, "seen", wrong, "cannot reach it: no good addresses", "relay"},
		"half dead":           {func(f *facts) { f.sights[0].Why = "deadline exceeded" }, "seen", hint, one + " is connected and does not say", "half dead"},
		"one other model":     {func(f *facts) { f.peers[0].Reason = "its model is a, ours b" }, "model", hint, "its model is a, ours b", "--model"},
		"budget spent":        {func(f *facts) { f.spent = []string{"diary"} }, "privacy", hint, "diary", "--epsilon"},
		"blocked UDP": {func(f *facts) {
			for i := range f.links {
				f.links[i].Paths[0].Transport = "tcp"
			}
		}, "udp", hint, "UDP seems to be blocked", "4001"},
		"this machine alone": {func(f *facts) { f.addrs = f.addrs[:1] }, "reach", hint, "this machine alone", "--listen"},
		"port closed":        {func(f *facts) { f.reach = p2p.Reach{Unreachable: []string{"/ip4/192.0.2.7/udp/4001/quic-v1"}} }, "reach", wrong, "port 4001 is not open", "forward"},
		"hard translation": {func(f *facts) {
			f.reach = p2p.Reach{Unreachable: []string{"/ip4/192.0.2.7/udp/9/quic-v1"}, Mapping: map[string]string{"udp": p2p.MappingDependent}}
		}, "reach", wrong, p2p.MappingDependent, "--relay"},
		"hard translation and a relay": {func(f *facts) {
			f.reach = p2p.Reach{Relayed: []string{"/p2p-circuit"}, Mapping: map[string]string{"udp": p2p.MappingDependent}}
		}, "reach", hint, "no hole can be punched", "forward"},
		"never called":  {func(f *facts) { f.reach = p2p.Reach{} }, "reach", hint, "nobody has dialled", "forward"},
		"ignored":       {func(f *facts) { f.stats.Ignored, f.stats.Faults = 1, []p2p.Count{{What: "frame", N: 3}} }, "faults", hint, "frame 3 times", "version"},
		"small buffers": {func(f *facts) { f.buffer = 212992 }, "buffers", hint, "213 kB", "sysctl -w net.core.rmem_max=7340032"},
	} {
		f := healthy()
		c.spoil(f)
		var odd []finding
		for _, x := range f.diagnose() {
			if x.State != good && x.Check == c.check {
				odd = append(odd, x)
			} else if x.State == wrong && name != "shut out" && name != "it does not see" {
				t.Errorf("%s: besides, %+v", name, x)
			}
		}
		if len(odd) != 1 || odd[0].State != c.how || !strings.Contains(odd[0].What, c.says) || !strings.Contains(odd[0].Mend, c.mends) {
			t.Errorf("%s: %+v", name, odd)
		}
	}
}

// A neighbour's cell has other members than ours.
func TestDoctorKnowsCells(t *testing.T) {
	f := healthy()
	f.sights[1].Near = true
	f.sights[1].Members = []protocol.PeerID{meshtest.ID(8), meshtest.ID(9)}
	for _, x := range f.diagnose() {
		if x.Check == "seen" {
			t.Errorf("%+v", x)
		}
	}
}

// What only one look around showed may be somebody who is just joining.
func TestDoctorWaitsForWhoIsJoining(t *testing.T) {
	for _, blinded := range []func(*facts) *[]p2p.Sight{func(f *facts) *[]p2p.Sight { return &f.sights }, func(f *facts) *[]p2p.Sight { return &f.again }} {
		f := healthy()
		one := blinded(f)
		*one = append([]p2p.Sight(nil), *one...)
		(*one)[0].SeesUs = false
		for _, x := range f.diagnose() {
			if x.Check == "seen" {
				t.Errorf("%+v", x)
			}
		}
	}
}

// examined asks the doctor until he has found what is looked for, and returns the report that has it.
func examined(t *testing.T, home, check, says string) (doctorReport, finding) {
	t.Helper()
	var r doctorReport
	for began := time.Now(); time.Since(began) < time.Minute; {
		status, out, errs := yan(t, "", "doctor", "--json", "--home", home)
		r = decode[doctorReport](t, out)
		if (status == ui.Failed) != (r.Wrong > 0) || status == ui.BadUsage {
			t.Fatalf("status %d, %s", status, errs)
		}
		for _, x := range r.Findings {
			if x.Check == check && strings.Contains(x.What, says) {
				return r, x
			}
		}
	}
	t.Fatalf("the doctor does not find %s: %s, but %+v", check, says, r.Findings)
	return r, finding{}
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A node that was told to join where nobody is says what was tried and what came back; and so does one whose disk is full.
func TestDoctorOfANodeAlone(t *testing.T) {
	model, home := pocket(t), filepath.Join(t.TempDir(), "home")
	where := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", freePort(t))
	disk := new(fullJournal)
	run := &runFlags{journal: func(j node.Journal) node.Journal {
		disk.Journal = j
		return disk
	}}
	keyboard, owner := io.Pipe()
	b := begin(t, run, keyboard, "--home", home, "--model", model, "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1",
		"--join", where+"/p2p/"+string(meshtest.ID(5)))
	b.wait("ready")
	_, x := examined(t, home, "peers", where+" answers:")
	if x.State != wrong || !strings.Contains(x.What, string(meshtest.ID(5))) || !strings.Contains(x.Mend, "nothing listens") {
		t.Errorf("%+v", x)
	}
	status, out, errs := yan(t, "", "doctor", "--home", home)
	if status != ui.Failed || !strings.Contains(out, "to mend it: ") || !strings.Contains(errs, "wrong: see above") {
		t.Errorf("status %d, %q, %q", status, out, errs)
	}

	disk.set(true)
	if _, err := fmt.Fprintln(owner, "the disk has no room for this"); err != nil {
		t.Fatal(err)
	}
	b.wait("refused")
	if r, x := examined(t, home, "disk", "the last write failed"); x.State != wrong || r.Wrong < 2 {
		t.Errorf("%+v", r)
	}
	disk.set(false)
	b.stop()
	if _, x := examined(t, home, "node", "no node runs"); x.State != wrong {
		t.Errorf("%+v", x)
	}
}

// Two nodes that meet are well, which is no reason to fail; over TCP alone, with an address at which UDP goes nowhere,
// it is seen that UDP is blocked; with another base it is seen that nothing is exchanged.
func TestDoctorOfTwo(t *testing.T) {
	model := pocket(t)
	listen := func(home, model string, more ...string) (*background, event) {
		keyboard, _ := io.Pipe()
		b := begin(t, new(runFlags), keyboard, append([]string{"--home", home, "--model", model, "--api", "127.0.0.1:0"}, more...)...)
		return b, b.wait("ready")
	}
	one, two, three := newHome(t), filepath.Join(t.TempDir(), "two"), filepath.Join(t.TempDir(), "three")
	a, ready := listen(one, model, "--listen", "/ip4/127.0.0.1/tcp/0")
	at := ready.Addrs[0]
	_, id, _ := strings.Cut(at, "/p2p/")
	dead := fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1/p2p/%s", freePort(t), id)
	b, _ := listen(two, model, "--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--join", at, "--join", dead)
	examined(t, two, "peers", "1 here")
	r, x := examined(t, two, "udp", "blocked")
	if x.State != hint || !strings.Contains(x.What, id) || r.Wrong != 0 {
		t.Errorf("%+v", r)
	}
	if r, _ := examined(t, two, "clock", "agrees"); r.Wrong != 0 || !r.Running {
		t.Errorf("%+v", r)
	}

	other := base.Pocket().Thaw()
	other.Head.F32[3] += 0.5
	var changed strings.Builder
	if err := other.Write(&changed, false, nil); err != nil {
		t.Fatal(err)
	}
	c, _ := listen(three, file(t, "other.safetensors", []byte(changed.String())), "--listen", "/ip4/127.0.0.1/tcp/0", "--join", at)
	r, x = examined(t, three, "model", "its model is")
	if x.State == good || !strings.Contains(x.Mend, "--model") {
		t.Errorf("%+v", r)
	}
	for _, node := range []*background{a, b, c} {
		node.stop()
	}
}

// A pass that has ended is seen without a node, and with one.
func TestDoctorSeesAPassThatEnded(t *testing.T) {
	home := newHome(t)
	swarmOf(t, home)
	if _, x := examined(t, home, "swarm", "admitted to swarm-"); x.State != good {
		t.Errorf("%+v", x)
	}
	self, err := identity(home)
	if err != nil {
		t.Fatal(err)
	}
	b := bookIn(home)
	key, err := b.key()
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.issue(key, self, time.Now().Add(-2*time.Hour), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.keep(a); err != nil {
		t.Fatal(err)
	}
	if _, x := examined(t, home, "swarm", "expired"); x.State != wrong {
		t.Errorf("%+v", x)
	}
	keyboard, _ := io.Pipe()
	n := begin(t, new(runFlags), keyboard, "--home", home, "--model", pocket(t), "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1")
	n.wait("ready")
	if r, x := examined(t, home, "swarm", "expired"); x.State != wrong || !r.Running {
		t.Errorf("%+v", r)
	}
	n.stop()
}

// Buffers are the smaller of the two that the system names, and none where it names none.
func TestBuffers(t *testing.T) {
	small, large := file(t, "small", []byte("212992\n")), file(t, "large", []byte("7340032\n"))
	if n := bufferOf([]string{large, small}); n != 212992 && n != 0 {
		t.Errorf("%d", n)
	}
	if n := bufferOf([]string{large, small + "no"}); n != 0 {
		t.Errorf("%d", n)
	}
}

// What is odd about a peer stands beside it, and the worst first.
func TestPeerNotes(t *testing.T) {
	relay := []wayReport{{Way: "relay", Transport: "tcp"}}
	quic := []wayReport{{Way: "lan", Transport: "tcp"}, {Way: "direct", Transport: "quic"}, {Way: "direct", Transport: "quic"}}
	for _, c := range []struct {
		r    peerReport
		says string
		way  string
	}{
		{peerReport{Here: true, State: peerTalks, Ways: quic}, "", "direct quic, lan tcp"},
		{peerReport{Here: true, State: peerTalks, Ways: relay}, "through a relay", "relay"},
		{peerReport{Here: true, State: peerTalks}, "not connected", ""},
		{peerReport{Here: true, State: peerSilent, Ways: quic}, "Hello", "direct quic, lan tcp"},
		{peerReport{Here: true, State: peerForeign, Reason: "its model is x", Ways: quic}, "its model is x", "direct quic, lan tcp"},
		{peerReport{Ways: relay}, "doctor", "relay"},
		{peerReport{Shunned: true}, "only harm", ""},
		{peerReport{Faulty: true, Shunned: true}, "for what it sent", ""},
	} {
		if got := c.r.note(); !strings.Contains(got, c.says) || (c.says == "") != (got == "") {
			t.Errorf("%+v: %q", c.r, got)
		}
		if got := c.r.way(); got != c.way {
			t.Errorf("%+v: %q", c.r, got)
		}
	}
}
