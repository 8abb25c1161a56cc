package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
)

// asProgram in the environment makes the test binary be yan-node.
const asProgram = "YAN_NODE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// pocket writes the small base to a file: what is tested here does not depend on how much a base knows.
func pocket(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := base.Pocket().Write(&b, false, nil); err != nil {
		t.Fatal(err)
	}
	return file(t, "pocket.safetensors", b.Bytes())
}

func file(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newHome is a home with an identity that is always the same, and so with the same chance.
func newHome(t *testing.T) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	st, err := store.Open(home, store.Options{Format: node.Format, Rand: strings.NewReader("the same thirty-two bytes always")})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return home
}

// yan runs a command line to its end.
func yan(t *testing.T, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	return yanWith(t, new(runFlags), stdin, args...)
}

func yanWith(t *testing.T, run *runFlags, stdin string, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	root := command(run)
	root.SetIn(strings.NewReader(stdin))
	status = ui.Run(t.Context(), root, args, &o, &e)
	return status, o.String(), e.String()
}

// must is yan for what has to succeed.
func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	status, out, errs := yan(t, stdin, args...)
	if status != ui.Done {
		t.Fatalf("yan-node %s: status %d: %s", strings.Join(args, " "), status, errs)
	}
	return out
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// An event is one of the lines that run --json prints.
type event struct {
	Event   string
	Text    string
	Begun   string
	Bytes   int
	Bits    json.RawMessage `json:"bits_per_byte"`
	Addrs   []string
	API     string
	Skill   string
	Verdict string
	Error   string
	Swarm   string
}

func eventsOf(t *testing.T, out string) (list []event) {
	t.Helper()
	for line := range strings.Lines(out) {
		list = append(list, decode[event](t, line))
	}
	return list
}

func TestEveryCommandExplainsItself(t *testing.T) {
	count := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		count++
		if c.Short == "" || strings.Count(c.Example, "yan-node") < 2 {
			t.Errorf("%s: %q, with the examples %q", c.CommandPath(), c.Short, c.Example)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(command(new(runFlags)))
	if count < 12 {
		t.Errorf("only %d commands", count)
	}
}

func TestBadUsage(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	for args, says := range map[string]string{
		"learm":                                   "did you mean learn",
		"run x":                                   "x",
		"--share some":                            "none, skills or all",
		"--api 192.0.2.1:7411":                    "not a loopback",
		"--api :7411":                             "not a loopback",
		"--api here":                              "127.0.0.1:7411",
		"--listen /ip4/nowhere":                   "cannot listen on",
		"--join /ip4/127.0.0.1/tcp/1":             "cannot join",
		"--offline --lan":                         "--offline",
		"--exit-after-read":                       "--read",
		"--read x --skill a/b":                    "skill name",
		"--log loud":                              "text or json",
		"--log-format loud":                       "text or json",
		"--log-level loud":                        "debug, info, warn or error",
		"--for -1s":                               "negative",
		"complete":                                "no prompt",
		"complete --prompt a --max 0":             "1 or more",
		"complete --prompt a --temperature -1":    "0 or more",
		"complete --prompt a -":                   "two prompts",
		"learn":                                   "no data",
		"learn --data shipped:music --epochs 0":   "1 or more",
		"learn --data shipped:music --holdout 1":  "between 0 and 1",
		"learn --data shipped:music --share":      "--skill",
		"learn --data shipped:music --skill a\tb": "skill name",
		"learn --data shipped:nothing":            "no such shipped data",
		"learn --data images:a,b":                 "name the skill",
		"eval --data shipped:music --label a":     "--label goes with tsv",
		"skill learn x":                           "unknown command",
		"skill show":                              "arg",
		"status now":                              "now",
	} {
		// Tabs stand for themselves, spaces part the arguments.
		status, out, errs := yan(t, "", append(strings.Split(args, " "), "--home", home)...)
		if status != ui.BadUsage || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, says) {
			t.Errorf("%s: status %d, %q, %q", args, status, out, errs)
		}
	}
	if _, err := os.Stat(home); err == nil {
		t.Error("bad usage made a home")
	}
}

