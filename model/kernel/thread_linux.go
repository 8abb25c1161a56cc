package kernel

import (
	"syscall"
	"time"
	"unsafe"
)

// threadTime is how long the calling thread has been running on a processor, or 0 where nobody counts it.
func threadTime() time.Duration {
	const threadClock = 3 // CLOCK_THREAD_CPUTIME_ID, see clock_gettime(2)
	var t syscall.Timespec
	if _, _, err := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&t)), 0); err != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}
