//go:build !purego

package kernel

import "unsafe"

// Shapes of the two microkernels and of the blocks around them.
const (
	rows256, cols256 = 6, 16
	rows512, cols512 = 14, 32

	// depth is how much of k one panel of B covers. A 256-bit panel and the rows of A that meet it fit the
	// first cache; a 512-bit one is twice as wide and lives in the second.
	depth256 = 256
	depth512 = 512

	// Rows of A whose stride is a multiple of 1 KiB crowd into a few sets of the first cache, and a tile of
	// fourteen rows evicts itself: such rows are copied to another stride first, spacedRows at a time.
	spacedRows   = 18 * rows512
	spacedStride = depth512 + 16
)

// Workspace is the scratch of one worker: packed panels of B, a tile for the edges of C, respaced rows of A.
// It holds nothing between calls.
type Workspace struct {
	panel  [depth512 * cols512]float32
	tile   [rows256 * cols256]float32
	spaced []float32
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
	// For a few rows and a transposed B, packing would cost as much as the product itself.
	if bcs != 1 && acs == 1 && k >= 48 && m <= 24 {
		gemmDots(c, ldc, a, ars, b, bcs, m, n, k, acc)
		return
	}
	if level == levelAVX512 {
		gemmWide(ws, c, ldc, a, ars, acs, Matrix{F32: b}, brs, bcs, m, n, k, acc)
		return
	}
	gemmNarrow(ws, c, ldc, a, ars, acs, b, brs, bcs, m, n, k, acc)
}

// split cuts m rows into the fewest tiles of at most most rows, as even as can be: the first extra tiles have
// base+1 rows, the others base.
func split(m, most int) (tiles, base, extra int) {
	tiles = (m + most - 1) / most
	return tiles, m / tiles, m % tiles
}

// gemmDots computes C (+)= A·Bᵀ where the rows of A and those of the stored B are contiguous.
func gemmDots(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, acc bool) {
	n4, flag := n/4, 0
	if acc {
		flag = 1
	}
	tiles, base, extra := split(m, 3)
	i := 0
	for t := range tiles {
		rows := base
		if t < extra {
			rows++
		}
		if n4 > 0 {
			dots(rows, n4, k, &a[i*lda], lda*4, &b[0], ldb*4, &c[i*ldc], ldc*4, flag, further(&b[0], n*ldb))
		}
		for r := i; r < i+rows; r++ {
			for j := n4 * 4; j < n; j++ {
				d := dot(a[r*lda:][:k], b[j*ldb:][:k])
				if acc {
					d += c[r*ldc+j]
				}
				c[r*ldc+j] = d
			}
		}
		i += rows
	}
}

