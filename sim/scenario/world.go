package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/sim"
)

// A User is what one device's user says or shows, and what the device is asked.
type User struct {
	Name         string
	Stream, Held []byte
	Shown, Asked *sim.Examples
}

// Users are those of a world.
type Users struct {
	Each  []User
	Asked *sim.Examples // what everyone is asked about who shows examples; may be nil
	Note  string        // where all of it came from, for people
}

// A Source has what scenarios are made of.
type Source interface {
	// Base returns tiny, pocket or embedded.
	Base(name string) (*model.Model, error)

	// Users returns n users with different names, who have Data.Amount bytes or examples each, if there are as many.
	Users(n int, seed uint64, d Data) (Users, error)
}

// Made is a world that can begin.
type Made struct {
	Options sim.Options
	Note    string // where the data came from
	Groups  []int  // of each device: an index of Scenario.Groups, or −1
}

// World makes a world of n devices that storms for that length of time.
func (s *Scenario) World(n int, seed uint64, length time.Duration, src Source) (*Made, error) {
	base, err := src.Base(s.Base)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: base %s: %w", s.Name, s.Base, err)
	}
	if s.Data.Kind == Here {
		src = here{s.Users}
	}
	users, err := src.Users(n, seed, s.Data)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	if len(users.Each) != n {
		return nil, fmt.Errorf("scenario %s: %d users for %d devices: ask for fewer devices", s.Name, len(users.Each), n)
	}
	m := &Made{Note: users.Note, Groups: s.members(n, seed)}
	o := &m.Options
	o.Base, o.Asked, o.Features = base, users.Asked, s.Learning.Features
	o.Talk = s.Talk.Of(length)
	o.Learning.Sections, o.Learning.Neurons, o.Learning.Rate = s.Learning.Sections, s.Learning.Neurons, s.Learning.Rate
	o.Learning.Rehearse, o.Learning.Recent, o.Learning.Reservoir = s.Learning.Rehearse, s.Learning.Recent, s.Learning.Reservoir
	o.Learning.Harm, o.Learning.Fast = s.Learning.Harm, s.Learning.Fast
	o.Degree, o.Updates = s.Mesh.Degree, s.Mesh.Updates
	o.Exchange.Interval = s.Mesh.Interval.Of(length)
	if o.Exchange.Interval <= 0 {
		o.Exchange.Interval = max(min(length/60, time.Minute), time.Second)
	}
	o.Exchange.Fanout, o.Exchange.MaxHeld = s.Mesh.Fanout, s.Mesh.Memory
	o.Exchange.MaxLive, o.Exchange.Versions = s.Mesh.MaxLive, s.Mesh.Versions
	o.Links = s.Links.options()
	o.Faults = sim.Faults{Crashes: s.Faults.Crashes.Of(n), Churn: s.Faults.Churn, Down: s.Faults.Down.Of(length)}
	for _, p := range s.Faults.Partitions {
		o.Faults.Partitions = append(o.Faults.Partitions, sim.Partition{From: p.From.Of(length), For: p.For.Of(length), Share: p.Share})
	}
	for _, l := range sim.Laws() {
		if len(s.Laws) == 0 || slices.Contains(s.Laws, l.Name) {
			o.Laws = append(o.Laws, l)
		}
	}
	centrals := s.centrals(n, seed)
	places := newPlaces(n, seed)
	for i, u := range users.Each {
		d := sim.Device{Name: u.Name, Skill: s.Data.Skill, Stream: u.Stream, Held: u.Held, Shown: u.Shown, Asked: u.Asked}
		switch {
		case s.Data.Circle > 0:
			d.Skill = fmt.Sprintf("circle-%d", i/s.Data.Circle)
		case d.Skill == "" && s.Data.Examples():
			d.Skill = s.Data.Kind
		}
		if centrals[i] {
			d.Central = 1
			if s.Central.Kind == BadCentral {
				d.Attack = sim.Liar
			}
		}
		if s.Data.Kind == Here {
			s.Users[i].shape(&d, length)
		}
		if g := m.Groups[i]; g >= 0 {
			s.Groups[g].shape(&d, i, length, places)
		}
		o.Devices = append(o.Devices, d)
	}
	return m, nil
}

// Streams of chance, apart from those of package sim.
const (
	chanceGroups = 0x736365<<8 + iota
	chanceCentrals
	chancePlaces
)

// members draws who belongs to which group.
func (s *Scenario) members(n int, seed uint64) []int {
	of := make([]int, n)
	for i := range of {
		of[i] = -1
	}
	order := rand.New(rand.NewPCG(seed, chanceGroups)).Perm(n)
	for k, g := range s.Groups {
		take := min(g.Devices.Of(n), len(order))
		for _, i := range order[:take] {
			of[i] = k
		}
		order = order[take:]
	}
	return of
}

// centrals draws who takes turns at being central.
func (s *Scenario) centrals(n int, seed uint64) []bool {
	of := make([]bool, n)
	if s.Central.Kind != NoCentral {
		for _, i := range rand.New(rand.NewPCG(seed, chanceCentrals)).Perm(n)[:s.Central.Devices.Of(n)] {
			of[i] = true
		}
	}
	return of
}

func (l Links) options() sim.Links {
	return sim.Links{MinDelay: l.Delay[0], MaxDelay: l.Delay[1], Loss: l.Loss, Bandwidth: l.Bandwidth}
}

