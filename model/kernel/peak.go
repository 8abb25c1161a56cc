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

// Sweep reads x, but for a rest of less than 512 bytes, and returns how many bytes that were. It is as fast as
// reading from where x lies can be: a cache, or memory.
func Sweep(x []float32) (bytes int) {
	const block = 128
	n := len(x) / block
	if n > 0 {
		sweep(n, x[:n*block])
	}
	return 4 * n * block
}
