package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/yanmesh/yan/protocol"
)

// Format is the version of all that a node writes down, records and snapshots. Whoever changes what they look like
// counts it up: an older program then leaves the home alone, and a newer one keeps a copy of what was before.
const Format = 5

// A record is one thing that changed the mind, as the journal keeps it: a letter, then its content. The
// mind after a restart is the last snapshot with every later record applied in order; since learning
// depends on nothing else, it is the same mind to the bit.
const (
	recEvents = 'E' // bytes of the owner's stream
	recFlush  = 'F' // an utterance ended
	recFocus  = 'N' // the owner named what follows; empty for nothing
	recFold   = 'K' // a peer's skill was tried: author, digest of its body
	recMerge  = 'A' // many versions of a skill were merged and tried: name, JSON of what they are
	recForget = 'D' // a skill was forgotten: author, name
	recShare  = 'S' // the owner's word on sharing before there were terms: 0 or 1, name
	recSettle = 'G' // gates were solved ahead of their time
	recGain   = 'W' // what a skill proved to be worth: eight bytes of a float64, name
	recTerms  = 'P' // the owner's word on who may have a skill: terms as JSON, name
	recSpent  = 'B' // what a skill has told by now: eight bytes of a float64, name
	recSwarm  = 'M' // the swarm to which the mesh is closed
	recShow   = 'H' // the owner showed what things are: name of the knack, inputs, labels, examples in steps of 1/127
	recFollow = 'U' // the owner showed what to do: name, inputs, names of the controls, examples, what each control was
	recTalk   = 'X' // the conversation's state; the last one counts
)

func record(kind byte, parts ...[]byte) []byte {
	b := []byte{kind}
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

var errRecord = errors.New("node: a record of the journal is malformed")

// parts splits a record's content into exactly n parts.
func parts(rec []byte, n int) ([][]byte, error) {
	b := rec[1:]
	var ps [][]byte
	for range n {
		size, k := binary.Uvarint(b)
		if k <= 0 || size > uint64(len(b)-k) {
			return nil, errRecord
		}
		ps = append(ps, b[k:k+int(size)])
		b = b[k+int(size):]
	}
	if len(b) != 0 {
		return nil, errRecord
	}
	return ps, nil
}

// Replay applies one record of the journal to a node that is starting. body finds the bodies of skills
// that were folded.
func (n *Node) Replay(rec []byte, body func(protocol.Digest) ([]byte, error)) error {
	if len(rec) == 0 {
		return errRecord
	}
	count := map[byte]int{recEvents: 1, recFlush: 0, recFocus: 1, recFold: 2, recMerge: 2, recForget: 2, recShare: 2, recSettle: 0, recGain: 2, recTerms: 2, recSpent: 2, recSwarm: 1, recShow: 4, recFollow: 5, recTalk: 1}
	defer n.learner.TakeFailures() // the conversation that was written down knows of them
	k, known := count[rec[0]]
	if !known {
		return fmt.Errorf("%w: kind %q", errRecord, rec[0])
	}
	ps, err := parts(rec, k)
	if err != nil {
		return err
	}
	n.rouse(func(d protocol.Digest) ([]byte, bool) {
		b, err := body(d)
		return b, err == nil
	})
	switch rec[0] {
	case recEvents:
		n.read(ps[0])
	case recFlush:
		n.learner.Flush()
	case recFocus:
		return n.learner.Focus(string(ps[0]))
	case recForget:
		if len(ps[0]) == 0 {
			delete(n.published, string(ps[1]))
			delete(n.terms, string(ps[1]))
		}
		if len(ps[0]) > 0 && !n.has(string(ps[0]), string(ps[1])) {
			return nil // a journal from before skills were tried again: the trial was faster
		}
		return n.forget(string(ps[0]), string(ps[1]))
	case recShow, recFollow:
		return n.replayShown(ps)
	case recSettle:
		n.learner.Settle()
	case recGain:
		if len(ps[0]) != 8 {
			return errRecord
		}
		n.measured(string(ps[1]), math.Float64frombits(binary.LittleEndian.Uint64(ps[0])))
	case recShare:
		if s := n.learner.Skill("", string(ps[1])); s != nil {
			s.Shared = string(ps[0]) == "1"
		}
	case recTerms:
		return n.replayTerms(ps[0], string(ps[1]))
	case recSpent:
		return n.replaySpent(ps[0], string(ps[1]))
	case recSwarm:
		n.swarm = string(ps[0])
	case recFold:
		if len(ps[1]) != len(protocol.Digest{}) {
			return errRecord
		}
		b, err := body(protocol.Digest(ps[1]))
		if err != nil {
			return fmt.Errorf("node: replay: the body of a skill from %s: %w", ps[0], err)
		}
		n.fold(protocol.PeerID(ps[0]), b)
	case recMerge:
		return n.replayMerge(string(ps[0]), ps[1], body)
	case recTalk:
		n.talk = append(n.talk[:0], ps[0]...)
	}
	return nil
}
