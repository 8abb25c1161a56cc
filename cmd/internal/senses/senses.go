// Package senses turns the labelled examples of package dataset into what a head is shown: rows of features, made by the
// encoders of model/sense. The same set gives the same rows on every machine.
package senses

import (
	"fmt"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/model/sense"
)

// Encode returns the features of every example of a set, (len(set.Items), width), each from −1 to 1. Its error is about the set's
// shape: pictures or windows that are too small to be encoded.
func Encode(set *dataset.Set) (width int, x []float32, err error) {
	var features func(dst []float32, e dataset.Example)
	switch set.Kind {
	case dataset.Images, dataset.Frames:
		if set.Shape[0] < 8 || set.Shape[1] < 8 {
			return 0, nil, fmt.Errorf("%s: pictures of %v pixels are too small: 8 by 8 are needed", set.Arg, set.Shape)
		}
		p := sense.NewPicture(set.Shape[0], set.Shape[1])
		width = p.Patches() * p.Width()
		features = func(dst []float32, e dataset.Example) { p.Encode(dst, e.Pixels) }
	case dataset.Sound:
		s, u := sense.NewSound(set.Rate), sense.NewUtterance()
		width = u.Width()
		features = func(dst []float32, e dataset.Example) {
			s.Reset()
			u.Reset()
			s.Hear(e.Samples, u.Add)
			u.Encode(dst)
		}
	case dataset.Sensors:
		if set.Shape[1] != sense.MotionChannels || set.Shape[0] < 25 {
			return 0, nil, fmt.Errorf("%s: windows of %v numbers: a second of accelerometer and gyroscope belongs here, 6 numbers a sample", set.Arg, set.Shape)
		}
		m := sense.NewMotion(set.Shape[0])
		width = m.Width()
		window := make([]float64, set.Shape[0]*set.Shape[1])
		features = func(dst []float32, e dataset.Example) {
			for i, v := range e.Samples {
				window[i] = float64(v) / 1000 // rad/s
				if i%sense.MotionChannels < 3 {
					window[i] *= 2 // m/s²
				}
			}
			m.Encode(dst, window)
		}
	default:
		return 0, nil, fmt.Errorf("%s: %s are not encoded", set.Arg, set.Kind)
	}
	x = make([]float32, len(set.Items)*width)
	for i, e := range set.Items {
		features(x[i*width:(i+1)*width], e)
	}
	return width, x, nil
}
