//go:build !purego

package kernel

import (
	"os"

	"golang.org/x/sys/cpu"
)

const (
	levelGo = iota
	levelAVX2
	levelAVX512
)

var levelNames = [...]string{levelGo: "go", levelAVX2: "avx2", levelAVX512: "avx512"}

// level is what every function below switches on. Function variables would do too, but the pointers given to
// them escape to the heap.
var level = detect()

// best is the highest level of this processor.
func best() int {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA || !x.HasBMI2:
		return levelGo
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512DQ || !x.HasAVX512VL:
		return levelAVX2
	}
	return levelAVX512
}

// detect returns the best level, or a lower one that the environment variable YAN_KERNEL names.
func detect() int {
	top := best()
	want := os.Getenv("YAN_KERNEL")
	for l, name := range levelNames[:top] {
		if want == name {
			return l
		}
	}
	return top
}

// Level names the routines this process runs: avx512, avx2 or go. The environment variable YAN_KERNEL
// can ask for a lower level than the processor has.
func Level() string { return levelNames[level] }

func dot(x, y []float32) float32 {
	if len(x) == 0 {
		return 0
	}
	switch level {
	case levelAVX512:
		return dot512(len(x), &x[0], &y[0])
	case levelAVX2:
		return dot256(len(x), &x[0], &y[0])
	}
	return dotGo(x, y)
}

// places says which four of rows rows of so many bytes to read at a time: how far they are apart, and how much further the
// next four are. Memory answers faster where it is read in four places, so they are one of each quarter where there is
// much to read; the caches prefer neighbours.
func places(rows, bytes int) (apart, step int) {
	if rows*bytes >= fourPlaces {
		return rows / 4, 1
	}
	return 1, 4
}

// fourPlaces is from how many bytes on a matrix is read in four places.
const fourPlaces = 64 << 10

// gemv has no empty operand.
func gemv(y, w []float32, ldw int, x []float32, ahead uintptr) {
	if level == levelGo {
		gemvGo(y, w, ldw, x)
		return
	}
	whole := len(y) &^ 3
	apart, step := places(whole, 4*ldw)
	switch {
	case whole == 0:
	case level == levelAVX512:
		gemv512(whole/4, apart, step, len(x), &w[0], ldw*4, &x[0], &y[0], ahead)
	default:
		gemv256(whole/4, apart, step, len(x), &w[0], ldw*4, &x[0], &y[0], ahead)
	}
	for r := whole; r < len(y); r++ {
		y[r] = dot(x, w[r*ldw:][:len(x)])
	}
}

// gemvT has no empty operand.
func gemvT(y, w []float32, ldw int, x []float32, ahead uintptr) {
	if level == levelGo {
		gemmRowGo(y, x, 1, w, ldw, len(x))
		return
	}
	whole := len(x) &^ 3
	apart, step := places(whole, 4*ldw)
	switch {
	case whole == 0:
	case level == levelAVX512:
		gemvT512(whole/4, apart, step, len(y), &w[0], ldw*4, &x[0], &y[0], ahead)
	default:
		gemvT256(whole/4, apart, step, len(y), &w[0], ldw*4, &x[0], &y[0], ahead)
	}
	for r := whole; r < len(x); r++ {
		axpy(y, x[r], w[r*ldw:][:len(y)])
	}
}

func widen(dst []float32, src []uint16) {
	switch whole := len(dst) &^ 7; {
	case level == levelGo || len(dst) == 0:
		widenGo(dst, src)
	case level == levelAVX512:
		widen512(len(dst), &src[0], &dst[0])
	default:
		if whole > 0 {
			widen256(whole, &src[0], &dst[0])
		}
		widenGo(dst[whole:], src[whole:])
	}
}

// gemvHalf has no empty operand. AVX2 has no masked loads of 16 bits: there the tails are plain Go.
func gemvHalf(y []float32, w []uint16, ldw int, x []float32, ahead uintptr) {
	rows := len(y) &^ 3
	apart, step := places(rows, 2*ldw)
	switch whole := len(x) &^ 7; {
	case level == levelGo:
		rows = 0
	case rows == 0:
	case level == levelAVX512:
		gemvHalf512(rows/4, apart, step, len(x), &w[0], ldw*2, &x[0], &y[0], ahead)
	case whole == 0:
		rows = 0
	default:
		gemvHalf256(rows/4, apart, step, whole, &w[0], ldw*2, &x[0], &y[0], ahead)
		if whole < len(x) {
			for r := range rows {
				y[r] += dotHalfGo(x[whole:], w[r*ldw+whole:][:len(x)-whole])
			}
		}
	}
	if rows < len(y) {
		gemvHalfGo(y[rows:], w[rows*ldw:], ldw, x)
	}
}

