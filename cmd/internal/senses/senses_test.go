package senses

import (
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
)

// Every kind has rows of one width, between −1 and 1, that differ from one another.
func TestEncode(t *testing.T) {
	for _, set := range []*dataset.Set{dataset.Strokes(4, 1), dataset.Tones(1, 1, 1), dataset.Motions(1, 1, 1)} {
		width, x, err := Encode(set)
		if err != nil || width < 10 || len(x) != width*len(set.Items) {
			t.Fatalf("%s: width %d, %d numbers of %d examples: %v", set.Arg, width, len(x), len(set.Items), err)
		}
		differ := 0
		for i, v := range x {
			if !(v >= -1 && v <= 1) {
				t.Fatalf("%s: feature %d is %v", set.Arg, i, v)
			}
			if i >= width && v != x[i-width] {
				differ++
			}
		}
		if differ < len(x)/10 {
			t.Errorf("%s: rows differ in %d of %d features", set.Arg, differ, len(x))
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	small, narrow, unknown := *dataset.Strokes(1, 1), *dataset.Motions(1, 1, 1), *dataset.Strokes(1, 1)
	small.Shape, narrow.Shape, unknown.Kind = []int{7, 28}, []int{100, 3}, "smells"
	for _, set := range []*dataset.Set{&small, &narrow, &unknown} {
		if _, _, err := Encode(set); err == nil {
			t.Errorf("%s of the shape %v is encoded", set.Kind, set.Shape)
		}
	}
}
