package node

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/learning/privacy"
)

// A Policy is who may have a skill.
type Policy string

const (
	Private Policy = "private" // nobody
	Swarm   Policy = "swarm"   // whoever is admitted to the swarm, as long as the mesh is closed to all others
	Public  Policy = "public"  // whoever is on the mesh
)

// Terms are the owner's word on one skill: who may have it, and what it may tell of what it was learnt from.
type Terms struct {
	Policy Policy `json:"policy"`

	// Sum lets a skill that is private otherwise be a hidden term of a sum within the swarm. An earlier program
	// reads such terms as private.
	Sum    bool   `json:"sum,omitempty"`
	Summed uint64 `json:"summed,omitempty"` // how many events it had been learnt from when it was a term last; the node counts it

	// Epsilon and Delta bound what all versions together tell, in terms of differential privacy: see package
	// privacy. The two minds that nobody shall be able to tell apart are one that learnt the skill from what this
	// owner said and one that learnt it from as many events of anything else. Both zero for no bound.
	Epsilon float64 `json:"epsilon,omitempty"`
	Delta   float64 `json:"delta,omitempty"`

	Versions int     `json:"versions,omitempty"` // among which the bound is divided. If zero, 4
	Clip     float64 `json:"clip,omitempty"`     // how long a change of a skill's weights may be. If zero, learning.VeilClip
}

// Bounded reports whether the terms bound what is told.
func (t Terms) Bounded() bool { return t.Epsilon > 0 }

// usualDelta is the δ of what is said where the owner named none.
const usualDelta = 1e-5

// maxVersions bounds among how many versions a bound is divided.
const maxVersions = 1 << 16

// Check reports what is wrong with the terms.
func (t Terms) Check() error {
	switch {
	case t.Policy != Private && t.Policy != Swarm && t.Policy != Public:
		return fmt.Errorf("node: policy %q: must be private, swarm or public", t.Policy)
	case t.Sum && (t.Policy != Private || t.Epsilon != 0):
		return fmt.Errorf("node: a skill for a sum is private otherwise, and has no epsilon")
	case t.Epsilon == 0 && (t.Delta != 0 || t.Versions != 0 || t.Clip != 0):
		return fmt.Errorf("node: a delta, versions or a clip without an epsilon: name one")
	case t.Epsilon == 0:
		return nil
	case !(t.Epsilon > 0 && t.Epsilon <= maxEpsilon) || !(t.Delta > 0 && t.Delta <= 0.01):
		return fmt.Errorf("node: epsilon %v and delta %v: epsilon is above 0 and at most %g, delta above 0 and at most 0.01", t.Epsilon, t.Delta, maxEpsilon)
	case t.Versions < 0 || t.Versions > maxVersions || !(t.Clip >= 0 && t.Clip <= 1e6):
		return fmt.Errorf("node: %d versions and a clip of %v: out of range", t.Versions, t.Clip)
	}
	return nil
}

// maxEpsilon is far beyond what promises anything; experiments go there to show what noise does.
const maxEpsilon = 1e9

func (t Terms) withDefaults() Terms {
	if t.Bounded() {
		if t.Versions == 0 {
			t.Versions = 4
		}
		if t.Clip == 0 {
			t.Clip = learning.VeilClip
		}
	}
	return t
}

// each is what one version may cost, of the bound that all may.
func (t Terms) each() privacy.Cost {
	return privacy.Afford(t.Epsilon, t.Delta) / privacy.Cost(t.Versions)
}

// bare is what a skill has told that was announced without noise: there is no bound to it. It is no infinity, for those
// cannot be written down as JSON.
const bare privacy.Cost = math.MaxFloat64

// Told is what of a skill's past has left the device so far.
type Told struct {
	Epsilon float64 // that holds for all that was announced; infinite if some of it was without noise
	Delta   float64 // with this δ: the terms', or 1e-5
	Left    int     // how many versions the budget is good for yet
}

