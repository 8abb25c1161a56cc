//go:build !(amd64 || arm64) || purego

package kernel

// pause has nothing to tell the processor that this is a turn of a busy loop.
func pause() {}
