//go:build !purego

package kernel

import "os"

const (
	levelGo = iota
	levelNeon
)

var levelNames = [...]string{levelGo: "go", levelNeon: "neon"}

// level is what every function below switches on.
var level = detect()

// detect returns NEON, which every processor of this architecture has, or plain Go if the environment variable
// YAN_KERNEL asks for it.
func detect() int {
	if os.Getenv("YAN_KERNEL") == levelNames[levelGo] {
		return levelGo
	}
	return levelNeon
}

// Level names the routines this process runs: neon or go. The environment variable YAN_KERNEL can ask for go.
func Level() string { return levelNames[level] }

// most is how many numbers one call works on, for it cannot be preempted: a slow core takes tens of microseconds.
const most = 1 << 13

func dot(x, y []float32) (sum float32) {
	if level == levelGo {
		return dotGo(x, y)
	}
	for len(x) > 0 {
		n := min(len(x), most)
		sum += dot128(n, &x[0], &y[0])
		x, y = x[n:], y[n:]
	}
	return sum
}

// gemv has no empty operand.
func gemv(y, w []float32, ldw int, x []float32, ahead uintptr) {
	if level == levelGo {
		gemvGo(y, w, ldw, x)
		return
	}
	for len(y) >= 4 {
		rows := min(len(y), atOnce(4, len(x))) &^ 3
		gemmNT128x1(rows/4, len(x), &x[0], 0, &w[0], ldw*4, &y[0], 0, 0, ahead)
		y, w, ahead = y[rows:], below(w, rows*ldw), onward(ahead, 4*rows*len(x))
	}
	for r := range y {
		y[r] = dot(x, w[r*ldw:][:len(x)])
	}
}

// atOnce is how many rows of n numbers one call takes, a multiple of by.
func atOnce(by, n int) int { return max(by, most/n/by*by) }

// onward is ahead, if that is anything, after so many bytes were fetched.
func onward(ahead uintptr, bytes int) uintptr {
	if ahead == 0 {
		return 0
	}
	return ahead + uintptr(bytes)
}

// below is w without its first n numbers, or nothing if it has no more.
func below[T any](w []T, n int) []T { return w[min(n, len(w)):] }

// gemvT has no empty operand.
func gemvT(y, w []float32, ldw int, x []float32, ahead uintptr) {
	if level == levelGo {
		gemmRowGo(y, x, 1, w, ldw, len(x))
		return
	}
	for len(x) >= 8 {
		rows := min(len(x), atOnce(8, len(y))) &^ 7
		gemvT128x8(rows/8, len(y), &w[0], ldw*4, &x[0], &y[0], ahead)
		x, w, ahead = x[rows:], below(w, rows*ldw), onward(ahead, 4*rows*len(y))
	}
	if len(x) > 0 {
		gemvT128x1(len(x), len(y), &w[0], ldw*4, &x[0], &y[0], 0)
	}
}

func widen(dst []float32, src []uint16) {
	if level == levelGo {
		widenGo(dst, src)
		return
	}
	for len(dst) > 0 {
		n := min(len(dst), most)
		widen128(n, &src[0], &dst[0])
		dst, src = dst[n:], src[n:]
	}
}

// gemvHalf has no empty operand.
func gemvHalf(y []float32, w []uint16, ldw int, x []float32, ahead uintptr) {
	if level == levelGo {
		gemvHalfGo(y, w, ldw, x)
		return
	}
	for len(y) >= 4 {
		rows := min(len(y), atOnce(4, len(x))) &^ 3
		gemvHalf128x4(rows/4, len(x), &w[0], ldw*2, &x[0], &y[0], ahead)
		y, w, ahead = y[rows:], below(w, rows*ldw), onward(ahead, 2*rows*len(x))
	}
	if len(y) > 0 {
		gemvHalf128x1(len(y), len(x), &w[0], ldw*2, &x[0], &y[0], 0)
	}
}

