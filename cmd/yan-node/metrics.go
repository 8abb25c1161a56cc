package main

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/yanmesh/yan/exchange"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
	"github.com/yanmesh/yan/protocol"
)

const (
	scrapeWait  = 5 * time.Second // how long a scrape waits for the node
	agedAuthors = 64              // authors whose updates' age is told: those of the newest updates
)

// A view is what the metrics of one scrape are read from.
type view struct {
	now     time.Time
	node    *nodeView // nil if the node did not answer in time
	mesh    *p2p.Stats
	links   []p2p.Link
	reach   *p2p.Reach
	usage   *store.Usage
	writes  diskWrites
	expires time.Time // of the device's admission to its swarm; zero if it is in none
}

// A nodeView is what the goroutine that owns the node copies out of it for a scrape.
type nodeView struct {
	model, self   string
	events        uint64
	seen          node.Seen
	active        float64
	skills        map[[2]string]int // by whose they are and where their weights are
	sections      int
	bytes, memory int64
	shared        int
	policies      map[node.Policy]int // own skills, by who may have them
	epsilon       float64             // the largest that a skill with a budget has told
	spent         int                 // skills whose budget is spent
	counts        exchange.Counts
	load          exchange.Load
	newest        []exchange.Newest
	peers         map[string]int // by state
	shunned       int
	central       exchange.CentralStatus
}

// The states of a peer that is on the mesh, to the conversation.
const (
	peerTalks   = "talks"       // it said Hello, and updates are exchanged
	peerSilent  = "silent"      // its Hello has not come yet
	peerForeign = "other_model" // nothing is exchanged with it
)

func stateOf(p exchange.PeerStatus) string {
	switch {
	case p.Reason != "":
		return peerForeign
	case !p.Greeted:
		return peerSilent
	}
	return peerTalks
}

func viewOf(n *node.Node) *nodeView {
	l, x := n.Learner(), n.Conversation()
	c := l.Base().Config
	v := &nodeView{
		model: protocol.Digest(l.Fingerprint()).String(), self: string(n.Self()), events: l.Events(), seen: n.Seen(),
		active: float64(c.Active) / float64(c.Sections), bytes: l.SkillBytes(), memory: l.Memory(),
		counts: x.Counts(), load: x.Load(), newest: x.Newest(), central: x.Central(),
		skills:   map[[2]string]int{{"own", "awake"}: 0, {"own", "resting"}: 0, {"peer", "awake"}: 0, {"peer", "resting"}: 0},
		policies: map[node.Policy]int{node.Private: 0, node.Swarm: 0, node.Public: 0},
		peers:    map[string]int{peerTalks: 0, peerSilent: 0, peerForeign: 0},
	}
	for _, s := range l.Skills() {
		whose, where := "peer", "awake"
		if s.Own() {
			whose = "own"
		}
		if s.Resting() {
			where = "resting"
		}
		v.skills[[2]string{whose, where}]++
		v.sections += s.Sections()
		if n.Shares(s) {
			v.shared++
		}
		v.budget(n, s)
	}
	for _, p := range x.Peers() {
		v.peers[stateOf(p)]++
	}
	for _, st := range x.Ledger() {
		if st.Shunned {
			v.shunned++
		}
	}
	return v
}

// budget takes in who may have a skill, and what it has told.
func (v *nodeView) budget(n *node.Node, s *learning.Skill) {
	if !s.Own() {
		return
	}
	t := n.Terms(s)
	v.policies[t.Policy]++
	if told := n.Told(s); t.Bounded() && !math.IsInf(told.Epsilon, 0) {
		v.epsilon = max(v.epsilon, told.Epsilon)
		if told.Left == 0 {
			v.spent++
		}
	}
}

// A metric is one that the node offers. Its labels take few values, which we chose, but for authors, of whom there
// are at most agedAuthors.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	read       func(v *view, put func(value float64, labels ...string))
}

type putter = func(value float64, labels ...string)

// ofNode reads a metric off the node, if it answered.
func ofNode(read func(n *nodeView, put putter)) func(*view, putter) {
	return func(v *view, put putter) {
		if v.node != nil {
			read(v.node, put)
		}
	}
}

// ofMesh reads a metric off the mesh, if there is one.
func ofMesh(read func(m *p2p.Stats, put putter)) func(*view, putter) {
	return func(v *view, put putter) {
		if v.mesh != nil {
			read(v.mesh, put)
		}
	}
}

