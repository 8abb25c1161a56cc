package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxBytes is how long a scenario may be.
const MaxBytes = 256 << 10

// maxOpen bounds brackets that are open at once, and indentation: the parser recurses.
const maxOpen = 32

// A field is a key of a mapping and what belongs there: a kind of word, a mapping, or a list of either.
type field struct {
	key, doc string

	word kind          // unless one of those below is set
	sub  func() fields // of a mapping; called when the key is there
	has  func() bool   // whether a mapping that may be missing is there
	list *list
}

type fields []field

// A list is read item by item.
type list struct {
	least, most int
	words       func() kind     // of the next item, or
	subs        func() fields   // of the next item
	write       func() []string // the words that are there
	any         func() kind     // of any word
	items       func() []fields // the mappings that are there
	fresh       func() fields   // a mapping as it is by default, which is not added
}

// words are a list of single words.
func words[T any](p *[]T, least, most int, of func(*T) kind) *list {
	fresh := true
	return &list{least: least, most: most, words: func() kind {
		if fresh {
			fresh, *p = false, nil // what is written takes the place of the default
		}
		*p = append(*p, *new(T))
		return of(&(*p)[len(*p)-1])
	}, write: func() (ws []string) {
		for i := range *p {
			ws = append(ws, of(&(*p)[i]).write())
		}
		return ws
	}, any: func() kind { return of(new(T)) }}
}

// subs are a list of mappings.
func subs[T any](p *[]T, most int, fresh T, of func(*T) fields) *list {
	return &list{most: most, subs: func() fields {
		*p = append(*p, fresh)
		return of(&(*p)[len(*p)-1])
	}, items: func() (all []fields) {
		for i := range *p {
			all = append(all, of(&(*p)[i]))
		}
		return all
	}, fresh: func() fields {
		v := fresh
		return of(&v)
	}}
}

// optional is a mapping that may be missing.
func optional[T any](p **T, fresh T, of func(*T) fields) func() fields {
	return func() fields {
		if *p == nil {
			*p = &fresh
		}
		return of(*p)
	}
}

// optionally is a word that may be missing.
func optionally[T any](p **T, of func(*T) kind) kind {
	k := of(new(T))
	read := func(w string) error {
		v := new(T)
		if err := of(v).read(w); err != nil {
			return err
		}
		*p = v
		return nil
	}
	k.read = read
	k.write = func() string {
		if *p == nil {
			return ""
		}
		return of(*p).write()
	}
	return k
}

