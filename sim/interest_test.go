package sim

import (
	"testing"

	"github.com/yanmesh/yan/protocol"
)

// With room for a few, every device holds a few, hears of few, and all laws hold in the worst of weathers.
func TestRoomForAFew(t *testing.T) {
	bodies := func(devices, room int) float64 {
		o := storm(light(devices))
		o.Exchange.MaxLive = room
		o.Learning.Recent, o.Learning.Reservoir = 64, 8
		for i := range o.Devices {
			o.Devices[i].Stream = lines(uint64(i), 400)
		}
		w, _, err := play(t, 1, o, sabotage{})
		if err != nil {
			t.Fatal(err)
		}
		chose := 0
		for _, d := range w.devices {
			c := d.node.Conversation()
			if n := len(c.Held()); n > room {
				t.Errorf("%s holds %d", d.opt.Name, n)
			}
			if c.Chose() {
				chose++
			}
		}
		if chose < devices/2 {
			t.Errorf("%d of %d devices had no room for something", chose, devices)
		}
		return float64(w.Traffic(protocol.KindUpdate).Messages) / float64(devices)
	}
	few, many := bodies(8, 4), bodies(16, 4)
	t.Logf("bodies a device: %.1f of 8 devices, %.1f of 16", few, many)
	if many > 1.5*few {
		t.Errorf("of twice the devices each sends %.1f bodies for %.1f", many, few)
	}
}