// gemvTHalf has no empty operand.
func gemvTHalf(y []float32, w []uint16, ldw int, x []float32, ahead uintptr) {
	if level == levelGo {
		gemvTHalfGo(y, w, ldw, x)
		return
	}
	for len(x) >= 8 {
		rows := min(len(x), atOnce(8, len(y))) &^ 7
		gemvTHalf128x8(rows/8, len(y), &w[0], ldw*2, &x[0], &y[0], ahead)
		x, w, ahead = x[rows:], below(w, rows*ldw), onward(ahead, 2*rows*len(y))
	}
	if len(x) > 0 {
		gemvTHalf128x1(len(x), len(y), &w[0], ldw*2, &x[0], &y[0], 0)
	}
}

func axpy(y []float32, a float32, x []float32) {
	if level == levelGo {
		axpyGo(y, a, x)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		axpy128(n, a, &x[0], &y[0])
		y, x = y[n:], x[n:]
	}
}

func add(y, x []float32) {
	if level == levelGo {
		addGo(y, x)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		add128(n, &x[0], &y[0])
		y, x = y[n:], x[n:]
	}
}

func mul(y, a, b []float32) {
	if level == levelGo {
		mulGo(y, a, b)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		mul128(n, &a[0], &b[0], &y[0])
		y, a, b = y[n:], a[n:], b[n:]
	}
}

func mulAdd(y, a, b []float32) {
	if level == levelGo {
		mulAddGo(y, a, b)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		mulAdd128(n, &a[0], &b[0], &y[0])
		y, a, b = y[n:], a[n:], b[n:]
	}
}

func scale(y []float32, a float32) {
	if level == levelGo {
		scaleGo(y, a)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		scale128(n, a, &y[0])
		y = y[n:]
	}
}

// mulScale computes y = x·g·r, or y = x·r when g is nil.
func mulScale(y, x, g []float32, r float32) {
	if level == levelGo {
		mulScaleGo(y, x, g, r)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		if g == nil {
			mulScale128(n, r, &x[0], &y[0])
		} else {
			mulScaleBy128(n, r, &x[0], &g[0], &y[0])
			g = g[n:]
		}
		y, x = y[n:], x[n:]
	}
}

func maximum(x []float32) float32 {
	if level == levelGo {
		return maxGo(x)
	}
	m := maxGo(nil)
	for len(x) > 0 {
		n := min(len(x), most)
		m = max(m, max128(n, &x[0]))
		x = x[n:]
	}
	return m
}

func exp(y, x []float32) {
	if level == levelGo {
		expGo(y, x)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		exp128(n, &x[0], &y[0])
		y, x = y[n:], x[n:]
	}
}

func sigmoid(y, x []float32) {
	if level == levelGo {
		sigmoidGo(y, x)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		sigmoid128(n, &x[0], &y[0])
		y, x = y[n:], x[n:]
	}
}

func silu(y, x []float32) {
	if level == levelGo {
		siluGo(y, x)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		silu128(n, &x[0], &y[0])
		y, x = y[n:], x[n:]
	}
}

// expSum computes x = exp(x-shift) in place and returns the sum.
func expSum(x []float32, shift float32) (sum float32) {
	if level == levelGo {
		return expSumGo(x, shift)
	}
	for len(x) > 0 {
		n := min(len(x), most)
		sum += expSum128(n, &x[0], shift)
		x = x[n:]
	}
	return sum
}

func adam(p, g, m, v []float32, c *AdamConst) {
	if level == levelGo {
		adamGo(p, g, m, v, c)
		return
	}
	k := [8]float32{c.LR * c.Corr1, c.Beta1, 1 - c.Beta1, c.Beta2, 1 - c.Beta2, c.Decay, c.Corr2, c.Eps}
	for len(p) > 0 {
		n := min(len(p), most)
		adam128(n, &p[0], &g[0], &m[0], &v[0], &k)
		p, g, m, v = p[n:], g[n:], m[n:], v[n:]
	}
}

// decayScan has at least one row and one column.
func decayScan(out, x []float32, ld, n int, state []float32, alpha float32) {
	if level == levelGo {
		decayScanGo(out, x, ld, n, state, alpha)
		return
	}
	for t, rows := 0, atOnce(1, len(state)); t < n; t += rows {
		decayScan128(min(rows, n-t), len(state), &out[t*ld], &x[t*ld], ld*4, &state[0], alpha)
	}
}

