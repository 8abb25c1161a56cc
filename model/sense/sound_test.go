package sense

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"testing"
)

// tone is a sine of so many Hz, n samples at 8,000 a second.
func tone(hz float64, n int, loud float64) []int16 {
	s := make([]int16, n)
	for i := range s {
		s[i] = int16(loud * math.Sin(2*math.Pi*hz*float64(i)/8000))
	}
	return s
}

// word glides from one pitch to another, between two pauses.
func word(from, to float64, n, pause int, loud float64) []int16 {
	s := make([]int16, pause, n+2*pause)
	var phase float64
	for i := range n {
		phase += 2 * math.Pi * (from + (to-from)*float64(i)/float64(n)) / 8000
		s = append(s, int16(loud*math.Sin(phase)))
	}
	s = append(s, make([]int16, pause)...)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range s {
		s[i] += int16(r.IntN(9) - 4)
	}
	return s
}

func hear(samples []int16) (frames [][]float32) {
	NewSound(8000).Hear(samples, func(f []float32) { frames = append(frames, slices.Clone(f)) })
	return frames
}

func TestFourier(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	for _, n := range []int{1, 2, 4, 8, 64} {
		var x, turn, want []complex128
		for k := range n {
			x = append(x, complex(r.NormFloat64(), r.NormFloat64()))
			if k < n/2 {
				turn = append(turn, cmplx.Rect(1, -2*math.Pi*float64(k)/float64(n)))
			}
		}
		for k := range n {
			var s complex128
			for i, v := range x {
				s += v * cmplx.Rect(1, -2*math.Pi*float64(k*i)/float64(n))
			}
			want = append(want, s)
		}
		fourier(x, turn)
		for k := range n {
			if cmplx.Abs(x[k]-want[k]) > 1e-12*float64(n) {
				t.Fatalf("of %d, number %d is %v, want %v", n, k, x[k], want[k])
			}
		}
	}
}

// A frame every 10 ms, as soon as 25 ms are there, however the samples come.
func TestSoundFrames(t *testing.T) {
	samples := word(400, 2000, 4000, 100, 9000)
	whole := hear(samples)
	if want := (len(samples)-200)/80 + 1; len(whole) != want {
		t.Fatalf("%d frames, want %d", len(whole), want)
	}
	s := NewSound(8000)
	for range 2 { // after a reset, as at first
		var frames [][]float32
		for rest, n := samples, 1; len(rest) > 0; n = n*3%171 + 1 {
			k := min(n, len(rest))
			s.Hear(rest[:k], func(f []float32) { frames = append(frames, slices.Clone(f)) })
			rest = rest[k:]
		}
		if !slices.EqualFunc(frames, whole, slices.Equal) {
			t.Fatal("in pieces, it sounds different")
		}
		s.Reset()
	}
}

// A pure tone is loudest in the band that it is in, and higher tones in higher bands.
func TestSoundBands(t *testing.T) {
	last := -1
	for _, hz := range []float64{200, 350, 600, 1000, 1700, 2500, 3500} {
		f := hear(tone(hz, 1000, 10000))[5]
		loudest := slices.Index(f, slices.Max(f))
		if loudest <= last {
			t.Errorf("%v Hz is loudest in band %d, a lower tone in %d", hz, loudest, last)
		}
		last = loudest
	}
	for b, v := range hear(make([]int16, 1000))[3] {
		if math.Abs(float64(v)-math.Log(silence)) > 1e-4 {
			t.Errorf("in silence, band %d has %v", b, v)
		}
	}
	for _, rate := range []int{1000, 4000, 16000, 44100} { // any rate gives frames without a hole
		s := NewSound(rate)
		s.Hear(tone(440, rate/10, 10000), func(f []float32) {
			if slices.ContainsFunc(f, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }) {
				t.Fatalf("at %d a second a frame is %v", rate, f)
			}
		})
	}
}

func utter(samples []int16) []float32 {
	u := NewUtterance()
	NewSound(8000).Hear(samples, u.Add)
	f := make([]float32, u.Width())
	u.Encode(f)
	return f
}

// apart is how far two encodings are from one another, as a share of the first one's length.
func apart(a, b []float32) float64 {
	var far, long float64
	for i := range a {
		far += float64(a[i]-b[i]) * float64(a[i]-b[i])
		long += float64(a[i]) * float64(a[i])
	}
	return math.Sqrt(far / long)
}

// How loud a word is, how slowly it is said and how long one is silent before it matters little; which word it is
// matters much.
func TestUtteranceIsTheWord(t *testing.T) {
	one := utter(word(300, 2500, 4000, 800, 6000))
	for _, tt := range []struct {
		what    string
		samples []int16
		most    float64
	}{
		{"softer", word(300, 2500, 4000, 800, 3000), 0.25},
		{"slower", word(300, 2500, 6000, 800, 6000), 0.25},
		{"after a pause", word(300, 2500, 4000, 4000, 6000), 0.25},
	} {
		if d := apart(one, utter(tt.samples)); d > tt.most {
			t.Errorf("%s, it is %.2f away", tt.what, d)
		}
	}
	if d := apart(one, utter(word(2500, 300, 4000, 800, 6000))); d < 0.6 {
		t.Errorf("another word is only %.2f away", d)
	}
}

// What an utterance keeps is bounded, however long one speaks, and silence is no word.
func TestUtteranceBounds(t *testing.T) {
	u := NewUtterance()
	f := make([]float32, u.Width())
	u.Encode(f)
	if slices.Max(f) != 0 {
		t.Error("what was not heard has features")
	}
	s := NewSound(8000)
	long := word(300, 2500, 30*8000, 800, 6000)
	s.Hear(long, u.Add)
	if len(u.frames) >= utteranceFrames || u.span != 4 {
		t.Errorf("after 30 s it keeps %d frames of %d", len(u.frames), u.span)
	}
	u.Encode(f)
	if d := apart(utter(word(300, 2500, 4000, 800, 6000)), f); d > 0.25 {
		t.Errorf("said over half a minute, a word is %.2f away", d)
	}
	u.Reset()
	s.Reset()
	s.Hear(make([]int16, 4000), u.Add)
	u.Encode(f)
	for _, v := range f {
		if math.IsNaN(float64(v)) || v > 1 || v < -1 {
			t.Fatalf("silence has the feature %v", v)
		}
	}
	u.Reset()
	s.Hear(slices.Repeat([]int16{math.MaxInt16, math.MinInt16}, 3000), u.Add)
	u.Encode(f)
	if slices.Max(f) > 1 || slices.Min(f) < -1 {
		t.Errorf("noise has features from %v to %v", slices.Min(f), slices.Max(f))
	}
}
