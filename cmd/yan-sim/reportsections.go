package main

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/yanmesh/yan/cmd/internal/chart"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

// kindsSent are the kinds of messages of which there were any, the one with most bytes first.
func (c *chronicle) kindsSent() (list []protocol.Kind) {
	for k, t := range c.kinds {
		if t.Messages > 0 {
			list = append(list, protocol.Kind(k))
		}
	}
	slices.SortStableFunc(list, func(a, b protocol.Kind) int { return cmp.Compare(c.kinds[b].Bytes, c.kinds[a].Bytes) })
	return list
}

// bytesSent is what each device sent, by kind.
func (s summary) bytesSent() section {
	sec := section{ID: "bytes", Name: "What they sent"}
	kinds := s.seen.kindsSent()
	if len(kinds) == 0 || len(s.seen.sent) == 0 {
		sec.Says = "Nobody sent anything."
		return sec
	}
	sec.Says = "Bytes that a device has sent by then, on average, by the kind of message. What the transport adds is not counted."
	n := float64(max(s.Devices, 1))
	unit, size := "bytes", 1.0
	for _, u := range []struct {
		name string
		size float64
	}{{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}} {
		if float64(s.Sent) >= 2*u.size {
			unit, size = u.name, u.size
		}
	}
	a := chart.Areas{Title: "Bytes sent by each device over time, by kind", Label: unit + " sent by each device"}
	for _, v := range s.seen.sent {
		a.At = append(a.At, v.at)
	}
	few := min(len(kinds), chart.Colours-1)
	for i := len(kinds) - 1; i >= 0; i-- { // the largest on top, for the legend to begin with it
		y := make([]float64, len(a.At))
		for t, v := range s.seen.sent {
			y[t] = float64(v.bytes[kinds[i]]) / n / size
		}
		switch {
		case i < few:
			a.Areas = append(a.Areas, chart.Line{Name: kinds[i].String(), Colour: i, Y: y})
		case len(a.Areas) == 0:
			a.Areas = append(a.Areas, chart.Line{Name: "others", Colour: -1, Y: y})
		default:
			for t := range y {
				a.Areas[0].Y[t] += y[t]
			}
		}
	}
	sec.Pictures = append(sec.Pictures, draw("Bytes sent by each device", a.Keys(), a.SVG))
	g := grid{About: "By kind, of all devices together", Head: []string{"kind", "messages", "did not arrive", "bytes", "share"}, Open: true}
	total := 0.0
	for _, k := range kinds {
		total += float64(s.seen.kinds[k].Bytes)
	}
	for _, k := range kinds {
		t := s.seen.kinds[k]
		g.Rows = append(g.Rows, []string{k.String(), ui.Count(int64(t.Messages)), share(float64(t.Lost) / float64(t.Messages)), ui.Bytes(int64(t.Bytes)), share(float64(t.Bytes) / total)})
	}
	sec.Grids = append(sec.Grids, g)
	return sec
}

// Of devices and skills that a page lists, so many.
const (
	mostNamed = 12
	mostRows  = 40
)

