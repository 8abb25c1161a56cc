//go:build !purego

package kernel

import "unsafe"

// Shapes of the microkernel and of the blocks around it.
const (
	rows128, cols128 = 8, 8

	// depth128 is how much of k one panel of B covers. The panel and the rows of A that meet it take half of the
	// smallest first cache, 32 KiB.
	depth128 = 256

	// Some rows of A are copied before they are used, copiedRows at a time. The stride of the copy is no power of
	// two, so that its rows do not crowd into a few sets of the first cache.
	copiedRows   = 8 * rows128
	copiedStride = depth128 + 16

	// tilesAtOnce bounds what one call does, for a call cannot be preempted: 65,536 multiplications a tile are 16 µs
	// at 4 a cycle and 1 GHz.
	tilesAtOnce = 8
)

// Workspace is the scratch of one worker: a packed panel of B, a tile for the edges of C, copied rows of A. It holds
// nothing between calls.
type Workspace struct {
	panel  [depth128 * cols128]float32
	tile   [rows128 * cols128]float32
	copied [copiedRows * copiedStride]float32
	wide   []float32 // what gemmHalf has widened
}

// NewWorkspace returns a Workspace.
func NewWorkspace() *Workspace { return new(Workspace) }

// after is p moved by n floats.
func after(p *float32, n int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*n)) }

// gemm has no empty operand.
func gemm(ws *Workspace, c []float32, ldc int, a []float32, ars, acs int, b []float32, brs, bcs int, m, n, k int, acc bool) {
	if level == levelGo {
		gemmGo(c, ldc, a, ars, acs, b, brs, bcs, m, n, k, acc)
		return
	}
	// For a few rows and a transposed B, packing would cost as much as it saves.
	if bcs != 1 && acs == 1 && k >= 16 && m <= 24 {
		gemmDots(c, ldc, a, ars, b, bcs, m, n, k, acc)
		return
	}
	for k0 := 0; k0 < k; k0 += depth128 {
		x := block{ws: ws, ldc: ldc, depth: min(depth128, k-k0), acc: acc || k0 > 0}
		switch {
		case acs == 1 && (m < rows128 || ars%1024 != 0):
			x.strips(c, a[k0:], ars, 1, b[k0*brs:], brs, bcs, m, n)
		case ars == 1:
			whole := m &^ 3
			x.strips(c, a[k0*acs:], 1, acs, b[k0*brs:], brs, bcs, whole, n)
			x.copied(c[whole*ldc:], a[whole+k0*acs:], 1, acs, b[k0*brs:], brs, bcs, m-whole, n)
		default:
			x.copied(c, a[k0*acs:], ars, acs, b[k0*brs:], brs, bcs, m, n)
		}
	}
}

// split cuts m rows into the fewest tiles of at most most rows, as even as can be: the first extra tiles have
// base+1 rows, the others base.
func split(m, most int) (tiles, base, extra int) {
	tiles = (m + most - 1) / most
	return tiles, m / tiles, m % tiles
}
