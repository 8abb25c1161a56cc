package main

import "testing"

func TestRate(t *testing.T) {
	for s, want := range map[string]rate{
		"none": -1, "200kB": 200_000, "200 kB": 200_000, "64K": 64_000, "1.5M": 1_500_000, "1.50 MB": 1_500_000, "300000": 300_000, "2GB": 2_000_000_000,
	} {
		var r rate
		if err := r.Set(s); err != nil || r != want {
			t.Errorf("%q is %d, %v; want %d", s, r, err, want)
		}
		var again rate
		if err := again.Set(r.String()); err != nil || again != r {
			t.Errorf("%q prints as %q, which is %d, %v", s, r.String(), again, err)
		}
	}
	for _, s := range []string{"", "fast", "-1", "0", "1kkB", "NaN", "Inf", "1e300", "3GB", "0.5", "k"} {
		if r := rate(0); r.Set(s) == nil {
			t.Errorf("%q is %d", s, r)
		}
	}
	for _, args := range [][]string{{"run", "--upload", "10kB"}, {"run", "--download", "slow"}} {
		if status, _, errs := yan(t, "", args...); status != 2 {
			t.Errorf("%v: status %d: %s", args, status, errs)
		}
	}
}
