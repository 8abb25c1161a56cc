package tally

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"fmt"
	"slices"
)

// A Collector adds up. It hears members in any order; when it has waited long enough for those of a round,
// [Collector.Next] ends the round with those that were heard.
type Collector struct {
	cfg   Config
	round Kind                 // of what members say now
	heard [MaxMembers]*Message // in this round

	keys   map[int]*Message
	sealed map[int]*Message
	masked map[int]*Message
	shares map[int]*Message
	left   []int // whose vectors came
	sum    []uint32
	summed bool
}

// NewCollector returns a collector for a session.
func NewCollector(c Config) (*Collector, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	return &Collector{cfg: c, round: Keys}, nil
}

// Round is what members are to say now; 0 when all is said.
func (c *Collector) Round() Kind { return c.round }

// Heard is how many members have said it.
func (c *Collector) Heard() (n int) {
	for _, m := range c.heard {
		if m != nil {
			n++
		}
	}
	return n
}

// Handle takes in what a member says, whose identity the caller knows to be that of Message.Member. What is said twice
// counts once.
func (c *Collector) Handle(in *Message) error {
	v := int(in.Member)
	switch {
	case in.Session != c.cfg.Session || in.Kind != c.round || v >= len(c.cfg.Members):
		return fmt.Errorf("%w: kind %d of member %d", ErrMessage, in.Kind, in.Member)
	case c.heard[v] != nil:
		return nil
	}
	if err := c.check(in, v); err != nil {
		return err
	}
	c.heard[v] = in
	return nil
}

func (c *Collector) check(in *Message, v int) error {
	bad := func(why string) error { return fmt.Errorf("%w: member %d: %s", ErrMessage, v, why) }
	one := len(in.Items) == 1 && int(in.Items[0].Member) == v
	switch in.Kind {
	case Keys:
		if !one || !ed25519.Verify(c.cfg.Members[v], c.cfg.signed(Keys, v, in.Items[0].Bytes[:64]), in.Items[0].Bytes[64:]) {
			return bad("its keys are not its own")
		}
	case Sealed:
		if c.keys[v] == nil || len(in.Items) != len(c.keys) {
			return bad("boxes for others than were there")
		}
		for _, it := range in.Items {
			if c.keys[int(it.Member)] == nil {
				return bad("a box for nobody")
			}
		}
	case Masked:
		if c.sealed[v] == nil || len(in.Values) != c.cfg.Values {
			return bad(fmt.Sprintf("%d values", len(in.Values)))
		}
	case Agreed:
		if !one || !slices.Contains(c.left, v) || !ed25519.Verify(c.cfg.Members[v], c.cfg.signed(Agreed, 0, list(c.left)), in.Items[0].Bytes) {
			return bad("it signed something else")
		}
	case Revealed:
		if !slices.Contains(c.left, v) {
			return bad("it is not left")
		}
		for _, it := range in.Items {
			if c.sealed[int(it.Member)] == nil || (it.Bytes[0] == ofOwn) != slices.Contains(c.left, int(it.Member)) {
				return bad("a share that was not asked for")
			}
		}
	}
	return nil
}

// Next ends the round, and returns what to say to whom. With fewer than Threshold members the error is ErrTooFew, and
// who was late may still come.
func (c *Collector) Next() ([]*Message, error) {
	var heard []int
	got := map[int]*Message{}
	for v, m := range c.heard {
		if m != nil {
			heard, got[v] = append(heard, v), m
		}
	}
	if c.round == 0 || len(heard) < c.cfg.Threshold {
		return nil, fmt.Errorf("%w: %d of %d, %d needed", ErrTooFew, len(heard), len(c.cfg.Members), c.cfg.Threshold)
	}
	var out []*Message
	say := func(k Kind, items func(to int) []Item) {
		for _, v := range heard {
			out = append(out, &Message{Session: c.cfg.Session, Kind: k, Member: uint8(v), Items: items(v)})
		}
	}
	all := func() (items []Item) {
		for _, v := range heard {
			items = append(items, got[v].Items[0])
		}
		return items
	}
	switch c.round {
	case Keys:
		c.keys, c.round = got, Sealed
		say(Roster, func(int) []Item { return all() })
	case Sealed:
		c.sealed, c.round = got, Masked
		say(Delivered, func(to int) (items []Item) {
			for _, v := range heard {
				items = append(items, Item{uint8(v), got[v].item(to)})
			}
			return items
		})
	case Masked:
		c.masked, c.left, c.round = got, heard, Agreed
		say(Survivors, func(int) (items []Item) {
			for _, v := range heard {
				items = append(items, Item{Member: uint8(v)})
			}
			return items
		})
	case Agreed:
		c.round = Revealed
		say(Confirmed, func(int) []Item { return all() })
	case Revealed:
		c.shares = got
		if err := c.unmask(heard); err != nil {
			return nil, err
		}
		c.round = 0
	}
	c.heard = [MaxMembers]*Message{}
	return out, nil
}

// unmask adds up what came and takes the masks away.
func (c *Collector) unmask(tellers []int) error {
	sum := make([]uint32, c.cfg.Values)
	for _, v := range c.left {
		for i, x := range c.masked[v].Values {
			sum[i] += x
		}
	}
	for v := range c.sealed {
		secret, err := c.secretOf(v, tellers)
		if err != nil {
			return err
		}
		if slices.Contains(c.left, v) {
			add(sum, secret, c.cfg.Session, ^uint32(0))
			continue
		}
		// Who dropped out after sharing: its masks with all who are left are in their vectors.
		key, err := ecdh.X25519().NewPrivateKey(secret[:])
		if err != nil || string(key.PublicKey().Bytes()) != string(c.keys[v].Items[0].Bytes[32:64]) {
			return fmt.Errorf("%w: the shares of member %d's key do not give it", ErrMessage, v)
		}
		for _, u := range c.left {
			other, err := ecdh.X25519().NewPublicKey(c.keys[u].Items[0].Bytes[32:64])
			if err != nil {
				return fmt.Errorf("%w: member %d: %v", ErrMessage, u, err)
			}
			seed, err := c.cfg.pairSeed(key, other)
			if err != nil {
				return fmt.Errorf("%w: member %d: %v", ErrMessage, u, err)
			}
			add(sum, seed, c.cfg.Session, -sign(u, v))
		}
	}
	c.sum, c.summed = sum, true
	return nil
}

// secretOf joins what was told of a member's secret.
func (c *Collector) secretOf(v int, tellers []int) (s [shareBytes]byte, err error) {
	var members []int
	var shares [][shareBytes]byte
	for _, u := range tellers {
		if b := c.shares[u].item(v); b != nil && len(members) < c.cfg.Threshold {
			members, shares = append(members, u), append(shares, [shareBytes]byte(b[1:]))
		}
	}
	if len(members) < c.cfg.Threshold {
		return s, fmt.Errorf("%w: %d shares of member %d's secret", ErrTooFew, len(members), v)
	}
	return join(members, shares), nil
}

// Sum is what the vectors of the members in it add up to, once all was said.
func (c *Collector) Sum() (sum []uint32, members []int, ok bool) { return c.sum, c.left, c.summed }