// taught is who taught whom.
func (s summary) taught() section {
	c := s.seen
	sec := section{ID: "taught", Name: "Who taught whom"}
	all := sum(c.pupils)
	if all.tried == 0 {
		sec.Says = "No device tried what another had learnt."
		if c.merged.tried > 0 {
			sec.Says = "No device tried another's skill by itself; " + plural(c.merged.tried, "merged one was tried", "merged ones were tried") + " (see below)."
		}
		return sec
	}
	sec.Says = fmt.Sprintf("A device tries what comes from another on its own user's recent events, takes in what helps and undoes what harms. %s: %s taken in, %s undone, %s refused. "+
		"A gain is in nats an event, so more is better.", plural(all.tried, "try", "tries"), count(all.taken), count(all.harmful), count(all.refused))
	if n := c.liars(); n > 0 {
		sec.Says += fmt.Sprintf(" %s: an ! stands before the name.", plural(n, "device lies", "devices lie"))
	}
	if c.pairs != nil {
		m := chart.Matrix{Title: "Who taught whom, and what it gained", Rows: "who taught", Cols: "whom", Names: make([]string, len(c.names))}
		for i := range c.names {
			m.Names[i] = c.shown(i)
		}
		m.Value = func(i, j int) (float64, bool) {
			l := c.pairs[pair{i, j}]
			if l == nil {
				return 0, false
			}
			if l.taken == 0 {
				return l.cost, true
			}
			return l.gain, true
		}
		m.Tell = func(i, j int) string {
			l := c.pairs[pair{i, j}]
			return fmt.Sprintf("%s to %s: %d taken in, a gain of %s nats an event; %d undone, which cost %s; %d refused", c.shown(i), c.shown(j), l.taken, signed(l.gain), l.harmful, signed(l.cost), l.refused)
		}
		worst := 0.0
		for _, l := range c.pairs {
			worst = min(worst, l.cost)
		}
		m.Mark = func(i, j int) float64 {
			l := c.pairs[pair{i, j}]
			if l == nil || l.harmful == 0 || l.taken == 0 || worst == 0 {
				return 0
			}
			return math.Sqrt(l.cost / worst)
		}
		sec.Pictures = append(sec.Pictures, picture{
			About: "What each gained from each",
			Legend: template.HTML(chart.Legend([]chart.Key{{Colour: 0, Kind: "area", Name: "gained; a stronger colour is more"}, {Colour: 1, Kind: "area", Name: "cost, and was undone; a corner: some of it was"},
				{Colour: -1, Kind: "area", Name: "a dot: next to nothing"}})),
			Wide: template.HTML(m.SVG(wide)),
		})
	} else {
		sec.Pictures = append(sec.Pictures, s.histogram())
	}
	order := c.strongest(c.teachers)
	b := chart.Bars{Title: "The strongest teachers"}
	for _, i := range order[:min(len(order), mostNamed)] {
		l := c.teachers[i]
		colour := 0
		if l.gain < 0 {
			colour = 1
		}
		b.Rows = append(b.Rows, chart.Row{Name: c.shown(i), Value: l.gain, Text: fmt.Sprintf("%s from %d", signed(l.gain), l.taken), Colour: colour})
	}
	sec.Pictures = append(sec.Pictures, draw("The strongest teachers: what all gained, from how many versions", nil, b.SVG))
	if all.harmful > 0 {
		b := chart.Bars{Title: "What was undone"}
		for _, i := range c.costliest() {
			l := c.teachers[i]
			b.Rows = append(b.Rows, chart.Row{Name: c.shown(i), Value: -l.cost, Text: fmt.Sprintf("%s in %d", signed(l.cost), l.harmful), Colour: 1})
		}
		sec.Pictures = append(sec.Pictures, draw("What was undone: what it would have cost, in how many versions", nil, b.SVG))
	}
	sec.Grids = append(sec.Grids, c.people("Teachers", "who taught", c.teachers, order, "shunned by"), c.people("Pupils", "who was taught", c.pupils, c.strongest(c.pupils), "shuns"))
	return sec
}

// liars is how many devices lie.
func (c *chronicle) liars() (n int) {
	for _, l := range c.lies {
		if l != "" {
			n++
		}
	}
	return n
}

// sum adds lessons up.
func sum(ls []lesson) (all lesson) {
	for _, l := range ls {
		all.tried += l.tried
		all.taken += l.taken
		all.refused += l.refused
		all.harmful += l.harmful
		all.regretted += l.regretted
		all.shunned += l.shunned
		all.gain += l.gain
		all.cost += l.cost
	}
	return all
}

// people is a table of devices: the first and the last, if there are too many.
func (c *chronicle) people(about, who string, of []lesson, order []int, shun string) grid {
	g := grid{About: about, Head: []string{who, "gain in all", "tries", "taken in", "undone", "cost", "refused", "harmed later", shun}}
	for k, i := range order {
		if len(order) > mostRows && k == mostRows/2 {
			g.Rows = append(g.Rows, []string{fmt.Sprintf("… %d more", len(order)-mostRows), "", "", "", "", "", "", "", ""})
		}
		if len(order) > mostRows && k >= mostRows/2 && k < len(order)-mostRows/2 {
			continue
		}
		l := of[i]
		g.Rows = append(g.Rows, []string{c.shown(i), signed(l.gain), count(l.tried), count(l.taken), count(l.harmful), signed(l.cost), count(l.refused), count(l.regretted), count(l.shunned)})
	}
	return g
}