// SetTerms is the owner's word on one skill.
func (n *Node) SetTerms(now time.Time, name string, t Terms) (a Actions, err error) {
	if !n.has("", name) {
		return a, fmt.Errorf("node: no skill %q of our own", name)
	}
	if err := t.Check(); err != nil {
		return a, err
	}
	if n.ownKnack(name) != nil {
		if err := checkKnackTerms(t); err != nil {
			return a, err
		}
	}
	t = t.withDefaults()
	t.Summed = n.terms[name].Summed
	b, err := json.Marshal(t)
	if err != nil {
		return a, fmt.Errorf("node: terms of skill %s: %w", name, err)
	}
	was := n.ownTerms(name)
	a.Records = append(a.Records, record(recTerms, b, []byte(name)))
	n.agree(name, t)
	if n.sharesOn(was) && !was.Bounded() && t.Bounded() || !n.sharesOn(t) {
		n.withdraw(now, &a, name)
	}
	n.publish(now, &a, 1)
	n.publishKnacks(now, &a)
	return a, nil
}

// SetShared lets a skill leave the device, or not. One that has terms to leave on keeps them, and one that was announced within a
// budget leaves without one on no such general word.
func (n *Node) SetShared(now time.Time, name string, shared bool) (a Actions, err error) {
	if !shared {
		return n.SetTerms(now, name, Terms{Policy: Private})
	}
	t, ok := n.terms[name]
	switch spent := n.spent[name]; {
	case ok && t.Policy != Private:
		return n.SetTerms(now, name, t)
	case spent > 0 && spent < bare:
		return a, fmt.Errorf("node: skill %q was announced within a budget: set its terms anew, with one or without", name)
	}
	return n.SetTerms(now, name, Terms{Policy: Public})
}

func (n *Node) agree(name string, t Terms) {
	n.terms[name] = t
	if s := n.learner.Skill("", name); s != nil {
		s.Shared = t.Policy == Public
	}
}

// ownTerms are those of a skill of our own, of either kind.
func (n *Node) ownTerms(name string) Terms {
	if s := n.learner.Skill("", name); s != nil {
		return n.Terms(s)
	}
	return n.termsOf(name, n.ownKnack(name) != nil, false, false)
}

func (n *Node) withdraw(now time.Time, a *Actions, name string) {
	delete(n.published, name)
	n.converse(now, a, n.exchange.Withdraw(now, name))
}

// Terms is on what terms a skill leaves the device: the owner's word on it, or what Config.Share says of such skills.
func (n *Node) Terms(s *learning.Skill) Terms { return n.termsOf(s.Name, s.Own(), s.Shared, s.Grown()) }

func (n *Node) termsOf(name string, own, shared, grown bool) Terms {
	if !own {
		return Terms{Policy: Private}
	}
	if t, ok := n.terms[name]; ok {
		return t
	}
	if shared || n.cfg.Share == ShareAll || n.cfg.Share == ShareSkills && !grown {
		return Terms{Policy: Public}
	}
	return Terms{Policy: Private}
}

// Shares reports whether a skill leaves the device now: one that is for the swarm does on no mesh that others may join.
func (n *Node) Shares(s *learning.Skill) bool { return s.Own() && n.sharesOn(n.Terms(s)) }

// sharesOn reports whether what is on such terms leaves the device now.
func (n *Node) sharesOn(t Terms) bool {
	return t.Policy == Public || t.Policy == Swarm && n.cfg.Swarm != ""
}

// Told is what is known by now of what a skill was learnt from, by all that was ever announced of that name.
func (n *Node) Told(s *learning.Skill) Told { return n.toldOf(s.Name, n.Terms(s)) }

func (n *Node) toldOf(name string, t Terms) Told {
	spent := n.spent[name]
	switch {
	case spent == 0 && !t.Bounded():
		return Told{}
	case spent >= bare:
		return Told{Epsilon: math.Inf(1)}
	case !t.Bounded():
		return Told{Epsilon: privacy.Epsilon(spent, usualDelta), Delta: usualDelta}
	}
	left := float64(privacy.Afford(t.Epsilon, t.Delta)-spent) / float64(t.each())
	return Told{Epsilon: privacy.Epsilon(spent, t.Delta), Delta: t.Delta, Left: max(0, int(left+1e-6))}
}

