package tally

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A cell is a session in one thread: messages go as bytes, in any order, some twice, and members drop out where the story wants it.
type cell struct {
	t       *testing.T
	r       *rand.Rand
	cfg     Config
	keys    []ed25519.PrivateKey
	vectors [][]uint32
	members []*Member
	sum     *Collector
	said    []*Message // all that the collector ever heard
	told    []*Message // and all that it said
}

func chance(seed uint64) *rand.ChaCha8 {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	return rand.NewChaCha8(b)
}

func newCell(t *testing.T, seed uint64, n, threshold, values int) *cell {
	t.Helper()
	c := &cell{t: t, r: rand.New(rand.NewPCG(seed, 1)), cfg: Config{Threshold: threshold, Values: values}}
	binary.LittleEndian.PutUint64(c.cfg.Session[:], seed)
	for i := range n {
		var b [32]byte
		b[0], b[1] = byte(i), byte(seed)
		c.keys = append(c.keys, ed25519.NewKeyFromSeed(b[:]))
		c.cfg.Members = append(c.cfg.Members, c.keys[i].Public().(ed25519.PublicKey))
		v := make([]uint32, values)
		for k := range v {
			v[k] = c.r.Uint32() >> (c.r.IntN(2) * 20) // large ones wrap around, small ones do not
		}
		c.vectors = append(c.vectors, v)
	}
	for i := range n {
		m, err := NewMember(c.cfg, i, c.keys[i], slices.Clone(c.vectors[i]), chance(seed*100+uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		c.members = append(c.members, m)
	}
	var err error
	if c.sum, err = NewCollector(c.cfg); err != nil {
		t.Fatal(err)
	}
	return c
}

// wire is a message as the other end gets it.
func (c *cell) wire(m *Message) *Message {
	c.t.Helper()
	b := m.Encode()
	got, err := Decode(b)
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Equal(got.Encode(), b) {
		c.t.Fatal("what was decoded is not what was encoded")
	}
	return got
}

// run goes through the rounds. Members of dropped[k] do not say the k-th of the messages that members say, nor any later one.
func (c *cell) run(dropped map[Kind][]int) error {
	c.t.Helper()
	gone := map[int]bool{}
	var say []*Message
	for _, m := range c.members {
		say = append(say, m.Begin())
	}
	for {
		for _, v := range dropped[c.sum.Round()] {
			gone[v] = true
		}
		c.r.Shuffle(len(say), func(i, j int) { say[i], say[j] = say[j], say[i] })
		for _, m := range say {
			if gone[int(m.Member)] {
				continue
			}
			for range 1 + c.r.IntN(2) {
				if err := c.sum.Handle(c.wire(m)); err != nil {
					c.t.Fatal(err)
				}
			}
			c.said = append(c.said, m)
		}
		out, err := c.sum.Next()
		if err != nil {
			return err
		}
		if c.sum.Round() == 0 {
			return nil
		}
		c.told = append(c.told, out...)
		say = say[:0]
		for _, m := range out {
			if gone[int(m.Member)] {
				continue
			}
			answer, err := c.members[m.Member].Handle(c.wire(m))
			if err != nil {
				return err
			}
			say = append(say, answer)
		}
	}
}

// plain is the sum as one who sees every vector has it.
func (c *cell) plain(members []int) []uint32 {
	sum := make([]uint32, c.cfg.Values)
	for _, v := range members {
		for i, x := range c.vectors[v] {
			sum[i] += x
		}
	}
	return sum
}

// rounds are what members say, in order.
var rounds = []Kind{Keys, Sealed, Masked, Agreed, Revealed}

// Whoever drops out in whatever round, as long as enough stay: the sum is that of the vectors that came, to the bit.
func TestSumIsExact(t *testing.T) {
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 9))
		n := 2 + r.IntN(8)
		threshold := n/2 + 1 + r.IntN(n-n/2)
		c := newCell(t, seed, n, threshold, 1+r.IntN(700))
		dropped := map[Kind][]int{}
		in := map[int]bool{}
		for v := range n {
			in[v] = true
		}
		for _, v := range r.Perm(n)[:n-threshold] {
			at := rounds[r.IntN(len(rounds))]
			dropped[at] = append(dropped[at], v)
			in[v] = at > Masked // it had said its vector
		}
		if err := c.run(dropped); err != nil {
			t.Fatalf("seed %d, %d members, %d needed, %v dropped: %v", seed, n, threshold, dropped, err)
		}
		sum, members, ok := c.sum.Sum()
		var want []int
		for v := range n {
			if in[v] {
				want = append(want, v)
			}
		}
		if !ok || !slices.Equal(members, want) || !slices.Equal(sum, c.plain(want)) {
			t.Fatalf("seed %d, %d members, %v dropped: of %v (%v), want of %v", seed, n, dropped, members, ok, want)
		}
	}
}

