package sim

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// What follows is looked at after everything that happens to a device. It looks at that device alone and at what stands still,
// and most of the time at no more than a few numbers: what takes longer is looked at when something was decided, which
// takes longer still.

// A witness is what laws remember of one device. It is no part of the device, so no crash takes it.
type witness struct {
	now      time.Time                     // of what happened last
	crowd    int                           // how much happened at that time
	folds    map[protocol.UpdateID]int     // how often each was handed to its mind
	verdicts map[protocol.PeerID]*verdicts // what came of it, by author
	said     map[uint64]protocol.Digest    // own updates, by sequence
	own      map[string]uint64             // the last of them, by skill
	seq      uint64                        // the last of them
	leaked   protocol.UpdateID             // an update that this device sent, and whose author lets nothing go
	told     bool                          // it told a peer what its user's text proved
	mind     [sha256.Size]byte             // when it went down, and
	ledger   map[protocol.PeerID][3]int    // what it knew of others; nil while it is up
}

// verdicts are what the updates of one author proved to be.
type verdicts struct {
	of   [protocol.Harmful + 1]int
	late int   // that turned out to do harm when they had been taken in
	gain int64 // of all but those, as the conversation counts it
}

// harms reports whether an author did harm so often, and nothing else, that nobody shall ask him any more. What turned out
// later to do harm is left out: what it was thought to be worth is taken back, and that is known to the conversation alone.
func (v *verdicts) harms() bool { return v.late == 0 && v.of[protocol.Harmful] >= 3 && v.gain <= 0 }

// obey has the laws look at a device to which something happened that made its node want a.
func (d *device) obey(a *node.Actions) error {
	d.witness(a)
	for _, l := range d.w.opt.Laws {
		if l.local == nil {
			continue
		}
		if err := l.local(d, a); err != nil {
			return d.w.broken(l.Name, err)
		}
	}
	return nil
}

// witness notes what laws need to know later.
func (d *device) witness(a *node.Actions) {
	s := &d.saw
	if !d.now().Equal(s.now) {
		s.crowd = 0
	}
	s.crowd++
	for _, f := range a.Folds {
		if f.Merged > 0 || f.ID.Author == "" {
			continue
		}
		v := s.verdicts[f.ID.Author]
		if v == nil {
			if s.verdicts == nil {
				s.verdicts = map[protocol.PeerID]*verdicts{}
			}
			v = new(verdicts)
			s.verdicts[f.ID.Author] = v
		}
		if f.Late {
			v.late++
			continue
		}
		v.of[f.Verdict]++
		v.gain += micro(f.Gain)
	}
}

// fold notes that an update was handed to the mind.
func (s *witness) fold(id protocol.UpdateID) {
	if s.folds == nil {
		s.folds = map[protocol.UpdateID]int{}
	}
	s.folds[id]++
}

// micro is a gain as the conversation counts it.
func micro(nats float64) int64 {
	if nats-nats != 0 {
		return 0
	}
	return int64(math.RoundToEven(min(max(nats, -10), 10) * 1e6))
}

// decided reports whether what happened changed what the device holds or has in its mind of others.
func decided(a *node.Actions) bool { return len(a.Folds) > 0 || len(a.Bodies) > 0 }

func foldsOnce(d *device, a *node.Actions) error {
	for _, f := range a.Folds {
		if n := d.saw.folds[f.ID]; n > 1 && f.Merged == 0 && !f.Late {
			return d.breach("folded %v %d times", f.ID, n)
		}
	}
	return nil
}

// keepsPrivate looks at what was put on the wire, see [World.inspect].
func keepsPrivate(d *device, _ *node.Actions) error {
	if d.saw.leaked != (protocol.UpdateID{}) {
		return d.breach("sent %v, of %s, which shares nothing", d.saw.leaked, d.w.byID[d.saw.leaked.Author].opt.Name)
	}
	if d.saw.told {
		return d.breach("told a peer what a skill was worth on its user's own text, which is nobody's business")
	}
	return nil
}

// staysFinite looks at the skills that may have changed: the user's own, and of others what was tried.
func staysFinite(d *device, a *node.Actions) error {
	if len(a.Folds) == 0 {
		if !slices.ContainsFunc(a.Records, func(r []byte) bool { return r[0] != 'X' }) {
			return nil
		}
		return d.finite(func(author string) bool { return author == "" })
	}
	return d.finite(func(author string) bool {
		return author == "" || slices.ContainsFunc(a.Folds, func(f node.Fold) bool {
			return author == string(f.ID.Author) || f.ID.Author == "" && author == learning.Many
		})
	})
}

// finite looks at the skills of some authors; empty is the device's own user.
func (d *device) finite(of func(author string) bool) error {
	l := d.node.Learner()
	for i, s := range l.Skills() {
		if !of(s.Author) {
			continue
		}
		b := l.Model().Banks[i]
		for _, part := range [][]float32{b.Weights, b.Gate.Weight, b.Gate.Own, {b.Gate.Theta, b.Gate.Span, b.Gate.OwnBias, float32(s.Gain)}} {
			for k, v := range part {
				if v-v != 0 {
					return d.breach("has skill %s of which number %d is %v", s.Name, k, v)
				}
			}
		}
	}
	return nil
}

