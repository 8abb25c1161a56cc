// Package node is one device made whole: a mind and a conversation, which meet here and nowhere else.
//
// A [Node] is a value without goroutine, clock, disk or socket. What happens goes in with the time at which
// it happened, and [Actions] come out: records that have to be on disk before anything is acknowledged,
// envelopes to send, and when to wake it again. [Run] is the loop that drives a node from a real mesh and a
// real clock; package sim drives thousands with none. After a restart a node is its last snapshot and the
// journal's records since, replayed.
//
// Nothing but the sections of skills that the owner shares leaves a node, on the terms that he sets.
package node

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/learning/privacy"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
	"github.com/yanmesh/yan/protocol"
)

// Share is what the owner lets leave the device.
type Share string

const (
	ShareNone   Share = "none"   // nothing but skills shared one by one
	ShareSkills Share = "skills" // every skill that the owner taught by name
	ShareAll    Share = "all"    // also what the device grew by itself from the owner's stream
)

// Config says what a node is. Key and Seed are required; zero values serve for the rest.
type Config struct {
	Key      ed25519.PrivateKey // the identity that signs what the node says
	Seed     uint64             // all chance comes from here
	Agent    string             // what it calls itself to peers
	Share    Share              // what leaves the device of skills that have no terms of their own; if empty, ShareNone
	Swarm    string             // the swarm to which the mesh is closed; empty for a mesh that anyone may join
	Chance   *rand.Rand         // what noise is drawn from, for skills on terms that ask for it: nobody may foresee it
	Learning learning.Config
	Exchange exchange.Config // Self, Model, Agent, Rand and Log are filled in

	// Deltas, where it is not nil, is shared with other nodes of the process, for those who take in the same.
	Deltas *learning.DeltaCache

	// PublishEvery is how many events a shared skill learns between two announcements. If zero, 2048.
	PublishEvery uint64
	// PublishExamples is how many examples a shared knack is shown between two announcements, at least. If zero, 16.
	PublishExamples uint64

	Log *slog.Logger // if nil, nothing is logged
}

// A Node is a mind with a conversation. It is not safe for concurrent use: Run owns it.
type Node struct {
	cfg       Config
	self      protocol.PeerID
	learner   *learning.Learner
	exchange  *exchange.Machine
	published map[string]uint64 // Events of each of our skills when it was announced last
	talk      []byte            // the conversation's state found in the journal
	merged    []*merging        // what we merged in our turn, until it is tried here

	terms   map[string]Terms        // the owner's word on our skills, by name
	spent   map[string]privacy.Cost // what each name has told, for ever: forgetting a skill takes back nothing
	stopped map[string]bool         // skills of which was logged that they are announced no more
	swarm   string                  // Config.Swarm when the conversation was last written down
	seen    Seen
	sum     summing

	knacks []*learning.Knack // by name
	asleep bool              // the bodies of lessons in them are not there yet, since a restart
	due    time.Time         // when knacks are announced if nothing more is shown; zero if there is nothing to announce
}

// Actions is what a node wants done, in this order: put every body and then every record on disk, as one;
// then send; then acknowledge. Tick has to be called no later than Wake.
type Actions struct {
	Bodies  [][]byte
	Records [][]byte
	Send    []protocol.Envelope
	Folds   []Fold // what became of peers' skills, for the owner to see
	Wake    time.Time
}

// Add appends what is to be done after a.
func (a *Actions) Add(b Actions) {
	a.Bodies = append(a.Bodies, b.Bodies...)
	a.Records = append(a.Records, b.Records...)
	a.Send = append(a.Send, b.Send...)
	a.Folds = append(a.Folds, b.Folds...)
	if !b.Wake.IsZero() {
		a.Wake = b.Wake
	}
}

// A Fold tells what became of a peer's skill, or of many peers' versions of one, merged.
type Fold struct {
	ID      protocol.UpdateID // zero if it was merged
	Merged  int               // of so many versions; 0 if it is one peer's
	Skill   string
	Verdict protocol.Verdict
	Gain    float64 // nats an event, on the owner's recent events
	Reason  string  // why it was not taken
	Late    bool    // it was taken in, and did harm since; of its ID the author alone is known, and of a merged one not even that
}

