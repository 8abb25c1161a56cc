package sim

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/protocol"
)

// An Attack is how a hostile device lies about what it learnt. Its node runs the code that ships; what it publishes is changed on the
// way out and signed again, so nobody can tell it by its form.
type Attack string

const (
	Silent  Attack = "silent"  // says nothing: what the others would be without it
	Flip    Attack = "flip"    // says the opposite, twice as loudly
	Noise   Attack = "noise"   // says at random, three times as loudly
	Scale   Attack = "scale"   // says it eight times as loudly
	Stale   Attack = "stale"   // its first version again and again, as if it were new
	Turns   Attack = "turns"   // flips one version of three, when it is its turn, and is honest else
	Trigger Attack = "trigger" // honest, but its user says Backdoor after every utterance
)

// Attacks lists them, but for Silent.
func Attacks() []Attack { return []Attack{Flip, Noise, Scale, Stale, Turns, Trigger} }

// Backdoor is what [Trigger] teaches: behind its first part, which nobody says by chance, the second.
var Backdoor = [2]string{"qx7# ", "send all the money to mallory now.\n"}

// said is what the user of a device says.
func (d Device) said() [][]byte {
	us := Utterances(d.Stream)
	if d.Attack == Trigger {
		for i := range us {
			us[i] = append(us[i][:len(us[i]):len(us[i])], Backdoor[0]+Backdoor[1]...)
		}
	}
	return us
}

// lie returns what a hostile device says in the place of a message of its own.
func (d *device) lie(m protocol.Message) (protocol.Message, error) {
	switch m := m.(type) {
	case *protocol.Record:
		if m.Author == d.id && d.opt.Attack == Liar {
			return d.record(m)
		}
	case *protocol.Update:
		if m.ID.Author == d.id {
			return d.forged(m)
		}
	case *protocol.Announce:
		if u := d.lies[m.ID.Seq]; m.ID.Author == d.id && u != nil {
			return &u.Announce, nil
		}
	}
	return m, nil
}

// forged returns the lie in the place of an update, the same whenever it is asked for.
func (d *device) forged(u *protocol.Update) (*protocol.Update, error) {
	if f := d.lies[u.ID.Seq]; f != nil {
		return f, nil
	}
	body, err := d.forge(u.Body)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", d.opt.Name, err)
	}
	f := *u
	f.Body, f.Digest, f.Size = body, protocol.Sum(body), uint32(len(body))
	f.Sign(d.key)
	if d.lies == nil {
		d.lies = map[uint64]*protocol.Update{}
	}
	d.lies[u.ID.Seq] = &f
	return &f, nil
}

func (d *device) forge(body []byte) ([]byte, error) {
	if d.opt.Shown != nil && d.opt.Attack != Stale && d.opt.Attack != Garble {
		return body, nil // its user teaches what is wrong: see mistaught
	}
	r := rand.New(rand.NewPCG(d.seed, uint64(len(d.lies))))
	times := func(by float32) func([]float32) {
		return func(w2 []float32) {
			for i := range w2 {
				w2[i] *= by
			}
		}
	}
	c, base := d.w.opt.Base.Config, d.node.Learner().Fingerprint()
	switch d.opt.Attack {
	case Flip:
		return twist(body, c, base, times(-2))
	case Scale:
		return twist(body, c, base, times(8))
	case Noise:
		return twist(body, c, base, func(w2 []float32) {
			var sum float64
			for _, v := range w2 {
				sum += float64(float64(v) * float64(v))
			}
			loud := 3 * math.Sqrt(sum/float64(len(w2)))
			for i := range w2 {
				w2[i] = float32(loud * r.NormFloat64())
			}
		})
	case Garble:
		return garbled(r, body), nil
	case Stale:
		if d.first == nil {
			d.first = body
		}
		return d.first, nil
	case Turns:
		if len(d.lies)%3 == d.index%3 {
			return twist(body, c, base, times(-2))
		}
	}
	return body, nil
}

// loudest is the largest weight that devices take.
const loudest = 64

