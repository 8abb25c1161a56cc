package chart

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Line is a figure over time, with how it is spread about it if that is known.
type Line struct {
	Name   string
	Colour int
	At     []time.Duration
	Y      []float64
	Bands  [][2][]float64 // low and high, the widest band first
}

// A Level is a figure that does not change with time.
type Level struct {
	Name   string
	Colour int
	Y      float64
}

// Lines are figures over time.
type Lines struct {
	Title  string // for who does not see it
	Label  string // of the y axis
	Lines  []Line
	Levels []Level
	Zero   bool // whether the y axis begins at zero
}

// Keys is what the colours mean.
func (l Lines) Keys() (keys []Key) {
	for _, s := range l.Lines {
		kind := "line"
		if len(s.Bands) > 0 {
			kind = "band"
		}
		keys = append(keys, Key{s.Colour, kind, s.Name})
	}
	for _, v := range l.Levels {
		keys = append(keys, Key{v.Colour, "dash", v.Name})
	}
	return keys
}

// bounds are those of the y axis, with a little room.
func (l Lines) bounds() (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	see := func(v float64) {
		if !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	for _, s := range l.Lines {
		for _, y := range s.Y {
			see(y)
		}
		for _, b := range s.Bands {
			for i := range b[0] {
				see(b[0][i])
				see(b[1][i])
			}
		}
	}
	for _, v := range l.Levels {
		see(v.Y)
	}
	if l.Zero {
		see(0)
	}
	switch {
	case low > high:
		return 0, 1
	case low == high:
		return low - 0.5, high + 0.5
	}
	room := 0.05 * (high - low)
	if low == 0 && l.Zero {
		return 0, high + room
	}
	return low - room, high + room
}

// SVG draws them.
func (l Lines) SVG(width float64) string {
	var end time.Duration
	for _, s := range l.Lines {
		if n := len(s.At); n > 0 {
			end = max(end, s.At[n-1])
		}
	}
	low, high := l.bounds()
	f := newFrame(width, end, low, high, l.Label)
	for _, v := range l.Levels {
		f.add(`<path class="dash %s" d="M%s %sH%s"><title>%s: %s</title></path>`, class(v.Colour), num(f.x.low), num(f.y.at(v.Y)), num(f.x.high), html.EscapeString(v.Name), value(v.Y))
	}
	for _, s := range l.Lines {
		for _, b := range s.Bands {
			f.add(`<path class="band %s" d="%sL%sZ"/>`, class(s.Colour), f.path(s.At, b[1], false), strings.TrimPrefix(f.path(s.At, b[0], true), "M"))
		}
	}
	for _, s := range l.Lines {
		f.add(`<path class="line %s" d="%s"/>`, class(s.Colour), f.path(s.At, s.Y, false))
	}
	return f.svg(l.Title, l.data(f))
}

// path is a line through points, or back through them.
func (f *frame) path(at []time.Duration, y []float64, back bool) string {
	points := make([]string, 0, len(at))
	for i := range at {
		if back {
			i = len(at) - 1 - i
		}
		points = append(points, num(f.x.at(at[i].Seconds()))+" "+num(f.y.at(y[i])))
	}
	if len(points) == 1 { // a line of no length is not seen
		points = append(points, points[0])
	}
	return "M" + strings.Join(points, "L")
}

// data is what the script shows under the pointer: where the picture's first and last moments are, and the figures of each.
func (l Lines) data(f *frame) string {
	if len(l.Lines) == 0 {
		return ""
	}
	type series struct {
		Name string   `json:"n"`
		Y    []string `json:"y"`
	}
	d := struct {
		Box  [2]float64 `json:"b"`
		X    []float64  `json:"x"` // pixels
		When []string   `json:"w"`
		Y    []series   `json:"y"`
	}{Box: [2]float64{f.y.high, f.y.low}}
	for _, at := range l.Lines[0].At {
		d.X, d.When = append(d.X, math.Round(10*f.x.at(at.Seconds()))/10), append(d.When, clock(at))
	}
	for _, s := range l.Lines {
		if len(s.Y) != len(d.X) {
			continue
		}
		v := series{Name: s.Name}
		for i, y := range s.Y {
			t := value(y)
			if n := len(s.Bands); n > 0 {
				t += fmt.Sprintf(" (%s to %s)", value(s.Bands[0][0][i]), value(s.Bands[0][1][i]))
			}
			v.Y = append(v.Y, t)
		}
		d.Y = append(d.Y, v)
	}
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings and finite numbers
	}
	return ` data-chart="` + html.EscapeString(string(b)) + `"`
}

