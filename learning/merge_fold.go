package learning

import (
	"errors"
	"fmt"
	"strings"
)

// Many is the author of skills that were merged of what many taught. Where camps stay apart, those of the second camp have "many-2", and so on.
const Many = "many"

// ofMany reports whether a skill was merged.
func (s *Skill) ofMany() bool { return ofMany(s.Author) }

func ofMany(author string) bool { return author == Many || strings.HasPrefix(author, Many+"-") }

// FoldMerged takes in a skill that was merged of what many taught, as Fold does: a skill for each of its camps, whose author is [Many], in
// the place of the earlier merged ones of its name. inputs are the authors whose versions went in, in the order of
// [MergeReport]'s Counted, with an empty one in the place of each who has taught more since: what the others taught under that name singly
// is retired into the merged skill. A skill of our own of that name is not touched.
//
// If all camps together do harm, each is tried alone, and what stood before stays for those that do.
func (l *Learner) FoldMerged(d *Delta, inputs []string) (gain float64, err error) {
	camps := append([]*Delta{d}, d.more...)
	skills := make([]*Skill, len(camps))
	covered := make([]map[string]bool, len(camps))
	for k, x := range camps {
		author := Many
		if k > 0 {
			author = fmt.Sprintf("%s-%d", Many, k+1)
		}
		if skills[k], err = l.foreign(author, x); err != nil {
			return 0, err
		}
		covered[k] = x.covers(inputs)
	}
	gain, err = l.try(skills, func(o *Skill) bool {
		if o.Own() || o.Name != d.Name {
			return false
		}
		for _, c := range covered {
			if c[o.Author] {
				return true
			}
		}
		return o.ofMany()
	})
	if !errors.Is(err, ErrHarm) || len(camps) == 1 {
		return gain, err
	}
	taken := 0.0
	for k, s := range skills {
		g, alone := l.try([]*Skill{s}, func(o *Skill) bool {
			return !o.Own() && o.Name == d.Name && (covered[k][o.Author] || o.Author == s.Author)
		})
		if alone == nil {
			taken, err = taken+g, nil
		}
	}
	if err == nil {
		gain = taken
	}
	return gain, err
}

// covers are those of the inputs that are in this camp.
func (d *Delta) covers(inputs []string) map[string]bool {
	c := map[string]bool{}
	for _, m := range d.members {
		if m < len(inputs) && inputs[m] != "" {
			c[inputs[m]] = true
		}
	}
	return c
}
