package kernel

import (
	"math"
	"unsafe"

	"github.com/yanmesh/yan/model/kernel/portable"
)

// Aligned returns n zeros that start on a 64-byte boundary, a cache line and the widest vector. Many of them lie on
// huge pages, where the system gives any.
func Aligned(n int) []float32 { return aligned[float32](n) }

// AlignedHalf is Aligned for bfloat16.
func AlignedHalf(n int) []uint16 { return aligned[uint16](n) }

func aligned[T float32 | uint16](n int) []T {
	var one T
	size := int(unsafe.Sizeof(one))
	s := make([]T, n+64/size-1)
	advise(unsafe.Pointer(&s[:1][0]), size*len(s))
	o := int(-uintptr(unsafe.Pointer(&s[:1][0]))&63) / size
	return s[o : o+n : o+n]
}

// Spaced is how far apart rows of n floats, which many rows of a product will be read from, are best laid. At a distance
// of a multiple of 1 KiB they crowd into a few sets of the first cache.
func Spaced(n int) int {
	if n%256 == 0 {
		return n + 16
	}
	return n
}

// AdamConst holds what one step of [Adam] shares among all parameters.
type AdamConst struct {
	LR    float32 // learning rate
	Beta1 float32 // decay of the first moment
	Beta2 float32 // decay of the second moment
	Eps   float32 // added to the root of the second moment
	Decay float32 // learning rate times weight decay, taken off the parameter itself (AdamW)
	Corr1 float32 // 1/(1-Beta1^t) at step t = 1, 2, …
	Corr2 float32 // 1/(1-Beta2^t)
}

// Gemm computes C = A·B, or C += A·B when acc, for an m×k matrix A and a k×n matrix B. Element (i,j) of A
// is a[i*ars+j*acs] with any strides; B has brs and bcs likewise, and one of the two must be 1. C has
// contiguous rows ldc apart. C must not overlap A or B.
func Gemm(ws *Workspace, c []float32, ldc int, a []float32, ars, acs int, b []float32, brs, bcs int, m, n, k int, acc bool) {
	if m <= 0 || n <= 0 {
		return
	}
	_ = c[(m-1)*ldc+n-1]
	if k <= 0 {
		if !acc {
			for i := range m {
				clear(c[i*ldc : i*ldc+n])
			}
		}
		return
	}
	_ = a[(m-1)*ars+(k-1)*acs]
	_ = b[(k-1)*brs+(n-1)*bcs]
	if brs != 1 && bcs != 1 {
		panic("kernel: Gemm: B has neither contiguous rows nor contiguous columns")
	}
	gemm(ws, c, ldc, a, ars, acs, b, brs, bcs, m, n, k, acc)
}

// Dot returns Σ x[i]·y[i] over the length of x.
func Dot(x, y []float32) float32 {
	return dot(x, y[:len(x)])
}

// Gemv computes y[r] = W[r]·x: the rows of W are ldw apart and as long as x, and y says how many there are.
func Gemv(y, w []float32, ldw int, x []float32) {
	F32(w).Times(y, ldw, x, Matrix{})
}

// GemvT adds Σ x[r]·W[r] to y: the rows of W are ldw apart and as long as y, and x says how many there are.
func GemvT(y, w []float32, ldw int, x []float32) {
	F32(w).AddTransposed(y, ldw, x, Matrix{})
}

// Axpy computes y += a·x.
func Axpy(y []float32, a float32, x []float32) {
	axpy(y, a, x[:len(y)])
}

// Add computes y += x.
func Add(y, x []float32) {
	add(y, x[:len(y)])
}

// Mul computes y = a⊙b. y may be a or b.
func Mul(y, a, b []float32) {
	mul(y, a[:len(y)], b[:len(y)])
}

// MulAdd computes y += a⊙b. y may be a or b.
func MulAdd(y, a, b []float32) {
	mulAdd(y, a[:len(y)], b[:len(y)])
}

// Scale computes y *= a.
func Scale(y []float32, a float32) {
	scale(y, a)
}

// ScaleTo computes y = a·x. y may be x.
func ScaleTo(y []float32, a float32, x []float32) {
	if len(y) > 0 {
		mulScale(y, x[:len(y)], nil, a)
	}
}

// SumSquares returns Σ x[i]².
func SumSquares(x []float32) float32 {
	return dot(x, x)
}

// Max returns the largest element, or -Inf of none. What it makes of a NaN is not defined.
func Max(x []float32) float32 {
	return maximum(x)
}

// Exp computes y[i] = exp(x[i]). y may be x. Overflow gives +Inf; results below the normal range may be 0.
func Exp(y, x []float32) {
	exp(y, x[:len(y)])
}

// Sigmoid computes y[i] = 1/(1+exp(-x[i])). y may be x.
func Sigmoid(y, x []float32) {
	sigmoid(y, x[:len(y)])
}

// SiLU computes y[i] = x[i]/(1+exp(-x[i])). y may be x.
func SiLU(y, x []float32) {
	silu(y, x[:len(y)])
}

