//go:build !purego

package kernel

import "testing"

// eachLevel runs f at every level that this processor has.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	was := level
	defer func() { level = was }()
	for level = levelGo; level <= best(); level++ {
		t.Run(Level(), f)
	}
}

func TestLevelCanBeLoweredButNotRaised(t *testing.T) {
	for _, c := range []struct {
		env  string
		want int
	}{
		{"", best()},
		{"go", levelGo},
		{"avx2", min(levelAVX2, best())},
		{"avx512", best()},
		{"sse9", best()},
	} {
		t.Setenv("YAN_KERNEL", c.env)
		if got := detect(); got != c.want {
			t.Errorf("YAN_KERNEL=%q: level %s, want %s", c.env, levelNames[got], levelNames[c.want])
		}
	}
}
