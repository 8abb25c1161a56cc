package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
)

// tool is a command line such as ours: flags, arguments, subcommands, and a command that does what
// the test wants.
func tool(do func(*cobra.Command) error) *cobra.Command {
	root := &cobra.Command{Use: "yan-tool"}
	work := &cobra.Command{Use: "work", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return do(cmd) }}
	work.Flags().Int("count", 1, "")
	work.Flags().String("need", "", "")
	strict := &cobra.Command{Use: "strict", RunE: func(cmd *cobra.Command, _ []string) error { return do(cmd) }}
	strict.Flags().String("must", "", "")
	if err := strict.MarkFlagRequired("must"); err != nil {
		panic(err)
	}
	skill := &cobra.Command{Use: "skill"}
	skill.AddCommand(&cobra.Command{Use: "list", Run: func(*cobra.Command, []string) {}})
	root.AddCommand(work, strict, skill)
	return root
}

type ownUsage struct{ bad bool }

func (ownUsage) Error() string { return "own" }
func (e ownUsage) Usage() bool { return e.bad }

func TestExitStatus(t *testing.T) {
	tests := []struct {
		args   string
		err    error
		status int
		says   string
	}{
		{"work", nil, Done, ""},
		{"", nil, Done, ""},
		{"--help", nil, Done, ""},
		{"--version", nil, Done, ""},
		{"skill", nil, Done, ""},
		{"skill list", nil, Done, ""},
		{"work", errors.New("store: disk\nis  full"), Failed, "yan-tool: store: disk is full\n"},
		{"work", fmt.Errorf("open: %w", os.ErrNotExist), Failed, "yan-tool: open: file does not exist\n"},
		{"work", Usage("--count %d: %w", 7, os.ErrInvalid), BadUsage, "yan-tool: --count 7: invalid argument (see yan-tool work --help)\n"},
		{"work", fmt.Errorf("wrapped: %w", Usage("bad")), BadUsage, "yan-tool: wrapped: bad (see yan-tool work --help)\n"},
		{"work", fmt.Errorf("wrapped: %w", ownUsage{true}), BadUsage, "yan-tool: wrapped: own (see yan-tool work --help)\n"},
		{"work", ownUsage{false}, Failed, "yan-tool: own\n"},
		{"work --nonsense", nil, BadUsage, "yan-tool: unknown flag: --nonsense (see yan-tool work --help)\n"},
		{"work --count many", nil, BadUsage, "invalid argument \"many\""},
		{"work more", nil, BadUsage, "unknown command \"more\" for \"yan-tool work\""},
		{"strict", nil, BadUsage, "required flag(s) \"must\" not set"},
		{"nonsense", nil, BadUsage, "unknown command \"nonsense\" for \"yan-tool\""},
		{"wrok", nil, BadUsage, "Did you mean this? work"},
		{"skill nonsense", nil, BadUsage, "unknown command \"nonsense\" for \"yan-tool skill\""},
	}
	for _, tt := range tests {
		var out, errs bytes.Buffer
		root := tool(func(cmd *cobra.Command) error { return tt.err })
		status := Run(t.Context(), root, strings.Fields(tt.args), &out, &errs)
		if status != tt.status {
			t.Errorf("%q: status %d, want %d (%s)", tt.args, status, tt.status, errs.String())
		}
		if !strings.Contains(errs.String(), tt.says) || tt.says == "" && errs.Len() > 0 {
			t.Errorf("%q: says %q, want %q", tt.args, errs.String(), tt.says)
		}
		if strings.Count(errs.String(), "\n") > 1 {
			t.Errorf("%q: more than one line: %q", tt.args, errs.String())
		}
		if status != Done && out.Len() > 0 {
			t.Errorf("%q: a failure writes %q on stdout", tt.args, out.String())
		}
	}
}

