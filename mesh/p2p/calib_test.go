package p2p

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/model/base"
	whole "github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
)

// Does the simulator tell the truth? The same users say the same things at the same times to the devices of a world of package sim, and to nodes that
// run on real hosts: on simulated links in virtual time, and as processes that meet on loopback (calib_process_test.go). The tables
// are in docs/scale.md, with the flags they were made with.
var (
	calibDevices = flag.Int("calibrate", 3, "how many devices TestSimulatorTellsTheTruth compares")
	calibTalk    = flag.Duration("calibrate-talk", time.Minute, "how long their users talk")
	calibText    = flag.Int("calibrate-text", 300, "how many bytes each of them says")
	calibSeeds   = flag.Int("calibrate-seeds", 1, "how many seeds it compares")
	calibChance  = flag.Int("calibrate-chance", 0, "how many simulated worlds of other devices with the same users it shows beside")
)

// A calibration is one small world that is run in several ways.
type calibration struct {
	Seed    uint64
	Devices int
	Talk    time.Duration
	Text    int // bytes each user says

	Delay, Shake time.Duration // of a link, at least and how much more at most
	Bandwidth    int           // bytes a second

	Chance uint64 // other devices with the same users
}

// total is how long it is watched: the users talk, and then it is quiet for a while.
func (c calibration) total() time.Duration { return c.Talk + 2*time.Minute }

// text returns about n bytes of what a user might say, in a language that all share, with favourite words that are drawn.
func (c calibration) text(user, part, n int) []byte {
	r := rand.New(rand.NewPCG(c.Seed, uint64(user)))
	var words []string
	for range 8 {
		w := make([]byte, 3+r.IntN(5))
		for i := range w {
			w[i] = byte('a' + r.IntN(26))
		}
		words = append(words, string(w))
	}
	r = rand.New(rand.NewPCG(c.Seed, uint64(1000*(part+1)+user)))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "the %s saw the %s of my %s.\n", words[r.IntN(8)], words[r.IntN(8)], words[r.IntN(8)])
		if r.IntN(3) == 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// options are those of the simulated world.
func (c calibration) options() sim.Options {
	o := sim.Options{
		Base:     base.Pocket(),
		Learning: learning.Config{Sections: 2, Neurons: 4, Rehearse: 1, Recent: 256, Reservoir: 16},
		Links:    sim.Links{MinDelay: c.Delay, MaxDelay: c.Delay + c.Shake, Bandwidth: c.Bandwidth},
		Talk:     c.Talk, Updates: 2, Degree: c.Devices,
	}
	o.Exchange.Interval, o.Exchange.MaxHeld = 15*time.Second, 256<<20
	for i := range c.Devices {
		o.Devices = append(o.Devices, sim.Device{
			Name: fmt.Sprintf("user-%d", i), Stream: c.text(i, 0, c.Text), Held: c.text(i, 1, 300), Share: whole.ShareSkills,
		})
	}
	return o
}

// An outcome is what became of it.
type outcome struct {
	Bits    []float64 // a byte, of everyone's held-out text, by device
	Updates int       // announced
	Folds   int       // updates tried
	Taken   int       // and taken in
	Spread  []float64 // seconds from each announcement to its arrival at each other device
	Bytes   map[string]float64
	Count   map[string]float64 // messages
}

func newOutcome() outcome {
	return outcome{Bytes: map[string]float64{}, Count: map[string]float64{}}
}

// What bytes are for. Of a live mesh talk is what package exchange says to one peer, heads is what gossip takes, bodies is what fetching them takes, and upkeep
// is who is here; wire is all datagrams.
const (
	talkBytes, headBytes, bodyBytes, upkeepBytes, wireBytes = "talk", "heads", "bodies", "upkeep", "wire"
)

func (o *outcome) add(p outcome) {
	o.Bits = append(o.Bits, p.Bits...)
	o.Spread = append(o.Spread, p.Spread...)
	o.Updates, o.Folds, o.Taken = o.Updates+p.Updates, o.Folds+p.Folds, o.Taken+p.Taken
	for k, v := range p.Bytes {
		o.Bytes[k] += v
	}
	for k, v := range p.Count {
		o.Count[k] += v
	}
}