func TestFailuresAreOneLine(t *testing.T) {
	model := pocket(t)
	whole, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	begun := filepath.Join(t.TempDir(), "begun")
	must(t, "", "complete", "--prompt", "a", "--home", begun, "--model", model)
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"model missing":   {[]string{"eval", "--data", "shipped:music", "--model", filepath.Join(dir, "none")}, "none: no such file"},
		"model directory": {[]string{"eval", "--data", "shipped:music", "--model", dir}, "it is a directory"},
		"model cut":       {[]string{"complete", "--prompt", "a", "--model", file(t, "cut.safetensors", whole[:len(whole)/2])}, "cut.safetensors"},
		"model foreign":   {[]string{"complete", "--prompt", "a", "--model", file(t, "photo.jpg", []byte("\xff\xd8\xff\xe0 not tensors"))}, "photo.jpg"},
		"model empty":     {[]string{"complete", "--prompt", "a", "--model", file(t, "empty", nil)}, "empty"},
		"other base":      {[]string{"complete", "--prompt", "a", "--home", begun}, "start with --model " + model},
		"home is a file":  {[]string{"run", "--offline", "--home", model}, "is a file"},
		"read missing":    {[]string{"run", "--offline", "--read", filepath.Join(dir, "none"), "--model", model}, "name another file"},
		"read directory":  {[]string{"run", "--offline", "--read", dir, "--model", model}, "it is a directory"},
		"read empty":      {[]string{"run", "--offline", "--read", file(t, "empty.txt", nil), "--model", model}, "it is empty"},
		"data missing":    {[]string{"learn", "--data", "text:" + filepath.Join(dir, "none"), "--model", model}, "no such file"},
		"data empty":      {[]string{"eval", "--data", "text:" + file(t, "empty.txt", nil), "--model", model}, "is empty"},
		"data too small":  {[]string{"learn", "--data", "text:" + file(t, "one.txt", []byte("ab")), "--model", model}, "too little data"},
		"port in use":     {[]string{"run", "--model", model, "--listen", fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", taken.LocalAddr().(*net.UDPAddr).Port)}, "in use"},
		"no device":       {[]string{"status"}, "there is no device"},
		"no peers":        {[]string{"peers"}, "there is no device"},
		"nobody runs":     {[]string{"peers", "--home", begun}, "no node runs"},
		"no skill":        {[]string{"skill", "show", "music", "--home", begun, "--model", model}, "no skill"},
		"none to share":   {[]string{"skill", "share", "music", "--home", begun, "--model", model}, "no skill"},
	} {
		args := tt.args
		if !strings.Contains(strings.Join(args, " "), "--home") {
			args = append(args, "--home", filepath.Join(t.TempDir(), "home"))
		}
		status, out, errs := yan(t, "", args...)
		if status != ui.Failed || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, tt.says) {
			t.Errorf("%s: status %d, %q, %q", name, status, out, errs)
		}
	}
}

// What somebody sees who types: what this is, then for each line how the node goes on.
func TestSession(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	model := pocket(t)
	typed := "good morning\nmy tea is green\n\nmy tea is...\n\xff\xfe no letters \x1b[2J\nthe last line has no end"
	out := must(t, typed, "--home", home, "--model", model, "--offline", "--api", "")
	head, said, _ := strings.Cut(out, "offline: it meets nobody\n")
	for _, want := range []string{"yan-node ", "parameters", "of its sections computed for a byte", "skills: 0", "home " + home, "shares nothing"} {
		if !strings.Contains(head, want) {
			t.Errorf("it does not say %q: %q", want, head)
		}
	}
	if n := strings.Count(said, "\n"); n != 6 {
		t.Errorf("%d answers to 6 lines: %q", n, said)
	}
	if strings.ContainsAny(said, "\x1b\r") {
		t.Errorf("what it says moves the cursor: %q", said)
	}
	if !strings.Contains(said, "\nmy tea is") {
		t.Errorf("what was begun is not completed: %q", said)
	}

	r := decode[statusReport](t, must(t, "", "status", "--home", home, "--model", model, "--json"))
	learnt := len(typed) - len("my tea is...\n") + len("\n")
	if r.Running || r.Events != uint64(learnt) || r.Home != home {
		t.Errorf("%d bytes were learnt, want %d: %+v", r.Events, learnt, r)
	}
	if out := must(t, "", "status", "--home", home, "--model", model); !strings.Contains(out, "not running") {
		t.Errorf("status: %q", out)
	}
}

