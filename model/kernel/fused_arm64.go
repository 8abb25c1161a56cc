//go:build !purego

package kernel

func blend(y, a, b, w []float32) { blendGo(y, a, b, w) }

func slopeScan(out, x []float32, ld, n int, state, inv []float32, ldi int) {
	slopeScanGo(out, x, ld, n, state, inv, ldi)
}

func slopeScanBack(dx, dout []float32, ld, n int, lambda, inv []float32, ldi int) {
	slopeScanBackGo(dx, dout, ld, n, lambda, inv, ldi)
}

func above(x []float32, floor float32) (sum float32, count int) { return aboveGo(x, floor) }

func swiglu(hid, act []float32, n int) { swigluGo(hid, act, n) }

func blocksHalf([]float32, []uint16, []float32, int) bool { return false }
