package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/sense"
	"github.com/yanmesh/yan/node"
)

// memory is a journal that survives the node, and nothing else.
type memory struct {
	mu      sync.Mutex
	snap    []byte
	records [][]byte
	blobs   map[[32]byte][]byte
	err     error // that Append fails with
}

func (m *memory) Append(records [][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.records = append(m.records, records...)
	}
	return m.err
}

func (m *memory) fails(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) Snapshot(write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	m.snap, m.records = b.Bytes(), nil
	return nil
}

func (m *memory) PutBlob(b []byte) ([32]byte, error) {
	d := sha256.Sum256(b)
	m.blobs[d] = bytes.Clone(b)
	return d, nil
}

func (m *memory) Blob(d [32]byte) ([]byte, error) {
	if b, ok := m.blobs[d]; ok {
		return b, nil
	}
	return nil, errors.New("no such body")
}

func (m *memory) Blobs() ([][32]byte, error) { return slices.Collect(maps.Keys(m.blobs)), nil }
func (m *memory) DropBlob(d [32]byte) error  { delete(m.blobs, d); return nil }
func (m *memory) replay(do func([]byte) error) error {
	for _, r := range m.records {
		if err := do(r); err != nil {
			return err
		}
	}
	return nil
}

func newNode(t testing.TB, m *model.Model) *node.Node {
	t.Helper()
	n, err := node.New(node.Config{Key: ed25519.NewKeyFromSeed([]byte("thirty-two bytes that never vary")), Seed: 1}, m)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A room is a server with a node that runs.
type room struct {
	testing.TB
	*Server
	journal *memory
	jobs    func(context.Context, node.Job) error
}

func newRoom(t *testing.T, c Config) *room { return newRoomOf(t, c, base.Tiny()) }

func newRoomOf(t testing.TB, c Config, m *model.Model) *room {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, j := node.NewRunner(), &memory{blobs: map[[32]byte][]byte{}}
	ended := make(chan error, 1)
	n := newNode(t, m)
	go func() { ended <- node.Run(ctx, n, nil, j, r, nil, nil) }()
	c.Do = r.Do
	s := New(c)
	t.Cleanup(func() {
		s.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &room{t, s, j, r.Do}
}

// ask sends a document, as a client on this machine would.
func (r *room) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), method, "http://127.0.0.1:7411"+path, strings.NewReader(body))
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// must is ask for what has to be answered.
func (r *room) must(path, body string) string {
	r.Helper()
	w := r.ask("POST", path, body)
	if w.Code != http.StatusOK {
		r.Fatalf("%s %s: %d %s", path, body, w.Code, w.Body)
	}
	return w.Body.String()
}

// mind is all that the node is, as it would be written to the disk.
func (r *room) mind() []byte {
	r.Helper()
	var b bytes.Buffer
	if err := r.jobs(r.Context(), func(_ time.Time, n *node.Node) (node.Actions, error) {
		return node.Actions{}, n.WriteSnapshot(&b)
	}); err != nil {
		r.Fatal(err)
	}
	return b.Bytes()
}

func decoded[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// events are the documents of a stream of server-sent events, which must have ended as such streams do.
func events(t *testing.T, text string) (list []completion) {
	t.Helper()
	parts := strings.Split(strings.TrimSuffix(text, "\n\n"), "\n\n")
	for i, p := range parts {
		data, ok := strings.CutPrefix(p, "data: ")
		if !ok || (data == "[DONE]") != (i == len(parts)-1) {
			t.Fatalf("event %d of %d is %q", i, len(parts), p)
		}
		if data != "[DONE]" {
			list = append(list, decoded[completion](t, data))
		}
	}
	if len(list) == 0 {
		t.Fatalf("no events in %q", text)
	}
	return list
}

// What comes in pieces is what comes in one, of each of many choices, and it is what the seed makes it.
func TestCompletionStreams(t *testing.T) {
	r := newRoom(t, Config{})
	const ask = `{"model":"yan","prompt":"once upon a time","max_tokens":40,"n":3,"seed":5,"temperature":1,"top_p":0.9`
	whole := decoded[completion](t, r.must("/v1/completions", ask+`}`))
	if len(whole.Choices) != 3 || *whole.Usage != (usage{16, 120, 136}) || whole.Object != "text_completion" || whole.Model != "yan" || whole.ID == "" {
		t.Fatalf("%+v, %+v", whole, whole.Usage)
	}
	var texts [3]string
	var ends [3]int
	list := events(t, r.must("/v1/completions", ask+`,"stream":true,"stream_options":{"include_usage":true}}`))
	last := list[len(list)-1]
	if len(last.Choices) != 0 || last.Usage == nil || *last.Usage != *whole.Usage {
		t.Errorf("usage at the end: %+v", last)
	}
	for _, e := range list[:len(list)-1] {
		c := e.Choices[0]
		texts[c.Index] += *c.Text
		if c.Finish != nil && *c.Finish == "length" {
			ends[c.Index]++
		}
	}
	for i, c := range whole.Choices {
		if texts[i] != *c.Text || ends[i] != 1 || *c.Finish != "length" || c.Index != i {
			t.Errorf("choice %d: %q in pieces, %q in one; %d ends", i, texts[i], *c.Text, ends[i])
		}
	}
	if texts[0] == texts[1] {
		t.Errorf("two choices are one: %q", texts[0])
	}
	again := decoded[completion](t, r.must("/v1/completions", ask+`}`))
	other := decoded[completion](t, r.must("/v1/completions", strings.Replace(ask, `"seed":5`, `"seed":6`, 1)+`}`))
	if *again.Choices[0].Text != texts[0] || *other.Choices[0].Text == texts[0] {
		t.Errorf("seed 5 says %q and %q, seed 6 %q", texts[0], *again.Choices[0].Text, *other.Choices[0].Text)
	}
}

// A chat is gone on from as the text that it is, and is answered with one line. What was learnt is answered.
func TestChatAnswersWhatWasLearnt(t *testing.T) {
	r := newRoom(t, Config{})
	for range 8 {
		r.must("/v1/learn", `{"text":"my coffee is black and hot"}`)
	}
	const ask = `{"model":"yan","messages":[{"role":"system","content":"my coffee is black and hot"},{"role":"user","content":[{"type":"text","text":"my coffee is "},{"type":"text","text":"black and hot"}]}],"temperature":0`
	whole := decoded[completion](t, r.must("/v1/chat/completions", ask+`}`))
	c := whole.Choices[0]
	if c.Message.Role != "assistant" || *c.Message.Content != "my coffee is black and hot" || *c.Finish != "stop" || whole.Object != "chat.completion" {
		t.Errorf("%+v says %q", c, *c.Message.Content)
	}
	if whole.Usage.Prompt != 2*len("my coffee is black and hot\n") {
		t.Errorf("%+v", whole.Usage)
	}
	text := ""
	for i, e := range events(t, r.must("/v1/chat/completions", ask+`,"stream":true}`)) {
		d := e.Choices[0].Delta
		if (d.Role == "assistant") != (i == 0) || e.Object != "chat.completion.chunk" {
			t.Errorf("event %d: %+v", i, d)
		}
		if d.Content != nil {
			text += *d.Content
		}
	}
	if text != *c.Message.Content {
		t.Errorf("in pieces %q", text)
	}
	stopped := decoded[completion](t, r.must("/v1/completions", `{"prompt":"my coffee is","temperature":0,"stop":[" hot","k an"]}`)).Choices[0]
	if *stopped.Text != " blac" || *stopped.Finish != "stop" {
		t.Errorf("%q, %s", *stopped.Text, *stopped.Finish)
	}
}

// Whoever asks changes nothing, and what learn acknowledged is there after a restart.
func TestOnlyLearnChangesTheMind(t *testing.T) {
	r := newRoom(t, Config{})
	r.must("/v1/learn", `{"text":"the ferry leaves at nine","skill":"ferry"}`)
	const more = "the ferry leaves at nine, and not before\n" // in the owner's stream: the gate is due to be solved, and is not
	if err := r.jobs(t.Context(), func(now time.Time, n *node.Node) (node.Actions, error) {
		all, err := n.Focus(now, "ferry")
		if err != nil {
			return all, err
		}
		_, a := n.Observe(now, []byte(more))
		all.Add(a)
		all.Add(n.Flush(now))
		a, err = n.Focus(now, "")
		all.Add(a)
		return all, err
	}); err != nil {
		t.Fatal(err)
	}
	before := r.mind()
	r.must("/v1/completions", `{"prompt":"the ferry","n":2}`)
	r.must("/v1/chat/completions", `{"messages":[{"role":"user","content":"the ferry"}]}`)
	if !bytes.Equal(before, r.mind()) {
		t.Error("asking changed the mind")
	}
	long := strings.Repeat("the ferry leaves at ten\n", 100)
	a := decoded[learnt](t, r.must("/v1/learn", `{"text":`+string(must(json.Marshal(long)))+`}`))
	if a.Events != uint64(len(long)) || !(a.Bits > 0 && a.Bits < 8) {
		t.Errorf("%+v", a)
	}
	after := r.mind()
	if bytes.Equal(before, after) {
		t.Error("learning changed nothing")
	}
	n := newNode(t, base.Tiny())
	if err := node.Start(n, r.journal, r.journal.snap, r.journal.replay); err != nil {
		t.Fatal(err)
	}
	if l := n.Learner(); l.Skill("", "ferry") == nil || l.Events() != uint64(len(long)+len(more)+len("the ferry leaves at nine\n")) || l.Focused() != "" {
		t.Errorf("after a restart: %d events, focus %q", l.Events(), l.Focused())
	}
	var b bytes.Buffer
	if err := n.WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), after) {
		t.Error("after a restart it is another mind")
	}
	r.journal.fails(errors.New("the disk is full"))
	if w := r.ask("POST", "/v1/learn", `{"text":"nine"}`); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "disk is full") {
		t.Errorf("what is not on the disk is acknowledged: %d %s", w.Code, w.Body)
	}
	r.journal.fails(nil)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// A thought may take longer than the mind stays as it is: skills come and go between two of its jobs, and it goes on.
