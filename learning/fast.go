package learning

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/kernel/portable"
	"github.com/yanmesh/yan/model/sense"
)

// The fast layer is what a mind keeps of its stream from one event to the next (learning.md 6.5, item 6): an associative
// memory from what came just before, the cues, to what followed. It is the delta rule M ← λM + η(v − Mk)kᵀ for keys k that
// are zero but in a few places, so that a row which the event did not address is not touched; rows keep only the symbols
// that followed, as in prediction by partial matching (Cleary and Witten 1984), and decay when another one comes.
//
// What the rows say and what the model says are mixed in the log domain, by weights that are learnt from the stream (Mattern
// 2013; Mahoney 2005). With no weight on any row the mix is the model alone.
//
// Rows hold hashes and counts of the owner's stream: they are written to snapshots and never leave the device.
const (
	fastCues    = 13
	toldCue     = 12 // the cue whose rows hold only what the owner said in so many words
	rowSymbols  = 6
	rowWays     = 4  // rows that may hold a cue, beside one another in one cache line
	heardOnce   = 16 // what one coming of a symbol counts; one that fails to come loses 1
	heardMost   = 240
	rowKinds    = 32 // states of a row that are trusted apart: 8 of how much it heard by 4 of how many symbols
	fastTrusts  = 3  // weights are apart for a model that is unsure, surer, and sure
	fastLong    = 8  // events that a sentence must have for a cue of its own
	fastRare    = 8  // times that a rare word may have been heard
	fastNear    = 20 // events that the longest cue reaches back
	fastClip    = 6  // most nats that a row speaks for or against a symbol
	wordsHeard  = 1 << 14
	fastPasses  = 3     // more times that what the owner said in so many words is heard
	fastRate    = 0.002 // learning rate of the weights
	escapeAges  = 2000  // times that a kind of row is met before its statistics are halved
	heedHalving = 0.995 // what is left, after an event, of the evidence for or against the fast layer
	heedMost    = 6
	firstHeed   = 2       // a stream begins with some trust in what was learnt
	leastTold   = 0.8     // how far a stream follows what the owner said, at least
	maxFast     = 1 << 26 // rows
)

// fastWeight is how far rows are believed at the beginning, and fastHold how often they are expected to hold what comes, by
// cue: for the short ones about what streams of prose and of verse taught. The long ones seldom meet anything again; when
// they do it was meant.
var (
	fastWeight = [fastCues]float32{0.05, 0.1, 0.1, 0.15, 0.3, 0.5, 0.3, 0.2, 0.1, 0.1, 0.4, 1, 1.5}
	fastHold   = [fastCues]float32{0.5, 0.5, 0.5, 0.5, 0.7, 0.8, 0.7, 0.6, 0.5, 0.5, 0.8, 0.9, 0.5}
)

// A row is what followed one cue.
type row struct {
	Key   uint32
	Sym   [rowSymbols]uint8
	Heard [rowSymbols]uint8 // 0 for none
}

func (r *row) total() (n, kinds int) {
	for _, h := range r.Heard {
		n += int(h)
		if h > 0 {
			kinds++
		}
	}
	return n, kinds
}

// kind is the state of a row that heard n of that many symbols.
func rowKind(n, symbols int) int {
	level := 0
	for limit := heardOnce * 3 / 2; level < 7 && n > limit; limit *= 2 {
		level++
	}
	return level*4 + min(symbols, 4) - 1
}

// hear counts that b came, or that the owner said so.
func (r *row) hear(b uint8, told bool) {
	at, least := -1, 0
	for i := range r.Heard {
		switch {
		case r.Heard[i] > 0 && r.Sym[i] == b:
			at = i
			continue
		case r.Heard[i] > 0:
			left := min(r.Heard[i], heardOnce) * 9 / 10
			if told {
				left /= 4 // who says something else has changed their mind
			}
			r.Heard[i] = max(left, 1)
		}
		if r.Heard[i] < r.Heard[least] {
			least = i
		}
	}
	if at < 0 {
		at = least
		r.Sym[at], r.Heard[at] = b, 0
	}
	r.Heard[at] = min(r.Heard[at]+heardOnce, heardMost)
}

// A cue is what a stream has just brought, as far as the fast layer knows it.
type cue struct {
	Near  [fastNear]byte // the last events, newest first
	Words [3]uint32      // hashes of the word that is being said, and of those before it
	Stem  uint32         // hash of the first up to an apostrophe, 0 without one
	Rare  uint32         // the word of the sentence that was heard least
	Seen  uint8          // how often that was
	Line  uint32         // hash of the sentence so far
	Long  uint8          // how many events that is, up to 255
}

