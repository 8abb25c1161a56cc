package learning

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
)

// Learners that take turns at one desk, in pieces that end amid a chunk, come to what they come to with desks of their own.
func TestLearnersShareADesk(t *testing.T) {
	// The shapes differ, so that what one leaves on the desk is wrong for the other.
	cfg := [2]Config{{Seed: 1, Chunk: 16, Sections: 2, Neurons: 4, Rehearse: 3}, {Seed: 2, Sections: 3, Rehearse: 2, Infancy: 64}}
	texts := [2][]byte{readings(1, 1500), recipes(1, 1500)}
	var desk Desk
	var shared, single [2]*Learner
	for i := range cfg {
		shared[i], single[i] = newLearner(t, cfg[i]), newLearner(t, cfg[i])
		shared[i].Sit(&desk)
	}
	live := func(l *Learner, text []byte, piece int) {
		l.Read(textOf(text))
		if piece%3 == 2 {
			l.Flush()
		}
		if piece == 4 && l.cfg.Chunk == 16 { // the other's gates are asked how far they were open
			focus(t, l, "mine")
		}
	}
	for piece := range 10 {
		for i := range 2 {
			i := (piece + i) % 2
			part := texts[i][150*piece:][:150]
			live(shared[i], part, piece)
			live(single[i], part, piece)
		}
	}
	shared[1].Read(textOf(texts[1][:150])) // whose skill is behind a gate
	single[1].Read(textOf(texts[1][:150]))
	for _, open := range desk.tape.Open {
		clear(open)
	}
	for i := range cfg {
		if !bytes.Equal(snapshot(t, shared[i]), snapshot(t, single[i])) {
			t.Errorf("learner %d is another at a shared desk", i)
		}
	}
}

// Who takes in the same shares its weights, and none of what is its own; what nobody holds is forgotten.
func TestDeltaCacheSharesWeights(t *testing.T) {
	body := export(t, teach(t, Config{Rate: 0.002, Seed: 1, Sections: 2}, "pump", readings(1, 1500)), "pump")
	var c DeltaCache
	learners := make([]*Learner, 3)
	var all sync.WaitGroup
	for i := range learners {
		learners[i] = newLearner(t, Config{Seed: uint64(i)})
		all.Go(func() {
			d, err := c.Decode(body, learners[i].Base().Config, learners[i].Fingerprint())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := learners[i].Fold("donor", d); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	whole := newLearner(t, Config{Seed: 0})
	if _, err := whole.Fold("donor", decode(t, body)); err != nil {
		t.Fatal(err)
	}
	first := learners[0].Skill("donor", "pump").bank
	for _, l := range learners[1:] {
		b := l.Skill("donor", "pump").bank
		if &b.Weights[0] != &first.Weights[0] || b == first {
			t.Error("weights are not shared, or gates are")
		}
	}
	was := sum(first.Weights)
	for i, l := range learners { // each lives on as it would with a copy of its own
		l.Read(textOf(readings(uint64(3+i), 600)))
	}
	whole.Read(textOf(readings(3, 600)))
	if !bytes.Equal(snapshot(t, whole), snapshot(t, learners[0])) {
		t.Error("who shares weights is another")
	}
	if sum(first.Weights) != was {
		t.Error("somebody wrote into what is shared")
	}
	if _, err := c.Decode(body[:len(body)/2], learners[0].Base().Config, learners[0].Fingerprint()); err == nil {
		t.Error("half a body is decoded")
	}
	runtime.KeepAlive(learners)
	clear(learners)
	first, whole = nil, nil
	runtime.GC()
	for key, p := range c.known {
		if p.Value() != nil {
			t.Errorf("%x is kept, and nobody has it", key.body[:4])
		}
	}
}
