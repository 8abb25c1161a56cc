package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
)

type swarmDigits struct {
	devices, features int
	rounds, every     int
	asked             int
	rate, ourRate     float64 // of learning from pixels, and from what the encoder makes of them
	target            float64
	seeds             int
	seed              uint64
	only              string
	validate, json    bool
}

func swarmDigitsCommand() *cobra.Command {
	var o swarmDigits
	c := &cobra.Command{
		Use:   "digits",
		Short: "Devices that hold two digits each, and are asked about all ten",
		Long: `digits deals digits as federated averaging was tried on (McMahan et al. 2017): sorted by label, cut into two shards for each
device, so that most devices hold two classes. Then devices learn together in several ways, and are asked about all ten:

sums          each device makes a lesson of its examples (learning.Knack), once. In an exchange everybody visits someone, drawn anew, and asks
              for the lessons that are new there. Bytes are those of the frames of the protocol, signatures and all.
by gossip     everybody goes over their examples, and tells someone, drawn anew, all parameters of the net 784-200-200-10, the 2NN of that
              paper; who is told becomes the mean. Bytes are the bare parameters.
a server      a tenth of the devices go over their examples from where the server stands, and it becomes their mean.

The nets learn from pixels, and from what our encoder makes of them, which is what sums are made of.`,
		Example: `  yan-lab swarm digits
  yan-lab swarm digits --only sums --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.devices, "devices", 100, "devices")
	f.IntVar(&o.features, "features", 512, "features that a head makes of a picture")
	f.IntVar(&o.rounds, "rounds", 300, "exchanges at most where parameters are averaged; ten times as many with a server, which draws a tenth of the devices")
	f.IntVar(&o.every, "every", 10, "exchanges between two looks at where they stand")
	f.IntVar(&o.asked, "asked", 10, "devices asked at each look")
	f.Float64Var(&o.rate, "rate", 0.2, "learning rate where parameters are averaged, on pixels")
	f.Float64Var(&o.ourRate, "features-rate", 0.1, "the same on the encoder's features")
	f.Float64Var(&o.target, "target", 0.97, "share to be right about")
	f.IntVar(&o.seeds, "seeds", 3, "worlds")
	f.Uint64Var(&o.seed, "seed", 1, "the first of them")
	f.StringVar(&o.only, "only", "", "only the ways that have this in their name")
	f.BoolVar(&o.validate, "validate", false, "be asked about a fifth of what is to be learnt, which is left out, to choose settings by")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

func (o swarmDigits) run(cmd *cobra.Command) error {
	if o.seeds < 1 || o.devices < 2 || o.features < 1 || o.rounds < 1 || o.every < 1 || o.asked < 1 || !(o.rate > 0) || !(o.ourRate > 0) {
		return ui.Usage("swarm digits: a seed, two devices, a feature, a round, a look and a rate at least")
	}
	train, test, err := pictures(nil, nil)
	if err != nil {
		return err
	}
	if o.validate {
		train, test = apart(train)
	}
	d, err := newDigits(train, test)
	if err != nil {
		return err
	}
	r := swarmReport{Data: train.Note, Seeds: o.seeds, Target: o.target,
		World: fmt.Sprintf("%d devices, %d digits in two shards each, asked about %d", o.devices, len(train.Items), len(test.Items))}
	fmt.Fprintf(cmd.ErrOrStderr(), "data: %s\n", r.Data)
	var paths []path
	for i := range o.seeds {
		seed := o.seed + uint64(i)
		for _, w := range d.ways(o, seed) {
			if !strings.Contains(w.name, o.only) {
				continue
			}
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			p, err := w.run(w.name)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			for _, s := range p.stands {
				fmt.Fprintf(cmd.ErrOrStderr(), "seed %d, %s: %d exchanges, %.3f MB sent, %.2f %% (worst %.2f)\n", seed, w.name, s.exchanges, s.sent/1e6, 100*s.right, 100*s.least)
			}
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return ui.Usage("swarm digits: no way has %q in its name", o.only)
	}
	r.sum(paths)
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// apart takes a fifth of a set away to be asked about.
func apart(all *dataset.Set) (train, test *dataset.Set) {
	a, b := *all, *all
	a.Items, b.Items = nil, nil
	for k, i := range rand.New(rand.NewPCG(99, 99)).Perm(len(all.Items)) {
		if k < len(all.Items)*4/5 {
			a.Items = append(a.Items, all.Items[i])
		} else {
			b.Items = append(b.Items, all.Items[i])
		}
	}
	return &a, &b
}

// digits are examples to learn from and to be asked about, as pixels and as what the encoder makes of them.
type digits struct {
	train, test       *samples
	pixels, asked     pile
	encoded, encodedQ pile
}

func newDigits(train, test *dataset.Set) (*digits, error) {
	d := &digits{pixels: newPile(train.Items), asked: newPile(test.Items)}
	var err error
	if d.train, err = encode(train); err != nil {
		return nil, err
	}
	if d.test, err = encode(test); err != nil {
		return nil, err
	}
	d.encoded = pile{d.train.x, d.pixels.labels, d.train.width}
	d.encodedQ = pile{d.test.x, d.asked.labels, d.test.width}
	return d, nil
}

// A way is one way of learning together.
type way struct {
	name string
	run  func(name string) (path, error)
}

func (d *digits) ways(o swarmDigits, seed uint64) []way {
	parts := shards(d.pixels.labels, o.devices, 2, rand.New(rand.NewPCG(seed, 0)))
	nets := func(train, test pile, rate float64, how func(*averaging, string) path) func(string) (path, error) {
		return func(name string) (path, error) { return how(newAverage(parts, train, test, o, rate, seed), name), nil }
	}
	served := func(a *averaging, name string) path {
		a.rounds *= 10
		return a.served(name)
	}
	class := d.school(parts, o, seed)
	together := func(a *averaging, name string) path { return a.together(name, 20) }
	return []way{
		{"nobody is heard, sums", class.apart},
		{"sums, each once, from device to device", class.meet},
		{"all in one place, sums", class.together},
		{"averaging by gossip, pixels", nets(d.pixels, d.asked, o.rate, (*averaging).gossip)},
		{"averaging by gossip, our features", nets(d.encoded, d.encodedQ, o.ourRate, (*averaging).gossip)},
		{"a server averages, pixels", nets(d.pixels, d.asked, o.rate, served)},
		{"a server averages, our features", nets(d.encoded, d.encodedQ, o.ourRate, served)},
		{"all in one place, the net on pixels", nets(d.pixels, d.asked, o.rate, together)},
		{"all in one place, the net on our features", nets(d.encoded, d.encodedQ, o.ourRate, together)},
	}
}
