//go:build !unix

package speed

import "time"

const clockName = "wall"

var began = time.Now()

// cpuTime is time on the wall: this system does not tell, or not finely enough, what a process used.
func cpuTime() time.Duration { return time.Since(began) }
