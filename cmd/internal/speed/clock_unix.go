//go:build unix

package speed

import (
	"syscall"
	"time"
)

const clockName = "cpu"

// cpuTime is for how long processors were at work for this process.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic("speed: getrusage: " + err.Error()) // of a process that is there, with an argument that is known
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
