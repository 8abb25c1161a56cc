// Package tally is a sum of vectors whose terms nobody sees.
//
// Each [Member] of a cell has a vector, and a [Collector], who may be one of them, is to learn what they add up to and nothing
// else. Every two members agree on a mask that one adds and the other takes away; each adds one of its own besides; and of all
// that the masks are drawn from every member has a share, so that the masks of those who drop out in between can be
// had back from any Threshold of the others. It is the protocol of Bonawitz and others 2017, "Practical Secure Aggregation
// for Privacy-Preserving Machine Learning", figure 4, with the round in which members agree on who is left:
//
//	keys       member → collector    two public keys, signed
//	roster     collector → members   everyone's
//	sealed     member → collector    a box for each other member: shares of its two secrets
//	delivered  collector → members   the boxes that are for it
//	masked     member → collector    its vector behind all masks
//	survivors  collector → members   whose vectors came
//	agreed     member → collector    a signature under that list
//	confirmed  collector → members   everyone's
//	revealed   member → collector    shares of the own masks of who is left and of the keys of who is not
//
// Both are pure state machines: messages go in and come out, chance comes in as bytes. Vectors are whole numbers modulo
// 2³², so that sums are exact in any order. [Decode] never trusts bytes. A member answers each round once, and never
// tells a share of both secrets of anybody; with fewer than Threshold members left nothing is revealed. A collector
// who lies can spoil the sum and learns no vector, as long as fewer than 2·Threshold − n of the n members help him. Nothing
// keeps a member from putting a senseless vector in.
package tally

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
)

// Limits of a session.
const (
	MaxMembers = 64
	MaxValues  = 1 << 20
)

// Config is what all who take part in a session agree on beforehand.
type Config struct {
	Session   [32]byte            // names this sum for ever; another one is another session
	Members   []ed25519.PublicKey // identities, in an order that all share; at most MaxMembers
	Threshold int                 // how many have to stay to the end. If zero, more than two thirds
	Values    int                 // how long the vectors are
}

// ErrConfig is returned for a session that cannot be.
var ErrConfig = errors.New("tally: not a session")

// ErrTooFew is returned where fewer than Threshold members are left: the sum cannot be had, and nothing is revealed.
var ErrTooFew = errors.New("tally: too few members are left")

// ErrMessage is returned for a message that says what it must not; nothing changes by it.
var ErrMessage = errors.New("tally: not a message of this round")

func (c Config) complete() (Config, error) {
	n := len(c.Members)
	if c.Threshold == 0 {
		c.Threshold = 2*n/3 + 1
	}
	if n < 2 || n > MaxMembers || c.Threshold <= n/2 || c.Threshold > n || c.Values < 1 || c.Values > MaxValues {
		return c, fmt.Errorf("%w: %d members, %d of whom have to stay, %d values", ErrConfig, n, c.Threshold, c.Values)
	}
	for i, k := range c.Members {
		if len(k) != ed25519.PublicKeySize || slices.ContainsFunc(c.Members[:i], func(o ed25519.PublicKey) bool { return o.Equal(k) }) {
			return c, fmt.Errorf("%w: member %d has no key of its own", ErrConfig, i)
		}
	}
	return c, nil
}
