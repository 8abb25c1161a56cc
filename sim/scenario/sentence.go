package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Figure is what may stand in braces in the sentence that a scenario shows.
type Figure struct{ Name, Doc string }

// Figures lists them.
func Figures() []Figure {
	return []Figure{
		{"devices", "how many devices there are"},
		{"time", "how long the world ran"},
		{"sent", "what a device sent, on average"},
		{"untaught", "share of everyone's held-out bytes or examples that are told right by a device on its first day"},
		{"alone", "the same by devices that learnt without a mesh"},
		{"mesh", "the same by devices in the mesh"},
		{"centralised", "the same by one mind to which all users spoke"},
		{"of-centralised", "the mesh's share of what the centralised mind tells right"},
		{"better", "by how much the mesh is better or worse than being alone"},
		{"closed", "what part of the way from alone to centralised the mesh has come, in bits a byte, or of examples in those told right"},
		{"alone-bits", "bits a byte of everyone's held-out text, alone"},
		{"mesh-bits", "the same in the mesh"},
		{"centralised-bits", "the same of the centralised mind"},
		{"own-alone", "as `alone`, but of the device's own user"},
		{"own-mesh", "as `mesh`, but of the device's own user"},
		{"groups", "`mesh` of the devices of each group, and of the others"},
		{"crashes", "how many times a device crashed"},
		{"restarts", "how many times a device that was off came back"},
		{"divided", "what devices knew at the end of the first partition: bits a byte of a sample, or examples told right"},
		{"undivided", "the same at the end of the storm"},
		{"half", "when half of the devices that can have it had the first teacher's skill, counted from when it was first announced"},
		{"most", "when nine of ten had it"},
		{"had", "the share that had it in the end"},
		{"shunned", "share of the pairs of an honest and a hostile device in which the honest one asks the hostile one no more"},
		{"wronged", "share of the pairs of honest devices in which one asks the other no more"},
		{"heard", "share of the pairs of an honest and a hostile device in which the honest one has a skill of the hostile one"},
		{"terms", "how many times a central merged what others taught"},
		{"believed", "how many merges of centrals were folded by devices"},
		{"laws", "that all laws held, or which did not"},
	}
}

var braced = regexp.MustCompile(`\{[^{}]*\}`)

// checkSentence reports a figure that there is none of.
func checkSentence(s string) error {
	all := Figures()
	for _, name := range braced.FindAllString(s, -1) {
		if !slices.ContainsFunc(all, func(f Figure) bool { return "{"+f.Name+"}" == name }) {
			var names []string
			for _, f := range all {
				names = append(names, f.Name)
			}
			return fmt.Errorf("%s: no such figure: there is %s", name, strings.Join(names, ", "))
		}
	}
	if strings.ContainsAny(braced.ReplaceAllString(s, ""), "{}") {
		return fmt.Errorf("%q: a brace without its counterpart: write {mesh}", s)
	}
	return nil
}

// Sentence is what the scenario shows, with the figures filled in. A figure that was not measured says so.
func (s *Scenario) Sentence(figures map[string]string) string {
	return braced.ReplaceAllStringFunc(s.Shows, func(name string) string {
		if v := figures[name[1:len(name)-1]]; v != "" {
			return v
		}
		return "(not measured)"
	})
}
