package dataset

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// How much each persona writes, at least; the last entry is always whole.
const (
	personaTrain = 6000
	personaTest  = 2000
)

// Persona is one user: what a device that belongs to them would see. Test continues where Train
// ends.
type Persona struct {
	Name        string
	Train, Test []byte
}

// circleSize is how many personas in a row know the same people and live in the same town.
const circleSize = 4

// Personas returns n users who write diaries in one language about different things. What they
// have in common has three levels, so that something can be gained by sharing and something lost:
//
//   - everyone uses the same sentences and the same everyday words;
//   - those who share a topic use its coined terms in the same way (each topic has six, which occur
//     nowhere else, and each persona has two topics);
//   - those of one circle of four share a town and the names of friends.
//
// A persona's favourite words, openings, sign-offs and pet are their own. The same seed gives the
// same people: Personas(n, seed) is the beginning of Personas(m, seed) for every m above n.
func Personas(n int, seed uint64) []Persona {
	c := newChance(seed, "language")
	taken := map[string]bool{}
	terms := make([][]string, len(topics))
	for i := range topics {
		terms[i] = coinAll(c, 6, taken)
	}

	out := make([]Persona, 0, n)
	for i := range n {
		circle := newChance(seed, fmt.Sprint("circle ", i/circleSize))
		town, friends := title(coin(circle)), coinAll(circle, circleSize, map[string]bool{})
		for f := range friends {
			friends[f] = title(friends[f])
		}
		me := friends[i%circleSize]
		friends = slices.Delete(friends, i%circleSize, i%circleSize+1)

		c := newChance(seed, fmt.Sprint("persona ", i))
		first := i % len(topics)
		second := (first + 1 + c.below(len(topics)-1)) % len(topics)
		w := &writer{c: c, g: diaryWords.with(grammar{
			"town":   {town},
			"friend": friends,
			"pet":    {title(coin(c))},
			"animal": {pick(c, diaryWords["animal"])},
			"mood":   some(c, diaryWords["mood"], 3),
			"open":   some(c, diaryWords["open"], 3),
			"close":  some(c, diaryWords["close"], 2),
			"chore":  some(c, diaryWords["chore"], 4),
			"time":   some(c, diaryWords["time"], 3),
		})}
		for _, t := range []int{first, first, second} { // the first topic is twice as dear
			w.topics = append(w.topics, topics[t].with(topicTerms(terms[t])))
		}
		out = append(out, Persona{
			Name:  fmt.Sprintf("%s-%03d", strings.ToLower(me), i),
			Train: w.write(personaTrain),
			Test:  w.write(personaTest),
		})
	}
	return out
}

// topicTerms names a topic's coined words by what they mean, which is the same in every topic: a
// tool, a part, a material, a fault, a skill and a place.
func topicTerms(terms []string) grammar {
	g := grammar{"term": terms}
	for i, name := range []string{"tool", "part", "stuff", "fault", "knack", "corner"} {
		g[name] = terms[i : i+1]
	}
	return g
}

// writer keeps a diary.
type writer struct {
	c      *chance
	g      grammar
	topics []grammar
}

// write adds entries, one a line, until there are size bytes.
func (w *writer) write(size int) []byte {
	var b bytes.Buffer
	for b.Len() < size {
		var parts []string
		if w.c.below(2) == 0 {
			parts = append(parts, w.g.say(w.c, "{^open}"))
		}
		for range w.c.between(1, 3) {
			if w.c.below(3) == 0 {
				parts = append(parts, w.g.say(w.c, "{^daily}"))
			} else {
				parts = append(parts, w.g.with(pick(w.c, w.topics)).say(w.c, "{^about}"))
			}
		}
		if w.c.below(3) == 0 {
			parts = append(parts, w.g.say(w.c, "{^close}"))
		}
		b.WriteString(strings.Join(parts, " ") + "\n")
	}
	return b.Bytes()
}

