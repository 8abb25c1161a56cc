package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
)

// What a chronicle keeps does not grow with the length of a run, and with its devices by a few numbers each.
const (
	mostPairs   = 64     // devices, of which it is told who taught whom one by one
	mostSamples = 240    // of what was sent
	mostTurns   = 20_000 // of centrals: a skill each
	mostMishaps = 10_000
	mostBuckets = 128 // of time, in which mishaps are counted
)

// A chronicle is what happened in a world, as far as a report tells it. One goroutine feeds it: of sim's moments as they come, of
// what was sent now and then, and of exams.
type chronicle struct {
	names  []string // of the devices
	lies   []string // how each lies, if it does
	points []point
	sent   []sample
	every  time.Duration // the least time between two samples
	lost   uint64        // messages, by the last of them
	kinds  [16]sim.Traffic

	pairs    map[pair]*lesson // if there are few devices
	teachers []lesson         // by device
	pupils   []lesson
	merged   lesson // what centrals had everyone merge

	turns     map[turn]*outcome
	order     []turn
	centrals  []lesson // by device: what others made of what it merged
	turnsLost int      // that are in centrals alone

	mishaps  []mishap
	more     map[sim.What]int // mishaps by kind, those that are not in the list included
	width    time.Duration    // of a bucket
	buckets  []bucket
	spans    []span // in which the mesh was divided
	up, down int    // devices that were switched on
	end      time.Duration
}

type (
	pair struct{ teacher, pupil int }
	turn struct {
		term    mesh.Term
		central int
		skill   string
	}
	span struct{ from, to time.Duration }
)

// A lesson counts what came of skills that were tried.
type lesson struct {
	tried, taken, refused, harmful, regretted, shunned int

	gain float64 // nats an event, of those taken in
	cost float64 // of those undone; below zero
}

func (l *lesson) add(m sim.Moment) {
	switch m.What {
	case sim.Regretted:
		l.regretted++
		return
	case sim.Shunned:
		l.shunned++
		return
	}
	l.tried++
	switch m.Verdict {
	case protocol.Folded:
		l.taken++
		l.gain += m.Gain
	case protocol.Refused:
		l.refused++
	case protocol.Harmful:
		l.harmful++
		l.cost += m.Gain
	}
}

// An outcome is what a central said of a skill, and what became of it.
type outcome struct {
	lesson
	at       time.Duration
	rank     uint8
	versions int
	said     bool // by it, in this world; else others alone told of it
}

// A point is what devices knew at one time: of everyone's data, and bits a byte of their own.
type point struct {
	at                  time.Duration
	sent                uint64 // bytes, by all
	devices             int    // that were asked
	bits, accuracy, own band
}

// A sample is what all devices together had sent by a time.
type sample struct {
	at    time.Duration
	bytes [16]uint64 // by kind
	lost  uint64     // messages
	up    int        // devices
}

// A mishap is something that went wrong, or that mended it.
type mishap struct {
	at           time.Duration
	what         sim.What
	device, peer int
	skill        string
	gain         float64
}

// A bucket counts mishaps of a while.
type bucket struct {
	crashed, refused, harmful, regretted, shunned, lost int

	down int // devices, at most
}

// A band is how a figure is spread over devices.
type band struct{ Min, Low, Mid, High, Max, Mean float64 }

// spreadOf sorts v.
func spreadOf(v []float64) (b band) {
	if len(v) == 0 {
		return b
	}
	slices.Sort(v)
	at := func(share float64) float64 {
		x := share * float64(len(v)-1)
		i := min(int(x), len(v)-1)
		j := min(i+1, len(v)-1)
		return v[i] + (x-float64(i))*(v[j]-v[i])
	}
	for _, x := range v {
		b.Mean += x / float64(len(v))
	}
	b.Min, b.Low, b.Mid, b.High, b.Max = v[0], at(0.25), at(0.5), at(0.75), v[len(v)-1]
	return b
}

