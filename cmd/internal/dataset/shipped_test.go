package dataset

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is generated is a contract: results that name it must stay comparable. When it has to
// change, the figures that were measured on it have to be measured again.
func TestShippedDataStaysTheSame(t *testing.T) {
	h := sha256.New()
	for _, name := range ShippedNames() {
		d := Shipped(name)
		if d == nil {
			t.Fatalf("Shipped(%q) is nil", name)
		}
		h.Write(d.Bytes())
	}
	for _, p := range Personas(24, 1) {
		h.Write([]byte(p.Name))
		h.Write(p.Train)
		h.Write(p.Test)
	}
	const want = "5d2774fc45ba0430"
	if got := hex.EncodeToString(h.Sum(nil))[:16]; got != want {
		t.Errorf("the generated data has the sum %s, and had %s", got, want)
	}
}

func TestShippedCorpus(t *testing.T) {
	d := Shipped("corpus")
	b := d.Bytes()
	if len(b) < 60<<10 || len(b) > 300<<10 {
		t.Errorf("the corpus has %d bytes", len(b))
	}
	train, held := d.Split(0.1)
	for _, part := range [][]byte{train.Bytes(), held.Bytes()} {
		for _, domain := range []string{`(?m)^[A-Z]{4,}:$`, `(?m)^= [A-Z][a-z]+ =$`, `(?m)^[a-z ]+ timer$`} {
			if !regexp.MustCompile(domain).Match(part) {
				t.Errorf("a part of %d bytes has nothing like %s", len(part), domain)
			}
		}
	}
	if bad := regexp.MustCompile(`[^\x20-\x7e\n]|[{}]|  | a [aeio]|[ \t]\n`).FindIndex(b); bad != nil {
		t.Errorf("the grammar slipped: %q", b[max(0, bad[0]-40):bad[1]+20])
	}
	// Half of the lines at least are no one else's: a learner cannot get by on learning lines by heart.
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	different := map[string]bool{}
	for _, l := range lines {
		different[l] = true
	}
	if len(different)*2 < len(lines) {
		t.Errorf("of %d lines only %d are different", len(lines), len(different))
	}
	// The skills that experiments teach must be new to whoever knows the corpus.
	for _, word := range []string{"playlist", "forecast", "umbrella", "reservation", "bistro"} {
		if bytes.Contains(b, []byte(word)) {
			t.Errorf("the corpus knows the word %q, which belongs to a skill", word)
		}
	}
	if Shipped("no such thing") != nil {
		t.Error("Shipped made up data for a name it does not have")
	}
}

func TestShippedOpensByName(t *testing.T) {
	for _, name := range ShippedNames() {
		d, err := Open("shipped:" + name)
		if err != nil {
			t.Errorf("shipped:%s: %v", name, err)
			continue
		}
		if d.Path != "" || d.Note == "" || len(d.Bytes()) < 10<<10 {
			t.Errorf("shipped:%s: path %q, note %q, %d bytes", name, d.Path, d.Note, len(d.Bytes()))
		}
	}
}

func TestCommands(t *testing.T) {
	for _, need := range []string{"music", "weather", "booking"} {
		if !slices.Contains(Intents(), need) {
			t.Errorf("no intent %s", need)
		}
	}
	for _, intent := range Intents() {
		list := Commands(intent, 300, 7)
		if len(list) != 300 {
			t.Fatalf("%s: %d commands, asked for 300", intent, len(list))
		}
		if !slices.Equal(list[:100], Commands(intent, 100, 7)) {
			t.Errorf("%s: a shorter list is not the beginning of a longer one", intent)
		}
		if slices.Equal(list, Commands(intent, 300, 8)) {
			t.Errorf("%s: the seed changes nothing", intent)
		}
		for _, text := range list {
			if text == "" || text != strings.TrimSpace(text) || strings.ContainsAny(text, "{}\n;") || strings.Contains(text, "  ") {
				t.Errorf("%s: %q", intent, text)
			}
		}
	}
	// The three skills have enough to say that held-out commands are not those learnt.
	for _, intent := range []string{"music", "weather", "booking"} {
		list := Commands(intent, 1000, 1)
		if n := len(slices.Compact(slices.Sorted(slices.Values(list)))); n < 950 {
			t.Errorf("%s: only %d different commands in 1000", intent, n)
		}
	}
	if Commands("no such intent", 3, 1) != nil {
		t.Error("commands for an intent that does not exist")
	}
	if got := Commands("music", 0, 1); got == nil || len(got) != 0 {
		t.Errorf("no commands asked for, got %q", got)
	}
}

func TestPersonas(t *testing.T) {
	all := Personas(64, 3)
	if len(all) != 64 {
		t.Fatalf("%d personas", len(all))
	}
	names := map[string]bool{}
	for i, p := range all {
		if names[p.Name] {
			t.Errorf("two personas are called %s", p.Name)
		}
		names[p.Name] = true
		if len(p.Train) < 6000 || len(p.Train) > 6500 || len(p.Test) < 2000 || len(p.Test) > 2500 {
			t.Errorf("%s wrote %d and %d bytes", p.Name, len(p.Train), len(p.Test))
		}
		if bytes.ContainsAny(append(p.Train, p.Test...), "{}") || bytes.Contains(p.Train, []byte("  ")) {
			t.Errorf("%s: the grammar slipped", p.Name)
		}
		if i >= 5 {
			continue
		}
		if q := Personas(5, 3)[i]; q.Name != p.Name || !bytes.Equal(q.Train, p.Train) || !bytes.Equal(q.Test, p.Test) {
			t.Errorf("%s is another one among fewer people", p.Name)
		}
		if q := Personas(5, 4)[i]; bytes.Equal(q.Train, p.Train) {
			t.Errorf("%s: the seed changes nothing", p.Name)
		}
	}
	if got := Personas(0, 1); len(got) != 0 {
		t.Errorf("nobody asked for, got %d", len(got))
	}
}

