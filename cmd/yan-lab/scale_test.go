package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

// A power is found as it is, and one with noise lies in the interval for about 19 of 20 seeds.
func TestExponent(t *testing.T) {
	n := []float64{10, 30, 100, 300, 10, 30, 100, 300}
	outside := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var exact, noisy []float64
		for _, v := range n {
			exact = append(exact, 5*math.Pow(v, 0.7))
			noisy = append(noisy, 5*math.Pow(v, 0.7)*math.Exp(0.2*r.NormFloat64()))
		}
		if p, within, at := exponent(n, exact); math.Abs(p-0.7) > 1e-9 || within > 1e-6 || math.Abs(at-5) > 1e-6 {
			t.Fatalf("%v ± %v, at %v", p, within, at)
		}
		if p, within, _ := exponent(n, noisy); math.Abs(p-0.7) > within {
			outside++
		}
	}
	if outside < 2 || outside > 22 {
		t.Errorf("of 200 fits %d have an interval without the truth in it", outside)
	}
}

// Small worlds are run and printed, and what makes no sense is refused.
func TestScale(t *testing.T) {
	var out, errs strings.Builder
	args := []string{"scale", "--from", "3", "--to", "10", "--seeds", "2", "--for", "2m", "--text", "200", "--live", "4"}
	if status := ui.Run(t.Context(), command(), args, &out, &errs); status != ui.Done {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	for _, want := range []string{"sent, kB", "updates held", "N=3", "N=10", "±", "computing, CPU-ms"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it prints no %q:\n%s", want, out.String())
		}
	}
	if status := ui.Run(t.Context(), command(), []string{"scale", "--from", "10", "--to", "10"}, &out, &errs); status != ui.BadUsage {
		t.Errorf("one size: status %d", status)
	}
}
