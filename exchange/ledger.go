package exchange

import (
	"cmp"
	"slices"

	"github.com/yanmesh/yan/protocol"
)

// An author is someone whose updates we took: what they were worth to us, and which they were.
//
// An update counts as seen if its sequence is at most floor, is one of the marks, or is among the
// dead. Sequences move from marks to dead to floor and never back, so that what was folded once is
// seen for as long as the author is remembered. The floor may pass over an old update that never
// came; that is the price of the bounds.
type author struct {
	id       protocol.PeerID
	standing Standing
	touched  uint64 // Machine.events when an update of his last came
	floor    uint64
	marks    []mark   // the last update of each skill, sorted by skill; at most maxSkills
	dead     []uint64 // superseded, above floor, sorted; at most maxDead
}

type mark struct {
	Skill string
	Seq   uint64
}

// A Standing is what an author's updates proved to be worth to us.
type Standing struct {
	Author                   protocol.PeerID
	Folded, Refused, Harmful int
	Gain                     int64 // the sum of what they gained us, in micro-nats per event
	Shunned                  bool  // nothing of this author is taken any more
	Convicted                bool  // as central it signed a false result
}

// Worth is what an update of our own proved to be worth to others, by their account.
type Worth struct {
	ID                       protocol.UpdateID
	Skill                    string
	Folded, Refused, Harmful int
	Gain                     int64 // the sum of what it gained them, in micro-nats per event
}

// A worth is a Worth in the making, with the last answer of each peer.
type worth struct {
	seq     uint64
	skill   string
	answers []answer // sorted by peer; at most maxJudges
}

type answer struct {
	Peer    protocol.PeerID
	Verdict protocol.Verdict
	Gain    int64
}

// author returns what we know of an author, making a place for him if there is none.
func (m *Machine) author(id protocol.PeerID) *author {
	au := m.authors[id]
	if au == nil {
		if len(m.authors) >= maxAuthors {
			m.forget()
		}
		au = &author{id: id}
		m.authors[id] = au
	}
	m.events++
	au.touched = m.events
	return au
}

// forget makes room for one author: of those of whom nothing is held, one of no use to us before one
// who was of use, and then the one who has been quiet for longest. There always is one, since
// maxAuthors exceeds maxLive.
func (m *Machine) forget() {
	holds := make(map[protocol.PeerID]bool)
	for id := range m.live {
		holds[id.Author] = true
	}
	var least *author
	for id, au := range m.authors {
		if holds[id] || id == m.cfg.Self {
			continue
		}
		if least == nil || cmp.Or(cmp.Compare(min(au.standing.Folded, 1), min(least.standing.Folded, 1)),
			cmp.Compare(au.touched, least.touched)) < 0 {
			least = au
		}
	}
	if least != nil {
		delete(m.authors, least.id)
	}
}

func (au *author) seen(seq uint64) bool {
	if seq <= au.floor || slices.ContainsFunc(au.marks, func(k mark) bool { return k.Seq == seq }) {
		return true
	}
	_, dead := slices.BinarySearch(au.dead, seq)
	return dead
}

func (au *author) findMark(skill string) (int, bool) {
	return slices.BinarySearchFunc(au.marks, skill, func(k mark, s string) int { return cmp.Compare(k.Skill, s) })
}

// fullFor returns the skill that has to make room for a new one, if one has to.
func (au *author) fullFor(skill string) (oldest string, full bool) {
	if _, found := au.findMark(skill); found || len(au.marks) < maxSkills {
		return "", false
	}
	return slices.MinFunc(au.marks, func(a, b mark) int { return cmp.Compare(a.Seq, b.Seq) }).Skill, true
}

// accept marks an update as seen, and reports whether it is the latest of its skill.
func (au *author) accept(skill string, seq, replaces uint64) bool {
	if au.seen(seq) {
		return false
	}
	if oldest, full := au.fullFor(skill); full {
		i, _ := au.findMark(oldest)
		if seq < au.marks[i].Seq {
			au.raise(seq)
			return false
		}
		au.raise(au.marks[i].Seq)
		au.marks = slices.Delete(au.marks, i, i+1)
	}
	i, found := au.findMark(skill)
	switch {
	case !found:
		au.marks = slices.Insert(au.marks, i, mark{skill, seq})
	case seq < au.marks[i].Seq:
		au.bury(seq)
		return false
	default:
		au.bury(au.marks[i].Seq)
		au.marks[i].Seq = seq
	}
	if replaces > 0 && !au.seen(replaces) {
		au.bury(replaces)
	}
	return true
}

