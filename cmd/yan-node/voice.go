package main

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/sense"
)

// A sampler chooses the next byte from its log-odds: the likeliest at temperature 0, else by chance.
type sampler struct {
	temperature float64
	rand        *rand.Rand
	odds        []float64
}

func newSampler(temperature float64, seed uint64) *sampler {
	return &sampler{temperature: temperature, rand: rand.New(rand.NewPCG(seed, 1)), odds: make([]float64, sense.Symbols)}
}

func (s *sampler) pick(logits []float32) byte {
	top := slices.Max(logits)
	if s.temperature <= 0 {
		return byte(slices.Index(logits, top))
	}
	var sum float64
	for i, v := range logits {
		s.odds[i] = math.Exp(float64(v-top) / s.temperature)
		sum += s.odds[i]
	}
	at := s.rand.Float64() * sum
	for i, v := range s.odds {
		if at -= v; at < 0 {
			return byte(i)
		}
	}
	return byte(slices.Index(logits, top))
}

// speak goes on from where a thought is, until say returns false.
func speak(a *learning.Aside, by *sampler, say func(byte) bool) {
	for {
		b := by.pick(a.Expect())
		if !say(b) {
			return
		}
		a.Step(sense.Event{Byte: b})
	}
}

// lineBytes is the most that a node says in answer to a line.
const lineBytes = 120

// goOn is what the learner expects to come next in its stream after text: a line, the next that is not
// empty if a new one begins. The stream does not notice.
func goOn(l *learning.Learner, text []byte, by *sampler) string {
	a := l.GoOn()
	for _, b := range text {
		a.Step(sense.Event{Byte: b})
	}
	if a.Expect() == nil {
		return ""
	}
	var line []byte
	blank := 0 // lines
	speak(a, by, func(b byte) bool {
		if b == '\n' && len(line)+len(text) == 0 && blank < 2 {
			blank++
			return true
		}
		if b == '\n' || len(line) == lineBytes {
			return false
		}
		line = append(line, b)
		return true
	})
	return printable(line)
}

// printable is text that does nothing to a terminal: what is no letter, and what moves a cursor, becomes
// the replacement character.
func printable(b []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if r != '\t' && unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, bytes.ToValidUTF8(b, []byte(string(utf8.RuneError)))))
}

// A voice prints bytes as they come, each letter once it is whole.
type voice struct {
	w    io.Writer
	part []byte // of a letter
	err  error
}

func (v *voice) say(b byte) {
	if v.part = append(v.part, b); utf8.FullRune(v.part) {
		v.rest()
	}
}

// rest prints what has come of a letter, whole or not.
func (v *voice) rest() {
	text := "\n"
	if string(v.part) != "\n" {
		text = printable(v.part)
	}
	if v.err == nil && len(v.part) > 0 {
		_, v.err = io.WriteString(v.w, text)
	}
	v.part = v.part[:0]
}

// A witness reads what a learner reads and learns nothing: it tells what learning was worth.
type witness struct {
	model  *model.Model
	state  *model.State
	tape   model.Tape
	last   []float32 // log-odds of the next byte; nil at the beginning
	logits []float32
	nats   float64
	events int
}

func newWitness(m *model.Model) *witness {
	return &witness{model: m, state: m.NewState(), tape: model.Tape{Lean: true}}
}

func (w *witness) read(b []byte) {
	in := sense.Text(b)
	for len(in) > 0 {
		n := min(len(in), 512)
		w.model.Forward(w.state, in[:n], &w.tape)
		from := in[:n]
		w.logits = append(w.logits[:0], w.last...)
		w.logits = append(w.logits, w.tape.Logits[:(n-1)*sense.Symbols]...)
		if w.last == nil {
			from = in[1:n]
		}
		for i, e := range from {
			w.nats += surprise(w.logits[i*sense.Symbols:(i+1)*sense.Symbols], e)
		}
		w.events += len(from)
		w.last = append(w.last[:0], w.tape.Logits[(n-1)*sense.Symbols:]...)
		in = in[n:]
	}
}

// surprise is −ln of the probability that logits give to e.
func surprise(logits []float32, e sense.Event) float64 {
	top := slices.Max(logits)
	var sum float64
	for _, v := range logits {
		sum += math.Exp(float64(v - top))
	}
	return math.Log(sum) - float64(logits[e.Byte]-top)
}

// bits turns nats into bits a byte.
func bits(nats float64, events int) float64 {
	if events == 0 {
		return 0
	}
	return nats / float64(events) / math.Ln2
}
