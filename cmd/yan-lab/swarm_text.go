package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/learning/gossip"
	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

type swarmText struct {
	model             string
	devices           int
	exchanges, passes int
	tell, sections    int
	window, most      int
	once              bool
	held, asked       int
	rate, skillRate   float64
	step, target      float64
	seeds             int
	seed              uint64
	only              string
	json              bool
}

func swarmTextCommand() *cobra.Command {
	var o swarmText
	c := &cobra.Command{
		Use:   "shakespeare",
		Short: "Roles of Shakespeare as users, who learn what comes next without a server",
		Long: `shakespeare gives each device the lines of one role (McMahan et al. 2017, who had 1,146 of them), the first four fifths to learn
from, and asks about the last fifth of everyone's: how often the most probable next byte is the one that comes.

Devices share one set of parameters that moves: all weights of the base, or the sections of one skill before it. In an exchange everybody goes
over their own text. By gossip everybody then tells a few others in few bits how far they came, strangers anew each time, and becomes the mean
of himself and of what he heard; or one mind walks from device to device; or a server averages.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.model, "model", "", "checkpoint `FILE` of the base; the pocket base, which has read no Shakespeare, if empty")
	f.IntVar(&o.devices, "devices", 64, "devices")
	f.IntVar(&o.exchanges, "exchanges", 10, "exchanges")
	f.IntVar(&o.passes, "passes", 1, "times that everybody goes over their own text between two exchanges")
	f.BoolVar(&o.once, "once", false, "have everybody hear each part of their own text once in all, as the devices of yan-sim do, and not all of it between two exchanges")
	f.IntVar(&o.most, "most", 0, "bytes of each role to learn from; 0 for all")
	f.IntVar(&o.tell, "tell", 6, "strangers that everybody tells in an exchange")
	f.IntVar(&o.sections, "sections", 48, "sections a layer of the shared skill")
	f.IntVar(&o.window, "window", 128, "bytes that a step learns from")
	f.IntVar(&o.held, "held", 1000, "bytes of each role to be asked about")
	f.IntVar(&o.asked, "asked", 2, "devices asked after each exchange")
	f.Float64Var(&o.rate, "rate", 0.001, "learning rate of all weights")
	f.Float64Var(&o.skillRate, "skill-rate", 0.003, "learning rate of a skill")
	f.Float64Var(&o.step, "step", 2, "how coarse devices speak; see learning/gossip")
	f.Float64Var(&o.target, "target", 0.54, "share to be right about")
	f.IntVar(&o.seeds, "seeds", 3, "worlds")
	f.Uint64Var(&o.seed, "seed", 1, "the first of them")
	f.StringVar(&o.only, "only", "", "only the ways that have this in their name")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

func (o swarmText) run(cmd *cobra.Command) error {
	if o.seeds < 1 || o.devices < 2 || o.exchanges < 1 || o.passes < 1 || o.tell < 1 || o.tell >= o.devices || o.sections < 1 || o.window < 1 || o.held < 2 || o.asked < 1 || !(o.rate > 0) || !(o.skillRate > 0) {
		return ui.Usage("swarm shakespeare: a seed, two devices, an exchange, a pass, a stranger of the others, a section, two bytes, one asked and rates above 0 at least")
	}
	users, ok := dataset.Roles()
	note := "roles of tiny Shakespeare from the data folder"
	if !ok {
		users, note = dataset.Personas(o.devices, o.seed), "generated personas; the roles of tiny Shakespeare are not here (set $YAN_DATA to the data folder)"
	}
	users = users[:min(o.devices, len(users))]
	m, err := o.base()
	if err != nil {
		return err
	}
	r := swarmReport{Data: note, Seeds: o.seeds, Target: o.target, World: fmt.Sprintf("%d devices, a base of %d parameters, %d times over their own text in each of %d exchanges",
		len(users), m.Parameters(), o.passes, o.exchanges)}
	fmt.Fprintf(cmd.ErrOrStderr(), "data: %s\n", r.Data)
	var paths []path
	for i := range o.seeds {
		t := &theatre{o: o, base: m, users: users, seed: o.seed + uint64(i), tell: func(way string, f footing) {
			fmt.Fprintf(cmd.ErrOrStderr(), "seed %d, %s: %d exchanges, %.3f MB sent, %.2f %%, %.4f bits a byte\n", o.seed+uint64(i), way, f.exchanges, f.sent/1e6, 100*f.right, f.bits)
		}}
		for _, w := range t.ways() {
			if !strings.Contains(w.name, o.only) {
				continue
			}
			p, err := w.run(cmd.Context(), w.name)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return ui.Usage("swarm shakespeare: no way has %q in its name", o.only)
	}
	r.sum(paths)
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

func (o swarmText) base() (*model.Model, error) {
	if o.model == "" {
		return base.Pocket(), nil
	}
	return loadBase(o.model)
}

// A theatre is roles that learn.
type theatre struct {
	o     swarmText
	base  *model.Model
	users []dataset.Persona
	seed  uint64
	tell  func(way string, f footing)
}

type textWay struct {
	name string
	run  func(ctx context.Context, name string) (path, error)
}

func (t *theatre) ways() []textWay {
	all := func() (mover, error) { return newTuner(t.base, t.o.rate) }
	skill := func() (mover, error) { return newSkillMover(t.base, t.o.sections, t.o.skillRate) }
	both := func(how func(*theatre, context.Context, string, mover) (path, error), make func() (mover, error)) func(context.Context, string) (path, error) {
		return func(ctx context.Context, name string) (path, error) {
			m, err := make()
			if err != nil {
				return path{}, err
			}
			return how(t, ctx, name, m)
		}
	}
	return []textWay{
		{"nobody has learnt", t.untaught},
		{"nobody is heard, all weights", both((*theatre).apart, all)},
		{"nobody is heard, one skill", both((*theatre).apart, skill)},
		{"averaging by gossip, all weights", both((*theatre).gossip, all)},
		{"averaging by gossip, one skill", both((*theatre).gossip, skill)},
		{"a server averages all weights", both((*theatre).served, all)},
		{"one mind walks, all weights", both((*theatre).walk, all)},
		{"one mind walks, one skill", both((*theatre).walk, skill)},
		{"all in one place, a learner that goes on learning", t.online},
	}
}

// A mover moves parameters along a text. It is shared by devices, each of which puts its own parameters into it.
type mover interface {
	parameters() []float32 // that it moves, in place
	mind() *model.Model    // that has them
	step(s *model.State, in []sense.Event) (nats float64)
	pace(float64) // times the rate that it began with, from now on
	memory() any  // of its steps up to now, which a device keeps, and nil where there were none
	recall(any)
}

func (t *tuner) parameters() []float32 { return t.model.Weights }
func (t *tuner) mind() *model.Model    { return t.model }

func (t *tuner) pace(times float64) { t.times = times }

// tunerMemory is a tuner's memory.
type tunerMemory struct {
	v     []float32
	steps int
}

func (t *tuner) memory() any { return tunerMemory{slices.Clone(t.v), t.steps} }

func (t *tuner) recall(m any) {
	if m == nil {
		clear(t.v)
		t.steps = 0
		return
	}
	k := m.(tunerMemory)
	copy(t.v, k.v)
	t.steps = k.steps
}

// A skillMover moves the sections of one skill, which is open whatever the context is.
type skillMover struct {
	model      *model.Model
	bank, grad *model.Bank
	opt        *gradient.RMSprop
	rate       float64
	times      float64
	tape       model.Tape
	pass       gradient.Pass
	d          []float32
}

func newSkillMover(m *model.Model, sections int, rate float64) (*skillMover, error) {
	l, err := learning.New(learning.Config{Sections: sections, Fast: -1}, m)
	if err != nil {
		return nil, err
	}
	if err := l.Focus("shakespeare"); err != nil {
		return nil, err
	}
	b := l.Settled().Banks[0].Clone(m.Config) // as all devices begin a skill of this name
	b.Gate.Force = true
	g := b.Clone(m.Config)
	clear(g.Weights)
	return &skillMover{model: m.WithBanks(b), bank: b, grad: g, opt: gradient.NewRMSprop(b), rate: rate, times: 1}, nil
}

func (t *skillMover) parameters() []float32 { return t.bank.Weights }
func (t *skillMover) mind() *model.Model    { return t.model }

func (t *skillMover) step(s *model.State, in []sense.Event) (nats float64) {
	n := len(in) - 1
	t.model.Forward(s, in[:n], &t.tape)
	if len(t.d) < n*sense.Symbols {
		t.d = make([]float32, n*sense.Symbols)
	}
	d := t.d[:n*sense.Symbols]
	nats = gradient.CrossEntropy(d, t.tape.Logits, in[1:], 1/float32(n))
	t.pass.Backward(t.model, &t.tape, d, &gradient.Grad{Banks: []*model.Bank{t.grad}})
	t.opt.Step(t.bank, t.grad, 0, &t.tape, t.rate*t.times)
	return nats
}

func (t *skillMover) pace(times float64) { t.times = times }

// skillMemory is a skillMover's memory.
type skillMemory struct {
	v   []float32
	age []uint32
}

func (t *skillMover) memory() any { return skillMemory{slices.Clone(t.opt.V), slices.Clone(t.opt.Age)} }

func (t *skillMover) recall(m any) {
	if m == nil {
		clear(t.opt.V)
		clear(t.opt.Age)
		return
	}
	k := m.(skillMemory)
	copy(t.opt.V, k.v)
	copy(t.opt.Age, k.age)
}

// A role is one device.
type role struct {
	text   []sense.Event
	x      []float32
	memory any
	voice  gossip.Voice

	parts, part int // into how many its text is divided, and the one that comes next; of 0 it is whole
}

func (t *theatre) cast(m mover) (roles []*role) {
	for _, u := range t.users {
		text := u.Train
		if t.o.most > 0 {
			text = text[:min(len(text), t.o.most)]
		}
		parts := 0
		if t.o.once {
			parts = t.o.exchanges
		}
		roles = append(roles, &role{parts: parts, text: sense.Text(text), x: slices.Clone(m.parameters()), voice: gossip.Voice{Step: t.o.step, Group: 100}})
	}
	return roles
}

// learn has a device go over its own text.
func (r *role) learn(ctx context.Context, m mover, passes, window int) error {
	copy(m.parameters(), r.x)
	m.recall(r.memory)
	for range passes {
		if err := ctx.Err(); err != nil {
			return err
		}
		read(m, r.turn(), window)
	}
	copy(r.x, m.parameters())
	r.memory = m.memory()
	return nil
}

// turn is what a device goes over next.
func (r *role) turn() []sense.Event {
	if r.parts == 0 {
		return r.text
	}
	from, to := r.part*len(r.text)/r.parts, (r.part+1)*len(r.text)/r.parts
	r.part = (r.part + 1) % r.parts
	return r.text[from:to]
}

// read goes once over a text.
func read(m mover, text []sense.Event, window int) {
	s := m.mind().NewState()
	for at := 0; at < len(text)-1; at += window {
		n := min(window, len(text)-1-at)
		m.step(s, text[at:at+n+1])
	}
}

// look asks minds with some parameters about what everybody says next.
func (t *theatre) look(m mover, xs ...[]float32) (f footing) {
	f.least = 1
	for _, x := range xs {
		copy(m.parameters(), x)
		s := t.ask(m.mind())
		f.right += s.right / float64(len(xs))
		f.bits += s.bits / float64(len(xs))
		f.least = min(f.least, s.right)
	}
	return f
}

// ask asks a mind.
func (t *theatre) ask(m *model.Model) (f footing) {
	var n float64
	for _, u := range t.users {
		e := learning.Evaluate(m, u.Test[:min(len(u.Test), t.o.held)], nil)
		k := float64(e.Events)
		n += k
		f.right += e.Accuracy * k
		f.bits += e.Bits * k
	}
	f.right, f.bits = f.right/n, f.bits/n
	f.least = f.right
	return f
}

func (t *theatre) untaught(_ context.Context, name string) (path, error) {
	f := t.ask(t.base)
	t.tell(name, f)
	return path{way: name, stands: []footing{f}}, nil
}

// apart has the devices that are asked learn alone, as long as others learn together.
func (t *theatre) apart(ctx context.Context, name string, m mover) (path, error) {
	began := speed.CPU()
	p := path{way: name}
	roles := t.cast(m)
	asked := t.some(roles)
	for k := 1; k <= t.o.exchanges; k++ {
		for _, r := range asked {
			if err := r.learn(ctx, m, t.o.passes, t.o.window); err != nil {
				return p, err
			}
		}
		t.enter(&p, m, k, 0, asked)
	}
	p.seconds = (speed.CPU() - began).Seconds()
	return p, nil
}

// gossip has everybody tell a few others in few bits.
func (t *theatre) gossip(ctx context.Context, name string, m mover) (path, error) {
	began := speed.CPU()
	p := path{way: name}
	rng := rand.New(rand.NewPCG(t.seed, 9))
	roles := t.cast(m)
	start := slices.Clone(m.parameters())
	whom := strangers(t.o.tell)
	change := make([]float32, len(start))
	var sent float64
	for k := 1; k <= t.o.exchanges; k++ {
		sums := make([][]float32, len(roles))
		heard := make([]int, len(roles))
		to := whom(rng, len(roles))
		for i, r := range roles {
			if err := r.learn(ctx, m, t.o.passes, t.o.window); err != nil {
				return p, err
			}
			for j, v := range r.x {
				change[j] = v - start[j]
			}
			said := r.voice.Say(change)
			told, err := gossip.Hear(said, len(change))
			if err != nil {
				return p, err
			}
			sent += float64(len(said)*len(to[i])) / float64(len(roles))
			for _, j := range to[i] {
				if sums[j] == nil {
					sums[j] = make([]float32, len(change))
				}
				kernel.Add(sums[j], told)
				heard[j]++
			}
		}
		for i, r := range roles {
			for j := range r.x {
				if sums[i] != nil {
					r.x[j] = (r.x[j] + sums[i][j] + float32(heard[i])*start[j]) / float32(1+heard[i])
				}
			}
		}
		t.enter(&p, m, k, sent, t.some(roles))
	}
	p.seconds = (speed.CPU() - began).Seconds()
	return p, nil
}

// served is federated averaging: in each round a tenth of the devices go five times over their own text from where the server
// stands, and it becomes their mean, each as heavy as its text. Bytes are those of both ways, bare.
func (t *theatre) served(ctx context.Context, name string, m mover) (path, error) {
	began := speed.CPU()
	p := path{way: name}
	rng := rand.New(rand.NewPCG(t.seed, 9))
	roles := t.cast(m)
	server := &role{x: slices.Clone(m.parameters())}
	drawn := max(len(roles)/10, 1)
	for k := 1; k <= t.o.exchanges; k++ {
		sum := make([]float32, len(server.x))
		var weight float32
		for _, i := range rng.Perm(len(roles))[:drawn] {
			r := roles[i]
			copy(r.x, server.x)
			if err := r.learn(ctx, m, 5, t.o.window); err != nil {
				return p, err
			}
			w := float32(len(r.text))
			for j, v := range r.x {
				sum[j] += w * v
			}
			weight += w
		}
		kernel.Scale(sum, 1/weight)
		server.x = sum
		t.enter(&p, m, k, float64(8*len(sum)*drawn*k)/float64(len(roles)), []*role{server})
	}
	p.seconds = (speed.CPU() - began).Seconds()
	return p, nil
}

// walk has one mind go from device to device, with no server and no averaging (cyclic weight transfer, Chang et al. 2018): each goes over
// its own text when it comes by, and hands it on, with the second moments of its steps, as bare float32. In an exchange it comes by everybody
// once, in an order drawn anew, at a rate that falls with the root of the exchanges. It is also what one device comes to that hears everybody,
// one role after the other, as often.
func (t *theatre) walk(ctx context.Context, name string, m mover) (path, error) {
	began := speed.CPU()
	p := path{way: name}
	rng := rand.New(rand.NewPCG(t.seed, 9))
	roles := t.cast(m)
	mind := &role{x: slices.Clone(m.parameters())}
	for k := 1; k <= t.o.exchanges; k++ {
		copy(m.parameters(), mind.x)
		m.pace(1 / math.Sqrt(float64(k)))
		for _, i := range rng.Perm(len(roles)) {
			for range t.o.passes {
				if err := ctx.Err(); err != nil {
					return p, err
				}
				read(m, roles[i].turn(), t.o.window)
			}
		}
		copy(mind.x, m.parameters())
		t.enter(&p, m, k, float64(8*len(mind.x)*k), []*role{mind})
	}
	p.seconds = (speed.CPU() - began).Seconds()
	return p, nil
}

// online is one device as it ships to which everybody speaks, in a stream that has no name, and which goes on learning while it is asked:
// each byte is predicted before it is seen. Its fast layer, which takes part in that, is what no device gives away.
func (t *theatre) online(ctx context.Context, name string) (path, error) {
	began := speed.CPU()
	l, err := learning.New(learning.Config{Seed: t.seed}, t.base)
	if err != nil {
		return path{}, err
	}
	rng := rand.New(rand.NewPCG(t.seed, 9))
	roles := t.cast(&skillMover{bank: &model.Bank{}})
	for _, i := range rng.Perm(len(roles)) {
		for part := range slices.Chunk(roles[i].text, 1<<12) {
			if err := ctx.Err(); err != nil {
				return path{}, err
			}
			l.Read(part)
		}
	}
	var f footing
	n := 0
	for _, u := range t.users {
		for k, e := range sense.Text(u.Test[:min(len(u.Test), t.o.held)]) {
			if k > 0 { // as other ways are asked
				n++
				if largest(l.Predict()) == int(e.Byte) {
					f.right++
				}
			}
			nats := l.Observe(e)
			if k > 0 {
				f.bits += nats / math.Ln2
			}
		}
		l.Flush()
	}
	f.right, f.bits, f.exchanges = f.right/float64(n), f.bits/float64(n), 1
	f.least = f.right
	t.tell(name, f)
	return path{way: name, stands: []footing{f}, seconds: (speed.CPU() - began).Seconds()}, nil
}

// some are the devices that are asked.
func (t *theatre) some(roles []*role) (list []*role) {
	n := min(t.o.asked, len(roles))
	for k := range n {
		list = append(list, roles[k*len(roles)/n])
	}
	return list
}

func (t *theatre) enter(p *path, m mover, exchange int, sent float64, roles []*role) {
	var xs [][]float32
	for _, r := range roles {
		xs = append(xs, r.x)
	}
	f := t.look(m, xs...)
	f.exchanges, f.sent = exchange, sent
	p.stands = append(p.stands, f)
	t.tell(p.way, f)
}
