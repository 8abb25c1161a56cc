package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/protocol"
)

// mergeRule is counted up whenever learning.Merge, or what is here, comes to another result for the same versions: whoever
// merges otherwise must not be taken for a liar.
const mergeRule = 1

// A merging is what came of a set of versions.
type merging struct {
	inputs  []mergeInput
	delta   *learning.Delta
	authors []string // whose versions went in
}

// A mergeInput is a version in a set, as the journal names it.
type mergeInput struct {
	Author protocol.PeerID `json:"author"`
	Seq    uint64          `json:"seq"`
	Made   int64           `json:"made"`
	Digest protocol.Digest `json:"digest"` // of its body
}

var errFew = errors.New("node: fewer than two versions can be merged")

// merge makes one skill of many versions of it. It depends on nothing but them, so every device comes to the same.
func (n *Node) merge(skill string, inputs []mergeInput, body func(int) ([]byte, error)) (*merging, error) {
	c, base := n.learner.Base().Config, n.learner.Fingerprint()
	var set []learning.Contribution
	for i, in := range inputs {
		b, err := body(i)
		if err != nil {
			return nil, err
		}
		d, err := learning.DecodeDelta(b, c, base)
		if err != nil || d.Name != skill {
			continue // it is of no use to anybody
		}
		set = append(set, learning.Contribution{Author: string(in.Author), Seq: in.Seq, Made: in.Made, Delta: d})
	}
	d, rep, err := learning.Merge(c, base, set)
	if err != nil {
		return nil, err
	}
	if len(rep.Counted) < 2 {
		return nil, errFew
	}
	m := &merging{inputs: inputs, delta: d}
	for _, x := range rep.Counted {
		m.authors = append(m.authors, x.Author)
	}
	return m, nil
}

// mergeUpdates merges updates, or remembers what came of it when it was our turn.
func (n *Node) mergeUpdates(mg exchange.Merge) (*merging, error) {
	inputs := make([]mergeInput, len(mg.Inputs))
	for i, u := range mg.Inputs {
		inputs[i] = mergeInput{u.ID.Author, u.ID.Seq, u.Made, u.Digest}
	}
	for i, m := range n.merged {
		if slices.Equal(m.inputs, inputs) {
			n.merged = slices.Delete(n.merged, i, i+1) // whoever folds it owns it
			return m, nil
		}
	}
	return n.merge(mg.Skill, inputs, func(i int) ([]byte, error) { return mg.Inputs[i].Body, nil })
}

// foldMerged merges as a record says and, if that is right, tries what came of it.
func (n *Node) foldMerged(now time.Time, a *Actions, mg exchange.Merge) exchange.Actions {
	m, err := n.mergeUpdates(mg)
	var sum protocol.Digest
	if err == nil {
		sum = m.delta.Sum()
	} else {
		n.cfg.Log.Info("not merged", "record", mg.Record, "skill", mg.Skill, "err", err)
	}
	fold, x := n.exchange.Merged(now, mg, sum, err == nil)
	if !fold {
		return x
	}
	inputs, err := json.Marshal(m.inputs)
	if err != nil {
		panic(err) // strings and numbers
	}
	a.Records = append(a.Records, record(recMerge, []byte(mg.Skill), inputs))
	f := n.foldIn(func() (float64, error) { return n.learner.FoldMerged(m.delta, m.authors) })
	f.Skill, f.Merged = mg.Skill, len(m.authors)
	a.Folds = append(a.Folds, f)
	return joinActions(x, n.exchange.Tried(now, mg, f.Verdict, micro(f.Gain)))
}

// replayMerge does again what foldMerged did.
func (n *Node) replayMerge(skill string, list []byte, body func(protocol.Digest) ([]byte, error)) error {
	var inputs []mergeInput
	if err := json.Unmarshal(list, &inputs); err != nil {
		return fmt.Errorf("%w: %v", errRecord, err)
	}
	m, err := n.merge(skill, inputs, func(i int) ([]byte, error) { return body(inputs[i].Digest) })
	if err != nil {
		return fmt.Errorf("node: replay: skill %s of %d versions: %w", skill, len(inputs), err)
	}
	n.foldIn(func() (float64, error) { return n.learner.FoldMerged(m.delta, m.authors) })
	return nil
}

// takeTurn does the work of a central: it merges, and signs what came of it.
func (n *Node) takeTurn(now time.Time, t *exchange.Turn) (x exchange.Actions) {
	n.merged = nil
	al := new(protocol.Alignment)
	for _, mg := range t.Merges {
		m, err := n.mergeUpdates(mg)
		if err != nil {
			n.cfg.Log.Info("not aligned", "skill", mg.Skill, "err", err)
			continue
		}
		n.merged = append(n.merged, m)
		s := protocol.Aligned{Skill: mg.Skill, Result: m.delta.Sum()}
		for _, u := range mg.Inputs {
			s.Inputs = append(s.Inputs, protocol.Input{ID: u.ID, Digest: u.Name()})
		}
		al.Skills = append(al.Skills, s)
	}
	if len(al.Skills) == 0 {
		return x
	}
	body, err := protocol.EncodeAlignment(al)
	if err != nil {
		n.cfg.Log.Warn("nothing aligned", "err", err)
		return x
	}
	r := &protocol.Record{Body: body, Align: protocol.Align{
		Author: n.self, Model: protocol.Digest(n.learner.Fingerprint()), Term: uint64(t.Term), Rank: t.Rank, Rule: mergeRule,
		Members: t.Members, Parents: t.Parents, Digest: protocol.Sum(body), Size: uint32(len(body)),
	}}
	r.Sign(n.cfg.Key)
	return n.exchange.Act(now, r)
}

// joinActions is first what x wants done and then what y does.
func joinActions(x, y exchange.Actions) exchange.Actions {
	x.Send = append(x.Send, y.Send...)
	x.Fold = append(x.Fold, y.Fold...)
	x.Drop = append(x.Drop, y.Drop...)
	x.Merge = append(x.Merge, y.Merge...)
	if y.Turn != nil {
		x.Turn = y.Turn
	}
	if !y.Wake.IsZero() {
		x.Wake = y.Wake
	}
	return x
}
