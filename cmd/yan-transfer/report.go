package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"

	"github.com/yanmesh/yan/cmd/internal/chart"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
)

// spread is a mean over seeds with its extremes.
type spread struct {
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
}

// summary is the JSON document: means over seeds, with the extremes beside them.
type summary struct {
	Skill           string            `json:"skill"`
	Own             string            `json:"own"`
	Seeds           int               `json:"seeds"`
	Base            scores            `json:"base"`
	Donor           scores            `json:"donor"`
	Before          scores            `json:"recipient_before"`
	After           scores            `json:"recipient_after"`
	Metric          string            `json:"metric"`
	GainTransferred float64           `json:"gain_transferred"`
	OwnChange       float64           `json:"own_change"`
	BaseChange      float64           `json:"base_change"`
	Spread          map[string]spread `json:"spread"`
	Sections        int               `json:"sections"`
	Bytes           int               `json:"bytes"`
	FullModelBytes  int               `json:"full_model_bytes"`
	TransferSeconds float64           `json:"transfer_seconds"`
	GradientSteps   int               `json:"gradient_steps"`
}

func summarise(t material, m *model.Model, rs []outcome) summary {
	s := summary{Skill: t.skill, Own: t.own, Seeds: len(rs), Metric: "bits_per_byte", FullModelBytes: 4 * m.Parameters(), Spread: map[string]spread{}}
	var gain, own, old, took []float64
	k := 1 / float64(len(rs))
	add := func(to *scores, v scores) {
		to.Skill += k * v.Skill
		to.Own += k * v.Own
		to.Base += k * v.Base
	}
	for _, r := range rs {
		add(&s.Base, r.base)
		add(&s.Donor, r.donor)
		add(&s.Before, r.before)
		add(&s.After, r.after)
		gain = append(gain, (r.before.Skill-r.after.Skill)/(r.before.Skill-r.donor.Skill))
		own = append(own, (r.before.Own-r.after.Own)/r.before.Own)
		old = append(old, (r.before.Base-r.after.Base)/r.before.Base)
		took = append(took, r.took.Seconds())
		s.Sections, s.Bytes = r.sections, r.bytes
	}
	s.Spread["gain_transferred"], s.Spread["own_change"], s.Spread["base_change"], s.Spread["transfer_seconds"] = over(gain), over(own), over(old), over(took)
	s.GainTransferred, s.OwnChange, s.BaseChange, s.TransferSeconds = over(gain).Mean, over(own).Mean, over(old).Mean, over(took).Mean
	return s
}

func over(v []float64) spread {
	s := spread{Min: v[0], Max: v[0]}
	for _, x := range v {
		s.Mean += x / float64(len(v))
		s.Min, s.Max = min(s.Min, x), max(s.Max, x)
	}
	return s
}

func (s summary) print(w io.Writer) error {
	fmt.Fprintf(w, "%s into a node that knows %s, %d seeds, held-out bits a byte\n\n", s.Skill, s.Own, s.Seeds)
	t := ui.NewTable("who", "skill", "own", "base")
	t.Row("base alone", s.Base.Skill, s.Base.Own, s.Base.Base)
	t.Row("donor", s.Donor.Skill, s.Donor.Own, s.Donor.Base)
	t.Row("recipient before", s.Before.Skill, s.Before.Own, s.Before.Base)
	t.Row("recipient after", s.After.Skill, s.After.Own, s.After.Base)
	if err := t.Fprint(w); err != nil {
		return err
	}
	line := func(name, key string) {
		v := s.Spread[key]
		fmt.Fprintf(w, "%-18s %+7.2f %%  (%+.2f to %+.2f)\n", name, 100*v.Mean, 100*v.Min, 100*v.Max)
	}
	fmt.Fprintln(w)
	line("gain transferred", "gain_transferred")
	line("own change", "own_change")
	line("base change", "base_change")
	_, err := fmt.Fprintf(w, "%d sections, %s of %s, %.2f s on loopback, no gradient step\n",
		s.Sections, ui.Bytes(int64(s.Bytes)), ui.Bytes(int64(s.FullModelBytes)), s.TransferSeconds)
	return err
}

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/><title>Skill transfer</title>
<style>{{.CSS}}
body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page)}
table{border-collapse:collapse}td,th{padding:.2em 1em;text-align:right;border-bottom:1px solid var(--rule)}td:first-child,th:first-child{text-align:left}
figure{margin:1.2em 0}figcaption{font-weight:600}</style></head>
<body><h1>{{.S.Skill}} into a node that knows {{.S.Own}}</h1>
<p>Two nodes on loopback, {{.S.Seeds}} seeds. The donor's {{.S.Sections}} sections ({{.S.Bytes}} bytes; the whole model has
{{.S.FullModelBytes}}) went over the wire in {{printf "%.2f" .S.TransferSeconds}} s. Nothing was trained after that. Bits a byte on text that neither node has seen; lower is better.</p>
<table><tr><th>who</th><th>skill</th><th>own</th><th>base</th></tr>
{{range .Rows}}<tr><td>{{.Name}}</td><td>{{printf "%.4f" .S.Skill}}</td><td>{{printf "%.4f" .S.Own}}</td><td>{{printf "%.4f" .S.Base}}</td></tr>
{{end}}</table>
<p>Gain transferred {{printf "%.1f" .Gain}} %, change of the recipient's own skill {{printf "%+.2f" .Own}} %, change of what the base knew {{printf "%+.3f" .Old}} %.</p>
{{range .Plots}}<figure><figcaption>{{.About}}</figcaption><div class="wide">{{.Wide}}</div><div class="narrow">{{.Narrow}}</div></figure>
{{end}}</body></html>
`))

// A row is a node, and how well it does on the three texts.
type row struct {
	Name string
	S    scores
}

func (s summary) rows() []row {
	return []row{{"base alone", s.Base}, {"donor", s.Donor}, {"recipient before", s.Before}, {"recipient after", s.After}}
}

// report writes result.json and report.html into dir.
func report(dir string, s summary) error {
	var html bytes.Buffer
	err := page.Execute(&html, map[string]any{
		"S": s, "Rows": s.rows(), "Gain": 100 * s.GainTransferred, "Own": 100 * s.OwnChange, "Old": 100 * s.BaseChange,
		"Plots": s.pictures(), "CSS": template.CSS(chart.CSS), // ours
	})
	if err != nil {
		return err
	}
	return write(dir, s, html.Bytes())
}

// write puts the document and the page into a folder.
func write(dir string, document any, html []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	j, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{"result.json": append(j, '\n'), "report.html": html} {
		if err := ui.WriteFile(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	return nil
}

// A picture is drawn for a large screen and for a telephone.
type picture struct {
	About        string
	Wide, Narrow template.HTML
}

// pictures draws the four models' bits a byte on the three texts.
func (s summary) pictures() (list []picture) {
	for _, t := range []struct {
		about string
		get   func(scores) float64
	}{
		{"On the skill", func(v scores) float64 { return v.Skill }}, {"On the recipient's own", func(v scores) float64 { return v.Own }},
		{"On what the base knew", func(v scores) float64 { return v.Base }},
	} {
		b := chart.Bars{Title: t.about + ", bits a byte"}
		for i, r := range s.rows() {
			b.Rows = append(b.Rows, chart.Row{Name: r.Name, Value: t.get(r.S), Text: fmt.Sprintf("%.3f", t.get(r.S)), Colour: i})
		}
		list = append(list, picture{t.about, template.HTML(b.SVG(720)), template.HTML(b.SVG(340))}) // chart escapes what it draws
	}
	return list
}
