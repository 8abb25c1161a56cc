package sense

import "math"

// An Utterance collects the frames of one stretch of sound and encodes them as a picture of it, always of the
// same size, however long it took: time goes down, pitch to the right. The quiet at both ends is cut
// off, loudness does not count, and of what is the same all through, as a voice's colour and a
// microphone's, half is taken away.
//
// What it keeps is bounded: when there are too many frames, neighbours are averaged. It is not safe for
// concurrent use.
type Utterance struct {
	frames [][Bands]float64 // powers, each the mean of span frames
	span   int
	sum    [Bands]float64 // of the frames that have begun a new one
	count  int

	picture *Picture
	pixels  []byte
}

const (
	utteranceFrames = 1024 // frames kept, at least ten seconds
	utteranceRows   = 28   // stretches of time

	utteranceQuiet = 0.01 // share of the loudest frame's power below which the ends are quiet
	utteranceFloor = 3e-4 // power added to each, relative to the loudest frame
	utteranceKeep  = 0.5  // share that is left of what is the same all through
	greyPerNat     = 20
	greyMean       = 160 // so that what is grey lies about the middle of what there is
	levelPerNat    = 0.1
)

// NewUtterance returns an Utterance without sound.
func NewUtterance() *Utterance {
	return &Utterance{span: 1, picture: NewPicture(utteranceRows, Bands), pixels: make([]byte, utteranceRows*Bands)}
}

// Width is how many features an utterance has: those of the picture's patches, and each patch's level.
func (u *Utterance) Width() int { return u.picture.Patches() * (directions + 1) }

// Reset forgets the sound.
func (u *Utterance) Reset() {
	u.frames, u.span, u.sum, u.count = u.frames[:0], 1, [Bands]float64{}, 0
}

// Add takes in the next frame of a Sound.
func (u *Utterance) Add(frame []float32) {
	for b, v := range frame[:Bands] {
		u.sum[b] += math.Exp(float64(v))
	}
	if u.count++; u.count < u.span {
		return
	}
	for b := range u.sum {
		u.sum[b] /= float64(u.span)
	}
	u.frames = append(u.frames, u.sum)
	u.sum, u.count = [Bands]float64{}, 0
	if len(u.frames) == utteranceFrames {
		u.halve()
	}
}

// halve averages neighbours.
func (u *Utterance) halve() {
	half := u.frames[:0]
	for i := 0; i+1 < len(u.frames); i += 2 {
		a, b := u.frames[i], u.frames[i+1]
		for k := range a {
			a[k] = (a[k] + b[k]) / 2
		}
		half = append(half, a)
	}
	u.frames, u.span = half, 2*u.span
}

// Encode writes the features of what was heard, each between −1 and 1, to dst, Width of them. They are zeros if that
// was nothing.
func (u *Utterance) Encode(dst []float32) {
	if len(dst) != u.Width() {
		panic("sense: an utterance has another number of features")
	}
	clear(dst)
	rows := u.rows()
	if rows == nil {
		return
	}
	for t, row := range rows {
		for b, v := range row {
			u.pixels[t*Bands+b] = byte(min(max(math.RoundToEven(greyMean+greyPerNat*v), 0), 255))
		}
	}
	cut := u.picture.Patches() * directions
	u.picture.Encode(dst[:cut], u.pixels)
	u.levels(dst[cut:])
}

// rows returns the logarithm of the power, relative to the loudest frame's mean, in each stretch of time; nil if
// nothing was heard.
func (u *Utterance) rows() [][Bands]float64 {
	if len(u.frames) == 0 {
		return nil
	}
	frames, loudest := trim(u.frames)
	logs := make([][Bands]float64, len(frames))
	var colour [Bands]float64
	for t, f := range frames {
		for b, v := range f {
			logs[t][b] = math.Log(v/loudest + utteranceFloor)
			colour[b] += logs[t][b] / float64(len(frames))
		}
	}
	for t := range logs {
		for b := range colour {
			logs[t][b] -= (1 - utteranceKeep) * colour[b]
		}
	}
	return stretch(logs)
}

// trim cuts the quiet ends off, and says how loud the loudest frame is.
func trim(frames [][Bands]float64) (rest [][Bands]float64, loudest float64) {
	level := make([]float64, len(frames))
	for t, f := range frames {
		for _, v := range f {
			level[t] += v / Bands
		}
		loudest = max(loudest, level[t])
	}
	from, to := 0, len(frames)
	for level[from] < loudest*utteranceQuiet {
		from++
	}
	for level[to-1] < loudest*utteranceQuiet {
		to--
	}
	return frames[from:to], loudest
}

// stretch brings frames to the number of rows, each a mean of what lies near it, weighed by a triangle.
func stretch(frames [][Bands]float64) [][Bands]float64 {
	rows := make([][Bands]float64, utteranceRows)
	wide := max(1, float64(len(frames))/utteranceRows)
	for t := range rows {
		centre := (float64(t) + 0.5) / utteranceRows * float64(len(frames))
		var whole float64
		for i := max(int(centre-wide)-1, 0); i < min(int(centre+wide)+2, len(frames)); i++ {
			w := 1 - math.Abs(float64(i)+0.5-centre)/wide
			if w <= 0 {
				continue
			}
			whole += w
			for b, v := range frames[i] {
				rows[t][b] += w * v
			}
		}
		for b := range rows[t] {
			rows[t][b] /= whole
		}
	}
	return rows
}

// levels writes how loud each patch of the picture is.
func (u *Utterance) levels(dst []float32) {
	for i := range dst {
		top, left := u.picture.corner(i)
		var sum, whole int
		for j, wy := range patchWindow {
			for k, wx := range patchWindow {
				if y, x := top+j, left+k; y >= 0 && y < utteranceRows && x >= 0 && x < Bands {
					sum += int(wy*wx) * int(u.pixels[y*Bands+x])
					whole += int(wy * wx)
				}
			}
		}
		dst[i] = float32(levelPerNat / greyPerNat * (float64(sum)/float64(whole) - greyMean))
	}
}
