package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/base"
)

// How large a world TestScale plays, and what it writes of it.
var (
	scaleDevices = flag.Int("scale", 60, "devices of TestScale")
	scaleText    = flag.Int("scale-text", 400, "bytes that the user of each says")
	scaleHour    = flag.Duration("scale-for", 15*time.Minute, "virtual time")
	scaleSpeak   = flag.Int("scale-speak", 1, "of so many devices one has a user who says anything")
	scaleBase    = flag.String("scale-base", "tiny", "tiny or pocket")
	scaleProfile = flag.String("scale-profile", "", "where its profile of the heap goes")
)

// crowd is a world of many devices, of which thirty each speak of one thing, and none holds more than it has use for.
func crowd(devices, text int, talk time.Duration) Options {
	o := Options{
		Base: base.Tiny(),
		Learning: learning.Config{
			Sections: 2, Neurons: 4, Rehearse: 1, Recent: 128, Reservoir: 8, Fast: -1,
		},
		Talk: talk, Updates: 1, Degree: 6, CheckEvery: 1 << 20,
	}
	o.Exchange.Interval, o.Exchange.MaxLive, o.Exchange.Versions = time.Minute, 8, 3
	o.Links = Links{MinDelay: 50 * time.Millisecond, MaxDelay: 250 * time.Millisecond}
	if *scaleBase == "pocket" {
		o.Base = base.Pocket()
	}
	for i := range devices {
		d := Device{Name: fmt.Sprintf("d%d", i), Skill: fmt.Sprintf("s%d", i/30)}
		if i%*scaleSpeak == 0 {
			d.Stream = lines(uint64(i/30), text+i%30)[i%30:]
		}
		o.Devices = append(o.Devices, d)
	}
	return o
}

// A world of many devices fits a machine: what each takes of it does not grow with the world.
func TestScale(t *testing.T) {
	heap := func() uint64 {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	o := crowd(*scaleDevices, *scaleText, *scaleHour*3/4)
	began := time.Now()
	o.Progress = func(at time.Duration) error {
		if testing.Verbose() && time.Since(began) > 20*time.Second {
			began = time.Now()
			fmt.Printf("at %v\n", at)
		}
		return nil
	}
	w, err := New(1, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(*scaleHour); err != nil {
		t.Fatal(err)
	}
	each := float64(heap()-before) / float64(*scaleDevices)
	learnt, said, folds, skills := uint64(0), 0, 0, 0
	for _, d := range w.devices {
		said += len(d.opt.Stream)
		learnt += d.node.Learner().Events()
		skills += len(d.node.Learner().Skills())
		folds += len(d.saw.folds)
	}
	n := float64(*scaleDevices)
	t.Logf("%d devices, %v: %.0f kB each, %d events, %.0f bytes learnt, %.1f skills and %.1f folds each, %.1f kB sent each",
		*scaleDevices, *scaleHour, each/1000, w.Events(), float64(learnt)/n, float64(skills)/n, float64(folds)/n, float64(w.Sent())/n/1000)
	if each > 800_000 {
		t.Errorf("%.0f kB a device", each/1000)
	}
	if int(learnt) != said || float64(folds) < 2*n/float64(*scaleSpeak) {
		t.Errorf("%d bytes of %d were learnt, and %d updates tried", learnt, said, folds)
	}
	if *scaleProfile != "" {
		f, err := os.Create(*scaleProfile)
		if err != nil {
			t.Fatal(err)
		}
		if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	runtime.KeepAlive(w)
}
