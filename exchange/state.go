package exchange

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// stateVersion is the version of what MarshalBinary writes. Version 1, which knew nothing of centrals, is still read.
const stateVersion = 2

// A state is what of a Machine survives a restart: all but the bodies, and the peers, who are met
// anew. It is written as JSON, everything in order, so that equal machines give equal bytes.
type state struct {
	Version int
	Self    protocol.PeerID
	Seq     uint64
	Events  uint64
	Authors []authorState
	Live    []liveState
	Trials  []protocol.UpdateID
	Worth   []worthState
	Turns   []turnState
	Records [][]byte // frames of those that skills are aligned by, and of the newest
	Aligned []Aligned
	Chose   bool `json:",omitempty"`
}

type turnState struct {
	ID   protocol.PeerID
	Term mesh.Term
}

type authorState struct {
	ID       protocol.PeerID
	Standing Standing
	Touched  uint64
	Floor    uint64
	Marks    []mark
	Dead     []uint64
}

type liveState struct {
	Announce []byte // its frame
	Age      uint64
	Verdict  protocol.Verdict
	Gain     int64
}

type worthState struct {
	Seq     uint64
	Skill   string
	Answers []answer
}

// MarshalBinary returns what of m has to survive a restart, for Restore. It does not hold the
// bodies of updates: whoever stores it stores those too, by digest.
func (m *Machine) MarshalBinary() ([]byte, error) {
	s := state{Version: stateVersion, Self: m.cfg.Self, Seq: m.seq, Events: m.events, Trials: m.trials, Chose: m.in.chose}
	for _, au := range m.authors {
		s.Authors = append(s.Authors, authorState{au.id, au.standing, au.touched, au.floor, au.marks, au.dead})
	}
	slices.SortFunc(s.Authors, func(a, b authorState) int { return cmp.Compare(a.ID, b.ID) })
	for _, id := range m.haveIDs() {
		e := m.live[id]
		frame, err := protocol.Encode(&e.u.Announce)
		if err != nil {
			return nil, fmt.Errorf("exchange: marshal %v: %w", id, err)
		}
		s.Live = append(s.Live, liveState{frame, e.age, e.verdict, e.gain})
	}
	for _, w := range m.worth {
		s.Worth = append(s.Worth, worthState{w.seq, w.skill, w.answers})
	}
	for id, t := range m.al.turns {
		s.Turns = append(s.Turns, turnState{id, t})
	}
	slices.SortFunc(s.Turns, func(a, b turnState) int { return cmp.Compare(a.ID, b.ID) })
	s.Aligned = m.Aligned()
	for _, r := range m.lasting() {
		frame, err := protocol.Encode(r.m)
		if err != nil {
			return nil, fmt.Errorf("exchange: marshal record %v: %w", r.name, err)
		}
		s.Records = append(s.Records, frame)
	}
	return json.Marshal(s)
}

// lasting are the records that survive a restart, in order; others can be asked for again.
func (m *Machine) lasting() (rs []*record) {
	names := m.told()
	for _, al := range m.al.aligned {
		names = append(names, al.Record)
	}
	slices.SortFunc(names, protocol.Digest.Compare)
	for _, name := range slices.Compact(names) {
		if r := m.al.records[name]; r != nil {
			rs = append(rs, r)
		}
	}
	slices.SortFunc(rs, (*record).compare)
	return rs
}

var errState = errors.New("exchange: restore: not the state of this machine")

