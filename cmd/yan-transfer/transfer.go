package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
	"github.com/yanmesh/yan/protocol"
)

// The two skills' names.
const (
	skillName = "skill"
	ownName   = "own"
)

// steps is how often transfer reports that it got on.
const steps = 5

// patience bounds how long a skill may take from one node to the other on one machine.
const patience = 2 * time.Minute

// scores are bits a byte on the three held-out texts.
type scores struct {
	Skill float64 `json:"skill"`
	Own   float64 `json:"own"`
	Base  float64 `json:"base"`
}

// outcome is what one pair of nodes showed.
type outcome struct {
	base, donor, before, after scores
	sections                   int
	bytes                      int
	took                       time.Duration
}

// A peer is one of the two nodes with its home.
type peer struct {
	node  *node.Node
	store *store.Store
}

func newPeer(dir string, share node.Share, seed uint64, m *model.Model) (*peer, error) {
	s, err := store.Open(dir, store.Options{Format: node.Format})
	if err != nil {
		return nil, err
	}
	n, err := node.New(node.Config{Key: s.Key(), Seed: seed, Share: share, Agent: "yan-transfer"}, m)
	if err != nil {
		s.Close()
		return nil, err
	}
	return &peer{n, s}, nil
}

// keep does what a node's loop would do with actions while there is no mesh.
func (p *peer) keep(a node.Actions, err error) error {
	if err != nil {
		return err
	}
	for _, b := range a.Bodies {
		if _, err := p.store.PutBlob(b); err != nil {
			return err
		}
	}
	return p.store.Append(a.Records)
}

// learn reads a text as the skill of this name, in pieces as a stream would bring it.
func (p *peer) learn(ctx context.Context, name string, text []byte, epochs int) error {
	if err := p.keep(p.node.Focus(time.Now(), name)); err != nil {
		return err
	}
	const piece = 4096
	for range epochs {
		for at := 0; at < len(text); at += piece {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			_, a := p.node.Observe(time.Now(), text[at:min(at+piece, len(text))])
			if err := p.keep(a, nil); err != nil {
				return err
			}
		}
	}
	return p.keep(p.node.Focus(time.Now(), ""))
}

func (p *peer) measure(t material) scores { return measure(p.node.Learner().Settled(), t) }

func measure(m *model.Model, t material) scores {
	bits := func(text []byte) float64 {
		if len(text) == 0 { // the skill is no text
			return 0
		}
		return learning.Evaluate(m, text, nil).Bits
	}
	return scores{Skill: bits(t.skillHeld), Own: bits(t.ownHeld), Base: bits(t.oldHeld)}
}

// running is a node that its loop owns.
type running struct {
	mesh  *p2p.Mesh
	stop  context.CancelFunc
	ended chan error
}

func (p *peer) run(ctx context.Context, join []string, told func(node.Fold)) (*running, error) {
	log := slog.New(slog.DiscardHandler)
	m, err := p2p.New(ctx, p2p.Config{
		Key: p.store.Key(), Join: join, Network: "yan-transfer", Log: log,
		Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &running{mesh: m, stop: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- node.Run(ctx, p.node, m, p.store, node.NewRunner(), log, told) }()
	return r, nil
}

// end stops the node and waits for it.
func (r *running) end() error {
	r.stop()
	err := <-r.ended
	return errors.Join(err, r.mesh.Close())
}

// from is a text read from another line on, and from its beginning at the end: a seed's own order. A skill that has a name
// begins at weights which the name gives, so nothing else of a seed would reach it.
func from(text []byte, seed uint64) []byte {
	const golden = 0.6180339887498949 // whose multiples are spread evenly between 0 and 1
	_, part := math.Modf(float64(seed) * golden)
	at := int(part * float64(len(text)))
	at += bytes.IndexByte(text[at:], '\n') + 1
	return slices.Concat(text[at:], text[:at])
}

// transfer has one pair of nodes learn, trade and be measured.
func transfer(ctx context.Context, m *model.Model, t material, seed uint64, step func()) (o outcome, err error) {
	dir, err := os.MkdirTemp("", "yan-transfer-")
	if err != nil {
		return o, err
	}
	defer os.RemoveAll(dir)
	donor, recipient, err := pair(dir, node.ShareSkills, seed, m)
	if err != nil {
		return o, err
	}
	defer donor.store.Close()
	defer recipient.store.Close()

	if err := donor.learn(ctx, skillName, from(t.skillText, seed), t.epochs); err != nil {
		return o, err
	}
	step()
	if err := recipient.learn(ctx, ownName, from(t.ownText, seed), t.epochs); err != nil {
		return o, err
	}
	step()
	o.base, o.donor, o.before = measure(m, t), donor.measure(t), recipient.measure(t)
	o.sections = donor.node.Learner().Skill("", skillName).Sections()
	step()

	if o.bytes, o.took, err = trade(ctx, donor, recipient); err != nil {
		return o, err
	}
	step()
	o.after = recipient.measure(t)
	step()
	return o, nil
}

// trade has two nodes meet until the recipient has what the donor shares. It returns how long the body was, and how long it took from
// the recipient's start.
func trade(ctx context.Context, donor, recipient *peer) (size int, took time.Duration, err error) {
	a, err := donor.run(ctx, nil, nil)
	if err != nil {
		return 0, 0, err
	}
	folds := make(chan node.Fold, 1)
	begun := time.Now()
	b, err := recipient.run(ctx, a.mesh.Addrs(), func(f node.Fold) {
		select {
		case folds <- f:
		default:
		}
	})
	if err != nil {
		return 0, 0, errors.Join(err, a.end())
	}
	var fold node.Fold
	select {
	case fold = <-folds:
		took = time.Since(begun)
	case <-time.After(patience):
		err = fmt.Errorf("the skill did not arrive within %v", patience)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err := errors.Join(err, b.end(), a.end()); err != nil {
		return 0, 0, err
	}
	if fold.Verdict != protocol.Folded {
		return 0, 0, fmt.Errorf("the recipient %v", fold)
	}
	bodies := recipient.node.Bodies()
	slices.SortFunc(bodies, func(a, b protocol.Digest) int { return bytes.Compare(a[:], b[:]) })
	if bodies = slices.Compact(bodies); len(bodies) != 1 {
		return 0, 0, fmt.Errorf("the recipient holds %d skills of others, not 1", len(bodies))
	}
	body, err := recipient.store.Blob(bodies[0])
	return len(body), took, err
}

// pair opens two nodes with homes in a folder.
func pair(dir string, share node.Share, seed uint64, m *model.Model) (donor, recipient *peer, err error) {
	if donor, err = newPeer(filepath.Join(dir, "donor"), share, 2*seed, m); err != nil {
		return nil, nil, err
	}
	if recipient, err = newPeer(filepath.Join(dir, "recipient"), node.ShareNone, 2*seed+1, m); err != nil {
		donor.store.Close()
		return nil, nil, err
	}
	return donor, recipient, nil
}