func blend(h, x uint32) uint32 {
	h = (h ^ x) * 0x9e3779b1
	h ^= h >> 15
	h *= 0x85ebca77
	return h ^ h>>13
}

func inWord(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b >= 128 || b == '\''
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// pass lets the stream go on by b. f counts words if it learns, and may be read only.
func (c *cue) pass(f *fast, b byte, learn bool) {
	copy(c.Near[1:], c.Near[:])
	c.Near[0] = b
	if inWord(b) {
		if b == '\'' && c.Stem == 0 {
			c.Stem = c.Words[0]
		}
		c.Words[0] = blend(c.Words[0]+1, uint32(lower(b)))
	} else if c.Words[0] != 0 {
		w := c.Words[0]
		if c.Stem != 0 {
			w = c.Stem // whose it is, and not that it is somebody's
		}
		n := &f.words[w%wordsHeard]
		if (learn || *n > 0) && (c.Rare == 0 || *n <= c.Seen) { // nothing is known of what was never heard
			c.Rare, c.Seen = w, *n
		}
		if learn && *n < 255 {
			*n++
		}
		copy(c.Words[1:], c.Words[:])
		c.Words[0], c.Stem = 0, 0
	}
	switch b {
	case '\n', '.', '!', '?':
		c.Line, c.Long, c.Rare, c.Seen = 0, 0, 0, 0
	default:
		c.Line, c.Long = blend(c.Line+1, uint32(lower(b))), min(c.Long, 254)+1
	}
}

// keys are the hashes that address the memory: of the last events, of the words last said, of the sentence so far, and
// of its rarest word, which is often what it is about. What the owner said of that stands in rows of its own: in any text
// the words that follow a rare one are hardly worth believing, and what somebody was told is.
func (c *cue) keys(k *[fastCues]uint32) {
	h, i := uint32(0), 0
	for n, b := range c.Near {
		h = blend(h, uint32(b)+1)
		switch n + 1 {
		case 2, 4, 6, 8, 12, 20:
			k[i] = h
			i++
		}
	}
	word := c.Words[0]
	if word == 0 {
		word = uint32(c.Near[0]) // what stands between words
	}
	k[6] = word
	k[7] = blend(word, c.Words[1])
	k[8] = blend(k[7], c.Words[2])
	k[9] = blend(word, c.Rare)
	k[10] = blend(k[7], c.Rare)
	k[11] = c.Line
	k[toldCue] = k[9]
	for i := range k {
		k[i] = max(blend(k[i], uint32(i)), 1)
	}
	if c.Rare == 0 || c.Seen > fastRare {
		k[9], k[10], k[toldCue] = 0, 0, 0
	}
	if c.Long < fastLong {
		k[11] = 0
	}
}

// An opinion is what the rows that a cue addressed have to say, before what came was heard.
type opinion struct {
	Rows [fastCues]saying
}

// noOpinion is that of a layer which knows nothing.
var noOpinion = func() (o opinion) {
	for i := range o.Rows {
		o.Rows[i].Kind = -1
	}
	return o
}()

// A saying is what one row has to say.
type saying struct {
	Kind  int16 // of row, −1 if there is none
	N     uint8
	Sym   [rowSymbols]uint8
	LogP  [rowSymbols]float32 // of each symbol
	Other float32             // log-probability that it will be none of them
}

// fast is the fast layer's knowledge.
type fast struct {
	rows  []row
	used  int
	limit int
	words []uint8 // how often each word was heard, up to 255

	fastTrust
}

// fastTrust is how far rows are believed.
type fastTrust struct {
	Met, Held [fastCues][rowKinds]float32 // how often a row of a kind was asked, and had what came
	Weights   [fastTrusts]fastWeights
}

// fastWeights say how much of what a row says is believed.
type fastWeights struct {
	Rows  [fastCues][rowKinds]float32
	Model float32 // what is added to the model's own weight of 1
}

func newFast(limit int) *fast {
	f := &fast{rows: make([]row, 1<<10), limit: limit, words: make([]uint8, wordsHeard)}
	for i := range fastCues {
		for k := range rowKinds {
			f.Met[i][k], f.Held[i][k] = 2, 2*fastHold[i]
			for t := range f.Weights {
				f.Weights[t].Rows[i][k] = fastWeight[i]
			}
		}
	}
	return f
}

// find returns the row of a key, nil if there is none.
func (f *fast) find(key uint32) *row {
	at := int(key) * rowWays & (len(f.rows) - 1)
	line := f.rows[at : at+rowWays]
	for i := range line {
		if line[i].Key == key {
			return &line[i]
		}
	}
	return nil
}

// room returns the row of a key, a new one if need be: in the place of the one in its line that heard least, which is
// nil if that one heard more than once and has lost a little by being in the way. For what the owner said there is always room.
func (f *fast) room(key uint32, told bool) *row {
	at := int(key) * rowWays & (len(f.rows) - 1)
	line := f.rows[at : at+rowWays]
	least, most := 0, math.MaxInt
	for i := range line {
		if line[i].Key == key {
			return &line[i]
		}
		n, _ := line[i].total()
		if n < most {
			least, most = i, n
		}
	}
	r := &line[least]
	if r.Key == 0 {
		f.used++
	} else if most > heardOnce && !told {
		for i, h := range r.Heard {
			r.Heard[i] = max(h, 1) - 1
		}
		return nil
	}
	*r = row{Key: key}
	return r
}

// hear learns that b followed cue c, which the owner said in so many words if told is true.
func (f *fast) hear(c *cue, o *opinion, b byte, told bool) {
	var keys [fastCues]uint32
	c.keys(&keys)
	for i, key := range keys {
		if s := &o.Rows[i]; s.Kind >= 0 {
			met, held := &f.Met[i][s.Kind], &f.Held[i][s.Kind]
			*met++
			for _, sym := range s.Sym[:s.N] {
				if sym == b {
					*held++
				}
			}
			if *met > escapeAges {
				*met, *held = *met/2, *held/2
			}
		}
		if key == 0 || i == toldCue && !told {
			continue
		}
		if r := f.room(key, told); r != nil {
			r.hear(b, told)
		}
	}
	if f.used > len(f.rows)/2 && len(f.rows) < f.limit { // so that few lines are full
		f.widen()
	}
}

// repeat learns once more what was said from cue c on.
func (f *fast) repeat(c cue, said []sense.Event) {
	for _, e := range said {
		f.hear(&c, &noOpinion, e.Byte, true)
		c.pass(f, e.Byte, false)
	}
}

// widen doubles the room.
func (f *fast) widen() {
	old := f.rows
	f.rows, f.used = make([]row, 2*len(old)), 0
	for i := range old {
		if old[i].Key != 0 {
			*f.room(old[i].Key, false) = old[i] // lines only split, so there is room
		}
	}
}

// think asks the rows that a cue addresses.
func (f *fast) think(c *cue, o *opinion) {
	var keys [fastCues]uint32
	c.keys(&keys)
	for i, key := range keys {
		s := &o.Rows[i]
		s.Kind, s.N = -1, 0
		if key == 0 {
			continue
		}
		r := f.find(key)
		if r == nil {
			continue
		}
		n, symbols := r.total()
		if n == 0 {
			continue
		}
		k := rowKind(n, symbols)
		s.Kind = int16(k)
		hold := float64(f.Held[i][k] / (f.Met[i][k] + 0.4)) // never certain
		s.Other = float32(portable.Log(1 - hold))
		scale := hold / float64(n)
		for j, h := range r.Heard {
			if h > 0 {
				s.Sym[s.N], s.LogP[s.N] = r.Sym[j], float32(portable.Log(scale*float64(h)))
				s.N++
			}
		}
	}
}

// A mixer puts together what the model and the fast layer say.
type mixer struct {
	p      [sense.Symbols]float32 // the model's probabilities
	mixed  [sense.Symbols]float32 // log-odds of both together
	trust  int
	phi    [fastCues][rowSymbols]float32 // what rows say of their symbols, beyond the model
	others [fastCues]float32             // and of all others
}

// mix leaves in x.mixed the model's log-odds with what the rows say added, so far as heed goes. With heed 0 they are the
// model's own, but for what the owner said: a question may begin in words that it was not said in.
func (x *mixer) mix(f *fast, logits []float32, o *opinion, heed float32) {
	copy(x.p[:], logits)
	all := kernel.SoftmaxInPlace(x.p[:])
	x.trust = 0
	if sure := kernel.Max(x.p[:]); sure > 0 && sure <= 1 { // which a broken base's is not
		x.trust = min(int(sure*fastTrusts), fastTrusts-1)
	}
	w := &f.Weights[x.trust]
	kernel.ScaleTo(x.mixed[:], 1+float32(heed*w.Model), logits)
	for i := range o.Rows {
		s := &o.Rows[i]
		if s.Kind < 0 {
			continue
		}
		rest := float32(1)
		for _, sym := range s.Sym[:s.N] {
			rest -= x.p[sym]
		}
		// A row that did not always hold what came says nothing against what the model expects of its symbols: it only shares
		// out anew what they have between them.
		var agreed float32
		x.others[i] = clip(s.Other-float32(portable.Log(float64(max(rest, 1e-4)))), fastClip)
		if x.others[i] > 0 {
			x.others[i] = 0
			agreed = float32(portable.Log(float64(1-rest) / -portable.Expm1(float64(s.Other))))
		}
		trust := heed * w.Rows[i][s.Kind]
		if i == toldCue {
			trust = max(heed, leastTold) * w.Rows[i][s.Kind]
		}
		for j, sym := range s.Sym[:s.N] {
			x.phi[i][j] = clip(s.LogP[j]+agreed-(logits[sym]-all), fastClip)
			x.mixed[sym] += float32(trust * (x.phi[i][j] - x.others[i]))
		}
	}
}

func clip(x, limit float32) float32 { return min(max(x, -limit), limit) }

// learn adds to g how the surprise at b falls with each weight, for what was mixed last. It is the difference between
// what is said of b and what is said on average.
func (x *mixer) learn(g *[fastTrusts]fastWeights, logits []float32, o *opinion, b byte) {
	q := &x.p // the model's probabilities are not needed any more
	copy(q[:], x.mixed[:])
	kernel.SoftmaxInPlace(q[:])
	to := &g[x.trust]
	for i := range o.Rows {
		s := &o.Rows[i]
		if s.Kind < 0 {
			continue
		}
		var came, mean float32
		for j, sym := range s.Sym[:s.N] {
			beyond := x.phi[i][j] - x.others[i]
			mean += float32(q[sym] * beyond)
			if sym == b {
				came = beyond
			}
		}
		to.Rows[i][s.Kind] += came - mean
	}
	to.Model += float32(0.1 * (logits[b] - kernel.Dot(q[:], logits))) // of 256 symbols, so its steps are smaller
}

// step moves the weights along g, which is cleared.
func (f *fast) step(g *[fastTrusts]fastWeights) {
	for t := range g {
		w, d := &f.Weights[t], &g[t]
		for i := range d.Rows[:toldCue] { // what the owner said is believed whatever streams are like
			for k, v := range d.Rows[i] {
				if v != 0 && v-v == 0 {
					w.Rows[i][k] = min(max(w.Rows[i][k]+float32(fastRate*v), 0), 2)
				}
			}
		}
		if v := d.Model; v-v == 0 {
			w.Model = clip(w.Model+float32(fastRate*v), 0.5)
		}
		*d = fastWeights{}
	}
}

// heed is how far a stream follows its fast layer: the log-odds that the layer is worth it, from what it saved of late. In
// a text of another kind it is soon not heeded. The surprise is convex in how far it is, so this costs little.
type heed float64

func (h *heed) saw(saved float64, events int) {
	*h = heed(min(max(float64(float64(*h)*portable.Pow(heedHalving, float64(events)))+saved, -heedMost), heedMost))
}

func (h heed) share() float32 { return float32(1 / (1 + portable.Exp(-float64(h)))) }

// encode writes numbers as bytes, little-endian.
func encode(v any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic("learning: a value without a size: " + err.Error())
	}
	return b
}

