package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
)

// traceFlags say what to look at.
type traceFlags struct {
	data  string
	item  int
	learn []string
	png   string
}

// A traceReport is what each layer thinks of one input.
type traceReport struct {
	Data   string       `json:"data,omitempty"`
	Item   int          `json:"item"`
	Input  string       `json:"input"`            // the end of the text, or how large the picture is
	Answer string       `json:"answer,omitempty"` // what is right: the byte that came, or the class
	Learnt string       `json:"learnt,omitempty"` // from what, of pictures
	Layers []traceLayer `json:"layers"`           // the last one first

	classes []string
	picture *picture
}

// A traceLayer is what one layer thinks.
type traceLayer struct {
	Layer    int            `json:"layer"` // 1 for the one that hears the input first
	Answers  []traceAnswer  `json:"answers"`
	Right    float64        `json:"right"`          // probability of what is right
	Fired    float64        `json:"sections_fired"` // for an event: of a picture, a patch
	Ever     int            `json:"sections_ever"`  // for any of the events
	Sections int            `json:"sections"`
	Most     []traceSection `json:"most"`

	beliefs        []float32 // of all classes
	expected, seen *picture
}

// A traceAnswer is one answer and how probable it is held to be.
type traceAnswer struct {
	Answer      string  `json:"answer"`
	Probability float64 `json:"probability"`
}

// A traceSection is a section that fired, and how strongly: the sum of its gates.
type traceSection struct {
	Skill   string  `json:"skill,omitempty"` // of a bank; empty for the base's own
	Section int     `json:"section"`
	Gate    float64 `json:"gate"`
}

const (
	traceAnswers = 3
	traceMost    = 3
)

