package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Step is something that was taken from a world that breaks a law, to see whether what is left breaks it still.
type Step struct {
	What   string // was tried
	Broken bool   // whether the law broke without it, so that it was left out
	Weight int    // of the world, then
}

// Weight is how large a world is: how many things are planned in it before it begins, from switching a device on to what its user says,
// and faults.
func (o Options) Weight() int {
	n := o.Faults.Crashes + len(o.Faults.Partitions)
	if o.Faults.Churn > 0 {
		n++
	}
	for _, d := range o.Devices {
		n += 1 + len(d.said()) + d.Shown.Len() + len(d.Away) + len(d.Visits)
	}
	return n
}

// Minimise shrinks a world that breaks a law as long as what is left of it breaks the same one: fewer devices, less said, less that goes
// wrong, less time, plainer links and settings. It plays at most so many worlds as budget says (Zeller and Hildebrandt 2002,
// delta debugging, with steps that know what a world is made of). It returns the smallest that it found, where that breaks the
// law, and what it tried. A world of the same options that does not break this law is an error.
func Minimise(seed uint64, opt Options, broken *Broken, budget int) (Options, *Broken, []Step, error) {
	return minimise(opt, broken, budget, func(o Options, storm time.Duration, calm bool) error {
		w, err := New(seed, o)
		if err != nil {
			return err
		}
		return w.playOut(storm, calm)
	})
}

// playOut plays a world as far as is needed to see a law broken that breaks in the storm, or in the calm after it.
func (w *World) playOut(storm time.Duration, calm bool) error {
	if err := w.Run(storm); err != nil || !calm {
		return err
	}
	return w.Calm()
}

// A shrinker makes a world smaller.
type shrinker struct {
	opt    Options
	storm  time.Duration
	broken *Broken
	budget int
	play   func(o Options, storm time.Duration, calm bool) error
	steps  []Step
}

func minimise(opt Options, broken *Broken, budget int, play func(Options, time.Duration, bool) error) (Options, *Broken, []Step, error) {
	opt.Transcript, opt.Watch, opt.Until = nil, nil, 0
	s := &shrinker{opt: opt, storm: broken.Storm, broken: broken, budget: budget, play: play}
	if !s.try("nothing", opt, broken.Storm) {
		return opt, broken, s.steps, fmt.Errorf("sim: seed %d: this world does not break the law: %s", broken.Seed, broken.Law)
	}
	for was := -1; was != len(s.taken()) && s.budget > 0; {
		was = len(s.taken())
		s.time()
		s.devices()
		s.faults()
		s.words()
		s.habits()
		s.settings()
	}
	return s.opt, s.broken, s.steps, nil
}

// taken are the steps that made the world smaller.
func (s *shrinker) taken() []Step {
	return slices.DeleteFunc(slices.Clone(s.steps), func(t Step) bool { return !t.Broken })
}

// try plays a world, and goes on from it if it breaks the law.
func (s *shrinker) try(what string, o Options, storm time.Duration) bool {
	if s.budget <= 0 || len(o.Devices) == 0 {
		return false
	}
	s.budget--
	var b *Broken
	if err := s.play(o, storm, s.broken.Calm); errors.As(err, &b) && b.Law == s.broken.Law && b.Calm == s.broken.Calm {
		s.opt, s.storm, s.broken = o, storm, b
	} else {
		b = nil
	}
	s.steps = append(s.steps, Step{what, b != nil, o.Weight()})
	return b != nil
}

// change tries what change makes of a copy of the options; their devices are copied too.
func (s *shrinker) change(what string, change func(*Options)) bool {
	o := s.opt
	o.Devices = slices.Clone(o.Devices)
	o.Faults.Partitions = slices.Clone(o.Faults.Partitions)
	change(&o)
	return s.try(what, o, s.storm)
}

// without tries to do without parts of a list of so many, in ever smaller pieces, and ends with one by one. left returns how many are left.
func (s *shrinker) without(what string, left func() int, cut func(o *Options, from, to int)) {
	for size := (left() + 1) / 2; size > 0 && s.budget > 0; size /= 2 {
		for from := 0; from < left(); {
			to := min(from+size, left())
			if !s.change(fmt.Sprintf("%s %d to %d", what, from+1, to), func(o *Options) { cut(o, from, to) }) {
				from = to
			}
		}
	}
}

// time tries less of it.
func (s *shrinker) time() {
	if !s.broken.Calm && s.broken.At < s.storm {
		s.try("what comes after", s.opt, s.broken.At)
	}
	for range 4 {
		o := s.opt.withDefaults()
		shorter := s.opt
		shorter.Talk = o.Talk / 2
		if shorter.Talk < 2*o.Exchange.Interval || !s.try("half of the time", shorter, max(s.storm/2, s.storm-o.Talk/2)) && !s.try("half of the time, and as long a storm", shorter, s.storm) {
			break
		}
	}
	if s.broken.Calm {
		for range 3 {
			if !s.try("half of the storm", s.opt, s.storm/2) {
				break
			}
		}
	}
}

