// Package chart draws pictures of figures: as SVG elements for a page, and as blocks for a terminal.
//
// [Lines] and [Areas] go over time, [Lanes] tell when something happened and how often, [Strip] whose turn it was, [Matrix] what each
// did to each other, [Bars] compare. Each draws itself as wide as it is told to, so that a page has one picture for a wide screen and
// one for a narrow one, both with letters of one size. Colours are classes which [CSS] gives a meaning for light and for dark. [Spark],
// [Bar] and [Blocks] are the same in a line of text.
//
// The package is pure, and escapes all names. What it draws refers to nothing outside, and holds no script.
package chart

import (
	_ "embed"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"time"
)

// CSS is what a page needs for the pictures in it.
//
//go:embed chart.css
var CSS string

// Script shows the figures under the pointer. Pages are complete without it.
//
//go:embed chart.js
var Script string

// Colours is how many colours there are to tell things apart; beyond them there is grey.
const Colours = 8

// class names a colour.
func class(i int) string {
	if i < 0 || i >= Colours {
		return "kx"
	}
	return "k" + strconv.Itoa(i)
}

// Sizes in pixels. A letter is taken to be letterWidth wide.
const (
	letterWidth = 7.2
	lineHeight  = 15
	marginTop   = 24 // the label of the y axis stands there
	marginLeft  = 46
	marginRight = 12
	marginEnd   = 34 // below: ticks and the label of the x axis
)

// A drawing is an SVG element in the making.
type drawing struct {
	b             strings.Builder
	width, height float64
}

func newDrawing(width, height float64) *drawing { return &drawing{width: width, height: height} }

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.b, format+"\n", args...) }

// text writes on the line at y; anchor is start, middle or end.
func (d *drawing) text(x, y float64, anchor, s string) {
	d.add(`<text x="%s" y="%s" text-anchor="%s">%s</text>`, num(x), num(y), anchor, html.EscapeString(s))
}

// svg is the whole, with a name for who does not see it.
func (d *drawing) svg(title, attributes string) string {
	return fmt.Sprintf("<svg class=\"chart\" role=\"img\" viewBox=\"0 0 %s %s\" width=\"%s\" height=\"%s\"%s><title>%s</title>\n%s</svg>",
		num(d.width), num(d.height), num(d.width), num(d.height), attributes, html.EscapeString(title), d.b.String())
}

// num is a coordinate, to a tenth of a pixel.
func num(v float64) string {
	return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64)
}

// Short makes a name fit so many letters. What is left out is before its end, for names often differ there.
func Short(name string, letters int) string {
	r := []rune(name)
	if len(r) <= letters || letters < 3 {
		return name
	}
	tail := min((letters-1)/2, 4)
	return string(r[:letters-1-tail]) + "…" + string(r[len(r)-tail:])
}

// A scale turns figures into pixels.
type scale struct{ from, to, low, high float64 } // figures, pixels

func (s scale) at(v float64) float64 {
	if s.to == s.from {
		return s.low
	}
	return s.low + (v-s.from)/(s.to-s.from)*(s.high-s.low)
}

// A tick is a place on an axis.
type tick struct {
	at   float64
	name string
}

// ticks are about n round figures from a to b.
func ticks(a, b float64, n int) (list []tick) {
	if !(b > a) || n < 1 {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((b-a)/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if (b-a)/(m*step) <= float64(n) {
			step *= m
			break
		}
	}
	decimals := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	for i := math.Ceil(a/step - 1e-9); i*step <= b+1e-9*step; i++ {
		list = append(list, tick{i * step, figure(i*step, decimals)})
	}
	return list
}

// figure prints a figure of an axis: 0.25, 40, 12k, 3M.
func figure(v float64, decimals int) string {
	if v == 0 { // of either sign
		return "0"
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= 10*u.size || decimals == 0 && math.Abs(v) >= u.size && math.Mod(v, u.size/10) == 0 {
			return strconv.FormatFloat(math.Round(100*v/u.size)/100, 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// times are about n round times up to the end, and what they are counted in.
func times(end time.Duration, n int) (list []tick, unit string) {
	const day = 24 * time.Hour
	for _, u := range []struct {
		unit  time.Duration
		name  string
		steps []int
	}{
		{time.Second, "seconds", []int{1, 2, 5, 10, 20}},
		{time.Minute, "minutes", []int{1, 2, 5, 10, 20, 30}},
		{time.Hour, "hours", []int{1, 2, 3, 6, 12}},
		{day, "days", []int{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}},
	} {
		for _, s := range u.steps {
			step := time.Duration(s) * u.unit
			if int(end/step) > n && (u.unit != day || s != 1000) {
				continue
			}
			for k := range int(end/step) + 1 {
				list = append(list, tick{(time.Duration(k) * step).Seconds(), strconv.Itoa(k * s)})
			}
			return list, "virtual " + u.name
		}
	}
	return nil, ""
}

// A frame is where a picture with axes is drawn.
type frame struct {
	*drawing
	x, y scale
}

// newFrame draws axes for figures from low to high over time.
func newFrame(width float64, end time.Duration, low, high float64, label string) *frame {
	height := min(320, 120+0.3*width)
	f := &frame{newDrawing(width, height), scale{0, max(end.Seconds(), 1e-3), marginLeft, width - marginRight}, scale{low, high, height - marginEnd, marginTop}}
	f.text(0, 12, "start", label)
	for _, t := range ticks(low, high, 5) {
		y := f.y.at(t.at)
		f.add(`<path class="grid" d="M%s %sH%s"/>`, num(f.x.low), num(y), num(f.x.high))
		f.text(f.x.low-6, y+4, "end", t.name)
	}
	f.time(end, height-marginEnd)
	return f
}

// time draws the ticks of the axis of time, and its name.
func (f *frame) time(end time.Duration, y float64) {
	list, unit := times(end, int((f.x.high-f.x.low)/55))
	f.add(`<path class="axis" d="M%s %sH%s"/>`, num(f.x.low), num(y), num(f.x.high))
	for _, t := range list {
		x := f.x.at(t.at)
		f.add(`<path class="axis" d="M%s %sv4"/>`, num(x), num(y))
		f.text(x, y+lineHeight+1, "middle", t.name)
	}
	f.text(f.x.high, y+2*lineHeight, "end", unit)
}

// A Key says what a colour means.
type Key struct {
	Colour int
	Kind   string // line, dash, band, area
	Name   string
}

// Legend is a list of keys as HTML.
func Legend(keys []Key) string {
	var b strings.Builder
	b.WriteString(`<ul class="legend">`)
	for _, k := range keys {
		shape := fmt.Sprintf(`<rect class="area %s" width="22" height="10" y="1"/>`, class(k.Colour))
		switch k.Kind {
		case "line", "dash":
			shape = fmt.Sprintf(`<path class="%s %s" d="M0 6H22"/>`, k.Kind, class(k.Colour))
		case "band":
			shape = fmt.Sprintf(`<rect class="band %s" width="22" height="12"/><path class="line %s" d="M0 6H22"/>`, class(k.Colour), class(k.Colour))
		}
		fmt.Fprintf(&b, `<li><svg width="22" height="12" aria-hidden="true">%s</svg> %s</li>`, shape, html.EscapeString(k.Name))
	}
	b.WriteString("</ul>")
	return b.String()
}