// SoftmaxInPlace replaces x by exp(x)/Σexp(x) and returns log Σexp(x), which is -Inf of no elements. The
// largest element is subtracted first, so nothing overflows. If every element is -Inf, x becomes zeros.
func SoftmaxInPlace(x []float32) (logSumExp float32) {
	top := maximum(x)
	if math.IsInf(float64(top), -1) {
		clear(x)
		return top
	}
	s := expSum(x, top)
	scale(x, 1/s)
	return top + float32(portable.Log(float64(s)))
}

// RMSNorm computes y = x·r·g with r = 1/√(mean(x²)+eps) over the length of y and returns r. A nil g stands
// for ones. y may be x.
func RMSNorm(y, x, g []float32, eps float32) float32 {
	x = x[:len(y)]
	if g != nil {
		g = g[:len(y)]
	}
	if len(y) == 0 {
		return 0
	}
	r := float32(1 / math.Sqrt(float64(dot(x, x)/float32(len(x))+eps)))
	mulScale(y, x, g, r)
	return r
}

// RMSNormBlocks is RMSNorm without a gain of each block of dc floats; inv gets the blocks' factors. y may be x.
func RMSNormBlocks(y, x, inv []float32, dc int, eps float32) {
	if dc <= 0 || len(y)%dc != 0 {
		panic("kernel: RMSNormBlocks: not a whole number of blocks")
	}
	x, inv = x[:len(y)], inv[:len(y)/dc]
	if len(y) > 0 && normBlocks(y, x, inv, dc, eps) {
		return
	}
	for b := range inv {
		inv[b] = RMSNorm(y[b*dc:(b+1)*dc], x[b*dc:(b+1)*dc], nil, eps)
	}
}

// Adam takes one step on the parameters p with the gradient g and brings the moments m and v up to date:
//
//	m = β1·m + (1-β1)·g    v = β2·v + (1-β2)·g²    p -= Decay·p + LR·Corr1·m / (√(Corr2·v) + ε)
//
// m may be g: with β1 = 0 that is a step without momentum.
func Adam(p, g, m, v []float32, c AdamConst) {
	adam(p, g[:len(p)], m[:len(p)], v[:len(p)], &c)
}

// DecayScan walks n rows, ld apart and as wide as state, and hands each the strict past: out[t] = s, then
// s = alpha·(s+x[t]). It starts from state and leaves the last s there. out may be x.
func DecayScan(out, x []float32, ld int, n int, state []float32, alpha float32) {
	if n <= 0 || len(state) == 0 {
		return
	}
	last := (n-1)*ld + len(state) - 1
	_, _ = out[last], x[last]
	decayScan(out, x, ld, n, state, alpha)
}

// DecayScanBack is the derivative of [DecayScan]. For t = n-1 down to 0 it computes dx[t] += alpha·mu, then
// mu = dout[t] + alpha·mu. At first mu is the gradient with respect to the state after the last row, at the
// end that with respect to the state before the first.
func DecayScanBack(dx, dout []float32, ld int, n int, mu []float32, alpha float32) {
	if n <= 0 || len(mu) == 0 {
		return
	}
	last := (n-1)*ld + len(mu) - 1
	_, _ = dx[last], dout[last]
	decayScanBack(dx, dout, ld, n, mu, alpha)
}

// Blend computes y = a + w⊙(b−a): a where w is 0, b where it is 1. y may be any of the others.
func Blend(y, a, b, w []float32) {
	if len(y) > 0 {
		blend(y, a[:len(y)], b[:len(y)], w[:len(y)])
	}
}

// SlopeScan walks n rows, ld apart and as wide as state, and hands each the strict past: out[t] = s, then
// s += (x[t]−s)·inv[t·ldi]. It starts from state and leaves the last s there. out may be x.
func SlopeScan(out, x []float32, ld int, n int, state, inv []float32, ldi int) {
	if n <= 0 || len(state) == 0 {
		return
	}
	last := (n-1)*ld + len(state) - 1
	_, _, _ = out[last], x[last], inv[(n-1)*ldi]
	slopeScan(out, x, ld, n, state, inv, ldi)
}

// SlopeScanBack is the derivative of [SlopeScan]. For t = n-1 down to 0, with k = inv[t·ldi], it computes
// dx[t] += k·lambda, then lambda = dout[t] + (1−k)·lambda. At first lambda is the gradient with respect to the state after
// the last row, at the end that with respect to the state before the first.
func SlopeScanBack(dx, dout []float32, ld int, n int, lambda, inv []float32, ldi int) {
	if n <= 0 || len(lambda) == 0 {
		return
	}
	last := (n-1)*ld + len(lambda) - 1
	_, _, _ = dx[last], dout[last], inv[(n-1)*ldi]
	slopeScanBack(dx, dout, ld, n, lambda, inv, ldi)
}

// Above returns the sum and the number of the elements that exceed floor.
func Above(x []float32, floor float32) (sum float32, count int) {
	if len(x) == 0 {
		return 0, 0
	}
	return above(x, floor)
}

// SwiGLU computes hid = silu(a)⊙b for rows of act = [a | b]. A row of hid is n long, one of act 2·n.
func SwiGLU(hid, act []float32, n int) {
	if len(hid) == 0 || n <= 0 {
		return
	}
	if len(hid)%n != 0 {
		panic("kernel: SwiGLU: not a whole number of rows")
	}
	swiglu(hid, act[:2*len(hid)], n)
}
