// Package dataset is what the commands learn from: the data a user names as kind:path, and the
// data the project brings along so that every command works on a fresh machine.
//
// The main types are Data, one opened argument of text, Set, labelled examples of another sense, and
// Persona, one user of many with words of their own. Open and OpenSet read an argument; Shipped,
// Commands, Personas, Strokes, Tones and Motions generate what needs no file.
//
// Whatever is generated here is a function of its arguments alone: the same call gives the same
// bytes on every machine and with every Go release. Bytes read from files are passed on as they
// are, valid UTF-8 or not. The package does not turn text into events. The order of a stream is its
// time, and nothing but Shuffle, which a caller asks for, changes it.
package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The kinds of data argument that become streams here, and where generated data comes from.
const (
	Text    = "text"    // a file's bytes
	Lines   = "lines"   // one utterance a line
	TSV     = "tsv"     // label, tab, text
	builtin = "shipped" // data of the project's own, by name
)

// otherKinds are kinds that a data argument may have elsewhere, but that carry no text.
var otherKinds = []string{"images", "sound", "sensors", "frames", "track"}

// maxFile bounds what is read into memory from one file.
const maxFile = 1 << 30

// Data is one data argument, opened and read.
type Data struct {
	Arg   string // as the user wrote it
	Kind  string // Text, Lines or TSV
	Path  string // the file that was read; empty for generated data
	Items []Item // one for Text, one per utterance for the others, in the order of the file
	Note  string // where it came from, for people
}

// Item is one utterance, with its label where the data has one.
type Item struct{ Label, Text string }

// An argumentError says that a data argument makes no sense whatever the files are.
type argumentError string

func (e argumentError) Error() string { return string(e) }

// Usage marks the error as bad usage: the command line must change, not the machine.
func (argumentError) Usage() bool { return true }

// Open reads the data that arg names:
//
//	text:FILE     the bytes of a file
//	lines:FILE    one utterance a line; blank lines are skipped
//	tsv:FILE      label<TAB>text, further columns ignored
//	shipped:NAME  data of the project's own (see Shipped)
//
// A tsv FILE may be followed by #LABEL or #LABEL,LABEL to keep the lines of those labels alone. A
// relative FILE that does not exist as given is looked up in the data folder (see Root). Every
// error is one line that names the argument and says what to do; those that only another command
// line can mend have a method Usage that returns true.
func Open(arg string) (*Data, error) {
	kind, name, ok := strings.Cut(arg, ":")
	shown := arg // in errors, which are one line
	if strings.ContainsFunc(arg, unicode.IsControl) {
		shown = strconv.Quote(arg)
	}
	switch {
	case !ok:
		return nil, argumentError(fmt.Sprintf("dataset: %q is not kind:path: write text:FILE, lines:FILE or tsv:FILE", arg))
	case slices.Contains(otherKinds, kind):
		return nil, argumentError(fmt.Sprintf("dataset: %s: this command reads text:, lines: and tsv: data, not %s:", shown, kind))
	case kind != Text && kind != Lines && kind != TSV && kind != builtin:
		return nil, argumentError(fmt.Sprintf("dataset: %s: unknown kind %q: this command reads text:, lines: and tsv: data", shown, kind))
	case name == "":
		return nil, argumentError(fmt.Sprintf("dataset: %s: no name after the colon: write %s:FILE", shown, kind))
	}
	if kind == builtin {
		d := Shipped(name)
		if d == nil {
			return nil, argumentError(fmt.Sprintf("dataset: %s: no such shipped data: there is %s", shown, strings.Join(ShippedNames(), ", ")))
		}
		return d, nil
	}

	var labels []string
	path, note, err := locate(name)
	if file, list, ok := strings.Cut(name, "#"); err != nil && kind == TSV && ok {
		path, note, err = locate(file)
		labels = strings.Split(list, ",")
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", shown, err)
	}
	d := &Data{Arg: arg, Kind: kind, Path: path, Note: note}
	if err := d.read(); err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", shown, err)
	}
	if labels != nil {
		if err := d.keep(labels); err != nil {
			return nil, fmt.Errorf("dataset: %s: %w", shown, err)
		}
	}
	return d, nil
}

// locate finds the file a user named: as given, then under the data folder.
func locate(name string) (path, note string, err error) {
	_, err = os.Stat(name)
	if err == nil {
		return name, "the file " + name, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("cannot be read: %w: name another file", bare(err))
	}
	if filepath.IsAbs(name) {
		return "", "", errors.New("no such file: check the name")
	}
	root, ok := Root()
	if !ok {
		return "", "", errors.New("no such file, and there is no data folder to look in: check the name, or set $YAN_DATA to the folder")
	}
	path = filepath.Join(root, name)
	if _, err := os.Stat(path); err != nil {
		return "", "", fmt.Errorf("no such file, neither here nor in the data folder %s: check the name, or set $YAN_DATA to another folder", root)
	}
	return path, name + " from the data folder " + root, nil
}

