package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
	"github.com/yanmesh/yan/sim/scenario"
)

// A lead is how the skill of the one device that was taught something spreads. A nil lead is one of a world in which several were.
type lead struct {
	teacher   int
	announced time.Duration
	begun     bool
	has       []bool
	when      []time.Duration // since it was announced, of each that took it in, in order
}

// newLead returns the lead of the only device whose user says or shows something, or nil.
func newLead(devices []sim.Device) *lead {
	l := &lead{teacher: -1, has: make([]bool, len(devices))}
	for i, d := range devices {
		switch {
		case len(d.Stream) == 0 && d.Shown == nil:
		case l.teacher >= 0:
			return nil
		default:
			l.teacher = i
		}
	}
	if l.teacher < 0 {
		return nil
	}
	return l
}

func (l *lead) watch(m sim.Moment) {
	switch {
	case l == nil:
	case m.What == sim.Announced && m.Device == l.teacher && !l.begun:
		l.begun, l.announced = true, m.At
	case m.What == sim.Tried && m.Verdict == protocol.Folded && m.Peer == l.teacher && !l.has[m.Device]:
		l.has[m.Device] = true
		l.when = append(l.when, m.At-l.announced)
	}
}

// reached is when a share of those who can have the skill had it.
func (l *lead) reached(share float64) (after time.Duration, ok bool) {
	need := int(share*float64(len(l.has)-1) + 0.999999)
	if need < 1 || need > len(l.when) {
		return 0, false
	}
	return l.when[need-1], true
}

// A spreading is the lead as JSON: seconds since the skill was first announced, and negative if that was not reached.
type spreading struct {
	Half float64 `json:"half_seconds"`
	Most float64 `json:"nine_tenths_seconds"`
	Had  float64 `json:"share_in_the_end"`
}

func (l *lead) spreading() *spreading {
	if l == nil {
		return nil
	}
	s := &spreading{Half: -1, Most: -1, Had: float64(len(l.when)) / float64(max(len(l.has)-1, 1))}
	if d, ok := l.reached(0.5); ok {
		s.Half = d.Seconds()
	}
	if d, ok := l.reached(0.9); ok {
		s.Most = d.Seconds()
	}
	return s
}

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }

// figures are what the sentence of a scenario may speak of.
func (s *summary) figures(opt sim.Options, l *lead) map[string]string {
	f := map[string]string{
		"devices": ui.Count(int64(s.Devices)), "time": ui.Duration(time.Duration(s.Virtual * float64(time.Second))), "sent": ui.Bytes(int64(s.Sent)),
		"crashes": ui.Count(int64(s.seen.more[sim.Crashed])), "restarts": ui.Count(int64(s.seen.more[sim.Returned])),
	}
	put := func(name string, v float64, write func(float64) string) {
		if v > 0 {
			f[name] = write(v)
		}
	}
	bits := func(v float64) string { return fmt.Sprintf("%.3f bits a byte", v) }
	a, b := s.Accuracy, s.Bits
	put("untaught", a.Untaught, percent)
	put("alone", a.Alone, percent)
	put("mesh", a.Mesh, percent)
	put("centralised", a.Centralised, percent)
	put("alone-bits", b.Alone, bits)
	put("mesh-bits", b.Mesh, bits)
	put("centralised-bits", b.Centralised, bits)
	put("own-alone", s.OwnAccuracy.Alone, percent)
	put("own-mesh", s.OwnAccuracy.Mesh, percent)
	if a.Centralised > 0 && a.Mesh > 0 {
		f["of-centralised"] = percent(a.Mesh / a.Centralised)
	}
	if a.Alone > 0 && a.Mesh > 0 {
		f["better"] = compared(a.Mesh, a.Alone)
	}
	if s.text && b.Centralised > 0 {
		f["closed"] = wayGone(b.Alone-b.Mesh, b.Alone-b.Centralised)
	} else if a.Centralised > 0 {
		f["closed"] = wayGone(a.Mesh-a.Alone, a.Centralised-a.Alone)
	}
	knew := func(name string, p point) {
		if s.text {
			put(name, p.bits.Mean, bits)
		} else {
			put(name, p.accuracy.Mean, percent)
		}
	}
	if n := len(s.seen.points); n > 0 {
		knew("undivided", s.seen.points[n-1])
		for _, p := range s.seen.points {
			if ps := opt.Faults.Partitions; len(ps) > 0 && p.at <= ps[0].From+ps[0].For {
				knew("divided", p)
			}
		}
	}
	if l != nil {
		f["half"], f["most"], f["had"] = "never", "never", percent(l.spreading().Had)
		if d, ok := l.reached(0.5); ok {
			f["half"] = ui.Duration(d)
		}
		if d, ok := l.reached(0.9); ok {
			f["most"] = ui.Duration(d)
		}
	}
	if o := s.Standoff; o != nil {
		f["shunned"], f["heard"], f["wronged"] = percent(o.Shunned), percent(o.Heard), percent(o.Wronged)
	}
	var known []string
	for _, g := range s.Groups {
		if g.Asked > 0 {
			known = append(known, g.Name+" "+percent(g.Accuracy))
		}
	}
	f["groups"] = strings.Join(known, ", ")
	terms := s.seen.turnsLost
	for _, t := range s.seen.turns {
		if t.said {
			terms++
		}
	}
	f["terms"], f["believed"] = ui.Count(int64(terms)), ui.Count(int64(s.seen.merged.taken))
	f["laws"] = "all held"
	for _, law := range s.Laws {
		if !law.Held {
			f["laws"] = "broken: " + law.Name
		}
	}
	return f
}

