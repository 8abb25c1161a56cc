package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/yanmesh/yan/learning/gossip"
	"github.com/yanmesh/yan/learning/robust"
)

// A society is nodes that learn side by side and tell one another their parameters: the honest, and after them the hostile.
type society struct {
	net     *perceptron
	members []*member
	honest  int
	hears   [][]int // of each honest node, whom it hears, in ascending order
	scene   scene
	asked   [2]int // in the last tenth of the rounds, of the honest and of the hostile
	could   [2]int
}

// A scene is what an attacker knows in a round: everything.
type scene struct {
	round       int
	before, now [][]float32 // the honest nodes' parameters before and after they learnt
	was, own    [][]float32 // the same of each hostile node, as if it were honest
	old         [][]float32 // what the hostile said in the second round
	rng         *rand.Rand
}

// An attack is what the hostile do: with their examples beforehand, if anything, and with what they say. A liar counts the hostile,
// a listener the honest.
type attack struct {
	name  string
	learn func(*member)
	says  func(v *scene, liar, listener int) []float32
	each  bool // it says something else to each listener
	knows bool // it makes what it says of what the honest do, and learns nothing itself
}

// The five of He, Karimireddy and Jaggi (2022): on parameters, for that is what is sent.
func collusions() []attack {
	return []attack{
		{name: "bit flip", says: func(v *scene, liar, _ int) []float32 { return blend(v.own[liar], -1, v.own[liar], 0) }},
		{name: "label flip", learn: func(m *member) {
			for i, c := range m.data.labels {
				m.data.labels[i] = arenaClasses - 1 - c
			}
		}, says: honestly},
		{name: "ALIE", knows: true, says: func(v *scene, _, _ int) []float32 { // Baruch et al. 2019
			mean, deviation := moments(v.now)
			return blend(mean, 1, deviation, -1.5)
		}},
		{name: "IPM", knows: true, says: func(v *scene, _, _ int) []float32 { // Xie et al. 2019: back by what the honest came forward
			return blend(robust.Mean(v.before, nil), 2, robust.Mean(v.now, nil), -1)
		}},
		{name: "dissensus", each: true, knows: true, says: func(v *scene, _, listener int) []float32 {
			weight := 1.5 * float64(len(v.now)) / float64(len(v.own))
			return blend(v.now[listener], 1+weight, robust.Mean(v.now, nil), -weight)
		}},
	}
}

// nuisances are what a hostile few do.
func nuisances() []attack {
	forward := func(v *scene, liar int, times float64) []float32 {
		return blend(v.was[liar], 1-times, v.own[liar], times)
	}
	return []attack{
		{name: "sign flip", says: func(v *scene, liar, _ int) []float32 { return forward(v, liar, -1) }},
		{name: "noise", says: func(v *scene, liar, _ int) []float32 {
			x := slices.Clone(v.own[liar])
			for i := range x {
				x[i] += float32(0.1 * v.rng.NormFloat64())
			}
			return x
		}},
		{name: "scaled", says: func(v *scene, liar, _ int) []float32 { return forward(v, liar, 50) }},
		{name: "back door", learn: func(m *member) {
			for i := 0; i < len(m.data.labels); i += 2 {
				m.data.trigger(i)
				m.data.labels[i] = 0
			}
		}, says: honestly},
		{name: "stale replay", says: func(v *scene, liar, _ int) []float32 {
			if v.old == nil {
				return v.own[liar]
			}
			return v.old[liar]
		}},
		{name: "in turn", says: func(v *scene, liar, _ int) []float32 { // one does harm for five rounds, and all others are honest
			if v.round/5%len(v.own) == liar {
				return forward(v, liar, -20)
			}
			return v.own[liar]
		}},
	}
}

func honestly(v *scene, liar, _ int) []float32 { return v.own[liar] }

// trigger puts the mark of a back door into a picture: a white square in its corner.
func (p pile) trigger(i int) {
	side := int(math.Sqrt(float64(p.width)))
	for y := range 4 {
		for x := range 4 {
			p.inputs[i*p.width+(side-2-y)*side+side-2-x] = 1
		}
	}
}