func (f Fold) String() string {
	from := f.ID.Author.Short()
	switch {
	case f.Merged > 0:
		from = fmt.Sprintf("%d peers, merged", f.Merged)
	case f.ID.Author == "":
		from = "many peers, merged"
	}
	switch {
	case f.Late:
		return fmt.Sprintf("removed skill %s from %s: it turned out to cost %.4f nats an event", f.Skill, from, -f.Gain)
	case f.Verdict == protocol.Folded:
		return fmt.Sprintf("took in skill %s from %s (gain on own recent events %+.4f nats an event)", f.Skill, from, f.Gain)
	case f.Verdict == protocol.Harmful:
		return fmt.Sprintf("undid skill %s from %s: it cost %.4f nats an event on own recent events", f.Skill, from, -f.Gain)
	}
	return fmt.Sprintf("refused skill %s from %s: %s", f.Skill, from, f.Reason)
}

// New returns a node that knows its base and nothing else.
func New(cfg Config, base *model.Model) (*Node, error) {
	if len(cfg.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("node: no key")
	}
	switch cfg.Share {
	case "":
		cfg.Share = ShareNone
	case ShareNone, ShareSkills, ShareAll:
	default:
		return nil, fmt.Errorf("node: share %q: must be none, skills or all", cfg.Share)
	}
	if cfg.PublishEvery == 0 {
		cfg.PublishEvery = 2048
	}
	if cfg.PublishExamples == 0 {
		cfg.PublishExamples = 16
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Learning.Seed = cfg.Seed
	l, err := learning.New(cfg.Learning, base)
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, learner: l, published: map[string]uint64{}, terms: map[string]Terms{}, spent: map[string]privacy.Cost{}, stopped: map[string]bool{}}
	n.self = protocol.NewPeerID(cfg.Key.Public().(ed25519.PublicKey))
	x := cfg.Exchange
	x.Self, x.Model, x.Agent, x.Log = n.self, protocol.Digest(l.Fingerprint()), cfg.Agent, cfg.Log
	x.Rule = mergeRule
	x.Rand = rand.New(rand.NewPCG(cfg.Seed, 42))
	x.Quiet = cfg.Share != ShareAll // what a peer's skill is worth here is measured on what the owner keeps to himself
	n.exchange = exchange.New(x)
	return n, nil
}

// Self is the node's name on the mesh.
func (n *Node) Self() protocol.PeerID { return n.self }

// Learner is the node's mind. Whoever changes it other than through the node loses the change on restart.
func (n *Node) Learner() *learning.Learner { return n.learner }

// Conversation is the node's side of the exchange, for status pages.
func (n *Node) Conversation() *exchange.Machine { return n.exchange }

// Wants reports whether the body of an update or a record with that head, an Announce or an Align, is to be fetched: it is of use here,
// or it is for peers with another base, whom it may reach through us alone.
func (n *Node) Wants(head protocol.Message) bool {
	switch h := head.(type) {
	case *protocol.Announce:
		return h.Model != protocol.Digest(n.learner.Fingerprint()) || n.exchange.Wants(h)
	case *protocol.Align:
		return h.Model != protocol.Digest(n.learner.Fingerprint()) || n.exchange.WantsRecord(h)
	}
	return false
}

// Observe takes in bytes of the owner's stream: each was predicted before it was seen. It returns their
// surprise in nats.
func (n *Node) Observe(now time.Time, b []byte) (nats float64, a Actions) {
	nats = n.read(b)
	n.seen.add(len(b), nats)
	a.Records = append(a.Records, record(recEvents, b))
	n.regret(now, &a)
	n.publish(now, &a, n.cfg.PublishEvery)
	return nats, a
}

// Seen is how much of the owner's stream came in since the node began, and how surprising it was.
type Seen struct {
	Events uint64
	Nats   float64 // never falls: it is the most that the sum has been

	sum float64 // what a chunk was worth is corrected when it is learnt, now and then downwards
}

func (s *Seen) add(events int, nats float64) {
	s.Events += uint64(events)
	s.sum += nats
	s.Nats = max(s.Nats, s.sum)
}

// Seen returns what was counted; a replay is not.
func (n *Node) Seen() Seen { return n.seen }

func (n *Node) read(b []byte) float64 { return n.learner.Read(sense.Text(b)) }

// Flush ends an utterance: what is pending is learnt now.
func (n *Node) Flush(now time.Time) (a Actions) {
	n.learner.Flush()
	a.Records = append(a.Records, record(recFlush))
	n.regret(now, &a)
	n.publish(now, &a, max(n.cfg.PublishEvery/4, 1))
	return a
}

