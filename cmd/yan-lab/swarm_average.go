package main

import (
	"math/rand/v2"
	"slices"

	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/model/kernel"
)

// An averaging is a swarm that learns as is usual: everybody has all parameters of one net, goes over their own examples, and
// parameters are averaged.
type averaging struct {
	net     *perceptron
	members []*member
	test    pile
	rng     *rand.Rand
	every   int // rounds between two looks at where it stands
	asked   int // devices asked then
	rounds  int
	target  float64 // it ends where this is reached
}

// newAverage deals a pile to devices that all begin at the same parameters.
func newAverage(parts [][]int, train, test pile, o swarmDigits, rate float64, seed uint64) *averaging {
	rng := rand.New(rand.NewPCG(seed, 3))
	net := newPerceptron(train.width, 200, 200, arenaClasses)
	start := net.start(rng)
	a := &averaging{net: net, test: test, rng: rng, every: o.every, asked: o.asked, rounds: o.rounds, target: o.target}
	for i, part := range parts {
		a.members = append(a.members, &member{net: net, data: train.pick(part), x: slices.Clone(start), rate: float32(rate), rng: rand.New(rand.NewPCG(seed, uint64(i+100)))})
	}
	return a
}

// epoch lets a member go over its examples once.
func (p *member) epoch() { p.learn((len(p.data.labels) + arenaBatch - 1) / arenaBatch) }

// bytes of one net on the wire, bare: nothing is added for frames and signatures.
func (a *averaging) bytes() float64 { return float64(4 * a.net.size()) }

// look is where some sets of parameters stand.
func (a *averaging) look(xs ...[]float32) (s footing) {
	s.least = 1
	for _, x := range xs {
		right, _ := a.net.test(x, a.test.inputs, a.test.labels, nil)
		s.right += right / float64(len(xs))
		s.least = min(s.least, right)
	}
	return s
}

// some are the parameters of the devices that are asked.
func (a *averaging) some() (xs [][]float32) {
	for k := range min(a.asked, len(a.members)) {
		xs = append(xs, a.members[k*len(a.members)/min(a.asked, len(a.members))].x)
	}
	return xs
}

// gossip is learning with no server (Ormándi et al. 2013): each round everybody goes over their examples and tells someone
// else, drawn anew each time, where they stand; who was told becomes the mean of himself and of what he was told.
func (a *averaging) gossip(way string) path {
	began := speed.CPU()
	p := path{way: way}
	for round := 1; round <= a.rounds; round++ {
		told := make([][][]float32, len(a.members))
		for i, m := range a.members {
			m.epoch()
			j := (i + 1 + a.rng.IntN(len(a.members)-1)) % len(a.members)
			told[j] = append(told[j], slices.Clone(m.x))
		}
		for i, m := range a.members {
			for _, x := range told[i] {
				kernel.Add(m.x, x)
			}
			kernel.Scale(m.x, 1/float32(1+len(told[i])))
		}
		if a.enter(&p, round, float64(round)*a.bytes(), a.some) {
			break
		}
	}
	p.seconds = (speed.CPU() - began).Seconds()
	return p
}

// served is federated averaging (McMahan et al. 2017): a server draws a tenth of the devices, each goes over its examples from where
// the server stands, and the server becomes their mean. Bytes are what devices send and what the server sends for them.
func (a *averaging) served(way string) path {
	began := speed.CPU()
	p := path{way: way}
	server := slices.Clone(a.members[0].x)
	drawn := max(len(a.members)/10, 1)
	for round := 1; round <= a.rounds; round++ {
		sum := make([]float32, len(server))
		for _, i := range a.rng.Perm(len(a.members))[:drawn] {
			m := a.members[i]
			copy(m.x, server)
			m.epoch()
			kernel.Add(sum, m.x)
		}
		kernel.Scale(sum, 1/float32(drawn))
		server = sum
		sent := 2 * float64(round*drawn) * a.bytes() / float64(len(a.members))
		if a.enter(&p, round, sent, func() [][]float32 { return [][]float32{server} }) {
			break
		}
	}
	p.seconds = (speed.CPU() - began).Seconds()
	return p
}

// together is one device that has everybody's examples: what all of it is to be compared with. An exchange is an epoch.
func (a *averaging) together(way string, epochs int) path {
	began := speed.CPU()
	p := path{way: way}
	m := a.members[0]
	for _, o := range a.members[1:] {
		m.data.inputs, m.data.labels = append(m.data.inputs, o.data.inputs...), append(m.data.labels, o.data.labels...)
	}
	for round := 1; round <= epochs; round++ {
		m.epoch()
		p.stands = append(p.stands, a.look(m.x))
		p.stands[round-1].exchanges = round
	}
	p.seconds = (speed.CPU() - began).Seconds()
	return p
}

// enter looks where the swarm stands, now and then, and reports whether it has arrived.
func (a *averaging) enter(p *path, round int, sent float64, where func() [][]float32) bool {
	if round%a.every != 0 && round != a.rounds {
		return false
	}
	s := a.look(where()...)
	s.exchanges, s.sent = round, sent
	p.stands = append(p.stands, s)
	return s.right >= a.target
}
