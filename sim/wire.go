package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// detection is how long it takes a device to notice that a neighbour came or went.
const detection = 5 * time.Second

// A frame is a message as bytes. It is decoded once for all who get the same bytes: a message that was
// received is not written any more.
type frame struct {
	bytes []byte
	msg   protocol.Message
}

func encode(m protocol.Message) (frame, error) {
	b, err := protocol.Encode(m)
	if err != nil {
		return frame{}, err
	}
	m, err = protocol.Decode(b)
	return frame{b, m}, err
}

// An envoy is an update on the wire: its head, which is announced, and the whole.
type envoy struct {
	head, whole frame
	verify      func() error // of the whole, which is worked out once for all who fetch it
}

// A cut is a partition, and what both halves did in it.
type cut struct {
	Partition
	first  []bool // which devices are in the first half
	active bool
	over   bool

	mu   sync.Mutex // devices run side by side; sums and sets do not depend on who comes first
	half [2]half
}

type half struct {
	said   int     // bytes that users said
	learnt int     // bytes that devices learnt
	offers []offer // updates announced in this half
	due    int     // of them, that had to arrive before the partition ended
	folds  int     // updates of this half tried by others of it since
}

// An offer is an update as it was announced.
type offer struct {
	d    *device
	life int
	at   time.Time
	saw  []bool // which neighbours its author saw
}

func (c *cut) side(d *device) int {
	if c.first[d.index] {
		return 0
	}
	return 1
}

// reachable reports whether messages pass between two devices now.
func (w *World) reachable(a, b *device) bool {
	if !a.up || !b.up {
		return false
	}
	for _, c := range w.cuts {
		if c.active && c.side(a) != c.side(b) {
			return false
		}
	}
	return a.place == b.place
}

func (w *World) divide(c *cut) error {
	if w.calm {
		return nil
	}
	c.active = true
	w.say(nil, "the mesh is divided")
	w.note(nil, "", Moment{What: Divided})
	w.noticeAcross(c)
	return nil
}

func (w *World) heal(c *cut) error {
	if !c.active {
		return nil
	}
	c.active, c.over = false, true
	for i := range c.half {
		h := &c.half[i]
		for _, o := range h.offers {
			if w.arrives(c, o) {
				h.due++
			}
		}
	}
	w.say(nil, "the mesh is one again")
	w.note(nil, "", Moment{What: Healed})
	w.noticeAcross(c)
	return nil
}

// noticeAcross has everyone notice whom a partition took or gave back.
func (w *World) noticeAcross(c *cut) {
	for _, a := range w.devices {
		for k, b := range a.neighbours {
			if c.side(a) != c.side(b) {
				w.notice(a, k)
			}
		}
	}
}

// noticeAround has a device and its neighbours notice each other, or that one is gone.
func (w *World) noticeAround(d *device) {
	for _, o := range d.neighbours {
		w.noticeEach(d, o)
	}
}

// noticeEach has two neighbours notice each other, or that one is gone.
func (w *World) noticeEach(a, b *device) {
	w.notice(a, slices.Index(a.neighbours, b))
	w.notice(b, slices.Index(b.neighbours, a))
}

// notice plans for a device to learn, a while later, whether its k-th neighbour is there.
func (w *World) notice(d *device, k int) {
	if k < 0 || !d.linked[k] && !d.sees[k] {
		return
	}
	late := detection/2 + time.Duration(w.loop.Chance(d.index).Int64N(int64(detection)))
	life := d.life
	look := func() error {
		o := d.neighbours[k]
		here := w.reachable(d, o) && d.linked[k]
		if d.sees[k] == here {
			return nil
		}
		d.sees[k] = here
		ev := mesh.Event{Kind: mesh.Left, Peer: o.id}
		if here {
			ev.Kind = mesh.Joined
		}
		w.say(d, "sees that %s %v", o.opt.Name, ev.Kind)
		return d.perform(d.node.Handle(d.now(), ev))
	}
	d.after(late, func() error {
		if d.life != life {
			return nil
		}
		return d.attend(look)
	})
}

