package speed

import "testing"

func TestMachine(t *testing.T) {
	list := []byte("processor\t: 0\nmodel name\t: Some CPU: fast\nmodel name\t: another\nVmHWM:\t    2048 kB\n")
	if got := entry(list, "model name"); got != "Some CPU: fast" {
		t.Errorf("the processor is %q", got)
	}
	if got := kilobytes(entry(list, "VmHWM")); got != 2<<20 {
		t.Errorf("%d bytes", got)
	}
	if got := kilobytes(entry(list, "VmRSS")); got != 0 {
		t.Errorf("%d bytes of what is not there", got)
	}
	if now, peak := resident(); now < 1<<20 || peak < now {
		t.Errorf("%d bytes resident, %d at most", now, peak)
	}
}
