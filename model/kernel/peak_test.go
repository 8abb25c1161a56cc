package kernel

import "testing"

func TestPeaksCountWhatTheyDo(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		if one, ten := Burn(1), Burn(10); one < 16 || ten != 10*one || Burn(0) != 0 || Burn(-1) != 0 {
			t.Errorf("one turn has %d operations, ten have %d", one, ten)
		}
		f := newFence(t, 300000)
		for _, n := range []int{0, 1, 511, 512, 1300, 300000, 299999} {
			if got := Sweep(f.floats(n)); got != n/512*2048 {
				t.Errorf("of %d floats %d bytes were read", n, got)
			}
			f.reset()
		}
	})
}
