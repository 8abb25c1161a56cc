package learning

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/yanmesh/yan/model/sense"
)

var digitsFrom = flag.String("digits", "", "folder with MNIST's files, for TestLessonsOfDigits, which takes a minute")

// What a lesson of 100 digits of two classes costs, exactly and as it travels, and what is lost on the way: 60 devices teach one that was shown
// nothing, three seeds. Nothing was chosen by these test images.
func TestLessonsOfDigits(t *testing.T) {
	if *digitsFrom == "" {
		t.Skip("no -digits: the folder with train-images-idx3-ubyte.gz and the others")
	}
	x, labels := digits(t, "train", 10_000)
	asked, truth := digits(t, "t10k", 2000)
	width := len(asked) / len(truth)
	by := map[string][]int{}
	for i, label := range labels {
		by[label] = append(by[label], i)
	}
	for _, features := range []int{128, 256, 512, 1024} {
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 1))
			cfg := KnackConfig{Name: "digits", Inputs: width, Features: features}
			all, taught := newKnack(t, cfg), newKnack(t, cfg)
			packed, exact, alone := 0, 0, 0.0
			const devices = 60
			for device := range devices {
				k := newKnack(t, cfg)
				first := r.IntN(10)
				for _, c := range []int{first, (first + 1 + r.IntN(9)) % 10} {
					of := by[fmt.Sprint(c)]
					for range 50 {
						i := of[r.IntN(len(of))]
						if err := k.Show(x[i*width:(i+1)*width], labels[i:i+1]); err != nil {
							t.Fatal(err)
						}
					}
				}
				l := lessonOf(t, k)
				packed += len(l.body)
				exact += len(writeSums(k.own.sums(nil)).Sums)
				if _, err := taught.Fold(fmt.Sprint(device), l); err != nil {
					t.Fatal(err)
				}
				if err := all.sumInto(k); err != nil {
					t.Fatal(err)
				}
				if device < 5 {
					alone += k.right(asked, truth) / 5
				}
			}
			with, central := taught.right(asked, truth), all.right(asked, truth)
			t.Logf("%4d features, seed %d: %6d bytes exact, %5d as a lesson; right alone %.4f, by lessons %.4f, by exact sums %.4f",
				features, seed, exact/devices, packed/devices, alone, with, central)
			if with < central-0.01 {
				t.Error("too much is lost on the way")
			}
		}
	}
}

// digits are the first pictures of one of MNIST's files, encoded, and what they are.
func digits(t *testing.T, part string, n int) (x []float32, labels []string) {
	read := func(name string, header int) []byte {
		f, err := os.ReadFile(filepath.Join(*digitsFrom, part+"-"+name+"-ubyte.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(f))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		n = min(n, int(binary.BigEndian.Uint32(b[4:])))
		return b[header:]
	}
	names := read("labels-idx1", 8)
	pixels := read("images-idx3", 16)
	eye := sense.NewPicture(28, 28)
	width := eye.Patches() * eye.Width()
	x = make([]float32, n*width)
	for i := range n {
		eye.Encode(x[i*width:(i+1)*width], pixels[i*784:(i+1)*784])
		labels = append(labels, fmt.Sprint(names[i]))
	}
	return x, labels
}
