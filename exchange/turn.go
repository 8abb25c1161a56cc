package exchange

import (
	"cmp"
	"slices"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// Whose turn it is to be central, and what it then does. A turn is a right to speak first, and no power: whatever a central
// says is checked by everyone (see align.go), and a term in which nobody speaks is as good as any.

const (
	ripe   = 2  // whole terms for which one has to be seen alive before it can be central, or judge who can
	fence  = 10 // terms before the newest record's, beyond which a record is only history
	memory = 32 // terms for which history is kept: to know who had a turn, and to tell others

	heaviest = 4 // no weight counts more than so many times the median

	alignedPerTurn = 4 // skills merged in a turn, and merged for checking at a time
)

// A Merge is a skill of which several authors' versions are to be made one.
type Merge struct {
	Record protocol.Digest // the record that says so
	Skill  string
	Inputs []*protocol.Update // in order of their authors; shared with the Machine
	Result protocol.Digest    // what the record's author says comes of it
}

// A Turn is our turn to be central: the merges, without Record and Result, that our record is to have.
type Turn struct {
	Term    mesh.Term
	Rank    uint8
	Members uint32
	Parents []protocol.Digest
	Merges  []Merge // by name of the skill
}

// watch notes the time, and begins to count our age with the first event that has one.
func (m *Machine) watch(now time.Time) {
	m.in.now = now
	if m.al.born.IsZero() {
		m.al.born = now
	}
}

// alive reports whether one who is here since then may be central in a term.
func alive(since time.Time, e mesh.Term) bool {
	return !since.IsZero() && e >= ripe && !since.After((e - ripe).Start())
}

// anyone reports whether we or any peer could ever be central.
func (m *Machine) anyone() bool {
	return m.cfg.Central > 0 || slices.ContainsFunc(m.peers, func(p *peer) bool { return p.central() > 0 })
}

func (p *peer) central() uint8 {
	if p.hello == nil || p.reason != "" {
		return 0
	}
	return p.hello.Central
}

// turn notes whose turn it is in the present term, when it has begun. Of terms that passed while we slept it knows nothing.
func (m *Machine) turn(now time.Time) {
	e := mesh.TermAt(now)
	if e <= m.al.term {
		return
	}
	m.al.term, m.al.acted = e, false
	if !m.anyone() || !alive(m.al.born, e) || m.strange(e) {
		return
	}
	cs := m.candidates(e)
	m.al.members = uint32(len(cs))
	m.al.ranks[e] = mesh.Order(mesh.TurnSeed(m.cfg.Model, e, m.seed(e)), cs)
	for old := range m.al.ranks {
		if old+fence < e {
			delete(m.al.ranks, old)
		}
	}
}

// strange reports whether half of those who may be central or more have come, or we to them, too late to be counted in a term. They count
// each other, and whoever counted without them would know better than all of them whose turn it is, and merge what suits nobody else.
func (m *Machine) strange(e mesh.Term) bool {
	old, young := 0, 0
	for _, p := range m.peers {
		switch {
		case p.central() == 0:
		case alive(p.since, e):
			old++
		default:
			young++
		}
	}
	return young > 0 && young >= old
}

func (m *Machine) candidates(e mesh.Term) (cs []mesh.Candidate) {
	add := func(id protocol.PeerID, weight uint8, since time.Time) {
		if au := m.authors[id]; weight > 0 && alive(since, e) && (au == nil || !au.shunned()) {
			cs = append(cs, mesh.Candidate{ID: id, Weight: weight})
		}
	}
	add(m.cfg.Self, m.cfg.Central, m.al.born)
	for _, p := range m.peers {
		add(p.id, p.central(), p.since)
	}
	// A weight is a claim: nobody takes more than a few times the turns of others by it.
	weights := make([]uint8, len(cs))
	for i, c := range cs {
		weights[i] = c.Weight
	}
	slices.Sort(weights)
	for i := range cs {
		cs[i].Weight = uint8(min(int(cs[i].Weight), heaviest*int(weights[len(cs)/2])))
		// Of whom no turn is known, it is taken that it had to wait for as long as is usual: a name that is made anew
		// for each turn gains nothing by it.
		cs[i].Waited = uint64(len(cs))
		if last, ok := m.al.turns[cs[i].ID]; ok && last < e {
			cs[i].Waited = uint64(e - last)
		}
	}
	return cs
}

// seed is the digest of the newest records that are over by a whole term, whoever made them: so all who heard the same agree, also
// after a partition in which they saw others in charge.
func (m *Machine) seed(e mesh.Term) protocol.Digest {
	var newest mesh.Term
	var names []protocol.Digest
	for name, r := range m.al.records {
		t := r.term()
		if t+2 > e || t < newest {
			continue
		}
		if t > newest {
			newest, names = t, nil
		}
		names = append(names, name)
	}
	if names == nil {
		return protocol.Digest{}
	}
	slices.SortFunc(names, protocol.Digest.Compare)
	var b []byte
	for _, n := range names {
		b = append(b, n[:]...)
	}
	return protocol.Sum(b)
}

// rank returns our rank in the present term, or -1.
func (m *Machine) rank() int { return slices.Index(m.al.ranks[m.al.term], m.cfg.Self) }

// First returns whose turn it is before all others' in the present term, as far as is known here: nobody's where it is empty.
func (m *Machine) First(now time.Time) (protocol.PeerID, mesh.Term) {
	e := mesh.TermAt(now)
	if order := m.al.ranks[e]; len(order) > 0 {
		return order[0], e
	}
	return "", e
}

// act takes our turn, if it has come, nobody of a lower rank has acted, and there is anything to do.
func (m *Machine) act(now time.Time, a *Actions) {
	k := m.rank()
	if m.al.acted || k < 0 || now.Before(m.al.term.Due(k)) {
		return
	}
	m.al.acted = true
	for _, r := range m.al.records {
		if r.term() == m.al.term && int(r.m.Rank) < k && m.valid(r) {
			return
		}
	}
	t := &Turn{Term: m.al.term, Rank: uint8(k), Members: m.al.members, Parents: namesOf(m.heads(), protocol.MaxParents), Merges: m.unaligned()}
	if len(t.Merges) > 0 {
		a.Turn = t
		m.log.Info("central", "term", uint64(t.Term), "rank", k, "skills", len(t.Merges))
	}
}

// unaligned are the skills that enough authors have versions of, of which the last record does not know the latest; those that
// wait for longest come first. Where several records stand side by side that merge the same, nothing is to be done: the next
// one has them all for parents.
func (m *Machine) unaligned() (ms []Merge) {
	best := map[string]*record{}
	for _, r := range m.al.records {
		for _, s := range r.a.Skills {
			if m.valid(r) && (best[s.Skill] == nil || r.compare(best[s.Skill]) > 0) && !m.solitary(r, s) {
				best[s.Skill] = r
			}
		}
	}
	for skill, us := range m.versions() {
		known := best[skill]
		if len(us) >= m.cfg.MergeFrom && (known == nil || !known.covers(skill, us)) && !m.content(skill, us) {
			ms = append(ms, Merge{Skill: skill, Inputs: us})
		}
	}
	age := func(skill string) mesh.Term {
		if r := best[skill]; r != nil {
			return r.term()
		}
		return 0
	}
	slices.SortFunc(ms, func(x, y Merge) int {
		return cmp.Or(cmp.Compare(age(x.Skill), age(y.Skill)), cmp.Compare(x.Skill, y.Skill))
	})
	ms = ms[:min(len(ms), alignedPerTurn)]
	slices.SortFunc(ms, func(x, y Merge) int { return cmp.Compare(x.Skill, y.Skill) })
	return ms
}

// solitary reports whether a record's author merged another version of its own than the one it signed for us. Nobody can follow it then, and
// nobody is to wait for it.
func (m *Machine) solitary(r *record, s protocol.Aligned) bool {
	return slices.ContainsFunc(s.Inputs, func(in protocol.Input) bool {
		e := m.live[in.ID]
		return in.ID.Author == r.m.Author && e != nil && e.u.Name() != in.Digest
	})
}

// content reports whether those versions that we would merge have been merged before as far as that goes: in our own last record, or, where we have
// no room for all, in what we follow. The last record is of a central that may hold others, or have found others to do harm: if
// each were to merge its own anew because of that, they would take turns at it for ever.
func (m *Machine) content(skill string, us []*protocol.Update) bool {
	al := m.al.aligned[skill]
	return covers(m.al.said[skill], us) || m.in.chose && al != nil && covers(al.Inputs, us)
}

// versions are the live updates by skill, in order of their authors, but for those that did harm here. Where there are too
// many, names drawn by their digests are left out, the same ones by everyone.
func (m *Machine) versions() map[string][]*protocol.Update {
	all := map[string][]*protocol.Update{}
	for _, id := range m.haveIDs() {
		if e := m.live[id]; e.verdict != protocol.Harmful {
			all[e.u.Skill] = append(all[e.u.Skill], e.u)
		}
	}
	for skill, us := range all {
		if len(us) > protocol.MaxInputs {
			draw := func(u *protocol.Update) protocol.Digest {
				return protocol.Sum([]byte(skill + "\x00" + string(u.ID.Author)))
			}
			slices.SortFunc(us, func(x, y *protocol.Update) int { return draw(x).Compare(draw(y)) })
			us = us[:protocol.MaxInputs]
			slices.SortFunc(us, func(x, y *protocol.Update) int { return x.ID.Compare(y.ID) })
			all[skill] = us
		}
	}
	return all
}

// Act publishes the record of our turn, signed.
func (m *Machine) Act(now time.Time, r *protocol.Record) (a Actions) {
	if r.Author != m.cfg.Self || r.Model != m.cfg.Model {
		panic("exchange: a record that is not ours")
	}
	own, err := newRecord(r)
	if err != nil {
		panic("exchange: a record that nobody could read")
	}
	m.al.published++
	if len(m.al.said) >= maxAlignedSet {
		clear(m.al.said) // at worst something is said once more
	}
	for _, s := range own.a.Skills {
		m.al.said[s.Skill] = s.Inputs
	}
	m.take(own)
	m.say(&a, "", r)
	m.proceed(now, &a)
	return m.done(now, a)
}

// nextTurn is when act or turn has to be called next, or zero.
func (m *Machine) nextTurn(now time.Time) time.Time {
	if !m.anyone() {
		return time.Time{}
	}
	e := mesh.TermAt(now)
	if e > m.al.term {
		return e.Start()
	}
	if k := m.rank(); k >= 0 && !m.al.acted {
		return e.Due(k)
	}
	return (e + 1).Start()
}