var diaryWords = grammar{
	"animal": words("dog cat parrot goat hen rabbit tortoise donkey"),
	"mood":   words("glad tired proud cross calm busy worried merry hungry curious late lucky"),
	"time": phrases("this morning; after lunch; in the evening; before breakfast; at noon; late at night; on the way home; all day; while it rained; " +
		"after work; at dawn; between two naps"),
	"open": phrases("dear diary,; well now.; so, another day.; good news:; listen to this:; hm.; no rest today.; not much to tell.; here we go again.; " +
		"what a day!; first things first.; up early.; bad sleep.; wind from the west.; a letter came.; sunday at last."),
	"close": phrases("more tomorrow.; that is all.; good night.; so it goes.; tea now.; and so to bed.; let us hope so.; we shall see.; enough for one day.; " +
		"my feet hurt.; back soon.; who would have thought it?"),
	"chore": phrases("swept the stairs; paid the baker; mended a sock; fed {pet}; wrote to {friend}; carried the coal; cleaned the windows; bought onions; " +
		"cut the grass; fixed the tap; boiled the jam; counted the money"),
	"daily": phrases("{pet} the {animal} ran off {time} and {friend} brought it back.; i {chore} {time}.; {friend} came over from {town} and was {mood}.; " +
		"i am {mood} today.; went to {town} {time} with {friend}.; {pet} is {mood}, like every {animal}.; {friend} and {friend} were in {town} {time}.; " +
		"i {chore}, then i {chore}.; nobody in {town} is as {mood} as {friend}."),
	"about": phrases("{time} i {did} the {thing} with the {tool}.; the {tool} is what you need when the {thing} has {fault}.; " +
		"{friend} says that {a thing} without {stuff} is worth nothing.; i rubbed {stuff} on the {part} of the {thing}.; " +
		"it takes {knack} to {do} {a thing} well.; i found {fault} in the {part} again, and was {mood}.; " +
		"the {corner} is where we keep the {tool} and the {stuff}.; never {do} the {thing} before the {part} is clean.; " +
		"bought {stuff} and {a tool} for the {thing}.; {friend} has the {knack}, i have only the {tool}.; " +
		"i was in the {corner} {time} and {did} two {thing}s.; the {part} of {a thing} is never {adj} enough.; " +
		"{adj} {stuff} is the best thing against {fault}.; how {adj} the {thing} looks with {a adj} {part}!"),
}

// topics are what a diary can be about.
var topics = []grammar{
	{"thing": words("boat sail rope hull"), "do": words("steer moor row"), "did": words("steered moored rowed"), "adj": words("tarred tight dry")},
	{"thing": words("loaf cake bun pie"), "do": words("bake glaze knead"), "did": words("baked glazed kneaded"), "adj": words("crisp sweet golden")},
	{"thing": words("rose bean hedge vine"), "do": words("prune water plant"), "did": words("pruned watered planted"), "adj": words("green ripe tall")},
	{"thing": words("bicycle wheel chain pedal"), "do": words("oil ride patch"), "did": words("oiled rode patched"), "adj": words("fast round greased")},
	{"thing": words("planet comet star lens"), "do": words("watch draw track"), "did": words("watched drew tracked"), "adj": words("bright distant faint")},
	{"thing": words("rook pawn bishop opening"), "do": words("move trade defend"), "did": words("moved traded defended"), "adj": words("cunning solid open")},
	{"thing": words("engine signal carriage rail"), "do": words("couple test stop"), "did": words("coupled tested stopped"), "adj": words("steaming heavy late")},
	{"thing": words("fiddle song drum chord"), "do": words("tune play practise"), "did": words("tuned played practised"), "adj": words("loud mellow slow")},
	{"thing": words("portrait canvas brush frame"), "do": words("paint varnish hang"), "did": words("painted varnished hung"), "adj": words("red lively wet")},
	{"thing": words("scarf loom thread carpet"), "do": words("weave dye hem"), "did": words("wove dyed hemmed"), "adj": words("woollen soft striped")},
	{"thing": words("peak trail tent glacier"), "do": words("climb map cross"), "did": words("climbed mapped crossed"), "adj": words("steep icy lonely")},
	{"thing": words("clock spring gear dial"), "do": words("wind set repair"), "did": words("wound set repaired"), "adj": words("exact tiny polished")},
}

// Roles returns the 64 speakers of tinyshakespeare as users, sorted by name, where the data folder
// has them whole; ok says so. A user's bytes are their speeches, each followed by a blank line.
func Roles() (roles []Persona, ok bool) {
	root, ok := Root()
	if !ok {
		return nil, false
	}
	folder := filepath.Join(root, "tinyshakespeare", "compact")
	train, err := readRoles(filepath.Join(folder, "roles64_train.jsonl"))
	if err != nil {
		return nil, false
	}
	test, err := readRoles(filepath.Join(folder, "roles64_test.jsonl"))
	if err != nil || len(test) != len(train) {
		return nil, false
	}
	for name, text := range train {
		if len(text) == 0 || len(test[name]) == 0 {
			return nil, false
		}
		roles = append(roles, Persona{Name: name, Train: text, Test: test[name]})
	}
	slices.SortFunc(roles, func(a, b Persona) int { return cmp.Compare(a.Name, b.Name) })
	return roles, len(roles) > 0
}

// readRoles reads one JSON object a line: {"user": name, "x": [speech, …]}.
func readRoles(path string) (map[string][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	roles := map[string][]byte{}
	s := bufio.NewScanner(f)
	s.Buffer(nil, 8<<20)
	for s.Scan() {
		var line struct {
			User string   `json:"user"`
			X    []string `json:"x"`
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			return nil, err
		}
		var b bytes.Buffer
		for _, speech := range line.X {
			b.WriteString(speech + "\n\n")
		}
		roles[line.User] = b.Bytes()
	}
	return roles, s.Err()
}