// With too few left in any round the sum is not had, the error says so, and no share was told that a collector could use.
func TestTooFewRevealNothing(t *testing.T) {
	const n, threshold = 6, 5
	for _, at := range rounds {
		c := newCell(t, uint64(at), n, threshold, 40)
		err := c.run(map[Kind][]int{at: {0, 3}})
		sum, _, ok := c.sum.Sum()
		if !errors.Is(err, ErrTooFew) || ok || sum != nil || c.sum.Round() != at {
			t.Errorf("two of %d drop out before they say message %d: %v, %v", n, at, err, sum)
		}
		shares := map[uint8]int{}
		for _, m := range c.said {
			if m.Kind == Revealed {
				for _, it := range m.Items {
					shares[it.Member]++
				}
			}
		}
		for v, k := range shares {
			if k >= threshold {
				t.Errorf("message %d: %d shares of member %d's secret were told", at, k, v)
			}
		}
	}
}

// uniform is how far bytes are from all being as frequent: the 255 degrees of freedom of a χ² test, in its standard deviations.
func uniform(v []uint32) float64 {
	var count [256]float64
	for _, x := range v {
		for k := range 4 {
			count[byte(x>>(8*k))]++
		}
	}
	each, chi := float64(4*len(v))/256, 0.0
	for _, k := range count {
		chi += (k - each) * (k - each) / each
	}
	return math.Abs(chi-255) / math.Sqrt(2*255)
}

// What the collector has of one member's vector looks like noise when it comes, and does so still with all that is revealed in the
// end; only all together give the sum. A vector without masks does not look so.
func TestOneVectorIsNoise(t *testing.T) {
	c := newCell(t, 5, 5, 4, 20_000)
	for v := range c.vectors {
		for i := range c.vectors[v] {
			c.vectors[v][i] = uint32(v)
		}
		copy(c.members[v].vector, c.vectors[v])
	}
	if err := c.run(map[Kind][]int{Masked: {2}}); err != nil {
		t.Fatal(err)
	}
	sum, members, _ := c.sum.Sum()
	if !slices.Equal(sum, c.plain([]int{0, 1, 3, 4})) {
		t.Fatalf("the sum of %v is wrong", members)
	}
	for _, v := range members {
		y := slices.Clone(c.sum.masked[v].Values)
		if d := uniform(y); d > 4 {
			t.Errorf("what member %d says is %.1f deviations from noise", v, d)
		}
		own, err := c.sum.secretOf(v, members)
		if err != nil || own != c.members[v].own {
			t.Fatalf("member %d's own mask: %v", v, err)
		}
		add(y, own, c.cfg.Session, ^uint32(0))
		if d := uniform(y); d > 4 || slices.Equal(y, c.vectors[v]) {
			t.Errorf("without its own mask what member %d says is %.1f deviations from noise", v, d)
		}
	}
	if d := uniform(c.vectors[3]); d < 100 {
		t.Errorf("a vector as it is is %.1f deviations from noise: the test sees nothing", d)
	}
	for _, m := range c.said { // and no share of the key of one who is left, nor of the own mask of one who is not
		for _, it := range m.Items {
			if m.Kind == Revealed && (it.Bytes[0] == ofMask) != (it.Member == 2) {
				t.Errorf("member %d told a share of kind %d of member %d", m.Member, it.Bytes[0], it.Member)
			}
		}
	}
}

