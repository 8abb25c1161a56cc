package scenario

import (
	"time"

	"github.com/yanmesh/yan/sim"
)

// fields is what a scenario's YAML may say. The parser, the schema and the documentation are made from it.
func (s *Scenario) fields() fields {
	return fields{
		{key: "name", doc: "One word by which it is called.", word: text(&s.Name)},
		{key: "about", doc: "One line for the list of scenarios: who the users are and what happens to them.", word: text(&s.About)},
		{key: "shows", doc: "The sentence that is printed at the end, with figures in braces (see Figures below).", word: text(&s.Shows)},
		{key: "devices", doc: "How many devices there are, unless the command says otherwise.", word: count(&s.Devices, MinDevices, MaxDevices)},
		{key: "for", doc: "How long the storm is, unless the command says otherwise. Every time may be a part of it.", word: span(&s.Length, MaxLength)},
		{key: "talk", doc: "The time in which the users say what they have to say.", word: when(&s.Talk)},
		{key: "base", doc: "What every device knows on its first day: the smallest base, a small one that read nothing of what is learnt, or the one that nodes ship with.",
			word: choice(&s.Base, "tiny", "pocket", "embedded")},
		{key: "data", doc: "What the users say or show.", sub: s.Data.fields},
		{key: "learning", doc: "How devices learn.", sub: s.Learning.fields},
		{key: "mesh", doc: "How devices talk to one another.", sub: s.Mesh.fields},
		{key: "central", doc: "Who merges what several devices teach under one name.", sub: s.Central.fields},
		{key: "links", doc: "What lies between two devices.", sub: s.Links.fields},
		{key: "groups", doc: "Devices that are not like the rest. Groups do not overlap.", list: subs(&s.Groups, 32, Group{Says: 1}, (*Group).fields)},
		{key: "users", doc: "Of data of kind `here`: the users, one by one. A law that was broken is shown by such a scenario when its world was made small.", list: subs(&s.Users, 1000, Said{}, (*Said).fields)},
		{key: "faults", doc: "What goes wrong besides the links.", sub: s.Faults.fields},
		{key: "laws", doc: "The laws that are checked, by name. If missing, all of them.", list: words(&s.Laws, 1, 64, lawName)},
		{key: "exam", doc: "How the devices are asked what they know.", sub: s.Exam.fields},
	}
}

func lawName(p *string) kind {
	var names []string
	for _, l := range sim.Laws() {
		names = append(names, l.Name)
	}
	k := choice(p, names...)
	k.brief = "names, as they are printed after a run"
	return k
}

func (d *Data) fields() fields {
	return fields{
		{key: "kind", doc: "`roles`: the speakers of Shakespeare from the data folder, and personas where it is missing or has too few. `personas`: generated diarists who share a " +
			"language, topics and towns. `digits`: pictures of digits, MNIST's from the data folder or drawn ones. `activities`: what people's phones feel, 23 people's from the data folder or " +
			"generated. `text`: files of your own. `here`: users that are named in the scenario, one by one.", word: choice(&d.Kind, Roles, Personas, Digits, Activities, Text, Here)},
		{key: "files", doc: "Of `text`: a file for each user; with more devices than files, the files are divided.",
			list: words(&d.Files, 1, 1000, text)},
		{key: "amount", doc: "How much a user says, in bytes, or shows, in examples, at most.", word: count(&d.Amount, 0, 1<<20)},
		{key: "classes", doc: "Of `digits`: how many classes a user has.", word: count(&d.Classes, 1, 10)},
		{key: "skill", doc: "The name under which all users teach. If missing, text is taught by each under their own name, and examples under that of their kind.",
			word: text(&d.Skill)},
		{key: "circle", doc: "How many users in a row teach under one name. If missing, each under their own.", word: count(&d.Circle, 1, MaxDevices)},
	}
}

