package speed

import (
	"slices"
	"time"
)

// A Rate is how many events a second each of some segments came to.
type Rate struct {
	Median   float64 `json:"events_per_second"`
	Best     float64 `json:"best"`
	Least    float64 `json:"least"`
	Segments int     `json:"segments"`
}

// Spread is how far the segments lie apart, as a share of the median: what else the machine had to do.
func (r Rate) Spread() float64 {
	if r.Median == 0 {
		return 0
	}
	return (r.Best - r.Least) / r.Median
}

// Time is how long one event takes.
func (r Rate) Time() float64 {
	if r.Median == 0 {
		return 0
	}
	return 1e9 / r.Median
}

// rate sums up segments; it is zero if there are none.
func rate(segments []float64) Rate {
	n := len(segments)
	if n == 0 {
		return Rate{}
	}
	s := slices.Sorted(slices.Values(segments))
	return Rate{Median: (s[(n-1)/2] + s[n/2]) / 2, Best: s[n-1], Least: s[0], Segments: n}
}

// A clock tells how much time has passed.
type clock func() time.Duration

// work does one segment and returns how many units it had. Segments of a round have equal texts.
type work func(round int) (units float64)

// segment makes work of something short: as often as it fits into a segment of the plan.
func (b *bench) segment(once func() float64) work {
	times := b.times(func(n int) {
		for range n {
			once()
		}
	})
	return func(int) (units float64) {
		for range times {
			units += once()
		}
		return units
	}
}

// times is how often something may be done in a segment of the plan.
func (b *bench) times(do func(times int)) int {
	for n := 1; ; n *= 2 {
		from := b.cpu()
		do(n)
		if took := b.cpu() - from; took >= b.plan.Segment/4 || n >= 1<<24 {
			return max(int(float64(n)*float64(b.plan.Segment)/float64(max(took, 1))), 1)
		}
	}
}

// enough reports whether so many rounds, begun at that time, have to do: another one would try the plan's patience. Fewer
// than the least do only where that would be tried much.
func (b *bench) enough(rounds, least int, began time.Duration) bool {
	patience := b.plan.Patience
	if rounds < least {
		patience *= 3
	}
	spent := b.cpu() - began
	return rounds > 0 && spent+spent/time.Duration(rounds) > patience
}

// turns has works take turns, each round begun by another one, and returns how many units a second each came to in
// each segment. It ends early when it was stopped, or when another round would try the plan's patience.
func (b *bench) turns(c clock, works ...work) [][]float64 {
	began := b.cpu()
	rates := make([][]float64, len(works))
	for round := range b.plan.Rounds {
		if b.enough(round, 3, began) {
			break
		}
		for k := range works {
			if b.ctx.Err() != nil {
				return rates
			}
			i := (k + round) % len(works)
			from := c()
			units := works[i](round)
			if took := c() - from; took > 0 {
				rates[i] = append(rates[i], units/took.Seconds())
			}
			b.step()
		}
	}
	return rates
}
