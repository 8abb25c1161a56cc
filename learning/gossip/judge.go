package gossip

import (
	"math"

	"github.com/yanmesh/yan/learning/robust"
)

// A Judge is whom one node believes, and how far. It rests on what no liar can forge: how far the node's own steps take it, and what
// its own latest examples say.
//
// Half way to somebody who has not seen those examples I keep about half of what I have just learnt from them; somewhat more if he
// learns what I learn, and nothing if he works against me. And half way to somebody who means well I am no worse at examples that I
// have not learnt from, while whoever pushes me on along my own way, away from everybody else, makes me so. Who fails in either is
// not believed, and is asked more and more rarely. What a node cannot judge it forgives: one that has met few of the classes there
// are allows others to be as different as it is ignorant. And nobody, and no majority, pulls further than a few of the node's own
// steps.
//
// A Judge is not safe for concurrent use.
type Judge struct {
	// Loss is the mean cross-entropy, in nats, of parameters on the examples that the node has just learnt from, only
	// among the classes that it has met: what others unlearn of the rest is no harm to judge by.
	Loss func(x []float32) float64
	// Held is the same on examples that the node never learns from.
	Held func(x []float32) float64
	// Coverage is the share of all classes that the node's own examples speak of. If zero, all of them.
	Coverage float64
	// Radius is how far one of the others may pull, in lengths of the node's own way between two merges, and further by as much as
	// Coverage is below one. If zero, 6.
	Radius float64

	round   int
	length  float64 // of the own way between merges, running mean
	learnt  float64 // nats, running mean
	ledgers map[string]*ledger
}

// A ledger is what one peer has proved to be worth.
type ledger struct {
	kept, learnt float64 // nats of what was learnt, half way to the peer and in all; running means over the same rounds
	helped       float64 // nats that half way to the peer saves of what is held out; running mean
	strikes      int     // rounds that it was not believed, less those that it was
	again        int     // the round in which it is asked next
}

const (
	memory = 0.8  // of a running mean
	least  = 0.45 // of what was learnt must be left half way to somebody
	slip   = 0.05 // of it may be lost of what is held out
	excuse = 1.0  // nats that are forgiven by who has met no class at all
	modest = 0.25 // weight of who leaves half, before the rest counts; beside that of one who leaves all
)

// A Saying is what a peer says that its parameters are.
type Saying struct {
	Peer string
	X    []float32
}

// Asks reports whether it is worth while to ask a peer in this round.
func (j *Judge) Asks(peer string) bool {
	l := j.ledgers[peer]
	return l == nil || j.round >= l.again
}

// Merge returns what becomes of a node's parameters own, which it has learnt since the last merge made them before, when others
// say what they say. It counts as one round. What is returned is new.
func (j *Judge) Merge(before, own []float32, said []Saying) []float32 {
	j.round++
	j.length = j.run(j.length, robust.Radius(before, [][]float32{own}, nil))
	was := j.Loss(before)
	learnt, held := was-j.Loss(own), j.Held(own)
	j.learnt = j.run(j.learnt, learnt)

	reach := j.reach()
	believed, weights := [][]float32{own}, []float64{1}
	top := 0.0
	for _, s := range said {
		kept, helped := math.Inf(-1), math.Inf(-1)
		if len(s.X) == len(own) {
			half := robust.ClippedGossip(own, [][]float32{own, s.X}, nil, reach)
			kept, helped = was-j.Loss(half), held-j.Held(half)
		}
		if l := j.enter(s.Peer, kept, helped, learnt); j.believes(l) && kept >= -j.excuse() {
			believed, weights = append(believed, s.X), append(weights, l.weight())
			top = max(top, l.weight())
		}
	}
	sure := j.coverage() * j.coverage()
	for k := range believed[1:] {
		weights[k+1] = float64(sure*weights[k+1])/top + 1 - sure
	}
	return robust.ClippedGossip(own, believed, weights, reach)
}

// enter puts one more trial into a peer's ledger, and whether it is to be asked again soon.
func (j *Judge) enter(peer string, kept, helped, learnt float64) *ledger {
	lowest := -2 * (math.Abs(j.learnt) + j.excuse()) // worse, or no number at all, is as bad as it gets
	if !(kept >= lowest) {
		kept = lowest
	}
	if !(helped >= lowest) {
		helped = lowest
	}
	l := j.ledgers[peer]
	if l == nil {
		l = &ledger{kept: kept, helped: helped, learnt: learnt}
		if j.ledgers == nil {
			j.ledgers = map[string]*ledger{}
		}
		j.ledgers[peer] = l
	} else {
		l.kept, l.helped, l.learnt = mix(l.kept, kept), mix(l.helped, helped), mix(l.learnt, learnt)
	}
	if j.believes(l) {
		l.strikes = max(l.strikes-1, 0)
	} else {
		l.strikes++
		l.again = j.round + 1<<min(l.strikes, 20)
	}
	return l
}

// believes reports whether a peer leaves as much of what was learnt as who means well, and does no harm beyond it.
func (j *Judge) believes(l *ledger) bool {
	return l.kept >= float64(least*l.learnt)-j.excuse() && l.helped >= -float64(slip*max(l.learnt, 0))-j.excuse()
}

// weight is what a peer counts for that is believed, by what it leaves beyond half.
func (l *ledger) weight() float64 {
	w := modest
	if l.learnt > 0 {
		w += max(2*min(l.kept/l.learnt, 1)-1, 0)
	}
	return w
}

func (j *Judge) coverage() float64 {
	if j.Coverage == 0 {
		return 1
	}
	return j.Coverage
}

func (j *Judge) excuse() float64 { return float64(excuse * (1 - j.coverage())) }

// reach is how far the others may pull now. Who knows little of what there is comes further apart from those who know the rest.
func (j *Judge) reach() float64 {
	radius := j.Radius
	if radius == 0 {
		radius = 6
	}
	return radius * j.length / j.coverage()
}

// run is the running mean of the judge's rounds.
func (j *Judge) run(mean, x float64) float64 {
	if j.round == 1 {
		return x
	}
	return mix(mean, x)
}

func mix(mean, x float64) float64 { return float64(memory*mean) + float64((1-memory)*x) }
