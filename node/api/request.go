package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// modelName is what clients call the mind.
const modelName = "yan"

// What is taken where a request does not say.
const (
	usualTokens      = 200
	usualTemperature = 0.5
	usualSeed        = 1
)

// A request asks for a completion or for an answer in a chat. Fields that it does not list change nothing in the answer.
type request struct {
	Model    string    `json:"model"`
	Prompt   *words    `json:"prompt"`
	Messages []message `json:"messages"`

	MaxTokens     *int     `json:"max_tokens"`
	MaxCompletion *int     `json:"max_completion_tokens"`
	Temperature   *float64 `json:"temperature"`
	TopP          *float64 `json:"top_p"`
	N             *int     `json:"n"`
	Seed          *int64   `json:"seed"`
	Stop          *words   `json:"stop"`
	Stream        bool     `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	unsupported
}

// unsupported is what would change the answer and is not to be had here: it is refused unless it asks for nothing.
type unsupported struct {
	Suffix     json.RawMessage `json:"suffix"`
	Echo       json.RawMessage `json:"echo"`
	BestOf     json.RawMessage `json:"best_of"`
	Logprobs   json.RawMessage `json:"logprobs"`
	TopLog     json.RawMessage `json:"top_logprobs"`
	LogitBias  json.RawMessage `json:"logit_bias"`
	Presence   json.RawMessage `json:"presence_penalty"`
	Frequency  json.RawMessage `json:"frequency_penalty"`
	Tools      json.RawMessage `json:"tools"`
	ToolChoice json.RawMessage `json:"tool_choice"`
	Functions  json.RawMessage `json:"functions"`
	Format     json.RawMessage `json:"response_format"`
	Modalities json.RawMessage `json:"modalities"`
	Audio      json.RawMessage `json:"audio"`
}

// check names the first field that asks for something.
func (u *unsupported) check() *failure {
	for _, f := range []struct {
		name    string
		value   json.RawMessage
		nothing string // values that ask for nothing, beside null
	}{
		{"suffix", u.Suffix, `""`}, {"echo", u.Echo, `false`}, {"best_of", u.BestOf, `1`}, {"logprobs", u.Logprobs, `false`},
		{"top_logprobs", u.TopLog, ``}, {"logit_bias", u.LogitBias, `{}`}, {"presence_penalty", u.Presence, `0 0.0`},
		{"frequency_penalty", u.Frequency, `0 0.0`}, {"tools", u.Tools, `[]`}, {"tool_choice", u.ToolChoice, `"none" "auto"`},
		{"functions", u.Functions, `[]`}, {"response_format", u.Format, `{"type":"text"}`}, {"modalities", u.Modalities, `["text"]`},
		{"audio", u.Audio, ``},
	} {
		var b bytes.Buffer
		if f.value == nil || json.Compact(&b, f.value) != nil || b.String() == "null" {
			continue
		}
		asks := true
		for nothing := range strings.FieldsSeq(f.nothing) {
			asks = asks && b.String() != nothing
		}
		if asks {
			return &failure{http.StatusBadRequest, "invalid_request_error", "unsupported_parameter", f.name, f.name + " is not supported here: leave it out"}
		}
	}
	return nil
}

// A message is one turn of a chat.
type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// words are one text, or a list of some.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = words{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return errors.New("must be a text, or a list of texts")
	}
	*w = list
	return nil
}

// content is a text, or the texts of its parts one behind the other.
type content string

func (c *content) UnmarshalJSON(b []byte) error {
	var one *string
	if json.Unmarshal(b, &one) == nil {
		if one != nil {
			*c = content(*one)
		}
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return errors.New("content must be a text, or a list of parts")
	}
	var all strings.Builder
	for _, p := range parts {
		if p.Type != "text" {
			return fmt.Errorf("a part of a content is of type %q: only text is understood here", p.Type)
		}
		all.WriteString(p.Text)
	}
	*c = content(all.String())
	return nil
}

// A question is a request that was understood.
type question struct {
	text    []byte // that is gone on from
	choices int
	stream  bool
	usage   bool // is told at the end of a stream
	sampling
}

// decode reads one JSON document that is all of a body.
func decode(body io.Reader, v any) *failure {
	d := json.NewDecoder(body)
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something behind the document")
		}
	}
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return &failure{http.StatusRequestEntityTooLarge, "invalid_request_error", "too_large", "", fmt.Sprintf("the request has more than %d bytes", large.Limit)}
	}
	if err != nil {
		return bad("", "the request is not what is asked for: "+err.Error())
	}
	return nil
}

// readQuestion reads what /v1/completions is asked, or /v1/chat/completions if chat is true.
func readQuestion(body io.Reader, chat bool) (*question, *failure) {
	var r request
	if f := decode(body, &r); f != nil {
		return nil, f
	}
	if f := checkModel(r.Model); f != nil {
		return nil, f
	}
	if f := r.unsupported.check(); f != nil {
		return nil, f
	}
	q := &question{stream: r.Stream, usage: r.StreamOptions.IncludeUsage}
	f := r.text(q, chat)
	if f == nil {
		f = r.sampled(q, chat)
	}
	if f != nil {
		return nil, f
	}
	return q, nil
}

func checkModel(name string) *failure {
	if name != "" && name != modelName {
		return &failure{http.StatusNotFound, "invalid_request_error", "model_not_found", "model", fmt.Sprintf("there is no model %.64q here: ask for %q", name, modelName)}
	}
	return nil
}

// text is what is gone on from. Of a chat it is a plain transcript: what was said, each message on lines of its own, without the roles, since
// nothing that the mind has read names any. The answer is the next line.
func (r *request) text(q *question, chat bool) *failure {
	param := "prompt"
	if chat {
		param = "messages"
		if len(r.Messages) == 0 {
			return bad(param, "messages is empty: say something")
		}
		for i, m := range r.Messages {
			switch m.Role {
			case "system", "developer", "user", "assistant":
			default:
				return bad(fmt.Sprintf("messages[%d].role", i), fmt.Sprintf("%.32q: must be system, developer, user or assistant", m.Role))
			}
			q.text = append(q.text, strings.TrimRight(string(m.Content), "\n")+"\n"...)
		}
	} else {
		if r.Prompt == nil || len(*r.Prompt) != 1 {
			return bad(param, "prompt must be one text")
		}
		q.text = []byte((*r.Prompt)[0])
	}
	if len(q.text) > maxPrompt {
		return &failure{http.StatusBadRequest, "invalid_request_error", "context_length_exceeded", param, fmt.Sprintf("%d bytes to go on from: %d at most", len(q.text), maxPrompt)}
	}
	return nil
}

func (r *request) sampled(q *question, chat bool) *failure {
	or := func(v *float64, usual float64) float64 {
		if v == nil {
			return usual
		}
		return *v
	}
	whole := func(v *int, usual int) int {
		if v == nil {
			return usual
		}
		return *v
	}
	seed := int64(usualSeed)
	if r.Seed != nil {
		seed = *r.Seed
	}
	q.sampling = sampling{
		temperature: or(r.Temperature, usualTemperature), topP: or(r.TopP, 1), seed: uint64(seed),
		most: whole(r.MaxCompletion, whole(r.MaxTokens, usualTokens)), line: chat,
	}
	q.choices = whole(r.N, 1)
	if r.Stop != nil {
		q.stops = *r.Stop
	}
	switch {
	case !(q.temperature >= 0 && q.temperature <= 2):
		return bad("temperature", "temperature must be from 0 to 2")
	case !(q.topP > 0 && q.topP <= 1):
		return bad("top_p", "top_p must be above 0 and at most 1")
	case q.most < 1 || q.most > maxTokens:
		return bad("max_tokens", fmt.Sprintf("max_tokens must be from 1 to %d; a token is a byte", maxTokens))
	case q.choices < 1 || q.choices > maxChoices:
		return bad("n", fmt.Sprintf("n must be from 1 to %d", maxChoices))
	case len(q.stops) > maxStops:
		return bad("stop", fmt.Sprintf("%d stop words at most", maxStops))
	}
	for _, stop := range q.stops {
		if stop == "" || len(stop) > maxStop {
			return bad("stop", fmt.Sprintf("a stop word has from 1 to %d bytes", maxStop))
		}
	}
	return nil
}
