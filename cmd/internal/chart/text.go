package chart

import (
	"math"
	"strings"
)

var (
	heights = []rune("▁▂▃▄▅▆▇█")
	parts   = []rune("▏▎▍▌▋▊▉")
	shades  = []rune("·░▒▓█")
)

// Spark draws figures as a line of blocks, at most so many letters wide; from low to high. Of several figures in one letter it shows
// the mean.
func Spark(y []float64, low, high float64, width int) string {
	var b strings.Builder
	for _, v := range Fit(y, width) {
		k := 0
		if high > low {
			k = int(math.Round((v - low) / (high - low) * float64(len(heights)-1)))
		}
		b.WriteRune(heights[min(max(k, 0), len(heights)-1)])
	}
	return b.String()
}

// Fit makes at most n of many figures, each the mean of its neighbours'.
func Fit(y []float64, n int) []float64 {
	if n < 1 || len(y) <= n {
		return y
	}
	fewer := make([]float64, n)
	for i := range fewer {
		from, to := i*len(y)/n, (i+1)*len(y)/n
		for _, v := range y[from:to] {
			fewer[i] += v / float64(to-from)
		}
	}
	return fewer
}

// Bar draws a share from 0 to 1 as a bar of at most so many letters.
func Bar(share float64, width int) string {
	eighths := int(math.Round(min(max(share, 0), 1) * float64(8*width)))
	s := strings.Repeat("█", eighths/8)
	if eighths%8 > 0 {
		s += string(parts[eighths%8-1])
	}
	return s
}

// Blocks draws counts as shades, at most so many letters wide: a dot is none. Of several counts in one letter it shows the sum.
func Blocks(counts []int, width int) string {
	n := min(len(counts), max(width, 1))
	sums := make([]int, n)
	most := 0
	for i := range sums {
		for _, c := range counts[i*len(counts)/n : (i+1)*len(counts)/n] {
			sums[i] += c
		}
		most = max(most, sums[i])
	}
	var b strings.Builder
	for _, c := range sums {
		k := 0
		if c > 0 {
			k = max(1, int(math.Round(math.Sqrt(float64(c)/float64(most))*float64(len(shades)-1))))
		}
		b.WriteRune(shades[k])
	}
	return b.String()
}
