package scenario

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
)

// Schema is the JSON schema of scenarios, for editors that check YAML.
func Schema() []byte {
	s := Default()
	m := s.fields().schema()
	m["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	m["title"] = "A scenario of yan-sim"
	m["required"] = []string{"name"}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic("scenario: " + err.Error())
	}
	return append(b, '\n')
}

func (fs fields) schema() map[string]any {
	properties := map[string]any{}
	for _, f := range fs {
		p := map[string]any{}
		switch {
		case f.sub != nil:
			p = f.sub().schema()
		case f.list != nil:
			var items map[string]any
			if f.list.words != nil {
				items = f.list.words().schema
			} else {
				items = f.list.subs().schema()
			}
			p["type"], p["items"], p["minItems"], p["maxItems"] = "array", items, f.list.least, f.list.most
		default:
			for k, v := range f.word.schema {
				p[k] = v
			}
		}
		p["description"] = f.doc
		properties[f.key] = p
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// Keys is a table of every key in Markdown, with what belongs there and what it is if missing.
func Keys() string {
	var b strings.Builder
	b.WriteString("| key | what it says | write | if missing |\n|---|---|---|---|\n")
	s := Default()
	s.fields().document(&b, "")
	return b.String()
}

func (fs fields) document(b *strings.Builder, at string) {
	for _, f := range fs {
		key := strings.TrimPrefix(at+"."+f.key, ".")
		row := func(what, missing string) {
			if missing != "" {
				missing = "`" + missing + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, f.doc, what, missing)
		}
		switch {
		case f.sub != nil:
			row("a mapping", "")
			f.sub().document(b, key)
		case f.list == nil:
			row(cmp.Or(f.word.brief, f.word.says), f.word.write())
		case f.list.words != nil:
			missing := strings.Join(f.list.write(), ", ")
			k := f.list.words()
			row("a list of: "+cmp.Or(k.brief, k.says), missing)
		default:
			row("a list of mappings", "")
			f.list.subs().document(b, key+"[]")
		}
	}
}
