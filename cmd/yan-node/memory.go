package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

// A byteSize is a flag for an amount of bytes: 200MB, 1.5 GB, 64kB or a plain number. A kB is 1000 bytes, a KiB 1024.
type byteSize int64

var errSize = errors.New("write an amount as 200MB, 1.5GB or 64MiB")

var sizeUnits = map[string]float64{
	"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

func (b *byteSize) Set(s string) error {
	at := strings.IndexFunc(s, unicode.IsLetter)
	if at < 0 {
		at = len(s)
	}
	unit, ok := sizeUnits[strings.ToLower(s[at:])]
	v, err := strconv.ParseFloat(strings.TrimSpace(s[:at]), 64)
	if n := v * unit; err != nil || !ok || !(n >= 1 && n < math.MaxInt64) {
		return errSize
	}
	*b = byteSize(v * unit)
	return nil
}

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return ui.Bytes(int64(*b))
}

func (*byteSize) Type() string { return "SIZE" }
