package dataset

import "fmt"

// shippedSets are the examples that the project generates, by name. They are made of whole numbers alone, so
// that no machine's floating point shows in them.
var shippedSets = []string{"strokes", "tones", "motions"}

// shippedSet returns what every command takes where there is no data folder, or nil where it has none of that
// name.
func shippedSet(name string) *Set {
	switch name {
	case "strokes":
		return Strokes(1000, 1)
	case "tones":
		return Tones(5, 6, 1)
	case "motions":
		return Motions(8, 12, 1)
	}
	return nil
}

// turnUnit is a whole turn of phase; waveUnit is the amplitude of a wave.
const (
	turnUnit = 1 << 16
	waveUnit = 1 << 12
)

// wave is the sine of a phase in 1/turnUnit turns, times waveUnit, to about a part in a thousand: the cubic
// and quintic that meet it at 0 and at a quarter.
func wave(phase int) int {
	p := phase & (turnUnit - 1)
	sign := 1
	if p >= turnUnit/2 {
		p, sign = p-turnUnit/2, -1
	}
	if p > turnUnit/4 {
		p = turnUnit/2 - p
	}
	const one = turnUnit / 4
	z2 := p * p / one // z² in 1/one, z = p/one in 0…1
	// sin(πz/2) ≈ z·(1.5704 − z²·(0.6427 − 0.0723·z²))
	inner := 10530 - 1184*z2/one
	return sign * p * (25729 - z2*inner/one) / one * waveUnit / one
}

// strokeDigits are the digits as lines from point to point, in a box of 20 by 28.
var strokeDigits = [10][][][2]int{
	{{{10, 2}, {5, 4}, {3, 10}, {3, 18}, {5, 24}, {10, 26}, {15, 24}, {17, 18}, {17, 10}, {15, 4}, {10, 2}}},
	{{{6, 6}, {11, 2}, {11, 26}}},
	{{{3, 8}, {5, 4}, {10, 2}, {15, 4}, {16, 9}, {13, 15}, {3, 26}, {17, 26}}},
	{{{4, 4}, {10, 2}, {15, 5}, {15, 10}, {9, 13}, {15, 16}, {16, 21}, {11, 26}, {3, 24}}},
	{{{13, 26}, {13, 2}, {3, 18}, {17, 18}}},
	{{{16, 2}, {5, 2}, {4, 12}, {11, 11}, {16, 15}, {16, 21}, {11, 26}, {3, 24}}},
	{{{14, 2}, {7, 8}, {4, 16}, {5, 23}, {10, 26}, {15, 23}, {15, 17}, {10, 14}, {5, 17}}},
	{{{3, 2}, {17, 2}, {8, 26}}},
	{{{10, 13}, {5, 9}, {6, 4}, {10, 2}, {14, 4}, {15, 9}, {10, 13}, {4, 18}, {5, 24}, {10, 26}, {15, 24}, {16, 18}, {10, 13}}},
	{{{15, 10}, {10, 13}, {5, 10}, {5, 5}, {10, 2}, {15, 5}, {15, 10}, {14, 18}, {9, 26}}},
}

// Strokes draws n digits of 28 by 28 grey pixels, each class as often as the others, with a hand that is never the
// same: another slant, size, place and pen each time, and points that miss their mark.
func Strokes(n int, seed uint64) *Set {
	s := &Set{Arg: "shipped:strokes", Kind: Images, Note: "digits that the project draws", Shape: []int{28, 28}}
	for d := range 10 {
		s.Classes = append(s.Classes, fmt.Sprint(d))
	}
	c := newChance(seed, "strokes")
	for range n {
		d := c.below(10)
		s.Items = append(s.Items, Example{Label: d, Pixels: draw(c, strokeDigits[d])})
	}
	return s
}

// draw draws lines. Coordinates are in 1/64 pixels.
func draw(c *chance, lines [][][2]int) []byte {
	const px = 64
	wide, high := c.between(40, 58), c.between(40, 56) // of a point's coordinate, in 1/64 pixels
	slant := c.between(-18, 18)                        // rightwards for each coordinate upwards
	dx, dy := c.between(-px, px), c.between(-px, px)
	pen := c.between(px*7/8, px*7/4)
	place := func(p [2]int) (x, y int) {
		u, v := (p[0]-10)*px+c.between(-px, px), (p[1]-14)*px+c.between(-px, px)
		return 14*px + (u*wide-v*slant)/px + dx, 14*px + v*high/px + dy
	}
	out := make([]byte, 28*28)
	for _, line := range lines {
		x0, y0 := place(line[0])
		for _, p := range line[1:] {
			x1, y1 := place(p)
			for i := range out {
				far := distance2(i%28*px+px/2, i/28*px+px/2, x0, y0, x1, y1)
				if far < (pen+px/2)*(pen+px/2) {
					ink := min((pen+px/2-root(far))*255/px, 255)
					out[i] = max(out[i], byte(ink))
				}
			}
			x0, y0 = x1, y1
		}
	}
	return out
}

