package kernel

import (
	"syscall"
	"unsafe"
)

const hugePage = 2 << 20

// advise asks for huge pages where a slice of n bytes at p covers any. Weights are read from end to end, and
// with 4 KiB pages the processor spends as long on finding them as on reading them. It is only advice: where the
// kernel does not take it nothing changes.
func advise(p unsafe.Pointer, n int) {
	from := (uintptr(p) + hugePage - 1) &^ (hugePage - 1)
	to := (uintptr(p) + uintptr(n)) &^ (hugePage - 1)
	if from >= to {
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Add(p, from-uintptr(p))), to-from)
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE)
}