func dots(rows, n4, k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, acc int, ahead uintptr) {
	wide := level == levelAVX512
	switch {
	case wide && rows == 1:
		gemmNT512x1(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	case wide && rows == 2:
		gemmNT512x2(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	case wide:
		gemmNT512x3(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	case rows == 1:
		gemmNT256x1(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	case rows == 2:
		gemmNT256x2(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	default:
		gemmNT256x3(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	}
}

func gemmNarrow(ws *Workspace, c []float32, ldc int, a []float32, ars, acs int, b []float32, brs, bcs int, m, n, k int, acc bool) {
	tiles, base, extra := split(m, rows256)
	for k0 := 0; k0 < k; k0 += depth256 {
		kc := min(depth256, k-k0)
		flag := 0
		if acc || k0 > 0 {
			flag = 1
		}
		for n0 := 0; n0 < n; n0 += cols256 {
			width := min(cols256, n-n0)
			panel, stride := &b[k0*brs+n0*bcs], brs*4
			if bcs != 1 || width < cols256 || packWorthwhile(m, kc, brs) {
				packNarrow(&ws.panel[0], panel, brs, bcs, kc, width)
				panel, stride = &ws.panel[0], cols256*4
			}
			if width == cols256 {
				// Taller tiles first. The loop bounds what one call does, for a call cannot be preempted.
				rows, count := base+1, extra
				i := 0
				for range 2 {
					for count > 0 {
						some := min(count, 32)
						narrow(rows, some, kc, &a[i*ars+k0*acs], ars*4, acs*4, panel, stride, &c[i*ldc+n0], ldc*4, flag)
						i += some * rows
						count -= some
					}
					rows, count = base, tiles-extra
				}
				continue
			}
			i := 0
			for t := range tiles {
				rows := base
				if t < extra {
					rows++
				}
				narrow(rows, 1, kc, &a[i*ars+k0*acs], ars*4, acs*4, panel, stride, &ws.tile[0], cols256*4, 0)
				for r := range rows {
					to := c[(i+r)*ldc+n0:][:width]
					from := ws.tile[r*cols256:][:width]
					if flag == 0 {
						copy(to, from)
						continue
					}
					for j, v := range from {
						to[j] += v
					}
				}
				i += rows
			}
		}
	}
}

// packWorthwhile says whether contiguous rows of B pay for their copy to a panel. In place, a deep panel with a
// long stride uses few sets of the first cache and a page of the translation buffer a row. For up to 128 rows of A the
// 512-bit tiles do without, if B's rows are not a multiple of 1 KiB apart.
func packWorthwhile(m, kc, brs int) bool {
	return m >= 64 && kc >= 64 && brs != cols256
}

// packNarrow writes kc rows of width ≤ 16 columns of B to a panel of 16 columns. The columns beyond width
// keep what they held: what is computed from them goes to the edge tile and no further.
func packNarrow(panel, b *float32, brs, bcs, kc, width int) {
	if bcs == 1 {
		for p := range kc {
			to := unsafe.Slice(after(panel, p*cols256), cols256)
			from := unsafe.Slice(after(b, p*brs), width)
			if width == cols256 {
				*(*[cols256]float32)(to) = *(*[cols256]float32)(from)
				continue
			}
			copy(to, from)
		}
		return
	}
	for j := 0; j < width; j += 8 {
		to, from := after(panel, j), after(b, j*bcs)
		done := 0
		if width-j >= 8 && kc >= 4 {
			packT256(kc/4, from, bcs*4, to)
			done = kc &^ 3
		}
		packRest(to, from, bcs, cols256, done, kc, min(8, width-j))
	}
}

// packRest transposes what the assembly leaves: elements done to kc of some rows of the stored B.
func packRest(to, from *float32, bcs, stride, done, kc, rows int) {
	for r := range rows {
		for p := done; p < kc; p++ {
			*after(to, p*stride+r) = *after(from, r*bcs+p)
		}
	}
}

func narrow(rows, tiles, k int, a *float32, ars, acs int, b *float32, brs int, c *float32, ldc int, acc int) {
	switch rows {
	case 1:
		gemm256x1(tiles, k, a, ars, acs, b, brs, c, ldc, acc)
	case 2:
		gemm256x2(tiles, k, a, ars, acs, b, brs, c, ldc, acc)
	case 3:
		gemm256x3(tiles, k, a, ars, acs, b, brs, c, ldc, acc)
	case 4:
		gemm256x4(tiles, k, a, ars, acs, b, brs, c, ldc, acc)
	case 5:
		gemm256x5(tiles, k, a, ars, acs, b, brs, c, ldc, acc)
	case 6:
		gemm256x6(tiles, k, a, ars, acs, b, brs, c, ldc, acc)
	}
}

// gemmHalf has no empty operand.
func gemmHalf(ws *Workspace, c []float32, ldc int, a []float32, lda int, w []uint16, wrs, wcs, rows, n, k int, acc bool) {
	if level == levelAVX512 && (wcs == 1 || rows > 24) {
		gemmWide(ws, c, ldc, a, lda, 1, Matrix{BF16: w}, wrs, wcs, rows, n, k, acc)
		return
	}
	gemmWidened(ws, c, ldc, a, lda, w, wrs, wcs, rows, n, k, acc)
}

func gemmWide(ws *Workspace, c []float32, ldc int, a []float32, ars, acs int, b Matrix, brs, bcs int, m, n, k int, acc bool) {
	crowded := acs == 1 && ars%256 == 0 && m > 4 && k >= 64
	block := m
	if crowded {
		if ws.spaced == nil {
			ws.spaced = Aligned(spacedRows * spacedStride)
		}
		block = (m + spacedRows - 1) / spacedRows // so many blocks, as even as can be
		block = (m + block - 1) / block
	}
	for k0 := 0; k0 < k; k0 += depth512 {
		kc := min(depth512, k-k0)
		flag := 0
		if acc || k0 > 0 {
			flag = 1
		}
		for m0 := 0; m0 < m; m0 += block {
			mc := min(block, m-m0)
			rowsA, rowStride := a[m0*ars+k0*acs:], ars
			if crowded {
				for i := range mc {
					copy(ws.spaced[i*spacedStride:][:kc], rowsA[i*ars:][:kc])
				}
				rowsA, rowStride = ws.spaced[:], spacedStride
			}
			tiles, base, extra := split(mc, rows512)
			for n0 := 0; n0 < n; n0 += cols512 {
				width := min(cols512, n-n0)
				from := k0*brs + n0*bcs
				panel, stride := &ws.panel[0], cols512*4
				switch {
				case b.F32 == nil:
					packWideHalf(ws, b.BF16[from:], brs, bcs, kc, width)
				case bcs != 1 || packWorthwhile(mc, kc, brs) && (brs%256 == 0 || mc > 128):
					packWide(panel, &b.F32[from], brs, bcs, kc, width)
				default:
					panel, stride = &b.F32[from], brs*4
				}
				// Taller tiles first. The loop bounds what one call does, for a call cannot be preempted.
				rows, count, i := base+1, extra, 0
				for range 2 {
					for count > 0 {
						some := min(count, 32)
						wide(rows, some, kc, &rowsA[i*rowStride], rowStride*4, acs*4, panel, stride, &c[(m0+i)*ldc+n0], ldc*4, uint64(1)<<width-1, flag)
						i += some * rows
						count -= some
					}
					rows, count = base, tiles-extra
				}
			}
		}
	}
}

// packWide writes kc rows of width ≤ 32 columns of B to a panel of 32 columns.
func packWide(panel, b *float32, brs, bcs, kc, width int) {
	if bcs == 1 {
		packN512(kc, b, brs*4, panel, uint64(1)<<width-1)
		return
	}
	for j := 0; j < width; j += 16 {
		to, from := after(panel, j), after(b, j*bcs)
		done := 0
		if width-j >= 16 && kc >= 4 {
			packT512(kc/4, from, bcs*4, to)
			done = kc &^ 3
		}
		packRest(to, from, bcs, cols512, done, kc, min(16, width-j))
	}
}

// packWideHalf is packWide of bfloat16, into the workspace's panel.
func packWideHalf(ws *Workspace, b []uint16, brs, bcs, kc, width int) {
	if bcs == 1 {
		packHalf512(kc, &b[0], brs*2, &ws.panel[0], uint64(1)<<width-1)
		return
	}
	for j := 0; j < width; j += 16 {
		to, from := after(&ws.panel[0], j), b[j*bcs:]
		done := 0
		if width-j >= 16 && kc >= 8 {
			packTHalf512(kc/8, &from[0], bcs*2, to)
			done = kc &^ 7
		}
		for r := range min(16, width-j) {
			for p := done; p < kc; p++ {
				*after(to, p*cols512+r) = FromBF16(from[r*bcs+p])
			}
		}
	}
}

func wide(rows, tiles, k int, a *float32, ars, acs int, b *float32, brs int, c *float32, ldc int, mask uint64, acc int) {
	switch rows {
	case 1:
		gemm512x1(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 2:
		gemm512x2(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 3:
		gemm512x3(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 4:
		gemm512x4(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 5:
		gemm512x5(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 6:
		gemm512x6(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 7:
		gemm512x7(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 8:
		gemm512x8(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 9:
		gemm512x9(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 10:
		gemm512x10(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 11:
		gemm512x11(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 12:
		gemm512x12(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 13:
		gemm512x13(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	case 14:
		gemm512x14(tiles, k, a, ars, acs, b, brs, c, ldc, mask, acc)
	}
}