func newChronicle(devices []sim.Device, length time.Duration) *chronicle {
	n := len(devices)
	c := &chronicle{
		every: max(length/mostSamples*2, 1), width: max(length/(mostBuckets/2), 1),
		teachers: make([]lesson, n), pupils: make([]lesson, n), centrals: make([]lesson, n),
		turns: map[turn]*outcome{}, more: map[sim.What]int{},
	}
	for _, d := range devices {
		c.names, c.lies = append(c.names, d.Name), append(c.lies, string(d.Attack))
	}
	if n <= mostPairs {
		c.pairs = map[pair]*lesson{}
	}
	return c
}

func (c *chronicle) name(device int) string {
	if device < 0 || device >= len(c.names) {
		return ""
	}
	return c.names[device]
}

// shown is how a device is called where people look: who lies is marked.
func (c *chronicle) shown(device int) string {
	if name := c.name(device); name == "" || c.lies[device] == "" {
		return name
	}
	return "! " + c.names[device]
}

// watch is told every moment.
func (c *chronicle) watch(m sim.Moment) {
	c.end = max(c.end, m.At)
	c.bucket(m.At) // so that those up to now know how many devices were down in them
	switch m.What {
	case sim.Started:
		c.up++
	case sim.Returned:
		c.up, c.down = c.up+1, c.down-1
	case sim.Crashed, sim.Stopped:
		c.up, c.down = c.up-1, c.down+1
	case sim.Divided:
		c.spans = append(c.spans, span{m.At, -1})
	case sim.Healed:
		for i := range c.spans { // the first that is still open
			if c.spans[i].to < 0 {
				c.spans[i].to = m.At
				break
			}
		}
	case sim.Tried, sim.Regretted, sim.Shunned:
		c.taught(m)
	case sim.Ruled, sim.Merged:
		c.ruled(m)
	}
	c.wrong(m)
}

// taught notes what a device made of what another taught.
func (c *chronicle) taught(m sim.Moment) {
	if m.Device < 0 {
		return
	}
	c.pupils[m.Device].add(m)
	if m.Peer < 0 {
		return
	}
	c.teachers[m.Peer].add(m)
	if c.pairs == nil {
		return
	}
	key := pair{m.Peer, m.Device}
	if c.pairs[key] == nil {
		c.pairs[key] = new(lesson)
	}
	c.pairs[key].add(m)
}

// ruled notes what a central said, and what others made of it. That it takes in itself what it merged says nothing.
func (c *chronicle) ruled(m sim.Moment) {
	if m.What == sim.Merged && m.Peer == m.Device {
		return
	}
	central := m.Peer
	if m.What == sim.Ruled {
		central = m.Device
	} else {
		c.merged.add(m)
	}
	if central < 0 {
		return
	}
	if m.What == sim.Merged {
		c.centrals[central].add(m)
	}
	key := turn{m.Term, central, m.Skill}
	o := c.turns[key]
	if o == nil {
		if len(c.order) == mostTurns {
			c.turnsLost++
			return
		}
		o = &outcome{at: m.At, rank: m.Rank, versions: m.Versions}
		c.turns[key] = o
		c.order = append(c.order, key)
	}
	if m.What == sim.Ruled {
		o.said = true
	} else {
		o.add(m)
	}
}

// wrong counts what went wrong.
func (c *chronicle) wrong(m sim.Moment) {
	listed, count := true, (*int)(nil)
	b := c.bucket(m.At)
	switch {
	case m.What == sim.Crashed:
		count = &b.crashed
	case m.What == sim.Regretted:
		count = &b.regretted
	case m.What == sim.Shunned:
		count = &b.shunned
	case m.What == sim.Divided, m.What == sim.Healed, m.What == sim.Calmed, m.What == sim.Returned:
	case m.Verdict == protocol.Harmful:
		count = &b.harmful
	case m.Verdict == protocol.Refused:
		count, listed = &b.refused, false // of some there are very many
	default:
		return
	}
	if count != nil {
		*count++
	}
	what := m.What
	if m.Verdict != 0 {
		what = sim.What(m.Verdict.String())
	}
	c.more[what]++
	if listed && len(c.mishaps) < mostMishaps {
		c.mishaps = append(c.mishaps, mishap{m.At, what, m.Device, m.Peer, m.Skill, m.Gain})
	}
}

