package main

import (
	"context"
	crypto "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/api"
	"github.com/yanmesh/yan/protocol"
)

const (
	defaultAPI = "127.0.0.1:7411"
	apiFile    = "api" // in the home: where the running node answers
	apiWait    = 10 * time.Second
)

// checkAPI refuses addresses that others could reach, unless they have to know a secret: whoever may ask is whoever may log in here.
func checkAPI(addr, tokenFile string) error {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return ui.Usage("--api %q: write an address like %s", addr, defaultAPI)
	}
	if !api.Loopback(host) && tokenFile == "" {
		return ui.Usage("--api %s: the address is not a loopback one: write one like %s, or say in which file the token is, with --api-token FILE", addr, defaultAPI)
	}
	return nil
}

// minToken is the fewest bytes that a token may have.
const minToken = 16

// readToken reads the token of the API from a file, which is made if it is not there and which nobody else may read.
func readToken(name string) (string, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		token := crypto.Text()
		if err := writeWhole(name, []byte(token+"\n")); err != nil {
			return "", fmt.Errorf("--api-token %s: %w", name, err)
		}
		return token, nil
	}
	if err != nil {
		return "", fmt.Errorf("--api-token %s: %w", name, err)
	}
	if !info.Mode().IsRegular() || info.Size() > 4<<10 {
		return "", fmt.Errorf("--api-token %s: it is no small file: name another", name)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("--api-token %s: others may read it: chmod 600 it", name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("--api-token %s: %w", name, err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("--api-token %s: a token has %d printable characters or more and no spaces: remove the file, and one is made", name, minToken)
	}
	return token, nil
}

// A door is where the running node is asked.
type door struct {
	addr   string
	file   string
	room   *api.Server
	server *http.Server
	done   chan struct{}
}

// serve begins to answer.
func (s *session) serve() error {
	if s.runFlags.api == "" {
		return nil
	}
	host, _, _ := net.SplitHostPort(s.runFlags.api) // checkAPI has seen it
	c := api.Config{Do: s.dev.Do, Host: host, More: s.questions(), Log: s.log}
	if s.apiToken != "" {
		var err error
		if c.Token, err = readToken(s.apiToken); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", s.runFlags.api)
	if err != nil { // taken, as a rule by another node
		why := err
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return fmt.Errorf("--api %s: %w: choose another address", s.runFlags.api, err)
		}
		s.log.Warn("the address of the API is taken, using a free one", "instead", l.Addr().String(), "why", why)
	}
	a := &door{addr: l.Addr().String(), file: filepath.Join(s.dev.Home, apiFile), done: make(chan struct{})}
	// The commands of this home find the node by this file, and with it what lets them in.
	if err := writeWhole(a.file, []byte(fromHere(a.addr)+"\n"+c.Token)); err != nil {
		return errors.Join(fmt.Errorf("--home %s: %w", s.dev.Home, err), l.Close())
	}
	a.room = api.New(c)
	a.server = &http.Server{Handler: a.room, ReadHeaderTimeout: apiWait, ReadTimeout: 3 * apiWait, WriteTimeout: 3 * apiWait, MaxHeaderBytes: 16 << 10}
	s.api = a
	go func() {
		defer close(a.done)
		if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the API answers no more", "err", err)
		}
	}()
	return nil
}

// fromHere is how this machine reaches an address that is listened on: where that is every address, a loopback one is among them.
func fromHere(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip, bad := netip.ParseAddr(host); err == nil && bad == nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// writeWhole puts a small file in place in one step, for its owner's eyes.
func writeWhole(name string, b []byte) error {
	part := name + ".part"
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return err
	}
	return os.Rename(part, name)
}

func (a *door) close() error {
	a.room.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.server.Close()
	}
	<-a.done
	return errors.Join(err, os.Remove(a.file))
}

