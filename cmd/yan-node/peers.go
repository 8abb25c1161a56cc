package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
	"github.com/yanmesh/yan/protocol"
)

// A peerReport is what a node knows of a peer.
type peerReport struct {
	ID        protocol.PeerID `json:"id"`
	Short     string          `json:"short"`
	Here      bool            `json:"here"`
	Near      bool            `json:"near,omitempty"`  // of another cell
	State     string          `json:"state,omitempty"` // what the conversation with it is, while it is here
	Agent     string          `json:"agent,omitempty"`
	Version   uint16          `json:"version,omitempty"` // of the conversation that it speaks
	Since     *time.Time      `json:"since,omitempty"`
	LastHeard *time.Time      `json:"last_heard,omitempty"`
	Reason    string          `json:"reason,omitempty"` // why nothing is exchanged with it
	RoundTrip float64         `json:"round_trip_seconds,omitempty"`
	Ways      []wayReport     `json:"ways,omitempty"` // one for each connection
	Messages  uint64          `json:"messages"`
	Ignored   uint64          `json:"ignored"` // of its messages: too many, or none of our business
	Invalid   uint64          `json:"invalid"` // updates it passed on that their author did not sign
	Held      int             `json:"held"`    // updates of its own that are held here
	Folded    int             `json:"folded"`
	Refused   int             `json:"refused"`
	Harmful   int             `json:"harmful"`
	Gain      float64         `json:"gain"` // nats an event, over all its skills
	Shunned   bool            `json:"shunned"`
	Faulty    bool            `json:"faulty,omitempty"` // ignored for what it sent
	Note      string          `json:"note,omitempty"`   // why nothing is exchanged, or what else is odd, for people
}

// A wayReport is one connection.
type wayReport struct {
	Way       string `json:"way"` // direct, lan, local or relay
	Transport string `json:"transport"`
	Dialled   bool   `json:"dialled"` // by us
	Addr      string `json:"addr"`
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// peersOf lists who is here, then who is connected without being here, and then who was of note before, each sorted by name.
func peersOf(n *node.Node, links []p2p.Link) []peerReport {
	list := []peerReport{}
	at := map[protocol.PeerID]int{}
	of := func(id protocol.PeerID) *peerReport {
		i, there := at[id]
		if !there {
			i = len(list)
			at[id] = i
			list = append(list, peerReport{ID: id, Short: id.Short()})
		}
		return &list[i]
	}
	x := n.Conversation()
	for _, p := range x.Peers() {
		r := of(p.ID)
		r.Here, r.State, r.Agent, r.Version, r.Since, r.LastHeard = true, stateOf(p), p.Agent, p.Version, when(p.Since), when(p.LastHeard)
		r.Reason, r.Messages, r.Ignored, r.Invalid = p.Reason, p.Messages, p.Ignored, p.Invalid
	}
	for _, l := range links {
		r := of(l.Peer)
		r.RoundTrip, r.Faulty, r.Near = l.Rounds.Seconds(), l.Ignored, l.Near
		for _, p := range l.Paths {
			r.Ways = append(r.Ways, wayReport{p.Way, p.Transport, p.Dialled, p.Addr})
		}
	}
	for _, st := range x.Ledger() {
		r := of(st.Author)
		r.Folded, r.Refused, r.Harmful, r.Gain, r.Shunned = st.Folded, st.Refused, st.Harmful, float64(st.Gain)/1e6, st.Shunned
	}
	for _, u := range x.Newest() {
		if i, there := at[u.Author]; there {
			list[i].Held = u.Skills
		}
	}
	for i := range list {
		list[i].Note = list[i].note()
	}
	return list
}

// note says in a few words what is odd.
func (r *peerReport) note() string {
	relay := len(r.Ways) > 0 && !slices.ContainsFunc(r.Ways, func(w wayReport) bool { return w.Way != "relay" })
	switch {
	case r.Faulty:
		return "ignored for what it sent"
	case r.Shunned:
		return "not asked any more: its skills only harm"
	case r.Reason != "":
		return "nothing exchanged: " + r.Reason
	case r.Here && r.State == peerSilent:
		return "has not said Hello yet"
	case r.Here && len(r.Ways) == 0:
		return "not connected now"
	case r.Here && relay:
		return "no skills come through a relay"
	case !r.Here && len(r.Ways) > 0:
		return "connected, and not in the mesh: see yan-node doctor"
	}
	return ""
}

// way names a peer's connections, the best first.
func (r *peerReport) way() string {
	var names []string
	for _, w := range r.Ways {
		name := w.Way + " " + w.Transport
		if w.Way == "relay" {
			name = w.Way
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// peersCommand lists the peers of the running node.
func peersCommand(c *common) *cobra.Command {
	full := false
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List the peers of the running node, and what their skills were worth",
		Long: `peers lists who is on the mesh: for how long, over which kind of connection (direct, lan, local, or relay), how long a
message and its answer take, how many messages it sent, how many of its updates are held, what became of its skills when
they were tried and what they gained, in nats an event; and why nothing is exchanged, where that is so.`,
		Example: `  yan-node peers
  yan-node peers --home ~/car --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.exists(); err != nil {
				return err
			}
			home, err := c.folder()
			if err != nil {
				return err
			}
			st, err := store.Open(home, store.Options{Format: node.Format})
			if err == nil {
				return errors.Join(fmt.Errorf("no node runs on %s: start one with yan-node run", home), st.Close())
			}
			if !errors.Is(err, store.ErrInUse) {
				return err
			}
			var list []peerReport
			if err := c.ask(cmd.Context(), "/v1/peers", &list, err); err != nil {
				return err
			}
			if c.json {
				return ui.JSON(cmd.OutOrStdout(), list)
			}
			if len(list) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no peers yet: name one with --join, or look around with --lan")
				return nil
			}
			return peerTable(list, full, time.Now()).Fprint(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&full, "full", false, "print whole names")
	return cmd
}

func peerTable(list []peerReport, full bool, now time.Time) *ui.Table {
	t := ui.NewTable("peer", "here for", "agent", "round trip", "way", "messages", "held", "folded", "refused", "harmful", "gain", "note")
	for _, p := range list {
		name, here, trip := p.Short, "-", "-"
		if full {
			name = string(p.ID)
		}
		if p.Here && p.Since != nil {
			here = ui.Duration(now.Sub(*p.Since).Round(time.Second))
		}
		if p.RoundTrip > 0 {
			trip = ui.Duration(time.Duration(p.RoundTrip * float64(time.Second)))
		}
		t.Row(name, here, printable([]byte(p.Agent)), trip, p.way(), p.Messages, p.Held, p.Folded, p.Refused, p.Harmful, fmt.Sprintf("%+.4f", p.Gain), p.Note)
	}
	return t
}
