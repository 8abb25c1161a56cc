package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/yanmesh/yan/cmd/internal/chart"
	"github.com/yanmesh/yan/cmd/internal/ui"
)

//go:embed report.html
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{"figures": isFigures}).Parse(pageText))

// How wide pictures are drawn, in pixels: for a large screen, and for a telephone.
const (
	wide   = 720
	narrow = 340
)

// A picture is one figure of the page, with what its colours mean.
type picture struct {
	About  string
	Legend template.HTML
	Wide   template.HTML
	Narrow template.HTML // none if it is the same
}

// A grid is a table of the page.
type grid struct {
	About string
	Head  []string
	Rows  [][]string
	Open  bool
}

// A section is a part of the page. One without pictures and grids says why.
type section struct {
	ID, Name string
	Says     string
	Pictures []picture
	Grids    []grid
}

// draw draws a picture for both widths.
func draw(about string, keys []chart.Key, svg func(width float64) string) picture {
	p := picture{About: about, Wide: template.HTML(svg(wide)), Narrow: template.HTML(svg(narrow))} // chart escapes what it draws
	if len(keys) > 1 {
		p.Legend = template.HTML(chart.Legend(keys))
	}
	return p
}

// writeReport writes report.html, result.json and tables into dir.
func writeReport(dir string, s summary) error {
	j, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	html, err := s.html()
	if err != nil {
		return err
	}
	files := map[string][]byte{"result.json": append(j, '\n'), "report.html": html}
	for name, rows := range map[string][][]string{
		"curves.csv": s.curvesCSV(), "bytes.csv": s.bytesCSV(), "taught.csv": s.seen.taughtCSV(), "central.csv": s.seen.centralCSV(), "failures.csv": s.seen.failuresCSV(),
	} {
		if files[name], err = encodeCSV(rows); err != nil {
			return err
		}
	}
	for name, b := range files {
		if err := ui.WriteFile(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	return nil
}

// html is the page.
func (s summary) html() ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, map[string]any{
		"S": s, "Sentence": s.sentence, "Command": s.command, "Settings": s.settings, "Failed": s.failed,
		"Facts": s.facts(), "Results": s.results(),
		"Sections": []section{s.knowledge(), s.bytesSent(), s.taught(), s.central(), s.failures()},
		"CSS":      template.CSS(chart.CSS), "Script": template.JS(chart.Script), // both ours
	})
	return b.Bytes(), err
}

// facts is a line on the size of the run.
func (s summary) facts() string {
	return fmt.Sprintf("Seed %d, %s of virtual time, %s events, %s sent by each device. Data: %s.", s.Seed,
		ui.Duration(time.Duration(s.Virtual*float64(time.Second))), ui.Count(int64(s.Events)), ui.Bytes(int64(s.Sent)), s.Data)
}

// ways are the ways to learn, in the order in which they are shown.
var ways = []struct {
	name   string
	colour int
	get    func(trio) float64
}{
	{"untaught", -1, func(t trio) float64 { return t.Untaught }},
	{"alone", 1, func(t trio) float64 { return t.Alone }},
	{"in the mesh", 0, func(t trio) float64 { return t.Mesh }},
	{"centralised", 2, func(t trio) float64 { return t.Centralised }},
}

// results is the table of what was measured at the end.
func (s summary) results() grid {
	g := grid{Open: true, Head: []string{"devices", "right", "of their own user"}}
	if s.Bits != (trio{}) {
		g.Head = []string{"devices", "right", "bits a byte", "right of their own user", "bits a byte of it"}
	}
	for _, w := range ways {
		right, bits, own, ownBits := w.get(s.Accuracy), w.get(s.Bits), w.get(s.OwnAccuracy), w.get(s.OwnBits)
		switch {
		case right == 0 && bits == 0: // it was not measured
		case s.Bits != (trio{}):
			g.Rows = append(g.Rows, []string{w.name, share(right), fmt.Sprintf("%.4f", bits), ifKnown(own, share(own)), fmt.Sprintf("%.4f", ownBits)})
		default:
			g.Rows = append(g.Rows, []string{w.name, share(right), ifKnown(own, share(own))})
		}
	}
	return g
}

// ifKnown is a figure, or a dash if it was not measured.
func ifKnown(v float64, figure string) string {
	if v == 0 {
		return "–"
	}
	return figure
}

