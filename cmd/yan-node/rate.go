package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

// A rate is a flag for bytes a second, as p2p.Config has them: 0 for what is usual, less for no limit.
type rate int

func (r *rate) Type() string { return "RATE" }

func (r *rate) String() string {
	switch {
	case *r < 0:
		return "none"
	case *r == 0:
		return ""
	}
	return ui.Bytes(int64(*r))
}

// Set parses what String prints, and shorter: 200kB, 1.5M, 300000, none. A k is 1000.
func (r *rate) Set(s string) error {
	if s == "none" {
		*r = -1
		return nil
	}
	number := strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(strings.ReplaceAll(s, " ", ""), "B"), "b"))
	unit := 1.0
	for letters, u := range map[string]float64{"kK": 1e3, "mM": 1e6, "gG": 1e9} {
		if n := strings.TrimRight(number, letters); len(n) == len(number)-1 {
			number, unit = n, u
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v*unit >= 1 && v*unit <= math.MaxInt32) {
		return fmt.Errorf("bytes a second, as 200kB or 1.5MB, or none for no limit")
	}
	*r = rate(v * unit)
	return nil
}
