package api

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/yanmesh/yan/model/sense"
	"github.com/yanmesh/yan/node"
)

const (
	maxPiece   = 4 << 10 // bytes of one message
	waiting    = 16      // messages that may wait to be heard; after these the client waits
	aheadBytes = 32      // that a line is thought ahead
	aheadJob   = 8       // events that are thought ahead in one job: input interrupts between two
)

// An ahead is what is expected after what was heard.
type ahead struct {
	Heard       uint64  `json:"heard"`       // bytes so far
	Completion  string  `json:"completion"`  // how the line goes on, most likely
	Probability float64 `json:"probability"` // that it goes on so: of all of the completion, and of the line's end where it came to it
	Next        float64 `json:"next"`        // of its first byte
	Surprise    float64 `json:"surprise"`    // of the bytes that this is the answer to, in nats
	ThrownAway  uint64  `json:"thrown_away"` // completions that were interrupted so far
}

// stream thinks along with what comes over a WebSocket, byte by byte.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		s.fail(w, &failure{http.StatusUpgradeRequired, "invalid_request_error", "upgrade_required", "", "this is a WebSocket: ask with a client for these"})
		return
	}
	if !enter(s.streams) {
		s.fail(w, &failure{http.StatusTooManyRequests, "rate_limit_error", "too_many_requests", "", "too many streams at the same time: close one"})
		return
	}
	defer leave(s.streams)
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has said why
	}
	defer c.CloseNow()
	c.SetReadLimit(maxPiece)
	ctx, cancel := context.WithCancel(r.Context())
	input := make(chan []byte, waiting)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	reading.Go(func() {
		defer close(input)
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				return
			}
			select {
			case input <- b:
			case <-ctx.Done():
				return
			}
		}
	})
	if err := s.listen(ctx, input, func(a ahead) error {
		b, err := json.Marshal(a)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, writeWait)
		defer cancel()
		return c.Write(ctx, websocket.MessageText, b)
	}); err != nil {
		_ = c.Close(websocket.StatusTryAgainLater, "the node does not answer")
	}
}

// listen hears what comes and says after each piece of it what is expected next, until there is no more. Input that comes while it thinks ahead
// interrupts it: what was thought is thrown away, which changes nothing. With a line an utterance ends, and the next is heard by the mind as it is then.
func (s *Server) listen(ctx context.Context, input <-chan []byte, say func(ahead) error) error {
	a, err := s.thinkOf(ctx, nil)
	if err != nil {
		return err
	}
	var now ahead
	piece, more := <-input
	for more {
		if len(piece) > 0 {
			now.Heard += uint64(len(piece))
			var nats float64
			if a, nats, err = s.hear(ctx, a, piece); err != nil {
				return err
			}
			now.Surprise += nats
		}
		var whole bool
		piece, more, whole, err = s.foresee(ctx, a, input, &now)
		switch {
		case err != nil:
			return err
		case !whole:
			now.ThrownAway++
			continue
		}
		if err := say(now); err != nil {
			return err
		}
		now.Surprise = 0
		piece, more = <-input
	}
	return nil
}

// hear goes on with a thought by what came. Behind a newline it is a new one.
func (s *Server) hear(ctx context.Context, a *thought, piece []byte) (*thought, float64, error) {
	nats := 0.0
	for len(piece) > 0 {
		n := min(len(piece), jobEvents)
		if at := slices.Index(piece[:n], '\n'); at >= 0 {
			n = at + 1
		}
		if err := s.do(ctx, func(time.Time, *node.Node) (node.Actions, error) {
			nats += a.Surprise(sense.Text(piece[:n]))
			return node.Actions{}, nil
		}); err != nil {
			return nil, 0, err
		}
		if piece[n-1] == '\n' {
			var err error
			if a, err = s.thinkOf(ctx, nil); err != nil {
				return nil, 0, err
			}
		}
		piece = piece[n:]
	}
	return a, nats, nil
}

// foresee thinks ahead to the end of the line, likeliest byte by likeliest byte, in a copy of the thought. If something comes in before that is done,
// it is not whole, and what came is returned; more is false when nothing will.
func (s *Server) foresee(ctx context.Context, a *thought, input <-chan []byte, now *ahead) (piece []byte, more, whole bool, err error) {
	var ahead *thought
	var said []byte
	p := 1.0
	for ended := false; !ended; {
		select {
		case piece, more = <-input:
			return piece, more, false, nil
		default:
		}
		if err := s.do(ctx, func(time.Time, *node.Node) (node.Actions, error) {
			if ahead == nil {
				ahead = a.Fork()
			}
			for range aheadJob {
				b, sure := likeliest(ahead.Expect())
				if p *= sure; len(said) == 0 {
					now.Next = sure
				}
				if ended = b == '\n'; ended {
					break
				}
				if said = append(said, b); len(said) == aheadBytes {
					ended = true
					break
				}
				ahead.Step(sense.Event{Byte: b})
			}
			return node.Actions{}, nil
		}); err != nil {
			return nil, true, false, err
		}
	}
	now.Completion, now.Probability = strings.ToValidUTF8(string(said), string(utf8.RuneError)), p
	return nil, true, true, nil
}

// likeliest is the byte that is most expected, and its probability.
func likeliest(logits []float32) (b byte, p float64) {
	top := slices.Max(logits)
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v - top))
	}
	return byte(slices.Index(logits, top)), 1 / sum
}
