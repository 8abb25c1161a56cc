package speed

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// Figures are what was measured of one model that reads, predicts and learns, with one thread. What could not be
// measured is zero or empty. A share is 1 if it is all.
type Figures struct {
	Name        string  `json:"name"`
	Parameters  int     `json:"parameters"`
	Weights     string  `json:"weights"` // bf16 or float32
	WeightBytes int     `json:"weight_bytes"`
	Active      float64 `json:"active_share"` // of the sections

	Decode   []Decode `json:"decode"`
	Flatness float64  `json:"flatness"`        // how far the slowest place of the stream is behind the fastest
	Share    float64  `json:"share_of_peak"`   // bytes of weights that decoding read, of those that could be read in that time
	Read     float64  `json:"read_event_gbps"` // what that is a share of: reading as many bytes as an event takes, again and again

	Early int `json:"state_bytes_at_100"` // what a stream of 100 events carries
	State int `json:"state_bytes"`        // what it carries at the last place

	Resident     int `json:"resident_bytes"`          // memory of the whole process at the last place: program, weights, buffers of reading ahead
	Decoding     int `json:"decoding_resident_bytes"` // the same without those buffers, of which decoding needs none
	PeakResident int `json:"peak_resident_bytes"`     // the most that it was on the way there, garbage included; 0 where the system does not tell

	Prefill      float64   `json:"prefill"` // events a second, of the fewest that were read ahead
	Prefills     []Prefill `json:"prefills"`
	PrefillShare float64   `json:"prefill_share_of_peak"` // floating-point operations, of those that could be done in that time

	LearnStep   float64 `json:"learn_step_ns"` // an event that is predicted and then learnt from
	LearnSpread float64 `json:"learn_spread"`
	Step        float64 `json:"step_ns"`    // beside it, an event that is only predicted
	Forward     float64 `json:"forward_ns"` // and one that is read in chunks as long as learning's
}

func figures(name string) *Figures {
	return &Figures{Name: name, Decode: []Decode{}, Prefills: []Prefill{}}
}

// Decode is how fast events are read and predicted one by one at a place of the stream.
type Decode struct {
	Context int `json:"context"` // events before
	Rate
}

// Prefill is how fast so many events are read ahead at the beginning of a stream, in chunks, up to the prediction of
// what follows the last.
type Prefill struct {
	Events int `json:"events"`
	Rate
}

// LearnRatio is how much longer an event takes that is learnt from, zero if that is not known.
func (f *Figures) LearnRatio() float64 {
	if f.Step == 0 {
		return 0
	}
	return f.LearnStep / f.Step
}

const (
	// chunk is how many events are read ahead at once.
	chunk = 512
	// learningChunk is after how many events a learner writes.
	learningChunk = 32
)

// A subject is a model while it is measured.
type subject struct {
	out   *Figures
	shape Shape
	m     *model.Model // nil before stand if it is to be built from the shape

	places   []*model.State // of the stream
	evidence []float32      // on the way through it
	cost     cost
}

// built reports whether nobody gave the model.
func (s *subject) built() bool { return s.shape.Name != "" }

// thinking are the parts that measure one model.
func (b *bench) thinking(s *subject) []part {
	places, rounds := len(b.places(s)), b.plan.Rounds
	do := func(what string, turns int, run func(*subject) error) part {
		return part{s.out.Name + ": " + what, turns, func() error { return run(s) }}
	}
	return []part{
		do("the model", rounds, b.stand),
		do("reading to places of the stream", rounds, b.reach),
		do("decoding", rounds*(places+1), b.decode),
		do("reading ahead", rounds*(len(b.plan.Prefill)+1), b.prefill),
		do("learning", rounds*3, b.learn),
	}
}

// places are where decoding is measured.
func (b *bench) places(s *subject) []int {
	if s.shape.Far == 0 {
		return b.plan.Contexts
	}
	return slices.DeleteFunc(slices.Clone(b.plan.Contexts), func(at int) bool { return at > s.shape.Far })
}

