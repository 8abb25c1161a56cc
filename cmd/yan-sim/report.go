package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"image/color"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.S.Devices}} devices</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse}td,th{padding:.2em 1em;text-align:right;border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}
svg{background:#fff;max-width:100%;height:auto}code{word-break:break-all}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}}</style>
<h1>{{.S.Devices}} devices, scenario {{.S.Scenario}}</h1>
<p>Data: {{.S.Data}}. Seed {{.S.Seed}}, {{printf "%.0f" .S.Virtual}} s of virtual time, {{.S.Events}} events, {{.S.Sent}} bytes sent by each device.
Every device learnt from one user. What counts is text that nobody has seen, of users drawn from all.</p>
<table><tr><th>devices</th><th>next byte right</th><th>bits a byte</th><th>on their own user</th></tr>
{{range .Rows}}<tr><td>{{.Name}}</td><td>{{printf "%.2f" .Accuracy}} %</td><td>{{printf "%.4f" .Bits}}</td><td>{{printf "%.4f" .Own}}</td></tr>
{{end}}</table>
<h2>What devices know of everyone's data</h2>
<p>The curve is a smaller sample than the table: eight devices, six users each.</p>
{{.Knowledge}}
<h2>What they sent</h2>
{{.Traffic}}
<h2>Laws</h2>
<ul>{{range .S.Laws}}<li>{{if .Held}}held{{else}}<strong>broken</strong>{{end}}: {{.Name}}</li>{{end}}</ul>
<p>Transcript: <code>{{.S.Transcript}}</code></p>
</html>
`))

// writeReport writes results.csv, result.json and report.html into dir.
func writeReport(dir string, s summary) error {
	j, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	table, err := s.csv()
	if err != nil {
		return err
	}
	minutes := func(y func(point) float64) (xy plotter.XYs) {
		for _, p := range s.seen.points {
			xy = append(xy, plotter.XY{X: p.at.Minutes(), Y: y(p)})
		}
		return xy
	}
	knowledge, err := picture("bits a byte of everyone's held-out text", minutes(func(p point) float64 { return p.bits.Mean }),
		level{"untaught", s.Bits.Untaught, grey}, level{"alone, at the end", s.Bits.Alone, red}, level{"centralised, at the end", s.Bits.Centralised, green})
	if err != nil {
		return err
	}
	traffic, err := picture("MB sent by each device", minutes(func(p point) float64 { return float64(p.sent) / float64(s.Devices) / 1e6 }))
	if err != nil {
		return err
	}
	type row struct {
		Name                string
		Accuracy, Bits, Own float64
	}
	var html bytes.Buffer
	err = page.Execute(&html, map[string]any{
		"S": s, "Knowledge": template.HTML(knowledge), "Traffic": template.HTML(traffic),
		"Rows": []row{
			{"untaught", 100 * s.Accuracy.Untaught, s.Bits.Untaught, s.OwnBits.Untaught},
			{"alone", 100 * s.Accuracy.Alone, s.Bits.Alone, s.OwnBits.Alone},
			{"in the mesh", 100 * s.Accuracy.Mesh, s.Bits.Mesh, s.OwnBits.Mesh},
			{"centralised", 100 * s.Accuracy.Centralised, s.Bits.Centralised, s.OwnBits.Centralised},
		},
	})
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		b    []byte
	}{{"results.csv", table}, {"result.json", append(j, '\n')}, {"report.html", html.Bytes()}} {
		if err := ui.WriteFile(filepath.Join(dir, f.name), f.b); err != nil {
			return err
		}
	}
	return nil
}

// csv is the curve, then the four figures at the end.
func (s summary) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	num := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	rows := [][]string{{"who", "virtual_seconds", "bits_per_byte", "accuracy", "own_bits_per_byte", "bytes_sent"}}
	for _, p := range s.seen.points {
		rows = append(rows, []string{"sample of the mesh", num(p.at.Seconds()), num(p.bits.Mean), num(p.accuracy.Mean), num(p.own.Mean), fmt.Sprint(p.sent)})
	}
	end := func(name string, get func(trio) float64) {
		rows = append(rows, []string{name, num(s.Virtual), num(get(s.Bits)), num(get(s.Accuracy)), num(get(s.OwnBits)), ""})
	}
	end("untaught", func(t trio) float64 { return t.Untaught })
	end("alone", func(t trio) float64 { return t.Alone })
	end("mesh", func(t trio) float64 { return t.Mesh })
	end("centralised", func(t trio) float64 { return t.Centralised })
	err := w.WriteAll(rows)
	return b.Bytes(), err
}

var (
	blue  = color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}
	red   = color.RGBA{R: 0xd6, G: 0x27, B: 0x28, A: 0xff}
	green = color.RGBA{R: 0x2c, G: 0xa0, B: 0x2c, A: 0xff}
	grey  = color.RGBA{R: 0x80, G: 0x80, B: 0x80, A: 0xff}
)

// A level is a figure that does not change with time.
type level struct {
	name   string
	y      float64
	colour color.Color
}

// picture draws a curve over minutes, and levels to compare it with, as an SVG element.
func picture(label string, xy plotter.XYs, levels ...level) (string, error) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "virtual minutes", label
	p.X.Min = 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	l, err := plotter.NewLine(xy)
	if err != nil {
		return "", fmt.Errorf("plot: %w", err)
	}
	l.Color, l.Width = blue, vg.Points(2)
	p.Add(l)
	if len(levels) > 0 {
		p.Legend.Add("in the mesh", l)
	}
	for _, v := range levels {
		line, err := plotter.NewLine(plotter.XYs{{X: 0, Y: v.y}, {X: xy[len(xy)-1].X, Y: v.y}})
		if err != nil {
			return "", fmt.Errorf("plot: %w", err)
		}
		line.Color, line.Dashes = v.colour, []vg.Length{vg.Points(6), vg.Points(4)}
		p.Add(line)
		p.Legend.Add(v.name, line)
	}
	to, err := p.WriterTo(8*vg.Inch, 4*vg.Inch, "svg")
	if err != nil {
		return "", fmt.Errorf("plot: %w", err)
	}
	var b bytes.Buffer
	if _, err := to.WriteTo(&b); err != nil {
		return "", fmt.Errorf("plot: %w", err)
	}
	svg := b.Bytes()
	if at := bytes.Index(svg, []byte("<svg")); at > 0 { // the XML declaration has no place within a page
		svg = svg[at:]
	}
	return string(svg), nil
}
