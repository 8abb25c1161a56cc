//go:build !linux && !darwin

package speed

import "os"

// cpuName is what the system calls the processor, empty if it does not.
func cpuName() string { return os.Getenv("PROCESSOR_IDENTIFIER") }
