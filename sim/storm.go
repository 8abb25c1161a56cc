package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/node"
)

// Storm returns a world drawn from a seed: few devices with little to say, and anything may be wrong with them and between them.
// Such a world takes some hundredths of a second, so that thousands can be tried; it is played with [World.Play].
func Storm(seed uint64) Options {
	r := rand.New(rand.NewPCG(seed, chanceStorm))
	o := Options{
		Base: speck(),
		Learning: learning.Config{
			Chunk: 8 << r.IntN(3), Sections: 1 + r.IntN(2), Neurons: 1 + r.IntN(3), Rate: pick(r, 0.003, 0.01, 0.03), Rehearse: 1, Infancy: pick(r, 64, 256, 4096),
			Recent: 32 << r.IntN(3), Reservoir: 4 << r.IntN(2), Harm: pick(r, 0, 0.0003, 0.003), Fast: pick(r, -1, 256),
			Gate: learning.GateConfig{},
		},
		Exchange: exchange.Config{
			Interval: time.Duration(3+r.IntN(20)) * time.Second, Fanout: 1 + r.IntN(4), Central: pick[uint8](r, 0, 1, 1, 9), MergeFrom: pick(r, 0, 0, 3),
			MaxHeld: pick(r, 0, 0, 0, 1<<10<<r.IntN(5)), MaxLive: pick(r, 0, 0, 1+r.IntN(12)), Versions: pick(r, 0, 0, 1+r.IntN(4)),
		},
		Talk: time.Duration(1+r.IntN(12)) * time.Minute, Updates: 1 + r.IntN(4),
	}
	n := 2 + r.IntN(11)
	o.Degree = 1 + r.IntN(n)
	if r.IntN(2) == 0 {
		o.Degree = n
	}
	o.Links = stormyLinks(r)
	o.Faults = stormyFaults(r, o.Talk, n)
	skills := 1 + r.IntN(n)
	hostile := pick(r, 0, 0, 0.2, 0.5)
	for i := range n {
		o.Devices = append(o.Devices, stormyDevice(r, o.Talk, i, skills, hostile))
	}
	return o
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func stormyLinks(r *rand.Rand) (l Links) {
	l.MinDelay = time.Duration(1+r.IntN(200)) * time.Millisecond
	l.MaxDelay = l.MinDelay + time.Duration(r.IntN(pick(r, 1, 500, 5000)))*time.Millisecond
	l.Loss = pick(r, 0, 0.05, 0.4*r.Float64())
	l.Bandwidth = 1 << (10 + r.IntN(11))
	return l
}

func stormyFaults(r *rand.Rand, talk time.Duration, n int) (f Faults) {
	f.Crashes = r.IntN(n + 1)
	f.Churn = pick(r, 0, 0, 0.5, 10)
	f.Down = time.Duration(1+r.IntN(300)) * time.Second
	for range r.IntN(3) {
		f.Partitions = append(f.Partitions, Partition{
			From: time.Duration(r.Int64N(int64(talk))), For: time.Second + time.Duration(r.Int64N(int64(talk))), Share: pick(r, 0, 0.3),
		})
	}
	return f
}

func stormyDevice(r *rand.Rand, talk time.Duration, i, skills int, hostile float64) Device {
	d := Device{
		Name: fmt.Sprintf("d%d", i), Skill: fmt.Sprintf("s%d", r.IntN(skills)), Stream: chatter(r, 40+r.IntN(400)),
		Share: pick(r, "", "", node.ShareNone, node.ShareAll),
	}
	if r.Float64() < hostile {
		d.Attack = pick(r, append(Attacks(), Silent, Forge, Forge, Garble)...)
	}
	if r.IntN(8) == 0 {
		d.Stream = nil
	}
	if r.IntN(8) == 0 {
		l := stormyLinks(r)
		d.Links = &l
	}
	if r.IntN(8) == 0 {
		d.Central = uint8(1 + r.IntN(255))
	}
	if r.IntN(8) == 0 {
		d.Speed = 0.1 * r.Float64()
	}
	if r.IntN(6) == 0 {
		d.Away = []Span{{time.Duration(r.Int64N(int64(talk))), time.Second + time.Duration(r.Int64N(int64(talk)))}}
	}
	if r.IntN(8) == 0 {
		at := 1 + time.Duration(r.Int64N(int64(talk)))
		d.Visits = []Visit{{0, r.IntN(2)}, {at, r.IntN(2)}, {at + time.Minute, 0}}
	}
	return d
}

// chatter is what a user of a small world says: lines of few words, of which some are said by all and some contradict each other.
func chatter(r *rand.Rand, n int) []byte {
	who, what := pick(r, "ann", "bob", "eve"), pick(r, "tea", "ale", "gin")
	var b bytes.Buffer
	for b.Len() < n {
		switch r.IntN(3) {
		case 0:
			fmt.Fprintf(&b, "%s has %s\n", who, what)
		case 1:
			fmt.Fprintf(&b, "no %s for %s\n", what, pick(r, "ann", "bob", "eve"))
		default:
			fmt.Fprintf(&b, "%s\n\n", pick(r, "yes", "no", "tea", "why"))
		}
	}
	return b.Bytes()
}

// speck is the smallest mind that learns, made from chance and not from text: what a storm shows does not depend on what is known.
var speck = sync.OnceValue(func() *model.Model {
	m, err := model.New(model.Config{Width: 16, Layers: 1, Channels: 2, Sections: 4, Neurons: 2, KeyRank: 4, Active: 2, Alpha: 0.5})
	if err != nil {
		panic(err)
	}
	r := rand.New(rand.NewPCG(1, chanceStorm))
	m.Init(r)
	var texts [][]byte
	for range 4 {
		texts = append(texts, chatter(r, 400))
	}
	if m.Background, err = learning.Survey(m, texts, 64, 2); err != nil {
		panic(err)
	}
	return m
})

// Play runs the world through a storm of that length and the calm after it.
func (w *World) Play(storm time.Duration) error {
	if err := w.Run(storm); err != nil {
		return err
	}
	return w.Calm()
}

// StormFor is how long the storm of a world is that is played with nothing else in mind: until everyone has said everything and
// who is down may be back.
func (o Options) StormFor() time.Duration {
	o = o.withDefaults()
	return o.Talk + o.Talk/4
}