// Bounds that nothing may exceed, whatever peers send.
const (
	maxHeld    = 1024 // updates, as exchange promises, where Config.MaxLive says no less
	maxAuthors = 2048 // remembered, as it promises too
	maxSkills  = 1024 // skills, our own among them
	maxAtOnce  = 4096 // envelopes for one thing that happened
)

func staysBounded(d *device, a *node.Actions) error {
	c := d.node.Conversation()
	l := c.Load()
	switch {
	case l.Updates > cmp.Or(d.w.opt.Exchange.MaxLive, maxHeld):
		return d.breach("holds %d updates", l.Updates)
	case l.Authors > maxAuthors:
		return d.breach("remembers %d authors", l.Authors)
	case l.Wanted > protocol.MaxWant*max(d.seeing(), 1):
		return d.breach("waits for %d updates, and sees %d neighbours", l.Wanted, d.seeing())
	case len(d.node.Learner().Skills()) > maxSkills:
		return d.breach("has %d skills", len(d.node.Learner().Skills()))
	case len(a.Send) > maxAtOnce:
		return d.breach("has %d things to say at once", len(a.Send))
	}
	if l.Bytes > d.w.opt.Exchange.MaxHeld { // its own are never let go
		for _, u := range c.Live() {
			if u.ID.Author == d.id {
				l.Bytes -= len(u.Body)
			}
		}
		if l.Bytes > d.w.opt.Exchange.MaxHeld {
			return d.breach("holds %d bytes of others", l.Bytes)
		}
	}
	if len(a.Send) == 0 { // whoever comes is greeted
		return nil
	}
	if n := len(c.Peers()); n > d.seeing() {
		return d.breach("talks to %d peers, and sees %d neighbours", n, d.seeing())
	}
	return nil
}

// seeing is how many neighbours the mesh has told the device of.
func (d *device) seeing() (n int) {
	for _, here := range d.sees {
		if here {
			n++
		}
	}
	return n
}

// addsUp compares what the conversation knows of authors with what came of their updates.
func addsUp(d *device, a *node.Actions) error {
	if len(a.Folds) == 0 {
		return nil
	}
	for _, s := range d.node.Conversation().Ledger() {
		v := d.saw.verdicts[s.Author]
		if v == nil {
			if s.Folded+s.Refused+s.Harmful != 0 {
				return d.breach("has verdicts on %v, of whom nothing was tried", s.Author)
			}
			continue
		}
		folded, refused, harmful := v.of[protocol.Folded], v.of[protocol.Refused], v.of[protocol.Harmful]
		ok := s.Refused == refused && s.Harmful >= harmful && s.Harmful <= harmful+v.late && s.Folded <= folded && s.Folded >= folded-v.late
		if v.late == 0 {
			ok = ok && s.Gain == v.gain
		}
		if !ok {
			return d.breach("counts %d folded, %d refused, %d harmful and a gain of %d of %v, of whom %d were folded (%d turned out to do harm), %d refused and %d harmful, with a gain of %d",
				s.Folded, s.Refused, s.Harmful, s.Gain, s.Author, folded, v.late, refused, harmful, v.gain)
		}
	}
	return nil
}

// holdsOne looks at what is held when it changed, and at what peers are told of it.
func holdsOne(d *device, a *node.Actions) error {
	c := d.node.Conversation()
	if decided(a) {
		bytes, seen := 0, map[lineage]bool{}
		live := c.Live()
		for i, u := range live {
			switch {
			case i > 0 && live[i-1].ID.Compare(u.ID) >= 0:
				return d.breach("holds %v before %v", live[i-1].ID, u.ID)
			case seen[lineageOf(u)]:
				return d.breach("holds two versions of skill %s of %v", u.Skill, u.ID.Author)
			case d.shuns(u.ID.Author):
				return d.breach("holds %v, of one whom it shuns", u.ID)
			}
			seen[lineageOf(u)] = true
			bytes += len(u.Body)
		}
		if l := c.Load(); l.Updates != len(live) || l.Bytes != bytes {
			return d.breach("counts %d updates of %d bytes, and holds %d of %d", l.Updates, l.Bytes, len(live), bytes)
		}
	}
	return nil
}

// numbersOnce looks at what the device says of its own.
func numbersOnce(d *device, a *node.Actions) error {
	s := &d.saw
	for _, e := range a.Send {
		var an *protocol.Announce
		switch m := e.Msg.(type) {
		case *protocol.Update:
			an = &m.Announce
		case *protocol.Announce:
			an = m
		}
		if an == nil || an.ID.Author != d.id {
			continue
		}
		name, known := s.said[an.ID.Seq]
		switch {
		case known && name != an.Name():
			return d.breach("says two things by the name of %v", an.ID)
		case !known && e.To == "" && an.ID.Seq <= s.seq:
			return d.breach("announces %v after %d", an.ID, s.seq)
		}
		if s.said == nil {
			s.said, s.own = map[uint64]protocol.Digest{}, map[string]uint64{}
		}
		s.said[an.ID.Seq] = an.Name()
		s.seq = max(s.seq, an.ID.Seq)
		s.own[an.Skill] = max(s.own[an.Skill], an.ID.Seq)
	}
	return nil
}