// distance2 is the square of how far a point is from a line between two others.
func distance2(x, y, x0, y0, x1, y1 int) int {
	ux, uy := int64(x1-x0), int64(y1-y0)
	vx, vy := int64(x-x0), int64(y-y0)
	whole := ux*ux + uy*uy
	along := min(max(ux*vx+uy*vy, 0), whole)
	if whole > 0 {
		vx, vy = vx-ux*along/whole, vy-uy*along/whole
	}
	return int(vx*vx + vy*vy)
}

// root is the whole part of the square root.
func root(n int) int {
	r := 0
	for bit := 1 << 30; bit > 0; bit >>= 1 {
		if t := r + bit; t <= n/max(t, 1) {
			r = t
		}
	}
	return r
}

// A phone is a part of a spoken word: two tones that glide, in Hz, hiss, and how long it is in ms.
type phone struct{ low, high, lowTo, highTo, hiss, ms int }

// toneDigits are the digits as phones.
var toneDigits = [10][]phone{
	{{300, 2600, 400, 2000, 60, 90}, {400, 1900, 450, 1300, 0, 120}, {450, 900, 400, 800, 0, 160}},
	{{350, 700, 700, 1200, 0, 120}, {700, 1200, 300, 1500, 0, 140}, {280, 1500, 280, 1500, 5, 70}},
	{{500, 3000, 500, 3000, 70, 70}, {320, 900, 330, 850, 0, 220}},
	{{400, 2500, 400, 2500, 50, 100}, {450, 1300, 350, 1600, 5, 60}, {300, 2300, 280, 2400, 0, 180}},
	{{350, 1200, 350, 1200, 60, 110}, {550, 850, 600, 900, 0, 150}, {550, 1100, 480, 1350, 0, 80}},
	{{350, 1400, 350, 1400, 60, 100}, {750, 1250, 400, 2100, 0, 220}, {300, 1300, 300, 1300, 40, 60}},
	{{600, 3400, 600, 3400, 90, 130}, {400, 2000, 420, 1950, 0, 90}, {200, 300, 600, 3300, 80, 150}},
	{{600, 3300, 600, 3300, 90, 110}, {530, 1800, 550, 1750, 0, 90}, {400, 1200, 450, 1400, 15, 60}, {450, 1500, 280, 1500, 0, 110}},
	{{420, 2300, 350, 2500, 0, 200}, {200, 300, 300, 3000, 50, 50}},
	{{280, 1500, 300, 1400, 0, 80}, {700, 1200, 400, 2100, 0, 190}, {280, 1500, 280, 1500, 5, 100}},
}

// Tones speaks every digit takes times in each of some voices, at 8,000 samples a second. Voices differ in
// pitch, colour and pace, and no two takes are the same.
func Tones(takes, voices int, seed uint64) *Set {
	s := &Set{Arg: "shipped:tones", Kind: Sound, Note: "digits that the project speaks", Rate: 8000}
	for d := range 10 {
		s.Classes = append(s.Classes, fmt.Sprint(d))
	}
	for d := range 10 {
		for v := range voices {
			voice := newChance(seed, fmt.Sprint("voice ", v))
			colour, pitch, pace := voice.between(88, 114), voice.between(90, 230), voice.between(80, 125)
			for take := range takes {
				c := newChance(seed, fmt.Sprint("tone ", d, v, take))
				s.Items = append(s.Items, Example{Label: d, Who: fmt.Sprintf("voice%d", v), Take: take,
					Samples: speak(c, toneDigits[d], colour+c.between(-3, 3), pitch+c.between(-10, 10), pace+c.between(-8, 8))})
			}
		}
	}
	return s
}

