// Package scenario describes worlds in YAML: who the devices are, what lies between them, what goes wrong and what
// the whole is to show.
//
// [Parse] reads a [Scenario] from bytes, which it does not trust: they are bounded, unknown keys are errors, and every
// error is one line that names the file, the line, the key, the value and what to do. [Scenario.World] turns it into
// [sim.Options] for so many devices, a seed and a length of time; what the users say comes from a [Source], so the
// package reads no data itself. [Builtin] returns those that are built in, as the bytes that a user can begin from.
//
// Everything here is a function of its arguments: one scenario, seed and number of devices is one world.
package scenario

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/yanmesh/yan/learning"
)

// What a world may be at most and at least.
const (
	MinDevices = 1
	MaxDevices = 100_000
	MinLength  = time.Second
	MaxLength  = 30 * 24 * time.Hour
)

// A Scenario is a kind of world. Fields that are not set in its YAML have the values of [Default].
type Scenario struct {
	Name    string // one word
	About   string // one line: who the users are and what happens
	Shows   string // a sentence with figures in braces; see [Figures]
	Devices int    // unless the caller wants another number
	Length  time.Duration
	Talk    When // from the beginning to when the users have said everything
	Base    string

	Data     Data
	Learning Learning
	Mesh     Mesh
	Central  Central
	Links    Links
	Groups   []Group
	Users    []Said // of data that is said here
	Faults   Faults
	Laws     []string // names of laws; none: all of them
	Exam     Exam
}

// Data is what the users say or show.
type Data struct {
	Kind    string
	Files   []string // of text: a user each
	Amount  int      // bytes, of examples rows
	Classes int      // of digits: which a device holds
	Skill   string   // what all users teach; if empty, each their own
	Circle  int      // users in a row who teach one thing together; if zero, one
}

// Examples reports whether users show examples, and do not say text.
func (d Data) Examples() bool { return d.Kind == Digits || d.Kind == Activities }

// The kinds of data.
const (
	Roles      = "roles"
	Personas   = "personas"
	Digits     = "digits"
	Activities = "activities"
	Text       = "text"
	Here       = "here" // users, one by one, in the scenario itself
)

// Learning is how devices learn.
type Learning struct {
	Sections, Neurons int
	Rate              float64
	Rehearse          int
	Recent, Reservoir int
	Features          int
	Fast              int
	Harm              float64
}

// Mesh is how devices talk to one another.
type Mesh struct {
	Degree   int
	Updates  int
	Interval When
	Fanout   int
	MaxLive  int
	Versions int
	Memory   int // bytes of bodies
}

// Central is who merges what several teach.
type Central struct {
	Kind    string
	Devices Many // that take turns
}

// The kinds of central.
const (
	NoCentral   = "none"
	GoodCentral = "good"
	BadCentral  = "bad"
)

// Links are what lies between two devices.
type Links struct {
	Delay     []time.Duration // shortest and longest
	Loss      float64
	Bandwidth int // bytes a second
}

// A Group is devices that are not like the rest. Groups do not overlap: each takes its devices, drawn from the seed, from
// those that earlier groups left.
type Group struct {
	Name    string
	Devices Many
	Says    float64 // how much of Data.Amount its users say
	Share   string
	Attack  string
	Speed   time.Duration
	Links   *Links
	Away    []Span
	Visits  []Visit
}

// A Said is a user and a device, one of those that a scenario names one by one.
type Said struct {
	Name, Skill   string
	Says, Held    string
	Share, Attack string
	Central       bool
	Speed         time.Duration
	Links         *Links
	Away          []Span
	Places        []Place
}

// A Place is where a device is from a time on, by number.
type Place struct {
	From When
	At   int
}

// A Span is a time in which a device is switched off.
type Span struct {
	From, For When
	Every     *When
	Spread    When
}

// A Visit is where a device is from a time on.
type Visit struct {
	From   When
	Every  *When
	Spread When
	Place  string
	Of     int  // devices that share such a place, about; 0: everyone
	Anew   bool // another one of these places each time
}

// Faults are what goes wrong besides the links.
type Faults struct {
	Crashes    Many
	Churn      float64 // share of the devices in an hour
	Down       When
	Partitions []Partition
}

// A Partition divides the devices in two for a while.
type Partition struct {
	From, For When
	Share     float64
}

// Exam is how the devices are asked what they know.
type Exam struct {
	Devices     int // asked at the end
	Texts       int // of users, to each
	Bytes       int // of each text
	Points      int // of the curve
	Centralised bool
	Gates       bool // skills open by their gates alone
}

