package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/cmd/internal/ui"
)

// A rival is what another program reaches with as many parameters, one thread, by seconds of processor time.
type rival struct {
	decode   map[int]float64 // tokens a second behind so many tokens
	prefill  map[int]float64 // tokens a second of so many
	resident int             // bytes of memory, with room for 16,900 tokens
}

// llama is llama.cpp (c392e50, of February 2025, built for the machine it ran on) with 16-bit weights and a memory of
// 16-bit numbers. It was measured on one core of an AMD EPYC of the Zen 4 kind with AVX-512, medians of 5 to 9 segments.
var llama = map[string]rival{
	"15M":  {map[int]float64{0: 686, 1000: 363, 4000: 170, 16000: 60}, map[int]float64{512: 4007, 4096: 1417}, 186e6},
	"110M": {map[int]float64{0: 66, 1000: 40, 4000: 24.9, 16000: 10.6}, map[int]float64{512: 489, 4096: 244}, 845e6},
}

// diagonal is PyTorch 1.13 training a diagonal recurrence of as many parameters on the same bytes a step, all of them
// active: bytes a second, medians of 5 steps on that machine.
var diagonal = map[string]float64{"5M": 2267, "25M": 519}

// tokenBytes is how many bytes of text a token of llama.cpp holds, about; one of ours is one.
const tokenBytes = 4

const theirs = `"llama.cpp": its 16-bit transformer of as many parameters; "PyTorch": its diagonal recurrence of as many. Both were measured on
one core of an AMD EPYC (Zen 4, AVX-512), by processor time. A token of llama.cpp counts as 4 bytes; a step of it is a token.
`

// printBench prints what was measured for people. Tables of what was not reached are left out.
func printBench(w io.Writer, r *speed.Report) error {
	m := r.Machine
	clock := "processor time"
	if m.Clock != "cpu" {
		clock = "time on the wall"
	}
	fmt.Fprintf(w, "%s (%s), %d processors, %s; rates are medians, by %s and with one thread where nothing else is said\n",
		m.CPU, m.Level, m.Processors, m.System, clock)
	if r.Peak.FMA > 0 {
		fmt.Fprintf(w, "peaks: %.3g GFLOP/s; reading %.3g GB/s from the second cache, %.3g GB/s from memory\n", r.Peak.FMA, r.Peak.Cache, r.Peak.Memory)
	}
	models := slices.DeleteFunc(append([]*speed.Figures{&r.Figures}, r.Shapes...), func(f *speed.Figures) bool { return f.Parameters == 0 })
	for _, t := range []*table{decodeTable(models), prefillTable(models), memoryTable(models), learnTable(models), trainTable(r.Training)} {
		if err := t.print(w); err != nil {
			return err
		}
	}
	if p := r.Pool; p != nil {
		fmt.Fprintf(w, "\nTwo threads meet within %.1f µs; a product of %.0f µs takes %.0f µs with two, %s as fast.\n",
			p.ForkJoin/1e3, p.One/1e3, p.Two/1e3, times(p.Faster))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\nnote: %s\n", n)
	}
	_, err := fmt.Fprintf(w, "\n%sMeasured in %.0f s.\n", theirs, r.Seconds)
	return err
}

// A table is rows below a line of text.
type table struct {
	*ui.Table
	title string
	rows  int
}

func newTable(title string, header ...string) *table { return &table{ui.NewTable(header...), title, 0} }

func (t *table) row(cells ...string) {
	row := make([]any, len(cells))
	for i, c := range cells {
		row[i] = c
	}
	t.rows++
	t.Row(row...)
}

func (t *table) print(w io.Writer) error {
	if t.rows == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(w, "\n%s\n\n", t.title); err != nil {
		return err
	}
	return t.Fprint(w)
}

// count prints a rate, and nothing for none.
func count(v float64) string {
	if v == 0 {
		return ""
	}
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return ui.Count(int64(v + 0.5))
}

// times prints how often one thing is another, and nothing if that is not known.
func times(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.3g×", v)
}

// part prints a share, and nothing for none.
func part(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*v)
}

func size(n int) string {
	if n == 0 {
		return ""
	}
	return ui.Bytes(int64(n))
}

