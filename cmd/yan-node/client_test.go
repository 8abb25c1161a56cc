package main

import (
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openai/openai-go"
	"github.com/openai/openai-go/option"
)

// The client library of OpenAI's own talks to a running node as to any other server, with the token of a node where others keep their key:
// it lists models, completes, chats, streams, counts and is refused.
func TestClientOfOpenAI(t *testing.T) {
	keyboard, _ := io.Pipe()
	const secret = "a token for this test"
	token := strings.ReplaceAll(secret, " ", "-")
	b := begin(t, new(runFlags), keyboard, "--home", filepath.Join(t.TempDir(), "home"), "--model", pocket(t), "--offline", "--api", "127.0.0.1:0",
		"--api-token", file(t, "token", []byte(token)))
	at := option.WithBaseURL("http://" + b.wait("ready").API + "/v1/")
	c := openai.NewClient(at, option.WithAPIKey(token), option.WithMaxRetries(0))
	ctx := t.Context()

	models, err := c.Models.List(ctx)
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "yan" {
		t.Fatalf("models: %+v, %v", models, err)
	}
	if m, err := c.Models.Get(ctx, "yan"); err != nil || m.ID != "yan" || m.OwnedBy == "" {
		t.Errorf("the model: %+v, %v", m, err)
	}
	for range 8 {
		var learnt struct{ Events int }
		if err := c.Post(ctx, "learn", map[string]string{"text": "my coffee is black and hot"}, &learnt); err != nil || learnt.Events != 27 {
			t.Fatalf("a lesson: %+v, %v", learnt, err)
		}
	}

	ask := openai.CompletionNewParams{
		Model: "yan", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("my coffee is")}, MaxTokens: openai.Int(60), Temperature: openai.Float(0),
		Stop: openai.CompletionNewParamsStopUnion{OfStringArray: []string{" and", "\n"}},
	}
	whole, err := c.Completions.New(ctx, ask)
	if err != nil {
		t.Fatal(err)
	}
	if got := whole.Choices[0]; got.Text != " black" || got.FinishReason != "stop" || whole.Usage.PromptTokens != 12 || whole.Usage.CompletionTokens != 10 {
		t.Errorf("a completion: %q, %s, %+v", got.Text, got.FinishReason, whole.Usage)
	}
	text, parts := "", 0
	stream := c.Completions.NewStreaming(ctx, ask)
	for ; stream.Next(); parts++ {
		text += stream.Current().Choices[0].Text
	}
	if stream.Err() != nil || text != " black" || parts < 2 {
		t.Errorf("a completion, streamed: %q in %d parts, %v", text, parts, stream.Err())
	}

	chat := openai.ChatCompletionNewParams{
		Model: "yan", Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("my coffee is black and hot"), openai.UserMessage("my coffee is black and hot")},
		Temperature: openai.Float(0), N: openai.Int(2), Seed: openai.Int(3),
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	talk, err := c.Chat.Completions.New(ctx, chat)
	if err != nil {
		t.Fatal(err)
	}
	said := talk.Choices[0].Message
	if len(talk.Choices) != 2 || said.Content != "my coffee is black and hot" || said.Role != "assistant" || talk.Choices[1].FinishReason != "stop" || talk.Usage.TotalTokens == 0 {
		t.Errorf("a chat: %+v", talk)
	}
	var all openai.ChatCompletionAccumulator
	talking := c.Chat.Completions.NewStreaming(ctx, chat)
	for talking.Next() {
		if !all.AddChunk(talking.Current()) {
			t.Errorf("a part that does not fit: %s", talking.Current().RawJSON())
		}
	}
	if talking.Err() != nil || len(all.Choices) != 2 || all.Choices[0].Message.Content != said.Content || all.Choices[1].Message.Content != talk.Choices[1].Message.Content ||
		all.Usage.TotalTokens != talk.Usage.TotalTokens {
		t.Errorf("a chat, streamed: %+v, %v", all.ChatCompletion, talking.Err())
	}

	refused := func(what string, err error, status int, code, param string) {
		t.Helper()
		var e *openai.Error
		if !errors.As(err, &e) || e.StatusCode != status || e.Code != code || e.Param != param || e.Message == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	chat.Tools = []openai.ChatCompletionToolParam{{Function: openai.FunctionDefinitionParam{Name: "lamp"}}}
	_, err = c.Chat.Completions.New(ctx, chat)
	refused("tools", err, http.StatusBadRequest, "unsupported_parameter", "tools")
	ask.Model = "gpt-4o"
	_, err = c.Completions.New(ctx, ask)
	refused("another model", err, http.StatusNotFound, "model_not_found", "model")
	stranger := openai.NewClient(at, option.WithAPIKey("guessed"), option.WithMaxRetries(0))
	_, err = stranger.Models.List(ctx)
	refused("another key", err, http.StatusUnauthorized, "invalid_api_key", "")
}
