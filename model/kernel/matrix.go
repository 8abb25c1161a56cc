package kernel

import (
	"cmp"
	"math"
	"unsafe"
)

// A Matrix is a block of weights, in one of two forms: float32, or bfloat16, which is the upper half of a float32
// and takes half the memory and half the time to fetch. Weights that are only read may have either form; sums are
// always float32.
type Matrix struct {
	F32  []float32
	BF16 []uint16 // used when F32 is nil
}

// F32 is the matrix of these float32 numbers, which it shares.
func F32(w []float32) Matrix { return Matrix{F32: w} }

// BF16 is the matrix of these bfloat16 numbers, which it shares.
func BF16(w []uint16) Matrix { return Matrix{BF16: w} }

// Len is how many numbers w holds.
func (w Matrix) Len() int {
	if w.F32 != nil {
		return len(w.F32)
	}
	return len(w.BF16)
}

// Slice returns the numbers from up to to, which share their memory with w.
func (w Matrix) Slice(from, to int) Matrix {
	if w.F32 != nil {
		return Matrix{F32: w.F32[from:to]}
	}
	return Matrix{BF16: w.BF16[from:to]}
}

// Read copies as many numbers as dst holds, from the one at from on.
func (w Matrix) Read(dst []float32, from int) {
	if w.F32 != nil {
		copy(dst, w.F32[from:from+len(dst)])
		return
	}
	Widen(dst, w.BF16[from:from+len(dst)])
}

