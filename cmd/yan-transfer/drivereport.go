package main

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/chart"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/sim/track"
)

// driveSummary is the JSON document of driving. Scores of the skill are shares of the way.
type driveSummary struct {
	summary
	Expert   spread            `json:"expert"`
	Controls map[string]spread `json:"controls"`
	Ends     map[string]int    `json:"ends"`  // of the recipient's drives after the transfer, over all seeds
	Curve    []point           `json:"curve"` // a mean over seeds, of the donor while it watches

	shown ride // whose roads are drawn
}

// runDrives has pairs of nodes drive, and tells what came of it.
func runDrives(c *cobra.Command, o options, m *model.Model, w world, t material) error {
	p := ui.NewProgress(c.ErrOrStderr(), "watching", int64(o.seeds*w.watched), "road")
	defer p.Done()
	var rides []ride
	for i := range o.seeds {
		r, err := drive(c.Context(), m, w, t, o.seed+uint64(i), func(v point) {
			p.Note(fmt.Sprintf("drives %.0f %% of a road it does not know after %.1f minutes", 100*v.Distance, v.Minutes))
			p.Add(1)
		})
		if err != nil {
			if c.Context().Err() != nil {
				return context.Cause(c.Context())
			}
			return fmt.Errorf("seed %d: %w", o.seed+uint64(i), err)
		}
		rides = append(rides, r)
	}
	p.Done()
	s := summariseDrives(t, m, rides)
	if o.out != "" {
		if err := s.report(o.out); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "report: %s/report.html\n", strings.TrimSuffix(o.out, "/"))
	}
	if o.json {
		return ui.JSON(c.OutOrStdout(), s)
	}
	return s.print(c.OutOrStdout())
}

func summariseDrives(t material, m *model.Model, rides []ride) driveSummary {
	var list []outcome
	get := func(f func(ride) float64) spread {
		var v []float64
		for _, r := range rides {
			v = append(v, f(r))
		}
		return over(v)
	}
	for _, r := range rides {
		list = append(list, r.outcome)
	}
	s := driveSummary{summary: summarise(t, m, list), shown: rides[0], Ends: map[string]int{}}
	s.Metric = "distance"
	s.Expert = get(func(r ride) float64 { return r.expert })
	s.Controls = map[string]spread{
		"random_sections": get(func(r ride) float64 { return r.random }),
		"other_moments":   get(func(r ride) float64 { return r.moments }),
	}
	for name, f := range map[string]func(ride) float64{
		"donor": func(r ride) float64 { return r.donor.Skill }, "recipient_before": func(r ride) float64 { return r.before.Skill },
		"recipient_after":       func(r ride) float64 { return r.after.Skill },
		"donor_of_expert":       func(r ride) float64 { return r.donor.Skill / r.expert },
		"recipient_of_donor":    func(r ride) float64 { return r.after.Skill / r.donor.Skill },
		"before_of_donor":       func(r ride) float64 { return r.before.Skill / r.donor.Skill },
		"bytes_of_model":        func(r ride) float64 { return float64(r.bytes) / float64(s.FullModelBytes) },
		"minutes_watched":       func(r ride) float64 { return r.curve[len(r.curve)-1].Minutes },
		"random_of_donor":       func(r ride) float64 { return r.random / r.donor.Skill },
		"other_moment_of_donor": func(r ride) float64 { return r.moments / r.donor.Skill },
	} {
		s.Spread[name] = get(f)
	}
	for _, r := range rides {
		for _, trip := range r.byB {
			s.Ends[trip.End.String()]++
		}
	}
	for i := range rides[0].curve {
		s.Curve = append(s.Curve, point{
			get(func(r ride) float64 { return r.curve[i].Minutes }).Mean,
			get(func(r ride) float64 { return r.curve[i].Distance }).Mean,
		})
	}
	return s
}

// A placing is a driver and how far it came.
type placing struct {
	Name string
	Way  spread
	Own  float64 // bits a byte
}

