package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/node"
)

// learnBytes is how much is learnt in one job.
const learnBytes = 1 << 10

// A lesson is what /v1/learn is asked to learn.
type lesson struct {
	Text  string `json:"text"`
	Skill string `json:"skill"` // if empty, into what the owner's stream is learnt into
}

// A learnt is what became of a lesson.
type learnt struct {
	Events uint64  `json:"events"`        // of it, all of them on the disk
	Bits   float64 `json:"bits_per_byte"` // its surprise when it was read
	Skill  string  `json:"skill,omitempty"`
}

// learn takes a text in as the owner's own words, and answers once it is on the disk.
func (s *Server) learn(w http.ResponseWriter, r *http.Request) {
	var l lesson
	f := decode(r.Body, &l)
	if f == nil {
		f = l.check()
	}
	if f != nil {
		s.fail(w, f)
		return
	}
	if !enter(s.thoughts) {
		s.fail(w, &failure{http.StatusTooManyRequests, "rate_limit_error", "too_many_requests", "", "the node is busy: ask again in a while"})
		return
	}
	defer leave(s.thoughts)
	text := []byte(l.Text)
	if text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	a := learnt{Skill: l.Skill}
	nats := 0.0
	for len(text) > 0 {
		n := min(len(text), learnBytes)
		got, err := s.learnPiece(r.Context(), text[:n], l.Skill, n == len(text))
		if err != nil {
			f := failureOf(err)
			f.detail += fmt.Sprintf("; of the text %d bytes were learnt", a.Events)
			s.fail(w, f)
			return
		}
		a.Events += uint64(n)
		nats += got
		text = text[n:]
	}
	a.Bits = nats / float64(a.Events) / math.Ln2
	s.answer(w, http.StatusOK, a)
}

func (l *lesson) check() *failure {
	if l.Text == "" || len(l.Text) > maxPrompt {
		return bad("text", fmt.Sprintf("text must have from 1 to %d bytes", maxPrompt))
	}
	if l.Skill != "" {
		if err := learning.CheckName(l.Skill); err != nil {
			return bad("skill", err.Error())
		}
	}
	return nil
}

// learnPiece learns a part of a lesson, under its name if it has one. What the owner says meanwhile is said between two parts, under his own.
// At the end gates are solved, so that what was learnt is there for whoever asks next.
func (s *Server) learnPiece(ctx context.Context, text []byte, skill string, last bool) (nats float64, err error) {
	err = s.do(ctx, func(now time.Time, n *node.Node) (all node.Actions, err error) {
		was := n.Learner().Focused()
		if skill != "" {
			if all, err = n.Focus(now, skill); err != nil {
				return all, bad("skill", err.Error())
			}
		}
		var a node.Actions
		nats, a = n.Observe(now, text)
		all.Add(a)
		if last {
			all.Add(n.Flush(now))
		}
		if skill != "" {
			a, err := n.Focus(now, was)
			if err != nil {
				return all, err
			}
			all.Add(a)
		}
		if last {
			_, a := n.Settled()
			all.Add(a)
		}
		return all, nil
	})
	return nats, err
}
