package scenario

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A When is a time in a run: so long after its beginning, or a part of its length.
type When struct {
	Fixed time.Duration
	Part  float64 // counts if Fixed is zero
}

// Part is a part of a run.
func Part(share float64) When { return When{Part: share} }

// Of is the time in a run of that length.
func (t When) Of(length time.Duration) time.Duration {
	if t.Fixed != 0 {
		return t.Fixed
	}
	return time.Duration(math.Round(t.Part * float64(length)))
}

func (t When) String() string {
	if t.Fixed != 0 {
		return shortDuration(t.Fixed)
	}
	return percent(t.Part)
}

// shortDuration writes 1h0m0s as 1h.
func shortDuration(d time.Duration) string {
	s := strings.ReplaceAll(d.String(), "µ", "u")
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// percent writes a share so that it is read as the same number.
func percent(share float64) string {
	w := strconv.FormatFloat(100*share, 'g', 6, 64) + "%"
	if v, err := part(w, share); err != nil || v != share {
		return strconv.FormatFloat(share, 'g', -1, 64)
	}
	return w
}

// Many is a number of devices, or a share of all.
type Many struct {
	Count int
	Share float64 // counts if Count is zero
}

// Of is how many of n devices these are; a share above zero is one at least.
func (m Many) Of(n int) int {
	if m.Count > 0 || m.Share == 0 {
		return min(m.Count, n)
	}
	return min(max(int(math.Round(m.Share*float64(n))), 1), n)
}

func (m Many) String() string {
	if m.Count > 0 || m.Share == 0 {
		return strconv.Itoa(m.Count)
	}
	return percent(m.Share)
}

// A kind is a type of value: how it is read from a word of YAML, how it is written, and what its schema is.
type kind struct {
	read    func(word string) error
	write   func() string
	says    string         // what belongs there, after "write"
	brief   string         // says in few words, for documentation; if empty, says
	schema  map[string]any // JSON schema
	strings bool           // it is text, and may be quoted and of several lines
}

// errBad says that a word is none of what belongs there; the kind says what does.
var errBad = errors.New("bad value")

const maxText = 1000 // characters of a text

// text is one line or several, folded into one.
func text(p *string) kind {
	return kind{
		read: func(w string) error {
			w = strings.Join(strings.Fields(w), " ")
			if len(w) > maxText || strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsPrint(r) }) {
				return errBad
			}
			*p = w
			return nil
		},
		write: func() string { return *p }, strings: true,
		says: fmt.Sprintf("text of at most %d printable characters", maxText), schema: map[string]any{"type": "string", "maxLength": maxText},
	}
}

const maxSpeech = 64 << 10 // bytes of what a user says

// speech is what somebody says, as it is.
func speech(p *string) kind {
	return kind{
		read: func(w string) error {
			if len(w) > maxSpeech || strings.ContainsFunc(w, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) {
				return errBad
			}
			*p = w
			return nil
		},
		write: func() string { return *p }, strings: true,
		says: fmt.Sprintf("text of at most %d bytes", maxSpeech), schema: map[string]any{"type": "string", "maxLength": maxSpeech},
	}
}

// choice is one of a list of words.
func choice(p *string, list ...string) kind {
	return kind{
		read: func(w string) error {
			if !slices.Contains(list, w) {
				return errBad
			}
			*p = w
			return nil
		},
		write: func() string { return *p }, strings: true,
		says: strings.Join(list, ", "), schema: map[string]any{"enum": list},
	}
}

// count is a whole number.
func count(p *int, least, most int) kind {
	return kind{
		read: func(w string) error {
			n, err := strconv.Atoi(strings.ReplaceAll(w, "_", ""))
			if err != nil || n < least || n > most {
				return errBad
			}
			*p = n
			return nil
		},
		write: func() string { return strconv.Itoa(*p) },
		says:  fmt.Sprintf("a whole number from %d to %d", least, most), schema: map[string]any{"type": "integer", "minimum": least, "maximum": most},
	}
}

// number is any number.
func number(p *float64, least, most float64) kind {
	return kind{
		read: func(w string) error {
			v, err := strconv.ParseFloat(w, 64)
			if err != nil || !(v >= least && v <= most) {
				return errBad
			}
			*p = v
			return nil
		},
		write: func() string { return strconv.FormatFloat(*p, 'g', -1, 64) },
		says:  fmt.Sprintf("a number from %v to %v", least, most), schema: map[string]any{"type": "number", "minimum": least, "maximum": most},
	}
}

// yes is yes or no.
func yes(p *bool) kind {
	return kind{
		read: func(w string) error {
			switch w {
			case "yes", "true":
				*p = true
			case "no", "false":
				*p = false
			default:
				return errBad
			}
			return nil
		},
		write: func() string {
			if *p {
				return "yes"
			}
			return "no"
		},
		says: "yes or no", schema: map[string]any{"enum": []any{true, false, "yes", "no"}},
	}
}

