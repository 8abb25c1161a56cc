package node

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/yanmesh/yan/exchange/tally"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// How a sum comes about. In each term whoever has skills for sums offers them to the first central, by name and length alone. Some
// time later that one calls for a sum of the skill that most offered; who is called and sees the same central answers with its
// keys, and what follows is package tally's. The mean is announced as the central's own update.
const (
	sumCall   = 20 * time.Second // of a term, after which its central calls
	sumOffer  = 45 * time.Second // after which an offer does not stand any more
	sumRound  = 10 * time.Second // which a round waits for those who are late
	sumPeers  = 3                // members besides who calls, at least
	sumSkills = 16               // offered by one peer
	sumMost   = 4096             // offers remembered
)

// An offer is a peer's, of a skill.
type offer struct {
	peer  protocol.PeerID
	skill string
}

type offered struct {
	values int
	at     time.Time
}

// summing is where a node stands with sums. Nothing of it outlives a restart: a sum that was begun fails, and is called for again.
type summing struct {
	told, called mesh.Term // the last in which we made our offers, and in which we called
	due          time.Time // when we call; zero if not
	offers       map[offer]offered
	session      *collecting
	member       *membership
	ended        membership // the last that we were in to the end; its mean is to come
}

// A collecting is a sum that we add up.
type collecting struct {
	call    *protocol.Call
	id      protocol.Digest
	c       *tally.Collector
	own     bool // whether a term is ours
	awaited int  // members who have a word in this round
	due     time.Time
}

// A membership is our part in a sum that another, or we ourselves, add up.
type membership struct {
	collector protocol.PeerID
	skill     string
	events    uint64
	m         *tally.Member
	id        protocol.Digest
	until     time.Time
}

// wake has Tick called when a sum goes on.
func (s *summing) wake(a *Actions) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (a.Wake.IsZero() || t.Before(a.Wake)) {
			a.Wake = t
		}
	}
	sooner(s.due)
	if s.session != nil {
		sooner(s.session.due)
	}
	if s.member != nil {
		sooner(s.member.until)
	}
}

// chance is the node's source as bytes.
type chance struct{ r *rand.Rand }

func (c chance) Read(b []byte) (int, error) {
	var word [8]byte
	for at := 0; at < len(b); at += len(word) {
		binary.LittleEndian.PutUint64(word[:], c.r.Uint64())
		copy(b[at:], word[:])
	}
	return len(b), nil
}

// summable reports how long a skill's vector is, if it may be a term of a sum now. Two sums that differ in one term tell that term,
// so none is in two sums before it has become another: it has learnt as much again. And a sum hides nothing from one who
// is all its other members, so there are none on a mesh that anybody may join.
func (n *Node) summable(s *learning.Skill) (values int, ok bool) {
	t := n.Terms(s)
	if !s.Own() || !t.Sum || n.cfg.Swarm == "" || n.cfg.Chance == nil || s.Events == 0 || s.Events/2 < t.Summed {
		return 0, false
	}
	c := n.learner.Base().Config
	return s.Parameters() + c.ContextSize() + 1, true
}

// tickSum does what is due of sums.
func (n *Node) tickSum(now time.Time, a *Actions) {
	s := &n.sum
	if s.member != nil && !now.Before(s.member.until) {
		s.member = nil
	}
	if s.session != nil && !now.Before(s.session.due) {
		n.nextRound(now, a)
	}
	first, e := n.exchange.First(now)
	if first == "" || n.cfg.Swarm == "" {
		s.due = time.Time{}
		return
	}
	if s.told < e {
		s.told, s.due = e, time.Time{}
		if first == n.self && s.called < e {
			s.due = e.Start().Add(sumCall)
		} else {
			n.offerTerms(a, first)
		}
	}
	if !s.due.IsZero() && !now.Before(s.due) {
		s.due, s.called = time.Time{}, e
		if first == n.self && s.session == nil {
			n.callSum(now, a, e)
		}
	}
}

// offerTerms tells the central which skills we have for sums.
func (n *Node) offerTerms(a *Actions, central protocol.PeerID) {
	told := 0
	for _, s := range n.learner.Skills() {
		if v, ok := n.summable(s); ok && told < sumSkills {
			told++
			a.Send = append(a.Send, protocol.Envelope{From: n.self, To: central, Msg: &protocol.Offer{Skill: s.Name, Values: uint32(v)}})
		}
	}
}

