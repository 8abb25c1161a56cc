package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/protocol"
)

// A skill that answers with a class, or with what to do, is a knack: see [learning.Knack]. The owner shows it examples in the place of saying
// something. To the conversation it is a skill like every other: it is announced on the owner's terms, tried where it comes, and regretted if
// it turns out to do harm. Its name belongs to it or to a text skill, and not to both.

const (
	// maxKnacks is of how many names lessons are taken in.
	maxKnacks = 256
	// knackRest is how long nothing has to be shown for what was shown last to be announced, however little it is.
	knackRest = 2 * time.Minute
	// knackGrowth is by which share more must have been shown to be announced before that: all versions together are then no longer than three
	// of the last one.
	knackGrowth = 2
)

// ErrKind is returned where a text skill of the owner's has the name that a knack was to have, or the other way round.
var ErrKind = errors.New("node: the owner has a skill of another kind under that name")

// Knack returns what is known under a name that answers with a class or with what to do; nil if nothing is. It belongs to the node: who changes it
// otherwise than through the node loses the change on restart.
func (n *Node) Knack(skill string) *learning.Knack {
	if i, ok := n.findKnack(skill); ok {
		return n.knacks[i]
	}
	return nil
}

// Knacks lists them, by name. The caller does not change them.
func (n *Node) Knacks() []*learning.Knack { return n.knacks }

func (n *Node) findKnack(skill string) (int, bool) {
	return slices.BinarySearchFunc(n.knacks, skill, func(k *learning.Knack, name string) int { return strings.Compare(k.Name(), name) })
}

// ownKnack is the knack of that name if the owner has shown something of it.
func (n *Node) ownKnack(skill string) *learning.Knack {
	if k := n.Knack(skill); k != nil && k.Own() > 0 {
		return k
	}
	return nil
}

// Show takes in examples that the owner names: x is (len(labels), inputs), each number from −1 to 1. They are learnt into the skill of that name, and
// what peers taught of it is tried on them now and then.
func (n *Node) Show(now time.Time, skill string, inputs int, x []float32, labels []string) (a Actions, err error) {
	b := learning.Whole(x)
	if err := n.show(skill, inputs, b, labels); err != nil {
		return a, err
	}
	a.Records = append(a.Records, record(recShow, []byte(skill), shapeOf(inputs), texts(labels), b))
	n.shown(now, &a, skill)
	return a, nil
}

// Follow takes in examples of what the owner did: x is (n, inputs) and u is (n, len(names)), what each control of these names was then, from −1 to 1.
func (n *Node) Follow(now time.Time, skill string, inputs int, x []float32, names []string, u []float32) (a Actions, err error) {
	b, does := learning.Whole(x), learning.Whole(u)
	if err := n.follow(skill, inputs, b, names, does); err != nil {
		return a, err
	}
	a.Records = append(a.Records, record(recFollow, []byte(skill), shapeOf(inputs), texts(names), b, does))
	n.shown(now, &a, skill)
	return a, nil
}

func shapeOf(inputs int) []byte { return binary.AppendUvarint(nil, uint64(inputs)) }

// show and follow are the same live and in a replay: they take what the record has.
func (n *Node) show(skill string, inputs int, x []byte, labels []string) error {
	return n.teach(skill, inputs, false, func(k *learning.Knack) error { return k.Show(learning.FromWhole(x), labels) })
}

func (n *Node) follow(skill string, inputs int, x []byte, names []string, u []byte) error {
	return n.teach(skill, inputs, true, func(k *learning.Knack) error { return k.Follow(learning.FromWhole(x), names, learning.FromWhole(u)) })
}

