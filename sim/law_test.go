package sim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// tiny is a world that takes some hundredths of a second: six devices with small minds, who all see one another.
func tiny() Options {
	o := Options{
		Base:     speck(),
		Learning: learning.Config{Chunk: 16, Sections: 1, Neurons: 2, Rate: 0.01, Rehearse: 1, Recent: 64, Reservoir: 4, Fast: -1},
		Talk:     3 * time.Minute, Updates: 3, Degree: 6, CheckEvery: 100,
	}
	for i := range 6 {
		o.Devices = append(o.Devices, Device{Name: fmt.Sprintf("user-%d", i), Stream: chatter(rand.New(rand.NewPCG(uint64(i), 1)), 150)})
	}
	return o
}

// A mutant is a world with something wrong in it that a law forbids.
type mutant struct {
	law   string
	names string // what the error has to name: the device, where it is one's fault
	opt   func(*Options)
	wreck sabotage
	after func(*World) error // breaks a world that held, and looks
}

// mutants break every law, most of them by what a node with that mistake would do.
func mutants() []mutant {
	crashing := func(o *Options) { o.Faults = Faults{Crashes: 6, Down: 20 * time.Second} }
	// without leaves out of a journal the records of one kind, as a node would that does not write them.
	without := func(kind byte) sabotage {
		return sabotage{perform: func(_ *device, a *node.Actions) {
			a.Records = slices.DeleteFunc(a.Records, func(r []byte) bool { return r[0] == kind })
		}}
	}
	return []mutant{
		// The conversation is not in the journal: what was folded before a crash is folded again after it.
		{law: "an update is folded at most once", opt: func(o *Options) {
			crashing(o)
			o.Laws = only("an update is folded at most once")
		}, wreck: without('X')},
		{law: "what is private never leaves", names: "user-3", opt: func(o *Options) { o.Devices[3].Share = node.ShareNone },
			wreck: sabotage{config: func(i int, c *node.Config) { c.Share = node.ShareSkills }}},
		{law: "what is private never leaves", names: "user-2", // what a peer's skill is worth on the user's own text
			wreck: sabotage{config: func(i int, c *node.Config) {
				if i == 2 {
					c.Share = node.ShareAll
				}
			}}},
		// What was taken from a peer holds a number that is none.
		{law: "no number is not finite", names: "user-0", wreck: sabotage{perform: func(d *device, a *node.Actions) {
			if d.index == 0 && slices.ContainsFunc(a.Folds, func(f node.Fold) bool { return f.Verdict == protocol.Folded }) {
				l := d.node.Learner()
				b := l.Model().Banks[len(l.Skills())-1]
				b.Weights = slices.Clone(b.Weights) // others have the same
				b.Weights[7] = float32(math.NaN())
			}
		}}},
		{law: "no number is not finite", names: "user-0", after: func(w *World) error {
			w.devices[0].node.Learner().Model().Banks[0].Gate.Theta = float32(math.Inf(1))
			return w.check()
		}},
		{law: "memory is bounded", names: "user-", opt: func(o *Options) { o.Exchange.MaxHeld = 600 },
			wreck: sabotage{config: func(i int, c *node.Config) { c.Exchange.MaxHeld = 1 << 20 }}},
		{law: "memory is bounded", names: "user-2", after: func(w *World) error {
			clear(w.devices[2].sees)
			return w.devices[2].obey(&node.Actions{Send: make([]protocol.Envelope, 1)})
		}},
		// Nobody looks at signatures: whatever was forged is as if its author had signed it.
		{law: "what is forged changes nothing", names: "user-", opt: func(o *Options) {
			o.Talk = 4 * time.Minute
			for i := range o.Devices {
				o.Devices[i].Stream = chatter(rand.New(rand.NewPCG(uint64(i), 1)), 250)
			}
			for i := range 4 {
				o.Devices[i].Attack = Forge
			}
			o.Updates, o.Exchange.Interval, o.Exchange.Fanout = 6, 5*time.Second, 5
			o.Links.Loss = 0.5 // so that much has to be asked for, and is not heard from its author
		}, wreck: sabotage{trust: func(d *device, m protocol.Message) {
			if u, ok := m.(*protocol.Update); ok && d.w.byID[u.ID.Author] != nil {
				u.Digest, u.Size = protocol.Sum(u.Body), uint32(len(u.Body))
				u.Sign(d.w.byID[u.ID.Author].key)
			}
		}}},
		{law: "nothing acknowledged is lost", names: "user-", opt: crashing, wreck: without('E')},
		{law: "nothing acknowledged is lost", names: "user-", opt: crashing, wreck: without('K')},
		{law: "nothing acknowledged is lost", names: "user-", opt: crashing, wreck: without('X')},
		{law: "the ledger adds up", names: "user-4", wreck: sabotage{perform: func(d *device, a *node.Actions) {
			if d.index == 4 {
				for i := range a.Folds {
					a.Folds[i].Verdict = protocol.Harmful // so it says, and counts another
				}
			}
		}}},
		{law: "what is held is one version of each", names: "user-1", after: func(w *World) error {
			us := w.devices[1].node.Conversation().Live()
			us[0].ID, us[1].ID = us[1].ID, us[0].ID
			return w.devices[1].obey(&node.Actions{Bodies: make([][]byte, 1)})
		}},
		{law: "what is held is one version of each", names: "user-1", after: func(w *World) error {
			us := w.devices[1].node.Conversation().Live()
			us[0].Body = us[0].Body[1:]
			return w.devices[1].obey(&node.Actions{Bodies: make([][]byte, 1)})
		}},
		{law: "an own update is never let go", names: "user-5", wreck: sabotage{perform: func(d *device, a *node.Actions) {
			if d.index == 5 && d.saw.seq > 0 {
				d.node.Conversation().Withdraw(d.now(), d.opt.Name)
			}
		}}},
		{law: "no sequence stands for two updates", names: "user-2", wreck: sabotage{perform: func(d *device, a *node.Actions) {
			for _, e := range a.Send {
				if u, ok := e.Msg.(*protocol.Update); ok && d.index == 2 && u.ID.Author == d.id {
					u.ID.Seq = 1
					u.Sign(d.key)
				}
			}
		}}},
		{law: "time goes on", names: "user-3", wreck: sabotage{perform: func(d *device, a *node.Actions) {
			if d.index == 3 {
				a.Wake = d.now()
				d.wake = time.Time{}
			}
		}}},
		{law: "time goes on", names: "user-3", after: func(w *World) error {
			w.devices[3].saw.now = w.now().Add(time.Hour)
			return w.devices[3].obey(new(node.Actions))
		}},
		// Who was shunned is remembered no more after a crash, and asked again.
		{law: "who only harms ends with nobody asking", names: "user-", opt: func(o *Options) {
			*o = harmed()
			crashing(o)
			o.Laws = only("who only harms ends with nobody asking")
		}, wreck: sabotage{perform: func(d *device, a *node.Actions) {
			without('X').perform(d, a)
			if v := d.saw.verdicts[d.w.devices[3].id]; v != nil && v.harms() {
				d.turn.Ask(d.w.lookahead, d.crash)
			}
		}}},
		{law: "who only harms ends with nobody asking", names: "user-", opt: func(o *Options) { *o = harmed() },
			wreck: sabotage{perform: func(d *device, a *node.Actions) {
				for author, v := range d.saw.verdicts {
					if d.index == 0 && v.harms() {
						a.Send = append(a.Send, protocol.Envelope{From: d.id, To: d.neighbours[0].id, Msg: &protocol.Want{IDs: []protocol.UpdateID{{Author: author, Seq: 99}}}})
					}
				}
			}}},
		{law: "both halves of a partition go on", names: "half",
			opt:   func(o *Options) { o.Faults.Partitions = []Partition{{From: time.Minute, For: 150 * time.Second}} },
			wreck: sabotage{speak: func(int) bool { return true }}},
		{law: "both halves of a partition go on", names: "half",
			opt: func(o *Options) {
				o.Faults.Partitions = []Partition{{From: time.Minute, For: 150 * time.Second}}
				o.Laws = only("both halves of a partition go on")
			},
			wreck: sabotage{perform: func(d *device, a *node.Actions) {
				if slices.ContainsFunc(d.w.cuts, func(c *cut) bool { return c.active }) {
					a.Folds = nil // nobody takes anything while the mesh is divided
				}
			}}},
		{law: "after calm everyone holds the same set", names: "user-4",
			wreck: sabotage{deliver: func(to int, m protocol.Message) bool { return to == 4 && m.Kind() != protocol.KindHello }}},
		{law: "after calm everyone has merged the same", names: "user-4", opt: func(o *Options) {
			o.Exchange.Central, o.Learning.Harm = 1, 1e9 // whom something did harm need not agree
			for i := range o.Devices {
				o.Devices[i].Skill = []string{"news", "weather"}[i%2]
			}
		},
			wreck: sabotage{
				config: func(i int, c *node.Config) {
					if i == 4 {
						c.Exchange.Central = 0 // or it would merge the same by itself
					}
				},
				deliver: func(to int, m protocol.Message) bool {
					return to == 4 && slices.Contains([]protocol.Kind{protocol.KindAlign, protocol.KindRecord, protocol.KindHave}, m.Kind())
				},
			}},
		// One asks again and again for what nobody has.
		{law: "after calm the conversation becomes quiet", names: "rounds", opt: func(o *Options) { o.Devices = o.Devices[:2] },
			wreck: sabotage{perform: func(d *device, a *node.Actions) {
				if d.index == 1 && !d.saw.now.Equal(d.now()) {
					a.Send = append(a.Send, protocol.Envelope{From: d.id, To: d.w.devices[0].id, Msg: &protocol.Want{IDs: []protocol.UpdateID{{Author: d.id, Seq: 99}}}})
				}
			}}},
	}
}

