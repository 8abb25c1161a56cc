// Package exchange is the conversation: what to say to whom.
//
// A [Machine] is a pure state machine: an event and the time go in, and [Actions] come out: what to
// send, which updates to fold, when to wake it. It starts no goroutine, reads no clock, does no I/O
// and draws no chance but from the source it was given, so the same events at the same times give
// the same actions, and a conversation can be replayed from a seed or read as text.
//
// Updates are cumulative: of an author and a skill only the one with the highest sequence is live,
// and the set of live updates is what peers reconcile. A peer says what it has, another asks for
// what it lacks, one peer at a time for each update, and gets it. A new update is handed out to be
// folded once, and what it proved to be worth ([Machine.Judge]) is told to its author and kept in a
// ledger. An author who only harms is no longer asked, nor its updates taken.
//
// In each term of a minute one peer is central, and says which versions of a skill are merged, so that all merge the same
// ([Turn], [Merge]); nobody waits for it and nobody has to believe it.
//
// Peers are not trusted. What they send is verified, every table has a bound, and a peer that talks
// too much is not listened to. The package does not know what an update holds: no number in here is
// anything but a whole one.
package exchange

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// The bounds of what a Machine keeps and does.
const (
	maxPeers    = 1024 // peers talked to at a time
	maxLive     = 1024 // live updates held, if Config does not say less; what fits into one Have
	maxVersions = 64   // live updates of one skill's name, if Config does not say; what fits into one Alignment
	maxSkills   = 64   // live skills of one author
	maxAuthors  = 2048 // authors remembered; must exceed maxLive, so that there is one to forget
	maxDead     = 128  // superseded updates remembered by name, for each author
	maxClaims   = 8    // peers remembered as having an update that is wanted
	maxTrials   = 4096 // updates handed out to be folded and not judged yet
	maxOwnWorth = 256  // own updates whose worth is kept
	maxJudges   = 1024 // peers whose answers are kept, for each own update

	messagesPerInterval = 32       // handled from one peer, not counting what we asked it for
	servedPerInterval   = 32 << 20 // bytes of bodies sent to one peer, beyond which it has to wait
	patience            = 2        // intervals after which an update is asked of another peer in any case
	harmsToShun         = 3        // harmful updates after which an author without gain is shunned

	// maxGain is the largest gain, claimed or measured, that is believed: 64 nats per event.
	maxGain = 64_000_000
)

// Config holds the parameters of a Machine.
type Config struct {
	// Self is the name of this peer. Required.
	Self protocol.PeerID

	// Model is the fingerprint of the base model. Nothing is exchanged with a peer of another.
	Model protocol.Digest

	// Agent is what our Hello says we run; at most protocol.MaxAgent bytes.
	Agent string

	// Rand is the only source of chance. Required; the Machine owns it.
	Rand *rand.Rand

	// Interval is the time between two rounds of telling peers what we have. If zero, 15 seconds.
	Interval time.Duration

	// Fanout is how many peers are told in a round. If zero, 3.
	Fanout int

	// MaxHeld is how many bytes of bodies are held. Beyond it the least valuable updates of others
	// are let go, and never our own. If zero, 256 MiB.
	MaxHeld int

	// MaxLive is how many updates are held, our own among them, and Versions how many of them are of one skill's name, by
	// different authors. Of authors beyond that nothing is taken, so what a peer holds and hears does not grow with the mesh.
	// If zero, 1024 and 64; MaxLive must not be more.
	MaxLive, Versions int

	// Quiet keeps to ourselves what updates of others proved to be worth, which is a measurement on the owner's
	// own events: an author who may ask as often as he likes could guess at them. What does not fit is told still,
	// since that is in the body alone.
	Quiet bool

	// Central is what share of the turns at being central this peer takes, beside the others' shares. If zero, none: it
	// merges nothing for others, but what others merge is of use to it all the same.
	Central uint8

	// MergeFrom is how many authors have to have a skill of one name before this peer, as central, has their versions merged. If
	// zero, 2.
	MergeFrom int

	// Rule is which way of merging the owner of the Machine has. Results of another are not checked, nor used.
	Rule uint32

	// Log receives a line for each decision of note. If nil, nothing is logged.
	Log *slog.Logger
}

// Actions is what a Machine wants done. The caller sends every envelope in order, folds every
// update, then forgets the bodies of those to drop, merges what is to be merged, and calls Tick at Wake or soon after.
// Calling it early does no harm.
type Actions struct {
	Send []protocol.Envelope
	Fold []*protocol.Update  // shared with the Machine: not to be written
	Drop []protocol.UpdateID // no longer held: superseded, withdrawn or let go

	Sums  []protocol.Envelope // what a peer says of sums; whether it may is not decided here
	Merge []Merge             // to be merged, and told to Merged
	Turn  *Turn               // to be merged, signed and told to Act; nil if there is nothing to do
	Wake  time.Time
}