func TestSessionInJSON(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	status, out, errs := yan(t, "one\ntwo...\n", "run", "--home", home, "--model", pocket(t), "--offline", "--api", "", "--json")
	if status != ui.Done || !strings.Contains(errs, "base model") {
		t.Fatalf("status %d, %q", status, errs)
	}
	var kinds []string
	for _, e := range eventsOf(t, out) {
		kinds = append(kinds, e.Event)
		if e.Event == "completion" && e.Begun != "two" {
			t.Errorf("%+v", e)
		}
	}
	if got := strings.Join(kinds, " "); got != "ready learnt continuation completion" {
		t.Errorf("events %s", got)
	}
}

// endingBits is how surprising the end of a line is to the mind in a home, in bits.
func endingBits(t *testing.T, home, model, begin, end string) float64 {
	t.Helper()
	d, err := device.Open(device.Options{Home: home, ModelFile: model})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return bits(prompted(d.Node.Learner(), []byte(begin)).Surprise(sense.Text([]byte(end))), len(end))
}

// A device remembers over a restart what it was told.
func TestRestartRemembers(t *testing.T) {
	home := newHome(t)
	model := pocket(t)
	const begin, end = "my coffee is ", "without sugar\n"
	before := endingBits(t, home, model, begin, end)
	for range 2 {
		must(t, strings.Repeat(begin+end, 24), "--home", home, "--model", model, "--offline", "--api", "")
	}
	after := endingBits(t, home, model, begin, end)
	if !(after < before/2) {
		t.Errorf("the ending has %.2f bits a byte, %.2f before it was taught", after, before)
	}
	at := []string{"--line", "--temperature", "0", "--home", home, "--model", model}
	said := must(t, "", append([]string{"complete", "--prompt", begin}, at...)...)
	out := decode[map[string]any](t, must(t, begin, append([]string{"complete", "-", "--json"}, at...)...))
	if text, _ := out["completion"].(string); out["prompt"] != begin || strings.TrimSuffix(text, "\n") != strings.TrimRight(said, "\n") {
		t.Errorf("%v, and without --json %q", out, said)
	}
	if again := endingBits(t, home, model, begin, end); again != after {
		t.Error("a completion changed the mind")
	}
}

func TestCompleteTakesAnything(t *testing.T) {
	home := newHome(t)
	model := pocket(t)
	for _, prompt := range []string{"", "\xff\xfe\x00", strings.Repeat("long ", 2000)} {
		out := must(t, prompt, "complete", "-", "--max", "7", "--home", home, "--model", model)
		if len(out) != 8 {
			t.Errorf("%.20q: %q, want 7 bytes and a newline", prompt, out)
		}
		again := must(t, prompt, "complete", "-", "--max", "7", "--home", home, "--model", model)
		other := must(t, prompt, "complete", "-", "--max", "7", "--home", home, "--model", model, "--seed", "2", "--temperature", "5")
		if out != again || out == other {
			t.Errorf("%.20q: %q, again %q, by another seed %q", prompt, out, again, other)
		}
	}
}

// prose is n bytes that a learner can learn something from.
func prose(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "On day %d the ferry to the island left at %d and came back with %d sheep.\n", i%31, i%24, i*7%100)
	}
	return b.Bytes()[:n]
}

