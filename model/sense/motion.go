package sense

import "math"

// A Motion encodes what an accelerometer and a gyroscope feel, a second at a time. It tells up from gravity, so
// how the device lies in a pocket does not count: what counts is how it moves along and across the
// vertical, how it turns about it, how evenly, and at which frequencies.
//
// It keeps one window of the past. It is not safe for concurrent use.
type Motion struct {
	window    int
	past      []float64 // (samples, channels) of the window that is being filled
	signals   [motionSignals][]float64
	cos, sin  [][]float64 // (frequencies, window)
	out       []float32
	direction [3]float64 // up, in the device's own axes
}

const (
	// MotionChannels is how many numbers a sample has: acceleration along three axes in m/s², and the rates of
	// turning about them in rad/s.
	MotionChannels = 6

	motionSignals     = 6  // what is made of them, see turn
	motionCells       = 5  // stretches of a window
	motionFrequencies = 12 // 1, 2 … Hz
	motionSpectra     = 4  // signals whose spectrum is taken
	motionWidth       = motionSignals*motionCells*2 + 2 + motionSpectra*motionFrequencies

	gravity     = 9.81
	motionScale = 1.0 / 3 // brings roots of up to nine g or rad/s below 1
)

// NewMotion returns an encoder for so many samples a second; fewer than 25 are a bug of the caller.
func NewMotion(rate int) *Motion {
	if rate < 2*motionFrequencies+1 {
		panic("sense: fewer than 25 samples a second do not show how one moves")
	}
	m := &Motion{window: rate, out: make([]float32, motionWidth)}
	for i := range m.signals {
		m.signals[i] = make([]float64, rate)
	}
	for f := 1; f <= motionFrequencies; f++ {
		cos, sin := make([]float64, rate), make([]float64, rate)
		for t := range rate {
			sin[t], cos[t] = math.Sincos(2 * math.Pi * float64(f) * float64(t) / float64(rate))
		}
		m.cos, m.sin = append(m.cos, cos), append(m.sin, sin)
	}
	return m
}

// Window is how many samples a window has: a second of them.
func (m *Motion) Window() int { return m.window }

// Width is how many features a window has.
func (m *Motion) Width() int { return motionWidth }

// Feel takes one sample in and calls event with the features of the last second, twice a second. They belong
// to the Motion until it is called again.
func (m *Motion) Feel(sample [MotionChannels]float64, event func([]float32)) {
	m.past = append(m.past, sample[:]...)
	if len(m.past) < m.window*MotionChannels {
		return
	}
	m.Encode(m.out, m.past)
	event(m.out)
	m.past = m.past[:copy(m.past, m.past[m.window/2*MotionChannels:])]
}

// Reset forgets the past, as after a pause.
func (m *Motion) Reset() { m.past = m.past[:0] }

// Encode writes the features of a window, (Window, MotionChannels), each between −1 and 1, to dst, Width of them.
func (m *Motion) Encode(dst []float32, window []float64) {
	if len(dst) != motionWidth || len(window) != m.window*MotionChannels {
		panic("sense: a window of another size")
	}
	m.findUp(window)
	yaw := m.turn(window)
	at := 0
	put := func(v float64) {
		r := math.Copysign(math.Sqrt(math.Abs(v)), v) // brings weak and strong nearer
		dst[at] = float32(min(max(motionScale*r, -1), 1))
		at++
	}
	for _, x := range m.signals {
		for c := range motionCells {
			level, rough := spread(x[c*m.window/motionCells : (c+1)*m.window/motionCells])
			put(level)
			put(rough)
		}
	}
	put(4 * m.tilt(window))
	put(4 * math.Abs(yaw))
	for _, x := range [motionSpectra][]float64{m.signals[0], m.signals[2], m.signals[3], m.signals[5]} {
		for f := range motionFrequencies {
			put(4 * amplitude(x, m.cos[f], m.sin[f]))
		}
	}
}

// findUp takes the mean acceleration for gravity.
func (m *Motion) findUp(window []float64) {
	g := meanOf(window)
	length := math.Sqrt(g[0]*g[0]+g[1]*g[1]+g[2]*g[2]) + 1e-9
	for i := range g {
		m.direction[i] = g[i] / length
	}
}

// turn computes the signals: acceleration along the vertical, across it and in all, less gravity; turning about
// the vertical, about level axes and in all. It returns the mean rate of turning about the vertical.
func (m *Motion) turn(window []float64) (yaw float64) {
	up := m.direction
	for t := range m.window {
		s := window[t*MotionChannels:][:MotionChannels]
		along := (s[0]*up[0] + s[1]*up[1] + s[2]*up[2]) / gravity
		all := (s[0]*s[0] + s[1]*s[1] + s[2]*s[2]) / (gravity * gravity)
		about := s[3]*up[0] + s[4]*up[1] + s[5]*up[2]
		turning := s[3]*s[3] + s[4]*s[4] + s[5]*s[5]
		m.signals[0][t] = along - 1
		m.signals[1][t] = math.Sqrt(max(all-along*along, 0))
		m.signals[2][t] = math.Sqrt(all) - 1
		m.signals[3][t] = math.Abs(about)
		m.signals[4][t] = math.Sqrt(max(turning-about*about, 0))
		m.signals[5][t] = math.Sqrt(turning)
		yaw += about / float64(m.window)
	}
	return yaw
}

// tilt is how far gravity's direction in the device moved from the first third of the window to the last, in g.
func (m *Motion) tilt(window []float64) float64 {
	third := m.window / 3 * MotionChannels
	a, b := meanOf(window[:third]), meanOf(window[len(window)-third:])
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0])+(a[1]-b[1])*(a[1]-b[1])+(a[2]-b[2])*(a[2]-b[2])) / gravity
}

// meanOf returns the mean acceleration of samples.
func meanOf(samples []float64) (g [3]float64) {
	n := float64(len(samples) / MotionChannels)
	for t := 0; t < len(samples); t += MotionChannels {
		for i := range g {
			g[i] += samples[t+i] / n
		}
	}
	return g
}

// spread returns the mean and the standard deviation.
func spread(x []float64) (mean, deviation float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		deviation += (v - mean) * (v - mean) / float64(len(x))
	}
	return mean, math.Sqrt(deviation)
}

// amplitude is how much of a frequency is in x: half of its amplitude.
func amplitude(x, cos, sin []float64) float64 {
	var re, im float64
	for t, v := range x {
		re += v * cos[t]
		im += v * sin[t]
	}
	return math.Sqrt(re*re+im*im) / float64(len(x))
}