func (s *shrinker) devices() {
	s.without("devices", func() int { return len(s.opt.Devices) }, func(o *Options, from, to int) {
		o.Devices = slices.Delete(o.Devices, from, to)
		o.Faults.Crashes = min(o.Faults.Crashes, len(o.Devices))
	})
}

func (s *shrinker) faults() {
	s.without("partitions", func() int { return len(s.opt.Faults.Partitions) }, func(o *Options, from, to int) {
		o.Faults.Partitions = slices.Delete(o.Faults.Partitions, from, to)
	})
	s.without("crashes", func() int { return s.opt.Faults.Crashes }, func(o *Options, from, to int) { o.Faults.Crashes -= to - from })
	if s.opt.Faults.Churn > 0 {
		s.change("churn", func(o *Options) { o.Faults.Churn = 0 })
	}
}

// words tries with less that users say and show.
func (s *shrinker) words() {
	for i := range s.opt.Devices {
		s.without(fmt.Sprintf("of %s's utterances", s.opt.Devices[i].Name), func() int { return len(Utterances(s.opt.Devices[i].Stream)) }, func(o *Options, from, to int) {
			us := Utterances(o.Devices[i].Stream)
			o.Devices[i].Stream = slices.Concat(slices.Delete(us, from, to)...)
		})
		s.without(fmt.Sprintf("of %s's examples", s.opt.Devices[i].Name), func() int { return s.opt.Devices[i].Shown.Len() }, func(o *Options, from, to int) {
			o.Devices[i].Shown = o.Devices[i].Shown.without(from, to)
			if o.Devices[i].Shown == nil {
				o.Devices[i].Asked = nil
			}
		})
	}
}

// without returns examples without some of them, and nil where none is left.
func (e *Examples) without(from, to int) *Examples {
	if to-from == e.Len() {
		return nil
	}
	c := *e
	c.X = slices.Concat(e.X[:from*e.Inputs], e.X[to*e.Inputs:])
	if len(e.Labels) > 0 {
		c.Labels = slices.Concat(e.Labels[:from], e.Labels[to:])
	}
	c.Values = slices.Concat(e.Values[:from*len(e.Names)], e.Values[to*len(e.Names):])
	return &c
}

// habits tries with devices that are as all are.
func (s *shrinker) habits() {
	for i := range s.opt.Devices {
		d := func(o *Options) *Device { return &o.Devices[i] }
		now := s.opt.Devices[i]
		for _, h := range []struct {
			what   string
			is     bool
			change func(*Options)
		}{
			{"attack", now.Attack != "", func(o *Options) { d(o).Attack = "" }},
			{"absence", len(now.Away) > 0, func(o *Options) { d(o).Away = nil }},
			{"visits", len(now.Visits) > 0, func(o *Options) { d(o).Visits = nil }},
			{"links", now.Links != nil, func(o *Options) { d(o).Links = nil }},
			{"speed", now.Speed > 0, func(o *Options) { d(o).Speed = 0 }},
			{"weight as central", now.Central > 0, func(o *Options) { d(o).Central = 0 }},
			{"share", now.Share != "", func(o *Options) { d(o).Share = "" }},
		} {
			if h.is {
				s.change(now.Name+"'s "+h.what, h.change)
			}
		}
	}
}

// settings tries with those that a world has where nothing is said of them.
func (s *shrinker) settings() {
	x, l := s.opt.Exchange, s.opt.Links
	for _, t := range []struct {
		what   string
		is     bool
		change func(*Options)
	}{
		{"loss", l.Loss > 0, func(o *Options) { o.Links.Loss = 0 }},
		{"delays", l.MaxDelay > 0, func(o *Options) { o.Links.MinDelay, o.Links.MaxDelay = 0, 0 }},
		{"the bound on bandwidth", l.Bandwidth > 0, func(o *Options) { o.Links.Bandwidth = 0 }},
		{"time down", s.opt.Faults.Down > 0, func(o *Options) { o.Faults.Down = 0 }},
		{"centrals", x.Central > 0, func(o *Options) { o.Exchange.Central = 0 }},
		{"the bound on bytes", x.MaxHeld > 0, func(o *Options) { o.Exchange.MaxHeld = 0 }},
		{"the bound on updates", x.MaxLive > 0, func(o *Options) { o.Exchange.MaxLive = 0 }},
		{"the bound on versions", x.Versions > 0, func(o *Options) { o.Exchange.Versions = 0 }},
		{"the least number of versions", x.MergeFrom > 0, func(o *Options) { o.Exchange.MergeFrom = 0 }},
		{"the fanout", x.Fanout > 0, func(o *Options) { o.Exchange.Fanout = 0 }},
		{"more than one version", s.opt.Updates != 1, func(o *Options) { o.Updates = 1 }},
	} {
		if t.is {
			s.change(t.what, t.change)
		}
	}
}