func TestReadTellsWhatLearningWasWorth(t *testing.T) {
	model := pocket(t)
	book := file(t, "book.txt", prose(20000))
	for _, stdin := range []bool{false, true} {
		home := newHome(t)
		args := []string{"run", "--home", home, "--model", model, "--offline", "--api", "", "--exit-after-read", "--json", "--skill", "ferry", "--read"}
		in := ""
		if stdin {
			in, args = string(prose(20000)), append(args, "-")
		} else {
			args = append(args, book)
		}
		status, out, errs := yan(t, in, args...)
		if status != ui.Done {
			t.Fatal(errs)
		}
		list := eventsOf(t, out)
		last := list[len(list)-1]
		bits := decode[map[string]float64](t, string(last.Bits))
		if last.Event != "read" || last.Bytes != 20000 || !(bits["learning"] < 0.8*bits["static"]) {
			t.Errorf("stdin %v: %+v %v", stdin, last, bits)
		}
		if kept := list[len(list)-2]; kept.Event != "kept" || kept.Bytes != 20000 {
			t.Errorf("stdin %v: %+v", stdin, kept)
		}
		skills := decode[[]skillReport](t, must(t, "", "skill", "list", "--json", "--home", home, "--model", model))
		if len(skills) != 1 || skills[0].Name != "ferry" || skills[0].Events < 19000 || skills[0].Shared {
			t.Errorf("stdin %v: %+v", stdin, skills)
		}
	}
	noise := make([]byte, 9000)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	must(t, "", "run", "--home", filepath.Join(t.TempDir(), "home"), "--model", model, "--offline", "--api", "", "--exit-after-read", "--read", file(t, "noise", noise))
}

// Learning tells before and after on what was held out; eval comes to the same; a skill can be shown,
// shared, taken back and forgotten.
func TestLearnEvalAndSkills(t *testing.T) {
	home := newHome(t)
	model := pocket(t)
	labelled := ""
	for i := range 300 {
		labelled += fmt.Sprintf("ferry\tthe ferry leaves at %d from pier %d\nbread\tbake bread number %d\n", i%24, i%9, i)
	}
	data := "tsv:" + file(t, "said.tsv", []byte(labelled))
	at := []string{"--home", home, "--model", model}
	run := func(args ...string) string { return must(t, "", append(args, at...)...) }

	r := decode[learnReport](t, run("learn", "--data", data, "--label", "ferry", "--skill", "ferry", "--epochs", "2", "--share", "--json"))
	if !(r.After.Bits < 0.5*r.Before.Bits) || r.Skill != "ferry" || r.Epochs != 2 || !r.Shared || r.Events < 15000 {
		t.Errorf("%+v", r)
	}
	type evaluation struct {
		Events int
		Bits   float64 `json:"bits_per_byte"`
		Active float64 `json:"active_share"`
		Rate   float64 `json:"events_per_second"`
		Harder float64 `json:"hard_easy_sections"`
		Minds  float64 `json:"minds_per_byte"`
	}
	with := decode[evaluation](t, run("eval", "--data", data, "--label", "ferry", "--json"))
	without := decode[evaluation](t, run("eval", "--data", data, "--label", "ferry", "--static", "--json"))
	if !(with.Bits < 0.5*without.Bits) || with.Events != without.Events || with.Active <= 0 || with.Active >= 0.5 || with.Rate <= 0 || with.Harder < 0.3 || with.Harder > 3 {
		t.Errorf("with %+v, without %+v", with, without)
	}
	gated := decode[evaluation](t, run("eval", "--data", data, "--label", "ferry", "--gated", "--json"))
	if with.Minds <= 1 || with.Minds > 1.5 || without.Minds != 1 || gated.Minds != 1 || with.Bits > gated.Bits+0.01 {
		t.Errorf("by likelihood %+v, by the gate %+v", with, gated)
	}
	s := decode[skillReport](t, run("skill", "show", "ferry", "--json"))
	if !s.Shared || s.Gain <= 0 || s.Author != "" {
		t.Errorf("%+v", s)
	}
	if out := run("skill", "show", "ferry"); !strings.Contains(out, "skill ferry, learnt here\n") || !strings.Contains(out, "public: whoever is on the mesh") || !strings.Contains(out, "without noise") {
		t.Errorf("%q", out)
	}
	if held := decode[statusReport](t, run("status", "--json")).Held; held != 1 {
		t.Errorf("%d updates to be had, want the shared skill", held)
	}
	run("skill", "unshare", "ferry")
	if out := run("skill", "list"); !strings.Contains(out, "ferry") || !strings.Contains(out, "private") {
		t.Errorf("%q", out)
	}
	if held := decode[statusReport](t, run("status", "--json")).Held; held != 0 {
		t.Errorf("%d updates to be had after unshare", held)
	}
	run("skill", "share", "ferry")
	run("skill", "forget", "ferry")
	if out := run("skill", "list"); !strings.Contains(out, "no skills yet") {
		t.Errorf("%q", out)
	}
	if again := decode[evaluation](t, run("eval", "--data", data, "--label", "ferry", "--json")); again.Bits != without.Bits {
		t.Errorf("after forgetting %v bits, %v without", again.Bits, without.Bits)
	}
}

