package sim

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// cell is a small world in which all see one another, some teach the same, and anyone may be central.
func cell(devices int) Options {
	o := small(devices)
	o.Degree = 2 * devices
	o.Exchange.Central = 1
	for i := range o.Devices {
		o.Devices[i].Skill = []string{"news", "weather"}[i%2]
	}
	return o
}

// banks are the skills that a device has, by author and name, others' authors by their short names.
func (d *device) banks() (list []string) {
	for _, s := range d.node.Learner().Skills() {
		author := s.Author
		if author != "" && author != learning.Many {
			author = protocol.PeerID(author).Short()
		}
		list = append(list, author+"/"+s.Name)
	}
	slices.Sort(list)
	return list
}

// In the worst of storms, and with a partition in which each half has its own centrals, everyone ends with the same merged; without
// centrals everyone ends with everyone's versions singly.
func TestCentralsInAStorm(t *testing.T) {
	slow(t)
	o := storm(cell(8))
	o.Faults.Partitions = []Partition{{From: 2 * time.Minute, For: 10 * time.Minute}}
	w, transcript, err := play(t, 3, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	centrals := map[string]bool{}
	for line := range strings.Lines(transcript) {
		if _, rest, ok := strings.Cut(line, " tells everyone record of"); ok {
			_, by, _ := strings.Cut(rest, " by ")
			centrals[by[:6]] = true
		}
	}
	if len(centrals) < 3 {
		t.Errorf("%d devices were central", len(centrals))
	}
	taken := 0
	want := w.devices[0].node.Conversation().Aligned()
	if len(want) != 2 {
		t.Fatalf("%d skills are aligned", len(want))
	}
	for _, d := range w.devices {
		all := true
		for i, al := range d.node.Conversation().Aligned() {
			all = all && al.Verdict == protocol.Folded // what did harm to its own user is not taken
			if len(al.Inputs) != 4 || al.Result != want[i].Result {
				t.Errorf("%s has %s aligned of %d versions to %v", d.opt.Name, al.Skill, len(al.Inputs), al.Result)
			}
		}
		if got := d.banks(); all && !slices.Equal(got, []string{"/" + d.opt.Skill, "many/news", "many/weather"}) {
			t.Errorf("%s has %v", d.opt.Name, got)
		}
		if all {
			taken++
		}
	}
	if taken < len(w.devices)/2 {
		t.Errorf("%d devices took all", taken)
	}

	o.Exchange.Central = 0
	w, _, err = play(t, 3, o, sabotage{})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.devices[0].banks(); len(got) != 8 || w.Traffic(protocol.KindRecord).Messages > 0 {
		t.Errorf("without centrals there are %v", got)
	}
}

// A central that dies while it publishes is followed by the next rank ten seconds after the term began.
func TestCentralDiesWhilePublishing(t *testing.T) {
	var w *World
	var dead *device
	var died, next mesh.Term
	var after time.Duration
	var deadRank, rank uint8
	s := sabotage{deliver: func(to int, m protocol.Message) bool {
		al, ok := m.(*protocol.Align)
		if !ok {
			return false
		}
		author := w.byID[al.Author]
		switch {
		case dead == nil:
			dead, died, deadRank = author, mesh.Term(al.Term), al.Rank
			w.devices[to].turn.Ask(w.lookahead, author.crash)
			return true
		case author == dead && author.up && mesh.Term(al.Term) == died:
			return true // it is about to crash
		case author == dead && mesh.Term(al.Term) == died:
			t.Errorf("%s heard what nobody can have passed on", w.devices[to].opt.Name)
		case next == 0:
			next, rank, after = mesh.Term(al.Term), al.Rank, w.now().Sub(died.Start())
		}
		return false
	}}
	o := cell(6).withDefaults()
	o.Workers = 1 // what is looked at is not one device's
	w, err := newWorld(5, o, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range w.devices {
		d.disk = newJournal()
	}
	if err := w.Run(15 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := w.Calm(); err != nil {
		t.Fatal(err)
	}
	if dead == nil || next != died || rank != deadRank+1 || after < time.Duration(rank)*mesh.TakeOver || after > time.Duration(rank)*mesh.TakeOver+time.Second {
		t.Errorf("after rank %d of term %d, rank %d of term %d spoke, %v after its beginning", deadRank, died, rank, next, after)
	}
}

// lying is a world whose first device signs false results whenever it is central, and where others are when it is.
func lying(o Options, lie func(*protocol.Record) *protocol.Record) sabotage {
	return sabotage{send: func(from int, m protocol.Message) protocol.Message {
		r, ok := m.(*protocol.Record)
		if !ok || from != 0 {
			return m
		}
		return lie(r)
	}}
}

// A central that signs what does not come of the versions is refused by every other device: what is in their minds is what would
// be there without it, and none takes anything from it any more.
func TestMaliciousCentralIsRefused(t *testing.T) {
	slow(t)
	o := cell(6)
	var w *World
	lies := 0
	s := lying(o, func(r *protocol.Record) *protocol.Record {
		if r.Author != w.devices[0].id {
			return r
		}
		al, err := protocol.DecodeAlignment(r.Body)
		if err != nil {
			t.Error(err)
			return nil
		}
		lies++
		al.Skills[0].Result[3] ^= 1
		f := &protocol.Record{Align: r.Align}
		if f.Body, err = protocol.EncodeAlignment(al); err != nil {
			t.Error(err)
		}
		f.Digest, f.Size = protocol.Sum(f.Body), uint32(len(f.Body))
		f.Sign(w.devices[0].key)
		return f
	})
	// The devices that do not look believe it.
	for _, looks := range []bool{true, false} {
		lies = 0
		opt := o.withDefaults()
		opt.Laws = slices.DeleteFunc(Laws(), func(l Law) bool { return strings.HasPrefix(l.Name, "after calm") }) // the liar is shut out
		s.config = func(i int, c *node.Config) {
			if i == 0 {
				c.Exchange.Central = 255
			}
		}
		if !looks {
			s.config = func(i int, c *node.Config) {
				c.Exchange.Central = 0
				if i == 0 {
					c.Exchange.Central = 255
				}
			}
		}
		var err error
		if w, err = newWorld(9, opt, s); err != nil {
			t.Fatal(err)
		}
		if err := w.Run(20 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if lies == 0 {
			t.Fatal("it was never central")
		}
		liar := w.devices[0]
		for _, d := range w.devices[1:] {
			if !d.shuns(liar.id) || d.node.Conversation().Central().Convicted != 1 {
				t.Errorf("%s did not convict", d.opt.Name)
			}
			for _, al := range d.node.Conversation().Aligned() {
				if al.Author == liar.id {
					t.Errorf("%s has %s aligned by the liar", d.opt.Name, al.Skill)
				}
			}
			if slices.ContainsFunc(d.node.Conversation().Held(), func(id protocol.UpdateID) bool { return id.Author == liar.id }) {
				t.Errorf("%s holds what the liar made", d.opt.Name)
			}
			if looks && d.merges == 0 {
				t.Errorf("%s merged nothing with the others", d.opt.Name)
			}
		}
	}
}

// What a central says goes to everyone once, also past those who do not see it.
func TestRecordsTravel(t *testing.T) {
	o := cell(6)
	o.Degree = 2
	w, transcript, err := play(t, 4, o, sabotage{config: func(i int, c *node.Config) {
		if i > 0 {
			c.Exchange.Central = 0
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	told, heard, at := 0, 0, 0.0
	for line := range strings.Lines(transcript) {
		now, err := strconv.ParseFloat(strings.Fields(line)[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(line, " tells everyone record"):
			told++
			at = now
		case strings.Contains(line, ": record of") && now < at+2: // later it would be because they asked
			heard++
		}
	}
	if told == 0 || heard != 5*told {
		t.Errorf("%d records were told, and heard %d times by 5 others", told, heard)
	}
	if n := w.Traffic(protocol.KindRecord).Messages; n != uint64(5*told) {
		t.Errorf("%d records were sent for %d", n, told)
	}
	if got := w.devices[3].node.Conversation().Aligned(); len(got) != 2 || len(got[0].Inputs) != 3 {
		t.Errorf("aligned: %v", got)
	}
}
