// Package sim is a world to test in: many devices, one seed.
//
// A [World] runs the [node.Node] that ships, each with the text of one user to learn from, over links
// that lose, delay and divide. Nothing of a node is replaced but the clock, the source of chance and the
// wire, and the wire carries real frames. Time is a number that jumps to the next thing to happen, and
// all chance comes from the seed, so two runs of one seed write the same transcript, byte for byte, and
// an error names what is needed to see it again. A [Law] is what has to hold all along; the first one
// that does not ends the run.
//
// A run has two phases: the storm ([World.Run]), with everything that may go wrong, and the calm
// ([World.Calm]), after which everyone has to agree. [World.Examine] asks the devices what they know of
// everyone's text, and [World.Alone] and [World.Central] tell what they would know without each other
// and all in one.
//
// Devices run side by side on all processors, in windows no longer than the fastest message takes (package sim/event), and that does not show:
// a transcript depends on the seed alone. A World is not safe for concurrent use, and its goroutines end with each call.
package sim

import (
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim/event"
)

// A Device is one user's device.
type Device struct {
	Name   string     // unique
	Skill  string     // what its user teaches; several may teach the same. If empty, Name
	Stream []byte     // what the user says while the world runs
	Held   []byte     // what the user would say next, which the device is examined on
	Share  node.Share // if empty, node.ShareSkills
	Attack Attack     // how it lies, if it does; the device is not examined then

	Shown   *Examples // what the user shows, in the place of what he says: a few at a time, spread over Options.Talk as utterances are
	Asked   *Examples // the user's own held-out examples, which the device is examined on; may be nil
	Central uint8     // if not 0, in the place of Options.Exchange.Central
	Speed   float64   // seconds of thinking that a byte or an example takes. If zero, thinking takes no time
	Links   *Links    // in the place of Options.Links for what the device sends; nil for those
	Away    []Span    // when its user has it switched off: a clean stop, and its disk stays. In order, without overlap
	Visits  []Visit   // where it is from when on, in order; in place 0 all along if there are none. Only devices of one place meet
}

// A Span is a time of a world.
type Span struct{ From, For time.Duration }

// A Visit is where a device is, from a time on.
type Visit struct {
	From  time.Duration
	Place int
}

func (d Device) skill() string { return cmp.Or(d.Skill, d.Name) }

// Links are what lies between two devices.
type Links struct {
	MinDelay, MaxDelay time.Duration // if MaxDelay is zero, 20 to 200 milliseconds
	Loss               float64       // chance that a message does not arrive
	Bandwidth          int           // bytes a second that a device can send. If zero, 1 MB/s
}

func (l Links) withDefaults() Links {
	if l.MaxDelay == 0 {
		l.MinDelay, l.MaxDelay = 20*time.Millisecond, 200*time.Millisecond
	}
	if l.Bandwidth == 0 {
		l.Bandwidth = 1 << 20
	}
	return l
}

func (l Links) check() error {
	switch {
	case l.MinDelay < 0 || l.MaxDelay < l.MinDelay:
		return fmt.Errorf("delays from %v to %v: out of order", l.MinDelay, l.MaxDelay)
	case !(l.Loss >= 0 && l.Loss < 1):
		return fmt.Errorf("loss %v: must be at least 0 and below 1", l.Loss)
	case l.Bandwidth < 1:
		return fmt.Errorf("a bandwidth of %d bytes a second", l.Bandwidth)
	}
	return nil
}

// Faults are what goes wrong in the storm, besides the links.
type Faults struct {
	Crashes    int           // devices that lose all but their disk, at times drawn from the seed
	Churn      float64       // share of the devices that do so in each hour of Talk, besides; one may more than once
	Down       time.Duration // how long each is gone. If zero, two minutes
	Partitions []Partition
}

// A Partition divides the devices in two for a while: no message passes from one half to the other.
type Partition struct {
	From, For time.Duration
	Share     float64 // of the devices in the first half. If zero, a half
}

