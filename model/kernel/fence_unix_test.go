//go:build unix

package kernel

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// fence hands out slices whose last element touches a page that may be neither read nor written, so that a
// routine which strays beyond its operands dies at once. The slices hold until the next reset.
type fence struct {
	mem  []byte
	slot int // bytes of one slot, its forbidden page included
	next int
}

const fenceSlots = 12

// newFence makes room for fenceSlots slices of up to most floats each.
func newFence(t *testing.T, most int) *fence {
	t.Helper()
	page := os.Getpagesize()
	slot := (4*most+page-1)/page*page + page
	mem, err := syscall.Mmap(-1, 0, fenceSlots*slot, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(mem); err != nil {
			t.Error(err)
		}
	})
	for i := range fenceSlots {
		if err := syscall.Mprotect(mem[(i+1)*slot-page:(i+1)*slot], syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return &fence{mem: mem, slot: slot}
}

func (f *fence) reset() { f.next = 0 }

func (f *fence) floats(n int) []float32 {
	f.next++
	end := f.next*f.slot - os.Getpagesize()
	if n == 0 {
		return []float32{}
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&f.mem[end-4*n])), n)
}

// halves is floats of half the size.
func (f *fence) halves(n int) []uint16 {
	w := f.floats((n + 1) / 2)
	if n == 0 {
		return []uint16{}
	}
	first := unsafe.Slice((*uint16)(unsafe.Pointer(&w[0])), 2*len(w))
	return first[2*len(w)-n:]
}
