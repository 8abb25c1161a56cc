package node

import (
	"bytes"
	"crypto/ed25519"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/exchange/tally"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/model/base"
)

// Four devices that learnt one skill have it added up by one who sees none of theirs, while one of them drops out: it is the
// plain mean of those who stayed, to the bit, and it saves a fifth device what such a mean saves.
func TestSumOfSkills(t *testing.T) {
	m := base.Pocket()
	const devices, gone = 4, 2
	cfg := tally.Config{Session: [32]byte{7}, Threshold: 3}
	var terms [][]uint32
	var one *learning.Delta
	for i := range devices {
		n := start(t, i, Config{}, nil)
		do(t)(n.Focus(noon, "kitchen"))
		n.Observe(noon, text("kitchen", 1500, uint64(i)))
		do(t)(n.Focus(noon, ""))
		d, err := n.Learner().Export("kitchen")
		if err != nil {
			t.Fatal(err)
		}
		v, err := d.Summand(m)
		if err != nil {
			t.Fatal(err)
		}
		one, terms = d, append(terms, v)
		cfg.Members = append(cfg.Members, meshtest.Key(i).Public().(ed25519.PublicKey))
		cfg.Values = len(v)
	}
	collector, err := tally.NewCollector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var members []*tally.Member
	var say []*tally.Message
	for i := range devices {
		var seed [32]byte
		seed[0] = byte(i)
		member, err := tally.NewMember(cfg, i, meshtest.Key(i), slices.Clone(terms[i]), rand.NewChaCha8(seed))
		if err != nil {
			t.Fatal(err)
		}
		members, say = append(members, member), append(say, member.Begin())
	}
	want := make([]uint32, cfg.Values)
	for i, v := range terms {
		for k := range v {
			if i != gone {
				want[k] += v[k]
			}
		}
	}
	for collector.Round() != 0 {
		for _, s := range say {
			if int(s.Member) == gone && collector.Round() >= tally.Masked {
				continue
			}
			b := s.Encode()
			for i, v := range terms {
				if len(b) > 4*len(v) && bytes.Contains(b, (&tally.Message{Kind: tally.Masked, Values: v}).Encode()[38:38+64]) {
					t.Errorf("the beginning of device %d's weights is in what is said", i)
				}
			}
			got, err := tally.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := collector.Handle(got); err != nil {
				t.Fatal(err)
			}
		}
		told, err := collector.Next()
		if err != nil {
			t.Fatal(err)
		}
		say = nil
		for _, in := range told {
			out, err := members[in.Member].Handle(in)
			if err != nil {
				t.Fatal(err)
			}
			say = append(say, out)
		}
	}
	sum, left, ok := collector.Sum()
	if !ok || len(left) != devices-1 || !slices.Equal(sum, want) {
		t.Fatalf("the sum of %v is another one", left)
	}
	h := len(sum) - m.Config.ContextSize() - 1
	per := m.Config.BankSize(1, m.Config.Neurons)
	mean, err := learning.FromSum(m, "kitchen", h/per, m.Config.Neurons, sum, len(left))
	if err != nil {
		t.Fatal(err)
	}
	if mean.Sections() != one.Sections() || mean.Events < 3*1400 {
		t.Errorf("%d sections of %d events", mean.Sections(), mean.Events)
	}
	held := text("kitchen", 1500, 99)
	bits := func(d *learning.Delta) float64 {
		l, err := learning.New(learning.Config{}, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Fold("cell", d); err != nil {
			t.Fatal(err)
		}
		return learning.Evaluate(l.Settled(), held, nil).Bits
	}
	without, single, summed := learning.Evaluate(m, held, nil).Bits, bits(one), bits(mean)
	t.Logf("%.3f bits a byte without, %.3f with one device's skill, %.3f with the mean", without, single, summed)
	if without-summed < 0.5*(without-single) {
		t.Errorf("of %.3f bits a byte the mean saves %.3f, one device's skill %.3f", without, without-summed, without-single)
	}
	for _, bad := range [][]uint32{nil, sum[1:], append(slices.Clone(sum[:len(sum)-1]), 1<<30)} {
		if _, err := learning.FromSum(m, "kitchen", h/per, m.Config.Neurons, bad, len(left)); err == nil {
			t.Error("a sum of another shape was taken")
		}
	}
	if _, err := learning.FromSum(m, "kitchen", h/per, m.Config.Neurons, sum, 0); err == nil {
		t.Error("a sum of nothing was taken")
	}
}