// stand builds the model, if it is not given, in the place of the one before.
func (b *bench) stand(s *subject) error {
	b.leave()
	b.last = s
	f := s.out
	if s.built() {
		var err error
		if s.m, err = Build(s.shape.Config); err != nil {
			return fmt.Errorf("speed: build %s: %w", f.Name, err)
		}
		b.out.Shapes = append(b.out.Shapes, f)
	}
	f.Weights, f.WeightBytes = weights(s.m)
	f.Parameters = s.m.Parameters()
	debug.FreeOSMemory() // what it took to build it is no part of what it takes to run it
	forget()
	return nil
}

// leave lets go of the model that was measured last.
func (b *bench) leave() {
	if b.last != nil {
		b.last.m, b.last.places = nil, nil
	}
}

// reach reads the stream to every place, or as far as patience goes, and looks at what that took.
func (b *bench) reach(s *subject) error {
	f, state, tape := s.out, s.m.NewState(), model.Tape{LastOnly: true, Lean: true}
	s.m.Forward(state, b.text[:chunk], &tape) // beside the stream, for buffers to grow
	read, routed := float64(chunk), chunk*active(s.m, &tape)
	s.evidence = append(s.evidence, state.Evidence()...)
	state.Reset()
	began := b.cpu()
	late := func() bool { return b.ctx.Err() != nil || b.cpu()-began > b.plan.Patience }
	for _, place := range b.places(s) {
		for at := int(state.Events); at < place && !late(); at = int(state.Events) {
			n := min(chunk, place-at)
			s.m.Forward(state, b.text[at:at+n], &tape)
			read, routed = read+float64(n), routed+float64(n)*active(s.m, &tape)
			s.evidence = append(s.evidence, state.Evidence()...)
		}
		s.places = append(s.places, state.Clone())
		if int(state.Events) < place {
			b.note("%s: the stream was read up to %d and not to %d, for that takes too long here", f.Name, state.Events, place)
			break
		}
	}
	f.Active = routed / read
	s.cost = costOf(s.m, f.Active)
	f.State = stateBytes(state)
	debug.FreeOSMemory()
	f.Resident, f.PeakResident = resident()
	runtime.KeepAlive(&tape)
	tape = model.Tape{}
	f.Early = b.early(s.m)
	debug.FreeOSMemory()
	f.Decoding, _ = resident()
	return nil
}

// early is what a stream of a hundred events carries.
func (b *bench) early(m *model.Model) int {
	state := m.NewState()
	for _, e := range b.text[:100] {
		m.Step(state, e)
	}
	return stateBytes(state)
}

// stateBytes is how many bytes it takes to write down what a stream carries.
func stateBytes(s *model.State) int {
	b, err := s.MarshalBinary()
	if err != nil {
		panic("speed: a state that cannot be written: " + err.Error())
	}
	return len(b)
}

// decode predicts event after event at each place in turn. In a round all places have the same text, so that what
// they differ in is the place.
func (b *bench) decode(s *subject) error {
	f, live := s.out, s.m.NewState()
	n := b.times(func(times int) {
		for i := range times {
			s.m.Step(live, b.event(i))
		}
	})
	works := []work{b.sweeping(ones(int(s.cost.bytes)))}
	for _, place := range s.places {
		works = append(works, b.from(place, s.m, live, n))
	}
	got := b.turns(b.cpu, works...)
	f.Read = rate(got[0]).Best / 1e9
	for i, place := range s.places {
		if r := rate(got[i+1]); r.Segments > 0 {
			f.Decode = append(f.Decode, Decode{Context: int(place.Events), Rate: r})
		}
	}
	f.Flatness = flatness(got[1:])
	if f.Read > 0 && len(f.Decode) > 0 {
		f.Share = f.Decode[0].Best * s.cost.bytes / (1e9 * f.Read)
	}
	return nil
}

