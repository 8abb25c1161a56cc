package speed

import "syscall"

// cpuName is what the processor calls itself, empty if it does not.
func cpuName() string {
	s, _ := syscall.Sysctl("machdep.cpu.brand_string")
	return s
}
