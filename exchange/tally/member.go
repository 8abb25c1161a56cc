package tally

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// boxBytes is the length of a box: two shares, sealed.
const boxBytes = 2*shareBytes + 16

// A Member has one vector of the sum. It is used once.
type Member struct {
	cfg    Config
	self   int
	key    ed25519.PrivateKey
	chance io.Reader
	vector []uint32
	round  Kind // the message of the collector's that it waits for; 0 when it is done

	seal, mask *ecdh.PrivateKey
	own        [shareBytes]byte // what its own mask is drawn from
	keys       map[int]memberKeys
	boxes      map[int][]byte // shares of others, still sealed
	left       []int          // whose vectors came
}

type memberKeys struct{ seal, mask *ecdh.PublicKey }

// NewMember returns member number self, whose identity is key. chance has to be bytes that nobody can foresee. The vector is
// the member's from then on.
func NewMember(c Config, self int, key ed25519.PrivateKey, vector []uint32, chance io.Reader) (*Member, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	if self < 0 || self >= len(c.Members) || len(key) != ed25519.PrivateKeySize || !c.Members[self].Equal(key.Public()) || len(vector) != c.Values {
		return nil, fmt.Errorf("%w: not member %d of it, or a vector of %d values", ErrConfig, self, len(vector))
	}
	m := &Member{cfg: c, self: self, key: key, chance: chance, vector: vector, round: Roster, keys: map[int]memberKeys{}, boxes: map[int][]byte{}}
	var drawn [3][shareBytes]byte
	for i := range drawn {
		if _, err := io.ReadFull(chance, drawn[i][:]); err != nil {
			return nil, fmt.Errorf("tally: no chance: %w", err)
		}
	}
	m.own = drawn[2]
	if m.seal, err = ecdh.X25519().NewPrivateKey(drawn[0][:]); err != nil {
		return nil, err
	}
	m.mask, err = ecdh.X25519().NewPrivateKey(drawn[1][:])
	return m, err
}

// Begin is the member's first message.
func (m *Member) Begin() *Message {
	b := append(m.seal.PublicKey().Bytes(), m.mask.PublicKey().Bytes()...)
	b = append(b, ed25519.Sign(m.key, m.cfg.signed(Keys, m.self, b))...)
	return m.message(Keys, Item{uint8(m.self), b})
}

// signed is what a member signs: nothing else that an identity signs looks like it.
func (c *Config) signed(k Kind, member int, b []byte) []byte {
	s := append([]byte("yan tally v1\x00"), byte(k), byte(member), byte(len(c.Members)), byte(c.Threshold))
	return append(append(s, c.Session[:]...), b...)
}

func (m *Member) message(k Kind, items ...Item) *Message {
	return &Message{Session: m.cfg.Session, Kind: k, Member: uint8(m.self), Items: items}
}

// Handle takes in a message of the collector's and returns the answer, nil if there is none. A message that is of another round
// or says what it must not changes nothing.
func (m *Member) Handle(in *Message) (*Message, error) {
	if in.Session != m.cfg.Session || in.Kind != m.round || int(in.Member) != m.self {
		return nil, fmt.Errorf("%w: kind %d for member %d", ErrMessage, in.Kind, in.Member)
	}
	switch in.Kind {
	case Roster:
		return m.share(in)
	case Delivered:
		return m.hide(in)
	case Survivors:
		return m.agree(in)
	}
	return m.reveal(in)
}

// share takes in everyone's keys, and hands out shares of the own secrets.
func (m *Member) share(in *Message) (*Message, error) {
	keys := map[int]memberKeys{}
	var seen [][]byte
	for _, it := range in.Items {
		v := int(it.Member)
		if v >= len(m.cfg.Members) || !ed25519.Verify(m.cfg.Members[v], m.cfg.signed(Keys, v, it.Bytes[:64]), it.Bytes[64:]) {
			return nil, fmt.Errorf("%w: the keys of member %d are not its own", ErrMessage, v)
		}
		for _, b := range [][]byte{it.Bytes[:32], it.Bytes[32:64]} {
			if slices.ContainsFunc(seen, func(o []byte) bool { return string(o) == string(b) }) {
				return nil, fmt.Errorf("%w: a key of member %d is there twice", ErrMessage, v)
			}
			seen = append(seen, b)
		}
		seal, err1 := ecdh.X25519().NewPublicKey(it.Bytes[:32])
		mask, err2 := ecdh.X25519().NewPublicKey(it.Bytes[32:64])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%w: the keys of member %d: %v", ErrMessage, v, err)
		}
		keys[v] = memberKeys{seal, mask}
	}
	if mine, ok := keys[m.self]; !ok || !mine.mask.Equal(m.mask.PublicKey()) || !mine.seal.Equal(m.seal.PublicKey()) {
		return nil, fmt.Errorf("%w: the own keys are not there", ErrMessage)
	}
	if len(keys) < m.cfg.Threshold {
		return nil, ErrTooFew
	}
	ofMask, err1 := split([shareBytes]byte(m.mask.Bytes()), len(m.cfg.Members), m.cfg.Threshold, m.chance)
	ofOwn, err2 := split(m.own, len(m.cfg.Members), m.cfg.Threshold, m.chance)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("tally: no chance: %w", err)
	}
	out := m.message(Sealed)
	for v := range m.cfg.Members {
		k, ok := keys[v]
		if !ok {
			continue
		}
		box, err := m.cfg.box(m.seal, k.seal, m.self, v)
		if err != nil {
			return nil, fmt.Errorf("%w: member %d: %v", ErrMessage, v, err)
		}
		out.Items = append(out.Items, Item{uint8(v), box.Seal(nil, make([]byte, box.NonceSize()), append(ofMask[v][:], ofOwn[v][:]...), nil)})
	}
	m.keys, m.round = keys, Delivered
	return out, nil
}