// from is work that goes on from a place with n events. All places use one state, and so the same memory.
func (b *bench) from(place *model.State, m *model.Model, live *model.State, n int) work {
	return func(round int) float64 {
		live.CopyFrom(place)
		for i := range n {
			m.Step(live, b.event(round*n+i))
		}
		return float64(n)
	}
}

// event is the i-th event of a text without end.
func (b *bench) event(i int) sense.Event { return b.text[i%len(b.text)] }

// flatness is the distance between the fastest and the slowest of some places, as a share. Places are compared round by
// round, since what else the machine does changes from round to round.
func flatness(places [][]float64) float64 {
	rounds := len(places[0])
	for _, p := range places {
		rounds = min(rounds, len(p))
	}
	if rounds == 0 {
		return 0
	}
	var relative []float64
	for _, p := range places {
		var r []float64
		for k := range rounds {
			mean := 0.0
			for _, q := range places {
				mean += q[k] / float64(len(places))
			}
			r = append(r, p[k]/mean)
		}
		relative = append(relative, rate(r).Median)
	}
	return slices.Max(relative) - slices.Min(relative)
}

// prefill reads ahead at the beginning of streams.
func (b *bench) prefill(s *subject) error {
	f, state, tape := s.out, s.m.NewState(), model.Tape{LastOnly: true, Lean: true}
	works := []work{b.burning()}
	for _, n := range b.plan.Prefill {
		works = append(works, b.segment(func() float64 {
			state.Reset()
			for at := 0; at < n; at += chunk {
				s.m.Forward(state, b.text[at:min(at+chunk, n)], &tape)
			}
			return float64(n)
		}))
	}
	got := b.turns(b.cpu, works...)
	top := 0.0
	for i, n := range b.plan.Prefill {
		if r := rate(got[i+1]); r.Segments > 0 {
			f.Prefills = append(f.Prefills, Prefill{Events: n, Rate: r})
			top = max(top, r.Best)
		}
	}
	if len(f.Prefills) > 0 {
		f.Prefill = f.Prefills[0].Median
	}
	if peak := rate(got[0]).Best; peak > 0 {
		f.PrefillShare = top * s.cost.flops / peak
	}
	return nil
}

// learn compares events that are learnt from, into a skill that the owner named, with events that are not.
func (b *bench) learn(s *subject) error {
	f, m := s.out, s.m
	if s.built() { // nobody trained it, so nobody surveyed what it knows
		own := *m
		own.Background = &model.Background{Samples: s.evidence, Group: make([]int32, len(s.evidence)/m.Config.ContextSize())}
		m = &own
	}
	l, err := learning.New(learning.Config{Chunk: learningChunk, Seed: 1}, m)
	if errors.Is(err, learning.ErrNoBackground) {
		b.note("%s: learning was not measured: %v", f.Name, err)
		return nil
	}
	if err == nil {
		err = l.Focus("bench")
	}
	if err != nil {
		return err
	}
	stepping, reading, tape := m.NewState(), m.NewState(), model.Tape{Lean: true}
	observe := func(in []sense.Event) {
		for _, e := range in {
			l.Observe(e)
		}
	}
	chunks := b.times(func(times int) {
		for k := range times {
			observe(b.stretch(k))
		}
	})
	each := func(do func(in []sense.Event)) work {
		return func(round int) float64 {
			for k := range chunks {
				do(b.stretch(round*chunks + k))
			}
			return float64(chunks * learningChunk)
		}
	}
	got := b.turns(b.cpu, each(observe), each(func(in []sense.Event) {
		for _, e := range in {
			m.Step(stepping, e)
		}
	}), each(func(in []sense.Event) { m.Forward(reading, in, &tape) }))
	learnt := rate(got[0])
	f.LearnStep, f.LearnSpread = learnt.Time(), learnt.Spread()
	f.Step, f.Forward = rate(got[1]).Time(), rate(got[2]).Time()
	return nil
}

// stretch is the k-th chunk, as long as a learner's, of a text without end.
func (b *bench) stretch(k int) []sense.Event {
	at := k * learningChunk % len(b.text)
	return b.text[at : at+learningChunk]
}
