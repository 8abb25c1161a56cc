package api

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/sense"
	"github.com/yanmesh/yan/node"
)

// jobEvents is how many events are thought about in one job: the owner's stream waits for no more than these.
const jobEvents = 16

// A thought is one beside the owner's stream, which the node's goroutine alone may touch. The node may learn between two of its steps: what is written
// to weights that the thought reads too it hears at once, and of skills that came or went the next thought knows.
type thought = learning.Aside

// thinkOf reads a text at the beginning of a stream of its own, as the command complete does: behind a newline, with every skill behind its gate.
// The node does not change: not even gates that are due are solved.
func (s *Server) thinkOf(ctx context.Context, text []byte) (*thought, error) {
	var a *thought
	rest := sense.Text(append([]byte{'\n'}, text...))
	for len(rest) > 0 {
		n := min(len(rest), jobEvents)
		if err := s.do(ctx, func(_ time.Time, n1 *node.Node) (node.Actions, error) {
			if a == nil {
				l := n1.Learner()
				a = l.AsideOf(l.Shown())
			}
			for _, e := range rest[:n] {
				a.Step(e)
			}
			return node.Actions{}, nil
		}); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return a, nil
}

// fork returns a copy of a thought that goes another way.
func (s *Server) fork(ctx context.Context, a *thought) (c *thought, err error) {
	err = s.do(ctx, func(time.Time, *node.Node) (node.Actions, error) {
		c = a.Fork()
		return node.Actions{}, nil
	})
	return c, err
}

// A sampling says how bytes are chosen and when that ends.
type sampling struct {
	temperature float64 // 0 for the likeliest
	topP        float64 // share of the probability that is chosen from
	seed        uint64
	most        int // bytes
	stops       []string
	line        bool // the answer is one line, and blank lines before it are left out
}

// speak goes on from a thought and hands on what it says, in whole letters, until it ends; why is "stop" or "length". It says how many bytes that took.
func (s *Server) speak(ctx context.Context, a *thought, o sampling, say func(text string) error) (took int, why string, err error) {
	by := &chooser{sampling: o, rand: rand.New(rand.NewPCG(o.seed, 1))}
	cut := cutter{stops: o.stops, line: o.line}
	for why == "" {
		var said []byte
		if err := s.do(ctx, func(time.Time, *node.Node) (node.Actions, error) {
			for range jobEvents {
				if took == o.most {
					why = "length"
					break
				}
				b := by.choose(a.Expect())
				took++
				out, ended := cut.take(b)
				if said = append(said, out...); ended {
					why = "stop"
					break
				}
				a.Step(sense.Event{Byte: b})
			}
			return node.Actions{}, nil
		}); err != nil {
			return took, "", err
		}
		if why == "length" {
			said = append(said, cut.held...)
		}
		if text := strings.ToValidUTF8(string(said), string(utf8.RuneError)); text != "" {
			if err := say(text); err != nil {
				return took, "", err
			}
		}
	}
	return took, why, nil
}

// A chooser chooses the next byte from its log-odds.
type chooser struct {
	sampling
	rand  *rand.Rand
	odds  [sense.Symbols]float64
	order []int
}

// choose draws a byte: from the fewest that have topP of the probability together, the nucleus (Holtzman et al. 2020).
func (c *chooser) choose(logits []float32) byte {
	top := slices.Max(logits)
	if c.temperature <= 0 {
		return byte(slices.Index(logits, top))
	}
	var all float64
	c.order = c.order[:0]
	for i, v := range logits {
		c.odds[i] = math.Exp(float64(v-top) / c.temperature)
		all += c.odds[i]
		c.order = append(c.order, i)
	}
	if c.topP < 1 {
		slices.SortStableFunc(c.order, func(i, j int) int { return cmp.Compare(c.odds[j], c.odds[i]) })
		var sum float64
		for n, i := range c.order {
			if sum += c.odds[i]; sum >= c.topP*all {
				c.order, all = c.order[:n+1], sum
				break
			}
		}
	}
	at := c.rand.Float64() * all
	for _, i := range c.order {
		if at -= c.odds[i]; at < 0 {
			return byte(i)
		}
	}
	return byte(c.order[0])
}

// A cutter ends a text before a stop word, and holds back what may become one and what is not yet a whole letter.
type cutter struct {
	stops []string
	line  bool
	begun bool
	held  []byte
}

// take takes in a byte and returns what can be said, and whether the text ends here. What it returns is good until the next.
func (c *cutter) take(b byte) (said []byte, ended bool) {
	if c.line && b == '\n' {
		if c.begun {
			return c.held, true
		}
		return nil, false // what comes before the line
	}
	c.begun = true
	c.held = append(c.held, b)
	keep := 0
	for _, stop := range c.stops {
		if bytes.HasSuffix(c.held, []byte(stop)) {
			return c.held[:len(c.held)-len(stop)], true
		}
		for n := min(len(stop)-1, len(c.held)); n > keep; n-- {
			if strings.HasPrefix(stop, string(c.held[len(c.held)-n:])) {
				keep = n
			}
		}
	}
	n := whole(c.held[:len(c.held)-keep])
	said = c.held[:n:n]
	c.held = append([]byte(nil), c.held[n:]...)
	return said, false
}

// whole is how many bytes of b stand before a letter that has only begun at its end.
func whole(b []byte) int {
	for n := len(b) - 1; n >= 0 && len(b)-n < utf8.UTFMax; n-- {
		if utf8.RuneStart(b[n]) {
			if !utf8.FullRune(b[n:]) {
				return n
			}
			break
		}
	}
	return len(b)
}
