package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/sim/event"
)

type rateOptions struct {
	nodes, rounds int
	workers       int
	seeds         int
	seed          uint64
	json          bool
}

func gossipRateCommand() *cobra.Command {
	var o rateOptions
	c := &cobra.Command{
		Use:   "gossip-rate",
		Short: "Count how many rounds of a classic gossip protocol the event core takes in a second",
		Long: `gossip-rate runs gossip learning with linear models (Ormándi, Hegedűs and Jelasity 2013) on the event core that simulated
worlds run on. Each node has one example. Once a period it sends its model to a peer at random; whoever hears a model averages it with the
one that it heard before, and takes a step of Pegasos on its own example. Messages take a twentieth to a half of a period.

There are 57 features, as in spambase, here drawn from a seed: two classes, of which the best line gets 5 % wrong. The figure is node-rounds a
second of processor time; beside it stand those of gossipy on the same protocol and size, and of a plain loop without events or messages.

It is the core that is measured, not the node of the mesh: a node does more in a round than these 57 numbers need.`,
		Example: `  yan-lab gossip-rate
  yan-lab gossip-rate --nodes 100000 --rounds 50 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return gossipRate(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.nodes, "nodes", 4141, "how many nodes")
	f.IntVar(&o.rounds, "rounds", 200, "how many periods")
	f.IntVar(&o.workers, "workers", 1, "how many nodes run side by side; 0 takes every processor")
	f.IntVar(&o.seeds, "seeds", 3, "how many worlds")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

type rateReport struct {
	Nodes    int     `json:"nodes"`
	Features int     `json:"features"`
	Rounds   int     `json:"rounds"`
	Workers  int     `json:"workers"`
	Rate     spread  `json:"node_rounds_per_cpu_second"`
	Events   spread  `json:"events_per_cpu_second"`
	Errors   []wrong `json:"errors"`
}

// A wrong is how many test examples are taken for the other class after some rounds.
type wrong struct {
	Round int    `json:"round"`
	Share spread `json:"share"`
}

func gossipRate(cmd *cobra.Command, o rateOptions) error {
	if o.nodes < 2 || o.nodes > 10_000_000 || o.rounds < 1 || o.workers < 0 || o.seeds < 1 {
		return ui.Usage("--nodes must be 2 to 10,000,000, --rounds and --seeds at least 1, and --workers at least 0")
	}
	if o.workers == 0 {
		o.workers = runtime.GOMAXPROCS(0)
	}
	r, err := measureRate(cmd.Context(), cmd.ErrOrStderr(), o)
	if err != nil {
		return err
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return printRate(cmd.OutOrStdout(), r)
}

func measureRate(ctx context.Context, stderr io.Writer, o rateOptions) (r rateReport, err error) {
	r = rateReport{Nodes: o.nodes, Features: svmFeatures, Rounds: o.rounds, Workers: o.workers}
	p := ui.NewProgress(stderr, "gossip", int64(o.seeds*o.rounds), "rounds")
	defer p.Done()
	var rates, events []float64
	wrongs := map[int][]float64{}
	for s := range o.seeds {
		g, err := newGossip(o.seed+uint64(s), o.nodes, o.workers)
		if err != nil {
			return r, err
		}
		var spent time.Duration
		for round := range o.rounds {
			if ctx.Err() != nil {
				return r, context.Cause(ctx)
			}
			if lookAt(round) {
				wrongs[round] = append(wrongs[round], g.wrong())
			}
			began := speed.CPU()
			if err := g.run(); err != nil {
				return r, err
			}
			spent += speed.CPU() - began
			p.Add(1)
		}
		wrongs[o.rounds] = append(wrongs[o.rounds], g.wrong())
		rates = append(rates, float64(o.nodes*o.rounds)/spent.Seconds())
		events = append(events, float64(g.loop.Happened())/spent.Seconds())
	}
	r.Rate, r.Events = over(rates), over(events)
	for round := range o.rounds + 1 {
		if w := wrongs[round]; w != nil {
			r.Errors = append(r.Errors, wrong{round, over(w)})
		}
	}
	return r, nil
}

// lookAt says after which rounds one looks: 0, 1, 2, 5, 10, 20, 50 and so on.
func lookAt(round int) bool {
	for round >= 10 && round%10 == 0 {
		round /= 10
	}
	return round == 0 || round == 1 || round == 2 || round == 5
}

// What others reach on this protocol with 4,141 nodes and as many features, as docs/benchmarks.md has it.
const (
	gossipyRate = 1670
	plainRate   = 2_300_000
)

func printRate(w io.Writer, r rateReport) error {
	t := ui.NewTable("after rounds", "wrong")
	for _, e := range r.Errors {
		t.Row(e.Round, fmt.Sprintf("%.1f %%", 100*e.Share.Mean))
	}
	if err := t.Fprint(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `
%d nodes, %d features, %d rounds, %d workers:
%.0f node-rounds a second of processor time (%.0f to %.0f), %.0f events
%.0f times gossipy's %d; a plain loop without messages: %d
`, r.Nodes, r.Features, r.Rounds, r.Workers, r.Rate.Mean, r.Rate.Min, r.Rate.Max, r.Events.Mean, r.Rate.Mean/gossipyRate, gossipyRate, plainRate)
	return err
}

const (
	svmFeatures = 57
	svmWidth    = 64 // a vector in memory: what is beyond the features stays zero
	svmLambda   = 0.01
	svmPeriod   = time.Second
	svmDistance = 1.645 // of either class from the middle, in deviations: 5 % lie beyond it
)

// A linear is a model: the sign of a product.
type linear struct {
	w [svmWidth]float32
	t int32 // how many examples it has seen
}

// A gossiper is a node with one example. What it sent is read by whoever gets it less than a period later, and so is not written again
// before the period after the next.
type gossiper struct {
	x      [svmWidth]float32
	y      float32
	now    linear // its model
	heard  linear // the one it heard last
	sent   [2]linear
	rounds int
}

// A gossiping is a world of them.
type gossiping struct {
	loop  *event.Loop[*linear, struct{}]
	nodes []gossiper
	test  []gossiper // examples only
	end   time.Duration
}

func newGossip(seed uint64, nodes, workers int) (*gossiping, error) {
	g := &gossiping{nodes: make([]gossiper, nodes), test: make([]gossiper, 460)}
	r := rand.New(rand.NewPCG(seed, 57))
	var middle [svmFeatures]float64
	for i := range middle {
		middle[i] = r.NormFloat64()
	}
	draw := func(all []gossiper) {
		var sum float64
		for _, m := range middle {
			sum += m * m
		}
		scale := svmDistance / math.Sqrt(sum)
		for i := range all {
			all[i].y = float32(2*r.IntN(2) - 1)
			for k, m := range middle {
				all[i].x[k] = float32(r.NormFloat64()) + all[i].y*float32(m*scale)
			}
		}
	}
	draw(g.nodes)
	draw(g.test)
	var err error
	g.loop, err = event.New(event.Options[*linear, struct{}]{
		Actors: nodes, Lookahead: svmPeriod / 20, Seed: seed, Workers: workers, Handle: g.handle,
	})
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		g.loop.Plan(i, time.Duration(r.Int64N(int64(svmPeriod))), nil)
	}
	return g, nil
}

// run lets one period pass, in which each node sends once.
func (g *gossiping) run() error {
	g.end += svmPeriod
	return g.loop.Run(g.end - 1)
}

// handle has a node send its model, or hear one.
func (g *gossiping) handle(t *event.Turn[*linear, struct{}], m *linear) error {
	n := &g.nodes[t.Actor()]
	if m != nil {
		n.hear(m)
		return nil
	}
	s := &n.sent[n.rounds&1]
	n.rounds++
	*s = n.now
	r := t.Chance()
	to := r.IntN(len(g.nodes) - 1)
	if to >= t.Actor() {
		to++
	}
	t.Send(to, svmPeriod/20+time.Duration(r.Int64N(int64(svmPeriod/2-svmPeriod/20))), s)
	t.After(svmPeriod, nil)
	return nil
}

// hear is createModelMU of Ormándi et al. (2013), algorithm 2: merge, then update. The update is that of Pegasos (Shalev-Shwartz et al. 2007).
func (n *gossiper) hear(m *linear) {
	c := &n.now
	for i := range c.w {
		c.w[i] = (m.w[i] + n.heard.w[i]) / 2
	}
	c.t = max(m.t, n.heard.t) + 1
	n.heard = *m

	// w ← (1 − ηλ) w, and + η y x where y ⟨w, x⟩ < 1, with η = 1 / (λ t)
	step := 1 / (svmLambda * float32(c.t))
	margin := n.y * kernel.Dot(c.w[:], n.x[:])
	kernel.Scale(c.w[:], 1-1/float32(c.t))
	if margin < 1 {
		kernel.Axpy(c.w[:], step*n.y, n.x[:])
	}
}

// wrong is the share of test examples that a hundred nodes take for the other class.
func (g *gossiping) wrong() float64 {
	asked := min(100, len(g.nodes))
	wrong := 0
	for k := range asked {
		w := &g.nodes[k*len(g.nodes)/asked].now.w
		for i := range g.test {
			if g.test[i].y*kernel.Dot(w[:], g.test[i].x[:]) <= 0 {
				wrong++
			}
		}
	}
	return float64(wrong) / float64(asked*len(g.test))
}
