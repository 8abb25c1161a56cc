package dataset

import (
	"path/filepath"
	"testing"
)

// The real sets have the shapes that they are documented with.
func TestRealSets(t *testing.T) {
	root, ok := Root()
	if !ok {
		t.Skip("no data folder: set $YAN_DATA to read the real sets as well")
	}
	for _, tt := range []struct {
		arg            string
		items, classes int
		shape          []int
	}{
		{"images:mnist/train-images-idx3-ubyte.gz,mnist/train-labels-idx1-ubyte.gz", 7996, 10, []int{28, 28}},
		{"sensors:har_phone_watch/windows-int16-idx.gz,har_phone_watch/labels-ubyte-idx.gz,har_phone_watch/subjects-ubyte-idx.gz", 3108, 5, []int{100, 6}},
		{"sound:fsdd/recordings", 3000, 10, nil},
	} {
		t.Run(tt.arg[:6], func(t *testing.T) {
			s, err := OpenSet(tt.arg)
			if err != nil {
				t.Skipf("not in %s: %v", filepath.Base(root), err)
			}
			if len(s.Items) != tt.items || len(s.Classes) != tt.classes || len(s.Shape) != len(tt.shape) {
				t.Errorf("%d items of %d classes, shape %v", len(s.Items), len(s.Classes), s.Shape)
			}
		})
	}
}