// hearings are when which update was announced and when it came to whom first, in seconds.
type hearings struct {
	said  map[string]float64
	heard map[[2]string]float64 // update, device
}

func newHearings() hearings {
	return hearings{map[string]float64{}, map[[2]string]float64{}}
}

func (h hearings) hear(update, device string, at float64) {
	k := [2]string{update, device}
	if was, ok := h.heard[k]; !ok || at < was {
		h.heard[k] = at
	}
}

func (h hearings) spread() (s []float64) {
	for k, at := range h.heard {
		if said, ok := h.said[k[0]]; ok {
			s = append(s, at-said)
		}
	}
	slices.Sort(s)
	return s
}

var (
	lineAnnounces = regexp.MustCompile(`^ *([0-9.]+) (\S+) announces (\S+/\d+) `)
	lineHears     = regexp.MustCompile(`^ *([0-9.]+) (\S+) hears \S+: update (\S+/\d+) `)
	lineSays      = regexp.MustCompile(`^ *([0-9.]+) user-(\d+) hears its user say `)
	lineTakes     = regexp.MustCompile(`^ *[0-9.]+ \S+ (took in|undid|refused) skill `)
)

// simulate runs it in package sim, and tells when each user said what.
func (c calibration) simulate(t *testing.T) (o outcome, said [][]time.Duration) {
	opt := c.options()
	var transcript bytes.Buffer
	opt.Transcript = &transcript
	w, err := sim.New(c.Seed+1000*c.Chance, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(c.total()); err != nil {
		t.Fatal(err)
	}
	o = newOutcome()
	if _, err := w.Examine(sim.Exam{Texts: c.Devices, Bytes: 300, Each: func(_ int, r sim.Result) {
		o.Bits = append(o.Bits, r.Everyone.Bits)
	}}); err != nil {
		t.Fatal(err)
	}
	for k, of := range map[protocol.Kind]string{
		protocol.KindHello: talkBytes, protocol.KindHave: talkBytes, protocol.KindWant: talkBytes, protocol.KindAnswer: talkBytes,
		protocol.KindAnnounce: headBytes, protocol.KindUpdate: bodyBytes,
	} {
		o.Bytes[of] += float64(w.Traffic(k).Bytes)
		o.Count[of] += float64(w.Traffic(k).Messages)
	}
	o.Bytes[wireBytes] = float64(w.Sent())
	said = make([][]time.Duration, c.Devices)
	h := newHearings()
	seconds := func(s string) float64 {
		at, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for l := range strings.Lines(transcript.String()) {
		if m := lineAnnounces.FindStringSubmatch(l); m != nil {
			o.Updates++
			h.said[m[3]] = seconds(m[1])
		} else if m := lineHears.FindStringSubmatch(l); m != nil {
			h.hear(m[3], m[2], seconds(m[1]))
		} else if m := lineSays.FindStringSubmatch(l); m != nil {
			i, _ := strconv.Atoi(m[2])
			said[i] = append(said[i], time.Duration(seconds(m[1])*float64(time.Second)))
		} else if m := lineTakes.FindStringSubmatch(l); m != nil {
			o.Folds++
			if m[1] == "took in" {
				o.Taken++
			}
		}
	}
	o.Spread = h.spread()
	return o, said
}

// A witness stands between a node and its mesh, and notes what passes.
type witness struct {
	mesh.Mesh
	begin  time.Time
	events chan mesh.Event

	mu   sync.Mutex
	said map[string]float64 // seconds after begin
	came map[string]float64
	out  outcome
}

func newWitness(m mesh.Mesh, begin time.Time, over <-chan struct{}) *witness {
	w := &witness{Mesh: m, begin: begin, events: make(chan mesh.Event), said: map[string]float64{}, came: map[string]float64{}, out: newOutcome()}
	go func() {
		defer close(w.events)
		for ev := range m.Events() {
			if u, ok := ev.Msg.(*protocol.Update); ok {
				w.mu.Lock()
				if id := u.ID.String(); w.came[id] == 0 {
					w.came[id] = time.Since(w.begin).Seconds()
				}
				w.mu.Unlock()
			}
			select {
			case w.events <- ev:
			case <-over: // nobody reads any more
			}
		}
	}()
	return w
}

func (w *witness) Events() <-chan mesh.Event { return w.events }

func (w *witness) Send(ctx context.Context, e protocol.Envelope) error {
	w.mu.Lock()
	if u, ok := e.Msg.(*protocol.Update); ok && e.To == "" {
		w.out.Updates++
		w.said[u.ID.String()] = time.Since(w.begin).Seconds()
	} else if e.To != "" {
		of := talkBytes
		if ok {
			of = bodyBytes
		}
		w.out.Count[of]++
	}
	w.mu.Unlock()
	return w.Mesh.Send(ctx, e)
}

func (w *witness) tried(f whole.Fold) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.Late || f.Merged > 0 {
		return
	}
	w.out.Folds++
	if f.Verdict == protocol.Folded {
		w.out.Taken++
	}
}

// A lived is what one live device tells.
type lived struct {
	Self       string
	Outcome    outcome
	Said, Came map[string]float64
}

// live is the life of the i-th device on a real mesh: its user says what he has to say, when he has to, and in the end it is asked what it knows.
func (c calibration) live(ctx context.Context, i int, m *Mesh, key []byte, j whole.Journal, begin time.Time, said []time.Duration) (lived, error) {
	o := c.options()
	d := o.Devices[i]
	n, err := whole.New(whole.Config{
		Key: key, Seed: c.Seed<<8 + uint64(i), Agent: "yan-sim", Share: d.Share, Learning: o.Learning, Exchange: o.Exchange,
		PublishEvery: max(4*uint64(len(d.Stream)/o.Updates), 4),
	}, o.Base)
	if err != nil {
		return lived{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := newWitness(m, begin, ctx.Done())
	runner, ended := whole.NewRunner(), make(chan error, 1)
	go func() { ended <- whole.Run(ctx, n, w, j, runner, quiet, w.tried) }()
	at := func(d time.Duration, job whole.Job) error {
		time.Sleep(time.Until(begin.Add(d)))
		return runner.Do(ctx, job)
	}
	err = at(c.Talk/80, func(now time.Time, n *whole.Node) (whole.Actions, error) { return n.Focus(now, d.Name) })
	for k, u := range sim.Utterances(d.Stream) {
		if err != nil {
			break
		}
		err = at(said[k], func(now time.Time, n *whole.Node) (whole.Actions, error) {
			_, a := n.Observe(now, u)
			a.Add(n.Flush(now))
			if k < len(said)-1 {
				return a, nil
			}
			b, err := n.Focus(now, "")
			a.Add(b)
			return a, err
		})
	}
	l := lived{Self: string(n.Self()), Said: w.said, Came: w.came}
	if err == nil {
		err = at(c.total(), func(_ time.Time, n *whole.Node) (whole.Actions, error) {
			bits, events := 0.0, 0
			mind := n.Learner().Settled()
			for k := range o.Devices {
				e := learning.Evaluate(mind, o.Devices[k].Held[:300], nil)
				bits, events = bits+e.Bits*float64(e.Events), events+e.Events
			}
			w.out.Bits = append(w.out.Bits, bits/float64(events))
			for _, tr := range m.Stats().Traffic {
				w.out.Bytes[map[string]string{"say": talkBytes, "gossip": headBytes, "body": bodyBytes}[tr.Kind]] += float64(tr.Out)
			}
			w.out.Bytes[upkeepBytes] = w.out.Bytes[""]
			delete(w.out.Bytes, "")
			return whole.Actions{}, nil
		})
	}
	cancel()
	if gone := <-ended; err == nil {
		err = gone
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l.Outcome = w.out
	return l, err
}

// together is what all live devices tell.
func together(all []lived) outcome {
	o, h := newOutcome(), newHearings()
	for _, l := range all {
		o.add(l.Outcome)
		for id, at := range l.Said {
			h.said[id] = at
		}
		for id, at := range l.Came {
			h.hear(id, l.Self, at)
		}
	}
	o.Spread = h.spread()
	return o
}

// onVirtualLinks runs it on real hosts over simulated links, in virtual time.
func (c calibration) onVirtualLinks(t *testing.T, said [][]time.Duration) (o outcome) {
	inWorld(t, func(t *testing.T, w *world) {
		w.shake.Store(int64(c.Shake)) // and inWorld's links take 20 ms
		begin := time.Now()
		all := make([]lived, c.Devices)
		var wait sync.WaitGroup
		for i := range all {
			n := w.node(i, Config{})
			wait.Go(func() {
				var err error
				if all[i], err = c.live(t.Context(), i, n.Mesh, meshtest.Key(i), new(disk), begin, said[i]); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		o = together(all)
		o.Bytes[wireBytes] = float64(w.bytes.Load())
	})
	return o
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v
	}
	return m / float64(len(x))
}

func deviation(x []float64) (s float64) {
	m := mean(x)
	for _, v := range x {
		s += (v - m) * (v - m)
	}
	return math.Sqrt(s / float64(max(len(x)-1, 1)))
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func (o outcome) row(name string, devices int) string {
	n := float64(devices)
	return fmt.Sprintf("| %s | %.4f ± %.4f | %d | %d | %d | %.3f | %.3f | %.0f in %.0f | %.0f | %.0f in %.0f | %.0f | %.0f |", name, mean(o.Bits), deviation(o.Bits), o.Updates, o.Folds, o.Taken,
		quantile(o.Spread, 0.5), quantile(o.Spread, 0.9), o.Bytes[talkBytes]/n, o.Count[talkBytes]/n, o.Bytes[headBytes]/n, o.Bytes[bodyBytes]/n, o.Count[bodyBytes]/n, o.Bytes[upkeepBytes]/n, o.Bytes[wireBytes]/n)
}

const calibHead = "| way | bits a byte | updates | tried | taken | arrival s, median | 90 % | talk | heads | bodies | upkeep | wire |"

// What package sim says of a small world holds for real hosts: what devices know in the end, what they did, how fast it spread, and how much they said.
func TestSimulatorTellsTheTruth(t *testing.T) {
	slow(t)
	warmUp(t)
	for seed := range uint64(*calibSeeds) {
		c := calibration{
			Seed: seed + 1, Devices: *calibDevices, Talk: *calibTalk, Text: *calibText,
			Delay: 20 * time.Millisecond, Shake: 80 * time.Millisecond, Bandwidth: 2_500_000, // as of inWorld's links
		}
		model, said := c.simulate(t)
		c.compare(t, model, "virtual links", c.onVirtualLinks(t, said))
	}
}

// compare shows both, and what other devices would have come to; and holds the model to the truth.
func (c calibration) compare(t *testing.T, model outcome, name string, real outcome) {
	t.Helper()
	rows := []string{calibHead, model.row("simulated", c.Devices), real.row(name, c.Devices)}
	for k := range *calibChance {
		other := c
		other.Chance = uint64(k + 1)
		o, _ := other.simulate(t)
		rows = append(rows, o.row("simulated, other chance", c.Devices))
	}
	t.Logf("seed %d, bytes of each device\n%s", c.Seed, strings.Join(rows, "\n"))
	if d := mean(model.Bits) - mean(real.Bits); math.Abs(d) > 0.05 {
		t.Errorf("in the simulator devices end %.4f bits a byte from where they do", d)
	}
	if model.Updates != real.Updates {
		t.Errorf("%d updates, and not %d", real.Updates, model.Updates)
	}
	within := func(what string, model, real, factor float64) {
		if !(model <= factor*real && real <= factor*model) {
			t.Errorf("%s: simulated %.3f, and in truth %.3f: not within %v times", what, model, real, factor)
		}
	}
	within("updates tried", float64(model.Folds), float64(real.Folds), 1.1)
	within("messages to one peer", model.Count[talkBytes], real.Count[talkBytes], 1.5)
	within("bytes of them", model.Bytes[talkBytes], real.Bytes[talkBytes], 1.5)
	within("bytes of bodies", model.Bytes[bodyBytes], real.Bytes[bodyBytes], 1.5)
	within("bytes of heads", model.Bytes[headBytes], real.Bytes[headBytes], 2)
	if c.Shake > 0 { // on loopback it is the processors that take the time
		within("the median arrival", quantile(model.Spread, 0.5), quantile(real.Spread, 0.5), 2)
		within("nine of ten arrivals", quantile(model.Spread, 0.9), quantile(real.Spread, 0.9), 2)
	}
}
