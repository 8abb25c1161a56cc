// Package sense is what comes in: the events of one stream.
//
// An [Event] is one step of the stream, and every sense speaks in events, so that a model, a learner
// and a log need to know of only one thing that happens. Text is the first sense: one byte is one
// event. [Picture], [Sound] and [Motion] are encoders of other senses, by fixed rules: the patches of a
// picture, the frames of a sound and the half-seconds of a motion come out as features, one event each;
// an [Utterance] makes a picture of the frames of one word. The package is pure: nothing in it learns or
// reads, and an encoder keeps one window of the past.
package sense

// Symbols is how many different bytes an event can carry: the size of the byte read-out.
const Symbols = 256

// An Event is one step of a stream.
type Event struct {
	Byte byte // the text byte that arrived at this step
}

// Text returns the events of a text, one for each byte. The events do not alias b.
func Text(b []byte) []Event { return AppendText(make([]Event, 0, len(b)), b) }

// AppendText appends the events of b to dst.
func AppendText(dst []Event, b []byte) []Event {
	for _, c := range b {
		dst = append(dst, Event{Byte: c})
	}
	return dst
}

// Bytes returns the text bytes that events carry.
func Bytes(events []Event) []byte {
	b := make([]byte, len(events))
	for i, e := range events {
		b[i] = e.Byte
	}
	return b
}