// Options shape a world. Base and Devices are required; zero values serve for the rest.
type Options struct {
	Base     *model.Model // what every device knows on its first day; only read
	Devices  []Device
	Learning learning.Config // if Sections is zero, 4: many devices have to fit one machine
	Exchange exchange.Config // Interval, Fanout, MaxHeld, MaxLive, Versions and Central count
	Links    Links
	Faults   Faults

	// Talk is the time in which the users say what they have to say. If zero, 45 minutes.
	Talk time.Duration

	// Asked is what every device is asked about where users show examples: a test set. If nil, the users' own.
	Asked *Examples

	// Features is how many a head of a skill has that is shown. If zero, 256.
	Features int

	// Degree is how many neighbours a device talks to, about. If zero, 6.
	Degree int

	// Updates is how often a device announces its skill while it learns, about; the last time is when its
	// user has said everything. If zero, 2.
	Updates int

	// Laws have to hold. If nil, Laws().
	Laws []Law

	// CheckEvery is how many things happen between two checks of the laws that look at everyone. If zero, 5000, or 200 for each
	// device if that is more.
	CheckEvery int

	// Workers is how many devices run side by side; it changes no result. If zero, as many as there are processors.
	Workers int

	// Until is how many things may happen: then the world ends with ErrUntil. If zero, it goes on. A [Broken] says how many it took.
	Until uint64

	// Transcript gets a line for each thing that happens. If nil, nothing is written.
	Transcript io.Writer

	// Watch is told what happens, in the order in which it does and in one goroutine. It may be nil.
	Watch func(Moment)

	// Progress is told of the virtual time now and then. An error ends the run. It may be nil.
	Progress func(virtual time.Duration) error
}

func (o Options) withDefaults() Options {
	o.Links = o.Links.withDefaults()
	if o.Features == 0 {
		o.Features = 256
	}
	if o.Talk == 0 {
		o.Talk = 45 * time.Minute
	}
	if o.Degree == 0 {
		o.Degree = 6
	}
	if o.Updates == 0 {
		o.Updates = 2
	}
	if o.Laws == nil {
		o.Laws = Laws()
	}
	if o.CheckEvery == 0 {
		o.CheckEvery = max(5000, 200*len(o.Devices))
	}
	if o.Faults.Down == 0 {
		o.Faults.Down = 2 * time.Minute
	}
	if o.Learning.Sections == 0 {
		o.Learning.Sections = 4
	}
	if o.Exchange.Interval == 0 {
		o.Exchange.Interval = 15 * time.Second
	}
	if o.Exchange.MaxHeld == 0 {
		o.Exchange.MaxHeld = 256 << 20
	}
	return o
}

func (o Options) check() error {
	switch {
	case o.Base == nil:
		return errors.New("sim: no base model")
	case len(o.Devices) == 0:
		return errors.New("sim: no devices")
	case o.Degree < 1 || o.Updates < 1 || o.CheckEvery < 1 || o.Talk < 0 || o.Features < 1:
		return errors.New("sim: degree, updates, features and talk must not be negative")
	case o.Faults.Crashes < 0 || o.Faults.Down < 0:
		return errors.New("sim: faults must not be negative")
	case !(o.Faults.Churn >= 0 && o.Faults.Churn <= maxChurn):
		return fmt.Errorf("sim: a churn of %v: must be from 0 to %d", o.Faults.Churn, maxChurn)
	case o.Exchange.MaxLive < 0 || o.Exchange.MaxLive > maxHeld || o.Exchange.Versions < 0:
		return fmt.Errorf("sim: %d updates, %d of a skill: must be from 0, and at most %d", o.Exchange.MaxLive, o.Exchange.Versions, maxHeld)
	}
	if err := o.Links.check(); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	if err := o.Asked.check(); err != nil {
		return fmt.Errorf("sim: asked: %w", err)
	}
	for _, p := range o.Faults.Partitions {
		if p.From < 0 || p.For <= 0 || !(p.Share >= 0 && p.Share < 1) {
			return fmt.Errorf("sim: a partition from %v for %v with a share of %v makes no sense", p.From, p.For, p.Share)
		}
	}
	names := map[string]bool{}
	for _, l := range o.Laws {
		if l.Name == "" {
			return errors.New("sim: a law without a name")
		}
	}
	for _, d := range o.Devices {
		if err := errors.Join(learning.CheckName(d.Name), learning.CheckName(d.skill())); err != nil {
			return fmt.Errorf("sim: device: %w", err)
		}
		if names[d.Name] {
			return fmt.Errorf("sim: two devices are called %q", d.Name)
		}
		names[d.Name] = true
		if err := d.check(); err != nil {
			return fmt.Errorf("sim: device %s: %w", d.Name, err)
		}
		if s := d.Shown; s != nil && o.Asked != nil && s.Inputs != o.Asked.Inputs {
			return fmt.Errorf("sim: device %s is shown %d inputs, and asked about %d", d.Name, s.Inputs, o.Asked.Inputs)
		}
	}
	return nil
}

