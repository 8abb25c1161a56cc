package main

import (
	"bytes"
	"encoding/binary"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// idx writes an array of bytes as an IDX file.
func idx(t *testing.T, name string, data []byte, shape ...int) string {
	t.Helper()
	b := []byte{0, 0, 8, byte(len(shape))}
	for _, n := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return file(t, name, append(b, data...))
}

// digits writes n digits that the project draws as a data argument.
func digits(t *testing.T, n int, seed uint64) string {
	t.Helper()
	var pixels, labels []byte
	for _, e := range dataset.Strokes(n, seed).Items {
		pixels, labels = append(pixels, e.Pixels...), append(labels, byte(e.Label))
	}
	return "images:" + idx(t, "images.gz", pixels, n, 28, 28) + "," + idx(t, "labels.gz", labels, n)
}

// A picture is looked at layer by layer, by a model that is learnt once and then kept.
func TestTraceOfAPicture(t *testing.T) {
	defer func(n int64) { pictureLeast = n }(pictureLeast)
	pictureLeast = 1200
	home, data := t.TempDir(), digits(t, 120, 3)
	drawn := filepath.Join(t.TempDir(), "digit.png")
	right := 0
	for item := range 12 { // all of the same tenth
		out := must(t, "", "trace", "--home", home, "--data", data, "--item", strconv.Itoa(item), "--png", drawn, "--json")
		r := decode[traceReport](t, out)
		if len(r.Layers) != 4 || r.Layers[0].Layer != 4 || r.Layers[3].Layer != 1 || r.Item != item {
			t.Fatalf("item %d: %+v", item, r)
		}
		for _, l := range r.Layers {
			if len(l.Answers) != traceAnswers || l.Answers[0].Probability < l.Answers[1].Probability || len(l.Most) != traceMost ||
				l.Most[0].Gate < l.Most[1].Gate || l.Fired < 1 || l.Ever < int(l.Fired) || l.Ever > l.Sections {
				t.Errorf("item %d, layer %d: %+v", item, l.Layer, l)
			}
			for _, a := range l.Answers {
				if a.Answer == r.Answer && a.Probability != l.Right {
					t.Errorf("item %d, layer %d: right with %v and %v", item, l.Layer, a.Probability, l.Right)
				}
			}
		}
		if r.Layers[0].Answers[0].Answer == r.Answer {
			right++
		}
	}
	if right < 9 {
		t.Errorf("the last layer is right about %d of 12 pictures that it has not seen", right)
	}
	b, err := os.ReadFile(drawn)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	// The picture itself stands at the right of the first row, of which the middle is not all paper and not all black.
	size := img.Bounds().Size()
	seen := map[uint32]bool{}
	for y := range drawSide {
		v, _, _, _ := img.At(size.X-drawEdge-drawSide/2, drawHead+y).RGBA()
		seen[v>>8] = true
	}
	if size.Y != drawHead+4*drawRow+drawEdge || len(seen) < 2 {
		t.Errorf("the drawing is %v large and shows %d greys", size, len(seen))
	}

	kept, err := filepath.Glob(filepath.Join(home, picturesFolder, "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept in the home: %q (%v)", kept, err)
	}
	first := must(t, "", "trace", "--home", home, "--data", data, "--item", "3")
	if !strings.Contains(first, "layer") || !strings.Contains(first, "learnt from 108 others") {
		t.Errorf("prints %q", first)
	}
	// Damaged, it is learnt again, to the same.
	if err := os.WriteFile(kept[0], []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, again, errs := yan(t, "", "trace", "--home", home, "--data", data, "--item", "3")
	if again != first || !strings.Contains(errs, "damaged") {
		t.Errorf("after damage it prints %q, before %q; and says %q", again, first, errs)
	}
	if b, err := os.ReadFile(kept[0]); err != nil || len(b) < 1000 {
		t.Errorf("it is not kept again: %d bytes, %v", len(b), err)
	}
}

// A byte of text is looked at by the mind that the device has.
func TestTraceOfText(t *testing.T) {
	home, model := newHome(t), pocket(t)
	text := "text:" + file(t, "notes.txt", []byte("the quick brown fox jumps over the lazy dog\n"))
	at := []string{"--home", home, "--model", model}
	drawn := filepath.Join(t.TempDir(), "text.png")
	r := decode[traceReport](t, must(t, "", append([]string{"trace", "--data", text, "--item", "12", "--json", "--png", drawn}, at...)...))
	if r.Answer != `'o'` || r.Input != `"\nthe quick br"` || len(r.Layers) != 2 {
		t.Errorf("asked for %q behind %q in %d layers", r.Answer, r.Input, len(r.Layers))
	}
	for _, l := range r.Layers {
		if l.Fired != float64(l.Ever) || l.Fired < 1 || l.Sections != 48 || !(l.Right > 0 && l.Right < 1) {
			t.Errorf("layer %d: %+v", l.Layer, l)
		}
	}
	b, err := os.ReadFile(drawn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(b)); err != nil {
		t.Error(err)
	}
	lines := "lines:" + file(t, "lines.txt", []byte("play some jazz\nwhat is on\n"))
	out := must(t, "", append([]string{"trace", "--data", lines, "--item", "1"}, at...)...)
	if !strings.Contains(out, `what is o"; right is 'n'`) {
		t.Errorf("prints %q", out)
	}
}

// The last layer's word is the mind's own, and sections of skills go by their skill's name.
func TestTraceIsOfTheMind(t *testing.T) {
	l, err := learning.New(learning.Config{Fast: -1}, base.Pocket())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Focus("sea"); err != nil {
		t.Fatal(err)
	}
	l.Read(sense.Text(bytes.Repeat([]byte("THE TIDE IS OUT;"), 30)))
	m := l.Model()
	s := m.NewState()
	var logits []float32
	text := []byte("\nTHE TIDE I")
	for _, e := range sense.Text(text) {
		logits = m.Step(s, e)
	}
	logits = slices.Clone(logits)
	kernel.SoftmaxInPlace(logits)
	r := traceText(m, l, text)
	if top := r.Layers[0]; math.Abs(top.Answers[0].Probability-float64(slices.Max(logits))) > 1e-5 || math.Abs(float64(top.beliefs['S']-logits['S'])) > 1e-5 {
		t.Errorf("the last layer thinks %+v and gives S %.4f, the mind %.4f", top.Answers, top.beliefs['S'], logits['S'])
	}
	if most := r.Layers[0].Most; !slices.ContainsFunc(most, func(s traceSection) bool { return s.Skill == "sea" }) {
		t.Errorf("no section of the skill that is open is among %+v", most)
	}
}

// A node that runs is asked about a text, of which it reads the end.
func TestTraceIsAnswered(t *testing.T) {
	d, err := device.Open(device.Options{Home: newHome(t), Model: base.Pocket()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for text, input := range map[string]string{"": `"\n"`, "what is": `"\nwhat is"`, strings.Repeat("long ", 200) + "x": `"` + strings.Repeat("long ", 8)[1:] + `x"`} {
		r := traced(d.Node, text).(*traceReport)
		if r.Input != input || len(r.Layers) != 2 || len(r.Layers[0].Answers) != traceAnswers {
			t.Errorf("%q: %q in %d layers", text, r.Input, len(r.Layers))
		}
	}
}

func TestTraceRefuses(t *testing.T) {
	pics, text := digits(t, 20, 1), "text:"+file(t, "a.txt", []byte("abc"))
	small := "images:" + idx(t, "i", make([]byte, 2*16), 2, 4, 4) + "," + idx(t, "l", []byte{0, 1}, 2)
	one := "images:" + idx(t, "i", make([]byte, 2*28*28), 2, 28, 28) + "," + idx(t, "l", []byte{0, 1}, 2)
	for line, c := range map[string]struct {
		status int
		says   string
	}{
		"trace":                                    {ui.BadUsage, "no data"},
		"trace --data " + text + " --item 3":       {ui.BadUsage, "has 3 bytes: write 0 to 2"},
		"trace --data " + text + " --item -1":      {ui.BadUsage, "has 3 bytes"},
		"trace --data " + pics + " --item 20":      {ui.BadUsage, "has 20 pictures: write 0 to 19"},
		"trace --data " + text + " --learn x:y":    {ui.BadUsage, "goes with pictures"},
		"trace --data " + one + " --item 1":        {ui.Failed, "no 1 to learn from: name more"},
		"trace --data " + small:                    {ui.Failed, "too small"},
		"trace --data " + pics + " --learn " + one: {ui.BadUsage, "do not go together"},
		"trace --data images:nowhere,nothing":      {ui.Failed, "nowhere"},
	} {
		status, _, errs := yan(t, "", append(strings.Fields(line), "--home", t.TempDir())...)
		if status != c.status || !strings.Contains(errs, c.says) {
			t.Errorf("%s: status %d, says %q, want %d and %q", line, status, errs, c.status, c.says)
		}
	}
}