// A context that ends for another reason than a signal is an ordinary failure.
func TestCancelledElsewhere(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs bytes.Buffer
	status := Run(ctx, tool(func(cmd *cobra.Command) error { return cmd.Context().Err() }), []string{"work"}, io.Discard, &errs)
	if status != Failed || errs.String() != "yan-tool: context canceled\n" {
		t.Errorf("status %d, %q", status, errs.String())
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if status := Run(t.Context(), tool(nil), []string{"--version"}, &out, io.Discard); status != Done {
		t.Errorf("status %d", status)
	}
	if !strings.HasPrefix(out.String(), "yan-tool version ") || !strings.Contains(out.String(), "go1.") {
		t.Errorf("says %q", out.String())
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, map[string]any{"a<b": 1, "n": []int{}}); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "{\n  \"a<b\": 1,\n  \"n\": []\n}\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	if err := JSON(&b, math.NaN()); err == nil {
		t.Error("NaN became JSON")
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.00 kB", 1254: "1.25 kB", 34_120_000: "34.1 MB", 999_499: "999 kB",
		999_500: "1.00 MB", 9_999_999: "10.0 MB", 128_000_000_000: "128 GB", -1500: "-1.50 kB", math.MaxInt64: "9.22 EB", math.MinInt64: "-9.22 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 s", 17: "17 ns", 1500: "1.50 µs", 12 * time.Millisecond: "12.0 ms",
		999_499 * time.Microsecond: "999 ms", 999_500 * time.Microsecond: "1.00 s", 59_949 * time.Millisecond: "59.9 s",
		59_950 * time.Millisecond: "1 min 0 s", 245 * time.Second: "4 min 5 s", time.Hour - time.Millisecond: "1 h 0 min",
		2*time.Hour + 3*time.Minute: "2 h 3 min", 76 * time.Hour: "3 d 4 h", -time.Second: "-1.00 s", 24*time.Hour - time.Second: "1 d 0 h"} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %q, want %q", int64(d), got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 13784: "13,784", -1: "-1", -123: "-123", -1234567: "-1,234,567",
		math.MinInt64: "-9,223,372,036,854,775,808"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable("set", "bits", "share", "note")
	table.Row("größe", 2.0312345, "12 %", "a\nb")
	table.Row("x", 13.5, "", nil)
	var b bytes.Buffer
	if err := table.Fprint(&b); err != nil {
		t.Fatal(err)
	}
	want := `
set     bits  share  note
-----  -----  -----  -----
größe  2.031   12 %  a b
x       13.5         <nil>
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("printed%swant%s", got, want)
	}
	b.Reset()
	if err := NewTable("only", "a header").Fprint(&b); err != nil || b.String() != "only  a header\n----  --------\n" {
		t.Errorf("an empty table prints %q, %v", b.String(), err)
	}
}

// Where no terminal is, there is a line every five seconds and nothing for what is over before.
func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := NewProgress(&b, "learning", 60_000, "events")
		for range 12 {
			pass(time.Second)
			p.Add(2000)
		}
		p.Done()
		p.Done()
		p.Add(1)
		want := "learning: 10,000 events of 60,000 events (16 %), 2,000 events/s, 25.0 s left\n" +
			"learning: 20,000 events of 60,000 events (33 %), 2,000 events/s, 20.0 s left\n"
		if b.String() != want {
			t.Errorf("said\n%swant\n%s", b.String(), want)
		}

		b.Reset()
		p = NewProgress(&b, "learning", 60_000, "events")
		p.Note("not seen")
		p.Note("3 skills")
		pass(5 * time.Second)
		p.Add(2000)
		p.Done()
		if want := "learning: 2,000 events of 60,000 events (3 %), 400 events/s, 2 min 25 s left, 3 skills\n"; b.String() != want {
			t.Errorf("said %q, want %q", b.String(), want)
		}

		b.Reset()
		p = NewProgress(&b, "reading", -1, "B")
		pass(10 * time.Second)
		p.Set(3_000_000)
		p.Done()
		if want := "reading: 3.00 MB, 300 kB/s\n"; b.String() != want {
			t.Errorf("said %q, want %q", b.String(), want)
		}
	})
}

// On a terminal a bar shows after a moment, with rate and time left, and is gone at the end.
func TestProgressBar(t *testing.T) {
	for _, total := range []int64{1000, -1} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			p := NewProgress(&b, "learning", total, "events")
			p.bar = newBar(&b, "learning", total, "events")
			p.Add(100)
			pass(barDelay - time.Millisecond)
			p.Add(100)
			if b.Len() > 0 {
				t.Errorf("showed %q at once", b.String())
			}
			pass(2 * time.Second)
			p.Add(100)
			for _, want := range []string{"learning", "events/s", "300"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("total %d: the bar %q has no %q", total, b.String(), want)
				}
			}
			p.Set(max(total, 400))
			pass(time.Second)
			p.Done()
			if strings.Contains(b.String(), "\n") || !strings.HasSuffix(b.String(), "\r") {
				t.Errorf("total %d: the bar is not cleared: %q", total, b.String())
			}
		})
	}
}

// What is over in a moment leaves a terminal as it was.
func TestProgressBarOfAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := NewProgress(&b, "learning", 10, "events")
		p.bar = newBar(&b, "learning", 10, "events")
		p.Add(10)
		p.Done()
		if b.Len() > 0 {
			t.Errorf("wrote %q", b.String())
		}
	})
}

func TestIsTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if IsTerminal(w) || IsTerminal(&bytes.Buffer{}) || IsTerminal(nil) {
		t.Error("a pipe or a buffer is taken for a terminal")
	}
}

// pass lets time go by in a bubble.
func pass(d time.Duration) { <-time.After(d) }