// maxChurn is how often in an hour a device may crash.
const maxChurn = 60

func (d Device) check() error {
	switch {
	case len(d.Stream) > 0 && d.Shown != nil:
		return errors.New("its user both says and shows; one skill is one or the other")
	case d.Asked != nil && d.Shown == nil:
		return errors.New("its user is asked about examples and shows none")
	case d.Asked != nil && d.Asked.Inputs != d.Shown.Inputs:
		return fmt.Errorf("it is shown %d inputs, and asked about %d", d.Shown.Inputs, d.Asked.Inputs)
	case !(d.Speed >= 0 && d.Speed <= 1e6):
		return fmt.Errorf("a speed of %v seconds a byte", d.Speed)
	}
	if err := errors.Join(d.Shown.check(), d.Asked.check()); err != nil {
		return err
	}
	if d.Links != nil {
		if err := d.Links.withDefaults().check(); err != nil {
			return err
		}
	}
	var until time.Duration
	for _, s := range d.Away {
		if s.From < until || s.For <= 0 {
			return fmt.Errorf("away from %v for %v: out of order", s.From, s.For)
		}
		until = s.From + s.For
	}
	var last time.Duration = -1
	for _, v := range d.Visits {
		if v.From <= last || v.Place < 0 {
			return fmt.Errorf("in place %d from %v on: out of order", v.Place, v.From)
		}
		last = v.From
	}
	return nil
}

// Streams of chance: what is drawn for one purpose does not depend on how often another draws.
const (
	chanceKeys = iota + 1
	chanceOverlay
	chanceTalk
	chanceFaults
	chanceWire
	chanceExam
	chanceSeeds
	chanceForge
	chanceStorm
)

// Genesis is the time at which every world begins.
var Genesis = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// A World holds devices and what is under way between them.
type World struct {
	seed      uint64
	opt       Options
	devices   []*device
	order     []*device // whose user speaks, once for each utterance
	byID      map[protocol.PeerID]*device
	loop      *event.Loop[func() error, spoken]
	lookahead time.Duration // what a message takes at least
	events    uint64        // things that happened before the loop began
	checked   uint64        // how much had happened when the laws looked at everyone last
	shown     uint64        // and when progress was told
	wire      *rand.Rand    // of what concerns all
	moves     *rand.Rand
	places    map[int]*place
	cuts      []*cut
	calm      bool            // the storm is over
	storm     time.Duration   // how long it was, then
	settled   bool            // and the conversation has become quiet
	desks     []learning.Desk // of the loop's workers
	gates     learning.GateCache
	deltas    learning.DeltaCache
	common    common

	sabotage sabotage
}

// sabotage lets tests break a node or the world, to see a law notice.
type sabotage struct {
	config  func(i int, c *node.Config)
	speak   func(i int) bool // reports whether what the user says is swallowed
	deliver func(to int, m protocol.Message) bool
	send    func(from int, m protocol.Message) protocol.Message // what it says instead; nil for nothing
	perform func(d *device, a *node.Actions)                    // changes a node, or what it wants done, before that is done
	trust   func(d *device, m protocol.Message)                 // sees something forged before a device does, and may sign it
}

