package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Where things stand on a drawing, in pixels.
const (
	drawEdge  = 16
	drawHead  = 44  // above the first row
	drawRow   = 132 // from one layer to the next
	drawName  = 96  // to the left of the bars
	drawBars  = 96  // how high a bar of certainty is
	drawBar   = 26  // from one bar to the next
	drawSide  = 112 // of a picture
	drawGap   = 16
	textBytes = 10 // bytes that a layer of a text model is shown to expect
)

var (
	paper  = color.Gray{255}
	ink    = color.Gray{40}
	faint  = color.Gray{215}
	right  = color.NRGBA{30, 130, 76, 255}
	others = color.NRGBA{90, 110, 150, 255}
)

// draw draws the report: the last layer on top, and below it what it was made of.
func (r *traceReport) draw() ([]byte, error) {
	bars := textBytes
	width := 2*drawEdge + drawName + bars*(drawBar+20)
	if r.picture != nil {
		bars = len(r.classes)
		width = 2*drawEdge + drawName + bars*drawBar + 3*(drawGap+drawSide)
	}
	height := drawHead + len(r.Layers)*drawRow + drawEdge
	c := &canvas{image.NewNRGBA(image.Rect(0, 0, width, height))}
	draw.Draw(c.to, c.to.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	for i, l := range r.Layers {
		c.layer(r, &l, drawHead+i*drawRow)
	}
	if r.picture != nil {
		at := drawEdge + drawName + bars*drawBar + drawGap
		for i, name := range []string{"expects", "still sees", "the picture"} {
			c.text(at+i*(drawSide+drawGap), drawHead-8, name, ink)
		}
		c.picture(at+2*(drawSide+drawGap), drawHead, r.picture)
		c.text(drawEdge, drawHead-20, "what each layer thinks", ink)
	} else {
		c.text(drawEdge, drawHead-24, "what each layer expects behind", ink)
		c.text(drawEdge, drawHead-10, r.Input+", and it was "+r.Answer, ink)
	}
	var b bytes.Buffer
	err := png.Encode(&b, c.to)
	return b.Bytes(), err
}

type canvas struct{ to *image.NRGBA }

// layer draws one row: how probable the layer holds each answer to be, and its pictures.
func (c *canvas) layer(r *traceReport, l *traceLayer, top int) {
	c.text(drawEdge, top+24, fmt.Sprintf("layer %d", l.Layer), ink)
	c.text(drawEdge, top+42, fmt.Sprintf("%s %.0f%%", l.Answers[0].Answer, 100*l.Answers[0].Probability), ink)
	c.text(drawEdge, top+60, l.firing(), ink)
	c.text(drawEdge, top+74, "sections", ink)
	at, step := drawEdge+drawName, drawBar
	var names []string
	var shares []float32
	if r.picture != nil {
		names, shares = r.classes, l.beliefs
	} else {
		step += 20
		for _, a := range answers(l.beliefs, textBytes, quoteByte) {
			names, shares = append(names, a.Answer), append(shares, float32(a.Probability))
		}
	}
	for k, p := range shares {
		x := at + k*step
		c.fill(x, top, step-6, drawBars, faint)
		high, of := int(p*drawBars+0.5), others
		if names[k] == r.Answer {
			of = right
		}
		c.fill(x, top+drawBars-high, step-6, high, of)
		c.text(x+(step-6-7*len(names[k]))/2, top+drawBars+14, names[k], ink)
	}
	if r.picture != nil {
		at += len(shares)*step + drawGap
		c.picture(at, top, l.expected)
		c.picture(at+drawSide+drawGap, top, l.seen)
	}
}

func (c *canvas) fill(x, y, wide, high int, of color.Color) {
	draw.Draw(c.to, image.Rect(x, y, x+wide, y+high), image.NewUniform(of), image.Point{}, draw.Src)
}

// text writes on the line at y.
func (c *canvas) text(x, y int, s string, of color.Color) {
	d := font.Drawer{Dst: c.to, Src: image.NewUniform(of), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(s)
}

// picture draws a picture as large as there is room for, every pixel a square.
func (c *canvas) picture(x, y int, p *picture) {
	side := max(drawSide/max(p.rows, p.cols), 1)
	for i, v := range p.pixels {
		row, col := i/p.cols, i%p.cols
		if row*side >= drawSide || col*side >= drawSide {
			continue
		}
		grey := color.Gray{uint8(255 * min(max(v, 0), 1))}
		c.fill(x+col*side, y+row*side, side, side, grey)
	}
}