// part reads 20 %, 20% or 0.2.
func part(w string, most float64) (float64, error) {
	scale := 1.0
	if rest, ok := strings.CutSuffix(w, "%"); ok {
		w, scale = strings.TrimSpace(rest), 100
	}
	v, err := strconv.ParseFloat(w, 64)
	if v /= scale; err != nil || !(v >= 0 && v <= most) {
		return 0, errBad
	}
	return v, nil
}

const partPattern = `^[0-9]+(\.[0-9]+)? ?%$`

// share is a part of a whole.
func share(p *float64, most float64) kind {
	return kind{
		read: func(w string) (err error) {
			v, err := part(w, most)
			if err == nil {
				*p = v
			}
			return err
		},
		write: func() string { return percent(*p) },
		says:  fmt.Sprintf("a share from 0 %% to %v %%, such as 20 %% or 0.2", 100*most),
		schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "number", "minimum": 0, "maximum": most}, map[string]any{"type": "string", "pattern": partPattern}}},
	}
}

const timePattern = `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`

var timeRE = regexp.MustCompile(timePattern)

// span is a time, such as 90s.
func span(p *time.Duration, most time.Duration) kind {
	return kind{
		read: func(w string) error {
			d, err := spanOf(w, most)
			if err == nil {
				*p = d
			}
			return err
		},
		write: func() string { return shortDuration(*p) },
		says:  fmt.Sprintf("a time of at most %s, such as 20ms, 90s or 1h30m", shortDuration(most)), schema: map[string]any{"type": "string", "pattern": timePattern},
	}
}

func spanOf(w string, most time.Duration) (time.Duration, error) {
	if w == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(w)
	if err != nil || !timeRE.MatchString(w) || d > most {
		return 0, errBad
	}
	return d, nil
}

// when is a time in a run.
func when(p *When) kind {
	return kind{
		read: func(w string) error {
			if d, err := spanOf(w, MaxLength); err == nil {
				*p = When{Fixed: d}
				return nil
			}
			if !strings.HasSuffix(w, "%") {
				return errBad
			}
			v, err := part(w, 1)
			if err == nil {
				*p = Part(v)
			}
			return err
		},
		write: func() string { return p.String() },
		says:  "a time, such as 90s, or a part of the run, such as 20 %",
		schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "pattern": timePattern}, map[string]any{"type": "string", "pattern": partPattern}, map[string]any{"const": 0}}},
	}
}

// many is a number of devices or a share of them.
func many(p *Many) kind {
	return kind{
		read: func(w string) error {
			if n, err := strconv.Atoi(w); err == nil && n >= 0 && n <= MaxDevices {
				*p = Many{Count: n}
				return nil
			}
			if !strings.HasSuffix(w, "%") {
				return errBad
			}
			v, err := part(w, 1)
			if err == nil {
				*p = Many{Share: v}
			}
			return err
		},
		write: func() string { return p.String() },
		says:  "a number of devices, or a share of them, such as 20 %",
		schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 0, "maximum": MaxDevices}, map[string]any{"type": "string", "pattern": partPattern}}},
	}
}

// units of sizes, the longest names first.
var units = []struct {
	name string
	size float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

const sizePattern = `^[0-9]+(\.[0-9]+)? ?(B|kB|MB|GB|KiB|MiB|GiB)(/s)?$`

var sizeRE = regexp.MustCompile(sizePattern)

// size is a number of bytes, or of bytes a second.
func size(p *int, least, most int, rate string) kind {
	return kind{
		read: func(w string) error {
			if !sizeRE.MatchString(w) || strings.HasSuffix(w, "/s") != (rate != "") {
				return errBad
			}
			w = strings.TrimSuffix(w, "/s")
			for _, u := range units {
				number, ok := strings.CutSuffix(w, u.name)
				if !ok {
					continue
				}
				v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
				if v *= u.size; err != nil || !(v >= float64(least) && v <= float64(most)) {
					return errBad
				}
				*p = int(v)
				return nil
			}
			return errBad
		},
		write:  func() string { return sizeOf(*p) + rate },
		says:   fmt.Sprintf("%s to %s, such as 64 kB%s or 1.5 MiB%s", sizeOf(least)+rate, sizeOf(most)+rate, rate, rate),
		schema: map[string]any{"type": "string", "pattern": sizePattern},
	}
}

func sizeOf(n int) string {
	for _, u := range []int{2, 5, 1, 4, 0, 3} { // GiB, GB, MiB, …
		if k := int(units[u].size); n >= k && n%k == 0 {
			return fmt.Sprint(n/k, " ", units[u].name)
		}
	}
	return fmt.Sprint(n, " B")
}