// Traffic counts messages of one kind. Lost are those of them that did not arrive.
type Traffic struct{ Messages, Bytes, Lost uint64 }

func (t *Traffic) add(u Traffic) {
	t.Messages, t.Bytes, t.Lost = t.Messages+u.Messages, t.Bytes+u.Bytes, t.Lost+u.Lost
}

// New returns a world in which everything is about to begin.
func New(seed uint64, opt Options) (*World, error) {
	opt = opt.withDefaults()
	if err := opt.check(); err != nil {
		return nil, err
	}
	return newWorld(seed, opt, sabotage{})
}

func newWorld(seed uint64, opt Options, s sabotage) (*World, error) {
	w := &World{seed: seed, opt: opt, sabotage: s}
	return w, w.begin(nil)
}

// begin makes the world's devices and plans what is known beforehand, from the beginning or from where a world was saved.
func (w *World) begin(s *saved) error {
	opt := w.opt
	w.byID = map[protocol.PeerID]*device{}
	w.wire = w.chance(chanceWire)
	start := time.Duration(0)
	if s != nil {
		start, w.events = s.head.At, s.head.Events
		w.wire = rand.New(rand.NewPCG(w.seed^uint64(start), chanceWire))
	}
	if err := w.newLoop(start); err != nil {
		return err
	}
	keys, seeds, talk := w.chance(chanceKeys), w.chance(chanceSeeds), w.chance(chanceTalk)
	for i, o := range opt.Devices {
		d := &device{w: w, index: i, opt: o, seed: seeds.Uint64(), seen: map[protocol.UpdateID]bool{}, last: map[lineage]*protocol.Update{}, rumours: map[protocol.Digest]bool{}}
		if d.opt.Share == "" {
			d.opt.Share = node.ShareSkills
		}
		if d.opt.Attack == Silent {
			d.opt.Share = node.ShareNone
		}
		var b [ed25519.SeedSize]byte
		for k := range 4 {
			binary.LittleEndian.PutUint64(b[8*k:], keys.Uint64())
		}
		d.key = ed25519.NewKeyFromSeed(b[:])
		d.id = protocol.NewPeerID(d.key.Public().(ed25519.PublicKey))
		d.utterances = d.opt.said()
		if d.links = opt.Links; o.Links != nil {
			d.links = o.Links.withDefaults()
		}
		d.travel()
		if s != nil {
			if err := d.thaw(&s.devices[i]); err != nil {
				return err
			}
		}
		d.rest()
		w.devices = append(w.devices, d)
		w.byID[d.id] = d
	}
	w.overlay()
	w.plan(talk)
	if s != nil {
		if len(s.head.Cuts) != len(w.cuts) {
			return fmt.Errorf("%w: %d partitions", ErrSaved, len(s.head.Cuts))
		}
		w.goOn(s)
	}
	return nil
}

func (w *World) chance(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, purpose)) }

// plan puts into the queue all that is known beforehand.
func (w *World) plan(talk *rand.Rand) {
	for _, d := range w.devices {
		w.planAt(time.Duration(talk.Int64N(int64(w.opt.Talk)/40+1)), d.boot)
	}
	type saying struct {
		at time.Duration
		d  *device
	}
	var said []saying
	for _, d := range w.devices {
		// The first 1/20 of the time is for switching on, and some users have less to do than others.
		begin := w.opt.Talk / 20
		end := w.opt.Talk/2 + time.Duration(talk.Int64N(int64(w.opt.Talk/2)+1))
		times := make([]time.Duration, d.turns())
		for i := range times {
			times[i] = begin + time.Duration(talk.Int64N(int64(end-begin)+1))
		}
		slices.Sort(times)
		for i, t := range times {
			said = append(said, saying{t, d})
			if i >= d.next {
				d.after(t-w.Now(), d.speak)
			}
		}
	}
	slices.SortStableFunc(said, func(a, b saying) int { return cmp.Compare(a.at, b.at) })
	for _, s := range said {
		w.order = append(w.order, s.d)
	}
	r := w.chance(chanceFaults)
	if len(w.devices) > 0 {
		victims := r.Perm(len(w.devices))
		for k := range w.opt.Faults.Crashes {
			d := w.devices[victims[k%len(victims)]]
			d.mayStop()
			w.planAt(w.opt.Talk/10+time.Duration(r.Int64N(int64(w.opt.Talk*8/10)+1)), d.crash)
		}
	}
	w.churn(r)
	for _, p := range w.opt.Faults.Partitions {
		c := &cut{Partition: p, first: make([]bool, len(w.devices))}
		if c.Share == 0 {
			c.Share = 0.5
		}
		for _, i := range r.Perm(len(w.devices))[:int(c.Share*float64(len(w.devices)))] {
			c.first[i] = true
		}
		w.cuts = append(w.cuts, c)
		w.planAt(c.From, func() error { return w.divide(c) })
		w.planAt(c.From+c.For, func() error { return w.heal(c) })
	}
}

