package exchange

import (
	"time"

	"github.com/yanmesh/yan/protocol"
)

// What is of interest. A device cannot hold what everyone has to say, and must not hear it only to let it go again, so what it
// takes is decided before it is asked for: what stands in for something held always is, and anything else as long as there is
// room, of updates in all and of versions of one skill. Where there is none, a version that did harm or was of no use here makes
// room for one that was never tried, but for one alone in each interval: so what is heard does not grow with the mesh either.

// A line is what at most one update is live for, as a Have tells it.
type line struct {
	author protocol.PeerID
	tag    protocol.Tag
}

// interest is what a Machine has room for.
type interest struct {
	now      time.Time // of the last event
	replaced time.Time // when a newcomer last took another's place; zero if none did
	changes  uint64    // of what is held, and of what it is worth
	chose    bool      // something was let go or left for want of room, ever

	authors  map[protocol.PeerID]int // live updates, by author
	lines    map[line]int            // by author and skill
	versions map[protocol.Tag]int    // and by skill
	crowded  int                     // skills with more versions than there is room for
	awaited  map[protocol.Tag]int    // newcomers that we wait for, by skill; the zero tag is of those that are not known
	waiting  int                     // newcomers that we wait for
}

// Wants reports whether the body of an update with that head would be taken now. It does not look at the signature.
func (m *Machine) Wants(an *protocol.Announce) bool {
	if m.unwanted(an) != "" {
		return false
	}
	ok, _ := m.admits(line{an.ID.Author, protocol.TagOf(an.Skill)})
	return ok
}

// Chose reports whether anything was let go or left for want of room, ever. Who did may hold less than his peers offer.
func (m *Machine) Chose() bool { return m.in.chose }

// newcomer reports whether nothing is held that an update of this line could stand in for. Our own never is one.
func (m *Machine) newcomer(l line) bool { return l.author != m.cfg.Self && m.in.lines[l] == 0 }

// admits reports whether there is room for an update of a line, and what has to go for it, if anything has.
func (m *Machine) admits(l line) (ok bool, goes *entry) {
	if !m.newcomer(l) {
		return true, nil
	}
	full := m.in.versions[l.tag] >= m.cfg.Versions
	if !full && len(m.live) < m.cfg.MaxLive {
		return true, nil
	}
	m.in.chose = true
	if m.justReplaced() {
		return false, nil
	}
	goes = m.least(func(e *entry) bool { return !full || e.tag == l.tag })
	return goes != nil && goes.useless(), goes
}

// justReplaced reports whether a newcomer took another's place within the interval.
func (m *Machine) justReplaced() bool {
	return !m.in.replaced.IsZero() && m.in.now.Sub(m.in.replaced) < m.cfg.Interval
}

// useless reports whether a version was tried here and not taken in.
func (e *entry) useless() bool {
	return e.verdict == protocol.Harmful || e.verdict == protocol.Refused
}

// least returns the least valuable update of others among some, or nil.
func (m *Machine) least(among func(*entry) bool) (least *entry) {
	for _, e := range m.live {
		if e.u.ID.Author != m.cfg.Self && among(e) && (least == nil || e.compareValue(least) < 0) {
			least = e
		}
	}
	return least
}

// A lack is what is to be done about an update that a peer has and we do not.
type lack uint8

const (
	never  lack = iota // it is of no interest for as long as we hold what we do
	later              // there may be room another time
	atOnce             // ask for it
)

// lacks decides about an update that a Have tells of; tag is zero where it does not tell the skill.
func (m *Machine) lacks(id protocol.UpdateID, tag protocol.Tag) lack {
	if m.known(id) {
		return never
	}
	if m.wants[id] != nil {
		return atOnce // or of another, should the one who was asked not give it
	}
	l := line{id.Author, tag}
	inAll := len(m.live)+m.in.waiting < m.cfg.MaxLive
	ofOne := m.in.versions[tag]+m.in.awaited[tag] < m.cfg.Versions
	switch {
	case !m.newcomer(l), tag == protocol.Tag{} && m.in.authors[id.Author] > 0, inAll && (ofOne || tag == protocol.Tag{}):
		return atOnce
	case m.in.waiting > 0 || m.justReplaced():
		return later
	case tag == protocol.Tag{}:
		return never
	}
	if ok, _ := m.admits(l); ok {
		return atOnce
	}
	return never
}

// await counts a newcomer that we wait for.
func (m *Machine) await(w *want) {
	if w.newcomer = m.newcomer(line{w.id.Author, w.tag}); w.newcomer {
		m.in.waiting++
		m.in.awaited[w.tag]++
	}
}

// unwant waits for an update no more.
func (m *Machine) unwant(w *want) {
	delete(m.wants, w.id)
	if !w.newcomer {
		return
	}
	m.in.waiting--
	if m.in.awaited[w.tag]--; m.in.awaited[w.tag] == 0 {
		delete(m.in.awaited, w.tag)
	}
}

// count enters an update that is held, or with -1 one that is not held any more.
func (m *Machine) count(e *entry, by int) {
	m.in.changes++
	add(m.in.authors, e.u.ID.Author, by)
	add(m.in.lines, line{e.u.ID.Author, e.tag}, by)
	was := m.in.versions[e.tag] > m.cfg.Versions
	add(m.in.versions, e.tag, by)
	if is := m.in.versions[e.tag] > m.cfg.Versions; is != was {
		m.in.crowded += by
	}
}

func add[K comparable](counts map[K]int, k K, by int) {
	if counts[k] += by; counts[k] == 0 {
		delete(counts, k)
	}
}

// tags are of the skills of what is held, in the order of haveIDs.
func (m *Machine) tags() []protocol.Tag {
	ts := make([]protocol.Tag, 0, len(m.live))
	for _, id := range m.haveIDs() {
		ts = append(ts, m.live[id].tag)
	}
	return ts
}
