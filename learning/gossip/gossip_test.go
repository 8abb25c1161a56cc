package gossip

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/kernel"
)

// bell draws n numbers that are mostly small. They are the same on every machine.
func bell(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.Float64()+rng.Float64()+rng.Float64()-1.5) * 0.1
	}
	return x
}

func heard(t *testing.T, message []byte, size int) []float32 {
	t.Helper()
	x, err := Hear(message, size)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestWhatIsHeardIsWhatWasSaid(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 1))
		size := 1 + rng.IntN(2000)
		change := bell(rng, size)
		for _, v := range []Voice{{}, {Step: 0.5, Group: 7}, {Step: 2, Group: 4000}} {
			message := v.Say(change)
			got := heard(t, message, size)
			var lost, all float64
			for i, x := range change {
				lost += float64(got[i]-x) * float64(got[i]-x)
				all += float64(x) * float64(x)
				if d := got[i] + v.left[i] - x; math.Abs(float64(d)) > 1e-6 {
					t.Fatalf("seed %d: %v was said of %v, and %v kept", seed, got[i], x, v.left[i])
				}
			}
			step := v.Step
			if step == 0 {
				step = 1
			}
			if most := step * step / 12 * 1.5; size > 200 && lost > most*all && step < 2 {
				t.Errorf("seed %d, step %v: %.4f of the square is lost, more than %.4f", seed, step, lost/all, most)
			}
			if size > 1000 && step >= 2 && len(message) > size*5/16 {
				t.Errorf("seed %d, step %v: %d bytes for %d numbers", seed, step, len(message), size)
			}
		}
	}
}

// What is left out is said later: many messages together say it all. Without the feedback they never do.
func TestNothingIsLostInTheEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	change := bell(rng, 500)
	for _, forgetful := range []bool{false, true} {
		v := Voice{Step: 2, Forgetful: forgetful}
		sum := make([]float64, len(change))
		const times = 200
		for range times {
			for i, x := range heard(t, v.Say(change), len(change)) {
				sum[i] += float64(x) / times
			}
		}
		worst := 0.0
		for i, x := range change {
			worst = max(worst, math.Abs(sum[i]-float64(x)))
		}
		if !forgetful && worst > 0.003 || forgetful && worst < 0.03 {
			t.Errorf("forgetful %v: off by %v at worst", forgetful, worst)
		}
	}
}

// What is told does not depend on the machine; that it is told in the same bytes everywhere is up to the entropy code.
func TestEveryMachineHearsTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	v := Voice{Step: 1.5}
	hash := sha256.New()
	for range 5 {
		for _, x := range heard(t, v.Say(bell(rng, 1001)), 1001) {
			hash.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
		}
	}
	if got, want := fmt.Sprintf("%x", hash.Sum(nil)[:8]), "af87b3422dbc25ca"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestZerosAreSaidInNextToNothing(t *testing.T) {
	var v Voice
	message := v.Say(make([]float32, 100_000))
	if len(message) > 100 {
		t.Errorf("%d bytes for nothing", len(message))
	}
	for _, x := range heard(t, message, 100_000) {
		if x != 0 {
			t.Fatal(x)
		}
	}
}

// message is one that Hear takes apart, of these parts.
func message(group, count int, steps, codes []byte) []byte {
	b := binary.AppendUvarint([]byte{format}, uint64(group))
	b = binary.AppendUvarint(b, uint64(count))
	return frame(frame(b, steps), codes)
}

func TestNonsenseIsRefused(t *testing.T) {
	half := func(f float64) []byte {
		return binary.LittleEndian.AppendUint16(nil, kernel.ToBF16(float32(f)))
	}
	good := message(4, 4, half(0.5), []byte{0x71, 0x0f})
	if got := heard(t, good, 4); !slices.Equal(got, []float32{0.5, 3.5, -0.5, 0}) {
		t.Fatalf("heard %v", got)
	}
	bomb := message(1<<20, 1<<20, half(1), make([]byte, 1<<19))
	if len(bomb) > 1000 {
		t.Fatalf("%d bytes are no bomb", len(bomb))
	}
	for name, b := range map[string][]byte{
		"nothing":            nil,
		"another format":     append([]byte{9}, good[1:]...),
		"another size":       message(4, 5, half(0.5), []byte{0, 0, 0}),
		"no group":           message(0, 4, nil, []byte{0, 0}),
		"too few steps":      message(2, 4, half(0.5), []byte{0, 0}),
		"too many codes":     message(4, 4, half(0.5), []byte{0, 0, 0}),
		"a step below zero":  message(4, 4, half(-0.5), []byte{0, 0}),
		"an infinite step":   message(4, 4, half(math.Inf(1)), []byte{0, 0}),
		"no number":          message(4, 4, half(math.NaN()), []byte{0, 0}),
		"steps that explode": message(4, 4, half(1e38), []byte{0, 0}),
		"a bomb":             bomb,
		"bytes behind":       append(slices.Clone(good), 0),
		"half of it":         good[:len(good)/2],
	} {
		if x, err := Hear(b, 4); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", name, x, err)
		}
	}
}

func FuzzHear(f *testing.F) {
	var v Voice
	rng := rand.New(rand.NewPCG(5, 1))
	f.Add(v.Say(bell(rng, 150)))
	f.Add(v.Say(make([]float32, 150)))
	f.Add(message(100, 150, []byte{0x80, 0x3f, 0x80, 0x3f}, make([]byte, 75)))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Hear(b, 150)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if len(x) != 150 {
			t.Fatalf("%d numbers", len(x))
		}
		for _, y := range x {
			if y-y != 0 {
				t.Fatalf("%v is no number", y)
			}
		}
	})
}