// teach has the owner teach a knack, a new one if need be. What peers taught in another shape than his has to go: it is of no use to him.
func (n *Node) teach(skill string, inputs int, controls bool, take func(*learning.Knack) error) error {
	if n.learner.Skill("", skill) != nil {
		return fmt.Errorf("%w: %s was taught as text", ErrKind, skill)
	}
	k := n.Knack(skill)
	switch {
	case k == nil || k.Own() == 0 && (k.Inputs() != inputs || k.Controls() != controls):
		fresh, err := n.newKnack(learning.KnackConfig{Name: skill, Inputs: inputs, Controls: controls})
		if err != nil {
			return err
		}
		k = fresh
	case k.Inputs() != inputs:
		return fmt.Errorf("node: skill %s: %d inputs: its examples have %d", skill, inputs, k.Inputs())
	}
	if err := take(k); err != nil {
		return err
	}
	n.keepKnack(k)
	return nil
}

// newKnack returns a knack of this device's.
func (n *Node) newKnack(c learning.KnackConfig) (*learning.Knack, error) {
	c.Features, c.Harm = n.cfg.Learning.Features, n.cfg.Learning.Harm
	return learning.NewKnack(c)
}

// keepKnack puts a knack in the place of the one that has its name.
func (n *Node) keepKnack(k *learning.Knack) {
	i, ok := n.findKnack(k.Name())
	if !ok {
		n.knacks = slices.Insert(n.knacks, i, k)
	}
	n.knacks[i] = k
}

// shown tells the conversation what came of being shown something.
func (n *Node) shown(now time.Time, a *Actions, skill string) {
	k := n.Knack(skill)
	n.regretAll(now, a, k.TakeFailures())
	last := n.published[skill]
	n.publishKnack(now, a, k, max(n.cfg.PublishExamples, last/knackGrowth))
	n.restKnacks(now)
	n.wakeKnacks(a)
}

// restKnacks has what is left to announce announced when nothing more is shown.
func (n *Node) restKnacks(now time.Time) {
	n.due = time.Time{}
	for _, k := range n.knacks {
		if k.Own() > 0 && n.sharesOn(n.KnackTerms(k)) && uint64(k.Own()) > n.published[k.Name()] {
			n.due = now.Add(knackRest)
		}
	}
}

func (n *Node) wakeKnacks(a *Actions) {
	if !n.due.IsZero() && (a.Wake.IsZero() || n.due.Before(a.Wake)) {
		a.Wake = n.due
	}
}

// tickKnacks announces what rests.
func (n *Node) tickKnacks(now time.Time, a *Actions) {
	if n.due.IsZero() {
		n.restKnacks(now) // after a restart
	} else if !now.Before(n.due) {
		n.publishKnacks(now, a)
		n.due = time.Time{}
	}
	n.wakeKnacks(a)
}

// publishKnacks announces every knack of which anything was shown since it was announced last.
func (n *Node) publishKnacks(now time.Time, a *Actions) {
	for _, k := range n.knacks {
		n.publishKnack(now, a, k, 1)
	}
}

// publishKnack announces a knack of which at least so many examples were shown since the last time.
func (n *Node) publishKnack(now time.Time, a *Actions, k *learning.Knack, examples uint64) {
	name, own := k.Name(), uint64(k.Own())
	if own == 0 || !n.sharesOn(n.KnackTerms(k)) || own < n.published[name]+max(examples, 1) {
		return
	}
	body, err := k.Lesson()
	if err != nil {
		n.cfg.Log.Warn("skill not announced", "skill", name, "err", err)
		return
	}
	if n.spent[name] < bare {
		n.spend(name, bare, a) // there is no noise in it
	}
	u := n.seal(now, protocol.Announce{Skill: name, Sections: 1, Events: own, Gain: micro(k.Gain)}, body)
	n.published[name] = own
	a.Bodies = append(a.Bodies, u.Body)
	n.cfg.Log.Info("announce", "update", u.ID, "skill", name, "bytes", len(body), "examples", own)
	n.converse(now, a, n.exchange.Offer(now, u))
}