// box seals what one member has to say to another, once: its key is of this session, and of this direction.
func (c *Config) box(own *ecdh.PrivateKey, other *ecdh.PublicKey, from, to int) (cipher.AEAD, error) {
	secret, err := own.ECDH(other)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, c.Session[:], fmt.Sprintf("yan tally box %d %d", from, to), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// hide puts the vector behind the own mask and those that it has with everyone who shared his secrets.
func (m *Member) hide(in *Message) (*Message, error) {
	boxes := map[int][]byte{}
	for _, it := range in.Items {
		if _, ok := m.keys[int(it.Member)]; !ok {
			return nil, fmt.Errorf("%w: a box of member %d, of whom there are no keys", ErrMessage, it.Member)
		}
		boxes[int(it.Member)] = it.Bytes
	}
	if _, ok := boxes[m.self]; !ok || len(boxes) < m.cfg.Threshold {
		return nil, ErrTooFew
	}
	y := slices.Clone(m.vector)
	add(y, m.own, m.cfg.Session, 1)
	for v := range boxes { // sums modulo 2³² are the same in any order
		if v == m.self {
			continue
		}
		seed, err := m.cfg.pairSeed(m.mask, m.keys[v].mask)
		if err != nil {
			return nil, fmt.Errorf("%w: member %d: %v", ErrMessage, v, err)
		}
		add(y, seed, m.cfg.Session, sign(m.self, v))
	}
	m.boxes, m.round = boxes, Survivors
	out := m.message(Masked)
	out.Values = y
	return out, nil
}

// sign says which of two members adds their mask, and which takes it away.
func sign(self, other int) uint32 {
	if self < other {
		return 1
	}
	return ^uint32(0)
}

func (c *Config) pairSeed(own *ecdh.PrivateKey, other *ecdh.PublicKey) (seed [shareBytes]byte, err error) {
	secret, err := own.ECDH(other)
	if err != nil {
		return seed, err
	}
	k, err := hkdf.Key(sha256.New, secret, c.Session[:], "yan tally mask", shareBytes)
	copy(seed[:], k)
	return seed, err
}

// add adds to y the mask that is drawn from a seed, so many times: AES in counter mode.
func add(y []uint32, seed, session [shareBytes]byte, times uint32) {
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	stream := cipher.NewCTR(block, session[:block.BlockSize()])
	var part [1024]byte
	for at := 0; at < len(y); at += len(part) / 4 {
		clear(part[:])
		stream.XORKeyStream(part[:], part[:])
		for i := range min(len(part)/4, len(y)-at) {
			y[at+i] += times * binary.LittleEndian.Uint32(part[4*i:])
		}
	}
}

// agree signs the list of those whose vectors came. It does so for one list alone.
func (m *Member) agree(in *Message) (*Message, error) {
	var left []int
	for _, it := range in.Items {
		if _, ok := m.boxes[int(it.Member)]; !ok {
			return nil, fmt.Errorf("%w: member %d is left, who never shared", ErrMessage, it.Member)
		}
		left = append(left, int(it.Member))
	}
	if !slices.Contains(left, m.self) || len(left) < m.cfg.Threshold {
		return nil, ErrTooFew
	}
	m.left, m.round = left, Confirmed
	return m.message(Agreed, Item{uint8(m.self), ed25519.Sign(m.key, m.cfg.signed(Agreed, 0, list(left)))}), nil
}

func list(members []int) []byte {
	b := make([]byte, len(members))
	for i, v := range members {
		b[i] = byte(v)
	}
	return b
}

// reveal hands out the shares that undo the masks, once enough others have signed the same list.
func (m *Member) reveal(in *Message) (*Message, error) {
	for _, it := range in.Items {
		v := int(it.Member)
		if !slices.Contains(m.left, v) || !ed25519.Verify(m.cfg.Members[v], m.cfg.signed(Agreed, 0, list(m.left)), it.Bytes) {
			return nil, fmt.Errorf("%w: member %d did not agree to this", ErrMessage, v)
		}
	}
	if len(in.Items) < m.cfg.Threshold {
		return nil, ErrTooFew
	}
	out := m.message(Revealed)
	for v := range m.cfg.Members {
		sealed, ok := m.boxes[v]
		if !ok {
			continue
		}
		box, err := m.cfg.box(m.seal, m.keys[v].seal, v, m.self)
		if err != nil {
			continue // it was checked when it came
		}
		shares, err := box.Open(nil, make([]byte, box.NonceSize()), sealed, nil)
		if err != nil {
			continue // who seals nothing well has one share fewer
		}
		b := append([]byte{ofMask}, shares[:shareBytes]...)
		if slices.Contains(m.left, v) {
			b = append([]byte{ofOwn}, shares[shareBytes:]...)
		}
		out.Items = append(out.Items, Item{uint8(v), b})
	}
	m.round = 0
	return out, nil
}

// Which of a member's secrets a share is of.
const (
	ofMask = 0 // the key of the masks that it has with others: it dropped out
	ofOwn  = 1 // what its own mask is drawn from: it is left
)
