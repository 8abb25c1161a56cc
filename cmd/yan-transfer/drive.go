package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/sim/track"
)

// A world is what driving is learnt in.
type world struct {
	name            string
	watched, driven int     // roads of each seed
	length          float64 // of a road, in metres
}

// worlds are those of track:NAME.
var worlds = []world{{"roads", 40, 20, 800}, {"short", 12, 2, 200}}

const (
	drivingName = "driving"
	// disturb is how strongly the wheel is pulled out of the hands of the one who is watched, who shows so how one comes back.
	disturb = 0.2
	// glance is how many ticks the donor sees before it learns from them.
	glance = 16
	// groupSize is how many features are counted as a section: as many as a section of the model has neurons.
	groupSize = 16
)

// controls are what a driver does, in the order of the read-out.
var controls = []string{"steer", "throttle"}

// Kinds of roads: no two have one in common.
const (
	toWatch = iota
	toTry
	toDrive
)

// road draws the ith road of a kind. A few seeds give none of that length.
func (w world) road(seed uint64, kind, i int) (r *track.Road, err error) {
	for try := range uint64(8) {
		if r, err = track.NewRoad(seed<<32|try<<24|uint64(kind)<<16|uint64(i), w.length); err == nil {
			return r, nil
		}
	}
	return nil, err
}

