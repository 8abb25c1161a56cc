package local

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

func shape() Config {
	c := Config{Model: tiny(), Places: 7, Features: 5, Classes: 3}
	c.Model.MixOut = true
	return c
}

// examples draws pictures in which a mean over the places tells nothing: the class says how far the one bright place is
// behind the other.
func examples(n int, c Config, seed uint64) (x []float32, labels []int) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		one := make([]float32, c.Places*c.Features)
		for i := range one {
			one[i] = float32(r.Float64() * 0.2)
		}
		label := r.IntN(c.Classes)
		first := r.IntN(c.Places - c.Classes)
		one[first*c.Features] = 1
		one[(first+1+label)*c.Features+1] = 1
		x, labels = append(x, one...), append(labels, label)
	}
	return x, labels
}

// stirred is a trainer whose net has left its beginning, so that nothing in it is zero.
func stirred(t *testing.T, rule Rule, c Config) *Trainer {
	t.Helper()
	tr, err := NewTrainer(c, TrainConfig{Rule: rule, Examples: 1000, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(9, 9))
	for i := range tr.net.Readouts {
		tr.net.Readouts[i] = float32(r.NormFloat64() * 0.3)
	}
	return tr
}

// Of every layer, the gradient is that of its own loss with what enters its branches given.
func TestLocalGradientAgainstFiniteDifferences(t *testing.T) {
	for _, rule := range []Rule{Own, Sum} {
		c := shape()
		tr := stirred(t, rule, c)
		tr.reading.Tape.Lean = false // so that all layers can be looked at afterwards
		m := tr.net.Model
		x, labels := examples(4, c, 2)
		var given Reading
		tr.net.Config.Sum = rule == Sum
		tr.net.Read(x, &given)
		tr.rehearse(x, labels)
		for i := range m.Layers {
			mid, after := slices.Clone(given.Tape.Layers[i].Mid), slices.Clone(given.Tape.Residual(i))
			loss := func(branch string) float64 {
				var now Reading
				tr.net.Read(x, &now)
				if branch == "mixer" { // the sections hear what they heard before
					h := now.Tape.Residual(i)
					for k := range h {
						h[k] = after[k] + now.Tape.Layers[i].Mid[k] - mid[k]
					}
				}
				tr.net.listen(&now, i)
				var nats float64
				for e, label := range labels {
					nats -= math.Log(float64(now.Beliefs[i][e*c.Classes+label])) / float64(len(labels))
				}
				return nats
			}
			l, g := &m.Layers[i], &tr.grad.Base.Layers[i]
			for _, part := range []struct {
				name, branch string
				w, dw        []float32
			}{
				{"U", "mixer", l.U.F32, g.U.F32}, {"V", "mixer", l.V.F32, g.V.F32}, {"F", "mixer", l.F.F32, g.F.F32},
				{"E", "mixer", l.E.F32, g.E.F32}, {"Out", "mixer", l.Out.F32, g.Out.F32},
				{"sections", "sections", l.Sections.F32, g.Sections.F32}, {"keys", "sections", l.Keys.F32, g.Keys.F32},
				{"query", "sections", l.Query.F32, g.Query.F32},
				{"read-out", "sections", tr.net.readout(tr.net.Readouts, i), tr.net.readout(tr.dheads.Readouts, i)},
			} {
				got := slope(func() float64 { return loss(part.branch) }, part.w, part.dw, 0.01)
				agree(t, string(rule)+" "+part.name, got, float64(kernel.SumSquares(part.dw)))
			}
		}
	}
}

// rehearse computes the gradients of a step and takes none.
func (t *Trainer) rehearse(x []float32, labels []int) {
	t.labels, t.learn = labels, make([]bool, len(labels))
	t.errs, t.delta = fit(t.errs, len(labels)*t.net.Config.Classes), fit(t.delta, len(labels)*t.net.Config.Model.Width)
	t.net.forward(x, &t.reading, func(i int) {
		t.net.listen(&t.reading, i)
		t.err(i)
		t.pass.layer(t.net.Model, &t.reading.Tape, i, t.net.Config.Places, t.delta, t.learn, t.grad)
	})
}

// Backpropagation is the gradient of the last layer's loss in every weight, the encoder's too.
func TestBackwardReachesTheEncoder(t *testing.T) {
	c := shape()
	tr := stirred(t, Backward, c)
	x, labels := examples(4, c, 2)
	tr.think(labels, func(each func(int)) { tr.net.forward(x, &tr.reading, each) }, func(dx []float32) { tr.encoder(x, dx) })
	last := c.Model.Layers - 1
	loss := func() (nats float64) {
		var now Reading
		tr.net.Read(x, &now)
		for e, label := range labels {
			nats -= math.Log(float64(now.Beliefs[last][e*c.Classes+label])) / float64(len(labels))
		}
		return nats
	}
	agree(t, "encoder", slope(loss, tr.net.Encoder, tr.dheads.Encoder, 0.003), float64(kernel.SumSquares(tr.dheads.Encoder)))
	w, g := tr.net.Model.Layers[0].Sections.F32, tr.grad.Base.Layers[0].Sections.F32
	agree(t, "sections", slope(loss, w, g, 0.003), float64(kernel.SumSquares(g)))
}

// No gradient crosses: a step in a net whose upper layers are others leaves the lower ones the same, to the bit. By
// backpropagation and broadcast it does not.
func TestNoGradientCrossesLayers(t *testing.T) {
	c := shape()
	x, labels := examples(8, c, 5)
	for _, rule := range []Rule{Own, Sum, Top, Broadcast, Backward} {
		a, b := stirred(t, rule, c), stirred(t, rule, c)
		last := c.Model.Layers - 1
		kernel.Scale(b.net.Model.Layers[last].Sections.F32, 2)
		kernel.Scale(b.net.readout(b.net.Readouts, last), -1)
		for range 3 {
			a.Step(x, labels)
			b.Step(x, labels)
		}
		same := true
		for i := range last {
			la, lb := &a.net.Model.Layers[i], &b.net.Model.Layers[i]
			same = same && slices.Equal(la.U.F32, lb.U.F32) && slices.Equal(la.E.F32, lb.E.F32) &&
				slices.Equal(la.Sections.F32, lb.Sections.F32) && slices.Equal(la.Keys.F32, lb.Keys.F32)
		}
		if same == rule.global() {
			t.Errorf("%s: layers below one that differs are the same: %v", rule, same)
		}
	}
}

// Where read-outs add up, a layer that has nothing to say is of the opinion of the one below it.
func TestReadOutsAddUp(t *testing.T) {
	c := shape()
	x, _ := examples(3, c, 4)
	for _, sum := range []bool{true, false} {
		tr := stirred(t, Own, c)
		tr.net.Config.Sum = sum
		clear(tr.net.readout(tr.net.Readouts, 1))
		var r Reading
		tr.net.Read(x, &r)
		if slices.Equal(r.Beliefs[1], r.Beliefs[0]) != sum {
			t.Errorf("adding up %v: the first layer believes %.3f, the second %.3f", sum, r.Beliefs[0], r.Beliefs[1])
		}
	}
}

// What no error reaches does not move.
func TestLayerLearnsAlone(t *testing.T) {
	c := shape()
	tr := stirred(t, Own, c)
	x, labels := examples(6, c, 6)
	tr.reading.Tape.Lean = false
	tr.labels, tr.learn = labels, make([]bool, len(labels))
	tr.errs, tr.delta = fit(nil, len(labels)*c.Classes), fit(nil, len(labels)*c.Model.Width)
	tr.net.forward(x, &tr.reading, func(i int) {
		if i == 1 {
			tr.net.listen(&tr.reading, i)
			tr.err(i)
			tr.pass.layer(tr.net.Model, &tr.reading.Tape, i, c.Places, tr.delta, tr.learn, tr.grad)
		}
	})
	for _, tensor := range tr.grad.Base.Tensors() {
		reached := kernel.SumSquares(tensor.Data.F32) > 0
		moves := strings.HasPrefix(tensor.Name, "layers.1.") && !strings.Contains(tensor.Name, "norm") &&
			!strings.HasSuffix(tensor.Name, ".shift") && !strings.HasSuffix(tensor.Name, ".bias")
		if reached != moves {
			t.Errorf("%s has a gradient: %v", tensor.Name, reached)
		}
	}
}

// What is known already is not learnt from, and costs nothing.
func TestKnownExamplesAreLeftOut(t *testing.T) {
	c := shape()
	x, labels := examples(6, c, 7)
	some := stirred(t, Own, c)
	some.cfg.Known = 0.3
	some.reading.Tape.Lean = false
	some.rehearse(x, labels)
	part := some.pass.work
	kept := 0
	for e, yes := range some.learn { // of the last layer
		if p := some.reading.Beliefs[c.Model.Layers-1][e*c.Classes+labels[e]]; yes != (p < 0.3) {
			t.Errorf("example %d, known by %.2f, is learnt from: %v", e, p, yes)
		}
		if yes {
			kept++
		}
	}
	all := stirred(t, Own, c)
	all.rehearse(x, labels)
	if kept == 0 || kept == len(labels) || part >= all.pass.work {
		t.Fatalf("%d of %d examples learnt from, with %d of %d multiply-adds", kept, len(labels), part, all.pass.work)
	}
	// The same gradient as from those examples alone, but for how many they are divided by.
	last := c.Model.Layers - 1
	var lx []float32
	var ll []int
	for e, yes := range some.learn {
		if yes {
			lx, ll = append(lx, x[e*c.Places*c.Features:(e+1)*c.Places*c.Features]...), append(ll, labels[e])
		}
	}
	only := stirred(t, Own, c)
	only.rehearse(lx, ll)
	w, v := only.grad.Base.Layers[last].Sections.F32, some.grad.Base.Layers[last].Sections.F32
	kernel.Scale(w, float32(len(ll))/float32(len(labels)))
	for i := range w {
		if math.Abs(float64(w[i]-v[i])) > 1e-5 {
			t.Fatalf("weight %d gets %g, from the others alone %g", i, v[i], w[i])
		}
	}
}

// Multiply-adds are counted: every matrix of the layers meets every event once on the way up, and twice on the way down.
func TestWorkIsCounted(t *testing.T) {
	c := shape()
	m, err := model.New(c.Model)
	if err != nil {
		t.Fatal(err)
	}
	dense := 0
	for _, tensor := range m.Tensors() {
		if strings.HasPrefix(tensor.Name, "layers.") && len(tensor.Shape) > 1 && !strings.HasSuffix(tensor.Name, ".shift") && !strings.HasSuffix(tensor.Name, ".sections") {
			dense += tensor.Len()
		}
	}
	x, labels := examples(6, c, 8)
	for _, rule := range Rules {
		tr := stirred(t, rule, c)
		tr.Step(x, labels)
		tr.reading.Tape.Lean = false
		var r Reading
		same := stirred(t, rule, c)
		same.net.Read(x, &r)
		var routes int
		for i := range r.Tape.Layers {
			routes += r.Tape.Layers[i].Base.Len()
		}
		events := 6 * c.Places
		readouts, encoder := int64(6*c.Model.Layers*c.Classes*c.Model.Width), int64(events*c.Features*c.Model.Width)
		up := int64(events*dense + routes*c.Model.SectionSize())
		if want := up + readouts + encoder; tr.Work.Forward != want {
			t.Errorf("%s: forward %d multiply-adds, want %d", rule, tr.Work.Forward, want)
		}
		share := float64(tr.Work.Backward) / float64(2*up)
		switch {
		case rule == Backward && (tr.Work.Backward < 2*up+encoder || tr.Work.Backward > 2*up+encoder+2*readouts):
			t.Errorf("backpropagation takes %d multiply-adds, twice %d is expected", tr.Work.Backward, up)
		case rule == Top && (share < 0.1 || share > 0.25):
			t.Errorf("in the last layer alone backward takes %.2f of what backpropagation does", share)
		case rule != Backward && rule != Frozen && rule != Top && (share < 0.2 || share > 0.65):
			t.Errorf("%s: backward takes %.2f of what backpropagation does", rule, share)
		case rule == Frozen && tr.Work.Backward != readouts:
			t.Errorf("read-outs alone take %d multiply-adds, want %d", tr.Work.Backward, readouts)
		}
	}
}

// More layers take more memory by backpropagation, and none by a local rule.
func TestMemoryInDepth(t *testing.T) {
	kept := map[Rule][2]int{}
	for _, rule := range []Rule{Own, Backward} {
		var two [2]int
		for k, layers := range []int{3, 9} {
			c := shape()
			c.Model.Layers = layers
			tr := stirred(t, rule, c)
			x, labels := examples(6, c, 8)
			for range 2 {
				tr.Step(x, labels)
			}
			two[k] = tr.Kept
		}
		kept[rule] = two
	}
	if own := kept[Own]; own[1] > own[0]*11/10 {
		t.Errorf("3 layers keep %d bytes, 9 layers %d", own[0], own[1])
	}
	if full := kept[Backward]; full[1] < full[0]*5/2 || full[0] < kept[Own][0]*2 {
		t.Errorf("by backpropagation 3 layers keep %d bytes and 9 layers %d; locally %d", full[0], full[1], kept[Own][0])
	}
}

// Local rules learn what read-outs of layers that do not learn cannot.
func TestLocalRulesLearn(t *testing.T) {
	c := shape()
	c.Model.MixOut = false
	c.Model.Width, c.Model.Layers, c.Model.Sections, c.Model.Neurons = 32, 3, 16, 8
	x, labels := examples(400, c, 11)
	asked, answers := examples(200, c, 12)
	right := map[Rule]float64{}
	for _, rule := range Rules {
		tr, err := NewTrainer(c, TrainConfig{Rule: rule, Examples: 400 * 8, Rate: 0.01, Seed: 4})
		if err != nil {
			t.Fatal(err)
		}
		size := c.Places * c.Features
		for at := 0; !tr.Done(); at = (at + 16) % 400 {
			tr.Step(x[at*size:(at+16)*size], labels[at:at+16])
		}
		var r Reading
		tr.Net().Read(asked, &r)
		last := r.Beliefs[c.Model.Layers-1]
		for e, label := range answers {
			if row := last[e*c.Classes : (e+1)*c.Classes]; row[label] == slices.Max(row) {
				right[rule] += 1 / float64(len(answers))
			}
		}
	}
	t.Log(right)
	for _, rule := range []Rule{Own, Sum, Broadcast, Backward} {
		if right[rule] < 0.9 {
			t.Errorf("%s is right about %.2f", rule, right[rule])
		}
	}
	if right[Frozen] > 0.75 {
		t.Errorf("read-outs alone are right about %.2f: the layers have nothing to learn", right[Frozen])
	}
}

// text is a cycle in which the byte behind an event depends on the two before it, and no read-out of one event can know.
func text(n int) (in []sense.Event) {
	const cycle = "abacabadbabcacbd"
	for i := range n {
		in = append(in, sense.Event{Byte: cycle[i%len(cycle)]})
	}
	return in
}

func trainText(t *testing.T, rule Rule) (*Trainer, float64) {
	t.Helper()
	m := tiny()
	m.MixOut = false
	tr, err := NewTrainer(Texts(m), TrainConfig{Rule: rule, Examples: 6400, Rate: 0.01, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	all := text(401)
	states := []*model.State{tr.net.Model.NewState(), tr.net.Model.NewState()}
	var nats float64
	for at := 0; !tr.Done(); at = (at + 16) % 160 {
		in := [][]sense.Event{all[at : at+16], all[at+203 : at+219]}
		nats = tr.StepText(states, in, append(slices.Clone(all[at+1:at+17]), all[at+204:at+220]...))
	}
	return tr, nats
}

// Layers of a text learn by their own read-outs too, and what a net reads is what it was trained to.
func TestTextIsLearntLocally(t *testing.T) {
	nats := map[Rule]float64{}
	for _, rule := range Rules {
		var tr *Trainer
		tr, nats[rule] = trainText(t, rule)
		var r Reading
		net := tr.Net()
		all := text(65)
		net.ReadText([]*model.State{net.Model.NewState()}, [][]sense.Event{all[:64]}, &r)
		var mean float64
		for p, e := range all[17:] {
			mean -= math.Log(float64(r.Beliefs[2][(p+16)*sense.Symbols+int(e.Byte)])) / 48
		}
		if rule != Frozen && rule != Top && mean > 0.2 {
			t.Errorf("%s: read again from the beginning, an event surprises by %.3f nats", rule, mean)
		}
	}
	t.Log(nats)
	for _, rule := range []Rule{Own, Sum, Broadcast, Backward} {
		if nats[rule] > 0.1 || nats[rule] > nats[Frozen]/3 {
			t.Errorf("%s: an event surprises by %.3f nats, where layers do not learn by %.3f", rule, nats[rule], nats[Frozen])
		}
	}
}

// The embedding of a byte learns from the first layer's error alone.
func TestEmbeddingLearnsFromTheFirstLayer(t *testing.T) {
	m := tiny()
	tr := stirred(t, Own, Texts(m))
	all := text(13)
	in, next := [][]sense.Event{all[:12]}, all[1:]
	given := func() *Reading {
		r := new(Reading)
		tr.net.ReadText([]*model.State{tr.net.Model.NewState()}, in, r)
		return r
	}
	before := given()
	h, after := slices.Clone(before.Tape.Layers[0].H), slices.Clone(before.Tape.Residual(0))
	loss := func() (nats float64) { // what the branches heard is given
		r := given()
		out := r.Tape.Residual(0)
		for i := range out {
			out[i] = after[i] + r.Tape.Layers[0].H[i] - h[i]
		}
		tr.net.listen(r, 0)
		for p, e := range next {
			nats -= math.Log(float64(r.Beliefs[0][p*sense.Symbols+int(e.Byte)])) / float64(len(next))
		}
		return nats
	}
	labels := make([]int, len(next))
	for i, e := range next {
		labels[i] = int(e.Byte)
	}
	tr.think(labels, func(each func(int)) {
		tr.net.forwardText([]*model.State{tr.net.Model.NewState()}, in, &tr.reading, each)
	}, func(dx []float32) { tr.embedding(in, dx) })
	g := tr.grad.Base.Embed.F32
	agree(t, "embedding", slope(loss, tr.net.Model.Embed.F32, g, 0.01), float64(kernel.SumSquares(g)))
}

// The same seed trains the same net, to the bit.
func TestTrainingIsDeterministic(t *testing.T) {
	c := shape()
	x, labels := examples(16, c, 13)
	var nets [2]*Net
	for k := range nets {
		tr := stirred(t, Sum, c)
		for range 3 {
			tr.Step(x, labels)
		}
		nets[k] = tr.Net()
	}
	if !slices.Equal(nets[0].Model.Weights, nets[1].Model.Weights) || !slices.Equal(nets[0].Heads, nets[1].Heads) {
		t.Error("two trainings differ")
	}
}

func TestTrainerRefuses(t *testing.T) {
	ok := TrainConfig{Rule: Own, Examples: 10}
	for name, f := range map[string]func(*Config, *TrainConfig){
		"no rule":      func(_ *Config, c *TrainConfig) { c.Rule = "up" },
		"no examples":  func(_ *Config, c *TrainConfig) { c.Examples = 0 },
		"a known of 2": func(_ *Config, c *TrainConfig) { c.Known = 2 },
		"one class":    func(s *Config, _ *TrainConfig) { s.Classes = 1 },
		"no place":     func(s *Config, _ *TrainConfig) { s.Places = 0 },
		"no features":  func(s *Config, _ *TrainConfig) { s.Features = 0 },
		"no width":     func(s *Config, _ *TrainConfig) { s.Model.Width = 3 },
	} {
		s, c := shape(), ok
		f(&s, &c)
		if _, err := NewTrainer(s, c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
