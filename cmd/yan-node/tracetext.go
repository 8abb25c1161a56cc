package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
	"github.com/yanmesh/yan/node"
)

// traceBefore is how many bytes are read before the one that is asked for.
const traceBefore = 512

// text asks the device's mind about a byte of text.
func (f *traceFlags) text(cmd *cobra.Command, c *common) (*traceReport, error) {
	d, err := dataset.Open(f.data)
	if err != nil {
		return nil, err
	}
	var before []byte
	if d.Kind == dataset.Text {
		text := []byte(d.Items[0].Text)
		if err := f.check(len(text), "bytes"); err != nil {
			return nil, err
		}
		before = text[max(f.item-traceBefore, 0) : f.item+1]
	} else {
		if err := f.check(len(d.Items), "utterances"); err != nil {
			return nil, err
		}
		text := []byte(d.Items[f.item].Text)
		before = text[max(len(text)-1-traceBefore, 0):]
	}
	before = append([]byte{'\n'}, before...) // a stream does not begin in the middle of a line
	dev, err := c.open(cmd, device.Options{})
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	l := dev.Node.Learner()
	came := before[len(before)-1]
	r := traceText(l.Settled(), l, before[:len(before)-1])
	r.Data, r.Item, r.Answer = d.Note, f.item, quoteByte(int(came))
	for i := range r.Layers {
		r.Layers[i].Right = float64(r.Layers[i].beliefs[came])
	}
	return r, nil
}

// traceText asks each layer of m, the mind of a learner, for the byte behind a text that is not empty.
func traceText(m *model.Model, learner *learning.Learner, text []byte) *traceReport {
	var skills []string
	for _, s := range learner.Skills() {
		skills = append(skills, refOf(s.Author, s.Name))
	}
	var tape model.Tape
	m.Forward(m.NewState(), sense.Text(text), &tape)
	r := &traceReport{Input: strconv.Quote(string(text[max(len(text)-40, 0):]))}
	var lens local.Lens
	for i := len(m.Layers) - 1; i >= 0; i-- {
		logits := lens.Read(m, &tape, i)
		beliefs := append([]float32(nil), logits[(tape.N-1)*sense.Symbols:]...)
		kernel.SoftmaxInPlace(beliefs)
		l := traceLayer{Layer: i + 1, Answers: answers(beliefs, traceAnswers, quoteByte), beliefs: beliefs}
		l.fired(&tape.Layers[i], m.Config.Sections, skills, tape.N-1, tape.N)
		r.Layers = append(r.Layers, l)
	}
	return r
}

// quoteByte writes a byte as people do, and what is no letter by its number.
func quoteByte(b int) string {
	if b > '~' || b < ' ' && b != '\n' && b != '\t' {
		return fmt.Sprintf("0x%02x", b)
	}
	return strconv.QuoteRune(rune(b))
}

// traced answers /v1/trace?text=TEXT: what each layer of the mind, as it is in the owner's stream, expects behind a text.
func traced(n *node.Node, text string) any {
	from := max(len(text)-traceBefore, 0)
	return traceText(n.Learner().Model(), n.Learner(), []byte("\n"+text[from:]))
}