// histogram is how many skills of others devices took in, where there are too many to be named.
func (s summary) histogram() picture {
	most := 0
	for _, l := range s.seen.pupils {
		most = max(most, l.taken)
	}
	step := max((most+mostNamed)/mostNamed, 1)
	b := chart.Bars{Title: "How many skills of others devices took in"}
	bins := make([]int, most/step+1)
	for _, l := range s.seen.pupils {
		bins[l.taken/step]++
	}
	for i, n := range bins {
		name := fmt.Sprintf("%d to %d", i*step, (i+1)*step-1)
		if step == 1 {
			name = fmt.Sprint(i)
		}
		b.Rows = append(b.Rows, chart.Row{Name: name, Value: float64(n), Text: plural(n, "device", "devices")})
	}
	return draw("How many versions of others' skills devices took in", nil, b.SVG)
}

// A reign is what a device did as central in one term.
type reign struct {
	term     mesh.Term
	device   int
	at       time.Duration
	rank     uint8
	skills   int
	versions int
	lesson
}

// reigns are the turns of centrals, each with all its skills.
func (c *chronicle) reigns() (list []reign) {
	type key struct {
		term   mesh.Term
		device int
	}
	at := map[key]int{}
	for _, t := range c.order {
		o := c.turns[t]
		k := key{t.term, t.central}
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k] = i
			list = append(list, reign{term: t.term, device: t.central, at: o.at, rank: o.rank})
		}
		r := &list[i]
		r.skills++
		r.versions += o.versions
		r.lesson = sum([]lesson{r.lesson, o.lesson})
	}
	slices.SortStableFunc(list, func(a, b reign) int { return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.rank, b.rank)) })
	return list
}

// A career is what a device did as central in all its terms.
type career struct {
	device, terms, first, skills, versions int
	lesson
}

// careers are those who were central, who was it most often first.
func careers(rs []reign) (list []career) {
	at := map[int]int{}
	for _, r := range rs {
		i, ok := at[r.device]
		if !ok {
			i = len(list)
			at[r.device] = i
			list = append(list, career{device: r.device})
		}
		p := &list[i]
		p.terms++
		if r.rank == 0 {
			p.first++
		}
		p.skills += r.skills
		p.versions += r.versions
		p.lesson = sum([]lesson{p.lesson, r.lesson})
	}
	slices.SortStableFunc(list, func(a, b career) int { return cmp.Compare(b.terms, a.terms) })
	return list
}

// central is whose turn it was to say what is merged, and what came of it.
func (s summary) central() section {
	c := s.seen
	sec := section{ID: "central", Name: "Whose turn it was to be central"}
	rs := c.reigns()
	if len(rs) == 0 {
		sec.Says = "No device was central: everyone took in others' skills one by one."
		return sec
	}
	ps := careers(rs)
	sec.Says = fmt.Sprintf("In each term one device says which versions of some skills are to be merged; everyone merges them itself and keeps what helps. %s of %s had something to merge, %s in all; "+
		"what they merged was taken in by others %s and not %s. Terms in which there was nothing to merge leave no mark.",
		plural(len(ps), "device", "devices"), count(s.Devices), plural(len(rs), "turn", "turns"), plural(c.merged.taken, "time", "times"), plural(c.merged.tried-c.merged.taken, "time", "times"))
	if c.turnsLost > 0 {
		sec.Says += fmt.Sprintf(" Of %s skills more only the sums are known.", count(c.turnsLost))
	}
	colours := map[int]int{}
	var keys []chart.Key
	for i, p := range ps {
		if i < chart.Colours {
			colours[p.device] = i
			keys = append(keys, chart.Key{Colour: i, Kind: "area", Name: c.shown(p.device)})
		} else {
			colours[p.device] = -1
		}
	}
	if more := len(ps) - chart.Colours; more > 0 {
		keys = append(keys, chart.Key{Colour: -1, Kind: "area", Name: plural(more, "other", "others")})
	}
	st := chart.Strip{Title: "Whose turn it was to be central, over time", Width: mesh.TermLength, End: c.end}
	for c.end/st.Width > 360 {
		st.Width *= 2
	}
	for _, r := range thin(rs, 720) {
		st.Turns = append(st.Turns, chart.Turn{At: r.at, Colour: colours[r.device], Good: float64(r.taken), No: float64(r.tried - r.taken),
			Title: fmt.Sprintf("%s %s: %s of %s, taken in by %d, not by %d", clock(r.at), c.shown(r.device), plural(r.skills, "skill", "skills"), plural(r.versions, "version", "versions"), r.taken, r.tried-r.taken)})
	}
	sec.Pictures = append(sec.Pictures, draw("Turns, by device", keys, st.SVG))
	g := grid{About: "By device", Head: []string{"device", "turns", "as the first", "skills", "versions", "taken in", "undone", "refused", "mean gain"}}
	for _, p := range ps[:min(len(ps), mostRows)] {
		g.Rows = append(g.Rows, []string{c.shown(p.device), count(p.terms), count(p.first), count(p.skills), count(p.versions), count(p.taken), count(p.harmful), count(p.refused),
			signed(p.gain / float64(max(p.taken, 1)))})
	}
	sec.Grids = append(sec.Grids, g)
	return sec
}

