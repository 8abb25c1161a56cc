package sim

import (
	"sync"

	"github.com/yanmesh/yan/mesh/patch"
	"github.com/yanmesh/yan/protocol"
)

// What is in common holds what all devices come to alike, worked out once: whoever is first, nothing shows who it was.
type common struct {
	mu      sync.Mutex
	envoys  map[*protocol.Update]*envoy
	weights map[[2]protocol.Digest]int // bytes of a body to who has another
	offers  map[protocol.UpdateID]*protocol.Update
}

// envoy encodes an update once, however many pass it on.
func (c *common) envoy(u *protocol.Update) (*envoy, error) {
	c.mu.Lock()
	e := c.envoys[u]
	c.mu.Unlock()
	if e != nil {
		return e, nil
	}
	head, err := encode(&u.Announce)
	if err != nil {
		return nil, err
	}
	whole, err := encode(u)
	if err != nil {
		return nil, err
	}
	e = &envoy{head, whole, sync.OnceValue(whole.msg.(*protocol.Update).Verify)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.envoys[u]; first != nil {
		return first, nil
	}
	if c.envoys == nil {
		c.envoys = map[*protocol.Update]*envoy{}
	}
	c.envoys[u] = e
	c.envoys[whole.msg.(*protocol.Update)] = e
	return e, nil
}

// weight is how many bytes a body takes to someone who has another, or none.
func (c *common) weight(u, have *protocol.Update) int {
	key := [2]protocol.Digest{u.Digest}
	var earlier []byte
	if have != nil && have.Digest != u.Digest {
		key[1], earlier = have.Digest, have.Body
	}
	c.mu.Lock()
	n, ok := c.weights[key]
	c.mu.Unlock()
	if ok {
		return n
	}
	n = patch.Size(u.Body, earlier)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.weights == nil {
		c.weights = map[[2]protocol.Digest]int{}
	}
	c.weights[key] = n
	return n
}

// offer notes an update that was announced.
func (c *common) offer(u *protocol.Update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offers == nil {
		c.offers = map[protocol.UpdateID]*protocol.Update{}
	}
	c.offers[u.ID] = u
}