func ofDisk(read func(u *store.Usage, put putter)) func(*view, putter) {
	return func(v *view, put putter) {
		if v.usage != nil {
			read(v.usage, put)
		}
	}
}

func ofReach(read func(r *p2p.Reach, put putter)) func(*view, putter) {
	return func(v *view, put putter) {
		if v.reach != nil {
			read(v.reach, put)
		}
	}
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// metrics are all that the node offers beside those of Go, of the process and of foldGain.
var metrics = []metric{
	{"yan_node_info", "What runs: 1.", gauge, []string{"version", "peer", "model"}, ofNode(func(n *nodeView, put putter) {
		put(1, agent(), n.self, n.model)
	})},
	{"yan_node_answers", "1 if the node answered the scrape within five seconds; without it everything of learning and exchange is missing.", gauge, nil,
		func(v *view, put putter) { put(truth(v.node != nil)) }},

	{"yan_peers", "Peers that are on the mesh, by what the conversation with them is.", gauge, []string{"state"}, ofNode(func(n *nodeView, put putter) {
		for state, k := range n.peers {
			put(float64(k), state)
		}
	})},
	{"yan_cell_members", "Members of this node's cell, itself included.", gauge, nil, ofMesh(func(m *p2p.Stats, put putter) { put(float64(m.Cell)) })},
	{"yan_neighbours", "Peers of other cells that this node is connected to.", gauge, nil, ofMesh(func(m *p2p.Stats, put putter) { put(float64(m.Near)) })},
	{"yan_peers_ignored", "Peers that are ignored for their faults now.", gauge, nil, ofMesh(func(m *p2p.Stats, put putter) { put(float64(m.Ignored)) })},
	{"yan_faults_total", "Faults of peers, by what they sent.", counter, []string{"reason"}, ofMesh(func(m *p2p.Stats, put putter) {
		for _, f := range m.Faults {
			put(float64(f.N), f.What)
		}
	})},
	{"yan_connections", "Connections to peers, by the way they go.", gauge, []string{"path"}, ofMesh(func(m *p2p.Stats, put putter) {
		for _, p := range m.Paths {
			put(float64(p.N), p.What)
		}
	})},
	{"yan_addresses", "Our public addresses, by what others found who tried them, and those through relays.", gauge, []string{"reach"}, ofReach(func(r *p2p.Reach, put putter) {
		put(float64(len(r.Reachable)), "reachable")
		put(float64(len(r.Unreachable)), "unreachable")
		put(float64(len(r.Unknown)), "unknown")
		put(float64(len(r.Relayed)), "relayed")
	})},
	{"yan_nat_punchable", "1 if the address translation before us maps us alike to everyone, so that holes can be punched; 0 if it does not; absent while that is not known.", gauge, []string{"transport"}, ofReach(func(r *p2p.Reach, put putter) {
		for kind, mapping := range r.Mapping {
			put(truth(mapping == p2p.MappingIndependent), kind)
		}
	})},
	{"yan_round_trip_seconds", "How long members took to answer their last probe: the quickest, the middle and the slowest of them.", gauge, []string{"of"}, roundTrips},
	{"yan_stream_bytes_total", "Bytes on streams of ours, before encryption, by what the stream carries.", counter, []string{"kind", "direction"}, ofMesh(func(m *p2p.Stats, put putter) {
		for _, t := range m.Traffic {
			put(float64(t.In), t.Kind, "in")
			put(float64(t.Out), t.Kind, "out")
		}
	})},
	{"yan_admissions_refused_total", "Connections that ended because one side is not admitted to the swarm of the other, by which side would not have it.", counter, []string{"by"}, ofMesh(func(m *p2p.Stats, put putter) {
		put(float64(m.Refused), "us")
		put(float64(m.ShutOut), "peer")
	})},
	{"yan_swarm_pass_expires_timestamp_seconds", "When the device's admission to its swarm ends; absent where there is no swarm.", gauge, nil, func(v *view, put putter) {
		if !v.expires.IsZero() {
			put(float64(v.expires.Unix()))
		}
	}},
	{"yan_bodies_total", "Bodies of updates, by what became of asking for them.", counter, []string{"outcome"}, ofMesh(func(m *p2p.Stats, put putter) {
		put(float64(m.Bodies.Fetched), "fetched")
		put(float64(m.Bodies.Failed), "failed")
		put(float64(m.Bodies.Resumed), "resumed")
		put(float64(m.Bodies.Served), "served")
	})},

	{"yan_messages_total", "Messages of the conversation, by kind.", counter, []string{"kind", "direction"}, ofNode(func(n *nodeView, put putter) {
		for k := range n.counts.Heard {
			if in, out := n.counts.Heard[k], n.counts.Said[k]; in+out > 0 {
				put(float64(in), protocol.Kind(k).String(), "in")
				put(float64(out), protocol.Kind(k).String(), "out")
			}
		}
	})},
	{"yan_messages_lost_total", "Messages of peers that were dropped unread, since the node was too busy or its disk too slow to take them in.", counter, nil, ofMesh(func(m *p2p.Stats, put putter) { put(float64(m.Lost)) })},
	{"yan_messages_ignored_total", "Messages of peers that were not listened to: too many, or of another model.", counter, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.counts.Ignored)) })},
	{"yan_updates_invalid_total", "Updates that their author did not sign.", counter, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.counts.Invalid)) })},
	{"yan_updates_held", "Updates held, and given to whoever asks.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.load.Updates)) })},
	{"yan_updates_held_bytes", "What the bodies of the updates held take of memory.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.load.Bytes)) })},
	{"yan_updates_wanted", "Updates that peers were asked for and that have not come.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.load.Wanted)) })},
	{"yan_update_age_seconds", "Age of the newest update held of an author, by the author's clock; of the 64 authors of the newest updates.", gauge, []string{"author"}, ages},
	{"yan_authors", "Authors whose updates came, by whether more is taken of them.", gauge, []string{"state"}, ofNode(func(n *nodeView, put putter) {
		put(float64(n.load.Authors-n.shunned), "heard")
		put(float64(n.shunned), "shunned")
	})},
	{"yan_folds_total", "Updates of peers that were tried, by what became of them.", counter, []string{"verdict"}, ofNode(func(n *nodeView, put putter) {
		for v := protocol.Folded; v <= protocol.Harmful; v++ {
			put(float64(n.counts.Judged[v]), v.String())
		}
	})},

	{"yan_central_info", "Whose turn it is to be central: 1.", gauge, []string{"central"}, ofNode(func(n *nodeView, put putter) {
		if len(n.central.Ranks) > 0 {
			put(1, string(n.central.Ranks[0]))
		}
	})},
	{"yan_central_term", "The term: minutes since 1970.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.central.Term)) })},
	{"yan_central_candidates", "Peers that could be central in this term, this one included.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.central.Members)) })},
	{"yan_records", "Records of centrals that are kept.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.central.Records)) })},
	{"yan_records_accepted_total", "Records of centrals that were taken in, our own included.", counter, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.central.Accepted)) })},
	{"yan_records_published_total", "Records that this node published when it was central.", counter, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.central.Published)) })},
	{"yan_centrals_convicted", "Centrals that signed a result which was false.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.central.Convicted)) })},
	{"yan_skills_aligned", "Skills that are merged as a central said.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.central.Skills)) })},

	{"yan_events_total", "Events of the owner's stream, in the device's life.", counter, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.events)) })},
	{"yan_read_events_total", "Events of the owner's stream since the node began.", counter, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.seen.Events)) })},
	{"yan_read_surprise_nats_total", "Surprise of the events since the node began.", counter, nil, ofNode(func(n *nodeView, put putter) { put(n.seen.Nats) })},
	{"yan_active_ratio", "Share of the base model's sections that is computed for an event.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(n.active) })},
	{"yan_skills", "Skills, by who made them and whether their weights are in memory.", gauge, []string{"owner", "weights"}, ofNode(func(n *nodeView, put putter) {
		for key, k := range n.skills {
			put(float64(k), key[0], key[1])
		}
	})},
	{"yan_own_skills", "The owner's skills, by who may have them.", gauge, []string{"policy"}, ofNode(func(n *nodeView, put putter) {
		for p, k := range n.policies {
			put(float64(k), string(p))
		}
	})},
	{"yan_privacy_epsilon", "The largest ε that a skill with a budget has told so far, at the δ of its budget.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(n.epsilon) })},
	{"yan_privacy_spent_skills", "Skills whose budget is spent: they are announced no more.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.spent)) })},
	{"yan_skills_shared", "Skills of the owner's that others may have.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.shared)) })},
	{"yan_skill_sections", "Sections that the skills consist of.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.sections)) })},
	{"yan_skill_bytes", "What the skills' weights take of memory.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.bytes)) })},
	{"yan_skill_limit_bytes", "What they may take; 0 for no limit.", gauge, nil, ofNode(func(n *nodeView, put putter) { put(float64(n.memory)) })},

	{"yan_store_bytes", "What the home takes of the disk.", gauge, []string{"what"}, ofDisk(func(u *store.Usage, put putter) {
		put(float64(u.Index), "index")
		put(float64(u.BodyBytes), "bodies")
		put(float64(u.SnapshotBytes), "snapshots")
	})},
	{"yan_store_files", "How many of them there are.", gauge, []string{"what"}, ofDisk(func(u *store.Usage, put putter) {
		put(float64(u.Bodies), "bodies")
		put(float64(u.Snapshots), "snapshots")
	})},
	{"yan_store_journal_records", "Records of the journal that a start would replay.", gauge, nil, ofDisk(func(u *store.Usage, put putter) { put(float64(u.LogRecords)) })},
	{"yan_store_free_bytes", "What is left on the home's disk.", gauge, nil, ofDisk(func(u *store.Usage, put putter) {
		if u.Free >= 0 {
			put(float64(u.Free))
		}
	})},
	{"yan_store_writes_total", "Writes of the journal, of bodies and of snapshots.", counter, []string{"outcome"}, func(v *view, put putter) {
		put(float64(v.writes.Done), "done")
		put(float64(v.writes.Failed), "failed")
	}},
	{"yan_store_write_seconds_total", "How long all of them took.", counter, nil, func(v *view, put putter) { put(v.writes.Took.Seconds()) }},
	{"yan_store_slowest_write_seconds", "The longest of the last 32 of them, the one under way included.", gauge, nil, func(v *view, put putter) { put(v.writes.Worst.Seconds()) }},
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func roundTrips(v *view, put putter) {
	var took []time.Duration
	for _, l := range v.links {
		if l.Rounds > 0 {
			took = append(took, l.Rounds)
		}
	}
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	put(took[0].Seconds(), "quickest")
	put(took[len(took)/2].Seconds(), "middle")
	put(took[len(took)-1].Seconds(), "slowest")
}

func ages(v *view, put putter) {
	if v.node == nil {
		return
	}
	list := slices.Clone(v.node.newest)
	slices.SortFunc(list, func(a, b exchange.Newest) int {
		return cmp.Or(cmp.Compare(b.Made, a.Made), cmp.Compare(a.Author, b.Author))
	})
	for _, n := range list[:min(len(list), agedAuthors)] {
		put(v.now.Sub(time.Unix(n.Made, 0)).Seconds(), string(n.Author))
	}
}

// A collector asks the node and everything around it, each time it is scraped.
type collector struct {
	look  func() *view
	descs []*prometheus.Desc // one for each of metrics
}

func newCollector(look func() *view) *collector {
	c := &collector{look: look}
	for _, m := range metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return c
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	v := c.look()
	for i, m := range metrics {
		m.read(v, func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, value, labels...)
		})
	}
}

// newFoldGain is what peers' updates were worth when they were tried, as the node tells of each.
func newFoldGain() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "yan_fold_gain_nats",
		Help:    "What trying an update gained on the owner's own recent events, in nats an event; negative where it cost.",
		Buckets: []float64{-1, -0.3, -0.1, -0.03, -0.01, 0, 0.01, 0.03, 0.1, 0.3, 1},
	}, []string{"verdict"})
}

// registry is what /metrics shows.
func (s *session) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		s.foldGain, newCollector(s.look))
	return r
}

// metricsHandler answers scrapes, a few at a time.
func (s *session) metricsHandler() http.Handler {
	return promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
}

// look gathers what a scrape shows. Only the node may keep it waiting, and not for long.
func (s *session) look() *view {
	v := &view{now: time.Now(), writes: s.disk.stats()}
	if u, err := s.dev.Store.Usage(); err == nil {
		v.usage = &u
	}
	if s.mesh != nil {
		stats := s.mesh.Stats()
		reach := s.mesh.Reach()
		v.mesh, v.links, v.reach = &stats, s.mesh.Links(), &reach
	}
	home := statusReport{Home: s.dev.Home}
	if home.addSwarm(); home.Expires != nil {
		v.expires = *home.Expires
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait)
	defer cancel()
	answer := make(chan *nodeView, 1)
	if err := s.dev.Do(ctx, func(_ time.Time, n *node.Node) (node.Actions, error) {
		answer <- viewOf(n)
		return node.Actions{}, nil
	}); err == nil {
		v.node = <-answer
	}
	return v
}
