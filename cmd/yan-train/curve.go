package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/yanmesh/yan/learning"
)

// curvePoints is about how many points a whole curve has.
const curvePoints = 400

// A curve is the loss as it fell: its mean over one stretch of the training after another.
type curve struct {
	points []point
	every  int64 // bytes between two points

	bits  float64 // of the stretch that has begun, times its bytes
	bytes int64
}

// A point is the mean loss of the stretch that ends after seen bytes.
type point struct {
	seen int64
	bits float64
}

func (c *curve) add(seen int64, s learning.TrainStep) {
	c.bits += s.Bits * float64(s.Bytes)
	c.bytes += int64(s.Bytes)
	if c.bytes >= c.every {
		c.points = append(c.points, point{seen, c.bits / float64(c.bytes)})
		c.bits, c.bytes = 0, 0
	}
}

// recent is the mean loss of late, in bits a byte.
func (c *curve) recent() float64 {
	if c.bytes > c.every/4 || len(c.points) == 0 {
		return c.bits / float64(max(c.bytes, 1))
	}
	return c.points[len(c.points)-1].bits
}

// csv is the curve as a table that readCurve reads.
func (c *curve) csv() []byte {
	var b bytes.Buffer
	b.WriteString("bytes,bits_per_byte\n")
	for _, p := range c.points {
		fmt.Fprintf(&b, "%d,%.6f\n", p.seen, p.bits)
	}
	return b.Bytes()
}

// readCurve takes up the curve of a training of total bytes that stands at seen. It is there to be looked
// at: one that cannot be read begins anew.
func readCurve(path string, seen, total int64) *curve {
	c := &curve{every: max(total/curvePoints, 1)}
	if seen == 0 {
		return c
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return c
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		return c
	}
	for _, row := range rows {
		if len(row) != 2 {
			continue
		}
		at, err1 := strconv.ParseInt(row[0], 10, 64)
		bits, err2 := strconv.ParseFloat(row[1], 64)
		if err1 == nil && err2 == nil && at <= seen && !math.IsNaN(bits) && !math.IsInf(bits, 0) {
			c.points = append(c.points, point{at, bits})
		}
	}
	return c
}

// draw writes the curve as a PNG: bits a byte against bytes seen.
func (c *curve) draw(path string) error {
	points := c.points
	if c.bytes > 0 { // the stretch that the end cut off
		last := c.bytes
		if len(points) > 0 {
			last += points[len(points)-1].seen
		}
		points = append(points, point{last, c.bits / float64(c.bytes)})
	}
	var xy plotter.XYs
	for _, p := range points {
		xy = append(xy, plotter.XY{X: float64(p.seen) / 1e6, Y: p.bits})
	}
	p := plot.New()
	p.Title.Text = "loss before learning from each byte"
	p.X.Label.Text = "MB seen"
	p.Y.Label.Text = "bits a byte"
	p.Add(plotter.NewGrid())
	if len(xy) > 0 {
		line, err := plotter.NewLine(xy)
		if err != nil {
			return fmt.Errorf("%s: cannot be drawn: %w", path, err)
		}
		line.Width = vg.Points(1.5)
		p.Add(line)
		p.Y.Min = min(p.Y.Min, p.Y.Max-0.1)
	}
	img := vgimg.New(18*vg.Centimeter, 10*vg.Centimeter)
	p.Draw(draw.New(img))
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(&b); err != nil {
		return fmt.Errorf("%s: cannot be drawn: %w", path, err)
	}
	return replace(path, b.Bytes())
}
