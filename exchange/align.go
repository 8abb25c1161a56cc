package exchange

import (
	"cmp"
	"slices"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// What centrals said. Records are a set that only grows, but for what is too old, so in whatever order and however often they
// are heard everyone comes to the same: of each skill the best record counts, by term, then rank, then name.
//
// Nothing in a record is believed. Merging is a pure function of the inputs, which everyone holds anyway, so a record
// costs its hearer no download: it merges the same inputs itself, and folds what comes of it only if that is what the record
// says. A result that does not come of the inputs convicts its author, by his own signature.

const (
	recordsPerTerm = 4   // kept
	maxTurns       = 512 // peers whose last turn is remembered
	maxRefused     = 256 // records not to be asked for again
	maxRecordWants = 64  // records asked for at a time
	maxSuspects    = 16  // records that others call false
	maxAlignedSet  = 256 // skills of which it is remembered how they are aligned
)

// alignment is what a Machine knows of centrals.
type alignment struct {
	born    time.Time // when this Machine was first told the time
	term    mesh.Term // the last one whose ranks were drawn
	acted   bool      // in it, or considered it
	members uint32    // candidates in it

	records map[protocol.Digest]*record
	newest  mesh.Term                       // of any record kept
	ranks   map[mesh.Term][]protocol.PeerID // of the last terms that we were awake for
	turns   map[protocol.PeerID]mesh.Term   // when each had its last turn
	wants   map[protocol.Digest]recordWant  // records asked for
	refused []protocol.Digest               // records not taken; oldest first
	suspect map[protocol.Digest]string      // records that others call false, and the skill
	accuse  []*protocol.Convict             // to be told in the next round, unless someone else did
	aligned map[string]*Aligned             // by skill
	said    map[string][]protocol.Input     // what our own last record of a skill merged

	published, accepted uint64
}

type recordWant struct {
	asked protocol.PeerID
	until time.Time
}

// A finding is what we know of one skill of a record.
type finding uint8

const (
	unchecked finding = iota
	asked             // being merged
	right             // its result comes of its inputs
	wrong             // it does not
	lost              // an input will never be here
)

// A record is one that is kept.
type record struct {
	m      *protocol.Record
	a      *protocol.Alignment
	name   protocol.Digest
	state  []finding // of each of its skills
	judged bool
	ours   bool // its author had the rank in our view, or we could not tell
}

// An Aligned is a skill as centrals aligned it last.
type Aligned struct {
	Skill   string
	Record  protocol.Digest
	Author  protocol.PeerID // who was central
	Term    mesh.Term
	Rank    uint8
	Inputs  []protocol.Input
	Result  protocol.Digest
	Verdict protocol.Verdict // what we found the merge to be worth; 0 while it is being tried
	Gain    int64            // micro-nats per event
}

// newRecord reads what a record says.
func newRecord(m *protocol.Record) (*record, error) {
	a, err := protocol.DecodeAlignment(m.Body)
	if err != nil {
		return nil, err
	}
	return &record{m: m, a: a, name: m.Name(), state: make([]finding, len(a.Skills))}, nil
}

func (r *record) term() mesh.Term { return mesh.Term(r.m.Term) }

// compare orders records: the better is the greater.
func (r *record) compare(o *record) int {
	return compareRecords(r.term(), r.m.Rank, r.name, o.term(), o.m.Rank, o.name)
}

func compareRecords(t mesh.Term, rank uint8, name protocol.Digest, t2 mesh.Term, rank2 uint8, name2 protocol.Digest) int {
	return cmp.Or(cmp.Compare(t, t2), cmp.Compare(rank2, rank), name.Compare(name2))
}

// covers reports whether the record has each of these updates, or a later one, among its inputs.
func (r *record) covers(skill string, us []*protocol.Update) bool {
	i := slices.IndexFunc(r.a.Skills, func(s protocol.Aligned) bool { return s.Skill == skill })
	return i >= 0 && covers(r.a.Skills[i].Inputs, us)
}

func covers(ins []protocol.Input, us []*protocol.Update) bool {
	for _, u := range us {
		i, found := slices.BinarySearchFunc(ins, u.ID.Author, func(in protocol.Input, a protocol.PeerID) int {
			return cmp.Compare(in.ID.Author, a)
		})
		if !found || ins[i].ID.Seq < u.ID.Seq {
			return false
		}
	}
	return true
}

// valid reports whether a record counts: its author had the rank in our eyes, and lied in nothing.
func (m *Machine) valid(r *record) bool {
	if !r.judged || !r.ours {
		return false
	}
	au := m.authors[r.m.Author]
	return au == nil || !au.shunned()
}

// hearRecord takes in a record, whether it was asked for or not.
func (m *Machine) hearRecord(now time.Time, a *Actions, p *peer, rec *protocol.Record) {
	name := rec.Name()
	w, isAsked := m.al.wants[name]
	isAsked = isAsked && w.asked == p.id
	if m.al.records[name] != nil || rec.Model != m.cfg.Model {
		return
	}
	if why := m.untimely(now, mesh.Term(rec.Term), isAsked); why != "" {
		m.log.Debug("record not taken", "record", name, "peer", p.id, "reason", why)
		if isAsked {
			m.refuse(name)
		}
		return
	}
	r, err := newRecord(rec)
	if err == nil {
		err = rec.Verify()
	}
	if err != nil {
		p.invalid++
		m.counts.Invalid++
		m.log.Warn("false record", "record", name, "peer", p.id, "reason", err)
		return
	}
	delete(m.al.wants, name)
	if !m.take(r) {
		return
	}
	m.log.Info("record", "record", name, "author", rec.Author, "term", rec.Term, "rank", rec.Rank, "peer", p.id)
	if r.term()+memory > m.al.newest {
		m.askRecords(now, a, p, rec.Parents)
	}
	m.proceed(now, a)
}

// untimely returns why a record of that term is not taken now, or nothing. One that nobody asked for has to be of the present, give
// or take a term for clocks; one that was, to be no older than what we keep.
func (m *Machine) untimely(now time.Time, t mesh.Term, isAsked bool) string {
	e := mesh.TermAt(now)
	switch {
	case t > e+1:
		return "it is of a term to come"
	case !isAsked && t+1 < e:
		return "it is of a term that is over"
	case t+memory < m.al.newest:
		return "it is too old"
	}
	return ""
}

// take keeps a record, and reports whether there is room for it.
func (m *Machine) take(r *record) bool {
	if au := m.authors[r.m.Author]; au != nil && au.shunned() {
		m.refuse(r.name)
		return false
	}
	m.al.records[r.name] = r
	m.al.accepted++
	if r.term() > m.al.newest {
		m.al.newest = r.term()
		for name, old := range m.al.records {
			if old.term()+memory < m.al.newest {
				delete(m.al.records, name)
			}
		}
	}
	m.crowd(r.term())
	return m.al.records[r.name] != nil
}

// crowd lets the least of a term's records go if there are too many.
func (m *Machine) crowd(t mesh.Term) {
	var rs []*record
	for _, r := range m.al.records {
		if r.term() == t {
			rs = append(rs, r)
		}
	}
	if len(rs) <= recordsPerTerm {
		return
	}
	slices.SortFunc(rs, func(x, y *record) int {
		notOurs := func(r *record) int { // whom we know not to have the rank goes first
			if r.judged && !r.ours {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(notOurs(x), notOurs(y)), x.compare(y))
	})
	for _, r := range rs[:len(rs)-recordsPerTerm] {
		delete(m.al.records, r.name)
		m.refuse(r.name)
	}
}

// WantsRecord reports whether the body of a record with that head would be kept now. There is room for as many of a term as one mesh whose members
// all see each other can have; of a mesh of many cells, each with centrals of its own, those of ours and the first of others are enough. It does not look
// at the signature.
func (m *Machine) WantsRecord(al *protocol.Align) bool {
	if au := m.authors[al.Author]; al.Model != m.cfg.Model || au != nil && au.shunned() {
		return false
	}
	name, t := al.Name(), mesh.Term(al.Term)
	if m.al.records[name] != nil || slices.Contains(m.al.refused, name) {
		return false
	}
	kept := 0
	for _, r := range m.al.records {
		if r.term() == t {
			kept++
		}
	}
	k := slices.Index(m.al.ranks[t], al.Author)
	return kept < recordsPerTerm || k >= 0 && int(al.Rank) >= k
}

// refuse remembers that a record is not to be asked for.
func (m *Machine) refuse(name protocol.Digest) {
	delete(m.al.wants, name)
	if slices.Contains(m.al.refused, name) {
		return
	}
	m.al.refused = append(m.al.refused, name)
	if len(m.al.refused) > maxRefused {
		m.al.refused = slices.Delete(m.al.refused, 0, 1)
	}
}

// judge decides, once its term has come, whether a record is of one whose turn it was. Of a term that we do not know the ranks of, being
// too young or having slept, we cannot tell; it is taken then, for what it says is checked in any case.
func (m *Machine) judge(r *record) {
	if r.judged || r.term() > m.al.term {
		return
	}
	r.judged, r.ours = true, true
	m.tookTurn(r.m.Author, r.term()) // or says so, and thereby waits for the next as if it had
	ranks, known := m.al.ranks[r.term()]
	k := slices.Index(ranks, r.m.Author)
	if known && (k < 0 || int(r.m.Rank) < k) {
		r.ours = false
		m.log.Info("record of one whose turn it is not", "record", r.name, "author", r.m.Author, "term", r.m.Term, "rank", r.m.Rank, "seen", k)
		return
	}
	if known && r.m.Rank > 0 { // those before it had their turn, and let it pass
		for _, id := range ranks[:k] {
			m.tookTurn(id, r.term())
		}
	}
}

func (m *Machine) tookTurn(id protocol.PeerID, t mesh.Term) {
	m.al.turns[id] = max(m.al.turns[id], t)
	if len(m.al.turns) <= maxTurns {
		return
	}
	oldest := id
	for o, last := range m.al.turns {
		if cmp.Or(cmp.Compare(last, m.al.turns[oldest]), cmp.Compare(o, oldest)) < 0 {
			oldest = o
		}
	}
	delete(m.al.turns, oldest)
}

// proceed goes on with what is due: it judges records whose term has come, and has merged what can be merged and is not yet.
func (m *Machine) proceed(now time.Time, a *Actions) {
	m.turn(now)
	if len(m.al.records) == 0 {
		return
	}
	rs := make([]*record, 0, len(m.al.records))
	for _, r := range m.al.records {
		m.judge(r)
		rs = append(rs, r)
	}
	slices.SortFunc(rs, func(x, y *record) int { return y.compare(x) }) // the best first
	busy := map[string]bool{}                                           // skills with a better record being merged
	for _, r := range rs {
		for i, s := range r.a.Skills {
			if m.al.suspect[r.name] == s.Skill && r.state[i] == unchecked {
				m.merge(a, r, i)
			}
			if r.term()+fence < m.al.newest || !m.valid(r) || r.m.Rule != m.cfg.Rule || busy[s.Skill] || m.knows(r, s.Skill) {
				continue
			}
			switch r.state[i] {
			case unchecked:
				m.merge(a, r, i)
			}
			if r.state[i] == right { // without being merged again
				m.align(r, i)
			}
			busy[s.Skill] = r.state[i] == asked || r.state[i] == right
		}
	}
}

// knows reports whether a skill is aligned by this record or a better one.
func (m *Machine) knows(r *record, skill string) bool {
	al := m.al.aligned[skill]
	return al != nil && compareRecords(al.Term, al.Rank, al.Record, r.term(), r.m.Rank, r.name) >= 0
}

// merge asks for one skill of a record to be merged, if all inputs are here.
func (m *Machine) merge(a *Actions, r *record, i int) {
	s := r.a.Skills[i]
	if al := m.al.aligned[s.Skill]; al != nil && slices.Equal(al.Inputs, s.Inputs) {
		m.found(a, r, i, al.Result == s.Result) // the same was merged before
		return
	}
	if len(a.Merge) == alignedPerTurn {
		return
	}
	mg := Merge{Record: r.name, Skill: s.Skill, Result: s.Result}
	for _, in := range s.Inputs {
		e := m.live[in.ID]
		switch {
		case e == nil && !m.known(in.ID):
			return // it may come yet
		case e == nil || e.u.Skill != s.Skill || e.u.Name() != in.Digest:
			r.state[i] = lost // superseded, or its author signed another of that name: no fault of the record's
			return
		}
		mg.Inputs = append(mg.Inputs, e.u)
	}
	r.state[i] = asked
	a.Merge = append(a.Merge, mg)
}

// Merged takes in what came of a merge, and reports whether it is to be folded now; Tried says then what became of it. ok is
// false if nothing came of it, for want of something that may be here another time.
func (m *Machine) Merged(now time.Time, mg Merge, result protocol.Digest, ok bool) (fold bool, a Actions) {
	r := m.al.records[mg.Record]
	if r == nil {
		return false, m.done(now, a)
	}
	i := slices.IndexFunc(r.a.Skills, func(s protocol.Aligned) bool { return s.Skill == mg.Skill })
	if i < 0 || r.state[i] != asked {
		panic("exchange: a merge that was not asked for")
	}
	if !ok {
		r.state[i] = lost
	} else {
		m.found(&a, r, i, result == mg.Result)
	}
	fold = r.state[i] == right && m.valid(r) && !m.knows(r, mg.Skill)
	if fold {
		m.align(r, i)
	} else {
		m.proceed(now, &a)
	}
	return fold, m.done(now, a)
}

// found notes whether a result is right.
func (m *Machine) found(a *Actions, r *record, i int, isRight bool) {
	if m.al.suspect[r.name] == r.a.Skills[i].Skill {
		delete(m.al.suspect, r.name)
	}
	if isRight {
		r.state[i] = right
		return
	}
	r.state[i] = wrong
	m.convict(a, r, r.a.Skills[i].Skill)
}

// align makes a record that was checked the one that a skill is aligned by.
func (m *Machine) align(r *record, i int) {
	s := r.a.Skills[i]
	al := m.al.aligned[s.Skill]
	if al == nil || !slices.Equal(al.Inputs, s.Inputs) {
		al = &Aligned{Skill: s.Skill, Inputs: s.Inputs, Result: s.Result}
		m.al.aligned[s.Skill] = al
	}
	al.Record, al.Author, al.Term, al.Rank = r.name, r.m.Author, r.term(), r.m.Rank
	if len(m.al.aligned) > maxAlignedSet {
		var oldest *Aligned
		for _, o := range m.al.aligned {
			if oldest == nil || cmp.Or(cmp.Compare(o.Term, oldest.Term), cmp.Compare(o.Skill, oldest.Skill)) < 0 {
				oldest = o
			}
		}
		delete(m.al.aligned, oldest.Skill)
	}
}

// Tried records what a merge that was to be folded proved to be worth.
func (m *Machine) Tried(now time.Time, mg Merge, v protocol.Verdict, gain int64) (a Actions) {
	if al := m.al.aligned[mg.Skill]; al != nil && al.Record == mg.Record {
		al.Verdict, al.Gain = v, clampGain(gain)
	}
	m.log.Info("aligned", "record", mg.Record, "skill", mg.Skill, "inputs", len(mg.Inputs), "verdict", v, "gain", gain)
	m.proceed(now, &a)
	return m.done(now, a)
}

// convict ends our dealings with a central that lied: what it signed is the proof. Others are told to look for themselves.
func (m *Machine) convict(a *Actions, r *record, skill string) {
	au := m.author(r.m.Author)
	if au.standing.Convicted || au.id == m.cfg.Self {
		return
	}
	m.log.Warn("a central signed a false result, and is not asked any more", "peer", r.m.Author, "record", r.name,
		"term", r.m.Term, "skill", skill)
	au.standing.Convicted = true
	m.shun(a, au)
	m.al.accuse = append(m.al.accuse, &protocol.Convict{Author: r.m.Author, Record: r.name, Skill: skill})
}

// hearConvict looks whether a record is false as p says.
func (m *Machine) hearConvict(now time.Time, a *Actions, p *peer, c *protocol.Convict) {
	m.al.accuse = slices.DeleteFunc(m.al.accuse, func(o *protocol.Convict) bool { return o.Record == c.Record })
	r := m.al.records[c.Record]
	if au := m.authors[c.Author]; au != nil && au.shunned() || m.al.suspect[c.Record] != "" {
		return
	}
	if r != nil && (r.m.Rule != m.cfg.Rule || !slices.Contains(r.state, unchecked)) {
		return
	}
	if len(m.al.suspect) >= maxSuspects {
		clear(m.al.suspect) // hints are not worth more room
	}
	m.al.suspect[c.Record] = c.Skill
	if r == nil {
		m.askRecords(now, a, p, []protocol.Digest{c.Record})
		return
	}
	m.proceed(now, a)
}

// accusations tells everyone of whom we convicted, unless another did.
func (m *Machine) accusations(a *Actions) {
	for _, c := range m.al.accuse {
		m.say(a, "", c)
	}
	m.al.accuse = nil
}

// heads are the records that no other has for a parent, the best last.
func (m *Machine) heads() (rs []*record) {
	parent := map[protocol.Digest]bool{}
	for _, r := range m.al.records {
		if au := m.authors[r.m.Author]; au != nil && au.shunned() {
			continue
		}
		rs = append(rs, r)
		for _, p := range r.m.Parents {
			parent[p] = true
		}
	}
	rs = slices.DeleteFunc(rs, func(r *record) bool { return parent[r.name] })
	slices.SortFunc(rs, (*record).compare)
	return rs
}

// namesOf returns the names of the best of sorted records, as many as that at most, in order.
func namesOf(rs []*record, most int) (names []protocol.Digest) {
	for _, r := range rs[max(0, len(rs)-most):] {
		names = append(names, r.name)
	}
	slices.SortFunc(names, protocol.Digest.Compare)
	return names
}

// told are the records that a Have names.
func (m *Machine) told() []protocol.Digest { return namesOf(m.heads(), protocol.MaxRecords) }

// askRecords asks p for those records that are not here and not asked for.
func (m *Machine) askRecords(now time.Time, a *Actions, p *peer, names []protocol.Digest) {
	for name, w := range m.al.wants {
		if now.After(w.until) {
			delete(m.al.wants, name)
		}
	}
	var ask []protocol.Digest
	for _, name := range names {
		_, isAsked := m.al.wants[name]
		if isAsked || m.al.records[name] != nil || slices.Contains(m.al.refused, name) || len(m.al.wants) >= maxRecordWants {
			continue
		}
		m.al.wants[name] = recordWant{p.id, now.Add(patience * m.cfg.Interval)}
		ask = append(ask, name)
	}
	if len(ask) > 0 {
		m.say(a, p.id, &protocol.Want{Records: ask})
	}
}

// giveRecords sends the records that p asks for.
func (m *Machine) giveRecords(a *Actions, p *peer, names []protocol.Digest) {
	for _, name := range names {
		r := m.al.records[name]
		if r == nil || p.served > 0 && p.served+len(r.m.Body) > servedPerInterval {
			continue
		}
		p.served += len(r.m.Body)
		m.say(a, p.id, r.m)
	}
}

// A CentralStatus tells whose turn it is, and what centrals did.
type CentralStatus struct {
	Term    mesh.Term
	Ranks   []protocol.PeerID // whose turn it is in Term, by rank; none if it is not known
	Members int               // candidates in Term
	Last    *Aligned          // the newest skill that was aligned here; nil if none was
	Skills  int               // that are aligned

	Records   int    // kept
	Accepted  uint64 // records taken in since the Machine began
	Published uint64 // our own
	Convicted int    // centrals whose records proved false
}

// Central returns whose turn it is at that time, and what centrals did.
func (m *Machine) Central() CentralStatus {
	s := CentralStatus{
		Term: m.al.term, Ranks: slices.Clone(m.al.ranks[m.al.term]), Members: int(m.al.members), Skills: len(m.al.aligned),
		Records: len(m.al.records), Accepted: m.al.accepted, Published: m.al.published,
	}
	for _, al := range m.Aligned() {
		if s.Last == nil || al.Term >= s.Last.Term {
			s.Last = &al
		}
	}
	for _, au := range m.authors {
		if au.standing.Convicted {
			s.Convicted++
		}
	}
	return s
}

// Aligned returns how skills are aligned, by name.
func (m *Machine) Aligned() []Aligned {
	var list []Aligned
	for _, al := range m.al.aligned {
		list = append(list, *al)
	}
	slices.SortFunc(list, func(x, y Aligned) int { return cmp.Compare(x.Skill, y.Skill) })
	return list
}
