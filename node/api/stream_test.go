package api

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/node"
)

// dial opens a stream to a room that listens.
func (r *room) dial(headers http.Header) (*websocket.Conn, int) {
	r.Helper()
	server := httptest.NewServer(r.Server)
	r.Cleanup(server.Close)
	c, resp, err := websocket.Dial(r.Context(), server.URL+"/v1/stream", &websocket.DialOptions{HTTPHeader: headers})
	if err != nil {
		return nil, resp.StatusCode
	}
	r.Cleanup(func() { c.CloseNow() })
	return c, resp.StatusCode
}

// next is what the stream says next.
func (r *room) next(c *websocket.Conn) ahead {
	r.Helper()
	_, b, err := c.Read(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return decoded[ahead](r, string(b))
}

const taught = "my coffee is black and hot"

// While somebody types, the rest of what the mind was taught is there before it is said, and surer the more of it was. What was thought on the way
// changed nothing: the same in one piece is answered alike, and the mind is what it was.
func TestStreamIsAheadOfWhoTypes(t *testing.T) {
	r := newRoom(t, Config{})
	for range 8 {
		r.must("/v1/learn", `{"text":"`+taught+`"}`)
	}
	before := r.mind()
	c, _ := r.dial(nil)
	heard := 0
	say := func(text string) ahead {
		t.Helper()
		if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		a := r.next(c)
		if heard += len(text); a.Heard != uint64(heard) || !(a.Probability > 0 && a.Probability <= a.Next && a.Next <= 1) || a.Surprise < 0 || a.ThrownAway != 0 {
			t.Errorf("behind %q: %+v", text, a)
		}
		return a
	}
	var first, last ahead
	for i := range taught {
		last = say(taught[i : i+1])
		if i == 0 {
			first = last
		}
		if i > len(taught)/2 && last.Completion != taught[i+1:] {
			t.Errorf("behind %q: %q", taught[:i+1], last.Completion)
		}
	}
	if last.Probability <= first.Probability {
		t.Errorf("%v sure at the beginning, %v at the end", first.Probability, last.Probability)
	}
	begun := say("\n")
	for i := range taught {
		last = say(taught[i : i+1])
	}
	say("\n")
	if whole := say(taught); whole.Completion != last.Completion || whole.Probability != last.Probability {
		t.Errorf("byte by byte %+v, at once %+v", last, whole)
	}
	if again := say("!\n"); again.Completion != begun.Completion || again.Probability != begun.Probability {
		t.Errorf("a new line after one line %+v, after another %+v", begun, again)
	}
	if !bytes.Equal(before, r.mind()) {
		t.Error("listening changed the mind")
	}
	r.must("/v1/learn", `{"text":"something else"}`)
}

// What comes while the mind thinks ahead interrupts it. What was thrown away is counted, and leaves nothing behind.
func TestInputInterrupts(t *testing.T) {
	r := newRoom(t, Config{})
	listen := func(waiting ...string) ahead {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		input := make(chan []byte, len(waiting))
		for _, text := range waiting {
			input <- []byte(text)
		}
		var answers []ahead
		if err := r.listen(ctx, input, func(a ahead) error {
			answers = append(answers, a)
			close(input)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		cancel()
		if len(answers) != 1 {
			t.Fatalf("%d answers: %+v", len(answers), answers)
		}
		return answers[0]
	}
	hurried, calm := listen(strings.Split(taught, "")...), listen(taught)
	if hurried.ThrownAway != uint64(len(taught)-1) || calm.ThrownAway != 0 {
		t.Errorf("%d and %d were thrown away", hurried.ThrownAway, calm.ThrownAway)
	}
	if hurried.Completion != calm.Completion || hurried.Probability != calm.Probability || hurried.Heard != calm.Heard {
		t.Errorf("interrupted %+v, not interrupted %+v", hurried, calm)
	}
}

// Streams are as hard to open as anything else, as many as there may be, and end with the server.
func TestStreamsAreBounded(t *testing.T) {
	r := newRoom(t, Config{})
	if w := r.ask("GET", "/v1/stream", ""); w.Code != http.StatusUpgradeRequired {
		t.Errorf("no WebSocket: %d", w.Code)
	}
	if _, status := r.dial(http.Header{"Origin": {"https://evil.example"}}); status != http.StatusForbidden {
		t.Errorf("a page of another origin: %d", status)
	}
	large, _ := r.dial(nil)
	if err := large.Write(t.Context(), websocket.MessageBinary, make([]byte, maxPiece+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := large.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a message that is too large: %v", err)
	}
	for len(r.streams) > 0 { // until that one has ended
		r.mind()
	}
	var open []*websocket.Conn
	for range maxStreams {
		c, status := r.dial(nil)
		if c == nil {
			t.Fatalf("stream %d: %d", len(open), status)
		}
		open = append(open, c)
	}
	if _, status := r.dial(nil); status != http.StatusTooManyRequests {
		t.Errorf("one stream too many: %d", status)
	}
	r.Close()
	for _, c := range open {
		if _, _, err := c.Read(t.Context()); err == nil {
			t.Error("a closed server speaks")
		}
	}
}

// How long an event of a stream is waited for with the base that ships, while the owner's stream brings an event for each of its own.
func BenchmarkStream(b *testing.B) {
	r := newRoomOf(b, Config{}, base.Embedded())
	learn := func(text []byte) {
		if err := r.jobs(b.Context(), func(now time.Time, n *node.Node) (node.Actions, error) {
			_, a := n.Observe(now, text)
			return a, nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	text := []byte(strings.Repeat("remind me to call the office when the meeting is over\n", 20))
	learn(text)
	input, answers := make(chan []byte, 1), make(chan ahead)
	ended := make(chan error)
	go func() {
		ended <- r.listen(b.Context(), input, func(a ahead) error {
			answers <- a
			return nil
		})
	}()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		at := i % len(text)
		began := time.Now()
		input <- text[at : at+1]
		learn(text[at : at+1])
		<-answers
		took = append(took, time.Since(began))
	}
	close(input)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}
