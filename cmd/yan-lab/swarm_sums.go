package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/protocol"
)

// A school is a swarm whose devices add up what they were shown: each makes a lesson of its own examples, once, and lessons go from
// device to device until everybody has all.
type school struct {
	train, test *samples
	parts       [][]int
	features    int
	skill       string
	rng         *rand.Rand
	mail        *post
	asked       []int // devices that are asked
}

func (d *digits) school(parts [][]int, o swarmDigits, seed uint64) *school {
	s := &school{train: d.train, test: d.test, parts: parts, features: o.features, skill: fmt.Sprintf("digits-%d", seed), rng: rand.New(rand.NewPCG(seed, 5))}
	s.mail = newPost(len(parts), s.rng)
	s.mail.seq = 1
	for k := range min(o.asked, len(parts)) {
		s.asked = append(s.asked, k*len(parts)/min(o.asked, len(parts)))
	}
	return s
}

// knack is what a device is that was shown some examples.
func (s *school) knack(at []int) (*learning.Knack, error) {
	k, err := learning.NewKnack(learning.KnackConfig{Name: s.skill, Inputs: s.train.width, Features: s.features})
	if err != nil {
		return nil, err
	}
	part := s.train.pick(at)
	return k, k.Show(part.x, part.labels)
}

// look asks knacks about everything.
func (s *school) look(knacks ...*learning.Knack) (f footing) {
	f.least = 1
	for _, k := range knacks {
		right := 0
		for i, a := range k.Answer(s.test.x) {
			if a == s.test.labels[i] {
				right++
			}
		}
		share := float64(right) / float64(len(s.test.labels))
		f.right += share / float64(len(knacks))
		f.least = min(f.least, share)
	}
	return f
}

// together is one device that was shown everything.
func (s *school) together(name string) (path, error) {
	began := speed.CPU()
	k, err := s.knack(slices.Concat(s.parts...))
	if err != nil {
		return path{}, err
	}
	return path{way: name, stands: []footing{s.look(k)}, seconds: (speed.CPU() - began).Seconds()}, nil
}

// apart are devices that nobody talks to.
func (s *school) apart(name string) (path, error) {
	began := speed.CPU()
	var all []*learning.Knack
	for _, i := range s.asked {
		k, err := s.knack(s.parts[i])
		if err != nil {
			return path{}, err
		}
		all = append(all, k)
	}
	return path{way: name, stands: []footing{s.look(all...)}, seconds: (speed.CPU() - began).Seconds()}, nil
}

// meet has everyone visit someone in each exchange, drawn anew each time, who says which lessons it has, and gives those that are
// asked for. Bytes are those of the frames of the protocol.
func (s *school) meet(name string) (path, error) {
	began := speed.CPU()
	p := path{way: name}
	n := len(s.parts)
	minds := map[int]*learning.Knack{} // of those who are asked
	frames := make([][]byte, n)
	has := make([][]int, n) // sorted
	for i, part := range s.parts {
		k, err := s.knack(part)
		if err != nil {
			return p, err
		}
		body, err := k.Lesson()
		if err != nil {
			return p, err
		}
		if frames[i], err = s.mail.seal(i, body); err != nil {
			return p, err
		}
		has[i] = []int{i}
		if slices.Contains(s.asked, i) {
			minds[i] = k
		}
	}
	for exchange := 1; ; exchange++ {
		had := slices.Clone(has)
		missing := 0
		for i := range n {
			from := (i + 1 + s.rng.IntN(n-1)) % n
			var news []int
			for _, a := range had[from] {
				if _, ok := slices.BinarySearch(had[i], a); !ok {
					news = append(news, a)
				}
			}
			if err := s.count(i, from, had[from], news, frames); err != nil {
				return p, err
			}
			has[i] = slices.Sorted(slices.Values(append(slices.Clone(had[i]), news...)))
			missing += n - len(has[i])
			if err := s.take(minds[i], news, frames); err != nil {
				return p, err
			}
		}
		f := s.look(s.of(minds)...)
		f.exchanges = exchange
		for _, b := range s.mail.sent {
			f.sent += float64(b) / float64(n)
		}
		p.stands = append(p.stands, f)
		if missing == 0 {
			p.seconds = (speed.CPU() - began).Seconds()
			return p, nil
		}
	}
}

// of are the minds in the order of their devices.
func (s *school) of(minds map[int]*learning.Knack) (list []*learning.Knack) {
	for _, i := range s.asked {
		list = append(list, minds[i])
	}
	return list
}

// count adds up what is sent in a visit: what there is, what is asked for, and that.
func (s *school) count(to, from int, there, news []int, frames [][]byte) error {
	names := func(list []int) (ids []protocol.UpdateID) {
		for _, a := range list {
			ids = append(ids, protocol.UpdateID{Author: s.mail.ids[a], Seq: s.mail.seq})
		}
		slices.SortFunc(ids, func(a, b protocol.UpdateID) int {
			return cmp.Or(cmp.Compare(a.Author, b.Author), cmp.Compare(a.Seq, b.Seq))
		})
		return ids
	}
	have, err := protocol.Encode(&protocol.Have{IDs: names(there)})
	if err != nil {
		return err
	}
	want, err := protocol.Encode(&protocol.Want{IDs: names(news)})
	if err != nil {
		return err
	}
	s.mail.sent[from] += int64(len(have))
	s.mail.sent[to] += int64(len(want))
	for _, a := range news {
		s.mail.sent[from] += int64(len(frames[a]))
	}
	return nil
}

// take folds what has come into a mind, if there is one. What does harm there stays out.
func (s *school) take(k *learning.Knack, news []int, frames [][]byte) error {
	if k == nil {
		return nil
	}
	for _, a := range news {
		body, err := s.mail.open(frames[a])
		if err != nil {
			return err
		}
		l, err := learning.DecodeLesson(body)
		if err != nil {
			return err
		}
		if _, err := k.Fold(string(s.mail.ids[a]), l); err != nil && !errors.Is(err, learning.ErrHarm) {
			return err
		}
	}
	return nil
}