func (s *driveSummary) placings() []placing {
	none := math.NaN()
	return []placing{
		{"the one who was watched", s.Expert, none},
		{"donor", s.Spread["donor"], s.Donor.Own},
		{"recipient before", s.Spread["recipient_before"], s.Before.Own},
		{"recipient after", s.Spread["recipient_after"], s.After.Own},
		{"control: random sections", s.Controls["random_sections"], none},
		{"control: of other moments", s.Controls["other_moments"], none},
	}
}

func (p placing) own() string {
	if math.IsNaN(p.Own) {
		return "–"
	}
	return fmt.Sprintf("%.3f", p.Own)
}

// about is what the table is of, and what it comes to.
func (s *driveSummary) about() (title, result string) {
	n := len(s.shown.roads)
	title = fmt.Sprintf("Driving into a node that knows %s: %d roads that no node has seen, seeds: %d; share of the way", s.Own, n, s.Seeds)
	result = fmt.Sprintf("The donor watched for %.0f minutes. %s went over in %.2f s: %d sections of %d features, %.2f %% of the model's %s. "+
		"No gradient step. The recipient drives %.1f %% of the donor's way, at least %.1f %%; its own skill changed by %+.2f %%, what the base knew by %+.3f %%.",
		s.Spread["minutes_watched"].Mean, ui.Bytes(int64(s.Bytes)), s.TransferSeconds, s.Sections, groupSize, 100*s.Spread["bytes_of_model"].Mean,
		ui.Bytes(int64(s.FullModelBytes)), 100*s.Spread["recipient_of_donor"].Mean, 100*s.Spread["recipient_of_donor"].Min, 100*s.OwnChange, 100*s.BaseChange)
	return title, result
}

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }

func (s driveSummary) print(w io.Writer) error {
	title, result := s.about()
	fmt.Fprintf(w, "%s\n\n", title)
	t := ui.NewTable("who", "way", "least", "most", "own, bits a byte")
	for _, p := range s.placings() {
		t.Row(p.Name, percent(p.Way.Mean), percent(p.Way.Min), percent(p.Way.Max), p.own())
	}
	if err := t.Fprint(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.ReplaceAll(result, ". ", ".\n"))
	return err
}