func (l *Learning) fields() fields {
	return fields{
		{key: "sections", doc: "Sections that a skill has in each of its layers.", word: count(&l.Sections, 1, 64)},
		{key: "neurons", doc: "Neurons in each section.", word: count(&l.Neurons, 1, 256)},
		{key: "rate", doc: "Learning rate.", word: number(&l.Rate, 0, 1)},
		{key: "rehearse", doc: "Passes over an utterance.", word: count(&l.Rehearse, 1, 64)},
		{key: "recent", doc: "Own recent events that a device keeps, to try on them what others offer.", word: count(&l.Recent, 64, 1<<16)},
		{key: "reservoir", doc: "Samples of a skill's context that are kept.", word: count(&l.Reservoir, 8, 4096)},
		{key: "features", doc: "Of examples: random features of a skill that answers with a class.", word: count(&l.Features, 16, 4096)},
		{key: "fast", doc: "Rows that the fast layer has at most, a power of two; −1 for no fast layer, and 0 for as many as nodes have by themselves.", word: count(&l.Fast, -1, 1<<19)},
		{key: "harm", doc: "By how many nats an event a fold may worsen own events before it is undone.", word: number(&l.Harm, 0.0001, 10)},
	}
}

func (m *Mesh) fields() fields {
	return fields{
		{key: "degree", doc: "Neighbours that a device has, about.", word: count(&m.Degree, 1, 64)},
		{key: "updates", doc: "How often a device announces its skill while it learns, about.", word: count(&m.Updates, 1, 100)},
		{key: "interval", doc: "The time between two rounds of telling neighbours what one has. If missing, a sixtieth of the run, between 1s and 1m.", word: when(&m.Interval)},
		{key: "fanout", doc: "Neighbours that are told in a round.", word: count(&m.Fanout, 1, 64)},
		{key: "max-live", doc: "Updates that a device holds, its own among them. If missing, as many as the exchange holds by itself.", word: count(&m.MaxLive, 1, 1024)},
		{key: "versions", doc: "Updates of one skill's name, by different authors, that a device holds. If missing, as many as the exchange holds by itself.", word: count(&m.Versions, 1, 1024)},
		{key: "memory", doc: "What the bodies that a device holds may take.", word: size(&m.Memory, 64<<10, 1<<30, "")},
	}
}

func (c *Central) fields() fields {
	return fields{
		{key: "kind", doc: "`none`: nobody is ever central. `good`: devices take turns, and are honest. `bad`: those who take turns let theirs pass, or lie about it.",
			word: choice(&c.Kind, NoCentral, GoodCentral, BadCentral)},
		{key: "devices", doc: "Those that take turns, a number or a share.", word: many(&c.Devices)},
	}
}

func (l *Links) fields() fields {
	return fields{
		{key: "delay", doc: "The shortest and the longest time that a message takes.", list: words(&l.Delay, 2, 2, func(p *time.Duration) kind { return span(p, time.Hour) })},
		{key: "loss", doc: "Chance that a message does not arrive.", word: share(&l.Loss, 0.95)},
		{key: "bandwidth", doc: "What a device can send.", word: size(&l.Bandwidth, 100, 1<<30, "/s")},
	}
}

func (g *Group) fields() fields {
	return fields{
		{key: "name", doc: "What it is called, in the report.", word: text(&g.Name)},
		{key: "devices", doc: "How many belong to it, a number or a share.", word: many(&g.Devices)},
		{key: "says", doc: "How much of the data's amount its users say or show; 0 for nothing.", word: share(&g.Says, 1)},
		{key: "share", doc: "What leaves its devices: skills that were taught by name, nothing, or everything.", word: choice(&g.Share, "skills", "none", "all")},
		{key: "attack", doc: "How its devices lie: `flip`, `noise`, `scale`, `stale`, `turns` and `trigger` change what they publish, `silent` has them publish nothing, `liar` lies when it is central alone, `forge` changes what others signed and `garble` signs what is no skill.",
			word: choice(&g.Attack, attacks()...)},
		{key: "speed", doc: "Time that thinking takes, for each byte or example. If missing, none.", word: span(&g.Speed, time.Minute)},
		{key: "links", doc: "In the place of the scenario's `links`, for what its devices send.", sub: optional(&g.Links, defaultLinks(), (*Links).fields), has: func() bool { return g.Links != nil }},
		{key: "away", doc: "When its devices are switched off by their users.", list: subs(&g.Away, 32, Span{}, (*Span).fields)},
		{key: "visits", doc: "Where its devices are. Only devices in one place are neighbours; without visits a device is always in the same place as all others without.",
			list: subs(&g.Visits, 64, Visit{}, (*Visit).fields)},
	}
}

