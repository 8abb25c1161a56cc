package main

import (
	"bytes"
	"errors"
	"slices"

	"github.com/yanmesh/yan/cmd/internal/dataset"
)

// A course is what a mind learns after its base: one lesson or several, each beside what it knew before.
type course struct {
	name    string
	note    string // where its texts come from
	base    []byte // what the base is trained on
	old     lesson // utterances of what the base knows; its test was never read
	lessons []lesson
}

// A lesson is one context as utterances. What is tuned is tuned on valid; test is for the table alone.
type lesson struct {
	name               string
	train, valid, test [][]byte
}

// A stream is a text with, for each byte, the lesson that it belongs to; known is what the base knows.
type stream struct {
	text   []byte
	lesson []int
	place  []int // how many bytes of its utterance came before
}

const known = -1

func (s *stream) add(utterance []byte, lesson int) {
	s.text = append(s.text, utterance...)
	for i := range utterance {
		s.lesson = append(s.lesson, lesson)
		s.place = append(s.place, i)
	}
}

// contiguous is one lesson and nothing else.
func contiguous(list [][]byte, lesson int) *stream {
	s := &stream{}
	for _, u := range list {
		s.add(u, lesson)
	}
	return s
}

// interleaved takes one utterance from each context in turn, that which is known first, for as long as
// all have one. An utterance ends with a newline here, as whoever speaks would end it.
func interleaved(old [][]byte, lessons ...[][]byte) *stream {
	s := &stream{}
	n := len(old)
	for _, l := range lessons {
		n = min(n, len(l))
	}
	for i := range n {
		s.add(line(old[i]), known)
		for k, l := range lessons {
			s.add(line(l[i]), k)
		}
	}
	return s
}

func line(u []byte) []byte {
	return append(bytes.TrimRight(bytes.Clone(u), " \n"), '\n')
}

// utterances cuts a text after sentences and lines, never sooner than after least bytes; put together they are the text.
func utterances(text []byte, least int) (list [][]byte) {
	from := 0
	for i, c := range text {
		ends := c == '\n' || c == ' ' && i > 1 && text[i-1] == '.' && text[i-2] == ' '
		if ends && i+1-from >= least {
			list = append(list, text[from:i+1])
			from = i + 1
		}
	}
	if from < len(text) {
		list = append(list, text[from:])
	}
	return list
}

// sizes of what is learnt and measured, in bytes.
type sizes struct{ learn, valid, test int }

// upTo takes utterances from the front until there are n bytes, and returns the rest.
func upTo(list [][]byte, n int) (front, rest [][]byte) {
	for i, u := range list {
		if n -= len(u); n <= 0 {
			return list[:i+1], list[i+1:]
		}
	}
	return list, nil
}

// cut makes a lesson of a text to learn from and one to be tested on.
func cut(name string, train, test [][]byte, z sizes) lesson {
	l := lesson{name: name}
	l.valid, train = upTo(train, z.valid)
	l.train, _ = upTo(train, z.learn)
	l.test, _ = upTo(test, z.test)
	return l
}

// least is the shortest utterance that a text is cut into.
const least = 32

// courses are the three that the table is about. The first learns a text from afar, the second one of the
// same language, the third ten in sequence.
func courses(z sizes) (list []course, err error) {
	if _, ok := dataset.Root(); !ok {
		return shippedCourses(z)
	}
	shakespeare, err1 := dataset.Open("text:tinyshakespeare/input.txt")
	valid, err2 := dataset.Open("text:wikitext2/valid.txt")
	test, err3 := dataset.Open("text:wikitext2/test.txt")
	intents, err4 := dataset.Open("tsv:snips/train_full.tsv")
	roles, ok := dataset.Roles()
	if !ok {
		err = errors.New("the data folder has no roles of tiny Shakespeare")
	}
	if err := errors.Join(err1, err2, err3, err4, err); err != nil {
		return nil, err
	}
	read, unread := shakespeare.Split(0.1)
	old := lesson{name: "Shakespeare", train: utterances(read.Bytes(), least), test: utterances(unread.Bytes(), least)}
	old.test, _ = upTo(old.test, z.test)

	far := course{name: "far", note: "wikitext-2 after tiny Shakespeare", base: read.Bytes(), old: old}
	far.lessons = []lesson{cut("wikitext-2", utterances(valid.Bytes(), least), utterances(test.Bytes(), least), z)}

	near := course{name: "near", note: "32 of Shakespeare's roles after 32 others"}
	near.fill(roles, "roles", z)

	ten := course{name: "ten", note: "seven SNIPS intents and three generated ones, one after the other, after tiny Shakespeare", base: read.Bytes(), old: old}
	part := sizes{z.learn / 10, z.valid / 10, z.test / 10}
	byIntent := map[string][][]byte{}
	for _, it := range intents.Items {
		byIntent[it.Label] = append(byIntent[it.Label], []byte(it.Text+"\n"))
	}
	var names []string
	for name := range byIntent {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		u := byIntent[name]
		at := len(u) * 4 / 5
		ten.lessons = append(ten.lessons, cut(name, u[:at], u[at:], part))
	}
	ten.generated([]string{"timer", "lights", "message"}, part)
	return []course{far, near, ten}, nil
}

// shippedCourses are smaller ones, of what the project generates.
func shippedCourses(z sizes) ([]course, error) {
	cutText := func(name string) (read, unread []byte) {
		a, b := dataset.Shipped(name).Split(0.2)
		return a.Bytes(), b.Bytes()
	}
	verse, versesTest := cutText("verse")
	prose, proseTest := cutText("prose")
	old := lesson{name: "verse", train: utterances(verse, least), test: utterances(versesTest, least)}
	old.test, _ = upTo(old.test, z.test)
	far := course{name: "far", note: "generated prose after generated verse", base: verse, old: old}
	far.lessons = []lesson{cut("prose", utterances(prose, least), utterances(proseTest, least), z)}
	near := course{name: "near", note: "16 generated diarists after 16 others"}
	near.fill(dataset.Personas(32, 1), "diarists", z)
	ten := course{name: "ten", note: "ten generated intents after generated verse", base: verse, old: old}
	names := dataset.Intents()
	ten.generated(names[:min(10, len(names))], sizes{z.learn / 10, z.valid / 10, z.test / 10})
	return []course{far, near, ten}, nil
}

// fill makes the first half of the people what the base knows, and the second half the lesson.
func (c *course) fill(people []dataset.Persona, name string, z sizes) {
	var train, test [2][]byte
	for i, p := range people {
		k := 2 * i / len(people)
		train[k] = append(train[k], p.Train...)
		test[k] = append(test[k], p.Test...)
	}
	c.base = train[0]
	c.old = lesson{name: "first " + name, train: utterances(train[0], least)}
	c.old.test, _ = upTo(utterances(test[0], least), z.test)
	c.lessons = []lesson{cut("other "+name, utterances(train[1], least), utterances(test[1], least), z)}
}

// generated adds lessons of generated commands.
func (c *course) generated(intents []string, z sizes) {
	for _, name := range intents {
		var u [][]byte
		for _, text := range dataset.Commands(name, (z.learn+z.valid+z.test)/16+64, 1) {
			u = append(u, []byte(text+"\n"))
		}
		at := len(u) * 4 / 5
		c.lessons = append(c.lessons, cut(name, u[:at], u[at:], z))
	}
}
