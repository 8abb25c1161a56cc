package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
)

type growthOptions struct {
	data   string
	config string
	bytes  int64
	most   int
	seeds  int
	seed   uint64
	json   bool
}

// growthShapes are models at full size; what grows begins with a tenth of their sections. Their gates are budgeted sparsemax, which
// computes no more sections when there are more of them.
var growthShapes = map[string]learning.TrainConfig{
	"few":  {Model: model.Config{Width: 64, Layers: 2, Channels: 4, Sections: 80, Neurons: 8, KeyRank: 16, Active: 4, MaxActive: 5, Alpha: 1, ContextLayer: 1}, Rate: 0.006},
	"some": {Model: model.Config{Width: 64, Layers: 2, Channels: 4, Sections: 180, Neurons: 8, KeyRank: 16, Active: 3, MaxActive: 4, Alpha: 1, ContextLayer: 1}, Rate: 0.006},
	"many": {Model: model.Config{Width: 32, Layers: 2, Channels: 4, Sections: 960, Neurons: 8, KeyRank: 8, Active: 2, Alpha: 1, ContextLayer: 1}, Rate: 0.008},
}

// growthSpans is in how many stretches the bytes are cut of which surprise is compared.
const growthSpans = 96

func growthCommand() *cobra.Command {
	var o growthOptions
	c := &cobra.Command{
		Use:   "growth",
		Short: "Whether a base that grows while it is trained comes to what one of full size does",
		Long: `growth trains three bases on the same bytes of a text: one at full size from the beginning, one that begins with a tenth of the
sections and grows when what it reads goes on to surprise it, and one that stays at the tenth, and prints bits a byte on the text's
last tenth, which none of them has read. The last tenth before that is left to those who choose settings, and not read either.

The active share is the part of all parameters that an event is computed with, the dense ones among them.`,
		Example: `  # three seeds of each
  yan-lab growth

  # ten times as many sections, of which few are active from the beginning
  yan-lab growth --config many --bytes 3000000 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return growth(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.data, "data", "", "what to read, as `kind:path`; tiny Shakespeare, or a generated text")
	f.StringVar(&o.config, "config", "few", "few: 8 to 80 sections; some: 18 to 180; many: 96 to 960")
	f.Int64Var(&o.bytes, "bytes", 2_000_000, "bytes that each reads, repeats counted")
	f.IntVar(&o.most, "held", 100_000, "held-out bytes to measure on, at most")
	f.IntVar(&o.seeds, "seeds", 3, "seeds")
	f.Uint64Var(&o.seed, "seed", 1, "the first of them")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// A growthRow is one way to come to a base, over all seeds.
type growthRow struct {
	Base       string  `json:"base"`
	From       int     `json:"sections_at_first"`
	To         int     `json:"sections"` // in each layer at the end; the fewest of all seeds
	Parameters int     `json:"parameters"`
	Growths    int     `json:"growths"` // the most of all seeds
	First      float64 `json:"active_share_at_first"`
	Last       spread  `json:"active_share"`
	Sections   spread  `json:"sections_active"` // in a layer, on average
	Bits       spread  `json:"bits_per_byte"`
	Against    spread  `json:"against_full"` // a share, seed by seed; positive is worse
}

type growthReport struct {
	Data  string      `json:"data"`
	Bytes int64       `json:"bytes"`
	Held  int         `json:"held"`
	Seeds int         `json:"seeds"`
	Rows  []growthRow `json:"rows"`
}

func growth(cmd *cobra.Command, o growthOptions) error {
	shape, ok := growthShapes[o.config]
	if !ok || o.bytes < 10_000 || o.seeds < 1 || o.most < 100 {
		return ui.Usage("growth: --config %s, --bytes %d, --seeds %d, --held %d: few, some or many, and at least 10000, 1 and 100", o.config, o.bytes, o.seeds, o.most)
	}
	d, err := orGenerated(o.data, "text:tinyshakespeare/input.txt", "verse")
	if err != nil {
		return err
	}
	text := d.Bytes()
	if len(text) < 20_000 {
		return ui.Usage("%s: %d bytes: at least 20000 belong here", d.Arg, len(text))
	}
	read, held := text[:len(text)*8/10], text[len(text)*9/10:]
	held = held[:min(len(held), o.most)]
	shape.Bytes = o.bytes
	tenth, grown := shape, shape
	tenth.Model.Sections = shape.Model.Sections / 10
	grown.Growth = learning.Growth{From: tenth.Model.Sections, Span: o.bytes / growthSpans}
	r := growthReport{Data: d.Arg, Bytes: o.bytes, Held: len(held), Seeds: o.seeds}
	var full []float64
	for _, arm := range []struct {
		name   string
		config learning.TrainConfig
	}{{"full size from the beginning", shape}, {"grown from a tenth", grown}, {"the tenth, never grown", tenth}} {
		row := growthRow{Base: arm.name, From: arm.config.Model.Sections, To: arm.config.Model.Sections}
		if from := arm.config.Growth.From; from > 0 {
			row.From = from
		}
		var bits, last, active, against []float64
		for i := range o.seeds {
			arm.config.Seed = o.seed + uint64(i)
			b, err := raise(cmd.Context(), arm.config, read, held)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s, seed %d: %.4f bits a byte, %d sections, %.2f of them active\n", arm.name, arm.config.Seed, b.bits, b.sections, b.active)
			if len(full) <= i {
				full = append(full, b.bits)
			}
			bits, last, active, against = append(bits, b.bits), append(last, b.share), append(active, b.active), append(against, b.bits/full[i]-1)
			row.To, row.Parameters, row.Growths = min(row.To, b.sections), b.parameters, max(row.Growths, b.growths)
			row.First += b.first / float64(o.seeds)
		}
		row.Bits, row.Last, row.Sections, row.Against = over(bits), over(last), over(active), over(against)
		r.Rows = append(r.Rows, row)
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s read, %s held out, %d seeds: mean (least to greatest)\n\n", r.Data, ui.Bytes(r.Bytes), ui.Bytes(int64(r.Held)), r.Seeds)
	t := ui.NewTable("base", "sections", "parameters", "growths", "active share", "sections active", "bits a byte", "against full size")
	for _, row := range r.Rows {
		t.Row(row.Base, fmt.Sprintf("%d to %d", row.From, row.To), ui.Count(int64(row.Parameters)), row.Growths,
			fmt.Sprintf("%.1f %% to %.1f %%", 100*row.First, 100*row.Last.Mean), fmt.Sprintf("%.1f", row.Sections.Mean), row.Bits.plain(), row.Against.percent())
	}
	return t.Fprint(cmd.OutOrStdout())
}

// A raised is what became of one training.
type raised struct {
	bits, active         float64
	first, share         float64 // active share of the parameters at the beginning and at the end
	sections, parameters int
	growths              int
}

// raise trains a base on text and measures it on held.
func raise(ctx context.Context, cfg learning.TrainConfig, text, held []byte) (r raised, err error) {
	t, err := learning.NewTrainer(cfg, []learning.Source{{Name: "text", Text: text}})
	if err != nil {
		return r, err
	}
	defer t.Close()
	was := t.Model().Config.Sections
	for steps := 0; !t.Done(); steps++ {
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		s := t.Step()
		if steps == 64 { // the first of all say little
			r.first = activeShare(t.Model(), s.Active)
		}
		if n := t.Model().Config.Sections; n != was {
			was = n
			r.growths++
		}
	}
	m := t.Model()
	e := learning.Evaluate(m, held, nil)
	r.bits, r.share, r.active = e.Bits, activeShare(m, e.Active), e.Active*float64(m.Config.Sections)
	r.sections, r.parameters = m.Config.Sections, m.Parameters()
	return r, nil
}

// activeShare is the part of a base's parameters that an event is computed with, where that share of its sections is active: all that is
// dense, but of the embedding one row.
func activeShare(m *model.Model, sections float64) float64 {
	c := m.Config
	all := float64(m.Parameters())
	pool := float64(c.Layers * c.Sections * c.SectionSize())
	return (all - pool - float64(m.Embed.Len()-c.Width) + sections*pool) / all
}
