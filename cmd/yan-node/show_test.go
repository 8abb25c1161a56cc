package main

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// Pictures, sounds and sensors are learnt, asked about, listed, shared and forgotten; frames teach what to do.
func TestExamplesFromTheCommandLine(t *testing.T) {
	home, model := newHome(t), pocket(t)
	run := func(args ...string) string {
		t.Helper()
		status, out, errs := yan(t, "", append(args, "--home", home, "--model", model)...)
		if status != 0 {
			t.Fatalf("%q: %d, %s", args, status, errs)
		}
		return out
	}
	for _, kind := range []string{"strokes", "tones", "motions"} {
		r := decode[showReport](t, run("learn", "--data", "shipped:"+kind, "--skill", kind, "--json"))
		if *r.Before.Accuracy != 0 || *r.After.Accuracy < 0.85 || r.Events < 200 || r.Shared || r.After.Nats >= r.Before.Nats {
			t.Errorf("%s: %+v, %v right", kind, r, *r.After.Accuracy)
		}
	}
	asked := decode[struct {
		Skill    string  `json:"skill"`
		Events   int     `json:"events"`
		Accuracy float64 `json:"accuracy"`
	}](t, run("eval", "--data", "shipped:motions", "--holdout", "0.2", "--json"))
	if asked.Skill != "motions" || asked.Events < 50 || asked.Accuracy < 0.85 {
		t.Errorf("asked about motions: %+v", asked)
	}
	if out := run("skill", "show", "strokes"); !strings.Contains(out, "10 classes: 0, 1,") || !strings.Contains(out, "private") {
		t.Errorf("shown: %s", out)
	}
	run("skill", "share", "tones", "public")
	list := map[string]skillReport{}
	for _, s := range decode[[]skillReport](t, run("skill", "list", "--json")) {
		list[s.Name] = s
	}
	if s := list["tones"]; !s.Shared || s.Kind != "classes" || len(s.Answers) != 10 || s.Gain <= 0 || s.Events == 0 {
		t.Errorf("listed: %+v", s)
	}
	run("skill", "forget", "tones")
	if out := run("skill", "list"); strings.Contains(out, "tones") || !strings.Contains(out, "motions") {
		t.Errorf("forgotten: %s", out)
	}

	// A light is where to steer.
	var img, does []byte
	const frames = 60
	for i := range frames {
		row := make([]byte, 10*12)
		at := i * 7 % 12
		for y := range 10 {
			row[y*12+at] = 255
		}
		img = append(img, row...)
		does = binary.BigEndian.AppendUint32(does, math.Float32bits(float32(at)/6-1))
	}
	header := func(kind byte, dims ...uint32) []byte {
		b := []byte{0, 0, kind, byte(len(dims))}
		for _, d := range dims {
			b = binary.BigEndian.AppendUint32(b, d)
		}
		return b
	}
	data := "frames:" + file(t, "img", append(header(8, frames, 10, 12), img...)) + "," + file(t, "does", append(header(0x0d, frames, 1), does...))
	r := decode[showReport](t, run("learn", "--data", data, "--skill", "drive", "--holdout", "0.2", "--json"))
	if *r.Before.Off < 0.4 || *r.After.Off > 0.15 || r.Events != 48 {
		t.Errorf("drive: %+v, off by %v before and %v after", r, *r.Before.Off, *r.After.Off)
	}
	if out := run("eval", "--data", data); !strings.Contains(out, "by skill drive: off by 0.") {
		t.Errorf("drive: %s", out)
	}
}

func TestExamplesBadUsage(t *testing.T) {
	home, model := newHome(t), pocket(t)
	for says, args := range map[string][]string{
		"--skill":               {"learn", "--data", "shipped:motions"},
		"added twice":           {"learn", "--data", "shipped:motions", "--skill", "x", "--epochs", "2"},
		"do not go together":    {"learn", "--data", "shipped:motions", "--data", "shipped:tones", "--skill", "x"},
		"--label goes with tsv": {"eval", "--data", "shipped:motions", "--label", "x"},
		"no skill answers":      {"eval", "--data", "shipped:motions"},
		"no skill \"x\"":        {"eval", "--data", "shipped:motions", "--skill", "x"},
		"read a text together":  {"eval", "--data", "shipped:music", "--skill", "x"},
	} {
		status, _, errs := yan(t, "", append(args, "--home", home, "--model", model)...)
		if status == 0 || !strings.Contains(errs, says) || strings.Count(strings.TrimSpace(errs), "\n") > 0 {
			t.Errorf("%q: %d, %q, want one line with %q", args, status, errs, says)
		}
	}
}