// hearSum takes in what a peer says of sums.
func (n *Node) hearSum(now time.Time, a *Actions, e protocol.Envelope) {
	if n.cfg.Swarm == "" {
		return
	}
	switch m := e.Msg.(type) {
	case *protocol.Offer:
		n.hearOffer(now, e.From, m)
	case *protocol.Call:
		n.hearCall(now, a, e.From, m)
	case *protocol.Part:
		n.hearPart(now, a, e.From, m)
	}
}

func (n *Node) hearOffer(now time.Time, from protocol.PeerID, m *protocol.Offer) {
	if n.cfg.Exchange.Central == 0 || learning.CheckName(m.Skill) != nil {
		return
	}
	s := &n.sum
	if s.offers == nil {
		s.offers = map[offer]offered{}
	}
	of := 0
	for k, o := range s.offers {
		if now.Sub(o.at) >= sumOffer {
			delete(s.offers, k)
		} else if k.peer == from && k.skill != m.Skill {
			of++
		}
	}
	if of < sumSkills && len(s.offers) < sumMost {
		s.offers[offer{from, m.Skill}] = offered{int(m.Values), now}
	}
}

// A candidate is a sum that could be called for.
type candidate struct {
	skill  string
	values int
}

// callSum calls for a sum of the skill that most have offered, if that is enough.
func (n *Node) callSum(now time.Time, a *Actions, e mesh.Term) {
	sets := map[candidate][]protocol.PeerID{}
	for k, o := range n.sum.offers {
		if now.Sub(o.at) < sumOffer {
			sets[candidate{k.skill, o.values}] = append(sets[candidate{k.skill, o.values}], k.peer)
		}
	}
	var best candidate
	for c, peers := range sets {
		if s := n.learner.Skill("", c.skill); s != nil && n.Shares(s) || n.ownKnack(c.skill) != nil || !n.shaped(c.values) || len(peers) < sumPeers {
			continue // what we announce of that name ourselves the mean would take the place of
		}
		most := len(sets[best])
		if len(peers) > most || len(peers) == most && (c.skill < best.skill || c.skill == best.skill && c.values < best.values) {
			best = c
		}
	}
	members := sets[best]
	if len(members) == 0 {
		return
	}
	slices.Sort(members)
	own := n.learner.Skill("", best.skill)
	if own != nil {
		if v, ok := n.summable(own); !ok || v != best.values || n.sum.member != nil {
			own = nil
		}
	}
	members = members[:min(len(members), protocol.MaxMembers-1)]
	if own != nil {
		members = append(members, n.self)
		slices.Sort(members)
	}
	n.beginSum(now, a, &protocol.Call{Skill: best.skill, Values: uint32(best.values), Term: uint64(e), Members: members}, own)
}

// shaped reports whether a skill of our base can have vectors of that length.
func (n *Node) shaped(values int) bool {
	c := n.learner.Base().Config
	rest := values - c.ContextSize() - 1
	return rest > 0 && values <= tally.MaxValues && rest%c.BankSize(1, c.Neurons) == 0
}

// tallyOf is the session that a call is for.
func tallyOf(caller protocol.PeerID, m *protocol.Call) (c tally.Config, err error) {
	c = tally.Config{Session: m.Session(caller), Values: int(m.Values)}
	for _, id := range m.Members {
		key, err := id.Key()
		if err != nil {
			return c, err
		}
		c.Members = append(c.Members, key)
	}
	return c, nil
}

// beginSum calls for a sum. own is our term, if we have one.
func (n *Node) beginSum(now time.Time, a *Actions, m *protocol.Call, own *learning.Skill) {
	cfg, err := tallyOf(n.self, m)
	if err != nil {
		return
	}
	c, err := tally.NewCollector(cfg)
	if err != nil {
		n.cfg.Log.Warn("no sum", "skill", m.Skill, "err", err)
		return
	}
	n.sum.session = &collecting{call: m, id: cfg.Session, c: c, awaited: len(m.Members), due: now.Add(sumRound)}
	n.cfg.Log.Info("sum called for", "skill", m.Skill, "members", len(m.Members), "values", m.Values)
	for _, id := range m.Members {
		if id != n.self {
			a.Send = append(a.Send, protocol.Envelope{From: n.self, To: id, Msg: m})
		}
	}
	if own != nil {
		say, err := n.joinSum(now, a, n.self, cfg, own)
		if err == nil {
			err = c.Handle(say)
		}
		if n.sum.session.own = err == nil; err != nil {
			n.cfg.Log.Warn("no own term in a sum", "skill", m.Skill, "err", err)
		}
	}
}

