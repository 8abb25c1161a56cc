package learning

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"github.com/yanmesh/yan/model"
)

// A GateCache remembers solved gates for learners that share a process and a base, as those of a
// simulated world do: a gate depends on the base and the samples alone, so all that take in one skill come
// to the same. It changes no result, only how long it takes. The zero value is empty. It is safe for
// concurrent use, as long as nobody writes to the base.
type GateCache struct {
	mu    sync.Mutex
	known map[gateKey]solvedGate
	order []gateKey // oldest first
}

const maxCachedGates = 1024

type gateKey struct {
	background               *model.Background
	firing, ridge, home, way float64
	dim                      int
	samples                  [32]byte
}

type solvedGate struct {
	gate   model.Gate // its slices are shared, and never written
	report GateReport
}

// solve is SolveGate for those who may have solved the same before.
func (c *GateCache) solve(cfg GateConfig, bg *model.Background, samples []float32, dim int) (model.Gate, GateReport, error) {
	h := sha256.New()
	var b [4096]byte
	for part := range slices.Chunk(samples, len(b)/4) {
		for i, x := range part {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
		}
		h.Write(b[:4*len(part)])
	}
	key := gateKey{background: bg, firing: cfg.Firing, ridge: cfg.Ridge, home: cfg.Home, way: cfg.Way, dim: dim}
	h.Sum(key.samples[:0])

	c.mu.Lock()
	s, ok := c.known[key]
	c.mu.Unlock()
	if ok {
		return s.gate, s.report, nil
	}
	g, rep, err := solveGate(cfg, bg, samples, dim) // meanwhile others may look up theirs
	if err != nil {
		return g, rep, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.known[key]; ok { // somebody else was faster
		return s.gate, s.report, nil
	}
	if c.known == nil {
		c.known = map[gateKey]solvedGate{}
	}
	if len(c.order) == maxCachedGates {
		delete(c.known, c.order[0])
		c.order = slices.Delete(c.order, 0, 1)
	}
	c.known[key] = solvedGate{g, rep}
	c.order = append(c.order, key)
	return g, rep, nil
}
