package main

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
)

var update = flag.Bool("update", false, "write the golden files")

// story is a summary of a run that was made up: all that can happen does, in figures that are the same everywhere.
func story(devices int) summary {
	list := make([]sim.Device, devices)
	for i := range list {
		list[i].Name = fmt.Sprintf("device-%d", i)
	}
	list[0].Attack = sim.Flip
	s := summary{Devices: devices, Scenario: "made-up", Data: "none", Seed: 7, Virtual: 3600, Wall: 2.5, Events: 123456, Sent: 45678, Transcript: "abc",
		Accuracy: trio{0.1, 0.2, 0.3, 0.4}, Bits: trio{4, 3.5, 3, 2.5}, OwnBits: trio{4, 3, 2.75, 2.5}, OwnAccuracy: trio{0.1, 0.25, 0.35, 0.45},
		Laws:     []lawHeld{{"one", true}, {"two", false}},
		sentence: `The mesh knows "everything" & <more>.`, command: "yan-sim --devices 8", settings: "name: <made-up>\n"}
	c := newChronicle(list, time.Hour)
	s.seen = c
	for i := range devices {
		c.watch(sim.Moment{At: time.Duration(i) * time.Millisecond, What: sim.Started, Device: i, Peer: -1})
	}
	var kinds [16]uint64
	for minute := range 60 {
		at := time.Duration(minute)*time.Minute + 30*time.Second
		d, p := minute*5%devices, minute*3%devices
		switch minute {
		case 20:
			c.watch(sim.Moment{At: at, What: sim.Divided, Device: -1, Peer: -1})
		case 30:
			c.watch(sim.Moment{At: at, What: sim.Healed, Device: -1, Peer: -1})
		case 40:
			c.watch(sim.Moment{At: at, What: sim.Crashed, Device: d, Peer: -1})
		case 42:
			c.watch(sim.Moment{At: at, What: sim.Returned, Device: (40 * 5) % devices, Peer: -1})
		case 55:
			c.watch(sim.Moment{At: at, What: sim.Shunned, Device: d, Peer: p})
			c.watch(sim.Moment{At: at, What: sim.Regretted, Device: d, Peer: p, Skill: "tea", Gain: -0.3})
		}
		if d != p {
			m := sim.Moment{At: at, What: sim.Tried, Device: d, Peer: p, Skill: "tea", Verdict: protocol.Folded, Gain: 0.01 * float64(p+1)}
			if minute%7 == 3 {
				m.Verdict, m.Gain = protocol.Harmful, -0.05
			}
			if minute%11 == 5 {
				m.Verdict, m.Gain = protocol.Refused, 0
			}
			c.watch(m)
		}
		term := mesh.Term(100 + minute)
		c.watch(sim.Moment{At: at, What: sim.Ruled, Device: p, Peer: -1, Skill: "tea", Versions: 4, Term: term})
		for k := range min(devices, 5) {
			v := protocol.Folded
			if k == 3 {
				v = protocol.Harmful
			}
			c.watch(sim.Moment{At: at + time.Second, What: sim.Merged, Device: k, Peer: p, Skill: "tea", Verdict: v, Gain: 0.02 - 0.01*float64(k), Versions: 4, Term: term})
		}
		kinds[protocol.KindUpdate] += 4000 * uint64(devices)
		kinds[protocol.KindHave] += 300 * uint64(devices)
		c.keep(sample{at: at, bytes: kinds, lost: uint64(minute * minute), up: c.up})
		if minute%3 == 0 {
			x := 4 - float64(minute)/60
			b := band{x - 0.3, x - 0.1, x, x + 0.2, x + 0.5, x}
			c.points = append(c.points, point{at, 12345 * uint64(minute), 8, b, spreadOf([]float64{0.1, 0.1 + float64(minute)/300, 0.12}), b})
		}
	}
	c.kinds[protocol.KindUpdate] = sim.Traffic{Messages: 60, Bytes: kinds[protocol.KindUpdate], Lost: 3}
	c.kinds[protocol.KindHave] = sim.Traffic{Messages: 600, Bytes: kinds[protocol.KindHave], Lost: 30}
	return s
}

func named(names ...string) (list []sim.Device) {
	for _, n := range names {
		list = append(list, sim.Device{Name: n})
	}
	return list
}

// wellFormed reads a page to its end: every element closed, every attribute quoted. It returns the attributes and elements met.
func wellFormed(t *testing.T, page []byte) (ids, links []string, elements map[string]int) {
	t.Helper()
	elements = map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(page))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return ids, links, elements
		}
		if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		elements[e.Name.Local]++
		for _, a := range e.Attr {
			switch a.Name.Local {
			case "id":
				ids = append(ids, a.Value)
			case "href", "src", "srcset", "action", "data", "poster":
				links = append(links, a.Value)
			}
		}
	}
}

