//go:build (!amd64 && !arm64) || purego

package kernel

import "testing"

// eachLevel runs f at the only level there is.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Run(Level(), f)
}
