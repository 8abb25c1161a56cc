package kernel

// What the processor could do at best: the measure of everything else. Whoever measures brings the clock.

// Burn multiplies and adds n times twelve vectors in registers, which is as fast as this level's instructions can, and
// returns how many floating-point operations that were.
func Burn(n int) (operations int) {
	if n <= 0 {
		return 0
	}
	return n * burn(n)
}

// Sweep reads x, but for a rest of less than 2 KiB, and returns how many bytes that were. It is as fast as reading from
// where x lies can be: a cache, or memory, which answers best when it is read in four places in turn.
func Sweep(x []float32) (bytes int) {
	const block, page = 128, 1024
	n := len(x) / (4 * block) * block // of each quarter
	if 16*n <= 1<<20 {
		if n > 0 {
			sweep(4*n/block, x[:4*n], 0)
		}
		return 16 * n
	}
	for at := 0; at < n; at += page {
		for quarter := range 4 {
			part := x[quarter*n:][at:min(at+page, n)]
			sweep(len(part)/block, part, further(&part[0], len(x)))
		}
	}
	return 16 * n
}