// blend is a·x + b·y.
func blend(x []float32, a float64, y []float32, b float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(a * float64(v))
		if y != nil {
			out[i] += float32(b * float64(y[i]))
		}
	}
	return out
}

// moments are the mean and the standard deviation of each coordinate.
func moments(set [][]float32) (mean, deviation []float32) {
	mean = robust.Mean(set, nil)
	deviation = make([]float32, len(mean))
	for i, m := range mean {
		var sum float64
		for _, x := range set {
			sum += (float64(x[i]) - float64(m)) * (float64(x[i]) - float64(m))
		}
		deviation[i] = float32(math.Sqrt(sum / float64(len(set))))
	}
	return mean, deviation
}

// A policy is what the honest do with what they hear. It is made anew for every run, and told how many of those that a node
// hears it has to be ready for.
type policy struct {
	name string
	make func(s *society, hostile int) merger
}

// A merger is what a node's parameters become, of what they were, what it made of them and what it hears from whom. Who is not
// asked is noted.
type merger func(node int, before, own []float32, from []int, said [][]float32) []float32

// alone hears nobody.
var alone = policy{"alone", func(*society, int) merger {
	return func(_ int, _, own []float32, _ []int, _ [][]float32) []float32 { return own }
}}

// policies are the rules that stand beside one another.
func policies() []policy {
	crowd := func(name string, of func(set [][]float32, hostile int) []float32) policy {
		return policy{name, func(_ *society, hostile int) merger {
			var last [][]float32 // who hears the same comes to the same
			var result []float32
			return func(_ int, _, own []float32, _ []int, said [][]float32) []float32 {
				set := append([][]float32{own}, said...)
				if !sameSet(set, last) {
					last, result = set, of(set, hostile)
				}
				return slices.Clone(result)
			}
		}}
	}
	return []policy{
		crowd("plain averaging", func(set [][]float32, _ int) []float32 { return robust.Mean(set, nil) }),
		crowd("Krum", func(set [][]float32, hostile int) []float32 { return robust.Krum(set, nil, hostile) }),
		crowd("trimmed mean", func(set [][]float32, hostile int) []float32 {
			n := len(set)
			return robust.TrimmedMean(set, nil, float64(min(hostile, (n-1)/2))/float64(n))
		}),
		crowd("median", func(set [][]float32, _ int) []float32 { return robust.Median(set, nil) }),
		{"centred clipping", func(*society, int) merger {
			return func(_ int, before, own []float32, _ []int, said [][]float32) []float32 {
				radius := robust.Radius(before, [][]float32{own}, nil)
				return robust.CentredClip(before, append([][]float32{own}, said...), nil, radius, 3)
			}
		}},
		{"ClippedGossip", func(_ *society, hostile int) merger {
			return func(_ int, _, own []float32, _ []int, said [][]float32) []float32 {
				var far []float64
				for _, x := range said {
					far = append(far, robust.Radius(own, [][]float32{x}, nil))
				}
				slices.Sort(far)
				radius := far[max(len(far)-1-hostile, 0)]
				return robust.ClippedGossip(own, append([][]float32{own}, said...), nil, radius)
			}
		}},
		{"ours", func(s *society, _ int) merger {
			judges := make([]*gossip.Judge, s.honest)
			for i := range judges {
				held := s.members[i].holdOut()
				judges[i] = &gossip.Judge{Loss: func(x []float32) float64 { return s.members[i].loss(x, s.members[i].seen) },
					Held: func(x []float32) float64 { return s.members[i].loss(x, held) }, Coverage: coverage(s.members[i].data.labels)}
			}
			return func(node int, before, own []float32, from []int, said [][]float32) []float32 {
				var list []gossip.Saying
				for k, x := range said {
					hostile := 0
					if from[k] >= s.honest {
						hostile = 1
					}
					s.could[hostile]++
					if name := strconv.Itoa(from[k]); judges[node].Asks(name) {
						s.asked[hostile]++
						list = append(list, gossip.Saying{Peer: name, X: x})
					}
				}
				return judges[node].Merge(before, own, list)
			}
		}},
	}
}

