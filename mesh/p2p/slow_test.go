package p2p

import "testing"

// slow marks a test that learns for long in one goroutine. The race detector finds nothing in it that shorter tests do not
// show, and makes it several times slower: so it runs without.
func slow(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("an experiment: it runs without the race detector")
	}
}
