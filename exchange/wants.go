package exchange

import (
	"cmp"
	"slices"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// A want is an update that we asked for and did not get yet. It is asked of one peer at a time.
type want struct {
	id     protocol.UpdateID
	asked  protocol.PeerID   // whom
	at     time.Time         // when
	claims []protocol.PeerID // who else has it, in the order heard

	tag      protocol.Tag // of its skill; zero if it is not known
	newcomer bool         // nothing was held that it could stand in for
}

// askedFor reports whether msg is an update or a record that we wait for from p.
func (m *Machine) askedFor(p *peer, msg protocol.Message) bool {
	switch msg := msg.(type) {
	case *protocol.Update:
		w := m.wants[msg.ID]
		return w != nil && w.asked == p.id
	case *protocol.Record:
		return len(m.al.wants) > 0 && m.al.wants[msg.Name()].asked == p.id
	}
	return false
}

// hearHave asks p for what it has and we lack.
func (m *Machine) hearHave(now time.Time, a *Actions, p *peer, h *protocol.Have) {
	m.askRecords(now, a, p, h.Records)
	if h.Sum != (protocol.Digest{}) {
		agreed := h.Sum == p.agreed.sum && m.in.changes == p.agreed.changes
		if h.Sum != m.haveSum() && !agreed { // each tells the other
			m.tell(a, p)
			m.say(a, p.id, &protocol.Want{})
		}
		return
	}
	p.more = false
	var ids []protocol.UpdateID
	lacking := false
	for i, id := range h.IDs {
		var tag protocol.Tag
		if len(h.Tags) > 0 {
			tag = h.Tags[i]
		}
		l := m.lacks(id, tag)
		lacking = lacking || l != never
		if l == atOnce && m.ask(now, p, id, tag) {
			ids = append(ids, id)
		}
	}
	if !lacking {
		p.agreed.sum, p.agreed.changes = protocol.SumIDs(h.IDs), m.in.changes
	}
	if len(ids) > 0 {
		m.say(a, p.id, &protocol.Want{IDs: ids})
	}
}

// hearAnnounce asks p for the update that it announces: whoever passes an announcement on has it.
func (m *Machine) hearAnnounce(now time.Time, a *Actions, p *peer, an *protocol.Announce) {
	if !m.Wants(an) {
		return
	}
	if err := an.Verify(); err != nil {
		m.forged(p, an, err)
		return
	}
	if m.ask(now, p, an.ID, protocol.TagOf(an.Skill)) {
		m.say(a, p.id, &protocol.Want{IDs: []protocol.UpdateID{an.ID}})
	}
}

// ask notes that p has an update that we lack, and reports whether p is to be asked for it now.
func (m *Machine) ask(now time.Time, p *peer, id protocol.UpdateID, tag protocol.Tag) bool {
	if w := m.wants[id]; w != nil {
		if w.asked != p.id && len(w.claims) < maxClaims && !slices.Contains(w.claims, p.id) {
			w.claims = append(w.claims, p.id)
		}
		return false
	}
	if p.asked == protocol.MaxWant {
		p.more = true
		return false
	}
	if _, err := id.Author.Key(); err != nil {
		return false // nobody can have signed it
	}
	w := &want{id: id, tag: tag}
	m.wants[id] = w
	m.await(w)
	m.assign(now, w, p)
	return true
}

// assign notes that p is asked for what w wants.
func (m *Machine) assign(now time.Time, w *want, p *peer) {
	m.log.Debug("want", "update", w.id, "peer", p.id)
	p.asked++
	w.asked, w.at = p.id, now
	if due := m.due(w, p); m.overdue.IsZero() || due.Before(m.overdue) {
		m.overdue = due
	}
}

// due is when an update will be asked of another than p. A peer that is silent for two thirds of an interval may
// have died in part: its network greets and its mind does not answer. One that has begun to give may take longer,
// but not for ever.
func (m *Machine) due(w *want, p *peer) time.Time {
	last := w.at
	if p != nil && p.gave.After(last) {
		last = p.gave
	}
	due, end := last.Add(m.cfg.Interval*2/3), w.at.Add(patience*m.cfg.Interval)
	if end.Before(due) {
		return end
	}
	return due
}

// known reports whether there is no use in asking for an update: it is held, was superseded or had
// its chance before, or its author is shunned.
func (m *Machine) known(id protocol.UpdateID) bool {
	if m.live[id] != nil {
		return true
	}
	au := m.authors[id.Author]
	return au != nil && (au.shunned() || au.seen(id.Seq))
}

// settle ends the want of an update that has come or has become pointless.
func (m *Machine) settle(id protocol.UpdateID) {
	if w := m.wants[id]; w != nil {
		m.unwant(w)
		if p := m.peer(w.asked); p != nil {
			p.asked--
		}
	}
}

// hurry asks p what else it has, once all that it was asked for has come.
func (m *Machine) hurry(a *Actions, p *peer) {
	if p != nil && p.more && p.asked == 0 {
		p.more = false
		m.say(a, p.id, &protocol.Want{})
	}
}

// disclaim forgets that a peer has anything, and asks others for what it was asked for.
func (m *Machine) disclaim(now time.Time, a *Actions, id protocol.PeerID) {
	var ws []*want
	for _, w := range m.wants {
		if i := slices.Index(w.claims, id); i >= 0 {
			w.claims = slices.Delete(w.claims, i, i+1)
		}
		if w.asked == id {
			ws = append(ws, w)
		}
	}
	m.reassign(now, a, ws)
}

// askElsewhere gives up waiting for what was asked for long ago, and asks others for it.
func (m *Machine) askElsewhere(now time.Time, a *Actions) {
	if m.overdue.IsZero() || now.Before(m.overdue) {
		return
	}
	m.overdue = time.Time{}
	var ws []*want
	for _, w := range m.wants {
		if due := m.due(w, m.peer(w.asked)); !now.Before(due) {
			ws = append(ws, w)
		} else if m.overdue.IsZero() || due.Before(m.overdue) {
			m.overdue = due
		}
	}
	m.reassign(now, a, ws)
}

// reassign asks, for each want, the next peer that has it, or gives it up until someone says again
// that he has it.
func (m *Machine) reassign(now time.Time, a *Actions, ws []*want) {
	slices.SortFunc(ws, func(v, w *want) int { return v.id.Compare(w.id) })
	type question struct {
		to protocol.PeerID
		id protocol.UpdateID
	}
	var qs []question
	for _, w := range ws {
		if p := m.peer(w.asked); p != nil {
			p.asked--
		}
		w.asked = ""
		if m.known(w.id) {
			w.claims = nil
		}
		for len(w.claims) > 0 && w.asked == "" {
			p := m.peer(w.claims[0])
			w.claims = slices.Delete(w.claims, 0, 1)
			if p != nil && p.reason == "" && p.asked < protocol.MaxWant {
				m.assign(now, w, p)
				qs = append(qs, question{p.id, w.id})
			}
		}
		if w.asked == "" {
			m.unwant(w)
		}
	}
	slices.SortStableFunc(qs, func(q, r question) int { return cmp.Compare(q.to, r.to) })
	for len(qs) > 0 { // one Want for each peer: none is asked for more than MaxWant at a time
		var ids []protocol.UpdateID
		to := qs[0].to
		for len(qs) > 0 && qs[0].to == to {
			ids = append(ids, qs[0].id)
			qs = qs[1:]
		}
		m.say(a, to, &protocol.Want{IDs: ids})
	}
}

// hearWant gives p what it asks for and we hold, as long as it is not too much for an interval. One
// that is not served will ask again, or another.
func (m *Machine) hearWant(a *Actions, p *peer, w *protocol.Want) {
	m.giveRecords(a, p, w.Records)
	if len(w.IDs)+len(w.Records) == 0 {
		m.tell(a, p)
	}
	for _, id := range w.IDs {
		e := m.live[id]
		if e == nil || p.served > 0 && p.served+len(e.u.Body) > servedPerInterval {
			continue
		}
		p.served += len(e.u.Body)
		m.log.Debug("serve", "update", id, "peer", p.id, "bytes", len(e.u.Body))
		m.say(a, p.id, e.u)
	}
}
