package sim

import (
	"errors"
	"testing"
	"time"

	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// A world that breaks a law because of a mistake in its nodes is shrunk to a quarter of it, or less, that breaks the same law and is
// still a world that can be played anew; one that breaks no law is not shrunk.
func TestMinimise(t *testing.T) {
	slow(t)
	for _, tt := range []struct {
		law   string
		wreck sabotage
	}{
		{"nothing acknowledged is lost", sabotage{perform: func(_ *device, a *node.Actions) {
			for i, r := range a.Records {
				if r[0] == 'F' { // the end of an utterance is not written down
					a.Records = append(a.Records[:i:i], a.Records[i+1:]...)
					break
				}
			}
		}}},
		{"after calm everyone holds the same set", sabotage{deliver: func(to int, m protocol.Message) bool {
			return to == 1 && m.Kind() != protocol.KindHello // the second device is deaf
		}}},
	} {
		o := Storm(10)
		var tried int
		play := func(o Options, storm time.Duration, calm bool) error {
			tried++
			o = o.withDefaults()
			if err := o.check(); err != nil {
				t.Fatal(err)
			}
			w, err := newWorld(10, o, tt.wreck)
			if err != nil {
				t.Fatal(err)
			}
			return w.playOut(storm, calm)
		}
		var b *Broken
		if err := play(o, o.StormFor(), true); !errors.As(err, &b) || b.Law != tt.law {
			t.Fatalf("%s: %v", tt.law, err)
		}
		tried = 0
		small, sb, steps, err := minimise(o, b, 200, play)
		if err != nil {
			t.Fatal(err)
		}
		if small.Weight() > o.Weight()/4 || sb.Law != tt.law || tried > 200 || len(steps) != tried {
			t.Errorf("%s: a world of %d is shrunk to one of %d in %d steps (%d noted), which breaks %q", tt.law, o.Weight(), small.Weight(), tried, len(steps), sb.Law)
		}
		var again *Broken
		if err := play(small, sb.Storm, sb.Calm); !errors.As(err, &again) || again.Error() != sb.Error() {
			t.Errorf("%s: again: %v, want %v", tt.law, err, sb)
		}
		t.Logf("%s: %d to %d, %d devices, in %d worlds: %v", tt.law, o.Weight(), small.Weight(), len(small.Devices), tried, sb)
	}

	o := Storm(10)
	if _, _, steps, err := Minimise(10, o, &Broken{Law: "time goes on", Storm: o.StormFor(), Calm: true}, 10); err == nil || len(steps) != 1 {
		t.Errorf("a world that breaks no law: %v in %d steps", err, len(steps))
	}
}
