package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const nasty = `<a href="x">&' both`

var minutes = []time.Duration{0, time.Minute, 3 * time.Minute}

// pictures are one of each kind, also of nothing, with names that try to leave the picture.
func pictures() map[string]func(width float64) string {
	line := Line{Name: nasty, At: minutes, Y: []float64{1, 2, 1.5}, Bands: [][2][]float64{{{0, 1, 1}, {2, 3, 2}}}}
	return map[string]func(width float64) string{
		"lines":       Lines{Title: nasty, Label: nasty, Lines: []Line{line}, Levels: []Level{{nasty, 9, 1.7}}}.SVG,
		"one point":   Lines{Lines: []Line{{At: minutes[:1], Y: []float64{2}}}, Zero: true}.SVG,
		"no lines":    Lines{}.SVG,
		"areas":       Areas{Title: nasty, At: minutes, Areas: []Line{line, line}}.SVG,
		"no areas":    Areas{}.SVG,
		"zero areas":  Areas{At: minutes, Areas: []Line{{Y: make([]float64, 3)}}}.SVG,
		"lanes":       Lanes{Title: nasty, Width: time.Minute, End: 3 * time.Minute, Lanes: []Lane{{nasty, 1, []int{0, 3, 1, 9}, nasty}}, Spans: [][2]time.Duration{{0, time.Minute}}, Span: nasty}.SVG,
		"no lanes":    Lanes{}.SVG,
		"strip":       Strip{Title: nasty, Width: time.Minute, End: 3 * time.Minute, Turns: []Turn{{0, 1, 3, 1, nasty}, {time.Second, 2, 0, 0, nasty}, {time.Minute, -1, 0, 2, nasty}}}.SVG,
		"no strip":    Strip{Width: time.Minute}.SVG,
		"matrix":      Matrix{Title: nasty, Rows: nasty, Names: []string{nasty, nasty, nasty}, Value: func(i, j int) (float64, bool) { return float64(i - j), i+j > 1 }, Tell: func(int, int) string { return nasty }}.SVG,
		"zero matrix": Matrix{Names: []string{"a", "b"}, Value: func(i, j int) (float64, bool) { return 0, true }, Tell: func(int, int) string { return "" }}.SVG,
		"no matrix":   Matrix{}.SVG,
		"bars":        Bars{Title: nasty, Rows: []Row{{nasty, 3, nasty, 0}, {"b", -1, "", 1}}}.SVG,
		"zero bars":   Bars{Rows: []Row{{"a", 0, "0", 0}}}.SVG,
		"no bars":     Bars{}.SVG,
		"legend": func(float64) string {
			return Legend([]Key{{0, "line", nasty}, {1, "dash", nasty}, {2, "band", nasty}, {-1, "area", nasty}})
		},
	}
}

var (
	notFigures = regexp.MustCompile(`NaN|Inf`)
	coordinate = regexp.MustCompile(` (?:x|width)="(-?[0-9.]+)"`)
)

