package learning

import (
	"crypto/sha256"
	"sync"
	"weak"

	"github.com/yanmesh/yan/model"
)

// A DeltaCache remembers what bodies were decoded to, for learners that share a process, as those of a simulated world do: all that take in
// one skill then share its weights. It changes no result, and keeps nothing that no learner has. The zero value is empty. It is safe
// for concurrent use.
type DeltaCache struct {
	mu    sync.Mutex
	known map[deltaKey]weak.Pointer[Delta]
	swept int // how many were known when those that are gone were forgotten last
}

type deltaKey struct{ body, base [32]byte }

// Decode is DecodeDelta for those who may have decoded the same before. Nobody may change what it returns.
func (c *DeltaCache) Decode(b []byte, shape model.Config, base [32]byte) (*Delta, error) {
	key := deltaKey{sha256.Sum256(b), base}
	if d := c.find(key); d != nil {
		return d, nil
	}
	d, err := DecodeDelta(b, shape, base)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.known[key].Value(); first != nil {
		return first, nil // somebody else was faster
	}
	if len(c.known) >= 2*c.swept+64 {
		for k, p := range c.known { // in any order: it does not show
			if p.Value() == nil {
				delete(c.known, k)
			}
		}
		c.swept = len(c.known)
	}
	if c.known == nil {
		c.known = map[deltaKey]weak.Pointer[Delta]{}
	}
	c.known[key] = weak.Make(d)
	return d, nil
}

func (c *DeltaCache) find(key deltaKey) *Delta {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[key].Value()
}