// Focus names what follows: it is learnt into the skill of that name. An empty name ends that.
func (n *Node) Focus(now time.Time, name string) (a Actions, err error) {
	if n.ownKnack(name) != nil {
		return a, fmt.Errorf("%w: %s was shown, and not said", ErrKind, name)
	}
	if err := n.learner.Focus(name); err != nil {
		return a, err
	}
	a.Records = append(a.Records, record(recFocus, []byte(name)))
	n.regret(now, &a)
	if name == "" {
		n.publish(now, &a, 1)
	}
	return a, nil
}

// Forget removes a skill, a peer's if author is not empty.
func (n *Node) Forget(now time.Time, author, name string) (a Actions, err error) {
	if err := n.forget(author, name); err != nil {
		return a, err
	}
	a.Records = append(a.Records, record(recForget, []byte(author), []byte(name)))
	if author == "" {
		delete(n.terms, name)
		n.withdraw(now, &a, name)
	}
	return a, nil
}

// Settled is the mind as it would think in any other stream, every skill behind its gate. Gates that are
// due are solved for it, which changes the mind.
func (n *Node) Settled() (*model.Model, Actions) {
	return n.learner.Settled(), Actions{Records: [][]byte{record(recSettle)}}
}

// Measured notes what one of our skills is worth: nats an event that it saves on held-out events of its
// context. The next announcement tells it.
func (n *Node) Measured(name string, gain float64) (a Actions, err error) {
	if !n.has("", name) {
		return a, fmt.Errorf("node: no skill %q of our own", name)
	}
	if gain-gain != 0 {
		return a, fmt.Errorf("node: skill %q: a gain of %v", name, gain)
	}
	gain = min(max(gain, -maxGain), maxGain)
	n.measured(name, gain)
	a.Records = append(a.Records, record(recGain, binary.LittleEndian.AppendUint64(nil, math.Float64bits(gain)), []byte(name)))
	return a, nil
}

func (n *Node) measured(name string, gain float64) {
	if s := n.learner.Skill("", name); s != nil {
		s.Gain = gain
	} else if k := n.ownKnack(name); k != nil {
		k.Gain = gain
	}
}

// maxGain bounds, in nats an event, what is told of a skill: nobody believes more.
const maxGain = 10

// Handle takes in one event from the mesh.
func (n *Node) Handle(now time.Time, ev mesh.Event) (a Actions) {
	x := n.exchange.Handle(now, ev)
	n.converse(now, &a, x)
	for _, e := range x.Sums {
		n.hearSum(now, &a, e)
	}
	n.sum.wake(&a)
	n.wakeKnacks(&a)
	return a
}

// Tick does what is due.
func (n *Node) Tick(now time.Time) (a Actions) {
	n.converse(now, &a, n.exchange.Tick(now))
	n.tickSum(now, &a)
	n.tickKnacks(now, &a)
	n.sum.wake(&a)
	return a
}

// Publish announces every shared skill that has learnt anything since it was announced last.
func (n *Node) Publish(now time.Time) (a Actions) {
	n.publish(now, &a, 1)
	n.publishKnacks(now, &a)
	return a
}

// publish announces the shared skills that have learnt at least so many events since the last time.
func (n *Node) publish(now time.Time, a *Actions, events uint64) {
	for _, s := range n.learner.Skills() {
		last := n.published[s.Name]
		if !n.ready(s, last, events) {
			continue
		}
		d, err := n.learner.Export(s.Name)
		if err != nil {
			n.cfg.Log.Warn("skill not announced", "skill", s.Name, "err", err)
			continue
		}
		a.Records = append(a.Records, record(recSettle)) // Export has settled the mind, and so must a replay
		if d, err = n.veil(s, d, a); err != nil {
			n.cfg.Log.Warn("skill not announced", "skill", s.Name, "err", err)
			continue
		}
		u, err := n.sign(now, d)
		if err != nil {
			n.cfg.Log.Warn("skill not announced", "skill", s.Name, "err", err)
			continue
		}
		n.published[s.Name] = s.Events
		a.Bodies = append(a.Bodies, u.Body)
		n.cfg.Log.Info("announce", "update", u.ID, "skill", s.Name, "bytes", len(u.Body), "events", s.Events)
		n.converse(now, a, n.exchange.Offer(now, u))
	}
}

// sign makes of a delta the update that is to be announced next.
func (n *Node) sign(now time.Time, d *learning.Delta) (*protocol.Update, error) {
	// Always whole, for those who come late, and without an entropy code, for the mesh sends who has an earlier version what differs.
	body, err := d.Pack(n.learner.Base().Config, learning.Packing{Plain: true, Former: n.exchange.Own(d.Name)}, nil)
	if err != nil {
		return nil, err
	}
	return n.seal(now, protocol.Announce{Skill: d.Name, Sections: uint32(d.Sections()), Events: d.Events, Gain: micro(d.Gain)}, body), nil
}

