package track

import (
	"math"
	"reflect"
	"testing"
)

func road(t testing.TB, seed uint64) *Road {
	t.Helper()
	r, err := NewRoad(seed, 800)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whoever learns from the expert learns from one who arrives.
func TestExpertArrives(t *testing.T) {
	var junctions, obstacles, despite, tooMuch int
	for seed := range uint64(20) {
		r := road(t, seed)
		junctions += len(r.Junctions)
		obstacles += len(r.Obstacles)
		if trip := Drive(r, &Expert{}); trip.End != Arrived {
			t.Errorf("road %d: %v after %.0f of %.0f m", seed, trip.End, trip.Distance, r.Length())
		}
		if Drive(r, &Expert{Disturb: 0.1}).End == Arrived {
			despite++
		}
		if Drive(r, &Expert{Disturb: 0.5}).End == Arrived {
			tooMuch++
		}
	}
	if despite < 15 || tooMuch > 5 {
		t.Errorf("with the wheel pulled out of its hands it arrives on %d roads of 20, and where that is too strong on %d", despite, tooMuch)
	}
	if junctions < 20 || obstacles < 40 {
		t.Errorf("%d junctions and %d obstacles on 20 roads: too easy", junctions, obstacles)
	}
}

// Those who do not look get nowhere: what is measured is driving.
func TestBlindDriversDoNot(t *testing.T) {
	blind := map[string]Driver{
		"straight on":   DriverFunc(func(*Sense) Control { return Control{} }),
		"full throttle": DriverFunc(func(*Sense) Control { return Control{Throttle: 1} }),
		"not a number":  DriverFunc(func(*Sense) Control { return Control{math.NaN(), math.NaN()} }),
		"standing":      DriverFunc(func(*Sense) Control { return Control{Throttle: -1} }),
	}
	for name, d := range blind {
		var share float64
		for seed := range uint64(20) {
			r := road(t, seed)
			share += Drive(r, d).Distance / r.Length() / 20
		}
		if share > 0.12 {
			t.Errorf("%s: %.0f %% of the way", name, 100*share)
		}
	}
	r := road(t, 1)
	if trip := Drive(r, blind["standing"]); trip.End != Stood {
		t.Errorf("one that brakes for ever: %v", trip.End)
	}
}

// Equal seeds give equal roads and drives, others do not.
func TestDeterministic(t *testing.T) {
	a, b, c := road(t, 7), road(t, 7), road(t, 8)
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a.Route, c.Route) {
		t.Error("roads are not their seeds'")
	}
	if !reflect.DeepEqual(Drive(a, &Expert{}), Drive(b, &Expert{})) {
		t.Error("one road, two drives")
	}
	for _, bad := range []float64{0, -1, 1e9, math.NaN()} {
		if _, err := NewRoad(1, bad); err == nil {
			t.Errorf("a road of %v m", bad)
		}
	}
}

// The sensors agree with the road: on a straight the edges are where they should be, the picture has the line in the middle and
// grass at its sides, and what stands ahead shortens the ray to it.
func TestSense(t *testing.T) {
	r := &Road{}
	for i := range 200 {
		r.Route = append(r.Route, Point{float64(i), 0})
		r.headings = append(r.headings, 0)
	}
	r.index()
	r.Junctions = []Junction{{At: 60, Turn: Left}}
	car := &Car{At: Point{20, 1}, Speed: maxSpeed}
	s := r.sense(car, 20)
	if s.Ranges[0] < 4.9 || s.Ranges[0] > 5.1 || s.Ranges[Ranges-1] < 2.9 || s.Ranges[Ranges-1] > 3.1 || s.Ranges[Ranges/2] != MaxRange {
		t.Errorf("ranges %.2f", s.Ranges)
	}
	if s.Turn != Straight || s.Ahead != 0 {
		t.Errorf("40 m before a junction: %v, %v", s.Turn, s.Ahead)
	}
	if s := r.sense(car, 45); s.Turn != Left || s.Ahead != 0.5 {
		t.Errorf("15 m before a junction: %v, %v", s.Turn, s.Ahead)
	}
	if near := s.Camera[CameraHeight-4]; near[0] != brightness[tar] || near[CameraWidth-1] != brightness[tar] {
		t.Errorf("a near row of the picture: %v", near)
	}
	near := s.Camera[CameraHeight/4]
	if near[0] != brightness[grass] || near[CameraWidth/2] == brightness[grass] {
		t.Errorf("a row of the picture: %v", near)
	}
	r.Obstacles = []Obstacle{{Centre: Point{30, 1}, Radius: 1}}
	if s := r.sense(car, 20); math.Abs(s.Ranges[Ranges/2]-9) > 0.1 {
		t.Errorf("to a thing 9 m ahead: %.2f", s.Ranges[Ranges/2])
	}
	for _, camera := range []bool{false, true} {
		want := Width
		if camera {
			want = WidthCamera
		}
		v := s.Vector(nil, camera)
		if len(v) != want {
			t.Errorf("%d numbers, want %d", len(v), want)
		}
		for i, x := range v {
			if !(x >= -1 && x <= 1) {
				t.Errorf("number %d is %v", i, x)
			}
		}
	}
}

// A car that is driven too hard into a bend slips outwards.
func TestSlip(t *testing.T) {
	radius := func(speed float64) float64 {
		c := &Car{Speed: speed, steer: 0.2}
		before := c.Heading
		for range 5 {
			c.move(Control{Steer: 0.2 / maxSteer, Throttle: drag * speed / power})
		}
		return speed * 5 * tick / (c.Heading - before)
	}
	if slow, fast := radius(3), radius(14); fast < 1.5*slow {
		t.Errorf("a bend of %.1f m at 3 m/s is one of %.1f m at 14 m/s", slow, fast)
	}
}

// Every way to end is seen as what it is.
func TestEnds(t *testing.T) {
	r := &Road{}
	for i := range 100 {
		r.Route = append(r.Route, Point{float64(i), 0})
		r.headings = append(r.headings, 0)
	}
	r.Sides = [][]Point{side(Point{30, 0}, math.Pi/2)}
	r.index()
	steer := func(u float64) Driver {
		return DriverFunc(func(*Sense) Control { return Control{Steer: u, Throttle: 0.2} })
	}
	if trip := Drive(r, steer(0)); trip.End != Arrived || trip.Distance != r.Length() {
		t.Errorf("straight on: %v after %.0f m", trip.End, trip.Distance)
	}
	if trip := Drive(r, steer(-1)); trip.End != LeftRoad {
		t.Errorf("to the right: %v", trip.End)
	}
	along := 30.0
	if end, ok := r.progress(&Car{At: Point{30, 25}}, &along); ok || end != WrongWay {
		t.Errorf("in the side road: %v", end)
	}
	if _, ok := r.progress(&Car{At: Point{30, 10}}, &along); !ok || along != 30 {
		t.Errorf("at its mouth: along is %v", along)
	}
	r.Obstacles = []Obstacle{{Centre: Point{50, 0}, Radius: 1}}
	if trip := Drive(r, steer(0)); trip.End != Collided || math.Abs(trip.Distance-48) > 2 {
		t.Errorf("into a thing: %v after %.0f m", trip.End, trip.Distance)
	}
}
