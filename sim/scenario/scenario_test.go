package scenario

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/sim"
)

// Every built-in scenario is one that its users could have written, and says what it shows.
func TestBuiltin(t *testing.T) {
	names := Names()
	if len(names) < 10 {
		t.Fatalf("there are only %v", names)
	}
	for _, name := range names {
		s, err := Parse(name+".yaml", Builtin(name))
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != name || s.About == "" || !strings.Contains(s.Shows, "{") {
			t.Errorf("%s: name %q, about %q, shows %q", name, s.Name, s.About, s.Shows)
		}
	}
	if Builtin("nothing") != nil || Builtin("../scenario") != nil {
		t.Error("there is a scenario that there is none of")
	}
}

// What YAML says is what the scenario has, and what it does not say is the default.
func TestParse(t *testing.T) {
	s, err := Parse("x.yaml", []byte(`
name: mine   # a comment
shows: "{mesh} of {devices}"
devices: 12
for: 2h
talk: 50 %
data: {kind: text, files: [a.txt, "b c.txt"], amount: 500}
mesh:
  interval: 10s
  memory: 1.5 MiB
links: {delay: [1ms, 2ms], loss: 0.5, bandwidth: 64 kB/s}
groups:
  - name: pi
    devices: 20%
    speed: 1ms
    links: {loss: 3 %}
    away: [{from: 10m, for: 5%, every: 1h}]
  - devices: 3
    says: 0
    attack: flip
    visits:
    - place: home
      from: 0
      of: 4
faults: {churn: 0.3, crashes: 7}
laws: ["no number is not finite"]
exam: {centralised: no}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Name, want.Shows, want.Devices, want.Length, want.Talk = "mine", "{mesh} of {devices}", 12, 2*time.Hour, Part(0.5)
	want.Data = Data{Kind: Text, Files: []string{"a.txt", "b c.txt"}, Amount: 500, Classes: 2}
	want.Mesh.Interval, want.Mesh.Memory = When{Fixed: 10 * time.Second}, 3<<19
	want.Links = Links{Delay: []time.Duration{time.Millisecond, 2 * time.Millisecond}, Loss: 0.5, Bandwidth: 64_000}
	slow, hour := defaultLinks(), When{Fixed: time.Hour}
	slow.Loss = 0.03
	want.Groups = []Group{
		{Name: "pi", Devices: Many{Share: 0.2}, Says: 1, Speed: time.Millisecond, Links: &slow, Away: []Span{{From: When{Fixed: 10 * time.Minute}, For: Part(0.05), Every: &hour}}},
		{Devices: Many{Count: 3}, Attack: "flip", Visits: []Visit{{Place: "home", Of: 4}}},
	}
	want.Faults.Churn, want.Faults.Crashes = 0.3, Many{Count: 7}
	want.Laws = []string{"no number is not finite"}
	want.Exam.Centralised = false
	if !reflect.DeepEqual(*s, want) {
		t.Errorf("read\n%+v\nwant\n%+v", *s, want)
	}
}

// Errors are one line that names the file, the line, the key, the value and what to do.
func TestErrors(t *testing.T) {
	tests := []struct{ yaml, says string }{
		{"", "x.yaml: there is nothing in it"},
		{"about: me", "x.yaml: name: missing: give the scenario a name"},
		{"name: a b", `x.yaml:1: name: "a b": 1 to 64 printable characters without spaces`},
		{"name: a\ndevice: 4", "x.yaml:2: device: no such key: there is name, about, shows, devices"},
		{"name: a\nlinks: {los: 2%}", "x.yaml:2: links.los: no such key: there is delay, loss, bandwidth"},
		{"name: a\nlinks:\n  loss: lots", `x.yaml:3: links.loss: "lots": write a share from 0 % to 95 %, such as 20 % or 0.2`},
		{"name: a\nlinks: fast", `x.yaml:2: links: "fast": a mapping belongs here: write one of delay, loss, bandwidth and a colon`},
		{"name: a\nlinks: {delay: 5ms}", `x.yaml:2: links.delay: "5ms": a list belongs here`},
		{"name: a\nlinks: {delay: [5ms]}", "x.yaml:2: links.delay: a list of 1: it has 2 to 2 items"},
		{"name: a\nlinks: {delay: [5ms, 2ms]}", "x.yaml:2: links.delay: 5ms to 2ms: the shortest comes first"},
		{"name: a\nlinks: {delay: [5ms, soon]}", `x.yaml:2: links.delay[2]: "soon": write a time of at most 1h`},
		{"name: a\nlinks: {bandwidth: 5}", `x.yaml:2: links.bandwidth: "5": write 100 B/s to 1 GiB/s, such as 64 kB/s`},
		{"name: a\ndevices: 0", `x.yaml:2: devices: "0": write a whole number from 1 to 100000`},
		{"name: a\ndevices: [1]", `x.yaml:2: devices: "[1]": write a whole number`},
		{"name: a\nname: b", "x.yaml:2: "},
		{"name: a\ndata: {kind: words}", `x.yaml:2: data.kind: "words": write roles, personas, digits, activities, text, here`},
		{"name: a\ndata: {kind: text}", "x.yaml:2: data.files: 0 files with data of kind text"},
		{"name: a\ngroups: [{name: b}]", "x.yaml:2: groups[1].devices: missing: say how many"},
		{"name: a\ngroups:\n- devices: 60%\n- devices: 50%", "x.yaml:2: groups[2].devices: 50%: with this, the groups have 110 % of the devices"},
		{"name: a\nshows: '{mash}'", "x.yaml:2: shows: {mash}: no such figure: there is devices"},
		{"name: a\nshows: '{mesh'", "x.yaml:2: shows: \"{mesh\": a brace without its counterpart"},
		{"name: a\nlaws: [gravity]", `x.yaml:2: laws[1]: "gravity": write an update is folded at most once`},
		{"name: [a", "x.yaml:1: "},
		{"name: a\n\tfor: 1h", "x.yaml:2: a control character (U+0009)"},
		{"name: a\x00", "x.yaml:1: a control character"},
		{"name: \xff", "x.yaml: this is not UTF-8"},
		{"name: &a b", `x.yaml:1: name: "&a b": write text`},
		{"a: &x b\nname: *x", "x.yaml:1: a: no such key"},
		{"name: a\nusers: [{name: b}]", "x.yaml:2: users: 1 with data of kind personas"},
		{"name: a\ndata: {kind: here}\nusers: [{name: b c}]", `x.yaml:3: users[1].name: "b c": 1 to 64`},
		{"name: a\nfor: 1h 5s", `x.yaml:2: for: "1h 5s": write a time of at most 720h`},
		{"name: a\ntalk: 120%", `x.yaml:2: talk: "120%": write a time, such as 90s, or a part of the run`},
		{"name: a\n---\nname: b", "x.yaml: 2 documents"},
		{"name: a" + strings.Repeat(" ", MaxBytes), "x.yaml: 262151 bytes: a scenario has at most 262144"},
		{"name: " + strings.Repeat("[", 100), "x.yaml:1: nested too deeply"},
	}
	for _, tt := range tests {
		s, err := Parse("x.yaml", []byte(tt.yaml))
		if err == nil {
			t.Errorf("%q: it is taken: %+v", tt.yaml[:min(len(tt.yaml), 80)], s)
			continue
		}
		if got := err.Error(); !strings.HasPrefix(got, tt.says) || strings.Contains(got, "\n") || len(got) > 700 {
			t.Errorf("%q:\nsaid %q\nwant %q", tt.yaml[:min(len(tt.yaml), 80)], got, tt.says)
		}
	}
}

// The schema knows every key that the parser knows, and the documentation too.
func TestSchema(t *testing.T) {
	var m struct {
		Properties map[string]json.RawMessage
		Required   []string
	}
	if err := json.Unmarshal(Schema(), &m); err != nil {
		t.Fatal(err)
	}
	s := Default()
	if len(m.Properties) != len(s.fields()) || !slices.Equal(m.Required, []string{"name"}) {
		t.Errorf("%d keys of %d, required %v", len(m.Properties), len(s.fields()), m.Required)
	}
	for _, f := range s.fields() {
		if m.Properties[f.key] == nil || f.doc == "" {
			t.Errorf("the schema says nothing of %s", f.key)
		}
	}
	figures := "| figure | what it is |\n|---|---|\n"
	for _, f := range Figures() {
		figures += fmt.Sprintf("| `{%s}` | %s |\n", f.Name, f.Doc)
	}
	doc, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	changed := string(doc)
	for _, table := range []string{Keys(), figures} {
		head, _, _ := strings.Cut(table, "\n")
		before, rest, found := strings.Cut(changed, head)
		if !found {
			t.Fatalf("docs/scenarios.md has no table %s", head)
		}
		_, after, _ := strings.Cut(rest, "\n\n")
		if changed = before + table; after != "" {
			changed += "\n" + after
		}
	}
	if *update {
		err = os.WriteFile("../../docs/scenarios.md", []byte(changed), 0o644)
	}
	if err != nil || !*update && changed != string(doc) {
		t.Errorf("%v: the tables of docs/scenarios.md are stale: run go test ./sim/scenario -update", err)
	}
}

var update = flag.Bool("update", false, "write the tables of docs/scenarios.md")

// The example that the documentation tells how to write is one that works.
func TestDocumentedExample(t *testing.T) {
	doc, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```yaml\n")
	example, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("no example")
	}
	s, err := Parse("library.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.World(8, 1, 2*time.Minute, fake{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := sim.New(1, m.Options)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(30 * time.Second); err != nil {
		t.Error(err)
	}
}

// What is written is read as what it was.
func TestWrittenIsRead(t *testing.T) {
	for _, name := range Names() {
		s, err := Parse(name, Builtin(name))
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(name, s.YAML())
		if err != nil {
			t.Fatalf("%v\n%s", err, s.YAML())
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%s: written\n%s", name, s.YAML())
		}
	}
}

// A world that is written down device by device is the same world.
func TestExplicit(t *testing.T) {
	for _, name := range Names() {
		s, err := Parse(name, Builtin(name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.World(9, 5, time.Hour, fake{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Explicit(m.Options, time.Hour)
		if s.Data.Examples() {
			if err == nil {
				t.Errorf("%s: examples were written down", name)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err = Parse(name, e.YAML())
		if err != nil {
			t.Fatal(err)
		}
		again, err := e.World(9, 6, time.Hour, fake{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []*sim.Options{&m.Options, &again.Options} {
			o.Laws = nil // functions are not compared
			for i := range o.Devices {
				o.Devices[i].Skill = o.Devices[i].Name // which it is if empty
				if s.Data.Skill != "" {
					o.Devices[i].Skill = s.Data.Skill
				}
			}
		}
		if !reflect.DeepEqual(m.Options, again.Options) {
			t.Errorf("%s: was\n%+v\nis\n%+v", name, m.Options, again.Options)
		}
		if _, err := e.World(8, 6, time.Hour, fake{}); err == nil || !strings.Contains(err.Error(), "8 devices for the 9 users that it names") {
			t.Errorf("another number of devices: %v", err)
		}
	}
}

func TestSentence(t *testing.T) {
	s := &Scenario{Shows: "{mesh} of {devices}, {half}"}
	if got := s.Sentence(map[string]string{"mesh": "5 %", "devices": "12"}); got != "5 % of 12, (not measured)" {
		t.Error(got)
	}
}

// fake is data of a few words.
type fake struct{}

func (fake) Base(string) (*model.Model, error) { return base.Pocket(), nil }

func (fake) Users(n int, _ uint64, d Data) (u Users, err error) {
	u.Note = "a few words"
	for i := range n {
		line := fmt.Sprintf("user %d says this and that\n", i)
		u.Each = append(u.Each, User{Name: fmt.Sprint("u", i), Stream: []byte(strings.Repeat(line, 4)), Held: []byte(line)})
		if d.Examples() {
			x := &sim.Examples{Inputs: 2, X: []float32{0, 1, 1, 0}, Labels: []string{"a", "b"}}
			u.Each[i].Stream, u.Each[i].Held, u.Each[i].Shown = nil, nil, x
		}
	}
	return u, nil
}

// Every built-in scenario makes worlds of any size that can begin, and the same ones from the same seed.
func TestWorld(t *testing.T) {
	for _, name := range Names() {
		s, err := Parse(name, Builtin(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{MinDevices, 37} {
			a, err := s.World(n, 5, time.Hour, fake{})
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.World(n, 5, time.Hour, fake{})
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.World(n, 6, time.Hour, fake{})
			if err != nil {
				t.Fatal(err)
			}
			a.Options.Laws, b.Options.Laws, c.Options.Laws = nil, nil, nil // functions are not compared
			if len(a.Options.Devices) != n || !reflect.DeepEqual(a, b) {
				t.Errorf("%s: %d devices, and not the same twice", name, n)
			}
			if name == "commuters" && reflect.DeepEqual(a.Options.Devices, c.Options.Devices) {
				t.Errorf("%s: another seed makes the same places", name)
			}
			if _, err := sim.New(5, a.Options); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Groups do not overlap, get as many devices as they ask for, and shape them.
func TestGroups(t *testing.T) {
	s, err := Parse("x", []byte(`
name: x
central: {kind: good, devices: 3}
groups:
  - {name: teacher, devices: 1}
  - {name: liars, devices: 25%, attack: flip, share: all}
  - {name: rest, devices: 75%, says: 50%, speed: 2ms, links: {loss: 9%},
     away: [{from: 50%, for: 5m}, {from: 53m, for: 10m}, {from: 10m, for: 5m, every: 20m}],
     visits: [{from: 0s, place: home, of: 4}, {from: 30m, place: road, of: 5, anew: yes}, {from: 40m, place: home, of: 4}, {from: 45m, place: town}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.World(40, 3, time.Hour, fake{})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int]int{}
	homes := map[int]int{}
	centrals := 0
	for i, g := range m.Groups {
		d := m.Options.Devices[i]
		counts[g]++
		centrals += int(d.Central)
		switch g {
		case 0:
			if d.Attack != "" || len(d.Stream) == 0 || d.Links != nil {
				t.Errorf("the teacher: %+v", d)
			}
		case 1:
			if d.Attack != sim.Flip || d.Share != "all" {
				t.Errorf("a liar: %+v", d)
			}
		case 2:
			if d.Speed != 0.002 || d.Links.Loss != 0.09 || len(d.Stream) != len("user 1 says this and that\n")*2 && len(d.Stream) != len("user 11 says this and that\n")*2 {
				t.Errorf("another: %+v", d)
			}
			want := []sim.Span{{From: 10 * time.Minute, For: 5 * time.Minute}, {From: 30 * time.Minute, For: 5 * time.Minute}, {From: 50 * time.Minute, For: 13 * time.Minute}}
			if !slices.Equal(d.Away, want) {
				t.Errorf("away: %v", d.Away)
			}
			v := d.Visits
			if len(v) != 4 || v[0].Place != v[2].Place || v[1].Place == v[0].Place || v[3].Place == v[0].Place || v[0].Place == 0 {
				t.Errorf("visits: %v", v)
			}
			homes[v[0].Place]++
		}
	}
	if counts[0] != 1 || counts[1] != 10 || counts[2] != 29 || centrals != 3 {
		t.Errorf("groups %v, %d centrals", counts, centrals)
	}
	if len(homes) < 8 || len(homes) > 10 {
		t.Errorf("%d homes of four for 29 of 40 devices", len(homes))
	}
	for place, n := range homes {
		if n > 4 {
			t.Errorf("%d devices live in home %d", n, place)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		f.Add(Builtin(name))
	}
	f.Add([]byte("name: a\nlaws: [no number is not finite]\ngroups: [{devices: 1, away: [{from: 1s, for: 1s, every: 1s}]}]"))
	f.Add([]byte("a: &a [*a]\n? b\n: |\n  c\n<<: *a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse("x", b)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes: %v", len(err.Error()), err)
			}
			return
		}
		if again, err := Parse("x", s.YAML()); err != nil || !bytes.Equal(again.YAML(), s.YAML()) {
			t.Errorf("%v: written\n%s", err, s.YAML())
		}
		m, err := s.World(5, 1, time.Hour, fake{})
		if err != nil {
			return
		}
		_, _ = sim.New(1, m.Options) // whatever it says of them, it must not panic
	})
}

// A share of devices is rounded, and is one at least; a number is no more than there are.
func TestMany(t *testing.T) {
	for _, tt := range []struct {
		m       Many
		n, want int
	}{{Many{Share: 0.34}, 5, 2}, {Many{Share: 0.01}, 5, 1}, {Many{Share: 1}, 5, 5}, {Many{Count: 9}, 5, 5}, {Many{}, 5, 0}} {
		if got := tt.m.Of(tt.n); got != tt.want {
			t.Errorf("%v of %d are %d", tt.m, tt.n, got)
		}
	}
}
