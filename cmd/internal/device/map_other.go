//go:build !unix

package device

import (
	"io"
	"os"
)

// contents reads a file of size bytes.
func contents(f *os.File, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(f, b)
	return b, err
}
