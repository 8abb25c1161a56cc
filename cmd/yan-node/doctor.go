package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
	"github.com/yanmesh/yan/protocol"
)

// How a finding is.
const (
	good  = "ok"
	hint  = "hint"  // it works, and could be better
	wrong = "wrong" // it does not work, or soon will not
)

// A finding is what the doctor found when it looked at one thing.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"` // ok, hint or wrong
	What  string `json:"what"`
	Mend  string `json:"mend,omitempty"`
}

// A doctorReport is what the doctor found.
type doctorReport struct {
	Running  bool            `json:"running"`
	ID       protocol.PeerID `json:"id"`
	Home     string          `json:"home"`
	Wrong    int             `json:"wrong"` // findings of that state
	Findings []finding       `json:"findings"`
}

// facts are what the doctor looks at. What follows from them depends on nothing else.
type facts struct {
	now     time.Time
	running bool
	answers bool // the node did what it was asked in time
	offline bool
	sought  bool // it was told of somebody: by --join, --lan or an earlier run

	self     protocol.PeerID
	addrs    []string
	reach    p2p.Reach
	links    []p2p.Link
	attempts []p2p.Attempt
	stats    p2p.Stats
	sights   []p2p.Sight // two looks around
	again    []p2p.Sight
	peers    []exchange.PeerStatus
	spent    []string // skills whose budget of privacy is spent

	usage  *store.Usage
	writes diskWrites
	notes  []string

	inSwarm bool
	pass    *protocol.Pass
	passErr error

	buffer int // the largest buffer for datagrams that the system grants; 0 if it is not known
}

// What the doctor holds to be too little, too much or too late.
const (
	leastFree   = 64 << 20         // bytes on the disk
	slowWrite   = 5 * time.Second  // peers, and the owner, wait for it
	lateWrite   = time.Second      // noticed
	badClock    = time.Minute      // as long as a term, beyond which what is said in one is too early or too late
	oddClock    = 10 * time.Second // noticed
	passRemains = 7 * 24 * time.Hour
	goodBuffer  = 7 << 20 // bytes, what QUIC asks the system for
)

// diagnose says what is wrong, in the order in which one thing rests on another.
func (f *facts) diagnose() (list []finding) {
	for _, look := range []func(*facts) []finding{
		(*facts).node, (*facts).disk, (*facts).home, (*facts).swarm, (*facts).around, (*facts).clocks, (*facts).halves,
		(*facts).models, (*facts).budgets, (*facts).listening, (*facts).datagrams, (*facts).faults, (*facts).buffers,
	} {
		list = append(list, look(f)...)
	}
	return list
}

func found(check, state, what, mend string) []finding { return []finding{{check, state, what, mend}} }

func (f *facts) node() []finding {
	switch {
	case !f.running:
		return found("node", wrong, "no node runs on this home", "start it with yan-node run")
	case !f.answers:
		return found("node", wrong, fmt.Sprintf("the node did not answer within %v; its slowest write took %s", scrapeWait, ui.Duration(f.writes.Worst)),
			"if the disk hangs, see below; if the processor is busy with something else, give the node a share of it")
	}
	return found("node", good, "it runs, and answers", "")
}

func (f *facts) disk() []finding {
	var list []finding
	if err := f.writes.Err; err != nil {
		list = append(list, finding{"disk", wrong, "the last write failed, and what is learnt since is not kept: " + err.Error(),
			"make room, or put the home on a disk that works; the node keeps what it can as soon as it can"})
	}
	if f.writes.Worst >= lateWrite {
		state := hint
		if f.writes.Worst >= slowWrite {
			state = wrong
		}
		list = append(list, finding{"disk", state, fmt.Sprintf("it is slow: of the last %d writes the slowest took %s, the middle one %s",
			lastWrites, ui.Duration(f.writes.Worst), ui.Duration(f.writes.Median)), "put the home on a quicker disk (an old memory card is the usual cause), or stop what else writes to this one"})
	}
	if f.usage != nil && f.usage.Free >= 0 && f.usage.Free < leastFree {
		list = append(list, finding{"disk", wrong, "only " + ui.Bytes(f.usage.Free) + " are left on it", "make room: without it nothing can be learnt and kept"})
	}
	if len(list) > 0 || f.usage == nil {
		return list
	}
	what := ""
	if f.usage.Free >= 0 {
		what = ui.Bytes(f.usage.Free) + " are free, "
	}
	return found("disk", good, fmt.Sprintf("%sthe home takes %s", what, ui.Bytes(f.usage.Index+f.usage.BodyBytes+f.usage.SnapshotBytes)), "")
}