// decodeTable has a column for every place of the stream.
func decodeTable(models []*speed.Figures) *table {
	var places []int
	for _, f := range models {
		for _, d := range f.Decode {
			places = append(places, d.Context)
		}
	}
	slices.Sort(places)
	places = slices.Compact(places)
	header := []string{"bytes/s at"}
	for _, at := range places {
		header = append(header, ui.Count(int64(at)))
	}
	t := newTable("Bytes read and predicted one by one, a second, at places of a stream:",
		append(header, "best at "+ui.Count(int64(slices.Min(append(places, 0)))), "spread", "flat within", "of read peak")...)
	for _, f := range models {
		if len(f.Decode) == 0 {
			continue
		}
		var own, other, bytes, steps []string
		for _, at := range places {
			mine := 0.0
			if i := slices.IndexFunc(f.Decode, func(d speed.Decode) bool { return d.Context == at }); i >= 0 {
				mine = f.Decode[i].Median
			}
			token := llama[f.Name].decode[at]
			own, other = append(own, count(mine)), append(other, count(tokenBytes*token))
			bytes, steps = append(bytes, over(mine, tokenBytes*token)), append(steps, over(mine, token))
		}
		spread := slices.MaxFunc(f.Decode, func(a, b speed.Decode) int { return cmp.Compare(a.Spread(), b.Spread()) }).Spread()
		t.row(slices.Concat([]string{f.Name}, own, []string{count(f.Decode[0].Best), part(spread), part(f.Flatness), part(f.Share)})...)
		if strings.Join(other, "") != "" {
			rest := []string{"", "", "", ""}
			t.row(slices.Concat([]string{"- llama.cpp"}, other, rest)...)
			t.row(slices.Concat([]string{"- times as many bytes"}, bytes, rest)...)
			t.row(slices.Concat([]string{"- times as many steps"}, steps, rest)...)
		}
	}
	return t
}

// over prints a as a multiple of b, and nothing if one is not known.
func over(a, b float64) string {
	if b == 0 {
		return ""
	}
	return times(a / b)
}

func prefillTable(models []*speed.Figures) *table {
	t := newTable("Bytes read ahead, a second:", "model", "how many", "bytes/s", "best", "spread", "of FMA peak", "llama.cpp", "times as many")
	for _, f := range models {
		for i, p := range f.Prefills {
			share := ""
			if i == len(f.Prefills)-1 {
				share = part(f.PrefillShare)
			}
			their := tokenBytes * llama[f.Name].prefill[p.Events]
			t.row(f.Name, ui.Count(int64(p.Events)), count(p.Median), count(p.Best), part(p.Spread()), share, count(their), over(p.Median, their))
		}
	}
	return t
}

func memoryTable(models []*speed.Figures) *table {
	t := newTable("Memory: of the weights, of a stream early and at its last place, and of the whole process there:",
		"model", "parameters", "active", "weights", "stream at 100", "at the last", "decoding", "reading ahead", "at most", "llama.cpp", "of that")
	for _, f := range models {
		if f.Resident == 0 {
			continue
		}
		their, share := llama[f.Name].resident, ""
		if their > 0 {
			share = part(float64(f.Resident) / float64(their))
		}
		t.row(f.Name, ui.Count(int64(f.Parameters)), part(f.Active), size(f.WeightBytes), size(f.Early), size(f.State),
			size(f.Decoding), size(f.Resident), size(f.PeakResident), size(their), share)
	}
	return t
}

func learnTable(models []*speed.Figures) *table {
	t := newTable("Learning from each byte after it was predicted:", "model", "predicted", "read in 32s", "learnt", "spread", "times predicted")
	for _, f := range models {
		if f.LearnStep > 0 {
			t.row(f.Name, nanoseconds(f.Step), nanoseconds(f.Forward), nanoseconds(f.LearnStep), part(f.LearnSpread), times(f.LearnRatio()))
		}
	}
	return t
}

func nanoseconds(v float64) string { return ui.Duration(time.Duration(v)) }

func trainTable(list []*speed.Training) *table {
	t := newTable("Training from scratch, bytes a second, steps of 8 times 256 (on two threads: faster on the wall):",
		"shape", "parameters", "active", "bytes/s", "best", "spread", "of FMA peak", "two threads", "PyTorch", "times as fast")
	for _, v := range list {
		if v.Segments > 0 {
			t.row(v.Name, ui.Count(int64(v.Parameters)), part(v.Active), count(v.Median), count(v.Best), part(v.Spread()), part(v.Share), times(v.Faster),
				count(diagonal[v.Name]), over(v.Median, diagonal[v.Name]))
		}
	}
	return t
}
