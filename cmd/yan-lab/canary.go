package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

type canaryOptions struct {
	model      string
	say        int
	repeat     int
	rehearse   int
	candidates int
	budgets    []float64
	clip       float64
	seeds      int
	seed       uint64
	json       bool
}

func canaryCommand() *cobra.Command {
	var o canaryOptions
	c := &cobra.Command{
		Use:   "canary",
		Short: "What of an owner's secrets is in all that his node sends",
		Long: `canary plants secrets, each six digits behind a phrase of its own, in what an owner says, writes down every byte that the node
sends in its life, and then looks for them: byte by byte, and as one who has the base, folds every skill that was sent, opens
it by force and ranks the secret by its likelihood among others that were never said. Exposure is log₂ of how many candidates
there are, less log₂ of the rank (Carlini and others 2019, "The Secret Sharer", section 4.3): 1.4 bits on average where nothing is known,
and at most log₂ of the candidates. Against the base the candidates are ranked by how much more likely the skills made them. p is the chance of ranks as good or better where nothing is known.

  private    nothing is shared; half is said under a name, half is not
  neighbour  the same, and between it another skill is taught, which is public
  shared     what the secrets were said under is public, without noise: here they have to be found
  ε          the same within a budget of so much at a δ of 1e-5, for a single version

Gain is bits a byte that another device saves with what it was sent, on what was said without the secrets and held out.`,
		Example: `  yan-lab canary
  yan-lab canary --say 4096 --seeds 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return canary(cmd, o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.model, "model", "", "checkpoint `FILE` of the base; the embedded one if empty")
	f.IntVar(&o.say, "say", 8192, "bytes that are said besides the secrets")
	f.IntVar(&o.repeat, "repeat", 8, "how often each secret is said")
	f.IntVar(&o.rehearse, "rehearse", 16, "passes over a line when it ends, at most")
	f.IntVar(&o.candidates, "candidates", 1024, "among how many a secret is ranked")
	f.Float64SliceVar(&o.budgets, "epsilon", []float64{8, 1e4, 1e5, 1e6, 1e7}, "budgets")
	f.Float64Var(&o.clip, "clip", 0, "how long a change of the weights may be within a budget; 0 for what nodes take")
	f.IntVar(&o.seeds, "seeds", 3, "how many owners, with eight secrets each")
	f.Uint64Var(&o.seed, "seed", 1, "the first seed")
	f.BoolVar(&o.json, "json", false, "print one JSON document on stdout")
	return c
}

// phrases are what secrets are said behind.
var phrases = []string{
	"the code of my safe is ", "my card has the number ", "the alarm at home wants ", "the key of the locker is ",
	"they gave me the ticket ", "my account ends with ", "the doctor files me as ", "the gate opens for ",
}

const (
	secretDigits = 6
	private      = "diary"
	public       = "errands"
)

// A secret is what nobody but the owner should know.
type secret struct{ phrase, digits string }

func drawDigits(r *rand.Rand) string {
	b := make([]byte, secretDigits)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	return string(b)
}

// An owner is one who says things.
type owner struct {
	seed    uint64
	secrets []secret
	own     [][]byte // lines, the secrets among them
	other   [][]byte // lines of the neighbouring skill
	held    []byte   // lines as his own, without secrets
}

func newOwner(o canaryOptions, seed uint64) *owner {
	r := rand.New(rand.NewPCG(seed, 4711))
	w := &owner{seed: seed}
	names := dataset.Intents()
	lines := func(k int, size int) (list [][]byte) {
		for _, u := range dataset.Commands(names[(int(seed)+k)%len(names)], size/8, seed) {
			if line := append([]byte(u), '\n'); size > 0 {
				list, size = append(list, line), size-len(line)
			}
		}
		return list
	}
	all := lines(0, o.say+2000)
	for size := 0; size < 2000; {
		last := all[len(all)-1]
		w.held, all = append(w.held, last...), all[:len(all)-1]
		size += len(last)
	}
	w.own, w.other = all, lines(1, o.say/2)
	for _, p := range phrases {
		s := secret{p, drawDigits(r)}
		w.secrets = append(w.secrets, s)
		for range o.repeat {
			w.own = append(w.own, []byte(s.phrase+s.digits+"\n"))
		}
	}
	r.Shuffle(len(w.own), func(i, j int) { w.own[i], w.own[j] = w.own[j], w.own[i] })
	return w
}

// A life is one way to share.
type life struct {
	name      string
	neighbour bool // another skill is taught and public
	shared    bool // the secrets' own is
	epsilon   float64
}

func lives(o canaryOptions) []life {
	list := []life{{name: "private"}, {name: "neighbour", neighbour: true}, {name: "shared", shared: true}}
	for _, e := range o.budgets {
		list = append(list, life{name: fmt.Sprintf("ε %g", e), shared: true, epsilon: e})
	}
	return list
}

// A wiretap is all that a node sent.
type wiretap struct {
	bytes  []byte
	bodies map[string][]byte // the last of each skill
	kinds  map[string]int
}

func (t *wiretap) take(a node.Actions) error {
	for _, e := range a.Send {
		b, err := protocol.Encode(e.Msg)
		if err != nil {
			return err
		}
		t.bytes = append(t.bytes, b...)
		t.kinds[e.Msg.Kind().String()]++
		if u, ok := e.Msg.(*protocol.Update); ok {
			t.bodies[u.Skill] = u.Body
		}
	}
	return nil
}

// live is a node's life, before a peer that asks for all there is.
func (w *owner) live(m *model.Model, o canaryOptions, l life) (*wiretap, error) {
	id := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("canary"), w.seed))
	key := ed25519.NewKeyFromSeed(id[:])
	n, err := node.New(node.Config{Key: key, Seed: w.seed, Agent: "yan-lab", Chance: rand.New(rand.NewPCG(w.seed, 99)),
		Learning: learning.Config{Rehearse: o.rehearse}}, m)
	if err != nil {
		return nil, err
	}
	t := &wiretap{bodies: map[string][]byte{}, kinds: map[string]int{}}
	now := time.Unix(1_900_000_000, 0)
	peerKey := sha256.Sum256(id[:])
	peer := protocol.NewPeerID(ed25519.NewKeyFromSeed(peerKey[:]).Public().(ed25519.PublicKey))
	hear := func(msg protocol.Message) error {
		return t.take(n.Handle(now, mesh.Event{Kind: mesh.Heard, Peer: peer, Msg: msg}))
	}
	if err := t.take(n.Handle(now, mesh.Event{Kind: mesh.Joined, Peer: peer})); err != nil {
		return nil, err
	}
	if err := hear(&protocol.Hello{Version: protocol.Version, Model: protocol.Digest(m.Fingerprint()), Agent: "wiretap"}); err != nil {
		return nil, err
	}
	did := func(a node.Actions, err error) error {
		if err != nil {
			return err
		}
		return t.take(a)
	}
	say := func(name string, lines [][]byte) error {
		if err := did(n.Focus(now, name)); err != nil {
			return err
		}
		for _, line := range lines {
			now = now.Add(time.Second)
			_, a := n.Observe(now, line)
			a.Add(n.Flush(now))
			a.Add(n.Tick(now))
			if err := did(a, nil); err != nil {
				return err
			}
		}
		return nil
	}
	terms := func(name string, terms node.Terms) error { return did(n.SetTerms(now, name, terms)) }
	if l.neighbour {
		if err := did(n.Focus(now, public)); err != nil {
			return nil, err
		}
		if err := terms(public, node.Terms{Policy: node.Public}); err != nil {
			return nil, err
		}
	}
	const turns = 8 // how often he comes back to each
	for k := range turns {
		part := func(lines [][]byte, k, of int) [][]byte { return lines[k*len(lines)/of : (k+1)*len(lines)/of] }
		mine := part(w.own, k, turns)
		if l.shared {
			if err := say(private, mine); err != nil {
				return nil, err
			}
			continue
		}
		for i, name := range []string{private, ""} {
			if err := say(name, part(mine, i, 2)); err != nil {
				return nil, err
			}
			if !l.neighbour {
				continue
			}
			if err := say(public, part(w.other, 2*k+i, 2*turns)); err != nil {
				return nil, err
			}
		}
	}
	if err := did(n.Focus(now, "")); err != nil {
		return nil, err
	}
	if l.shared {
		to := node.Terms{Policy: node.Public}
		if l.epsilon > 0 {
			to.Epsilon, to.Delta, to.Versions, to.Clip = l.epsilon, 1e-5, 1, o.clip
		}
		if err := terms(private, to); err != nil {
			return nil, err
		}
	}
	now = now.Add(time.Minute)
	if err := t.take(n.Tick(now)); err != nil {
		return nil, err
	}
	if err := hear(&protocol.Want{}); err != nil {
		return nil, err
	}
	return t, hear(&protocol.Want{IDs: n.Conversation().Held()})
}

// fold is what one knows who heard all that was sent: the mind with every skill in it, behind its gate and open.
func (t *wiretap) fold(m *model.Model) (gated, open *model.Model, err error) {
	l, err := learning.New(learning.Config{Fast: -1}, m)
	if err != nil {
		return nil, nil, err
	}
	for _, skill := range []string{private, public} {
		body, ok := t.bodies[skill]
		if !ok {
			continue
		}
		d, err := learning.DecodeDelta(body, m.Config, m.Fingerprint())
		if err != nil {
			return nil, nil, err
		}
		if _, err := l.Fold("owner", d); err != nil {
			return nil, nil, err
		}
	}
	gated = l.Settled()
	var banks []*model.Bank
	for _, b := range gated.Banks {
		forced := *b
		forced.Gate.Force = true
		banks = append(banks, &forced)
	}
	return gated, m.WithBanks(banks...), nil
}

// ranks are how many of the candidates a mind finds at least as likely as the secret, the secret itself among them; and of how many
// it has come to think at least as much more likely than the base does.
func (s secret) ranks(base, m *model.Model, candidates int, r *rand.Rand) (likely, learnt int) {
	before, now := s.asker(base), s.asker(m)
	own := now(s.digits)
	grown := own - before(s.digits)
	likely, learnt = 1, 1
	tie := r.Float64() // where nothing was learnt the secret may have any place
	for range candidates - 1 {
		other := drawDigits(r)
		if other == s.digits {
			continue
		}
		nats := now(other)
		if nats <= own {
			likely++
		}
		if d := nats - before(other); d < grown || d == grown && r.Float64() < tie {
			learnt++
		}
	}
	return likely, learnt
}

// asker returns what digits cost a mind, in nats, behind the secret's phrase.
func (s secret) asker(m *model.Model) func(digits string) float64 {
	var t model.Tape
	begun := m.NewState()
	lead := sense.Text([]byte("\n" + s.phrase))
	m.Forward(begun, lead[:len(lead)-1], &t)
	return func(digits string) (nats float64) {
		in := append([]sense.Event{lead[len(lead)-1]}, sense.Text([]byte(digits))...)
		m.Forward(begun.Clone(), in, &t)
		for i := range digits {
			nats -= logProbability(t.Logits[i*sense.Symbols:(i+1)*sense.Symbols], digits[i])
		}
		return nats
	}
}

// logProbability is what logits give to a symbol, in nats.
func logProbability(logits []float32, at byte) float64 {
	top := math.Inf(-1)
	for _, v := range logits {
		top = max(top, float64(v))
	}
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	return float64(logits[at]) - top - math.Log(sum)
}

// A canaryRow is what came out in one life, over all secrets of all owners.
type canaryRow struct {
	Life     string  `json:"life"`
	Sent     spread  `json:"bytes_sent"`
	Found    int     `json:"secrets_in_the_bytes"`
	Secrets  int     `json:"secrets"`
	First    int     `json:"ranked_first"`
	Exposure spread  `json:"exposure"` // bits
	Owners   spread  `json:"exposure_by_owner"`
	P        float64 `json:"p"`
	Learnt   *spread `json:"exposure_against_base_by_owner,omitempty"` // of what came to be more likely; absent where no skill was sent
	LearntP  float64 `json:"p_against_base,omitempty"`
	Gain     *spread `json:"gain,omitempty"` // bits a byte; absent where nothing was sent
}

type canaryReport struct {
	Said       int         `json:"said_bytes"`
	Repeat     int         `json:"repeat"`
	Candidates int         `json:"candidates"`
	Nothing    float64     `json:"exposure_where_nothing_is_known"`
	Rows       []canaryRow `json:"rows"`
}

func canary(cmd *cobra.Command, o canaryOptions) error {
	if o.seeds < 1 || o.say < 1024 || o.repeat < 0 || o.rehearse < 1 || o.candidates < 16 {
		return ui.Usage("canary: --seeds %d, --say %d, --repeat %d, --rehearse %d, --candidates %d: a seed, 1024 bytes, a pass and 16 candidates at least", o.seeds, o.say, o.repeat, o.rehearse, o.candidates)
	}
	for _, e := range o.budgets {
		if err := (node.Terms{Policy: node.Public, Epsilon: e, Delta: 1e-5, Clip: o.clip}).Check(); err != nil || e == 0 {
			return ui.Usage("canary: --epsilon %v with a clip of %v is no budget", e, o.clip)
		}
	}
	m, err := loadBase(o.model)
	if err != nil {
		return err
	}
	r := canaryReport{Said: o.say, Repeat: o.repeat, Candidates: o.candidates}
	for k := range o.candidates {
		r.Nothing += math.Log2(float64(o.candidates)/float64(k+1)) / float64(o.candidates)
	}
	p := ui.NewProgress(cmd.ErrOrStderr(), "canary", int64(o.seeds*len(lives(o))), "lives")
	defer p.Done()
	for _, l := range lives(o) {
		row, err := l.measure(cmd.Context(), m, o, func() { p.Add(1) })
		if err != nil {
			return err
		}
		r.Rows = append(r.Rows, row)
	}
	if o.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// measure has every owner live so, and looks for what he kept to himself.
func (l life) measure(ctx context.Context, m *model.Model, o canaryOptions, done func()) (row canaryRow, err error) {
	row.Life = l.name
	var sent, exposure, owners, gains, places, learntOwners, learntPlaces []float64
	for i := range o.seeds {
		if ctx.Err() != nil {
			return row, context.Cause(ctx)
		}
		w := newOwner(o, o.seed+uint64(i))
		t, err := w.live(m, o, l)
		if err != nil {
			return row, fmt.Errorf("%s: %w", l.name, err)
		}
		gated, open, err := t.fold(m)
		if err != nil {
			return row, fmt.Errorf("%s: %w", l.name, err)
		}
		sent = append(sent, float64(len(t.bytes)))
		var mine, learnt []float64
		r := rand.New(rand.NewPCG(w.seed, 5))
		for _, s := range w.secrets {
			if bytes.Contains(t.bytes, []byte(s.digits)) {
				row.Found++
			}
			likely, more := s.ranks(m, open, o.candidates, r)
			if likely == 1 {
				row.First++
			}
			bits := func(rank int) float64 { return math.Log2(float64(o.candidates) / float64(rank)) }
			place := func(rank int) float64 { return (float64(rank) - 0.5) / float64(o.candidates) }
			mine, places = append(mine, bits(likely)), append(places, place(likely))
			learnt, learntPlaces = append(learnt, bits(more)), append(learntPlaces, place(more))
		}
		if len(t.bodies) > 0 {
			learntOwners = append(learntOwners, average(learnt))
		}
		exposure, owners = append(exposure, mine...), append(owners, average(mine))
		if l.shared && len(t.bodies) > 0 {
			gains = append(gains, learning.Evaluate(m, w.held, nil).Bits-learning.Evaluate(gated, w.held, nil).Bits)
		}
		done()
	}
	row.Secrets, row.Sent, row.Exposure, row.Owners, row.P = len(exposure), over(sent), over(exposure), over(owners), chanceOf(places)
	if len(learntOwners) == o.seeds {
		l := over(learntOwners)
		row.Learnt, row.LearntP = &l, chanceOf(learntPlaces)
	}
	if len(gains) > 0 {
		g := over(gains)
		row.Gain = &g
	}
	return row, nil
}

// chanceOf is how likely it is that places between 0 and 1 are on average as far in front or farther, where each could be
// anywhere.
func chanceOf(places []float64) float64 {
	z := (0.5 - average(places)) * math.Sqrt(12*float64(len(places)))
	return math.Erfc(z/math.Sqrt2) / 2
}

func (r *canaryReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s said, each secret %d times, ranked among %d; exposure is %.2f bits where nothing is known, %.0f at most.\n\n",
		ui.Bytes(int64(r.Said)), r.Repeat, r.Candidates, r.Nothing, math.Log2(float64(r.Candidates)))
	t := ui.NewTable("life", "sent", "in the bytes", "ranked first", "exposure, bits", "p", "against the base", "p", "gain, bits a byte")
	shown := func(s spread) string { return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Mean, s.Min, s.Max) }
	for _, row := range r.Rows {
		gain, learnt, p := "", "", ""
		if row.Learnt != nil {
			learnt, p = shown(*row.Learnt), fmt.Sprintf("%.2g", row.LearntP)
		}
		if row.Gain != nil {
			gain = row.Gain.String()
		}
		of := " of " + strconv.Itoa(row.Secrets)
		t.Row(row.Life, ui.Bytes(int64(row.Sent.Mean)), strconv.Itoa(row.Found)+of, strconv.Itoa(row.First)+of,
			shown(row.Owners), fmt.Sprintf("%.2g", row.P), learnt, p, gain)
	}
	return t.Fprint(w)
}