func (u *Said) fields() fields {
	return fields{
		{key: "name", doc: "What the user is called.", word: text(&u.Name)},
		{key: "skill", doc: "What the user teaches. If missing, the user's name.", word: text(&u.Skill)},
		{key: "says", doc: "What the user says while the world runs.", word: speech(&u.Says)},
		{key: "held", doc: "What the user would say next, which devices are asked about.", word: speech(&u.Held)},
		{key: "share", doc: "As of a group.", word: choice(&u.Share, "skills", "none", "all")},
		{key: "attack", doc: "As of a group.", word: choice(&u.Attack, attacks()...)},
		{key: "central", doc: "Whether the device takes turns at being central.", word: yes(&u.Central)},
		{key: "speed", doc: "As of a group.", word: span(&u.Speed, time.Minute)},
		{key: "links", doc: "As of a group.", sub: optional(&u.Links, defaultLinks(), (*Links).fields), has: func() bool { return u.Links != nil }},
		{key: "away", doc: "As of a group.", list: subs(&u.Away, 1000, Span{}, (*Span).fields)},
		{key: "places", doc: "Where the device is, by number.", list: subs(&u.Places, 1000, Place{}, (*Place).fields)},
	}
}

func (p *Place) fields() fields {
	return fields{
		{key: "from", doc: "When the device goes there.", word: when(&p.From)},
		{key: "at", doc: "The number of the place.", word: count(&p.At, 0, 1<<30)},
	}
}

func attacks() []string {
	list := []string{string(sim.Silent)}
	for _, a := range sim.Attacks() {
		list = append(list, string(a))
	}
	return append(list, string(sim.Liar), string(sim.Forge), string(sim.Garble))
}

func (s *Span) fields() fields {
	return fields{
		{key: "from", doc: "When it begins.", word: when(&s.From)},
		{key: "for", doc: "How long it takes.", word: when(&s.For)},
		{key: "every", doc: "After which time it comes again. If missing, never.", word: optionally(&s.Every, when)},
		{key: "spread", doc: "By how much it may come later, drawn for each device.", word: when(&s.Spread)},
	}
}

func (v *Visit) fields() fields {
	return fields{
		{key: "from", doc: "When the device goes there.", word: when(&v.From)},
		{key: "every", doc: "After which time it goes there again. If missing, never.", word: optionally(&v.Every, when)},
		{key: "spread", doc: "By how much it may be later, drawn for each device.", word: when(&v.Spread)},
		{key: "place", doc: "What kind of place, such as home or road.", word: text(&v.Place)},
		{key: "of", doc: "How many devices share one such place, about. If missing, there is one for everyone.", word: count(&v.Of, 1, MaxDevices)},
		{key: "anew", doc: "Whether it is another place of the kind each time, and not always the same.", word: yes(&v.Anew)},
	}
}

func (f *Faults) fields() fields {
	return fields{
		{key: "crashes", doc: "Devices that lose all but their disk once, a number or a share.", word: many(&f.Crashes)},
		{key: "churn", doc: "Share of the devices that crash in each hour, besides.", word: share(&f.Churn, 10)},
		{key: "down", doc: "How long a crashed device is down.", word: when(&f.Down)},
		{key: "partitions", doc: "When the devices are divided in two.", list: subs(&f.Partitions, 32, Partition{Share: 0.5}, (*Partition).fields)},
	}
}

func (p *Partition) fields() fields {
	return fields{
		{key: "from", doc: "When it begins.", word: when(&p.From)},
		{key: "for", doc: "How long it takes.", word: when(&p.For)},
		{key: "share", doc: "Share of the devices in the first half.", word: share(&p.Share, 0.99)},
	}
}

func (e *Exam) fields() fields {
	return fields{
		{key: "devices", doc: "How many devices are asked in the end, spread evenly.", word: count(&e.Devices, 1, MaxDevices)},
		{key: "texts", doc: "About how many users' texts each is asked.", word: count(&e.Texts, 1, 1000)},
		{key: "bytes", doc: "How much of each text.", word: count(&e.Bytes, 16, 1<<16)},
		{key: "points", doc: "How often a sample is asked while the world runs.", word: count(&e.Points, 1, 1000)},
		{key: "centralised", doc: "Whether to measure too what one mind would know to which all users spoke. In a world of thousands that takes long.", word: yes(&e.Centralised)},
		{key: "gates", doc: "Whether skills open by their gates alone. If not, also by how well each tells what is being read, as on a device that reads what its user did not say.", word: yes(&e.Gates)},
	}
}