// seal makes of a body the update that is to be announced next.
func (n *Node) seal(now time.Time, an protocol.Announce, body []byte) *protocol.Update {
	an.ID = protocol.UpdateID{Author: n.self, Seq: n.exchange.NextSeq()}
	an.Model = protocol.Digest(n.learner.Fingerprint())
	an.Made = now.Unix()
	an.Digest, an.Size = protocol.Sum(body), uint32(len(body))
	u := &protocol.Update{Announce: an, Body: body}
	u.Sign(n.cfg.Key)
	return u
}

// micro turns nats an event into the millionths in which peers speak.
func micro(nats float64) int64 {
	if nats-nats != 0 {
		return 0
	}
	return int64(math.RoundToEven(min(max(nats, -maxGain), maxGain) * 1e6))
}

// converse does what the conversation wants: it tries the skills that came, merges what is to be merged, tells the conversation
// what came of it, and writes down where the conversation stands if anything was decided.
func (n *Node) converse(now time.Time, a *Actions, x exchange.Actions) {
	decided := false
	for {
		a.Send = append(a.Send, x.Send...)
		decided = decided || len(x.Drop) > 0
		a.Wake = x.Wake
		if len(x.Fold)+len(x.Merge) == 0 && x.Turn == nil {
			break
		}
		var next exchange.Actions
		for _, u := range x.Fold { // first, for a merge may take their place
			f := n.fold(u.ID.Author, u.Body)
			f.ID = u.ID
			if f.Skill == "" {
				f.Skill = u.Skill
			}
			n.ofSum(u, &f)
			a.Folds = append(a.Folds, f)
			n.cfg.Log.Info("fold", "update", u.ID, "peer", u.ID.Author, "skill", u.Skill, "verdict", f.Verdict, "gain", f.Gain, "reason", f.Reason)
			a.Bodies = append(a.Bodies, u.Body)
			a.Records = append(a.Records, record(recFold, []byte(u.ID.Author), u.Digest[:]))
			next = joinActions(next, n.exchange.Judge(now, u.ID, f.Verdict, micro(f.Gain)))
		}
		for _, mg := range x.Merge {
			next = joinActions(next, n.foldMerged(now, a, mg))
		}
		if x.Turn != nil {
			next = joinActions(next, n.takeTurn(now, x.Turn))
		}
		if next.Wake.IsZero() {
			next.Wake = x.Wake
		}
		decided = true
		x = next
	}
	if decided {
		n.disown(a)
	}
	if decided || len(a.Bodies) > 0 {
		n.minute(a)
	}
}

// minute writes down where the conversation stands.
func (n *Node) minute(a *Actions) {
	n.moved(a)
	if b, err := n.exchange.MarshalBinary(); err == nil {
		a.Records = append(a.Records, record(recTalk, b))
	}
}

// regret tells of peers' skills that were taken in, did harm in the owner's stream since, and are gone. Who taught one answers for it; for
// one that was merged nobody does.
func (n *Node) regret(now time.Time, a *Actions) { n.regretAll(now, a, n.learner.TakeFailures()) }

func (n *Node) regretAll(now time.Time, a *Actions, failures []learning.Failure) {
	for _, f := range failures {
		w := Fold{Skill: f.Name, Verdict: protocol.Harmful, Gain: f.Gain, Late: true}
		if !f.Merged() {
			w.ID.Author = protocol.PeerID(f.Author)
			n.converse(now, a, n.exchange.Regret(now, w.ID.Author, f.Name, micro(f.Gain)))
		}
		a.Folds = append(a.Folds, w)
		n.cfg.Log.Info("regret", "peer", f.Author, "skill", f.Name, "gain", f.Gain)
	}
	if len(failures) > 0 {
		n.disown(a)
		n.minute(a)
	}
}

// disown forgets what authors taught who are not listened to any more: an early version may have come when there was nothing to try it on.
func (n *Node) disown(a *Actions) {
	gone := func(author, name string) {
		if !n.exchange.Shuns(protocol.PeerID(author)) || n.forget(author, name) != nil {
			return
		}
		n.cfg.Log.Info("disown", "peer", author, "skill", name)
		a.Records = append(a.Records, record(recForget, []byte(author), []byte(name)))
	}
	for _, s := range slices.Clone(n.learner.Skills()) {
		if !s.Own() {
			gone(s.Author, s.Name)
		}
	}
	for _, k := range slices.Clone(n.knacks) {
		for _, author := range k.Authors() {
			gone(author, k.Name())
		}
	}
}

