package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/yanmesh/yan/cmd/internal/chart"
	"github.com/yanmesh/yan/cmd/internal/ui"
)

// A printer writes the report for a terminal.
type printer struct {
	b      strings.Builder
	width  int
	colour bool
}

// The colours of a terminal, by what they are used for.
const (
	plain  = ""
	strong = "1"
	faint  = "2"
	blue   = "34"
	red    = "31"
	green  = "32"
)

// in colours a text.
func (p *printer) in(colour, s string) string {
	if !p.colour || colour == plain || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *printer) head(name, says string) {
	p.line("\n%s  %s", p.in(strong, name), p.in(faint, says))
}

// room is what a line has beside so many letters, and no more than 96.
func (p *printer) room(taken int) int { return min(max(p.width-taken, 8), 96) }

func pad(s string, n int) string { return s + strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0)) }

func padLeft(s string, n int) string {
	return strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0)) + s
}

// print writes the report as text, in lines of at most so many letters where names allow.
func (s summary) print(w io.Writer, width int, colour bool) error {
	p := &printer{width: width, colour: colour}
	p.line("%s devices, scenario %s, seed %d: %s of virtual time in %s, %s events, %s sent by each", p.in(strong, fmt.Sprint(s.Devices)), s.Scenario, s.Seed,
		ui.Duration(time.Duration(s.Virtual*float64(time.Second))), ui.Duration(time.Duration(s.Wall*float64(time.Second))),
		ui.Count(int64(s.Events)), ui.Bytes(int64(s.Sent)))
	if s.sentence != "" && s.failed == "" {
		p.wrap("", strings.Fields(s.sentence), plain)
	}
	p.line("")
	g := s.results()
	t := ui.NewTable(g.Head...)
	for _, r := range g.Rows {
		cells := make([]any, len(r))
		for i, c := range r {
			cells[i] = c
		}
		t.Row(cells...)
	}
	if err := t.Fprint(&p.b); err != nil {
		return err
	}
	p.curves(s)
	p.sent(s)
	p.teachers(s)
	p.centrals(s)
	p.mishaps(s)
	p.line("")
	if s.failed != "" || s.Interrupted {
		p.line("the run ended before the calm was over: of what has to hold then nothing is known")
	}
	for _, l := range s.Laws {
		word := p.in(green, "held") + "  "
		if !l.Held {
			word = p.in(red, "BROKEN")
		}
		p.line("%s  %s", word, l.Name)
	}
	p.line("\ntranscript sha256 %s", s.Transcript)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// curves are how what devices know changed: the device in the middle, from the least to the greatest of all.
func (p *printer) curves(s summary) {
	ps := s.seen.points
	if len(ps) == 0 || !s.hasBits() && s.seen.mostRight() == 0 {
		return
	}
	p.head("knowledge", fmt.Sprintf("of everyone's data, by the middle one of %s, over %s", plural(s.seen.asked(), "device", "devices"), ui.Duration(s.seen.end)))
	show := func(name string, get func(point) band, print func(float64) string) {
		var y []float64
		low, high := math.Inf(1), math.Inf(-1)
		for _, q := range ps {
			v := get(q).Mid
			y = append(y, v)
			low, high = min(low, v), max(high, v)
		}
		if least := 0.05 * math.Abs(high); high-low < least { // else chance looks like a change
			low, high = (low+high-least)/2, (low+high+least)/2
		}
		end := get(ps[len(ps)-1])
		from, to := print(y[0]), print(y[len(y)-1])
		tail := fmt.Sprintf("(%s to %s)", print(end.Min), print(end.Max))
		p.line("  %s  %s %s %s %s", pad(name, 11), from, p.in(blue, chart.Spark(y, low, high, p.room(18+len(from)+len(to)+len(tail)))), to, p.in(faint, tail))
	}
	if s.hasBits() {
		show("bits a byte", func(q point) band { return q.bits }, func(v float64) string { return fmt.Sprintf("%.3f", v) })
	}
	show("right", func(q point) band { return q.accuracy }, func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) })
}

// sent is what devices sent, by kind.
func (p *printer) sent(s summary) {
	kinds := s.seen.kindsSent()
	if len(kinds) == 0 {
		return
	}
	p.head("sent", fmt.Sprintf("by kind, of all devices together; %s by each", ui.Bytes(int64(s.Sent))))
	most := float64(s.seen.kinds[kinds[0]].Bytes)
	for _, k := range kinds[:min(len(kinds), 7)] {
		b := s.seen.kinds[k].Bytes
		p.line("  %s  %s  %s", pad(k.String(), 11), padLeft(ui.Bytes(int64(b)), 8), p.in(blue, chart.Bar(float64(b)/most, min(p.room(26), 48))))
	}
}