// bucket is the one for a time. When there are too many, each takes in its neighbour.
func (c *chronicle) bucket(at time.Duration) *bucket {
	for int(at/c.width) >= mostBuckets {
		c.width *= 2
		for i := range c.buckets {
			b := c.buckets[i]
			c.buckets[i] = bucket{}
			c.buckets[i/2].add(b)
		}
		c.buckets = c.buckets[:(len(c.buckets)+1)/2]
	}
	for len(c.buckets) <= int(at/c.width) {
		c.buckets = append(c.buckets, bucket{down: c.down})
	}
	b := &c.buckets[at/c.width]
	b.down = max(b.down, c.down)
	return b
}

func (b *bucket) add(o bucket) {
	b.crashed += o.crashed
	b.refused += o.refused
	b.harmful += o.harmful
	b.regretted += o.regretted
	b.shunned += o.shunned
	b.lost += o.lost
	b.down = max(b.down, o.down)
}

// examine asks some devices, and notes how what they know is spread.
func (c *chronicle) examine(w *sim.World, e sim.Exam) error {
	var bits, accuracy, own []float64
	e.Each = func(_ int, r sim.Result) {
		bits, accuracy, own = append(bits, r.Everyone.Bits), append(accuracy, r.Everyone.Accuracy), append(own, r.Own.Bits)
	}
	if _, err := w.Examine(e); err != nil {
		return err
	}
	if len(bits) > 0 { // else nobody was up
		c.points = append(c.points, point{w.Now(), w.Sent(), len(bits), spreadOf(bits), spreadOf(accuracy), spreadOf(own)})
	}
	return nil
}

// asked is how many devices were asked at once, at most.
func (c *chronicle) asked() (n int) {
	for _, p := range c.points {
		n = max(n, p.devices)
	}
	return n
}

// mostRight is the greatest share that a device told right.
func (c *chronicle) mostRight() (share float64) {
	for _, p := range c.points {
		share = max(share, p.accuracy.Max)
	}
	return share
}

// sample notes what was sent by now.
func (c *chronicle) sample(w *sim.World) {
	s := sample{at: w.Now(), up: c.up}
	for k := range s.bytes {
		t := w.Traffic(protocol.Kind(k))
		c.kinds[k] = t
		s.bytes[k] = t.Bytes
		s.lost += t.Lost
	}
	c.keep(s)
}

// keep appends a sample. The last one is always the newest, and stays only if it is long enough after the one before.
func (c *chronicle) keep(s sample) {
	c.end = max(c.end, s.at)
	c.bucket(s.at).lost += int(s.lost - c.lost)
	c.lost = s.lost
	if n := len(c.sent); n > 1 && c.sent[n-1].at-c.sent[n-2].at < c.every {
		c.sent[n-1] = s
		return
	}
	c.sent = append(c.sent, s)
	if len(c.sent) <= mostSamples {
		return
	}
	c.every *= 2
	thin := c.sent[:0]
	for i, s := range c.sent {
		if i%2 == 0 || i == mostSamples {
			thin = append(thin, s)
		}
	}
	c.sent = thin
}

// costliest are those of whose skills it would have cost most to keep what was undone.
func (c *chronicle) costliest() (list []int) {
	for i, l := range c.teachers {
		if l.cost < 0 {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(c.teachers[a].cost, c.teachers[b].cost) })
	return list[:min(len(list), mostNamed)]
}

// strongest are devices in the order of what they gave others, the best first.
func (c *chronicle) strongest(of []lesson) (list []int) {
	for i, l := range of {
		if l.tried > 0 {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int {
		return cmp.Or(cmp.Compare(of[b].gain, of[a].gain), cmp.Compare(of[b].cost, of[a].cost))
	})
	return list
}
