package p2p

import (
	"fmt"
	"testing"
	"time"
)

// Devices that sleep nine minutes of ten, and wake all in the same instant, make no storm: of all that they send in
// the minute in which they are awake each one's share is a few handshakes more than when nobody ever sleeps, it does not
// grow from one waking to the next, and when they fall asleep again they hold what they missed and what was said meanwhile.
func TestSleepers(t *testing.T) {
	const (
		awake, asleep = time.Minute, 9 * time.Minute
		always        = 2
		nights        = 2
		handshake     = 16 << 10 // bytes of one, of both sides, and of the first that are said after it
		message       = 48       // datagrams of the same
	)
	warmUp(t)
	n := always + *crowd
	inWorld(t, func(t *testing.T, w *world) {
		var all []*device
		for i := range n {
			all = append(all, w.device(i, Config{}))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(interval)
		minute := func(during func()) (bytes, count float64) {
			b, c := w.bytes.Load(), w.count.Load()
			end := time.Now().Add(awake)
			during()
			time.Sleep(time.Until(end))
			return float64(w.bytes.Load()-b) / float64(n), float64(w.count.Load()-c) / float64(n)
		}
		steadyBytes, steadyCount := minute(func() {})
		t.Logf("%d devices, all awake: %.1f kB and %.0f datagrams a minute of each", n, steadyBytes/1e3, steadyCount)
		moreBytes, moreCount := float64(handshake*(n-1)), float64(message*(n-1))
		for night := range nights {
			for _, d := range all[always:] {
				w.deafen(d.i)
			}
			time.Sleep(asleep / 2)
			missed, err := all[0].teach(fmt.Sprint("night-", night))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(asleep / 2)
			for _, d := range all[always:] {
				w.hear(d.i)
			}
			var told, late time.Duration
			bytes, count := minute(func() {
				late = w.spread(all, missed)
				id, err := all[n-1].teach(fmt.Sprint("day-", night)) // by one who sleeps
				if err != nil {
					t.Fatal(err)
				}
				told = w.spread(all, id)
			})
			t.Logf("waking %d: %.1f kB and %.0f datagrams in its minute of each; what was missed was everywhere after %v, what is new %v after that",
				night, bytes/1e3, count, late, told)
			if late+told > awake {
				t.Errorf("asleep again before all had what they missed")
			}
			if bytes > steadyBytes+moreBytes || count > steadyCount+moreCount {
				t.Errorf("a storm: at most %.1f kB and %.0f datagrams were allowed", (steadyBytes+moreBytes)/1e3, steadyCount+moreCount)
			}
		}
		bytes, _ := minute(func() {})
		if bytes > 2*steadyBytes {
			t.Errorf("%.1f kB a minute of each once all are awake again", bytes/1e3)
		}
	})
}
