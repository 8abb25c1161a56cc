package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/node/store"
	"github.com/yanmesh/yan/protocol"
)

// maxAnswer bounds what is read of a node's answer.
const maxAnswer = 64 << 20

// ask asks the node that runs on the home. inUse is how the store said that there is one.
func (c *common) ask(ctx context.Context, path string, answer any, inUse error) error {
	home, err := c.folder()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(home, apiFile))
	if err != nil {
		return fmt.Errorf("%w; it answers no questions (run it with --api)", inUse)
	}
	addr, token, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if checkAPI(addr, token) != nil || addr == "" { // a loopback address, or one that wants a token
		return fmt.Errorf("%s holds no loopback address: start the node again", filepath.Join(home, apiFile))
	}
	ctx, cancel := context.WithTimeout(ctx, 3*apiWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req) // through no proxy
	if err != nil {
		return fmt.Errorf("%w; it does not answer at %s (%v)", inUse, addr, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	b, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("the node at %s: %w", addr, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the node at %s: %s: %s", addr, resp.Status, strings.TrimSpace(string(b)))
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("the node at %s: not an answer: %w", addr, err)
	}
	return nil
}

// exists refuses a home that nobody began: asking must not make one.
func (c *common) exists() error {
	home, err := c.folder()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(home, "identity.key")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no device in %s: yan-node makes one, or name another --home", home)
	}
	return nil
}

// statusCommand says what a device is and does.
func statusCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say what the device is and, if it runs, what it does",
		Long:  `status asks the node that runs on the home; when none does, it says what is in the home.`,
		Example: `  yan-node status
  yan-node status --home ~/car --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.exists(); err != nil {
				return err
			}
			var r statusReport
			d, err := c.open(cmd, device.Options{})
			switch {
			case errors.Is(err, store.ErrInUse):
				if err := c.ask(cmd.Context(), "/v1/status", &r, err); err != nil {
					return err
				}
			case err != nil:
				return err
			default:
				r = statusOf(d.Node, d.Home)
				var notes []string
				notes, err = d.Notes()
				r.Notes = append(r.Notes, notes...)
				if err := errors.Join(err, d.Close()); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			if c.json {
				return ui.JSON(out, r)
			}
			state := "not running"
			if r.Running {
				state = "running for " + ui.Duration(time.Duration(r.Uptime*float64(time.Second)).Round(time.Second))
			}
			fmt.Fprintf(out, "device %s, %s\nhome %s\n", r.ID, state, r.Home)
			fmt.Fprintf(out, "base model %s, %s parameters\n", r.Model, ui.Count(int64(r.Parameters)))
			fmt.Fprintf(out, "read %s events, has %d skills, holds %d updates for others\n", ui.Count(int64(r.Events)), r.Skills, r.Held)
			limit := ""
			if r.Memory > 0 {
				limit = " of " + ui.Bytes(r.Memory)
			}
			fmt.Fprintf(out, "skills take %s%s of memory, %d rest on the disk", ui.Bytes(r.SkillBytes), limit, len(r.Resting))
			if len(r.Resting) > 0 {
				fmt.Fprintf(out, ": %s", strings.Join(r.Resting, ", "))
			}
			fmt.Fprintln(out)
			if r.Running {
				fmt.Fprintf(out, "shares %s, %s\n", r.Share, r.around())
				if r.Central != nil && r.Central.Central != "" {
					fmt.Fprintf(out, "%s\n", r.Central.say(r.ID))
				}
				if r.LastFold != nil {
					fmt.Fprintf(out, "%s\n", r.LastFold)
				}
			}
			if r.Swarm != "" {
				fmt.Fprintf(out, "in %s until %s\n", r.Swarm, day(*r.Expires))
			}
			for _, n := range r.Notes {
				fmt.Fprintf(out, "note: %s\n", n)
			}
			for _, a := range r.Addrs {
				fmt.Fprintf(out, "listening: --join %s\n", a)
			}
			return nil
		},
	}
}

// around says who is here, in one line.
func (r *statusReport) around() string {
	text := fmt.Sprintf("%d peers here", r.Peers)
	if n := r.States[peerForeign]; n > 0 {
		text += fmt.Sprintf(", %d of them on another base model", n)
	}
	if n := r.States[peerSilent]; n > 0 {
		text += fmt.Sprintf(", %d not greeted yet", n)
	}
	switch {
	case r.Reach == nil:
	case len(r.Reach.Reachable) > 0:
		text += "; others reach it at " + strings.Join(r.Reach.Reachable, ", ")
	case len(r.Reach.Relayed) > 0:
		text += "; others reach it through a relay"
	case len(r.Reach.Unreachable) > 0:
		text += "; nobody from outside reaches it: see yan-node doctor"
	}
	return text
}

// say says whose turn it is, to the device of that name.
func (c *centralReport) say(self protocol.PeerID) string {
	who := c.Central.Short()
	if c.Central == self {
		who = "this device"
	}
	text := fmt.Sprintf("term %d: %s is central of %d, %d skills aligned", c.Term, who, c.Candidates, c.Aligned)
	if c.Convicted > 0 {
		text += fmt.Sprintf(", %d centrals convicted of false results", c.Convicted)
	}
	if l := c.Last; l != nil {
		text += fmt.Sprintf("; last %s of %d devices by %s (%+.4f nats an event)", l.Skill, l.Inputs, l.Central.Short(), l.Gain)
	}
	return text
}

func (f *foldReport) String() string {
	of := f.Author.Short()
	if f.Merged > 0 {
		of = fmt.Sprintf("%d peers, merged,", f.Merged)
	}
	text := fmt.Sprintf("last tried: skill %s of %s at %s, %s", f.Skill, of, f.When.Format(time.DateTime), f.Verdict)
	if f.Reason != "" {
		return text + ": " + printable([]byte(f.Reason))
	}
	return text + fmt.Sprintf(" (%+.4f nats an event)", f.Gain)
}