// only are the laws of some names.
func only(names ...string) []Law {
	return slices.DeleteFunc(Laws(), func(l Law) bool { return !slices.Contains(names, l.Name) })
}

// harmed is a world in which all speak of one thing, and one says the opposite of what it learnt, often.
func harmed() Options {
	o := tiny()
	o.Learning.Rate, o.Learning.Harm, o.Updates = 0.03, 0.001, 12
	o.Devices = o.Devices[2:]
	for i := range o.Devices {
		o.Devices[i].Skill = "tea"
		o.Devices[i].Stream = chatter(rand.New(rand.NewPCG(3, 1)), 900)
	}
	o.Devices[3].Attack = Flip
	return o
}

// Every law notices when it is broken, and says where and when; without the mutation, each of these worlds holds.
func TestLawsNotice(t *testing.T) {
	slow(t)
	noticed, held := map[string]bool{}, false
	for i, m := range mutants() {
		t.Run(fmt.Sprint(i, " ", m.law), func(t *testing.T) {
			o := tiny()
			if m.opt != nil {
				m.opt(&o)
			}
			w, _, err := play(t, 5, o, m.wreck)
			if m.after != nil {
				if err != nil {
					t.Fatal(err)
				}
				err = m.after(w)
			} else if m.opt != nil || !held { // the plain world once
				if _, _, err := play(t, 5, o, sabotage{}); err != nil {
					t.Errorf("without a mutant: %v", err)
				}
				held = held || m.opt == nil
			}
			var b *Broken
			if !errors.As(err, &b) || b.Law != m.law || b.Seed != 5 || b.Event != w.Events() || b.At != w.Now() && b.Law != "time goes on" {
				t.Fatalf("the world says %v", err)
			}
			if strings.HasPrefix(m.names, "user") != (b.Device != "") && m.names != "" {
				t.Errorf("it was device %q", b.Device)
			}
			for _, want := range []string{"seed 5", m.law, m.names, fmt.Sprint("event ", b.Event)} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			noticed[m.law] = true
		})
	}
	for _, l := range Laws() {
		if !noticed[l.Name] {
			t.Errorf("nothing here breaks the law %q", l.Name)
		}
	}
}

// What a broken law says is enough to see it again, and no more happens then; one thing less, and it does not.
func TestABrokenLawIsSeenAgain(t *testing.T) {
	o := tiny()
	o.Faults = Faults{Crashes: 6, Down: 20 * time.Second}
	wreck := sabotage{perform: func(_ *device, a *node.Actions) {
		a.Records = slices.DeleteFunc(a.Records, func(r []byte) bool { return r[0] == 'E' })
	}}
	_, first, err := play(t, 5, o, wreck)
	var b *Broken
	if !errors.As(err, &b) || b.Calm {
		t.Fatal(err)
	}
	o.Until = b.Event
	_, again, err := play(t, 5, o, wreck)
	if err == nil || err.Error() != b.Error() || first != again {
		t.Errorf("again: %v, want %v", err, b)
	}
	o.Until = b.Event - 1
	w, before, err := play(t, 5, o, wreck)
	if !errors.Is(err, ErrUntil) || w.Events() != b.Event-1 || !strings.HasPrefix(first, before) {
		t.Errorf("one thing less: %v after %d", err, w.Events())
	}
}
