package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The kinds of data argument that are labelled examples of another sense than text.
const (
	Images  = "images"  // IMG,LABELS: IDX files
	Sound   = "sound"   // DIR: WAV files named label_speaker_take.wav
	Sensors = "sensors" // X,Y[,WHO]: IDX files
	Frames  = "frames"  // IMG,CONTROL: IDX files; what was done, and not a label
)

// A Set is labelled examples of one sense, in the order of their file.
type Set struct {
	Arg     string   // as the user wrote it
	Kind    string   // Images, Sound, Sensors or Frames
	Note    string   // where it came from, for people
	Classes []string // what the labels mean; of Frames, what the controls are called
	Shape   []int    // of Images and Frames rows and columns, of Sensors samples and channels, of Sound nothing
	Rate    int      // of Sound: samples a second
	Items   []Example
}

// An Example is one picture, sound or window of sensors, with what it is. Its numbers are shared with
// the Set and not to be written.
type Example struct {
	Label   int       // an index into the set's classes
	Who     string    // whose it is, where the data says so
	Take    int       // the how-manieth of this person and label, where the data says so
	Pixels  []byte    // of Images and Frames, row by row
	Samples []int16   // of Sound in time; of Sensors a row of channels after the other
	Values  []float32 // of Frames, what each control was: finite
}

// maxClasses is how many labels a set may tell apart.
const maxClasses = 256

// IsSet reports whether a data argument is of examples, and for OpenSet, by what is before its colon.
func IsSet(arg string) bool {
	kind, name, _ := strings.Cut(arg, ":")
	return kind == Images || kind == Sound || kind == Sensors || kind == Frames || kind == builtin && slices.Contains(shippedSets, name)
}

// Split returns the examples but for a share of them at the end, and those: of each class its last ones, for files are often sorted; of
// Frames, the last ones in time, since neighbours are nearly alike.
func (s *Set) Split(holdout float64) (train, held *Set) {
	of := func(e Example) int { return e.Label } // 0 for all frames
	left := map[int]int{}
	for _, e := range s.Items {
		left[of(e)]++
	}
	for label, n := range left {
		left[label] = n - heldOut(n, holdout)
	}
	a, b := *s, *s
	a.Items, b.Items = nil, nil
	for _, e := range s.Items {
		if left[of(e)] > 0 {
			left[of(e)]--
			a.Items = append(a.Items, e)
		} else {
			b.Items = append(b.Items, e)
		}
	}
	return &a, &b
}

// OpenSet reads the examples that arg names:
//
//	images:IMG,LABELS     IDX files of ubyte, gzip or not
//	sound:DIR             WAV files named label_speaker_take.wav, all at one rate
//	sensors:X,Y[,WHO]     an IDX file of int16 windows, their labels, and who each belongs to
//	frames:IMG,CONTROL    camera frames, an IDX file of ubyte, and what was done then, one of float32 (n, controls)
//	shipped:strokes       digits that the project draws
//	shipped:tones         digits that the project speaks
//	shipped:motions       what the project's sensors feel
//
// Files are found as by Open, and errors are as there. A file classes.txt beside LABELS or Y names the
// classes, one a line, and controls.txt beside CONTROL the controls.
func OpenSet(arg string) (*Set, error) {
	kind, name, ok := strings.Cut(arg, ":")
	if !ok || name == "" || strings.ContainsFunc(arg, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, argumentError(fmt.Sprintf("dataset: %q is not kind:path: write images:IMG,LABELS, sound:DIR, sensors:X,Y[,WHO] or frames:IMG,CONTROL", arg))
	}
	s := &Set{Arg: arg, Kind: kind}
	var err error
	switch kind {
	case Images:
		err = s.readImages(strings.Split(name, ","))
	case Sensors:
		err = s.readSensors(strings.Split(name, ","))
	case Frames:
		err = s.readFrames(strings.Split(name, ","))
	case Sound:
		err = s.readSounds(name)
	case builtin:
		if s = shippedSet(name); s == nil {
			err = argumentError(fmt.Sprintf("no such shipped examples: there are %s", strings.Join(shippedSets, ", ")))
		}
	default:
		err = argumentError(fmt.Sprintf("unknown kind %q: examples are images:, sound:, sensors: or frames:", kind))
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", arg, err)
	}
	return s, nil
}

// array finds a file and reads it as an array of the type and number of dimensions that are needed.
func (s *Set) array(name string, kind byte, dims int) (*idx, string, error) {
	path, note, err := locate(name)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	a, err := readIDX(path)
	if err != nil {
		return nil, "", err
	}
	if len(a.shape) != dims || kind == idxUbyte && a.bytes == nil || kind == idxInt16 && a.ints == nil || kind == idxFloat && a.floats == nil {
		return nil, "", fmt.Errorf("%s has the shape %v: an array of %d dimensions of IDX type 0x%02x belongs here", path, a.shape, dims, kind)
	}
	if s.Note == "" {
		s.Note = note
	}
	return a, path, nil
}

func (s *Set) readImages(names []string) error {
	if len(names) != 2 {
		return argumentError("two files belong here: write images:IMG,LABELS")
	}
	img, path, err := s.array(names[0], idxUbyte, 3)
	if err != nil {
		return err
	}
	s.Shape = img.shape[1:]
	for i := range img.shape[0] {
		s.Items = append(s.Items, Example{Pixels: img.bytes[i*img.item():][:img.item():img.item()]})
	}
	return s.readLabels(names[1], path)
}