// joinSum makes us a member, and returns what we say first.
func (n *Node) joinSum(now time.Time, a *Actions, collector protocol.PeerID, cfg tally.Config, s *learning.Skill) (*tally.Message, error) {
	d, err := n.learner.Export(s.Name)
	if err != nil {
		return nil, err
	}
	a.Records = append(a.Records, record(recSettle)) // as when it is announced
	v, err := d.Summand(n.learner.Base())
	if err != nil {
		return nil, err
	}
	key, err := n.self.Key()
	if err != nil {
		return nil, err
	}
	self := slices.IndexFunc(cfg.Members, func(k ed25519.PublicKey) bool { return k.Equal(key) })
	m, err := tally.NewMember(cfg, self, n.cfg.Key, v, chance{n.cfg.Chance})
	if err != nil {
		return nil, err
	}
	n.sum.member = &membership{collector: collector, skill: s.Name, events: s.Events, m: m, id: cfg.Session, until: now.Add(6 * sumRound)}
	return m.Begin(), nil
}

// hearCall joins a sum, or says nothing.
func (n *Node) hearCall(now time.Time, a *Actions, from protocol.PeerID, m *protocol.Call) {
	s := n.learner.Skill("", m.Skill)
	if why := n.notJoined(now, from, m, s); why != "" {
		n.cfg.Log.Info("sum not joined", "skill", m.Skill, "peer", from, "reason", why)
		return
	}
	cfg, err := tallyOf(from, m)
	if err == nil {
		var say *tally.Message
		if say, err = n.joinSum(now, a, from, cfg, s); err == nil {
			n.sayPart(a, from, say)
			return
		}
	}
	n.cfg.Log.Warn("sum not joined", "skill", m.Skill, "peer", from, "err", err)
}

// notJoined is why we are no member of a sum, or nothing. Names that we know nothing of may be the caller's own.
func (n *Node) notJoined(now time.Time, from protocol.PeerID, m *protocol.Call, s *learning.Skill) string {
	if first, e := n.exchange.First(now); first != from || m.Term != uint64(e) {
		return "it is not its caller's turn"
	}
	if n.sum.member != nil {
		return "we are in another"
	}
	if s == nil {
		return "there is no such skill"
	}
	if v, ok := n.summable(s); !ok || v != int(m.Values) {
		return "it is for no such sum now"
	}
	known := map[protocol.PeerID]bool{n.self: true}
	for _, p := range n.exchange.Peers() {
		known[p.ID] = p.SameModel && p.Reason == ""
	}
	others := 0
	for _, id := range m.Members {
		if !known[id] {
			return "a member is a stranger"
		}
		if id != from {
			others++
		}
	}
	if others < sumPeers || !slices.Contains(m.Members, n.self) {
		return "too few members, or we are none"
	}
	return ""
}

func (n *Node) sayPart(a *Actions, to protocol.PeerID, m *tally.Message) {
	a.Send = append(a.Send, protocol.Envelope{From: n.self, To: to, Msg: &protocol.Part{Body: m.Encode()}})
}

// hearPart takes in what is said in a sum that we add up, or are a member of.
func (n *Node) hearPart(now time.Time, a *Actions, from protocol.PeerID, m *protocol.Part) {
	c, self := n.sum.session, n.sum.member
	if c == nil && (self == nil || self.collector != from) {
		return
	}
	in, err := tally.Decode(m.Body)
	if err != nil {
		n.cfg.Log.Warn("not heard in a sum", "peer", from, "err", err)
		return
	}
	switch {
	case c != nil && in.Session == c.id:
		if int(in.Member) >= len(c.call.Members) || c.call.Members[in.Member] != from {
			return
		}
		if err := c.c.Handle(in); err != nil {
			n.cfg.Log.Info("not heard in a sum", "peer", from, "err", err)
			return
		}
		if c.c.Heard() == c.awaited {
			n.nextRound(now, a)
		}
	case self != nil && in.Session == self.id && self.collector == from:
		if out := n.answer(a, in); out != nil {
			n.sayPart(a, from, out)
		}
	}
}

