package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/cmd/internal/users"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/sim/scenario"
)

// source has what scenarios are made of: the real sets where there is a data folder, else what the project generates.
type source struct{}

func (source) Base(name string) (*model.Model, error) {
	switch name {
	case "tiny":
		return base.Tiny(), nil
	case "pocket":
		return base.Pocket(), nil
	case "embedded":
		return base.Embedded(), nil
	}
	return nil, fmt.Errorf("there is no such base: take tiny, pocket or embedded")
}

func (source) Users(n int, seed uint64, d scenario.Data) (scenario.Users, error) {
	switch d.Kind {
	case scenario.Roles:
		return roles(n, seed, d.Amount), nil
	case scenario.Personas:
		return personas(n, seed, d.Amount), nil
	case scenario.Text:
		return files(n, d)
	}
	crowd, err := examples(n, seed, d)
	if err != nil {
		return scenario.Users{}, err
	}
	u := scenario.Users{Asked: crowd.Asked, Note: crowd.Note}
	for _, c := range crowd.Users {
		u.Each = append(u.Each, scenario.User{Name: c.Name, Shown: c.Shown, Asked: c.Asked})
	}
	return u, nil
}

func examples(n int, seed uint64, d scenario.Data) (*users.Crowd, error) {
	if d.Kind == scenario.Digits {
		return users.Digits(n, max(d.Amount, d.Classes), d.Classes, seed)
	}
	return users.Activities(n, max(d.Amount, 1), seed)
}

// longestHeld is how much of a user's held-out text is kept, at most.
const longestHeld = 4096

// persona makes a user of one who writes. What is kept does not hold on to more than is said.
func persona(p dataset.Persona, amount int) scenario.User {
	return scenario.User{
		Name:   word(p.Name),
		Stream: slices.Clone(p.Train[:min(len(p.Train), amount)]),
		Held:   slices.Clone(p.Test[:min(len(p.Test), longestHeld)]),
	}
}

// word makes a name of what people and files are called.
func word(name string) string {
	w := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r <= ' ' || r > '~' || r == '/':
			return '-'
		}
		return r
	}, name)
	return cmp.Or(w[:min(len(w), 56)], "user")
}

func personas(n int, seed uint64, amount int) (u scenario.Users) {
	for _, p := range dataset.Personas(n, seed) {
		u.Each = append(u.Each, persona(p, amount))
	}
	u.Note = fmt.Sprintf("%d generated personas", n)
	return u
}

func roles(n int, seed uint64, amount int) (u scenario.Users) {
	known, ok := dataset.Roles()
	if !ok {
		u = personas(n, seed, amount)
		u.Note += "; the roles of tiny Shakespeare are not here (set $YAN_DATA to the data folder)"
		return u
	}
	known = known[:min(n, len(known))]
	for _, p := range known {
		u.Each = append(u.Each, persona(p, amount))
	}
	u.Note = fmt.Sprintf("%d roles of tiny Shakespeare from the data folder", len(known))
	if more := n - len(known); more > 0 {
		u.Each = append(u.Each, personas(more, seed, amount).Each...)
		u.Note += fmt.Sprintf(" and %d generated personas", more)
	}
	return u
}

// files makes users of files. Where there are more devices than files, each file is several users' one after the other; the last
// tenth of what is a user's is held out.
func files(n int, d scenario.Data) (u scenario.Users, err error) {
	k := len(d.Files)
	for i, name := range d.Files[:min(k, n)] {
		data, err := dataset.Open("text:" + name)
		if err != nil {
			return u, err
		}
		text := data.Bytes()
		parts := n/k + (n%k+k-1-i)/k
		parts = max(parts, 1)
		for p := range parts {
			own := text[p*len(text)/parts : (p+1)*len(text)/parts]
			cut := len(own) - len(own)/10
			if len(own) < 200 {
				return u, ui.Usage("%s: %d bytes are too few for %d users: 200 each are needed: ask for fewer devices, or name more files", name, len(text), parts)
			}
			who := word(filepath.Base(name))
			u.Each = append(u.Each, persona(dataset.Persona{Name: fmt.Sprintf("%s-%d", who[:min(len(who), 48)], len(u.Each)), Train: own[:cut], Test: own[cut:]}, d.Amount))
		}
	}
	u.Note = fmt.Sprintf("%d files", min(k, n))
	return u, nil
}