// knowledge is how what devices know changed with time.
func (s summary) knowledge() section {
	sec := section{ID: "knowledge", Name: "What devices know of everyone's data"}
	ps := s.seen.points
	if len(ps) == 0 {
		sec.Says = "No device was asked before the run ended."
		return sec
	}
	sec.Says = fmt.Sprintf("Asked were %s, if they were up, on data that nobody has seen of users drawn from all. It is a smaller sample than that of the table above. "+
		"The line is the device in the middle; the dark band holds half of the devices, the light one all.", plural(s.seen.asked(), "device", "devices"))
	if !s.hasBits() && s.seen.mostRight() == 0 {
		sec.Says = "Nothing that devices were asked was right."
		return sec
	}
	show := func(label, what string, at trio, get func(point) band) {
		l := chart.Lines{Title: what + " over time", Label: label, Lines: []chart.Line{s.curve(get)}}
		for _, w := range ways {
			if v := w.get(at); v != 0 && w.name != "in the mesh" {
				l.Levels = append(l.Levels, chart.Level{Name: w.name + levelWhen(w.name), Colour: w.colour, Y: v})
			}
		}
		sec.Pictures = append(sec.Pictures, draw(what, l.Keys(), l.SVG))
	}
	if s.hasBits() {
		show("bits a byte ↓ is better", "Bits a byte of everyone's held-out text", s.Bits, func(p point) band { return p.bits })
	}
	show("share right ↑ is better", "Share of what was asked that was right", s.Accuracy, func(p point) band { return p.accuracy })
	g := grid{About: "The curves as a table", Head: []string{"time", "bytes sent by each"}}
	if s.hasBits() {
		g.Head = append(g.Head, "bits a byte", "least", "most")
	}
	g.Head = append(g.Head, "right", "least", "most")
	for _, p := range thin(ps, 60) {
		row := []string{clock(p.at), ui.Bytes(int64(p.sent) / int64(max(s.Devices, 1)))}
		if s.hasBits() {
			row = append(row, fmt.Sprintf("%.4f", p.bits.Mid), fmt.Sprintf("%.4f", p.bits.Min), fmt.Sprintf("%.4f", p.bits.Max))
		}
		g.Rows = append(g.Rows, append(row, share(p.accuracy.Mid), share(p.accuracy.Min), share(p.accuracy.Max)))
	}
	sec.Grids = append(sec.Grids, g)
	return sec
}

// levelWhen says of which time a level is.
func levelWhen(name string) string {
	if name == "untaught" {
		return ""
	}
	return ", at the end"
}

// hasBits reports whether devices were asked about text.
func (s summary) hasBits() bool {
	return slices.ContainsFunc(s.seen.points, func(p point) bool { return p.bits.Max > 0 })
}

func (s summary) curve(get func(point) band) chart.Line {
	l := chart.Line{Name: "in the mesh", Bands: make([][2][]float64, 2)}
	for _, p := range s.seen.points {
		b := get(p)
		l.At, l.Y = append(l.At, p.at), append(l.Y, b.Mid)
		for i, v := range [][2]float64{{b.Min, b.Max}, {b.Low, b.High}} {
			l.Bands[i][0], l.Bands[i][1] = append(l.Bands[i][0], v[0]), append(l.Bands[i][1], v[1])
		}
	}
	return l
}

// thin leaves at most n of many, the last always.
func thin[T any](list []T, n int) []T {
	if len(list) <= n {
		return list
	}
	few := make([]T, n)
	for i := range few {
		few[i] = list[(i+1)*len(list)/n-1]
	}
	return few
}

// share prints a share as a percentage.
func share(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }

// clock prints a virtual time: 0:12:30.
func clock(d time.Duration) string {
	d = d.Round(time.Second)
	return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

// isFigures reports whether a cell stands flush right.
func isFigures(cell string) bool {
	cell = strings.TrimLeft(cell, "+-−–")
	return cell == "" || cell[0] >= '0' && cell[0] <= '9'
}

// plural is a count of things.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return ui.Count(int64(n)) + " " + many
}

func count(n int) string { return ui.Count(int64(n)) }

// signed prints a gain: +0.0312, −0.4000, 0.
func signed(v float64) string {
	s := fmt.Sprintf("%+.4f", v)
	if strings.Trim(s, "+-0.") == "" {
		return "0"
	}
	return strings.Replace(s, "-", "−", 1)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