// sameSet reports whether two sets hold the same vectors, in whatever order.
func sameSet(a, b [][]float32) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y []float32) bool { return &x[0] == &y[0] }) {
			return false
		}
	}
	return true
}

// coverage is how many of the classes a node's own examples speak of, as the exponential of the entropy of their labels.
func coverage(labels []int) float64 {
	var count [arenaClasses]float64
	for _, c := range labels {
		count[c]++
	}
	var h float64
	for _, n := range count {
		if n > 0 {
			p := n / float64(len(labels))
			h -= p * math.Log(p)
		}
	}
	return math.Exp(h) / arenaClasses
}

// newSociety deals examples to the honest, and copies of one honest node's to each of the hostile. Everybody hears everybody.
func (g *ground) newSociety(parts [][]int, hostile int) *society {
	rng := rand.New(rand.NewPCG(g.seed, 1<<32))
	s := &society{net: g.net, honest: len(parts), scene: scene{rng: rng}}
	start := g.net.start(rng)
	for i := range len(parts) + hostile {
		data := g.train.pick(parts[i%len(parts)])
		s.members = append(s.members, &member{net: g.net, data: data, x: slices.Clone(start), rate: poisonRate, prior: shares(data.labels, arenaClasses), rng: rand.New(rand.NewPCG(g.seed, uint64(i)))})
	}
	for i := range s.honest {
		var all []int
		for j := range s.members {
			if j != i {
				all = append(all, j)
			}
		}
		s.hears = append(s.hears, all)
	}
	return s
}

// run lets a society learn for so many rounds.
func (s *society) run(rounds int, a attack, how merger) {
	if a.learn != nil {
		for _, m := range s.members[s.honest:] {
			a.learn(m)
		}
	}
	for round := range rounds {
		s.learn(round, !a.knows)
		lies := map[[2]int][]float32{} // by liar, and listener if it matters
		for i, m := range s.members[:s.honest] {
			var said [][]float32
			for _, j := range s.hears[i] {
				if j < s.honest {
					said = append(said, s.scene.now[j])
					continue
				}
				key := [2]int{j - s.honest, i}
				if !a.each {
					key[1] = 0
				}
				if lies[key] == nil {
					lies[key] = a.says(&s.scene, j-s.honest, i)
				}
				said = append(said, lies[key])
			}
			m.x = how(i, s.scene.before[i], s.scene.now[i], s.hears[i], said)
			if round == rounds-max(rounds/10, 1)-1 { // what is asked from here on is counted
				s.asked, s.could = [2]int{}, [2]int{}
			}
		}
		for k, m := range s.members[s.honest:] { // the hostile average, to keep up with whom they deceive
			m.x = robust.Mean(append([][]float32{s.scene.own[k]}, s.scene.now...), nil)
		}
	}
}

// learn lets everybody make its steps, or the honest alone, and sets the scene.
func (s *society) learn(round int, all bool) {
	v := &s.scene
	if round == 2 {
		v.old = v.own
	}
	v.round, v.before, v.now, v.was, v.own = round, nil, nil, nil, nil
	for i, m := range s.members {
		before := slices.Clone(m.x)
		if all || i < s.honest {
			m.learn(arenaSteps)
		}
		if i < s.honest {
			v.before, v.now = append(v.before, before), append(v.now, slices.Clone(m.x))
		} else {
			v.was, v.own = append(v.was, before), append(v.own, slices.Clone(m.x))
		}
	}
}

// accuracy is the mean of the honest nodes' on a pile.
func (s *society) accuracy(test pile) float64 {
	var sum float64
	for _, m := range s.members[:s.honest] {
		right, _ := s.net.test(m.x, test.inputs, test.labels, nil)
		sum += right / float64(s.honest)
	}
	return sum
}

// evenly deals examples to n nodes by chance.
func evenly(count, n int, rng *rand.Rand) [][]int {
	parts := make([][]int, n)
	for k, i := range rng.Perm(count) {
		parts[k%n] = append(parts[k%n], i)
	}
	return parts
}