// Now is how long the world has existed.
func (w *World) Now() time.Duration { return w.loop.Now() }

// Seed is what the world was made from.
func (w *World) Seed() uint64 { return w.seed }

// Events is how many things have happened.
func (w *World) Events() uint64 { return w.events + w.loop.Happened() }

// Traffic is what was sent, by kind of message; the transport's own bytes are not counted.
func (w *World) Traffic(k protocol.Kind) (sum Traffic) {
	for _, d := range w.devices {
		sum.add(d.traffic[k&15])
	}
	return sum
}

// Sent is how many bytes all devices together have sent.
func (w *World) Sent() (bytes uint64) {
	for _, d := range w.devices {
		bytes += d.sent
	}
	return bytes
}

// moved is how often anything happened that was new to anyone.
func (w *World) moved() (n uint64) {
	for _, d := range w.devices {
		n += d.moved
	}
	return n
}

// Run lets d of stormy time pass. It returns an error when a law is broken or a node fails.
func (w *World) Run(d time.Duration) error {
	if err := w.run(d); err != nil {
		return err
	}
	return w.check()
}

// ErrUntil ends a world that was to go on until so many things had happened.
var ErrUntil = errors.New("sim: as much happened as was to happen")

const (
	quietRounds = 12  // rounds without anything new, after which a conversation counts as quiet, if that is time enough
	calmRounds  = 600 // rounds after which one that is not is given up
)

// Calm ends the storm: links lose nothing, everyone is up and reachable, and the users are silent. It
// returns when the conversation has become quiet and all laws hold.
func (w *World) Calm() error {
	if !w.calm {
		w.calm, w.storm = true, w.Now()
		w.say(nil, "the storm is over")
		w.note(nil, "", Moment{What: Calmed})
		for _, c := range w.cuts {
			if err := w.heal(c); err != nil {
				return err
			}
		}
		for _, d := range w.devices {
			if err := d.restart(); err != nil {
				return w.failed(err)
			}
		}
	}
	quiet, was := 0, w.moved()
	for range calmRounds {
		if err := w.run(w.opt.Exchange.Interval); err != nil {
			return err
		}
		if quiet++; w.moved() != was || w.thinking() {
			quiet, was = 0, w.moved()
		}
		if quiet == w.quiet() {
			w.settled = true
			return w.check()
		}
	}
	return w.broken(lawQuiet, fmt.Errorf("devices still have something to say to each other after %d rounds", calmRounds))
}

// quiet is how many rounds without anything new show that there is nothing more to come: by then each device has told each of its
// neighbours what it has, but for very few, and who was cut off has been counted again and had a turn at being central.
func (w *World) quiet() int {
	most, central := 0, 0
	for _, d := range w.devices {
		most = max(most, len(d.neighbours))
		central = max(central, int(d.exchange().Central))
	}
	rounds := max(quietRounds, 6*most/cmp.Or(w.opt.Exchange.Fanout, 3))
	if central > 0 && w.cell() {
		rounds = max(rounds, int(time.Duration(4+len(w.devices)/2)*mesh.TermLength/w.opt.Exchange.Interval))
	}
	return rounds
}