// bare drops the operation and path that package os puts before the reason.
func bare(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// read fills d.Items from d.Path.
func (d *Data) read() error {
	info, err := os.Stat(d.Path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w: check the file", bare(err))
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory: name a file in it", d.Path)
	}
	f, err := os.Open(d.Path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w: check the file", bare(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("cannot be read: %w: check the file", bare(err))
	}
	if len(b) > maxFile {
		return fmt.Errorf("%s is larger than the %d MiB that one argument may hold: cut it into several files", d.Path, maxFile>>20)
	}
	if len(b) == 0 {
		return fmt.Errorf("%s is empty: name a file with something in it", d.Path)
	}
	if d.Kind == Text {
		d.Items = []Item{{Text: string(b)}}
		return nil
	}
	number := 0
	for line := range bytes.Lines(b) {
		number++
		text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
		if strings.TrimSpace(text) == "" {
			continue
		}
		var item Item
		if d.Kind == TSV {
			label, rest, ok := strings.Cut(text, "\t")
			if !ok {
				return fmt.Errorf("line %d of %s has no tab: each line is label<TAB>text", number, d.Path)
			}
			item.Label = label
			text, _, _ = strings.Cut(rest, "\t")
		}
		item.Text = text
		d.Items = append(d.Items, item)
	}
	if len(d.Items) == 0 {
		return fmt.Errorf("%s has only blank lines: name a file with something in it", d.Path)
	}
	return nil
}

// keep drops the items whose label is not listed.
func (d *Data) keep(labels []string) error {
	var known, kept []string
	for _, it := range d.Items {
		if !slices.Contains(known, it.Label) {
			known = append(known, it.Label)
		}
	}
	for _, l := range labels {
		if !slices.Contains(known, l) {
			return argumentError(fmt.Sprintf("no line of %s has the label %q: it has %s", d.Path, l, shorten(known)))
		}
		kept = append(kept, l)
	}
	d.Items = slices.DeleteFunc(d.Items, func(it Item) bool { return !slices.Contains(kept, it.Label) })
	d.Note += ", labels " + strings.Join(kept, " and ")
	return nil
}

// shorten joins a list for an error message that has to stay on one line.
func shorten(list []string) string {
	const most = 8
	var b strings.Builder
	for i, l := range list {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(list)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(l))
	}
	return b.String()
}

// Bytes returns the event stream: the file itself for Text, every utterance and a newline for the
// others. The slice belongs to the caller.
func (d *Data) Bytes() []byte {
	var b bytes.Buffer
	for _, it := range d.Items {
		b.WriteString(it.Text)
		if d.Kind != Text {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// Shuffle brings the items into another order, always the same one for as many items. Utterances that
// were collected a label at a time are no stream, and a tail cut off by Split would be all of one label.
// A text has one item, and stays as it is.
func (d *Data) Shuffle() {
	r := rand.New(rand.NewPCG(1, 0)) // fixed for good: trainings that were stopped go on with this order
	r.Shuffle(len(d.Items), func(i, j int) { d.Items[i], d.Items[j] = d.Items[j], d.Items[i] })
}

// Split cuts the tail off in time order: held is the share holdout of the bytes of a text, of the
// items of the other kinds, and train is what comes before. A share above nothing and below all
// leaves neither side empty where there are two bytes or items to share out; any other share is
// taken as 0 or 1, and then one side has no items.
func (d *Data) Split(holdout float64) (train, held *Data) {
	size := len(d.Items)
	if d.Kind == Text && size > 0 {
		size = len(d.Items[0].Text)
	}
	cut := size - heldOut(size, holdout)

	train, held = new(Data), new(Data)
	*train, *held = *d, *d
	train.Note = fmt.Sprintf("%s (all before the last %.3g %%)", d.Note, 100*float64(size-cut)/float64(max(size, 1)))
	held.Note = fmt.Sprintf("%s (the last %.3g %%)", d.Note, 100*float64(size-cut)/float64(max(size, 1)))
	if d.Kind != Text || size == 0 {
		train.Items, held.Items = slices.Clip(d.Items[:cut]), d.Items[cut:]
		return train, held
	}
	train.Items, held.Items = []Item{d.Items[0]}, []Item{d.Items[0]}
	train.Items[0].Text, held.Items[0].Text = d.Items[0].Text[:cut], d.Items[0].Text[cut:]
	return train, held
}

// heldOut is how many of size units the share takes.
func heldOut(size int, share float64) int {
	switch {
	case !(share > 0): // NaN too
		return 0
	case share >= 1:
		return size
	}
	n := int(math.Round(share * float64(size)))
	if size >= 2 {
		n = min(max(n, 1), size-1)
	}
	return n
}

// Root returns the data folder: $YAN_DATA where it is set, else ../shared/data seen from the
// working directory or from the root of the module it lies in. ok says whether the folder exists.
func Root() (dir string, ok bool) {
	if dir = os.Getenv("YAN_DATA"); dir != "" {
		return dir, isDir(dir)
	}
	dir = filepath.Join("..", "shared", "data")
	if isDir(dir) {
		return dir, true
	}
	at, err := os.Getwd()
	if err != nil {
		return dir, false
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			if under := filepath.Join(filepath.Dir(at), "shared", "data"); isDir(under) {
				return under, true
			}
			return dir, false
		}
		up := filepath.Dir(at)
		if up == at {
			return dir, false
		}
		at = up
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