// A grouped is what the devices of a group know in the end.
type grouped struct {
	Name     string  `json:"name"`
	Asked    int     `json:"asked"` // devices
	Accuracy float64 `json:"accuracy"`
	Bits     float64 `json:"bits_per_byte"`
}

// groupsOf has one for each group, and one for the others.
func groupsOf(sc *scenario.Scenario) (list []grouped) {
	if len(sc.Groups) == 0 {
		return nil
	}
	for i, g := range sc.Groups {
		list = append(list, grouped{Name: cmp.Or(g.Name, fmt.Sprint("group ", i+1))})
	}
	return append(list, grouped{Name: "others"})
}

// group is that of a number; −1 is the others.
func (s *summary) group(i int) *grouped {
	if len(s.Groups) == 0 {
		return new(grouped)
	}
	return &s.Groups[(i+len(s.Groups))%len(s.Groups)]
}

func (g *grouped) add(r sim.Result) {
	n := float64(g.Asked)
	g.Accuracy = (g.Accuracy*n + r.Everyone.Accuracy) / (n + 1)
	g.Bits = (g.Bits*n + r.Everyone.Bits) / (n + 1)
	g.Asked++
}

// compared says by how much the mesh is better than devices alone, in points of a hundred.
func compared(mesh, alone float64) string {
	switch d := 100 * (mesh - alone); {
	case d > 0.05:
		return fmt.Sprintf("better by %.1f points", d)
	case d < -0.05:
		return fmt.Sprintf("worse by %.1f points", -d)
	}
	return "no better and no worse"
}

// wayGone says what part of a way was gone.
func wayGone(gone, whole float64) string {
	switch {
	case whole <= 0:
		return "no part (there was none to come)"
	case gone <= 0:
		return "no part"
	}
	return fmt.Sprintf("%.0f %%", 100*gone/whole)
}

// A standoff is how the honest and the hostile ended, as shares of their pairs.
type standoff struct {
	Shunned float64 `json:"hostile_shunned"` // the honest one asks the hostile one no more
	Heard   float64 `json:"hostile_heard"`   // the honest one has a skill of the hostile one
	Wronged float64 `json:"honest_shunned"`  // an honest one asks another no more
	Harmful int     `json:"harmful_undone"`  // updates of hostile devices
}

// mostStandoff bounds the devices of which all pairs are looked at.
const mostStandoff = 1000

func standoffOf(w *sim.World, devices []sim.Device) *standoff {
	hostile := false
	for _, d := range devices {
		hostile = hostile || d.Attack != "" && d.Attack != sim.Silent
	}
	if !hostile || len(devices) > mostStandoff {
		return nil
	}
	s := w.Standoff()
	share := func(n, of int) float64 { return float64(n) / float64(max(of, 1)) }
	return &standoff{Shunned: share(s.Shunned, s.Pairs), Heard: share(s.Heard, s.Pairs), Wronged: share(s.Wronged, s.Others), Harmful: s.Harmful}
}