// gemvTHalf has no empty operand.
func gemvTHalf(y []float32, w []uint16, ldw int, x []float32, ahead uintptr) {
	rows := len(x) &^ 3
	apart, step := places(rows, 2*ldw)
	switch whole := len(y) &^ 7; {
	case level == levelGo:
		rows = 0
	case rows == 0:
	case level == levelAVX512:
		gemvTHalf512(rows/4, apart, step, len(y), &w[0], ldw*2, &x[0], &y[0], ahead)
	case whole == 0:
		rows = 0
	default:
		gemvTHalf256(rows/4, apart, step, whole, &w[0], ldw*2, &x[0], &y[0], ahead)
		if whole < len(y) {
			gemvTHalfGo(y[whole:], w[whole:], ldw, x[:rows])
		}
	}
	if rows < len(x) {
		gemvTHalfGo(y, w[rows*ldw:], ldw, x[rows:])
	}
}

func axpy(y []float32, a float32, x []float32) {
	if len(y) == 0 {
		return
	}
	switch level {
	case levelAVX512:
		axpy512(len(y), a, &x[0], &y[0])
	case levelAVX2:
		axpy256(len(y), a, &x[0], &y[0])
	default:
		axpyGo(y, a, x)
	}
}

func add(y, x []float32) {
	if len(y) == 0 {
		return
	}
	switch level {
	case levelAVX512:
		add512(len(y), &x[0], &y[0])
	case levelAVX2:
		add256(len(y), &x[0], &y[0])
	default:
		addGo(y, x)
	}
}

func mul(y, a, b []float32) {
	if len(y) == 0 {
		return
	}
	switch level {
	case levelAVX512:
		mul512(len(y), &a[0], &b[0], &y[0])
	case levelAVX2:
		mul256(len(y), &a[0], &b[0], &y[0])
	default:
		mulGo(y, a, b)
	}
}

func mulAdd(y, a, b []float32) {
	if len(y) == 0 {
		return
	}
	switch level {
	case levelAVX512:
		mulAdd512(len(y), &a[0], &b[0], &y[0])
	case levelAVX2:
		mulAdd256(len(y), &a[0], &b[0], &y[0])
	default:
		mulAddGo(y, a, b)
	}
}

func scale(y []float32, a float32) {
	if len(y) == 0 {
		return
	}
	switch level {
	case levelAVX512:
		scale512(len(y), a, &y[0])
	case levelAVX2:
		scale256(len(y), a, &y[0])
	default:
		scaleGo(y, a)
	}
}

// mulScale computes y = x·g·r, or y = x·r when g is nil. y is not empty.
func mulScale(y, x, g []float32, r float32) {
	switch {
	case level == levelGo:
		mulScaleGo(y, x, g, r)
	case level == levelAVX512 && g == nil:
		mulScale512(len(y), r, &x[0], &y[0])
	case level == levelAVX512:
		mulScaleBy512(len(y), r, &x[0], &g[0], &y[0])
	case g == nil:
		mulScale256(len(y), r, &x[0], &y[0])
	default:
		mulScaleBy256(len(y), r, &x[0], &g[0], &y[0])
	}
}

func maximum(x []float32) float32 {
	switch {
	case level == levelGo || len(x) == 0:
		return maxGo(x)
	case level == levelAVX512:
		return max512(len(x), &x[0])
	}
	return max256(len(x), &x[0])
}

func exp(y, x []float32) {
	if len(y) == 0 {
		return
	}
	switch level {
	case levelAVX512:
		exp512(len(y), &x[0], &y[0])
	case levelAVX2:
		exp256(len(y), &x[0], &y[0])
	default:
		expGo(y, x)
	}
}

func sigmoid(y, x []float32) {
	if len(y) == 0 {
		return
	}
	switch level {
	case levelAVX512:
		sigmoid512(len(y), &x[0], &y[0])
	case levelAVX2:
		sigmoid256(len(y), &x[0], &y[0])
	default:
		sigmoidGo(y, x)
	}
}

func silu(y, x []float32) {
	if len(y) == 0 {
		return
	}
	switch level {
	case levelAVX512:
		silu512(len(y), &x[0], &y[0])
	case levelAVX2:
		silu256(len(y), &x[0], &y[0])
	default:
		siluGo(y, x)
	}
}

// expSum computes x = exp(x-shift) in place and returns the sum. x is not empty.
func expSum(x []float32, shift float32) float32 {
	switch level {
	case levelAVX512:
		return expSum512(len(x), &x[0], shift)
	case levelAVX2:
		return expSum256(len(x), &x[0], shift)
	}
	return expSumGo(x, shift)
}

func adam(p, g, m, v []float32, c *AdamConst) {
	if level == levelGo || len(p) == 0 {
		adamGo(p, g, m, v, c)
		return
	}
	k := [8]float32{c.LR * c.Corr1, c.Beta1, 1 - c.Beta1, c.Beta2, 1 - c.Beta2, c.Eps, c.Decay, c.Corr2}
	// A call cannot be preempted: bound what one does.
	const most = 1 << 15
	for o := 0; o < len(p); o += most {
		n := min(most, len(p)-o)
		if level == levelAVX512 {
			adam512(n, &p[o], &g[o], &m[o], &v[o], &k)
		} else {
			adam256(n, &p[o], &g[o], &m[o], &v[o], &k)
		}
	}
}

