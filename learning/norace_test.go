//go:build !race

package learning

const raced = false