var notFigures = regexp.MustCompile(`NaN|Inf\b`)

// A page is well formed and refers to nothing outside; every section is there, and every picture has a name.
func TestPage(t *testing.T) {
	for _, devices := range []int{1, 8, 64, 65, 1000} {
		s := story(devices)
		page, err := s.html()
		if err != nil {
			t.Fatal(err)
		}
		ids, links, elements := wellFormed(t, page)
		for _, want := range []string{"results", "knowledge", "bytes", "taught", "central", "failures", "laws", "settings", "repeat"} {
			if !strings.Contains(strings.Join(ids, " ")+" ", want+" ") {
				t.Errorf("%d devices: no section %s", devices, want)
			}
		}
		for _, l := range links {
			if !strings.HasPrefix(l, "#") || !strings.Contains(strings.Join(ids, " ")+" ", l[1:]+" ") {
				t.Errorf("%d devices: a link to %q", devices, l)
			}
		}
		if len(links) < 8 || elements["svg"] < 10 || elements["title"] < elements["svg"]/2 {
			t.Errorf("%d devices: %d links, %v", devices, len(links), elements)
		}
		for _, bad := range []string{"http://", "https://", "url(", "@import", "<more>", "<made-up>", "ZgotmplZ", "file:"} {
			if bytes.Contains(page, []byte(bad)) {
				t.Errorf("%d devices: the page has %q", devices, bad)
			}
		}
		for _, want := range []string{"&amp; &lt;more&gt;", "yan-sim --devices 8", "✗ broken", "✓ held", "name: &lt;made-up&gt;", "viewport", "prefers-color-scheme", "! device-0"} {
			if !bytes.Contains(page, []byte(want)) {
				t.Errorf("%d devices: the page has no %q", devices, want)
			}
		}
		if m := notFigures.Find(page); m != nil {
			t.Errorf("%d devices: the page has %q", devices, m)
		}
		if len(page) > 700_000 {
			t.Errorf("%d devices: a page of %d bytes", devices, len(page))
		}
	}
}

// Of a run in which nothing happened, or that ended at once, there is a page too.
func TestEmptyPage(t *testing.T) {
	s := summary{Devices: 4, Scenario: "none", failed: "a law is broken: <one>", seen: newChronicle(named("a", "b", "c", "d"), time.Minute)}
	page, err := s.html()
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, page)
	for _, want := range []string{"The run ended early.", "&lt;one&gt;", "nothing is known", "No device was asked", "Nobody sent anything", "No device tried", "No device was central"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page has no %q", want)
		}
	}
	var b bytes.Buffer
	if err := s.print(&b, 80, false); err != nil || b.Len() == 0 {
		t.Errorf("%v: %s", err, &b)
	}
}

// The terminal's report is what it was, fits the terminal, and is the same text with colour.
func TestTerminal(t *testing.T) {
	s := story(8)
	colours := regexp.MustCompile("\x1b\\[[0-9]*m")
	for _, width := range []int{80, 120} {
		var b, c bytes.Buffer
		if err := errors.Join(s.print(&b, width, false), s.print(&c, width, true)); err != nil {
			t.Fatal(err)
		}
		if got := colours.ReplaceAllString(c.String(), ""); got != b.String() || got == c.String() {
			t.Errorf("width %d: colour changes more than colour:\n%s", width, c.String())
		}
		golden := filepath.Join("testdata", fmt.Sprintf("terminal%d.txt", width))
		if *update {
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("run go test -update if this is as it should be:\n%s", b.String())
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width+40 {
				t.Errorf("width %d: a line of %d letters: %s", width, n, line)
			}
		}
	}
}

// Every table has the columns that its documentation names, and a row of as many cells for all that happened.
func TestTables(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := story(8)
	dir := t.TempDir()
	if err := writeReport(dir, s); err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string]int{"curves.csv": 20 + 4, "bytes.csv": 60, "taught.csv": len(s.seen.pairs), "central.csv": 60, "failures.csv": len(s.seen.mishaps)} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		table, err := csv.NewReader(bytes.NewReader(b)).ReadAll() // which refuses rows of different lengths
		if err != nil || len(table) != rows+1 || rows < 5 {
			t.Errorf("%s: %d rows, want %d: %v", name, len(table)-1, rows, err)
			continue
		}
		section, _, _ := strings.Cut(string(doc[max(0, bytes.Index(doc, []byte("### "+name))):])[1:], "\n##")
		for _, column := range table[0] {
			if !strings.Contains(section, "`"+column+"`") {
				t.Errorf("%s: docs/report.md does not explain %s", name, column)
			}
		}
	}
}

