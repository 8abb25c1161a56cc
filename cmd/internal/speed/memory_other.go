//go:build !linux

package speed

import "runtime"

// resident is how much memory Go holds for the process. What the most was is not known here, and is 0.
func resident() (now, peak int) {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.Sys - s.HeapReleased), 0
}

func forget() {}
