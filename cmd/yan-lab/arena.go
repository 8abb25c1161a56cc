package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
)

type arenaOptions struct {
	hidden   []int
	rounds   int
	seeds    int
	seed     uint64
	only     string
	validate bool
	json     bool
}

func arenaCommand() *cobra.Command {
	var o arenaOptions
	c := &cobra.Command{
		Use:       "arena {bytes|poison|diverse|strangers}",
		Short:     "Nodes that learn digits together: what they send, whom they believe",
		ValidArgs: []string{"bytes", "poison", "diverse", "strangers"},
		Long: `arena lets nodes learn digits with no server: each makes five steps on its own examples, says where it stands, hears
others, and so on.

bytes      16 nodes with two shards of sorted digits each, and in how many bytes they learn how much. Bytes are those of the
           frames that each node sends, every one of which is decoded and verified at its other end.
poison     5 honest nodes among 16 where all hear all, and 11 that collude, know everything and say to each what they like.
diverse    20 nodes with two shards each, in two cliques with one link between them, and nobody hostile: what caution costs.
strangers  10 nodes of which 2, and 9 of which 3, are hostile, and who is still asked at the end.

All begin at the same parameters, and all of a seed have the same examples. Accuracy is the mean over the honest nodes, on test
digits that nothing was chosen by.`,
		Example: `  yan-lab arena bytes
  yan-lab arena poison --seeds 1 --json`,
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error { return arena(cmd, args[0], o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntSliceVar(&o.hidden, "hidden", nil, "units of each hidden layer; if empty 200,200 for bytes and 32 for the others, which make many runs")
	f.IntVar(&o.rounds, "rounds", 0, "rounds of five steps of ten examples; if zero 100 for bytes and 60 for the others")
	f.IntVar(&o.seeds, "seeds", 3, "how many societies")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.StringVar(&o.only, "only", "", "let only the ways compete that have this in their name")
	f.BoolVar(&o.validate, "validate", false, "be asked about a fifth of what is to be learnt, which is left out, to choose settings by")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// An arenaCell is how one way did in one case, over all seeds.
type arenaCell struct {
	Way      string  `json:"way"`
	Case     string  `json:"case"`
	Accuracy spread  `json:"accuracy"` // or how often a back door opens
	Sent     *spread `json:"sent_bytes,omitempty"`
	Seconds  *spread `json:"cpu_seconds,omitempty"`
	Hostile  *spread `json:"hostile_asked,omitempty"` // share of the hostile that are asked in the last tenth of the rounds
	Honest   *spread `json:"honest_asked,omitempty"`
}

type arenaReport struct {
	Arena      string      `json:"arena"`
	Data       string      `json:"data"`
	Learnt     int         `json:"learnt"`
	Asked      int         `json:"asked"`
	Parameters int         `json:"parameters"`
	Rounds     int         `json:"rounds"`
	Seeds      int         `json:"seeds"`
	Cells      []arenaCell `json:"cells"`
}

// A tally is what one run came to, by the name of its way and its case.
type tally struct {
	way, of           string
	accuracy          float64
	sent, seconds     float64
	hostile, honest   float64
	counts, remembers bool // that it has bytes, and that it chooses whom to ask
}

func arena(cmd *cobra.Command, name string, o arenaOptions) error {
	if o.seeds < 1 || o.rounds < 0 {
		return ui.Usage("arena: --seeds %d, --rounds %d: there must be some", o.seeds, o.rounds)
	}
	train, test, note, err := arenaData(o.validate)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "data: %s\n", note)
	if len(o.hidden) == 0 {
		if o.hidden = []int{32}; name == "bytes" {
			o.hidden = []int{200, 200}
		}
	}
	if o.rounds == 0 {
		if o.rounds = 60; name == "bytes" {
			o.rounds = 100
		}
	}
	net := newPerceptron(slices.Concat([]int{train.width}, o.hidden, []int{arenaClasses})...)
	r := arenaReport{Arena: name, Data: note, Learnt: len(train.labels), Asked: len(test.labels), Parameters: net.size(), Rounds: o.rounds, Seeds: o.seeds}
	g := ground{ctx: cmd.Context(), net: net, train: train, test: test, rounds: o.rounds, only: o.only, tell: func(t tally) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s, %s: %.1f %%\n", t.way, t.of, 100*t.accuracy)
	}}
	run := map[string]func(*ground) error{"bytes": (*ground).bytes, "poison": (*ground).poison, "diverse": (*ground).diverse, "strangers": (*ground).strangers}[name]
	for g.seed = o.seed; g.seed < o.seed+uint64(o.seeds); g.seed++ {
		if err := run(&g); err != nil {
			return err
		}
	}
	if len(g.tallies) == 0 {
		return ui.Usage("arena: no way has %q in its name", o.only)
	}
	r.sum(g.tallies)
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// A ground is where societies of one seed are let loose.
type ground struct {
	ctx         context.Context
	net         *perceptron
	train, test pile
	rounds      int
	seed        uint64
	only        string
	tell        func(tally)
	tallies     []tally
}

func (g *ground) enter(t tally) error {
	g.tallies = append(g.tallies, t)
	g.tell(t)
	return context.Cause(g.ctx)
}

// sum makes cells of the tallies of all seeds, in the order of the first.
func (r *arenaReport) sum(all []tally) {
	for _, t := range all[:len(all)/r.Seeds] {
		of := func(value func(tally) float64) spread {
			var v []float64
			for _, u := range all {
				if u.way == t.way && u.of == t.of {
					v = append(v, value(u))
				}
			}
			return over(v)
		}
		c := arenaCell{Way: t.way, Case: t.of, Accuracy: of(func(t tally) float64 { return t.accuracy })}
		some := func(value func(tally) float64) *spread { s := of(value); return &s }
		if t.counts {
			c.Sent, c.Seconds = some(func(t tally) float64 { return t.sent }), some(func(t tally) float64 { return t.seconds })
		}
		if t.remembers {
			c.Hostile, c.Honest = some(func(t tally) float64 { return t.hostile }), some(func(t tally) float64 { return t.honest })
		}
		r.Cells = append(r.Cells, c)
	}
}

func (r *arenaReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: %d digits learnt, %d asked about, %d parameters, %d rounds, %d seeds; mean (least to most)\n", r.Arena, r.Learnt, r.Asked, r.Parameters, r.Rounds, r.Seeds)
	t := ui.NewTable("way", "case", "right", "MB sent a node", "seconds of CPU", "hostile asked at the end", "honest asked")
	for _, c := range r.Cells {
		sent, seconds, hostile, honest := "–", "–", "–", "–"
		if c.Sent != nil {
			sent, seconds = c.Sent.short(1e6), c.Seconds.short(1)
		}
		if c.Hostile != nil {
			hostile, honest = c.Hostile.share(), c.Honest.share()
		}
		t.Row(c.Way, c.Case, c.Accuracy.share(), sent, seconds, hostile, honest)
	}
	return t.Fprint(w)
}

// arenaData is the digits to learn from and those to be asked about: the real ones, else what the project draws.
func arenaData(validate bool) (train, test pile, note string, err error) {
	var a, b *dataset.Set
	if _, ok := dataset.Root(); !ok {
		a, b = dataset.Strokes(2000, 1), dataset.Strokes(500, 2)
	} else if a, err = openAll(digitsTrain[:1], dataset.Images); err != nil {
		return train, test, "", err
	} else if b, err = openAll(digitsTrain[1:], dataset.Images); err != nil {
		return train, test, "", err
	}
	train, test = newPile(a.Items), newPile(b.Items)
	if validate {
		order := rand.New(rand.NewPCG(99, 99)).Perm(len(train.labels))
		cut := len(order) * 4 / 5
		train, test = train.pick(order[:cut]), train.pick(order[cut:])
	}
	return train, test, a.Note, nil
}

// What every node of the arenas is.
const (
	arenaSteps   = 5  // of gradient descent between two exchanges
	arenaBatch   = 10 // examples in a step
	arenaClasses = 10

	bytesRate  = 0.05 // of learning, in the arena of bytes
	poisonRate = 0.2  // and in the others
)

// A pile is examples as a net reads them.
type pile struct {
	inputs []float32 // (example, pixel)
	labels []int
	width  int
}

func newPile(items []dataset.Example) pile {
	p := pile{width: len(items[0].Pixels)}
	for _, e := range items {
		for _, b := range e.Pixels {
			p.inputs = append(p.inputs, float32(b)/255)
		}
		p.labels = append(p.labels, e.Label)
	}
	return p
}

// pick is the examples of a pile at these places.
func (p pile) pick(at []int) pile {
	q := pile{width: p.width}
	for _, i := range at {
		q.inputs = append(q.inputs, p.inputs[i*p.width:(i+1)*p.width]...)
		q.labels = append(q.labels, p.labels[i])
	}
	return q
}

// shards deals examples to n nodes: sorted by label, cut into n·each shards, and each node gets so many of them by chance.
func shards(labels []int, n, each int, rng *rand.Rand) [][]int {
	order := rng.Perm(len(labels))
	slices.SortStableFunc(order, func(a, b int) int { return labels[a] - labels[b] })
	parts := make([][]int, n)
	for k, s := range rng.Perm(n * each) {
		from, to := s*len(order)/(n*each), (s+1)*len(order)/(n*each)
		parts[k/each] = append(parts[k/each], order[from:to]...)
	}
	return parts
}

// A member is one node: what it has to learn from and where it stands.
type member struct {
	net   *perceptron // shared: one of them learns at a time
	data  pile
	x     []float32 // its parameters
	rate  float32
	prior []float32 // log shares of the classes among its examples
	rng   *rand.Rand

	seen   pile  // what it has learnt from since the last merge
	order  []int // of the examples, in this turn through them
	inputs []float32
	labels []int
}

// learn makes so many steps.
func (p *member) learn(steps int) {
	p.seen = pile{inputs: p.seen.inputs[:0], labels: p.seen.labels[:0], width: p.data.width}
	for range steps {
		p.inputs, p.labels = p.inputs[:0], p.labels[:0]
		for range arenaBatch {
			if len(p.order) == 0 {
				p.order = p.rng.Perm(len(p.data.labels))
			}
			i := p.order[0]
			p.order = p.order[1:]
			p.inputs = append(p.inputs, p.data.inputs[i*p.data.width:(i+1)*p.data.width]...)
			p.labels = append(p.labels, p.data.labels[i])
		}
		p.seen.inputs = append(p.seen.inputs, p.inputs...)
		p.seen.labels = append(p.seen.labels, p.labels...)
		p.net.step(p.x, p.inputs, p.labels, p.rate)
	}
}

// shares is the bias of logit adjustment (Menon et al. 2021, eq. 9): log shares of the classes, one example of each supposed.
func shares(labels []int, classes int) []float32 {
	count := make([]float64, classes)
	for i := range count {
		count[i] = 1
	}
	for _, c := range labels {
		count[c]++
	}
	bias := make([]float32, classes)
	for c, n := range count {
		bias[c] = float32(math.Log(n / float64(len(labels)+classes)))
	}
	return bias
}