// Restore brings a new Machine to the state that MarshalBinary returned. It asks bodies for the body
// of each update held; one that is not there any more is not held any more either, but is not
// folded again if it comes. Updates of another model than Config.Model are not held. On an error m
// is as new.
func (m *Machine) Restore(b []byte, bodies func(protocol.Digest) ([]byte, bool)) error {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%w: %v", errState, err)
	}
	if s.Version != stateVersion && s.Version != 1 {
		return fmt.Errorf("%w: version %d, want %d", errState, s.Version, stateVersion)
	}
	if s.Self != m.cfg.Self {
		return fmt.Errorf("%w: it belongs to %s", errState, s.Self)
	}
	if err := s.check(); err != nil {
		return err
	}
	var live []*entry
	for _, l := range s.Live {
		msg, err := protocol.Decode(l.Announce)
		if err != nil {
			return fmt.Errorf("%w: %v", errState, err)
		}
		an, ok := msg.(*protocol.Announce)
		if !ok {
			return fmt.Errorf("%w: a live %v", errState, msg.Kind())
		}
		if an.Model != m.cfg.Model {
			m.log.Info("update of another model not held any more", "update", an.ID, "skill", an.Skill)
			continue
		}
		body, ok := bodies(an.Digest)
		if !ok {
			m.log.Warn("update without its body not held any more", "update", an.ID, "skill", an.Skill)
			continue
		}
		u := &protocol.Update{Announce: *an, Body: body}
		if err := u.Verify(); err != nil {
			m.log.Warn("update not held any more", "update", an.ID, "skill", an.Skill, "reason", err)
			continue
		}
		live = append(live, &entry{u: u, tag: protocol.TagOf(u.Skill), age: l.Age, verdict: l.Verdict, gain: l.Gain})
	}

	records, err := restoreRecords(s.Records)
	if err != nil {
		return err
	}

	m.seq, m.events, m.trials, m.in.chose = s.Seq, s.Events, s.Trials, s.Chose
	for _, a := range s.Authors {
		m.authors[a.ID] = &author{a.ID, a.Standing, a.Touched, a.Floor, a.Marks, a.Dead}
	}
	for _, e := range live {
		if m.skills[skillKey{e.u.ID.Author, e.u.Skill}] == nil {
			m.put(e)
		}
	}
	for _, w := range s.Worth {
		m.worth = append(m.worth, &worth{w.Seq, w.Skill, w.Answers})
	}
	for _, t := range s.Turns {
		m.al.turns[t.ID] = t.Term
	}
	for _, al := range s.Aligned {
		m.al.aligned[al.Skill] = &al
	}
	for _, r := range records {
		if r.m.Model == m.cfg.Model {
			m.al.records[r.name] = r
			m.al.newest = max(m.al.newest, r.term())
		}
	}
	return nil
}

func restoreRecords(frames [][]byte) (rs []*record, err error) {
	for _, f := range frames {
		msg, err := protocol.Decode(f)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errState, err)
		}
		rec, ok := msg.(*protocol.Record)
		if !ok {
			return nil, fmt.Errorf("%w: a %v among the records", errState, msg.Kind())
		}
		if err := rec.Verify(); err != nil {
			return nil, fmt.Errorf("%w: %v", errState, err)
		}
		r, err := newRecord(rec)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errState, err)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// check holds a state to the bounds and the order that the rest of the package relies on.
func (s *state) check() error {
	ok := len(s.Authors) <= maxAuthors && len(s.Live) <= maxLive && len(s.Trials) <= maxTrials &&
		len(s.Worth) <= maxOwnWorth && len(s.Turns) <= maxTurns && len(s.Aligned) <= maxAlignedSet &&
		len(s.Records) <= maxAlignedSet+protocol.MaxRecords
	for _, a := range s.Authors {
		ok = ok && len(a.Marks) <= maxSkills && len(a.Dead) <= maxDead && slices.IsSorted(a.Dead) &&
			slices.IsSortedFunc(a.Marks, func(a, b mark) int { return cmp.Compare(a.Skill, b.Skill) })
	}
	for _, w := range s.Worth {
		ok = ok && len(w.Answers) <= maxJudges &&
			slices.IsSortedFunc(w.Answers, func(a, b answer) int { return cmp.Compare(a.Peer, b.Peer) })
	}
	if !ok || !slices.IsSortedFunc(s.Worth, func(a, b worthState) int { return cmp.Compare(a.Seq, b.Seq) }) {
		return fmt.Errorf("%w: out of bounds or out of order", errState)
	}
	return nil
}