// decayScanBack has at least one row and one column.
func decayScanBack(dx, dout []float32, ld, n int, mu []float32, alpha float32) {
	if level == levelGo {
		decayScanBackGo(dx, dout, ld, n, mu, alpha)
		return
	}
	for t, rows := n, atOnce(1, len(mu)); t > 0; t -= rows {
		last := (t - 1) * ld
		decayScanBack128(min(rows, t), len(mu), &dx[last], &dout[last], -ld*4, &mu[0], alpha)
	}
}

func blend(y, a, b, w []float32) {
	if level == levelGo {
		blendGo(y, a, b, w)
		return
	}
	for len(y) > 0 {
		n := min(len(y), most)
		blend128(n, &a[0], &b[0], &w[0], &y[0])
		y, a, b, w = y[n:], a[n:], b[n:], w[n:]
	}
}

// slopeScan has at least one row and one column.
func slopeScan(out, x []float32, ld, n int, state, inv []float32, ldi int) {
	if level == levelGo {
		slopeScanGo(out, x, ld, n, state, inv, ldi)
		return
	}
	for t, rows := 0, atOnce(1, len(state)); t < n; t += rows {
		slopeScan128(min(rows, n-t), len(state), &out[t*ld], &x[t*ld], ld*4, &inv[t*ldi], ldi*4, &state[0])
	}
}

// slopeScanBack has at least one row and one column.
func slopeScanBack(dx, dout []float32, ld, n int, lambda, inv []float32, ldi int) {
	if level == levelGo {
		slopeScanBackGo(dx, dout, ld, n, lambda, inv, ldi)
		return
	}
	for t, rows := n, atOnce(1, len(lambda)); t > 0; t -= rows {
		last := (t - 1) * ld
		slopeScanBack128(min(rows, t), len(lambda), &dx[last], &dout[last], -ld*4, &inv[(t-1)*ldi], -ldi*4, &lambda[0])
	}
}

func above(x []float32, floor float32) (sum float32, count int) {
	if level == levelGo {
		return aboveGo(x, floor)
	}
	for len(x) > 0 {
		n := min(len(x), most)
		s, c := above128(n, &x[0], floor)
		sum, count, x = sum+s, count+c, x[n:]
	}
	return sum, count
}

// swiglu has at least one row.
func swiglu(hid, act []float32, n int) {
	if level == levelGo {
		swigluGo(hid, act, n)
		return
	}
	for len(hid) > 0 {
		rows := min(len(hid)/n, atOnce(1, n))
		swiglu128(rows, n, &act[0], &hid[0])
		hid, act = hid[rows*n:], act[2*rows*n:]
	}
}

// blocksHalf computes y = x·W for a block-diagonal W of dc×dc blocks, or reports that no routine here can.
func blocksHalf(y []float32, w []uint16, x []float32, dc int) bool {
	if level == levelGo || dc%8 != 0 {
		return false
	}
	blocks, size := len(y)/dc, dc*dc
	for b, some := 0, atOnce(1, size); b < blocks; b += some {
		blocksHalf128(min(some, blocks-b), dc, &w[b*size], &x[b*dc], &y[b*dc])
	}
	return true
}

// burn returns the operations of one turn.
func burn(n int) int {
	if level == levelGo {
		return burnGo(n)
	}
	burn128(n)
	return 2 * 12 * 4
}

// sweep reads n blocks of 128 floats, and fetches as many from ahead on.
func sweep(n int, x []float32, ahead uintptr) {
	if level == levelGo {
		sweepGo(x)
		return
	}
	sweep128(4*n, &x[0], ahead)
}

// normBlocks computes the norm of each block of dc floats, or reports that no routine here can.
func normBlocks(y, x, inv []float32, dc int, eps float32) bool {
	if level == levelGo || dc%8 != 0 {
		return false
	}
	for len(inv) > 0 {
		n := min(len(inv), atOnce(1, dc))
		normBlocks128(n, dc, &x[0], &y[0], &inv[0], eps)
		x, y, inv = x[n*dc:], y[n*dc:], inv[n:]
	}
	return true
}
