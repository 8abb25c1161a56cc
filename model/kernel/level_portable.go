//go:build (!amd64 && !arm64) || purego

package kernel

// Workspace is the scratch of one worker.
type Workspace struct {
	wide []float32 // what gemmHalf has widened
}

// NewWorkspace returns a Workspace.
func NewWorkspace() *Workspace { return &Workspace{} }

// Level names the routines this process runs.
func Level() string { return "go" }

func gemm(_ *Workspace, c []float32, ldc int, a []float32, ars, acs int, b []float32, brs, bcs int, m, n, k int, acc bool) {
	gemmGo(c, ldc, a, ars, acs, b, brs, bcs, m, n, k, acc)
}

func gemv(y, w []float32, ldw int, x []float32, _ uintptr) {
	gemvGo(y, w, ldw, x)
}

func gemvT(y, w []float32, ldw int, x []float32, _ uintptr) {
	gemmRowGo(y, x, 1, w, ldw, len(x))
}

func widen(dst []float32, src []uint16) { widenGo(dst, src) }

func gemvHalf(y []float32, w []uint16, ldw int, x []float32, _ uintptr) {
	gemvHalfGo(y, w, ldw, x)
}

func gemvTHalf(y []float32, w []uint16, ldw int, x []float32, _ uintptr) {
	gemvTHalfGo(y, w, ldw, x)
}

func dot(x, y []float32) float32                { return dotGo(x, y) }
func axpy(y []float32, a float32, x []float32)  { axpyGo(y, a, x) }
func add(y, x []float32)                        { addGo(y, x) }
func mul(y, a, b []float32)                     { mulGo(y, a, b) }
func mulAdd(y, a, b []float32)                  { mulAddGo(y, a, b) }
func scale(y []float32, a float32)              { scaleGo(y, a) }
func mulScale(y, x, g []float32, r float32)     { mulScaleGo(y, x, g, r) }
func maximum(x []float32) float32               { return maxGo(x) }
func exp(y, x []float32)                        { expGo(y, x) }
func sigmoid(y, x []float32)                    { sigmoidGo(y, x) }
func silu(y, x []float32)                       { siluGo(y, x) }
func expSum(x []float32, shift float32) float32 { return expSumGo(x, shift) }
func adam(p, g, m, v []float32, c *AdamConst)   { adamGo(p, g, m, v, c) }

func decayScan(out, x []float32, ld, n int, state []float32, alpha float32) {
	decayScanGo(out, x, ld, n, state, alpha)
}

func decayScanBack(dx, dout []float32, ld, n int, mu []float32, alpha float32) {
	decayScanBackGo(dx, dout, ld, n, mu, alpha)
}

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

func gemmHalf(ws *Workspace, c []float32, ldc int, a []float32, lda int, w []uint16, wrs, wcs, rows, n, k int, acc bool) {
	gemmWidened(ws, c, ldc, a, lda, w, wrs, wcs, rows, n, k, acc)
}

func burn(n int) int { return burnGo(n) }

func sweep(_ int, x []float32, _ uintptr) { sweepGo(x) }

func normBlocks(_, _, _ []float32, _ int, _ float32) bool { return false }
