package sense

import (
	"bytes"
	"testing"
)

// Every byte, whether it is text in some encoding or not, comes back as it went in.
func TestTextRoundTrip(t *testing.T) {
	var all []byte
	for i := range Symbols {
		all = append(all, byte(i))
	}
	all = append(all, "naïve ☕ \xff\x00"...)
	if got := Bytes(Text(all)); !bytes.Equal(got, all) {
		t.Fatalf("Bytes(Text(b)) = %q, want %q", got, all)
	}
	if len(Text(nil)) != 0 {
		t.Fatal("Text(nil) has events")
	}
}