// A statusReport is what a node says of itself.
type statusReport struct {
	Running    bool            `json:"running"`
	Version    string          `json:"version"`
	ID         protocol.PeerID `json:"id"`
	Home       string          `json:"home"`
	Model      string          `json:"model"`
	Parameters int             `json:"parameters"`
	Events     uint64          `json:"events"`
	Skills     int             `json:"skills"`
	SkillBytes int64           `json:"skill_bytes"`              // what their weights take of memory
	Memory     int64           `json:"memory,omitempty"`         // what they may take
	Resting    []string        `json:"resting_skills,omitempty"` // whose weights are on the disk until they are needed
	Held       int             `json:"held"`                     // updates that others may have from here
	Share      string          `json:"share,omitempty"`
	Addrs      []string        `json:"addrs,omitempty"`
	Peers      int             `json:"peers"`
	States     map[string]int  `json:"peer_states,omitempty"` // the same, by what the conversation with them is
	Swarm      string          `json:"swarm,omitempty"`       // its public name
	Expires    *time.Time      `json:"swarm_expires,omitempty"`
	Reach      *reachReport    `json:"reach,omitempty"`
	LastFold   *foldReport     `json:"last_fold,omitempty"`
	Central    *centralReport  `json:"central,omitempty"`
	Uptime     float64         `json:"uptime_seconds,omitempty"`
	Notes      []string        `json:"notes,omitempty"` // what was found wrong with the home, and what was done about it
}

func statusOf(n *node.Node, home string) statusReport {
	l := n.Learner()
	r := statusReport{
		Version: ui.Version(), ID: n.Self(), Home: home, Model: protocol.Digest(l.Fingerprint()).String(),
		Parameters: l.Base().Parameters(), Events: l.Events(), Skills: len(l.Skills()),
		Held: len(n.Conversation().Held()), Peers: len(n.Conversation().Peers()), SkillBytes: l.SkillBytes(), Memory: l.Memory(),
	}
	r.addSwarm()
	for _, p := range n.Conversation().Peers() {
		if r.States == nil {
			r.States = map[string]int{}
		}
		r.States[stateOf(p)]++
	}
	for _, s := range l.Skills() {
		if s.Resting() {
			r.Resting = append(r.Resting, refOf(s.Author, s.Name))
		}
		if err := s.Lost(); err != nil {
			r.Notes = append(r.Notes, err.Error()+"; put a sound copy of the file back and start again")
		}
	}
	return r
}

// A reachReport is how others can come to a node, as far as it is known.
type reachReport struct {
	Reachable   []string          `json:"reachable,omitempty"` // addresses at which others found it
	Unreachable []string          `json:"unreachable,omitempty"`
	Relayed     []string          `json:"relayed,omitempty"`     // through which relays
	Relay       bool              `json:"relay,omitempty"`       // it is one itself
	Mapping     map[string]string `json:"nat_mapping,omitempty"` // of the address translation, for udp and tcp
}

// A foldReport is what became of the last peer's skill that was tried.
type foldReport struct {
	When    time.Time       `json:"when"`
	Update  string          `json:"update"`
	Author  protocol.PeerID `json:"author"`
	Skill   string          `json:"skill"`
	Verdict string          `json:"verdict"`
	Gain    float64         `json:"gain"`
	Reason  string          `json:"reason,omitempty"`
	Merged  int             `json:"merged,omitempty"` // of so many peers' versions; then Update and Author are of nobody
}

// A centralReport is whose turn it is to be central, and what centrals did.
type centralReport struct {
	Term       uint64          `json:"term"`              // minutes since 1970
	Central    protocol.PeerID `json:"central,omitempty"` // empty while that is not known
	Rank       int             `json:"rank"`              // ours in this term: 0 is to speak first; -1 for none
	Candidates int             `json:"candidates"`        // ourselves included
	Aligned    int             `json:"aligned"`           // skills
	Last       *alignedReport  `json:"last,omitempty"`    // that was aligned
	Records    uint64          `json:"records"`           // taken in since the node began
	Published  uint64          `json:"published"`         // ours of them
	Convicted  int             `json:"convicted"`         // centrals that signed what was false
}

