// Package api is what the owner of a node talks to: an HTTP handler with the requests and answers that clients of the OpenAI API know,
// and with the node's own.
//
// A [Server] has the node do short jobs, one for a few events, and writes to its clients between them: neither a long answer nor a slow
// client keeps the node from learning. What it thinks in order to answer it thinks beside the owner's stream, so that asking changes nothing;
// only learn does, and it answers once what was learnt is on the disk. Who may ask is decided before anything is read: see [Config].
//
// Nothing here listens, and nothing trusts what clients send. A token is a byte: the mind knows no larger ones.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/yanmesh/yan/node"
)

// Config says whom a server answers, and for which node. Do is required.
type Config struct {
	// Do has the node do a job and returns once what it changed is on the disk.
	Do func(context.Context, node.Job) error

	// Token, where it is not empty, has to come with every request, as "Authorization: Bearer TOKEN". Without it the address that is
	// listened on must be a loopback one.
	Token string

	// Host is a name, beside loopback ones, under which requests may ask for the server. With a token every numeric address is one too.
	Host string

	// More are further routes, by pattern, as "GET /v1/status".
	More map[string]http.Handler

	Now func() time.Time // If nil, time.Now
	Log *slog.Logger     // If nil, nothing is logged
}

// Bounds on what clients may ask for.
const (
	maxBody     = 1 << 20  // bytes of a request
	maxPrompt   = 16 << 10 // bytes of text that is thought about, or learnt, at once
	maxTokens   = 4096     // bytes of an answer
	maxChoices  = 4
	maxStops    = 4
	maxStop     = 64 // bytes of a stop word
	maxRequests = 64 // at the same time
	maxThoughts = 4  // answers at the same time
	maxStreams  = 8  // WebSocket streams at the same time

	writeWait = 10 * time.Second // that a client may take to read what was written
	nodeWait  = 10 * time.Second // that a node may take to begin a job
)

// A Server answers HTTP requests. It is safe for concurrent use.
type Server struct {
	cfg    Config
	mux    *http.ServeMux
	routes []string
	limit  *bucket
	ids    atomic.Uint64
	ctx    context.Context // done when the server is closed
	cancel context.CancelFunc

	mu      sync.Mutex // of the next two
	closed  bool
	running sync.WaitGroup

	requests, thoughts, streams chan struct{} // one for each that is under way
}

// New returns a server for a node.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: c, mux: http.NewServeMux(), limit: newBucket(c.Now()),
		requests: make(chan struct{}, maxRequests), thoughts: make(chan struct{}, maxThoughts), streams: make(chan struct{}, maxStreams),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.handle("GET /v1/models", s.models)
	s.handle("GET /v1/models/{model}", s.model)
	s.handle("POST /v1/completions", s.completions)
	s.handle("POST /v1/chat/completions", s.chat)
	s.handle("POST /v1/learn", s.learn)
	s.handle("GET /v1/openapi.json", s.document)
	s.handle("GET /v1/stream", s.stream)
	for pattern, h := range c.More {
		s.handle(pattern, h.ServeHTTP)
	}
	return s
}

func (s *Server) handle(pattern string, h http.HandlerFunc) {
	s.routes = append(s.routes, pattern)
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !isJSON(r) {
			s.fail(w, &failure{http.StatusUnsupportedMediaType, "invalid_request_error", "unsupported_media_type", "", "send JSON, with Content-Type: application/json"})
			return
		}
		h(w, r)
	})
}

// Routes lists the patterns of what is answered.
func (s *Server) Routes() []string { return slices.Sorted(slices.Values(s.routes)) }

// Close ends what is being answered and waits until it has ended. The server answers nothing afterwards.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if f := s.refuse(r); f != nil {
		s.fail(w, f)
		return
	}
	if !enter(s.requests) {
		s.fail(w, &failure{http.StatusTooManyRequests, "rate_limit_error", "too_many_requests", "", "too many requests at the same time: ask again in a while"})
		return
	}
	defer leave(s.requests)
	if !s.begin() {
		s.fail(w, failureOf(node.ErrStopped))
		return
	}
	defer s.running.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mux.ServeHTTP(w, r.WithContext(ctx))
}

// begin counts one more that is being answered, unless the server is closed.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Add(1)
	}
	return !s.closed
}

func enter(room chan struct{}) bool {
	select {
	case room <- struct{}{}:
		return true
	default:
		return false
	}
}

func leave(room chan struct{}) { <-room }

// A failure is why a request is not answered, in the form that clients of the OpenAI API know.
type failure struct {
	status        int
	kind, code    string
	param, detail string
}

func (f *failure) Error() string { return f.detail }

// bad is a failure of who asks: param is what to change.
func bad(param, detail string) *failure {
	return &failure{http.StatusBadRequest, "invalid_request_error", "invalid_value", param, detail}
}

// failureOf says what an error of the node's means to a client.
func failureOf(err error) *failure {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f
	}
	return &failure{http.StatusServiceUnavailable, "server_error", "node_unavailable", "", "the node does not answer: " + err.Error()}
}

// An errorAnswer is a failure as it is written.
type errorAnswer struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
}

func (f *failure) answer() errorAnswer {
	e := errorBody{Message: f.detail, Type: f.kind, Code: f.code}
	if f.param != "" {
		e.Param = &f.param
	}
	return errorAnswer{e}
}

func (s *Server) fail(w http.ResponseWriter, f *failure) {
	switch f.status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	}
	s.answer(w, f.status, f.answer())
}

// answer writes one document. Whoever does not read it in time has left.
func (s *Server) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	s.hurry(w)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// hurry bounds how long the next write may take. A writer that knows no deadline has no slow client behind it.
func (s *Server) hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWait))
}

// do has the node do a job that is short. A node that is busy for too long is one that does not answer.
func (s *Server) do(ctx context.Context, job node.Job) error {
	ctx, cancel := context.WithTimeoutCause(ctx, nodeWait, errors.New("it is busy"))
	defer cancel()
	return s.cfg.Do(ctx, job)
}