// ready reports whether a skill may be announced, now that it has learnt from so many events since the last time.
// A budget is not spent on versions that are nearly alike: it waits until twice as much was learnt.
func (n *Node) ready(s *learning.Skill, last, events uint64) bool {
	t := n.Terms(s)
	if !n.Shares(s) || s.Events < last+max(events, 1) || t.Bounded() && s.Events < 2*last {
		return false
	}
	if !t.Bounded() {
		return true
	}
	why := ""
	switch spent := n.spent[s.Name]; {
	case n.cfg.Chance == nil:
		why = "there is no chance to draw noise from"
	case spent >= bare:
		why = "it was announced without noise before: teach it under another name"
	case n.Told(s).Left == 0:
		why = fmt.Sprintf("its budget of ε %g at δ %g is spent: only its owner can raise it", t.Epsilon, t.Delta)
	}
	if why != "" {
		if !n.stopped[s.Name] {
			n.cfg.Log.Warn("skill announced no more", "skill", s.Name, "reason", why)
		}
		n.stopped[s.Name] = true
		return false
	}
	delete(n.stopped, s.Name)
	return true
}

// veil makes a delta one that tells as little as the owner's terms say, and pays for it. What it costs is in a record,
// which is on the disk before anything is sent.
func (n *Node) veil(s *learning.Skill, d *learning.Delta, a *Actions) (*learning.Delta, error) {
	t := n.Terms(s)
	if !t.Bounded() {
		if n.spent[s.Name] < bare {
			n.spend(s.Name, bare, a)
		}
		return d, nil
	}
	each := t.each()
	v, err := d.Veil(n.learner.Base(), learning.Veil{Clip: t.Clip, Deviation: privacy.Deviation(learning.VeilSensitivity, each)}, n.cfg.Chance)
	if err != nil {
		return nil, err
	}
	v.Gain = 0 // which was measured on what he keeps
	if v.Events > 0 {
		v.Events = 1 << math.Ilogb(float64(v.Events)) // how much it was, and not how many bytes
	}
	n.spend(s.Name, each, a)
	told := n.Told(s)
	n.cfg.Log.Info("noise", "skill", s.Name, "epsilon", told.Epsilon, "delta", t.Delta, "of", t.Epsilon, "versions left", told.Left)
	return v, nil
}

func (n *Node) spend(name string, c privacy.Cost, a *Actions) {
	n.spent[name] = min(n.spent[name]+c, bare)
	a.Records = append(a.Records, record(recSpent, binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(n.spent[name]))), []byte(name)))
}

// replayTerms and replaySpent apply what SetTerms and spend wrote.
func (n *Node) replayTerms(b []byte, name string) error {
	var t Terms
	if json.Unmarshal(b, &t) != nil || t.Check() != nil {
		return errRecord
	}
	if n.has("", name) {
		n.agree(name, t)
	}
	return nil
}

func (n *Node) replaySpent(b []byte, name string) error {
	if len(b) != 8 {
		return errRecord
	}
	c := privacy.Cost(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	if !(c >= 0 && c <= bare) {
		return errRecord
	}
	n.spent[name] = c
	return nil
}

// moved notes which swarm's mesh the node talks on, once that is worth remembering.
func (n *Node) moved(a *Actions) {
	if n.swarm != n.cfg.Swarm {
		n.swarm = n.cfg.Swarm
		a.Records = append(a.Records, record(recSwarm, []byte(n.swarm)))
	}
}

// arrive ends a restart. What others said among themselves, in a swarm that this node is not in any more, it
// tells nobody; and what of its own skills left the device before that was counted, left it without noise.
func (n *Node) arrive() {
	if n.swarm != "" && n.swarm != n.cfg.Swarm {
		n.exchange.Leave()
	}
	for _, w := range n.exchange.Worth() {
		if n.spent[w.Skill] == 0 {
			n.spent[w.Skill] = bare
		}
	}
	var now time.Time
	moved := n.swarm != "" && n.swarm != n.cfg.Swarm
	for _, u := range slices.Clone(n.exchange.Live()) {
		if u.ID.Author == n.self && moved && !n.has("", u.Skill) {
			n.exchange.Withdraw(now, u.Skill) // the mean of a sum of that swarm's
		}
	}
	for _, s := range n.learner.Skills() {
		if s.Own() && !n.Shares(s) && (moved || !n.Terms(s).Sum || n.cfg.Swarm == "") {
			delete(n.published, s.Name)
			n.exchange.Withdraw(now, s.Name) // it only drops: nobody is there to be told
		}
	}
	for _, k := range n.knacks {
		if k.Own() > 0 && !n.SharesKnack(k) {
			delete(n.published, k.Name())
			n.exchange.Withdraw(now, k.Name())
		}
	}
}