// Default returns what a scenario is made of where its YAML says nothing.
func Default() Scenario {
	return Scenario{
		Devices: 100, Length: time.Hour, Talk: Part(0.75), Base: "pocket",
		Data:     Data{Kind: Personas, Amount: 6000, Classes: 2},
		Learning: Learning{Sections: 4, Neurons: 8, Rate: 0.003, Rehearse: 1, Recent: 256, Reservoir: 32, Features: 256, Harm: 0.01},
		Mesh:     Mesh{Degree: 6, Updates: 1, Fanout: 3, Memory: 256 << 20},
		Central:  Central{Kind: NoCentral, Devices: Many{Share: 1}},
		Links:    defaultLinks(),
		Faults:   Faults{Down: Part(1. / 30)},
		Exam:     Exam{Devices: 64, Texts: 8, Bytes: 768, Points: 12, Centralised: true},
	}
}

func defaultLinks() Links {
	return Links{Delay: []time.Duration{20 * time.Millisecond, 400 * time.Millisecond}, Loss: 0.02, Bandwidth: 1_000_000}
}

// check reports what the single keys cannot tell. The error begins with a key.
func (s *Scenario) check() error {
	if s.Name == "" {
		return fmt.Errorf("name: missing: give the scenario a name of one word")
	}
	if err := learning.CheckName(s.Name); err != nil {
		return fmt.Errorf("name: %q: 1 to 64 printable characters without spaces and slashes belong here", s.Name)
	}
	if err := checkSentence(s.Shows); err != nil {
		return fmt.Errorf("shows: %w", err)
	}
	if s.Data.Kind == Text != (len(s.Data.Files) > 0) {
		return fmt.Errorf("data.files: %d files with data of kind %s: kind text needs files, one for each user, and no other kind has any", len(s.Data.Files), s.Data.Kind)
	}
	if s.Data.Skill != "" && s.Data.Circle > 0 {
		return fmt.Errorf("data.circle: %d beside the skill %s: all users teach that: leave one of both out", s.Data.Circle, s.Data.Skill)
	}
	if s.Data.Kind == Here != (len(s.Users) > 0) {
		return fmt.Errorf("users: %d with data of kind %s: kind here needs users, and no other kind has any", len(s.Users), s.Data.Kind)
	}
	if len(s.Users) > 0 && len(s.Groups) > 0 {
		return fmt.Errorf("groups: %d beside users: who is named one by one belongs to no group", len(s.Groups))
	}
	for i, u := range s.Users {
		if u.Links != nil && u.Links.Delay[0] > u.Links.Delay[1] {
			return fmt.Errorf("users[%d].links.delay: %v to %v: the shortest comes first", i+1, u.Links.Delay[0], u.Links.Delay[1])
		}
		if learning.CheckName(u.Name) != nil {
			return fmt.Errorf("users[%d].name: %q: 1 to 64 printable characters without spaces and slashes belong here", i+1, u.Name)
		}
	}
	if d := s.Links.Delay; d[0] > d[1] {
		return fmt.Errorf("links.delay: %v to %v: the shortest comes first", d[0], d[1])
	}
	whole := 0.0
	for i, g := range s.Groups {
		at := fmt.Sprintf("groups[%d]", i+1)
		if g.Links != nil && g.Links.Delay[0] > g.Links.Delay[1] {
			return fmt.Errorf("%s.links.delay: %v to %v: the shortest comes first", at, g.Links.Delay[0], g.Links.Delay[1])
		}
		if g.Devices == (Many{}) {
			return fmt.Errorf("%s.devices: missing: say how many belong to it, as a number or as a share such as 10 %%", at)
		}
		if whole += g.Devices.Share; whole > 1+1e-9 {
			return fmt.Errorf("%s.devices: %v: with this, the groups have %.3g %% of the devices: they do not overlap, so keep to 100 %%", at, g.Devices, 100*whole)
		}
		if s.Data.Examples() && g.Attack != "" && g.Attack != "silent" {
			return fmt.Errorf("%s.attack: %s: who shows examples cannot lie in this way: take silent, or data of text", at, g.Attack)
		}
	}
	return nil
}

//go:embed builtin/*.yaml
var builtin embed.FS

// Names lists the built-in scenarios, sorted.
func Names() (names []string) {
	files, err := fs.ReadDir(builtin, "builtin")
	if err != nil {
		panic("scenario: what was built in is damaged: " + err.Error())
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Builtin returns the YAML of a built-in scenario, and nil if there is none of that name.
func Builtin(name string) []byte {
	b, err := builtin.ReadFile(path.Join("builtin", name+".yaml"))
	if err != nil {
		return nil
	}
	return bytes.Clone(b)
}
