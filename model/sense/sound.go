package sense

import "math"

// A Sound encodes a stream of samples as it comes, frame by frame: the natural logarithm of the power in
// bands that are as wide as an ear tells apart (the mel scale), over the last 25 ms, every 10 ms. It
// keeps one window of the past and nothing else. It is not safe for concurrent use.
type Sound struct {
	rate        int
	window, hop int       // samples
	shape       []float64 // the Hamming window
	bands       []band
	past        []float64 // samples not yet done with, sharpened
	last        float64   // the sample before them
	fft         []complex128
	turn        []complex128 // e^(−2πik/n)
	frame       []float32
}

// Bands is how many numbers a frame of sound has.
const Bands = 20

// The band limits, in Hz: what a telephone carries.
const (
	lowestBand  = 100
	highestBand = 3800
)

// silence is the power that is added to each band's, relative to full scale, so that the logarithm has a bottom.
const silence = 1e-9

// A band weighs the bins of a spectrum with a triangle.
type band struct {
	from   int
	weight []float64
}

// NewSound returns an encoder for so many samples a second. Fewer than 1,000 are a bug of the caller.
func NewSound(rate int) *Sound {
	if rate < 1000 {
		panic("sense: fewer than 1,000 samples a second are no sound")
	}
	s := &Sound{rate: rate, window: rate / 40, hop: rate / 100, frame: make([]float32, Bands)}
	for i := range s.window {
		s.shape = append(s.shape, 0.54-0.46*math.Cos(2*math.Pi*float64(i)/float64(s.window-1)))
	}
	n := 1
	for n < s.window {
		n *= 2
	}
	s.fft = make([]complex128, n)
	for k := range n / 2 {
		sin, cos := math.Sincos(-2 * math.Pi * float64(k) / float64(n))
		s.turn = append(s.turn, complex(cos, sin))
	}
	s.bands = melBands(rate, n)
	return s
}

// melBands spreads the bands evenly on the mel scale, m = 1127·ln(1 + f/700) (Stevens, Volkmann and Newman 1937),
// each from its lower neighbour's centre to its upper one's.
func melBands(rate, n int) []band {
	mel := func(f float64) float64 { return 1127 * math.Log1p(f/700) }
	low, high := mel(lowestBand), mel(min(highestBand, 0.475*float64(rate)))
	centre := func(b int) float64 { // in bins
		f := 700 * math.Expm1((low+(high-low)*float64(b)/(Bands+1))/1127)
		return f * float64(n) / float64(rate)
	}
	var bands []band
	for b := range Bands {
		left, mid, right := centre(b), centre(b+1), centre(b+2)
		var t band
		for k := int(left) + 1; k < n/2 && float64(k) < right; k++ {
			w := (right - float64(k)) / (right - mid)
			if float64(k) <= mid {
				w = (float64(k) - left) / (mid - left)
			}
			if t.weight == nil {
				t.from = k
			}
			t.weight = append(t.weight, w)
		}
		bands = append(bands, t)
	}
	return bands
}

// Hear takes samples in and calls frame for each frame that they complete. What frame is given belongs to
// the Sound until it is called again.
func (s *Sound) Hear(samples []int16, frame func([]float32)) {
	for _, v := range samples {
		x := float64(v) / (1 << 15)
		s.past = append(s.past, x-0.97*s.last) // high notes carry less power, and as much meaning
		s.last = x
		if len(s.past) == s.window {
			s.analyse()
			frame(s.frame)
			s.past = s.past[:copy(s.past, s.past[s.hop:])]
		}
	}
}

// Reset forgets the past, as at the beginning of another recording.
func (s *Sound) Reset() { s.past, s.last = s.past[:0], 0 }

// analyse computes the frame of the window that is there.
func (s *Sound) analyse() {
	clear(s.fft)
	for i, v := range s.past {
		s.fft[i] = complex(v*s.shape[i], 0)
	}
	fourier(s.fft, s.turn)
	for b, t := range s.bands {
		power := silence
		for i, w := range t.weight {
			c := s.fft[t.from+i]
			power += w * (real(c)*real(c) + imag(c)*imag(c))
		}
		s.frame[b] = float32(math.Log(power))
	}
}

// fourier transforms x, whose length is a power of two, in place (Cooley and Tukey 1965). turn is e^(−2πik/n)
// for k below n/2.
func fourier(x, turn []complex128) {
	n := len(x)
	for i, j := 1, 0; i < n; i++ { // to the order in which the bits of the index are read backwards
		bit := n / 2
		for ; j&bit != 0; bit /= 2 {
			j ^= bit
		}
		if j |= bit; i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for half := 1; half < n; half *= 2 {
		step := n / (2 * half)
		for at := 0; at < n; at += 2 * half {
			for k := range half {
				a, b := x[at+k], x[at+k+half]*turn[k*step]
				x[at+k], x[at+k+half] = a+b, a-b
			}
		}
	}
}