// errFast is what is wrong with the fast layer of a snapshot.
var errFast = errors.New("learning: snapshot: its fast layer is none")

// rowBytes is the size of a row in a snapshot.
const rowBytes = 4 + 2*rowSymbols

// check reports whether numbers that were read can be those of a fast layer.
func (f *fast) check() error {
	n := len(f.rows)
	if n < rowWays || n > maxFast || n&(n-1) != 0 || len(f.words) != wordsHeard {
		return errFast
	}
	for i := range fastCues {
		for k := range rowKinds {
			if met, held := f.Met[i][k], f.Held[i][k]; !(met > 0 && held >= 0 && held <= met && met <= 2*escapeAges) {
				return errFast
			}
		}
	}
	for t := range f.Weights {
		w := &f.Weights[t]
		if !(w.Model-w.Model == 0) {
			return errFast
		}
		for i := range w.Rows {
			if s := kernel.SumSquares(w.Rows[i][:]); s-s != 0 {
				return errFast
			}
		}
	}
	return nil
}

// check does the same for an opinion.
func (o *opinion) check() error {
	for i := range o.Rows {
		s := &o.Rows[i]
		if s.Kind < -1 || s.Kind >= rowKinds || s.N > rowSymbols || s.Other-s.Other != 0 {
			return errFast
		}
		for _, p := range s.LogP {
			if p-p != 0 {
				return errFast
			}
		}
	}
	return nil
}
