package api

import (
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Loopback reports whether a host can be nobody but this machine.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// refuse says why a request is not even looked at, nil if it is. A web page can make a browser ask anything of any address, and reach this one
// under a name of its own (DNS rebinding): so requests must name a host that is ours, come from no other origin, and say that they bring JSON,
// which a page cannot without asking first.
func (s *Server) refuse(r *http.Request) *failure {
	forbidden := func(detail string) *failure {
		return &failure{http.StatusForbidden, "invalid_request_error", "forbidden", "", detail}
	}
	if !s.knows(r.Host) {
		return forbidden("this address answers to its own name alone")
	}
	if o := r.Header.Get("Origin"); o != "" {
		if u, err := url.Parse(o); err != nil || u.Host != r.Host {
			return forbidden("web pages of other origins may not ask here")
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return forbidden("web pages of other sites may not ask here")
	}
	if s.cfg.Token != "" {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare([]byte(token), []byte(s.cfg.Token)) != 1 {
			return &failure{http.StatusUnauthorized, "authentication_error", "invalid_api_key", "",
				"send the token of the node, as in Authorization: Bearer TOKEN"}
		}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	if !s.limit.take(s.cfg.Now()) {
		return &failure{http.StatusTooManyRequests, "rate_limit_error", "rate_limit_exceeded", "", "too many requests: ask again in a second"}
	}
	return nil
}

// isJSON reports whether a request says that it brings JSON.
func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// knows reports whether a request for that host is for us. A page may have a name that leads here, but no numeric address of ours as its name;
// and without a token nobody but this machine is listened to.
func (s *Server) knows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if Loopback(host) || s.cfg.Host != "" && strings.EqualFold(host, s.cfg.Host) {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return s.cfg.Token != "" && err == nil
}

// How many requests that make the node work may come: so many at once, and so many a second on average.
const (
	bucketSize = 100
	bucketRate = 50
)

// A bucket holds a token for each request that may come now.
type bucket struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newBucket(now time.Time) *bucket { return &bucket{tokens: bucketSize, last: now} }

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.tokens+d.Seconds()*bucketRate, bucketSize)
		b.last = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
