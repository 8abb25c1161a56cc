package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/core/protocol"

	"github.com/yanmesh/yan/protocol"
)

const (
	gossipFrame = protocol.MaxAnnounce // bytes of one message to everyone
	gossipRPC   = 256 << 10            // bytes of what gossipsub sends at once
	spareFrom   = 200                  // bytes from which who has a message says so to those who would send it, too: a head is checked for as long as its body takes to come
	sayChecks   = 64                   // messages checked at once
	newsChecks  = 64                   // announcements checked, and waiting to be fetched, at once
	speakers    = 1024                 // peers whose rate we know
	speakRate   = 10                   // messages a second that we take from one of them
	speakBurst  = 200                  // messages that may come at once
)

// gossip is what is said to everyone, on two topics: messages that travel
// whole, and heads of updates, whose bodies each peer fetches before it passes
// the head on. So a body crosses each link once, and one that is false goes no
// further than its liar. Whoever says something signs it: gossipsub checks that
// before we see it.
type gossip struct {
	self   peer.ID
	tasks  *tasks
	bodies *bodies
	fault  func(peer.ID, error)
	gate   *gate // nil: everyone may speak

	say, news, words topic // words are what cells say of themselves

	wanted atomic.Pointer[func(context.Context, protocol.Message) bool] // whether an update is fetched; nil if all are

	mu    sync.Mutex // guards rates
	rates *simplelru.LRU[peer.ID, *pace]
}

type topic struct {
	*pubsub.Topic
	sub *pubsub.Subscription
}

// newGossip joins all topics. What it starts ends with ctx.
func newGossip(ctx context.Context, h host.Host, p protocols, s *strikes, gt *gate, t *tasks, b *bodies, c *cells) (*gossip, error) {
	g := &gossip{self: h.ID(), tasks: t, bodies: b, fault: s.fault, gate: gt}
	g.rates, _ = simplelru.NewLRU[peer.ID, *pace](speakers, nil) // the only error is a size of zero
	params := pubsub.DefaultGossipSubParams()
	params.IDontWantMessageThreshold = spareFrom
	ps, err := pubsub.NewGossipSub(ctx, h,
		pubsub.WithGossipSubParams(params),
		pubsub.WithGossipSubProtocols([]libp2p.ID{p.gossip}, features),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithMaxMessageSize(gossipRPC),
		pubsub.WithMaxControlMessageSize(gossipRPC/2),
		pubsub.WithPeerOutboundQueueSize(64),
		pubsub.WithValidateQueueSize(128),
		pubsub.WithSeenMessagesTTL(10*time.Minute),
		pubsub.WithBlacklist(s),
		pubsub.WithRawTracer(rumours{s.fault}),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(
			pubsub.NewAllowlistSubscriptionFilter(p.topicSay, p.topicNews, p.topicCells), 16)),
	)
	if err != nil {
		return nil, fmt.Errorf("p2p: gossipsub: %w", err)
	}
	if g.say, err = join(ps, p.topicSay, g.checkSaid, sayChecks); err != nil {
		return nil, err
	}
	if g.news, err = join(ps, p.topicNews, g.checkNews, newsChecks); err != nil {
		return nil, err
	}
	word := func(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		if from != g.self && !g.may(m.GetFrom(), time.Now()) {
			return pubsub.ValidationIgnore
		}
		return c.check(from, m)
	}
	if g.words, err = join(ps, p.topicCells, word, wordChecks); err != nil {
		return nil, err
	}
	return g, nil
}

// features are gossipsub's that we use: those of its version 1.2 but for the exchange of peers, which
// is memberlist's business. A network's gossip has a name of its own, so that peers of another, met
// by mistake, have nothing to say to one another.
func features(f pubsub.GossipSubFeature, _ libp2p.ID) bool {
	return f == pubsub.GossipSubFeatureMesh || f == pubsub.GossipSubFeatureIdontwant
}

func join(ps *pubsub.PubSub, name string, check pubsub.ValidatorEx, atOnce int) (t topic, err error) {
	err = ps.RegisterTopicValidator(name, check,
		pubsub.WithValidatorTimeout(fetchTime), pubsub.WithValidatorConcurrency(atOnce))
	if err == nil {
		t.Topic, err = ps.Join(name)
	}
	if err == nil {
		t.sub, err = t.Subscribe(pubsub.WithBufferSize(256))
	}
	if err != nil {
		err = fmt.Errorf("p2p: topic %s: %w", name, err)
	}
	return t, err
}

// tell publishes a message to everyone. An update or a record must have been verified.
func (g *gossip) tell(ctx context.Context, m protocol.Message) error {
	switch m := m.(type) {
	case *protocol.Update:
		g.bodies.own(m)
		return publish(ctx, g.news, &m.Announce)
	case *protocol.Record:
		g.bodies.own(&protocol.Update{Announce: *bodyOf(&m.Align), Body: m.Body})
		return publish(ctx, g.news, &m.Align)
	}
	return publish(ctx, g.say, m)
}

