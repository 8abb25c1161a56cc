package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh/patch"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

type squeezeOptions struct {
	model string
	snips bool
	learn int
	held  int
	every int
	seeds int
	seed  uint64
	json  bool
}

func squeezeCommand() *cobra.Command {
	var o squeezeOptions
	c := &cobra.Command{
		Use:   "squeeze",
		Short: "In how few bytes a skill travels, and what of its gain arrives",
		Long: `squeeze teaches a device a skill and, after every so many bytes, sends it to another device, in many formats side by side:
with fewer bits a weight, and from the second version on as the difference from what the other has, of all weights or of those
that changed most. What was left out goes into the next version. Patches are bodies that are whole, of which the mesh sends the
bytes that differ from the version before; with a slack a weight keeps its code until it is so many steps from it.

Gain is bits a byte that the other device saves on text of the skill that nobody learnt from; kept is its share of what it saves
with the skill as its owner has it, at the last version and half way there. Forgetting is what the
other device loses on text of the base's own. The last column of bytes is an exchange's mean over all versions, as a share of
the full model with 32 bits a parameter. Each seed has a skill of its own.`,
		Example: `  yan-lab squeeze
  yan-lab squeeze --learn 8192 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return squeeze(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.model, "model", "", "checkpoint `FILE` of the base; the embedded one if empty")
	f.BoolVar(&o.snips, "snips", false, "skills are SNIPS intents, which the embedded base has read nine tenths of, and not generated ones")
	f.IntVar(&o.learn, "learn", 16_384, "bytes to learn")
	f.IntVar(&o.every, "every", 2048, "bytes between two versions")
	f.IntVar(&o.held, "held", 3000, "bytes to measure on, of the skill and of the base's own each")
	f.IntVar(&o.seeds, "seeds", 3, "how many skills and learners")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// A format is one way to send versions of a skill.
type format struct {
	name   string
	how    learning.Packing
	whole  bool // every version, not the first alone
	tensor bool // as the tensor file that was sent before there were packed ones
	patch  bool // plain, and the mesh sends what differs from the version before
	near   bool // and little differs, since weights that moved little keep their codes
}

// formats begin with what all others are compared with.
func formats() []format {
	list := []format{{name: "float32", how: learning.Packing{Bits: 32}, whole: true}, {name: "bf16, tensor file", whole: true, tensor: true}}
	for _, bits := range []int{16, 8, 6, 5, 4, 3, 2} {
		list = append(list, format{name: widths[bits], how: learning.Packing{Bits: bits}, whole: true})
	}
	for _, how := range []learning.Packing{
		{Bits: 8, Share: 0.1}, {Bits: 4, Share: 0.5}, {Bits: 4, Share: 0.25}, {Bits: 4, Share: 0.1}, {Bits: 3, Share: 0.25}, {Bits: 3, Share: 0.1}, {Bits: 2, Share: 0.1},
	} {
		list = append(list, format{name: fmt.Sprintf("%s, changes, top %g %%", widths[how.Bits], 100*how.Share), how: how})
	}
	list = append(list, format{name: "int5, patches", how: learning.Packing{Bits: 5}, patch: true})
	for _, how := range []learning.Packing{
		{Bits: 6, Slack: 1}, {Bits: 5, Slack: 0.5}, {Bits: 5, Slack: 0.75}, {Bits: 5, Slack: 1}, {Bits: 5, Slack: 1.5}, {Bits: 5, Slack: 2},
		{Bits: 4, Slack: 0.5}, {Bits: 4, Slack: 0.75},
	} {
		list = append(list, format{name: fmt.Sprintf("%s, patches, slack %g", widths[how.Bits], how.Slack), how: how, patch: true, near: true})
	}
	return list
}

var widths = map[int]string{16: "bf16", 8: "int8", 6: "int6", 5: "int5", 4: "int4", 3: "int3", 2: "int2"}

// A squeezeRow is one format over all seeds; bytes and shares.
type squeezeRow struct {
	Format     string  `json:"format"`
	First      float64 `json:"first_bytes"` // the first version, which is whole
	Plain      float64 `json:"later_plain_bytes"`
	Later      float64 `json:"later_bytes"` // mean of the others
	Share      spread  `json:"share"`       // mean of all, of the full model's bytes
	Gain       spread  `json:"gain"`        // bits a byte
	Kept       spread  `json:"kept"`        // of the owner's gain, at the end
	HalfWay    spread  `json:"kept_half_way"`
	Forgetting spread  `json:"forgetting"` // bits a byte
}

type squeezeReport struct {
	Learn  int          `json:"learn_bytes"`
	Every  int          `json:"every"`
	Full   int          `json:"full_model_bytes"`
	Skills []string     `json:"skills"`
	Base   spread       `json:"base"`     // bits a byte on the skills' texts before
	Own    spread       `json:"own_gain"` // with the skill as its owner has it
	Rows   []squeezeRow `json:"rows"`
}

func squeeze(cmd *cobra.Command, o squeezeOptions) error {
	if o.seeds < 1 || o.every < 256 || o.learn < 2*o.every || o.held < 100 {
		return ui.Usage("squeeze: --seeds %d, --every %d, --learn %d, --held %d: a seed, 256 bytes, two versions and 100 bytes at least", o.seeds, o.every, o.learn, o.held)
	}
	m, err := loadBase(o.model)
	if err != nil {
		return err
	}
	k, err := orGenerated("", "text:tinyshakespeare/input.txt", "verse")
	if err != nil {
		return err
	}
	_, old := k.Split(0.1)
	r := squeezeReport{Learn: o.learn, Every: o.every, Full: 4 * m.Parameters()}
	list := formats()
	p := ui.NewProgress(cmd.ErrOrStderr(), "squeeze", int64(o.seeds*o.learn/o.every), "versions")
	defer p.Done()
	var all [][]*receiver
	for i := range o.seeds {
		s, err := newSender(m, o, o.seed+uint64(i), list)
		if err != nil {
			return err
		}
		s.old = old.Bytes()[:min(o.held, len(old.Bytes()))]
		if err := s.run(cmd.Context(), func() { p.Add(1) }); err != nil {
			return err
		}
		r.Skills = append(r.Skills, s.skill)
		all = append(all, s.receivers)
	}
	r.sum(all, list)
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// sum makes rows of what the receivers of all seeds came to.
func (r *squeezeReport) sum(all [][]*receiver, list []format) {
	of := func(value func(*receiver) float64, k int) spread {
		var v []float64
		for _, rs := range all {
			v = append(v, value(rs[k]))
		}
		return over(v)
	}
	last := func(v []float64) float64 { return v[len(v)-1] }
	r.Base = of(func(x *receiver) float64 { return x.before }, 0)
	r.Own = of(func(x *receiver) float64 { return last(x.owner) }, 0)
	for k, f := range list {
		r.Rows = append(r.Rows, squeezeRow{
			Format:     f.name,
			First:      of(func(x *receiver) float64 { return x.bytes[0] }, k).Mean,
			Later:      of(func(x *receiver) float64 { return average(x.bytes[1:]) }, k).Mean,
			Plain:      of(func(x *receiver) float64 { return average(x.plain[1:]) }, k).Mean,
			Share:      of(func(x *receiver) float64 { return average(x.bytes) / float64(r.Full) }, k),
			Gain:       of(func(x *receiver) float64 { return last(x.gain) }, k),
			Kept:       of(func(x *receiver) float64 { return last(x.gain) / last(x.owner) }, k),
			HalfWay:    of(func(x *receiver) float64 { return x.gain[0] / x.owner[0] }, k),
			Forgetting: of(func(x *receiver) float64 { return x.forgot }, k),
		})
	}
}

func average(v []float64) float64 { return over(v).Mean }

func (r *squeezeReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s learnt, a version every %s; skills %v; %d seeds: mean (least to greatest). The full model is %s.\nBits a byte of the skills' texts before: %s. Gain of the skills as their owners have them: %s\n\n",
		ui.Bytes(int64(r.Learn)), ui.Bytes(int64(r.Every)), r.Skills, len(r.Skills), ui.Bytes(int64(r.Full)), r.Base.plain(), r.Own.plain())
	t := ui.NewTable("format", "first", "later, no zstd", "later", "of the full model", "gain kept", "half way", "forgetting")
	for _, row := range r.Rows {
		size := func(v float64) string { return ui.Bytes(int64(v)) }
		t.Row(row.Format, size(row.First), size(row.Plain), size(row.Later), strconv.FormatFloat(100*row.Share.Mean, 'f', 2, 64)+" %", row.Kept.share(), row.HalfWay.share(), row.Forgetting)
	}
	return t.Fprint(w)
}

// A sender is a device that is taught a skill and sends it to one receiver in each format.
type sender struct {
	base      *model.Model
	l         *learning.Learner
	skill     string
	learn     []byte
	held, old []byte
	every     int
	receivers []*receiver
}

// A receiver is what one format came to with one seed.
type receiver struct {
	format
	mirror       *learning.Delta // what it has
	former       []byte          // the same, as it was packed
	bytes, plain []float64       // of each version, and without an entropy code
	gain, owner  []float64       // bits a byte, at the versions that are measured
	before       float64         // bits a byte on the held-out text, of the base alone
	last         *model.Model    // with the version that was measured last
	forgot       float64
}

// newSender has a skill of the seed's own: an intent, real or generated, in the words of many people. Held out is the end.
func newSender(m *model.Model, o squeezeOptions, seed uint64, list []format) (*sender, error) {
	s := &sender{base: m, every: o.every}
	var err error
	if s.l, err = learning.New(learning.Config{Seed: seed}, m); err != nil {
		return nil, err
	}
	text, err := s.choose(o.snips, seed, o.learn+o.held)
	if err != nil {
		return nil, err
	}
	if len(text) < o.learn+o.held {
		return nil, ui.Usage("--learn %d, --held %d: skill %s has %d bytes", o.learn, o.held, s.skill, len(text))
	}
	s.learn, s.held = text[:o.learn], text[len(text)-o.held:]
	for _, f := range list {
		s.receivers = append(s.receivers, &receiver{format: f})
	}
	return s, nil
}

func (s *sender) choose(snips bool, seed uint64, size int) (text []byte, err error) {
	if !snips {
		names := dataset.Intents()
		s.skill = names[seed%uint64(len(names))]
		for _, u := range dataset.Commands(s.skill, size/8, seed) {
			text = append(append(text, u...), '\n')
		}
		return text, nil
	}
	d, err := dataset.Open("tsv:snips/train_full.tsv")
	if err != nil {
		return nil, err
	}
	var names []string
	by := map[string][]byte{}
	for _, it := range d.Items {
		if by[it.Label] == nil {
			names = append(names, it.Label)
		}
		by[it.Label] = append(append(by[it.Label], it.Text...), '\n')
	}
	slices.Sort(names)
	s.skill = names[seed%uint64(len(names))]
	return by[s.skill], nil
}

// run teaches and sends, version by version; done is told of each.
func (s *sender) run(ctx context.Context, done func()) error {
	if err := s.l.Focus(s.skill); err != nil {
		return err
	}
	before, old := s.bits(s.base, s.held), s.bits(s.base, s.old)
	versions := len(s.learn) / s.every
	for v := range versions {
		s.l.Read(sense.Text(s.learn[v*s.every : (v+1)*s.every]))
		d, err := s.l.Export(s.skill)
		if err != nil {
			return err
		}
		var got []*learning.Delta
		for _, r := range s.receivers {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			g, err := r.send(d, s.base)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			got = append(got, g)
		}
		if (versions-1-v)%max(versions/2, 1) == 0 {
			if err := s.measure(ctx, d, got, before); err != nil {
				return err
			}
		}
		done()
	}
	for _, r := range s.receivers {
		r.forgot = s.bits(r.last, s.old) - old
	}
	return nil
}

// measure folds what was sent, and what the owner has, each into a device that knows nothing else.
func (s *sender) measure(ctx context.Context, own *learning.Delta, got []*learning.Delta, before float64) error {
	m, err := s.folded(own)
	if err != nil {
		return err
	}
	gain := before - s.bits(m, s.held)
	for k, r := range s.receivers {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		m, err := s.folded(got[k])
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		r.before, r.owner, r.gain = before, append(r.owner, gain), append(r.gain, before-s.bits(m, s.held))
		r.last = m
	}
	return nil
}

func (s *sender) folded(d *learning.Delta) (*model.Model, error) {
	l, err := learning.New(learning.Config{}, s.base)
	if err != nil {
		return nil, err
	}
	if _, err := l.Fold("sender", d); err != nil {
		return nil, err
	}
	return l.Settled(), nil
}

func (s *sender) bits(m *model.Model, text []byte) float64 {
	return learning.Evaluate(m, text, nil).Bits
}

// send is one exchange. It returns what arrives, and the receiver keeps it as what the next version is counted from.
func (r *receiver) send(d *learning.Delta, base *model.Model) (*learning.Delta, error) {
	c := base.Config
	since := r.mirror // nil if every version is whole
	if r.tensor {
		b, err := d.Encode(c)
		if err != nil {
			return nil, err
		}
		r.bytes, r.plain = append(r.bytes, float64(len(b))), append(r.plain, float64(len(b)))
		return learning.DecodeDelta(b, c, base.Fingerprint())
	}
	if r.patch {
		return r.sendPatch(d, base)
	}
	how := r.how
	how.Plain = true
	plain, err1 := d.Pack(c, how, since)
	b, err2 := d.Pack(c, r.how, since)
	if err := cmp.Or(err1, err2); err != nil {
		return nil, err
	}
	r.bytes, r.plain = append(r.bytes, float64(len(b))), append(r.plain, float64(len(plain)))
	open := func() (*learning.Delta, error) {
		return learning.Unpack(b, c, base.Fingerprint(), func(digest [32]byte) *learning.Delta {
			if since == nil || since.Digest() != digest {
				return nil
			}
			return since
		})
	}
	got, err := open() // one to take in, for a mind keeps what it is given, and one to count from
	if err == nil && !r.whole {
		r.mirror, err = open()
	}
	return got, err
}

// sendPatch is one exchange of what differs, as the mesh sends it.
func (r *receiver) sendPatch(d *learning.Delta, base *model.Model) (*learning.Delta, error) {
	how := r.how
	how.Plain = true
	if r.near {
		how.Former = r.former
	}
	b, err := d.Pack(base.Config, how, nil)
	if err != nil {
		return nil, err
	}
	r.bytes, r.plain = append(r.bytes, float64(patch.Size(b, r.former))), append(r.plain, float64(len(b)))
	r.former = b
	return learning.DecodeDelta(b, base.Config, base.Fingerprint())
}