// answer is what we say as a member. That our term has left is on the disk before it does.
func (n *Node) answer(a *Actions, in *tally.Message) *tally.Message {
	self := n.sum.member
	if !n.terms[self.skill].Sum { // the owner has changed his mind
		n.sum.member = nil
		return nil
	}
	out, err := self.m.Handle(in)
	if err != nil {
		n.cfg.Log.Warn("not answered in a sum", "skill", self.skill, "err", err)
		return nil
	}
	switch out.Kind {
	case tally.Masked:
		t := n.terms[self.skill]
		t.Summed = self.events
		n.terms[self.skill] = t
		b, err := json.Marshal(t)
		if err != nil {
			panic(err) // numbers and a word
		}
		a.Records = append(a.Records, record(recTerms, b, []byte(self.skill)))
		if n.spent[self.skill] < bare {
			n.spend(self.skill, bare, a) // a sum has no noise in it
		}
	case tally.Revealed:
		n.sum.ended, n.sum.member = membership{collector: self.collector, skill: self.skill}, nil
	}
	return out
}

// nextRound ends a round of our sum: all have spoken, or had time to.
func (n *Node) nextRound(now time.Time, a *Actions) {
	c := n.sum.session
	out, err := c.c.Next()
	if err != nil {
		n.cfg.Log.Info("no sum", "skill", c.call.Skill, "round", c.c.Round(), "err", err)
		n.sum.session = nil
		return
	}
	if c.c.Round() == 0 {
		n.sum.session = nil
		n.announceSum(now, a, c)
		return
	}
	c.awaited, c.due = len(out), now.Add(sumRound)
	for _, m := range out {
		to := c.call.Members[m.Member]
		if to != n.self {
			n.sayPart(a, to, m)
			continue
		}
		if n.sum.member == nil || n.sum.member.id != c.id {
			continue
		}
		if say := n.answer(a, m); say != nil {
			if err := c.c.Handle(say); err != nil {
				n.cfg.Log.Warn("own term not added", "skill", c.call.Skill, "err", err)
			}
		}
	}
}

// announceSum makes the mean an update of ours. Who has no such skill himself tries it first, as if it were another's, and does not
// announce what does harm: for a member's senseless vector it would be him who is blamed.
func (n *Node) announceSum(now time.Time, a *Actions, c *collecting) {
	sum, left, _ := c.c.Sum()
	base := n.learner.Base()
	sections := (len(sum) - base.Config.ContextSize() - 1) / base.Config.BankSize(1, base.Config.Neurons)
	d, err := learning.FromSum(base, c.call.Skill, sections, base.Config.Neurons, sum, len(left))
	if err == nil && d.Events == 0 {
		err = learning.ErrDelta
	}
	if err != nil {
		n.cfg.Log.Warn("a sum that is no skill", "skill", c.call.Skill, "members", len(left), "err", err)
		return
	}
	d.Events = 1 << math.Ilogb(float64(d.Events)) // as of a veiled skill: how much it was, and not how many bytes
	u, err := n.sign(now, d)
	if err != nil {
		n.cfg.Log.Warn("a sum that is no skill", "skill", c.call.Skill, "members", len(left), "err", err)
		return
	}
	n.cfg.Log.Info("sum", "update", u.ID, "skill", u.Skill, "members", len(left))
	a.Bodies = append(a.Bodies, u.Body)
	if !c.own {
		f := n.fold(n.self, u.Body)
		f.ID = u.ID
		a.Folds = append(a.Folds, f)
		a.Records = append(a.Records, record(recFold, []byte(n.self), u.Digest[:]))
		n.cfg.Log.Info("fold", "update", u.ID, "peer", n.self, "skill", u.Skill, "verdict", f.Verdict, "gain", f.Gain, "reason", f.Reason)
		if f.Verdict == protocol.Harmful {
			return
		}
	}
	n.converse(now, a, n.exchange.Offer(now, u))
}

// ofSum is what became of the mean of a sum that we were in. Beside our own skill, which is in it, it may well do harm, and whoever
// added up is not to blame for that.
func (n *Node) ofSum(u *protocol.Update, f *Fold) {
	if e := n.sum.ended; e.collector != u.ID.Author || e.skill != u.Skill {
		return
	}
	n.sum.ended = membership{}
	if f.Verdict == protocol.Harmful {
		f.Verdict, f.Reason = protocol.Refused, "it is the mean of what we have and others"
	}
}
