package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/node"
)

// Nothing that a web page can make a browser send is answered, and with a token nothing that comes without it.
func TestGuard(t *testing.T) {
	open, closed := newRoom(t, Config{Host: "Here.example"}), newRoom(t, Config{Token: "sixteen letters!"})
	for _, tt := range []struct {
		room    *room
		method  string
		headers string // name and value in turn
		status  int
	}{
		{open, "GET", "", 200},
		{open, "GET", "Host localhost:7411", 200},
		{open, "GET", "Host [::1]:7411", 200},
		{open, "GET", "Host here.example", 200},
		{open, "GET", "Host evil.example", 403},
		{open, "GET", "Host 127.0.0.1.evil.example:80", 403},
		{open, "GET", "Host 192.0.2.1:7411", 403},
		{open, "GET", "Origin http://127.0.0.1:7411", 200},
		{open, "GET", "Origin http://127.0.0.1:8000", 403},
		{open, "GET", "Origin https://evil.example", 403},
		{open, "GET", "Origin null", 403},
		{open, "GET", "Sec-Fetch-Site cross-site", 403},
		{open, "GET", "Sec-Fetch-Site same-site", 403},
		{open, "GET", "Sec-Fetch-Site same-origin", 200},
		{open, "OPTIONS", "", 405},
		{open, "OPTIONS", "Origin https://evil.example", 403},
		{open, "POST", "Content-Type text/plain", 415},
		{open, "POST", "Content-Type application/x-www-form-urlencoded", 415},
		{open, "POST", "Content-Type application/json;charset=utf-8", 400},
		{closed, "GET", "", 401},
		{closed, "GET", "Authorization Bearer_wrong", 401},
		{closed, "GET", "Authorization Basic_sixteen_letters!", 401},
		{closed, "GET", "Authorization Bearer_sixteen_letters!", 200},
		{closed, "GET", "Authorization bearer_sixteen_letters! Host 192.0.2.1:7411", 200},
		{closed, "GET", "Authorization Bearer_sixteen_letters! Host evil.example", 403},
		{closed, "POST", "", 401},
	} {
		headers := strings.Fields(tt.headers)
		for i := range headers {
			headers[i] = strings.ReplaceAll(headers[i], "_", " ")
		}
		path := "/v1/models"
		if tt.method == "POST" {
			path = "/v1/completions"
		}
		w := tt.room.ask(tt.method, path, "{}", headers...)
		if w.Code != tt.status {
			t.Errorf("%s with %q: %d, want %d", tt.method, tt.headers, w.Code, tt.status)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s with %q: %s is said", tt.method, tt.headers, name)
			}
		}
	}
}

// Who asks too often has to wait, and then may ask again.
func TestRates(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := newBucket(now)
	count := func() (n int) {
		for n < 1000 && b.take(now) {
			n++
		}
		return n
	}
	for _, tt := range []struct {
		later time.Duration
		want  int
	}{{0, bucketSize}, {0, 0}, {time.Second, bucketRate}, {-time.Hour, 0}, {100 * time.Millisecond, 0}, {2 * time.Hour, bucketSize}} {
		if now = now.Add(tt.later); count() != tt.want {
			t.Errorf("%v later: not %d", tt.later, tt.want)
		}
	}
	r := newRoom(t, Config{Now: func() time.Time { return now }})
	for i := range bucketSize + 1 {
		w := r.ask("POST", "/v1/completions", `{}`)
		if late := i == bucketSize; late != (w.Code == http.StatusTooManyRequests) || late != (w.Header().Get("Retry-After") != "") {
			t.Fatalf("request %d: %d", i, w.Code)
		}
	}
	if w := r.ask("GET", "/v1/models", ""); w.Code != http.StatusOK {
		t.Errorf("a question that costs nothing: %d", w.Code)
	}
}

// A slowWriter is a client that does not read until it is let go.
type slowWriter struct {
	*httptest.ResponseRecorder
	writes chan struct{} // one for each that has begun
	free   chan struct{}
}

func (w *slowWriter) Write(b []byte) (int, error) {
	select {
	case w.writes <- struct{}{}:
	default:
	}
	<-w.free
	return w.ResponseRecorder.Write(b)
}

// Clients that do not read keep nobody from learning, and there are only so many of them.
func TestSlowClientsSlowNobody(t *testing.T) {
	r := newRoom(t, Config{})
	free, ended := make(chan struct{}), make(chan string)
	const body = `{"prompt":"a","stream":true,"max_tokens":100}`
	for range maxThoughts - 1 {
		w := &slowWriter{httptest.NewRecorder(), make(chan struct{}, 1), free}
		go func() {
			req := httptest.NewRequestWithContext(t.Context(), "POST", "http://localhost/v1/completions", strings.NewReader(body))
			req.Header.Set("Content-Type", "application/json")
			r.ServeHTTP(w, req)
			ended <- w.Body.String()
		}()
		<-w.writes
	}
	for i := range 10 {
		r.must("/v1/learn", fmt.Sprintf(`{"text":"lesson %d"}`, i))
	}
	r.thoughts <- struct{}{} // one more that is slow
	if w := r.ask("POST", "/v1/completions", body); w.Code != http.StatusTooManyRequests {
		t.Errorf("the answer that is one too many: %d", w.Code)
	}
	<-r.thoughts
	close(free)
	for range maxThoughts - 1 {
		events(t, <-ended)
	}
	r.must("/v1/completions", body)
}

// A long answer is thought of in short jobs, between which the node does what else there is.
func TestAnswersAreShortJobs(t *testing.T) {
	r := newRoom(t, Config{})
	jobs := 0
	r.cfg.Do = func(ctx context.Context, job node.Job) error {
		jobs++
		return r.jobs(ctx, job)
	}
	r.must("/v1/completions", `{"prompt":"`+strings.Repeat("a", 159)+`","max_tokens":320}`)
	if want := (160 + 320) / 16; jobs < want {
		t.Errorf("%d jobs, want %d", jobs, want)
	}
}

// A client that leaves ends its answer, and a server that is closed ends them all.
func TestClose(t *testing.T) {
	r := newRoom(t, Config{})
	w := &slowWriter{httptest.NewRecorder(), make(chan struct{}, 1), make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req := httptest.NewRequestWithContext(t.Context(), "POST", "http://localhost/v1/completions", strings.NewReader(`{"prompt":"a","stream":true,"max_tokens":4096}`))
		req.Header.Set("Content-Type", "application/json")
		r.ServeHTTP(w, req)
	}()
	<-w.writes
	closed := make(chan struct{})
	go func() {
		r.Close()
		close(closed)
	}()
	<-r.ctx.Done()
	close(w.free)
	<-closed
	<-ended
	if text := w.Body.String(); strings.Contains(text, "[DONE]") || !strings.Contains(text, `"error"`) {
		t.Errorf("it was told to the end: %q", text[max(len(text)-200, 0):])
	}
	if w := r.ask("GET", "/v1/models", ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a closed server answers %d", w.Code)
	}
}