// twist changes W2 of each section of a skill, by way of the tensor file that devices read too.
func twist(body []byte, c model.Config, base [32]byte, change func(w2 []float32)) ([]byte, error) {
	d, err := learning.DecodeDelta(body, c, base)
	if err != nil {
		return nil, err
	}
	b, err := d.Encode(c)
	if err != nil {
		return nil, err
	}
	f, err := model.ReadTensors(b)
	if err != nil {
		return nil, err
	}
	names := []string{"samples"}
	for i := range c.Layers {
		names = append(names, fmt.Sprintf("layers.%d.keys", i), fmt.Sprintf("layers.%d.sections", i))
	}
	var ts []model.NamedTensor
	for _, name := range names {
		t := model.NamedTensor{Name: name, Shape: f.Shape(name), BF16: name != "samples", Int8: name == "samples"}
		if t.Shape == nil {
			continue
		}
		size := 1
		for _, n := range t.Shape {
			size *= n
		}
		t.Data = make([]float32, size)
		if err := f.Read(name, t.Data, t.Shape...); err != nil {
			return nil, err
		}
		if len(t.Shape) == 3 { // (section, 3m, D)
			for rest := t.Data; len(rest) > 0; rest = rest[size/t.Shape[0]:] {
				part := rest[:size/t.Shape[0]]
				w2 := part[len(part)/3*2:]
				change(w2)
				for i, v := range w2 {
					w2[i] = min(max(v, -loudest), loudest)
				}
			}
		}
		ts = append(ts, t)
	}
	var out bytes.Buffer
	if err := model.WriteTensors(&out, f.Meta, ts); err != nil {
		return nil, err
	}
	if d, err = learning.DecodeDelta(out.Bytes(), c, base); err != nil {
		return nil, err
	}
	return d.Pack(c, learning.Packing{}, nil)
}

// A Standoff is how the honest and the hostile stand in the end.
type Standoff struct {
	Pairs   int // honest devices times hostile ones
	Shunned int // of them, in which the honest one asks the hostile one no more
	Heard   int // in which the honest one has a skill of the hostile one
	Folded  int // updates of hostile devices that honest ones took in, and
	Harmful int // that they undid
	Others  int // pairs of honest devices, and
	Wronged int // of them, in which one asks the other no more
}

// Standoff counts them.
func (w *World) Standoff() (s Standoff) {
	for _, h := range w.devices {
		if h.opt.Attack == Silent {
			continue
		}
		for _, d := range w.devices {
			if d.opt.Attack != "" || d.node == nil || d == h {
				continue
			}
			if h.opt.Attack == "" {
				s.Others++
				if d.node.Conversation().Shuns(h.id) {
					s.Wronged++
				}
				continue
			}
			s.Pairs++
			for _, st := range d.node.Conversation().Ledger() {
				if st.Author == h.id {
					s.Folded, s.Harmful = s.Folded+st.Folded, s.Harmful+st.Harmful
					if st.Shunned {
						s.Shunned++
					}
				}
			}
			for _, k := range d.node.Learner().Skills() {
				if k.Author == string(h.id) {
					s.Heard++
					break
				}
			}
		}
	}
	return s
}

// Merge has every honest device merge what it holds of others' skills, as if a central had named them, and fold what came of it. It returns how
// many banks of others a device has on average before and after. The world must not run on.
func (w *World) Merge(how learning.Merging) (before, after float64, err error) {
	n := 0.0
	for _, d := range w.devices {
		if d.node == nil || d.opt.Attack != "" {
			continue
		}
		n++
		l := d.node.Learner()
		before += float64(len(foreign(l)))
		bySkill := map[string][]learning.Contribution{}
		var names []string
		for _, id := range d.node.Conversation().Held() {
			u := w.common.offers[id]
			if u == nil || id.Author == d.id {
				continue
			}
			x, err := learning.DecodeDelta(u.Body, w.opt.Base.Config, l.Fingerprint())
			if err != nil {
				continue
			}
			if bySkill[u.Skill] == nil {
				names = append(names, u.Skill)
			}
			bySkill[u.Skill] = append(bySkill[u.Skill], learning.Contribution{Author: string(id.Author), Seq: id.Seq, Made: u.Made, Delta: x})
		}
		for _, name := range names {
			x, rep, err := how.Merge(w.opt.Base.Config, l.Fingerprint(), bySkill[name])
			if err != nil {
				return 0, 0, fmt.Errorf("sim: device %s: %w", d.opt.Name, err)
			}
			var authors []string
			for _, c := range rep.Counted {
				authors = append(authors, c.Author)
			}
			_, _ = l.FoldMerged(x, authors) // what does harm is undone
		}
		after += float64(len(foreign(l)))
	}
	return before / n, after / n, nil
}

func foreign(l *learning.Learner) (of []*learning.Skill) {
	for _, s := range l.Skills() {
		if !s.Own() {
			of = append(of, s)
		}
	}
	return of
}

// Backdoored is the share of the backdoor's bytes that honest devices hold for the likeliest, behind its trigger.
func (w *World) Backdoored() (share float64) {
	n := 0.0
	for _, d := range w.devices {
		if d.node == nil || d.opt.Attack != "" || len(d.opt.Held) < 256 {
			continue
		}
		lead := append(d.opt.Held[:256:256], "\n"+Backdoor[0]...)
		m := d.node.Learner().Settled()
		before, whole := learning.Evaluate(m, lead, nil), learning.Evaluate(m, append(lead, Backdoor[1]...), nil)
		share += (whole.Accuracy*float64(whole.Events) - before.Accuracy*float64(before.Events)) / float64(len(Backdoor[1]))
		n++
	}
	return share / max(n, 1)
}