// A fault is one kind of what went wrong, over time.
type fault struct {
	name   string
	colour int
	get    func(bucket) int
}

var faults = []fault{
	{"crashes", 1, func(b bucket) int { return b.crashed }},
	{"messages that did not arrive", -1, func(b bucket) int { return b.lost }},
	{"skills that did harm and were undone", 3, func(b bucket) int { return b.harmful }},
	{"skills that were refused", 4, func(b bucket) int { return b.refused }},
	{"skills that did harm later", 6, func(b bucket) int { return b.regretted }},
	{"devices that ceased to listen to another", 0, func(b bucket) int { return b.shunned }},
}

// counts is how often a fault happened in each bucket.
func (c *chronicle) counts(f fault) (list []int, all int) {
	for _, b := range c.buckets {
		list = append(list, f.get(b))
		all += f.get(b)
	}
	return list, all
}

// downs is how many devices were down in each bucket, at most, and in all.
func (c *chronicle) downs() (list []int, most int) {
	for _, b := range c.buckets {
		list = append(list, b.down)
		most = max(most, b.down)
	}
	return list, most
}

// failures is what went wrong, and when.
func (s summary) failures() section {
	c := s.seen
	sec := section{ID: "failures", Name: "What went wrong"}
	l := chart.Lanes{Title: "What went wrong, over time", Width: c.width, End: c.end, Span: "the mesh was divided"}
	var divided []string
	for _, p := range c.spans {
		to := p.to
		if to < 0 {
			to = c.end
		}
		l.Spans = append(l.Spans, [2]time.Duration{p.from, to})
		divided = append(divided, clock(p.from)+" to "+clock(to))
	}
	if down, most := c.downs(); most > 0 {
		l.Lanes = append(l.Lanes, chart.Lane{Name: "devices that are down", Colour: 1, Counts: down, Sum: "at most " + count(most)})
	}
	for _, f := range faults {
		counts, all := c.counts(f)
		l.Lanes = append(l.Lanes, chart.Lane{Name: f.name, Colour: f.colour, Counts: counts, Sum: count(all)})
	}
	sec.Says = "The more often in a while, the stronger the colour."
	if len(divided) > 0 {
		sec.Says += " The mesh was divided (shaded) from " + strings.Join(thin(divided, 6), ", ") + "."
	}
	if len(c.sent) > 0 {
		sec.Says += fmt.Sprintf(" At the end %s of %s were up.", count(c.up), plural(s.Devices, "device", "devices"))
	}
	sec.Pictures = append(sec.Pictures, draw("Mishaps over time", nil, l.SVG))
	if len(c.mishaps) == 0 {
		return sec
	}
	shown := c.mishaps[:min(len(c.mishaps), mostRows)]
	g := grid{About: fmt.Sprintf("The first %d of %d, but for refusals", len(shown), c.listable()), Head: []string{"time", "what", "device", "whose", "skill", "gain"}}
	if len(shown) == c.listable() {
		g.About = "All of them, but for refusals"
	}
	for _, m := range shown {
		gain := ""
		if m.gain != 0 {
			gain = signed(m.gain)
		}
		g.Rows = append(g.Rows, []string{clock(m.at), string(m.what), c.shown(m.device), c.shown(m.peer), m.skill, gain})
	}
	sec.Grids = append(sec.Grids, g)
	return sec
}

// listable is how many mishaps there were of the kinds that are listed one by one.
func (c *chronicle) listable() (n int) {
	for what, k := range c.more {
		if string(what) != protocol.Refused.String() {
			n += k
		}
	}
	return n
}