// What a chronicle counts is what happened.
func TestChronicle(t *testing.T) {
	c := newChronicle(named("a", "b", "c"), time.Hour)
	for _, m := range []sim.Moment{
		{What: sim.Started, Device: 0, Peer: -1}, {What: sim.Started, Device: 1, Peer: -1}, {What: sim.Started, Device: 2, Peer: -1},
		{At: time.Minute, What: sim.Tried, Device: 0, Peer: 1, Verdict: protocol.Folded, Gain: 0.5},
		{At: time.Minute, What: sim.Tried, Device: 0, Peer: 1, Verdict: protocol.Harmful, Gain: -0.25},
		{At: time.Minute, What: sim.Tried, Device: 2, Peer: -1, Verdict: protocol.Refused},
		{At: 2 * time.Minute, What: sim.Crashed, Device: 1, Peer: -1},
		{At: 30 * time.Minute, What: sim.Returned, Device: 1, Peer: -1},
		{At: 40 * time.Minute, What: sim.Merged, Device: 0, Peer: 2, Skill: "x", Verdict: protocol.Folded, Gain: 1, Versions: 3, Term: 9},
		{At: 40 * time.Minute, What: sim.Merged, Device: 2, Peer: 2, Skill: "x", Verdict: protocol.Folded, Gain: 1, Versions: 3, Term: 9},
		{At: 40 * time.Minute, What: sim.Ruled, Device: 2, Peer: -1, Skill: "x", Versions: 3, Term: 9},
		{At: 40 * time.Minute, What: sim.Ruled, Device: 2, Peer: -1, Skill: "y", Versions: 2, Term: 9},
		{At: 41 * time.Minute, What: sim.Merged, Device: 1, Peer: 2, Skill: "x", Verdict: protocol.Harmful, Gain: -1, Versions: 3, Term: 9},
	} {
		c.watch(m)
	}
	if l := *c.pairs[pair{1, 0}]; l != (lesson{tried: 2, taken: 1, harmful: 1, gain: 0.5, cost: -0.25}) || c.teachers[1] != l || c.pupils[2].refused != 1 {
		t.Errorf("%+v", l)
	}
	rs := c.reigns()
	if len(rs) != 1 || rs[0].device != 2 || rs[0].skills != 2 || rs[0].versions != 5 || rs[0].taken != 1 || rs[0].harmful != 1 {
		t.Errorf("%+v", rs)
	}
	down, most := c.downs()
	if most != 1 || down[0] != 0 || down[10] != 1 || down[len(down)-1] != 0 {
		t.Errorf("down: %v", down)
	}
}

// What a chronicle keeps is bounded, and loses no count.
func TestChronicleIsBounded(t *testing.T) {
	c := newChronicle(named("a", "b"), time.Minute)
	const n = 60_000
	for i := range n {
		at := time.Duration(i) * time.Second
		c.watch(sim.Moment{At: at, What: sim.Crashed, Device: 0, Peer: -1})
		c.watch(sim.Moment{At: at, What: sim.Returned, Device: 0, Peer: -1})
		c.watch(sim.Moment{At: at, What: sim.Ruled, Device: 1, Peer: -1, Skill: "s", Term: mesh.Term(i), Versions: 2})
		c.keep(sample{at: at, lost: uint64(i)})
		if i == 1000 {
			c.watch(sim.Moment{At: at, What: sim.Shunned, Device: 0, Peer: 1})
		}
	}
	if k := int(1000 * time.Second / c.width); c.buckets[k].shunned != 1 {
		t.Errorf("of what happened after 1000 s bucket %d of %v does not know", k, c.width)
	}
	if len(c.sent) > mostSamples || c.sent[len(c.sent)-1].at != (n-1)*time.Second || len(c.buckets) > mostBuckets || len(c.mishaps) != mostMishaps || len(c.turns) != mostTurns {
		t.Errorf("%d samples, %d buckets, %d mishaps, %d turns", len(c.sent), len(c.buckets), len(c.mishaps), len(c.turns))
	}
	for i := range c.sent[1:] {
		if c.sent[i+1].at <= c.sent[i].at {
			t.Errorf("sample %d is not after the one before", i+1)
		}
	}
	if _, all := c.counts(faults[0]); all != n {
		t.Errorf("%d crashes, want %d", all, n)
	}
	if _, all := c.counts(faults[1]); all != n-1 {
		t.Errorf("%d lost, want %d", all, n-1)
	}
	if c.turnsLost != n-mostTurns {
		t.Errorf("%d turns are not in the list", c.turnsLost)
	}
}

func TestSpreadOf(t *testing.T) {
	got := spreadOf([]float64{5, 1, 3, 2, 4})
	if got != (band{1, 2, 3, 4, 5, 3}) {
		t.Errorf("%+v", got)
	}
	if got := spreadOf([]float64{1, 2}); got.Low != 1.25 || math.Abs(got.Mean-1.5) > 1e-9 {
		t.Errorf("%+v", got)
	}
}