// Every picture is well formed and finite, whatever the names and however little there is to draw.
func TestPicturesAreWellFormed(t *testing.T) {
	for name, svg := range pictures() {
		for _, width := range []float64{340, 720} {
			s := svg(width)
			d := xml.NewDecoder(strings.NewReader(s))
			elements := 0
			for {
				tok, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, s)
				}
				if e, ok := tok.(xml.StartElement); ok {
					elements++
					if e.Name.Local == "a" {
						t.Errorf("%s: a name became an element", name)
					}
				}
			}
			if elements < 2 || notFigures.MatchString(s) {
				t.Errorf("%s: %d elements\n%s", name, elements, s)
			}
			for _, m := range coordinate.FindAllStringSubmatch(s, -1) {
				if m[1][0] == '-' {
					t.Errorf("%s: something is drawn at %s", name, m[1])
				}
			}
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		from, to float64
		n        int
		want     string
	}{
		{0, 1, 5, "0 0.2 0.4 0.6 0.8 1.0"}, {-0.04, 0.9, 5, "0 0.2 0.4 0.6 0.8"}, {1.52, 3.31, 5, "2.0 2.5 3.0"}, {0, 83, 5, "0 20 40 60 80"},
		{0, 52_000, 5, "0 20k 40k"}, {0, 2.5e6, 3, "0 1M 2M"}, {3, 3, 5, ""}, {0, 0.0031, 4, "0 0.001 0.002 0.003"},
	} {
		var names []string
		for _, k := range ticks(tt.from, tt.to, tt.n) {
			names = append(names, k.name)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("from %v to %v: %s, want %s", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, tt := range []struct {
		end  time.Duration
		n    int
		want string
	}{
		{90 * time.Second, 6, "0 20 40 60 80 virtual seconds"}, {24 * time.Minute, 6, "0 5 10 15 20 virtual minutes"}, {3 * time.Hour, 6, "0 30 60 90 120 150 180 virtual minutes"},
		{3 * time.Hour, 5, "0 1 2 3 virtual hours"}, {30 * 24 * time.Hour, 4, "0 10 20 30 virtual days"}, {0, 5, "0 virtual seconds"},
	} {
		list, unit := times(tt.end, tt.n)
		var names []string
		for _, k := range list {
			names = append(names, k.name)
		}
		if got := strings.Join(append(names, unit), " "); got != tt.want {
			t.Errorf("up to %v: %s, want %s", tt.end, got, tt.want)
		}
	}
	if list, _ := times(math.MaxInt64, 3); len(list) > 120 {
		t.Errorf("%d ticks", len(list))
	}
}

// More is drawn higher, to the right or darker, and good is told from bad.
func TestPicturesMeanSomething(t *testing.T) {
	f := newFrame(700, time.Hour, 0, 10, "")
	if !(f.y.at(9) < f.y.at(1)) || !(f.x.at(60) < f.x.at(120)) {
		t.Error("the axes are the wrong way round")
	}
	m := Matrix{Names: []string{"a", "b", "c"}, Value: func(i, j int) (float64, bool) { return float64(min(2*i, 2)) - 1, true }, Tell: func(int, int) string { return "" }}.SVG(300)
	if strings.Count(m, `class="good"`) != 4 || strings.Count(m, `class="bad"`) != 2 {
		t.Errorf("four are good and two bad:\n%s", m)
	}
	l := Lanes{Width: time.Minute, End: 2 * time.Minute, Lanes: []Lane{{Counts: []int{1, 4}}}}.SVG(300)
	if !strings.Contains(l, `fill-opacity="0.65"`) || !strings.Contains(l, `fill-opacity="1.00"`) {
		t.Errorf("more is not darker:\n%s", l)
	}
}

var text = regexp.MustCompile(`<text x="([0-9.]+)" y="[0-9.]+" text-anchor="start">([^<]*)<`)

// What a strip says of itself fits a telephone.
func TestStripFitsATelephone(t *testing.T) {
	found := text.FindAllStringSubmatch(Strip{Width: time.Minute, End: time.Hour}.SVG(340), -1)
	if len(found) < 2 {
		t.Fatalf("%q", found)
	}
	for _, m := range found {
		x, err := strconv.ParseFloat(m[1], 64)
		if end := x + 6.8*float64(utf8.RuneCountInString(m[2])); err != nil || end > 340 {
			t.Errorf("%q ends at %v: %v", m[2], end, err)
		}
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct{ name, got, want string }{
		{"spark", Spark([]float64{0, 1, 2, 7, 99, -1}, 0, 7, 10), "▁▂▃██▁"},
		{"constant", Spark([]float64{3, 3}, 3, 3, 10), "▁▁"},
		{"means", Spark([]float64{0, 0, 7, 7}, 0, 7, 2), "▁█"},
		{"bar", Bar(0.5, 5), "██▌"}, {"no bar", Bar(0, 5), ""}, {"full bar", Bar(3, 5), "█████"},
		{"blocks", Blocks([]int{0, 1, 4, 16}, 10), "·░▒█"}, {"sums", Blocks([]int{1, 1, 0, 0}, 2), "█·"}, {"none", Blocks(nil, 5), ""},
		{"short", Short("skeamastet-007", 10), "skeam…-007"}, {"whole", Short("bothen", 10), "bothen"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	for n := range 20 {
		if s := Short(strings.Repeat("ü", 30), n); n >= 3 && utf8.RuneCountInString(s) != n {
			t.Errorf("%d letters: %q", n, s)
		}
	}
}