// speak says phones. colour and pace are percentages, pitch is in Hz.
func speak(c *chance, phones []phone, colour, pitch, pace int) []int16 {
	const rate = 8000
	var out []int16
	var low, high, beat int // phases
	loud := c.between(1500, 5000)
	for _, p := range phones {
		n := rate * p.ms * pace / 100 / 1000
		for t := range n {
			glide := func(from, to int) int { return (from + (to-from)*t/n) * colour / 100 }
			low += glide(p.low, p.lowTo) * turnUnit / rate
			high += glide(p.high, p.highTo) * turnUnit / rate
			beat += pitch * turnUnit / rate
			voiced := (wave(low)*2 + wave(high)) * (waveUnit + wave(beat)) / waveUnit / 3
			hiss := c.between(-waveUnit, waveUnit)
			v := (voiced*(100-p.hiss) + hiss*p.hiss) / 100
			edge := min(t, n-1-t, rate/200) * 200 // fade in and out over 5 ms
			out = append(out, int16(v*loud/waveUnit*edge/rate+c.between(-20, 20)))
		}
	}
	return out
}

// Motions feels people sit, sit down, stand up, turn and walk: windows of a second at 100 Hz, of an accelerometer in
// 2 mm/s² and a gyroscope in mrad/s. Each person has a gait, and a pocket in which the device lies its own way.
func Motions(people, each int, seed uint64) *Set {
	s := &Set{Arg: "shipped:motions", Kind: Sensors, Note: "what the project's sensors feel",
		Classes: []string{"SEATED", "SITTING_DOWN", "STANDING_UP", "TURNING", "WALKING"}, Shape: []int{100, 6}}
	for p := range people {
		who := newChance(seed, fmt.Sprint("walker ", p))
		gait := gait{
			pace: who.between(150, 220), bounce: who.between(700, 1400), sway: who.between(300, 900),
			around: who.below(turnUnit), over: who.below(turnUnit), rise: who.between(160, 240),
		}
		for k := range each * len(s.Classes) {
			c := newChance(seed, fmt.Sprint("motion ", p, k))
			class := k % len(s.Classes)
			s.Items = append(s.Items, Example{Label: class, Who: fmt.Sprint(p + 1), Samples: gait.move(c, class)})
		}
	}
	return s
}

// A gait is how one person moves and how their device lies.
type gait struct {
	pace         int // steps in 100 s
	bounce, sway int // in 2 mm/s²
	around, over int // phases by which the device is turned in the pocket
	rise         int // how far the thigh turns in sitting down, in 1/1000 turns
}

// move returns one window of a class, in the order of Motions' classes.
func (g gait) move(c *chance, class int) []int16 {
	const oneG = 4905
	step, tilt, yaw := c.below(turnUnit), 0, c.pickSign()*c.between(1000, 2200)
	start := c.between(-20, 15) // when sitting down or standing up begins
	out := make([]int16, 0, 100*6)
	for t := range 100 {
		step += g.pace * turnUnit / 10000
		up, ahead, aside := oneG, 0, 0
		var turnUp, turnAside int
		quarter := g.rise * turnUnit / 1000
		done := min(max(t-start, 0), 90) // of 90
		switch class {
		case 0:
			tilt = quarter
		case 1, 2:
			tilt = quarter * done / 90
			turnAside = 2000
			up += g.bounce * wave(done*turnUnit/90) / waveUnit
			if class == 2 {
				tilt, turnAside = quarter-tilt, -turnAside
			}
			if done == 0 || done == 90 {
				turnAside = 0
			}
		case 3, 4:
			up += g.bounce * wave(2*step) / waveUnit
			ahead = g.sway * wave(2*step+turnUnit/5) / waveUnit
			aside = g.sway * wave(step) / waveUnit
			turnAside = 1200 * wave(step+turnUnit/7) / waveUnit
			if class == 3 {
				turnUp = yaw
			}
		}
		// The thigh tilts about the axis aside, then the device lies in its pocket its own way.
		v := [6]int{ahead, aside, up, 0, turnAside, turnUp}
		v[0], v[2] = spin(v[0], v[2], tilt)
		v[3], v[5] = spin(v[3], v[5], tilt)
		for _, at := range [2]int{0, 3} {
			v[at], v[at+1] = spin(v[at], v[at+1], g.around)
			v[at+1], v[at+2] = spin(v[at+1], v[at+2], g.over)
		}
		for _, x := range v {
			out = append(out, int16(x+c.between(-60, 60)))
		}
	}
	return out
}

// spin turns a pair by a phase.
func spin(x, y, phase int) (int, int) {
	s, c := wave(phase), wave(phase+turnUnit/4)
	return (x*c - y*s) / waveUnit, (x*s + y*c) / waveUnit
}

// pickSign returns −1 or 1.
func (c *chance) pickSign() int { return 2*c.below(2) - 1 }