var drivePage = template.Must(template.New("drive").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/><title>A skill moves: driving</title>
<style>{{.CSS}}
body{font:16px/1.5 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:var(--ink);background:var(--page)}
table{border-collapse:collapse}td,th{padding:.2em 1em;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}td:first-child,th:first-child{text-align:left}
figure{margin:1.2em 0}figcaption{font-weight:600}.roads figcaption{font-weight:400;font-size:.85em}.key{color:var(--faint);font-size:.9em}
.roads{display:grid;grid-template-columns:repeat(auto-fill,minmax(17em,1fr));gap:1em}.roads svg{width:100%;height:18em}
.map .road{fill:none;stroke:var(--rule);stroke-linejoin:round;stroke-linecap:round}.map .thing{fill:var(--faint)}
.map .path{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round;stroke-linecap:round}.map .a{stroke:var(--k5);stroke-width:5;stroke-opacity:.75}.map .b{stroke:var(--k0);stroke-width:1.8}
.map .before{stroke:var(--k1);stroke-width:3}.map .end{fill:var(--k1)}.map text{fill:var(--faint);font:12px system-ui,sans-serif}
</style></head>
<body><h1>A skill moves: driving</h1>
<p>{{.Title}}.</p>
<div class="scroll"><table><tr><th>who</th><th>way</th><th>least</th><th>most</th><th>own, bits a byte</th></tr>
{{range .Rows}}<tr><td>{{.Name}}</td><td>{{.Way}}</td><td>{{.Least}}</td><td>{{.Most}}</td><td>{{.Own}}</td></tr>
{{end}}</table></div>
<p>{{.Result}}</p>
<h2>The same roads, before and after</h2>
<p class="key">Roads of the first seed. Orange: the recipient before, and where it left the road. Dark blue: the recipient after. Light blue, wide: the donor.
Grey dots stand on the road. Each road begins at the green dot.</p>
<div class="roads">{{range .Roads}}<figure>{{.Map}}<figcaption>{{.About}}</figcaption></figure>
{{end}}</div>
<h2>While the donor watched</h2>
{{.Curve}}
</body></html>
`))

// mostDrawn is how many roads are drawn.
const mostDrawn = 12

func (s *driveSummary) report(dir string) error {
	type row struct{ Name, Way, Least, Most, Own string }
	var rows []row
	for _, p := range s.placings() {
		rows = append(rows, row{p.Name, percent(p.Way.Mean), percent(p.Way.Min), percent(p.Way.Max), p.own()})
	}
	type drawn struct {
		About string
		Map   template.HTML
	}
	var roads []drawn
	o := &s.shown
	for i, r := range o.roads[:min(mostDrawn, len(o.roads))] {
		about := fmt.Sprintf("before %.0f m (%v), after %.0f of %.0f m (%v), donor %.0f m", o.byBefore[i].Distance, o.byBefore[i].End,
			o.byB[i].Distance, r.Length(), o.byB[i].End, o.byA[i].Distance)
		roads = append(roads, drawn{about, template.HTML(drawRoad(r, about, o.byBefore[i], o.byA[i], o.byB[i]))}) // escaped there
	}
	b := chart.Bars{Title: "Share of unknown roads that the donor drives, by minutes watched"}
	for _, p := range s.Curve {
		b.Rows = append(b.Rows, chart.Row{Name: fmt.Sprintf("%.1f minutes", p.Minutes), Value: p.Distance, Text: percent(p.Distance)})
	}
	title, result := s.about()
	var page bytes.Buffer
	err := drivePage.Execute(&page, map[string]any{
		"CSS": template.CSS(chart.CSS), "Title": title, "Result": result, "Rows": rows, "Roads": roads, "Curve": template.HTML(b.SVG(640)),
	})
	if err != nil {
		return err
	}
	return write(dir, s, page.Bytes())
}

// drawRoad draws a road from above, north up, and who drove on it. What stands on it is drawn a metre larger than it is, to be seen.
func drawRoad(r *track.Road, about string, before, donor, after track.Trip) string {
	low, high := r.Route[0], r.Route[0]
	for _, line := range append([][]track.Point{r.Route}, r.Sides...) {
		for _, p := range line {
			low = track.Point{X: min(low.X, p.X), Y: min(low.Y, p.Y)}
			high = track.Point{X: max(high.X, p.X), Y: max(high.Y, p.Y)}
		}
	}
	const edge = 2 * track.HalfWidth
	var b strings.Builder
	place := func(p track.Point) string { return fmt.Sprintf("%.1f %.1f", p.X-low.X+edge, high.Y-p.Y+edge) }
	line := func(class, style string, points []track.Point) {
		fmt.Fprintf(&b, `<path class="%s"%s d="M`, class, style)
		for i, p := range points {
			if i > 0 {
				b.WriteByte('L')
			}
			b.WriteString(place(p))
		}
		b.WriteString("\"/>\n")
	}
	dot := func(class, style string, p track.Point, radius float64) {
		fmt.Fprintf(&b, "<circle class=\"%s\"%s cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", class, style, p.X-low.X+edge, high.Y-p.Y+edge, radius)
	}
	fmt.Fprintf(&b, "<svg class=\"map\" role=\"img\" viewBox=\"0 0 %.0f %.0f\"><title>%s</title>\n", high.X-low.X+2*edge, high.Y-low.Y+2*edge, html.EscapeString(about))
	wide := fmt.Sprintf(` stroke-width="%.0f"`, 2*track.HalfWidth)
	for _, side := range r.Sides {
		line("road", wide, side)
	}
	line("road", wide, r.Route)
	line("path a", "", donor.Path)
	line("path b", "", after.Path)
	line("path before", "", before.Path)
	for i := range r.Obstacles {
		dot("thing", "", r.Obstacles[i].Centre, r.Obstacles[i].Radius+1)
	}
	dot("end", "", before.Path[len(before.Path)-1], 4)
	dot("start", ` fill="var(--k2)"`, r.Route[0], 4)
	b.WriteString("</svg>")
	return b.String()
}