func (f *facts) home() (list []finding) {
	for _, n := range f.notes {
		list = append(list, finding{"home", hint, n, "nothing, if that was a power cut; if it comes again, replace the disk"})
	}
	return list
}

func (f *facts) swarm() []finding {
	const ask = "ask the swarm's owner: yan-node swarm admit there, yan-node swarm join here"
	switch {
	case !f.inSwarm:
		return nil
	case f.passErr != nil:
		return found("swarm", wrong, "what there is of the swarm cannot be read: "+f.passErr.Error(), ask)
	case f.pass == nil || f.pass.Admission == nil:
		return found("swarm", wrong, "this device has no admission to its swarm", ask)
	}
	a := f.pass.Admission
	roll := protocol.NewRoll(f.pass.Swarm)
	for _, r := range f.pass.Revoked {
		_, _ = roll.Add(r) // one that is none takes nothing back
	}
	if err := roll.Check(a, a.Peer, f.now); err != nil {
		return found("swarm", wrong, err.Error(), ask)
	}
	left, length := unix(a.Expires).Sub(f.now), unix(a.Expires).Sub(unix(a.NotBefore))
	if left < min(passRemains, length/4) {
		return found("swarm", hint, "the admission to "+f.pass.Swarm.String()+" ends in "+ui.Duration(left)+", at "+day(unix(a.Expires)), ask)
	}
	return found("swarm", good, "admitted to "+f.pass.Swarm.String()+" until "+day(unix(a.Expires)), "")
}

// around says who is here, and why nobody is.
func (f *facts) around() []finding {
	if !f.running {
		return nil
	}
	if f.offline {
		return found("peers", good, "none, as --offline says", "")
	}
	members, relayed, deaf := 0, 0, 0
	for _, l := range f.links {
		if !l.Member {
			continue
		}
		members++
		switch ways := waysOf(l); {
		case len(ways) == 0:
			deaf++
		case !slices.ContainsFunc(ways, func(w string) bool { return w != "relay" }):
			relayed++
		}
	}
	list := f.tried(members)
	switch {
	case members == 0 && len(list) == 0 && f.sought:
		list = found("peers", wrong, "nobody is here, though somebody was looked for", "is another node running, on this network or at the address of --join? yan-node status there says where it listens")
	case members == 0 && len(list) == 0:
		list = found("peers", hint, "nobody is here, and nobody was looked for", "start with --join ADDRESS (yan-node status on another device prints it), or with --lan on a local network")
	case members > 0:
		what := fmt.Sprintf("%d here", members)
		if relayed > 0 {
			what += fmt.Sprintf(", %d of them through relays alone: their skills cannot come that way", relayed)
		}
		if deaf > 0 {
			what += fmt.Sprintf(", %d by hearsay, not connected", deaf)
		}
		list = append(found("peers", good, what, ""), list...)
	}
	return append(list, f.refusals(members)...)
}

// tried says of each peer that could not be joined through what it answered. Where others are here that is no harm:
// devices sleep.
func (f *facts) tried(members int) (list []finding) {
	state := wrong
	if members > 0 {
		state = hint
	}
	for _, t := range f.attempts {
		what := fmt.Sprintf("cannot join through %s (tried %s, last %s ago): %s", t.Peer, often(t.Fails), ui.Duration(f.now.Sub(t.When).Round(time.Second)), t.Why)
		if len(t.Answers) > 0 {
			what = fmt.Sprintf("cannot join through %s (tried %s, last %s ago)", t.Peer, often(t.Fails), ui.Duration(f.now.Sub(t.When).Round(time.Second)))
			for _, a := range t.Answers {
				what += fmt.Sprintf("; %s answers: %s", a.Addr, a.Why)
			}
		}
		list = append(list, finding{"peers", state, what, mendJoin(t)})
	}
	return list
}