const fewNamed = 5 // of devices on a terminal

// teachers are those whose skills gained the others most.
func (p *printer) teachers(s summary) {
	c := s.seen
	all := sum(c.pupils)
	if all.tried == 0 {
		return
	}
	p.head("taught", fmt.Sprintf("%s: %s taken in, %s undone, %s refused; the strongest teachers, in nats an event", plural(all.tried, "try", "tries"), count(all.taken), count(all.harmful), count(all.refused)))
	order := c.strongest(c.teachers)
	order = order[:min(len(order), fewNamed)]
	most := max(c.teachers[order[0]].gain, 1e-4)
	for _, i := range order {
		l := c.teachers[i]
		p.line("  %s  %s  %s %s", pad(chart.Short(c.shown(i), 22), 22), padLeft(signed(l.gain), 9), p.in(blue, chart.Bar(l.gain/most, min(p.room(54), 40))), p.in(faint, fmt.Sprintf("taken in %s", plural(l.taken, "time", "times"))))
	}
	p.undone(c)
}

// undone are those of whose skills it would have cost most to keep what was undone.
func (p *printer) undone(c *chronicle) {
	list := c.costliest()
	if len(list) == 0 {
		return
	}
	words := []string{"undone, and would have cost"}
	for k, i := range list[:min(len(list), fewNamed)] {
		end := ","
		if k == min(len(list), fewNamed)-1 {
			end = ""
		}
		words = append(words, fmt.Sprintf("%s (%s)%s", chart.Short(c.shown(i), 18), signed(c.teachers[i].cost), end))
	}
	p.wrap("  ", words, red)
}

// centrals are whose turn it was: a letter for each of those with most turns.
func (p *printer) centrals(s summary) {
	c := s.seen
	rs := c.reigns()
	if len(rs) == 0 {
		return
	}
	ps := careers(rs)
	p.head("central", fmt.Sprintf("%s of %s, what they merged was taken in by others %s and not %s", plural(len(rs), "turn", "turns"), plural(len(ps), "device", "devices"),
		plural(c.merged.taken, "time", "times"), plural(c.merged.tried-c.merged.taken, "time", "times")))
	letters := map[int]byte{}
	var key []string
	for i, q := range ps[:min(len(ps), fewNamed)] {
		letters[q.device] = byte('A' + i)
		key = append(key, fmt.Sprintf("%c %s (%d) ", 'A'+i, chart.Short(c.shown(q.device), 16), q.terms))
	}
	if len(ps) > fewNamed {
		key = append(key, "· others")
	}
	var turns strings.Builder
	for _, r := range thin(rs, p.room(2)) {
		if l, ok := letters[r.device]; ok {
			turns.WriteByte(l)
		} else {
			turns.WriteString("·")
		}
	}
	p.line("  %s", p.in(blue, turns.String()))
	p.wrap("  ", key, faint)
}

// wrap writes words in as many lines as they need, each behind a margin.
func (p *printer) wrap(margin string, words []string, colour string) {
	line := ""
	for _, w := range words {
		switch {
		case line == "":
			line = margin + w
		case utf8.RuneCountInString(line+" "+w) > p.width:
			p.line("%s", p.in(colour, line))
			line = margin + w
		default:
			line += " " + w
		}
	}
	p.line("%s", p.in(colour, line))
}

// mishaps are what went wrong over time; a dot is none.
func (p *printer) mishaps(s summary) {
	c := s.seen
	var lines []string
	for _, f := range faults {
		counts, all := c.counts(f)
		if all == 0 {
			continue
		}
		colour := red
		if f.colour < 0 {
			colour = faint
		}
		n := count(all)
		lines = append(lines, fmt.Sprintf("  %s  %s  %s", p.in(colour, chart.Blocks(counts, min(p.room(52), 48))), padLeft(n, 7), f.name))
	}
	if len(lines) == 0 && len(c.spans) == 0 {
		return
	}
	p.head("wrong", "over time; a dot is none")
	for _, l := range lines {
		p.line("%s", l)
	}
	for _, v := range c.spans[:min(len(c.spans), fewNamed)] {
		to := v.to
		if to < 0 {
			to = c.end
		}
		p.line("  the mesh was divided from %s to %s", clock(v.from), clock(to))
	}
}
