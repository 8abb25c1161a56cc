//go:build !purego

package kernel

import "testing"

// eachLevel runs f in NEON and in plain Go.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	was := level
	defer func() { level = was }()
	for level = range levelNames {
		t.Run(Level(), f)
	}
}

func TestLevelCanBeLoweredByName(t *testing.T) {
	for env, want := range map[string]int{"": levelNeon, "go": levelGo, "neon": levelNeon, "avx2": levelNeon} {
		t.Setenv("YAN_KERNEL", env)
		if got := detect(); got != want {
			t.Errorf("YAN_KERNEL=%q: level %s, want %s", env, levelNames[got], levelNames[want])
		}
	}
}