// foldLesson tries what a peer teaches of a knack. It depends on the mind and the body alone, so that a replay decides alike.
func (n *Node) foldLesson(author protocol.PeerID, body []byte) (f Fold) {
	l, err := learning.DecodeLesson(body)
	if err != nil {
		return Fold{Verdict: protocol.Refused, Reason: err.Error()}
	}
	c := l.Shape()
	k := n.Knack(c.Name)
	if k == nil {
		k, err = n.newKnack(c)
		if err == nil && len(n.knacks) >= maxKnacks {
			err = fmt.Errorf("node: %d skills of this kind are here already", maxKnacks)
		}
	}
	if err != nil {
		return Fold{Skill: c.Name, Verdict: protocol.Refused, Reason: err.Error()}
	}
	f = n.foldIn(func() (float64, error) { return k.Fold(string(author), l) })
	f.Skill = c.Name
	if f.Verdict == protocol.Folded {
		n.keepKnack(k)
		if n.learner.Skill(string(author), c.Name) != nil { // which he has taught as text before
			_ = n.learner.Forget(string(author), c.Name)
		}
	}
	return f
}

// forget removes a skill of either kind, a peer's if author is not empty.
func (n *Node) forget(author, name string) error {
	k := n.Knack(name)
	if k == nil || n.learner.Skill(author, name) != nil {
		return n.learner.Forget(author, name)
	}
	if err := k.Forget(author); err != nil {
		return err
	}
	if k.Own() == 0 && len(k.Authors()) == 0 {
		i, _ := n.findKnack(name)
		n.knacks = slices.Delete(n.knacks, i, i+1)
	}
	return nil
}

// has reports whether there is a skill of either kind.
func (n *Node) has(author, name string) bool {
	if n.learner.Skill(author, name) != nil {
		return true
	}
	k := n.Knack(name)
	return k != nil && (author == "" && k.Own() > 0 || author != "" && slices.Contains(k.Authors(), author))
}

// KnackTerms is on what terms what the owner showed of a knack leaves the device, as Terms is of a text skill.
func (n *Node) KnackTerms(k *learning.Knack) Terms {
	return n.termsOf(k.Name(), k.Own() > 0, false, false)
}

// SharesKnack reports whether what the owner showed of a knack leaves the device now.
func (n *Node) SharesKnack(k *learning.Knack) bool { return k.Own() > 0 && n.sharesOn(n.KnackTerms(k)) }

// ToldKnack is what is known by now of what the owner showed, as Told is of a text skill.
func (n *Node) ToldKnack(k *learning.Knack) Told { return n.toldOf(k.Name(), n.KnackTerms(k)) }

// checkKnackTerms says why a knack cannot be on such terms. Its sums are exact: noise enough to hide an example would hide all of them, and
// the mesh's sums are of vectors of another length and meaning.
func checkKnackTerms(t Terms) error {
	if t.Sum || t.Bounded() {
		return errors.New("node: a skill that answers with a class or with what to do is private, for the swarm or public: it has no budget, and is no term of a sum")
	}
	return nil
}

// texts writes a list of texts as one part of a record.
func texts(list []string) (b []byte) {
	for _, s := range list {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func readTexts(b []byte) (list []string, err error) {
	for len(b) > 0 {
		size, k := binary.Uvarint(b)
		if k <= 0 || size > uint64(len(b)-k) {
			return nil, errRecord
		}
		list = append(list, string(b[k:k+int(size)]))
		b = b[k+int(size):]
	}
	return list, nil
}

// replayShown applies what Show or Follow wrote.
func (n *Node) replayShown(ps [][]byte) error {
	inputs, k := binary.Uvarint(ps[1])
	list, err := readTexts(ps[2])
	if k != len(ps[1]) || inputs > 1<<31-1 || err != nil {
		return errRecord
	}
	if len(ps) == 4 {
		err = n.show(string(ps[0]), int(inputs), ps[3], list)
	} else {
		err = n.follow(string(ps[0]), int(inputs), ps[3], list, ps[4])
	}
	if err == nil {
		n.Knack(string(ps[0])).TakeFailures() // the conversation that was written down knows of them
	}
	return err
}

// rouse brings back the lessons of a node that was read from a snapshot.
func (n *Node) rouse(body func(protocol.Digest) ([]byte, bool)) {
	if !n.asleep {
		return
	}
	n.asleep = false
	for _, k := range n.knacks {
		k.Wake(func(d [32]byte) ([]byte, bool) { return body(d) })
	}
}