func (s *Set) readFrames(names []string) error {
	if len(names) != 2 {
		return argumentError("two files belong here: write frames:IMG,CONTROL")
	}
	img, path, err := s.array(names[0], idxUbyte, 3)
	if err != nil {
		return err
	}
	u, control, err := s.array(names[1], idxFloat, 2)
	if err != nil {
		return err
	}
	if u.shape[0] != img.shape[0] || u.shape[1] > maxClasses {
		return fmt.Errorf("%s has the shape %v, and %s has %d frames", control, u.shape, path, img.shape[0])
	}
	s.Shape = img.shape[1:]
	for i := range img.shape[0] {
		s.Items = append(s.Items, Example{
			Pixels: img.bytes[i*img.item():][:img.item():img.item()], Values: u.floats[i*u.item():][:u.item():u.item()]})
	}
	for c := range u.shape[1] {
		s.Classes = append(s.Classes, "control-"+strconv.Itoa(c))
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(control), "controls.txt"))
	if names := strings.Fields(string(b)); err == nil && len(names) == u.shape[1] {
		s.Classes = names
	}
	return nil
}

func (s *Set) readSensors(names []string) error {
	if len(names) != 2 && len(names) != 3 {
		return argumentError("two or three files belong here: write sensors:X,Y or sensors:X,Y,WHO")
	}
	x, path, err := s.array(names[0], idxInt16, 3)
	if err != nil {
		return err
	}
	s.Shape = x.shape[1:]
	for i := range x.shape[0] {
		s.Items = append(s.Items, Example{Samples: x.ints[i*x.item():][:x.item():x.item()]})
	}
	if err := s.readLabels(names[1], path); err != nil || len(names) == 2 {
		return err
	}
	who, whoPath, err := s.array(names[2], idxUbyte, 1)
	if err != nil {
		return err
	}
	if len(who.bytes) != len(s.Items) {
		return fmt.Errorf("%s names the owners of %d windows, and %s has %d", whoPath, len(who.bytes), path, len(s.Items))
	}
	for i, w := range who.bytes {
		s.Items[i].Who = strconv.Itoa(int(w))
	}
	return nil
}

// readLabels gives the items of the file at path their labels.
func (s *Set) readLabels(name, path string) error {
	y, labels, err := s.array(name, idxUbyte, 1)
	if err != nil {
		return err
	}
	if len(y.bytes) != len(s.Items) {
		return fmt.Errorf("%s has %d labels, and %s has %d examples", labels, len(y.bytes), path, len(s.Items))
	}
	classes := int(slices.Max(y.bytes)) + 1
	for i, c := range y.bytes {
		s.Items[i].Label = int(c)
	}
	for c := range classes {
		s.Classes = append(s.Classes, strconv.Itoa(c))
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(labels), "classes.txt"))
	if names := strings.Fields(string(b)); err == nil && len(names) >= classes && len(names) <= maxClasses {
		s.Classes = names
	}
	return nil
}

// readSounds reads every WAV file of a folder, in the order of their names.
func (s *Set) readSounds(name string) error {
	dir, note, err := locate(name)
	if err != nil {
		return err
	}
	s.Note = note
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot be read: %w: name a folder of WAV files", bare(err))
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".wav" {
			continue
		}
		ex, label, err := nameOf(e.Name())
		if err != nil {
			return fmt.Errorf("%s %w", filepath.Join(dir, e.Name()), err)
		}
		b, err := slurp(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		var rate int
		if ex.Samples, rate, err = decodeWAV(b); err != nil {
			return fmt.Errorf("%s %w", filepath.Join(dir, e.Name()), err)
		}
		if s.Rate != 0 && s.Rate != rate {
			return fmt.Errorf("%s has %d samples a second, and others %d: one folder has one rate", filepath.Join(dir, e.Name()), rate, s.Rate)
		}
		s.Rate = rate
		if ex.Label = slices.Index(s.Classes, label); ex.Label < 0 {
			ex.Label = len(s.Classes)
			s.Classes = append(s.Classes, label) // sorted, since the files are
		}
		s.Items = append(s.Items, ex)
	}
	switch {
	case len(s.Items) == 0:
		return fmt.Errorf("%s has no file that ends in .wav", dir)
	case len(s.Classes) > maxClasses:
		return fmt.Errorf("%s has more than %d labels", dir, maxClasses)
	}
	return nil
}

// nameOf takes label_speaker_take.wav apart.
func nameOf(file string) (e Example, label string, err error) {
	parts := strings.Split(strings.TrimSuffix(file, ".wav"), "_")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return e, "", errors.New("is not named label_speaker_take.wav")
	}
	if e.Take, err = strconv.Atoi(parts[2]); err != nil || e.Take < 0 {
		return e, "", errors.New("is not named label_speaker_take.wav: the take is no number")
	}
	e.Who = parts[1]
	return e, parts[0], nil
}

// Join returns the examples of both sets, this one's first. They must be of one kind, shape, rate and
// list of classes.
func (s *Set) Join(t *Set) (*Set, error) {
	if s.Kind != t.Kind || s.Rate != t.Rate || !slices.Equal(s.Shape, t.Shape) || !slices.Equal(s.Classes, t.Classes) {
		return nil, fmt.Errorf("dataset: %s and %s do not go together: one kind, shape, rate and list of classes belongs in one set", s.Arg, t.Arg)
	}
	u := *s
	u.Arg, u.Note = s.Arg+" "+t.Arg, s.Note+", and "+t.Note
	u.Items = append(slices.Clip(s.Items), t.Items...)
	return &u, nil
}

// Where returns the examples that keep allows, in their order.
func (s *Set) Where(keep func(Example) bool) *Set {
	u := *s
	u.Items = nil
	for _, e := range s.Items {
		if keep(e) {
			u.Items = append(u.Items, e)
		}
	}
	return &u
}
