//go:build !linux

package p2p

// nodeInNamespace does nothing where there are no network namespaces.
func nodeInNamespace() {}
