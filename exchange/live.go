package exchange

import (
	"cmp"
	"slices"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// A skillKey names what at most one update is live for.
type skillKey struct {
	author protocol.PeerID
	skill  string
}

// An entry is a live update that is held.
type entry struct {
	u       *protocol.Update
	tag     protocol.Tag     // of its skill
	age     uint64           // Machine.events when it came
	verdict protocol.Verdict // what we found it to be; 0 until judged
	gain    int64            // what it gained us, once judged
}

// compareValue orders entries by what they are worth keeping: those that did harm go first, then
// those of no use, then the untried, then those that were folded by what they gained; among equals
// the older goes first.
func (e *entry) compareValue(o *entry) int {
	return cmp.Or(cmp.Compare(e.class(), o.class()), cmp.Compare(e.gain, o.gain), cmp.Compare(e.age, o.age),
		e.u.ID.Compare(o.u.ID))
}

func (e *entry) class() int {
	switch e.verdict {
	case protocol.Harmful:
		return 0
	case protocol.Refused:
		return 1
	case protocol.Folded:
		return 3
	}
	return 2
}

// unwanted returns why an update with that head is not taken, without looking at its signature, or
// nothing.
func (m *Machine) unwanted(an *protocol.Announce) string {
	switch {
	case an.Model != m.cfg.Model:
		return "it is of another model"
	case m.known(an.ID):
		return "it is known"
	case an.Sections == 0 || an.Size == 0:
		return "there is nothing in it"
	case an.Gain < -maxGain || an.Gain > maxGain:
		return "its gain is beyond belief"
	}
	return ""
}

// hearUpdate takes in an update, whether it was asked for or not.
func (m *Machine) hearUpdate(now time.Time, a *Actions, p *peer, u *protocol.Update) {
	asked := m.askedFor(p, u)
	if asked {
		p.gave = now
		defer m.hurry(a, p)
	}
	good := false
	if why := m.unwanted(&u.Announce); why != "" {
		m.log.Debug("update not taken", "update", u.ID, "peer", p.id, "reason", why)
	} else if err := u.Verify(); err != nil {
		m.forged(p, &u.Announce, err)
	} else {
		good = true
	}
	if !good {
		if asked {
			m.reassign(now, a, []*want{m.wants[u.ID]}) // another may have what its author signed
		}
		return
	}
	m.settle(u.ID)
	if u.ID.Author == m.cfg.Self {
		m.recover(a, u)
		return
	}
	l := line{u.ID.Author, protocol.TagOf(u.Skill)}
	ok, goes := m.admits(l)
	if !ok {
		m.log.Debug("no room for an update", "update", u.ID, "skill", u.Skill, "peer", p.id)
		return
	}
	if !m.accept(a, m.author(u.ID.Author), u) {
		return
	}
	if goes != nil {
		m.in.replaced = now
		m.letGo(a, goes)
		m.log.Info("let go for another", "update", goes.u.ID, "skill", goes.u.Skill, "for", u.ID)
	}
	a.Fold = append(a.Fold, u)
	m.trials = append(m.trials, u.ID)
	if len(m.trials) > maxTrials {
		m.trials = slices.Delete(m.trials, 0, 1)
	}
	m.hold(a, u)
	m.proceed(now, a) // a record may have waited for it
}

// accept enters an update in its author's marks, and reports whether it is to be folded and held. An
// author who has too many skills loses the one he changed least recently.
func (m *Machine) accept(a *Actions, au *author, u *protocol.Update) bool {
	if skill, full := au.fullFor(u.Skill); full {
		if e := m.skills[skillKey{au.id, skill}]; e != nil && u.ID.Seq > e.u.ID.Seq {
			m.letGo(a, e)
		}
	}
	return au.accept(u.Skill, u.ID.Seq, u.Replaces)
}

// recover takes in an update of our own that we knew nothing of: our state was lost, and others kept
// what we had said. It is not folded, but what we say next has to come after it.
func (m *Machine) recover(a *Actions, u *protocol.Update) {
	m.seq = max(m.seq, u.ID.Seq)
	m.log.Warn("an update of our own that we had forgotten", "update", u.ID, "skill", u.Skill)
	if m.accept(a, m.author(m.cfg.Self), u) {
		m.hold(a, u)
		m.own(u)
	}
}

// hold keeps u in place of what it supersedes, and makes room for it.
func (m *Machine) hold(a *Actions, u *protocol.Update) {
	key := skillKey{u.ID.Author, u.Skill}
	if old := m.skills[key]; old != nil {
		m.letGo(a, old)
	}
	m.events++
	m.put(&entry{u: u, tag: protocol.TagOf(u.Skill), age: m.events})
	m.trim(a)
}

// trim lets go of the least valuable updates of others until what is left is within bounds.
func (m *Machine) trim(a *Actions) {
	for {
		full := len(m.live) > m.cfg.MaxLive || m.bytes > m.cfg.MaxHeld
		if !full && m.in.crowded == 0 {
			break
		}
		least := m.least(func(e *entry) bool { return full || m.in.versions[e.tag] > m.cfg.Versions })
		if least == nil {
			break
		}
		m.in.chose = true
		m.letGo(a, least)
		m.log.Info("let go for want of room", "update", least.u.ID, "skill", least.u.Skill, "gain", least.gain)
	}
}

// put enters e among the live updates.
func (m *Machine) put(e *entry) {
	m.live[e.u.ID] = e
	m.skills[skillKey{e.u.ID.Author, e.u.Skill}] = e
	m.bytes += len(e.u.Body)
	m.count(e, 1)
	m.have, m.sum = nil, protocol.Digest{}
}

// letGo holds an update no longer. Its author's marks still know of it.
func (m *Machine) letGo(a *Actions, e *entry) {
	delete(m.live, e.u.ID)
	delete(m.skills, skillKey{e.u.ID.Author, e.u.Skill})
	m.bytes -= len(e.u.Body)
	m.count(e, -1)
	m.have, m.sum = nil, protocol.Digest{}
	a.Drop = append(a.Drop, e.u.ID)
}

// haveIDs returns the names of the live updates, sorted. The slice is shared with messages and
// never written.
func (m *Machine) haveIDs() []protocol.UpdateID {
	if m.have == nil {
		m.have = make([]protocol.UpdateID, 0, len(m.live))
		for id := range m.live {
			m.have = append(m.have, id)
		}
		slices.SortFunc(m.have, protocol.UpdateID.Compare)
	}
	return m.have
}

// haveSum returns their digest.
func (m *Machine) haveSum() protocol.Digest {
	if m.sum == (protocol.Digest{}) {
		m.sum = protocol.SumIDs(m.haveIDs())
	}
	return m.sum
}

// Held returns the names of the updates held, our own among them, sorted.
func (m *Machine) Held() []protocol.UpdateID { return slices.Clone(m.haveIDs()) }

// tried reports whether an update is on trial, and ends the trial.
func (m *Machine) tried(id protocol.UpdateID) bool {
	i := slices.Index(m.trials, id)
	if i < 0 {
		return false
	}
	m.trials = slices.Delete(m.trials, i, i+1)
	return true
}

// shun lets go of everything an author made, and waits for nothing more of it.
func (m *Machine) shun(a *Actions, au *author) {
	for _, id := range slices.Clone(m.haveIDs()) {
		if id.Author == au.id {
			m.letGo(a, m.live[id])
		}
	}
	for id := range m.wants { // in any order: nothing is said
		if id.Author == au.id {
			m.settle(id)
		}
	}
}

// forged notes that p passed on what its author did not sign. The mesh below verifies too, so p is
// at fault, or our mesh is.
func (m *Machine) forged(p *peer, an *protocol.Announce, err error) {
	p.invalid++
	m.counts.Invalid++
	m.log.Warn("forged update", "update", an.ID, "peer", p.id, "reason", err)
}