// Parse reads a scenario. Errors name the file and are one line.
func Parse(file string, b []byte) (*Scenario, error) {
	s := Default()
	r := reader{file: file}
	if err := r.scenario(b, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// A reader reads one file.
type reader struct{ file string }

func (r reader) wrong(line int, format string, args ...any) error {
	at := r.file
	if line > 0 {
		at += ":" + strconv.Itoa(line)
	}
	return fmt.Errorf("%s: %w", at, fmt.Errorf(format, args...))
}

func (r reader) scenario(b []byte, s *Scenario) (err error) {
	if err := r.sane(b); err != nil {
		return err
	}
	defer func() { // a fault of the parser's must not end the program over a user's file
		if p := recover(); p != nil {
			err = r.wrong(0, "this is no YAML that can be read: begin from a built-in scenario")
		}
	}()
	f, err := parser.ParseBytes(b, 0)
	if err != nil {
		return r.syntax(err)
	}
	switch {
	case len(f.Docs) == 0 || f.Docs[0].Body == nil:
		return r.wrong(0, "there is nothing in it: begin from a built-in scenario")
	case len(f.Docs) > 1:
		return r.wrong(0, "%d documents: a file has one scenario: divide it", len(f.Docs))
	}
	if err := r.mapping("", f.Docs[0].Body, s.fields()); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		key, _, _ := strings.Cut(err.Error(), ":")
		return r.wrong(lineOf(f.Docs[0].Body, key), "%w", err)
	}
	return nil
}

// sane refuses what the parser should not see.
func (r reader) sane(b []byte) error {
	switch {
	case len(b) > MaxBytes:
		return r.wrong(0, "%d bytes: a scenario has at most %d: put texts into files of their own", len(b), MaxBytes)
	case !utf8.Valid(b):
		return r.wrong(0, "this is not UTF-8 text: save it as such")
	}
	open, line, indent, begun := 0, 1, 0, false
	for _, c := range string(b) {
		switch {
		case c == '\n':
			line, indent, begun = line+1, 0, false
			continue
		case c == '\r':
			continue
		case unicode.IsControl(c):
			return r.wrong(line, "a control character (%U): write plain text, with blanks for indentation", c)
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			open = max(open-1, 0)
		case c == ' ' || c == '-' || c == '?':
			if !begun {
				indent++
			}
		default:
			begun = true
		}
		if open > maxOpen || indent > 4*maxOpen {
			return r.wrong(line, "nested too deeply: no scenario needs more than a few levels")
		}
	}
	return nil
}

// syntax is an error of the parser's, as one line.
func (r reader) syntax(err error) error {
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
		return r.wrong(e.GetToken().Position.Line, "%s: check the indentation, colons and quotes", strings.Join(strings.Fields(e.GetMessage()), " "))
	}
	return r.wrong(0, "%s: check the indentation, colons and quotes", strings.Join(strings.Fields(err.Error()), " "))
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// pairs are the keys and values of a mapping.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// lineOf is where a key of the outermost mapping is, or 0.
func lineOf(n ast.Node, key string) int {
	key, _, _ = strings.Cut(key, ".")
	key, _, _ = strings.Cut(key, "[")
	values, _ := pairs(n)
	for _, v := range values {
		if v.Key.String() == key {
			return line(v.Key)
		}
	}
	return 0
}

func (r reader) mapping(at string, n ast.Node, fs fields) error {
	values, ok := pairs(n)
	if !ok {
		return r.wrong(line(n), "%s%s: a mapping belongs here: write one of %s and a colon", prefix(at), shown(n), fs.keys())
	}
	seen := map[string]bool{}
	for _, v := range values {
		key := v.Key.GetToken().Value
		name := strings.TrimPrefix(at+"."+key, ".")
		i := slices.IndexFunc(fs, func(f field) bool { return f.key == key })
		switch {
		case i < 0:
			return r.wrong(line(v.Key), "%s: no such key: there is %s", name, fs.keys())
		case seen[key]:
			return r.wrong(line(v.Key), "%s: this key is here twice: keep one", name)
		}
		seen[key] = true
		if err := r.value(name, v.Value, fs[i]); err != nil {
			return err
		}
	}
	return nil
}

func prefix(at string) string {
	if at == "" {
		return ""
	}
	return at + ": "
}

func (fs fields) keys() string {
	var ks []string
	for _, f := range fs {
		ks = append(ks, f.key)
	}
	return strings.Join(ks, ", ")
}

// shown is a node in an error.
func shown(n ast.Node) string {
	s := strings.Join(strings.Fields(n.String()), " ")
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return strconv.Quote(s)
}

func (r reader) value(at string, n ast.Node, f field) error {
	switch {
	case f.sub != nil:
		return r.mapping(at, n, f.sub())
	case f.list == nil:
		return r.word(at, n, f.word)
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return r.wrong(line(n), "%s: %s: a list belongs here: write [a, b], or a line with a dash for each", at, shown(n))
	}
	if k := len(seq.Values); k < f.list.least || k > f.list.most {
		return r.wrong(line(n), "%s: a list of %d: it has %d to %d items", at, k, f.list.least, f.list.most)
	}
	for i, item := range seq.Values {
		name := fmt.Sprintf("%s[%d]", at, i+1)
		var err error
		if f.list.words != nil {
			err = r.word(name, item, f.list.words())
		} else {
			err = r.mapping(name, item, f.list.subs())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r reader) word(at string, n ast.Node, k kind) error {
	w, ok := "", false
	switch n := n.(type) {
	case *ast.StringNode:
		w, ok = n.Value, true
	case *ast.LiteralNode:
		w, ok = n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		w, ok = n.GetToken().Value, true
	}
	if !ok || k.read(w) != nil {
		return r.wrong(line(n), "%s: %s: write %s", at, shown(n), k.says)
	}
	return nil
}
