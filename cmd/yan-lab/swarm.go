package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

func swarmCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "swarm",
		Short: "What many devices know together, and what that costs, beside averaging and a server",
		Long: `swarm asks whether a swarm is smarter than its devices, and in how many exchanges and bytes it becomes so, in worlds in
which the usual ways stand beside ours: parameters averaged by gossip, and federated averaging with a server.`,
	}
	c.AddCommand(swarmDigitsCommand(), swarmTextCommand(), swarmRolesCommand(), swarmTeacherCommand())
	return c
}

// A footing is where a way of learning together stands after so many exchanges.
type footing struct {
	exchanges int
	sent      float64 // bytes that a device has sent, in the mean
	right     float64 // share, in the mean of the devices that were asked
	least     float64 // of the worst of them
	bits      float64 // a byte, of texts
}

// A path is how one way went in one world.
type path struct {
	way     string
	stands  []footing
	seconds float64 // of CPU
}

func (p path) last() footing { return p.stands[len(p.stands)-1] }

// reaches is the first footing of at least a share; ok says whether there is one.
func (p path) reaches(share float64) (s footing, ok bool) {
	at := slices.IndexFunc(p.stands, func(s footing) bool { return s.right >= share })
	if at < 0 {
		return s, false
	}
	return p.stands[at], true
}

// best is the most that was right at any time.
func (p path) best() float64 {
	return slices.MaxFunc(p.stands, func(a, b footing) int { return cmp.Compare(a.right, b.right) }).right
}

// A swarmRow is one way over all seeds. What is reached in some worlds alone has the mean over those, and says in how many.
type swarmRow struct {
	Way       string  `json:"way"`
	Right     spread  `json:"right"` // at the end
	Worst     spread  `json:"worst_device"`
	Best      spread  `json:"best"`
	Bits      *spread `json:"bits_per_byte,omitempty"` // of texts, at the end
	Sent      spread  `json:"sent_bytes"`              // by a device, in all
	Exchanges spread  `json:"exchanges"`               // in all
	Reached   int     `json:"worlds_reached"`
	Until     *spread `json:"exchanges_to_target,omitempty"`
	Cost      *spread `json:"sent_bytes_to_target,omitempty"`
	Seconds   spread  `json:"cpu_seconds"`
}

type swarmReport struct {
	World  string     `json:"world"`
	Data   string     `json:"data"`
	Seeds  int        `json:"seeds"`
	Target float64    `json:"target"`
	Rows   []swarmRow `json:"rows"`
}

// sum makes rows of the paths of all seeds, in the order in which ways came first.
func (r *swarmReport) sum(paths []path) {
	var ways []string
	of := map[string][]path{}
	for _, p := range paths {
		if of[p.way] == nil {
			ways = append(ways, p.way)
		}
		of[p.way] = append(of[p.way], p)
	}
	for _, way := range ways {
		all := func(value func(path) float64) spread {
			var v []float64
			for _, p := range of[way] {
				v = append(v, value(p))
			}
			return over(v)
		}
		row := swarmRow{
			Way:       way,
			Right:     all(func(p path) float64 { return p.last().right }),
			Worst:     all(func(p path) float64 { return p.last().least }),
			Best:      all(path.best),
			Sent:      all(func(p path) float64 { return p.last().sent }),
			Exchanges: all(func(p path) float64 { return float64(p.last().exchanges) }),
			Seconds:   all(func(p path) float64 { return p.seconds }),
		}
		if of[way][0].last().bits > 0 {
			bits := all(func(p path) float64 { return p.last().bits })
			row.Bits = &bits
		}
		var until, cost []float64
		for _, p := range of[way] {
			if s, ok := p.reaches(r.Target); ok {
				until, cost = append(until, float64(s.exchanges)), append(cost, s.sent)
			}
		}
		if row.Reached = len(until); row.Reached > 0 {
			a, b := over(until), over(cost)
			row.Until, row.Cost = &a, &b
		}
		r.Rows = append(r.Rows, row)
	}
}

func (r *swarmReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s\n%d seeds: mean (least to most)\n\n", r.World, r.Seeds)
	t := ui.NewTable("way", "right", "worst device", "best ever", "bits a byte", "exchanges", "MB sent", fmt.Sprintf("exchanges to %.4g %%", 100*r.Target), "MB until then", "CPU-s")
	for _, row := range r.Rows {
		until, cost, bits := "never", "–", "–"
		if row.Bits != nil {
			bits = row.Bits.plain()
		}
		if row.Until != nil {
			until, cost = row.Until.whole(), row.Cost.mega()
			if row.Reached < r.Seeds {
				until += fmt.Sprintf(", in %d of %d", row.Reached, r.Seeds)
			}
		}
		t.Row(row.Way, percent(row.Right), percent(row.Worst), percent(row.Best), bits, row.Exchanges.whole(), row.Sent.mega(), until, cost, row.Seconds.short(1))
	}
	return t.Fprint(w)
}

// whole prints numbers that are whole in each world.
func (s spread) whole() string {
	if s.Min == s.Max {
		return fmt.Sprintf("%.0f", s.Mean)
	}
	return fmt.Sprintf("%.0f (%.0f–%.0f)", s.Mean, s.Min, s.Max)
}

// mega prints bytes in millions, small numbers of them too.
func (s spread) mega() string {
	if s.Max == 0 {
		return "0"
	}
	digits := max(0, 1-int(math.Floor(math.Log10(s.Mean/1e6))))
	return fmt.Sprintf("%.*f", digits, s.Mean/1e6)
}