// meet runs one society under one attack and enters what it came to.
func (g *ground) meet(s *society, a attack, p policy, ready int, of string) error {
	s.run(g.rounds, a, p.make(s, ready))
	t := tally{way: p.name, of: of, accuracy: s.accuracy(g.test)}
	if s.could[0] > 0 {
		t.remembers = true
		t.honest = float64(s.asked[0]) / float64(s.could[0])
		t.hostile = float64(s.asked[1]) / float64(max(s.could[1], 1))
	}
	return g.enter(t)
}

// of is those that are to compete.
func (g *ground) of(list []policy) []policy {
	return slices.DeleteFunc(list, func(p policy) bool { return !strings.Contains(p.name, g.only) })
}

// poison is five honest nodes, each with a fifth of the examples, among eleven that are not.
func (g *ground) poison() error {
	const honest, hostile = 5, 11
	parts := evenly(len(g.train.labels), honest, rand.New(rand.NewPCG(g.seed, 77)))
	for _, p := range g.of(append([]policy{alone}, policies()...)) {
		if err := g.meet(g.newSociety(parts, 0), attack{}, p, 0, "nobody hostile"); err != nil {
			return err
		}
		for _, a := range collusions() {
			if p.name == alone.name {
				break
			}
			if err := g.meet(g.newSociety(parts, hostile), a, p, hostile, a.name); err != nil {
				return err
			}
		}
	}
	return nil
}

// diverse is two cliques of ten with one link between them, two shards of sorted digits a node, and nobody hostile. The rules that
// want to know how many are, are ready for two.
func (g *ground) diverse() error {
	const nodes, ready = 20, 2
	parts := shards(g.train.labels, nodes, 2, rand.New(rand.NewPCG(g.seed, 77)))
	for _, p := range g.of(policies()) {
		s := g.newSociety(parts, 0)
		for i := range s.hears {
			s.hears[i] = slices.DeleteFunc(s.hears[i], func(j int) bool {
				return i/(nodes/2) != j/(nodes/2) && (i != nodes/2-1 || j != nodes/2) && (i != nodes/2 || j != nodes/2-1)
			})
		}
		if err := g.meet(s, attack{}, p, ready, "two cliques"); err != nil {
			return err
		}
	}
	return nil
}

// strangers is a fifth and a third of hostile nodes.
func (g *ground) strangers() error {
	for _, c := range []struct {
		name            string
		honest, hostile int
	}{{"2 of 10", 8, 2}, {"3 of 9", 6, 3}} {
		parts := evenly(len(g.train.labels), c.honest, rand.New(rand.NewPCG(g.seed, 77)))
		for _, p := range g.of(policies()) {
			if p.name == "median" || p.name == "ClippedGossip" {
				continue
			}
			if err := g.meet(g.newSociety(parts, 0), attack{}, p, 0, c.name+", without them"); err != nil {
				return err
			}
			for _, a := range nuisances() {
				s := g.newSociety(parts, c.hostile)
				if err := g.meet(s, a, p, c.hostile, c.name+", "+a.name); err != nil {
					return err
				}
				if a.name == "back door" {
					if err := g.enter(tally{way: p.name, of: c.name + ", the door opens", accuracy: s.opens(g.test)}); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// opens is how often the honest take a picture with the mark for a 0 that is none.
func (s *society) opens(test pile) float64 {
	var at []int
	for i, c := range test.labels {
		if c != 0 {
			at = append(at, i)
		}
	}
	marked := test.pick(at)
	for i := range marked.labels {
		marked.trigger(i)
		marked.labels[i] = 0
	}
	return s.accuracy(marked)
}

// loss is what parameters lose on a pile of the member's own, among the classes that it has.
func (m *member) loss(x []float32, p pile) float64 {
	_, nats := m.net.test(x, p.inputs, p.labels, m.prior)
	return nats
}

// holdOut takes every twentieth of the member's examples away from what it learns, and of those that have few classes, which can
// judge little by them, fewer.
func (m *member) holdOut() pile {
	var held, kept []int
	every := min(int(20/math.Pow(coverage(m.data.labels), 2)), len(m.data.labels)/8)
	for i := range m.data.labels {
		if i%every == every-1 {
			held = append(held, i)
		} else {
			kept = append(kept, i)
		}
	}
	out := m.data.pick(held)
	m.data = m.data.pick(kept)
	return out
}
