//go:build !linux

package kernel

import "time"

// threadTime is how long the calling thread has been running on a processor, or 0 where nobody counts it.
func threadTime() time.Duration { return 0 }
