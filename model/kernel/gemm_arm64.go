//go:build !purego

package kernel

import "unsafe"

// Shapes of the microkernel and of the blocks around it.
const (
	rows128, cols128 = 8, 8

	// depth128 is how much of k one panel of B covers. The panel and the rows of A that meet it take half of the
	// smallest first cache there is, 32 KiB.
	depth128 = 256

	// Rows of A that cannot be used where they are get copied, copiedRows at a time. The stride of the copy is no
	// power of two: it keeps them from crowding into a few sets of the first cache.
	copiedRows   = 8 * rows128
	copiedStride = depth128 + 16

	// fewRows is up to how many rows of A it costs more to transpose B into panels than that saves.
	fewRows = 24
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

func flag(acc bool) int {
	if acc {
		return 1
	}
	return 0
}

// gemm has no empty operand.
func gemm(ws *Workspace, c []float32, ldc int, a []float32, ars, acs int, b []float32, brs, bcs int, m, n, k int, acc bool) {
	switch {
	case level == levelGo:
		gemmGo(c, ldc, a, ars, acs, b, brs, bcs, m, n, k, acc)
		return
	case acs == 1 && bcs != 1 && k >= 16 && m <= fewRows:
		gemmDots(c, ldc, a, ars, b, bcs, m, n, k, acc)
		return
	case acs == 1 && bcs == 1 && m == 1:
		if !acc {
			clear(c[:n])
		}
		gemvT(c[:n], b, brs, a[:k], further(&b[0], k*brs))
		return
	}
	gemmPanels(ws, c, ldc, a, ars, acs, Matrix{F32: b}, brs, bcs, m, n, k, acc)
}

// gemmHalf has no empty operand.
func gemmHalf(ws *Workspace, c []float32, ldc int, a []float32, lda int, w []uint16, wrs, wcs, rows, n, k int, acc bool) {
	switch few := wcs != 1 && k >= 16 && rows <= fewRows; {
	case level == levelGo || few && 4*k > len(ws.copied):
		gemmWidened(ws, c, ldc, a, lda, w, wrs, wcs, rows, n, k, acc)
		return
	case few:
		// The rows of W are widened as many at a time as stay in the first cache.
		step := max(4, most/2/k&^3)
		for j := 0; j < n; j += step {
			some := min(step, n-j)
			for r := range some {
				widen(ws.copied[r*k:(r+1)*k], w[(j+r)*wcs:][:k])
			}
			gemmDots(c[j:], ldc, a, lda, ws.copied[:], k, rows, some, k, acc)
		}
		return
	}
	gemmPanels(ws, c, ldc, a, lda, 1, Matrix{BF16: w}, wrs, wcs, rows, n, k, acc)
}

// gemmPanels packs B panel by panel, or takes it where it is.
func gemmPanels(ws *Workspace, c []float32, ldc int, a []float32, ars, acs int, b Matrix, brs, bcs int, m, n, k int, acc bool) {
	for k0 := 0; k0 < k; k0 += depth128 {
		kc := min(depth128, k-k0)
		for m0 := 0; m0 < m; {
			s := ws.strip(a[m0*ars+k0*acs:], ars, acs, m-m0, kc)
			s.times(ws, c[m0*ldc:], ldc, b.Slice(k0*brs, b.Len()), brs, bcs, n, kc, acc || k0 > 0)
			m0 += s.rows
		}
	}
}

// gemmDots computes C (+)= A·Bᵀ where the rows of A and those of the stored B are contiguous.
func gemmDots(c []float32, ldc int, a []float32, lda int, b []float32, ldb int, m, n, k int, acc bool) {
	n4 := n / 4
	atOnce := max(1, most/k)
	for i := 0; i < m; i += 4 {
		rows := min(4, m-i)
		for j := 0; j < n4; j += atOnce {
			dots(rows, min(atOnce, n4-j), k, &a[i*lda], lda*4, &b[4*j*ldb], ldb*4, &c[i*ldc+4*j], ldc*4, flag(acc), further(&b[4*j*ldb], min(atOnce, n4-j)*4*ldb))
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
	}
}

func dots(rows, n4, k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, acc int, ahead uintptr) {
	switch rows {
	case 1:
		gemmNT128x1(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	case 2:
		gemmNT128x2(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	case 3:
		gemmNT128x3(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	case 4:
		gemmNT128x4(n4, k, a, lda, b, ldb, c, ldc, acc, ahead)
	}
}

// strip is some rows of A as the microkernels take them, with contiguous rows or with contiguous columns.
type strip struct {
	a       *float32
	stride  int // from one row to the next, or from one column to the next
	rows    int
	columns bool
}

// strip returns the first rows of A, some of m. Those that neither lie contiguous nor side by side in fours are
// copied, and so are many rows whose stride is a multiple of 4 KiB: eight of them are more than the ways of a
// first cache, and would evict one another.
func (ws *Workspace) strip(a []float32, ars, acs, m, k int) strip {
	crowded := ars%1024 == 0 && m > 4
	switch {
	case acs == 1 && !crowded:
		return strip{&a[0], ars, m, false}
	case ars == 1 && m >= 4:
		return strip{&a[0], acs, m &^ 3, true}
	}
	rows := min(m, copiedRows)
	for i := range rows {
		to := ws.copied[i*copiedStride:][:k]
		if acs == 1 {
			copy(to, a[i*ars:])
			continue
		}
		for p := range to {
			to[p] = a[i*ars+p*acs]
		}
	}
	return strip{&ws.copied[0], copiedStride, rows, false}
}

// tiles cuts the strip into as few tiles as can be: so many of one height, then so many of another.
func (s strip) tiles() [2]struct{ rows, count int } {
	if s.columns {
		return [2]struct{ rows, count int }{{8, s.rows / 8}, {4, s.rows % 8 / 4}}
	}
	tiles := (s.rows + rows128 - 1) / rows128
	base, extra := s.rows/tiles, s.rows%tiles
	return [2]struct{ rows, count int }{{base + 1, extra}, {base, tiles - extra}}
}

// times computes as many rows of C (+)= A·B, for a B of at most depth128 rows.
func (s strip) times(ws *Workspace, c []float32, ldc int, b Matrix, brs, bcs, n, k int, acc bool) {
	// Contiguous rows of B pay for their copy to a panel when many tiles use it: in place, a deep panel with a long
	// stride takes a page of the translation buffer a row.
	pack := bcs != 1 || s.rows >= 64 && k >= 64 && brs != cols128
	for n0 := 0; n0 < n; n0 += cols128 {
		width := min(cols128, n-n0)
		panel, stride := &ws.panel[0], cols128
		switch {
		case b.F32 == nil:
			packHalf(panel, b.BF16[n0*bcs:], brs, bcs, k, width)
		case pack || width < cols128:
			packPanel(panel, &b.F32[n0*bcs], brs, bcs, k, width)
		default:
			panel, stride = &b.F32[n0*bcs], brs
		}
		i := 0
		for _, t := range s.tiles() {
			for t.count > 0 {
				some := 1
				if width == cols128 {
					some = min(t.count, 16) // a call cannot be preempted: bound what one does
					s.tile(i, t.rows, some, k, panel, stride, &c[i*ldc+n0], ldc, flag(acc))
				} else {
					s.tile(i, t.rows, 1, k, panel, stride, &ws.tile[0], cols128, 0)
					ws.edge(c[i*ldc+n0:], ldc, t.rows, width, acc)
				}
				i += some * t.rows
				t.count -= some
			}
		}
	}
}

// edge copies or adds the first columns of the tile to C.
func (ws *Workspace) edge(c []float32, ldc, rows, width int, acc bool) {
	for r := range rows {
		to := c[r*ldc:][:width]
		from := ws.tile[r*cols128:][:width]
		if !acc {
			copy(to, from)
			continue
		}
		for j, v := range from {
			to[j] += v
		}
	}
}

// packPanel writes k rows of width ≤ 8 columns of B to a panel of 8 columns. The columns beyond width keep what they
// held: what is computed from them goes to the edge tile and no further.
func packPanel(panel, b *float32, brs, bcs, k, width int) {
	if bcs == 1 {
		for p := range k {
			to := unsafe.Slice(after(panel, p*cols128), cols128)
			from := unsafe.Slice(after(b, p*brs), width)
			if width == cols128 {
				*(*[cols128]float32)(to) = *(*[cols128]float32)(from)
				continue
			}
			copy(to, from)
		}
		return
	}
	done := 0
	if width == cols128 && k >= 4 {
		packT128(k/4, b, bcs*4, panel)
		done = k &^ 3
	}
	for j := range width {
		for p := done; p < k; p++ {
			*after(panel, p*cols128+j) = *after(b, j*bcs+p)
		}
	}
}

// packHalf is packPanel of bfloat16, which it widens.
func packHalf(panel *float32, b []uint16, brs, bcs, k, width int) {
	done := 0
	switch {
	case width < cols128:
	case bcs == 1:
		packHalf128(k, &b[0], brs*2, panel)
		return
	case k >= 8:
		packTHalf128(k/8, &b[0], bcs*2, panel)
		done = k &^ 7
	}
	for p := done; p < k; p++ {
		for j := range width {
			*after(panel, p*cols128+j) = FromBF16(b[p*brs+j*bcs])
		}
	}
}

// tile computes count tiles of so many rows, from row i of the strip on. Strides are in floats.
func (s strip) tile(i, rows, count, k int, b *float32, brs int, c *float32, ldc, acc int) {
	if s.columns {
		a := after(s.a, i)
		if rows == 4 {
			gemmTN128x4(count, k, a, s.stride*4, b, brs*4, c, ldc*4, acc)
		} else {
			gemmTN128x8(count, k, a, s.stride*4, b, brs*4, c, ldc*4, acc)
		}
		return
	}
	a, ars := after(s.a, i*s.stride), s.stride*4
	brs, ldc = brs*4, ldc*4
	switch rows {
	case 1:
		gemm128x1(count, k, a, ars, b, brs, c, ldc, acc)
	case 2:
		gemm128x2(count, k, a, ars, b, brs, c, ldc, acc)
	case 3:
		gemm128x3(count, k, a, ars, b, brs, c, ldc, acc)
	case 4:
		gemm128x4(count, k, a, ars, b, brs, c, ldc, acc)
	case 5:
		gemm128x5(count, k, a, ars, b, brs, c, ldc, acc)
	case 6:
		gemm128x6(count, k, a, ars, b, brs, c, ldc, acc)
	case 7:
		gemm128x7(count, k, a, ars, b, brs, c, ldc, acc)
	case 8:
		gemm128x8(count, k, a, ars, b, brs, c, ldc, acc)
	}
}
