package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
	"github.com/yanmesh/yan/protocol"
)

// A skillReport is what a node knows of a skill.
type skillReport struct {
	Name   string          `json:"name"`
	Author protocol.PeerID `json:"author,omitempty"` // empty for what was learnt here
	Shared bool            `json:"shared"`           // others may have it from here
	sharing
	Events     uint64  `json:"events"`
	Sections   int     `json:"sections"`
	Parameters int     `json:"parameters"`
	Gain       float64 `json:"gain"`              // nats an event that it saved its author on data held out
	Open       float64 `json:"open"`              // share of its own context in which its gate opens
	Fires      float64 `json:"fires"`             // share of other contexts in which it does
	Resting    bool    `json:"resting,omitempty"` // its weights are on the disk until they are needed

	Kind    string   `json:"kind,omitempty"`    // classes or controls, of a skill that examples were shown of; empty for text
	Answers []string `json:"answers,omitempty"` // the classes or controls that it knows
}

func skillsOf(n *node.Node) []skillReport {
	list := []skillReport{}
	for _, s := range n.Learner().Skills() {
		list = append(list, skillReport{
			Name: s.Name, Author: protocol.PeerID(s.Author), Shared: n.Shares(s), sharing: sharingOf(n, s), Events: s.Events, Sections: s.Sections(),
			Parameters: s.Parameters(), Gain: s.Gain, Open: s.Report.Open, Fires: s.Report.Fires, Resting: s.Resting(),
		})
	}
	return append(list, knacksOf(n)...)
}

// skillCommand is all that the owner does with skills.
func skillCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "skill",
		Short: "List the device's skills, share them or forget them",
		Long: `skill shows what the device learnt by name, by itself, or from others, and says what others may have.
A skill of another's is named PEER/NAME, as skill list prints it.`,
		Example: `  yan-node skill list
  yan-node skill share music public`,
	}
	cmd.AddCommand(skillList(c), skillShow(c),
		skillShare(c),
		skillChange(c, "unshare", "Offer a skill to nobody any more; who has it keeps it", "music", "music --home ~/car",
			func(now time.Time, n *node.Node, s skillReport) (node.Actions, error) {
				if s.Author != "" {
					return node.Actions{}, fmt.Errorf("skill %s: it is its author who shares it", refOf(string(s.Author), s.Name))
				}
				return n.SetShared(now, s.Name, false)
			}),
		skillChange(c, "forget", "Remove a skill, as if it had never been", "music", "12D3KooWExample/music",
			func(now time.Time, n *node.Node, s skillReport) (node.Actions, error) {
				return n.Forget(now, string(s.Author), s.Name)
			}))
	return cmd
}

// refOf is how a skill is named on the command line.
func refOf(author, name string) string {
	if author == "" {
		return name
	}
	return author + "/" + name
}

// find finds the skill that the owner means: NAME is our own, or the only one of that name, and PEER/NAME
// another's, of which the end of its name will do.
func find(skills []skillReport, ref string) (skillReport, error) {
	author, name, foreign := strings.Cut(ref, "/")
	if !foreign {
		author, name = "", ref
	}
	var found []skillReport
	for _, s := range skills {
		switch {
		case s.Name != name:
		case !foreign && s.Author == "":
			return s, nil
		case !foreign || strings.HasSuffix(string(s.Author), author) && author != "":
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return skillReport{}, fmt.Errorf("no skill %q: skill list shows what there is", ref)
	}
	return skillReport{}, fmt.Errorf("%d skills are named %q: write PEER/NAME, as skill list prints it", len(found), ref)
}

// skills lists the skills of the home, whether a node runs on it or not.
func (c *common) skills(cmd *cobra.Command) (list []skillReport, err error) {
	d, err := c.open(cmd, device.Options{})
	if errors.Is(err, store.ErrInUse) {
		return list, c.ask(cmd.Context(), "/v1/skills", &list, err)
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return skillsOf(d.Node), nil
}

func skillList(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the skills",
		Example: `  yan-node skill list
  yan-node skill list --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.skills(cmd)
			if err != nil {
				return err
			}
			if c.json {
				return ui.JSON(cmd.OutOrStdout(), list)
			}
			if len(list) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no skills yet: what is read or typed becomes one")
				return nil
			}
			t := ui.NewTable("skill", "events", "sections", "numbers", "gain", "shared")
			for _, s := range list {
				t.Row(refOf(string(s.Author), s.Name), ui.Count(int64(s.Events)), s.Sections, ui.Count(int64(s.Parameters)),
					fmt.Sprintf("%+.3f", s.Gain), s.audience())
			}
			return t.Fprint(cmd.OutOrStdout())
		},
	}
}

func skillShow(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show what is known of a skill",
		Example: `  yan-node skill show music
  yan-node skill show music --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := c.skills(cmd)
			if err != nil {
				return err
			}
			s, err := find(list, args[0])
			if err != nil {
				return err
			}
			if c.json {
				return ui.JSON(cmd.OutOrStdout(), s)
			}
			by := "learnt here"
			if s.Author != "" {
				by = "by " + string(s.Author)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "skill %s, %s\n", s.Name, by)
			if s.Kind != "" {
				fmt.Fprintf(out, "learnt from %s examples of %d %s: %s\n", ui.Count(int64(s.Events)), len(s.Answers), s.Kind, strings.Join(s.Answers, ", "))
				if s.Author == "" {
					fmt.Fprintf(out, "saves %+.3f nats an example held out\n", s.Gain)
				}
				s.tell(out)
				return nil
			}
			fmt.Fprintf(out, "learnt from %s events into %d sections (%s numbers)\n", ui.Count(int64(s.Events)), s.Sections, ui.Count(int64(s.Parameters)))
			fmt.Fprintf(out, "saved its author %+.3f nats an event on data held out\n", s.Gain)
			fmt.Fprintf(out, "opens in %s of its own context and in %s of others\n", percent(s.Open), percent(s.Fires))
			s.tell(out)
			return nil
		},
	}
}

// skillChange is a command that changes one skill of a home on which no node runs.
func skillChange(c *common, verb, short, example1, example2 string,
	change func(time.Time, *node.Node, skillReport) (node.Actions, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Example: fmt.Sprintf("  yan-node skill %s %s\n  yan-node skill %s %s", verb, example1, verb, example2),
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := c.changeSkill(cmd, args[0], change)
			if err != nil {
				return err
			}
			if c.json {
				return ui.JSON(cmd.OutOrStdout(), map[string]any{"done": verb, "skill": done})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: done for skill %s\n", verb, refOf(string(done.Author), done.Name))
			return nil
		},
	}
}