// shape makes a device one of the group.
func (g *Group) shape(d *sim.Device, i int, length time.Duration, p *places) {
	d.Stream = d.Stream[:int(g.Says*float64(len(d.Stream)))]
	if d.Shown != nil {
		d.Shown = first(d.Shown, g.Says)
	}
	if g.Share != "" {
		d.Share = node.Share(g.Share)
	}
	if g.Attack != "" {
		d.Attack = sim.Attack(g.Attack)
	}
	d.Speed = g.Speed.Seconds()
	if g.Links != nil {
		l := g.Links.options()
		d.Links = &l
	}
	r := p.chance(i)
	for _, a := range g.Away {
		shift := drawn(r, a.Spread.Of(length))
		for _, from := range again(a.From.Of(length), a.Every, length) {
			d.Away = append(d.Away, sim.Span{From: from + shift, For: a.For.Of(length)})
		}
	}
	d.Away = joined(d.Away)
	for _, v := range g.Visits {
		shift := drawn(r, v.Spread.Of(length))
		always := p.place(v, r)
		for _, from := range again(v.From.Of(length), v.Every, length) {
			at := sim.Visit{From: from + shift, Place: always}
			if v.Anew {
				at.Place = p.place(v, r)
			} else if v.Of > 0 {
				at.Place = p.own(v, i)
			}
			d.Visits = append(d.Visits, at)
		}
	}
	sortVisits(d)
}

// here are users that a scenario names.
type here struct{ said []Said }

func (here) Base(string) (*model.Model, error) { return nil, errors.New("there is none here") }

func (h here) Users(n int, _ uint64, _ Data) (u Users, err error) {
	if n != len(h.said) {
		return u, fmt.Errorf("%d devices for the %d users that it names: ask for as many", n, len(h.said))
	}
	for _, s := range h.said {
		u.Each = append(u.Each, User{Name: s.Name, Stream: []byte(s.Says), Held: []byte(s.Held)})
	}
	u.Note = fmt.Sprintf("%d users of the scenario", n)
	return u, nil
}

// shape makes a device the user's.
func (u *Said) shape(d *sim.Device, length time.Duration) {
	d.Skill = cmp.Or(u.Skill, d.Skill)
	d.Share, d.Attack, d.Speed = node.Share(u.Share), sim.Attack(u.Attack), u.Speed.Seconds()
	if u.Central {
		d.Central = 1
	}
	if u.Links != nil {
		l := u.Links.options()
		d.Links = &l
	}
	for _, a := range u.Away {
		d.Away = append(d.Away, sim.Span{From: a.From.Of(length), For: a.For.Of(length)})
	}
	d.Away = joined(d.Away)
	for _, v := range u.Places {
		d.Visits = append(d.Visits, sim.Visit{From: v.From.Of(length), Place: v.At})
	}
	sortVisits(d)
}

func sortVisits(d *sim.Device) {
	slices.SortStableFunc(d.Visits, func(a, b sim.Visit) int { return cmp.Compare(a.From, b.From) })
	d.Visits = slices.CompactFunc(d.Visits, func(a, b sim.Visit) bool { return a.From == b.From })
}

// first is the first share of examples.
func first(x *sim.Examples, share float64) *sim.Examples {
	n := int(share * float64(x.Len()))
	if n == 0 {
		return nil
	}
	y := *x
	y.X = x.X[:n*x.Inputs]
	y.Labels, y.Values = x.Labels[:min(n, len(x.Labels))], x.Values[:n*len(x.Names)]
	return &y
}

func drawn(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most) + 1))
}

// again are the times at which something happens that begins at a time and comes again, within a run.
func again(from time.Duration, every *When, length time.Duration) (times []time.Duration) {
	step := time.Duration(0)
	if every != nil {
		step = every.Of(length)
	}
	const most = 1000 // however short the step
	for len(times) < most && from <= length {
		times = append(times, from)
		if from += step; step <= 0 {
			break
		}
	}
	return times
}

// joined sorts spans and makes one of those that overlap.
func joined(spans []sim.Span) (out []sim.Span) {
	slices.SortStableFunc(spans, func(a, b sim.Span) int { return cmp.Compare(a.From, b.From) })
	for _, s := range spans {
		if s.For <= 0 {
			continue
		}
		if last := len(out) - 1; last >= 0 && s.From <= out[last].From+out[last].For {
			out[last].For = max(out[last].For, s.From+s.For-out[last].From)
			continue
		}
		out = append(out, s)
	}
	return out
}

// places are numbered as they are first met. Place 0 is where devices are that visit nothing.
type places struct {
	n      int
	seed   uint64
	kinds  []string
	orders [][]int // of each kind: who is how-manieth in it
}

func newPlaces(n int, seed uint64) *places { return &places{n: n, seed: seed} }

// chance is where a device's own times and places come from.
func (p *places) chance(i int) *rand.Rand {
	return rand.New(rand.NewPCG(p.seed^uint64(i)<<32, chancePlaces))
}

// kind is the number of a kind of place.
func (p *places) kind(name string) int {
	k := slices.Index(p.kinds, name)
	if k < 0 {
		k = len(p.kinds)
		p.kinds = append(p.kinds, name)
		p.orders = append(p.orders, rand.New(rand.NewPCG(p.seed+uint64(k)<<32, chancePlaces)).Perm(p.n))
	}
	return k
}

// number is that of a place of a kind.
func (p *places) number(kind, k int) int { return 1 + kind*p.n + k }

// howMany places of this kind there are.
func (p *places) howMany(v Visit) int {
	if v.Of == 0 {
		return 1
	}
	return (p.n + v.Of - 1) / v.Of
}

// place draws one.
func (p *places) place(v Visit, r *rand.Rand) int {
	return p.number(p.kind(v.Place), r.IntN(p.howMany(v)))
}

// own is a device's own.
func (p *places) own(v Visit, i int) int {
	k := p.kind(v.Place)
	return p.number(k, p.orders[k][i]/v.Of)
}
