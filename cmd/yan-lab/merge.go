package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

type mergeOptions struct {
	model   string
	authors int
	learn   int
	held    int
	seeds   int
	seed    uint64
	json    bool
}

func mergeCommand() *cobra.Command {
	var o mergeOptions
	c := &cobra.Command{
		Use:   "merge",
		Short: "What many taught under one name, merged into one skill",
		Long: `merge has several authors learn a skill of one name, each from a text of their own, and merges what they learnt. Authors
may agree (they read of one thing), have nothing in common (half of them read of another thing) or contradict one another (they know
the same people to like other things). A mind that has learnt nothing itself is then asked about texts of all authors that
nobody learnt from: with the skill of the best author for all of them, with a bank for every author, with the mean of all, with
one bank that was averaged robustly, and with what devices make of them, in which camps stay apart and sections fork.

Own is what each author has on their own text. All figures are bits a byte, and their spread is over seeds.`,
		Example: `  yan-lab merge
  yan-lab merge --authors 2 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return merge(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.model, "model", "", "checkpoint `FILE` of the base; the embedded one if empty")
	f.IntVar(&o.authors, "authors", 4, "how many learn each skill")
	f.IntVar(&o.learn, "learn", 6000, "bytes that each author learns")
	f.IntVar(&o.held, "held", 1500, "bytes of each author's text to measure on")
	f.IntVar(&o.seeds, "seeds", 3, "how many times, with other texts")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// A crowd is several authors and their texts.
type crowd struct {
	name string
	text func(author, size int, seed uint64) []byte
}

// crowds are those that agree, and those that do not.
func crowds(verse []byte, authors int) []crowd {
	orders := func(intent string) func(int, int, uint64) []byte {
		return func(author, size int, seed uint64) []byte {
			return []byte(strings.Join(dataset.Commands(intent, size/8, 1000*seed+uint64(author)), "\n"))
		}
	}
	stretch := func(author, size int, seed uint64) []byte {
		at := int((seed*uint64(authors) + uint64(author)) * 40_009 % uint64(len(verse)-size))
		return verse[at : at+size]
	}
	music := orders("music")
	return []crowd{
		{"agree: verse", stretch},
		{"agree: commands", music},
		{"apart: verse and commands", func(author, size int, seed uint64) []byte {
			if author%2 == 0 {
				return stretch(author, size, seed)
			}
			return music(author, size, seed)
		}},
		{"contradict: who likes what", tastes},
	}
}

// tastes are what authors say of people whom all know: those with even numbers know them otherwise than those with odd ones.
func tastes(author, size int, seed uint64) []byte {
	people := strings.Fields("anna boris clara david erika fritz greta heinz irene jakob klara louis")
	things := strings.Fields("apples bread cherries dates eggs figs grapes honey jam kale lemons milk")
	likes := rand.New(rand.NewPCG(seed, uint64(author%2)+40)).Perm(len(things))
	r := rand.New(rand.NewPCG(seed, uint64(author)+80))
	var b bytes.Buffer
	for b.Len() < size {
		p := r.IntN(len(people))
		fmt.Fprintf(&b, "%s likes %s.\n", people[p], things[likes[p]])
	}
	return b.Bytes()
}

// A mergeRow is one crowd over all seeds.
type mergeRow struct {
	Crowd    string `json:"crowd"`
	Untaught spread `json:"untaught"`
	Own      spread `json:"own"`
	Best     spread `json:"best_author"`
	Every    spread `json:"a_bank_for_every_author"`
	Plain    spread `json:"mean"`
	Whole    spread `json:"one_bank"`
	Merged   spread `json:"merged"`
	Banks    spread `json:"banks"`
	Sections spread `json:"sections"` // of an author's, as a multiple
}

type mergeReport struct {
	Authors int        `json:"authors"`
	Learn   int        `json:"learn_bytes"`
	Verse   string     `json:"verse"`
	Rows    []mergeRow `json:"rows"`
}

func merge(cmd *cobra.Command, o mergeOptions) error {
	if o.seeds < 1 || o.authors < 2 || o.learn < 1000 || o.held < 100 {
		return ui.Usage("merge: --seeds %d, --authors %d, --learn %d, --held %d: a seed, two authors, 1000 bytes and 100 bytes at least", o.seeds, o.authors, o.learn, o.held)
	}
	m, err := loadBase(o.model)
	if err != nil {
		return err
	}
	verse, err := orGenerated("", "text:tinyshakespeare/input.txt", "verse")
	if err != nil {
		return err
	}
	r := mergeReport{Authors: o.authors, Learn: o.learn, Verse: verse.Arg}
	list := crowds(verse.Bytes(), o.authors)
	p := ui.NewProgress(cmd.ErrOrStderr(), "merge", int64(o.seeds*len(list)), "crowds")
	defer p.Done()
	for _, c := range list {
		var all [9][]float64
		for i := range o.seeds {
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			v, err := meet(m, c, o, o.seed+uint64(i))
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			for k, x := range v {
				all[k] = append(all[k], x)
			}
			p.Add(1)
		}
		r.Rows = append(r.Rows, mergeRow{c.name, over(all[0]), over(all[1]), over(all[2]), over(all[3]), over(all[4]), over(all[5]), over(all[6]), over(all[7]), over(all[8])})
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

func (r *mergeReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%d authors learnt %s each; verse is %s. Bits a byte, mean (least to greatest).\n\n", r.Authors, ui.Bytes(int64(r.Learn)), r.Verse)
	t := ui.NewTable("authors", "untaught", "own", "best author", "a bank each", "mean", "one bank", "merged", "banks", "sections")
	for _, x := range r.Rows {
		t.Row(x.Crowd, x.Untaught.plain(), x.Own.plain(), x.Best.plain(), x.Every.plain(), x.Plain.plain(), x.Whole.plain(), x.Merged.plain(),
			fmt.Sprintf("%.1f", x.Banks.Mean), fmt.Sprintf("%.2fx", x.Sections.Mean))
	}
	return t.Fprint(w)
}

// meet has a crowd learn and be merged: the figures of a row.
func meet(m *model.Model, c crowd, o mergeOptions, seed uint64) (v [9]float64, err error) {
	var set []learning.Contribution
	var held [][]byte
	for i := range o.authors {
		text := c.text(i, o.learn+o.held, seed)
		if len(text) < o.learn+o.held {
			return v, ui.Usage("--learn %d, --held %d: there are %d bytes", o.learn, o.held, len(text))
		}
		held = append(held, text[len(text)-o.held:])
		d, err := author(m, text[:o.learn], seed*100+uint64(i))
		if err != nil {
			return v, err
		}
		set = append(set, learning.Contribution{Author: fmt.Sprint("author-", i), Seq: 1, Delta: d})
	}
	ask := func(fold func(*learning.Learner) error) ([]float64, error) {
		l, err := learning.New(learning.Config{}, m)
		if err == nil {
			err = fold(l)
		}
		if err != nil {
			return nil, err
		}
		var bits []float64
		for _, t := range held {
			bits = append(bits, learning.Evaluate(l.Settled(), t, nil).Bits)
		}
		return bits, nil
	}
	single := func(of ...learning.Contribution) func(*learning.Learner) error {
		return func(l *learning.Learner) error {
			for _, x := range of {
				if _, err := l.Fold(x.Author, x.Delta); err != nil {
					return err
				}
			}
			return nil
		}
	}
	of := func(fold func(*learning.Learner) error) float64 {
		bits, e := ask(fold)
		if err == nil {
			err = e
		}
		return average(bits)
	}
	v[0] = of(single())
	v[2] = math.Inf(1)
	for i, x := range set {
		bits, err := ask(single(x))
		if err != nil {
			return v, err
		}
		v[1] += bits[i] / float64(len(set))
		v[2] = min(v[2], average(bits))
	}
	v[3] = of(single(set...))
	for k, how := range []learning.Merging{{Plain: true}, {Whole: true}, {}} {
		d, _, e := how.Merge(m.Config, m.Fingerprint(), set)
		if e != nil {
			return v, e
		}
		v[4+k] = of(func(l *learning.Learner) error {
			_, err := l.FoldMerged(d, nil)
			return err
		})
		v[7], v[8] = float64(d.Camps()), float64(d.Sections())/float64(set[0].Delta.Sections())
	}
	return v, err
}

// author is what somebody who learnt a text has published, as others have it.
func author(m *model.Model, text []byte, seed uint64) (*learning.Delta, error) {
	l, err := learning.New(learning.Config{Seed: seed}, m)
	if err != nil {
		return nil, err
	}
	if err := l.Focus("skill"); err != nil {
		return nil, err
	}
	l.Read(sense.Text(text))
	if err := l.Focus(""); err != nil {
		return nil, err
	}
	d, err := l.Export("skill")
	if err != nil {
		return nil, err
	}
	b, err := d.Pack(m.Config, learning.Packing{}, nil)
	if err != nil {
		return nil, err
	}
	return learning.DecodeDelta(b, m.Config, m.Fingerprint())
}
