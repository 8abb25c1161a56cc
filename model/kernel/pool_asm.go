//go:build (amd64 || arm64) && !purego

package kernel

// pause tells the processor that this is a turn of a busy loop.
//
//go:noescape
func pause()
