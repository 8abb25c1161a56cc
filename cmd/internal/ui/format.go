package ui

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bytes prints a number of bytes with three digits that matter: 999 B, 1.25 kB, 34.1 MB. A kB is
// 1000 bytes.
func Bytes(n int64) string {
	if n < 0 {
		return "-" + Bytes(-max(n, -math.MaxInt64))
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	for i, unit := range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		v /= 1000
		if v < 999.5 || i == 5 {
			return digits(v) + " " + unit
		}
	}
	panic("unreachable")
}

// digits prints a number below 1000 with three digits that matter.
func digits(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// Duration prints a length of time for people: 12 ms, 3.45 s, 4 min 5 s, 2 h 3 min, 3 d 4 h.
func Duration(d time.Duration) string {
	pair := func(big, small time.Duration, names ...string) string {
		d := d.Round(small)
		return fmt.Sprintf("%d %s %d %s", d/big, names[0], d%big/small, names[1])
	}
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + Duration(-max(d, -math.MaxInt64))
	case d == 0:
		return "0 s"
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < 999500*time.Nanosecond:
		return digits(float64(d)/1e3) + " µs"
	case d < 999500*time.Microsecond:
		return digits(float64(d)/1e6) + " ms"
	case d < 59950*time.Millisecond:
		return digits(d.Seconds()) + " s"
	case d.Round(time.Second) < time.Hour:
		return pair(time.Minute, time.Second, "min", "s")
	case d.Round(time.Minute) < day:
		return pair(time.Hour, time.Minute, "h", "min")
	}
	return pair(day, time.Hour, "d", "h")
}

// Count prints a number with its thousands apart: 13,784.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Table collects rows and prints them in columns. Columns of numbers are flush right.
type Table struct {
	header []string
	rows   [][]string
}

// NewTable returns a table with these columns.
func NewTable(header ...string) *Table { return &Table{header: header} }

// Row adds a row of as many cells as there are columns. A float64 is printed with four digits that
// matter, anything else as fmt prints it.
func (t *Table) Row(cells ...any) {
	if len(cells) != len(t.header) {
		panic(fmt.Sprintf("ui: a row of %d cells in a table of %d columns", len(cells), len(t.header)))
	}
	row := make([]string, len(cells))
	for i, c := range cells {
		if f, ok := c.(float64); ok {
			row[i] = strconv.FormatFloat(f, 'g', 4, 64)
		} else {
			row[i] = strings.Join(strings.Fields(fmt.Sprint(c)), " ")
		}
	}
	t.rows = append(t.rows, row)
}

// Fprint prints the table.
func (t *Table) Fprint(w io.Writer) error {
	width := make([]int, len(t.header))
	right := make([]bool, len(t.header))
	for i, h := range t.header {
		width[i] = utf8.RuneCountInString(h)
		right[i] = len(t.rows) > 0
	}
	for _, row := range t.rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
			right[i] = right[i] && isNumber(cell)
		}
	}
	rule := make([]string, len(t.header))
	for i := range rule {
		rule[i] = strings.Repeat("-", width[i])
	}
	var b strings.Builder
	for _, row := range append([][]string{t.header, rule}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// isNumber reports whether a cell begins as a number does, whatever its unit, or is left open.
func isNumber(cell string) bool {
	cell = strings.TrimLeft(cell, "+-±")
	return cell == "" || cell[0] >= '0' && cell[0] <= '9' || cell == "NaN" || cell == "Inf"
}