// A collector who lies gets nothing for it: members answer a round once, hold to one list of who is left, want the signatures of
// enough others under that list, and know one another's keys.
func TestLyingCollector(t *testing.T) {
	rig := func() (*cell, *Member) {
		c := newCell(t, 3, 4, 3, 10)
		if err := c.run(map[Kind][]int{Agreed: {1, 2, 3}}); !errors.Is(err, ErrTooFew) {
			t.Fatal(err)
		}
		return c, c.members[0] // which has said who is left
	}
	find := func(c *cell, k Kind) *Message {
		for _, m := range c.told {
			if m.Kind == k && m.Member == 0 {
				n := *m
				n.Items = slices.Clone(m.Items)
				return &n
			}
		}
		t.Fatalf("no message %d", k)
		return nil
	}
	refused := func(what string, m *Member, in *Message) {
		t.Helper()
		before := m.round
		if out, err := m.Handle(in); err == nil || out != nil || m.round != before {
			t.Errorf("%s: %v, %v", what, out, err)
		}
	}
	c, m := rig()
	other := find(c, Survivors)
	other.Items = other.Items[:3]
	refused("another list of who is left", m, other)
	refused("the same list again", m, find(c, Survivors))
	refused("the roster again", m, find(c, Roster))
	confirm := m.message(Confirmed)
	for v := range 4 {
		confirm.Items = append(confirm.Items, Item{uint8(v), ed25519.Sign(c.keys[v], c.cfg.signed(Agreed, 0, list([]int{0, 1, 2})))})
	}
	refused("signatures under another list", m, confirm)
	full, _ := c.cfg.complete()
	for v := range confirm.Items {
		confirm.Items[v].Bytes = ed25519.Sign(c.keys[v], full.signed(Agreed, 0, list([]int{0, 1, 2, 3})))
	}
	few := *confirm
	few.Items = few.Items[:2]
	refused("too few signatures", m, &few)
	if out, err := m.Handle(confirm); err != nil || len(out.Items) != 4 {
		t.Errorf("the truth: %v", err)
	}
	refused("once it is over", m, confirm)

	fresh := func() *Member {
		m, err := NewMember(c.cfg, 0, c.keys[0], make([]uint32, 10), chance(300))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for what, change := range map[string]func(*Message){
		"a key changed on its way":    func(m *Message) { m.Items[2].Bytes = slices.Clone(m.Items[2].Bytes); m.Items[2].Bytes[40] ^= 1 },
		"one member's keys for two":   func(m *Message) { m.Items[2].Bytes = m.Items[1].Bytes },
		"without the own keys":        func(m *Message) { m.Items = m.Items[1:] },
		"a roster of too few":         func(m *Message) { m.Items = m.Items[:2] },
		"of another session":          func(m *Message) { m.Session[5] ^= 1 },
		"for another member":          func(m *Message) { m.Member = 1 },
		"a message of a later round":  func(m *Message) { m.Kind = Confirmed },
		"of a member that is not one": func(m *Message) { m.Items[3].Member = 9 },
	} {
		in := find(c, Roster)
		change(in)
		refused(what, fresh(), in)
	}
	if _, err := fresh().Handle(find(c, Roster)); err != nil {
		t.Errorf("the truth: %v", err)
	}
	later := fresh()
	if _, err := later.Handle(find(c, Roster)); err != nil {
		t.Fatal(err)
	}
	boxes := find(c, Delivered)
	boxes.Items = boxes.Items[:2]
	refused("too few boxes", later, boxes)
}

// A member who lies is not heard, or spoils the sum with an error; the vectors of others are not touched.
func TestLyingMember(t *testing.T) {
	c := newCell(t, 4, 4, 3, 10)
	for _, m := range c.members[1:] {
		if err := c.sum.Handle(m.Begin()); err != nil {
			t.Fatal(err)
		}
	}
	bad := c.members[0].Begin()
	bad.Items[0].Bytes[3] ^= 1
	stranger := c.members[0].Begin()
	stranger.Member = 7
	early := &Message{Session: c.cfg.Session, Kind: Masked, Values: make([]uint32, 10)}
	for _, m := range []*Message{bad, stranger, early, {Session: c.cfg.Session, Kind: Keys}} {
		if err := c.sum.Handle(m); !errors.Is(err, ErrMessage) {
			t.Errorf("%+v: %v", m, err)
		}
	}
	if c.sum.Heard() != 3 {
		t.Errorf("%d were heard", c.sum.Heard())
	}
}

func TestShares(t *testing.T) {
	for a := range 256 {
		if a > 0 && multiply(byte(a), inverse(byte(a))) != 1 {
			t.Fatalf("%d has no inverse", a)
		}
	}
	if multiply(0x57, 0x83) != 0xc1 { // FIPS 197, section 4.2
		t.Error("the field is another one")
	}
	secret := [shareBytes]byte{1, 2, 3, 255, 0, 77}
	shares, err := split(secret, 7, 4, chance(1))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		who := r.Perm(7)[:4]
		var some [][shareBytes]byte
		for _, v := range who {
			some = append(some, shares[v])
		}
		if join(who, some) != secret {
			t.Errorf("shares of %v do not give the secret", who)
		}
		if join(who[:3], some[:3]) == secret {
			t.Error("three of four needed shares give the secret")
		}
	}
}

func TestSessionsThatCannotBe(t *testing.T) {
	good := newCell(t, 1, 3, 2, 5).cfg
	for _, change := range []func(*Config){
		func(c *Config) { c.Members = c.Members[:1] }, func(c *Config) { c.Threshold = 1 }, func(c *Config) { c.Threshold = 4 },
		func(c *Config) { c.Values = 0 }, func(c *Config) { c.Values = MaxValues + 1 },
		func(c *Config) { c.Members = []ed25519.PublicKey{c.Members[0], c.Members[0], c.Members[1]} },
		func(c *Config) { c.Members = []ed25519.PublicKey{c.Members[0], c.Members[1], nil} },
	} {
		c := good
		change(&c)
		if _, err := NewCollector(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c := newCell(&testing.T{}, 2, 3, 2, 5)
	if err := c.run(nil); err != nil {
		f.Fatal(err)
	}
	for _, m := range append(c.said, c.told...) {
		f.Add(m.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Encode(), b) {
			t.Errorf("%x is encoded as %x", b, m.Encode())
		}
		_ = c.sum.Handle(m) // no message makes it panic
		for _, member := range newCell(t, 2, 3, 2, 5).members {
			m.Session, m.Member = c.cfg.Session, uint8(member.self)
			for _, round := range []Kind{Roster, Delivered, Survivors, Confirmed} {
				member.round = round
				_, _ = member.Handle(m)
			}
		}
	})
}
