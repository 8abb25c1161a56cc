//go:build !unix

package kernel

import "testing"

// fence hands out ordinary slices where pages cannot be forbidden.
type fence struct{}

func newFence(*testing.T, int) *fence { return &fence{} }

func (*fence) reset() {}

func (*fence) floats(n int) []float32 { return make([]float32, n) }

func (*fence) halves(n int) []uint16 { return make([]uint16, n) }