// A background is a run that goes on until it is stopped.
type background struct {
	t     *testing.T
	lines chan event
	stop  func() (status int, errs string)
}

// shared is a buffer that the log and the notes write to at once, as they do to a file.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// begin runs yan-node run --json in this process; keyboard is its stdin.
func begin(t *testing.T, run *runFlags, keyboard io.Reader, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	root := command(run)
	root.SetIn(keyboard)
	var errs shared
	ended := make(chan int, 1)
	go func() {
		ended <- ui.Run(ctx, root, append([]string{"run", "--json"}, args...), w, &errs)
		w.Close()
	}()
	b := &background{t: t, lines: make(chan event, 1000)}
	go readEvents(r, b.lines)
	b.stop = sync.OnceValues(func() (int, string) {
		cancel()
		return <-ended, errs.String()
	})
	t.Cleanup(func() { b.stop() })
	return b
}

func readEvents(r io.Reader, lines chan<- event) {
	defer close(lines)
	d := json.NewDecoder(r)
	for {
		var e event
		if d.Decode(&e) != nil {
			return
		}
		lines <- e
	}
}

// wait returns the next event of a kind.
func (b *background) wait(kind string) event {
	b.t.Helper()
	for late := time.After(30 * time.Second); ; {
		select {
		case e, ok := <-b.lines:
			if !ok {
				_, errs := b.stop()
				b.t.Fatalf("it ended before %q: %s", kind, errs)
			}
			if e.Event == kind {
				return e
			}
		case <-late:
			b.t.Fatalf("no %q", kind)
		}
	}
}