// send puts an envelope on its way.
func (w *World) send(from *device, e protocol.Envelope) error {
	if f := w.sabotage.send; f != nil {
		if e.Msg = f(from.index, e.Msg); e.Msg == nil {
			return nil
		}
	}
	forged := false
	switch {
	case from.opt.Attack == Forge && e.To != "":
		e.Msg, forged = from.tamper(e.Msg)
	case from.opt.Attack != "":
		var err error
		if e.Msg, err = from.lie(e.Msg); err != nil || e.Msg == nil {
			return err
		}
	}
	w.inspect(from, e.Msg)
	if e.To == "" {
		u, ok := e.Msg.(*protocol.Update)
		if !ok {
			r, err := newRumour(e.Msg)
			if err != nil {
				return err
			}
			from.moved++
			w.say(from, "tells everyone %v", e.Msg)
			if rec, ok := e.Msg.(*protocol.Record); ok {
				w.noteRuling(from, rec)
			}
			return w.spread(from, nil, r)
		}
		from.moved++
		w.common.offer(u)
		w.offered(from)
		w.say(from, "announces %v %q, %d bytes, after %d events", u.ID, u.Skill, u.Size, u.Events)
		w.note(from, "", Moment{What: Announced, Skill: u.Skill, Bytes: int(u.Size)})
		return w.gossip(from, nil, u)
	}
	to := w.byID[e.To]
	if to == nil {
		return fmt.Errorf("a node speaks to a stranger: %v", e)
	}
	if forged {
		return w.sendForged(from, to, e.Msg)
	}
	f, err := w.frame(e.Msg)
	if err != nil {
		return err
	}
	switch m := e.Msg.(type) {
	case *protocol.Want:
		if len(m.IDs) > 0 { // to ask what there is, is not to lack anything
			from.moved++
		}
	case *protocol.Update, *protocol.Announce:
		from.moved++
	}
	have, mine := from.pop(to, e.Msg), from.versions(e.Msg)
	w.carry(from, to, f, have, func() error {
		if u, ok := f.msg.(*protocol.Update); ok {
			to.seen[u.ID] = true
		}
		to.note(from, mine)
		w.say(to, "hears %s: %s", from.opt.Name, brief(f))
		return to.hear(mesh.Event{Kind: mesh.Heard, Peer: from.id, Msg: f.msg})
	})
	return nil
}

// sendForged puts on its way what somebody forged, if it would be let in at all.
func (w *World) sendForged(from, to *device, m protocol.Message) error {
	f, err := encode(m)
	if err != nil {
		w.say(from, "says to %s what nobody can read: %v", to.opt.Name, err)
		return nil
	}
	w.carry(from, to, f, nil, func() error {
		w.say(to, "hears %s: forged: %s", from.opt.Name, brief(f))
		return to.distrust(mesh.Event{Kind: mesh.Heard, Peer: from.id, Msg: f.msg})
	})
	return nil
}

func (w *World) frame(m protocol.Message) (frame, error) {
	u, ok := m.(*protocol.Update)
	if !ok {
		return encode(m)
	}
	e, err := w.common.envoy(u)
	if err != nil {
		return frame{}, err
	}
	return e.whole, nil
}

// brief is a message as the transcript has it: long lists are told by their length and digest.
func brief(f frame) string {
	switch m := f.msg.(type) {
	case *protocol.Have:
		return fmt.Sprintf("have %d updates, %v", len(m.IDs), protocol.Sum(f.bytes))
	case *protocol.Want:
		return fmt.Sprintf("want %d updates, %v", len(m.IDs), protocol.Sum(f.bytes))
	}
	return f.msg.String()
}

// carry takes a frame from one device to another, if it does not get lost, and then calls arrive. Of an update, have is the version
// that the other has.
func (w *World) carry(from, to *device, f frame, have *protocol.Update, arrive func() error) {
	size := w.weight(f, have)
	t := &from.traffic[f.msg.Kind()&15]
	t.Messages++
	t.Bytes += uint64(size)
	from.sent += uint64(size)
	now := from.now()
	if from.busy.Before(now) {
		from.busy = now
	}
	from.busy = from.busy.Add(time.Duration(float64(size) / float64(from.links.Bandwidth) * float64(time.Second)))
	delay := w.delay(from)
	lost := w.loop.Chance(from.index).Float64() < from.links.Loss && !w.calm
	if lost || !w.reachable(from, to) {
		t.Lost++
		return
	}
	life := to.life
	from.post(to, from.busy.Add(delay).Sub(now), func() error {
		if to.node == nil || to.life != life || !w.reachable(from, to) {
			to.traffic[f.msg.Kind()&15].Lost++
			return nil
		}
		if g := w.sabotage.deliver; g != nil && g(to.index, f.msg) {
			return nil
		}
		if u, ok := f.msg.(*protocol.Update); ok {
			to.last[lineageOf(u)] = u
		}
		return arrive()
	})
}