func TestThoughtsOutliveSkills(t *testing.T) {
	r := newRoom(t, Config{})
	const line = `the ferry leaves at nine, and the last one at ten\n`
	lesson := `{"skill":"ferry","text":"` + strings.Repeat(line, 100) + `"}`
	r.must("/v1/learn", lesson)
	a, err := r.thinkOf(t.Context(), []byte("the ferry"))
	if err != nil {
		t.Fatal(err)
	}
	pieces := 0
	took, why, err := r.speak(t.Context(), a, sampling{temperature: 1, topP: 1, most: 10 * jobEvents}, func(string) error {
		switch pieces++; pieces {
		case 2:
			r.must("/v1/learn", lesson)
		case 4:
			return r.jobs(t.Context(), func(now time.Time, n *node.Node) (node.Actions, error) { return n.Forget(now, "", "ferry") })
		case 6:
			r.must("/v1/learn", strings.Replace(lesson, "ferry", "train", 1))
		}
		return nil
	})
	if err != nil || took != 10*jobEvents || why != "length" || pieces < 7 {
		t.Errorf("%d bytes in %d pieces, %q, %v", took, pieces, why, err)
	}
}

// What is not to be had is refused in words that name it, in the form that clients know.
func TestRefusals(t *testing.T) {
	r := newRoom(t, Config{})
	const completions, chat = "/v1/completions", "/v1/chat/completions"
	for _, tt := range []struct {
		path, body string
		status     int
		param      string
	}{
		{completions, `{"prompt":"a","max_tokens":0}`, 400, "max_tokens"},
		{completions, `{"prompt":"a","max_tokens":4097}`, 400, "max_tokens"},
		{completions, `{"prompt":"a","temperature":2.5}`, 400, "temperature"},
		{completions, `{"prompt":"a","temperature":-1}`, 400, "temperature"},
		{completions, `{"prompt":"a","top_p":0}`, 400, "top_p"},
		{completions, `{"prompt":"a","n":5}`, 400, "n"},
		{completions, `{"prompt":"a","stop":["a","b","c","d","e"]}`, 400, "stop"},
		{completions, `{"prompt":"a","stop":""}`, 400, "stop"},
		{completions, `{"prompt":"a","logprobs":3}`, 400, "logprobs"},
		{completions, `{"prompt":"a","echo":true}`, 400, "echo"},
		{completions, `{"prompt":"a","suffix":"b"}`, 400, "suffix"},
		{completions, `{"prompt":"a","presence_penalty":0.5}`, 400, "presence_penalty"},
		{completions, `{"prompt":["a","b"]}`, 400, "prompt"},
		{completions, `{"prompt":[1,2]}`, 400, ""},
		{completions, `{}`, 400, "prompt"},
		{completions, `{"prompt":"a"} {}`, 400, ""},
		{completions, `{"prompt":`, 400, ""},
		{completions, `{"prompt":"a","model":"gpt-4o"}`, 404, "model"},
		{completions, `{"prompt":"` + strings.Repeat("a", maxPrompt+1) + `"}`, 400, "prompt"},
		{completions, `{"prompt":"` + strings.Repeat("a", maxBody) + `"}`, 413, ""},
		{chat, `{"messages":[]}`, 400, "messages"},
		{chat, `{"messages":[{"role":"wizard","content":"a"}]}`, 400, "messages[0].role"},
		{chat, `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, ""},
		{chat, `{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}`, 400, "tools"},
		{chat, `{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_object"}}`, 400, "response_format"},
		{"/v1/learn", `{"text":""}`, 400, "text"},
		{"/v1/learn", `{"text":"a","skill":"a b"}`, 400, "skill"},
	} {
		w := r.ask("POST", tt.path, tt.body)
		e := decoded[errorAnswer](t, w.Body.String()).Error
		param := ""
		if e.Param != nil {
			param = *e.Param
		}
		if w.Code != tt.status || param != tt.param || e.Message == "" || e.Type == "" {
			t.Errorf("%s %.80s: %d %+v %q", tt.path, tt.body, w.Code, e, param)
		}
	}
	// What asks for nothing is no reason to refuse.
	r.must(completions, `{"prompt":["a"],"max_tokens":1,"temperature":null,"logprobs":null,"echo":false,"presence_penalty":0,"logit_bias":{},"best_of":1,"user":"me","stop":null}`)
	r.must(chat, `{"messages":[{"role":"assistant","content":null},{"role":"user","content":"a"}],"max_completion_tokens":1,"tools":[],"response_format":{"type": "text"}}`)
}

// Bytes come as often as they are probable, and those outside the nucleus never.
func TestChooser(t *testing.T) {
	logits := make([]float32, sense.Symbols)
	for i := range logits {
		logits[i] = -100
	}
	logits['c'], logits['a'], logits['b'] = float32(math.Log(0.6)), float32(math.Log(0.3)), float32(math.Log(0.1))
	for topP, want := range map[float64]string{0.5: "c", 0.85: "ca", 1: "cab"} {
		by := &chooser{sampling: sampling{temperature: 1, topP: topP}, rand: rand.New(rand.NewPCG(1, 1))}
		count := map[byte]int{}
		for range 3000 {
			count[by.choose(logits)]++
		}
		if len(count) != len(want) {
			t.Errorf("top_p %v: %v, want %s", topP, count, want)
		}
		if topP == 1 && (count['c'] < 1700 || count['c'] > 1900 || count['b'] < 220 || count['b'] > 380) {
			t.Errorf("too often or too seldom: %v", count)
		}
	}
	if b := (&chooser{}).choose(logits); b != 'c' {
		t.Errorf("the likeliest is %c", b)
	}
}

// What a text is cut to does not depend on how it comes, and no letter is taken apart.
func TestCutter(t *testing.T) {
	for _, tt := range []struct {
		text  string
		stops []string
		want  string
		ended bool
	}{
		{"aaab", []string{"aab"}, "a", true},
		{"abcabd", []string{"abd", "cabe"}, "abc", true},
		{"plain", nil, "plain", false},
		{"plai", []string{"in"}, "plai", false},
		{"kaf", []string{"kaffee", "af"}, "k", true},
		{"für dich", []string{"r d"}, "fü", true},
		{"für", []string{"\xbc"}, "f\uFFFD", true},
	} {
		c := cutter{stops: tt.stops}
		got, ended := "", false
		for _, b := range []byte(tt.text) {
			var said []byte
			if said, ended = c.take(b); len(said) > 0 {
				got += strings.ToValidUTF8(string(said), "\uFFFD")
			}
			if ended {
				break
			}
		}
		if !ended {
			got += string(c.held)
		}
		if got != tt.want || ended != tt.ended {
			t.Errorf("%q without %q is %q, %v", tt.text, tt.stops, got, ended)
		}
	}
}

// Whatever is asked, what is understood is within bounds.
func FuzzQuestion(f *testing.F) {
	f.Add([]byte(`{"prompt":"a","stop":["b"],"n":2,"max_tokens":3,"temperature":1e3}`), false)
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"stream":true,"logit_bias":{}}`), true)
	f.Fuzz(func(t *testing.T, b []byte, chat bool) {
		q, refused := readQuestion(bytes.NewReader(b), chat)
		if refused != nil {
			if refused.status < 400 || refused.detail == "" {
				t.Fatalf("%+v", refused)
			}
			return
		}
		if len(q.text) > maxPrompt || q.choices < 1 || q.choices > maxChoices || q.most < 1 || q.most > maxTokens || len(q.stops) > maxStops ||
			!(q.temperature >= 0 && q.temperature <= 2) || !(q.topP > 0 && q.topP <= 1) {
			t.Fatalf("%q is understood as %+v", b, q)
		}
	})
}