// fold tries a peer's skill. It depends on the mind and the body alone, so that a replay decides alike.
func (n *Node) fold(author protocol.PeerID, body []byte) (f Fold) {
	if learning.IsLesson(body) {
		return n.foldLesson(author, body)
	}
	decode := learning.DecodeDelta
	if n.cfg.Deltas != nil {
		decode = n.cfg.Deltas.Decode
	}
	d, err := decode(body, n.learner.Base().Config, n.learner.Fingerprint())
	if err != nil {
		return Fold{Verdict: protocol.Refused, Reason: err.Error()}
	}
	f = n.foldIn(func() (float64, error) { return n.learner.Fold(string(author), d) })
	f.Skill = d.Name
	if k := n.Knack(d.Name); k != nil && f.Verdict == protocol.Folded && slices.Contains(k.Authors(), string(author)) {
		_ = k.Forget(string(author)) // he teaches it as text now
	}
	return f
}

// foldIn says what came of having the learner try something.
func (n *Node) foldIn(try func() (float64, error)) (f Fold) {
	gain, err := try()
	f = Fold{Verdict: protocol.Folded, Gain: gain}
	switch {
	case errors.Is(err, learning.ErrHarm):
		f.Verdict = protocol.Harmful
	case err != nil:
		f.Verdict, f.Reason = protocol.Refused, err.Error()
	}
	return f
}

// A snapshot is a line of JSON about the conversation, then the learner's own snapshot.
type snapshotLine struct {
	Talk      []byte                  `json:"talk"`
	Published map[string]uint64       `json:"published"`
	Terms     map[string]Terms        `json:"terms,omitempty"`
	Spent     map[string]privacy.Cost `json:"spent,omitempty"`
	Swarm     string                  `json:"swarm,omitempty"`
	Knacks    []*learning.Knack       `json:"knacks,omitempty"`
}

// WriteSnapshot writes the mind and where the conversation stands.
func (n *Node) WriteSnapshot(w io.Writer) error {
	talk, err := n.exchange.MarshalBinary()
	if err != nil {
		return err
	}
	line, err := json.Marshal(snapshotLine{talk, n.published, n.terms, n.spent, n.swarm, n.knacks})
	if err != nil {
		return fmt.Errorf("node: snapshot: %w", err)
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("node: snapshot: %w", err)
	}
	return n.learner.WriteSnapshot(w)
}

// ReadSnapshot brings a new node to what WriteSnapshot wrote. Replay follows, and then Resume.
func (n *Node) ReadSnapshot(b []byte) error {
	at := bytes.IndexByte(b, '\n')
	if at < 0 {
		return errors.New("node: snapshot: it has no first line")
	}
	var line snapshotLine
	if err := json.Unmarshal(b[:at], &line); err != nil {
		return fmt.Errorf("node: snapshot: %w", err)
	}
	if slices.Contains(line.Knacks, nil) || !slices.IsSortedFunc(line.Knacks, func(a, b *learning.Knack) int { return strings.Compare(a.Name(), b.Name()) }) {
		return errors.New("node: snapshot: knacks out of order")
	}
	if err := n.learner.ReadSnapshot(b[at+1:]); err != nil {
		return err
	}
	n.talk, n.swarm = line.Talk, line.Swarm
	n.knacks, n.asleep = line.Knacks, len(line.Knacks) > 0
	if line.Terms != nil {
		n.terms = line.Terms
	}
	if line.Spent != nil {
		n.spent = line.Spent
	}
	if line.Published != nil {
		n.published = line.Published
	}
	return nil
}

// Resume ends a restart, after ReadSnapshot and every Replay: the conversation goes on where it stood,
// but for skills that the owner shared then and does not share now.
func (n *Node) Resume(body func(protocol.Digest) ([]byte, bool)) error {
	n.rouse(body)
	if n.talk == nil {
		return nil
	}
	talk := n.talk
	n.talk = nil
	if err := n.exchange.Restore(talk, body); err != nil {
		return err
	}
	n.arrive()
	return nil
}

// Bodies are the digests of what has to stay: the skills' bodies that the conversation may be asked for, those that knacks are made of, and
// the weights of skills that rest.
func (n *Node) Bodies() []protocol.Digest {
	list := n.exchange.Bodies()
	for _, d := range n.learner.Resting() {
		list = append(list, protocol.Digest(d))
	}
	for _, k := range n.knacks {
		for _, d := range k.Digests() {
			list = append(list, protocol.Digest(d))
		}
	}
	return list
}