// bits is what a compressor that knows a text spends on another one, a cheap stand-in for a model.
func bits(t *testing.T, known, text []byte) int {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriterDict(&b, flate.BestCompression, known)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return 8 * b.Len()
}

// Knowing a persona's own past must help most, knowing one with the same topic or town less,
// knowing a stranger least: else there is nothing to share, or nothing of one's own.
func TestPersonasShareInLevels(t *testing.T) {
	people := Personas(48, 1)
	terms := func(p Persona) map[string]int { return wordsOf(p.Train) }
	var own, related, stranger, pairs float64
	for i, p := range people {
		mine := terms(p)
		best, least, bestShared, leastShared := -1, -1, 0, 1<<30
		for j, q := range people {
			if j == i {
				continue
			}
			shared := 0
			for w := range maps.Keys(terms(q)) {
				if mine[w] > 2 {
					shared++
				}
			}
			if shared > bestShared {
				best, bestShared = j, shared
			}
			if shared < leastShared {
				least, leastShared = j, shared
			}
		}
		own += float64(bits(t, p.Train, p.Test))
		related += float64(bits(t, people[best].Train, p.Test))
		stranger += float64(bits(t, people[least].Train, p.Test))
		pairs++
	}
	own, related, stranger = own/pairs, related/pairs, stranger/pairs
	t.Logf("bits a persona's test costs: knowing its own past %.0f, a relative's %.0f, a stranger's %.0f", own, related, stranger)
	if related < 1.15*own || stranger < 1.15*related {
		t.Errorf("the levels are too close: own %.0f, relative %.0f, stranger %.0f", own, related, stranger)
	}
}

func wordsOf(b []byte) map[string]int {
	count := map[string]int{}
	for _, w := range strings.Fields(string(b)) {
		count[strings.ToLower(strings.Trim(w, ".,!?:"))]++
	}
	return count
}

func TestRoles(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("YAN_DATA", folder)
	if _, ok := Roles(); ok {
		t.Error("roles from an empty folder")
	}
	compact := filepath.Join(folder, "tinyshakespeare", "compact")
	if err := os.MkdirAll(compact, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(part, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(compact, "roles64_"+part+".jsonl"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("train", `{"user": "B", "x": ["one\ntwo", "three"]}`+"\n"+`{"user": "A", "x": ["four"]}`+"\n")
	write("test", `{"user": "A", "x": ["five"]}`+"\n"+`{"user": "B", "x": ["six"]}`+"\n")
	roles, ok := Roles()
	if !ok || len(roles) != 2 || roles[0].Name != "A" || roles[1].Name != "B" {
		t.Fatalf("got %v, %v", roles, ok)
	}
	if string(roles[1].Train) != "one\ntwo\n\nthree\n\n" || string(roles[0].Test) != "five\n\n" {
		t.Errorf("got %q and %q", roles[1].Train, roles[0].Test)
	}
	write("test", `{"user": "A", "x": ["five"]}`+"\n"+`{"user": "C", "x": ["six"]}`+"\n")
	if _, ok := Roles(); ok {
		t.Error("roles although one has no test")
	}
	write("test", "{")
	if _, ok := Roles(); ok {
		t.Error("roles from a broken file")
	}
}

// The same on the real set, where there is one.
func TestRolesOfTheRealSet(t *testing.T) {
	root, ok := Root()
	if !ok {
		t.Skip("no data folder: set $YAN_DATA or put one at ../shared/data")
	}
	roles, ok := Roles()
	if !ok {
		t.Skipf("%s has no tinyshakespeare/compact/roles64_*.jsonl", root)
	}
	if len(roles) != 64 || !slices.IsSortedFunc(roles, func(a, b Persona) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("%d roles, or not in order", len(roles))
	}
}

// The grammar's tables name only rules that exist, and every rule can be said.
func TestGrammarTables(t *testing.T) {
	c := newChance(1, "tables")
	slots := regexp.MustCompile(`\{(?:a )?\^?([^}]+)\}`)
	check := func(name string, g grammar, own ...string) {
		t.Helper()
		if len(g) == 0 {
			t.Errorf("%s is empty", name)
		}
		for rule, list := range g {
			for _, text := range list {
				for _, m := range slots.FindAllStringSubmatch(text, -1) {
					if _, ok := g[m[1]]; !ok && !slices.Contains(own, m[1]) {
						t.Errorf("%s: %s says {%s}, which does not exist: %q", name, rule, m[1], text)
					}
				}
			}
		}
	}
	check("verse", verseWords, "name")
	check("prose", proseWords, "me", "land", "near", "person", "year", "later", "metres", "length", "people", "percent")
	check("commands", commandWords)
	check("diary", diaryWords, "friend", "pet", "town", "thing", "do", "did", "adj", "tool", "part", "stuff", "fault", "knack", "corner")
	for intent, list := range intents {
		check(intent, commandWords.with(grammar{"command": list}))
		for _, text := range list {
			commandWords.say(c, text)
		}
	}
}
