package p2p

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

// These tests are of real packets through the kernel's own address translation, in network namespaces:
//
//	             17.0.0.2 relay
//	                |
//	a 10.0.1.2 -- NAT 17.1.0.2 -- internet -- NAT 17.2.0.2 -- 10.0.2.2 b
//
// The addresses look like public ones, for those are all that libp2p punches holes to; they lead nowhere else. The
// relay has an interface of its own, so what it carries can be told from what passes between a and b directly.

const (
	natAsked = "YAN_NAT_TEST" // set: run these tests
	natNode  = "YAN_NAT_NODE" // set in a process that is a node there: its natConfig
	natTime  = time.Minute    // how long anything may take
)

// A natConfig is a node in a namespace.
type natConfig struct {
	I      int // which peer
	Config Config
}

// nodeInNamespace makes this process such a node, if it is to be one, and then does not return.
func nodeInNamespace() {
	if text := os.Getenv(natNode); text != "" {
		if err := runNATNode(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// runNATNode is the process of a node: it tells on stdout what happens, and does what stdin says.
func runNATNode(text string) error {
	var c natConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	c.Config.Key, c.Config.Log = meshtest.Key(c.I), quiet
	m, err := New(context.Background(), c.Config)
	if err != nil {
		return err
	}
	go func() {
		for ev := range m.Events() {
			what := ""
			switch msg := ev.Msg.(type) {
			case *protocol.Hello:
				what = " " + msg.Agent
			case *protocol.Update:
				what = fmt.Sprintf(" %d bytes", len(msg.Body))
			}
			fmt.Printf("%v %s%s\n", ev.Kind, ev.Peer, what)
		}
	}()
	go func() {
		said := make(map[string]bool)
		say := func(line string) {
			if !said[line] {
				said[line] = true
				fmt.Println(line)
			}
		}
		for ; ; time.Sleep(50 * time.Millisecond) {
			for _, id := range m.host.Network().Peers() {
				say(fmt.Sprintf("%s %s", map[bool]string{true: "direct", false: "relayed"}[direct(m.host, id)], id))
			}
			for _, a := range m.host.Addrs() {
				if relayed(a) {
					say("at a relay")
				}
			}
			if m.bodies.counts.failed.Load() > 0 {
				say("no body")
			}
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for seq := uint64(1); in.Scan(); {
		verb, arg, _ := strings.Cut(in.Text(), " ")
		var msg protocol.Message = &protocol.Hello{Agent: arg}
		if verb == "publish" {
			size, _ := strconv.Atoi(arg)
			msg = update(c.I, seq, size)
			seq++
		}
		if err := m.Send(context.Background(), protocol.Envelope{Msg: msg}); err != nil {
			return err
		}
	}
	return m.Close()
}

// An internet is the namespaces of one test.
type internet struct {
	t     *testing.T
	names map[string]string // of the namespaces, by what they are
}

// newInternet builds one whose routers translate addresses as masquerade says: nothing more, or that they choose a
// port by chance for every new way.
func newInternet(t *testing.T, masquerade string) *internet {
	t.Helper()
	if os.Getenv(natAsked) == "" {
		t.Skipf("makes network namespaces: set %s=1 and be root", natAsked)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may make network namespaces")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s: install iproute2 and nftables", tool)
		}
	}
	n := &internet{t: t, names: make(map[string]string)}
	if out, err := exec.Command("ip", "netns", "add", n.name("net")).CombinedOutput(); err != nil {
		t.Skipf("cannot make a network namespace here: %s", out)
	}
	for _, ns := range []string{"relay", "nat1", "nat2", "a", "b"} {
		n.run("ip", "netns", "add", n.name(ns))
	}
	t.Cleanup(func() {
		for _, name := range n.names {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	})
	for ns := range n.names {
		n.in(ns, "ip link set lo up")
		n.in(ns, "sysctl -qw net.ipv4.ip_forward=1")
	}
	n.link("net", "17.0.0.1", "relay", "17.0.0.2")
	n.link("net", "17.1.0.1", "nat1", "17.1.0.2")
	n.link("net", "17.2.0.1", "nat2", "17.2.0.2")
	n.link("nat1", "10.0.1.1", "a", "10.0.1.2")
	n.link("nat2", "10.0.2.1", "b", "10.0.2.2")
	for _, nat := range []string{"nat1", "nat2"} {
		n.in(nat, `nft add table ip nat`)
		n.in(nat, `nft add chain ip nat out { type nat hook postrouting priority 100 ; }`)
		n.in(nat, `nft add rule ip nat out oifname wan masquerade `+masquerade)
		n.in(nat, `nft add table ip filter`)
		for _, hook := range []string{"input", "forward"} { // nothing comes in that was not asked for
			n.in(nat, fmt.Sprintf(`nft add chain ip filter %s { type filter hook %s priority 0 ; }`, hook, hook))
			n.in(nat, fmt.Sprintf(`nft add rule ip filter %s iifname wan ct state established,related accept`, hook))
			n.in(nat, fmt.Sprintf(`nft add rule ip filter %s iifname wan drop`, hook))
		}
	}
	return n
}

func (n *internet) name(ns string) string {
	n.names[ns] = fmt.Sprintf("yan%d-%s", os.Getpid(), ns)
	return n.names[ns]
}

// link connects two namespaces. In the lower one the interface is wan, the way to everywhere.
func (n *internet) link(upper, upperIP, lower, lowerIP string) {
	n.t.Helper()
	down := "to-" + lower
	n.run("ip", "link", "add", down, "netns", n.names[upper], "type", "veth", "peer", "name", "wan", "netns", n.names[lower])
	n.in(upper, "ip addr add "+upperIP+"/24 dev "+down)
	n.in(lower, "ip addr add "+lowerIP+"/24 dev wan")
	n.in(upper, "ip link set "+down+" up")
	n.in(lower, "ip link set wan up")
	n.in(lower, "ip route add default via "+upperIP)
}

func (n *internet) run(args ...string) string {
	n.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// in runs a command in a namespace.
func (n *internet) in(ns, command string) string {
	n.t.Helper()
	return n.run(append([]string{"ip", "netns", "exec", n.names[ns]}, strings.Fields(command)...)...)
}

// carried is how many bytes the relay's interface has taken in and given out.
func (n *internet) carried() int {
	n.t.Helper()
	sum := 0
	for _, way := range []string{"rx", "tx"} {
		bytes, err := strconv.Atoi(n.in("relay", "cat /sys/class/net/wan/statistics/"+way+"_bytes"))
		if err != nil {
			n.t.Fatal(err)
		}
		sum += bytes
	}
	return sum
}

// A process is a node in a namespace.
type process struct {
	t     *testing.T
	ns    string
	in    io.Writer
	lines chan string
	seen  []string
}

func (n *internet) node(ns string, c natConfig) *process {
	n.t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		n.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", n.names[ns], self)
	cmd.Env = append(os.Environ(), natNode+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	p := &process{t: n.t, ns: ns, in: in, lines: make(chan string, 1024)}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	n.t.Cleanup(func() {
		in.Close()
		late := time.AfterFunc(natTime, func() { cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("%s: %v", ns, err)
		}
		late.Stop()
	})
	return p
}

func (p *process) do(line string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		p.t.Fatal(err)
	}
}

// says waits until the node has said the line.
func (p *process) says(line string) {
	p.t.Helper()
	late := time.After(natTime)
	for !slices.Contains(p.seen, line) {
		select {
		case l, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("%s ended; it had said %q", p.ns, p.seen)
			}
			p.seen = append(p.seen, l)
		case <-late:
			p.t.Fatalf("%s does not say %q but %q", p.ns, line, p.seen)
		}
	}
}

// tells has b say something to everyone until a has heard it: nothing that is said before the two know which topics
// the other follows is repeated by itself.
func (b *process) tells(a *process, what string) {
	b.t.Helper()
	for range int(natTime / time.Second) {
		b.do("hello " + what)
		for late := time.After(time.Second); ; {
			select {
			case l := <-a.lines:
				a.seen = append(a.seen, l)
				continue
			case <-late:
			}
			break
		}
		if a.saidYet(fmt.Sprintf("heard %s %s", meshtest.ID(2), what)) {
			return
		}
	}
	b.t.Fatalf("%s does not hear %q but %q", a.ns, what, a.seen)
}

// saidYet reports whether the node has said a line that begins so.
func (p *process) saidYet(begin string) bool {
	for len(p.lines) > 0 {
		p.seen = append(p.seen, <-p.lines)
	}
	return slices.ContainsFunc(p.seen, func(l string) bool { return strings.HasPrefix(l, begin) })
}

const natRelay = "/ip4/17.0.0.2/udp/4001/quic-v1/p2p/"

// meet starts a relay that is of another network, and so has nothing to pass on of its own, and a and b, which
// know it; b knows a by its name besides. It returns when they are members of one mesh.
func (n *internet) meet() (a, b *process) {
	n.t.Helper()
	n.node("relay", natConfig{0, Config{
		ServeRelay: true, Network: "relay", Listen: []string{"/ip4/17.0.0.2/udp/4001/quic-v1", "/ip4/17.0.0.2/tcp/4001"},
	}})
	relay := natRelay + string(meshtest.ID(0))
	a = n.node("a", natConfig{1, Config{Relays: []string{relay}}})
	a.says("at a relay")
	b = n.node("b", natConfig{2, Config{Relays: []string{relay}, Join: []string{relay + "/p2p-circuit/p2p/" + string(meshtest.ID(1))}}})
	a.says("joined " + string(meshtest.ID(2)))
	b.says("joined " + string(meshtest.ID(1)))
	return a, b
}

const natBody = 1 << 20

// On one link nothing need be named: multicast DNS finds who is there.
func TestNATLAN(t *testing.T) {
	n := newInternet(t, "")
	one := n.node("a", natConfig{1, Config{LAN: true}})
	two := n.node("a", natConfig{2, Config{LAN: true}})
	one.says("joined " + string(meshtest.ID(2)))
	two.says("joined " + string(meshtest.ID(1)))
}

// Behind translators that keep to a port, as those at home do, a hole is punched and a body goes through it, past
// the relay.
func TestNATPunched(t *testing.T) {
	n := newInternet(t, "")
	a, b := n.meet()
	a.says("direct " + string(meshtest.ID(2)))
	b.says("direct " + string(meshtest.ID(1)))
	before := n.carried()
	b.do(fmt.Sprintf("publish %d", natBody))
	a.says(fmt.Sprintf("heard %s %d bytes", meshtest.ID(2), natBody))
	carried := n.carried() - before
	t.Logf("a body of %d bytes: the relay carried %d bytes meanwhile", natBody, carried)
	if carried > natBody/8 {
		t.Errorf("the relay carried %d bytes while a body of %d bytes went by", carried, natBody)
	}
}

// Where nothing passes between the two networks, heads and other small things pass through the relay and bodies do
// not. So it is, too, behind translators that choose another port for every way: no hole can be punched there.
func TestNATNotPunched(t *testing.T) {
	for name, c := range map[string]struct{ masquerade, block string }{
		"nothing between":      {"", "nft add rule ip filter forward ip saddr 17.1.0.0/24 ip daddr 17.2.0.0/24 drop"},
		"a port for every way": {"fully-random", ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInternet(t, c.masquerade)
			if c.block != "" {
				n.in("net", "nft add table ip filter")
				n.in("net", "nft add chain ip filter forward { type filter hook forward priority 0 ; }")
				n.in("net", c.block)
			}
			a, b := n.meet()
			b.tells(a, "through-the-relay")
			before := n.carried()
			b.do(fmt.Sprintf("publish %d", natBody))
			a.says("no body") // so the head came
			b.tells(a, "again")
			carried := n.carried() - before
			t.Logf("a body of %d bytes: the relay carried %d bytes meanwhile", natBody, carried)
			if carried > natBody/4 {
				t.Errorf("the relay carried %d bytes while a body of %d bytes waited", carried, natBody)
			}
			switch {
			case a.saidYet("direct " + string(meshtest.ID(2))):
				t.Error("they are connected directly: the test is of something else than it says")
			case a.saidYet(fmt.Sprintf("heard %s %d bytes", meshtest.ID(2), natBody)):
				t.Error("the body came, and there is only the relay")
			}
		})
	}
}