// FromBF16 is the value of a bfloat16.
func FromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBF16 rounds v to the nearest bfloat16, to the even one of two. A NaN may become an infinity.
func ToBF16(v float32) uint16 {
	b := math.Float32bits(v)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// Widen computes dst[i] = src[i] for the length of dst. It is exact.
func Widen(dst []float32, src []uint16) {
	widen(dst, src[:len(dst)])
}

// Project computes C = A·W, or C += A·W when acc, for rows of A, lda apart and k long. W is (k, n) with strides
// wrs and wcs, one of which is 1; the rows of C are n long and ldc apart. A single row costs one pass over W.
func Project(ws *Workspace, c []float32, ldc int, a []float32, lda int, w Matrix, wrs, wcs, rows, n, k int, acc bool) {
	switch {
	case rows == 1 && k > 0 && n > 0 && (wcs == 1 || wrs == 1 && !acc):
		if wcs == 1 {
			if !acc {
				clear(c[:n])
			}
			w.AddTransposed(c[:n], wrs, a[:k], Matrix{})
		} else {
			w.Times(c[:n], wcs, a[:k], Matrix{})
		}
	case w.F32 != nil || rows <= 0 || n <= 0 || k <= 0:
		Gemm(ws, c, ldc, a, lda, 1, w.F32, wrs, wcs, rows, n, k, acc)
	default:
		if wrs != 1 && wcs != 1 {
			panic("kernel: Project: W has neither contiguous rows nor contiguous columns")
		}
		_, _, _ = c[(rows-1)*ldc+n-1], a[(rows-1)*lda+k-1], w.BF16[(k-1)*wrs+(n-1)*wcs]
		gemmHalf(ws, c, ldc, a, lda, w.BF16, wrs, wcs, rows, n, k, acc)
	}
}

// Blocks computes C = A·W for rows of A, all ld apart and as long as those of C, and a block-diagonal W whose dc×dc
// blocks, input-major, stand one behind the other. C must not overlap A.
func (w Matrix) Blocks(ws *Workspace, c, a []float32, ld, rows, width, dc int) {
	if rows == 1 && width > 0 && w.F32 == nil {
		_, _, _ = w.BF16[width*dc-1], c[width-1], a[width-1]
		if blocksHalf(c[:width], w.BF16, a, dc) {
			return
		}
	}
	for o := 0; o < width; o += dc {
		Project(ws, c[o:], ld, a[o:], ld, w.Slice(o*dc, (o+dc)*dc), dc, 1, rows, dc, dc, false)
	}
}

// Times computes y[r] = W[r]·x: the rows of W are ldw apart and as long as x, and y says how many there are. ahead is
// what will be read after w: while w is in use as much of it is fetched from memory. It may be empty.
func (w Matrix) Times(y []float32, ldw int, x []float32, ahead Matrix) {
	switch {
	case len(y) == 0:
	case len(x) == 0:
		clear(y)
	case w.F32 != nil:
		_ = w.F32[(len(y)-1)*ldw+len(x)-1]
		gemv(y, w.F32, ldw, x, cmp.Or(ahead.start(), further(&w.F32[0], len(y)*ldw)))
	default:
		_ = w.BF16[(len(y)-1)*ldw+len(x)-1]
		gemvHalf(y, w.BF16, ldw, x, cmp.Or(ahead.start(), further(&w.BF16[0], len(y)*ldw)))
	}
}

// AddTransposed adds Σ x[r]·W[r] to y: the rows of W are ldw apart and as long as y, and x says how many there are.
// ahead is as for Times.
func (w Matrix) AddTransposed(y []float32, ldw int, x []float32, ahead Matrix) {
	switch {
	case len(y) == 0 || len(x) == 0:
	case w.F32 != nil:
		_ = w.F32[(len(x)-1)*ldw+len(y)-1]
		gemvT(y, w.F32, ldw, x, cmp.Or(ahead.start(), further(&w.F32[0], len(x)*ldw)))
	default:
		_ = w.BF16[(len(x)-1)*ldw+len(y)-1]
		gemvTHalf(y, w.BF16, ldw, x, cmp.Or(ahead.start(), further(&w.BF16[0], len(x)*ldw)))
	}
}

// start is where w begins, or 0 if it is empty.
func (w Matrix) start() uintptr {
	switch {
	case len(w.F32) > 0:
		return uintptr(unsafe.Pointer(&w.F32[0]))
	case len(w.BF16) > 0:
		return uintptr(unsafe.Pointer(&w.BF16[0]))
	}
	return 0
}

// further is what is read soon after the first of n weights at p: far enough for memory to answer in time. It is a
// number, for it may lie beyond the end of what p belongs to; fetching from there does no harm. It is 0 for weights
// that may well be in the second cache, where fetching them again only takes time.
func further[T float32 | uint16](p *T, n int) uintptr {
	if uintptr(n)*unsafe.Sizeof(*p) <= 512<<10 {
		return 0
	}
	return uintptr(unsafe.Pointer(p)) + 8<<10
}

// wideBlock is how many weights gemmWidened widens at a time: what fits the second cache beside the operands.
const wideBlock = 1 << 16

// gemmWidened widens W block by block, and multiplies each while it is in the cache. No operand is empty.
func gemmWidened(ws *Workspace, c []float32, ldc int, a []float32, lda int, w []uint16, wrs, wcs, rows, n, k int, acc bool) {
	if ws.wide == nil {
		ws.wide = Aligned(wideBlock)
	}
	// long is the stored row of W, and the blocks are whole rows of it if a row fits.
	long, many, stride := n, k, wrs
	if wcs != 1 {
		long, many, stride = k, n, wcs
	}
	for l0 := 0; l0 < long; l0 += wideBlock {
		l := min(wideBlock, long-l0)
		step := max(wideBlock/l, 1)
		for m0 := 0; m0 < many; m0 += step {
			m := min(step, many-m0)
			if l == stride {
				widen(ws.wide[:m*l], w[m0*stride:][:m*l])
			} else {
				for r := range m {
					widen(ws.wide[r*l:(r+1)*l], w[(m0+r)*stride+l0:][:l])
				}
			}
			if wcs == 1 { // rows of W are k: later ones add up
				Gemm(ws, c[l0:], ldc, a[m0:], lda, 1, ws.wide, l, 1, rows, l, m, acc || m0 > 0)
			} else {
				Gemm(ws, c[m0:], ldc, a[l0:], lda, 1, ws.wide, 1, l, rows, m, l, acc || l0 > 0)
			}
		}
	}
}
