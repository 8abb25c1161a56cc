package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// get asks a running node, as a browser or Prometheus would.
func get(t *testing.T, api, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+api+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return string(b)
}

// scraped asks for the metrics until a series has that value: each side learns of the other in its own time.
func scraped(t *testing.T, api, series, value string) (text string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; {
		if text = get(t, api, "/metrics"); sample(text, series) == value {
			return text
		}
	}
	t.Fatalf("%s is not %s but %q", series, value, sample(text, series))
	return text
}

// sample is the value of a series, as it stands in a scrape; empty if it is not there.
func sample(text, series string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// swarmOf makes a swarm of homes, the first of which owns it.
func swarmOf(t *testing.T, homes ...string) {
	t.Helper()
	must(t, "", "swarm", "init", "--home", homes[0])
	for _, home := range homes[1:] {
		self, err := identity(home)
		if err != nil {
			t.Fatal(err)
		}
		must(t, must(t, "", "swarm", "admit", string(self), "--home", homes[0]), "swarm", "join", "-", "--home", home)
	}
}

// documented are the rows of the table of metrics, as they stand in docs.
func documented(t *testing.T) (rows []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "| `yan_") {
			rows = append(rows, strings.TrimRight(line, "\n"))
		}
	}
	if len(rows) == 0 {
		t.Error("docs/metrics.md has no table of metrics")
	}
	return rows
}

// The table in docs/metrics.md is what the code offers, in its order and its words.
func TestMetricsAreDocumented(t *testing.T) {
	var want []string
	row := func(name, kind string, labels []string, help string) {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", name, kind, strings.Join(labels, ", "), help))
	}
	for _, m := range metrics {
		kind := "gauge"
		if m.kind == prometheus.CounterValue {
			kind = "counter"
		}
		row(m.name, kind, m.labels, m.help)
	}
	row("yan_fold_gain_nats", "histogram", []string{"verdict"}, "What trying an update gained on the owner's own recent events, in nats an event; negative where it cost.")
	if have := documented(t); !slices.Equal(have, want) {
		t.Errorf("docs/metrics.md should have these rows:\n%s", strings.Join(want, "\n"))
	}
}

