package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/yanmesh/yan/node/api"
)

// A schema is a part of a JSON Schema: what the document of the API uses of it, and nothing else is read.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       any                `json:"type"`
	Enum       []any              `json:"enum"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	More       *bool              `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	OneOf      []*schema          `json:"oneOf"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	Above      *float64           `json:"exclusiveMinimum"`
	Said       string             `json:"description"`
	Default    any                `json:"default"`
}

// A body is what is sent, by its media type.
type body map[string]struct {
	Schema  *schema
	Example json.RawMessage
}

// An operation is one way to ask.
type operation struct {
	Summary     string
	Tags        []string
	Description string
	Parameters  []struct {
		Name, In, Example string
		Required          bool
		Schema            *schema
	}
	RequestBody struct {
		Required bool
		Content  body
	}
	Responses map[string]struct {
		Description string
		Content     body
	}
}

// A document is an OpenAPI one.
type document struct {
	OpenAPI    string
	Info       map[string]string
	Servers    []map[string]string
	Security   []map[string][]string
	Paths      map[string]map[string]*operation
	Components struct {
		Schemas         map[string]*schema
		SecuritySchemes map[string]map[string]string
	}
}

// kindOf is the type of a value, as schemas call it.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// check says what a value is that its schema does not allow; empty if nothing.
func (d *document) check(s *schema, v any, at string) string {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		if d.Components.Schemas[name] == nil {
			return at + ": no schema " + name
		}
		return d.check(d.Components.Schemas[name], v, at)
	}
	if len(s.OneOf) > 0 {
		fit := 0
		for _, one := range s.OneOf {
			if d.check(one, v, at) == "" {
				fit++
			}
		}
		if fit != 1 {
			return fmt.Sprintf("%s: %v is %d of what it may be one of", at, v, fit)
		}
		return ""
	}
	kinds, _ := s.Type.([]any)
	if one, ok := s.Type.(string); ok {
		kinds = []any{one}
	}
	kind := kindOf(v)
	if !slices.Contains(kinds, any(kind)) && !(kind == "integer" && slices.Contains(kinds, any("number"))) {
		return fmt.Sprintf("%s: %v is %s, want %v", at, v, kind, kinds)
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		return fmt.Sprintf("%s: %v is none of %v", at, v, s.Enum)
	}
	if x, ok := v.(float64); ok && (s.Minimum != nil && x < *s.Minimum || s.Maximum != nil && x > *s.Maximum || s.Above != nil && x <= *s.Above) {
		return fmt.Sprintf("%s: %v is out of bounds", at, v)
	}
	if list, ok := v.([]any); ok && s.Items != nil {
		for i, x := range list {
			if wrong := d.check(s.Items, x, fmt.Sprintf("%s[%d]", at, i)); wrong != "" {
				return wrong
			}
		}
	}
	object, _ := v.(map[string]any)
	for _, name := range s.Required {
		if _, ok := object[name]; kind == "object" && !ok {
			return at + ": no " + name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		of := s.Properties[name]
		if of == nil {
			if s.More != nil && !*s.More {
				return at + "." + name + ": not in the document"
			}
			continue
		}
		if wrong := d.check(of, object[name], at+"."+name); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (d *document) checkJSON(s *schema, text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return fmt.Sprintf("%v in %q", err, text)
	}
	return d.check(s, v, "$")
}

// thought is the first that a stream says behind a text.
func thought(t *testing.T, at, text string) string {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), at, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	_, b, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A node answers what its document says and nothing else, and as it says: each route with its example, streamed too where it streams, and
// with what is wrong where it says how that is refused.
func TestOpenAPI(t *testing.T) {
	keyboard, _ := io.Pipe()
	b := begin(t, new(runFlags), keyboard, "--home", filepath.Join(t.TempDir(), "home"), "--model", pocket(t), "--offline", "--api", "127.0.0.1:0")
	at := "http://" + b.wait("ready").API
	var d document
	strict := json.NewDecoder(strings.NewReader(get(t, strings.TrimPrefix(at, "http://"), "/v1/openapi.json")))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&d); err != nil || !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Fatalf("not a document of OpenAPI 3.1 that this test understands: %v", err)
	}

	var documented []string
	for path, ops := range d.Paths {
		for method := range ops {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(documented)
	if have := api.New(api.Config{More: (&session{foldGain: newFoldGain()}).questions()}).Routes(); !reflect.DeepEqual(have, documented) {
		t.Errorf("answered: %v\ndocumented: %v", have, documented)
	}

	ask := func(method, path, body string) (status int, kind, text string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, at+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		all, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ = strings.Cut(resp.Header.Get("Content-Type"), ";")
		return resp.StatusCode, kind, string(all)
	}
	// A lesson first, so that what is listed is not empty.
	if status, _, text := ask("POST", "/v1/learn", `{"text":"the ferry leaves at nine","skill":"ferry"}`); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	for _, route := range documented {
		method, path, _ := strings.Cut(route, " ")
		op := d.Paths[path][strings.ToLower(method)]
		refused := d.Components.Schemas["Error"]
		query := url.Values{}
		for _, p := range op.Parameters {
			if p.In == "path" {
				wrong := strings.Replace(path, "{"+p.Name+"}", "nobody", 1)
				if status, _, text := ask(method, wrong, ""); status != 404 || d.checkJSON(refused, text) != "" {
					t.Errorf("%s: %d, %s", wrong, status, d.checkJSON(refused, text))
				}
				path = strings.Replace(path, "{"+p.Name+"}", p.Example, 1)
			} else {
				query.Set(p.Name, p.Example)
			}
		}
		if len(query) > 0 {
			path += "?" + query.Encode()
		}
		if _, upgrades := op.Responses["101"]; upgrades {
			if status, _, text := ask(method, path, ""); status != 426 || d.checkJSON(refused, text) != "" {
				t.Errorf("%s without a WebSocket: %d, %s", route, status, d.checkJSON(refused, text))
			}
			if wrong := d.checkJSON(d.Components.Schemas["Thought"], thought(t, at+path, "t")); wrong != "" {
				t.Errorf("%s: %s", route, wrong)
			}
			continue
		}
		send := op.RequestBody.Content["application/json"]
		if op.RequestBody.Required {
			if wrong := d.checkJSON(send.Schema, string(send.Example)); wrong != "" {
				t.Errorf("%s: its example: %s", route, wrong)
			}
			if status, kind, text := ask(method, path, `{"text":3}`); status != 400 || kind != "application/json" || d.checkJSON(refused, text) != "" {
				t.Errorf("%s: what is wrong is answered by %d %s: %s", route, status, text, d.checkJSON(refused, text))
			}
		}
		status, kind, text := ask(method, path, string(send.Example))
		want, ok := op.Responses["200"].Content[kind]
		if status != 200 || !ok {
			t.Errorf("%s: %d, %s: %.300s", route, status, kind, text)
			continue
		}
		if kind == "application/json" {
			if wrong := d.checkJSON(want.Schema, text); wrong != "" {
				t.Errorf("%s: %s", route, wrong)
			}
		}
		part, streams := op.Responses["200"].Content["text/event-stream"]
		if !streams {
			continue
		}
		streamed := strings.Replace(string(send.Example), "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
		status, kind, text = ask(method, path, streamed)
		if status != 200 || kind != "text/event-stream" || !strings.HasSuffix(text, "data: [DONE]\n\n") {
			t.Errorf("%s, streamed: %d, %s, %q", route, status, kind, text)
		}
		for _, event := range strings.Split(strings.TrimSuffix(text, "data: [DONE]\n\n"), "\n\n") {
			if data, ok := strings.CutPrefix(event, "data: "); ok {
				if wrong := d.checkJSON(part.Schema, data); wrong != "" {
					t.Errorf("%s, streamed: %s", route, wrong)
				}
			}
		}
	}
}