// Where the disk is full, a line is refused in so many words, and the node goes on answering.
func TestFullDisk(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	model := pocket(t)
	keyboard, typist := io.Pipe()
	full := &fullJournal{}
	b := begin(t, &runFlags{journal: func(j node.Journal) node.Journal { full.Journal = j; return full }}, keyboard,
		"--home", home, "--model", model, "--offline", "--api", "")
	say := func(line string) {
		t.Helper()
		if _, err := io.WriteString(typist, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	say("there is room")
	b.wait("learnt")
	b.wait("continuation")
	full.set(true)
	say("there is none")
	if e := b.wait("refused"); e.Text != "there is none" || !strings.Contains(e.Error, "the disk is full") {
		t.Errorf("%+v", e)
	}
	b.wait("continuation")
	say("there is...")
	b.wait("completion")
	full.set(false)
	say("there is room again")
	b.wait("learnt")
	status, errs := b.stop()
	if status != ui.Done || strings.Count(errs, "not kept: ") != 1 {
		t.Errorf("status %d, %q", status, errs)
	}
	r := decode[statusReport](t, must(t, "", "status", "--json", "--home", home, "--model", model))
	if want := len("there is room\nthere is none\nthere is room again\n"); r.Events != uint64(want) {
		t.Errorf("%d bytes were kept, want %d: all that was read, once there was room", r.Events, want)
	}
}

type fullJournal struct {
	node.Journal
	mu   sync.Mutex
	full bool
}

func (j *fullJournal) set(full bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.full = full
}

func (j *fullJournal) err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.full {
		return fmt.Errorf("store: append: %w", store.ErrFull)
	}
	return nil
}

func (j *fullJournal) Append(records [][]byte) error {
	if err := j.err(); err != nil {
		return err
	}
	return j.Journal.Append(records)
}

func (j *fullJournal) Snapshot(write func(io.Writer) error) error {
	if err := j.err(); err != nil {
		return err
	}
	return j.Journal.Snapshot(write)
}

// While a node runs, it answers questions to this machine alone, and nobody else opens its home.
func TestRunningNodeAnswers(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	model := pocket(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	keyboard, _ := io.Pipe()
	b := begin(t, new(runFlags), keyboard, "--home", home, "--model", model, "--api", taken.Addr().String(), "--listen", "/ip4/127.0.0.1/udp/0/quic-v1")
	ready := b.wait("ready")
	if ready.API == taken.Addr().String() || !strings.HasPrefix(ready.API, "127.0.0.1:") {
		t.Fatalf("it answers at %s", ready.API)
	}
	at := []string{"--home", home, "--model", model}
	r := decode[statusReport](t, must(t, "", append(at, "status", "--json")...))
	if !r.Running || len(r.Addrs) != 1 || r.Addrs[0] != ready.Addrs[0] || r.Share != "none" {
		t.Errorf("%+v", r)
	}
	if out := must(t, "", append(at, "status")...); !strings.Contains(out, "running for") || !strings.Contains(out, "--join "+ready.Addrs[0]) {
		t.Errorf("%q", out)
	}
	if out := must(t, "", append(at, "peers")...); !strings.Contains(out, "no peers yet") {
		t.Errorf("%q", out)
	}
	if list := decode[[]peerReport](t, must(t, "", append(at, "peers", "--json")...)); len(list) != 0 {
		t.Errorf("%v", list)
	}
	if list := decode[[]skillReport](t, must(t, "", append(at, "skill", "list", "--json")...)); len(list) != 0 {
		t.Errorf("%v", list)
	}
	for _, args := range [][]string{{"learn", "--data", "shipped:music"}, {"eval", "--data", "shipped:music"}, {"complete", "--prompt", "a"}, {"skill", "forget", "a"}, {"run", "--offline"}} {
		status, out, errs := yan(t, "", append(args, at...)...)
		if status != ui.Failed || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "in use by another yan-node") {
			t.Errorf("%v: status %d, %q, %q", args, status, out, errs)
		}
	}

	ask := func(method, path, host string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+ready.API+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for _, tt := range []struct {
		method, path, host string
		status             int
	}{
		{"GET", "/healthz", "", 200}, {"GET", "/v1/status", "localhost:7411", 200}, {"GET", "/v1/peers", "[::1]:7411", 200},
		{"GET", "/v1/skills", "evil.example", 403}, {"GET", "/v1/skills", "127.0.0.1.evil.example:80", 403},
		{"POST", "/v1/status", "", 405}, {"OPTIONS", "/v1/status", "", 405}, {"GET", "/v1/other", "", 404},
		{"GET", "/v1/trace?text=what+is", "", 200},
	} {
		if got := ask(tt.method, tt.path, tt.host); got != tt.status {
			t.Errorf("%s %s for %q: %d, want %d", tt.method, tt.path, tt.host, got, tt.status)
		}
	}

	status, errs := b.stop()
	if status != ui.Done || !strings.Contains(errs, "taken, using a free one") {
		t.Errorf("status %d, %q", status, errs)
	}
	if _, err := os.Stat(filepath.Join(home, apiFile)); err == nil {
		t.Error("the address of the API is still there")
	}
	// What a node that was killed left behind leads nobody to another.
	if err := os.WriteFile(filepath.Join(home, apiFile), []byte(taken.Addr().String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := decode[statusReport](t, must(t, "", append(at, "status", "--json")...)); r.Running {
		t.Errorf("%+v", r)
	}
}

func TestRunEndsInTime(t *testing.T) {
	keyboard, _ := io.Pipe()
	b := begin(t, new(runFlags), keyboard, "--home", filepath.Join(t.TempDir(), "home"), "--model", pocket(t), "--offline", "--api", "", "--for", "50ms")
	b.wait("ready")
	for range b.lines {
	}
	if status, errs := b.stop(); status != ui.Done {
		t.Errorf("status %d, %q", status, errs)
	}
}

// spawn runs yan-node as a process of its own, a daemon without a terminal.
func spawn(t *testing.T, args ...string) (*exec.Cmd, *background) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &background{t: t, lines: make(chan event, 1000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		readEvents(out, b.lines)
	}()
	b.stop = sync.OnceValues(func() (int, string) {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-read
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode(), errs.String()
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		b.stop()
	})
	return cmd, b
}

// Killed at any moment, a node has every byte that it acknowledged, and is the node that read so much and
// was never killed.
func TestKillLosesNothing(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	model := pocket(t)
	text := prose(400 << 10)
	cmd, b := spawn(t, "run", "--json", "--home", home, "--model", model, "--offline", "--api", "", "--read", file(t, "book.txt", text))
	acknowledged := 0
	for acknowledged < 5*groupBytes {
		acknowledged = b.wait("kept").Bytes
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for e := range b.lines {
		if e.Event == "kept" {
			acknowledged = e.Bytes
		}
	}
	if status, _ := b.stop(); status == ui.Done {
		t.Fatal("it had ended before it was killed")
	}

	d, err := device.Open(device.Options{Home: home, ModelFile: model})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	have := int(d.Node.Learner().Events())
	if have < acknowledged || have > len(text) {
		t.Fatalf("%d bytes of %d acknowledged are there", have, acknowledged)
	}

	key, err := os.ReadFile(filepath.Join(home, "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	twin := t.TempDir() // the same device, never killed
	if err := os.WriteFile(filepath.Join(twin, "identity.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := device.Open(device.Options{Home: twin, ModelFile: model})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Node.Focus(time.Now(), ""); err != nil {
		t.Fatal(err)
	}
	e.Node.Observe(time.Now(), text[:have])
	if !bytes.Equal(snapshotOf(t, d.Node.Learner()), snapshotOf(t, e.Node.Learner())) {
		t.Error("the mind that was killed is another than the one that was not")
	}
}

func snapshotOf(t *testing.T, l *learning.Learner) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Two processes find each other through --join, and a skill that one was taught arrives at the other.
func TestSkillArrivesAtAnotherProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be asked to end there")
	}
	model := pocket(t)
	loop := []string{"--json", "--model", model, "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"}
	one, two := newHome(t), filepath.Join(t.TempDir(), "two")
	_, a := spawn(t, append(loop, "run", "--home", one, "--share", "skills", "--skill", "ferry", "--read", file(t, "book.txt", prose(12000)))...)
	addr := a.wait("ready").Addrs[0]
	a.wait("read")
	_, b := spawn(t, append(loop, "run", "--home", two, "--join", addr)...)
	if e := b.wait("fold"); e.Skill != "ferry" || e.Verdict != "folded" {
		t.Errorf("%+v", e)
	}
	peers := decode[[]peerReport](t, must(t, "", "peers", "--json", "--home", two))
	if len(peers) != 1 || !peers[0].Here || peers[0].Folded != 1 || !strings.HasPrefix(peers[0].Agent, "yan-node") {
		t.Errorf("%+v", peers)
	}
	for _, p := range []*background{b, a} {
		if status, errs := p.stop(); status != ui.Done {
			t.Errorf("status %d, %s", status, errs)
		}
	}
	skills := decode[[]skillReport](t, must(t, "", "skill", "list", "--json", "--home", two, "--model", model))
	if len(skills) != 1 || skills[0].Name != "ferry" || skills[0].Author == "" || skills[0].Shared {
		t.Errorf("%+v", skills)
	}
	eval := func(extra ...string) float64 {
		args := append([]string{"eval", "--json", "--home", two, "--model", model, "--data", "text:" + file(t, "more.txt", prose(30000)[12000:])}, extra...)
		return decode[map[string]any](t, must(t, "", args...))["bits_per_byte"].(float64)
	}
	if with, without := eval(), eval("--static"); !(with < 0.8*without) {
		t.Errorf("the skill brought it from %.3f to %.3f bits a byte", without, with)
	}
	ref := "skill forget " + refOf(string(skills[0].Author), "ferry")
	must(t, "", append(strings.Fields(ref), "--home", two, "--model", model)...)
	if status, _, errs := yan(t, "", "skill", "show", "ferry", "--home", two, "--model", model); status != ui.Failed {
		t.Errorf("it is still there: %s", errs)
	}
}

func TestFind(t *testing.T) {
	list := []skillReport{{Name: "a"}, {Name: "a", Author: "12D3KooWone"}, {Name: "b", Author: "12D3KooWone"}, {Name: "b", Author: "12D3KooWtwo"}, {Name: "c", Author: "12D3KooWtwo"}}
	for ref, want := range map[string]string{"a": "a", "one/a": "12D3KooWone/a", "12D3KooWtwo/b": "12D3KooWtwo/b", "c": "12D3KooWtwo/c"} {
		if s, err := find(list, ref); err != nil || refOf(string(s.Author), s.Name) != want {
			t.Errorf("%s: %+v, %v", ref, s, err)
		}
	}
	for _, ref := range []string{"b", "d", "/a", "x/a", ""} {
		if s, err := find(list, ref); err == nil {
			t.Errorf("%s: %+v", ref, s)
		}
	}
}

// Groups hold all that was read, in order, none larger than one may be; the reader's error comes last.
func TestGroups(t *testing.T) {
	broken := errors.New("unplugged")
	text := prose(3*groupBytes + 100)
	g := readGroups(t.Context(), io.MultiReader(bytes.NewReader(text), brokenReader{broken}))
	var got []byte
	for b := range g.c {
		if len(b) == 0 || len(b) > groupBytes {
			t.Errorf("a group of %d bytes", len(b))
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, text) || !errors.Is(g.err, broken) {
		t.Errorf("%d bytes of %d, %v", len(got), len(text), g.err)
	}
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

// Another address than a loopback one wants a token, which is made for the owner alone, and without which nothing is answered.
func TestTokenOfTheAPI(t *testing.T) {
	home, token := filepath.Join(t.TempDir(), "home"), filepath.Join(t.TempDir(), "token")
	model := pocket(t)
	keyboard, _ := io.Pipe()
	args := []string{"--home", home, "--model", model, "--offline", "--api", "0.0.0.0:0", "--api-token", token}
	b := begin(t, new(runFlags), keyboard, args...)
	_, port, err := net.SplitHostPort(b.wait("ready").API)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(token); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Fatalf("the token: %v, %v", info, err)
	}
	secret, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	for with, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer " + strings.TrimSpace(string(secret)): 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", with)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("with %q: %d, want %d", with, resp.StatusCode, want)
		}
	}
	if r := decode[statusReport](t, must(t, "", "status", "--json", "--home", home, "--model", model)); !r.Running {
		t.Errorf("the owner's own command is not let in: %+v", r)
	}
	b.stop()
	again, err := readToken(token)
	if err != nil || again != strings.TrimSpace(string(secret)) {
		t.Errorf("the token became %q, %v", again, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(token, 0o644); err != nil {
			t.Fatal(err)
		}
		if status, _, errs := yan(t, "", append([]string{"run"}, args...)...); status != ui.Failed || !strings.Contains(errs, "others may read it") {
			t.Errorf("a token that others may read: status %d, %q", status, errs)
		}
	}
	if status, _, errs := yan(t, "", "run", "--home", home, "--model", model, "--offline", "--api", "127.0.0.1:0", "--api-token", file(t, "short", []byte("short\n"))); status != ui.Failed || !strings.Contains(errs, "16 printable") {
		t.Errorf("a short token: status %d, %q", status, errs)
	}
}