// roads draws n of them.
func (w world) roads(seed uint64, kind, n int) (list []*track.Road, err error) {
	for i := range n {
		r, err := w.road(seed, kind, i)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// A mind says what each control should be: x is what is sensed.
type mind interface{ Scores(dst, x []float32) }

// driver drives as a mind says. Without one nothing is done, and the car rolls on.
func driver(m mind) track.Driver {
	var x []float32
	u := make([]float32, len(controls))
	return track.DriverFunc(func(s *track.Sense) track.Control {
		if m == nil {
			return track.Control{}
		}
		x = s.Vector(x[:0], false)
		m.Scores(u, x)
		return track.Control{Steer: float64(u[0]), Throttle: float64(u[1])}
	})
}

// knowledge is what a node knows of driving.
func knowledge(n *node.Node) mind {
	if k := n.Knack(drivingName); k != nil {
		return k
	}
	return nil
}

// drives are the trips of one driver over roads.
type drives []track.Trip

func driveAll(roads []*track.Road, d track.Driver) (list drives) {
	for _, r := range roads {
		list = append(list, track.Drive(r, d))
	}
	return list
}

// share is how much of the way was driven, a mean over the roads.
func (d drives) share(roads []*track.Road) (sum float64) {
	for i, t := range d {
		sum += t.Distance / roads[i].Length() / float64(len(d))
	}
	return sum
}

// A point is how well the donor drives after it has watched for so long.
type point struct {
	Minutes  float64 `json:"minutes"`
	Distance float64 `json:"distance"`
}

// ride is what one pair of nodes showed on the road. Its scores of the skill are shares of the way.
type ride struct {
	outcome
	expert, random, moments      float64
	curve                        []point
	roads                        []*track.Road
	byExpert, byA, byB, byBefore drives
}

// lessons are what the donor saw.
type lessons struct {
	x, u []float32
}

// watch has a node see how a road is driven, once, a few ticks at a time.
func (p *peer) watch(r *track.Road, all *lessons) (err error) {
	var x, u []float32
	learn := func() {
		if err != nil || len(u) == 0 {
			return
		}
		a, e := p.node.Follow(time.Now(), drivingName, track.Width, x, controls, u)
		err = p.keep(a, e)
		all.x, all.u = append(all.x, x...), append(all.u, u...)
		x, u = x[:0], u[:0]
	}
	track.Watch(r, &track.Expert{Disturb: disturb}, func(s *track.Sense, c track.Control) {
		x, u = s.Vector(x, false), append(u, float32(c.Steer), float32(c.Throttle))
		if len(u) == glance*len(controls) {
			learn()
		}
	})
	learn()
	return err
}

// learnToDrive has the donor watch the roads of a seed, and tries now and then how it drives on a few others.
func (p *peer) learnToDrive(ctx context.Context, w world, seed uint64, told func(point)) (all lessons, curve []point, err error) {
	trial, err := w.roads(seed, toTry, min(5, w.driven))
	if err != nil {
		return all, nil, err
	}
	for i := range w.watched {
		if ctx.Err() != nil {
			return all, nil, context.Cause(ctx)
		}
		r, err := w.road(seed, toWatch, i)
		if err != nil {
			return all, nil, err
		}
		if err := p.watch(r, &all); err != nil {
			return all, nil, err
		}
		if n := i + 1; n&(n-1) == 0 || n == w.watched {
			minutes := float64(len(all.u)/len(controls)) * track.Tick / 60
			curve = append(curve, point{minutes, driveAll(trial, driver(knowledge(p.node))).share(trial)})
		}
		told(curve[len(curve)-1])
	}
	return all, curve, nil
}

// drive has one pair of nodes learn, trade and drive.
func drive(ctx context.Context, m *model.Model, w world, t material, seed uint64, told func(point)) (o ride, err error) {
	dir, err := os.MkdirTemp("", "yan-transfer-")
	if err != nil {
		return o, err
	}
	defer os.RemoveAll(dir)
	donor, recipient, err := pair(dir, node.ShareNone, seed, m)
	if err != nil {
		return o, err
	}
	defer donor.store.Close()
	defer recipient.store.Close()
	if o.roads, err = w.roads(seed, toDrive, w.driven); err != nil {
		return o, err
	}
	all, curve, err := donor.learnToDrive(ctx, w, seed, told)
	if err != nil {
		return o, err
	}
	if err := recipient.learn(ctx, ownName, from(t.ownText, seed), t.epochs); err != nil {
		return o, err
	}
	o.curve = curve
	o.base, o.donor, o.before = measure(m, t), donor.measure(t), recipient.measure(t)
	o.byExpert, o.byA = driveAll(o.roads, &track.Expert{}), driveAll(o.roads, driver(knowledge(donor.node)))
	o.byBefore = driveAll(o.roads, driver(knowledge(recipient.node)))

	if err := donor.keep(donor.node.SetTerms(time.Now(), drivingName, node.Terms{Policy: node.Public})); err != nil {
		return o, err
	}
	if o.bytes, o.took, err = trade(ctx, donor, recipient); err != nil {
		return o, err
	}
	o.after = recipient.measure(t)
	o.byB = driveAll(o.roads, driver(knowledge(recipient.node)))
	o.expert, o.base.Skill, o.before.Skill = o.byExpert.share(o.roads), o.byBefore.share(o.roads), o.byBefore.share(o.roads)
	o.donor.Skill, o.after.Skill = o.byA.share(o.roads), o.byB.share(o.roads)
	o.sections = donor.node.Knack(drivingName).Features() / groupSize
	return o, o.control(donor.node.Knack(drivingName), all, seed)
}

// control drives as those who have no right to: with as many weights, as large, at the wrong places; and with what is learnt from what was done
// at other moments.
func (o *ride) control(donor *learning.Knack, all lessons, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0x636f6e74726f6c))
	r, err := donor.Solve()
	if err != nil {
		return err
	}
	o.random = driveAll(o.roads, driver(r.Shuffled(rng))).share(o.roads)
	k, err := learning.NewKnack(learning.KnackConfig{Name: drivingName, Inputs: track.Width, Controls: true})
	if err != nil {
		return err
	}
	c := len(controls)
	rng.Shuffle(len(all.u)/c, func(i, j int) {
		for n := range c {
			all.u[i*c+n], all.u[j*c+n] = all.u[j*c+n], all.u[i*c+n]
		}
	})
	if err := k.Follow(all.x, controls, all.u); err != nil {
		return fmt.Errorf("a control: %w", err)
	}
	o.moments = driveAll(o.roads, driver(k)).share(o.roads)
	return nil
}
