package sense

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// walk is n samples of walking, 100 a second, in a device that lies as spin says.
func walk(n int, steps, bounce float64, spin func([3]float64) [3]float64) []float64 {
	var out []float64
	for t := range n {
		p := 2 * math.Pi * steps * float64(t) / 100
		a := spin([3]float64{0.5 * math.Sin(p/2), 0.8 * math.Cos(p), gravity + bounce*math.Sin(p)})
		w := spin([3]float64{0.6 * math.Cos(p/2), 0.2, 0.1 * math.Sin(p/2)})
		out = append(out, a[0], a[1], a[2], w[0], w[1], w[2])
	}
	return out
}

func upright(v [3]float64) [3]float64 { return v }

// askew turns about two axes.
func askew(v [3]float64) [3]float64 {
	s, c := math.Sincos(0.7)
	v[0], v[1] = v[0]*c-v[1]*s, v[0]*s+v[1]*c
	s, c = math.Sincos(-2.1)
	v[1], v[2] = v[1]*c-v[2]*s, v[1]*s+v[2]*c
	return v
}

func motion(window []float64) []float32 {
	m := NewMotion(100)
	f := make([]float32, m.Width())
	m.Encode(f, window)
	return f
}

// How a device lies in its pocket does not count.
func TestMotionAnyPocket(t *testing.T) {
	a, b := motion(walk(100, 2, 3, upright)), motion(walk(100, 2, 3, askew))
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-4 {
			t.Errorf("feature %d: %v upright, %v askew", i, a[i], b[i])
		}
	}
	if d := apart(a, motion(walk(100, 2, 0.2, upright))); d < 0.2 {
		t.Errorf("with hardly a bounce it is only %.2f away", d)
	}
	if slices.Max(a) > 1 || slices.Min(a) < -1 {
		t.Errorf("features from %v to %v", slices.Min(a), slices.Max(a))
	}
}

// Two steps a second show at 2 Hz.
func TestMotionFrequencies(t *testing.T) {
	for steps := 1; steps <= motionFrequencies; steps++ {
		f := motion(walk(100, float64(steps), 3, upright))
		vertical := f[motionWidth-motionSpectra*motionFrequencies:][:motionFrequencies]
		if got := slices.Index(vertical, slices.Max(vertical)) + 1; got != steps {
			t.Errorf("%d steps a second show at %d Hz", steps, got)
		}
	}
}

// Turning about the vertical and tilting have features of their own.
func TestMotionTurnAndTilt(t *testing.T) {
	still := slices.Repeat([]float64{0, 0, gravity, 0, 0, 0}, 100)
	if f := motion(still); slices.Max(f) > 0.01 || slices.Min(f) < -0.01 {
		t.Errorf("lying still has features from %v to %v", slices.Min(f), slices.Max(f))
	}
	const tilt, yaw = motionSignals * motionCells * 2, motionSignals*motionCells*2 + 1
	turning := slices.Repeat([]float64{0, 0, gravity, 0, 0, -1}, 100)
	if f := motion(turning); f[yaw] < 0.3 || f[tilt] > 1e-3 {
		t.Errorf("turning: yaw %v, tilt %v", f[yaw], f[tilt])
	}
	var falling []float64
	for i := range 100 {
		s, c := math.Sincos(float64(i) / 100)
		falling = append(falling, gravity*s, 0, gravity*c, 0, 0, 0)
	}
	if f := motion(falling); f[tilt] < 0.3 || f[yaw] > 1e-3 {
		t.Errorf("tilting: yaw %v, tilt %v", f[yaw], f[tilt])
	}
}

// A stream gives an event each half second, of the second before it.
func TestMotionStream(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var all []float64
	for range 330 * MotionChannels {
		all = append(all, r.NormFloat64()*3)
	}
	m := NewMotion(100)
	var events [][]float32
	for i := 0; i < len(all); i += MotionChannels {
		m.Feel([MotionChannels]float64(all[i:i+MotionChannels]), func(f []float32) { events = append(events, slices.Clone(f)) })
	}
	if len(events) != 5 {
		t.Fatalf("%d events in 3.3 s", len(events))
	}
	for i, e := range events {
		if !slices.Equal(e, motion(all[i*50*MotionChannels:][:100*MotionChannels])) {
			t.Errorf("event %d is not of its second", i)
		}
	}
	m.Reset()
	m.Feel([MotionChannels]float64{}, func([]float32) { t.Error("after a pause one sample is a second") })
	if f := motion(make([]float64, 600)); slices.ContainsFunc(f, func(v float32) bool { return v != v }) {
		t.Errorf("a broken sensor gives %v", f)
	}
}
