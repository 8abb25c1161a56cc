package node

import (
	"testing"
	"time"
)

// What came in since the start is counted with its surprise, which never falls, and a replay is not.
func TestSeen(t *testing.T) {
	d := new(disk)
	n := start(t, 1, Config{}, d)
	var sum float64
	text := "there was a time when the mill by the river turned all night\n"
	for range 20 {
		before := n.Seen()
		nats, a := n.Observe(time.Time{}, []byte(text))
		d.keep(t, a)
		sum += nats
		if s := n.Seen(); s.Events != before.Events+uint64(len(text)) || s.Nats < before.Nats || s.Nats < sum {
			t.Fatalf("%+v after %+v, and %v nats in all", s, before, sum)
		}
	}
	if s := n.Seen(); s.Nats > 1.2*sum {
		t.Errorf("%v nats where there were %v", s.Nats, sum)
	}
	if s := start(t, 1, Config{}, d).Seen(); s != (Seen{}) {
		t.Errorf("after a replay: %+v", s)
	}
}