// delay draws how long a message of a device is under way.
func (w *World) delay(from *device) time.Duration {
	l := from.links
	return max(l.MinDelay+time.Duration(w.loop.Chance(from.index).Int64N(int64(l.MaxDelay-l.MinDelay)+1)), w.lookahead)
}

// ask has a device ask another for something large of which it was told: the request takes as long as any message, and so does what
// comes back.
func (w *World) ask(from, to *device, answer func()) {
	life := to.life
	from.post(to, w.delay(from), func() error {
		if to.node != nil && to.life == life && w.reachable(from, to) {
			answer()
		}
		return nil
	})
}

// A lineage is what an update is a version of.
type lineage struct {
	author protocol.PeerID
	skill  string
}

func lineageOf(u *protocol.Update) lineage { return lineage{u.ID.Author, u.Skill} }

// weight is how many bytes a frame has on its way to a device. Of an update that is its head, and the body as the mesh sends it to who has the
// version that came to it last, as it says when it asks. Whoever passes an update on is taken to have that too.
func (w *World) weight(f frame, have *protocol.Update) int {
	u, ok := f.msg.(*protocol.Update)
	if !ok {
		return len(f.bytes)
	}
	return len(f.bytes) - len(u.Body) + w.common.weight(u, have)
}

// A rival is what some device has a version of.
type rival struct {
	device int
	lineage
}

// versions are what a device has of the authors of updates that it asks for.
func (d *device) versions(m protocol.Message) (mine []*protocol.Update) {
	want, ok := m.(*protocol.Want)
	if !ok || len(want.IDs) == 0 {
		return nil
	}
	authors := map[protocol.PeerID]bool{}
	for _, id := range want.IDs {
		authors[id.Author] = true
	}
	for l, u := range d.last { // in any order: it does not show
		if authors[l.author] {
			mine = append(mine, u)
		}
	}
	return mine
}

// note keeps what one who asks has.
func (d *device) note(of *device, theirs []*protocol.Update) {
	for _, u := range theirs {
		if d.theirs == nil {
			d.theirs = map[rival]*protocol.Update{}
		}
		d.theirs[rival{of.index, lineageOf(u)}] = u
	}
}

// pop returns what one to whom an update goes said that it has of it, and forgets it.
func (d *device) pop(to *device, m protocol.Message) *protocol.Update {
	u, ok := m.(*protocol.Update)
	if !ok {
		return nil
	}
	key := rival{to.index, lineageOf(u)}
	have := d.theirs[key]
	delete(d.theirs, key)
	return have
}

// gossip announces an update to a device's neighbours, but the one it came from. Whoever has not seen it and wants it
// fetches the body from the one who told, verifies it, and passes it on in turn.
func (w *World) gossip(from, not *device, u *protocol.Update) error {
	from.seen[u.ID] = true
	e, err := w.common.envoy(u)
	if err != nil {
		return err
	}
	for k, to := range from.neighbours {
		if to == not || !from.sees[k] {
			continue
		}
		w.carry(from, to, e.head, nil, func() error {
			if to.seen[u.ID] || !from.up {
				return nil
			}
			to.seen[u.ID] = true
			if !to.node.Wants(&u.Announce) {
				return nil
			}
			return w.fetch(from, to, e)
		})
	}
	return nil
}

// fetch has a device ask another for the body of an update, and get it. A want of the update stands for the mesh's own request: it is
// about as long, and takes a link's delay.
func (w *World) fetch(from, to *device, e *envoy) error {
	u := e.whole.msg.(*protocol.Update)
	request, err := encode(&protocol.Want{IDs: []protocol.UpdateID{u.ID}})
	if err != nil {
		return err
	}
	have := to.last[lineageOf(u)]
	w.carry(to, from, request, nil, func() error {
		w.carry(from, to, e.whole, have, func() error { return w.fetched(from, to, e) })
		return nil
	})
	return nil
}

