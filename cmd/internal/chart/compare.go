package chart

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"time"
)

// A Turn is one of a strip.
type Turn struct {
	At       time.Duration
	Colour   int
	Good, No float64 // how many agreed, and how many did not
	Title    string
}

// A Strip is whose turn it was, and what others made of it.
type Strip struct {
	Title string
	Turns []Turn        // by time
	Width time.Duration // of a turn
	End   time.Duration
}

// SVG draws it: a row of turns by colour, and below it how many agreed, and how many did not.
func (s Strip) SVG(width float64) string {
	const high, low = 30.0, 44.0
	height := 2*lineHeight + high + 22 + 2*low + marginEnd
	f := &frame{drawing: newDrawing(width, height), x: scale{0, max(s.End.Seconds(), 1e-3), 10, width - 10}}
	f.text(f.x.low, 11, "start", "whose turn it was")
	f.text(f.x.low, lineHeight+high+25, "start", "others that took in what it merged ▲, or not ▼")
	middle := 2*lineHeight + high + 20 + low
	most := 1.0
	together := map[time.Duration]int{}
	for _, t := range s.Turns {
		most = max(most, t.Good, t.No)
		together[t.At.Truncate(s.Width)]++
	}
	met := map[time.Duration]int{}
	for _, t := range s.Turns {
		at := t.At.Truncate(s.Width)
		n, k := together[at], met[at]
		met[at]++
		a := f.x.at(at.Seconds())
		b := min(f.x.at((at + s.Width).Seconds()), f.x.high)
		wide := max(b-a-min(1, (b-a)/4), 0.6)
		f.add(`<rect class="area %s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>`, class(t.Colour),
			num(a), num(lineHeight+2+high*float64(k)/float64(n)), num(wide), num(high/float64(n)), html.EscapeString(t.Title))
		part := wide / float64(n)
		for _, v := range []struct {
			class   string
			y, tall float64
		}{{"good", middle - low*t.Good/most, low * t.Good / most}, {"bad", middle, low * t.No / most}} {
			if v.tall > 0 {
				f.add(`<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, v.class, num(a+part*float64(k)), num(v.y), num(part), num(v.tall))
			}
		}
	}
	f.add(`<path class="axis" d="M%s %sH%s"/>`, num(f.x.low), num(middle), num(f.x.high))
	f.time(s.End, height-marginEnd+2)
	return f.svg(s.Title, "")
}

// A Matrix is what each did to each other.
type Matrix struct {
	Title      string
	Rows, Cols string // what they are
	Names      []string
	Value      func(row, col int) (v float64, ok bool)
	Tell       func(row, col int) string
	Mark       func(row, col int) float64 // from 0 to 1: with a corner, as bad; nil for none
}

const (
	mostTold  = 32 // names, with a title for each cell
	labelled  = 12 // letters of a name
	smallCell = 9
	largeCell = 22
)

// SVG draws it: more of a colour is more of a value, good or bad. A dot is a value of nearly nothing.
func (m Matrix) SVG(width float64) string {
	n := len(m.Names)
	longest := 0
	for _, name := range m.Names {
		longest = max(longest, min(len([]rune(name)), labelled))
	}
	cell := math.Floor(min(max((width-float64(longest)*letterWidth-8)/float64(max(n, 1)), smallCell), largeCell))
	letters := min(11, cell)
	side := float64(longest)*letters*letterWidth/12 + 8 // which is for letters of 12 pixels
	size := cell * float64(n)
	d := newDrawing(max(side+size+2, 180), side+lineHeight+size+2)
	top := side + lineHeight
	d.text(0, 11, "start", fmt.Sprintf("%s ↓  %s →", m.Rows, m.Cols))
	most := 0.0
	for i := range n {
		for j := range n {
			if v, ok := m.Value(i, j); ok {
				most = max(most, math.Abs(v))
			}
		}
	}
	d.add(`<rect class="lane" x="%s" y="%s" width="%s" height="%s"/>`, num(side), num(top), num(size), num(size))
	for i, name := range m.Names {
		at := cell*(float64(i)+0.5) + letters*0.35
		d.add(`<text x="%s" y="%s" text-anchor="end" style="font-size:%spx">%s</text>`, num(side-4), num(top+at), num(letters), html.EscapeString(Short(name, labelled)))
		d.add(`<text transform="translate(%s %s)rotate(-90)" style="font-size:%spx">%s</text>`, num(side+at), num(top-4), num(letters), html.EscapeString(Short(name, labelled)))
	}
	for i := range n {
		for j := range n {
			m.cell(d, i, j, side+cell*float64(j), top+cell*float64(i), cell, most)
		}
	}
	return d.svg(m.Title, "")
}

func (m Matrix) cell(d *drawing, i, j int, x, y, cell, most float64) {
	if i == j {
		d.add(`<path class="axis" d="M%s %sl%s %s"/>`, num(x), num(y), num(cell), num(cell))
		return
	}
	v, ok := m.Value(i, j)
	if !ok {
		return
	}
	share := 0.0
	if most > 0 {
		share = math.Sqrt(math.Abs(v) / most)
	}
	kind, in := "good", 0.5
	if v < 0 {
		kind = "bad"
	}
	if share < 0.1 {
		kind, in, share = "axis-fill", cell/2-1.5, 1
	}
	title := ""
	if len(m.Names) <= mostTold {
		title = "<title>" + html.EscapeString(m.Tell(i, j)) + "</title>"
	}
	d.add(`<path class="%s" fill-opacity="%s" d="M%s %sh%sv%sh-%sz">%s</path>`, kind, strconv.FormatFloat(max(share, 0.12), 'f', 2, 64),
		num(x+in), num(y+in), num(cell-2*in), num(cell-2*in), num(cell-2*in), title)
	if m.Mark == nil {
		return
	}
	if v := m.Mark(i, j); v > 0 {
		corner := math.Round(cell * 0.45)
		d.add(`<path class="bad" fill-opacity="%s" d="M%s %sv%sl-%s -%sz"/>`, strconv.FormatFloat(max(v, 0.2), 'f', 2, 64), num(x+cell-0.5), num(y+0.5), num(corner), num(corner), num(corner))
	}
}

// A Row is a bar with its name.
type Row struct {
	Name   string
	Value  float64
	Text   string // in figures
	Colour int
}

// Bars compare figures, which may be negative.
type Bars struct {
	Title string
	Rows  []Row
}

// SVG draws them, one below the other.
func (b Bars) SVG(width float64) string {
	const row, gap = 18.0, 4.0
	names, texts, low, high := 0, 0, 0.0, 0.0
	for _, r := range b.Rows {
		names, texts = max(names, len([]rune(r.Name))), max(texts, len([]rune(r.Text)))
		low, high = min(low, r.Value), max(high, r.Value)
	}
	names = min(names, 22)
	left, right := float64(names)*letterWidth+8, float64(texts)*letterWidth+8
	d := newDrawing(width, (row+gap)*float64(len(b.Rows))+2)
	s := scale{low, high, left, width - right}
	for i, r := range b.Rows {
		y := (row + gap) * float64(i)
		d.text(left-6, y+13, "end", Short(r.Name, names))
		x, zero := s.at(r.Value), s.at(0)
		if low == high {
			x, zero = left, left
		}
		d.add(`<rect class="area %s" x="%s" y="%s" width="%s" height="%s"/>`, class(r.Colour), num(min(x, zero)), num(y), num(max(math.Abs(x-zero), 1)), num(row))
		d.text(max(x, zero)+5, y+13, "start", r.Text)
	}
	return d.svg(b.Title, "")
}