// decayScan has at least one row and one column.
func decayScan(out, x []float32, ld, n int, state []float32, alpha float32) {
	switch level {
	case levelAVX512:
		decayScan512(n, len(state), &out[0], &x[0], ld*4, &state[0], alpha)
	case levelAVX2:
		decayScan256(n, len(state), &out[0], &x[0], ld*4, &state[0], alpha)
	default:
		decayScanGo(out, x, ld, n, state, alpha)
	}
}

// decayScanBack has at least one row and one column.
func decayScanBack(dx, dout []float32, ld, n int, mu []float32, alpha float32) {
	last := (n - 1) * ld
	switch level {
	case levelAVX512:
		decayScanBack512(n, len(mu), &dx[last], &dout[last], -ld*4, &mu[0], alpha)
	case levelAVX2:
		decayScanBack256(n, len(mu), &dx[last], &dout[last], -ld*4, &mu[0], alpha)
	default:
		decayScanBackGo(dx, dout, ld, n, mu, alpha)
	}
}

func blend(y, a, b, w []float32) {
	switch level {
	case levelAVX512:
		blend512(len(y), &a[0], &b[0], &w[0], &y[0])
	case levelAVX2:
		blend256(len(y), &a[0], &b[0], &w[0], &y[0])
	default:
		blendGo(y, a, b, w)
	}
}

// slopeScan has at least one row and one column.
func slopeScan(out, x []float32, ld, n int, state, inv []float32, ldi int) {
	switch level {
	case levelAVX512:
		slopeScan512(n, len(state), &out[0], &x[0], ld*4, &inv[0], ldi*4, &state[0])
	case levelAVX2:
		slopeScan256(n, len(state), &out[0], &x[0], ld*4, &inv[0], ldi*4, &state[0])
	default:
		slopeScanGo(out, x, ld, n, state, inv, ldi)
	}
}

// slopeScanBack has at least one row and one column.
func slopeScanBack(dx, dout []float32, ld, n int, lambda, inv []float32, ldi int) {
	last := (n - 1) * ld
	switch level {
	case levelAVX512:
		slopeScanBack512(n, len(lambda), &dx[last], &dout[last], -ld*4, &inv[(n-1)*ldi], -ldi*4, &lambda[0])
	case levelAVX2:
		slopeScanBack256(n, len(lambda), &dx[last], &dout[last], -ld*4, &inv[(n-1)*ldi], -ldi*4, &lambda[0])
	default:
		slopeScanBackGo(dx, dout, ld, n, lambda, inv, ldi)
	}
}

func above(x []float32, floor float32) (sum float32, count int) {
	switch level {
	case levelAVX512:
		return above512(len(x), &x[0], floor)
	case levelAVX2:
		return above256(len(x), &x[0], floor)
	}
	return aboveGo(x, floor)
}

// swiglu has at least one row.
func swiglu(hid, act []float32, n int) {
	switch level {
	case levelAVX512:
		swiglu512(len(hid)/n, n, &act[0], &hid[0])
	case levelAVX2:
		swiglu256(len(hid)/n, n, &act[0], &hid[0])
	default:
		swigluGo(hid, act, n)
	}
}

// blocksHalf computes y = x·W for a block-diagonal W of dc×dc blocks, or reports that no routine here can.
func blocksHalf(y []float32, w []uint16, x []float32, dc int) bool {
	switch {
	case level == levelAVX512 && dc%32 == 0:
		blocksHalf512(len(y)/dc, dc, &w[0], &x[0], &y[0])
	case level == levelAVX2 && dc%16 == 0:
		blocksHalf256(len(y)/dc, dc, &w[0], &x[0], &y[0])
	default:
		return false
	}
	return true
}

// burn returns the operations of one turn.
func burn(n int) int {
	switch level {
	case levelAVX512:
		burn512(n)
		return 2 * 12 * 16
	case levelAVX2:
		burn256(n)
		return 2 * 12 * 8
	}
	return burnGo(n)
}

// sweep reads n blocks of 128 floats, and fetches as many from ahead on.
func sweep(n int, x []float32, ahead uintptr) {
	switch level {
	case levelAVX512:
		sweep512(n, &x[0], ahead)
	case levelAVX2:
		sweep256(2*n, &x[0], ahead)
	default:
		sweepGo(x)
	}
}

// normBlocks computes the norm of each block of dc floats, or reports that no routine here can.
func normBlocks(y, x, inv []float32, dc int, eps float32) bool {
	switch {
	case level == levelAVX512 && dc%16 == 0:
		normBlocks512(len(inv), dc, &x[0], &y[0], &inv[0], eps)
	case level == levelAVX2 && dc%8 == 0:
		normBlocks256(len(inv), dc, &x[0], &y[0], &inv[0], eps)
	default:
		return false
	}
	return true
}
