//go:build unix

package sim

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/protocol"
)

// cpu is how many seconds of a processor this process has used.
func cpu(b *testing.B) float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

// What a device of a crowd holds, hears, sends and thinks, with room for 16 updates and with room for all: everyone has a skill of
// his own name, or everyone one of the same name.
func BenchmarkCrowd(b *testing.B) {
	for _, c := range []struct {
		name           string
		live, versions int
		same           bool
	}{{"own/16", 16, 0, false}, {"same/16", 0, 16, true}, {"own/all", 0, 0, false}} {
		for _, n := range []int{50, 100, 200, 400} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				for b.Loop() {
					o := Options{
						Base:     base.Tiny(),
						Learning: learning.Config{Sections: 2, Neurons: 4, Rehearse: 1, Recent: 256, Reservoir: 32},
						Talk:     20 * time.Minute,
						Updates:  1,
					}
					o.Exchange.MaxLive, o.Exchange.Versions = c.live, c.versions
					for i := range n {
						d := Device{Name: fmt.Sprintf("user-%d", i), Stream: lines(uint64(i), 400)}
						if c.same {
							d.Skill = "talk"
						}
						o.Devices = append(o.Devices, d)
					}
					before := cpu(b)
					w, err := New(1, o)
					if err == nil {
						err = w.Run(30 * time.Minute)
					}
					if err != nil {
						b.Fatal(err)
					}
					held := 0
					for _, d := range w.devices {
						held += len(d.node.Conversation().Held())
					}
					each := func(x float64, unit string) { b.ReportMetric(x/float64(n), unit) }
					each(float64(held), "held/device")
					each(float64(w.Traffic(protocol.KindUpdate).Messages), "bodies/device")
					each(float64(w.Traffic(protocol.KindAnnounce).Messages), "heads/device")
					each(float64(w.Sent())/1e3, "kB/device")
					each(1e3*(cpu(b)-before), "CPU-ms/device")
				}
			})
		}
	}
}