// An alignedReport is a skill as a central aligned it.
type alignedReport struct {
	Skill   string          `json:"skill"`
	Central protocol.PeerID `json:"central"`
	Term    uint64          `json:"term"`
	Inputs  int             `json:"inputs"`
	Verdict string          `json:"verdict,omitempty"` // empty while it is being tried
	Gain    float64         `json:"gain"`
}

func centralOf(n *node.Node) *centralReport {
	c := n.Conversation().Central()
	r := &centralReport{
		Term: uint64(c.Term), Rank: slices.Index(c.Ranks, n.Self()), Candidates: c.Members, Aligned: c.Skills, Records: c.Accepted,
		Published: c.Published, Convicted: c.Convicted,
	}
	if len(c.Ranks) > 0 {
		r.Central = c.Ranks[0]
	}
	if l := c.Last; l != nil {
		r.Last = &alignedReport{Skill: l.Skill, Central: l.Author, Term: uint64(l.Term), Inputs: len(l.Inputs), Gain: float64(l.Gain) / 1e6}
		if l.Verdict != 0 {
			r.Last.Verdict = l.Verdict.String()
		}
	}
	return r
}

// addSwarm adds which swarm the home is in.
func (r *statusReport) addSwarm() {
	if p, err := readPass(bookIn(r.Home).path(admissionFile)); err == nil && p.Admission != nil {
		until := unix(p.Admission.Expires)
		r.Swarm, r.Expires = p.Swarm.String(), &until
	}
}

// addTo adds what only a run knows.
func (s *session) addTo(r *statusReport) {
	r.Running, r.Share, r.Uptime, r.LastFold = true, s.share, time.Since(s.began).Seconds(), s.lastFold.Load()
	if notes, err := s.dev.Notes(); err == nil { // an answer without them is better than none
		r.Notes = append(r.Notes, notes...)
	}
	if s.mesh == nil {
		return
	}
	r.Addrs = s.mesh.Addrs()
	reach := s.mesh.Reach()
	r.Reach = &reachReport{reach.Reachable, reach.Unreachable, reach.Relayed, reach.Serves, reach.Mapping}
}

// questions are what can be asked of this program beside what the room of the API answers.
func (s *session) questions() map[string]http.Handler {
	more := map[string]http.Handler{}
	asked := func(path string, question func(*node.Node, url.Values) any) {
		more["GET "+path] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), apiWait)
			defer cancel()
			var answer any
			if err := s.dev.Do(ctx, func(_ time.Time, n *node.Node) (node.Actions, error) {
				answer = question(n, r.URL.Query())
				return node.Actions{}, nil
			}); err != nil {
				http.Error(w, "the node does not answer: "+err.Error(), http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer) // whoever asked has left
		})
	}
	ask := func(path string, question func(*node.Node) any) {
		asked(path, func(n *node.Node, _ url.Values) any { return question(n) })
	}
	ask("/healthz", func(*node.Node) any { return map[string]bool{"ready": true} })
	ask("/v1/status", func(n *node.Node) any {
		r := statusOf(n, s.dev.Home)
		s.addTo(&r)
		r.Central = centralOf(n)
		return r
	})
	ask("/v1/peers", func(n *node.Node) any {
		if s.mesh == nil {
			return peersOf(n, nil)
		}
		return peersOf(n, s.mesh.Links())
	})
	more["GET /v1/doctor"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.facts(r.Context()).report(s.id, s.dev.Home)) // whoever asked has left
	})
	ask("/v1/skills", func(n *node.Node) any { return skillsOf(n) })
	more["GET /metrics"] = s.metricsHandler()
	asked("/v1/trace", func(n *node.Node, of url.Values) any { return traced(n, of.Get("text")) })
	return more
}
