package ui

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	// barDelay keeps bars off what is over in a moment.
	barDelay = time.Second
	// lineInterval is how often a log, rather than a terminal, hears of progress.
	lineInterval = 5 * time.Second
)

// Progress tells how far a piece of work is: as a bar with rate and time left on a terminal, as a
// plain line every five seconds elsewhere. It is safe for concurrent use.
type Progress struct {
	w     io.Writer
	what  string
	unit  string
	total int64
	start time.Time
	bar   *progressbar.ProgressBar // nil where w is no terminal

	mu   sync.Mutex // guards what follows
	done int64
	note string
	said time.Time
	over bool
}

// NewProgress begins to report on w, as a rule stderr. what names the work; total is how many units
// it has, or -1 if nobody knows; unit is their name, or "B" for bytes.
func NewProgress(w io.Writer, what string, total int64, unit string) *Progress {
	p := &Progress{w: w, what: what, unit: unit, total: total, start: time.Now()}
	p.said = p.start
	if IsTerminal(w) {
		p.bar = newBar(w, what, total, unit)
	}
	return p
}

func newBar(w io.Writer, what string, total int64, unit string) *progressbar.ProgressBar {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(&late{w: w, from: time.Now().Add(barDelay)}),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(24),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0), // else a goroutine of its own draws it
		progressbar.OptionClearOnFinish(),
	}
	if unit == "B" {
		options = append(options, progressbar.OptionShowBytes(true))
	} else {
		options = append(options, progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit))
	}
	return progressbar.NewOptions64(total, options...)
}

// late swallows what is written before a certain time.
type late struct {
	w    io.Writer
	from time.Time
}

func (l *late) Write(b []byte) (int, error) {
	if time.Now().Before(l.from) {
		return len(b), nil
	}
	return l.w.Write(b)
}

// Add says that n more units are done.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(p.done + n)
}

// Set says that n units are done.
func (p *Progress) Set(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(n)
}

// Note says something besides of how the work goes, such as another rate. It is seen with what is set next.
func (p *Progress) Note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.note == text || p.over {
		return
	}
	p.note = text
	if p.bar != nil {
		p.bar.Describe(p.what + ", " + text)
	}
}

func (p *Progress) set(n int64) {
	if p.done = n; p.over {
		return
	}
	if p.bar != nil {
		// The bar ends by itself at its total; here it ends with Done.
		if p.total > 0 {
			n = min(n, p.total-1)
		}
		_ = p.bar.Set64(max(n, 0)) // what cannot be drawn is not worth failing for
		return
	}
	if now := time.Now(); now.Sub(p.said) >= lineInterval {
		p.said = now
		fmt.Fprintln(p.w, p.line(now))
	}
}

// line says in words how far the work is.
func (p *Progress) line(now time.Time) string {
	amount := func(n int64) string {
		if p.unit == "B" {
			return Bytes(n)
		}
		return Count(n) + " " + p.unit
	}
	text := p.what + ": " + amount(p.done)
	if p.total > 0 {
		text += fmt.Sprintf(" of %s (%d %%)", amount(p.total), int(100*float64(p.done)/float64(p.total)))
	}
	rate := float64(p.done) / now.Sub(p.start).Seconds()
	text += ", " + amount(int64(rate)) + "/s"
	if p.total > 0 && rate > 0 {
		left := max(0, float64(p.total-p.done)/rate)
		text += ", " + Duration(time.Duration(left*float64(time.Second)).Round(time.Second)) + " left"
	}
	if p.note != "" {
		text += ", " + p.note
	}
	return text
}

// Done ends the report and clears the bar. Whoever began it calls this, whether the work succeeded
// or not, and may call it again.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
