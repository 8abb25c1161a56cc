package main

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/learning/gossip"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/protocol"
)

// A dialect is how the nodes of the arena of bytes talk: to whom, and what.
type dialect struct {
	name  string
	to    string
	peers func(rng *rand.Rand, n int) [][]int // of each node, whom it tells
	voice func(start []float32) speaker
}

// A speaker makes messages of a node's parameters, takes those of others apart into what to average with, and is told the average.
type speaker interface {
	say(x []float32) []byte
	hear(b []byte, own []float32) ([]float32, error)
	merged(x []float32)
}

// whole sends every parameter as a float32.
type whole struct{}

func (whole) say(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func (whole) merged([]float32) {}

func (whole) hear(b []byte, own []float32) ([]float32, error) {
	if len(b) != 4*len(own) {
		return nil, fmt.Errorf("%d bytes for %d parameters", len(b), len(own))
	}
	x := make([]float32, len(own))
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x, nil
}

// tenth sends the tenth of the parameters that moved most since the last average, with their places, and forgets about the rest.
type tenth struct{ last []float32 }

func (s *tenth) say(x []float32) []byte {
	var count [1 << 16]int // by the upper half of the size of the change, which orders as the size does
	size := func(i int) uint32 { return math.Float32bits(max(x[i]-s.last[i], s.last[i]-x[i])) >> 16 }
	for i := range x {
		count[size(i)]++
	}
	left, edge := len(x)/10, uint32(len(count)-1)
	for ; count[edge] < left; edge-- {
		left -= count[edge]
	}
	var b []byte
	for i, v := range x {
		if h := size(i); h < edge || h == edge && left == 0 {
			continue
		} else if h == edge {
			left--
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func (s *tenth) merged(x []float32) { copy(s.last, x) }

func (s *tenth) hear(b []byte, own []float32) ([]float32, error) {
	x := slices.Clone(own)
	for ; len(b) >= 8; b = b[8:] {
		i := binary.LittleEndian.Uint32(b)
		if int(i) >= len(x) {
			return nil, fmt.Errorf("parameter %d of %d", i, len(x))
		}
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4:]))
	}
	return x, nil
}

// brief sends what changed since the common start in few bits.
type brief struct {
	voice gossip.Voice
	start []float32
}

func (s *brief) say(x []float32) []byte {
	d := make([]float32, len(x))
	for i, v := range x {
		d[i] = v - s.start[i]
	}
	return s.voice.Say(d)
}

func (s *brief) merged([]float32) {}

func (s *brief) hear(b []byte, own []float32) ([]float32, error) {
	d, err := gossip.Hear(b, len(own))
	for i := range d {
		d[i] += s.start[i]
	}
	return d, err
}

// strangers draws k others for each node, new ones every time (EL-Local, de Vos et al. 2023).
func strangers(k int) func(*rand.Rand, int) [][]int {
	return func(rng *rand.Rand, n int) [][]int {
		to := make([][]int, n)
		for i := range to {
			for _, j := range rng.Perm(n - 1)[:k] {
				to[i] = append(to[i], (i+1+j)%n)
			}
		}
		return to
	}
}

// friends draws a graph in which everybody has three neighbours, once.
func friends() func(*rand.Rand, int) [][]int {
	var to [][]int
	return func(rng *rand.Rand, n int) [][]int {
		for to == nil {
			to = regular(rng, n)
		}
		return to
	}
}

// regular pairs three stubs of every node, and gives up when two are of one node or join the same two again.
func regular(rng *rand.Rand, n int) [][]int {
	to := make([][]int, n)
	stubs := rng.Perm(3 * n)
	for k := 0; k < len(stubs); k += 2 {
		a, b := stubs[k]/3, stubs[k+1]/3
		if a == b || slices.Contains(to[a], b) {
			return nil
		}
		to[a], to[b] = append(to[a], b), append(to[b], a)
	}
	return to
}

// A post puts bodies into frames as a device does, signed by their author, and counts them.
type post struct {
	keys []ed25519.PrivateKey
	ids  []protocol.PeerID
	sent []int64 // bytes of each
	seq  uint64
}

func newPost(n int, rng *rand.Rand) *post {
	p := &post{sent: make([]int64, n)}
	for range n {
		seed := make([]byte, ed25519.SeedSize)
		for i := range seed {
			seed[i] = byte(rng.Uint32())
		}
		key := ed25519.NewKeyFromSeed(seed)
		p.keys = append(p.keys, key)
		p.ids = append(p.ids, protocol.NewPeerID(key.Public().(ed25519.PublicKey)))
	}
	return p
}

// seal is the frame with a body.
func (p *post) seal(from int, body []byte) ([]byte, error) {
	u := &protocol.Update{Body: body, Announce: protocol.Announce{
		ID: protocol.UpdateID{Author: p.ids[from], Seq: p.seq}, Replaces: p.seq - 1, Skill: "digits", Sections: 1,
		Events: p.seq * arenaSteps * arenaBatch, Digest: protocol.Sum(body), Size: uint32(len(body)),
	}}
	u.Sign(p.keys[from])
	return protocol.Encode(u)
}

// open is the body that whoever receives the frame finds in it.
func (p *post) open(frame []byte) ([]byte, error) {
	m, err := protocol.Decode(frame)
	if err != nil {
		return nil, err
	}
	u, ok := m.(*protocol.Update)
	if !ok {
		return nil, fmt.Errorf("%v where an update belongs", m.Kind())
	}
	return u.Body, u.Verify()
}

// bytes lets societies of sixteen talk in every dialect.
func (g *ground) bytes() error {
	for _, d := range dialects() {
		if !strings.Contains(d.name, g.only) {
			continue
		}
		t, err := g.talk(d)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		if err := g.enter(t); err != nil {
			return err
		}
	}
	return nil
}

func dialects() []dialect {
	full := func([]float32) speaker { return whole{} }
	some := func(start []float32) speaker { return &tenth{last: slices.Clone(start)} }
	steps := func(forgetful bool) func([]float32) speaker {
		return func(start []float32) speaker {
			return &brief{gossip.Voice{Step: 2, Group: 200, Forgetful: forgetful}, start} // 200: a unit's weights, or nearly
		}
	}
	return []dialect{
		{"all parameters", "3 neighbours", friends(), full},
		{"all parameters", "3 strangers each round", strangers(3), full},
		{"a tenth of them, no feedback", "3 neighbours", friends(), some},
		{"steps of 2, no feedback", "6 strangers each round", strangers(6), steps(true)},
		{"ours: steps of 2", "6 strangers each round", strangers(6), steps(false)},
	}
}

// A classroom is a society of sixteen that talks.
type classroom struct {
	dialect
	members []*member
	voices  []speaker
	mail    *post
	frames  [][][]byte // that have arrived at each in this round
}

const classroomSize = 16

func (g *ground) classroom(d dialect) (*classroom, *rand.Rand) {
	rng := rand.New(rand.NewPCG(g.seed, 0))
	start := g.net.start(rng)
	c := &classroom{dialect: d}
	for i, part := range shards(g.train.labels, classroomSize, 2, rng) {
		c.members = append(c.members, &member{net: g.net, data: g.train.pick(part), x: slices.Clone(start), rate: bytesRate, rng: rand.New(rand.NewPCG(g.seed, uint64(i+1)))})
		c.voices = append(c.voices, d.voice(start))
	}
	c.mail = newPost(classroomSize, rng)
	return c, rng
}

// talk lets a classroom learn in a dialect.
func (g *ground) talk(d dialect) (tally, error) {
	began := speed.CPU()
	c, rng := g.classroom(d)
	for range g.rounds {
		if err := c.learn(d.peers(rng, classroomSize)); err != nil {
			return tally{}, err
		}
		for i := range c.members {
			if err := c.average(i); err != nil {
				return tally{}, err
			}
		}
	}
	t := tally{way: d.name, of: d.to, counts: true}
	for i, m := range c.members {
		right, _ := g.net.test(m.x, g.test.inputs, g.test.labels, nil)
		t.accuracy += right / classroomSize
		t.sent += float64(c.mail.sent[i]) / classroomSize
	}
	t.seconds = (speed.CPU() - began).Seconds()
	return t, nil
}

// learn lets everybody learn, and tell those who are named.
func (c *classroom) learn(to [][]int) error {
	c.mail.seq++
	c.frames = make([][][]byte, len(c.members))
	for i, m := range c.members {
		m.learn(arenaSteps)
		frame, err := c.mail.seal(i, c.voices[i].say(m.x))
		if err != nil {
			return err
		}
		for _, j := range to[i] {
			c.frames[j] = append(c.frames[j], frame)
			c.mail.sent[i] += int64(len(frame))
		}
	}
	return nil
}

// average makes a node the mean of itself and of what has arrived.
func (c *classroom) average(i int) error {
	m, n := c.members[i], float32(1+len(c.frames[i]))
	own := slices.Clone(m.x)
	for _, frame := range c.frames[i] {
		body, err := c.mail.open(frame)
		if err != nil {
			return err
		}
		y, err := c.voices[i].hear(body, own)
		if err != nil {
			return err
		}
		kernel.Add(m.x, y)
	}
	kernel.Scale(m.x, 1/n)
	c.voices[i].merged(m.x)
	return nil
}
