package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/sim"
)

// A scenario says who the users are.
type scenario struct {
	name, about string
	users       func(n int, seed uint64) (users []dataset.Persona, note string)
}

var scenarios = []scenario{
	{"roles", "64 speakers of Shakespeare, where their texts are, and generated diarists beyond them", roles},
	{"personas", "generated diarists, who share a language, topics and towns", personas},
}

func names() (list []string) {
	for _, s := range scenarios {
		list = append(list, s.name)
	}
	return list
}

func roles(n int, seed uint64) ([]dataset.Persona, string) {
	users, ok := dataset.Roles()
	if !ok {
		list, _ := personas(n, seed)
		return list, fmt.Sprintf("%d generated personas; the roles of tiny Shakespeare are not here (set $YAN_DATA to the data folder)", n)
	}
	users = users[:min(n, len(users))]
	note := fmt.Sprintf("%d roles of tiny Shakespeare from the data folder", len(users))
	if more := n - len(users); more > 0 {
		list, _ := personas(more, seed)
		users = append(users, list...)
		note += fmt.Sprintf(" and %d generated personas", more)
	}
	return users, note
}

func personas(n int, seed uint64) ([]dataset.Persona, string) {
	return dataset.Personas(n, seed), fmt.Sprintf("%d generated personas", n)
}

// longestStream is how much of a user's text is said, so that no user outweighs the others.
const longestStream = 6000

// world returns what the world is made of, but the transcript.
func world(o options) (opt sim.Options, note string) {
	for _, s := range scenarios {
		if s.name != o.scenario {
			continue
		}
		var users []dataset.Persona
		users, note = s.users(o.devices, o.seed)
		for _, u := range users {
			opt.Devices = append(opt.Devices, sim.Device{
				Name:   strings.ReplaceAll(strings.ToLower(u.Name), " ", "-"),
				Stream: u.Train[:min(len(u.Train), longestStream)],
				Held:   u.Test,
			})
		}
	}
	opt.Base = base.Pocket()
	opt.Talk = o.length * 3 / 4
	opt.Updates = 1
	opt.Learning = learning.Config{Sections: 4, Neurons: 8, Rate: 0.003, Rehearse: 1, Recent: 256, Reservoir: 32}
	opt.Exchange.Interval = max(min(o.length/60, time.Minute), time.Second)
	opt.Links = sim.Links{MinDelay: 20 * time.Millisecond, MaxDelay: 400 * time.Millisecond, Loss: 0.02, Bandwidth: 1 << 20}
	opt.Faults = sim.Faults{
		Crashes:    max(o.devices/20, 1),
		Down:       o.length / 30,
		Partitions: []sim.Partition{{From: o.length * 2 / 5, For: o.length / 5}},
	}
	return opt, note
}
