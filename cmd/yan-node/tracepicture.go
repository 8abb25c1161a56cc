package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning/local"
	"github.com/yanmesh/yan/model/sense"
)

// How pictures are learnt to be looked at: by the rule that was best on digits held out, and each often enough for a small
// set too.
const (
	pictureEpochs = 2
	pictureKnown  = 0.95
)

// pictureLeast is how many pictures are seen at least. Tests make do with fewer.
var pictureLeast int64 = 12_000

// picturesFolder is where models of pictures are kept in the home.
const picturesFolder = "pictures"

// A picture is grey, from 0 for black to 1 for white.
type picture struct {
	rows, cols int
	pixels     []float32
}

// pictures asks each layer of a model about a picture.
func (f *traceFlags) pictures(cmd *cobra.Command, c *common) (*traceReport, error) {
	set, err := openPictures(f.data)
	if err != nil {
		return nil, err
	}
	if err := f.check(len(set.Items), "pictures"); err != nil {
		return nil, err
	}
	learn, how := &dataset.Set{}, ""
	if len(f.learn) == 0 {
		learn, how = otherTenths(set, f.item)
	} else if learn, how, err = f.toLearn(set); err != nil {
		return nil, err
	}
	home, err := c.folder()
	if err != nil {
		return nil, err
	}
	net, im, err := learntPictures(cmd, home, learn)
	if err != nil {
		return nil, err
	}
	r := tracePicture(net, im, set, f.item)
	r.Data, r.Item, r.Learnt = set.Note, f.item, how
	return r, nil
}

// openPictures opens a set of pictures that are large enough.
func openPictures(arg string) (*dataset.Set, error) {
	s, err := dataset.OpenSet(arg)
	switch {
	case err != nil:
		return nil, err
	case s.Kind != dataset.Images:
		return nil, ui.Usage("%s: pictures belong here: write images:IMG,LABELS", arg)
	case s.Shape[0] < 8 || s.Shape[1] < 8:
		return nil, fmt.Errorf("%s: pictures of %v pixels are too small: 8 by 8 are needed", arg, s.Shape)
	}
	return s, nil
}

// toLearn is what --learn names, which has to go together with what is asked about.
func (f *traceFlags) toLearn(set *dataset.Set) (all *dataset.Set, how string, err error) {
	for _, arg := range f.learn {
		s, err := openPictures(arg)
		if err != nil {
			return nil, "", err
		}
		if _, err := set.Join(s); err != nil {
			return nil, "", ui.Usage("--learn %s: %w", arg, err)
		}
		if all == nil {
			all = s
		} else if all, err = all.Join(s); err != nil {
			return nil, "", ui.Usage("--learn %s: %w", arg, err)
		}
	}
	return all, fmt.Sprintf("learnt from %s pictures: %s", ui.Count(int64(len(all.Items))), all.Note), nil
}

// otherTenths are the pictures of the tenths of a set in which an item is not.
func otherTenths(set *dataset.Set, item int) (*dataset.Set, string) {
	n := len(set.Items)
	tenth := item * 10 / n
	from, to := (tenth*n+9)/10, ((tenth+1)*n+9)/10
	learn := *set
	learn.Items = append(append([]dataset.Example(nil), set.Items[:from]...), set.Items[to:]...)
	return &learn, fmt.Sprintf("learnt from %s others of the same pictures", ui.Count(int64(len(learn.Items))))
}