func often(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// mendJoin says what to do about a failure to join, by what it says.
func mendJoin(t p2p.Attempt) string {
	text := t.Why
	for _, a := range t.Answers {
		text += " " + a.Why
	}
	switch {
	case strings.Contains(text, "refused"):
		return "the machine is there, and nothing listens on that port: start the node there, or take the address that yan-node status prints there"
	case strings.Contains(text, protocol.ErrNotAdmitted.Error()), strings.Contains(text, "it says:"):
		return "both devices have to be in the same swarm, or neither in any: yan-node swarm show on both"
	case strings.Contains(text, "peer id mismatch"):
		return "another device answers there: take the address, with its /p2p/ name, that yan-node status prints there"
	case strings.Contains(text, "another network"):
		return "the node there is of another network"
	case strings.Contains(text, "timeout"), strings.Contains(text, "deadline"), strings.Contains(text, "no recent network activity"):
		return "nothing answers: the machine is off, the address is wrong, or a firewall drops what comes; open its UDP and TCP port there, or meet through a relay"
	case strings.Contains(text, "unreachable"), strings.Contains(text, "no route"):
		return "there is no way to that network from here: is this device connected?"
	}
	return "check the address against what yan-node status prints there"
}

// refusals says that a swarm has shut its door.
func (f *facts) refusals(members int) []finding {
	if f.stats.ShutOut == 0 || members > 0 {
		return nil
	}
	return found("swarm", wrong, fmt.Sprintf("peers did not let this device in, %s", often(int(f.stats.ShutOut))),
		"its admission is not of their swarm, has ended or was revoked: yan-node swarm show here and there")
}

// waysOf are the ways of a link's connections.
func waysOf(l p2p.Link) (ways []string) {
	for _, p := range l.Paths {
		ways = append(ways, p.Way)
	}
	return ways
}

// clocks compares ours with those of the peers that told theirs.
func (f *facts) clocks() []finding {
	var off []time.Duration
	var list []finding
	for _, s := range f.sights {
		if s.Why != "" || s.Ahead.Abs() <= s.Within {
			if s.Why == "" {
				off = append(off, 0)
			}
			continue
		}
		off = append(off, s.Ahead)
	}
	if len(off) == 0 {
		return nil
	}
	slices.Sort(off)
	middle := off[len(off)/2]
	if other := off[(len(off)-1)/2]; other.Abs() < middle.Abs() { // of two it is not known which is wrong
		middle = other
	}
	const set = "set it by the network (timedatectl set-ntp true, or the system's settings)"
	if len(off) > 1 && middle.Abs() >= oddClock {
		return found("clock", bad(middle), fmt.Sprintf("this device's clock is %s those of its peers (the middle one of %d)", apart(-middle), len(off)), set)
	}
	for _, s := range f.sights {
		if d := s.Ahead; s.Why == "" && d.Abs() >= oddClock {
			who := "the clock of " + string(s.Peer) + " is " + apart(d) + " this device's"
			list = append(list, finding{"clock", bad(d), who, "find out which of the two is right, and on the other " + set})
		}
	}
	if len(list) > 0 {
		return list
	}
	return found("clock", good, fmt.Sprintf("it agrees with those of %s", several(len(off), "peer")), "")
}

func bad(d time.Duration) string {
	if d.Abs() >= badClock {
		return wrong
	}
	return hint
}

// apart says how far a clock that is ahead by d is from another.
func apart(d time.Duration) string {
	if d < 0 {
		return ui.Duration(d.Abs().Round(time.Second)) + " behind"
	}
	return ui.Duration(d.Round(time.Second)) + " ahead of"
}

func several(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// halves says who of two peers sees which, where only one sees the other, in both looks around.
func (f *facts) halves() (list []finding) {
	before := halvesOf(f.self, f.links, f.sights)
	for _, h := range halvesOf(f.self, f.links, f.again) {
		if slices.Contains(before, h) {
			list = append(list, h)
		}
	}
	return list
}

func halvesOf(self protocol.PeerID, links []p2p.Link, sights []p2p.Sight) (list []finding) {
	ours := map[protocol.PeerID]bool{self: true}
	connected := map[protocol.PeerID]bool{}
	for _, l := range links {
		ours[l.Peer], connected[l.Peer] = l.Member, len(l.Paths) > 0
	}
	for _, s := range sights { // which is later
		ours[s.Peer] = s.Member
	}
	missing := map[protocol.PeerID][]string{}
	for _, s := range sights {
		switch {
		case s.Why != "" && s.Member && connected[s.Peer] && !strings.Contains(s.Why, "not supported"):
			list = append(list, finding{"seen", hint, fmt.Sprintf("%s is connected and does not say whom it sees: %s", s.Peer, s.Why),
				"ask again in a minute; if it stays, yan-node doctor there: it is too busy to answer, or half dead"})
		case s.Why != "" && s.Member && !strings.Contains(s.Why, "not supported"):
			list = append(list, finding{"seen", wrong, fmt.Sprintf("others say that %s is here, and this device cannot reach it: %s", s.Peer, s.Why),
				"open the UDP and TCP port of one of the two in its firewall, or name a relay with --relay"})
		case s.Why != "":
		case s.Member && !s.SeesUs:
			list = append(list, finding{"seen", wrong, fmt.Sprintf("half joined: this device sees %s, and %s does not see this device", s.Peer, s.Peer),
				"wait half a minute and ask again; if it stays, yan-node doctor there: it ignores this device, or its cell is full; starting that one again ends it"})
		case !s.Member && s.SeesUs:
			list = append(list, finding{"seen", wrong, fmt.Sprintf("half joined: %s sees this device, and this device does not see %s", s.Peer, s.Peer),
				"wait half a minute and ask again; if it stays, start this node again"})
		}
		if s.Why == "" && s.Member && s.SeesUs && !s.Near { // another cell has other members
			for _, id := range s.Members {
				if !ours[id] {
					missing[id] = append(missing[id], string(s.Peer))
				}
			}
		}
	}
	for id, by := range missing {
		slices.Sort(by)
		list = append(list, finding{"seen", hint, fmt.Sprintf("%s is seen by %s, and not by this device", id, strings.Join(by, ", ")),
			"wait half a minute and ask again; if it stays, start this node again with --join and its address"})
	}
	slices.SortFunc(list, func(a, b finding) int { return strings.Compare(a.What, b.What) })
	return list
}

// models says with whom nothing is exchanged.
func (f *facts) models() (list []finding) {
	foreign := 0
	for _, p := range f.peers {
		if p.Reason == "" {
			continue
		}
		foreign++
		list = append(list, finding{"model", hint, fmt.Sprintf("nothing is exchanged with %s (%s): %s", p.ID, p.Agent, p.Reason),
			"skills fit the base that they were learnt on: run both nodes with the same --model"})
	}
	if foreign > 0 && foreign == len(f.peers) {
		for i := range list {
			list[i].State = wrong // there is nobody else
		}
	}
	return list
}

// budgets says which skills are told no more.
func (f *facts) budgets() []finding {
	if len(f.spent) == 0 {
		return nil
	}
	return found("privacy", hint, "announced no more, since their budget of what may be told is spent: "+strings.Join(f.spent, ", "),
		"raise it with yan-node skill share NAME --epsilon, if what they tell may be known better")
}

// spentOf are the skills whose budget is spent.
func spentOf(n *node.Node) (names []string) {
	for _, s := range n.Learner().Skills() {
		if t := n.Terms(s); s.Own() && n.Shares(s) && t.Bounded() && n.Told(s).Left == 0 {
			names = append(names, s.Name)
		}
	}
	return names
}

// listening says whether others can come to us.
func (f *facts) listening() []finding {
	if !f.running || f.offline {
		return nil
	}
	outside := slices.ContainsFunc(f.addrs, func(a string) bool { return !strings.HasPrefix(a, "/ip4/127.") && !strings.HasPrefix(a, "/ip6/::1/") })
	dependent := ""
	for _, kind := range []string{"tcp", "udp"} {
		if f.reach.Mapping[kind] == p2p.MappingDependent {
			dependent = kind
		}
	}
	port := portOf(f.addrs)
	switch r := f.reach; {
	case !outside:
		return found("reach", hint, "it listens on this machine alone: "+strings.Join(f.addrs, " "), "leave --listen out, or name an address of this machine that others can reach")
	case len(r.Reachable) > 0:
		return found("reach", good, "others reach it at "+strings.Join(r.Reachable, ", "), "")
	case len(r.Unreachable) > 0 && len(r.Relayed) == 0 && dependent != "":
		return found("reach", wrong, "nobody from outside can reach it, and no hole can be punched: its address translation is another to everyone ("+dependent+", "+p2p.MappingDependent+")",
			"forward port "+port+" (UDP and TCP) to this device in the router, or name a relay with --relay")
	case len(r.Unreachable) > 0 && len(r.Relayed) == 0:
		return found("reach", wrong, "port "+port+" is not open: others tried "+strings.Join(r.Unreachable, ", ")+" and got no answer",
			"forward it (UDP and TCP) to this device in the router, or name a relay with --relay")
	case len(r.Relayed) > 0 && dependent != "":
		return found("reach", hint, "it is reached through a relay, and no hole can be punched ("+dependent+", "+p2p.MappingDependent+" mapping): no skills come that way but from nodes with an open port",
			"forward port "+port+" (UDP and TCP) to this device in the router")
	case len(r.Relayed) > 0:
		return found("reach", good, "it is reached through a relay, and directly once a hole is punched", "")
	case r.Called:
		return found("reach", good, "others have dialled it", "")
	case members(f.links) > 0:
		return found("reach", hint, "nobody has dialled this device yet, though it has peers: port "+port+" may not be open",
			"if devices elsewhere have to reach this one, forward the port (UDP and TCP) in the router, or name a relay with --relay; on one local network let it through the firewall")
	}
	return nil
}

// portOf is the port that is listened on, as far as it is one.
func portOf(addrs []string) string {
	for _, a := range addrs {
		parts := strings.Split(a, "/")
		if len(parts) > 4 && (parts[3] == "udp" || parts[3] == "tcp") {
			return parts[4]
		}
	}
	return "of --listen"
}

func members(links []p2p.Link) (n int) {
	for _, l := range links {
		if l.Member {
			n++
		}
	}
	return n
}

// datagrams says whether UDP comes through.
func (f *facts) datagrams() []finding {
	var blocked []string
	for _, l := range f.links {
		for _, p := range l.Paths {
			if p.Transport == "quic" && p.Way != "relay" {
				return found("udp", good, "datagrams come through", "")
			}
		}
		knows := slices.ContainsFunc(l.Knows, func(a string) bool { return strings.Contains(a, "/quic-v1") && !strings.Contains(a, "/p2p-circuit") })
		dialled := slices.ContainsFunc(l.Paths, func(p p2p.Path) bool { return p.Dialled && p.Transport == "tcp" && p.Way != "relay" })
		if knows && dialled {
			blocked = append(blocked, string(l.Peer))
		}
	}
	if len(blocked) == 0 {
		return nil
	}
	return found("udp", hint, "UDP seems to be blocked: all connections are TCP, though "+strings.Join(blocked, ", ")+" would take QUIC",
		"let UDP out, and in on port "+portOf(f.addrs)+", in the firewall; TCP works, more slowly, and holes are harder to punch")
}

// faults says who is ignored.
func (f *facts) faults() []finding {
	if f.stats.Ignored == 0 {
		return nil
	}
	var what []string
	for _, c := range f.stats.Faults {
		if c.N > 0 {
			what = append(what, fmt.Sprintf("%s %s", c.What, often(int(c.N))))
		}
	}
	return found("faults", hint, several(f.stats.Ignored, "peer")+" ignored for ten minutes, for what they sent: "+strings.Join(what, ", "),
		"yan-node peers says who; if it is yours, bring it to this version ("+ui.Version()+")")
}

// buffers says whether the system lets QUIC have what it asks for.
func (f *facts) buffers() []finding {
	if !f.running || f.offline || f.buffer == 0 || f.buffer >= goodBuffer {
		return nil
	}
	return found("buffers", hint, fmt.Sprintf("the system grants datagrams %s of buffer, and QUIC asks for %s: packets are lost when much comes at once", ui.Bytes(int64(f.buffer)), ui.Bytes(goodBuffer)),
		fmt.Sprintf("sudo sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d", goodBuffer, goodBuffer))
}

// bufferFiles say how large a buffer for datagrams may be, on Linux: the smaller of the two counts.
var bufferFiles = []string{"/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max"}

func bufferOf(files []string) (least int) {
	if runtime.GOOS != "linux" {
		return 0
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return 0
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return 0
		}
		if least == 0 || n < least {
			least = n
		}
	}
	return least
}

// How long the doctor looks around, twice, and how long it waits between.
const (
	lookWait  = 5 * time.Second
	lookPause = 2 * time.Second
)

// facts are what there is to see of a running node.
func (s *session) facts(ctx context.Context) *facts {
	f := &facts{now: time.Now(), running: true, offline: s.offline, writes: s.disk.stats(), buffer: bufferOf(bufferFiles)}
	asked, cancel := context.WithTimeout(ctx, scrapeWait)
	defer cancel()
	type seen struct {
		peers []exchange.PeerStatus
		spent []string
	}
	answer := make(chan seen, 1)
	if err := s.dev.Do(asked, func(_ time.Time, n *node.Node) (node.Actions, error) {
		answer <- seen{n.Conversation().Peers(), spentOf(n)}
		return node.Actions{}, nil
	}); err == nil {
		got := <-answer
		f.peers, f.spent, f.answers = got.peers, got.spent, true
	}
	if u, err := s.dev.Store.Usage(); err == nil {
		f.usage = &u
	}
	f.notes, _ = s.dev.Notes() // what cannot be read is seen when it is used
	f.swarmOf(s.dev.Home)
	if s.mesh == nil {
		return f
	}
	f.sought = s.lan || len(s.runFlags.join) > 0 || len(s.dev.Store.PeerBook().Load()) > 0
	f.self, f.addrs, f.reach, f.stats = s.mesh.Self(), s.mesh.Addrs(), s.mesh.Reach(), s.mesh.Stats()
	f.links, f.attempts = s.mesh.Links(), s.mesh.Attempts()
	look := func() []p2p.Sight {
		ctx, cancel := context.WithTimeout(ctx, lookWait)
		defer cancel()
		return s.mesh.Look(ctx)
	}
	if f.sights = look(); len(halvesOf(f.self, f.links, f.sights)) > 0 { // it may be that somebody is only just joining
		select {
		case <-time.After(lookPause):
			f.again, f.links = look(), s.mesh.Links()
		case <-ctx.Done():
		}
	}
	return f
}

func (f *facts) swarmOf(home string) {
	b := bookIn(home)
	if f.inSwarm = b.joined() || b.owned(); f.inSwarm {
		f.pass, f.passErr = b.Load()
	}
}

// report is what follows from the facts.
func (f *facts) report(id protocol.PeerID, home string) doctorReport {
	r := doctorReport{Running: f.running, ID: id, Home: home, Findings: f.diagnose()}
	for _, x := range r.Findings {
		if x.State == wrong {
			r.Wrong++
		}
	}
	return r
}

// doctorCommand says what is wrong and how to mend it.
func doctorCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with the device and its mesh, and how to mend it",
		Long: `doctor looks at the node that runs on the home: its disk, its clock, its swarm, whom it tried to meet and what they
answered, whether of two nodes only one sees the other, and whether others can reach it. Its exit status is 1 if
something is wrong; what merely could be better is a hint.`,
		Example: `  yan-node doctor
  yan-node doctor --home ~/car --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.exists(); err != nil {
				return err
			}
			r, err := c.examine(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if c.json {
				err = ui.JSON(out, r)
			} else {
				fmt.Fprintf(out, "device %s\nhome %s\n", r.ID, r.Home)
				for _, x := range r.Findings {
					fmt.Fprintf(out, "%-5s  %-7s  %s\n", x.State, x.Check, printable([]byte(x.What)))
					if x.Mend != "" {
						fmt.Fprintf(out, "%-5s  %-7s  to mend it: %s\n", "", "", x.Mend)
					}
				}
			}
			if err == nil && r.Wrong > 0 {
				err = fmt.Errorf("%s wrong: see above", map[bool]string{true: "one thing is", false: fmt.Sprintf("%d things are", r.Wrong)}[r.Wrong == 1])
			}
			return err
		},
	}
}

// examine asks the running node, or looks at the home of one that does not run.
func (c *common) examine(ctx context.Context) (r doctorReport, err error) {
	home, err := c.folder()
	if err != nil {
		return r, err
	}
	st, err := store.Open(home, store.Options{Format: node.Format})
	if errors.Is(err, store.ErrInUse) {
		err = c.ask(ctx, "/v1/doctor", &r, err)
		return r, err
	}
	if err != nil {
		return r, err
	}
	f := &facts{now: time.Now()}
	if u, err := st.Usage(); err == nil {
		f.usage = &u
	}
	f.notes, _ = st.Notes()
	f.swarmOf(home)
	if err := st.Close(); err != nil {
		return r, err
	}
	self, err := identity(home)
	if err != nil {
		return r, err
	}
	return f.report(self, filepath.Clean(home)), nil
}
