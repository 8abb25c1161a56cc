package speed

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// cpuName is what the processor calls itself, empty if it does not.
func cpuName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	return entry(b, "model name")
}

// resident is how much memory the process occupies, and the most that it did since forget.
func resident() (now, peak int) {
	b, _ := os.ReadFile("/proc/self/status")
	return kilobytes(entry(b, "VmRSS")), kilobytes(entry(b, "VmHWM"))
}

// forget makes the present the most memory that the process ever occupied. Where the system does not allow it, the
// most includes what was before.
func forget() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// entry is the first value of that name in a list of lines "name: value".
func entry(list []byte, name string) string {
	for line := range bytes.Lines(list) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kilobytes reads "1234 kB".
func kilobytes(s string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(s, " kB"))
	return n << 10
}
