// Package kernel is the arithmetic of the mind: matrix products, reductions, the exponential family,
// normalisation, first-order scans and the Adam step, all over slices of float32, destination first.
//
// Its main types are [Workspace], the scratch that one worker brings to [Gemm], [AdamConst], the
// constants of one optimizer step, and [Pool], which shares work out among threads; everything else is a function.
//
// The promise: no function allocates, starts a goroutine or keeps a slice after it returns; every size is
// allowed, zero and odd tails among them, and nothing is read or written outside the slices given. A
// function is safe for concurrent use as long as its destinations and its Workspace are the caller's own.
// A slice shorter than the operation needs is a bug of the caller and panics.
//
// Each routine exists in plain Go, which is the reference, and in assembly that the module in _gen generates: AVX2
// and AVX-512 on amd64, NEON on arm64. [Level] says which of them this process runs. The levels sum in different
// orders, so their results agree to rounding and not to the bit.
//
// A Pool is the one thing here with goroutines, between its making and its Close, and it asks a clock whom to
// wake. Neither has a say in what its tasks compute. No routine uses one by itself.
//
// The package does not know what the numbers mean and does not check for NaN.
package kernel
