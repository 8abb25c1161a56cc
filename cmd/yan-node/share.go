package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/node"
)

// A sharing is who may have a skill, and what it has told of what it was learnt from.
type sharing struct {
	Policy    node.Policy `json:"policy,omitempty"`        // empty for a skill of another's
	Sum       bool        `json:"sum,omitempty"`           // private, but for hidden terms of sums within the swarm
	Epsilon   float64     `json:"epsilon,omitempty"`       // bound of what all versions may tell; 0 for none
	Delta     float64     `json:"delta,omitempty"`         // the chance that the bound does not hold
	Spent     float64     `json:"epsilon_spent,omitempty"` // what the versions so far tell; it stays when the skill is shared no more
	Boundless bool        `json:"told_without_noise,omitempty"`
	Left      int         `json:"versions_left,omitempty"`
}

func sharingOf(n *node.Node, s *learning.Skill) (r sharing) {
	if !s.Own() {
		return r
	}
	return sharingBy(n.Terms(s), n.Told(s))
}

func sharingBy(t node.Terms, told node.Told) (r sharing) {
	r = sharing{Policy: t.Policy, Sum: t.Sum, Epsilon: t.Epsilon, Delta: told.Delta, Spent: told.Epsilon, Left: told.Left}
	if math.IsInf(r.Spent, 1) { // which JSON has no word for
		r.Spent, r.Boundless = 0, true
	}
	return r
}

// audience is one word on who has a skill from here.
func (s skillReport) audience() string {
	switch {
	case s.Author != "":
		return "no"
	case s.Policy == node.Swarm && !s.Shared:
		return "swarm (none here)"
	case s.Sum:
		return "sum"
	}
	return string(s.Policy)
}

// tell prints what sharing comes to.
func (s skillReport) tell(w io.Writer) {
	switch {
	case s.Author != "":
		fmt.Fprintln(w, "its author shares it; from here nobody is offered it as ours")
	case s.Policy == node.Swarm && !s.Shared:
		fmt.Fprintln(w, "for the swarm, and this device is in none: nobody is offered it until yan-node swarm join")
	case s.Policy == node.Swarm:
		fmt.Fprintln(w, "for the swarm: whoever is admitted to it may have it")
	case s.Policy == node.Public:
		fmt.Fprintln(w, "public: whoever is on the mesh may have it")
	case s.Sum && s.Boundless:
		fmt.Fprintln(w, "for sums within the swarm: as it is now it has left this device, as a hidden term or before; it is a term again once it has learnt as much again")
	case s.Sum:
		fmt.Fprintln(w, "for sums within the swarm: it leaves this device as a hidden term alone, once others of the swarm offer theirs")
	case s.Boundless || s.Spent > 0:
		fmt.Fprintln(w, "private: it is offered to nobody any more; who has it keeps it")
	default:
		fmt.Fprintln(w, "private: nothing of it leaves this device")
	}
	switch {
	case s.Boundless && s.Epsilon > 0:
		fmt.Fprintln(w, "it was announced without noise before, so no bound holds and it is announced no more: teach it under another name")
	case s.Epsilon > 0:
		fmt.Fprintf(w, "with noise: what was announced tells ε %.4g of %g at δ %g of all that it was learnt from; ", s.Spent, s.Epsilon, s.Delta)
		if s.Left == 0 {
			fmt.Fprintln(w, "the budget is spent, and it is announced no more")
		} else {
			fmt.Fprintf(w, "%d versions are left\n", s.Left)
		}
	case s.Policy != node.Private && s.Policy != "":
		fmt.Fprintln(w, "without noise: who has it can find out much of what it was learnt from")
	}
}

// skillShare sets who may have a skill.
func skillShare(c *common) *cobra.Command {
	var t node.Terms
	cmd := &cobra.Command{
		Use:   "share NAME [private|sum|swarm|public]",
		Short: "Say who may have a skill, and what it may tell",
		Long: `share says who may have a skill: nobody (private), whoever is admitted to the swarm (swarm), or whoever is on the mesh
(public, which stands if nothing is said). It holds whatever --share says of all skills.

A skill for a sum (sum) is had by nobody either: within the swarm it is added up with those of three others at least, in a
way that shows nobody its part, and the mean is what everyone has. That hides who said what, and not what all said.

A skill can be made to tell what it was learnt from. With --epsilon what is announced is clipped and has noise in it, and all
its versions together tell no more than that: whoever sees them finds them at most e^ε times as likely as if the
skill had been taught as much of anything else, but for a chance of δ. Its name, about how much was said and when
it is announced are not hidden. With a small ε little of the skill arrives. What was spent is spent: when the budget
is, the skill is announced no more.`,
		Example: `  yan-node skill share music
  yan-node skill share diary swarm
  yan-node skill share letters sum
  yan-node skill share music public --epsilon 8 --versions 2`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Policy = node.Public
			if len(args) == 2 {
				t.Policy = node.Policy(args[1])
				if args[1] == "sum" {
					t.Policy, t.Sum = node.Private, true
				}
			}
			if t.Epsilon == 0 {
				if cmd.Flags().Changed("versions") || cmd.Flags().Changed("clip") || cmd.Flags().Changed("delta") {
					return ui.Usage("skill share: --delta, --versions and --clip belong to a budget: name one with --epsilon")
				}
				t.Delta = 0
			}
			if err := t.Check(); err != nil {
				return ui.Usage("skill share: %s", strings.TrimPrefix(err.Error(), "node: "))
			}
			done, err := c.changeSkill(cmd, args[0], func(now time.Time, n *node.Node, s skillReport) (node.Actions, error) {
				if s.Author != "" {
					return node.Actions{}, fmt.Errorf("skill %s: it is not yours to share: its author does", refOf(string(s.Author), s.Name))
				}
				return n.SetTerms(now, s.Name, t)
			})
			if err != nil {
				return err
			}
			if c.json {
				return ui.JSON(cmd.OutOrStdout(), map[string]any{"done": "share", "skill": done})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "share: done for skill %s\n", done.Name)
			done.tell(cmd.OutOrStdout())
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Float64Var(&t.Epsilon, "epsilon", 0, "bound of what all versions together may tell; 0 for none")
	f.Float64Var(&t.Delta, "delta", 1e-5, "the chance that the bound does not hold")
	f.IntVar(&t.Versions, "versions", 0, "among how many versions the budget is divided (default 4)")
	f.Float64Var(&t.Clip, "clip", 0, "how long a change of the weights may be")
	return cmd
}

// changeSkill changes one skill of a home on which no node runs.
func (c *common) changeSkill(cmd *cobra.Command, ref string, change func(time.Time, *node.Node, skillReport) (node.Actions, error)) (done skillReport, err error) {
	d, err := c.open(cmd, device.Options{})
	if err != nil {
		return done, err
	}
	d.Start(nil, nil)
	err = d.Do(cmd.Context(), func(now time.Time, n *node.Node) (node.Actions, error) {
		list := skillsOf(n)
		var err error
		if done, err = find(list, ref); err != nil {
			return node.Actions{}, err
		}
		a, err := change(now, n, done)
		for _, s := range skillsOf(n) {
			if s.Author == done.Author && s.Name == done.Name {
				done = s
			}
		}
		return a, err
	})
	return done, errors.Join(err, d.Close())
}