// fetched has a device hear an update that it fetched, and pass it on.
func (w *World) fetched(from, to *device, e *envoy) error {
	u := e.whole.msg.(*protocol.Update)
	if err := e.verify(); err != nil {
		return nil
	}
	to.moved++
	w.say(to, "hears %s: %v", from.opt.Name, u)
	if err := to.hear(mesh.Event{Kind: mesh.Heard, Peer: from.id, Msg: u}); err != nil {
		return err
	}
	return w.gossip(to, from, u)
}

// What follows keeps the accounts that laws look into.

// inspect notes an update whose author's user lets nothing go, and a verdict that tells what the user's text proved.
func (w *World) inspect(from *device, m protocol.Message) {
	var id protocol.UpdateID
	switch m := m.(type) {
	case *protocol.Update:
		id = m.ID
	case *protocol.Announce:
		id = m.ID
	case *protocol.Answer:
		from.saw.told = from.saw.told || from.opt.Share != node.ShareAll && m.Verdict != protocol.Refused
		return
	default:
		return
	}
	if author := w.byID[id.Author]; author != nil && author.opt.Share == node.ShareNone {
		from.saw.leaked = id
	}
}

// account changes the account of the half that d is in, for every partition there is.
func (w *World) account(d *device, change func(*half)) {
	for _, c := range w.cuts {
		if c.active {
			c.mu.Lock()
			change(&c.half[c.side(d)])
			c.mu.Unlock()
		}
	}
}

func (w *World) offered(d *device) {
	for _, c := range w.cuts {
		if c.active && d.opt.Attack == "" {
			c.mu.Lock()
			h := &c.half[c.side(d)]
			h.offers = append(h.offers, offer{d, d.life, d.now(), slices.Clone(d.sees)})
			c.mu.Unlock()
		}
	}
}

// arrives reports whether an update that was announced in a partition had to reach someone before its end: a neighbour has been up all the
// time, has room for it, and could be told of it so often that not even these links lose all of it.
func (w *World) arrives(c *cut, u offer) bool {
	if u.d.node == nil || u.d.life != u.life || u.d.busy.After(w.now()) || u.d.opt.Speed > 0 || len(u.d.opt.Visits) > 0 {
		return false
	}
	for k, o := range u.d.neighbours {
		if !u.d.sees[k] || o.node == nil || o.opt.Attack != "" || o.opt.Speed > 0 || c.side(o) != c.side(u.d) || o.began.After(u.at) || o.node.Conversation().Chose() || o.shuns(u.d.id) {
			continue
		}
		apart := func(other *cut) bool {
			return other.side(o) != other.side(u.d) && w.now().Sub(Genesis) > other.From && u.at.Sub(Genesis) < other.From+other.For+2*detection
		}
		if slices.ContainsFunc(w.cuts, apart) || len(o.opt.Visits)+len(u.d.opt.Visits) > 0 {
			continue
		}
		j := slices.Index(o.neighbours, u.d)
		if j < 0 || !o.sees[j] || o.busy.After(w.now()) {
			continue
		}
		loss := max(u.d.links.Loss, o.links.Loss)
		rounds := float64(w.now().Sub(u.at)-4*max(u.d.links.MaxDelay, o.links.MaxDelay)-2*detection) / float64(w.opt.Exchange.Interval)
		told := math.Pow(1-loss, 4) * min(1, float64(cmp.Or(w.opt.Exchange.Fanout, 3))/float64(len(u.d.neighbours)))
		if rounds > 1 && loss == 0 && k < len(u.saw) && u.saw[k] || rounds*told > 12 {
			return true
		}
	}
	return false
}

func (w *World) folded(d *device, f node.Fold) {
	author := w.byID[f.ID.Author]
	for _, c := range w.cuts {
		if c.active && author != nil && c.side(author) == c.side(d) {
			c.mu.Lock()
			c.half[c.side(d)].folds++
			c.mu.Unlock()
		}
	}
}