// holdsOwn looks whether the last own update of each skill is held, as long as its user lets it go.
func holdsOwn(d *device, a *node.Actions) error {
	if !decided(a) {
		return nil
	}
	return d.holdsOwn()
}

func (d *device) holdsOwn() error {
	for skill, seq := range d.saw.own {
		if d.node.Conversation().Own(skill) == nil {
			return d.breach("holds its skill %s no more, of which it announced version %d", skill, seq)
		}
	}
	return nil
}

// maxCrowd is how often a device may be woken by each of its neighbours, or itself, at one time.
const maxCrowd = 1000

func goesOn(d *device, _ *node.Actions) error {
	s := &d.saw
	if d.now().Before(s.now) {
		return d.breach("was at %v before", s.now.Sub(Genesis))
	}
	if s.crowd > maxCrowd*(1+len(d.neighbours)) {
		return d.breach("did %d things at one time", s.crowd)
	}
	s.now = d.now()
	return nil
}

// asksNoHarm looks at what is asked for, and what is tried.
func asksNoHarm(d *device, a *node.Actions) error {
	for _, e := range a.Send {
		m, ok := e.Msg.(*protocol.Want)
		if !ok {
			continue
		}
		for _, id := range m.IDs {
			if v := d.saw.verdicts[id.Author]; d.shuns(id.Author) || v != nil && v.harms() {
				return d.breach("asks for %v, whose author did harm %d times and no good", id, d.saw.verdicts[id.Author].of[protocol.Harmful])
			}
		}
	}
	return nil
}

// distrust has a device hear what somebody forged on the way. If nothing is changed by it, nothing is in the journal, no mind is another, and
// the conversation stands where it stood.
func (d *device) distrust(ev mesh.Event) error {
	if d.node == nil {
		return nil
	}
	if f := d.w.sabotage.trust; f != nil {
		f(d, ev.Msg)
	}
	before := d.stands()
	a := d.node.Handle(d.now(), ev)
	if after := d.stands(); d.w.has(lawForged) && (len(a.Records)+len(a.Folds) > 0 || before != after) {
		return d.w.broken(lawForged, d.breach("is another since it heard a forged %v: %v", ev.Msg.Kind(), ev.Msg))
	}
	return d.perform(a)
}

// stands tells one state of a node from another, but for what is only under way.
func (d *device) stands() [sha256.Size]byte {
	h := sha256.New()
	talk, err := d.node.Conversation().MarshalBinary()
	if err == nil {
		h.Write(talk)
		err = d.node.Learner().WriteSnapshot(h)
	}
	if err != nil {
		panic(err) // a hash takes everything
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// remember notes what a device knows whose power is about to be cut.
func (d *device) remember() {
	if d.node == nil || d.disk == nil || !d.w.has(lawKept) {
		return
	}
	d.saw.mind = d.mind()
	d.saw.ledger = map[protocol.PeerID][3]int{}
	for _, s := range d.node.Conversation().Ledger() {
		d.saw.ledger[s.Author] = [3]int{s.Folded, s.Refused, s.Harmful}
	}
}

func (d *device) mind() [sha256.Size]byte {
	h := sha256.New()
	if err := d.node.Learner().WriteSnapshot(h); err != nil {
		panic(err) // a hash takes everything
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// recall looks whether a device that has just come back from its disk knows what it knew: its mind is the same, and so are its
// ledger, its own updates and the number of the last.
func (d *device) recall() error {
	if d.saw.ledger == nil || !d.w.has(lawKept) {
		return nil
	}
	err := d.forgot()
	d.saw.ledger = nil
	if err != nil {
		return d.w.broken(lawKept, err)
	}
	return nil
}

func (d *device) forgot() error {
	if d.mind() != d.saw.mind {
		return d.breach("is back with another mind, which learnt from %d events", d.node.Learner().Events())
	}
	for _, s := range d.node.Conversation().Ledger() {
		if had := d.saw.ledger[s.Author]; had != [3]int{s.Folded, s.Refused, s.Harmful} {
			return d.breach("is back and knows %d, %d and %d verdicts on %v, of %v", s.Folded, s.Refused, s.Harmful, s.Author, had)
		}
		delete(d.saw.ledger, s.Author)
	}
	if len(d.saw.ledger) > 0 {
		return d.breach("is back and knows nothing of %d authors", len(d.saw.ledger))
	}
	if next := d.node.Conversation().NextSeq(); next <= d.saw.seq {
		return d.breach("is back and would number %d what comes after %d", next, d.saw.seq)
	}
	if err := d.holdsOwn(); err != nil {
		return fmt.Errorf("%w, being back", err)
	}
	return nil
}