// A Machine holds one peer's side of every conversation. It is not safe for concurrent use.
type Machine struct {
	cfg Config
	log *slog.Logger

	seq     uint64                       // of our last update
	peers   []*peer                      // sorted by name
	live    map[protocol.UpdateID]*entry // the updates held
	skills  map[skillKey]*entry          // the same, by author and skill
	have    []protocol.UpdateID          // the keys of live, sorted; nil when it has to be made anew
	sum     protocol.Digest              // of have; zero when it has to be made anew
	bytes   int                          // of bodies held
	wants   map[protocol.UpdateID]*want  // the updates asked for
	authors map[protocol.PeerID]*author  // everyone whose update was ever taken, and not forgotten since
	trials  []protocol.UpdateID          // handed out to be folded, not judged yet; oldest first
	worth   []*worth                     // what our own updates were worth to others, by sequence
	events  uint64                       // a count that stands for age
	next    time.Time                    // when the next round is due
	overdue time.Time                    // no want is overdue before; zero if there was none
	counts  Counts
	al      alignment
	in      interest
}

// New returns a Machine that knows no peer and holds nothing.
func New(cfg Config) *Machine {
	if cfg.Self == "" || cfg.Rand == nil {
		panic("exchange: Config.Self and Config.Rand are required")
	}
	if len(cfg.Agent) > protocol.MaxAgent {
		panic("exchange: Config.Agent is too long")
	}
	if cfg.Interval == 0 {
		cfg.Interval = 15 * time.Second
	}
	if cfg.Fanout == 0 {
		cfg.Fanout = 3
	}
	if cfg.MergeFrom == 0 {
		cfg.MergeFrom = 2
	}
	if cfg.MaxHeld == 0 {
		cfg.MaxHeld = 256 << 20
	}
	if cfg.MaxLive == 0 {
		cfg.MaxLive = maxLive
	}
	if cfg.Versions == 0 {
		cfg.Versions = maxVersions
	}
	if cfg.MaxLive < 1 || cfg.MaxLive > maxLive || cfg.Versions < 1 {
		panic("exchange: Config.MaxLive or Config.Versions is out of bounds")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Machine{
		cfg:     cfg,
		log:     cfg.Log,
		live:    make(map[protocol.UpdateID]*entry),
		skills:  make(map[skillKey]*entry),
		wants:   make(map[protocol.UpdateID]*want),
		authors: make(map[protocol.PeerID]*author),
		in: interest{
			authors:  make(map[protocol.PeerID]int),
			lines:    make(map[line]int),
			versions: make(map[protocol.Tag]int),
			awaited:  make(map[protocol.Tag]int),
		},
		al: alignment{
			records: make(map[protocol.Digest]*record),
			ranks:   make(map[mesh.Term][]protocol.PeerID),
			turns:   make(map[protocol.PeerID]mesh.Term),
			wants:   make(map[protocol.Digest]recordWant),
			suspect: make(map[protocol.Digest]string),
			aligned: make(map[string]*Aligned),
			said:    make(map[string][]protocol.Input),
		},
	}
}

// Handle takes in one event from the mesh.
func (m *Machine) Handle(now time.Time, ev mesh.Event) (a Actions) {
	m.watch(now)
	switch ev.Kind {
	case mesh.Joined:
		m.join(now, &a, ev.Peer)
	case mesh.Left:
		m.leave(now, &a, ev.Peer)
	case mesh.Heard:
		m.hear(now, &a, ev.Peer, ev.Msg)
	}
	return m.done(now, a)
}

// Tick does what is due: asks elsewhere for what did not come, and tells a few peers what we have.
func (m *Machine) Tick(now time.Time) (a Actions) {
	m.watch(now)
	m.askElsewhere(now, &a)
	m.trim(&a)
	if !m.next.IsZero() && !now.Before(m.next) {
		m.next = now.Add(m.cfg.Interval)
		m.round(now, &a)
		m.accusations(&a)
	}
	m.proceed(now, &a)
	m.act(now, &a)
	return m.done(now, a)
}

// Offer takes in an update of our own, already signed, and makes it known to everyone. It stands in
// for our earlier update of the same skill. The caller numbers it with NextSeq.
func (m *Machine) Offer(now time.Time, u *protocol.Update) (a Actions) {
	switch {
	case u.ID.Author != m.cfg.Self:
		panic("exchange: offer of another's update")
	case u.Model != m.cfg.Model:
		panic("exchange: offer of an update of another model")
	case u.ID.Seq <= m.seq:
		panic("exchange: offer of a sequence that was used before")
	}
	m.seq = u.ID.Seq
	m.accept(&a, m.author(m.cfg.Self), u)
	m.hold(&a, u)
	m.own(u)
	m.say(&a, "", u)
	m.log.Info("offer", "update", u.ID, "skill", u.Skill, "gain", u.Gain)
	return m.done(now, a)
}

// Withdraw stops offering our update of a skill. Those who have it keep it.
func (m *Machine) Withdraw(now time.Time, skill string) (a Actions) {
	if e := m.skills[skillKey{m.cfg.Self, skill}]; e != nil {
		m.letGo(&a, e)
		m.log.Info("withdraw", "update", e.u.ID, "skill", skill)
	}
	return m.done(now, a)
}

// Leave lets go of what others made: whoever goes from one mesh to another takes nothing there that was said in the first.
func (m *Machine) Leave() (a Actions) {
	for _, id := range slices.Clone(m.haveIDs()) {
		if id.Author != m.cfg.Self {
			m.letGo(&a, m.live[id])
		}
	}
	clear(m.al.records)
	clear(m.al.aligned)
	return a
}

// Judge records what an update that was handed out to be folded proved to be worth, in micro-nats
// per event, and tells its author unless Config.Quiet. Each is judged once; a second verdict is ignored.
func (m *Machine) Judge(now time.Time, id protocol.UpdateID, v protocol.Verdict, gain int64) (a Actions) {
	if v < protocol.Folded || v > protocol.Harmful {
		panic("exchange: no such verdict")
	}
	if !m.tried(id) {
		m.log.Warn("verdict on what is not on trial", "update", id, "verdict", v)
		return m.done(now, a)
	}
	gain = clampGain(gain)
	if e := m.live[id]; e != nil {
		e.verdict, e.gain = v, gain
		m.in.changes++
	}
	m.log.Info("judge", "update", id, "peer", id.Author, "verdict", v, "gain", gain)
	m.enter(&a, m.author(id.Author), id, v, gain)
	return m.done(now, a)
}

// Regret records that a skill which was folded turned out to do harm, and is gone: gain, in micro-nats per event, is what it proved to be worth
// since. What its author's standing was given for it is taken back. The held update counts as harmful from then on, and is not merged. If that update
// was found to be harmful before, nothing is counted again.
func (m *Machine) Regret(now time.Time, author protocol.PeerID, skill string, gain int64) (a Actions) {
	au := m.authors[author]
	e := m.skills[skillKey{author, skill}]
	if au == nil || author == m.cfg.Self || au.shunned() || e != nil && e.verdict == protocol.Harmful {
		return m.done(now, a)
	}
	gain = clampGain(gain)
	id := protocol.UpdateID{Author: author}
	if e != nil && e.verdict == protocol.Folded {
		id = e.u.ID
		au.standing.Gain -= e.gain
		e.verdict, e.gain = protocol.Harmful, gain
		m.in.changes++
	} // else an earlier version failed, of which the sequence is not known any more
	au.standing.Folded = max(au.standing.Folded-1, 0)
	m.log.Info("regret", "update", id, "peer", author, "skill", skill, "gain", gain)
	m.enter(&a, au, id, protocol.Harmful, gain)
	return m.done(now, a)
}

// enter writes a verdict into an author's standing, tells him of it, and lets go of all that is his if he is not listened to any more.
func (m *Machine) enter(a *Actions, au *author, id protocol.UpdateID, v protocol.Verdict, gain int64) {
	au.judge(v, gain)
	m.counts.Judged[v]++
	m.counts.Gain[v] += gain
	if p := m.peer(id.Author); id.Seq > 0 && p != nil && p.reason == "" && (!m.cfg.Quiet || v == protocol.Refused) {
		m.say(a, p.id, &protocol.Answer{ID: id, Verdict: v, Gain: gain})
	}
	if au.shunned() {
		m.log.Warn("an author only harms, and is not asked any more", "peer", au.id,
			"harmful", au.standing.Harmful, "gain", au.standing.Gain)
		m.shun(a, au)
	}
}

// NextSeq returns the sequence of our next update.
func (m *Machine) NextSeq() uint64 { return m.seq + 1 }

// done sets when a wants to be continued. The first round is due after half an interval to a whole
// one, so that devices switched on together do not go on speaking together.
func (m *Machine) done(now time.Time, a Actions) Actions {
	m.counts.said(&a)
	if m.next.IsZero() {
		half := int64(m.cfg.Interval / 2)
		m.next = now.Add(time.Duration(half + m.cfg.Rand.Int64N(half+1)))
	}
	a.Wake = m.next
	if !m.overdue.IsZero() && m.overdue.Before(a.Wake) {
		a.Wake = m.overdue
	}
	if t := m.nextTurn(now); !t.IsZero() && t.Before(a.Wake) {
		a.Wake = t
	}
	return a
}

func (m *Machine) say(a *Actions, to protocol.PeerID, msg protocol.Message) {
	a.Send = append(a.Send, protocol.Envelope{From: m.cfg.Self, To: to, Msg: msg})
}

func clampGain(g int64) int64 { return max(-maxGain, min(maxGain, g)) }
