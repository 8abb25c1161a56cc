package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// A modelAnswer tells of the one model there is.
type modelAnswer struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

var theModel = modelAnswer{ID: modelName, Object: "model", OwnedBy: "owner"}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, map[string]any{"object": "list", "data": []modelAnswer{theModel}})
}

func (s *Server) model(w http.ResponseWriter, r *http.Request) {
	if f := checkModel(r.PathValue("model")); f != nil {
		s.fail(w, f)
		return
	}
	s.answer(w, http.StatusOK, theModel)
}

// A completion is an answer, or with Stream a part of one.
type completion struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage,omitempty"`
}

// A choice is one of the answers: Text of a completion, Message of a chat, Delta of what comes piece by piece of one.
type choice struct {
	Index    int       `json:"index"`
	Text     *string   `json:"text,omitempty"`
	Message  *said     `json:"message,omitempty"`
	Delta    *said     `json:"delta,omitempty"`
	Logprobs *struct{} `json:"logprobs"`
	Finish   *string   `json:"finish_reason"`
}

// said is what was said, by whom.
type said struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// usage counts bytes.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

func (s *Server) completions(w http.ResponseWriter, r *http.Request) { s.complete(w, r, false) }
func (s *Server) chat(w http.ResponseWriter, r *http.Request)        { s.complete(w, r, true) }

// complete answers a question, in one piece or as it comes.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, chat bool) {
	q, f := readQuestion(r.Body, chat)
	if f != nil {
		s.fail(w, f)
		return
	}
	if !enter(s.thoughts) {
		s.fail(w, &failure{http.StatusTooManyRequests, "rate_limit_error", "too_many_requests", "", fmt.Sprintf("%d answers are being thought of: ask again in a while", maxThoughts)})
		return
	}
	defer leave(s.thoughts)
	t := &teller{s: s, w: w, q: q, chat: chat}
	t.head = completion{ID: fmt.Sprintf("cmpl-%d", s.ids.Add(1)), Object: "text_completion", Created: s.cfg.Now().Unix(), Model: modelName}
	if chat {
		t.head.ID, t.head.Object = "chat"+t.head.ID, "chat.completion"
		if q.stream {
			t.head.Object += ".chunk"
		}
	}
	if err := t.tell(r.Context()); err != nil {
		t.failed(failureOf(err))
	}
}

// A teller writes the answer to one question.
type teller struct {
	s     *Server
	w     http.ResponseWriter
	q     *question
	chat  bool
	head  completion
	begun bool // whether something of a stream was written
}

func (t *teller) tell(ctx context.Context) error {
	start, err := t.s.thinkOf(ctx, t.q.text)
	if err != nil {
		return err
	}
	used := usage{Prompt: len(t.q.text)}
	whole := t.head
	for i := range t.q.choices {
		a := start
		if i < t.q.choices-1 {
			if a, err = t.s.fork(ctx, start); err != nil {
				return err
			}
		}
		if t.q.stream && t.chat {
			empty := ""
			if err := t.event(choice{Index: i, Delta: &said{"assistant", &empty}}); err != nil {
				return err
			}
		}
		o := t.q.sampling
		o.seed += uint64(i)
		var text strings.Builder
		took, why, err := t.s.speak(ctx, a, o, func(piece string) error {
			text.WriteString(piece)
			if t.q.stream {
				return t.event(t.piece(i, piece, nil))
			}
			return nil
		})
		if err != nil {
			return err
		}
		used.Completion += took
		if t.q.stream {
			if err := t.event(t.piece(i, "", &why)); err != nil {
				return err
			}
			continue
		}
		said := text.String()
		whole.Choices = append(whole.Choices, t.all(i, said, why))
	}
	used.Total = used.Prompt + used.Completion
	if !t.q.stream {
		whole.Usage = &used
		t.s.answer(t.w, http.StatusOK, whole)
		return nil
	}
	if t.q.usage {
		last := t.head
		last.Choices, last.Usage = []choice{}, &used
		if err := t.write(last); err != nil {
			return err
		}
	}
	return t.line("[DONE]")
}

// all is a choice that is whole.
func (t *teller) all(i int, text, why string) choice {
	if t.chat {
		return choice{Index: i, Message: &said{"assistant", &text}, Finish: &why}
	}
	return choice{Index: i, Text: &text, Finish: &why}
}

// piece is a part of a choice, or its end.
func (t *teller) piece(i int, text string, why *string) choice {
	c := choice{Index: i, Finish: why}
	switch {
	case !t.chat:
		c.Text = &text
	case why != nil:
		c.Delta = new(said)
	default:
		c.Delta = &said{Content: &text}
	}
	return c
}

func (t *teller) event(c choice) error {
	e := t.head
	e.Choices = []choice{c}
	return t.write(e)
}

func (t *teller) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.line(string(b))
}

// line writes one server-sent event. It waits for the client, and the node does not wait for it.
func (t *teller) line(data string) error {
	if !t.begun {
		t.w.Header().Set("Content-Type", "text/event-stream")
		t.begun = true
	}
	t.s.hurry(t.w)
	if _, err := fmt.Fprintf(t.w, "data: %s\n\n", data); err != nil {
		return err
	}
	return http.NewResponseController(t.w).Flush()
}

// failed says why there is no answer, or no more of it. The status of a stream that has begun cannot say it.
func (t *teller) failed(f *failure) {
	if !t.begun {
		t.s.fail(t.w, f)
		return
	}
	_ = t.write(f.answer()) // if anybody still listens
}
