package dataset

import (
	"fmt"
	"maps"
	"strings"
)

// chance is a stream of pseudo-random numbers, splitmix64 (Steele, Lea and Flood 2014). It is
// written out here because generated data is a contract: a library's generator may change.
type chance uint64

func newChance(seed uint64, stream string) *chance {
	c := chance(seed)
	for _, b := range []byte(stream) { // FNV-1a, so that equal seeds of different streams differ
		c = (c ^ chance(b)) * 0x100000001b3
	}
	c.next()
	return &c
}

func (c *chance) next() uint64 {
	*c += 0x9e3779b97f4a7c15
	z := uint64(*c)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n).
func (c *chance) below(n int) int { return int(c.next() >> 33 * uint64(n) >> 31) }

// between returns a number in [low, high].
func (c *chance) between(low, high int) int { return low + c.below(high-low+1) }

func pick[T any](c *chance, list []T) T { return list[c.below(len(list))] }

// some returns n different members of list, in the order they were drawn.
func some[T any](c *chance, list []T, n int) []T {
	pool := append([]T(nil), list...)
	for i := range n {
		j := i + c.below(len(pool)-i)
		pool[i], pool[j] = pool[j], pool[i]
	}
	return pool[:n:n]
}

// A grammar maps a name to its alternatives. In an alternative {name} stands for any alternative
// of that name, {^name} for one with a capital, {a name} for one behind its indefinite article.
type grammar map[string][]string

// with returns g with some names given other alternatives.
func (g grammar) with(names grammar) grammar {
	out := maps.Clone(g)
	maps.Copy(out, names)
	return out
}

// say expands text, and does not take the same alternative of a name twice in it if it can help it.
// An unknown name is a mistake in our own tables, and panics.
func (g grammar) say(c *chance, text string) string {
	var b strings.Builder
	used := map[string]bool{}
	for {
		before, rest, ok := strings.Cut(text, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			panic(fmt.Sprintf("dataset: grammar: no closing brace in %q", text))
		}
		text = after
		name, article := strings.CutPrefix(name, "a ")
		name, capital := strings.CutPrefix(name, "^")
		list, ok := g[name]
		if !ok || len(list) == 0 {
			panic(fmt.Sprintf("dataset: grammar: no rule %q", name))
		}
		choice := pick(c, list)
		for try := 0; used[choice] && try < 8; try++ {
			choice = pick(c, list)
		}
		used[choice] = true
		word := g.say(c, choice)
		if article {
			word = indefinite(word)
		}
		if capital {
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		b.WriteString(word)
	}
}

// indefinite puts a or an before an English word, by its first letter.
func indefinite(word string) string {
	if strings.ContainsRune("aeiou", rune(word[0])) && !strings.HasPrefix(word, "uni") {
		return "an " + word
	}
	return "a " + word
}

var (
	onsets = strings.Fields("b br c cl d dr f fl g gl gr h k l m n p pl r s sk st t tr v w")
	vowels = strings.Fields("a e i o u a e o ai ea")
	codas  = strings.Fields("l n r s m nd rk st ll ck th lm")
	ends   = strings.Fields("o a er en in el um is ow et")
)

// coin makes up a word that reads like English.
func coin(c *chance) string {
	w := pick(c, onsets) + pick(c, vowels) + pick(c, codas)
	if c.below(4) == 0 {
		w += pick(c, vowels) + pick(c, codas)
	}
	return w + pick(c, ends)
}

// coinAll makes up n different words, none of them in taken, and adds them to it.
func coinAll(c *chance, n int, taken map[string]bool) []string {
	var out []string
	for len(out) < n {
		if w := coin(c); !taken[w] {
			taken[w] = true
			out = append(out, w)
		}
	}
	return out
}

// title gives a word its capital.
func title(w string) string { return strings.ToUpper(w[:1]) + w[1:] }