// value prints a figure with four digits that matter.
func value(v float64) string {
	if v != 0 && math.Abs(v) < 1e-3 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	digits := 4
	if a := math.Abs(v); a >= 1 {
		digits = max(0, 3-int(math.Log10(a)))
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// clock prints a time since the beginning: 12:30, 1:02:03.
func clock(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%d:%02d", m, s)
}

// Areas are figures over time that add up: one upon the other.
type Areas struct {
	Title, Label string
	At           []time.Duration
	Areas        []Line // their Y; the first at the bottom
}

// Keys is what the colours mean, the topmost first.
func (a Areas) Keys() (keys []Key) {
	for i := len(a.Areas) - 1; i >= 0; i-- {
		keys = append(keys, Key{a.Areas[i].Colour, "area", a.Areas[i].Name})
	}
	return keys
}

// SVG draws them.
func (a Areas) SVG(width float64) string {
	floor := make([]float64, len(a.At))
	tops := make([][]float64, len(a.Areas))
	high := 0.0
	sum := floor
	for k, s := range a.Areas {
		top := make([]float64, len(sum))
		for i := range top {
			top[i] = sum[i] + s.Y[i]
			high = max(high, top[i])
		}
		tops[k], sum = top, top
	}
	if high == 0 {
		high = 1
	}
	var end time.Duration
	if n := len(a.At); n > 0 {
		end = a.At[n-1]
	}
	f := newFrame(width, end, 0, 1.05*high, a.Label)
	below := floor
	l := Lines{}
	for k, s := range a.Areas {
		if len(a.At) > 0 {
			f.add(`<path class="area %s" d="%sL%sZ"><title>%s</title></path>`, class(s.Colour), f.path(a.At, tops[k], false), strings.TrimPrefix(f.path(a.At, below, true), "M"), html.EscapeString(s.Name))
		}
		below = tops[k]
		s.At = a.At
		l.Lines = append([]Line{s}, l.Lines...)
	}
	return f.svg(a.Title, l.data(f))
}

// A Lane is how often something happened, in spans of time of one length.
type Lane struct {
	Name   string
	Colour int
	Counts []int // one for each span
	Sum    string
}

// Lanes are what happened over time, one below the other.
type Lanes struct {
	Title string
	Width time.Duration // of a span
	End   time.Duration
	Lanes []Lane
	Spans [][2]time.Duration // shaded
	Span  string             // what they are
}

const laneHeight = 14

// SVG draws them. A darker cell is a greater count.
func (l Lanes) SVG(width float64) string {
	step := float64(lineHeight + laneHeight + 8)
	height := 6 + step*float64(len(l.Lanes)) + marginEnd
	f := &frame{drawing: newDrawing(width, height), x: scale{0, max(l.End.Seconds(), 1e-3), 10, width - 10}}
	for _, s := range l.Spans {
		f.add(`<rect class="span" x="%s" y="0" width="%s" height="%s"><title>%s, %s to %s</title></rect>`, num(f.x.at(s[0].Seconds())),
			num(max(f.x.at(s[1].Seconds())-f.x.at(s[0].Seconds()), 1)), num(height-marginEnd), html.EscapeString(l.Span), clock(s[0]), clock(s[1]))
	}
	for i, lane := range l.Lanes {
		y := 6 + step*float64(i)
		f.text(f.x.low, y+10, "start", lane.Name)
		f.text(f.x.high, y+10, "end", lane.Sum)
		f.lane(lane, l.Width, l.End, y+lineHeight)
	}
	f.time(l.End, height-marginEnd+2)
	return f.svg(l.Title, "")
}

func (f *frame) lane(l Lane, width, end time.Duration, y float64) {
	f.add(`<rect class="lane" x="%s" y="%s" width="%s" height="%d"/>`, num(f.x.low), num(y), num(f.x.high-f.x.low), laneHeight)
	most := 0
	for _, n := range l.Counts {
		most = max(most, n)
	}
	for i, n := range l.Counts {
		if n == 0 {
			continue
		}
		from := time.Duration(i) * width
		to := min(from+width, end)
		a, b := f.x.at(from.Seconds()), f.x.at(max(to, from).Seconds())
		f.add(`<rect class="area %s" x="%s" y="%s" width="%s" height="%d" fill-opacity="%s"><title>%s to %s: %d</title></rect>`, class(l.Colour), num(a), num(y),
			num(max(b-a, 1.5)), laneHeight, strconv.FormatFloat(0.3+0.7*math.Sqrt(float64(n)/float64(most)), 'f', 2, 64), clock(from), clock(to), n)
	}
}
