package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

type factsOptions struct {
	facts   int
	others  int
	methods []string
	model   string
	rates   []float64
	rules   []string
	seeds   int
	seed    uint64
	json    bool
}

// Who is taught.
const (
	byNobody  = "untaught learner"
	byFull    = "all weights"
	byLowRank = "low rank"
)

func factsCommand() *cobra.Command {
	var o factsOptions
	c := &cobra.Command{
		Use:   "facts",
		Short: "What is recalled of facts that were said once to three times",
		Long: `facts tells a mind invented facts, each once, twice or three times, every time in other words, and then asks for each: of ten
values that it was told of, which one does it expect most behind the beginning of a sentence? A new stream begins with each
question, so nothing but what was learnt can answer; one in ten is right by chance.

It asks right afterwards; after so many bytes of other text and a restart, from a snapshot that was written and read; and once
more when every fact has been told anew, once, with another value. Asked is in words in which the fact was told, and beside that in
words in which it never was. The last columns are what learning cost: the change on held-out text of the base's own.

Beside the learner stand its skill and its fast layer alone, all of the base's weights and adapters of rank 8, fine-tuned on
each sentence until it is known; their rate is the one of --rate that recalls most with another seed. They rest while the
other text passes by.`,
		Example: `  yan-lab facts
  yan-lab facts --facts 50 --others 10000 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return facts(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.facts, "facts", 200, "how many facts")
	f.IntVar(&o.others, "others", 100_000, "bytes of other text before it is asked again")
	f.StringSliceVar(&o.methods, "method", []string{byNobody, byBoth, bySkill, byFast, byFull, byLowRank}, "who is taught")
	f.Float64SliceVar(&o.rates, "rate", []float64{0.0003, 0.001, 0.003}, "learning rates to choose from, of all weights and of adapters")
	f.StringVar(&o.model, "model", "", "checkpoint `FILE` of the base; the embedded one if empty")
	f.StringSliceVar(&o.rules, "rule", []string{"backward"}, "by what error skills learn: backward, top, broadcast, own; see yan-lab local")
	f.IntVar(&o.seeds, "seeds", 3, "seeds, each with facts of its own")
	f.Uint64Var(&o.seed, "seed", 1, "the first of them")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return c
}

// wordings are ways to say that something about somebody is so; the value ends the sentence.
var wordings = [][]string{
	{"%s's drink is %s", "what %s drinks is %s", "to drink, %s is given %s"},
	{"%s's street is %s", "the street of %s is called %s", "letters to %s go to %s"},
	{"%s's dog is %s", "the dog that %s has is called %s", "when %s whistles, here comes %s"},
	{"%s's trade is %s", "the work that %s does is %s", "all day long %s does %s"},
	{"%s's colour is %s", "the colour that %s likes is %s", "everything %s wears is %s"},
	{"%s's town is %s", "the town where %s lives is %s", "on sundays %s goes home to %s"},
	{"%s's song is %s", "the song that %s sings is %s", "at night %s hums %s"},
	{"%s's friend is %s", "the friend of %s is %s", "you never see %s without %s"},
	{"%s's tool is %s", "the tool that %s needs is %s", "to mend things %s takes %s"},
	{"%s's fruit is %s", "the fruit that %s eats is %s", "in autumn %s picks %s"},
}

// choices is how many values a question chooses from.
const choices = 10

// A fact is what is so about somebody, and what will be.
type fact struct {
	who        string
	about      int
	value, new int
	told       []int // the wordings in which it is told
	untold     int   // one in which it is not; −1 if it is told in all
	changed    int   // the wording in which the new value is told
}

// A lore is facts with the values that they are about.
type lore struct {
	values [][]string // (about, choices)
	facts  []fact
}

func invent(r *rand.Rand) string {
	pick := func(s string) byte { return s[r.IntN(len(s))] }
	var b []byte
	for range 2 + r.IntN(2) {
		b = append(b, pick("bdfgklmnprstvz"), pick("aeiou"))
	}
	return string(append(b, pick("bdfgklmnprstvz")))
}

func newLore(n int, seed uint64) *lore {
	r := rand.New(rand.NewPCG(seed, 11))
	used := map[string]bool{}
	word := func() string {
		for {
			if w := invent(r); !used[w] {
				used[w] = true
				return w
			}
		}
	}
	l := &lore{}
	for range wordings {
		var v []string
		for range choices {
			v = append(v, word())
		}
		l.values = append(l.values, v)
	}
	for i := range n {
		name := word()
		f := fact{who: strings.ToUpper(name[:1]) + name[1:], about: i % len(wordings), value: r.IntN(choices), untold: -1}
		f.new = (f.value + 1 + r.IntN(choices-1)) % choices
		order := r.Perm(len(wordings[f.about]))
		f.told = order[:1+r.IntN(3)]
		if len(f.told) < len(order) {
			f.untold = order[len(order)-1]
		}
		f.changed = f.told[r.IntN(len(f.told))]
		l.facts = append(l.facts, f)
	}
	return l
}

// say is a fact in words, cut before its value.
func (l *lore) say(f *fact, wording int) string {
	s := wordings[f.about][wording]
	return fmt.Sprintf(s[:strings.LastIndex(s, "%s")], f.who)
}

// A lesson in facts is the order in which they are told: each as often as it is, the tellings of all mixed.
func (l *lore) tellings(r *rand.Rand) (list []string) {
	for i := range l.facts {
		f := &l.facts[i]
		for _, w := range f.told {
			list = append(list, l.say(f, w)+l.values[f.about][f.value]+"\n")
		}
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// A student is told things and asked.
type student interface {
	tell(line string) error
	pass(text []byte) // other text, and a restart behind it
	restart() error
	// ask is how surprising each value is behind the beginning of a sentence, with which a stream begins.
	ask(begin string, values []string) []float64
	reads(text []byte) float64 // bits a byte, nothing learnt
}

// recall is how many facts a student is right about: asked as told, asked otherwise, and against the new values.
func (l *lore) recall(p student, wording func(*fact) int, value func(*fact) int) float64 {
	right, asked := 0, 0
	for i := range l.facts {
		f := &l.facts[i]
		w := wording(f)
		if w < 0 {
			continue
		}
		asked++
		nats := p.ask("\n"+l.say(f, w), l.values[f.about])
		if slices.Index(nats, slices.Min(nats)) == value(f) {
			right++
		}
	}
	return float64(right) / float64(max(asked, 1))
}

// A factsRow is one student over all seeds; shares.
type factsRow struct {
	Method  string  `json:"method"`
	Rule    string  `json:"rule,omitempty"` // of learners with a skill
	Rate    float64 `json:"rate,omitempty"`
	After   spread  `json:"after"`        // right after, in words that were told
	Other   spread  `json:"after_untold"` // right after, in words that were not
	Later   spread  `json:"later"`        // after other text and a restart
	Changed spread  `json:"changed"`      // the new value, after it was told
	Cost    spread  `json:"base_change"`  // of the base's held-out text, after all tellings
}

type factsReport struct {
	Facts  int        `json:"facts"`
	Others int        `json:"others"`
	Seeds  int        `json:"seeds"`
	Text   string     `json:"text"`
	Rows   []factsRow `json:"rows"`
}

func facts(cmd *cobra.Command, o factsOptions) error {
	if o.facts < 1 || o.others < 0 || o.seeds < 1 || len(o.rates) == 0 {
		return ui.Usage("facts: --facts %d, --others %d, --seeds %d, %d rates: one at least, and no less than no other text", o.facts, o.others, o.seeds, len(o.rates))
	}
	m, err := loadBase(o.model)
	if err != nil {
		return err
	}
	d, err := orGenerated("", "text:wikitext2/valid.txt", "prose")
	if err != nil {
		return err
	}
	text := d.Bytes()
	others := text[max(len(text)-o.others, 0):]
	k, err := orGenerated("", "text:tinyshakespeare/input.txt", "verse")
	if err != nil {
		return err
	}
	_, held := k.Split(0.1)
	e := &examination{base: m, others: others, held: held.Bytes(), facts: o.facts}
	e.before = learning.Evaluate(m, e.held, nil).Bits
	r := factsReport{Facts: o.facts, Others: len(others), Seeds: o.seeds, Text: d.Arg}
	for _, taught := range withRules(o.methods, o.rules) {
		row, err := e.row(cmd.Context(), taught, o, cmd.ErrOrStderr().Write)
		if err != nil {
			return err
		}
		r.Rows = append(r.Rows, row)
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d facts, %s of %s between; %d seeds: mean (least to greatest)\n\n", r.Facts, ui.Bytes(int64(r.Others)), r.Text, r.Seeds)
	t := ui.NewTable("taught", "rate", "right after", "in other words", "later, restarted", "new value", "base's own text")
	for _, row := range r.Rows {
		rate := "–"
		if row.Rate > 0 {
			rate = fmt.Sprint(row.Rate)
		}
		t.Row(ruled{row.Method, row.Rule}, rate, row.After.share(), row.Other.share(), row.Later.share(), row.Changed.share(), row.Cost.percent())
	}
	return t.Fprint(cmd.OutOrStdout())
}

func (s spread) share() string {
	return fmt.Sprintf("%.1f %% (%.1f to %.1f)", 100*s.Mean, 100*s.Min, 100*s.Max)
}

// An examination is what all students go through.
type examination struct {
	base         *model.Model
	others, held []byte
	before       float64 // bits a byte of held
	facts        int
}

func (e *examination) row(ctx context.Context, by ruled, o factsOptions, progress func([]byte) (int, error)) (row factsRow, err error) {
	method := by.method
	row.Method, row.Rule = method, by.rule
	if method == byFull || method == byLowRank {
		best := -1.0
		for _, rate := range o.rates { // with facts that are not asked for afterwards
			l := newLore(e.facts, o.seed+1000)
			p, err := e.student(by, rate, o.seed+1000)
			if err != nil {
				return row, err
			}
			if err := e.teach(ctx, p, l.tellings(rand.New(rand.NewPCG(o.seed+1000, 12)))); err != nil {
				return row, err
			}
			if right := l.recall(p, asTold, oldValue); right > best {
				best, row.Rate = right, rate
			}
		}
	}
	var after, other, later, changed, cost []float64
	for i := range o.seeds {
		seed := o.seed + uint64(i)
		fmt.Fprintf(writer(progress), "%s, seed %d\n", by, seed)
		l := newLore(e.facts, seed)
		p, err := e.student(by, row.Rate, seed)
		if err != nil {
			return row, err
		}
		if method != byNobody {
			if err := e.teach(ctx, p, l.tellings(rand.New(rand.NewPCG(seed, 12)))); err != nil {
				return row, err
			}
		}
		after = append(after, l.recall(p, asTold, oldValue))
		other = append(other, l.recall(p, otherwise, oldValue))
		p.pass(e.others)
		if err := p.restart(); err != nil {
			return row, err
		}
		later = append(later, l.recall(p, asTold, oldValue))
		if method != byNobody {
			var list []string
			for i := range l.facts {
				f := &l.facts[i]
				list = append(list, l.say(f, f.changed)+l.values[f.about][f.new]+"\n")
			}
			if err := e.teach(ctx, p, list); err != nil {
				return row, err
			}
		}
		changed = append(changed, l.recall(p, func(f *fact) int { return f.changed }, func(f *fact) int { return f.new }))
		cost = append(cost, p.reads(e.held)/e.before-1)
	}
	row.After, row.Other, row.Later, row.Changed, row.Cost = over(after), over(other), over(later), over(changed), over(cost)
	return row, nil
}

func asTold(f *fact) int    { return f.told[0] }
func otherwise(f *fact) int { return f.untold }
func oldValue(f *fact) int  { return f.value }

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func (e *examination) teach(ctx context.Context, p student, list []string) error {
	for _, line := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.tell(line); err != nil {
			return err
		}
	}
	return nil
}

func (e *examination) student(by ruled, rate float64, seed uint64) (student, error) {
	cfg := learning.Config{Seed: seed, Rule: local.Rule(by.rule)}
	switch method := by.method; method {
	case byFull, byLowRank:
		t, err := newTuner(e.base, rate)
		if err == nil && method == byLowRank {
			t.low = newLowRank(t.model, 8, seed)
		}
		return &tuned{t}, err
	case bySkill:
		cfg.Fast = -1
	case byFast:
		cfg.MaxSkills = -1
	case byBoth, byNobody:
	default:
		return nil, ui.Usage("facts: --method %q: one of %q", method, []string{byNobody, byBoth, bySkill, byFast, byFull, byLowRank})
	}
	l, err := learning.New(cfg, e.base)
	return &listener{l, cfg}, err
}

// A listener is a learner, told line by line as its owner would type.
type listener struct {
	l   *learning.Learner
	cfg learning.Config
}

func (p *listener) tell(line string) error {
	p.l.Read(sense.Text([]byte(line)))
	p.l.Flush()
	return nil
}

func (p *listener) pass(text []byte) {
	p.l.Read(sense.Text(text))
}

func (p *listener) restart() error {
	var b bytes.Buffer
	if err := p.l.WriteSnapshot(&b); err != nil {
		return err
	}
	n, err := learning.New(p.cfg, p.l.Base())
	if err != nil {
		return err
	}
	p.l = n
	return n.ReadSnapshot(b.Bytes())
}

func (p *listener) ask(begin string, values []string) (nats []float64) {
	a := p.l.AsideOf(p.l.Settled())
	a.Surprise(sense.Text([]byte(begin)))
	for _, v := range values {
		nats = append(nats, a.Fork().Surprise(sense.Text([]byte(v))))
	}
	return nats
}

func (p *listener) reads(text []byte) float64 {
	return p.l.AsideOf(p.l.Settled()).Surprise(sense.Text(text)) / float64(len(text)-1) / math.Ln2
}

// A tuned student is a model that is fine-tuned on what it is told, until it is known.
type tuned struct{ t *tuner }

// How often a sentence is gone over at most, and the surprise in nats a byte at which it counts as known: as the learner
// does it.
const (
	tunedPasses = 16
	tunedKnown  = 0.1
)

func (p *tuned) tell(line string) error {
	in := sense.Text([]byte("\n" + line))
	for range tunedPasses {
		if p.t.step(p.t.model.NewState(), in) < tunedKnown*float64(len(in)-1) {
			break
		}
	}
	return nil
}

func (p *tuned) pass([]byte)    {}
func (p *tuned) restart() error { return nil }

func (p *tuned) ask(begin string, values []string) (nats []float64) {
	s := p.t.model.NewState()
	var logits []float32
	for _, e := range sense.Text([]byte(begin)) {
		logits = p.t.model.Step(s, e)
	}
	first := slices.Clone(logits)
	var d [sense.Symbols]float32
	for _, v := range values {
		s, logits := s.Clone(), first
		var sum float64
		in := sense.Text([]byte(v))
		for i, e := range in {
			sum += gradient.CrossEntropy(d[:], logits, in[i:i+1], 1)
			logits = p.t.model.Step(s, e)
		}
		nats = append(nats, sum)
	}
	return nats
}

func (p *tuned) reads(text []byte) float64 { return learning.Evaluate(p.t.model, text, nil).Bits }
