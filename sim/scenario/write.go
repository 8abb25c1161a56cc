package scenario

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/yanmesh/yan/sim"
)

// YAML writes a scenario such that [Parse] reads the same. What is as by default is left out.
func (s *Scenario) YAML() []byte {
	var b bytes.Buffer
	d := Default()
	s.fields().write(&b, d.fields(), "")
	return b.Bytes()
}

// write writes a mapping. Every line begins with the indentation but the first, whose place in a list the caller wrote.
func (fs fields) write(b *bytes.Buffer, defaults fields, indent string) {
	for i, f := range fs {
		switch {
		case f.sub != nil:
			if f.has != nil && !f.has() {
				continue
			}
			var in bytes.Buffer
			f.sub().write(&in, defaults[i].sub(), indent+"  ")
			if in.Len() > 0 {
				fmt.Fprintf(b, "%s%s:\n%s", indent, f.key, in.Bytes())
			} else if f.has != nil { // it is there, and as by default
				fmt.Fprintf(b, "%s%s: {}\n", indent, f.key)
			}
		case f.list == nil:
			if w := f.word.write(); w != defaults[i].word.write() {
				fmt.Fprintf(b, "%s%s: %s\n", indent, f.key, f.word.quoted(w))
			}
		case f.list.write != nil:
			if ws := f.list.write(); !slices.Equal(ws, defaults[i].list.write()) {
				for i := range ws {
					ws[i] = f.list.any().quoted(ws[i])
				}
				fmt.Fprintf(b, "%s%s: [%s]\n", indent, f.key, strings.Join(ws, ", "))
			}
		default:
			items := f.list.items()
			if len(items) == 0 {
				continue
			}
			fmt.Fprintf(b, "%s%s:\n", indent, f.key)
			for _, item := range items {
				var in bytes.Buffer
				item.write(&in, f.list.fresh(), indent+"    ")
				if in.Len() == 0 {
					fmt.Fprintf(b, "%s  - {}\n", indent)
					continue
				}
				fmt.Fprintf(b, "%s  - %s", indent, in.Bytes()[len(indent)+4:])
			}
		}
	}
}

// quoted is a word as YAML has it.
func (k kind) quoted(w string) string {
	if !k.strings {
		return w
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(w); err != nil {
		panic("scenario: " + err.Error())
	}
	return strings.TrimSpace(b.String())
}

// Explicit returns a scenario whose world of that length has these options, each device named one by one: what a world that was
// changed by hand, or made small, is written down as. Its users have to speak text.
func (s *Scenario) Explicit(o sim.Options, length time.Duration) (*Scenario, error) {
	e := *s
	fixed := func(d time.Duration) When { return When{Fixed: d} }
	e.Devices, e.Length, e.Talk, e.Groups, e.Users = len(o.Devices), length, fixed(o.Talk), nil, nil
	e.Data = Data{Kind: Here, Amount: s.Data.Amount, Classes: s.Data.Classes}
	e.Central = Default().Central
	l := &e.Learning
	l.Sections, l.Neurons, l.Rate, l.Rehearse = o.Learning.Sections, o.Learning.Neurons, o.Learning.Rate, o.Learning.Rehearse
	l.Recent, l.Reservoir, l.Harm, l.Features, l.Fast = o.Learning.Recent, o.Learning.Reservoir, o.Learning.Harm, o.Features, o.Learning.Fast
	m := Default().Mesh
	e.Mesh = Mesh{Degree: cmp.Or(o.Degree, m.Degree), Updates: cmp.Or(o.Updates, m.Updates), Interval: fixed(o.Exchange.Interval),
		Fanout: cmp.Or(o.Exchange.Fanout, m.Fanout), MaxLive: o.Exchange.MaxLive, Versions: o.Exchange.Versions, Memory: cmp.Or(o.Exchange.MaxHeld, m.Memory)}
	e.Links = linksOf(o.Links)
	e.Faults = Faults{Crashes: Many{Count: o.Faults.Crashes}, Churn: o.Faults.Churn, Down: fixed(o.Faults.Down)}
	for _, p := range o.Faults.Partitions {
		e.Faults.Partitions = append(e.Faults.Partitions, Partition{From: fixed(p.From), For: fixed(p.For), Share: p.Share})
	}
	e.Laws, e.Exam.Points = nil, 1 // an exam is a step of the minds that sit it
	for _, law := range o.Laws {
		e.Laws = append(e.Laws, law.Name)
	}
	for _, d := range o.Devices {
		if d.Shown != nil || !utf8.Valid(d.Stream) || !utf8.Valid(d.Held) {
			return nil, fmt.Errorf("scenario %s: device %s: what its user shows or says is no text that can be written down", s.Name, d.Name)
		}
		u := Said{Name: d.Name, Skill: d.Skill, Says: string(d.Stream), Held: string(d.Held), Share: string(d.Share), Attack: string(d.Attack),
			Central: d.Central > 0, Speed: time.Duration(d.Speed*1e9 + 0.5)}
		if d.Links != nil {
			l := linksOf(*d.Links)
			u.Links = &l
		}
		for _, a := range d.Away {
			u.Away = append(u.Away, Span{From: fixed(a.From), For: fixed(a.For)})
		}
		for _, v := range d.Visits {
			u.Places = append(u.Places, Place{From: fixed(v.From), At: v.Place})
		}
		e.Users = append(e.Users, u)
	}
	return &e, nil
}

func linksOf(l sim.Links) Links {
	if l.MaxDelay == 0 { // as package sim has it then
		l.MinDelay, l.MaxDelay = 20*time.Millisecond, 200*time.Millisecond
	}
	return Links{Delay: []time.Duration{l.MinDelay, l.MaxDelay}, Loss: l.Loss, Bandwidth: cmp.Or(l.Bandwidth, 1<<20)}
}