// learntPictures returns a model of these pictures, from the home if it was learnt before.
func learntPictures(cmd *cobra.Command, home string, set *dataset.Set) (*local.Net, *local.Imagery, error) {
	eye := sense.NewPicture(set.Shape[0], set.Shape[1])
	shape := local.Pictures(eye.Patches(), eye.Width(), len(set.Classes))
	cfg := local.TrainConfig{Rule: local.Sum, Known: pictureKnown, Seed: 1}
	cfg.Examples = max(pictureEpochs*int64(len(set.Items)), pictureLeast)
	file := filepath.Join(home, picturesFolder, nameOfPictures(set, shape, cfg)+".safetensors")
	if b, err := os.ReadFile(file); err == nil {
		if net, im, err := local.Load(b); err == nil && net.Config.Places == shape.Places && net.Config.Classes == shape.Classes && im.Pixels == set.Shape[0]*set.Shape[1] {
			return net, im, nil
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s is damaged: the pictures are learnt again\n", file)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("trace: %w", err)
	}
	for k, name := range set.Classes {
		if !slices.ContainsFunc(set.Items, func(e dataset.Example) bool { return e.Label == k }) {
			return nil, nil, fmt.Errorf("trace: %s: there is no %s to learn from: name more pictures with --learn", set.Arg, name)
		}
	}
	p := ui.NewProgress(cmd.ErrOrStderr(), "learning pictures", cfg.Examples, "pictures")
	defer p.Done()
	net, im, err := learnPictures(cmd.Context(), set, shape, cfg, func(n int) { p.Add(int64(n)) })
	if err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	if err := local.Write(&b, net, im); err != nil {
		return nil, nil, err
	}
	if err = os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
		err = ui.WriteFile(file, b.Bytes())
	}
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "what was learnt is not kept: %v\n", err)
	}
	return net, im, nil
}

// nameOfPictures names what a model is learnt from and how.
func nameOfPictures(set *dataset.Set, shape local.Config, cfg local.TrainConfig) string {
	h := sha256.New()
	fmt.Fprintf(h, "yan pictures v1\n%v\n%+v\n%+v\n%q\n", set.Shape, shape, cfg, set.Classes)
	for _, e := range set.Items {
		h.Write(append([]byte{byte(e.Label)}, e.Pixels...))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// learnPictures trains a model and solves its imagery.
func learnPictures(ctx context.Context, set *dataset.Set, shape local.Config, cfg local.TrainConfig, seen func(int)) (*local.Net, *local.Imagery, error) {
	eye := sense.NewPicture(set.Shape[0], set.Shape[1])
	size := eye.Patches() * eye.Width()
	all, labels := make([]float32, len(set.Items)*size), make([]int, len(set.Items))
	var pixels []float32
	for i, e := range set.Items {
		eye.Encode(all[i*size:(i+1)*size], e.Pixels)
		labels[i] = e.Label
		pixels = append(pixels, grey(e.Pixels)...)
	}
	t, err := local.NewTrainer(shape, cfg)
	if err != nil {
		return nil, nil, err
	}
	var x []float32
	var answers []int
	for !t.Done() {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		x, answers = x[:0], answers[:0]
		for _, i := range t.Draw(len(labels)) {
			x, answers = append(x, all[i*size:(i+1)*size]...), append(answers, labels[i])
		}
		t.Step(x, answers)
		seen(len(answers))
	}
	im, err := local.NewImagery(t.Net(), all, pixels, labels)
	if err != nil {
		return nil, nil, fmt.Errorf("trace: %s: %w", set.Arg, err)
	}
	return t.Net(), im, nil
}

func grey(b []byte) []float32 {
	p := make([]float32, len(b))
	for i, v := range b {
		p[i] = float32(v) / 255
	}
	return p
}

// tracePicture asks each layer of a net about one picture of a set.
func tracePicture(net *local.Net, im *local.Imagery, set *dataset.Set, item int) *traceReport {
	e := set.Items[item]
	eye := sense.NewPicture(set.Shape[0], set.Shape[1])
	x := make([]float32, eye.Patches()*eye.Width())
	eye.Encode(x, e.Pixels)
	var read local.Reading
	net.Read(x, &read)
	class := func(k int) string { return set.Classes[k] }
	shown := func(pixels []float32) *picture { return &picture{set.Shape[0], set.Shape[1], pixels} }
	r := &traceReport{
		Input: fmt.Sprintf("a picture of %d by %d", set.Shape[0], set.Shape[1]), Answer: class(e.Label),
		classes: set.Classes, picture: shown(grey(e.Pixels)),
	}
	for i := net.Config.Model.Layers - 1; i >= 0; i-- {
		beliefs := read.Beliefs[i]
		l := traceLayer{
			Layer: i + 1, Answers: answers(beliefs, traceAnswers, class), Right: float64(beliefs[e.Label]), beliefs: beliefs,
			expected: shown(im.Expected(beliefs)), seen: shown(im.Seen(i, read.States[i])),
		}
		l.fired(&read.Tape.Layers[i], net.Config.Model.Sections, nil, 0, net.Config.Places)
		r.Layers = append(r.Layers, l)
	}
	return r
}