// bodyOf says of a record's body what an announcement says of an update's, so that both are fetched alike. No update has a name
// without a skill, so neither is taken for the other.
func bodyOf(a *protocol.Align) *protocol.Announce {
	return &protocol.Announce{
		ID:     protocol.UpdateID{Author: a.Author, Seq: a.Term*(protocol.MaxRank+1) + uint64(a.Rank)},
		Digest: a.Digest, Size: a.Size,
	}
}

// publish looks at the length itself: gossipsub drops what is too long and says
// nothing.
func publish(ctx context.Context, t topic, m protocol.Message) error {
	frame, err := protocol.Encode(m)
	if err != nil {
		return err
	}
	if len(frame) > gossipFrame {
		return fmt.Errorf("%w: %v of %d bytes to everyone", protocol.ErrTooLong, m.Kind(), len(frame))
	}
	if err := t.Publish(ctx, frame); err != nil {
		return fmt.Errorf("p2p: publish: %w", err)
	}
	return nil
}

// listen hands on what the checks let through, with its author and who passed it on, until ctx ends.
func (g *gossip) listen(ctx context.Context, t topic, heard func(author, via peer.ID, msg protocol.Message)) {
	for {
		m, err := t.sub.Next(ctx)
		if err != nil {
			return
		}
		if msg, ok := m.ValidatorData.(protocol.Message); ok && m.ReceivedFrom != g.self {
			heard(m.GetFrom(), m.ReceivedFrom, msg)
		}
	}
}

// A check runs in a goroutine of gossipsub's. What it accepts is heard here and
// passed on; what it rejects is the fault of the peer that passed it on to us,
// who had to check it too.

func (g *gossip) checkSaid(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	if from == g.self {
		return pubsub.ValidationAccept
	}
	msg, result := g.decode(from, m)
	if result != pubsub.ValidationAccept {
		return result
	}
	switch msg.Kind() {
	case protocol.KindUpdate, protocol.KindAlign, protocol.KindRecord:
		return g.reject(from, errMisplaced)
	}
	m.ValidatorData = msg
	return pubsub.ValidationAccept
}

func (g *gossip) checkNews(ctx context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	if from == g.self {
		return pubsub.ValidationAccept
	}
	msg, result := g.decode(from, m)
	if result != pubsub.ValidationAccept {
		return result
	}
	var a *protocol.Announce
	var err error
	align, isRecord := msg.(*protocol.Align)
	if isRecord {
		a, err = bodyOf(align), align.Verify()
	} else if a, _ = msg.(*protocol.Announce); a == nil {
		return g.reject(from, errMisplaced)
	} else {
		err = a.Verify()
	}
	if err != nil {
		return g.reject(from, err)
	}
	if !g.tasks.begin() { // from here on it may take long
		return pubsub.ValidationIgnore
	}
	defer g.tasks.end()
	if !g.wants(ctx, msg) {
		return pubsub.ValidationIgnore // others may want it: whoever does hears of it from a peer who did
	}
	if !g.bodies.claim(a) {
		return pubsub.ValidationIgnore
	}
	body, err := g.bodies.fetch(ctx, wanted(a), from)
	g.bodies.settle(a, err == nil)
	if err != nil {
		return pubsub.ValidationIgnore
	}
	m.ValidatorData = &protocol.Update{Announce: *a, Body: body}
	if isRecord {
		if _, err := protocol.DecodeAlignment(body); err != nil {
			return pubsub.ValidationIgnore // its author's fault, of whom only we and the one before us need to know
		}
		m.ValidatorData = &protocol.Record{Align: *align, Body: body}
	}
	return pubsub.ValidationAccept
}

func (g *gossip) wants(ctx context.Context, head protocol.Message) bool {
	f := g.wanted.Load()
	return f == nil || *f == nil || (*f)(ctx, head)
}

var errMisplaced = errors.New("p2p: a message on the wrong topic")

func (g *gossip) decode(from peer.ID, m *pubsub.Message) (protocol.Message, pubsub.ValidationResult) {
	if len(m.Data) > gossipFrame {
		return nil, g.reject(from, protocol.ErrTooLong)
	}
	if g.gate != nil && g.gate.check(m.GetFrom()) != nil {
		return nil, pubsub.ValidationIgnore // whoever passed it on may not know yet that its author was revoked
	}
	if !g.may(m.GetFrom(), time.Now()) {
		return nil, pubsub.ValidationIgnore
	}
	msg, err := protocol.Decode(m.Data)
	switch {
	case errors.Is(err, protocol.ErrUnknown):
		return nil, pubsub.ValidationIgnore
	case err != nil:
		return nil, g.reject(from, err)
	}
	return msg, pubsub.ValidationAccept
}

// may reports whether the peer may say one more thing to everyone. One that never stops is passed on
// by nobody, and so does not drown the others.
func (g *gossip) may(speaker peer.ID, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, ok := g.rates.Get(speaker)
	if !ok {
		p = &pace{rate: speakRate, burst: speakBurst}
		g.rates.Add(speaker, p)
	}
	return p.allow(now)
}

func (g *gossip) reject(from peer.ID, why error) pubsub.ValidationResult {
	g.fault(from, why)
	return pubsub.ValidationReject
}
