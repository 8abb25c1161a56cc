//go:build linux || darwin

package store

import "syscall"

// free is how many bytes there are left on the disk that holds dir, for one who is not its administrator.
func free(dir string) int64 {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return -1
	}
	return int64(uint64(st.Bavail) * uint64(st.Bsize))
}