// traceCommand shows what each layer thinks of one input.
func traceCommand(c *common) *cobra.Command {
	var f traceFlags
	cmd := &cobra.Command{
		Use:   "trace --data kind:path --item N",
		Short: "Show what each layer thinks of one input",
		Long: `trace asks every layer, from the last down to the first, what it makes of one input: its answers and how sure it is of
them, how many sections fired there, and which did most.

Of text, item N is the N-th byte (the N-th utterance of lines and tsv data, whose last byte is asked for; the first is 0): the
device's mind reads up to 512 bytes before it, with skills behind their gates, and each layer says what comes as if it were the
last one, by the mind's own read-out (the logit lens). The fast layer is no layer of the model and is not asked.

Of pictures (images:IMG,LABELS), item N is the N-th one. A small model learns the pictures of --learn first, in seconds and
without a global backward pass, so that every layer has a read-out of its own; without --learn it learns the other nine tenths of
the same data. It is kept in the home, under pictures. With it come the picture that each layer expects, which is the mean
picture of each class, as far as the layer believes in it, and the picture that it still sees, which is what a linear map makes
of its state. Both are drawn by --png.`,
		Example: `  yan-node trace --data text:notes.txt --item 1000
  yan-node trace --data images:mnist/t10k-images-idx3-ubyte.gz,mnist/t10k-labels-idx1-ubyte.gz --item 0 --png seven.png
  yan-node trace --data shipped:strokes --item 7 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, c) },
	}
	cmd.Flags().StringVar(&f.data, "data", "", "what to look at, as `kind:path`: text, lines, tsv or images")
	cmd.Flags().IntVar(&f.item, "item", 0, "which item of it; the first is 0")
	cmd.Flags().StringArrayVar(&f.learn, "learn", nil, "pictures to learn from, as `images:IMG,LABELS`; may be repeated")
	cmd.Flags().StringVar(&f.png, "png", "", "draw it too, into this `FILE`")
	return cmd
}

func (f *traceFlags) run(cmd *cobra.Command, c *common) error {
	if f.data == "" {
		return ui.Usage("no data: write --data text:FILE, lines:FILE, tsv:FILE or images:IMG,LABELS")
	}
	var r *traceReport
	var err error
	if kind, _, _ := strings.Cut(f.data, ":"); kind == dataset.Images || f.data == "shipped:strokes" {
		r, err = f.pictures(cmd, c)
	} else if len(f.learn) > 0 {
		return ui.Usage("--learn goes with pictures: %s is read by the mind that the device has", f.data)
	} else {
		r, err = f.text(cmd, c)
	}
	if err != nil {
		return err
	}
	if f.png != "" {
		b, err := r.draw()
		if err == nil {
			err = ui.WriteFile(f.png, b)
		}
		if err != nil {
			return fmt.Errorf("trace: %w", err)
		}
	}
	if c.json {
		return ui.JSON(cmd.OutOrStdout(), r)
	}
	return r.print(cmd.OutOrStdout())
}

// check checks the number of an item of data that has so many.
func (f *traceFlags) check(items int, what string) error {
	if f.item < 0 || f.item >= items {
		return ui.Usage("--item %d: %s has %s %s: write 0 to %d", f.item, f.data, ui.Count(int64(items)), what, items-1)
	}
	return nil
}

func (r *traceReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s, item %d: %s; right is %s\n", r.Data, r.Item, r.Input, r.Answer)
	if r.Learnt != "" {
		fmt.Fprintln(w, r.Learnt)
	}
	t := ui.NewTable("layer", "thinks", "sure", "then", "right", "sections", "most")
	for _, l := range r.Layers {
		var then, most []string
		for _, a := range l.Answers[1:] {
			then = append(then, a.Answer+" "+percent(a.Probability))
		}
		for _, s := range l.Most {
			name := fmt.Sprint(s.Section)
			if s.Skill != "" {
				name = s.Skill + "/" + name
			}
			most = append(most, fmt.Sprintf("%s (%.2f)", name, s.Gate))
		}
		t.Row(l.Layer, l.Answers[0].Answer, percent(l.Answers[0].Probability), strings.Join(then, ", "), percent(l.Right),
			l.firing(), strings.Join(most, " "))
	}
	return t.Fprint(w)
}

// firing says how many sections fired, on average.
func (l *traceLayer) firing() string {
	return fmt.Sprintf("%s of %d", strconv.FormatFloat(math.Round(10*l.Fired)/10, 'f', -1, 64), l.Sections)
}

// answers lists the most probable of beliefs, so many of them.
func answers(beliefs []float32, most int, name func(int) string) (list []traceAnswer) {
	order := make([]int, len(beliefs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case beliefs[a] > beliefs[b]:
			return -1
		case beliefs[a] < beliefs[b]:
			return 1
		}
		return 0
	})
	for _, i := range order[:min(most, len(order))] {
		list = append(list, traceAnswer{name(i), float64(beliefs[i])})
	}
	return list
}

// fired counts the sections that were computed for the events from up to to, base and skills alike, and lists those
// that did most.
func (l *traceLayer) fired(lt *model.LayerTape, sections int, skills []string, from, to int) {
	l.Sections = sections
	sum := map[traceSection]float64{}
	add := func(r *model.Routes, skill string) {
		if r.Len() == 0 {
			return
		}
		for k := r.Off[from]; k < r.Off[to]; k++ {
			sum[traceSection{Skill: skill, Section: int(r.Sec[k])}] += float64(r.Gate[k])
			l.Fired++
		}
	}
	add(&lt.Base, "")
	for b := range lt.Banks {
		add(&lt.Banks[b], skills[b])
	}
	l.Ever = len(sum)
	l.Fired /= float64(to - from)
	for s, gate := range sum {
		s.Gate = gate
		l.Most = append(l.Most, s)
	}
	slices.SortFunc(l.Most, func(a, b traceSection) int {
		switch {
		case a.Gate != b.Gate:
			if a.Gate > b.Gate {
				return -1
			}
			return 1
		case a.Skill != b.Skill:
			return strings.Compare(a.Skill, b.Skill)
		}
		return a.Section - b.Section
	})
	l.Most = l.Most[:min(traceMost, len(l.Most))]
}
