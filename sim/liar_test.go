package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/model/base"
)

// Who lies when it is central is found out by all who merge the same, and asked no more; the honest go on, and merge without it.
func TestLiarsAsCentral(t *testing.T) {
	o := cell(6)
	o.Base = base.Tiny()
	o.Talk = 12 * time.Minute
	for i := range o.Devices {
		o.Devices[i].Skill = "news"
	}
	for i := range 2 {
		o.Devices[i].Attack, o.Devices[i].Central = Liar, 4
	}
	w, transcript, err := play(t, 2, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"user-0 lies about its turn", "user-1 lies about its turn", "lets its turn pass"} {
		if !strings.Contains(transcript, word) {
			t.Errorf("nothing in the transcript %q", word)
		}
	}
	for _, d := range w.devices[2:] {
		c := d.node.Conversation()
		if n := c.Central().Convicted; n != 2 {
			t.Errorf("%s convicted %d", d.opt.Name, n)
		}
		al := c.Aligned()
		if len(al) != 1 || w.byID[al[0].Author].opt.Attack != "" || len(al[0].Inputs) < 4 {
			t.Errorf("%s has aligned %+v", d.opt.Name, al)
		}
	}
	if s := w.Standoff(); s.Wronged > 0 || s.Shunned != s.Pairs {
		t.Errorf("%+v", s)
	}
}