// bury adds a sequence to the dead. When there are too many, the earliest are merely below the floor.
func (au *author) bury(seq uint64) {
	if seq <= au.floor {
		return
	}
	if i, found := slices.BinarySearch(au.dead, seq); !found {
		au.dead = slices.Insert(au.dead, i, seq)
	}
	if len(au.dead) > maxDead {
		au.raise(au.dead[0])
	}
}

// raise sets the floor to seq, if it is lower.
func (au *author) raise(seq uint64) {
	au.floor = max(au.floor, seq)
	i, found := slices.BinarySearch(au.dead, au.floor)
	if found {
		i++
	}
	au.dead = slices.Delete(au.dead, 0, i)
}

func (au *author) judge(v protocol.Verdict, gain int64) {
	switch v {
	case protocol.Folded:
		au.standing.Folded++
	case protocol.Harmful:
		au.standing.Harmful++
	default:
		au.standing.Refused++
	}
	au.standing.Gain += gain
}

// shunned reports whether an author has only done harm, or lied as central.
func (au *author) shunned() bool {
	return au.standing.Convicted || au.standing.Harmful >= harmsToShun && au.standing.Gain <= 0
}

// Shuns reports whether nothing of an author is taken any more.
func (m *Machine) Shuns(id protocol.PeerID) bool {
	au := m.authors[id]
	return au != nil && au.shunned()
}

// Ledger returns the standing of every author whose updates were judged, sorted by name.
func (m *Machine) Ledger() []Standing {
	var l []Standing
	for _, au := range m.authors {
		if s := au.standing; s != (Standing{}) {
			s.Author, s.Shunned = au.id, au.shunned()
			l = append(l, s)
		}
	}
	slices.SortFunc(l, func(a, b Standing) int { return cmp.Compare(a.Author, b.Author) })
	return l
}

// own begins the account of an update of our own.
func (m *Machine) own(u *protocol.Update) {
	i, found := m.findWorth(u.ID.Seq)
	if found {
		return
	}
	m.worth = slices.Insert(m.worth, i, &worth{seq: u.ID.Seq, skill: u.Skill})
	if len(m.worth) > maxOwnWorth {
		m.worth = slices.Delete(m.worth, 0, 1)
	}
}

func (m *Machine) findWorth(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(m.worth, seq, func(w *worth, seq uint64) int { return cmp.Compare(w.seq, seq) })
}

// hearAnswer notes what p found an update of ours to be worth. If it says so again, the last counts.
func (m *Machine) hearAnswer(p *peer, an *protocol.Answer) {
	if an.ID.Author != m.cfg.Self {
		return
	}
	i, found := m.findWorth(an.ID.Seq)
	if !found {
		return
	}
	w := m.worth[i]
	j, again := slices.BinarySearchFunc(w.answers, p.id, func(a answer, id protocol.PeerID) int {
		return cmp.Compare(a.Peer, id)
	})
	if !again {
		if len(w.answers) == maxJudges {
			return
		}
		w.answers = slices.Insert(w.answers, j, answer{})
	}
	w.answers[j] = answer{p.id, an.Verdict, clampGain(an.Gain)}
	m.log.Info("answer", "update", an.ID, "peer", p.id, "verdict", an.Verdict, "gain", an.Gain)
}

// Worth returns what our own updates proved to be worth to others, the latest of them, by sequence.
func (m *Machine) Worth() []Worth {
	var ws []Worth
	for _, w := range m.worth {
		s := Worth{ID: protocol.UpdateID{Author: m.cfg.Self, Seq: w.seq}, Skill: w.skill}
		for _, a := range w.answers {
			switch a.Verdict {
			case protocol.Folded:
				s.Folded++
			case protocol.Harmful:
				s.Harmful++
			default:
				s.Refused++
			}
			s.Gain += a.Gain
		}
		ws = append(ws, s)
	}
	return ws
}
