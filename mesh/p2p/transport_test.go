package p2p

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/protocol"
)

func TestPlain(t *testing.T) {
	ping, suspect := []byte{kindPing, 0x80}, []byte("\x03\x82\xa4Node\xa1x\xabIncarnation\x07")
	compound := func(parts ...[]byte) []byte {
		b := []byte{kindCompound, byte(len(parts))}
		for _, p := range parts {
			b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
		}
		return append(b, bytes.Join(parts, nil)...)
	}
	crc := func(b []byte) []byte { return append([]byte{kindCRC, 1, 2, 3, 4}, b...) }
	for _, b := range [][]byte{ping, suspect, compound(ping, suspect), crc(ping), crc(compound(suspect)), compound()} {
		if !plain(b) {
			t.Errorf("%x is refused", b)
		}
	}
	for _, b := range [][]byte{
		{9, 0x80},                     // compressed
		{10, 0x80},                    // encrypted
		{8, 'x'},                      // a user's
		{kindPushPull, 0x80},          // not for packets
		{244, 1, 'x', kindPing, 0x80}, // labelled
		crc([]byte{9, 0x80}),
		crc(crc(ping)),
		compound(ping, []byte{9, 0x80}),
		compound(compound(ping)),
		compound(crc(ping)),
		compound(ping, nil),
		compound(ping)[:4],
		append(compound(ping), 1),
		{kindCompound},
		{kindCompound, 200, 0},
		{kindCRC, 1, 2, 3, 4},
		[]byte("\x00\x81\xa4Node\xc9\x96\x96\xd0\x64\x00"), // an extension of gigabytes
		[]byte("\x04\x81\xa4Addr\xc6\x96\x96\xd0\x64"),
		[]byte("\x04\x81\xa3Vsn\xdd\x96\x96\xd0\x64"),
		[]byte("\x02\x81\xa5SeqNo\xcb\x00\x00\x00\x00\x00\x00\x00\x00"),
		[]byte("\x03\xdf\xff\xff\xff\xff"),
		[]byte("\x03\x81\x05\x05"),
		{kindPing, 0x80, 0},
		{kindPing},
	} {
		if plain(b) {
			t.Errorf("%x is let through", b)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte{kindCompound, 1, 0, 2, kindPing, 0x80})
	f.Add([]byte{kindCRC, 1, 2, 3, 4, kindPing, 0x80})
	f.Add([]byte("\x03\x82\xa4Node\xa1x\xabIncarnation\x07"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || !plain(b) {
			return
		}
		if b[0] == 9 || b[0] == 244 {
			t.Errorf("%x is let through", b)
		}
		if !leaf(b) {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var alive struct { // has a field of each sort that there is
			Incarnation     uint32
			Node            string
			Addr, Meta, Vsn []byte
			Nack            bool
		}
		_ = codec.NewDecoder(bytes.NewReader(b[1:]), &codec.MsgpackHandle{}).Decode(&alive)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20+uint64(10*len(b)) {
			t.Fatalf("%x makes memberlist's decoder take %d bytes", b, took)
		}
	})
}

// claim is a push and pull that claims to bring so many members and so much state, as memberlist writes it, and brings
// some members.
func claim(t testing.TB, nodes, state, brought int) []byte {
	var b bytes.Buffer
	b.WriteByte(kindPushPull)
	e := codec.NewEncoder(&b, &codec.MsgpackHandle{})
	encode := func(v any) {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	encode(struct {
		Nodes        int
		UserStateLen int
		Join         bool
	}{nodes, state, true})
	for i := range brought {
		encode(struct {
			Name        string
			Addr        []byte
			Port        uint16
			Meta        []byte
			Incarnation uint32
			State       int
			Vsn         []uint8
		}{string(meshtest.ID(i)), net.ParseIP("fd00::1"), 7946, make([]byte, 70), 1 << 30, 2, []uint8{1, 5, 2, 0, 0, 0}})
	}
	return b.Bytes()
}

// A push and pull may not claim more than it can bring, reaches memberlist to the last byte, and is not read beyond.
func TestReadSync(t *testing.T) {
	for _, n := range []int{0, 1, 60, syncNodes} {
		all := claim(t, n, 0, n)
		got, err := readSync(iotest.OneByteReader(bytes.NewReader(append(all, 0xab, 0xab))))
		if err != nil {
			t.Fatalf("%d members: %v", n, err)
		}
		if !bytes.Equal(got, all) {
			t.Errorf("%d members: of %d bytes %d were read", n, len(all), len(got))
		}
	}
	for _, b := range [][]byte{
		claim(t, syncNodes+1, 0, syncNodes+1), claim(t, 1<<20, 0, 0), claim(t, -1, 0, 0), claim(t, 1, 1, 1), claim(t, 1, 20<<20, 1), claim(t, 2, 0, 1),
		{}, {kindPushPull}, {kindPing, 0x80}, {9, 0x80}, {244, 1, 'x'},
		append([]byte{kindPushPull}, bytes.Repeat([]byte{0x91}, 1<<20)...),
		{kindPushPull, 0xdf, 0xff, 0xff, 0xff, 0xff},
		{kindPushPull, 0x81, 0xdb, 0x7f, 0xff, 0xff, 0xff},
		[]byte("\x06\x81\xa4Join\xc9\x96\x96\xd0\x64\x00"),
		// Found by fuzzing: memberlist's decoder takes 2.4 GB for it.
		[]byte("\x06\x83\xa4Jo\x89\x89\x89\x89\x89\x89\x89\xa5N\x80\x00\x00\x00\xd0\xfd\xff\xffTno\x96\xff\xff\xff\x80\xc9\x96\x96\xd0d\xff\xffTno\x80\xff\xff\xff\x96\x96\x96\x96\x7f\xff\x0e"),
		append(claim(t, 1, 0, 0), "\x81\xa4Addr\xc9\x96\x96\xd0\x64\x00"...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readSync(bytes.NewReader(b))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%.20x is let through", b)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 2<<20 {
			t.Errorf("%.20x allocates %d bytes", b, got)
		}
	}
}

// What readSync lets through is what came, and memberlist's own decoder reads it without taking more than there is.
func FuzzReadSync(f *testing.F) {
	f.Add(claim(f, 3, 0, 3))
	f.Add(append(claim(f, 1000, 0, 1), 1, 2, 3))
	f.Add([]byte{kindError, 0x81, 0xa5, 'E', 'r', 'r', 'o', 'r', 0xa1, 'x'})
	f.Add([]byte{kindPushPull, 0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readSync(bytes.NewReader(b))
		if !bytes.HasPrefix(b, got) {
			t.Fatalf("%x became %x", b, got)
		}
		if err != nil {
			return
		}
		if again, err := readSync(bytes.NewReader(got)); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%x is read as %x and then as %x, %v", b, got, again, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var head struct {
			Nodes, UserStateLen int
			Join                bool
		}
		_ = codec.NewDecoder(bytes.NewReader(got[1:]), &codec.MsgpackHandle{}).Decode(&head)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20+uint64(10*len(b)) {
			t.Fatalf("%x makes memberlist's decoder take %d bytes", got, took)
		}
	})
}

// A frame is read as it was written, and what is no frame takes no more memory than has come.
func FuzzFrame(f *testing.F) {
	f.Add(frameOf([]byte("a frame")))
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f, 1, 2, 3})
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 1 << 20
		r := bufio.NewReader(bytes.NewReader(b))
		n, err := readLength(r, most)
		if err != nil {
			return
		}
		if n < 1 || n > most {
			t.Fatalf("a length of %d", n)
		}
		claimed := 0
		frame, err := readClaimed(r, n, func(n int) error { claimed += n; return nil })
		if claimed > max(firstBytes, 2*len(b)) {
			t.Fatalf("%d bytes came, and %d were claimed", len(b), claimed)
		}
		if err != nil {
			return
		}
		again, err := readLength(bufio.NewReader(bytes.NewReader(frameOf(frame))), most)
		if len(frame) != n || err != nil || again != n {
			t.Fatalf("%d bytes, then %d, %v", len(frame), again, err)
		}
	})
}

