package main

import (
	"context"
	"fmt"
	"math"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// How a text is read while it is learnt: in so many streams side by side, so many bytes of each in a step.
const (
	localStreams = 8
	localWindow  = 128
)

// localText is the task of learning a text.
func localText(o localOptions) (*localTask, error) {
	d, err := dataset.Open(o.text)
	if err != nil {
		return nil, err
	}
	tail := 0.1
	a, b := d.Split(tail)
	train, asked := sense.Text(a.Bytes()), sense.Text(b.Bytes())
	if o.validate { // the tail of what is to be learnt
		c, v := a.Split(tail)
		train, asked = sense.Text(c.Bytes()), sense.Text(v.Bytes())
	}
	if len(train) < localStreams*(localWindow+1) || len(asked) < 2 {
		return nil, ui.Usage("%s: %d bytes are too few to learn from", o.text, len(train))
	}
	shape := slim()
	shape.Layers = o.layers
	t := &localTask{
		report: localReport{Data: fmt.Sprintf("%s; asked about what follows", a.Note), Metric: "bits_per_byte", Learnt: len(train), Asked: len(asked) - 1},
		shape:  local.Texts(shape),
		see:    int64(o.bytes),
		score:  func(net *local.Net) []float64 { return bitsByLayer(net, asked) },
	}
	t.train = func(ctx context.Context, t *local.Trainer, seen func(int)) error {
		return readLocally(ctx, t, train, seen)
	}
	return t, nil
}

// readLocally trains a net on a text of which each stream reads a part, again from its beginning when it is at the end.
func readLocally(ctx context.Context, t *local.Trainer, text []sense.Event, seen func(int)) error {
	part := (len(text) - 1) / localStreams / localWindow * localWindow
	var states []*model.State
	for range localStreams {
		states = append(states, t.Net().Model.NewState())
	}
	for at := 0; !t.Done() && ctx.Err() == nil; at += localWindow {
		if at == part {
			at = 0
			for _, s := range states {
				s.Reset()
			}
		}
		var in [][]sense.Event
		var next []sense.Event
		for k := range states {
			from := k*part + at
			in, next = append(in, text[from:from+localWindow]), append(next, text[from+1:from+localWindow+1]...)
		}
		t.StepText(states, in, next)
		seen(len(next))
	}
	return context.Cause(ctx)
}

// bitsByLayer is how surprising a text is to each layer's read-out, in bits a byte.
func bitsByLayer(net *local.Net, text []sense.Event) []float64 {
	const chunk = 256
	bits := make([]float64, net.Config.Model.Layers)
	var r local.Reading
	r.Tape.Lean = true
	s := []*model.State{net.Model.NewState()}
	for at := 0; at < len(text)-1; at += chunk {
		n := min(chunk, len(text)-1-at)
		net.ReadText(s, [][]sense.Event{text[at : at+n]}, &r)
		for i, beliefs := range r.Beliefs {
			for p, e := range text[at+1 : at+n+1] {
				bits[i] -= math.Log2(max(float64(beliefs[p*sense.Symbols+int(e.Byte)]), math.SmallestNonzeroFloat32)) / float64(len(text)-1)
			}
		}
	}
	return bits
}