// Two nodes of a swarm exchange a skill, and then every metric that is documented is there, as Prometheus would have
// it, and says what happened; and so do peers, status and the log.
func TestMetricsOfARunningNode(t *testing.T) {
	model := pocket(t)
	one, two := newHome(t), filepath.Join(t.TempDir(), "two")
	swarmOf(t, one, two)
	flags := []string{"--model", model, "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--home"}
	keyboard, _ := io.Pipe()
	text := prose(12000)
	a := begin(t, new(runFlags), keyboard, append(flags, one, "--share", "skills", "--skill", "ferry", "--read", file(t, "book.txt", text))...)
	ready := a.wait("ready")
	a.wait("read")
	b := begin(t, new(runFlags), keyboard, append(flags, two, "--join", ready.Addrs[0], "--log-format", "json", "--log-level", "info")...)
	at := b.wait("ready").API
	b.wait("fold")

	const talks = `yan_peers{state="talks"}`
	from, to := scraped(t, ready.API, talks, "1"), scraped(t, at, talks, "1")
	for _, scrape := range []string{from, to} {
		problems, err := promlint.New(strings.NewReader(scrape)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "yan_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	}
	name := regexp.MustCompile("^\\| `(yan_[a-z_]+)` \\| ([a-z]+) ")
	for _, row := range documented(t) {
		m := name.FindStringSubmatch(row)
		if m == nil {
			t.Fatalf("no metric in %q", row)
		}
		switch m[1] {
		case "yan_round_trip_seconds", "yan_nat_punchable", "yan_central_info":
			continue // what takes minutes, or an address translation, is below
		}
		if !strings.Contains(to, "# TYPE "+m[1]+" "+m[2]+"\n") {
			t.Errorf("%s, a %s, is not there", m[1], m[2])
		}
	}
	self, err := identity(one)
	if err != nil {
		t.Fatal(err)
	}
	if age := sample(to, `yan_update_age_seconds{author="`+string(self)+`"}`); age == "" {
		t.Error("the age of what came is not told")
	}
	for series, want := range map[string]string{
		`yan_node_answers`:                           "1",
		`yan_peers{state="talks"}`:                   "1",
		`yan_folds_total{verdict="folded"}`:          "1",
		`yan_fold_gain_nats_count{verdict="folded"}`: "1",
		`yan_updates_held`:                           "1",
		`yan_skills{owner="peer",weights="awake"}`:   "1",
		`yan_faults_total{reason="signature"}`:       "0",
		`yan_admissions_refused_total{by="us"}`:      "0",
		`yan_store_writes_total{outcome="failed"}`:   "0",
		`yan_connections{path="direct"}`:             "0",
	} {
		if got := sample(to, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	for series, want := range map[string]string{
		`yan_events_total`:                        fmt.Sprint(len(text)),
		`yan_read_events_total`:                   fmt.Sprint(len(text)),
		`yan_skills{owner="own",weights="awake"}`: "1",
		`yan_skills_shared`:                       "1",
	} {
		if got := sample(from, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	for _, series := range []string{`yan_stream_bytes_total{direction="in",kind="say"}`, `yan_stream_bytes_total{direction="out",kind="admit"}`,
		`yan_messages_total{direction="in",kind="hello"}`, `yan_messages_total{direction="out",kind="hello"}`,
		`yan_store_bytes{what="index"}`, `yan_store_free_bytes`, `yan_swarm_pass_expires_timestamp_seconds`, `yan_connections{path="local"}`} {
		if got := sample(to, series); got == "" || got == "0" {
			t.Errorf("%s is %q", series, got)
		}
	}

	peers := decode[[]peerReport](t, must(t, "", "peers", "--json", "--home", two))
	if len(peers) != 1 || peers[0].ID != self || !peers[0].Here || peers[0].State != peerTalks || peers[0].Held != 1 || peers[0].Folded != 1 ||
		peers[0].Since == nil || len(peers[0].Ways) == 0 || peers[0].Ways[0].Way != "local" || peers[0].Ways[0].Transport != "quic" || peers[0].Note != "" {
		t.Errorf("%+v", peers)
	}
	table := must(t, "", "peers", "--home", two)
	if !strings.Contains(table, self.Short()) || strings.Contains(table, string(self)) || !strings.Contains(table, "local quic") {
		t.Errorf("%s", table)
	}
	if table := must(t, "", "peers", "--full", "--home", two); !strings.Contains(table, string(self)) {
		t.Errorf("%s", table)
	}
	status := decode[statusReport](t, must(t, "", "status", "--json", "--home", two, "--model", model))
	if f := status.LastFold; f == nil || f.Author != self || f.Skill != "ferry" || f.Verdict != "folded" || f.When.IsZero() {
		t.Errorf("%+v", f)
	}
	if !strings.HasPrefix(status.Swarm, "swarm-") || status.Expires == nil || status.States[peerTalks] != 1 || status.Central == nil {
		t.Errorf("%+v", status)
	}
	if out := must(t, "", "status", "--home", two, "--model", model); !strings.Contains(out, "last tried: skill ferry of "+self.Short()) || !strings.Contains(out, "in swarm-") {
		t.Errorf("%s", out)
	}

	a.stop()
	_, errs := b.stop()
	said := map[string]map[string]any{}
	for line := range strings.Lines(errs) {
		if strings.HasPrefix(line, "{") { // the others are for people
			entry := decode[map[string]any](t, line)
			said[entry["msg"].(string)] = entry
		}
	}
	if e := said["peer joined"]; e["peer"] != string(self) || e["level"] != "INFO" {
		t.Errorf("%v", said)
	}
	if e := said["fold"]; e["peer"] != string(self) || !strings.HasPrefix(fmt.Sprint(e["update"]), self.Short()+"/") || e["verdict"] != "folded" {
		t.Errorf("%v", e)
	}
}

// A node that does not answer is a metric too, and what does not need it is still told.
func TestMetricsWithoutTheNode(t *testing.T) {
	whole := metricsOf(t, &view{reach: &p2p.Reach{Mapping: map[string]string{"udp": p2p.MappingIndependent, "tcp": p2p.MappingDependent}},
		links: []p2p.Link{{Rounds: 3 * time.Second}, {Rounds: time.Second}, {}, {Rounds: 2 * time.Second}}})
	if whole["yan_nat_punchable"] != 1 || whole["yan_round_trip_seconds"] != 6 {
		t.Errorf("%v", whole)
	}
	turn := metricsOf(t, &view{node: &nodeView{central: exchange.CentralStatus{Term: 30_000_000, Ranks: []protocol.PeerID{"a", "b"}, Convicted: 1, Accepted: 7, Published: 2}}})
	if turn["yan_central_info"] != 1 || turn["yan_central_term"] != 30_000_000 || turn["yan_centrals_convicted"] != 1 || turn["yan_records_accepted_total"] != 7 || turn["yan_records_published_total"] != 2 {
		t.Errorf("%v", turn)
	}
	got := metricsOf(t, &view{writes: diskWrites{Done: 3, Worst: 2 * time.Second}})
	if answers, there := got["yan_node_answers"]; !there || answers != 0 || got["yan_store_writes_total"] != 3 || got["yan_store_slowest_write_seconds"] != 2 {
		t.Errorf("%v", got)
	}
	if _, there := got["yan_peers"]; there {
		t.Error("peers of a node that does not answer")
	}
}

// metricsOf is, for each metric, the sum of its series.
func metricsOf(t *testing.T, v *view) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newCollector(func() *view { return v }))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			got[f.GetName()] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return got
}

// However many authors there are, the age of only so many is told.
func TestAgesAreBounded(t *testing.T) {
	v := &view{now: time.Unix(1000, 0), node: new(nodeView)}
	for i := range 500 {
		v.node.newest = append(v.node.newest, exchange.Newest{Author: protocol.PeerID(fmt.Sprint(i)), Made: int64(i)})
	}
	seen := map[string]float64{}
	ages(v, func(age float64, labels ...string) { seen[labels[0]] = age })
	if len(seen) != agedAuthors || seen["499"] != 501 {
		t.Errorf("%d authors, the newest %v seconds old", len(seen), seen["499"])
	}
}

// A disk's times are those of its last writes, the one under way among them.
func TestTimedJournal(t *testing.T) {
	now := time.Unix(0, 0)
	inner := &slowJournal{pass: func(d time.Duration) { now = now.Add(d) }}
	j := newTimedJournal(inner)
	j.now = func() time.Time { return now }
	for i := range 40 {
		inner.takes = time.Duration(i) * time.Millisecond
		if err := j.Append(nil); err != nil {
			t.Fatal(err)
		}
	}
	if w := j.stats(); w.Done != 40 || w.Worst != 39*time.Millisecond || w.Median != 24*time.Millisecond || w.Took != 780*time.Millisecond {
		t.Errorf("%+v", w)
	}
	inner.takes, inner.meanwhile = time.Minute, func() {
		if w := j.stats(); w.Worst != time.Minute || w.Done != 40 {
			t.Errorf("while it writes: %+v", w)
		}
	}
	inner.err = fmt.Errorf("it is broken")
	if err := j.Snapshot(nil); err == nil {
		t.Error("the error is lost")
	}
	if w := j.stats(); w.Failed != 1 || w.Err == nil {
		t.Errorf("%+v", w)
	}
}

// A slowJournal keeps nothing and takes its time.
type slowJournal struct {
	node.Journal
	takes     time.Duration
	pass      func(time.Duration)
	meanwhile func()
	err       error
}

func (j *slowJournal) write() error {
	j.pass(j.takes)
	if j.meanwhile != nil {
		j.meanwhile()
	}
	return j.err
}

func (j *slowJournal) Append([][]byte) error                { return j.write() }
func (j *slowJournal) Snapshot(func(io.Writer) error) error { return j.write() }

// A skill with a budget tells what was spent of it, and when it is spent is counted and told by the doctor.
func TestMetricsOfABudget(t *testing.T) {
	n, err := node.New(node.Config{Key: meshtest.Key(1), Chance: rand.New(rand.NewPCG(1, 2))}, base.Pocket())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	for _, name := range []string{"diary", "ferry"} {
		if _, err := n.Focus(now, name); err != nil {
			t.Fatal(err)
		}
		n.Observe(now, prose(6000))
		n.Flush(now)
	}
	if _, err := n.Focus(now, ""); err != nil {
		t.Fatal(err)
	}
	v := viewOf(n)
	if v.policies[node.Private] != 2 || v.epsilon != 0 || v.spent != 0 || v.shared != 0 || len(spentOf(n)) != 0 {
		t.Errorf("before: %v, ε %v, %d spent", v.policies, v.epsilon, v.spent)
	}
	if _, err := n.SetTerms(now, "diary", node.Terms{Policy: node.Public, Epsilon: 8, Delta: 1e-5, Versions: 1}); err != nil {
		t.Fatal(err)
	}
	n.Publish(now)
	v = viewOf(n)
	if v.policies[node.Private] != 1 || v.policies[node.Public] != 1 || v.spent != 1 || v.epsilon < 7 || v.epsilon > 8.01 || v.shared != 1 {
		t.Errorf("after one version of one: %v, ε %v, %d spent", v.policies, v.epsilon, v.spent)
	}
	if names := spentOf(n); !slices.Equal(names, []string{"diary"}) {
		t.Errorf("%v", names)
	}
}
