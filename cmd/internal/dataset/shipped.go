package dataset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// corpusBytes is about how long the shipped corpus is; it ends with a whole passage.
const corpusBytes = 192 << 10

// ShippedNames lists what Shipped knows.
func ShippedNames() []string {
	return append([]string{"corpus", "verse", "prose", "commands"}, Intents()...)
}

// Shipped returns data that the project brings along, or nil where it has none of that name:
//
//	corpus    all three domains below in turn, so that a cut anywhere leaves each on both sides
//	verse     dialogue in lines, a speaker's name above each speech
//	prose     articles as an encyclopaedia has them, about things that do not exist
//	commands  what one says to a device, except about music, weather and booking
//
// and, as utterances, the name of every intent that Commands knows. Music, weather and booking are
// kept out of the corpus: to a model trained on it they are new skills.
func Shipped(name string) *Data {
	d := &Data{Arg: builtin + ":" + name, Kind: Text, Note: "the " + name + " the project generates"}
	switch name {
	case "corpus":
		d.Items = []Item{{Text: passages(corpusBytes, verse, prose, orders)}}
	case "verse":
		d.Items = []Item{{Text: passages(corpusBytes/3, verse)}}
	case "prose":
		d.Items = []Item{{Text: passages(corpusBytes/3, prose)}}
	case "commands":
		d.Items = []Item{{Text: passages(corpusBytes/3, orders)}}
	default:
		list := Commands(name, 600, 1)
		if list == nil {
			return nil
		}
		d.Kind = Lines
		for _, text := range list {
			d.Items = append(d.Items, Item{Label: name, Text: text})
		}
	}
	return d
}

// passages takes a passage from each domain in turn, always from the one that has given least,
// until there are size bytes.
func passages(size int, domains ...func(*chance) string) string {
	var b strings.Builder
	given := make([]int, len(domains))
	streams := make([]*chance, len(domains))
	for i := range domains {
		streams[i] = newChance(uint64(i), "corpus")
	}
	for b.Len() < size {
		least := slices.Index(given, slices.Min(given))
		text := domains[least](streams[least])
		given[least] += len(text)
		b.WriteString(text)
	}
	return b.String()
}

// Intents lists the intents that Commands knows, sorted.
func Intents() []string { return slices.Sorted(maps.Keys(intents)) }

// Commands returns n spoken commands of one intent, different where the grammar has that many, or
// nil for an intent it does not know. The list for a smaller n is the beginning of that for a larger.
func Commands(intent string, n int, seed uint64) []string {
	if intents[intent] == nil {
		return nil
	}
	c := newChance(seed, "commands "+intent)
	g := commandWords.with(grammar{"command": intents[intent]})
	out := make([]string, 0, n)
	seen := map[string]bool{}
	for len(out) < n {
		text := g.say(c, "{command}")
		for try := 0; seen[text] && try < 50; try++ {
			text = g.say(c, "{command}")
		}
		seen[text] = true
		out = append(out, text)
	}
	return out
}

// verse is one scene: a place, then speeches in turn among a few speakers.
func verse(c *chance) string {
	var b strings.Builder
	g := verseWords
	speakers := some(c, g["speaker"], c.between(2, 4))
	fmt.Fprintf(&b, "%s\n\n", g.say(c, "{scene}"))
	last := -1
	for range c.between(5, 10) {
		who := c.below(len(speakers))
		if who == last {
			who = (who + 1) % len(speakers)
		}
		// Whom a speaker calls by name is always somebody who is there.
		there := g.with(grammar{"name": {title(strings.ToLower(speakers[(who+1)%len(speakers)]))}})
		fmt.Fprintf(&b, "%s:\n", speakers[who])
		if last >= 0 && c.below(3) == 0 {
			fmt.Fprintf(&b, "%s\n", there.say(c, "{^reply}"))
		}
		for rest := c.between(0, 4); rest >= 0; rest-- {
			line := there.say(c, "{^line}")
			if rest == 0 && !strings.HasSuffix(line, "?") {
				line = strings.TrimRight(line, ",.") + "." // a speech ends with a sentence
			}
			fmt.Fprintf(&b, "%s\n", line)
		}
		b.WriteByte('\n')
		last = who
	}
	return b.String()
}

// prose is one article: everything it says is about the one thing its title names.
func prose(c *chance) string {
	kind := pick(c, articles)
	me := title(coin(c))
	land := title(coin(c))
	year := c.between(1480, 1930)
	g := proseWords.with(grammar{
		"me":      {me},
		"land":    {land},
		"near":    {title(coin(c))},
		"person":  {pick(c, proseWords["given"]) + " " + title(coin(c))},
		"year":    {fmt.Sprint(year)},
		"later":   {fmt.Sprint(year + c.between(8, 90))},
		"metres":  {fmt.Sprint(c.between(3, 90) * 10)},
		"length":  {fmt.Sprint(c.between(12, 480))},
		"people":  {fmt.Sprintf("%d,%03d", c.between(2, 90), c.below(1000))},
		"percent": {fmt.Sprint(c.between(12, 80))},
	})
	var b strings.Builder
	fmt.Fprintf(&b, "= %s =\n\n", me)
	for i, sentence := range kind {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(g.say(c, sentence))
	}
	b.WriteString("\n\n")
	return b.String()
}

// orders is a handful of spoken commands, a line each, of the intents that the corpus may show.
func orders(c *chance) string {
	var b strings.Builder
	for range c.between(6, 14) {
		intent := pick(c, []string{"timer", "lights", "message", "lists", "calendar", "home"})
		fmt.Fprintf(&b, "%s\n", commandWords.with(grammar{"command": intents[intent]}).say(c, "{command}"))
	}
	b.WriteByte('\n')
	return b.String()
}
