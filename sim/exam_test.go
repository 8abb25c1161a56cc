package sim

import (
	"testing"
	"time"
)

// A device that is examined and then crashes comes back with the mind that it had: what an exam settles is on the disk.
func TestExaminedMindsAreKept(t *testing.T) {
	o := small(5)
	o.Faults = Faults{Crashes: 20, Down: 10 * time.Second}
	w, err := New(3, o)
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		if err := w.Run(20 * time.Second); err != nil { // the laws look at every mind that is back
			t.Fatal(err)
		}
		if _, err := w.Examine(Exam{Texts: 1, Bytes: 64}); err != nil {
			t.Fatal(err)
		}
	}
}