// readBytes claims memory for what has come, not for what was promised.
func TestReadBytes(t *testing.T) {
	all := make([]byte, 5*chunk+7)
	rand.Read(all)
	for _, n := range []int{1, 100, chunk, chunk + 1, 3 * chunk, len(all)} {
		got, err := readBytes(iotest.HalfReader(bytes.NewReader(all)), n)
		if err != nil || !bytes.Equal(got, all[:n]) || cap(got) != n {
			t.Errorf("%d bytes: got %d with room for %d, %v", n, len(got), cap(got), err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readBytes(bytes.NewReader(all[:100]), 1<<30); err != io.ErrUnexpectedEOF {
		t.Errorf("a gigabyte that does not come: %v", err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2*chunk {
		t.Errorf("a gigabyte that does not come allocates %d bytes", got)
	}
}

func TestReadLength(t *testing.T) {
	const most = 300
	for n := range 1000 {
		r := bufio.NewReader(bytes.NewReader(binary.AppendUvarint(nil, uint64(n))))
		got, err := readLength(r, most)
		if ok := n >= 1 && n <= most; ok != (err == nil) || ok && got != n || !ok && err != errFrame {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
	for _, b := range [][]byte{bytes.Repeat([]byte{0xff}, 9), {0xff, 0xff, 0xff, 0xff, 1}} {
		if n, err := readLength(bufio.NewReader(bytes.NewReader(b)), 1<<30); err != errFrame {
			t.Errorf("%x: %d, %v", b, n, err)
		}
	}
	// What the stream does is not the peer's fault.
	if _, err := readLength(bufio.NewReader(bytes.NewReader([]byte{0x80})), most); err != io.EOF {
		t.Errorf("half a length: %v", err)
	}
}

func TestMeta(t *testing.T) {
	var addrs []ma.Multiaddr
	for _, s := range []string{
		"/ip4/192.0.2.1/udp/4001/quic-v1", "/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/udp/4001/quic-v1",
	} {
		addrs = append(addrs, ma.StringCast(s))
	}
	meta := appendMeta(nil, addrs, memberlist.MetaMaxSize)
	got := parseMeta(meta)
	if len(got) != len(addrs) {
		t.Fatalf("%v became %v", addrs, got)
	}
	for i := range got {
		if !got[i].Equal(addrs[i]) {
			t.Errorf("%v became %v", addrs[i], got[i])
		}
	}
	for n := range meta {
		parseMeta(meta[:n])
		if m := appendMeta(nil, addrs, n); n > 0 && len(m) > n {
			t.Errorf("%d bytes where there is room for %d", len(m), n)
		}
	}
	// What we would not dial at a stranger's word.
	for _, s := range []string{"/dns4/example.org/tcp/1", "/unix/tmp/x", "/ip4/192.0.2.1/tcp/1/ws", "/ip4/192.0.2.1"} {
		if got := parseMeta(appendMeta(nil, []ma.Multiaddr{ma.StringCast(s)}, memberlist.MetaMaxSize)); len(got) > 0 {
			t.Errorf("%s is taken", s)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(appendMeta(nil, []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/udp/4001/quic-v1")}, 512))
	a := admitted("swarm", 0, 1, time.Hour)
	pass := must(protocol.EncodePass(&protocol.Pass{Swarm: a.Swarm, Admission: a}))
	f.Add(appendMeta(admissionMeta(pass), []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/udp/4001/quic-v1")}, 512))
	f.Add([]byte{metaVersion, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a := metaAdmission(b); a != nil && (len(b) == 0 || b[0] != metaSwarm) {
			t.Fatalf("an admission in %x", b)
		}
		got := parseMeta(b)
		again := parseMeta(appendMeta(nil, got, 1<<20))
		if len(got) != len(again) || len(got) > peerAddrs {
			t.Fatalf("%v became %v", got, again)
		}
		for i := range got {
			if !got[i].Equal(again[i]) {
				t.Fatalf("%v became %v", got, again)
			}
		}
	})
}

// Only a member that is what it says gets in.
func TestNotifyAlive(t *testing.T) {
	self, _ := peer.Decode(string(meshtest.ID(0)))
	m := &members{self: self, strikes: newStrikes(quiet), here: make(map[peer.ID]bool), places: newPlaces(0)}
	node := func(i int) *memberlist.Node {
		id, err := peer.Decode(string(meshtest.ID(i)))
		if err != nil {
			t.Fatal(err)
		}
		ip, port := memberAddr(id)
		return &memberlist.Node{Name: id.String(), Addr: ip, Port: uint16(port)}
	}
	if err := m.NotifyAlive(node(1)); err != nil {
		t.Errorf("an honest member: %v", err)
	}
	for name, change := range map[string]func(*memberlist.Node){
		"name":         func(n *memberlist.Node) { n.Name = "node-1" },
		"another's":    func(n *memberlist.Node) { n.Name = node(2).Name },
		"RSA":          func(n *memberlist.Node) { n.Name = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N" },
		"address":      func(n *memberlist.Node) { n.Addr = net.IPv4(192, 0, 2, 1) },
		"port":         func(n *memberlist.Node) { n.Port++ },
		"talkative":    func(n *memberlist.Node) { n.Meta = make([]byte, memberlist.MetaMaxSize+1) },
		"as a CID":     func(n *memberlist.Node) { id, _ := peer.Decode(n.Name); n.Name = peer.ToCid(id).String() },
		"without name": func(n *memberlist.Node) { n.Name = "" },
	} {
		n := node(1)
		change(n)
		if m.NotifyAlive(n) == nil {
			t.Errorf("%s: let in", name)
		}
	}
	for i := range maxMembers {
		id, _ := peer.Decode(node(i + 2).Name)
		m.here[id] = true
	}
	if m.NotifyAlive(node(1)) == nil {
		t.Error("let in, though it is full")
	}
	if err := m.NotifyAlive(node(2)); err != nil {
		t.Errorf("one who is in already: %v", err)
	}
}
